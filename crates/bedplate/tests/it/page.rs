//! The commands as people type them.

use crate::kit::*;
use bedplate_testkit::{Invocation, Sandbox, generate, oracle, privilege, program};

/// Runs a line of shell in the sandbox with `bedplate` on the path, also by the names that the documents know.
fn shell(sandbox: &Sandbox, line: &str) -> Invocation {
    let program = bedplate_testkit::binary(env!("CARGO_BIN_EXE_bedplate"));
    let folder = sandbox.path("bin");
    if std::fs::create_dir(&folder).is_ok() {
        for name in ["bedplate", "debootstrap", "docker"] {
            std::os::unix::fs::symlink(&program, folder.join(name)).expect("a new link");
        }
    }
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    sandbox.bedplate([] as [&str; 0]).env("PATH", path).wrap(["sh", "-ec", line])
}

#[test]
fn a_tar_in_an_image_out_a_process_run() {
    let test = "page::a_tar_in";
    if !can_run(test) {
        return;
    }
    let Some(tar) = generate::busybox() else {
        return bedplate_testkit::skip::note(test, "no /bin/busybox (package busybox-static)");
    };
    let sandbox = sandbox();
    std::fs::create_dir(sandbox.path("rootfs")).unwrap();
    let archive = sandbox.write("rootfs.tar", &tar);
    oracle::expect(oracle::command("tar").arg("-xf").arg(archive).arg("-C").arg(sandbox.path("rootfs")));
    let id = shell(&sandbox, "tar -C rootfs -c . | bedplate import - focal").ok();
    image_id(&sandbox, &id);
    fsck(&sandbox);
    let outcome = shell(&sandbox, "bedplate run focal cat /etc/lsb-release").ok();
    assert_eq!(outcome.text(), "DISTRIB_ID=Bedplate\nDISTRIB_CODENAME=focal", "{outcome}");
    fsck(&sandbox);
}

#[test]
fn nothing_is_an_image() {
    let sandbox = sandbox();
    let outcome = shell(&sandbox, "tar cv --files-from /dev/null | bedplate import - nothing").ok();
    image_id(&sandbox, &outcome);
    assert_eq!(diff_ids(&sandbox, "nothing").len(), 1);
    fsck(&sandbox);
}

#[test]
fn hello_is_built_and_run() {
    if !can_run("page::hello") {
        return;
    }
    let sandbox = sandbox();
    sandbox.write_program("hello", program::hello(program::Machine::host()));
    shell(&sandbox, r#"printf 'FROM scratch\nADD hello /\nCMD ["/hello"]\n' > Dockerfile"#).ok();
    let outcome = shell(&sandbox, "bedplate build --tag hello . && bedplate run --rm hello").ok();
    assert!(outcome.text().ends_with(program::GREETING.trim_end()), "{outcome}");
    fsck(&sandbox);
}

/// The directive that the newest page begins with changes nothing, and asks no registry.
#[test]
fn hello_with_a_syntax_directive() {
    let sandbox = sandbox();
    hello_context(&sandbox);
    let text = std::fs::read_to_string(sandbox.path("Dockerfile")).unwrap();
    sandbox.write("Dockerfile.syntax", format!("# syntax=docker/dockerfile:1\n{text}"));
    let plain = shell(&sandbox, "docker build -q --tag hello .").ok().text();
    let directed = shell(&sandbox, "docker build -q --tag hello -f Dockerfile.syntax .").ok().text();
    assert_eq!(directed, plain);
    assert_eq!(diff_ids(&sandbox, "hello").len(), 1);
    assert_eq!(inspect_format(&sandbox, "hello", "{{json .Config.Cmd}}"), "[\"/hello\"]");
}

/// `ADD script.sh /usr/local/bin/run.sh` of the oldest page: renamed, in folders that are made, and not to be run without
/// its interpreter.
#[test]
fn a_script_on_nothing() {
    let test = "page::a_script_on_nothing";
    if !can_run(test) {
        return;
    }
    let sandbox = sandbox();
    sandbox.write_program("script.sh", "#!/bin/sh\necho hello\n");
    let dockerfile = "FROM scratch\nADD script.sh /usr/local/bin/run.sh\nCMD [\"/usr/local/bin/run.sh\"]\n";
    sandbox.write("Dockerfile", dockerfile);
    shell(&sandbox, "docker build --tag extending . && docker export -o root.tar extending").ok();
    let listing =
        oracle::expect(oracle::command("tar").args(["--numeric-owner", "-tvf"]).arg(sandbox.path("root.tar")));
    for (begin, end) in [("drwxr-xr-x 0/0 ", "usr/local/bin/"), ("-rwxr-xr-x 0/0 ", "usr/local/bin/run.sh")] {
        let found = listing.lines().any(|line| line.starts_with(begin) && line.ends_with(end));
        assert!(found, "no {begin}... {end} in\n{listing}");
    }
    let outcome = shell(&sandbox, "docker run --rm extending").ends(127);
    outcome.says("/bin/sh");
}

#[test]
fn what_the_page_warns_of() {
    let sandbox = sandbox();
    hello_context(&sandbox);
    // line | part of the message
    for (line, message) in [
        ("docker build --tag hello", "docker build"),
        ("docker pull scratch", "pull"),
        ("docker run scratch", "scratch"),
        ("docker build -q -t hello . && docker tag hello scratch", "reserved"),
        ("tar cv --files-from /dev/null | docker import - scratch", "reserved"),
    ] {
        let outcome = shell(&sandbox, line).fails();
        assert!(outcome.stderr.contains(message), "{line}: no {message:?} in {outcome}");
    }
}

#[test]
fn an_xz_archive_with_a_command() {
    let Some(packed) = compressed("page::xz", "xz", &hello_tar()) else { return };
    let sandbox = sandbox();
    sandbox.write("rootfs.tar.xz", packed);
    let outcome = shell(&sandbox, "bedplate import --change 'CMD [\"bash\"]' rootfs.tar.xz debian:jessie").ok();
    image_id(&sandbox, &outcome);
    assert_eq!(inspect_format(&sandbox, "debian:jessie", "{{json .Config.Cmd}}"), "[\"bash\"]");
    fsck(&sandbox);
}

#[test]
fn a_saved_image_goes_through_a_pipe() {
    let sandbox = sandbox();
    let id = hello_image(&sandbox);
    let other = sandbox.path("other");
    let outcome = shell(&sandbox, "bedplate save hello | BEDPLATE_ROOT=$PWD/other bedplate load").ok();
    assert_eq!(outcome.text(), "Loaded image: hello:latest");
    let there = sandbox.bedplate(["inspect", "--format", "{{.Id}}", "hello"]).env("BEDPLATE_ROOT", other).ok();
    assert_eq!(there.text(), id);
}

/// The page's first block, with `debootstrap` and `docker` as names of bedplate: a real archive, as the machine's apt is
/// set to.
#[test]
fn a_full_image_from_a_bootstrapped_directory() {
    let test = "page::a_full_image";
    if !crate::bootstrap_real::has_archive(test) {
        return;
    }
    // Whoever is not root has the ids of the directory in a user namespace only: what the page does by sudo.
    let sudo = if privilege::is_root() { "" } else { "unshare --user --map-auto --map-root-user" };
    let sandbox = sandbox();
    // A deviation from the page: trixie for xenial, whose archive the machine may not reach.
    let outcome = shell(&sandbox, "debootstrap trixie trixie > /dev/null").patient().ok();
    assert!(outcome.stdout.is_empty(), "{outcome}");
    let outcome = shell(&sandbox, &format!("{sudo} tar -C trixie -c . | docker import - trixie")).ok();
    image_id(&sandbox, &outcome);
    let outcome = shell(&sandbox, "docker run trixie cat /etc/os-release").ok();
    assert!(outcome.text().contains("VERSION_CODENAME=trixie"), "{outcome}");
    let outcome = shell(&sandbox, "docker run --rm trixie sh -c 'dpkg --audit && dpkg -V && apt-get check'").ok();
    assert!(!outcome.text().contains("rror"), "{outcome}");
    fsck(&sandbox);
}

/// Types what the page shows, each line when the one before has been answered.
const TYPE: &str = r#"set -e
mkfifo keys
script -q -e -f -c 'docker run --rm -it -v $PWD:/build trixie' seen < keys > /dev/null &
exec 3> keys
after() {
	until [ "$(grep -a -o "$1" seen | wc -l)" -ge "$2" ]; do kill -0 $! && sleep 0.2; done
	echo "$3" >&3
}
prompt='?2004h'
after $prompt 1 'apt-get update'
after $prompt 2 'apt-get install build-essential'
after 'continue? ' 1 Y
after $prompt 3 'cd /build'
after $prompt 4 'gcc -o hello -static hello.c'
after $prompt 5 exit
wait $! || { cat seen >&2; exit 1; }
"#;

/// The page's last block: a program is built in a container that has the folder, and is an image of its own.
#[test]
fn a_program_is_compiled_in_a_container() {
    let test = "page::a_program_is_compiled";
    if !crate::bootstrap_real::has_archive(test) {
        return;
    }
    if oracle::find("script").is_none() {
        return bedplate_testkit::skip::note(test, "no script (package bsdutils)");
    }
    let sandbox = sandbox();
    // Deviations from the page: trixie for 20.04, whose archive the machine may not reach, and a program with a main, as
    // the page's text describes it.
    sandbox.write("hello.c", "#include <stdio.h>\nint main(void) { puts(\"Hello from Docker!\"); return 0; }\n");
    shell(&sandbox, "bedplate bootstrap trixie -t trixie").patient().ok();
    sandbox.write("type.sh", TYPE);
    let outcome = shell(&sandbox, "sh type.sh").patient().ok();
    assert!(sandbox.path("hello").is_file(), "{outcome}");
    sandbox.write("Dockerfile", "FROM scratch\nADD hello /\nCMD [\"/hello\"]\n");
    let outcome = shell(&sandbox, "docker build -q --tag hello . && docker run --rm hello").ok();
    assert!(outcome.text().ends_with("Hello from Docker!"), "{outcome}");
    fsck(&sandbox);
}

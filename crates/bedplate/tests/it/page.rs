//! The commands as people type them.

use crate::kit::*;
use bedplate_testkit::{Invocation, Sandbox, generate, oracle, program};

/// Runs a line of shell in the sandbox with `bedplate` on the path.
fn shell(sandbox: &Sandbox, line: &str) -> Invocation {
    let program = bedplate_testkit::binary(env!("CARGO_BIN_EXE_bedplate"));
    let folder = sandbox.path("bin");
    let _ = std::fs::create_dir(&folder);
    let _ = std::os::unix::fs::symlink(program, folder.join("bedplate"));
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
    if bedplate_testkit::privilege::current() != bedplate_testkit::privilege::Privilege::Root {
        return bedplate_testkit::skip::note(test, "the page uses sudo: needs root");
    }
    if crate::bootstrap_oracles::mirror().is_none() {
        return bedplate_testkit::skip::note(test, "no archive of Debian 12 among the sources of apt");
    }
    let sandbox = sandbox();
    let folder = sandbox.path("bin");
    std::fs::create_dir(&folder).unwrap();
    for name in ["debootstrap", "docker"] {
        let program = bedplate_testkit::binary(env!("CARGO_BIN_EXE_bedplate"));
        std::os::unix::fs::symlink(program, folder.join(name)).unwrap();
    }
    // A deviation from the page: trixie for xenial, whose archive the machine may not reach.
    shell(&sandbox, "debootstrap trixie trixie > /dev/null").ok();
    let outcome = shell(&sandbox, "tar -C trixie -c . | docker import - trixie").ok();
    image_id(&sandbox, &outcome);
    let outcome = shell(&sandbox, "docker run trixie cat /etc/os-release").ok();
    assert!(outcome.text().contains("VERSION_CODENAME=trixie"), "{outcome}");
    let outcome = shell(&sandbox, "docker run --rm trixie sh -c 'dpkg --audit && dpkg -V && apt-get check'").ok();
    assert!(!outcome.text().contains("rror"), "{outcome}");
    fsck(&sandbox);
}

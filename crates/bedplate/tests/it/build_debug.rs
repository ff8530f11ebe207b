//! `debug`: a shell where a build failed.

use crate::kit::*;
use bedplate_testkit::debian::{Deb, EPOCH, Repository, Signer, SigningKey, Suite};
use bedplate_testkit::{Sandbox, oracle, skip};

const FAILING: &str = "FROM box AS made\nENV A=b\nARG C=d\nWORKDIR /srv\nRUN echo before > old\n\
                       RUN rm old; echo after > new; exit 7\n";

fn ready(test: &str, dockerfile: &str) -> Option<Sandbox> {
    let sandbox = sandbox();
    if !can_run(test) {
        return None;
    }
    busybox_image(&sandbox, test)?;
    sandbox.write("Dockerfile", dockerfile);
    Some(sandbox)
}

/// The name that a failed build gives its step.
#[track_caller]
fn failed(sandbox: &Sandbox, words: &[&str]) -> String {
    let outcome = sandbox.bedplate(words).ends(1);
    let hint = outcome.stderr.split("hint: bedplate debug ").nth(1).unwrap_or_else(|| panic!("{outcome}"));
    hint.split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn the_tree_is_as_the_command_left_it() {
    let Some(sandbox) = ready("build_debug::tree", FAILING) else { return };
    let id = failed(&sandbox, &["build", "."]);
    let look = |words: &[&str]| sandbox.bedplate([&["debug"], words].concat());
    let script = "pwd; echo $A $C; ls; cat new; echo changed > new; exit 5";
    assert_eq!(look(&["-c", script]).ends(5).text(), "/srv\nb d\nnew\nafter");
    assert_eq!(look(&["-c", "cat new", &id]).ok().text(), "after", "what a shell changes is forgotten");
    assert_eq!(look(&["--before", "-c", "ls; cat old"]).ok().text(), "old\nbefore");
    look(&["-c", "true", "nothing"]).fails().says("no failed step \"nothing\"");
    fsck(&sandbox);
    // The layers below stay as long as the step, whatever else goes.
    sandbox.bedplate(["prune", "-f", "--images", "--all", "--snapshots"]).ok();
    assert_eq!(look(&["-c", "ls"]).ok().text(), "new");
}

#[test]
fn a_failure_is_kept_until_the_stage_is_built_or_the_cache_emptied() {
    let Some(sandbox) = ready("build_debug::kept", FAILING) else { return };
    failed(&sandbox, &["build", "."]);
    sandbox.write("Dockerfile", FAILING.replace("exit 7", "true"));
    sandbox.bedplate(["build", "."]).ok();
    sandbox.bedplate(["debug", "-c", "true"]).fails().says("no failed step").says("RUN");
    sandbox.write("Dockerfile", FAILING);
    failed(&sandbox, &["build", "--no-cache", "."]);
    sandbox.bedplate(["debug", "-c", "true"]).ok();
    sandbox.bedplate(["builder", "prune", "-f"]).ok();
    sandbox.bedplate(["debug", "-c", "true"]).fails().says("no failed step");
    fsck(&sandbox);
}

#[test]
fn without_an_overlay_the_copy_is_kept() {
    let Some(sandbox) = ready("build_debug::copy", FAILING) else { return };
    failed(&sandbox, &["build", "--root-kind=copy", "."]);
    let look = |words: &[&str]| sandbox.bedplate([&["debug", "--root-kind=copy"], words].concat());
    assert_eq!(look(&["-c", "pwd; ls; cat new"]).ok().text(), "/srv\nnew\nafter");
    look(&["--before", "-c", "ls"]).fails().says("no overlays");
    // Whoever has overlays by now sees the same, and what was before.
    if bedplate_testkit::privilege::is_root() {
        assert_eq!(sandbox.bedplate(["debug", "--before", "-c", "ls"]).ok().text(), "old");
    }
    sandbox.bedplate(["builder", "prune", "-f"]).ok();
    fsck(&sandbox);
}

#[test]
fn secrets_are_not_kept() {
    let test = "build_debug::secrets";
    let Some(sandbox) = ready(test, "FROM box\nRUN --mount=type=secret,id=t,env=TOKEN test -n \"$TOKEN\"; exit 1\n")
    else {
        return;
    };
    let given = sandbox.write("../secret", "swordfish");
    failed(&sandbox, &["build", "--secret", &format!("id=t,src={}", given.display()), "."]);
    let shown = sandbox.bedplate(["debug", "-c", "env"]).ok().text();
    assert!(!shown.contains("TOKEN") && !shown.contains("swordfish"), "{shown}");
}

#[test]
fn an_image_without_a_shell_gets_one_beside_it() {
    let test = "build_debug::toolbox";
    let Some(sandbox) = ready(test, "FROM scratch\nCOPY note /note\nRUN [\"/absent\"]\n") else { return };
    sandbox.write("note", "here\n");
    failed(&sandbox, &["build", "."]);
    let busybox = std::fs::read("/bin/busybox").expect("the image is made of it");
    let given = sandbox.write("../busybox", &busybox);
    let words = ["debug", "--toolbox", given.to_str().unwrap(), "-c", "cat /note; ls -d /.bedplate"];
    assert_eq!(sandbox.bedplate(words).ok().text(), "here\n/.bedplate");

    // Without one that is given it comes from the signed package, and the second time without an archive.
    let key = SigningKey::new();
    let package = Deb::new("busybox-static", "1:1.37-1").file("/usr/bin/busybox", 0o755, &busybox).build();
    let place = sandbox.path("../archive");
    let suite = Suite::new("trixie").signed(Signer::new(&key)).package(package);
    Repository::new([suite]).render().write_to(&place);
    let keyring = sandbox.write("../known.gpg", key.public());
    let (mirror, keyring) = (place.to_str().unwrap(), keyring.to_str().unwrap());
    let words = ["debug", "--mirror", mirror, "--keyring", keyring, "-c", "cat /note; busybox true"];
    let outcome = sandbox.bedplate(words).clock(EPOCH + 60).ok();
    assert_eq!(outcome.text(), "here");
    outcome.says("the image has no /bin/sh");
    let stranger = sandbox.write("../stranger.gpg", SigningKey::new().public());
    let other = bedplate_testkit::Sandbox::new(env!("CARGO_BIN_EXE_bedplate"));
    other.write("Dockerfile", "FROM scratch\nRUN [\"/absent\"]\n");
    failed(&other, &["build", "."]);
    let words = ["debug", "--mirror", mirror, "--keyring", stranger.to_str().unwrap(), "-c", "true"];
    other.bedplate(words).clock(EPOCH + 60).ends(65).says("cannot get a shell").says("cannot trust");
}

#[test]
fn on_a_terminal_the_shell_is_interactive() {
    let test = "build_debug::terminal";
    if oracle::find("script").is_none() {
        return skip::note(test, "no script (package bsdutils)");
    }
    let Some(sandbox) = ready(test, FAILING) else { return };
    failed(&sandbox, &["build", "."]);
    let program = bedplate_testkit::binary(env!("CARGO_BIN_EXE_bedplate"));
    let outcome = sandbox
        .bedplate([] as [&str; 0])
        .wrap(["sh", "-c", "exec script -q -e -c \"$1\" /dev/null", "sh", &format!("exec {} debug", program.display())])
        .stdin("tty; cat new; test -t 1 && echo is$((1+1))terminal; exit 3\n")
        .ends(3);
    let text = outcome.text();
    assert!(text.contains("/dev/pts/") && text.contains("after") && text.contains("is2terminal"), "{outcome}");
    assert!(text.contains("[made] after RUN rm old"), "{outcome}");
}

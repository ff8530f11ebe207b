//! Same inputs, same digest: whoever, wherever, whenever, however often.

use crate::kit::*;
use bedplate_testkit::{Sandbox, oracle, program};

fn context(sandbox: &Sandbox, folder: &str) {
    sandbox.write_program(&format!("{folder}/hello"), program::hello(program::Machine::host()));
    sandbox.write(&format!("{folder}/dir/one"), "one");
    sandbox.write(&format!("{folder}/dir/sub/two"), "two");
    sandbox.write(
        &format!("{folder}/Dockerfile"),
        "FROM scratch\nADD hello /\nCOPY dir /data/\nWORKDIR /w\nCOPY <<f /g\ntext\nf\nENV A=b\nCMD [\"/hello\"]\n",
    );
}

#[track_caller]
fn built(sandbox: &Sandbox, folder: &str, arguments: &[&str]) -> String {
    let mut words = vec!["build", "-q"];
    words.extend_from_slice(arguments);
    words.push(folder);
    image_id(sandbox, &sandbox.bedplate(words).ok())
}

#[test]
fn imports() {
    let tar = hello_tar();
    let first = sandbox();
    let expected = image_id(
        &first,
        &first.bedplate(["import", "-c", "ENV A=b", "-", "x"]).stdin(tar.clone()).clock(1_000_000_000).ok(),
    );
    let second = sandbox();
    let shifted = second.bedplate(["import", "-c", "ENV A=b", "-", "other:name"]).stdin(tar.clone()).shifted().ok();
    assert_eq!(image_id(&second, &shifted), expected);
    // A file's name is no input.
    second.write("file.tar", &tar);
    let file = second.bedplate(["import", "-c", "ENV A=b", "file.tar", "file"]).ok();
    assert_eq!(image_id(&second, &file), expected);
    // The store's place leaves no trace.
    let manifests = |sandbox: &Sandbox| std::fs::read_dir(sandbox.store().join("blobs/sha256")).unwrap().count();
    assert!(manifests(&first) >= 3);
}

#[test]
fn builds_elsewhere_and_later() {
    let first = sandbox();
    context(&first, "ctx");
    let expected = built(&first, "ctx", &["-t", "x"]);
    let second = sandbox();
    context(&second, "elsewhere");
    let outcome = second.bedplate(["build", "-q", "elsewhere"]).shifted().ok();
    assert_eq!(image_id(&second, &outcome), expected);
}

#[test]
fn builds_with_and_without_cache() {
    let sandbox = sandbox();
    context(&sandbox, "ctx");
    let cold = built(&sandbox, "ctx", &[]);
    assert_eq!(built(&sandbox, "ctx", &[]), cold, "cached");
    assert_eq!(built(&sandbox, "ctx", &["--no-cache"]), cold, "without the cache");
    sandbox.bedplate(["prune", "-a", "-f"]).ok();
    assert_eq!(built(&sandbox, "ctx", &[]), cold, "after a prune");
    fsck(&sandbox);
}

#[test]
fn builds_of_touched_and_copied_contexts() {
    let sandbox = sandbox();
    context(&sandbox, "ctx");
    let expected = built(&sandbox, "ctx", &[]);
    oracle::expect(oracle::command("find").arg(sandbox.path("ctx")).args([
        "-exec",
        "touch",
        "-d",
        "2001-02-03",
        "{}",
        "+",
    ]));
    assert_eq!(built(&sandbox, "ctx", &[]), expected, "touched");
    assert_eq!(built(&sandbox, "ctx", &["--no-cache"]), expected, "touched, no cache");
    // `cp` without `-p` gives new times; the programs' bits stay.
    oracle::expect(oracle::command("cp").arg("-r").arg(sandbox.path("ctx")).arg(sandbox.path("copy")));
    assert_eq!(built(&sandbox, "copy", &["--no-cache"]), expected, "copied");
    // A clone: git keeps the executable bit and no times.
    if oracle::find("git").is_some() {
        let line = "git -C ctx init -q && git -C ctx add . && git -C ctx -c user.name=x -c user.email=x@example.org commit -q -m x && umask 022 && git clone -q ctx clone && rm -rf clone/.git ctx/.git";
        oracle::expect(
            oracle::command("sh").args(["-c", line]).current_dir(sandbox.work()).env("HOME", sandbox.work()),
        );
        assert_eq!(built(&sandbox, "clone", &["--no-cache"]), expected, "cloned");
    }
    fsck(&sandbox);
}

#[test]
fn builds_of_a_tar_context() {
    let sandbox = sandbox();
    context(&sandbox, "ctx");
    let expected = built(&sandbox, "ctx", &[]);
    let tar = sandbox.path("ctx.tar");
    oracle::expect(oracle::command("tar").arg("-cf").arg(&tar).arg("-C").arg(sandbox.path("ctx")).arg("."));
    let outcome = sandbox.bedplate(["build", "-q", "--no-cache", "-"]).stdin_file(&tar).ok();
    assert_eq!(image_id(&sandbox, &outcome), expected);
}

#[test]
fn builds_by_another_user() {
    let first = sandbox();
    context(&first, "ctx");
    let expected = built(&first, "ctx", &[]);
    let second = sandbox();
    let Some(user) = OtherUser::new("reproducible::builds_by_another_user", &second, 12_345) else { return };
    context(&second, "ctx");
    oracle::expect(oracle::command("chown").args(["-R", "12345:12345"]).arg(second.path("ctx")));
    assert_eq!(user.bedplate(["build", "-q", "ctx"]).ok().text(), expected);
}

/// Each RUN starts from what another one left: snapshots upon snapshots, hard links, owners, mount points.
const STEPS: &str = r"FROM box
COPY --chown=1000:1001 f /own/
COPY --chown=0:42 --chmod=640 f /etc/shadow
RUN mkdir /d /gone && echo 1 > /d/h1 && ln /d/h1 /d/h2 && ln /d/h1 /d/h3 && echo a > /gone/a && echo b > /gone/b
RUN echo more >> /d/h1 && ln /d/h2 /d/h4
RUN chmod 711 /own && echo more >> /own/f && mv /own/f /moved && : >> /etc/shadow
RUN rm /moved /etc/shadow && echo new > /moved && echo new > /etc/shadow
RUN rm -rf /gone && mkdir /gone && echo x > /etc/zz && rm /etc/zz && chmod 700 /d/h2 /d/h3 /d/h4
";

const WAYS: [&str; 4] = ["auto", "overlay", "mount", "copy"];

#[test]
fn run_steps_by_every_way() {
    let test = "reproducible::run_steps_by_every_way";
    if !can_run(test) {
        return;
    }
    let sandbox = sandbox();
    if busybox_image(&sandbox, test).is_none() {
        return;
    }
    sandbox.write("f", "f");
    sandbox.write("Dockerfile", STEPS);
    let expected = built(&sandbox, ".", &["--root-kind", "copy"]);
    let mut other_ways = 0;
    for way in WAYS {
        let words = ["build", "-q", "--no-cache", "--root-kind", way, "."];
        let first = sandbox.bedplate(words).run();
        if first.status != Some(0) && matches!(way, "overlay" | "mount") {
            // An old kernel, or a store on a file system that no overlay takes: said, never another digest.
            first.says("overlay");
            bedplate_testkit::skip::note(test, &format!("no overlay by {way} here"));
            continue;
        }
        assert_eq!(image_id(&sandbox, &first), expected, "{way}");
        // Now all roots are there.
        assert_eq!(image_id(&sandbox, &sandbox.bedplate(words).ok()), expected, "{way}, with kept roots");
        sandbox.bedplate(["prune", "-f"]).ok();
        other_ways += 1;
    }
    assert!(other_ways >= 2);
    fsck(&sandbox);
}

#[test]
fn run_steps_by_every_user() {
    let test = "reproducible::run_steps_by_every_user";
    let sandbox = sandbox();
    if busybox_image(&sandbox, test).is_none() {
        return;
    }
    sandbox.write("ctx/f", "f");
    sandbox.write("ctx/Dockerfile", STEPS);
    let expected = built(&sandbox, "ctx", &[]);
    sandbox.bedplate(["save", "-o", "box.tar", "box"]).ok();
    oracle::expect(oracle::command("chmod").args(["-R", "a+rX"]).arg(sandbox.work()).arg(sandbox.path("ctx")));
    for uid in crate::rootless::users() {
        let Some(user) = OtherUser::new(test, &sandbox, uid) else { return };
        user.bedplate(["load", "-q", "-i", "box.tar"]).ok();
        for way in WAYS {
            for round in ["new", "kept"] {
                let outcome = user.bedplate(["build", "-q", "--no-cache", "--root-kind", way, "ctx"]).run();
                if outcome.status != Some(0) && matches!(way, "overlay" | "mount") {
                    outcome.says("overlay");
                    bedplate_testkit::skip::note(test, &format!("no overlay by {way} for uid {uid}"));
                    continue;
                }
                assert_eq!(outcome.text(), expected, "uid {uid}, {way}, {round}: {outcome}");
            }
            user.bedplate(["prune", "-f"]).ok();
        }
        user.bedplate(["fsck"]).ok();
    }
}

#[test]
fn run_steps() {
    let test = "reproducible::run_steps";
    if !can_run(test) {
        return;
    }
    let first = sandbox();
    let second = sandbox();
    if busybox_image(&first, test).is_none() || busybox_image(&second, test).is_none() {
        return;
    }
    for sandbox in [&first, &second] {
        sandbox
            .write("Dockerfile", "FROM box\nRUN echo x > /new && mkdir -p /a/b && ln /new /a/hard && rm /etc/passwd\n");
    }
    let one = built(&first, ".", &[]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let two =
        image_id(&second, &second.bedplate(["build", "-q", "."]).clock(2_000_000_000).env("TZ", "Asia/Tokyo").ok());
    assert_eq!(one, two);
    assert_eq!(built(&first, ".", &["--no-cache"]), one);
    fsck(&first);
}

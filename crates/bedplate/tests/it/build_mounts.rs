//! `RUN --mount`, with processes.

use std::os::unix::net::UnixListener;

use bedplate_testkit::Sandbox;
use bedplate_testkit::privilege::{self, Privilege};

use crate::build::{build, file, listing};
use crate::kit::{busybox_image, can_run, fsck, sandbox};

/// A sandbox with the image `box`; `None` (and a counted skip) where no process can be run.
fn with_box(test: &str) -> Option<Sandbox> {
    if !can_run(test) {
        return None;
    }
    let sandbox = sandbox();
    busybox_image(&sandbox, test)?;
    Some(sandbox)
}

/// What a build is told, without a cache and by every way to make a root.
fn built(sandbox: &Sandbox, dockerfile: &str, more: &[&str]) -> String {
    build(sandbox, dockerfile, &[&["-t", "x"], more].concat())
}

#[test]
fn files_of_context_stage_and_image_are_shown_and_not_kept() {
    let Some(sandbox) = with_box("build_mounts::bind") else { return };
    sandbox.write("src/a", "context");
    sandbox.write("src/deep/b", "deep");
    sandbox.write("star*", "letters");
    std::os::unix::fs::symlink("src", sandbox.path("link")).unwrap();
    let dockerfile = "FROM box AS made\nRUN mkdir /d && echo stage > /d/s\nFROM box\nWORKDIR /w\n\
        RUN --mount=target=/ctx,source=src --mount=type=bind,from=made,source=/d,target=rel \
            --mount=from=box,target=/img --mount=source=link/deep/b,target=/f/b --mount=source=star*,target=/star \
            cat /ctx/a /ctx/deep/b rel/s /f/b /star > /out && test -x /img/bin/busybox && ! touch /ctx/never 2>/dev/null\n\
        RUN --mount=source=src,target=/ctx,rw echo changed > /ctx/a && cat /ctx/a >> /out\n\
        RUN --mount=source=src,target=/ctx cat /ctx/a >> /out\n";
    for way in ["auto", "copy"] {
        built(&sandbox, dockerfile, &["--no-cache", "--root-kind", way]);
        assert_eq!(file(&sandbox, "x", "out"), "contextdeepstage\ndeepletterschanged\ncontext", "{way}");
        let tree = listing(&sandbox, "x");
        for path in ["ctx", "ctx/a", "w/rel", "w/rel/s", "img", "f", "f/b", "star"] {
            assert!(!tree.contains_key(path), "{way}: {path} is in the image");
        }
    }
    assert_eq!(std::fs::read_to_string(sandbox.path("src/a")).unwrap(), "context");
    fsck(&sandbox);
}

#[test]
fn a_mount_is_part_of_a_steps_key() {
    let Some(sandbox) = with_box("build_mounts::keys") else { return };
    sandbox.write("src/a", "one");
    let dockerfile = "FROM box\nRUN --mount=source=src,target=/ctx cat /ctx/a > /out\n";
    let first = built(&sandbox, dockerfile, &[]);
    // Another time of a file is no change, other bytes are.
    sandbox.write("src/a", "one");
    let outcome = sandbox.bedplate(["build", "-t", "x", "."]).ok();
    outcome.says("CACHED");
    assert_eq!(outcome.text(), first);
    sandbox.write("src/a", "two");
    assert_ne!(built(&sandbox, dockerfile, &[]), first);
    assert_eq!(file(&sandbox, "x", "out"), "two");
    // What lies beside it is not.
    sandbox.write("other", "x");
    sandbox.bedplate(["build", "-t", "x", "."]).ok().says("CACHED");
}

#[test]
fn a_cache_lives_from_build_to_build() {
    let Some(sandbox) = with_box("build_mounts::cache") else { return };
    sandbox.write("seed/old", "seed");
    let step = |mount: &str| {
        let dockerfile = format!("FROM box\nRUN --mount=type=cache,{mount} ls /c > /out; echo x >> /c/more\n");
        built(&sandbox, &dockerfile, &["--no-cache"]);
        file(&sandbox, "x", "out")
    };
    assert_eq!(step("target=/c"), "");
    assert_eq!(step("target=/c"), "more\n");
    assert_eq!(step("target=/c,id=/c,sharing=locked"), "more\n", "its target is its id");
    assert_eq!(step("target=/c,id=other"), "");
    assert_eq!(step("target=/c,id=seeded,source=seed"), "old\n");
    assert_eq!(step("target=/c,id=seeded,source=seed,sharing=private"), "more\nold\n");
    assert!(!listing(&sandbox, "x").keys().any(|path| path == "c" || path.starts_with("c/")));
    let dockerfile = "FROM box\nRUN --mount=type=cache,target=/c,ro ! touch /c/never\n\
        RUN --mount=type=cache,target=/m,mode=0700,uid=7,gid=8 stat -c '%a %u %g' /m > /out\n";
    built(&sandbox, dockerfile, &["--no-cache"]);
    let owner = if privilege::current() == Privilege::OneUid { "700 0 0\n" } else { "700 7 8\n" };
    assert_eq!(file(&sandbox, "x", "out"), owner);
    // A step that is in the cache of steps is not run for what is in another.
    assert!(sandbox.bedplate(["build", "-t", "x", "."]).ok().stderr.contains("CACHED"));
    let usage = sandbox.bedplate(["system", "df"]).ok().text();
    assert!(usage.lines().any(|line| line.starts_with("Build Cache") && !line.contains(" 0B ")), "{usage}");
    fsck(&sandbox);
    sandbox.bedplate(["builder", "prune", "-f"]).ok();
    assert_eq!(step("target=/c"), "");
}

#[test]
fn a_tmpfs_is_empty_and_bounded() {
    let Some(sandbox) = with_box("build_mounts::tmpfs") else { return };
    let dockerfile = "FROM box\n\
        RUN --mount=type=tmpfs,target=/t,size=64k ls -A /t > /out && echo x > /t/x && ! dd if=/dev/zero of=/t/y bs=1k count=100 2>/dev/null\n";
    built(&sandbox, dockerfile, &[]);
    assert_eq!(file(&sandbox, "x", "out"), "");
    assert!(!listing(&sandbox, "x").contains_key("t"));
}

#[test]
fn secrets_are_seen_by_their_step_only() {
    let Some(sandbox) = with_box("build_mounts::secret") else { return };
    sandbox.write("key", "s3cret-of-a-file");
    let dockerfile = "FROM box\n\
        RUN --mount=type=secret,id=key stat -c '%a %u' /run/secrets/key > /out && wc -c < /run/secrets/key >> /out && ! echo x > /run/secrets/key\n\
        RUN --mount=type=secret,id=key,target=/etc/key,mode=0444,required=true test -s /etc/key\n\
        RUN --mount=type=secret,id=word,env=WORD,required test ${#WORD} = 20 && test ! -e /run/secrets\n\
        RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent\n\
        RUN test -z \"$WORD\" && test ! -e /etc/key\n";
    sandbox.write("Dockerfile", dockerfile);
    let outcome = sandbox
        .bedplate(["build", "-t", "x", "--secret", "id=key,src=key", "--secret", "id=word,env=GIVEN", "."])
        .env("GIVEN", "s3cret-of-a-variable")
        .ok();
    assert_eq!(file(&sandbox, "x", "out"), "400 0\n16\n");
    let tree = listing(&sandbox, "x");
    for path in ["run", "run/secrets", "etc/key"] {
        assert!(!tree.contains_key(path), "{path} is in the image");
    }
    // Nowhere: in no message, no layer, no config, no file of the store.
    let said = outcome.stderr.clone() + &sandbox.bedplate(["inspect", "x"]).ok().text();
    let saved = sandbox.bedplate(["save", "x"]).ok().stdout;
    assert!(!said.contains("s3cret-of") && !String::from_utf8_lossy(&saved).contains("s3cret-of"));
    let grep =
        std::process::Command::new("grep").args(["-r", "-l", "s3cret-of"]).arg(sandbox.store()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&grep.stdout), "");
    // Another value makes no step anew.
    let again = sandbox.bedplate(["build", "-t", "x", "--secret", "id=key,src=Dockerfile", "."]).ok();
    assert_eq!(again.text(), outcome.text());

    sandbox.write("Dockerfile", "FROM box\nRUN --mount=type=secret,id=token,required true\n");
    sandbox
        .bedplate(["build", "."])
        .ends(1)
        .says("the secret \"token\" is required")
        .says("--secret id=token,src=FILE");
    for (given, says) in [
        ("key", "is no KEY=VALUE"),
        ("src=key", "it has no id"),
        ("id=a,src=gone", "cannot read the secret \"gone\""),
        ("id=a,env=NOT_SET", "NOT_SET is not set"),
        ("id=a,src=x,env=Y", "not both"),
        ("id=a,kind=x", "there is no option \"kind\""),
    ] {
        sandbox.bedplate(["build", "--secret", given, "."]).fails().says(says);
    }
}

#[test]
fn a_cache_of_apts_keeps_what_apt_fetched() {
    let Some(sandbox) = with_box("build_mounts::apt") else { return };
    let clean = "etc/apt/apt.conf.d/docker-clean";
    let text = "DPkg::Post-Invoke { \"rm -f /var/cache/apt/archives/*.deb\"; };\n";
    sandbox.write("clean", text);
    sandbox.write_program("apt-get", format!("#!/bin/sh\ncat /{clean} > /out\n"));
    let base = format!("FROM box AS base\nCOPY clean /{clean}\nCOPY apt-get show /bin/\n");
    sandbox.write_program("show", format!("#!/bin/sh\nrm /{clean} && touch /out\n"));
    let told = |mounts: &str, command: &str| {
        let dockerfile = format!("{base}FROM base\nRUN {mounts} {command}\n");
        built(&sandbox, &dockerfile, &["--no-cache"]);
        file(&sandbox, "x", "out").contains("Keep-Downloaded-Packages")
    };
    let cache = "--mount=type=cache,target=/var/cache/apt,sharing=locked";
    assert!(told(cache, "apt-get update"));
    assert_eq!(file(&sandbox, "x", clean), text);
    assert!(told("--mount=type=cache,target=/var/cache/apt/archives", "apt-get update"));
    assert!(told("--mount=type=tmpfs,target=/t --mount=type=cache,target=/var/cache", "apt-get update"));
    assert!(!told("", "apt-get update"));
    assert!(!told("--mount=type=cache,target=/var/cache/aptitude", "apt-get update"));
    assert!(!told("--mount=type=tmpfs,target=/var/cache/apt", "apt-get update"));
    // What Dockerfiles for other builders do by hand works, and so does a script that does it.
    for command in [&format!("rm -f /{clean} && touch /out && ! apt-get update"), "show"] {
        assert!(!told(cache, command), "{command}");
        assert!(!listing(&sandbox, "x").contains_key(clean), "{command}");
    }
    let none = format!("FROM box\nRUN {cache} echo apt && test ! -e /{clean}\n");
    built(&sandbox, &none, &[]);
}

#[test]
fn an_agent_answers_through_its_socket() {
    let Some(sandbox) = with_box("build_mounts::ssh") else { return };
    let socket = sandbox.path("agent");
    let _listener = UnixListener::bind(&socket).unwrap();
    let dockerfile = "FROM box\n\
        RUN --mount=type=ssh test -S \"$SSH_AUTH_SOCK\" && echo $SSH_AUTH_SOCK > /out\n\
        RUN --mount=type=ssh,id=mine,target=/a test -S /a\n\
        RUN --mount=type=ssh,mode=0660,uid=7,gid=8 stat -c '%a %u %g' $SSH_AUTH_SOCK > /owner\n\
        RUN --mount=type=ssh,id=none test ! -e /run/buildkit\n\
        RUN test -z \"$SSH_AUTH_SOCK\"\n";
    sandbox.write("Dockerfile", dockerfile);
    let mine = format!("mine={}", socket.display());
    let words = ["build", "-t", "x", "--ssh", "default", "--ssh", &mine, "."];
    sandbox.bedplate(words).env("SSH_AUTH_SOCK", &socket).ok();
    assert_eq!(file(&sandbox, "x", "out"), "/run/buildkit/ssh_agent.0\n");
    let owner = if privilege::current() == Privilege::OneUid { "660 0 0\n" } else { "660 7 8\n" };
    assert_eq!(file(&sandbox, "x", "owner"), owner);
    assert!(!listing(&sandbox, "x").contains_key("run/buildkit"));
    sandbox
        .bedplate(["build", "--ssh", "default", "."])
        .env_remove("SSH_AUTH_SOCK")
        .fails()
        .says("SSH_AUTH_SOCK is not set");
    sandbox.bedplate(["build", "--ssh", "k=Dockerfile", "."]).fails().says("is no socket").says("ssh-add");
    sandbox.write("Dockerfile", "FROM box\nRUN --mount=type=ssh,required true\n");
    sandbox.bedplate(["build", "."]).ends(1).says("the SSH agent \"default\" is required").says("--ssh default");
}

#[test]
fn variables_in_mounts_are_replaced() {
    let Some(sandbox) = with_box("build_mounts::variables") else { return };
    sandbox.write("dir/a", "found");
    let dockerfile =
        "FROM box\nARG WHERE=dir\nENV TO=/there\nRUN --mount=source=${WHERE},target=$TO cat /there/a > /out\n";
    built(&sandbox, dockerfile, &[]);
    assert_eq!(file(&sandbox, "x", "out"), "found");
}

//! Flags of `build` that say what steps have, and those that scripts bring along.

use std::io::{BufRead as _, BufReader};

use bedplate_testkit::oracle;

use crate::build::{build, file, listing};
use crate::kit::{busybox_image, can_run, fsck, sandbox};

#[test]
fn steps_have_what_the_flags_say() {
    if !can_run("build_flags::steps") {
        return;
    }
    let sandbox = sandbox();
    if busybox_image(&sandbox, "build_flags::steps").is_none() {
        return;
    }
    let dockerfile = "FROM box\nRUN cat /etc/hosts > /hosts; ulimit -n > /files; \
        mount | grep ' /dev/shm ' > /shm; grep -c : /proc/net/dev > /devices\n\
        RUN --network=none grep -c : /proc/net/dev > /none\nRUN --network=host grep -c : /proc/net/dev > /host\n";
    let plain = build(&sandbox, dockerfile, &["-t", "x"]);
    let (hosts, host) = (file(&sandbox, "x", "hosts"), file(&sandbox, "x", "host"));
    assert!(hosts.contains("127.0.0.1\tlocalhost build\n") && !hosts.contains("wanted"), "{hosts}");
    assert_eq!(file(&sandbox, "x", "devices"), host);
    assert_eq!(file(&sandbox, "x", "none"), "1\n");
    let flags = [
        "-t",
        "x",
        "--add-host",
        "wanted:10.0.0.1",
        "--add-host",
        "here=host-gateway",
        "--ulimit",
        "nofile=77:99",
        "--shm-size",
        "2m",
        "--network",
        "none",
    ];
    let flagged = build(&sandbox, dockerfile, &flags);
    assert_ne!(flagged, plain);
    let hosts = file(&sandbox, "x", "hosts");
    assert!(hosts.contains("10.0.0.1\twanted\n") && hosts.contains("127.0.0.1\there\n"), "{hosts}");
    assert_eq!(file(&sandbox, "x", "files"), "77\n");
    assert!(file(&sandbox, "x", "shm").contains("size=2048k"), "{}", file(&sandbox, "x", "shm"));
    assert_eq!((file(&sandbox, "x", "devices"), file(&sandbox, "x", "host")), ("1\n".to_owned(), host));
    // They are part of a step's key, and leave nothing else behind.
    assert_eq!(build(&sandbox, dockerfile, &flags), flagged);
    assert_eq!(build(&sandbox, dockerfile, &["-t", "x"]), plain);
    assert!(!listing(&sandbox, "x").contains_key("etc/hosts"));
}

#[test]
fn an_interrupt_ends_the_steps_and_the_build() {
    if !can_run("build_flags::interrupt") {
        return;
    }
    let sandbox = sandbox();
    if busybox_image(&sandbox, "build_flags::interrupt").is_none() {
        return;
    }
    // Process 1 of a container takes no signal that it does not ask for.
    let begun = format!("begun {}", std::process::id());
    let one = &format!("FROM box AS one\nRUN echo {begun}; sleep 1000\n");
    let two = format!("{one}FROM box AS two\nRUN sleep 1000\nFROM one\nCOPY --from=two / /\n");
    for (dockerfile, signal, status) in [(one, "INT", 130), (one, "TERM", 143), (&two, "INT", 130), (&two, "HUP", 129)]
    {
        sandbox.write("Dockerfile", dockerfile);
        let mut child = sandbox.bedplate(["build", "--progress", "plain", "--jobs", "2", "."]).start();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        said.by_ref().find(|line| line.contains(&begun) && !line.contains("RUN")).unwrap();
        oracle::command("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        let ended = child.wait().unwrap();
        let rest: Vec<String> = said.collect();
        assert_eq!(ended.code(), Some(status), "{signal} {dockerfile}: {rest:?}");
        assert!(rest.iter().any(|line| line == "error: the build was interrupted"), "{rest:?}");
        fsck(&sandbox);
    }
    let left = oracle::expect(oracle::command("ps").args(["-eo", "args"]));
    assert!(!left.lines().any(|line| line.contains(&begun)), "{left}");
}

#[test]
fn flags_of_scripts_are_taken_or_answered() {
    let sandbox = sandbox();
    sandbox.write("Dockerfile", "FROM scratch\nENV A=b\n");
    let with = |flag: &str| sandbox.bedplate(["build", flag, "."]);
    for flag in ["--rm", "--rm=false", "--force-rm", "--provenance=false", "--sbom=false", "--load", "--network=host"] {
        with(flag).ok();
    }
    for (flag, words) in [
        ("--pull", "registries are not supported yet"),
        ("--push", "registries are not supported yet"),
        ("--provenance=mode=max", "no attestations"),
        ("--sbom", "no attestations"),
        ("--shm-size=much", "--shm-size"),
        ("--add-host=x", "expected NAME:ADDRESS"),
        ("--ulimit=nofile", "--ulimit"),
    ] {
        with(flag).ends(1).says(words);
    }
}

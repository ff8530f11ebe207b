//! How containers end, and what is said when they cannot begin.

use bedplate_run::RuntimeConfig;
use bedplate_testkit::program::{Machine, dynamic, hello, mach_o, pe};

use crate::job::{Place, able};

#[test]
fn statuses_pass_through() {
    if !able("statuses_pass_through") {
        return;
    }
    let place = Place::new();
    for (words, init, code) in [
        (&["exit", "0"][..], false, 0),
        (&["exit", "42"], false, 42),
        (&["exit", "255"], false, 255),
        (&["exit", "7"], true, 7),
        // Process 1 is spared by signals it does not handle, its child is not.
        (&["kill", "15"], false, 99),
        (&["kill", "15"], true, 143),
        (&["kill", "9"], true, 137),
    ] {
        let config = RuntimeConfig { init, ..place.probe(words) };
        assert_eq!(place.run(&config).code, code, "{words:?} {init}");
    }
}

#[test]
fn what_cannot_be_executed_is_explained() {
    if !able("what_cannot_be_executed_is_explained") {
        return;
    }
    let place = Place::new();
    let foreign = Machine::foreign();
    place.program("bin/foreign", &hello(foreign));
    place.program("bin/mac", &mach_o());
    place.program("bin/win", &pe());
    place.program("bin/script", b"#!/bin/missing -x\nexit 0\n");
    place.program("bin/crlf", b"#!/bin/probe\r\n");
    place.program("bin/text", b"echo hello\n");
    place.program("bin/empty", b"");
    place.program("bin/dynamic", &dynamic(Machine::host(), "/lib/missing-loader.so.2"));
    place.file("bin/data", b"\x01\x02");
    std::fs::create_dir(place.path("lower/bin/dir")).unwrap();
    let other = foreign.docker_name();
    for (command, code, words) in [
        ("nonsense", 127, "error: executable file \"nonsense\" not found in the container's PATH\n".to_owned()),
        ("/nonsense", 127, "error: cannot execute \"/nonsense\": no such file in the image\n".into()),
        ("/bin/foreign", 126, format!("it is a program for {other}, this machine is ")),
        ("foreign", 126, format!("it is a program for {other}, this machine is ")),
        ("/bin/mac", 126, "it is a program for macOS (Mach-O), a Linux container needs ELF".into()),
        ("/bin/win", 126, "it is a program for Windows (PE), a Linux container needs ELF".into()),
        ("/bin/script", 127, "its interpreter \"/bin/missing\" is not in the image".into()),
        ("/bin/crlf", 127, "its interpreter \"/bin/probe\\r\" is not in the image".into()),
        ("script", 127, "its interpreter \"/bin/missing\" is not in the image".into()),
        ("/bin/text", 126, "it is a text file without an interpreter line".into()),
        ("/bin/empty", 126, "the file is empty".into()),
        ("/bin/dynamic", 127, "its loader \"/lib/missing-loader.so.2\" is not in the image".into()),
        ("/bin/data", 126, "permission denied".into()),
        ("data", 126, "permission denied".into()),
        ("/bin/dir", 126, "it is a directory".into()),
        ("", 125, "error: no command".into()),
    ] {
        let mut config = place.probe(&[]);
        config.args = vec![command.to_owned()];
        config.env = vec!["PATH=/bin".into()];
        let ran = place.run(&config);
        assert_eq!(ran.code, code, "{command}: {ran:?}");
        assert!(ran.stderr.contains(&words), "{command}: {ran:?}");
    }
}

#[test]
fn a_command_is_looked_for_in_the_container_s_path() {
    if !able("a_command_is_looked_for_in_the_container_s_path") {
        return;
    }
    let place = Place::new();
    place.file("first/probe", b"not executable");
    let mut config = place.probe(&[]);
    config.args = vec!["probe".into(), "exit".into(), "5".into()];
    for (path, code) in [("PATH=/missing:/first:/bin", 5), ("PATH=/first", 126), ("PATH=/missing", 127), ("PATH=", 127)]
    {
        config.env = vec![path.into()];
        assert_eq!(place.run(&config).code, code, "{path}");
    }
    config.env = vec![];
    assert_eq!(place.run(&config).code, 5, "the default");
    config.env = vec!["PATH=".into()];
    config.cwd = "/bin".into();
    assert_eq!(place.run(&config).code, 5, "an empty part is the working directory");
    config.args[0] = "./probe".into();
    assert_eq!(place.run(&config).code, 5, "relative to the working directory");
}

#[test]
fn process_one_of_init_reaps_orphans() {
    if !able("process_one_of_init_reaps_orphans") {
        return;
    }
    let place = Place::new();
    for (init, zombies) in [(true, "0"), (false, "1")] {
        let ran = place.run(&RuntimeConfig { init, ..place.probe(&["orphan"]) }).ok();
        assert_eq!(ran.one("zombies"), zombies, "{init}");
    }
    let ran = place.run(&RuntimeConfig { init: true, ..place.probe(&["report"]) }).ok();
    assert_eq!((ran.one("pid"), ran.one("ppid")), ("2", "1"));
    assert_eq!((ran.one("SigIgn"), ran.one("SigBlk")), ("0000000000000000", "0000000000000000"));
    // Neither the host's program nor its directories can be reached through process 1.
    let ran = place.run(&RuntimeConfig { init: true, ..place.probe(&["list", "/proc/1/root"]) });
    assert_eq!((ran.code, ran.stdout.as_str()), (1, "unreadable /proc/1/root 13\n"));
    let ran = place.run(&RuntimeConfig { init: true, ..place.probe(&["list", "/proc/1/fd"]) });
    // The three streams, the command's process and the signals; root of a user namespace may not even look.
    let hidden = ran.stdout == "unreadable /proc/1/fd 13\n";
    assert!(hidden || ran.stdout.lines().count() == 5, "{ran:?}");
}

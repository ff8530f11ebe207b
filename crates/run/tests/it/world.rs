//! What a command finds around it: variables, directories, limits, files.

use bedplate_run::{Limit, RuntimeConfig};

use crate::job::{Place, able};

#[test]
fn variables_directory_and_limits() {
    if !able("variables_directory_and_limits") {
        return;
    }
    let place = Place::new();
    let config = RuntimeConfig {
        env: ["PATH=/bin", "A=1", "A=2"].map(str::to_owned).to_vec(),
        cwd: "/made/here".into(),
        umask: 0o077,
        limits: vec![
            Limit { name: "nofile".into(), soft: Some(64), hard: Some(128) },
            Limit { name: "core".into(), soft: Some(0), hard: Some(0) },
        ],
        ..place.probe(&["report", "with", "words"])
    };
    let ran = place.run(&config).ok();
    assert_eq!(ran.all("env"), ["PATH=/bin", "A=2", "HOME=/"]);
    assert_eq!(ran.one("cwd"), "/made/here");
    assert_eq!(ran.one("umask"), "77");
    assert_eq!(ran.one("rlimit nofile"), "64 128");
    assert_eq!(ran.one("rlimit core"), "0 0");
    assert_eq!(ran.all("arg"), ["0 /bin/probe", "1 report", "2 with", "3 words"]);
    // A working directory is the image's, not a mount point: it stays.
    assert!(place.names("upper").contains(&"made/here".to_owned()));

    for (config, message) in [
        (
            RuntimeConfig { cwd: "relative".into(), ..config.clone() },
            "the working directory \"relative\" is not an absolute path",
        ),
        (
            RuntimeConfig { cwd: "/bin/probe".into(), ..config.clone() },
            "cannot make the working directory \"/bin/probe\"",
        ),
        (
            RuntimeConfig { limits: vec![Limit { name: "nonsense".into(), soft: None, hard: None }], ..config.clone() },
            "unknown limit \"nonsense\"",
        ),
        (RuntimeConfig { args: vec!["a\0b".into()], ..config }, "cannot pass the arguments"),
    ] {
        let ran = place.run(&config);
        assert_eq!(ran.code, 125, "{ran:?}");
        assert!(ran.stderr.contains(message), "{ran:?}");
    }
}

#[test]
fn files_of_etc_belong_to_the_container() {
    if !able("files_of_etc_belong_to_the_container") {
        return;
    }
    let place = Place::new();
    place.file("etc/hosts", b"of the image\n");
    place.file("etc/resolv.conf", b"of the image\n");
    let config = RuntimeConfig { hosts: Some("made\n".into()), ..place.probe(&["cat", "/etc/hosts"]) };
    assert_eq!(place.run(&config).ok().stdout, "made\n");
    let words = ["/bin/probe", "cat", "/etc/resolv.conf"].map(str::to_owned).to_vec();
    assert_eq!(place.run(&RuntimeConfig { args: words, ..config.clone() }).ok().stdout, "of the image\n");
    // What the command writes there is gone with it.
    let words = ["/bin/probe", "write", "/etc/hosts", "changed"].map(str::to_owned).to_vec();
    place.run(&RuntimeConfig { args: words, ..config }).ok();
    assert_eq!(std::fs::read(place.path("lower/etc/hosts")).unwrap(), b"of the image\n");
    assert!(!place.names("upper").contains(&"etc/hosts".to_owned()));
}

#[test]
fn dev_holds_what_programs_count_on() {
    if !able("dev_holds_what_programs_count_on") {
        return;
    }
    let place = Place::new();
    let ran = place.run(&place.probe(&["list", "/dev"])).ok();
    let mut found: Vec<(String, String)> = ran
        .stdout
        .lines()
        .map(|l| {
            let f: Vec<&str> = l.split(' ').collect();
            (f[0].to_owned(), f[1].to_owned())
        })
        .collect();
    found.sort();
    let expected = [
        ("core", "120777"),
        ("fd", "120777"),
        ("full", "20666"),
        ("mqueue", "41777"),
        ("null", "20666"),
        ("ptmx", "120777"),
        ("pts", "40755"),
        ("random", "20666"),
        ("shm", "41777"),
        ("stderr", "120777"),
        ("stdin", "120777"),
        ("stdout", "120777"),
        ("tty", "20666"),
        ("urandom", "20666"),
        ("zero", "20666"),
    ]
    .map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(found, expected);
}

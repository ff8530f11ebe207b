//! What a plain user meets, and what is the same for all.

use crate::kit::*;
use bedplate_testkit::{Sandbox, oracle, privilege, program, skip};
use std::os::unix::fs::MetadataExt as _;

#[test]
fn the_store_of_a_user_is_that_users() {
    let sandbox = sandbox();
    let home = sandbox.path("home");
    std::fs::create_dir(&home).unwrap();
    let data = home.join("data");
    if privilege::is_root() {
        return skip::note("rootless::the_store_of_a_user", "runs as a plain user");
    }
    let import = |command: bedplate_testkit::Invocation| command.env_remove("BEDPLATE_ROOT").stdin(hello_tar());
    import(sandbox.bedplate(["import", "-", "x"])).env("XDG_DATA_HOME", &data).ok();
    assert!(data.join("bedplate/index.json").is_file());
    import(sandbox.bedplate(["import", "-", "x"])).env("HOME", &home).ok();
    let store = home.join(".local/share/bedplate");
    assert!(store.join("index.json").is_file());
    assert_eq!(std::fs::metadata(&store).unwrap().mode() & 0o777, 0o700);
    import(sandbox.bedplate(["import", "-", "x"])).env_remove("HOME").fails().says("BEDPLATE_ROOT");
}

/// The system store, while a test uses it; what was there before is put back.
struct SystemStore {
    kept: Option<std::path::PathBuf>,
}

const SYSTEM: &str = "/var/lib/bedplate";

impl SystemStore {
    fn take() -> SystemStore {
        let kept = std::path::Path::new(SYSTEM)
            .exists()
            .then(|| std::path::PathBuf::from(format!("{SYSTEM}.kept-{}", std::process::id())));
        if let Some(kept) = &kept {
            std::fs::rename(SYSTEM, kept).unwrap();
        }
        SystemStore { kept }
    }
}

impl Drop for SystemStore {
    fn drop(&mut self) {
        bedplate_testkit::remove_tree(std::path::Path::new(SYSTEM));
        if let Some(kept) = &self.kept {
            let _ = std::fs::rename(kept, SYSTEM);
        }
    }
}

#[test]
fn a_plain_run_finds_what_root_imported() {
    let test = "rootless::a_plain_run";
    if !privilege::is_root() {
        return skip::note(test, "needs root, who imports first");
    }
    let sandbox = sandbox();
    let _system = SystemStore::take();
    let as_root = |words: &[&str]| sandbox.bedplate(words).env_remove("BEDPLATE_ROOT");
    let id = as_root(&["import", "-c", "CMD [\"/hello\"]", "-", "focal"]).stdin(hello_tar()).ok().text();
    for uid in users() {
        let Some(user) = OtherUser::new(test, &sandbox, uid) else { return };
        let as_user = |words: &[&str]| user.bedplate(words).env_remove("BEDPLATE_ROOT").folder(&user.home);
        let id_of_focal = || as_user(&["inspect", "--format", "{{.Id}}", "focal"]).ok().text();
        assert_eq!(id_of_focal(), id, "uid {uid}");
        assert_eq!(as_user(&["run", "--rm", "focal"]).ok().text(), program::GREETING.trim_end(), "uid {uid}");
        // What is there is not this user's to change: it is named as such.
        as_user(&["rmi", "focal"]).fails().says(SYSTEM);
        // The own image of the same name comes first.
        std::fs::write(user.home.join("own.tar"), bedplate_testkit::Tar::new().file("own", 0o644, "x").finish())
            .unwrap();
        let own = as_user(&["import", "own.tar", "focal"]).ok().text();
        assert_eq!(id_of_focal(), own, "uid {uid}");
        as_user(&["rmi", "focal"]).ok();
        assert_eq!(id_of_focal(), id, "uid {uid}");
        as_user(&["fsck"]).ok();
    }
}

/// Uids of the users that the test driver makes, with and without a subordinate range, and one that nobody has.
pub(crate) fn users() -> Vec<u32> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut uids: Vec<u32> = passwd
        .lines()
        .filter(|line| line.starts_with("bedplate-subuid:") || line.starts_with("bedplate-one-uid:"))
        .filter_map(|line| line.split(':').nth(2)?.parse().ok())
        .collect();
    if uids.is_empty() {
        skip::note("rootless::users", "the users bedplate-subuid and bedplate-one-uid are not here");
        uids.push(23_456);
    }
    uids
}

#[test]
fn the_binary_is_static() {
    let program = std::fs::read(bedplate_testkit::binary(env!("CARGO_BIN_EXE_bedplate"))).unwrap();
    let word = |at: usize, width: usize| -> u64 {
        program[at..at + width].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    };
    let (headers, size, count) = (word(32, 8) as usize, word(54, 2) as usize, word(56, 2) as usize);
    let kinds: Vec<u64> = (0..count).map(|index| word(headers + index * size, 4)).collect();
    assert!(!kinds.contains(&3), "PT_INTERP: the program asks for a dynamic loader");
    for index in 0..count {
        let header = headers + index * size;
        if word(header, 4) != 2 {
            continue;
        }
        // PT_DYNAMIC of a static position-independent program: no DT_NEEDED among its entries.
        let (at, length) = (word(header + 8, 8) as usize, word(header + 32, 8) as usize);
        for entry in (at..at + length).step_by(16) {
            assert_ne!(word(entry, 8), 1, "DT_NEEDED");
        }
    }
}

#[test]
fn the_hosts_name_services_are_never_loaded() {
    let test = "rootless::name_services";
    if oracle::find("strace").is_none() {
        return skip::note(test, "no strace");
    }
    let sandbox = sandbox();
    let trace = sandbox.path("trace");
    let _ = sandbox
        .bedplate(["import", "http://localhost:1/x.tar", "x"])
        .wrap(["strace", "-f", "-e", "trace=open,openat", "-o", trace.to_str().unwrap()])
        .run();
    let text = std::fs::read_to_string(&trace).unwrap_or_default();
    assert!(!text.contains("libnss") && !text.contains(".so"), "{text}");
}

#[test]
fn owners_of_a_layer_do_not_depend_on_who_builds() {
    let sandbox: Sandbox = sandbox();
    sandbox.write("a", "a");
    sandbox.write("Dockerfile", "FROM scratch\nCOPY --chown=70000:80000 a /a\n");
    sandbox.bedplate(["build", "-t", "x", "."]).ok();
    let file = sandbox.path("x.tar");
    sandbox.bedplate(["export", "-o", file.to_str().unwrap(), "x"]).ok();
    let text = oracle::expect(oracle::command("tar").args(["--numeric-owner", "-tvf"]).arg(file));
    assert!(text.lines().any(|line| line.contains(" 70000/80000 ") && line.ends_with('a')), "{text}");
}

#[test]
fn ids_outside_the_range_are_explained() {
    let test = "rootless::ids_outside_the_range";
    if !can_run(test) {
        return;
    }
    let sandbox = sandbox();
    let file = bedplate_testkit::Entry {
        path: b"var-mail",
        uid: 0,
        gid: 70_008,
        data: b"x",
        ..bedplate_testkit::Entry::default()
    };
    let hello = program::hello(program::Machine::host());
    let tar = bedplate_testkit::Tar::new().file("hello", 0o755, hello).entry(&file).finish();
    import(&sandbox, &tar, &["-c", "CMD [\"/hello\"]", "-", "x"]);
    let outcome = sandbox.bedplate(["run", "--rm", "x"]).run();
    if privilege::current() == privilege::Privilege::SubuidRange {
        assert_eq!(outcome.status, Some(125), "{outcome}");
        outcome.says("var-mail").says("hint: group 70008 is outside the 6553").says("/etc/subgid");
    } else {
        // Root may own files by any number; with one uid all files are that user's.
        assert_eq!(outcome.text(), program::GREETING.trim_end(), "{outcome}");
    }
    fsck(&sandbox);
}

/// The uid of the user with a subordinate range that the test driver makes; `None` (and a counted skip) where it is not.
pub(crate) fn user_with_range(test: &str) -> Option<u32> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = passwd.lines().find(|line| line.starts_with("bedplate-subuid:"));
    let uid = line.and_then(|line| line.split(':').nth(2)?.parse().ok());
    if uid.is_none() {
        skip::note(test, "the user bedplate-subuid is not here");
    }
    uid
}

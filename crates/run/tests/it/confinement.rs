//! What a container must not see and must not do.

use bedplate_run::config::{DEFAULT_CAPABILITIES, MASKED_PATHS, READ_ONLY_PATHS};
use bedplate_run::seccomp::Profile;
use bedplate_run::{Network, RuntimeConfig, Seccomp};

use crate::job::{Place, able, is_one, is_root};

/// The 14 capabilities of Docker as the kernel's bits.
const DOCKER_CAPABILITIES: u64 = 0xa804_25fb;

fn own_namespace(kind: &str) -> String {
    std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().to_string_lossy().into_owned()
}

#[test]
fn capabilities_filter_and_namespaces_are_docker_s() {
    if !able("capabilities_filter_and_namespaces_are_docker_s") {
        return;
    }
    let place = Place::new();
    let ran = place.run(&place.probe(&["report"])).ok();
    let caps = format!("{DOCKER_CAPABILITIES:016x}");
    for (key, expected) in [
        ("uid", "0 0"),
        ("gid", "0 0"),
        ("pid", "1"),
        ("ppid", "0"),
        ("hostname", "box"),
        ("cwd", "/"),
        ("umask", "22"),
        ("CapInh", "0000000000000000"),
        ("CapPrm", caps.as_str()),
        ("CapEff", caps.as_str()),
        ("CapBnd", caps.as_str()),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "0"),
        ("Seccomp", "2"),
        ("SigIgn", "0000000000000000"),
        ("SigBlk", "0000000000000000"),
    ] {
        assert_eq!(ran.one(key), expected, "{key}");
    }
    assert_eq!(ran.all("fd"), Vec::<&str>::new(), "descriptors of the host are open");
    for kind in ["mnt", "pid", "uts", "ipc", "cgroup"] {
        assert_ne!(ran.one(&format!("ns {kind}")), own_namespace(kind), "{kind}");
    }
    assert_eq!(ran.one("ns net"), own_namespace("net"));
    assert_eq!(ran.one("ns user") == own_namespace("user"), is_root());
    assert!(ran.all("cgroup").iter().all(|line| line.ends_with(":/")), "{:?}", ran.all("cgroup"));
}

#[test]
fn masked_paths_show_nothing_and_read_only_ones_take_nothing() {
    if !able("masked_paths_show_nothing_and_read_only_ones_take_nothing") {
        return;
    }
    let place = Place::new();
    let ran = place.run(&place.probe(&["report"])).ok();
    let files: Vec<Vec<&str>> = ran.all("file").into_iter().map(|l| l.split(' ').collect()).collect();
    const ENOENT: &str = "2";
    const EROFS: &str = "30";
    // The file belongs to root of the host, which a user namespace does not have.
    const EACCES: &str = "13";
    for file in &files {
        let (path, read, bytes, write) = (file[0], file[2], file[4], file[6]);
        if MASKED_PATHS.contains(&path) {
            // Missing on this kernel, or empty; a directory cannot be read like a file.
            assert!(read == ENOENT || bytes == "0" || bytes == "-1", "{file:?}");
        }
        if READ_ONLY_PATHS.iter().any(|p| path.starts_with(p)) {
            assert!([ENOENT, EROFS, EACCES].contains(&write), "{file:?}");
        }
        if path == "/dev/null" {
            assert_eq!((read, write), ("0", "0"));
        }
        if path == "/dev/kmsg" {
            assert_eq!(read, ENOENT);
        }
    }
    assert!(files.len() > 5);
    let mounts = ran.all("mount").join("\n");
    for path in ["/proc/sys", "/proc/irq"] {
        let line =
            mounts.lines().find(|l| l.contains(&format!(" {path} "))).unwrap_or_else(|| panic!("{path}: {mounts}"));
        assert!(line.contains(" ro,nosuid,nodev,noexec"), "{line}");
    }
    for (path, wanted) in [
        ("/", "nodev"),
        ("/proc", "nosuid,nodev,noexec"),
        ("/dev", "nosuid,nodev"),
        ("/dev/shm", "nosuid,nodev,noexec"),
        ("/dev/mqueue", "nosuid,nodev,noexec"),
        ("/sys", "ro,nosuid,nodev,noexec"),
    ] {
        let line =
            mounts.lines().find(|l| l.split(' ').nth(4) == Some(path)).unwrap_or_else(|| panic!("{path}: {mounts}"));
        assert!(line.split(' ').nth(5).is_some_and(|o| o.contains(wanted)), "{line}");
    }
    assert!(!mounts.contains("/upper") && !mounts.contains("/lower"), "names of the host: {mounts}");
}

#[test]
fn masks_hold_whatever_is_mounted_upon_dev() {
    if !able("masks_hold_whatever_is_mounted_upon_dev") {
        return;
    }
    let place = Place::new();
    let mount = bedplate_run::Mount::Tmpfs {
        target: "/dev".into(),
        read_only: false,
        exec: false,
        suid: false,
        dev: false,
        options: String::new(),
    };
    let ran = place.run(&RuntimeConfig { mounts: vec![mount], ..place.probe(&["report"]) }).ok();
    let keys = ran.all("file").into_iter().find(|l| l.starts_with("/proc/keys ")).unwrap().to_owned();
    // 2 is ENOENT: a kernel without keys.
    assert!(keys.starts_with("/proc/keys read 2 ") || keys.contains(" bytes 0 "), "{keys}");
    assert!(
        ran.all("mount").iter().any(|l| l.contains(" /sys/firmware "))
            || !std::path::Path::new("/sys/firmware").exists()
    );
}

/// Calls of the probe and what the default answers: 0, or the errno.
const ANSWERS: &[(&str, &str)] = &[
    ("getpid", "0"),
    ("unshare_user", "1"),
    ("unshare_mnt", "1"),
    ("mount", "1"),
    ("umount", "1"),
    ("pivot_root", "1"),
    ("keyctl", "1"),
    ("add_key", "1"),
    ("bpf", "1"),
    ("perf_event_open", "1"),
    ("userfaultfd", "1"),
    ("reboot", "1"),
    ("kexec_load", "1"),
    ("init_module", "1"),
    ("setns", "1"),
    ("sethostname", "1"),
    ("open_by_handle_at", "1"),
    ("vsock", "1"),
    ("personality", "1"),
    // ENOSYS, so that programs fall back to clone.
    ("clone3", "38"),
    ("chroot", "0"),
];

#[test]
fn system_calls_are_answered_as_by_docker() {
    if !able("system_calls_are_answered_as_by_docker") {
        return;
    }
    let place = Place::new();
    place.file("tmp/mounted-upon", b"");
    let names: Vec<&str> = ["syscalls"].into_iter().chain(ANSWERS.iter().map(|a| a.0)).collect();
    let ran = place.run(&place.probe(&names)).ok();
    for (name, answer) in ANSWERS {
        assert_eq!(ran.one(name), *answer, "{name}");
    }
    // Without the filter the capabilities still hold; clone3 then complains about its arguments.
    let open =
        RuntimeConfig { seccomp: Seccomp::Unconfined, ..place.probe(&["syscalls", "clone3", "mount", "sethostname"]) };
    let ran = place.run(&open).ok();
    assert_eq!((ran.one("clone3"), ran.one("mount"), ran.one("sethostname")), ("22", "1", "1"));
    let ran = place.run(&RuntimeConfig { seccomp: Seccomp::Unconfined, ..place.probe(&["report"]) }).ok();
    assert_eq!(ran.one("Seccomp"), "0");
}

#[test]
fn a_profile_of_the_user_is_loaded() {
    if !able("a_profile_of_the_user_is_loaded") {
        return;
    }
    let place = Place::new();
    let profile = Profile::parse(
        br#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["chroot"],"action":"SCMP_ACT_ERRNO","errnoRet":99}]}"#,
    )
    .unwrap();
    for no_new_privileges in [false, true] {
        let config = RuntimeConfig {
            seccomp: Seccomp::Profile(Box::new(profile.clone())),
            no_new_privileges,
            ..place.probe(&["syscalls", "chroot"])
        };
        assert_eq!(place.run(&config).ok().one("chroot"), "99");
    }
}

#[test]
fn privileges_can_be_taken_and_given() {
    if !able("privileges_can_be_taken_and_given") {
        return;
    }
    let place = Place::new();
    let report = place.probe(&["report"]);
    let none = RuntimeConfig { capabilities: vec![], no_new_privileges: true, ..report.clone() };
    let ran = place.run(&none).ok();
    assert_eq!((ran.one("CapEff"), ran.one("CapBnd")), ("0000000000000000", "0000000000000000"));
    assert_eq!((ran.one("NoNewPrivs"), ran.one("Seccomp")), ("1", "2"));

    let mut capabilities: Vec<String> = DEFAULT_CAPABILITIES.iter().map(|c| (*c).to_owned()).collect();
    capabilities.push("SYS_ADMIN".into());
    let admin = RuntimeConfig { capabilities, ..place.probe(&["syscalls", "sethostname", "clone3"]) };
    let ran = place.run(&admin).ok();
    // The calls that come with the capability are open, clone3 to its own arguments.
    assert_eq!((ran.one("sethostname"), ran.one("clone3")), ("0", "22"));

    let all =
        RuntimeConfig { privileged: true, masked_paths: vec![], read_only_paths: vec![], ..place.probe(&["report"]) };
    let ran = place.run(&all).ok();
    assert_eq!(ran.one("Seccomp"), "0");
    let bits = u64::from_str_radix(ran.one("CapEff"), 16).unwrap();
    assert!(bits & DOCKER_CAPABILITIES == DOCKER_CAPABILITIES && bits.count_ones() > 30, "{bits:x}");

    let unknown = RuntimeConfig { capabilities: vec!["NONSENSE".into()], ..report };
    let ran = place.run(&unknown);
    assert_eq!((ran.code, ran.stderr.as_str()), (125, "error: unknown capability \"NONSENSE\"\n"));
}

#[test]
fn a_network_of_none_is_a_loopback_device() {
    if !able("a_network_of_none_is_a_loopback_device") {
        return;
    }
    let place = Place::new();
    let ran = place.run(&RuntimeConfig { network: Network::None, ..place.probe(&["report"]) }).ok();
    assert_ne!(ran.one("ns net"), own_namespace("net"));
    assert_eq!(ran.one("interface lo"), "up");
    // sit0 and the like come with some kernels, and are down.
    assert!(ran.all("interface").iter().all(|i| *i == "lo up" || i.ends_with(" down")), "{:?}", ran.all("interface"));
}

#[test]
fn users_of_the_image() {
    if !able("users_of_the_image") {
        return;
    }
    let place = Place::new();
    place.file("etc/passwd", b"root:x:0:0::/root:/bin/sh\nanna:x:1000:100::/home/anna:/bin/sh\n");
    place.file("etc/group", b"users:x:100:\nwheel:x:10:anna,root\n");
    let as_user = |user: &str| RuntimeConfig { user: user.into(), ..place.probe(&["report"]) };
    let ran = place.run(&as_user("root")).ok();
    assert_eq!(ran.one("env"), "HOME=/root");
    let ran = place.run(&as_user("otto"));
    assert_eq!(ran.code, 125);
    assert!(
        ran.stderr.contains("unable to find user \"otto\": no matching entry in the image's /etc/passwd"),
        "{ran:?}"
    );
    let ran = place.run(&as_user("anna"));
    if is_one() {
        assert_eq!(ran.code, 125);
        assert!(ran.stderr.contains("cannot become user 1000:100"), "{ran:?}");
        assert!(ran.stderr.contains("only one ID is mapped: "), "{ran:?}");
        return;
    }
    let ran = ran.ok();
    assert_eq!((ran.one("uid"), ran.one("gid"), ran.one("groups")), ("1000 1000", "100 100", "10 100"));
    assert_eq!(ran.one("env"), "HOME=/home/anna");
    // None in effect, and what a file with capabilities could give.
    assert_eq!(ran.one("CapEff"), "0000000000000000");
    assert_eq!(ran.one("CapBnd"), format!("{DOCKER_CAPABILITIES:016x}"));
    let ran = place.run(&as_user("4711:12")).ok();
    assert_eq!((ran.one("uid"), ran.one("gid"), ran.one("env")), ("4711 4711", "12 12", "HOME=/"));
    assert_eq!(ran.one("CapPrm"), "0000000000000000");
}

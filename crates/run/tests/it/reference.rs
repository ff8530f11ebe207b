//! The same container by a reference runtime: what it gives we give, what it holds back we hold back.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use bedplate_run::{Network, RuntimeConfig};
use serde_json::{Value, json};

use crate::job::{Place, Ran, able, is_root};

/// A configuration in the words of the OCI runtime specification, with Docker's mounts.
fn bundle_config(config: &RuntimeConfig) -> Value {
    let capabilities: Vec<String> = config.capabilities.iter().map(|c| format!("CAP_{c}")).collect();
    let limits: Vec<Value> = config
        .limits
        .iter()
        .map(|l| {
            json!({"type": format!("RLIMIT_{}", l.name.to_uppercase()), "soft": l.soft.unwrap(), "hard": l.hard.unwrap()})
        })
        .collect();
    let mount = |target: &str, kind: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": kind, "options": options});
    let hard = ["nosuid", "noexec", "nodev"];
    let with = |more: &[&'static str]| [&hard[..], more].concat();
    let mut namespaces: Vec<Value> =
        ["pid", "ipc", "uts", "mount", "cgroup"].iter().map(|n| json!({"type": n})).collect();
    if config.network == Network::None {
        namespaces.push(json!({"type": "network"}));
    }
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0, "umask": config.umask},
            "args": config.args,
            "env": config.env,
            "cwd": config.cwd,
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "noNewPrivileges": config.no_new_privileges,
            "rlimits": limits
        },
        "root": {"path": "rootfs", "readonly": config.read_only},
        "hostname": config.hostname,
        "mounts": [
            mount("/proc", "proc", &hard),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/sys", "sysfs", &with(&["ro"])),
            mount("/sys/fs/cgroup", "cgroup", &with(&["ro"])),
            mount("/dev/mqueue", "mqueue", &hard),
            mount("/dev/shm", "tmpfs", &with(&["mode=1777", "size=65536k"]))
        ],
        "linux": {
            "namespaces": namespaces,
            "maskedPaths": config.masked_paths,
            "readonlyPaths": config.read_only_paths
        }
    })
}

/// Runs the same under runc; the reason where it cannot be had.
fn by_reference(place: &Place, config: &RuntimeConfig) -> Result<Ran, String> {
    let runc = bedplate_testkit::oracle::find("runc").ok_or("no runc")?;
    let bundle = place.path("bundle");
    let _ = std::fs::remove_dir_all(&bundle);
    std::fs::create_dir(&bundle).unwrap();
    let copied = Command::new("cp").arg("-a").arg(place.path("lower")).arg(bundle.join("rootfs")).status().unwrap();
    assert!(copied.success());
    std::fs::write(bundle.join("config.json"), bundle_config(config).to_string()).unwrap();
    let id = format!("bedplate-test-{}", place.dir.path().file_name().unwrap().to_string_lossy());
    let output = Command::new(runc)
        .arg("--root")
        .arg(place.path("runc-state"))
        .args(["run", &id])
        .current_dir(&bundle)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let ran = Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        outcome: None,
    };
    if ran.code == 1 && ran.stdout.is_empty() && ran.stderr.contains("runc") {
        return Err(format!("runc cannot run here: {}", ran.stderr.trim()));
    }
    Ok(ran)
}

/// Where we differ from runc 1.1, and why. Everything else must be the same.
const DIFFERENCES: &[(&str, &str)] = &[
    ("groups", "the primary group is among the supplementary ones, as Docker has it since CVE-2022-36109"),
    ("SigIgn", "runc hands on what its caller ignored, a container of ours begins with the defaults"),
    ("Seccomp", "runc was given no filter here; ours is held to Docker's list elsewhere"),
];

/// Mounts that we have and runc has not.
fn is_ours(target: &str) -> bool {
    // Devices are shown and not made: /dev takes none that can be opened.
    let device = ["null", "zero", "full", "random", "urandom", "tty"].iter().any(|d| target == format!("/dev/{d}"));
    // The unified tree of a hybrid host, which runc leaves out.
    device || target == "/sys/fs/cgroup/unified"
}

fn mounts(ran: &Ran) -> BTreeMap<String, Vec<String>> {
    let of = |line: &&str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let flags = fields[5].split(',').filter(|o| ["ro", "nosuid", "nodev", "noexec"].contains(o));
        (fields[4].to_owned(), flags.map(str::to_owned).collect())
    };
    ran.all("mount").iter().map(of).collect()
}

#[test]
fn a_reference_runtime_shows_the_same_and_no_less_is_held_back() {
    const TEST: &str = "a_reference_runtime_shows_the_same_and_no_less_is_held_back";
    if !able(TEST) {
        return;
    }
    if !is_root() {
        return bedplate_testkit::skip::note(TEST, "runc needs root here");
    }
    let place = Place::new();
    place.file("etc/passwd", b"root:x:0:0::/root:/bin/sh\n");
    let plain = RuntimeConfig {
        env: ["PATH=/bin", "A=1"].map(str::to_owned).to_vec(),
        cwd: "/bin".into(),
        limits: vec![bedplate_run::Limit { name: "nofile".into(), soft: Some(100), hard: Some(200) }],
        ..place.probe(&["report", "word"])
    };
    let strict = RuntimeConfig {
        network: Network::None,
        read_only: true,
        no_new_privileges: true,
        capabilities: vec!["CHOWN".into(), "KILL".into()],
        ..plain.clone()
    };
    for config in [plain, strict] {
        let theirs = match by_reference(&place, &config) {
            Ok(ran) => ran.ok(),
            Err(reason) => return bedplate_testkit::skip::note(TEST, &reason),
        };
        let ours = place.run(&config).ok();
        for key in [
            "uid",
            "gid",
            "groups",
            "pid",
            "ppid",
            "sid",
            "hostname",
            "cwd",
            "umask",
            "arg",
            "env",
            "tty",
            "fd",
            "CapInh",
            "CapPrm",
            "CapEff",
            "CapBnd",
            "CapAmb",
            "NoNewPrivs",
            "Seccomp",
            "SigIgn",
            "SigBlk",
            "rlimit nofile",
            "interface",
            "file",
        ] {
            if DIFFERENCES.iter().any(|(k, _)| *k == key) {
                continue;
            }
            assert_eq!(ours.all(key), theirs.all(key), "{key}");
        }
        for kind in ["mnt", "pid", "uts", "ipc", "net", "cgroup"] {
            let key = format!("ns {kind}");
            let own = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().to_string_lossy().into_owned();
            assert_eq!(ours.one(&key) == own, theirs.one(&key) == own, "{key}");
        }
        let (our_mounts, their_mounts) = (mounts(&ours), mounts(&theirs));
        for (target, flags) in &their_mounts {
            let Some(found) = our_mounts.get(target) else {
                panic!("{target} is mounted by runc only: {our_mounts:#?}")
            };
            // The null device as a mask is the host's own here, and a tmpfs node there.
            if config.masked_paths.contains(target) {
                continue;
            }
            assert!(flags.iter().all(|f| found.contains(f)), "{target}: {found:?}, runc has {flags:?}");
        }
        for target in our_mounts.keys().filter(|t| !their_mounts.contains_key(*t)) {
            assert!(is_ours(target), "{target} is mounted by us only");
        }
    }
    // How commands end.
    for (words, init) in [(&["exit", "9"][..], false), (&["kill", "15"], false)] {
        let config = RuntimeConfig { init, ..place.probe(words) };
        let theirs = by_reference(&place, &config).unwrap();
        assert_eq!(place.run(&config).code, theirs.code, "{words:?}");
    }
}

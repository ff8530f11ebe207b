//! `run`: a process in an image.

use crate::kit::*;
use bedplate_testkit::{Invocation, Sandbox, Tar, privilege, program};

/// Runs the probe image's report with options, and returns its lines.
#[track_caller]
fn report(sandbox: &Sandbox, options: &[&str]) -> Vec<String> {
    let mut words = vec!["run", "--rm"];
    words.extend_from_slice(options);
    words.extend(["probe", "report"]);
    let outcome = sandbox.bedplate(words).ok();
    outcome.text().lines().map(str::to_owned).collect()
}

/// The rest of the first line that begins with a key.
#[track_caller]
fn fact<'l>(lines: &'l [String], key: &str) -> &'l str {
    let prefix = format!("{key} ");
    lines
        .iter()
        .find_map(|line| line.strip_prefix(&prefix))
        .unwrap_or_else(|| panic!("no {key} in {lines:#?}"))
        .trim_end()
}

/// The file system type of the mount at a path, and its options.
#[track_caller]
fn mount<'l>(lines: &'l [String], path: &str) -> (&'l str, &'l str) {
    lines
        .iter()
        .filter_map(|line| line.strip_prefix("mount "))
        .rev()
        .find_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let dash = words.iter().position(|word| *word == "-")?;
            (words.get(4) == Some(&path)).then_some((*words.get(dash + 1)?, *words.get(5)?))
        })
        .unwrap_or_else(|| panic!("nothing mounted at {path} in {lines:#?}"))
}

/// A sandbox with the probe image, unless something is missing here.
fn probe_sandbox(test: &str) -> Option<Sandbox> {
    if !can_run(test) {
        return None;
    }
    let sandbox = sandbox();
    probe_image(&sandbox, test)?;
    Some(sandbox)
}

fn box_sandbox(test: &str) -> Option<Sandbox> {
    if !can_run(test) {
        return None;
    }
    let sandbox = sandbox();
    busybox_image(&sandbox, test)?;
    Some(sandbox)
}

/// A shell line in the busybox image.
fn sh(sandbox: &Sandbox, options: &[&str], line: &str) -> Invocation {
    let mut words = vec!["run", "--rm"];
    words.extend_from_slice(options);
    words.extend(["box", "sh", "-c", line]);
    sandbox.bedplate(words)
}

#[test]
fn hello() {
    if !can_run("run::hello") {
        return;
    }
    let sandbox = sandbox();
    hello_image(&sandbox);
    let outcome = sandbox.bedplate(["run", "--rm", "hello"]).ok();
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), program::GREETING);
    outcome.is_silent();
    fsck(&sandbox);
    assert!(list(&sandbox.store().join("containers")).is_empty(), "--rm leaves nothing");
}

#[test]
fn exit_statuses() {
    let Some(sandbox) = box_sandbox("run::exit_statuses") else { return };
    sandbox.write("unused", "");
    let table: &[(&[&str], i32, &str)] = &[
        (&["box", "true"], 0, ""),
        (&["box", "false"], 1, ""),
        (&["box", "sh", "-c", "exit 42"], 42, ""),
        // Without --init it is pid 1 of its namespace, which the kernel protects from itself.
        (&["box", "sh", "-c", "kill -9 $$; exit 6"], 6, ""),
        (&["--init", "box", "sh", "-c", "kill -9 $$"], 137, ""),
        (&["--init", "box", "sh", "-c", "kill -15 $$; sleep 5"], 143, ""),
        (&["box", "/absent"], 127, "/absent"),
        (&["box", "absent-command"], 127, "absent-command"),
        (&["box", "/etc/passwd"], 126, "/etc/passwd"),
        (&["box", "/etc"], 126, "/etc"),
        (&["absent-image"], 125, "absent-image"),
        (&["--no-such-flag", "box"], 125, "--no-such-flag"),
        (&["--network", "absent", "box", "true"], 125, "absent"),
        (&["-v", "/absent-host-path-xyz:/x:zzz", "box", "true"], 125, "zzz"),
        (&["-v", "/tmp:/x", "--tmpfs", "//x/", "box", "true"], 125, "duplicate mount point"),
    ];
    for (arguments, status, word) in table {
        let mut words = vec!["run", "--rm"];
        words.extend_from_slice(arguments);
        let outcome = sandbox.bedplate(words).ends(*status);
        outcome.says(word);
    }
    fsck(&sandbox);
}

#[test]
fn statuses_of_the_probe() {
    let Some(sandbox) = probe_sandbox("run::statuses_of_the_probe") else { return };
    sandbox.bedplate(["run", "--rm", "probe", "exit", "3"]).ends(3);
    // Pid 1 of a namespace cannot be killed by its own ordinary signals, but by SIGKILL of its child's parent: use --init.
    sandbox.bedplate(["run", "--rm", "--init", "probe", "kill", "15"]).ends(143);
    sandbox.bedplate(["run", "--rm", "--init", "probe", "kill", "6"]).ends(134);
}

#[test]
fn what_a_process_sees_by_default() {
    let Some(sandbox) = probe_sandbox("run::what_a_process_sees") else { return };
    let lines = report(&sandbox, &[]);
    assert_eq!(fact(&lines, "uid"), "0 0");
    assert_eq!(fact(&lines, "gid"), "0 0");
    assert_eq!(fact(&lines, "pid"), "1");
    assert_eq!(fact(&lines, "cwd"), "/");
    assert_eq!(fact(&lines, "umask"), "22");
    assert_eq!(fact(&lines, "arg 0"), "/probe");
    assert_eq!(fact(&lines, "arg 1"), "report");
    assert_eq!(fact(&lines, "NoNewPrivs"), if lines.iter().any(|line| line == "NoNewPrivs 1") { "1" } else { "0" });
    assert_eq!(fact(&lines, "Seccomp"), "2", "a filter is loaded");
    assert!(!lines.iter().any(|line| line.starts_with("fd ")), "descriptors leak: {lines:#?}");
    // The 14 default capabilities: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP.
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(fact(&lines, set), "00000000a80425fb", "{set}");
    }
    assert_eq!(fact(&lines, "CapAmb"), "0000000000000000");
    let env: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("env ")).collect();
    assert!(env[0].starts_with("PATH="), "{env:?}");
    assert!(env.contains(&format!("HOSTNAME={}", fact(&lines, "hostname")).as_str()), "{env:?}");
    assert!(env.contains(&"HOME=/root"), "{env:?}");
    assert!(!env.iter().any(|line| line.starts_with("TERM=")), "{env:?}");
    assert_eq!(env.len(), 3, "{env:?}");
    for space in ["mnt", "pid", "uts", "ipc"] {
        let own = std::fs::read_link(format!("/proc/self/ns/{space}")).unwrap();
        assert_ne!(fact(&lines, &format!("ns {space}")), own.to_string_lossy(), "{space}");
    }
}

#[test]
fn dockers_mounts_and_masks() {
    let Some(sandbox) = probe_sandbox("run::dockers_mounts") else { return };
    let lines = report(&sandbox, &[]);
    for (path, kind) in
        [("/proc", "proc"), ("/dev", "tmpfs"), ("/dev/pts", "devpts"), ("/dev/shm", "tmpfs"), ("/dev/mqueue", "mqueue")]
    {
        assert_eq!(mount(&lines, path).0, kind, "{path}");
    }
    assert!(mount(&lines, "/sys").1.starts_with("ro"), "{lines:#?}");
    for path in ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"] {
        if std::path::Path::new(path).exists() {
            assert!(mount(&lines, path).1.starts_with("ro"), "{path}");
        }
    }
    let file = |path: &str| fact(&lines, &format!("file {path}")).to_owned();
    // Masked files read as empty or not at all.
    for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts"] {
        let line = file(path);
        assert!(line.contains("bytes 0") || line.contains("bytes -1"), "{path}: {line}");
    }
    for path in ["/proc/sys/kernel/hostname", "/proc/sysrq-trigger"] {
        assert!(!file(path).contains("write 0 "), "{path} can be written: {}", file(path));
    }
    assert!(file("/dev/null").contains("read 0 bytes 0 write 0"), "{}", file("/dev/null"));
    for path in ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"] {
        assert!(file(path).starts_with("read 0 "), "{path}: {}", file(path));
    }
}

#[test]
fn dangerous_calls_are_refused() {
    let Some(sandbox) = probe_sandbox("run::dangerous_calls") else { return };
    let calls = [
        "mount",
        "umount",
        "pivot_root",
        "keyctl",
        "add_key",
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "reboot",
        "kexec_load",
        "init_module",
        "setns",
        "sethostname",
        "open_by_handle_at",
        "unshare_mnt",
        "unshare_user",
        "vsock",
    ];
    let mut words = vec!["run", "--rm", "probe", "syscalls"];
    words.extend(calls);
    words.extend(["getpid", "chown", "chroot", "setuid"]);
    let outcome = sandbox.bedplate(words).ok();
    let text = outcome.text();
    for call in calls {
        let answer = text.lines().find_map(|line| line.strip_prefix(&format!("{call} "))).unwrap();
        assert_ne!(answer, "0", "{call} was allowed: {text}");
        assert_ne!(answer, "255", "the probe does not know {call}");
    }
    assert!(text.contains("getpid 0\n"), "{text}");
    assert!(text.contains("chroot 0"), "{text}");
    // ENOSYS, so that libc falls back to clone.
    let clone3 = sandbox.bedplate(["run", "--rm", "probe", "syscalls", "clone3"]).ok().text();
    assert_eq!(clone3, "clone3 38");
}

#[test]
fn capabilities_are_added_and_dropped() {
    let Some(sandbox) = probe_sandbox("run::capabilities") else { return };
    let table: &[(&[&str], u64)] = &[
        (&["--cap-drop", "ALL"], 0),
        (&["--cap-drop", "all", "--cap-add", "CHOWN"], 1),
        (&["--cap-drop", "MKNOD"], 0xa804_25fb & !(1 << 27)),
        (&["--cap-add", "SYS_ADMIN"], 0xa804_25fb | 1 << 21),
        (&["--cap-add", "CAP_NET_ADMIN"], 0xa804_25fb | 1 << 12),
    ];
    for (options, expected) in table {
        let lines = report(&sandbox, options);
        assert_eq!(fact(&lines, "CapEff"), format!("{expected:016x}"), "{options:?}");
        assert_eq!(fact(&lines, "CapBnd"), format!("{expected:016x}"), "{options:?}");
    }
    sandbox.bedplate(["run", "--rm", "--cap-add", "NO_SUCH", "probe"]).ends(125).says("NO_SUCH");
}

#[test]
fn security_options() {
    let Some(sandbox) = probe_sandbox("run::security_options") else { return };
    assert_eq!(fact(&report(&sandbox, &["--security-opt", "seccomp=unconfined"]), "Seccomp"), "0");
    assert_eq!(fact(&report(&sandbox, &["--security-opt", "no-new-privileges"]), "NoNewPrivs"), "1");
    sandbox.bedplate(["run", "--rm", "--security-opt", "absent=1", "probe"]).ends(125).says("absent=1");
    let privileged = report(&sandbox, &["--privileged"]);
    assert_eq!(fact(&privileged, "Seccomp"), "0");
    assert!(mount(&privileged, "/sys").1.starts_with("rw") || privilege::current() != privilege::Privilege::Root);
}

#[test]
fn environment() {
    let Some(sandbox) = probe_sandbox("run::environment") else { return };
    sandbox.write("vars", "# comment\nFROM_FILE=1\nFROM_HOST\n\nWITH_SPACE=a b \n");
    let mut words =
        vec!["run", "--rm", "-e", "A=b", "--env", "COPIED", "-e", "ABSENT", "--env-file", "vars", "-e", "HOME=/else"];
    words.extend(["probe", "report"]);
    let outcome = sandbox.bedplate(words).env("COPIED", "from host").env("FROM_HOST", "too").env("OTHER", "no").ok();
    let text = outcome.text();
    for line in [
        "env A=b",
        "env COPIED=from host",
        "env FROM_FILE=1",
        "env FROM_HOST=too",
        "env HOME=/else",
        "env WITH_SPACE=a b ",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} in {text}");
    }
    assert!(!text.contains("env ABSENT") && !text.contains("env OTHER"), "{text}");
    assert_eq!(text.matches("env HOME=").count(), 1);
}

#[test]
fn users() {
    let Some(sandbox) = probe_sandbox("run::users") else { return };
    if privilege::current() == privilege::Privilege::OneUid {
        return bedplate_testkit::skip::note("run::users", "one uid: no other user can be had");
    }
    let table = [
        ("user", "1000 1000", "/home/user"),
        ("1000", "1000 1000", "/home/user"),
        ("user:staff", "1000 50", "/home/user"),
        ("1000:7", "1000 7", "/home/user"),
        ("4321", "4321 0", "/"),
        ("0", "0 0", "/root"),
    ];
    for (user, ids, home) in table {
        let lines = report(&sandbox, &["-u", user]);
        let (uid, gid) = ids.split_once(' ').unwrap();
        assert_eq!(fact(&lines, "uid"), format!("{uid} {uid}"), "{user}");
        assert_eq!(fact(&lines, "gid"), format!("{gid} {gid}"), "{user}");
        assert!(lines.iter().any(|line| *line == format!("env HOME={home}")), "{user}: {lines:#?}");
        if uid != "0" {
            assert_eq!(fact(&lines, "CapEff"), "0000000000000000", "{user}");
        }
    }
    // Supplementary groups come with the user, not with a given group.
    // The primary group is always among them: a program must not be able to lose it.
    for (user, groups) in [("user", "50 1000"), ("user:staff", "50"), ("0", "0"), ("4321", "0")] {
        assert_eq!(fact(&report(&sandbox, &["-u", user]), "groups"), groups, "{user}");
    }
    sandbox.bedplate(["run", "--rm", "-u", "absent", "probe"]).ends(125).says("absent");
    sandbox.bedplate(["run", "--rm", "-u", "0:absent", "probe"]).ends(125).says("absent");
}

#[test]
fn an_image_without_passwd_runs_as_root() {
    if !can_run("run::no_passwd") {
        return;
    }
    let sandbox = sandbox();
    hello_image(&sandbox);
    sandbox.bedplate(["run", "--rm", "-u", "0", "hello"]).ok();
    sandbox.bedplate(["run", "--rm", "hello"]).ok();
    // A name cannot be looked up there, not even this one: as Docker.
    sandbox.bedplate(["run", "--rm", "-u", "root", "hello"]).ends(125).says("root");
}

#[test]
fn working_directory_is_made() {
    let Some(sandbox) = probe_sandbox("run::working_directory") else { return };
    assert_eq!(fact(&report(&sandbox, &["-w", "/new/deep"]), "cwd"), "/new/deep");
    assert_eq!(fact(&report(&sandbox, &["-w", "/etc"]), "cwd"), "/etc");
}

#[test]
fn host_name() {
    let Some(sandbox) = box_sandbox("run::host_name") else { return };
    let outcome =
        sh(&sandbox, &["-h", "chosen"], "hostname; cat /etc/hostname; grep chosen /etc/hosts; echo $HOSTNAME").ok();
    let text = outcome.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines[1], lines[3]), ("chosen", "chosen", "chosen"), "{outcome}");
}

#[test]
fn entrypoint() {
    let Some(sandbox) = box_sandbox("run::entrypoint") else { return };
    let run = |arguments: &[&str]| {
        let mut words = vec!["run", "--rm"];
        words.extend_from_slice(arguments);
        sandbox.bedplate(words).ok().text()
    };
    assert_eq!(run(&["--entrypoint", "echo", "box", "a", "b"]), "a b");
    // The image's CMD is not given to another entrypoint.
    assert_eq!(run(&["--entrypoint", "echo", "box"]), "");
    assert_eq!(run(&["--entrypoint", "", "box", "echo", "x"]), "x");
    // Options after the image are the command's.
    assert_eq!(run(&["box", "echo", "--rm", "-e"]), "--rm -e");
}

#[test]
fn stdin_is_given_only_with_interactive() {
    let Some(sandbox) = probe_sandbox("run::stdin") else { return };
    let data: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let outcome = sandbox.bedplate(["run", "-i", "--rm", "probe", "echo-stdin"]).stdin(data.clone()).ok();
    assert!(outcome.stdout == data, "{} bytes of {}", outcome.stdout.len(), data.len());
    let outcome = sandbox.bedplate(["run", "--rm", "probe", "echo-stdin"]).stdin("x").ok();
    assert!(outcome.stdout.is_empty(), "{outcome}");
}

#[test]
fn stdout_and_stderr_stay_apart() {
    let Some(sandbox) = box_sandbox("run::outputs") else { return };
    let outcome = sh(&sandbox, &[], "echo out; echo err >&2").ok();
    assert_eq!((outcome.text().as_str(), outcome.stderr.as_str()), ("out", "err\n"));
}

#[test]
fn volumes() {
    let Some(sandbox) = box_sandbox("run::volumes") else { return };
    sandbox.write("shared/in", "from the host\n");
    let shared = sandbox.path("shared");
    let shared = shared.to_str().unwrap();
    let outcome = sh(&sandbox, &["-v", &format!("{shared}:/mnt/x")], "cat /mnt/x/in && echo out > /mnt/x/out").ok();
    assert_eq!(outcome.text(), "from the host");
    assert_eq!(std::fs::read_to_string(sandbox.path("shared/out")).unwrap(), "out\n");
    let refused = sh(&sandbox, &["-v", &format!("{shared}:/mnt/x:ro")], "echo out > /mnt/x/refused").run();
    assert_ne!(refused.status, Some(0));
    assert!(!sandbox.path("shared/refused").exists());
    let mount = format!("type=bind,source={shared},target=/m,readonly");
    assert_eq!(sh(&sandbox, &["--mount", &mount], "cat /m/in").ok().text(), "from the host");
    assert_ne!(sh(&sandbox, &["--mount", &mount], "touch /m/new").run().status, Some(0));
    let mount = "type=bind,source=/absent-path-xyz,target=/m";
    sandbox.bedplate(["run", "--rm", "--mount", mount, "box", "true"]).ends(125).says("/absent-path-xyz");
    // One file.
    let file = sandbox.path("shared/in");
    let bind = format!("{}:/etc/motd:ro", file.display());
    assert_eq!(sh(&sandbox, &["-v", &bind], "cat /etc/motd").ok().text(), "from the host");
    fsck(&sandbox);
}

#[test]
fn read_only_roots_and_temporary_files() {
    let Some(sandbox) = box_sandbox("run::read_only") else { return };
    let outcome = sh(&sandbox, &["--read-only"], "touch /x").run();
    assert_ne!(outcome.status, Some(0));
    outcome.says("Read-only");
    sh(&sandbox, &["--read-only", "--tmpfs", "/scratch:size=1m,mode=1777"], "touch /scratch/x /dev/shm/y").ok();
    let outcome =
        sh(&sandbox, &["--tmpfs", "/scratch:size=64k"], "dd if=/dev/zero of=/scratch/x bs=128k count=1").run();
    assert_ne!(outcome.status, Some(0));
    let outcome = sh(&sandbox, &["--tmpfs", "/scratch"], "stat -c %a /scratch; grep ' /scratch ' /proc/mounts").ok();
    assert!(outcome.text().starts_with("1777\n") && outcome.text().contains("tmpfs"), "{outcome}");
}

#[test]
fn networks() {
    let Some(sandbox) = probe_sandbox("run::networks") else { return };
    let interfaces = |lines: &[String]| -> Vec<String> {
        lines.iter().filter_map(|line| line.strip_prefix("interface ")).map(str::to_owned).collect()
    };
    let none = report(&sandbox, &["--network", "none"]);
    assert_eq!(interfaces(&none).iter().filter(|line| !line.ends_with("down")).collect::<Vec<_>>(), ["lo up"]);
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_ne!(fact(&none, "ns net"), own.to_string_lossy());
    for options in [&["--network", "host"][..], &[]] {
        let host = report(&sandbox, options);
        assert_eq!(fact(&host, "ns net"), own.to_string_lossy(), "{options:?}");
    }
}

#[test]
fn limits() {
    let Some(sandbox) = probe_sandbox("run::limits") else { return };
    let lines = report(&sandbox, &["--ulimit", "nofile=100:200", "--ulimit", "core=0"]);
    assert_eq!(fact(&lines, "rlimit nofile"), "100 200");
    assert_eq!(fact(&lines, "rlimit core"), "0 0");
    for bad in ["nofile", "nofile=x", "absent=1", "nofile=5:1"] {
        sandbox.bedplate(["run", "--rm", "--ulimit", bad, "probe"]).ends(125).says(bad.split('=').next().unwrap());
    }
}

#[test]
fn an_init_process_reaps() {
    let Some(sandbox) = probe_sandbox("run::init") else { return };
    let lines = report(&sandbox, &["--init"]);
    assert_ne!(fact(&lines, "pid"), "1");
    assert_eq!(fact(&lines, "ppid"), "1");
    let outcome = sandbox.bedplate(["run", "--rm", "--init", "probe", "orphan"]).ok();
    assert_eq!(outcome.text(), "zombies 0");
}

#[test]
fn signals_reach_the_process() {
    let Some(sandbox) = probe_sandbox("run::signals") else { return };
    for (signal, number) in [("TERM", 15), ("HUP", 1), ("USR1", 10), ("INT", 2)] {
        use std::io::{BufRead as _, BufReader, Read as _};
        let mut child = sandbox.bedplate(["run", "--rm", "probe", "trap"]).start();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        bedplate_testkit::oracle::expect(
            bedplate_testkit::oracle::command("kill").args([&format!("-{signal}"), &child.id().to_string()]),
        );
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, format!("caught {number}\n"));
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    fsck(&sandbox);
}

#[test]
fn a_terminal() {
    let test = "run::a_terminal";
    let Some(sandbox) = box_sandbox(test) else { return };
    if bedplate_testkit::oracle::find("script").is_none() {
        return bedplate_testkit::skip::note(test, "no script (package bsdutils)");
    }
    // Without a terminal on our side, `-t` is an error as Docker's when stdin is asked for.
    let outcome = sandbox.bedplate(["run", "--rm", "-i", "-t", "box", "tty"]).stdin("").run();
    assert_ne!(outcome.status, Some(0), "{outcome}");
    let program = bedplate_testkit::binary(env!("CARGO_BIN_EXE_bedplate"));
    let line = format!(
        "stty rows 33 cols 77; exec {} run --rm -i -t box sh -c 'tty; stty size; echo $TERM; test -t 1 && echo yes; exit 5'",
        program.display()
    );
    let outcome = sandbox
        .bedplate([] as [&str; 0])
        .wrap(["sh", "-c", "exec script -q -e -c \"$1\" /dev/null", "sh", &line])
        .run();
    // script(1) sends the end of its own stdin as control characters, which the terminal echoes.
    let text = outcome.text().replace('\r', "").replace("^@", "").replace("^D", "").replace('\x08', "");
    assert!(text.contains("/dev/pts/0\n33 77\nxterm\nyes"), "{outcome}");
}

#[test]
fn a_program_that_cannot_start_is_explained() {
    if !can_run("run::diagnosis") {
        return;
    }
    use program::{Machine, dynamic, hello, mach_o, pe};
    let sandbox = sandbox();
    let tar = Tar::new()
        .file("script", 0o755, "#!/bin/absent-shell\necho\n")
        .file("crlf", 0o755, "#!/bin/sh\r\necho\n")
        .file("noshebang", 0o755, "echo\n")
        .file("dynamic", 0o755, dynamic(Machine::host(), "/lib/absent-loader.so.1"))
        .file("foreign", 0o755, hello(Machine::foreign()))
        .file("mac", 0o755, mach_o())
        .file("windows", 0o755, pe())
        .file("empty", 0o755, "")
        .finish();
    import(&sandbox, &tar, &["--platform", &format!("linux/{}", Machine::host().docker_name()), "-", "x"]);
    let table = [
        ("/script", "/bin/absent-shell"),
        ("/dynamic", "/lib/absent-loader.so.1"),
        ("/foreign", Machine::foreign().docker_name()),
        ("/mac", "Mach-O"),
        ("/windows", "PE"),
        ("/empty", "empty"),
        ("/noshebang", "#!"),
    ];
    for (path, word) in table {
        let outcome = sandbox.bedplate(["run", "--rm", "x", path]).run();
        assert!(matches!(outcome.status, Some(126 | 127)), "{outcome}");
        assert!(outcome.stderr.to_lowercase().contains(&word.to_lowercase()), "{path}: {word}: {outcome}");
    }
    fsck(&sandbox);
}

#[test]
fn an_image_without_a_command_needs_one() {
    let sandbox = sandbox();
    import(&sandbox, &hello_tar(), &["-", "x"]);
    sandbox.bedplate(["run", "--rm", "x"]).ends(125).says("command");
    import(&sandbox, &[0; 1024], &["-", "nothing"]);
    sandbox.bedplate(["run", "--rm", "nothing", "/x"]).fails();
    fsck(&sandbox);
}

#[test]
fn changes_of_one_run_do_not_reach_the_next() {
    let Some(sandbox) = box_sandbox("run::changes") else { return };
    sh(&sandbox, &[], "echo x > /new; rm /etc/passwd; echo y > /etc/group").ok();
    let outcome = sh(&sandbox, &[], "ls /new; cat /etc/passwd /etc/group").run();
    assert!(outcome.text().contains("root:x:0:0") && outcome.text().contains("staff"), "{outcome}");
    outcome.says("/new");
    fsck(&sandbox);
}

#[test]
fn without_rm_the_container_is_kept_by_name() {
    let Some(sandbox) = box_sandbox("run::kept") else { return };
    sandbox.bedplate(["run", "--name", "kept", "box", "sh", "-c", "echo x > /new"]).ok();
    sandbox.bedplate(["run", "--name", "kept", "box", "true"]).ends(125).says("kept");
    fsck(&sandbox);
    sandbox.bedplate(["run", "--name", "-bad name", "box", "true"]).ends(125);
}

#[test]
fn a_taken_cidfile_leaves_no_container() {
    let Some(sandbox) = box_sandbox("run::a_taken_cidfile_leaves_no_container") else { return };
    sandbox.write("id", "");
    for words in [&["run", "--cidfile", "id", "box", "true"][..], &["run", "--rm", "--cidfile", "id", "box", "true"]] {
        sandbox.bedplate(words).ends(125).says("cannot write the container's ID to id");
        assert_eq!(sandbox.bedplate(["ps", "-aq"]).ok().text(), "", "{words:?}");
    }
    fsck(&sandbox);
}

#[test]
fn an_image_of_many_layers() {
    let Some(sandbox) = box_sandbox("run::an_image_of_many_layers") else { return };
    // More than mount(2) has room for in its one page of options.
    let copies: String = (0..140).map(|number| format!("COPY a /f{number}\n")).collect();
    sandbox.write("a", "a");
    sandbox.write("Dockerfile", format!("FROM box\n{copies}"));
    sandbox.bedplate(["build", "-t", "many", "."]).ok();
    let run = |line: &str| sandbox.bedplate(["run", "--rm", "many", "sh", "-c", line]).ok().text();
    assert_eq!(run("ls -d /f* | wc -l").trim(), "140");
    sandbox.write("Dockerfile", "FROM many\nRUN rm /f7 && touch /g\n");
    sandbox.bedplate(["build", "-t", "many", "."]).ok();
    assert_eq!(run("ls -d /f* /g | wc -l").trim(), "140");
    fsck(&sandbox);
}

#[test]
fn odd_places_of_a_store() {
    if !can_run("run::odd_places_of_a_store") {
        return;
    }
    let sandbox = sandbox();
    // What mount options and paths with colons could trip over.
    for name in ["with space", "a:b,c", "back\\slash", "quote\"'", "tab\tx", "ünï", "-dash", "new\nline"] {
        let folder = sandbox.path(name);
        std::fs::create_dir(&folder).unwrap();
        for root in [folder.as_os_str(), std::ffi::OsStr::new(".")] {
            let at = |words: &[&str]| sandbox.bedplate(words).env("BEDPLATE_ROOT", root).folder(&folder);
            at(&["import", "-c", "CMD [\"/hello\"]", "-", "x"]).stdin(hello_tar()).ok();
            assert_eq!(at(&["run", "--rm", "x"]).ok().text(), program::GREETING.trim_end(), "{name:?}");
            at(&["fsck"]).ok();
        }
    }
}

#[test]
fn nothing_stays_behind() {
    let test = "run::nothing_stays_behind";
    let Some(sandbox) = box_sandbox(test) else { return };
    let mounts = || {
        std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().filter(|line| line.contains("/bp-")).count()
    };
    let before = mounts();
    // A number of seconds that no one else sleeps, as the mark of this test's process.
    let mark = format!("9{}", std::process::id());
    let sleepers = || {
        let mut found = 0;
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let text = String::from_utf8_lossy(&line).into_owned();
            found += usize::from(text.starts_with("sleep\0") && text.contains(&mark));
        }
        found
    };
    for options in [&[][..], &["--init"]] {
        let mut words = vec!["run", "--rm"];
        words.extend_from_slice(options);
        words.extend(["box", "sleep", &mark]);
        let mut child = sandbox.bedplate(words).start();
        let begin = std::time::Instant::now();
        while sleepers() == 0 {
            assert!(begin.elapsed().as_secs() < 20, "the container does not start");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let begin = std::time::Instant::now();
        while sleepers() > 0 {
            assert!(begin.elapsed().as_secs() < 5, "a killed bedplate leaves its container running: {options:?}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    assert_eq!(mounts(), before, "mounts stay on the machine");
    fsck(&sandbox);
    sandbox.bedplate(["prune", "-f"]).ok();
    assert!(list(&sandbox.store().join("containers")).is_empty());
}

#[test]
fn a_tree_with_everything_is_unpacked() {
    let test = "run::a_tree_with_everything";
    let Some(sandbox) = probe_sandbox(test) else { return };
    let mut items = bedplate_testkit::generate::items(&bedplate_testkit::generate::Spec::everything(21));
    for item in &mut items {
        item.owner = (item.owner.0 % 60_000, item.owner.1 % 60_000);
    }
    let tar = bedplate_testkit::generate::to_tar(&items);
    let probe = std::fs::read(bedplate_testkit::probe::build().unwrap()).unwrap();
    let end = Tar::new().file("probe", 0o755, probe).finish();
    import(&sandbox, &[&tar[..tar.len() - 1024], &end].concat(), &["-", "x"]);
    let text = sandbox.bedplate(["run", "--rm", "x", "/probe", "list", "/"]).ok().text();
    let real = privilege::current() != privilege::Privilege::OneUid;
    for item in
        items.iter().filter(|item| !item.path.contains(&b'/') && item.path.iter().all(u8::is_ascii_alphanumeric))
    {
        use bedplate_testkit::generate::Content;
        let name = String::from_utf8_lossy(&item.path).into_owned();
        let Some(line) = text.lines().find(|line| line.split(' ').next() == Some(&name)) else {
            // Only root may make a device.
            assert!(
                matches!(item.content, Content::Device { .. }) && !privilege::is_root(),
                "{name} is missing: {text}"
            );
            continue;
        };
        let words: Vec<&str> = line.split(' ').collect();
        let mode = u32::from_str_radix(words[1], 8).unwrap();
        if !matches!(item.content, Content::Symlink { .. }) {
            assert_eq!(mode & 0o7777, item.mode, "{line}");
        }
        if real {
            assert_eq!(words[2], format!("{}:{}", item.owner.0, item.owner.1), "{line}");
        }
        if let Content::File { size, .. } = item.content {
            assert_eq!(words[3], size.to_string(), "{line}");
        }
    }
}

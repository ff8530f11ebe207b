//! Builds that fail, hang, are killed or fill the disk: said clearly, nothing half made, caches kept, the next one right.

use crate::bad_input::private_mounts;
use crate::kit::*;
use bedplate_testkit::{Random, Sandbox, Tar, needs, oracle, privilege};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

/// A step that gives something else whenever it runs: a build that has the same result had it from the cache.
const ONCE: &str = "FROM box\nRUN cat /proc/sys/kernel/random/uuid > /once\n";

/// How long an interrupted build may take to its end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A store with a base and with the step of [`ONCE`], and what was there before a fault.
struct Before {
    sandbox: Sandbox,
    good: String,
    images: BTreeSet<String>,
}

impl Before {
    fn new(test: &str) -> Option<Before> {
        let sandbox = sandbox();
        if !can_run(test) || busybox_image(&sandbox, test).is_none() {
            return None;
        }
        sandbox.write("Good", format!("{ONCE}RUN echo good > /good\n"));
        let good = sandbox.bedplate(["build", "-q", "-f", "Good", "."]).ok().text();
        let images = images(&sandbox);
        Some(Before { sandbox, good, images })
    }

    /// After a fault: the store is whole, no image came, and what the cache had it still has.
    #[track_caller]
    fn is_kept(&self, fault: &str) {
        fsck(&self.sandbox);
        assert_eq!(images(&self.sandbox), self.images, "{fault}: an image came");
        let again = self.sandbox.bedplate(["build", "-q", "-f", "Good", "."]).ok().text();
        assert_eq!(again, self.good, "{fault}: the cache lost a step");
    }
}

#[test]
fn a_build_that_fails_says_why_and_keeps_what_was() {
    let Some(before) = Before::new("build_faults::a_build_that_fails") else { return };
    let sandbox = &before.sandbox;
    let whole = Tar::new().file("f", 0o644, Random::new(3).bytes(100_000)).finish();
    let mut packed = gzipped(&whole);
    packed.truncate(packed.len() / 2);
    sandbox.write("cut.tar.gz", packed);
    sandbox.write("cut.tar", &whole[..whole.len() / 2]);
    sandbox.write("../outside/secret", "of the host");
    for (link, target) in [("up", "../outside"), ("etc", "/etc"), ("passwd", "/etc/passwd"), ("self", "self")] {
        std::os::unix::fs::symlink(target, sandbox.path(link)).unwrap();
    }
    // What the step is, and what is said of it.
    let table = [
        ("RUN exit 7", "status 7"),
        ("RUN sh -c 'kill -9 $$'; exit $?", "137"),
        ("RUN [\"/absent\"]", "/absent"),
        ("RUN [\"/etc/passwd\"]", "/etc/passwd"),
        ("RUN cd /absent", "status"),
        ("USER nobody\nRUN true", "nobody"),
        ("RUN --mount=type=bogus,target=/x true", "bogus"),
        ("RUN --mount=from=absent,target=/x true", "absent"),
        ("COPY absent /", "\"absent\""),
        ("COPY up/secret /", "up/secret"),
        ("COPY etc/passwd /x", "etc/passwd"),
        ("COPY passwd /x", "passwd"),
        ("COPY self /x", "self"),
        ("COPY --from=absent /a /", "absent"),
        ("ADD cut.tar.gz /", "cut.tar.gz"),
        ("ADD cut.tar /", "cut.tar"),
        ("COYP a /", "COPY"),
        ("COPY --chwon=1 a /", "--chown"),
        ("EXPOSE seventy", "seventy"),
    ];
    for (step, words) in table {
        sandbox.write("Dockerfile", format!("{ONCE}{step}\n"));
        let outcome = sandbox.bedplate(["build", "-t", "made", "."]).fails();
        outcome.says(words);
        assert!(!outcome.stderr.contains("of the host"), "{step}: {outcome}");
        before.is_kept(step);
    }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    compressed("build_faults", "gzip", bytes).expect("gzip is essential")
}

/// True while a process whose arguments hold the word runs.
fn is_running(word: &str) -> bool {
    let has = |entry: std::fs::DirEntry| {
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
    };
    let mut processes = std::fs::read_dir("/proc").expect("a proc file system").flatten();
    processes.any(has)
}

#[test]
fn a_build_that_hangs_can_be_interrupted_and_killed() {
    let Some(before) = Before::new("build_faults::a_build_that_hangs") else { return };
    for (number, signal) in ["INT", "TERM", "HUP", "KILL"].into_iter().enumerate() {
        // A number that no other test sleeps for.
        let seconds = format!("{}.{number}", 70_000 + std::process::id() % 10_000);
        let step = format!("RUN echo half > /half && echo begun && sleep {seconds}");
        before.sandbox.write("Dockerfile", format!("{ONCE}{step}\n"));
        let mut child = before.sandbox.bedplate(["build", "--progress=plain", "-t", "made", "."]).start();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(said.any(|line| line.ends_with("begun")), "{signal}: the step did not begin");
        oracle::expect(oracle::command("kill").args([&format!("-{signal}"), &child.id().to_string()]));
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begin.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("{signal}: the build does not end");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(!status.success(), "{signal}: {status}");
        // The kernel ends a container's processes behind the back of whoever waits for the first of them.
        while is_running(&seconds) {
            assert!(begin.elapsed() < PATIENCE, "{signal}: the step's process runs on");
            std::thread::sleep(Duration::from_millis(10));
        }
        // What a killed command leaves is swept by the next one that makes something.
        before.sandbox.bedplate(["build", "-q", "-f", "Good", "."]).ok();
        before.is_kept(signal);
    }
}

#[test]
fn a_disk_that_fills_fails_the_build_and_nothing_else() {
    let test = "build_faults::a_disk_that_fills";
    // Who mounts without rights is root of a namespace of one id, where no container's terminals can be mounted.
    needs!(test, privilege::is_root(), "needs root for a small disk with processes on it");
    let Some(before) = Before::new(test) else { return };
    let Some(wrapper) = private_mounts(test) else { return };
    let sandbox = &before.sandbox;
    sandbox.write("base.tar", sandbox.bedplate(["save", "box"]).ok().stdout);
    sandbox.write("big", Random::new(7).bytes(16 << 20));
    // A few kilobytes that become 256 MiB.
    let file = std::fs::File::create(sandbox.path("bomb")).unwrap();
    file.set_len(256 << 20).unwrap();
    oracle::expect(oracle::command("tar").args(["-czf", "bomb.tar.gz", "bomb"]).current_dir(sandbox.work()));
    sandbox.write(".dockerignore", "*\n!big\n!bomb.tar.gz\n");
    let steps = [
        ("run", "RUN head -c 16000000 /dev/zero > /big"),
        ("copy", "COPY big /"),
        ("bomb", "ADD bomb.tar.gz /"),
        ("twice", "COPY big /\nRUN rm /big"),
    ];
    for (name, step) in steps {
        sandbox.write(&format!("{name}.Dockerfile"), format!("{ONCE}{step}\n"));
    }
    let line = format!(
        "mkdir disk && mount -t tmpfs -o size=14m none disk || exit 99
         export BEDPLATE_ROOT=$PWD/disk/store; B={program}
         $B load -q -i base.tar >&2 && good=$($B build -q -f Good .) || exit 98
         for step in run copy bomb twice; do
             $B build -q -t made -f $step.Dockerfile . 2>$step.said && exit 97
             $B fsck >&2 || exit 96
             [ \"$(find disk/store/tmp -type f | wc -l)\" = 0 ] || exit 95
             $B inspect made >/dev/null 2>&1 && exit 94
             [ \"$($B build -q -f Good .)\" = \"$good\" ] || exit 93
         done
         exit 0",
        program = bedplate_testkit::binary(env!("CARGO_BIN_EXE_bedplate")).display()
    );
    let wrap = wrapper.into_iter().chain(["sh".into(), "-c".into(), line]);
    sandbox.bedplate([] as [&str; 0]).wrap(wrap.collect::<Vec<String>>()).ends(0);
    for (name, step) in steps {
        let said = std::fs::read_to_string(sandbox.path(&format!("{name}.said"))).unwrap();
        // A command's own words are what it makes of it.
        let words = if name == "run" { "status 1" } else { "no space left" };
        assert!(said.contains("error:") && said.to_lowercase().contains(words), "{step}: {said}");
    }
}

//! Every writing command, killed at random points: `fsck` is clean and no image is lost.

use crate::kit::*;
use bedplate_testkit::{Invocation, Random, Sandbox, Tar, generate};
use std::time::{Duration, Instant};

/// Kills of each command.
const ROUNDS: u64 = 12;

/// Holds the store after a kill: whole after at most one sweep, `kept` and its bytes still there.
#[track_caller]
fn survives(sandbox: &Sandbox, kept: &str, what: &str) {
    let outcome = sandbox.bedplate(["fsck"]).run();
    assert_eq!(outcome.status, Some(0), "after killing {what}: {outcome}");
    assert!(images(sandbox).contains(kept), "{what} lost an image");
    assert_eq!(inspect_format(sandbox, "kept", "{{.Id}}"), kept, "{what}");
}

/// Kills a command at points spread over its whole run; `reset` makes its next run do the same work again.
fn storm(sandbox: &Sandbox, kept: &str, what: &str, seed: u64, command: &Invocation, reset: &[&[&str]]) {
    let run_resets = || {
        for words in reset {
            // What was killed early has made nothing that could be taken back.
            let _ = sandbox.bedplate(*words).run();
        }
    };
    run_resets();
    let begin = Instant::now();
    let whole = command.run();
    let duration = begin.elapsed();
    assert_eq!(whole.status, Some(0), "{what}: {whole}");
    let mut random = Random::new(seed);
    for round in 0..ROUNDS {
        run_resets();
        let mut child = command.start();
        let micros = duration.as_micros() as u64;
        // Every part of the run once, at a random point of the part.
        let delay = micros * round / ROUNDS + random.below(micros / ROUNDS + 1);
        std::thread::sleep(Duration::from_micros(delay));
        let _ = child.kill();
        let _ = child.wait();
        survives(sandbox, kept, what);
    }
    // And it works as if nothing had been.
    run_resets();
    let outcome = command.run();
    assert_eq!(outcome.status, Some(0), "{what} after the kills: {outcome}");
    fsck(sandbox);
}

fn prepared() -> (Sandbox, String) {
    let sandbox = sandbox();
    let kept = import(&sandbox, &hello_tar(), &["-c", "CMD [\"/hello\"]", "-", "kept"]);
    (sandbox, kept)
}

#[test]
fn import_killed() {
    let (sandbox, kept) = prepared();
    let tar = Tar::new().file("noise", 0o644, Random::new(1).bytes(3_000_000)).finish();
    let file = sandbox.write("x.tar", tar);
    storm(&sandbox, &kept, "import", 1, &sandbox.bedplate(["import", file.to_str().unwrap(), "x"]), &[&["rmi", "x"]]);
}

#[test]
fn load_killed() {
    let (sandbox, kept) = prepared();
    let other = crate::kit::sandbox();
    import(&other, &Tar::new().file("noise", 0o644, Random::new(2).bytes(1_000_000)).finish(), &["-", "a"]);
    import(&other, &Tar::new().file("noise", 0o644, Random::new(3).bytes(1_000_000)).finish(), &["-", "b"]);
    let file = sandbox.path("saved.tar");
    other.bedplate(["save", "-o", file.to_str().unwrap(), "a", "b"]).ok();
    storm(
        &sandbox,
        &kept,
        "load",
        2,
        &sandbox.bedplate(["load", "-i", file.to_str().unwrap()]),
        &[&["rmi", "a"], &["rmi", "b"]],
    );
}

#[test]
fn names_killed() {
    let (sandbox, kept) = prepared();
    storm(&sandbox, &kept, "tag", 3, &sandbox.bedplate(["tag", "kept", "other"]), &[&["rmi", "other"]]);
    import(&sandbox, &Tar::new().file("a", 0o644, "a").finish(), &["-", "gone"]);
    let file = sandbox.path("gone.tar");
    sandbox.bedplate(["save", "-o", file.to_str().unwrap(), "gone"]).ok();
    storm(&sandbox, &kept, "rmi", 4, &sandbox.bedplate(["rmi", "gone"]), &[&["load", "-i", file.to_str().unwrap()]]);
}

#[test]
fn prune_killed() {
    let (sandbox, kept) = prepared();
    let file = sandbox.write("d.tar", Tar::new().file("d", 0o644, Random::new(4).bytes(500_000)).finish());
    storm(&sandbox, &kept, "prune", 5, &sandbox.bedplate(["prune", "-f"]), &[&["import", file.to_str().unwrap()]]);
}

#[test]
fn build_killed() {
    let (sandbox, kept) = prepared();
    sandbox.write("big", Random::new(5).bytes(500_000));
    for index in 0..5 {
        sandbox.write(&format!("f{index}"), format!("{index}"));
    }
    sandbox.write("Dockerfile", "FROM kept\nCOPY big /big\nCOPY f* /many/\nENV A=b\nWORKDIR /w\nCOPY f1 .\n");
    storm(
        &sandbox,
        &kept,
        "build",
        6,
        &sandbox.bedplate(["build", "--no-cache", "-t", "built", "."]),
        &[&["rmi", "built"]],
    );
    storm(
        &sandbox,
        &kept,
        "cached build",
        7,
        &sandbox.bedplate(["build", "-t", "built", "."]),
        &[&["rmi", "built"], &["prune", "-f"]],
    );
}

#[test]
fn run_killed() {
    let test = "store_crash::run_killed";
    if !can_run(test) {
        return;
    }
    let (sandbox, kept) = prepared();
    let tar =
        generate::to_tar(&generate::items(&generate::Spec { entries: 300, sparse: false, ..generate::Spec::plain(9) }));
    let tar = [&tar[..tar.len() - 1024], &hello_tar()].concat();
    let file = sandbox.write("x.tar", tar);
    let file = file.to_str().unwrap();
    sandbox.bedplate(["import", file, "x"]).ok();
    // With the unpacked root there, and (after a removal) without it.
    storm(&sandbox, &kept, "run", 8, &sandbox.bedplate(["run", "--rm", "x", "/hello"]), &[]);
    storm(
        &sandbox,
        &kept,
        "first run",
        9,
        &sandbox.bedplate(["run", "--rm", "x", "/hello"]),
        &[&["rmi", "-f", "x"], &["import", file, "x"]],
    );
    // What killed runs left is swept.
    sandbox.bedplate(["prune", "-f"]).ok();
    let left = list(&sandbox.store().join("containers"));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn save_killed() {
    let (sandbox, kept) = prepared();
    import(&sandbox, &Tar::new().file("noise", 0o644, Random::new(6).bytes(2_000_000)).finish(), &["-", "x"]);
    let file = sandbox.path("out.tar");
    std::fs::write(&file, "the old file").unwrap();
    let command = sandbox.bedplate(["save", "-o", file.to_str().unwrap(), "x"]);
    storm(&sandbox, &kept, "save", 10, &command, &[]);
    // A killed save leaves the whole old file or the whole new one.
    let whole = std::fs::read(&file).unwrap();
    for delay in [0, 500, 1000, 2000, 3000] {
        let mut child = command.start();
        std::thread::sleep(Duration::from_micros(delay));
        let _ = child.kill();
        let _ = child.wait();
        assert!(std::fs::read(&file).unwrap() == whole);
    }
}

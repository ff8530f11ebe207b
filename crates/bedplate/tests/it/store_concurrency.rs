//! Eight writers and readers at once.

use crate::kit::*;
use bedplate_testkit::{Random, Tar};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Turns of each worker.
const TURNS: usize = 6;

#[test]
fn writers_and_readers() {
    let sandbox = sandbox();
    let kept = hello_image(&sandbox);
    let shared = Tar::new().file("shared", 0o644, Random::new(1).bytes(300_000)).finish();
    let shared_file = sandbox.write("shared.tar", &shared);
    let saved = sandbox.path("saved.tar");
    sandbox.bedplate(["save", "-o", saved.to_str().unwrap(), "hello"]).ok();
    sandbox.write("Dockerfile", "FROM hello\nARG N\nENV N=$N\nCOPY Dockerfile /d\n");
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // The same layer under different names, at the same time.
        for worker in 0..2 {
            let (sandbox, shared_file, done) = (&sandbox, &shared_file, &done);
            scope.spawn(move || {
                for turn in 0..TURNS {
                    let name = format!("w{worker}:{turn}");
                    sandbox.bedplate(["import", shared_file.to_str().unwrap(), &name]).ok();
                    if turn % 2 == 0 {
                        sandbox.bedplate(["rmi", &name]).ok();
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let (sandbox, saved, done) = (&sandbox, &saved, &done);
        // One name, moved and read.
        scope.spawn(move || {
            for turn in 0..TURNS {
                let tar = Tar::new().file("t", 0o644, turn.to_string()).finish();
                sandbox.bedplate(["import", "-", "moving"]).stdin(tar).ok();
                done.fetch_add(1, Ordering::SeqCst);
            }
        });
        scope.spawn(move || {
            for turn in 0..TURNS {
                sandbox.bedplate(["tag", "hello", &format!("tagged:{turn}")]).ok();
                sandbox.bedplate(["load", "-i", saved.to_str().unwrap()]).ok();
                done.fetch_add(1, Ordering::SeqCst);
            }
        });
        scope.spawn(move || {
            for turn in 0..TURNS {
                sandbox
                    .bedplate(["build", "--build-arg", &format!("N={turn}"), "-t", &format!("built:{turn}"), "."])
                    .ok();
                done.fetch_add(1, Ordering::SeqCst);
            }
        });
        scope.spawn(move || {
            for _ in 0..TURNS {
                sandbox.bedplate(["prune", "-f"]).ok();
                done.fetch_add(1, Ordering::SeqCst);
            }
        });
        // Readers never see half of anything.
        scope.spawn(move || {
            while done.load(Ordering::SeqCst) < TURNS * 6 {
                assert_eq!(inspect_format(sandbox, "hello", "{{.Id}}"), kept);
                sandbox.bedplate(["images"]).ok();
                sandbox.bedplate(["save", "hello"]).ok();
            }
        });
        scope.spawn(move || {
            for _ in 0..TURNS {
                // A check beside writers finds no fault that is only work in progress.
                let outcome = sandbox.bedplate(["fsck"]).run();
                assert_eq!(outcome.status, Some(0), "{outcome}");
            }
        });
    });
    fsck(&sandbox);
    let names = sandbox.bedplate(["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok().text();
    for turn in 0..TURNS {
        for name in [format!("tagged:{turn}"), format!("built:{turn}")] {
            assert!(names.lines().any(|line| line == name), "{name} is lost: {names}");
        }
        if turn % 2 == 1 {
            for worker in 0..2 {
                assert!(names.contains(&format!("w{worker}:{turn}")), "w{worker}:{turn} is lost: {names}");
            }
        }
    }
    assert!(names.contains("moving:latest"));
}

#[test]
fn runs_at_once() {
    if !can_run("store_concurrency::runs_at_once") {
        return;
    }
    let sandbox = sandbox();
    hello_image(&sandbox);
    // The first eight find no unpacked root and make it together.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let outcome = sandbox.bedplate(["run", "--rm", "hello"]).ok();
                    assert_eq!(outcome.text(), bedplate_testkit::program::GREETING.trim_end());
                }
            });
        }
    });
    fsck(&sandbox);
    assert!(list(&sandbox.store().join("containers")).is_empty());
}

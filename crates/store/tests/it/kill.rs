//! Killed at any point, a writer costs at most what it was doing.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{add_under, check, name, open, store, tar};

/// The variable that makes the test below a writer to be killed.
const CHILD: &str = "BEDPLATE_TEST_KILL_ROOT";

/// How often a writer is started and killed.
const ROUNDS: u64 = 30;

/// Adds, names, renames and removes images for ever, and says what it has done.
#[test]
fn writer() {
    let Some(root) = std::env::var_os(CHILD) else { return };
    let store = open(root);
    let start = store.images().unwrap().len();
    let say = |text: String| {
        let mut out = std::io::stdout();
        writeln!(out, "{text}").unwrap();
        out.flush().unwrap();
    };
    for round in start.. {
        let lease = store.lease().unwrap();
        let layers = [tar(&[("base", b"base")]), tar(&[("own", &vec![round as u8; 300_000])])];
        let kept = format!("kept:{round}-{}", std::process::id());
        add_under(&lease, &layers, &[name(&kept), name("moving")]);
        drop(lease);
        say(format!("DID {kept}"));
        let lease = store.lease().unwrap();
        let gone = format!("gone:{round}");
        add_under(&lease, &[tar(&[("gone", kept.as_bytes())])], &[name(&gone)]);
        drop(lease);
        store.remove_image(&gone, false).unwrap();
        let new = bedplate_store::NewContainer {
            name: None,
            image: None,
            created: 0,
            remove: true,
            command: &[],
            details: serde_json::Value::Null,
        };
        let container = store.create_container(&new).unwrap();
        std::fs::write(container.upper().join("file"), "x").unwrap();
        container.remove().unwrap();
        if round % 4 == 0 {
            store.sweep().unwrap();
            store.sweep_containers().unwrap();
        }
    }
}

#[test]
fn a_killed_writer_costs_at_most_what_it_was_doing() {
    let (_dir, store) = store();
    let mut promised: Vec<String> = Vec::new();
    // No clock and no luck: a fixed row of delays, each run the same number of points.
    let mut state: u64 = 0x9e37_79b9;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::writer", "--nocapture", "--test-threads=1"])
            .env(CHILD, store.root())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let lines = out.lines().map_while(Result::ok);
            lines.filter_map(|line| line.split_once("DID ").map(|(_, name)| name.to_owned())).collect::<Vec<_>>()
        });
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros(5_000 + (state >> 33) % 60_000));
        child.kill().unwrap();
        child.wait().unwrap();
        promised.extend(reader.join().unwrap());
        check(&store);
        if round % 5 == 4 {
            store.sweep().unwrap();
            store.sweep_containers().unwrap();
            check(&store);
            let report = store.fsck(Default::default()).unwrap();
            assert_eq!((report.leftovers, report.unreferenced), (0, 0));
        }
        for kept in &promised {
            assert!(store.resolve(kept).is_ok(), "{kept} is lost in round {round}");
        }
    }
    assert!(promised.len() as u64 > ROUNDS / 3, "the writers hardly got to work: {}", promised.len());
}

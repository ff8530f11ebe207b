//! Streams, terminals, signals, and the end of the parent.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bedplate_run::{OverlayVia, RuntimeConfig};
use serde_json::json;

use crate::job::{Place, able, runner};

#[test]
fn input_is_given_only_where_asked_for() {
    if !able("input_is_given_only_where_asked_for") {
        return;
    }
    let place = Place::new();
    let root = place.overlay(OverlayVia::Auto);
    let big: Vec<u8> = (0..1_000_000_u32).map(|i| b'a' + (i % 23) as u8).collect();
    let echo = place.probe(&["echo-stdin"]);
    for (more, expected) in [
        (json!({"input": true}), big.len()),
        (json!({"input": false}), 0),
        (json!({"input": true, "capture": true}), big.len()),
        (json!({"input": true, "capture": true, "threads": true}), big.len()),
        (json!({"input": true, "threads": true}), big.len()),
    ] {
        let ran = place.run_with(&root, &echo, more.clone(), &big).ok();
        assert_eq!(ran.stdout.len(), expected, "{more}");
        assert!(ran.stdout.is_empty() || ran.stdout.as_bytes() == big, "{more}");
    }
}

#[test]
fn captured_output_and_failures_come_from_a_process_with_threads_too() {
    if !able("captured_output_and_failures_come_from_a_process_with_threads_too") {
        return;
    }
    let place = Place::new();
    let root = place.overlay(OverlayVia::Auto);
    for threads in [false, true] {
        let more = json!({"capture": true, "threads": threads});
        let ran = place.run_with(&root, &place.probe(&["exit", "3"]), more.clone(), b"");
        assert_eq!(ran.code, 3);
        let ran = place.run_with(&root, &place.probe(&["write", "/missing/x", "y"]), more.clone(), b"");
        assert_eq!((ran.code, ran.stderr.as_str()), (1, "/missing/x: No such file or directory\n"));
        let mut config = place.probe(&[]);
        config.args = vec!["nonsense".into()];
        let ran = place.run_with(&root, &config, more, b"");
        assert_eq!(ran.code, 127);
        assert!(ran.stderr.contains("executable file \"nonsense\" not found"), "{ran:?}");
    }
}

#[test]
fn signals_are_handed_on() {
    if !able("signals_are_handed_on") {
        return;
    }
    let place = Place::new();
    for init in [false, true] {
        for (name, number) in [("TERM", 15), ("INT", 2), ("HUP", 1), ("USR1", 10), ("WINCH", 28)] {
            let config = RuntimeConfig { init, ..place.probe(&["trap"]) };
            let mut child = place
                .command(&place.overlay(OverlayVia::Auto), &config, json!({}))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert_eq!(lines.next().unwrap().unwrap(), "ready");
            if name == "WINCH" {
                // Is for terminals only; something else ends the wait.
                kill(child.id(), "USR2");
                assert_eq!(lines.next().unwrap().unwrap(), "caught 12");
            } else {
                kill(child.id(), name);
                assert_eq!(lines.next().unwrap().unwrap(), format!("caught {number}"), "{init}");
            }
            assert_eq!(child.wait().unwrap().code(), Some(0));
        }
    }
}

fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn three_interrupts_end_a_command_that_does_not_listen() {
    if !able("three_interrupts_end_a_command_that_does_not_listen") {
        return;
    }
    let place = Place::new();
    let mut child = place
        .command(&place.overlay(OverlayVia::Auto), &place.probe(&["sleep", "60"]), json!({}))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    wait_until(|| has_child(pid));
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..3 {
        kill(pid, "INT");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(child.wait().unwrap().code(), Some(137));
}

fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|c| c.parse().unwrap()).collect()
}

fn has_child(pid: u32) -> bool {
    !children(pid).is_empty()
}

fn wait_until(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "nothing happens");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_container_ends_with_its_parent() {
    if !able("a_container_ends_with_its_parent") {
        return;
    }
    let place = Place::new();
    for init in [false, true] {
        let config = RuntimeConfig { init, ..place.probe(&["trap"]) };
        let mut child =
            place.command(&place.overlay(OverlayVia::Auto), &config, json!({})).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        let inside = children(child.id());
        assert_eq!(inside.len(), 1);
        child.kill().unwrap();
        child.wait().unwrap();
        let gone = |pid: u32| match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        wait_until(|| gone(inside[0]));
        // The pipe closes: nobody in the container is left.
        assert!(lines.next().is_none());
    }
}

#[test]
fn a_terminal_is_given_and_the_user_s_own_is_not() {
    if !able("a_terminal_is_given_and_the_user_s_own_is_not") {
        return;
    }
    if bedplate_testkit::oracle::find("script").is_none() {
        return bedplate_testkit::skip::note("a_terminal_is_given_and_the_user_s_own_is_not", "no script(1)");
    }
    let place = Place::new();
    let root = place.overlay(OverlayVia::Auto);
    for (terminal, init) in [(true, false), (true, true), (false, false)] {
        let config = RuntimeConfig { terminal, init, ..place.probe(&["report"]) };
        let job = place.job(&root, &config, json!({"input": true}));
        let output = Command::new("script")
            .args([
                "-qec",
                &format!("stty rows 33 cols 77; {} {}; stty -a", runner().display(), job.display()),
                "/dev/null",
            ])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
        let is = if terminal { "1" } else { "0" };
        for fd in 0..3 {
            assert!(text.contains(&format!("tty {fd} {is}\n")), "{terminal} {init}: {text}");
        }
        assert_eq!(text.contains("winsize 33 77\n"), terminal, "{text}");
        let mounted = text.lines().any(|l| l.starts_with("mount ") && l.contains(" /dev/console "));
        assert_eq!(mounted, terminal, "{text}");
        // The user's terminal is as it was.
        assert!(text.contains("\nisig icanon iexten echo "), "{text}");
    }
}

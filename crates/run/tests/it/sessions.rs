//! Sessions: many commands in one container.

use bedplate_run::{Command, OverlayVia, RuntimeConfig};
use serde_json::json;

use crate::job::{Place, able};

fn probe(words: &[&str]) -> Command {
    let args = ["/bin/probe"].iter().chain(words).map(|w| (*w).to_owned()).collect();
    Command { args, env: vec!["HOME=/h".into()], cwd: "/".into() }
}

#[test]
fn commands_share_the_root_and_end_as_they_do() {
    if !able("commands_share_the_root_and_end_as_they_do") {
        return;
    }
    let place = Place::new();
    let commands = [
        probe(&["write", "/made", "by the first"]),
        probe(&["cat", "/made"]),
        probe(&["exit", "42"]),
        probe(&["kill", "9"]),
        Command { args: vec!["missing".into()], env: vec!["PATH=/bin".into()], cwd: "/".into() },
        Command { cwd: "/nowhere".into(), ..probe(&["exit", "0"]) },
    ];
    let root = place.overlay(OverlayVia::Auto);
    let ran = place.run_with(&root, &RuntimeConfig::default(), json!({"session": commands}), b"").ok();
    let expected = "command 0: exit status 0\nby the firstcommand 1: exit status 0\ncommand 2: exit status 42\n\
        command 3: killed by SIGKILL\nexecutable file \"missing\" not found in the container's PATH\n\
        command 4: exit status 127\ncannot enter the working directory \"/nowhere\": chdir(\"/nowhere\"): no such file \
        or directory (ENOENT)\ncommand 5: exit status 125\nleft []\n";
    let (said, made) = ran.stdout.split_once("made ").unwrap();
    assert_eq!(said, expected, "{ran:?}");
    // What was made to mount upon is told, and gone.
    assert!(made.contains("\"proc\""), "{ran:?}");
    assert_eq!(place.names("upper"), ["made"]);
}

#[test]
fn what_still_runs_is_named_and_ends_with_the_session() {
    if !able("what_still_runs_is_named_and_ends_with_the_session") {
        return;
    }
    let place = Place::new();
    let root = place.overlay(OverlayVia::Auto);
    let commands = [probe(&["trap"])];
    let ran = place.run_with(&root, &RuntimeConfig::default(), json!({"session": commands}), b"").ok();
    assert!(ran.stdout.contains("command 0: still runs\nleft []\n"), "{ran:?}");
}

#[test]
fn a_session_that_cannot_begin_says_why() {
    if !able("a_session_that_cannot_begin_says_why") {
        return;
    }
    let place = Place::new();
    let root = place.overlay(OverlayVia::Auto);
    let config = RuntimeConfig { cwd: "relative".into(), ..RuntimeConfig::default() };
    let ran = place.run_with(&root, &config, json!({"session": [probe(&["exit", "0"])]}), b"");
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(ran.stderr.contains("the working directory \"relative\" is not an absolute path"), "{ran:?}");
    let threads = json!({"session": [probe(&["exit", "0"])], "threads": true});
    let ran = place.run_with(&root, &RuntimeConfig::default(), threads, b"");
    assert!(ran.stderr.contains("a session can only be made by a process with one thread"), "{ran:?}");
}

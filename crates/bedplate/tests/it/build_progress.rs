//! `build --progress`, and how a build fails.

use crate::kit::*;
use bedplate_testkit::{Outcome, Sandbox};
use serde_json::Value;

const STEPS: &str = "FROM box\nENV A=b\nRUN echo one; echo two; printf half\n";
const FAILING: &str =
    "FROM box\nENV A=b\nRUN i=0; while [ $i -lt 30 ]; do echo line $i; i=$((i+1)); done; \\\n  exit 7\nCMD [\"a\"]\n";

fn ready(test: &str, dockerfile: &str) -> Option<Sandbox> {
    let sandbox = sandbox();
    if !can_run(test) {
        return None;
    }
    busybox_image(&sandbox, test)?;
    sandbox.write("Dockerfile", dockerfile);
    Some(sandbox)
}

/// The lines of stderr, with times replaced.
fn lines(outcome: &Outcome) -> Vec<String> {
    let is_time = |word: &str| {
        let word = word.strip_suffix('s').unwrap_or(word);
        word.contains('.') && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let line =
        |line: &str| line.split(' ').map(|word| if is_time(word) { "T" } else { word }).collect::<Vec<_>>().join(" ");
    outcome.stderr.lines().map(line).collect()
}

#[test]
fn plain_progress_has_buildkits_shape() {
    let Some(sandbox) = ready("build_progress::plain", STEPS) else { return };
    let expected = [
        "#1 [stage-0 1/3] FROM box",
        "#1 DONE T",
        "",
        "#2 [stage-0 2/3] ENV A=b",
        "#2 DONE T",
        "",
        "#3 [stage-0 3/3] RUN echo one; echo two; printf half",
        "#3 T one",
        "#3 T two",
        "#3 T half",
        "#3 DONE T",
    ];
    assert_eq!(lines(&sandbox.bedplate(["build", "--progress=plain", "."]).ok()), expected);
    let again = lines(&sandbox.bedplate(["build", "."]).env("BUILDKIT_PROGRESS", "plain").ok());
    assert_eq!(again.last().map(String::as_str), Some("#3 CACHED"), "{again:?}");
    sandbox.bedplate(["build", "."]).env("BUILDKIT_PROGRESS", "loud").fails().says("expected auto, tty, plain");
    let quiet = sandbox.bedplate(["build", "."]).env("BUILDKIT_PROGRESS", "quiet").ok();
    assert!(quiet.stderr.is_empty() && quiet.text().starts_with("sha256:"), "{quiet}");
}

#[test]
fn raw_progress_is_one_object_a_line() {
    let Some(sandbox) = ready("build_progress::raw", STEPS) else { return };
    let outcome = sandbox.bedplate(["build", "--progress=rawjson", "."]).ok();
    let objects: Vec<Value> = outcome
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let all =
        |key: &str| -> Vec<&Value> { objects.iter().filter_map(|object| object[key].as_array()).flatten().collect() };
    let (vertexes, logs) = (all("vertexes"), all("logs"));
    let completed: Vec<&str> = vertexes
        .iter()
        .filter(|vertex| vertex["completed"].is_string())
        .map(|vertex| vertex["name"].as_str().unwrap())
        .collect();
    assert_eq!(completed.len(), 3, "{outcome}");
    assert!(completed[2].starts_with("[stage-0 3/3] RUN"), "{completed:?}");
    let run = vertexes.iter().find(|vertex| vertex["name"] == completed[2]).unwrap();
    assert!(!logs.is_empty() && logs.iter().all(|log| log["vertex"] == run["digest"]), "{outcome}");
    assert!(logs.iter().any(|log| log["data"].as_str().unwrap().starts_with("b25l")), "\"one\" in base64: {outcome}");
    assert_eq!(all("statuses")[0]["vertex"], run["digest"]);
    let cached = sandbox.bedplate(["build", "--progress=rawjson", "."]).ok();
    assert!(cached.stderr.contains("\"cached\":true"), "{cached}");
}

#[test]
fn a_failure_shows_its_lines_and_the_last_output() {
    let Some(sandbox) = ready("build_progress::failure", FAILING) else { return };
    for progress in ["plain", "quiet"] {
        let outcome = sandbox.bedplate(["build", "--progress", progress, "."]).ends(1);
        let together = outcome.stderr.split("------\n").nth(1).unwrap_or_else(|| panic!("{outcome}"));
        let shown: Vec<&str> = together.lines().skip(1).collect();
        assert_eq!((shown.len(), shown[0], shown[19]), (20, "line 10", "line 29"), "{outcome}");
        outcome.says("   2 |     ENV A=b\n   3 | >>> RUN i=0;");
        outcome.says("   4 | >>>   exit 7\n   5 |     CMD [\"a\"]");
        outcome.says("status 7");
    }
    let raw = sandbox.bedplate(["build", "--progress=rawjson", "."]).ends(1);
    assert!(raw.stderr.contains("\"error\":\"the command ended with status 7"), "{raw}");
}

#[test]
fn a_terminal_shows_the_steps_and_keeps_a_readable_end() {
    let test = "build_progress::terminal";
    let Some(sandbox) = ready(test, "FROM box\nRUN echo working; sleep 1; echo done\n") else { return };
    if bedplate_testkit::oracle::output(bedplate_testkit::oracle::command("script").arg("--version")).status.code()
        != Some(0)
    {
        return bedplate_testkit::skip::note(test, "no script");
    }
    let on_terminal = |words: &[&str]| {
        sandbox
            .bedplate(words)
            .wrap(["sh", "-c", "exec script -qec \"$*\" /dev/null", "sh"])
            .env_remove("NO_COLOR")
            .ok()
            .text()
    };
    let shown = on_terminal(&["build", "."]);
    assert!(shown.contains("\u{1b}[2K"), "it is live: {shown:?}");
    // What the terminal shows in the end is what stands behind the last jump up.
    let end = shown.rsplit("A\r\u{1b}[2K").next().unwrap();
    let plain: Vec<&str> = end.split("\r\n").collect();
    assert!(plain[0].starts_with("[+] Building") && plain[0].ends_with("(2/2) FINISHED"), "{end:?}");
    assert!(end.contains("[stage-0 1/2] FROM box") && end.contains("[stage-0 2/2] RUN echo working"), "{end:?}");
    assert!(!end.contains("=> => #"), "output goes when a step is done: {end:?}");
    assert!(shown.contains(" => => # working"), "{shown:?}");
    assert!(end.contains("\u{1b}[34m"), "done is blue: {end:?}");
    let cached = on_terminal(&["build", "--progress=tty", "."]);
    assert!(cached.contains("CACHED [stage-0 2/2]"), "{cached:?}");
    let dull = sandbox.bedplate(["build", "--progress=tty", "."]).env("NO_COLOR", "1").ok();
    assert!(!dull.stderr.contains("\u{1b}[34m"), "{dull}");
}

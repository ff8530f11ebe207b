//! `build --check`, `--call`, and what a build says of its Dockerfile at its end.

use crate::kit::*;
use bedplate_testkit::{Outcome, Tar};
use serde_json::{Value, json};

const FAULTY: &str = "FROM scratch AS Final\nCMD echo hi\nENV API_KEY=1\n";

/// Asserts that stdout holds a text.
#[track_caller]
fn shows(outcome: &Outcome, text: &str) {
    assert!(outcome.text().contains(text), "stdout lacks {text:?}: {outcome}");
}

/// The rules and lines of a JSON answer.
#[track_caller]
fn rules(text: &str) -> Vec<(String, u64)> {
    let answer: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let warnings = answer["warnings"].as_array().unwrap_or_else(|| panic!("{text}"));
    let line = |warning: &Value| warning["location"]["ranges"][0]["start"]["line"].as_u64().unwrap();
    warnings.iter().map(|warning| (warning["ruleName"].as_str().unwrap().to_owned(), line(warning))).collect()
}

#[test]
fn findings_are_shown_with_their_lines_and_make_the_status_one() {
    let sandbox = sandbox();
    sandbox.write("Dockerfile", FAULTY);
    let outcome = sandbox.bedplate(["build", "--check", "."]).ends(1);
    let expected = "\
Check complete, 3 warnings have been found!

WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/
Stage name 'Final' should be lowercase
hint: write the name in lower case
./Dockerfile:1
--------------------
   1 | >>> FROM scratch AS Final
   2 |     CMD echo hi
   3 |     ENV API_KEY=1
--------------------
";
    assert!(outcome.text().starts_with(expected), "{outcome}");
    assert_eq!(images(&sandbox).len(), 0, "nothing is built");
    let json = sandbox.bedplate(["build", "--call=check,format=json", "."]).ends(1).text();
    let found = [("StageNameCasing", 1), ("JSONArgsRecommended", 2), ("SecretsUsedInArgOrEnv", 3)];
    assert_eq!(rules(&json), found.map(|(rule, line)| (rule.to_owned(), line)));
    sandbox.bedplate(["build", "--call=check,ignorestatus=true", "."]).ok();

    sandbox.write("Dockerfile", "FROM scratch AS final\nCMD [\"echo\", \"hi\"]\n");
    let outcome = sandbox.bedplate(["build", "--check", "."]).ok();
    assert_eq!(outcome.text(), "Check complete, no warnings found.");
    assert_eq!(rules(&sandbox.bedplate(["build", "--call=check,format=json", "."]).ok().text()), []);
}

#[test]
fn a_build_says_its_findings_at_its_end() {
    let sandbox = sandbox();
    sandbox.write("Dockerfile", "FROM scratch\nARG A=$B\nCMD a\n");
    let outcome = sandbox.bedplate(["build", "."]).ok();
    let end = "
 2 warnings found (use --check to expand):
 - UndefinedVar: Usage of undefined variable '$B' (line 2)
 - JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 3)
";
    let said = &outcome.stderr;
    assert!(said.ends_with(end), "{outcome}");
    assert_eq!(said.matches("$B").count(), 1 + said.matches("ARG A=$B").count(), "once, beside the step: {outcome}");
    let quiet = sandbox.bedplate(["build", "-q", "."]).ok();
    assert!(quiet.stderr.is_empty(), "{quiet}");
}

#[test]
fn a_file_can_skip_findings_or_make_them_errors() {
    let sandbox = sandbox();
    let check = |directive: &str, status: i32| {
        sandbox.write("Dockerfile", format!("# check={directive}\n{FAULTY}"));
        sandbox.bedplate(["build", "--check", "."]).ends(status)
    };
    check("skip=all", 0);
    shows(&check("skip=StageNameCasing,JSONArgsRecommended", 1), "1 warning has been found");
    check("skip=StageNameCassing", 1).says("did you mean StageNameCasing");
    check("skp=all", 1).says("did you mean \"skip\"");
    check("error=true", 1)
        .says("lint violation found for rules: JSONArgsRecommended, SecretsUsedInArgOrEnv, StageNameCasing");
    let outcome = sandbox.bedplate(["build", "."]).ends(1);
    assert!(!outcome.stderr.contains("1/3"), "no step is begun: {outcome}");
    assert_eq!(images(&sandbox).len(), 0);
    let given = "--build-arg=BUILDKIT_DOCKERFILE_CHECK=skip=all";
    let outcome = sandbox.bedplate(["build", given, "."]).ok();
    let said = &outcome.stderr;
    assert!(!said.contains("BUILDKIT_DOCKERFILE_CHECK") && !said.contains("warning found"), "{outcome}");
}

#[test]
fn a_bases_variables_shell_and_triggers_are_known() {
    let sandbox = sandbox();
    let tar = Tar::new().file("a", 0o644, "a").finish();
    let changes = ["-c", "ENV HOME_OF_BASE=/h", "-c", "ONBUILD LABEL x=$NOBODY", "-", "base"];
    import(&sandbox, &tar, &changes);
    sandbox.write("Dockerfile", "FROM base\nLABEL a=$HOME_OF_BASE b=$PATH c=$HOME_OF_BAES\n");
    let answer = sandbox.bedplate(["build", "--call=check,format=json", "."]).ends(1).text();
    assert_eq!(rules(&answer), [("UndefinedVar".to_owned(), 1), ("UndefinedVar".to_owned(), 2)]);
    assert!(answer.contains("did you mean $HOME_OF_BASE?"), "{answer}");
    // Of a base that is not there, no more is judged than can be.
    sandbox.write("Dockerfile", "FROM absent\nLABEL a=$HOME_OF_BASE\nCMD a\n");
    let answer = sandbox.bedplate(["build", "--call=check,format=json", "."]).ends(1).text();
    assert_eq!(rules(&answer), [("JSONArgsRecommended".to_owned(), 3)]);
}

#[test]
fn ignored_sources_and_malformed_files_are_told() {
    let sandbox = sandbox();
    sandbox.write("Dockerfile", "# check=experimental=CopyIgnoredFile\nFROM scratch\nCOPY a.txt b /\n");
    sandbox.write(".dockerignore", "*.txt\n");
    let outcome = sandbox.bedplate(["build", "--check", "."]).ends(1);
    shows(&outcome, "\"a.txt\" that is excluded by .dockerignore");
    sandbox.write("Dockerfile", "FROM scratch\nRNU a\n");
    sandbox.bedplate(["build", "--check", "."]).ends(1).says("did you mean \"RUN\"");
    let answer: Value =
        serde_json::from_str(&sandbox.bedplate(["build", "--call=check,format=json", "."]).ends(1).text()).unwrap();
    assert_eq!(answer["warnings"], json!([]));
    assert_eq!(answer["buildError"]["location"]["ranges"][0]["start"]["line"], 2);
}

#[test]
fn outline_and_targets_answer_what_a_file_takes() {
    let sandbox = sandbox();
    let dockerfile = "# LEVEL is how much\nARG LEVEL=3\n# base has the tools\nFROM scratch AS base\nARG LEVEL JOBS\n\
                      RUN --mount=type=secret,id=token,required=true true\n# last is the result\nFROM base AS last\n";
    sandbox.write("Dockerfile", dockerfile);
    let outline = sandbox.bedplate(["build", "--call=outline", "--build-arg", "JOBS=9", "."]).ok();
    let expected = "\
TARGET:      last
DESCRIPTION: is the result

BUILD ARG   VALUE   DESCRIPTION
LEVEL       3       is how much
JOBS        9

SECRET   REQUIRED
token    true
";
    assert_eq!(outline.text(), expected);
    let targets = sandbox.bedplate(["build", "--call", "targets", "."]).ok();
    assert_eq!(
        targets.text(),
        "TARGET           DESCRIPTION\nbase             has the tools\nlast (default)   is the result"
    );
    let answer = sandbox.bedplate(["build", "--call=targets,format=json", "."]).ok().text();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["targets"][1]["default"], true, "{answer}");
    let answer = sandbox.bedplate(["build", "--call=outline,format=json", "--target=base", "."]).ok().text();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["secrets"][0]["required"], true, "{answer}");
    sandbox.bedplate(["build", "--call=chek", "."]).fails().says("expected build, check, outline or targets");
}

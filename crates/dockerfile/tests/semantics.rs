//! What the Dockerfile reference demands, one test for each rule that trips implementers.

use std::collections::BTreeMap;

use bedplate_dockerfile::{
    CommandLine, Dockerfile, Escape, Instruction, Node, ParseErrorKind, Program, Source, WarningKind, expand,
    parse_trigger,
};

fn parse(text: &str) -> Dockerfile {
    Dockerfile::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn kind(text: &str) -> ParseErrorKind {
    Dockerfile::parse(text.as_bytes()).unwrap_err().kind
}

/// The instructions of the first stage of `FROM x` and a text.
fn stage(text: &str) -> Vec<Node> {
    parse(&format!("FROM x\n{text}")).stages.remove(0).instructions
}

fn run(text: &str) -> bedplate_dockerfile::Run {
    match stage(text).remove(0).instruction {
        Instruction::Run(run) => *run,
        other => panic!("{other:?}"),
    }
}

#[test]
fn directives_stand_at_the_very_top_only() {
    let escape = |text: &str| parse(text).directives.escape();
    assert_eq!(escape("# escape=`\nFROM x"), Escape::Backtick);
    assert_eq!(escape("# EsCaPe = `\nFROM x"), Escape::Backtick, "keys have no case");
    assert_eq!(escape("# a comment\n# escape=`\nFROM x"), Escape::Backslash);
    assert_eq!(escape("\n# escape=`\nFROM x"), Escape::Backslash);
    assert_eq!(escape("FROM x\n# escape=`\n"), Escape::Backslash);
    assert_eq!(kind("# escape=`\n# escape=\\\nFROM x"), ParseErrorKind::DirectiveTwice { name: "escape" });
    let syntax = parse("# syntax=A/B\nFROM x").directives.syntax;
    assert_eq!(syntax.as_deref(), Some("A/B"), "values keep their case");
    let continued = parse("# syntax=a \\\n# check=b\nFROM x").directives;
    assert_eq!((continued.syntax.as_deref(), continued.check.as_deref()), (Some("a \\"), Some("b")));
}

#[test]
fn byte_order_mark_comments_and_empty_continuations() {
    assert_eq!(parse("\u{feff}FROM x"), parse("FROM x"));
    let file = parse("FROM x\nRUN a \\\n  # comment\n\n  b\n  # comment\n");
    assert_eq!(file.stages[0].instructions[0].original, "RUN a   b");
    let kinds: Vec<_> = file.warnings.iter().map(|w| (w.span.start.line, &w.kind)).collect();
    assert_eq!(kinds, [(4, &WarningKind::EmptyContinuation)]);
}

#[test]
fn exec_form_that_is_no_json_is_shell_form() {
    let table = [
        ("CMD [\"x\"]", CommandLine::Exec(vec!["x".into()])),
        ("CMD ['x']", CommandLine::Shell("['x']".into())),
        ("CMD [\"\\w\"]", CommandLine::Shell("[\"\\w\"]".into())),
        ("CMD [\"x\"", CommandLine::Shell("[\"x\"".into())),
        ("CMD [\"x\"] y", CommandLine::Shell("[\"x\"] y".into())),
        ("CMD []", CommandLine::Exec(vec![])),
    ];
    for (text, expected) in table {
        assert_eq!(stage(text)[0].instruction, Instruction::Cmd(expected), "{text}");
    }
}

#[test]
fn one_value_for_the_whole_instruction() {
    // The executor expands every pair with the values from before the instruction.
    let nodes = stage("ENV abc=hello\nENV abc=bye def=$abc");
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for node in nodes {
        let Instruction::Env(env) = node.instruction else { panic!() };
        let before = values.clone();
        for pair in env.pairs {
            let value = pair.value.expand(Escape::Backslash, &before).unwrap().text;
            values.insert(pair.name.as_str().to_owned(), value);
        }
    }
    assert_eq!(values["def"], "hello");
    assert_eq!(values["abc"], "bye");
}

#[test]
fn unset_and_empty_are_distinct() {
    let scope = BTreeMap::from([("e".to_owned(), String::new())]);
    let table = [
        ("${e:-w}", "w"),
        ("${e-w}", ""),
        ("${u-w}", "w"),
        ("${e:+w}", ""),
        ("${e+w}", "w"),
        ("${u+w}", ""),
        ("\\$e", "$e"),
    ];
    for (word, expected) in table {
        let found = expand::expand(word, Escape::Backslash, &scope).unwrap().text;
        assert_eq!(found, expected, "{word}");
    }
}

#[test]
fn arguments_before_from_stand_apart() {
    let file = parse("ARG A=1\nFROM x:$A\nARG A\n");
    assert_eq!(file.global.len(), 1);
    let Instruction::Arg(inside) = &file.stages[0].instructions[0].instruction else { panic!() };
    assert_eq!(inside.arguments[0].default, None, "a redeclaration has no value of its own");
    assert_eq!(kind("ENV A=1\nFROM x"), ParseErrorKind::BeforeFrom { instruction: "ENV" });
}

#[test]
fn the_original_text_is_kept_for_history() {
    let nodes = stage("RUN   a \\\n  b\n");
    assert_eq!(nodes[0].original, "RUN   a   b");
}

#[test]
fn stage_names_have_no_case_and_numbers_work() {
    let file = parse("FROM x AS Build\nFROM y AS build\nFROM z\n");
    assert_eq!(file.find_stage("BUILD", 3), Some(1), "the last of equal names");
    assert_eq!(file.find_stage("build", 1), Some(0), "only what stands before counts");
    assert_eq!(file.find_stage("2", 3), Some(2));
    assert_eq!(file.find_stage("3", 3), None);
    assert_eq!(file.find_stage("+1", 3), None);
    assert_eq!(file.nearest_stage("biuld", 3), Some("build"));
    assert!(matches!(kind("FROM x AS 1a"), ParseErrorKind::StageName(_)));
}

#[test]
fn heredocs_follow_the_reference() {
    let copy = |text: &str| match stage(text).remove(0).instruction {
        Instruction::Copy(copy) => copy,
        other => panic!("{other:?}"),
    };
    let found = copy("COPY <<A <<-'B' /d/\n$x\nA\n\t  $x\n\tB\n");
    let [Source::Heredoc(a), Source::Heredoc(b)] = found.sources.as_slice() else { panic!() };
    assert_eq!((a.expand, a.content().as_ref()), (true, "$x\n"));
    assert_eq!((b.expand, b.content().as_ref()), (false, "  $x\n"), "only tabs are removed");

    let table: [(&str, Program<'_>); 5] = [
        ("RUN <<E\na\nE\n", Program::Shell("a\n".into())),
        ("RUN <<E\n#!/bin/x\nE\n", Program::Script { name: "E", content: "#!/bin/x\n".into() }),
        ("RUN py <<E\n#!x\nE\n", Program::Shell("py <<E\n#!x\nE".into())),
        ("RUN a <<A && b <<B\n1\nA\n2\nB\n", Program::Shell("a <<A && b <<B\n1\nA\n2\nB".into())),
        ("RUN <<-E\n\t#!/bin/x\n\tE\n", Program::Script { name: "E", content: "#!/bin/x\n".into() }),
    ];
    for (text, expected) in table {
        assert_eq!(run(text).program(), expected, "{text}");
    }
}

#[test]
fn triggers_parse_as_the_image_keeps_them() {
    let nodes = stage("ONBUILD COPY <<E /x\nbody\nE\nONBUILD RUN a \\\n b\n");
    let expressions: Vec<String> = nodes
        .into_iter()
        .map(|node| match node.instruction {
            Instruction::Onbuild(trigger) => {
                let again = parse_trigger(&trigger.expression).unwrap();
                assert_eq!(again.instruction, *trigger.instruction);
                trigger.expression
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(expressions, ["COPY <<E /x\nbody\nE", "RUN a  b"]);
    for bad in ["", "FROM x", "ONBUILD RUN x", "MAINTAINER x", "RUN a\nRUN b", "NOPE"] {
        assert!(parse_trigger(bad).is_err(), "{bad}");
    }
}

#[test]
fn limits_hold_on_both_sides() {
    use bedplate_dockerfile::{MAX_DOCKERFILE_BYTES, MAX_HEREDOCS, MAX_INSTRUCTIONS};
    let many = |count: usize| "FROM x\n".to_owned() + &"USER a\n".repeat(count - 1);
    parse(&many(MAX_INSTRUCTIONS));
    assert_eq!(kind(&many(MAX_INSTRUCTIONS + 1)), ParseErrorKind::TooManyInstructions { limit: MAX_INSTRUCTIONS });
    let heredocs = |count: usize| format!("FROM x\nCOPY {}/\n{}", "<<E ".repeat(count), "E\n".repeat(count));
    parse(&heredocs(MAX_HEREDOCS));
    assert_eq!(kind(&heredocs(MAX_HEREDOCS + 1)), ParseErrorKind::TooManyHeredocs { limit: MAX_HEREDOCS });
    let large = |size: usize| format!("FROM x\n#{}", "x".repeat(size - 8));
    parse(&large(MAX_DOCKERFILE_BYTES));
    assert!(matches!(kind(&large(MAX_DOCKERFILE_BYTES + 1)), ParseErrorKind::TooLarge { .. }));
}

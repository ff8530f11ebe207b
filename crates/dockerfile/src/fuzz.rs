//! Entry points for fuzzers: each runs a parser on arbitrary bytes and asserts what must hold.

use std::collections::BTreeMap;

use crate::glob::Glob;
use crate::ignore::{Ignore, IgnoreState};
use crate::{Dockerfile, Escape, change, check, expand, mount, parse_trigger, port, signal};

/// Parsing never panics, and printing gives an equal file.
pub fn parse(data: &[u8]) {
    match Dockerfile::parse(data) {
        Ok(file) => {
            let printed = file.to_string();
            let again = Dockerfile::parse(printed.as_bytes());
            assert_eq!(again.as_ref(), Ok(&file), "printed as {printed:?}");
            judge(&file);
            for trigger in file.stages.iter().flat_map(|stage| &stage.instructions) {
                if let crate::Instruction::Onbuild(trigger) = &trigger.instruction {
                    let _ = parse_trigger(&trigger.expression);
                }
            }
        }
        Err(error) => {
            let _ = (error.to_string(), crate::excerpt(data, error.position));
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = change::parse(text);
        let _ = port::parse(text);
        let _ = signal::parse(text);
        let _ = crate::duration::parse(text);
        let _ = mount::MountSpec::parse(crate::Word::new(text, crate::Position::START));
    }
}

/// Judging never panics, and its findings can be shown.
fn judge(file: &Dockerfile) {
    struct Nothing;
    impl check::Surroundings for Nothing {
        fn base(&mut self, name: &str, _platform: Option<&str>) -> Option<check::Base> {
            Some(check::Base { triggers: vec![name.to_owned(), format!("RUN {name}")], ..check::Base::default() })
        }
        fn is_image_name(&self, text: &str) -> bool {
            text.is_ascii()
        }
        fn platform(&self, text: &str) -> Option<(String, String)> {
            text.split_once('/').map(|(os, architecture)| (os.to_owned(), architecture.to_owned()))
        }
    }
    let ignore = Ignore::from_patterns(["*.txt"]).ok();
    for target in [None, Some(0)] {
        let predefined = BTreeMap::new();
        let subject =
            check::Subject { file, build_args: &[], predefined: &predefined, ignore: ignore.as_ref(), target };
        for option in ["experimental=all", file.directives.check.as_deref().unwrap_or_default()] {
            let Ok(options) = check::CheckOptions::parse(option) else { continue };
            for warning in check::check(&subject, &options, &mut Nothing) {
                let _ = (warning.to_string(), crate::excerpt_of_lines(file.to_string().as_bytes(), warning.span));
            }
        }
    }
}

/// Expansion never panics and respects its limits.
pub fn expand(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let scope: BTreeMap<String, String> = [("a", ""), ("b", "x y"), ("path", "/usr/local/bin/x.tar.gz")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    for escape in [Escape::Backslash, Escape::Backtick] {
        if let Ok(found) = expand::expand(text, escape, &scope) {
            assert!(found.text.len() <= expand::MAX_EXPANDED_BYTES + text.len());
        }
        let _ = expand::expand_words(text, escape, &scope);
    }
    let _ = expand::expand_heredoc(text, &scope);
}

/// The first line is a path, the rest an ignore file; a walk agrees with a single question.
pub fn ignore(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (path, patterns) = data.split_at(end);
    let Ok(ignore) = Ignore::parse(patterns) else { return };
    if !is_plain(path) {
        return;
    }
    let mut state = IgnoreState::default();
    let (mut skipped, mut ignored) = (false, false);
    for end in (0..path.len()).filter(|index| path[*index] == b'/').chain([path.len()]) {
        let visit = ignore.visit(&state, &path[..end]);
        ignored = visit.ignored;
        assert!(ignored || !skipped);
        skipped |= visit.skip;
        state = visit.state;
    }
    assert_eq!(ignore.ignored(path), ignored);
}

/// The first line is a pattern, the rest a path.
pub fn glob(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (pattern, path) = data.split_at(end);
    let path = path.get(1..).unwrap_or_default();
    let Ok(pattern) = std::str::from_utf8(pattern) else { return };
    for glob in [Glob::wildcard(pattern), Glob::recursive(pattern)].into_iter().flatten() {
        let matched = glob.matches(path);
        if !is_plain(path) {
            continue;
        }
        if let Some(slash) = path.iter().rposition(|byte| *byte == b'/').filter(|_| matched) {
            assert!(glob.may_match_below(&path[..slash]));
        }
    }
}

/// What a walk of a directory gives: names between single slashes. A path like `K/` lies below no directory.
fn is_plain(path: &[u8]) -> bool {
    !path.is_empty() && path.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}

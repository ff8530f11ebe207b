//! bedplate beside BuildKit and buildah: as they were recorded, and live.

use super::{Builds, GROUPS, Group, base_archive, cases};
use crate::corpus::manifest::{Manifest, Saved};
use crate::kit::sha256;
use bedplate_testkit::builders::{Builder, Builders};
use bedplate_testkit::corpus::Case;
use bedplate_testkit::debian::host;
use bedplate_testkit::{oracle, remove_tree, skip};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What may differ, with reasons.
const DIFFERENCES: &str = include_str!("../../corpus/differences.txt");

/// Lines of [`DIFFERENCES`] for each builder.
const MAX_DIFFERENCES: usize = 40;

/// Set by `cargo xtask golden`: record anew.
const GOLDEN: &str = "BEDPLATE_GOLDEN";

/// Set by `cargo xtask test --all`: build all cases with all builders.
const ALL: &str = "BEDPLATE_TEST_ALL";

/// Of how many cases one is built anew by the builders in an ordinary run.
const SAMPLE: usize = 12;

/// What a builder made of a case: an image, or a failure.
type Made = Option<Manifest>;

/// A difference that is meant: `CASE | BUILDER | ours, theirs or outcome | LINE | REASON`.
#[derive(Debug, Clone, Copy)]
struct Stated {
    case: &'static str,
    builder: &'static str,
    who: &'static str,
    line: &'static str,
}

fn stated() -> Vec<Stated> {
    let lines = DIFFERENCES.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let parts = |line: &'static str| {
        let parts: Vec<&str> = line.split(" | ").map(str::trim).collect();
        let [case, builder, who, line, reason] = parts[..] else { panic!("{line}: expected five parts") };
        assert!(!reason.is_empty(), "{line}: no reason");
        Stated { case, builder, who, line }
    };
    lines.map(parts).collect()
}

/// A pattern of literal pieces between `*`.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches(rest, &text[at..]))
}

/// The digest of a case's input, by which a recording that is out of date is known.
fn input(case: &Case) -> String {
    let settings = ["expect ", "fails ", "semantics ", "without ", "needs "];
    let counts = |line: &&str| !settings.iter().any(|setting| line.starts_with(setting));
    let text: String = case.text.lines().filter(counts).map(|line| format!("{line}\n")).collect();
    sha256(text.as_bytes())["sha256:".len()..][..8].to_owned()
}

/// Reads what was recorded: case, and input, to what was made.
fn recorded(text: &str) -> BTreeMap<(String, String), Made> {
    let mut found: BTreeMap<(String, String), Made> = BTreeMap::new();
    let mut current = None;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some((name, input)) = line.strip_prefix("=== ").and_then(|rest| rest.split_once(' ')) {
            let key = (name.to_owned(), input.to_owned());
            found.insert(key.clone(), Some(Manifest { lines: Vec::new() }));
            current = Some(key);
        } else if let Some(key) = &current {
            match (line, found.get_mut(key)) {
                ("fails", Some(made)) => *made = None,
                (line, Some(Some(manifest))) => manifest.lines.push(line.to_owned()),
                _ => panic!("a line behind a failure: {line}"),
            }
        }
    }
    found
}

/// What differs between our side and a builder's, but for what is stated; notes what was of use.
fn differs(
    case: &Case,
    builder: Builder,
    ours: &Made,
    theirs: &Made,
    stated: &[Stated],
    used: &mut BTreeSet<usize>,
) -> Vec<String> {
    let found = match (ours, theirs) {
        (Some(ours), Some(theirs)) => ours.differences(theirs),
        (None, None) => Vec::new(),
        (Some(_), None) => vec![("outcome", "only ours builds")],
        (None, Some(_)) => vec![("outcome", "only theirs builds")],
    };
    let is_meant = |(who, line): &(&str, &str), used: &mut BTreeSet<usize>| {
        let fits = |stated: &Stated| {
            matches(stated.case, &case.name)
                && matches(stated.builder, builder.name())
                && matches(stated.who, who)
                && matches(stated.line, line)
        };
        let at = stated.iter().position(fits);
        used.extend(at);
        at.is_some()
    };
    let unmeant = found.into_iter().filter(|difference| !is_meant(difference, used));
    unmeant.map(|(who, line)| format!("{} | {} | {who} | {line}", case.name, builder.name())).collect()
}

/// Compares with what was recorded; a case without a recording fails, and so does a difference that is no more.
#[test]
fn images_are_those_that_were_recorded() {
    let test = "corpus::beside::images_are_those_that_were_recorded";
    let builds = Builds::new(test);
    let stated = stated();
    let (mut used, mut faults) = (BTreeSet::new(), Vec::new());
    let whole = cases().iter().all(|case| builds.can(case));
    for group in GROUPS {
        let recorded = group.recorded.map(recorded);
        for (case, ours) in builds.each(group.cases(), |case| builds.build(case)) {
            let ours = ours.ok();
            for (builder, recorded) in Builder::ALL.into_iter().zip(&recorded).filter(|(it, _)| asked(&case, *it)) {
                match recorded.get(&(case.name.clone(), input(&case))) {
                    Some(theirs) => faults.extend(differs(&case, builder, &ours, theirs, &stated, &mut used)),
                    None => {
                        faults.push(format!("{} | {} | not recorded: cargo xtask golden", case.name, builder.name()))
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} differences\n{}", faults.len(), faults.join("\n"));
    let idle: Vec<&Stated> = stated.iter().enumerate().filter(|(at, _)| !used.contains(at)).map(|(_, it)| it).collect();
    assert!(idle.is_empty() || !whole, "stated, but no difference any more: {idle:#?}");
}

#[test]
fn the_differences_are_few() {
    for builder in Builder::ALL {
        let lines = stated().iter().filter(|stated| matches(stated.builder, builder.name())).count();
        assert!(lines <= MAX_DIFFERENCES, "{}: {lines} lines", builder.name());
    }
    for (pattern, text, fits) in [("a*c", "abc", true), ("a*c", "ab", false), ("*", "", true), ("a", "ab", false)] {
        assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
    }
}

/// What a builder makes of cases now.
fn made(builders: &Builders, builder: Builder, builds: &Builds, cases: &[Case]) -> BTreeMap<String, Made> {
    // Sockets' paths are short, and storage drivers want a real file system.
    let work = tempfile::Builder::new().prefix("bp-builders-").tempdir_in("/var/tmp").expect("a temporary folder");
    std::fs::write(work.path().join("base.tar"), base_archive(builds)).expect("own folder");
    for case in cases {
        let folder = work.path().join("cases").join(&case.name);
        case.lay(&folder.join("context"));
        let flags: String = case.flags.iter().map(|flag| format!("{flag}\n")).collect();
        std::fs::write(folder.join("flags"), flags).expect("own folder");
    }
    builders.build(builder, work.path());
    let result = |case: &Case| {
        let Some(archive) = Builders::outcome(work.path(), &case.name) else { return (case.name.clone(), None) };
        let unpacked = archive.with_extension("unpacked");
        std::fs::create_dir(&unpacked).expect("own folder");
        oracle::expect(oracle::command("tar").arg("-xf").arg(archive).arg("-C").arg(&unpacked));
        (case.name.clone(), Some(builds.manifest(case, &Saved::in_archive(&unpacked))))
    };
    let results = cases.iter().map(result).collect();
    remove_tree(work.path());
    results
}

fn asked(case: &Case, builder: Builder) -> bool {
    !case.without.iter().any(|(name, _)| name == builder.name())
}

/// Writes what the builders make of a group beside its cases.
fn record(group: &Group, builder: Builder, versions: &str, made: &BTreeMap<String, Made>) {
    let mut text = format!("# {versions}; recorded by `cargo xtask golden`.\n");
    for case in group.cases().iter().filter(|case| asked(case, builder)) {
        text += &format!("\n=== {} {}\n", case.name, input(case));
        match &made[&case.name] {
            Some(manifest) => manifest.lines.iter().for_each(|line| text += &format!("{line}\n")),
            None => text += "fails\n",
        }
    }
    let name = format!("tests/corpus/{}.{}", group.name, builder.name());
    std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(name), text).expect("the checkout");
}

/// Builds with the builders themselves: a sample, all with `--all`, and all to be recorded with `golden`.
#[test]
fn the_builders_make_what_was_recorded() {
    let test = "corpus::beside::the_builders_make_what_was_recorded";
    let builders = match Builders::open(host::mirror("bookworm").as_deref()) {
        Ok(builders) => builders,
        Err(reason) => return skip::note(test, &reason),
    };
    let builds = Builds::new(test);
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let golden = is_set(GOLDEN);
    let step = if golden || is_set(ALL) { 1 } else { SAMPLE };
    let mut faults = Vec::new();
    for (number, builder) in Builder::ALL.into_iter().enumerate() {
        let able = cases().into_iter().filter(|case| asked(case, builder) && builds.can(case));
        let sample: Vec<Case> = able.step_by(step).collect();
        let made = made(&builders, builder, &builds, &sample);
        for group in GROUPS {
            if golden {
                record(group, builder, &builders.versions(builder), &made);
                continue;
            }
            let recorded = recorded(group.recorded[number]);
            for case in group.cases() {
                let Some(theirs) = made.get(&case.name) else { continue };
                let before = recorded.get(&(case.name.clone(), input(&case)));
                if before != Some(theirs) {
                    faults.push(format!("{} | {}: {theirs:#?}", case.name, builder.name()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "recorded otherwise (cargo xtask golden):\n{}", faults.join("\n"));
}

//! The corpus: small Dockerfiles with their contexts, built by bedplate and compared with what BuildKit and buildah
//! make of them.
//!
//! A case is text ([`bedplate_testkit::corpus`]); a file `GROUP.cases` holds many. What the builders make of it was
//! recorded beside it (`GROUP.buildkit`, `GROUP.buildah`) by `cargo xtask golden`, so that a machine without them
//! compares as well; a sample is built anew where their root can be had, all with `cargo xtask test --all`.
//! Differences that are meant stand in `differences.txt`, with their reasons.

mod beside;
mod manifest;
mod same;
mod semantics;

use crate::kit::*;
use bedplate_testkit::corpus::{self, Case};
use bedplate_testkit::privilege::{self, Privilege};
use bedplate_testkit::{Invocation, Sandbox, skip};
use manifest::{Manifest, Saved};
use std::collections::BTreeSet;
use std::sync::Mutex;

/// A file of cases with what was recorded of it.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    cases: &'static str,
    /// By builder, in the order of [`bedplate_testkit::builders::Builder::ALL`].
    pub(crate) recorded: [&'static str; 2],
}

macro_rules! groups {
    ($($name:literal)*) => {
        /// Every file of `tests/corpus`.
        pub(crate) const GROUPS: &[Group] = &[$(Group {
            name: $name,
            cases: include_str!(concat!("../../corpus/", $name, ".cases")),
            recorded: [
                include_str!(concat!("../../corpus/", $name, ".buildkit")),
                include_str!(concat!("../../corpus/", $name, ".buildah")),
            ],
        }),*];
    };
}

groups! { "add" "config" "copy" "parse" "run" "stages" "variables" }

impl Group {
    pub(crate) fn cases(&self) -> Vec<Case> {
        corpus::parse(self.cases)
    }
}

/// All cases of all groups.
pub(crate) fn cases() -> Vec<Case> {
    GROUPS.iter().flat_map(Group::cases).collect()
}

/// The name of the image that cases with processes begin with.
const BASE: &str = "box";

/// Builds at a time.
const WORKERS: usize = 4;

/// True for cases that begin with the image of busybox.
pub(crate) fn needs_base(case: &Case) -> bool {
    case.text.split_whitespace().any(|word| word == BASE)
}

/// A store with the base, in which cases are built.
pub(crate) struct Builds {
    pub(crate) sandbox: Sandbox,
    base: Option<Saved>,
    has_ids: bool,
}

impl Builds {
    /// Without busybox, or where nothing can be run, cases that need it are left out (and counted as skipped).
    pub(crate) fn new(test: &str) -> Builds {
        let sandbox = sandbox();
        let base = can_run(test).then(|| busybox_image(&sandbox, test)).flatten();
        let base = base.map(|id| Saved::in_store(&sandbox.store(), &id));
        let has_ids = privilege::current() != Privilege::OneUid;
        if !has_ids {
            skip::note(test, "one user id: cases whose processes need several");
        }
        Builds { sandbox, base, has_ids }
    }

    pub(crate) fn has_base(&self) -> bool {
        self.base.is_some()
    }

    pub(crate) fn can(&self, case: &Case) -> bool {
        (self.has_base() || !needs_base(case)) && (self.has_ids || !case.needs_ids)
    }

    pub(crate) fn lay(&self, case: &Case) {
        case.lay(&self.sandbox.path(&case.name).join("context"));
    }

    /// The command that builds a case that was laid out.
    pub(crate) fn command(&self, case: &Case) -> Invocation {
        self.sandbox.bedplate(words(case)).folder(self.sandbox.path(&case.name))
    }

    /// What bedplate makes of a case; the words of its failure where it makes nothing.
    pub(crate) fn build(&self, case: &Case) -> Result<Manifest, String> {
        self.lay(case);
        let outcome = self.command(case).run();
        assert!(!outcome.stderr.contains("panicked at"), "{}: {outcome}", case.name);
        match outcome.status {
            Some(0) => Ok(self.manifest(case, &Saved::in_store(&self.sandbox.store(), &outcome.text()))),
            _ => Err(outcome.stderr),
        }
    }

    /// Does the same with each case that can be built here; several at once, since each waits for the disk.
    pub(crate) fn each<T: Send>(&self, cases: Vec<Case>, work: impl Fn(&Case) -> T + Sync) -> Vec<(Case, T)> {
        let queue = Mutex::new(cases.into_iter().filter(|case| self.can(case)).enumerate());
        let done = Mutex::new(Vec::new());
        let next = || queue.lock().expect("no panic").next();
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    while let Some((number, case)) = next() {
                        let outcome = work(&case);
                        done.lock().expect("no panic").push((number, case, outcome));
                    }
                });
            }
        });
        let mut done = done.into_inner().expect("no panic");
        done.sort_by_key(|(number, ..)| *number);
        done.into_iter().map(|(_, case, outcome)| (case, outcome)).collect()
    }

    /// An image of a case in lines.
    pub(crate) fn manifest(&self, case: &Case, image: &Saved) -> Manifest {
        image.manifest(self.base.as_ref().filter(|_| needs_base(case)))
    }
}

/// The words of bedplate's command, in the folder that has the context.
pub(crate) fn words(case: &Case) -> Vec<&str> {
    ["build", "-q"].into_iter().chain(case.flags.iter().map(String::as_str)).chain(["context"]).collect()
}

/// The base as an archive that every builder takes.
pub(crate) fn base_archive(builds: &Builds) -> Vec<u8> {
    builds.sandbox.bedplate(["save", BASE]).ok().stdout
}

/// What is wrong with bedplate's side of a case by the case's own words.
fn own_faults(case: &Case, built: &Result<Manifest, String>) -> Option<String> {
    match (built, &case.fails) {
        (Ok(manifest), None) => {
            let missed = manifest.missed(&case.expect)?;
            Some(format!("expected: {missed}\n  {}", manifest.lines.join("\n  ")))
        }
        (Err(said), Some(words)) if said.contains(words) => None,
        (Err(said), Some(words)) => Some(format!("fails without the words {words:?}: {said}")),
        (Ok(_), Some(_)) => Some("succeeds, where it must fail".to_owned()),
        (Err(said), None) => Some(said.clone()),
    }
}

#[test]
fn cases_are_what_they_say() {
    let test = "corpus::cases_are_what_they_say";
    let builds = Builds::new(test);
    let mut faults = Vec::new();
    for (case, built) in builds.each(cases(), |case| builds.build(case)) {
        if let Some(fault) = own_faults(&case, &built) {
            faults.push(format!("{} ({}): {fault}", case.name, case.about));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    fsck(&builds.sandbox);
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let cases = cases();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len());
    assert!(names.len() >= 150, "{} cases", names.len());
    let tag = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    assert!(names.iter().all(|name| tag(name)), "names are tags");
}

#[test]
fn every_file_of_cases_is_listed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let Ok(files) = std::fs::read_dir(&folder) else {
        return skip::note("corpus::every_file_of_cases_is_listed", "the checkout cannot be read");
    };
    for file in files {
        let name = file.unwrap().file_name().into_string().unwrap();
        let group = name.strip_suffix(".cases").unwrap_or("copy");
        assert!(GROUPS.iter().any(|known| known.name == group), "{name} is not listed");
    }
}

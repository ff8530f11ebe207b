//! What a RUN step asks of a runtime; real processes are the binary's tests.

use std::sync::Mutex;

use bedplate_build::{BuildContext, CommandFailure, RunMount, RunOutcome, RunStep, Runner};
use bedplate_image::ContentSources;
use bedplate_run::Mount;
use bedplate_tree::{Action, Change, Content, Delta, Entry, Metadata, Timestamp, TreePath};

use crate::kit::*;

/// Notes what it is asked, and makes one file.
#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<String>>,
    status: u8,
}

impl Runner for Fake {
    fn run(
        &self,
        step: &RunStep<'_>,
        _contents: &mut ContentSources<'_>,
        _output: &mut dyn FnMut(&[u8]),
    ) -> Result<RunOutcome, CommandFailure> {
        let mounts: Vec<_> = step.mounts.iter().map(shown).collect();
        let asked = format!("{:?} env={:?} mounts={mounts:?} network={}", step.words, step.env, step.network);
        self.asked.lock().unwrap().push(asked);
        if self.status != 0 {
            return Err(CommandFailure::Status { status: self.status });
        }
        let metadata = Metadata { mode: 0o644, mtime: Timestamp::from_seconds(1 << 40), ..Metadata::default() };
        let path = TreePath::parse(format!("made{}", step.layers.len()).as_bytes()).unwrap();
        let action = Action::Put(Entry::file(Content::from_bytes(*b"M"), metadata));
        let delta = Delta { changes: vec![Change { path, action }] };
        Ok(RunOutcome { delta, left_out: vec!["socket".to_owned()], warnings: Vec::new() })
    }
}

fn shown(mount: &RunMount) -> (&str, String) {
    match mount {
        RunMount::Ready(Mount::File { target, content, .. }) => {
            (target, String::from_utf8_lossy(&content.0).into_owned())
        }
        RunMount::Ready(other) => (other.target(), format!("{other:?}")),
        RunMount::Agent { target, mode, .. } => (target, format!("agent {mode:o}")),
        RunMount::Files { target, files, writable } => (target, format!("{} writable={writable}", files.path)),
        RunMount::Cache { target, sharing, mode, .. } => (target, format!("{sharing:?} {mode:o}")),
    }
}

fn build(kit: &Kit, fake: &Fake, dockerfile: &str, options: &Options<'_>) -> Result<Outcome, String> {
    let context = BuildContext::empty();
    kit.try_build_with(&kit.lease(), &context, dockerfile, options, Some(fake)).map_err(|error| chain(&error))
}

#[test]
fn steps_get_words_environment_and_files() {
    let kit = Kit::new();
    let fake = Fake::default();
    let dockerfile = concat!(
        "FROM scratch\nARG B=1\nARG A=2\nENV A=env\n",
        "RUN echo $A\nRUN [\"/x\", \"y z\"]\nRUN --network=none <<E\nline\nE\n",
        "RUN <<S\n#!/bin/x\nS\nSHELL [\"/ash\", \"-c\"]\nRUN cat <<E\nt\nE\n",
    );
    let options = Options { args: vec![("http_proxy", "p"), ("B", "3")], ..Options::default() };
    let outcome = build(&kit, &fake, dockerfile, &options).unwrap();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let env = format!("env=[\"http_proxy=p\", \"B=3\", \"{path}\", \"A=env\"]");
    let expected = [
        format!("[\"/bin/sh\", \"-c\", \"echo $A\"] {env} mounts=[] network=true"),
        format!("[\"/x\", \"y z\"] {env} mounts=[] network=true"),
        format!("[\"/bin/sh\", \"-c\", \"line\\n\"] {env} mounts=[] network=false"),
        format!("[\"/dev/pipes/S\"] {env} mounts=[(\"/dev/pipes/S\", \"#!/bin/x\\n\")] network=true"),
        format!("[\"/ash\", \"-c\", \"cat <<E\\nt\\nE\"] {env} mounts=[] network=true"),
    ];
    assert_eq!(*fake.asked.lock().unwrap(), expected);
    let runs: Vec<&str> = history(&outcome).into_iter().filter(|text| text.starts_with("RUN")).collect();
    assert_eq!(runs[0], "RUN |2 B=3 A=env /bin/sh -c echo $A # buildkit", "proxies are not named");
    let tree = kit.listing(&outcome.image);
    assert_eq!(
        tree,
        ["644 0:0 /made0 M", "644 0:0 /made1 M", "644 0:0 /made2 M", "644 0:0 /made3 M", "644 0:0 /made4 M"]
    );
    assert!(!outcome.remarks.is_empty());
}

#[test]
fn steps_are_cached_by_what_they_see() {
    let kit = Kit::new();
    let fake = Fake::default();
    let run = |fake: &Fake, lines: &str, args: &[(&'static str, &'static str)]| {
        let options = Options { args: args.to_vec(), ..Options::default() };
        build(&kit, fake, &format!("FROM scratch\n{lines}\n"), &options).unwrap().cached
    };
    assert_eq!(run(&fake, "ARG A\nRUN x", &[]), 0);
    assert_eq!(run(&fake, "ARG A\nRUN x", &[]), 1);
    assert_eq!(run(&fake, "RUN x", &[]), 1, "an argument without a value is none");
    assert_eq!(run(&fake, "ARG A\nRUN x", &[("A", "1")]), 0, "an argument that it sees");
    assert_eq!(run(&fake, "RUN x", &[("A", "1")]), 1, "an argument that it does not see");
    assert_eq!(run(&fake, "RUN x", &[("https_proxy", "p")]), 1, "a proxy");
    assert_eq!(run(&fake, "ENV E=1\nRUN x", &[]), 0);
    assert_eq!(run(&fake, "USER 1\nRUN x", &[]), 0);
    assert_eq!(run(&fake, "LABEL l=1\nEXPOSE 80\nCMD [\"x\"]\nRUN x", &[]), 1, "what no process sees");
    assert_eq!(run(&fake, "RUN x\nRUN x", &[]), 1, "the same command upon something else");
}

#[test]
fn a_failure_ends_the_build() {
    let kit = Kit::new();
    let mut fake = Fake { status: 7, ..Fake::default() };
    let error = build(&kit, &fake, "FROM scratch\nRUN x\nRUN y\n", &Options::default()).err().unwrap();
    assert_eq!(error, "line 2, column 1: cannot do \"RUN x\": the command ended with status 7");
    assert_eq!(fake.asked.lock().unwrap().len(), 1);
    fake.status = 0;
    assert_eq!(build(&kit, &fake, "FROM scratch\nRUN x\n", &Options::default()).unwrap().cached, 0, "it was not kept");
}

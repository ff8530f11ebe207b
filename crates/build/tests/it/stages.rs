//! Several stages, arguments, bases, triggers.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use bedplate_build::{
    BuildContext, BuildError, CommandFailure, Named, NamedContexts, NamedError, Remark, RunOutcome, RunStep, Runner,
};
use bedplate_image::ContentSources;
use bedplate_oci::{Platform, annotation};
use bedplate_tree::{Action, Change, Content, Delta, Entry, Metadata, TreePath};

use crate::kit::*;

#[test]
fn only_needed_stages_are_built() {
    let kit = Kit::new();
    kit.write("a", "A");
    let dockerfile = concat!(
        "FROM scratch AS one\nCOPY a /one\n",
        "FROM nowhere/to/be:found AS broken\nCOPY missing /\n",
        "FROM one AS two\nCOPY a /two\n",
        "FROM scratch AS last\nCOPY --from=two /two /from-two\nCOPY --from=0 /one /from-one\n",
    );
    let tree = |target| kit.listing(&kit.build(dockerfile, &Options { target, ..Options::default() }).image);
    assert_eq!(tree(None), ["644 0:0 /from-one A", "644 0:0 /from-two A"]);
    assert_eq!(tree(Some("ONE")), ["644 0:0 /one A"]);
    assert_eq!(tree(Some("2")), ["644 0:0 /one A", "644 0:0 /two A"]);
    let fault =
        |target| kit.try_build(dockerfile, &Options { target: Some(target), ..Options::default() }).err().unwrap();
    assert!(chain(&fault("broken")).contains("not in the store"));
    assert!(chain(&fault("tow")).contains("did you mean \"two\""));
    assert!(chain(&fault("9")).contains("there is no stage \"9\""));
}

#[test]
fn arguments_have_their_scopes() {
    let kit = Kit::new();
    kit.write("a", "A");
    let dockerfile = concat!(
        "ARG GLOBAL=g\nARG DERIVED=${GLOBAL}x\nFROM scratch AS base\n",
        "ARG GLOBAL\nARG LOCAL=l\nARG UNSET\n",
        "ENV SEEN=\"$GLOBAL $LOCAL $DERIVED ${UNSET-none} $TARGETARCH\"\n",
        "FROM base\nARG TARGETARCH\nENV INHERITED=$LOCAL ARCH=$TARGETARCH\nENV LOCAL=env\nARG LOCAL=arg\nENV WHICH=$LOCAL\n",
    );
    let env = |args: &[(&'static str, &'static str)]| {
        let outcome = kit.build(dockerfile, &Options { args: args.to_vec(), ..Options::default() });
        config(&outcome).config.env[1..].to_vec()
    };
    assert_eq!(env(&[]), ["SEEN=g l  none ", "INHERITED=l", "ARCH=amd64", "LOCAL=env", "WHICH=env"]);
    assert_eq!(
        env(&[("GLOBAL", "G"), ("LOCAL", "L"), ("UNSET", "U")]),
        ["SEEN=G L  U ", "INHERITED=L", "ARCH=amd64", "LOCAL=env", "WHICH=env"]
    );
    let outcome = kit.build(dockerfile, &Options { args: vec![("NOBODY", "x")], ..Options::default() });
    let unused = Remark::UnusedArguments { names: vec!["NOBODY".to_owned()] };
    assert!(outcome.remarks.contains(&unused), "{:?}", outcome.remarks);
    let one_line = "FROM scratch\nARG A=a B=${A}b\nENV SEEN=$B\n";
    assert_eq!(config(&kit.build(one_line, &Options::default())).config.env[1..], ["SEEN=ab"]);
}

#[test]
fn from_lines_have_variables() {
    let kit = Kit::new();
    kit.write("a", "A");
    kit.build("FROM scratch\nCOPY a /\n", &Options { names: vec!["base:1.2"], ..Options::default() });
    let dockerfile = "ARG NAME=base\nARG TAG=1.2\nFROM $NAME:${TAG:-9}\nCOPY a /b\n";
    assert_eq!(kit.tree(dockerfile), ["644 0:0 /a A", "644 0:0 /b A"]);
    assert!(kit.fault("ARG NAME\nFROM $NAME\n").contains("names no image"));
    assert!(kit.fault("FROM bse:1.2\n").contains("image \"bse:1.2\" is not in the store"));
}

#[test]
fn a_base_is_kept_as_it_is_and_named() {
    let kit = Kit::new();
    kit.write("a", "A");
    let base = kit.build(
        "FROM scratch\nCOPY a /\nENV X=1\nCMD [\"base\"]\nLABEL from=base\n",
        &Options { names: vec!["base"], epoch: Some(1000), ..Options::default() },
    );
    let outcome = kit.build("FROM base\nCOPY a /b\nENTRYPOINT [\"e\"]\n", &Options::default());
    let (old, new) = (config(&base), config(&outcome));
    assert_eq!(new.history[..old.history.len()], old.history[..], "the base's history stays");
    assert_eq!(new.rootfs.diff_ids[0], old.rootfs.diff_ids[0]);
    assert_eq!(new.created.unwrap().seconds(), 1000, "the epoch is the base's creation");
    assert_eq!(kit.listing(&outcome.image), ["644 0:0 /a A @1000", "644 0:0 /b A @1000"]);
    assert_eq!(new.config.cmd, None, "an inherited CMD goes with a new ENTRYPOINT");
    assert_eq!(new.config.labels["from"], "base");
    let annotations = &outcome.image.manifest.annotations;
    assert_eq!(annotations[annotation::BASE_NAME], "docker.io/library/base:latest");
    assert_eq!(annotations[annotation::BASE_DIGEST], base.image.descriptor.digest.to_string());
    assert!(base.image.manifest.annotations.is_empty(), "scratch is no image");
    assert_eq!(new.layers_in_history(), new.rootfs.diff_ids.len());
}

#[test]
fn labels_of_a_source_stage_are_not_inherited() {
    let kit = Kit::new();
    kit.write("a", "A");
    let outcome = kit.build(
        "FROM scratch AS x\nLABEL x=y\nCOPY a /\nFROM scratch\nCOPY --from=x /a /\nLABEL own=1\n",
        &Options { labels: vec![("own", "2"), ("added", "3")], ..Options::default() },
    );
    let labels: Vec<_> = config(&outcome).config.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(labels, ["added=3", "own=2"], "those of the command line are set last");
}

#[test]
fn triggers_run_in_the_child_and_are_gone() {
    let kit = Kit::new();
    kit.write("a", "A");
    kit.write("b", "B");
    kit.build(
        "FROM scratch AS base\nONBUILD COPY a /trigger\nONBUILD ENV T=1\nONBUILD COPY <<E /doc\n$T\nE\n",
        &Options { names: vec!["base"], ..Options::default() },
    );
    let outcome = kit.build("FROM base\nCOPY b /own\nENV O=$T\n", &Options::default());
    assert_eq!(kit.listing(&outcome.image), ["644 0:0 /doc 1\\n", "644 0:0 /own B", "644 0:0 /trigger A"]);
    assert!(config(&outcome).config.on_build.is_empty());
    assert_eq!(config(&outcome).config.env[1..], ["T=1", "O=1"]);
    // In one file, and with a source stage that nothing else needs.
    let tree = kit.tree(concat!(
        "FROM scratch AS late\nCOPY b /late\n",
        "FROM scratch AS base2\nONBUILD COPY --from=late /late /got\n",
        "FROM base2\n",
    ));
    assert_eq!(tree, ["644 0:0 /got B"]);
}

#[test]
fn copies_from_images_and_stages() {
    let kit = Kit::new();
    kit.write_mode("dir/f", "F", 0o755);
    kit.link("dir/l", "f");
    let options = Options { names: vec!["img"], epoch: Some(500), ..Options::default() };
    kit.build("FROM scratch\nCOPY --chown=3:4 dir /d\n", &options);
    let outcome =
        kit.build("FROM scratch\nCOPY --from=img /d /e\n", &Options { epoch: Some(800), ..Options::default() });
    // The contents keep their owners and times; the directory itself is new.
    assert_eq!(kit.listing(&outcome.image), ["755 0:0 /e/ @800", "755 3:4 /e/f F @500", "link 3:4 /e/l -> f @500"]);
    let clamped = kit
        .build("FROM scratch\nCOPY --from=img --chown=9 /d/f /\n", &Options { epoch: Some(100), ..Options::default() });
    assert_eq!(kit.listing(&clamped.image), ["755 9:9 /f F @100"]);
    for (line, part) in [
        ("COPY --from=nope /x /", "image \"nope\" is not in the store"),
        ("COPY --from=img /nope /", "\"/nope\" is not in image img"),
        ("COPY --from=$X /x /", "--from has no variables"),
        ("COPY --from=own /x /", "only earlier stages"),
    ] {
        let fault = kit.fault(&format!("FROM scratch AS own\n{line}\n"));
        assert!(fault.contains(part), "{line}: {fault}");
    }
}

#[test]
fn platforms_are_kept_and_compared() {
    let kit = Kit::new();
    kit.write("a", "A");
    let arm = Options { platform: Some("linux/arm64"), names: vec!["arm"], ..Options::default() };
    assert_eq!(config(&kit.build("FROM scratch\nCOPY a /\n", &arm)).platform.to_string(), "linux/arm64");
    let outcome = kit.build("FROM arm\nCOPY a /b\n", &Options::default());
    assert_eq!(config(&outcome).platform.to_string(), "linux/arm64");
}

/// Two stages meet in their steps, or one of them fails while the other runs.
struct Meeting {
    barrier: Barrier,
    failing: Option<&'static str>,
    ended: AtomicBool,
}

impl Runner for Meeting {
    fn run(
        &self,
        step: &RunStep<'_>,
        _contents: &mut ContentSources<'_>,
        _output: &mut dyn FnMut(&[u8]),
    ) -> Result<RunOutcome, CommandFailure> {
        self.barrier.wait();
        let cancel = step.beside_threads.unwrap();
        if self.failing.is_some_and(|words| step.words.iter().any(|word| word == words)) {
            return Err(CommandFailure::Status { status: 3 });
        }
        if self.failing.is_some() {
            // Can be read when the build is stopped, or the test hangs.
            std::fs::File::from(cancel.try_clone().unwrap()).read_exact(&mut [0]).unwrap();
            self.ended.store(true, Ordering::Relaxed);
            return Err(CommandFailure::Status { status: 137 });
        }
        let file = Entry::file(Content::from_bytes(*b""), Metadata { mode: 0o644, ..Metadata::default() });
        let path = TreePath::parse(step.words[2].as_bytes()).unwrap();
        let delta = Delta { changes: vec![Change { path, action: Action::Put(file) }] };
        Ok(RunOutcome { delta, left_out: Vec::new(), warnings: Vec::new() })
    }
}

const SIDE_BY_SIDE: &str = "FROM scratch AS one\nRUN a\nFROM scratch AS two\nRUN b\nFROM scratch AS not\nRUN c\n\
     FROM scratch\nCOPY --from=one / /one\nCOPY --from=two / /two\n";

fn meet(kit: &Kit, failing: Option<&'static str>) -> (Result<Outcome, BuildError>, bool) {
    let meeting = Meeting { barrier: Barrier::new(2), failing, ended: AtomicBool::new(false) };
    let options = Options::default();
    let built = kit.try_build_with(&kit.lease(), &BuildContext::empty(), SIDE_BY_SIDE, &options, Some(&meeting));
    (built, meeting.ended.into_inner())
}

#[test]
fn stages_that_do_not_need_each_other_are_built_side_by_side() {
    let kit = Kit::new();
    let outcome = meet(&kit, None).0.unwrap();
    assert_eq!(kit.listing(&outcome.image), ["755 0:0 /one/", "644 0:0 /one/a ", "755 0:0 /two/", "644 0:0 /two/b "]);
}

#[test]
fn the_failure_of_a_stage_ends_the_others() {
    for failing in ["a", "b"] {
        let (built, ended) = meet(&Kit::new(), Some(failing));
        let text = chain(&built.err().unwrap());
        assert!(text.contains(&format!("RUN {failing}")) && text.contains("status 3"), "{text}");
        assert!(ended);
    }
}

/// Knows one name.
#[derive(Debug)]
struct OneName(&'static str, Named);

impl NamedContexts for OneName {
    fn find(&self, name: &str, _: Option<&Platform>) -> Result<Option<Named>, NamedError> {
        match name {
            "broken" => Err("nobody is there".into()),
            name => Ok((name == self.0).then(|| self.1.clone())),
        }
    }
}

#[test]
fn names_stand_for_files_and_images() {
    let kit = Kit::new();
    kit.write("sub/file", "x");
    kit.write("own", "o");
    let files = || Named::Files(Arc::new(BuildContext::directory(&kit.context().join("sub")).unwrap().named("other")));
    let base = kit.build("FROM scratch\nENV BASE=1\nCOPY own /base\nONBUILD ENV CHILD=1\n", &Options::default());
    let image = || Named::Image(Arc::new(base.image.clone()));
    let table: [(&str, &str, Named, &[&str]); 6] = [
        ("files below", "FROM other\n", files(), &["644 0:0 /file x"]),
        ("files from", "FROM scratch\nCOPY --from=other file /to\n", files(), &["644 0:0 /to x"]),
        ("an image below", "FROM other\n", image(), &["644 0:0 /base o"]),
        ("an image from", "FROM scratch\nCOPY --from=other base /b\n", image(), &["644 0:0 /b o"]),
        ("in place of a stage", "FROM scratch AS other\nCOPY own /\nFROM other\n", files(), &["644 0:0 /file x"]),
        (
            "the build's own",
            "FROM scratch\nCOPY own /\nCOPY --from=other . /\n",
            files(),
            &["644 0:0 /file x", "644 0:0 /own o"],
        ),
    ];
    for (what, dockerfile, named, expected) in table {
        let names = OneName("other", named);
        let options = Options { contexts: Some(&names), ..Options::default() };
        let first = kit.build(dockerfile, &options);
        assert_eq!(kit.listing(&first.image), expected, "{what}");
        assert_eq!(kit.build(dockerfile, &options).image.id(), first.image.id(), "{what}");
    }
    let names = OneName("other", image());
    let options = Options { contexts: Some(&names), ..Options::default() };
    let env = &kit.build("FROM other\n", &options).image.config.config.env;
    assert!(env.contains(&"BASE=1".to_owned()) && env.contains(&"CHILD=1".to_owned()), "{env:?}");
    let fault = |dockerfile: &str| chain(&kit.try_build(dockerfile, &options).err().unwrap());
    let text = fault("FROM scratch\nCOPY --from=broken / /\n");
    assert!(text.contains("cannot have \"broken\": nobody is there"), "{text}");
    let names = OneName("other", files());
    let options = Options { contexts: Some(&names), ..Options::default() };
    let text = chain(&kit.try_build("FROM scratch\nCOPY --from=other missing /\n", &options).err().unwrap());
    assert!(text.contains("\"missing\" is not in the context \"other\""), "{text}");
}

#[test]
fn a_stage_can_be_done_anew() {
    let kit = Kit::new();
    kit.write("a", "1");
    let dockerfile = "FROM scratch AS one\nCOPY a /\nFROM scratch AS two\nCOPY a /b\nFROM one\nCOPY --from=two b /\n";
    kit.build(dockerfile, &Options::default());
    let filters = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (names, cached) in [(filters(&[]), 3), (filters(&["one"]), 2), (filters(&["two", "one"]), 1)] {
        let options = Options { no_cache_filter: &names, ..Options::default() };
        assert_eq!(kit.build(dockerfile, &options).cached, cached, "{names:?}");
    }
}

//! A whole build: the plan, the threads that carry it out, the image at its end.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use bedplate_dockerfile::{Escape, Instruction, Node, Position, Scope, Word};
use bedplate_image::command::check_command;
use bedplate_image::{ConfigChange, ContentSources};
use bedplate_oci::{Created, Descriptor, Digest, Platform, annotation, to_json};
use bedplate_store::{Image, Lease, Store};

use crate::add::expand_fault;
use crate::base::Base;
use crate::context::{BuildContext, Streams};
use crate::error::{BuildError, Step, StepError};
use crate::exchange::{self, CacheRecord, INLINE};
use crate::executor::Executor;
use crate::hashes::Hashes;
use crate::named::Named;
use crate::plan;
use crate::request::{Event, Observer, Remark, Request, StepId};
use crate::scope::{Globals, target_stage};
use crate::stage::StageState;
use crate::stages::Stages;
use crate::step_run::Runner;

/// What a build made.
#[derive(Debug)]
pub struct Built {
    /// The image.
    pub image: Image,
    /// What was remarked, in the order in which it was seen.
    pub remarks: Vec<Remark>,
    /// The steps with a layer that were done or found, sorted by key.
    pub steps: Vec<CacheRecord>,
    /// Those whose layers are the image's.
    pub own_steps: Vec<CacheRecord>,
}

/// Builds an image and names it.
///
/// Without a `runner` RUN is an error. Stages that do not need each other are built side by side, by as many threads as
/// [`Request::jobs`] allows; the process should have one thread when this begins.
///
/// # Errors
/// [`BuildError`]; of several stages that fail that of the first. Layers of the steps that succeeded stay in the cache; no
/// name is changed.
pub fn build<'a>(
    lease: &'a Lease,
    context: &'a BuildContext,
    request: &'a Request<'a>,
    runner: Option<&'a (dyn Runner + 'a)>,
    observer: &'a mut Observer<'a>,
) -> Result<Built, BuildError> {
    let target = plan::target(request.dockerfile, request.target)?;
    let mut build = Build::new(lease, context, request, runner, observer);
    build.globals()?;
    build.plan(target)?;
    let jobs = build.jobs();
    thread::scope(|scope| {
        for _ in 1..jobs {
            scope.spawn(|| build.work());
        }
        build.work();
    });
    build.hashes.save(lease);
    build.finish(target)
}

/// What names stand for on platforms; `None` for one that is just a name.
type Names = HashMap<(String, Option<Platform>), Option<Named>>;

/// What all threads of a build share.
pub(crate) struct Build<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) lease: &'a Lease,
    pub(crate) store: &'a Store,
    pub(crate) context: &'a BuildContext,
    pub(crate) hashes: Hashes,
    pub(crate) streams: Streams,
    pub(crate) globals: Globals,
    pub(crate) platform: Platform,
    pub(crate) runner: Option<&'a (dyn Runner + 'a)>,
    /// What the stages that the target needs begin with.
    pub(crate) bases: Vec<Option<Base>>,
    pub(crate) stages: Stages,
    names: Mutex<Names>,
    observer: Mutex<&'a mut Observer<'a>>,
    remarks: Mutex<Vec<Remark>>,
    steps: AtomicUsize,
    records: Mutex<BTreeMap<Digest, CacheRecord>>,
}

/// A place in the Dockerfile whose step is being done.
#[derive(Clone)]
pub(crate) struct At {
    pub(crate) position: Position,
    pub(crate) text: String,
    pub(crate) trigger: bool,
    pub(crate) escape: Escape,
}

impl At {
    pub(crate) fn failed(&self, source: StepError) -> BuildError {
        let step = Step { position: self.position, text: self.text.clone(), trigger: self.trigger };
        BuildError::Step { step, source: Box::new(source) }
    }
}

/// The text of an instruction in one line, for messages.
pub(crate) fn in_one_line(text: &str) -> String {
    const SHOWN: usize = 200;
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(SHOWN) {
        line.truncate(end);
        line.push('\u{2026}');
    }
    line
}

/// Stops the other threads where this one panics: they would wait for its stage.
struct Panics<'b>(&'b Stages);

impl Drop for Panics<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

impl<'a> Build<'a> {
    fn new(
        lease: &'a Lease,
        context: &'a BuildContext,
        request: &'a Request<'a>,
        runner: Option<&'a (dyn Runner + 'a)>,
        observer: &'a mut Observer<'a>,
    ) -> Self {
        let platform = request.platform.clone().unwrap_or_else(|| request.host.clone());
        let stage = target_stage(request.dockerfile, request.target);
        Self {
            request,
            lease,
            store: lease.store(),
            context,
            hashes: Hashes::new(context.identity().as_deref(), lease),
            streams: Streams::default(),
            globals: Globals::new(request.build_args, &platform, &request.host, stage),
            platform,
            runner,
            bases: Vec::new(),
            stages: Stages::new(Vec::new()),
            names: Mutex::default(),
            observer: Mutex::new(observer),
            remarks: Mutex::default(),
            steps: AtomicUsize::new(0),
            records: Mutex::default(),
        }
    }

    /// Where a thread reads what its trees hold: the store's layers, the streams of this build, and what it adds itself.
    pub(crate) fn contents(&self) -> ContentSources<'a> {
        let streams = self.streams.clone();
        let store = self.store;
        ContentSources::new().with_streams(move |digest| {
            if let Some(file) = streams.open(digest)? {
                return Ok(Some(file));
            }
            Ok(Some(store.open_layer(&bedplate_oci::DiffId(*digest))?))
        })
    }

    pub(crate) fn tell(&self, event: Event<'_>) {
        (self.observer.lock().unwrap_or_else(PoisonError::into_inner))(event);
    }

    pub(crate) fn next_step(&self) -> StepId {
        StepId(self.steps.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Notes a step with a layer.
    pub(crate) fn record(&self, record: CacheRecord) {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).insert(record.key, record);
    }

    pub(crate) fn remark(&self, remark: Remark) {
        let mut remarks = self.remarks.lock().unwrap_or_else(PoisonError::into_inner);
        if !remarks.contains(&remark) {
            self.tell(Event::Remark(&remark));
            remarks.push(remark);
        }
    }

    pub(crate) fn word(&self, word: &Word, escape: Escape, scope: &dyn Scope) -> Result<String, StepError> {
        Ok(word.expand(escape, scope).map_err(|source| expand_fault(word, source))?.text)
    }

    pub(crate) fn known_names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn at(&self, node: &Node) -> At {
        self.at_text(node.span.start, &node.original)
    }

    fn at_text(&self, position: Position, text: &str) -> At {
        At { position, text: in_one_line(text), trigger: false, escape: self.request.dockerfile.directives.escape() }
    }

    pub(crate) fn base_at(&self, index: usize) -> At {
        let from = &self.request.dockerfile.stages[index].node;
        self.at_text(from.span.start, &from.original)
    }

    /// Takes the ARGs before the first FROM.
    fn globals(&mut self) -> Result<(), BuildError> {
        for node in &self.request.dockerfile.global {
            let at = self.at(node);
            let Instruction::Arg(arguments) = &node.instruction else { continue };
            // One value for the whole instruction.
            let mut found = Vec::new();
            for argument in &arguments.arguments {
                let expand = |word| self.word(word, at.escape, &self.globals).map_err(|error| at.failed(error));
                found.push((expand(&argument.name)?, argument.default.as_ref().map(expand).transpose()?));
            }
            for (name, default) in found {
                self.globals.declare(&name, default);
            }
        }
        Ok(())
    }

    /// Finds the stages that the target needs, what they begin with, and what their names stand for.
    fn plan(&mut self, target: usize) -> Result<(), BuildError> {
        let file = self.request.dockerfile;
        let count = file.stages.len();
        let mut needed = vec![false; count];
        needed[target] = true;
        self.bases = vec![None; count];
        let mut needs = vec![None; count];
        for index in (0..=target).rev() {
            if !needed[index] {
                continue;
            }
            let at = self.base_at(index);
            let base = self.base(index).map_err(|error| at.failed(error))?;
            let mut own = Vec::new();
            if let Base::Stage(other) = base {
                own.push(other);
            }
            if !matches!(base, Base::Named { whole: true, .. }) {
                for (position, name) in file.stages[index].named() {
                    match file.find_stage(name, index) {
                        Some(other) => own.push(other),
                        None if file.find_stage(name, count).is_none() && !name.contains('$') => {
                            let at = At { position, ..at.clone() };
                            self.named(name, self.request.platform.as_ref()).map_err(|error| at.failed(error))?;
                        }
                        None => {}
                    }
                }
            }
            own.iter().for_each(|other| needed[*other] = true);
            self.bases[index] = Some(base);
            needs[index] = Some(own);
        }
        self.stages = Stages::new(needs);
        Ok(())
    }

    /// How many threads are to work, this one included.
    fn jobs(&mut self) -> usize {
        let jobs = self.request.jobs.min(self.stages.width());
        if jobs <= 1 {
            return 1;
        }
        let runs = |node: &Node| matches!(node.instruction, Instruction::Run(_));
        let runs = self.request.dockerfile.stages.iter().any(|stage| stage.instructions.iter().any(runs));
        if let Some(runner) = self.runner.filter(|_| runs)
            && runner.prepare().is_err()
        {
            // The first step that needs it says why.
            return 1;
        }
        if self.stages.share().is_ok() { jobs } else { 1 }
    }

    /// Builds stages until none is left.
    fn work(&self) {
        let _panics = Panics(&self.stages);
        let mut executor = Executor::new(self);
        while let Some(index) = self.stages.next() {
            match executor.stage(index) {
                Ok(state) => self.stages.finish(index, state),
                Err(error) => self.stages.fail(index, error),
            }
        }
    }

    /// Turns the target into an image.
    fn finish(mut self, target: usize) -> Result<Built, BuildError> {
        let from = self.base_at(target);
        let stages = std::mem::replace(&mut self.stages, Stages::new(Vec::new()));
        let Some(mut state) = stages.into_target(target)? else {
            return Err(from.failed(StepError::TooDeep));
        };
        let unused = self.globals.unused();
        if !unused.is_empty() {
            self.remark(Remark::UnusedArguments { names: unused });
        }
        if !self.request.labels.is_empty() {
            state.editor.apply(ConfigChange::Label(self.request.labels.to_vec()));
        }
        self.check_program(&mut state).map_err(|error| from.failed(error))?;
        let steps: Vec<CacheRecord> =
            std::mem::take(&mut *self.records.lock().unwrap_or_else(PoisonError::into_inner)).into_values().collect();
        let own = |record: &&CacheRecord| state.layers.iter().any(|(diff_id, _)| *diff_id == record.diff_id);
        let own_steps: Vec<CacheRecord> = steps.iter().filter(own).cloned().collect();
        if self.request.squash {
            state.squash(&self.contents(), self.lease).map_err(|error| from.failed(error))?;
        }
        let base = state.base.take();
        let epoch = state.epoch;
        let inline = self.request.inline_cache.then(|| (INLINE.to_owned(), exchange::inline(&own_steps)));
        let layers: Vec<Descriptor> = state.layers.iter().map(|(_, layer)| layer.clone()).collect();
        let mut config = state.editor.finish();
        config.created = Some(Created::new(epoch.seconds, epoch.nanoseconds));
        let annotations = base.into_iter().flat_map(|(name, digest)| {
            [(annotation::BASE_NAME.to_owned(), name), (annotation::BASE_DIGEST.to_owned(), digest.to_string())]
        });
        let annotations = annotations.chain(inline).chain(self.request.annotations.iter().cloned());
        let config = to_json(&config);
        let image = match self.request.listed {
            true => self.lease.add_new_image(&config, layers, annotations, self.request.names),
            false => self.lease.unlisted_image(&config, layers, annotations),
        }
        .map_err(BuildError::Store)?;
        let remarks = self.remarks.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Built { image, remarks, steps, own_steps })
    }

    /// Remarks a command that will not run.
    fn check_program(&self, state: &mut StageState) -> Result<(), StepError> {
        let config = state.editor.config();
        if config.config.cmd.is_some() || config.config.entrypoint.is_some() {
            let config = config.clone();
            let tree = state.tree(self.store)?;
            if let Some(problem) = check_command(tree, &self.contents(), &config) {
                self.remark(Remark::Program(Box::new(problem)));
            }
        }
        Ok(())
    }
}

//! A whole build: stages in order, each instruction carried out.

use bedplate_dockerfile::{
    Escape, Instruction, Network, Node, Position, Program, Run, Scope, Security, Word, parse_trigger,
};
use bedplate_image::command::check_command;
use bedplate_image::config_edit::shell_of;
use bedplate_image::instruction::config_change;
use bedplate_image::{ConfigChange, ConfigEditor, ContentSources};
use bedplate_oci::{Created, Digest, ImageConfig, Platform, Reference, SCRATCH, annotation, to_json};
use bedplate_run::{Bytes, Mount};
use bedplate_store::{Image, Lease, Store};
use bedplate_tree::{Content, Delta, Metadata, Timestamp, Tree, TreePath, diff};

use crate::add::expand_fault;
use crate::cache::{self, KeyBuilder};
use crate::context::{BuildContext, Streams};
use crate::copy::make_directories;
use crate::error::{BuildError, Step, StepError};
use crate::hashes::Hashes;
use crate::mounts::Given;
use crate::request::{Event, Observer, Remark, Request};
use crate::scope::Globals;
use crate::stage::StageState;
use crate::step_run::{RunMount, RunStep, Runner};
use crate::{history, owner, plan};

/// How deeply stages may be begun in the midst of others: only triggers of a base name stages that late.
const MAX_NESTED_STAGES: usize = 16;

/// Where the file of a heredoc with a `#!` line lies while it runs.
const SCRIPTS: &str = "/dev/pipes";

/// Keys of a config that speak of the container in which another builder made the image.
const FOREIGN_KEYS: [&str; 3] = ["container", "container_config", "docker_version"];

/// What a build made.
#[derive(Debug)]
pub struct Built {
    /// The image.
    pub image: Image,
    /// What was remarked, in order.
    pub remarks: Vec<Remark>,
}

/// Builds an image and names it.
///
/// Without a `runner` RUN is an error.
///
/// # Errors
/// [`BuildError`]. Layers of the steps that succeeded stay in the cache; no name is changed.
pub fn build<'r>(
    lease: &Lease,
    context: &BuildContext,
    request: &Request<'_>,
    runner: Option<&mut (dyn Runner + 'r)>,
    observer: &mut Observer<'_>,
) -> Result<Built, BuildError> {
    let file = request.dockerfile;
    let target = plan::target(file, request.target)?;
    let platform = request.platform.clone().unwrap_or_else(|| request.host.clone());
    let label = plan::label(target, &file.stages[target]);
    let streams = Streams::default();
    let contents = {
        let streams = streams.clone();
        let store = lease.store();
        ContentSources::new().with_streams(move |digest| {
            if let Some(file) = streams.open(digest)? {
                return Ok(Some(file));
            }
            Ok(Some(store.open_layer(&bedplate_oci::DiffId(*digest))?))
        })
    };
    let mut executor = Executor {
        request,
        lease,
        store: lease.store(),
        context,
        contents,
        hashes: Hashes::new(context.identity().as_deref(), lease),
        streams,
        globals: Globals::new(request.build_args, &platform, &request.host, &label),
        platform,
        done: vec![None; file.stages.len()],
        bases: vec![None; file.stages.len()],
        depth: 0,
        runner,
        observer,
        remarks: Vec::new(),
    };
    for warning in &file.warnings {
        executor.remark(Remark::Dockerfile(warning.clone()));
    }
    executor.globals()?;
    executor.stages(target)?;
    executor.hashes.save(lease);
    executor.finish(target)
}

/// What a stage begins with.
#[derive(Debug, Clone)]
enum Base {
    Scratch,
    Stage(usize),
    Image { name: String, platform: Option<Platform> },
}

pub(crate) struct Executor<'a, 'o, 'r> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) lease: &'a Lease,
    pub(crate) store: &'a Store,
    pub(crate) context: &'a BuildContext,
    pub(crate) contents: ContentSources<'a>,
    pub(crate) hashes: Hashes,
    pub(crate) streams: Streams,
    globals: Globals,
    platform: Platform,
    pub(crate) done: Vec<Option<StageState>>,
    bases: Vec<Option<Base>>,
    depth: usize,
    runner: Option<&'a mut (dyn Runner + 'r)>,
    observer: &'a mut Observer<'o>,
    remarks: Vec<Remark>,
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
    fn failed(&self, source: StepError) -> BuildError {
        let step = Step { position: self.position, text: self.text.clone(), trigger: self.trigger };
        BuildError::Step { step, source: Box::new(source) }
    }
}

/// The text of an instruction in one line, for messages.
fn in_one_line(text: &str) -> String {
    const SHOWN: usize = 200;
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(SHOWN) {
        line.truncate(end);
        line.push('\u{2026}');
    }
    line
}

impl Executor<'_, '_, '_> {
    pub(crate) fn remark(&mut self, remark: Remark) {
        if !self.remarks.contains(&remark) {
            (self.observer)(Event::Remark(&remark));
            self.remarks.push(remark);
        }
    }

    pub(crate) fn undefined(&mut self, position: Position, names: Vec<String>) {
        for name in names {
            self.remark(Remark::Undefined { position, name });
        }
    }

    pub(crate) fn word(&mut self, word: &Word, escape: Escape, scope: &dyn Scope) -> Result<String, StepError> {
        let expansion = word.expand(escape, scope).map_err(|source| expand_fault(word, source))?;
        self.undefined(word.position(), expansion.undefined);
        Ok(expansion.text)
    }

    fn at(&self, node: &Node) -> At {
        At {
            position: node.span.start,
            text: in_one_line(&node.original),
            trigger: false,
            escape: self.request.dockerfile.directives.escape(),
        }
    }

    /// Takes the ARGs before the first FROM.
    fn globals(&mut self) -> Result<(), BuildError> {
        for node in &self.request.dockerfile.global {
            let at = self.at(node);
            let Instruction::Arg(arguments) = &node.instruction else { continue };
            let before = self.globals.clone();
            for argument in &arguments.arguments {
                let name = self.word(&argument.name, at.escape, &before).map_err(|e| at.failed(e))?;
                let default = match &argument.default {
                    Some(word) => Some(self.word(word, at.escape, &before).map_err(|e| at.failed(e))?),
                    None => None,
                };
                self.globals.declare(&name, default);
            }
        }
        Ok(())
    }

    fn base_at(&self, index: usize) -> At {
        let node = &self.request.dockerfile.stages[index].node;
        At {
            position: node.span.start,
            text: in_one_line(&node.original),
            trigger: false,
            escape: self.request.dockerfile.directives.escape(),
        }
    }

    /// Builds the stages that the target needs, the earlier first.
    fn stages(&mut self, target: usize) -> Result<(), BuildError> {
        let file = self.request.dockerfile;
        let mut needed = vec![false; target + 1];
        needed[target] = true;
        for index in (0..=target).rev() {
            if !needed[index] {
                continue;
            }
            let base = self.base(index).map_err(|error| self.base_at(index).failed(error))?;
            if let Base::Stage(other) = base {
                needed[other] = true;
            }
            self.bases[index] = Some(base);
            for other in plan::sources(file, index, &file.stages[index]) {
                needed[other] = true;
            }
        }
        for index in (0..=target).filter(|index| needed[*index]) {
            self.stage(index)?;
        }
        Ok(())
    }

    fn base(&mut self, index: usize) -> Result<Base, StepError> {
        let file = self.request.dockerfile;
        let from = &file.stages[index].from;
        let escape = file.directives.escape();
        let globals = self.globals.clone();
        let name = self.word(&from.image, escape, &globals)?;
        if name.is_empty() {
            return Err(StepError::EmptyBase { word: from.image.as_str().to_owned() });
        }
        let platform = match &from.platform {
            None => self.request.platform.clone(),
            Some(word) => {
                let text = self.word(word, escape, &globals)?;
                match text.as_str() {
                    "" => self.request.platform.clone(),
                    _ => Some(text.parse().map_err(|_| StepError::Platform { text })?),
                }
            }
        };
        if name == SCRATCH {
            return Ok(Base::Scratch);
        }
        let named =
            |other: &usize| file.stages[*other].name().is_some_and(|known| known.as_str() == name.to_lowercase());
        if let Some(other) = (0..index).rev().find(named) {
            return Ok(Base::Stage(other));
        }
        Ok(Base::Image { name, platform })
    }

    pub(crate) fn image(&self, name: &str, platform: Option<&Platform>, before: usize) -> Result<Image, StepError> {
        self.store.resolve_for(name, platform).map_err(|source| StepError::Image {
            name: name.to_owned(),
            near: self.request.dockerfile.nearest_stage(name, before).map(str::to_owned),
            source,
        })
    }

    fn begin(&mut self, index: usize, position: Position) -> Result<StageState, StepError> {
        let base = match &self.bases[index] {
            Some(base) => base.clone(),
            None => self.base(index)?,
        };
        match base {
            Base::Scratch => {
                let mut config = ImageConfig::new(self.platform.clone());
                config.config.working_dir = "/".to_owned();
                let mut editor = ConfigEditor::new(config);
                editor.ensure_path();
                Ok(StageState::new(editor, Vec::new(), self.request.epoch.unwrap_or(Timestamp::ZERO)))
            }
            Base::Stage(other) => {
                self.needs(other)?;
                self.done[other].as_ref().map(StageState::child).ok_or(StepError::TooDeep)
            }
            Base::Image { name, platform } => {
                let image = self.image(&name, platform.as_ref(), index)?;
                if let Some(wanted) = platform
                    && !wanted.matches(&image.config.platform)
                {
                    let found = Box::new(image.config.platform.clone());
                    self.remark(Remark::Platform { position, found, wanted: Box::new(wanted) });
                }
                let mut config = image.config.clone();
                FOREIGN_KEYS.iter().for_each(|key| {
                    config.other.shift_remove(*key);
                });
                let created =
                    config.created.map(|time| Timestamp { seconds: time.seconds(), nanoseconds: time.nanoseconds() });
                let epoch = self.request.epoch.or(created).unwrap_or(Timestamp::ZERO);
                let mut editor = ConfigEditor::new(config);
                editor.ensure_path();
                for diff_id in image.diff_ids() {
                    self.lease.pin_layer(diff_id)?;
                }
                let layers = image.layers().map(|(diff_id, layer)| (diff_id, layer.clone())).collect();
                let mut state = StageState::new(editor, layers, epoch);
                let name = Reference::parse(&name).map_or(name, |name| name.to_string());
                state.base = Some((name, image.descriptor.digest));
                Ok(state)
            }
        }
    }

    /// Builds a stage that turns out to be needed now.
    pub(crate) fn needs(&mut self, index: usize) -> Result<(), StepError> {
        if self.done[index].is_some() {
            return Ok(());
        }
        if self.depth >= MAX_NESTED_STAGES {
            return Err(StepError::TooDeep);
        }
        self.depth += 1;
        let result = self.stage(index);
        self.depth -= 1;
        result.map_err(|error| match error {
            BuildError::Step { source, .. } => *source,
            _ => StepError::TooDeep,
        })
    }

    fn stage(&mut self, index: usize) -> Result<(), BuildError> {
        if self.done[index].is_some() {
            return Ok(());
        }
        let stage = &self.request.dockerfile.stages[index];
        let label = plan::label(index, stage);
        let count = stage.instructions.len() + 1;
        let from = self.base_at(index);
        (self.observer)(Event::Step { stage: &label, number: 1, count, text: &from.text });
        let mut state = self.begin(index, from.position).map_err(|error| from.failed(error))?;
        for expression in state.editor.take_on_build() {
            let at = At { text: in_one_line(&expression), trigger: true, escape: Escape::Backslash, ..from.clone() };
            let node = parse_trigger(&expression)
                .map_err(|source| at.failed(StepError::Trigger { text: expression.clone(), source }))?;
            (self.observer)(Event::Step { stage: &label, number: 1, count, text: &at.text });
            self.instruction(&mut state, index, &node.instruction, &at).map_err(|error| at.failed(error))?;
        }
        for (number, node) in stage.instructions.iter().enumerate() {
            let at = self.at(node);
            (self.observer)(Event::Step { stage: &label, number: number + 2, count, text: &at.text });
            self.instruction(&mut state, index, &node.instruction, &at).map_err(|error| at.failed(error))?;
        }
        self.done[index] = Some(state);
        Ok(())
    }

    fn instruction(
        &mut self,
        state: &mut StageState,
        index: usize,
        instruction: &Instruction,
        at: &At,
    ) -> Result<(), StepError> {
        match instruction {
            Instruction::Arg(arguments) => {
                let before = state.clone_scope();
                for argument in &arguments.arguments {
                    let name = self.word(&argument.name, at.escape, &before)?;
                    let default = match &argument.default {
                        Some(word) => Some(self.word(word, at.escape, &before)?),
                        None => None,
                    };
                    let given = self.globals.given(&name).map(str::to_owned);
                    let value = given.or(default).or_else(|| self.globals.inherited(&name).map(str::to_owned));
                    let text = match &value {
                        Some(value) => format!("ARG {name}={value}"),
                        None => format!("ARG {name}"),
                    };
                    state.arguments.set(&name, value);
                    self.note(state, text);
                }
                Ok(())
            }
            Instruction::Copy(copy) => self.copy(state, index, copy, at),
            Instruction::Add(add) => self.add(state, add, at),
            Instruction::Run(run) => self.run(state, index, run, at),
            _ => {
                let translated = config_change(instruction, at.escape, &state.scope())?;
                let Some(translated) = translated else { return Ok(()) };
                self.undefined(at.position, translated.undefined);
                let change = translated.change;
                state.editor.apply(change.clone());
                let text = history::of_change(instruction, &change, &state.editor.config().config);
                if matches!(change, ConfigChange::Workdir(_)) {
                    return self.workdir(state, text);
                }
                self.note(state, text);
                Ok(())
            }
        }
    }

    /// Adds a step without a layer to the history.
    fn note(&self, state: &mut StageState, text: String) {
        let author = state.editor.config().author.clone();
        state.editor.add_empty(history::entry(state.epoch, text, &author));
    }

    /// Adds the layer of a step: from the cache, or made now.
    pub(crate) fn layer(
        &mut self,
        state: &mut StageState,
        key: Digest,
        text: String,
        make: impl FnOnce(&mut Self, &mut StageState) -> Result<Delta, StepError>,
    ) -> Result<(), StepError> {
        let author = state.editor.config().author.clone();
        let entry = history::entry(state.epoch, text, &author);
        if !self.request.no_cache
            && let Some((diff_id, layer)) = self.store.build_cache_get(&key)?.and_then(cache::layer_of)
        {
            self.lease.pin_layer(&diff_id)?;
            // A sweep may have come between the look and the pin.
            if self.store.has_layer(&diff_id)? {
                (self.observer)(Event::Cached);
                state.add_cached(diff_id, layer, entry);
                return Ok(());
            }
        }
        let delta = make(self, state)?;
        state.add_layer(&delta, None, entry, &key, &self.contents, self.lease)
    }

    /// The changes from the stage's tree to another.
    pub(crate) fn changes(&mut self, old: &Tree, new: &Tree, position: Position) -> Delta {
        // Contents in different places count as different: what a step puts is in its layer, whatever lay there before.
        let differ = &mut |_: &Content, _: &Content| Ok::<_, std::convert::Infallible>(false);
        let Ok(found) = diff(old, new, differ);
        for left in found.left_out {
            let what =
                format!("{:?} is left out: a layer cannot hold {}", left.path.to_string(), unholdable(left.reason));
            self.remark(Remark::LeftOut { position, what });
        }
        found.delta
    }

    fn workdir(&mut self, state: &mut StageState, text: String) -> Result<(), StepError> {
        let path = state.editor.config().config.working_dir.clone();
        if path == "/" {
            self.note(state, text);
            return Ok(());
        }
        let user = state.editor.config().config.user.clone();
        let mut key = KeyBuilder::new("workdir", &state.layers, state.epoch);
        key.text(&path).text(&user);
        self.layer(state, key.finish(), text, |this, state| {
            let epoch = state.epoch;
            let old = state.tree(this.store)?.clone();
            let (uid, gid) = match user.as_str() {
                "" => (0, 0),
                user => owner::resolve_user(user, &old, &this.contents)?,
            };
            let place = TreePath::parse(path.as_bytes()).map_err(|source| StepError::Path { path, source })?;
            let (place, _) = old.resolve(&place, true)?;
            let mut new = old.clone();
            let metadata = Metadata { uid, gid, ..Metadata::implied_directory(epoch) };
            make_directories(&mut new, &place, &metadata)?;
            Ok(this.changes(&old, &new, Position::START))
        })
    }

    fn run(&mut self, state: &mut StageState, index: usize, run: &Run, at: &At) -> Result<(), StepError> {
        let refused = |option: &str| StepError::RunOption { option: option.to_owned() };
        if !run.devices.is_empty() {
            return Err(refused("--device"));
        }
        if run.security == Some(Security::Insecure) {
            return Err(refused("--security=insecure"));
        }
        let container = state.editor.config().config.clone();
        let mut script = None;
        let words: Vec<String> = match run.program() {
            Program::Exec(words) => words.to_vec(),
            Program::Shell(text) => shell_of(&container).into_iter().chain([text.into_owned()]).collect(),
            Program::Script { name, content } => {
                let path = format!("{SCRIPTS}/{name}");
                script = Some(Bytes(content.into_owned().into_bytes()));
                vec![path]
            }
        };
        // ENV goes before ARG.
        let visible = |name: &str| container.env_var(name).is_none();
        let arguments: Vec<(String, String)> = (state.arguments.values().filter(|(name, _)| visible(name)))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let pairs = || arguments.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let text = history::of_run(pairs(), &words);
        let network = run.network != Some(Network::None);
        let mut key = KeyBuilder::new("run", &state.layers, state.epoch);
        key.texts(words.iter().map(String::as_str)).texts(container.env.iter().map(String::as_str));
        key.number(arguments.len() as u64);
        for (name, value) in pairs() {
            key.text(name).text(value);
        }
        key.text(&container.user).text(&container.working_dir).number(network.into());
        key.text(&state.editor.config().platform.to_string());
        if let (Some(content), Some(path)) = (&script, words.first()) {
            key.text(path).bytes(&content.0);
        }
        let planned = self.plan_mounts(state, index, run, at, &mut key)?;
        let proxies: Vec<String> = (self.globals.proxies())
            .filter(|(name, _)| visible(name) && !arguments.iter().any(|(known, _)| known == name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let env: Vec<String> = (proxies.into_iter())
            .chain(arguments.iter().map(|(name, value)| format!("{name}={value}")))
            .chain(container.env.iter().cloned())
            .collect();
        let position = at.position;
        self.layer(state, key.finish(), text, |this, state| {
            let Given { mut mounts, defaults, secrets } = this.given(&planned)?;
            if let (Some(content), Some(target)) = (script, words.first().cloned()) {
                mounts.push(RunMount::Ready(Mount::File { target, content, mode: 0o755, uid: 0, gid: 0 }));
            }
            let env: Vec<String> = defaults.into_iter().chain(env).chain(secrets).collect();
            let layers = state.diff_ids();
            let epoch = state.epoch;
            let tree = state.tree(this.store)?;
            let runner = this.runner.as_deref_mut().ok_or(StepError::NoRuntime)?;
            let step = RunStep {
                layers: &layers,
                tree,
                config: &container,
                words: &words,
                env: &env,
                mounts: &mounts,
                network,
            };
            let outcome = runner.run(&step, &mut this.contents, this.observer)?;
            let mut delta = outcome.delta;
            delta.clamp(epoch);
            for what in outcome.left_out {
                this.remark(Remark::LeftOut { position, what });
            }
            for what in outcome.warnings {
                this.remark(Remark::Process { position, what });
            }
            Ok(delta)
        })
    }

    /// Turns the target into an image.
    fn finish(mut self, target: usize) -> Result<Built, BuildError> {
        let from = self.base_at(target);
        let Some(mut state) = self.done[target].take() else {
            return Err(from.failed(StepError::TooDeep));
        };
        let unused = self.globals.unused();
        if !unused.is_empty() {
            self.remark(Remark::UnusedArguments { names: unused });
        }
        if !self.request.labels.is_empty() {
            state.editor.apply(ConfigChange::Label(self.request.labels.to_vec()));
        }
        let config = state.editor.config();
        if config.config.cmd.is_some() || config.config.entrypoint.is_some() {
            let config = config.clone();
            let tree = state.tree(self.store).map_err(|error| from.failed(error))?;
            if let Some(problem) = check_command(tree, &self.contents, &config) {
                self.remark(Remark::Program(Box::new(problem)));
            }
        }
        let base = state.base.take();
        let epoch = state.epoch;
        let layers = state.layers.into_iter().map(|(_, layer)| layer).collect();
        let mut config = state.editor.finish();
        config.created = Some(Created::new(epoch.seconds, epoch.nanoseconds));
        let annotations = base.into_iter().flat_map(|(name, digest)| {
            [(annotation::BASE_NAME.to_owned(), name), (annotation::BASE_DIGEST.to_owned(), digest.to_string())]
        });
        let image = self
            .lease
            .add_new_image(&to_json(&config), layers, annotations, self.request.names)
            .map_err(BuildError::Store)?;
        Ok(Built { image, remarks: self.remarks })
    }
}

pub(crate) fn unholdable(reason: bedplate_tree::Unrepresentable) -> &'static str {
    match reason {
        bedplate_tree::Unrepresentable::Socket => "a socket",
        bedplate_tree::Unrepresentable::WhiteoutName => "a name that begins with \".wh.\"",
    }
}

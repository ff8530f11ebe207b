//! One stage: its instructions carried out in order.

use bedplate_dockerfile::{
    Escape, Instruction, Network, Node, Position, Program, Run, Scope, Security, Word, parse_trigger,
};
use bedplate_image::config_edit::shell_of;
use bedplate_image::instruction::config_change;
use bedplate_image::{ConfigChange, ContentSources};
use bedplate_oci::Digest;
use bedplate_run::{Bytes, Limit, Mount};
use bedplate_tree::{Content, Delta, Metadata, Tree, TreePath, diff};

use crate::build::{At, Build, in_one_line};
use crate::cache::{self, KeyBuilder};
use crate::copy::make_directories;
use crate::error::{BuildError, StepError, in_words};
use crate::exchange::CacheRecord;
use crate::mounts::Given;
use crate::request::{Event, Remark, StepId};
use crate::stage::StageState;
use crate::step_run::{RunMount, RunStep};
use crate::{history, owner, plan};

/// How deeply stages may be begun in the midst of others: only triggers of a base name stages that late.
const MAX_NESTED_STAGES: usize = 16;

/// Where the file of a heredoc with a `#!` line lies while it runs.
const SCRIPTS: &str = "/dev/pipes";

/// Carries out stages, one after the other; every thread of a build has its own.
pub(crate) struct Executor<'b, 'a> {
    pub(crate) build: &'b Build<'a>,
    /// What the trees at hand are read through.
    pub(crate) contents: ContentSources<'a>,
    /// The step at hand, and the bytes of its layer once it has one.
    step: StepId,
    size: Option<u64>,
    depth: usize,
}

impl<'b, 'a> Executor<'b, 'a> {
    pub(crate) fn new(build: &'b Build<'a>) -> Self {
        Self { build, contents: build.contents(), step: StepId(0), size: None, depth: 0 }
    }

    pub(crate) fn remark(&self, remark: Remark) {
        self.build.remark(remark);
    }

    pub(crate) fn word(&self, word: &Word, escape: Escape, scope: &dyn Scope) -> Result<String, StepError> {
        self.build.word(word, escape, scope)
    }

    /// Builds a stage that turns out to be needed now, or waits for whoever is at it.
    pub(crate) fn needs(&mut self, index: usize) -> Result<(), StepError> {
        if !self.build.stages.claim(index)? {
            return Ok(());
        }
        if self.depth >= MAX_NESTED_STAGES {
            return Err(StepError::TooDeep);
        }
        let step = self.step;
        self.depth += 1;
        let result = self.stage(index);
        self.depth -= 1;
        self.step = step;
        match result {
            Ok(state) => {
                self.build.stages.finish(index, state);
                Ok(())
            }
            Err(BuildError::Step { source, .. }) => Err(*source),
            Err(_) => Err(StepError::TooDeep),
        }
    }

    /// Says that a step begins.
    fn begins(&mut self, index: usize, number: usize, at: &At) -> Result<(), StepError> {
        self.build.stages.go_on()?;
        let stage = &self.build.request.dockerfile.stages[index];
        let label = plan::label(index, stage);
        let count = stage.instructions.len() + 1;
        self.step = self.build.next_step();
        self.size = None;
        self.build.tell(Event::Step { id: self.step, stage: &label, number, count, text: &at.text });
        Ok(())
    }

    /// Says how the step ended.
    fn ended<T>(&self, result: Result<T, StepError>) -> Result<T, StepError> {
        self.build.tell(match &result {
            Ok(_) => Event::Done { id: self.step, size: self.size },
            Err(error) => Event::Failed { id: self.step, error },
        });
        result
    }

    /// Builds a stage from its beginning.
    pub(crate) fn stage(&mut self, index: usize) -> Result<StageState, BuildError> {
        let stage = &self.build.request.dockerfile.stages[index];
        let from = self.build.base_at(index);
        self.begins(index, 1, &from).map_err(|error| from.failed(error))?;
        let begun = self.begin(index);
        let (mut state, replaced) = self.ended(begun).map_err(|error| from.failed(error))?;
        if replaced {
            return Ok(state);
        }
        for expression in state.editor.take_on_build() {
            let at = At { text: in_one_line(&expression), trigger: true, escape: Escape::Backslash, ..from.clone() };
            let node = parse_trigger(&expression)
                .map_err(|source| at.failed(StepError::Trigger { text: expression.clone(), source }))?;
            self.step(&mut state, index, 1, &node.instruction, &at).map_err(|error| at.failed(error))?;
        }
        for (number, node) in stage.instructions.iter().enumerate() {
            let Node { instruction, .. } = node;
            let at = self.build.at(node);
            self.step(&mut state, index, number + 2, instruction, &at).map_err(|error| at.failed(error))?;
        }
        Ok(state)
    }

    fn step(
        &mut self,
        state: &mut StageState,
        index: usize,
        number: usize,
        instruction: &Instruction,
        at: &At,
    ) -> Result<(), StepError> {
        self.begins(index, number, at)?;
        let done = self.instruction(state, index, instruction, at);
        self.ended(done)
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
                let mut shown = vec!["ARG".to_owned()];
                for argument in &arguments.arguments {
                    // One ARG sees those before it on its line, unlike ENV: so it is with BuildKit.
                    let before = state.clone_scope();
                    let name = self.word(&argument.name, at.escape, &before)?;
                    let default = match &argument.default {
                        Some(word) => Some(self.word(word, at.escape, &before)?),
                        None => None,
                    };
                    let globals = &self.build.globals;
                    // The history has the default, whatever was given.
                    shown.push(default.as_ref().map_or_else(|| name.clone(), |default| format!("{name}={default}")));
                    let given = globals.given(&name).map(str::to_owned);
                    let value = given.or(default).or_else(|| globals.inherited(&name).map(str::to_owned));
                    state.arguments.set(&name, value);
                }
                self.note(state, shown.join(" "));
                Ok(())
            }
            Instruction::Copy(copy) => self.copy(state, index, copy, at),
            Instruction::Add(add) => self.add(state, add, at),
            Instruction::Run(run) => self.run(state, index, run, at),
            _ => {
                let translated = config_change(instruction, at.escape, &state.scope())?;
                let Some(translated) = translated else { return Ok(()) };
                let change = translated.change;
                state.editor.apply(change.clone());
                let text = history::of_change(instruction, &change, &state.editor.config().config);
                match change {
                    ConfigChange::Workdir(_) => return self.workdir(state, text),
                    // BuildKit has no entry for a trigger.
                    ConfigChange::OnBuild(_) => {}
                    _ => self.note(state, text),
                }
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
        if !state.anew
            && let Some((diff_id, layer)) = self.build.store.build_cache_get(&key)?.and_then(cache::layer_of)
        {
            self.build.lease.pin_layer(&diff_id)?;
            // A sweep may have come between the look and the pin.
            if self.build.store.has_layer(&diff_id)? {
                self.build.tell(Event::Cached { id: self.step });
                self.build.record(CacheRecord { key, diff_id, size: layer.size });
                self.size = Some(layer.size);
                state.add_cached(diff_id, layer, entry);
                return Ok(());
            }
        }
        if !state.anew
            && let Some(record) = self.imported(&key)
        {
            let layer = record.layer();
            self.build.store.build_cache_put(&key, &cache::entry_of(record.diff_id, &layer))?;
            self.build.tell(Event::Cached { id: self.step });
            self.size = Some(layer.size);
            state.add_cached(record.diff_id, layer, entry);
            self.build.record(record);
            return Ok(());
        }
        let delta = make(self, state)?;
        state.add_layer(&delta, None, entry, &key, &self.contents, self.build.lease)?;
        if let Some((diff_id, layer)) = state.layers.last() {
            self.size = Some(layer.size);
            self.build.record(CacheRecord { key, diff_id: *diff_id, size: layer.size });
        }
        Ok(())
    }

    /// A step that was done elsewhere. What is wrong with a cache costs time, and is remarked.
    fn imported(&self, key: &Digest) -> Option<CacheRecord> {
        for import in self.build.request.imports {
            let found = import.fetch(key, self.build.lease).and_then(|found| match found {
                // The layer of an image may be gone by now.
                Some(record) => {
                    self.build.lease.pin_layer(&record.diff_id)?;
                    Ok(Some(record).filter(|record| self.build.store.has_layer(&record.diff_id).unwrap_or(false)))
                }
                None => Ok(None),
            });
            match found {
                Ok(Some(record)) => return Some(record),
                Ok(None) => {}
                Err(error) => self.remark(Remark::Cache(in_words(&error))),
            }
        }
        None
    }

    /// The changes from the stage's tree to another.
    pub(crate) fn changes(&self, old: &Tree, new: &Tree, position: Position) -> Delta {
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
            let old = state.tree(this.build.store)?.clone();
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
        let shown = (state.arguments.all())
            .map(|(name, value)| (name, container.env_var(name).or(value).unwrap_or_default()))
            .collect::<Vec<_>>();
        let text = history::of_run(shown.into_iter(), &words);
        let surroundings = self.build.request.surroundings;
        let network = match run.network {
            None | Some(Network::Default) => surroundings.network,
            Some(Network::None) => false,
            Some(Network::Host) => true,
        };
        let mut key = KeyBuilder::new("run", &state.layers, state.epoch);
        key.texts(words.iter().map(String::as_str)).texts(container.env.iter().map(String::as_str));
        key.number(arguments.len() as u64);
        for (name, value) in pairs() {
            key.text(name).text(value);
        }
        key.texts(surroundings.hosts.iter().map(String::as_str));
        key.number(surroundings.shm_size.unwrap_or(0)).number(surroundings.limits.len() as u64);
        for Limit { name, soft, hard } in &surroundings.limits {
            key.text(name).number(soft.unwrap_or(u64::MAX)).number(hard.unwrap_or(u64::MAX));
        }
        key.text(&container.user).text(&container.working_dir).number(network.into());
        key.text(&state.editor.config().platform.to_string());
        if let (Some(content), Some(path)) = (&script, words.first()) {
            key.text(path).bytes(&content.0);
        }
        let planned = self.plan_mounts(state, index, run, at, &mut key)?;
        let proxies: Vec<String> = (self.build.globals.proxies())
            .filter(|(name, _)| visible(name) && !arguments.iter().any(|(known, _)| known == name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let env: Vec<String> = (proxies.into_iter())
            .chain(arguments.iter().map(|(name, value)| format!("{name}={value}")))
            .chain(container.env.iter().cloned())
            .collect();
        let position = at.position;
        let stage = plan::label(index, &self.build.request.dockerfile.stages[index]);
        self.layer(state, key.finish(), text, |this, state| {
            let written = script.as_ref().map(|script| String::from_utf8_lossy(&script.0).into_owned());
            let command = written.unwrap_or_else(|| words.join(" "));
            let tree = state.tree(this.build.store)?;
            let Given { mut mounts, defaults, secrets } = this.given(&planned, tree, &command)?;
            if let (Some(content), Some(target)) = (script, words.first().cloned()) {
                mounts.push(RunMount::Ready(Mount::File { target, content, mode: 0o755, uid: 0, gid: 0 }));
            }
            let env: Vec<String> = defaults.into_iter().chain(env).collect();
            let layers = state.diff_ids();
            let epoch = state.epoch;
            let tree = state.tree(this.build.store)?;
            let build = this.build;
            let runner = build.runner.ok_or(StepError::NoRuntime)?;
            let step = RunStep {
                layers: &layers,
                tree,
                config: &container,
                words: &words,
                env: &env,
                secrets: &secrets,
                stage: &stage,
                text: &at.text,
                mounts: &mounts,
                network,
                surroundings,
                beside_threads: build.stages.cancel(),
            };
            let id = this.step;
            let mut output = |bytes: &[u8]| build.tell(Event::Output { id, bytes });
            let outcome =
                runner.run(&step, &mut this.contents, &mut output).map_err(|failure| build.stages.why(failure))?;
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
}

pub(crate) fn unholdable(reason: bedplate_tree::Unrepresentable) -> &'static str {
    match reason {
        bedplate_tree::Unrepresentable::Socket => "a socket",
        bedplate_tree::Unrepresentable::WhiteoutName => "a name that begins with \".wh.\"",
    }
}

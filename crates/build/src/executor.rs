//! A whole build: stages in order, each instruction carried out.

use bedplate_dockerfile::ignore::Ignore;
use bedplate_dockerfile::{
    Add, Copy, Escape, Heredoc, Instruction, Network, Node, Position, Program, Run, Scope, Security, Source, Word,
    expand, parse_trigger,
};
use bedplate_image::command::check_command;
use bedplate_image::config_edit::{join_workdir, shell_of};
use bedplate_image::instruction::config_change;
use bedplate_image::{ConfigChange, ConfigEditor, ContentSources};
use bedplate_oci::{Created, Digest, ImageConfig, Platform, Reference, SCRATCH, annotation, to_json};
use bedplate_store::{Image, Lease, Store};
use bedplate_tree::{Content, Delta, Entry, Metadata, Timestamp, Tree, TreePath, diff};

use crate::add::{self, expand_fault};
use crate::cache::{self, KeyBuilder};
use crate::context::{BuildContext, Streams, View};
use crate::copy::{Destination, Item, Rules, Times, copy, make_directories};
use crate::error::{BuildError, Step, StepError};
use crate::hashes::Hashes;
use crate::mode::ModeChange;
use crate::request::{Event, Observer, Remark, Request};
use crate::scope::Globals;
use crate::select::{Found, SourcePattern};
use crate::stage::StageState;
use crate::step_run::{CommandFailure, RunMount, RunStep, Runner};
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

/// Where COPY takes its files from.
enum Origin {
    Context,
    Stage(usize),
    Image(Box<Image>),
}

struct Executor<'a, 'o, 'r> {
    request: &'a Request<'a>,
    lease: &'a Lease,
    store: &'a Store,
    context: &'a BuildContext,
    contents: ContentSources<'a>,
    hashes: Hashes,
    streams: Streams,
    globals: Globals,
    platform: Platform,
    done: Vec<Option<StageState>>,
    bases: Vec<Option<Base>>,
    depth: usize,
    runner: Option<&'a mut (dyn Runner + 'r)>,
    observer: &'a mut Observer<'o>,
    remarks: Vec<Remark>,
}

/// A place in the Dockerfile whose step is being done.
#[derive(Clone)]
struct At {
    position: Position,
    text: String,
    trigger: bool,
    escape: Escape,
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

/// The flags of COPY and ADD with their variables expanded.
struct Flags {
    chown: Option<String>,
    chmod: Option<String>,
    mode: Option<ModeChange>,
    exclude: Vec<String>,
    ignore: Ignore,
    link: bool,
    parents: bool,
}

/// A source as it goes into a tree.
enum Part {
    /// Something found in a tree, by the number of the tree.
    Found { tree: usize, found: Found, archive: bool },
    /// A file made of bytes at hand or downloaded: alone in a tree of its own.
    File { tree: usize, name: Vec<u8>, archive: Option<Content> },
}

impl Executor<'_, '_, '_> {
    fn remark(&mut self, remark: Remark) {
        if !self.remarks.contains(&remark) {
            (self.observer)(Event::Remark(&remark));
            self.remarks.push(remark);
        }
    }

    fn undefined(&mut self, position: Position, names: Vec<String>) {
        for name in names {
            self.remark(Remark::Undefined { position, name });
        }
    }

    fn word(&mut self, word: &Word, escape: Escape, scope: &dyn Scope) -> Result<String, StepError> {
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

    fn from_at(&self, index: usize) -> At {
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
            let base = self.base(index).map_err(|error| self.from_at(index).failed(error))?;
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

    fn image(&self, name: &str, platform: Option<&Platform>, before: usize) -> Result<Image, StepError> {
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
                    let found = image.config.platform.clone();
                    self.remark(Remark::Platform { position, found, wanted });
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
    fn needs(&mut self, index: usize) -> Result<(), StepError> {
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
        let from = self.from_at(index);
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
            Instruction::Add(add) => self.add(state, index, add, at),
            Instruction::Run(run) => self.run(state, run, at),
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
    fn layer(
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
    fn changes(&mut self, old: &Tree, new: &Tree, position: Position) -> Delta {
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

    fn flags(
        &mut self,
        state: &StageState,
        at: &At,
        chown: Option<&Word>,
        chmod: Option<&Word>,
        exclude: &[Word],
    ) -> Result<Flags, StepError> {
        let scope = state.clone_scope();
        let mut text = |word: Option<&Word>| -> Result<Option<String>, StepError> {
            let text = word.map(|word| self.word(word, at.escape, &scope)).transpose()?;
            Ok(text.filter(|text| !text.is_empty()))
        };
        let (chown, chmod) = (text(chown)?, text(chmod)?);
        let mode = chmod.as_deref().map(ModeChange::parse).transpose()?;
        let exclude = exclude.iter().map(|word| self.word(word, at.escape, &scope)).collect::<Result<Vec<_>, _>>()?;
        let ignore = Ignore::from_patterns(exclude.iter().map(String::as_str))
            .map_err(|source| StepError::Pattern { pattern: exclude.join(" "), source: Box::new(source) })?;
        Ok(Flags { chown, chmod, mode, exclude, ignore, link: false, parents: false })
    }

    fn destination(&mut self, state: &StageState, word: &Word, at: &At) -> Result<(Destination, String), StepError> {
        let text = self.word(word, at.escape, &state.clone_scope())?;
        let directory =
            matches!(text.as_str(), "" | "." | "..") || ["/", "/.", "/.."].iter().any(|end| text.ends_with(end));
        let path = join_workdir(&state.editor.config().config.working_dir, &text);
        Ok((Destination { path, directory }, text))
    }

    fn heredoc(&mut self, state: &StageState, heredoc: &Heredoc) -> Result<Vec<u8>, StepError> {
        let content = heredoc.content();
        if !heredoc.expand {
            return Ok(content.into_owned().into_bytes());
        }
        let found = expand::expand_heredoc(&content, &state.clone_scope()).map_err(|source| StepError::Expand {
            position: heredoc.position,
            word: format!("<<{}", heredoc.name),
            source,
        })?;
        self.undefined(heredoc.position, found.undefined);
        Ok(found.text.into_bytes())
    }

    fn copy(&mut self, state: &mut StageState, index: usize, copy: &Copy, at: &At) -> Result<(), StepError> {
        let mut flags = self.flags(state, at, copy.chown.as_ref(), copy.chmod.as_ref(), &copy.exclude)?;
        (flags.link, flags.parents) = (copy.link, copy.parents);
        let origin = match &copy.from {
            None => Origin::Context,
            Some(word) => self.origin(index, word.as_str())?,
        };
        let (destination, shown) = self.destination(state, &copy.destination, at)?;
        let from = copy.from.as_ref().map(|word| word.as_str().to_owned());
        let mut words = Vec::new();
        let mut sources = Vec::new();
        for source in &copy.sources {
            match source {
                Source::Path(word) => {
                    let text = self.word(word, at.escape, &state.clone_scope())?;
                    words.push(text.clone());
                    sources.push(Wanted::Path(SourcePattern::new(&text, copy.parents)));
                }
                Source::Heredoc(heredoc) => {
                    words.push(format!("<<{}", heredoc.name));
                    sources.push(Wanted::Bytes(heredoc.name.clone(), self.heredoc(state, heredoc)?));
                }
            }
        }
        let shown_flags = [
            ("from", from.as_deref()),
            ("chown", flags.chown.as_deref()),
            ("chmod", flags.chmod.as_deref()),
            ("link", copy.link.then_some("true")),
            ("parents", copy.parents.then_some("true")),
        ];
        let text = history::of_files("COPY", &shown_flags, &words, &shown);
        self.files(state, index, &origin, &sources, &destination, &flags, text, at, false)
    }

    fn add(&mut self, state: &mut StageState, index: usize, add: &Add, at: &At) -> Result<(), StepError> {
        let mut flags = self.flags(state, at, add.chown.as_ref(), add.chmod.as_ref(), &add.exclude)?;
        flags.link = add.link;
        let (destination, shown) = self.destination(state, &add.destination, at)?;
        let checksum = match &add.checksum {
            None => None,
            Some(word) => Some(self.word(word, at.escape, &state.clone_scope())?).filter(|text| !text.is_empty()),
        };
        let digest = checksum.as_deref().map(add::checksum).transpose()?;
        let mut words = Vec::new();
        let mut sources = Vec::new();
        for source in &add.sources {
            match source {
                Source::Path(word) => {
                    let text = self.word(word, at.escape, &state.clone_scope())?;
                    words.push(text.clone());
                    sources.push(match add::kind_of(&text) {
                        add::Kind::Path => Wanted::Path(SourcePattern::new(&text, false)),
                        add::Kind::Url => Wanted::Url(text, add.unpack.unwrap_or(false)),
                        add::Kind::Git => return Err(StepError::Git { url: text }),
                    });
                }
                Source::Heredoc(heredoc) => {
                    words.push(format!("<<{}", heredoc.name));
                    sources.push(Wanted::Bytes(heredoc.name.clone(), self.heredoc(state, heredoc)?));
                }
            }
        }
        if digest.is_some() && !matches!(sources.as_slice(), [Wanted::Url(..)]) {
            return Err(StepError::ChecksumSource);
        }
        if let Some(digest) = digest
            && let [Wanted::Url(url, unpack)] = sources.as_slice()
        {
            sources = vec![Wanted::Pinned(url.clone(), *unpack, digest)];
        }
        let shown_flags = [
            ("chown", flags.chown.as_deref()),
            ("chmod", flags.chmod.as_deref()),
            ("checksum", checksum.as_deref()),
            ("link", add.link.then_some("true")),
        ];
        let text = history::of_files("ADD", &shown_flags, &words, &shown);
        let unpack = add.unpack.unwrap_or(true);
        self.files(state, index, &Origin::Context, &sources, &destination, &flags, text, at, unpack)
    }

    fn origin(&mut self, index: usize, name: &str) -> Result<Origin, StepError> {
        if name.contains('$') {
            return Err(StepError::FromVariable { word: name.to_owned() });
        }
        let file = self.request.dockerfile;
        if let Some(other) = file.find_stage(name, index) {
            self.needs(other)?;
            return Ok(Origin::Stage(other));
        }
        if file.find_stage(name, file.stages.len()).is_some() {
            return Err(StepError::FromLater { name: name.to_owned() });
        }
        let image = self.image(name, self.request.platform.as_ref(), index)?;
        for diff_id in image.diff_ids() {
            self.lease.pin_layer(diff_id)?;
        }
        Ok(Origin::Image(Box::new(image)))
    }

    /// The context as far as the sources need it.
    fn view(&mut self, patterns: &[&SourcePattern]) -> Result<View, StepError> {
        let wanted = patterns.iter().map(|pattern| pattern.prefix()).collect::<Result<Vec<_>, _>>()?;
        let view = self.context.view(Some(&wanted), &mut self.contents, &self.streams)?;
        if view.complete {
            return Ok(view);
        }
        for pattern in patterns {
            let missing = pattern.find(&view.tree, false)?.is_none_or(|found| found.is_empty());
            if (missing || !pattern.is_plain()) && pattern.may_be_elsewhere(&view.tree) {
                return Ok(self.context.view(None, &mut self.contents, &self.streams)?);
            }
        }
        Ok(view)
    }

    /// Carries out COPY and ADD: finds the sources, takes their key, puts them.
    #[expect(clippy::too_many_arguments, reason = "all of it is one instruction's")]
    fn files(
        &mut self,
        state: &mut StageState,
        index: usize,
        origin: &Origin,
        wanted: &[Wanted],
        destination: &Destination,
        flags: &Flags,
        text: String,
        at: &At,
        unpack: bool,
    ) -> Result<(), StepError> {
        let mut trees: Vec<Tree> = Vec::new();
        let mut parts: Vec<Part> = Vec::new();
        let patterns: Vec<&SourcePattern> = wanted.iter().filter_map(Wanted::pattern).collect();
        let mut key = KeyBuilder::new(if unpack { "add" } else { "copy" }, &state.layers, state.epoch);
        key.text(&destination.path).number(destination.directory.into());
        key.option(flags.chown.as_deref()).option(flags.chmod.as_deref());
        key.texts(flags.exclude.iter().map(String::as_str));
        key.number(flags.link.into()).number(flags.parents.into());
        let place = match origin {
            Origin::Context => {
                if !patterns.is_empty() {
                    trees.push(self.view(&patterns)?.tree);
                }
                "the build context".to_owned()
            }
            Origin::Stage(other) => {
                let store = self.store;
                let other_state = self.done[*other].as_mut().ok_or(StepError::TooDeep)?;
                key.number(other_state.layers.len() as u64);
                for (diff_id, _) in &other_state.layers {
                    key.digest(&diff_id.0);
                }
                trees.push(other_state.tree(store)?.clone());
                format!("stage {:?}", plan::label(*other, &self.request.dockerfile.stages[*other]))
            }
            Origin::Image(image) => {
                key.number(image.diff_ids().len() as u64);
                for diff_id in image.diff_ids() {
                    key.digest(&diff_id.0);
                }
                trees.push(self.store.image_tree(image)?);
                format!("image {}", image.names.first().map_or_else(|| image.id().to_string(), Reference::familiar))
            }
        };
        let _ = index;
        let from_context = matches!(origin, Origin::Context);
        for one in wanted {
            match one {
                Wanted::Path(pattern) => {
                    let found = pattern.find(&trees[0], flags.parents)?.ok_or_else(|| StepError::NotFound {
                        path: pattern.text.clone(),
                        place: place.clone(),
                        ignored: from_context && self.context.has_ignore(),
                    })?;
                    for found in found {
                        // An archive behind a symbolic link is not unpacked: the source itself must be a regular file.
                        let own = trees[0].resolve(&found.asked, false).ok().and_then(|(_, id)| id);
                        let file = own.and_then(|id| trees[0].inode(id).entry.content());
                        let archive = unpack && file.is_some_and(|content| add::is_archive(content, &self.contents));
                        parts.push(Part::Found { tree: 0, found, archive });
                    }
                }
                Wanted::Bytes(name, bytes) => {
                    key.text("bytes").text(name).bytes(bytes);
                    trees.push(alone(Content::from_bytes(bytes.clone()), 0o644)?);
                    parts.push(Part::File { tree: trees.len() - 1, name: name.clone().into_bytes(), archive: None });
                }
                Wanted::Url(url, unpack) => {
                    let download = add::fetch(url, None, self.request.fetcher, self.lease, &self.streams)?;
                    key.text("url").digest(&download.digest).number((*unpack).into());
                    let name = self.url_name(url, destination, state)?;
                    key.bytes(&name);
                    let archive = unpack.then(|| download.content.clone());
                    trees.push(alone(download.content, 0o600)?);
                    parts.push(Part::File { tree: trees.len() - 1, name, archive });
                }
                Wanted::Pinned(url, unpack, digest) => {
                    // With a checksum the bytes are known before they are here: a hit needs no download.
                    key.text("url").digest(digest).number((*unpack).into());
                    let name = self.url_name(url, destination, state)?;
                    key.bytes(&name);
                }
            }
        }
        if from_context {
            self.key_of_parts(&mut key, &trees, &parts, flags)?;
        } else {
            for part in &parts {
                if let Part::Found { found, .. } = part {
                    key.text("found")
                        .bytes(found.asked.as_bytes())
                        .bytes(found.path.as_bytes())
                        .number(found.pivot as u64);
                }
            }
        }
        let key = key.finish();
        let position = at.position;
        self.layer(state, key, text, move |this, state| {
            if let [Wanted::Pinned(url, unpack, digest)] = wanted {
                let download = add::fetch(url, Some(*digest), this.request.fetcher, this.lease, &this.streams)?;
                let name = this.url_name(url, destination, state)?;
                let archive = unpack.then(|| download.content.clone());
                trees.push(alone(download.content, 0o600)?);
                parts.push(Part::File { tree: trees.len() - 1, name, archive });
            }
            this.put(state, &trees, &parts, from_context, destination, flags, position)
        })
    }

    /// The name of a URL's file in a directory; none is needed where the destination names it.
    fn url_name(&self, url: &str, destination: &Destination, _state: &StageState) -> Result<Vec<u8>, StepError> {
        match add::url_name(url) {
            Err(StepError::UrlWithoutName { .. }) if !destination.directory => Ok(b"download".to_vec()),
            other => other,
        }
    }

    /// Adds what counts of a context's files to a key: names, kinds, modes, bytes.
    fn key_of_parts(
        &mut self,
        key: &mut KeyBuilder,
        trees: &[Tree],
        parts: &[Part],
        flags: &Flags,
    ) -> Result<(), StepError> {
        for part in parts {
            let Part::Found { tree, found, archive } = part else { continue };
            let tree = &trees[*tree];
            key.text("found").bytes(found.asked.file_name().unwrap_or_default()).number((*archive).into());
            if flags.parents {
                key.bytes(found.path.as_bytes()).number(found.pivot as u64);
                // The directories that lead here give their modes.
                let mut above = found.path.parent();
                while let Some(path) = above {
                    if let Some(entry) = tree.entry(&path) {
                        key.context_entry(entry, None);
                    }
                    above = path.parent();
                }
            }
            for (path, id) in tree.walk_at(&found.path) {
                let relative = path.strip_prefix(&found.path).unwrap_or_default();
                if !relative.is_root() && !flags.ignore.is_empty() && flags.ignore.ignored(relative.as_bytes()) {
                    continue;
                }
                let entry = &tree.inode(id).entry;
                key.bytes(relative.as_bytes());
                let digest = match entry.content() {
                    Some(content) => Some(
                        self.hashes
                            .digest(content, &self.contents, self.lease)
                            .map_err(|source| StepError::Content { path: path.to_string(), source })?,
                    ),
                    None => None,
                };
                key.context_entry(entry, digest.as_ref());
            }
        }
        Ok(())
    }

    /// Puts the sources into the stage's tree and gives the changes.
    #[expect(clippy::too_many_arguments, reason = "all of it is one instruction's")]
    fn put(
        &mut self,
        state: &mut StageState,
        trees: &[Tree],
        parts: &[Part],
        from_context: bool,
        destination: &Destination,
        flags: &Flags,
        position: Position,
    ) -> Result<Delta, StepError> {
        let epoch = state.epoch;
        let base = state.tree(self.store)?.clone();
        let owner = match &flags.chown {
            Some(text) => Some(owner::resolve(text, &base, &self.contents)?),
            None => None,
        };
        let rules = Rules {
            owner: owner.or(from_context.then_some((0, 0))),
            mode: flags.mode.as_ref(),
            times: if from_context { Times::Set } else { Times::Clamp },
            epoch,
            links: !from_context,
            exclude: &flags.ignore,
            follow: !flags.link,
        };
        let old = if flags.link { Tree::new() } else { base };
        let mut new = old.clone();
        let several = parts.len() > 1;
        for part in parts {
            let (item, archive) = match part {
                Part::Found { tree, found, archive } => {
                    let tree = &trees[*tree];
                    let below = flags.parents.then(|| below_pivot(found)).transpose()?;
                    let name = found.asked.file_name().unwrap_or_default().to_vec();
                    let content = archive.then(|| tree.entry(&found.path).and_then(Entry::content).cloned()).flatten();
                    (Item { tree, path: found.path.clone(), name, below }, content)
                }
                Part::File { tree, name, archive } => {
                    let path = TreePath::parse(ALONE).unwrap_or_default();
                    let content = archive.clone().filter(|content| add::is_archive(content, &self.contents));
                    (Item { tree: &trees[*tree], path, name: name.clone(), below: None }, content)
                }
            };
            let Some(content) = archive else {
                copy(&mut new, destination, &[item], several, &rules)?;
                continue;
            };
            let what = String::from_utf8_lossy(&item.name).into_owned();
            let place = TreePath::parse(destination.path.as_bytes())
                .map_err(|source| StepError::Path { path: destination.path.clone(), source })?;
            let (place, _) = new.resolve(&place, true)?;
            let index = add::index_of(&content, &what, &self.contents, self.lease, &self.streams)?;
            let (uid, gid) = owner.unwrap_or((0, 0));
            make_directories(&mut new, &place, &Metadata { uid, gid, ..Metadata::implied_directory(epoch) })?;
            let left_out = add::unpack(&mut new, &place, &index, &what, owner, flags.mode.as_ref(), epoch)?;
            for path in left_out {
                let what = format!("{:?} is left out: in a layer the name would hide another file", path.to_string());
                self.remark(Remark::LeftOut { position, what });
            }
        }
        Ok(self.changes(&old, &new, position))
    }

    fn run(&mut self, state: &mut StageState, run: &Run, at: &At) -> Result<(), StepError> {
        let refused = |option: &str| StepError::RunOption { option: option.to_owned() };
        if let Some(mount) = run.mounts.first() {
            return Err(refused(&format!("--mount={}", mount.word().as_str())));
        }
        if !run.devices.is_empty() {
            return Err(refused("--device"));
        }
        if run.security == Some(Security::Insecure) {
            return Err(refused("--security=insecure"));
        }
        let container = state.editor.config().config.clone();
        let mut mounts = Vec::new();
        let words: Vec<String> = match run.program() {
            Program::Exec(words) => words.to_vec(),
            Program::Shell(text) => shell_of(&container).into_iter().chain([text.into_owned()]).collect(),
            Program::Script { name, content } => {
                let path = format!("{SCRIPTS}/{name}");
                mounts.push(RunMount { path: path.clone(), content: content.into_owned().into_bytes(), mode: 0o755 });
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
        for mount in &mounts {
            key.text(&mount.path).bytes(&mount.content);
        }
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
            let outcome = runner.run(&step, &mut this.contents, this.observer).map_err(CommandFailure::from)?;
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
        let from = self.from_at(target);
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
                self.remark(Remark::Program(problem));
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

/// A source of COPY or ADD, its variables expanded.
enum Wanted {
    Path(SourcePattern),
    Bytes(String, Vec<u8>),
    /// A URL, and whether it is to be unpacked.
    Url(String, bool),
    /// The same with the digest that it must have.
    Pinned(String, bool, Digest),
}

impl Wanted {
    fn pattern(&self) -> Option<&SourcePattern> {
        match self {
            Self::Path(pattern) => Some(pattern),
            _ => None,
        }
    }
}

/// The name of a file in a tree of its own.
const ALONE: &[u8] = b"file";

/// A tree with nothing but one file.
fn alone(content: Content, mode: u32) -> Result<Tree, StepError> {
    let mut tree = Tree::new();
    let path = TreePath::parse(ALONE).unwrap_or_default();
    tree.put(&path, Entry::file(content, Metadata { mode, ..Metadata::default() }))?;
    Ok(tree)
}

/// The path of a source behind the pivot of `--parents`.
fn below_pivot(found: &Found) -> Result<TreePath, StepError> {
    let parts: Vec<&[u8]> = found.path.components().skip(found.pivot).collect();
    let path = parts.join(&b'/');
    TreePath::parse(&path)
        .map_err(|source| StepError::Path { path: String::from_utf8_lossy(&path).into_owned(), source })
}

pub(crate) fn unholdable(reason: bedplate_tree::Unrepresentable) -> &'static str {
    match reason {
        bedplate_tree::Unrepresentable::Socket => "a socket",
        bedplate_tree::Unrepresentable::WhiteoutName => "a name that begins with \".wh.\"",
    }
}

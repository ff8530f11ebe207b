//! What the stages show, instruction by instruction, with the variables of each place.

use super::bases::{Bases, Origin};
use super::{Judge, Surroundings, near};
use crate::expand::{expand_heredoc, expand_words};
use crate::instruction::{PairForm, Pairs, Source, Word};
use crate::parse::keyword_of;
use crate::position::Span;
use crate::warning::WarningKind;
use crate::{Argument, CommandLine, Escape, Expansion, Healthcheck, Instruction, Scope, ignore, parse_trigger};

/// Arguments that speak to the builder and are no variables.
const BUILDER_ARGUMENTS: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// Names of secrets, as whole words between underscores.
const SECRETS: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];

/// Words that make a name harmless again: `PUBLIC_KEY`, `PASSWORD_FILE`, `TOKEN_VERSION`.
const HARMLESS: [&str; 3] = ["public", "file", "version"];

/// What a stage has set so far.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    env: Vec<(String, String)>,
    /// ARGs; `None` for one without a value.
    arguments: Vec<(String, Option<String>)>,
    has_shell: bool,
    /// Whether a WORKDIR of this file was there; what a base sets may change with it.
    has_workdir: bool,
    /// Whether the base's variables are known.
    known: bool,
}

impl Scope for State {
    fn value(&self, name: &str) -> Option<&str> {
        let declared = || self.arguments.iter().rev().find(|(known, _)| known == name);
        self.env.value(name).or_else(|| declared()?.1.as_deref())
    }
}

impl State {
    /// The names that have a value.
    fn names(&self) -> impl Iterator<Item = &str> {
        let arguments = self.arguments.iter().filter(|(_, value)| value.is_some());
        self.env.iter().map(|(name, _)| name.as_str()).chain(arguments.map(|(name, _)| name.as_str()))
    }
}

/// Where an instruction stands, and how its words escape.
#[derive(Clone, Copy)]
struct Place<'a> {
    span: Span,
    escape: Escape,
    /// The keyword as written.
    keyword: &'a str,
}

/// The last of the instructions of which a stage uses but one.
#[derive(Default)]
struct Last {
    cmd: Option<Span>,
    entrypoint: Option<Span>,
    healthcheck: Option<Span>,
}

impl Judge<'_> {
    /// Judges the stages that are wanted; gives what each has set at its end.
    pub(super) fn stages(&mut self, bases: &Bases, surroundings: &mut dyn Surroundings) -> Vec<Option<State>> {
        let file = self.subject.file;
        let wanted = self.wanted(bases);
        let mut states: Vec<Option<State>> = Vec::new();
        for (index, stage) in file.stages.iter().enumerate() {
            if !wanted[index] {
                states.push(None);
                continue;
            }
            let from = stage.node.span;
            let (mut state, triggers) = match &bases.origins[index] {
                Origin::Scratch => (State { known: true, ..State::default() }, Vec::new()),
                Origin::Unknown => (State::default(), Vec::new()),
                Origin::Stage(other) => {
                    let triggers = file.stages[*other].instructions.iter().filter_map(|node| match &node.instruction {
                        Instruction::Onbuild(onbuild) => Some(onbuild.expression.clone()),
                        _ => None,
                    });
                    (states[*other].clone().unwrap_or_default(), triggers.collect())
                }
                Origin::Image { name, platform } => self.image(name, platform.as_deref(), from, surroundings),
            };
            if state.value("PATH").is_none() {
                state.env.push(("PATH".to_owned(), String::new()));
            }
            let mut last = Last::default();
            for node in triggers.iter().filter_map(|text| parse_trigger(text).ok()) {
                let place = Place { span: from, escape: Escape::Backslash, keyword: keyword_of(&node.original) };
                self.instruction(&mut state, &mut last, &node.instruction, place, bases);
            }
            for node in &stage.instructions {
                let escape = file.directives.escape();
                let place = Place { span: node.span, escape, keyword: keyword_of(&node.original) };
                self.instruction(&mut state, &mut last, &node.instruction, place, bases);
            }
            states.push(Some(state));
        }
        states
    }

    /// The stages that are judged: those that the target needs, or all.
    fn wanted(&self, bases: &Bases) -> Vec<bool> {
        let file = self.subject.file;
        let Some(target) = self.subject.target else { return vec![true; file.stages.len()] };
        let mut wanted = vec![false; file.stages.len()];
        let mut open = vec![target];
        while let Some(index) = open.pop() {
            if wanted.get(index) != Some(&false) {
                continue;
            }
            wanted[index] = true;
            if let Origin::Stage(other) = bases.origins[index] {
                open.push(other);
            }
            open.extend(file.named_in(index));
        }
        wanted
    }

    fn image(
        &mut self,
        name: &str,
        platform: Option<&str>,
        span: Span,
        surroundings: &mut dyn Surroundings,
    ) -> (State, Vec<String>) {
        let Some(base) = surroundings.base(name, platform) else { return (State::default(), Vec::new()) };
        if let Some((expected, found)) = base.platforms {
            self.report(span, WarningKind::BasePlatform { image: name.to_owned(), expected, found });
        }
        let state = State { env: base.env, has_shell: base.has_shell, known: true, ..State::default() };
        (state, base.triggers)
    }

    fn instruction(
        &mut self,
        state: &mut State,
        last: &mut Last,
        instruction: &Instruction,
        place: Place<'_>,
        bases: &Bases,
    ) {
        match instruction {
            Instruction::Env(pairs) => {
                let set = self.pairs(state, pairs, place);
                for (name, value) in set {
                    self.secret("ENV", &name, place.span);
                    state.env.retain(|(known, _)| *known != name);
                    state.env.push((name, value));
                }
            }
            Instruction::Label(pairs) => drop(self.pairs(state, pairs, place)),
            Instruction::Arg(arguments) => {
                for argument in &arguments.arguments {
                    self.argument(state, argument, place, bases);
                }
            }
            Instruction::Workdir(word) => {
                let path = self.word(state, word, place);
                if let Some(path) = path.filter(|path| !state.has_workdir && !path.starts_with('/')) {
                    self.report(place.span, WarningKind::RelativeWorkdir { path });
                }
                state.has_workdir = true;
            }
            Instruction::Cmd(command) => {
                self.once(&mut last.cmd, place);
                self.shell_form(state, command, place);
            }
            Instruction::Entrypoint(command) => {
                self.once(&mut last.entrypoint, place);
                self.shell_form(state, command, place);
            }
            Instruction::Healthcheck(Healthcheck::None | Healthcheck::Command(_)) => {
                self.once(&mut last.healthcheck, place);
            }
            Instruction::Shell(_) => state.has_shell = true,
            Instruction::Expose(words) => {
                // An unset variable in EXPOSE is the error of an empty port, if anything.
                let ports = words.iter().filter_map(|word| expand_words(word.as_str(), place.escape, state).ok());
                for port in ports.flat_map(|(ports, _)| ports) {
                    self.port(&port, place.span);
                }
            }
            Instruction::User(word) | Instruction::StopSignal(word) => drop(self.word(state, word, place)),
            Instruction::Volume(words) => words.iter().for_each(|word| drop(self.word(state, word, place))),
            Instruction::Copy(copy) => {
                let flags = [&copy.chown, &copy.chmod].into_iter().flatten().chain(&copy.exclude);
                flags.for_each(|word| drop(self.word(state, word, place)));
                self.sources(state, &copy.sources, copy.from.is_none().then_some("Copy"), place);
                self.word(state, &copy.destination, place);
            }
            Instruction::Add(add) => {
                let flags = [&add.chown, &add.chmod, &add.checksum].into_iter().flatten().chain(&add.exclude);
                flags.for_each(|word| drop(self.word(state, word, place)));
                self.sources(state, &add.sources, Some("Add"), place);
                self.word(state, &add.destination, place);
            }
            Instruction::Run(run) => {
                for mount in &run.mounts {
                    let mut found = Vec::new();
                    // A mount that cannot be resolved is the build's to refuse.
                    let _ = mount.resolve(|text| {
                        let expansion = crate::expand::expand(text, place.escape, state)?;
                        found.extend(expansion.undefined);
                        Ok(expansion.text)
                    });
                    self.undefined(state, &found, place.span);
                }
            }
            // An ONBUILD is judged where it is carried out.
            Instruction::Onbuild(_) | Instruction::Maintainer(_) => {}
        }
    }

    fn pairs(&mut self, state: &State, pairs: &Pairs, place: Place<'_>) -> Vec<(String, String)> {
        if pairs.form == PairForm::Legacy {
            self.report(place.span, WarningKind::LegacyKeyValue { instruction: place.keyword.to_owned() });
        }
        let expand = |pair: &crate::Pair| {
            let name = self.word(state, &pair.name, place)?;
            Some((name, self.word(state, &pair.value, place)?))
        };
        pairs.pairs.iter().filter_map(expand).collect()
    }

    fn argument(&mut self, state: &mut State, argument: &Argument, place: Place<'_>, bases: &Bases) {
        let Ok(Expansion { text: name, .. }) = argument.name.expand(place.escape, state) else { return };
        self.secret("ARG", &name, place.span);
        let value = match (self.subject.build_args.value(&name), &argument.default) {
            (Some(value), _) => Some(value.to_owned()),
            (None, Some(word)) => self.word(state, word, place),
            (None, None) => bases.values.value(&name).map(str::to_owned),
        };
        state.arguments.retain(|(known, _)| *known != name);
        state.arguments.push((name, value));
    }

    fn once(&mut self, last: &mut Option<Span>, place: Place<'_>) {
        // The earlier one is the one without effect.
        if let Some(span) = last.replace(place.span) {
            self.report(span, WarningKind::OnlyLastCounts { instruction: place.keyword.to_owned() });
        }
    }

    fn shell_form(&mut self, state: &State, command: &CommandLine, place: Place<'_>) {
        if matches!(command, CommandLine::Shell(_)) && !state.has_shell {
            self.report(place.span, WarningKind::ShellForm { instruction: place.keyword.to_owned() });
        }
    }

    fn port(&mut self, port: &str, span: Span) {
        let container = port.rsplit(':').next().unwrap_or(port);
        let protocol = container.split_once('/').map_or("", |(_, protocol)| protocol);
        if protocol.to_lowercase() != protocol {
            self.report(span, WarningKind::ProtocolCasing { port: port.to_owned() });
        }
        if port.contains(':') {
            self.report(span, WarningKind::HostPort { port: port.to_owned() });
        }
    }

    /// Judges sources; `action` is `None` where they do not come from the context.
    fn sources(&mut self, state: &State, sources: &[Source], action: Option<&'static str>, place: Place<'_>) {
        for source in sources {
            match source {
                Source::Path(word) => {
                    let path = self.word(state, word, place);
                    if let (Some(action), Some(path)) = (action, path.filter(|path| is_local(path))) {
                        self.ignored(action, &path, place.span);
                    }
                }
                Source::Heredoc(heredoc) if heredoc.expand => {
                    if let Ok(expansion) = expand_heredoc(&heredoc.content(), state) {
                        self.undefined(state, &expansion.undefined, place.span);
                    }
                }
                Source::Heredoc(_) => {}
            }
        }
    }

    fn ignored(&mut self, action: &'static str, path: &str, span: Span) {
        let Some(ignore) = self.subject.ignore else { return };
        // With exceptions it cannot be told from the name: something in an ignored directory may come back.
        if ignore.has_exceptions() {
            return;
        }
        let path = ignore::clean(path);
        let ignored = match path.as_str() {
            "." | "/" => ignore.covers_all(),
            path => ignore.ignored(path.trim_start_matches('/')),
        };
        if ignored {
            self.report(span, WarningKind::IgnoredSource { action, path });
        }
    }

    fn secret(&mut self, instruction: &'static str, name: &str, span: Span) {
        let lower = name.to_lowercase();
        let has = |words: &[&str]| lower.split('_').any(|word| words.contains(&word));
        if has(&SECRETS) && !has(&HARMLESS) {
            self.report(span, WarningKind::Secret { instruction, name: name.to_owned() });
        }
    }

    /// Expands a word, and reports what nothing sets; a word that cannot be expanded is the build's to refuse.
    fn word(&mut self, state: &State, word: &Word, place: Place<'_>) -> Option<String> {
        let expansion = word.expand(place.escape, state).ok()?;
        self.undefined(state, &expansion.undefined, place.span);
        Some(expansion.text)
    }

    fn undefined(&mut self, state: &State, names: &[String], span: Span) {
        if !state.known {
            return;
        }
        for name in names {
            let declared = state.arguments.iter().any(|(known, _)| known == name);
            if !declared && !BUILDER_ARGUMENTS.contains(&name.as_str()) {
                let near = near(name, state.names());
                self.report(span, WarningKind::UndefinedVariable { name: name.clone(), near });
            }
        }
    }
}

/// Whether a source of COPY or ADD is a path of the context, by its look.
fn is_local(path: &str) -> bool {
    let scp_like = path.split_once('@').is_some_and(|(user, rest)| !user.contains('/') && rest.contains(':'));
    !path.contains("://") && !scp_like
}

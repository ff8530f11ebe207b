//! Writes a Dockerfile so that parsing gives an equal one.

use std::fmt::{self, Write as _};

use crate::directive::Escape;
use crate::duration;
use crate::heredoc::Heredoc;
use crate::instruction::{
    Add, CommandLine, Copy, From, Healthcheck, Instruction, Network, PairForm, Pairs, Run, Security, Source, Word,
};
use crate::parse::Dockerfile;
use crate::source::strip_continuation;

/// Writes the canonical form: keywords in upper case, one line for each instruction, comments and
/// continuations gone. `Dockerfile::parse(file.to_string().as_bytes())` gives an equal value.
impl fmt::Display for Dockerfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(syntax) = &self.directives.syntax {
            writeln!(f, "# syntax={syntax}")?;
        }
        if let Some(escape) = self.directives.escape {
            writeln!(f, "# escape={}", escape.char())?;
        }
        if let Some(check) = &self.directives.check {
            writeln!(f, "# check={check}")?;
        }
        let escape = self.directives.escape();
        let print = |f: &mut fmt::Formatter<'_>, instruction: &Instruction| {
            f.write_str(&Line::new(escape, instruction).finish())
        };
        for node in &self.global {
            print(f, &node.instruction)?;
        }
        for stage in &self.stages {
            f.write_str(&Line::from(escape, &stage.from).finish())?;
            for node in &stage.instructions {
                print(f, &node.instruction)?;
            }
        }
        Ok(())
    }
}

/// An instruction as it is being written.
struct Line<'a> {
    escape: Escape,
    /// Keyword and flags.
    head: String,
    args: String,
    heredocs: Vec<&'a Heredoc>,
    /// Lines that follow and are already in their final form.
    tail: &'a str,
}

impl<'a> Line<'a> {
    fn empty(escape: Escape, keyword: &str) -> Line<'a> {
        let (args, heredocs) = (String::new(), Vec::new());
        Line { escape, head: keyword.to_owned(), args, heredocs, tail: "" }
    }

    fn from(escape: Escape, from: &From) -> Line<'a> {
        let mut line = Line::empty(escape, "FROM");
        line.flag("platform", from.platform.as_ref());
        line.args.push_str(from.image.as_str());
        if let Some(name) = &from.name {
            line.args.push_str(" AS ");
            line.args.push_str(name.as_str());
        }
        line
    }

    fn new(escape: Escape, instruction: &'a Instruction) -> Line<'a> {
        let mut line = Line::empty(escape, instruction.keyword());
        match instruction {
            Instruction::Add(add) => line.add(add),
            Instruction::Copy(copy) => line.copy(copy),
            Instruction::Run(run) => line.run(run),
            Instruction::Arg(arguments) => {
                for argument in &arguments.arguments {
                    line.word(argument.name.as_str());
                    if let Some(default) = &argument.default {
                        line.args.push('=');
                        line.args.push_str(default.as_str());
                    }
                }
            }
            Instruction::Cmd(command) | Instruction::Entrypoint(command) => line.command(command),
            Instruction::Env(pairs) | Instruction::Label(pairs) => line.pairs(pairs),
            Instruction::Expose(words) => words.iter().for_each(|word| line.word(word.as_str())),
            Instruction::Volume(words) => line.list(words),
            Instruction::Healthcheck(check) => line.healthcheck(check),
            Instruction::Maintainer(text) => line.args.push_str(text),
            Instruction::Onbuild(trigger) => {
                let (first, rest) = trigger.expression.split_once('\n').unwrap_or((&trigger.expression, ""));
                line.args.push_str(first);
                line.tail = rest;
            }
            Instruction::Shell(shell) => line.json(&shell.words),
            Instruction::StopSignal(word) | Instruction::User(word) | Instruction::Workdir(word) => {
                line.args.push_str(word.as_str());
            }
        }
        line
    }

    fn finish(self) -> String {
        let mut text = self.head;
        if !self.args.is_empty() {
            // Without this, arguments that begin with dashes would be flags.
            text.push_str(if self.args.starts_with("--") { " -- " } else { " " });
            text.push_str(&self.args);
        }
        if strip_continuation(&text, self.escape.char()).1 {
            // A form feed is white space, but not of the kind that may follow a continuation.
            text.push('\u{c}');
        }
        text.push('\n');
        for heredoc in self.heredocs {
            text.push_str(&heredoc.body);
            text.push_str(&heredoc.name);
            text.push('\n');
        }
        if !self.tail.is_empty() {
            text.push_str(self.tail);
            text.push('\n');
        }
        text
    }

    fn word(&mut self, text: &str) {
        if !self.args.is_empty() {
            self.args.push(' ');
        }
        self.args.push_str(text);
    }

    fn flag(&mut self, name: &str, value: Option<&Word>) {
        if let Some(value) = value {
            self.flag_text(name, value.as_str());
        }
    }

    fn flag_text(&mut self, name: &str, value: &str) {
        let _ = write!(self.head, " --{name}=");
        for c in value.chars() {
            if c.is_whitespace() || matches!(c, '\\' | '\'' | '"') {
                self.head.push('\\');
            }
            self.head.push(c);
        }
    }

    fn switch(&mut self, name: &str, on: bool) {
        if on {
            let _ = write!(self.head, " --{name}");
        }
    }

    fn json(&mut self, words: &[String]) {
        self.args.push_str(&serde_json::Value::from(words).to_string());
    }

    fn command(&mut self, command: &CommandLine) {
        match command {
            CommandLine::Exec(words) => self.json(words),
            CommandLine::Shell(text) => self.args.push_str(text),
        }
    }

    /// Words split at blanks, or a JSON array where that would not give the same words.
    fn list(&mut self, words: &[Word]) {
        let plain = words.iter().all(|word| {
            let text = word.as_str();
            !text.is_empty() && !text.contains(char::is_whitespace) && !text.contains("<<")
        }) && !words.first().is_some_and(|word| word.as_str().starts_with('['));
        if plain {
            words.iter().for_each(|word| self.word(word.as_str()));
        } else {
            let words: Vec<String> = words.iter().map(|word| word.as_str().to_owned()).collect();
            self.json(&words);
        }
    }

    fn files(&mut self, sources: &'a [Source], destination: &Word) {
        let mut words = Vec::new();
        for source in sources {
            match source {
                Source::Path(word) => words.push(word.clone()),
                Source::Heredoc(heredoc) => {
                    words.push(Word::new(marker(heredoc), heredoc.position));
                    self.heredocs.push(heredoc);
                }
            }
        }
        words.push(destination.clone());
        if self.heredocs.is_empty() {
            self.list(&words);
        } else {
            words.iter().for_each(|word| self.word(word.as_str()));
        }
    }

    fn add(&mut self, add: &'a Add) {
        self.flag("chown", add.chown.as_ref());
        self.flag("chmod", add.chmod.as_ref());
        self.flag("checksum", add.checksum.as_ref());
        self.switch("link", add.link);
        match add.unpack {
            Some(false) => self.flag_text("unpack", "false"),
            unpack => self.switch("unpack", unpack.is_some()),
        }
        self.switch("keep-git-dir", add.keep_git_dir);
        add.exclude.iter().for_each(|word| self.flag("exclude", Some(word)));
        self.files(&add.sources, &add.destination);
    }

    fn copy(&mut self, copy: &'a Copy) {
        self.flag("from", copy.from.as_ref());
        self.flag("chown", copy.chown.as_ref());
        self.flag("chmod", copy.chmod.as_ref());
        self.switch("link", copy.link);
        self.switch("parents", copy.parents);
        copy.exclude.iter().for_each(|word| self.flag("exclude", Some(word)));
        self.files(&copy.sources, &copy.destination);
    }

    fn run(&mut self, run: &'a Run) {
        run.mounts.iter().for_each(|mount| self.flag("mount", Some(mount.word())));
        if let Some(network) = run.network {
            let name = match network {
                Network::Default => "default",
                Network::None => "none",
                Network::Host => "host",
            };
            self.flag_text("network", name);
        }
        if let Some(security) = run.security {
            let name = match security {
                Security::Sandbox => "sandbox",
                Security::Insecure => "insecure",
            };
            self.flag_text("security", name);
        }
        run.devices.iter().for_each(|device| self.flag_text("device", device));
        self.command(&run.command);
        self.heredocs.extend(&run.heredocs);
    }

    fn pairs(&mut self, pairs: &Pairs) {
        for pair in &pairs.pairs {
            self.word(pair.name.as_str());
            self.args.push(if pairs.form == PairForm::Legacy { ' ' } else { '=' });
            self.args.push_str(pair.value.as_str());
        }
    }

    fn healthcheck(&mut self, check: &Healthcheck) {
        let Healthcheck::Command(check) = check else {
            self.args.push_str("NONE");
            return;
        };
        let durations = [
            ("interval", check.interval),
            ("timeout", check.timeout),
            ("start-period", check.start_period),
            ("start-interval", check.start_interval),
        ];
        for (name, value) in durations {
            if let Some(value) = value {
                self.flag_text(name, &duration::format(value));
            }
        }
        if check.retries > 0 {
            self.flag_text("retries", &check.retries.to_string());
        }
        self.args.push_str("CMD ");
        self.command(&check.command);
    }
}

/// Writes the marker of a heredoc; a name that is not to be expanded is quoted.
fn marker(heredoc: &Heredoc) -> String {
    let mut text = String::new();
    if heredoc.descriptor > 0 {
        text.push_str(&heredoc.descriptor.to_string());
    }
    text.push_str(if heredoc.strip_tabs { "<<-" } else { "<<" });
    if heredoc.expand {
        text.push_str(&heredoc.name);
    } else {
        for c in heredoc.name.chars() {
            text.extend(['\\', c]);
        }
    }
    text
}

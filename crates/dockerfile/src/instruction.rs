//! The typed instructions of a Dockerfile.
//!
//! Words are kept as written ([`Word`]): what they mean depends on variables that only the
//! executor knows.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::expand::{ExpandError, Expansion, Scope, expand};
use crate::heredoc::Heredoc;
use crate::mount::MountSpec;
use crate::position::{Position, Span};
use crate::{Escape, StageName};

/// A word as written: quotes, escapes and variables are still in it.
///
/// Two words are equal when their texts are, wherever they stand.
#[derive(Clone)]
pub struct Word {
    raw: String,
    position: Position,
}

impl Word {
    /// Makes a word of a text that stands at a position.
    pub fn new(raw: impl Into<String>, position: Position) -> Word {
        Word { raw: raw.into(), position }
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// Where the word begins.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Replaces variables, quotes and escapes; see [`expand`].
    ///
    /// # Errors
    /// [`ExpandError`].
    pub fn expand(&self, escape: Escape, scope: &dyn Scope) -> Result<Expansion, ExpandError> {
        expand(&self.raw, escape, scope)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{:?}", self.raw, self.position)
    }
}

impl PartialEq for Word {
    fn eq(&self, other: &Word) -> bool {
        self.raw == other.raw
    }
}

impl Eq for Word {}

/// An instruction with its place and text.
///
/// Two nodes are equal when their instructions are, wherever they stand.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it says.
    pub instruction: Instruction,
    /// The lines it covers, heredocs included.
    pub span: Span,
    /// The text with continuations joined, without heredoc bodies.
    pub original: String,
    /// The comment lines right above it, without `#`.
    pub comments: Vec<String>,
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.instruction == other.instruction
    }
}

impl Eq for Node {}

/// One build stage: FROM and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its FROM.
    pub from: From,
    /// Where FROM stands.
    pub node: FromNode,
    /// The instructions behind FROM, in order.
    pub instructions: Vec<Node>,
}

impl Stage {
    /// The name given with AS.
    pub fn name(&self) -> Option<&StageName> {
        self.from.name.as_ref()
    }

    /// What the stage names itself, in `--from` of COPY and of mounts, and where. FROM is not among it: it has variables.
    pub fn named(&self) -> Vec<(Position, &str)> {
        let mut names = Vec::new();
        for node in &self.instructions {
            let at = |name| (node.span.start, name);
            match &node.instruction {
                Instruction::Copy(copy) => names.extend(copy.from.as_ref().map(Word::as_str).map(at)),
                Instruction::Run(run) => names.extend(run.mounts.iter().filter_map(MountSpec::from).map(at)),
                _ => {}
            }
        }
        names
    }
}

/// The place and text of a FROM; all are equal, as they say nothing about the meaning.
#[derive(Clone, Debug)]
pub struct FromNode {
    /// The lines it covers.
    pub span: Span,
    /// The text with continuations joined.
    pub original: String,
    /// The comment lines right above it, without `#`.
    pub comments: Vec<String>,
}

impl PartialEq for FromNode {
    fn eq(&self, _other: &FromNode) -> bool {
        true
    }
}

impl Eq for FromNode {}

/// `FROM [--platform=P] IMAGE [AS NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// The image, an earlier stage, or `scratch`.
    pub image: Word,
    /// `--platform`.
    pub platform: Option<Word>,
    /// The name of the stage.
    pub name: Option<StageName>,
}

/// An instruction of a stage, or ARG before the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// ADD.
    Add(Add),
    /// ARG.
    Arg(Arguments),
    /// CMD.
    Cmd(CommandLine),
    /// COPY.
    Copy(Copy),
    /// ENTRYPOINT.
    Entrypoint(CommandLine),
    /// ENV.
    Env(Pairs),
    /// EXPOSE, one word for each port or range.
    Expose(Vec<Word>),
    /// HEALTHCHECK.
    Healthcheck(Healthcheck),
    /// LABEL.
    Label(Pairs),
    /// MAINTAINER.
    Maintainer(String),
    /// ONBUILD.
    Onbuild(Onbuild),
    /// RUN.
    Run(Box<Run>),
    /// SHELL.
    Shell(Shell),
    /// STOPSIGNAL.
    StopSignal(Word),
    /// USER.
    User(Word),
    /// VOLUME, one word for each path.
    Volume(Vec<Word>),
    /// WORKDIR.
    Workdir(Word),
}

impl Instruction {
    /// The keyword in upper case.
    pub fn keyword(&self) -> &'static str {
        match self {
            Instruction::Add(_) => "ADD",
            Instruction::Arg(_) => "ARG",
            Instruction::Cmd(_) => "CMD",
            Instruction::Copy(_) => "COPY",
            Instruction::Entrypoint(_) => "ENTRYPOINT",
            Instruction::Env(_) => "ENV",
            Instruction::Expose(_) => "EXPOSE",
            Instruction::Healthcheck(_) => "HEALTHCHECK",
            Instruction::Label(_) => "LABEL",
            Instruction::Maintainer(_) => "MAINTAINER",
            Instruction::Onbuild(_) => "ONBUILD",
            Instruction::Run(_) => "RUN",
            Instruction::Shell(_) => "SHELL",
            Instruction::StopSignal(_) => "STOPSIGNAL",
            Instruction::User(_) => "USER",
            Instruction::Volume(_) => "VOLUME",
            Instruction::Workdir(_) => "WORKDIR",
        }
    }
}

/// A command in one of its two forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// `["a", "b"]`: the words of the process; no shell, no variables.
    Exec(Vec<String>),
    /// Text for the shell that SHELL names.
    Shell(String),
}

/// The arguments of ENV or LABEL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs {
    /// How they are written.
    pub form: PairForm,
    /// The pairs in order; not empty.
    pub pairs: Vec<Pair>,
}

/// The two ways to write pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairForm {
    /// `name=value ...`.
    Assignments,
    /// `name value`: one pair, the value runs to the end of the line.
    Legacy,
}

/// A name and its value, both unexpanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The name; not empty.
    pub name: Word,
    /// The value.
    pub value: Word,
}

/// The arguments of ARG, in order; not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The declarations.
    pub arguments: Vec<Argument>,
}

/// One declaration of ARG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The name; not empty.
    pub name: Word,
    /// The default, when there is one.
    pub default: Option<Word>,
}

/// A source of COPY or ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path, a pattern or a URL.
    Path(Word),
    /// A file whose content stands in the Dockerfile.
    Heredoc(Heredoc),
}

/// `ADD [flags] SOURCE... DESTINATION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--checksum`.
    pub checksum: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--unpack`, where given.
    pub unpack: Option<bool>,
    /// `--keep-git-dir`.
    pub keep_git_dir: bool,
    /// `--exclude`, in order.
    pub exclude: Vec<Word>,
    /// The sources; not empty.
    pub sources: Vec<Source>,
    /// The destination.
    pub destination: Word,
}

/// `COPY [flags] SOURCE... DESTINATION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// `--from`: a stage, its number, or an image.
    pub from: Option<Word>,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, in order.
    pub exclude: Vec<Word>,
    /// The sources; not empty.
    pub sources: Vec<Source>,
    /// The destination.
    pub destination: Word,
}

/// The network of a RUN step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The builder's default.
    Default,
    /// Only a loopback device.
    None,
    /// The host's.
    Host,
}

/// The security mode of a RUN step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Confined, the default.
    Sandbox,
    /// With all rights of the builder.
    Insecure,
}

/// `RUN [flags] COMMAND`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// `--mount`, in order.
    pub mounts: Vec<MountSpec>,
    /// `--network`.
    pub network: Option<Network>,
    /// `--security`.
    pub security: Option<Security>,
    /// `--device`, in order.
    pub devices: Vec<String>,
    /// The command as written.
    pub command: CommandLine,
    /// The heredocs of the command, in order.
    pub heredocs: Vec<Heredoc>,
}

/// What a RUN executes, heredocs considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program<'a> {
    /// A process with these words.
    Exec(&'a [String]),
    /// A text for the shell.
    Shell(Cow<'a, str>),
    /// A file with a `#!` line that is to be executed.
    Script {
        /// The name of the file, which the heredoc's delimiter gives.
        name: &'a str,
        /// Its content.
        content: Cow<'a, str>,
    },
}

impl Run {
    /// Puts command and heredocs together.
    ///
    /// A heredoc alone is the program itself: a script where it begins with `#!`, else text for
    /// the shell. Otherwise the shell gets the command with its heredocs and reads them itself.
    pub fn program(&self) -> Program<'_> {
        let text = match &self.command {
            CommandLine::Exec(words) => return Program::Exec(words),
            CommandLine::Shell(text) => text,
        };
        match self.heredocs.as_slice() {
            [] => Program::Shell(Cow::Borrowed(text)),
            [heredoc, ..] if Heredoc::is_marker(text.trim()) => {
                let content = heredoc.content();
                if content.starts_with("#!") {
                    Program::Script { name: &heredoc.name, content }
                } else {
                    Program::Shell(content)
                }
            }
            heredocs => {
                let mut full = text.clone();
                for heredoc in heredocs {
                    full.push('\n');
                    full.push_str(&heredoc.body);
                    full.push_str(&heredoc.name);
                }
                Program::Shell(Cow::Owned(full))
            }
        }
    }
}

/// `SHELL ["program", "argument"...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shell {
    /// The words; not empty.
    pub words: Vec<String>,
}

/// `HEALTHCHECK NONE` or `HEALTHCHECK [flags] CMD COMMAND`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    /// Disables what the base has.
    None,
    /// Runs a command now and then.
    Command(HealthCommand),
}

/// The command of a HEALTHCHECK and how to run it; `None` leaves a value to the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCommand {
    /// The command; not empty.
    pub command: CommandLine,
    /// `--interval`.
    pub interval: Option<Duration>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `--start-period`.
    pub start_period: Option<Duration>,
    /// `--start-interval`.
    pub start_interval: Option<Duration>,
    /// `--retries`; 0 means the default.
    pub retries: u32,
}

/// `ONBUILD INSTRUCTION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onbuild {
    /// The text that the image keeps: the instruction with continuations joined and heredocs.
    pub expression: String,
    /// The instruction.
    pub instruction: Box<Instruction>,
}

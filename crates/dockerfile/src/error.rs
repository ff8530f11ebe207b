//! Why a Dockerfile does not parse.

use std::fmt;

use crate::duration::DurationError;
use crate::mount::MountError;
use crate::position::Position;
use crate::stage::StageNameError;

/// A Dockerfile cannot be parsed; the place and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Where the fault lies.
    pub position: Position,
    /// What the fault is.
    pub kind: ParseErrorKind,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.kind)
    }
}

impl std::error::Error for ParseError {
    /// The cause of the kind: the kind itself is in the message already.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.kind.source()
    }
}

/// The reasons of a [`ParseError`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The file is longer than a Dockerfile may be.
    #[error("the Dockerfile has {size} bytes; at most {limit} are allowed")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// There are more instructions than allowed.
    #[error("more than {limit} instructions")]
    TooManyInstructions {
        /// The limit.
        limit: usize,
    },
    /// There are more heredocs than allowed.
    #[error("more than {limit} heredocs")]
    TooManyHeredocs {
        /// The limit.
        limit: usize,
    },
    /// A line outside of comments is not UTF-8.
    #[error("the line is not valid UTF-8")]
    NotUtf8,
    /// The file has no instruction.
    #[error("the file has no instructions")]
    NoInstructions,
    /// There is no FROM.
    #[error("the file has no build stage; it needs a FROM instruction")]
    NoStage,
    /// An instruction other than ARG stands before the first FROM.
    #[error("{instruction} before the first FROM; only ARG may stand there")]
    BeforeFrom {
        /// The instruction.
        instruction: &'static str,
    },
    /// A parser directive is given twice.
    #[error("parser directive {name:?} is given twice")]
    DirectiveTwice {
        /// The directive.
        name: &'static str,
    },
    /// The escape directive has a value that is neither `\` nor `` ` ``.
    #[error("invalid escape character {value:?}; it must be \"\\\" or \"`\"")]
    DirectiveEscape {
        /// The value.
        value: String,
    },
    /// There is no such instruction.
    #[error("unknown instruction {name:?}{}", hint(.suggestion))]
    UnknownInstruction {
        /// The word as written.
        name: String,
        /// A near instruction.
        suggestion: Option<String>,
    },
    /// The instruction has no such flag.
    #[error("unknown flag \"--{flag}\" of {instruction}{}", hint(.suggestion))]
    UnknownFlag {
        /// The instruction.
        instruction: &'static str,
        /// The flag without dashes.
        flag: String,
        /// A near flag.
        suggestion: Option<String>,
    },
    /// A flag that may be given once is given twice.
    #[error("flag \"--{flag}\" of {instruction} is given twice")]
    FlagTwice {
        /// The instruction.
        instruction: &'static str,
        /// The flag without dashes.
        flag: String,
    },
    /// A flag that needs a value has none.
    #[error("flag \"--{flag}\" of {instruction} needs a value")]
    FlagWithoutValue {
        /// The instruction.
        instruction: &'static str,
        /// The flag without dashes.
        flag: String,
    },
    /// A flag has a value that it does not take.
    #[error("flag \"--{flag}\" of {instruction}: {value:?} is not {expected}")]
    FlagValue {
        /// The instruction.
        instruction: &'static str,
        /// The flag without dashes.
        flag: String,
        /// The value as written.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A flag of HEALTHCHECK is no duration.
    #[error("flag \"--{flag}\" of HEALTHCHECK")]
    FlagDuration {
        /// The flag without dashes.
        flag: String,
        /// Why.
        #[source]
        source: DurationError,
    },
    /// A RUN mount is malformed.
    #[error("flag \"--mount\" of RUN")]
    Mount(#[source] MountError),
    /// An instruction lacks arguments.
    #[error("{instruction} needs {expected}")]
    Arguments {
        /// The instruction.
        instruction: &'static str,
        /// What it needs.
        expected: &'static str,
    },
    /// A word of ENV or LABEL has no `=`.
    #[error("{word:?} in {instruction} has no \"=\"; write name=value")]
    NoEquals {
        /// The instruction.
        instruction: &'static str,
        /// The word.
        word: String,
    },
    /// A name of ENV, LABEL or ARG is empty.
    #[error("a name in {instruction} is empty")]
    EmptyName {
        /// The instruction.
        instruction: &'static str,
    },
    /// A JSON array has something else than strings.
    #[error("the JSON array of {instruction} must consist of strings only")]
    JsonNotStrings {
        /// The instruction.
        instruction: &'static str,
    },
    /// SHELL is not in JSON form.
    #[error("SHELL needs its arguments in JSON form")]
    ShellNotJson,
    /// FROM has neither one nor three arguments.
    #[error("FROM needs one argument, or three: IMAGE AS NAME")]
    FromArguments,
    /// The name of a stage is malformed.
    #[error(transparent)]
    StageName(#[from] StageNameError),
    /// The type of HEALTHCHECK is neither NONE nor CMD.
    #[error("unknown type {name:?} of HEALTHCHECK; it must be CMD or NONE")]
    HealthcheckType {
        /// The word as written.
        name: String,
    },
    /// ONBUILD has an instruction that cannot be a trigger.
    #[error("{instruction} is not allowed as an ONBUILD trigger")]
    Trigger {
        /// The instruction.
        instruction: &'static str,
    },
    /// A heredoc never ends.
    #[error("heredoc {name:?} is not terminated; a line with only {name:?} must end it")]
    HeredocUnterminated {
        /// Its delimiter.
        name: String,
    },
    /// A heredoc stands where a destination must.
    #[error("a heredoc cannot be the destination of {instruction}")]
    HeredocDestination {
        /// The instruction.
        instruction: &'static str,
    },
    /// The delimiter of a heredoc of COPY or ADD has white space or a slash, which no file name may have.
    #[error("heredoc delimiter {name:?} of {instruction} is not a file name")]
    HeredocFileName {
        /// The instruction.
        instruction: &'static str,
        /// The delimiter.
        name: String,
    },
    /// There is no one instruction where exactly one is wanted.
    #[error("expected one instruction, found {found}")]
    NotOneInstruction {
        /// How many there are.
        found: usize,
    },
}

fn hint(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map_or_else(String::new, |near| format!(" (did you mean {near:?}?)"))
}

//! What a Dockerfile may do but should not.

use std::fmt;

use crate::position::Position;

/// A remark on a Dockerfile that parses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub position: Position,
    /// What.
    pub kind: WarningKind,
}

/// The kinds of [`Warning`]; the names follow the checks of the Dockerfile reference.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarningKind {
    /// An empty line inside a continued instruction.
    EmptyContinuation,
    /// `ENV key value` or `LABEL key value`.
    LegacyKeyValue {
        /// The instruction.
        instruction: &'static str,
    },
    /// MAINTAINER was used.
    MaintainerDeprecated,
    /// Two stages have the same name; the later hides the earlier.
    DuplicateStageName {
        /// The name.
        name: String,
    },
    /// A stage is called `scratch` or `context`.
    ReservedStageName {
        /// The name.
        name: String,
    },
    /// The arguments begin with `[` but are no JSON, so they are taken as a shell command.
    NotJson {
        /// The instruction.
        instruction: &'static str,
    },
    /// A stage has several of an instruction of which only the last has an effect.
    OnlyLastCounts {
        /// The instruction.
        instruction: &'static str,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.kind)
    }
}

impl fmt::Display for WarningKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WarningKind::EmptyContinuation => {
                f.write_str("empty line in a continued instruction; a later version may reject it")
            }
            WarningKind::LegacyKeyValue { instruction } => {
                write!(f, "\"{instruction} key value\" is the old form; write \"{instruction} key=value\"")
            }
            WarningKind::MaintainerDeprecated => {
                f.write_str("MAINTAINER is deprecated; use LABEL org.opencontainers.image.authors=")
            }
            WarningKind::DuplicateStageName { name } => {
                write!(f, "stage name {name:?} is used twice; the later stage hides the earlier")
            }
            WarningKind::ReservedStageName { name } => {
                write!(f, "stage name {name:?} is reserved and cannot be referred to")
            }
            WarningKind::NotJson { instruction } => write!(
                f,
                "the arguments of {instruction} begin with \"[\" but are not valid JSON; they are taken as a shell command"
            ),
            WarningKind::OnlyLastCounts { instruction } => {
                write!(f, "several {instruction} in one stage; only the last has an effect")
            }
        }
    }
}

//! Dockerfiles and ignore files: parsing, expansion and matching, without touching a file.
//!
//! The crate is pure: bytes and values come in, values go out. It reads no file, no environment
//! and no clock.
//!
//! ```text
//! bytes --source--> logical lines --parse--> Dockerfile { directives, global args, stages }
//!                                                |                       |
//!                                              print                  expand (with a Scope)
//! ```
//!
//! - [`Dockerfile::parse`] reads a whole file; [`change::parse`] one line of `--change`;
//!   [`parse_trigger`] one stored `ONBUILD` expression.
//! - Words stay unexpanded ([`Word`]) until [`expand`] is called with the values of the moment.
//! - [`check::check`] judges a file as the published build checks do.
//! - [`ignore`] and [`glob`] match paths as `.dockerignore`, `COPY` and `--exclude` do.
//!
//! Spec: the Dockerfile reference, frontend 1.x.
#![forbid(unsafe_code)]

pub mod change;
pub mod check;
mod directive;
pub mod duration;
mod error;
pub mod expand;
mod flags;
#[doc(hidden)]
pub mod fuzz;
pub mod glob;
mod heredoc;
pub mod ignore;
mod instruction;
pub mod mount;
mod parse;
pub mod port;
mod position;
mod print;
mod rule;
pub mod signal;
mod source;
mod stage;
pub mod suggest;
mod warning;
mod words;

pub use directive::{Directives, Escape};
pub use error::{ParseError, ParseErrorKind};
pub use expand::{ExpandError, Expansion, Scope};
pub use heredoc::Heredoc;
pub use instruction::{
    Add, Argument, Arguments, CommandLine, Copy, From, HealthCommand, Healthcheck, Instruction, Network, Node, Onbuild,
    Pair, PairForm, Pairs, Program, Run, Security, Shell, Source, Stage, Word,
};
pub use parse::{Dockerfile, MAX_DOCKERFILE_BYTES, MAX_HEREDOCS, MAX_INSTRUCTIONS, parse_trigger};
pub use position::{Position, Span, excerpt, excerpt_of_lines};
pub use rule::Rule;
pub use stage::{StageName, StageNameError};
pub use warning::{Warning, WarningKind};

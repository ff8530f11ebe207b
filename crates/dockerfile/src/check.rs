//! The build checks: what a Dockerfile may do but should not, found without building it.
//!
//! ```text
//! Dockerfile + Subject --names--> what the text shows (casing, names, comments)
//!                      --bases--> what FROM lines show (arguments, platforms)
//!                      --walk---> what the stages show, instruction by instruction, with their variables
//!                      --CheckOptions--> the findings that are wanted, by line
//! ```
//!
//! Judging is pure: what lies outside of the file comes through [`Surroundings`]. Each finding is a [`Warning`]; its
//! [`Rule`](crate::Rule) says why and how to mend it.
//!
//! Spec: BuildKit's documentation, "Build checks".

mod bases;
mod names;
mod options;
mod outline;
mod walk;

use std::collections::BTreeMap;

use crate::ignore::Ignore;
use crate::position::Span;
use crate::warning::{Warning, WarningKind};
use crate::{Dockerfile, Instruction, suggest};

pub use options::{CheckOptions, CheckOptionsError};
pub use outline::{Outline, OutlineArgument, OutlineMount, Target, outline, targets};

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The file.
    pub file: &'a Dockerfile,
    /// The build arguments that are given, in order.
    pub build_args: &'a [(String, String)],
    /// The arguments that need no ARG to be used in FROM: `TARGETPLATFORM` and its like.
    pub predefined: &'a BTreeMap<String, String>,
    /// The context's ignore file, where there is one.
    pub ignore: Option<&'a Ignore>,
    /// The stage to build: it and what it needs is judged; `None` for all stages.
    pub target: Option<usize>,
}

/// What a base image brings along.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base {
    /// Its variables.
    pub env: Vec<(String, String)>,
    /// Whether it has a SHELL.
    pub has_shell: bool,
    /// Its ONBUILD expressions.
    pub triggers: Vec<String>,
    /// The platform of the build and its own, where they differ.
    pub platforms: Option<(String, String)>,
}

/// What lies outside of the file.
pub trait Surroundings {
    /// A base image; `None` where it is not at hand, and then its variables are not judged.
    fn base(&mut self, name: &str, platform: Option<&str>) -> Option<Base>;

    /// Whether a text may be the name of an image.
    fn is_image_name(&self, text: &str) -> bool;

    /// The operating system and the architecture that a platform names; `None` where it names none.
    fn platform(&self, text: &str) -> Option<(String, String)>;
}

/// Judges a file; the findings are sorted by their first line.
pub fn check(subject: &Subject<'_>, options: &CheckOptions, surroundings: &mut dyn Surroundings) -> Vec<Warning> {
    let mut judge = Judge { subject: *subject, found: subject.file.warnings.clone() };
    judge.names();
    let bases = judge.bases(surroundings);
    judge.stages(&bases, surroundings);
    let mut found = judge.found;
    found.retain(|warning| options.wants(warning));
    found.sort_by_key(|warning| warning.span.start.line);
    found
}

struct Judge<'a> {
    subject: Subject<'a>,
    found: Vec<Warning>,
}

impl Judge<'_> {
    fn report(&mut self, span: Span, kind: WarningKind) {
        self.found.push(Warning { span, kind });
    }
}

/// A near name, but for the name itself.
fn near<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    suggest::nearest(name, known).filter(|near| *near != name).map(str::to_owned)
}

/// The names of an ARG, as written.
fn argument_names(instruction: &Instruction) -> Vec<&str> {
    match instruction {
        Instruction::Arg(arguments) => arguments.arguments.iter().map(|argument| argument.name.as_str()).collect(),
        _ => Vec::new(),
    }
}

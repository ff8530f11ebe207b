//! Why a build fails.

use bedplate_dockerfile::mount::MountError;
use bedplate_dockerfile::{ExpandError, ParseError, Position};
use bedplate_fetch::FetchError;
use bedplate_image::instruction::InstructionError;
use bedplate_image::layer::LayerError;
use bedplate_image::{ContentError, ReadError};
use bedplate_store::StoreError;
use bedplate_tree::{PathError, TreeError, TreePath};
use thiserror::Error;

use crate::context::ContextError;
use crate::git::GitError;
use crate::named::NamedError;
use crate::step_run::CommandFailure;

/// A build failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A step failed.
    #[error("{}: cannot do {:?}", .step.position, .step.text)]
    Step {
        /// The step.
        step: Step,
        /// Why.
        #[source]
        source: Box<StepError>,
    },
    /// The target is no stage.
    #[error("there is no stage {name:?}{}", .near.as_ref().map_or_else(String::new, |near| format!(" (did you mean {near:?}?)")))]
    Target {
        /// What was asked for.
        name: String,
        /// A near name.
        near: Option<String>,
    },
    /// The image cannot be put into the store.
    #[error("cannot store the image")]
    Store(#[source] StoreError),
}

/// The step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Where it stands.
    pub position: Position,
    /// The instruction, in one line.
    pub text: String,
    /// The trigger's text, where the step is an ONBUILD of the base; the position is then FROM's.
    pub trigger: bool,
}

/// Why a step failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StepError {
    /// A word cannot be expanded.
    #[error("{position}: cannot expand {word:?}")]
    Expand {
        /// Where the word stands.
        position: Position,
        /// The word as written.
        word: String,
        /// Why.
        #[source]
        source: ExpandError,
    },
    /// An instruction that changes the config cannot be carried out.
    #[error(transparent)]
    Instruction(#[from] InstructionError),
    /// FROM names nothing.
    #[error("FROM {word:?} names no image: it is empty once its variables are replaced")]
    EmptyBase {
        /// The word as written.
        word: String,
    },
    /// A base or source image cannot be had.
    #[error("image {name:?} is not in the store")]
    Image {
        /// The image.
        name: String,
        /// A stage with a near name.
        near: Option<String>,
        /// What the store says.
        #[source]
        source: StoreError,
    },
    /// What a name was given for cannot be had.
    #[error("cannot have {name:?}")]
    Named {
        /// The name.
        name: String,
        /// Why.
        #[source]
        source: NamedError,
    },
    /// Another stage failed.
    #[error("stopped, since another stage failed")]
    Stopped,
    /// The platform is malformed.
    #[error("platform {text:?} is malformed")]
    Platform {
        /// The text.
        text: String,
    },
    /// `--from` has variables.
    #[error("--from has no variables: {word:?}; define a stage with FROM {word} AS NAME and use its name")]
    FromVariable {
        /// The word.
        word: String,
    },
    /// `--from` names this stage or a later one.
    #[error("--from={name}: only earlier stages can be copied from")]
    FromLater {
        /// The name or number.
        name: String,
    },
    /// A stage that is needed at once needs itself.
    #[error("stages need each other too deeply")]
    TooDeep,
    /// A stored ONBUILD expression does not parse.
    #[error("the base's ONBUILD trigger {text:?} does not parse")]
    Trigger {
        /// The expression.
        text: String,
        /// Why.
        #[source]
        source: ParseError,
    },
    /// The context cannot be read.
    #[error("cannot read the build context")]
    Context(#[from] ContextError),
    /// A source does not exist.
    #[error("{path:?} is not in {place}{}", if *.ignored { ", or excluded by its ignore file" } else { "" })]
    NotFound {
        /// The source as written.
        path: String,
        /// Where it was looked for.
        place: String,
        /// Whether there is an ignore file.
        ignored: bool,
    },
    /// A pattern of a source, or of `--exclude`, is malformed.
    #[error("bad pattern {pattern:?}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Several sources, but the destination is no directory.
    #[error("several sources need a directory as destination: end {destination:?} with \"/\"")]
    DestinationNoDirectory {
        /// The destination.
        destination: String,
    },
    /// A directory would replace something else, or something else a directory.
    #[error("cannot copy {found} over {there} \"{path}\"")]
    TypeConflict {
        /// The place in the image.
        path: TreePath,
        /// What is copied.
        found: &'static str,
        /// What is there.
        there: &'static str,
        /// Where the thing there leads to, if it is a symbolic link.
        target: Option<String>,
    },
    /// A path cannot be.
    #[error("path {path:?}")]
    Path {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: PathError,
    },
    /// A tree cannot be changed so.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// `--chmod` is malformed.
    #[error("--chmod={text}: expected an octal mode up to 07777, or changes such as u+x,go-w")]
    Mode {
        /// The text.
        text: String,
    },
    /// `--chown` is malformed.
    #[error("--chown={text}: expected USER, USER:GROUP or their numbers")]
    Owner {
        /// The text.
        text: String,
    },
    /// A user or group does not exist.
    #[error("--chown={text}: there is no {what} {name:?} in the image's {file}")]
    OwnerUnknown {
        /// The text.
        text: String,
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// The file that was read.
        file: &'static str,
    },
    /// A file of the image cannot be read.
    #[error("cannot read \"{path}\" of the image")]
    Content {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: ContentError,
    },
    /// A file of the image cannot be read whole.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// `--checksum` is malformed.
    #[error("--checksum={text}: expected sha256:<64 hexadecimal digits>")]
    Checksum {
        /// The text.
        text: String,
    },
    /// `--checksum` with something else than one URL.
    #[error("--checksum needs exactly one source, and that a URL")]
    ChecksumSource,
    /// A URL is malformed.
    #[error("source {url:?}")]
    Url {
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A URL has no file name, and the destination is a directory.
    #[error("source {url:?} has no file name; name the destination in full")]
    UrlWithoutName {
        /// The URL.
        url: String,
    },
    /// A download failed.
    #[error("cannot download {url:?}")]
    Fetch {
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: FetchError,
    },
    /// Downloads are not possible here.
    #[error("source {url:?}: this build has no access to the network")]
    NoNetwork {
        /// The URL.
        url: String,
    },
    /// A repository cannot be had.
    #[error("cannot take the repository {url:?}")]
    Git {
        /// The URL, without a password.
        url: String,
        /// Why.
        #[source]
        source: GitError,
    },
    /// A local archive is damaged, or there is no room for what it holds.
    #[error("cannot unpack archive {path:?}")]
    Archive {
        /// The source.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Temporary files cannot be written.
    #[error("cannot keep a temporary copy of {what:?}")]
    Scratch {
        /// Of what.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A layer cannot be written.
    #[error("cannot write the layer")]
    Layer(#[from] LayerError),
    /// The store does not do what is needed.
    #[error("the store fails")]
    Store(#[from] StoreError),
    /// A process failed.
    #[error(transparent)]
    Command(#[from] CommandFailure),
    /// RUN without a runtime.
    #[error("RUN needs a process, and this build has no runtime for one")]
    NoRuntime,
    /// A mount of RUN is malformed.
    #[error("--mount={text}")]
    Mount {
        /// The options.
        text: String,
        /// Why.
        #[source]
        source: Box<MountError>,
    },
    /// A mount of RUN has no target, or the root.
    #[error("--mount={text} needs a target below \"/\"")]
    MountTarget {
        /// The options.
        text: String,
    },
    /// A required secret was not given.
    #[error("the secret {id:?} is required, and was not given")]
    SecretMissing {
        /// What the step calls it.
        id: String,
    },
    /// A secret cannot be a variable.
    #[error("the secret {id:?} is no text without NUL, and cannot be a variable")]
    SecretNoText {
        /// What the step calls it.
        id: String,
    },
    /// A required agent was not given.
    #[error("the SSH agent {id:?} is required, and was not given")]
    AgentMissing {
        /// What the step calls it.
        id: String,
    },
    /// An option of RUN that is not supported yet.
    #[error("RUN {option} is not supported yet")]
    RunOption {
        /// The option.
        option: String,
    },
}

/// An error and its causes in one line.
#[must_use]
pub fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl StepError {
    /// Whether the step only ended since another one failed.
    #[must_use]
    pub fn is_stop(&self) -> bool {
        matches!(self, Self::Stopped)
    }
}

impl BuildError {
    /// The signal to this program that ended the build.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        match self {
            Self::Step { source, .. } => match **source {
                StepError::Command(CommandFailure::Interrupted { signal }) => Some(signal),
                _ => None,
            },
            _ => None,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let Self::Step { source, .. } = self else { return None };
        match &**source {
            StepError::Image { near: Some(near), .. } => Some(format!("did you mean the stage {near:?}?")),
            StepError::Image { .. } => {
                Some("import or load the image first; bedplate images lists what there is".to_owned())
            }
            StepError::TypeConflict { target: Some(target), path, .. } => {
                Some(format!("\"{path}\" is a symbolic link; copy to where it leads: {target:?}"))
            }
            StepError::NotFound { ignored: true, .. } => Some("look into the ignore file".to_owned()),
            StepError::SecretMissing { id } => Some(format!("give it with --secret id={id},src=FILE")),
            StepError::AgentMissing { id } => Some(format!("give it with --ssh {id}")),
            StepError::Git { source: GitError::Missing, .. } => {
                Some("install git, or fetch the files first and name their directory".to_owned())
            }
            StepError::NoRuntime => Some("only COPY, ADD and the like work without one".to_owned()),
            _ => None,
        }
    }
}

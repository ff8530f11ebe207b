//! What a build is asked to do, and what it says while it does it.

use bedplate_dockerfile::{Dockerfile, Position};
use bedplate_fetch::Fetcher;
use bedplate_image::command::CommandProblem;
use bedplate_oci::{Platform, Reference};
use bedplate_run::Limit;
use bedplate_tree::Timestamp;

use crate::error::StepError;
use crate::exchange::CacheImport;
use crate::mounts::{Agent, Secret};
use crate::named::NamedContexts;

/// A build to be done.
#[derive(Debug)]
pub struct Request<'a> {
    /// The parsed Dockerfile.
    pub dockerfile: &'a Dockerfile,
    /// The stage to build, by name or number; `None` for the last.
    pub target: Option<&'a str>,
    /// `--build-arg`, in order; of equal names the last counts.
    pub build_args: &'a [(String, String)],
    /// `--label`, in order: set last, over the Dockerfile's.
    pub labels: &'a [(String, String)],
    /// The names of the image.
    pub names: &'a [Reference],
    /// Whether the store lists the image; else it goes with the lease, and gets no names.
    pub listed: bool,
    /// Whether all layers above the base become one.
    pub squash: bool,
    /// `--annotation`, in order: of the manifest.
    pub annotations: &'a [(String, String)],
    /// Steps that were done elsewhere.
    pub imports: &'a [CacheImport],
    /// Whether the image's manifest tells of the steps that made it.
    pub inline_cache: bool,
    /// The platform asked for; `None` for the host's.
    pub platform: Option<Platform>,
    /// The platform of this machine.
    pub host: Platform,
    /// `SOURCE_DATE_EPOCH`; `None` for the creation of the base, else 1970.
    pub epoch: Option<Timestamp>,
    /// Whether to do every step anew. What the steps make is kept all the same.
    pub no_cache: bool,
    /// Stages whose steps are done anew, by their labels.
    pub no_cache_filter: &'a [String],
    /// How many stages may be built at a time; at least one is.
    pub jobs: usize,
    /// Who knows what names stand for besides stages and the store's images.
    pub contexts: Option<&'a dyn NamedContexts>,
    /// What processes of steps have beside what the Dockerfile says.
    pub surroundings: &'a Surroundings,
    /// What `RUN --mount=type=secret` can have.
    pub secrets: &'a [Secret],
    /// What `RUN --mount=type=ssh` can have.
    pub agents: &'a [Agent],
    /// What downloads of ADD go through.
    pub fetcher: Option<&'a Fetcher>,
}

/// What processes of steps have beside what the Dockerfile says: `--network`, `--add-host`, `--ulimit`, `--shm-size`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether steps that do not say it have the host's network.
    pub network: bool,
    /// Lines of the hosts file.
    pub hosts: Vec<String>,
    /// Limits of resources.
    pub limits: Vec<Limit>,
    /// The size of `/dev/shm` in bytes; `None` for Docker's.
    pub shm_size: Option<u64>,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self { network: true, hosts: Vec::new(), limits: Vec::new(), shm_size: None }
    }
}

/// Something that a build remarks; what a Dockerfile should not do is found by `bedplate_dockerfile::check`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remark {
    /// A build argument that no ARG takes.
    UnusedArguments {
        /// Their names, sorted.
        names: Vec<String>,
    },
    /// Something in a step's result that no layer can hold.
    LeftOut {
        /// Where the step is.
        position: Position,
        /// What and why.
        what: String,
    },
    /// A cache from elsewhere cannot be used.
    Cache(String),
    /// CMD or ENTRYPOINT names a program that cannot run.
    Program(Box<CommandProblem>),
    /// What a process of RUN had to do without.
    Process {
        /// Where the step is.
        position: Position,
        /// What, in words.
        what: String,
    },
}

impl std::fmt::Display for Remark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnusedArguments { names } => {
                write!(f, "one or more build-args [{}] were not consumed: no ARG takes them", names.join(" "))
            }
            Self::LeftOut { position, what } | Self::Process { position, what } => write!(f, "{position}: {what}"),
            Self::Cache(why) => write!(f, "{why}; the step is done here"),
            Self::Program(problem) => write!(f, "the image's command will not run: {problem}"),
        }
    }
}

/// The number of a step in its build, from 1, in the order in which steps begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub usize);

/// Something that happens during a build. Steps of several stages may overlap.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step begins.
    Step {
        /// Its number in the build.
        id: StepId,
        /// The stage: its name, or its number.
        stage: &'a str,
        /// The number of the step in its stage, from 1.
        number: usize,
        /// How many steps the stage has.
        count: usize,
        /// The instruction as written.
        text: &'a str,
    },
    /// A step was found in the cache.
    Cached {
        /// The step.
        id: StepId,
    },
    /// A process of a step wrote something, or is just alive: then there are no bytes.
    Output {
        /// The step.
        id: StepId,
        /// What, as it came.
        bytes: &'a [u8],
    },
    /// A step is done.
    Done {
        /// The step.
        id: StepId,
        /// The bytes of its layer, where it has one.
        size: Option<u64>,
    },
    /// A step failed, or was stopped since another did.
    Failed {
        /// The step.
        id: StepId,
        /// Why.
        error: &'a StepError,
    },
    /// A remark.
    Remark(&'a Remark),
}

/// Who is told of events.
pub type Observer<'a> = dyn FnMut(Event<'_>) + Send + 'a;

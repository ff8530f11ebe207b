//! What a RUN step asks of a runtime.
//!
//! The builder knows images, keys and layers; a [`Runner`] knows processes. It is given the layers below and says
//! what the process changed.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use bedplate_image::ContentSources;
use bedplate_oci::{ContainerConfig, DiffId, Digest};
use bedplate_run::Mount;
use bedplate_store::CacheSharing;
use bedplate_sys::userns::NoRange;
use bedplate_tree::{Delta, Tree, TreePath};
use thiserror::Error;

use crate::request::Surroundings;

/// Something that a process sees only while it runs: nothing of it is in the layer.
#[derive(Debug, Clone)]
pub enum RunMount {
    /// What the runtime mounts as it is: a file in memory (a script, a secret), a file system in memory.
    Ready(Mount),
    /// The socket of an agent, handed on through one of the step's own.
    Agent {
        /// Where.
        target: String,
        /// The agent's socket.
        socket: PathBuf,
        /// The mode of the step's socket.
        mode: u32,
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// Files of a context, a stage or an image.
    Files {
        /// Where.
        target: String,
        /// The files.
        files: Files,
        /// Whether the process may write; what it writes is forgotten.
        writable: bool,
    },
    /// A directory that lives from build to build.
    Cache {
        /// Where.
        target: String,
        /// What names it.
        id: Digest,
        /// How it is shared with other builds.
        sharing: CacheSharing,
        /// What it holds at first.
        seed: Option<Files>,
        /// Its mode at first.
        mode: u32,
        /// Its user at first.
        uid: u32,
        /// Its group at first.
        gid: u32,
        /// Whether writing is refused.
        read_only: bool,
    },
}

/// Files to be shown: a part of a tree.
#[derive(Debug, Clone)]
pub struct Files {
    /// The tree.
    pub tree: Tree,
    /// The part: a directory or a file, no symbolic link on the way.
    pub path: TreePath,
    /// The layers that the tree is made of, the lowest first; `None` for a context's.
    pub layers: Option<Vec<DiffId>>,
}

/// A process to be run.
#[derive(Debug)]
pub struct RunStep<'a> {
    /// The layers below, the lowest first.
    pub layers: &'a [DiffId],
    /// The same as a tree.
    pub tree: &'a Tree,
    /// User, working directory and environment of the image; the runtime takes the rest from [`RunStep::words`].
    pub config: &'a ContainerConfig,
    /// The words of the process.
    pub words: &'a [String],
    /// The environment, in order, build arguments included.
    pub env: &'a [String],
    /// Variables that are kept nowhere; they go before those of [`RunStep::env`].
    pub secrets: &'a [String],
    /// The stage: its name, or its number.
    pub stage: &'a str,
    /// The instruction, in one line.
    pub text: &'a str,
    /// What exists only while the process runs.
    pub mounts: &'a [RunMount],
    /// Whether the process has the host's network; else only a loopback device.
    pub network: bool,
    /// What else it has that the Dockerfile does not say.
    pub surroundings: &'a Surroundings,
    /// There where other threads of this process are at work: once it can be read, the process is to be killed.
    pub beside_threads: Option<&'a OwnedFd>,
}

/// What a process changed.
#[derive(Debug)]
pub struct RunOutcome {
    /// The changes, against [`RunStep::tree`].
    pub delta: Delta,
    /// What cannot be in a layer, in words.
    pub left_out: Vec<String>,
    /// What the process had to do without, in words.
    pub warnings: Vec<String>,
}

/// A process could not be run, or failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommandFailure {
    /// It ended with another status than 0.
    #[error("the command ended with status {status}")]
    Status {
        /// The status; 128 and more for a signal.
        status: u8,
    },
    /// It ended with another status than 0, where giving files to others and becoming another user fail.
    #[error(
        "the command ended with status {status}. It ran with one user ID, where it cannot change the owner of a file, \
         nor become another user"
    )]
    StatusWithOneId {
        /// The status; 128 and more for a signal.
        status: u8,
        /// Why there was one, with the remedy.
        #[source]
        reason: NoRange,
    },
    /// A signal to this program ended it.
    #[error("interrupted")]
    Interrupted {
        /// The signal.
        signal: i32,
    },
    /// It could not be started, or what it did could not be found out.
    #[error("the command cannot be run")]
    Runtime(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Runs the processes of RUN steps, of several stages at a time.
pub trait Runner: Sync {
    /// Does what must be done while the process has one thread; called where several are to come.
    ///
    /// # Errors
    /// [`CommandFailure::Runtime`].
    fn prepare(&self) -> Result<(), CommandFailure> {
        Ok(())
    }

    /// Runs a process to its end; `output` takes what it writes. The contents of the changes can be opened through `contents`
    /// afterwards.
    ///
    /// # Errors
    /// [`CommandFailure`].
    fn run(
        &self,
        step: &RunStep<'_>,
        contents: &mut ContentSources<'_>,
        output: &mut dyn FnMut(&[u8]),
    ) -> Result<RunOutcome, CommandFailure>;
}

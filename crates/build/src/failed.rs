//! Steps that failed, as they were left: what `bedplate debug` looks into.
//!
//! ```text
//! cache/build/<digest>        what the step was; as an entry of the build cache it keeps the layers below
//! cache/mounts/<digest>/root/tree    what the command left: an overlay's upper side, or a whole copy
//! ```
//!
//! There is one for each stage of a Dockerfile: the last. It goes when the stage is built, and when the build cache is
//! emptied. Secrets are not in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bedplate_dockerfile::Dockerfile;
use bedplate_image::config_edit::shell_of;
use bedplate_oci::{DiffId, Digest};
use bedplate_store::{BuildEntry, CacheDirectory, CacheSharing, Lease, Store, StoreError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::plan;
use crate::step_run::RunStep;

/// What names the step that failed last of all.
const LAST: &str = "last";

/// The name of the tree in its directory.
const TREE: &str = "tree";

/// So many digits of a digest name a step to people.
const ID_LENGTH: usize = 12;

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedStep {
    /// What names it.
    pub id: String,
    /// Its stage: a name, or a number.
    pub stage: String,
    /// The instruction, in one line.
    pub text: String,
    /// The status that the command ended with.
    pub status: u8,
    /// The shell of the stage with its arguments, as SHELL has them.
    pub shell: Vec<String>,
    /// The environment of the command, without secrets.
    pub env: Vec<String>,
    /// The user of the command.
    pub user: String,
    /// Where the command was run.
    pub workdir: String,
    /// Whether the command had a network.
    pub network: bool,
    /// Whether what is kept is a whole copy, and not what was changed.
    pub copied: bool,
    /// The layers below.
    pub layers: Vec<DiffId>,
}

/// A step that failed cannot be kept or found.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FailedStepError {
    /// The store has none by that name.
    #[error("there is no failed step {id:?}")]
    Unknown {
        /// The name.
        id: String,
    },
    /// The store has none at all.
    #[error("there is no failed step")]
    None,
    /// Its tree is gone.
    #[error("the tree of the failed step {id} is no longer there")]
    Gone {
        /// The name.
        id: String,
    },
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A directory cannot be moved.
    #[error("cannot keep {path:?}")]
    Move {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The names of the steps of a Dockerfile that may have failed.
fn id_of(dockerfile: &str, stage: &str) -> String {
    let mut id = Digest::of(format!("{dockerfile}\n{stage}").as_bytes()).hex();
    id.truncate(ID_LENGTH);
    id
}

fn key(id: &str) -> Digest {
    Digest::of(format!("failed step {id}").as_bytes())
}

fn directory(lease: &Lease, id: &str, sharing: CacheSharing) -> Result<CacheDirectory, StoreError> {
    lease.cache_directory(&Digest::of(format!("tree of failed step {id}").as_bytes()), sharing, |_| Ok(()))
}

impl FailedStep {
    /// Keeps what a command left, which is moved; gives the step's name.
    pub(crate) fn keep(
        lease: &Lease,
        dockerfile: &str,
        step: &RunStep<'_>,
        status: u8,
        tree: &Path,
        copied: bool,
    ) -> Result<String, FailedStepError> {
        let id = id_of(dockerfile, step.stage);
        let place = directory(lease, &id, CacheSharing::Locked)?;
        put_away(lease, &place)?;
        let to = place.path().join(TREE);
        fs::rename(tree, &to).map_err(|source| FailedStepError::Move { path: tree.to_owned(), source })?;
        let failed = Self {
            id: id.clone(),
            stage: step.stage.to_owned(),
            text: step.text.to_owned(),
            status,
            shell: shell_of(step.config),
            env: step.env.to_vec(),
            user: step.config.user.clone(),
            workdir: step.config.working_dir.clone(),
            network: step.network,
            copied,
            layers: step.layers.to_vec(),
        };
        let value = serde_json::to_value(&failed).unwrap_or_default();
        let entry = BuildEntry { value, layers: failed.layers, blobs: Vec::new() };
        lease.store().build_cache_put(&key(&id), &entry)?;
        let last = BuildEntry { value: id.as_str().into(), layers: Vec::new(), blobs: Vec::new() };
        lease.store().build_cache_put(&key(LAST), &last)?;
        Ok(id)
    }

    /// Finds a step by its name, or the one that failed last.
    ///
    /// # Errors
    /// [`FailedStepError`] where there is none.
    pub fn find(store: &Store, id: Option<&str>) -> Result<Self, FailedStepError> {
        let named = match id {
            Some(id) => Some(id.to_owned()),
            None => store.build_cache_get(&key(LAST))?.and_then(|entry| entry.value.as_str().map(str::to_owned)),
        };
        let wanted = named.ok_or(FailedStepError::None)?;
        let found = store.build_cache_get(&key(&wanted))?.and_then(|entry| serde_json::from_value(entry.value).ok());
        found.ok_or(match id {
            Some(id) => FailedStepError::Unknown { id: id.to_owned() },
            None => FailedStepError::None,
        })
    }

    /// The directory that the command left, and what keeps it there.
    pub(crate) fn tree(&self, lease: &Lease) -> Result<(PathBuf, CacheDirectory), FailedStepError> {
        let place = directory(lease, &self.id, CacheSharing::Shared)?;
        let tree = place.path().join(TREE);
        match tree.is_dir() {
            true => Ok((tree, place)),
            false => Err(FailedStepError::Gone { id: self.id.clone() }),
        }
    }

    /// Forgets what failed in the stages of a Dockerfile that was built.
    ///
    /// # Errors
    /// [`FailedStepError`] where the store cannot be written.
    pub fn forget(lease: &Lease, dockerfile: &str, file: &Dockerfile) -> Result<(), FailedStepError> {
        for (index, stage) in file.stages.iter().enumerate() {
            let id = id_of(dockerfile, &plan::label(index, stage));
            let known = lease.store().build_cache_get(&key(&id))?;
            if known.is_none_or(|entry| entry.value.is_null()) {
                continue;
            }
            put_away(lease, &directory(lease, &id, CacheSharing::Locked)?)?;
            let nothing = BuildEntry { value: serde_json::Value::Null, layers: Vec::new(), blobs: Vec::new() };
            lease.store().build_cache_put(&key(&id), &nothing)?;
        }
        Ok(())
    }
}

/// Moves a tree to where the lease's end takes it away.
fn put_away(lease: &Lease, place: &CacheDirectory) -> Result<(), FailedStepError> {
    let path = place.path().join(TREE);
    match fs::rename(&path, lease.scratch()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| FailedStepError::Move { path, source }),
    }
}

//! Directories that live from build to build: what `RUN --mount=type=cache` shows to a process.
//!
//! ```text
//! cache/mounts/<id>[-<number>]/root     the directory; a number where somebody wanted one alone
//!                             /lock     held by who uses it
//!                             /making   held while it is filled for the first time
//! ```

use std::path::{Path, PathBuf};

use bedplate_oci::Digest;

use crate::blobs::Lease;
use crate::cache::{CacheGuard, CacheKind};
use crate::disk;
use crate::error::StoreError;
use crate::locks::{Hold, LockGuard};

/// How builds at the same time use one directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum CacheSharing {
    /// All at once.
    #[default]
    Shared,
    /// Each has one of its own: another one is taken, or made, while somebody uses the first.
    Private,
    /// One after another.
    Locked,
}

/// A directory that is in use: nobody removes it while this value lives.
#[derive(Debug)]
pub struct CacheDirectory {
    root: PathBuf,
    _lock: LockGuard,
    _cache: CacheGuard,
}

impl CacheDirectory {
    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }
}

impl Lease {
    /// Opens the directory that `id` names; one that is not there is made and filled by `fill` before anybody sees it.
    ///
    /// Waits where another process holds it and `sharing` does not let both have it. What is written to it is not
    /// synced, and it may be deleted whenever nobody uses it.
    ///
    /// # Errors
    /// Those of `fill`, and [`StoreError`] where it cannot be made or locked.
    pub fn cache_directory<E: From<StoreError>>(
        &self,
        id: &Digest,
        sharing: CacheSharing,
        fill: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<CacheDirectory, E> {
        let store = self.store();
        store.writable()?;
        let cache = store.cache(CacheKind::Mounts)?;
        let name = id.hex();
        let (folder, lock) = match sharing {
            CacheSharing::Shared => held(cache.folder().join(name), Hold::Shared)?,
            CacheSharing::Locked => held(cache.folder().join(name), Hold::Exclusive)?,
            CacheSharing::Private => alone(cache.folder(), &name)?,
        };
        let root = folder.join("root");
        let _making = LockGuard::acquire(&folder.join("making"), Hold::Exclusive).map_err(StoreError::from)?;
        if disk::stat(&root).map_err(StoreError::from)?.is_none() {
            let made = self.scratch();
            disk::make_dir(&made, 0o755).map_err(StoreError::from)?;
            fill(&made)?;
            disk::rename(&made, &root).map_err(StoreError::from)?;
        }
        Ok(CacheDirectory { root, _lock: lock, _cache: cache })
    }
}

fn held(folder: PathBuf, hold: Hold) -> Result<(PathBuf, LockGuard), StoreError> {
    disk::make_dir(&folder, 0o700)?;
    let lock = LockGuard::acquire(&folder.join("lock"), hold)?;
    Ok((folder, lock))
}

/// The first of the directories that nobody uses.
fn alone(parent: &Path, name: &str) -> Result<(PathBuf, LockGuard), StoreError> {
    let mut number = 0u32;
    loop {
        let folder = match number {
            0 => parent.join(name),
            number => parent.join(format!("{name}-{number}")),
        };
        disk::make_dir(&folder, 0o700)?;
        if let Some(lock) = LockGuard::try_acquire(&folder.join("lock"), Hold::Exclusive)? {
            return Ok((folder, lock));
        }
        number += 1;
    }
}

//! Caches: what can be had again, kept by a key, deleted at any time that nobody holds the cache's lock.

use std::path::PathBuf;
use std::time::SystemTime;

use bedplate_oci::Digest;
use serde::{Deserialize, Serialize};

use crate::disk::{self, NewFile};
use crate::error::StoreError;
use crate::locks::{Hold, LockGuard};
use crate::open::{Store, make_folders};

/// The caches of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheKind {
    /// Packages as their archives serve them, by digest.
    Packages,
    /// Payloads of packages, decoded.
    Payloads,
    /// Signed indexes of package archives.
    Indexes,
    /// Results of build steps, by the digest of all that goes into a step.
    Build,
    /// Files of HTTP sources, by digest, and what is known of their URLs.
    Http,
    /// Layers in uncompressed form, by diff ID.
    Streams,
    /// Digests of files of build contexts, by inode, size and times.
    Context,
    /// Directories of `RUN --mount=type=cache`, by the digest of what names them.
    Mounts,
}

impl CacheKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Packages,
        Self::Payloads,
        Self::Indexes,
        Self::Build,
        Self::Http,
        Self::Streams,
        Self::Context,
        Self::Mounts,
    ];

    /// The name of its folder below `cache/`.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Packages => "packages",
            Self::Payloads => "payloads",
            Self::Indexes => "indexes",
            Self::Build => "build",
            Self::Http => "http",
            Self::Streams => "streams",
            Self::Context => "context",
            Self::Mounts => "mounts",
        }
    }
}

/// The version of [`BuildEntry`]'s file; entries of other versions are not found.
const BUILD_VERSION: u32 = 1;

/// The largest entry of the build cache, in bytes; the store's own are a few hundred.
const MAX_BUILD_ENTRY: u64 = 4 * 1024 * 1024;

/// What a build step made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildEntry {
    /// Whatever the builder wants to find again.
    pub value: serde_json::Value,
    /// Layers that the entry is worth nothing without: their diff IDs. A sweep keeps them.
    pub layers: Vec<bedplate_oci::DiffId>,
    /// Other blobs that the entry is worth nothing without. A sweep keeps them.
    pub blobs: Vec<Digest>,
}

#[derive(Serialize, Deserialize)]
struct BuildFile {
    version: u32,
    #[serde(flatten)]
    entry: BuildEntry,
}

/// Use of one cache: nobody empties it while this value lives.
#[derive(Debug)]
pub struct CacheGuard {
    folder: PathBuf,
    _lock: Option<LockGuard>,
}

impl CacheGuard {
    /// The folder of the cache. Files appear in it by renaming, as a whole.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }
}

impl Store {
    /// Opens a cache for use.
    ///
    /// # Errors
    /// Where its lock cannot be taken.
    pub fn cache(&self, kind: CacheKind) -> Result<CacheGuard, StoreError> {
        let folder = self.layout().cache(kind);
        let lock = match self.is_writable() {
            true => {
                if disk::stat(&folder)?.is_none() {
                    // A cache may be deleted, folder and all.
                    make_folders(self.layout().root(), |name| name.split('/').next() == Some("cache"))?;
                }
                Some(LockGuard::acquire(&folder.join("lock"), Hold::Shared)?)
            }
            false => None,
        };
        Ok(CacheGuard { folder, _lock: lock })
    }

    /// Finds what a build step made before, by the digest of all that goes into the step.
    ///
    /// An entry whose layers or blobs are gone, or that cannot be read, is not found.
    ///
    /// # Errors
    /// Where the cache's folder cannot be read.
    pub fn build_cache_get(&self, key: &Digest) -> Result<Option<BuildEntry>, StoreError> {
        let path = self.layout().cache(CacheKind::Build).join(key.hex());
        let Some(entry) = read_build_entry(&path)? else { return Ok(None) };
        for blob in &entry.blobs {
            if !self.has_blob(blob)? {
                return Ok(None);
            }
        }
        for layer in &entry.layers {
            if !self.has_layer(layer)? {
                return Ok(None);
            }
        }
        Ok(Some(entry))
    }

    /// Keeps what a build step made; an entry of the same key is replaced.
    ///
    /// Not synced: after a power cut the step may have to run again.
    ///
    /// # Errors
    /// Where the entry cannot be written.
    pub fn build_cache_put(&self, key: &Digest, entry: &BuildEntry) -> Result<(), StoreError> {
        self.writable()?;
        let guard = self.cache(CacheKind::Build)?;
        let file = BuildFile { version: BUILD_VERSION, entry: entry.clone() };
        let bytes = bedplate_oci::to_json(&file);
        let _moment = self.share_sweep()?;
        let mut scratch = NewFile::create(self.scratch("cache")?, disk::FILE_MODE)?;
        scratch.append(&bytes)?;
        disk::rename(scratch.path(), &guard.folder.join(key.hex()))?;
        Ok(())
    }

    /// Empties a cache, or what of it was last written before `before`; gives the bytes freed.
    ///
    /// A cache in use is left alone: then the answer is `None`.
    ///
    /// # Errors
    /// Where a file cannot be removed.
    pub fn empty_cache(&self, kind: CacheKind, before: Option<SystemTime>) -> Result<Option<u64>, StoreError> {
        self.writable()?;
        let folder = self.layout().cache(kind);
        let Some(_lock) = LockGuard::try_acquire(&folder.join("lock"), Hold::Exclusive)? else { return Ok(None) };
        let mut freed = 0;
        for name in disk::names(&folder)? {
            if name == "lock" {
                continue;
            }
            let path = folder.join(name);
            let Some(found) = disk::stat(&path)? else { continue };
            if before.is_some_and(|before| found.modified().is_ok_and(|time| time >= before)) {
                continue;
            }
            let size = disk::disk_usage(&path);
            disk::remove_all(&path)?;
            freed += size;
        }
        Ok(Some(freed))
    }

    /// All entries of the build cache that can be read.
    pub(crate) fn build_entries(&self) -> Result<Vec<(String, BuildEntry)>, StoreError> {
        let folder = self.layout().cache(CacheKind::Build);
        let mut entries = Vec::new();
        for name in disk::names(&folder)? {
            if Digest::from_hex(&name).is_ok()
                && let Some(entry) = read_build_entry(&folder.join(&name))?
            {
                entries.push((name, entry));
            }
        }
        Ok(entries)
    }
}

fn read_build_entry(path: &std::path::Path) -> Result<Option<BuildEntry>, StoreError> {
    let bytes = match disk::read(path, MAX_BUILD_ENTRY) {
        Ok(Some(bytes)) => bytes,
        Ok(None) | Err(StoreError::TooLarge { .. }) => return Ok(None),
        Err(e) => return Err(e),
    };
    // Half an entry after a power cut is no entry.
    let file: Option<BuildFile> = serde_json::from_slice(&bytes).ok();
    Ok(file.filter(|file| file.version == BUILD_VERSION).map(|file| file.entry))
}

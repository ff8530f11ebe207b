//! Unpacked roots: a cache of what layers look like as directories.
//!
//! ```text
//! snapshots/<chainid>[-<owners>]/          a merged root: one directory without whiteouts
//! snapshots/<chainid>[-<owners>].delta/    what the last layer changes, in overlay form, over a parent's
//!     root/       the files
//!     about       boot, parent, how much was left out
//!     skipped     what was left out, where something was
//!     lock        shared by whoever uses it
//! ```
//!
//! `<owners>` tells apart what was unpacked in different user namespaces: the same image has other owners on the
//! disk there.

use std::path::PathBuf;

use bedplate_image::unpack::Skipped;
use bedplate_image::{Marks, Owners, UnpackOptions, UnpackReport, unpack_delta, unpack_tree};
use bedplate_oci::{ChainId, DiffId, Digest, chain_ids};
use bedplate_sys::rooted::Handle;
use serde::{Deserialize, Serialize};

use crate::blobs::Lease;
use crate::disk::{self, NewFile};
use crate::error::StoreError;
use crate::locks::{Hold, LockGuard};
use crate::open::{Store, make_folders};
use crate::skipped::{self, MAX_SKIPPED};

/// The version of the folder's content; one of another version is made anew.
const VERSION: u32 = 2;

/// The largest file `about`, in bytes.
const MAX_ABOUT: u64 = 64 * 1024;

/// The most directories that are stacked before one merged root is made: each costs every failed look-up a step,
/// and the classic mount call has room for some tens of names.
const DEEPEST: usize = 12;

/// How roots are unpacked.
#[derive(Debug, Clone)]
pub struct SnapshotOptions {
    /// What is done about owners.
    pub owners: Owners,
    /// Which marks overlays of this process understand.
    pub marks: Marks,
    /// Whether a stack of directories will do; else one merged directory is made.
    pub stacked: bool,
    /// Threads that unpack.
    pub threads: usize,
}

impl SnapshotOptions {
    /// What a process with these rights needs, for overlays.
    #[must_use]
    pub fn of(privilege: &bedplate_sys::userns::Privilege) -> Self {
        use bedplate_sys::userns::Privilege;
        let owners = match privilege {
            Privilege::Root => Owners::Keep,
            Privilege::Range { uids, gids } => Owners::Mapped { users: uids.clone(), groups: gids.clone() },
            Privilege::One { .. } => Owners::One,
        };
        let marks = if privilege.is_rootless() { Marks::User } else { Marks::Trusted };
        Self { owners, marks, stacked: true, threads: bedplate_sys::kernel::processors().min(4) }
    }

    /// The part of the folder's name that tells owners on the disk apart.
    fn suffix(&self) -> String {
        match &self.owners {
            Owners::Keep => String::new(),
            Owners::One => "-one".to_owned(),
            Owners::Mapped { users, groups } => {
                let maps = format!("{:?} {:?}", users.ranges(), groups.ranges());
                format!("-{}", Digest::of(maps.as_bytes()).hex().chars().take(8).collect::<String>())
            }
        }
    }
}

/// What is known of an unpacked root.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct About {
    version: u32,
    /// The boot in which it was made: until it is marked as synced, a power cut may have taken parts of it.
    boot: String,
    synced: bool,
    /// The folder below which it is to be laid.
    parent: Option<String>,
    entries: u64,
    /// Entries whose owner could not be set.
    owners_skipped: u64,
    /// How many lines the file `skipped` has; without any there is no such file.
    skipped: u64,
}

/// A root in use: nobody removes its directories while this value lives.
#[derive(Debug)]
pub struct SnapshotGuard {
    lowers: Vec<PathBuf>,
    locks: Vec<LockGuard>,
    made: Option<UnpackReport>,
    skipped: Vec<Skipped>,
}

impl SnapshotGuard {
    /// The directories to be laid on each other, the topmost first, as `lowerdir` has them.
    #[must_use]
    pub fn lowers(&self) -> &[PathBuf] {
        &self.lowers
    }

    /// What was unpacked by this call; `None` where everything was there.
    #[must_use]
    pub fn made(&self) -> Option<&UnpackReport> {
        self.made.as_ref()
    }

    /// What the directories lack of the layers, whoever unpacked them and when: devices, extended attributes. One that a
    /// higher directory covers may be among it.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Lays this root upon what is below it.
    fn upon(mut self, below: SnapshotGuard) -> SnapshotGuard {
        self.lowers.extend(below.lowers);
        self.locks.extend(below.locks);
        self.skipped.extend(below.skipped);
        self
    }

    /// The locks, to be inherited by a process that outlives this one.
    #[must_use]
    pub fn locks(&self) -> &[LockGuard] {
        &self.locks
    }
}

impl Store {
    /// Gives the root of a stack of layers, the lowest first, as directories; unpacked where it is not there yet.
    ///
    /// The same root is unpacked once, however many processes ask at the same time. To be called by a process that
    /// may own files as the options say. An empty stack is an empty directory.
    ///
    /// # Errors
    /// [`StoreError::Unpack`]; as [`Store::open_layer`]; or where the disk fails.
    pub fn snapshot(&self, diff_ids: &[DiffId], options: &SnapshotOptions) -> Result<SnapshotGuard, StoreError> {
        self.writable()?;
        let chain = chain_ids(diff_ids);
        if let Some(guard) = self.open_snapshot(&chain, options)? {
            return Ok(guard);
        }
        let top = chain.last().copied().unwrap_or_else(|| ChainId(Digest::of(b"")));
        let name = format!("{}{}", top.0.hex(), options.suffix());
        let _make = LockGuard::acquire(&self.root().join("locks").join(format!("make-{name}")), Hold::Exclusive)?;
        // Another process may have made it while we waited.
        if let Some(guard) = self.open_snapshot(&chain, options)? {
            return Ok(guard);
        }
        let lease = self.lease()?;
        let parent = match (options.stacked, chain.split_last()) {
            (true, Some((_, below))) if !below.is_empty() => {
                self.open_snapshot(below, options)?.filter(|guard| guard.lowers.len() < DEEPEST)
            }
            _ => None,
        };
        match parent {
            Some(parent) => self.make_delta(&lease, diff_ids, &top, &name, parent, options),
            None => self.make_merged(&lease, diff_ids, &top, &name, options),
        }
    }

    /// Gives a tree that is no stack of layers as one directory, unpacked where it is not there yet: the packages of a
    /// bootstrap before their scripts ran.
    ///
    /// `key` is what the directory is known by: it must stand for all that `make` puts into it. As with
    /// [`Store::snapshot`], the same one is made once, and kept until somebody prunes.
    ///
    /// # Errors
    /// As `make`; or where the disk fails.
    pub fn kept_root<E: From<StoreError>>(
        &self,
        key: &Digest,
        options: &SnapshotOptions,
        make: impl FnOnce(&Handle, &UnpackOptions) -> Result<UnpackReport, E>,
    ) -> Result<SnapshotGuard, E> {
        self.writable()?;
        let name = format!("{}{}", key.hex(), options.suffix());
        if let Some(guard) = self.open_folder(&name, 0)? {
            return Ok(guard);
        }
        let lock = self.root().join("locks").join(format!("make-{name}"));
        let _make = LockGuard::acquire(&lock, Hold::Exclusive).map_err(StoreError::from)?;
        // Another process may have made it while we waited.
        if let Some(guard) = self.open_folder(&name, 0)? {
            return Ok(guard);
        }
        let lease = self.lease()?;
        let folder = lease.scratch();
        let root = self.begin_snapshot(&folder)?;
        let unpack = UnpackOptions { owners: options.owners.clone(), threads: options.threads };
        let report = make(&root, &unpack)?;
        Ok(self.finish_snapshot(&folder, &name, None, report)?)
    }

    fn make_merged(
        &self,
        lease: &Lease,
        diff_ids: &[DiffId],
        top: &ChainId,
        name: &str,
        options: &SnapshotOptions,
    ) -> Result<SnapshotGuard, StoreError> {
        let tree = self.tree_of(diff_ids)?;
        let folder = lease.scratch();
        let root = self.begin_snapshot(&folder)?;
        let unpack = UnpackOptions { owners: options.owners.clone(), threads: options.threads };
        let report = unpack_tree(&tree, &self.contents(), &root, &unpack)
            .map_err(|e| StoreError::Unpack { chain_id: *top, source: Box::new(e) })?;
        self.finish_snapshot(&folder, name, None, report)
    }

    fn make_delta(
        &self,
        lease: &Lease,
        diff_ids: &[DiffId],
        top: &ChainId,
        name: &str,
        parent: SnapshotGuard,
        options: &SnapshotOptions,
    ) -> Result<SnapshotGuard, StoreError> {
        let unpack_error =
            |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Unpack { chain_id: *top, source };
        let Some((last, below)) = diff_ids.split_last() else {
            return self.make_merged(lease, diff_ids, top, name, options);
        };
        let below = self.tree_of(below)?;
        let delta = self.layer_index(last)?.delta().map_err(|e| unpack_error(Box::new(e)))?;
        let folder = lease.scratch();
        let root = self.begin_snapshot(&folder)?;
        let unpack = UnpackOptions { owners: options.owners.clone(), threads: options.threads };
        let report = unpack_delta(&delta, &below, &self.contents(), &root, options.marks, &unpack)
            .map_err(|e| unpack_error(Box::new(e)))?;
        let parent_name = parent
            .lowers
            .first()
            .and_then(|root| root.parent())
            .and_then(|folder| folder.file_name())
            .map(|name| name.to_string_lossy().into_owned());
        Ok(self.finish_snapshot(&folder, &format!("{name}.delta"), parent_name, report)?.upon(parent))
    }

    fn begin_snapshot(&self, folder: &std::path::Path) -> Result<Handle, StoreError> {
        disk::make_dir(folder, 0o700)?;
        // An archive without an entry for its root gives the root that every builder makes.
        disk::make_dir(&folder.join("root"), 0o755)?;
        Ok(Handle::open(&folder.join("root"))?)
    }

    fn finish_snapshot(
        &self,
        folder: &std::path::Path,
        name: &str,
        parent: Option<String>,
        report: UnpackReport,
    ) -> Result<SnapshotGuard, StoreError> {
        let about = About {
            version: VERSION,
            boot: bedplate_sys::kernel::boot_id(),
            synced: false,
            parent,
            entries: report.entries,
            owners_skipped: report.owners_skipped,
            skipped: report.skipped.len() as u64,
        };
        if !report.skipped.is_empty()
            && let Some(bytes) = skipped::encode(&report.skipped)
        {
            NewFile::create(folder.join("skipped"), disk::FILE_MODE)?.append(&bytes)?;
        }
        NewFile::create(folder.join("about"), disk::FILE_MODE)?.append(&bedplate_oci::to_json(&about))?;
        let place = self.layout().snapshots().join(name);
        // Locked before it can be found, so that no sweep comes between.
        let lock = LockGuard::acquire(&folder.join("lock"), Hold::Shared)?;
        // Snapshots are a cache: somebody may have removed all of them, folder and all.
        make_folders(self.layout().root(), |name| name == "snapshots")?;
        disk::rename(folder, &place)?;
        let lock = lock.moved(place.join("lock"));
        let skipped = report.skipped.clone();
        Ok(SnapshotGuard { lowers: vec![place.join("root")], locks: vec![lock], made: Some(report), skipped })
    }

    /// Opens a root that is there, merged or stacked as the options allow.
    fn open_snapshot(&self, chain: &[ChainId], options: &SnapshotOptions) -> Result<Option<SnapshotGuard>, StoreError> {
        let top = chain.last().copied().unwrap_or_else(|| ChainId(Digest::of(b"")));
        let name = format!("{}{}", top.0.hex(), options.suffix());
        if let Some(guard) = self.open_folder(&name, 0)? {
            return Ok(Some(guard));
        }
        match options.stacked {
            true => self.open_folder(&format!("{name}.delta"), 0),
            false => Ok(None),
        }
    }

    fn open_folder(&self, name: &str, depth: usize) -> Result<Option<SnapshotGuard>, StoreError> {
        let folder = self.layout().snapshots().join(name);
        let Some(lock) = LockGuard::try_existing(&folder.join("lock"), Hold::Shared)? else { return Ok(None) };
        let about = read_about(&folder)?;
        let usable =
            |about: &About| about.version == VERSION && (about.synced || about.boot == bedplate_sys::kernel::boot_id());
        let about = match about.filter(usable) {
            Some(about) => read_skipped(&folder, about.skipped)?.map(|skipped| (about, skipped)),
            None => None,
        };
        let Some((about, skipped)) = about else {
            drop(lock);
            // Not usable: out of the way, where nobody is using it.
            self.remove_snapshot(name)?;
            return Ok(None);
        };
        let mut guard = SnapshotGuard { lowers: vec![folder.join("root")], locks: vec![lock], made: None, skipped };
        if let Some(parent) = about.parent {
            // A name from our own file, but it becomes part of a path.
            let plain = !parent.contains('/') && !parent.starts_with('.') && depth < DEEPEST;
            let below = match plain {
                true => self.open_folder(&parent, depth + 1)?,
                false => None,
            };
            let Some(below) = below else {
                drop(guard);
                self.remove_snapshot(name)?;
                return Ok(None);
            };
            guard = guard.upon(below);
        }
        Ok(Some(guard))
    }

    /// Removes an unpacked root unless somebody uses it; gives whether it is gone.
    pub(crate) fn remove_snapshot(&self, name: &str) -> Result<bool, StoreError> {
        let folder = self.layout().snapshots().join(name);
        if disk::stat(&folder)?.is_none() {
            return Ok(true);
        }
        let lock = folder.join("lock");
        let held = LockGuard::try_existing(&lock, Hold::Exclusive)?;
        if held.is_none() && disk::stat(&lock)?.is_some() {
            return Ok(false);
        }
        // Renamed first: from then on nobody finds it, and a kill leaves it to the next sweep.
        let doomed = self.scratch("snapshot")?;
        disk::rename(&folder, &doomed)?;
        disk::remove_all(&doomed)?;
        Ok(true)
    }

    /// The folders of unpacked roots, with the chain ID of each.
    pub(crate) fn snapshot_folders(&self) -> Result<Vec<(String, Option<ChainId>)>, StoreError> {
        let chain_of = |name: &str| name.get(..64).and_then(|hex| Digest::from_hex(hex).ok()).map(ChainId);
        Ok(disk::names(&self.layout().snapshots())?.into_iter().map(|name| (name.clone(), chain_of(&name))).collect())
    }

    /// Removes every unpacked root that nobody uses; gives how many.
    ///
    /// # Errors
    /// Where one cannot be removed: those of a user namespace can be by root in it only.
    pub fn prune_snapshots(&self) -> Result<usize, StoreError> {
        self.writable()?;
        let mut removed = 0;
        let mut folders = self.snapshot_folders()?;
        // Stacked ones hold their parents.
        folders.sort_by_key(|(name, _)| !name.ends_with(".delta"));
        for (name, _) in folders {
            removed += usize::from(self.remove_snapshot(&name)?);
        }
        Ok(removed)
    }
}

fn read_about(folder: &std::path::Path) -> Result<Option<About>, StoreError> {
    let Some(bytes) = disk::read(&folder.join("about"), MAX_ABOUT)? else { return Ok(None) };
    // After a power cut it may be empty.
    Ok(serde_json::from_slice(&bytes).ok())
}

/// The list of what was left out; `None` where it is not the one that `about` speaks of.
fn read_skipped(folder: &std::path::Path, count: u64) -> Result<Option<Vec<Skipped>>, StoreError> {
    if count == 0 {
        return Ok(Some(Vec::new()));
    }
    let Some(bytes) = disk::read(&folder.join("skipped"), MAX_SKIPPED)? else { return Ok(None) };
    Ok(skipped::decode(&bytes).filter(|list| list.len() as u64 == count))
}

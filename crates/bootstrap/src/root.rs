//! The root in which scripts run: what it holds as data, and as directories.
//!
//! ```text
//! lay      the root holds more from now on; nothing is unpacked yet
//! work     what was laid ──▶ a directory (the first), or what is new as one more lower side
//!          a session over all ──▶ the upper side, read back into the tree, becomes a lower side itself
//! ```
//!
//! So each wave of packages is composed with what scripts before it did, and nothing is unpacked twice, or for nobody.
//! What is laid down is kept for the next bootstrap: it holds nothing of what scripts wrote.
//! Where no overlay can be had, each session gets a copy of the whole tree.

use std::fs;
use std::path::PathBuf;

use bedplate_image::disk::{DiskOwners, Prepared};
use bedplate_image::unpack::Skipped;
use bedplate_image::{
    ContentSources, Owners, UnpackOptions, compare, prepare_upper, read_upper, record, unpack_delta, unpack_tree,
};
use bedplate_oci::Digest;
use bedplate_run::{OverlayVia, Root as RunRoot, RootKind, RuntimeConfig, Session, paths_of};
use bedplate_store::{Lease, SnapshotGuard, SnapshotOptions};
use bedplate_sys::rooted::{Handle, Root};
use bedplate_sys::userns::Privilege;
use bedplate_tree::{Action, Content, Delta, Entry, EntryKind, Source, Timestamp, Tree};
use sha2::{Digest as _, Sha256};

use crate::regroup::regroup;
use crate::root_error::RootError;

/// A root that grows wave by wave.
#[derive(Debug)]
pub(crate) struct Ground<'a> {
    lease: &'a Lease,
    privilege: &'a Privilege,
    via: Option<OverlayVia>,
    options: SnapshotOptions,
    /// No time of the image is later.
    epoch: Timestamp,
    /// What the root holds.
    tree: Tree,
    /// What the lower sides show of it.
    shown: Tree,
    /// The topmost first; empty before the first session, and always where copies are made.
    lowers: Vec<PathBuf>,
    skipped: Vec<Skipped>,
    /// What was unpacked, and is kept for the next time.
    kept: Vec<SnapshotGuard>,
}

impl<'a> Ground<'a> {
    /// An empty root.
    pub(crate) fn new(
        lease: &'a Lease,
        privilege: &'a Privilege,
        kind: RootKind,
        epoch: Timestamp,
    ) -> Result<Self, RootError> {
        let mut ground = Self {
            lease,
            privilege,
            via: None,
            options: SnapshotOptions::of(privilege),
            epoch,
            tree: Tree::new(),
            shown: Tree::new(),
            lowers: Vec::new(),
            skipped: Vec::new(),
            kept: Vec::new(),
        };
        ground.via = kind.via(&ground.directory()?, privilege.is_rootless()).map_err(RootError::Run)?;
        Ok(ground)
    }

    /// Begins with what stands in `tree` before the first package.
    pub(crate) fn begin(&mut self, tree: Tree) {
        self.tree = tree;
    }

    /// What the root holds.
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The tree at the end, when no session follows.
    pub(crate) fn into_tree(self) -> Tree {
        self.tree
    }

    /// The root holds `tree` from now on.
    pub(crate) fn lay(&mut self, tree: Tree) {
        self.tree = tree;
    }

    /// Unpacks what was laid since the last session, as one more lower side.
    fn show(&mut self, contents: &ContentSources<'_>) -> Result<(), RootError> {
        let never = &mut |_: &Content, _: &Content| Ok::<_, std::convert::Infallible>(false);
        let delta = match bedplate_tree::diff(&self.shown, &self.tree, never) {
            Ok(difference) => difference.delta,
            Err(never) => match never {},
        };
        let is_first = self.lowers.is_empty();
        if !is_first && delta.changes.is_empty() {
            return Ok(());
        }
        let marks = self.options.marks;
        let make = |into: &Handle, options: &UnpackOptions| {
            let made = match is_first {
                true => unpack_tree(&self.tree, contents, into, options),
                false => unpack_delta(&delta, &self.shown, contents, into, marks, options),
            };
            made.map_err(RootError::Unpack)
        };
        if let Some(key) = fingerprint(&delta, self.epoch) {
            let kept = self.lease.store().kept_root(&key, &self.options, make)?;
            self.skipped.extend(kept.skipped().iter().cloned());
            self.lowers.splice(0..0, kept.lowers().iter().cloned());
            self.kept.push(kept);
        } else {
            let path = self.directory()?;
            self.skipped.extend(make(&open(&path)?, &self.unpack_options())?.skipped);
            self.lowers.insert(0, path);
        }
        self.shown = self.tree.clone();
        Ok(())
    }

    fn unpack_options(&self) -> UnpackOptions {
        UnpackOptions { owners: self.options.owners.clone(), threads: self.options.threads }
    }

    /// Lets `work` run commands in the root and takes over what they changed.
    pub(crate) fn work<T, E: From<RootError>>(
        &mut self,
        config: &RuntimeConfig,
        contents: &mut ContentSources<'_>,
        work: impl FnOnce(&mut Session) -> Result<T, E>,
    ) -> Result<T, E> {
        let owners = if matches!(self.options.owners, Owners::One) { DiskOwners::One } else { DiskOwners::AsIs };
        let Some(via) = self.via else { return self.work_in_copy(config, contents, owners, work) };
        self.show(contents)?;
        let (upper, workdir) = (self.directory()?, self.directory()?);
        prepare_upper(&open(&upper)?, &self.tree).map_err(RootError::Changes)?;
        let root = RunRoot::Overlay { lowers: self.lowers.clone(), upper: upper.clone(), work: workdir, via };
        let mut session = Session::start(&root, config, self.privilege).map_err(RootError::Run)?;
        let done = work(&mut session);
        let placeholders = paths_of(&session.finish().map_err(RootError::Run)?).map_err(RootError::Run)?;
        let done = done?;
        let prepared = Prepared { owners, placeholders: &placeholders, skipped: &self.skipped, parted: false };
        let found = read_upper(Root::from_handle(open(&upper)?), &self.tree, contents, self.options.marks, &prepared)
            .map_err(RootError::Changes)?;
        self.absorb(&found.delta)?;
        regroup(&self.shown, &mut self.tree, &*contents)?;
        self.lowers.insert(0, upper);
        self.shown = self.tree.clone();
        Ok(done)
    }

    fn work_in_copy<T, E: From<RootError>>(
        &mut self,
        config: &RuntimeConfig,
        contents: &mut ContentSources<'_>,
        owners: DiskOwners,
        work: impl FnOnce(&mut Session) -> Result<T, E>,
    ) -> Result<T, E> {
        let path = self.directory()?;
        let handle = open(&path)?;
        let report = unpack_tree(&self.tree, &*contents, &handle, &self.unpack_options()).map_err(RootError::Unpack)?;
        let recorded = record(&Root::from_handle(open(&path)?)).map_err(RootError::Changes)?;
        let root = RunRoot::Directory { path: path.clone() };
        let mut session = Session::start(&root, config, self.privilege).map_err(RootError::Run)?;
        let done = work(&mut session);
        let placeholders = paths_of(&session.finish().map_err(RootError::Run)?).map_err(RootError::Run)?;
        let done = done?;
        let prepared = Prepared { owners, placeholders: &placeholders, skipped: &report.skipped, parted: false };
        let found = compare(Root::from_handle(open(&path)?), &self.tree, &recorded, contents, &prepared)
            .map_err(RootError::Changes)?;
        self.absorb(&found.delta)?;
        Ok(done)
    }

    fn absorb(&mut self, delta: &bedplate_tree::Delta) -> Result<(), RootError> {
        self.tree.apply(delta).map(drop).map_err(RootError::Absorb)
    }

    fn directory(&self) -> Result<PathBuf, RootError> {
        let path = self.lease.scratch();
        fs::create_dir(&path).map_err(|source| RootError::Make { path: path.clone(), source })?;
        Ok(path)
    }
}

fn open(path: &std::path::Path) -> Result<Handle, RootError> {
    Handle::open(path).map_err(|source| RootError::Open { path: path.to_owned(), source })
}

/// What the directory of a change is known by: every name, attribute and place of bytes in it. `None` where bytes lie in
/// a file of the host, which may be another one tomorrow.
///
/// Bytes in streams count by the digest of the stream and where they lie in it; others are hashed themselves.
/// Times count as an image tells them, none later than `epoch`: scripts touched some directories a moment ago.
fn fingerprint(delta: &Delta, epoch: Timestamp) -> Option<Digest> {
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for change in &delta.changes {
        field(change.path.as_bytes());
        match &change.action {
            Action::Put(entry) => put(entry, epoch, &mut field)?,
            Action::Link { target } => {
                field(b"link");
                field(target.as_bytes());
            }
            Action::Whiteout => field(b"whiteout"),
            Action::Opaque => field(b"opaque"),
        }
    }
    Some(Digest::from_bytes(hash.finalize().into()))
}

fn put(entry: &Entry, epoch: Timestamp, field: &mut impl FnMut(&[u8])) -> Option<()> {
    let metadata = &entry.metadata;
    let mtime = metadata.mtime.min(epoch);
    for number in [metadata.mode, metadata.uid, metadata.gid, mtime.nanoseconds] {
        field(&number.to_le_bytes());
    }
    field(&mtime.seconds.to_le_bytes());
    for (name, value) in &metadata.xattrs {
        field(name);
        field(value);
    }
    match &entry.kind {
        EntryKind::File(content) => {
            field(b"file");
            field(&content.size().to_le_bytes());
            match content.source() {
                Source::Stream(digest) => field(digest),
                Source::Memory(bytes) => field(&Sha256::digest(bytes)),
                Source::File { .. } => return None,
            }
            for extent in content.extents() {
                for number in [extent.logical, extent.physical, extent.length] {
                    field(&number.to_le_bytes());
                }
            }
        }
        EntryKind::Symlink(target) => {
            field(b"symlink");
            field(target);
        }
        other => field(format!("{other:?}").as_bytes()),
    }
    Some(())
}

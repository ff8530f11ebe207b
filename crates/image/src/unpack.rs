//! A tree made real: directories, files, links, owners and times below an open directory.
//!
//! ```text
//! 1. directories, in order, 0700 or their own mode         one thread
//! 2. files, symbolic links, devices, directory by directory  all threads
//! 3. hard links                                             one thread
//! 4. attributes of directories, the deepest first            one thread
//! ```
//!
//! Per entry: owner, then mode, then extended attributes, then times: changing the owner clears set-id bits and
//! `security.capability`, writing changes the times. What the tree says twice (an owner that new files
//! have anyway, a mode that the umask leaves alone) costs no call.
//!
//! Every call takes one name below an open directory; nothing that an entry says is ever joined to a path or followed.

mod update;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bedplate_sys::file::{self, Kind, Time};
use bedplate_sys::idmap::IdMap;
use bedplate_sys::rooted::{Handle, Resolve, Root};
use bedplate_sys::{CallError, Errno};
use bedplate_tree::{Action, Content, Delta, Entry, EntryKind, Metadata, Timestamp, Tree, TreePath};
use thiserror::Error;

pub use update::update_tree;

use crate::contents::{BUFFER, ContentError, Contents};
use crate::overlay::{Marks, is_overlay_xattr};
use crate::owner_mark::{OWNER_MARK, is_own_xattr, owner_mark};

/// How many entries of one directory are handed to a thread at once: few enough to spread a large
/// directory over threads, enough that opening the directory costs nothing beside them.
const BATCH: usize = 64;

/// A directory made for the time of a call to learn what the file system gives to new ones.
const PROBE: &str = ".bedplate-probe";

/// Why a tree cannot be unpacked.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// The directory to unpack into cannot be used.
    #[error("cannot unpack into {directory}")]
    Target {
        /// The directory.
        directory: String,
        /// The call that failed.
        #[source]
        source: CallError,
    },
    /// An entry cannot be made.
    #[error("entry \"{path}\": cannot make this {kind}")]
    Make {
        /// The entry.
        path: TreePath,
        /// What it is.
        kind: &'static str,
        /// The call that failed.
        #[source]
        source: CallError,
    },
    /// An entry's owner cannot be set.
    #[error("entry \"{path}\": cannot set owner {uid}:{gid}")]
    Owner {
        /// The entry.
        path: TreePath,
        /// The owner.
        uid: u32,
        /// The group.
        gid: u32,
        /// What is not mapped, where that is known.
        unmapped: Option<Unmapped>,
        /// The call that failed.
        #[source]
        source: CallError,
    },
    /// Mode, times or extended attributes cannot be set.
    #[error("entry \"{path}\": cannot set its attributes")]
    Attributes {
        /// The entry.
        path: TreePath,
        /// The call that failed.
        #[source]
        source: CallError,
    },
    /// The bytes of a file cannot be had.
    #[error("entry \"{path}\": cannot read its bytes")]
    Content {
        /// The entry.
        path: TreePath,
        /// Why.
        #[source]
        source: ContentError,
    },
    /// The bytes of a file cannot be written.
    #[error("entry \"{path}\": cannot write its bytes")]
    Write {
        /// The entry.
        path: TreePath,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The layer cannot be applied to what is below it.
    #[error(transparent)]
    Apply(#[from] bedplate_tree::ApplyError),
}

/// An ID that has no counterpart outside of the user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unmapped {
    /// Whether it is a group.
    pub group: bool,
    /// The ID.
    pub id: u32,
    /// How many IDs are mapped.
    pub mapped: u64,
}

impl UnpackError {
    /// What the user can do about it, where we know.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Owner { unmapped: Some(Unmapped { group, id, mapped }), .. } => {
                let (what, file) = if *group { ("group", "/etc/subgid") } else { ("user", "/etc/subuid") };
                Some(format!("{what} {id} is outside the {mapped} IDs mapped for this user; widen its range in {file}"))
            }
            Self::Owner { uid, gid, source, .. } if source.errno() == Errno::INVAL => Some(format!(
                "user {uid} or group {gid} is not mapped for this user; widen its ranges in /etc/subuid and /etc/subgid"
            )),
            Self::Owner { source, .. } if source.is_denied() => Some(
                "only root may give files to others, of the machine or of a user namespace with a range of IDs".into(),
            ),
            _ => None,
        }
    }
}

/// What is done about owners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    /// Every entry gets its owner.
    Keep,
    /// Every entry gets its owner; these are the maps of the user namespace, so that errors can say what is missing.
    Mapped {
        /// Mapped users.
        users: IdMap,
        /// Mapped groups.
        groups: IdMap,
    },
    /// There is one ID only, and everything belongs to it; what should belong to others is counted.
    One,
}

/// How to unpack.
#[derive(Debug, Clone)]
pub struct UnpackOptions {
    /// What is done about owners.
    pub owners: Owners,
    /// How many threads make files; 1 makes none besides the caller's.
    pub threads: usize,
}

impl Default for UnpackOptions {
    fn default() -> Self {
        Self { owners: Owners::Keep, threads: 2 }
    }
}

/// Why something of an entry was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkipReason {
    /// A device, which only root may make.
    Device,
    /// A device 0:0, which an overlay would take for a whiteout.
    WhiteoutDevice,
    /// A socket.
    Socket,
    /// An extended attribute that may not be set here, or that the file system does not know.
    Xattr {
        /// Its name.
        name: Box<[u8]>,
    },
    /// An extended attribute by which an entry would pose as part of an overlay, or as unpacked by us.
    OverlayXattr {
        /// Its name.
        name: Box<[u8]>,
    },
}

impl std::fmt::Display for SkipReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Device => f.write_str("only root may make a device"),
            Self::WhiteoutDevice => f.write_str("an overlay would take a device 0:0 for a whiteout"),
            Self::Socket => f.write_str("a socket is no file of an image"),
            Self::Xattr { name } => {
                write!(f, "extended attribute {:?} cannot be set here", String::from_utf8_lossy(name))
            }
            Self::OverlayXattr { name } => {
                write!(f, "extended attribute {:?} would pose as part of an overlay", String::from_utf8_lossy(name))
            }
        }
    }
}

/// Something that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The entry.
    pub path: TreePath,
    /// What of it, and why.
    pub reason: SkipReason,
}

/// What was unpacked and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnpackReport {
    /// Entries made, hard links and whiteouts among them.
    pub entries: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Entries whose owner was not set because there is one ID only.
    pub owners_skipped: u64,
    /// What was left out, in the order of the paths.
    pub skipped: Vec<Skipped>,
}

/// Makes `tree` real in the empty directory `into`, whose own attributes become those of the tree's root.
///
/// # Errors
/// [`UnpackError`]; what was made so far stays and is to be thrown away.
pub fn unpack_tree(
    tree: &Tree,
    contents: &dyn Contents,
    into: &Handle,
    options: &UnpackOptions,
) -> Result<UnpackReport, UnpackError> {
    unpack(&plan_of(tree, false), contents, into, options)
}

/// Makes `tree` real as [`unpack_tree`] does, but each name of a file with several as a file of its own.
///
/// For a process to work in, whose changes are found by [`compare`](crate::compare::compare) with
/// [`Prepared::parted`](crate::disk::Prepared::parted): an overlay parts such names at the first change to one of them,
/// and so that both ways give the same layer, a copy has them apart from the start.
///
/// # Errors
/// As [`unpack_tree`].
pub fn unpack_parted(
    tree: &Tree,
    contents: &dyn Contents,
    into: &Handle,
    options: &UnpackOptions,
) -> Result<UnpackReport, UnpackError> {
    unpack(&plan_of(tree, true), contents, into, options)
}

fn plan_of(tree: &Tree, parted: bool) -> Plan<'_> {
    let mut plan = Plan::default();
    let mut first: HashMap<_, TreePath> = HashMap::new();
    for (path, id) in tree.walk() {
        let inode = tree.inode(id);
        if inode.links() > 1 && !parted {
            if let Some(target) = first.get(&id) {
                plan.links.push((path, target.clone()));
                continue;
            }
            first.insert(id, path.clone());
        }
        plan.entry(path, &inode.entry);
    }
    plan
}

/// Makes the changes that `delta` brings to `below` real in the empty directory `into`, in the form in which overlayfs
/// keeps an upper side: whiteouts are devices 0:0, opaque directories have an extended attribute.
///
/// The delta is first brought into canonical form (see [`bedplate_tree::diff`]), so that the directory means
/// the same whatever the layer's archive looked like: links into lower layers, entries below symbolic links, marks anywhere.
///
/// # Errors
/// As [`unpack_tree`], and where the delta cannot be applied to `below`.
pub fn unpack_delta(
    delta: &Delta,
    below: &Tree,
    contents: &dyn Contents,
    into: &Handle,
    marks: Marks,
    options: &UnpackOptions,
) -> Result<UnpackReport, UnpackError> {
    let mut after = below.clone();
    after.apply(delta)?;
    // Contents in different places count as different: nothing is read to save a file.
    let never = &mut |_: &Content, _: &Content| Ok::<_, std::convert::Infallible>(false);
    let delta = match bedplate_tree::diff(below, &after, never) {
        Ok(difference) => difference.delta,
        Err(never) => match never {},
    };
    let mut plan = Plan { marks: Some(marks), ..Plan::default() };
    for change in &delta.changes {
        match &change.action {
            Action::Put(entry) => plan.entry(change.path.clone(), entry),
            Action::Link { target } => plan.links.push((change.path.clone(), target.clone())),
            Action::Whiteout => plan.non_directory(change.path.clone(), None),
            Action::Opaque => {
                let at = plan.directory_at(&change.path);
                plan.directories[at].opaque = true;
            }
        }
    }
    unpack(&plan, contents, into, options)
}

/// What is to be made, by directory.
#[derive(Default)]
struct Plan<'a> {
    directories: Vec<Directory<'a>>,
    by_path: HashMap<TreePath, usize>,
    links: Vec<(TreePath, TreePath)>,
    marks: Option<Marks>,
}

struct Directory<'a> {
    path: TreePath,
    /// `None` for one that nothing describes: the root of a delta.
    entry: Option<&'a Entry>,
    opaque: bool,
    /// What it holds but directories; without an entry a whiteout.
    children: Vec<(TreePath, Option<&'a Entry>)>,
}

impl<'a> Plan<'a> {
    fn entry(&mut self, path: TreePath, entry: &'a Entry) {
        if entry.is_directory() {
            let at = self.directory_at(&path);
            self.directories[at].entry = Some(entry);
        } else {
            self.non_directory(path, Some(entry));
        }
    }

    fn non_directory(&mut self, path: TreePath, entry: Option<&'a Entry>) {
        let parent = self.directory_at(&path.parent().unwrap_or_default());
        self.directories[parent].children.push((path, entry));
    }

    fn directory_at(&mut self, path: &TreePath) -> usize {
        if let Some(&at) = self.by_path.get(path) {
            return at;
        }
        let at = self.directories.len();
        self.directories.push(Directory { path: path.clone(), entry: None, opaque: false, children: Vec::new() });
        self.by_path.insert(path.clone(), at);
        at
    }
}

/// What the file system gives to new entries.
#[derive(Clone, Copy)]
struct Defaults {
    uid: u32,
    gid: u32,
    /// Mode bits that new entries do not get.
    umask: u32,
}

struct Unpacker<'a> {
    contents: &'a dyn Contents,
    options: &'a UnpackOptions,
    into: &'a Handle,
    defaults: Defaults,
    marks: Option<Marks>,
}

/// One thread's part.
struct Worker<'a> {
    of: &'a Unpacker<'a>,
    root: Root,
    buffer: Vec<u8>,
    report: UnpackReport,
}

fn unpack(
    plan: &Plan<'_>,
    contents: &dyn Contents,
    into: &Handle,
    options: &UnpackOptions,
) -> Result<UnpackReport, UnpackError> {
    let defaults = probe(into).map_err(|source| UnpackError::Target { directory: into.label().to_owned(), source })?;
    let unpacker = Unpacker { contents, options, into, defaults, marks: plan.marks };
    let mut own = unpacker.worker();
    own.make_directories(plan)?;
    let reports = unpacker.make_children(plan, &mut own)?;
    for report in reports {
        own.report.entries += report.entries;
        own.report.bytes += report.bytes;
        own.report.owners_skipped += report.owners_skipped;
        own.report.skipped.extend(report.skipped);
    }
    own.make_links(plan)?;
    own.finish_directories(plan)?;
    let mut report = own.report;
    report.skipped.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(report)
}

fn probe(into: &Handle) -> Result<Defaults, CallError> {
    into.mkdir(PROBE, 0o777)?;
    let stat = into.stat(PROBE);
    into.rmdir(PROBE)?;
    let stat = stat?;
    Ok(Defaults { uid: stat.uid, gid: stat.gid, umask: 0o777 & !stat.mode })
}

impl<'a> Unpacker<'a> {
    fn worker(&'a self) -> Worker<'a> {
        Worker {
            of: self,
            root: Root::from_handle(self.into.clone()),
            buffer: vec![0; BUFFER],
            report: UnpackReport::default(),
        }
    }

    fn make_children(&'a self, plan: &Plan<'_>, own: &mut Worker<'a>) -> Result<Vec<UnpackReport>, UnpackError> {
        let mut batches = Vec::new();
        for directory in &plan.directories {
            batches.extend(directory.children.chunks(BATCH).map(|children| (&directory.path, children)));
        }
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let run = |worker: &mut Worker<'_>| {
            while !failed.load(Ordering::Relaxed) {
                let Some((directory, children)) = batches.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                if let Err(error) = worker.make_batch(directory, children) {
                    failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
            Ok(())
        };
        let others = self.options.threads.min(batches.len()).saturating_sub(1);
        if others == 0 {
            run(own)?;
            return Ok(Vec::new());
        }
        let reports = Mutex::new(Vec::new());
        let first_error = Mutex::new(None);
        let note = |result: Result<(), UnpackError>| {
            if let Err(error) = result {
                first_error.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(error);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..others {
                let builder = std::thread::Builder::new().name("unpack".into());
                // Where no thread can be had, the caller's does it all.
                let _ = builder.spawn_scoped(scope, || {
                    let mut worker = self.worker();
                    note(run(&mut worker));
                    reports.lock().unwrap_or_else(|e| e.into_inner()).push(worker.report);
                });
            }
            note(run(own));
        });
        match first_error.into_inner().unwrap_or_else(|e| e.into_inner()) {
            Some(error) => Err(error),
            None => Ok(reports.into_inner().unwrap_or_else(|e| e.into_inner())),
        }
    }

    fn owner_error(&self, path: &TreePath, metadata: &Metadata, source: CallError) -> UnpackError {
        let (uid, gid) = (metadata.uid, metadata.gid);
        let unmapped = match &self.options.owners {
            Owners::Mapped { users, .. } if !users.contains(uid) => {
                Some(Unmapped { group: false, id: uid, mapped: users.len() })
            }
            Owners::Mapped { groups, .. } if !groups.contains(gid) => {
                Some(Unmapped { group: true, id: gid, mapped: groups.len() })
            }
            _ => None,
        };
        UnpackError::Owner { path: path.clone(), uid, gid, unmapped, source }
    }
}

/// Where attributes are set: an open file, or a name that must not be opened.
#[derive(Clone, Copy)]
enum At<'a> {
    File(&'a File),
    Directory(&'a Handle),
    Name(&'a Handle, &'a [u8]),
}

impl At<'_> {
    fn chown(self, uid: u32, gid: u32) -> Result<(), CallError> {
        match self {
            At::File(file) => file::chown(file, uid, gid),
            At::Directory(handle) => file::chown(handle, uid, gid),
            At::Name(parent, name) => parent.chown(name, uid, gid),
        }
    }

    fn chmod(self, mode: u32) -> Result<(), CallError> {
        match self {
            At::File(file) => file::chmod(file, mode),
            At::Directory(handle) => file::chmod(handle, mode),
            At::Name(parent, name) => parent.chmod(name, mode),
        }
    }

    fn set_xattr(self, key: &[u8], value: &[u8]) -> Result<(), CallError> {
        match self {
            At::File(file) => file::set_xattr(file, key, value),
            At::Directory(handle) => file::set_xattr(handle, key, value),
            At::Name(parent, name) => parent.set_xattr(name, key, value),
        }
    }

    fn set_times(self, time: Time) -> Result<(), CallError> {
        match self {
            At::File(file) => file::set_times(file, time, time),
            At::Directory(handle) => file::set_times(handle, time, time),
            At::Name(parent, name) => parent.set_times(name, time, time),
        }
    }
}

impl Worker<'_> {
    /// The mode to create an entry with, and whether it must still be set.
    fn creation_mode(&self, mode: u32) -> (u32, bool) {
        let exact = mode & !0o777 == 0 && mode & self.of.defaults.umask == 0;
        (mode & 0o777, !exact)
    }

    fn make_directories(&mut self, plan: &Plan<'_>) -> Result<(), UnpackError> {
        for directory in &plan.directories {
            let Some(name) = directory.path.file_name() else { continue };
            let failed = |source| UnpackError::Make { path: directory.path.clone(), kind: "directory", source };
            let mode = directory.entry.map_or(0o700, |entry| entry.metadata.mode);
            let parent = directory.path.parent().unwrap_or_default();
            let parent = self.root.open_dir(parent.as_bytes(), Resolve::NoSymlinks).map_err(failed)?;
            // Its owner must be able to fill it, where that is not root.
            parent.mkdir(name, mode & 0o777 | 0o700).map_err(failed)?;
            self.report.entries += 1;
        }
        Ok(())
    }

    fn finish_directories(&mut self, plan: &Plan<'_>) -> Result<(), UnpackError> {
        for directory in plan.directories.iter().rev() {
            let path = &directory.path;
            let handle = self
                .root
                .open_dir(path.as_bytes(), Resolve::NoSymlinks)
                .map_err(|source| UnpackError::Attributes { path: path.clone(), source })?;
            if directory.opaque
                && let Some(marks) = self.of.marks
            {
                file::set_xattr(&handle, marks.opaque(), b"y")
                    .map_err(|source| UnpackError::Attributes { path: path.clone(), source })?;
            }
            let Some(entry) = directory.entry else { continue };
            let made = entry.metadata.mode & 0o777 | 0o700;
            // The root was there before: nothing is known of its mode and owner.
            let mode_is_set = !path.is_root() && made == entry.metadata.mode && made & self.of.defaults.umask == 0;
            self.set_attributes(path, At::Directory(&handle), &entry.metadata, !mode_is_set, path.is_root())?;
        }
        Ok(())
    }

    fn make_links(&mut self, plan: &Plan<'_>) -> Result<(), UnpackError> {
        // One cache of the last parent for each side.
        let targets = Root::from_handle(self.of.into.clone());
        let left_out: std::collections::HashSet<TreePath> = self
            .report
            .skipped
            .iter()
            .filter(|skipped| !matches!(skipped.reason, SkipReason::Xattr { .. } | SkipReason::OverlayXattr { .. }))
            .map(|skipped| skipped.path.clone())
            .collect();
        for (path, target) in &plan.links {
            if left_out.contains(target) {
                self.skip(path, SkipReason::Device);
                continue;
            }
            let failed = |source| UnpackError::Make { path: path.clone(), kind: "hard link", source };
            let (from, name) = targets.parent(target.as_bytes(), Resolve::NoSymlinks).map_err(failed)?;
            let (to, new_name) = self.root.parent(path.as_bytes(), Resolve::NoSymlinks).map_err(failed)?;
            from.link(&*name, &to, &*new_name).map_err(failed)?;
            self.report.entries += 1;
        }
        Ok(())
    }

    fn make_batch(&mut self, directory: &TreePath, children: &[(TreePath, Option<&Entry>)]) -> Result<(), UnpackError> {
        let parent = self
            .root
            .open_dir(directory.as_bytes(), Resolve::NoSymlinks)
            .map_err(|source| UnpackError::Make { path: directory.clone(), kind: "directory", source })?;
        for (path, entry) in children {
            let Some(name) = path.file_name() else { continue };
            match entry {
                Some(entry) => self.make(&parent, name, path, entry)?,
                None => {
                    parent.mknod(name, Kind::CharDevice, 0, (0, 0)).map_err(|source| UnpackError::Make {
                        path: path.clone(),
                        kind: "whiteout",
                        source,
                    })?;
                    self.report.entries += 1;
                }
            }
        }
        Ok(())
    }

    fn make(&mut self, parent: &Handle, name: &[u8], path: &TreePath, entry: &Entry) -> Result<(), UnpackError> {
        let failed = |source| UnpackError::Make { path: path.clone(), kind: entry.kind.describe(), source };
        let metadata = &entry.metadata;
        let (mode, unset) = self.creation_mode(metadata.mode);
        let (kind, device) = match &entry.kind {
            EntryKind::File(content) => {
                let file = parent.create_file(name, mode).map_err(failed)?;
                self.write(&file, path, content)?;
                self.set_attributes(path, At::File(&file), metadata, unset, false)?;
                self.report.entries += 1;
                return Ok(());
            }
            EntryKind::Symlink(target) => {
                parent.symlink(&**target, name).map_err(failed)?;
                self.set_attributes(path, At::Name(parent, name), metadata, false, false)?;
                self.report.entries += 1;
                return Ok(());
            }
            EntryKind::CharDevice { major: 0, minor: 0 } => {
                self.skip(path, SkipReason::WhiteoutDevice);
                return Ok(());
            }
            EntryKind::Socket => {
                self.skip(path, SkipReason::Socket);
                return Ok(());
            }
            EntryKind::CharDevice { major, minor } => (Kind::CharDevice, (*major, *minor)),
            EntryKind::BlockDevice { major, minor } => (Kind::BlockDevice, (*major, *minor)),
            EntryKind::Fifo => (Kind::Fifo, (0, 0)),
            EntryKind::Directory => return Ok(()),
        };
        match parent.mknod(name, kind, mode, device) {
            Ok(()) => {}
            Err(error) if error.errno() == Errno::PERM && kind != Kind::Fifo => {
                self.skip(path, SkipReason::Device);
                return Ok(());
            }
            Err(error) => return Err(failed(error)),
        }
        self.set_attributes(path, At::Name(parent, name), metadata, unset, false)?;
        self.report.entries += 1;
        Ok(())
    }

    fn skip(&mut self, path: &TreePath, reason: SkipReason) {
        self.report.skipped.push(Skipped { path: path.clone(), reason });
    }

    fn write(&mut self, file: &File, path: &TreePath, content: &Content) -> Result<(), UnpackError> {
        if content.size() == 0 {
            return Ok(());
        }
        let unreadable = |source| UnpackError::Content { path: path.clone(), source };
        let unwritable = |source| UnpackError::Write { path: path.clone(), source };
        if content.is_sparse() {
            file.set_len(content.size()).map_err(unwritable)?;
        }
        let place = self.of.contents.locate(content.source()).map_err(unreadable)?;
        for extent in content.extents() {
            let mut done = 0;
            while done < extent.length {
                let most = usize::try_from(extent.length - done).unwrap_or(usize::MAX).min(self.buffer.len());
                let offset = extent.physical + done;
                let count = place.read(content.source(), &mut self.buffer[..most], offset, extent.length - done);
                let count = count.map_err(unreadable)?;
                file.write_all_at(&self.buffer[..count], extent.logical + done).map_err(unwritable)?;
                done += count as u64;
            }
        }
        place.check_unchanged().map_err(unreadable)?;
        self.report.bytes += content.stored_size();
        Ok(())
    }

    /// Owner, mode, extended attributes, times: in this order.
    fn set_attributes(
        &mut self,
        path: &TreePath,
        at: At<'_>,
        metadata: &Metadata,
        mut set_mode: bool,
        owner_unknown: bool,
    ) -> Result<(), UnpackError> {
        let failed = |source| UnpackError::Attributes { path: path.clone(), source };
        let defaults = self.of.defaults;
        if owner_unknown || (metadata.uid, metadata.gid) != (defaults.uid, defaults.gid) {
            if self.of.options.owners == Owners::One {
                if (metadata.uid, metadata.gid) != (defaults.uid, defaults.gid) {
                    self.report.owners_skipped += 1;
                    // Stays with the file whatever it is named later, and goes with it. Links and devices take none.
                    if at.set_xattr(OWNER_MARK, &owner_mark(metadata.uid, metadata.gid)).is_err() {
                        self.skip(path, SkipReason::Xattr { name: OWNER_MARK.into() });
                    }
                }
            } else {
                at.chown(metadata.uid, metadata.gid).map_err(|source| self.of.owner_error(path, metadata, source))?;
                // The kernel takes set-id bits away with the owner; without them the mode stays.
                set_mode |= metadata.mode & 0o6000 != 0;
            }
        }
        if set_mode {
            at.chmod(metadata.mode).map_err(failed)?;
        }
        for (key, value) in &metadata.xattrs {
            if is_overlay_xattr(key) || is_own_xattr(key) {
                self.skip(path, SkipReason::OverlayXattr { name: key.clone() });
                continue;
            }
            match at.set_xattr(key, value) {
                Ok(()) => {}
                // An access list of users that do not exist here is invalid to the kernel.
                Err(error)
                    if error.is_denied()
                        || error.is_unsupported()
                        || error.errno() == Errno::INVAL && key.starts_with(b"system.posix_acl_") =>
                {
                    self.skip(path, SkipReason::Xattr { name: key.clone() });
                }
                Err(error) => return Err(failed(error)),
            }
        }
        at.set_times(time_of(metadata.mtime)).map_err(failed)
    }
}

/// A tree's time as the kernel takes it.
pub(crate) fn time_of(time: Timestamp) -> Time {
    Time { sec: time.seconds, nsec: time.nanoseconds }
}

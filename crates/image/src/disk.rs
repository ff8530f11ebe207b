//! What lies on a disk, read as entries: shared by all that look at directories.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::Arc;

use bedplate_sys::CallError;
use bedplate_sys::file::{Kind, Stat, Time};
use bedplate_sys::rooted::{Handle, Resolve, Root};
use bedplate_sys::sparse;
use bedplate_tree::{
    Content, Entry, EntryKind, Extent, Metadata, Name, PathError, Source, Timestamp, Tree, TreeError, TreePath, Xattrs,
};
use thiserror::Error;

use crate::contents::{ContentError, Stamp, Stamps};
use crate::overlay::is_overlay_xattr;
use crate::owner_mark::{OWNER_MARK, is_own_xattr, owner_of_mark};
use crate::unpack::{SkipReason, Skipped};

/// Why a directory cannot be read as a tree.
#[derive(Debug, Error)]
pub enum ScanError {
    /// The system refused to tell.
    #[error("cannot read \"{path}\"")]
    Read {
        /// What was looked at.
        path: TreePath,
        /// The call that failed.
        #[source]
        source: CallError,
    },
    /// A name that no image can hold.
    #[error("\"{directory}\" holds a name that no image can hold")]
    Name {
        /// The directory.
        directory: TreePath,
        /// What is wrong.
        #[source]
        source: PathError,
    },
    /// Neither file, directory, link, device, pipe nor socket.
    #[error("\"{path}\" is of a kind that no image can hold")]
    Kind {
        /// Where.
        path: TreePath,
    },
    /// A device 0:0, which means nothing on a disk and a removed file to an overlay.
    #[error("\"{path}\" is a device 0:0, which overlays take for a removed file: no RUN step may leave one")]
    WhiteoutDevice {
        /// Where.
        path: TreePath,
    },
    /// A file that is another one than a moment ago.
    #[error("\"{path}\" changed while it was being read")]
    Changed {
        /// The file.
        path: TreePath,
    },
    /// More entries than an image may have.
    #[error("\"{path}\" is beyond the {limit} entries that an image may have")]
    TooMany {
        /// The entry that was too much.
        path: TreePath,
        /// The limit.
        limit: usize,
    },
    /// What was read makes no tree: it changed in the meantime.
    #[error("\"{path}\" has no place among the rest: did it change while it was being read?")]
    Place {
        /// The entry.
        path: TreePath,
        /// What is in its way.
        #[source]
        source: TreeError,
    },
    /// The bytes of a file cannot be compared.
    #[error("cannot compare the bytes of a file")]
    Content(#[from] ContentError),
    /// An overlay was mounted with an option that stores changes in another form.
    #[error(
        "\"{path}\" has the attribute {attribute}: the overlay was not mounted with the options that are understood"
    )]
    OverlayFeature {
        /// Where.
        path: TreePath,
        /// The extended attribute.
        attribute: String,
    },
}

/// How owners on the disk are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DiskOwners {
    /// As they are.
    #[default]
    AsIs,
    /// There is one ID only: what was unpacked keeps its owner wherever it goes, what is new belongs to 0:0.
    ///
    /// A mark on files and directories tells the two apart. Symbolic links, devices and pipes can have none, nor
    /// files on some file systems: there, what has the place of an old one of its kind has its owner.
    /// Nothing tells that a process gave a file of another owner to root: to the kernel it is root's already.
    One,
}

/// How a root that a process worked in was prepared, so that what was not the process' doing can be told apart.
#[derive(Debug, Clone, Copy, Default)]
pub struct Prepared<'a> {
    /// How owners are to be understood.
    pub owners: DiskOwners,
    /// Mount points that were made for the process where the image had nothing, parents included.
    pub placeholders: &'a [TreePath],
    /// What could not be unpacked and must not count as removed.
    pub skipped: &'a [Skipped],
    /// Whether the names of files with several were [unpacked apart](crate::unpack::unpack_parted).
    pub parted: bool,
}

/// An inode as found.
pub(crate) struct Found {
    pub(crate) path: TreePath,
    pub(crate) stat: Stat,
}

/// Lists a directory: names in the order of their bytes, with their attributes.
pub(crate) fn list(handle: &Handle, directory: &TreePath) -> Result<Vec<(CString, Found)>, ScanError> {
    let failed = |source| ScanError::Read { path: directory.clone(), source };
    let mut names = Vec::new();
    handle.for_each_entry(|name, _, _| names.push(name.to_owned())).map_err(failed)?;
    names.sort_unstable();
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let path = Name::new(name.to_bytes())
            .and_then(|name| directory.join(&name))
            .map_err(|source| ScanError::Name { directory: directory.clone(), source })?;
        // Gone since the directory was listed: as if it had never been there.
        let Some(stat) = handle.try_stat(&*name).map_err(|source| ScanError::Read { path: path.clone(), source })?
        else {
            continue;
        };
        found.push((name, Found { path, stat }));
    }
    Ok(found)
}

/// Opens a directory of a root by its path; no link is followed.
pub(crate) fn open(root: &Root, path: &TreePath) -> Result<Handle, ScanError> {
    root.open_dir(path.as_bytes(), Resolve::NoSymlinks).map_err(|source| ScanError::Read { path: path.clone(), source })
}

/// Extended attributes that say something about this machine and not about the file: labels of its security
/// modules, integrity measurements, what its overlays keep, and our own marks.
pub(crate) fn is_of_the_machine(name: &[u8]) -> bool {
    const OF_THE_MACHINE: [&[u8]; 6] = [
        b"security.selinux",
        b"security.apparmor",
        b"security.SMACK64",
        b"security.ima",
        b"security.evm",
        b"system.nfs4_acl",
    ];
    OF_THE_MACHINE.contains(&name) || is_overlay_xattr(name) || is_own_xattr(name)
}

/// All extended attributes, and the same without those that are no business of an image.
pub(crate) fn xattrs(handle: &Handle, name: &CString, path: &TreePath) -> Result<(Xattrs, Xattrs), ScanError> {
    let all = handle.xattrs(&**name).map_err(|source| ScanError::Read { path: path.clone(), source })?;
    let (mut kept, mut others) = (Xattrs::new(), Xattrs::new());
    for (key, value) in all {
        let into = if is_of_the_machine(&key) { &mut others } else { &mut kept };
        into.insert(key.into(), value.into());
    }
    Ok((kept, others))
}

pub(crate) fn metadata(stat: &Stat, xattrs: Xattrs) -> Metadata {
    let mode = match stat.kind {
        Kind::Symlink => 0o777,
        _ => stat.mode,
    };
    Metadata { mode, uid: stat.uid, gid: stat.gid, mtime: timestamp(stat.mtime), xattrs }
}

pub(crate) fn timestamp(time: Time) -> Timestamp {
    Timestamp { seconds: time.sec, nanoseconds: time.nsec }
}

/// Reads one inode as an entry; the bytes of a file are only noted.
pub(crate) fn entry(
    handle: &Handle,
    name: &CString,
    found: &Found,
    number: u32,
    stamps: &mut Stamps,
    xattrs: Xattrs,
) -> Result<Entry, ScanError> {
    let Found { path, stat } = found;
    let failed = |source| ScanError::Read { path: path.clone(), source };
    let (major, minor) = stat.rdev;
    let kind = match stat.kind {
        Kind::Directory => EntryKind::Directory,
        Kind::Symlink => EntryKind::Symlink(handle.read_link(&**name).map_err(failed)?.into()),
        Kind::CharDevice => EntryKind::CharDevice { major, minor },
        Kind::BlockDevice => EntryKind::BlockDevice { major, minor },
        Kind::Fifo => EntryKind::Fifo,
        Kind::Socket => EntryKind::Socket,
        Kind::Regular => {
            let host_path: Arc<[u8]> = path.as_bytes().into();
            stamps.insert(host_path.clone(), Stamp::from(stat));
            let source = Source::File { root: number, path: host_path };
            EntryKind::File(content(handle, name, found, source)?)
        }
        Kind::Unknown => return Err(ScanError::Kind { path: path.clone() }),
    };
    Ok(Entry { kind, metadata: metadata(stat, xattrs) })
}

fn content(handle: &Handle, name: &CString, found: &Found, source: Source) -> Result<Content, ScanError> {
    let Found { path, stat } = found;
    // Fewer blocks than bytes: perhaps holes, perhaps compression.
    if stat.size == 0 || stat.blocks.saturating_mul(512) >= stat.size {
        return Ok(Content::dense(source, 0, stat.size));
    }
    let file = match handle.open_file(&**name) {
        Ok(file) => file,
        // Whoever wants the bytes is told; holes are no reason to fail.
        Err(_) => return Ok(Content::dense(source, 0, stat.size)),
    };
    let extents = sparse::extents(&file, stat.size).map_err(|source| ScanError::Read { path: path.clone(), source })?;
    let extents = extents
        .into_iter()
        .map(|extent| Extent { logical: extent.offset, physical: extent.offset, length: extent.length })
        .collect();
    Content::sparse(source, stat.size, extents).ok_or_else(|| ScanError::Changed { path: path.clone() })
}

/// Refuses what is too much.
pub(crate) fn bound(tree: &Tree, path: &TreePath) -> Result<(), ScanError> {
    if tree.inode_count() > bedplate_tree::MAX_INODES {
        return Err(ScanError::TooMany { path: path.clone(), limit: bedplate_tree::MAX_INODES });
    }
    Ok(())
}

/// What is known of a base whose unpacked form lacks something.
pub(crate) struct Memory<'a> {
    base: &'a Tree,
    owners: DiskOwners,
    xattrs: HashMap<&'a TreePath, Vec<&'a [u8]>>,
}

impl<'a> Memory<'a> {
    pub(crate) fn new(base: &'a Tree, prepared: &Prepared<'a>) -> Self {
        let mut xattrs: HashMap<_, Vec<_>> = HashMap::new();
        for skipped in prepared.skipped {
            if let SkipReason::Xattr { name } | SkipReason::OverlayXattr { name } = &skipped.reason {
                xattrs.entry(&skipped.path).or_default().push(&**name);
            }
        }
        Self { base, owners: prepared.owners, xattrs }
    }

    /// Gives an entry what the disk could not hold of it; `others` are its attributes that no image gets.
    pub(crate) fn complete(&self, path: &TreePath, entry: &mut Entry, others: &Xattrs) {
        let old = self
            .base
            .entry(path)
            .filter(|old| std::mem::discriminant(&old.kind) == std::mem::discriminant(&entry.kind));
        if self.owners == DiskOwners::One {
            let marked = others.get(OWNER_MARK).and_then(|value| owner_of_mark(value));
            let unmarkable =
                || path.is_root() || self.xattrs.get(path).is_some_and(|names| names.contains(&OWNER_MARK));
            let by_place = || old.filter(|_| unmarkable()).map(|old| (old.metadata.uid, old.metadata.gid));
            (entry.metadata.uid, entry.metadata.gid) = marked.or_else(by_place).unwrap_or((0, 0));
        }
        let (Some(old), Some(names)) = (old, self.xattrs.get(path)) else { return };
        for name in names {
            if let Some(value) = old.metadata.xattrs.get(*name) {
                entry.metadata.xattrs.entry((*name).into()).or_insert_with(|| value.clone());
            }
        }
    }
}

/// Takes back what was done to directories by making mount points in them: a time that changed, where
/// nothing else did.
pub(crate) fn forgive_placeholders(base: &Tree, new: &mut Tree, prepared: &Prepared<'_>) {
    for path in prepared.placeholders {
        let Some(parent) = path.parent() else { continue };
        let (Some(old), Some(id)) = (base.entry(&parent), new.lookup(&parent)) else { continue };
        let same_but_time = {
            let metadata = &new.inode(id).entry.metadata;
            old.is_directory()
                && new.inode(id).entry.is_directory()
                && Metadata { mtime: old.metadata.mtime, ..metadata.clone() } == old.metadata
        };
        if same_but_time {
            new.metadata_mut(id).mtime = old.metadata.mtime;
        }
    }
}

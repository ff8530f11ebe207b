//! A directory on a disk read as a tree: a root filesystem to import, a build context.
//!
//! Attributes are read at once, bytes later, by whoever opens a content. A file that changed in between is an
//! error that names it: see [`Stamp`](crate::contents::Stamp).

use std::collections::HashMap;
use std::ffi::CString;

use bedplate_sys::file::Kind;
use bedplate_sys::rooted::{Handle, Root};
use bedplate_tree::{Timestamp, Tree, TreePath, Xattrs};

use crate::contents::{ContentSources, Stamps};
use crate::disk::{self, Found, ScanError};

/// What becomes of a path in a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// It is taken.
    Take,
    /// It is taken, but nothing below it: a mount point.
    TakeEmpty,
    /// It is left out with all below it.
    Leave,
}

/// Decides what becomes of a path; the flag tells whether it is a directory.
pub type Chooser<'a> = &'a dyn Fn(&TreePath, bool) -> Choice;

/// How to read a directory.
#[derive(Clone, Copy, Default)]
pub struct ScanOptions<'a> {
    /// Whether directories on other file systems are taken empty.
    pub one_file_system: bool,
    /// The owner that everything gets; `None` keeps owners.
    pub owner: Option<(u32, u32)>,
    /// The time that everything gets; `None` keeps times.
    pub mtime: Option<Timestamp>,
    /// Whether extended attributes are left out. Labels of the machine's security modules always are.
    pub without_xattrs: bool,
    /// Which paths are taken; `None` takes all. Never asked about the root.
    pub choose: Option<Chooser<'a>>,
}

impl std::fmt::Debug for ScanOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScanOptions")
            .field("one_file_system", &self.one_file_system)
            .field("owner", &self.owner)
            .field("mtime", &self.mtime)
            .finish_non_exhaustive()
    }
}

/// Reads the directory `root` as a tree, whose contents `sources` can then open.
///
/// Hard links are found by device and inode number. Sockets are in the tree; layers leave them out.
///
/// # Errors
/// [`ScanError`].
pub fn scan(root: Root, sources: &mut ContentSources<'_>, options: &ScanOptions<'_>) -> Result<Tree, ScanError> {
    let number = sources.reserve();
    let mut tree = Tree::new();
    let mut stamps = Stamps::new();
    let mut links: HashMap<(u64, u64), TreePath> = HashMap::new();
    let top = TreePath::root();
    let failed = |source| ScanError::Read { path: TreePath::root(), source };
    let stat = root.handle().stat_self().map_err(failed)?;
    let device = stat.dev;
    let own = c".".to_owned();
    let found = Found { path: top.clone(), stat };
    put(&mut tree, root.handle(), &own, &found, number, &mut stamps, options)?;
    let mut pending = vec![top];
    while let Some(directory) = pending.pop() {
        let handle = disk::open(&root, &directory)?;
        for (name, found) in disk::list(&handle, &directory)? {
            let is_directory = found.stat.kind == Kind::Directory;
            let choice = options.choose.map_or(Choice::Take, |choose| choose(&found.path, is_directory));
            if choice == Choice::Leave {
                continue;
            }
            let place = |source| ScanError::Place { path: found.path.clone(), source };
            if !is_directory && found.stat.nlink > 1 {
                if let Some(target) = links.get(&(found.stat.dev, found.stat.ino)) {
                    tree.link(&found.path, target).map_err(place)?;
                    continue;
                }
                links.insert((found.stat.dev, found.stat.ino), found.path.clone());
            }
            put(&mut tree, &handle, &name, &found, number, &mut stamps, options)?;
            let elsewhere = options.one_file_system && found.stat.dev != device;
            if is_directory && choice == Choice::Take && !elsewhere {
                pending.push(found.path);
            }
        }
    }
    sources.insert_directory(number, root, stamps);
    Ok(tree)
}

fn put(
    tree: &mut Tree,
    handle: &Handle,
    name: &CString,
    found: &Found,
    number: u32,
    stamps: &mut Stamps,
    options: &ScanOptions<'_>,
) -> Result<(), ScanError> {
    let xattrs = match options.without_xattrs {
        true => Xattrs::new(),
        false => disk::xattrs(handle, name, &found.path)?.0,
    };
    let mut entry = disk::entry(handle, name, found, number, stamps, xattrs)?;
    if let Some((uid, gid)) = options.owner {
        (entry.metadata.uid, entry.metadata.gid) = (uid, gid);
    }
    if let Some(mtime) = options.mtime {
        entry.metadata.mtime = mtime;
    }
    tree.put(&found.path, entry).map_err(|source| ScanError::Place { path: found.path.clone(), source })?;
    disk::bound(tree, &found.path)
}

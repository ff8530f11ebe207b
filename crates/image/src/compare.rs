//! What a process changed in a copy, found by comparing: the way without an overlay.
//!
//! Right after a tree was unpacked the identity of each file is recorded: inode number and time of the last
//! change of the inode, which no process can set. What still has both is as it was and is not read.

use std::collections::HashMap;

use bedplate_sys::file::{Kind, Time};
use bedplate_sys::rooted::Root;
use bedplate_tree::{Difference, Tree, TreePath};

use crate::contents::{ContentSources, Contents, Stamps};
use crate::disk::{self, Memory, Prepared, ScanError};
use crate::unpack::SkipReason;
use crate::upper::is_same;

/// The clock of file systems ticks every 4 to 10 ms: a file that was changed so shortly before the
/// recording could be changed again without a trace. It is read again in any case.
const TICK_NANOSECONDS: i128 = 20_000_000;

/// The identities of all files of an unpacked tree.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    files: HashMap<TreePath, (u64, Time)>,
    newest: Option<Time>,
}

impl Recorded {
    /// Tells whether a file is surely the one that was recorded.
    fn is_unchanged(&self, path: &TreePath, ino: u64, ctime: Time) -> bool {
        let nanoseconds = |time: Time| i128::from(time.sec) * 1_000_000_000 + i128::from(time.nsec);
        let Some(newest) = self.newest else { return false };
        self.files.get(path) == Some(&(ino, ctime)) && nanoseconds(ctime) + TICK_NANOSECONDS < nanoseconds(newest)
    }
}

/// Records the identities of all files below `root`, before a process works there.
///
/// # Errors
/// [`ScanError`].
pub fn record(root: &Root) -> Result<Recorded, ScanError> {
    let mut recorded = Recorded::default();
    let mut pending = vec![TreePath::root()];
    while let Some(directory) = pending.pop() {
        let handle = disk::open(root, &directory)?;
        for (_, found) in disk::list(&handle, &directory)? {
            if found.stat.kind == Kind::Directory {
                pending.push(found.path);
                continue;
            }
            recorded.newest = recorded.newest.max(Some(found.stat.ctime));
            recorded.files.insert(found.path, (found.stat.ino, found.stat.ctime));
        }
    }
    Ok(recorded)
}

/// Compares the directory `root`, into which `base` was unpacked and in which a process worked since, with `base`.
///
/// `sources` must be able to open what `base` names; it can then open what the changes name, too.
///
/// # Errors
/// [`ScanError`].
pub fn compare(
    root: Root,
    base: &Tree,
    recorded: &Recorded,
    sources: &mut ContentSources<'_>,
    prepared: &Prepared<'_>,
) -> Result<Difference, ScanError> {
    let number = sources.reserve();
    let memory = Memory::new(base, prepared);
    let mut new = Tree::new();
    let mut stamps = Stamps::new();
    let mut links: HashMap<(u64, u64), TreePath> = HashMap::new();
    let mut single = Vec::new();
    let top = TreePath::root();
    let stat = root.handle().stat_self().map_err(|source| ScanError::Read { path: top.clone(), source })?;
    let (xattrs, others) = disk::xattrs(root.handle(), &c".".to_owned(), &top)?;
    let mut entry = bedplate_tree::Entry::directory(disk::metadata(&stat, xattrs));
    memory.complete(&top, &mut entry, &others);
    new.put(&top, entry).map_err(|source| ScanError::Place { path: top.clone(), source })?;
    let mut pending = vec![top];
    while let Some(directory) = pending.pop() {
        let handle = disk::open(&root, &directory)?;
        for (name, found) in disk::list(&handle, &directory)? {
            if prepared.placeholders.contains(&found.path) && base.lookup(&found.path).is_none() {
                continue;
            }
            let place = |source| ScanError::Place { path: found.path.clone(), source };
            // None was unpacked, and on an overlay none can be made.
            if found.stat.kind == Kind::CharDevice && found.stat.rdev == (0, 0) {
                return Err(ScanError::WhiteoutDevice { path: found.path });
            }
            let is_directory = found.stat.kind == Kind::Directory;
            if prepared.parted && found.stat.nlink == 1 && !is_directory && has_more_names(base, &found.path) {
                single.push(found.path.clone());
            }
            if !is_directory && found.stat.nlink > 1 {
                if let Some(target) = links.get(&(found.stat.dev, found.stat.ino)) {
                    new.link(&found.path, target).map_err(place)?;
                    continue;
                }
                links.insert((found.stat.dev, found.stat.ino), found.path.clone());
            }
            let old = base
                .entry(&found.path)
                .filter(|_| recorded.is_unchanged(&found.path, found.stat.ino, found.stat.ctime));
            let entry = match old {
                Some(old) => old.clone(),
                None => {
                    let (xattrs, others) = disk::xattrs(&handle, &name, &found.path)?;
                    let mut entry = disk::entry(&handle, &name, &found, number, &mut stamps, xattrs)?;
                    memory.complete(&found.path, &mut entry, &others);
                    entry
                }
            };
            new.put(&found.path, entry).map_err(place)?;
            disk::bound(&new, &found.path)?;
            if is_directory {
                pending.push(found.path);
            }
        }
    }
    restore_skipped(base, &mut new, prepared)?;
    disk::forgive_placeholders(base, &mut new, prepared);
    sources.insert_directory(number, root, stamps);
    rejoin(base, &mut new, &single, sources)?;
    let mut same = |a: &_, b: &_| sources.same(a, b);
    Ok(bedplate_tree::diff(base, &new, &mut same)?)
}

fn has_more_names(base: &Tree, path: &TreePath) -> bool {
    base.lookup(path).is_some_and(|id| base.inode(id).links() > 1)
}

/// Gives names that were unpacked apart, and whose files are as they were, one file again.
fn rejoin(base: &Tree, new: &mut Tree, single: &[TreePath], contents: &dyn Contents) -> Result<(), ScanError> {
    let mut first: HashMap<_, &TreePath> = HashMap::new();
    for path in single {
        let (Some(old), Some(now)) = (base.lookup(path), new.entry(path)) else { continue };
        if !is_same(&base.inode(old).entry, now, contents)? {
            continue;
        }
        match first.get(&old) {
            Some(target) => {
                new.link(path, target).map_err(|source| ScanError::Place { path: path.clone(), source })?;
            }
            None => {
                first.insert(old, path);
            }
        }
    }
    Ok(())
}

/// Puts what could not be unpacked, where its directory is still there and nothing took its place.
fn restore_skipped(base: &Tree, new: &mut Tree, prepared: &Prepared<'_>) -> Result<(), ScanError> {
    let mut restored: HashMap<_, TreePath> = HashMap::new();
    for skipped in prepared.skipped {
        if matches!(skipped.reason, SkipReason::Xattr { .. } | SkipReason::OverlayXattr { .. }) {
            continue;
        }
        let path = &skipped.path;
        let parent_is_there =
            path.parent().and_then(|parent| new.entry(&parent)).is_some_and(bedplate_tree::Entry::is_directory);
        let (true, None, Some(id)) = (parent_is_there, new.lookup(path), base.lookup(path)) else { continue };
        let place = |source| ScanError::Place { path: path.clone(), source };
        match restored.get(&id) {
            Some(target) => new.link(path, target).map_err(place)?,
            None => new.put(path, base.inode(id).entry.clone()).map_err(place)?,
        };
        restored.entry(id).or_insert_with(|| path.clone());
    }
    Ok(())
}

//! What a process changed, read from the upper side of its overlay.
//!
//! ```text
//! base tree --clone--> hide (whiteouts, opaque) --> put what the upper side holds --> new tree
//!      +--------------------------- diff ---------------------------------------------->+
//! ```
//!
//! The result is [`bedplate_tree::diff`] of two states, so that copy-ups without a change vanish and the layer is the
//! one that comparing copies finds. Hard links are those of the upper side: `st_nlink` of lower files lies.

use std::collections::HashMap;

use bedplate_sys::file::{self, Kind};
use bedplate_sys::rooted::{Handle, Root};
use bedplate_tree::{Difference, Entry, EntryKind, Metadata, Tree, TreePath, Xattrs};

use crate::contents::{ContentSources, Contents, Stamps};
use crate::disk::{self, Memory, Prepared, ScanError};
use crate::overlay::Marks;
use crate::unpack::time_of;

/// Gives a fresh upper directory the attributes of the root that it will cover. Without it, a root that nobody
/// touched would count as changed.
///
/// # Errors
/// [`ScanError::Read`]. An owner that cannot be set is none: see [`DiskOwners::One`](crate::disk::DiskOwners::One).
pub fn prepare_upper(upper: &Handle, base: &Tree) -> Result<(), ScanError> {
    let failed = |source| ScanError::Read { path: TreePath::root(), source };
    let metadata = &base.inode(base.root()).entry.metadata;
    let stat = upper.stat_self().map_err(failed)?;
    if (stat.uid, stat.gid) != (metadata.uid, metadata.gid) {
        // With one ID only it stays as it is, and is read so.
        let _ = file::chown(upper, metadata.uid, metadata.gid);
    }
    file::chmod(upper, metadata.mode).map_err(failed)?;
    for (key, value) in &metadata.xattrs {
        // What cannot be set here could not be set on the lower root either.
        let _ = file::set_xattr(upper, key, value);
    }
    let time = time_of(metadata.mtime);
    file::set_times(upper, time, time).map_err(failed)
}

/// Reads the upper side of an overlay over `base` as changes, whose contents `sources` can then open.
///
/// `sources` must be able to open what `base` names, too: a file that was copied up is compared with what it was.
///
/// # Errors
/// [`ScanError`].
pub fn read_upper(
    upper: Root,
    base: &Tree,
    sources: &mut ContentSources<'_>,
    marks: Marks,
    prepared: &Prepared<'_>,
) -> Result<Difference, ScanError> {
    let number = sources.reserve();
    let memory = Memory::new(base, prepared);
    let mut reading =
        Reading { base, new: base.clone(), number, marks, memory, prepared, stamps: Stamps::new(), files: Vec::new() };
    reading.walk(&upper)?;
    let Reading { mut new, stamps, files, .. } = reading;
    sources.insert_directory(number, upper, stamps);
    for group in files {
        put_file(&mut new, &group, sources)?;
    }
    disk::forgive_placeholders(base, &mut new, prepared);
    let mut same = |a: &_, b: &_| sources.same(a, b);
    Ok(bedplate_tree::diff(base, &new, &mut same)?)
}

/// A file with all its names.
struct Group {
    names: Vec<TreePath>,
    entry: Entry,
}

struct Reading<'a> {
    base: &'a Tree,
    new: Tree,
    number: u32,
    marks: Marks,
    memory: Memory<'a>,
    prepared: &'a Prepared<'a>,
    stamps: Stamps,
    files: Vec<Group>,
}

impl Reading<'_> {
    fn walk(&mut self, upper: &Root) -> Result<(), ScanError> {
        let mut links: HashMap<(u64, u64), usize> = HashMap::new();
        let root = TreePath::root();
        let failed = |source| ScanError::Read { path: TreePath::root(), source };
        let stat = upper.handle().stat_self().map_err(failed)?;
        let (kept, others) = disk::xattrs(upper.handle(), &c".".to_owned(), &root)?;
        let mut pending = vec![(root.clone(), self.directory(&root, disk::metadata(&stat, kept), &others)?)];
        while let Some((directory, opacity)) = pending.pop() {
            let handle = disk::open(upper, &directory)?;
            for (name, found) in disk::list(&handle, &directory)? {
                let is_placeholder = self.prepared.placeholders.contains(&found.path);
                if is_placeholder && self.base.lookup(&found.path).is_none() {
                    continue;
                }
                if found.stat.kind == Kind::CharDevice && found.stat.rdev == (0, 0) {
                    self.new.remove(&found.path);
                    continue;
                }
                let (kept, others) = disk::xattrs(&handle, &name, &found.path)?;
                self.understood(&found.path, &others)?;
                if opacity == Opacity::XattrWhiteouts
                    && found.stat.kind == Kind::Regular
                    && others.contains_key(self.marks.whiteout())
                {
                    self.new.remove(&found.path);
                    continue;
                }
                if found.stat.kind == Kind::Directory {
                    let opacity = self.directory(&found.path, disk::metadata(&found.stat, kept), &others)?;
                    pending.push((found.path, opacity));
                    continue;
                }
                let key = (found.stat.dev, found.stat.ino);
                if found.stat.nlink > 1
                    && let Some(group) = links.get(&key).and_then(|&at| self.files.get_mut(at))
                {
                    group.names.push(found.path);
                    continue;
                }
                let mut entry = disk::entry(&handle, &name, &found, self.number, &mut self.stamps, kept)?;
                self.memory.complete(&found.path, &mut entry, &others);
                links.insert(key, self.files.len());
                self.files.push(Group { names: vec![found.path], entry });
            }
        }
        Ok(())
    }

    /// Puts a directory of the upper side and hides what it hides.
    fn directory(&mut self, path: &TreePath, metadata: Metadata, others: &Xattrs) -> Result<Opacity, ScanError> {
        let opacity = match others.get(self.marks.opaque()).map(|value| &**value) {
            Some(b"y") => Opacity::Opaque,
            Some(b"x") => Opacity::XattrWhiteouts,
            _ => Opacity::None,
        };
        if opacity == Opacity::Opaque {
            self.new.clear(path);
        }
        let mut entry = Entry::directory(metadata);
        self.memory.complete(path, &mut entry, others);
        self.new.put(path, entry).map_err(|source| ScanError::Place { path: path.clone(), source })?;
        disk::bound(&self.new, path)?;
        Ok(opacity)
    }

    /// Refuses the marks of features that we never switch on: their files lack what they seem to hold.
    fn understood(&self, path: &TreePath, others: &Xattrs) -> Result<(), ScanError> {
        for feature in ["metacopy", "redirect"] {
            for namespace in ["trusted", "user"] {
                let attribute = format!("{namespace}.overlay.{feature}");
                if others.contains_key(attribute.as_bytes()) {
                    return Err(ScanError::OverlayFeature { path: path.clone(), attribute });
                }
            }
        }
        Ok(())
    }
}

/// What a directory of the upper side says about what is below it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opacity {
    None,
    Opaque,
    /// Not opaque; whiteouts in it may be empty files with an attribute.
    XattrWhiteouts,
}

/// Puts a file under all its names, unless it is there already as it is: a copy-up without a change leaves the
/// lower file, and the names that it shares with others, alone.
fn put_file(new: &mut Tree, group: &Group, contents: &dyn Contents) -> Result<(), ScanError> {
    let Some((first, others)) = group.names.split_first() else { return Ok(()) };
    if let Some(id) = new.lookup(first)
        && others.iter().all(|name| new.lookup(name) == Some(id))
        && is_same(&new.inode(id).entry, &group.entry, contents)?
    {
        return Ok(());
    }
    let place = |path: &TreePath| {
        let path = path.clone();
        move |source| ScanError::Place { path, source }
    };
    new.put(first, group.entry.clone()).map_err(place(first))?;
    for name in others {
        new.link(name, first).map_err(place(name))?;
    }
    disk::bound(new, first)
}

pub(crate) fn is_same(old: &Entry, new: &Entry, contents: &dyn Contents) -> Result<bool, ScanError> {
    match (&old.kind, &new.kind) {
        (EntryKind::File(a), EntryKind::File(b)) => Ok(old.metadata == new.metadata && contents.same(a, b)?),
        _ => Ok(old.is_like(new)),
    }
}

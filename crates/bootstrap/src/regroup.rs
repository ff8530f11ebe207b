//! Files with several names, as a script saw them and as an overlay parted them.
//!
//! An overlay copies a file up by one name: a `chmod` of one of two hard links leaves the other as it was, where on any
//! other file system both would have changed. What was changed in place keeps its bytes and its time, and so can be told
//! from a file that was replaced.

use std::collections::BTreeMap;

use bedplate_image::Contents;
use bedplate_image::disk::ScanError;
use bedplate_tree::{Entry, EntryKind, InodeId, Tree, TreePath};

use crate::root_error::RootError;

/// Gives what was done to one name of a file in `before` to all its names in `after`: what scripts made of it, read from
/// an overlay.
pub(crate) fn regroup(before: &Tree, after: &mut Tree, contents: &dyn Contents) -> Result<(), RootError> {
    let mut files: BTreeMap<usize, (InodeId, Vec<TreePath>)> = BTreeMap::new();
    for (path, id) in before.walk() {
        if before.inode(id).links() > 1 {
            files.entry(id.index()).or_insert_with(|| (id, Vec::new())).1.push(path);
        }
    }
    for (id, names) in files.into_values() {
        let old = &before.inode(id).entry;
        let (mut changed, mut kept): (Option<(InodeId, TreePath)>, Vec<TreePath>) = (None, Vec::new());
        let mut is_clear = true;
        for name in names {
            let Some(now) = after.lookup(&name) else { continue };
            let entry = &after.inode(now).entry;
            if entry == old {
                kept.push(name);
            } else if is_changed_in_place(old, entry, contents)? {
                // Two names that were changed apart from each other are two files by now.
                is_clear &= changed.as_ref().is_none_or(|(known, _)| *known == now);
                changed = Some((now, name));
            }
        }
        if let (true, Some((_, changed))) = (is_clear, changed) {
            for name in kept {
                after.link(&name, &changed).map_err(|source| ScanError::Place { path: name.clone(), source })?;
            }
        }
    }
    Ok(())
}

/// Whether only attributes differ, and the time is the old one: what `chmod`, `chown` and `setcap` leave.
fn is_changed_in_place(old: &Entry, new: &Entry, contents: &dyn Contents) -> Result<bool, ScanError> {
    match (&old.kind, &new.kind) {
        (EntryKind::File(a), EntryKind::File(b)) if old.metadata.mtime == new.metadata.mtime => {
            Ok(contents.same(a, b)?)
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedplate_image::ContentSources;
    use bedplate_tree::{Content, Metadata, Timestamp};

    fn file(bytes: &[u8], mode: u32, second: i64) -> Entry {
        let metadata = Metadata { mode, mtime: Timestamp::from_seconds(second), ..Metadata::default() };
        Entry { kind: EntryKind::File(Content::from_bytes(bytes.to_vec())), metadata }
    }

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).expect("a path")
    }

    fn before() -> Tree {
        let mut tree = Tree::new();
        tree.put(&path("a"), file(b"x", 0o755, 1)).unwrap();
        tree.link(&path("b"), &path("a")).unwrap();
        tree.link(&path("c"), &path("a")).unwrap();
        tree
    }

    #[test]
    fn a_change_in_place_is_a_change_of_all_names() {
        // what b became | whether a and c follow
        for (entry, follow) in [
            (file(b"x", 0o4755, 1), true),
            // Replaced: another time, other bytes.
            (file(b"x", 0o4755, 2), false),
            (file(b"y", 0o4755, 1), false),
        ] {
            let before = before();
            let mut after = before.clone();
            after.put(&path("b"), entry.clone()).unwrap();
            regroup(&before, &mut after, &ContentSources::new()).unwrap();
            let id = |name: &str| after.lookup(&path(name)).unwrap();
            assert_eq!(id("a") == id("b"), follow, "{entry:?}");
            assert_eq!(id("a"), id("c"), "{entry:?}");
        }
    }

    #[test]
    fn names_that_went_their_own_ways_stay_apart() {
        let before = before();
        let mut after = before.clone();
        after.put(&path("a"), file(b"x", 0o700, 1)).unwrap();
        after.put(&path("b"), file(b"x", 0o711, 1)).unwrap();
        regroup(&before, &mut after, &ContentSources::new()).unwrap();
        let mode = |name: &str| after.entry(&path(name)).unwrap().metadata.mode;
        assert_eq!((mode("a"), mode("b"), mode("c")), (0o700, 0o711, 0o755));
    }
}

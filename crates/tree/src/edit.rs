//! Changes that touch many entries at once: times clamped, paths left out, subtrees copied.

use std::collections::HashMap;

use crate::{Action, Delta, Entry, InodeId, Timestamp, Tree, TreeError, TreePath};

impl Delta {
    /// Sets every later time to `epoch`: how `SOURCE_DATE_EPOCH` is applied. Attributes of directories that a
    /// change only passes through are clamped, too.
    pub fn clamp(&mut self, epoch: Timestamp) {
        for change in &mut self.changes {
            if let Action::Put(entry) = &mut change.action {
                entry.metadata.mtime = entry.metadata.mtime.clamp_to(epoch);
            }
        }
    }

    /// The newest time of any entry; `None` without entries.
    #[must_use]
    pub fn newest_mtime(&self) -> Option<Timestamp> {
        let entries = self.changes.iter().filter_map(|change| match &change.action {
            Action::Put(entry) => Some(entry.metadata.mtime),
            _ => None,
        });
        entries.max()
    }
}

impl Tree {
    /// Sets every later time to `epoch`.
    pub fn clamp(&mut self, epoch: Timestamp) {
        let ids: Vec<InodeId> = self.walk().map(|(_, id)| id).collect();
        for id in ids {
            let metadata = self.metadata_mut(id);
            metadata.mtime = metadata.mtime.clamp_to(epoch);
        }
    }

    /// Keeps what `keep` says, and removes all else, directories with all that they hold. The root always stays.
    ///
    /// A directory is asked about before its children; below a removed one nothing is asked. Returns how
    /// many paths were removed by name.
    pub fn retain(&mut self, mut keep: impl FnMut(&TreePath, &Entry) -> bool) -> usize {
        let mut gone = Vec::new();
        let mut pending = vec![(TreePath::root(), self.root())];
        while let Some((path, id)) = pending.pop() {
            if !path.is_root() && !keep(&path, &self.inode(id).entry) {
                gone.push(path);
                continue;
            }
            pending.extend(self.inode(id).children().iter().rev().map(|(name, &child)| (path.child(name), child)));
        }
        for path in &gone {
            self.remove(path);
        }
        gone.len()
    }

    /// Copies what `from` has at `path`, with all below it, to `at` in this tree.
    ///
    /// Every entry goes through `edit` first, with its path in *this* tree: it may change attributes, or return
    /// `false` to leave the entry out with all below it. Directories over directories keep their children, anything
    /// else replaces what is there; symbolic links are not followed. Hard links among the copied stay hard links.
    /// Nothing happens where `from` has nothing at `path`. Returns how many entries were put.
    ///
    /// # Errors
    /// As [`Tree::put`]; [`TreeError::Path`] where a path grows too long.
    pub fn graft(
        &mut self,
        at: &TreePath,
        from: &Tree,
        path: &TreePath,
        mut edit: impl FnMut(&TreePath, &mut Entry) -> bool,
    ) -> Result<usize, TreeError> {
        let Some(id) = from.lookup(path) else { return Ok(0) };
        let mut copied: HashMap<InodeId, TreePath> = HashMap::new();
        let mut pending = vec![(at.clone(), id)];
        let mut count = 0;
        while let Some((path, id)) = pending.pop() {
            let inode = from.inode(id);
            match copied.get(&id) {
                Some(target) => {
                    self.link(&path, target)?;
                }
                None => {
                    let mut entry = inode.entry.clone();
                    if !edit(&path, &mut entry) {
                        continue;
                    }
                    self.put(&path, entry)?;
                    if inode.links() > 1 {
                        copied.insert(id, path.clone());
                    }
                }
            }
            count += 1;
            for (name, &child) in inode.children().iter().rev() {
                let child_path = path.join(name).map_err(|source| TreeError::Path { path: path.clone(), source })?;
                pending.push((child_path, child));
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Content, Metadata};

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    fn file(mtime: i64) -> Entry {
        let metadata = Metadata { mode: 0o644, mtime: Timestamp::from_seconds(mtime), ..Metadata::default() };
        Entry::file(Content::from_bytes(*b"x"), metadata)
    }

    fn names(tree: &Tree) -> Vec<String> {
        tree.walk().skip(1).map(|(path, _)| path.to_string()).collect()
    }

    #[test]
    fn clamping_touches_only_what_is_newer() {
        let mut tree = Tree::new();
        tree.put(&path("old"), file(10)).unwrap();
        tree.put(&path("new"), file(100)).unwrap();
        tree.clamp(Timestamp::from_seconds(50));
        assert_eq!(tree.entry(&path("old")).unwrap().metadata.mtime.seconds, 10);
        assert_eq!(tree.entry(&path("new")).unwrap().metadata.mtime.seconds, 50);
    }

    #[test]
    fn what_is_not_kept_goes_with_all_below() {
        let mut tree = Tree::new();
        for name in ["a/b/c", "a/d", "e"] {
            tree.put(&path(name), file(0)).unwrap();
        }
        assert_eq!(tree.retain(|path, _| path.file_name() != Some(b"b")), 1);
        assert_eq!(names(&tree), ["/a", "/a/d", "/e"]);
    }

    #[test]
    fn grafting_keeps_links_and_edits_entries() {
        let mut from = Tree::new();
        from.put(&path("s/a"), file(1)).unwrap();
        from.link(&path("s/b"), &path("s/a")).unwrap();
        from.put(&path("s/skip/x"), file(1)).unwrap();
        let mut tree = Tree::new();
        tree.put(&path("t/old"), file(1)).unwrap();
        let count = tree
            .graft(&path("t"), &from, &path("s"), |path, entry| {
                entry.metadata.uid = 7;
                path.file_name() != Some(b"skip")
            })
            .unwrap();
        assert_eq!(count, 3);
        assert_eq!(names(&tree), ["/t", "/t/a", "/t/b", "/t/old"]);
        assert_eq!(tree.lookup(&path("t/a")), tree.lookup(&path("t/b")));
        assert_eq!(tree.entry(&path("t/a")).unwrap().metadata.uid, 7);
        assert_eq!(tree.graft(&path("x"), &from, &path("nothing"), |_, _| true), Ok(0));
        // A single file, to the root's own place: refused.
        assert_eq!(tree.graft(&TreePath::root(), &from, &path("s/a"), |_, _| true), Err(TreeError::Root));
    }
}

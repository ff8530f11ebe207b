//! The state of a root filesystem: directories, inodes, and hard links by identity.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::{Entry, EntryKind, Metadata, Name, PathError, Timestamp, TreePath};

/// How many symbolic links one look-up may follow: as Linux's `MAXSYMLINKS`.
pub const MAX_SYMLINKS: usize = 40;

/// An inode of one tree. Two paths with the same one are hard links to one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InodeId(u32);

/// An entry with what it holds.
#[derive(Debug, Clone)]
pub struct Inode {
    /// Its kind and attributes.
    pub entry: Entry,
    children: BTreeMap<Name, InodeId>,
    links: u32,
}

impl Inode {
    /// What a directory holds, in the order of the names' bytes; empty for everything else.
    #[must_use]
    pub fn children(&self) -> &BTreeMap<Name, InodeId> {
        &self.children
    }

    /// How many paths lead to it. A directory has one.
    #[must_use]
    pub fn links(&self) -> u32 {
        self.links
    }
}

/// Why a tree cannot be changed or looked into as asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TreeError {
    /// The root can be nothing but a directory, and cannot be removed.
    #[error("the root of a tree can only be a directory")]
    Root,
    /// A component on the way is not a directory.
    #[error("{path}: {found} in the place of a directory")]
    NotADirectory {
        /// The component.
        path: TreePath,
        /// What it is instead.
        found: &'static str,
    },
    /// Nothing is there.
    #[error("{path}: no such file or directory")]
    NotFound {
        /// The path looked for.
        path: TreePath,
    },
    /// A hard link to a directory.
    #[error("{path}: a hard link to a directory ({target})")]
    LinkToDirectory {
        /// The new name.
        path: TreePath,
        /// The directory.
        target: TreePath,
    },
    /// More symbolic links than [`MAX_SYMLINKS`] on the way.
    #[error("{path}: too many levels of symbolic links")]
    Loop {
        /// The path looked for.
        path: TreePath,
    },
    /// A symbolic link leads to a path that no tree can hold.
    #[error("{path}: {source}")]
    Path {
        /// The path looked for.
        path: TreePath,
        /// What is wrong with where it leads.
        source: PathError,
    },
}

/// A root filesystem: what a set of layers amounts to.
#[derive(Debug, Clone)]
pub struct Tree {
    // Inodes are never moved; one that nothing links to any more stays, unreachable, until the tree is dropped.
    inodes: Vec<Inode>,
}

/// Two trees are equal where they have the same paths with the same entries, hard-linked alike.
impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        let mut counterpart = std::collections::HashMap::new();
        let mut theirs = other.walk();
        let all = self.walk().all(|(path, id)| {
            let Some((other_path, other_id)) = theirs.next() else { return false };
            let (inode, other_inode) = (self.inode(id), other.inode(other_id));
            path == other_path
                && inode.entry == other_inode.entry
                && inode.links == other_inode.links
                && (inode.links < 2 || *counterpart.entry(id).or_insert(other_id) == other_id)
        });
        all && theirs.next().is_none()
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// An empty root directory: 0755, 0:0, at second 0.
    #[must_use]
    pub fn new() -> Self {
        let root = Entry::directory(Metadata::implied_directory(Timestamp::ZERO));
        Self { inodes: vec![Inode { entry: root, children: BTreeMap::new(), links: 1 }] }
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> InodeId {
        InodeId(0)
    }

    /// The inode of an identity that this tree gave out.
    ///
    /// # Panics
    /// Where `id` comes from another, larger tree.
    #[must_use]
    pub fn inode(&self, id: InodeId) -> &Inode {
        &self.inodes[id.0 as usize]
    }

    /// The attributes of an inode, to be changed in place.
    ///
    /// # Panics
    /// As [`Tree::inode`].
    pub fn metadata_mut(&mut self, id: InodeId) -> &mut Metadata {
        &mut self.inodes[id.0 as usize].entry.metadata
    }

    /// What is at `path`; symbolic links are not followed.
    #[must_use]
    pub fn lookup(&self, path: &TreePath) -> Option<InodeId> {
        path.components().try_fold(self.root(), |dir, name| self.inode(dir).children.get(name).copied())
    }

    /// The entry at `path`; symbolic links are not followed.
    #[must_use]
    pub fn entry(&self, path: &TreePath) -> Option<&Entry> {
        self.lookup(path).map(|id| &self.inode(id).entry)
    }

    /// Follows symbolic links inside the tree, as a process with this root would.
    ///
    /// Returns the path without links on the way and what is there; components that do not exist are kept as
    /// they are, so that the result tells where a new file would be made. The last component is followed, too,
    /// if `follow_last`. An absolute target begins at this tree's root; `..` never leaves it.
    ///
    /// # Errors
    /// [`TreeError::Loop`], [`TreeError::NotADirectory`] where a component on the way is a file, [`TreeError::Path`].
    pub fn resolve(&self, path: &TreePath, follow_last: bool) -> Result<(TreePath, Option<InodeId>), TreeError> {
        let mut pending: Vec<Box<[u8]>> = path.components().rev().map(Into::into).collect();
        let mut at = TreePath::root();
        let mut here = Some(self.root());
        let mut followed = 0;
        while let Some(part) = pending.pop() {
            match &*part {
                b"" | b"." => continue,
                b".." => {
                    at = at.parent().unwrap_or_default();
                    here = self.lookup(&at);
                    continue;
                }
                _ => {}
            }
            if let Some(id) = here
                && !self.inode(id).entry.is_directory()
            {
                return Err(TreeError::NotADirectory { path: at, found: self.inode(id).entry.kind.describe() });
            }
            let name = Name::new(&part).map_err(|source| TreeError::Path { path: path.clone(), source })?;
            let child = here.and_then(|id| self.inode(id).children.get(&name).copied());
            if let Some(id) = child
                && let EntryKind::Symlink(target) = &self.inode(id).entry.kind
                && (follow_last || !pending.is_empty())
            {
                followed += 1;
                if followed > MAX_SYMLINKS {
                    return Err(TreeError::Loop { path: path.clone() });
                }
                if target.first() == Some(&b'/') {
                    at = TreePath::root();
                    here = Some(self.root());
                }
                pending.extend(target.split(|&b| b == b'/').rev().map(Into::into));
                continue;
            }
            at = at.join(&name).map_err(|source| TreeError::Path { path: path.clone(), source })?;
            here = child;
        }
        Ok((at, here))
    }

    /// Puts `entry` at `path`: a directory over a directory keeps its children and takes the attributes, anything
    /// else replaces what was there with all below it. Missing parents are made: 0755, 0:0, at the entry's mtime.
    ///
    /// # Errors
    /// [`TreeError::Root`] for a root that is no directory; [`TreeError::NotADirectory`] where a parent is something else
    /// (symbolic links are not followed: resolve the path first).
    pub fn put(&mut self, path: &TreePath, entry: Entry) -> Result<InodeId, TreeError> {
        let Some((parent, name)) = self.make_parents(path, entry.metadata.mtime)? else {
            if !entry.is_directory() {
                return Err(TreeError::Root);
            }
            self.inodes[0].entry = entry;
            return Ok(self.root());
        };
        if let Some(&old) = self.inode(parent).children.get(&name) {
            if entry.is_directory() && self.inode(old).entry.is_directory() {
                self.inodes[old.0 as usize].entry = entry;
                return Ok(old);
            }
            self.unlink(parent, &name);
        }
        let id = self.allocate(entry);
        self.inodes[parent.0 as usize].children.insert(name, id);
        Ok(id)
    }

    /// Makes `path` another name of the file at `target`, replacing what was at `path`.
    ///
    /// # Errors
    /// [`TreeError::NotFound`] without a target, [`TreeError::LinkToDirectory`], and as [`Tree::put`].
    pub fn link(&mut self, path: &TreePath, target: &TreePath) -> Result<InodeId, TreeError> {
        let id = self.lookup(target).ok_or_else(|| TreeError::NotFound { path: target.clone() })?;
        if self.inode(id).entry.is_directory() {
            return Err(TreeError::LinkToDirectory { path: path.clone(), target: target.clone() });
        }
        let mtime = self.inode(id).entry.metadata.mtime;
        let (parent, name) = self.make_parents(path, mtime)?.ok_or(TreeError::Root)?;
        if self.inode(parent).children.get(&name) == Some(&id) {
            return Ok(id);
        }
        self.unlink(parent, &name);
        // `path` may have been a directory that held the target: then the target is gone with it.
        if self.lookup(target) != Some(id) {
            return Err(TreeError::NotFound { path: target.clone() });
        }
        self.inodes[id.0 as usize].links += 1;
        self.inodes[parent.0 as usize].children.insert(name, id);
        Ok(id)
    }

    /// Removes `path` with all below it; tells whether something was there. The root is only emptied.
    pub fn remove(&mut self, path: &TreePath) -> bool {
        let Some(name) = path.file_name() else {
            return self.clear(path);
        };
        let Some(parent) = path.parent().and_then(|parent| self.lookup(&parent)) else { return false };
        match Name::new(name) {
            Ok(name) => self.unlink(parent, &name),
            Err(_) => false,
        }
    }

    /// Removes all that the directory `path` holds; tells whether it held something.
    pub fn clear(&mut self, path: &TreePath) -> bool {
        let Some(dir) = self.lookup(path) else { return false };
        let names: Vec<Name> = self.inode(dir).children.keys().cloned().collect();
        for name in &names {
            self.unlink(dir, name);
        }
        !names.is_empty()
    }

    /// All paths with their inodes, the root first, every directory before what it holds, names in the order of their bytes.
    #[must_use]
    pub fn walk(&self) -> Walk<'_> {
        Walk { tree: self, pending: vec![(TreePath::root(), self.root())] }
    }

    /// The same below and with `path`; nothing where nothing is there.
    #[must_use]
    pub fn walk_at(&self, path: &TreePath) -> Walk<'_> {
        Walk { tree: self, pending: self.lookup(path).map(|id| (path.clone(), id)).into_iter().collect() }
    }

    /// An upper bound of identities given out so far: every `InodeId` of this tree is a smaller [`InodeId::index`].
    #[must_use]
    pub fn inode_count(&self) -> usize {
        self.inodes.len()
    }

    fn allocate(&mut self, entry: Entry) -> InodeId {
        let id = u32::try_from(self.inodes.len()).expect("an archive's entry count is bounded far below 2^32");
        self.inodes.push(Inode { entry, children: BTreeMap::new(), links: 1 });
        InodeId(id)
    }

    /// The directory of `path`, made with all its parents where it is missing, and the name in it; `None` for the root.
    fn make_parents(&mut self, path: &TreePath, mtime: Timestamp) -> Result<Option<(InodeId, Name)>, TreeError> {
        let mut components: Vec<&[u8]> = path.components().collect();
        let Some(last) = components.pop() else { return Ok(None) };
        let as_name = |part| Name::new(part).map_err(|source| TreeError::Path { path: path.clone(), source });
        let mut dir = self.root();
        for (depth, part) in components.iter().enumerate() {
            dir = match self.inode(dir).children.get(*part) {
                Some(&child) => child,
                None => {
                    let id = self.allocate(Entry::directory(Metadata::implied_directory(mtime)));
                    self.inodes[dir.0 as usize].children.insert(as_name(part)?, id);
                    id
                }
            };
            let entry = &self.inode(dir).entry;
            if !entry.is_directory() {
                let path = TreePath::parse(&components[..=depth].join(&b'/'))
                    .map_err(|source| TreeError::Path { path: path.clone(), source })?;
                return Err(TreeError::NotADirectory { path, found: entry.kind.describe() });
            }
        }
        Ok(Some((dir, as_name(last)?)))
    }

    fn unlink(&mut self, parent: InodeId, name: &Name) -> bool {
        let Some(id) = self.inodes[parent.0 as usize].children.remove(name) else { return false };
        // Iterative: the depth of a tree is bounded, but not by the size of a thread's stack.
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            let inode = &mut self.inodes[id.0 as usize];
            inode.links = inode.links.saturating_sub(1);
            pending.extend(std::mem::take(&mut inode.children).into_values());
        }
        true
    }
}

impl InodeId {
    /// A small number, unique in its tree, for side tables.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The paths of a tree in order: see [`Tree::walk`].
#[derive(Debug)]
pub struct Walk<'a> {
    tree: &'a Tree,
    pending: Vec<(TreePath, InodeId)>,
}

impl Iterator for Walk<'_> {
    type Item = (TreePath, InodeId);

    fn next(&mut self) -> Option<Self::Item> {
        let (path, id) = self.pending.pop()?;
        let children = self.tree.inode(id).children.iter().rev();
        self.pending.extend(children.map(|(name, &child)| (path.child(name), child)));
        Some((path, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Content;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    fn file(bytes: &'static [u8]) -> Entry {
        Entry::file(Content::from_bytes(bytes), Metadata { mode: 0o644, ..Metadata::default() })
    }

    fn symlink(target: &str) -> Entry {
        Entry {
            kind: EntryKind::Symlink(target.as_bytes().into()),
            metadata: Metadata { mode: 0o777, ..Metadata::default() },
        }
    }

    fn listing(tree: &Tree) -> Vec<String> {
        tree.walk().map(|(path, id)| format!("{path} {}", tree.inode(id).links())).collect()
    }

    #[test]
    fn parents_are_made_and_the_walk_is_sorted() {
        let mut tree = Tree::new();
        tree.put(&path("b/c"), file(b"1")).unwrap();
        tree.put(&path("b-a"), file(b"1")).unwrap();
        tree.put(&path("a"), file(b"1")).unwrap();
        assert_eq!(listing(&tree), ["/ 1", "/a 1", "/b 1", "/b/c 1", "/b-a 1"]);
        assert_eq!(tree.entry(&path("b")).unwrap().metadata.mode, 0o755);
    }

    #[test]
    fn a_directory_over_a_directory_keeps_its_children() {
        let mut tree = Tree::new();
        tree.put(&path("d/f"), file(b"1")).unwrap();
        tree.put(&path("d"), Entry::directory(Metadata { mode: 0o700, ..Metadata::default() })).unwrap();
        assert!(tree.lookup(&path("d/f")).is_some());
        assert_eq!(tree.entry(&path("d")).unwrap().metadata.mode, 0o700);
        tree.put(&path("d"), file(b"2")).unwrap();
        assert!(tree.lookup(&path("d/f")).is_none());
        assert!(matches!(tree.put(&path("d/f"), file(b"3")), Err(TreeError::NotADirectory { .. })));
    }

    #[test]
    fn links_share_an_inode_until_one_is_replaced() {
        let mut tree = Tree::new();
        tree.put(&path("a"), file(b"1")).unwrap();
        tree.link(&path("d/b"), &path("a")).unwrap();
        assert_eq!(tree.lookup(&path("a")), tree.lookup(&path("d/b")));
        assert_eq!(listing(&tree), ["/ 1", "/a 2", "/d 1", "/d/b 2"]);
        tree.put(&path("a"), file(b"2")).unwrap();
        assert_eq!(listing(&tree), ["/ 1", "/a 1", "/d 1", "/d/b 1"]);
        assert!(matches!(tree.link(&path("x"), &path("d")), Err(TreeError::LinkToDirectory { .. })));
        assert!(matches!(tree.link(&path("x"), &path("nothing")), Err(TreeError::NotFound { .. })));
        // A link over the directory that holds its own target leaves nothing to link to.
        assert!(matches!(tree.link(&path("d"), &path("d/b")), Err(TreeError::NotFound { .. })));
    }

    #[test]
    fn symbolic_links_are_followed_inside_the_tree() {
        let mut tree = Tree::new();
        tree.put(&path("usr/bin/env"), file(b"1")).unwrap();
        tree.put(&path("bin"), symlink("usr/bin")).unwrap();
        tree.put(&path("escape"), symlink("../../../usr")).unwrap();
        tree.put(&path("absolute"), symlink("/usr/bin")).unwrap();
        tree.put(&path("loop"), symlink("loop")).unwrap();
        let cases = [
            ("bin/env", true, Ok(("usr/bin/env", true))),
            ("bin", true, Ok(("usr/bin", true))),
            ("bin", false, Ok(("bin", true))),
            ("escape/bin/env", true, Ok(("usr/bin/env", true))),
            ("absolute/new/file", true, Ok(("usr/bin/new/file", false))),
            ("loop/x", true, Err(())),
            ("usr/bin/env/x", true, Err(())),
        ];
        for (given, follow, expected) in cases {
            let got = tree.resolve(&path(given), follow);
            match expected {
                Ok((at, exists)) => {
                    let (found, id) = got.unwrap();
                    assert_eq!((found, id.is_some()), (path(at), exists), "{given}");
                }
                Err(()) => assert!(got.is_err(), "{given}"),
            }
        }
    }

    #[test]
    fn removing_takes_all_below() {
        let mut tree = Tree::new();
        tree.put(&path("d/e/f"), file(b"1")).unwrap();
        tree.link(&path("kept"), &path("d/e/f")).unwrap();
        assert!(tree.remove(&path("d")));
        assert!(!tree.remove(&path("d")));
        assert_eq!(listing(&tree), ["/ 1", "/kept 1"]);
        assert!(tree.remove(&TreePath::root()));
        assert_eq!(listing(&tree), ["/ 1"]);
    }
}

//! Comparing two states: the changes that lead from one to the other.
//!
//! The result is a function of the two trees alone, so that every way of finding out what a process changed
//! gives the same layer. Its order is canonical:
//!
//! ```text
//! usr/                     every directory with a change in it, with its attributes (the root only if its own changed)
//! usr/.wh..wh..opq         all that was here is gone
//! usr/.wh.games            or: what is gone, by name
//! usr/bin/                 what is new or changed, by name, each directory followed by what it holds
//! ```

use std::collections::{HashMap, HashSet};

use crate::path::MAX_NAME;
use crate::{Action, Change, Delta, Entry, EntryKind, InodeId, Name, Tree, TreePath, whiteout};

/// Why something in a tree is not in the delta made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrepresentable {
    /// A socket: no archive can hold one.
    Socket,
    /// A name that begins with `.wh.`: in a layer it would hide another file.
    WhiteoutName,
}

/// Something that a layer cannot hold and that was left out of a delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its path.
    pub path: TreePath,
    /// Why.
    pub reason: Unrepresentable,
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.reason {
            Unrepresentable::Socket => write!(f, "{} is a socket, which no layer can hold: left out", self.path),
            Unrepresentable::WhiteoutName => {
                write!(f, "{} would hide another file in a layer, by its name: left out", self.path)
            }
        }
    }
}

/// The changes between two trees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// The changes, in canonical order; empty where nothing changed.
    pub delta: Delta,
    /// What `new` holds and no layer can.
    pub left_out: Vec<LeftOut>,
}

/// Finds the changes that make `base` into `new`.
///
/// `same` is asked whether two contents hold the same bytes, only where sizes and places do not tell; a
/// caller that has nothing to read may answer `false`, which costs size but not truth.
///
/// Hard links follow `new`: a file counts as unchanged where all its names are names of one equal file in
/// `base`, and each file of `base` can be kept by only one; of any other all names are put anew.
/// Sockets count as absent on both sides, the mode of symbolic links counts for nothing (Linux has none).
///
/// # Errors
/// What `same` returns.
pub fn diff<E>(
    base: &Tree,
    new: &Tree,
    same: &mut impl FnMut(&crate::Content, &crate::Content) -> Result<bool, E>,
) -> Result<Difference, E> {
    let mut names: HashMap<InodeId, Vec<TreePath>> = HashMap::new();
    for (path, id) in new.walk() {
        let inode = new.inode(id);
        // A name that will be left out, or lies in a directory that will be, binds nothing together.
        if inode.links() > 1 && !is_socket(&inode.entry) && !whiteout::is_reserved(&path) {
            names.entry(id).or_default().push(path);
        }
    }
    let mut differ = Differ {
        base,
        new,
        same,
        names,
        kept: HashMap::new(),
        claimed: HashSet::new(),
        first: HashMap::new(),
        forced: forced_opaque(base, new),
        out: Difference::default(),
    };
    differ.directory(&TreePath::root(), Some(base.root()), new.root())?;
    Ok(differ.out)
}

/// Directories of `base` in which something is gone whose name leaves no room for the prefix of a whiteout.
/// They can only be made opaque, with all that stays put anew.
fn forced_opaque(base: &Tree, new: &Tree) -> HashSet<InodeId> {
    let too_long = |name: &Name| name.as_bytes().len() + whiteout::PREFIX.len() > MAX_NAME;
    let mut forced = HashSet::new();
    let mut pending = vec![(base.root(), Some(new.root()))];
    while let Some((dir, counterpart)) = pending.pop() {
        let Some(counterpart) = counterpart else { continue };
        let others = new.inode(counterpart).children();
        for (name, &child) in base.inode(dir).children() {
            let other = others.get(name).copied().filter(|&id| !is_socket(&new.inode(id).entry));
            if other.is_none() && too_long(name) {
                forced.insert(dir);
            }
            if base.inode(child).entry.is_directory() {
                pending.push((child, other));
            }
        }
    }
    forced
}

fn is_socket(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::Socket)
}

fn representable(entry: &Entry, name: &[u8]) -> Result<(), Unrepresentable> {
    if is_socket(entry) {
        return Err(Unrepresentable::Socket);
    }
    if name.starts_with(whiteout::PREFIX) {
        return Err(Unrepresentable::WhiteoutName);
    }
    Ok(())
}

struct Differ<'a, F> {
    base: &'a Tree,
    new: &'a Tree,
    same: &'a mut F,
    /// All names of the files that have more than one.
    names: HashMap<InodeId, Vec<TreePath>>,
    /// Of the same files, those that were judged already: whether they are in `base` as they are.
    kept: HashMap<InodeId, bool>,
    /// Files of `base` with several names that a file of `new` is the continuation of.
    claimed: HashSet<InodeId>,
    /// Where a file with several names was put.
    first: HashMap<InodeId, TreePath>,
    forced: HashSet<InodeId>,
    out: Difference,
}

impl<E, F: FnMut(&crate::Content, &crate::Content) -> Result<bool, E>> Differ<'_, F> {
    // Recursion: bounded by `MAX_DEPTH`.
    fn directory(&mut self, path: &TreePath, base: Option<InodeId>, new: InodeId) -> Result<(), E> {
        let (base_tree, new_tree) = (self.base, self.new);
        let begin = self.out.delta.changes.len();
        let inode = new_tree.inode(new);
        self.push(path, Action::Put(inode.entry.clone()));
        let mut unchanged = base.is_some_and(|id| base_tree.inode(id).entry == inode.entry);
        let forced = base.is_some_and(|id| self.forced.contains(&id));
        if forced {
            self.push(path, Action::Opaque);
            unchanged = false;
        } else if let Some(base) = base {
            self.whiteouts(path, base, new);
        }
        for (name, &child) in inode.children() {
            let entry = &new_tree.inode(child).entry;
            let child_path = path.child(name);
            if let Err(reason) = representable(entry, name.as_bytes()) {
                self.out.left_out.push(LeftOut { path: child_path, reason });
                continue;
            }
            let old = match base {
                Some(base) if !forced => base_tree.inode(base).children().get(name).copied(),
                _ => None,
            };
            if entry.is_directory() {
                let old = old.filter(|&id| base_tree.inode(id).entry.is_directory());
                self.directory(&child_path, old, child)?;
            } else if !self.is_kept(old, child)? {
                self.put(child_path, child);
            }
        }
        let nothing_inside = self.out.delta.changes.len() == begin + 1;
        if unchanged && nothing_inside {
            self.out.delta.changes.truncate(begin);
        } else if unchanged && path.is_root() {
            // Its attributes are those of the layers below in any case, and other builders name it as little.
            self.out.delta.changes.remove(begin);
        }
        Ok(())
    }

    fn whiteouts(&mut self, path: &TreePath, base: InodeId, new: InodeId) {
        let (base, new) = (self.base.inode(base), self.new.inode(new));
        let old = base.children().iter().filter(|&(_, &id)| !is_socket(&self.base.inode(id).entry));
        let gone: Vec<&Name> = old
            .clone()
            .map(|(name, _)| name)
            .filter(|&name| new.children().get(name).is_none_or(|&id| is_socket(&self.new.inode(id).entry)))
            .collect();
        // One mark where it says the same in fewer words; else explicit whiteouts, as the specification prefers.
        if gone.len() > 1 && gone.len() == old.count() {
            self.push(path, Action::Opaque);
            return;
        }
        for name in gone {
            self.push(&path.child(name), Action::Whiteout);
        }
    }

    fn put(&mut self, path: TreePath, id: InodeId) {
        let inode = self.new.inode(id);
        if inode.links() > 1 {
            if let Some(target) = self.first.get(&id) {
                let target = target.clone();
                return self.push(&path, Action::Link { target });
            }
            self.first.insert(id, path.clone());
        }
        self.push(&path, Action::Put(inode.entry.clone()));
    }

    fn push(&mut self, path: &TreePath, action: Action) {
        self.out.delta.changes.push(Change { path: path.clone(), action });
    }

    fn is_kept(&mut self, old: Option<InodeId>, new: InodeId) -> Result<bool, E> {
        if self.new.inode(new).links() < 2 {
            return match old {
                Some(old) => self.claim(old, new),
                None => Ok(false),
            };
        }
        if let Some(&kept) = self.kept.get(&new) {
            return Ok(kept);
        }
        let kept = match self.one_in_base(new) {
            Some(old) => self.claim(old, new)?,
            None => false,
        };
        self.kept.insert(new, kept);
        Ok(kept)
    }

    /// The one file of `base` that has all the names of `new`.
    fn one_in_base(&self, new: InodeId) -> Option<InodeId> {
        let mut names = self.names.get(&new)?.iter().map(|path| self.in_base(path));
        let first = names.next()??;
        names.all(|id| id == Some(first)).then_some(first)
    }

    fn in_base(&self, path: &TreePath) -> Option<InodeId> {
        path.components().try_fold(self.base.root(), |dir, name| {
            let hidden = self.forced.contains(&dir);
            self.base.inode(dir).children().get(name).copied().filter(|_| !hidden)
        })
    }

    fn claim(&mut self, old: InodeId, new: InodeId) -> Result<bool, E> {
        let (old_inode, new_inode) = (self.base.inode(old), self.new.inode(new));
        let shared = old_inode.links() > 1;
        if shared && self.claimed.contains(&old) {
            return Ok(false);
        }
        let equal = match (&old_inode.entry.kind, &new_inode.entry.kind) {
            (EntryKind::File(a), EntryKind::File(b)) => {
                old_inode.entry.metadata == new_inode.entry.metadata
                    && match a.same_as(b) {
                        Some(same) => same,
                        None => (self.same)(a, b)?,
                    }
            }
            _ => old_inode.entry.is_like(&new_inode.entry),
        };
        if equal && shared {
            self.claimed.insert(old);
        }
        Ok(equal)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::{Content, Metadata};

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    /// `a/` a directory, `a=bytes` a file, `a>target` a symbolic link, `a&target` a hard link, `a!` a socket.
    fn tree(lines: &[&str]) -> Tree {
        let mut tree = Tree::new();
        let metadata = || Metadata { mode: 0o755, ..Metadata::default() };
        for line in lines {
            let at = line.find(['=', '>', '&', '!']).unwrap_or(line.len());
            let (name, rest) = line.split_at(at);
            let name = path(name);
            let put = |kind| Entry { kind, metadata: metadata() };
            match rest.split_at(rest.len().min(1)) {
                ("=", bytes) => tree.put(&name, put(EntryKind::File(Content::from_bytes(bytes.as_bytes())))),
                (">", target) => tree.put(&name, put(EntryKind::Symlink(target.as_bytes().into()))),
                ("&", target) => tree.link(&name, &path(target)),
                ("!", _) => tree.put(&name, put(EntryKind::Socket)),
                _ => tree.put(&name, put(EntryKind::Directory)),
            }
            .unwrap();
        }
        tree
    }

    fn shown(delta: &Delta) -> String {
        let change = |change: &Change| match &change.action {
            Action::Put(entry) if entry.is_directory() => format!("{}/", change.path),
            Action::Put(_) => change.path.to_string(),
            Action::Link { target } => format!("{}&{target}", change.path),
            Action::Whiteout => format!("-{}", change.path),
            Action::Opaque => format!("-{}/*", change.path),
        };
        delta.changes.iter().map(change).collect::<Vec<_>>().join(" ")
    }

    fn changes(base: &Tree, new: &Tree) -> Difference {
        diff(base, new, &mut |_, _| Ok::<_, Infallible>(false)).unwrap()
    }

    #[test]
    fn changes_are_in_canonical_order() {
        let cases: &[(&[&str], &[&str], &str)] = &[
            (&["a=1"], &["a=1"], ""),
            (&["a=1"], &["a=2"], "/a"),
            (&["a=1"], &["a=1", "b=1"], "/b"),
            (&["a=1", "b=1"], &["b=1"], "-/a"),
            (&["d/a=1", "d/b=1", "d/c=1"], &["d/a=2", "d/z=1", "d/c=1"], "/d/ -/d/b /d/a /d/z"),
            (&["d/e/f=1", "d/x=1"], &["d/e/f=2", "d/x=1"], "/d/ /d/e/ /d/e/f"),
            // All gone: one mark; one gone: one whiteout; the directory gone: one whiteout.
            (&["d/a=1", "d/b=1"], &["d/"], "/d/ -/d/*"),
            (&["d/a=1", "d/b=1"], &["d/n=1"], "/d/ -/d/* /d/n"),
            (&["d/a=1"], &["d/"], "/d/ -/d/a"),
            (&["d/a=1", "d/b=1"], &[], "-/d"),
            // Types that change need no whiteout.
            (&["d/a=1"], &["d=1"], "/d"),
            (&["d=1"], &["d/a=1"], "/d/ /d/a"),
            (&["d>x", "x/y=1"], &["d/a=1", "x/y=1"], "/d/ /d/a"),
            // Hard links.
            (&["a=1", "b&a"], &["a=1", "b&a"], ""),
            (&["a=1", "b&a"], &["a=1", "b=1"], "/b"),
            (&["a=1", "b=1"], &["a=1", "b&a"], "/a /b&/a"),
            (&["a=1", "b&a", "c&a"], &["a=1", "b&a"], "-/c"),
            (&["a=1", "b&a"], &["a=1", "b&a", "c&a"], "/a /b&/a /c&/a"),
            (&["a=1", "b&a"], &["a=2", "b&a"], "/a /b&/a"),
            (&["a=1", "b&a"], &["a=1", "b=2"], "/b"),
            // Sockets are absent on both sides.
            (&["s!"], &["a=1"], "/a"),
            (&["s=1"], &["s!"], "-/s"),
            (&["d/a!"], &["d/a!"], ""),
            // A second name that no layer can hold.
            (&["a=1"], &["a=1", ".wh.b/c&a"], ""),
        ];
        for (base, new, expected) in cases {
            let found = changes(&tree(base), &tree(new)).delta;
            assert_eq!(shown(&found), *expected, "{base:?} -> {new:?}");
        }
    }

    #[test]
    fn what_no_layer_can_hold_is_left_out_and_said() {
        let found = changes(&Tree::new(), &tree(&["run/s!", ".wh.x=1", "d/.wh..wh..opq=1"]));
        assert_eq!(shown(&found.delta), "/d/ /run/");
        let left_out: Vec<_> = found.left_out.iter().map(|left| (left.path.to_string(), left.reason)).collect();
        let expected = [
            ("/.wh.x".to_owned(), Unrepresentable::WhiteoutName),
            ("/d/.wh..wh..opq".to_owned(), Unrepresentable::WhiteoutName),
            ("/run/s".to_owned(), Unrepresentable::Socket),
        ];
        assert_eq!(left_out, expected);
    }

    #[test]
    fn a_name_too_long_for_a_whiteout_makes_its_directory_opaque() {
        let long = format!("d/{}=1", "n".repeat(MAX_NAME - 3));
        let fits = format!("d/{}=1", "n".repeat(MAX_NAME - 4));
        let kept = ["d/kept=1", "d/sub/x=1", "h&d/kept"];
        let new = tree(&kept);
        for (name, expected) in [(long, "/d/ -/d/* /d/kept /d/sub/ /d/sub/x /h&/d/kept"), (fits, "")] {
            let mut base = kept.to_vec();
            base.push(&name);
            let mut base = tree(&base);
            let delta = changes(&base, &new).delta;
            if !expected.is_empty() {
                assert_eq!(shown(&delta), expected);
            }
            base.apply(&delta).unwrap();
            assert!(base == new);
        }
    }

    #[test]
    fn contents_are_read_only_where_nothing_else_tells() {
        let at = |offset| Content::dense(crate::Source::Stream([1; 32]), offset, 4);
        let with = |content: Content, mode| {
            let mut tree = Tree::new();
            tree.put(&path("a"), Entry::file(content, Metadata { mode, ..Metadata::default() })).unwrap();
            tree
        };
        let cases = [
            (with(at(0), 0o644), with(at(0), 0o644), 0, false),
            (with(at(0), 0o644), with(at(8), 0o644), 1, false),
            (with(at(0), 0o644), with(at(8), 0o600), 0, true),
            (with(at(0), 0o644), with(Content::from_bytes(*b"12345"), 0o644), 0, true),
        ];
        for (base, new, asked, changed) in cases {
            let mut calls = 0;
            let mut same = |_: &Content, _: &Content| {
                calls += 1;
                Ok::<_, Infallible>(true)
            };
            let found = diff(&base, &new, &mut same).unwrap();
            assert_eq!((calls, !found.delta.changes.is_empty()), (asked, changed));
        }
    }
}

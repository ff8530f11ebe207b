//! Applying changes to a state: how layers become a root filesystem.
//!
//! Spec: OCI image-spec v1.1, layer.md "Applying Changesets" and "Whiteouts".
//!
//! ```text
//! 1. whiteouts and opaque marks, all of them    against the state as the layers below left it
//! 2. puts and links, in the order of the list   a later one wins
//! ```
//!
//! So what a layer puts is never hidden by the same layer, wherever in its archive the mark stands.
//!
//! **Parents that are symbolic links.** An entry `bin/x` above a layer in which `bin` is a link to `usr/bin`
//! lands in `usr/bin/x`: a link in the place of a parent is followed inside the root, as containerd does when it
//! extracts into the mounted layers. (Extractors that unpack each layer into an empty directory of its own make a
//! real `bin` instead, which then hides the link.) The last component is never followed: an entry `bin` replaces the link.

use std::collections::HashMap;

use thiserror::Error;

use crate::{Action, Delta, EntryKind, InodeId, Tree, TreeError, TreePath, whiteout};

/// How many inodes a tree may come to hold, replaced ones included. Eight million entries are fifty times the
/// largest image in common use and cost about 2 GiB; more than that is an attack on memory.
pub const MAX_INODES: usize = 8 << 20;

/// Why a delta cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// An entry has no place in the tree.
    #[error("cannot put entry \"{path}\"")]
    Put {
        /// The entry.
        path: TreePath,
        /// What is in its way.
        #[source]
        source: TreeError,
    },
    /// A hard link's target is missing or a directory, or the link has no place in the tree.
    #[error("cannot make entry \"{path}\" a hard link to \"{target}\"")]
    Link {
        /// The new name.
        path: TreePath,
        /// The name that it should share an inode with.
        target: TreePath,
        /// What is wrong.
        #[source]
        source: TreeError,
    },
    /// A symbolic link leads an entry to a name that only whiteouts have.
    #[error(
        "cannot put entry \"{path}\": a symbolic link leads it to \"{leads_to}\", a name that would hide another file"
    )]
    WhiteoutName {
        /// The entry.
        path: TreePath,
        /// Where it would be.
        leads_to: TreePath,
    },
    /// More than [`MAX_INODES`].
    #[error("entry \"{path}\" is beyond the {limit} entries that an image may have")]
    TooMany {
        /// The entry that was too much.
        path: TreePath,
        /// The limit.
        limit: usize,
    },
}

/// What was unusual while a delta was applied; nothing of it is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ApplyReport {
    /// Entries whose parent was reached through a symbolic link.
    pub through_links: usize,
    /// Whiteouts that hid nothing.
    pub idle_whiteouts: usize,
    /// Directories that no entry described and that were made as parents.
    pub implied_directories: usize,
}

impl std::ops::AddAssign for ApplyReport {
    fn add_assign(&mut self, other: Self) {
        self.through_links += other.through_links;
        self.idle_whiteouts += other.idle_whiteouts;
        self.implied_directories += other.implied_directories;
    }
}

impl Tree {
    /// Changes this tree as a layer says.
    ///
    /// # Errors
    /// [`ApplyError`]; the tree is then half changed and of no use.
    pub fn apply(&mut self, delta: &Delta) -> Result<ApplyReport, ApplyError> {
        let mut report = ApplyReport::default();
        self.hide(delta, &mut report);
        for change in &delta.changes {
            if matches!(change.action, Action::Whiteout | Action::Opaque) {
                continue;
            }
            let before = self.inode_count();
            self.place(&change.path, &change.action, &mut report)?;
            let made = self.inode_count() - before;
            report.implied_directories += match change.action {
                Action::Put(_) => made.saturating_sub(1),
                _ => made,
            };
            if self.inode_count() > MAX_INODES {
                return Err(ApplyError::TooMany { path: change.path.clone(), limit: MAX_INODES });
            }
        }
        Ok(report)
    }

    fn hide(&mut self, delta: &Delta, report: &mut ApplyReport) {
        let mut put: Option<HashMap<&TreePath, bool>> = None;
        for change in &delta.changes {
            let dir = match change.action {
                Action::Whiteout => change.path.parent().unwrap_or_default(),
                Action::Opaque => change.path.clone(),
                _ => continue,
            };
            let is_directory = self.entry(&dir).is_some_and(crate::Entry::is_directory);
            let dir = match is_directory {
                true => Some(dir),
                // Perhaps a link on the way.
                false => self.lower_directory(&dir, put.get_or_insert_with(|| puts_of(delta))),
            };
            let hid = match (dir, change.path.file_name(), &change.action) {
                (None, ..) => false,
                (Some(dir), Some(name), Action::Whiteout) => {
                    // A path too long to be joined is too long to be there.
                    let path = crate::Name::new(name).and_then(|name| dir.join(&name));
                    path.is_ok_and(|path| self.remove(&path))
                }
                // An empty directory is made opaque with good reason: nothing is said about it.
                (Some(dir), ..) => {
                    self.clear(&dir);
                    true
                }
            };
            report.idle_whiteouts += usize::from(!hid);
        }
    }

    /// Where `dir` is in the layers below, links followed; `None` where it is not, or where this layer puts
    /// something else in the place of a link on the way: then the mark speaks of that and hides nothing.
    fn lower_directory(&self, dir: &TreePath, put: &HashMap<&TreePath, bool>) -> Option<TreePath> {
        let mut at = TreePath::root();
        for part in dir.components() {
            at = at.join(&crate::Name::new(part).ok()?).ok()?;
            let id = self.lookup(&at)?;
            if let EntryKind::Symlink(_) = self.inode(id).entry.kind {
                if put.get(&at).is_some_and(|is_link| !is_link) {
                    return None;
                }
                at = self.resolve(&at, true).ok()?.0;
            }
        }
        self.lookup(&at).is_some_and(|id| self.inode(id).entry.is_directory()).then_some(at)
    }

    fn place(&mut self, path: &TreePath, action: &Action, report: &mut ApplyReport) -> Result<InodeId, ApplyError> {
        let first = match self.place_at(path, action) {
            Err(ApplyError::Put { source: TreeError::NotADirectory { path: at, .. }, .. })
            | Err(ApplyError::Link { source: TreeError::NotADirectory { path: at, .. }, .. })
                if self.entry(&at).is_some_and(|entry| matches!(entry.kind, EntryKind::Symlink(_))) =>
            {
                at
            }
            other => return other,
        };
        let failed = |source| match action {
            Action::Link { target } => ApplyError::Link { path: path.clone(), target: target.clone(), source },
            _ => ApplyError::Put { path: path.clone(), source },
        };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(failed(TreeError::NotFound { path: first }));
        };
        let place = |source| failed(TreeError::Path { path: path.clone(), source });
        let name = crate::Name::new(name).map_err(place)?;
        let resolved = self.resolve(&parent, true).map_err(failed)?.0.join(&name).map_err(place)?;
        if whiteout::is_reserved(&resolved) {
            return Err(ApplyError::WhiteoutName { path: path.clone(), leads_to: resolved });
        }
        report.through_links += 1;
        // The resolved path has no link in the place of a parent: a second failure is final.
        self.place_at(&resolved, action).map_err(|error| match error {
            ApplyError::Put { source, .. } | ApplyError::Link { source, .. } => failed(source),
            other => other,
        })
    }

    fn place_at(&mut self, path: &TreePath, action: &Action) -> Result<InodeId, ApplyError> {
        match action {
            Action::Put(entry) => {
                self.put(path, entry.clone()).map_err(|source| ApplyError::Put { path: path.clone(), source })
            }
            Action::Link { target } => {
                let failed = |source| ApplyError::Link { path: path.clone(), target: target.clone(), source };
                if self.lookup(target).is_some() {
                    return self.link(path, target).map_err(failed);
                }
                let resolved = self.resolve(target, false).map_err(|source| match source {
                    // Said of the target: it must not be taken for a link in the way of the new name.
                    TreeError::NotADirectory { .. } => failed(TreeError::NotFound { path: target.clone() }),
                    source => failed(source),
                })?;
                self.link(path, &resolved.0).map_err(failed)
            }
            Action::Whiteout | Action::Opaque => unreachable!("marks are applied before anything is placed"),
        }
    }
}

/// What a delta puts, and whether it is a symbolic link.
fn puts_of(delta: &Delta) -> HashMap<&TreePath, bool> {
    let mut puts = HashMap::new();
    for change in &delta.changes {
        if let Action::Put(entry) = &change.action {
            puts.insert(&change.path, matches!(entry.kind, EntryKind::Symlink(_)));
        }
    }
    puts
}

/// The state that layers amount to, the lowest first.
///
/// # Errors
/// [`ApplyError`] with the number of the layer, counted from 0.
pub fn flatten<'a>(deltas: impl IntoIterator<Item = &'a Delta>) -> Result<(Tree, ApplyReport), (usize, ApplyError)> {
    let mut tree = Tree::new();
    let mut report = ApplyReport::default();
    for (number, delta) in deltas.into_iter().enumerate() {
        report += tree.apply(delta).map_err(|error| (number, error))?;
    }
    Ok((tree, report))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, Content, Entry, Metadata};

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    /// `d:a` a directory, `f:a=bytes` a file, `s:a=target` a link, `h:a=target` a hard link, `w:a` a whiteout, `o:a` opaque.
    fn delta(lines: &[&str]) -> Delta {
        let changes = lines
            .iter()
            .map(|line| {
                let (what, rest) = line.split_once(':').unwrap();
                let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
                let metadata = Metadata { mode: 0o755, ..Metadata::default() };
                let action = match what {
                    "d" => Action::Put(Entry::directory(metadata)),
                    "f" => Action::Put(Entry::file(Content::from_bytes(value.as_bytes()), metadata)),
                    "s" => Action::Put(Entry { kind: EntryKind::Symlink(value.as_bytes().into()), metadata }),
                    "h" => Action::Link { target: path(value) },
                    "w" => Action::Whiteout,
                    "o" => Action::Opaque,
                    _ => panic!("{line}"),
                };
                Change { path: path(name), action }
            })
            .collect();
        Delta { changes }
    }

    fn names(tree: &Tree) -> String {
        let names: Vec<String> = tree.walk().skip(1).map(|(path, _)| path.to_string()).collect();
        names.join(" ")
    }

    #[test]
    fn layers_amount_to_a_tree() {
        let cases: &[(&[&[&str]], &str)] = &[
            // A whiteout hides what is below, wherever it stands, and never its own layer's.
            (&[&["f:a=1", "f:b=1"], &["w:a"]], "/b"),
            (&[&["f:a=1"], &["f:a=2", "w:a"]], "/a"),
            (&[&["f:a=1"], &["w:a", "f:a=2"]], "/a"),
            (&[&["f:d/x=1"], &["d:d", "f:d/y=1", "w:d"]], "/d /d/y"),
            (&[&["f:d/x=1"], &["o:d", "f:d/y=1"]], "/d /d/y"),
            (&[&["f:d/x=1"], &["f:d/y=1", "o:d"]], "/d /d/y"),
            (&[&["f:d/x=1"], &["o:", "f:e=1"]], "/e"),
            // Types that change.
            (&[&["f:d/x=1"], &["f:d=1"]], "/d"),
            (&[&["f:d=1"], &["d:d", "f:d/x=1"]], "/d /d/x"),
            (&[&["d:d", "f:d/x=1"], &["d:d"]], "/d /d/x"),
            // Parents that are missing, parents that are links.
            (&[&["f:a/b/c=1"]], "/a /a/b /a/b/c"),
            (&[&["d:usr/bin", "s:bin=usr/bin"], &["f:bin/x=1"]], "/bin /usr /usr/bin /usr/bin/x"),
            (&[&["d:usr/bin", "s:bin=/usr/bin", "f:bin/x=1"]], "/bin /usr /usr/bin /usr/bin/x"),
            (&[&["d:u", "s:l=../../../u"], &["f:l/x=1"]], "/l /u /u/x"),
            (&[&["s:l=not/there"], &["f:l/x=1"]], "/l /not /not/there /not/there/x"),
            (
                &[&["d:usr/bin", "s:bin=usr/bin", "f:bin/x=1", "f:bin/y=1"], &["w:bin/x"]],
                "/bin /usr /usr/bin /usr/bin/y",
            ),
            (&[&["d:u", "s:l=u", "f:l/x=1"], &["o:l"]], "/l /u"),
            // A whiteout below a link that its own layer makes a directory speaks of that directory.
            (&[&["d:u", "s:l=u", "f:u/x=1"], &["w:l/x", "d:l"]], "/l /u /u/x"),
            (&[&["d:u", "s:l=u", "f:u/x=1"], &["d:l", "w:l/x"]], "/l /u /u/x"),
            (&[&["d:u", "s:l=u"], &["d:l"]], "/l /u"),
            // Hard links, within a layer and into one below, through a link.
            (&[&["f:a=1", "h:b=a"]], "/a /b"),
            (&[&["f:a=1"], &["h:b=a"]], "/a /b"),
            (&[&["d:u", "f:u/a=1", "s:l=u"], &["h:l/b=l/a"]], "/l /u /u/a /u/b"),
            (&[&["f:a=1"], &["w:nothing", "w:no/thing"]], "/a"),
        ];
        for (layers, expected) in cases {
            let layers: Vec<Delta> = layers.iter().map(|lines| delta(lines)).collect();
            let (tree, _) = flatten(&layers).unwrap();
            assert_eq!(names(&tree), *expected, "{layers:?}");
        }
    }

    #[test]
    fn what_cannot_be_applied_is_named() {
        let cases: &[(&[&[&str]], &str)] = &[
            (&[&["h:b=a"]], "hard link to \"/a\""),
            (&[&["f:a=1"], &["w:a", "h:b=a"]], "hard link to \"/a\""),
            (&[&["d:a", "h:b=a"]], "hard link to \"/a\""),
            (&[&["f:a=1", "f:a/b=1"]], "put entry \"/a/b\""),
            (&[&["f:f=1", "s:a=f"], &["f:a/b=1"]], "put entry \"/a/b\""),
            (&[&["s:a=a", "f:a/b=1"]], "put entry \"/a/b\""),
            (&[&["f:f=1", "h:b=f/x"]], "hard link to \"/f/x\""),
            (&[&["f:=1"]], "put entry \"/\""),
            (&[&["s:l=.wh.x", "f:l/y=1"]], "leads it to \"/.wh.x/y\""),
        ];
        for (layers, expected) in cases {
            let layers: Vec<Delta> = layers.iter().map(|lines| delta(lines)).collect();
            let (_, error) = flatten(&layers).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn the_report_counts_what_is_unusual() {
        let layers = [delta(&["d:u/v", "s:l=u"]), delta(&["f:l/x=1", "w:none", "f:a/b/c=1"])];
        let (_, report) = flatten(&layers).unwrap();
        assert_eq!(report, ApplyReport { through_links: 1, idle_whiteouts: 1, implied_directories: 3 });
    }

    #[test]
    fn a_link_replaced_in_its_own_layer_keeps_its_first_target() {
        let (tree, _) = flatten(&[delta(&["f:a=1", "h:b=a", "f:a=2"])]).unwrap();
        assert_ne!(tree.lookup(&path("a")), tree.lookup(&path("b")));
        assert_eq!(tree.entry(&path("b")).unwrap().content(), Some(&Content::from_bytes(*b"1")));
    }
}

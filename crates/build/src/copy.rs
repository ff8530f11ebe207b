//! Files put into a tree, as COPY does it.
//!
//! - A directory gives its contents, not itself; with `--parents` itself.
//! - A file goes *into* a destination that is a directory or ends with `/`; else it becomes the destination.
//! - Directories that are missing are made: 0755, the owner of `--chown`, the epoch.
//! - A directory never replaces something else, nor something else a directory.

use std::collections::HashMap;

use bedplate_dockerfile::ignore::{Ignore, IgnoreState};
use bedplate_tree::{Entry, EntryKind, InodeId, Metadata, Name, Timestamp, Tree, TreePath};

use crate::error::StepError;
use crate::mode::ModeChange;

/// Where files go.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    /// The absolute path, without a slash at the end.
    pub(crate) path: String,
    /// Whether it was written with a slash at the end, or as `.`.
    pub(crate) directory: bool,
}

/// What becomes of times.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Times {
    /// Everything gets the epoch: a context's times are no input.
    Set,
    /// What is later gets the epoch.
    Clamp,
}

/// How files are put.
#[derive(Debug)]
pub(crate) struct Rules<'a> {
    /// The owner of `--chown`, or root for what comes from a context; `None` keeps owners.
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) mode: Option<&'a ModeChange>,
    pub(crate) times: Times,
    pub(crate) epoch: Timestamp,
    /// Whether hard links stay hard links.
    pub(crate) links: bool,
    pub(crate) exclude: &'a Ignore,
    /// Whether symbolic links of the image are followed in the destination; not with `--link`.
    pub(crate) follow: bool,
}

/// One source.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    pub(crate) tree: &'a Tree,
    /// Where it is in its tree.
    pub(crate) path: TreePath,
    /// The name that it has in a directory.
    pub(crate) name: Vec<u8>,
    /// With `--parents`: the path that it has below the destination.
    pub(crate) below: Option<TreePath>,
}

/// Puts sources into a tree; `several` says that they are not all that the instruction has.
pub(crate) fn copy(
    tree: &mut Tree,
    destination: &Destination,
    items: &[Item<'_>],
    several: bool,
    rules: &Rules<'_>,
) -> Result<(), StepError> {
    let wanted = TreePath::parse(destination.path.as_bytes())
        .map_err(|source| StepError::Path { path: destination.path.clone(), source })?;
    for item in items {
        // Looked up anew for each: one source may make what the next finds.
        let (at, there) =
            if rules.follow { tree.resolve(&wanted, true)? } else { (wanted.clone(), tree.lookup(&wanted)) };
        let there_is_directory = there.map(|id| tree.inode(id).entry.is_directory());
        if several && !destination.directory && there_is_directory.is_none() {
            return Err(StepError::DestinationNoDirectory { destination: destination.path.clone() });
        }
        let mut putter = Putter { tree, rules, links: HashMap::new() };
        if let Some(below) = &item.below {
            putter.with_parents(item, &at, below)?;
            continue;
        }
        let Some(id) = item.tree.lookup(&item.path) else { continue };
        if item.tree.inode(id).entry.is_directory() {
            putter.make_directories(&at)?;
            putter.put_contents(item.tree, id, &at, &TreePath::root())?;
            continue;
        }
        let target = if destination.directory || there_is_directory == Some(true) || several {
            putter.make_directories(&at)?;
            at.join(&name(&item.name)?).map_err(|source| StepError::Path { path: at.to_string(), source })?
        } else {
            at
        };
        putter.put_alone(item, id, &target)?;
    }
    Ok(())
}

fn name(bytes: &[u8]) -> Result<Name, StepError> {
    Name::new(bytes).map_err(|source| StepError::Path { path: String::from_utf8_lossy(bytes).into_owned(), source })
}

struct Putter<'a, 'r> {
    tree: &'a mut Tree,
    rules: &'r Rules<'r>,
    /// Where files with several names were put.
    links: HashMap<InodeId, TreePath>,
}

impl Putter<'_, '_> {
    /// Makes a directory and all above it, where they are missing.
    fn make_directories(&mut self, path: &TreePath) -> Result<(), StepError> {
        let (uid, gid) = self.rules.owner.unwrap_or((0, 0));
        let metadata = Metadata { uid, gid, ..Metadata::implied_directory(self.rules.epoch) };
        make_directories(self.tree, path, &metadata)
    }

    /// A file, a link or a device as a source of its own.
    fn put_alone(&mut self, item: &Item<'_>, id: InodeId, target: &TreePath) -> Result<(), StepError> {
        if self.rules.exclude.ignored(&item.name) {
            return Ok(());
        }
        if let Some(parent) = target.parent() {
            self.make_directories(&parent)?;
        }
        self.put(item.tree, id, target)
    }

    /// A source with the directories that lead to it.
    fn with_parents(&mut self, item: &Item<'_>, at: &TreePath, below: &TreePath) -> Result<(), StepError> {
        self.make_directories(at)?;
        let Some(id) = item.tree.lookup(&item.path) else { return Ok(()) };
        // The directories that lead to the source have its tree's attributes.
        let mut target = at.clone();
        let count = below.components().count();
        let skipped = item.path.components().count().saturating_sub(count);
        let mut origin = TreePath::root();
        for (index, part) in item.path.components().enumerate() {
            origin =
                origin.join(&name(part)?).map_err(|source| StepError::Path { path: origin.to_string(), source })?;
            if index < skipped {
                continue;
            }
            target =
                target.join(&name(part)?).map_err(|source| StepError::Path { path: target.to_string(), source })?;
            let Some(here) = item.tree.lookup(&origin) else { break };
            if here != id && self.tree.lookup(&target).is_none() {
                self.put(item.tree, here, &target)?;
            }
        }
        if item.tree.inode(id).entry.is_directory() {
            self.put(item.tree, id, &target)?;
            return self.put_contents(item.tree, id, &target, &TreePath::root());
        }
        if self.rules.exclude.ignored(below.as_bytes()) {
            return Ok(());
        }
        self.put(item.tree, id, &target)
    }

    /// All that a directory holds; `relative` is what patterns of `--exclude` see of it.
    fn put_contents(
        &mut self,
        from: &Tree,
        directory: InodeId,
        at: &TreePath,
        relative: &TreePath,
    ) -> Result<(), StepError> {
        let mut pending = vec![(directory, at.clone(), relative.clone(), IgnoreState::default(), true)];
        while let Some((directory, at, relative, state, made)) = pending.pop() {
            for (name, &child) in from.inode(directory).children() {
                let long = |source| StepError::Path { path: at.to_string(), source };
                let relative = relative.join(name).map_err(long)?;
                let target = at.join(name).map_err(long)?;
                let visit = self.rules.exclude.visit(&state, relative.as_bytes());
                let is_directory = from.inode(child).entry.is_directory();
                if visit.ignored && (!is_directory || visit.skip) {
                    continue;
                }
                if !visit.ignored {
                    if !made {
                        self.make_directories(&at)?;
                    }
                    self.put(from, child, &target)?;
                }
                if is_directory {
                    // An excluded directory is made only for what comes back in it.
                    pending.push((child, target, relative, visit.state, !visit.ignored));
                }
            }
        }
        Ok(())
    }

    /// One entry, without what it holds.
    fn put(&mut self, from: &Tree, id: InodeId, target: &TreePath) -> Result<(), StepError> {
        let inode = from.inode(id);
        let mut entry = inode.entry.clone();
        if let Some(there) = self.tree.lookup(target) {
            let there = &self.tree.inode(there).entry;
            if there.is_directory() != entry.is_directory() {
                return Err(conflict(target, &entry, there));
            }
        }
        if self.rules.links && inode.links() > 1 && !entry.is_directory() {
            if let Some(first) = self.links.get(&id) {
                self.tree.link(target, first)?;
                return Ok(());
            }
            self.links.insert(id, target.clone());
        }
        let is_directory = entry.is_directory();
        let metadata = &mut entry.metadata;
        if let Some((uid, gid)) = self.rules.owner {
            (metadata.uid, metadata.gid) = (uid, gid);
        }
        metadata.mtime = match self.rules.times {
            Times::Set => self.rules.epoch,
            Times::Clamp => metadata.mtime.clamp_to(self.rules.epoch),
        };
        if let EntryKind::Symlink(_) = entry.kind {
            // What a host's file system says of a link's mode means nothing.
            metadata.mode = 0o777;
        } else if let Some(mode) = self.rules.mode {
            metadata.mode = mode.apply(metadata.mode, is_directory);
        }
        self.tree.put(target, entry)?;
        Ok(())
    }
}

/// Makes a directory and all above it, where they are missing; those that are there stay as they are.
pub(crate) fn make_directories(tree: &mut Tree, path: &TreePath, metadata: &Metadata) -> Result<(), StepError> {
    let mut here = TreePath::root();
    for part in path.components() {
        here = here.join(&name(part)?).map_err(|source| StepError::Path { path: path.to_string(), source })?;
        match tree.entry(&here) {
            None => {
                tree.put(&here, Entry::directory(metadata.clone()))?;
            }
            Some(there) if !there.is_directory() => {
                return Err(conflict(&here, &Entry::directory(metadata.clone()), there));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn conflict(path: &TreePath, found: &Entry, there: &Entry) -> StepError {
    let target = match &there.kind {
        EntryKind::Symlink(target) => Some(String::from_utf8_lossy(target).into_owned()),
        _ => None,
    };
    StepError::TypeConflict { path: path.clone(), found: found.kind.describe(), there: there.kind.describe(), target }
}

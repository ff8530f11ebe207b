//! A directory that holds one tree is made to hold another.

use bedplate_sys::rooted::{Handle, Resolve, Root};
use bedplate_tree::{Action, Content, Delta, Entry, Tree, TreePath, diff};

use super::{At, Unpacker, Worker, probe};
use crate::contents::Contents;
use crate::unpack::{UnpackError, UnpackOptions, UnpackReport};

/// What new files are called until all of them are there.
const TEMPORARY: &str = ".bedplate-new-";

/// Makes the directory `into`, which holds `before`, hold `after`. What `before` does not speak of stays, unless `after`
/// has something in its place.
///
/// Files that take the place of others are written beside them first: where that fails, the old ones are still there.
///
/// # Errors
/// [`UnpackError`]; what is new so far stays.
pub fn update_tree(
    before: &Tree,
    after: &Tree,
    contents: &dyn Contents,
    into: &Handle,
    options: &UnpackOptions,
) -> Result<UnpackReport, UnpackError> {
    let never = &mut |_: &Content, _: &Content| Ok::<_, std::convert::Infallible>(false);
    let Ok(difference) = diff(before, after, never);
    let target = |source| UnpackError::Target { directory: into.label().to_owned(), source };
    let unpacker = Unpacker { contents, options, into, defaults: probe(into).map_err(target)?, marks: None };
    let mut update = Update { worker: unpacker.worker(), renames: Vec::new() };
    let done = update.all(&difference.delta, before, after);
    if done.is_err() {
        update.forget();
    }
    done?;
    Ok(update.worker.report)
}

struct Update<'a> {
    worker: Worker<'a>,
    /// Where each file is to be, and its number until then.
    renames: Vec<(TreePath, usize)>,
}

impl Update<'_> {
    fn all(&mut self, delta: &Delta, before: &Tree, after: &Tree) -> Result<(), UnpackError> {
        for change in &delta.changes {
            if let Action::Put(entry) = &change.action {
                match entry.is_directory() {
                    true => self.directory(&change.path, entry)?,
                    false => self.file(&change.path, entry)?,
                }
            }
        }
        for (path, number) in std::mem::take(&mut self.renames) {
            let (parent, name) = self.parent(&path)?;
            let make = |source| UnpackError::Make { path: path.clone(), kind: "file", source };
            if parent.stat(&*name).is_ok_and(|stat| stat.kind == bedplate_sys::file::Kind::Directory) {
                parent.remove_all(&*name).map_err(make)?;
            }
            parent.rename(&*temporary(number), &parent, &*name).map_err(make)?;
        }
        for change in &delta.changes {
            match &change.action {
                Action::Put(_) => {}
                Action::Link { target } => self.link(&change.path, target)?,
                Action::Whiteout => self.remove(&change.path)?,
                Action::Opaque => {
                    let old = before.lookup(&change.path).map(|id| before.inode(id).children().keys());
                    let gone = old.into_iter().flatten().filter_map(|name| change.path.join(name).ok());
                    for path in gone.filter(|path| after.lookup(path).is_none()) {
                        self.remove(&path)?;
                    }
                }
            }
        }
        for change in delta.changes.iter().rev() {
            if let Action::Put(entry) = &change.action
                && entry.is_directory()
            {
                self.attributes(&change.path, entry, before)?;
            }
        }
        // Whatever was made in it touched it.
        let root = after.inode(after.root());
        self.attributes(&TreePath::root(), &root.entry, before)
    }

    fn parent(&self, path: &TreePath) -> Result<(Handle, std::ffi::CString), UnpackError> {
        let make = |source| UnpackError::Make { path: path.clone(), kind: "file", source };
        self.worker.root.parent(path.as_bytes(), Resolve::NoSymlinks).map_err(make)
    }

    fn directory(&mut self, path: &TreePath, entry: &Entry) -> Result<(), UnpackError> {
        if path.is_root() {
            return Ok(());
        }
        let make = |source| UnpackError::Make { path: path.clone(), kind: "directory", source };
        let (parent, name) = self.parent(path)?;
        match parent.try_stat(&*name).map_err(make)? {
            Some(stat) if stat.kind == bedplate_sys::file::Kind::Directory => return Ok(()),
            Some(_) => parent.unlink(&*name).map_err(make)?,
            None => {}
        }
        // Its owner must be able to fill it, where that is not root.
        parent.mkdir(&*name, entry.metadata.mode & 0o777 | 0o700).map_err(make)?;
        self.worker.report.entries += 1;
        Ok(())
    }

    fn file(&mut self, path: &TreePath, entry: &Entry) -> Result<(), UnpackError> {
        let make = |source| UnpackError::Make { path: path.clone(), kind: entry.kind.describe(), source };
        let (parent, name) = self.parent(path)?;
        if parent.try_stat(&*name).map_err(make)?.is_none() {
            return self.worker.make(&parent, name.to_bytes(), path, entry);
        }
        let number = self.renames.len();
        let temporary = temporary(number);
        // Of an update that was killed.
        parent.remove_all(&*temporary).map_err(make)?;
        self.worker.make(&parent, temporary.to_bytes(), path, entry)?;
        // A device that could not be made leaves what is there.
        if parent.try_stat(&*temporary).map_err(make)?.is_some() {
            self.renames.push((path.clone(), number));
        }
        Ok(())
    }

    fn link(&mut self, path: &TreePath, target: &TreePath) -> Result<(), UnpackError> {
        let make = |source| UnpackError::Make { path: path.clone(), kind: "hard link", source };
        let targets = Root::from_handle(self.worker.of.into.clone());
        let (from, old) = targets.parent(target.as_bytes(), Resolve::NoSymlinks).map_err(make)?;
        let (to, new) = self.parent(path)?;
        // A device that could not be made has no second name either.
        if from.try_stat(&*old).map_err(make)?.is_none() {
            return Ok(());
        }
        to.remove_all(&*new).map_err(make)?;
        from.link(&*old, &to, &*new).map_err(make)?;
        self.worker.report.entries += 1;
        Ok(())
    }

    fn remove(&self, path: &TreePath) -> Result<(), UnpackError> {
        let (parent, name) = self.parent(path)?;
        parent.remove_all(&*name).map_err(|source| UnpackError::Make { path: path.clone(), kind: "removal", source })
    }

    fn attributes(&mut self, path: &TreePath, entry: &Entry, before: &Tree) -> Result<(), UnpackError> {
        let failed = |source| UnpackError::Attributes { path: path.clone(), source };
        let handle = self.worker.root.open_dir(path.as_bytes(), Resolve::NoSymlinks).map_err(failed)?;
        // What it had and has no more; where it could not be set before, there is nothing to take away.
        let old = before.entry(path).filter(|old| old.is_directory());
        let gone = old.into_iter().flat_map(|old| old.metadata.xattrs.keys());
        for name in gone.filter(|name| !entry.metadata.xattrs.contains_key(*name)) {
            if handle.xattr(".", name).map_err(failed)?.is_some() {
                handle.remove_xattr(".", name).map_err(failed)?;
            }
        }
        self.worker.set_attributes(path, At::Directory(&handle), &entry.metadata, true, true)
    }

    /// Removes what was written and has no place now.
    fn forget(&self) {
        for (path, number) in &self.renames {
            if let Ok((parent, _)) = self.parent(path) {
                // The failure that led here is what the user must know.
                let _ = parent.unlink(&*temporary(*number));
            }
        }
    }
}

fn temporary(number: usize) -> std::ffi::CString {
    std::ffi::CString::new(format!("{TEMPORARY}{number}")).unwrap_or_default()
}

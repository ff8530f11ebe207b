//! Edits of a tree as a file system would see them: links on the way are followed, directories take the time of a change.

use bedplate_image::{Contents, read_content};
use bedplate_tree::{Content, Entry, EntryKind, Inode, InodeId, Metadata, Timestamp, Tree, TreePath};

use super::{Done, FinishError, Note};

/// How large a file that is edited may be, in bytes: the largest such file, dpkg's `status` of a full desktop, has 5 MB.
pub const MAX_EDITED: u64 = 64 << 20;

/// A tree that is being finished.
pub(super) struct Editor<'a> {
    pub(super) tree: &'a mut Tree,
    contents: &'a dyn Contents,
    epoch: Timestamp,
    notes: Vec<Note>,
}

impl<'a> Editor<'a> {
    pub(super) fn new(tree: &'a mut Tree, contents: &'a dyn Contents, epoch: Timestamp) -> Self {
        Self { tree, contents, epoch, notes: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<Note> {
        self.notes
    }

    pub(super) fn note(&mut self, path: &TreePath, done: Done, reason: &'static str) {
        self.notes.push(Note { path: path.clone(), done, reason });
    }

    /// Where `path` leads when the links in its directories are followed, and what is there; the last component is not
    /// followed. Nothing where a component is no directory.
    pub(super) fn find(&self, path: &str) -> Option<(TreePath, InodeId)> {
        let (path, id) = self.tree.resolve(&own_path(path), false).ok()?;
        Some((path, id?))
    }

    pub(super) fn inode(&self, path: &str) -> Option<&Inode> {
        self.find(path).map(|(_, id)| self.tree.inode(id))
    }

    pub(super) fn is_directory(&self, path: &str) -> bool {
        self.inode(path).is_some_and(|inode| inode.entry.is_directory())
    }

    /// As [`Editor::is_directory`], for a path whose links count as such.
    pub(super) fn is_directory_itself(&self, path: &str) -> bool {
        self.tree.entry(&own_path(path)).is_some_and(Entry::is_directory)
    }

    /// The names in a directory; none where it is none.
    pub(super) fn list(&self, path: &str) -> Vec<Vec<u8>> {
        self.inode(path)
            .map_or_else(Vec::new, |inode| inode.children().keys().map(|name| name.as_bytes().into()).collect())
    }

    /// The bytes of a regular file; `None` for anything else. A link at the end is followed.
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, FinishError> {
        let path = own_path(path);
        let Ok((path, Some(id))) = self.tree.resolve(&path, true) else { return Ok(None) };
        match self.tree.inode(id).entry.content() {
            Some(content) => self.bytes(&path, content).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn bytes(&self, path: &TreePath, content: &Content) -> Result<Vec<u8>, FinishError> {
        Ok(read_content(self.contents, path, content, MAX_EDITED)?)
    }

    /// Tells whether bytes already stand in a regular file.
    fn holds(&self, path: &TreePath, bytes: &[u8]) -> Result<bool, FinishError> {
        match self.tree.entry(path).and_then(Entry::content) {
            Some(content) if content.size() == bytes.len() as u64 => Ok(self.bytes(path, content)? == bytes),
            _ => Ok(false),
        }
    }

    /// Writes a file as a shell's `>` and `chmod` do: a file that is there keeps its owner, a new one is root's.
    ///
    /// A symbolic link at the end is replaced: in a root that is no host, such a link (`/etc/resolv.conf`) leads nowhere.
    pub(super) fn write(
        &mut self,
        path: &str,
        bytes: &[u8],
        mode: u32,
        reason: &'static str,
    ) -> Result<(), FinishError> {
        let (path, found) = self.place(path)?;
        let old = found.map(|id| self.tree.inode(id).entry.clone());
        let (uid, gid) = match &old {
            Some(Entry { kind: EntryKind::File(_), metadata }) => (metadata.uid, metadata.gid),
            _ => (0, 0),
        };
        if self.holds(&path, bytes)?
            && let Some(id) = found
        {
            // What is equal is written all the same, since its time is then that of the image.
            let epoch = self.epoch;
            let metadata = self.tree.metadata_mut(id);
            (metadata.mode, metadata.mtime) = (mode, epoch);
            return Ok(());
        }
        if !matches!(old, Some(Entry { kind: EntryKind::File(_), .. })) {
            self.touch_parent(&path);
        }
        let metadata = Metadata { mode, uid, gid, mtime: self.epoch, ..Metadata::default() };
        self.put(&path, Entry::file(Content::from_bytes(bytes), metadata))?;
        self.note(&path, Done::Written, reason);
        Ok(())
    }

    /// Replaces the bytes of a file that is there, and keeps its attributes.
    pub(super) fn rewrite(&mut self, path: &str, bytes: &[u8], reason: &'static str) -> Result<(), FinishError> {
        let Some((path, id)) = self.find(path) else { return Ok(()) };
        let mut entry = self.tree.inode(id).entry.clone();
        if !matches!(entry.kind, EntryKind::File(_)) || self.holds(&path, bytes)? {
            return Ok(());
        }
        entry.kind = EntryKind::File(Content::from_bytes(bytes));
        entry.metadata.mtime = self.epoch;
        self.put(&path, entry)?;
        self.note(&path, Done::Written, reason);
        Ok(())
    }

    /// Makes a directory where none is, with its parents.
    pub(super) fn directory(&mut self, path: &str, mode: u32, reason: &'static str) -> Result<(), FinishError> {
        let (path, found) = self.place(path)?;
        if found.is_some() {
            return Ok(());
        }
        self.touch_parent(&path);
        let metadata = Metadata { mode, mtime: self.epoch, ..Metadata::default() };
        self.put(&path, Entry::directory(metadata))?;
        self.note(&path, Done::Written, reason);
        Ok(())
    }

    /// Removes what is at `path`, with all below it; tells whether something was there.
    pub(super) fn remove(&mut self, path: &str, reason: &'static str) -> bool {
        match self.find(path) {
            Some((path, _)) => self.remove_at(&path, reason),
            None => false,
        }
    }

    /// The same for a path without links on the way.
    pub(super) fn remove_at(&mut self, path: &TreePath, reason: &'static str) -> bool {
        self.take(path, Done::Removed, reason)
    }

    /// The same, and `done` stands in the note.
    pub(super) fn take(&mut self, path: &TreePath, done: Done, reason: &'static str) -> bool {
        let removed = !path.is_root() && self.tree.remove(path);
        if removed {
            self.touch_parent(path);
            self.note(path, done, reason);
        }
        removed
    }

    /// Removes what a directory holds, but for the names in `keep`.
    pub(super) fn empty(&mut self, path: &str, keep: &[&str], reason: &'static str) {
        let Some((path, id)) = self.find(path) else { return };
        if !self.tree.inode(id).entry.is_directory() {
            return;
        }
        let inode = self.tree.inode(id);
        let gone: Vec<TreePath> = inode
            .children()
            .keys()
            .filter(|name| !keep.iter().any(|kept| kept.as_bytes() == name.as_bytes()))
            .filter_map(|name| path.join(name).ok())
            .collect();
        for path in &gone {
            self.tree.remove(path);
        }
        if !gone.is_empty() {
            self.touch(&path);
            self.note(&path, Done::Emptied, reason);
        }
    }

    /// Renames; directories on the way are followed. Nothing happens where nothing is at `from`.
    pub(super) fn rename(&mut self, from: &str, to: &str, reason: &'static str) -> Result<(), FinishError> {
        let Some((from, id)) = self.find(from) else { return Ok(()) };
        let (to, _) = self.place(to)?;
        if self.tree.inode(id).entry.is_directory() || from == to {
            return Ok(());
        }
        self.tree.link(&to, &from).map_err(|source| FinishError::Tree { path: to.clone(), source })?;
        self.tree.remove(&from);
        self.touch_parent(&from);
        self.touch_parent(&to);
        self.note(&to, Done::Written, reason);
        Ok(())
    }

    pub(super) fn put(&mut self, path: &TreePath, entry: Entry) -> Result<(), FinishError> {
        match self.tree.put(path, entry) {
            Ok(_) => Ok(()),
            Err(source) => Err(FinishError::Tree { path: path.clone(), source }),
        }
    }

    /// Gives a directory the time of a change in it.
    pub(super) fn touch(&mut self, path: &TreePath) {
        let epoch = self.epoch;
        if let Some(id) = self.tree.lookup(path) {
            self.tree.metadata_mut(id).mtime = epoch;
        }
    }

    fn touch_parent(&mut self, path: &TreePath) {
        if let Some(parent) = path.parent() {
            self.touch(&parent);
        }
    }

    fn place(&self, path: &str) -> Result<(TreePath, Option<InodeId>), FinishError> {
        let path = own_path(path);
        self.tree.resolve(&path, false).map_err(|source| FinishError::Tree { path, source })
    }
}

/// A path that this crate wrote itself.
pub(crate) fn own_path(path: &str) -> TreePath {
    TreePath::parse(path.as_bytes()).expect("the paths that finishing names are short and without NUL")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use bedplate_image::{ContentSources, ReadError};
    use std::io::Read as _;

    pub(crate) const EPOCH: Timestamp = Timestamp::from_seconds(1_000_000);

    /// A small root: `/path=text`, `/path/`, `/path->target`; a `!` before makes it mode 0755 or 0700.
    pub(crate) fn root(lines: &[&str]) -> Tree {
        let mut tree = Tree::new();
        let metadata = |mode| Metadata { mode, mtime: Timestamp::from_seconds(5), ..Metadata::default() };
        for line in lines {
            let (path, entry) = if let Some((path, target)) = line.split_once("->") {
                (path, Entry { kind: EntryKind::Symlink(target.as_bytes().into()), metadata: metadata(0o777) })
            } else if let Some((path, text)) = line.split_once('=') {
                (path, Entry::file(Content::from_bytes(text.as_bytes()), metadata(0o644)))
            } else {
                (line.trim_end_matches('/'), Entry::directory(metadata(0o755)))
            };
            tree.put(&own_path(path), entry).unwrap();
        }
        tree
    }

    /// All paths but those of directories that hold something, files with their text.
    pub(crate) fn shown(tree: &Tree) -> Vec<String> {
        let contents = ContentSources::new();
        let mut lines = Vec::new();
        for (path, id) in tree.walk() {
            let inode = tree.inode(id);
            let path = String::from_utf8_lossy(path.as_bytes()).into_owned();
            match &inode.entry.kind {
                EntryKind::File(content) => {
                    let mut text = String::new();
                    contents.open(content).unwrap().read_to_string(&mut text).unwrap();
                    lines.push(format!("{path}={text}"));
                }
                EntryKind::Symlink(target) => lines.push(format!("{path}->{}", String::from_utf8_lossy(target))),
                _ if inode.children().is_empty() => lines.push(format!("{path}/")),
                _ => {}
            }
        }
        lines
    }

    #[test]
    fn edits_follow_links_on_the_way() {
        let mut tree = root(&["usr/sbin/a=1", "sbin->usr/sbin", "etc/resolv.conf->../run/resolv.conf", "run/x/y=2"]);
        let contents = ContentSources::new();
        let mut editor = Editor::new(&mut tree, &contents, EPOCH);
        editor.write("sbin/b", b"new", 0o755, "test").unwrap();
        editor.rename("sbin/a", "sbin/a.real", "test").unwrap();
        editor.write("etc/resolv.conf", b"", 0o644, "test").unwrap();
        editor.empty("run", &["lock"], "test");
        assert!(!editor.remove("etc/none/at/all", "test"));
        assert!(!editor.remove("etc/resolv.conf/x", "test"));
        let notes = editor.finish();
        assert_eq!(shown(&tree), ["etc/resolv.conf=", "run/", "sbin->usr/sbin", "usr/sbin/a.real=1", "usr/sbin/b=new"]);
        let notes: Vec<String> = notes.iter().map(ToString::to_string).collect();
        assert_eq!(
            notes,
            [
                "written /usr/sbin/b: test",
                "written /usr/sbin/a.real: test",
                "written /etc/resolv.conf: test",
                "emptied /run: test"
            ]
        );
        let mtime = |path| tree.entry(&own_path(path)).unwrap().metadata.mtime;
        assert_eq!((mtime("usr/sbin"), mtime("run"), mtime("etc")), (EPOCH, EPOCH, EPOCH));
        assert_eq!(mtime("usr"), Timestamp::from_seconds(5));
    }

    #[test]
    fn a_file_that_is_written_keeps_its_owner_and_one_that_is_rewritten_its_mode() {
        let mut tree = root(&["etc/shadow=a"]);
        let id = tree.lookup(&own_path("etc/shadow")).unwrap();
        *tree.metadata_mut(id) = Metadata { mode: 0o640, gid: 42, ..Metadata::default() };
        let contents = ContentSources::new();
        let mut editor = Editor::new(&mut tree, &contents, EPOCH);
        editor.rewrite("etc/shadow", b"b", "test").unwrap();
        editor.rewrite("etc/none", b"b", "test").unwrap();
        assert_eq!(editor.inode("etc/shadow").unwrap().entry.metadata.mode, 0o640);
        editor.write("etc/shadow", b"c", 0o600, "test").unwrap();
        let metadata = &tree.entry(&own_path("etc/shadow")).unwrap().metadata;
        assert_eq!((metadata.mode, metadata.gid, metadata.mtime), (0o600, 42, EPOCH));
        // A directory does not change by what is written into its files.
        assert_eq!(tree.entry(&own_path("etc")).unwrap().metadata.mtime, Timestamp::from_seconds(5));
    }

    #[test]
    fn a_file_too_large_to_be_edited_is_refused() {
        let mut tree = root(&[]);
        for (name, size) in [("a", MAX_EDITED), ("b", MAX_EDITED + 1)] {
            let content = Content::sparse(bedplate_tree::Source::Memory([].into()), size, vec![]).unwrap();
            tree.put(&own_path(name), Entry::file(content, Metadata::default())).unwrap();
        }
        let contents = ContentSources::new();
        let editor = Editor::new(&mut tree, &contents, EPOCH);
        assert_eq!(editor.read("a").unwrap().unwrap().len() as u64, MAX_EDITED);
        assert!(matches!(editor.read("b"), Err(FinishError::Read(ReadError::TooLarge { .. }))));
    }
}

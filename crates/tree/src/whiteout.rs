//! The names by which a layer's archive says that something is gone.
//!
//! Spec: OCI image-spec v1.1, layer.md "Whiteouts". The only place that knows these names.

use crate::{PathError, TreePath};

/// The prefix of a whiteout: `.wh.NAME` hides `NAME` of the layers below.
pub const PREFIX: &[u8] = b".wh.";

/// The name of the mark that hides all of a directory's lower children.
pub const OPAQUE: &[u8] = b".wh..wh..opq";

/// The prefix of aufs' own bookkeeping (`.wh..wh.aufs`, `.wh..wh.plnk`), which old layers carry and every reader skips.
pub const BOOKKEEPING: &[u8] = b".wh..wh.";

/// What the name of an archive entry means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// An ordinary entry.
    Entry,
    /// Hides this path of the layers below.
    Whiteout(TreePath),
    /// Hides the lower children of this directory.
    Opaque(TreePath),
    /// Bookkeeping of a union file system: to be skipped with what is below it.
    Bookkeeping,
    /// A bare `.wh.`, or a whiteout of `.` or `..`: an error.
    Malformed,
}

/// Tells what an entry at `path` means in a layer.
#[must_use]
pub fn meaning(path: &TreePath) -> Meaning {
    let Some(name) = path.file_name() else { return Meaning::Entry };
    let parent = path.parent().unwrap_or_default();
    // An entry inside a bookkeeping directory is bookkeeping, too.
    if parent.components().any(|part| part.starts_with(BOOKKEEPING)) {
        return Meaning::Bookkeeping;
    }
    if name == OPAQUE {
        return Meaning::Opaque(parent);
    }
    if name.starts_with(BOOKKEEPING) {
        return Meaning::Bookkeeping;
    }
    let Some(hidden) = name.strip_prefix(PREFIX) else { return Meaning::Entry };
    match crate::Name::new(hidden) {
        Ok(hidden) => Meaning::Whiteout(parent.child(&hidden)),
        Err(_) => Meaning::Malformed,
    }
}

/// Tells whether a component of `path` has the prefix of whiteouts: no layer can hold such a file.
#[must_use]
pub fn is_reserved(path: &TreePath) -> bool {
    path.components().any(|part| part.starts_with(PREFIX))
}

/// The archive name of a whiteout of `path`.
///
/// # Errors
/// Where the prefix makes the path or its name too long for any file system, or `path` is the root.
pub fn name_of_whiteout(path: &TreePath) -> Result<TreePath, PathError> {
    let name = path.file_name().ok_or(PathError::NotAName { name: String::new() })?;
    let parent = path.parent().unwrap_or_default();
    parent.join(&crate::Name::new(&[PREFIX, name].concat())?)
}

/// The archive name of the opaque mark in the directory `path`.
///
/// # Errors
/// Where the mark makes the path too long.
pub fn name_of_opaque(path: &TreePath) -> Result<TreePath, PathError> {
    path.join(&crate::Name::new(OPAQUE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_their_meaning() {
        let path = |s: &str| TreePath::parse(s.as_bytes()).unwrap();
        let cases = [
            ("a/b", Meaning::Entry),
            ("", Meaning::Entry),
            ("a/.wh.b", Meaning::Whiteout(path("a/b"))),
            (".wh.b", Meaning::Whiteout(path("b"))),
            ("a/.wh..wh..opq", Meaning::Opaque(path("a"))),
            (".wh..wh..opq", Meaning::Opaque(path(""))),
            (".wh..wh.plnk", Meaning::Bookkeeping),
            (".wh..wh.plnk/1.2", Meaning::Bookkeeping),
            ("a/.wh.", Meaning::Malformed),
            ("a/.wh..", Meaning::Malformed),
            ("a/.wh...", Meaning::Malformed),
            ("a/.wh.b/c", Meaning::Entry),
            ("a/.whb", Meaning::Entry),
        ];
        for (given, expected) in cases {
            assert_eq!(meaning(&path(given)), expected, "{given}");
        }
    }

    #[test]
    fn names_go_there_and_back() {
        let path = TreePath::parse(b"usr/bin/env").unwrap();
        assert_eq!(meaning(&name_of_whiteout(&path).unwrap()), Meaning::Whiteout(path.clone()));
        assert_eq!(meaning(&name_of_opaque(&path).unwrap()), Meaning::Opaque(path));
    }
}

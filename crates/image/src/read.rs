//! Files of a root, read whole.

use std::io::{self, Read as _};

use bedplate_tree::{Content, Tree, TreeError, TreePath};
use thiserror::Error;

use crate::contents::{ContentError, Contents};

/// A file of the root cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A link leads in circles, or through something that is no directory.
    #[error("cannot find \"{path}\" in the root")]
    Resolve {
        /// The path.
        path: TreePath,
        /// Why.
        #[source]
        source: TreeError,
    },
    /// It is too large to be read whole.
    #[error("\"{path}\" of the root has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The path.
        path: TreePath,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Its bytes cannot be had.
    #[error("cannot read \"{path}\" of the root")]
    Content {
        /// The path.
        path: TreePath,
        /// Why.
        #[source]
        source: ContentError,
    },
    /// Its bytes cannot be read to their end.
    #[error("cannot read \"{path}\" of the root")]
    Bytes {
        /// The path.
        path: TreePath,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The bytes of a regular file of at most `limit` bytes, links followed inside the tree; `None` where there is none.
///
/// # Errors
/// [`ReadError`].
pub fn read_file(
    tree: &Tree,
    contents: &dyn Contents,
    path: &TreePath,
    limit: u64,
) -> Result<Option<Vec<u8>>, ReadError> {
    let found = tree.resolve(path, true);
    let (path, id) = found.map_err(|source| ReadError::Resolve { path: path.clone(), source })?;
    let content = id.and_then(|id| tree.inode(id).entry.content());
    content.map(|content| read_content(contents, &path, content, limit)).transpose()
}

/// The bytes of `content`, of the file at `path`, where they are at most `limit`.
///
/// # Errors
/// [`ReadError`].
pub fn read_content(
    contents: &dyn Contents,
    path: &TreePath,
    content: &Content,
    limit: u64,
) -> Result<Vec<u8>, ReadError> {
    let size = content.size();
    if size > limit {
        return Err(ReadError::TooLarge { path: path.clone(), size, limit });
    }
    let mut reader = contents.open(content).map_err(|source| ReadError::Content { path: path.clone(), source })?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    reader.read_to_end(&mut bytes).map_err(|source| ReadError::Bytes { path: path.clone(), source })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use bedplate_tree::{Entry, EntryKind, Metadata};

    use super::*;
    use crate::contents::ContentSources;

    #[test]
    fn files_are_read_through_links_and_up_to_a_limit() {
        let path = |text: &str| TreePath::parse(text.as_bytes()).unwrap();
        let link = |target: &[u8]| Entry { kind: EntryKind::Symlink(target.into()), metadata: Metadata::default() };
        let mut tree = Tree::new();
        tree.put(&path("lib/a"), Entry::file(Content::from_bytes(*b"abc"), Metadata::default())).unwrap();
        tree.put(&path("etc/a"), link(b"../lib/a")).unwrap();
        tree.put(&path("etc/circle"), link(b"circle")).unwrap();
        let contents = ContentSources::new();
        let read = |name: &str, limit| read_file(&tree, &contents, &path(name), limit);
        assert_eq!(read("etc/a", 3).unwrap().as_deref(), Some(&b"abc"[..]));
        assert!(matches!(read("etc/a", 2), Err(ReadError::TooLarge { size: 3, limit: 2, .. })));
        assert_eq!((read("etc", 3).unwrap(), read("etc/none", 3).unwrap()), (None, None));
        assert!(matches!(read("etc/circle", 3), Err(ReadError::Resolve { .. })));
    }
}

//! Files of a root, read through its tree.

use std::io::Read as _;

use bedplate_image::{ContentError, Contents};
use bedplate_tree::{Tree, TreeError, TreePath};
use thiserror::Error;

/// The largest file of a root that is read whole, in bytes: a `status` of 3,000 packages has 4 MiB.
pub(crate) const LARGEST: u64 = 256 << 20;

/// A file of the root cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A link leads nowhere, or in circles.
    #[error("cannot find {path:?} in the root")]
    Resolve {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: TreeError,
    },
    /// Its bytes cannot be had.
    #[error("cannot read {path:?} of the root")]
    Content {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: ContentError,
    },
    /// Its bytes cannot be read.
    #[error("cannot read {path:?} of the root")]
    Read {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is too large to be read whole.
    #[error("{path:?} of the root has {size} bytes; at most {LARGEST} are read")]
    Size {
        /// The path.
        path: String,
        /// Its size in bytes.
        size: u64,
    },
}

/// The bytes of a regular file, links followed; `None` where there is none.
///
/// # Errors
/// [`ReadError`].
pub fn read_file(tree: &Tree, contents: &dyn Contents, path: &TreePath) -> Result<Option<Vec<u8>>, ReadError> {
    let shown = || path.to_string();
    let (_, found) = tree.resolve(path, true).map_err(|source| ReadError::Resolve { path: shown(), source })?;
    let Some(content) = found.and_then(|id| tree.inode(id).entry.content()) else { return Ok(None) };
    if content.size() > LARGEST {
        return Err(ReadError::Size { path: shown(), size: content.size() });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(content.size()).unwrap_or_default());
    let mut reader = contents.open(content).map_err(|source| ReadError::Content { path: shown(), source })?;
    reader.read_to_end(&mut bytes).map_err(|source| ReadError::Read { path: shown(), source })?;
    Ok(Some(bytes))
}

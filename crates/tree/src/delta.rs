//! A layer as data: an ordered list of changes.

use crate::{Entry, TreePath};

/// What one change does to the path that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Makes the path this entry. A directory over a directory keeps the children and replaces the
    /// attributes; anything else replaces what was there.
    Put(Entry),
    /// Makes the path another name of the same file as `target`.
    Link {
        /// A path of the same layer, put before this change, or of a layer below.
        target: TreePath,
    },
    /// Hides the path of the layers below; never what this layer itself puts.
    Whiteout,
    /// Hides everything that the layers below have in this directory.
    Opaque,
}

/// One change at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path changed: for a whiteout the hidden name, without its `.wh.` prefix; for an opaque mark the directory.
    pub path: TreePath,
    /// What happens to it.
    pub action: Action,
}

/// What a layer changes, in the order of its archive.
///
/// Whiteouts and opaque marks speak of lower layers only, wherever they stand in the list. Where a path is
/// put twice the last one wins. Spec: OCI image-spec v1.1, layer.md "Applying Changesets".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delta {
    /// The changes, in archive order.
    pub changes: Vec<Change>,
}

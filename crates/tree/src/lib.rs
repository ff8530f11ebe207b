//! A root filesystem as data: entries, owners, extents, and the arithmetic of layers.
//!
//! Two forms carry everything else:
//!
//! ```text
//! Tree    a state     "what a root filesystem is"        directories, inodes, hard links by identity
//! Delta   a change    "what a layer says"                ordered list of put, link, whiteout, opaque
//!
//!     apply(tree, delta) = tree'        diff(tree, tree') = delta        flatten(deltas) = tree
//! ```
//!
//! An [`Entry`] is what both hold: a kind and its attributes. The bytes of a file are never here,
//! only [`Content`]: where they are. A tar, a package, an overlay's upper directory, a build context
//! and an image layer are read into these forms and written from them by the crates above.
//!
//! Nothing here touches a disk, a clock or the environment.
#![forbid(unsafe_code)]

pub mod accounts;
mod apply;
mod content;
mod delta;
mod diff;
mod edit;
mod entry;
mod path;
mod tree;
pub mod whiteout;

pub use apply::{ApplyError, ApplyReport, MAX_INODES, flatten};
pub use content::{Content, Extent, Source};
pub use delta::{Action, Change, Delta};
pub use diff::{Difference, LeftOut, Unrepresentable, diff};
pub use entry::{Entry, EntryKind, Metadata, Timestamp, Xattrs};
pub use path::{MAX_DEPTH, MAX_NAME, MAX_PATH, Name, PathError, TreePath};
pub use tree::{Inode, InodeId, MAX_SYMLINKS, Tree, TreeError, Walk};

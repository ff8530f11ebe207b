//! debootstrap's two stages, and what lies between them.
//!
//! ```text
//! archive ──▶ stock: indexes, packages, notes ─────▶ tarball (--make-tarball) ──▶ kit (--unpack-tarball)
//!               │                                                                    │
//!               ▼                                                                    ▼
//! first stage: the required packages unpacked, devices, sources.list ──▶ directory (--foreign) ──▶ kit
//!               │                                                                                   │
//!               ▼                                                                                   ▼
//! second stage: every script, in the sandbox ─────────────────────────────────▶ directory of a whole system
//! ```
//!
//! A bootstrap into a directory is the first stage and the second one without a disk between them, so that it does not
//! matter where they are parted. The places and forms of everything in between are debootstrap's own: it reads what
//! is written here, and the other way round.
//!
//! Spec: debootstrap(8); observed on debootstrap 1.0.128.

mod directory;
mod kit;
mod lists;
mod notes;
mod stage;
mod stock;

use bedplate_image::disk::ScanError;
use bedplate_sys::CallError;
use bedplate_tree::{TreeError, TreePath};
use thiserror::Error;

pub use directory::scan_directory;
pub use kit::{Kit, KitError, adopt_packages};
pub use notes::{Notes, NotesError};
pub use stage::{HostFiles, log, log_path};
pub use stock::Stock;

/// The directory in which debootstrap keeps its notes until the second stage is done.
pub const FOLDER: &str = "debootstrap";

/// Where apt keeps packages.
const ARCHIVES: &str = "var/cache/apt/archives";

/// Where apt keeps indexes.
const LISTS: &str = "var/lib/apt/lists";

/// A stage cannot be done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StageError {
    /// A path has no place in the root.
    #[error("cannot put \"{path}\"")]
    Put {
        /// The path.
        path: TreePath,
        /// What is in its way.
        #[source]
        source: TreeError,
    },
    /// What a package or an archive is called makes no path.
    #[error("cannot name a file {name:?}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        #[source]
        source: bedplate_tree::PathError,
    },
    /// The directory holds what a package brings.
    #[error("the directory holds \"{path}\", which packages bring")]
    Occupied {
        /// The path.
        path: TreePath,
    },
    /// The directory cannot be opened.
    #[error("cannot open the directory")]
    Open(#[source] CallError),
    /// The directory cannot be read.
    #[error("cannot read the directory")]
    Scan(#[from] ScanError),
    /// The indexes were not read: a lock names the packages.
    #[error("a lock names packages only: debootstrap's stages want the indexes, too")]
    Locked,
    /// A tarball or directory of the first stage.
    #[error(transparent)]
    Kit(#[from] KitError),
}

/// The file name of a package in apt's archives.
fn deb_name(name: &str, version: &str, architecture: &str) -> String {
    format!("{name}_{}_{architecture}.deb", version.replace(':', "%3a"))
}

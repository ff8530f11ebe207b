//! Why a root for scripts cannot be had.

use std::io;
use std::path::PathBuf;

use bedplate_image::UnpackError;
use bedplate_image::disk::ScanError;
use bedplate_run::RunError;
use bedplate_store::StoreError;
use bedplate_sys::CallError;
use bedplate_tree::ApplyError;
use thiserror::Error;

/// The root in which scripts run cannot be made or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RootError {
    /// The packages cannot be unpacked.
    #[error("cannot unpack the packages")]
    Unpack(#[source] UnpackError),
    /// What the scripts changed cannot be read.
    #[error("cannot read what the scripts changed")]
    Changes(#[from] ScanError),
    /// What the scripts changed does not fit the packages.
    #[error("cannot take over what the scripts changed")]
    Absorb(#[source] ApplyError),
    /// The container cannot be made.
    #[error("cannot make the container for the scripts")]
    Run(#[source] RunError),
    /// The store cannot keep what is unpacked.
    #[error("cannot keep the unpacked packages")]
    Store(#[from] StoreError),
    /// A directory cannot be made.
    #[error("cannot make {path:?} for the scripts")]
    Make {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory cannot be opened.
    #[error("cannot open {path:?}")]
    Open {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: CallError,
    },
}

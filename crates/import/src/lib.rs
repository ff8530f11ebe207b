//! Tar streams and directories in, images out.
//!
//! ```text
//! stream --recognise--> plain, xz, bzip2 --+-> uncompressed layer     its sha256 is the diff ID
//!                       gzip, zstd --------+-> the blob as given      its digest stays, the diff ID is taken in passing
//! directory --scan--> tree ----------------+-> uncompressed layer
//!
//! layer + changes + platform + epoch = an image of one layer, without a parent
//! ```
#![forbid(unsafe_code)]

mod assemble;
mod directory;
mod error;
mod saved;
mod stream;
mod warning;

pub use assemble::{Imported, Request, assemble};
pub use directory::{DirectoryOptions, store_directory};
pub use error::ImportError;
pub use saved::SavedImage;
pub use stream::{Layer, store_stream};
pub use warning::Warning;

//! Images in the archives and layouts of other tools.
//!
//! ```text
//! save   store -> one tar that is a docker-archive and an OCI image layout at once
//! write_layout   one image of the store -> OCI layout directory
//! load   docker-archive, OCI archive (both compressed or not), OCI layout directory -> store
//! ```

mod docker_archive;
mod error;
mod load;
mod oci_layout;
mod pieces;
mod save;

pub use error::TransferError;
pub use load::{LoadOptions, Loaded, load_archive, load_directory};
pub use save::{Saved, save, write_layout};

#[doc(hidden)]
pub use docker_archive::fuzz_manifest;

pub(crate) use pieces::relative as link_target;

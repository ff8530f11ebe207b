//! Why images cannot be saved or loaded.

use std::path::PathBuf;

use bedplate_archive::{TarError, WriteError};
use bedplate_oci::{DiffId, Digest, JsonError, Platform, ReferenceError};
use thiserror::Error;

use crate::error::StoreError;

/// Why images cannot be saved or loaded.
#[derive(Debug, Error)]
pub enum TransferError {
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The archive cannot be written.
    #[error("cannot write the archive")]
    Write {
        /// Why, and at which entry.
        source: WriteError,
    },
    /// A file of a layout cannot be written.
    #[error("cannot write {path:?}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing is to be saved.
    #[error("no image to save was named")]
    NothingToSave,

    /// The input cannot be decompressed or is no tar.
    #[error("{what} is no readable archive")]
    Archive {
        /// The input.
        what: String,
        /// Where and why.
        source: TarError,
    },
    /// The input cannot be read.
    #[error("cannot read {what}")]
    Read {
        /// The input, or a part of it.
        what: String,
        /// What the system or the decoder says.
        source: std::io::Error,
    },
    /// The archive has more files than any image.
    #[error("{what} has more than {limit} files: it is no saved image")]
    TooManyFiles {
        /// The input.
        what: String,
        /// The limit.
        limit: usize,
    },
    /// The archive holds something else.
    #[error(
        "{what} is no saved image: it has neither \"index.json\" nor \"manifest.json\"; a root filesystem is taken in with \"import\""
    )]
    NotAnImage {
        /// The input.
        what: String,
    },
    /// The archive is older than content addresses.
    #[error("{what} was saved by a Docker before 1.10: save it again with a newer one")]
    TooOld {
        /// The input.
        what: String,
    },
    /// A file that another names is not there.
    #[error("{what}: {path:?} is missing, which {needed_by} names")]
    Missing {
        /// The input.
        what: String,
        /// The missing file.
        path: String,
        /// The document that names it.
        needed_by: String,
    },
    /// A path leads out of the archive, in circles, or to no regular file.
    #[error("{what}: {path:?} leads to no file of the archive")]
    BadPath {
        /// The input.
        what: String,
        /// The path.
        path: String,
    },
    /// A JSON document is malformed.
    #[error("{what}: {path:?} is malformed")]
    Json {
        /// The input.
        what: String,
        /// The file.
        path: String,
        /// Where and why.
        source: JsonError,
    },
    /// A name is none.
    #[error("{what}: {name:?} is no name for an image")]
    Name {
        /// The input.
        what: String,
        /// The name.
        name: String,
        /// Why.
        source: ReferenceError,
    },
    /// The bytes of a file are not those that its digest promises.
    #[error("{what}: {path:?}: expected {expected} of {expected_size} bytes, found {found} of {found_size}")]
    WrongDigest {
        /// The input.
        what: String,
        /// The file.
        path: String,
        /// The digest that was promised.
        expected: Digest,
        /// The size that was promised, in bytes.
        expected_size: u64,
        /// The digest of the bytes.
        found: Digest,
        /// The size found, in bytes.
        found_size: u64,
    },
    /// A config names more or fewer layers than there are.
    #[error("{what}: image {image}: {layers} layers, but {diff_ids} diff IDs in its config")]
    LayerCount {
        /// The input.
        what: String,
        /// The image's config.
        image: Digest,
        /// Layers given.
        layers: usize,
        /// Diff IDs in the config.
        diff_ids: usize,
    },
    /// A layer is not the one that the config names.
    #[error("{what}: layer {number} of {count}: expected diff ID {expected}, found {found}")]
    WrongDiffId {
        /// The input.
        what: String,
        /// The layer, from 1, the lowest first.
        number: usize,
        /// How many there are.
        count: usize,
        /// The diff ID of the config.
        expected: DiffId,
        /// The digest of the uncompressed layer.
        found: Digest,
    },
    /// A layer is no archive.
    #[error("{what}: layer {number} of {count} is no readable archive")]
    Layer {
        /// The input.
        what: String,
        /// The layer, from 1, the lowest first.
        number: usize,
        /// How many there are.
        count: usize,
        /// Where and why.
        source: TarError,
    },
    /// No image of the input fits, or there is none at all.
    #[error("{what} has no image{}{}", wanted(platform), list(found))]
    NoImage {
        /// The input.
        what: String,
        /// The platform asked for.
        platform: Option<Platform>,
        /// The platforms that there are.
        found: Vec<String>,
    },
    /// The directory is no OCI image layout.
    #[error("{} is no OCI image layout: it has no file \"index.json\"", path.display())]
    NotALayout {
        /// The directory.
        path: PathBuf,
    },
}

impl TransferError {
    /// Tells whether the input's bytes are at fault.
    #[must_use]
    pub fn is_input_error(&self) -> bool {
        match self {
            Self::Store(error) => error.is_input_error(),
            Self::Write { .. }
            | Self::File { .. }
            | Self::NothingToSave
            | Self::NoImage { .. }
            | Self::NotALayout { .. } => false,
            // What its reader says decides.
            Self::Read { .. } => false,
            _ => true,
        }
    }
}

fn wanted(platform: &Option<Platform>) -> String {
    platform.as_ref().map(|platform| format!(" for {platform}")).unwrap_or_default()
}

fn list(found: &[String]) -> String {
    match found {
        [] => String::new(),
        names => format!("; it has {}", names.join(", ")),
    }
}

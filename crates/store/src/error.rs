//! What can go wrong in a store.

use std::path::PathBuf;

use bedplate_oci::{ChainId, DiffId, Digest, JsonError, Platform, Reference, ReferenceError};
use bedplate_sys::CallError;
use thiserror::Error;

/// Why a store could not do what was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A system call failed on a file of the store.
    // Not transparent: the call must be found among the causes, for it decides whose matter an error is.
    #[error("{0}")]
    Call(#[from] CallError),

    /// The directory holds something else.
    #[error("{} is no store: it is not empty and has no file \"format\"", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// No store lies there, and none is to be made.
    #[error("there is no store at {}", path.display())]
    NoStore {
        /// The directory.
        path: PathBuf,
    },
    /// A newer program made the store.
    #[error("the store {} has format {found}; this bedplate knows formats up to {known}: use a newer one", path.display())]
    NewerFormat {
        /// The store.
        path: PathBuf,
        /// The format that its file `format` names.
        found: u32,
        /// The newest format that this program knows.
        known: u32,
    },
    /// The file `format` cannot be read as what it should be.
    #[error("the store {} has a malformed file \"format\": {text:?}", path.display())]
    MalformedFormat {
        /// The store.
        path: PathBuf,
        /// What the file holds, capped.
        text: String,
    },
    /// The store was opened for reading only.
    #[error("the store {} is open for reading only", path.display())]
    ReadOnly {
        /// The store.
        path: PathBuf,
    },
    /// A file is larger than anything the store writes there.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// The file or document.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },

    /// A blob is not in the store.
    #[error("blob {digest} is missing in the store {}", path.display())]
    BlobMissing {
        /// The blob.
        digest: Digest,
        /// The store.
        path: PathBuf,
    },
    /// A layer is not in the store in any form.
    #[error("layer {diff_id} is missing in the store {}", path.display())]
    LayerMissing {
        /// The layer.
        diff_id: DiffId,
        /// The store.
        path: PathBuf,
    },
    /// Bytes are not those that their digest promises.
    #[error("{what}: expected digest {expected}, found {found}")]
    WrongDigest {
        /// What was read.
        what: String,
        /// The digest that was promised.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// There are more or fewer bytes than promised.
    #[error("{what}: expected {expected} bytes, found {found}")]
    WrongSize {
        /// What was read.
        what: String,
        /// The size that was promised, in bytes.
        expected: u64,
        /// The size found, in bytes.
        found: u64,
    },
    /// The source of a blob could not be read.
    #[error("cannot read {what}")]
    Source {
        /// What was read.
        what: String,
        /// What its reader said.
        source: std::io::Error,
    },
    /// A JSON document is not what it should be.
    #[error("{object}")]
    Json {
        /// The blob or file.
        object: String,
        /// Where and why.
        source: JsonError,
    },
    /// The store's list of images cannot be read.
    #[error("{} is malformed: {source}; repair or remove it", path.display())]
    MalformedIndex {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A layer's archive is malformed.
    #[error("layer {diff_id} is no usable archive")]
    Layer {
        /// The layer.
        diff_id: DiffId,
        /// Where and why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The layers of an image could not be laid on each other or written out.
    #[error("cannot unpack {chain_id}")]
    Unpack {
        /// The stack of layers.
        chain_id: ChainId,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A manifest and its config do not agree about the layers.
    #[error("image {digest}: the manifest lists {layers} layers, the config {diff_ids} diff IDs")]
    LayerCount {
        /// The manifest.
        digest: Digest,
        /// Layers in the manifest.
        layers: usize,
        /// Diff IDs in the config.
        diff_ids: usize,
    },
    /// A manifest's type says that it is no image.
    #[error("{digest} is no image: its type is {media_type:?}")]
    NoImage {
        /// The document.
        digest: Digest,
        /// Its media type, capped.
        media_type: String,
    },
    /// No manifest of an image index fits.
    #[error("image {digest} has no manifest for {} here{}", wanted, list(found))]
    NoPlatform {
        /// The image index.
        digest: Digest,
        /// The platform asked for.
        wanted: Platform,
        /// The platforms that the index names.
        found: Vec<String>,
    },

    /// No image has this name or ID.
    #[error("no such image: {wanted}{}", near_names(near))]
    NoSuchImage {
        /// What was asked for.
        wanted: String,
        /// Names that differ little.
        near: Vec<String>,
    },
    /// The image is in the system's store only, which this command does not change.
    #[error("no such image in {}: {wanted}; the system's store {} has it, which is not changed from here", own.display(), system.display())]
    ElsewhereOnly {
        /// What was asked for.
        wanted: String,
        /// The store that was to be changed.
        own: PathBuf,
        /// The store that has it.
        system: PathBuf,
    },
    /// Several images' IDs begin like this.
    #[error("image ID {prefix:?} is ambiguous: it is the beginning of {}", matches.join(", "))]
    AmbiguousImage {
        /// What was asked for.
        prefix: String,
        /// The IDs that begin with it.
        matches: Vec<String>,
    },
    /// The text cannot be the name of an image.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A digest cannot be given to an image as a name.
    #[error("{name} has a digest: an image can be named by a tag only")]
    DigestAsName {
        /// The name.
        name: Reference,
    },
    /// The image has other names, and was asked for by its ID.
    #[error("image {id} has several names ({}): remove them one by one, or force it", names.join(", "))]
    SeveralNames {
        /// The image.
        id: String,
        /// Its names.
        names: Vec<String>,
    },
    /// A container was made of the image.
    #[error("image {id} is used by container {container}: remove the container, or force it")]
    ImageInUse {
        /// The image.
        id: String,
        /// The container.
        container: String,
    },

    /// The text cannot be the name of a container.
    #[error("invalid container name {name:?}: expected [a-zA-Z0-9][a-zA-Z0-9_.-]+")]
    ContainerName {
        /// The name, capped.
        name: String,
    },
    /// Another container has the name.
    #[error("the container name {name:?} is in use by container {id}: remove that container, or choose another name")]
    ContainerNameTaken {
        /// The name.
        name: String,
        /// The container that has it.
        id: String,
    },
    /// No container has this name or ID.
    #[error("no such container: {wanted}")]
    NoSuchContainer {
        /// What was asked for.
        wanted: String,
    },
    /// Several containers' IDs begin like this.
    #[error("container ID {prefix:?} is ambiguous: it is the beginning of {}", matches.join(", "))]
    AmbiguousContainer {
        /// What was asked for.
        prefix: String,
        /// The IDs that begin with it.
        matches: Vec<String>,
    },
    /// A process holds the container.
    #[error("container {id} is running: stop it first")]
    ContainerRunning {
        /// The container.
        id: String,
    },
    /// A container's state cannot be read.
    #[error("container {id} has a malformed state: {source}")]
    ContainerState {
        /// The container.
        id: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A key of a cache has characters that no key has.
    #[error("invalid cache key {key:?}")]
    CacheKey {
        /// The key, capped.
        key: String,
    },
}

impl StoreError {
    /// Tells whether bytes are not what they should be: of a blob, a document, an archive.
    #[must_use]
    pub fn is_input_error(&self) -> bool {
        matches!(
            self,
            Self::WrongDigest { .. }
                | Self::WrongSize { .. }
                | Self::Json { .. }
                | Self::MalformedIndex { .. }
                | Self::MalformedFormat { .. }
                | Self::Layer { .. }
                | Self::LayerCount { .. }
                | Self::NoImage { .. }
                | Self::TooLarge { .. }
                | Self::BlobMissing { .. }
                | Self::LayerMissing { .. }
                | Self::ContainerState { .. }
        )
    }

    /// Tells whether the cause is a name or ID that the user gave, and not the state of the machine.
    #[must_use]
    pub fn is_user_error(&self) -> bool {
        matches!(
            self,
            Self::NoSuchImage { .. }
                | Self::ElsewhereOnly { .. }
                | Self::AmbiguousImage { .. }
                | Self::Reference(_)
                | Self::DigestAsName { .. }
                | Self::SeveralNames { .. }
                | Self::ImageInUse { .. }
                | Self::ContainerName { .. }
                | Self::ContainerNameTaken { .. }
                | Self::NoSuchContainer { .. }
                | Self::AmbiguousContainer { .. }
                | Self::ContainerRunning { .. }
                | Self::NoPlatform { .. }
        )
    }
}

fn near_names(near: &[String]) -> String {
    match near {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(" or ")),
    }
}

fn list(found: &[String]) -> String {
    match found {
        [] => String::new(),
        names => format!("; it has {}", names.join(", ")),
    }
}

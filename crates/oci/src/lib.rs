//! OCI and Docker image types: digests, descriptors, manifests, configs, references, platforms.
//!
//! Bytes that came from elsewhere are never written again from these types: a digest would move. They are for
//! reading such bytes, and for making new ones, whose field order and spelling are fixed here for good.
#![forbid(unsafe_code)]

mod config;
mod descriptor;
mod digest;
#[doc(hidden)]
pub mod fuzz;
mod json;
mod manifest;
pub mod media_type;
mod platform;
mod reference;
mod time;

pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, RootFs};
pub use descriptor::Descriptor;
pub use digest::{ChainId, DiffId, Digest, DigestError, Hasher, ImageId, chain_ids};
pub use json::{JsonError, MAX_JSON, from_json, to_json};
pub use manifest::{ImageIndex, Manifest};
pub use platform::{Platform, PlatformError};
pub use reference::{DEFAULT_REGISTRY, DEFAULT_TAG, Reference, ReferenceError, SCRATCH};
pub use time::{Created, CreatedError};

/// Annotation keys that the image specification defines. Spec: OCI image-spec v1.1, annotations.md.
pub mod annotation {
    /// The full normalised name and tag of the image that an index entry names.
    pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
    /// The name of the image that this one is built on.
    pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
    /// The manifest digest of the image that this one is built on.
    pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
    /// What the image is, for people.
    pub const TITLE: &str = "org.opencontainers.image.title";
    /// The version of what is in the image.
    pub const VERSION: &str = "org.opencontainers.image.version";
    /// When the image was made.
    pub const CREATED: &str = "org.opencontainers.image.created";
    /// containerd's name for the same as [`REF_NAME`]; `docker load` of an OCI archive reads it.
    pub const CONTAINERD_NAME: &str = "io.containerd.image.name";
}

//! A look at an image: its documents as they were given, its layers, its history.

use bedplate_oci::{ChainId, DiffId, Digest, History, ImageConfig, ImageId, JsonError, Manifest, chain_ids, from_json};
use bedplate_tree::ApplyError;
use thiserror::Error;

/// How many layers an image may have: overlay stacks and other tools end at 127; a few more are read, not made.
pub const MAX_LAYERS: usize = 512;

/// Why two documents are not an image.
#[derive(Debug, Error)]
pub enum ImageError {
    /// A document is no valid JSON of its kind.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The config's digest is not what the manifest says.
    #[error("image config {found}: its manifest expects {expected}")]
    WrongConfig {
        /// What the manifest says.
        expected: Digest,
        /// The digest of the config given.
        found: Digest,
    },
    /// Manifest and config disagree about the number of layers.
    #[error("the manifest has {layers} layers and the config {diff_ids} diff ids")]
    LayerCount {
        /// Layers in the manifest.
        layers: usize,
        /// Diff IDs in the config.
        diff_ids: usize,
    },
    /// More layers than [`MAX_LAYERS`].
    #[error("{layers} layers are more than the {MAX_LAYERS} that an image may have")]
    TooManyLayers {
        /// Layers in the manifest.
        layers: usize,
    },
    /// A layer cannot be applied to those below it.
    #[error("cannot apply layer {number} of {count} ({diff_id})")]
    Apply {
        /// Its number, counted from 1.
        number: usize,
        /// The number of layers.
        count: usize,
        /// Its diff ID.
        diff_id: DiffId,
        /// What is in the way.
        #[source]
        source: ApplyError,
    },
}

/// An image's documents: the bytes as they were given, which are never written anew, and what they say.
#[derive(Debug, Clone)]
pub struct Image {
    manifest_bytes: Vec<u8>,
    config_bytes: Vec<u8>,
    manifest: Manifest,
    config: ImageConfig,
}

impl Image {
    /// Reads a manifest and its config.
    ///
    /// # Errors
    /// [`ImageError`] where either is malformed or they do not belong together.
    pub fn parse(manifest: Vec<u8>, config: Vec<u8>) -> Result<Self, ImageError> {
        let parsed: Manifest = from_json("image manifest", &manifest)?;
        let found = Digest::of(&config);
        if found != parsed.config.digest {
            return Err(ImageError::WrongConfig { expected: parsed.config.digest, found });
        }
        let parsed_config: ImageConfig = from_json("image config", &config)?;
        let (layers, diff_ids) = (parsed.layers.len(), parsed_config.rootfs.diff_ids.len());
        if layers != diff_ids {
            return Err(ImageError::LayerCount { layers, diff_ids });
        }
        if layers > MAX_LAYERS {
            return Err(ImageError::TooManyLayers { layers });
        }
        Ok(Self { manifest_bytes: manifest, config_bytes: config, manifest: parsed, config: parsed_config })
    }

    /// The identity of the image: the digest of its config.
    #[must_use]
    pub fn id(&self) -> ImageId {
        ImageId(self.manifest.config.digest)
    }

    /// The manifest as it was given.
    #[must_use]
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest_bytes
    }

    /// The config as it was given.
    #[must_use]
    pub fn config_bytes(&self) -> &[u8] {
        &self.config_bytes
    }

    /// What the manifest says.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the config says.
    #[must_use]
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// The diff IDs of the layers, the lowest first.
    #[must_use]
    pub fn diff_ids(&self) -> &[DiffId] {
        &self.config.rootfs.diff_ids
    }

    /// The chain ID of each prefix of the layers, the lowest first.
    #[must_use]
    pub fn chain_ids(&self) -> Vec<ChainId> {
        chain_ids(self.diff_ids())
    }

    /// The history, the oldest step first, each with the number of its layer.
    ///
    /// A step that claims a layer which does not exist gets none; layers that no step claims follow at the
    /// end with an empty step: images without a history are common and legal.
    #[must_use]
    pub fn history(&self) -> Vec<(History, Option<usize>)> {
        let count = self.diff_ids().len();
        let mut next = 0;
        let mut steps: Vec<(History, Option<usize>)> = Vec::new();
        for step in &self.config.history {
            let layer = (!step.empty_layer && next < count).then_some(next);
            next += usize::from(layer.is_some());
            steps.push((step.clone(), layer));
        }
        steps.extend((next..count).map(|layer| (History::default(), Some(layer))));
        steps
    }
}

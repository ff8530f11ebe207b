//! A look at an image: its documents as they were given, its layers, its history.

use bedplate_archive::Index;
use bedplate_oci::{ChainId, DiffId, Digest, History, ImageConfig, ImageId, JsonError, Manifest, chain_ids, from_json};
use bedplate_tree::{ApplyError, ApplyReport, Tree};
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
    /// A layer cannot be read as changes.
    #[error("cannot read layer {number} of {count} ({diff_id})")]
    Layer {
        /// Its number, counted from 1.
        number: usize,
        /// The number of layers.
        count: usize,
        /// Its diff ID.
        diff_id: DiffId,
        /// What is wrong with it.
        #[source]
        source: bedplate_archive::IndexError,
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

/// The root filesystem that layers amount to, the lowest first.
///
/// # Errors
/// [`ImageError::Layer`] and [`ImageError::Apply`], with the number of the layer.
pub fn tree_of(layers: &[Index]) -> Result<(Tree, ApplyReport), ImageError> {
    let mut tree = Tree::new();
    let mut report = ApplyReport::default();
    for (at, index) in layers.iter().enumerate() {
        let (number, count, diff_id) = (at + 1, layers.len(), diff_id(index));
        let delta = index.delta().map_err(|source| ImageError::Layer { number, count, diff_id, source })?;
        report += tree.apply(&delta).map_err(|source| ImageError::Apply { number, count, diff_id, source })?;
    }
    Ok((tree, report))
}

fn diff_id(index: &Index) -> DiffId {
    DiffId(Digest::from_bytes(index.diff_id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedplate_oci::{Descriptor, Platform, media_type, to_json};

    fn documents(layers: usize, history: &[bool]) -> (Vec<u8>, Vec<u8>) {
        let mut config = ImageConfig::new(Platform::new("linux", "amd64"));
        config.rootfs.diff_ids = (0..layers).map(|n| DiffId(Digest::of(&[n as u8]))).collect();
        config.history = history.iter().map(|&empty_layer| History { empty_layer, ..History::default() }).collect();
        let config = to_json(&config);
        let blob = Descriptor::of(media_type::LAYER, b"");
        let manifest = Manifest::new(Descriptor::of(media_type::CONFIG, &config), vec![blob; layers]);
        (to_json(&manifest), config)
    }

    #[test]
    fn history_is_paired_with_layers() {
        type Case<'a> = (usize, &'a [bool], &'a [Option<usize>]);
        let cases: &[Case<'_>] = &[
            (2, &[false, true, false], &[Some(0), None, Some(1)]),
            (0, &[true], &[None]),
            // Too little history, none, too much.
            (2, &[false], &[Some(0), Some(1)]),
            (2, &[], &[Some(0), Some(1)]),
            (1, &[false, false], &[Some(0), None]),
        ];
        for (layers, history, expected) in cases {
            let (manifest, config) = documents(*layers, history);
            let image = Image::parse(manifest, config).unwrap();
            let found: Vec<_> = image.history().into_iter().map(|(_, layer)| layer).collect();
            assert_eq!(found, *expected);
            assert_eq!(image.chain_ids().len(), *layers);
            assert_eq!(image.id().0, Digest::of(image.config_bytes()));
        }
    }

    #[test]
    fn documents_that_do_not_belong_together_are_refused() {
        let (manifest, config) = documents(1, &[]);
        let (other_manifest, other_config) = documents(2, &[]);
        assert!(matches!(Image::parse(manifest.clone(), other_config), Err(ImageError::WrongConfig { .. })));
        assert!(matches!(Image::parse(b"{".to_vec(), config.clone()), Err(ImageError::Json(_))));
        let mut odd: Manifest = from_json("image manifest", &other_manifest).unwrap();
        odd.config = Descriptor::of(media_type::CONFIG, &config);
        let refused = Image::parse(to_json(&odd), config);
        assert!(matches!(refused, Err(ImageError::LayerCount { layers: 2, diff_ids: 1 })));
        let (manifest, config) = documents(MAX_LAYERS + 1, &[]);
        assert!(matches!(Image::parse(manifest, config), Err(ImageError::TooManyLayers { .. })));
        let (manifest, config) = documents(MAX_LAYERS, &[]);
        assert!(Image::parse(manifest, config).is_ok());
    }
}

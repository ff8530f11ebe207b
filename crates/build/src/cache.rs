//! Keys of steps: the digest of all that goes into one.
//!
//! A step's key holds the diff IDs of the layers below, never how they came to be: two ways to the same files share
//! what is built on them. The epoch is part of it, so that a digest never tells whether the cache hit.

use bedplate_oci::{Descriptor, DiffId, Digest, Hasher, media_type};
use bedplate_store::BuildEntry;
use bedplate_tree::{Entry, EntryKind, Timestamp};
use serde::{Deserialize, Serialize};

/// The version of keys and of what steps do; raised when a step makes another layer of the same inputs.
const VERSION: &str = "bedplate build step 1";

/// A key being put together. Every part is written with its length, so that no two rows of parts are alike.
pub(crate) struct KeyBuilder(Hasher);

impl KeyBuilder {
    pub(crate) fn new(kind: &str, layers: &[(DiffId, Descriptor)], epoch: Timestamp) -> Self {
        let mut key = Self(Hasher::new());
        key.text(VERSION).text(kind);
        key.number(epoch.seconds as u64).number(epoch.nanoseconds.into());
        key.layers(layers.iter().map(|(diff_id, _)| diff_id));
        key
    }

    /// The layers of a stage or an image.
    pub(crate) fn layers<'a>(
        &mut self,
        layers: impl IntoIterator<IntoIter: ExactSizeIterator<Item = &'a DiffId>>,
    ) -> &mut Self {
        let layers = layers.into_iter();
        self.number(layers.len() as u64);
        for diff_id in layers {
            self.digest(&diff_id.0);
        }
        self
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    pub(crate) fn option(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.number(1).text(text),
            None => self.number(0),
        }
    }

    pub(crate) fn texts<'a>(&mut self, texts: impl ExactSizeIterator<Item = &'a str>) -> &mut Self {
        self.number(texts.len() as u64);
        for text in texts {
            self.text(text);
        }
        self
    }

    pub(crate) fn digest(&mut self, digest: &Digest) -> &mut Self {
        self.0.update(digest.as_bytes());
        self
    }

    /// What counts of an entry of a context: kind, mode and bytes.
    pub(crate) fn context_entry(&mut self, entry: &Entry, content: Option<&Digest>) -> &mut Self {
        self.text(entry.kind.describe());
        match &entry.kind {
            EntryKind::Symlink(target) => self.bytes(target),
            EntryKind::CharDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
                self.number((*major).into()).number((*minor).into()).number(entry.metadata.mode.into())
            }
            EntryKind::File(_) => {
                self.number(entry.metadata.mode.into());
                match content {
                    Some(digest) => self.digest(digest),
                    None => self,
                }
            }
            EntryKind::Directory | EntryKind::Fifo | EntryKind::Socket => self.number(entry.metadata.mode.into()),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        self.0.digest()
    }
}

/// A layer as the cache keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct CachedLayer {
    diff_id: DiffId,
    size: u64,
}

/// The cache's entry of a layer that was made.
pub(crate) fn entry_of(diff_id: DiffId, layer: &Descriptor) -> BuildEntry {
    let value = serde_json::json!({ "diff_id": diff_id, "size": layer.size });
    BuildEntry { value, layers: vec![diff_id], blobs: Vec::new() }
}

/// The layer of a cache's entry.
pub(crate) fn layer_of(entry: BuildEntry) -> Option<(DiffId, Descriptor)> {
    let layer: CachedLayer = serde_json::from_value(entry.value).ok()?;
    Some((layer.diff_id, Descriptor::new(media_type::LAYER, layer.diff_id.0, layer.size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        let key = |parts: &[&str]| {
            let mut key = KeyBuilder::new("x", &[], Timestamp::ZERO);
            parts.iter().for_each(|part| {
                key.text(part);
            });
            key.finish()
        };
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["a"]), key(&["a", ""]));
        assert_eq!(key(&["a", "b"]), key(&["a", "b"]));
    }

    #[test]
    fn the_epoch_and_the_layers_below_count() {
        let key = |layers: &[(DiffId, Descriptor)], epoch| {
            KeyBuilder::new("x", layers, Timestamp::from_seconds(epoch)).finish()
        };
        let digest = Digest::of(b"layer");
        let layer = (DiffId(digest), Descriptor::new(media_type::LAYER, digest, 5));
        assert_ne!(key(&[], 0), key(&[], 1));
        assert_ne!(key(&[], 0), key(std::slice::from_ref(&layer), 0));
        assert_eq!(layer_of(entry_of(layer.0, &layer.1)), Some(layer));
    }
}

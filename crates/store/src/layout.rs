//! Where things lie in a store.
//!
//! ```text
//! format                                     version of this layout
//! oci-layout, index.json, blobs/sha256/<hex> a valid OCI image layout
//! layers/<diffid>/index, variants            tar index of a layer; the blobs that hold it in compressed form
//! snapshots/<chainid>[-<map>]/               unpacked roots (cache); `<map>` tells user namespaces apart
//! containers/<id>/                           state, upper, work, logs
//! cache/<kind>/                              content-addressed; may be deleted while nobody holds its lock
//! tmp/<lease>/                               ingests; swept when their lock is free
//! locks/                                     names, sweep
//! ```

use std::path::{Path, PathBuf};

use bedplate_oci::{DiffId, Digest};

use crate::cache::CacheKind;

/// The version of the layout that this program writes, and the newest that it reads.
///
/// It moves when an older program would misread or damage what a newer one wrote; caches have versions of
/// their own and do not count.
pub const FORMAT: u32 = 1;

/// The first word of the file `format`.
pub(crate) const FORMAT_WORD: &str = "bedplate-store";

/// What the file `oci-layout` holds. Spec: OCI image-spec v1.1, image-layout.md.
pub(crate) const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The paths of one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn format(&self) -> PathBuf {
        self.root.join("format")
    }

    pub(crate) fn oci_layout(&self) -> PathBuf {
        self.root.join("oci-layout")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index.json")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join(format!("blobs/sha256/{}", digest.hex()))
    }

    pub(crate) fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub(crate) fn layer(&self, diff_id: &DiffId) -> PathBuf {
        self.root.join(format!("layers/{}", diff_id.0.hex()))
    }

    pub(crate) fn layer_index(&self, diff_id: &DiffId) -> PathBuf {
        self.layer(diff_id).join("index")
    }

    pub(crate) fn layer_variants(&self, diff_id: &DiffId) -> PathBuf {
        self.layer(diff_id).join("variants")
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    pub(crate) fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    pub(crate) fn cache(&self, kind: CacheKind) -> PathBuf {
        self.root.join("cache").join(kind.folder())
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(crate) fn names_lock(&self) -> PathBuf {
        self.root.join("locks/names")
    }

    pub(crate) fn sweep_lock(&self) -> PathBuf {
        self.root.join("locks/sweep")
    }

    /// The folders, each with whether other users may look into it where the store is shared.
    ///
    /// Unpacked roots hold programs with setuid bits, and containers what their users made of them: no other
    /// user gets to those, even in the system's store.
    pub(crate) fn folders() -> [(&'static str, bool); 17] {
        [
            ("blobs", true),
            ("blobs/sha256", true),
            ("layers", true),
            ("snapshots", false),
            ("containers", false),
            ("containers/names", false),
            ("cache", false),
            ("cache/packages", false),
            ("cache/payloads", false),
            ("cache/indexes", false),
            ("cache/build", false),
            ("cache/http", false),
            ("cache/streams", false),
            ("cache/context", false),
            ("cache/mounts", false),
            ("tmp", false),
            ("locks", false),
        ]
    }
}

/// Reads the text of the file `format`.
pub(crate) fn parse_format(text: &str) -> Option<u32> {
    let (word, version) = text.trim_end_matches('\n').split_once(' ')?;
    if word != FORMAT_WORD || version.starts_with(['+', '0']) {
        return None;
    }
    version.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_text_to_version() {
        for (text, expected) in [
            ("bedplate-store 1\n", Some(1)),
            ("bedplate-store 12", Some(12)),
            ("bedplate-store 01\n", None),
            ("bedplate-store 0\n", None),
            ("bedplate-store +1\n", None),
            ("bedplate-store\n", None),
            ("other 1\n", None),
            ("bedplate-store 99999999999\n", None),
            ("", None),
        ] {
            assert_eq!(parse_format(text), expected, "{text:?}");
        }
    }
}

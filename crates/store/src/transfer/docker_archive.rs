//! `manifest.json`: what `docker save`, `podman save` and `skopeo copy docker-archive:` write.

use bedplate_oci::{MAX_JSON, from_json};
use serde::Deserialize;

/// One image of `manifest.json`. Source: moby, image/tarexport.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    /// The config's name in the archive.
    pub(super) config: String,
    /// Names with tags; `null` for none.
    #[serde(default)]
    pub(super) repo_tags: Option<Vec<String>>,
    /// The layers' names in the archive, the lowest first; `null` for none.
    #[serde(default)]
    pub(super) layers: Option<Vec<String>>,
}

/// Reads foreign bytes as `manifest.json`; nothing but that it returns is asserted.
#[doc(hidden)]
pub fn fuzz_manifest(data: &[u8]) {
    if let Ok(images) = from_json::<Vec<DockerImage>>("manifest.json", data) {
        assert!(images.len() <= MAX_JSON);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_of_several_tools() {
        for (text, images, tags, layers) in [
            (r#"[{"Config":"a.json","RepoTags":["x:1","y:2"],"Layers":["b/layer.tar"]}]"#, 1, 2, 1),
            (r#"[{"Config":"a.json","RepoTags":null,"Layers":null}]"#, 1, 0, 0),
            (
                r#"[{"Config":"a.json","Parent":"","RepoTags":[],"Layers":[],"LayerSources":{"sha256:0":{"size":1}}}]"#,
                1,
                0,
                0,
            ),
            ("[]", 0, 0, 0),
        ] {
            let read: Vec<DockerImage> = from_json("manifest.json", text.as_bytes()).unwrap();
            assert_eq!(read.len(), images);
            assert_eq!(read.iter().flat_map(|i| i.repo_tags.iter().flatten()).count(), tags);
            assert_eq!(read.iter().flat_map(|i| i.layers.iter().flatten()).count(), layers);
        }
        for bad in ["", "{}", "[1]", r#"[{"RepoTags":[]}]"#, "[{\"Config\":1}]"] {
            assert!(from_json::<Vec<DockerImage>>("manifest.json", bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

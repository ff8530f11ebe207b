//! Tells a saved image from a root filesystem: importing one makes garbage, silently, in other tools.

use bedplate_tree::{Tree, TreePath};

/// A form in which images are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavedImage {
    /// What `docker save` writes: `manifest.json`, or `repositories` beside one directory a layer.
    DockerArchive,
    /// An OCI image layout in a tar: `oci-layout` and `index.json`.
    OciArchive,
}

impl SavedImage {
    /// Looks at the top of a tree. A root filesystem that happens to hold such a file has system directories beside it.
    #[must_use]
    pub fn detect(tree: &Tree) -> Option<Self> {
        let has = |name: &str| TreePath::parse(name.as_bytes()).is_ok_and(|path| tree.lookup(&path).is_some());
        if ["bin", "etc", "lib", "usr", "sbin"].iter().any(|name| has(name)) {
            return None;
        }
        if has("oci-layout") && has("index.json") {
            return Some(Self::OciArchive);
        }
        (has("manifest.json") || has("repositories")).then_some(Self::DockerArchive)
    }

    /// The form in words.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::DockerArchive => "an image saved by \"docker save\"",
            Self::OciArchive => "an OCI image archive",
        }
    }
}

#[cfg(test)]
mod tests {
    use bedplate_tree::{Content, Entry, Metadata};

    use super::*;

    #[test]
    fn saved_images_are_told_from_root_filesystems() {
        let cases: [(&[&str], Option<SavedImage>); 7] = [
            (&[], None),
            (&["hello"], None),
            (&["manifest.json", "0123.json", "0123/layer.tar"], Some(SavedImage::DockerArchive)),
            (&["repositories", "0123/layer.tar"], Some(SavedImage::DockerArchive)),
            (&["oci-layout", "index.json", "blobs/sha256/0123"], Some(SavedImage::OciArchive)),
            (&["oci-layout", "index.json", "manifest.json"], Some(SavedImage::OciArchive)),
            (&["manifest.json", "etc/passwd"], None),
        ];
        for (names, expected) in cases {
            let mut tree = Tree::new();
            for name in names {
                let path = TreePath::parse(name.as_bytes()).unwrap();
                tree.put(&path, Entry::file(Content::empty(), Metadata::default())).unwrap();
            }
            assert_eq!(SavedImage::detect(&tree), expected, "{names:?}");
        }
    }
}

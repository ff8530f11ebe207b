//! `index.json`: which manifest has which name.
//!
//! An entry is a descriptor of a manifest, or of an image index that came from elsewhere. Its annotation
//! `org.opencontainers.image.ref.name` is the full normalised name; an image without a name has an entry without
//! that annotation. One name leads to one entry; a manifest may have several entries with different names, or
//! one without.

use bedplate_oci::{Descriptor, Digest, ImageIndex, Reference, annotation, to_json};

use crate::disk;
use crate::error::StoreError;
use crate::locks::{Hold, LockGuard};
use crate::open::Store;

/// The largest `index.json`, in bytes: about 200,000 names. A larger one is damage.
const MAX_INDEX: u64 = 64 * 1024 * 1024;

/// The entries of `index.json`, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    index: ImageIndex,
}

/// The name of an entry. A name that another tool wrote in its own way is normalised.
pub(crate) fn name_of(entry: &Descriptor) -> Option<Reference> {
    let full = entry.annotations.get(annotation::CONTAINERD_NAME);
    let short = entry.annotations.get(annotation::REF_NAME);
    full.into_iter().chain(short).find_map(|name| Reference::parse(name).ok())
}

impl Names {
    pub(crate) fn of(index: ImageIndex) -> Self {
        Self { index }
    }

    pub(crate) fn entries(&self) -> &[Descriptor] {
        &self.index.manifests
    }

    /// The entry that a name leads to.
    pub(crate) fn get(&self, name: &Reference) -> Option<&Descriptor> {
        self.entries().iter().find(|entry| name_of(entry).as_ref() == Some(name))
    }

    /// All names of a manifest, sorted.
    pub(crate) fn names_of(&self, manifest: &Digest) -> Vec<Reference> {
        let of_it = self.entries().iter().filter(|entry| entry.digest == *manifest);
        let mut names: Vec<_> = of_it.filter_map(name_of).collect();
        names.sort();
        names
    }

    /// Makes a name lead to a manifest. A manifest that loses its last name by that stays, without a name.
    pub(crate) fn set(&mut self, name: &Reference, manifest: &Descriptor) {
        if let Some(old) = self.get(name).cloned() {
            if old.digest == manifest.digest {
                return;
            }
            self.remove(name);
            self.add_unnamed(&old);
        }
        self.index.manifests.retain(|entry| entry.digest != manifest.digest || name_of(entry).is_some());
        let mut entry = manifest.clone();
        strip(&mut entry);
        entry.annotations.insert(annotation::REF_NAME.to_owned(), name.to_string());
        self.index.manifests.push(entry);
    }

    /// Lists a manifest without a name, unless it is listed.
    pub(crate) fn add_unnamed(&mut self, manifest: &Descriptor) {
        if !self.has(&manifest.digest) {
            let mut entry = manifest.clone();
            strip(&mut entry);
            self.index.manifests.push(entry);
        }
    }

    /// Tells whether a manifest is listed.
    pub(crate) fn has(&self, manifest: &Digest) -> bool {
        self.entries().iter().any(|entry| entry.digest == *manifest)
    }

    /// Removes a name, and with its last name the manifest's entry.
    pub(crate) fn remove(&mut self, name: &Reference) {
        self.index.manifests.retain(|entry| name_of(entry).as_ref() != Some(name));
    }

    /// Removes a manifest with all its names.
    pub(crate) fn remove_manifest(&mut self, manifest: &Digest) {
        self.index.manifests.retain(|entry| entry.digest != *manifest);
    }

    /// Keeps only the entries that `kept` says; for repairs.
    pub(crate) fn retain(&mut self, mut kept: impl FnMut(&Descriptor) -> bool) {
        self.index.manifests.retain(|entry| kept(entry));
    }
}

fn strip(entry: &mut Descriptor) {
    entry.annotations.remove(annotation::REF_NAME);
    entry.annotations.remove(annotation::CONTAINERD_NAME);
}

impl Store {
    /// Reads the list of images as it is now.
    pub(crate) fn names(&self) -> Result<Names, StoreError> {
        let path = self.layout().index();
        let Some(bytes) = disk::read(&path, MAX_INDEX)? else {
            return Ok(Names { index: ImageIndex::new(Vec::new()) });
        };
        match serde_json::from_slice(&bytes) {
            Ok(index) => Ok(Names { index }),
            Err(source) => Err(StoreError::MalformedIndex { path, source }),
        }
    }

    /// Changes the list of images: alone, as a whole, and on the disk when this returns.
    ///
    /// Nothing is written where `change` fails or changes nothing.
    pub(crate) fn change_names<T>(
        &self,
        change: impl FnOnce(&mut Names) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.writable()?;
        self.sweep_leftovers()?;
        let _names = LockGuard::acquire(&self.layout().names_lock(), Hold::Exclusive)?;
        let _moment = self.share_sweep()?;
        let before = self.names()?;
        let mut names = before.clone();
        let value = change(&mut names)?;
        if names != before {
            self.write_names(&names)?;
        }
        Ok(value)
    }

    /// Writes the list of images; the caller holds the lock of names, and keeps sweeps away.
    pub(crate) fn write_names(&self, names: &Names) -> Result<(), StoreError> {
        disk::replace(self.scratch("index")?, &self.layout().index(), &to_json(&names.index))?;
        disk::sync_dir(self.root())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bedplate_oci::media_type;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is named and renamed: a name leads to what it was given last, no manifest is lost but by
        /// removal, and none is listed without a name that has one.
        #[test]
        fn names_are_a_map_and_manifests_stay(steps in prop::collection::vec((0_u8..5, 0_usize..4, 0_usize..4), 0..40)) {
            let mut names = Names { index: ImageIndex::new(Vec::new()) };
            let mut model: BTreeMap<usize, usize> = BTreeMap::new();
            let mut listed: std::collections::BTreeSet<usize> = std::collections::BTreeSet::new();
            let manifests: Vec<Descriptor> = (0..4).map(|i| manifest(&i.to_string())).collect();
            for (what, tag, image) in steps {
                let tagged = name(&format!("n:{tag}"));
                match what {
                    0 | 1 => {
                        names.set(&tagged, &manifests[image]);
                        model.insert(tag, image);
                        listed.insert(image);
                    }
                    2 => {
                        names.add_unnamed(&manifests[image]);
                        listed.insert(image);
                    }
                    3 => {
                        names.remove(&tagged);
                        if let Some(old) = model.remove(&tag)
                            && !model.values().any(|image| *image == old)
                        {
                            listed.remove(&old);
                        }
                    }
                    _ => {
                        names.remove_manifest(&manifests[image].digest);
                        model.retain(|_, other| *other != image);
                        listed.remove(&image);
                    }
                }
                for tag in 0..4 {
                    let found = names.get(&name(&format!("n:{tag}"))).map(|entry| entry.digest);
                    prop_assert_eq!(found, model.get(&tag).map(|image| manifests[*image].digest));
                }
                for (image, manifest) in manifests.iter().enumerate() {
                    prop_assert_eq!(names.has(&manifest.digest), listed.contains(&image));
                    let entries = names.entries().iter().filter(|entry| entry.digest == manifest.digest).count();
                    let named = model.values().filter(|other| **other == image).count();
                    prop_assert_eq!(entries, named.max(usize::from(listed.contains(&image))));
                }
            }
        }
    }

    fn manifest(text: &str) -> Descriptor {
        Descriptor::of(media_type::MANIFEST, text.as_bytes())
    }

    fn name(text: &str) -> Reference {
        Reference::parse(text).unwrap()
    }

    fn shown(names: &Names) -> Vec<(String, Digest)> {
        let show = |entry: &Descriptor| {
            (entry.annotations.get(annotation::REF_NAME).cloned().unwrap_or_default(), entry.digest)
        };
        names.entries().iter().map(show).collect()
    }

    #[test]
    fn a_name_moves_and_leaves_its_image_without_a_name() {
        let (a, b) = (manifest("a"), manifest("b"));
        let mut names = Names { index: ImageIndex::new(Vec::new()) };
        names.add_unnamed(&a);
        names.add_unnamed(&a);
        assert_eq!(shown(&names), [(String::new(), a.digest)]);
        names.set(&name("x"), &a);
        assert_eq!(shown(&names), [("docker.io/library/x:latest".into(), a.digest)]);
        names.set(&name("x"), &a);
        names.set(&name("y:1"), &a);
        assert_eq!(names.names_of(&a.digest), [name("x"), name("y:1")]);
        names.set(&name("x"), &b);
        assert_eq!(names.names_of(&a.digest), [name("y:1")]);
        assert_eq!(names.entries().len(), 2, "{:?}", shown(&names));
        names.set(&name("y:1"), &b);
        assert_eq!(
            shown(&names),
            [
                ("docker.io/library/x:latest".into(), b.digest),
                (String::new(), a.digest),
                ("docker.io/library/y:1".into(), b.digest),
            ]
        );
        names.remove(&name("x"));
        names.remove_manifest(&a.digest);
        assert_eq!(names.get(&name("y:1")).unwrap().digest, b.digest);
        assert_eq!(names.entries().len(), 1);
    }

    #[test]
    fn names_of_other_tools_are_understood() {
        for (annotations, expected) in [
            (vec![(annotation::REF_NAME, "trixie")], Some("docker.io/library/trixie:latest")),
            (
                vec![(annotation::REF_NAME, "1.0"), (annotation::CONTAINERD_NAME, "docker.io/library/x:1.0")],
                Some("docker.io/library/x:1.0"),
            ),
            (vec![(annotation::REF_NAME, "Not A Name")], None),
            (vec![], None),
        ] {
            let mut entry = manifest("a");
            entry.annotations =
                annotations.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            assert_eq!(name_of(&entry).map(|name| name.to_string()).as_deref(), expected);
        }
    }
}

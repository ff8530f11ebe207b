//! Images: found by name, ID or beginning of an ID; added, named and removed.

use std::collections::BTreeSet;

use bedplate_oci::{
    ChainId, Descriptor, DiffId, Digest, ImageConfig, ImageId, ImageIndex, MAX_JSON, Manifest, Platform, Reference,
    chain_ids, from_json, media_type,
};

use crate::blobs::Lease;
use crate::error::StoreError;
use crate::gc::SweepReport;
use crate::names::{Names, name_of};
use crate::open::Store;

/// Which store an image was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The store that was asked.
    Own,
    /// Its read-only fallback: the system's store.
    Fallback,
}

/// An image of a store, with its documents as they are stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Its names, sorted; none for an image that lost its name to another.
    pub names: Vec<Reference>,
    /// The entry of `index.json`: the manifest, or an image index of which [`Image::manifest`] is the part for one platform.
    pub entry: Descriptor,
    /// The manifest's type, digest and size.
    pub descriptor: Descriptor,
    /// The manifest's bytes.
    pub manifest_bytes: Vec<u8>,
    /// The manifest.
    pub manifest: Manifest,
    /// The config's bytes, whose digest is the image ID.
    pub config_bytes: Vec<u8>,
    /// The config.
    pub config: ImageConfig,
    /// Which store it was found in.
    pub origin: Origin,
}

impl Image {
    /// The image ID: the digest of the config.
    #[must_use]
    pub fn id(&self) -> ImageId {
        ImageId(self.manifest.config.digest)
    }

    /// The layers, the lowest first: diff ID and the blob as stored.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = (DiffId, &Descriptor)> {
        self.config.rootfs.diff_ids.iter().copied().zip(&self.manifest.layers)
    }

    /// The diff IDs of the layers, the lowest first.
    #[must_use]
    pub fn diff_ids(&self) -> &[DiffId] {
        &self.config.rootfs.diff_ids
    }

    /// The chain ID of all layers; `None` for an image without layers.
    #[must_use]
    pub fn chain_id(&self) -> Option<ChainId> {
        chain_ids(self.diff_ids()).pop()
    }

    /// The names with the digest of what `index.json` lists, as `docker inspect` shows them: `debian@sha256:...`.
    #[must_use]
    pub fn repo_digests(&self) -> Vec<String> {
        let with_digest = |name: &Reference| format!("{}@{}", name.familiar_name(), self.entry.digest);
        self.names.iter().map(with_digest).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The size of the layers as stored, in bytes.
    #[must_use]
    pub fn stored_size(&self) -> u64 {
        self.manifest.layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add)
    }
}

/// An entry of the list of images that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// The digest of its manifest.
    pub digest: Digest,
    /// Its names, sorted.
    pub names: Vec<Reference>,
    /// Why.
    pub error: StoreError,
}

/// An image to be added, whose config and layers are in the store or in its fallback.
#[derive(Debug, Clone)]
pub struct NewImage<'a> {
    /// The manifest's bytes, which are stored as they are.
    pub manifest: &'a [u8],
    /// The manifest's media type.
    pub media_type: &'a str,
    /// The names that shall lead to it; without one it is listed without a name.
    pub names: &'a [Reference],
}

/// What removing did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    /// Names that led to images before.
    pub untagged: Vec<Reference>,
    /// Images that are gone.
    pub deleted: Vec<ImageId>,
    /// What the sweep afterwards removed.
    pub swept: SweepReport,
}

impl Lease {
    /// Adds an image: its manifest becomes a blob and its names lead to it, all at once and on the disk.
    ///
    /// Layers that only the fallback has are taken over first, so that the store is whole in itself.
    ///
    /// # Errors
    /// [`StoreError::BlobMissing`] where the config or a layer is neither here nor in the fallback;
    /// [`StoreError::Json`] and [`StoreError::LayerCount`] where the documents are malformed; or where the disk fails.
    pub fn add_image(&self, new: &NewImage<'_>) -> Result<Image, StoreError> {
        let image = self.put_image(new)?;
        self.sync_names()?;
        let names = self.store().change_names(|names| {
            for name in new.names {
                check_taggable(name)?;
                names.set(name, &image.entry);
            }
            names.add_unnamed(&image.entry);
            Ok(names.names_of(&image.entry.digest))
        })?;
        Ok(Image { names, ..image })
    }

    /// The documents of an image become blobs; it is listed nowhere.
    fn put_image(&self, new: &NewImage<'_>) -> Result<Image, StoreError> {
        let descriptor = Descriptor::of(new.media_type, new.manifest);
        let manifest: Manifest = parse("manifest", &descriptor.digest, new.manifest)?;
        for needed in std::iter::once(&manifest.config).chain(&manifest.layers) {
            self.adopt(needed)?;
        }
        let blob = self.put_bytes(new.manifest)?;
        let image = self.store().load_image(&blob.descriptor(new.media_type), None)?;
        for (diff_id, layer) in image.layers() {
            self.put_layer_variant(&diff_id, layer)?;
        }
        Ok(image)
    }

    /// Adds an image of which only the config and the layers are at hand, with a new OCI manifest.
    ///
    /// The config's bytes are stored as they are.
    ///
    /// # Errors
    /// As [`Lease::add_image`].
    pub fn add_new_image(
        &self,
        config: &[u8],
        layers: Vec<Descriptor>,
        annotations: impl IntoIterator<Item = (String, String)>,
        names: &[Reference],
    ) -> Result<Image, StoreError> {
        let manifest = self.new_manifest(config, layers, annotations)?;
        self.add_image(&NewImage { manifest: &manifest, media_type: media_type::MANIFEST, names })
    }

    /// Makes an image as [`Lease::add_new_image`] does, which is listed nowhere: it is for this lease's owner, and goes with
    /// the lease.
    ///
    /// # Errors
    /// As [`Lease::add_image`].
    pub fn unlisted_image(
        &self,
        config: &[u8],
        layers: Vec<Descriptor>,
        annotations: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Image, StoreError> {
        let manifest = self.new_manifest(config, layers, annotations)?;
        self.put_image(&NewImage { manifest: &manifest, media_type: media_type::MANIFEST, names: &[] })
    }

    fn new_manifest(
        &self,
        config: &[u8],
        layers: Vec<Descriptor>,
        annotations: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Vec<u8>, StoreError> {
        let config = self.put_bytes(config)?.descriptor(media_type::CONFIG);
        let mut manifest = Manifest::new(config, layers);
        manifest.annotations.extend(annotations);
        Ok(bedplate_oci::to_json(&manifest))
    }
}

impl Store {
    /// Finds an image by what users write: a name, an image ID or manifest digest, or the beginning of one.
    ///
    /// A name goes before an ID, this store before the fallback.
    ///
    /// # Errors
    /// [`StoreError::NoSuchImage`] with names that differ little; [`StoreError::AmbiguousImage`];
    /// [`StoreError::Reference`] for what can be neither.
    pub fn resolve(&self, wanted: &str) -> Result<Image, StoreError> {
        self.resolve_for(wanted, None)
    }

    /// As [`Store::resolve`], and of an image for several platforms gives that for `platform` rather than the host's.
    ///
    /// # Errors
    /// As [`Store::resolve`], and [`StoreError::NoPlatform`].
    pub fn resolve_for(&self, wanted: &str, platform: Option<&Platform>) -> Result<Image, StoreError> {
        if let Some(image) = self.find_own(wanted, platform)? {
            return Ok(image);
        }
        if let Some(fallback) = self.fallback()
            && let Some(image) = fallback.find_own(wanted, platform)?
        {
            tracing::debug!(wanted, store = %fallback.root().display(), "found in the system's store");
            return Ok(Image { origin: Origin::Fallback, ..image });
        }
        Err(self.no_such_image(wanted))
    }

    /// Finds an image in this store, not in the fallback: for commands that change it.
    ///
    /// # Errors
    /// As [`Store::resolve`], and [`StoreError::ElsewhereOnly`] where only the fallback has it.
    pub fn resolve_own(&self, wanted: &str) -> Result<Image, StoreError> {
        if let Some(image) = self.find_own(wanted, None)? {
            return Ok(image);
        }
        if let Some(fallback) = self.fallback()
            && fallback.find_own(wanted, None)?.is_some()
        {
            return Err(StoreError::ElsewhereOnly {
                wanted: wanted.to_owned(),
                own: self.root().to_owned(),
                system: fallback.root().to_owned(),
            });
        }
        Err(self.no_such_image(wanted))
    }

    fn no_such_image(&self, wanted: &str) -> StoreError {
        // A reference that cannot be one explains itself better than "not found"; an ID's beginning is no name.
        if let Err(error) = Reference::parse(wanted)
            && !is_hex(wanted.strip_prefix("sha256:").unwrap_or(wanted))
        {
            return error.into();
        }
        let near = self.near_names(wanted).unwrap_or_default();
        StoreError::NoSuchImage { wanted: wanted.to_owned(), near }
    }

    fn near_names(&self, wanted: &str) -> Result<Vec<String>, StoreError> {
        const MOST: usize = 3;
        let Ok(wanted) = Reference::parse(wanted) else { return Ok(Vec::new()) };
        let wanted = wanted.familiar();
        let mut all: BTreeSet<String> = BTreeSet::new();
        for store in std::iter::once(self).chain(self.fallback()) {
            all.extend(store.names()?.entries().iter().filter_map(name_of).map(|name| name.familiar()));
        }
        let near = |name: &String| {
            let same_name =
                name.rsplit_once(':').map(|(name, _)| name) == wanted.rsplit_once(':').map(|(name, _)| name);
            same_name || distance(name, &wanted) <= 2
        };
        Ok(all.into_iter().filter(near).take(MOST).collect())
    }

    fn find_own(&self, wanted: &str, platform: Option<&Platform>) -> Result<Option<Image>, StoreError> {
        let names = self.names()?;
        if let Ok(reference) = Reference::parse(wanted) {
            let found = match reference.digest() {
                None => names.get(&reference).cloned(),
                Some(digest) => self.find_pinned(&names, &reference, &digest)?,
            };
            if let Some(entry) = found {
                return self.load_entry(&names, &entry, platform).map(Some);
            }
        }
        let prefix = wanted.strip_prefix("sha256:").unwrap_or(wanted);
        if !is_hex(prefix) {
            return Ok(None);
        }
        self.find_by_prefix(&names, prefix, platform)
    }

    /// `name@digest`: an entry of the same repository whose manifest, or image ID, is that.
    fn find_pinned(
        &self,
        names: &Names,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<Option<Descriptor>, StoreError> {
        for entry in names.entries() {
            let same_repository = name_of(entry).is_some_and(|name| {
                (name.registry(), name.repository()) == (reference.registry(), reference.repository())
            });
            if same_repository
                && (entry.digest == *digest
                    || self.load_image(entry, None).is_ok_and(|image| {
                        image.descriptor.digest == *digest || image.manifest.config.digest == *digest
                    }))
            {
                return Ok(Some(entry.clone()));
            }
        }
        Ok(None)
    }

    fn find_by_prefix(
        &self,
        names: &Names,
        prefix: &str,
        platform: Option<&Platform>,
    ) -> Result<Option<Image>, StoreError> {
        let mut found: Vec<Image> = Vec::new();
        let mut seen = BTreeSet::new();
        for entry in names.entries() {
            if !seen.insert(entry.digest) {
                continue;
            }
            // An image that cannot be read must not hide the others; asked for by its manifest it says why.
            let image = match self.load_entry(names, entry, platform) {
                Ok(image) => image,
                Err(error) if entry.digest.hex().starts_with(prefix) => return Err(error),
                Err(_) => continue,
            };
            let digests = [entry.digest, image.descriptor.digest, image.manifest.config.digest];
            if digests.iter().any(|digest| digest.hex().starts_with(prefix)) {
                found.push(image);
            }
        }
        let ids: BTreeSet<String> = found.iter().map(|image| image.id().to_string()).collect();
        if ids.len() > 1 {
            // A whole digest is never ambiguous, even if it is the beginning of nothing else.
            return Err(StoreError::AmbiguousImage { prefix: prefix.to_owned(), matches: ids.into_iter().collect() });
        }
        // Of several manifests with one config, that which was asked for; else the newest.
        let position = found
            .iter()
            .position(|image| [image.entry.digest, image.descriptor.digest].iter().any(|d| d.hex().starts_with(prefix)))
            .or(found.len().checked_sub(1));
        Ok(position.map(|position| found.swap_remove(position)))
    }

    fn load_entry(&self, names: &Names, entry: &Descriptor, platform: Option<&Platform>) -> Result<Image, StoreError> {
        let image = self.load_image(entry, platform)?;
        Ok(Image { names: names.names_of(&entry.digest), ..image })
    }

    /// Reads manifest and config of an entry; without its names.
    pub(crate) fn load_image(&self, entry: &Descriptor, platform: Option<&Platform>) -> Result<Image, StoreError> {
        let (descriptor, manifest_bytes) = self.read_manifest(entry, platform)?;
        let manifest: Manifest = parse("manifest", &descriptor.digest, &manifest_bytes)?;
        let config_bytes = self.read_blob(&manifest.config.digest, MAX_JSON as u64)?;
        let config: ImageConfig = parse("image config", &manifest.config.digest, &config_bytes)?;
        if manifest.layers.len() != config.rootfs.diff_ids.len() {
            return Err(StoreError::LayerCount {
                digest: descriptor.digest,
                layers: manifest.layers.len(),
                diff_ids: config.rootfs.diff_ids.len(),
            });
        }
        let mut entry = entry.clone();
        entry.annotations.clear();
        Ok(Image {
            names: Vec::new(),
            entry,
            descriptor,
            manifest_bytes,
            manifest,
            config_bytes,
            config,
            origin: Origin::Own,
        })
    }

    fn read_manifest(
        &self,
        entry: &Descriptor,
        platform: Option<&Platform>,
    ) -> Result<(Descriptor, Vec<u8>), StoreError> {
        // Indexes of indexes exist in the wild, one level deep; a chain has no use.
        const DEEPEST: usize = 4;
        let mut descriptor = entry.clone();
        for _ in 0..DEEPEST {
            let bytes = self.read_blob(&descriptor.digest, MAX_JSON as u64)?;
            if media_type::is_manifest(&descriptor.media_type) {
                return Ok((descriptor, bytes));
            }
            if !media_type::is_index(&descriptor.media_type) {
                break;
            }
            let index: ImageIndex = parse("image index", &descriptor.digest, &bytes)?;
            descriptor = self.choose(&descriptor.digest, index, platform)?;
        }
        Err(StoreError::NoImage {
            digest: descriptor.digest,
            media_type: descriptor.media_type.chars().take(100).collect(),
        })
    }

    /// The part of an image index for a platform: that asked for, else the host's, else the first that is here.
    fn choose(&self, index: &Digest, parts: ImageIndex, platform: Option<&Platform>) -> Result<Descriptor, StoreError> {
        let mut here = Vec::new();
        for part in parts.manifests {
            // Attestations stand beside the images, for a platform that is none.
            let image = part.platform.as_ref().is_none_or(|p| p.os != "unknown");
            if image && self.has_own_blob(&part.digest)? {
                here.push(part);
            }
        }
        let host = Platform::host();
        let wanted = platform.unwrap_or(&host);
        let fits = |part: &Descriptor| part.platform.as_ref().is_some_and(|p| p.matches(wanted));
        if let Some(position) = here.iter().position(fits) {
            return Ok(here.swap_remove(position));
        }
        match (platform, here.is_empty()) {
            (None, false) => Ok(here.swap_remove(0)),
            _ => Err(StoreError::NoPlatform {
                digest: *index,
                wanted: wanted.clone(),
                found: here.iter().filter_map(|part| part.platform.as_ref().map(Platform::to_string)).collect(),
            }),
        }
    }

    /// All images of this store, each once, in the order in which they were listed first.
    ///
    /// What cannot be read is named with the reason.
    ///
    /// # Errors
    /// Where the list itself cannot be read.
    pub fn images(&self) -> Result<Vec<Result<Image, Unreadable>>, StoreError> {
        let names = self.names()?;
        let mut seen = BTreeSet::new();
        let mut images = Vec::new();
        for entry in names.entries() {
            if seen.insert(entry.digest) {
                images.push(self.load_entry(&names, entry, None).map_err(|error| Unreadable {
                    digest: entry.digest,
                    names: names.names_of(&entry.digest),
                    error,
                }));
            }
        }
        Ok(images)
    }

    /// Gives an image another name; one that only the fallback has is taken over.
    ///
    /// # Errors
    /// As [`Store::resolve`] and [`Lease::add_image`].
    pub fn tag(&self, wanted: &str, name: &Reference) -> Result<Image, StoreError> {
        self.writable()?;
        check_taggable(name)?;
        let image = self.resolve(wanted)?;
        if image.origin == Origin::Fallback {
            let lease = self.lease()?;
            let new = NewImage {
                manifest: &image.manifest_bytes,
                media_type: &image.descriptor.media_type,
                names: std::slice::from_ref(name),
            };
            return lease.add_image(&new);
        }
        let names = self.change_names(|names| {
            // It may have been removed since it was found.
            if !names.has(&image.entry.digest) {
                return Err(self.no_such_image(wanted));
            }
            names.set(name, &image.entry);
            Ok(names.names_of(&image.entry.digest))
        })?;
        Ok(Image { names, ..image })
    }

    /// Removes a name, and with its last name the image; or, asked for by ID, an image with at most one name.
    ///
    /// With `force` an image asked for by ID goes with all its names, and a container that was made of an image
    /// does not keep it.
    ///
    /// # Errors
    /// As [`Store::resolve_own`]; [`StoreError::SeveralNames`]; [`StoreError::ImageInUse`].
    pub fn remove_image(&self, wanted: &str, force: bool) -> Result<Removal, StoreError> {
        self.writable()?;
        let image = self.resolve_own(wanted)?;
        let by_name = Reference::parse(wanted).ok().filter(|name| image.names.contains(name));
        let mut removal = Removal::default();
        let user = self.container_of_image(&image)?;
        let in_use = |image: &Image| -> Result<(), StoreError> {
            match &user {
                Some(container) if !force => {
                    Err(StoreError::ImageInUse { id: short(&image.id()), container: container.clone() })
                }
                _ => Ok(()),
            }
        };
        self.change_names(|names| {
            let all = names.names_of(&image.entry.digest);
            match &by_name {
                Some(name) if all.len() > 1 => {
                    names.remove(name);
                    removal.untagged.push(name.clone());
                }
                Some(name) if names.get(name).is_some_and(|entry| entry.digest == image.entry.digest) => {
                    in_use(&image)?;
                    names.remove(name);
                    removal.untagged.push(name.clone());
                    removal.deleted.push(image.id());
                }
                Some(_) => return Err(self.no_such_image(wanted)),
                None if all.len() > 1 && !force => {
                    return Err(StoreError::SeveralNames {
                        id: short(&image.id()),
                        names: all.iter().map(Reference::familiar).collect(),
                    });
                }
                None => {
                    in_use(&image)?;
                    names.remove_manifest(&image.entry.digest);
                    removal.untagged = all;
                    removal.deleted.push(image.id());
                }
            }
            Ok(())
        })?;
        if !removal.deleted.is_empty() {
            removal.swept = self.sweep()?;
        }
        Ok(removal)
    }

    /// Removes images that nothing uses: those without a name, or with `all` every one that no container was made of.
    ///
    /// `keep` has the last word over each: a filter by label or age.
    ///
    /// # Errors
    /// Where the list cannot be read or written.
    pub fn prune_images(&self, all: bool, mut keep: impl FnMut(&Image) -> bool) -> Result<Removal, StoreError> {
        self.writable()?;
        let mut removal = Removal::default();
        for image in self.images()?.into_iter().flatten() {
            let candidate = all || image.names.is_empty();
            if !candidate || keep(&image) || self.container_of_image(&image)?.is_some() {
                continue;
            }
            self.change_names(|names| {
                // It may have got a name since it was listed.
                if names.names_of(&image.entry.digest) == image.names {
                    names.remove_manifest(&image.entry.digest);
                    removal.untagged.extend(image.names.iter().cloned());
                    removal.deleted.push(image.id());
                }
                Ok(())
            })?;
        }
        removal.swept = self.sweep()?;
        Ok(removal)
    }

    /// The size of an image's layers in uncompressed form, in bytes, as far as it is known; else as stored.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn unpacked_size(&self, image: &Image) -> Result<u64, StoreError> {
        let mut total: u64 = 0;
        for (diff_id, layer) in image.layers() {
            let size = match diff_id.0 == layer.digest {
                true => layer.size,
                false => self.stored_index(&diff_id)?.map_or(layer.size, |index| index.stream_size()),
            };
            total = total.saturating_add(size);
        }
        Ok(total)
    }
}

/// The first 12 digits of an ID, as tables show it.
pub(crate) fn short(id: &ImageId) -> String {
    id.0.hex().chars().take(12).collect()
}

pub(crate) fn check_taggable(name: &Reference) -> Result<(), StoreError> {
    match name.tag() {
        Some(_) => Ok(()),
        None => Err(StoreError::DigestAsName { name: name.clone() }),
    }
}

/// Reads a document whose digest names it in errors.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(
    what: &'static str,
    digest: &Digest,
    bytes: &[u8],
) -> Result<T, StoreError> {
    from_json(what, bytes).map_err(|source| StoreError::Json { object: format!("blob {digest}"), source })
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The number of letters to add, drop or change to make one name of the other; long names are not compared.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 100;
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(usize::MAX - 1);
            let cost = (diagonal + usize::from(x != *y)).min(above + 1).min(left + 1);
            diagonal = above;
            if let Some(cell) = row.get_mut(j) {
                *cell = left;
            }
            left = cost;
        }
        if let Some(cell) = row.last_mut() {
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

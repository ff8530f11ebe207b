//! Layers by diff ID: their indexes, and their uncompressed streams.
//!
//! A layer that we made is a blob whose digest is its diff ID. A layer that came compressed stays the blob that it
//! was; `layers/<diffid>/variants` says which blobs those are, and its uncompressed form lies in `cache/streams/`
//! when somebody wanted offsets.

use std::fs::File;
use std::io::{self, BufReader, Read};

use bedplate_archive::{Decoder, Index};
use bedplate_image::ContentSources;
use bedplate_oci::{Descriptor, DiffId, Digest};
use bedplate_tree::Tree;

use crate::blobs::{BlobWriter, Lease};
use crate::cache::CacheKind;
use crate::disk::{self, BUFFER, NewFile};
use crate::error::StoreError;
use crate::images::Image;
use crate::open::Store;

/// The largest index of a layer, in bytes: some five million entries.
const MAX_INDEX: u64 = 1024 * 1024 * 1024;

/// The largest list of variants, in bytes.
const MAX_VARIANTS: u64 = 1024 * 1024;

impl Lease {
    /// Takes in an uncompressed layer in one pass: bytes, hash and index.
    ///
    /// With `mend_root` a root entry that is not 0:0 or lacks bits of 0755 is rewritten on the way; `Scanned` says so.
    ///
    /// # Errors
    /// [`StoreError::Source`] with the archive's fault inside; or where the disk fails.
    pub fn ingest_layer(
        &self,
        source: impl Read,
        mend_root: bool,
    ) -> Result<(DiffId, bedplate_archive::index::Scanned), StoreError> {
        let mut writer = self.unhashed_writer()?;
        let scanned = Index::copy_tar(source, &mut writer, mend_root)
            .map_err(|e| StoreError::Source { what: "the layer".to_owned(), source: io::Error::other(e) })?;
        let diff_id = DiffId(Digest::from_bytes(scanned.index.diff_id()));
        writer.finish_as(diff_id.0, self)?;
        self.put_layer_index(&scanned.index)?;
        Ok((diff_id, scanned))
    }

    /// Keeps the index of a layer whose stream is, or will be, in the store.
    ///
    /// Not synced: an index that a power cut damages is made anew.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn put_layer_index(&self, index: &Index) -> Result<(), StoreError> {
        let diff_id = DiffId(Digest::from_bytes(index.diff_id()));
        let mut file = NewFile::create(self.scratch(), disk::FILE_MODE)?;
        file.append(&index.encode())?;
        self.place_in_layer(&diff_id, file, "index")
    }

    /// Notes that a blob holds a layer in another form.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn put_layer_variant(&self, diff_id: &DiffId, blob: &Descriptor) -> Result<(), StoreError> {
        let mut variants = self.store().own_variants(diff_id)?;
        if blob.digest == diff_id.0 || variants.iter().any(|known| known.digest == blob.digest) {
            return Ok(());
        }
        variants.push(Descriptor::new(blob.media_type.clone(), blob.digest, blob.size));
        let mut file = NewFile::create(self.scratch(), disk::FILE_MODE)?;
        file.append(&bedplate_oci::to_json(&variants))?;
        self.place_in_layer(diff_id, file, "variants")
    }

    fn place_in_layer(&self, diff_id: &DiffId, file: NewFile, name: &str) -> Result<(), StoreError> {
        let folder = self.store().layout().layer(diff_id);
        let _moment = self.store().share_sweep()?;
        self.pin(&diff_id.0)?;
        disk::make_dir(&folder, 0o755)?;
        disk::rename(file.path(), &folder.join(name))?;
        Ok(())
    }

    /// Makes the index of a layer, and with `stream` its uncompressed form, from the blob that the store has of it.
    ///
    /// The digest of the stream is verified.
    fn unfold(&self, diff_id: &DiffId, stream: bool) -> Result<Index, StoreError> {
        let store = self.store();
        let layer_error =
            |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Layer { diff_id: *diff_id, source };
        let source = store.open_layer_source(diff_id)?;
        let mut writer = match stream {
            true => Some(self.unhashed_writer()?),
            false => None,
        };
        let index = match &mut writer {
            Some(writer) => Index::copy_tar(source, writer, false).map(|scanned| scanned.index),
            None => Index::read_tar(source),
        };
        let index = index.map_err(|e| layer_error(Box::new(e)))?;
        let found = Digest::from_bytes(index.diff_id());
        if found != diff_id.0 {
            return Err(StoreError::WrongDigest {
                what: "the uncompressed layer".to_owned(),
                expected: diff_id.0,
                found,
            });
        }
        if let Some(writer) = writer {
            self.place_stream(writer, diff_id)?;
        }
        self.put_layer_index(&index)?;
        Ok(index)
    }

    fn place_stream(&self, writer: BlobWriter, diff_id: &DiffId) -> Result<(), StoreError> {
        let cache = self.store().cache(CacheKind::Streams)?;
        let file = writer.into_file()?;
        // Synced: its digest is not looked at again.
        file.sync()?;
        disk::rename(file.path(), &cache.folder().join(diff_id.0.hex()))?;
        Ok(())
    }
}

impl Store {
    /// Tells whether a layer is here or in the fallback, in any form.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn has_layer(&self, diff_id: &DiffId) -> Result<bool, StoreError> {
        if self.has_blob(&diff_id.0)? {
            return Ok(true);
        }
        for store in std::iter::once(self).chain(self.fallback()) {
            for variant in store.own_variants(diff_id)? {
                if store.has_own_blob(&variant.digest)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Opens the uncompressed stream of a layer: offsets of its index are offsets in this file.
    ///
    /// Of a compressed layer the stream is made on the first call, and kept as a cache.
    ///
    /// # Errors
    /// [`StoreError::LayerMissing`]; [`StoreError::Layer`], [`StoreError::WrongDigest`] where the blob does not hold it;
    /// or where the disk fails.
    pub fn open_layer(&self, diff_id: &DiffId) -> Result<File, StoreError> {
        if let Some(file) = self.try_open_stream(diff_id)? {
            return Ok(file);
        }
        self.lease()?.unfold(diff_id, true)?;
        match self.try_open_stream(diff_id)? {
            Some(file) => Ok(file),
            None => Err(StoreError::LayerMissing { diff_id: *diff_id, path: self.root().to_owned() }),
        }
    }

    fn try_open_stream(&self, diff_id: &DiffId) -> Result<Option<File>, StoreError> {
        if let Some(file) = self.try_open_blob(&diff_id.0)? {
            return Ok(Some(file));
        }
        Ok(disk::open(&self.layout().cache(CacheKind::Streams).join(diff_id.0.hex()))?)
    }

    /// Reads the index of a layer; made where it is missing or of another version.
    ///
    /// # Errors
    /// As [`Store::open_layer`].
    pub fn layer_index(&self, diff_id: &DiffId) -> Result<Index, StoreError> {
        for store in std::iter::once(self).chain(self.fallback()) {
            if let Some(index) = store.stored_index(diff_id)? {
                return Ok(index);
            }
        }
        if self.is_writable() {
            return self.lease()?.unfold(diff_id, false);
        }
        let source = self.open_layer_source(diff_id)?;
        Index::read_tar(source).map_err(|e| StoreError::Layer { diff_id: *diff_id, source: Box::new(e) })
    }

    /// The stored index; one that is damaged or of another version counts as missing.
    pub(crate) fn stored_index(&self, diff_id: &DiffId) -> Result<Option<Index>, StoreError> {
        let Some(bytes) = disk::read(&self.layout().layer_index(diff_id), MAX_INDEX)? else { return Ok(None) };
        match Index::decode(&bytes) {
            Ok(index) if index.diff_id() == *diff_id.0.as_bytes() => Ok(Some(index)),
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::debug!(%error, %diff_id, "the index of a layer is made anew");
                Ok(None)
            }
        }
    }

    /// Reads a layer's uncompressed stream from whatever form of it is at hand, without keeping it.
    pub(crate) fn open_layer_source(&self, diff_id: &DiffId) -> Result<Box<dyn Read + Send>, StoreError> {
        if let Some(file) = self.try_open_stream(diff_id)? {
            return Ok(Box::new(file));
        }
        for store in std::iter::once(self).chain(self.fallback()) {
            let mut variants = store.own_variants(diff_id)?;
            variants.extend(store.variants_of_images(diff_id)?);
            for variant in variants {
                if let Some(file) = disk::open(&store.layout().blob(&variant.digest))? {
                    let decoder = Decoder::new(BufReader::with_capacity(BUFFER, file))
                        .map_err(|e| StoreError::Layer { diff_id: *diff_id, source: Box::new(e) })?;
                    return Ok(Box::new(decoder));
                }
            }
        }
        Err(StoreError::LayerMissing { diff_id: *diff_id, path: self.root().to_owned() })
    }

    /// The blobs that are known to hold a layer in another form than the plain stream.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn layer_variants(&self, diff_id: &DiffId) -> Result<Vec<Descriptor>, StoreError> {
        let mut variants = self.own_variants(diff_id)?;
        if let Some(fallback) = self.fallback() {
            variants.extend(fallback.own_variants(diff_id)?);
        }
        Ok(variants)
    }

    fn own_variants(&self, diff_id: &DiffId) -> Result<Vec<Descriptor>, StoreError> {
        let Some(bytes) = disk::read(&self.layout().layer_variants(diff_id), MAX_VARIANTS)? else {
            return Ok(Vec::new());
        };
        // Not synced when written: half a list is none, and images say the same.
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// What images say about a layer, where no list of variants does: another tool may have put them here.
    fn variants_of_images(&self, diff_id: &DiffId) -> Result<Vec<Descriptor>, StoreError> {
        let mut found = Vec::new();
        for image in self.images()?.into_iter().flatten() {
            found.extend(image.layers().filter(|(id, _)| id == diff_id).map(|(_, blob)| blob.clone()));
        }
        Ok(found)
    }

    /// The root filesystem of a stack of layers, the lowest first.
    ///
    /// # Errors
    /// As [`Store::layer_index`]; [`StoreError::Layer`] where a layer cannot be applied.
    pub fn tree_of(&self, diff_ids: &[DiffId]) -> Result<Tree, StoreError> {
        let mut tree = Tree::new();
        for diff_id in diff_ids {
            let layer_error =
                |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Layer { diff_id: *diff_id, source };
            let delta = self.layer_index(diff_id)?.delta().map_err(|e| layer_error(Box::new(e)))?;
            tree.apply(&delta).map_err(|e| layer_error(Box::new(e)))?;
        }
        Ok(tree)
    }

    /// The root filesystem of an image.
    ///
    /// # Errors
    /// As [`Store::tree_of`].
    pub fn image_tree(&self, image: &Image) -> Result<Tree, StoreError> {
        self.tree_of(image.diff_ids())
    }

    /// Opens the bytes of files in layers of this store.
    #[must_use]
    pub fn contents(&self) -> ContentSources<'_> {
        ContentSources::new().with_streams(|digest| match self.open_layer(&DiffId(*digest)) {
            Ok(file) => Ok(Some(file)),
            Err(StoreError::LayerMissing { .. }) => Ok(None),
            Err(error) => Err(Box::new(error) as Box<dyn std::error::Error + Send + Sync>),
        })
    }
}

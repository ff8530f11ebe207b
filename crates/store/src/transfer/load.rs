//! Loading: a saved image becomes one of the store's, its documents unchanged, every digest compared.

use std::io::Read;
use std::path::Path;

use bedplate_archive::{Compression, Decoder, Index};
use bedplate_oci::{
    Descriptor, DiffId, Digest, ImageConfig, ImageId, ImageIndex, Manifest, Platform, Reference, media_type, to_json,
};

use super::docker_archive::DockerImage;
use super::error::TransferError;
use super::oci_layout::choose;
use super::pieces::{Piece, Pieces, blob_name};
use crate::blobs::Lease;
use crate::images::{Image, NewImage};

/// What to load.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Of an image for several platforms this one; else the host's, else the first.
    pub platform: Option<Platform>,
    /// Gives no names: those of the input are only told.
    pub unnamed: bool,
}

/// What was loaded.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The images, in the order of the input, each with the names that the input gives it.
    pub images: Vec<(Image, Vec<Reference>)>,
    /// Platforms of the input that were left out.
    pub left_out: Vec<String>,
}

/// Loads the images of an archive, compressed or not: a docker-archive, an OCI archive, or both in one.
///
/// The archive is read once, to its end. All images of it are loaded, or none has a name.
///
/// # Errors
/// [`TransferError`].
pub fn load_archive(
    lease: &Lease,
    source: impl Read,
    what: &str,
    options: &LoadOptions,
) -> Result<Loaded, TransferError> {
    let pieces = Pieces::of_archive(lease, source, what)?;
    load(lease, &pieces, options)
}

/// Loads the images of an OCI image layout in a directory.
///
/// # Errors
/// [`TransferError`].
pub fn load_directory(lease: &Lease, root: &Path, what: &str, options: &LoadOptions) -> Result<Loaded, TransferError> {
    let pieces = Pieces::of_directory(lease, root, what);
    if pieces.find("index.json")?.is_none() && pieces.find("manifest.json")?.is_none() {
        return Err(TransferError::NotALayout { path: root.to_owned() });
    }
    load(lease, &pieces, options)
}

/// An image whose blobs are in the store, pinned, and whose name is not yet.
struct Ready {
    manifest: Vec<u8>,
    media_type: String,
    config: Digest,
    names: Vec<Reference>,
}

fn load(lease: &Lease, pieces: &Pieces<'_>, options: &LoadOptions) -> Result<Loaded, TransferError> {
    let docker: Option<Vec<DockerImage>> = match pieces.find("manifest.json")? {
        Some(piece) => Some(pieces.parse(&piece, "manifest.json", "manifest.json")?.0),
        None => None,
    };
    let mut loaded = Loaded::default();
    let mut ready = Vec::new();
    // Of an archive that is both, the OCI side has the manifests as they were made; the other may only know the tag.
    if let Some(piece) = pieces.find("index.json")? {
        let (index, _): (ImageIndex, _) = pieces.parse(&piece, "index.json", "index.json")?;
        let (chosen, left_out) = choose(pieces, &index, options)?;
        loaded.left_out = left_out;
        for choice in chosen {
            let image = oci_image(lease, pieces, &choice.manifest)?;
            let mut names: Vec<Reference> = choice.name.into_iter().collect();
            if names.is_empty() {
                names = docker_names(pieces, docker.as_deref().unwrap_or_default(), &image.config)?;
            }
            ready.push(Ready { names, ..image });
        }
    } else if let Some(docker) = docker {
        for (number, image) in docker.iter().enumerate() {
            ready.push(docker_image(lease, pieces, image, number + 1)?);
        }
        if ready.is_empty() {
            let what = pieces.what.to_owned();
            return Err(TransferError::NoImage { what, platform: None, found: Vec::new() });
        }
    } else if pieces.find("repositories")?.is_some() {
        return Err(TransferError::TooOld { what: pieces.what.to_owned() });
    } else {
        return Err(TransferError::NotAnImage { what: pieces.what.to_owned() });
    }
    for image in ready {
        let names = if options.unnamed { &[][..] } else { &image.names };
        let new = NewImage { manifest: &image.manifest, media_type: &image.media_type, names };
        let added = lease.add_image(&new)?;
        match loaded.images.iter_mut().find(|(known, _)| known.entry.digest == added.entry.digest) {
            Some((known, names)) => {
                names.extend(image.names);
                *known = added;
            }
            None => loaded.images.push((added, image.names)),
        }
    }
    Ok(loaded)
}

fn oci_image(lease: &Lease, pieces: &Pieces<'_>, entry: &Descriptor) -> Result<Ready, TransferError> {
    let missing = |blob: &Descriptor, by: &Digest| TransferError::Missing {
        what: pieces.what.to_owned(),
        path: blob_name(&blob.digest),
        needed_by: format!("manifest {by}"),
    };
    let name = blob_name(&entry.digest);
    let piece = pieces.blob(&entry.digest, entry.size)?.ok_or_else(|| missing(entry, &entry.digest))?;
    let (manifest, bytes): (Manifest, _) = pieces.parse(&piece, &name, "manifest")?;
    let config = pieces
        .blob(&manifest.config.digest, manifest.config.size)?
        .ok_or_else(|| missing(&manifest.config, &entry.digest))?;
    let diff_ids = read_config(pieces, &config, &blob_name(&manifest.config.digest), manifest.layers.len())?;
    for (number, (blob, diff_id)) in manifest.layers.iter().zip(&diff_ids).enumerate() {
        let layer = pieces.blob(&blob.digest, blob.size)?.ok_or_else(|| missing(blob, &entry.digest))?;
        let place = Place { number: number + 1, count: diff_ids.len(), diff_id: *diff_id };
        check_layer(lease, pieces, &layer, &place)?;
        layer.publish(lease)?;
    }
    config.publish(lease)?;
    Ok(Ready { manifest: bytes, media_type: entry.media_type.clone(), config: config.blob.digest, names: Vec::new() })
}

fn docker_image(
    lease: &Lease,
    pieces: &Pieces<'_>,
    image: &DockerImage,
    number: usize,
) -> Result<Ready, TransferError> {
    let needed_by = format!("image {number} of manifest.json");
    let layers = image.layers.as_deref().unwrap_or_default();
    let config = pieces.need(&image.config, &needed_by)?;
    let diff_ids = read_config(pieces, &config, &image.config, layers.len())?;
    let mut descriptors = Vec::new();
    for (position, (name, diff_id)) in layers.iter().zip(&diff_ids).enumerate() {
        let layer = pieces.need(name, &needed_by)?;
        let place = Place { number: position + 1, count: diff_ids.len(), diff_id: *diff_id };
        let compression = check_layer(lease, pieces, &layer, &place)?;
        let media_type = match compression {
            Compression::None => media_type::LAYER,
            Compression::Gzip => media_type::LAYER_GZIP,
            Compression::Zstd => media_type::LAYER_ZSTD,
            // No manifest can name these: such a layer is kept in uncompressed form.
            Compression::Bzip2 | Compression::Xz => {
                let decoder = Decoder::new(layer.open(lease)?)
                    .map_err(|source| TransferError::Read { what: format!("layer {name:?}"), source })?;
                let (_, scanned) = lease.ingest_layer(decoder, false)?;
                descriptors.push(Descriptor::new(media_type::LAYER, diff_id.0, scanned.index.stream_size()));
                continue;
            }
        };
        descriptors.push(layer.publish(lease)?.descriptor(media_type));
    }
    let config = config.publish(lease)?;
    let mut names = Vec::new();
    for tag in image.repo_tags.iter().flatten() {
        names.push(parse_name(pieces, tag)?);
    }
    let manifest = to_json(&Manifest::new(config.descriptor(media_type::CONFIG), descriptors));
    Ok(Ready { manifest, media_type: media_type::MANIFEST.to_owned(), config: config.digest, names })
}

/// The names that `manifest.json` gives to the image of a config.
fn docker_names(pieces: &Pieces<'_>, docker: &[DockerImage], config: &Digest) -> Result<Vec<Reference>, TransferError> {
    let mut names = Vec::new();
    for image in docker {
        let same = pieces.find(&image.config)?.is_some_and(|piece| piece.blob.digest == *config);
        if same {
            for tag in image.repo_tags.iter().flatten() {
                names.push(parse_name(pieces, tag)?);
            }
        }
    }
    Ok(names)
}

fn parse_name(pieces: &Pieces<'_>, name: &str) -> Result<Reference, TransferError> {
    Reference::parse(name).map_err(|source| TransferError::Name {
        what: pieces.what.to_owned(),
        name: name.chars().take(300).collect(),
        source,
    })
}

fn read_config(pieces: &Pieces<'_>, piece: &Piece, name: &str, layers: usize) -> Result<Vec<DiffId>, TransferError> {
    let (config, _): (ImageConfig, _) = pieces.parse(piece, name, "image config")?;
    let diff_ids = config.rootfs.diff_ids;
    if diff_ids.len() != layers {
        return Err(TransferError::LayerCount {
            what: pieces.what.to_owned(),
            image: ImageId(piece.blob.digest).0,
            layers,
            diff_ids: diff_ids.len(),
        });
    }
    Ok(diff_ids)
}

/// Which layer of an image.
struct Place {
    number: usize,
    count: usize,
    diff_id: DiffId,
}

/// Checks that a layer is the one that the config names. A compressed one is read for that, and its index kept.
fn check_layer(lease: &Lease, pieces: &Pieces<'_>, layer: &Piece, place: &Place) -> Result<Compression, TransferError> {
    let wrong = |found| TransferError::WrongDiffId {
        what: pieces.what.to_owned(),
        number: place.number,
        count: place.count,
        expected: place.diff_id,
        found,
    };
    if layer.blob.digest == place.diff_id.0 {
        return Ok(Compression::None);
    }
    let decoder = Decoder::new(layer.open(lease)?)
        .map_err(|source| TransferError::Read { what: format!("layer {}", place.number), source })?;
    let compression = decoder.compression();
    if compression == Compression::None {
        return Err(wrong(layer.blob.digest));
    }
    let index = Index::read_tar(decoder).map_err(|source| TransferError::Layer {
        what: pieces.what.to_owned(),
        number: place.number,
        count: place.count,
        source,
    })?;
    let found = Digest::from_bytes(index.diff_id());
    if found != place.diff_id.0 {
        return Err(wrong(found));
    }
    lease.put_layer_index(&index)?;
    Ok(compression)
}

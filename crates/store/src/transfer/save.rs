//! Saving: one tar that is a docker-archive and an OCI image layout at once.
//!
//! ```text
//! blobs/sha256/<hex>   manifests, configs, layers, sorted
//! index.json           the OCI names
//! manifest.json        the same for `docker load`
//! oci-layout
//! ```
//!
//! The same images under the same names give the same bytes: entries are sorted, times are 0, owners are 0:0.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use bedplate_archive::Writer;
use bedplate_oci::{Descriptor, Digest, ImageIndex, Reference, annotation, to_json};
use bedplate_tree::{Content, Entry, Metadata, Source, Timestamp, TreePath, Xattrs};
use serde::Serialize;

use super::error::TransferError;
use crate::images::Image;
use crate::layout::OCI_LAYOUT;
use crate::open::Store;

/// An image to be saved, under these names only.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The image.
    pub image: Image,
    /// The names that the archive gives it: those that were asked for, or all of it for one asked for by ID.
    pub names: Vec<Reference>,
}

/// An entry of `manifest.json`. Source: moby, image/tarexport.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Writes images as one archive. What several of them share is written once.
///
/// # Errors
/// [`TransferError::NothingToSave`]; a blob that is missing; or where the archive cannot be written.
pub fn save<W: Write>(store: &Store, images: &[Saved], out: W) -> Result<W, TransferError> {
    if images.is_empty() {
        return Err(TransferError::NothingToSave);
    }
    let images = merged(images);
    let mut blobs: BTreeMap<Digest, u64> = BTreeMap::new();
    let mut index = ImageIndex::new(Vec::new());
    let mut docker = Vec::new();
    for (image, names) in images.values() {
        let documents = [&image.descriptor, &image.manifest.config];
        blobs.extend(documents.into_iter().chain(&image.manifest.layers).map(|blob| (blob.digest, blob.size)));
        let mut entry =
            Descriptor::new(image.descriptor.media_type.clone(), image.descriptor.digest, image.descriptor.size);
        entry.platform = Some(image.config.platform.clone());
        match names.as_slice() {
            [] => index.manifests.push(entry),
            names => index.manifests.extend(names.iter().map(|name| named(&entry, name))),
        }
        docker.push(DockerImage {
            config: blob_path(&image.manifest.config.digest),
            repo_tags: (!names.is_empty()).then(|| names.iter().map(Reference::familiar).collect()),
            layers: image.manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
        });
    }
    let failed = |source| TransferError::Write { source };
    let mut writer = Writer::new(out);
    for folder in ["blobs", "blobs/sha256"] {
        writer.append(&path(folder), &Entry::directory(metadata(0o755)), std::io::empty()).map_err(failed)?;
    }
    for (digest, size) in &blobs {
        let body = store.open_blob(digest)?;
        append(&mut writer, &blob_path(digest), *size, body)?;
    }
    let documents =
        [("index.json", to_json(&index)), ("manifest.json", to_json(&docker)), ("oci-layout", OCI_LAYOUT.to_vec())];
    for (name, bytes) in documents {
        append(&mut writer, name, bytes.len() as u64, bytes.as_slice())?;
    }
    let (out, _) = writer.finish().map_err(failed)?;
    Ok(out)
}

/// Writes an image as an OCI image layout into an empty directory, under `name` as its reference.
///
/// # Errors
/// A blob that is missing, or a directory that cannot be written; what was written then stays.
pub fn write_layout(store: &Store, image: &Image, name: Option<&str>, directory: &Path) -> Result<(), TransferError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| TransferError::File { path, source }
    };
    // One by one: a directory that was removed meanwhile is not made again.
    let blobs = directory.join("blobs");
    fs::create_dir(&blobs).map_err(failed(&blobs))?;
    let blobs = blobs.join("sha256");
    fs::create_dir(&blobs).map_err(failed(&blobs))?;
    let documents = [image.descriptor.digest, image.manifest.config.digest];
    let all: BTreeSet<Digest> =
        documents.into_iter().chain(image.manifest.layers.iter().map(|layer| layer.digest)).collect();
    for digest in all {
        let mut body = store.open_blob(&digest)?;
        let path = blobs.join(digest.hex());
        let mut file = File::create_new(&path).map_err(failed(&path))?;
        io::copy(&mut body, &mut file).map_err(failed(&path))?;
    }
    let mut entry = image.descriptor.clone();
    entry.platform = Some(image.config.platform.clone());
    if let Some(name) = name {
        entry.annotations.insert(annotation::REF_NAME.to_owned(), name.to_owned());
    }
    let index = to_json(&ImageIndex::new(vec![entry]));
    for (name, bytes) in [("oci-layout", OCI_LAYOUT), ("index.json", index.as_slice())] {
        let path = directory.join(name);
        fs::write(&path, bytes).map_err(failed(&path))?;
    }
    Ok(())
}

/// Each image once with all the names asked for, in the order of manifest digests.
fn merged(images: &[Saved]) -> BTreeMap<Digest, (&Image, Vec<Reference>)> {
    let mut merged: BTreeMap<Digest, (&Image, Vec<Reference>)> = BTreeMap::new();
    for saved in images {
        let (_, names) = merged.entry(saved.image.descriptor.digest).or_insert_with(|| (&saved.image, Vec::new()));
        names.extend(saved.names.iter().cloned());
        names.sort();
        names.dedup();
    }
    merged
}

/// An index entry with the name in both spellings that tools look for.
fn named(entry: &Descriptor, name: &Reference) -> Descriptor {
    let mut entry = entry.clone();
    for key in [annotation::REF_NAME, annotation::CONTAINERD_NAME] {
        entry.annotations.insert(key.to_owned(), name.to_string());
    }
    entry
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).expect("the names in a saved image are plain")
}

fn metadata(mode: u32) -> Metadata {
    Metadata { mode, uid: 0, gid: 0, mtime: Timestamp::ZERO, xattrs: Xattrs::new() }
}

fn append<W: Write>(writer: &mut Writer<W>, name: &str, size: u64, body: impl Read) -> Result<(), TransferError> {
    let entry = Entry::file(Content::dense(Source::Stream([0; 32]), 0, size), metadata(0o644));
    writer.append(&path(name), &entry, body).map_err(|source| TransferError::Write { source })?;
    Ok(())
}

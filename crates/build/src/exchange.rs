//! Steps' layers taken from elsewhere, and given elsewhere: `--cache-from`, `--cache-to`.
//!
//! A key says all that goes into a step, so that it is the same on every machine. What is exchanged is a list of keys and
//! the layers that they lead to:
//!
//! | type | where the list is | where the layers are |
//! |---|---|---|
//! | local | the config of the only manifest of an OCI layout | the layout's blobs |
//! | inline | an annotation of the image's manifest | the image |
//!
//! A layer is taken in only if its bytes have the digest that the list says. A list is believed as far as its directory or
//! image is: whoever can write it decides what steps give.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bedplate_oci::{Descriptor, DiffId, Digest, ImageIndex, Manifest, from_json, media_type, to_json};
use bedplate_store::{Image, Lease, StoreError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The media type of a list of steps.
const LIST: &str = "application/vnd.bedplate.build.steps.v1+json";

/// The annotation of an image's manifest that holds such a list.
pub(crate) const INLINE: &str = "dev.bedplate.build.steps";

/// The largest document of a cache, in bytes: some 100,000 steps.
const MAX_DOCUMENT: u64 = 16 << 20;

/// A step that a build did or found, and its layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheRecord {
    /// The digest of all that goes into it.
    pub key: Digest,
    /// Its layer.
    pub diff_id: DiffId,
    /// The size of the uncompressed layer, in bytes.
    pub size: u64,
}

impl CacheRecord {
    /// The uncompressed layer as the store has it.
    pub(crate) fn layer(&self) -> Descriptor {
        Descriptor::new(media_type::LAYER, self.diff_id.0, self.size)
    }
}

/// A cache cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// A file of it cannot be read or written.
    #[error("cannot use {path:?} of the cache")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A document of it is malformed.
    #[error("{path:?} of the cache is malformed")]
    Document {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is a layout of something else.
    #[error("{path:?} is an image layout, and holds no steps of builds")]
    NoCache {
        /// The directory.
        path: PathBuf,
    },
    /// A layer has another digest than the list says.
    #[error("layer {expected} of the cache {path:?} has the digest {found}")]
    WrongLayer {
        /// The directory.
        path: PathBuf,
        /// What the list says.
        expected: DiffId,
        /// What it is.
        found: DiffId,
    },
    /// The store fails.
    #[error("the store fails")]
    Store(#[from] StoreError),
}

/// Steps that were done elsewhere.
#[derive(Debug, Clone)]
pub struct CacheImport {
    /// The layout; `None` for an image, whose layers are in the store.
    directory: Option<PathBuf>,
    records: BTreeMap<Digest, CacheRecord>,
}

impl CacheImport {
    /// The steps in a directory.
    ///
    /// # Errors
    /// [`ExchangeError`]; a missing directory is [`ExchangeError::File`] with `NotFound`.
    pub fn directory(path: &Path) -> Result<Self, ExchangeError> {
        let index: ImageIndex = document(&path.join("index.json"))?;
        let none = || ExchangeError::NoCache { path: path.to_owned() };
        let manifest = index.manifests.first().ok_or_else(none)?;
        let manifest: Manifest = document(&blob(path, &manifest.digest))?;
        if manifest.config.media_type != LIST {
            return Err(none());
        }
        let records: Vec<CacheRecord> = document(&blob(path, &manifest.config.digest))?;
        Ok(Self { directory: Some(path.to_owned()), records: by_key(records) })
    }

    /// The steps that an image's manifest tells of; `None` where it does not.
    #[must_use]
    pub fn image(image: &Image) -> Option<Self> {
        let text = image.manifest.annotations.get(INLINE)?;
        let mut records: Vec<CacheRecord> = from_json("steps", text.as_bytes()).ok()?;
        records.retain(|record| image.diff_ids().contains(&record.diff_id));
        Some(Self { directory: None, records: by_key(records) })
    }

    /// Finds a step, and brings its layer into the store.
    pub(crate) fn fetch(&self, key: &Digest, lease: &Lease) -> Result<Option<CacheRecord>, ExchangeError> {
        let Some(record) = self.records.get(key) else { return Ok(None) };
        if let Some(directory) = &self.directory
            && !lease.store().has_layer(&record.diff_id)?
        {
            let path = blob(directory, &record.diff_id.0);
            let file = File::open(&path).map_err(|source| ExchangeError::File { path, source })?;
            let (found, _) = lease.ingest_layer(file.take(record.size), false)?;
            if found != record.diff_id {
                return Err(ExchangeError::WrongLayer { path: directory.clone(), expected: record.diff_id, found });
            }
        }
        Ok(Some(record.clone()))
    }
}

fn by_key(records: Vec<CacheRecord>) -> BTreeMap<Digest, CacheRecord> {
    records.into_iter().map(|record| (record.key, record)).collect()
}

fn blob(directory: &Path, digest: &Digest) -> PathBuf {
    directory.join("blobs/sha256").join(digest.hex())
}

fn document<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ExchangeError> {
    let failed = |source| ExchangeError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_DOCUMENT).read_to_end(&mut bytes)).map_err(failed)?;
    from_json("cache", &bytes)
        .map_err(|source| ExchangeError::Document { path: path.to_owned(), source: Box::new(source) })
}

/// The value of the annotation [`INLINE`].
pub(crate) fn inline(records: &[CacheRecord]) -> String {
    String::from_utf8_lossy(&to_json(&records)).into_owned()
}

/// Writes steps and their layers into a directory, beside those that it has; an OCI layout afterwards.
///
/// # Errors
/// [`ExchangeError`]. What was written then stays: it is of use, and the list is changed last.
pub fn export(records: &[CacheRecord], lease: &Lease, directory: &Path) -> Result<(), ExchangeError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ExchangeError::File { path, source }
    };
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(failed(&blobs))?;
    let mut all = match CacheImport::directory(directory) {
        Ok(there) => there.records,
        Err(ExchangeError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    all.extend(by_key(records.to_vec()));
    let mut layers = Vec::new();
    for record in all.values() {
        let path = blob(directory, &record.diff_id.0);
        if !path.metadata().is_ok_and(|found| found.len() == record.size) {
            let mut layer = lease.store().open_layer(&record.diff_id)?;
            written(&path, |file| io::copy(&mut layer, file).map(drop)).map_err(failed(&path))?;
        }
        layers.push(record.layer());
    }
    layers.sort_by_key(|layer| layer.digest);
    layers.dedup();
    let list = to_json(&all.into_values().collect::<Vec<_>>());
    let config = Descriptor::of(LIST, &list);
    let manifest = to_json(&Manifest::new(config.clone(), layers));
    let entry = Descriptor::of(media_type::MANIFEST, &manifest);
    let index = to_json(&ImageIndex::new(vec![entry.clone()]));
    let documents = [
        (blob(directory, &config.digest), list),
        (blob(directory, &entry.digest), manifest),
        (directory.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        (directory.join("index.json"), index),
    ];
    for (path, bytes) in documents {
        written(&path, |file| io::Write::write_all(file, &bytes)).map_err(failed(&path))?;
    }
    Ok(())
}

/// Writes a file that appears when it is complete.
fn written(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let scratch = path.with_extension("part");
    let mut file = File::create(&scratch)?;
    write(&mut file).and_then(|()| fs::rename(&scratch, path)).inspect_err(|_| {
        let _ = fs::remove_file(&scratch);
    })
}

//! Checking a store: every digest, size, document, index and name.
//!
//! What a killed process leaves behind (files in `tmp/`, blobs that nothing refers to, containers half removed) is no
//! finding: it is counted, and the next sweep removes it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use bedplate_archive::Index;
use bedplate_oci::{Descriptor, DiffId, Digest, Reference};

use crate::cache::CacheKind;
use crate::disk;
use crate::error::StoreError;
use crate::gc::Needed;
use crate::images::Image;
use crate::layout::OCI_LAYOUT;
use crate::locks::{Hold, LockGuard};
use crate::names::{Names, name_of};
use crate::open::Store;

/// How to check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FsckOptions {
    /// Remove what is damaged, images that cannot be whole any more, and leftovers.
    pub fix: bool,
}

/// What is wrong at one place.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A blob's bytes are not those of its name.
    #[error("blob {digest}: its bytes have the digest {found}")]
    WrongBlob {
        /// The blob.
        digest: Digest,
        /// The digest of its bytes.
        found: Digest,
    },
    /// A blob cannot be read.
    #[error("blob {digest} cannot be read")]
    UnreadableBlob {
        /// The blob.
        digest: Digest,
        /// Why.
        source: StoreError,
    },
    /// A blob that an image needs is not there.
    #[error("image {image}{}: blob {blob} is missing", called(names))]
    MissingBlob {
        /// The image's manifest.
        image: Digest,
        /// The image's names.
        names: Vec<Reference>,
        /// The missing blob.
        blob: Digest,
    },
    /// A blob has another size than an image says.
    #[error("image {image}{}: blob {blob} has {found} bytes, expected {expected}", called(names))]
    WrongSize {
        /// The image's manifest.
        image: Digest,
        /// The image's names.
        names: Vec<Reference>,
        /// The blob.
        blob: Digest,
        /// The size that the image gives, in bytes.
        expected: u64,
        /// The size found, in bytes.
        found: u64,
    },
    /// An image's documents cannot be read.
    #[error("image {image}{} cannot be read", called(names))]
    UnreadableImage {
        /// The image's manifest.
        image: Digest,
        /// The image's names.
        names: Vec<Reference>,
        /// Why.
        source: StoreError,
    },
    /// A layer's blob does not hold the layer that the config names.
    #[error("layer {diff_id}: its uncompressed stream has the digest {found}")]
    WrongLayer {
        /// The layer.
        diff_id: DiffId,
        /// The digest of the stream.
        found: Digest,
    },
    /// A layer is no readable archive.
    #[error("layer {diff_id} cannot be read")]
    UnreadableLayer {
        /// The layer.
        diff_id: DiffId,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The stored index of a layer is not that of its archive.
    #[error("layer {diff_id}: its index is not that of its archive")]
    WrongIndex {
        /// The layer.
        diff_id: DiffId,
    },
    /// A cached stream is not that of its name.
    #[error("cached stream of layer {diff_id}: its bytes have the digest {found}")]
    WrongStream {
        /// The layer.
        diff_id: DiffId,
        /// The digest of the bytes.
        found: Digest,
    },
    /// Two entries have the same name.
    #[error("the name {name} leads to several images")]
    DoubleName {
        /// The name.
        name: Reference,
    },
    /// A file that the store did not make.
    #[error("{path:?} does not belong here")]
    Stray {
        /// The file.
        path: PathBuf,
    },
    /// The marker of an OCI layout is missing or wrong.
    #[error("{path:?} is missing or malformed")]
    NoMarker {
        /// The file.
        path: PathBuf,
    },
    /// A container's state cannot be read.
    #[error("container {id}: its state cannot be read")]
    ContainerState {
        /// The container.
        id: String,
        /// Why.
        source: StoreError,
    },
}

fn called(names: &[Reference]) -> String {
    match names {
        [] => String::new(),
        names => format!(" ({})", names.iter().map(Reference::familiar).collect::<Vec<_>>().join(", ")),
    }
}

/// Something wrong, and whether it was mended.
#[derive(Debug)]
pub struct Finding {
    /// What is wrong.
    pub problem: Problem,
    /// Whether this run mended it.
    pub fixed: bool,
}

/// What a check looked at and found.
#[derive(Debug, Default)]
pub struct FsckReport {
    /// Images looked at.
    pub images: usize,
    /// Blobs looked at.
    pub blobs: usize,
    /// Bytes read.
    pub bytes: u64,
    /// What is wrong; empty for a sound store.
    pub findings: Vec<Finding>,
    /// Blobs that nothing refers to: the next sweep's.
    pub unreferenced: usize,
    /// Leftovers of processes that died: the next sweep's.
    pub leftovers: usize,
}

impl FsckReport {
    /// Tells whether nothing is wrong, or nothing any more.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.fixed)
    }
}

impl Store {
    /// Checks everything. Writers go on meanwhile, unless it is to mend; sweeps wait.
    ///
    /// # Errors
    /// Where the store cannot be read at all: what is wrong inside is in the report.
    pub fn fsck(&self, options: FsckOptions) -> Result<FsckReport, StoreError> {
        let _names = match options.fix {
            true => {
                self.writable()?;
                Some(LockGuard::acquire(&self.layout().names_lock(), Hold::Exclusive)?)
            }
            false => None,
        };
        if self.is_writable() {
            self.sweep_leftovers()?;
        }
        let hold = if options.fix { Hold::Exclusive } else { Hold::Shared };
        let _sweep = match self.is_writable() {
            true => Some(LockGuard::acquire(&self.layout().sweep_lock(), hold)?),
            false => None,
        };
        let names = self.names()?;
        let mut check = Check { fix: options.fix, ..Check::new(self) };
        check.marker()?;
        check.names(&names);
        let images = check.images(&names)?;
        check.layers(&images)?;
        check.blobs()?;
        check.streams()?;
        check.strays()?;
        check.containers()?;
        check.leftovers()?;
        if options.fix {
            check.drop_broken(names)?;
        }
        Ok(check.report)
    }
}

struct Check<'a> {
    store: &'a Store,
    fix: bool,
    report: FsckReport,
    /// Blobs whose digest was seen to be right, as the stream of a layer.
    verified: HashSet<Digest>,
    /// Blobs that are damaged or gone.
    bad: HashSet<Digest>,
    /// Manifests of images that cannot be whole any more.
    broken: BTreeSet<Digest>,
}

impl<'a> Check<'a> {
    fn new(store: &'a Store) -> Self {
        Self {
            store,
            fix: false,
            report: FsckReport::default(),
            verified: HashSet::new(),
            bad: HashSet::new(),
            broken: BTreeSet::new(),
        }
    }

    fn found(&mut self, problem: Problem, fixed: bool) {
        self.report.findings.push(Finding { problem, fixed });
    }

    fn marker(&mut self) -> Result<(), StoreError> {
        const MAX: u64 = 4096;
        let path = self.store.layout().oci_layout();
        let text = disk::read(&path, MAX).ok().flatten().unwrap_or_default();
        let version = |text: &[u8]| {
            let value: Option<serde_json::Value> = serde_json::from_slice(text).ok();
            value.and_then(|value| value.get("imageLayoutVersion").cloned())
        };
        if version(&text) != version(OCI_LAYOUT) {
            if self.fix {
                disk::replace(self.store.scratch("marker")?, &path, OCI_LAYOUT)?;
            }
            self.found(Problem::NoMarker { path }, self.fix);
        }
        Ok(())
    }

    fn names(&mut self, names: &Names) {
        let mut seen = BTreeSet::new();
        for name in names.entries().iter().filter_map(name_of) {
            if !seen.insert(name.clone()) {
                self.found(Problem::DoubleName { name }, false);
            }
        }
    }

    /// Looks at the documents of all images, and whether their blobs are there.
    fn images(&mut self, names: &Names) -> Result<Vec<Image>, StoreError> {
        let mut images = Vec::new();
        let mut seen = BTreeSet::new();
        for entry in names.entries() {
            if !seen.insert(entry.digest) {
                continue;
            }
            self.report.images += 1;
            let called = names.names_of(&entry.digest);
            match self.store.load_image(entry, None) {
                Ok(image) => {
                    self.image_blobs(entry, &image, &called)?;
                    images.push(image);
                }
                Err(StoreError::BlobMissing { digest, .. }) => {
                    self.broken.insert(entry.digest);
                    self.found(Problem::MissingBlob { image: entry.digest, names: called, blob: digest }, false);
                }
                Err(source) => {
                    self.broken.insert(entry.digest);
                    self.found(Problem::UnreadableImage { image: entry.digest, names: called, source }, false);
                }
            }
        }
        Ok(images)
    }

    fn image_blobs(&mut self, entry: &Descriptor, image: &Image, names: &[Reference]) -> Result<(), StoreError> {
        let documents = [entry, &image.descriptor, &image.manifest.config];
        let blobs: BTreeMap<Digest, u64> =
            documents.into_iter().chain(&image.manifest.layers).map(|blob| (blob.digest, blob.size)).collect();
        for (blob, expected) in blobs {
            let (image, names) = (entry.digest, names.to_vec());
            match disk::stat(&self.store.layout().blob(&blob))? {
                None => {
                    self.broken.insert(image);
                    self.found(Problem::MissingBlob { image, names, blob }, false);
                }
                Some(found) if found.len() != expected => {
                    self.broken.insert(image);
                    let found = found.len();
                    self.found(Problem::WrongSize { image, names, blob, expected, found }, false);
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Reads the layers of all images: digest of the stream, and index.
    fn layers(&mut self, images: &[Image]) -> Result<(), StoreError> {
        let mut layers: BTreeMap<DiffId, BTreeSet<Digest>> = BTreeMap::new();
        for image in images {
            for (diff_id, blob) in image.layers() {
                layers.entry(diff_id).or_default().insert(blob.digest);
            }
        }
        for (diff_id, blobs) in layers {
            for blob in blobs {
                self.layer(diff_id, blob)?;
            }
        }
        Ok(())
    }

    fn layer(&mut self, diff_id: DiffId, blob: Digest) -> Result<(), StoreError> {
        let Some(file) = disk::open(&self.store.layout().blob(&blob))? else { return Ok(()) };
        let plain = blob == diff_id.0;
        self.report.bytes += file.metadata().map(|found| found.len()).unwrap_or(0);
        let read = match plain {
            true => Index::read_tar(file).map_err(Box::<dyn std::error::Error + Send + Sync>::from),
            false => bedplate_archive::Decoder::new(file)
                .map_err(Box::<dyn std::error::Error + Send + Sync>::from)
                .and_then(|decoder| Index::read_tar(decoder).map_err(Box::from)),
        };
        let index = match read {
            Ok(index) => index,
            Err(source) => {
                // A damaged blob says so itself; a sound one that is no archive is the image's fault.
                self.found(Problem::UnreadableLayer { diff_id, source }, false);
                return Ok(());
            }
        };
        let found = Digest::from_bytes(index.diff_id());
        if found != diff_id.0 {
            if !plain {
                self.found(Problem::WrongLayer { diff_id, found }, false);
            }
            return Ok(());
        }
        if plain {
            self.verified.insert(blob);
        }
        let stored = self.store.stored_index(&diff_id)?;
        if stored.is_some_and(|stored| stored != index) {
            if self.fix {
                disk::remove_file(&self.store.layout().layer_index(&diff_id))?;
            }
            self.found(Problem::WrongIndex { diff_id }, self.fix);
        }
        Ok(())
    }

    fn blobs(&mut self) -> Result<(), StoreError> {
        let folder = self.store.layout().blobs();
        let needed = self.store.needed().unwrap_or_else(|_| Needed::default());
        let complete = !needed.digests.is_empty();
        for name in disk::names(&folder)? {
            let Ok(digest) = Digest::from_hex(&name) else {
                self.found(Problem::Stray { path: folder.join(name) }, false);
                continue;
            };
            self.report.blobs += 1;
            if complete && !needed.digests.contains(&digest) {
                self.report.unreferenced += 1;
            }
            if self.verified.contains(&digest) {
                continue;
            }
            let path = self.store.layout().blob(&digest);
            let problem = match self.hash(&path) {
                Ok(Some(found)) if found != digest => Problem::WrongBlob { digest, found },
                // Gone since it was listed, or right.
                Ok(_) => continue,
                Err(source) => Problem::UnreadableBlob { digest, source },
            };
            self.bad.insert(digest);
            if self.fix {
                disk::remove_file(&path)?;
            }
            self.found(problem, self.fix);
        }
        Ok(())
    }

    fn streams(&mut self) -> Result<(), StoreError> {
        let folder = self.store.layout().cache(CacheKind::Streams);
        for name in disk::names(&folder)? {
            let Ok(digest) = Digest::from_hex(&name) else { continue };
            let path = folder.join(name);
            if let Some(found) = self.hash(&path)?
                && found != digest
            {
                if self.fix {
                    disk::remove_file(&path)?;
                }
                self.found(Problem::WrongStream { diff_id: DiffId(digest), found }, self.fix);
            }
        }
        Ok(())
    }

    fn hash(&mut self, path: &std::path::Path) -> Result<Option<Digest>, StoreError> {
        let Some(file) = disk::open(path)? else { return Ok(None) };
        let read = |e: std::io::Error| StoreError::Call(disk::failed("read", path, &e));
        if !file.metadata().map_err(read)?.is_file() {
            return Ok(None);
        }
        let (digest, size) = Digest::of_reader(whole(file)).map_err(read)?;
        self.report.bytes += size;
        Ok(Some(digest))
    }

    /// Names in the store's own folders that the store never gives.
    fn strays(&mut self) -> Result<(), StoreError> {
        let layout = self.store.layout();
        let hex = |name: &str| Digest::from_hex(name).is_ok();
        let snapshot = |name: &str| name.get(..64).is_some_and(|name| Digest::from_hex(name).is_ok());
        let blobs = layout.root().join("blobs");
        let mut strays = Vec::new();
        for (folder, known) in [
            (layout.layers(), &hex as &dyn Fn(&str) -> bool),
            (layout.snapshots(), &snapshot),
            (layout.containers(), &|name: &str| hex(name) || name == "names"),
            (blobs, &|name: &str| name == "sha256"),
        ] {
            strays.extend(disk::names(&folder)?.into_iter().filter(|name| !known(name)).map(|name| folder.join(name)));
        }
        for path in strays {
            self.found(Problem::Stray { path }, false);
        }
        Ok(())
    }

    fn containers(&mut self) -> Result<(), StoreError> {
        for id in self.store.container_ids()? {
            match self.store.container_state(&id) {
                Ok(Some(_)) => {}
                Ok(None) => self.report.leftovers += 1,
                Err(source) => self.found(Problem::ContainerState { id, source }, false),
            }
        }
        Ok(())
    }

    fn leftovers(&mut self) -> Result<(), StoreError> {
        let tmp = self.store.layout().tmp();
        for name in disk::names(&tmp)? {
            let path = tmp.join(name);
            let lock = path.join("lock");
            let free = LockGuard::try_existing(&lock, Hold::Exclusive).is_ok_and(|held| held.is_some());
            if !free && disk::stat(&lock)?.is_some() {
                continue;
            }
            self.report.leftovers += 1;
            if self.fix {
                // One that this process may not remove stays a leftover.
                let _ = disk::remove_all(&path);
            }
        }
        Ok(())
    }

    /// Removes the entries of images that cannot be whole any more.
    fn drop_broken(&mut self, mut names: Names) -> Result<(), StoreError> {
        if !self.bad.is_empty() {
            for entry in names.entries().to_vec() {
                let whole = self.store.load_image(&entry, None).is_ok_and(|image| {
                    std::iter::once(&image.manifest.config)
                        .chain(&image.manifest.layers)
                        .all(|blob| !self.bad.contains(&blob.digest))
                });
                if !whole {
                    self.broken.insert(entry.digest);
                }
            }
        }
        if self.broken.is_empty() {
            return Ok(());
        }
        names.retain(|entry| !self.broken.contains(&entry.digest));
        self.store.write_names(&names)?;
        for finding in &mut self.report.findings {
            if let Problem::MissingBlob { image, .. }
            | Problem::WrongSize { image, .. }
            | Problem::UnreadableImage { image, .. } = &finding.problem
            {
                finding.fixed |= self.broken.contains(image);
            }
        }
        Ok(())
    }
}

/// Reads a file in large pieces.
fn whole(file: File) -> impl Read {
    std::io::BufReader::with_capacity(disk::BUFFER, file)
}

//! How much space a store takes, and what of it could be had back.

use std::collections::{BTreeMap, BTreeSet};

use bedplate_oci::{Digest, ImageId};

use crate::cache::CacheKind;
use crate::containers::{ContainerState, Status};
use crate::disk;
use crate::error::StoreError;
use crate::images::Image;
use crate::open::Store;

/// The numbers of one kind of thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    /// How many there are.
    pub total: usize,
    /// How many are in use.
    pub active: usize,
    /// Bytes that they take.
    pub size: u64,
    /// Bytes that removing those not in use would give back.
    pub reclaimable: u64,
}

/// The space of one image.
#[derive(Debug, Clone)]
pub struct ImageUsage {
    /// The image.
    pub image: Image,
    /// Bytes of blobs that other images need, too.
    pub shared: u64,
    /// Bytes of blobs that only this image needs.
    pub unique: u64,
    /// Containers made of it.
    pub containers: usize,
}

/// The space of one container.
#[derive(Debug, Clone)]
pub struct ContainerUsage {
    /// The container.
    pub state: ContainerState,
    /// Bytes that it changed.
    pub size: u64,
}

/// The space of a store, by kind.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// Images: their blobs, each once.
    pub images: Part,
    /// Containers: what they changed.
    pub containers: Part,
    /// Results of build steps. Their layers count here where no image has them.
    pub build_cache: Part,
    /// Unpacked roots, and layers in uncompressed form: made again when they are needed.
    pub snapshots: Part,
    /// Packages, payloads, indexes and downloads.
    pub downloads: Part,
    /// Each image.
    pub image_details: Vec<ImageUsage>,
    /// Each container.
    pub container_details: Vec<ContainerUsage>,
}

impl Store {
    /// Measures this store, without the fallback. What cannot be read counts nothing.
    ///
    /// # Errors
    /// Where its lists cannot be read.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let containers = self.containers()?;
        let mut by_image: BTreeMap<ImageId, usize> = BTreeMap::new();
        for image in containers.iter().filter_map(|state| state.image) {
            *by_image.entry(image).or_default() += 1;
        }
        let images: Vec<Image> = self.images()?.into_iter().flatten().collect();
        let mut usage = Usage { image_details: image_details(images, &by_image), ..Usage::default() };
        let blobs_of = |details: &[&ImageUsage]| -> BTreeMap<Digest, u64> {
            details.iter().flat_map(|detail| blobs(&detail.image)).collect()
        };
        let all = blobs_of(&usage.image_details.iter().collect::<Vec<_>>());
        let active: Vec<_> = usage.image_details.iter().filter(|detail| detail.containers > 0).collect();
        let in_use = blobs_of(&active);
        let size: u64 = all.values().sum();
        usage.images = Part {
            total: usage.image_details.len(),
            active: active.len(),
            size,
            reclaimable: size - in_use.values().sum::<u64>().min(size),
        };
        for state in containers {
            let size = disk::disk_usage(&self.layout().containers().join(&state.id).join("upper"));
            let running = state.status == Status::Running;
            usage.containers.total += 1;
            usage.containers.active += usize::from(running);
            usage.containers.size += size;
            usage.containers.reclaimable += if running { 0 } else { size };
            usage.container_details.push(ContainerUsage { state, size });
        }
        usage.build_cache = self.build_usage(&all)?;
        usage.snapshots = self.folder_usage(&[self.layout().snapshots(), self.layout().cache(CacheKind::Streams)])?;
        let downloads = [CacheKind::Packages, CacheKind::Payloads, CacheKind::Indexes, CacheKind::Http];
        usage.downloads = self.folder_usage(&downloads.map(|kind| self.layout().cache(kind)))?;
        Ok(usage)
    }

    fn build_usage(&self, of_images: &BTreeMap<Digest, u64>) -> Result<Part, StoreError> {
        let mut part = Part::default();
        let mut counted = BTreeSet::new();
        for (_, entry) in self.build_entries()? {
            part.total += 1;
            for digest in entry.blobs.iter().chain(entry.layers.iter().map(|layer| &layer.0)) {
                if !of_images.contains_key(digest) && counted.insert(*digest) {
                    part.size += disk::stat(&self.layout().blob(digest))?.map_or(0, |found| found.len());
                }
            }
        }
        let mounts = self.folder_usage(&[self.layout().cache(CacheKind::Mounts)])?;
        (part.total, part.size) = (part.total + mounts.total, part.size + mounts.size);
        part.reclaimable = part.size;
        Ok(part)
    }

    fn folder_usage(&self, folders: &[std::path::PathBuf]) -> Result<Part, StoreError> {
        let mut part = Part::default();
        for folder in folders {
            for name in disk::names(folder)? {
                if name != "lock" {
                    part.total += 1;
                    part.size += disk::disk_usage(&folder.join(name));
                }
            }
        }
        part.reclaimable = part.size;
        Ok(part)
    }
}

fn blobs(image: &Image) -> BTreeMap<Digest, u64> {
    let documents = [&image.descriptor, &image.manifest.config];
    documents.into_iter().chain(&image.manifest.layers).map(|blob| (blob.digest, blob.size)).collect()
}

fn image_details(images: Vec<Image>, containers: &BTreeMap<ImageId, usize>) -> Vec<ImageUsage> {
    let mut users: BTreeMap<Digest, usize> = BTreeMap::new();
    for digest in images.iter().flat_map(|image| blobs(image).into_keys()) {
        *users.entry(digest).or_default() += 1;
    }
    let measure = |image: Image| {
        let (mut shared, mut unique) = (0, 0);
        for (digest, size) in blobs(&image) {
            match users.get(&digest) {
                Some(2..) => shared += size,
                _ => unique += size,
            }
        }
        let containers = containers.get(&image.id()).copied().unwrap_or(0);
        ImageUsage { image, shared, unique, containers }
    };
    images.into_iter().map(measure).collect()
}

//! Sweeping: what nothing refers to goes.

use std::collections::HashSet;

use bedplate_oci::{DiffId, Digest, ImageConfig, ImageIndex, MAX_JSON, Manifest, media_type};

use crate::disk;
use crate::error::StoreError;
use crate::images::parse;
use crate::locks::{Hold, LockGuard};
use crate::open::Store;

/// What a sweep removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Blobs removed.
    pub blobs: Vec<Digest>,
    /// Disk space freed, in bytes, as far as it was counted.
    pub freed: u64,
}

impl Store {
    /// Clears the folders of leases whose process died.
    pub(crate) fn sweep_leftovers(&self) -> Result<(), StoreError> {
        let tmp = self.layout().tmp();
        if disk::names(&tmp)?.is_empty() {
            return Ok(());
        }
        // While somebody is adding something, what lies here may be his: later then.
        let Some(_alone) = LockGuard::try_acquire(&self.layout().sweep_lock(), Hold::Exclusive)? else {
            return Ok(());
        };
        for name in disk::names(&tmp)? {
            let path = tmp.join(name);
            let lock = path.join("lock");
            if disk::stat(&lock)?.is_some() && LockGuard::try_existing(&lock, Hold::Exclusive)?.is_none() {
                continue;
            }
            if let Err(error) = disk::remove_all(&path) {
                tracing::debug!(%error, "a leftover stays for now");
            }
        }
        Ok(())
    }

    /// Removes every blob, layer index and snapshot that no image, container, cache entry or running ingest needs.
    ///
    /// # Errors
    /// Where the store cannot be read; nothing is removed then that might still be needed.
    pub fn sweep(&self) -> Result<SweepReport, StoreError> {
        self.writable()?;
        self.sweep_leftovers()?;
        let _alone = LockGuard::acquire(&self.layout().sweep_lock(), Hold::Exclusive)?;
        let needed = self.needed()?;
        let mut report = SweepReport::default();
        for name in disk::names(&self.layout().blobs())? {
            // A name that is no digest is fsck's to judge.
            let Ok(digest) = Digest::from_hex(&name) else { continue };
            if needed.contains(&digest) {
                continue;
            }
            let path = self.layout().blob(&digest);
            let size = disk::stat(&path)?.map_or(0, |found| found.len());
            if disk::remove_file(&path)? {
                report.blobs.push(digest);
                report.freed += size;
            }
        }
        Ok(report)
    }

    /// Digests of all blobs and diff IDs of all layers that something refers to.
    pub(crate) fn needed(&self) -> Result<HashSet<Digest>, StoreError> {
        let mut needed = HashSet::new();
        for entry in self.names()?.entries() {
            self.mark(&entry.media_type, &entry.digest, 0, &mut needed)?;
        }
        for (_, entry) in self.build_entries()? {
            needed.extend(entry.blobs);
            needed.extend(entry.layers.iter().map(|layer: &DiffId| layer.0));
        }
        needed.extend(self.pinned()?);
        Ok(needed)
    }

    fn mark(
        &self,
        media_type: &str,
        digest: &Digest,
        depth: usize,
        needed: &mut HashSet<Digest>,
    ) -> Result<(), StoreError> {
        const DEEPEST: usize = 4;
        if !needed.insert(*digest) || depth > DEEPEST || !self.has_own_blob(digest)? {
            return Ok(());
        }
        let bytes = self.read_blob(digest, MAX_JSON as u64)?;
        if media_type::is_index(media_type) {
            let index: ImageIndex = parse("image index", digest, &bytes)?;
            for part in &index.manifests {
                self.mark(&part.media_type, &part.digest, depth + 1, needed)?;
            }
            return Ok(());
        }
        let manifest: Manifest = parse("manifest", digest, &bytes)?;
        needed.extend(manifest.layers.iter().map(|layer| layer.digest));
        let config = manifest.config.digest;
        needed.insert(config);
        if media_type::is_config(&manifest.config.media_type) && self.has_own_blob(&config)? {
            let bytes = self.read_blob(&config, MAX_JSON as u64)?;
            let config: ImageConfig = parse("image config", &config, &bytes)?;
            needed.extend(config.rootfs.diff_ids.iter().map(|diff_id| diff_id.0));
        }
        Ok(())
    }

    /// What leases of running processes pin.
    fn pinned(&self) -> Result<Vec<Digest>, StoreError> {
        const MAX_PINS: u64 = 64 * 1024 * 1024;
        let tmp = self.layout().tmp();
        let mut pinned = Vec::new();
        for name in disk::names(&tmp)? {
            let lock = tmp.join(name).join("lock");
            let Some(text) = disk::read(&lock, MAX_PINS)? else { continue };
            // Free: its process is gone, and with it the reason for its pins.
            if LockGuard::try_existing(&lock, Hold::Exclusive)?.is_some() {
                continue;
            }
            pinned.extend(String::from_utf8_lossy(&text).lines().filter_map(|hex| Digest::from_hex(hex).ok()));
        }
        Ok(pinned)
    }
}

//! Sweeping: what nothing refers to goes.

use std::collections::HashSet;

use bedplate_oci::{
    ChainId, Descriptor, DiffId, Digest, ImageConfig, ImageIndex, MAX_JSON, Manifest, chain_ids, media_type,
};

use crate::cache::CacheKind;
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
    /// Folders of layers removed: indexes and lists of variants.
    pub layers: usize,
    /// Unpacked roots removed.
    pub snapshots: usize,
    /// Unpacked roots that nothing needs but that this process may not remove; root of their user namespace can.
    pub snapshots_left: usize,
    /// Disk space freed, in bytes, as far as it was counted.
    pub freed: u64,
}

/// What must not be removed.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    /// Blobs, and layers by diff ID.
    pub(crate) digests: HashSet<Digest>,
    /// Unpacked roots.
    pub(crate) chains: HashSet<ChainId>,
}

impl Needed {
    fn mark_layers(&mut self, diff_ids: &[DiffId]) {
        self.digests.extend(diff_ids.iter().map(|diff_id| diff_id.0));
        self.chains.extend(chain_ids(diff_ids));
    }
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
        let alone = LockGuard::acquire(&self.layout().sweep_lock(), Hold::Exclusive)?;
        let needed = self.needed()?;
        let mut report = SweepReport::default();
        for name in disk::names(&self.layout().blobs())? {
            // A name that is no digest is fsck's to judge.
            let Ok(digest) = Digest::from_hex(&name) else { continue };
            if needed.digests.contains(&digest) {
                continue;
            }
            let path = self.layout().blob(&digest);
            let size = disk::stat(&path)?.map_or(0, |found| found.len());
            if disk::remove_file(&path)? {
                report.blobs.push(digest);
                report.freed += size;
            }
        }
        for (folder, is_layer) in [(self.layout().layers(), true), (self.layout().cache(CacheKind::Streams), false)] {
            for name in disk::names(&folder)? {
                let Ok(digest) = Digest::from_hex(&name) else { continue };
                if !needed.digests.contains(&digest) {
                    let path = folder.join(name);
                    let size = disk::disk_usage(&path);
                    disk::remove_all(&path)?;
                    report.freed += size;
                    report.layers += usize::from(is_layer);
                }
            }
        }
        drop(alone);
        self.sweep_snapshots(&needed, &mut report)?;
        Ok(report)
    }

    /// Removes unpacked roots of images that are gone. Their own locks keep those in use.
    fn sweep_snapshots(&self, needed: &Needed, report: &mut SweepReport) -> Result<(), StoreError> {
        let mut folders = self.snapshot_folders()?;
        // Stacked ones hold their parents.
        folders.sort_by_key(|(name, _)| !name.ends_with(".delta"));
        for (name, chain_id) in folders {
            let Some(chain_id) = chain_id else { continue };
            if needed.chains.contains(&chain_id) {
                continue;
            }
            match self.remove_snapshot(&name) {
                Ok(true) => {
                    report.snapshots += 1;
                    let make = self.root().join("locks").join(format!("make-{}", name.trim_end_matches(".delta")));
                    if let Some(_held) = LockGuard::try_existing(&make, Hold::Exclusive)? {
                        disk::remove_file(&make)?;
                    }
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%error, name, "an unpacked root cannot be removed");
                    report.snapshots_left += 1;
                }
            }
        }
        Ok(())
    }

    /// All that something refers to.
    pub(crate) fn needed(&self) -> Result<Needed, StoreError> {
        let mut needed = Needed::default();
        for entry in self.names()?.entries() {
            self.mark(entry, 0, &mut needed)?;
        }
        for id in self.container_ids()? {
            // A state that cannot be read keeps nothing; fsck names it.
            let Ok(Some(state)) = self.container_state(&id) else { continue };
            if let Some(manifest) = &state.manifest {
                self.mark(manifest, 0, &mut needed)?;
            }
            needed.mark_layers(&state.layers);
        }
        for (_, entry) in self.build_entries()? {
            needed.digests.extend(entry.blobs);
            needed.digests.extend(entry.layers.iter().map(|layer| layer.0));
        }
        needed.digests.extend(self.pinned()?);
        Ok(needed)
    }

    fn mark(&self, entry: &Descriptor, depth: usize, needed: &mut Needed) -> Result<(), StoreError> {
        const DEEPEST: usize = 4;
        let digest = &entry.digest;
        if !needed.digests.insert(*digest) || depth > DEEPEST || !self.has_own_blob(digest)? {
            return Ok(());
        }
        let bytes = self.read_blob(digest, MAX_JSON as u64)?;
        if media_type::is_index(&entry.media_type) {
            let index: ImageIndex = parse("image index", digest, &bytes)?;
            for part in &index.manifests {
                self.mark(part, depth + 1, needed)?;
            }
            return Ok(());
        }
        if !media_type::is_manifest(&entry.media_type) {
            return Ok(());
        }
        let manifest: Manifest = parse("manifest", digest, &bytes)?;
        needed.digests.extend(manifest.layers.iter().map(|layer| layer.digest));
        let config = manifest.config.digest;
        needed.digests.insert(config);
        if media_type::is_config(&manifest.config.media_type) && self.has_own_blob(&config)? {
            let bytes = self.read_blob(&config, MAX_JSON as u64)?;
            let config: ImageConfig = parse("image config", &config, &bytes)?;
            needed.mark_layers(&config.rootfs.diff_ids);
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

//! Digests of a context's files, remembered by their stamps.
//!
//! A file whose device, inode, size and times are as they were is not read again. What was changed so shortly before
//! it was read that a second change could leave the same stamp is not remembered. The cache is one file for each
//! directory; it may be deleted at any time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bedplate_image::{ContentError, ContentSources, Contents as _, Stamp};
use bedplate_oci::{Digest, Hasher};
use bedplate_store::{CacheKind, Lease};
use bedplate_sys::file::Time;
use bedplate_tree::Content;

/// The first bytes of the file, with the version of what follows.
const MAGIC: &[u8; 16] = b"bedplate stamps1";

/// The length of one entry: device, inode, size, two times, a digest.
const ENTRY: usize = 8 * 3 + 12 * 2 + 32;

/// Files below this size are hashed rather than looked up, as long as they are few: reading the cache costs as much.
const SMALL: u64 = 256 * 1024;

/// How many files are few.
const FEW: usize = 64;

/// How far, in nanoseconds, a change must lie before the reading to be remembered. Times of files advance in steps of up
/// to 10 ms; a file system on another machine may lag.
const SETTLED: i128 = 2_000_000_000;

/// The most entries that are kept, 80 MB of them.
const MAX_ENTRIES: usize = 1_000_000;

/// The buffer that files are read with.
const BUFFER: usize = 256 * 1024;

/// The digests of one context, for all threads of a build.
#[derive(Debug)]
pub(crate) struct Hashes {
    /// Where the cache is, for a context that has one.
    path: Option<PathBuf>,
    memory: Mutex<Memory>,
    seen: AtomicUsize,
}

#[derive(Debug, Default)]
struct Memory {
    known: Option<HashMap<[u64; 7], Digest>>,
    fresh: HashMap<[u64; 7], Digest>,
    /// A moment before anything was read, by the clock of the store's file system.
    began: Option<i128>,
}

thread_local! {
    /// What files are read into.
    static BYTES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Hashes {
    /// `identity` is what tells a directory from others on this machine.
    pub(crate) fn new(identity: Option<&str>, lease: &Lease) -> Self {
        let path = identity.and_then(|identity| {
            let folder = lease.store().cache(CacheKind::Context).ok()?;
            Some(folder.folder().join(Digest::of(identity.as_bytes()).hex()))
        });
        Self { path, memory: Mutex::default(), seen: AtomicUsize::new(0) }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The digest of a file's bytes.
    pub(crate) fn digest(
        &self,
        content: &Content,
        contents: &ContentSources<'_>,
        lease: &Lease,
    ) -> Result<Digest, ContentError> {
        let seen = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        let stamp = match self.path {
            Some(_) if content.size() >= SMALL || seen > FEW => contents.stamp(content.source()),
            _ => None,
        };
        let Some(stamp) = stamp else { return read(content, contents) };
        let key = key_of(&stamp);
        let began = {
            let mut memory = self.memory();
            if memory.known.is_none() {
                memory.known = Some(self.path.as_deref().and_then(load).unwrap_or_default());
                memory.began = moment(lease);
            }
            let known = memory.known.as_ref().and_then(|known| known.get(&key)).or_else(|| memory.fresh.get(&key));
            if let Some(digest) = known {
                return Ok(*digest);
            }
            memory.began
        };
        let digest = read(content, contents)?;
        let last = nanoseconds(stamp.mtime).max(nanoseconds(stamp.ctime));
        if began.is_some_and(|began| last + SETTLED < began) {
            self.memory().fresh.insert(key, digest);
        }
        Ok(digest)
    }

    /// Keeps what was learnt. A failure costs time later, nothing else.
    pub(crate) fn save(&self, lease: &Lease) {
        let mut memory = self.memory();
        let (Some(path), false) = (&self.path, memory.fresh.is_empty()) else { return };
        let mut all = memory.known.take().unwrap_or_default();
        if all.len() + memory.fresh.len() > MAX_ENTRIES {
            all.clear();
        }
        all.extend(memory.fresh.drain());
        let mut bytes = Vec::with_capacity(MAGIC.len() + all.len() * ENTRY + 32);
        bytes.extend_from_slice(MAGIC);
        for (key, digest) in &all {
            for (index, number) in key.iter().enumerate() {
                match index {
                    // Nanoseconds need four bytes.
                    4 | 6 => bytes.extend_from_slice(&(*number as u32).to_le_bytes()),
                    _ => bytes.extend_from_slice(&number.to_le_bytes()),
                }
            }
            bytes.extend_from_slice(digest.as_bytes());
        }
        let sum = Digest::of(&bytes);
        bytes.extend_from_slice(sum.as_bytes());
        let scratch = lease.scratch();
        let kept = fs::write(&scratch, &bytes).and_then(|()| fs::rename(&scratch, path));
        if let Err(error) = kept {
            tracing::debug!(%error, "digests of the context are not remembered");
        }
        memory.known = Some(all);
    }
}

fn read(content: &Content, contents: &ContentSources<'_>) -> Result<Digest, ContentError> {
    let mut hasher = Hasher::new();
    let mut reader = contents.open(content)?;
    let wanted = usize::try_from(content.size()).unwrap_or(usize::MAX).clamp(1, BUFFER);
    BYTES.with_borrow_mut(|buffer| {
        if buffer.len() < wanted {
            buffer.resize(wanted, 0);
        }
        loop {
            match reader.fill(buffer)? {
                0 => return Ok(hasher.digest()),
                count => hasher.update(&buffer[..count]),
            }
        }
    })
}

fn nanoseconds(time: Time) -> i128 {
    i128::from(time.sec) * 1_000_000_000 + i128::from(time.nsec)
}

fn key_of(stamp: &Stamp) -> [u64; 7] {
    [
        stamp.device,
        stamp.inode,
        stamp.size,
        stamp.mtime.sec as u64,
        u64::from(stamp.mtime.nsec),
        stamp.ctime.sec as u64,
        u64::from(stamp.ctime.nsec),
    ]
}

/// The time of a file that is made now.
fn moment(lease: &Lease) -> Option<i128> {
    let path = lease.scratch();
    let file = File::create(&path).ok()?;
    let found = file.metadata().ok()?;
    Some(i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec()))
}

/// Reads a cache; one that is damaged, or of another version, is none.
fn load(path: &std::path::Path) -> Option<HashMap<[u64; 7], Digest>> {
    let mut bytes = Vec::new();
    let limit = (MAGIC.len() + MAX_ENTRIES * ENTRY + 32) as u64;
    File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    decode(&bytes)
}

fn decode(bytes: &[u8]) -> Option<HashMap<[u64; 7], Digest>> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if Digest::of(body).as_bytes() != sum {
        return None;
    }
    let entries = body.strip_prefix(MAGIC)?.chunks_exact(ENTRY);
    if !entries.remainder().is_empty() {
        return None;
    }
    let mut known = HashMap::with_capacity(entries.len());
    for entry in entries {
        let long = |at: usize| Some(u64::from_le_bytes(entry.get(at..at + 8)?.try_into().ok()?));
        let short = |at: usize| Some(u64::from(u32::from_le_bytes(entry.get(at..at + 4)?.try_into().ok()?)));
        let key = [long(0)?, long(8)?, long(16)?, long(24)?, short(32)?, long(36)?, short(44)?];
        known.insert(key, Digest::from_bytes(entry.get(48..80)?.try_into().ok()?));
    }
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_caches_are_none() {
        assert!(decode(b"").is_none());
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[1; ENTRY]);
        let sum = Digest::of(&bytes);
        bytes.extend_from_slice(sum.as_bytes());
        assert_eq!(decode(&bytes).map(|known| known.len()), Some(1));
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1;
            assert!(decode(&damaged).is_none(), "byte {index}");
        }
        assert!(decode(&bytes[..bytes.len() - 1]).is_none());
    }
}

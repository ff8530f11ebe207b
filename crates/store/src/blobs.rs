//! Blobs: bytes under their sha256, and how they come in.
//!
//! ```text
//! lease -> tmp/<lease>/<n>  write, hash, fsync
//!            |  sweep lock shared: pin the digest in tmp/<lease>/lock, rename
//!            v
//!          blobs/sha256/<hex>
//! ```
//!
//! A blob that nothing refers to yet is kept by the pin of its lease; when the lease ends, only a manifest that
//! `index.json` names, a container or a cache entry keeps it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bedplate_oci::{Descriptor, DiffId, Digest, Hasher};

use crate::disk::{self, BUFFER, NewFile};
use crate::error::StoreError;
use crate::locks::{Hold, LockGuard};
use crate::open::Store;

/// Bytes of a blob after which the disk is set to work: large enough for it to write in one go.
const WRITEBACK: u64 = 8 * 1024 * 1024;

impl Store {
    /// Where a blob lies, or would lie, in this store.
    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.layout().blob(digest)
    }

    /// Tells whether a blob is here or in the fallback.
    ///
    /// # Errors
    /// Where the folder cannot be looked into.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        if self.has_own_blob(digest)? {
            return Ok(true);
        }
        self.fallback().map_or(Ok(false), |other| other.has_blob(digest))
    }

    pub(crate) fn has_own_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(disk::stat(&self.layout().blob(digest))?.is_some_and(|found| found.is_file()))
    }

    /// Opens a blob of this store or the fallback for reading. Its bytes are not verified again.
    ///
    /// # Errors
    /// [`StoreError::BlobMissing`], or where it cannot be opened.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        match self.try_open_blob(digest)? {
            Some(file) => Ok(file),
            None => Err(StoreError::BlobMissing { digest: *digest, path: self.root().to_owned() }),
        }
    }

    pub(crate) fn try_open_blob(&self, digest: &Digest) -> Result<Option<File>, StoreError> {
        if let Some(file) = disk::open(&self.layout().blob(digest))? {
            return Ok(Some(file));
        }
        self.fallback().map_or(Ok(None), |other| other.try_open_blob(digest))
    }

    /// Reads a small blob and verifies its digest: a manifest, a config.
    ///
    /// # Errors
    /// [`StoreError::BlobMissing`], [`StoreError::TooLarge`], [`StoreError::WrongDigest`], or where it cannot be read.
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        self.open_blob(digest)?
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|e| StoreError::Call(disk::failed("read", &self.layout().blob(digest), &e)))?;
        if bytes.len() as u64 > limit {
            return Err(StoreError::TooLarge { what: format!("blob {digest}"), limit });
        }
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(StoreError::WrongDigest { what: format!("blob {digest}"), expected: *digest, found });
        }
        Ok(bytes)
    }

    /// The size of a blob of this store or the fallback, in bytes; `None` where it is missing.
    ///
    /// # Errors
    /// Where the folder cannot be looked into.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        if let Some(found) = disk::stat(&self.layout().blob(digest))? {
            return Ok(Some(found.len()));
        }
        self.fallback().map_or(Ok(None), |other| other.blob_size(digest))
    }

    /// Begins to add things: what is put under a lease is safe from sweeps until the lease is dropped.
    ///
    /// Leases of processes that died are cleared on the way.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], or where its folder cannot be made.
    pub fn lease(&self) -> Result<Lease, StoreError> {
        self.writable()?;
        self.sweep_leftovers()?;
        let _moment = self.share_sweep()?;
        let dir = self.scratch("lease")?;
        disk::make_dir(&dir, 0o700)?;
        let lock = LockGuard::acquire(&dir.join("lock"), Hold::Exclusive)?;
        Ok(Lease {
            store: self.clone(),
            dir,
            lock,
            pins: Mutex::new(()),
            counter: AtomicU64::new(0),
            unsynced: AtomicBool::new(false),
        })
    }
}

/// A blob that is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Blob {
    /// A descriptor of this blob with a media type.
    #[must_use]
    pub fn descriptor(&self, media_type: impl Into<String>) -> Descriptor {
        Descriptor::new(media_type, self.digest, self.size)
    }
}

/// The right to add to a store: a folder for what is being written, and pins for what nothing refers to yet.
///
/// Threads may share one. When it is dropped, unfinished files go, and blobs that no image, container or cache
/// entry refers to are the next sweep's.
#[derive(Debug)]
pub struct Lease {
    store: Store,
    dir: PathBuf,
    lock: LockGuard,
    pins: Mutex<()>,
    counter: AtomicU64,
    unsynced: AtomicBool,
}

impl Lease {
    /// The store that is added to.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A path for a temporary file or directory; all such paths are removed with the lease.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.dir.join(self.counter.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Begins a blob whose digest is taken while it is written.
    ///
    /// # Errors
    /// Where its file cannot be made.
    pub fn blob_writer(&self) -> Result<BlobWriter, StoreError> {
        self.writer(Some(Hasher::new()))
    }

    /// Begins a blob whose digest the caller takes himself and vouches for: one pass of hashing is enough.
    ///
    /// # Errors
    /// Where its file cannot be made.
    pub fn unhashed_writer(&self) -> Result<BlobWriter, StoreError> {
        self.writer(None)
    }

    fn writer(&self, hasher: Option<Hasher>) -> Result<BlobWriter, StoreError> {
        let file = NewFile::create(self.scratch(), disk::FILE_MODE)?;
        Ok(BlobWriter { file, hasher, buffer: Vec::new(), length: 0, written: 0, started: 0 })
    }

    /// Adds bytes at hand; adding them again changes nothing, but mends a blob that was damaged.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Blob, StoreError> {
        let blob = Blob { digest: Digest::of(bytes), size: bytes.len() as u64 };
        let is_there = |found: Vec<u8>| found == bytes;
        if self.pin_existing(&blob)? && std::fs::read(self.store.layout().blob(&blob.digest)).is_ok_and(is_there) {
            return Ok(blob);
        }
        let mut file = NewFile::create(self.scratch(), disk::FILE_MODE)?;
        file.append(bytes)?;
        file.sync()?;
        self.publish(file.path(), &blob)?;
        Ok(blob)
    }

    /// Adds the blob that a descriptor promises; verified before it gets its name.
    ///
    /// A blob that is there already is not read again.
    ///
    /// # Errors
    /// [`StoreError::WrongDigest`], [`StoreError::WrongSize`] where the bytes are others; [`StoreError::Source`]
    /// where they cannot be read; or where they cannot be written.
    pub fn put_blob(&self, expected: &Descriptor, content: impl Read) -> Result<Blob, StoreError> {
        let blob = Blob { digest: expected.digest, size: expected.size };
        if self.pin_existing(&blob)? {
            return Ok(blob);
        }
        let what = || format!("blob {}", expected.digest);
        let mut writer = self.blob_writer()?;
        // One byte more than promised tells a longer source without reading all of it.
        writer.copy_from(content.take(expected.size.saturating_add(1)), &what())?;
        writer.seal()?.verified(&what(), &blob)?.publish(self)
    }

    /// Takes over a blob, and the index of a layer, that only the fallback has, so that this store is whole in itself.
    ///
    /// # Errors
    /// [`StoreError::BlobMissing`], or as [`Lease::put_blob`].
    pub fn adopt(&self, expected: &Descriptor) -> Result<Blob, StoreError> {
        let blob = Blob { digest: expected.digest, size: expected.size };
        if self.pin_existing(&blob)? {
            return Ok(blob);
        }
        let file = self.store.open_blob(&expected.digest)?;
        self.put_blob(expected, file)
    }

    /// Keeps a digest from sweeps while this lease lives, whether or not anything of that name exists.
    ///
    /// # Errors
    /// Where the pin cannot be written.
    pub(crate) fn pin(&self, digest: &Digest) -> Result<(), StoreError> {
        let _one_at_a_time = self.pins.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let line = format!("{}\n", digest.hex());
        (&mut self.lock.file()).write_all(line.as_bytes()).map_err(|e| disk::failed("write", self.lock.path(), &e))?;
        Ok(())
    }

    /// Keeps a layer from sweeps while this lease lives.
    ///
    /// # Errors
    /// Where the pin cannot be written.
    pub fn pin_layer(&self, diff_id: &DiffId) -> Result<(), StoreError> {
        let _moment = self.store.share_sweep()?;
        self.pin(&diff_id.0)
    }

    /// Pins a blob if it is there in full.
    pub(crate) fn pin_existing(&self, blob: &Blob) -> Result<bool, StoreError> {
        let path = self.store.layout().blob(&blob.digest);
        if disk::stat(&path)?.is_none() {
            return Ok(false);
        }
        let _moment = self.store.share_sweep()?;
        self.pin(&blob.digest)?;
        // Looked at again: a sweep may have come between.
        let there = disk::stat(&path)?.is_some_and(|found| found.is_file() && found.len() == blob.size);
        // Whoever put it may not have synced its name yet, and his image is not ours to wait for.
        self.unsynced.fetch_or(there, Ordering::AcqRel);
        Ok(there)
    }

    /// Gives a finished, synced file its place among the blobs.
    fn publish(&self, file: &Path, blob: &Blob) -> Result<(), StoreError> {
        let path = self.store.layout().blob(&blob.digest);
        let _moment = self.store.share_sweep()?;
        self.pin(&blob.digest)?;
        // One that is there already is replaced: the bytes are the same, and ours were verified just now.
        disk::rename(file, &path)?;
        self.unsynced.store(true, Ordering::Release);
        Ok(())
    }

    /// Syncs a file of this lease whose digest was taken, and gives it its place among the blobs.
    pub(crate) fn publish_file(&self, file: &Path, blob: &Blob) -> Result<(), StoreError> {
        if self.pin_existing(blob)? {
            return Ok(());
        }
        let open = File::open(file).map_err(|e| disk::failed("open", file, &e))?;
        open.sync_data().map_err(|e| disk::failed("fdatasync", file, &e))?;
        disk::record::note(|| disk::record::Op::Sync(file.to_owned()));
        // A file that several images name is moved once; the others find the blob above.
        self.publish(file, blob)
    }

    /// Waits until the names of all blobs put so far are on the disk; before a name of an image leads to them.
    pub(crate) fn sync_names(&self) -> Result<(), StoreError> {
        if self.unsynced.swap(false, Ordering::AcqRel) {
            disk::sync_dir(&self.store.layout().blobs())?;
        }
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A leftover is swept when the next lease begins.
        if let Err(error) = disk::remove_all(&self.dir) {
            tracing::debug!(%error, "a lease's folder is left for the next sweep");
        }
    }
}

/// A blob being written. Dropped without [`BlobWriter::finish`] it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    file: NewFile,
    hasher: Option<Hasher>,
    buffer: Vec<u8>,
    length: u64,
    /// Bytes handed to the kernel, and how many of them it was asked to write to the disk.
    written: u64,
    started: u64,
}

impl BlobWriter {
    /// How many bytes were written so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes all that a reader gives; `what` names it in errors.
    ///
    /// # Errors
    /// [`StoreError::Source`] where the reader fails, another where the disk does.
    pub fn copy_from(&mut self, mut content: impl Read, what: &str) -> Result<u64, StoreError> {
        let mut buffer = vec![0; BUFFER];
        let start = self.length;
        loop {
            match content.read(&mut buffer) {
                Ok(0) => return Ok(self.length - start),
                Ok(count) => self.add(buffer.get(..count).unwrap_or_default())?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(StoreError::Source { what: what.to_owned(), source }),
            }
        }
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.length += bytes.len() as u64;
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush_buffer()?;
        }
        match bytes.len() >= BUFFER {
            true => self.append(bytes),
            false => {
                self.buffer.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    fn flush_buffer(&mut self) -> Result<(), StoreError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let result = self.append(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        result
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.append(bytes)?;
        self.written += bytes.len() as u64;
        if self.written - self.started >= WRITEBACK {
            // The disk works while the next bytes are read and hashed: else all of it would wait for the fsync.
            bedplate_sys::durable::start_writeback(self.file.file(), self.started, self.written - self.started);
            self.started = self.written;
        }
        Ok(())
    }

    /// The file with all bytes written, for a place of its own.
    pub(crate) fn into_file(mut self) -> Result<NewFile, StoreError> {
        self.flush_buffer()?;
        Ok(self.file)
    }

    /// Ends the blob: its bytes are on the disk and it has its place in the store.
    ///
    /// # Errors
    /// Where the disk fails.
    ///
    /// # Panics
    /// For a writer without a hash; that is [`BlobWriter::finish_as`]'s.
    pub fn finish(self, lease: &Lease) -> Result<Blob, StoreError> {
        self.seal()?.publish(lease)
    }

    /// Ends a blob whose digest the caller took.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn finish_as(mut self, digest: Digest, lease: &Lease) -> Result<Blob, StoreError> {
        self.hasher = None;
        self.flush_buffer()?;
        SealedBlob { file: self.file, blob: Blob { digest, size: self.length } }.publish(lease)
    }

    /// Ends the writing, without a place in the store yet.
    ///
    /// # Errors
    /// Where the disk fails.
    ///
    /// # Panics
    /// For a writer without a hash.
    pub fn seal(mut self) -> Result<SealedBlob, StoreError> {
        self.flush_buffer()?;
        let digest = self.hasher.as_ref().expect("a writer without a hash is ended with finish_as").digest();
        Ok(SealedBlob { blob: Blob { digest, size: self.length }, file: self.file })
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.add(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(StoreError::Call(error)) => Err(error.into()),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A blob that is written, but not yet in its place.
#[derive(Debug)]
pub struct SealedBlob {
    file: NewFile,
    blob: Blob,
}

impl SealedBlob {
    /// Its digest and size.
    #[must_use]
    pub fn blob(&self) -> Blob {
        self.blob
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        self.file.file()
    }

    /// Checks digest and size against what was promised; `what` names it in errors.
    ///
    /// # Errors
    /// [`StoreError::WrongSize`], [`StoreError::WrongDigest`].
    pub fn verified(self, what: &str, expected: &Blob) -> Result<Self, StoreError> {
        let what = what.to_owned();
        if self.blob.size != expected.size {
            return Err(StoreError::WrongSize { what, expected: expected.size, found: self.blob.size });
        }
        if self.blob.digest != expected.digest {
            return Err(StoreError::WrongDigest { what, expected: expected.digest, found: self.blob.digest });
        }
        Ok(self)
    }

    /// Syncs the blob and gives it its place in the store.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn publish(self, lease: &Lease) -> Result<Blob, StoreError> {
        if lease.pin_existing(&self.blob)? {
            disk::remove_file(self.file.path())?;
            return Ok(self.blob);
        }
        self.file.sync()?;
        lease.publish(self.file.path(), &self.blob)?;
        Ok(self.blob)
    }

    /// Where the file lies, and what it holds; the file is closed.
    pub(crate) fn into_parts(self) -> (PathBuf, Blob) {
        (self.file.path().to_owned(), self.blob)
    }

    /// Removes the file at once, without waiting for the end of the lease.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn discard(self) -> Result<(), StoreError> {
        disk::remove_file(self.file.path())?;
        Ok(())
    }
}

//! Packages decoded: once per machine, kept as the uncompressed stream of their files and what is known of it.
//!
//! ```text
//! cache/payloads/<sha256 of the .deb>.payload      the boot it was last found whole in, then Payload::encode
//! cache/payloads/<sha256 of data.tar>.tar          the stream; two packages may share one
//! ```
//!
//! Nothing here is synced: after a power cut a file may be short or empty. So a stream is hashed again the first time
//! it is used in another boot than the one that wrote it, which costs a gigabyte a second, and not 75 MB as decoding does.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bedplate_oci::Digest;
use bedplate_packages::deb::payload::{DebError, Payload};
use bedplate_store::{CacheGuard, CacheKind, Lease, StoreError};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// How much is read or written at once, in bytes.
const BUFFER: usize = 256 * 1024;

/// A package cannot be decoded or its payload not kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The package is not what it should be.
    #[error("cannot read the package {name:?}")]
    Package {
        /// The package.
        name: String,
        /// Why.
        #[source]
        source: DebError,
    },
    /// A file of the cache cannot be read or written.
    #[error("cannot {what} {path:?}")]
    File {
        /// What was to be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The cache cannot be opened.
    #[error("cannot open the cache of decoded packages")]
    Cache(#[source] StoreError),
}

/// A package to be decoded.
#[derive(Debug, Clone)]
pub(crate) struct Deb {
    /// Its name, for errors.
    pub(crate) name: String,
    /// The digest of the `.deb`.
    pub(crate) digest: Digest,
    /// Where it lies, verified.
    pub(crate) path: PathBuf,
    /// Its size in bytes: the largest are decoded first.
    pub(crate) size: u64,
}

/// The cache of decoded packages in use: nobody empties it while this value lives.
#[derive(Debug)]
pub(crate) struct Payloads<'a> {
    lease: &'a Lease,
    guard: CacheGuard,
    boot: String,
}

impl<'a> Payloads<'a> {
    pub(crate) fn open(lease: &'a Lease) -> Result<Self, PayloadError> {
        let guard = lease.store().cache(CacheKind::Payloads).map_err(PayloadError::Cache)?;
        Ok(Self { lease, guard, boot: bedplate_sys::kernel::boot_id() })
    }

    /// Opens a stream by its digest; `None` where there is none.
    pub(crate) fn stream(&self, digest: &Digest) -> io::Result<Option<File>> {
        match File::open(self.stream_path(digest)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the payload of each package, in their order; decodes what was not decoded yet, in `jobs` threads.
    pub(crate) fn get(
        &self,
        debs: &[Deb],
        jobs: usize,
        done: &(dyn Fn(&Deb) + Sync),
    ) -> Result<Vec<Payload>, PayloadError> {
        let mut order: Vec<usize> = (0..debs.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(debs.get(*at).map_or(0, |deb| deb.size)));
        let slots: Vec<Mutex<Option<Result<Payload, PayloadError>>>> = debs.iter().map(|_| Mutex::default()).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(at) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (Some(deb), Some(slot)) = (debs.get(*at), slots.get(*at)) else { return };
                let found = self.one(deb);
                let failed = found.is_err();
                *slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(found);
                if failed {
                    // The others need not begin.
                    next.store(order.len(), Ordering::Relaxed);
                    return;
                }
                done(deb);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..jobs.min(debs.len()) {
                scope.spawn(work);
            }
            work();
        });
        let taken: Vec<_> = slots
            .into_iter()
            .map(|slot| slot.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
            .collect();
        let mut payloads = Vec::with_capacity(debs.len());
        // The first failure in the packages' order, whichever came first in time.
        for slot in taken.into_iter().flatten() {
            payloads.push(slot?);
        }
        Ok(payloads)
    }

    fn one(&self, deb: &Deb) -> Result<Payload, PayloadError> {
        let path = self.guard.folder().join(format!("{}.payload", deb.digest.hex()));
        if let Some(payload) = self.kept(&path)? {
            return Ok(payload);
        }
        let file = File::open(&deb.path).map_err(failed("open", &deb.path))?;
        let stream = self.lease.scratch();
        let sink = File::create(&stream).map_err(failed("make", &stream))?;
        let mut sink = BufWriter::with_capacity(BUFFER, sink);
        let payload = Payload::read(BufReader::with_capacity(BUFFER, file), &mut sink)
            .map_err(|source| PayloadError::Package { name: deb.name.clone(), source })?;
        sink.flush().map_err(failed("write", &stream))?;
        drop(sink);
        let place = self.stream_path(&Digest::from_bytes(payload.index().diff_id()));
        fs::rename(&stream, &place).map_err(failed("keep", &place))?;
        self.keep(&path, &payload)?;
        Ok(payload)
    }

    /// A payload that is there and whole.
    fn kept(&self, path: &Path) -> Result<Option<Payload>, PayloadError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", path)(error)),
        };
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let (boot, encoded) = (&bytes[..end], &bytes[end + 1..]);
        // Damaged, or of another version: made anew.
        let Ok(payload) = Payload::decode(encoded) else { return Ok(None) };
        let digest = Digest::from_bytes(payload.index().diff_id());
        let stream = self.stream_path(&digest);
        match fs::metadata(&stream) {
            Ok(found) if found.len() == payload.index().stream_size() => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("look at", &stream)(error)),
        }
        if boot != self.boot.as_bytes() {
            if hash(&stream)? != digest {
                return Ok(None);
            }
            self.keep(path, &payload)?;
        }
        Ok(Some(payload))
    }

    fn keep(&self, path: &Path, payload: &Payload) -> Result<(), PayloadError> {
        let mut bytes = self.boot.clone().into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(&payload.encode());
        let scratch = self.lease.scratch();
        fs::write(&scratch, bytes).map_err(failed("write", &scratch))?;
        fs::rename(&scratch, path).map_err(failed("keep", path))
    }

    fn stream_path(&self, digest: &Digest) -> PathBuf {
        self.guard.folder().join(format!("{}.tar", digest.hex()))
    }
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> PayloadError + 'a {
    move |source| PayloadError::File { what, path: path.to_owned(), source }
}

fn hash(path: &Path) -> Result<Digest, PayloadError> {
    let mut file = File::open(path).map_err(failed("open", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer).map_err(failed("read", path))? {
            0 => return Ok(Digest::from_bytes(hasher.finalize().into())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

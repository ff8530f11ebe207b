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
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};

use bedplate_oci::Digest;
use bedplate_packages::deb::payload::{DebError, Payload};
use bedplate_store::{CacheGuard, CacheKind, Lease, StoreError};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::acquire::{FirstFailure, Wanted};

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

    /// Decodes packages in `jobs` threads while `fetch` brings them; gives what `fetch` gave, and the payloads in the
    /// packages' order, of which none is missing when `first` holds no failure.
    ///
    /// `fetch` tells of each package that is there: its position, and where it lies. `done` sees each payload.
    pub(crate) fn decode<R, E: From<PayloadError> + Send>(
        &self,
        wanted: &[Wanted],
        jobs: usize,
        first: &FirstFailure<E>,
        done: &(dyn Fn(usize, &Payload) -> Result<(), E> + Sync),
        fetch: impl FnOnce(&(dyn Fn(usize, &Path) + Sync)) -> R,
    ) -> (R, Vec<Payload>) {
        let slots: Vec<OnceLock<Payload>> = wanted.iter().map(|_| OnceLock::new()).collect();
        let (sender, receiver) = mpsc::channel::<(usize, PathBuf)>();
        let receiver = Mutex::new(receiver);
        let next = || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let work = || {
            while let Ok((n, path)) = next() {
                let (Some(wanted), Some(slot)) = (wanted.get(n), slots.get(n)) else { continue };
                if !first.wants(n) {
                    continue;
                }
                let decoded = self.one(wanted, &path).map_err(E::from);
                match decoded.and_then(|payload| done(n, &payload).map(|()| payload)) {
                    Ok(payload) => drop(slot.set(payload)),
                    Err(error) => first.record(n, error),
                }
            }
        };
        let fetched = std::thread::scope(|scope| {
            for _ in 0..jobs.clamp(1, wanted.len().max(1)) {
                scope.spawn(work);
            }
            // The workers end when the sender is gone, also where this panics.
            let sender = sender;
            fetch(&|n, path| {
                // They listen as long as it is here.
                let _ = sender.send((n, path.to_owned()));
            })
        });
        (fetched, slots.into_iter().filter_map(OnceLock::into_inner).collect())
    }

    fn one(&self, wanted: &Wanted, deb: &Path) -> Result<Payload, PayloadError> {
        let path = self.guard.folder().join(format!("{}.payload", wanted.sha256.hex()));
        if let Some(payload) = self.kept(&path)? {
            return Ok(payload);
        }
        let file = File::open(deb).map_err(failed("open", deb))?;
        let stream = self.lease.scratch();
        let sink = File::create(&stream).map_err(failed("make", &stream))?;
        let mut sink = BufWriter::with_capacity(BUFFER, sink);
        let payload = Payload::read(BufReader::with_capacity(BUFFER, file), &mut sink)
            .map_err(|source| PayloadError::Package { name: wanted.name.clone(), source })?;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bedplate_store::{OpenOptions, Store};
    use bedplate_testkit::debian::Deb;

    use super::*;

    /// A folder with a store and packages; a package without a version is none.
    fn bench(packages: &[(&str, Option<&str>)]) -> (tempfile::TempDir, Store, Vec<Wanted>, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&OpenOptions::new(folder.path().join("store"))).unwrap();
        let (mut wanted, mut paths) = (Vec::new(), Vec::new());
        for (name, version) in packages {
            let bytes = match version {
                Some(version) => Deb::new(name, version).build().bytes.to_vec(),
                None => name.as_bytes().to_vec(),
            };
            let path = folder.path().join(name);
            fs::write(&path, &bytes).unwrap();
            wanted.push(Wanted {
                name: (*name).to_owned(),
                path: (*name).to_owned(),
                mirrors: Vec::new(),
                size: bytes.len() as u64,
                sha256: Digest::of(&bytes),
            });
            paths.push(path);
        }
        (folder, store, wanted, paths)
    }

    #[test]
    fn a_package_is_decoded_while_others_are_still_on_their_way() {
        let (_folder, store, wanted, paths) = bench(&[("one", Some("1")), ("two", Some("2"))]);
        let lease = store.lease().unwrap();
        let payloads = Payloads::open(&lease).unwrap();
        let (sender, decoded) = mpsc::channel();
        let first = FirstFailure::<PayloadError>::default();
        let done = |n: usize, _: &Payload| {
            sender.send(n).unwrap();
            Ok(())
        };
        let (seen, found) = payloads.decode(&wanted, 1, &first, &done, |ready| {
            ready(1, &paths[1]);
            // The first one comes only when the second one is decoded.
            let seen = decoded.recv_timeout(Duration::from_secs(60));
            ready(0, &paths[0]);
            seen
        });
        first.into_result().unwrap();
        assert_eq!(seen, Ok(1));
        let names: Vec<&str> = found.iter().map(|payload| payload.control().name()).collect();
        assert_eq!(names, ["one", "two"]);
    }

    #[test]
    fn the_first_package_that_fails_is_told_in_whichever_order_they_come() {
        let packages = [("good", Some("1")), ("bad", None), ("fine", Some("1")), ("worse", None)];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 3, 0, 1]] {
            for jobs in [1, 2, 8] {
                let (_folder, store, wanted, paths) = bench(&packages);
                let lease = store.lease().unwrap();
                let payloads = Payloads::open(&lease).unwrap();
                let first = FirstFailure::<PayloadError>::default();
                payloads.decode(&wanted, jobs, &first, &|_, _| Ok(()), |ready| {
                    order.iter().for_each(|n| ready(*n, &paths[*n]));
                });
                let error = first.into_result().unwrap_err();
                assert!(matches!(&error, PayloadError::Package { name, .. } if name == "bad"), "{order:?}: {error}");
            }
        }
    }
}

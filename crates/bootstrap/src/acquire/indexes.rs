//! Indexes: fetched by their digest where the archive allows it, decompressed within bounds, verified, cached.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bedplate_archive::Decoder;
use bedplate_archive::codec::Expansion;
use bedplate_fetch::{Event as FetchEvent, Expected, FetchError, Url};
use bedplate_oci::Digest;
use bedplate_packages::deb::release::{Candidate, IndexFile, Release};
use bedplate_store::Lease;
use sha2::{Digest as _, Sha512};

use super::error::AcquireError;
use super::mirrors::{FailedMirrors, Reason, address, from_mirrors};
use super::observe::{Event, Stage};
use super::signed::write;
use super::{Context, Index};

/// The largest index as it comes, in bytes: that of Debian's unstable has 10 MiB.
pub(crate) const MAX_COMPRESSED: u64 = 128 << 20;

/// The largest index, in bytes: that of Debian's unstable has 60 MiB, and it is held in memory.
pub(crate) const MAX_INDEX: u64 = 512 << 20;

/// How far an index may expand: those of archives do so five times, and a bomb thousands of times.
const EXPANSION: Expansion = Expansion { output: MAX_INDEX, ratio: 200, floor: 16 << 20 };

/// An index that is wanted, with all that its Release file says of it.
#[derive(Debug)]
pub(crate) struct WantedIndex<'r> {
    /// `trixie/main amd64`.
    pub(crate) name: String,
    pub(crate) component: String,
    pub(crate) architecture: String,
    /// Forms of it, the best first.
    pub(crate) candidates: Vec<Candidate<'r>>,
    /// Its uncompressed form, where the Release file lists it.
    plain: Option<&'r IndexFile>,
    pub(crate) by_hash: bool,
}

impl<'r> WantedIndex<'r> {
    /// Finds an index in a Release file; an empty component means a flat repository.
    pub(crate) fn find(
        release: &'r Release,
        component: &str,
        architecture: &str,
        suite: &str,
    ) -> Result<Self, AcquireError> {
        let (name, all) = match component {
            "" => (suite.to_owned(), release.flat_candidates("Packages")),
            _ => {
                (format!("{suite}/{component} {architecture}"), release.candidates(component, architecture, "Packages"))
            }
        };
        let plain = all.iter().find(|candidate| candidate.compression == bedplate_archive::Compression::None);
        let plain = plain.map(|candidate| candidate.file);
        let weak = all.iter().find_map(|candidate| candidate.file.only_weak());
        let candidates: Vec<Candidate<'r>> =
            all.into_iter().filter(|candidate| candidate.file.strong().is_some()).collect();
        if candidates.is_empty() {
            return Err(match weak {
                Some(section) => AcquireError::WeakIndex { what: name, section },
                None => AcquireError::NoIndex { what: name },
            });
        }
        let plain = plain.filter(|file| file.strong().is_some());
        let found = Self {
            name,
            component: component.into(),
            architecture: architecture.into(),
            candidates,
            plain,
            by_hash: release.acquire_by_hash,
        };
        if let Some(size) = found.plain.map(|file| file.size)
            && size > MAX_INDEX
        {
            return Err(AcquireError::TooLarge { what: found.name, size, limit: MAX_INDEX });
        }
        Ok(found)
    }

    /// The file of the cache that holds it, decompressed, and its size where that is known.
    pub(crate) fn cached(&self, folder: &Path) -> Option<(PathBuf, Option<u64>)> {
        if let Some(plain) = self.plain
            && let Some((_, hex)) = plain.strong()
        {
            return Some((folder.join(format!("{hex}.packages")), Some(plain.size)));
        }
        let (_, hex) = self.candidates.first()?.file.strong()?;
        Some((folder.join(format!("{hex}.unpacked")), None))
    }

    /// Reads it from the cache; `None` where it is not there.
    pub(crate) fn recall(&self, folder: &Path) -> Result<Option<Index>, AcquireError> {
        let Some((path, size)) = self.cached(folder) else { return Ok(None) };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(AcquireError::Cache { path, source }),
        };
        if size.is_some_and(|size| size != bytes.len() as u64) {
            return Ok(None);
        }
        Ok(Some(self.index(bytes)))
    }

    /// Takes its uncompressed bytes from elsewhere; `unsigned` ones need not be listed.
    pub(crate) fn take(&self, bytes: Vec<u8>, unsigned: bool) -> Result<Index, AcquireError> {
        match self.plain {
            Some(plain) => self.verify(plain, &bytes)?,
            None if unsigned => {}
            None => return Err(AcquireError::NotListed { what: self.name.clone() }),
        }
        Ok(self.index(bytes))
    }

    fn index(&self, bytes: Vec<u8>) -> Index {
        let listed = self.plain.and_then(|plain| plain.sha256);
        Index {
            component: self.component.clone(),
            architecture: self.architecture.clone(),
            digest: listed.unwrap_or_else(|| Digest::of(&bytes)),
            bytes,
        }
    }

    /// Bytes that the best form has.
    pub(crate) fn size(&self) -> u64 {
        self.candidates.first().map_or(0, |candidate| candidate.file.size)
    }

    /// Fetches it: every mirror, every form, by digest before by name; verified before and after it is decompressed.
    pub(super) fn fetch(
        &self,
        mirrors: &[Url],
        base: &str,
        cache: &Path,
        lease: &Lease,
        failed: &FailedMirrors,
        context: &Context<'_>,
    ) -> Result<Index, AcquireError> {
        let what = || format!("index {}", self.name);
        let bytes = from_mirrors(mirrors, &what, failed, context, |mirror| self.fetch_from(mirror, base, context))?;
        if let Some((path, _)) = self.cached(cache) {
            write(&path, lease, &[&bytes])?;
        }
        context.observer.event(Event::Done { stage: Stage::Indexes, name: &self.name });
        Ok(self.index(bytes))
    }

    /// Asks one mirror for every form, unless it cannot be reached: that takes its time, and is the same for each form.
    fn fetch_from(&self, mirror: &Url, base: &str, context: &Context<'_>) -> Result<Vec<u8>, AcquireError> {
        let mut reason = Reason::default();
        for candidate in &self.candidates {
            let by_hash = candidate.by_hash().filter(|_| self.by_hash);
            for path in by_hash.iter().map(String::as_str).chain([candidate.path]) {
                let url = address(mirror, &format!("{base}{path}"))?;
                match self.fetch_form(&url, candidate, context) {
                    Err(AcquireError::Fetch { source, .. }) if !source.is_host_error() => {
                        reason.add(format!("index {}", self.name), source);
                    }
                    outcome => return outcome,
                }
            }
        }
        Err(reason.error().unwrap_or_else(|| AcquireError::NoMirror { what: self.name.clone() }))
    }

    fn fetch_form(&self, url: &Url, candidate: &Candidate<'_>, context: &Context<'_>) -> Result<Vec<u8>, AcquireError> {
        let size = candidate.file.size;
        if size > MAX_COMPRESSED {
            return Err(AcquireError::TooLarge { what: self.name.clone(), size, limit: MAX_COMPRESSED });
        }
        let expected = Expected { digest: candidate.file.sha256, size: Some(size), max_size: size };
        let mut packed = Packed { bytes: Vec::new(), context };
        let result = context.fetcher.get_observed(url, expected, &mut packed, &mut |event| {
            if let FetchEvent::Retrying { error, pause } = event {
                context.observer.event(Event::Retrying { stage: Stage::Indexes, error, pause });
            }
        });
        result.map_err(|source: FetchError| AcquireError::Fetch { what: format!("index {}", self.name), source })?;
        if candidate.file.sha256.is_none() {
            self.verify(candidate.file, &packed.bytes)?;
        }
        self.unpack(packed.bytes)
    }

    /// Decompresses what was verified, up to the size that the Release file promises, and verifies the result.
    fn unpack(&self, packed: Vec<u8>) -> Result<Vec<u8>, AcquireError> {
        let unpack = |source| AcquireError::Unpack { what: self.name.clone(), source };
        let limit = self.plain.map_or(MAX_INDEX, |plain| plain.size);
        let decoder = Decoder::new(packed.as_slice()).map_err(unpack)?.expansion(EXPANSION);
        let mut decoder = decoder.take(limit.saturating_add(1));
        // Room for an ordinary index, and then for all that may come, rather than for twice as much as came.
        const ROOM: u64 = 128 << 20;
        let room = |bytes: u64| usize::try_from(bytes.min(limit)).unwrap_or(0);
        let mut bytes = Vec::with_capacity(room(ROOM));
        decoder.by_ref().take(ROOM).read_to_end(&mut bytes).map_err(unpack)?;
        if bytes.len() as u64 == ROOM {
            bytes.reserve_exact(room(limit - ROOM.min(limit)));
            decoder.read_to_end(&mut bytes).map_err(unpack)?;
        }
        if bytes.len() as u64 > limit {
            return Err(AcquireError::Grows { what: self.name.clone(), limit });
        }
        if let Some(plain) = self.plain {
            self.verify(plain, &bytes)?;
        }
        Ok(bytes)
    }

    /// Compares bytes with the digest that the Release file has of them.
    fn verify(&self, file: &IndexFile, bytes: &[u8]) -> Result<(), AcquireError> {
        let other = |expected: String, found: String| AcquireError::Digest {
            what: format!("index {}", self.name),
            expected,
            found,
        };
        match (file.sha256, file.sha512) {
            (Some(expected), _) => match Digest::of(bytes) {
                found if found == expected => Ok(()),
                found => Err(other(expected.to_string(), found.to_string())),
            },
            (None, Some(expected)) => match Sha512::digest(bytes) {
                found if found[..] == expected => Ok(()),
                found => Err(other(sha512(&expected), sha512(&found))),
            },
            // None without a digest that proves something is a candidate.
            (None, None) => Ok(()),
        }
    }
}

fn sha512(digest: &[u8]) -> String {
    digest.iter().fold("sha512:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// A compressed index on its way into memory.
struct Packed<'a, 'c> {
    bytes: Vec<u8>,
    context: &'a Context<'c>,
}

impl io::Write for Packed<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        self.context.observer.event(Event::Received { stage: Stage::Indexes, bytes: bytes.len() as u64 });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! Packages, fetched at once from several hosts into the cache.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bedplate_fetch::{Event as FetchEvent, Expected, Url};
use bedplate_oci::Digest;
use bedplate_packages::deb::package::Package;
use bedplate_store::{CacheGuard, CacheKind, Lease};

use super::error::{AcquireError, Kind};
use super::first::FirstFailure;
use super::mirrors::{FailedMirrors, address, from_mirrors};
use super::observe::{Event, Observer, Stage};
use super::{Context, Source};

/// The largest package, in bytes: the largest of Debian have 2 GiB.
pub(crate) const MAX_PACKAGE: u64 = 16 << 30;

/// Bytes written to the disk at once.
pub(super) const BUFFER: usize = 256 * 1024;

/// A package to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What people call it: `curl 8.14.1-2 amd64`.
    pub name: String,
    /// Its path below a mirror: relative, without `..`.
    pub path: String,
    /// Roots of archives that have it, tried in this order.
    pub mirrors: Vec<Url>,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
}

impl Wanted {
    /// What to fetch for a package of an index.
    ///
    /// # Errors
    /// Where the index does not promise size and SHA-256, or its `Filename` leads out of the archive.
    pub fn of(package: &Package<'_>, source: &Source) -> Result<Self, AcquireError> {
        let name = format!("{} {} {}", package.name, package.version.as_str(), package.architecture);
        let lacks = |field: &'static str| AcquireError::PackageField { package: name.clone(), field };
        let digest = package.sha256().map_err(|source| AcquireError::Package { package: name.clone(), source })?;
        Ok(Self {
            path: below(package.filename.ok_or_else(|| lacks("Filename"))?).ok_or_else(|| {
                AcquireError::PackagePath {
                    package: name.clone(),
                    path: package.filename.unwrap_or_default().chars().take(200).collect(),
                }
            })?,
            mirrors: source.mirrors.clone(),
            size: match package.size.ok_or_else(|| lacks("Size"))? {
                size if size > MAX_PACKAGE => {
                    let what = format!("package {name}");
                    return Err(AcquireError::TooLarge { what, size, limit: MAX_PACKAGE });
                }
                size => size,
            },
            sha256: digest.ok_or_else(|| lacks("SHA256"))?,
            name,
        })
    }
}

/// A path that stays below a mirror's root, without `.` parts; `None` for any other.
pub(crate) fn below(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    if path.starts_with('/') {
        return None;
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            part if part.chars().any(char::is_control) || part.contains('\\') => return None,
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Packages in the cache; they stay there while this value lives.
#[derive(Debug)]
pub struct Fetched {
    /// Where each package lies, in the order in which they were wanted.
    pub paths: Vec<PathBuf>,
    _guard: CacheGuard,
}

/// Fetches packages into the cache. See [`fetch_each`].
///
/// # Errors
/// The first failure by position in `wanted`; otherwise as [`fetch_each`].
pub fn fetch(wanted: &[Wanted], downloads: usize, context: &Context<'_>) -> Result<Fetched, AcquireError> {
    let first = FirstFailure::default();
    let fetched = fetch_each(wanted, downloads, context, &first, &|_, _| {})?;
    first.into_result()?;
    Ok(fetched)
}

/// Fetches packages into the cache, `downloads` at once from each host, and tells `ready` of each that is there.
///
/// `ready` gets the position in `wanted` and the path of the whole, verified `.deb`; it runs on the thread that
/// fetched it, in any order. A package appears in the cache under its digest as a whole, or not at all.
///
/// Failures go to `first`, and nothing that it does not want any more is begun: all packages are there when it holds
/// no failure in the end.
///
/// # Errors
/// Where the cache cannot be used, or packages are missing and the network may not be used.
pub fn fetch_each<E: From<AcquireError> + Send>(
    wanted: &[Wanted],
    downloads: usize,
    context: &Context<'_>,
    first: &FirstFailure<E>,
    ready: &(dyn Fn(usize, &Path) + Sync),
) -> Result<Fetched, AcquireError> {
    let keep = |source| AcquireError::Store { what: "packages".into(), source };
    let guard = context.store.cache(CacheKind::Packages).map_err(keep)?;
    let paths: Vec<PathBuf> =
        wanted.iter().map(|wanted| guard.folder().join(format!("{}.deb", wanted.sha256.hex()))).collect();
    // The largest packages first: the last one to be fetched or decoded is then a small one.
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|n| std::cmp::Reverse(wanted.get(*n).map_or(0, |item| item.size)));
    let mut missing = Vec::new();
    let mut present = Vec::new();
    for n in order {
        let (Some(item), Some(path)) = (wanted.get(n), paths.get(n).map(PathBuf::as_path)) else { continue };
        match is_cached(path, item.size)? {
            true => present.push((n, path)),
            false => missing.push((n, item, path)),
        }
    }
    context.observer.event(Event::Planned {
        stage: Stage::Packages,
        items: missing.len(),
        bytes: missing.iter().map(|(_, item, _)| item.size).sum(),
        cached: present.len(),
    });
    if let Some((_, item, _)) = missing.iter().min_by_key(|(n, ..)| n)
        && context.offline
    {
        return Err(AcquireError::Offline { what: format!("package {}", item.name), others: missing.len() - 1 });
    }
    let lease = match missing.is_empty() {
        true => None,
        false => Some(context.store.lease().map_err(keep)?),
    };

    // One queue for each host.
    let mut queues: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for job in missing {
        let (_, item, _) = job;
        queues.entry(item.mirrors.first().map(Url::host).unwrap_or_default()).or_default().push(job);
    }
    let failed = FailedMirrors::default();
    thread::scope(|scope| {
        for queue in queues.values() {
            let next = Arc::new(AtomicUsize::new(0));
            for _ in 0..downloads.max(1).min(queue.len()) {
                let (next, lease, failed) = (Arc::clone(&next), lease.as_ref(), &failed);
                scope.spawn(move || {
                    while let (Some(&(n, item, path)), Some(lease)) =
                        (queue.get(next.fetch_add(1, Ordering::Relaxed)), lease)
                    {
                        if !first.wants(n) {
                            continue;
                        }
                        match fetch_one(item, path, lease, failed, context) {
                            Ok(()) => {
                                context.observer.event(Event::Done { stage: Stage::Packages, name: &item.name });
                                ready(n, path);
                            }
                            Err(error) => {
                                let hopeless = error.kind() == Kind::Environment;
                                first.record(n, error.into());
                                if hopeless {
                                    first.stop();
                                }
                            }
                        }
                    }
                });
            }
        }
        // What the cache has is handed out meanwhile, by this thread.
        for (n, path) in present {
            ready(n, path);
        }
    });
    Ok(Fetched { paths, _guard: guard })
}

/// Tells whether the cache has a file of this size: it was verified and synced before it got its name.
pub(crate) fn is_cached(path: &Path, size: u64) -> Result<bool, AcquireError> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(found.is_file() && found.len() == size),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(AcquireError::Cache { path: path.to_owned(), source }),
    }
}

fn fetch_one(
    wanted: &Wanted,
    path: &Path,
    lease: &Lease,
    failed: &FailedMirrors,
    context: &Context<'_>,
) -> Result<(), AcquireError> {
    if wanted.size > MAX_PACKAGE {
        return Err(AcquireError::TooLarge { what: wanted.name.clone(), size: wanted.size, limit: MAX_PACKAGE });
    }
    let expected = Expected { digest: Some(wanted.sha256), size: Some(wanted.size), max_size: wanted.size };
    let what = || format!("package {}", wanted.name);
    from_mirrors(&wanted.mirrors, &what, failed, context, |mirror| {
        let url = address(mirror, &wanted.path)?;
        let scratch = lease.scratch();
        let place = |source| AcquireError::Cache { path: scratch.clone(), source };
        let file = File::options().write(true).create_new(true).open(&scratch).map_err(place)?;
        let mut sink = BufWriter::with_capacity(BUFFER, Counted { inner: &file, observer: context.observer });
        let result = context.fetcher.get_observed(&url, expected, &mut sink, &mut |event| {
            if let FetchEvent::Retrying { error, pause } = event {
                context.observer.event(Event::Retrying { stage: Stage::Packages, error, pause });
            }
        });
        let result = result.map_err(|source| AcquireError::Fetch { what: what(), source });
        let result = result.and_then(|_| sink.flush().map_err(place));
        drop(sink);
        // A file of the right size under the name of its digest has to be whole, also after a power cut.
        let result = result.and_then(|()| file.sync_data().map_err(place));
        let result = result.and_then(|()| {
            fs::rename(&scratch, path).map_err(|source| AcquireError::Cache { path: path.to_owned(), source })
        });
        if result.is_err() {
            // What stays is removed with the lease.
            let _ = fs::remove_file(&scratch);
        }
        result
    })
}

/// A sink that tells how much went through it.
struct Counted<'a, W> {
    inner: W,
    observer: &'a dyn Observer,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.observer.event(Event::Received { stage: Stage::Packages, bytes: n as u64 });
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_mirror() {
        let cases = [
            ("pool/main/c/curl/curl_8_amd64.deb", Some("pool/main/c/curl/curl_8_amd64.deb")),
            ("./curl.deb", Some("curl.deb")),
            ("a//b", Some("a/b")),
            ("a/..b/c", Some("a/..b/c")),
            ("../../etc/passwd", None),
            ("pool/../../x", None),
            ("pool/..", None),
            ("/etc/passwd", None),
            ("", None),
            (".", None),
            ("a\nb", None),
            ("a\\..\\b", None),
        ];
        for (path, expected) in cases {
            assert_eq!(below(path).as_deref(), expected, "{path:?}");
        }
    }
}

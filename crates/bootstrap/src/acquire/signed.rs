//! Signed documents: Release files as they came, verified, and remembered.
//!
//! The last verified one of each suite stays in the cache: `--offline` begins with it, and an older one is refused.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bedplate_fetch::{Event as FetchEvent, Expected, FetchError, Url};
use bedplate_oci::{Digest, Hasher};
use bedplate_store::Lease;
use bedplate_trust::{Judgement, Keyring, MAX_DOCUMENT, MAX_SIGNATURE_BYTES, TrustError, UnixSeconds};

use super::Context;
use super::error::AcquireError;
use super::mirrors::address;
use super::observe::{Event, Notice, Stage};
use super::plan::{Plan, PlannedSource};
use crate::distribution::ArchiveState;

/// A Release file as it came, before anything of it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    /// `InRelease`, or `Release`.
    pub(crate) text: Vec<u8>,
    /// `Release.gpg`.
    pub(crate) signature: Option<Vec<u8>>,
}

/// The text of a Release file that may be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) text: Vec<u8>,
    /// The fingerprints of all who signed; none where no signature was asked for.
    pub(crate) signers: Vec<String>,
}

impl Verified {
    /// Whether one who signed this signed that, too: of several signatures a document may have lost all but one.
    pub(crate) fn has_signer_of(&self, other: &Self) -> bool {
        match self.signers.as_slice() {
            [] => other.signers.is_empty(),
            signers => signers.iter().any(|signer| other.signers.contains(signer)),
        }
    }
}

/// Fetches the Release file of a source and gives the mirror that served it; `None` where no mirror has one.
pub(crate) fn fetch(
    plan: &Plan,
    source: &PlannedSource,
    context: &Context<'_>,
) -> Result<Option<(Url, Document)>, AcquireError> {
    let folder = folder(source);
    let mut last = None;
    for (n, mirror) in source.mirrors.iter().enumerate() {
        match fetch_from(mirror, &folder, plan, source, context) {
            Ok(Some(document)) => return Ok(Some((mirror.clone(), document))),
            Ok(None) => {}
            Err(AcquireError::Fetch { what, source: error }) => {
                if n + 1 < source.mirrors.len() {
                    let notice = Notice::NextMirror { url: mirror.to_string(), reason: error.to_string() };
                    context.observer.event(Event::Notice(&notice));
                }
                last = Some(AcquireError::Fetch { what, source: error });
            }
            Err(other) => return Err(other),
        }
    }
    match last {
        Some(error) => Err(error),
        None => Ok(None),
    }
}

/// The folder of a source's Release file below a mirror, with a slash at its end unless it is the mirror itself.
pub(crate) fn folder(source: &PlannedSource) -> String {
    match (source.flat, source.suite.trim_matches('/')) {
        (true, "" | ".") => String::new(),
        (true, path) => format!("{}/", path.strip_prefix("./").unwrap_or(path)),
        (false, suite) => format!("dists/{suite}/"),
    }
}

fn fetch_from(
    mirror: &Url,
    folder: &str,
    plan: &Plan,
    source: &PlannedSource,
    context: &Context<'_>,
) -> Result<Option<Document>, AcquireError> {
    let get = |name: &str, limit: usize| small(mirror, &format!("{folder}{name}"), limit, &source.suite, context);
    if let Some(text) = get("InRelease", MAX_DOCUMENT)? {
        return Ok(Some(Document { text, signature: None }));
    }
    let Some(text) = get("Release", MAX_DOCUMENT)? else { return Ok(None) };
    let signature = get("Release.gpg", MAX_SIGNATURE_BYTES)?;
    if signature.is_none() && !source.unsigned {
        return Err(AcquireError::Signature {
            distribution: plan.distribution.name.clone(),
            suite: source.suite.clone(),
            url: mirror.to_string(),
            source: Box::new(TrustError::NotSigned),
        });
    }
    Ok(Some(Document { text, signature: Some(signature.unwrap_or_default()) }))
}

/// Fetches a small file whose digest nobody knows; `None` where the server has none.
fn small(
    mirror: &Url,
    path: &str,
    limit: usize,
    suite: &str,
    context: &Context<'_>,
) -> Result<Option<Vec<u8>>, AcquireError> {
    let url = address(mirror, path)?;
    let mut bytes = Vec::new();
    let expected = Expected { digest: None, size: None, max_size: limit as u64 };
    let result = context.fetcher.get_observed(&url, expected, &mut bytes, &mut |event| {
        if let FetchEvent::Retrying { error, pause } = event {
            context.observer.event(Event::Retrying { stage: Stage::Releases, error, pause });
        }
    });
    match result {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(source) => Err(AcquireError::Fetch { what: format!("the Release file of {suite}"), source }),
    }
}

/// Tells whether a server says that it has no such file, rather than that it cannot answer.
pub(crate) fn is_missing(error: &FetchError) -> bool {
    match error {
        FetchError::Status { status, .. } => matches!(status, 404 | 410),
        FetchError::File { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Verifies a Release file; one without a valid signature is taken only where the source may be unsigned.
pub(crate) fn verify(
    document: &Document,
    url: &Url,
    plan: &Plan,
    source: &PlannedSource,
    keyring: &Keyring,
    context: &Context<'_>,
) -> Result<Verified, AcquireError> {
    let now = UnixSeconds(u64::try_from(context.now).unwrap_or(0));
    let judge = |judgement: &Judgement| match &document.signature {
        None => bedplate_trust::verify_cleartext(&document.text, keyring, judgement),
        Some(signature) => bedplate_trust::verify_detached(&document.text, signature, keyring, judgement),
    };
    let failed = |error| AcquireError::Signature {
        distribution: plan.distribution.name.clone(),
        suite: source.suite.clone(),
        url: url.to_string(),
        source: Box::new(error),
    };
    let mut verdict = judge(&Judgement::Now(now));
    if verdict.is_err()
        && source.pocket.is_some()
        && plan.suite.state == ArchiveState::Ended
        && let Some(until) = plan.suite.until
    {
        // Keys of ended suites expire, and nobody signs those suites again.
        let seconds = |time: i64| UnixSeconds(u64::try_from(time).unwrap_or(0));
        verdict = judge(&Judgement::AtSignature { from: seconds(plan.suite.from), until: seconds(until) });
    }
    match verdict {
        Ok(signed) => {
            let signers = signed.signers.iter().map(|signer| signer.as_str().to_owned()).collect();
            Ok(Verified { text: signed.text, signers })
        }
        Err(_) if source.unsigned => {
            let text = match &document.signature {
                Some(_) => document.text.clone(),
                None => bedplate_trust::unverified_cleartext(&document.text).map_err(failed)?,
            };
            let what = format!("{} at {url}", source.suite);
            context.observer.event(Event::Notice(&Notice::Unsigned { what }));
            Ok(Verified { text, signers: Vec::new() })
        }
        Err(error) => Err(failed(error)),
    }
}

/// Where the last verified Release file of a source is remembered.
///
/// By distribution and suite: every mirror of a suite serves the same one. What the user added is known by its archive.
pub(crate) fn memory(folder: &Path, plan: &Plan, source: &PlannedSource) -> PathBuf {
    let mut hasher = Hasher::new();
    match source.pocket {
        Some(_) => hasher.update(plan.distribution.name.as_bytes()),
        None => hasher.update(source.mirrors.first().map(Url::revealed).unwrap_or_default().as_bytes()),
    }
    hasher.update(b"\0");
    hasher.update(source.suite.as_bytes());
    folder.join(format!("{}.release", hasher.digest().hex()))
}

/// What begins a remembered document; another version is not found.
const MAGIC: &str = "bedplate release 1";

/// Reads a remembered document; `None` where there is none, or it is damaged.
pub(crate) fn recall(path: &Path) -> Result<Option<Document>, AcquireError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(AcquireError::Cache { path: path.to_owned(), source }),
    };
    Ok(decode(&bytes))
}

pub(crate) fn decode(bytes: &[u8]) -> Option<Document> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (head, rest) = (bytes.get(..end)?, bytes.get(end + 1..)?);
    let mut words = std::str::from_utf8(head).ok()?.strip_prefix(MAGIC)?.split_ascii_whitespace();
    let length: usize = words.next()?.parse().ok()?;
    let text = rest.get(..length)?.to_vec();
    let rest = rest.get(length..)?;
    match words.next() {
        Some("detached") => Some(Document { text, signature: Some(rest.to_vec()) }),
        Some("inline") if rest.is_empty() => Some(Document { text, signature: None }),
        _ => None,
    }
}

/// Remembers a document, as a whole or not at all.
pub(crate) fn remember(path: &Path, document: &Document, lease: &Lease) -> Result<(), AcquireError> {
    let form = if document.signature.is_some() { "detached" } else { "inline" };
    let head = format!("{MAGIC} {} {form}\n", document.text.len());
    let signature = document.signature.as_deref().unwrap_or_default();
    write(path, lease, &[head.as_bytes(), &document.text, signature])
}

/// Writes a file of the cache, synced before it gets its name.
pub(crate) fn write(path: &Path, lease: &Lease, parts: &[&[u8]]) -> Result<(), AcquireError> {
    let scratch = lease.scratch();
    let save = || -> io::Result<()> {
        let mut file = fs::File::options().write(true).create_new(true).open(&scratch)?;
        for part in parts {
            file.write_all(part)?;
        }
        file.sync_data()?;
        fs::rename(&scratch, path)
    };
    save().map_err(|source| AcquireError::Cache { path: path.to_owned(), source })
}

/// The digest of a verified text, for locks.
pub(crate) fn digest(verified: &Verified) -> Digest {
    Digest::of(&verified.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_remembered_as_they_came() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            bedplate_store::Store::open(&bedplate_store::OpenOptions::new(folder.path().join("store"))).unwrap();
        let lease = store.lease().unwrap();
        let path = folder.path().join("x.release");
        assert_eq!(recall(&path).unwrap(), None);
        for signature in [None, Some(b"sig\n".to_vec()), Some(Vec::new())] {
            let document = Document { text: b"a\nb\n".to_vec(), signature };
            remember(&path, &document, &lease).unwrap();
            assert_eq!(recall(&path).unwrap(), Some(document));
        }
    }

    #[test]
    fn damaged_memory_is_none() {
        for bytes in [
            &b""[..],
            b"bedplate release 1 5 inline\nabc",
            b"bedplate release 1 3 inline\nabcd",
            b"bedplate release 2 3 inline\nabc",
            b"bedplate release 1 99999999999999999999 inline\n",
            b"bedplate release 1 3 other\nabc",
            b"\xff\n",
        ] {
            assert_eq!(decode(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
    }
}

//! What ADD can do and COPY cannot: archives unpacked, URLs fetched.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};

use bedplate_archive::{Decoder, Index, Reader};
use bedplate_dockerfile::expand::ExpandError;
use bedplate_fetch::{Expected, Fetcher, Url};
use bedplate_image::{ContentSources, Contents as _};
use bedplate_oci::Digest;
use bedplate_store::Lease;
use bedplate_tree::{Action, Content, Delta, Source, Timestamp, Tree, TreePath, whiteout};

use crate::context::{Streams, delta_of};
use crate::error::StepError;
use crate::git::GitSource;

/// The largest download of ADD, in bytes: more than any root filesystem, less than a disk.
const MAX_DOWNLOAD: u64 = 64 << 30;

/// What a source of ADD is, by its text alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A path in the context.
    Path,
    /// A file behind HTTP.
    Url,
    /// A git repository.
    Git(GitSource),
}

/// Tells URLs from paths. Spec: Dockerfile reference, "ADD": http, https, git and ssh.
pub(crate) fn kind_of(text: &str) -> Kind {
    if let Some(source) = GitSource::parse(text) {
        return Kind::Git(source);
    }
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("http://") || lower.starts_with("https://") { Kind::Url } else { Kind::Path }
}

/// Parses `--checksum`.
pub(crate) fn checksum(text: &str) -> Result<Digest, StepError> {
    text.parse().map_err(|_| StepError::Checksum { text: text.to_owned() })
}

/// A download that lies in a temporary file.
#[derive(Debug)]
pub(crate) struct Download {
    pub(crate) digest: Digest,
    pub(crate) content: Content,
}

/// Fetches a URL into a temporary file; verified where a digest is given.
pub(crate) fn fetch(
    url: &str,
    expected: Option<Digest>,
    fetcher: Option<&Fetcher>,
    lease: &Lease,
    streams: &Streams,
) -> Result<Download, StepError> {
    let parsed = parse_url(url)?;
    let fetcher = fetcher.ok_or_else(|| StepError::NoNetwork { url: parsed.to_string() })?;
    let mut file = scratch(lease, url)?;
    let expected = Expected { digest: expected, size: None, max_size: MAX_DOWNLOAD };
    let response = fetcher
        .get(&parsed, expected, &mut file)
        .map_err(|source| StepError::Fetch { url: parsed.to_string(), source })?;
    let source = Source::Stream(*response.digest.as_bytes());
    let content = Content::dense(source, 0, response.size);
    streams.insert(response.digest, file);
    Ok(Download { digest: response.digest, content })
}

/// The name that a URL's file has in a directory.
pub(crate) fn url_name(url: &str) -> Result<Vec<u8>, StepError> {
    let name = parse_url(url)?.file_name();
    name.map(String::into_bytes).ok_or_else(|| StepError::UrlWithoutName { url: url.to_owned() })
}

fn parse_url(url: &str) -> Result<Url, StepError> {
    Url::parse(url).map_err(|source| StepError::Url { url: url.to_owned(), source: Box::new(source) })
}

fn scratch(lease: &Lease, what: &str) -> Result<File, StepError> {
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(lease.scratch())
        .map_err(|source| StepError::Scratch { what: what.to_owned(), source })
}

/// Tells by its content whether a file is an archive to be unpacked: it can be decompressed, and one header of a tar
/// can be read. What cannot be read at all is said to be none; who reads it next says why.
///
/// Spec: Dockerfile reference, "ADD": recognised "solely based on the contents of the file".
pub(crate) fn is_archive(content: &Content, contents: &ContentSources<'_>) -> bool {
    let first = || -> Option<bool> {
        let decoder = Decoder::new(contents.open(content).ok()?).ok()?;
        Some(Reader::new(decoder).next_entry().ok()?.is_some())
    };
    first().unwrap_or(false)
}

/// Decompresses an archive into a temporary file and gives its index.
pub(crate) fn index_of(
    content: &Content,
    what: &str,
    contents: &ContentSources<'_>,
    lease: &Lease,
    streams: &Streams,
) -> Result<Index, StepError> {
    let damaged = |source| StepError::Archive { path: what.to_owned(), source };
    let reader = contents.open(content).map_err(|source| StepError::Content { path: what.to_owned(), source })?;
    let mut file = scratch(lease, what)?;
    let decoder = Decoder::new(reader).map_err(|error| damaged(Box::new(error)))?;
    let scanned = Index::copy_tar(decoder, &file, false).map_err(|error| damaged(Box::new(error)))?;
    file.seek(SeekFrom::Start(0)).map_err(|source| StepError::Scratch { what: what.to_owned(), source })?;
    streams.insert(Digest::from_bytes(scanned.index.diff_id()), file);
    Ok(scanned.index)
}

/// Unpacks an archive at a path of a tree, as tar would with that root: symbolic links on the way are followed inside
/// the tree, times are clamped. Returns the names that a layer cannot hold, and that are left out.
pub(crate) fn unpack(
    tree: &mut Tree,
    at: &TreePath,
    index: &Index,
    what: &str,
    owner: Option<(u32, u32)>,
    mode: Option<&crate::mode::ModeChange>,
    epoch: Timestamp,
) -> Result<Vec<TreePath>, StepError> {
    let mut delta: Delta = delta_of(index, at)?;
    let mut left_out = Vec::new();
    delta.changes.retain(|change| {
        let fits = whiteout::meaning(&change.path) == whiteout::Meaning::Entry;
        if !fits {
            left_out.push(change.path.clone());
        }
        fits
    });
    for change in &mut delta.changes {
        let Action::Put(entry) = &mut change.action else { continue };
        if let Some((uid, gid)) = owner {
            (entry.metadata.uid, entry.metadata.gid) = (uid, gid);
        }
        if let Some(mode) = mode
            && !matches!(entry.kind, bedplate_tree::EntryKind::Symlink(_))
        {
            entry.metadata.mode = mode.apply(entry.metadata.mode, entry.is_directory());
        }
    }
    delta.clamp(epoch);
    tree.apply(&delta).map_err(|source| StepError::Archive { path: what.to_owned(), source: Box::new(source) })?;
    Ok(left_out)
}

/// An expansion of a word that stands at a place.
pub(crate) fn expand_fault(word: &bedplate_dockerfile::Word, source: ExpandError) -> StepError {
    StepError::Expand { position: word.position(), word: word.as_str().to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(text: &str) -> Kind {
        Kind::Git(GitSource::parse(text).unwrap())
    }

    #[test]
    fn sources_are_told_apart_by_their_text() {
        let table = [
            ("hello", Kind::Path),
            ("./http://x", Kind::Path),
            ("http", Kind::Path),
            ("https://example.org/a.tar", Kind::Url),
            ("HTTP://example.org/", Kind::Url),
            ("https://example.org/x.git", git("https://example.org/x.git")),
            ("https://example.org/x.git#main:dir", git("https://example.org/x.git#main:dir")),
            ("https://example.org/x.git?ref=a", git("https://example.org/x.git?ref=a")),
            ("https://example.org/x.github", Kind::Url),
            ("git@example.org:a/b", git("git@example.org:a/b")),
            ("git://example.org/a", git("git://example.org/a")),
            ("ssh://git@example.org/a", git("ssh://git@example.org/a")),
        ];
        for (text, expected) in table {
            assert_eq!(kind_of(text), expected, "{text}");
        }
    }

    #[test]
    fn checksums_are_sha256() {
        let hex = "0".repeat(64);
        assert!(checksum(&format!("sha256:{hex}")).is_ok());
        for text in ["", "sha256:", "sha512:00", &hex, "sha256:zz"] {
            assert!(checksum(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_tars_are_archives() {
        let contents = ContentSources::new();
        let archive = |bytes: &[u8]| is_archive(&Content::from_bytes(bytes.to_vec()), &contents);
        let mut tar = Vec::new();
        let mut writer = bedplate_archive::Writer::new(&mut tar);
        let entry = bedplate_tree::Entry::directory(bedplate_tree::Metadata::default());
        writer.append(&TreePath::parse(b"d").unwrap(), &entry, std::io::empty()).unwrap();
        writer.finish().unwrap();
        assert!(archive(&tar));
        assert!(!archive(b""));
        assert!(!archive(b"#!/bin/sh\n"));
        assert!(!archive(&[0; 10240]), "an empty archive is a plain file");
        assert!(!archive(&[0x1f, 0x8b, 8, 0, 0]), "a cut gzip file is a plain file");
    }
}

//! The files of a saved image: of an archive as it streams by, or of a directory.
//!
//! Every file of an archive becomes a file of the lease, hashed while it is written, since the documents that say what
//! it is may come last. Nothing of it is among the store's blobs before its digest was compared.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bedplate_archive::{Decoder, MemberKind, Reader};
use bedplate_oci::{Digest, JsonError, MAX_JSON, from_json};
use bedplate_tree::TreePath;
use serde::de::DeserializeOwned;

use super::error::TransferError;
use crate::blobs::{Blob, Lease};
use crate::disk;
use crate::error::StoreError;

/// The most files in an archive: a thousand images of a hundred layers, each with a few documents.
pub(super) const MAX_FILES: usize = 300_000;

/// The most links that are followed from one name to a file.
const MAX_HOPS: usize = 8;

/// A file taken in: its digest, its size, and where it lies.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) path: PathBuf,
    pub(super) blob: Blob,
}

impl Piece {
    /// Opens it where it was taken in, or, once it was published, where that is.
    pub(super) fn open(&self, lease: &Lease) -> Result<File, TransferError> {
        match disk::open(&self.path).map_err(StoreError::from)? {
            Some(file) => Ok(file),
            None => Ok(lease.store().open_blob(&self.blob.digest)?),
        }
    }

    /// Makes it a blob of the store.
    pub(super) fn publish(&self, lease: &Lease) -> Result<Blob, TransferError> {
        lease.publish_file(&self.path, &self.blob)?;
        Ok(self.blob)
    }
}

enum Form {
    Archive { files: HashMap<TreePath, Piece>, links: HashMap<TreePath, TreePath> },
    Directory { root: PathBuf, taken: std::cell::RefCell<HashMap<TreePath, Piece>> },
}

/// The files of one input.
pub(super) struct Pieces<'a> {
    pub(super) what: &'a str,
    lease: &'a Lease,
    form: Form,
}

impl<'a> Pieces<'a> {
    /// Reads an archive, compressed or not, to its end.
    pub(super) fn of_archive(lease: &'a Lease, source: impl Read, what: &'a str) -> Result<Self, TransferError> {
        let archive = |source| TransferError::Archive { what: what.to_owned(), source };
        let decoder = Decoder::new(source).map_err(|source| TransferError::Read { what: what.to_owned(), source })?;
        let mut reader = Reader::new(decoder);
        let (mut files, mut links) = (HashMap::new(), HashMap::new());
        while let Some(member) = reader.next_entry().map_err(archive)? {
            if files.len() + links.len() > MAX_FILES {
                return Err(TransferError::TooManyFiles { what: what.to_owned(), limit: MAX_FILES });
            }
            // Of a name that comes twice the last one counts, as for everybody who unpacks.
            files.remove(&member.path);
            links.remove(&member.path);
            match &member.kind {
                MemberKind::File { .. } => {
                    let mut writer = lease.blob_writer()?;
                    let body = reader.file(&member);
                    writer
                        .copy_from(body, &format!("{what}: {}", bedplate_sys::error::quoted(member.path.as_bytes())))?;
                    let (path, blob) = writer.seal()?.into_parts();
                    files.insert(member.path, Piece { path, blob });
                }
                MemberKind::HardLink(target) => {
                    links.insert(member.path.clone(), target.clone());
                }
                MemberKind::Symlink(target) => {
                    // Docker links layers that several images share: "../<id>/layer.tar".
                    if let Some(target) = relative(&member.path, target) {
                        links.insert(member.path.clone(), target);
                    }
                }
                _ => {}
            }
        }
        reader.finish().map_err(archive)?;
        Ok(Self { what, lease, form: Form::Archive { files, links } })
    }

    /// Looks at a directory; files are taken in when they are asked for.
    pub(super) fn of_directory(lease: &'a Lease, root: &Path, what: &'a str) -> Self {
        let form = Form::Directory { root: root.to_owned(), taken: std::cell::RefCell::default() };
        Self { what, lease, form }
    }

    /// Finds a file by its name in the input; links are followed, never out of it.
    pub(super) fn find(&self, name: &str) -> Result<Option<Piece>, TransferError> {
        let bad = || TransferError::BadPath { what: self.what.to_owned(), path: name.chars().take(300).collect() };
        let mut at = TreePath::parse(name.as_bytes()).map_err(|_| bad())?;
        match &self.form {
            Form::Archive { files, links } => {
                for _ in 0..MAX_HOPS {
                    if let Some(piece) = files.get(&at) {
                        return Ok(Some(piece.clone()));
                    }
                    match links.get(&at) {
                        Some(target) => at = target.clone(),
                        None => return Ok(None),
                    }
                }
                Err(bad())
            }
            Form::Directory { root, taken } => {
                if let Some(piece) = taken.borrow().get(&at) {
                    return Ok(Some(piece.clone()));
                }
                use std::os::unix::ffi::OsStrExt;
                let path = root.join(std::ffi::OsStr::from_bytes(at.as_bytes()));
                let read = |source| TransferError::Read { what: disk::show(&path), source };
                match std::fs::metadata(&path) {
                    Ok(found) if found.is_file() => {}
                    Ok(_) => return Err(bad()),
                    Err(e) if disk::missing(&e) => return Ok(None),
                    Err(e) => return Err(read(e)),
                }
                let mut writer = self.lease.blob_writer()?;
                writer.copy_from(File::open(&path).map_err(read)?, &disk::show(&path))?;
                let (path, blob) = writer.seal()?.into_parts();
                let piece = Piece { path, blob };
                taken.borrow_mut().insert(at, piece.clone());
                Ok(Some(piece))
            }
        }
    }

    /// Finds a file that a document names.
    pub(super) fn need(&self, name: &str, needed_by: &str) -> Result<Piece, TransferError> {
        self.find(name)?.ok_or_else(|| TransferError::Missing {
            what: self.what.to_owned(),
            path: name.chars().take(300).collect(),
            needed_by: needed_by.to_owned(),
        })
    }

    /// Reads a small file.
    pub(super) fn read(&self, piece: &Piece, name: &str, what: &'static str) -> Result<Vec<u8>, TransferError> {
        if piece.blob.size > MAX_JSON as u64 {
            let size = usize::try_from(piece.blob.size).unwrap_or(usize::MAX);
            return Err(self.json_error(name, JsonError::TooLarge { what, size }));
        }
        let mut bytes = Vec::new();
        piece
            .open(self.lease)?
            .read_to_end(&mut bytes)
            .map_err(|source| TransferError::Read { what: disk::show(&piece.path), source })?;
        Ok(bytes)
    }

    /// Reads a small file as JSON.
    pub(super) fn parse<T: DeserializeOwned>(
        &self,
        piece: &Piece,
        name: &str,
        what: &'static str,
    ) -> Result<(T, Vec<u8>), TransferError> {
        let bytes = self.read(piece, name, what)?;
        match from_json(what, &bytes) {
            Ok(value) => Ok((value, bytes)),
            Err(source) => Err(self.json_error(name, source)),
        }
    }

    fn json_error(&self, name: &str, source: JsonError) -> TransferError {
        TransferError::Json { what: self.what.to_owned(), path: name.chars().take(300).collect(), source }
    }

    /// The name of a blob in an OCI layout, and the blob if it is there; its digest and size are compared.
    pub(super) fn blob(&self, digest: &Digest, size: u64) -> Result<Option<Piece>, TransferError> {
        let name = blob_name(digest);
        let Some(piece) = self.find(&name)? else { return Ok(None) };
        if (piece.blob.digest, piece.blob.size) != (*digest, size) {
            return Err(TransferError::WrongDigest {
                what: self.what.to_owned(),
                path: name,
                expected: *digest,
                expected_size: size,
                found: piece.blob.digest,
                found_size: piece.blob.size,
            });
        }
        Ok(Some(piece))
    }
}

pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The place in the archive that a symbolic link leads to; `None` where it leads out.
pub(crate) fn relative(link: &TreePath, target: &[u8]) -> Option<TreePath> {
    let mut parts: Vec<&[u8]> = link.as_bytes().split(|b| *b == b'/').collect();
    parts.pop();
    if target.starts_with(b"/") {
        return None;
    }
    for part in target.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    TreePath::parse(&parts.join(&b'/')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_the_archive() {
        for (link, target, expected) in [
            ("abc/layer.tar", "../def/layer.tar", Some("def/layer.tar")),
            ("abc/layer.tar", "other.tar", Some("abc/other.tar")),
            ("layer.tar", "./a//b", Some("a/b")),
            ("abc/layer.tar", "../../etc/passwd", None),
            ("layer.tar", "../x", None),
            ("abc/layer.tar", "/etc/passwd", None),
        ] {
            let link = TreePath::parse(link.as_bytes()).unwrap();
            let found = relative(&link, target.as_bytes());
            assert_eq!(found.as_ref().map(TreePath::as_bytes), expected.map(str::as_bytes), "{link} -> {target}");
        }
    }
}

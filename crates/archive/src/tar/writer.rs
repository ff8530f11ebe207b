//! Writes an archive: one dialect, the same bytes for the same entries.
//!
//! ustar where its fields suffice; otherwise a PAX extended header with exactly the records that are needed, sorted
//! by key. No access or change times, no names of owners, no padding to a tape's block. Two zero blocks end it.

use std::io::{self, Read, Write};

use bedplate_tree::{Content, Entry, EntryKind, Extent, Metadata, TreePath};
use thiserror::Error;

use super::header::{MAX_OCTAL_8, MAX_OCTAL_12, NAME_FIELD, PREFIX_FIELD, put_checksum, put_octal};
use super::limits::{
    MAX_LINK_TARGET, MAX_MAJOR, MAX_MINOR, MAX_OWNER, MAX_PAX_HEADER, MAX_SPARSE_EXTENTS, MAX_XATTR_NAME,
    MAX_XATTR_VALUE,
};
use super::pax::{put_record, time_text, xattr_key};
use super::sparse::map_text;
use super::{BLOCK, Member, MemberKind, padding};

/// The bytes that one write hands over.
const BUFFER: usize = 256 << 10;

/// The name in the header of an extended header, for readers that know no PAX and unpack it as a file.
const PAX_NAME: &[u8] = b"PaxHeaders/0";

/// How files with holes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sparseness {
    /// With their zeros. Spec: OCI image-spec v1.1, layer.md "Sparse files": a layer should not have them.
    #[default]
    Dense,
    /// In GNU's format 1.0, which GNU tar, bsdtar and Go read.
    Gnu,
}

/// Where an entry was put: its first header block, and its stored bytes.
#[derive(Clone, Copy)]
struct Placed {
    header_offset: u64,
    data_offset: u64,
}

/// Why an entry could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// What takes the archive failed.
    #[error("cannot write the archive at byte {offset}")]
    Sink {
        /// How many bytes were handed over before.
        offset: u64,
        /// Its error.
        #[source]
        source: io::Error,
    },
    /// The content of a file could not be read.
    #[error("cannot read the content of \"{path}\"")]
    Content {
        /// The file.
        path: TreePath,
        /// The reader's error.
        #[source]
        source: io::Error,
    },
    /// A file that became shorter or longer than it was said to be.
    #[error("content of \"{path}\" is {found} than its {expected} bytes: was it changed meanwhile?")]
    Size {
        /// The file.
        path: TreePath,
        /// Its size in the entry.
        expected: u64,
        /// `longer`, or `shorter`.
        found: &'static str,
    },
    /// Something that tar has no place for.
    #[error("\"{path}\" cannot be in an archive: {reason}")]
    Entry {
        /// The entry.
        path: TreePath,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Writes entries one after the other and hands the bytes over in large pieces.
///
/// The order of entries is the caller's. After an error the writer is of no more use, since an entry may be half
/// written.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    buffer: Box<[u8]>,
    filled: usize,
    /// Bytes handed over.
    flushed: u64,
    sparseness: Sparseness,
}

/// What a header says beyond the attributes.
struct Head<'a> {
    flag: u8,
    name: &'a [u8],
    link: &'a [u8],
    size: u64,
    device: (u32, u32),
}

impl<W: Write> Writer<W> {
    /// Writes to `sink`, which needs no buffer.
    pub fn new(sink: W) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { sink, buffer, filled: 0, flushed: 0, sparseness: Sparseness::Dense }
    }

    /// Chooses how files with holes are written.
    #[must_use]
    pub fn sparseness(mut self, sparseness: Sparseness) -> Self {
        self.sparseness = sparseness;
        self
    }

    /// The length of the archive so far, in bytes.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.flushed + self.filled as u64
    }

    /// Writes an entry. `body` gives the content of a file, holes as zeros, and is not read for anything else.
    ///
    /// Returns what a [`super::Reader`] of this archive will return, so that an index is made while writing.
    ///
    /// # Errors
    /// [`WriteError`]: among them a body that is not exactly as long as the entry says, and sockets.
    pub fn append(&mut self, path: &TreePath, entry: &Entry, body: impl Read) -> Result<Member, WriteError> {
        let metadata = &entry.metadata;
        let name = archived_name(path, entry.is_directory());
        if path.is_root() && !entry.is_directory() {
            return Err(refused(path, "the root can only be a directory"));
        }
        let head = |flag| Head { flag, name: &name, link: b"", size: 0, device: (0, 0) };
        let (kind, placed) = match &entry.kind {
            EntryKind::File(content) if self.sparseness == Sparseness::Gnu && content.is_sparse() => {
                self.append_sparse(path, metadata, content, body)?
            }
            EntryKind::File(content) => {
                let size = content.size();
                let placed = self.header(path, metadata, &Head { size, ..head(b'0') }, Vec::new())?;
                self.body(path, size, body)?;
                let whole = Extent { logical: 0, physical: placed.data_offset, length: size };
                let extents = if size == 0 { Vec::new() } else { vec![whole] };
                (MemberKind::File { size, extents }, placed)
            }
            EntryKind::Directory => (MemberKind::Directory, self.header(path, metadata, &head(b'5'), Vec::new())?),
            EntryKind::Symlink(target) => {
                let reason = match &**target {
                    b"" => Some("its target is empty"),
                    target if target.contains(&0) => Some("its target has a NUL byte"),
                    target if target.len() > MAX_LINK_TARGET => Some("its target is longer than 4095 bytes"),
                    _ => None,
                };
                if let Some(reason) = reason {
                    return Err(refused(path, reason));
                }
                let placed = self.header(path, metadata, &Head { link: target, ..head(b'2') }, Vec::new())?;
                (MemberKind::Symlink(target.clone()), placed)
            }
            &EntryKind::CharDevice { major, minor } => {
                let head = Head { device: (major, minor), ..head(b'3') };
                (MemberKind::CharDevice { major, minor }, self.header(path, metadata, &head, Vec::new())?)
            }
            &EntryKind::BlockDevice { major, minor } => {
                let head = Head { device: (major, minor), ..head(b'4') };
                (MemberKind::BlockDevice { major, minor }, self.header(path, metadata, &head, Vec::new())?)
            }
            EntryKind::Fifo => (MemberKind::Fifo, self.header(path, metadata, &head(b'6'), Vec::new())?),
            EntryKind::Socket => return Err(refused(path, "tar has no sockets")),
        };
        Ok(member(path, name, kind, metadata, placed))
    }

    /// Writes another name of the file at `target`; `metadata` is what that file has.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn append_link(
        &mut self,
        path: &TreePath,
        target: &TreePath,
        metadata: &Metadata,
    ) -> Result<Member, WriteError> {
        if target.is_root() || path.is_root() || target == path {
            return Err(refused(path, "it is a hard link of the root directory or to itself"));
        }
        let name = archived_name(path, false);
        let head = Head { flag: b'1', name: &name, link: target.as_bytes(), size: 0, device: (0, 0) };
        let placed = self.header(path, metadata, &head, Vec::new())?;
        Ok(member(path, name, MemberKind::HardLink(target.clone()), metadata, placed))
    }

    /// Writes an entry that a [`super::Reader`] gave, its attributes unchanged. `body` gives the content of a file.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn append_member(&mut self, member: Member, body: impl Read) -> Result<Member, WriteError> {
        let path = member.path.clone();
        if let MemberKind::HardLink(target) = &member.kind {
            return self.append_link(&path, target, &member.metadata);
        }
        match member.into_entry(&bedplate_tree::Source::Stream([0; 32])) {
            Ok(entry) => self.append(&path, &entry, body),
            Err(_) => Err(refused(&path, "it is a hard link")),
        }
    }

    fn append_sparse(
        &mut self,
        path: &TreePath,
        metadata: &Metadata,
        content: &Content,
        mut body: impl Read,
    ) -> Result<(MemberKind, Placed), WriteError> {
        if content.extents().len() >= MAX_SPARSE_EXTENTS {
            return Err(refused(path, "it has too many holes for a sparse entry"));
        }
        let map = map_text(content.extents(), content.size());
        let parent = path.parent().unwrap_or_default();
        let file_name = path.file_name().unwrap_or_default();
        let mut name = parent.as_bytes().to_vec();
        if !name.is_empty() {
            name.push(b'/');
        }
        // What an archiver that knows nothing of sparse files makes of it: GNU tar's own naming, without a process number.
        name.extend_from_slice(b"GNUSparseFile.0/");
        name.extend_from_slice(file_name);
        let records = vec![
            (b"GNU.sparse.major".to_vec(), b"1".to_vec()),
            (b"GNU.sparse.minor".to_vec(), b"0".to_vec()),
            (b"GNU.sparse.name".to_vec(), path.as_bytes().to_vec()),
            (b"GNU.sparse.realsize".to_vec(), content.size().to_string().into_bytes()),
        ];
        let size = map.len() as u64 + content.stored_size();
        let head = Head { flag: b'0', name: &name, link: b"", size, device: (0, 0) };
        let mut placed = self.header(path, metadata, &head, records)?;
        self.put(&map)?;
        placed.data_offset = self.position();
        let mut position = 0;
        let mut extents = Vec::with_capacity(content.extents().len());
        for &Extent { logical, length, .. } in content.extents() {
            let hole = logical - position;
            let skipped = io::copy(&mut (&mut body).take(hole), &mut io::sink());
            if skipped.map_err(|source| WriteError::Content { path: path.clone(), source })? < hole {
                return Err(WriteError::Size { path: path.clone(), expected: content.size(), found: "shorter" });
            }
            extents.push(Extent { logical, physical: self.position(), length });
            self.copy(path, length, content.size(), &mut body)?;
            position = logical + length;
        }
        self.zeros(padding(content.stored_size()))?;
        Ok((MemberKind::File { size: content.size(), extents }, placed))
    }

    /// Writes the header block of an entry, before it the extended header where one is needed.
    fn header(
        &mut self,
        path: &TreePath,
        metadata: &Metadata,
        head: &Head<'_>,
        mut records: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Placed, WriteError> {
        let header_offset = self.position();
        let mut block = [0; BLOCK];
        let mut record = |key: &[u8], value: Vec<u8>| records.push((key.to_vec(), value));

        match ustar_name(head.name) {
            Some((prefix, name)) => {
                block[..name.len()].copy_from_slice(name);
                block[345..345 + prefix.len()].copy_from_slice(prefix);
            }
            None => {
                let cut = &head.name[..NAME_FIELD];
                block[..NAME_FIELD].copy_from_slice(cut);
                record(b"path", head.name.to_vec());
            }
        }
        let link = &head.link[..head.link.len().min(NAME_FIELD)];
        block[157..157 + link.len()].copy_from_slice(link);
        if link.len() < head.link.len() {
            record(b"linkpath", head.link.to_vec());
        }
        if metadata.uid > MAX_OWNER || metadata.gid > MAX_OWNER {
            return Err(refused(path, "its owner 4294967295 is none: chown would leave it as it is"));
        }
        put_octal(&mut block[100..108], u64::from(metadata.mode & 0o7777));
        for (key, at, value, limit) in [
            (&b"uid"[..], 108..116, u64::from(metadata.uid), MAX_OCTAL_8),
            (b"gid", 116..124, u64::from(metadata.gid), MAX_OCTAL_8),
            (b"size", 124..136, head.size, MAX_OCTAL_12),
        ] {
            let fits = value <= limit;
            put_octal(&mut block[at], if fits { value } else { 0 });
            if !fits {
                record(key, value.to_string().into_bytes());
            }
        }
        let seconds = u64::try_from(metadata.mtime.seconds).ok().filter(|&seconds| seconds <= MAX_OCTAL_12);
        put_octal(&mut block[136..148], seconds.unwrap_or(0));
        if seconds.is_none() || metadata.mtime.nanoseconds != 0 {
            record(b"mtime", time_text(metadata.mtime));
        }
        for (name, value) in &metadata.xattrs {
            if name.is_empty() || name.contains(&0) || name.len() > MAX_XATTR_NAME || value.len() > MAX_XATTR_VALUE {
                return Err(refused(path, "an extended attribute has an impossible name or more than 64 KiB"));
            }
            record(&xattr_key(name), value.to_vec());
        }
        if head.device.0 > MAX_MAJOR || head.device.1 > MAX_MINOR {
            return Err(refused(path, "its device number is none of Linux"));
        }
        block[156] = head.flag;
        block[257..265].copy_from_slice(b"ustar\x0000");
        put_octal(&mut block[329..337], u64::from(head.device.0));
        put_octal(&mut block[337..345], u64::from(head.device.1));
        put_checksum(&mut block);

        if !records.is_empty() {
            // Without this record names are UTF-8, and bsdtar refuses others. Spec: POSIX pax, "hdrcharset".
            let names = [&b"path"[..], b"linkpath", b"GNU.sparse.name"];
            if records.iter().any(|(key, value)| names.contains(&&key[..]) && std::str::from_utf8(value).is_err()) {
                records.push((b"hdrcharset".to_vec(), b"BINARY".to_vec()));
            }
            records.sort();
            let mut text = Vec::new();
            records.iter().for_each(|(key, value)| put_record(&mut text, key, value));
            if text.len() as u64 > MAX_PAX_HEADER {
                return Err(refused(path, "its extended attributes have more than 1 MiB together"));
            }
            self.extended_header(&text)?;
        }
        self.put(&block)?;
        Ok(Placed { header_offset, data_offset: self.position() })
    }

    fn extended_header(&mut self, text: &[u8]) -> Result<(), WriteError> {
        let mut block = [0; BLOCK];
        block[..PAX_NAME.len()].copy_from_slice(PAX_NAME);
        for (at, value) in [(100..108, 0o644), (108..116, 0), (116..124, 0), (329..337, 0), (337..345, 0)] {
            put_octal(&mut block[at], value);
        }
        put_octal(&mut block[124..136], text.len() as u64);
        put_octal(&mut block[136..148], 0);
        block[156] = b'x';
        block[257..265].copy_from_slice(b"ustar\x0000");
        put_checksum(&mut block);
        self.put(&block)?;
        self.put(text)?;
        self.zeros(padding(text.len() as u64))
    }

    pub(super) fn body(&mut self, path: &TreePath, size: u64, mut body: impl Read) -> Result<(), WriteError> {
        self.copy(path, size, size, &mut body)?;
        // One byte more tells that a file grew.
        let mut probe = [0];
        loop {
            match body.read(&mut probe) {
                Ok(0) => break,
                Ok(_) => return Err(WriteError::Size { path: path.clone(), expected: size, found: "longer" }),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(WriteError::Content { path: path.clone(), source }),
            }
        }
        self.zeros(padding(size))
    }

    fn copy(&mut self, path: &TreePath, mut count: u64, expected: u64, body: &mut impl Read) -> Result<(), WriteError> {
        while count > 0 {
            if self.filled == self.buffer.len() {
                self.flush()?;
            }
            let room = &mut self.buffer[self.filled..];
            let wanted = count.min(room.len() as u64) as usize;
            match body.read(&mut room[..wanted]) {
                Ok(0) => return Err(WriteError::Size { path: path.clone(), expected, found: "shorter" }),
                Ok(read) => {
                    self.filled += read;
                    count -= read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(WriteError::Content { path: path.clone(), source }),
            }
        }
        Ok(())
    }

    pub(super) fn put(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            if self.filled == self.buffer.len() {
                self.flush()?;
            }
            let room = &mut self.buffer[self.filled..];
            let take = room.len().min(bytes.len());
            room[..take].copy_from_slice(&bytes[..take]);
            self.filled += take;
            bytes = &bytes[take..];
        }
        Ok(())
    }

    pub(super) fn zeros(&mut self, count: u64) -> Result<(), WriteError> {
        self.put(&[0; 2 * BLOCK][..count as usize])
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        let (offset, filled) = (self.flushed, std::mem::take(&mut self.filled));
        self.sink.write_all(&self.buffer[..filled]).map_err(|source| WriteError::Sink { offset, source })?;
        self.flushed += filled as u64;
        Ok(())
    }

    /// Ends the archive; returns what took it, and its length in bytes. The sink is not flushed.
    ///
    /// # Errors
    /// [`WriteError::Sink`].
    pub fn finish(mut self) -> Result<(W, u64), WriteError> {
        self.zeros(2 * BLOCK as u64)?;
        self.end()
    }

    /// Hands over what is left; the caller has written the end of the archive.
    pub(super) fn end(mut self) -> Result<(W, u64), WriteError> {
        self.flush()?;
        Ok((self.sink, self.flushed))
    }
}

fn member(path: &TreePath, name: Vec<u8>, kind: MemberKind, metadata: &Metadata, placed: Placed) -> Member {
    let Placed { header_offset, data_offset } = placed;
    Member { name: name.into(), path: path.clone(), kind, metadata: metadata.clone(), header_offset, data_offset }
}

/// The name of an entry in an archive: `./` for the root, a slash behind a directory.
pub(super) fn archived_name(path: &TreePath, directory: bool) -> Vec<u8> {
    match (path.is_root(), directory) {
        (true, _) => b"./".to_vec(),
        (false, true) => [path.as_bytes(), b"/"].concat(),
        (false, false) => path.as_bytes().to_vec(),
    }
}

/// Divides a name into ustar's prefix and name, as late as the prefix allows; `None` where it fits neither way.
fn ustar_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= NAME_FIELD {
        return Some((b"", name));
    }
    let searched = &name[..(PREFIX_FIELD + 1).min(name.len() - 1)];
    let slash = searched.iter().rposition(|&b| b == b'/')?;
    let (prefix, rest) = (&name[..slash], &name[slash + 1..]);
    (!prefix.is_empty() && rest.len() <= NAME_FIELD).then_some((prefix, rest))
}

pub(super) fn refused(path: &TreePath, reason: &'static str) -> WriteError {
    WriteError::Entry { path: path.clone(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_divided_at_a_slash_or_not_at_all() {
        let join = |a: usize, b: usize| [&vec![b'a'; a][..], b"/", &vec![b'b'; b]].concat();
        let cases = [
            (vec![b'a'; 100], Some((0, 100))),
            (vec![b'a'; 101], None),
            (join(155, 100), Some((155, 100))),
            (join(156, 99), None),
            (join(155, 101), None),
            (join(1, 99), Some((1, 99))),
            ([&join(50, 50)[..], b"/"].concat(), Some((50, 51))),
            ([&vec![b'a'; 100][..], b"/"].concat(), None),
        ];
        for (name, expected) in cases {
            let got = ustar_name(&name).map(|(prefix, name)| (prefix.len(), name.len()));
            assert_eq!(got, expected, "{}", String::from_utf8_lossy(&name));
        }
    }
}

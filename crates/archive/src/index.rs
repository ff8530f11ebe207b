//! The index of a tar stream: what is in it and where, written in the same pass that hashes it.
//!
//! ```text
//! "bedplate index\n" version:u8 length:u64le body sha256(all before)
//! body    diff ID, stream size, number of entries, then for each entry:
//!         kind, name, header offset, mode, owners, mtime, attributes, and by kind: target, device, size and extents
//! ```
//! Numbers in the body are LEB128; offsets are written as distances. An index is a cache: one of another version, or
//! a damaged one, is made again from its stream.

use std::collections::HashSet;
use std::io::{self, Read, Write};

use bedplate_tree::{
    Action, Change, Content, Delta, Entry, EntryKind, Extent, Metadata, Source, Timestamp, TreePath, Xattrs, whiteout,
};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::hash::StreamHasher;
use crate::tar::{Limits, Member, Reader, RootAttributes, Tap, TarError};

/// The first bytes of an encoded index.
const MAGIC: &[u8; 15] = b"bedplate index\n";

/// The version of the encoding. A change of it makes every stored index be built anew from its stream, at the next use.
pub const VERSION: u8 = 1;

const FIXED: usize = MAGIC.len() + 1 + 8;
const CHECKSUM: usize = 32;

/// Why an index cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IndexError {
    /// Not an index at all, or one that was cut.
    #[error("not an index: {reason}")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
    /// Written by another version of bedplate.
    #[error("index has version {found}, not {VERSION}")]
    Version {
        /// Its version.
        found: u8,
    },
    /// Damaged on disk.
    #[error("index is damaged: its checksum is wrong")]
    Checksum,
    /// A whiteout that hides nothing that can be named.
    #[error("entry {name:?} at byte {offset} is a whiteout of no name")]
    Whiteout {
        /// The entry's name, lossily decoded.
        name: String,
        /// Where its header is in the stream.
        offset: u64,
    },
}

/// What an archive has at one place of its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Indexed {
    /// An entry; the content of a file lies in the stream that the index is of.
    Entry(Entry),
    /// Another name of the file at this path.
    HardLink(TreePath),
}

/// One entry of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// The place in a root filesystem.
    pub path: TreePath,
    /// The name as archived.
    pub name: Box<[u8]>,
    /// Where its first header block begins in the stream, in bytes.
    pub header_offset: u64,
    /// What it is.
    pub indexed: Indexed,
}

/// What is in a tar stream, in the order of the archive, repeated names and whiteouts included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    diff_id: [u8; 32],
    stream_size: u64,
    entries: Vec<IndexEntry>,
}

/// An index with what the pass over the stream told besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// The index.
    pub index: Index,
    /// What the root entry had before it was rewritten to 0755 0:0; see [`Reader::mend_root`].
    pub mended: Option<RootAttributes>,
}

struct Pass<W> {
    hasher: StreamHasher,
    sink: W,
}

impl<W: Write> Tap for Pass<W> {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.sink.write_all(bytes)
    }
}

impl Index {
    /// Reads and hashes an uncompressed tar stream to its end.
    ///
    /// # Errors
    /// [`TarError`].
    pub fn read_tar(source: impl Read) -> Result<Self, TarError> {
        Ok(Self::copy_tar(source, io::sink(), false)?.index)
    }

    /// The same, and writes the stream to `sink`, in pieces of up to 256 KiB. Where `mend_root` is set, a root entry
    /// that is not 0:0 or lacks one of the bits 0755 is rewritten on the way, and the diff ID is that of what was written.
    ///
    /// # Errors
    /// [`TarError`]; [`TarError::Pass`] where the sink fails.
    pub fn copy_tar(source: impl Read, sink: impl Write, mend_root: bool) -> Result<Scanned, TarError> {
        Self::copy_tar_within(source, sink, mend_root, Limits::default())
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// As [`Index::copy_tar`].
    pub fn copy_tar_within(
        source: impl Read,
        sink: impl Write,
        mend_root: bool,
        limits: Limits,
    ) -> Result<Scanned, TarError> {
        let pass = Pass { hasher: StreamHasher::new(), sink };
        let mut reader = Reader::with_tap(source, pass).limits(limits).mend_root(mend_root);
        let mut builder = IndexBuilder::new();
        while let Some(member) = reader.next_entry()? {
            builder.push(member);
        }
        let finished = reader.finish()?;
        let index = builder.finish(finished.tap.hasher.finish(), finished.size);
        Ok(Scanned { index, mended: finished.mended })
    }

    /// The sha256 of the whole uncompressed stream.
    #[must_use]
    pub fn diff_id(&self) -> [u8; 32] {
        self.diff_id
    }

    /// The length of the uncompressed stream in bytes, trailing bytes included.
    #[must_use]
    pub fn stream_size(&self) -> u64 {
        self.stream_size
    }

    /// The entries, in the order of the archive.
    #[must_use]
    pub fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// The last entry of that path, which is the one that counts.
    #[must_use]
    pub fn find(&self, path: &TreePath) -> Option<&IndexEntry> {
        self.entries.iter().rev().find(|entry| entry.path == *path)
    }

    /// The entry of the root directory, where the archive has one.
    #[must_use]
    pub fn root(&self) -> Option<&IndexEntry> {
        self.entries.iter().rev().find(|entry| entry.path.is_root())
    }

    /// How many entries repeat a path that came before.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        let mut seen = HashSet::with_capacity(self.entries.len());
        self.entries.iter().filter(|entry| !seen.insert(entry.path.as_bytes())).count() as u64
    }

    /// The newest modification time of all entries; `None` for an empty archive or one of hard links only.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        let times = self.entries.iter().filter_map(|entry| match &entry.indexed {
            Indexed::Entry(entry) => Some(entry.metadata.mtime),
            Indexed::HardLink(_) => None,
        });
        times.max()
    }

    /// What the archive changes, whiteouts understood.
    ///
    /// # Errors
    /// [`IndexError::Whiteout`].
    pub fn delta(&self) -> Result<Delta, IndexError> {
        let mut changes = Vec::with_capacity(self.entries.len());
        let mut seen = Seen { entries: &self.entries, paths: HashSet::new(), count: 0 };
        for (number, entry) in self.entries.iter().enumerate() {
            let (path, action) = match whiteout::meaning(&entry.path) {
                whiteout::Meaning::Entry => {
                    let action = match &entry.indexed {
                        Indexed::Entry(entry) => Action::Put(entry.clone()),
                        // A file that was packed twice. Without its first time it is an error, for whoever applies it.
                        Indexed::HardLink(target) if *target == entry.path && seen.before(number, target) => continue,
                        Indexed::HardLink(target) => Action::Link { target: target.clone() },
                    };
                    (entry.path.clone(), action)
                }
                whiteout::Meaning::Whiteout(path) => (path, Action::Whiteout),
                whiteout::Meaning::Opaque(path) => (path, Action::Opaque),
                whiteout::Meaning::Bookkeeping => continue,
                whiteout::Meaning::Malformed => {
                    return Err(IndexError::Whiteout {
                        name: String::from_utf8_lossy(&entry.name).into_owned(),
                        offset: entry.header_offset,
                    });
                }
            };
            changes.push(Change { path, action });
        }
        Ok(Delta { changes })
    }

    /// The index as it is stored: the same bytes for the same index.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 * self.entries.len() + 128);
        out.extend_from_slice(MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&self.diff_id);
        put(&mut out, self.stream_size);
        put(&mut out, self.entries.len() as u64);
        let mut place = 0;
        for entry in &self.entries {
            encode_entry(&mut out, entry, &mut place);
        }
        let length = (out.len() - FIXED) as u64;
        out[FIXED - 8..FIXED].copy_from_slice(&length.to_le_bytes());
        let sum: [u8; 32] = Sha256::digest(&out).into();
        out.extend_from_slice(&sum);
        out
    }

    /// Reads a stored index.
    ///
    /// # Errors
    /// [`IndexError`]; the index is then to be built anew.
    pub fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let malformed = |reason| IndexError::Malformed { reason };
        let rest = bytes.strip_prefix(MAGIC).ok_or(malformed("it begins with something else"))?;
        match rest.first() {
            Some(&VERSION) => {}
            Some(&found) => return Err(IndexError::Version { found }),
            None => return Err(malformed("it was cut")),
        }
        let body = bytes.len().checked_sub(FIXED + CHECKSUM).ok_or(malformed("it was cut"))?;
        let (summed, sum) = bytes.split_at(FIXED + body);
        if summed[FIXED - 8..FIXED] != (body as u64).to_le_bytes() {
            return Err(malformed("its length is another than it says"));
        }
        if <[u8; 32]>::from(Sha256::digest(summed)) != *sum {
            return Err(IndexError::Checksum);
        }
        Self::decode_body(&summed[FIXED..]).ok_or(malformed("its content breaks its own rules"))
    }

    fn decode_body(body: &[u8]) -> Option<Self> {
        let mut input = Input { rest: body };
        let diff_id = <[u8; 32]>::try_from(input.take(32)?).ok()?;
        let stream_size = input.number()?;
        let count = usize::try_from(input.number()?).ok()?;
        // An entry has at least eight bytes: no allocation that the input does not pay for.
        let mut entries = Vec::with_capacity(count.min(input.rest.len() / 8));
        let source = Source::Stream(diff_id);
        let mut place = 0;
        for _ in 0..count {
            entries.push(decode_entry(&mut input, &mut place, &source, stream_size)?);
        }
        input.rest.is_empty().then_some(Self { diff_id, stream_size, entries })
    }
}

/// The paths of the first entries, collected only when they are asked for.
struct Seen<'a> {
    entries: &'a [IndexEntry],
    paths: HashSet<&'a [u8]>,
    count: usize,
}

impl Seen<'_> {
    /// Tells whether an entry before `number` has that path. Numbers only grow.
    fn before(&mut self, number: usize, path: &TreePath) -> bool {
        let new = self.entries.get(self.count..number).unwrap_or_default();
        self.paths.extend(new.iter().map(|entry| entry.path.as_bytes()));
        self.count = number;
        self.paths.contains(path.as_bytes())
    }
}

/// Collects the entries of a stream whose hash is known only at its end.
#[derive(Debug, Default)]
pub struct IndexBuilder {
    members: Vec<Member>,
}

impl IndexBuilder {
    /// An index without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next entry of the stream.
    pub fn push(&mut self, member: Member) {
        self.members.push(member);
    }

    /// The index of the stream with that sha256 and length in bytes.
    #[must_use]
    pub fn finish(self, diff_id: [u8; 32], stream_size: u64) -> Index {
        let source = Source::Stream(diff_id);
        let entries = self.members.into_iter().map(|mut member| {
            let path = std::mem::take(&mut member.path);
            let name = std::mem::take(&mut member.name);
            let header_offset = member.header_offset;
            let indexed = match member.into_entry(&source) {
                Ok(entry) => Indexed::Entry(entry),
                Err(target) => Indexed::HardLink(target),
            };
            IndexEntry { path, name, header_offset, indexed }
        });
        Index { diff_id, stream_size, entries: entries.collect() }
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Small numbers of either sign become small numbers.
fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

const DIRECTORY: u8 = 0;
const FILE: u8 = 1;
const SYMLINK: u8 = 2;
const CHAR_DEVICE: u8 = 3;
const BLOCK_DEVICE: u8 = 4;
const FIFO: u8 = 5;
const HARD_LINK: u8 = 6;
/// Never in a tar, but an index can be made of entries that came another way.
const SOCKET: u8 = 7;

/// `place` is where the last run of data or header ended: distances from there are short.
fn encode_entry(out: &mut Vec<u8>, entry: &IndexEntry, place: &mut u64) {
    let distance = |place: &mut u64, to: u64| {
        let distance = zigzag(to.wrapping_sub(*place) as i64);
        *place = to;
        distance
    };
    let put_head = |out: &mut Vec<u8>, kind, place: &mut u64| {
        out.push(kind);
        put_bytes(out, &entry.name);
        put(out, distance(place, entry.header_offset));
    };
    let inner = match &entry.indexed {
        Indexed::HardLink(target) => {
            put_head(out, HARD_LINK, place);
            return put_bytes(out, target.as_bytes());
        }
        Indexed::Entry(inner) => inner,
    };
    let kind = match inner.kind {
        EntryKind::Directory => DIRECTORY,
        EntryKind::File(_) => FILE,
        EntryKind::Symlink(_) => SYMLINK,
        EntryKind::CharDevice { .. } => CHAR_DEVICE,
        EntryKind::BlockDevice { .. } => BLOCK_DEVICE,
        EntryKind::Fifo => FIFO,
        EntryKind::Socket => SOCKET,
    };
    put_head(out, kind, place);
    let metadata = &inner.metadata;
    put(out, metadata.mode.into());
    put(out, metadata.uid.into());
    put(out, metadata.gid.into());
    put(out, zigzag(metadata.mtime.seconds));
    put(out, metadata.mtime.nanoseconds.into());
    put(out, metadata.xattrs.len() as u64);
    for (name, value) in &metadata.xattrs {
        put_bytes(out, name);
        put_bytes(out, value);
    }
    match &inner.kind {
        EntryKind::File(content) => {
            put(out, content.size());
            put(out, content.extents().len() as u64);
            let mut logical = 0;
            for extent in content.extents() {
                put(out, extent.logical - logical);
                put(out, distance(place, extent.physical));
                put(out, extent.length);
                logical = extent.logical + extent.length;
                *place += extent.length;
            }
        }
        EntryKind::Symlink(target) => put_bytes(out, target),
        EntryKind::CharDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
            put(out, (*major).into());
            put(out, (*minor).into());
        }
        EntryKind::Directory | EntryKind::Fifo | EntryKind::Socket => {}
    }
}

struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return None;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.number()?).ok()?;
        self.take(count)
    }

    fn place(&mut self, place: &mut u64) -> Option<u64> {
        *place = place.wrapping_add(unzigzag(self.number()?) as u64);
        Some(*place)
    }
}

fn decode_entry(input: &mut Input<'_>, place: &mut u64, source: &Source, stream_size: u64) -> Option<IndexEntry> {
    let kind = input.byte()?;
    let name: Box<[u8]> = input.bytes()?.into();
    let path = TreePath::parse(&name).ok()?;
    let header_offset = input.place(place).filter(|&offset| offset <= stream_size)?;
    if kind == HARD_LINK {
        let target = TreePath::parse(input.bytes()?).ok()?;
        return Some(IndexEntry { path, name, header_offset, indexed: Indexed::HardLink(target) });
    }
    let (mode, uid, gid) = (input.small()?, input.small()?, input.small()?);
    let mtime = Timestamp { seconds: unzigzag(input.number()?), nanoseconds: input.small()? };
    if mtime.nanoseconds >= 1_000_000_000 || mode > 0o7777 {
        return None;
    }
    let mut xattrs = Xattrs::new();
    for _ in 0..input.number()? {
        let name = input.bytes()?.into();
        xattrs.insert(name, input.bytes()?.into());
    }
    let kind = match kind {
        DIRECTORY => EntryKind::Directory,
        FILE => EntryKind::File(decode_content(input, place, source, stream_size)?),
        SYMLINK => EntryKind::Symlink(input.bytes()?.into()),
        CHAR_DEVICE => EntryKind::CharDevice { major: input.small()?, minor: input.small()? },
        BLOCK_DEVICE => EntryKind::BlockDevice { major: input.small()?, minor: input.small()? },
        FIFO => EntryKind::Fifo,
        SOCKET => EntryKind::Socket,
        _ => return None,
    };
    let metadata = Metadata { mode, uid, gid, mtime, xattrs };
    Some(IndexEntry { path, name, header_offset, indexed: Indexed::Entry(Entry { kind, metadata }) })
}

fn decode_content(input: &mut Input<'_>, place: &mut u64, source: &Source, stream_size: u64) -> Option<Content> {
    let size = input.number()?;
    let count = usize::try_from(input.number()?).ok()?;
    // A run has at least three bytes.
    let mut extents = Vec::with_capacity(count.min(input.rest.len() / 3));
    let mut end: u64 = 0;
    for _ in 0..count {
        let logical = end.checked_add(input.number()?)?;
        let physical = input.place(place)?;
        let length = input.number()?;
        end = logical.checked_add(length)?;
        *place = physical.checked_add(length).filter(|&end| end <= stream_size)?;
        extents.push(Extent { logical, physical, length });
    }
    match count {
        0 if size == 0 => Some(Content::dense(source.clone(), 0, 0)),
        _ => Content::sparse(source.clone(), size, extents),
    }
}

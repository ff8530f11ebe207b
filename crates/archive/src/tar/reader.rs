//! Reads an archive, entry after entry.

use std::io::{self, Read};

use bedplate_tree::{Content, Entry, EntryKind, Extent, Metadata, Source, Timestamp, TreePath};

use super::error::{At, shown};
use super::header::{Dialect, Field, Header, number, put_checksum, put_octal};
use super::limits::{
    Limits, MAX_FILE_SIZE, MAX_LINK_TARGET, MAX_LONG_NAME, MAX_MAJOR, MAX_MINOR, MAX_OWNER, MAX_PAX_HEADER,
    MAX_SPARSE_EXTENTS,
};
use super::pax::{Extension, Records, Scope};
use super::sparse::{MapReader, Place, extents, old_gnu_runs};
use super::stream::{Stream, Tap};
use super::{BLOCK, SparseError, TarError, padding};

/// One entry of an archive. The offsets count bytes of the uncompressed stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The name as archived: `./usr/bin/`.
    pub name: Box<[u8]>,
    /// The place in a root filesystem: `usr/bin`.
    pub path: TreePath,
    /// What it is.
    pub kind: MemberKind,
    /// Its attributes.
    pub metadata: Metadata,
    /// Where its first header block begins, extension headers included.
    pub header_offset: u64,
    /// Where its stored bytes begin; for an entry without a body, where its headers end.
    pub data_offset: u64,
}

/// What an entry of an archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Its size in bytes, holes included.
        size: u64,
        /// Its runs of data, in order; `physical` counts bytes of the uncompressed stream. A file without holes has
        /// one, an empty one none.
        extents: Vec<Extent>,
    },
    /// Another name of the file at this path; its own path where GNU tar was given a file twice.
    HardLink(TreePath),
    /// A symbolic link with its target, verbatim.
    Symlink(Box<[u8]>),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

impl MemberKind {
    /// The kind in words, for messages.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File { .. } => "regular file",
            Self::HardLink(_) => "hard link",
            Self::Symlink(_) => "symbolic link",
            Self::CharDevice { .. } => "character device",
            Self::BlockDevice { .. } => "block device",
            Self::Fifo => "named pipe",
        }
    }
}

impl Member {
    /// The logical size of a file in bytes; 0 for anything else.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self.kind {
            MemberKind::File { size, .. } => size,
            _ => 0,
        }
    }

    /// The entry of a tree that this is, its bytes in `stream`; the target of a hard link instead, where it is one.
    ///
    /// # Errors
    /// Not an error: `Err` holds the target of a hard link.
    pub fn into_entry(self, stream: &Source) -> Result<Entry, TreePath> {
        let kind = match self.kind {
            MemberKind::HardLink(target) => return Err(target),
            MemberKind::Directory => EntryKind::Directory,
            MemberKind::File { size: 0, .. } => EntryKind::File(Content::dense(stream.clone(), 0, 0)),
            MemberKind::File { size, extents } => EntryKind::File(
                Content::sparse(stream.clone(), size, extents).expect("the reader checked order and bounds of extents"),
            ),
            MemberKind::Symlink(target) => EntryKind::Symlink(target),
            MemberKind::CharDevice { major, minor } => EntryKind::CharDevice { major, minor },
            MemberKind::BlockDevice { major, minor } => EntryKind::BlockDevice { major, minor },
            MemberKind::Fifo => EntryKind::Fifo,
        };
        Ok(Entry { kind, metadata: self.metadata })
    }
}

/// The owner and mode that a root entry had before it was mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootAttributes {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What a reader knows at the end of the stream.
#[derive(Debug)]
pub struct Finished<T> {
    /// The length of the uncompressed stream, trailing bytes included.
    pub size: u64,
    /// The attributes of the root entry that was mended, where one was.
    pub mended: Option<RootAttributes>,
    /// What took the bytes.
    pub tap: T,
}

/// Reads an archive in one pass: `while let Some(member) = reader.next_entry()? { ... reader.body() ... }`.
///
/// Names are those of a root filesystem: leading slashes and `./` fall away, `..` is an error. Targets of symbolic
/// links are kept verbatim. The body of an entry is read before the next entry is asked for, or passed over.
/// After an error the reader is of no more use.
#[derive(Debug)]
pub struct Reader<R, T = ()> {
    stream: Stream<R, T>,
    limits: Limits,
    mend_root: bool,
    mended: Option<RootAttributes>,
    global: Extension,
    entries: u64,
    extents: u64,
    names: u64,
    /// The entry whose body is open, the stored bytes of it not read yet, and the zeros behind it.
    current: At,
    remaining: u64,
    padding: u64,
    /// The names of the user and group of the entry that was returned last.
    owner_names: (Vec<u8>, Vec<u8>),
    ended: bool,
}

/// The headers before the header block of an entry.
#[derive(Default)]
struct Pending {
    extension: Option<Extension>,
    /// Where the PAX records lie in the held bytes.
    records: std::ops::Range<usize>,
    long_name: Option<Box<[u8]>>,
    long_link: Option<Box<[u8]>>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.extension.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }
}

impl<R: Read> Reader<R> {
    /// Reads the archive in `source`, which is read in large pieces and needs no buffer.
    pub fn new(source: R) -> Self {
        Self::with_tap(source, ())
    }
}

impl<R: Read, T: Tap> Reader<R, T> {
    /// The same; `tap` sees every byte of the stream.
    pub fn with_tap(source: R, tap: T) -> Self {
        Self {
            stream: Stream::new(source, tap),
            limits: Limits::default(),
            mend_root: false,
            mended: None,
            global: Extension::default(),
            entries: 0,
            extents: 0,
            names: 0,
            current: At::new(b"", 0),
            remaining: 0,
            padding: 0,
            owner_names: Default::default(),
            ended: false,
        }
    }

    /// Sets other limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Rewrites, in what the tap sees and in what is returned, a root entry that is not 0:0 or lacks one of the mode
    /// bits 0755, to 0755 0:0. The length of the stream stays; nothing is added where there is no root entry.
    #[must_use]
    pub fn mend_root(mut self, mend: bool) -> Self {
        self.mend_root = mend;
        self
    }

    /// Bytes of the stream consumed so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.stream.position()
    }

    /// Reads up to the next entry; `None` at the end of the archive.
    ///
    /// # Errors
    /// [`TarError`]: the source's failures, and whatever is wrong with the archive.
    pub fn next_entry(&mut self) -> Result<Option<Member>, TarError> {
        if self.ended {
            return Ok(None);
        }
        self.close_body()?;
        let mut pending = Pending::default();
        let mut group = self.stream.position();
        self.hold();
        loop {
            let offset = self.stream.position();
            let at = At::new(pending.long_name.as_deref().unwrap_or_default(), offset);
            let first = if offset == 0 { self.stream.peek(BLOCK)? } else { b"" };
            if (1..BLOCK).contains(&first.len()) {
                // Whether it was cut or never was an archive cannot be told.
                let found = format!("{}, and has only {} bytes", first_bytes(first), first.len());
                return Err(TarError::NotTar { found });
            }
            let Some(block) = self.stream.block(&at, "a header")? else {
                if !pending.is_empty() {
                    return Err(TarError::Truncated { at, part: "the headers", end: offset });
                }
                self.ended = true;
                return Ok(None);
            };
            if block == [0; BLOCK] {
                if !pending.is_empty() {
                    return Err(ambiguous(&at, "an extension header without its entry"));
                }
                self.end_of_archive(offset)?;
                return Ok(None);
            }
            let header = Header::parse(block).map_err(|bad| match offset {
                0 => TarError::NotTar { found: first_bytes(&block) },
                _ => TarError::Checksum { at: at.clone(), stored: bad.stored, computed: bad.computed },
            })?;
            match header.flag() {
                // 'X' is what Solaris wrote before the letter was settled.
                b'x' | b'X' => {
                    if pending.extension.is_some() {
                        return Err(ambiguous(&at, "two PAX extended headers for one entry"));
                    }
                    let start = (self.stream.position() - group) as usize;
                    let records = self.extension_body(&header, &at, MAX_PAX_HEADER, "a PAX extended header")?;
                    pending.records = start..start + records.len();
                    let mut extension = self.global.clone();
                    extension.merge(&records, Scope::Entry).map_err(|source| TarError::Pax { at, source })?;
                    pending.extension = Some(extension);
                }
                b'L' => {
                    let name = self.extension_body(&header, &at, MAX_LONG_NAME, "a GNU long name")?;
                    if pending.long_name.replace(until_nul(&name).into()).is_some() {
                        return Err(ambiguous(&at, "two GNU long names for one entry"));
                    }
                }
                b'K' => {
                    let name = self.extension_body(&header, &at, MAX_LONG_NAME, "a GNU long link target")?;
                    if pending.long_link.replace(until_nul(&name).into()).is_some() {
                        return Err(ambiguous(&at, "two GNU long link targets for one entry"));
                    }
                }
                b'g' | b'V' if !pending.is_empty() => {
                    return Err(ambiguous(&at, "an extension header without its entry"));
                }
                b'g' => {
                    let records = self.extension_body(&header, &at, MAX_PAX_HEADER, "a PAX global header")?;
                    let merged = self.global.merge(&records, Scope::Global);
                    merged.map_err(|source| TarError::Pax { at: at.clone(), source })?;
                    if self.global.multi_volume {
                        return Err(TarError::MultiVolume { at });
                    }
                    // Not part of the next entry: another reader begins behind it just as well.
                    self.stream.release()?;
                    group = self.stream.position();
                    self.hold();
                }
                b'V' => {
                    self.extension_body(&header, &at, MAX_LONG_NAME, "a volume label")?;
                    self.stream.release()?;
                    group = self.stream.position();
                    self.hold();
                }
                _ => return self.member(&header, offset, group, pending).map(Some),
            }
        }
    }

    fn hold(&mut self) {
        if self.mend_root {
            self.stream.hold();
        }
    }

    /// After a zero block: there is another one, or the end.
    fn end_of_archive(&mut self, offset: u64) -> Result<(), TarError> {
        if self.stream.peek(BLOCK)?.iter().any(|&b| b != 0) {
            return Err(TarError::LoneZeroBlock { offset });
        }
        self.stream.release()?;
        self.ended = true;
        Ok(())
    }

    fn extension_body(
        &mut self,
        header: &Header,
        at: &At,
        limit: u64,
        what: &'static str,
    ) -> Result<Vec<u8>, TarError> {
        let size = ranged(header.size(), at, u64::MAX >> 1)?;
        if size > limit {
            return Err(TarError::Limit { at: at.clone(), what, limit });
        }
        let bytes = self.stream.bytes(size, at, what)?;
        if self.stream.skip(padding(size))? > 0 {
            return Err(TarError::Truncated { at: at.clone(), part: what, end: self.stream.position() });
        }
        Ok(bytes)
    }

    fn member(&mut self, header: &Header, offset: u64, group: u64, mut pending: Pending) -> Result<Member, TarError> {
        let records = pending.records.clone();
        let mut extension = pending.extension.take().unwrap_or_else(|| self.global.clone());
        let sparse_name = extension.sparse.name.take();
        let name = chosen(sparse_name.or(extension.path.take()), pending.long_name.take(), "names");
        let at = At::new(&name.clone().ok().flatten().unwrap_or_else(|| header.name()), offset);
        let name = name.map_err(|reason| ambiguous(&at, reason))?.unwrap_or_else(|| header.name());
        let target = chosen(extension.link_path.take(), pending.long_link.take(), "link targets")
            .map_err(|reason| ambiguous(&at, reason))?
            .unwrap_or_else(|| header.link_name().into());

        self.entries += 1;
        self.limit(self.entries, self.limits.entries, "entries", &at)?;
        if extension.incremental || header.flag() == b'D' {
            return Err(TarError::Incremental { at });
        }
        if extension.multi_volume || header.flag() == b'M' {
            return Err(TarError::MultiVolume { at });
        }
        let path = TreePath::parse(&name).map_err(|source| TarError::Name { at: at.clone(), source })?;
        let mut metadata = metadata(header, &mut extension, &at)?;
        let (user, of_group) = header.owner_names();
        let user = extension.user.as_deref().unwrap_or(user);
        let of_group = extension.group.as_deref().unwrap_or(of_group);
        self.owner_names.0.clear();
        self.owner_names.0.extend_from_slice(user);
        self.owner_names.1.clear();
        self.owner_names.1.extend_from_slice(of_group);
        let xattrs: usize = metadata.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.names += (name.len() + target.len() + user.len() + of_group.len() + xattrs) as u64;
        self.limit(self.names, self.limits.names, "bytes of names and extended attributes", &at)?;

        let device = || -> Result<(u32, u32), TarError> {
            let major =
                extension.major.map_or_else(|| ranged(header.major(), &at, MAX_MAJOR.into()), |n| Ok(n.into()))?;
            let minor =
                extension.minor.map_or_else(|| ranged(header.minor(), &at, MAX_MINOR.into()), |n| Ok(n.into()))?;
            let bounded = |field, number: u64, limit: u32| match u32::try_from(number) {
                Ok(number) if number <= limit => Ok(number),
                _ => Err(TarError::Range { at: at.clone(), field, found: number as i64, limit: limit.into() }),
            };
            Ok((bounded("major device number", major, MAX_MAJOR)?, bounded("minor device number", minor, MAX_MINOR)?))
        };
        let mut stored = 0;
        let kind = match header.flag() {
            0 | b'0' | b'7' | b'S' => {
                stored = match extension.size {
                    Some(size) => size,
                    None => ranged(header.size(), &at, u64::MAX >> 1)?,
                };
                if name.ends_with(b"/") {
                    // A directory before there was a flag for it; some archivers read every such name so.
                    if stored != 0 {
                        return Err(ambiguous(&at, "the name of a directory on an entry with content"));
                    }
                    MemberKind::Directory
                } else {
                    MemberKind::File { size: 0, extents: Vec::new() }
                }
            }
            b'1' => {
                let target =
                    TreePath::parse(&target).map_err(|source| TarError::HardLink { at: at.clone(), source })?;
                if target.is_root() {
                    return Err(TarError::Target { at, reason: "empty or the root directory" });
                }
                MemberKind::HardLink(target)
            }
            b'2' => {
                let reason = match &*target {
                    b"" => Some("empty"),
                    target if target.contains(&0) => Some("a name with a NUL byte"),
                    target if target.len() > MAX_LINK_TARGET => Some("longer than 4095 bytes"),
                    _ => None,
                };
                if let Some(reason) = reason {
                    return Err(TarError::Target { at, reason });
                }
                MemberKind::Symlink(target)
            }
            b'3' => device().map(|(major, minor)| MemberKind::CharDevice { major, minor })?,
            b'4' => device().map(|(major, minor)| MemberKind::BlockDevice { major, minor })?,
            b'5' => MemberKind::Directory,
            b'6' => MemberKind::Fifo,
            flag => return Err(TarError::Type { at, flag: flag.into() }),
        };
        if path.is_root() && kind != MemberKind::Directory {
            return Err(TarError::Root { at, found: kind.describe() });
        }
        if path.is_root() && self.mend_root {
            self.mend(&mut metadata, records, &at)?;
        }
        self.stream.release()?;

        let kind = match kind {
            MemberKind::File { .. } => {
                let (size, extents) = self.layout(header, extension, stored, &at)?;
                MemberKind::File { size, extents }
            }
            kind => kind,
        };
        let data_offset = self.stream.position();
        self.current = at;
        Ok(Member { name, path, kind, metadata, header_offset: group, data_offset })
    }

    /// Reads the sparse map, where there is one, and opens the body. Returns the real size and the runs of data.
    fn layout(
        &mut self,
        header: &Header,
        mut extension: Extension,
        stored: u64,
        at: &At,
    ) -> Result<(u64, Vec<Extent>), TarError> {
        let sparse = |source| TarError::Sparse { at: at.clone(), source };
        // The padding follows from all stored bytes, of which a map may be a part.
        let mut remaining = stored;
        let place = std::mem::take(&mut extension.sparse).place().map_err(sparse)?;
        let (map, size) = match (header.flag(), place) {
            (b'S', None) => self.old_gnu_map(header, at)?,
            (b'S', Some(_)) => return Err(ambiguous(at, "a sparse map in the header and one in PAX records")),
            (_, Some((Place::Records(map), size))) => (map, size),
            (_, Some((Place::Body, size))) => {
                let mut map = MapReader::default();
                loop {
                    if remaining < BLOCK as u64 {
                        return Err(sparse(SparseError::Map { reason: "is longer than the stored bytes" }));
                    }
                    let Some(block) = self.stream.block(at, "a sparse map")? else {
                        let end = self.stream.position();
                        return Err(TarError::Truncated { at: at.clone(), part: "a sparse map", end });
                    };
                    remaining -= BLOCK as u64;
                    if map.block(&block).map_err(sparse)? {
                        break;
                    }
                }
                (map.map, size)
            }
            (_, None) => (vec![(0, stored)], stored),
        };
        if size > MAX_FILE_SIZE {
            let limit = MAX_FILE_SIZE;
            return Err(TarError::Limit { at: at.clone(), what: "bytes in a file", limit });
        }
        let extents = extents(map, size, self.stream.position(), remaining).map_err(sparse)?;
        self.extents += extents.len() as u64;
        self.limit(self.extents, self.limits.extents, "runs of data in all files", at)?;
        (self.remaining, self.padding) = (remaining, padding(stored));
        Ok((size, extents))
    }

    fn old_gnu_map(&mut self, header: &Header, at: &At) -> Result<(Vec<(u64, u64)>, u64), TarError> {
        if header.dialect != Dialect::Gnu {
            return Err(TarError::Type { at: at.clone(), flag: 'S' });
        }
        let sparse = |source| TarError::Sparse { at: at.clone(), source };
        let mut map = Vec::new();
        let (pairs, mut extended, real_size) = header.gnu_sparse();
        let size = ranged(real_size, at, u64::MAX >> 1)?;
        let mut more = old_gnu_runs(pairs, &mut map).map_err(sparse)?;
        // A block is taken wherever one is announced, even where the runs have ended: the body begins behind it.
        let mut blocks = 0;
        while extended {
            let Some(block) = self.stream.block(at, "a sparse map")? else {
                let end = self.stream.position();
                return Err(TarError::Truncated { at: at.clone(), part: "a sparse map", end });
            };
            blocks += 1;
            if blocks > MAX_SPARSE_EXTENTS / 21 {
                return Err(sparse(SparseError::Runs { limit: MAX_SPARSE_EXTENTS }));
            }
            if more {
                more = old_gnu_runs(&block[..504], &mut map).map_err(sparse)?;
            }
            extended = block[504] != 0;
        }
        Ok((map, size))
    }

    /// Rewrites the root's attributes in `metadata` and in the bytes that the tap has not seen yet.
    fn mend(&mut self, metadata: &mut Metadata, records: std::ops::Range<usize>, at: &At) -> Result<(), TarError> {
        let Metadata { mode, uid, gid, .. } = *metadata;
        if uid == 0 && gid == 0 && mode & 0o755 == 0o755 {
            return Ok(());
        }
        if self.global.uid.is_some() || self.global.gid.is_some() {
            return Err(ambiguous(at, "the root directory's owner comes from a global header and cannot be mended"));
        }
        let held = self.stream.held();
        let header_at = held.len().saturating_sub(BLOCK);
        // PAX records of owners become as many zeros as they had digits: no length changes.
        if let Some(bytes) = held.get_mut(records) {
            let values: Vec<_> = Records::new(bytes)
                .flatten()
                .filter(|record| matches!(record.key, b"uid" | b"gid"))
                .map(|record| record.at..record.at + record.value.len())
                .collect();
            values.into_iter().for_each(|value| bytes[value].fill(b'0'));
        }
        if let Ok(block) = <&mut [u8; BLOCK]>::try_from(&mut held[header_at..]) {
            put_octal(&mut block[100..108], 0o755);
            put_octal(&mut block[108..116], 0);
            put_octal(&mut block[116..124], 0);
            put_checksum(block);
        }
        (metadata.mode, metadata.uid, metadata.gid) = (0o755, 0, 0);
        self.mended = Some(RootAttributes { mode, uid, gid });
        Ok(())
    }

    fn limit(&self, count: u64, limit: u64, what: &'static str, at: &At) -> Result<(), TarError> {
        if count > limit { Err(TarError::Limit { at: at.clone(), what, limit }) } else { Ok(()) }
    }

    fn truncated_body(&self) -> TarError {
        TarError::Truncated { at: self.current.clone(), part: "the content", end: self.stream.position() }
    }

    /// Passes over what is left of the current body.
    fn close_body(&mut self) -> Result<(), TarError> {
        let left = self.remaining.saturating_add(self.padding);
        (self.remaining, self.padding) = (0, 0);
        if self.stream.skip(left)? > 0 {
            return Err(self.truncated_body());
        }
        Ok(())
    }

    fn read_body(&mut self, target: &mut [u8]) -> Result<usize, TarError> {
        let wanted = self.remaining.min(target.len() as u64) as usize;
        let count = self.stream.read(&mut target[..wanted])?;
        if count == 0 && wanted > 0 {
            return Err(self.truncated_body());
        }
        self.remaining -= count as u64;
        Ok(count)
    }

    /// The names of the user and the group that the entry returned last belongs to, as archived; empty where it has none.
    ///
    /// They are not in [`Member`]: a tree's owners are numbers, and only who unpacks for a system with accounts asks.
    #[must_use]
    pub fn owner_names(&self) -> (&[u8], &[u8]) {
        (&self.owner_names.0, &self.owner_names.1)
    }

    /// Reads the stored bytes of the current entry: the content of a file, without its holes.
    pub fn body(&mut self) -> Body<'_, R, T> {
        Body { reader: self }
    }

    /// Reads the content of the current entry, holes as zeros. `member` is what [`Reader::next_entry`] returned last.
    ///
    /// Nothing is read for a member that is not the current one, or not a file.
    pub fn file<'a>(&'a mut self, member: &'a Member) -> FileBody<'a, R, T> {
        let current = member.data_offset == self.stream.position();
        let (size, extents) = match &member.kind {
            MemberKind::File { size, extents } if current => (*size, &extents[..]),
            _ => (0, &[][..]),
        };
        FileBody { reader: self, size, extents, position: 0 }
    }

    /// Reads to the end of the stream, past the end of the archive: a diff ID covers those bytes, too.
    ///
    /// # Errors
    /// As [`Reader::next_entry`], which is called until there is nothing left.
    pub fn finish(mut self) -> Result<Finished<T>, TarError> {
        while self.next_entry()?.is_some() {}
        while self.stream.skip(u64::MAX)? == 0 {}
        Ok(Finished { size: self.stream.position(), mended: self.mended, tap: self.stream.into_tap() })
    }
}

/// The stored bytes of an entry: see [`Reader::body`]. Errors hold a [`TarError`].
#[derive(Debug)]
pub struct Body<'a, R, T = ()> {
    reader: &'a mut Reader<R, T>,
}

impl<R: Read, T: Tap> Read for Body<'_, R, T> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.reader.read_body(target).map_err(into_io)
    }
}

/// The content of a file with its holes: see [`Reader::file`]. Errors hold a [`TarError`].
#[derive(Debug)]
pub struct FileBody<'a, R, T = ()> {
    reader: &'a mut Reader<R, T>,
    size: u64,
    /// What is not read completely yet.
    extents: &'a [Extent],
    position: u64,
}

impl<R: Read, T: Tap> Read for FileBody<'_, R, T> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        while let [first, rest @ ..] = self.extents
            && first.logical + first.length <= self.position
        {
            self.extents = rest;
        }
        let (hole, end) = match self.extents.first() {
            Some(next) if next.logical > self.position => (true, next.logical),
            Some(next) => (false, next.logical + next.length),
            None => (true, self.size),
        };
        let wanted = (end - self.position).min(target.len() as u64) as usize;
        let count = if hole {
            target[..wanted].fill(0);
            wanted
        } else {
            self.reader.read_body(&mut target[..wanted]).map_err(into_io)?
        };
        self.position += count as u64;
        Ok(count)
    }
}

fn into_io(error: TarError) -> io::Error {
    let kind = match &error {
        TarError::Truncated { .. } => io::ErrorKind::UnexpectedEof,
        TarError::Read { source, .. } | TarError::Pass { source, .. } => source.kind(),
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}

fn metadata(header: &Header, extension: &mut Extension, at: &At) -> Result<Metadata, TarError> {
    let owner = |extended: Option<u32>, field| match extended {
        Some(id) => Ok(id),
        None => ranged(field, at, MAX_OWNER.into()).map(|id| id as u32),
    };
    let mtime = match extension.mtime {
        Some(mtime) => mtime,
        None => Timestamp::from_seconds(signed(header.mtime(), at)?),
    };
    Ok(Metadata {
        // Some archivers add the bits of the file type.
        mode: (signed(header.mode(), at)? & 0o7777) as u32,
        uid: owner(extension.uid, header.uid())?,
        gid: owner(extension.gid, header.gid())?,
        mtime,
        xattrs: extension.take_xattrs(),
    })
}

fn signed(field: Field<'_>, at: &At) -> Result<i64, TarError> {
    number(field.bytes).ok_or_else(|| TarError::Number {
        at: at.clone(),
        field: field.name,
        found: shown(field.bytes.trim_ascii_end()),
    })
}

fn ranged(field: Field<'_>, at: &At, limit: u64) -> Result<u64, TarError> {
    let found = signed(field, at)?;
    match u64::try_from(found) {
        Ok(number) if number <= limit => Ok(number),
        _ => Err(TarError::Range { at: at.clone(), field: field.name, found, limit }),
    }
}

fn ambiguous(at: &At, reason: &'static str) -> TarError {
    TarError::Ambiguous { at: at.clone(), reason }
}

/// Of what PAX and GNU headers say, the one that is there; both where they agree.
fn chosen(
    pax: Option<Box<[u8]>>,
    gnu: Option<Box<[u8]>>,
    what: &'static str,
) -> Result<Option<Box<[u8]>>, &'static str> {
    match (pax, gnu) {
        (Some(pax), Some(gnu)) if pax != gnu => Err(match what {
            "names" => "its PAX and GNU headers give it different names",
            _ => "its PAX and GNU headers give it different link targets",
        }),
        (pax, gnu) => Ok(pax.or(gnu)),
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&b| b == 0).next().unwrap_or_default()
}

/// The beginning of something that is no archive, for a message.
fn first_bytes(bytes: &[u8]) -> String {
    let first = &bytes[..bytes.len().min(16)];
    if first.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) {
        return format!("{:?}", String::from_utf8_lossy(first));
    }
    let hex: Vec<String> = first.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("bytes {}", hex.join(" "))
}

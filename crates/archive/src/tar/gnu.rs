//! Writes an archive as GNU tar does by itself: `--format=gnu`, with numeric owners, byte for byte.
//!
//! For whoever promises the bytes of an archive that GNU tar made. What that format has no place for is
//! lost as it is there: extended attributes, and the part of a time below the second. Holes are written as zeros.

use std::io::{Read, Write};

use bedplate_tree::{Entry, EntryKind, Metadata, TreePath};

use super::header::{MAX_OCTAL_8, MAX_OCTAL_12, NAME_FIELD, put_checksum, put_octal};
use super::limits::MAX_LINK_TARGET;
use super::writer::{WriteError, Writer, archived_name, refused};
use super::{BLOCK, padding};

/// GNU tar pads an archive to whole records of 20 blocks.
const RECORD: u64 = 20 * BLOCK as u64;

/// The name of the entry that holds a long name.
const LONG_LINK: &[u8] = b"././@LongLink";

/// Writes entries one after the other. The order of entries is the caller's.
#[derive(Debug)]
pub struct GnuWriter<W> {
    inner: Writer<W>,
}

impl<W: Write> GnuWriter<W> {
    /// Writes to `sink`, which needs no buffer.
    pub fn new(sink: W) -> Self {
        Self { inner: Writer::new(sink) }
    }

    /// Writes an entry. `body` gives the content of a file, holes as zeros, and is not read for anything else.
    ///
    /// # Errors
    /// [`WriteError`]: among them a body that is not exactly as long as the entry says, and sockets.
    pub fn append(&mut self, path: &TreePath, entry: &Entry, body: impl Read) -> Result<(), WriteError> {
        let name = archived_name(path, entry.is_directory());
        let metadata = &entry.metadata;
        match &entry.kind {
            EntryKind::File(content) => {
                self.header(&name, b'0', metadata, content.size(), b"", None)?;
                self.inner.body(path, content.size(), body)
            }
            EntryKind::Directory => self.header(&name, b'5', metadata, 0, b"", None),
            EntryKind::Symlink(target)
                if target.is_empty() || target.contains(&0) || target.len() > MAX_LINK_TARGET =>
            {
                Err(refused(path, "its target is empty, longer than 4095 bytes, or has a NUL byte"))
            }
            EntryKind::Symlink(target) => self.header(&name, b'2', metadata, 0, target, None),
            &EntryKind::CharDevice { major, minor } => self.header(&name, b'3', metadata, 0, b"", Some((major, minor))),
            &EntryKind::BlockDevice { major, minor } => {
                self.header(&name, b'4', metadata, 0, b"", Some((major, minor)))
            }
            EntryKind::Fifo => self.header(&name, b'6', metadata, 0, b"", None),
            EntryKind::Socket => Err(refused(path, "tar has no sockets")),
        }
    }

    /// Writes another name of the file that stands as `target` in the archive; `metadata` is what that file has.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn append_link(&mut self, path: &TreePath, target: &[u8], metadata: &Metadata) -> Result<(), WriteError> {
        self.header(&archived_name(path, false), b'1', metadata, 0, target, None)
    }

    /// Ends the archive; returns what took it, and its length in bytes. The sink is not flushed.
    ///
    /// # Errors
    /// [`WriteError::Sink`].
    pub fn finish(mut self) -> Result<(W, u64), WriteError> {
        self.inner.zeros(2 * BLOCK as u64)?;
        while !self.inner.position().is_multiple_of(RECORD) {
            self.inner.zeros(BLOCK as u64)?;
        }
        self.inner.end()
    }

    fn header(
        &mut self,
        name: &[u8],
        flag: u8,
        metadata: &Metadata,
        size: u64,
        link: &[u8],
        device: Option<(u32, u32)>,
    ) -> Result<(), WriteError> {
        // GNU tar writes the target first.
        for (long, flag) in [(link, b'K'), (name, b'L')] {
            if long.len() > NAME_FIELD {
                self.long(long, flag)?;
            }
        }
        let mut block = [0; BLOCK];
        let cut = &name[..name.len().min(NAME_FIELD)];
        block[..cut.len()].copy_from_slice(cut);
        put_octal(&mut block[100..108], u64::from(metadata.mode & 0o7777));
        put_number(&mut block[108..116], i64::from(metadata.uid), MAX_OCTAL_8);
        put_number(&mut block[116..124], i64::from(metadata.gid), MAX_OCTAL_8);
        put_number(&mut block[124..136], i64::try_from(size).unwrap_or(i64::MAX), MAX_OCTAL_12);
        put_number(&mut block[136..148], metadata.mtime.seconds, MAX_OCTAL_12);
        block[156] = flag;
        let cut = &link[..link.len().min(NAME_FIELD)];
        block[157..157 + cut.len()].copy_from_slice(cut);
        block[257..265].copy_from_slice(b"ustar  \0");
        if let Some((major, minor)) = device {
            put_number(&mut block[329..337], i64::from(major), MAX_OCTAL_8);
            put_number(&mut block[337..345], i64::from(minor), MAX_OCTAL_8);
        }
        put_checksum(&mut block);
        self.inner.put(&block)
    }

    fn long(&mut self, name: &[u8], flag: u8) -> Result<(), WriteError> {
        let mut block = [0; BLOCK];
        block[..LONG_LINK.len()].copy_from_slice(LONG_LINK);
        for (at, value) in [(100..108, 0o644), (108..116, 0), (116..124, 0), (136..148, 0)] {
            put_octal(&mut block[at], value);
        }
        let size = name.len() as u64 + 1;
        put_octal(&mut block[124..136], size);
        block[156] = flag;
        block[257..265].copy_from_slice(b"ustar  \0");
        put_checksum(&mut block);
        self.inner.put(&block)?;
        self.inner.put(name)?;
        self.inner.zeros(1)?;
        self.inner.zeros(padding(size))
    }
}

/// Writes a number in octal where it fits, else in base 256: two's complement behind a first byte of 0x80, or of 0xff
/// for a negative one.
fn put_number(field: &mut [u8], value: i64, max_octal: u64) {
    match u64::try_from(value) {
        Ok(octal) if octal <= max_octal => put_octal(field, octal),
        _ => {
            let bytes = value.to_be_bytes();
            let fill = if value < 0 { 0xff } else { 0 };
            field.fill(fill);
            // A field of 8 bytes has room for 7 behind its mark: owners and devices have 32 bits.
            let take = bytes.len().min(field.len() - 1);
            let at = field.len() - take;
            field[at..].copy_from_slice(&bytes[bytes.len() - take..]);
            field[0] = if value < 0 { 0xff } else { 0x80 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reader;
    use bedplate_tree::{Content, Timestamp};

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn numbers_beyond_octal_are_in_base_256() {
        let cases: [(i64, &[u8]); 4] = [
            (0o7777777, b"7777777\0"),
            (0o10000000, &[0x80, 0, 0, 0, 0, 0x20, 0, 0]),
            (4_294_967_294, &[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe]),
            (-1, &[0xff; 8]),
        ];
        for (value, expected) in cases {
            let mut field = [0; 8];
            put_number(&mut field, value, MAX_OCTAL_8);
            assert_eq!(field, expected, "{value}");
        }
    }

    #[test]
    fn our_reader_reads_it() {
        let mut writer = GnuWriter::new(Vec::new());
        let metadata = Metadata {
            mode: 0o640,
            uid: 3_000_000,
            mtime: Timestamp { seconds: -5, nanoseconds: 7 },
            ..Metadata::default()
        };
        let long = "n".repeat(150);
        let entry = Entry::file(Content::from_bytes(*b"abc"), metadata.clone());
        writer.append(&path(&long), &entry, &b"abc"[..]).unwrap();
        writer.append_link(&path("link"), long.as_bytes(), &metadata).unwrap();
        let (bytes, size) = writer.finish().unwrap();
        assert_eq!((size, bytes.len()), (10240, 10240));
        let mut reader = Reader::new(&bytes[..]);
        let member = reader.next_entry().unwrap().unwrap();
        assert_eq!((member.path, member.metadata.uid), (path(&long), 3_000_000));
        assert_eq!(member.metadata.mtime, Timestamp::from_seconds(-5));
        let member = reader.next_entry().unwrap().unwrap();
        assert_eq!(member.kind, crate::MemberKind::HardLink(path(&long)));
    }
}

//! Where the bytes of files are found: layer streams, host directories, memory.
//!
//! A [`Content`] says which part of which source holds a file's bytes; a [`Contents`]
//! opens sources. All reads are by position (`pread`), bounded by the content's extents, and share no file offset,
//! so that one open stream serves many threads.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use bedplate_oci::Digest;
use bedplate_sys::CallError;
use bedplate_sys::file::{Stat, Time};
use bedplate_sys::rooted::{Resolve, Root};
use bedplate_tree::{Content, Source};
use thiserror::Error;

/// How many bytes are compared or copied at once.
pub(crate) const BUFFER: usize = 256 * 1024;

/// Why the bytes of a file cannot be had.
#[derive(Debug, Error)]
pub enum ContentError {
    /// Nobody knows the layer stream that a file is in.
    #[error("the bytes of layer {diff_id} are not at hand")]
    UnknownStream {
        /// The layer's diff ID.
        diff_id: Digest,
    },
    /// The stream of a layer cannot be opened.
    #[error("cannot open the stream of layer {diff_id}")]
    OpenStream {
        /// The layer's diff ID.
        diff_id: Digest,
        /// What whoever keeps the streams says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A content names a directory that was not handed in.
    #[error("a file lies in directory number {number}, which is not open")]
    UnknownDirectory {
        /// The number.
        number: u32,
    },
    /// A host file cannot be opened.
    #[error("cannot open file {path}")]
    OpenFile {
        /// The path below its directory, quoted.
        path: String,
        /// The call that failed.
        #[source]
        source: CallError,
    },
    /// A host file is not what it was when its directory was read.
    #[error("file {path} changed while it was being read")]
    Changed {
        /// The path below its directory, quoted.
        path: String,
    },
    /// Bytes cannot be read.
    #[error("cannot read {place} at byte {offset}")]
    Read {
        /// What is read: a layer or a file.
        place: String,
        /// Where, in bytes.
        offset: u64,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The source ends before the content does.
    #[error("{place} ends at byte {offset}, {missing} bytes too early")]
    Short {
        /// What is read: a layer or a file.
        place: String,
        /// Where it ended, in bytes.
        offset: u64,
        /// How many bytes are missing.
        missing: u64,
    },
}

impl From<ContentError> for io::Error {
    fn from(error: ContentError) -> Self {
        let kind = match &error {
            ContentError::Short { .. } => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// What tells whether a host file is still the one that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of the inode.
    pub ctime: Time,
}

impl From<&Stat> for Stamp {
    fn from(stat: &Stat) -> Self {
        Self { device: stat.dev, inode: stat.ino, size: stat.size, mtime: stat.mtime, ctime: stat.ctime }
    }
}

/// Stamps of the regular files below a directory, by path.
pub type Stamps = HashMap<Arc<[u8]>, Stamp>;

/// An open source of bytes.
#[derive(Debug, Clone)]
pub struct Place {
    bytes: Bytes,
    watch: Option<Arc<Watch>>,
}

#[derive(Debug, Clone)]
enum Bytes {
    File(Arc<File>),
    Memory(Arc<[u8]>),
}

#[derive(Debug)]
struct Watch {
    path: Arc<[u8]>,
    stamp: Stamp,
}

impl Place {
    /// A file whose bytes never change: a blob, a layer stream.
    #[must_use]
    pub fn file(file: Arc<File>) -> Self {
        Self { bytes: Bytes::File(file), watch: None }
    }

    /// Bytes at hand.
    #[must_use]
    pub fn memory(bytes: Arc<[u8]>) -> Self {
        Self { bytes: Bytes::Memory(bytes), watch: None }
    }

    /// The file, where bytes may be copied from it by the kernel.
    #[must_use]
    pub fn as_file(&self) -> Option<&File> {
        match &self.bytes {
            Bytes::File(file) => Some(file),
            Bytes::Memory(_) => None,
        }
    }

    /// Reads bytes at `offset`; 0 at the end.
    ///
    /// # Errors
    /// What `pread(2)` answers.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.bytes {
            Bytes::File(file) => loop {
                match file.read_at(buffer, offset) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => return other,
                }
            },
            Bytes::Memory(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                Ok(count)
            }
        }
    }

    /// Tells whether a host file is still as it was when its directory was read; to be called after its last byte.
    ///
    /// # Errors
    /// [`ContentError::Changed`].
    pub fn check_unchanged(&self) -> Result<(), ContentError> {
        let (Some(watch), Bytes::File(file)) = (&self.watch, &self.bytes) else { return Ok(()) };
        let changed = || ContentError::Changed { path: quoted(&watch.path) };
        let stat = bedplate_sys::file::stat(&**file).map_err(|_| changed())?;
        if Stamp::from(&stat) != watch.stamp {
            return Err(changed());
        }
        Ok(())
    }

    /// Reads some of the `left` bytes of a run at `offset`; at least one.
    pub(crate) fn read(
        &self,
        source: &Source,
        buffer: &mut [u8],
        offset: u64,
        left: u64,
    ) -> Result<usize, ContentError> {
        match self.read_at(buffer, offset) {
            Ok(0) => {
                // A host file that shrank is rather said to have changed.
                self.check_unchanged()?;
                Err(ContentError::Short { place: name_of(source), offset, missing: left })
            }
            Ok(count) => Ok(count),
            Err(error) => Err(ContentError::Read { place: name_of(source), offset, source: error }),
        }
    }
}

fn name_of(source: &Source) -> String {
    match source {
        Source::Stream(digest) => format!("layer {}", Digest::from_bytes(*digest)),
        Source::File { path, .. } => format!("file {}", quoted(path)),
        Source::Memory(_) => "a generated file".into(),
    }
}

fn quoted(path: &[u8]) -> String {
    bedplate_sys::error::quoted(path)
}

/// Opens what contents name.
pub trait Contents: Sync {
    /// Opens a source. Cheap for one that was opened before.
    ///
    /// # Errors
    /// [`ContentError`].
    fn locate(&self, source: &Source) -> Result<Place, ContentError>;

    /// Opens a file's bytes: exactly its size, holes as zeros. A read error holds a [`ContentError`].
    ///
    /// # Errors
    /// [`ContentError`].
    fn open<'a>(&self, content: &'a Content) -> Result<ContentReader<'a>, ContentError> {
        Ok(ContentReader { content, place: self.locate(content.source())?, at: 0, extent: 0, checked: false })
    }

    /// Tells whether two files hold the same bytes, reading them side by side where nothing else tells.
    ///
    /// # Errors
    /// [`ContentError`].
    fn same(&self, a: &Content, b: &Content) -> Result<bool, ContentError> {
        if let Some(same) = a.same_as(b) {
            return Ok(same);
        }
        let (mut a, mut b) = (self.open(a)?, self.open(b)?);
        let (mut left, mut right) = (vec![0; BUFFER], vec![0; BUFFER]);
        loop {
            let (count, other) = (a.fill(&mut left)?, b.fill(&mut right)?);
            if left[..count] != right[..other] {
                return Ok(false);
            }
            if count == 0 {
                return Ok(true);
            }
        }
    }
}

/// The bytes of one file, in order; holes are zeros. See [`Contents::open`].
#[derive(Debug)]
pub struct ContentReader<'a> {
    content: &'a Content,
    place: Place,
    at: u64,
    extent: usize,
    checked: bool,
}

impl ContentReader<'_> {
    /// Fills `buffer` as far as there are bytes; fewer than its length only at the end.
    ///
    /// # Errors
    /// [`ContentError`].
    pub fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, ContentError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.some(&mut buffer[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }

    /// Goes on reading at `offset`; past the end there is nothing to read.
    pub fn seek(&mut self, offset: u64) {
        self.at = offset.min(self.content.size());
        self.extent = 0;
    }

    fn some(&mut self, buffer: &mut [u8]) -> Result<usize, ContentError> {
        let left = self.content.size() - self.at;
        if left == 0 {
            if !self.checked {
                self.place.check_unchanged()?;
                self.checked = true;
            }
            return Ok(0);
        }
        let extents = self.content.extents();
        while extents.get(self.extent).is_some_and(|extent| extent.logical + extent.length <= self.at) {
            self.extent += 1;
        }
        let clip = |length: u64, buffer: &mut [u8]| usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
        let count = match extents.get(self.extent) {
            Some(extent) if extent.logical <= self.at => {
                let inside = self.at - extent.logical;
                let count = clip(extent.length - inside, buffer);
                let offset = extent.physical + inside;
                self.place.read(self.content.source(), &mut buffer[..count], offset, extent.length - inside)?
            }
            hole => {
                let end = hole.map_or(self.content.size(), |extent| extent.logical);
                let count = clip(end - self.at, buffer);
                buffer[..count].fill(0);
                count
            }
        };
        self.at += count as u64;
        Ok(count)
    }
}

impl Read for ContentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        Ok(self.some(buffer)?)
    }
}

type Resolver<'a> =
    dyn Fn(&Digest) -> Result<Option<File>, Box<dyn std::error::Error + Send + Sync>> + Send + Sync + 'a;

/// Sources handed in one by one: layer streams by a function, host directories by number, memory always.
#[derive(Default)]
pub struct ContentSources<'a> {
    streams: Option<Box<Resolver<'a>>>,
    open: Mutex<HashMap<Digest, Arc<File>>>,
    directories: HashMap<u32, (Root, Stamps)>,
    next: u32,
}

impl std::fmt::Debug for ContentSources<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContentSources")
            .field("streams", &self.streams.is_some())
            .field("directories", &self.directories.keys())
            .finish_non_exhaustive()
    }
}

impl<'a> ContentSources<'a> {
    /// Nothing but memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds layer streams: `resolver` opens the *uncompressed* stream of a diff ID, or returns `None` where it has none.
    /// It is asked once for each.
    #[must_use]
    pub fn with_streams(
        mut self,
        resolver: impl Fn(&Digest) -> Result<Option<File>, Box<dyn std::error::Error + Send + Sync>> + Send + Sync + 'a,
    ) -> Self {
        self.streams = Some(Box::new(resolver));
        self
    }

    /// Adds a host directory and returns the number by which contents name it. A file without a stamp is read as it is.
    pub fn add_directory(&mut self, root: Root, stamps: Stamps) -> u32 {
        let number = self.reserve();
        self.insert_directory(number, root, stamps);
        number
    }

    /// What told a host file apart when its directory was read; `None` for anything else.
    #[must_use]
    pub fn stamp(&self, source: &Source) -> Option<Stamp> {
        let Source::File { root, path } = source else { return None };
        self.directories.get(root)?.1.get(path).copied()
    }

    /// A number for a directory that is being read.
    pub(crate) fn reserve(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    pub(crate) fn insert_directory(&mut self, number: u32, root: Root, stamps: Stamps) {
        self.directories.insert(number, (root, stamps));
    }
}

impl Contents for ContentSources<'_> {
    fn locate(&self, source: &Source) -> Result<Place, ContentError> {
        match source {
            Source::Memory(bytes) => Ok(Place::memory(bytes.clone())),
            Source::Stream(digest) => {
                let diff_id = Digest::from_bytes(*digest);
                // A panic elsewhere cannot leave the map half changed.
                let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(file) = open.get(&diff_id) {
                    return Ok(Place::file(file.clone()));
                }
                let resolver = self.streams.as_ref().ok_or(ContentError::UnknownStream { diff_id })?;
                let file = resolver(&diff_id)
                    .map_err(|source| ContentError::OpenStream { diff_id, source })?
                    .ok_or(ContentError::UnknownStream { diff_id })?;
                let file = Arc::new(file);
                open.insert(diff_id, file.clone());
                Ok(Place::file(file))
            }
            Source::File { root: number, path } => {
                let (root, stamps) =
                    self.directories.get(number).ok_or(ContentError::UnknownDirectory { number: *number })?;
                let file = root
                    .open_file(&**path, Resolve::NoSymlinks)
                    .map_err(|source| ContentError::OpenFile { path: quoted(path), source })?;
                let watch = stamps.get(path).map(|stamp| Arc::new(Watch { path: path.clone(), stamp: *stamp }));
                let place = Place { bytes: Bytes::File(Arc::new(file)), watch };
                place.check_unchanged()?;
                Ok(place)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedplate_tree::Extent;

    fn sources() -> (tempfile::TempDir, ContentSources<'static>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("stream"), b"0123456789").unwrap();
        std::fs::write(dir.path().join("file"), b"abc").unwrap();
        let stream = dir.path().join("stream");
        let mut sources = ContentSources::new().with_streams(move |digest| {
            if *digest == Digest::from_bytes([1; 32]) { Ok(Some(File::open(&stream)?)) } else { Ok(None) }
        });
        let root = Root::open(dir.path()).unwrap();
        let stat = root.handle().stat("file").unwrap();
        let stamps = Stamps::from([(Arc::from(&b"file"[..]), Stamp::from(&stat))]);
        assert_eq!(sources.add_directory(root, stamps), 1);
        (dir, sources)
    }

    fn read(contents: &impl Contents, content: &Content) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let mut reader = contents.open(content).map_err(|error| error.to_string())?;
        reader.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    #[test]
    fn bytes_come_from_their_places() {
        let (_dir, sources) = sources();
        let stream = |byte| Source::Stream([byte; 32]);
        let file = |root, path: &str| Source::File { root, path: path.as_bytes().into() };
        let extent = |logical, physical, length| Extent { logical, physical, length };
        let cases: Vec<(Content, Result<&[u8], &str>)> = vec![
            (Content::empty(), Ok(b"")),
            (Content::from_bytes(*b"xyz"), Ok(b"xyz")),
            (Content::dense(stream(1), 2, 3), Ok(b"234")),
            (Content::sparse(stream(1), 6, vec![extent(1, 8, 2), extent(4, 0, 1)]).unwrap(), Ok(b"\x0089\x000\x00")),
            (Content::sparse(stream(1), 3, vec![]).unwrap(), Ok(b"\0\0\0")),
            (Content::dense(stream(1), 8, 3), Err("ends at byte 10, 1 bytes too early")),
            (Content::dense(stream(2), 0, 3), Err("not at hand")),
            (Content::dense(file(1, "file"), 0, 3), Ok(b"abc")),
            (Content::dense(file(8, "file"), 0, 3), Err("directory number 8")),
            (Content::dense(file(1, "none"), 0, 3), Err("cannot open file \"none\"")),
            (Content::dense(file(1, "../file"), 0, 3), Err("cannot open file")),
        ];
        for (content, expected) in cases {
            match (read(&sources, &content), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected),
                (Err(got), Err(expected)) => assert!(got.contains(expected), "{got}"),
                (got, expected) => panic!("{got:?} for {expected:?}"),
            }
        }
    }

    #[test]
    fn a_file_that_changes_is_named() {
        let (dir, sources) = sources();
        let content = Content::dense(Source::File { root: 1, path: b"file"[..].into() }, 0, 3);
        let mut reader = sources.open(&content).unwrap();
        let mut byte = [0];
        reader.read_exact(&mut byte).unwrap();
        std::fs::write(dir.path().join("file"), b"a").unwrap();
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("\"file\" changed"), "{error}");
        // Nor is it opened any more.
        assert!(matches!(sources.open(&content), Err(ContentError::Changed { .. })));
    }

    #[test]
    fn sameness_reads_what_it_must() {
        let (_dir, sources) = sources();
        let stream = |offset, size| Content::dense(Source::Stream([1; 32]), offset, size);
        for (a, b, same) in [
            (stream(0, 3), Content::from_bytes(*b"012"), true),
            (stream(0, 3), Content::from_bytes(*b"01x"), false),
            (stream(0, 3), stream(1, 3), false),
            (Content::from_bytes(vec![0; 5]), Content::sparse(Source::Stream([9; 32]), 5, vec![]).unwrap(), false),
        ] {
            match sources.same(&a, &b) {
                Ok(found) => assert_eq!(found, same),
                Err(error) => assert!(matches!(error, ContentError::UnknownStream { .. })),
            }
        }
    }
}

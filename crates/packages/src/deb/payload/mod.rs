//! A `.deb` read in one pass: what its control member says, and where every byte of its files lies.
//!
//! ```text
//! .deb --ar--> debian-binary, control.tar.*, data.tar.*
//!                                   |             |
//!                                   |             +--decompressed--> sink (kept by who calls: one stream, named by its sha256)
//!                                   +--> Control, scripts, conffiles, ...      with an Index of what lies where in it
//! ```
//! A [`Payload`] is what is kept beside that stream: it opens in microseconds and holds all that composing a root
//! and writing dpkg's database need, but for the bytes of files. Spec: deb(5).

mod ar;
mod cached;
mod conffiles;
mod control;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read, Write};

use bedplate_archive::Decoder;
use bedplate_archive::codec::Expansion;
use bedplate_archive::hash::StreamHasher;
use bedplate_archive::index::{Index, IndexBuilder, IndexEntry, Indexed};
use bedplate_archive::tar::{Limits, MemberKind, Reader, Tap, TarError};
use bedplate_tree::{Action, Change, Delta, EntryKind, MAX_NAME, Metadata, TreePath};
use md5::{Digest, Md5 as Md5Hasher};
use thiserror::Error;

pub use cached::{CachedError, VERSION as CACHED_VERSION};
pub use conffiles::{Conffile, ConffilesError};
pub use control::{Control, ControlFileError, MultiArch};
pub(crate) use control::{is_architecture, is_package_name};

use ar::{Ar, Member};

/// Bytes of all files of a control member together. The largest in Debian have 10 MiB of symbols.
pub const MAX_CONTROL_SIZE: u64 = 64 << 20;

/// Files of a control member. Policy names fourteen; more than this is an attack on the database's directory.
pub const MAX_CONTROL_FILES: usize = 256;

/// The longest name of a file of a control member, in bytes: dpkg's own limit.
pub const MAX_CONTROL_NAME: usize = 100;

/// Entries of a data member. The largest packages have 100,000 (game data, documentation).
pub const MAX_ENTRIES: u64 = 2 << 20;

/// Uncompressed bytes of a data member: 64 GiB; ar itself cannot hold 10 GB compressed ones.
pub const MAX_DATA_SIZE: u64 = 64 << 30;

/// Bytes of a `debian-binary` member: it is one line, and dpkg looks at no more than this.
const MAX_FORMAT: u64 = 40;

/// Why a `.deb` cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DebError {
    /// The source failed.
    #[error("cannot read the package at byte {offset}")]
    Read {
        /// How many bytes were read before.
        offset: u64,
        /// The source's error.
        #[source]
        source: io::Error,
    },
    /// Something else than a `.deb`.
    #[error("not a Debian package: it begins with {found:?}")]
    NotDeb {
        /// Its first bytes.
        found: String,
    },
    /// The header of a member is not one.
    #[error("member header at byte {offset} is damaged: {reason}")]
    Header {
        /// Where the header begins in the package.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The package ends before a member does.
    #[error("package is truncated: it ends at byte {end}, inside member {member:?}")]
    Truncated {
        /// The member.
        member: String,
        /// The length of the package.
        end: u64,
    },
    /// Another member than the one that must come here.
    #[error("found {found} at byte {offset}, expected member {expected}")]
    Unexpected {
        /// What deb(5) wants here.
        expected: &'static str,
        /// What is here.
        found: String,
        /// Where its header begins in the package.
        offset: u64,
    },
    /// A format that is not 2.x.
    #[error("package format {found:?} is not supported: expected 2.x")]
    Format {
        /// What `debian-binary` says.
        found: String,
    },
    /// A decoder could not have its memory.
    #[error("cannot decompress member {member:?}")]
    Codec {
        /// The member.
        member: String,
        /// What it says.
        #[source]
        source: io::Error,
    },
    /// A member is no good archive, or its compression is damaged.
    #[error("member {member:?} at byte {offset} of the package")]
    Tar {
        /// The member.
        member: String,
        /// Where its content begins in the package.
        offset: u64,
        /// What is wrong with it.
        #[source]
        source: TarError,
    },
    /// A file with holes, which dpkg does not unpack either: a small package could name any number of zeros.
    #[error("file \"{path}\" of member {member:?} has holes: a package holds all of its bytes")]
    Sparse {
        /// The member.
        member: String,
        /// The file.
        path: TreePath,
    },
    /// Something in the control member that does not belong there.
    #[error("entry {name:?} of member {member:?} {reason}")]
    ControlEntry {
        /// The member.
        member: String,
        /// The entry.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A control member without `control`.
    #[error("member {member:?} holds no file \"control\"")]
    NoControl {
        /// The member.
        member: String,
    },
    /// The control file.
    #[error("control file of the package")]
    Control {
        /// What is wrong with it.
        #[source]
        source: ControlFileError,
    },
    /// The list of configuration files.
    #[error("list of configuration files of the package")]
    Conffiles {
        /// What is wrong with it.
        #[source]
        source: ConffilesError,
    },
}

/// The MD5 sum of some bytes, shown as 32 hexadecimal digits. What dpkg compares configuration files by; no proof of anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Md5([u8; 16]);

impl Md5 {
    /// The sum of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Md5Hasher::digest(bytes).into())
    }

    /// A sum from its 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A sum from its 32 hexadecimal digits of either case; `None` for anything else.
    #[must_use]
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        if hex.len() != 32 {
            return None;
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Some(Self(bytes))
    }
}

impl std::fmt::Display for Md5 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Md5 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// A file of a control member: a maintainer script, `triggers`, `templates`, ...
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlFile {
    /// Its bytes.
    pub content: Box<[u8]>,
    /// Its attributes as packed, which dpkg keeps in its database.
    pub metadata: Metadata,
}

/// Who an entry belongs to by name; empty where dpkg looks up nothing that could differ from the number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnerNames {
    /// The user.
    pub user: Box<[u8]>,
    /// The group.
    pub group: Box<[u8]>,
}

impl OwnerNames {
    /// Of the names as archived, those that are not root's own; `None` where both are.
    fn of(names: (&[u8], &[u8]), metadata: &Metadata) -> Option<Self> {
        let kept = |name: &[u8], id: u32| if name == b"root" && id == 0 { Box::default() } else { name.into() };
        let (user, group): (Box<[u8]>, Box<[u8]>) = (kept(names.0, metadata.uid), kept(names.1, metadata.gid));
        (!user.is_empty() || !group.is_empty()).then_some(Self { user, group })
    }
}

/// A package taken apart: all but the bytes of its files, which lie in the stream that [`Payload::index`] is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    control: Control,
    files: BTreeMap<Box<str>, ControlFile>,
    conffiles: Vec<Conffile>,
    generated_sums: Option<Box<[u8]>>,
    /// By where an entry's header begins: few entries have any.
    owner_names: BTreeMap<u64, OwnerNames>,
    index: Index,
}

impl Payload {
    /// Reads a `.deb` to the end of its data member, once, and writes the uncompressed data member to `sink` in pieces
    /// of up to 256 KiB.
    ///
    /// Nothing is verified here: `source` gives bytes whose digest the caller knows, or checks at the end.
    ///
    /// # Errors
    /// [`DebError`]. What the sink got by then is of no use.
    pub fn read(source: impl Read, sink: impl Write) -> Result<Self, DebError> {
        let mut ar = Ar::new(source)?;
        read_format(&mut ar)?;
        let Some(member) = ar.next_wanted()? else { return Err(missing(&ar, "control.tar")) };
        if !is_member(&member.name, "control.tar") {
            return Err(unexpected(&member, "control.tar"));
        }
        let (control, files) = read_control(&mut ar, &member)?;
        let control = Control::parse(control).map_err(|source| DebError::Control { source })?;
        if let Some(name) = unfit(&control, &files) {
            let (member, name) = (member.name, name.to_owned());
            return Err(DebError::ControlEntry { member, name, reason: "is too long beside the name of its package" });
        }
        let mut conffiles = match files.get("conffiles") {
            Some(file) => conffiles::parse(&file.content).map_err(|source| DebError::Conffiles { source })?,
            None => Vec::new(),
        };
        let Some(member) = ar.next_wanted()? else { return Err(missing(&ar, "data.tar")) };
        if !is_member(&member.name, "data.tar") {
            return Err(unexpected(&member, "data.tar"));
        }
        let Data { index, sums, owner_names } =
            read_data(&mut ar, &member, sink, &mut conffiles, !files.contains_key("md5sums"))?;
        Ok(Self { control, files, conffiles, generated_sums: sums, owner_names, index })
    }

    /// What the control file says.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The files of the control member by name, but for `control` itself.
    #[must_use]
    pub fn control_files(&self) -> &BTreeMap<Box<str>, ControlFile> {
        &self.files
    }

    /// The content of one file of the control member: `preinst`, `triggers`, ...
    #[must_use]
    pub fn control_file(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(|file| &*file.content)
    }

    /// The configuration files in the order of the package, with the sums of their content.
    #[must_use]
    pub fn conffiles(&self) -> &[Conffile] {
        &self.conffiles
    }

    /// The `md5sums` of the package, or what dpkg would make of its files where it has none.
    #[must_use]
    pub fn md5sums(&self) -> &[u8] {
        self.control_file("md5sums").or(self.generated_sums.as_deref()).unwrap_or_default()
    }

    /// The index of the uncompressed data member.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Who an entry of the index belongs to by name, where that may be someone else than its numbers say.
    #[must_use]
    pub fn owner_names(&self, entry: &IndexEntry) -> Option<&OwnerNames> {
        self.owner_names.get(&entry.header_offset)
    }

    /// The files of the package as changes, in the order of its archive, the bytes in the stream of [`Payload::index`].
    ///
    /// Names that would be whiteouts in a layer are files like any other here. For packages one upon the other see
    /// [`Composition`](super::compose::Composition): it knows whose file wins.
    #[must_use]
    pub fn delta(&self) -> Delta {
        let changes = self.index.entries().iter().map(|entry| {
            let action = match &entry.indexed {
                Indexed::Entry(entry) => Action::Put(entry.clone()),
                Indexed::HardLink(target) => Action::Link { target: target.clone() },
            };
            Change { path: entry.path.clone(), action }
        });
        Delta { changes: changes.collect() }
    }

    /// The entries in the order in which dpkg unpacks them: that of the archive, symbolic links after all others.
    ///
    /// No file of a package can so be led elsewhere by a link of the same package.
    pub fn entries(&self) -> impl Iterator<Item = &IndexEntry> {
        let links: HashSet<&TreePath> =
            self.index.entries().iter().filter(is_symlink).map(|entry| &entry.path).collect();
        let late = move |entry: &&IndexEntry| match &entry.indexed {
            Indexed::Entry(_) => is_symlink(entry),
            // Another name of a symbolic link comes after it.
            Indexed::HardLink(target) => links.contains(target),
        };
        let all = self.index.entries().iter();
        let (late, first): (Vec<_>, Vec<_>) = all.partition(late);
        first.into_iter().chain(late)
    }

    /// The names as dpkg lists them, in the order of unpacking: `/.`, `/usr`, `/usr/bin/x`; a repeated one once.
    #[must_use]
    pub fn list(&self) -> Vec<&TreePath> {
        let mut seen = HashSet::new();
        self.entries().map(|entry| &entry.path).filter(|path| seen.insert(*path)).collect()
    }

    /// The newest time of any file, in seconds; 0 without files. What the epoch of an image is made of.
    #[must_use]
    pub fn newest(&self) -> i64 {
        self.index.newest().map_or(0, |time| time.seconds)
    }
}

fn is_symlink(entry: &&IndexEntry) -> bool {
    matches!(&entry.indexed, Indexed::Entry(entry) if matches!(entry.kind, EntryKind::Symlink(_)))
}

fn missing<R>(ar: &Ar<R>, expected: &'static str) -> DebError {
    DebError::Unexpected { expected, found: "the end".to_owned(), offset: ar.position() }
}

fn unexpected(member: &Member, expected: &'static str) -> DebError {
    DebError::Unexpected { expected, found: format!("member {:?}", member.name), offset: member.header_offset }
}

/// Whether `name` is `stem` with the suffix of a compression that deb(5) knows, or none.
fn is_member(name: &str, stem: &str) -> bool {
    let suffix = name.strip_prefix(stem);
    suffix.is_some_and(|suffix| matches!(suffix, "" | ".gz" | ".xz" | ".zst" | ".bz2" | ".lzma"))
}

fn read_format<R: Read>(ar: &mut Ar<R>) -> Result<(), DebError> {
    let Some(member) = ar.next()? else { return Err(missing(ar, "debian-binary")) };
    if member.name != "debian-binary" {
        return Err(unexpected(&member, "debian-binary"));
    }
    let mut text = Vec::new();
    let mut body = ar.body(&member);
    let read = (&mut body).take(MAX_FORMAT).read_to_end(&mut text);
    read.map_err(|source| ar.explain(&member, source))?;
    let line = text.split(|&b| b == b'\n').next().unwrap_or_default();
    // Any minor version: those add members that may be ignored.
    let minor = line.strip_prefix(b"2.").filter(|minor| !minor.is_empty() && minor.iter().all(u8::is_ascii_digit));
    if minor.is_none() {
        return Err(DebError::Format { found: String::from_utf8_lossy(line).into_owned() });
    }
    Ok(())
}

/// Opens the content of a member, decompressed: by its first bytes, since labels may be wrong; `.lzma` alone has none.
fn decode<'a, R: Read>(ar: &'a mut Ar<R>, member: &Member, output: u64) -> Result<Box<dyn Read + 'a>, DebError> {
    let codec = |source| DebError::Codec { member: member.name.clone(), source };
    let expansion = Expansion { output, ..Expansion::default() };
    let body = ar.body(member);
    if member.name.ends_with(".lzma") {
        let stream = liblzma::stream::Stream::new_lzma_decoder(bedplate_archive::codec::XZ_MEMORY);
        let stream = stream.map_err(|error| codec(io::Error::other(error)))?;
        let body = io::BufReader::with_capacity(256 << 10, body);
        // The size of the output is bounded by what reads it: `Bounded` does as the decoder of other formats does.
        return Ok(Box::new(Bounded { inner: liblzma::bufread::XzDecoder::new_stream(body, stream), left: output }));
    }
    Ok(Box::new(Decoder::new(body).map_err(codec)?.expansion(expansion)))
}

/// Fails beyond so many bytes.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(target)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "lzma stream is larger than a package may be"))?;
        Ok(count)
    }
}

type ControlFiles = BTreeMap<Box<str>, ControlFile>;

fn read_control<R: Read>(ar: &mut Ar<R>, member: &Member) -> Result<(Box<[u8]>, ControlFiles), DebError> {
    let offset = member.offset;
    let mut control = None;
    let mut files = BTreeMap::new();
    let bad = |name: &[u8], reason| DebError::ControlEntry {
        member: member.name.clone(),
        name: String::from_utf8_lossy(name).into_owned(),
        reason,
    };
    let limits = Limits { entries: MAX_CONTROL_FILES as u64, ..Limits::default() };
    let mut failed = None;
    {
        let mut reader = Reader::new(decode(ar, member, MAX_CONTROL_SIZE)?).limits(limits);
        loop {
            let entry = match reader.next_entry() {
                Ok(Some(entry)) => entry,
                Ok(None) => match reader.finish() {
                    Ok(_) => break,
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                },
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            };
            match entry.kind {
                MemberKind::Directory if entry.path.is_root() => continue,
                MemberKind::File { .. } => {}
                _ => return Err(bad(&entry.name, "is not a regular file")),
            }
            let name = entry.path.as_bytes();
            let known =
                name.len() <= MAX_CONTROL_NAME && name.iter().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(b));
            if !known {
                return Err(bad(&entry.name, "has a name that no file of the database can have"));
            }
            if has_holes(&entry.kind) {
                return Err(DebError::Sparse { member: member.name.clone(), path: entry.path });
            }
            let mut content = Vec::new();
            if let Err(error) = reader.file(&entry).take(MAX_CONTROL_SIZE).read_to_end(&mut content) {
                failed = Some(tar_error(error));
                break;
            }
            let content = content.into_boxed_slice();
            let name = String::from_utf8_lossy(name).into_owned();
            match &*name {
                "control" => control = Some(content),
                // The database's own: dpkg takes no such file from a package.
                "list" => {}
                _ => {
                    files.insert(name.into_boxed_str(), ControlFile { content, metadata: entry.metadata });
                }
            }
        }
    }
    if let Some(error) = failed {
        return Err(explain(ar, member, offset, error));
    }
    let control = control.ok_or_else(|| DebError::NoControl { member: member.name.clone() })?;
    Ok((control, files))
}

/// A file whose name in the database, `package:arch.name`, would be longer than any file system takes.
fn unfit<'a>(control: &Control, files: &'a ControlFiles) -> Option<&'a str> {
    let most = MAX_NAME.saturating_sub(control.info_name().len() + 1);
    files.keys().map(|name| &**name).find(|name| name.len() > most)
}

fn has_holes(kind: &MemberKind) -> bool {
    matches!(kind, MemberKind::File { size, extents } if extents.iter().map(|extent| extent.length).sum::<u64>() < *size)
}

/// The tar error in what the body of an entry said.
fn tar_error(error: io::Error) -> TarError {
    match error.downcast::<TarError>() {
        Ok(error) => error,
        Err(source) => TarError::Read { offset: 0, source },
    }
}

/// Puts an error where it belongs: the package's bytes, or the archive in a member.
fn explain<R>(ar: &Ar<R>, member: &Member, offset: u64, error: TarError) -> DebError {
    match error {
        TarError::Read { source, .. } if ar.failed() => ar.explain(member, source),
        source => DebError::Tar { member: member.name.clone(), offset, source },
    }
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

/// What a data member tells.
struct Data {
    index: Index,
    /// The lines of `md5sums`, where they had to be made.
    sums: Option<Box<[u8]>>,
    owner_names: BTreeMap<u64, OwnerNames>,
}

fn read_data<R: Read>(
    ar: &mut Ar<R>,
    member: &Member,
    sink: impl Write,
    conffiles: &mut [Conffile],
    sum_all: bool,
) -> Result<Data, DebError> {
    let result = {
        let source = decode(ar, member, MAX_DATA_SIZE)?;
        index_data(source, sink, conffiles, sum_all)
    };
    result.map_err(|error| match error {
        DataError::Tar(error) => explain(ar, member, member.offset, error),
        DataError::Sparse(path) => DebError::Sparse { member: member.name.clone(), path },
    })
}

/// What is wrong in a data member, before it is known where that is.
enum DataError {
    Tar(TarError),
    Sparse(TreePath),
}

impl From<TarError> for DataError {
    fn from(error: TarError) -> Self {
        Self::Tar(error)
    }
}

fn index_data(
    source: impl Read,
    sink: impl Write,
    conffiles: &mut [Conffile],
    sum_all: bool,
) -> Result<Data, DataError> {
    let limits = Limits { entries: MAX_ENTRIES, ..Limits::default() };
    let pass = Pass { hasher: StreamHasher::new(), sink };
    let mut reader = Reader::with_tap(source, pass).limits(limits);
    let mut builder = IndexBuilder::new();
    let mut owner_names = BTreeMap::new();
    let mut sums = Vec::new();
    let mut put_sum = |sum: Md5, path: &TreePath| {
        sums.extend_from_slice(sum.to_string().as_bytes());
        sums.extend_from_slice(b"  ");
        sums.extend_from_slice(path.as_bytes());
        sums.push(b'\n');
    };
    // What hard links may lead to, where all files are summed up.
    let mut summed: HashMap<TreePath, Md5> = HashMap::new();
    let mut buffer = Vec::new();
    let by_path: HashMap<TreePath, usize> =
        conffiles.iter().enumerate().map(|(number, conffile)| (conffile.path.clone(), number)).collect();
    while let Some(entry) = reader.next_entry()? {
        if has_holes(&entry.kind) {
            return Err(DataError::Sparse(entry.path));
        }
        if !matches!(entry.kind, MemberKind::HardLink(_))
            && let Some(names) = OwnerNames::of(reader.owner_names(), &entry.metadata)
        {
            owner_names.insert(entry.header_offset, names);
        }
        let conffile = by_path.get(&entry.path).copied();
        let sum = match &entry.kind {
            MemberKind::File { .. } if conffile.is_some() || sum_all => {
                let mut hasher = Md5Hasher::new();
                buffer.resize(64 << 10, 0);
                let mut body = reader.file(&entry);
                loop {
                    match body.read(&mut buffer).map_err(tar_error)? {
                        0 => break,
                        count => hasher.update(&buffer[..count]),
                    }
                }
                Some(Md5(hasher.finalize().into()))
            }
            MemberKind::HardLink(target) => match by_path.get(target).and_then(|&number| conffiles.get(number)) {
                Some(conffile) => conffile.md5,
                None => summed.get(target).copied(),
            },
            _ => None,
        };
        if let Some(sum) = sum {
            if let Some(conffile) = conffile.and_then(|number| conffiles.get_mut(number)) {
                conffile.md5 = Some(sum);
            }
            if sum_all {
                put_sum(sum, &entry.path);
                summed.insert(entry.path.clone(), sum);
            }
        }
        builder.push(entry);
    }
    let finished = reader.finish()?;
    let index = builder.finish(finished.tap.hasher.finish(), finished.size);
    Ok(Data { index, sums: sum_all.then(|| sums.into()), owner_names })
}

//! What can be wrong with a tar archive.

use std::fmt;
use std::io;

use bedplate_tree::PathError;
use thiserror::Error;

use super::{PaxError, SparseError};

/// The most of a foreign name that a message repeats, in bytes.
const SHOWN: usize = 256;

/// Where in an archive: the entry, where its name is known, and the byte of the uncompressed stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The entry's name, lossily decoded and cut; empty where it is not known yet.
    pub entry: String,
    /// Bytes from the beginning of the uncompressed stream.
    pub offset: u64,
}

impl At {
    pub(crate) fn new(name: &[u8], offset: u64) -> Self {
        Self { entry: shown(name), offset }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry.as_str() {
            "" => write!(f, "byte {}", self.offset),
            entry => write!(f, "entry {entry:?} at byte {}", self.offset),
        }
    }
}

pub(crate) fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(SHOWN)];
    let mut text = String::from_utf8_lossy(cut).into_owned();
    if cut.len() < bytes.len() {
        text.push_str("...");
    }
    text
}

/// Why an archive could not be read. Offsets count bytes of the uncompressed stream.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TarError {
    /// The source failed.
    #[error("cannot read the archive at byte {offset}")]
    Read {
        /// How many bytes were read before.
        offset: u64,
        /// The source's error.
        #[source]
        source: io::Error,
    },
    /// What the bytes pass through on their way, a blob being written, failed.
    #[error("cannot pass on the archive at byte {offset}")]
    Pass {
        /// How many bytes were read before.
        offset: u64,
        /// The error of what takes them.
        #[source]
        source: io::Error,
    },
    /// The first block is no header, or not even a block: this is something else.
    #[error("not a tar archive: it begins with {found}")]
    NotTar {
        /// The first bytes, printable or in hexadecimal; where they are fewer than a block, their number.
        found: String,
    },
    /// The stream ends where an entry does not.
    #[error("archive is truncated: it ends at byte {end}, inside {part} ({at})")]
    Truncated {
        /// The entry that was being read.
        at: At,
        /// What of it is incomplete.
        part: &'static str,
        /// How long the stream is.
        end: u64,
    },
    /// A header whose checksum is wrong: corrupt, or no header at all.
    #[error("archive is corrupt: no valid header at {at} (checksum {stored}, computed {computed})")]
    Checksum {
        /// Where a header was expected.
        at: At,
        /// The sum in the block, as text.
        stored: String,
        /// The sum of the block.
        computed: u32,
    },
    /// A numeric field that is no number.
    #[error("{at}: {field} is not a number: {found:?}")]
    Number {
        /// The entry.
        at: At,
        /// The field.
        field: &'static str,
        /// Its bytes.
        found: String,
    },
    /// A number out of its range.
    #[error("{at}: {field} {found} is out of range (0 to {limit})")]
    Range {
        /// The entry.
        at: At,
        /// The field.
        field: &'static str,
        /// The number.
        found: i64,
        /// The largest number allowed.
        limit: u64,
    },
    /// A name that no path in a root filesystem can be.
    #[error("{at}: name is refused")]
    Name {
        /// The entry.
        at: At,
        /// Why.
        #[source]
        source: PathError,
    },
    /// A hard link whose target no path in a root filesystem can be.
    #[error("{at}: hard link target is refused")]
    HardLink {
        /// The entry.
        at: At,
        /// Why.
        #[source]
        source: PathError,
    },
    /// A link without a target, or with one that no file system can hold.
    #[error("{at}: link target is {reason}")]
    Target {
        /// The entry.
        at: At,
        /// What it is.
        reason: &'static str,
    },
    /// The root of the archive is no directory.
    #[error("{at}: the root directory is a {found}")]
    Root {
        /// The entry.
        at: At,
        /// What it is instead.
        found: &'static str,
    },
    /// A PAX extended header that breaks its rules.
    #[error("{at}: PAX extended header is refused")]
    Pax {
        /// The extended header, or its entry.
        at: At,
        /// Why.
        #[source]
        source: PaxError,
    },
    /// The map of a sparse file that breaks its rules.
    #[error("{at}: sparse file is refused")]
    Sparse {
        /// The entry.
        at: At,
        /// Why.
        #[source]
        source: SparseError,
    },
    /// Headers that belong to a next entry, in an order or number that archivers read differently.
    #[error("{at}: {reason}")]
    Ambiguous {
        /// Where.
        at: At,
        /// What is said twice, or is missing.
        reason: &'static str,
    },
    /// An incremental backup.
    #[error(
        "{at}: this is a GNU incremental archive (tar --incremental or --listed-incremental), which describes \
         changes to a directory and is no root filesystem; make it again without that option"
    )]
    Incremental {
        /// The entry.
        at: At,
    },
    /// One volume of several.
    #[error(
        "{at}: this is one volume of a GNU multi-volume archive (tar --multi-volume); \
         extract all volumes with tar and pack the result as one archive"
    )]
    MultiVolume {
        /// The entry.
        at: At,
    },
    /// A type of entry that cannot be in a root filesystem.
    #[error("{at}: entry type {flag:?} is not supported")]
    Type {
        /// The entry.
        at: At,
        /// The type flag.
        flag: char,
    },
    /// A zero block in the midst: GNU tar would drop the rest, others fail.
    #[error("archive is corrupt: a lone zero block at byte {offset}, but more follows")]
    LoneZeroBlock {
        /// Where the zero block is.
        offset: u64,
    },
    /// More than a limit allows.
    #[error("{at}: {what}: more than the limit of {limit}")]
    Limit {
        /// Where.
        at: At,
        /// What there is too much of.
        what: &'static str,
        /// The limit; see [`super::limits`].
        limit: u64,
    },
}

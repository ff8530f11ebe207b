//! One entry of a root filesystem: its kind and its attributes.

use std::collections::BTreeMap;

use crate::Content;

/// Extended attributes by name, in the order of their names; values are bytes.
pub type Xattrs = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// A moment, in seconds since 1970-01-01 00:00 UTC and nanoseconds after that second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// Nanoseconds after the second: 0 to 999,999,999.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// 1970-01-01 00:00 UTC.
    pub const ZERO: Self = Self { seconds: 0, nanoseconds: 0 };

    /// A whole second.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanoseconds: 0 }
    }

    /// This moment, or `epoch` where this is later: how `SOURCE_DATE_EPOCH` is applied.
    #[must_use]
    pub fn clamp_to(self, epoch: Self) -> Self {
        self.min(epoch)
    }
}

/// The attributes that every entry has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Permission bits with set-id and sticky bits: 0 to 0o7777. Never the file type.
    pub mode: u32,
    /// The owner, by number.
    pub uid: u32,
    /// The group, by number.
    pub gid: u32,
    /// The time of the last change of the content.
    pub mtime: Timestamp,
    /// Extended attributes, POSIX ACLs and file capabilities among them.
    pub xattrs: Xattrs,
}

impl Metadata {
    /// The attributes of a directory that nobody described: 0755, owned by 0:0.
    #[must_use]
    pub fn implied_directory(mtime: Timestamp) -> Self {
        Self { mode: 0o755, mtime, ..Self::default() }
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory; what it holds is said by the tree or by other changes.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link and its target, verbatim.
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
    /// A socket. Tar cannot carry one: it is left out of layers.
    Socket,
}

impl EntryKind {
    /// The kind in words, for messages.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File(_) => "regular file",
            Self::Symlink(_) => "symbolic link",
            Self::CharDevice { .. } => "character device",
            Self::BlockDevice { .. } => "block device",
            Self::Fifo => "named pipe",
            Self::Socket => "socket",
        }
    }
}

/// An entry without its place: kind and attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Its attributes.
    pub metadata: Metadata,
}

impl Entry {
    /// A directory with the given attributes.
    #[must_use]
    pub fn directory(metadata: Metadata) -> Self {
        Self { kind: EntryKind::Directory, metadata }
    }

    /// A regular file with the given attributes.
    #[must_use]
    pub fn file(content: Content, metadata: Metadata) -> Self {
        Self { kind: EntryKind::File(content), metadata }
    }

    /// Tells whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, EntryKind::Directory)
    }

    /// The content, where it is a regular file.
    #[must_use]
    pub fn content(&self) -> Option<&Content> {
        match &self.kind {
            EntryKind::File(content) => Some(content),
            _ => None,
        }
    }
    /// Tells whether two entries would be the same on a disk: as `==`, but for the mode of symbolic links, which
    /// Linux does not keep. Contents count as the same only where they are in the same place.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        if let (EntryKind::Symlink(a), EntryKind::Symlink(b)) = (&self.kind, &other.kind) {
            let mode = other.metadata.mode;
            return a == b && Metadata { mode, ..self.metadata.clone() } == other.metadata;
        }
        self == other
    }
}

//! What an archive may make a reader keep or do.

/// Entries of one archive. The largest real images have one to two million files; an index needs about 300 bytes
/// for each, and half a kilobyte of compressible zeros in the archive is all that an entry costs its sender.
pub const MAX_ENTRIES: u64 = 1 << 22;

/// Bytes of one PAX extended header, the same as Go's `archive/tar`. It is held in memory.
pub const MAX_PAX_HEADER: u64 = 1 << 20;

/// Bytes of a GNU long name or long link target as archived. Far above `PATH_MAX`, since `./` and doubled slashes
/// fall away before the path's own limit is looked at.
pub const MAX_LONG_NAME: u64 = 64 << 10;

/// Bytes of a symbolic link's target: Linux's `PATH_MAX` without its NUL.
pub const MAX_LINK_TARGET: usize = 4095;

/// Bytes of an extended attribute's name: Linux's `XATTR_NAME_MAX`.
pub const MAX_XATTR_NAME: usize = 255;

/// Bytes of an extended attribute's value: Linux's `XATTR_SIZE_MAX`.
pub const MAX_XATTR_VALUE: usize = 64 << 10;

/// Runs of data in one sparse file. A run costs its sender five bytes and an index 24.
pub const MAX_SPARSE_EXTENTS: usize = 1 << 20;

/// Runs of data of all files in one archive: 192 MiB in memory.
pub const MAX_TOTAL_EXTENTS: u64 = 1 << 23;

/// Bytes of names (of owners, too), link targets and extended attributes that the entries of one archive may have together.
pub const MAX_TOTAL_NAMES: u64 = 1 << 30;

/// Logical bytes of one file: 16 TiB, the most that ext4 holds. A sparse file costs its sender nothing.
pub const MAX_FILE_SIZE: u64 = 1 << 44;

/// The largest major device number: 12 bits in Linux. A larger one would become another device.
pub const MAX_MAJOR: u32 = 0xfff;

/// The largest minor device number: 20 bits in Linux.
pub const MAX_MINOR: u32 = 0xf_ffff;

/// The largest owner or group. The next number, -1, means "leave as it is" to chown(2).
pub const MAX_OWNER: u32 = u32::MAX - 1;

/// The limits that belong to a whole archive rather than to one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries; see [`MAX_ENTRIES`].
    pub entries: u64,
    /// Runs of data; see [`MAX_TOTAL_EXTENTS`].
    pub extents: u64,
    /// Bytes of names, targets and attributes; see [`MAX_TOTAL_NAMES`].
    pub names: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: MAX_ENTRIES, extents: MAX_TOTAL_EXTENTS, names: MAX_TOTAL_NAMES }
    }
}

//! Attributes of open files: kind, owner, mode, times, extended attributes.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

use crate::error::{CallError, Errno, quoted};

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// Something else; directory readers report it when the file system does not say.
    Unknown,
}

impl From<rustix::fs::FileType> for Kind {
    fn from(t: rustix::fs::FileType) -> Self {
        use rustix::fs::FileType as T;
        match t {
            T::RegularFile => Kind::Regular,
            T::Directory => Kind::Directory,
            T::Symlink => Kind::Symlink,
            T::Fifo => Kind::Fifo,
            T::Socket => Kind::Socket,
            T::CharacterDevice => Kind::CharDevice,
            T::BlockDevice => Kind::BlockDevice,
            T::Unknown => Kind::Unknown,
        }
    }
}

/// A point in time: seconds since the epoch and nanoseconds within the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Time {
    /// Seconds since 1970-01-01T00:00:00Z, negative before.
    pub sec: i64,
    /// Nanoseconds, 0..=999_999_999.
    pub nsec: u32,
}

impl From<Time> for Timespec {
    fn from(t: Time) -> Self {
        Timespec { tv_sec: t.sec, tv_nsec: t.nsec.into() }
    }
}

/// Attributes of an inode, as `stat(2)` gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky (`mode & 0o7777`).
    pub mode: u32,
    /// Owner, as seen from the present user namespace.
    pub uid: u32,
    /// Group, as seen from the present user namespace.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Units of 512 bytes that are allocated.
    pub blocks: u64,
    /// Number of names.
    pub nlink: u64,
    /// Device the inode lies on.
    pub dev: u64,
    /// Inode number, unique within `dev`.
    pub ino: u64,
    /// Major and minor number of a device node; 0:0 for others.
    pub rdev: (u32, u32),
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of the inode.
    pub ctime: Time,
    /// Last access.
    pub atime: Time,
}

impl From<rustix::fs::Stat> for Stat {
    // The types of the fields differ from one architecture to the next.
    #[allow(clippy::unnecessary_cast)]
    fn from(s: rustix::fs::Stat) -> Self {
        let time = |sec, nsec| Time { sec, nsec };
        Stat {
            kind: rustix::fs::FileType::from_raw_mode(s.st_mode).into(),
            mode: s.st_mode as u32 & 0o7777,
            uid: s.st_uid,
            gid: s.st_gid,
            size: s.st_size as u64,
            blocks: s.st_blocks as u64,
            nlink: s.st_nlink as u64,
            dev: s.st_dev as u64,
            ino: s.st_ino as u64,
            rdev: (rustix::fs::major(s.st_rdev), rustix::fs::minor(s.st_rdev)),
            mtime: time(s.st_mtime as i64, s.st_mtime_nsec as u32),
            ctime: time(s.st_ctime as i64, s.st_ctime_nsec as u32),
            atime: time(s.st_atime as i64, s.st_atime_nsec as u32),
        }
    }
}

/// Reads the attributes of an open file.
///
/// # Errors
/// What `fstat(2)` answers.
pub fn stat(file: impl AsFd) -> Result<Stat, CallError> {
    let fd = file.as_fd();
    rustix::fs::fstat(fd).map(Stat::from).map_err(|e| CallError::new(format!("fstat([{}])", fd.as_raw_fd()), e))
}

/// Sets owner and group of an open file; this clears setuid, setgid and `security.capability`.
///
/// # Errors
/// What `fchown(2)` answers: `EINVAL` where an ID is outside the user namespace's map.
pub fn chown(file: impl AsFd, uid: u32, gid: u32) -> Result<(), CallError> {
    let fd = file.as_fd();
    let call = |e| CallError::new(format!("fchown([{}], {uid}, {gid})", fd.as_raw_fd()), e);
    let (u, g) = owner(uid, gid).map_err(call)?;
    rustix::fs::fchown(fd, Some(u), Some(g)).map_err(call)
}

/// Sets the permission bits (`0o7777` at most) of an open file.
///
/// # Errors
/// What `fchmod(2)` answers.
pub fn chmod(file: impl AsFd, mode: u32) -> Result<(), CallError> {
    let fd = file.as_fd();
    rustix::fs::fchmod(fd, Mode::from_raw_mode(mode & 0o7777))
        .map_err(|e| CallError::new(format!("fchmod([{}], {mode:#o})", fd.as_raw_fd()), e))
}

/// Sets access and modification time of an open file.
///
/// # Errors
/// What `futimens(3)` answers.
pub fn set_times(file: impl AsFd, atime: Time, mtime: Time) -> Result<(), CallError> {
    let fd = file.as_fd();
    let times = Timestamps { last_access: atime.into(), last_modification: mtime.into() };
    rustix::fs::futimens(fd, &times).map_err(|e| CallError::new(format!("futimens([{}])", fd.as_raw_fd()), e))
}

/// Sets an extended attribute of an open file, whether it exists or not.
///
/// # Errors
/// What `fsetxattr(2)` answers.
pub fn set_xattr(file: impl AsFd, name: &[u8], value: &[u8]) -> Result<(), CallError> {
    let fd = file.as_fd();
    rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()).map_err(|e| {
        let text = format!("fsetxattr([{}], {}, {} bytes)", fd.as_raw_fd(), quoted(name), value.len());
        CallError::new(text, e)
    })
}

/// Sets a file's length in bytes; what is added reads as zeros and allocates nothing.
///
/// # Errors
/// What `ftruncate(2)` answers.
pub fn set_len(file: &File, length: u64) -> Result<(), CallError> {
    rustix::fs::ftruncate(file, length)
        .map_err(|e| CallError::new(format!("ftruncate([{}], {length})", file.as_raw_fd()), e))
}

/// Turns numbers into the kernel's IDs; `u32::MAX` means "leave it" to chown, never an ID.
pub(crate) fn owner(uid: u32, gid: u32) -> Result<(Uid, Gid), Errno> {
    if uid == u32::MAX || gid == u32::MAX {
        return Err(Errno::INVAL);
    }
    Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
}

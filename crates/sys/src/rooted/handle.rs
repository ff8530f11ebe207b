//! A directory held open, and what may be done to a name in it.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, RenameFlags, Timestamps, XattrFlags};
use rustix::path::Arg;

use crate::error::{CallError, Errno, quoted};
use crate::file::{Kind, Stat, Time, owner};

/// Size of the buffer a directory is read through, in bytes.
const DIRECTORY_BUFFER: usize = 64 * 1024;

/// An open directory: operations take the name of one entry in it and never leave it.
///
/// A *name* is one component: names that are empty, are `..` or hold a `/` are refused with
/// `EINVAL` before the kernel is asked; `.` is the directory itself. No operation follows a
/// symbolic link that a name may be. Cloning makes another reference to the same descriptor.
#[derive(Clone)]
pub struct Handle {
    fd: Arc<OwnedFd>,
    label: Arc<str>,
}

/// An extended attribute: key with its name space (`user.x`), and value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name, without `.` and `..`.
    pub name: CString,
    /// What the file system says it is; [`Kind::Unknown`] where it does not say.
    pub kind: Kind,
    /// The inode number.
    pub ino: u64,
}

impl Entry {
    /// The name's bytes.
    pub fn name_bytes(&self) -> &[u8] {
        self.name.to_bytes()
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({self})")
    }
}

impl std::fmt::Display for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}]{}", self.fd.as_raw_fd(), quoted(self.label.as_bytes()))
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn shown(name: impl Arg) -> String {
    match name.as_cow_c_str() {
        Ok(c) => quoted(c.to_bytes()),
        Err(_) => quoted(name.to_string_lossy().as_bytes()),
    }
}

/// Runs `call` on a checked name.
fn on_name<T>(name: impl Arg, call: impl FnOnce(&CStr) -> Result<T, Errno>) -> Result<T, Errno> {
    name.into_with_c_str(|c| {
        let bytes = c.to_bytes();
        if bytes.is_empty() || bytes == b".." || bytes.contains(&b'/') {
            return Err(Errno::INVAL);
        }
        call(c)
    })
}

pub(crate) const DIR_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Handle {
    /// Opens a directory by an ordinary path of the process; symbolic links are followed.
    ///
    /// # Errors
    /// What `open(2)` answers.
    pub fn open(path: impl Arg + Copy) -> Result<Self, CallError> {
        let open = |flags| rustix::fs::open(path, flags, Mode::empty());
        let fd = match open(DIR_FLAGS) {
            // Without the right to list it, a directory may still be walked through.
            Err(Errno::ACCESS) => open(OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC),
            other => other,
        }
        .map_err(|e| CallError::new(format!("open({}, O_DIRECTORY)", shown(path)), e))?;
        Ok(Self::from_fd(fd, &path.to_string_lossy()))
    }

    /// Takes a directory that is open already; `label` names it in messages.
    pub fn from_fd(fd: OwnedFd, label: &str) -> Self {
        Self { fd: Arc::new(fd), label: label.into() }
    }

    /// What messages call this directory.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// A path that names this directory for calls that know no descriptors; needs `/proc`.
    pub fn proc_path(&self) -> CString {
        proc_path(self.as_fd(), None)
    }

    fn failed(&self, call: &str, name: impl Arg, rest: &str, errno: Errno) -> CallError {
        CallError::new(format!("{call}({self}, {}{rest})", shown(name)), errno)
    }

    pub(crate) fn child_label(&self, name: &[u8]) -> String {
        let name = String::from_utf8_lossy(name);
        match &*self.label {
            "/" => format!("/{name}"),
            label => format!("{label}/{name}"),
        }
    }

    /// Opens a directory in this one.
    ///
    /// # Errors
    /// What `openat(2)` answers: `ENOTDIR` or `ELOOP` for a symbolic link.
    pub fn open_dir(&self, name: impl Arg + Copy) -> Result<Handle, CallError> {
        let open =
            |flags: OFlags| on_name(name, |n| rustix::fs::openat(self, n, flags | OFlags::NOFOLLOW, Mode::empty()));
        let fd = match open(DIR_FLAGS) {
            Err(Errno::ACCESS) => open(OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC),
            other => other,
        }
        .map_err(|e| self.failed("openat", name, ", O_DIRECTORY|O_NOFOLLOW", e))?;
        let label = match name.as_cow_c_str() {
            Ok(n) if n.to_bytes() == b"." => self.label.to_string(),
            Ok(n) => self.child_label(n.to_bytes()),
            Err(_) => self.label.to_string(),
        };
        Ok(Handle::from_fd(fd, &label))
    }

    /// Opens a regular file to read; devices, pipes and sockets are refused.
    ///
    /// # Errors
    /// What `openat(2)` answers; `ELOOP` for a symbolic link, `EINVAL` for what is no regular file.
    pub fn open_file(&self, name: impl Arg + Copy) -> Result<File, CallError> {
        // O_NONBLOCK: a pipe that was put in the file's place must not stop us.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fail = |e| self.failed("openat", name, ", O_RDONLY|O_NOFOLLOW", e);
        let fd = on_name(name, |n| rustix::fs::openat(self, n, flags, Mode::empty())).map_err(fail)?;
        let stat = rustix::fs::fstat(&fd).map_err(fail)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(File::from(fd)),
            FileType::Directory => Err(fail(Errno::ISDIR)),
            _ => Err(fail(Errno::INVAL)),
        }
    }

    /// Opens an existing regular file to read and write.
    ///
    /// # Errors
    /// As [`Handle::open_file`].
    pub fn open_file_rw(&self, name: impl Arg + Copy) -> Result<File, CallError> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fail = |e| self.failed("openat", name, ", O_RDWR|O_NOFOLLOW", e);
        let fd = on_name(name, |n| rustix::fs::openat(self, n, flags, Mode::empty())).map_err(fail)?;
        let stat = rustix::fs::fstat(&fd).map_err(fail)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(File::from(fd)),
            _ => Err(fail(Errno::INVAL)),
        }
    }

    /// Creates a regular file that did not exist, open to read and write; the umask applies.
    ///
    /// # Errors
    /// What `openat(2)` answers: `EEXIST` where the name is taken, by a dangling link too.
    pub fn create_file(&self, name: impl Arg + Copy, mode: u32) -> Result<File, CallError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        on_name(name, |n| rustix::fs::openat(self, n, flags, Mode::from_raw_mode(mode & 0o7777)))
            .map(File::from)
            .map_err(|e| self.failed("openat", name, &format!(", O_CREAT|O_EXCL, {mode:#o}"), e))
    }

    /// Opens a file to read and write, creating it where it does not exist (lock files).
    ///
    /// # Errors
    /// What `openat(2)` answers.
    pub fn open_or_create_file(&self, name: impl Arg + Copy, mode: u32) -> Result<File, CallError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        on_name(name, |n| rustix::fs::openat(self, n, flags, Mode::from_raw_mode(mode & 0o7777)))
            .map(File::from)
            .map_err(|e| self.failed("openat", name, &format!(", O_CREAT, {mode:#o}"), e))
    }

    /// Makes a directory; the umask applies.
    ///
    /// # Errors
    /// What `mkdirat(2)` answers.
    pub fn mkdir(&self, name: impl Arg + Copy, mode: u32) -> Result<(), CallError> {
        on_name(name, |n| rustix::fs::mkdirat(self, n, Mode::from_raw_mode(mode & 0o7777)))
            .map_err(|e| self.failed("mkdirat", name, &format!(", {mode:#o}"), e))
    }

    /// Makes a symbolic link `name` that says `target`, whatever that is.
    ///
    /// # Errors
    /// What `symlinkat(2)` answers.
    pub fn symlink(&self, target: impl Arg + Copy, name: impl Arg + Copy) -> Result<(), CallError> {
        on_name(name, |n| rustix::fs::symlinkat(target, self, n))
            .map_err(|e| CallError::new(format!("symlinkat({}, {self}, {})", shown(target), shown(name)), e))
    }

    /// Gives the file `name` a second name in `to`; a symbolic link is linked itself.
    ///
    /// # Errors
    /// What `linkat(2)` answers.
    pub fn link(&self, name: impl Arg + Copy, to: &Handle, to_name: impl Arg + Copy) -> Result<(), CallError> {
        on_name(name, |n| on_name(to_name, |t| rustix::fs::linkat(self, n, to, t, AtFlags::empty())))
            .map_err(|e| CallError::new(format!("linkat({self}, {}, {to}, {})", shown(name), shown(to_name)), e))
    }

    /// Makes a device node, named pipe, socket or empty regular file; the umask applies.
    ///
    /// `rdev` is major and minor number and ignored for others than devices.
    ///
    /// # Errors
    /// What `mknodat(2)` answers: `EPERM` for a device without rights; `EINVAL` for another kind.
    pub fn mknod(&self, name: impl Arg + Copy, kind: Kind, mode: u32, rdev: (u32, u32)) -> Result<(), CallError> {
        let file_type = match kind {
            Kind::Regular => FileType::RegularFile,
            Kind::Fifo => FileType::Fifo,
            Kind::Socket => FileType::Socket,
            Kind::CharDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Unknown,
        };
        let fail = |e| {
            let rest = format!(", {kind:?} {mode:#o}, {}:{}", rdev.0, rdev.1);
            self.failed("mknodat", name, &rest, e)
        };
        if file_type == FileType::Unknown {
            return Err(fail(Errno::INVAL));
        }
        let dev = rustix::fs::makedev(rdev.0, rdev.1);
        on_name(name, |n| rustix::fs::mknodat(self, n, file_type, Mode::from_raw_mode(mode & 0o7777), dev))
            .map_err(fail)
    }

    /// Sets owner and group; this clears setuid, setgid and `security.capability`.
    ///
    /// # Errors
    /// What `fchownat(2)` answers: `EINVAL` where an ID is outside the user namespace's map.
    pub fn chown(&self, name: impl Arg + Copy, uid: u32, gid: u32) -> Result<(), CallError> {
        owner(uid, gid)
            .and_then(|(u, g)| {
                on_name(name, |n| rustix::fs::chownat(self, n, Some(u), Some(g), AtFlags::SYMLINK_NOFOLLOW))
            })
            .map_err(|e| self.failed("fchownat", name, &format!(", {uid}, {gid}"), e))
    }

    /// Sets the permission bits (`0o7777` at most).
    ///
    /// # Errors
    /// What `fchmodat2(2)` answers; `EOPNOTSUPP` for a symbolic link, whose bits mean nothing.
    pub fn chmod(&self, name: impl Arg + Copy, mode: u32) -> Result<(), CallError> {
        on_name(name, |n| chmod_no_follow(self.as_fd(), n, mode & 0o7777))
            .map_err(|e| self.failed("fchmodat2", name, &format!(", {mode:#o}"), e))
    }

    /// Sets access and modification time, of a symbolic link too.
    ///
    /// # Errors
    /// What `utimensat(2)` answers.
    pub fn set_times(&self, name: impl Arg + Copy, atime: Time, mtime: Time) -> Result<(), CallError> {
        let times = Timestamps { last_access: atime.into(), last_modification: mtime.into() };
        on_name(name, |n| rustix::fs::utimensat(self, n, &times, AtFlags::SYMLINK_NOFOLLOW))
            .map_err(|e| self.failed("utimensat", name, "", e))
    }

    /// Sets an extended attribute, whether it exists or not, of any kind of file; needs `/proc`.
    ///
    /// # Errors
    /// What `lsetxattr(2)` answers.
    pub fn set_xattr(&self, name: impl Arg + Copy, key: &[u8], value: &[u8]) -> Result<(), CallError> {
        on_name(name, |n| {
            let path = proc_path(self.as_fd(), Some(n));
            rustix::fs::lsetxattr(path.as_c_str(), key, value, XattrFlags::empty())
        })
        .map_err(|e| {
            let rest = format!(", {}, {} bytes", quoted(key), value.len());
            self.failed("lsetxattr", name, &rest, e)
        })
    }

    /// Removes an extended attribute; needs `/proc`.
    ///
    /// # Errors
    /// What `lremovexattr(2)` answers: `ENODATA` where there is none.
    pub fn remove_xattr(&self, name: impl Arg + Copy, key: &[u8]) -> Result<(), CallError> {
        on_name(name, |n| {
            let path = proc_path(self.as_fd(), Some(n));
            rustix::fs::lremovexattr(path.as_c_str(), key)
        })
        .map_err(|e| self.failed("lremovexattr", name, &format!(", {}", quoted(key)), e))
    }

    /// Reads one extended attribute, `None` where there is none; needs `/proc`.
    ///
    /// # Errors
    /// What `lgetxattr(2)` answers.
    pub fn xattr(&self, name: impl Arg + Copy, key: &[u8]) -> Result<Option<Vec<u8>>, CallError> {
        let read = on_name(name, |n| {
            let path = proc_path(self.as_fd(), Some(n));
            growing(|buf| rustix::fs::lgetxattr(path.as_c_str(), key, buf))
        });
        match read {
            Ok(value) => Ok(Some(value)),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(e) => Err(self.failed("lgetxattr", name, &format!(", {}", quoted(key)), e)),
        }
    }

    /// Reads all extended attributes, sorted by key; needs `/proc`.
    ///
    /// A file system that knows none gives an empty list.
    ///
    /// # Errors
    /// What `llistxattr(2)` and `lgetxattr(2)` answer.
    pub fn xattrs(&self, name: impl Arg + Copy) -> Result<Vec<Xattr>, CallError> {
        let path = on_name(name, |n| Ok(proc_path(self.as_fd(), Some(n))))
            .map_err(|e| self.failed("llistxattr", name, "", e))?;
        let list = match growing(|buf| rustix::fs::llistxattr(path.as_c_str(), buf)) {
            Ok(list) => list,
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(e) => return Err(self.failed("llistxattr", name, "", e)),
        };
        let mut found = Vec::new();
        for key in list.split(|b| *b == 0).filter(|key| !key.is_empty()) {
            match growing(|buf| rustix::fs::lgetxattr(path.as_c_str(), key, buf)) {
                Ok(value) => found.push((key.to_vec(), value)),
                // It went away between the two calls.
                Err(Errno::NODATA) => {}
                Err(e) => {
                    return Err(self.failed("lgetxattr", name, &format!(", {}", quoted(key)), e));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Reads the attributes of a name, of a symbolic link itself.
    ///
    /// # Errors
    /// What `fstatat(2)` answers.
    pub fn stat(&self, name: impl Arg + Copy) -> Result<Stat, CallError> {
        on_name(name, |n| rustix::fs::statat(self, n, AtFlags::SYMLINK_NOFOLLOW))
            .map(Stat::from)
            .map_err(|e| self.failed("fstatat", name, "", e))
    }

    /// Reads the attributes of a name, `None` where it does not exist.
    ///
    /// # Errors
    /// What `fstatat(2)` answers but `ENOENT`.
    pub fn try_stat(&self, name: impl Arg + Copy) -> Result<Option<Stat>, CallError> {
        match self.stat(name) {
            Ok(stat) => Ok(Some(stat)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Reads the attributes of the directory itself.
    ///
    /// # Errors
    /// What `fstat(2)` answers.
    pub fn stat_self(&self) -> Result<Stat, CallError> {
        rustix::fs::fstat(self).map(Stat::from).map_err(|e| CallError::new(format!("fstat({self})"), e))
    }

    /// Reads what a symbolic link says.
    ///
    /// # Errors
    /// What `readlinkat(2)` answers: `EINVAL` where the name is no symbolic link.
    pub fn read_link(&self, name: impl Arg + Copy) -> Result<Vec<u8>, CallError> {
        on_name(name, |n| rustix::fs::readlinkat(self, n, Vec::new()))
            .map(CString::into_bytes)
            .map_err(|e| self.failed("readlinkat", name, "", e))
    }

    /// Removes a name that is no directory.
    ///
    /// # Errors
    /// What `unlinkat(2)` answers: `EISDIR` for a directory.
    pub fn unlink(&self, name: impl Arg + Copy) -> Result<(), CallError> {
        on_name(name, |n| rustix::fs::unlinkat(self, n, AtFlags::empty()))
            .map_err(|e| self.failed("unlinkat", name, "", e))
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// What `unlinkat(2)` answers.
    pub fn rmdir(&self, name: impl Arg + Copy) -> Result<(), CallError> {
        on_name(name, |n| rustix::fs::unlinkat(self, n, AtFlags::REMOVEDIR))
            .map_err(|e| self.failed("unlinkat", name, ", AT_REMOVEDIR", e))
    }

    /// Moves a name into `to`, replacing what is there as `rename(2)` does.
    ///
    /// # Errors
    /// What `renameat(2)` answers.
    pub fn rename(&self, name: impl Arg + Copy, to: &Handle, to_name: impl Arg + Copy) -> Result<(), CallError> {
        on_name(name, |n| on_name(to_name, |t| rustix::fs::renameat(self, n, to, t)))
            .map_err(|e| CallError::new(format!("renameat({self}, {}, {to}, {})", shown(name), shown(to_name)), e))
    }

    /// Moves a name into `to` where nothing has `to_name`.
    ///
    /// # Errors
    /// What `renameat2(2)` answers: `EEXIST` where the name is taken. A file system without
    /// `RENAME_NOREPLACE` gets a link and an unlink for files, a look and a rename for directories.
    pub fn rename_noreplace(
        &self,
        name: impl Arg + Copy,
        to: &Handle,
        to_name: impl Arg + Copy,
    ) -> Result<(), CallError> {
        let fail = |e| {
            let text = format!("renameat2({self}, {}, {to}, {}, RENAME_NOREPLACE)", shown(name), shown(to_name));
            CallError::new(text, e)
        };
        let moved =
            on_name(name, |n| on_name(to_name, |t| rustix::fs::renameat_with(self, n, to, t, RenameFlags::NOREPLACE)));
        match moved {
            Err(Errno::INVAL | Errno::NOSYS) => {}
            other => return other.map_err(fail),
        }
        if self.stat(name)?.kind == Kind::Directory {
            if to.try_stat(to_name)?.is_some() {
                return Err(fail(Errno::EXIST));
            }
            return self.rename(name, to, to_name);
        }
        self.link(name, to, to_name)?;
        self.unlink(name)
    }

    /// Lists the directory, in the file system's order.
    ///
    /// # Errors
    /// What `openat(2)` and `getdents64(2)` answer.
    pub fn entries(&self) -> Result<Vec<Entry>, CallError> {
        let mut found = Vec::new();
        self.for_each_entry(|name, kind, ino| {
            found.push(Entry { name: name.to_owned(), kind, ino });
        })?;
        Ok(found)
    }

    /// Calls `see` with name, kind and inode number of each entry, in the file system's order.
    ///
    /// # Errors
    /// What `openat(2)` and `getdents64(2)` answer.
    pub fn for_each_entry(&self, mut see: impl FnMut(&CStr, Kind, u64)) -> Result<(), CallError> {
        let fail = |e| CallError::new(format!("getdents64({self})"), e);
        // A descriptor of its own: the offset belongs to this reading.
        let fd = rustix::fs::openat(self, ".", DIR_FLAGS, Mode::empty()).map_err(fail)?;
        let mut buffer = vec![MaybeUninit::uninit(); DIRECTORY_BUFFER];
        let mut reader = RawDir::new(fd, &mut buffer);
        while let Some(entry) = reader.next() {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                see(name, entry.file_type().into(), entry.ino());
            }
        }
        Ok(())
    }

    /// Waits until names made, moved and removed in this directory are on the disk.
    ///
    /// # Errors
    /// What `fsync(2)` answers.
    pub fn sync(&self) -> Result<(), CallError> {
        rustix::fs::fsync(self).map_err(|e| CallError::new(format!("fsync({self})"), e))
    }

    /// Removes a name and all that is beneath it; a name that does not exist is no error.
    ///
    /// Never follows a symbolic link, never crosses into another mount. Directories that may not
    /// be listed are given the rights first. Memory is bounded by the size of one directory times
    /// a fixed depth: deeper ones are moved up before they are emptied.
    ///
    /// # Errors
    /// What the first failing call answers; `EXDEV` at a mount point.
    pub fn remove_all(&self, name: impl Arg + Copy) -> Result<(), CallError> {
        super::remove::remove_all(self, name)
    }

    /// The open descriptor as a file of its own.
    ///
    /// # Errors
    /// What `dup(2)` answers.
    pub fn try_clone_fd(&self) -> Result<OwnedFd, CallError> {
        self.fd.try_clone().map_err(|e| CallError::from_io(format!("dup({self})"), &e))
    }
}

/// Reads into a buffer that grows until the answer fits.
fn growing(mut read: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    // Linux limits a value and a list to 64 KiB (XATTR_SIZE_MAX, XATTR_LIST_MAX).
    const LARGEST: usize = 64 * 1024;
    let mut buffer = vec![0; 256];
    loop {
        match read(&mut buffer) {
            Ok(n) => {
                buffer.truncate(n);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < LARGEST => buffer.resize(LARGEST, 0),
            Err(e) => return Err(e),
        }
    }
}

/// `/proc/self/fd/N`, or `/proc/self/fd/N/NAME`.
pub(crate) fn proc_path(fd: BorrowedFd<'_>, name: Option<&CStr>) -> CString {
    let mut path = format!("/proc/self/fd/{}", fd.as_raw_fd()).into_bytes();
    if let Some(name) = name {
        path.push(b'/');
        path.extend_from_slice(name.to_bytes());
    }
    // Neither part can hold a NUL byte.
    CString::new(path).unwrap_or_default()
}

/// Changes the mode of a name that is no symbolic link.
fn chmod_no_follow(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<(), Errno> {
    // The number is the same on all architectures that have it; Linux 6.6.
    const SYS_FCHMODAT2: libc::c_long = 452;
    // SAFETY: the name is a NUL-terminated string that outlives the call; nothing is written.
    let done = unsafe { libc::syscall(SYS_FCHMODAT2, dir.as_raw_fd(), name.as_ptr(), mode, libc::AT_SYMLINK_NOFOLLOW) };
    if done == 0 {
        return Ok(());
    }
    match Errno::from_io_error(&std::io::Error::last_os_error()) {
        Some(Errno::NOSYS) | None => {}
        // Sandboxes with an old allow list answer EPERM to calls they do not know; the way
        // through /proc tells a real refusal from that one.
        Some(Errno::PERM) => {}
        Some(e) => return Err(e),
    }
    let fd = rustix::fs::openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) == FileType::Symlink {
        return Err(Errno::OPNOTSUPP);
    }
    rustix::fs::chmod(proc_path(fd.as_fd(), None).as_c_str(), Mode::from_raw_mode(mode))
}

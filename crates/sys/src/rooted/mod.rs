//! Paths resolved beneath a directory that is held open, never by joining strings.
//!
//! ```text
//! Root ── open_dir("usr/lib", InRoot) ──▶ Handle ── mkdir, create_file, symlink, chown … (one name each)
//!      └─ parent("usr/lib/libc.so")   ──▶ (Handle of usr/lib, "libc.so")     the last parent is kept
//! ```
//!
//! The kernel resolves where it can (`openat2(2)`, Linux 5.6); else a walk over `O_PATH` descriptors
//! does, which never asks the kernel for `..` and so cannot be led outside by a rename.

mod handle;
mod remove;
mod walk;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::path::Arg;

use crate::error::{CallError, Errno, quoted};
use crate::file::Kind;
pub(crate) use handle::proc_path;
pub use handle::{Entry, Handle, Xattr};

/// How many times `openat2` is asked again after a rename elsewhere disturbed it.
///
/// Each answer of `EAGAIN` needs a rename in the very moment of a `..`; the walk takes over after.
const PATIENCE: usize = 16;

/// What symbolic links inside a path may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resolve {
    /// A link in any place is `ELOOP`.
    NoSymlinks,
    /// Links are followed; one that leads outside, or is absolute, is `EXDEV`.
    Beneath,
    /// Links are followed as after a chroot: `/` is the root and `..` stops there.
    InRoot,
}

/// Which means resolves a path; the kernel's unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resolver {
    /// `openat2(2)` where the kernel has it, the walk elsewhere.
    Kernel,
    /// The walk over `O_PATH` descriptors.
    Walk,
}

/// A directory that paths are resolved beneath.
#[derive(Debug)]
pub struct Root {
    handle: Handle,
    resolver: Resolver,
    last: Mutex<Option<Parent>>,
}

#[derive(Debug)]
struct Parent {
    path: Vec<u8>,
    resolve: Resolve,
    handle: Handle,
}

/// Set once `openat2` turned out to be missing.
static NO_OPENAT2: AtomicBool = AtomicBool::new(false);

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

impl Root {
    /// Opens the directory `path`, an ordinary path of the process.
    ///
    /// # Errors
    /// What `open(2)` answers.
    pub fn open(path: impl Arg + Copy) -> Result<Self, CallError> {
        Ok(Self::from_handle(Handle::open(path)?))
    }

    /// Makes a root of a directory that is open already.
    pub fn from_handle(handle: Handle) -> Self {
        Self::with_resolver(handle, Resolver::Kernel)
    }

    /// Makes a root that resolves by the given means.
    pub fn with_resolver(handle: Handle, resolver: Resolver) -> Self {
        Self { handle, resolver, last: Mutex::new(None) }
    }

    /// The directory itself.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Forgets the kept parent: to be called after a directory was moved or removed by other
    /// means than this `Root`.
    pub fn forget(&self) {
        if let Ok(mut last) = self.last.lock() {
            *last = None;
        }
    }

    /// Opens what `path` leads to, with the given flags; `CLOEXEC` is added.
    fn open_at(&self, path: &[u8], flags: OFlags, resolve: Resolve) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC;
        let path = trimmed(path);
        if self.resolver == Resolver::Kernel && !NO_OPENAT2.load(Ordering::Relaxed) {
            let how = match resolve {
                Resolve::NoSymlinks => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
                Resolve::Beneath => ResolveFlags::BENEATH,
                Resolve::InRoot => ResolveFlags::IN_ROOT,
            } | ResolveFlags::NO_MAGICLINKS;
            for _ in 0..PATIENCE {
                match rustix::fs::openat2(&self.handle, path, flags, Mode::empty(), how) {
                    // EPERM: a sandbox whose allow list does not know the call.
                    Err(Errno::NOSYS | Errno::PERM) => {
                        NO_OPENAT2.store(true, Ordering::Relaxed);
                        break;
                    }
                    Err(Errno::AGAIN) => {}
                    other => return other,
                }
            }
        }
        walk::open_at(self.handle.as_fd(), path, flags, resolve)
    }

    /// Opens the directory that `path` leads to; a leading `/` means the root.
    ///
    /// # Errors
    /// What the resolution answers: see [`Resolve`].
    pub fn open_dir(&self, path: impl Arg + Copy, resolve: Resolve) -> Result<Handle, CallError> {
        self.open_dir_bytes(&bytes_of(path)?, resolve)
    }

    fn open_dir_bytes(&self, path: &[u8], resolve: Resolve) -> Result<Handle, CallError> {
        if trimmed(path) == b"." {
            return Ok(self.handle.clone());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = match self.open_at(path, flags, resolve) {
            Err(Errno::ACCESS) => self.open_at(path, OFlags::PATH | OFlags::DIRECTORY, resolve),
            other => other,
        }
        .map_err(|e| self.failed(path, "O_DIRECTORY", resolve, e))?;
        Ok(Handle::from_fd(fd, &self.handle.child_label(trimmed(path))))
    }

    /// Opens the regular file that `path` leads to, to read.
    ///
    /// # Errors
    /// What the resolution answers; `EINVAL` for what is no regular file, `EISDIR` for a directory.
    pub fn open_file(&self, path: impl Arg + Copy, resolve: Resolve) -> Result<std::fs::File, CallError> {
        let path = bytes_of(path)?;
        let fail = |e| self.failed(&path, "O_RDONLY", resolve, e);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.open_at(&path, flags, resolve).map_err(fail)?;
        let stat = rustix::fs::fstat(&fd).map_err(fail)?;
        match Kind::from(rustix::fs::FileType::from_raw_mode(stat.st_mode)) {
            Kind::Regular => Ok(fd.into()),
            Kind::Directory => Err(fail(Errno::ISDIR)),
            _ => Err(fail(Errno::INVAL)),
        }
    }

    /// Opens what `path` leads to as a mere reference (`O_PATH`), of whatever kind.
    ///
    /// A symbolic link in the last place is followed as `resolve` says.
    ///
    /// # Errors
    /// What the resolution answers.
    pub fn open_path(&self, path: impl Arg + Copy, resolve: Resolve) -> Result<OwnedFd, CallError> {
        let path = bytes_of(path)?;
        self.open_at(&path, OFlags::PATH, resolve).map_err(|e| self.failed(&path, "O_PATH", resolve, e))
    }

    /// Opens the directory that holds the last component of `path`, and gives that component.
    ///
    /// The last one asked for is kept, so that entries of one directory cost one resolution.
    ///
    /// # Errors
    /// `EINVAL` where the path has no last component (`/`, `.`) or it is `..`; what the resolution
    /// of the others answers.
    pub fn parent(&self, path: impl Arg + Copy, resolve: Resolve) -> Result<(Handle, std::ffi::CString), CallError> {
        let path = bytes_of(path)?;
        let (dir, name) = split(&path).ok_or_else(|| self.failed(&path, "the parent", resolve, Errno::INVAL))?;
        // bytes_of refused NUL bytes.
        let name = std::ffi::CString::new(name).unwrap_or_default();
        Ok((self.dir_cached(dir, resolve)?, name))
    }

    fn dir_cached(&self, dir: &[u8], resolve: Resolve) -> Result<Handle, CallError> {
        let dir = trimmed(dir);
        if dir == b"." {
            return Ok(self.handle.clone());
        }
        // A poisoned lock only means that a cached handle may be missing.
        let mut last = self.last.lock().unwrap_or_else(|p| p.into_inner());
        if let Some(kept) = &*last
            && kept.path == dir
            && kept.resolve == resolve
        {
            return Ok(kept.handle.clone());
        }
        let handle = self.open_dir_bytes(dir, resolve)?;
        *last = Some(Parent { path: dir.to_vec(), resolve, handle: handle.clone() });
        Ok(handle)
    }

    /// Makes the directories of `path` that do not exist and opens the last.
    ///
    /// New ones get `mode` less the umask. Existing ones are left as they are; what symbolic links
    /// among them may do says `resolve` (a dangling one is `ENOENT`). `made` is called with each
    /// path that was made, parents first.
    ///
    /// # Errors
    /// What the resolution and `mkdirat(2)` answer: `ENOTDIR` where something else has the name.
    pub fn create_dir_all(
        &self,
        path: impl Arg + Copy,
        mode: u32,
        resolve: Resolve,
        mut made: impl FnMut(&[u8]),
    ) -> Result<Handle, CallError> {
        let path = bytes_of(path)?;
        let path = trimmed(&path);
        // Look for the longest prefix that exists, from the end: usually all but one or two.
        let ends: Vec<usize> = component_ends(path);
        let mut exists = ends.len();
        let mut handle = loop {
            let prefix = match exists.checked_sub(1).and_then(|i| ends.get(i)) {
                Some(end) => &path[..*end],
                None => b".",
            };
            match self.dir_cached(prefix, resolve) {
                Ok(handle) => break handle,
                Err(e) if e.is_not_found() && exists > 0 => exists -= 1,
                Err(e) => return Err(e),
            }
        };
        for i in exists..ends.len() {
            let start = if i == 0 { 0 } else { ends[i - 1] };
            let name = trimmed(&path[start..ends[i]]);
            match name {
                b"." => continue,
                b".." => {
                    handle = self.dir_cached(&path[..ends[i]], resolve)?;
                    continue;
                }
                _ => {}
            }
            match handle.mkdir(name, mode) {
                Ok(()) => made(&path[..ends[i]]),
                // Another process was faster, or a dangling link has the name: opening tells.
                Err(e) if e.is_exists() => {}
                Err(e) => return Err(e),
            }
            handle = match handle.open_dir(name) {
                Ok(next) => next,
                Err(_) => self.dir_cached(&path[..ends[i]], resolve)?,
            };
        }
        Ok(handle)
    }

    /// Removes `path` and all beneath it; a path that does not exist is no error.
    ///
    /// The last component is never followed.
    ///
    /// # Errors
    /// As [`Root::parent`] and [`Handle::remove_all`].
    pub fn remove_all(&self, path: impl Arg + Copy, resolve: Resolve) -> Result<(), CallError> {
        let (dir, name) = match self.parent(path, resolve) {
            Ok(found) => found,
            Err(e) if e.is_not_found() => return Ok(()),
            Err(e) => return Err(e),
        };
        self.forget();
        dir.remove_all(&*name)
    }

    fn failed(&self, path: &[u8], what: &str, resolve: Resolve, errno: Errno) -> CallError {
        let how = match resolve {
            Resolve::NoSymlinks => "RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS",
            Resolve::Beneath => "RESOLVE_BENEATH",
            Resolve::InRoot => "RESOLVE_IN_ROOT",
        };
        CallError::new(format!("openat2({}, {}, {what}, {how})", self.handle, quoted(path)), errno)
    }
}

fn bytes_of(path: impl Arg + Copy) -> Result<Vec<u8>, CallError> {
    match path.as_cow_c_str() {
        Ok(c) => Ok(c.to_bytes().to_vec()),
        Err(e) => Err(CallError::new(format!("openat2({})", quoted(path.to_string_lossy().as_bytes())), e)),
    }
}

/// A path without leading and trailing slashes; `.` where nothing is left.
fn trimmed(mut path: &[u8]) -> &[u8] {
    while let [b'/', rest @ ..] = path {
        path = rest;
    }
    while let [rest @ .., b'/'] = path {
        path = rest;
    }
    if path.is_empty() { b"." } else { path }
}

/// Splits off the last component; `None` where there is none or it is `.` or `..`.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let path = trimmed(path);
    let (dir, name) = match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&b"."[..], path),
    };
    (!matches!(name, b"." | b"..")).then_some((dir, name))
}

/// Where each component of a trimmed path ends.
fn component_ends(path: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    for (i, b) in path.iter().enumerate() {
        if *b != b'/' && path.get(i + 1).is_none_or(|next| *next == b'/') {
            ends.push(i + 1);
        }
    }
    ends
}

#[cfg(test)]
mod tests;

//! The resolution of a path by hand, for kernels and sandboxes without `openat2`.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};

use super::Resolve;
use super::handle::proc_path;
use crate::error::Errno;

/// Links followed in one path, as the kernel's MAXSYMLINKS.
const MOST_LINKS: usize = 40;
/// Components of a path with its links expanded; each costs an open descriptor.
const MOST_COMPONENTS: usize = 512;

/// Opens `path` beneath `root` with `flags`.
///
/// Holds a descriptor for each directory on the way, so that `..` is a step back on that way and
/// never a question to the kernel, which may have moved a directory meanwhile.
pub(super) fn open_at(root: BorrowedFd<'_>, path: &[u8], flags: OFlags, resolve: Resolve) -> Result<OwnedFd, Errno> {
    let mut todo: VecDeque<Vec<u8>> = components(path);
    let mut way: Vec<OwnedFd> = Vec::new();
    let mut last: Option<OwnedFd> = None;
    let mut links = 0;
    let mut wants_dir = flags.contains(OFlags::DIRECTORY);
    while let Some(name) = todo.pop_front() {
        if let Some(dir) = last.take() {
            // There is more to come, so this must be a directory.
            if kind(dir.as_fd())? != FileType::Directory {
                return Err(Errno::NOTDIR);
            }
            if way.len() >= MOST_COMPONENTS {
                return Err(Errno::NAMETOOLONG);
            }
            way.push(dir);
        }
        match name.as_slice() {
            b"." => {
                wants_dir |= todo.is_empty();
                continue;
            }
            b".." => {
                if way.pop().is_none() && resolve != Resolve::InRoot {
                    return Err(Errno::XDEV);
                }
                wants_dir |= todo.is_empty();
                continue;
            }
            _ => {}
        }
        let here = way.last().map_or(root, |fd| fd.as_fd());
        let how = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = rustix::fs::openat(here, name.as_slice(), how, Mode::empty())?;
        if kind(found.as_fd())? != FileType::Symlink {
            last = Some(found);
            continue;
        }
        if todo.is_empty() && flags.contains(OFlags::NOFOLLOW) {
            last = Some(found);
            continue;
        }
        links += 1;
        if resolve == Resolve::NoSymlinks || links > MOST_LINKS {
            return Err(Errno::LOOP);
        }
        let target = rustix::fs::readlinkat(&found, "", Vec::new())?.into_bytes();
        if target.first() == Some(&b'/') {
            match resolve {
                Resolve::InRoot => way.clear(),
                _ => return Err(Errno::XDEV),
            }
        }
        for part in components(&target).into_iter().rev() {
            todo.push_front(part);
        }
    }
    let here = match &last {
        Some(fd) => fd.as_fd(),
        None => way.last().map_or(root, |fd| fd.as_fd()),
    };
    let is_dir = kind(here)? == FileType::Directory;
    if wants_dir && !is_dir {
        return Err(Errno::NOTDIR);
    }
    if kind(here)? == FileType::Symlink {
        return Err(Errno::LOOP);
    }
    if is_dir {
        return rustix::fs::openat(here, ".", flags, Mode::empty());
    }
    if flags.contains(OFlags::PATH) {
        return rustix::io::fcntl_dupfd_cloexec(here, 0);
    }
    // The descriptor is known to be no link, so what is reopened is this very inode.
    rustix::fs::open(proc_path(here, None).as_c_str(), flags - OFlags::NOFOLLOW, Mode::empty())
}

fn kind(fd: BorrowedFd<'_>) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
}

/// The components of a path; a trailing slash adds a `.`, so that only a directory will do.
fn components(path: &[u8]) -> VecDeque<Vec<u8>> {
    let mut parts: VecDeque<Vec<u8>> =
        path.split(|b| *b == b'/').filter(|p| !p.is_empty()).map(<[u8]>::to_vec).collect();
    if path.last() == Some(&b'/') {
        parts.push_back(b".".to_vec());
    }
    parts
}

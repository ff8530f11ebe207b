//! Removal of whole trees, by descriptors.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::path::Arg;

use super::handle::{DIR_FLAGS, Handle};
use crate::error::{CallError, Errno};
use crate::file::Kind;

/// How many directories may be open at once: well under the usual limit of 1024 descriptors.
const DEEPEST: usize = 128;

struct Level {
    dir: Handle,
    /// The name of `dir` in the level above.
    name: CString,
    /// Directories in `dir` that are still to be emptied.
    pending: Vec<CString>,
}

/// Removes `name` in `top` and all beneath it.
pub(super) fn remove_all(top: &Handle, name: impl Arg + Copy) -> Result<(), CallError> {
    match top.unlink(name) {
        Ok(()) => return Ok(()),
        Err(e) => match e.errno() {
            Errno::NOENT => return Ok(()),
            // POSIX says EPERM for a directory, Linux EISDIR.
            Errno::ISDIR | Errno::PERM | Errno::ACCESS => {}
            _ => return Err(e),
        },
    }
    let name =
        name.as_cow_c_str().map_err(|e| CallError::new(format!("unlinkat({top}, a name with NUL)"), e))?.into_owned();
    let first = open_level(top, name)?;
    let Some(first) = first else { return Ok(()) };
    let mut moved = 0_u64;
    let mut levels = vec![first];
    loop {
        let depth = levels.len();
        let Some(level) = levels.last_mut() else { break };
        if let Some(next) = level.pending.pop() {
            if depth >= DEEPEST {
                // Move it to the first level, where its turn comes later.
                let last = levels.len() - 1;
                let mut to = format!(".removed-{moved}");
                loop {
                    moved += 1;
                    match levels[last].dir.rename_noreplace(&*next, &levels[0].dir, to.as_str()) {
                        Ok(()) => break,
                        Err(e) if e.is_exists() => to = format!(".removed-{moved}"),
                        Err(e) => return Err(e),
                    }
                }
                // A name made of digits and letters holds no NUL byte.
                levels[0].pending.push(CString::new(to).unwrap_or_default());
                continue;
            }
            let opened = open_level(&level.dir, next)?;
            levels.extend(opened);
            continue;
        }
        let Some(done) = levels.pop() else { break };
        let parent = levels.last().map_or(top, |l| &l.dir);
        match parent.rmdir(&*done.name) {
            Ok(()) => {}
            Err(e) if e.is_not_found() => {}
            Err(e) if e.errno() == Errno::NOTEMPTY => {
                // Someone added entries meanwhile; read it again, but not for ever.
                let again = open_level(parent, done.name)?;
                match again {
                    Some(l) if l.pending.is_empty() => {
                        parent.rmdir(&*l.name)?;
                    }
                    Some(l) => levels.push(l),
                    None => {}
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Opens a directory, unlinks what is no directory in it, and notes the rest.
///
/// `None` where it has gone meanwhile.
fn open_level(parent: &Handle, name: CString) -> Result<Option<Level>, CallError> {
    let label = parent.child_label(name.to_bytes());
    let fail = |e| CallError::new(format!("openat2({parent}, {name:?}, RESOLVE_NO_XDEV)"), e);
    let fd = match open_same_mount(parent, &name) {
        Err(Errno::ACCESS) => {
            // The owner without capabilities: a directory of mode 0 is his to change.
            parent.chmod(&*name, 0o700)?;
            open_same_mount(parent, &name)
        }
        other => other,
    };
    let dir = match fd {
        Ok(fd) => Handle::from_fd(fd, &label),
        Err(Errno::NOENT) => return Ok(None),
        Err(e) => return Err(fail(e)),
    };
    let mut pending = Vec::new();
    let mut files = Vec::new();
    dir.for_each_entry(|name, kind, _| {
        if kind == Kind::Directory { &mut pending } else { &mut files }.push(name.to_owned());
    })?;
    let mut opened_up = false;
    for name in files {
        match rustix::fs::unlinkat(&dir, &*name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => pending.push(name),
            Err(Errno::ACCESS) if !opened_up => {
                opened_up = true;
                dir.chmod(".", 0o700)?;
                dir.unlink(&*name)?;
            }
            Err(e) => return Err(CallError::new(format!("unlinkat({dir}, {name:?})"), e)),
        }
    }
    if !pending.is_empty() && !opened_up {
        // Sub-directories can be removed only where this one may be written. A failed look is
        // no error: the removal itself reports what is wrong.
        if let Ok(stat) = dir.stat_self()
            && stat.mode & 0o700 != 0o700
        {
            let _ = dir.chmod(".", 0o700);
        }
    }
    Ok(Some(Level { dir, name, pending }))
}

fn open_same_mount(parent: &Handle, name: &CString) -> Result<OwnedFd, Errno> {
    let flags = DIR_FLAGS | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    match rustix::fs::openat2(parent, &**name, flags, Mode::empty(), resolve) {
        Err(Errno::NOSYS | Errno::PERM) => {
            let fd = rustix::fs::openat(parent, &**name, flags, Mode::empty())?;
            let (inner, outer) = (rustix::fs::fstat(fd.as_fd())?, rustix::fs::fstat(parent)?);
            if inner.st_dev == outer.st_dev { Ok(fd) } else { Err(Errno::XDEV) }
        }
        // A rename somewhere on the system; a name in a directory cannot be resolved otherwise.
        Err(Errno::AGAIN) => rustix::fs::openat(parent, &**name, flags, Mode::empty()),
        other => other,
    }
}

//! Advisory locks: files that a process holds open with `flock(2)`.
//!
//! A lock ends with the process that holds it, however that ends. The order in which locks are taken, so
//! that no two processes can wait for each other:
//!
//! ```text
//! cache/<kind>/lock   locks/make-<id>   containers/<id>/lock         held long, while work is done
//!   tmp/<lease>/lock                                                 never waited for
//!     locks/names                                                    held for a change of index.json
//!       locks/sweep                                                  shared for a moment by whoever adds, exclusive for a sweep
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bedplate_sys::CallError;

use crate::disk;

/// Mode of a lock file: only its owner may open it, since whoever can open it can hold it for ever.
const LOCK_MODE: u32 = 0o600;

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Together with others that share it.
    Shared,
    /// Alone.
    Exclusive,
}

/// A lock held until this value is dropped.
#[derive(Debug)]
pub struct LockGuard {
    file: File,
    path: PathBuf,
}

impl LockGuard {
    /// Takes a lock, waiting for it; makes the file where it is missing.
    ///
    /// # Errors
    /// Where the file cannot be opened or locked.
    pub(crate) fn acquire(path: &Path, hold: Hold) -> Result<Self, CallError> {
        loop {
            if let Some(guard) = Self::attempt(path, hold, true)? {
                return Ok(guard);
            }
            tracing::info!(lock = %disk::show(path), "waiting for another bedplate process");
            let file = open(path)?;
            loop {
                let locked = match hold {
                    Hold::Shared => file.lock_shared(),
                    Hold::Exclusive => file.lock(),
                };
                match locked {
                    Ok(()) => break,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(disk::failed("flock", path, &e)),
                }
            }
            // The file may have been removed or replaced while we waited: then it guards nothing.
            if disk::is_at(&file, path)? {
                return Ok(Self { file, path: path.to_owned() });
            }
        }
    }

    /// Takes a lock if it is free; makes the file where it is missing.
    ///
    /// # Errors
    /// Where the file cannot be opened or locked.
    pub(crate) fn try_acquire(path: &Path, hold: Hold) -> Result<Option<Self>, CallError> {
        Self::attempt(path, hold, true)
    }

    /// Takes the lock of a file that exists if it is free; `None` too where the file is gone.
    ///
    /// # Errors
    /// Where the file cannot be opened or locked.
    pub(crate) fn try_existing(path: &Path, hold: Hold) -> Result<Option<Self>, CallError> {
        Self::attempt(path, hold, false)
    }

    fn attempt(path: &Path, hold: Hold, create: bool) -> Result<Option<Self>, CallError> {
        loop {
            let file = if create {
                open(path)?
            } else {
                match File::open(path) {
                    Ok(file) => file,
                    Err(e) if disk::missing(&e) => return Ok(None),
                    Err(e) => return Err(disk::failed("open", path, &e)),
                }
            };
            let tried = match hold {
                Hold::Shared => file.try_lock_shared(),
                Hold::Exclusive => file.try_lock(),
            };
            match tried {
                Ok(()) if disk::is_at(&file, path)? => return Ok(Some(Self { file, path: path.to_owned() })),
                Ok(()) if create => {}
                Ok(()) | Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(TryLockError::Error(e)) => return Err(disk::failed("flock", path, &e)),
            }
        }
    }

    /// The same lock, after its file was renamed.
    pub(crate) fn moved(self, path: PathBuf) -> Self {
        Self { path, ..self }
    }

    /// The file that is locked.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file: a child process that inherits it keeps the lock after this guard is gone.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }
}

fn open(path: &Path) -> Result<File, CallError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(LOCK_MODE)
        .open(path)
        .map_err(|e| disk::failed("open", path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_excludes_whom() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        for (first, second, free) in [
            (Hold::Shared, Hold::Shared, true),
            (Hold::Shared, Hold::Exclusive, false),
            (Hold::Exclusive, Hold::Shared, false),
            (Hold::Exclusive, Hold::Exclusive, false),
        ] {
            let held = LockGuard::acquire(&path, first).unwrap();
            assert_eq!(LockGuard::try_acquire(&path, second).unwrap().is_some(), free, "{first:?} {second:?}");
            drop(held);
            assert!(LockGuard::try_acquire(&path, second).unwrap().is_some());
        }
        assert!(LockGuard::try_existing(&dir.path().join("none"), Hold::Shared).unwrap().is_none());
    }

    #[test]
    fn a_lock_whose_file_was_removed_guards_nothing_and_is_taken_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = LockGuard::acquire(&path, Hold::Exclusive).unwrap();
        let waiter = {
            let path = path.clone();
            std::thread::spawn(move || LockGuard::acquire(&path, Hold::Exclusive).unwrap())
        };
        std::thread::sleep(std::time::Duration::from_millis(30));
        std::fs::remove_file(&path).unwrap();
        drop(held);
        let taken = waiter.join().unwrap();
        assert!(disk::is_at(taken.file(), &path).unwrap());
    }
}

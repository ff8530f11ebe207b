//! Advisory locks on whole files (`flock(2)`), released when dropped or when the process dies.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::FlockOperation;
use rustix::path::Arg;

use crate::error::{CallError, Errno};
use crate::rooted::Handle;

/// Whether others may hold the lock at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Any number of holders, none of them exclusive.
    Shared,
    /// One holder.
    Exclusive,
}

/// A lock that is held on an open file until it is dropped.
///
/// It belongs to the open file description: a child that inherits the descriptor holds it too,
/// which is why it is opened close-on-exec. On NFS it is emulated by byte ranges.
#[derive(Debug)]
pub struct Lock {
    file: File,
    mode: Mode,
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Lock {
    /// Locks an open file, waiting as long as it takes.
    ///
    /// # Errors
    /// What `flock(2)` answers: `ENOLCK` where the kernel lacks memory for locks.
    pub fn wait(file: File, mode: Mode) -> Result<Self, CallError> {
        flock(&file, mode, true)?;
        Ok(Self { file, mode })
    }

    /// Locks an open file if that is possible at once; else gives it back.
    ///
    /// # Errors
    /// What `flock(2)` answers but `EWOULDBLOCK`.
    pub fn try_now(file: File, mode: Mode) -> Result<Result<Self, File>, CallError> {
        match flock(&file, mode, false) {
            Ok(()) => Ok(Ok(Self { file, mode })),
            Err(e) if e.errno() == Errno::WOULDBLOCK => Ok(Err(file)),
            Err(e) => Err(e),
        }
    }

    /// Locks the file `name` in `dir`, making it (mode 0644 less the umask) where it is missing.
    ///
    /// # Errors
    /// What `openat(2)` and `flock(2)` answer.
    pub fn wait_in(dir: &Handle, name: impl Arg + Copy, mode: Mode) -> Result<Self, CallError> {
        Self::wait(dir.open_or_create_file(name, 0o644)?, mode)
    }

    /// Locks the file `name` in `dir` if that is possible at once; `None` where another holds it.
    ///
    /// # Errors
    /// What `openat(2)` and `flock(2)` answer.
    pub fn try_in(dir: &Handle, name: impl Arg + Copy, mode: Mode) -> Result<Option<Self>, CallError> {
        Ok(Self::try_now(dir.open_or_create_file(name, 0o644)?, mode)?.ok())
    }

    /// How the lock is held.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The locked file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether the locked file is still the one that has `name` in `dir`.
    ///
    /// A lock file that is removed by its holder must be looked at again after waiting: one may
    /// hold the lock of a file that nobody else will ever find.
    ///
    /// # Errors
    /// What `fstat(2)` and `fstatat(2)` answer but `ENOENT`.
    pub fn is_current(&self, dir: &Handle, name: impl Arg + Copy) -> Result<bool, CallError> {
        let mine = crate::file::stat(&self.file)?;
        Ok(dir.try_stat(name)?.is_some_and(|s| (s.dev, s.ino) == (mine.dev, mine.ino)))
    }

    /// Changes how the lock is held; another may get it in between.
    ///
    /// # Errors
    /// What `flock(2)` answers.
    pub fn change(&mut self, mode: Mode) -> Result<(), CallError> {
        flock(&self.file, mode, true)?;
        self.mode = mode;
        Ok(())
    }

    /// Releases the lock and gives the file back.
    ///
    /// # Errors
    /// What `flock(2)` answers.
    pub fn release(self) -> Result<File, CallError> {
        let Self { file, .. } = self;
        rustix::fs::flock(&file, FlockOperation::Unlock)
            .map_err(|e| CallError::new(format!("flock([{}], LOCK_UN)", file.as_raw_fd()), e))?;
        Ok(file)
    }
}

fn flock(file: &File, mode: Mode, wait: bool) -> Result<(), CallError> {
    let (operation, shown) = match (mode, wait) {
        (Mode::Shared, true) => (FlockOperation::LockShared, "LOCK_SH"),
        (Mode::Exclusive, true) => (FlockOperation::LockExclusive, "LOCK_EX"),
        (Mode::Shared, false) => (FlockOperation::NonBlockingLockShared, "LOCK_SH|LOCK_NB"),
        (Mode::Exclusive, false) => (FlockOperation::NonBlockingLockExclusive, "LOCK_EX|LOCK_NB"),
    };
    loop {
        match rustix::fs::flock(file, operation) {
            Err(Errno::INTR) => {}
            other => {
                return other.map_err(|e| CallError::new(format!("flock([{}], {shown})", file.as_raw_fd()), e));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_locks_go_together_and_exclusive_ones_alone() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Handle::open(tmp.path()).unwrap();
        for (held, wanted, granted) in [
            (Mode::Shared, Mode::Shared, true),
            (Mode::Shared, Mode::Exclusive, false),
            (Mode::Exclusive, Mode::Shared, false),
            (Mode::Exclusive, Mode::Exclusive, false),
        ] {
            let first = Lock::wait_in(&dir, "lock", held).unwrap();
            let second = Lock::try_in(&dir, "lock", wanted).unwrap();
            assert_eq!(second.is_some(), granted, "{held:?} {wanted:?}");
            drop(first);
            drop(second);
            assert!(Lock::try_in(&dir, "lock", wanted).unwrap().is_some(), "released");
        }
    }

    #[test]
    fn a_removed_lock_file_is_not_current() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Handle::open(tmp.path()).unwrap();
        let lock = Lock::wait_in(&dir, "lock", Mode::Exclusive).unwrap();
        assert!(lock.is_current(&dir, "lock").unwrap());
        dir.unlink("lock").unwrap();
        assert!(!lock.is_current(&dir, "lock").unwrap());
        dir.create_file("lock", 0o600).unwrap();
        assert!(!lock.is_current(&dir, "lock").unwrap());
    }
}

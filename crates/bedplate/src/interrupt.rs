//! Interrupts while something of the user's is written: what is half made goes, and then the program.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bedplate_sys::process::exit_now;
use bedplate_sys::signals::Signals;

use crate::failure::Failure;

/// What a terminal, a supervisor and a closed terminal send: HUP, INT, TERM.
const SIGNALS: [i32; 3] = [1, 2, 15];

/// How long an interrupt waits to be seen.
const PACE: Duration = Duration::from_millis(20);

/// How often it is tried to remove what other threads still write to.
const TRIES: usize = 100;

/// Something that is being made where the user wants it.
#[derive(Debug, Clone)]
pub(crate) enum HalfMade {
    /// A file.
    File(PathBuf),
    /// A directory that was not there.
    Directory(PathBuf),
    /// A directory that was there and empty.
    ContentOf(PathBuf),
}

impl HalfMade {
    /// Removes it.
    ///
    /// # Errors
    /// Where something of it cannot be removed.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let removed = match self {
            Self::File(path) => std::fs::remove_file(path),
            Self::Directory(path) => std::fs::remove_dir_all(path),
            Self::ContentOf(path) => emptied(path),
        };
        match removed {
            // Not if it is only something in it that somebody else removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_gone() => Ok(()),
            other => other,
        }
    }

    fn is_gone(&self) -> bool {
        match self {
            Self::File(path) | Self::Directory(path) => path.symlink_metadata().is_err(),
            Self::ContentOf(path) => path.read_dir().is_ok_and(|mut entries| entries.next().is_none()),
        }
    }
}

fn emptied(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Waits, but not for long, for threads of earlier work to be gone: one that is just ending would take a signal that is
/// blocked here only, and the program would end without cleaning up.
fn await_threads() {
    let alone = || std::fs::read_dir("/proc/self/task").map_or(true, |tasks| tasks.count() <= 1);
    for _ in 0..TRIES {
        if alone() {
            break;
        }
        thread::sleep(Duration::from_micros(200));
    }
}

/// Removes what others still write to: what cannot be removed at once may be a moment later, and in a directory that
/// stays something new may appear until the work has `ended`, which it soon does where its files are gone.
fn remove_under(half_made: &HalfMade, ended: &AtomicBool) {
    for _ in 0..TRIES {
        let stays = matches!(half_made, HalfMade::ContentOf(_)) && !ended.load(Ordering::Acquire);
        if half_made.remove().is_ok() && !stays {
            break;
        }
        thread::sleep(PACE);
    }
}

/// Begins something with `begin` and does some work on it; an interrupt meanwhile removes what is half made and ends the
/// program with 128 and the signal's number.
///
/// Threads that the work starts leave these signals alone.
///
/// # Errors
/// Those of the beginning and the work, and where signals cannot be waited for.
pub(crate) fn guarded<B, T>(
    begin: impl FnOnce() -> Result<(HalfMade, B), Failure>,
    work: impl FnOnce(B) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let signals = Signals::take(&SIGNALS)?;
    await_threads();
    let (half_made, begun) = begin()?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                if let Ok(Some(signal)) = signals.next() {
                    remove_under(&half_made, &done);
                    exit_now(128 + signal);
                }
                thread::park_timeout(PACE);
            }
        });
        let result = work(begun);
        done.store(true, Ordering::Release);
        watcher.thread().unpark();
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_appears_in_a_directory_that_stays_goes_too() {
        let folder = tempfile::tempdir().unwrap();
        let ended = AtomicBool::new(false);
        std::fs::create_dir_all(folder.path().join("first/deep")).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                while folder.path().join("first").exists() {
                    thread::yield_now();
                }
                std::fs::create_dir(folder.path().join("second")).unwrap();
                ended.store(true, Ordering::Release);
            });
            remove_under(&HalfMade::ContentOf(folder.path().to_owned()), &ended);
        });
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
}

//! Terminals: pairs, raw mode, sizes.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Termios};

use crate::error::CallError;
use crate::rooted::Handle;

pub use rustix::termios::Winsize;

/// Whether a descriptor is a terminal.
pub fn is_terminal(fd: impl AsFd) -> bool {
    rustix::termios::isatty(fd)
}

/// Makes a terminal pair in a devpts file system: the controlling side and the program's side.
///
/// # Errors
/// What opening `ptmx` and the `ioctl`s answer.
pub fn pair_in(devpts: &Handle) -> Result<(OwnedFd, OwnedFd), CallError> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let controller = rustix::fs::openat(devpts, "ptmx", flags, Mode::empty())
        .map_err(|e| CallError::new(format!("openat({devpts}, \"ptmx\", O_RDWR)"), e))?;
    rustix::pty::unlockpt(&controller).map_err(|e| CallError::new("ioctl(TIOCSPTLCK)", e))?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let program =
        rustix::pty::ioctl_tiocgptpeer(&controller, flags).map_err(|e| CallError::new("ioctl(TIOCGPTPEER)", e))?;
    Ok((controller, program))
}

/// Makes a terminal the controlling one of this session, which has none.
///
/// # Errors
/// What `ioctl(TIOCSCTTY)` answers.
pub fn make_controlling(terminal: impl AsFd) -> Result<(), CallError> {
    rustix::process::ioctl_tiocsctty(terminal).map_err(|e| CallError::new("ioctl(TIOCSCTTY)", e))
}

/// The size of a terminal; `None` where it has none.
pub fn size(terminal: impl AsFd) -> Option<Winsize> {
    rustix::termios::tcgetwinsize(terminal).ok().filter(|s| s.ws_row > 0 && s.ws_col > 0)
}

/// Sets the size of a terminal.
///
/// # Errors
/// What `ioctl(TIOCSWINSZ)` answers.
pub fn set_size(terminal: impl AsFd, size: Winsize) -> Result<(), CallError> {
    rustix::termios::tcsetwinsize(terminal, size).map_err(|e| CallError::new("ioctl(TIOCSWINSZ)", e))
}

/// A terminal in raw mode, given back as it was when dropped.
#[derive(Debug)]
pub struct Raw<'fd> {
    fd: BorrowedFd<'fd>,
    before: Termios,
}

impl<'fd> Raw<'fd> {
    /// Puts the terminal in raw mode: each key goes to the reader, none means anything.
    ///
    /// # Errors
    /// What `tcgetattr(3)` and `tcsetattr(3)` answer.
    pub fn enter(fd: BorrowedFd<'fd>) -> Result<Self, CallError> {
        let call = |name: &str, e| CallError::new(format!("{name}([{}])", fd.as_raw_fd()), e);
        let before = rustix::termios::tcgetattr(fd).map_err(|e| call("tcgetattr", e))?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(fd, OptionalActions::Now, &raw).map_err(|e| call("tcsetattr", e))?;
        Ok(Self { fd, before })
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        // The terminal may have gone with its window; nothing is left to restore then.
        let _ = rustix::termios::tcsetattr(self.fd, OptionalActions::Now, &self.before);
    }
}

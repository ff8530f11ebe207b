//! Signals read from a descriptor instead of interrupting the process.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::error::{CallError, Errno};
use crate::process::last_errno;

/// Names with their numbers, without `SIG`, as they are on x86_64 and aarch64.
pub const NAMES: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// Finds a signal by number or name, with or without `SIG`, in any case; `RTMIN+n`, `RTMAX-n`.
pub fn by_name(text: &str) -> Option<i32> {
    /// As the C library reserves the first two of 32..=64.
    const RTMIN: i32 = 34;
    const RTMAX: i32 = 64;
    if let Ok(number) = text.parse::<i32>() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str, sign: char| -> Option<i32> {
        if rest.is_empty() { Some(0) } else { rest.strip_prefix(sign)?.parse::<u8>().ok().map(i32::from) }
    };
    let number = match bare {
        "POLL" => 29,
        "IOT" => 6,
        "CLD" => 17,
        _ => {
            if let Some(rest) = bare.strip_prefix("RTMIN") {
                RTMIN + offset(rest, '+')?
            } else if let Some(rest) = bare.strip_prefix("RTMAX") {
                RTMAX - offset(rest, '-')?
            } else {
                return NAMES.iter().find(|(n, _)| *n == bare).map(|(_, number)| *number);
            }
        }
    };
    (number <= RTMAX && !(32..RTMIN).contains(&number)).then_some(number)
}

/// The name of a signal with `SIG`, or its number.
pub fn name(number: i32) -> String {
    match NAMES.iter().find(|(_, n)| *n == number) {
        Some((name, _)) => format!("SIG{name}"),
        None => format!("signal {number}"),
    }
}

/// Signals that are blocked in this thread and read from a descriptor, until it is dropped.
///
/// A child that is made meanwhile inherits the block: see [`Signals::restore_in_child`].
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
    before: SignalMask,
}

struct SignalMask(libc::sigset_t);

impl std::fmt::Debug for SignalMask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignalMask")
    }
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset fills the set; sigaddset refuses numbers that are none.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

fn set_mask(how: libc::c_int, set: &libc::sigset_t) -> Result<libc::sigset_t, CallError> {
    let mut old = MaybeUninit::uninit();
    // SAFETY: both sets live over the call; the second is filled by it.
    let done = unsafe { libc::pthread_sigmask(how, set, old.as_mut_ptr()) };
    if done != 0 {
        return Err(CallError::new("pthread_sigmask()", Errno::from_raw_os_error(done)));
    }
    // SAFETY: the call succeeded and filled it.
    Ok(unsafe { old.assume_init() })
}

impl Signals {
    /// Blocks the signals and opens a descriptor that reads them.
    ///
    /// # Errors
    /// What `signalfd(2)` answers.
    pub fn take(signals: &[i32]) -> Result<Self, CallError> {
        let set = set_of(signals);
        // SAFETY: the set lives over the call; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(CallError::new("signalfd()", last_errno()));
        }
        // SAFETY: the kernel has just made this descriptor for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let before = SignalMask(set_mask(libc::SIG_BLOCK, &set)?);
        Ok(Self { fd, before })
    }

    /// The next signal that arrived, if any; does not wait.
    ///
    /// # Errors
    /// What `read(2)` answers.
    pub fn next(&self) -> Result<Option<i32>, CallError> {
        let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.fd, &mut info) {
            // The number is the first field.
            Ok(_) => Ok(Some(i32::from_ne_bytes([info[0], info[1], info[2], info[3]]))),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(e) => Err(CallError::new(format!("read([{}])", self.fd.as_raw_fd()), e)),
        }
    }

    /// Gives a child the mask that was before, with all signals at their default actions.
    ///
    /// # Errors
    /// What `pthread_sigmask(3)` answers.
    pub fn restore_in_child(&self) -> Result<(), CallError> {
        // All zeros is the default action. By the system call: the C library keeps 32 and 33 to itself, and they may be
        // ignored by whoever started this process.
        const DEFAULT: [u64; 4] = [0; 4];
        for signal in 1..=64 {
            // SAFETY: the array is as large as the kernel's structure on all architectures and is only read; the last
            // argument is the size of its signal set. KILL and STOP are refused without effect.
            unsafe {
                libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), std::ptr::null::<u64>(), 8_usize)
            };
        }
        set_mask(libc::SIG_SETMASK, &set_of(&[])).map(drop)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // The mask is valid, so this cannot fail; there would be nothing to do if it did.
        let _ = set_mask(libc::SIG_SETMASK, &self.before.0);
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, number) in [
            ("TERM", Some(15)),
            ("sigterm", Some(15)),
            ("SIGKILL", Some(9)),
            ("9", Some(9)),
            ("0", None),
            ("65", None),
            ("64", Some(64)),
            ("RTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("RTMIN+31", None),
            ("RTMAX-40", Some(24)),
            ("SIGNONE", None),
            ("", None),
        ] {
            // RTMAX-40 is the number of another signal and harmless.
            assert_eq!(by_name(text), number, "{text}");
        }
        assert_eq!(name(15), "SIGTERM");
        assert_eq!(name(40), "signal 40");
    }

    #[test]
    fn a_taken_signal_is_read() {
        let signals = Signals::take(&[libc::SIGUSR1]).unwrap();
        assert_eq!(signals.next().unwrap(), None);
        // SAFETY: to this thread, which has it blocked.
        unsafe { libc::raise(libc::SIGUSR1) };
        assert_eq!(signals.next().unwrap(), Some(libc::SIGUSR1));
    }
}

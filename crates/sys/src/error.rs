//! Errors of system calls: the call as it was made, and what the kernel answered.

use std::fmt;
use std::io;

pub use rustix::io::Errno;

/// A system call that failed, with its arguments decoded.
///
/// `Display` gives `fchownat([7]"rootfs", "var/mail", 0, 70008): invalid argument (EINVAL)`: the
/// object is inside, so callers add the level above and need not repeat it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    call: Box<str>,
    errno: Errno,
}

impl CallError {
    /// Makes an error of a call's text and the kernel's answer.
    pub fn new(call: impl Into<Box<str>>, errno: Errno) -> Self {
        Self { call: call.into(), errno }
    }

    /// Makes an error of a call's text and a `std::io` error, keeping its errno.
    ///
    /// An error that carries no errno (a short read, an encoding) becomes `EIO`, with its own
    /// words in the call.
    pub fn from_io(call: impl Into<Box<str>>, error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(errno) => Self::new(call, errno),
            None => Self::new(format!("{}: {error}", call.into()), Errno::IO),
        }
    }

    /// The kernel's answer.
    pub fn errno(&self) -> Errno {
        self.errno
    }

    /// The call with its arguments, as it is displayed.
    pub fn call(&self) -> &str {
        &self.call
    }

    /// Whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.errno == Errno::NOENT
    }

    /// Whether the object exists already.
    pub fn is_exists(&self) -> bool {
        self.errno == Errno::EXIST
    }

    /// Whether the kernel or the file system lacks the operation.
    pub fn is_unsupported(&self) -> bool {
        matches!(self.errno, Errno::NOSYS | Errno::OPNOTSUPP)
    }

    /// Whether rights were lacking (`EPERM`, `EACCES`).
    pub fn is_denied(&self) -> bool {
        matches!(self.errno, Errno::PERM | Errno::ACCESS)
    }

    /// The kind that `std::io` gives the errno.
    pub fn kind(&self) -> io::ErrorKind {
        io::Error::from(self.errno).kind()
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, Words(self.errno))
    }
}

impl std::error::Error for CallError {}

impl From<CallError> for io::Error {
    fn from(error: CallError) -> Self {
        io::Error::new(error.kind(), error)
    }
}

/// Displays an errno in words with its name: `invalid argument (EINVAL)`.
///
/// The words are our own, so that messages do not vary with the C library or the locale.
#[derive(Clone, Copy, Debug)]
pub struct Words(pub Errno);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|row| row.0 == self.0) {
            Some((_, name, words)) => write!(f, "{words} ({name})"),
            None => write!(f, "error {}", self.0.raw_os_error()),
        }
    }
}

const NAMES: &[(Errno, &str, &str)] = &[
    (Errno::PERM, "EPERM", "operation not permitted"),
    (Errno::NOENT, "ENOENT", "no such file or directory"),
    (Errno::SRCH, "ESRCH", "no such process"),
    (Errno::INTR, "EINTR", "interrupted"),
    (Errno::IO, "EIO", "input/output error"),
    (Errno::NXIO, "ENXIO", "no such device or address"),
    (Errno::TOOBIG, "E2BIG", "argument list too long"),
    (Errno::NOEXEC, "ENOEXEC", "not an executable format"),
    (Errno::BADF, "EBADF", "bad file descriptor"),
    (Errno::CHILD, "ECHILD", "no child process"),
    (Errno::AGAIN, "EAGAIN", "resource temporarily unavailable"),
    (Errno::NOMEM, "ENOMEM", "out of memory"),
    (Errno::ACCESS, "EACCES", "permission denied"),
    (Errno::FAULT, "EFAULT", "bad address"),
    (Errno::NOTBLK, "ENOTBLK", "not a block device"),
    (Errno::BUSY, "EBUSY", "device or resource busy"),
    (Errno::EXIST, "EEXIST", "file exists"),
    (Errno::XDEV, "EXDEV", "crosses a boundary of file systems"),
    (Errno::NODEV, "ENODEV", "no such device"),
    (Errno::NOTDIR, "ENOTDIR", "not a directory"),
    (Errno::ISDIR, "EISDIR", "is a directory"),
    (Errno::INVAL, "EINVAL", "invalid argument"),
    (Errno::NFILE, "ENFILE", "too many open files in the system"),
    (Errno::MFILE, "EMFILE", "too many open files in this process"),
    (Errno::NOTTY, "ENOTTY", "not a terminal"),
    (Errno::TXTBSY, "ETXTBSY", "text file busy"),
    (Errno::FBIG, "EFBIG", "file too large"),
    (Errno::NOSPC, "ENOSPC", "no space left on device"),
    (Errno::SPIPE, "ESPIPE", "not seekable"),
    (Errno::ROFS, "EROFS", "read-only file system"),
    (Errno::MLINK, "EMLINK", "too many links"),
    (Errno::PIPE, "EPIPE", "broken pipe"),
    (Errno::DOM, "EDOM", "out of domain"),
    (Errno::RANGE, "ERANGE", "result does not fit"),
    (Errno::DEADLK, "EDEADLK", "deadlock avoided"),
    (Errno::NAMETOOLONG, "ENAMETOOLONG", "file name too long"),
    (Errno::NOLCK, "ENOLCK", "no locks available"),
    (Errno::NOSYS, "ENOSYS", "not implemented by this kernel"),
    (Errno::NOTEMPTY, "ENOTEMPTY", "directory not empty"),
    (Errno::LOOP, "ELOOP", "too many symbolic links"),
    (Errno::NODATA, "ENODATA", "no data available"),
    (Errno::OVERFLOW, "EOVERFLOW", "value too large"),
    (Errno::ILSEQ, "EILSEQ", "invalid byte sequence"),
    (Errno::USERS, "EUSERS", "too many users"),
    (Errno::NOTSOCK, "ENOTSOCK", "not a socket"),
    (Errno::OPNOTSUPP, "EOPNOTSUPP", "operation not supported"),
    (Errno::ADDRINUSE, "EADDRINUSE", "address in use"),
    (Errno::ADDRNOTAVAIL, "EADDRNOTAVAIL", "address not available"),
    (Errno::NETUNREACH, "ENETUNREACH", "network unreachable"),
    (Errno::CONNRESET, "ECONNRESET", "connection reset"),
    (Errno::NOBUFS, "ENOBUFS", "no buffer space"),
    (Errno::TIMEDOUT, "ETIMEDOUT", "timed out"),
    (Errno::CONNREFUSED, "ECONNREFUSED", "connection refused"),
    (Errno::STALE, "ESTALE", "stale file handle"),
    (Errno::DQUOT, "EDQUOT", "disk quota exceeded"),
    (Errno::CANCELED, "ECANCELED", "cancelled"),
    (Errno::KEYREJECTED, "EKEYREJECTED", "key rejected"),
];

/// Quotes a path or name for a message: bytes that are not UTF-8 or not printable are escaped.
pub fn quoted(bytes: &[u8]) -> String {
    use std::fmt::Write;
    // Long enough for any real path to be recognised; a hostile one shall not flood a terminal.
    const LONGEST: usize = 512;
    let mut text = String::with_capacity(bytes.len().min(LONGEST) + 2);
    text.push('"');
    let mut room = LONGEST;
    'all: for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if room == 0 {
                break 'all;
            }
            room -= 1;
            match c {
                '"' | '\\' => {
                    text.push('\\');
                    text.push(c);
                }
                c if c.is_control() => text.extend(c.escape_default()),
                c => text.push(c),
            }
        }
        for b in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{b:02x}");
            room = room.saturating_sub(1);
        }
    }
    text.push('"');
    if room == 0 {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_error_shows_call_and_words() {
        let e = CallError::new("fchownat([7]\"rootfs\", \"var/mail\", 0, 70008)", Errno::INVAL);
        assert_eq!(e.to_string(), "fchownat([7]\"rootfs\", \"var/mail\", 0, 70008): invalid argument (EINVAL)");
        assert_eq!(e.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn quoting() {
        let long = vec![b'a'; 600];
        for (input, expected) in [
            (&b"plain"[..], "\"plain\"".to_string()),
            (b"a\"b\\", "\"a\\\"b\\\\\"".to_string()),
            (b"\x1b[2J\n", "\"\\u{1b}[2J\\n\"".to_string()),
            (b"\xffx", "\"\\xffx\"".to_string()),
            ("grün".as_bytes(), "\"grün\"".to_string()),
            (&long, format!("\"{}\"…", "a".repeat(512))),
        ] {
            assert_eq!(quoted(input), expected);
        }
    }
}

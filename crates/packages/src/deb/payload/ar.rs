//! The `ar` around a package's members.
//!
//! ```text
//! "!<arch>\n" then for each member: name[16] mtime[12] uid[6] gid[6] mode[8] size[10] "`\n", content, "\n" where it is odd
//! ```

use std::io::{self, Read};

use super::DebError;

const MAGIC: &[u8; 8] = b"!<arch>\n";

const HEADER: usize = 60;

/// A member whose content comes next.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: String,
    /// Where its header begins in the package.
    pub(super) header_offset: u64,
    /// Where its content begins in the package.
    pub(super) offset: u64,
}

/// Reads member after member.
#[derive(Debug)]
pub(super) struct Ar<R> {
    source: R,
    position: u64,
    /// Bytes of the current member that nobody read yet, and whether one of padding follows.
    left: u64,
    padding: bool,
    /// Its name, for messages.
    current: String,
    /// The source failed or ended early: what readers above report is a consequence of it.
    failed: bool,
    truncated: bool,
}

impl<R: Read> Ar<R> {
    pub(super) fn new(source: R) -> Result<Self, DebError> {
        let mut ar = Self {
            source,
            position: 0,
            left: 0,
            padding: false,
            current: String::new(),
            failed: false,
            truncated: false,
        };
        let mut magic = [0; MAGIC.len()];
        let count = ar.fill(&mut magic)?;
        if magic != *MAGIC {
            let found = String::from_utf8_lossy(&magic[..count]).into_owned();
            return Err(DebError::NotDeb { found });
        }
        Ok(ar)
    }

    /// Fills as much of `target` as there is.
    fn fill(&mut self, target: &mut [u8]) -> Result<usize, DebError> {
        let mut filled = 0;
        while filled < target.len() {
            match self.source.read(&mut target[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(DebError::Read { offset: self.position + filled as u64, source }),
            }
        }
        self.position += filled as u64;
        Ok(filled)
    }

    /// Passes over what is left of the current member, and reads the next header; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Member>, DebError> {
        self.skip()?;
        let header_offset = self.position;
        let mut header = [0; HEADER];
        match self.fill(&mut header)? {
            0 => return Ok(None),
            HEADER => {}
            _ => return Err(DebError::Header { offset: header_offset, reason: "the package ends inside it" }),
        }
        let bad = |reason| DebError::Header { offset: header_offset, reason };
        if header[58..] != *b"`\n" {
            return Err(bad("its last two bytes are not those of a header"));
        }
        let name = header[..16].trim_ascii_end();
        let name = name.strip_suffix(b"/").unwrap_or(name);
        let name = std::str::from_utf8(name).ok().filter(|name| name.bytes().all(|b| b.is_ascii_graphic()));
        let name = name.filter(|name| !name.is_empty()).ok_or(bad("its name is not printable"))?.to_owned();
        let size = header[48..58].trim_ascii_end();
        let digits = !size.is_empty() && size.iter().all(u8::is_ascii_digit);
        // Ten digits always fit.
        let size = std::str::from_utf8(size).ok().filter(|_| digits).and_then(|size| size.parse().ok());
        self.left = size.ok_or(bad("its size is not a number"))?;
        self.padding = self.left % 2 == 1;
        self.current.clone_from(&name);
        Ok(Some(Member { name, header_offset, offset: self.position }))
    }

    /// The same, members whose names begin with `_` passed over: deb(5) says that they are to be ignored.
    pub(super) fn next_wanted(&mut self) -> Result<Option<Member>, DebError> {
        loop {
            match self.next()? {
                Some(member) if member.name.starts_with('_') => {}
                other => return Ok(other),
            }
        }
    }

    fn skip(&mut self) -> Result<(), DebError> {
        let mut buffer = [0; 8 << 10];
        // The last member may lack its padding.
        let mut missing = self.left;
        while missing > 0 {
            let wanted = missing.min(buffer.len() as u64) as usize;
            let count = self.fill(&mut buffer[..wanted])?;
            missing -= count as u64;
            if count < wanted {
                return Err(DebError::Truncated { member: self.current.clone(), end: self.position });
            }
        }
        self.left = 0;
        if std::mem::take(&mut self.padding) {
            self.fill(&mut buffer[..1])?;
        }
        Ok(())
    }

    /// The content of the current member.
    pub(super) fn body(&mut self, _: &Member) -> MemberReader<'_, R> {
        MemberReader { ar: self }
    }
}

impl<R> Ar<R> {
    /// How many bytes were read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Whether the source failed while a member was read, or ended in it.
    pub(super) fn failed(&self) -> bool {
        self.failed
    }

    /// What an error from a member's body means.
    pub(super) fn explain(&self, member: &Member, source: io::Error) -> DebError {
        match self.truncated {
            true => DebError::Truncated { member: member.name.clone(), end: self.position },
            false => DebError::Read { offset: self.position, source },
        }
    }
}

/// Reads the content of one member. An end before the size in its header is an error.
#[derive(Debug)]
pub(super) struct MemberReader<'a, R> {
    ar: &'a mut Ar<R>,
}

impl<R: Read> Read for MemberReader<'_, R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let ar = &mut *self.ar;
        let wanted = ar.left.min(target.len() as u64) as usize;
        if wanted == 0 {
            return Ok(0);
        }
        match ar.source.read(&mut target[..wanted]) {
            Ok(0) => {
                (ar.failed, ar.truncated) = (true, true);
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the package ends inside the member"))
            }
            Ok(count) => {
                ar.left -= count as u64;
                ar.position += count as u64;
                Ok(count)
            }
            Err(error) => {
                ar.failed = error.kind() != io::ErrorKind::Interrupted;
                Err(error)
            }
        }
    }
}

//! The bytes below the reader: a buffer, a position, and what the bytes pass through.

use std::io::{self, Read};

use super::error::At;
use super::{BLOCK, TarError};

/// The bytes that one read asks for: large enough that system calls do not count, small enough for a core's cache.
const BUFFER: usize = 256 << 10;

/// Takes every byte of an archive in order, exactly once: a hasher, a blob being written.
///
/// `()` takes nothing.
pub trait Tap {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// What the taker's work gives; reading stops there.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()>;
}

impl Tap for () {
    fn take(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

impl<T: Tap + ?Sized> Tap for &mut T {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        (**self).take(bytes)
    }
}

#[derive(Debug)]
pub(crate) struct Stream<R, T> {
    source: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    position: u64,
    tap: T,
    /// Bytes kept back from the tap, because they may still be changed.
    held: Vec<u8>,
    holding: bool,
}

impl<R: Read, T: Tap> Stream<R, T> {
    pub(crate) fn new(source: R, tap: T) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { source, buffer, start: 0, end: 0, position: 0, tap, held: Vec::new(), holding: false }
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn into_tap(self) -> T {
        self.tap
    }

    /// Keeps what is consumed from now on back from the tap.
    pub(crate) fn hold(&mut self) {
        self.holding = true;
    }

    /// What is kept back.
    pub(crate) fn held(&mut self) -> &mut [u8] {
        &mut self.held
    }

    /// Gives the tap what was kept back.
    pub(crate) fn release(&mut self) -> Result<(), TarError> {
        self.holding = false;
        let offset = self.position - self.held.len() as u64;
        self.tap.take(&self.held).map_err(|source| TarError::Pass { offset, source })?;
        self.held.clear();
        Ok(())
    }

    /// Reads once more into the buffer; false at the end of the source.
    fn fill(&mut self) -> Result<bool, TarError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buffer.len() - self.end < BLOCK {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let offset = self.position + (self.end - self.start) as u64;
        let read = read(&mut self.source, &mut self.buffer[self.end..], offset)?;
        self.end += read;
        Ok(read > 0)
    }

    /// The next bytes, up to `wanted` (at most a block), fewer only at the end.
    pub(crate) fn peek(&mut self, wanted: usize) -> Result<&[u8], TarError> {
        while self.end - self.start < wanted && self.fill()? {}
        let available = (self.end - self.start).min(wanted);
        Ok(&self.buffer[self.start..self.start + available])
    }

    fn consume(&mut self, count: usize) -> Result<(), TarError> {
        let bytes = &self.buffer[self.start..self.start + count];
        if self.holding {
            self.held.extend_from_slice(bytes);
        } else {
            let offset = self.position;
            self.tap.take(bytes).map_err(|source| TarError::Pass { offset, source })?;
        }
        self.start += count;
        self.position += count as u64;
        Ok(())
    }

    /// Takes one block; `None` where the source ends before it. `at` and `part` are for the message where it ends within.
    pub(crate) fn block(&mut self, at: &At, part: &'static str) -> Result<Option<[u8; BLOCK]>, TarError> {
        let peeked = self.peek(BLOCK)?;
        let Ok(block) = <[u8; BLOCK]>::try_from(peeked) else {
            let missing = peeked.len();
            return match missing {
                0 => Ok(None),
                _ => Err(TarError::Truncated { at: at.clone(), part, end: self.position + missing as u64 }),
            };
        };
        self.consume(BLOCK)?;
        Ok(Some(block))
    }

    /// Takes `count` bytes, which the caller has bounded.
    pub(crate) fn bytes(&mut self, count: u64, at: &At, part: &'static str) -> Result<Vec<u8>, TarError> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        while bytes.len() < count {
            if self.start == self.end && !self.fill()? {
                return Err(TarError::Truncated { at: at.clone(), part, end: self.position });
            }
            let take = (self.end - self.start).min(count - bytes.len());
            bytes.extend_from_slice(&self.buffer[self.start..self.start + take]);
            self.consume(take)?;
        }
        Ok(bytes)
    }

    /// Passes over up to `count` bytes; returns how many are missing at the end of the source.
    pub(crate) fn skip(&mut self, mut count: u64) -> Result<u64, TarError> {
        while count > 0 {
            if self.start == self.end && !self.fill()? {
                break;
            }
            let take = count.min((self.end - self.start) as u64) as usize;
            self.consume(take)?;
            count -= take as u64;
        }
        Ok(count)
    }

    /// Reads into `target`, past the buffer where it is empty and the target large; 0 only at the end.
    pub(crate) fn read(&mut self, target: &mut [u8]) -> Result<usize, TarError> {
        if target.is_empty() {
            return Ok(0);
        }
        if self.start == self.end {
            if target.len() >= BUFFER / 4 && !self.holding {
                let offset = self.position;
                let count = read(&mut self.source, target, offset)?;
                self.tap.take(&target[..count]).map_err(|source| TarError::Pass { offset, source })?;
                self.position += count as u64;
                return Ok(count);
            }
            if !self.fill()? {
                return Ok(0);
            }
        }
        let take = target.len().min(self.end - self.start);
        target[..take].copy_from_slice(&self.buffer[self.start..self.start + take]);
        self.consume(take)?;
        Ok(take)
    }
}

fn read(source: &mut impl Read, target: &mut [u8], offset: u64) -> Result<usize, TarError> {
    loop {
        match source.read(target) {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(TarError::Read { offset, source }),
        }
    }
}

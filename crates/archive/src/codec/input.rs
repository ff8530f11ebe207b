//! A buffered source that knows how much was taken from it, and whether it ended or failed.

use std::io::{self, BufRead, Read};

const BUFFER: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Input<R> {
    source: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    pub(super) consumed: u64,
    /// More was asked for and there was none.
    pub(super) ended: bool,
    /// An error was the source's, not the decoder's.
    pub(super) failed: bool,
}

impl<R: Read> Input<R> {
    pub(super) fn new(source: R) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { source, buffer, start: 0, end: 0, consumed: 0, ended: false, failed: false }
    }

    /// The first bytes: `wanted` of them, fewer where the source is shorter.
    pub(super) fn first(&mut self, wanted: usize) -> io::Result<&[u8]> {
        while self.end - self.start < wanted && self.end < self.buffer.len() {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + wanted)])
    }
}

impl<R: Read> BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.start == self.end {
            match self.source.read(&mut self.buffer) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(&[]);
                }
                Ok(count) => (self.start, self.end) = (0, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        self.consumed += count as u64;
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if target.is_empty() {
            return Ok(0);
        }
        // A large target is read into at once.
        if self.start == self.end && target.len() >= BUFFER / 4 {
            loop {
                match self.source.read(target) {
                    Ok(count) => {
                        self.consumed += count as u64;
                        return Ok(count);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        self.failed = true;
                        return Err(error);
                    }
                }
            }
        }
        let available = self.fill_buf()?;
        let count = available.len().min(target.len());
        target[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

//! xz on several threads where the stream has several blocks.

use std::io::{self, BufRead, Read};

use liblzma::stream::{Action, Error, MtStreamBuilder, Status, Stream};

use super::XZ_MEMORY;
use super::input::Input;

/// Threads that decode blocks. More than two wait for the hash and the disk.
const THREADS: u32 = 2;

/// Memory beyond which blocks are decoded one after the other instead of being refused.
const THREADED_MEMORY: u64 = 384 << 20;

/// Calls without any progress after which a stream is called corrupt instead of being asked once more.
const PATIENCE: u32 = 8;

pub(super) struct XzDecoder<R> {
    input: Input<R>,
    /// The stream being decoded; `None` between two.
    stream: Option<Stream>,
}

impl<R> XzDecoder<R> {
    pub(super) fn new(input: Input<R>) -> Self {
        Self { input, stream: None }
    }

    pub(super) fn input(&self) -> &Input<R> {
        &self.input
    }
}

fn new_stream() -> Result<Stream, Error> {
    let mut builder = MtStreamBuilder::new();
    builder.threads(THREADS).memlimit_threading(THREADED_MEMORY).memlimit_stop(XZ_MEMORY);
    builder.decoder()
}

impl<R: Read> XzDecoder<R> {
    /// Skips the padding between streams; false at the end of the input.
    fn next_stream(&mut self) -> io::Result<bool> {
        let mut zeros = 0;
        loop {
            let available = self.input.fill_buf()?;
            let count = available.iter().take_while(|&&b| b == 0).count();
            let (ended, reached) = (available.is_empty(), count < available.len());
            self.input.consume(count);
            zeros += count;
            if ended || reached {
                // Spec: The .xz File Format 2.2 "Stream Padding": a multiple of four.
                return match zeros % 4 {
                    0 => Ok(reached),
                    _ => Err(io::Error::new(io::ErrorKind::InvalidData, "stream padding is no multiple of four bytes")),
                };
            }
        }
    }
}

impl<R: Read> Read for XzDecoder<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if target.is_empty() {
            return Ok(0);
        }
        let mut idle = 0;
        loop {
            if self.stream.is_none() {
                // The first stream has to be there: an empty input is no xz.
                if self.input.consumed > 0 && !self.next_stream()? {
                    return Ok(0);
                }
                self.stream = Some(new_stream()?);
            }
            let Some(stream) = &mut self.stream else { continue };
            let available = self.input.fill_buf()?;
            let ended = available.is_empty();
            let (before_in, before_out) = (stream.total_in(), stream.total_out());
            let action = if ended { Action::Finish } else { Action::Run };
            let result = stream.process(available, target, action);
            let consumed = (stream.total_in() - before_in) as usize;
            let written = (stream.total_out() - before_out) as usize;
            self.input.consume(consumed);
            if result? == Status::StreamEnd {
                self.stream = None;
            }
            if written > 0 {
                return Ok(written);
            }
            idle = if consumed == 0 && self.stream.is_some() { idle + 1 } else { 0 };
            if idle > PATIENCE {
                return Err(match ended {
                    true => io::ErrorKind::UnexpectedEof.into(),
                    false => io::Error::new(io::ErrorKind::InvalidData, "decoder makes no progress"),
                });
            }
        }
    }
}

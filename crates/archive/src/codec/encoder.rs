//! Compression with the same bytes for the same input: no times, no names, fixed blocks.

use std::fmt;
use std::io::{self, Write};

use liblzma::stream::{Check, MtStreamBuilder};

use super::Compression;
use super::gzip::GzipEncoder;

/// The uncompressed bytes of one xz block: three times the dictionary of preset 6, as xz itself takes them. Blocks
/// are what several threads work on, here and when the stream is read.
const XZ_BLOCK: u64 = 24 << 20;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeOptions {
    /// The format's own level: 6 of 9 for gzip and xz, 3 of 19 for zstd, 9 of 9 for bzip2 by default.
    pub level: Option<u32>,
    /// Threads, at least one. Their number never changes the bytes.
    pub workers: u32,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { level: None, workers: 1 }
    }
}

enum Inner<W: Write> {
    Plain(W),
    Gzip(Box<GzipEncoder<W>>),
    Bzip2(Box<bzip2::write::BzEncoder<W>>),
    Xz(Box<liblzma::write::XzEncoder<W>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, W>>),
}

/// Writes a compressed stream; [`Encoder::finish`] ends it.
///
/// The bytes depend on the input, the format, its level and the version of the library alone: not on the sizes of
/// writes, flushes, the number of workers, or the time.
pub struct Encoder<W: Write> {
    inner: Inner<W>,
}

impl<W: Write> Encoder<W> {
    /// Compresses what is written to `sink`.
    ///
    /// # Errors
    /// Where the format has no such level, or an encoder cannot have its memory.
    pub fn new(sink: W, compression: Compression, options: EncodeOptions) -> io::Result<Self> {
        let workers = options.workers.max(1);
        let inner = match compression {
            Compression::None => Inner::Plain(sink),
            Compression::Gzip => Inner::Gzip(Box::new(GzipEncoder::new(sink, options.level.unwrap_or(6), workers))),
            Compression::Bzip2 => {
                let level = bzip2::Compression::new(options.level.unwrap_or(9).clamp(1, 9));
                Inner::Bzip2(Box::new(bzip2::write::BzEncoder::new(sink, level)))
            }
            Compression::Xz => {
                // Always the encoder for threads: the one without writes other bytes.
                let mut builder = MtStreamBuilder::new();
                builder.threads(workers).preset(options.level.unwrap_or(6)).check(Check::Crc64).block_size(XZ_BLOCK);
                Inner::Xz(Box::new(liblzma::write::XzEncoder::new_stream(sink, builder.encoder()?)))
            }
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(sink, options.level.unwrap_or(3) as i32)?;
                encoder.include_checksum(true)?;
                // Without workers zstd writes other bytes than with any number of them.
                encoder.multithread(workers)?;
                Inner::Zstd(Box::new(encoder))
            }
        };
        Ok(Self { inner })
    }

    /// Ends the stream and returns what took it.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn finish(self) -> io::Result<W> {
        match self.inner {
            Inner::Plain(sink) => Ok(sink),
            Inner::Gzip(encoder) => encoder.finish(),
            Inner::Bzip2(encoder) => encoder.finish(),
            Inner::Xz(encoder) => encoder.finish(),
            Inner::Zstd(encoder) => encoder.finish(),
        }
    }

    /// What takes the compressed bytes.
    pub fn get_ref(&self) -> &W {
        match &self.inner {
            Inner::Plain(sink) => sink,
            Inner::Gzip(encoder) => encoder.get_ref(),
            Inner::Bzip2(encoder) => encoder.get_ref(),
            Inner::Xz(encoder) => encoder.get_ref(),
            Inner::Zstd(encoder) => encoder.get_ref(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::Plain(sink) => sink.write(bytes),
            Inner::Gzip(encoder) => encoder.write(bytes),
            Inner::Bzip2(encoder) => encoder.write(bytes),
            Inner::Xz(encoder) => encoder.write(bytes),
            Inner::Zstd(encoder) => encoder.write(bytes),
        }
    }

    /// Flushes what takes the bytes, never the format's own blocks: the output may not depend on flushes.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.inner {
            Inner::Plain(sink) => sink.flush(),
            _ => Ok(()),
        }
    }
}

impl<W: Write> fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner {
            Inner::Plain(_) => f.write_str("Encoder(none)"),
            Inner::Gzip(encoder) => write!(f, "Encoder(gzip, level {})", encoder.level()),
            Inner::Bzip2(_) => f.write_str("Encoder(bzip2)"),
            Inner::Xz(_) => f.write_str("Encoder(xz)"),
            Inner::Zstd(_) => f.write_str("Encoder(zstd)"),
        }
    }
}

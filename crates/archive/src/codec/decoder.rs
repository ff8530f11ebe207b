//! Decompression of a stream, whatever it is compressed with.

use std::fmt;
use std::io::{self, Read};

use super::input::Input;
use super::xz::XzDecoder;
use super::{CodecError, Compression, DETECT, Expansion, XZ_MEMORY, ZSTD_WINDOW_LOG};

enum Inner<R: Read> {
    Plain(Input<R>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<Input<R>>>),
    Bzip2(Box<bzip2::bufread::MultiBzDecoder<Input<R>>>),
    Xz(Box<XzDecoder<R>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Input<R>>>),
}

/// Reads the uncompressed bytes of a stream.
///
/// Reads fail with an [`io::Error`] that holds a [`CodecError`], or with the source's own error. After the end the
/// source has been read to its end, too: what follows a compressed stream is an error, not left behind.
pub struct Decoder<R: Read> {
    inner: Inner<R>,
    compression: Compression,
    expansion: Expansion,
    output: u64,
}

impl<R: Read> Decoder<R> {
    /// Recognises the compression of `source` by its first bytes.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(source: R) -> io::Result<Self> {
        let mut input = Input::new(source);
        let compression = Compression::detect(input.first(DETECT)?);
        Self::over(input, compression)
    }

    /// Takes `source` for compressed as it is said to be.
    ///
    /// # Errors
    /// Where a decoder cannot have its memory.
    pub fn with_compression(source: R, compression: Compression) -> io::Result<Self> {
        Self::over(Input::new(source), compression)
    }

    fn over(input: Input<R>, compression: Compression) -> io::Result<Self> {
        let inner = match compression {
            Compression::None => Inner::Plain(input),
            Compression::Gzip => Inner::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(input))),
            Compression::Bzip2 => Inner::Bzip2(Box::new(bzip2::bufread::MultiBzDecoder::new(input))),
            Compression::Xz => Inner::Xz(Box::new(XzDecoder::new(input))),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Inner::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { inner, compression, expansion: Expansion::default(), output: 0 })
    }

    /// Sets how large the stream may become.
    #[must_use]
    pub fn expansion(mut self, expansion: Expansion) -> Self {
        self.expansion = expansion;
        self
    }

    /// What the stream is compressed with.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Compressed bytes used so far.
    #[must_use]
    pub fn input_count(&self) -> u64 {
        self.input().consumed
    }

    /// Uncompressed bytes read so far.
    #[must_use]
    pub fn output_count(&self) -> u64 {
        self.output
    }

    fn input(&self) -> &Input<R> {
        match &self.inner {
            Inner::Plain(input) => input,
            Inner::Gzip(decoder) => decoder.get_ref(),
            Inner::Bzip2(decoder) => decoder.get_ref(),
            Inner::Xz(decoder) => decoder.input(),
            Inner::Zstd(decoder) => decoder.get_ref(),
        }
    }

    /// Says what a decoder's error means: the source failed, the stream ends early, or it is damaged.
    fn explain(&self, source: io::Error) -> io::Error {
        let (compression, output) = (self.compression, self.output);
        let Input { consumed: input, failed, ended, .. } = *self.input();
        if failed {
            return source;
        }
        let error = if is_memory(compression, &source) {
            let limit = match compression {
                Compression::Zstd => 1 << (ZSTD_WINDOW_LOG - 20),
                _ => XZ_MEMORY >> 20,
            };
            CodecError::Memory { compression, input, limit }
        } else if ended || source.kind() == io::ErrorKind::UnexpectedEof {
            CodecError::Truncated { compression, input, output }
        } else {
            CodecError::Corrupt { compression, input, output, source }
        };
        let kind = match error {
            CodecError::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }

    fn check(&self) -> io::Result<()> {
        let (compression, output, Expansion { output: limit, ratio, floor }) =
            (self.compression, self.output, self.expansion);
        let input = self.input().consumed;
        let error = if output > limit {
            CodecError::TooLarge { compression, input, limit }
        } else if compression != Compression::None && output > floor && output / input.max(1) > ratio {
            CodecError::Ratio { compression, input, output, limit: ratio }
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

fn is_memory(compression: Compression, error: &io::Error) -> bool {
    match compression {
        Compression::Xz => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<liblzma::stream::Error>());
            inner == Some(&liblzma::stream::Error::MemLimit)
        }
        // The binding keeps nothing but zstd's text of the error.
        Compression::Zstd => error.to_string().contains("requires too much memory"),
        _ => false,
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.inner {
            Inner::Plain(input) => input.read(target),
            Inner::Gzip(decoder) => decoder.read(target),
            Inner::Bzip2(decoder) => decoder.read(target),
            Inner::Xz(decoder) => decoder.read(target),
            Inner::Zstd(decoder) => decoder.read(target),
        };
        let count = read.map_err(|error| self.explain(error))?;
        self.output += count as u64;
        self.check()?;
        Ok(count)
    }
}

impl<R: Read> fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("compression", &self.compression)
            .field("input", &self.input_count())
            .field("output", &self.output)
            .finish()
    }
}

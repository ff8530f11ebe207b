//! Compression, recognised by content.
//!
//! | format | several parts in a row | after the end | limits |
//! |---|---|---|---|
//! | gzip | members are joined | anything else is an error | |
//! | bzip2 | streams are joined | the same | |
//! | xz | streams are joined, padding between them is skipped | the same | [`XZ_MEMORY`] |
//! | zstd | frames are joined, skippable ones skipped | the same | [`ZSTD_WINDOW_LOG`] |

mod decoder;
mod encoder;
mod gzip;
mod input;
mod xz;

pub use decoder::Decoder;
pub use encoder::{EncodeOptions, Encoder};

use thiserror::Error;

/// How many first bytes [`Compression::detect`] wants to see.
pub const DETECT: usize = 10;

/// The memory that an xz stream may ask of one decoder: what `xz -9` writes needs 65 MiB, `--lzma2=dict=128MiB` twice that.
pub const XZ_MEMORY: u64 = 256 << 20;

/// The largest window of a zstd frame, as a power of two: 128 MiB, the zstd tool's own limit. What `--long=31` writes
/// needs 2 GiB of memory and is refused.
pub const ZSTD_WINDOW_LOG: u32 = 27;

/// Uncompressed bytes that any stream may have before its ratio is looked at: zeros compress well without being a bomb.
pub const RATIO_FLOOR: u64 = 1 << 30;

/// Uncompressed bytes for each compressed one beyond [`RATIO_FLOOR`]. gzip cannot pass 1032; a gigabyte of zeros in
/// xz is at 6,900, in zstd at 30,000, and no root filesystem is all zeros beyond its first gigabyte.
pub const MAX_RATIO: u64 = 2000;

/// Uncompressed bytes of one layer: a terabyte. Callers that know their disk give less.
pub const MAX_OUTPUT: u64 = 1 << 40;

/// A way to compress a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compression {
    /// Not compressed.
    None,
    /// gzip. Spec: RFC 1952.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz. Spec: The .xz File Format 1.2.1.
    Xz,
    /// Zstandard. Spec: RFC 8878.
    Zstd,
}

impl Compression {
    /// Recognises a compressed stream by its first bytes ([`DETECT`] of them); anything else is not compressed.
    #[must_use]
    pub fn detect(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            // The block's magic number, or that of the end of an empty stream: a text may begin with "BZh".
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// The name that the format's tool and media types use; `none` for none.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How large a stream may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expansion {
    /// Uncompressed bytes in all.
    pub output: u64,
    /// Uncompressed bytes for each compressed one, looked at beyond `floor`.
    pub ratio: u64,
    /// Uncompressed bytes before the ratio counts.
    pub floor: u64,
}

impl Default for Expansion {
    fn default() -> Self {
        Self { output: MAX_OUTPUT, ratio: MAX_RATIO, floor: RATIO_FLOOR }
    }
}

/// Why a stream cannot be decompressed. A [`Decoder`]'s reads fail with an [`std::io::Error`] that holds one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The stream ends in its midst.
    #[error("{compression} stream is truncated: it ends after {input} bytes ({output} uncompressed)")]
    Truncated {
        /// The format.
        compression: Compression,
        /// Compressed bytes read.
        input: u64,
        /// Uncompressed bytes made of them.
        output: u64,
    },
    /// The stream is damaged, or something else follows it.
    #[error("{compression} stream is corrupt at about byte {input} ({output} uncompressed)")]
    Corrupt {
        /// The format.
        compression: Compression,
        /// Compressed bytes read.
        input: u64,
        /// Uncompressed bytes made of them.
        output: u64,
        /// What the decoder says.
        #[source]
        source: std::io::Error,
    },
    /// The stream wants more memory than it may have.
    #[error(
        "{compression} stream needs more than {limit} MiB of memory at byte {input}; compress it with a smaller window"
    )]
    Memory {
        /// The format.
        compression: Compression,
        /// Compressed bytes read.
        input: u64,
        /// The limit in MiB.
        limit: u64,
    },
    /// The stream becomes larger than it may.
    #[error("{compression} stream expands to more than {limit} bytes (after {input} compressed ones)")]
    TooLarge {
        /// The format.
        compression: Compression,
        /// Compressed bytes read.
        input: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The stream expands more than honest ones do.
    #[error(
        "{compression} stream expands {input} bytes to {output}, more than {limit} times: taken for a decompression bomb"
    )]
    Ratio {
        /// The format.
        compression: Compression,
        /// Compressed bytes read.
        input: u64,
        /// Uncompressed bytes made of them.
        output: u64,
        /// The limit.
        limit: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_recognised() {
        let cases: [(&[u8], Compression); 15] = [
            (b"", Compression::None),
            (b"\x1f\x8b\x08\0\0\0\0\0\0\xff", Compression::Gzip),
            (b"\x1f\x8b\x08", Compression::Gzip),
            (b"\x1f\x8b\x07", Compression::None),
            (b"\x1f\x8b", Compression::None),
            (b"BZh91AY&SY", Compression::Bzip2),
            (b"BZh1\x17\x72\x45\x38\x50\x90", Compression::Bzip2),
            (b"BZh9 is a name", Compression::None),
            (b"BZh01AY&SY", Compression::None),
            (b"\xfd7zXZ\0", Compression::Xz),
            (b"\xfd7zXZ", Compression::None),
            (b"\x28\xb5\x2f\xfd", Compression::Zstd),
            (b"\x5f\x2a\x4d\x18", Compression::Zstd),
            (b"\x60\x2a\x4d\x18", Compression::None),
            (b"./\0\0\0\0\0\0\0\0", Compression::None),
        ];
        for (first, expected) in cases {
            assert_eq!(Compression::detect(first), expected, "{first:?}");
        }
    }
}

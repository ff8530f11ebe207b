//! Tar streams, their index, and compression by content.
//!
//! ```text
//! bytes --Decoder--> tar stream --Reader--> Member, Member, ...       one entry after the other, nothing kept
//!                        |
//!                        +---------Index--> diff ID, entries, extents  the same pass, hash to the end of the stream
//! Entry, Entry, ... --Writer--> tar stream --Encoder--> bytes          the same bytes for the same entries, always
//! ```
//!
//! Everything here takes readers, writers and values: no path is opened, no clock read, nothing printed.
//! Archives are foreign bytes: every count, length and expansion has a named limit, and every error
//! names the entry and the byte of the uncompressed stream.
#![forbid(unsafe_code)]

pub mod codec;
#[doc(hidden)]
pub mod fuzz;
pub mod hash;
pub mod index;
pub mod tar;

pub use codec::{CodecError, Compression, Decoder, Encoder};
pub use index::{Index, IndexEntry, IndexError};
pub use tar::{Member, MemberKind, Reader, TarError, WriteError, Writer};

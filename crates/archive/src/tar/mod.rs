//! Tar: what archivers since 1979 have written, read in one pass; one minimal dialect, written.
//!
//! ```text
//! group    [x header + records] [K header + target] [L header + name]  header block  [more sparse blocks]
//! body     stored bytes, padded with zeros to a multiple of 512
//! archive  (group body)*  two zero blocks  anything: read to the end, since a diff ID covers it
//! ```
//!
//! Read: v7, ustar, star, GNU (long names, base-256 numbers, sparse), PAX (`x`, `g`, sub-second times, extended
//! attributes, GNU sparse 0.0, 0.1 and 1.0). Written: ustar, and PAX records for what ustar cannot say; and, where the bytes
//! of GNU tar are promised, its own format.
//!
//! Where the readings of archivers differ:
//!
//! | archive | here | others |
//! |---|---|---|
//! | empty stream, or only zero blocks | an empty archive | GNU tar and Docker the same |
//! | no zero block, or one, before the end | the end | GNU tar and Docker the same |
//! | one zero block, then something else | an error | Docker an error; GNU tar warns and drops the rest |
//! | something after two zero blocks | read, hashed, ignored | the same |
//! | PAX `size` and header size differ | PAX wins (POSIX) | the same |
//! | a size on a directory, link or device | ignored: no body follows (POSIX) | Docker the same |
//! | PAX path and GNU long name differ | an error | each takes another |
//! | `SCHILY.xattr.NAME` with an empty value | an attribute with an empty value | Docker, GNU tar the same |
//! | a hard link to itself (GNU tar, given a file twice) | says nothing anew | GNU tar the same; Docker fails |
//! | global `mtime`, `uid`, `gid` | hold for all that follows (POSIX) | GNU tar the same; Docker ignores all globals |
//! | global `path`, `linkpath`, `size`, `GNU.sparse.*`, `SCHILY.xattr.*` | an error | GNU tar obeys; Docker ignores |
//! | `SCHILY.acl.*` (ACLs as text), SELinux labels in `RHT.*` | ignored | Docker the same |

mod error;
mod gnu;
mod header;
pub mod limits;
pub(crate) mod pax;
mod reader;
mod sparse;
mod stream;
mod writer;

pub use error::{At, TarError};
pub use gnu::GnuWriter;
pub use limits::Limits;
pub use pax::PaxError;
pub use reader::{Body, FileBody, Finished, Member, MemberKind, Reader, RootAttributes};
pub use sparse::SparseError;
pub use stream::Tap;
pub use writer::{Sparseness, WriteError, Writer};

/// The unit of tar, in bytes: headers are one block, bodies are padded to whole blocks.
pub const BLOCK: usize = 512;

/// Bytes to add to `size` to reach a whole block.
pub(crate) fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

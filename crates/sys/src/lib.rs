//! System calls, namespaces, ID maps and rooted paths: the only unsafe code.
//!
//! | room | what it holds |
//! |---|---|
//! | [`rooted`] | paths resolved beneath a directory handle, and what may be done to a name in it |
//! | [`file`](mod@file) | owner, mode, times and extended attributes of an open file |
//! | [`lock`] | advisory locks on files |
//! | [`durable`] | files that appear whole or not at all |
//! | [`idmap`] | ranges of subordinate IDs |
//! | [`userns`] | becoming root in a user namespace |

pub mod durable;
pub mod error;
pub mod file;
pub mod idmap;
pub mod lock;
pub mod rooted;
pub mod userns;

pub use error::{CallError, Errno};
pub use rustix::path::Arg as PathArg;

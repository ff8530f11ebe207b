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
//! | [`process`] | children in new namespaces, what a process does before it becomes another program |
//! | [`mount`] | file systems, binds, overlays, the change of root |
//! | [`caps`], [`seccomp`] | what a process may ask of the kernel |
//! | [`signals`], [`terminal`], [`channel`] | what parent and child say to each other |
//! | [`network`] | the loopback device |
//! | [`kernel`] | boot, release, cgroups |
//! | [`sparse`] | holes, shared and in-kernel copies |

pub mod caps;
pub mod channel;
pub mod durable;
pub mod error;
pub mod file;
#[doc(hidden)]
pub mod fuzz;
pub mod idmap;
pub mod kernel;
pub mod lock;
pub mod mount;
pub mod network;
pub mod process;
pub mod rooted;
pub mod seccomp;
pub mod signals;
pub mod sparse;
pub mod terminal;
pub mod userns;

pub use error::{CallError, Errno};
pub use rustix::path::Arg as PathArg;

//! Processes in images: namespaces, mounts, capabilities, seccomp, terminals.
//!
//! ```text
//! RuntimeConfig + Root ──▶ run ──▶ Outcome (exit status)
//!        ▲
//!   resolve: an image's container config + what the user says
//! ```
//!
//! A container is a child of the caller and ends with it; nothing but directories is left behind. It serves build steps
//! and trials, it is no production runtime.
#![forbid(unsafe_code)]

mod child;
pub mod config;
pub mod diagnose;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod init;
mod mounts;
pub mod options;
mod parent;
mod relay;
pub mod resolve;
mod root;
pub mod seccomp;
pub mod session;
pub mod user;

pub use config::{Bytes, Limit, Mount, Network, RuntimeConfig, Seccomp};
pub use error::{ExitStatus, FAILED, NOT_EXECUTABLE, NOT_FOUND, Report, RunError};
pub use parent::{OnSignal, Outcome, Sink, Stream, Streams, run, run_beside_threads};
pub use root::{MountPoint, OverlayVia, Root, RootKind, paths_of, probe_overlay};
pub use session::{Command, Session};

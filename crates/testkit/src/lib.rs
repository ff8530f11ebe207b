//! What tests share: generated root filesystems, archives, static programs, clocks and oracles.
//!
//! Nothing here is bedplate's own code: archives are written by an independent writer ([`Tar`]), programs are
//! assembled by hand ([`program`]), so that a mistake of the product cannot hide behind the same mistake in its tests.
//! This crate panics with a message where a test cannot go on.
#![forbid(unsafe_code)]
#![allow(clippy::print_stderr)]

pub mod builders;
pub mod corpus;
pub mod debian;
pub mod generate;
mod http;
pub mod oracle;
pub mod privilege;
pub mod probe;
pub mod program;
mod random;
mod sandbox;
pub mod skip;
mod tar;

pub use http::{Http, Reply};
pub use random::Random;
pub use sandbox::{CLOCK, Invocation, Outcome, Sandbox, binary, remove_tree};
pub use tar::{Entry, Style, Tar, octal};

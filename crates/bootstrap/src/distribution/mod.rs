//! Distributions as data: suites, archives, pockets, keyrings and defaults; a derivative is one more file.
//!
//! ```text
//! "debian:12"  "trixie"  "ubuntu:lts"  "focal"      what people type
//!        └────────────┬────────────┘
//!              resolve(words)                       the codename decides, not the word
//!                     ▼
//!   Resolved { distribution, suite }  ──pocket, architecture──▶  suite name and archive
//! ```
//!
//! The schema of the files is documented in `docs/distribution.md`. `debian.toml` and `ubuntu.toml` are built in.

mod resolve;
mod schema;

pub(crate) use resolve::nearest;
pub use resolve::{ResolveError, Resolved, resolve};
pub use schema::{Archive, ArchiveState, Distribution, DistributionError, MergedUsr, Quirk, Suite};

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The distributions that are built in: Debian first, then Ubuntu.
#[must_use]
pub fn builtin() -> &'static [Distribution] {
    static BUILTIN: LazyLock<Vec<Distribution>> = LazyLock::new(|| {
        [include_str!("debian.toml"), include_str!("ubuntu.toml")]
            .into_iter()
            .map(|text| Distribution::parse(text).expect("the built-in files are parsed by a test"))
            .collect()
    });
    &BUILTIN
}

/// A part of a suite that has an index of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pocket {
    /// The suite as it was released, with its point releases: `trixie`.
    Release,
    /// What may not wait for the next point release: `trixie-updates`.
    Updates,
    /// Security updates: `trixie-security`, `buster/updates`.
    Security,
    /// Newer packages of the next suite: `trixie-backports`. Never a default.
    Backports,
    /// What the next point release will bring: `trixie-proposed-updates`, `noble-proposed`. Never a default.
    Proposed,
}

impl Pocket {
    /// All of them, in the order in which package sources name them.
    pub const ALL: [Self; 5] = [Self::Release, Self::Updates, Self::Security, Self::Backports, Self::Proposed];

    /// Its name on the command line, in recipes and in data files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Updates => "updates",
            Self::Security => "security",
            Self::Backports => "backports",
            Self::Proposed => "proposed",
        }
    }
}

impl fmt::Display for Pocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A pocket that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no pocket {name:?}: release, updates, security, backports and proposed exist")]
pub struct UnknownPocket {
    /// What was asked for.
    pub name: String,
}

impl FromStr for Pocket {
    type Err = UnknownPocket;

    fn from_str(name: &str) -> Result<Self, UnknownPocket> {
        Self::ALL.into_iter().find(|pocket| pocket.name() == name).ok_or_else(|| UnknownPocket { name: name.into() })
    }
}

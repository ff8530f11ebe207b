//! Whose rules choose packages, as command lines and recipes name them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Whose rules choose packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Resolver {
    /// apt's: versions, alternatives, conflicts.
    #[default]
    Apt,
    /// debootstrap's: the first alternative, no versions.
    Debootstrap,
}

impl Resolver {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Debootstrap => "debootstrap",
        }
    }
}

impl fmt::Display for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A resolver that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no resolver {name:?}: apt and debootstrap exist")]
pub struct UnknownResolver {
    /// What was asked for.
    pub name: String,
}

impl FromStr for Resolver {
    type Err = UnknownResolver;

    fn from_str(name: &str) -> Result<Self, UnknownResolver> {
        [Self::Apt, Self::Debootstrap]
            .into_iter()
            .find(|resolver| resolver.name() == name)
            .ok_or_else(|| UnknownResolver { name: name.into() })
    }
}

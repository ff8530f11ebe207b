//! Names of variants and resolvers, as command lines and recipes write them.
//!
//! FIXME: these move to `bedplate_packages::deb::select` once it has them; users name them through [`crate::request`].

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Which packages a root has before `--include` and `--exclude`. Spec: mmdebstrap(1), "VARIANTS".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Variant {
    /// Exactly the packages asked for, unpacked only: no script runs.
    Extract,
    /// Exactly the packages asked for.
    Custom,
    /// Essential packages.
    Essential,
    /// Essential packages and apt.
    Apt,
    /// Essential packages, priority required, and apt: debootstrap's `minbase`.
    #[default]
    Required,
    /// As `Required`, with build-essential.
    Buildd,
    /// As `Required`, with priority important: what debootstrap does when not told.
    Important,
    /// As `Important`, with priority standard.
    Standard,
}

impl Variant {
    /// All of them, from few packages to many.
    pub const ALL: [Self; 8] = [
        Self::Extract,
        Self::Custom,
        Self::Essential,
        Self::Apt,
        Self::Required,
        Self::Buildd,
        Self::Important,
        Self::Standard,
    ];

    /// Its name; mmdebstrap's first one.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Extract => "extract",
            Self::Custom => "custom",
            Self::Essential => "essential",
            Self::Apt => "apt",
            Self::Required => "required",
            Self::Buildd => "buildd",
            Self::Important => "important",
            Self::Standard => "standard",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A variant that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "no variant {name:?}: extract, custom, essential, apt, required (minbase), buildd, important (debootstrap, -) and standard exist"
)]
pub struct UnknownVariant {
    /// What was asked for.
    pub name: String,
}

impl FromStr for Variant {
    type Err = UnknownVariant;

    fn from_str(name: &str) -> Result<Self, UnknownVariant> {
        match name {
            "minbase" => return Ok(Self::Required),
            "debootstrap" | "-" => return Ok(Self::Important),
            _ => {}
        }
        Self::ALL.into_iter().find(|variant| variant.name() == name).ok_or_else(|| UnknownVariant { name: name.into() })
    }
}

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

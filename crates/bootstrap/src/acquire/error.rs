//! Why an archive cannot be used.

use bedplate_fetch::{FetchError, UrlError};
use bedplate_oci::Digest;
use bedplate_store::StoreError;
use thiserror::Error;

use super::observe::Span;
use crate::distribution::{Pocket, ResolveError};

/// Whose matter an error is; the binary maps it to an exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What was asked for cannot be.
    User,
    /// What came is malformed, or is not what its signature or digest says.
    Input,
    /// The network, a server or the machine failed.
    Environment,
    /// A broken invariant of ours.
    Internal,
}

/// Why an archive cannot be used.
#[derive(Debug, Error)]
pub enum AcquireError {
    /// The suite is unknown.
    #[error("cannot tell which suite is meant")]
    Resolve {
        /// Which word, and near ones.
        #[source]
        source: ResolveError,
    },
    /// The suite has no such pocket.
    #[error("{suite} has no pocket {pocket}")]
    NoPocket {
        /// The suite.
        suite: String,
        /// The pocket.
        pocket: Pocket,
    },
    /// No archive is known to hold the architecture.
    #[error("no archive of {suite} is known for architecture {architecture:?}")]
    NoArchive {
        /// The suite.
        suite: String,
        /// The architecture.
        architecture: String,
    },
    /// The address of an archive is none.
    #[error("archive {text:?}")]
    Url {
        /// The address.
        text: String,
        /// What is wrong with it.
        #[source]
        source: UrlError,
    },
    /// This build cannot do it.
    #[error("{what}: not supported")]
    Unsupported {
        /// What was asked for.
        what: String,
    },
    /// A download failed.
    #[error("cannot fetch {what}")]
    Fetch {
        /// What people call it.
        what: String,
        /// What failed, with the URL.
        #[source]
        source: FetchError,
    },
    /// The store cannot keep or give what is fetched.
    #[error("cannot keep {what} in the store")]
    Store {
        /// What people call it.
        what: String,
        /// What failed.
        #[source]
        source: StoreError,
    },
    /// A file of the cache cannot be read or written.
    #[error("cannot use {path:?} of the cache")]
    Cache {
        /// The file.
        path: std::path::PathBuf,
        /// What failed.
        #[source]
        source: std::io::Error,
    },
    /// The Release file expired.
    #[error("Release file of {suite} at {url} expired {} ago", Span(*.age))]
    Expired {
        /// The suite.
        suite: String,
        /// The archive.
        url: String,
        /// How long it is past `Valid-Until`, in seconds.
        age: i64,
    },
    /// It is needed, not in the cache, and the network may not be used.
    #[error("{what} is not in the cache{}, and the network may not be used", and_others(*.others))]
    Offline {
        /// What people call it.
        what: String,
        /// How many others are missing, too.
        others: usize,
    },
    /// No mirror is known.
    #[error("no mirror is known for {what}")]
    NoMirror {
        /// What people call it.
        what: String,
    },
    /// It is larger than anything sensible.
    #[error("{what}: {size} bytes are more than the limit of {limit}")]
    TooLarge {
        /// What people call it.
        what: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// An index does not promise what is needed to verify a package.
    #[error("package {package}: the index has no {field} of it")]
    PackageField {
        /// The package.
        package: String,
        /// The field.
        field: &'static str,
    },
    /// An index has a malformed field.
    #[error("package {package}: malformed entry in the index")]
    Package {
        /// The package.
        package: String,
        /// What is wrong.
        #[source]
        source: bedplate_packages::deb::package::PackageError,
    },
    /// An index names a file outside of its archive.
    #[error("package {package}: Filename {path:?} leads out of the archive")]
    PackagePath {
        /// The package.
        package: String,
        /// The path, capped.
        path: String,
    },
    /// An index or package is not the one that was promised.
    #[error("{what}: expected {expected}, found {found}")]
    Digest {
        /// What people call it.
        what: String,
        /// What was promised.
        expected: Digest,
        /// What is there.
        found: Digest,
    },
}

impl AcquireError {
    /// Whose matter it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Resolve { .. } | Self::NoPocket { .. } | Self::NoArchive { .. } | Self::Url { .. } => Kind::User,
            Self::Unsupported { .. } => Kind::Internal,
            Self::Fetch { source, .. } if source.is_input_error() => Kind::Input,
            Self::Fetch { source, .. } if source.is_network_error() => Kind::Environment,
            Self::Fetch { .. } => Kind::User,
            Self::Store { .. } | Self::Cache { .. } => Kind::Environment,
            Self::Offline { .. } => Kind::User,
            Self::NoMirror { .. } => Kind::Internal,
            Self::Expired { .. }
            | Self::Digest { .. }
            | Self::TooLarge { .. }
            | Self::PackageField { .. }
            | Self::Package { .. }
            | Self::PackagePath { .. } => Kind::Input,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Expired { .. } => {
                Some("the mirror lags behind or is frozen; ask another one with --mirror, or take it as it is with --check-valid-until=no".into())
            }
            _ => None,
        }
    }
}

fn and_others(n: usize) -> String {
    if n == 0 { String::new() } else { format!(" ({n} others are missing, too)") }
}

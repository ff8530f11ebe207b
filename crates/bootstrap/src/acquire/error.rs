//! Why an archive cannot be used.

use std::path::PathBuf;

use bedplate_fetch::{FetchError, Phase, UrlError};
use bedplate_packages::deb::release::ReleaseError;
use bedplate_packages::deb::sources::SourcesError;
use bedplate_store::StoreError;
use bedplate_trust::{KeyringError, TrustError};
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
    #[error("archive cannot be asked")]
    Url {
        /// Which, without its secrets, and what is wrong with it.
        #[source]
        source: UrlError,
    },
    /// A package source that the user wrote down is none.
    #[error("package source {text:?} cannot be understood")]
    Source {
        /// What was written, capped.
        text: String,
        /// What is wrong with it.
        #[source]
        source: SourcesError,
    },
    /// Every pocket was left out.
    #[error("no source of packages is left of {suite}")]
    NoSource {
        /// The suite.
        suite: String,
    },
    /// A suite has no root whose `/usr` is not merged.
    #[error("{suite} has a merged /usr only: leave out --no-merged-usr")]
    AlwaysMerged {
        /// The suite.
        suite: String,
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
        path: PathBuf,
        /// What failed.
        #[source]
        source: std::io::Error,
    },
    /// A file is not among those that are at hand.
    #[error("{what} is not among the files at hand")]
    NotAtHand {
        /// What people call it.
        what: String,
    },
    /// The Release file does not list the uncompressed form that is at hand.
    #[error("index {what} cannot be verified: the Release file lists it in compressed forms only")]
    NotListed {
        /// What people call it.
        what: String,
    },
    /// A keyring file does not exist.
    #[error("keyring {path:?} does not exist")]
    NoKeyring {
        /// The file.
        path: PathBuf,
    },
    /// A keyring file cannot be read from the disk.
    #[error("cannot read keyring {path:?}")]
    ReadKeyring {
        /// The file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: std::io::Error,
    },
    /// A keyring file is none.
    #[error("cannot use a keyring")]
    Keyring {
        /// Which, and why.
        #[source]
        source: KeyringError,
    },
    /// No mirror has the suite.
    #[error("{url} has no suite {suite:?}: neither InRelease nor Release")]
    NoRelease {
        /// The suite.
        suite: String,
        /// The archive.
        url: String,
    },
    /// Nobody who is trusted signed the Release file.
    #[error("cannot trust the Release file of {suite} at {url}")]
    Signature {
        /// The distribution.
        distribution: String,
        /// The suite.
        suite: String,
        /// The archive.
        url: String,
        /// Why.
        #[source]
        source: Box<TrustError>,
    },
    /// The Release file is malformed, though signed.
    #[error("cannot read the Release file of {suite} at {url}")]
    Release {
        /// The suite.
        suite: String,
        /// The archive.
        url: String,
        /// What is wrong with it.
        #[source]
        source: Box<ReleaseError>,
    },
    /// The Release file is that of another suite.
    #[error("{url}: asked for suite {wanted:?}, the Release file is of suite {suite:?}, codename {codename:?}")]
    WrongSuite {
        /// The suite that was asked for.
        wanted: String,
        /// The archive.
        url: String,
        /// The suite that it says.
        suite: String,
        /// The codename that it says.
        codename: String,
    },
    /// The Release file has no date.
    #[error("Release file of {suite} at {url} has no Date")]
    NoDate {
        /// The suite.
        suite: String,
        /// The archive.
        url: String,
    },
    /// The Release file is from the future.
    #[error("Release file of {suite} at {url} is dated {} in the future", Span(*.ahead))]
    Future {
        /// The suite.
        suite: String,
        /// The archive.
        url: String,
        /// How far, in seconds.
        ahead: i64,
    },
    /// The Release file is older than one seen before.
    #[error("Release file of {suite} at {url} is {} older than the newest one seen", Span(*.older))]
    Downgrade {
        /// The suite.
        suite: String,
        /// The archive.
        url: String,
        /// By how much, in seconds.
        older: i64,
    },
    /// The suite has no such component.
    #[error("{suite} has no component {component:?}: {} exist", .known.join(", "))]
    NoComponent {
        /// The suite.
        suite: String,
        /// The component.
        component: String,
        /// Those that exist.
        known: Vec<String>,
    },
    /// The suite has no such architecture.
    #[error("{suite} has no architecture {architecture:?}: {} exist", .known.join(", "))]
    NoArchitecture {
        /// The suite.
        suite: String,
        /// The architecture.
        architecture: String,
        /// Those that exist.
        known: Vec<String>,
    },
    /// The Release file lists no such index.
    #[error("the Release file lists no index of {what}")]
    NoIndex {
        /// Suite, component and architecture.
        what: String,
    },
    /// The Release file has only digests that can be forged.
    #[error("index {what}: the Release file has no digest better than {section}")]
    WeakIndex {
        /// Suite, component and architecture.
        what: String,
        /// The best section.
        section: &'static str,
    },
    /// An index cannot be decompressed.
    #[error("cannot decompress index {what}")]
    Unpack {
        /// Suite, component and architecture.
        what: String,
        /// What the decoder says.
        #[source]
        source: std::io::Error,
    },
    /// An index becomes larger than the Release file says.
    #[error("index {what}: decompresses to more than the promised {limit} bytes")]
    Grows {
        /// Suite, component and architecture.
        what: String,
        /// What is promised, or the limit, in bytes.
        limit: u64,
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
        /// What was promised, with its algorithm.
        expected: String,
        /// What is there.
        found: String,
    },
}

impl AcquireError {
    /// Whose matter it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Source { .. } | Self::NoSource { .. } | Self::AlwaysMerged { .. } => Kind::User,
            Self::Resolve { .. } | Self::NoPocket { .. } | Self::NoArchive { .. } | Self::Url { .. } => Kind::User,
            Self::Fetch { source, .. } if source.is_input_error() => Kind::Input,
            Self::Fetch { source, .. } if source.is_network_error() => Kind::Environment,
            Self::Fetch { .. } => Kind::User,
            Self::Store { .. } | Self::Cache { .. } => Kind::Environment,
            Self::Offline { .. }
            | Self::NotAtHand { .. }
            | Self::NotListed { .. }
            | Self::NoKeyring { .. }
            | Self::NoRelease { .. }
            | Self::NoComponent { .. }
            | Self::NoArchitecture { .. }
            | Self::NoIndex { .. } => Kind::User,
            Self::ReadKeyring { .. } => Kind::Environment,
            Self::Future { .. } => Kind::Environment,
            Self::NoMirror { .. } => Kind::Internal,
            Self::Expired { .. }
            | Self::Keyring { .. }
            | Self::Signature { .. }
            | Self::Release { .. }
            | Self::WrongSuite { .. }
            | Self::NoDate { .. }
            | Self::Downgrade { .. }
            | Self::WeakIndex { .. }
            | Self::Unpack { .. }
            | Self::Grows { .. }
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
        let hint = match self {
            Self::Expired { .. } => {
                "the mirror lags behind or is frozen; ask another one with --mirror, or take it as it is with --check-valid-until=no"
            }
            Self::Signature { source, distribution, .. } => return Some(source.remedy(distribution)),
            Self::Downgrade { .. } => {
                "the mirror lags behind, or somebody replays an old state; ask another one with --mirror, or take it with --allow-downgrade"
            }
            Self::Future { .. } => "set this machine's clock",
            Self::WrongSuite { .. } => "ask for the suite that the archive has, or ask another archive with --mirror",
            Self::NoRelease { .. } => "name an archive that has it with --mirror, or leave out pockets with --pockets",
            Self::Offline { .. } => "run once with the network, with the same store",
            Self::Fetch { source, .. } => return download_hint(source).map(Into::into),
            Self::Digest { .. } | Self::Grows { .. } | Self::Unpack { .. } => {
                "the mirror may be in the midst of an update; try again, or ask another one with --mirror"
            }
            Self::TooLarge { .. } => {
                "no archive of a distribution has anything that large: this one is broken or hostile; ask another one with --mirror"
            }
            Self::PackagePath { .. } | Self::PackageField { .. } | Self::Package { .. } => BAD_INDEX,
            Self::NotAtHand { .. } => "make the tarball anew, for the same suites, components and architecture",
            Self::NotListed { .. } => "take it as it is with --no-check-gpg, or let packages be fetched",
            Self::WeakIndex { .. } => "archives that have nothing better are used with --allow-unsigned only",
            _ => return None,
        };
        Some(hint.into())
    }
}

/// What to do about an index that is what was signed.
pub(crate) const BAD_INDEX: &str =
    "who signed this index made it wrong: tell the archive's owner, or ask another archive with --mirror";

fn download_hint(error: &FetchError) -> Option<&'static str> {
    match error {
        FetchError::Timeout { phase, .. } if *phase != Phase::Resolving => Some(
            "the server fell silent, and was not asked for anything else; try again later, or ask another mirror with --mirror",
        ),
        error if error.is_input_error() => {
            Some("the mirror may be in the midst of an update; try again, or ask another one with --mirror")
        }
        FetchError::Status { status: 404 | 410, .. } => {
            Some("the mirror is incomplete, or in the midst of an update; try again, or ask another one with --mirror")
        }
        error if error.is_network_error() => {
            Some("try again later, or ask another mirror with --mirror; --offline takes what was fetched before")
        }
        _ => None,
    }
}

fn and_others(n: usize) -> String {
    if n == 0 { String::new() } else { format!(" ({n} others are missing, too)") }
}

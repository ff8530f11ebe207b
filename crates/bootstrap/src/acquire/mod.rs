//! Signed indexes and verified packages: from a request to bytes that may be trusted.
//!
//! ```text
//! Request + host ──plan──▶ Plan { source: suite, mirrors, keyrings, checks }      no network
//!                            │ open
//!   InRelease ─verify─▶ Release ─digest─▶ Packages ──▶ Acquired { sources, indexes }
//!                                                         │ fetch
//!   Wanted { path, size, sha256 } ────────────────────▶ verified .deb in the cache
//! ```
//!
//! Every byte is compared with a digest that leads back to a signature before it is parsed. What is fetched stays in
//! the store's caches under its digest: a warm start asks the network for nothing but the Release files.

mod error;
mod first;
mod host;
mod host_sources;
mod indexes;
mod keys;
mod local;
mod mirrors;
mod observe;
mod open;
mod packages;
mod plan;
mod signed;

use bedplate_fetch::{Fetcher, Url};
use bedplate_oci::Digest;
use bedplate_packages::deb::release::Release;
use bedplate_store::Store;

pub(crate) use error::BAD_INDEX;
pub use error::{AcquireError, Kind};
pub use first::FirstFailure;
pub use host::{Host, HostError, HostFile};
pub(crate) use indexes::MAX_INDEX;
pub(crate) use local::{adopt, open_local};
pub use observe::{Event, Notice, Observer, Quiet, Stage};
pub use open::{open, open_plan};
pub(crate) use packages::below;
pub use packages::{Fetched, Wanted, fetch, fetch_each};
pub use plan::{ArchiveChoice, Plan, PlannedSource, machine, plan};

use crate::distribution::Pocket;

/// What acquiring works with: everything that is no part of the request.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The store whose caches are used.
    pub store: &'a Store,
    /// The way to the network.
    pub fetcher: &'a Fetcher,
    /// The time at which signatures and `Valid-Until` are judged, in seconds since 1970.
    pub now: i64,
    /// What the host's package manager is set to.
    pub host: &'a Host,
    /// Takes everything from the caches: the last verified Release files, indexes and packages.
    pub offline: bool,
    /// Who is told what happens.
    pub observer: &'a dyn Observer,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("now", &self.now).field("offline", &self.offline).finish_non_exhaustive()
    }
}

/// Verified indexes of every source of a plan, in its order.
#[derive(Debug)]
pub struct Acquired {
    /// What was planned.
    pub plan: Plan,
    /// The sources; those that an archive may lack and lacks are left out.
    pub sources: Vec<Source>,
}

/// A suite of an archive, with its indexes.
#[derive(Debug)]
pub struct Source {
    /// Its pocket; `None` for a package source that the user added.
    pub pocket: Option<Pocket>,
    /// What its packages say that they come from: [`PlannedSource::name`].
    pub name: String,
    /// Its name below `dists`, or the path of a flat repository.
    pub suite: String,
    /// Roots of the archive, tried in this order; `Filename` is relative to them.
    pub mirrors: Vec<Url>,
    /// The Release file as it came.
    pub(crate) document: signed::Document,
    /// What its Release file says.
    pub release: ReleaseFacts,
    /// Its indexes: components in the order asked for, then `all` after the architecture's own.
    pub indexes: Vec<Index>,
}

/// What a verified Release file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFacts {
    /// The digest of the signed text.
    pub digest: Digest,
    /// `Origin`.
    pub origin: Option<String>,
    /// `Label`.
    pub label: Option<String>,
    /// `Suite`: `stable`.
    pub suite: Option<String>,
    /// `Codename`: `trixie`.
    pub codename: Option<String>,
    /// `Version`: `13.1`.
    pub version: Option<String>,
    /// `Date`, in seconds since 1970.
    pub date: i64,
    /// `Valid-Until`, in seconds since 1970.
    pub valid_until: Option<i64>,
    /// `NotAutomatic: yes`: its packages are taken only when asked for (priority 1).
    pub not_automatic: bool,
    /// `ButAutomaticUpgrades: yes`: what was taken is upgraded (priority 100).
    pub but_automatic_upgrades: bool,
    /// The fingerprint of the certificate that signed it, in upper case; `None` where no signature was asked for.
    pub signer: Option<String>,
}

impl ReleaseFacts {
    fn of(release: &Release, verified: &signed::Verified, date: i64) -> Self {
        Self {
            digest: signed::digest(verified),
            origin: release.origin.clone(),
            label: release.label.clone(),
            suite: release.suite.clone(),
            codename: release.codename.clone(),
            version: release.version.clone(),
            date,
            valid_until: release.valid_until,
            not_automatic: release.not_automatic,
            but_automatic_upgrades: release.but_automatic_upgrades,
            signer: verified.signers.first().cloned(),
        }
    }
}

/// A verified index.
#[derive(Debug)]
pub struct Index {
    /// Its component; empty in a flat repository.
    pub component: String,
    /// The architecture it was made for: `amd64`, `all`.
    pub architecture: String,
    /// The digest of its bytes, as the Release file has it.
    pub digest: Digest,
    /// The bytes, decompressed: for `PackagesIndex::parse`.
    pub bytes: Vec<u8>,
}

/// Reads a remembered Release file: nothing of it lies outside of the bytes.
pub(crate) fn fuzz_remembered(data: &[u8]) {
    if let Some(document) = signed::decode(data) {
        let signature = document.signature.as_ref().map_or(0, Vec::len);
        assert!(document.text.len() + signature < data.len());
    }
}

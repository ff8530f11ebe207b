//! What is asked of a bootstrap: everything that flags and recipes can say, before anything of it is resolved.

use std::path::PathBuf;

use crate::distribution::{Distribution, Pocket};
use crate::finish::Style;

pub use bedplate_packages::deb::select::{Variant, VariantError};

pub use crate::resolver::{Resolver, UnknownResolver};

/// What is asked of a bootstrap. [`Request::new`] has every default.
///
/// What is `None` or empty follows the distribution's data file, the host, or the archive, as each field says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The suite as typed: `debian:trixie`, `trixie`, `ubuntu:20.04`.
    pub suite: String,
    /// A derivative's data file; it is asked before the built-in ones.
    pub distribution: Option<Distribution>,
    /// The architecture in Debian's words; `None` for the machine's.
    pub architecture: Option<String>,
    /// The set of packages to begin with.
    pub variant: Variant,
    /// Whose rules choose packages.
    pub resolver: Resolver,
    /// Packages to add, as apt names them: `curl`, `curl=8.1-1`, `libc6:i386`, `curl/trixie-backports`.
    pub include: Vec<String>,
    /// Packages to leave out.
    pub exclude: Vec<String>,
    /// Follows Recommends.
    pub recommends: bool,
    /// Components; empty for the distribution's default.
    pub components: Vec<String>,
    /// Pockets; `None` for the suite's default.
    pub pockets: Option<Vec<Pocket>>,
    /// More suites of the archive of the release pocket, whose packages are taken, too.
    pub extra_suites: Vec<String>,
    /// With debootstrap's rules: takes what the variant and `include` name, and nothing that they depend on.
    pub no_dependencies: bool,
    /// The names are only printed: with debootstrap's rules the list of newer Ubuntus then has `usrmerge`.
    pub printing: bool,
    /// Archives to ask, tried in their order.
    pub mirrors: Vec<Mirror>,
    /// More package sources: lines of `sources.list`, or stanzas of a `.sources` file.
    pub extra_sources: Vec<String>,
    /// Keyrings in place of the built-in and the host's ones.
    pub keyrings: Vec<PathBuf>,
    /// What is checked of signed indexes.
    pub checks: Checks,
    /// Which kind of image is made.
    pub style: Style,
    /// Leaves out documentation, translations and manual pages.
    pub slim: bool,
    /// Patterns of paths that are left out or kept after all, as dpkg's `path-exclude` and `path-include`; the last match wins.
    pub paths: Vec<PathRule>,
    /// Whether `/usr` is merged; `None` for the suite's default.
    pub merged_usr: Option<bool>,
    /// What is done to the root after all packages are configured, in this order.
    pub steps: Vec<Step>,
    /// The archives that the image's own package sources name.
    pub image_mirrors: Vec<Mirror>,
    /// The epoch in seconds since 1970; `None` for the newest time inside the chosen packages.
    pub epoch: Option<i64>,
    /// Downloads at once from one host.
    pub downloads: usize,
}

impl Request {
    /// Downloads at once from one host when the user does not say: more do not help a mirror that limits connections.
    pub const DOWNLOADS: usize = 4;

    /// A request for a suite, with every default.
    #[must_use]
    pub fn new(suite: impl Into<String>) -> Self {
        Self {
            suite: suite.into(),
            distribution: None,
            architecture: None,
            // What official images have; debootstrap and mmdebstrap begin with more.
            variant: Variant::Required,
            resolver: Resolver::default(),
            include: Vec::new(),
            exclude: Vec::new(),
            recommends: false,
            components: Vec::new(),
            pockets: None,
            extra_suites: Vec::new(),
            no_dependencies: false,
            printing: false,
            mirrors: Vec::new(),
            extra_sources: Vec::new(),
            keyrings: Vec::new(),
            checks: Checks::default(),
            style: Style::default(),
            slim: false,
            paths: Vec::new(),
            merged_usr: None,
            steps: Vec::new(),
            image_mirrors: Vec::new(),
            epoch: None,
            downloads: Self::DOWNLOADS,
        }
    }
}

/// The address of an archive, for one pocket or for all that it holds: `URL` or `security=URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The pocket; `None` for those that an ordinary mirror of the distribution holds.
    pub pocket: Option<Pocket>,
    /// The root of the archive: `http:`, `https:` or `file:`, or an absolute path.
    pub url: String,
}

impl Mirror {
    /// Reads `URL` or `POCKET=URL`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if let Some((pocket, url)) = text.split_once('=')
            && let Ok(pocket) = pocket.parse()
        {
            return Self { pocket: Some(pocket), url: url.into() };
        }
        Self { pocket: None, url: text.into() }
    }
}

impl std::fmt::Display for Mirror {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pocket {
            Some(pocket) => write!(f, "{pocket}={}", self.url),
            None => f.write_str(&self.url),
        }
    }
}

/// What is checked of signed indexes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checks {
    /// Roots of archives that may be unsigned, as [`Mirror::url`] names them; recorded in the lock.
    pub unsigned: Vec<String>,
    /// Takes every archive without a signature (debootstrap's `--no-check-gpg`).
    pub no_signatures: bool,
    /// Whether `Valid-Until` is checked; `None` for the host's apt setting, else yes for living suites.
    pub valid_until: Option<bool>,
    /// Takes a Release file that is older than the newest one seen.
    pub allow_downgrade: bool,
}

/// A rule for paths, as dpkg's `path-exclude` and `path-include`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathRule {
    /// Leaves out what matches.
    Exclude(String),
    /// Keeps what matches.
    Include(String),
}

/// A step of customisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Copies a file or folder of the host into the root.
    CopyIn {
        /// Where it lies on the host.
        source: PathBuf,
        /// Where it goes in the root: an absolute path.
        destination: String,
    },
    /// Runs a command of the shell in the sandbox.
    Run {
        /// The command.
        command: String,
        /// Whether it may use the network.
        network: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_may_name_a_pocket() {
        let cases = [
            ("http://example.org/debian", None, "http://example.org/debian"),
            ("security=http://example.org/s", Some(Pocket::Security), "http://example.org/s"),
            ("http://example.org/?a=b", None, "http://example.org/?a=b"),
            ("/srv/mirror", None, "/srv/mirror"),
        ];
        for (text, pocket, url) in cases {
            assert_eq!(Mirror::parse(text), Mirror { pocket, url: url.into() }, "{text}");
            assert_eq!(Mirror::parse(text).to_string(), text);
        }
    }
}

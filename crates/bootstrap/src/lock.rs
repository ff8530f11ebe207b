//! Lock files: exactly which packages an image is made of, and every option that its digest depends on.
//!
//! ```text
//! plan + acquired + selection ──Lock::new──▶ Lock ──to_toml──▶ bedplate.lock
//! bedplate.lock ──parse──▶ Lock ──request──▶ Request ──plan──▶ where to ask
//!                            └────wanted──▶ packages to fetch: no index is read, no solver runs
//! ```
//!
//! No mirror's address stands in it but those that the image's own package sources name. The format is documented in
//! `docs/lock.md`.

use std::collections::BTreeMap;

use bedplate_fetch::Url;
use bedplate_oci::{Created, Digest};
use bedplate_packages::deb::control::{ControlError, Paragraphs};
use bedplate_packages::deb::index::{IndexError, PackagesIndex};
use bedplate_packages::deb::package::Package;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::acquire::{AcquireError, Acquired, Plan, Source, Wanted, below};
use crate::distribution::Pocket;
use crate::finish::AptSource;
use crate::request::{Mirror, PathRule, Request, Step};

/// The version of the format.
pub const VERSION: u32 = 1;

/// The largest lock file, in bytes: a package takes some 300, the largest images have a few thousand.
pub const MAX_LOCK: usize = 64 * 1024 * 1024;

/// What stands at the head of a lock file.
const HEAD: &str =
    "# Made by bedplate: exactly these packages and options make this image. Not to be edited by hand.\n";

/// Everything that the digest of an image depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lock {
    version: u32,
    /// The suite: `debian:trixie`.
    pub suite: String,
    /// The architecture in Debian's words.
    pub architecture: String,
    /// The epoch of the image.
    pub epoch: Created,
    /// By debootstrap's rules: the packages that are unpacked before any script runs. Others follow from the packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unpacked_first: Vec<String>,
    /// What was asked for.
    pub options: LockedOptions,
    /// The sources of the packages.
    #[serde(default, rename = "source")]
    pub sources: Vec<LockedSource>,
    /// The package sources that the image names.
    #[serde(default, rename = "image-source")]
    pub image_sources: Vec<LockedImageSource>,
    /// What is done after all packages are configured.
    #[serde(default, rename = "step")]
    pub steps: Vec<LockedStep>,
    /// The packages, sorted by name and architecture.
    #[serde(default, rename = "package")]
    pub packages: Vec<LockedPackage>,
}

/// Options that change the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedOptions {
    /// The variant.
    pub variant: String,
    /// Whose rules chose packages.
    pub resolver: String,
    /// Packages that were asked for.
    pub include: Vec<String>,
    /// Packages that were left out.
    pub exclude: Vec<String>,
    /// Whether Recommends were followed.
    pub recommends: bool,
    /// Components of the distribution's own sources.
    pub components: Vec<String>,
    /// Pockets.
    pub pockets: Vec<Pocket>,
    /// The style.
    pub style: String,
    /// Whether documentation was left out.
    pub slim: bool,
    /// Whether `/usr` is merged.
    pub merged_usr: bool,
    /// Patterns of paths: `-/usr/share/doc/*` leaves out, `+/usr/share/doc/*/copyright` keeps.
    pub paths: Vec<String>,
    /// Package sources that the user added, but for those whose address holds a password: they are given anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added_sources: Vec<String>,
}

impl LockedOptions {
    /// The options of a request, resolved.
    #[must_use]
    pub fn of(request: &Request, plan: &Plan) -> Self {
        Self {
            variant: request.variant.to_string(),
            resolver: request.resolver.to_string(),
            include: request.include.clone(),
            exclude: request.exclude.clone(),
            recommends: request.recommends,
            components: plan.components.clone(),
            pockets: plan.sources.iter().filter_map(|source| source.pocket).collect(),
            style: request.style.to_string(),
            slim: request.slim,
            merged_usr: plan.merged_usr,
            paths: request
                .paths
                .iter()
                .map(|rule| match rule {
                    PathRule::Exclude(pattern) => format!("-{pattern}"),
                    PathRule::Include(pattern) => format!("+{pattern}"),
                })
                .collect(),
            added_sources: request.extra_sources.iter().filter(|text| !holds_secret(text)).cloned().collect(),
        }
    }
}

fn holds_secret(source: &str) -> bool {
    source.split_whitespace().any(|word| Url::parse(word).is_ok_and(|url| url.has_credentials()))
}

/// A source of packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedSource {
    /// Its name below `dists`, after the address of its archive where the user added it: packages name it.
    pub suite: String,
    /// Its pocket; none for a source that the user added.
    pub pocket: Option<Pocket>,
    /// The digest of the signed text of its Release file.
    pub release: Digest,
    /// When that was made.
    pub date: Created,
    /// The fingerprint of the certificate that signed it; none where it was taken unsigned.
    pub signer: Option<String>,
    /// Its indexes.
    #[serde(default, rename = "index")]
    pub indexes: Vec<LockedIndex>,
}

impl LockedSource {
    /// What a lock says of a source.
    #[must_use]
    pub fn of(source: &Source) -> Self {
        let indexes = source.indexes.iter().map(|index| LockedIndex {
            component: index.component.clone(),
            architecture: index.architecture.clone(),
            digest: index.digest,
        });
        Self {
            suite: source.name.clone(),
            pocket: source.pocket,
            release: source.release.digest,
            date: Created::from_seconds(source.release.date),
            signer: source.release.signer.clone(),
            indexes: indexes.collect(),
        }
    }
}

/// An index of packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedIndex {
    /// Its component; empty in a flat repository.
    pub component: String,
    /// Its architecture.
    pub architecture: String,
    /// The digest of its uncompressed bytes.
    pub digest: Digest,
}

/// An archive that the image's own package manager asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedImageSource {
    /// Its root.
    pub uri: String,
    /// Suites.
    pub suites: Vec<String>,
    /// Components.
    pub components: Vec<String>,
    /// The keyring inside of the image, or keys themselves.
    pub signed_by: Option<String>,
    /// Whether it is taken without a signature.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trusted: bool,
}

/// A step of customisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "kind")]
pub enum LockedStep {
    /// Something was copied into the root.
    CopyIn {
        /// Where it went.
        destination: String,
        /// The digest of what was copied.
        digest: Digest,
    },
    /// A command ran.
    Run {
        /// The command.
        command: String,
        /// Whether it could use the network: then the lock promises nothing of what it did.
        network: bool,
    },
}

/// Why a package is in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockedRole {
    /// It is essential.
    Essential,
    /// The variant has it by its priority required.
    Required,
    /// The variant has it otherwise.
    Base,
    /// It was asked for.
    Included,
    /// Another package needs it.
    Dependency,
}

/// A package of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// The suite of its source.
    pub source: String,
    /// Its path below the root of the source's archive.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
    /// Why it is there.
    pub role: LockedRole,
}

impl LockedPackage {
    /// A package of an index.
    ///
    /// # Errors
    /// Where the index does not promise size and digest, or its `Filename` leads out of the archive.
    pub fn of(package: &Package<'_>, source: &Source, role: LockedRole) -> Result<Self, AcquireError> {
        let wanted = Wanted::of(package, source)?;
        Ok(Self {
            name: package.name.to_owned(),
            version: package.version.as_str().to_owned(),
            architecture: package.architecture.to_owned(),
            source: source.name.clone(),
            path: wanted.path,
            size: wanted.size,
            digest: wanted.sha256,
            role,
        })
    }

    fn key(&self) -> (&str, &str) {
        (&self.name, &self.architecture)
    }
}

/// Why a lock file cannot be used.
#[derive(Debug, Error)]
pub enum LockError {
    /// It is no TOML, or has not the form of a lock; the source names the line.
    #[error("lock file cannot be read")]
    Syntax {
        /// What the parser says.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// It is of another version.
    #[error("lock file is of version {found}, this program knows version {VERSION}")]
    Version {
        /// The version.
        found: i64,
    },
    /// It is larger than any sensible one.
    #[error("lock file is larger than {MAX_LOCK} bytes")]
    TooLarge,
    /// A value means nothing.
    #[error("lock file: {object}: {reason}")]
    Value {
        /// Which part.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What was found is not what the lock says.
    #[error("the lock is not kept: {}", list(.differences))]
    Differs {
        /// Each difference.
        differences: Vec<Difference>,
    },
    /// A source of the lock is not among those that can be asked.
    #[error("package {package}: its source {source_name:?} is not among those of the request")]
    NoSource {
        /// The package.
        package: String,
        /// The source.
        source_name: String,
    },
    /// dpkg's list of the host's packages cannot be read.
    #[error("cannot read the host's list of packages")]
    Status {
        /// What is wrong with it.
        #[source]
        source: ControlError,
    },
    /// An index cannot be read.
    #[error("cannot read the index of {what}")]
    Index {
        /// Suite and component.
        what: String,
        /// What is wrong with it.
        #[source]
        source: IndexError,
    },
    /// An index promises too little of a package.
    #[error("cannot lock a package")]
    Package {
        /// Which, and why.
        #[source]
        source: AcquireError,
    },
}

/// One thing in which a lock is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs: `option style`, `package curl:amd64`.
    pub what: String,
    /// What the lock says.
    pub wanted: String,
    /// What there is.
    pub found: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: wanted {}, found {}", self.what, self.wanted, self.found)
    }
}

/// More differences than these help nobody.
const SHOWN: usize = 10;

fn list(differences: &[Difference]) -> String {
    let shown: Vec<String> = differences.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = differences.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    shown.join("; ") + &more
}

impl Lock {
    /// The lock of what was planned, acquired and chosen.
    #[must_use]
    pub fn new(
        request: &Request,
        plan: &Plan,
        sources: Vec<LockedSource>,
        epoch: i64,
        steps: Vec<LockedStep>,
        mut packages: Vec<LockedPackage>,
    ) -> Self {
        packages.sort_by(|a, b| a.key().cmp(&b.key()));
        Self {
            version: VERSION,
            suite: format!("{}:{}", plan.distribution.name, plan.suite.codename),
            architecture: plan.architecture.clone(),
            epoch: Created::from_seconds(epoch),
            unpacked_first: Vec::new(),
            options: LockedOptions::of(request, plan),
            sources,
            image_sources: plan.image_sources.iter().map(LockedImageSource::of).collect(),
            steps,
            packages,
        }
    }

    /// Reads a lock file.
    ///
    /// # Errors
    /// [`LockError`]; one of the syntax names the line.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        if text.len() > MAX_LOCK {
            return Err(LockError::TooLarge);
        }
        let syntax = |error| LockError::Syntax { source: Box::new(error) };
        // A lock of another version is named as such, whatever else is in it.
        let head: Head = toml::from_str(text).map_err(syntax)?;
        if head.version != i64::from(VERSION) {
            return Err(LockError::Version { found: head.version });
        }
        let lock: Self = toml::from_str(text).map_err(syntax)?;
        lock.check()?;
        Ok(lock)
    }

    fn check(&self) -> Result<(), LockError> {
        let bad = |object: String, reason: &str| Err(LockError::Value { object, reason: reason.into() });
        for package in &self.packages {
            let object = || format!("package {}", package.name);
            if below(&package.path).as_deref() != Some(&package.path) {
                return bad(object(), "its path leads out of the archive");
            }
            if !self.sources.iter().any(|source| source.suite == package.source) {
                return bad(object(), "no [[source]] has the suite that it names");
            }
        }
        for (a, b) in self.packages.iter().zip(self.packages.iter().skip(1)) {
            if a.key() >= b.key() {
                return bad(format!("package {}", b.name), "stands twice, or out of order");
            }
        }
        for (what, text) in [("variant", &self.options.variant), ("style", &self.options.style)] {
            let known = match what {
                "variant" => text.parse::<crate::request::Variant>().is_ok(),
                _ => text.parse::<crate::finish::Style>().is_ok(),
            };
            if !known {
                return bad(format!("option {what} {text:?}"), "means nothing");
            }
        }
        if self.options.resolver.parse::<crate::request::Resolver>().is_err() {
            return bad(format!("option resolver {:?}", self.options.resolver), "means nothing");
        }
        if self.options.paths.iter().any(|rule| !rule.starts_with(['-', '+'])) {
            return bad("option paths".into(), "each begins with `-` or `+`");
        }
        Ok(())
    }

    /// The text of the lock file: the same bytes for the same lock.
    ///
    /// # Panics
    /// Never: every value of a lock can stand in TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let body = toml::to_string(self).expect("a lock has only strings, numbers and tables of those");
        format!("{HEAD}{body}")
    }

    /// The request that the lock answers: ask for it, with mirrors and keyrings as the user gives them.
    ///
    /// # Errors
    /// Where an option means nothing; [`Lock::parse`] refuses such a lock.
    pub fn request(&self) -> Result<Request, LockError> {
        let value = |object: &str, reason: String| LockError::Value { object: format!("option {object}"), reason };
        let options = &self.options;
        let mut request = Request::new(self.suite.clone());
        request.architecture = Some(self.architecture.clone());
        request.variant = options.variant.parse().map_err(|error| value("variant", format!("{error}")))?;
        request.resolver = options.resolver.parse().map_err(|error| value("resolver", format!("{error}")))?;
        request.style = options.style.parse().map_err(|error| value("style", format!("{error}")))?;
        request.include.clone_from(&options.include);
        request.exclude.clone_from(&options.exclude);
        request.recommends = options.recommends;
        request.components.clone_from(&options.components);
        request.pockets = Some(options.pockets.clone());
        request.slim = options.slim;
        request.extra_sources.clone_from(&options.added_sources);
        request.merged_usr = Some(options.merged_usr);
        request.epoch = Some(self.epoch.seconds());
        request.paths = options
            .paths
            .iter()
            .filter_map(|rule| {
                let exclude = rule.strip_prefix('-').map(|pattern| PathRule::Exclude(pattern.into()));
                exclude.or_else(|| rule.strip_prefix('+').map(|pattern| PathRule::Include(pattern.into())))
            })
            .collect();
        // The image names the archives that it named before, whoever serves the packages now.
        request.image_mirrors = self
            .sources
            .iter()
            .filter_map(|source| {
                let named = self.image_sources.iter().find(|image| image.suites.contains(&source.suite))?;
                Some(Mirror { pocket: Some(source.pocket?), url: named.uri.clone() })
            })
            .collect();
        Ok(request)
    }

    /// What to fetch: every package of the lock, in its order, from the mirrors of a plan.
    ///
    /// # Errors
    /// [`LockError::NoSource`] where the plan lacks a source.
    pub fn wanted(&self, plan: &Plan) -> Result<Vec<Wanted>, LockError> {
        let wanted = self.packages.iter().map(|package| {
            let source = plan.sources.iter().find(|source| source.name() == package.source).ok_or_else(|| {
                LockError::NoSource { package: package.name.clone(), source_name: package.source.clone() }
            })?;
            Ok(Wanted {
                name: format!("{} {} {}", package.name, package.version, package.architecture),
                path: package.path.clone(),
                mirrors: source.mirrors.clone(),
                size: package.size,
                sha256: package.digest,
            })
        });
        wanted.collect()
    }

    /// The steps that can be done again without another word: commands. A file that was copied in must be given anew.
    #[must_use]
    pub fn run_steps(&self) -> Vec<Step> {
        let run = self.steps.iter().filter_map(|step| match step {
            LockedStep::Run { command, network } => Some(Step::Run { command: command.clone(), network: *network }),
            LockedStep::CopyIn { .. } => None,
        });
        run.collect()
    }

    /// Compares what was done to a root with the steps of the lock.
    ///
    /// # Errors
    /// [`LockError::Differs`].
    pub fn keep_steps(&self, done: &[LockedStep]) -> Result<(), LockError> {
        let mut differences = Differences::default();
        differences.compare_debug("steps", &self.steps.as_slice(), &done);
        differences.end()
    }

    /// Compares options with those of the lock.
    ///
    /// # Errors
    /// [`LockError::Differs`], each difference by name.
    pub fn keep_options(&self, suite: &str, architecture: &str, options: &LockedOptions) -> Result<(), LockError> {
        let mut differences = Differences::default();
        differences.compare("suite", &self.suite, suite);
        differences.compare("architecture", &self.architecture, architecture);
        differences.options(&self.options, options);
        differences.end()
    }

    /// Compares another lock with this one: options, image's package sources, steps and packages. Digests of indexes
    /// do not count: a push of the archive that changes no chosen package changes no image.
    ///
    /// # Errors
    /// [`LockError::Differs`], each difference by name.
    pub fn keep(&self, found: &Self) -> Result<(), LockError> {
        let mut differences = Differences::default();
        differences.compare("suite", &self.suite, &found.suite);
        differences.compare("architecture", &self.architecture, &found.architecture);
        differences.compare("epoch", &self.epoch.to_string(), &found.epoch.to_string());
        differences.compare_debug("packages unpacked first", &self.unpacked_first, &found.unpacked_first);
        differences.options(&self.options, &found.options);
        differences.compare_debug("image sources", &self.image_sources, &found.image_sources);
        differences.compare_debug("steps", &self.steps, &found.steps);
        let packages = |lock: &Self| -> BTreeMap<(String, String), String> {
            let one = |package: &LockedPackage| {
                let key = (package.name.clone(), package.architecture.clone());
                (key, format!("{} {}", package.version, package.digest))
            };
            lock.packages.iter().map(one).collect()
        };
        let (wanted, found) = (packages(self), packages(found));
        for key @ (name, architecture) in wanted.keys().chain(found.keys().filter(|key| !wanted.contains_key(*key))) {
            let nothing = || "nothing".to_owned();
            let wanted = wanted.get(key).cloned().unwrap_or_else(nothing);
            let found = found.get(key).cloned().unwrap_or_else(nothing);
            differences.compare(&format!("package {name}:{architecture}"), &wanted, &found);
        }
        differences.end()
    }
}

#[derive(Deserialize)]
struct Head {
    version: i64,
}

impl LockedImageSource {
    /// As finishing has it.
    pub(crate) fn of(source: &AptSource) -> Self {
        Self {
            uri: source.uri.clone(),
            suites: source.suites.clone(),
            components: source.components.clone(),
            signed_by: source.signed_by.clone(),
            trusted: source.trusted,
        }
    }

    /// As finishing takes it.
    #[must_use]
    pub fn apt_source(&self) -> AptSource {
        AptSource {
            uri: self.uri.clone(),
            suites: self.suites.clone(),
            components: self.components.clone(),
            signed_by: self.signed_by.clone(),
            trusted: self.trusted,
        }
    }
}

#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn compare(&mut self, what: &str, wanted: &str, found: &str) {
        if wanted != found {
            self.0.push(Difference { what: what.into(), wanted: wanted.into(), found: found.into() });
        }
    }

    fn compare_debug<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, wanted: &T, found: &T) {
        if wanted != found {
            self.compare(what, &format!("{wanted:?}"), &format!("{found:?}"));
        }
    }

    fn options(&mut self, wanted: &LockedOptions, found: &LockedOptions) {
        // Every field by name: a new one does not compile until it is compared.
        let LockedOptions {
            variant,
            resolver,
            include,
            exclude,
            recommends,
            components,
            pockets,
            style,
            slim,
            merged_usr,
            paths,
            added_sources,
        } = wanted;
        self.compare("option variant", variant, &found.variant);
        self.compare("option resolver", resolver, &found.resolver);
        self.compare_debug("option include", include, &found.include);
        self.compare_debug("option exclude", exclude, &found.exclude);
        self.compare_debug("option recommends", recommends, &found.recommends);
        self.compare_debug("option components", components, &found.components);
        self.compare_debug("option pockets", pockets, &found.pockets);
        self.compare("option style", style, &found.style);
        self.compare_debug("option slim", slim, &found.slim);
        self.compare_debug("option merged-usr", merged_usr, &found.merged_usr);
        self.compare_debug("option paths", paths, &found.paths);
        self.compare_debug("option added-sources", added_sources, &found.added_sources);
    }

    fn end(self) -> Result<(), LockError> {
        if self.0.is_empty() { Ok(()) } else { Err(LockError::Differs { differences: self.0 }) }
    }
}

/// The packages that a host has installed, as a lock of them can be made of what an archive has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromHost {
    /// Those that the archive has in exactly this version.
    pub packages: Vec<LockedPackage>,
    /// Those that it does not have: `name version architecture`.
    pub missing: Vec<String>,
}

/// Finds the packages of a machine in an archive: `status` is the text of its `/var/lib/dpkg/status`.
///
/// # Errors
/// [`LockError`] where the status or an index is malformed.
pub fn from_host(status: &[u8], acquired: &Acquired) -> Result<FromHost, LockError> {
    let mut installed: BTreeMap<(String, String), String> = BTreeMap::new();
    for paragraph in Paragraphs::new(status) {
        let paragraph = paragraph.map_err(|source| LockError::Status { source })?;
        let value = |name: &str| paragraph.get(name).map_err(|source| LockError::Status { source });
        // `hold ok installed` is installed, too.
        if !value("Status")?.is_some_and(|status| status.ends_with(" ok installed")) {
            continue;
        }
        if let (Some(name), Some(version), Some(architecture)) =
            (value("Package")?, value("Version")?, value("Architecture")?)
        {
            installed.insert((name.to_owned(), architecture.to_owned()), version.to_owned());
        }
    }
    let mut packages = Vec::new();
    for source in &acquired.sources {
        for index in &source.indexes {
            let what = || format!("{}/{}", source.suite, index.component);
            let parsed =
                PackagesIndex::parse(&index.bytes).map_err(|source| LockError::Index { what: what(), source })?;
            for package in parsed.packages() {
                let key = (package.name.to_owned(), package.architecture.to_owned());
                if installed.get(&key).is_some_and(|version| version == package.version.as_str()) {
                    installed.remove(&key);
                    let role = if package.essential { LockedRole::Essential } else { LockedRole::Included };
                    let locked = LockedPackage::of(package, source, role);
                    packages.push(locked.map_err(|source| LockError::Package { source })?);
                }
            }
        }
    }
    packages.sort_by(|a, b| a.key().cmp(&b.key()));
    let missing =
        installed.into_iter().map(|((name, architecture), version)| format!("{name} {version} {architecture}"));
    Ok(FromHost { packages, missing: missing.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Lock {
        let digest = Digest::of(b"x");
        Lock {
            version: VERSION,
            suite: "debian:trixie".into(),
            architecture: "amd64".into(),
            epoch: Created::from_seconds(1_700_000_000),
            unpacked_first: vec!["dash".into()],
            options: LockedOptions {
                variant: "required".into(),
                resolver: "apt".into(),
                include: vec!["curl".into()],
                exclude: vec![],
                recommends: false,
                components: vec!["main".into()],
                pockets: vec![Pocket::Release, Pocket::Security],
                style: "docker".into(),
                slim: true,
                merged_usr: true,
                paths: vec!["-/usr/share/doc/*".into()],
                added_sources: vec!["deb [trusted=yes] file:/srv/repo ./".into()],
            },
            sources: vec![
                LockedSource {
                    suite: "trixie".into(),
                    pocket: Some(Pocket::Release),
                    release: digest,
                    date: Created::from_seconds(1_699_999_999),
                    signer: Some("B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8".into()),
                    indexes: vec![LockedIndex { component: "main".into(), architecture: "amd64".into(), digest }],
                },
                LockedSource {
                    suite: "local \"repo\"".into(),
                    pocket: None,
                    release: digest,
                    date: Created::from_seconds(0),
                    signer: None,
                    indexes: vec![],
                },
            ],
            image_sources: vec![LockedImageSource {
                uri: "http://example.org/debian".into(),
                suites: vec!["trixie".into()],
                components: vec!["main".into()],
                signed_by: Some("/usr/share/keyrings/debian-archive-keyring.gpg".into()),
                trusted: true,
            }],
            steps: vec![
                LockedStep::CopyIn { destination: "/etc/motd".into(), digest },
                LockedStep::Run { command: "echo \"a\\b\"\nid".into(), network: true },
            ],
            packages: vec![
                LockedPackage {
                    name: "curl".into(),
                    version: "1:8.14.1-2~x+b".into(),
                    architecture: "amd64".into(),
                    source: "trixie".into(),
                    path: "pool/main/c/curl/curl_8.14.1-2_amd64.deb".into(),
                    size: 270_000,
                    digest,
                    role: LockedRole::Included,
                },
                LockedPackage {
                    name: "dash".into(),
                    version: "0.5".into(),
                    architecture: "amd64".into(),
                    source: "trixie".into(),
                    path: "pool/main/d/dash/dash_0.5_amd64.deb".into(),
                    size: 1,
                    digest,
                    role: LockedRole::Essential,
                },
            ],
        }
    }

    #[test]
    fn a_lock_is_read_as_it_was_written() {
        let lock = sample();
        let text = lock.to_toml();
        let read = Lock::parse(&text).unwrap();
        assert_eq!(read, lock);
        assert_eq!(read.to_toml(), text);
    }

    #[test]
    fn a_lock_asks_for_what_it_was_made_of() {
        let lock = sample();
        let request = lock.request().unwrap();
        assert_eq!(request.suite, "debian:trixie");
        assert_eq!(request.pockets, Some(vec![Pocket::Release, Pocket::Security]));
        assert_eq!(request.paths, [PathRule::Exclude("/usr/share/doc/*".into())]);
        assert_eq!(request.epoch, Some(1_700_000_000));
        assert_eq!(
            request.image_mirrors,
            [Mirror { pocket: Some(Pocket::Release), url: "http://example.org/debian".into() }]
        );
    }

    #[test]
    fn malformed_locks_are_refused() {
        let good = sample().to_toml();
        let cases = [
            ("version = 1", "version = 2", "lock file is of version 2, this program knows version 1"),
            ("version = 1", "version = 1\nother = 3", "unknown field `other`"),
            ("pool/main/c/", "../main/c/", "package curl: its path leads out of the archive"),
            ("path = \"pool/main/d/dash/", "path = \"/pool/", "package dash: its path leads out of the archive"),
            ("name = \"dash\"", "name = \"aash\"", "package aash: stands twice, or out of order"),
            ("name = \"dash\"", "name = \"curl\"", "package curl: stands twice, or out of order"),
            ("size = 1\n", "size = -1\n", "invalid value"),
            ("role = \"essential\"", "role = \"king\"", "unknown variant `king`"),
            ("variant = \"required\"", "variant = \"huge\"", "option variant \"huge\": means nothing"),
            ("\"-/usr", "\"/usr", "option paths: each begins with"),
            ("source = \"trixie\"", "source = \"sid\"", "no [[source]] has the suite that it names"),
            ("digest = \"sha256:", "digest = \"sha512:", "sha512"),
        ];
        for (from, to, expected) in cases {
            assert!(good.contains(from), "{from}");
            let error = Lock::parse(&good.replacen(from, to, 1)).unwrap_err();
            let text = match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            assert!(text.contains(expected), "{to}: {text}");
        }
    }

    #[test]
    fn differences_are_named() {
        let lock = sample();
        assert!(lock.keep(&lock).is_ok());
        let mut other = lock.clone();
        other.options.slim = false;
        other.packages[0].version = "2".into();
        let extra = other.packages[1].clone();
        other.packages[1].name = "zsh".into();
        // A newer Release file is none.
        other.sources[0].release = Digest::of(b"new");
        let LockError::Differs { differences } = lock.keep(&other).unwrap_err() else { panic!() };
        let digest = extra.digest;
        let found: Vec<String> = differences.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "option slim: wanted true, found false".to_owned(),
                format!("package curl:amd64: wanted 1:8.14.1-2~x+b {digest}, found 2 {digest}"),
                format!("package dash:amd64: wanted 0.5 {digest}, found nothing"),
                format!("package zsh:amd64: wanted nothing, found 0.5 {digest}"),
            ]
        );
    }
}

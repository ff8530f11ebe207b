//! Which archive is asked for each pocket, and what its signature is judged by: decided before anything is fetched.

use std::net::IpAddr;
use std::path::PathBuf;

use bedplate_fetch::{Scheme, Url};
use bedplate_packages::deb::sources::{self, SignedBy};

use super::error::AcquireError;
use super::host::Host;
use super::host_sources::HostSources;
use super::observe::Notice;
use crate::distribution::{self, ArchiveState, Distribution, MergedUsr, Pocket, Suite};
use crate::finish::AptSource;
use crate::request::{Mirror, Request, Variant};
use crate::resolver::Resolver;

/// Where the choice of an archive came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveChoice {
    /// The request names it.
    Asked,
    /// The host's package sources name it.
    Host,
    /// It is the distribution's own public host.
    Default,
}

/// What will be asked: a request, resolved against data files and the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The distribution.
    pub distribution: Distribution,
    /// The suite.
    pub suite: Suite,
    /// The architecture in Debian's words.
    pub architecture: String,
    /// The components of the distribution's own pockets.
    pub components: Vec<String>,
    /// The sources: pockets in their order, then what the user added.
    pub sources: Vec<PlannedSource>,
    /// The package sources of the image.
    pub image_sources: Vec<AptSource>,
    /// The variant's default for `/usr`, or what was asked for.
    pub merged_usr: bool,
    /// Keyring files that are used in place of the distribution's ones; empty for those.
    pub keyrings: Vec<PathBuf>,
    /// Takes Release files that are older than those seen before.
    pub allow_downgrade: bool,
    /// What people should be told.
    pub notices: Vec<Notice>,
}

/// A suite of an archive that will be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedSource {
    /// Its pocket; `None` for what the user added.
    pub pocket: Option<Pocket>,
    /// Its name below `dists`, or the path of a flat repository.
    pub suite: String,
    /// Tells whether it is a flat repository: its indexes lie beside its Release file.
    pub flat: bool,
    /// Components; empty in a flat repository.
    pub components: Vec<String>,
    /// Roots of the archive, tried in this order.
    pub mirrors: Vec<Url>,
    /// Where the choice came from.
    pub choice: ArchiveChoice,
    /// Tells whether the archive may lack it.
    pub optional: bool,
    /// Takes it without a signature.
    pub unsigned: bool,
    /// Checks `Valid-Until`.
    pub valid_until: bool,
    /// Keyring files of this source alone; empty for those of the plan.
    pub keyrings: Vec<PathBuf>,
    /// A keyring that stands in the source itself.
    pub embedded_keyring: Option<Vec<u8>>,
}

impl Plan {
    /// What people should be told at a time, in seconds of the epoch.
    #[must_use]
    pub fn notices_at(&self, now: i64) -> Vec<Notice> {
        let mut notices = self.notices.clone();
        // Some archives keep a suite for years after its last update.
        if self.suite.state == ArchiveState::Living && self.suite.until.is_some_and(|until| until < now) {
            notices.push(Notice::Ended { suite: format!("{}:{}", self.distribution.name, self.suite.codename) });
        }
        notices
    }
}

impl PlannedSource {
    /// What its packages say that they come from: the suite; with its archive where the user added it, since the suites
    /// of others may have the same name.
    #[must_use]
    pub fn name(&self) -> String {
        match (self.pocket, self.mirrors.first()) {
            (None, Some(mirror)) => format!("{mirror} {}", self.suite),
            _ => self.suite.clone(),
        }
    }
}

/// Resolves a request: suite, pockets, archives, checks. Nothing is fetched.
///
/// # Errors
/// [`AcquireError`] where a word of the request means nothing.
pub fn plan(request: &Request, host: &Host) -> Result<Plan, AcquireError> {
    let known: Vec<Distribution> = request.distribution.iter().chain(distribution::builtin()).cloned().collect();
    let resolved = distribution::resolve(&request.suite, &known).map_err(|source| AcquireError::Resolve { source })?;
    let (distribution, suite) = (resolved.distribution, resolved.suite);
    // Those who follow debootstrap get what it makes: the same.
    if request.merged_usr == Some(false) && suite.merged_usr == MergedUsr::Yes && request.resolver == Resolver::Apt {
        return Err(AcquireError::AlwaysMerged { suite: resolved.name() });
    }
    let architecture = request.architecture.clone().unwrap_or_else(|| machine().to_owned());
    let mut components = request.components.clone();
    if components.is_empty() {
        components.clone_from(&distribution.components);
    }
    let mut planner = Planner {
        request,
        distribution,
        suite,
        // Only a host of the same distribution knows its archives.
        host: is_host_of(distribution, host).then(|| HostSources::read(host)),
        components: &components,
        architecture: &architecture,
        image_sources: Vec::new(),
        notices: Vec::new(),
    };
    if suite.state == ArchiveState::Ended {
        planner.notices.push(Notice::Ended { suite: resolved.name() });
    }
    planner.notices.extend(planner.host.iter().flat_map(|host| host.notices.clone()));
    let mut sources = Vec::new();
    for pocket in request.pockets.as_ref().unwrap_or(&suite.pockets) {
        if !sources.iter().any(|known: &PlannedSource| known.pocket == Some(*pocket)) {
            sources.push(planner.pocket(*pocket)?);
        }
    }
    for suite in &request.extra_suites {
        sources.extend(planner.beside(suite, sources.first()));
    }
    for text in &request.extra_sources {
        sources.extend(planner.extra(text)?);
    }
    if sources.is_empty() {
        return Err(AcquireError::NoSource { suite: resolved.name() });
    }
    let Planner { image_sources, mut notices, .. } = planner;
    // One notice for three pockets is enough.
    let mut said = Vec::new();
    notices.retain(|notice| {
        let new = !said.contains(notice);
        said.push(notice.clone());
        new
    });
    Ok(Plan {
        merged_usr: request.merged_usr.unwrap_or_else(|| suite.merged_usr.applies(request.variant == Variant::Buildd)),
        distribution: distribution.clone(),
        suite: suite.clone(),
        architecture: architecture.clone(),
        components: components.clone(),
        sources,
        image_sources,
        keyrings: request.keyrings.clone(),
        allow_downgrade: request.checks.allow_downgrade,
        notices,
    })
}

fn is_host_of(distribution: &Distribution, host: &Host) -> bool {
    host.distribution.as_ref().is_some_and(|id| distribution.hosts.contains(id))
}

struct Planner<'a> {
    request: &'a Request,
    distribution: &'a Distribution,
    suite: &'a Suite,
    host: Option<HostSources>,
    components: &'a [String],
    architecture: &'a str,
    image_sources: Vec<AptSource>,
    notices: Vec<Notice>,
}

impl Planner<'_> {
    /// The source of a pocket of the distribution.
    fn pocket(&mut self, pocket: Pocket) -> Result<PlannedSource, AcquireError> {
        let (distribution, suite) = (self.distribution, self.suite);
        let named = || format!("{}:{}", distribution.name, suite.codename);
        let name = suite.name_of(pocket).ok_or_else(|| AcquireError::NoPocket { suite: named(), pocket })?;
        let default = distribution.archive_url(suite, pocket, self.architecture);
        let asked = mirrors(&self.request.mirrors, pocket, distribution);
        let mut source = PlannedSource {
            pocket: Some(pocket),
            suite: name.to_owned(),
            flat: false,
            components: self.components.to_vec(),
            mirrors: Vec::new(),
            choice: ArchiveChoice::Asked,
            optional: self.request.pockets.is_none() && suite.optional.contains(&pocket),
            unsigned: false,
            valid_until: suite.state == ArchiveState::Living,
            keyrings: Vec::new(),
            embedded_keyring: None,
        };
        if !asked.is_empty() {
            source.mirrors = asked.into_iter().map(archive_url).collect::<Result<Vec<Url>, _>>()?;
        } else if self.take_host(pocket, &mut source) {
            source.choice = ArchiveChoice::Host;
        } else {
            let default = default.ok_or_else(|| AcquireError::NoArchive {
                suite: named(),
                architecture: self.architecture.to_owned(),
            })?;
            source.choice = ArchiveChoice::Default;
            source.mirrors.push(archive_url(default)?);
        }
        if let Some(check) = self.request.checks.valid_until {
            source.valid_until = check;
        }
        source.unsigned = self.is_unsigned(&source.mirrors)?;
        self.name_in_image(pocket, &source, default)?;
        Ok(source)
    }

    /// Takes the host's source for a pocket, if it has one that can serve the architecture.
    fn take_host(&mut self, pocket: Pocket, source: &mut PlannedSource) -> bool {
        let (distribution, suite) = (self.distribution, self.suite);
        let at = |architecture| distribution.archive_url(suite, pocket, architecture);
        // Another host holds the other architectures of Ubuntu.
        if at(self.architecture) != at(machine()) {
            return false;
        }
        let Some(found) = self.host.as_ref().and_then(|host| host.find(distribution, suite, pocket)) else {
            return false;
        };
        let urls: Vec<Url> = found.uris.iter().filter_map(|uri| Url::parse(uri).ok()).collect();
        let Some(first) = urls.first() else {
            // `cdrom:`, `mirror+file:`: ways that only apt knows.
            let reason = format!("{} can be asked by apt only", found.uris.join(" "));
            self.notices.push(Notice::HostFile { file: found.file.to_owned(), reason });
            return false;
        };
        self.notices.push(Notice::HostSources { url: first.to_string(), file: found.file.to_owned() });
        if let Some((check, file)) = found.valid_until {
            if source.valid_until && !check && self.request.checks.valid_until.is_none() {
                self.notices.push(Notice::HostIgnoresValidUntil { file: file.to_owned() });
            }
            source.valid_until = check;
        }
        source.keyrings = found.keyrings.iter().map(PathBuf::from).collect();
        source.embedded_keyring = found.embedded.map(|text| text.as_bytes().to_vec());
        source.mirrors = urls;
        true
    }

    /// Adds a pocket to what the image's own package sources name.
    fn name_in_image(
        &mut self,
        pocket: Pocket,
        source: &PlannedSource,
        default: Option<&str>,
    ) -> Result<(), AcquireError> {
        let named = mirrors(&self.request.image_mirrors, pocket, self.distribution);
        let asked = source.mirrors.first().filter(|url| can_stand_in_image(url));
        let uri = match (named.first(), asked) {
            (Some(named), _) => archive_url(named)?.revealed().trim_end_matches('/').to_owned(),
            (None, Some(asked)) => asked.revealed().trim_end_matches('/').to_owned(),
            (None, None) => match default {
                Some(default) => default.to_owned(),
                // An architecture that no public archive is known for, from a mirror that only this machine sees.
                None => return Ok(()),
            },
        };
        let components = source.components.clone();
        let signed_by = self.suite.deb822_sources.then(|| self.suite.image_keyring.clone());
        match self.image_sources.iter_mut().find(|known| known.uri == uri) {
            Some(known) => known.suites.push(source.suite.clone()),
            None => {
                let suites = vec![source.suite.clone()];
                self.image_sources.push(AptSource { uri, suites, components, signed_by, trusted: false });
            }
        }
        Ok(())
    }

    /// Another suite of the archive that another source asks; the image asks it, too.
    fn beside(&mut self, suite: &str, like: Option<&PlannedSource>) -> Option<PlannedSource> {
        let like = like?;
        if let Some(known) = self.image_sources.iter_mut().find(|known| known.suites.contains(&like.suite)) {
            known.suites.push(suite.to_owned());
        }
        Some(PlannedSource { pocket: None, suite: suite.to_owned(), optional: false, ..like.clone() })
    }

    /// The sources that the user wrote down: a line of `sources.list`, or stanzas of a `.sources` file.
    fn extra(&mut self, text: &str) -> Result<Vec<PlannedSource>, AcquireError> {
        let first = text.trim_start();
        let is_line = first.starts_with("deb ") || first.starts_with("deb\t") || first.starts_with("deb-src");
        let parsed =
            if is_line { sources::parse_list(text.as_bytes()) } else { sources::parse_sources(text.as_bytes()) };
        let parsed =
            parsed.map_err(|source| AcquireError::Source { text: text.chars().take(200).collect(), source })?;
        let mut found: Vec<PlannedSource> = Vec::new();
        for source in &parsed {
            let fits = source.architectures.is_empty()
                || source.architectures.iter().any(|architecture| architecture == self.architecture);
            if source.pockets().next().is_none() || !fits {
                continue;
            }
            let mirrors = source.uris.iter().map(|uri| archive_url(uri)).collect::<Result<Vec<Url>, _>>()?;
            let (keyrings, embedded_keyring) = match &source.signed_by {
                Some(SignedBy::Keys(keys)) => {
                    (keys.iter().filter(|key| key.contains('/')).map(PathBuf::from).collect(), None)
                }
                Some(SignedBy::Embedded(text)) => (Vec::new(), Some(text.as_bytes().to_vec())),
                None => (Vec::new(), None),
            };
            if let Some(first) = mirrors.first().filter(|url| is_public(url)) {
                self.image_sources.push(AptSource {
                    uri: first.revealed().trim_end_matches('/').to_owned(),
                    suites: source.suites.clone(),
                    components: source.components.clone(),
                    signed_by: match &source.signed_by {
                        Some(SignedBy::Keys(keys)) => Some(keys.join(" ")),
                        Some(SignedBy::Embedded(text)) => Some(text.clone()),
                        None => None,
                    },
                    trusted: source.trusted == Some(true),
                });
            }
            let unsigned = source.trusted == Some(true) || self.is_unsigned(&mirrors)?;
            let check = self.request.checks.valid_until.or(source.check_valid_until);
            for suite in &source.suites {
                found.push(PlannedSource {
                    pocket: None,
                    suite: suite.clone(),
                    flat: suite.ends_with('/'),
                    components: source.components.clone(),
                    mirrors: mirrors.clone(),
                    choice: ArchiveChoice::Asked,
                    optional: false,
                    unsigned,
                    valid_until: check.unwrap_or(true),
                    keyrings: keyrings.clone(),
                    embedded_keyring: embedded_keyring.clone(),
                });
            }
        }
        Ok(found)
    }

    /// Tells whether the user takes an archive without a signature.
    fn is_unsigned(&self, mirrors: &[Url]) -> Result<bool, AcquireError> {
        let checks = &self.request.checks;
        if checks.no_signatures {
            return Ok(true);
        }
        let root = |url: &Url| url.revealed().trim_end_matches('/').to_owned();
        for text in &checks.unsigned {
            let allowed = root(&archive_url(text)?);
            if mirrors.iter().any(|mirror| root(mirror) == allowed) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The mirrors that hold a pocket: those that name it, else those that name none, if such hold it.
fn mirrors<'a>(all: &'a [Mirror], pocket: Pocket, distribution: &Distribution) -> Vec<&'a str> {
    let named = |wanted: Option<Pocket>| -> Vec<&'a str> {
        all.iter().filter(|mirror| mirror.pocket == wanted).map(|mirror| mirror.url.as_str()).collect()
    };
    let own = named(Some(pocket));
    if own.is_empty() && distribution.mirrored.contains(&pocket) { named(None) } else { own }
}

/// The root of an archive: an absolute path is a folder of this machine.
fn archive_url(text: &str) -> Result<Url, AcquireError> {
    let text = if text.starts_with('/') { format!("file://{text}") } else { text.to_owned() };
    Url::parse(&text).map_err(|source| AcquireError::Url { source })
}

/// Tells whether an image may name the mirror that was asked, in place of the distribution's own archive: what stands on
/// a port of its own is taken for a proxy of this place.
fn can_stand_in_image(url: &Url) -> bool {
    let authority = url.revealed().split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    is_public(url) && !has_port
}

/// Tells whether others than this machine can ask an archive, and by an address without a secret.
fn is_public(url: &Url) -> bool {
    if url.scheme() == Scheme::File {
        return false;
    }
    let host = url.host();
    let is_loopback = host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified());
    !is_loopback && !url.has_credentials()
}

/// The architecture of this machine in Debian's words.
#[must_use]
pub fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "i386",
        "aarch64" => "arm64",
        "arm" => "armhf",
        "powerpc64" => "ppc64el",
        "loongarch64" => "loong64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acquire::HostFile;

    fn host(distribution: &str, list: &str) -> Host {
        Host {
            distribution: Some(distribution.into()),
            sources: vec![HostFile { path: "/etc/apt/sources.list".into(), text: list.into() }],
            ..Host::default()
        }
    }

    fn shown(plan: &Plan) -> Vec<String> {
        let one = |source: &PlannedSource| format!("{} {}", source.mirrors[0].revealed(), source.suite);
        plan.sources.iter().map(one).collect()
    }

    #[test]
    fn archives_are_chosen_by_request_host_and_default() {
        let mirror = |text: &str| vec![Mirror::parse(text)];
        let bookworm = host("debian", "deb http://m.example/debian bookworm main\n");
        let nobody = Host::default();
        /// Suite, host, mirrors, architecture, what is asked.
        type Case<'a> = (&'a str, &'a Host, Vec<Mirror>, &'a str, &'a [&'a str]);
        let cases: [Case<'_>; 8] = [
            (
                "trixie",
                &nobody,
                vec![],
                "amd64",
                &[
                    "http://ftp.debian.org/debian trixie",
                    "http://ftp.debian.org/debian trixie-updates",
                    "http://security.debian.org/debian-security trixie-security",
                ],
            ),
            (
                "trixie",
                &nobody,
                mirror("http://x.example/debian"),
                "amd64",
                &[
                    "http://x.example/debian trixie",
                    "http://x.example/debian trixie-updates",
                    "http://security.debian.org/debian-security trixie-security",
                ],
            ),
            (
                "trixie",
                &bookworm,
                vec![],
                "amd64",
                &[
                    "http://m.example/debian trixie",
                    "http://ftp.debian.org/debian trixie-updates",
                    "http://security.debian.org/debian-security trixie-security",
                ],
            ),
            (
                "jessie",
                &bookworm,
                vec![],
                "amd64",
                &[
                    "http://archive.debian.org/debian jessie",
                    "http://archive.debian.org/debian jessie-updates",
                    "http://archive.debian.org/debian-security jessie/updates",
                ],
            ),
            ("sid", &bookworm, vec![], "amd64", &["http://m.example/debian sid"]),
            (
                "noble",
                &bookworm,
                mirror("/srv/ubuntu"),
                "amd64",
                &["file:///srv/ubuntu noble", "file:///srv/ubuntu noble-updates", "file:///srv/ubuntu noble-security"],
            ),
            (
                "noble",
                &bookworm,
                vec![],
                "arm64",
                &[
                    "http://ports.ubuntu.com/ubuntu-ports noble",
                    "http://ports.ubuntu.com/ubuntu-ports noble-updates",
                    "http://ports.ubuntu.com/ubuntu-ports noble-security",
                ],
            ),
            (
                "mantic",
                &bookworm,
                vec![],
                "amd64",
                &[
                    "http://old-releases.ubuntu.com/ubuntu mantic",
                    "http://old-releases.ubuntu.com/ubuntu mantic-updates",
                    "http://old-releases.ubuntu.com/ubuntu mantic-security",
                ],
            ),
        ];
        for (suite, host, mirrors, architecture, expected) in cases {
            let mut request = Request::new(suite);
            request.mirrors = mirrors;
            request.architecture = Some(architecture.into());
            assert_eq!(shown(&plan(&request, host).unwrap()), expected, "{suite}");
        }
    }

    #[test]
    fn the_image_names_what_everybody_can_ask() {
        let cases = [
            ("http://x.example/debian", None, "http://x.example/debian"),
            ("http://x.example/debian/", None, "http://x.example/debian"),
            ("http://x.example:8080/debian", None, "http://ftp.debian.org/debian"),
            ("http://user:secret@x.example/debian", None, "http://ftp.debian.org/debian"),
            ("http://127.0.0.1/debian", None, "http://ftp.debian.org/debian"),
            ("http://[::1]/debian", None, "http://ftp.debian.org/debian"),
            ("http://localhost/debian", None, "http://ftp.debian.org/debian"),
            ("file:///srv/debian", None, "http://ftp.debian.org/debian"),
            ("/srv/debian", None, "http://ftp.debian.org/debian"),
            ("/srv/debian", Some("http://y.example/debian"), "http://y.example/debian"),
            ("http://x.example/debian", Some("http://y.example:81/debian"), "http://y.example:81/debian"),
        ];
        for (mirror, image, expected) in cases {
            let mut request = Request::new("trixie");
            request.mirrors = vec![Mirror::parse(mirror)];
            request.image_mirrors = image.into_iter().map(Mirror::parse).collect();
            let plan = plan(&request, &Host::default()).unwrap();
            assert_eq!(plan.image_sources[0].uri, expected, "{mirror} {image:?}");
            assert_eq!(plan.image_sources[0].suites, ["trixie", "trixie-updates"]);
        }
    }

    #[test]
    fn an_unsigned_archive_is_allowed_by_its_root_alone() {
        let mut request = Request::new("trixie");
        request.mirrors = vec![Mirror::parse("http://x.example/debian/")];
        request.checks.unsigned = vec!["http://x.example/debian".into()];
        request.extra_sources = vec![
            "deb [trusted=yes] file:/srv/repo ./".into(),
            "deb http://z.example/repo trixie main contrib".into(),
            "Types: deb\nURIs: http://z.example/repo\nSuites: a b\nComponents: c\nArchitectures: hurd-i386\n".into(),
        ];
        let plan = plan(&request, &Host::default()).unwrap();
        let found: Vec<(&str, bool, bool)> =
            plan.sources.iter().map(|source| (source.suite.as_str(), source.flat, source.unsigned)).collect();
        assert_eq!(
            found,
            [
                ("trixie", false, true),
                ("trixie-updates", false, true),
                ("trixie-security", false, false),
                ("./", true, true),
                ("trixie", false, false)
            ]
        );
    }

    #[test]
    fn the_image_names_what_the_user_added() {
        let mut request = Request::new("trixie");
        request.extra_sources = vec![
            "deb [trusted=yes] http://z.example:81/repo ./".into(),
            "deb [signed-by=/usr/share/keyrings/z.gpg] http://z.example/repo trixie main contrib".into(),
            "deb file:/srv/repo ./".into(),
            "deb http://user:secret@z.example/private trixie main".into(),
            "deb http://127.0.0.1/repo trixie main".into(),
        ];
        let plan = plan(&request, &Host::default()).unwrap();
        let added: Vec<String> = plan.image_sources[2..].iter().map(|source| format!("{source:?}")).collect();
        let (flat, signed) = (&plan.image_sources[2], &plan.image_sources[3]);
        assert_eq!(added.len(), 2, "{added:?}");
        assert_eq!(
            (flat.uri.as_str(), flat.trusted, &flat.suites[..]),
            ("http://z.example:81/repo", true, &["./".to_owned()][..])
        );
        assert_eq!(signed.components, ["main", "contrib"]);
        assert_eq!((signed.signed_by.as_deref(), signed.trusted), (Some("/usr/share/keyrings/z.gpg"), false));
        // A suite of the same name in another archive is another source.
        let names: Vec<String> = plan.sources.iter().map(PlannedSource::name).collect();
        assert_eq!(names[..3], ["trixie", "trixie-updates", "trixie-security"]);
        assert_eq!(names[4], "http://z.example/repo trixie");
        assert!(!names.iter().any(|name| name.contains("secret")), "{names:?}");
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let with = |edit: &dyn Fn(&mut Request)| {
            let mut request = Request::new("trixie");
            edit(&mut request);
            plan(&request, &Host::default()).unwrap_err().to_string()
        };
        assert_eq!(with(&|request| request.suite = "trixe".into()), "cannot tell which suite is meant");
        assert_eq!(
            with(&|request| {
                request.suite = "sid".into();
                request.pockets = Some(vec![Pocket::Security]);
            }),
            "debian:sid has no pocket security"
        );
        assert_eq!(with(&|request| request.mirrors = vec![Mirror::parse("ftp://x/")]), "archive cannot be asked");
        assert_eq!(with(&|request| request.pockets = Some(vec![])), "no source of packages is left of debian:trixie");
        assert_eq!(
            with(&|request| request.extra_sources = vec!["deb nothing".into()]),
            "package source \"deb nothing\" cannot be understood"
        );
    }

    #[test]
    fn a_suite_has_ended_by_its_date_wherever_its_archive_is() {
        let plan = plan(&Request::new("bullseye"), &Host::default()).unwrap();
        let until = plan.suite.until.unwrap();
        let ended = |now| plan.notices_at(now).iter().filter(|n| matches!(n, Notice::Ended { .. })).count();
        assert_eq!((ended(until), ended(until + 1)), (0, 1));
    }

    #[test]
    fn the_host_decides_on_valid_until_for_its_own_archives_only() {
        let mut host = host("debian", "deb http://m.example/debian trixie main\n");
        host.apt_conf =
            vec![HostFile { path: "/etc/apt/apt.conf".into(), text: b"Acquire::Check-Valid-Until \"0\";".to_vec() }];
        let checks = |request: &Request| -> Vec<bool> {
            plan(request, &host).unwrap().sources.iter().map(|source| source.valid_until).collect()
        };
        let mut request = Request::new("trixie");
        assert_eq!(checks(&request), [false, true, true]);
        let notices = plan(&request, &host).unwrap().notices;
        assert!(notices.contains(&Notice::HostIgnoresValidUntil { file: "/etc/apt/apt.conf".into() }), "{notices:?}");
        request.checks.valid_until = Some(true);
        assert_eq!(checks(&request), [true, true, true]);
        let ended = plan(&Request::new("jessie"), &host).unwrap();
        assert!(ended.sources.iter().all(|source| !source.valid_until));
    }
}

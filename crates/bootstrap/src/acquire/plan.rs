//! Which archive is asked for each pocket, and what its signature is judged by: decided before anything is fetched.

use std::path::PathBuf;

use bedplate_fetch::Url;

use super::error::AcquireError;
use super::host::Host;
use super::observe::Notice;
use crate::distribution::{self, ArchiveState, Distribution, Pocket, Suite};
use crate::finish::AptSource;
use crate::request::{Mirror, Request};

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

/// Resolves a request: suite, pockets, archives, checks. Nothing is fetched.
///
/// # Errors
/// [`AcquireError`] where a word of the request means nothing.
pub fn plan(request: &Request, host: &Host) -> Result<Plan, AcquireError> {
    let _ = host;
    let known: Vec<Distribution> = request.distribution.iter().chain(distribution::builtin()).cloned().collect();
    let resolved = distribution::resolve(&request.suite, &known).map_err(|source| AcquireError::Resolve { source })?;
    let (distribution, suite) = (resolved.distribution, resolved.suite);
    let architecture = match &request.architecture {
        Some(architecture) => architecture.clone(),
        None => machine().to_owned(),
    };
    let components =
        if request.components.is_empty() { distribution.components.clone() } else { request.components.clone() };
    let pockets = request.pockets.clone().unwrap_or_else(|| suite.pockets.clone());
    let ended = suite.state == ArchiveState::Ended;
    let mut sources = Vec::new();
    let mut image_sources: Vec<AptSource> = Vec::new();
    for pocket in pockets {
        let name = suite.name_of(pocket).ok_or_else(|| AcquireError::NoPocket { suite: resolved.name(), pocket })?;
        let default = distribution
            .archive_url(suite, pocket, &architecture)
            .ok_or_else(|| AcquireError::NoArchive { suite: resolved.name(), architecture: architecture.clone() })?;
        let asked = mirrors(&request.mirrors, pocket, distribution);
        let (choice, urls) = match asked.is_empty() {
            false => (ArchiveChoice::Asked, asked),
            true => (ArchiveChoice::Default, vec![default]),
        };
        let mirrors = urls.into_iter().map(archive_url).collect::<Result<Vec<Url>, _>>()?;
        image_sources.push(AptSource {
            uri: default.to_owned(),
            suites: vec![name.to_owned()],
            components: components.clone(),
            signed_by: Some(distribution.image_keyring.clone()),
        });
        sources.push(PlannedSource {
            pocket: Some(pocket),
            suite: name.to_owned(),
            flat: false,
            components: components.clone(),
            mirrors,
            choice,
            optional: request.pockets.is_none() && suite.optional.contains(&pocket),
            unsigned: request.checks.no_signatures,
            valid_until: request.checks.valid_until.unwrap_or(!ended),
            keyrings: Vec::new(),
            embedded_keyring: None,
        });
    }
    let notices = if ended { vec![Notice::Ended { suite: resolved.name() }] } else { Vec::new() };
    Ok(Plan {
        merged_usr: request
            .merged_usr
            .unwrap_or_else(|| suite.merged_usr.applies(request.variant == crate::request::Variant::Buildd)),
        distribution: distribution.clone(),
        suite: suite.clone(),
        architecture,
        components,
        sources,
        image_sources,
        keyrings: request.keyrings.clone(),
        allow_downgrade: request.checks.allow_downgrade,
        notices,
    })
}

/// The mirrors that hold a pocket: those that name it, else those that name none, if such hold it.
fn mirrors<'a>(all: &'a [Mirror], pocket: Pocket, distribution: &Distribution) -> Vec<&'a str> {
    let named = |wanted: Option<Pocket>| {
        all.iter().filter(move |mirror| mirror.pocket == wanted).map(|mirror| mirror.url.as_str()).collect::<Vec<_>>()
    };
    let own = named(Some(pocket));
    match own.is_empty() && distribution.mirrored.contains(&pocket) {
        true => named(None),
        false => own,
    }
}

/// The root of an archive: an absolute path is a folder of this machine.
fn archive_url(text: &str) -> Result<Url, AcquireError> {
    let text = if text.starts_with('/') { format!("file://{text}") } else { text.to_owned() };
    Url::parse(&text).map_err(|source| AcquireError::Url { text: source_text(&text), source })
}

/// What of an address may be shown: its errors hide secrets, its text does not.
fn source_text(text: &str) -> String {
    text.split_once("://").map_or_else(|| text.to_owned(), |(scheme, _)| format!("{scheme}://…"))
}

/// The architecture of this machine in Debian's words.
fn machine() -> &'static str {
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

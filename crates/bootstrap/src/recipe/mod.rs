//! Recipes: everything that the flags of a bootstrap say, in one file.
//!
//! `docs/recipe.md` is the reference; a test holds it to [`schema`], and `schema` to the parser.

pub mod schema;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bedplate_oci::Created;
use serde::Deserialize;
use thiserror::Error;
use toml::de::{DeTable, DeValue};

use crate::distribution::{Distribution, DistributionError, Pocket, nearest};
use crate::finish::Style;
use crate::request::{Mirror, PathRule, Request, Resolver, Step, Variant};

/// The largest recipe, in bytes.
pub const MAX_RECIPE: usize = 4 * 1024 * 1024;

/// What a recipe says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// What is asked for. Paths are those of the recipe, taken from its folder.
    pub request: Request,
    /// Names for the image.
    pub tags: Vec<String>,
    /// Where the root is written in place of the store.
    pub output: Option<String>,
}

/// Why a recipe cannot be used.
#[derive(Debug, Error)]
pub enum RecipeError {
    /// It cannot be read from the disk.
    #[error("cannot read {path:?}")]
    Read {
        /// The recipe, or a file that it names.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// It is larger than any sensible one.
    #[error("{path:?} is larger than {limit} bytes")]
    TooLarge {
        /// The recipe, or a file that it names.
        path: PathBuf,
        /// The limit in bytes.
        limit: usize,
    },
    /// It is no TOML, or a value has another type; the source names line and column.
    #[error("recipe cannot be read")]
    Syntax {
        /// What the parser says.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A key means nothing.
    #[error("recipe, line {line}: no key {key:?}{}", near_words(.near))]
    Key {
        /// The line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// Keys that look like it.
        near: Vec<String>,
    },
    /// A value means nothing.
    #[error("recipe: {key}: {reason}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
    /// The distribution file is none.
    #[error("cannot use the distribution file {path:?}")]
    Distribution {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: DistributionError,
    },
}

fn near_words(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; near: {}", near.join(", ")) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    suite: String,
    #[serde(default)]
    tags: Vec<String>,
    output: Option<String>,
    distribution: Option<PathBuf>,
    architecture: Option<String>,
    variant: Option<String>,
    resolver: Option<String>,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    recommends: bool,
    #[serde(default)]
    components: Vec<String>,
    pockets: Option<Vec<Pocket>>,
    #[serde(default)]
    mirrors: Vec<String>,
    #[serde(default)]
    image_mirrors: Vec<String>,
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    keyrings: Vec<PathBuf>,
    check_valid_until: Option<bool>,
    #[serde(default)]
    allow_unsigned: Vec<String>,
    #[serde(default)]
    allow_downgrade: bool,
    style: Option<String>,
    #[serde(default)]
    slim: bool,
    #[serde(default)]
    paths: Vec<String>,
    merged_usr: Option<bool>,
    epoch: Option<Created>,
    downloads: Option<usize>,
    #[serde(default)]
    step: Vec<FileStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileStep {
    copy_in: Option<PathBuf>,
    to: Option<String>,
    run: Option<String>,
    network: Option<bool>,
}

impl Recipe {
    /// Reads a recipe, and the distribution file that it may name.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&read_text(path)?, folder, &read_text)
    }

    /// Reads the text of a recipe; relative paths in it begin at `folder`, and `read` gives the text of the distribution
    /// file that it may name.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn parse(
        text: &str,
        folder: &Path,
        read: &dyn Fn(&Path) -> Result<String, RecipeError>,
    ) -> Result<Self, RecipeError> {
        if text.len() > MAX_RECIPE {
            return Err(RecipeError::TooLarge { path: folder.to_owned(), limit: MAX_RECIPE });
        }
        let syntax = |error| RecipeError::Syntax { source: Box::new(error) };
        check_keys(text)?;
        let file: File = toml::from_str(text).map_err(syntax)?;
        let mut request = Request::new(file.suite);
        if let Some(path) = file.distribution {
            let path = folder.join(path);
            let text = read(&path)?;
            let parsed = Distribution::parse(&text);
            request.distribution = Some(parsed.map_err(|source| RecipeError::Distribution { path, source })?);
        }
        let defaults = Request::new("");
        request.architecture = file.architecture;
        request.variant = word("variant", file.variant, defaults.variant, |text| text.parse::<Variant>())?;
        request.resolver = word("resolver", file.resolver, defaults.resolver, |text| text.parse::<Resolver>())?;
        request.style = word("style", file.style, defaults.style, |text| text.parse::<Style>())?;
        request.include = file.include;
        request.exclude = file.exclude;
        request.recommends = file.recommends;
        request.components = file.components;
        request.pockets = file.pockets;
        request.mirrors = file.mirrors.iter().map(|text| Mirror::parse(text)).collect();
        request.image_mirrors = file.image_mirrors.iter().map(|text| Mirror::parse(text)).collect();
        request.extra_sources = file.sources;
        request.keyrings = file.keyrings.iter().map(|path| folder.join(path)).collect();
        request.checks.valid_until = file.check_valid_until;
        request.checks.unsigned = file.allow_unsigned;
        request.checks.allow_downgrade = file.allow_downgrade;
        request.slim = file.slim;
        request.paths = file.paths.into_iter().map(|text| path_rule(&text)).collect::<Result<_, _>>()?;
        request.merged_usr = file.merged_usr;
        request.epoch = file.epoch.map(Created::seconds);
        request.downloads = match file.downloads {
            Some(0) => return Err(RecipeError::Value { key: "downloads", reason: "at least 1 is needed".into() }),
            Some(n) => n,
            None => defaults.downloads,
        };
        request.steps = file.step.into_iter().map(|step| step.read(folder)).collect::<Result<_, _>>()?;
        Ok(Self { request, tags: file.tags, output: file.output })
    }
}

impl FileStep {
    fn read(self, folder: &Path) -> Result<Step, RecipeError> {
        let bad = |reason: &str| RecipeError::Value { key: "step", reason: reason.into() };
        match self {
            Self { copy_in: Some(source), to: Some(destination), run: None, network: None } => {
                if !destination.starts_with('/') {
                    return Err(bad("`to` has to be an absolute path"));
                }
                Ok(Step::CopyIn { source: folder.join(source), destination })
            }
            Self { copy_in: None, to: None, run: Some(command), network } => {
                Ok(Step::Run { command, network: network.unwrap_or(false) })
            }
            _ => Err(bad("a step is `copy-in` and `to`, or `run` and perhaps `network`")),
        }
    }
}

/// A word of a few.
fn word<T, E: std::fmt::Display>(
    key: &'static str,
    text: Option<String>,
    default: T,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, RecipeError> {
    match text {
        Some(text) => parse(&text).map_err(|error| RecipeError::Value { key, reason: error.to_string() }),
        None => Ok(default),
    }
}

/// `-PATTERN` leaves out, `+PATTERN` keeps.
fn path_rule(text: &str) -> Result<PathRule, RecipeError> {
    match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(pattern), _) => Ok(PathRule::Exclude(pattern.into())),
        (_, Some(pattern)) => Ok(PathRule::Include(pattern.into())),
        _ => Err(RecipeError::Value {
            key: "paths",
            reason: format!("{text:?} begins with neither `-` (leave out) nor `+` (keep)"),
        }),
    }
}

/// Refuses keys that mean nothing, with their line and near ones.
fn check_keys(text: &str) -> Result<(), RecipeError> {
    let table = DeTable::parse(text).map_err(|error| RecipeError::Syntax { source: Box::new(error) })?;
    let check = |key: &str, at: usize, known: &[schema::Key]| {
        if known.iter().any(|known| known.name == key) {
            return Ok(());
        }
        let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        let near = nearest(key, known.iter().map(|known| known.name));
        Err(RecipeError::Key { line, key: key.chars().take(64).collect(), near })
    };
    for (key, value) in table.get_ref() {
        check(key.get_ref(), key.span().start, schema::KEYS)?;
        if let ("step", DeValue::Array(steps)) = (key.get_ref().as_ref(), value.get_ref()) {
            for step in steps.iter() {
                let DeValue::Table(step) = step.get_ref() else { continue };
                for key in step.keys() {
                    check(key.get_ref(), key.span().start, schema::STEP_KEYS)?;
                }
            }
        }
    }
    Ok(())
}

fn read_text(path: &Path) -> Result<String, RecipeError> {
    let failed = |source| RecipeError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(MAX_RECIPE as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    match text.len() > MAX_RECIPE {
        true => Err(RecipeError::TooLarge { path: path.to_owned(), limit: MAX_RECIPE }),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
suite = "debian:trixie"
tags = ["base:1", "base:latest"]
output = "rootfs.tar.xz"
architecture = "amd64"
variant = "minbase"
resolver = "debootstrap"
include = ["curl", "ca-certificates"]
exclude = ["tzdata"]
recommends = true
components = ["main", "contrib"]
pockets = ["release", "security"]
mirrors = ["http://a.example/debian", "security=http://b.example/s"]
image-mirrors = ["http://c.example/debian"]
sources = ["deb http://d.example/repo ./"]
keyrings = ["keys/a.gpg", "/abs/b.gpg"]
check-valid-until = false
allow-unsigned = ["http://d.example/repo"]
allow-downgrade = true
style = "plain"
slim = true
paths = ["-/usr/share/doc/*", "+/usr/share/doc/*/copyright"]
merged-usr = false
epoch = "2024-01-02T03:04:05Z"
downloads = 2

[[step]]
copy-in = "files/motd"
to = "/etc/motd"

[[step]]
run = "update-ca-certificates"
network = true
"#;

    #[test]
    fn every_key_is_read() {
        let recipe = Recipe::parse(FULL, Path::new("/r"), &read_text).unwrap();
        let request = recipe.request;
        assert_eq!(recipe.tags, ["base:1", "base:latest"]);
        assert_eq!(recipe.output.as_deref(), Some("rootfs.tar.xz"));
        assert_eq!(request.suite, "debian:trixie");
        assert_eq!(request.architecture.as_deref(), Some("amd64"));
        assert_eq!(
            (request.variant, request.resolver, request.style),
            (Variant::Required, Resolver::Debootstrap, Style::Plain)
        );
        assert_eq!(request.pockets, Some(vec![Pocket::Release, Pocket::Security]));
        assert_eq!(request.mirrors[1].pocket, Some(Pocket::Security));
        assert_eq!(request.keyrings, [PathBuf::from("/r/keys/a.gpg"), PathBuf::from("/abs/b.gpg")]);
        assert_eq!(request.checks.valid_until, Some(false));
        assert_eq!(request.epoch, Some(1_704_164_645));
        assert_eq!(request.paths.len(), 2);
        assert_eq!(
            request.steps,
            [
                Step::CopyIn { source: "/r/files/motd".into(), destination: "/etc/motd".into() },
                Step::Run { command: "update-ca-certificates".into(), network: true }
            ]
        );
        // Each key of the schema stands in the text above, or names a file.
        for key in schema::KEYS {
            let stands = FULL.contains(&format!("\n{} = ", key.name)) || FULL.contains(&format!("[[{}]]", key.name));
            assert!(stands || key.name == "distribution", "{}", key.name);
        }
    }

    #[test]
    fn a_suite_is_enough() {
        let recipe = Recipe::parse("suite = \"trixie\"", Path::new(""), &read_text).unwrap();
        assert_eq!(recipe.request, Request::new("trixie"));
    }

    #[test]
    fn mistakes_are_told_with_their_line_and_near_words() {
        let cases = [
            ("suite = \"x\"\ninclde = []", "recipe, line 2: no key \"inclde\"; near: include"),
            ("suite = \"x\"\n\n[[step]]\nrum = \"x\"", "recipe, line 4: no key \"rum\"; near: run"),
            ("suite = \"x\"\n[image]\nx = 1", "recipe, line 2: no key \"image\""),
            ("tags = []", "missing field `suite`"),
            ("suite = 1", "invalid type"),
            ("suite = \"x\"\nslim = \"yes\"", "2 | slim"),
            ("suite = \"x\"\nsuite = \"y\"", "duplicate key"),
            ("suite = \"x\"\nvariant = \"big\"", "recipe: variant: no variant \"big\""),
            ("suite = \"x\"\npockets = [\"secure\"]", "unknown variant `secure`"),
            ("suite = \"x\"\npaths = [\"/usr\"]", "recipe: paths: \"/usr\" begins with neither"),
            ("suite = \"x\"\ndownloads = 0", "recipe: downloads: at least 1 is needed"),
            ("suite = \"x\"\nepoch = \"today\"", "RFC 3339"),
            ("suite = \"x\"\n[[step]]\nrun = \"a\"\nto = \"/b\"", "recipe: step: a step is"),
            ("suite = \"x\"\n[[step]]\ncopy-in = \"a\"\nto = \"b\"", "`to` has to be an absolute path"),
            ("suite = \"x\"\ndistribution = \"no-such-file\"", "cannot read \"/none/no-such-file\""),
        ];
        for (text, expected) in cases {
            let error = Recipe::parse(text, Path::new("/none"), &read_text).unwrap_err();
            let told = match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            assert!(told.contains(expected), "{text:?}: {told}");
        }
    }
}

//! `--cache-from` and `--cache-to`: steps taken from elsewhere, and given elsewhere.

use std::io;
use std::path::{Path, PathBuf};

use bedplate_build::{Built, CacheImport, ExchangeError, export};
use bedplate_store::{Lease, StoreError};

use super::given::fields;
use crate::context::Context;
use crate::failure::{Failure, Kind};

/// Where steps are given.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// Directories, each with whether it gets the steps of all stages (`mode=max`) or those of the image only.
    directories: Vec<(PathBuf, bool)>,
    /// Whether the image's manifest tells of them.
    pub(super) inline: bool,
}

/// Says what is to be done where a kind of cache needs a registry or a service.
fn unsupported(kind: &str) -> Failure {
    let failure = match kind {
        "registry" => Failure::new(Kind::User, "caches in registries are not supported yet"),
        "gha" | "s3" | "azblob" => Failure::new(Kind::User, format!("caches of type {kind} are not supported")),
        other => return Failure::new(Kind::User, format!("{other:?} is no type")).hint("there are local and inline"),
    };
    failure.hint("keep a directory with type=local between builds")
}

/// Reads the values of `--cache-from`. What is not there is told and passed over, as with Docker.
pub(super) fn sources(texts: &[String], lease: &Lease, context: &Context) -> Result<Vec<CacheImport>, Failure> {
    let mut imports = Vec::new();
    for text in texts {
        let failed = |failure: Failure| failure.context(format!("--cache-from {text}"));
        let (mut kind, mut source, mut name) = (None, None, None);
        if text.contains('=') {
            for (key, value) in fields(text).map_err(failed)? {
                match key.as_str() {
                    "type" => kind = Some(value),
                    "src" => source = Some(value),
                    "ref" => name = Some(value),
                    "digest" | "tag" | "mode" => {}
                    _ => return Err(failed(Failure::new(Kind::User, format!("there is no option {key:?}")))),
                }
            }
        } else {
            (kind, name) = (Some("registry".to_owned()), Some(text.clone()));
        }
        match (kind.as_deref(), source, name) {
            (Some("local"), Some(source), _) => match CacheImport::directory(Path::new(&source)) {
                Ok(import) => imports.push(import),
                Err(ExchangeError::File { source: why, .. }) if why.kind() == io::ErrorKind::NotFound => {
                    context.warn(&format!("there is no cache in {source:?} yet"));
                }
                Err(error) => return Err(failed(error.into())),
            },
            (Some("local"), None, _) => {
                return Err(failed(Failure::new(Kind::User, "a local cache needs a directory: src=DIR")));
            }
            // An image whose manifest tells of its steps.
            (Some("registry" | "inline"), _, Some(name)) => match lease.store().resolve(&name) {
                Ok(image) => match CacheImport::image(&image) {
                    Some(import) => imports.push(import),
                    None => context
                        .warn(&format!("image {name} tells of no steps: it was not built with --cache-to inline")),
                },
                Err(StoreError::NoSuchImage { .. }) => {
                    context.warn(&format!("image {name} is not in the store, and gives no cache"));
                }
                Err(error) => return Err(failed(error.into())),
            },
            (None, ..) => return Err(failed(Failure::new(Kind::User, "it has no type"))),
            (Some(kind), ..) => return Err(failed(unsupported(kind))),
        }
    }
    Ok(imports)
}

impl Targets {
    /// Reads the values of `--cache-to`.
    pub(super) fn parse(texts: &[String]) -> Result<Self, Failure> {
        let mut targets = Self::default();
        for text in texts {
            let failed = |failure: Failure| failure.context(format!("--cache-to {text}"));
            if text == "inline" {
                targets.inline = true;
                continue;
            }
            let (mut kind, mut destination, mut all) = (None, None, false);
            for (key, value) in fields(text).map_err(failed)? {
                match (key.as_str(), value.as_str()) {
                    ("type", _) => kind = Some(value),
                    ("dest", _) => destination = Some(value),
                    ("mode", "min") => all = false,
                    ("mode", "max") => all = true,
                    ("mode", _) => {
                        return Err(failed(Failure::new(Kind::User, format!("mode={value}: expected min or max"))));
                    }
                    // A directory has one list; layers are not compressed.
                    ("tag" | "ignore-error" | "oci-mediatypes" | "image-manifest", _) => {}
                    _ => return Err(failed(Failure::new(Kind::User, format!("there is no option {key:?}")))),
                }
            }
            match (kind.as_deref(), destination) {
                (Some("inline"), _) => targets.inline = true,
                (Some("local"), Some(path)) => targets.directories.push((path.into(), all)),
                (Some("local"), None) => {
                    return Err(failed(Failure::new(Kind::User, "a local cache needs a directory: dest=DIR")));
                }
                (None, _) => return Err(failed(Failure::new(Kind::User, "it has no type"))),
                (Some(kind), _) => return Err(failed(unsupported(kind))),
            }
        }
        Ok(targets)
    }

    /// Writes the steps of a build.
    pub(super) fn write(&self, built: &Built, lease: &Lease) -> Result<(), Failure> {
        for (path, all) in &self.directories {
            let steps = if *all { &built.steps } else { &built.own_steps };
            export(steps, lease, path)
                .map_err(|error| Failure::from(error).context(format!("cannot write the cache {path:?}")))?;
        }
        Ok(())
    }
}

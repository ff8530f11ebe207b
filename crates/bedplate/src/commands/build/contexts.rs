//! `--build-context NAME=PLACE`, and the places that FROM and `--from` take as they are.
//!
//! ```text
//! DIR  FILE.tar  git  https://...                      files
//! docker-image:  oci-layout:  docker-archive:          an image
//! bootstrap:SUITE?FLAG=VALUE&...                       an image that is made now
//! ```

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bedplate_build::{Named, NamedContexts, NamedError};
use bedplate_fetch::Fetcher;
use bedplate_oci::{Platform, Reference};
use bedplate_store::transfer::{LoadOptions, load_archive, load_directory};
use bedplate_store::{Image, Lease};

use super::input;
use crate::commands::bootstrap;
use crate::context::Context;
use crate::failure::{Failure, Kind};

/// The names that a build was given, and how to get what they stand for.
pub(super) struct Contexts<'a> {
    /// Names in their familiar form, and places.
    given: Vec<(String, String)>,
    /// Where locks are looked for: beside the Dockerfile.
    folder: PathBuf,
    lease: &'a Lease,
    fetcher: &'a Fetcher,
    context: &'a Context,
    quiet: bool,
}

impl std::fmt::Debug for Contexts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contexts").field("given", &self.given).finish_non_exhaustive()
    }
}

/// A place that holds one image or several.
enum Place<'a> {
    Store(&'a str),
    Layout(&'a str),
    Archive(&'a str),
    Bootstrap(&'a str),
}

/// The place that a text with a scheme names; `//` behind it means nothing.
fn place_of(text: &str) -> Option<Place<'_>> {
    let (scheme, rest) = text.split_once(':')?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    match scheme {
        "docker-image" => Some(Place::Store(rest)),
        "oci-layout" => Some(Place::Layout(rest)),
        "docker-archive" | "oci-archive" => Some(Place::Archive(rest)),
        "bootstrap" => Some(Place::Bootstrap(rest)),
        _ => None,
    }
}

/// A name as it is compared: `docker.io/library/alpine:latest` is `alpine`.
fn familiar(name: &str) -> String {
    let name = Reference::parse(name).map_or_else(|_| name.to_lowercase(), |name| name.familiar());
    name.strip_suffix(":latest").map(str::to_owned).unwrap_or(name)
}

impl<'a> Contexts<'a> {
    /// Takes the values of the flag.
    pub(super) fn new(
        texts: &[String],
        folder: PathBuf,
        lease: &'a Lease,
        fetcher: &'a Fetcher,
        context: &'a Context,
        quiet: bool,
    ) -> Result<Self, Failure> {
        let mut given: Vec<(String, String)> = Vec::new();
        for text in texts {
            let pair = text.split_once('=').filter(|(name, place)| !name.is_empty() && !place.is_empty());
            let Some((name, place)) = pair else {
                return Err(Failure::new(Kind::User, format!("--build-context {text:?}: expected NAME=PLACE")));
            };
            // The last one counts, as with Docker.
            given.retain(|(known, _)| *known != familiar(name));
            given.push((familiar(name), place.to_owned()));
        }
        Ok(Self { given, folder, lease, fetcher, context, quiet })
    }

    /// Whether a name stands for something else than an image of the store.
    pub(super) fn know(&self, name: &str) -> bool {
        place_of(name).is_some() || self.given.iter().any(|(known, _)| *known == familiar(name))
    }

    fn get(&self, name: &str, platform: Option<&Platform>) -> Result<Option<Named>, Failure> {
        let wanted = familiar(name);
        let given = self.given.iter().find(|(known, _)| *known == wanted).map(|(_, place)| place.as_str());
        let Some(text) = given.or_else(|| place_of(name).map(|_| name)) else { return Ok(None) };
        let image = match place_of(text) {
            Some(Place::Store(name)) => self.lease.store().resolve_for(name, platform)?,
            Some(Place::Layout(rest)) => self.of_layout(rest, platform)?,
            Some(Place::Archive(rest)) => self.of_archive(rest, platform)?,
            Some(Place::Bootstrap(rest)) => {
                bootstrap::image_of(rest, platform, &self.folder, self.context, self.quiet)?
            }
            None => {
                let files = input::files(name, text, self.lease, self.fetcher)?;
                return Ok(Some(Named::Files(Arc::new(files))));
            }
        };
        Ok(Some(Named::Image(Arc::new(image))))
    }

    /// `DIR`, `DIR:TAG`, `DIR@DIGEST`; a colon that belongs to the path stays there.
    fn of_layout(&self, text: &str, platform: Option<&Platform>) -> Result<Image, Failure> {
        let options = LoadOptions { platform: platform.cloned(), unnamed: true };
        let (path, wanted) = split(text);
        let loaded = load_directory(self.lease, Path::new(path), path, &options)?;
        select(loaded.images, wanted, path)
    }

    fn of_archive(&self, text: &str, platform: Option<&Platform>) -> Result<Image, Failure> {
        let options = LoadOptions { platform: platform.cloned(), unnamed: true };
        let (path, wanted) = split(text);
        let file = File::open(path).map_err(|error| Failure::from(error).context(format!("cannot read {path:?}")))?;
        let loaded = load_archive(self.lease, file, path, &options)?;
        select(loaded.images, wanted, path)
    }
}

/// A path, and the name or digest behind it.
fn split(text: &str) -> (&str, Option<&str>) {
    if Path::new(text).exists() {
        return (text, None);
    }
    let at = text.find('@').or_else(|| {
        let name = text.rfind('/').map_or(0, |slash| slash + 1);
        // A name may have colons and slashes of its own: the path is the longest beginning that is there.
        let mut ends = text.rmatch_indices(':').map(|(at, _)| at);
        ends.find(|at| Path::new(&text[..*at]).exists()).or_else(|| text[name..].find(':').map(|at| name + at))
    });
    at.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])))
}

/// The image that a name, a tag or a digest chooses; without one there must be one only.
fn select(images: Vec<(Image, Vec<Reference>)>, wanted: Option<&str>, path: &str) -> Result<Image, Failure> {
    let names = || {
        let mut names: Vec<String> = images
            .iter()
            .map(|(image, names)| names.first().map_or_else(|| image.id().to_string(), Reference::familiar))
            .collect();
        names.sort();
        names.join(", ")
    };
    let fits = |(image, names): &(Image, Vec<Reference>)| {
        let Some(wanted) = wanted else { return images.len() == 1 };
        let named = |name: &Reference| {
            let familiar = name.familiar();
            // The name of an image in a layout is often a bare tag.
            name.tag() == Some(wanted)
                || Reference::parse(wanted).is_ok_and(|wanted| wanted == *name)
                || familiar.strip_suffix(":latest") == Some(wanted)
        };
        image.descriptor.digest.to_string() == wanted || image.id().to_string() == wanted || names.iter().any(named)
    };
    match images.iter().position(fits) {
        Some(at) => Ok(images.into_iter().nth(at).map(|(image, _)| image))
            .and_then(|image| image.ok_or_else(|| Failure::new(Kind::Internal, "an image that was found is gone"))),
        None => Err(match wanted {
            Some(wanted) => Failure::new(Kind::User, format!("{path:?} holds no image {wanted:?}")),
            None => Failure::new(Kind::User, format!("{path:?} holds several images")),
        }
        .hint(format!("it holds {}", names()))),
    }
}

impl NamedContexts for Contexts<'_> {
    fn find(&self, name: &str, platform: Option<&Platform>) -> Result<Option<Named>, NamedError> {
        self.get(name, platform).map_err(Failure::into_error)
    }
}

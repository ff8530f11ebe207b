//! `index.json` of an OCI image layout: what `docker save`, `buildx`, `podman`, `skopeo` and `umoci` write.

use bedplate_oci::{Descriptor, ImageIndex, Platform, Reference, annotation, media_type};

use super::error::TransferError;
use super::load::LoadOptions;
use super::pieces::{Pieces, blob_name};

/// A manifest to be loaded.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub(super) manifest: Descriptor,
    pub(super) name: Option<Reference>,
}

/// Chooses what to load: each entry's manifest for the platform asked for, the host's, or the first that is there.
///
/// Gives also in words what was left out.
pub(super) fn choose(
    pieces: &Pieces<'_>,
    index: &ImageIndex,
    options: &LoadOptions,
) -> Result<(Vec<Chosen>, Vec<String>), TransferError> {
    let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
    let mut platforms = Vec::new();
    for entry in &index.manifests {
        let name = name_of(entry);
        let mut candidates = Vec::new();
        collect(pieces, entry, 0, &mut candidates)?;
        let Some(best) = best(&candidates, options.platform.as_ref()) else {
            platforms.extend(candidates.iter().filter_map(platform_of));
            continue;
        };
        for (position, candidate) in candidates.iter().enumerate() {
            if position != best
                && let Some(platform) = platform_of(candidate)
            {
                left_out.push(platform);
            }
        }
        chosen.extend(candidates.into_iter().nth(best).map(|manifest| Chosen { manifest, name }));
    }
    if chosen.is_empty() {
        let what = pieces.what.to_owned();
        return Err(TransferError::NoImage { what, platform: options.platform.clone(), found: platforms });
    }
    Ok((chosen, left_out))
}

fn platform_of(entry: &Descriptor) -> Option<String> {
    entry.platform.as_ref().map(Platform::to_string)
}

/// All manifests of images below an entry that are in the input.
fn collect(
    pieces: &Pieces<'_>,
    entry: &Descriptor,
    depth: usize,
    found: &mut Vec<Descriptor>,
) -> Result<(), TransferError> {
    // Deeper nesting, or more manifests, is an attack: nothing writes that.
    const DEEPEST: usize = 3;
    const MOST: usize = 1000;
    let attestation = entry.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
    if attestation || depth > DEEPEST || found.len() >= MOST || entry.artifact_type.is_some() {
        return Ok(());
    }
    if media_type::is_manifest(&entry.media_type) {
        // A saved image of several platforms holds the manifests of all and the layers of one.
        if pieces.blob(&entry.digest, entry.size)?.is_some() {
            found.push(entry.clone());
        }
        return Ok(());
    }
    if !media_type::is_index(&entry.media_type) {
        return Ok(());
    }
    let Some(piece) = pieces.blob(&entry.digest, entry.size)? else {
        return Err(TransferError::Missing {
            what: pieces.what.to_owned(),
            path: blob_name(&entry.digest),
            needed_by: "index.json".to_owned(),
        });
    };
    let (index, _): (ImageIndex, _) = pieces.parse(&piece, &blob_name(&entry.digest), "image index")?;
    index.manifests.iter().try_for_each(|part| collect(pieces, part, depth + 1, found))
}

fn best(candidates: &[Descriptor], platform: Option<&Platform>) -> Option<usize> {
    let fits = |wanted: &Platform| {
        candidates.iter().position(|entry| entry.platform.as_ref().is_some_and(|platform| platform.matches(wanted)))
    };
    match platform {
        // A single manifest without a platform is judged by its config, later.
        Some(wanted) => fits(wanted).or_else(|| candidates.iter().position(|entry| entry.platform.is_none())),
        None => fits(&Platform::host()).or((!candidates.is_empty()).then_some(0)),
    }
}

/// The name that an entry gives: containerd's is full; the other may be a tag only, which names nothing.
fn name_of(entry: &Descriptor) -> Option<Reference> {
    let containerd = entry.annotations.get(annotation::CONTAINERD_NAME);
    let own = entry.annotations.get(annotation::REF_NAME).filter(|name| *name != "latest");
    containerd.into_iter().chain(own).find_map(|name| Reference::parse(name).ok()).filter(|name| name.tag().is_some())
}

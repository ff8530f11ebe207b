//! Images that were made before: the same inputs give the same image, which then only gets its names.
//!
//! The key is a digest over what the lock of the image will hold, but for what only making it tells, and over what a lock
//! refers to: the rules for the suite, and what is copied in. It is known before any package is fetched.

use bedplate_oci::{Descriptor, Digest, Reference, to_json};
use bedplate_store::{BuildEntry, Image, Lease, NewImage};
use bedplate_tree::Timestamp;
use serde::{Deserialize, Serialize};

use crate::finish::Style;
use crate::image::ImageError;
use crate::lock::{LockedImageSource, LockedOptions, LockedRole, LockedStep};
use crate::request::{Request, Step};
use crate::steps::{StepError, digest_of};
use crate::workflow::Resolved;

/// The version of keys and of what a bootstrap does; raised when it makes another image of the same inputs.
const VERSION: u32 = 6;

/// The largest manifest of an image of one layer, in bytes; ours have 600.
const MAX_MANIFEST: u64 = 64 * 1024;

#[derive(Serialize)]
struct Inputs<'a> {
    version: u32,
    /// Another version of this program may do something else, though nobody thought of [`VERSION`].
    program: &'static str,
    suite: String,
    /// The rules for the suite, as its data file has them.
    rules: String,
    architecture: &'a str,
    epoch: Option<i64>,
    options: LockedOptions,
    sources: Vec<LockedImageSource>,
    packages: Vec<(&'a str, &'a str, &'a str, Digest, u64, LockedRole)>,
    unpacked_first: &'a [String],
    /// What debootstrap extracts after those: its directories show the order.
    base: &'a [String],
    stanzas: Vec<Digest>,
    steps: Vec<LockedStep>,
}

/// The key of the image that a request leads to; `None` where it hangs on what nobody knows beforehand: a command that
/// uses the network.
///
/// `epoch` counts where the request has none; `None` for the newest time inside the packages.
///
/// # Errors
/// Where a file that is to be copied in cannot be read.
pub fn key(resolved: &Resolved, request: &Request, epoch: Option<i64>) -> Result<Option<Digest>, StepError> {
    let plan = &resolved.plan;
    let mut steps = Vec::with_capacity(request.steps.len());
    for step in &request.steps {
        steps.push(match step {
            Step::CopyIn { source, destination } => {
                LockedStep::CopyIn { destination: destination.clone(), digest: digest_of(source, Timestamp::ZERO)? }
            }
            Step::Run { network: true, .. } => return Ok(None),
            Step::Run { command, network } => LockedStep::Run { command: command.clone(), network: *network },
        });
    }
    let inputs = Inputs {
        version: VERSION,
        program: env!("CARGO_PKG_VERSION"),
        suite: format!("{}:{}", plan.distribution.name, plan.suite.codename),
        rules: format!("{:?}", plan.suite),
        architecture: &plan.architecture,
        epoch: request.epoch.or(epoch),
        options: LockedOptions::of(request, plan),
        sources: plan.image_sources.iter().map(LockedImageSource::of).collect(),
        packages: (resolved.packages.iter())
            .map(|p| {
                (p.name.as_str(), p.version.as_str(), p.architecture.as_str(), p.wanted.sha256, p.wanted.size, p.role)
            })
            .collect(),
        unpacked_first: &resolved.debootstrap.required,
        base: match request.style {
            Style::Debuerreotype | Style::Debootstrap => &resolved.debootstrap.base,
            _ => &[],
        },
        stanzas: resolved.stanzas.iter().map(|stanza| Digest::of(stanza)).collect(),
        steps,
    };
    Ok(Some(Digest::of(&to_json(&inputs))))
}

/// An image that was made before; the cache does not keep it from being removed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    manifest: Descriptor,
    seconds: i64,
    nanoseconds: u32,
    /// What was done after all packages were configured.
    pub steps: Vec<LockedStep>,
}

impl Kept {
    /// The image as it is to be found again.
    #[must_use]
    pub fn new(image: &Image, epoch: Timestamp, steps: &[LockedStep]) -> Self {
        let Timestamp { seconds, nanoseconds } = epoch;
        Self { manifest: image.descriptor.clone(), seconds, nanoseconds, steps: steps.to_vec() }
    }

    /// Finds what was made for a key.
    ///
    /// # Errors
    /// Where the cache cannot be read.
    pub fn find(lease: &Lease, key: &Digest) -> Result<Option<Self>, ImageError> {
        let found = lease.store().build_cache_get(key).map_err(ImageError::Store)?;
        Ok(found.and_then(|entry| serde_json::from_value(entry.value).ok()))
    }

    /// Keeps it under a key.
    ///
    /// # Errors
    /// Where the cache cannot be written.
    pub fn keep(&self, lease: &Lease, key: &Digest) -> Result<(), ImageError> {
        let Ok(value) = serde_json::to_value(self) else { return Ok(()) };
        let entry = BuildEntry { value, layers: Vec::new(), blobs: Vec::new() };
        lease.store().build_cache_put(key, &entry).map_err(ImageError::Store)
    }

    /// The epoch of the image.
    #[must_use]
    pub fn epoch(&self) -> Timestamp {
        Timestamp { seconds: self.seconds, nanoseconds: self.nanoseconds }
    }

    /// Gives the image names; `None` where it is not there in full any more.
    ///
    /// Of the layer the size is looked at, as `run` and `build` do: its bytes were verified before it got its name, and
    /// `fsck` finds what the disk did to them since. To hash it again would take longer than the rest of the command.
    ///
    /// # Errors
    /// Where the store cannot be read or written.
    pub fn name(&self, lease: &Lease, names: &[Reference]) -> Result<Option<Image>, ImageError> {
        let again = || {
            let bytes = lease.store().read_blob(&self.manifest.digest, MAX_MANIFEST)?;
            lease.add_image(&NewImage { manifest: &bytes, media_type: &self.manifest.media_type, names })
        };
        match again() {
            Ok(image) => Ok(Some(image)),
            Err(error) if error.is_input_error() => Ok(None),
            Err(error) => Err(ImageError::Store(error)),
        }
    }
}

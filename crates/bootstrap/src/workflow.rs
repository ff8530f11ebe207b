//! One bootstrap from its request to a finished root.

use std::sync::atomic::{AtomicBool, Ordering};

use bedplate_image::ContentSources;
use bedplate_oci::Digest;
use bedplate_packages::deb::payload::Payload;
use bedplate_store::Lease;
use bedplate_sys::userns::Privilege;
use bedplate_tree::{Delta, Timestamp, Tree};
use thiserror::Error;

use crate::acquire::{self, AcquireError, Acquired, Context};
use crate::choose::{Choice, ChooseError, choose};
use crate::event::{Acquiring, Event, Observer};
use crate::finish::debootstrap::{self, Process, Stage, Unpacked};
use crate::finish::{self, Facts, FinishError, InstalledPackage, Style};
use crate::install::{self, InstallError};
use crate::payloads::{Deb, PayloadError, Payloads};
use crate::request::{Request, Variant};
use crate::root::{Ground, RootKind};
use crate::root_error::RootError;

/// A bootstrap failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// The archives.
    #[error(transparent)]
    Acquire(#[from] AcquireError),
    /// The choice of packages.
    #[error(transparent)]
    Choose(#[from] ChooseError),
    /// A package.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Unpacking and scripts.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The root for scripts.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The clean-up.
    #[error("cannot make an image of the root")]
    Finish(#[from] FinishError),
    /// A package is not what the index says it is.
    #[error("the archive's index speaks of {wanted:?}, the package itself says it is {found:?}")]
    Mismatch {
        /// What the index says.
        wanted: String,
        /// What the package says.
        found: String,
    },
    /// Scripts need rights that were not taken.
    #[error("scripts need the rights of root, or a user namespace")]
    Privilege,
}

/// What a bootstrap works with besides its request.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// The store's lease: what is made lies in its folder until it is an image.
    pub lease: &'a Lease,
    /// The rights for scripts; `None` where none were taken.
    pub privilege: Option<&'a Privilege>,
    /// How the root for scripts is made.
    pub root: RootKind,
    /// Threads that decode packages.
    pub jobs: usize,
    /// `SOURCE_DATE_EPOCH`.
    pub source_date_epoch: Option<i64>,
    /// Who is told what happens.
    pub observer: &'a dyn Observer,
}

impl std::fmt::Debug for Settings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("root", &self.root).field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

/// What will be installed: verified indexes, and the packages chosen of them.
#[derive(Debug)]
pub struct Resolved {
    /// The indexes.
    pub acquired: Acquired,
    /// The packages.
    pub choice: Choice,
}

/// Asks the archives and chooses packages; nothing of them is fetched yet.
///
/// # Errors
/// [`BootstrapError`].
pub fn resolve(request: &Request, context: &Context<'_>, observer: &dyn Observer) -> Result<Resolved, BootstrapError> {
    let acquiring = Acquiring(observer);
    let context = Context { observer: &acquiring, ..*context };
    let acquired = acquire::open(request, &context)?;
    let choice = choose(request, &acquired)?;
    let bytes = choice.packages.iter().map(|chosen| chosen.wanted.size).sum();
    observer.event(Event::Chosen { packages: choice.packages.len(), bytes });
    Ok(Resolved { acquired, choice })
}

/// Packages, decoded.
#[derive(Debug)]
pub struct Workshop<'a> {
    payloads: Payloads<'a>,
    packages: Vec<Payload>,
}

/// A root that is finished.
#[derive(Debug)]
pub struct Built<'a> {
    /// Its entries.
    pub tree: Tree,
    /// Where their bytes are.
    pub contents: ContentSources<'a>,
    /// No time in it is later.
    pub epoch: Timestamp,
    /// Which kind of image it is for: it decides on the form of a tar.
    pub style: Style,
    /// The packages in it, in the order of their names.
    pub packages: Vec<InstalledPackage>,
}

impl<'a> Workshop<'a> {
    /// Fetches and decodes the chosen packages; both at once.
    ///
    /// # Errors
    /// [`BootstrapError`].
    pub fn open(
        resolved: &Resolved,
        request: &Request,
        context: &Context<'_>,
        settings: &Settings<'a>,
    ) -> Result<Self, BootstrapError> {
        let acquiring = Acquiring(settings.observer);
        let context = Context { observer: &acquiring, ..*context };
        let payloads = Payloads::open(settings.lease)?;
        let chosen = &resolved.choice.packages;
        let wanted: Vec<_> = chosen.iter().map(|chosen| chosen.wanted.clone()).collect();
        let stopped = AtomicBool::new(false);
        let fetched =
            acquire::fetch_each(&wanted, request.downloads, &context, &|_, _| !stopped.load(Ordering::Relaxed))?;
        let debs: Vec<Deb> = (chosen.iter().zip(&fetched.paths))
            .map(|(chosen, path)| Deb {
                name: chosen.wanted.name.clone(),
                digest: chosen.wanted.sha256,
                path: path.clone(),
                size: chosen.wanted.size,
            })
            .collect();
        let done = |deb: &Deb| settings.observer.event(Event::Decoded { name: &deb.name, bytes: deb.size });
        let packages = payloads.get(&debs, settings.jobs, &done)?;
        for (chosen, payload) in chosen.iter().zip(&packages) {
            let control = payload.control();
            let wanted = format!("{} {} {}", chosen.name, chosen.version, chosen.architecture);
            let found = format!("{} {} {}", control.name(), control.version(), control.architecture());
            if wanted != found {
                return Err(BootstrapError::Mismatch { wanted, found });
            }
        }
        Ok(Self { payloads, packages })
    }

    /// Installs the packages, runs their scripts and finishes the root.
    ///
    /// # Errors
    /// [`BootstrapError`]; nothing is left but what the lease sweeps away.
    pub fn build<'b>(
        &'b self,
        resolved: &Resolved,
        request: &Request,
        settings: &'b Settings<'a>,
    ) -> Result<Built<'b>, BootstrapError> {
        let plan = &resolved.acquired.plan;
        let newest = self.packages.iter().map(Payload::newest).max().unwrap_or(0);
        let epoch = Timestamp::from_seconds(request.epoch.or(settings.source_date_epoch).unwrap_or(newest));
        let mut contents = ContentSources::new().with_streams(move |digest: &Digest| {
            self.payloads.stream(digest).map_err(|error| Box::new(error) as Box<dyn std::error::Error + Send + Sync>)
        });
        let options = install::Options {
            architecture: plan.architecture.clone(),
            foreign: Vec::new(),
            merged_usr: plan.merged_usr,
            epoch,
        };
        let waves = crate::waves::waves(&self.packages);
        let mut tree = if request.variant == Variant::Extract {
            install::extract(&self.packages, &waves, &options)?
        } else {
            let privilege = settings.privilege.ok_or(BootstrapError::Privilege)?;
            let mut ground = Ground::new(settings.lease, privilege, settings.root)?;
            let mut observe = |step: install::Step<'_>| settings.observer.event(Event::Install(step));
            install::install(
                &mut ground,
                settings.lease,
                &mut contents,
                &self.packages,
                &waves,
                &options,
                &mut observe,
            )?;
            ground.into_tree()
        };
        let packages: Vec<InstalledPackage> = (self.packages.iter().map(Payload::control))
            .map(|control| InstalledPackage {
                name: control.name().to_owned(),
                version: control.version().to_string(),
                architecture: control.architecture().to_owned(),
            })
            .collect();
        let facts = Facts {
            distribution: plan.distribution.name.clone(),
            suite: plan.suite.codename.clone(),
            architecture: plan.architecture.clone(),
            epoch,
            packages,
            upstart_installable: resolved.choice.upstart_installable,
            manual: resolved.choice.manual.clone(),
            sources: plan.image_sources.clone(),
        };
        if request.style == Style::Debuerreotype {
            for note in self.imitate(&mut tree, &contents, resolved, epoch)? {
                settings.observer.event(Event::Finished(&note));
            }
        }
        let finishing = finish::Options {
            style: request.style,
            slim: request.slim,
            paths: finish::paths::filter(&request.paths),
            keep_path_rules: true,
            ..finish::Options::default()
        };
        for note in finish::finish(&mut tree, &contents, &facts, &finishing)? {
            settings.observer.event(Event::Finished(&note));
        }
        let Facts { packages, .. } = facts;
        Ok(Built { tree, contents, epoch, style: request.style, packages })
    }

    /// Gives the root what debootstrap leaves in it.
    fn imitate(
        &self,
        tree: &mut Tree,
        contents: &ContentSources<'_>,
        resolved: &Resolved,
        epoch: Timestamp,
    ) -> Result<Vec<finish::Note>, FinishError> {
        let choice = &resolved.choice;
        let deltas: Vec<Delta> = self.packages.iter().map(Payload::delta).collect();
        let place = |payload: &Payload| {
            let name = payload.control().name();
            choice.debootstrap.iter().position(|known| known == name).unwrap_or(choice.debootstrap.len())
        };
        let mut order: Vec<(usize, &Delta)> = self.packages.iter().map(place).zip(&deltas).collect();
        order.sort_by_key(|(place, _)| *place);
        let unpacked = order.into_iter().map(|(place, delta)| {
            let base = !choice.debootstrap.is_empty() && place >= choice.required;
            Unpacked { stage: if base { Stage::Base } else { Stage::Required }, delta }
        });
        let stanzas: Vec<&[u8]> = choice.stanzas.iter().map(|stanza| &**stanza).collect();
        let packages: Vec<Unpacked<'_>> = unpacked.collect();
        debootstrap::imitate(tree, contents, &Process { stanzas: &stanzas, packages: &packages, epoch })
    }
}

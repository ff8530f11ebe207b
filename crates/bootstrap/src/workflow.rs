//! One bootstrap from its request to a finished root.

use std::path::Path;
use std::time::Duration;

use bedplate_image::ContentSources;
use bedplate_oci::Digest;
use bedplate_packages::deb::crude::Names;
use bedplate_packages::deb::package::PackageError;
use bedplate_packages::deb::payload::Payload;
use bedplate_packages::deb::solve::order::Wave;
use bedplate_run::RootKind;
use bedplate_store::Lease;
use bedplate_sys::userns::Privilege;
use bedplate_tree::{Delta, Timestamp, Tree};
use thiserror::Error;

use crate::acquire::{self, AcquireError, Acquired, Context, FirstFailure, Plan, Wanted};
use crate::choose::{Choice, ChooseError, Chosen, choose};
use crate::debootstrap::StageError;
use crate::distribution::Quirk;
use crate::event::{Acquiring, Event, Observer};
use crate::finish::debootstrap::{Process, Stage, Unpacked, imitate};
use crate::finish::{self, Done, Facts, FinishError, InstalledPackage, Note, SourcesForm, Style};
use crate::install::{self, InstallError};
use crate::lock::{Lock, LockError, LockedImageSource, LockedPackage, LockedRole, LockedSource, LockedStep};
use crate::native::Scripts;
use crate::payloads::{PayloadError, Payloads};
use crate::request::{Request, Resolver, Variant};
use crate::root::Ground;
use crate::root_error::RootError;
use crate::steps::{StepError, Steps};

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
    /// The control file of a package.
    #[error("cannot understand the control file of a package")]
    Control(#[source] PackageError),
    /// A step of customisation.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The style needs more of the index than a lock holds.
    #[error(
        "styles debuerreotype and debootstrap cannot be made from a lock: they hold what debootstrap writes down of the indexes"
    )]
    LockedStyle,
    /// A stage of debootstrap.
    #[error(transparent)]
    Stage(#[from] StageError),
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
    /// Which programs that scripts call are replaced; no image tells.
    pub scripts: Scripts,
    /// How long one maintainer script may take: [`PATIENCE`](crate::PATIENCE), if nobody knows better.
    pub patience: Duration,
    /// Threads that decode packages.
    pub jobs: usize,
    /// The name servers of steps that use the network: the text of a `resolv.conf`.
    pub resolv_conf: Option<&'a str>,
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

/// What will be installed.
#[derive(Debug)]
pub struct Resolved {
    /// Where it is asked for.
    pub plan: Plan,
    /// The packages, in the order of their names.
    pub packages: Vec<Chosen>,
    /// With debootstrap's rules: its names, in its order.
    pub debootstrap: Names,
    /// For a style that keeps them: the stanzas of the packages as they stand in the indexes, in their order.
    pub stanzas: Vec<Box<[u8]>>,
    /// Where the packages were found; `None` where a lock names them. The indexes are gone by then: what runs scripts is
    /// forked many times, and best small.
    pub sources: Option<Vec<LockedSource>>,
    /// For the style that leaves them in the root: the verified indexes.
    pub acquired: Option<Acquired>,
}

impl Resolved {
    /// What was chosen of verified indexes, which are kept only for the style that leaves them in the root.
    pub(crate) fn new(acquired: Acquired, choice: Choice, request: &Request) -> Self {
        let Choice { packages, debootstrap, stanzas } = choice;
        let sources = Some(acquired.sources.iter().map(LockedSource::of).collect());
        let plan = acquired.plan.clone();
        let acquired = (request.style == Style::Debootstrap).then_some(acquired);
        Self { plan, packages, debootstrap, stanzas, sources, acquired }
    }

    /// The lock of the root that was made of these packages: what it takes to make it again. `None` where it was made
    /// from one.
    #[must_use]
    pub fn lock(&self, request: &Request, epoch: Timestamp, steps: &[LockedStep]) -> Option<Lock> {
        let sources = self.sources.clone()?;
        let packages = self.packages.iter().map(|chosen| LockedPackage {
            name: chosen.name.clone(),
            version: chosen.version.clone(),
            architecture: chosen.architecture.clone(),
            source: chosen.source.clone(),
            path: chosen.wanted.path.clone(),
            size: chosen.wanted.size,
            digest: chosen.wanted.sha256,
            role: chosen.role,
        });
        let mut lock = Lock::new(request, &self.plan, sources, epoch.seconds, steps.to_vec(), packages.collect());
        lock.unpacked_first.clone_from(&self.debootstrap.required);
        Some(lock)
    }
}

/// Asks the archives and chooses packages; nothing of them is fetched yet.
///
/// # Errors
/// [`BootstrapError`].
pub fn resolve(request: &Request, context: &Context<'_>, observer: &dyn Observer) -> Result<Resolved, BootstrapError> {
    let acquiring = Acquiring(observer);
    let context = Context { observer: &acquiring, ..*context };
    let acquired = acquire::open(request, &context)?;
    let Choice { packages, debootstrap, stanzas } = choose(request, &acquired, None)?;
    tell(&packages, observer);
    Ok(Resolved::new(acquired, Choice { packages, debootstrap, stanzas }, request))
}

/// Takes the packages that a lock names; no archive is asked for an index, and no solver runs.
///
/// `request` is the lock's own ([`Lock::request`]), with mirrors and what else changes no image as the user says.
///
/// # Errors
/// [`BootstrapError`].
pub fn resolve_locked(
    lock: &Lock,
    request: &Request,
    context: &Context<'_>,
    observer: &dyn Observer,
) -> Result<Resolved, BootstrapError> {
    if matches!(request.style, Style::Debuerreotype | Style::Debootstrap) {
        return Err(BootstrapError::LockedStyle);
    }
    let mut plan = acquire::plan(request, context.host)?;
    for notice in &plan.notices {
        observer.event(Event::Acquire(acquire::Event::Notice(notice)));
    }
    plan.image_sources = lock.image_sources.iter().map(LockedImageSource::apt_source).collect();
    let wanted = lock.wanted(&plan)?;
    let packages: Vec<Chosen> = (lock.packages.iter().zip(wanted))
        .map(|(package, wanted)| Chosen {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            source: package.source.clone(),
            role: package.role,
            wanted,
        })
        .collect();
    tell(&packages, observer);
    let debootstrap = Names { required: lock.unpacked_first.clone(), base: Vec::new() };
    Ok(Resolved { plan, packages, debootstrap, stanzas: Vec::new(), sources: None, acquired: None })
}

pub(crate) fn tell(packages: &[Chosen], observer: &dyn Observer) {
    let bytes = packages.iter().map(|chosen| chosen.wanted.size).sum();
    observer.event(Event::Chosen { packages: packages.len(), bytes });
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
    /// What was done to it after all packages were configured.
    pub steps: Vec<LockedStep>,
}

/// Refuses a package that is not the one that the index speaks of.
fn check(chosen: &Chosen, payload: &Payload) -> Result<(), BootstrapError> {
    let control = payload.control();
    let wanted = format!("{} {} {}", chosen.name, chosen.version, chosen.architecture);
    let found = format!("{} {} {}", control.name(), control.version(), control.architecture());
    match wanted == found {
        true => Ok(()),
        false => Err(BootstrapError::Mismatch { wanted, found }),
    }
}

impl<'a> Workshop<'a> {
    /// Fetches and decodes the chosen packages: each is decoded as soon as it is there and verified.
    ///
    /// # Errors
    /// [`BootstrapError`]; of several packages that fail, that of the first one.
    pub fn open(
        resolved: &Resolved,
        request: &Request,
        context: &Context<'_>,
        settings: &Settings<'a>,
    ) -> Result<Self, BootstrapError> {
        let acquiring = Acquiring(settings.observer);
        let context = Context { observer: &acquiring, ..*context };
        let payloads = Payloads::open(settings.lease)?;
        let wanted: Vec<_> = resolved.packages.iter().map(|chosen| chosen.wanted.clone()).collect();
        let first = FirstFailure::<BootstrapError>::default();
        let done = |n: usize, payload: &Payload| {
            let Some(chosen) = resolved.packages.get(n) else { return Ok(()) };
            check(chosen, payload)?;
            let Wanted { name, size, .. } = &chosen.wanted;
            settings.observer.event(Event::Decoded { name, bytes: *size });
            Ok(())
        };
        let fetch = |ready: &(dyn Fn(usize, &Path) + Sync)| {
            acquire::fetch_each(&wanted, request.downloads, &context, &first, ready)
        };
        let (fetched, packages) = payloads.decode(&wanted, settings.jobs, &first, &done, fetch);
        fetched?;
        first.into_result()?;
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
        let mut base = Tree::new();
        if resolved.plan.suite.has(Quirk::UsrIsMerged) && !resolved.plan.merged_usr {
            install::mark_split_usr(&mut base, self.epoch(request, settings))?;
        }
        self.build_on(resolved, request, settings, base, self.contents())
    }

    /// The packages.
    pub(crate) fn packages(&self) -> &[Payload] {
        &self.packages
    }

    /// The bytes of the packages.
    #[must_use]
    pub fn contents(&self) -> ContentSources<'_> {
        ContentSources::new().with_streams(move |digest: &Digest| {
            self.payloads.stream(digest).map_err(|error| Box::new(error) as Box<dyn std::error::Error + Send + Sync>)
        })
    }

    /// No time in the root is later.
    #[must_use]
    pub fn epoch(&self, request: &Request, settings: &Settings<'_>) -> Timestamp {
        let newest = self.packages.iter().map(Payload::newest).max().unwrap_or(0);
        Timestamp::from_seconds(request.epoch.or(settings.source_date_epoch).unwrap_or(newest))
    }

    /// How the packages are installed, and in which waves.
    pub(crate) fn installation(
        &self,
        resolved: &Resolved,
        request: &Request,
        settings: &Settings<'_>,
    ) -> Result<(install::Options, Vec<Wave>), BootstrapError> {
        let plan = &resolved.plan;
        let options = install::Options {
            architecture: plan.architecture.clone(),
            foreign: Vec::new(),
            merged_usr: plan.merged_usr,
            epoch: self.epoch(request, settings),
            scripts: settings.scripts,
            patience: settings.patience,
        };
        let waves = crate::waves::waves(&plan.architecture, &self.packages, &resolved.debootstrap.required)
            .map_err(BootstrapError::Control)?;
        Ok((options, waves))
    }

    /// The same upon what `base` holds, whose bytes are among `contents`.
    pub(crate) fn build_on<'b>(
        &'b self,
        resolved: &Resolved,
        request: &Request,
        settings: &'b Settings<'a>,
        base: Tree,
        mut contents: ContentSources<'b>,
    ) -> Result<Built<'b>, BootstrapError> {
        let plan = &resolved.plan;
        let (options, waves) = self.installation(resolved, request, settings)?;
        let epoch = options.epoch;
        let mut steps = Steps { request, lease: settings.lease, epoch, done: Vec::new() };
        let mut observe = |step: install::Step<'_>| settings.observer.event(Event::Install(step));
        let finishing = finish::Options {
            style: request.style,
            slim: request.slim,
            paths: finish::paths::filter(&request.paths),
            keep_path_rules: true,
            sources: match request.resolver {
                Resolver::Apt if plan.suite.deb822_sources => SourcesForm::Deb822,
                // With debootstrap's resolver it is what its users look for and edit.
                Resolver::Apt | Resolver::Debootstrap => SourcesForm::OneLine,
            },
            furnished: !request.steps.is_empty(),
        };
        let tell = |notes: Vec<Note>| {
            for note in notes {
                settings.observer.event(Event::Finished(&note));
                if note.done == Done::Withheld {
                    settings.observer.event(Event::Remark(&note.to_string()));
                }
            }
        };
        let (mut tree, facts) = if request.variant == Variant::Extract {
            let mut tree = install::extract(&self.packages, &waves, &options)?;
            let facts = self.facts(resolved, epoch, |_| true);
            if finishing.furnished {
                tell(finish::furnish(&mut tree, &contents, &facts, &finishing)?);
                steps.copy_only(&mut tree, &mut contents)?;
            }
            (tree, facts)
        } else {
            let privilege = settings.privilege.ok_or(BootstrapError::Privilege)?;
            let mut ground = Ground::new(settings.lease, privilege, settings.root, epoch)?;
            ground.begin(base);
            let lease = settings.lease;
            let there =
                install::install(&mut ground, lease, &mut contents, &self.packages, &waves, &options, &mut observe)?;
            let facts = self.facts(resolved, epoch, |number| there.contains(&number));
            if finishing.furnished {
                let mut tree = ground.tree().clone();
                tell(finish::furnish(&mut tree, &contents, &facts, &finishing)?);
                ground.lay(tree);
                steps.carry_out(&mut ground, &mut contents, settings.resolv_conf, &mut observe)?;
            }
            (ground.into_tree(), facts)
        };
        let steps = steps.done;
        if matches!(request.style, Style::Debuerreotype | Style::Debootstrap) {
            self.imitate(resolved, &mut tree, &contents, epoch, settings)?;
        }
        tell(finish::finish(&mut tree, &contents, &facts, &finishing)?);
        let Facts { packages, .. } = facts;
        Ok(Built { tree, contents, epoch, style: request.style, packages, steps })
    }

    /// What finishing asks of the root; `there` tells by its number whether a package is still in it.
    fn facts(&self, resolved: &Resolved, epoch: Timestamp, there: impl Fn(usize) -> bool) -> Facts {
        let plan = &resolved.plan;
        let installed = self.packages.iter().enumerate().filter(|(number, _)| there(*number));
        let packages = installed.map(|(_, payload)| payload.control());
        let manual = resolved.packages.iter().filter(|chosen| chosen.role == LockedRole::Included);
        Facts {
            distribution: plan.distribution.name.clone(),
            suite: plan.suite.codename.clone(),
            architecture: plan.architecture.clone(),
            epoch,
            packages: packages
                .map(|control| InstalledPackage {
                    name: control.name().to_owned(),
                    version: control.version().to_string(),
                    architecture: control.architecture().to_owned(),
                })
                .collect(),
            upstart_installable: plan.suite.has(Quirk::Upstart),
            manual: manual.map(|chosen| chosen.name.clone()).collect(),
            sources: plan.image_sources.clone(),
        }
    }

    /// Gives the root what debootstrap's process leaves in it.
    fn imitate(
        &self,
        resolved: &Resolved,
        tree: &mut Tree,
        contents: &ContentSources<'_>,
        epoch: Timestamp,
        settings: &Settings<'_>,
    ) -> Result<(), BootstrapError> {
        let Names { required, base } = &resolved.debootstrap;
        let deltas: Vec<Delta> = self.packages.iter().map(Payload::delta).collect();
        let known = |name: &&String, payload: &&Payload| payload.control().name() == name.as_str();
        let place = |payload: &Payload| {
            let at = required.iter().chain(base).position(|name| known(&name, &payload));
            at.unwrap_or(required.len() + base.len())
        };
        let mut order: Vec<(usize, &Delta)> = self.packages.iter().map(place).zip(&deltas).collect();
        order.sort_by_key(|(place, _)| *place);
        let stage = |place: usize| match required.is_empty() || place < required.len() {
            true => Stage::Required,
            false => Stage::Base,
        };
        let packages: Vec<Unpacked<'_>> =
            order.into_iter().map(|(place, delta)| Unpacked { stage: stage(place), delta }).collect();
        let stanzas: Vec<&[u8]> = resolved.stanzas.iter().map(|stanza| &**stanza).collect();
        let process = Process { stanzas: &stanzas, required, packages: &packages, epoch };
        for note in imitate(tree, contents, &process)? {
            settings.observer.event(Event::Finished(&note));
        }
        Ok(())
    }
}

//! `bedplate bootstrap`: a distribution's signed archive becomes an image, or an archive, or a directory.

mod arguments;
mod inline;
mod show;
mod sink;
mod stages;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bedplate_bootstrap::acquire::{Context as AcquireContext, Host, Quiet, machine};
use bedplate_bootstrap::kept::{self, Kept};
use bedplate_bootstrap::lock::{Lock, LockedStep};
use bedplate_bootstrap::native::Scripts;
use bedplate_bootstrap::recipe::Recipe;
use bedplate_bootstrap::request::{Request, Resolver, Variant};
use bedplate_bootstrap::{Event, Observer, Resolved, Settings, Workshop, resolve, resolve_locked};
use bedplate_oci::Reference;
use bedplate_run::RootKind;
use bedplate_store::Image;
use bedplate_sys::userns::{Privilege, Sources, become_root};
use bedplate_tree::Timestamp;

pub(crate) use arguments::{Args, yes_or_no};
pub(crate) use inline::image_of;
use show::Shown;
pub(crate) use sink::Sink;
use stages::Stage;
pub(crate) use stages::{AtHand, Part, Place, Site, prepare_root};

use crate::context::{Context, Tls};
use crate::failure::{Failure, Kind};

/// Bootstraps; prints the image ID, or the packages.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    if let Some(word) = args.suite.as_deref().filter(|word| word.ends_with(".toml")) {
        return Err(Failure::new(Kind::User, format!("{word:?} is no suite"))
            .hint(format!("a recipe is given with --recipe {word}")));
    }
    let recipe = args.recipe.as_deref().map(read_recipe).transpose()?;
    let tags = match &recipe {
        Some(recipe) if args.tag.is_empty() => &recipe.tags,
        _ => &args.tag,
    };
    let names = tags.iter().map(|name| Reference::parse(name)).collect::<Result<Vec<_>, _>>()?;
    if let Some(name) = names.iter().find(|name| name.digest().is_some()) {
        return Err(Failure::new(
            Kind::User,
            format!("cannot name an image {name}: a name with a digest is given by what it names"),
        ));
    }
    let lock = args.locked.as_deref().map(read_lock).transpose()?;
    let request = match (&lock, &recipe) {
        (Some(lock), _) => args.locked_request(lock)?,
        (None, Some(recipe)) => args.recipe_request(recipe),
        (None, None) => args.request()?,
    };
    let goal = match args.output.as_ref().or(recipe.as_ref().and_then(|recipe| recipe.output.as_ref())) {
        _ if args.print_debs => Goal::List,
        _ if args.download_only => Goal::Download,
        _ if args.make_tarball.is_some() => Goal::Tarball(args.make_tarball.clone().unwrap_or_default()),
        Some(output) if args.foreign || args.second_stage => {
            let part = if args.foreign { Part::First } else { Part::Second };
            Goal::Site(Site { directory: directory(output)?, part, keep_notes: false })
        }
        Some(output) => Goal::Write(match (Sink::parse(output)?, args.dockerfile) {
            (Sink::Layout { path, .. }, false) => Sink::Layout { path, name: names.first().cloned() },
            (_, false) if !args.tag.is_empty() && args.output.is_some() => {
                return Err(Failure::new(Kind::User, "--tag names an image of the store, and --output writes none")
                    .hint("leave one of them out; -o oci:DIR takes a name"));
            }
            (sink, false) => sink,
            (Sink::Archive { path, compression, .. }, true) => Sink::Archive { path, compression, dockerfile: true },
            _ => return Err(Failure::new(Kind::User, "--dockerfile needs an archive that it can ADD: -o FILE.tar.xz")),
        }),
        None => Goal::Image(names),
    };
    let job = args.job(request, goal, lock)?;
    let shown = Shown::new(context, args.progress, args.quiet);
    job.carry_out(&shown, context)?.say()
}

impl Args {
    fn job(&self, request: Request, goal: Goal, lock: Option<Lock>) -> Result<Job, Failure> {
        Ok(Job {
            request,
            goal,
            lock,
            at_hand: self.at_hand()?,
            tls: Tls::default(),
            debs: None,
            offline: self.offline,
            jobs: self.jobs,
            root: self.root_kind.into(),
            no_cache: self.no_cache,
            scripts: self.scripts.into(),
            write_lock: self.lock.clone(),
        })
    }
}

/// What a bootstrap ends in.
#[derive(Debug)]
pub(crate) enum Goal {
    /// The names of the packages on standard output.
    List,
    /// Packages in the cache.
    Download,
    /// An image with these names.
    Image(Vec<Reference>),
    /// A root outside of the store.
    Write(Sink),
    /// What was fetched, as debootstrap's tarball.
    Tarball(PathBuf),
    /// A directory, in debootstrap's stages.
    Site(Site),
}

/// A bootstrap to be done, whichever command line said it.
#[derive(Debug)]
pub(crate) struct Job {
    /// What is asked for.
    pub(crate) request: Request,
    /// What it ends in.
    pub(crate) goal: Goal,
    /// The lock that names the packages.
    pub(crate) lock: Option<Lock>,
    /// What is at hand in place of the archive.
    pub(crate) at_hand: Option<AtHand>,
    /// Certificates.
    pub(crate) tls: Tls,
    /// A directory in which packages are kept, too.
    pub(crate) debs: Option<PathBuf>,
    /// Takes everything from the caches.
    pub(crate) offline: bool,
    /// Threads that decode.
    pub(crate) jobs: Option<usize>,
    /// How the root for scripts is made.
    pub(crate) root: RootKind,
    /// Makes an image anew, though the store holds what the same inputs made before.
    pub(crate) no_cache: bool,
    /// Which programs that scripts call are replaced.
    pub(crate) scripts: Scripts,
    /// Where to write a lock of what was made.
    pub(crate) write_lock: Option<PathBuf>,
}

/// What a bootstrap made.
#[derive(Debug)]
pub(crate) enum Made {
    /// The names of the packages, in one line.
    List(String),
    /// Files outside of the store, or in its cache.
    Files,
    /// An image of the store.
    Image(Box<Image>),
}

impl Made {
    /// Prints what there is to print: the list, the image ID.
    pub(crate) fn say(&self) -> Result<u8, Failure> {
        match self {
            Self::List(names) => writeln!(io::stdout(), "{names}")?,
            Self::Image(image) => writeln!(io::stdout(), "{}", image.id())?,
            Self::Files => {}
        }
        Ok(0)
    }
}

/// Shows a bootstrap to its user.
pub(crate) trait Display: Observer {
    /// The packages are chosen.
    fn resolved(&self, _: &Resolved) {}
    /// The store holds the image already.
    fn kept(&self) {}
    /// The root is finished and is being written.
    fn writing(&self);
    /// All is done.
    fn finish(&self);
}

impl Job {
    /// Does it.
    pub(crate) fn carry_out(&self, shown: &dyn Display, context: &Context) -> Result<Made, Failure> {
        let Self { goal, .. } = self;
        // While there is one thread, and before any file of the store is opened: what scripts own belongs to other users.
        // Packages that are only unpacked into an archive need no rights at all.
        let needs_root = match goal {
            Goal::List | Goal::Download | Goal::Tarball(_) => false,
            Goal::Site(_) => true,
            Goal::Image(_) => self.request.variant != Variant::Extract,
            Goal::Write(sink) => self.request.variant != Variant::Extract || sink.owns(),
        };
        let privilege = if needs_root { Some(become_root(&Sources::default())?) } else { None };
        match goal {
            Goal::Write(sink) => sink.check(context)?,
            Goal::Tarball(path) => stages::check_tarball(path)?,
            _ => {}
        }
        if let Some(path) = &self.write_lock {
            crate::output::check(path)
                .map_err(|failure| failure.context(format!("cannot write the lock file {path:?}")))?;
        }
        let store = context.store()?;
        let lease = store.lease()?;
        let fetcher = context.fetcher_with(&self.tls)?;
        let host = Host::read(Path::new("/"))?;
        let acquiring = AcquireContext {
            store: &store,
            fetcher: &fetcher,
            now: context.seconds(),
            host: &host,
            offline: self.offline,
            observer: &Quiet,
        };
        let at_hand = self.at_hand.as_ref().map(|at_hand| at_hand.open(&self.request, &lease)).transpose()?;
        let (kit, request) = match &at_hand {
            Some((kit, request)) => (Some(kit), request),
            None => (None, &self.request),
        };
        if let Goal::Site(Site { part: Part::First | Part::Second | Part::Both, .. }) = goal
            && request.variant == Variant::Fakechroot
        {
            return Err(stages::no_fakechroot());
        }
        let resolved = match (&self.lock, kit) {
            (Some(lock), _) => resolve_locked(lock, request, &acquiring, &shown)?,
            (None, Some(kit)) => kit.resolve(request, &acquiring, &shown)?,
            (None, None) => resolve(request, &acquiring, &shown)?,
        };
        shown.resolved(&resolved);
        if matches!(goal, Goal::List) {
            return Ok(Made::List(list_debs(request, &resolved)));
        }
        let stage = Stage { resolved: &resolved, request, acquiring: &acquiring, shown, context };
        if let Some(folder) = &self.debs {
            stage.keep_packages(folder)?;
        }
        match goal {
            Goal::Tarball(path) => {
                stage.write_tarball(path)?;
                shown.finish();
                return Ok(Made::Files);
            }
            Goal::Site(site) if site.part == Part::Stock => {
                stage.fill(site)?;
                return Ok(Made::Files);
            }
            _ => {}
        }
        let key = match goal {
            Goal::Image(_) if !self.no_cache => kept::key(&resolved, request, context.source_date_epoch)?,
            _ => None,
        };
        if let (Goal::Image(names), Some(key)) = (goal, &key)
            && let Some(kept) = Kept::find(&lease, key)?
        {
            self.check_steps(&kept.steps)?;
            if let Some(image) = kept.name(&lease, names)? {
                shown.kept();
                return self.end(shown, &resolved, kept.epoch(), &kept.steps, Some(image));
            }
        }
        // A machine without this file has no name servers to tell of.
        let resolv_conf = std::fs::read_to_string("/etc/resolv.conf").ok();
        let settings = Settings {
            resolv_conf: resolv_conf.as_deref(),
            lease: &lease,
            privilege: privilege.as_ref(),
            root: self.root,
            scripts: self.scripts,
            patience: context.patience.unwrap_or(bedplate_bootstrap::PATIENCE),
            jobs: self.jobs.unwrap_or_else(|| bedplate_sys::kernel::processors().min(MAX_JOBS)),
            source_date_epoch: context.source_date_epoch,
            observer: &shown,
        };
        let workshop = Workshop::open(&resolved, request, &acquiring, &settings)?;
        if matches!(goal, Goal::Download) {
            shown.finish();
            return Ok(Made::Files);
        }
        let explained = |failure: Failure| explain(failure, privilege.as_ref(), &resolved);
        if let Goal::Site(site) = goal {
            stage.work(site, &workshop, &settings).map_err(explained)?;
            shown.finish();
            return Ok(Made::Files);
        }
        let built = workshop.build(&resolved, request, &settings).map_err(|error| explained(error.into()))?;
        self.check_steps(&built.steps)?;
        shown.writing();
        let about = sink::about(&resolved, request, &built)?;
        let image = match goal {
            Goal::Write(sink) => {
                sink.write(&built, &about, &lease)?;
                if let (true, Some(Privilege::Range { .. })) = (sink.owns(), &privilege) {
                    shown.event(Event::Remark(
                        "files of others than root belong to IDs of your range in /etc/subuid and /etc/subgid: an \
                         archive holds their numbers as they are in the root",
                    ));
                }
                None
            }
            Goal::Image(names) => {
                let image = bedplate_bootstrap::store_image(&lease, &built.tree, &built.contents, &about, names)?;
                if key.is_some() {
                    let kept = Kept::new(&image, built.epoch, &built.steps);
                    // A lock of it names the epoch that was found only now.
                    let locked = kept::key(&resolved, request, Some(built.epoch.seconds))?;
                    for key in key.iter().chain(&locked) {
                        kept.keep(&lease, key)?;
                    }
                }
                Some(image)
            }
            Goal::List | Goal::Download | Goal::Tarball(_) | Goal::Site(_) => None,
        };
        self.end(shown, &resolved, built.epoch, &built.steps, image)
    }

    /// Holds that what was done after all packages were configured is what the lock says.
    fn check_steps(&self, done: &[LockedStep]) -> Result<(), Failure> {
        Ok(self.lock.as_ref().map_or(Ok(()), |lock| lock.keep_steps(done))?)
    }

    /// Writes the lock and says what was made.
    fn end(
        &self,
        shown: &dyn Display,
        resolved: &Resolved,
        epoch: Timestamp,
        steps: &[LockedStep],
        image: Option<Image>,
    ) -> Result<Made, Failure> {
        if let (Some(path), Some(lock)) = (&self.write_lock, resolved.lock(&self.request, epoch, steps)) {
            crate::output::to_file(path, |out| Ok(out.write_all(lock.to_toml().as_bytes())?))
                .map_err(|failure| failure.context(format!("cannot write the lock file {path:?}")))?;
        }
        shown.finish();
        Ok(image.map_or(Made::Files, |image| Made::Image(Box::new(image))))
    }
}

/// The directory that stages are done in.
fn directory(output: &str) -> Result<PathBuf, Failure> {
    match Sink::parse(output)? {
        Sink::Directory(path) => Ok(path),
        _ => Err(Failure::new(Kind::User, format!("stages are done in a directory, and {output:?} is to be none"))
            .hint("end it with /: -o DIR/")),
    }
}

/// Says what to do where scripts have no chance.
fn explain(failure: Failure, privilege: Option<&Privilege>, resolved: &Resolved) -> Failure {
    let architecture = resolved.plan.architecture.as_str();
    match privilege {
        Some(Privilege::One { reason, .. }) => failure.hint(format!(
            "there is one user ID here ({reason}), and scripts give files to others: a range in /etc/subuid and \
             /etc/subgid cures it, and --variant extract needs none"
        )),
        _ if architecture != machine() => failure.hint(format!(
            "scripts of {architecture} run on such a machine, or here once an emulator is registered for it (package \
             qemu-user-static); --variant extract and debootstrap --foreign run none"
        )),
        _ => failure,
    }
}

fn read_recipe(path: &Path) -> Result<Recipe, Failure> {
    Recipe::read(path).map_err(|error| Failure::from(error).context(format!("cannot use the recipe {path:?}")))
}

fn read_lock(path: &Path) -> Result<Lock, Failure> {
    let failed = |failure: Failure| failure.context(format!("cannot use the lock file {path:?}"));
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.into()))?;
    Lock::parse(&text).map_err(|error| failed(error.into()))
}

/// Threads that decode at most when nobody says: each holds a decoder's window of up to 64 MiB.
const MAX_JOBS: usize = 8;

/// The names of the packages: with debootstrap's rules in its order, on one line as it has them.
fn list_debs(request: &Request, resolved: &Resolved) -> String {
    let names: Vec<&str> = match request.resolver {
        Resolver::Debootstrap if resolved.sources.is_some() => resolved.debootstrap.iter().collect(),
        _ => resolved.packages.iter().map(|package| package.name.as_str()).collect(),
    };
    names.join(" ")
}

//! debootstrap's ways of working: a directory in one or two stages, and what was downloaded as a tarball.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bedplate_archive::codec::EncodeOptions;
use bedplate_archive::{Compression, Encoder};
use bedplate_bootstrap::acquire::{Context as AcquireContext, machine};
use bedplate_bootstrap::debootstrap::{
    FOLDER, HostFiles, Kit, StageError, Stock, adopt_packages, log, log_path, scan_directory,
};
use bedplate_bootstrap::finish::Style;
use bedplate_bootstrap::request::{Request, Variant};
use bedplate_bootstrap::{BootstrapError, Event, Observer, Resolved, Settings, Step, Workshop, write_archive};
use bedplate_image::{ContentSources, UnpackOptions, UnpackReport, unpack_tree, update_tree};
use bedplate_store::Lease;
use bedplate_sys::rooted::{Handle, Root};
use bedplate_tree::{Content, Entry, Metadata, Timestamp, Tree, TreePath};

use super::Display;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output;

/// What is at hand, so that nothing is fetched.
#[derive(Debug)]
pub(crate) struct AtHand {
    /// Where.
    pub(crate) place: Place,
    /// What somebody says it is of.
    pub(crate) variant: Option<Variant>,
}

/// Where indexes and packages lie.
#[derive(Debug)]
pub(crate) enum Place {
    /// A tarball of debootstrap's.
    Tarball(PathBuf),
    /// A directory after the first stage.
    Directory(PathBuf),
}

impl AtHand {
    /// Opens it, and completes a request by what is noted in it.
    pub(super) fn open<'a>(&self, asked: &Request, lease: &'a Lease) -> Result<(Kit<'a>, Request), Failure> {
        match &self.place {
            Place::Tarball(path) => {
                let told = |failure: Failure| {
                    failure
                        .context(format!("cannot use the tarball {path:?}"))
                        .hint("name one that --make-tarball wrote for what is asked for")
                };
                let kit = Kit::of_tarball(path, lease).map_err(|error| told(error.into()))?;
                let request = kit.request(asked, self.variant).map_err(|error| told(error.into()))?;
                Ok((kit, request))
            }
            Place::Directory(path) => {
                let told = |failure: Failure| {
                    failure
                        .context(format!("cannot do the second stage in {path:?}"))
                        .hint("name a directory that the first stage (--foreign) was done in")
                };
                let root = Root::from_handle(Handle::open(path).map_err(|error| told(error.into()))?);
                let kit = Kit::of_directory(root).map_err(|error| told(error.into()))?;
                let mut request = kit.request(asked, self.variant).map_err(|error| told(error.into()))?;
                // Programs of that directory are about to run: nothing is won by doubting its indexes.
                request.checks.no_signatures = true;
                request.checks.valid_until = Some(false);
                // Older roots have a directory there.
                request.merged_usr = Some(fs::symlink_metadata(path.join("bin")).is_ok_and(|found| found.is_symlink()));
                Ok((kit, request))
            }
        }
    }
}

/// A system in a directory.
#[derive(Debug)]
pub(crate) struct Site {
    /// Where.
    pub(crate) directory: PathBuf,
    /// Which part of the work.
    pub(crate) part: Part,
    /// Keeps notes and log in the directory.
    pub(crate) keep_notes: bool,
}

/// Which part of the work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Indexes and packages are fetched.
    Stock,
    /// The first stage, with all that the second one needs.
    First,
    /// The second stage.
    Second,
    /// Both.
    Both,
}

/// What the stages work with.
pub(super) struct Stage<'a> {
    pub(super) resolved: &'a Resolved,
    pub(super) request: &'a Request,
    pub(super) acquiring: &'a AcquireContext<'a>,
    pub(super) shown: &'a dyn Display,
    pub(super) context: &'a Context,
}

impl Stage<'_> {
    /// Writes what was fetched as a tarball.
    pub(super) fn write_tarball(&self, path: &Path) -> Result<(), Failure> {
        let stock = self.stock()?;
        let (mut tree, mut contents) = (Tree::new(), ContentSources::new());
        let mtime = self.mtime();
        stock.lay(&mut tree, &mut contents, mtime)?;
        stock.notes().lay(&mut tree, mtime)?;
        let compression = match path.extension().and_then(|extension| extension.to_str()) {
            Some("tar") => Compression::None,
            Some("xz") => Compression::Xz,
            // As debootstrap does, whatever the name.
            _ => Compression::Gzip,
        };
        output::to_file(path, |out| {
            let mut encoder = Encoder::new(out, compression, EncodeOptions::default())?;
            write_archive(&tree, &contents, Style::Plain, &mut encoder)?;
            encoder.finish()?;
            Ok(())
        })
        .map_err(no_tarball(path))
    }

    /// Fetches into a directory, in apt's places.
    pub(super) fn fill(&self, site: &Site) -> Result<(), Failure> {
        let stock = self.stock()?;
        let mut contents = ContentSources::new();
        let ground = Ground::open(&site.directory, &mut contents)?;
        let mut tree = ground.before.clone();
        let mtime = self.mtime();
        stock.lay(&mut tree, &mut contents, mtime)?;
        stock.notes().lay(&mut tree, mtime)?;
        self.write(&ground, &tree, &contents)
    }

    /// Does stages of a directory.
    pub(super) fn work(&self, site: &Site, workshop: &Workshop<'_>, settings: &Settings<'_>) -> Result<(), Failure> {
        let Self { resolved, request, .. } = self;
        let mut contents = workshop.contents();
        let ground = Ground::open(&site.directory, &mut contents)?;
        let first = match site.part {
            Part::Second => ground.before.clone(),
            _ => workshop
                .first_stage(resolved, request, settings, &ground.before, &host_files())
                .map_err(|error| told(error, &site.directory))?,
        };
        let epoch = workshop.epoch(request, settings);
        let stock = self.stock()?;
        if site.part == Part::First {
            let mut tree = first;
            stock.lay(&mut tree, &mut contents, epoch)?;
            let mirror = request.mirrors.first().map(|mirror| mirror.url.clone()).unwrap_or_default();
            let notes = bedplate_bootstrap::debootstrap::Notes { mirror: Some(mirror), ..stock.notes() };
            notes.lay(&mut tree, epoch)?;
            self.shown.writing();
            self.write(&ground, &tree, &contents)?;
            return self.leave_program(&ground);
        }
        let recording = Recording { inner: settings.observer, said: Mutex::default() };
        let settings = Settings { observer: &recording, ..*settings };
        let mut built = workshop.second_stage(resolved, request, &settings, first, contents)?;
        let tree = &mut built.tree;
        if site.part == Part::Both {
            stock.lay(tree, &mut built.contents, epoch)?;
            if site.keep_notes {
                stock.notes().lay(tree, epoch)?;
            }
        } else {
            stock.touch(tree, epoch);
        }
        let text = log(&recording.said.lock().unwrap_or_else(PoisonError::into_inner));
        let mut paths = vec![log_path()];
        if site.keep_notes && site.part == Part::Both {
            paths.extend(TreePath::parse(format!("{FOLDER}/debootstrap.log").as_bytes()));
        }
        for path in paths {
            let metadata = Metadata { mode: 0o644, mtime: epoch, ..Metadata::default() };
            tree.put(&path, Entry::file(Content::from_bytes(text.clone().into_bytes()), metadata))?;
        }
        ground.keep_times(tree);
        self.shown.writing();
        self.write(&ground, tree, &built.contents)?;
        if site.part == Part::Second && !site.keep_notes {
            ground.handle.remove_all(FOLDER)?;
        }
        Ok(())
    }

    /// Takes packages from a directory, and leaves there what it lacks.
    pub(super) fn keep_packages(&self, folder: &Path) -> Result<(), Failure> {
        let told = |failure: Failure| failure.context(format!("cannot use the packages in {folder:?}"));
        adopt_packages(self.resolved, folder, self.acquiring, &self.shown).map_err(|error| told(error.into()))?;
        let directory = Handle::open(folder).map_err(|error| told(error.into()))?;
        for (path, name) in self.stock()?.files() {
            if directory.try_stat(&*name).map_err(|error| told(error.into()))?.is_none() {
                output::to_file(&folder.join(&name), |out| {
                    io::copy(&mut File::open(path)?, out)?;
                    Ok(())
                })
                .map_err(told)?;
            }
        }
        Ok(())
    }

    fn stock(&self) -> Result<Stock<'_>, Failure> {
        Ok(Stock::fetch(self.resolved, self.request, self.acquiring, &self.shown)?)
    }

    /// The time of files before any package was looked into: that of the archive.
    fn mtime(&self) -> Timestamp {
        let acquired = self.resolved.acquired.iter().flat_map(|acquired| &acquired.sources);
        let newest = acquired.map(|source| source.release.date).max().unwrap_or_default();
        Timestamp::from_seconds(self.context.source_date_epoch.unwrap_or(newest))
    }

    fn write(&self, ground: &Ground, tree: &Tree, contents: &ContentSources<'_>) -> Result<(), Failure> {
        let options = UnpackOptions { threads: bedplate_sys::kernel::processors().min(4), ..UnpackOptions::default() };
        let report: UnpackReport = match ground.is_empty {
            true => unpack_tree(tree, contents, &ground.handle, &options)?,
            false => update_tree(&ground.before, tree, contents, &ground.handle, &options)?,
        };
        if let Some(skipped) = report.skipped.first() {
            self.context.warn(&format!(
                "{} entries cannot be made here, \"{}\" among them ({}): mount the machine's /dev into the directory \
                 before it is entered",
                report.skipped.len(),
                skipped.path,
                skipped.reason
            ));
        }
        Ok(())
    }

    /// Leaves this program where the second stage is looked for, if that runs on this machine's kind.
    fn leave_program(&self, ground: &Ground) -> Result<(), Failure> {
        if self.resolved.plan.architecture != machine() {
            return Ok(());
        }
        let folder = ground.handle.open_dir(FOLDER)?;
        folder.remove_all("debootstrap")?;
        let mut program = File::open("/proc/self/exe").map_err(|error| {
            Failure::from(error).context("cannot leave this program in the directory for its second stage")
        })?;
        let mut file = folder.create_file("debootstrap", 0o755)?;
        io::copy(&mut program, &mut file)?;
        Ok(bedplate_sys::file::chmod(&file, 0o755)?)
    }
}

/// The directory.
struct Ground {
    handle: Handle,
    before: Tree,
    is_empty: bool,
}

impl Ground {
    /// Opens the directory, and makes it where it is not there.
    fn open(path: &Path, contents: &mut ContentSources<'_>) -> Result<Self, Failure> {
        let told = |failure: Failure| failure.context(format!("cannot use the directory {path:?}"));
        fs::create_dir_all(path).map_err(|error| told(error.into()))?;
        let handle = Handle::open(path).map_err(|error| told(error.into()))?;
        let is_empty = fs::read_dir(path).map_err(|error| told(error.into()))?.next().is_none();
        let before = scan_directory(Root::from_handle(handle.clone()), contents).map_err(|error| told(error.into()))?;
        Ok(Self { handle, before, is_empty })
    }

    /// What was there keeps its time: it is no part of what is made.
    fn keep_times(&self, tree: &mut Tree) {
        for (path, id) in self.before.walk() {
            let before = &self.before.inode(id).entry;
            let Some(found) = tree.lookup(&path).filter(|_| !before.is_directory()) else { continue };
            let mut entry = tree.inode(found).entry.clone();
            entry.metadata.mtime = before.metadata.mtime;
            if entry == *before {
                tree.metadata_mut(found).mtime = before.metadata.mtime;
            }
        }
    }
}

/// Tells before all the work that a tarball cannot be written there.
pub(super) fn check_tarball(path: &Path) -> Result<(), Failure> {
    output::check(path).map_err(no_tarball(path))
}

fn no_tarball(path: &Path) -> impl FnOnce(Failure) -> Failure {
    move |failure| failure.context(format!("cannot write the tarball {path:?}"))
}

/// Why the first stage was not done in a directory.
fn told(error: BootstrapError, directory: &Path) -> Failure {
    let is_occupied = matches!(error, BootstrapError::Stage(StageError::Occupied { .. }));
    let failure = Failure::from(error).context(format!("cannot unpack into {directory:?}"));
    match is_occupied {
        true => failure.hint("name a new directory; where the first stage was done before, --second-stage goes on"),
        false => failure,
    }
}

/// Why no directory is made for fakechroot(1).
pub(super) fn no_fakechroot() -> Failure {
    Failure::new(
        Kind::User,
        "variant fakechroot replaces ldconfig and ldd for a library that programs are started under, and this program is \
         not: it is linked statically",
    )
    .hint(
        "nobody needs it here: --variant=- --include=binutils has the same packages, as root or as a user with a range in \
         /etc/subuid and /etc/subgid",
    )
}

/// What this machine lends to a root; what it does not have, it does not lend.
fn host_files() -> HostFiles {
    HostFiles { resolv_conf: fs::read("/etc/resolv.conf").ok(), hostname: fs::read("/etc/hostname").ok() }
}

/// Remembers which scripts ran and what they said, for the log.
struct Recording<'a> {
    inner: &'a dyn Observer,
    said: Mutex<Vec<String>>,
}

impl Observer for Recording<'_> {
    fn event(&self, event: Event<'_>) {
        let line = match event {
            Event::Install(Step::Said(line)) => Some(line.to_owned()),
            Event::Install(Step::Script(name)) => Some(format!("Configuring {name}...")),
            _ => None,
        };
        self.said.lock().unwrap_or_else(PoisonError::into_inner).extend(line);
        self.inner.event(event);
    }
}

/// What a second stage cannot be done without in a directory that is the root itself.
pub(crate) fn prepare_root(context: &Context) -> Result<Context, Failure> {
    bedplate_sys::mount::isolate_root()?;
    // Programs of the root look for each other there, and so does this one.
    if !Path::new("/proc/self").exists() {
        bedplate_sys::mount::proc_of_root()?;
    }
    Ok(Context {
        // Gone with the notes.
        root: Path::new("/").join(FOLDER).join("store"),
        fallback: None,
        ..context.clone()
    })
}

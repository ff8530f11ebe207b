//! Packages become a configured root: waves of unpacking, maintainer scripts, the image's own dpkg.
//!
//! ```text
//! wave 0   all essential packages at once ─▶ ldconfig ─▶ their preinsts ─▶ dpkg --configure ─▶ preinsts of wave 1
//! wave n   laid upon what scripts did      ─────────────────────────────▶ dpkg --configure ─▶ preinsts of wave n+1
//! ```
//!
//! As every bootstrapper does, the essential set is unpacked before any script runs: its scripts need its programs.
//! A package of a later wave becomes visible only after its preinst ran, and its Pre-Depends are configured by then.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use bedplate_image::ContentSources;
use bedplate_packages::deb::compose::{ComposeError, ComposeOptions, Composition};
use bedplate_packages::deb::dpkg::diversions::Diversions;
use bedplate_packages::deb::dpkg::{self, DatabaseError, DatabaseOptions, Record, State};
use bedplate_packages::deb::payload::Payload;
use bedplate_packages::deb::solve::order::Wave;
use bedplate_run::Session;
use bedplate_store::Lease;
use bedplate_tree::{Entry, EntryKind, Metadata, PathError, Timestamp, Tree, TreeError, TreePath};
use thiserror::Error;

use crate::read::{ReadError, read_file};
use crate::root::Ground;
use crate::root_error::RootError;
use crate::sandbox;
use crate::scripts::{Runner, ScriptError};

/// Directories of the root that are links into `/usr` where it is merged.
const ALIASED: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32"];

/// Where dpkg keeps the control files of a package whose preinst runs.
const CONTROL_DIR: &str = "/var/lib/dpkg/tmp.ci";

/// Packages cannot be installed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InstallError {
    /// Packages do not fit together.
    #[error("cannot unpack the packages")]
    Compose(#[from] ComposeError),
    /// dpkg's database cannot be written.
    #[error("cannot write dpkg's database")]
    Database(#[from] DatabaseError),
    /// A path has no place in the root.
    #[error("cannot put {path:?}")]
    Put {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: TreeError,
    },
    /// A path of ours is none.
    #[error("path {path:?}")]
    Path {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: PathError,
    },
    /// A file of the root cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// dpkg's list of diversions is malformed.
    #[error("cannot understand var/lib/dpkg/diversions")]
    Diversions(#[source] dpkg::diversions::DiversionsError),
    /// A script failed.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The root cannot be made or read.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The chosen packages hold no dpkg.
    #[error("the chosen packages do not hold dpkg, which configures them")]
    NoDpkg,
    /// A file for a script cannot be made.
    #[error("cannot make {path:?} for a script")]
    Make {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// How packages are installed.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The architecture in Debian's words.
    pub(crate) architecture: String,
    /// Other architectures whose packages are among them.
    pub(crate) foreign: Vec<String>,
    /// Whether `/bin` and its like are links into `/usr`.
    pub(crate) merged_usr: bool,
    /// The time of what is made here.
    pub(crate) epoch: Timestamp,
}

/// What happens while packages are installed.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// So many packages of a wave were laid down.
    Unpacked(usize),
    /// A package is being configured, or its preinst runs.
    Script(&'a str),
    /// A line of what a script says.
    Said(&'a str),
}

/// Lays the payloads of all waves, without any script: what `--variant extract` gives.
pub(crate) fn extract(payloads: &[Payload], waves: &[Wave], options: &Options) -> Result<Tree, InstallError> {
    let mut composition = Composition::new(ComposeOptions::default());
    alias(composition.tree_mut(), payloads, options)?;
    let all = waves.iter().flat_map(|wave| &wave.unpack).filter_map(|at| payloads.get(*at));
    let (_, numbers) = composition.unpack_wave(all.clone())?;
    let records: Vec<Record<'_>> = (all.zip(&numbers))
        .map(|(payload, number)| Record {
            payload,
            state: State::Unpacked,
            unlisted: Some(composition.unlisted(*number)),
        })
        .collect();
    let database = dpkg::database(&records, &database_options(options))?;
    drop(records);
    put_all(composition.tree_mut(), database)?;
    Ok(composition.into_tree())
}

/// Installs all waves in `ground`.
pub(crate) fn install(
    ground: &mut Ground<'_>,
    lease: &Lease,
    contents: &mut ContentSources<'_>,
    payloads: &[Payload],
    waves: &[Wave],
    options: &Options,
    observe: &mut dyn FnMut(Step<'_>),
) -> Result<(), InstallError> {
    let Some(version) = payloads.iter().find(|payload| payload.control().name() == "dpkg") else {
        return Err(InstallError::NoDpkg);
    };
    let version = version.control().version().to_string();
    let version = version.rsplit_once('-').map_or(version.as_str(), |(upstream, _)| upstream);
    let mut scripts = Scripts { lease, options, version, environment: sandbox::environment(options.epoch.seconds) };
    let mut composition = Composition::new(ComposeOptions::default());
    for (number, wave) in waves.iter().enumerate() {
        let of = |wave: &[usize]| wave.iter().filter_map(|at| payloads.get(*at)).collect::<Vec<_>>();
        let packages = of(&wave.unpack);
        let next = waves.get(number + 1).map(|wave| of(&wave.unpack)).unwrap_or_default();
        // What waits for packages of a later wave would fail, or work only by luck: the last wave configures all.
        let ready = (number + 1 < waves.len()).then(|| of(&wave.configure));
        *composition.tree_mut() = ground.tree().clone();
        let database = match number {
            0 => {
                alias(composition.tree_mut(), payloads, options)?;
                let records = unpack(&mut composition, &packages)?;
                dpkg::database(&records.of(&composition), &database_options(options))?
            }
            _ => {
                composition.set_diversions(diversions(ground.tree(), contents)?);
                let records = unpack(&mut composition, &packages)?;
                let tree = ground.tree();
                let mut read = |path: &TreePath| -> Result<_, InstallError> { Ok(read_file(tree, contents, path)?) };
                dpkg::add_unpacked(&mut read, &records.of(&composition), &database_options(options))?
            }
        };
        put_all(composition.tree_mut(), database)?;
        ground.lay(composition.tree().clone(), contents)?;
        observe(Step::Unpacked(packages.len()));
        let turn = Turn { first: number == 0, packages: &packages, ready: ready.as_deref(), next: &next };
        scripts.wave(ground, contents, &turn, observe)?;
    }
    Ok(())
}

/// Packages of a wave with the numbers that the composition gave them.
struct Unpacked<'a> {
    payloads: Vec<&'a Payload>,
    numbers: Vec<bedplate_packages::deb::compose::PackageNumber>,
}

impl Unpacked<'_> {
    fn of<'b>(&'b self, composition: &'b Composition) -> Vec<Record<'b>> {
        (self.payloads.iter().zip(&self.numbers))
            .map(|(payload, number)| Record {
                payload,
                state: State::Unpacked,
                unlisted: Some(composition.unlisted(*number)),
            })
            .collect()
    }
}

fn unpack<'a>(composition: &mut Composition, payloads: &[&'a Payload]) -> Result<Unpacked<'a>, InstallError> {
    let (_, numbers) = composition.unpack_wave(payloads.iter().copied())?;
    Ok(Unpacked { payloads: payloads.to_vec(), numbers })
}

fn database_options(options: &Options) -> DatabaseOptions {
    DatabaseOptions {
        mtime: options.epoch,
        native: options.architecture.clone(),
        foreign: options.foreign.clone(),
        ..DatabaseOptions::default()
    }
}

fn put_all(tree: &mut Tree, entries: Vec<(TreePath, Entry)>) -> Result<(), InstallError> {
    dpkg::place(tree, entries).map_err(|source| InstallError::Put { path: "var/lib/dpkg".into(), source })
}

fn path(text: &str) -> Result<TreePath, InstallError> {
    TreePath::parse(text.as_bytes()).map_err(|source| InstallError::Path { path: text.to_owned(), source })
}

/// Makes the links of a merged `/usr` that the packages need, unless a package brings them itself.
fn alias(tree: &mut Tree, payloads: &[Payload], options: &Options) -> Result<(), InstallError> {
    if !options.merged_usr {
        return Ok(());
    }
    let mut needed = BTreeSet::new();
    for payload in payloads {
        for entry in payload.index().entries() {
            let mut components = entry.path.components();
            let (Some(first), rest) = (components.next(), components.next()) else { continue };
            let Some(name) = ALIASED.into_iter().find(|name| name.as_bytes() == first) else { continue };
            let is_link = matches!(
                &entry.indexed,
                bedplate_archive::index::Indexed::Entry(found) if matches!(found.kind, EntryKind::Symlink(_))
            );
            if rest.is_none() && is_link {
                // base-files of trixie and later: the links are its own.
                return Ok(());
            }
            needed.insert(name);
        }
    }
    for name in needed {
        let directory = Metadata::implied_directory(options.epoch);
        let below = format!("usr/{name}");
        for made in ["usr", &below] {
            let at = path(made)?;
            if tree.lookup(&at).is_none() {
                put(tree, &at, Entry::directory(directory.clone()))?;
            }
        }
        let link = Metadata { mode: 0o777, ..directory };
        let target = below.into_bytes().into_boxed_slice();
        put(tree, &path(name)?, Entry { kind: EntryKind::Symlink(target), metadata: link })?;
    }
    Ok(())
}

fn put(tree: &mut Tree, at: &TreePath, entry: Entry) -> Result<(), InstallError> {
    tree.put(at, entry).map(drop).map_err(|source| InstallError::Put { path: at.to_string(), source })
}

fn diversions(tree: &Tree, contents: &ContentSources<'_>) -> Result<Diversions, InstallError> {
    match read_file(tree, contents, &path("var/lib/dpkg/diversions")?)? {
        Some(text) => Diversions::parse(&text).map_err(InstallError::Diversions),
        None => Ok(Diversions::default()),
    }
}

/// A wave whose turn it is.
struct Turn<'a> {
    /// Whether it is the first.
    first: bool,
    /// What was unpacked.
    packages: &'a [&'a Payload],
    /// What can be configured; `None` for all that is not.
    ready: Option<&'a [&'a Payload]>,
    /// What the next wave unpacks.
    next: &'a [&'a Payload],
}

/// What runs the scripts of waves.
struct Scripts<'a> {
    lease: &'a Lease,
    options: &'a Options,
    /// The upstream version of the root's dpkg.
    version: &'a str,
    environment: Vec<String>,
}

impl Scripts<'_> {
    /// Configures a wave and runs the preinsts of the next one.
    fn wave(
        &mut self,
        ground: &mut Ground<'_>,
        contents: &mut ContentSources<'_>,
        turn: &Turn<'_>,
        observe: &mut dyn FnMut(Step<'_>),
    ) -> Result<(), InstallError> {
        let &Turn { first, packages, ready, next } = turn;
        let control = self.directory()?;
        let log = self.lease.scratch();
        let made = |source| InstallError::Make { path: log.clone(), source };
        let log = File::options().read(true).append(true).create_new(true).open(&log).map_err(made)?;
        let mut mounts = Vec::new();
        let of_first: &[&Payload] = if first { packages } else { &[] };
        if of_first.iter().chain(next).any(|payload| payload.control_file("preinst").is_some()) {
            mounts.push(sandbox::bind(control.clone(), CONTROL_DIR));
        }
        let config = sandbox::config(self.lease, ground.tree(), mounts, None)?;
        let has_awk = {
            let awk = path("usr/bin/awk")?;
            ground.tree().lookup(&awk).is_some()
        };
        ground.work(&config, contents, |session: &mut Session| -> Result<(), InstallError> {
            let mut runner = Runner::new(session, self.environment.clone(), log);
            if first {
                self.first_preinsts(&mut runner, &control, packages, has_awk, observe)?;
            }
            self.configure(&mut runner, first, packages, ready, observe)?;
            for payload in next {
                self.preinst(&mut runner, &control, payload, observe)?;
            }
            runner.nothing_left("configuring packages")?;
            Ok(())
        })
    }

    fn first_preinsts(
        &self,
        runner: &mut Runner<'_>,
        control: &Path,
        packages: &[&Payload],
        has_awk: bool,
        observe: &mut dyn FnMut(Step<'_>),
    ) -> Result<(), InstallError> {
        let mut hear = |line: &str| observe(Step::Said(line));
        runner.run("ldconfig", &["/sbin/ldconfig"], &[], &mut hear)?;
        // Scripts of base-files and others use awk before mawk's postinst made the alternative.
        let mawk = !has_awk && packages.iter().any(|payload| payload.control().name() == "mawk");
        if mawk {
            runner.run("ln", &["ln", "-s", "mawk", "/usr/bin/awk"], &[], &mut hear)?;
        }
        for payload in packages {
            self.preinst(runner, control, payload, observe)?;
        }
        if mawk {
            runner.run("rm", &["rm", "-f", "/usr/bin/awk"], &[], &mut |line| observe(Step::Said(line)))?;
        }
        Ok(())
    }

    fn preinst(
        &self,
        runner: &mut Runner<'_>,
        directory: &Path,
        payload: &Payload,
        observe: &mut dyn FnMut(Step<'_>),
    ) -> Result<(), InstallError> {
        if payload.control_file("preinst").is_none() {
            return Ok(());
        }
        self.fill(directory, payload)?;
        let control = payload.control();
        observe(Step::Script(control.name()));
        // Spec: dpkg(1), "Maintainer script environment".
        let architecture = match control.architecture() {
            "all" => &self.options.architecture,
            own => own,
        };
        let variables = [
            ("DPKG_MAINTSCRIPT_NAME", "preinst"),
            ("DPKG_MAINTSCRIPT_PACKAGE", control.name()),
            ("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1"),
            ("DPKG_MAINTSCRIPT_ARCH", architecture),
            ("DPKG_ROOT", ""),
            ("DPKG_ADMINDIR", "/var/lib/dpkg"),
            ("DPKG_RUNNING_VERSION", self.version),
        ];
        let what = format!("the preinst script of {}", control.name());
        let script = format!("{CONTROL_DIR}/preinst");
        runner.run(&what, &[&script, "install"], &variables, &mut |line| observe(Step::Said(line)))?;
        Ok(())
    }

    fn configure(
        &self,
        runner: &mut Runner<'_>,
        first: bool,
        packages: &[&Payload],
        ready: Option<&[&Payload]>,
        observe: &mut dyn FnMut(Step<'_>),
    ) -> Result<(), InstallError> {
        let mut hear = |line: &str| {
            if let Some(rest) = line.strip_prefix("Setting up ") {
                observe(Step::Script(rest.split(' ').next().unwrap_or_default()));
            }
            observe(Step::Said(line));
        };
        let dpkg = ["dpkg", "--force-unsafe-io", "--force-depends", "--force-confold", "--configure"];
        // Accounts first: what the others chown to must exist. debootstrap does the same.
        if first && packages.iter().any(|payload| payload.control().name() == "base-passwd") {
            runner.run("dpkg", &[&dpkg[..], &["base-passwd"]].concat(), &[], &mut hear)?;
        }
        let Some(ready) = ready else {
            runner.run("dpkg --configure -a", &[&dpkg[..], &["-a"]].concat(), &[], &mut hear)?;
            return Ok(());
        };
        // Already configured ones would be an error.
        let waiting = ready.iter().filter(|payload| !(first && payload.control().name() == "base-passwd"));
        let names: Vec<String> = waiting.map(|payload| payload.control().info_name()).collect();
        if !names.is_empty() {
            let names = names.iter().map(String::as_str);
            let words: Vec<&str> = dpkg.into_iter().chain(names).collect();
            runner.run("dpkg --configure", &words, &[], &mut hear)?;
        }
        Ok(())
    }

    /// Puts the control files of a package where its preinst finds them.
    fn fill(&self, control: &Path, payload: &Payload) -> Result<(), InstallError> {
        use std::os::unix::fs::PermissionsExt as _;
        let made = |path: &Path| {
            let path = path.to_owned();
            move |source| InstallError::Make { path, source }
        };
        for entry in fs::read_dir(control).map_err(made(control))? {
            let entry = entry.map_err(made(control))?;
            fs::remove_file(entry.path()).map_err(made(&entry.path()))?;
        }
        // debconf reads the owner of templates there.
        let path = control.join("control");
        fs::write(&path, payload.control().text()).map_err(made(&path))?;
        for (name, file) in payload.control_files() {
            // One plain name: what a package may call its control files was checked when it was read.
            let path = control.join(&**name);
            fs::write(&path, &file.content)
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(file.metadata.mode & 0o777)))
                .map_err(made(&path))?;
        }
        Ok(())
    }

    fn directory(&self) -> Result<PathBuf, InstallError> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.lease.scratch();
        fs::create_dir(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .map_err(|source| InstallError::Make { path: path.clone(), source })?;
        Ok(path)
    }
}

//! Packages become a configured root: waves of unpacking, each followed by maintainer scripts.
//!
//! ```text
//! wave 0   all essential packages at once ─▶ ldconfig ─▶ their preinsts ─▶ postinsts ─▶ triggers ─▶ preinsts of wave 1
//! wave n   laid upon what scripts did      ─────────────────────────────▶ postinsts ─▶ triggers ─▶ preinsts of wave n+1
//! ```
//!
//! As every bootstrapper does, the essential set is unpacked before any script runs: its scripts need its programs.
//! A package of a later wave becomes visible only after its preinst ran, and its Pre-Depends are configured by then.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use bedplate_image::{ContentSources, ReadError, read_file};
use bedplate_packages::deb::compose::{ALIASED, ComposeError, ComposeOptions, Composition, MergeError, link_usr};
use bedplate_packages::deb::dpkg::configure::TriggerLoop;
use bedplate_packages::deb::dpkg::diversions::Diversions;
use bedplate_packages::deb::dpkg::statoverride::StatOverrides;
use bedplate_packages::deb::dpkg::{self, DatabaseError, DatabaseOptions, Record, State};
use bedplate_packages::deb::payload::Payload;
use bedplate_packages::deb::solve::order::Wave;
use bedplate_store::Lease;
use bedplate_tree::accounts::Accounts;
use bedplate_tree::{Entry, EntryKind, PathError, Timestamp, Tree, TreeError, TreePath};
use thiserror::Error;

use crate::maintainer_scripts::{MaintainerScripts, Turn};
use crate::native::Scripts;
use crate::root::Ground;
use crate::root_error::RootError;
use crate::scripts::ScriptError;

/// The largest file of a root that is read whole, in bytes: a `status` of 3,000 packages has 4 MiB.
pub(crate) const LARGEST: u64 = 256 << 20;

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
    /// The links of a merged `/usr` have no place in the root.
    #[error("cannot merge /usr")]
    Merge(#[from] MergeError),
    /// A file of the root cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// dpkg's list of diversions is malformed.
    #[error("cannot understand var/lib/dpkg/diversions")]
    Diversions(#[source] dpkg::diversions::DiversionsError),
    /// dpkg's list of overridden attributes is malformed.
    #[error("cannot understand var/lib/dpkg/statoverride")]
    StatOverrides(#[source] dpkg::statoverride::StatOverrideError),
    /// A script failed.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The root cannot be made or read.
    #[error(transparent)]
    Root(#[from] RootError),
    /// Triggers without end.
    #[error("packages trigger each other for ever")]
    Triggers(#[from] TriggerLoop),
    /// The chosen packages hold no dpkg.
    #[error("the chosen packages do not hold dpkg, whose tools their scripts use")]
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
    /// Which programs that scripts call are replaced.
    pub(crate) scripts: Scripts,
    /// How long one script may take.
    pub(crate) patience: Duration,
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
    let Some(dpkg) = payloads.iter().find(|payload| payload.control().name() == "dpkg") else {
        return Err(InstallError::NoDpkg);
    };
    let mut scripts = MaintainerScripts::new(lease, options, dpkg.control().version());
    let mut composition = Composition::new(ComposeOptions::default());
    let mut there: Vec<&Payload> = Vec::new();
    for (number, wave) in waves.iter().enumerate() {
        let of = |wave: &[usize]| wave.iter().filter_map(|at| payloads.get(*at)).collect::<Vec<_>>();
        let packages = of(&wave.unpack);
        *composition.tree_mut() = ground.tree().clone();
        let database = match number {
            0 => {
                alias(composition.tree_mut(), payloads, options)?;
                let records = unpack(&mut composition, &packages)?;
                dpkg::database(&records.of(&composition), &database_options(options))?
            }
            _ => {
                composition.set_diversions(diversions(ground.tree(), contents)?);
                composition.set_accounts(accounts(ground.tree(), contents)?);
                composition.set_overrides(&overrides(ground.tree(), contents)?)?;
                let records = unpack(&mut composition, &packages)?;
                let tree = ground.tree();
                let mut read =
                    |path: &TreePath| -> Result<_, InstallError> { Ok(read_file(tree, contents, path, LARGEST)?) };
                dpkg::add_unpacked(&mut read, &records.of(&composition), &database_options(options))?
            }
        };
        put_all(composition.tree_mut(), database)?;
        ground.lay(composition.tree().clone());
        observe(Step::Unpacked(packages.len()));
        there.extend(packages);
        let next = waves.get(number + 1).map(|wave| of(&wave.unpack)).unwrap_or_default();
        let turn = Turn { is_first: number == 0, there: &there, configure: &of(&wave.configure), next: &next };
        scripts.run(ground, contents, &turn, observe)?;
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

pub(crate) fn path(text: &str) -> Result<TreePath, InstallError> {
    TreePath::parse(text.as_bytes()).map_err(|source| InstallError::Path { path: text.to_owned(), source })
}

/// Makes the links of a merged `/usr` that the packages need, unless a package brings them itself.
pub(crate) fn alias(tree: &mut Tree, payloads: &[Payload], options: &Options) -> Result<(), InstallError> {
    if !options.merged_usr {
        return Ok(());
    }
    let mut needed = BTreeSet::new();
    for payload in payloads {
        for entry in payload.index().entries() {
            let mut components = entry.path.components();
            let (Some(first), rest) = (components.next(), components.next()) else { continue };
            let Some(name) = ALIASED.iter().find(|name| name.as_bytes() == first) else { continue };
            let is_link = matches!(
                &entry.indexed,
                bedplate_archive::index::Indexed::Entry(found) if matches!(found.kind, EntryKind::Symlink(_))
            );
            if rest.is_none() && is_link {
                // base-files of trixie and later: the links are its own.
                return Ok(());
            }
            needed.insert(*name);
        }
    }
    let needed: Vec<&str> = needed.into_iter().collect();
    Ok(link_usr(tree, &needed, options.epoch)?)
}

fn diversions(tree: &Tree, contents: &ContentSources<'_>) -> Result<Diversions, InstallError> {
    match read_file(tree, contents, &path("var/lib/dpkg/diversions")?, LARGEST)? {
        Some(text) => Diversions::parse(&text).map_err(InstallError::Diversions),
        None => Ok(Diversions::default()),
    }
}

fn overrides(tree: &Tree, contents: &ContentSources<'_>) -> Result<StatOverrides, InstallError> {
    match read_file(tree, contents, &path("var/lib/dpkg/statoverride")?, LARGEST)? {
        Some(text) => StatOverrides::parse(&text).map_err(InstallError::StatOverrides),
        None => Ok(StatOverrides::default()),
    }
}

fn accounts(tree: &Tree, contents: &ContentSources<'_>) -> Result<Accounts, InstallError> {
    let text =
        |name| -> Result<_, InstallError> { Ok(read_file(tree, contents, &path(name)?, LARGEST)?.unwrap_or_default()) };
    Ok(Accounts::parse(&text("etc/passwd")?, &text("etc/group")?))
}

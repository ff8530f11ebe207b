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
use bedplate_packages::deb::compose::{
    ALIASED, ComposeError, ComposeOptions, Composition, Disappeared, MergeError, PackageNumber, link_usr,
};
use bedplate_packages::deb::dpkg::configure::TriggerLoop;
use bedplate_packages::deb::dpkg::diversions::Diversions;
use bedplate_packages::deb::dpkg::statoverride::StatOverrides;
use bedplate_packages::deb::dpkg::{self, DatabaseError, DatabaseOptions, Record, State};
use bedplate_packages::deb::payload::Payload;
use bedplate_packages::deb::solve::order::Wave;
use bedplate_store::Lease;
use bedplate_tree::accounts::Accounts;
use bedplate_tree::{Content, Entry, EntryKind, Metadata, PathError, Timestamp, Tree, TreeError, TreePath};
use thiserror::Error;

use crate::maintainer_scripts::{Gone, MaintainerScripts, Turn};
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
    /// A package is configured.
    Configured(&'a str),
    /// A line of what a script says.
    Said(&'a str),
}

/// Lays the payloads of all waves, without any script: what `--variant extract` gives.
pub(crate) fn extract(payloads: &[Payload], waves: &[Wave], options: &Options) -> Result<Tree, InstallError> {
    let mut composition = Composition::new(ComposeOptions::default());
    alias(composition.tree_mut(), payloads, options)?;
    let all = waves.iter().flat_map(|wave| &wave.unpack).filter_map(|at| payloads.get(*at));
    let (_, numbers) = composition.unpack_wave(all.clone())?;
    let records: Vec<Record<'_>> =
        all.zip(&numbers).map(|(payload, number)| record(&composition, payload, *number)).collect();
    let database = dpkg::database(&records, &database_options(options))?;
    drop(records);
    put_all(composition.tree_mut(), database)?;
    Ok(composition.into_tree())
}

/// Installs all waves in `ground`; the packages that are there in the end, by their numbers.
pub(crate) fn install(
    ground: &mut Ground<'_>,
    lease: &Lease,
    contents: &mut ContentSources<'_>,
    payloads: &[Payload],
    waves: &[Wave],
    options: &Options,
    observe: &mut dyn FnMut(Step<'_>),
) -> Result<BTreeSet<usize>, InstallError> {
    let Some(dpkg) = payloads.iter().find(|payload| payload.control().name() == "dpkg") else {
        return Err(InstallError::NoDpkg);
    };
    let mut scripts = MaintainerScripts::new(lease, options, dpkg.control().version());
    let mut composition = Composition::new(ComposeOptions::default());
    // By their numbers in the composition: packages are unpacked in this order.
    let mut unpacked: Vec<usize> = Vec::new();
    let mut there: BTreeSet<usize> = BTreeSet::new();
    for (number, wave) in waves.iter().enumerate() {
        let of = |wave: &[usize]| wave.iter().filter_map(|at| payloads.get(*at)).collect::<Vec<_>>();
        *composition.tree_mut() = ground.tree().clone();
        if number == 0 {
            alias(composition.tree_mut(), payloads, options)?;
        } else {
            composition.set_diversions(diversions(ground.tree(), contents)?);
            composition.set_accounts(accounts(ground.tree(), contents)?);
            composition.set_overrides(&overrides(ground.tree(), contents)?)?;
        }
        let (first, known) = (unpacked.len(), composition.disappeared().len());
        let overwritten = composition.overwritten().len();
        composition.unpack_wave(of(&wave.unpack))?;
        unpacked.extend(&wave.unpack);
        there.extend(&wave.unpack);
        let mut gone = Vec::new();
        for Disappeared { package, in_favour_of } in &composition.disappeared()[known..] {
            let at = unpacked[package.index()];
            there.remove(&at);
            gone.push(Gone { payload: &payloads[at], favoured: &payloads[unpacked[in_favour_of.index()]] });
        }
        let mut database_options = database_options(options);
        for Gone { payload, .. } in &gone {
            dpkg::forget(composition.tree_mut(), payload);
            let control = payload.control();
            database_options.gone.push((control.name().to_owned(), control.architecture().to_owned()));
        }
        let losers: BTreeSet<PackageNumber> =
            composition.overwritten()[overwritten..].iter().map(|overwritten| overwritten.loser).collect();
        let present = || composition.numbers().zip(&unpacked).filter(|(_, at)| there.contains(at));
        let relisted: Vec<_> = present()
            .take_while(|(number, _)| number.index() < first)
            .filter(|(number, _)| losers.contains(number))
            .map(|(number, at)| dpkg::list_of(&record(&composition, &payloads[*at], number), &database_options))
            .collect();
        let new = present().filter(|(number, _)| number.index() >= first);
        let records: Vec<Record<'_>> = new.map(|(number, at)| record(&composition, &payloads[*at], number)).collect();
        let database = match number {
            0 => dpkg::database(&records, &database_options)?,
            _ => {
                let tree = ground.tree();
                let mut read =
                    |path: &TreePath| -> Result<_, InstallError> { Ok(read_file(tree, contents, path, LARGEST)?) };
                dpkg::add_unpacked(&mut read, &records, &database_options)?
            }
        };
        drop(records);
        put_all(composition.tree_mut(), relisted)?;
        put_all(composition.tree_mut(), database)?;
        ground.lay(composition.tree().clone());
        observe(Step::Unpacked(wave.unpack.len()));
        let configure: Vec<usize> = wave.configure.iter().copied().filter(|at| there.contains(at)).collect();
        let still: Vec<usize> = unpacked.iter().copied().filter(|at| there.contains(at)).collect();
        let next = waves.get(number + 1).map(|wave| of(&wave.unpack)).unwrap_or_default();
        let turn = Turn {
            is_first: number == 0,
            unpacked: &of(&wave.unpack),
            gone: &gone,
            there: &of(&still),
            configure: &of(&configure),
            next: &next,
        };
        scripts.run(ground, contents, &turn, observe)?;
        let configured: Vec<_> =
            composition.numbers().zip(&unpacked).filter(|(_, at)| configure.contains(at)).collect();
        configured.into_iter().for_each(|(number, _)| composition.set_configured(number));
    }
    Ok(there)
}

/// How a package stands in the database once it is unpacked.
fn record<'a>(composition: &'a Composition, payload: &'a Payload, number: PackageNumber) -> Record<'a> {
    Record { payload, state: State::Unpacked, unlisted: Some(composition.unlisted(number)) }
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

/// Marks a root whose `/usr` is to stay unmerged, as debootstrap does: `usr-is-merged` and `usrmerge` let it be.
pub(crate) fn mark_split_usr(tree: &mut Tree, mtime: Timestamp) -> Result<(), InstallError> {
    let metadata = |mode| Metadata { mode, mtime, ..Metadata::default() };
    let text = b"this system will not be supported in the future\n";
    let mut entries = Vec::new();
    for (name, entry) in [
        ("etc", Entry::directory(metadata(0o755))),
        ("etc/unsupported-skip-usrmerge-conversion", Entry::file(Content::from_bytes(*text), metadata(0o644))),
    ] {
        let path = path(name)?;
        if tree.lookup(&path).is_none() {
            entries.push((path, entry));
        }
    }
    put_all(tree, entries)
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

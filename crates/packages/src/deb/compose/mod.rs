//! Packages one upon the other: what dpkg would make of them, as arithmetic on trees.
//!
//! | at a path there is | the package has | the tree gets |
//! |---|---|---|
//! | a directory, or a link to one | a directory | what is there: the first one's attributes |
//! | a directory | a symbolic link | what is there |
//! | a link to a directory | a symbolic link to the same | what is there |
//! | another package's file | anything else | the new one if its package Replaces the other, the old one if it is the other way round, an error otherwise |
//! | the same file of the same package, another architecture | a file with the same sum | what is there |
//! | a diverted name | anything | the new one, where the diversion says |
//!
//! An entry belongs to the user and group that it names, where the root has accounts of those names, and to its numbers
//! otherwise: as for dpkg in a root without `etc/passwd`, which is how the first packages come. A `statoverride` stands above both, and
//! above the mode; what is there already keeps its attributes.
//!
//! Links on the way to an entry are followed inside the tree: `bin/sh` lands in `usr/bin/sh` where `bin` is a link.
//! Whose a file is goes by the names in packages, as dpkg's own lists do, not by where links lead. A package that has
//! nothing of its own any more disappears: see [`Composition::disappeared`].
//! Spec: Debian Policy 6.6, 7.6 and 10.7; dpkg-divert(1).

mod disappear;
mod filter;
mod unpack;
mod usr;

use std::collections::{HashMap, HashSet};

use bedplate_tree::accounts::Accounts;
use bedplate_tree::{Delta, Tree, TreeError, TreePath, diff};
use thiserror::Error;

pub use disappear::Disappeared;
pub use filter::{PathFilter, PathRule, matches};
pub use usr::{ALIASED, MergeError, aliased_directories, link_usr, merge_usr};

use super::dpkg::diversions::Diversions;
use super::dpkg::statoverride::{StatOverride, StatOverrides};
use super::payload::{Md5, MultiArch, Payload};
use super::relation::Relations;
use super::version::DebVersionBuf;

/// Why packages cannot be laid one upon the other.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// Two packages have one path, and neither Replaces the other.
    #[error("package \"{second}\" would overwrite \"{path}\", which is also in package \"{first}\"")]
    Overlap {
        /// The path, as both packages have it.
        path: TreePath,
        /// The package that was unpacked before.
        first: String,
        /// The package that is unpacked now.
        second: String,
    },
    /// A file in the place of another package's directory.
    #[error("package \"{second}\" would overwrite directory \"{path}\" of package \"{first}\" with a {found}")]
    Directory {
        /// The path.
        path: TreePath,
        /// The package that has a directory there.
        first: String,
        /// The package that is unpacked now.
        second: String,
        /// What it has there.
        found: &'static str,
    },
    /// A file that two architectures of one package share, and that is not the same.
    #[error("shared \"{path}\" of package \"{second}\" is different from that of \"{first}\"")]
    Shared {
        /// The path.
        path: TreePath,
        /// The instance that was unpacked before, with its architecture.
        first: String,
        /// The instance that is unpacked now, with its architecture.
        second: String,
    },
    /// An entry has no place in the tree.
    #[error("cannot put \"{path}\" of package \"{package}\"")]
    Put {
        /// The package.
        package: String,
        /// The entry.
        path: TreePath,
        /// What is in its way.
        #[source]
        source: TreeError,
    },
    /// A hard link to something that its package did not put before.
    #[error(
        "\"{path}\" of package \"{package}\" is a hard link to \"{target}\", which is no file that the package put before"
    )]
    HardLink {
        /// The package.
        package: String,
        /// The new name.
        path: TreePath,
        /// The name that it should share a file with.
        target: TreePath,
    },
    /// An override in favour of nobody; dpkg refuses to work with it, too.
    #[error("statoverride of \"{path}\" names the {kind} {name:?}, which the root does not know")]
    Override {
        /// The path.
        path: TreePath,
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// More than [`bedplate_tree::MAX_INODES`].
    #[error("\"{path}\" of package \"{package}\" is beyond the {limit} entries that a root may have")]
    TooMany {
        /// The package.
        package: String,
        /// The entry that was too much.
        path: TreePath,
        /// The limit.
        limit: usize,
    },
}

/// How packages are laid one upon the other.
#[derive(Debug, Clone, Default)]
pub struct ComposeOptions {
    /// What is left out of packages, and what of that is not: dpkg's `path-exclude` and `path-include`.
    pub filter: PathFilter,
    /// Which names lead elsewhere; more may come as scripts run, see [`Composition::set_diversions`].
    pub diversions: Diversions,
    /// Users and groups that the root knows; more may come as scripts run, see [`Composition::set_accounts`].
    pub accounts: Accounts,
}

/// A package in a composition: its number in the order of unpacking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackageNumber(u32);

impl PackageNumber {
    /// The number, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Why a file of one package gave way to one of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The package unpacked later Replaces the other.
    Replaces,
    /// The package unpacked before Replaces the later one: its file stayed.
    Replaced,
    /// Other names, but links lead both to one place: dpkg does not notice it either.
    Alias,
}

/// A file that gave way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overwritten {
    /// The path as the loser has it.
    pub path: TreePath,
    /// Whose file is there now.
    pub winner: PackageNumber,
    /// Whose is not.
    pub loser: PackageNumber,
    /// Why.
    pub reason: Reason,
}

/// What is remembered of a package that was unpacked.
#[derive(Debug, Clone)]
struct Unpacked {
    name: Box<str>,
    version: DebVersionBuf,
    architecture: Box<str>,
    multi_arch: MultiArch,
    /// The value of `Replaces`.
    replaces: Box<str>,
    /// The values of `Depends`, `Pre-Depends` and `Recommends`.
    needs: [Box<str>; 3],
    /// The value of `Provides`.
    provides: Box<str>,
    /// Names that dpkg would not list as this package's.
    unlisted: HashSet<TreePath>,
    /// Whether it has any name.
    has_names: bool,
    /// How many names no other package has.
    sole_names: usize,
    configured: bool,
    gone: bool,
}

impl Unpacked {
    fn shown(&self) -> String {
        match self.multi_arch {
            MultiArch::Same => format!("{}:{}", self.name, self.architecture),
            _ => self.name.to_string(),
        }
    }

    /// Whether `Replaces` names that package, in a version that it has. Spec: Debian Policy 7.6.1.
    fn replaces(&self, other: &Self) -> bool {
        Relations::new(&self.replaces).flat().flatten().any(|relation| {
            relation.name == &*other.name
                && relation.qualifier.is_none_or(|arch| arch == "any" || arch == &*other.architecture)
                && relation.admits(other.version.borrow())
        })
    }
}

/// A root filesystem that packages are unpacked into, one after the other, as dpkg does it.
///
/// What scripts change meanwhile is applied to [`Composition::tree_mut`].
#[derive(Debug, Clone, Default)]
pub struct Composition {
    tree: Tree,
    options: ComposeOptions,
    packages: Vec<Unpacked>,
    /// Who has a name: by the names in packages, links not followed, diversions not either.
    owners: HashMap<TreePath, Vec<PackageNumber>>,
    /// Sums of files that packages for several architectures share.
    sums: HashMap<TreePath, Md5>,
    /// Whose file is where links led it, by the place in the tree, and its name in the package.
    aliases: HashMap<TreePath, (PackageNumber, TreePath)>,
    overwritten: Vec<Overwritten>,
    disappeared: Vec<Disappeared>,
    overrides: HashMap<TreePath, Overridden>,
}

/// Attributes that dpkg gives a path whatever its package says.
#[derive(Debug, Clone, Copy)]
struct Overridden {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Composition {
    /// An empty root.
    #[must_use]
    pub fn new(options: ComposeOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// The state now.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The state now, to be changed by what scripts did, or by links made before the first package.
    pub fn tree_mut(&mut self) -> &mut Tree {
        &mut self.tree
    }

    /// The state, with nothing besides.
    #[must_use]
    pub fn into_tree(self) -> Tree {
        self.tree
    }

    /// Sets which names lead elsewhere from now on.
    pub fn set_diversions(&mut self, diversions: Diversions) {
        self.options.diversions = diversions;
    }

    /// Sets which names of users and groups the root knows from now on.
    pub fn set_accounts(&mut self, accounts: Accounts) {
        self.options.accounts = accounts;
    }

    /// Sets which paths get other attributes from now on than their packages give them. Names are looked up among the
    /// accounts that the root knows by now.
    ///
    /// # Errors
    /// [`ComposeError::Override`].
    pub fn set_overrides(&mut self, overrides: &StatOverrides) -> Result<(), ComposeError> {
        let accounts = &self.options.accounts;
        let resolve = |StatOverride { user, group, mode, path }: &StatOverride| {
            let unknown =
                |kind| move |name: &str| ComposeError::Override { path: path.clone(), kind, name: name.into() };
            let uid = user.resolve(|name| accounts.uid(name)).map_err(unknown("user"))?;
            let gid = group.resolve(|name| accounts.gid(name)).map_err(unknown("group"))?;
            Ok((path.clone(), Overridden { uid, gid, mode: *mode }))
        };
        self.overrides = overrides.all.iter().map(resolve).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Files that gave way to others so far.
    #[must_use]
    pub fn overwritten(&self) -> &[Overwritten] {
        &self.overwritten
    }

    /// The names of a package that dpkg does not list as its own: another package's file is there.
    #[must_use]
    pub fn unlisted(&self, package: PackageNumber) -> &HashSet<TreePath> {
        static NONE: std::sync::LazyLock<HashSet<TreePath>> = std::sync::LazyLock::new(HashSet::new);
        self.packages.get(package.index()).map_or(&NONE, |package| &package.unlisted)
    }

    /// The numbers of all packages that were unpacked, in that order.
    pub fn numbers(&self) -> impl Iterator<Item = PackageNumber> + use<> {
        // As many as there are numbers: who unpacks one more than that panics there.
        (0..self.packages.len() as u32).map(PackageNumber)
    }

    /// Who has that name, in the order of unpacking.
    #[must_use]
    pub fn owners(&self, name: &TreePath) -> &[PackageNumber] {
        self.owners.get(name).map_or(&[], Vec::as_slice)
    }

    /// Unpacks several packages in that order and returns what changed in the tree: one wave.
    ///
    /// # Errors
    /// [`ComposeError`]; the composition is then of no more use.
    pub fn unpack_wave<'a>(
        &mut self,
        payloads: impl IntoIterator<Item = &'a Payload>,
    ) -> Result<(Delta, Vec<PackageNumber>), ComposeError> {
        let before = self.tree.clone();
        let numbers = payloads.into_iter().map(|payload| self.unpack(payload)).collect::<Result<Vec<_>, _>>()?;
        let mut same = |_: &_, _: &_| Ok::<_, std::convert::Infallible>(false);
        let Ok(difference) = diff(&before, &self.tree, &mut same);
        Ok((difference.delta, numbers))
    }
}

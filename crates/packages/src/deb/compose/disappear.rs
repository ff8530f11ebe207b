//! Packages that disappear: all that they had is in others now, and nobody needs them.
//!
//! What keeps a package from it, whenever another one has been unpacked:
//! - a name that no other package has, or one that is diverted by it or by the other;
//! - a package that depends on it, pre-depends on it or recommends it, where nothing else that is configured will do;
//! - that it has no names at all.
//!
//! Spec: Debian Policy 6.6, the steps after unpacking; held against dpkg in the tests of this crate.

use bedplate_tree::TreePath;

use super::{Composition, PackageNumber, Unpacked};
use crate::deb::payload::MultiArch;
use crate::deb::relation::{Relation, Relations};

/// A package that is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disappeared {
    /// The package.
    pub package: PackageNumber,
    /// The one after whose unpacking it went.
    pub in_favour_of: PackageNumber,
}

impl Unpacked {
    /// Whether the package has that name or provides it, in a version that will do.
    fn is_meant(&self, wanted: &Relation<'_>) -> bool {
        let provided = |relation: Relation<'_>| {
            let version = relation.version.map(|(_, version)| version);
            relation.name == wanted.name
                && (wanted.version.is_none() || version.is_some_and(|version| wanted.admits(version)))
        };
        self.name[..] == *wanted.name && wanted.admits(self.version.borrow())
            || Relations::new(&self.provides).flat().flatten().any(provided)
    }

    /// Whether somebody who names `name` may mean this package.
    fn has_name(&self, name: &str) -> bool {
        self.name[..] == *name || Relations::new(&self.provides).flat().flatten().any(|relation| relation.name == name)
    }
}

impl Composition {
    /// Packages that disappeared so far, in that order.
    #[must_use]
    pub fn disappeared(&self) -> &[Disappeared] {
        &self.disappeared
    }

    /// Notes that a package is configured: it may be what others need from now on.
    pub fn set_configured(&mut self, package: PackageNumber) {
        if let Some(package) = self.packages.get_mut(package.index()) {
            package.configured = true;
        }
    }

    /// Notes that a package has that name.
    pub(super) fn own(&mut self, path: &TreePath, number: PackageNumber) {
        let owners = match self.owners.get_mut(path) {
            Some(owners) => owners,
            None => self.owners.entry(path.clone()).or_default(),
        };
        if owners.contains(&number) {
            return;
        }
        let was_sole = is_of_one(&self.packages, owners);
        owners.push(number);
        self.packages[number.index()].has_names = true;
        match is_of_one(&self.packages, owners) {
            true => self.packages[number.index()].sole_names += 1,
            false if was_sole => {
                let others = owners.iter().filter(|&&other| other != number);
                others.for_each(|other| self.packages[other.index()].sole_names -= 1);
            }
            false => {}
        }
    }

    /// Notes that a package has not that name any more.
    pub(super) fn disown(&mut self, path: &TreePath, number: PackageNumber) {
        let Some(owners) = self.owners.get_mut(path).filter(|owners| owners.contains(&number)) else { return };
        let was_sole = is_of_one(&self.packages, owners);
        owners.retain(|owner| *owner != number);
        if was_sole {
            self.packages[number.index()].sole_names -= 1;
        } else if is_of_one(&self.packages, owners) {
            owners.iter().for_each(|other| self.packages[other.index()].sole_names += 1);
        }
    }

    /// Lets packages go that nothing keeps now that `unpacked` is there.
    pub(super) fn let_disappear(&mut self, unpacked: PackageNumber) {
        let others = self.numbers().filter(|number| *number != unpacked);
        let without_names: Vec<PackageNumber> = others.filter(|number| self.may_go(*number)).collect();
        for package in without_names {
            // One of them may have gone since, and left this one alone with a name.
            if self.may_go(package) && !self.is_kept(package, unpacked) {
                self.packages[package.index()].gone = true;
                let had = self.owners.iter().filter(|(_, owners)| owners.contains(&package));
                let had: Vec<TreePath> = had.map(|(path, _)| path.clone()).collect();
                had.iter().for_each(|path| self.disown(path, package));
                self.disappeared.push(Disappeared { package, in_favour_of: unpacked });
            }
        }
    }

    fn may_go(&self, number: PackageNumber) -> bool {
        let package = &self.packages[number.index()];
        !package.gone && package.has_names && package.sole_names == 0
    }

    /// Whether something beside a name of its own keeps a package.
    fn is_kept(&self, number: PackageNumber, unpacked: PackageNumber) -> bool {
        let (package, other) = (&self.packages[number.index()], &self.packages[unpacked.index()]);
        let same = |package: &Unpacked| package.multi_arch == MultiArch::Same;
        let diverted = || {
            let by_one_of_them = self.options.diversions.all().iter().filter(|diversion| {
                diversion.package.as_deref().is_some_and(|by| by == &*package.name || by == &*other.name)
            });
            by_one_of_them.into_iter().any(|diversion| self.owners(&diversion.from).contains(&number))
        };
        same(package) && same(other) && package.name == other.name || diverted() || self.is_needed(number)
    }

    /// Whether a package is needed, and nothing else that is configured will do.
    fn is_needed(&self, number: PackageNumber) -> bool {
        let package = &self.packages[number.index()];
        let others = || {
            let others = self.packages.iter().enumerate().filter(|(other, _)| *other != number.index());
            others.map(|(_, other)| other).filter(|other| !other.gone)
        };
        let needs = others().flat_map(|other| other.needs.iter());
        needs.flat_map(|needs| Relations::new(needs).groups()).flatten().any(|group| {
            let wanted = || group.alternatives().flatten();
            let is_other = |wanted: Relation<'_>| others().any(|other| other.configured && other.is_meant(&wanted));
            wanted().any(|wanted| package.has_name(wanted.name)) && !wanted().any(is_other)
        })
    }
}

/// Whether all owners of a name are instances of one package; nobody is none.
fn is_of_one(packages: &[Unpacked], owners: &[PackageNumber]) -> bool {
    owners.split_first().is_some_and(|(first, others)| {
        others.iter().all(|other| packages[other.index()].name == packages[first.index()].name)
    })
}

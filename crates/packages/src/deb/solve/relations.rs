//! What one version of a package needs and cannot bear, resolved to versions of a [`Universe`].

use std::rc::Rc;

use super::super::package::MultiArch;
use super::super::relation::{Relation, RelationError, Relations};
use super::universe::Universe;

/// The kind of a relation that must, or should, be satisfied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Need {
    /// `Pre-Depends`
    PreDepends,
    /// `Depends`
    Depends,
    /// `Recommends`
    Recommends,
}

/// The kind of a relation that excludes another package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Against {
    Conflicts,
    Breaks,
    /// The same name on another architecture.
    Sibling,
}

/// One group of alternatives.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    pub(crate) need: Need,
    /// As it stands in the field.
    pub(crate) text: &'a str,
    /// In the order of the field.
    pub(crate) alternatives: Vec<Alternative<'a>>,
}

/// One of a group's alternatives.
#[derive(Debug)]
pub(crate) struct Alternative<'a> {
    pub(crate) relation: Relation<'a>,
    /// The versions that satisfy it, candidates or not.
    pub(crate) entries: Vec<u32>,
}

impl Group<'_> {
    pub(crate) fn all(&self) -> impl Iterator<Item = u32> + '_ {
        self.alternatives.iter().flat_map(|alternative| alternative.entries.iter().copied())
    }
}

/// One conjunct of `Conflicts` or `Breaks`.
#[derive(Debug)]
pub(crate) struct Conflict<'a> {
    pub(crate) against: Against,
    pub(crate) text: &'a str,
    pub(crate) entries: Vec<u32>,
}

/// All relations of one version.
#[derive(Debug, Default)]
pub(crate) struct Needs<'a> {
    pub(crate) groups: Vec<Group<'a>>,
    pub(crate) conflicts: Vec<Conflict<'a>>,
    /// A field that does not parse: nobody can know what the package needs, so it cannot be installed.
    pub(crate) malformed: Option<(&'static str, RelationError)>,
}

/// The most versions that are looked at for the relations of one solution: a second. Six thousand real packages need
/// 55,000; an index where everything provides what everything needs could ask for the square of its size.
const LOOKS_MAX: usize = 1 << 22;

/// The relations of the versions that were looked at: read once, on demand.
#[derive(Debug)]
pub(crate) struct Book<'u, 'a> {
    universe: &'u Universe<'a>,
    recommends: bool,
    read: Vec<Option<Rc<Needs<'a>>>>,
    looks: usize,
}

impl<'u, 'a> Book<'u, 'a> {
    pub(crate) fn new(universe: &'u Universe<'a>, recommends: bool) -> Self {
        Self { universe, recommends, read: vec![None; universe.entries.len()], looks: 0 }
    }

    pub(crate) fn recommends(&self) -> bool {
        self.recommends
    }

    /// Tells whether [`LOOKS_MAX`] was reached: what was answered since is not true.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.looks > LOOKS_MAX
    }

    pub(crate) fn of(&mut self, entry: u32) -> Rc<Needs<'a>> {
        if let Some(Some(needs)) = self.read.get(entry as usize) {
            return needs.clone();
        }
        let needs = Rc::new(self.read(entry));
        self.read[entry as usize] = Some(needs.clone());
        needs
    }

    /// The versions that satisfy a relation of a package on an architecture.
    pub(crate) fn satisfying(&mut self, relation: &Relation<'_>, architecture: u16) -> Vec<u32> {
        self.looks += self.universe.weight(relation.name);
        if self.is_exhausted() { Vec::new() } else { self.universe.satisfying(relation, architecture) }
    }

    fn conflicting(&mut self, relation: &Relation<'_>, slot: u32) -> Vec<u32> {
        self.looks += self.universe.weight(relation.name);
        if self.is_exhausted() { Vec::new() } else { self.universe.conflicting(relation, slot) }
    }

    fn read(&mut self, entry: u32) -> Needs<'a> {
        let universe = self.universe;
        let it = &universe.entries[entry as usize];
        let package = it.package;
        let architecture = universe.slots[it.slot as usize].architecture;
        let mut needs = Needs::default();
        // The order is apt's: it decides which alternative is chosen before another package brings its own.
        let positive = [
            ("Pre-Depends", Need::PreDepends, package.pre_depends),
            ("Depends", Need::Depends, package.depends),
            ("Recommends", Need::Recommends, if self.recommends { package.recommends } else { Relations::default() }),
        ];
        for (field, need, relations) in positive {
            for group in relations.groups() {
                let read = group.and_then(|group| {
                    let alternatives = group.alternatives().map(|relation| {
                        let relation = relation?;
                        Ok(Alternative { relation, entries: self.satisfying(&relation, architecture) })
                    });
                    Ok(Group { need, text: group.as_str(), alternatives: alternatives.collect::<Result<_, _>>()? })
                });
                match read {
                    Ok(group) => needs.groups.push(group),
                    Err(_) if need == Need::Recommends => {}
                    Err(error) => {
                        needs.malformed.get_or_insert((field, error));
                    }
                }
            }
        }
        let negative =
            [("Conflicts", Against::Conflicts, package.conflicts), ("Breaks", Against::Breaks, package.breaks)];
        for (field, against, relations) in negative {
            for group in relations.groups() {
                let read = group.and_then(|group| {
                    let mut entries = Vec::new();
                    for relation in group.alternatives() {
                        entries.extend(self.conflicting(&relation?, it.slot));
                    }
                    // The walk stops at the first that it cannot push out: which that is must not hang on the index.
                    entries.sort_by_key(|entry| {
                        let it = &universe.entries[*entry as usize];
                        (it.package.name, universe.slots[it.slot as usize].architecture)
                    });
                    Ok(Conflict { against, text: group.as_str(), entries })
                });
                match read {
                    Ok(conflict) if conflict.entries.is_empty() => {}
                    Ok(conflict) => needs.conflicts.push(conflict),
                    Err(error) => {
                        needs.malformed.get_or_insert((field, error));
                    }
                }
            }
        }
        let siblings = siblings(universe, entry);
        if !siblings.is_empty() {
            needs.conflicts.push(Conflict { against: Against::Sibling, text: "", entries: siblings });
        }
        needs
    }
}

/// The versions of the same name on other architectures that cannot be beside this one: all but those that are
/// `Multi-Arch: same` like it and of the very version.
fn siblings(universe: &Universe<'_>, entry: u32) -> Vec<u32> {
    let it = &universe.entries[entry as usize];
    let others = universe.slots_of(it.package.name).filter(|slot| *slot != it.slot);
    let entries = others.flat_map(|slot| universe.entries_of(slot));
    let beside = |other: &u32| {
        let other = universe.entries[*other as usize].package;
        it.package.multi_arch == MultiArch::Same
            && other.multi_arch == MultiArch::Same
            && it.package.version.as_str() == other.version.as_str()
    };
    entries.filter(|other| !beside(other)).collect()
}

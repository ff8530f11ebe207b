//! The solver: which packages a wish needs, with apt's semantics and apt's choices.
//!
//! ```text
//! indexes ─▶ Universe ─▶ walk (apt's own greedy order) ─▶ holds? ─▶ plan
//!                                                    └─no─▶ search (complete) ─▶ plan, or why there is none
//! ```
//!
//! The walk gives what `apt-get install` gives wherever apt's first choices fit together, which is nearly always. The
//! search finds a plan wherever there is one, near the walk's choices.

mod explain;
mod near;
pub mod order;
mod relations;
mod search;
#[cfg(test)]
mod tests;
mod universe;
mod walk;

use thiserror::Error;

pub use explain::{Explanation, ExplanationLine};
pub use relations::Need;
pub use universe::{PIN_AUTOMATIC_UPGRADES, PIN_DEFAULT, PIN_NOT_AUTOMATIC, PackageId, Source, Universe};

pub(crate) use universe::NONE;

use relations::Book;
use search::{Failure, Question};
use walk::Walk;

/// Why no packages could be selected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SolveError {
    /// No package of this name in any source.
    #[error("no package {name:?}{}", offer(.near))]
    UnknownPackage {
        /// The name as it was asked for.
        name: String,
        /// Names like it, nearest first.
        near: Vec<String>,
    },
    /// A name that several packages provide and none has.
    #[error("{name:?} is a virtual package; one of its providers must be named: {}", .providers.join(", "))]
    VirtualPackage {
        /// The name as it was asked for.
        name: String,
        /// The packages that provide it.
        providers: Vec<String>,
    },
    /// The package is there, but not in this version.
    #[error("no version {version:?} of package {name:?}; there is: {}", .available.join(", "))]
    UnknownVersion {
        /// The package.
        name: String,
        /// The version as it was asked for.
        version: String,
        /// The versions there are, high to low.
        available: Vec<String>,
    },
    /// The package is there, but not in this suite.
    #[error("package {name:?} is not in suite {suite:?}; it is in: {}", .available.join(", "))]
    NotInSuite {
        /// The package.
        name: String,
        /// The suite as it was asked for.
        suite: String,
        /// The suites that have it.
        available: Vec<String>,
    },
    /// The package is there, but not for this architecture.
    #[error("package {name:?} is not there for architecture {architecture:?}; there is: {}", .available.join(", "))]
    UnknownArchitecture {
        /// The package.
        name: String,
        /// The architecture as it was asked for.
        architecture: String,
        /// The architectures that have it.
        available: Vec<String>,
    },
    /// A package is asked for and excluded, or no version of it may be taken by its priority.
    #[error("package {name:?} is wanted, but {reason}")]
    Forbidden {
        /// The package.
        name: String,
        /// What forbids it.
        reason: &'static str,
    },
    /// A wish that is none.
    #[error("cannot understand {wish:?}: {reason}")]
    Wish {
        /// As it was written.
        wish: String,
        /// What is wrong.
        reason: String,
    },
    /// The wish cannot be fulfilled.
    #[error("the wanted packages cannot be installed together\n{explanation}")]
    Unsolvable {
        /// Why every candidate was rejected.
        explanation: Explanation,
    },
    /// The limits of the search were reached: no real archive needs so much.
    #[error("the wanted packages need more search than any archive should")]
    TooHard,
}

fn offer(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; near: {}", names.join(", ")),
    }
}

/// What does not hold in a selection, if anything: for tests and fuzzers. A selection by debootstrap's rules need not hold.
pub(crate) fn broken(universe: &Universe<'_>, selection: &super::select::Selection<'_>) -> Option<String> {
    let mut book = Book::new(universe, false);
    let mut chosen: Vec<u32> = selection.packages.iter().map(|selected| selected.id.0).collect();
    chosen.sort_unstable();
    let is_chosen = |entry: &u32| chosen.binary_search(entry).is_ok();
    for entry in &chosen {
        let needs = book.of(*entry);
        let name = universe.entries[*entry as usize].package.name;
        if let Some((field, error)) = &needs.malformed {
            return Some(format!("{name}: {field}: {error}"));
        }
        if let Some(group) = needs.groups.iter().find(|group| !group.all().any(|other| is_chosen(&other))) {
            return Some(format!("{name} lacks {}", group.text));
        }
        if let Some(conflict) = needs.conflicts.iter().find(|conflict| conflict.entries.iter().any(is_chosen)) {
            return Some(format!("{name} excludes {}", conflict.text));
        }
    }
    None
}

/// A plan that is made in stages: what an earlier stage chose is on the disk for the next one.
#[derive(Debug)]
pub(crate) struct Solver<'u, 'a> {
    pub(crate) universe: &'u Universe<'a>,
    walk: Walk<'u, 'a>,
    roots: Vec<u32>,
    excluded: Vec<u32>,
    searched: bool,
}

impl<'u, 'a> Solver<'u, 'a> {
    pub(crate) fn new(universe: &'u Universe<'a>, recommends: bool) -> Self {
        Self {
            universe,
            walk: Walk::new(universe, recommends),
            roots: Vec::new(),
            excluded: Vec::new(),
            searched: false,
        }
    }

    /// Takes every version of a slot out of consideration.
    pub(crate) fn exclude(&mut self, slot: u32) {
        self.walk.forbid(slot);
        self.excluded.push(slot);
    }

    pub(crate) fn is_excluded(&self, slot: u32) -> bool {
        self.excluded.contains(&slot)
    }

    /// Makes a version the candidate of its slot.
    pub(crate) fn prefer(&mut self, entry: u32) {
        self.walk.prefer(entry);
    }

    /// The version that would be taken; [`NONE`] where there is none.
    pub(crate) fn candidate(&self, slot: u32) -> u32 {
        self.walk.candidate(slot)
    }

    /// Tells whether the walk's choices did not fit together in some stage.
    pub(crate) fn searched(&self) -> bool {
        self.searched
    }

    pub(crate) fn book(&mut self) -> &mut Book<'u, 'a> {
        &mut self.walk.book
    }

    /// Adds versions, and what they need, to the plan.
    ///
    /// The order in which they are given does not matter: they are taken by name.
    pub(crate) fn stage(&mut self, wanted: &[u32]) -> Result<(), SolveError> {
        let mut wanted = wanted.to_vec();
        wanted.sort_by_key(|entry| self.key(*entry));
        wanted.dedup();
        let before = self.walk.states();
        self.walk.install(&wanted);
        if self.walk.book.is_exhausted() {
            return Err(SolveError::TooHard);
        }
        self.roots.extend(&wanted);
        let whole = wanted.iter().all(|entry| self.walk.is_planned(*entry));
        if !whole || self.walk.broken().is_some() {
            let preferred = self.walk.plan();
            self.walk.restore(before);
            for entry in &wanted {
                self.walk.prefer(*entry);
            }
            let plan = self.search(&wanted, &preferred)?;
            self.searched = true;
            self.walk.replace(&plan);
        }
        let kept = self.reachable();
        self.walk.replace(&kept);
        self.walk.settle();
        Ok(())
    }

    /// The plan by name and architecture.
    pub(crate) fn plan(&self) -> Vec<u32> {
        let mut plan = self.walk.plan();
        plan.sort_by_key(|entry| self.key(*entry));
        plan
    }

    fn key(&self, entry: u32) -> (&'a str, u16) {
        let it = &self.universe.entries[entry as usize];
        (it.package.name, self.universe.slots[it.slot as usize].architecture)
    }

    fn search(&mut self, wanted: &[u32], preferred: &[u32]) -> Result<Vec<u32>, SolveError> {
        let mut asked = wanted.to_vec();
        asked.extend(self.walk.settled());
        let mut preferred = preferred.to_vec();
        preferred.sort_unstable();
        let mut book = Book::new(self.universe, self.walk.recommends());
        let walk = &self.walk;
        let solutions = |group: &relations::Group<'_>| {
            let mut solutions = walk.solutions(group);
            solutions.sort_by_key(|entry| preferred.binary_search(entry).is_err());
            solutions
        };
        let found = search::search(&mut book, &Question { asked: &asked, solutions: &solutions });
        if book.is_exhausted() {
            return Err(SolveError::TooHard);
        }
        match found {
            Ok(plan) => Ok(plan),
            Err(Failure::TooHard) => Err(SolveError::TooHard),
            Err(Failure::Contradiction(origins)) => {
                let explanation = explain::explain(self, &mut book, wanted, &origins);
                Err(SolveError::Unsolvable { explanation })
            }
        }
    }

    /// The planned versions that something planned still refers to: apt takes back the others before it installs.
    fn reachable(&mut self) -> Vec<u32> {
        let plan = self.walk.plan();
        let mut kept = self.roots.clone();
        kept.extend(self.walk.settled());
        let mut seen = vec![false; self.universe.entries.len()];
        kept.retain(|entry| !std::mem::replace(&mut seen[*entry as usize], true));
        self.follow(&mut kept, &mut seen, false);
        if kept.len() < plan.len() {
            self.follow(&mut kept, &mut seen, true);
        }
        kept
    }

    fn follow(&mut self, kept: &mut Vec<u32>, seen: &mut [bool], weak: bool) {
        let mut at = 0;
        while let Some(entry) = kept.get(at).copied() {
            at += 1;
            let needs = self.walk.book.of(entry);
            let mut take = |walk: &Walk<'_, '_>, other: u32| {
                if walk.is_planned(other) && !std::mem::replace(&mut seen[other as usize], true) {
                    kept.push(other);
                }
            };
            for group in &needs.groups {
                group.all().for_each(|other| take(&self.walk, other));
            }
            if weak {
                let it = &self.universe.entries[entry as usize];
                let architecture = self.universe.slots[it.slot as usize].architecture;
                for relation in
                    [it.package.recommends, it.package.suggests].iter().flat_map(|field| field.flat()).flatten()
                {
                    for other in self.walk.book.satisfying(&relation, architecture) {
                        take(&self.walk, other);
                    }
                }
            }
        }
    }
}

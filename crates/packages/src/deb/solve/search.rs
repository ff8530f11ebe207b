//! The search: a complete solver for wishes that the walk left broken.
//!
//! Conflict-driven clause learning over one variable for each version that may be installed. It decides only what a
//! chosen package needs, in the order of the packages, and takes the alternatives in a given order of preference; so the
//! first solution is a small one and near the preferred one. What a contradiction rests on is kept with each
//! learned clause, so that an unsolvable wish can be explained by the archive's own relations.

use std::collections::BTreeSet;

use super::relations::{Book, Need};

/// The most conflicts that are learned from. Real archives need a few; a crafted one could ask for all time there is.
const CONFLICTS_MAX: usize = 20_000;
/// The most literals of all clauses: 64 MiB.
const LITERALS_MAX: usize = 1 << 24;

/// Why a clause must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// The version was asked for, or is there already.
    Asked(u32),
    /// The version's group of this number must be satisfied.
    Group(u32, u32),
    /// The version's conflict of this number excludes another version.
    Conflict(u32, u32, u32),
    /// The version's relations cannot be read.
    Malformed(u32),
}

/// Why there is no plan.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is none: these cannot hold together.
    Contradiction(Vec<Origin>),
    /// The limits of the search were reached.
    TooHard,
}

/// A variable and whether it is meant to be false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Literal(u32);

impl Literal {
    fn new(variable: u32, positive: bool) -> Self {
        Self(variable << 1 | u32::from(!positive))
    }

    fn variable(self) -> usize {
        (self.0 >> 1) as usize
    }

    fn not(self) -> Self {
        Self(self.0 ^ 1)
    }
}

#[derive(Debug)]
struct Clause {
    literals: Vec<Literal>,
    /// Numbers of origins; one for a clause of the archive.
    origins: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Variable {
    entry: u32,
    value: Option<bool>,
    level: u32,
    reason: Option<u32>,
    seen: bool,
}

/// What the search needs to know of the wish.
pub(crate) struct Question<'q> {
    /// The versions that must be installed.
    pub(crate) asked: &'q [u32],
    /// The versions that are tried for a group, best first.
    pub(crate) solutions: &'q dyn Fn(&super::relations::Group<'_>) -> Vec<u32>,
}

/// Finds versions to install so that all that was asked for is there and every relation holds.
pub(crate) fn search(book: &mut Book<'_, '_>, question: &Question<'_>) -> Result<Vec<u32>, Failure> {
    let mut search = Search::default();
    search.build(book, question)?;
    search.run()?;
    Ok(search
        .trail
        .iter()
        .filter(|literal| literal.0 & 1 == 0)
        .map(|literal| search.variables[literal.variable()].entry)
        .collect())
}

/// The groups of one variable, as variables in the order of preference.
#[derive(Debug, Default)]
struct Wants {
    needed: Vec<Vec<u32>>,
    wished: Vec<Vec<u32>>,
}

#[derive(Debug, Default)]
struct Search {
    variables: Vec<Variable>,
    wants: Vec<Wants>,
    clauses: Vec<Clause>,
    origins: Vec<Origin>,
    watches: Vec<Vec<u32>>,
    trail: Vec<Literal>,
    limits: Vec<usize>,
    head: usize,
    literals: usize,
    units: Vec<u32>,
}

impl Search {
    fn build(&mut self, book: &mut Book<'_, '_>, question: &Question<'_>) -> Result<(), Failure> {
        let mut numbers: std::collections::HashMap<u32, u32> = std::collections::HashMap::new();
        for entry in question.asked {
            let variable = self.number(&mut numbers, *entry);
            self.add(vec![Literal::new(variable, true)], Origin::Asked(*entry))?;
        }
        let mut at = 0;
        while at < self.variables.len() {
            let entry = self.variables[at].entry;
            let own = Literal::new(at as u32, false);
            let needs = book.of(entry);
            if needs.malformed.is_some() {
                self.add(vec![own], Origin::Malformed(entry))?;
            }
            let mut wants = Wants::default();
            for (number, group) in (0u32..).zip(&needs.groups) {
                let solutions = (question.solutions)(group);
                let variables: Vec<u32> = solutions.iter().map(|entry| self.number(&mut numbers, *entry)).collect();
                if group.need == Need::Recommends {
                    wants.wished.push(variables);
                    continue;
                }
                let literals =
                    std::iter::once(own).chain(variables.iter().map(|variable| Literal::new(*variable, true)));
                self.add(literals.collect(), Origin::Group(entry, number))?;
                wants.needed.push(variables);
            }
            self.wants.push(wants);
            at += 1;
        }
        // Only now is it known which versions are in question at all.
        for at in 0..self.variables.len() {
            let entry = self.variables[at].entry;
            let needs = book.of(entry);
            for (number, conflict) in (0u32..).zip(&needs.conflicts) {
                for other in &conflict.entries {
                    if let Some(variable) = numbers.get(other) {
                        let literals = vec![Literal::new(at as u32, false), Literal::new(*variable, false)];
                        self.add(literals, Origin::Conflict(entry, number, *other))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn number(&mut self, numbers: &mut std::collections::HashMap<u32, u32>, entry: u32) -> u32 {
        let new = self.variables.len() as u32;
        let number = *numbers.entry(entry).or_insert(new);
        if number == new {
            self.variables.push(Variable { entry, value: None, level: 0, reason: None, seen: false });
            self.watches.push(Vec::new());
            self.watches.push(Vec::new());
        }
        number
    }

    fn add(&mut self, mut literals: Vec<Literal>, origin: Origin) -> Result<(), Failure> {
        // A package may satisfy its own need: then there is nothing to hold.
        if literals.len() > 1 && literals[1..].contains(&literals[0].not()) {
            return Ok(());
        }
        literals.dedup();
        let origins = vec![self.origins.len() as u32];
        self.origins.push(origin);
        self.literals += literals.len();
        if self.literals > LITERALS_MAX {
            return Err(Failure::TooHard);
        }
        self.attach(Clause { literals, origins });
        Ok(())
    }

    fn attach(&mut self, clause: Clause) -> u32 {
        let number = self.clauses.len() as u32;
        match clause.literals.as_slice() {
            [first, second, ..] => {
                self.watches[first.0 as usize].push(number);
                self.watches[second.0 as usize].push(number);
            }
            _ => self.units.push(number),
        }
        self.clauses.push(clause);
        number
    }

    fn value(&self, literal: Literal) -> Option<bool> {
        self.variables[literal.variable()].value.map(|value| value != (literal.0 & 1 == 1))
    }

    fn assign(&mut self, literal: Literal, reason: Option<u32>) {
        let level = self.limits.len() as u32;
        let variable = &mut self.variables[literal.variable()];
        variable.value = Some(literal.0 & 1 == 0);
        variable.level = level;
        variable.reason = reason;
        self.trail.push(literal);
    }

    fn run(&mut self) -> Result<(), Failure> {
        for number in std::mem::take(&mut self.units) {
            let Some(literal) = self.clauses[number as usize].literals.first().copied() else {
                return Err(self.contradiction(number));
            };
            match self.value(literal) {
                None => self.assign(literal, Some(number)),
                Some(true) => {}
                Some(false) => return Err(self.contradiction(number)),
            }
        }
        let mut conflicts = 0;
        loop {
            if let Some(conflict) = self.propagate() {
                if self.limits.is_empty() {
                    return Err(self.contradiction(conflict));
                }
                conflicts += 1;
                if conflicts > CONFLICTS_MAX || self.literals > LITERALS_MAX {
                    return Err(Failure::TooHard);
                }
                self.learn(conflict);
            } else {
                let Some(decision) = self.decide() else { return Ok(()) };
                self.limits.push(self.trail.len());
                self.assign(decision, None);
            }
        }
    }

    /// The first alternative that is still free, of the first need that is not met; then of the first wish.
    fn decide(&self) -> Option<Literal> {
        let open = |group: &&Vec<u32>| {
            !group.iter().any(|variable| self.variables[*variable as usize].value == Some(true))
                && group.iter().any(|variable| self.variables[*variable as usize].value.is_none())
        };
        let chosen =
            || self.trail.iter().filter(|literal| literal.0 & 1 == 0).map(|literal| &self.wants[literal.variable()]);
        let group = chosen()
            .flat_map(|wants| &wants.needed)
            .find(open)
            .or_else(|| chosen().flat_map(|wants| &wants.wished).find(open))?;
        let free = group.iter().find(|variable| self.variables[**variable as usize].value.is_none())?;
        Some(Literal::new(*free, true))
    }

    /// Follows what must be; the clause that cannot hold, if there is one.
    fn propagate(&mut self) -> Option<u32> {
        while let Some(literal) = self.trail.get(self.head).copied() {
            self.head += 1;
            let falsified = literal.not();
            let mut watching = std::mem::take(&mut self.watches[falsified.0 as usize]);
            let mut kept = 0;
            let mut conflict = None;
            for at in 0..watching.len() {
                let number = watching[at];
                if conflict.is_some() {
                    watching[kept] = number;
                    kept += 1;
                    continue;
                }
                match self.visit(number, falsified) {
                    Visit::Moved => {}
                    Visit::Kept => {
                        watching[kept] = number;
                        kept += 1;
                    }
                    Visit::Unit(forced) => {
                        watching[kept] = number;
                        kept += 1;
                        self.assign(forced, Some(number));
                    }
                    Visit::Conflict => {
                        watching[kept] = number;
                        kept += 1;
                        conflict = Some(number);
                    }
                }
            }
            watching.truncate(kept);
            // What moved here meanwhile comes after what stayed.
            let moved = std::mem::replace(&mut self.watches[falsified.0 as usize], watching);
            self.watches[falsified.0 as usize].extend(moved);
            if conflict.is_some() {
                return conflict;
            }
        }
        None
    }

    fn visit(&mut self, number: u32, falsified: Literal) -> Visit {
        let clause = &mut self.clauses[number as usize].literals;
        if clause[0] == falsified {
            clause.swap(0, 1);
        }
        let first = clause[0];
        let value = |variables: &[Variable], literal: Literal| {
            variables[literal.variable()].value.map(|value| value != (literal.0 & 1 == 1))
        };
        if value(&self.variables, first) == Some(true) {
            return Visit::Kept;
        }
        let free = (2..clause.len()).find(|at| value(&self.variables, clause[*at]) != Some(false));
        if let Some(at) = free {
            clause.swap(1, at);
            let watched = clause[1];
            self.watches[watched.0 as usize].push(number);
            return Visit::Moved;
        }
        match value(&self.variables, first) {
            Some(_) => Visit::Conflict,
            None => Visit::Unit(first),
        }
    }

    /// Learns the clause of the first unique implication point and goes back to where it forces something.
    fn learn(&mut self, conflict: u32) {
        let level = self.limits.len() as u32;
        let mut origins: BTreeSet<u32> = BTreeSet::new();
        let mut learned: Vec<Literal> = Vec::new();
        let mut open = 0usize;
        let mut at = self.trail.len();
        let mut clause = conflict;
        let mut skip: Option<Literal> = None;
        let asserting = loop {
            origins.extend(&self.clauses[clause as usize].origins);
            for place in 0..self.clauses[clause as usize].literals.len() {
                let literal = self.clauses[clause as usize].literals[place];
                let variable = &mut self.variables[literal.variable()];
                if Some(literal) == skip || variable.seen {
                    continue;
                }
                variable.seen = true;
                if variable.level == level {
                    open += 1;
                } else {
                    // Level 0 stays in, so that the origins of what it rests on are not lost: `contradiction` follows it.
                    learned.push(literal);
                }
            }
            // Some literal of this level is open: the conflict arose here.
            let literal = loop {
                at -= 1;
                let literal = self.trail[at];
                if self.variables[literal.variable()].seen {
                    break literal;
                }
            };
            open -= 1;
            if open == 0 {
                break literal.not();
            }
            self.variables[literal.variable()].seen = false;
            skip = Some(literal);
            match self.variables[literal.variable()].reason {
                Some(reason) => clause = reason,
                None => break literal.not(),
            }
        };
        self.variables[asserting.variable()].seen = false;
        for literal in &learned {
            self.variables[literal.variable()].seen = false;
        }
        // The second watch is the latest of the others, so that going back frees both.
        learned.sort_by_key(|literal| std::cmp::Reverse(self.variables[literal.variable()].level));
        let back = learned.first().map_or(0, |literal| self.variables[literal.variable()].level);
        learned.insert(0, asserting);
        self.undo(back);
        self.literals += learned.len();
        let number = self.attach(Clause { literals: learned, origins: origins.into_iter().collect() });
        self.assign(asserting, Some(number));
    }

    fn undo(&mut self, level: u32) {
        let Some(length) = self.limits.get(level as usize).copied() else { return };
        for literal in self.trail.drain(length..) {
            let variable = &mut self.variables[literal.variable()];
            variable.value = None;
            variable.reason = None;
        }
        self.limits.truncate(level as usize);
        self.head = self.trail.len();
    }

    /// All origins that a clause which cannot hold at level 0 rests on.
    fn contradiction(&self, clause: u32) -> Failure {
        let mut origins: BTreeSet<u32> = BTreeSet::new();
        let mut seen = vec![false; self.variables.len()];
        let mut open = vec![clause];
        while let Some(clause) = open.pop() {
            origins.extend(&self.clauses[clause as usize].origins);
            for literal in &self.clauses[clause as usize].literals {
                let variable = &self.variables[literal.variable()];
                if !std::mem::replace(&mut seen[literal.variable()], true) {
                    open.extend(variable.reason);
                }
            }
        }
        Failure::Contradiction(origins.into_iter().map(|origin| self.origins[origin as usize]).collect())
    }
}

enum Visit {
    Moved,
    Kept,
    Unit(Literal),
    Conflict,
}

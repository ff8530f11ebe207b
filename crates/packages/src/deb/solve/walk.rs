//! The walk: which packages are marked for a wish, in the order and with the choices of apt's classic solver.
//!
//! Depth first from what was asked for; a relation that is satisfied already asks nothing; the first alternative that
//! can be installed is taken; a package whose needs cannot be met is given up together with its candidate. What was asked
//! for, and what it needs without any choice, is protected: nothing may push it out, and whatever it excludes is out.
//!
//! The walk looks nowhere ahead. What it leaves broken is the search's work (`search.rs`), which prefers the walk's
//! choices.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::rc::Rc;

use super::relations::{Book, Group, Need, Needs};
use super::universe::{NONE, Universe};

/// The most packages that the walk enters before the search takes over. A real wish enters each once or twice;
/// only a crafted index can make it return to the same ones for ever.
const STEPS_MAX: usize = 1 << 18;
/// As apt: a chain of needs that is deeper is not followed.
const DEPTH_MAX: usize = 3000;

/// What the walk knows of a slot.
#[derive(Debug, Clone, Copy)]
struct State {
    candidate: u32,
    /// What it will be; [`NONE`] for not installed.
    planned: u32,
    /// Planned by an earlier stage: as good as on the disk.
    settled: bool,
    protected: bool,
}

/// What a [`Walk`] knows of every slot.
#[derive(Debug)]
pub(crate) struct States(Vec<State>);

/// The plan that grows, stage by stage.
#[derive(Debug)]
pub(crate) struct Walk<'u, 'a> {
    universe: &'u Universe<'a>,
    pub(crate) book: Book<'u, 'a>,
    states: Vec<State>,
    steps: usize,
}

/// A package whose needs are being met.
#[derive(Debug)]
struct Frame<'a> {
    slot: u32,
    needs: Rc<Needs<'a>>,
    /// The groups that were open when it was entered.
    open: Vec<u32>,
    at: usize,
    /// Protected before it was entered, so what it needs without a choice is protected too.
    protected: bool,
    asked: bool,
    failed: bool,
    trying: Option<Trying>,
}

#[derive(Debug)]
struct Trying {
    solutions: Vec<u32>,
    at: usize,
    critical: bool,
    /// Only protection is passed on: the group is satisfied.
    satisfied: bool,
}

enum Entered<'a> {
    Done(bool),
    Frame(Frame<'a>),
}

enum Step {
    Enter(u32),
    Leave(bool),
}

impl<'u, 'a> Walk<'u, 'a> {
    pub(crate) fn new(universe: &'u Universe<'a>, recommends: bool) -> Self {
        let states = universe.slots.iter();
        let states =
            states.map(|slot| State { candidate: slot.candidate, planned: NONE, settled: false, protected: false });
        Self { universe, book: Book::new(universe, recommends), states: states.collect(), steps: 0 }
    }

    /// Takes away every version of a slot.
    pub(crate) fn forbid(&mut self, slot: u32) {
        self.states[slot as usize].candidate = NONE;
    }

    /// Makes a version the candidate of its slot.
    pub(crate) fn prefer(&mut self, entry: u32) {
        self.states[self.universe.entries[entry as usize].slot as usize].candidate = entry;
    }

    /// Plans what was asked for and then, in the given order, what each needs.
    ///
    /// Returns whether every version of `wanted` could be marked; [`broken`](Self::broken) says whether the plan holds.
    pub(crate) fn install(&mut self, wanted: &[u32]) -> bool {
        for entry in wanted {
            self.prefer(*entry);
            let state = self.state_of(*entry);
            state.protected = true;
            state.planned = *entry;
        }
        let mut all = true;
        for entry in wanted {
            all &= self.mark(self.universe.entries[*entry as usize].slot, true);
        }
        all
    }

    pub(crate) fn recommends(&self) -> bool {
        self.book.recommends()
    }

    /// What is known of every slot, to come back to.
    pub(crate) fn states(&self) -> States {
        States(self.states.clone())
    }

    pub(crate) fn restore(&mut self, states: States) {
        self.states = states.0;
    }

    /// Ends a stage: what is planned is on the disk for the next one.
    pub(crate) fn settle(&mut self) {
        for state in &mut self.states {
            state.settled = state.planned != NONE;
            state.protected = false;
        }
    }

    /// Replaces the plan.
    pub(crate) fn replace(&mut self, plan: &[u32]) {
        for state in &mut self.states {
            state.planned = NONE;
        }
        for entry in plan {
            let state = self.state_of(*entry);
            state.planned = *entry;
            state.candidate = *entry;
        }
    }

    /// The planned versions, in the order of their numbers.
    pub(crate) fn plan(&self) -> Vec<u32> {
        self.states.iter().map(|state| state.planned).filter(|entry| *entry != NONE).collect()
    }

    /// The planned versions of earlier stages.
    pub(crate) fn settled(&self) -> Vec<u32> {
        self.states
            .iter()
            .filter(|state| state.settled)
            .map(|state| state.planned)
            .filter(|entry| *entry != NONE)
            .collect()
    }

    pub(crate) fn is_planned(&self, entry: u32) -> bool {
        self.states[self.universe.entries[entry as usize].slot as usize].planned == entry
    }

    pub(crate) fn candidate(&self, slot: u32) -> u32 {
        self.states[slot as usize].candidate
    }

    /// A planned version whose needs are not met or which another planned one excludes, if there is any.
    pub(crate) fn broken(&mut self) -> Option<u32> {
        let plan = self.plan();
        plan.into_iter().find(|entry| !self.holds(*entry))
    }

    fn holds(&mut self, entry: u32) -> bool {
        let needs = self.book.of(entry);
        needs.malformed.is_none()
            && needs.groups.iter().all(|group| group.need == Need::Recommends || self.satisfied(group))
            && !needs.conflicts.iter().flat_map(|conflict| &conflict.entries).any(|other| self.is_planned(*other))
    }

    fn satisfied(&self, group: &Group<'_>) -> bool {
        group.all().any(|entry| self.is_planned(entry))
    }

    fn state_of(&mut self, entry: u32) -> &mut State {
        &mut self.states[self.universe.entries[entry as usize].slot as usize]
    }

    fn is_candidate(&self, entry: u32) -> bool {
        self.states[self.universe.entries[entry as usize].slot as usize].candidate == entry
    }

    /// Marks a slot's candidate and all it needs.
    fn mark(&mut self, slot: u32, asked: bool) -> bool {
        let mut stack: Vec<Frame<'a>> = Vec::new();
        let mut returned = None;
        match self.enter(slot, asked, 0) {
            Entered::Done(done) => return done,
            Entered::Frame(frame) => stack.push(frame),
        }
        while let Some(frame) = stack.last_mut() {
            if let Some(done) = returned.take() {
                self.returned(frame, done);
            }
            match self.advance(frame) {
                Step::Leave(done) => {
                    stack.pop();
                    returned = Some(done);
                }
                Step::Enter(slot) => match self.enter(slot, false, stack.len()) {
                    Entered::Done(done) => returned = Some(done),
                    Entered::Frame(frame) => stack.push(frame),
                },
            }
        }
        returned.unwrap_or(false)
    }

    fn enter(&mut self, slot: u32, asked: bool, depth: usize) -> Entered<'a> {
        self.steps += 1;
        if self.steps > STEPS_MAX || depth > DEPTH_MAX {
            return Entered::Done(false);
        }
        let state = self.states[slot as usize];
        let on_disk = state.settled && state.planned == state.candidate;
        let changes = state.planned != state.candidate;
        if !asked && changes && state.protected || state.candidate == NONE {
            return Entered::Done(false);
        }
        if !state.protected && (on_disk || !changes && self.holds(state.candidate)) {
            return Entered::Done(true);
        }
        let needs = self.book.of(state.candidate);
        let impossible = needs.malformed.is_some()
            || needs.groups.iter().any(|group| {
                group.need != Need::Recommends
                    && !group.all().any(|entry| self.is_planned(entry) || self.is_candidate(entry))
            });
        if impossible && !on_disk {
            if !state.protected {
                self.states[slot as usize].candidate = NONE;
                self.states[slot as usize].planned = NONE;
            }
            return Entered::Done(false);
        }
        let early = !state.protected && !asked;
        if asked {
            self.states[slot as usize].planned = state.candidate;
        }
        let open = (0u32..).zip(&needs.groups);
        let open = open.filter(|(_, group)| state.protected || !self.satisfied(group)).map(|(at, _)| at).collect();
        let pushed = self.push_out(&needs, state.protected, early);
        if !pushed && early {
            return Entered::Done(false);
        }
        let state = &mut self.states[slot as usize];
        let protected = state.protected;
        state.planned = state.candidate;
        state.protected = true;
        Entered::Frame(Frame { slot, needs, open, at: 0, protected, asked, failed: !pushed, trying: None })
    }

    /// Puts what a package excludes out of the plan; false where that cannot be.
    fn push_out(&mut self, needs: &Needs<'a>, protected: bool, early: bool) -> bool {
        let mut all = true;
        for conflict in &needs.conflicts {
            if !protected && !conflict.entries.iter().any(|entry| self.is_planned(*entry)) {
                continue;
            }
            for entry in &conflict.entries {
                if !self.is_candidate(*entry) {
                    continue;
                }
                let other = self.state_of(*entry);
                if other.planned == *entry && (other.protected || other.settled) {
                    all = false;
                    if early {
                        return false;
                    }
                    continue;
                }
                other.planned = NONE;
                if protected {
                    other.candidate = NONE;
                    other.protected = true;
                }
            }
        }
        all
    }

    fn advance(&mut self, frame: &mut Frame<'a>) -> Step {
        loop {
            if let Some(trying) = &mut frame.trying {
                let sole = trying.solutions.len() == 1;
                match trying.solutions.get(trying.at).copied() {
                    Some(entry) => {
                        trying.at += 1;
                        let (critical, satisfied) = (trying.critical, trying.satisfied);
                        if satisfied || !self.is_candidate(entry) && !self.is_planned(entry) {
                            if satisfied && !self.state_of(entry).protected {
                                self.state_of(entry).protected = true;
                                return Step::Enter(self.universe.entries[entry as usize].slot);
                            }
                            continue;
                        }
                        let slot = self.universe.entries[entry as usize].slot;
                        if frame.protected && critical && sole {
                            // What has no alternative is as good as asked for.
                            let state = &mut self.states[slot as usize];
                            if state.protected && state.planned != state.candidate {
                                continue;
                            }
                            state.planned = state.candidate;
                            state.protected = true;
                        }
                        return Step::Enter(slot);
                    }
                    None => {
                        let (critical, satisfied) = (trying.critical, trying.satisfied);
                        frame.trying = None;
                        if critical && !satisfied {
                            frame.failed = true;
                            if !frame.protected && !frame.asked {
                                return self.leave(frame);
                            }
                        }
                    }
                }
                continue;
            }
            let Some(at) = frame.open.get(frame.at).copied() else { return self.leave(frame) };
            frame.at += 1;
            let group = &frame.needs.groups[at as usize];
            let critical = group.need != Need::Recommends;
            let satisfied = self.satisfied(group);
            if satisfied && (!frame.protected || !critical) {
                continue;
            }
            let solutions = self.solutions(group);
            if satisfied && solutions.len() != 1 {
                continue;
            }
            frame.trying = Some(Trying { solutions, at: 0, critical, satisfied });
        }
    }

    fn returned(&mut self, frame: &mut Frame<'a>, done: bool) {
        let Some(trying) = &frame.trying else { return };
        if trying.satisfied {
            frame.failed |= !done;
            frame.trying = None;
        } else if done {
            frame.trying = None;
        }
    }

    fn leave(&mut self, frame: &Frame<'a>) -> Step {
        let state = &mut self.states[frame.slot as usize];
        state.protected = frame.protected;
        if frame.failed && !frame.protected && !frame.asked && !state.settled {
            state.planned = NONE;
            state.candidate = NONE;
        }
        Step::Leave(!frame.failed)
    }

    /// The candidates that satisfy a group, in the order in which they are tried.
    pub(crate) fn solutions(&self, group: &Group<'_>) -> Vec<u32> {
        let mut solutions: Vec<u32> = Vec::new();
        for alternative in &group.alternatives {
            let from = solutions.len();
            solutions.extend(alternative.entries.iter().copied().filter(|entry| self.is_candidate(*entry)));
            solutions[from..].sort_by(|left, right| self.prefers(alternative.relation.name, *left, *right));
        }
        // Stable: what is on the disk comes before what is new, each in the order found.
        solutions.sort_by_key(|entry| !self.states[self.universe.entries[*entry as usize].slot as usize].settled);
        let universe = self.universe;
        solutions.retain(|entry| {
            let state = self.states[universe.entries[*entry as usize].slot as usize];
            !(state.protected && state.planned == NONE)
        });
        if solutions.len() > 1 {
            let mut seen = HashSet::with_capacity(solutions.len());
            solutions.retain(|entry| seen.insert(*entry));
        }
        solutions
    }

    /// Which of two versions that satisfy one alternative is tried first.
    ///
    /// The order is apt's but for its last word. Of providers that are equal in all else apt takes the one whose name
    /// its cache met last, in the order of stanzas and of every field of them: a push of unrelated packages changes it.
    /// Here it is the first by name, which no push changes.
    fn prefers(&self, name: &str, left: u32, right: u32) -> Ordering {
        let universe = self.universe;
        let key = |entry: u32| {
            let it = &universe.entries[entry as usize];
            let slot = &universe.slots[it.slot as usize];
            let state = &self.states[it.slot as usize];
            (
                !state.protected,
                !state.settled,
                it.package.name != name,
                !slot.essential,
                !it.package.protected,
                slot.architecture,
                it.package.priority,
            )
        };
        let names = |entry: u32| universe.entries[entry as usize].package.name;
        key(left).cmp(&key(right)).then_with(|| names(left).cmp(names(right)))
    }
}

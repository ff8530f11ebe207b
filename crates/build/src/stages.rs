//! The stages of a build as a graph: which are to be built, who builds them, who waits for whom.
//!
//! A stage needs earlier ones only, so that waiting never goes in a circle. The first failure stops all others at their
//! next step, and ends the processes that they run.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use bedplate_sys::CallError;
use bedplate_sys::channel::pipe;
use bedplate_sys::signals::Signals;

use crate::error::{BuildError, StepError};
use crate::stage::StageState;
use crate::step_run::CommandFailure;

/// HUP, INT and TERM.
const INTERRUPTS: [i32; 3] = [1, 2, 15];

/// How far a stage is.
#[derive(Debug)]
enum Slot {
    Waiting,
    Running,
    Done(Box<StageState>),
}

#[derive(Debug)]
struct Table {
    slots: Vec<Slot>,
    /// What each stage needs; `None` for one that the target does not need.
    needs: Vec<Option<Vec<usize>>>,
    failures: Vec<(usize, BuildError)>,
    stopped: bool,
    /// The end of a pipe that is written to in order to end processes. Closing it would not do: processes of this one hold
    /// copies.
    alarm: Option<OwnedFd>,
}

impl Table {
    fn is_ready(&self, index: usize) -> bool {
        let done = |other: &usize| matches!(self.slots.get(*other), Some(Slot::Done(_)));
        matches!(self.slots[index], Slot::Waiting)
            && self.needs[index].as_ref().is_some_and(|needs| needs.iter().all(done))
    }
}

/// All stages of a build, for all its threads.
#[derive(Debug)]
pub(crate) struct Stages {
    table: Mutex<Table>,
    changed: Condvar,
    /// Can be read when the build is stopped; there where several threads work.
    cancel: Option<OwnedFd>,
    /// Signals that end the build, blocked in the threads that are made from now on.
    signals: Option<Signals>,
}

impl Stages {
    /// `needs` says of each stage that the target needs which stages it needs itself.
    pub(crate) fn new(needs: Vec<Option<Vec<usize>>>) -> Self {
        let slots = needs.iter().map(|_| Slot::Waiting).collect();
        let table = Table { slots, needs, failures: Vec::new(), stopped: false, alarm: None };
        Self { table: Mutex::new(table), changed: Condvar::new(), cancel: None, signals: None }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'t>(&self, table: MutexGuard<'t, Table>) -> MutexGuard<'t, Table> {
        self.changed.wait(table).unwrap_or_else(PoisonError::into_inner)
    }

    /// How many threads can be of use: one where each stage needs the one before it.
    pub(crate) fn width(&self) -> usize {
        let table = self.table();
        let needed: Vec<usize> = (0..table.needs.len()).filter(|index| table.needs[*index].is_some()).collect();
        let chained = |pair: &[usize]| match pair {
            [earlier, later] => table.needs[*later].as_ref().is_some_and(|needs| needs.contains(earlier)),
            _ => true,
        };
        if needed.windows(2).all(chained) { 1 } else { needed.len() }
    }

    /// Lets several threads work, whose processes can be ended.
    pub(crate) fn share(&mut self) -> Result<(), CallError> {
        let (reader, writer) = pipe()?;
        self.signals = Some(Signals::take(&INTERRUPTS)?);
        self.cancel = Some(reader);
        self.table().alarm = Some(writer);
        Ok(())
    }

    /// What can be read when the build is stopped; `None` where one thread works.
    pub(crate) fn cancel(&self) -> Option<&OwnedFd> {
        self.cancel.as_ref()
    }

    /// Takes the next stage that can be built, and waits for one; `None` where nothing is left to take.
    pub(crate) fn next(&self) -> Option<usize> {
        let mut table = self.table();
        loop {
            if table.stopped {
                return None;
            }
            let count = table.slots.len();
            if let Some(index) = (0..count).find(|index| table.is_ready(*index)) {
                table.slots[index] = Slot::Running;
                return Some(index);
            }
            let waits = |index: &usize| table.needs[*index].is_some() && matches!(table.slots[*index], Slot::Waiting);
            if !(0..count).any(|index| waits(&index)) {
                return None;
            }
            table = self.wait(table);
        }
    }

    /// Takes a stage that is needed now. Says whether it is the caller's to build; if not, it is done.
    pub(crate) fn claim(&self, index: usize) -> Result<bool, StepError> {
        let mut table = self.table();
        loop {
            match table.slots.get(index) {
                None => return Err(StepError::TooDeep),
                Some(Slot::Done(_)) => return Ok(false),
                _ if table.stopped => return Err(StepError::Stopped),
                Some(Slot::Waiting) => {
                    table.slots[index] = Slot::Running;
                    return Ok(true);
                }
                Some(Slot::Running) => table = self.wait(table),
            }
        }
    }

    /// A stage is built.
    pub(crate) fn finish(&self, index: usize, state: StageState) {
        self.table().slots[index] = Slot::Done(Box::new(state));
        self.changed.notify_all();
    }

    /// A stage failed: all others stop.
    pub(crate) fn fail(&self, index: usize, error: BuildError) {
        let stopped = matches!(&error, BuildError::Step { source, .. } if matches!(**source, StepError::Stopped));
        if !stopped {
            self.table().failures.push((index, error));
        }
        self.stop();
    }

    /// Stops all threads.
    pub(crate) fn stop(&self) {
        let mut table = self.table();
        table.stopped = true;
        if let Some(alarm) = table.alarm.take() {
            // All others wait for their ends then.
            let _ = File::from(alarm).write_all(b"!");
        }
        self.changed.notify_all();
    }

    /// Whether there is reason to go on.
    pub(crate) fn go_on(&self) -> Result<(), StepError> {
        if self.table().stopped {
            return Err(StepError::Stopped);
        }
        // Threads that run no process do not wait for signals, which are blocked in all of them.
        match self.signals.as_ref().and_then(|signals| signals.next().ok().flatten()) {
            Some(signal) => Err(StepError::Command(CommandFailure::Interrupted { signal })),
            None => Ok(()),
        }
    }

    /// Why a process failed: by itself, or since the build was stopped.
    pub(crate) fn why(&self, failure: CommandFailure) -> StepError {
        if self.table().stopped { StepError::Stopped } else { StepError::Command(failure) }
    }

    /// Looks at a stage that is built.
    pub(crate) fn done<T>(
        &self,
        index: usize,
        look: impl FnOnce(&mut StageState) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        match self.table().slots.get_mut(index) {
            Some(Slot::Done(state)) => look(state),
            _ => Err(StepError::TooDeep),
        }
    }

    /// Ends the build: the target, or the failure of the first stage that has one.
    pub(crate) fn into_target(self, target: usize) -> Result<Option<StageState>, BuildError> {
        let mut table = self.table.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = (0..table.failures.len()).min_by_key(|at| table.failures[*at].0) {
            return Err(table.failures.swap_remove(first).1);
        }
        Ok(match table.slots.swap_remove(target) {
            Slot::Done(state) => Some(*state),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_for_one_thread() {
        let width = |needs: &[Option<&[usize]>]| {
            Stages::new(needs.iter().map(|needs| needs.map(<[usize]>::to_vec)).collect()).width()
        };
        assert_eq!(width(&[Some(&[])]), 1);
        assert_eq!(width(&[Some(&[]), None, Some(&[0]), Some(&[2, 0])]), 1);
        assert_eq!(width(&[Some(&[]), Some(&[]), Some(&[0, 1])]), 3);
    }

    #[test]
    fn stages_are_taken_when_what_they_need_is_done() {
        let stages = Stages::new(vec![Some(vec![]), Some(vec![]), None, Some(vec![1])]);
        assert_eq!((stages.next(), stages.next()), (Some(0), Some(1)));
        stages.stop();
        assert_eq!(stages.next(), None);
        assert!(matches!(stages.claim(3), Err(StepError::Stopped)));
    }
}

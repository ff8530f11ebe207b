//! Which of several failures is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The failure at the lowest position of all that are worked on at once.
///
/// What stands before it is still worked on and what stands after it is not, so that the failure which is told does not
/// hang on which thread was faster.
#[derive(Debug)]
pub struct FirstFailure<E> {
    /// Positions from here on are of no use any more.
    end: AtomicUsize,
    found: Mutex<Option<(usize, E)>>,
}

impl<E> Default for FirstFailure<E> {
    fn default() -> Self {
        Self { end: AtomicUsize::new(usize::MAX), found: Mutex::new(None) }
    }
}

impl<E> FirstFailure<E> {
    /// Records the failure of what stands at a position.
    pub fn record(&self, position: usize, error: E) {
        self.end.fetch_min(position, Ordering::Relaxed);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.as_ref().is_none_or(|(first, _)| position < *first) {
            *found = Some((position, error));
        }
    }

    /// Ends all work: the next attempt would fail as this one did.
    pub fn stop(&self) {
        self.end.store(0, Ordering::Relaxed);
    }

    /// Tells whether what stands at a position is still of use.
    #[must_use]
    pub fn wants(&self, position: usize) -> bool {
        position < self.end.load(Ordering::Relaxed)
    }

    /// Gives the failure, after all work has ended.
    ///
    /// # Errors
    /// The recorded failure at the lowest position.
    pub fn into_result(self) -> Result<(), E> {
        match self.found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_position_is_told_whoever_came_first() {
        let first = FirstFailure::default();
        assert!(first.wants(7));
        for position in [7, 2, 5] {
            first.record(position, position);
        }
        assert!(first.wants(1) && !first.wants(2) && !first.wants(9));
        assert_eq!(first.into_result(), Err(2));
    }

    #[test]
    fn a_stop_ends_all() {
        let first = FirstFailure::default();
        first.record(3, "gone");
        first.stop();
        assert!(!first.wants(0));
        assert_eq!(first.into_result(), Err("gone"));
    }
}

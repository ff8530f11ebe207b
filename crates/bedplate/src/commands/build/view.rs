//! What a build shows while it runs.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use bedplate_build::{Event, StepId};

use crate::context::Context;

/// The most that is kept of a quiet step's output, in bytes.
const MAX_KEPT: usize = 64 * 1024;

/// Shows a build to its user.
pub(super) struct View<'a> {
    context: &'a Context,
    quiet: bool,
    /// What the steps at hand wrote, of a quiet build.
    kept: BTreeMap<StepId, Vec<u8>>,
}

impl<'a> View<'a> {
    pub(super) fn new(context: &'a Context, quiet: bool) -> Self {
        Self { context, quiet, kept: BTreeMap::new() }
    }

    pub(super) fn show(&mut self, event: &Event<'_>) {
        // A closed stderr is the user's choice.
        let mut stderr = io::stderr();
        match event {
            Event::Step { stage, number, count, text, .. } if !self.quiet => {
                let _ = writeln!(stderr, "[{stage} {number}/{count}] {text}");
            }
            Event::Cached { .. } if !self.quiet => {
                let _ = writeln!(stderr, "  cached");
            }
            Event::Output { bytes, .. } if !self.quiet => {
                let _ = stderr.write_all(bytes);
            }
            Event::Output { id, bytes } => {
                let kept = self.kept.entry(*id).or_default();
                kept.extend_from_slice(bytes);
                if kept.len() > MAX_KEPT {
                    kept.drain(..kept.len() - MAX_KEPT);
                }
            }
            Event::Done { id } => {
                self.kept.remove(id);
            }
            Event::Remark(remark) if !self.quiet => self.context.warn(remark),
            _ => {}
        }
    }

    /// Of a quiet build, what the command that failed said is wanted after all.
    pub(super) fn failed(&self) {
        for kept in self.kept.values() {
            let _ = io::stderr().write_all(kept);
        }
    }
}

//! Lines, in the form of BuildKit's plain progress.
//!
//! ```text
//! #2 [stage-0 2/3] RUN make
//! #2 0.123 cc -c main.c
//! #2 DONE 0.4s
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use bedplate_build::{Event, StepId};

use super::steps::{State, Steps};
use super::{Renderer, seconds, tell};

/// The longest line that waits for its end, in bytes: a longer one is shown in parts.
const OPEN_LINE: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Plain {
    /// The step that was spoken of last.
    last: Option<StepId>,
    /// Lines that have no end yet.
    open: BTreeMap<StepId, Vec<u8>>,
}

impl Plain {
    /// Says of which step the next lines are.
    fn of(&mut self, text: &mut String, steps: &Steps, id: StepId) {
        if self.last == Some(id) {
            return;
        }
        if let Some(last) = self.last.replace(id) {
            if steps.get(last).is_some_and(|step| step.state == State::Running) {
                let _ = writeln!(text, "#{} ...", last.0);
            }
            text.push('\n');
        }
        if let Some(step) = steps.get(id) {
            let _ = writeln!(text, "#{} {}", id.0, step.name);
        }
    }

    /// Writes what a step wrote, line by line; what has no end yet waits, but for the last time.
    fn lines(&mut self, text: &mut String, steps: &Steps, id: StepId, bytes: &[u8], now: Duration, is_end: bool) {
        let mut all = self.open.remove(&id).unwrap_or_default();
        all.extend_from_slice(bytes);
        let complete = match all.iter().rposition(|byte| *byte == b'\n') {
            _ if is_end || all.len() > OPEN_LINE => all.len(),
            Some(at) => at + 1,
            None => 0,
        };
        let rest = all.split_off(complete);
        if !rest.is_empty() {
            self.open.insert(id, rest);
        }
        if all.is_empty() {
            return;
        }
        self.of(text, steps, id);
        let began = steps.get(id).map_or(now, |step| step.began);
        let at = now.saturating_sub(began).as_secs_f64();
        let body = all.strip_suffix(b"\n").unwrap_or(&all);
        for line in body.split(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(line);
            let _ = writeln!(text, "#{} {at:.3} {}", id.0, line.trim_end_matches('\r'));
        }
    }
}

impl Renderer for Plain {
    fn event(&mut self, steps: &Steps, event: &Event<'_>, now: Duration) {
        let mut text = String::new();
        match event {
            Event::Step { id, .. } => self.of(&mut text, steps, *id),
            Event::Output { id, bytes } => self.lines(&mut text, steps, *id, bytes, now, false),
            Event::Done { id, .. } | Event::Failed { id, .. } => {
                self.lines(&mut text, steps, *id, b"", now, true);
                self.of(&mut text, steps, *id);
                if let Some(step) = steps.get(*id) {
                    let _ = match step.state {
                        State::Cached => writeln!(text, "#{} CACHED", id.0),
                        State::Failed => {
                            writeln!(text, "#{} ERROR: {}", id.0, step.error.as_deref().unwrap_or_default())
                        }
                        State::Stopped => writeln!(text, "#{} CANCELED", id.0),
                        State::Running | State::Done => {
                            writeln!(text, "#{} DONE {}", id.0, seconds(step.took(now)))
                        }
                    };
                }
            }
            _ => {}
        }
        tell(&text);
    }

    fn remark(&mut self, _steps: &Steps, text: &str, _now: Duration) {
        tell(&format!("{text}\n"));
    }
}

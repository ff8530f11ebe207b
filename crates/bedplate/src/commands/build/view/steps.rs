//! What is known of the steps of a build.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bedplate_build::{Event, StepId, in_words};

/// How many lines of a step's output are kept.
const KEPT_LINES: usize = 20;

/// The longest line that is kept, in bytes; the beginning of a longer one is cut off.
const KEPT_BYTES: usize = 4096;

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Done,
    Cached,
    Failed,
    /// Another step failed.
    Stopped,
}

/// A step.
#[derive(Debug)]
pub(super) struct Step {
    /// `[stage 2/4] RUN make`.
    pub(super) name: String,
    pub(super) state: State,
    pub(super) began: Duration,
    pub(super) ended: Option<Duration>,
    /// The bytes of its layer.
    pub(super) size: Option<u64>,
    /// Why it failed.
    pub(super) error: Option<String>,
    pub(super) output: Output,
}

impl Step {
    /// How long it took, or takes so far.
    pub(super) fn took(&self, now: Duration) -> Duration {
        self.ended.unwrap_or(now).saturating_sub(self.began)
    }
}

/// The last lines that a step wrote.
#[derive(Debug, Default)]
pub(super) struct Output {
    lines: VecDeque<Vec<u8>>,
    /// A line that has no end yet.
    open: Vec<u8>,
}

impl Output {
    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (line, ends) = match piece {
                [line @ .., b'\n'] => (line, true),
                line => (line, false),
            };
            self.open.extend_from_slice(line);
            let excess = self.open.len().saturating_sub(KEPT_BYTES);
            self.open.drain(..excess);
            if ends {
                if self.lines.len() == KEPT_LINES {
                    self.lines.pop_front();
                }
                self.lines.push_back(std::mem::take(&mut self.open));
            }
        }
    }

    /// The last lines as a terminal would show them.
    pub(super) fn last_lines(&self) -> Vec<String> {
        let open = (!self.open.is_empty()).then_some(&self.open);
        let lines: Vec<String> = self.lines.iter().chain(open).map(|line| printable(line)).collect();
        lines[lines.len().saturating_sub(KEPT_LINES)..].to_vec()
    }
}

/// A line without what would move the cursor or change colors; of what a carriage return overwrites, the last stays.
pub(super) fn printable(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end_matches('\r');
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut text = String::new();
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => match rest.next() {
                // A control sequence ends with a letter, or one of a few signs.
                Some('[') => while rest.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {},
                // An operating system command ends with BEL, or with ESC and a backslash.
                Some(']') => while rest.next().is_some_and(|c| c != '\u{7}' && c != '\\') {},
                _ => {}
            },
            '\t' => text.push_str("    "),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

/// The steps that have begun, in this order.
#[derive(Debug, Default)]
pub(super) struct Steps(BTreeMap<StepId, Step>);

impl Steps {
    /// Takes note of an event.
    pub(super) fn take(&mut self, event: &Event<'_>, now: Duration) {
        match event {
            Event::Step { id, stage, number, count, text } => {
                let step = Step {
                    name: format!("[{stage} {number}/{count}] {text}"),
                    state: State::Running,
                    began: now,
                    ended: None,
                    size: None,
                    error: None,
                    output: Output::default(),
                };
                self.0.insert(*id, step);
            }
            Event::Cached { id } => self.change(*id, |step| step.state = State::Cached),
            Event::Output { id, bytes } => self.change(*id, |step| step.output.push(bytes)),
            Event::Done { id, size } => self.change(*id, |step| {
                step.ended = Some(now);
                step.size = *size;
                if step.state == State::Running {
                    step.state = State::Done;
                }
            }),
            Event::Failed { id, error } => self.change(*id, |step| {
                step.ended = Some(now);
                step.state = if error.is_stop() { State::Stopped } else { State::Failed };
                step.error = Some(in_words(*error));
            }),
            _ => {}
        }
    }

    fn change(&mut self, id: StepId, change: impl FnOnce(&mut Step)) {
        if let Some(step) = self.0.get_mut(&id) {
            change(step);
        }
    }

    pub(super) fn get(&self, id: StepId) -> Option<&Step> {
        self.0.get(&id)
    }

    /// All steps, in the order in which they began.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_can_be_shown() {
        let mut output = Output::default();
        for number in 0..30 {
            output.push(format!("line {number}\nhalf").as_bytes());
            output.push(b"\n");
        }
        output.push(b"open");
        let lines = output.last_lines();
        assert_eq!((lines.len(), lines[19].as_str(), lines[18].as_str()), (KEPT_LINES, "open", "half"));
        output.push(&[b'x'; 3 * KEPT_BYTES]);
        assert!(output.last_lines()[19].len() <= KEPT_BYTES);
    }

    #[test]
    fn lines_lose_what_would_move_the_cursor() {
        let table = [
            ("plain", "plain"),
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("10%\r50%\r100%\r", "100%"),
            ("a\tb\u{8}c", "a    bc"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}[2K\u{1b}[1Aup", "up"),
            ("cut \u{1b}[", "cut "),
        ];
        for (line, expected) in table {
            assert_eq!(printable(line.as_bytes()), expected, "{line:?}");
        }
    }
}

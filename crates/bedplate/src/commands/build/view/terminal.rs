//! A live view: a line for each step, with the last lines of those that run.
//!
//! ```text
//! [+] Building 3.2s (2/3)
//!  => CACHED [stage-0 1/3] FROM base                                  0.0s
//!  => [stage-0 2/3] COPY . /src                          12.3MB       0.1s
//!  => [stage-0 3/3] RUN make                                          3.1s
//!  => => # cc -c main.c
//! ```

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use bedplate_build::Event;
use bedplate_sys::terminal;

use super::colors::Colors;
use super::steps::{State, Step, Steps};
use super::{Renderer, seconds, tell};
use crate::format;

/// How many lines of a running step are shown.
const SHOWN_LINES: usize = 6;

/// The least time between two pictures of which only output differs.
const PACE: Duration = Duration::from_millis(50);

/// The size where the terminal does not tell one.
const SIZE: (usize, usize) = (24, 80);

#[derive(Debug)]
pub(super) struct Terminal {
    colors: Colors,
    /// How many lines of the last picture are to be drawn over.
    drawn: usize,
    at: Option<Duration>,
}

impl Terminal {
    pub(super) fn new() -> Self {
        Self { colors: Colors::from_environment(), drawn: 0, at: None }
    }

    fn draw(&mut self, steps: &Steps, now: Duration, is_last: bool) {
        let size = terminal::size(io::stderr());
        let (rows, width) = size.map_or(SIZE, |size| (usize::from(size.ws_row), usize::from(size.ws_col)));
        let lines = picture(steps, now, width, (!is_last).then(|| rows.saturating_sub(1)), &self.colors);
        tell(&self.over(&lines));
        self.drawn = if is_last { 0 } else { lines.len() };
        self.at = Some(now);
    }

    /// What draws lines over the last picture.
    fn over(&self, lines: &[String]) -> String {
        let mut text = String::new();
        if self.drawn > 0 {
            let _ = write!(text, "\u{1b}[{}A", self.drawn);
        }
        for line in lines {
            let _ = write!(text, "\r\u{1b}[2K{line}\n");
        }
        text.push_str("\u{1b}[J");
        text
    }
}

impl Renderer for Terminal {
    fn event(&mut self, steps: &Steps, event: &Event<'_>, now: Duration) {
        let soon = self.at.is_some_and(|at| now.saturating_sub(at) < PACE);
        if !(soon && matches!(event, Event::Output { .. })) {
            self.draw(steps, now, false);
        }
    }

    fn remark(&mut self, steps: &Steps, text: &str, now: Duration) {
        let lines: Vec<String> = text.lines().map(|line| Colors::paint(&self.colors.warning, line)).collect();
        tell(&self.over(&lines));
        self.drawn = 0;
        self.draw(steps, now, false);
    }

    fn end(&mut self, steps: &Steps, now: Duration) {
        if steps.all().next().is_some() {
            self.draw(steps, now, true);
        }
    }
}

/// The lines of a picture; without a limit it is the last one, which stays.
fn picture(steps: &Steps, now: Duration, width: usize, limit: Option<usize>, colors: &Colors) -> Vec<String> {
    let total = steps.all().count();
    let ended = steps.all().filter(|step| step.ended.is_some()).count();
    let failed = steps.all().any(|step| step.state == State::Failed);
    let mark = match (limit, failed) {
        (Some(_), _) => "",
        (None, true) => " ERROR",
        (None, false) => " FINISHED",
    };
    let head = fit(&format!("[+] Building {} ({ended}/{total}){mark}", seconds(now)), width);
    let mut groups: Vec<(bool, Vec<String>)> = Vec::new();
    for step in steps.all() {
        let mut lines = vec![line(step, now, width, colors)];
        if step.state == State::Running && limit.is_some() {
            let output = step.output.last_lines();
            let shown = &output[output.len().saturating_sub(SHOWN_LINES)..];
            lines.extend(shown.iter().map(|line| fit(&format!(" => => # {line}"), width)));
        }
        groups.push((step.state == State::Running, lines));
    }
    // Where there is no room for all, the oldest that have ended go first.
    let room = limit.unwrap_or(usize::MAX).saturating_sub(1).max(1);
    let mut count: usize = groups.iter().map(|(_, lines)| lines.len()).sum();
    groups.retain(|(running, lines)| {
        let goes = count > room && !running;
        count -= if goes { lines.len() } else { 0 };
        !goes
    });
    let mut lines: Vec<String> = groups.into_iter().flat_map(|(_, lines)| lines).collect();
    lines.truncate(room);
    lines.insert(0, head);
    lines
}

fn line(step: &Step, now: Duration, width: usize, colors: &Colors) -> String {
    let (mark, color) = match step.state {
        State::Running => ("", ""),
        State::Done => ("", colors.run.as_str()),
        State::Cached => ("CACHED ", colors.run.as_str()),
        State::Failed => ("ERROR ", colors.error.as_str()),
        State::Stopped => ("CANCELED ", colors.cancel.as_str()),
    };
    let size = step.size.filter(|size| *size > 0).map_or_else(String::new, format::size);
    let right = format!(" {size:>8} {:>7}", seconds(step.took(now)));
    let left = fit(&format!(" => {mark}{}", step.name), width.saturating_sub(right.len()));
    let room = width.saturating_sub(right.len());
    Colors::paint(color, &format!("{left:room$}{right}"))
}

/// Text that is at most so wide.
fn fit(text: &str, width: usize) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match one_line.char_indices().nth(width) {
        // The last column stays free for the sign that something is missing.
        Some(_) if width > 0 => one_line.chars().take(width - 1).chain(['\u{2026}']).collect(),
        Some(_) => String::new(),
        None => one_line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedplate_build::StepId;

    fn step(steps: &mut Steps, id: usize, text: &str) {
        let event = Event::Step { id: StepId(id), stage: "stage-0", number: id, count: 9, text };
        steps.take(&event, Duration::from_secs(id as u64));
    }

    #[test]
    fn a_picture_has_times_sizes_marks_and_output_and_fits() {
        let mut steps = Steps::default();
        let end = |steps: &mut Steps, id, size| {
            steps.take(&Event::Done { id: StepId(id), size }, Duration::from_millis(1500 + 1000 * (id as u64 - 1)));
        };
        step(&mut steps, 1, "FROM base");
        end(&mut steps, 1, None);
        step(&mut steps, 2, "COPY . /src");
        steps.take(&Event::Cached { id: StepId(2) }, Duration::from_secs(2));
        end(&mut steps, 2, Some(12_300_000));
        step(&mut steps, 3, "RUN make");
        steps.take(&Event::Output { id: StepId(3), bytes: b"one\ntwo\n\x1b[31mthree" }, Duration::from_secs(3));
        let colors = Colors::default();
        let lines = picture(&steps, Duration::from_secs(5), 60, Some(24), &colors);
        assert_eq!(
            lines,
            [
                "[+] Building 5.0s (2/3)",
                " => [stage-0 1/9] FROM base                             0.5s",
                " => CACHED [stage-0 2/9] COPY . /src          12.3MB    0.5s",
                " => [stage-0 3/9] RUN make                              2.0s",
                " => => # one",
                " => => # two",
                " => => # three",
            ]
            .map(|line| line.to_owned())
        );
        assert!(picture(&steps, Duration::from_secs(5), 20, Some(24), &colors).iter().all(|l| l.chars().count() <= 20));
        let small = picture(&steps, Duration::from_secs(5), 60, Some(5), &colors);
        assert_eq!(small.len(), 5, "{small:?}");
        assert!(small[1].contains("RUN make"), "what runs stays: {small:?}");
        let last = picture(&steps, Duration::from_secs(5), 60, None, &colors);
        assert!(last.len() == 4 && last[0].ends_with("FINISHED"), "{last:?}");
    }
}

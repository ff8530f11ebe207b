//! What a build shows while it runs: `--progress auto|tty|plain|rawjson|quiet`.
//!
//! ```text
//! Event --> Steps (what is known of each step) --> Terminal | Plain | RawJson, on stderr
//! ```
//!
//! There is no thread that draws: a build as a plain user must have one thread until it has its rights. Steps that run
//! give a sign of life now and then instead, [`Event::Output`] without bytes.

mod colors;
mod plain;
mod rawjson;
mod steps;
mod terminal;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use bedplate_build::{Event, Remark};

use self::plain::Plain;
use self::rawjson::RawJson;
use self::steps::{State, Steps};
use self::terminal::Terminal;
use super::check::Findings;
use super::input::Input;
use crate::context::Context;
use crate::failure::{Failure, Kind};

/// The environment variable that says how to show a build where the command line does not.
const VARIABLE: &str = "BUILDKIT_PROGRESS";

/// How a build is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Progress {
    /// tty on a terminal, else plain
    Auto,
    /// A live view of the steps
    Tty,
    /// Lines, as steps begin, write and end
    Plain,
    /// One JSON object a line, in the form of BuildKit's status
    Rawjson,
    /// Nothing but errors and the image ID
    Quiet,
}

impl Progress {
    /// The flag, else the environment, else `auto`; never `auto` itself.
    ///
    /// # Errors
    /// A variable that is none of the names.
    pub(super) fn resolve(flag: Option<Self>, quiet: bool, context: &Context) -> Result<Self, Failure> {
        let variable = || std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
        let chosen = match (quiet, flag, variable()) {
            (true, ..) => Self::Quiet,
            (false, Some(flag), _) => flag,
            (false, None, None) => Self::Auto,
            (false, None, Some(text)) => clap::ValueEnum::from_str(&text, false).map_err(|_| {
                let why = format!("{VARIABLE} is {text:?}: expected auto, tty, plain, rawjson or quiet");
                Failure::new(Kind::User, why)
            })?,
        };
        Ok(match chosen {
            Self::Auto if context.stderr_is_terminal => Self::Tty,
            Self::Auto => Self::Plain,
            other => other,
        })
    }
}

/// What draws.
trait Renderer: Send {
    /// Something happened to a step; `steps` knows it already.
    fn event(&mut self, steps: &Steps, event: &Event<'_>, now: Duration);

    /// Somebody has something to say that is of no step.
    fn remark(&mut self, steps: &Steps, text: &str, now: Duration);

    /// There is nothing more to come.
    fn end(&mut self, _steps: &Steps, _now: Duration) {}
}

/// Shows a build to its user.
pub(super) struct View {
    steps: Steps,
    began: Instant,
    progress: Progress,
    /// `None` where nothing is shown.
    renderer: Option<Box<dyn Renderer>>,
}

impl View {
    pub(super) fn new(progress: Progress, context: &Context) -> Self {
        let renderer: Option<Box<dyn Renderer>> = match progress {
            Progress::Quiet => None,
            Progress::Rawjson => Some(Box::new(RawJson::new(context.now))),
            Progress::Tty => Some(Box::new(Terminal::new())),
            Progress::Auto | Progress::Plain => Some(Box::new(Plain::default())),
        };
        Self { steps: Steps::default(), began: Instant::now(), progress, renderer }
    }

    pub(super) fn show(&mut self, event: &Event<'_>) {
        let now = self.began.elapsed();
        self.steps.take(event, now);
        let Some(renderer) = &mut self.renderer else { return };
        match event {
            Event::Remark(remark) => renderer.remark(&self.steps, &worded(remark), now),
            event => renderer.event(&self.steps, event, now),
        }
    }

    /// The build succeeded: the last state stays readable, and what the checks found is said.
    pub(super) fn succeeded(&mut self, findings: &Findings, input: &Input) {
        self.end();
        match self.progress {
            Progress::Quiet => {}
            Progress::Rawjson => RawJson::findings(findings, input),
            _ => findings.say(),
        }
    }

    /// The build failed: what the commands that failed wrote last is shown together.
    pub(super) fn failed(&mut self) {
        self.end();
        if self.progress == Progress::Rawjson {
            return;
        }
        let mut text = String::new();
        for step in self.steps.all().filter(|step| step.state == State::Failed) {
            let lines = step.output.last_lines();
            if lines.is_empty() {
                continue;
            }
            let _ = writeln!(text, "------\n > {}:", step.name);
            for line in lines {
                let _ = writeln!(text, "{line}");
            }
            text.push_str("------\n");
        }
        tell(&text);
    }

    fn end(&mut self) {
        if let Some(renderer) = &mut self.renderer {
            renderer.end(&self.steps, self.began.elapsed());
        }
    }
}

fn worded(remark: &Remark) -> String {
    format!("warning: {remark}")
}

/// Writes to stderr; a closed one is the user's choice.
fn tell(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Seconds as BuildKit shows them.
fn seconds(time: Duration) -> String {
    format!("{:.1}s", time.as_secs_f64())
}

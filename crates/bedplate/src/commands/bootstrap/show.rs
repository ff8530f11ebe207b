//! Progress of a bootstrap: one line a phase on a terminal, plain lines elsewhere, or JSON for programs.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bedplate_bootstrap::acquire::{self, Stage};
use bedplate_bootstrap::{Event, Observer, Step};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde_json::json;

use super::Display;
use super::arguments::Form;
use crate::context::Context;

/// Shows what happens.
pub(super) struct Shown<'a> {
    context: &'a Context,
    manner: Manner,
    state: Mutex<State>,
    /// When the last byte came.
    heard: Arc<Mutex<Instant>>,
}

enum Manner {
    Silent,
    Bars,
    Lines,
    Json,
}

#[derive(Default)]
struct State {
    phase: &'static str,
    bar: Option<ProgressBar>,
    packages: usize,
    bytes: u64,
    /// Packages on their way from the archive.
    fetching: usize,
    decoded: usize,
    scripts: usize,
    waves: usize,
}

const BYTES: &str = "{msg:12} {bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {prefix}{silence}";
const ANSWERS: &str = "{msg:12} {bar:30} {pos}/{len} {prefix}{silence}";
const COUNT: &str = "{msg:12} {bar:30} {pos}/{len} {prefix}";
const SPIN: &str = "{msg:12} {prefix}";

/// How long nothing may come before that is said.
const PATIENCE: Duration = Duration::from_secs(5);

impl<'a> Shown<'a> {
    pub(super) fn new(context: &'a Context, form: Form, quiet: bool) -> Self {
        let manner = match form {
            _ if quiet => Manner::Silent,
            Form::Json => Manner::Json,
            Form::Auto if context.stderr_is_terminal => Manner::Bars,
            Form::Auto | Form::Plain => Manner::Lines,
        };
        Self { context, manner, state: Mutex::default(), heard: Arc::new(Mutex::new(Instant::now())) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Begins a phase, unless it has begun.
    fn phase(&self, name: &'static str, length: Option<u64>, template: &str, detail: impl FnOnce() -> String) {
        let mut state = self.state();
        if state.phase == name {
            return;
        }
        end(&mut state);
        self.hear();
        state.phase = name;
        match self.manner {
            Manner::Silent => {}
            Manner::Lines => {
                let detail = detail();
                let gap = if detail.is_empty() { "" } else { " " };
                // A closed stderr is the user's choice.
                let _ = writeln!(io::stderr(), "{name}{gap}{detail}");
            }
            Manner::Json => say(&json!({"phase": name, "total": length})),
            Manner::Bars => {
                let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr_with_hz(10));
                let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
                let heard = Arc::clone(&self.heard);
                bar.set_style(style.with_key("silence", move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                    let silence = heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
                    if silence >= PATIENCE {
                        // What a bar shows goes into a string.
                        let _ = write!(out, " nothing came for {} s", silence.as_secs());
                    }
                }));
                bar.set_message(name);
                // A thread of its own, which must be gone when scripts run: their container is cloned off this process.
                if template.contains("{silence}") {
                    bar.enable_steady_tick(Duration::from_millis(250));
                }
                state.bar = Some(bar);
            }
        }
    }

    fn advance(&self, by: u64, what: &str) {
        let state = self.state();
        if let Some(bar) = &state.bar {
            bar.inc(by);
            if !what.is_empty() {
                bar.set_prefix(what.to_owned());
            }
        }
        if matches!(self.manner, Manner::Json) && !what.is_empty() {
            say(&json!({"phase": state.phase, "item": what, "amount": by}));
        }
    }

    /// Shows that a package is decoded: beside its download as long as there are any, then in a line of its own.
    fn decoded(&self, name: &str) {
        let (packages, decoded, fetching) = {
            let mut state = self.state();
            state.decoded += 1;
            (state.packages, state.decoded, state.fetching)
        };
        if fetching > 0 && !matches!(self.manner, Manner::Json) {
            return self.advance(0, &format!("{decoded}/{packages} decoded"));
        }
        self.phase("decoding", Some(packages as u64), COUNT, || format!("{packages} packages"));
        match &self.state().bar {
            Some(bar) => {
                bar.set_position(decoded as u64);
                bar.set_prefix(name.to_owned());
            }
            None if matches!(self.manner, Manner::Json) => {
                say(&json!({"phase": "decoding", "item": name, "amount": 1}))
            }
            None => {}
        }
    }

    fn remark(&self, text: &dyn std::fmt::Display) {
        self.tell("warning", text, || self.context.warn(text));
    }

    fn tell(&self, key: &str, text: &dyn std::fmt::Display, say_it: impl FnOnce()) {
        match self.manner {
            Manner::Json => say(&json!({key: text.to_string()})),
            Manner::Silent => {}
            Manner::Bars | Manner::Lines => match &self.state().bar {
                Some(bar) => bar.suspend(say_it),
                None => say_it(),
            },
        }
    }

    fn acquiring(&self, event: acquire::Event<'_>) {
        match event {
            acquire::Event::Notice(notice) => {
                let key = if notice.is_note() { "note" } else { "warning" };
                self.tell(key, notice, || self.context.notice(notice));
            }
            acquire::Event::Planned { stage, items, bytes, cached } => {
                let name = match stage {
                    Stage::Releases => "releases",
                    Stage::Indexes => "indexes",
                    Stage::Packages => "packages",
                };
                if stage == Stage::Packages {
                    self.state().fetching = items;
                }
                if items == 0 && cached > 0 {
                    return;
                }
                let (length, template) = if bytes > 0 { (bytes, BYTES) } else { (items as u64, ANSWERS) };
                let size = || match bytes {
                    0 => format!("{items}"),
                    _ => format!("{items} of {}", crate::format::size(bytes)),
                };
                self.phase(name, Some(length), template, size);
            }
            acquire::Event::Received { bytes, .. } => {
                self.hear();
                self.advance(bytes, "");
            }
            acquire::Event::Done { stage: Stage::Releases, name } => self.advance(1, name),
            acquire::Event::Done { stage: Stage::Packages, .. } => {
                let mut state = self.state();
                state.fetching = state.fetching.saturating_sub(1);
            }
            acquire::Event::Done { .. } => {}
            acquire::Event::Retrying { error, pause, .. } => {
                self.remark(&format!("{error}; trying again in {} ms", pause.as_millis()));
            }
        }
    }
}

impl Display for Shown<'_> {
    fn kept(&self) {
        self.phase("kept", None, SPIN, || "from the same packages and options before".to_owned());
    }

    fn writing(&self) {
        self.phase("writing", None, SPIN, String::new);
    }

    fn finish(&self) {
        let mut state = self.state();
        end(&mut state);
        if matches!(self.manner, Manner::Json) {
            say(&json!({"phase": "done"}));
        }
    }
}

impl Observer for Shown<'_> {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Acquire(event) => self.acquiring(event),
            Event::Chosen { packages, bytes } => {
                let mut state = self.state();
                (state.packages, state.bytes) = (packages, bytes);
            }
            Event::Decoded { name, .. } => self.decoded(name),
            Event::Install(Step::Unpacked(count)) => {
                let wave = {
                    let mut state = self.state();
                    state.waves += 1;
                    state.waves
                };
                tracing::debug!(count, wave, "unpacked");
            }
            Event::Install(Step::Script(name)) => {
                let packages = {
                    let mut state = self.state();
                    state.scripts += 1;
                    state.packages
                };
                self.phase("configuring", Some(packages as u64), COUNT, || format!("{packages} packages"));
                if let Some(bar) = &self.state().bar {
                    bar.set_prefix(name.to_owned());
                }
            }
            Event::Install(Step::Configured(name)) => self.advance(1, name),
            Event::Install(Step::Said(line)) => tracing::debug!(line, "script"),
            Event::Finished(note) => tracing::debug!(%note, "finish"),
            Event::Remark(text) => self.remark(&text),
            _ => {}
        }
    }
}

fn end(state: &mut State) {
    if let Some(bar) = state.bar.take() {
        bar.finish_and_clear();
    }
}

fn say(value: &serde_json::Value) {
    // A closed stderr is the user's choice.
    let _ = writeln!(io::stderr(), "{value}");
}

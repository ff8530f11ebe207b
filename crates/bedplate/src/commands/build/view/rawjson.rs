//! One JSON object a line, in the form of BuildKit's `SolveStatus`: for programs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bedplate_build::{Event, StepId};
use bedplate_fetch::base64;
use bedplate_oci::{Created, Digest};
use serde_json::{Value, json};

use super::steps::{State, Step, Steps};
use super::{Renderer, tell};
use crate::commands::build::check::{Findings, location};
use crate::commands::build::input::Input;

/// The level of a warning of the checks, as BuildKit gives it.
const LEVEL: u32 = 1;

#[derive(Debug)]
pub(super) struct RawJson {
    /// When the build began.
    began: SystemTime,
}

impl RawJson {
    pub(super) fn new(began: SystemTime) -> Self {
        Self { began }
    }

    fn time(&self, at: Duration) -> String {
        let since = (self.began + at).duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        Created::new(seconds, since.subsec_nanos()).to_string()
    }

    fn vertex(&self, id: StepId, step: &Step) -> Value {
        let mut value = json!({
            "digest": vertex(id, step),
            "name": step.name,
            "started": self.time(step.began),
        });
        if let Some(ended) = step.ended {
            value["completed"] = self.time(ended).into();
        }
        if step.state == State::Cached {
            value["cached"] = true.into();
        }
        if let Some(error) = &step.error {
            value["error"] = error.as_str().into();
        }
        value
    }

    /// Says what the checks found.
    pub(super) fn findings(findings: &Findings, input: &Input) {
        if findings.warnings().is_empty() {
            return;
        }
        let source = json!({
            "filename": input.name, "language": "Dockerfile", "data": base64(&input.dockerfile),
        });
        let warning = |warning: &bedplate_dockerfile::Warning| {
            let rule = warning.rule();
            let mut value = json!({
                "vertex": Digest::of(&input.dockerfile).to_string(),
                "level": LEVEL,
                "short": base64(warning.to_string().as_bytes()),
                "detail": [base64(rule.description().as_bytes())],
            });
            if let Some(url) = rule.url() {
                value["url"] = url.into();
            }
            value["sourceInfo"] = source.clone();
            value["range"] = location(warning.span)["ranges"].clone();
            value
        };
        line(&json!({"warnings": findings.warnings().iter().map(warning).collect::<Vec<_>>()}));
    }
}

/// What identifies a step in a build.
fn vertex(id: StepId, step: &Step) -> String {
    Digest::of(format!("{} {}", id.0, step.name).as_bytes()).to_string()
}

fn line(value: &Value) {
    tell(&format!("{value}\n"));
}

impl Renderer for RawJson {
    fn event(&mut self, steps: &Steps, event: &Event<'_>, now: Duration) {
        match event {
            Event::Output { bytes: [], .. } => {}
            Event::Output { id, bytes } => {
                let Some(step) = steps.get(*id) else { return };
                let log = json!({
                    "vertex": vertex(*id, step), "stream": 1, "data": base64(bytes), "timestamp": self.time(now),
                });
                line(&json!({"logs": [log]}));
            }
            Event::Step { id, .. } | Event::Done { id, .. } | Event::Failed { id, .. } => {
                let Some(step) = steps.get(*id) else { return };
                let mut value = json!({"vertexes": [self.vertex(*id, step)]});
                // The bytes of the layer, as an exporter tells them.
                if let (Some(size), Some(ended)) = (step.size, step.ended) {
                    let (name, began, ended) = (format!("layer {}", id.0), self.time(step.began), self.time(ended));
                    value["statuses"] = json!([{
                        "id": name, "vertex": vertex(*id, step), "current": size, "total": size,
                        "timestamp": ended, "started": began, "completed": ended,
                    }]);
                }
                line(&value);
            }
            _ => {}
        }
    }

    fn remark(&mut self, _steps: &Steps, text: &str, _now: Duration) {
        let text = text.strip_prefix("warning: ").unwrap_or(text);
        line(&json!({"warnings": [{"level": LEVEL, "short": base64(text.as_bytes())}]}));
    }
}

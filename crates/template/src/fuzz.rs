//! Entry points for fuzzing.

use crate::{Format, Shape, Template, align};
use serde_json::Value;

/// Parses a template (up to the first NUL) and applies it to the JSON behind; neither may panic, errors must print.
pub fn template(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let value: Value = parts
        .next()
        .and_then(|json| serde_json::from_slice(json).ok())
        .unwrap_or_else(|| serde_json::json!({"A": {"B": [1, "two", null, 3.5]}, "Labels": {"k": "v"}, "Cmd": null}));
    match Template::parse(&text) {
        Ok(template) => match template.render(&value, &Shape::DOCKER) {
            Ok(out) => assert_eq!(Ok(out), template.render(&value, &Shape::DOCKER), "output depends on the run"),
            Err(error) => assert!(!error.to_string().is_empty()),
        },
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Parses a `--format` and lays out a table with it.
pub fn table(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let aligned = align(&text);
    assert_eq!(aligned.matches('\n').count(), text.matches('\n').count());
    if let Ok(format) = Format::parse(&text, "{{.ID}}") {
        let rows = [serde_json::json!({"ID": "a"}), serde_json::json!({"ID": "bb"})];
        let _ = format.render(&[("ID", "IMAGE ID")], &rows, &Shape::STRICT);
    }
}

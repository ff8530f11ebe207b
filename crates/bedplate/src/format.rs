//! `--format`: tables for people, JSON and templates for programs; sizes and times as Docker words them.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use bedplate_oci::{Created, Digest};
use bedplate_template::{Format, Shape};
use serde_json::Value;

use crate::failure::{Failure, Kind};

/// What a listing command can show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns {
    /// Every field of a row with its heading: `("ID", "IMAGE ID")`.
    pub(crate) headings: &'static [(&'static str, &'static str)],
    /// The template of the table that is shown where nothing is asked for.
    pub(crate) table: &'static str,
}

impl Columns {
    /// Prints rows, made by [`row`], as the value of `--format` says; without one, as a table.
    ///
    /// # Errors
    /// A template that is malformed or asks for a field that rows do not have; a closed stdout.
    pub(crate) fn print(&self, format: Option<&str>, rows: &[Value]) -> Result<(), Failure> {
        print(&self.render(format, rows)?)
    }

    fn render(&self, format: Option<&str>, rows: &[Value]) -> Result<String, Failure> {
        let format = format.filter(|format| !format.is_empty()).unwrap_or("table");
        let malformed = |error: bedplate_template::TemplateError| {
            let known: Vec<&str> = self.headings.iter().map(|(field, _)| *field).collect();
            Failure::new(Kind::User, error.to_string()).hint(format!("the fields are .{}", known.join(", .")))
        };
        Format::parse(format, self.table)
            .and_then(|format| format.render(self.headings, rows, &Shape::STRICT))
            .map_err(malformed)
    }
}

/// A row of a listing. Its fields stand in the order of their names, as in Docker's JSON.
pub(crate) fn row<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let sorted: BTreeMap<&str, Value> = fields.into_iter().collect();
    Value::Object(sorted.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Prints text as it is.
///
/// # Errors
/// A closed stdout.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// The first twelve digits of a digest: Docker's short ID.
pub(crate) fn short_id(digest: &Digest) -> String {
    digest.hex().chars().take(12).collect()
}

/// A size in decimal units with three digits, as in `docker images`: `78.6MB`.
pub(crate) fn size(bytes: u64) -> String {
    with_digits(bytes, 3)
}

/// A size in decimal units with four digits, as in `docker system df`: `78.57MB`.
pub(crate) fn exact_size(bytes: u64) -> String {
    with_digits(bytes, 4)
}

/// Docker prints `1e+03kB` for what rounds up to a thousand; here it is the next unit.
fn with_digits(bytes: u64, digits: usize) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut scaled = bytes as f64;
    let mut unit = 0;
    loop {
        // Digits before the point count, too.
        let whole = (1 + usize::from(scaled >= 10.0) + usize::from(scaled >= 100.0)).min(digits);
        let text = format!("{scaled:.*}", digits - whole);
        if unit + 1 < UNITS.len() && text.parse::<f64>().is_ok_and(|rounded| rounded >= 1000.0) {
            scaled /= 1000.0;
            unit += 1;
            continue;
        }
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        return format!("{text}{}", UNITS[unit]);
    }
}

/// How long ago something was, in words: `2 weeks ago`; `N/A` for what has no time.
pub(crate) fn ago(now: SystemTime, then: Option<Created>) -> String {
    let Some(then) = then else { return "N/A".into() };
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    format!("{} ago", duration(now.saturating_sub(then.seconds())))
}

/// A number of seconds in words, as Docker's `units.HumanDuration` has them; what lies ahead is less than a second.
pub(crate) fn duration(seconds: i64) -> String {
    let (minutes, rounded_hours, hours) = (seconds / 60, seconds.saturating_add(1800) / 3600, seconds / 3600);
    match seconds {
        ..1 => "Less than a second".into(),
        1 => "1 second".into(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".into(),
        120..3600 => format!("{minutes} minutes"),
        _ => match rounded_hours {
            ..=1 => "About an hour".into(),
            2..48 => format!("{rounded_hours} hours"),
            48..336 => format!("{} days", rounded_hours / 24),
            336..1440 => format!("{} weeks", rounded_hours / 24 / 7),
            1440..17520 => format!("{} months", rounded_hours / 24 / 30),
            _ => format!("{} years", hours / 24 / 365),
        },
    }
}

/// A moment as Docker's listings write it, in UTC: `2024-01-02 03:04:05 +0000 UTC`.
pub(crate) fn date_and_time(then: Option<Created>) -> String {
    let Some(then) = then else { return "N/A".into() };
    let whole = Created::from_seconds(then.seconds()).to_string();
    format!("{} +0000 UTC", whole.trim_end_matches('Z').replacen('T', " ", 1))
}

/// The text, cut to at most `width` characters with an ellipsis at its end.
pub(crate) fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            // bytes         | three digits | four digits
            (0, "0B", "0B"),
            (999, "999B", "999B"),
            (1000, "1kB", "1kB"),
            (1024, "1.02kB", "1.024kB"),
            (1500, "1.5kB", "1.5kB"),
            (999_499, "999kB", "999.5kB"),
            (999_999, "1MB", "1MB"),
            (78_570_000, "78.6MB", "78.57MB"),
            (121_000_000, "121MB", "121MB"),
            (100_000_000, "100MB", "100MB"),
            (1_234_567_890, "1.23GB", "1.235GB"),
            (u64::MAX, "18.4EB", "18.45EB"),
        ];
        for (bytes, three, four) in cases {
            assert_eq!((size(bytes).as_str(), exact_size(bytes).as_str()), (three, four), "{bytes}");
        }
    }

    #[test]
    fn durations() {
        const HOUR: i64 = 3600;
        const DAY: i64 = 24 * HOUR;
        let cases = [
            // seconds | words; the table of Docker's go-units
            (-5, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 second"),
            (45, "45 seconds"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (HOUR - 1, "59 minutes"),
            (HOUR, "About an hour"),
            (HOUR + 29 * 60, "About an hour"),
            (HOUR + 31 * 60, "2 hours"),
            (35 * HOUR, "35 hours"),
            (47 * HOUR, "47 hours"),
            (2 * DAY, "2 days"),
            (13 * DAY, "13 days"),
            (2 * 7 * DAY, "2 weeks"),
            (2 * 7 * DAY + 4 * DAY, "2 weeks"),
            (8 * 7 * DAY, "8 weeks"),
            (60 * DAY, "2 months"),
            (23 * 30 * DAY, "23 months"),
            (2 * 365 * DAY, "2 years"),
            (56 * 365 * DAY, "56 years"),
            (i64::MAX, "292471208677 years"),
        ];
        for (seconds, words) in cases {
            assert_eq!(duration(seconds), words, "{seconds}");
        }
    }

    #[test]
    fn moments() {
        let now = UNIX_EPOCH + Duration::from_secs(1_704_164_645);
        assert_eq!(ago(now, "2023-12-19T03:04:05Z".parse().ok()), "2 weeks ago");
        assert_eq!(ago(now, None), "N/A");
        assert_eq!(date_and_time("2024-01-02T03:04:05.5Z".parse().ok()), "2024-01-02 03:04:05 +0000 UTC");
        assert_eq!(date_and_time(None), "N/A");
    }

    #[test]
    fn cutting() {
        for (text, width, expected) in [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("äöüß", 3, "äö…"), ("", 3, "")]
        {
            assert_eq!(cut(text, width), expected);
        }
    }

    #[test]
    fn one_listing_in_each_form() {
        let columns = Columns { headings: &[("Name", "NAME"), ("Size", "SIZE")], table: "{{.Name}}\t{{.Size}}" };
        let rows = [row([("Size", json!("1kB")), ("Name", json!("a"))])];
        let cases = [
            // format        | output
            (None, "NAME      SIZE\na         1kB\n"),
            (Some(""), "NAME      SIZE\na         1kB\n"),
            (Some("table"), "NAME      SIZE\na         1kB\n"),
            (Some("table {{.Size}}"), "SIZE\n1kB\n"),
            (Some("json"), "{\"Name\":\"a\",\"Size\":\"1kB\"}\n"),
            (Some("{{.Name}}={{.Size}}"), "a=1kB\n"),
        ];
        for (format, expected) in cases {
            assert_eq!(columns.render(format, &rows).unwrap(), expected, "{format:?}");
        }
        let failure = columns.render(Some("{{.Nmae}}"), &rows).unwrap_err();
        assert_eq!(failure.exit_status(), 1);
    }
}

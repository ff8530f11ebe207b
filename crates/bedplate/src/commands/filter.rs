//! `--filter`: which images or containers a command is about.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bedplate_dockerfile::glob::Glob;
use bedplate_oci::{Created, Reference};
use bedplate_store::Image;

use crate::context::Context;
use crate::failure::{Failure, Kind};

/// Conditions on images; all keys must hold, of several values of one key any.
#[derive(Debug, Default)]
pub(crate) struct ImageFilter {
    dangling: Option<bool>,
    labels: Vec<Label>,
    not_labels: Vec<Label>,
    references: Vec<Glob>,
    /// Seconds since the epoch: images made later do not match.
    before: Option<i64>,
    /// Seconds since the epoch: images made earlier do not match.
    since: Option<i64>,
}

#[derive(Debug)]
struct Label {
    name: String,
    value: Option<String>,
}

impl Label {
    fn parse(text: &str) -> Self {
        match text.split_once('=') {
            Some((name, value)) => Self { name: name.into(), value: Some(value.into()) },
            None => Self { name: text.into(), value: None },
        }
    }

    fn is_on(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.get(&self.name).is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found))
    }
}

impl ImageFilter {
    /// Reads the values of `--filter`; `time_of` gives the time of an image that `before` or `since` names.
    ///
    /// # Errors
    /// A filter that is unknown here or malformed.
    pub(crate) fn parse(
        filters: &[String],
        context: &Context,
        mut time_of: impl FnMut(&str) -> Result<i64, Failure>,
    ) -> Result<Self, Failure> {
        let mut filter = Self::default();
        for text in filters {
            let Some((key, value)) = text.split_once('=') else {
                return Err(Failure::new(Kind::User, format!("invalid filter {text:?}")).hint("write it as KEY=VALUE"));
            };
            match key {
                "dangling" => {
                    filter.dangling = Some(boolean(value).ok_or_else(|| invalid(text, "expected true or false"))?);
                }
                "label" => filter.labels.push(Label::parse(value)),
                "label!" => filter.not_labels.push(Label::parse(value)),
                "reference" => filter.references.push(pattern(value)?),
                "before" => filter.before = Some(time_of(value)?),
                "since" => filter.since = Some(time_of(value)?),
                "until" => {
                    filter.before = Some(until(value, context.now).ok_or_else(|| {
                        invalid(text, "expected a duration like 24h, or a time like 2026-01-02T03:04:05Z")
                    })?)
                }
                _ => {
                    return Err(invalid(
                        text,
                        "the filters are before, dangling, label, label!, reference, since, until",
                    ));
                }
            }
        }
        Ok(filter)
    }

    /// Adds a name or pattern that images must have.
    ///
    /// # Errors
    /// A malformed pattern.
    pub(crate) fn with_reference(mut self, text: &str) -> Result<Self, Failure> {
        self.references.push(pattern(text)?);
        Ok(self)
    }

    /// Tells whether an image passes, whatever its names.
    pub(crate) fn matches(&self, image: &Image) -> bool {
        let labels = &image.config.config.labels;
        let created = image.config.created.map_or(0, Created::seconds);
        self.dangling.is_none_or(|dangling| dangling == image.names.is_empty())
            && self.labels.iter().all(|label| label.is_on(labels))
            && !self.not_labels.iter().any(|label| label.is_on(labels))
            && self.before.is_none_or(|before| created < before)
            && self.since.is_none_or(|since| created > since)
    }

    /// Tells whether one of an image's names passes; `None` stands for an image without one.
    pub(crate) fn matches_name(&self, name: Option<&Reference>) -> bool {
        let Some(name) = name else { return self.references.is_empty() };
        let spellings = [name.familiar(), name.familiar_name(), name.to_string()];
        let any = |glob: &Glob| spellings.iter().any(|spelling| glob.matches(spelling));
        self.references.is_empty() || self.references.iter().any(any)
    }
}

fn pattern(text: &str) -> Result<Glob, Failure> {
    // What is a name and no pattern means the same in any spelling of it.
    let plain = !Glob::has_wildcard(text);
    let text = match Reference::parse(text) {
        Ok(name) if plain && has_tag(text) => name.familiar(),
        Ok(name) if plain => name.familiar_name(),
        _ => text.to_owned(),
    };
    Ok(Glob::wildcard(&text)?)
}

fn has_tag(text: &str) -> bool {
    text.rsplit('/').next().is_some_and(|last| last.contains([':', '@']))
}

fn invalid(text: &str, why: &str) -> Failure {
    Failure::new(Kind::User, format!("invalid filter {text:?}")).hint(why)
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// The moment that `until` names, in seconds since the epoch: a time, or a duration before now.
pub(crate) fn until(text: &str, now: SystemTime) -> Option<i64> {
    if let Ok(at) = text.parse::<Created>() {
        return Some(at.seconds());
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(seconds);
    }
    let ago = bedplate_dockerfile::duration::parse(text).ok()?;
    let now = now.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(now.checked_sub(ago)?.as_secs()).ok()
}

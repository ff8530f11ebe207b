//! apt's lists of sources: `sources.list` with one line for each, and `.sources` files in deb822.
//!
//! Both forms are read into the same [`Source`] and printed from it.
//!
//! Spec: sources.list(5).

mod line;
mod stanza;
#[cfg(test)]
mod tests;

use thiserror::Error;

use super::control::ControlError;

pub use line::{parse_list, print_list};
pub use stanza::{parse_sources, print_sources};

/// Why text is not a list of sources. Lines are counted from one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SourcesError {
    /// Not deb822.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Not UTF-8.
    #[error("line {line}: the text is not UTF-8")]
    NotUtf8 {
        /// The line.
        line: usize,
    },
    /// A line does not begin with `deb` or `deb-src`.
    #[error("line {line}: type {found:?}: expected deb or deb-src")]
    Type {
        /// The line.
        line: usize,
        /// What stands there, capped.
        found: String,
    },
    /// The options are not closed, or one is no `NAME=VALUE`.
    #[error("line {line}: options: expected [ NAME=VALUE ... ], found {found:?}")]
    Options {
        /// The line.
        line: usize,
        /// What stands there, capped.
        found: String,
    },
    /// There is no URI, or it has no scheme.
    #[error("line {line}: URI {found:?}: expected a scheme, as in http://HOST/PATH")]
    Uri {
        /// The line.
        line: usize,
        /// What stands there, capped.
        found: String,
    },
    /// There is no suite.
    #[error("line {line}: the source has no suite")]
    NoSuite {
        /// The line.
        line: usize,
    },
    /// A suite that does not end in `/` has no component.
    #[error(
        "line {line}: suite {suite:?} has no component; only a flat repository, whose suite ends in \"/\", has none"
    )]
    NoComponent {
        /// The line.
        line: usize,
        /// The suite.
        suite: String,
    },
    /// A flat repository has components.
    #[error("line {line}: suite {suite:?} ends in \"/\", so it is a flat repository and has no components")]
    Components {
        /// The line.
        line: usize,
        /// The suite.
        suite: String,
    },
    /// An option has a value that it cannot have.
    #[error("line {line}: {option} is {found:?}, expected {expected}")]
    Value {
        /// The line.
        line: usize,
        /// The option, as the deb822 form calls it.
        option: &'static str,
        /// Its value, capped.
        found: String,
        /// What it could be.
        expected: &'static str,
    },
    /// A key that stands in the source itself cannot be written on one line.
    #[error("the key of source {uri:?} stands in the source itself, which only the deb822 form can have")]
    EmbeddedKey {
        /// The first URI of the source.
        uri: String,
    },
}

/// What a source offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceType {
    /// Binary packages.
    Deb,
    /// Source packages.
    DebSrc,
}

impl SourceType {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::DebSrc => "deb-src",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Deb, Self::DebSrc].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Who may sign a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedBy {
    /// Paths of keyrings, or fingerprints of keys among those that are trusted.
    Keys(Vec<String>),
    /// An armoured key; its lines end in newlines.
    Embedded(String),
}

/// Whether indexes are asked for by their digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByHash {
    /// Where the `Release` says so.
    Yes,
    /// Never.
    No,
    /// Even where the `Release` does not say so.
    Force,
}

impl ByHash {
    const WORDS: [(&'static str, Self); 3] = [("yes", Self::Yes), ("no", Self::No), ("force", Self::Force)];

    fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("yes", |(word, _)| word)
    }
}

/// A source, or several that differ in type, URI or suite only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What it offers; at least one.
    pub types: Vec<SourceType>,
    /// Where it lies; at least one.
    pub uris: Vec<String>,
    /// The suites; at least one. One that ends in `/` is the folder of a flat repository.
    pub suites: Vec<String>,
    /// The components; none for a flat repository.
    pub components: Vec<String>,
    /// False for one that is written down but not used.
    pub enabled: bool,
    /// The architectures; the system's own where none is named.
    pub architectures: Vec<String>,
    /// Who may sign it; where nothing is said, every trusted key.
    pub signed_by: Option<SignedBy>,
    /// Yes: no signature is needed. No: it counts as unsigned even with a good one.
    pub trusted: Option<bool>,
    /// Whether `Valid-Until` counts.
    pub check_valid_until: Option<bool>,
    /// Whether indexes are asked for by their digest.
    pub by_hash: Option<ByHash>,
    /// apt's other options by the names of the deb822 form, in the order of [`OPTIONS`].
    pub options: Vec<(&'static str, Vec<String>)>,
    /// The line where it begins, from one. 0 for one that was not read.
    pub line: usize,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            types: vec![SourceType::Deb],
            uris: Vec::new(),
            suites: Vec::new(),
            components: Vec::new(),
            enabled: true,
            architectures: Vec::new(),
            signed_by: None,
            trusted: None,
            check_valid_until: None,
            by_hash: None,
            options: Vec::new(),
            line: 0,
        }
    }
}

/// One URI and one suite of a source of binary packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pocket<'s> {
    /// Where it lies, as written.
    pub uri: &'s str,
    /// The suite, as written.
    pub suite: &'s str,
    /// The components.
    pub components: &'s [String],
    /// Everything else that is said of it.
    pub source: &'s Source,
}

impl<'s> Pocket<'s> {
    /// Tells whether it is a flat repository: its indexes lie in `URI/SUITE` itself.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        self.suite.ends_with('/')
    }

    /// The folder of `Release`, below the URI: `dists/bookworm`, or that of a flat repository, with no `/` around it;
    /// empty for `./` and `/`.
    #[must_use]
    pub fn folder(&self) -> String {
        if !self.is_flat() {
            return format!("dists/{}", self.suite);
        }
        let parts = self.suite.split('/').filter(|part| !part.is_empty() && *part != ".");
        parts.collect::<Vec<&str>>().join("/")
    }
}

impl Source {
    /// Each suite at each URI, if the source is enabled and offers binary packages.
    pub fn pockets(&self) -> impl Iterator<Item = Pocket<'_>> {
        let used = self.enabled && self.types.contains(&SourceType::Deb);
        let uris = self.uris.iter().filter(move |_| used);
        uris.flat_map(move |uri| {
            self.suites.iter().map(move |suite| Pocket { uri, suite, components: &self.components, source: self })
        })
    }

    /// Takes an option by the name that the deb822 form gives it; forgets one that apt does not know.
    fn set(&mut self, name: &str, words: Vec<String>, line: usize) -> Result<(), SourcesError> {
        match name.to_ascii_lowercase().as_str() {
            "architectures" => self.architectures = words,
            "signed-by" => {
                if let Some(bad) = words.iter().find(|word| !is_key(word)) {
                    let expected = "paths of keyrings or fingerprints";
                    return Err(SourcesError::Value { line, option: "Signed-By", found: capped(bad), expected });
                }
                self.signed_by = (!words.is_empty()).then_some(SignedBy::Keys(words));
            }
            "trusted" => self.trusted = Some(flag(&words, "Trusted", line)?),
            "check-valid-until" => self.check_valid_until = Some(flag(&words, "Check-Valid-Until", line)?),
            "by-hash" => {
                let word = words.join(" ");
                let known = ByHash::WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(&word));
                let expected = "yes, no or force";
                let value = || SourcesError::Value { line, option: "By-Hash", found: capped(&word), expected };
                self.by_hash = Some(known.ok_or_else(value)?.1);
            }
            other => {
                if let Some(at) = OPTIONS.iter().position(|(known, _)| known.eq_ignore_ascii_case(other))
                    && let Some((known, _)) = OPTIONS.get(at)
                    && !words.is_empty()
                {
                    self.options.retain(|(name, _)| name != known);
                    let place = |name: &str| OPTIONS.iter().position(|(known, _)| *known == name);
                    let before = self.options.iter().take_while(|(name, _)| place(name) < Some(at)).count();
                    self.options.insert(before, (known, words));
                }
            }
        }
        Ok(())
    }

    fn check(self) -> Result<Self, SourcesError> {
        let line = self.line;
        if let Some(bad) = self.uris.iter().find(|uri| !has_scheme(uri)) {
            return Err(SourcesError::Uri { line, found: capped(bad) });
        }
        if self.uris.is_empty() {
            return Err(SourcesError::Uri { line, found: String::new() });
        }
        if self.suites.is_empty() {
            return Err(SourcesError::NoSuite { line });
        }
        for suite in &self.suites {
            match (suite.ends_with('/'), self.components.is_empty()) {
                (true, false) => return Err(SourcesError::Components { line, suite: suite.clone() }),
                (false, true) => return Err(SourcesError::NoComponent { line, suite: suite.clone() }),
                _ => {}
            }
        }
        Ok(self)
    }
}

/// apt's options that need no place of their own: the name in the deb822 form, and on one line.
pub const OPTIONS: &[(&str, &str)] = &[
    ("Architectures-Add", "arch+"),
    ("Architectures-Remove", "arch-"),
    ("Languages", "lang"),
    ("Languages-Add", "lang+"),
    ("Languages-Remove", "lang-"),
    ("Targets", "target"),
    ("Targets-Add", "target+"),
    ("Targets-Remove", "target-"),
    ("PDiffs", "pdiffs"),
    ("Allow-Insecure", "allow-insecure"),
    ("Allow-Weak", "allow-weak"),
    ("Allow-Downgrade-To-Insecure", "allow-downgrade-to-insecure"),
    ("Valid-Until-Min", "valid-until-min"),
    ("Valid-Until-Max", "valid-until-max"),
    ("Check-Date", "check-date"),
    ("Date-Max-Future", "date-max-future"),
    ("InRelease-Path", "inrelease-path"),
    ("Snapshot", "snapshot"),
    ("Include", "include"),
    ("Exclude", "exclude"),
];

fn flag(words: &[String], option: &'static str, line: usize) -> Result<bool, SourcesError> {
    let word = words.join(" ");
    truth(&word).ok_or_else(|| SourcesError::Value { line, option, found: capped(&word), expected: "yes or no" })
}

/// Reads yes and no in each of the words that apt has for them.
#[must_use]
pub fn truth(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "yes" | "true" | "with" | "on" | "enable" | "1" => Some(true),
        "no" | "false" | "without" | "off" | "disable" | "0" => Some(false),
        _ => None,
    }
}

fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// Tells whether a word is an absolute path or a fingerprint, perhaps with the `!` that excludes subkeys.
fn is_key(word: &str) -> bool {
    let digits = word.strip_suffix('!').unwrap_or(word);
    word.starts_with('/') || (16..=64).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

fn has_scheme(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, rest)| {
        !rest.is_empty()
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    })
}

fn capped(text: &str) -> String {
    text.chars().take(80).collect()
}

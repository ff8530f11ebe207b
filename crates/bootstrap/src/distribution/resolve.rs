//! From what people type to a suite.

use thiserror::Error;

use super::{Distribution, Pocket, Suite};

/// A suite of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved<'a> {
    /// The distribution.
    pub distribution: &'a Distribution,
    /// Its suite.
    pub suite: &'a Suite,
}

impl Resolved<'_> {
    /// `debian:trixie`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.distribution.name, self.suite.codename)
    }

    /// The root of the distribution's own public archive for a pocket.
    #[must_use]
    pub fn archive_url(&self, pocket: Pocket, architecture: &str) -> Option<&str> {
        self.distribution.archive_url(self.suite, pocket, architecture)
    }
}

/// Why a word means no suite.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResolveError {
    /// No distribution has this name.
    #[error("no distribution {name:?}{}", near_or_all(.near, .known))]
    NoDistribution {
        /// The name.
        name: String,
        /// Names that look like it.
        near: Vec<String>,
        /// The names of all.
        known: Vec<String>,
    },
    /// The distribution has no such suite.
    #[error("{distribution} has no suite {word:?}{}", near_words(.near))]
    NoSuite {
        /// The distribution.
        distribution: String,
        /// The word.
        word: String,
        /// Words that look like it.
        near: Vec<String>,
    },
    /// No distribution has such a suite.
    #[error("no distribution has a suite {word:?}{}", near_or_all(.near, .known))]
    Unknown {
        /// The word.
        word: String,
        /// Words that look like it.
        near: Vec<String>,
        /// The names of all distributions.
        known: Vec<String>,
    },
    /// Several distributions have such a suite.
    #[error("suite {word:?} exists in several distributions: {}", .found.join(", "))]
    Ambiguous {
        /// The word.
        word: String,
        /// `debian:X`, `ubuntu:Y`.
        found: Vec<String>,
    },
}

fn near_words(words: &[String]) -> String {
    if words.is_empty() { String::new() } else { format!("; near: {}", words.join(", ")) }
}

fn near_or_all(near: &[String], known: &[String]) -> String {
    match near.is_empty() {
        true => format!("; there are suites of {}", known.join(", ")),
        false => near_words(near),
    }
}

/// Finds the suite that a word means: `debian:trixie`, `debian:13`, `debian`, `trixie`, `20.04`, `stable`.
///
/// `distributions` are asked in their order; a derivative that the user names stands before the built-in ones. A bare
/// word is a codename first, then the name of a distribution (its default suite), then a version or a changing word,
/// when only one distribution knows it.
///
/// # Errors
/// [`ResolveError`], with near names.
pub fn resolve<'a>(word: &str, distributions: &'a [Distribution]) -> Result<Resolved<'a>, ResolveError> {
    if let Some((name, rest)) = word.split_once(':') {
        let distribution =
            distributions.iter().find(|known| known.name == name).ok_or_else(|| ResolveError::NoDistribution {
                name: name.into(),
                near: nearest(name, distributions.iter().map(|known| known.name.as_str())),
                known: names(distributions),
            })?;
        let suite = suite_of(distribution, rest).ok_or_else(|| ResolveError::NoSuite {
            distribution: name.into(),
            word: rest.into(),
            near: nearest(rest, words(distribution)),
        })?;
        return Ok(Resolved { distribution, suite });
    }
    for distribution in distributions {
        if let Some(suite) = distribution.suite(word) {
            return Ok(Resolved { distribution, suite });
        }
    }
    if let Some(distribution) = distributions.iter().find(|known| known.name == word)
        && let Some(suite) = distribution.suite(&distribution.default)
    {
        return Ok(Resolved { distribution, suite });
    }
    let found: Vec<Resolved<'a>> = distributions
        .iter()
        .filter_map(|distribution| Some(Resolved { distribution, suite: suite_of(distribution, word)? }))
        .collect();
    match found[..] {
        [one] => Ok(one),
        [] => {
            let known = distributions.iter().flat_map(|known| words(known).chain([known.name.as_str()]));
            Err(ResolveError::Unknown { word: word.into(), near: nearest(word, known), known: names(distributions) })
        }
        _ => Err(ResolveError::Ambiguous { word: word.into(), found: found.iter().map(Resolved::name).collect() }),
    }
}

fn names(distributions: &[Distribution]) -> Vec<String> {
    distributions.iter().map(|known| known.name.clone()).collect()
}

/// Every word that means a suite of a distribution.
fn words(distribution: &Distribution) -> impl Iterator<Item = &str> {
    let suites = distribution.suites.iter();
    let named = suites.flat_map(|suite| [Some(suite.codename.as_str()), suite.version.as_deref()]).flatten();
    named.chain(distribution.aliases.keys().map(String::as_str))
}

/// The suite of a codename, a version or a changing word; `12.5` means `12` where point releases have no suite.
fn suite_of<'a>(distribution: &'a Distribution, word: &str) -> Option<&'a Suite> {
    if let Some(suite) = distribution.suite(word) {
        return Some(suite);
    }
    if let Some(codename) = distribution.aliases.get(word) {
        return distribution.suite(codename);
    }
    distribution.suites.iter().find(|suite| suite.version.as_deref() == Some(word))
}

/// Words that are at most two edits away, nearest first.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    /// More edits than these make another word.
    const EDITS: usize = 2;
    /// A longer list helps nobody.
    const SHOWN: usize = 3;
    // What somebody pastes by mistake has no near name.
    if word.len() > 64 {
        return Vec::new();
    }
    let mut found: Vec<(usize, &str)> =
        known.map(|name| (edits(word, name), name)).filter(|(n, name)| *n <= EDITS && *n < name.len()).collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(SHOWN).map(|(_, name)| name.to_owned()).collect()
}

/// The number of characters to add, remove or change (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let next = (diagonal + usize::from(x != *y)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, next);
            left = next;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::builtin;
    use super::*;

    #[test]
    fn words_mean_suites() {
        let cases = [
            ("debian:trixie", "debian:trixie"),
            ("debian:13", "debian:trixie"),
            ("debian", "debian:trixie"),
            ("debian:stable", "debian:trixie"),
            ("debian:oldstable", "debian:bookworm"),
            ("debian:latest", "debian:trixie"),
            ("trixie", "debian:trixie"),
            ("bookworm", "debian:bookworm"),
            ("jessie", "debian:jessie"),
            ("sid", "debian:sid"),
            ("unstable", "debian:sid"),
            ("testing", "debian:forky"),
            ("12", "debian:bookworm"),
            ("ubuntu", "ubuntu:resolute"),
            ("ubuntu:16.04", "ubuntu:xenial"),
            ("ubuntu:20.04", "ubuntu:focal"),
            ("ubuntu:lts", "ubuntu:resolute"),
            ("14.04", "ubuntu:trusty"),
            ("noble", "ubuntu:noble"),
            ("25.04", "ubuntu:plucky"),
        ];
        for (word, expected) in cases {
            assert_eq!(resolve(word, builtin()).map(|found| found.name()).as_deref(), Ok(expected), "{word}");
        }
    }

    #[test]
    fn unknown_words_name_near_ones() {
        let cases = [
            ("debian:trixe", "debian has no suite \"trixe\"; near: trixie"),
            ("debain:trixie", "no distribution \"debain\"; near: debian"),
            ("fcal", "no distribution has a suite \"fcal\"; near: focal"),
            ("debian:focal", "debian has no suite \"focal\""),
            ("latest", "suite \"latest\" exists in several distributions: debian:trixie, ubuntu:resolute"),
            ("", "no distribution has a suite \"\"; there are suites of debian, ubuntu"),
            ("debian:", "debian has no suite \"\""),
        ];
        for (word, expected) in cases {
            assert_eq!(resolve(word, builtin()).unwrap_err().to_string(), expected, "{word}");
        }
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, expected) in
            [("", "", 0), ("a", "", 1), ("", "abc", 3), ("trixe", "trixie", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(edits(a, b), expected, "{a} {b}");
        }
    }
}

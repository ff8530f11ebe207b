//! `.dockerignore` and `--exclude`: which files of a tree do not count.
//!
//! The last pattern that matches decides; `!` brings a file back. A pattern matches a file when it
//! matches the file or any directory above it (`MatchesOrParentMatches` of moby/patternmatcher).

use crate::glob::{Glob, GlobError};
use crate::position::Position;

/// The largest ignore file read, in bytes; real ones have a few kilobytes.
pub const MAX_IGNORE_BYTES: usize = 4 * 1024 * 1024;

/// The most patterns of one file: each file of the context is compared with each of them.
pub const MAX_PATTERNS: usize = 10_000;

/// An ignore file is malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IgnoreError {
    /// The file is too large.
    #[error("the ignore file has {size} bytes; at most {MAX_IGNORE_BYTES} are allowed")]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// There are too many patterns.
    #[error("more than {MAX_PATTERNS} patterns")]
    TooMany,
    /// A line is not UTF-8.
    #[error("{position}: the line is not valid UTF-8")]
    NotUtf8 {
        /// Where.
        position: Position,
    },
    /// A line consists of `!` alone.
    #[error("{position}: \"!\" alone excludes nothing; a pattern must follow it")]
    LoneExclamation {
        /// Where.
        position: Position,
    },
    /// A pattern is malformed.
    #[error("{position}: bad pattern")]
    Pattern {
        /// Where.
        position: Position,
        /// Why.
        #[source]
        source: GlobError,
    },
}

/// A list of patterns in order.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    glob: Glob,
    /// Written with `!`: brings files back.
    negated: bool,
    /// Covers whatever is there: `*`, `**` or `**/*`.
    all: bool,
}

/// Which patterns matched a directory or one above it, while a tree is walked.
#[derive(Clone, Debug, Default)]
pub struct IgnoreState {
    matched: Vec<bool>,
}

/// What [`Ignore::visit`] found about one path.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The path itself is ignored.
    pub ignored: bool,
    /// Everything beneath it is ignored too, so that it need not be entered.
    pub skip: bool,
    /// The state for what lies in it.
    pub state: IgnoreState,
}

impl Ignore {
    /// Parses a file: one pattern a line, `#` in the first column begins a comment.
    ///
    /// # Errors
    /// [`IgnoreError`].
    pub fn parse(bytes: &[u8]) -> Result<Ignore, IgnoreError> {
        if bytes.len() > MAX_IGNORE_BYTES {
            return Err(IgnoreError::TooLarge { size: bytes.len() });
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut ignore = Ignore::default();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.starts_with(b"#") {
                continue;
            }
            let position = Position { line: index as u32 + 1, column: 1 };
            let line = std::str::from_utf8(line).map_err(|_| IgnoreError::NotUtf8 { position })?;
            ignore.add(line, position)?;
        }
        Ok(ignore)
    }

    /// Makes a list of given patterns; their number, from 1, is the line in errors.
    ///
    /// # Errors
    /// [`IgnoreError`].
    pub fn from_patterns<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Ignore, IgnoreError> {
        let mut ignore = Ignore::default();
        for (index, pattern) in patterns.into_iter().enumerate() {
            ignore.add(pattern, Position { line: index as u32 + 1, column: 1 })?;
        }
        Ok(ignore)
    }

    fn add(&mut self, line: &str, position: Position) -> Result<(), IgnoreError> {
        let text = line.trim();
        if text.is_empty() {
            return Ok(());
        }
        let (negated, text) = match text.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, text),
        };
        if text.is_empty() {
            return Err(IgnoreError::LoneExclamation { position });
        }
        if self.rules.len() == MAX_PATTERNS {
            return Err(IgnoreError::TooMany);
        }
        let clean = clean(text);
        let pattern = match clean.strip_prefix('/') {
            Some(rest) if !rest.is_empty() => rest,
            _ => &clean,
        };
        let glob = Glob::recursive(pattern).map_err(|source| IgnoreError::Pattern { position, source })?;
        self.rules.push(Rule { glob, negated, all: matches!(pattern, "*" | "**" | "**/*") });
        Ok(())
    }

    /// Says whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Says whether a pattern brings files back.
    pub fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.negated)
    }

    /// Says whether a pattern ignores all that there is.
    pub fn covers_all(&self) -> bool {
        self.rules.iter().any(|rule| rule.all && !rule.negated)
    }

    /// Says whether a path, relative to the root and without `.` and `..`, is ignored.
    ///
    /// For a whole tree, [`Ignore::visit`] does not look at the same parents again and again.
    pub fn ignored(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        if path.is_empty() || path == b"." {
            return false;
        }
        let mut state = IgnoreState::default();
        let mut ignored = false;
        for end in (0..path.len()).filter(|index| path[*index] == b'/').chain([path.len()]) {
            (ignored, state) = self.judge(&state, &path[..end]);
        }
        ignored
    }

    /// Judges a path of which the parent's state is known; the root's state is the default one.
    pub fn visit(&self, parent: &IgnoreState, path: impl AsRef<[u8]>) -> Visit {
        let path = path.as_ref();
        let (ignored, state) = self.judge(parent, path);
        // Patterns that match the path itself or a parent apply to all beneath in the same order,
        // so a different verdict needs a "!" pattern that matches something beneath only.
        let skip = ignored && !self.rules.iter().any(|rule| rule.negated && rule.glob.may_match_below(path));
        Visit { ignored, skip, state }
    }

    fn judge(&self, parent: &IgnoreState, path: &[u8]) -> (bool, IgnoreState) {
        let mut ignored = false;
        let matched = self
            .rules
            .iter()
            .enumerate()
            .map(|(index, rule)| {
                let above = parent.matched.get(index).copied().unwrap_or(false);
                let hit = above || rule.glob.matches(path);
                if hit {
                    ignored = !rule.negated;
                }
                hit
            })
            .collect();
        (ignored, IgnoreState { matched })
    }
}

/// Removes `.`, `..` and double slashes from a path, by text alone.
///
/// Spec: Go, `path/filepath.Clean`.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&"..") => parts.push(part),
                Some(_) => {
                    parts.pop();
                }
                None if rooted => {}
                None => parts.push(part),
            },
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_in_go() {
        let table = [
            ("", "."),
            ("a//b", "a/b"),
            ("./a/", "a"),
            ("a/../b", "b"),
            ("../a", "../a"),
            ("a/../..", ".."),
            ("/../a", "/a"),
            ("/", "/"),
            ("../../x", "../../x"),
        ];
        for (path, expected) in table {
            assert_eq!(clean(path), expected, "{path:?}");
        }
    }

    #[test]
    fn last_match_wins_and_parents_count() {
        // patterns | path | ignored
        let table: [(&str, &str, bool); 36] = [
            ("a", "a", true),
            ("a", "a/b/c", true),
            ("a", "b/a", false),
            ("/a", "a", true),
            ("a/", "a", true),
            ("./a", "a", true),
            ("  a  ", "a", true),
            ("# a\na", "a", true),
            ("#a", "#a", false),
            (" #a", "#a", true),
            ("\u{feff}a", "a", true),
            ("a\r\nb\r\n", "b", true),
            ("*", "a/b", true),
            ("*\n!a", "a", false),
            ("*\n!a", "a/b", false),
            ("*\n!a/b", "a/b", false),
            ("*\n!a/b", "a/c", true),
            ("*\n! a", "a", false),
            ("*.md\n!README.md", "README.md", false),
            ("*.md\n!README.md\nREADME*", "README.md", true),
            ("**/*.o", "x.o", true),
            ("**/*.o", "a/b/x.o", true),
            ("a/b\n!a", "a/b", false),
            ("!a\na/b", "a/b", true),
            ("docs\n!docs/README.md", "docs/README.md", false),
            ("docs\n!docs/README.md", "docs/other", true),
            ("docs\n!docs/api\ndocs/api/private", "docs/api/private/x", true),
            ("docs\n!docs/api\ndocs/api/private", "docs/api/x", false),
            ("a/*", "a/b/c", true),
            ("a/*", "a", false),
            ("*/b", "a/b", true),
            ("a?c", "abc", true),
            ("[a-c]", "b", true),
            (".", "a", false),
            ("", "a", false),
            ("../a", "a", false),
        ];
        for (patterns, path, expected) in table {
            let ignore = Ignore::parse(patterns.as_bytes()).unwrap();
            assert_eq!(ignore.ignored(path), expected, "{patterns:?} on {path:?}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        let table: [(&[u8], &str); 4] = [
            (b"a\n!\n", "line 2, column 1: \"!\" alone"),
            (b"a\n\n[", "line 3, column 1: bad pattern"),
            (b"\xff", "line 1, column 1: the line is not valid UTF-8"),
            (b"!   ", "line 1, column 1: \"!\" alone"),
        ];
        for (bytes, expected) in table {
            let error = Ignore::parse(bytes).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(Ignore::parse(b"# \xff\nok").is_ok(), "comments may have any bytes");
    }

    #[test]
    fn sizes_and_counts_are_limited() {
        let many = "a\n".repeat(MAX_PATTERNS);
        assert!(Ignore::parse(many.as_bytes()).is_ok());
        assert_eq!(Ignore::parse((many + "a\n").as_bytes()).unwrap_err(), IgnoreError::TooMany);
        let mut large = vec![b'#'; MAX_IGNORE_BYTES];
        assert!(Ignore::parse(&large).is_ok());
        large.push(b'#');
        assert!(matches!(Ignore::parse(&large), Err(IgnoreError::TooLarge { .. })));
    }

    #[test]
    fn directories_are_skipped_when_nothing_comes_back() {
        let table = [
            ("a", "a", true),
            ("a\n!a/b", "a", false),
            ("a\n!c/b", "a", true),
            ("*\n!*.md", "a", true),
            ("*\n!**/*.md", "a", false),
            ("!a\na", "a", true),
            ("b", "a", false),
        ];
        for (patterns, path, expected) in table {
            let ignore = Ignore::parse(patterns.as_bytes()).unwrap();
            let visit = ignore.visit(&IgnoreState::default(), path);
            assert_eq!(visit.skip, expected, "{patterns:?} on {path:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_walk_agrees_with_single_questions(
            patterns in proptest::collection::vec("!?[ab*?/]{1,5}", 0..5),
            path in "[ab]{1,2}(/[ab]{1,2}){0,3}",
        ) {
            let text = patterns.join("\n");
            let Ok(ignore) = Ignore::parse(text.as_bytes()) else { return Ok(()) };
            let mut state = IgnoreState::default();
            let mut skipped = false;
            let mut ignored = false;
            for end in path.match_indices('/').map(|(index, _)| index).chain([path.len()]) {
                let visit = ignore.visit(&state, &path[..end]);
                ignored = visit.ignored;
                if skipped {
                    proptest::prop_assert!(ignored, "skipped although {} is not ignored", &path[..end]);
                }
                skipped |= visit.skip;
                state = visit.state;
            }
            proptest::prop_assert_eq!(ignore.ignored(&path), ignored);
        }
    }
}

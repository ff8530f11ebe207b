//! Wildcard patterns over slash-separated paths.
//!
//! Two dialects: [`Glob::wildcard`] is Go's `filepath.Match`, used by the sources of COPY and ADD;
//! [`Glob::recursive`] adds `**`, used by `.dockerignore`, `--exclude` and `--parents`. Both are
//! compiled to a small automaton that runs in time proportional to pattern times path, whatever
//! the pattern: there is no backtracking that a hostile one could blow up.
//!
//! Paths are bytes; a byte that is no UTF-8 counts as one character, as in Go.

/// Patterns longer than this are refused: the time of a match is the product of both lengths, and
/// `PATH_MAX` is 4096.
pub const MAX_PATTERN_BYTES: usize = 16 * 1024;

/// A pattern is malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GlobError {
    /// A `[` has no end, an empty or reversed range, or the pattern ends in `\`.
    #[error("syntax error in pattern {pattern:?}")]
    Syntax {
        /// The pattern.
        pattern: String,
    },
    /// The pattern is too long.
    #[error("pattern of {length} bytes; at most {MAX_PATTERN_BYTES} are allowed")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Glob {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// No wildcard at all.
    Exact(String),
    /// `TEXT**`: everything that begins with TEXT.
    Prefix(String),
    /// `**TEXT`: everything that ends in TEXT; with `/` in front also TEXT alone.
    Suffix(String),
    Tokens(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`: one character but `/`.
    One,
    /// `*`: any characters but `/`.
    Many,
    /// The end of the pattern was `**`: any characters.
    Deep,
    /// The begin of `(.*/)?`: go on behind it, or into [`Token::UntilSlash`], which follows.
    Optional,
    /// The inside of `(.*/)?`: any characters, left behind a `/`.
    UntilSlash,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
        slash: bool,
    },
}

impl Glob {
    /// Compiles a pattern in which `*`, `?` and `[...]` match within one component and `\` quotes.
    ///
    /// Spec: Go, `path/filepath.Match`.
    ///
    /// # Errors
    /// [`GlobError`].
    pub fn wildcard(pattern: &str) -> Result<Glob, GlobError> {
        check_length(pattern)?;
        let mut tokens = Vec::new();
        let mut rest = pattern.chars();
        while let Some(c) = rest.next() {
            match c {
                '*' => {
                    if tokens.last() != Some(&Token::Many) {
                        tokens.push(Token::Many);
                    }
                }
                '?' => tokens.push(Token::One),
                '[' => tokens.push(class(&mut rest, false).ok_or_else(|| syntax(pattern))?),
                '\\' => tokens.push(Token::Char(rest.next().ok_or_else(|| syntax(pattern))?)),
                _ => tokens.push(Token::Char(c)),
            }
        }
        Ok(Glob { kind: simplify(tokens) })
    }

    /// Compiles a pattern in which `**` also matches any number of components.
    ///
    /// Spec: moby/patternmatcher. `**` in front of a text without wildcards matches every path
    /// that ends in the text; a text followed by `**` every path that begins with it; elsewhere
    /// `**` and `**/` mean "nothing, or anything up to a slash".
    ///
    /// # Errors
    /// [`GlobError`].
    pub fn recursive(pattern: &str) -> Result<Glob, GlobError> {
        check_length(pattern)?;
        // The reference checks the syntax with the other dialect first.
        Glob::wildcard(pattern)?;
        let special = |text: &str| text.contains(['*', '?', '[', ']', '\\']);
        if !special(pattern) {
            return Ok(Glob { kind: Kind::Exact(pattern.to_owned()) });
        }
        if let Some(suffix) = pattern.strip_prefix("**")
            && !special(suffix)
        {
            return Ok(Glob { kind: Kind::Suffix(suffix.to_owned()) });
        }
        if let Some(prefix) = pattern.strip_suffix("**")
            && !special(prefix)
        {
            return Ok(Glob { kind: Kind::Prefix(prefix.to_owned()) });
        }
        let mut tokens = Vec::new();
        let mut rest = pattern.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '*' if rest.next_if_eq(&'*').is_some() => {
                    rest.next_if_eq(&'/');
                    if rest.peek().is_none() {
                        tokens.push(Token::Deep);
                    } else {
                        tokens.push(Token::Optional);
                        tokens.push(Token::UntilSlash);
                    }
                }
                '*' => tokens.push(Token::Many),
                '?' => tokens.push(Token::One),
                '[' => tokens.push(class(&mut rest, true).ok_or_else(|| syntax(pattern))?),
                '\\' => tokens.push(Token::Char(rest.next().ok_or_else(|| syntax(pattern))?)),
                _ => tokens.push(Token::Char(c)),
            }
        }
        Ok(Glob { kind: Kind::Tokens(tokens) })
    }

    /// Says whether a text has characters that are special in a pattern.
    ///
    /// A source of COPY without any is a plain name, and it is an error when it does not exist.
    pub fn has_wildcard(text: &str) -> bool {
        text.contains(['*', '?', '[', '\\'])
    }

    /// The only path that matches, where the pattern has no wildcard.
    pub fn literal(&self) -> Option<&str> {
        match &self.kind {
            Kind::Exact(text) => Some(text),
            _ => None,
        }
    }

    /// Says whether the whole path matches.
    pub fn matches(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        match &self.kind {
            Kind::Exact(text) => text.as_bytes() == path,
            Kind::Prefix(text) => path.starts_with(text.as_bytes()),
            Kind::Suffix(text) => {
                path.ends_with(text.as_bytes()) || text.strip_prefix('/').is_some_and(|rest| rest.as_bytes() == path)
            }
            Kind::Tokens(tokens) => run(tokens, path, b"").is_some_and(|states| states.last() == Some(&true)),
        }
    }

    /// Says whether some path beneath the directory could match; a directory for which this is
    /// false need not be entered.
    pub fn may_match_below(&self, directory: impl AsRef<[u8]>) -> bool {
        let directory = directory.as_ref();
        if directory.is_empty() {
            return true;
        }
        let below = |text: &str| text.as_bytes().strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"));
        match &self.kind {
            Kind::Exact(text) => below(text),
            Kind::Prefix(text) => {
                below(text)
                    || directory.starts_with(text.as_bytes())
                    || text.strip_suffix('/').is_some_and(|text| text.as_bytes() == directory)
            }
            Kind::Suffix(_) => true,
            // Any state but the accepting one can be left on some character, and so be completed.
            Kind::Tokens(tokens) => {
                run(tokens, directory, b"/").is_some_and(|states| states.iter().take(tokens.len()).any(|alive| *alive))
            }
        }
    }
}

fn check_length(pattern: &str) -> Result<(), GlobError> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(GlobError::TooLong { length: pattern.len() });
    }
    Ok(())
}

fn syntax(pattern: &str) -> GlobError {
    GlobError::Syntax { pattern: pattern.to_owned() }
}

fn simplify(tokens: Vec<Token>) -> Kind {
    let literal: Option<String> = tokens
        .iter()
        .map(|token| match token {
            Token::Char(c) => Some(*c),
            _ => None,
        })
        .collect();
    literal.map_or(Kind::Tokens(tokens), Kind::Exact)
}

/// Reads a class behind its `[`.
fn class(rest: &mut impl Iterator<Item = char>, slash: bool) -> Option<Token> {
    let mut next = rest.next()?;
    let negated = next == '^';
    if negated {
        next = rest.next()?;
    }
    let mut ranges = Vec::new();
    loop {
        if next == ']' && !ranges.is_empty() {
            return Some(Token::Class { negated, ranges, slash });
        }
        let low = member(next, rest)?;
        next = rest.next()?;
        let high = if next == '-' {
            let first = rest.next()?;
            let high = member(first, rest)?;
            next = rest.next()?;
            high
        } else {
            low
        };
        if low > high {
            return None;
        }
        ranges.push((low, high));
    }
}

fn member(c: char, rest: &mut impl Iterator<Item = char>) -> Option<char> {
    match c {
        '\\' => rest.next(),
        '-' | ']' => None,
        _ => Some(c),
    }
}

/// Runs the automaton over a path and a tail; the result says which states are alive at the end,
/// the last being the accepting one. `None` where all died on the way.
fn run(tokens: &[Token], path: &[u8], tail: &[u8]) -> Option<Vec<bool>> {
    let mut states = vec![false; tokens.len() + 1];
    let mut next = states.clone();
    if let Some(first) = states.first_mut() {
        *first = true;
    }
    close(tokens, &mut states);
    for part in [path, tail] {
        let mut rest = part;
        while let Some((c, width)) = decode(rest) {
            rest = &rest[width..];
            next.fill(false);
            let mut any = false;
            for (index, token) in tokens.iter().enumerate() {
                if !states[index] {
                    continue;
                }
                let (stay, go) = step(token, c);
                next[index] |= stay;
                next[index + 1] |= go;
                any |= stay || go;
            }
            if !any {
                return None;
            }
            close(tokens, &mut next);
            std::mem::swap(&mut states, &mut next);
        }
    }
    Some(states)
}

/// Follows the transitions that take no character; they only lead forward.
fn close(tokens: &[Token], states: &mut [bool]) {
    for (index, token) in tokens.iter().enumerate() {
        if !states[index] {
            continue;
        }
        match token {
            Token::Many | Token::Deep => states[index + 1] = true,
            Token::Optional => {
                states[index + 1] = true;
                if let Some(behind) = states.get_mut(index + 2) {
                    *behind = true;
                }
            }
            _ => {}
        }
    }
}

/// Says for a token and a character whether the state stays alive and whether the next becomes so.
fn step(token: &Token, c: char) -> (bool, bool) {
    match token {
        Token::Char(wanted) => (false, *wanted == c),
        Token::One => (false, c != '/'),
        Token::Many => (c != '/', false),
        Token::Deep => (true, false),
        Token::Optional => (false, false),
        Token::UntilSlash => (true, c == '/'),
        Token::Class { negated, ranges, slash } => {
            let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
            (false, inside != *negated && (*slash || c != '/'))
        }
    }
}

/// Takes the first character; a malformed byte is U+FFFD of width 1.
fn decode(bytes: &[u8]) -> Option<(char, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((char::from(first), 1));
    }
    let head = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
    };
    Some(valid.chars().next().map_or(('\u{fffd}', 1), |c| (c, c.len_utf8())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_gos() {
        // pattern | path | expected (None: bad pattern)
        let table = [
            ("abc", "abc", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "a", Some(true)),
            ("a*", "ab/c", Some(false)),
            ("a*/b", "abc/b", Some(true)),
            ("a*/b", "a/c/b", Some(false)),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", Some(true)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Some(false)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
            ("ab[c]", "abc", Some(true)),
            ("ab[b-d]", "abc", Some(true)),
            ("ab[e-g]", "abc", Some(false)),
            ("ab[^c]", "abc", Some(false)),
            ("ab[^e-g]", "abc", Some(true)),
            ("a\\*b", "a*b", Some(true)),
            ("a\\*b", "ab", Some(false)),
            ("a?b", "a\u{263a}b", Some(true)),
            ("a[^a]b", "a\u{263a}b", Some(true)),
            ("a???b", "a\u{263a}b", Some(false)),
            ("[a-\u{3b6}]*", "\u{3b1}", Some(true)),
            ("a?b", "a/b", Some(false)),
            ("a*b", "a/b", Some(false)),
            ("a[^b]c", "a/c", Some(false)),
            ("[\\]a]", "]", Some(true)),
            ("[\\-]", "-", Some(true)),
            ("[x\\-]", "z", Some(false)),
            ("[[]", "[", Some(true)),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[x-]", "x", None),
            ("[-x]", "x", None),
            ("[b-a]", "a", None),
            ("[", "a", None),
            ("[^", "a", None),
            ("[^bc", "a", None),
            ("a[", "a", None),
            ("\\", "a", None),
            ("*x", "xxx", Some(true)),
            ("", "", Some(true)),
            ("", "a", Some(false)),
            ("**", "a/b", Some(false)),
        ];
        for (pattern, path, expected) in table {
            let found = Glob::wildcard(pattern).ok().map(|glob| glob.matches(path));
            assert_eq!(found, expected, "{pattern:?} on {path:?}");
        }
    }

    #[test]
    fn double_stars_cross_slashes() {
        let table = [
            ("**", "file", true),
            ("**", "dir/file", true),
            ("**/file", "file", true),
            ("**/file", "a/b/file", true),
            ("**/file", "a/b/myfile", false),
            ("**file", "a/myfile", true),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir/a/b", true),
            ("dir/**", "dir", false),
            ("dir**", "dirx/a", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "ab", false),
            ("a**/b", "a/b", true),
            ("a**/b", "ab", true),
            ("a**/b", "ax/b", true),
            ("**/*.txt", "x.txt", true),
            ("**/*.txt", "a/b/x.txt", true),
            ("**/*.txt", "a/b/x.txt/y", false),
            ("**/a/**", "x/a/y", true),
            ("**/a/**", "x/b/y", false),
            ("*.txt", "a/x.txt", false),
            ("a[b-d]e", "ace", true),
            ("a[^b]e", "a/e", true),
            ("a\\*b", "a*b", true),
            ("a.|b", "a.|b", true),
        ];
        for (pattern, path, expected) in table {
            let glob = Glob::recursive(pattern).unwrap();
            assert_eq!(glob.matches(path), expected, "{pattern:?} on {path:?}");
        }
        assert!(Glob::recursive("[").is_err());
    }

    #[test]
    fn bytes_that_are_no_utf8_are_one_character_each() {
        assert!(Glob::wildcard("a?b").unwrap().matches(b"a\xffb"));
        assert!(!Glob::wildcard("a?b").unwrap().matches(b"a\xff\xffb"));
        assert!(Glob::wildcard("a?b").unwrap().matches("a\u{fc}b".as_bytes()));
    }

    #[test]
    fn directories_that_cannot_hold_a_match_are_known() {
        let table = [
            ("a/b/c", "a", true),
            ("a/b/c", "a/b", true),
            ("a/b/c", "a/b/c", false),
            ("a/b/c", "x", false),
            ("*/b", "a", true),
            ("*/b", "a/x", false),
            ("**/b", "x/y", true),
            ("a/**", "a", true),
            ("a/**", "b", false),
            ("a/*/z", "a/b", true),
            ("a/*/z", "b", false),
            ("a/**/z*", "a/q/r", true),
            ("a/**/z*", "b/q/r", false),
            ("a/**/z*", "", true),
        ];
        for (pattern, directory, expected) in table {
            let glob = Glob::recursive(pattern).unwrap();
            assert_eq!(glob.may_match_below(directory), expected, "{pattern:?} below {directory:?}");
        }
    }

    #[test]
    fn patterns_have_a_length_limit() {
        assert!(Glob::wildcard(&"a".repeat(MAX_PATTERN_BYTES)).is_ok());
        assert_eq!(
            Glob::recursive(&"a".repeat(MAX_PATTERN_BYTES + 1)).unwrap_err(),
            GlobError::TooLong { length: MAX_PATTERN_BYTES + 1 }
        );
    }

    #[test]
    fn hostile_patterns_take_no_exponential_time() {
        let pattern = "*a".repeat(200);
        assert!(!Glob::wildcard(&pattern).unwrap().matches("a".repeat(199) + "b"));
        let pattern = "**/a".repeat(100) + "?";
        assert!(!Glob::recursive(&pattern).unwrap().matches("a/".repeat(100)));
    }

    proptest::proptest! {
        #[test]
        fn a_match_below_is_never_missed(
            pattern in "[ab/*?]{0,8}",
            directory in "[ab]{1,2}(/[ab]{1,2}){0,2}",
            rest in "[ab]{1,2}(/[ab]{1,2}){0,2}",
        ) {
            if let Ok(glob) = Glob::recursive(&pattern)
                && glob.matches(format!("{directory}/{rest}"))
            {
                proptest::prop_assert!(glob.may_match_below(&directory));
            }
        }

        #[test]
        fn a_pattern_of_quoted_letters_matches_only_its_text(text in "\\PC{1,12}", other in "\\PC{0,12}") {
            let pattern: String = text.chars().flat_map(|c| ['\\', c]).collect();
            let glob = Glob::wildcard(&pattern).unwrap();
            proptest::prop_assert!(glob.matches(&text));
            proptest::prop_assert_eq!(glob.matches(&other), text == other);
        }
    }
}

//! Variables and quotes: `$name`, `${name:-word}` and the rest.
//!
//! Operators: `-` `:-` `+` `:+` `?` `:?` (unset, or with `:` also empty), `#` `##` `%` `%%` (cut a
//! pattern from the front or the end, shortest or longest), `/` and `//` (replace a pattern once or
//! everywhere). Patterns know `*`, `?` and `\`.
//!
//! Spec: Dockerfile reference, "Environment replacement"; the details are those of BuildKit's shell
//! lexer, so that a Dockerfile means the same here and there.

use std::collections::{BTreeMap, HashMap};

use crate::directive::Escape;

/// How deep `${a:-${b:-...}}` may nest: real files use two or three, and each level is a frame of
/// the stack.
pub const MAX_NESTING: usize = 64;

/// The longest result of one expansion in bytes. `ENV a=$a$a` doubles a value; thirty such lines
/// would fill the memory.
pub const MAX_EXPANDED_BYTES: usize = 16 * 1024 * 1024;

/// The product of pattern and value lengths up to which a pattern is matched: above it, matching
/// would take seconds.
const MAX_PATTERN_WORK: usize = 1 << 26;

/// The variables that an expansion sees.
pub trait Scope {
    /// The value of a variable, or `None` when it is not set.
    fn value(&self, name: &str) -> Option<&str>;
}

impl Scope for BTreeMap<String, String> {
    fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

impl Scope for HashMap<String, String> {
    fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

/// Pairs; a later one hides an earlier.
impl Scope for [(String, String)] {
    fn value(&self, name: &str) -> Option<&str> {
        self.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Scope for Vec<(String, String)> {
    fn value(&self, name: &str) -> Option<&str> {
        self.as_slice().value(name)
    }
}

/// No variable is set.
impl Scope for () {
    fn value(&self, _name: &str) -> Option<&str> {
        None
    }
}

/// A word cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpandError {
    /// A `${` has no `}`.
    #[error("missing \"}}\" in {word:?}")]
    MissingBrace {
        /// The word.
        word: String,
    },
    /// The pattern of `${name/pattern/...}` has no end.
    #[error("missing \"/\" behind the pattern in {word:?}")]
    MissingSlash {
        /// The word.
        word: String,
    },
    /// A `${` is followed by no name.
    #[error("bad substitution in {word:?}")]
    BadSubstitution {
        /// The word.
        word: String,
    },
    /// There is no such operator.
    #[error("unsupported modifier {modifier:?} in {word:?}")]
    Modifier {
        /// The word.
        word: String,
        /// The operator.
        modifier: String,
    },
    /// A quote has no end.
    #[error("missing closing {quote} in {word:?}")]
    Quote {
        /// The word.
        word: String,
        /// The quote.
        quote: char,
    },
    /// A variable that must be set is not; from `${name?message}`.
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// The message of the file, or a default.
        message: String,
    },
    /// A pattern has a `\` in front of something that needs none.
    #[error(
        "invalid pattern {pattern:?} in {word:?}: \"\\\" may stand before \"*\", \"?\", \"\\\", \"/\" and \"}}\" only"
    )]
    Pattern {
        /// The word.
        word: String,
        /// The pattern.
        pattern: String,
    },
    /// Braces are nested too deeply.
    #[error("more than {MAX_NESTING} nested substitutions")]
    TooDeep,
    /// The result is too long.
    #[error("the expanded text has more than {MAX_EXPANDED_BYTES} bytes")]
    TooLong,
    /// A pattern and a value are too long to be matched.
    #[error("a pattern of {pattern} bytes is too long for a value of {value} bytes")]
    PatternWork {
        /// The length of the pattern.
        pattern: usize,
        /// The length of the value.
        value: usize,
    },
}

/// An expanded text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansion {
    /// The text without quotes and with values in place.
    pub text: String,
    /// The names that were asked for and not set, in order, each once.
    pub undefined: Vec<String>,
}

/// Expands a word: variables are replaced, quotes removed, escapes resolved; white space stays.
///
/// # Errors
/// [`ExpandError`].
pub fn expand(word: &str, escape: Escape, scope: &dyn Scope) -> Result<Expansion, ExpandError> {
    // Most words have nothing to do; this keeps them to one scan and one copy.
    if !word.contains(['$', '\'', '"', escape.char()]) {
        return Ok(Expansion { text: word.to_owned(), undefined: Vec::new() });
    }
    let mut lexer = Lexer::new(word, escape, scope, true);
    let (text, _) = lexer.until(None, false)?;
    Ok(Expansion { text, undefined: lexer.undefined })
}

/// Expands a text and splits the result at white space that was not quoted.
///
/// # Errors
/// [`ExpandError`].
pub fn expand_words(text: &str, escape: Escape, scope: &dyn Scope) -> Result<(Vec<String>, Vec<String>), ExpandError> {
    let mut lexer = Lexer::new(text, escape, scope, true);
    let (_, words) = lexer.until(None, false)?;
    Ok((words, lexer.undefined))
}

/// Expands the body of a heredoc: quotes stay, `\` removes itself, as in BuildKit.
///
/// # Errors
/// [`ExpandError`].
pub fn expand_heredoc(body: &str, scope: &dyn Scope) -> Result<Expansion, ExpandError> {
    let mut lexer = Lexer::new(body, Escape::Backslash, scope, false);
    let (text, _) = lexer.until(None, false)?;
    Ok(Expansion { text, undefined: lexer.undefined })
}

struct Lexer<'a> {
    word: &'a str,
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    escape: char,
    scope: &'a dyn Scope,
    quotes: bool,
    depth: usize,
    /// Bytes written so far on any level.
    written: usize,
    undefined: Vec<String>,
}

#[derive(Default)]
struct Words {
    done: Vec<String>,
    word: String,
    inside: bool,
}

impl Words {
    fn unquoted(&mut self, c: char) {
        if !c.is_whitespace() {
            self.quoted(c);
        } else if self.inside && !self.word.is_empty() {
            self.done.push(std::mem::take(&mut self.word));
            self.inside = false;
        }
    }

    fn quoted(&mut self, c: char) {
        self.word.push(c);
        self.inside = true;
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.done.push(self.word);
        }
        self.done
    }
}

impl<'a> Lexer<'a> {
    fn new(word: &'a str, escape: Escape, scope: &'a dyn Scope, quotes: bool) -> Lexer<'a> {
        Lexer {
            word,
            rest: word.chars().peekable(),
            escape: escape.char(),
            scope,
            quotes,
            depth: 0,
            written: 0,
            undefined: Vec::new(),
        }
    }

    /// The word as errors show it: capped, since it may be a whole heredoc.
    fn shown(&self) -> String {
        const SHOWN: usize = 80;
        let mut shown: String = self.word.chars().take(SHOWN).collect();
        if shown.len() < self.word.len() {
            shown.push('\u{2026}');
        }
        shown
    }

    fn count(&mut self, bytes: usize) -> Result<(), ExpandError> {
        self.written = self.written.saturating_add(bytes);
        if self.written > MAX_EXPANDED_BYTES { Err(ExpandError::TooLong) } else { Ok(()) }
    }

    /// Processes until the stop character, which is taken, or the end of the text.
    ///
    /// With `raw`, escapes stay in the result: they belong to a pattern.
    fn until(&mut self, stop: Option<char>, raw: bool) -> Result<(String, Vec<String>), ExpandError> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(ExpandError::TooDeep);
        }
        let mut text = String::new();
        let mut words = Words::default();
        while let Some(&c) = self.rest.peek() {
            if stop == Some(c) {
                self.rest.next();
                self.depth -= 1;
                return Ok((text, words.finish()));
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    self.count(value.len())?;
                    value.chars().for_each(|c| words.unquoted(c));
                    text.push_str(&value);
                }
                '\'' | '"' if self.quotes => {
                    let value = if c == '"' { self.double(raw)? } else { self.single()? };
                    self.count(value.len())?;
                    words.word.push_str(&value);
                    words.inside = true;
                    text.push_str(&value);
                }
                _ => {
                    self.rest.next();
                    if c != self.escape {
                        words.unquoted(c);
                        text.push(c);
                        continue;
                    }
                    if raw {
                        words.quoted(c);
                        text.push(c);
                    }
                    if let Some(next) = self.rest.next() {
                        words.quoted(next);
                        text.push(next);
                    }
                }
            }
        }
        self.depth -= 1;
        match stop {
            None => Ok((text, words.finish())),
            Some('/') => Err(ExpandError::MissingSlash { word: self.shown() }),
            Some(_) => Err(ExpandError::MissingBrace { word: self.shown() }),
        }
    }

    fn single(&mut self) -> Result<String, ExpandError> {
        self.rest.next();
        let mut text = String::new();
        for c in self.rest.by_ref() {
            if c == '\'' {
                return Ok(text);
            }
            text.push(c);
        }
        Err(ExpandError::Quote { word: self.shown(), quote: '\'' })
    }

    fn double(&mut self, raw: bool) -> Result<String, ExpandError> {
        self.rest.next();
        let mut text = String::new();
        while let Some(&c) = self.rest.peek() {
            match c {
                '"' => {
                    self.rest.next();
                    return Ok(text);
                }
                '$' => {
                    let value = self.dollar()?;
                    self.count(value.len())?;
                    text.push_str(&value);
                }
                _ => {
                    self.rest.next();
                    if c == self.escape {
                        match self.rest.peek() {
                            None => break,
                            Some(&next) if next == '"' || next == '$' || next == self.escape => {
                                self.rest.next();
                                if raw {
                                    text.push(c);
                                }
                                text.push(next);
                                continue;
                            }
                            Some(_) => {}
                        }
                    }
                    text.push(c);
                }
            }
        }
        Err(ExpandError::Quote { word: self.shown(), quote: '"' })
    }

    fn lookup(&mut self, name: &str) -> Option<&'a str> {
        let value = self.scope.value(name);
        if value.is_none() && !self.undefined.iter().any(|known| known == name) {
            self.undefined.push(name.to_owned());
        }
        value
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        self.rest.next();
        if self.rest.next_if_eq(&'{').is_none() {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(self.lookup(&name).unwrap_or_default().to_owned());
        }
        match self.rest.peek() {
            None => return Err(ExpandError::MissingBrace { word: self.shown() }),
            Some('{' | '}' | ':') => {
                return Err(ExpandError::BadSubstitution { word: self.shown() });
            }
            Some(_) => {}
        }
        let name = self.name();
        let Some(operator) = self.rest.next() else {
            return Err(ExpandError::MissingBrace { word: self.shown() });
        };
        if name.is_empty() {
            return Err(ExpandError::BadSubstitution { word: self.shown() });
        }
        match operator {
            '}' => Ok(self.lookup(&name).unwrap_or_default().to_owned()),
            ':' => match self.rest.next() {
                Some(operator @ ('-' | '+' | '?')) => self.alternative(&name, operator, true),
                Some(other) => self.unsupported(&format!(":{other}")),
                None => Err(ExpandError::MissingBrace { word: self.shown() }),
            },
            '-' | '+' | '?' => self.alternative(&name, operator, false),
            '#' | '%' => self.trim(&name, operator),
            '/' => self.replace(&name),
            other => self.unsupported(&other.to_string()),
        }
    }

    fn unsupported(&self, modifier: &str) -> Result<String, ExpandError> {
        Err(ExpandError::Modifier { word: self.shown(), modifier: modifier.to_owned() })
    }

    /// `-`, `+`, `?`, with or without `:`.
    fn alternative(&mut self, name: &str, operator: char, empty_is_unset: bool) -> Result<String, ExpandError> {
        let (word, _) = self.until(Some('}'), false)?;
        let value = self.scope.value(name);
        let usable = value.filter(|value| !(empty_is_unset && value.is_empty()));
        match (operator, usable) {
            // A name with an alternative is not reported as undefined: the file provides for it.
            ('-', Some(value)) => Ok(value.to_owned()),
            ('-', None) => Ok(word),
            ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value.to_owned()),
            (_, None) => {
                let default = match value {
                    Some(_) => "is not allowed to be empty",
                    None => "is not allowed to be unset",
                };
                let message = if word.is_empty() { default.to_owned() } else { word };
                Err(ExpandError::Required { name: name.to_owned(), message })
            }
        }
    }

    /// `#`, `##`, `%`, `%%`.
    fn trim(&mut self, name: &str, operator: char) -> Result<String, ExpandError> {
        let (word, _) = self.until(Some('}'), true)?;
        let (longest, pattern) = match word.strip_prefix(operator) {
            Some(rest) => (true, rest),
            None => (false, word.as_str()),
        };
        let value = self.lookup(name).unwrap_or_default();
        let pattern = self.pattern(pattern, value)?;
        let chars: Vec<char> = value.chars().collect();
        let kept: String = if operator == '#' {
            match pattern.prefix(chars.iter().copied(), longest) {
                Some(length) => chars.into_iter().skip(length).collect(),
                None => value.to_owned(),
            }
        } else {
            match pattern.reversed().prefix(chars.iter().rev().copied(), longest) {
                Some(length) => chars[..chars.len() - length].iter().collect(),
                None => value.to_owned(),
            }
        };
        Ok(kept)
    }

    /// `/` and `//`.
    fn replace(&mut self, name: &str) -> Result<String, ExpandError> {
        let everywhere = self.rest.next_if_eq(&'/').is_some();
        let (pattern, _) = self.until(Some('/'), true)?;
        let (replacement, _) = self.until(Some('}'), true)?;
        let value = self.lookup(name).unwrap_or_default();
        let pattern = self.pattern(&pattern, value)?;
        let chars: Vec<char> = value.chars().collect();
        let mut result = String::new();
        let mut at = 0;
        // An empty match right behind another match does not count, as in Go's regexp.
        let mut last_end = None;
        let mut budget = MAX_PATTERN_WORK;
        while at <= chars.len() {
            budget = budget.saturating_sub(pattern.0.len() + 1);
            if budget == 0 {
                return Err(ExpandError::PatternWork { pattern: pattern.0.len(), value: value.len() });
            }
            let rest = &chars[at..];
            let found = pattern.prefix_within(rest.iter().copied(), true, &mut budget);
            match found {
                Some(0) if last_end == Some(at) => {}
                Some(length) => {
                    self.count(replacement.len())?;
                    result.push_str(&replacement);
                    at += length;
                    last_end = Some(at);
                    if !everywhere {
                        break;
                    }
                    if length > 0 {
                        continue;
                    }
                }
                None => {}
            }
            result.extend(chars.get(at));
            at += 1;
        }
        result.extend(chars.get(at..).unwrap_or_default());
        Ok(result)
    }

    fn pattern(&self, text: &str, value: &str) -> Result<Pattern, ExpandError> {
        if text.len().saturating_mul(value.len()) > MAX_PATTERN_WORK {
            return Err(ExpandError::PatternWork { pattern: text.len(), value: value.len() });
        }
        Pattern::parse(text).ok_or_else(|| ExpandError::Pattern { word: self.shown(), pattern: text.to_owned() })
    }

    /// A name: digits, or one special parameter, or letters, digits and underscores.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.rest.peek() {
            Some(c) if c.is_numeric() => {
                while let Some(c) = self.rest.next_if(|c| c.is_numeric()) {
                    name.push(c);
                }
            }
            Some(&c) if "@*#?-$!".contains(c) => {
                self.rest.next();
                name.push(c);
            }
            _ => {
                while let Some(c) = self.rest.next_if(|c| c.is_alphabetic() || c.is_numeric() || *c == '_') {
                    name.push(c);
                }
            }
        }
        name
    }
}

/// A pattern of `#`, `%` and `/`.
struct Pattern(Vec<Piece>);

#[derive(Clone, Copy, PartialEq)]
enum Piece {
    Char(char),
    One,
    Many,
}

impl Pattern {
    fn parse(text: &str) -> Option<Pattern> {
        let mut pieces = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            pieces.push(match c {
                '*' => Piece::Many,
                '?' => Piece::One,
                '\\' => match rest.next()? {
                    quoted @ ('*' | '?' | '\\' | '/' | '}') => Piece::Char(quoted),
                    _ => return None,
                },
                _ => Piece::Char(c),
            });
        }
        pieces.dedup_by(|a, b| *a == Piece::Many && *b == Piece::Many);
        Some(Pattern(pieces))
    }

    fn reversed(mut self) -> Pattern {
        self.0.reverse();
        self
    }

    fn prefix(&self, text: impl Iterator<Item = char>, longest: bool) -> Option<usize> {
        let mut unlimited = usize::MAX;
        self.prefix_within(text, longest, &mut unlimited)
    }

    /// The number of characters of the shortest or longest match at the start of a text; each
    /// character looked at costs the length of the pattern from the budget, and none is looked at
    /// when that is spent.
    fn prefix_within(&self, text: impl Iterator<Item = char>, longest: bool, budget: &mut usize) -> Option<usize> {
        let pieces = &self.0;
        let mut states = vec![false; pieces.len() + 1];
        let mut next = states.clone();
        states[0] = true;
        let close = |states: &mut [bool]| {
            for (index, piece) in pieces.iter().enumerate() {
                if states[index] && *piece == Piece::Many {
                    states[index + 1] = true;
                }
            }
        };
        close(&mut states);
        let mut best = None;
        let mut text = text.enumerate();
        let mut length = 0;
        loop {
            if states.last() == Some(&true) {
                best = Some(length);
                if !longest {
                    return best;
                }
            }
            *budget = budget.saturating_sub(pieces.len() + 1);
            if *budget == 0 {
                return best;
            }
            let Some((index, c)) = text.next() else { return best };
            length = index + 1;
            next.fill(false);
            for (index, piece) in pieces.iter().enumerate() {
                if !states[index] {
                    continue;
                }
                match piece {
                    Piece::Char(wanted) => next[index + 1] |= *wanted == c,
                    Piece::One => next[index + 1] = true,
                    Piece::Many => next[index] = true,
                }
            }
            close(&mut next);
            std::mem::swap(&mut states, &mut next);
            if !states.contains(&true) {
                return best;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> BTreeMap<String, String> {
        [
            ("foo", "bar"),
            ("empty", ""),
            ("two", "a b"),
            ("path", "/usr/local/bin/x.tar.gz"),
            ("string", "foobarbaz"),
            ("stars", "a*b*c"),
            ("num1", "x"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    #[test]
    fn words_expand_as_in_the_reference() {
        let table = [
            ("hello", "hello"),
            ("$foo", "bar"),
            ("${foo}", "bar"),
            ("a${foo}b", "abarb"),
            ("$foo_", ""),
            ("$unset", ""),
            ("$", "$"),
            ("a$", "a$"),
            ("$/x", "$/x"),
            ("\\$foo", "$foo"),
            ("\\${foo}", "${foo}"),
            ("\\\\$foo", "\\bar"),
            ("'$foo'", "$foo"),
            ("\"$foo\"", "bar"),
            ("\"\\$foo\"", "$foo"),
            ("\"a\\nb\"", "a\\nb"),
            ("a\\nb", "anb"),
            ("'it'\"s\"", "its"),
            ("\"a'b\"", "a'b"),
            ("x\\", "x"),
            ("$two", "a b"),
            // unset and empty are distinct
            ("${foo:-x}", "bar"),
            ("${empty:-x}", "x"),
            ("${unset:-x}", "x"),
            ("${foo-x}", "bar"),
            ("${empty-x}", ""),
            ("${unset-x}", "x"),
            ("${foo:+x}", "x"),
            ("${empty:+x}", ""),
            ("${unset:+x}", ""),
            ("${foo+x}", "x"),
            ("${empty+x}", "x"),
            ("${unset+x}", ""),
            ("${foo:?m}", "bar"),
            ("${empty?m}", ""),
            ("${unset:-${foo}}", "bar"),
            ("${unset:-'}'}", "}"),
            ("${unset:-a b}", "a b"),
            ("${unset:-\\}}", "}"),
            ("${unset:-}", ""),
            // patterns
            ("${path#*/}", "usr/local/bin/x.tar.gz"),
            ("${path##*/}", "x.tar.gz"),
            ("${path%.*}", "/usr/local/bin/x.tar"),
            ("${path%%.*}", "/usr/local/bin/x"),
            ("${path%/*}", "/usr/local/bin"),
            ("${path#/???/}", "local/bin/x.tar.gz"),
            ("${path#nope}", "/usr/local/bin/x.tar.gz"),
            ("${unset#x}", ""),
            ("${stars#a\\*}", "b*c"),
            ("${stars#*\\*}", "b*c"),
            ("${string/ba/fo}", "fooforbaz"),
            ("${string//ba/fo}", "fooforfoz"),
            ("${string/b*r/X}", "fooXbaz"),
            ("${string//o/}", "fbarbaz"),
            ("${string//?a/<>}", "foo<>r<>z"),
            ("${string//*/x}", "x"),
            ("${string/nope/x}", "foobarbaz"),
            ("${path//\\//_}", "_usr_local_bin_x.tar.gz"),
            ("${empty//*/x}", "x"),
            ("${unset/a/b}", ""),
            // special parameters and numbers are names
            ("$1", ""),
            ("$1foo", "foo"),
            ("${num1}", "x"),
            ("$@x", "x"),
        ];
        for (word, expected) in table {
            let found = expand(word, Escape::Backslash, &scope());
            assert_eq!(found.map(|expansion| expansion.text).as_deref(), Ok(expected), "{word}");
        }
    }

    #[test]
    fn the_escape_character_is_the_files() {
        let table = [("`$foo", "$foo"), ("\\$foo", "\\bar"), ("C:\\x", "C:\\x"), ("\"`\"\"", "\"")];
        for (word, expected) in table {
            let found = expand(word, Escape::Backtick, &scope());
            assert_eq!(found.map(|expansion| expansion.text).as_deref(), Ok(expected), "{word}");
        }
    }

    #[test]
    fn faults_are_named() {
        let table = [
            ("${", "missing \"}\""),
            ("${foo", "missing \"}\""),
            ("${foo:", "missing \"}\""),
            ("${foo:-x", "missing \"}\""),
            ("${foo/a", "missing \"/\""),
            ("${foo/a/b", "missing \"}\""),
            ("${}", "bad substitution"),
            ("${:x}", "bad substitution"),
            ("${{x}}", "bad substitution"),
            ("${ x}", "bad substitution"),
            ("${foo^}", "unsupported modifier \"^\""),
            ("${foo:=x}", "unsupported modifier \":=\""),
            ("${foo:#x}", "unsupported modifier \":#\""),
            ("'x", "missing closing '"),
            ("\"x", "missing closing \""),
            ("\"x\\", "missing closing \""),
            ("${unset?}", "unset: is not allowed to be unset"),
            ("${unset?give it}", "unset: give it"),
            ("${empty:?}", "empty: is not allowed to be empty"),
            ("${foo#\\a}", "invalid pattern"),
        ];
        for (word, part) in table {
            let error = expand(word, Escape::Backslash, &scope()).unwrap_err().to_string();
            assert!(error.contains(part), "{word}: {error}");
        }
    }

    #[test]
    fn names_that_are_not_set_are_reported_once() {
        let found = expand("$a ${b} $a ${c:-x} ${d+y} $foo", Escape::Backslash, &scope()).unwrap();
        assert_eq!(found.undefined, ["a", "b"]);
    }

    #[test]
    fn words_split_behind_the_expansion_and_not_in_quotes() {
        let table: [(&str, &[&str]); 7] = [
            ("a b  c", &["a", "b", "c"]),
            ("$two", &["a", "b"]),
            ("\"$two\" x", &["a b", "x"]),
            ("x$two", &["xa", "b"]),
            ("a\\ b", &["a b"]),
            ("'' a", &["a"]),
            ("  ", &[]),
        ];
        for (text, expected) in table {
            let (words, _) = expand_words(text, Escape::Backslash, &scope()).unwrap();
            assert_eq!(words, expected, "{text}");
        }
    }

    #[test]
    fn heredocs_keep_their_quotes() {
        let found = expand_heredoc("echo \"$foo\" '${foo}' \\$foo it's\n", &scope()).unwrap();
        assert_eq!(found.text, "echo \"bar\" 'bar' $foo it's\n");
    }

    #[test]
    fn nesting_and_length_are_limited() {
        let nested = |depth: usize| "${a:-".repeat(depth) + &"}".repeat(depth);
        assert!(expand(&nested(MAX_NESTING - 1), Escape::Backslash, &()).is_ok());
        assert_eq!(expand(&nested(MAX_NESTING), Escape::Backslash, &()), Err(ExpandError::TooDeep));
        let half = BTreeMap::from([("a".to_owned(), "x".repeat(MAX_EXPANDED_BYTES / 2))]);
        assert!(expand("$a$a", Escape::Backslash, &half).is_ok());
        assert_eq!(expand("$a$a$a", Escape::Backslash, &half), Err(ExpandError::TooLong));
        let big = BTreeMap::from([("a".to_owned(), "x".repeat(MAX_PATTERN_WORK / 2 - 1))]);
        assert!(matches!(expand("${a#yyy}", Escape::Backslash, &big), Err(ExpandError::PatternWork { .. })));
    }

    proptest::proptest! {
        #[test]
        fn plain_text_expands_to_itself(text in "[^$'\"\\\\]{0,40}") {
            let found = expand(&text, Escape::Backslash, &()).unwrap();
            proptest::prop_assert_eq!(found.text, text);
        }

        #[test]
        fn quoted_text_expands_to_itself(text in "[^']{0,40}") {
            let found = expand(&format!("'{text}'"), Escape::Backslash, &()).unwrap();
            proptest::prop_assert_eq!(found.text, text);
        }

        #[test]
        fn nothing_panics(text in "[${}:/#%?*+\\-a'\"\\\\ ]{0,40}") {
            let _ = expand(&text, Escape::Backslash, &scope());
            let _ = expand_words(&text, Escape::Backtick, &scope());
            let _ = expand_heredoc(&text, &scope());
        }
    }
}

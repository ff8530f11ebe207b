//! Which paths of packages are left out: dpkg's `path-exclude` and `path-include`. Spec: dpkg(1).

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRule {
    /// Keeps what it matches; leaves it out otherwise.
    pub include: bool,
    /// A shell pattern for absolute paths: `*` and `?` match slashes, too.
    pub pattern: Box<[u8]>,
}

/// Rules in order: of those that match the last one decides. Without rules nothing is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PathFilter {
    /// The rules.
    pub rules: Vec<PathRule>,
}

impl PathFilter {
    /// Adds a rule that leaves out.
    #[must_use]
    pub fn exclude(self, pattern: &str) -> Self {
        self.with(false, pattern)
    }

    /// Adds a rule that keeps.
    #[must_use]
    pub fn include(self, pattern: &str) -> Self {
        self.with(true, pattern)
    }

    fn with(mut self, include: bool, pattern: &str) -> Self {
        self.rules.push(PathRule { include, pattern: pattern.as_bytes().into() });
        self
    }

    /// Whether an entry is left out. `path` is absolute, without a slash at its end; `may_hold` tells that it is a
    /// directory or a symbolic link, which stay where a rule might keep something below them.
    #[must_use]
    pub fn skips(&self, path: &[u8], may_hold: bool) -> bool {
        let matching = self.rules.iter().rev().find(|rule| matches(&rule.pattern, path));
        if matching.is_none_or(|rule| rule.include) {
            return false;
        }
        !(may_hold && self.rules.iter().any(|rule| rule.include && reaches_below(&rule.pattern, path)))
    }
}

/// Whether the pattern, as far as it is literal, is above, at or below the path: dpkg keeps rather too many directories.
fn reaches_below(pattern: &[u8], path: &[u8]) -> bool {
    let literal = pattern.iter().position(|b| b"*?[\\".contains(b)).unwrap_or(pattern.len());
    let mut literal = &pattern[..literal];
    while let Some(rest) = literal.strip_suffix(b"/") {
        literal = rest;
    }
    let common = literal.len().min(path.len());
    literal[..common] == path[..common]
}

/// Tells whether the whole of `text` matches, as fnmatch(3) does without flags and in the C locale: `*`, `?`, `[...]` with
/// ranges, negation and classes, `\` before a literal character. Takes time in proportion to both lengths at most.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when a literal fails: behind the last star, one character further.
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            None if t == text.len() => return true,
            None => None,
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(_) if t == text.len() => None,
            Some(b'?') => Some(p + 1),
            Some(b'[') => match bracket(&pattern[p..], text[t]) {
                Some((true, length)) => Some(p + length),
                Some((false, _)) => None,
                // No closing bracket: a literal one.
                None => (text[t] == b'[').then_some(p + 1),
            },
            Some(b'\\') if p + 1 < pattern.len() => (pattern[p + 1] == text[t]).then_some(p + 2),
            Some(&literal) => (literal == text[t]).then_some(p + 1),
        };
        match (step, star) {
            (Some(next), _) => (p, t) = (next, t + 1),
            (None, Some((after, from))) if from < text.len() => {
                star = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
            (None, _) => return false,
        }
    }
}

/// Whether a bracket expression matches, and how long it is; `None` where it has no end.
fn bracket(pattern: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let mut at = 1 + usize::from(negated);
    let mut found = false;
    let first = at;
    loop {
        let mut low = *pattern.get(at)?;
        if low == b']' && at > first {
            return Some((found != negated, at + 1));
        }
        if let Some(rest) = pattern[at..].strip_prefix(b"[:")
            && let Some(length) = rest.windows(2).position(|pair| pair == b":]")
        {
            found |= in_class(&rest[..length], byte);
            at += length + 4;
            continue;
        }
        if low == b'\\' && at + 1 < pattern.len() {
            at += 1;
            low = pattern[at];
        }
        let mut high = low;
        if pattern.get(at + 1) == Some(&b'-') && pattern.get(at + 2).is_some_and(|&b| b != b']') {
            high = pattern[at + 2];
            at += 2;
        }
        found |= (low..=high).contains(&byte);
        at += 1;
    }
}

/// Spec: POSIX.1-2017, 9.3.5 "RE Bracket Expression", item 6.
fn in_class(class: &[u8], byte: u8) -> bool {
    match class {
        b"alpha" => byte.is_ascii_alphabetic(),
        b"digit" => byte.is_ascii_digit(),
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"upper" => byte.is_ascii_uppercase(),
        b"lower" => byte.is_ascii_lowercase(),
        b"space" => byte.is_ascii_whitespace() || byte == 0x0b,
        b"blank" => byte == b' ' || byte == b'\t',
        b"punct" => byte.is_ascii_punctuation(),
        b"print" => byte.is_ascii_graphic() || byte == b' ',
        b"graph" => byte.is_ascii_graphic(),
        b"cntrl" => byte.is_ascii_control(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        let cases = [
            ("/usr/share/doc/*", "/usr/share/doc/a/copyright", true),
            ("/usr/share/doc/*", "/usr/share/doc", false),
            ("/usr/share/doc/*/copyright", "/usr/share/doc/a/b/copyright", true),
            ("/usr/share/locale/l10n/??", "/usr/share/locale/l10n/de", true),
            ("*", "", true),
            ("", "", true),
            ("", "/", false),
            ("/a[0-9]", "/a5", true),
            ("/a[!0-9]", "/a5", false),
            ("/a[]x]", "/a]", true),
            ("/a[", "/a[", true),
            ("/a\\*", "/a*", true),
            ("/a\\*", "/ab", false),
            ("/*a*b", "/xaxxb", true),
            ("/*a*b", "/xaxxc", false),
            ("[[:digit:]x]", "7", true),
            ("[[:digit:]x]", "x", true),
            ("[[:digit:]x]", "y", false),
            ("[![:space:]]", " ", false),
            ("**********a", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn the_last_rule_decides_and_directories_stay_for_what_they_may_hold() {
        let filter = PathFilter::default().exclude("/usr/share/doc/*").include("/usr/share/doc/*/copyright");
        let cases = [
            ("/usr/share/doc", true, false),
            ("/usr/share/doc/a", true, false),
            ("/usr/share/doc/a/copyright", false, false),
            ("/usr/share/doc/a/changelog.gz", false, true),
            ("/usr/share/doc/a/examples", true, false),
            ("/usr/share/man/man1/a.1.gz", false, false),
        ];
        for (path, may_hold, expected) in cases {
            assert_eq!(filter.skips(path.as_bytes(), may_hold), expected, "{path}");
        }
        let filter = PathFilter::default().exclude("/usr/share/man/*");
        assert!(filter.skips(b"/usr/share/man/man1", true));
        assert!(!PathFilter::default().skips(b"/usr/share/man/man1", false));
    }
}

//! `fnmatch(3)` without flags, over bytes: what dpkg and find match paths with.
//!
//! A star matches slashes, too. Brackets know ranges, negation by `!` or `^`, and POSIX classes in the C locale.

/// Tells whether the whole of `text` matches `pattern`.
///
/// Takes time in proportion to the product of both lengths at most.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not match: that star, and how much it has taken.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        let Some(&byte) = text.get(t) else {
            // What is left of the pattern can only match nothing; a star would have been taken above.
            return p == pattern.len();
        };
        let step = match pattern.get(p) {
            None => None,
            Some(b'?') => Some(p + 1),
            Some(b'[') => match bracket(pattern, p, byte) {
                Some((true, next)) => Some(next),
                Some((false, _)) => None,
                // An open bracket without an end stands for itself.
                None => (byte == b'[').then_some(p + 1),
            },
            Some(b'\\') => match pattern.get(p + 1) {
                Some(&escaped) => (byte == escaped).then_some(p + 2),
                None => None,
            },
            Some(&plain) => (plain == byte).then_some(p + 1),
        };
        match (step, star) {
            (Some(next), _) => (p, t) = (next, t + 1),
            (None, Some((after, taken))) => {
                star = Some((after, taken + 1));
                (p, t) = (after, taken + 1);
            }
            (None, None) => return false,
        }
    }
}

/// The length of the part of `pattern` before its first wildcard.
#[must_use]
pub fn literal_length(pattern: &[u8]) -> usize {
    pattern.iter().position(|byte| b"*?[\\".contains(byte)).unwrap_or(pattern.len())
}

/// Matches one byte against the bracket that begins at `start`; returns whether it matches and where the pattern goes on.
fn bracket(pattern: &[u8], start: usize, byte: u8) -> Option<(bool, usize)> {
    let mut at = start + 1;
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let mut found = false;
    let mut first = true;
    loop {
        let mut low = *pattern.get(at)?;
        if low == b']' && !first {
            return Some((found != negated, at + 1));
        }
        first = false;
        if low == b'['
            && pattern.get(at + 1) == Some(&b':')
            && let Some(length) = pattern[at + 2..].windows(2).position(|pair| pair == b":]")
        {
            found |= in_class(&pattern[at + 2..at + 2 + length], byte);
            at += length + 4;
            continue;
        }
        if low == b'\\' {
            at += 1;
            low = *pattern.get(at)?;
        }
        at += 1;
        if pattern.get(at) == Some(&b'-') && pattern.get(at + 1).is_some_and(|&next| next != b']') {
            let mut high = *pattern.get(at + 1)?;
            at += 2;
            if high == b'\\' {
                high = *pattern.get(at)?;
                at += 1;
            }
            found |= (low..=high).contains(&byte);
        } else {
            found |= low == byte;
        }
    }
}

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
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "a/b", true),
            ("/usr/share/doc/*", "/usr/share/doc/a/b", true),
            ("/usr/share/doc/*", "/usr/share/doc", false),
            ("/usr/share/doc/*/copyright", "/usr/share/doc/a/b/copyright", true),
            ("/usr/share/doc/*/copyright", "/usr/share/doc/copyright", false),
            ("*/a*b", "x/aab/ab", true),
            ("?", "/", true),
            ("?", "", false),
            ("a[bc]d", "acd", true),
            ("a[!bc]d", "acd", false),
            ("a[^bc]d", "axd", true),
            ("[a-c]", "b", true),
            ("[a-c]", "d", false),
            ("[]a]", "]", true),
            ("[!]a]", "]", false),
            ("[a-]", "-", true),
            ("[[:digit:]x]", "7", true),
            ("[[:digit:]x]", "x", true),
            ("[[:digit:]x]", "y", false),
            ("[a", "[a", true),
            ("[", "[", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a", false),
            ("[\\]]", "]", true),
            ("man[0-9]", "man1", true),
            (".*", ".a", true),
            ("*", ".a", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_exponential_time() {
        let pattern = "*a".repeat(200);
        let text = format!("{}b", "a".repeat(4000));
        assert!(!matches(pattern.as_bytes(), text.as_bytes()));
    }

    #[test]
    fn the_literal_part_ends_at_the_first_wildcard() {
        let cases = [("/usr/*", 5), ("/usr", 4), ("[a]", 0), ("a?b", 1), ("a\\b", 1)];
        for (pattern, expected) in cases {
            assert_eq!(literal_length(pattern.as_bytes()), expected, "{pattern}");
        }
    }
}

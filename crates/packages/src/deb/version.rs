//! Versions of packages and their order.
//!
//! Spec: Debian Policy 5.6.12, deb-version(7). The order is dpkg's, also where the Policy is silent.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use thiserror::Error;

/// The longest version, in bytes. Real ones stay under 100; names of files are made of them.
pub const VERSION_MAX: usize = 1024;

/// Why text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VersionError {
    /// Nothing, or nothing after the epoch.
    #[error("version {text:?}: there is no version number")]
    Empty {
        /// The version.
        text: String,
    },
    /// The text before the first colon is not a number from 0 to 2147483647.
    #[error("version {text:?}: the epoch is not a number up to 2147483647")]
    Epoch {
        /// The version.
        text: String,
    },
    /// Nothing follows the last hyphen.
    #[error("version {text:?}: the revision after the last \"-\" is empty")]
    Revision {
        /// The version.
        text: String,
    },
    /// The upstream version does not begin with a digit.
    #[error("version {text:?}: expected a digit at the beginning")]
    NoDigit {
        /// The version.
        text: String,
    },
    /// A character that versions do not have.
    #[error("version {text:?}: unexpected {found:?}")]
    Character {
        /// The version.
        text: String,
        /// The character.
        found: char,
    },
    /// Longer than [`VERSION_MAX`] bytes.
    #[error("version of {length} bytes: expected at most {VERSION_MAX}")]
    TooLong {
        /// Its length.
        length: usize,
    },
}

/// Where the parts of a version lie in its text.
#[derive(Debug, Clone, Copy)]
struct Layout {
    epoch: u32,
    /// Where the upstream version begins.
    upstream: u32,
    /// Where it ends; a hyphen and the revision follow, or nothing.
    end: u32,
}

/// A version, `[epoch:]upstream[-revision]`, that borrows its text.
///
/// Compares as dpkg compares: `1.0` equals `0:1.0-0` and `1.00`. The text is kept as it was.
#[derive(Clone, Copy)]
pub struct DebVersion<'a> {
    text: &'a str,
    layout: Layout,
}

/// A version that owns its text.
#[derive(Clone)]
pub struct DebVersionBuf {
    text: String,
    layout: Layout,
}

impl<'a> DebVersion<'a> {
    /// Reads a version as the Policy has it.
    ///
    /// # Errors
    /// Whatever dpkg warns of or refuses.
    pub fn parse(text: &'a str) -> Result<Self, VersionError> {
        let version = Self::parse_lax(text)?;
        let text = || text.to_owned();
        if !version.upstream().starts_with(|c: char| c.is_ascii_digit()) {
            return Err(VersionError::NoDigit { text: text() });
        }
        let upstream = version.upstream().chars().find(|c| !c.is_ascii_alphanumeric() && !".-+~:".contains(*c));
        let revision = version.revision().unwrap_or_default();
        let revision = revision.chars().find(|c| !c.is_ascii_alphanumeric() && !".+~".contains(*c));
        match upstream.or(revision) {
            Some(found) => Err(VersionError::Character { text: text(), found }),
            None => Ok(version),
        }
    }

    /// Reads a version as dpkg and apt take it from an archive: with a warning at most.
    ///
    /// No version holds a blank, a slash, a control character or one beyond ASCII, so it can be part of a file's name.
    ///
    /// # Errors
    /// Empty, a bad epoch, an empty revision, one of the characters above, too long.
    pub fn parse_lax(text: &'a str) -> Result<Self, VersionError> {
        layout(text).map(|layout| Self { text, layout })
    }

    /// The text as it was read.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// The epoch; 0 where none is written.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.layout.epoch
    }

    /// The version of the software.
    #[must_use]
    pub fn upstream(&self) -> &'a str {
        self.text.get(self.layout.upstream as usize..self.layout.end as usize).unwrap_or_default()
    }

    /// The revision of the packaging, if there is one.
    #[must_use]
    pub fn revision(&self) -> Option<&'a str> {
        self.text.get(self.layout.end as usize + 1..)
    }

    /// The text after the epoch, as in the name of a file in the pool.
    #[must_use]
    pub fn without_epoch(&self) -> &'a str {
        self.text.get(self.layout.upstream as usize..).unwrap_or_default()
    }

    /// A copy that owns its text.
    #[must_use]
    pub fn to_owned(&self) -> DebVersionBuf {
        DebVersionBuf { text: self.text.to_owned(), layout: self.layout }
    }
}

fn layout(text: &str) -> Result<Layout, VersionError> {
    let owned = || text.to_owned();
    if text.len() > VERSION_MAX {
        return Err(VersionError::TooLong { length: text.len() });
    }
    if let Some(found) = text.chars().find(|c| !c.is_ascii_graphic() || *c == '/') {
        return Err(VersionError::Character { text: owned(), found });
    }
    let (epoch, upstream) = match text.split_once(':') {
        None => (0, 0),
        Some((epoch, _)) => {
            if epoch.is_empty() || !epoch.bytes().all(|b| b.is_ascii_digit()) {
                return Err(VersionError::Epoch { text: owned() });
            }
            let number = epoch.parse::<i32>().map_err(|_| VersionError::Epoch { text: owned() })?;
            (number.unsigned_abs(), epoch.len() + 1)
        }
    };
    let rest = text.get(upstream..).unwrap_or_default();
    let end = match rest.rfind('-') {
        None => text.len(),
        Some(at) if at + 1 == rest.len() => return Err(VersionError::Revision { text: owned() }),
        Some(at) => upstream + at,
    };
    if upstream == end {
        return Err(VersionError::Empty { text: owned() });
    }
    // VERSION_MAX keeps both far below 32 bits.
    Ok(Layout { epoch, upstream: upstream as u32, end: end as u32 })
}

impl DebVersionBuf {
    /// The same, borrowed.
    #[must_use]
    pub fn borrow(&self) -> DebVersion<'_> {
        DebVersion { text: &self.text, layout: self.layout }
    }

    /// The text as it was read.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for DebVersionBuf {
    type Err = VersionError;

    /// Reads a version as [`DebVersion::parse_lax`] does.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        DebVersion::parse_lax(text).map(|version| version.to_owned())
    }
}

/// The runs of a part: what is not digits, and the number after it without leading zeros.
fn next_run<'b>(part: &mut &'b [u8]) -> (&'b [u8], &'b [u8]) {
    let split = |part: &mut &'b [u8], digits: bool| {
        let length = part.iter().position(|b| b.is_ascii_digit() != digits).unwrap_or(part.len());
        let (run, rest) = part.split_at(length);
        *part = rest;
        run
    };
    let text = split(part, false);
    let number = split(part, true);
    let zeros = number.iter().position(|&b| b != b'0').unwrap_or(number.len());
    (text, number.get(zeros..).unwrap_or_default())
}

/// The weight of a byte in a run of what is not digits: `~`, then the end, then letters, then the others.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        None => 0,
        Some(b'~') => -1,
        Some(&b) if b.is_ascii_alphabetic() => i32::from(b),
        Some(&b) => i32::from(b) + 256,
    }
}

fn compare_part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        let (text_a, number_a) = next_run(&mut a);
        let (text_b, number_b) = next_run(&mut b);
        for at in 0..text_a.len().max(text_b.len()) {
            match weight(text_a.get(at)).cmp(&weight(text_b.get(at))) {
                Ordering::Equal => {}
                unequal => return unequal,
            }
        }
        // Without leading zeros the longer number is the greater one.
        match number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b)) {
            Ordering::Equal => {}
            unequal => return unequal,
        }
    }
    Ordering::Equal
}

fn hash_part<H: Hasher>(part: &str, state: &mut H) {
    let mut part = part.as_bytes();
    while !part.is_empty() {
        let (text, number) = next_run(&mut part);
        // Nothing and a zero are the same at the end, as `1.0` and `1.0-0` are.
        if !text.is_empty() || !number.is_empty() {
            state.write(text);
            state.write_u8(0);
            state.write(number);
            state.write_u8(0);
        }
    }
    state.write_u8(1);
}

impl Ord for DebVersion<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch()
            .cmp(&other.epoch())
            .then_with(|| compare_part(self.upstream(), other.upstream()))
            .then_with(|| compare_part(self.revision().unwrap_or_default(), other.revision().unwrap_or_default()))
    }
}

impl PartialOrd for DebVersion<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for DebVersion<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for DebVersion<'_> {}

impl Hash for DebVersion<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(self.epoch());
        hash_part(self.upstream(), state);
        hash_part(self.revision().unwrap_or_default(), state);
    }
}

impl fmt::Display for DebVersion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text)
    }
}

impl fmt::Debug for DebVersion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DebVersion({})", self.text)
    }
}

impl Ord for DebVersionBuf {
    fn cmp(&self, other: &Self) -> Ordering {
        self.borrow().cmp(&other.borrow())
    }
}

impl PartialOrd for DebVersionBuf {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for DebVersionBuf {
    fn eq(&self, other: &Self) -> bool {
        self.borrow() == other.borrow()
    }
}

impl Eq for DebVersionBuf {}

impl Hash for DebVersionBuf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrow().hash(state);
    }
}

impl fmt::Display for DebVersionBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrow().fmt(f)
    }
}

impl fmt::Debug for DebVersionBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrow().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::hash::DefaultHasher;

    fn v(text: &str) -> DebVersion<'_> {
        DebVersion::parse_lax(text).unwrap()
    }

    fn hash(version: DebVersion<'_>) -> u64 {
        let mut state = DefaultHasher::new();
        version.hash(&mut state);
        state.finish()
    }

    /// Each less than the next.
    const ASCENDING: &[&str] = &[
        "~~",
        "~~a",
        "~",
        "~1",
        "0~",
        "0",
        "0a",
        "0+",
        "0.0",
        "0.1~rc1-1",
        "0.1-1~bpo1",
        "0.1-1",
        "0.1-1ubuntu1",
        "0.1-1+b1",
        "0.1-1.1",
        "0.1.1",
        "1.0~beta1~svn1245",
        "1.0~beta1",
        "1.0",
        "1.0-0+1",
        "1.0-1",
        "1.0a",
        "1.0a1",
        "1.0+1",
        "1.0.",
        "1.0.1",
        "1.2.4",
        "1.2.10",
        "1.18446744073709551616",
        "1.99999999999999999999999999999",
        "1:0~",
        "1:0.1",
        "2:0",
        "10:0",
    ];

    /// Equal to each other.
    const EQUAL: &[(&str, &str)] = &[
        ("1.0", "1.0-0"),
        ("1.0", "0:1.0"),
        ("1.00", "1.0"),
        ("1.0", "1.00-000"),
        ("01", "1"),
        ("1.", "1.0"),
        ("1a", "1a0"),
        ("0", "0-0"),
        ("1.2-03", "1.2-3"),
        ("1-a", "1-a0"),
    ];

    #[test]
    fn order() {
        for (at, low) in ASCENDING.iter().enumerate() {
            for high in &ASCENDING[at + 1..] {
                assert_eq!(v(low).cmp(&v(high)), Ordering::Less, "{low} << {high}");
                assert_eq!(v(high).cmp(&v(low)), Ordering::Greater, "{high} >> {low}");
            }
        }
        for (a, b) in EQUAL {
            assert_eq!(v(a), v(b), "{a} = {b}");
            assert_eq!(hash(v(a)), hash(v(b)), "{a} = {b}");
        }
    }

    #[test]
    fn parts() {
        let cases = [
            ("1.0", (0, "1.0", None)),
            ("2:1.0-3", (2, "1.0", Some("3"))),
            ("1.0-2-3", (0, "1.0-2", Some("3"))),
            ("1:2:3-4", (1, "2:3", Some("4"))),
            ("1:1-1", (1, "1", Some("1"))),
        ];
        for (text, parts) in cases {
            let version = DebVersion::parse(text).unwrap();
            assert_eq!((version.epoch(), version.upstream(), version.revision()), parts, "{text}");
            assert_eq!(version.to_string(), text);
            assert_eq!(version.to_owned().to_string(), text);
        }
        assert_eq!(v("1:2.0-1").without_epoch(), "2.0-1");
    }

    #[test]
    fn rejected() {
        let long = "1".repeat(VERSION_MAX + 1);
        let cases = [
            ("", "there is no version number"),
            ("1:", "there is no version number"),
            ("-1", "there is no version number"),
            ("1:-1", "there is no version number"),
            (":1", "the epoch is not a number"),
            ("a:1", "the epoch is not a number"),
            ("-1:1", "the epoch is not a number"),
            ("2147483648:1", "the epoch is not a number"),
            ("1-", "the revision after the last \"-\" is empty"),
            ("1 2", "unexpected ' '"),
            ("1/2", "unexpected '/'"),
            ("1\u{e9}", "unexpected '\u{e9}'"),
            (&long, "at most 1024"),
        ];
        for (text, message) in cases {
            let error = DebVersion::parse_lax(text).unwrap_err();
            assert!(error.to_string().contains(message), "{text}: {error}");
            assert!(DebVersion::parse(text).is_err());
        }
        assert!(DebVersion::parse(&long[1..]).is_ok());
        assert!(DebVersion::parse("2147483647:1").is_ok());
        // What dpkg only warns of.
        for text in ["a1", "1_2", "1-2_3", "~1"] {
            assert!(DebVersion::parse_lax(text).is_ok() && DebVersion::parse(text).is_err(), "{text}");
        }
    }

    /// Versions that collide often, so that equal beginnings are common.
    fn versions() -> impl Strategy<Value = String> {
        "([0-2]:)?[0-2]([0-2a~+.A-]{0,5}[0-2a~+.A])?"
            .prop_filter("a version", |text| DebVersion::parse_lax(text).is_ok())
    }

    proptest! {
        #[test]
        fn order_is_total(a in versions(), b in versions(), c in versions()) {
            let (a, b, c) = (v(&a), v(&b), v(&c));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
            if a == b {
                prop_assert_eq!(hash(a), hash(b));
                prop_assert_eq!(a.cmp(&c), b.cmp(&c));
            }
        }
    }
}

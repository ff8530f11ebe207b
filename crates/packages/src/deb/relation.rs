//! Relations between packages: `Depends`, `Conflicts`, `Provides` and their like.
//!
//! Nothing is read before it is asked for: an index holds hundreds of thousands of relations, and a solver looks at
//! a few thousand.
//!
//! Spec: Debian Policy 7.1, deb-control(5).

use std::fmt;

use thiserror::Error;

use super::version::{DebVersion, VersionError};

/// The most alternatives and conjuncts in one field. The largest real field (`Provides` of a Rust crate) has some hundreds.
pub const RELATIONS_MAX: usize = 65_536;

/// Why text is not a relation. Columns are bytes from one, within the value of the field.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RelationError {
    /// No name of a package where one must stand.
    #[error("column {column}: expected the name of a package, found {found:?}")]
    Name {
        /// Where.
        column: usize,
        /// What stands there, capped.
        found: String,
    },
    /// A parenthesis, bracket or angle that is not closed.
    #[error("column {column}: {open:?} is not closed")]
    Unclosed {
        /// Where it opens.
        column: usize,
        /// What opens.
        open: char,
    },
    /// Not one of `<<`, `<=`, `=`, `>=`, `>>`.
    #[error("column {column}: expected <<, <=, =, >= or >>, found {found:?}")]
    Operator {
        /// Where.
        column: usize,
        /// What stands there, capped.
        found: String,
    },
    /// The version is none.
    #[error("column {column}: {source}")]
    Version {
        /// Where it begins.
        column: usize,
        /// Why.
        #[source]
        source: VersionError,
    },
    /// Something after the end of a relation.
    #[error("column {column}: expected \",\" or \"|\", found {found:?}")]
    Trailing {
        /// Where.
        column: usize,
        /// What stands there, capped.
        found: String,
    },
    /// More than [`RELATIONS_MAX`] relations in one field.
    #[error("column {column}: more than {RELATIONS_MAX} relations in one field")]
    TooMany {
        /// Where the first one too many begins.
        column: usize,
    },
}

/// How a version is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    /// `<<`
    Less,
    /// `<=`, and in old data `<`
    LessEqual,
    /// `=`
    Equal,
    /// `>=`, and in old data `>`
    GreaterEqual,
    /// `>>`
    Greater,
}

impl Operator {
    /// Tells whether `version OP wanted` holds.
    #[must_use]
    pub fn holds(self, version: DebVersion<'_>, wanted: DebVersion<'_>) -> bool {
        let order = version.cmp(&wanted);
        match self {
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::GreaterEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
        }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<<",
            Self::LessEqual => "<=",
            Self::Equal => "=",
            Self::GreaterEqual => ">=",
            Self::Greater => ">>",
        }
    }
}

/// The value of a relation field: groups joined by commas, all of which must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Relations<'a> {
    text: &'a str,
}

impl<'a> Relations<'a> {
    /// Takes the value of a field; nothing is read yet. An empty one has no groups.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// The value as it was given.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// The groups in order. Empty ones (`a,, b`, a comma at the end) are passed over, as dpkg and apt do.
    #[must_use]
    pub fn groups(&self) -> Groups<'a> {
        Groups { text: self.text, at: 0, count: 0, done: false }
    }

    /// The relations of all groups one after another, for fields without alternatives: `Provides`, `Conflicts`.
    pub fn flat(&self) -> impl Iterator<Item = Result<Relation<'a>, RelationError>> + use<'a> {
        self.groups().flat_map(|group| match group {
            Ok(group) => Flat::Group(group.alternatives()),
            Err(error) => Flat::Error(Some(error)),
        })
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// The first thing that is not a relation.
    pub fn check(&self) -> Result<(), RelationError> {
        self.flat().try_for_each(|relation| relation.map(drop))
    }
}

impl fmt::Display for Relations<'_> {
    /// Prints canonically: `a (>= 1) | b, c`. What does not parse is printed as it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.check().is_err() {
            return f.write_str(self.text);
        }
        for (number, group) in self.groups().flatten().enumerate() {
            if number > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{group}")?;
        }
        Ok(())
    }
}

enum Flat<'a> {
    Group(Alternatives<'a>),
    Error(Option<RelationError>),
}

impl<'a> Iterator for Flat<'a> {
    type Item = Result<Relation<'a>, RelationError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Group(alternatives) => alternatives.next(),
            Self::Error(error) => error.take().map(Err),
        }
    }
}

/// The groups of a field. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Groups<'a> {
    text: &'a str,
    at: usize,
    count: usize,
    done: bool,
}

impl<'a> Iterator for Groups<'a> {
    type Item = Result<Group<'a>, RelationError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            let rest = self.text.get(self.at..)?;
            let start = self.at;
            let length = memchr::memchr(b',', rest.as_bytes());
            self.done = length.is_none();
            let text = rest.get(..length.unwrap_or(rest.len()))?;
            self.at += text.len() + 1;
            if text.trim_ascii().is_empty() {
                continue;
            }
            self.count += 1;
            if self.count > RELATIONS_MAX {
                self.done = true;
                return Some(Err(RelationError::TooMany { column: start + 1 }));
            }
            return Some(Ok(Group { text, offset: start }));
        }
        None
    }
}

/// Alternatives, one of which must hold: `a | b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Group<'a> {
    /// The alternatives in the order of the maintainer's preference.
    #[must_use]
    pub fn alternatives(&self) -> Alternatives<'a> {
        Alternatives { text: self.text, offset: self.offset, done: false }
    }

    /// The text as it stands in the field, without blanks around it.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.text.trim_ascii()
    }
}

impl fmt::Display for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, relation) in self.alternatives().enumerate() {
            if number > 0 {
                f.write_str(" | ")?;
            }
            match relation {
                Ok(relation) => write!(f, "{relation}")?,
                Err(_) => f.write_str("?")?,
            }
        }
        Ok(())
    }
}

/// The alternatives of a group. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Alternatives<'a> {
    text: &'a str,
    offset: usize,
    done: bool,
}

impl<'a> Iterator for Alternatives<'a> {
    type Item = Result<Relation<'a>, RelationError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let bar = memchr::memchr(b'|', self.text.as_bytes());
        self.done = bar.is_none();
        let text = self.text.get(..bar.unwrap_or(self.text.len()))?;
        let relation = Relation::parse_at(text, self.offset);
        self.offset += text.len() + 1;
        self.text = self.text.get(text.len() + 1..).unwrap_or_default();
        self.done |= relation.is_err();
        Some(relation)
    }
}

/// One relation: `name[:qualifier] [(op version)] [[architectures]] [<profiles>]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The name of a package, real or virtual.
    pub name: &'a str,
    /// What follows the colon: an architecture, `any` or `native`.
    pub qualifier: Option<&'a str>,
    /// The versions that count.
    pub version: Option<(Operator, DebVersion<'a>)>,
    /// The text between `[` and `]`. Only source packages have one.
    pub architectures: Option<&'a str>,
    /// The text from the first `<` to the last `>`. Only source packages have one.
    pub profiles: Option<&'a str>,
}

impl<'a> Relation<'a> {
    /// Reads one relation without alternatives.
    ///
    /// # Errors
    /// What is not a relation.
    pub fn parse(text: &'a str) -> Result<Self, RelationError> {
        Self::parse_at(text, 0)
    }

    /// Tells whether `version` is one of the versions that count. Without a version every one does.
    #[must_use]
    pub fn admits(&self, version: DebVersion<'_>) -> bool {
        self.version.is_none_or(|(operator, wanted)| operator.holds(version, wanted))
    }

    /// Tells whether the relation counts on `architecture`: no list, one of the list, or not one of a list of `!`.
    #[must_use]
    pub fn applies_to(&self, architecture: &str) -> bool {
        let Some(list) = self.architectures else { return true };
        let mut words = list.split_ascii_whitespace().peekable();
        let negative = words.peek().is_none_or(|word| word.starts_with('!'));
        let named = words.any(|word| {
            let word = word.strip_prefix('!').unwrap_or(word);
            word == architecture
                || word == "any"
                || word == "linux-any"
                || word.strip_prefix("any-") == Some(architecture)
        });
        named != negative
    }

    fn parse_at(text: &'a str, offset: usize) -> Result<Self, RelationError> {
        let mut scan = Scan { text, at: 0, offset };
        scan.blanks();
        let name = scan.name()?;
        let qualifier = if scan.eat(':') { Some(scan.word()?) } else { None };
        scan.blanks();
        let version = if scan.peek() == Some('(') { Some(scan.version()?) } else { None };
        scan.blanks();
        let architectures = if scan.peek() == Some('[') { Some(scan.enclosed('[', ']')?.0) } else { None };
        scan.blanks();
        let begin = scan.at;
        let mut profiles = None;
        while scan.peek() == Some('<') {
            scan.enclosed('<', '>')?;
            profiles = text.get(begin..scan.at);
            scan.blanks();
        }
        match scan.rest() {
            "" => Ok(Self { name, qualifier, version, architectures, profiles }),
            rest => Err(RelationError::Trailing { column: scan.column(), found: capped(rest) }),
        }
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(qualifier) = self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        if let Some((operator, version)) = self.version {
            write!(f, " ({} {version})", operator.as_str())?;
        }
        let words = |f: &mut fmt::Formatter<'_>, text: &str| {
            text.split_ascii_whitespace().enumerate().try_for_each(|(number, word)| {
                if number > 0 {
                    f.write_str(" ")?;
                }
                f.write_str(word)
            })
        };
        if let Some(architectures) = self.architectures {
            f.write_str(" [")?;
            words(f, architectures)?;
            f.write_str("]")?;
        }
        if let Some(profiles) = self.profiles {
            for list in profiles.split('>').map(str::trim_ascii).filter(|list| !list.is_empty()) {
                f.write_str(" <")?;
                words(f, list.trim_start_matches('<'))?;
                f.write_str(">")?;
            }
        }
        Ok(())
    }
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    offset: usize,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn column(&self) -> usize {
        self.offset + self.at + 1
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_ascii_start().len();
    }

    /// Letters, digits and `+-._`, as dpkg takes them; the first is a letter or a digit.
    fn name(&mut self) -> Result<&'a str, RelationError> {
        let word = self.word()?;
        if word.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Ok(word);
        }
        Err(RelationError::Name { column: self.column() - word.len(), found: capped(word) })
    }

    fn word(&mut self) -> Result<&'a str, RelationError> {
        let rest = self.rest();
        let length = rest.bytes().position(|b| !(b.is_ascii_alphanumeric() || b"+-._".contains(&b)));
        match rest.get(..length.unwrap_or(rest.len())) {
            Some(word) if !word.is_empty() => {
                self.at += word.len();
                Ok(word)
            }
            _ => Err(RelationError::Name { column: self.column(), found: capped(rest) }),
        }
    }

    /// The text between a pair, and its column.
    fn enclosed(&mut self, open: char, close: char) -> Result<(&'a str, usize), RelationError> {
        let column = self.column();
        let inside = self.rest().get(open.len_utf8()..).unwrap_or_default();
        let Some(length) = inside.find(close) else { return Err(RelationError::Unclosed { column, open }) };
        self.at += open.len_utf8() + length + close.len_utf8();
        let inside = inside.get(..length).unwrap_or_default();
        // What opens again inside was not closed before. A version may be wanted to be less: `(<< 1)`.
        if inside.contains(open) {
            return Err(RelationError::Unclosed { column, open });
        }
        Ok((inside, column + open.len_utf8()))
    }

    fn version(&mut self) -> Result<(Operator, DebVersion<'a>), RelationError> {
        let (inside, column) = self.enclosed('(', ')')?;
        let lead = inside.len() - inside.trim_ascii_start().len();
        let text = inside.get(lead..).unwrap_or_default();
        let length = text.bytes().take_while(|b| b"<>=".contains(b)).count();
        let (sign, rest) = text.split_at_checked(length).unwrap_or((text, ""));
        let operator = match sign {
            "<<" => Operator::Less,
            "<=" | "<" => Operator::LessEqual,
            "=" => Operator::Equal,
            ">=" | ">" => Operator::GreaterEqual,
            ">>" => Operator::Greater,
            _ => return Err(RelationError::Operator { column: column + lead, found: capped(text) }),
        };
        let version = rest.trim_ascii();
        let column = column + lead + length + (rest.len() - rest.trim_ascii_start().len());
        let version = DebVersion::parse_lax(version).map_err(|source| RelationError::Version { column, source })?;
        Ok((operator, version))
    }
}

fn capped(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn canonical_forms() {
        let cases = [
            ("", ""),
            ("a", "a"),
            ("a,b", "a, b"),
            ("a|b ,c", "a | b, c"),
            ("libc6 (>=2.36), libx:any ( << 1:2-3 )", "libc6 (>= 2.36), libx:any (<< 1:2-3)"),
            ("a (< 1), b (> 1)", "a (<= 1), b (>= 1)"),
            ("a (= 1), b (<= 1), c (>> 1)", "a (= 1), b (<= 1), c (>> 1)"),
            ("a,, b,", "a, b"),
            (" \n a\n , b", "a, b"),
            ("a [amd64  !i386] <!nocheck> < cross stage1 >", "a [amd64 !i386] <!nocheck> <cross stage1>"),
            ("a:amd64 (= 1)", "a:amd64 (= 1)"),
            ("g++-12, libstdc++6, x_y", "g++-12, libstdc++6, x_y"),
            ("a(>=1)[amd64]<x>", "a (>= 1) [amd64] <x>"),
        ];
        for (text, canonical) in cases {
            Relations::new(text).check().unwrap();
            assert_eq!(Relations::new(text).to_string(), canonical, "{text}");
            assert_eq!(Relations::new(canonical).to_string(), canonical);
        }
    }

    #[test]
    fn rejected_with_its_column() {
        let cases = [
            ("a, (= 1)", "column 4: expected the name of a package, found \"(= 1)\""),
            ("a | ", "column 5: expected the name of a package, found \"\""),
            ("a || b", "column 4: expected the name of a package, found \"\""),
            ("a (= 1", "column 3: '(' is not closed"),
            ("a [x", "column 3: '[' is not closed"),
            ("a <x", "column 3: '<' is not closed"),
            ("a <<x> <y>", "column 3: '<' is not closed"),
            ("a [b [c]", "column 3: '[' is not closed"),
            ("a (== 1)", "column 4: expected <<, <=, =, >= or >>, found \"== 1\""),
            ("a ( 1)", "column 5: expected <<, <=, =, >= or >>, found \"1\""),
            ("a, b (>= 1 2)", "column 10: version \"1 2\": unexpected ' '"),
            ("a (>=)", "column 6: version \"\": there is no version number"),
            ("a b", "column 3: expected \",\" or \"|\", found \"b\""),
            ("a:, b", "column 3: expected the name of a package, found \"\""),
            ("+a", "column 1: expected the name of a package, found \"+a\""),
            ("${misc:Depends}", "column 1: expected the name of a package, found \"${misc:Depends}\""),
            ("a (= 1) (= 2)", "column 9: expected \",\" or \"|\", found \"(= 2)\""),
        ];
        for (text, message) in cases {
            assert_eq!(Relations::new(text).check().unwrap_err().to_string(), message, "{text:?}");
        }
    }

    #[test]
    fn the_number_of_groups_is_bounded() {
        let text = |count: usize| vec!["a"; count].join(",");
        assert!(Relations::new(&text(RELATIONS_MAX)).check().is_ok());
        let error = Relations::new(&text(RELATIONS_MAX + 1)).check().unwrap_err();
        assert_eq!(error, RelationError::TooMany { column: RELATIONS_MAX * 2 + 1 });
        assert_eq!(Relations::new(&text(RELATIONS_MAX + 9)).groups().count(), RELATIONS_MAX + 1);
    }

    #[test]
    fn versions_that_count() {
        let cases = [
            ("a", "1", true),
            ("a (= 1)", "1-0", true),
            ("a (<< 1)", "1~", true),
            ("a (<< 1)", "1", false),
            ("a (<= 1)", "1", true),
            ("a (>= 1)", "1", true),
            ("a (>= 1)", "1~", false),
            ("a (>> 1)", "1", false),
            ("a (>> 1)", "1+", true),
        ];
        for (relation, version, expected) in cases {
            let version = DebVersion::parse_lax(version).unwrap();
            assert_eq!(Relation::parse(relation).unwrap().admits(version), expected, "{relation} {version}");
        }
    }

    #[test]
    fn architectures_that_count() {
        let cases = [
            ("a", true),
            ("a [amd64 i386]", true),
            ("a [i386]", false),
            ("a [!amd64]", false),
            ("a [!i386 !armhf]", true),
            ("a [linux-any]", true),
            ("a [any-amd64]", true),
            ("a [any-i386]", false),
        ];
        for (relation, expected) in cases {
            assert_eq!(Relation::parse(relation).unwrap().applies_to("amd64"), expected, "{relation}");
        }
    }

    fn relation() -> impl Strategy<Value = String> {
        let name = "[a-z0-9][a-z0-9+.-]{0,8}(:(any|native|amd64))?";
        let version = prop::option::of("(<<|<=|=|>=|>>) ([0-9]:)?[0-9][a-z0-9.+~]{0,6}(-[a-z0-9.+~]{1,4})?");
        let architectures = prop::option::of("!?[a-z]{1,4}( !?[a-z]{1,4}){0,2}");
        let profiles = prop::collection::vec("!?[a-z]{1,4}( !?[a-z]{1,4}){0,2}", 0..3);
        (name, version, architectures, profiles).prop_map(|(mut text, version, architectures, profiles)| {
            version.iter().for_each(|version| text.push_str(&format!(" ({version})")));
            architectures.iter().for_each(|list| text.push_str(&format!(" [{list}]")));
            profiles.iter().for_each(|list| text.push_str(&format!(" <{list}>")));
            text
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_as_the_same(
            groups in prop::collection::vec(prop::collection::vec(relation(), 1..4), 0..5)
        ) {
            let text = groups.iter().map(|group| group.join(" | ")).collect::<Vec<_>>().join(", ");
            let relations = Relations::new(&text);
            prop_assert_eq!(relations.check(), Ok(()));
            prop_assert_eq!(relations.to_string(), text.as_str());
            prop_assert_eq!(relations.groups().count(), groups.len());
            prop_assert_eq!(relations.flat().count(), groups.iter().map(Vec::len).sum::<usize>());
            let squeezed = text.replace(" (", "(").replace(", ", ",").replace(" | ", "|");
            prop_assert_eq!(Relations::new(&squeezed).to_string(), text.as_str());
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a-b(|,)<>=1 :\\[\\]!$\u{e9}-]{0,24}") {
            let relations = Relations::new(&text);
            if relations.check().is_ok() {
                let printed = relations.to_string();
                prop_assert_eq!(Relations::new(&printed).to_string(), printed.as_str());
            }
        }
    }
}

//! deb822: paragraphs of `Name: value` fields, as in `control`, `status`, `Packages`, `Release` and `.sources` files.
//!
//! Everything borrows from the bytes that were given. Where readers of this format differ, a document that two of them
//! would understand in two ways is an error here: a field that stands twice, a line without a colon.
//!
//! Spec: deb822(5), Debian Policy 5.1.

use std::borrow::Cow;
use std::fmt::Write;

use memchr::{Memchr, memchr_iter};
use thiserror::Error;

/// The longest paragraph, in bytes. The longest real ones are `Release` files of half a MiB; more is hostile.
pub const PARAGRAPH_MAX: usize = 32 << 20;
/// The most fields in one paragraph. Real ones have 40; the search for duplicates is quadratic in it.
pub const FIELDS_MAX: usize = 256;
/// The longest name of a field, in bytes. Real ones have about 30.
pub const FIELD_NAME_MAX: usize = 128;

/// How much of a foreign line an error repeats.
const QUOTED_MAX: usize = 60;

/// Why bytes are not deb822. Lines are counted from one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ControlError {
    /// A line is neither a field, nor a continuation, nor empty.
    #[error("line {line}: {text:?} is not a field: expected \"Name: value\"")]
    NotAField {
        /// The line.
        line: usize,
        /// The text, capped.
        text: String,
    },
    /// A line begins with a blank, but there is no field that it could continue.
    #[error("line {line}: a continuation line without a field before it")]
    Continuation {
        /// The line.
        line: usize,
    },
    /// A field stands twice in one paragraph; readers disagree on which one counts.
    #[error("line {line}: field {name:?} stands twice in one paragraph")]
    Duplicate {
        /// The line of the second one.
        line: usize,
        /// The field.
        name: String,
    },
    /// More than [`FIELDS_MAX`] fields.
    #[error("line {line}: a paragraph of more than {FIELDS_MAX} fields")]
    TooManyFields {
        /// The line of the first field too many.
        line: usize,
    },
    /// More than [`PARAGRAPH_MAX`] bytes.
    #[error("line {line}: a paragraph of more than {PARAGRAPH_MAX} bytes")]
    TooLong {
        /// The line where the paragraph begins.
        line: usize,
    },
    /// The value of a field that must be text is none.
    #[error("line {line}: the value of field {field:?} is not UTF-8")]
    NotUtf8 {
        /// The line where the field begins.
        line: usize,
        /// The field.
        field: String,
    },
    /// A field that must be there is missing.
    #[error("line {line}: the paragraph has no field {field:?}")]
    Missing {
        /// The line where the paragraph begins.
        line: usize,
        /// The field.
        field: &'static str,
    },
}

/// One field as it stands in a paragraph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    name: &'a [u8],
    value: &'a [u8],
    line: usize,
}

impl<'a> Field<'a> {
    /// The name as written. Names compare without regard to case.
    #[must_use]
    pub fn name(&self) -> &'a str {
        // Nothing but printable ASCII gets into a name.
        std::str::from_utf8(self.name).unwrap_or_default()
    }

    /// The same as bytes, for those that look at every field of a large document.
    #[inline]
    pub(super) fn name_bytes(&self) -> &'a [u8] {
        self.name
    }

    /// The value without blanks around it. Further lines are kept with the blank that begins them.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.value
    }

    /// The same as text.
    ///
    /// # Errors
    /// Not UTF-8.
    pub fn text(&self) -> Result<&'a str, ControlError> {
        std::str::from_utf8(self.value)
            .map_err(|_| ControlError::NotUtf8 { line: self.line, field: self.name().to_owned() })
    }

    /// The line where the field begins, from one.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The lines of the value, each without blanks around it. Lines of blanks alone are left out; ` .` gives `.`.
    pub fn lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.value.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
    }
}

/// What comes next in a document.
#[derive(Debug)]
pub(super) enum Step<'a> {
    Field(Field<'a>),
    /// An empty line.
    Blank,
    End,
}

/// Walks over fields and empty lines; knows nothing of paragraphs.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    data: &'a [u8],
    /// The ends of the lines from `at` on.
    ends: Memchr<'a>,
    at: usize,
    line: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self::at_line(data, 1)
    }

    fn at_line(data: &'a [u8], line: usize) -> Self {
        Self { data, ends: memchr_iter(b'\n', data), at: 0, line }
    }

    /// The offset and the line of what [`Self::step`] looks at next.
    #[inline]
    pub(super) fn position(&self) -> (usize, usize) {
        (self.at, self.line)
    }

    /// Goes behind the current line and gives where it ends.
    #[inline]
    fn pass_line(&mut self) -> usize {
        self.line += 1;
        match self.ends.next() {
            Some(end) => {
                self.at = end + 1;
                end
            }
            None => {
                self.at = self.data.len();
                self.data.len()
            }
        }
    }

    #[inline]
    pub(super) fn step(&mut self) -> Result<Step<'a>, ControlError> {
        let (start, line) = self.position();
        if start == self.data.len() {
            return Ok(Step::End);
        }
        let mut end = self.pass_line();
        let first = self.data.get(start..end).unwrap_or_default();
        if matches!(first, [] | [b'\r']) {
            return Ok(Step::Blank);
        }
        let Some((name, value_at)) = field_name(first) else {
            // A line of blanks is no field, and in front of a field it is nobody's continuation.
            return if first.trim_ascii().is_empty() {
                Ok(Step::Blank)
            } else if first.first().is_some_and(u8::is_ascii_whitespace) {
                Err(ControlError::Continuation { line })
            } else {
                Err(ControlError::NotAField { line, text: quoted(first) })
            };
        };
        while let Some(b' ' | b'\t') = self.data.get(self.at) {
            end = self.pass_line();
        }
        let value = self.data.get(start + value_at..end).unwrap_or_default().trim_ascii();
        Ok(Step::Field(Field { name, value, line }))
    }
}

/// The bytes that names are made of: printable ASCII but for the colon.
const IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = byte != b':';
        byte += 1;
    }
    table
};

/// The name of the field on a line, and where its value begins.
#[inline]
fn field_name(line: &[u8]) -> Option<(&[u8], usize)> {
    let mut length = 0;
    for &byte in line {
        if !IN_NAME[byte as usize] {
            break;
        }
        length += 1;
    }
    if length > FIELD_NAME_MAX {
        return None;
    }
    let (name, rest) = line.split_at_checked(length)?;
    if matches!(name, [] | [b'-' | b'#', ..]) {
        return None;
    }
    if let [b':', ..] = rest {
        return Some((name, length + 1));
    }
    // dpkg and apt let blanks stand before the colon.
    let blanks = rest.iter().take_while(|&&b| matches!(b, b' ' | b'\t')).count();
    (rest.get(blanks) == Some(&b':')).then_some((name, length + blanks + 1))
}

fn quoted(line: &[u8]) -> String {
    String::from_utf8_lossy(line.get(..QUOTED_MAX).unwrap_or(line)).into_owned()
}

/// The paragraphs of a document, in order. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Paragraphs<'a> {
    cursor: Cursor<'a>,
    names: Vec<&'a [u8]>,
    failed: bool,
}

impl<'a> Paragraphs<'a> {
    /// Begins to read a document.
    #[must_use]
    pub fn new(data: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(data), names: Vec::new(), failed: false }
    }

    fn read(&mut self) -> Result<Option<Paragraph<'a>>, ControlError> {
        self.names.clear();
        let mut begin = None;
        loop {
            let (at, at_line) = self.cursor.position();
            let step = self.cursor.step()?;
            match (step, begin) {
                (Step::Field(field), _) => {
                    let (start, line) = *begin.get_or_insert((at, at_line));
                    if self.cursor.position().0 - start > PARAGRAPH_MAX {
                        return Err(ControlError::TooLong { line });
                    }
                    if self.names.len() == FIELDS_MAX {
                        return Err(ControlError::TooManyFields { line: field.line });
                    }
                    if self.names.iter().any(|name| name.eq_ignore_ascii_case(field.name)) {
                        return Err(ControlError::Duplicate { line: field.line, name: field.name().to_owned() });
                    }
                    self.names.push(field.name);
                }
                (Step::Blank, None) => {}
                (Step::End, None) => return Ok(None),
                (Step::Blank | Step::End, Some((start, line))) => {
                    let raw = self.cursor.data.get(start..at).unwrap_or_default();
                    return Ok(Some(Paragraph { raw, line }));
                }
            }
        }
    }
}

impl<'a> Iterator for Paragraphs<'a> {
    type Item = Result<Paragraph<'a>, ControlError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.read();
        self.failed = next.is_err();
        next.transpose()
    }
}

/// One paragraph, checked: every line of it belongs to a field, and no field stands twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paragraph<'a> {
    raw: &'a [u8],
    line: usize,
}

impl<'a> Paragraph<'a> {
    /// Reads a document that is one paragraph, such as `control` or `Release`.
    ///
    /// # Errors
    /// Not deb822, or empty. What follows the first paragraph is not read.
    pub fn parse(data: &'a [u8]) -> Result<Self, ControlError> {
        Paragraphs::new(data).next().unwrap_or(Ok(Self { raw: b"", line: 1 }))
    }

    /// A paragraph whose bytes were checked by another walk over them.
    pub(super) fn checked(raw: &'a [u8], line: usize) -> Self {
        Self { raw, line }
    }

    /// The bytes, from the first field to the end of the last one's last line.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The line where the paragraph begins, from one.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The fields in order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let mut cursor = Cursor::at_line(self.raw, self.line);
        std::iter::from_fn(move || {
            loop {
                match cursor.step() {
                    Ok(Step::Field(field)) => return Some(field),
                    Ok(Step::Blank) => {}
                    Ok(Step::End) | Err(_) => return None,
                }
            }
        })
    }

    /// The field of that name, in whatever case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Field<'a>> {
        self.fields().find(|field| field.name.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The value of a field, without blanks around it; further lines are kept with the blank that begins them.
    ///
    /// # Errors
    /// The value is not UTF-8.
    pub fn get(&self, name: &str) -> Result<Option<&'a str>, ControlError> {
        self.field(name).map(|field| field.text()).transpose()
    }

    /// The value of a field that must be there and not be empty.
    ///
    /// # Errors
    /// It is missing or empty, or not UTF-8.
    pub fn require(&self, name: &'static str) -> Result<&'a str, ControlError> {
        match self.get(name)? {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(ControlError::Missing { line: self.line, field: name }),
        }
    }
}

/// Makes the comments of a document blank, so that a reader of paragraphs passes over them; offsets and lines stay.
///
/// For files that people write (`.sources`, `debian/control`): there a line that begins with `#` is a comment, also
/// between the lines of one value. In indexes and in dpkg's database it is an error.
#[must_use]
pub fn blank_comments(data: &[u8]) -> Cow<'_, [u8]> {
    let starts = || std::iter::once(0).chain(memchr_iter(b'\n', data).map(|at| at + 1));
    if !starts().any(|at| data.get(at) == Some(&b'#')) {
        return Cow::Borrowed(data);
    }
    let mut blanked = data.to_vec();
    for at in starts() {
        if data.get(at) == Some(&b'#')
            && let Some(line) = blanked.get_mut(at..)
        {
            line.iter_mut().take_while(|b| **b != b'\n').for_each(|b| *b = b' ');
        }
    }
    Cow::Owned(blanked)
}

/// Appends a field. Lines of `value` after the first begin with a blank; an empty one becomes ` .`.
///
/// What this prints, [`Paragraphs`] reads as the same value, if each line of `value` has no blanks around it.
pub fn print_field(out: &mut String, name: &str, value: &str) {
    let mut lines = value.split('\n');
    let first = lines.next().unwrap_or_default();
    // Writing into a String cannot fail.
    let _ = if first.is_empty() { writeln!(out, "{name}:") } else { writeln!(out, "{name}: {first}") };
    for line in lines {
        let line = line.trim_ascii_end();
        let _ = match line {
            "" => writeln!(out, " ."),
            _ if line.starts_with([' ', '\t']) => writeln!(out, "{line}"),
            _ => writeln!(out, " {line}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Paragraph<'_> {
        Paragraph::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn values() {
        let cases = [
            // document | field | value
            ("A: b\n", "a", Some("b")),
            ("A:b", "A", Some("b")),
            ("A :  b \t\r\n", "A", Some("b")),
            ("A: b\r\nC: d\r\n", "c", Some("d")),
            ("A:\n b\n c\n", "A", Some("b\n c")),
            ("A: a\n b\n .\n c\n", "A", Some("a\n b\n .\n c")),
            ("A:\nB: x\n", "A", Some("")),
            ("A: b:c\n", "A", Some("b:c")),
            ("A: b\n \nC: d\n", "C", Some("d")),
            ("\n \n\nA: b\n\nC: d\n", "C", None),
            ("", "A", None),
            ("A: b\n\tc\n", "A", Some("b\n\tc")),
        ];
        for (document, field, value) in cases {
            assert_eq!(one(document).get(field).unwrap(), value, "{document:?}");
        }
    }

    #[test]
    fn paragraphs_with_their_lines() {
        let text = "A: 1\nB: 2\n\n\r\nA: 3\n x\n\nA: 4";
        let all: Vec<_> = Paragraphs::new(text.as_bytes()).map(Result::unwrap).collect();
        let facts: Vec<_> = all.iter().map(|p| (p.line(), std::str::from_utf8(p.raw()).unwrap())).collect();
        assert_eq!(facts, [(1, "A: 1\nB: 2\n"), (5, "A: 3\n x\n"), (8, "A: 4")]);
        assert_eq!(all[0].fields().map(|f| f.line()).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(all[1].field("A").unwrap().lines().collect::<Vec<_>>(), [b"3", b"x"]);
    }

    #[test]
    fn rejected() {
        let long = format!("{}: b\n", "a".repeat(FIELD_NAME_MAX + 1));
        let many: String = (0..=FIELDS_MAX).map(|i| format!("F{i}: x\n")).collect();
        let cases = [
            ("A: b\nc\n", "line 2: \"c\" is not a field: expected \"Name: value\""),
            (" a: b\n", "line 1: a continuation line without a field before it"),
            ("A: b\na: c\n", "line 2: field \"a\" stands twice in one paragraph"),
            ("# c\nA: b\n", "line 1: \"# c\" is not a field: expected \"Name: value\""),
            ("-A: b\n", "line 1: \"-A: b\" is not a field: expected \"Name: value\""),
            (": b\n", "line 1: \": b\" is not a field: expected \"Name: value\""),
            ("\u{e4}: b\n", "line 1: \"\u{e4}: b\" is not a field: expected \"Name: value\""),
            (many.as_str(), "line 257: a paragraph of more than 256 fields"),
        ];
        for (document, message) in cases {
            assert_eq!(Paragraph::parse(document.as_bytes()).unwrap_err().to_string(), message, "{document:?}");
        }
        assert!(Paragraph::parse(long.as_bytes()).is_err());
        assert!(Paragraph::parse(&long.as_bytes()[1..]).is_ok());
        let (fits, _) = many.trim_end().rsplit_once('\n').unwrap();
        assert_eq!(one(fits).fields().count(), FIELDS_MAX);
    }

    #[test]
    fn a_paragraph_has_a_longest_length() {
        let mut text = b"A: ".to_vec();
        text.resize(PARAGRAPH_MAX, b'x');
        assert!(Paragraph::parse(&text).is_ok());
        text.push(b'x');
        assert_eq!(Paragraph::parse(&text), Err(ControlError::TooLong { line: 1 }));
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error_of_their_field_only() {
        let paragraph = Paragraph::parse(b"Package: a\nDescription: caf\xe9\n").unwrap();
        assert_eq!(paragraph.require("Package"), Ok("a"));
        assert_eq!(paragraph.field("description").unwrap().bytes(), b"caf\xe9");
        assert_eq!(
            paragraph.get("Description").unwrap_err().to_string(),
            "line 2: the value of field \"Description\" is not UTF-8"
        );
        assert_eq!(
            paragraph.require("Version").unwrap_err().to_string(),
            "line 1: the paragraph has no field \"Version\""
        );
    }

    #[test]
    fn what_is_no_blank_of_ascii_stays_when_printed() {
        let mut text = String::new();
        print_field(&mut text, "A", "b\u{b}\nc\u{b}\n\u{a0}");
        let lines: Vec<_> = one(&text).field("A").unwrap().lines().collect();
        assert_eq!(lines, ["b\u{b}".as_bytes(), "c\u{b}".as_bytes(), "\u{a0}".as_bytes()]);
    }

    #[test]
    fn comments_become_blank() {
        let text = "# head\nTypes: deb\n# mid\nURIs: a\n b\n#\n c\n\n# tail";
        let blanked = blank_comments(text.as_bytes());
        assert_eq!(blanked.len(), text.len());
        let all: Vec<_> = Paragraphs::new(&blanked).map(Result::unwrap).collect();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].line(), 2);
        assert_eq!(all[0].field("uris").unwrap().lines().collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert!(matches!(blank_comments(b"A: #b\n"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_as_the_same(
            fields in prop::collection::btree_map(
                "[A-Za-z][A-Za-z0-9-]{0,12}", prop::collection::vec("([!-~]([ -~]{0,20}[!-~])?)?", 1..4), 1..6)
        ) {
            let mut lower: Vec<_> = fields.keys().map(|name| name.to_ascii_lowercase()).collect();
            lower.sort_unstable();
            lower.dedup();
            prop_assume!(lower.len() == fields.len());
            let mut text = String::new();
            for (name, lines) in &fields {
                print_field(&mut text, name, &lines.join("\n"));
            }
            let paragraph = Paragraph::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(paragraph.raw(), text.as_bytes());
            prop_assert_eq!(paragraph.fields().count(), fields.len());
            for (name, lines) in &fields {
                let read: Vec<_> = paragraph.field(name).unwrap().lines().collect();
                let mut wanted: Vec<_> = lines.iter().map(|l| if l.is_empty() { "." } else { l }).collect();
                if lines[0].is_empty() {
                    wanted.remove(0);
                }
                prop_assert_eq!(read, wanted.iter().map(|l| l.as_bytes()).collect::<Vec<_>>());
            }
        }
    }
}

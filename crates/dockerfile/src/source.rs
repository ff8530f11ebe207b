//! From bytes to logical lines: newlines, comments, continuations.

use crate::position::Position;

/// A line of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PhysicalLine<'a> {
    /// Its number, from 1.
    pub(crate) number: u32,
    /// With its newline, where it has one.
    pub(crate) raw: &'a [u8],
}

impl<'a> PhysicalLine<'a> {
    /// The line without its newline; `\r` in front of it is removed too.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        let mut line = self.raw;
        while let [head @ .., b'\n' | b'\r'] = line {
            line = head;
        }
        line
    }

    /// Says whether the first character that is no white space is `#`.
    pub(crate) fn is_comment(&self) -> bool {
        self.bytes().iter().find(|byte| !is_space(**byte)) == Some(&b'#')
    }

    pub(crate) fn start(&self) -> Position {
        Position { line: self.number, column: 1 }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x0b | 0x0c | b'\r' | b' ')
}

/// The lines of a file, one after another.
#[derive(Debug)]
pub(crate) struct PhysicalLines<'a> {
    rest: &'a [u8],
    number: u32,
}

impl<'a> PhysicalLines<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> PhysicalLines<'a> {
        let rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        PhysicalLines { rest, number: 0 }
    }
}

impl<'a> Iterator for PhysicalLines<'a> {
    type Item = PhysicalLine<'a>;

    fn next(&mut self) -> Option<PhysicalLine<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', self.rest).map_or(self.rest.len(), |index| index + 1);
        let (raw, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.number = self.number.saturating_add(1);
        Some(PhysicalLine { number: self.number, raw })
    }
}

/// An instruction with its continuations joined; each character knows where it stood.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogicalLine {
    pub(crate) text: String,
    /// Offsets in the text where another physical line begins, and that line's place.
    segments: Vec<(usize, Position)>,
}

impl LogicalLine {
    /// A line that stands for itself, as a trigger or a change does.
    pub(crate) fn push(&mut self, text: &str, at: Position) {
        self.segments.push((self.text.len(), at));
        self.text.push_str(text);
    }

    /// The place of the character at an offset of the text.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text.len());
        let index = self.segments.partition_point(|(start, _)| *start <= offset);
        let Some((start, at)) = index.checked_sub(1).and_then(|index| self.segments.get(index)) else {
            return Position::START;
        };
        let passed = self.text.get(*start..offset).map_or(0, |text| text.chars().count());
        Position { line: at.line, column: at.column + passed as u32 }
    }

    pub(crate) fn end(&self) -> Position {
        self.position(self.text.len())
    }
}

/// A part of a logical line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice<'a> {
    pub(crate) line: &'a LogicalLine,
    pub(crate) text: &'a str,
    /// Where the text begins in the line.
    pub(crate) offset: usize,
}

impl<'a> Slice<'a> {
    pub(crate) fn whole(line: &'a LogicalLine) -> Slice<'a> {
        Slice { line, text: &line.text, offset: 0 }
    }

    pub(crate) fn position(&self) -> Position {
        self.line.position(self.offset)
    }

    /// The part from `start` to `end`, which must be boundaries of characters.
    pub(crate) fn part(&self, start: usize, end: usize) -> Slice<'a> {
        let text = self.text.get(start..end).unwrap_or_default();
        Slice { line: self.line, text, offset: self.offset + start }
    }

    pub(crate) fn from(&self, start: usize) -> Slice<'a> {
        self.part(start, self.text.len())
    }

    pub(crate) fn trim(&self) -> Slice<'a> {
        let start = self.text.len() - self.text.trim_start().len();
        let end = start + self.text.trim().len();
        self.part(start, end)
    }
}

/// Removes the escape character that continues a line; says whether there was one.
///
/// It counts when it is the last character but blanks and tabs, and not itself escaped.
pub(crate) fn strip_continuation(line: &str, escape: char) -> (&str, bool) {
    let trimmed = line.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest, true),
        _ => (line, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continuations_are_found() {
        let table = [
            ("a \\", ("a ", true)),
            ("a \\ \t", ("a ", true)),
            ("\\", ("", true)),
            ("a \\\\", ("a \\\\", false)),
            ("a \\\\\\", ("a \\\\\\", false)),
            ("a", ("a", false)),
            ("a ` ", ("a ` ", false)),
            ("", ("", false)),
        ];
        for (line, expected) in table {
            assert_eq!(strip_continuation(line, '\\'), expected, "{line:?}");
        }
    }

    #[test]
    fn positions_survive_joining() {
        let mut line = LogicalLine::default();
        line.push("RUN \u{e4} ", Position { line: 3, column: 5 });
        line.push("  b", Position { line: 4, column: 1 });
        let at = |line, column| Position { line, column };
        assert_eq!(line.position(0), at(3, 5));
        assert_eq!(line.position(4), at(3, 9));
        assert_eq!(line.position(6), at(3, 10));
        assert_eq!(line.position(7), at(4, 1));
        assert_eq!(line.position(9), at(4, 3));
        assert_eq!(line.end(), at(4, 4));
        assert_eq!(line.position(1000), at(4, 4));
    }

    #[test]
    fn newlines_may_be_crlf() {
        let lines: Vec<_> = PhysicalLines::new(b"\xef\xbb\xbfa\r\n\r\nb").map(|line| line.bytes().to_vec()).collect();
        assert_eq!(lines, [b"a".to_vec(), b"".to_vec(), b"b".to_vec()]);
    }
}

//! Places in a Dockerfile and the excerpt that shows one.

use std::fmt;

/// A place in a source text: line and column, both counted from 1, the column in characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl Position {
    /// The first character of a text.
    pub const START: Position = Position { line: 1, column: 1 };
}

/// `3:7`, short enough for lists of instructions.
impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The lines that an instruction covers: from its keyword to the end of its last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Where the keyword begins.
    pub start: Position,
    /// The position just behind the last character.
    pub end: Position,
}

/// The longest piece of a source line that [`excerpt`] shows, in characters; longer lines are cut
/// around the column, so that a minified one-line file does not flood a terminal.
const EXCERPT_WIDTH: usize = 120;

/// Shows the line at `at` with a caret under the column, or nothing where there is no such line.
///
/// ```text
///    3 | COPY --chwon=1 a /a
///      |      ^
/// ```
pub fn excerpt(source: &[u8], at: Position) -> Option<String> {
    let index = usize::try_from(at.line).ok()?.checked_sub(1)?;
    let line = source.split(|byte| *byte == b'\n').nth(index)?;
    let line = String::from_utf8_lossy(line);
    let line = line.trim_start_matches('\u{feff}').trim_end();
    let column = (at.column.max(1) as usize - 1).min(line.chars().count());
    let from = column.saturating_sub(EXCERPT_WIDTH * 2 / 3);
    let shown: String =
        line.chars().skip(from).take(EXCERPT_WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let pad = " ".repeat((column - from).min(shown.chars().count()));
    Some(format!("{:4} | {shown}\n     | {pad}^", at.line))
}

/// Shows the lines of a span with some around them, as BuildKit does: those of the span are marked.
///
/// ```text
///    2 |     COPY a /a
///    3 | >>> RUN make
///    4 |     CMD ["a"]
/// ```
pub fn excerpt_of_lines(source: &[u8], span: Span) -> Option<String> {
    let lines: Vec<&[u8]> = source.split(|byte| *byte == b'\n').collect();
    let (mut first, mut last) = (span.start.line as usize, (span.end.line as usize).min(lines.len()));
    let marked = first..=last.max(first);
    if first == 0 || first > lines.len() {
        return None;
    }
    // One line alone is shown with more around it than several are.
    let around = if marked.start() == marked.end() { 4 } else { 2 };
    let mut added = 0;
    while added < around {
        if first > 1 {
            first -= 1;
            added += 1;
        }
        if last < lines.len() {
            last += 1;
            added += 1;
        }
        // Counted as BuildKit counts, so that the same lines are shown.
        added += 1;
    }
    let shown = (first..=last).filter_map(|number| {
        let line = String::from_utf8_lossy(lines.get(number - 1)?);
        let line: String = line.trim_start_matches('\u{feff}').trim_end().chars().take(EXCERPT_WIDTH).collect();
        let line: String = line.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
        let mark = if marked.contains(&number) { ">>>" } else { "   " };
        Some(format!("{number:4} | {mark} {line}").trim_end().to_owned())
    });
    Some(shown.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpt_points_at_the_column() {
        let at = |line, column| Position { line, column };
        assert_eq!(
            excerpt(b"FROM x\nCOPY --chwon=1 a /a\n", at(2, 6)).as_deref(),
            Some("   2 | COPY --chwon=1 a /a\n     |      ^")
        );
        assert_eq!(excerpt(b"a\tb", at(1, 3)).as_deref(), Some("   1 | a b\n     |   ^"));
        assert_eq!(excerpt(b"a", at(1, 99)).as_deref(), Some("   1 | a\n     |  ^"));
        assert_eq!(excerpt(b"a", at(9, 1)), None);
        assert_eq!(excerpt(b"", at(0, 0)), None);
        let lines = |first, last| {
            let span = Span { start: at(first, 1), end: at(last, 1) };
            excerpt_of_lines(b"FROM x\nRUN a\n\nRUN b \\\n  c\nCMD d\nCMD e\n", span)
        };
        assert_eq!(lines(2, 2).unwrap(), "   1 |     FROM x\n   2 | >>> RUN a\n   3 |\n   4 |     RUN b \\");
        assert_eq!(lines(4, 5).unwrap(), "   3 |\n   4 | >>> RUN b \\\n   5 | >>>   c\n   6 |     CMD d");
        assert_eq!(lines(7, 99).unwrap().lines().last(), Some("   8 | >>>"));
        assert_eq!((lines(9, 9), lines(0, 0)), (None, None));
        let long = "x".repeat(1000);
        let shown = excerpt(long.as_bytes(), at(1, 900)).unwrap();
        assert!(shown.lines().all(|line| line.chars().count() <= EXCERPT_WIDTH + 8), "{shown}");
    }
}

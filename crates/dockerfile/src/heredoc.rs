//! Heredocs: files and scripts inside the Dockerfile.

use std::borrow::Cow;

use crate::Escape;
use crate::position::Position;
use crate::source::{LogicalLine, Slice};
use crate::words;

/// A heredoc with its body.
///
/// Two are equal wherever they stand.
#[derive(Clone, Debug)]
pub struct Heredoc {
    /// The delimiter without quotes.
    pub name: String,
    /// The lines up to the delimiter, each with its newline, as written.
    pub body: String,
    /// Written with `<<-`: tabs at the start of lines are removed, and only tabs.
    pub strip_tabs: bool,
    /// The delimiter was not quoted, so variables in the body are replaced (COPY and ADD only).
    pub expand: bool,
    /// The number in front of `<<`, 0 where there is none.
    pub descriptor: u32,
    /// Where the marker stands.
    pub position: Position,
}

impl PartialEq for Heredoc {
    fn eq(&self, other: &Heredoc) -> bool {
        (&self.name, &self.body, self.strip_tabs, self.expand, self.descriptor)
            == (&other.name, &other.body, other.strip_tabs, other.expand, other.descriptor)
    }
}

impl Eq for Heredoc {}

impl Heredoc {
    /// The body, without leading tabs where `<<-` asks for that.
    pub fn content(&self) -> Cow<'_, str> {
        if !self.strip_tabs {
            return Cow::Borrowed(&self.body);
        }
        let lines = self.body.split_inclusive('\n').map(|line| line.trim_start_matches('\t'));
        Cow::Owned(lines.collect())
    }

    /// Says whether a text is a marker such as `<<EOF` and nothing else.
    pub(crate) fn is_marker(text: &str) -> bool {
        let mut line = LogicalLine::default();
        line.push(text, Position::START);
        matches!(markers(Slice::whole(&line)).as_slice(),
            [marker] if marker.start == 0 && marker.end == text.len())
    }
}

/// A marker found in a line, whose body is still to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) name: String,
    pub(crate) strip_tabs: bool,
    pub(crate) expand: bool,
    pub(crate) descriptor: u32,
    /// Where the word begins and ends in the slice.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Finds the markers among the words of a line, in order.
///
/// Words are split as a shell would, with `\` as the escape character whatever the file says. A
/// line with an open quote has none.
pub(crate) fn markers(args: Slice<'_>) -> Vec<Marker> {
    if !args.text.contains("<<") || quotes_open(args.text) {
        return Vec::new();
    }
    words::quoted(args, Escape::Backslash)
        .into_iter()
        .filter_map(|word| marker(&word.text, word.offset, word.end))
        .collect()
}

/// Parses `[N]<<[-]WORD`.
fn marker(word: &str, start: usize, end: usize) -> Option<Marker> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = word.split_at(digits);
    let descriptor = if number.is_empty() { 0 } else { number.parse().ok()? };
    let rest = rest.strip_prefix("<<")?;
    let (strip_tabs, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let name = unquote(rest)?;
    if name.is_empty() {
        return None;
    }
    let expand = name == rest;
    Some(Marker { name, strip_tabs, expand, descriptor, start, end })
}

/// Removes quotes and escapes; `None` where a quote has no end.
fn unquote(text: &str) -> Option<String> {
    let mut name = String::new();
    let mut quote = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (Some('\''), c) => name.push(c),
            (Some(_), '\\') => match rest.next()? {
                c @ ('"' | '\\' | '$') => name.push(c),
                c => name.extend(['\\', c]),
            },
            (Some(_), c) => name.push(c),
            (None, '\'' | '"') => quote = Some(c),
            (None, '\\') => name.extend(rest.next()),
            (None, c) => name.push(c),
        }
    }
    quote.is_none().then_some(name)
}

fn quotes_open(text: &str) -> bool {
    let mut quote = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some('\''), '\'') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => {
                rest.next();
            }
            (Some(_), '"') => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            _ => {}
        }
    }
    quote.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_parsed() {
        // text | name | strip tabs | expand | descriptor
        let table = [
            ("<<EOF", Some(("EOF", false, true, 0))),
            ("<<-EOF", Some(("EOF", true, true, 0))),
            ("<<'EOF'", Some(("EOF", false, false, 0))),
            ("<<\"EOF\"", Some(("EOF", false, false, 0))),
            ("<<E\\OF", Some(("EOF", false, false, 0))),
            ("3<<EOF", Some(("EOF", false, true, 3))),
            ("<<\"a b\"", Some(("a b", false, false, 0))),
            ("<<EOF>x", Some(("EOF>x", false, true, 0))),
            ("<<", None),
            ("<<-", None),
            ("<<<EOF", None),
            ("a<<EOF", None),
            ("<<\"EOF", None),
            ("<<''", None),
            ("EOF", None),
            ("99999999999<<EOF", None),
        ];
        for (text, expected) in table {
            let found = marker(text, 0, 0);
            let found = found.as_ref().map(|m| (m.name.as_str(), m.strip_tabs, m.expand, m.descriptor));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn several_markers_stand_in_one_line() {
        let find = |text: &str| {
            let mut line = LogicalLine::default();
            line.push(text, Position::START);
            markers(Slice::whole(&line)).into_iter().map(|m| m.name).collect::<Vec<_>>()
        };
        assert_eq!(find("<<A <<B /x"), ["A", "B"]);
        assert_eq!(find("cat <<A && echo '<<B'"), ["A"]);
        assert!(find("echo \"it's <<A").is_empty(), "an open quote hides all");
        assert!(find("echo $((1<<2))").is_empty());
        assert!(find("cat <<< word").is_empty());
    }

    #[test]
    fn only_tabs_are_stripped() {
        let heredoc = Heredoc {
            name: "E".into(),
            body: "\t\ta\n \tb\n\tc\td\n".into(),
            strip_tabs: true,
            expand: true,
            descriptor: 0,
            position: Position::START,
        };
        assert_eq!(heredoc.content(), "a\n \tb\nc\td\n");
        assert_eq!(Heredoc { strip_tabs: false, ..heredoc.clone() }.content(), heredoc.body);
    }
}

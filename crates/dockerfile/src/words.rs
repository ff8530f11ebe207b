//! The four ways in which instructions split their arguments.

use serde_json::Value;

use crate::Escape;
use crate::source::Slice;

/// Splits at blanks, tabs and the like; nothing is quoted.
pub(crate) fn blanks<'a>(args: Slice<'a>) -> Vec<Slice<'a>> {
    let space = |c: char| matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ');
    let mut words = Vec::new();
    let mut start = None;
    for (index, c) in args.text.char_indices() {
        match (start, space(c)) {
            (None, false) => start = Some(index),
            (Some(from), true) => {
                words.push(args.part(from, index));
                start = None;
            }
            _ => {}
        }
    }
    words.extend(start.map(|from| args.from(from)));
    words
}

/// Splits off the first word at blanks; the rest begins behind the white space.
pub(crate) fn first<'a>(args: Slice<'a>) -> (Slice<'a>, Slice<'a>) {
    let space = |c: char| matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ');
    let Some(end) = args.text.find(space) else {
        return (args, args.from(args.text.len()));
    };
    let rest = args.text[end..].trim_start_matches(space);
    (args.part(0, end), args.from(args.text.len() - rest.len()))
}

/// A word with quotes and escapes still in it.
#[derive(Clone, Debug)]
pub(crate) struct QuotedWord {
    pub(crate) text: String,
    pub(crate) offset: usize,
    pub(crate) end: usize,
}

/// Splits at white space outside of quotes, as ENV, LABEL and ARG do; quotes and escapes stay.
pub(crate) fn quoted(args: Slice<'_>, escape: Escape) -> Vec<QuotedWord> {
    let escape = escape.char();
    let mut words = Vec::new();
    let mut rest = args.text.char_indices().peekable();
    while let Some((start, c)) = rest.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut word = QuotedWord { text: String::new(), offset: start, end: start };
        let mut quote = None;
        let mut next = Some((start, c));
        while let Some((index, c)) = next {
            if quote.is_none() && c.is_whitespace() {
                break;
            }
            word.end = index + c.len_utf8();
            if c == escape && quote != Some('\'') {
                // An escape character at the very end is dropped.
                if let Some((index, escaped)) = rest.next() {
                    word.text.push(c);
                    word.text.push(escaped);
                    word.end = index + escaped.len_utf8();
                }
            } else {
                match quote {
                    None if c == '\'' || c == '"' => quote = Some(c),
                    Some(open) if open == c => quote = None,
                    _ => {}
                }
                word.text.push(c);
            }
            next = rest.next();
        }
        if !word.text.is_empty() {
            words.push(word);
        }
    }
    words
}

/// What a text that may be a JSON array of strings is.
pub(crate) enum Json {
    /// An array of strings.
    Strings(Vec<String>),
    /// An array with something else in it.
    NotStrings,
    /// No valid JSON array, though it begins like one.
    Broken,
    /// Something that does not begin like an array.
    Other,
}

/// Looks for a JSON array of strings.
pub(crate) fn json(text: &str) -> Json {
    let text = text.trim_start();
    if !text.starts_with('[') {
        return Json::Other;
    }
    let Ok(values) = serde_json::from_str::<Vec<Value>>(text) else {
        return Json::Broken;
    };
    let strings: Option<Vec<String>> = values
        .into_iter()
        .map(|value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
        .collect();
    strings.map_or(Json::NotStrings, Json::Strings)
}

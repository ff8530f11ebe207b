//! The form of one line: `deb [ option=value ] URI SUITE COMPONENT ...`.

use std::fmt::Write;

use super::{OPTIONS, SignedBy, Source, SourceType, SourcesError, capped, yes_or_no};

/// Reads a `sources.list`. A `#` begins a comment, also at the end of a line.
///
/// # Errors
/// The first line that apt would not take.
pub fn parse_list(data: &[u8]) -> Result<Vec<Source>, SourcesError> {
    let mut sources = Vec::new();
    for (number, line) in data.split(|&b| b == b'\n').enumerate() {
        let number = number + 1;
        let line = std::str::from_utf8(line).map_err(|_| SourcesError::NotUtf8 { line: number })?;
        let line = without_comment(line).trim_ascii();
        if !line.is_empty() {
            sources.push(parse_line(line, number)?);
        }
    }
    Ok(sources)
}

/// What stands before the first `#` outside of brackets and quotes.
fn without_comment(line: &str) -> &str {
    let mut closing = None;
    for (at, c) in line.char_indices() {
        match (closing, c) {
            (None, '#') => return line.get(..at).unwrap_or_default(),
            (None, '[') => closing = Some(']'),
            (None, '"') => closing = Some('"'),
            (Some(wanted), c) if wanted == c => closing = None,
            _ => {}
        }
    }
    // An opened bracket that is never closed hides nothing.
    if closing.is_some() { line.split_once('#').map_or(line, |(before, _)| before) } else { line }
}

/// Takes one word; blanks within brackets or quotes do not end it, as in `cdrom:[Debian 12]/`.
fn word<'l>(rest: &mut &'l str) -> Option<&'l str> {
    let line = rest.trim_ascii_start();
    let mut closing = None;
    let mut end = line.len();
    for (at, c) in line.char_indices() {
        match (closing, c) {
            (None, c) if c.is_ascii_whitespace() => {
                end = at;
                break;
            }
            (None, '[') => closing = Some(']'),
            (None, '"') => closing = Some('"'),
            (Some(wanted), c) if wanted == c => closing = None,
            _ => {}
        }
    }
    let (word, after) = line.split_at_checked(end)?;
    *rest = after;
    (!word.is_empty()).then_some(word)
}

fn parse_line(line: &str, number: usize) -> Result<Source, SourcesError> {
    let mut source = Source { line: number, ..Source::default() };
    let (kind, mut rest) = line.split_at_checked(line.find([' ', '\t']).unwrap_or(line.len())).unwrap_or((line, ""));
    let unknown = || SourcesError::Type { line: number, found: capped(kind) };
    source.types = vec![SourceType::parse(kind).ok_or_else(unknown)?];
    rest = rest.trim_ascii_start();
    if let Some(inside) = rest.strip_prefix('[') {
        let malformed = |found: &str| SourcesError::Options { line: number, found: capped(found) };
        let (inside, after) = inside.split_once(']').ok_or_else(|| malformed(rest))?;
        for option in inside.split_ascii_whitespace() {
            let (name, value) = option.split_once('=').ok_or_else(|| malformed(option))?;
            let words = value.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
            source.set(&long_name(name), words, number)?;
        }
        rest = after;
    }
    source.uris.extend(word(&mut rest).map(str::to_owned));
    source.suites.extend(word(&mut rest).map(str::to_owned));
    source.components.extend(std::iter::from_fn(|| word(&mut rest)).map(str::to_owned));
    source.check()
}

/// The name of the deb822 form for an option's name on one line.
fn long_name(name: &str) -> String {
    if name.eq_ignore_ascii_case("arch") {
        return "Architectures".into();
    }
    let known = OPTIONS.iter().find(|(_, short)| short.eq_ignore_ascii_case(name));
    known.map_or(name, |(long, _)| long).to_owned()
}

/// Prints a `sources.list`: a line for each type, URI and suite; one that is not enabled becomes a comment.
///
/// # Errors
/// A key stands in a source itself.
pub fn print_list(sources: &[Source]) -> Result<String, SourcesError> {
    let mut text = String::new();
    for source in sources {
        let options = options(source)?;
        for kind in &source.types {
            for uri in &source.uris {
                for suite in &source.suites {
                    if !source.enabled {
                        text.push_str("# ");
                    }
                    // Writing into a String cannot fail.
                    let _ = write!(text, "{} {options}{uri} {suite}", kind.as_str());
                    for component in &source.components {
                        let _ = write!(text, " {component}");
                    }
                    text.push('\n');
                }
            }
        }
    }
    Ok(text)
}

fn options(source: &Source) -> Result<String, SourcesError> {
    let mut options = Vec::new();
    if !source.architectures.is_empty() {
        options.push(format!("arch={}", source.architectures.join(",")));
    }
    match &source.signed_by {
        None => {}
        Some(SignedBy::Keys(keys)) => options.push(format!("signed-by={}", keys.join(","))),
        Some(SignedBy::Embedded(_)) => {
            return Err(SourcesError::EmbeddedKey { uri: source.uris.first().cloned().unwrap_or_default() });
        }
    }
    options.extend(source.trusted.map(|value| format!("trusted={}", yes_or_no(value))));
    options.extend(source.check_valid_until.map(|value| format!("check-valid-until={}", yes_or_no(value))));
    options.extend(source.by_hash.map(|value| format!("by-hash={}", value.as_str())));
    for (name, words) in &source.options {
        let short = OPTIONS.iter().find(|(long, _)| long == name).map_or(*name, |(_, short)| short);
        options.push(format!("{short}={}", words.join(",")));
    }
    Ok(if options.is_empty() { String::new() } else { format!("[{}] ", options.join(" ")) })
}

//! The deb822 form: a `.sources` file.

use super::{SignedBy, Source, SourceType, SourcesError, capped, flag, yes_or_no};
use crate::deb::control::{Paragraph, Paragraphs, blank_comments, print_field};

/// How an armoured key begins.
const ARMOUR: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// What separates paths and fingerprints.
const SEPARATORS: [char; 6] = [' ', '\t', '\n', '\r', '\x0c', ','];

/// Reads a `.sources` file. A line that begins with `#` is a comment.
///
/// # Errors
/// The first paragraph that apt would not take.
pub fn parse_sources(data: &[u8]) -> Result<Vec<Source>, SourcesError> {
    let data = blank_comments(data);
    Paragraphs::new(&data).map(|paragraph| parse_paragraph(&paragraph?)).collect()
}

fn parse_paragraph(paragraph: &Paragraph<'_>) -> Result<Source, SourcesError> {
    let line = paragraph.line();
    let mut source = Source { types: Vec::new(), line, ..Source::default() };
    for field in paragraph.fields() {
        let name = field.name().to_ascii_lowercase();
        let text = field.text()?;
        let words = || text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<String>>();
        match name.as_str() {
            "types" => {
                for word in words() {
                    let unknown = || SourcesError::Type { line: field.line(), found: capped(&word) };
                    source.types.push(SourceType::parse(&word).ok_or_else(unknown)?);
                }
            }
            "uris" => source.uris = words(),
            "suites" => source.suites = words(),
            "components" => source.components = words(),
            "enabled" => source.enabled = flag(&words(), "Enabled", field.line())?,
            "signed-by" if text.trim_start_matches(SEPARATORS).starts_with(ARMOUR) => {
                // Trimmed as the whole is below: a line of a dot and a vertical tab is an empty line of the key.
                let lines = text.trim_start_matches(SEPARATORS).lines().map(str::trim).filter(|line| !line.is_empty());
                let key: Vec<&str> = lines.map(|line| if line == "." { "" } else { line }).collect();
                source.signed_by = Some(SignedBy::Embedded(key.join("\n").trim_end().to_owned() + "\n"));
            }
            "signed-by" => {
                let words = text.split(SEPARATORS).filter(|word| !word.is_empty());
                source.set(&name, words.map(str::to_owned).collect(), field.line())?;
            }
            _ => source.set(&name, words(), field.line())?,
        }
    }
    if source.types.is_empty() {
        return Err(SourcesError::Type { line, found: String::new() });
    }
    source.check()
}

/// Prints a `.sources` file.
#[must_use]
pub fn print_sources(sources: &[Source]) -> String {
    let mut text = String::new();
    for (number, source) in sources.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        print_paragraph(&mut text, source);
    }
    text
}

fn print_paragraph(text: &mut String, source: &Source) {
    let mut field = |name: &str, words: &[String]| {
        if !words.is_empty() {
            print_field(text, name, &words.join(" "));
        }
    };
    let flag = |value: bool| vec![yes_or_no(value).to_owned()];
    if !source.enabled {
        field("Enabled", &flag(false));
    }
    let types: Vec<String> = source.types.iter().map(|kind| kind.as_str().to_owned()).collect();
    field("Types", &types);
    field("URIs", &source.uris);
    field("Suites", &source.suites);
    field("Components", &source.components);
    field("Architectures", &source.architectures);
    match &source.signed_by {
        None => {}
        Some(SignedBy::Keys(keys)) => field("Signed-By", keys),
        Some(SignedBy::Embedded(key)) => field("Signed-By", &[format!("\n{}", key.trim_end())]),
    }
    source.trusted.iter().for_each(|value| field("Trusted", &flag(*value)));
    source.check_valid_until.iter().for_each(|value| field("Check-Valid-Until", &flag(*value)));
    source.by_hash.iter().for_each(|value| field("By-Hash", &[value.as_str().to_owned()]));
    for (name, words) in &source.options {
        field(name, words);
    }
}

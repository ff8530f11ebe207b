//! Parser directives: the `# key=value` lines at the very top.

use crate::error::ParseErrorKind;

/// The character that continues lines and escapes others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Escape {
    /// `\`, the default.
    #[default]
    Backslash,
    /// `` ` ``, chosen by `# escape=`.
    Backtick,
}

impl Escape {
    /// The character itself.
    pub const fn char(self) -> char {
        match self {
            Escape::Backslash => '\\',
            Escape::Backtick => '`',
        }
    }
}

/// The parser directives of a Dockerfile.
///
/// Spec: Dockerfile reference, "Parser directives". Keys are case-insensitive, values are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=`, as written. It selects nothing here: this crate is the frontend.
    pub syntax: Option<String>,
    /// `# escape=`.
    pub escape: Option<Escape>,
    /// `# check=`, as written.
    pub check: Option<String>,
}

impl Directives {
    /// The escape character in force.
    pub fn escape(&self) -> Escape {
        self.escape.unwrap_or_default()
    }
}

/// Reads directives line by line until something else comes.
#[derive(Debug, Default)]
pub(crate) struct DirectiveReader {
    pub(crate) directives: Directives,
    done: bool,
}

impl DirectiveReader {
    /// Ends the section: from here on a `#` line is a comment.
    pub(crate) fn end(&mut self) {
        self.done = true;
    }

    /// Whether the section has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Takes a line that begins with `#` (white space before it already removed).
    pub(crate) fn comment(&mut self, line: &str) -> Result<(), ParseErrorKind> {
        if self.done {
            return Ok(());
        }
        let Some((key, value)) = split(line) else {
            self.done = true;
            return Ok(());
        };
        let duplicate = |name| ParseErrorKind::DirectiveTwice { name };
        match key.to_ascii_lowercase().as_str() {
            "syntax" => {
                if self.directives.syntax.replace(value.to_owned()).is_some() {
                    return Err(duplicate("syntax"));
                }
            }
            "check" => {
                if self.directives.check.replace(value.to_owned()).is_some() {
                    return Err(duplicate("check"));
                }
            }
            "escape" => {
                let escape = match value {
                    "\\" => Escape::Backslash,
                    "`" => Escape::Backtick,
                    _ => {
                        return Err(ParseErrorKind::DirectiveEscape { value: value.to_owned() });
                    }
                };
                if self.directives.escape.replace(escape).is_some() {
                    return Err(duplicate("escape"));
                }
            }
            _ => self.done = true,
        }
        Ok(())
    }
}

/// Splits `# key = value`; anything else is a comment.
fn split(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix('#')?.trim_start();
    let (key, value) = rest.split_once('=')?;
    let ascii = |c: char| c.is_ascii_whitespace() || c == '\u{b}';
    let (key, value) = (key.trim_end_matches(ascii), value.trim_matches(ascii));
    let mut letters = key.chars();
    let named = letters.next().is_some_and(|c| c.is_ascii_alphabetic()) && letters.all(|c| c.is_ascii_alphanumeric());
    (named && !value.is_empty()).then_some((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_into_key_and_value() {
        let table = [
            ("# escape=`", Some(("escape", "`"))),
            ("#escape = ` ", Some(("escape", "`"))),
            ("#\tSyntax=docker/dockerfile:1", Some(("Syntax", "docker/dockerfile:1"))),
            ("# check=skip=all;error=true", Some(("check", "skip=all;error=true"))),
            ("# escape=", None),
            ("# 1a=b", None),
            ("# a b=c", None),
            ("# plain words", None),
            ("#", None),
        ];
        for (line, expected) in table {
            assert_eq!(split(line), expected, "{line:?}");
        }
    }
}

//! Triggers: what packages want to hear of, and what they tell. Spec: deb-triggers(5), dpkg's triggers.txt.

use bedplate_tree::TreePath;
use thiserror::Error;

/// Directives of one package. Real ones have a handful; who looks at them compares each with each.
pub const MAX_DIRECTIVES: usize = 4096;

/// What a trigger is named by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TriggerName {
    /// A change at or below this path.
    File(TreePath),
    /// A word.
    Explicit(Box<str>),
}

/// One line of a package's `triggers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Wants to hear, or tells.
    pub interest: bool,
    /// Whether who activates the trigger waits until it was handled.
    pub awaits: bool,
    /// The trigger.
    pub name: TriggerName,
}

/// A line of `triggers/File`, or of a file of its own for a named trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    /// The package, with its architecture where it may be there several times.
    pub package: Box<str>,
    /// Whether who activates the trigger waits.
    pub awaits: bool,
}

/// Why triggers cannot be read. Lines are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TriggersError {
    /// Not a directive and a name.
    #[error("line {line}: expected a directive and a trigger")]
    Words {
        /// The line.
        line: usize,
    },
    /// A directive that nobody knows.
    #[error("line {line}: directive {directive:?} is not known")]
    Directive {
        /// The line.
        line: usize,
        /// The word.
        directive: String,
    },
    /// A trigger that can be none: no word of printable characters, and no path.
    #[error("line {line}: {name:?} is no name of a trigger")]
    Name {
        /// The line.
        line: usize,
        /// The name.
        name: String,
    },
    /// More than [`MAX_DIRECTIVES`].
    #[error("line {line}: more than {MAX_DIRECTIVES} directives")]
    TooMany {
        /// The line.
        line: usize,
    },
    /// A line that should name a package.
    #[error("line {line}: {text:?} is not the name of a package")]
    Package {
        /// The line.
        line: usize,
        /// What it says.
        text: String,
    },
}

/// Reads the `triggers` of a package.
///
/// # Errors
/// [`TriggersError`].
pub fn parse_directives(text: &[u8]) -> Result<Vec<Directive>, TriggersError> {
    let mut directives = Vec::new();
    for (number, text) in text.split(|&b| b == b'\n').enumerate() {
        let line = number + 1;
        let text = text.split(|&b| b == b'#').next().unwrap_or_default();
        let mut words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let Some(directive) = words.next() else { continue };
        let (Some(name), None) = (words.next(), words.next()) else { return Err(TriggersError::Words { line }) };
        let (interest, awaits) = match directive {
            b"interest" | b"interest-await" => (true, true),
            b"interest-noawait" => (true, false),
            b"activate" | b"activate-await" => (false, true),
            b"activate-noawait" => (false, false),
            other => {
                let directive = String::from_utf8_lossy(other).into_owned();
                return Err(TriggersError::Directive { line, directive });
            }
        };
        if directives.len() == MAX_DIRECTIVES {
            return Err(TriggersError::TooMany { line });
        }
        directives.push(Directive { interest, awaits, name: trigger_name(name, line)? });
    }
    Ok(directives)
}

fn trigger_name(name: &[u8], line: usize) -> Result<TriggerName, TriggersError> {
    let bad = || TriggersError::Name { line, name: String::from_utf8_lossy(name).into_owned() };
    if name.first() == Some(&b'/') {
        let path = TreePath::parse(name).ok().filter(|path| !path.is_root()).ok_or_else(bad)?;
        return Ok(TriggerName::File(path));
    }
    // It becomes the name of a file of the database.
    let known = name.iter().all(|b| b.is_ascii_alphanumeric() || b"-+.:_".contains(b))
        && name.first().is_some_and(u8::is_ascii_alphanumeric)
        && name.len() <= 128
        && !matches!(name, b"File" | b"Lock" | b"Unincorp");
    std::str::from_utf8(name).ok().filter(|_| known).map(|name| TriggerName::Explicit(name.into())).ok_or_else(bad)
}

fn interest(text: &[u8], line: usize) -> Result<Interest, TriggersError> {
    let (name, awaits) = match text.strip_suffix(b"/noawait") {
        Some(name) => (name, false),
        None => (text, true),
    };
    let known = std::str::from_utf8(name).ok().filter(|name| {
        let (name, architecture) = name.split_once(':').unwrap_or((name, "any"));
        crate::deb::payload::is_package_name(name) && crate::deb::payload::is_architecture(architecture)
    });
    match known {
        Some(package) => Ok(Interest { package: package.into(), awaits }),
        None => Err(TriggersError::Package { line, text: String::from_utf8_lossy(text).into_owned() }),
    }
}

/// Reads `triggers/File`: paths with who is interested in them, in the order of the file.
///
/// # Errors
/// [`TriggersError`].
pub fn parse_file_interests(text: &[u8]) -> Result<Vec<(TreePath, Interest)>, TriggersError> {
    let mut interests = Vec::new();
    for (number, text) in lines(text) {
        let space = text.iter().rposition(|&b| b == b' ').ok_or(TriggersError::Words { line: number })?;
        let TriggerName::File(path) = trigger_name(&text[..space], number)? else {
            let name = String::from_utf8_lossy(&text[..space]).into_owned();
            return Err(TriggersError::Name { line: number, name });
        };
        interests.push((path, interest(&text[space + 1..], number)?));
    }
    Ok(interests)
}

/// Reads the file of a named trigger: who is interested, in the order of the file.
///
/// # Errors
/// [`TriggersError`].
pub fn parse_interests(text: &[u8]) -> Result<Vec<Interest>, TriggersError> {
    lines(text).map(|(number, text)| interest(text, number)).collect()
}

fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = text.split(|&b| b == b'\n').enumerate();
    lines.map(|(number, text)| (number + 1, text)).filter(|(_, text)| !text.is_empty())
}

impl std::fmt::Display for Interest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.package, if self.awaits { "" } else { "/noawait" })
    }
}

/// Prints `triggers/File`.
#[must_use]
pub fn print_file_interests(interests: &[(TreePath, Interest)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (path, interest) in interests {
        out.push(b'/');
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(format!(" {interest}\n").as_bytes());
    }
    out
}

/// Prints the file of a named trigger.
#[must_use]
pub fn print_interests(interests: &[Interest]) -> Vec<u8> {
    interests.iter().map(|interest| format!("{interest}\n")).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read() {
        let text = "# comment\ninterest /usr/share/man\n interest-noawait ldconfig # x\nactivate-noawait ldconfig\n\nactivate a\n";
        let shown: Vec<String> = parse_directives(text.as_bytes())
            .unwrap()
            .iter()
            .map(|d| format!("{} {} {:?}", d.interest, d.awaits, d.name))
            .collect();
        assert_eq!(
            shown,
            [
                "true true File(\"usr/share/man\")",
                "true false Explicit(\"ldconfig\")",
                "false false Explicit(\"ldconfig\")",
                "false true Explicit(\"a\")",
            ]
        );
        let many = "activate a\n".repeat(MAX_DIRECTIVES);
        assert_eq!(parse_directives(many.as_bytes()).unwrap().len(), MAX_DIRECTIVES);
        let more = parse_directives(format!("{many}activate a\n").as_bytes()).unwrap_err();
        assert_eq!(more.to_string(), "line 4097: more than 4096 directives");
        let cases = [
            ("interest\n", "line 1: expected a directive and a trigger"),
            ("interest a b\n", "line 1: expected a directive and a trigger"),
            ("\nwant a\n", "line 2: directive \"want\" is not known"),
            ("interest ../a\n", "line 1: \"../a\" is no name of a trigger"),
            ("interest /../a\n", "line 1: \"/../a\" is no name of a trigger"),
            ("interest File\n", "line 1: \"File\" is no name of a trigger"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_directives(text.as_bytes()).unwrap_err().to_string(), expected, "{text:?}");
        }
    }

    #[test]
    fn interests_are_read_and_printed_the_same() {
        let text = "/usr/share/man man-db/noawait\n/usr/lib/x libx:amd64\n";
        assert_eq!(print_file_interests(&parse_file_interests(text.as_bytes()).unwrap()), text.as_bytes());
        let text = "libc-bin\nman-db/noawait\n";
        assert_eq!(print_interests(&parse_interests(text.as_bytes()).unwrap()), text.as_bytes());
        assert!(parse_file_interests(b"/x\n").is_err());
        assert!(parse_interests(b"a b\n").is_err());
    }
}

//! The `conffiles` of a package. Spec: deb-conffiles(5).

use bedplate_tree::{PathError, TreePath};
use thiserror::Error;

use super::Md5;

/// A file that dpkg keeps as its administrator left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conffile {
    /// Where it is.
    pub path: TreePath,
    /// To be removed at the next upgrade, and not in the package.
    pub remove_on_upgrade: bool,
    /// The sum of its content; `None` where the package has no such regular file.
    pub md5: Option<Md5>,
}

/// Why a list of configuration files cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConffilesError {
    /// The last line does not end.
    #[error("line {line} has no end")]
    Unended {
        /// Counted from 1.
        line: usize,
    },
    /// A name that is not absolute.
    #[error("line {line}: {text:?} is not an absolute path")]
    NotAbsolute {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A word before the name that nobody knows.
    #[error("line {line}: flag {flag:?} is not known")]
    Flag {
        /// Counted from 1.
        line: usize,
        /// The word.
        flag: String,
    },
    /// A name that no root filesystem can have.
    #[error("line {line}")]
    Path {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: PathError,
    },
}

pub(super) fn parse(text: &[u8]) -> Result<Vec<Conffile>, ConffilesError> {
    let mut conffiles: Vec<Conffile> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut rest = text;
    let mut line = 0;
    while !rest.is_empty() {
        line += 1;
        let Some(end) = memchr::memchr(b'\n', rest) else { return Err(ConffilesError::Unended { line }) };
        let words = rest[..end].trim_ascii();
        rest = &rest[end + 1..];
        if words.is_empty() {
            continue;
        }
        let (flag, name) = match (words.first(), words.iter().position(u8::is_ascii_whitespace)) {
            (Some(b'/'), _) | (_, None) => (None, words),
            (_, Some(space)) => (Some(&words[..space]), words[space..].trim_ascii_start()),
        };
        if let Some(flag) = flag.filter(|&flag| flag != b"remove-on-upgrade") {
            return Err(ConffilesError::Flag { line, flag: String::from_utf8_lossy(flag).into_owned() });
        }
        if name.first() != Some(&b'/') {
            return Err(ConffilesError::NotAbsolute { line, text: String::from_utf8_lossy(name).into_owned() });
        }
        let path = TreePath::parse(name).map_err(|source| ConffilesError::Path { line, source })?;
        // A repeated one says nothing anew.
        if seen.insert(path.clone()) {
            conffiles.push(Conffile { path, remove_on_upgrade: flag.is_some(), md5: None });
        }
    }
    Ok(conffiles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_names_with_or_without_a_flag() {
        type Expected = Result<&'static [(&'static str, bool)], &'static str>;
        let cases: &[(&str, Expected)] = &[
            ("", Ok(&[])),
            ("/etc/a\n", Ok(&[("etc/a", false)])),
            ("/etc/a b \n\n/etc/c\n/etc/c\n", Ok(&[("etc/a b", false), ("etc/c", false)])),
            ("remove-on-upgrade /etc/a\n", Ok(&[("etc/a", true)])),
            ("/etc/a", Err("line 1 has no end")),
            ("/etc/a\netc/b\n", Err("line 2: \"etc/b\" is not an absolute path")),
            ("keep /etc/a\n", Err("line 1: flag \"keep\" is not known")),
            ("/etc/../../a\n", Err("line 1")),
        ];
        for (text, expected) in cases {
            let found = parse(text.as_bytes());
            match expected {
                Ok(expected) => {
                    let found = found.unwrap();
                    let found: Vec<_> = found
                        .iter()
                        .map(|c| (String::from_utf8_lossy(c.path.as_bytes()), c.remove_on_upgrade))
                        .collect();
                    let expected: Vec<_> = expected.iter().map(|&(path, flag)| (path.into(), flag)).collect();
                    assert_eq!(found, expected, "{text:?}");
                }
                Err(expected) => assert_eq!(found.unwrap_err().to_string(), *expected, "{text:?}"),
            }
        }
    }
}

//! `diversions`: names that lead elsewhere for all packages but one. Spec: dpkg-divert(1).
//!
//! ```text
//! /bin/sh             the name in packages
//! /bin/sh.distrib     where it leads
//! dash                the package that may use the name itself, ":" for none
//! ```

use std::collections::HashMap;

use bedplate_tree::{PathError, TreePath};
use thiserror::Error;

/// Lines of the file; a real one has dozens.
pub const MAX_LINES: usize = 300_000;

/// One diversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diversion {
    /// The name in packages.
    pub from: TreePath,
    /// Where it leads.
    pub to: TreePath,
    /// The package that made it and for which the name stays; `None` for a local one, which holds for all.
    pub package: Option<Box<str>>,
}

/// Why diversions cannot be read. Lines are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DiversionsError {
    /// Not whole triplets of lines.
    #[error("the file ends inside a diversion, after line {line}")]
    Cut {
        /// The last line.
        line: usize,
    },
    /// A name that is not absolute.
    #[error("line {line}: {text:?} is not an absolute path")]
    NotAbsolute {
        /// The line.
        line: usize,
        /// What it says.
        text: String,
    },
    /// A name that no root filesystem can have.
    #[error("line {line}")]
    Path {
        /// The line.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: PathError,
    },
    /// A line that should name a package.
    #[error("line {line}: {text:?} is not the name of a package")]
    Package {
        /// The line.
        line: usize,
        /// What it says.
        text: String,
    },
    /// One name diverted twice.
    #[error("line {line}: \"{path}\" is diverted twice")]
    Repeated {
        /// The line.
        line: usize,
        /// The name.
        path: TreePath,
    },
    /// More than [`MAX_LINES`].
    #[error("more than {MAX_LINES} lines")]
    TooMany,
}

/// All diversions, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diversions {
    all: Vec<Diversion>,
    by_name: HashMap<TreePath, usize>,
}

impl Diversions {
    /// Reads the file.
    ///
    /// # Errors
    /// [`DiversionsError`].
    pub fn parse(text: &[u8]) -> Result<Self, DiversionsError> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let mut diversions = Self::default();
        if text.is_empty() {
            return Ok(diversions);
        }
        if memchr::memchr_iter(b'\n', text).nth(MAX_LINES).is_some() {
            return Err(DiversionsError::TooMany);
        }
        let lines: Vec<&[u8]> = text.split(|&b| b == b'\n').collect();
        for (number, triplet) in lines.chunks(3).enumerate() {
            let line = 3 * number + 1;
            let [from, to, package] = triplet else { return Err(DiversionsError::Cut { line: lines.len() }) };
            let (from, to) = (absolute(from, line)?, absolute(to, line + 1)?);
            let package = match std::str::from_utf8(package) {
                Ok(":") => None,
                Ok(name) if crate::deb::payload::is_package_name(name) => Some(name.into()),
                _ => {
                    let text = String::from_utf8_lossy(package).into_owned();
                    return Err(DiversionsError::Package { line: line + 2, text });
                }
            };
            let path = from.clone();
            if !diversions.add(Diversion { from, to, package }) {
                return Err(DiversionsError::Repeated { line, path });
            }
        }
        Ok(diversions)
    }

    /// Adds one; false where the name is diverted already.
    pub fn add(&mut self, diversion: Diversion) -> bool {
        if self.by_name.contains_key(&diversion.from) {
            return false;
        }
        self.by_name.insert(diversion.from.clone(), self.all.len());
        self.all.push(diversion);
        true
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Diversion] {
        &self.all
    }

    fn get(&self, path: &TreePath) -> Option<&Diversion> {
        if self.all.is_empty() {
            return None;
        }
        self.by_name.get(path).and_then(|&number| self.all.get(number))
    }

    /// Where a name leads for a package; `None` where it stays.
    #[must_use]
    pub fn divert(&self, path: &TreePath, package: &str) -> Option<&TreePath> {
        self.get(path).filter(|diversion| diversion.package.as_deref() != Some(package)).map(|diversion| &diversion.to)
    }

    /// The package that diverts a name; `None` where nobody does, or a local diversion.
    #[must_use]
    pub fn diverter(&self, path: &TreePath) -> Option<&str> {
        self.get(path)?.package.as_deref()
    }

    /// The file.
    #[must_use]
    pub fn print(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for Diversion { from, to, package } in &self.all {
            for path in [from, to] {
                out.push(b'/');
                out.extend_from_slice(path.as_bytes());
                out.push(b'\n');
            }
            out.extend_from_slice(package.as_deref().unwrap_or(":").as_bytes());
            out.push(b'\n');
        }
        out
    }
}

fn absolute(text: &[u8], line: usize) -> Result<TreePath, DiversionsError> {
    if text.first() != Some(&b'/') {
        return Err(DiversionsError::NotAbsolute { line, text: String::from_utf8_lossy(text).into_owned() });
    }
    TreePath::parse(text).map_err(|source| DiversionsError::Path { line, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triplets_are_read_and_printed_the_same() {
        let text = "/bin/sh\n/bin/sh.distrib\ndash\n/sbin/initctl\n/sbin/initctl.distrib\n:\n";
        let diversions = Diversions::parse(text.as_bytes()).unwrap();
        assert_eq!(diversions.print(), text.as_bytes());
        let path = |text: &str| TreePath::parse(text.as_bytes()).unwrap();
        let cases = [
            ("bin/sh", "bash", Some("bin/sh.distrib")),
            ("bin/sh", "dash", None),
            ("bin/sh.distrib", "bash", None),
            ("sbin/initctl", "upstart", Some("sbin/initctl.distrib")),
        ];
        for (name, package, expected) in cases {
            assert_eq!(diversions.divert(&path(name), package), expected.map(path).as_ref(), "{name} {package}");
        }
        assert_eq!(Diversions::parse(b"").unwrap().print(), b"");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("/a\n", "the file ends inside a diversion, after line 1"),
            ("/a\n/b\n", "the file ends inside a diversion, after line 2"),
            ("a\n/b\nc\n", "line 1: \"a\" is not an absolute path"),
            ("/a\n/../b\n:\n", "line 2"),
            ("/a\n/b\n/c\n", "line 3: \"/c\" is not the name of a package"),
            ("/a\n/b\n:\n/a\n/c\n:\n", "line 4: \"/a\" is diverted twice"),
        ];
        for (text, expected) in cases {
            assert_eq!(Diversions::parse(text.as_bytes()).unwrap_err().to_string(), expected, "{text:?}");
        }
    }
}

//! `Packages` indexes: all packages of one component for one architecture.

use thiserror::Error;

use super::control::{ControlError, Cursor, PARAGRAPH_MAX, Step};
use super::package::{Draft, Package, PackageError};

/// The most packages of one index. The largest real ones have 70,000; each costs about 400 bytes here.
pub const PACKAGES_MAX: usize = 1 << 20;
/// How many reasons for passing over a package are kept; the others are counted.
pub const SKIPPED_MAX: usize = 16;

/// Why bytes are not an index.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IndexError {
    /// Not deb822.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A paragraph without a name: apt refuses the index, too.
    #[error("line {line}: a paragraph without a field \"Package\"")]
    NoName {
        /// The line where the paragraph begins.
        line: usize,
    },
    /// More than [`PACKAGES_MAX`] packages.
    #[error("line {line}: more than {PACKAGES_MAX} packages in one index")]
    TooMany {
        /// The line where the first one too many begins.
        line: usize,
    },
}

/// The packages of an index, in its order.
///
/// A paragraph with a name that is no usable package (no version, a version that is none, ...) is passed over, as apt
/// does: one bad upload must not take the archive away. [`Self::skipped`] tells which.
#[derive(Debug, Clone, Default)]
pub struct PackagesIndex<'a> {
    packages: Vec<Package<'a>>,
    skipped: Vec<PackageError>,
    skipped_count: usize,
}

impl<'a> PackagesIndex<'a> {
    /// Reads an index in one pass. An empty one has no packages.
    ///
    /// # Errors
    /// Not deb822, a paragraph without a name, too many packages.
    pub fn parse(data: &'a [u8]) -> Result<Self, IndexError> {
        let mut index = Self::default();
        // A paragraph of a main index has about 700 bytes.
        index.packages.reserve((data.len() / 640).min(PACKAGES_MAX));
        let mut cursor = Cursor::new(data);
        let mut draft = Draft::default();
        let mut begin = None;
        loop {
            let (at, at_line) = cursor.position();
            let step = cursor.step()?;
            match (&step, begin) {
                (Step::Field(field), _) => {
                    let (start, line) = *begin.get_or_insert((at, at_line));
                    if cursor.position().0 - start > PARAGRAPH_MAX {
                        return Err(ControlError::TooLong { line }.into());
                    }
                    draft.set(field)?;
                }
                (Step::Blank | Step::End, Some((start, line))) => {
                    index.push(&draft, data.get(start..at).unwrap_or_default(), line)?;
                    draft = Draft::default();
                    begin = None;
                }
                (Step::Blank | Step::End, None) => {}
            }
            if matches!(step, Step::End) {
                return Ok(index);
            }
        }
    }

    fn push(&mut self, draft: &Draft<'a>, stanza: &'a [u8], line: usize) -> Result<(), IndexError> {
        if draft.name().is_none() {
            return Err(IndexError::NoName { line });
        }
        if self.packages.len() + self.skipped_count == PACKAGES_MAX {
            return Err(IndexError::TooMany { line });
        }
        match draft.finish(stanza, line) {
            Ok(package) => self.packages.push(package),
            Err(error) => {
                self.skipped_count += 1;
                if self.skipped.len() < SKIPPED_MAX {
                    self.skipped.push(error);
                }
            }
        }
        Ok(())
    }

    /// The packages.
    #[must_use]
    pub fn packages(&self) -> &[Package<'a>] {
        &self.packages
    }

    /// The packages, given away.
    #[must_use]
    pub fn into_packages(self) -> Vec<Package<'a>> {
        self.packages
    }

    /// The reasons for the first paragraphs that were passed over; at most [`SKIPPED_MAX`].
    #[must_use]
    pub fn skipped(&self) -> &[PackageError] {
        &self.skipped
    }

    /// How many paragraphs were passed over.
    #[must_use]
    pub fn skipped_count(&self) -> usize {
        self.skipped_count
    }
}

impl<'a> IntoIterator for PackagesIndex<'a> {
    type Item = Package<'a>;
    type IntoIter = std::vec::IntoIter<Package<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.packages.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(index: &PackagesIndex<'a>) -> Vec<&'a str> {
        index.packages().iter().map(|package| package.name).collect()
    }

    #[test]
    fn packages_in_order() {
        let text = "Package: a\nVersion: 1\nArchitecture: all\nDescription: x\n y\n\n\n\nPackage: b\r\nVersion: 2\r\n\
                    Architecture: amd64\r\n\r\nPackage: a\nVersion: 3\nArchitecture: all";
        let index = PackagesIndex::parse(text.as_bytes()).unwrap();
        assert_eq!(names(&index), ["a", "b", "a"]);
        assert_eq!(index.packages().iter().map(|package| package.line).collect::<Vec<_>>(), [1, 9, 13]);
        assert_eq!(index.packages()[0].stanza, &text.as_bytes()[..58]);
        assert_eq!(index.skipped_count(), 0);
        assert!(PackagesIndex::parse(b"").unwrap().packages().is_empty());
        assert!(PackagesIndex::parse(b"\n\n").unwrap().packages().is_empty());
    }

    #[test]
    fn unusable_packages_are_passed_over_and_counted() {
        let mut text = "Package: a\nVersion: 1\nArchitecture: all\n\n".to_owned();
        for number in 0..20 {
            text.push_str(&format!("Package: p{number}\nArchitecture: all\n\n"));
        }
        text.push_str("Package: b\nVersion: 1\nArchitecture: all\n");
        let index = PackagesIndex::parse(text.as_bytes()).unwrap();
        assert_eq!(names(&index), ["a", "b"]);
        assert_eq!((index.skipped_count(), index.skipped().len()), (20, SKIPPED_MAX));
        assert_eq!(index.skipped()[1].to_string(), "line 8: the paragraph has no field \"Version\"");
    }

    #[test]
    fn rejected() {
        let cases = [
            ("Version: 1\n", "line 1: a paragraph without a field \"Package\""),
            ("Package: a\nVersion: 1\n\nPackage:\nVersion: 1\n", "line 4: a paragraph without a field \"Package\""),
            ("Package: a\nPackage: b\n", "line 2: field \"Package\" stands twice in one paragraph"),
            ("Package: a\nVersion: 1\nFilename: a\nfilename: b\n", "line 4: field \"filename\" stands twice"),
            ("<!DOCTYPE html>\n", "line 1: \"<!DOCTYPE html>\" is not a field"),
            (" x\n", "line 1: a continuation line"),
        ];
        for (text, message) in cases {
            let error = PackagesIndex::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn the_number_of_packages_is_bounded() {
        // Without a version they cost no memory, but they count.
        let mut text = "Package: a\n\n".repeat(PACKAGES_MAX);
        assert_eq!(PackagesIndex::parse(text.as_bytes()).unwrap().skipped_count(), PACKAGES_MAX);
        text.push_str("Package: a\n");
        let line = PACKAGES_MAX * 2 + 1;
        assert_eq!(PackagesIndex::parse(text.as_bytes()).unwrap_err(), IndexError::TooMany { line });
    }
}

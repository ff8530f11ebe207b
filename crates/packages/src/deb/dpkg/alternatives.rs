//! `alternatives/NAME`: which of several files a link leads to. Spec: update-alternatives(1).
//!
//! ```text
//! auto                        or manual
//! /usr/bin/awk                the link
//! awk.1.gz                    a link that follows: its name,
//! /usr/share/man/man1/awk.1.gz    and the link
//!                             an empty line
//! /usr/bin/mawk               a choice,
//! 5                           its priority,
//! /usr/share/man/man1/mawk.1.gz   where each link that follows leads, empty for nowhere
//!                             an empty line
//! ```

use thiserror::Error;

/// A link that follows the choice of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    /// Its name in `/etc/alternatives`.
    pub name: Box<[u8]>,
    /// The link.
    pub link: Box<[u8]>,
}

/// A file that the link may lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The file.
    pub path: Box<[u8]>,
    /// The highest one is chosen where nobody chose.
    pub priority: i64,
    /// Where the followers lead, in their order; empty for nowhere.
    pub followers: Vec<Box<[u8]>>,
}

/// One group of alternatives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternatives {
    /// Whether the priority decides.
    pub automatic: bool,
    /// The link.
    pub link: Box<[u8]>,
    /// Links that follow.
    pub followers: Vec<Follower>,
    /// What may be chosen.
    pub choices: Vec<Choice>,
}

/// Why alternatives cannot be read. Lines are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AlternativesError {
    /// The file ends too early.
    #[error("the file ends after line {line}, where {expected} is missing")]
    Cut {
        /// The last line.
        line: usize,
        /// What should come.
        expected: &'static str,
    },
    /// A line that cannot be what it should be.
    #[error("line {line}: {text:?} is not {expected}")]
    Line {
        /// The line.
        line: usize,
        /// What it says.
        text: String,
        /// What it should be.
        expected: &'static str,
    },
}

struct Lines<'a> {
    rest: &'a [u8],
    line: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self, expected: &'static str) -> Result<&'a [u8], AlternativesError> {
        let end = memchr::memchr(b'\n', self.rest);
        let end = end.ok_or(AlternativesError::Cut { line: self.line, expected })?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        self.line += 1;
        Ok(line)
    }

    fn bad(&self, text: &[u8], expected: &'static str) -> AlternativesError {
        AlternativesError::Line { line: self.line, text: String::from_utf8_lossy(text).into_owned(), expected }
    }

    fn absolute(&mut self, expected: &'static str) -> Result<&'a [u8], AlternativesError> {
        let line = self.next(expected)?;
        if line.first() == Some(&b'/') { Ok(line) } else { Err(self.bad(line, expected)) }
    }
}

impl Alternatives {
    /// Reads one file.
    ///
    /// # Errors
    /// [`AlternativesError`].
    pub fn parse(text: &[u8]) -> Result<Self, AlternativesError> {
        let mut lines = Lines { rest: text, line: 0 };
        let automatic = match lines.next("auto or manual")? {
            b"auto" => true,
            b"manual" => false,
            other => return Err(lines.bad(other, "auto or manual")),
        };
        let link = lines.absolute("the link")?.into();
        let mut followers = Vec::new();
        loop {
            match lines.next("an empty line")? {
                b"" => break,
                name => followers.push(Follower { name: name.into(), link: lines.absolute("a link")?.into() }),
            }
        }
        let mut choices = Vec::new();
        loop {
            let path = match lines.next("an empty line")? {
                b"" => break,
                path if path.first() == Some(&b'/') => path.into(),
                other => return Err(lines.bad(other, "an absolute path")),
            };
            let priority = lines.next("a priority")?;
            let number = std::str::from_utf8(priority).ok().and_then(|priority| priority.parse().ok());
            let priority = number.ok_or_else(|| lines.bad(priority, "a priority"))?;
            let mut leads = Vec::new();
            for _ in &followers {
                leads.push(lines.next("the lead of a link")?.into());
            }
            choices.push(Choice { path, priority, followers: leads });
        }
        Ok(Self { automatic, link, followers, choices })
    }

    /// The file.
    #[must_use]
    pub fn print(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut line = |text: &[u8]| {
            out.extend_from_slice(text);
            out.push(b'\n');
        };
        line(if self.automatic { b"auto" } else { b"manual" });
        line(&self.link);
        for Follower { name, link } in &self.followers {
            line(name);
            line(link);
        }
        line(b"");
        for Choice { path, priority, followers } in &self.choices {
            line(path);
            line(priority.to_string().as_bytes());
            followers.iter().for_each(|lead| line(lead));
        }
        line(b"");
        out
    }

    /// What the link leads to where the priority decides: of equal ones the first.
    #[must_use]
    pub fn best(&self) -> Option<&Choice> {
        self.choices.iter().rev().max_by_key(|choice| choice.priority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWK: &str = "auto\n/usr/bin/awk\nawk.1.gz\n/usr/share/man/man1/awk.1.gz\n\n/usr/bin/mawk\n5\n\n/usr/bin/gawk\n10\n/usr/share/man/man1/gawk.1.gz\n\n";

    #[test]
    fn a_group_is_read_and_printed_the_same() {
        let group = Alternatives::parse(AWK.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(group.print()).unwrap(), AWK);
        assert_eq!(group.best().unwrap().path, (*b"/usr/bin/gawk").into());
        assert_eq!(group.choices[0].followers, [Box::default()]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("", "the file ends after line 0, where auto or manual is missing"),
            ("never\n", "line 1: \"never\" is not auto or manual"),
            ("auto\nx\n", "line 2: \"x\" is not the link"),
            ("auto\n/x\n\n/y\nz\n", "line 5: \"z\" is not a priority"),
            ("auto\n/x\ny\n/y\n\n/z\n1\n", "the file ends after line 7, where the lead of a link is missing"),
        ];
        for (text, expected) in cases {
            assert_eq!(Alternatives::parse(text.as_bytes()).unwrap_err().to_string(), expected, "{text:?}");
        }
    }
}

//! `statoverride`: owners and modes that dpkg gives to paths instead of those in packages. Spec: dpkg-statoverride(1).
//!
//! ```text
//! root messagebus 4754 /usr/lib/dbus-1.0/dbus-daemon-launch-helper     names, or #0 for numbers
//! ```

use bedplate_tree::{PathError, TreePath};
use thiserror::Error;

/// Who a path belongs to: a name of the root's own accounts, or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A name.
    Name(Box<str>),
    /// A number, written with `#`.
    Number(u32),
}

/// One override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatOverride {
    /// The user.
    pub user: Owner,
    /// The group.
    pub group: Owner,
    /// Permission bits.
    pub mode: u32,
    /// The path.
    pub path: TreePath,
}

/// Why overrides cannot be read. Lines are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StatOverrideError {
    /// Not four words.
    #[error("line {line}: expected user, group, mode and path")]
    Words {
        /// The line.
        line: usize,
    },
    /// A user or group that is no name and no number.
    #[error("line {line}: {text:?} is no user or group")]
    Owner {
        /// The line.
        line: usize,
        /// What it says.
        text: String,
    },
    /// A mode that is not octal.
    #[error("line {line}: {text:?} is no mode")]
    Mode {
        /// The line.
        line: usize,
        /// What it says.
        text: String,
    },
    /// A path that is not absolute.
    #[error("line {line}: {text:?} is not an absolute path")]
    NotAbsolute {
        /// The line.
        line: usize,
        /// What it says.
        text: String,
    },
    /// A path that no root filesystem can have.
    #[error("line {line}")]
    Path {
        /// The line.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: PathError,
    },
}

/// All overrides, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatOverrides {
    /// The overrides.
    pub all: Vec<StatOverride>,
}

impl StatOverrides {
    /// Reads the file.
    ///
    /// # Errors
    /// [`StatOverrideError`].
    pub fn parse(text: &[u8]) -> Result<Self, StatOverrideError> {
        let mut all = Vec::new();
        let lines = text.strip_suffix(b"\n").unwrap_or(text).split(|&b| b == b'\n');
        for (number, text) in lines.enumerate().filter(|_| !text.is_empty()) {
            let line = number + 1;
            let mut words = text.splitn(4, |&b| b == b' ');
            let (Some(user), Some(group), Some(mode), Some(path)) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(StatOverrideError::Words { line });
            };
            let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
            let owner = |text| Owner::parse(text).ok_or_else(|| StatOverrideError::Owner { line, text: shown(text) });
            let octal = std::str::from_utf8(mode).ok().filter(|mode| mode.bytes().all(|b| b.is_ascii_digit()));
            let octal = octal.and_then(|mode| u32::from_str_radix(mode, 8).ok()).filter(|mode| *mode <= 0o7777);
            let mode = octal.ok_or_else(|| StatOverrideError::Mode { line, text: shown(mode) })?;
            if path.first() != Some(&b'/') {
                return Err(StatOverrideError::NotAbsolute { line, text: shown(path) });
            }
            let path = TreePath::parse(path).map_err(|source| StatOverrideError::Path { line, source })?;
            all.push(StatOverride { user: owner(user)?, group: owner(group)?, mode, path });
        }
        Ok(Self { all })
    }

    /// The file.
    #[must_use]
    pub fn print(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for StatOverride { user, group, mode, path } in &self.all {
            out.extend_from_slice(format!("{user} {group} {mode:o} /").as_bytes());
            out.extend_from_slice(path.as_bytes());
            out.push(b'\n');
        }
        out
    }
}

impl Owner {
    /// The number; a name that `find` does not know is the error.
    pub(crate) fn resolve(&self, find: impl FnOnce(&[u8]) -> Option<u32>) -> Result<u32, &str> {
        match self {
            Self::Name(name) => find(name.as_bytes()).ok_or(name),
            Self::Number(number) => Ok(*number),
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        if let Some(number) = text.strip_prefix('#') {
            let digits = number.bytes().all(|b| b.is_ascii_digit());
            return number.parse().ok().filter(|_| digits).map(Self::Number);
        }
        let graphic = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        graphic.then(|| Self::Name(text.into()))
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Number(number) => write!(f, "#{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_printed_the_same() {
        let text = "root messagebus 4754 /usr/lib/dbus-1.0/helper\n#0 #104 2755 /a b\n";
        let overrides = StatOverrides::parse(text.as_bytes()).unwrap();
        assert_eq!(overrides.all[0].mode, 0o4754);
        assert_eq!(overrides.all[1].group, Owner::Number(104));
        assert_eq!(overrides.print(), text.as_bytes());
        assert_eq!(StatOverrides::parse(b"").unwrap().print(), b"");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("root root 755\n", "line 1: expected user, group, mode and path"),
            ("root root 755 /a\n\n", "line 2: expected user, group, mode and path"),
            ("root root 799 /a\n", "line 1: \"799\" is no mode"),
            ("root root +755 /a\n", "line 1: \"+755\" is no mode"),
            ("root root 77777 /a\n", "line 1: \"77777\" is no mode"),
            ("#x root 755 /a\n", "line 1: \"#x\" is no user or group"),
            ("root root 755 a\n", "line 1: \"a\" is not an absolute path"),
            ("root root 755 /../a\n", "line 1"),
        ];
        for (text, expected) in cases {
            assert_eq!(StatOverrides::parse(text.as_bytes()).unwrap_err().to_string(), expected, "{text:?}");
        }
    }
}

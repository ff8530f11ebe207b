//! What debootstrap notes for its second stage: words in files of [`FOLDER`](super::FOLDER).

use std::fmt::Write as _;

use thiserror::Error;

use crate::request::Variant;

/// The longest note, in bytes: `deburis` of a thousand packages has 100 kB.
pub(super) const MAX_NOTE: u64 = 8 << 20;

/// A note is missing or means nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotesError {
    /// It is not there.
    #[error("debootstrap/{name} is missing: this is no tarball or first stage of debootstrap")]
    Missing {
        /// Which.
        name: &'static str,
    },
    /// It is no text.
    #[error("debootstrap/{name} is no text")]
    Text {
        /// Which.
        name: &'static str,
    },
    /// It should be one word.
    #[error("debootstrap/{name} holds {found:?}: expected one word")]
    Word {
        /// Which.
        name: &'static str,
        /// What it holds, capped.
        found: String,
    },
    /// A line names no file.
    #[error("debootstrap/debpaths: {line:?} is no package and its file")]
    Path {
        /// The line, capped.
        line: String,
    },
}

/// What debootstrap calls a variant; `None` for the one without a name.
pub(super) fn variant_name(variant: Variant) -> Option<&'static str> {
    match variant {
        Variant::Important => None,
        Variant::Required => Some("minbase"),
        other => Some(other.as_str()),
    }
}

/// What debootstrap notes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notes {
    /// The suite.
    pub suite: String,
    /// More suites of the same archive.
    pub extra_suites: Vec<String>,
    /// The architecture.
    pub architecture: String,
    /// The variant; `None` for the one without a name.
    pub variant: Option<String>,
    /// The archive; `None` in a tarball, and where nobody named one.
    pub mirror: Option<String>,
    /// The names of the first set, sorted.
    pub required: Vec<String>,
    /// The names of the second set, sorted.
    pub base: Vec<String>,
    /// Packages and their files below the root, sorted by name.
    pub files: Vec<(String, String)>,
    /// Packages with version and address, sorted by name.
    pub addresses: Vec<(String, String, String)>,
}

impl Notes {
    /// Reads notes; `read` gives the bytes of one.
    ///
    /// # Errors
    /// [`NotesError`], and what `read` says.
    pub fn read<E: From<NotesError>>(
        mut read: impl FnMut(&'static str) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Self, E> {
        let mut text = |name: &'static str| -> Result<Option<String>, E> {
            let Some(bytes) = read(name)? else { return Ok(None) };
            Ok(Some(String::from_utf8(bytes).map_err(|_| NotesError::Text { name })?))
        };
        let words = |text: Option<String>| -> Vec<String> {
            text.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        let one = |name: &'static str, text: Option<String>| match words(text) {
            found if found.len() > 1 => {
                Err(NotesError::Word { name, found: found.join(" ").chars().take(100).collect() })
            }
            mut found => Ok(found.pop()),
        };
        let wanted = |name: &'static str, found: Option<String>| found.ok_or(NotesError::Missing { name });
        let suite = one("suite", text("suite")?)?;
        let architecture = one("arch", text("arch")?)?;
        let required = wanted("required", text("required")?)?;
        let files = wanted("debpaths", text("debpaths")?)?;
        let file = |line: &str| -> Result<(String, String), NotesError> {
            let parts: Option<(&str, &str)> = line.split_once(' ');
            let found =
                parts.and_then(|(name, path)| Some((name, crate::acquire::below(path.trim_start_matches('/'))?)));
            let (name, path) = found.ok_or_else(|| NotesError::Path { line: line.chars().take(200).collect() })?;
            Ok((name.to_owned(), path))
        };
        let address = |line: &str| -> Option<(String, String, String)> {
            let mut words = line.split_whitespace().map(str::to_owned);
            Some((words.next()?, words.next()?, words.next()?))
        };
        Ok(Self {
            suite: wanted("suite", suite)?,
            extra_suites: words(text("extra-suites")?),
            architecture: wanted("arch", architecture)?,
            variant: one("variant", text("variant")?)?,
            mirror: one("mirror", text("mirror")?)?,
            required: words(Some(required)),
            base: words(text("base")?),
            files: files.lines().map(file).collect::<Result<_, _>>()?,
            addresses: text("deburis")?.unwrap_or_default().lines().filter_map(address).collect(),
        })
    }

    /// The notes as files: their names and texts, sorted.
    #[must_use]
    pub fn print(&self) -> Vec<(&'static str, String)> {
        let line = |words: &[String]| format!("{}\n", words.join(" "));
        // As `sort` prints them, and debootstrap's own scripts do.
        let lines = |words: &[String]| words.iter().fold(String::new(), |text, word| text + word + "\n");
        let mut files = String::new();
        for (name, path) in &self.files {
            let _ = writeln!(files, "{name} /{path}");
        }
        let mut addresses = String::new();
        for (name, version, url) in &self.addresses {
            let _ = writeln!(addresses, "{name} {version} {url}");
        }
        let mut all = vec![
            ("arch", format!("{}\n", self.architecture)),
            ("base", line(&self.base)),
            ("debpaths", files),
            ("deburis", addresses),
            ("required", lines(&self.required)),
            ("suite", format!("{}\n", self.suite)),
        ];
        if !self.extra_suites.is_empty() {
            all.push(("extra-suites", line(&self.extra_suites)));
        }
        all.extend(self.variant.iter().map(|variant| ("variant", format!("{variant}\n"))));
        all.extend(self.mirror.iter().map(|mirror| ("mirror", format!("{mirror}\n"))));
        all.sort_unstable();
        all
    }

    /// The file of a package, below the root.
    #[must_use]
    pub fn file_of(&self, package: &str) -> Option<&str> {
        self.files.iter().find(|(name, _)| name == package).map(|(_, path)| path.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<Notes, NotesError> {
        Notes::read(|name| {
            let found = files.iter().find(|(known, _)| *known == name);
            Ok(found.map(|(_, text)| text.as_bytes().to_vec()))
        })
    }

    #[test]
    fn notes_of_debootstrap_are_understood() {
        let notes = read(&[
            ("arch", "amd64\n"),
            ("suite", "trixie\n"),
            ("variant", "minbase\n"),
            ("mirror", "\n"),
            ("required", "\napt\nbase-files\n"),
            ("base", "init  systemd \n"),
            ("debpaths", "apt /var/cache/apt/archives/apt_3.0.3_amd64.deb\n"),
        ])
        .unwrap();
        let expected = Notes {
            suite: "trixie".into(),
            architecture: "amd64".into(),
            variant: Some("minbase".into()),
            required: vec!["apt".into(), "base-files".into()],
            base: vec!["init".into(), "systemd".into()],
            files: vec![("apt".into(), "var/cache/apt/archives/apt_3.0.3_amd64.deb".into())],
            ..Notes::default()
        };
        assert_eq!(notes, expected);
    }

    #[test]
    fn what_is_printed_is_read() {
        let mut notes = Notes {
            suite: "sid".into(),
            architecture: "arm64".into(),
            required: vec!["a".into()],
            files: vec![("a".into(), "var/cache/apt/archives/a_1%3a2_all.deb".into())],
            addresses: vec![("a".into(), "1:2".into(), "http://a.example/pool/a_2_all.deb".into())],
            ..Notes::default()
        };
        for _ in 0..2 {
            let printed = notes.print();
            let pairs: Vec<(&str, &str)> = printed.iter().map(|(name, text)| (*name, text.as_str())).collect();
            assert_eq!(read(&pairs).unwrap(), notes);
            notes.extra_suites = vec!["x".into(), "y".into()];
            notes.variant = Some("buildd".into());
            notes.mirror = Some("http://a.example".into());
        }
    }

    #[test]
    fn what_means_nothing_is_named() {
        let good = [("arch", "a"), ("suite", "s"), ("required", ""), ("debpaths", "")];
        assert!(read(&good).is_ok());
        let without = |name: &str| good.iter().copied().filter(|(known, _)| *known != name).collect::<Vec<_>>();
        for name in ["arch", "suite", "required", "debpaths"] {
            assert!(matches!(read(&without(name)), Err(NotesError::Missing { name: found }) if found == name));
        }
        let with = |file: (&'static str, &'static str)| {
            let mut all = without(file.0);
            all.push(file);
            read(&all).unwrap_err()
        };
        assert!(matches!(with(("suite", "a b")), NotesError::Word { name: "suite", .. }));
        assert!(matches!(with(("debpaths", "a ../../etc/shadow\n")), NotesError::Path { .. }));
        assert!(matches!(with(("debpaths", "a\n")), NotesError::Path { .. }));
    }
}

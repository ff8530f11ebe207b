//! One package as an index, a `control` file or dpkg's database describes it.

use bedplate_oci::{Digest, DigestError};
use thiserror::Error;

use super::control::{ControlError, Field, Paragraph};
use super::relation::Relations;
use super::version::{DebVersion, VersionError};

/// Why a paragraph is not a package.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PackageError {
    /// The paragraph breaks the rules of deb822, or lacks a field, or has one that is not text.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The name has a character that names do not have.
    #[error("line {line}: {name:?} is not the name of a package")]
    Name {
        /// The line where the paragraph begins.
        line: usize,
        /// The name, capped.
        name: String,
    },
    /// The version is none.
    #[error("line {line}: package {package:?}: {source}")]
    Version {
        /// The line where the paragraph begins.
        line: usize,
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: VersionError,
    },
    /// A field has a value that it cannot have.
    #[error("line {line}: package {package:?}: field {field:?} is {found:?}, expected {expected}")]
    Value {
        /// The line where the paragraph begins.
        line: usize,
        /// The package.
        package: String,
        /// The field.
        field: &'static str,
        /// Its value, capped.
        found: String,
        /// What it could be.
        expected: &'static str,
    },
    /// The digest is none.
    #[error("line {line}: package {package:?}: {source}")]
    Digest {
        /// The line where the paragraph begins.
        line: usize,
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: DigestError,
    },
}

/// How much an archive wants a package to be installed.
///
/// Spec: Debian Policy 2.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Needed for dpkg to work.
    Required,
    /// What one expects on any Unix.
    Important,
    /// A small system in text mode.
    Standard,
    /// All others.
    Optional,
    /// The old word for special ones among the others.
    Extra,
    /// Missing, or another word.
    Unknown,
}

impl Priority {
    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        const WORDS: [(&str, Priority); 5] = [
            ("required", Priority::Required),
            ("important", Priority::Important),
            ("standard", Priority::Standard),
            ("optional", Priority::Optional),
            ("extra", Priority::Extra),
        ];
        WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map_or(Self::Unknown, |(_, priority)| *priority)
    }
}

/// How packages of one name but several architectures live together.
///
/// Spec: deb-control(5) "Multi-Arch".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MultiArch {
    /// They do not; the package serves its own architecture. The default.
    #[default]
    No,
    /// They can be installed beside each other.
    Same,
    /// One serves all architectures.
    Foreign,
    /// A dependency decides by `:any`.
    Allowed,
}

impl MultiArch {
    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const WORDS: [(&str, MultiArch); 4] = [
            ("no", MultiArch::No),
            ("same", MultiArch::Same),
            ("foreign", MultiArch::Foreign),
            ("allowed", MultiArch::Allowed),
        ];
        WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, value)| *value)
    }
}

/// A binary package. Fields that an index does not give are empty.
#[derive(Debug, Clone)]
pub struct Package<'a> {
    /// The name: letters, digits and `+-._`.
    pub name: &'a str,
    /// The version.
    pub version: DebVersion<'a>,
    /// The one architecture, or `all`.
    pub architecture: &'a str,
    /// `Essential: yes`: every package may count on it.
    pub essential: bool,
    /// `Protected: yes`, or `Important: yes` as apt called it: not to be removed, but nobody counts on it.
    pub protected: bool,
    /// The priority.
    pub priority: Priority,
    /// How several architectures live together.
    pub multi_arch: MultiArch,
    /// The section; empty where none is given.
    pub section: &'a str,
    /// The path of the `.deb` from the archive's root, as written: not checked.
    pub filename: Option<&'a str>,
    /// The length of the `.deb` in bytes.
    pub size: Option<u64>,
    /// The length of the unpacked files in KiB, as the maintainer's tools estimate it.
    pub installed_size: Option<u64>,
    /// Needed before it can be configured.
    pub depends: Relations<'a>,
    /// Needed, configured, before it can be unpacked.
    pub pre_depends: Relations<'a>,
    /// Other names that it answers to.
    pub provides: Relations<'a>,
    /// What may not be unpacked at the same time.
    pub conflicts: Relations<'a>,
    /// What may not be configured at the same time.
    pub breaks: Relations<'a>,
    /// Whose files it may overwrite.
    pub replaces: Relations<'a>,
    /// What all but unusual systems would have with it.
    pub recommends: Relations<'a>,
    /// What may be useful with it.
    pub suggests: Relations<'a>,
    /// For what it may be useful.
    pub enhances: Relations<'a>,
    /// The bytes of the paragraph, as [`Paragraph::raw`].
    pub stanza: &'a [u8],
    /// The line where the paragraph begins, from one.
    pub line: usize,
    source: &'a str,
    sha256: Option<&'a str>,
    md5: Option<&'a str>,
}

impl<'a> Package<'a> {
    /// Takes a package from its paragraph.
    ///
    /// # Errors
    /// `Package`, `Version` or `Architecture` is missing or malformed, or a field of ours has an impossible value.
    pub fn parse(paragraph: &Paragraph<'a>) -> Result<Self, PackageError> {
        let mut draft = Draft::default();
        for field in paragraph.fields() {
            draft.set(&field)?;
        }
        draft.finish(paragraph.raw(), paragraph.line())
    }

    /// The paragraph, for fields that have no place here.
    #[must_use]
    pub fn paragraph(&self) -> Paragraph<'a> {
        Paragraph::checked(self.stanza, self.line)
    }

    /// The name of the source package that it was built of.
    #[must_use]
    pub fn source(&self) -> &'a str {
        match self.source.split_once('(') {
            Some((name, _)) => name.trim_ascii(),
            None if self.source.is_empty() => self.name,
            None => self.source,
        }
    }

    /// The version of the source package, as written; the package's own where none is.
    #[must_use]
    pub fn source_version(&self) -> &'a str {
        let written = self.source.split_once('(').map(|(_, rest)| rest.trim_ascii().trim_end_matches(')').trim_ascii());
        written.unwrap_or(self.version.as_str())
    }

    /// The digest of the `.deb`; nothing where the index has only weaker ones.
    ///
    /// # Errors
    /// What stands there is not a digest.
    pub fn sha256(&self) -> Result<Option<Digest>, PackageError> {
        let digest = self.sha256.map(|hex| Digest::from_hex(&hex.to_ascii_lowercase())).transpose();
        digest.map_err(|source| PackageError::Digest { line: self.line, package: self.name.to_owned(), source })
    }

    /// The MD5 of the `.deb` as written. Nothing is verified by it: it tells an old index from a broken one.
    #[must_use]
    pub fn md5(&self) -> Option<&'a str> {
        self.md5
    }

    /// Tells whether it can be installed where `native` is the architecture of the system.
    #[must_use]
    pub fn runs_on(&self, native: &str) -> bool {
        self.architecture == "all" || self.architecture == native
    }
}

/// The fields that [`Package`] takes. The order is that of their places in a [`Draft`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Package,
    Version,
    Architecture,
    Essential,
    Protected,
    Important,
    Priority,
    MultiArch,
    Section,
    Filename,
    Size,
    InstalledSize,
    Depends,
    PreDepends,
    Provides,
    Conflicts,
    Breaks,
    Replaces,
    Recommends,
    Suggests,
    Enhances,
    Source,
    Sha256,
    Md5,
}

const KNOWN: usize = Known::Md5 as usize + 1;

impl Known {
    /// Finds a field by its name in the usual spelling, which compares as a few words of the machine, else in any case.
    #[inline]
    fn find(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"Size" => Self::Size,
            b"SHA256" => Self::Sha256,
            b"MD5sum" => Self::Md5,
            b"Source" => Self::Source,
            b"Breaks" => Self::Breaks,
            b"Package" => Self::Package,
            b"Version" => Self::Version,
            b"Depends" => Self::Depends,
            b"Section" => Self::Section,
            b"Priority" => Self::Priority,
            b"Filename" => Self::Filename,
            b"Provides" => Self::Provides,
            b"Replaces" => Self::Replaces,
            b"Suggests" => Self::Suggests,
            b"Enhances" => Self::Enhances,
            b"Conflicts" => Self::Conflicts,
            b"Essential" => Self::Essential,
            b"Protected" => Self::Protected,
            b"Important" => Self::Important,
            b"Multi-Arch" => Self::MultiArch,
            b"Recommends" => Self::Recommends,
            b"Pre-Depends" => Self::PreDepends,
            b"Architecture" => Self::Architecture,
            b"Installed-Size" => Self::InstalledSize,
            _ => return Self::find_in_any_case(name),
        })
    }

    fn find_in_any_case(name: &[u8]) -> Option<Self> {
        let first = name.first()?.to_ascii_lowercase();
        let found = SPELLINGS.iter().find(|(spelling, _)| {
            spelling.len() == name.len()
                && spelling.first().is_some_and(|b| b.to_ascii_lowercase() == first)
                && spelling.eq_ignore_ascii_case(name)
        });
        found.map(|(_, known)| *known)
    }
}

/// Each field that [`Package`] takes, in its usual spelling.
const SPELLINGS: [(&[u8], Known); KNOWN] = [
    (b"Size", Known::Size),
    (b"SHA256", Known::Sha256),
    (b"MD5sum", Known::Md5),
    (b"Source", Known::Source),
    (b"Breaks", Known::Breaks),
    (b"Package", Known::Package),
    (b"Version", Known::Version),
    (b"Depends", Known::Depends),
    (b"Section", Known::Section),
    (b"Priority", Known::Priority),
    (b"Filename", Known::Filename),
    (b"Provides", Known::Provides),
    (b"Replaces", Known::Replaces),
    (b"Suggests", Known::Suggests),
    (b"Enhances", Known::Enhances),
    (b"Conflicts", Known::Conflicts),
    (b"Essential", Known::Essential),
    (b"Protected", Known::Protected),
    (b"Important", Known::Important),
    (b"Multi-Arch", Known::MultiArch),
    (b"Recommends", Known::Recommends),
    (b"Pre-Depends", Known::PreDepends),
    (b"Architecture", Known::Architecture),
    (b"Installed-Size", Known::InstalledSize),
];

/// The values of a paragraph's known fields, until all of it was read.
#[derive(Debug, Default)]
pub(super) struct Draft<'a> {
    values: [Option<&'a [u8]>; KNOWN],
}

impl<'a> Draft<'a> {
    /// Takes one field; forgets it where it is none of ours.
    ///
    /// # Errors
    /// It was there already.
    #[inline]
    pub(super) fn set(&mut self, field: &Field<'a>) -> Result<(), ControlError> {
        let Some(known) = Known::find(field.name_bytes()) else { return Ok(()) };
        match self.values.get_mut(known as usize) {
            Some(place @ None) => {
                *place = Some(field.bytes());
                Ok(())
            }
            _ => Err(ControlError::Duplicate { line: field.line(), name: field.name().to_owned() }),
        }
    }

    /// The name of the package, if there is one and it is text.
    pub(super) fn name(&self) -> Option<&'a str> {
        self.value(Known::Package).and_then(|name| std::str::from_utf8(name).ok())
    }

    fn value(&self, known: Known) -> Option<&'a [u8]> {
        self.values.get(known as usize).copied().flatten().filter(|value| !value.is_empty())
    }

    pub(super) fn finish(&self, stanza: &'a [u8], line: usize) -> Result<Package<'a>, PackageError> {
        let text = |known: Known, field: &'static str| match self.value(known) {
            None => Ok(None),
            Some(value) => std::str::from_utf8(value)
                .map(Some)
                .map_err(|_| ControlError::NotUtf8 { line, field: field.to_owned() }),
        };
        let required = |known: Known, field: &'static str| match text(known, field) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(ControlError::Missing { line, field }),
            Err(error) => Err(error),
        };
        let relations =
            |known: Known, field: &'static str| text(known, field).map(|v| Relations::new(v.unwrap_or_default()));

        let name = required(Known::Package, "Package")?;
        if !is_name(name) {
            return Err(PackageError::Name { line, name: capped(name) });
        }
        let bad = |field: &'static str, found: &str, expected: &'static str| PackageError::Value {
            line,
            package: name.to_owned(),
            field,
            found: capped(found),
            expected,
        };
        let number = |known: Known, field: &'static str| -> Result<Option<u64>, PackageError> {
            match text(known, field)? {
                None => Ok(None),
                Some(value) => match value.bytes().all(|b| b.is_ascii_digit()).then(|| value.parse().ok()) {
                    Some(Some(number)) => Ok(Some(number)),
                    _ => Err(bad(field, value, "a number")),
                },
            }
        };
        let yes = |known: Known, field: &'static str| -> Result<bool, PackageError> {
            match text(known, field)? {
                None => Ok(false),
                Some(value) if value.eq_ignore_ascii_case("yes") => Ok(true),
                Some(value) if value.eq_ignore_ascii_case("no") => Ok(false),
                Some(value) => Err(bad(field, value, "yes or no")),
            }
        };

        let version = DebVersion::parse_lax(required(Known::Version, "Version")?);
        let version = version.map_err(|source| PackageError::Version { line, package: name.to_owned(), source })?;
        let architecture = required(Known::Architecture, "Architecture")?;
        if !architecture.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(bad("Architecture", architecture, "one architecture or all"));
        }
        let multi_arch = match text(Known::MultiArch, "Multi-Arch")? {
            None => MultiArch::No,
            Some(value) => {
                MultiArch::parse(value).ok_or_else(|| bad("Multi-Arch", value, "no, same, foreign or allowed"))?
            }
        };
        Ok(Package {
            name,
            version,
            architecture,
            essential: yes(Known::Essential, "Essential")?,
            protected: yes(Known::Protected, "Protected")? || yes(Known::Important, "Important")?,
            priority: text(Known::Priority, "Priority")?.map_or(Priority::Unknown, Priority::parse),
            multi_arch,
            section: text(Known::Section, "Section")?.unwrap_or_default(),
            filename: text(Known::Filename, "Filename")?,
            size: number(Known::Size, "Size")?,
            installed_size: number(Known::InstalledSize, "Installed-Size")?,
            depends: relations(Known::Depends, "Depends")?,
            pre_depends: relations(Known::PreDepends, "Pre-Depends")?,
            provides: relations(Known::Provides, "Provides")?,
            conflicts: relations(Known::Conflicts, "Conflicts")?,
            breaks: relations(Known::Breaks, "Breaks")?,
            replaces: relations(Known::Replaces, "Replaces")?,
            recommends: relations(Known::Recommends, "Recommends")?,
            suggests: relations(Known::Suggests, "Suggests")?,
            enhances: relations(Known::Enhances, "Enhances")?,
            stanza,
            line,
            source: text(Known::Source, "Source")?.unwrap_or_default(),
            sha256: text(Known::Sha256, "SHA256")?,
            md5: text(Known::Md5, "MD5sum")?,
        })
    }
}

/// Tells whether dpkg would take `text` as the name of a package: it can be part of a file's name.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b))
        && text.len() <= NAME_MAX
}

/// The longest name of a package: with an architecture and a suffix it must stay a name of a file (255 bytes).
pub const NAME_MAX: usize = 200;

fn capped(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "Package: hello\nVersion: 2.10-3\nArchitecture: amd64\n";

    fn parse(text: &str) -> Result<Package<'_>, PackageError> {
        Package::parse(&Paragraph::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn every_field() {
        let digest = "ab".repeat(32);
        let text = format!(
            "Package: libc6\nSource: glibc (2.36-9)\nVersion: 2.36-9+deb12u10\nInstalled-Size: 12986\nArchitecture: amd64\n\
             Multi-Arch: same\nEssential: yes\nProtected: yes\nPriority: required\nSection: libs\nFilename: pool/l.deb\n\
             Size: 2757740\nMD5sum: 0cc175b9\nSHA256: {digest}\nDepends: a\nPre-Depends: b\nProvides: c\nConflicts: d\n\
             Breaks: e\nReplaces: f\nRecommends: g\nSuggests: h\nEnhances: i\nTag: x\n"
        );
        let package = parse(&text).unwrap();
        assert_eq!(
            (package.name, package.version.as_str(), package.architecture),
            ("libc6", "2.36-9+deb12u10", "amd64")
        );
        assert_eq!((package.source(), package.source_version()), ("glibc", "2.36-9"));
        assert!(package.essential && package.protected && package.runs_on("amd64") && !package.runs_on("arm64"));
        assert_eq!((package.priority, package.multi_arch), (Priority::Required, MultiArch::Same));
        assert_eq!((package.size, package.installed_size), (Some(2_757_740), Some(12_986)));
        assert_eq!((package.filename, package.section, package.md5()), (Some("pool/l.deb"), "libs", Some("0cc175b9")));
        assert_eq!(package.sha256().unwrap().unwrap().hex(), digest);
        let relations = [
            package.depends,
            package.pre_depends,
            package.provides,
            package.conflicts,
            package.breaks,
            package.replaces,
            package.recommends,
            package.suggests,
            package.enhances,
        ];
        assert_eq!(relations.map(|relation| relation.as_str()), ["a", "b", "c", "d", "e", "f", "g", "h", "i"]);
        assert_eq!(package.paragraph().get("tag"), Ok(Some("x")));
        assert_eq!(package.stanza, text.as_bytes());
    }

    #[test]
    fn what_a_control_file_leaves_out() {
        let package = parse(HELLO).unwrap();
        assert_eq!((package.source(), package.source_version()), ("hello", "2.10-3"));
        assert_eq!((package.priority, package.multi_arch), (Priority::Unknown, MultiArch::No));
        assert!(!package.essential && !package.protected && package.filename.is_none() && package.section.is_empty());
        assert_eq!(package.sha256(), Ok(None));
        assert_eq!(package.depends.groups().count(), 0);
        assert!(parse(&format!("{HELLO}Important: YES\n")).unwrap().protected, "apt's old name");
        assert_eq!(parse(&format!("{HELLO}Source: bye\n")).unwrap().source_version(), "2.10-3");
    }

    #[test]
    fn rejected() {
        let cases = [
            ("Package: hello\nArchitecture: all\n".to_owned(), "line 1: the paragraph has no field \"Version\""),
            ("Package: hello\nVersion: 1\n".to_owned(), "line 1: the paragraph has no field \"Architecture\""),
            (
                "Package: a/b\nVersion: 1\nArchitecture: all\n".to_owned(),
                "line 1: \"a/b\" is not the name of a package",
            ),
            (
                "Package: a\nVersion: 1-\nArchitecture: all\n".to_owned(),
                "line 1: package \"a\": version \"1-\": the revision",
            ),
            (format!("{HELLO}Size: -1\n"), "package \"hello\": field \"Size\" is \"-1\", expected a number"),
            (format!("{HELLO}Size: 99999999999999999999\n"), "field \"Size\" is \"99999999999999999999\""),
            (format!("{HELLO}Multi-Arch: maybe\n"), "expected no, same, foreign or allowed"),
            (format!("{HELLO}Essential: 1\n"), "expected yes or no"),
            ("Package: a\nVersion: 1\nArchitecture: linux/any\n".to_owned(), "expected one architecture or all"),
        ];
        for (text, message) in cases {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        let bad = parse(&format!("{HELLO}SHA256: xyz\n")).unwrap().sha256().unwrap_err().to_string();
        assert!(bad.contains("package \"hello\": digest"), "{bad}");
    }

    #[test]
    fn a_field_is_found_in_every_spelling() {
        for (spelling, known) in SPELLINGS {
            for name in [spelling.to_vec(), spelling.to_ascii_lowercase(), spelling.to_ascii_uppercase()] {
                assert_eq!(Known::find(&name), Some(known), "{}", String::from_utf8_lossy(&name));
            }
        }
        assert_eq!(Known::find(b"Sizf"), None);
        assert_eq!(Known::find(b""), None);
    }

    #[test]
    fn names() {
        let longest = "a".repeat(NAME_MAX);
        let cases = [
            ("a", true),
            ("0ad", true),
            ("libstdc++6", true),
            ("x_y", true),
            ("A", true),
            (&longest, true),
            ("", false),
            ("-a", false),
            (".", false),
            ("a/b", false),
            ("a b", false),
            ("\u{e9}", false),
            (&format!("{longest}a"), false),
        ];
        for (name, expected) in cases {
            assert_eq!(is_name(name), expected, "{name}");
        }
    }
}

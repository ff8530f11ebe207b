//! `Release` files: what an archive's signature covers.
//!
//! Read only what a verified signature covers; nothing here checks one.
//!
//! Spec: <https://wiki.debian.org/DebianRepository/Format>, apt-secure(8).

use std::collections::BTreeMap;

use bedplate_archive::Compression;
use bedplate_oci::Digest;
use thiserror::Error;

use super::control::{ControlError, Field, Paragraph};
use super::date::{self, DateError};

/// The most files that a `Release` may list. Debian's unstable lists some 3,000 in each section.
pub const FILES_MAX: usize = 100_000;
/// The longest path of a listed file, in bytes.
pub const PATH_MAX: usize = 1024;

/// Why bytes are not a `Release` file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReleaseError {
    /// Not deb822.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A date is none.
    #[error("field {field:?}: {source}")]
    Date {
        /// The field.
        field: &'static str,
        /// Why.
        #[source]
        source: DateError,
    },
    /// A line of a section of hashes has not its form.
    #[error("section {section:?}: {line:?}: expected a digest of {digits} hexadecimal digits, a size and a path")]
    Entry {
        /// The section.
        section: &'static str,
        /// The line, capped.
        line: String,
        /// How many digits the section's digests have.
        digits: usize,
    },
    /// A path leaves the archive.
    #[error("section {section:?}: path {path:?} is not a path below the suite's folder")]
    Path {
        /// The section.
        section: &'static str,
        /// The path, capped.
        path: String,
    },
    /// One path stands for two contents.
    #[error("section {section:?}: path {path:?} is listed twice with different sizes or digests")]
    Conflict {
        /// The section where the second one stands.
        section: &'static str,
        /// The path.
        path: String,
    },
    /// More than [`FILES_MAX`] files.
    #[error("section {section:?}: more than {FILES_MAX} files")]
    TooMany {
        /// The section.
        section: &'static str,
    },
}

/// One file that the signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexFile {
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Option<Digest>,
    /// Its SHA-512.
    pub sha512: Option<[u8; 64]>,
    sha1: Option<[u8; 20]>,
    md5: Option<[u8; 16]>,
}

impl IndexFile {
    /// The digest that it is verified by, with its section: SHA-256, or SHA-512 where there is no other.
    #[must_use]
    pub fn strong(&self) -> Option<(&'static str, String)> {
        let sha512 = || Some(("SHA512", self.sha512?.iter().map(|byte| format!("{byte:02x}")).collect()));
        self.sha256.map(|digest| ("SHA256", digest.hex().to_string())).or_else(sha512)
    }

    /// The best section that lists the file, where that is one that nothing may be verified by: `SHA1` or `MD5Sum`.
    #[must_use]
    pub fn only_weak(&self) -> Option<&'static str> {
        match (self.sha256, self.sha512, self.sha1) {
            (None, None, Some(_)) => Some("SHA1"),
            (None, None, None) => Some("MD5Sum"),
            _ => None,
        }
    }
}

/// A file to try, and how it is compressed by its name. The content decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'r> {
    /// The path below the suite's folder, as listed.
    pub path: &'r str,
    /// What its suffix says.
    pub compression: Compression,
    /// Its size and digests.
    pub file: &'r IndexFile,
}

impl Candidate<'_> {
    /// The path of the same content by its digest: `FOLDER/by-hash/SHA256/HEX`; nothing without a strong one.
    #[must_use]
    pub fn by_hash(&self) -> Option<String> {
        let (section, hex) = self.file.strong()?;
        Some(match self.path.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/by-hash/{section}/{hex}"),
            None => format!("by-hash/{section}/{hex}"),
        })
    }
}

/// A `Release` file. Fields that are not there are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Release {
    /// Who made it: `Debian`.
    pub origin: Option<String>,
    /// `Debian-Security`.
    pub label: Option<String>,
    /// The name that moves: `stable`, `oldstable-security`.
    pub suite: Option<String>,
    /// `12.11`.
    pub version: Option<String>,
    /// The name that stays: `bookworm`.
    pub codename: Option<String>,
    /// When it was made, in seconds since 1970.
    pub date: Option<i64>,
    /// When it ceases to be valid, in seconds since 1970.
    pub valid_until: Option<i64>,
    /// Files can be had by their digest, which outlives a push of the archive.
    pub acquire_by_hash: bool,
    /// apt installs nothing of it unasked (backports, experimental).
    pub not_automatic: bool,
    /// apt upgrades to it what came from it.
    pub but_automatic_upgrades: bool,
    /// The architectures, perhaps with `all`.
    pub architectures: Vec<String>,
    /// The components as written; the security archive has `updates/main`. See [`Self::has_component`].
    pub components: Vec<String>,
    /// Indexes of an architecture hold the packages for all architectures, too.
    pub no_support_for_all: bool,
    files: BTreeMap<String, IndexFile>,
}

impl Release {
    /// Reads a `Release` file, or the signed text of an `InRelease`. Only the first paragraph counts, as for apt.
    ///
    /// # Errors
    /// Not deb822; a date, a digest or a path that is none; one path with two contents; too many files.
    pub fn parse(data: &[u8]) -> Result<Self, ReleaseError> {
        let paragraph = Paragraph::parse(data)?;
        let mut release = Self::default();
        for field in paragraph.fields() {
            release.take(&field)?;
        }
        Ok(release)
    }

    fn take(&mut self, field: &Field<'_>) -> Result<(), ReleaseError> {
        let text = || Ok::<_, ControlError>(Some(field.text()?.to_owned()).filter(|text| !text.is_empty()));
        let words = || Ok::<_, ControlError>(field.text()?.split_ascii_whitespace().map(str::to_owned).collect());
        let yes = || field.bytes().eq_ignore_ascii_case(b"yes");
        let date =
            |name| date::parse(field.text()?).map(Some).map_err(|source| ReleaseError::Date { field: name, source });
        match field.name().to_ascii_lowercase().as_str() {
            "origin" => self.origin = text()?,
            "label" => self.label = text()?,
            "suite" => self.suite = text()?,
            "version" => self.version = text()?,
            "codename" => self.codename = text()?,
            "date" => self.date = date("Date")?,
            "valid-until" => self.valid_until = date("Valid-Until")?,
            "acquire-by-hash" => self.acquire_by_hash = yes(),
            "notautomatic" => self.not_automatic = yes(),
            "butautomaticupgrades" => self.but_automatic_upgrades = yes(),
            "architectures" => self.architectures = words()?,
            "components" => self.components = words()?,
            "no-support-for-architecture-all" => {
                self.no_support_for_all = field.text()?.split_ascii_whitespace().any(|word| word == "Packages");
            }
            "sha256" => self.section(field, "SHA256", |file| &mut file.sha256, Digest::from_bytes)?,
            "sha512" => self.section(field, "SHA512", |file| &mut file.sha512, |bytes| bytes)?,
            "sha1" => self.section(field, "SHA1", |file| &mut file.sha1, |bytes| bytes)?,
            "md5sum" => self.section(field, "MD5Sum", |file| &mut file.md5, |bytes| bytes)?,
            _ => {}
        }
        Ok(())
    }

    fn section<T: PartialEq + Copy, const N: usize>(
        &mut self,
        field: &Field<'_>,
        section: &'static str,
        place: fn(&mut IndexFile) -> &mut Option<T>,
        digest: fn([u8; N]) -> T,
    ) -> Result<(), ReleaseError> {
        field.text()?;
        for line in field.lines() {
            let line = String::from_utf8_lossy(line);
            let malformed = || ReleaseError::Entry { section, line: line.chars().take(120).collect(), digits: N * 2 };
            let mut words = line.split_ascii_whitespace();
            let (Some(hex), Some(size), Some(path), None) = (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(malformed());
            };
            let found = digest(unhex::<N>(hex).ok_or_else(malformed)?);
            let size = size.bytes().all(|b| b.is_ascii_digit()).then(|| size.parse::<u64>().ok());
            let size = size.flatten().ok_or_else(malformed)?;
            let path = path.strip_prefix("./").unwrap_or(path);
            if !is_below(path) {
                return Err(ReleaseError::Path { section, path: path.chars().take(120).collect() });
            }
            if let Some(file) = self.files.get_mut(path) {
                let same_size = file.size == size;
                let place = place(file);
                if !same_size || place.is_some_and(|known| known != found) {
                    return Err(ReleaseError::Conflict { section, path: path.to_owned() });
                }
                *place = Some(found);
            } else {
                if self.files.len() == FILES_MAX {
                    return Err(ReleaseError::TooMany { section });
                }
                let mut file = IndexFile { size, ..IndexFile::default() };
                *place(&mut file) = Some(found);
                self.files.insert(path.to_owned(), file);
            }
        }
        Ok(())
    }

    /// A file that the signature covers, by its path below the suite's folder.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&IndexFile> {
        self.files.get(path.strip_prefix("./").unwrap_or(path))
    }

    /// All files that the signature covers, by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &IndexFile)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// Tells whether this is the suite that was asked for: by its suite or its codename.
    ///
    /// `buster/updates`, as the security archive was called up to buster, is the `Release` of `buster`.
    #[must_use]
    pub fn is_suite(&self, wanted: &str) -> bool {
        let short = wanted.strip_suffix("/updates").unwrap_or(wanted);
        [&self.suite, &self.codename].into_iter().flatten().any(|name| name == wanted || name == short)
    }

    /// Tells whether it has a component. A prefix `updates/`, as the security archive writes it, is no part of its name.
    #[must_use]
    pub fn has_component(&self, wanted: &str) -> bool {
        self.components.iter().any(|component| plain_component(component) == plain_component(wanted))
    }

    /// Tells whether it has an architecture. One that names none, as flat repositories do, has every one.
    #[must_use]
    pub fn has_architecture(&self, wanted: &str) -> bool {
        self.architectures.is_empty() || self.architectures.iter().any(|architecture| architecture == wanted)
    }

    /// Tells whether `binary-all` must be read beside the index of an architecture.
    #[must_use]
    pub fn needs_all(&self, component: &str) -> bool {
        !self.no_support_for_all
            && self.architectures.iter().any(|architecture| architecture == "all")
            && !self.candidates(component, "all", "Packages").is_empty()
    }

    /// The forms of an index of a component and an architecture, the best first: xz, zst, gz, bz2, plain.
    ///
    /// The plain one is mostly listed, so that what was decompressed can be verified, but not on the server.
    #[must_use]
    pub fn candidates(&self, component: &str, architecture: &str, name: &str) -> Vec<Candidate<'_>> {
        self.forms(&format!("{}/binary-{architecture}/{name}", plain_component(component)))
    }

    /// The same for a flat repository, whose indexes lie beside its `Release`.
    #[must_use]
    pub fn flat_candidates(&self, name: &str) -> Vec<Candidate<'_>> {
        self.forms(name)
    }

    fn forms(&self, plain: &str) -> Vec<Candidate<'_>> {
        FORMS
            .iter()
            .filter_map(|(suffix, compression)| {
                let (path, file) = self.files.get_key_value(&format!("{plain}{suffix}"))?;
                Some(Candidate { path, compression: *compression, file })
            })
            .collect()
    }
}

/// The forms of an index in the order of preference: the smallest that decompresses fast.
const FORMS: [(&str, Compression); 5] = [
    (".xz", Compression::Xz),
    (".zst", Compression::Zstd),
    (".gz", Compression::Gzip),
    (".bz2", Compression::Bzip2),
    ("", Compression::None),
];

/// A component without the prefix that the security archive gives it.
#[must_use]
pub fn plain_component(component: &str) -> &str {
    component.strip_prefix("updates/").unwrap_or(component)
}

/// Tells whether a path, of an index or a package, stays below where it is resolved, and can be part of a URL.
///
/// Relative, without `.`, `..`, empty parts, backslashes, control characters and what begins a query.
#[must_use]
pub fn is_below(path: &str) -> bool {
    path.len() <= PATH_MAX
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && path.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '\\' | '?' | '#'))
}

fn unhex<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if hex.len() != N * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let digit = |b: &u8| char::from(*b).to_digit(16);
        *byte = match pair {
            [high, low] => (digit(high)? * 16 + digit(low)?) as u8,
            _ => return None,
        };
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn listed(lines: &[(&str, u64, &str)]) -> Result<Release, ReleaseError> {
        let mut text = "Suite: stable\nCodename: bookworm\nSHA256:\n".to_owned();
        for (digest, size, path) in lines {
            text.push_str(&format!(" {digest} {size:>8} {path}\n"));
        }
        Release::parse(text.as_bytes())
    }

    #[test]
    fn every_field() {
        let text = format!(
            "Origin: Debian\nLabel: Debian\nSuite: oldstable\nVersion: 12.11\nCodename: bookworm\nChangelogs: x\n\
             Date: Sat, 10 Jun 2023 08:58:46 UTC\nValid-Until: Sat, 17 Jun 2023 08:58:46 UTC\nAcquire-By-Hash: yes\n\
             No-Support-for-Architecture-all: Packages\nNotAutomatic: yes\nButAutomaticUpgrades: yes\n\
             Architectures: all amd64 arm64\nComponents: main contrib\nDescription: caf\u{e9}\n\
             MD5sum:\n 0cc175b9c0f1b6a831c399e269772661 5 main/binary-amd64/Packages\nSHA256:\n {A} 5 main/binary-amd64/Packages\n"
        );
        let release = Release::parse(text.as_bytes()).unwrap();
        assert_eq!(release.origin.as_deref(), Some("Debian"));
        assert_eq!(release.version.as_deref(), Some("12.11"));
        assert_eq!((release.date, release.valid_until), (Some(1_686_387_526), Some(1_686_992_326)));
        assert!(release.acquire_by_hash && release.not_automatic && release.but_automatic_upgrades);
        assert_eq!(release.architectures, ["all", "amd64", "arm64"]);
        assert!(release.has_component("main") && !release.has_component("universe"));
        assert!(release.has_architecture("arm64") && !release.has_architecture("s390x"));
        assert!(release.no_support_for_all && !release.needs_all("main"));
        let file = release.file("main/binary-amd64/Packages").unwrap();
        assert_eq!((file.size, file.sha256.unwrap().hex().as_str(), file.only_weak()), (5, A, None));
        assert_eq!(release.files().count(), 1);
    }

    #[test]
    fn suites() {
        let release = listed(&[]).unwrap();
        let cases = [
            ("stable", true),
            ("bookworm", true),
            ("bookworm/updates", true),
            ("trixie", false),
            ("bookworm-x", false),
        ];
        for (wanted, expected) in cases {
            assert_eq!(release.is_suite(wanted), expected, "{wanted}");
        }
        assert!(!Release::default().is_suite(""));
    }

    #[test]
    fn the_best_form_of_an_index_comes_first() {
        let names = ["Packages", "Packages.bz2", "Packages.gz", "Packages.xz", "Packages.zst", "Packages.lzma"];
        let paths: Vec<String> = names.iter().map(|name| format!("main/binary-amd64/{name}")).collect();
        let lines: Vec<_> = paths.iter().map(|path| (A, 1, path.as_str())).collect();
        let release = listed(&lines).unwrap();
        for component in ["main", "updates/main"] {
            let forms = release.candidates(component, "amd64", "Packages");
            let forms: Vec<_> = forms.iter().map(|form| form.path.trim_start_matches("main/binary-amd64/")).collect();
            assert_eq!(forms, ["Packages.xz", "Packages.zst", "Packages.gz", "Packages.bz2", "Packages"]);
        }
        let best = release.candidates("main", "amd64", "Packages")[0];
        assert_eq!(best.by_hash().unwrap(), format!("main/binary-amd64/by-hash/SHA256/{A}"));
        assert!(release.candidates("main", "arm64", "Packages").is_empty());
    }

    #[test]
    fn a_flat_repository_lists_beside_itself() {
        let release = listed(&[(A, 1, "./Packages.gz"), (B, 2, "Packages")]).unwrap();
        let forms: Vec<_> = release.flat_candidates("Packages").iter().map(|form| form.path).collect();
        assert_eq!(forms, ["Packages.gz", "Packages"]);
        assert_eq!(release.flat_candidates("Packages")[0].by_hash().unwrap(), format!("by-hash/SHA256/{A}"));
        assert!(release.has_architecture("amd64"));
    }

    #[test]
    fn the_security_archive_writes_components_with_a_prefix() {
        let release = Release::parse(b"Components: updates/main updates/contrib\n").unwrap();
        assert!(release.has_component("main") && release.has_component("updates/contrib"));
    }

    #[test]
    fn packages_for_all_architectures_may_have_their_own_index() {
        let all = format!("SHA256:\n {A} 1 main/binary-all/Packages.xz\n");
        let cases = [
            ("Architectures: amd64 all\n", all.as_str(), true),
            ("Architectures: amd64\n", all.as_str(), false),
            ("Architectures: amd64 all\nNo-Support-for-Architecture-all: Packages\n", all.as_str(), false),
            ("Architectures: amd64 all\n", "", false),
        ];
        for (head, files, expected) in cases {
            let release = Release::parse(format!("{head}{files}").as_bytes()).unwrap();
            assert_eq!(release.needs_all("main"), expected, "{head}{files}");
        }
    }

    #[test]
    fn weak_digests_are_named_but_are_no_digests() {
        let md5 = "MD5Sum:\n 0cc175b9c0f1b6a831c399e269772661 1 a\n";
        let sha1 = "SHA1:\n 86f7e437faa5a7fce15d1ddcb9eaeaea377667b8 1 a\n";
        let sha512 = format!("SHA512:\n {A}{B} 1 a\n");
        let cases = [
            (md5.to_owned(), Some("MD5Sum")),
            (format!("{md5}{sha1}"), Some("SHA1")),
            (format!("{md5}{sha512}"), None),
            (format!("{sha1}SHA256:\n {A} 1 a\n"), None),
        ];
        for (text, weak) in cases {
            assert_eq!(Release::parse(text.as_bytes()).unwrap().file("a").unwrap().only_weak(), weak, "{text}");
        }
    }

    #[test]
    fn rejected() {
        let cases = [
            (listed(&[(A, 1, "a"), (B, 1, "a")]), "section \"SHA256\": path \"a\" is listed twice"),
            (listed(&[(A, 1, "a"), (A, 2, "./a")]), "section \"SHA256\": path \"a\" is listed twice"),
            (listed(&[(&A[1..], 1, "a")]), "expected a digest of 64 hexadecimal digits"),
            (listed(&[(A, 1, "a b")]), "expected a digest of 64"),
            (listed(&[(A, 1, "../a")]), "path \"../a\" is not a path below"),
            (listed(&[(A, 1, "/a")]), "path \"/a\" is not a path below"),
            (listed(&[(A, 1, "a//b")]), "path \"a//b\" is not a path below"),
            (listed(&[(A, 1, "a?b")]), "path \"a?b\" is not a path below"),
            (Release::parse(format!("SHA256:\n {A} -1 a\n").as_bytes()), "expected a digest of 64"),
            (Release::parse(b"Date: today\n"), "field \"Date\": date \"today\""),
            (Release::parse(b"Suite: a\nsuite: b\n"), "stands twice"),
            (Release::parse(b"<html>\n"), "is not a field"),
        ];
        for (result, message) in cases {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert!(listed(&[(A, 1, "a"), (A, 1, "a")]).is_ok(), "twice the same is no conflict");
    }

    #[test]
    fn the_number_of_files_is_bounded() {
        let text = |count: usize| {
            let lines: String = (0..count).map(|n| format!(" {A} 1 f{n}\n")).collect();
            format!("SHA256:\n{lines}")
        };
        assert_eq!(Release::parse(text(FILES_MAX).as_bytes()).unwrap().files().count(), FILES_MAX);
        let error = Release::parse(text(FILES_MAX + 1).as_bytes());
        assert_eq!(error, Err(ReleaseError::TooMany { section: "SHA256" }));
    }
}

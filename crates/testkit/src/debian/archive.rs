//! Archives: pools, indexes and signed `Release` files.

use super::deb::{Built, Deb, Packing};
use super::hash::Hash;
use super::sign::{self, Signer};
use crate::{Http, Reply};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Where packages of `Architecture: all` are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllPackages {
    /// In each architecture's index, and `No-Support-for-Architecture-all: Packages` says so.
    Declared,
    /// In each architecture's index, said nowhere, as security archives do.
    Undeclared,
    /// In `binary-all` only.
    Separate,
}

/// Which files carry the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureFiles {
    /// `InRelease` only.
    InRelease,
    /// `Release` and `Release.gpg`.
    Detached,
    /// All three.
    Both,
    /// `Release` without any signature.
    Unsigned,
}

/// A package in the index of a suite.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The package.
    pub built: Built,
    /// Its component.
    pub component: String,
    /// Fields of the stanza that differ from what is true; an empty value removes one.
    pub claims: Vec<(String, String)>,
    /// What the server gives in place of the package.
    pub served: Option<Vec<u8>>,
}

impl Listing {
    /// Lists a package truly, in `main`.
    #[must_use]
    pub fn new(built: Built) -> Listing {
        Listing { built, component: "main".to_owned(), claims: Vec::new(), served: None }
    }

    /// Lists it in another component.
    #[must_use]
    pub fn component(mut self, name: &str) -> Listing {
        name.clone_into(&mut self.component);
        self
    }

    /// Claims another value of a field in the index: `Filename`, `Size`, `SHA256`, `Package`, `Depends` ...
    #[must_use]
    pub fn claim(mut self, field: &str, value: &str) -> Listing {
        self.claims.push((field.to_owned(), value.to_owned()));
        self
    }

    /// Serves other bytes than were listed.
    #[must_use]
    pub fn served(mut self, bytes: Vec<u8>) -> Listing {
        self.served = Some(bytes);
        self
    }

    /// The stanza in `Packages`, without an empty line behind it.
    fn stanza(&self, suite: &Suite) -> String {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in self.built.control.lines() {
            match (line.starts_with([' ', '\t']), fields.last_mut(), line.split_once(':')) {
                (true, Some((_, value)), _) => {
                    value.push('\n');
                    value.push_str(line);
                }
                (_, _, Some((name, value))) => fields.push((name.to_owned(), value.trim().to_owned())),
                _ => {}
            }
        }
        let bytes = &self.built.bytes;
        fields.push(("Filename".to_owned(), suite.file_path(self)));
        fields.push(("Size".to_owned(), bytes.len().to_string()));
        fields.extend(suite.stanza_hashes.iter().map(|hash| (hash.field().to_owned(), hash.hex(bytes))));
        for (name, value) in &self.claims {
            fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            if !value.is_empty() {
                // The name must stand first: readers key on it.
                let at = if name == "Package" { 0 } else { fields.len() };
                fields.insert(at, (name.clone(), value.clone()));
            }
        }
        fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
    }
}

impl From<Built> for Listing {
    fn from(built: Built) -> Self {
        Listing::new(built)
    }
}

impl From<&Deb> for Listing {
    fn from(deb: &Deb) -> Self {
        Listing::new(deb.build())
    }
}

impl From<Deb> for Listing {
    fn from(deb: Deb) -> Self {
        Listing::new(deb.build())
    }
}

/// One suite of an archive, with the traits of its age.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Folder below `dists`, e.g. `bookworm` or `buster/updates`; the folder itself where `flat`.
    pub path: String,
    /// `Origin`.
    pub origin: String,
    /// `Label`.
    pub label: String,
    /// `Suite`.
    pub suite: String,
    /// `Codename`.
    pub codename: String,
    /// `Version`; empty: none.
    pub version: String,
    /// `Date`, seconds since the epoch.
    pub date: u64,
    /// `Valid-Until`, seconds since the epoch.
    pub valid_until: Option<u64>,
    /// Components in order.
    pub components: Vec<String>,
    /// What `Components` writes before each name though no path has it: `updates/` on security archives.
    pub component_prefix: String,
    /// Architectures without `all`.
    pub architectures: Vec<String>,
    /// Where packages for all architectures are listed.
    pub all: AllPackages,
    /// Forms of each index on the server.
    pub packings: Vec<Packing>,
    /// Whether the plain index is listed in `Release` though the server may not have it.
    pub plain_listed: bool,
    /// Sections of `Release`.
    pub hashes: Vec<Hash>,
    /// Digests in each stanza.
    pub stanza_hashes: Vec<Hash>,
    /// `Acquire-By-Hash`, and whether `by-hash` folders exist.
    pub by_hash: bool,
    /// Files of the signature.
    pub signature_files: SignatureFiles,
    /// Keys that sign.
    pub signers: Vec<Signer>,
    /// Packages in the order of the index.
    pub packages: Vec<Listing>,
    /// Further fields of `Release`, e.g. `NotAutomatic: yes`.
    pub extra: Vec<(String, String)>,
    /// Whether this is a flat repository: no `dists`, no components, `Release` beside the packages.
    pub flat: bool,
}

impl Suite {
    /// A suite as Debian's stable ones are since 2021: `.xz` and `.gz` indexes, SHA-256, by-hash, `InRelease`.
    #[must_use]
    pub fn new(codename: &str) -> Suite {
        Suite {
            path: codename.to_owned(),
            origin: "Debian".to_owned(),
            label: "Debian".to_owned(),
            suite: "stable".to_owned(),
            codename: codename.to_owned(),
            version: String::new(),
            date: super::EPOCH,
            valid_until: None,
            components: vec!["main".to_owned()],
            component_prefix: String::new(),
            architectures: vec![host_architecture().to_owned()],
            all: AllPackages::Declared,
            packings: vec![Packing::Gzip, Packing::Xz],
            plain_listed: true,
            hashes: vec![Hash::Md5, Hash::Sha256],
            stanza_hashes: vec![Hash::Md5, Hash::Sha256],
            by_hash: true,
            signature_files: SignatureFiles::Both,
            signers: Vec::new(),
            packages: Vec::new(),
            extra: Vec::new(),
            flat: false,
        }
    }

    /// Signs with this key too.
    #[must_use]
    pub fn signed(mut self, signer: Signer) -> Suite {
        self.signers.push(signer);
        self
    }

    /// Adds a package.
    #[must_use]
    pub fn package(mut self, listing: impl Into<Listing>) -> Suite {
        self.packages.push(listing.into());
        self
    }

    /// Adds packages.
    #[must_use]
    pub fn packages<L: Into<Listing>>(mut self, listings: impl IntoIterator<Item = L>) -> Suite {
        self.packages.extend(listings.into_iter().map(Into::into));
        self
    }

    /// The folder of `Release`, with a slash behind it unless it is the root.
    #[must_use]
    pub fn folder(&self) -> String {
        let path = self.path.trim_start_matches("./").trim_matches('/');
        match (self.flat, path) {
            (true, "") => String::new(),
            (true, path) => format!("{path}/"),
            (false, path) => format!("dists/{path}/"),
        }
    }

    /// Where a package lies on the server, and what its stanza says unless it claims otherwise.
    fn file_path(&self, listing: &Listing) -> String {
        if self.flat {
            return format!("{}{}", self.folder(), listing.built.file_name());
        }
        listing.built.pool_path(&listing.component)
    }

    /// The index of an architecture of a component; `None` for flat repositories takes everything.
    fn index(&self, within: Option<(&str, &str)>) -> String {
        let wanted = |listing: &&Listing| {
            let Some((component, architecture)) = within else { return true };
            let own = listing.built.architecture.as_str();
            let here = match (own, self.all) {
                ("all", AllPackages::Separate) => architecture == "all",
                ("all", _) => true,
                (own, _) => own == architecture,
            };
            here && listing.component == component
        };
        self.packages.iter().filter(wanted).map(|listing| listing.stanza(self) + "\n").collect()
    }

    /// The indexes by their path below the folder, uncompressed.
    fn indexes(&self) -> Vec<(String, String)> {
        if self.flat {
            return vec![("Packages".to_owned(), self.index(None))];
        }
        let mut architectures = self.architectures.clone();
        if self.all == AllPackages::Separate {
            architectures.push("all".to_owned());
        }
        let mut indexes = Vec::new();
        for component in &self.components {
            for architecture in &architectures {
                let path = format!("{component}/binary-{architecture}/Packages");
                indexes.push((path, self.index(Some((component, architecture)))));
            }
        }
        indexes
    }

    /// The text of `Release` over these files (path below the folder, bytes).
    #[must_use]
    pub fn release(&self, listed: &[(String, Arc<[u8]>)]) -> String {
        let mut text = String::new();
        let mut put = |name: &str, value: &str| {
            if !value.is_empty() {
                text.push_str(&format!("{name}: {value}\n"));
            }
        };
        put("Origin", &self.origin);
        put("Label", &self.label);
        put("Suite", &self.suite);
        put("Version", &self.version);
        put("Codename", &self.codename);
        put("Date", &date(self.date));
        if let Some(until) = self.valid_until {
            put("Valid-Until", &date(until));
        }
        if self.by_hash {
            put("Acquire-By-Hash", "yes");
        }
        if !self.flat {
            let all = if self.all == AllPackages::Undeclared { "" } else { "all " };
            put("Architectures", &format!("{all}{}", self.architectures.join(" ")));
            if self.all == AllPackages::Declared {
                put("No-Support-for-Architecture-all", "Packages");
            }
            let components: Vec<String> =
                self.components.iter().map(|name| format!("{}{name}", self.component_prefix)).collect();
            put("Components", &components.join(" "));
        }
        for (name, value) in &self.extra {
            put(name, value);
        }
        for hash in &self.hashes {
            text.push_str(&format!("{}:\n", hash.section()));
            for (path, bytes) in listed {
                text.push_str(&format!(" {} {:>8} {path}\n", hash.hex(bytes), bytes.len()));
            }
        }
        text
    }

    fn render(&self, site: &mut Site) {
        let folder = self.folder();
        for listing in &self.packages {
            let bytes: Arc<[u8]> = listing
                .served
                .as_ref()
                .map_or_else(|| Arc::clone(&listing.built.bytes), |bytes| bytes.as_slice().into());
            site.files.insert(self.file_path(listing), bytes);
        }
        let mut listed = Vec::new();
        for (path, text) in self.indexes() {
            let mut packings = self.packings.clone();
            if self.plain_listed && !packings.contains(&Packing::Plain) {
                packings.insert(0, Packing::Plain);
            }
            for packing in packings {
                let bytes: Arc<[u8]> = packing.pack(text.as_bytes()).into();
                let name = format!("{path}{}", packing.extension());
                if self.packings.contains(&packing) {
                    site.files.insert(format!("{folder}{name}"), Arc::clone(&bytes));
                    if self.by_hash {
                        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                        let parent = if parent.is_empty() { String::new() } else { format!("{parent}/") };
                        for hash in &self.hashes {
                            let by_hash = format!("{folder}{parent}by-hash/{}/{}", hash.section(), hash.hex(&bytes));
                            site.files.insert(by_hash, Arc::clone(&bytes));
                        }
                    }
                }
                listed.push((name, bytes));
            }
        }
        let text = self.release(&listed);
        self.sign(&text, site);
    }

    /// Puts this text into `Release`, signed as the suite says.
    pub fn sign(&self, text: &str, site: &mut Site) {
        let folder = self.folder();
        let files = self.signature_files;
        for name in ["Release", "Release.gpg", "InRelease"] {
            site.remove(&format!("{folder}{name}"));
        }
        if files != SignatureFiles::InRelease {
            site.put(&format!("{folder}Release"), text.as_bytes());
        }
        if matches!(files, SignatureFiles::Detached | SignatureFiles::Both) {
            let signature = sign::detached(text.as_bytes(), &self.signers, self.date);
            site.put(&format!("{folder}Release.gpg"), signature.as_bytes());
        }
        if matches!(files, SignatureFiles::InRelease | SignatureFiles::Both) {
            let document = sign::cleartext(text, &self.signers, self.date);
            site.put(&format!("{folder}InRelease"), document.as_bytes());
        }
    }
}

/// An archive: suites that share a root and a pool.
#[derive(Debug, Clone, Default)]
pub struct Repository {
    /// Its suites.
    pub suites: Vec<Suite>,
}

impl Repository {
    /// An archive of these suites.
    #[must_use]
    pub fn new(suites: impl IntoIterator<Item = Suite>) -> Repository {
        Repository { suites: suites.into_iter().collect() }
    }

    /// All files of the archive.
    #[must_use]
    pub fn render(&self) -> Site {
        let mut site = Site::default();
        for suite in &self.suites {
            suite.render(&mut site);
        }
        site
    }

    /// The public keys of all signers, one keyring file.
    #[must_use]
    pub fn keyring(&self) -> Vec<u8> {
        let mut keys = BTreeMap::new();
        for signer in self.suites.iter().flat_map(|suite| &suite.signers) {
            keys.insert(signer.key.fingerprint(), signer.key.public());
        }
        keys.into_values().flatten().collect()
    }
}

/// The files of an archive by their path below its root.
#[derive(Debug, Clone, Default)]
pub struct Site {
    files: BTreeMap<String, Arc<[u8]>>,
}

impl Site {
    /// The paths.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// A file's bytes.
    ///
    /// # Panics
    /// If there is none: a test that asks for it would prove nothing.
    #[must_use]
    #[track_caller]
    pub fn get(&self, path: &str) -> &[u8] {
        match self.files.get(path) {
            Some(bytes) => bytes,
            None => panic!("no {path:?} among {:#?}", self.files.keys().collect::<Vec<_>>()),
        }
    }

    /// Whether there is such a file.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Sets a file.
    pub fn put(&mut self, path: &str, bytes: impl AsRef<[u8]>) -> &mut Site {
        self.files.insert(path.to_owned(), bytes.as_ref().into());
        self
    }

    /// Removes a file where it is.
    pub fn remove(&mut self, path: &str) -> &mut Site {
        self.files.remove(path);
        self
    }

    /// Changes every file whose path holds `part`; gives how many.
    pub fn change(&mut self, part: &str, mut edit: impl FnMut(&[u8]) -> Vec<u8>) -> usize {
        let mut changed = 0;
        for (path, bytes) in &mut self.files {
            if path.contains(part) {
                *bytes = edit(bytes).into();
                changed += 1;
            }
        }
        changed
    }

    /// Adds the files of another archive below `prefix` (`""` or `security/`).
    pub fn mount(&mut self, prefix: &str, other: &Site) -> &mut Site {
        for (path, bytes) in &other.files {
            self.files.insert(format!("{prefix}{path}"), Arc::clone(bytes));
        }
        self
    }

    /// Writes the archive into a folder, to be read by `file:`.
    ///
    /// # Panics
    /// If a file cannot be written.
    pub fn write_to(&self, folder: &Path) {
        for (path, bytes) in &self.files {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().expect("a file in a folder")).expect("own folder");
            std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        }
    }

    /// Serves every file below `prefix` (e.g. `/debian`); gives the archive's URL without a slash at its end.
    pub fn serve(&self, http: &Http, prefix: &str) -> String {
        for (path, bytes) in &self.files {
            http.serve(&format!("{prefix}/{path}"), Reply::ok(bytes.to_vec()).ranges());
        }
        http.url(prefix)
    }
}

/// Debian's name of the architecture that the tests run on.
///
/// # Panics
/// On machines that the project does not support.
#[must_use]
pub fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => panic!("no Debian name for {other}"),
    }
}

/// A date as `Release` files write it.
#[must_use]
pub fn date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (mut day, second) = (seconds / 86400, seconds % 86400);
    let weekday = DAYS[(day % 7) as usize];
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{weekday}, {:02} {} {year} {hour:02}:{minute:02}:{:02} UTC", day + 1, MONTHS[month], second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        // seconds | text
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 UTC"),
            (951_827_696, "Tue, 29 Feb 2000 12:34:56 UTC"),
            (1_700_000_000, "Tue, 14 Nov 2023 22:13:20 UTC"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }

    #[test]
    fn a_suite_is_laid_out() {
        let key = sign::SigningKey::new();
        let suite = Suite::new("bookworm")
            .signed(Signer::new(&key))
            .package(Deb::new("one", "1"))
            .package(Listing::new(Deb::new("two", "2").build()).claim("Filename", "../../etc/passwd"));
        let site = Repository::new([suite.clone()]).render();
        let arch = host_architecture();
        let index = String::from_utf8_lossy(site.get("pool/main/o/one/one_1_all.deb")).len();
        assert!(index > 0);
        let release = String::from_utf8_lossy(site.get("dists/bookworm/Release")).into_owned();
        assert!(release.contains(&format!(" main/binary-{arch}/Packages\n")), "{release}");
        assert!(!site.has(&format!("dists/bookworm/main/binary-{arch}/Packages")), "listed, not served");
        assert!(site.has(&format!("dists/bookworm/main/binary-{arch}/Packages.xz")));
        let text = suite.index(Some(("main", arch)));
        assert!(text.contains("\nFilename: ../../etc/passwd\n"), "{text}");
        assert_eq!(text.matches("Package: ").count(), 2);

        let separate = Suite { all: AllPackages::Separate, ..suite.clone() };
        let site = Repository::new([separate]).render();
        assert!(site.has("dists/bookworm/main/binary-all/Packages.xz"));

        let flat = Suite { flat: true, path: "./".to_owned(), ..suite };
        let site = Repository::new([flat]).render();
        assert!(site.has("Release") && site.has("Packages.gz") && site.has("one_1_all.deb"));
    }
}

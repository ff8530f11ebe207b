//! The keyrings of a distribution: built in, updated from its own archive, and the host's.
//!
//! ```text
//! built in                                      bedplate's own: Debian's and Ubuntu's
//! <store>/keyrings/<distribution>/<name>.pgp    what `bedplate keyring update` took from the signed package
//! /usr/share/keyrings/<name>.{pgp,gpg,asc}      the host's, as its packages installed them
//! /etc/apt/trusted.gpg.d/<family>-*             the host's, where they are the distribution's by name
//! ```
//!
//! All of them together judge a suite. A host's key that nobody else knows is said aloud; the keys of other archives
//! that lie on a host are none of the distribution's and judge nothing.

mod update;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bedplate_store::Store;
use bedplate_trust::{Builtin, Certificate, Keyring, KeyringError, MAX_KEYRING};

pub use update::{UpdateError, Updated, update};

use crate::acquire::{AcquireError, Notice};
use crate::distribution::Distribution;

/// The endings of keyring files, in the order in which they are looked for.
const ENDINGS: [&str; 3] = ["pgp", "gpg", "asc"];

/// The folder of a host where packages put keyrings.
const SHARED: &str = "usr/share/keyrings";

/// The folder of a host whose keys apt trusts with every archive.
const TRUSTED: &str = "etc/apt/trusted.gpg.d";

/// Where a keyring comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It is part of bedplate.
    Builtin,
    /// `bedplate keyring update` wrote this file.
    Updated(PathBuf),
    /// It is this file of the host.
    Host(PathBuf),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Builtin => f.write_str("built in"),
            Self::Updated(path) | Self::Host(path) => path.display().fmt(f),
        }
    }
}

/// A certificate, and who brought it first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// The certificate with the revocations and prolongations of every keyring.
    pub certificate: Certificate,
    /// The first keyring that has it.
    pub origin: Origin,
}

/// What is known of a distribution's keys.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// All keyrings in one.
    pub keyring: Keyring,
    /// Which keyring brought which certificate, by fingerprint.
    pub keys: Vec<KnownKey>,
    /// What people should be told: keys that only the host has, and files of it that cannot be read.
    pub notices: Vec<Notice>,
}

impl Known {
    /// Takes a keyring, and notes what only the host has.
    fn add(&mut self, keyring: Keyring, origin: &Origin) {
        if let Origin::Host(path) = origin {
            let new = keyring.certificates().filter(|certificate| !self.keyring.contains(&certificate.fingerprint));
            self.notices.extend(new.map(|certificate| Notice::HostKey {
                file: path.display().to_string(),
                fingerprint: certificate.fingerprint.to_string(),
                user: certificate.user_ids.into_iter().next().unwrap_or_default(),
            }));
        }
        self.take(keyring, origin);
    }

    fn take(&mut self, keyring: Keyring, origin: &Origin) {
        let new = keyring.certificates().filter(|certificate| !self.keyring.contains(&certificate.fingerprint));
        self.keys.extend(new.map(|certificate| KnownKey { certificate, origin: origin.clone() }));
        self.keyring.merge(keyring);
    }

    /// Takes the certificates once more, now that all keyrings are merged.
    fn finish(&mut self) {
        for certificate in self.keyring.certificates() {
            if let Some(key) = self.keys.iter_mut().find(|key| key.certificate.fingerprint == certificate.fingerprint) {
                key.certificate = certificate;
            }
        }
        self.keys.sort_by(|a, b| a.certificate.fingerprint.cmp(&b.certificate.fingerprint));
    }
}

/// The folder of a store with the updated keyrings of a distribution.
#[must_use]
pub fn folder(store: &Store, distribution: &Distribution) -> PathBuf {
    store.root().join("keyrings").join(&distribution.name)
}

/// Collects the keyrings of these names that judge a distribution: built in, updated, and of the host at `host`.
///
/// A name is that of a file without its ending, or the absolute path of a file of the host, which must then be there.
///
/// # Errors
/// [`AcquireError`] where an updated keyring or one by path cannot be read, or no keyring is found at all. What cannot
/// be read of the host's own folders is told by a notice.
pub fn known(distribution: &Distribution, names: &[String], store: &Store, host: &Path) -> Result<Known, AcquireError> {
    let mut known = Known::default();
    let files: Vec<&String> = names.iter().filter(|name| !name.starts_with('/')).collect();
    for name in &files {
        if let Some(builtin) = Builtin::find(name) {
            known.add(builtin.keyring().map_err(|source| AcquireError::Keyring { source })?, &Origin::Builtin);
        }
    }
    let mut updated = Vec::new();
    for store in [store.fallback(), Some(store)].into_iter().flatten() {
        let folder = folder(store, distribution);
        for name in names {
            let path = folder.join(file_name(name));
            if let Some(bytes) = read(&path)? {
                known.add(parse(&path, &bytes)?, &Origin::Updated(path));
                updated.push(name);
            }
        }
    }
    for name in names.iter().filter(|name| name.starts_with('/')) {
        let path = PathBuf::from(name);
        match read(&host.join(name.trim_start_matches('/')))? {
            // The data file names it, so that whoever gave that knows: no notice.
            Some(bytes) => known.take(parse(&path, &bytes)?, &Origin::Host(path)),
            None if updated.contains(&name) => {}
            None => return Err(AcquireError::NoKeyring { path }),
        }
    }
    for path in host_files(distribution, &files, host) {
        let shown = Path::new("/").join(&path);
        match read(&host.join(&path)).and_then(|bytes| bytes.map(|bytes| parse(&shown, &bytes)).transpose()) {
            Ok(Some(keyring)) => known.add(keyring, &Origin::Host(shown)),
            Ok(None) => {}
            // An empty file is what some tools leave behind.
            Err(AcquireError::Keyring { source: KeyringError::Empty { .. } }) => {}
            Err(error) => known.notices.push(Notice::HostKeyring { reason: reason(&error) }),
        }
    }
    if let (true, Some(name)) = (known.keyring.is_empty(), names.first()) {
        return Err(AcquireError::NoKeyring { path: PathBuf::from(name) });
    }
    known.finish();
    Ok(known)
}

/// The files of a host that are keyrings of the distribution by their names, below its root.
fn host_files(distribution: &Distribution, names: &[&String], host: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for name in names {
        files.extend(ENDINGS.iter().map(|ending| Path::new(SHARED).join(format!("{name}.{ending}"))));
    }
    // `debian-archive-trixie-stable.asc`, `ubuntu-keyring-2018-archive.gpg`; not `debian-ports-…`, not a vendor's.
    let families: Vec<String> = names
        .iter()
        .map(|name| name.as_str())
        .filter(|name| !name.ends_with("-removed-keys"))
        .map(|name| name.strip_suffix("-keyring").unwrap_or(name))
        .chain([distribution.keyring_package.as_str()])
        .map(|family| format!("{family}-"))
        .collect();
    let mut trusted: Vec<PathBuf> = fs::read_dir(host.join(TRUSTED))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| families.iter().any(|family| name.starts_with(family.as_str())))
        .filter(|name| name.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending)))
        .map(|name| Path::new(TRUSTED).join(name))
        .collect();
    trusted.sort();
    files.extend(trusted);
    files
}

/// The name of an updated keyring's file: whatever its form, it is told from its content.
fn file_name(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    let stem = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)?.strip_suffix('.')).unwrap_or(name);
    format!("{stem}.pgp")
}

fn reason(error: &AcquireError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Reads the certificates of a keyring file.
pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Keyring, AcquireError> {
    Keyring::parse(&path.to_string_lossy(), bytes).map_err(|source| AcquireError::Keyring { source })
}

/// A keyring file; `None` where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, AcquireError> {
    let failed = |source| AcquireError::ReadKeyring { path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_KEYRING as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedplate_store::OpenOptions;
    use bedplate_testkit::debian::SigningKey;

    fn debian() -> Distribution {
        crate::distribution::builtin().iter().find(|known| known.name == "debian").unwrap().clone()
    }

    struct Place {
        _folder: tempfile::TempDir,
        host: PathBuf,
        store: Store,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let host = folder.path().join("host");
            let store = Store::open(&OpenOptions::new(folder.path().join("store"))).unwrap();
            Self { _folder: folder, host, store }
        }

        fn put(&self, path: &str, bytes: &[u8]) {
            put(&self.host.join(path), bytes);
        }

        fn known(&self, names: &[&str]) -> Result<Known, AcquireError> {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            known(&debian(), &names, &self.store, &self.host)
        }
    }

    fn put(path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn built_in_keys_need_no_host() {
        let place = Place::new();
        let known = place.known(&["debian-archive-keyring"]).unwrap();
        assert_eq!((known.keyring.len(), known.keys.len()), (9, 9));
        assert!(known.keys.iter().all(|key| key.origin == Origin::Builtin));
        assert!(known.notices.is_empty());
        let both = place.known(&["debian-archive-keyring", "debian-archive-removed-keys"]).unwrap();
        assert_eq!(both.keyring.len(), 32);
    }

    #[test]
    fn the_hosts_keys_are_said_aloud() {
        let place = Place::new();
        let (new, old, vendor, armoured) = (SigningKey::new(), SigningKey::new(), SigningKey::new(), SigningKey::new());
        place.put("usr/share/keyrings/debian-archive-keyring.gpg", &new.public());
        place.put("etc/apt/trusted.gpg.d/debian-archive-trixie-stable.asc", armoured.armoured().as_bytes());
        // None of these is a keyring of Debian's archive for a living suite.
        place.put("usr/share/keyrings/debian-archive-removed-keys.gpg", &old.public());
        place.put("usr/share/keyrings/vendor.gpg", &vendor.public());
        place.put("etc/apt/trusted.gpg.d/vendor.gpg", &vendor.public());
        place.put("etc/apt/trusted.gpg.d/debian-ports-2024.gpg", &vendor.public());
        place.put("etc/apt/trusted.gpg.d/debian-archive-x.gpg.save", &vendor.public());
        let known = place.known(&["debian-archive-keyring"]).unwrap();
        assert_eq!(known.keyring.len(), 11);
        let said: Vec<String> = known.notices.iter().map(ToString::to_string).collect();
        let user = "Generated Archive Signing Key <archive@example.org>";
        let expected = [
            (new.fingerprint(), "/usr/share/keyrings/debian-archive-keyring.gpg"),
            (armoured.fingerprint(), "/etc/apt/trusted.gpg.d/debian-archive-trixie-stable.asc"),
        ]
        .map(|(key, file)| format!("trusting key {key} ({user}) of this host's {file}"));
        assert_eq!(said, expected);
        let ended = place.known(&["debian-archive-keyring", "debian-archive-removed-keys"]).unwrap();
        assert_eq!(ended.keyring.len(), 32 + 3);
    }

    #[test]
    fn a_hosts_keyring_that_adds_nothing_is_not_worth_a_word() {
        let place = Place::new();
        place.put("usr/share/keyrings/debian-archive-keyring.pgp", Builtin::Debian.bytes());
        place.put("etc/apt/trusted.gpg.d/debian-archive-empty.gpg", b"");
        assert!(place.known(&["debian-archive-keyring"]).unwrap().notices.is_empty());
    }

    #[test]
    fn a_hosts_keyring_that_cannot_be_read_is_left_out() {
        let place = Place::new();
        place.put("usr/share/keyrings/debian-archive-keyring.gpg", b"\0\0\0\x20\x01\x01\0\x02KBXf\0\0\0\0");
        let known = place.known(&["debian-archive-keyring"]).unwrap();
        assert_eq!(known.keyring.len(), 9);
        let [notice] = known.notices.as_slice() else { panic!("{:?}", known.notices) };
        assert!(notice.to_string().contains("is a GnuPG keybox"), "{notice}");
    }

    #[test]
    fn updated_keyrings_are_used() {
        let place = Place::new();
        let key = SigningKey::new();
        let path = folder(&place.store, &debian()).join("debian-archive-keyring.pgp");
        put(&path, key.armoured().as_bytes());
        let known = place.known(&["debian-archive-keyring"]).unwrap();
        assert_eq!(known.keyring.len(), 10);
        assert!(known.keys.iter().any(|known| known.origin == Origin::Updated(path.clone())));
        assert!(known.notices.is_empty());
        // A damaged one of our own is no reason to go on with less.
        put(&path, b"junk");
        assert!(matches!(place.known(&["debian-archive-keyring"]), Err(AcquireError::Keyring { .. })));
    }

    #[test]
    fn revocations_of_any_keyring_count() {
        let place = Place::new();
        let key = SigningKey::new();
        put(&folder(&place.store, &debian()).join("debian-archive-keyring.pgp"), &key.public());
        place.put("usr/share/keyrings/debian-archive-keyring.gpg", &key.revoked());
        let known = place.known(&["debian-archive-keyring"]).unwrap();
        let found =
            known.keys.iter().find(|known| known.certificate.fingerprint.as_str() == key.fingerprint()).unwrap();
        assert!(found.certificate.revoked);
    }

    #[test]
    fn keyrings_of_derivatives() {
        let place = Place::new();
        let key = SigningKey::new();
        let missing = place.known(&["/opt/vendor/keys.gpg"]).unwrap_err();
        assert_eq!(missing.to_string(), "keyring \"/opt/vendor/keys.gpg\" does not exist");
        let missing = place.known(&["vendor-archive-keyring"]).unwrap_err();
        assert_eq!(missing.to_string(), "keyring \"vendor-archive-keyring\" does not exist");
        place.put("opt/vendor/keys.gpg", &key.public());
        assert_eq!(place.known(&["/opt/vendor/keys.gpg"]).unwrap().keyring.len(), 1);
    }

    #[test]
    fn names_of_updated_files() {
        for (name, expected) in [
            ("debian-archive-keyring", "debian-archive-keyring.pgp"),
            ("/opt/vendor/keys.gpg", "keys.pgp"),
            ("/opt/keys.d/a.asc", "a.pgp"),
            ("x.d", "x.d.pgp"),
        ] {
            assert_eq!(file_name(name), expected);
        }
    }
}

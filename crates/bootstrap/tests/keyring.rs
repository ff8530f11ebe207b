//! `bedplate keyring update`: new keys from the signed package, and from nowhere else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bedplate_bootstrap::acquire::{self, AcquireError, Context, Host, Kind, Quiet};
use bedplate_bootstrap::keyring::{UpdateError, update};
use bedplate_bootstrap::request::{Mirror, Request};
use bedplate_fetch::{Fetcher, Limits, Options};
use bedplate_store::{OpenOptions, Store};
use bedplate_testkit::debian::{Built, Deb, EPOCH, Repository, Signer, SigningKey, Suite};
use bedplate_trust::TrustError;

const SHARED: &str = "usr/share/keyrings";

struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    fetcher: Fetcher,
    host: Host,
}

impl Bench {
    /// A machine that knows `known` as a key of Debian's archive.
    fn new(known: &SigningKey) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("host");
        std::fs::create_dir_all(root.join(SHARED)).unwrap();
        std::fs::write(root.join(SHARED).join("debian-archive-keyring.gpg"), known.public()).unwrap();
        let store = Store::open(&OpenOptions::new(folder.path().join("store"))).unwrap();
        let limits = Limits { retries: 0, answer: Duration::from_secs(2), ..Limits::default() };
        let fetcher = Fetcher::new(Options { limits, ..Options::default() });
        Self { folder, store, fetcher, host: Host { root, ..Host::default() } }
    }

    /// Publishes packages in a suite that `signer` signs, and asks for it.
    fn publish(&self, name: &str, signer: &SigningKey, packages: Vec<Built>) -> Request {
        let place = self.folder.path().join(name);
        Repository::new([Suite::new("bookworm").signed(Signer::new(signer)).packages(packages)])
            .render()
            .write_to(&place);
        request(&place)
    }

    fn context(&self) -> Context<'_> {
        Context {
            store: &self.store,
            fetcher: &self.fetcher,
            now: i64::try_from(EPOCH).unwrap() + 60,
            host: &self.host,
            offline: false,
            observer: &Quiet,
        }
    }

    fn files(&self) -> Vec<String> {
        let folder = self.store.root().join("keyrings/debian");
        let mut names: Vec<String> = folder
            .read_dir()
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn request(place: &Path) -> Request {
    let mut request = Request::new("debian:bookworm");
    request.mirrors = vec![Mirror::parse(place.to_str().unwrap())];
    request.pockets = Some(vec![bedplate_bootstrap::distribution::Pocket::Release]);
    request.checks.allow_downgrade = true;
    request
}

/// A package of keyrings as Debian's: the keyring under one name, a link under the other.
fn package(version: &str, keyring: &[u8]) -> Built {
    Deb::new("debian-archive-keyring", version)
        .architecture("all")
        .dir("/usr/share/keyrings", 0o755)
        .file("/usr/share/keyrings/debian-archive-keyring.pgp", 0o644, keyring)
        .symlink("/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring.pgp")
        .build()
}

fn told(error: &UpdateError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[test]
fn a_new_key_is_learnt_from_the_signed_package() {
    let (old, new) = (SigningKey::new(), SigningKey::new());
    let bench = Bench::new(&old);
    // A suite that the new key alone signs is refused, and the remedy is named.
    let next = bench.publish("next", &new, vec![package("1", &new.public())]);
    let error = acquire::open(&next, &bench.context()).unwrap_err();
    assert!(
        matches!(&error, AcquireError::Signature { source, .. } if matches!(**source, TrustError::NoTrustedKey { .. }))
    );
    let hint = error.hint().unwrap();
    assert!(hint.contains("`bedplate keyring update debian`") && hint.contains("--keyring"), "{hint}");

    // The keyring package of the suite that is known brings it.
    let keyring = [old.public(), new.public()].concat();
    let today = bench.publish("today", &old, vec![package("2023.1", &old.public()), package("2025.1", &keyring)]);
    let updated = update(&today, &bench.context()).unwrap();
    assert_eq!(updated.package, "debian-archive-keyring 2025.1");
    assert_eq!(updated.keyrings, ["debian-archive-keyring"]);
    assert_eq!(updated.folder, bench.store.root().join("keyrings/debian"));
    let added: Vec<&str> = updated.added.iter().map(|key| key.fingerprint.as_str()).collect();
    assert_eq!(added, [new.fingerprint()]);
    assert!(updated.revoked.is_empty());
    assert_eq!(bench.files(), ["debian-archive-keyring.pgp", "package"]);
    let record = std::fs::read_to_string(updated.folder.join("package")).unwrap();
    assert_eq!(record, format!("debian-archive-keyring 2025.1 {}\n", updated.digest.hex()));
    assert_eq!(std::fs::read(updated.folder.join("debian-archive-keyring.pgp")).unwrap(), keyring);

    let acquired = acquire::open(&next, &bench.context()).unwrap();
    assert_eq!(acquired.sources[0].release.signer.as_deref(), Some(new.fingerprint().as_str()));
    // Once more changes nothing.
    let again = update(&today, &bench.context()).unwrap();
    assert_eq!((again.added.len(), again.digest), (0, updated.digest));
}

#[test]
fn a_revocation_is_learnt() {
    let (old, other) = (SigningKey::new(), SigningKey::new());
    let bench = Bench::new(&old);
    let both = [old.public(), other.public()].concat();
    update(&bench.publish("a", &old, vec![package("1", &both)]), &bench.context()).unwrap();
    let request = bench.publish("b", &old, vec![package("2", &[old.public(), other.revoked()].concat())]);
    let updated = update(&request, &bench.context()).unwrap();
    assert_eq!(updated.added, []);
    assert_eq!(updated.revoked.len(), 1);
    assert_eq!(updated.revoked[0].fingerprint.as_str(), other.fingerprint());
}

#[test]
fn nothing_is_learnt_from_what_nobody_signed() {
    let (known, stranger) = (SigningKey::new(), SigningKey::new());
    let bench = Bench::new(&known);
    let keyring = [known.public(), stranger.public()].concat();
    let request = bench.publish("a", &stranger, vec![package("9", &keyring)]);
    let error = update(&request, &bench.context()).unwrap_err();
    assert!(told(&error).contains("signed by no trusted key"), "{}", told(&error));
    assert!(error.hint().unwrap().contains("--keyring FILE"));
    assert_eq!(error.kind(), Kind::Input);
    // Not even where unsigned archives are allowed.
    let mut unsigned = request;
    unsigned.checks.no_signatures = true;
    let error = update(&unsigned, &bench.context()).unwrap_err();
    assert!(bench.files().is_empty(), "{error}");
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let key = SigningKey::new();
    let bench = Bench::new(&key);
    update(&bench.publish("first", &key, vec![package("2025.1", &key.public())]), &bench.context()).unwrap();
    let empty = || Deb::new("debian-archive-keyring", "2026.1").architecture("all");
    let cases: Vec<(&str, Vec<Built>, &str)> = vec![
        (
            "none",
            vec![Deb::new("other", "1").build()],
            "no signed source of bookworm has the package debian-archive-keyring",
        ),
        (
            "older",
            vec![package("2023.1", &key.public())],
            "the archive has debian-archive-keyring 2023.1, which is older than 2025.1, which was taken before",
        ),
        (
            "without",
            vec![empty().build()],
            "the package debian-archive-keyring 2026.1 has none of the keyrings debian-archive-keyring, debian-archive-removed-keys",
        ),
        (
            "link",
            vec![empty().symlink("/usr/share/keyrings/debian-archive-keyring.gpg", "/etc/passwd").build()],
            "the package debian-archive-keyring 2026.1 has none of the keyrings",
        ),
        (
            "junk",
            vec![package("2026.2", b"junk")],
            "cannot use a keyring: keyring \"usr/share/keyrings/debian-archive-keyring.pgp\" holds no OpenPGP certificate",
        ),
        ("private", vec![package("2026.3", &key.secret()[5..])], "cannot use a keyring: keyring"),
    ];
    let before = std::fs::read(bench.store.root().join("keyrings/debian/package")).unwrap();
    for (name, packages, expected) in cases {
        let error = update(&bench.publish(name, &key, packages), &bench.context()).unwrap_err();
        assert!(told(&error).starts_with(expected), "{name}: {}", told(&error));
        assert_eq!(std::fs::read(bench.store.root().join("keyrings/debian/package")).unwrap(), before, "{name}");
    }
}

#[test]
fn keyrings_of_the_systems_store_are_seen() {
    let (old, new) = (SigningKey::new(), SigningKey::new());
    let bench = Bench::new(&old);
    let keyring = [old.public(), new.public()].concat();
    update(&bench.publish("a", &old, vec![package("1", &keyring)]), &bench.context()).unwrap();
    let own: PathBuf = bench.folder.path().join("own");
    let store = Store::open(&OpenOptions::new(own).fallback(bench.store.root())).unwrap();
    let next = bench.publish("next", &new, vec![package("2", &keyring)]);
    assert!(acquire::open(&next, &Context { store: &store, ..bench.context() }).is_ok());
}

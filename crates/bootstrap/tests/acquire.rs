//! Archives as they are, as they were, and as attackers make them: what acquiring takes and what it refuses.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bedplate_bootstrap::acquire::{
    self, AcquireError, Acquired, Context, Event, FirstFailure, Host, Kind, Notice, Observer, Quiet, Stage, Wanted,
};
use bedplate_bootstrap::lock::{Lock, LockedPackage, LockedRole, LockedSource};
use bedplate_bootstrap::request::{Mirror, Request};
use bedplate_fetch::{Fetcher, Limits, Options};
use bedplate_packages::deb::index::PackagesIndex;
use bedplate_store::{OpenOptions, Store};
use bedplate_testkit::Http;
use bedplate_testkit::debian::archive::{AllPackages, Listing, SignatureFiles};
use bedplate_testkit::debian::attack::Attack;
use bedplate_testkit::debian::deb::Packing;
use bedplate_testkit::debian::era::{Archives, Era};
use bedplate_testkit::debian::hash::Hash;
use bedplate_testkit::debian::{Deb, Repository, Signer, SigningKey, Suite};

const DAY: u64 = 86_400;

/// A store, a keyring, and the way to the archives.
struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    fetcher: Fetcher,
    host: Host,
}

impl Bench {
    fn new(keyring: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("keyring.gpg"), keyring).unwrap();
        let store = Store::open(&OpenOptions::new(folder.path().join("store"))).unwrap();
        let limits = Limits {
            retries: 1,
            answer: Duration::from_secs(2),
            stall: Duration::from_millis(300),
            backoff: Duration::from_millis(5),
            max_backoff: Duration::from_millis(20),
            ..Limits::default()
        };
        let fetcher = Fetcher::new(Options { limits, ..Options::default() });
        Self { folder, store, fetcher, host: Host::default() }
    }

    fn keyring(&self) -> PathBuf {
        self.folder.path().join("keyring.gpg")
    }

    fn request(&self, suite: &str, mirrors: &[String]) -> Request {
        let mut request = Request::new(suite);
        request.mirrors = mirrors.iter().map(|text| Mirror::parse(text)).collect();
        request.keyrings = vec![self.keyring()];
        request
    }

    fn context<'a>(&'a self, now: u64, observer: &'a dyn Observer) -> Context<'a> {
        Context {
            store: &self.store,
            fetcher: &self.fetcher,
            now: i64::try_from(now).unwrap(),
            host: &self.host,
            offline: false,
            observer,
        }
    }

    fn open(&self, request: &Request, now: u64) -> Result<Acquired, AcquireError> {
        acquire::open(request, &self.context(now, &Quiet))
    }

    /// Opens and fetches the packages of these names.
    fn get(&self, request: &Request, now: u64, names: &[&str]) -> Result<Vec<PathBuf>, AcquireError> {
        let acquired = self.open(request, now)?;
        let wanted = wanted(&acquired, names)?;
        Ok(acquire::fetch(&wanted, request.downloads, &self.context(now, &Quiet))?.paths)
    }
}

fn locked_sources(acquired: &Acquired) -> Vec<LockedSource> {
    acquired.sources.iter().map(LockedSource::of).collect()
}

fn wanted(acquired: &Acquired, names: &[&str]) -> Result<Vec<Wanted>, AcquireError> {
    let mut wanted = Vec::new();
    for source in &acquired.sources {
        for index in &source.indexes {
            let index = PackagesIndex::parse(&index.bytes).expect("generated");
            for package in index.packages().iter().filter(|package| names.contains(&package.name)) {
                wanted.push(Wanted::of(package, source)?);
            }
        }
    }
    Ok(wanted)
}

/// An error with all that it was caused by.
fn told(error: &AcquireError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What happened, for tests to look at.
#[derive(Default)]
struct Record(std::sync::Mutex<Vec<String>>);

impl Observer for Record {
    fn event(&self, event: Event<'_>) {
        let line = match event {
            Event::Notice(notice) => notice.to_string(),
            Event::Planned { stage, items, cached, .. } => format!("{stage:?}: {items} to fetch, {cached} cached"),
            Event::Done { stage, name } => format!("{stage:?}: {name}"),
            Event::Received { .. } | Event::Retrying { .. } => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

impl Record {
    fn has(&self, part: &str) -> bool {
        self.0.lock().unwrap().iter().any(|line| line.contains(part))
    }
}

#[test]
fn each_attack_on_an_archive_is_refused_by_name() {
    use Kind::{Environment, Input, User};
    let cases: [(Attack, Kind, &str); 38] = [
        (Attack::ForgedSignature, Input, "cannot trust the Release file of bookworm"),
        (Attack::ChangedText, Input, "bad signature"),
        (Attack::StrippedSignature, Input, "not signed"),
        (Attack::Unsigned, Input, "not signed"),
        (Attack::UnknownKey, Input, "signed by no trusted key"),
        (Attack::ExpiredKey, Input, "the key expired on"),
        (Attack::RevokedKey, Input, "revoked"),
        (Attack::WeakDigest, Input, "SHA"),
        (Attack::SignedInFuture, Input, "in the future"),
        (Attack::TextOutside, Input, "text before the signed message"),
        (Attack::ExpiredRelease, Input, "bookworm-security at"),
        (Attack::FutureRelease, Environment, "is dated 30 days in the future"),
        (Attack::WrongSuite, Input, "asked for suite \"bookworm\", the Release file is of suite \"oldstable\""),
        (Attack::OtherIndex, Input, "index bookworm/main"),
        (Attack::MixedTime, Input, "index bookworm/main"),
        (Attack::MixedSuite, Input, "index bookworm/main"),
        (Attack::MixedComponent, Input, "index bookworm/main"),
        (Attack::MixedArchitecture, Input, "index bookworm/main"),
        (Attack::EndlessRelease, Input, "larger than the limit of 33554432 bytes"),
        (Attack::EndlessIndex, Input, "index bookworm/main"),
        (Attack::IndexBomb, Input, "index bookworm/main"),
        (Attack::HugeIndex, Input, "are more than the limit of"),
        (Attack::FilenameWithDots, Input, "leads out of the archive"),
        (Attack::FilenameAbsolute, Input, "leads out of the archive"),
        (Attack::WrongHash, Input, "digest mismatch"),
        (Attack::WrongSize, Input, "bytes, found"),
        (Attack::Truncated, Environment, "transfer ended after"),
        (Attack::Hanging, Environment, "/victim_1.0_all.deb: waiting for more bytes took longer than 0.3 s"),
        (Attack::HangingRelease, Environment, "/InRelease: waiting for the answer took longer than 0.3 s"),
        (Attack::HangingIndex, Environment, "waiting for the answer took longer than 0.3 s"),
        (Attack::ServerErrors, Environment, "503"),
        (Attack::InReleaseErrors, Environment, "/InRelease: status 500"),
        (Attack::ReleaseErrors, Environment, "/Release: status 502"),
        (Attack::SignatureErrors, Environment, "/Release.gpg: status 504"),
        (Attack::SecurityErrors, Environment, "bookworm-security/InRelease: status 503"),
        (Attack::IndexErrors, Environment, "503"),
        (Attack::NotFound, User, "404"),
        (Attack::None, User, ""),
    ];
    for (attack, kind, expected) in cases {
        let launched = attack.launch(None);
        let bench = Bench::new(&launched.keyring);
        let request = bench.request(launched.suite(), &launched.mirrors);
        let result = bench.get(&request, launched.now, &["victim"]);
        if attack == Attack::None {
            assert_eq!(result.map(|paths| paths.len()).map_err(|error| told(&error)), Ok(1));
            continue;
        }
        let Err(error) = result else { panic!("{attack:?} was taken") };
        let text = told(&error);
        assert!(text.contains(expected), "{attack:?}: {text}");
        assert_eq!(error.kind(), kind, "{attack:?}: {text}");
        assert!(!launched.outside.exists(), "{attack:?}");
        let kept = std::fs::read_dir(bench.folder.path().join("store/cache/packages")).unwrap();
        let kept: Vec<_> = kept.flatten().filter(|entry| entry.file_name() != *"lock").collect();
        assert!(kept.is_empty(), "{attack:?}: {kept:?}");
    }
}

#[test]
fn archives_of_every_age_are_read() {
    for era in Era::ALL {
        let archives = era.archives([Deb::new("one", "1:2.0-1~x").build(), Deb::new("two", "1").build()]);
        let http = Http::start();
        let mirrors = archives.render().serve(&http);
        let bench = Bench::new(&archives.keyring());
        let request = bench.request(era.codename(), &mirrors);
        // Keys of ended suites have expired by now.
        let now = if era.has_expired_keys() { 1_790_000_000 } else { era.date() + DAY };
        let acquired = bench.open(&request, now).unwrap_or_else(|error| panic!("{era:?}: {}", told(&error)));
        let pockets = if era == Era::Sid { 1 } else { 3 };
        assert_eq!(acquired.sources.len(), pockets, "{era:?}");
        assert!(acquired.sources.iter().all(|source| source.release.signer.is_some()), "{era:?}");
        let wanted = wanted(&acquired, &["one", "two"]).unwrap();
        let fetched = acquire::fetch(&wanted, 4, &bench.context(now, &Quiet)).unwrap();
        assert_eq!(fetched.paths.len(), 2, "{era:?}");
        for (path, wanted) in fetched.paths.iter().zip(&wanted) {
            let bytes = std::fs::read(path).unwrap();
            assert_eq!(bedplate_oci::Digest::of(&bytes), wanted.sha256, "{era:?}");
        }
    }
}

#[test]
fn an_ended_suite_is_judged_within_its_life_only() {
    let mut archives = Era::Jessie.archives([Deb::new("one", "1").build()]);
    // Signed after the suite's end by a key that was valid then, and expired since.
    let late = 1_700_000_000;
    let spec = bedplate_testkit::debian::sign::KeySpec {
        created: late - 10 * DAY,
        lifetime: Some(20 * DAY),
        ..Default::default()
    };
    let signer = Signer::new(&SigningKey::generate(&spec));
    for suite in archives.main.suites.iter_mut().chain(&mut archives.security.suites) {
        suite.date = late;
        suite.signers = vec![signer.clone()];
    }
    let http = Http::start();
    let mirrors = archives.render().serve(&http);
    let bench = Bench::new(&archives.keyring());
    let error = bench.open(&bench.request("jessie", &mirrors), 1_790_000_000).unwrap_err();
    assert!(told(&error).contains("outside of the suite's life"), "{}", told(&error));
}

fn trixie(packages: &[(&str, &str)]) -> Archives {
    Era::Trixie.archives(packages.iter().map(|(name, version)| Deb::new(name, version).build()))
}

#[test]
fn a_warm_start_asks_for_release_files_alone_and_an_offline_one_for_nothing() {
    let archives = trixie(&[("one", "1")]);
    let http = Http::start();
    let mirrors = archives.render().serve(&http);
    let bench = Bench::new(&archives.keyring());
    let request = bench.request("trixie", &mirrors);
    let now = Era::Trixie.date() + DAY;

    let record = Record::default();
    let offline = Context { offline: true, ..bench.context(now, &record) };
    let error = acquire::open(&request, &offline).unwrap_err();
    assert_eq!(error.to_string(), "the Release file of trixie is not in the cache, and the network may not be used");

    let cold = bench.get(&request, now, &["one"]).unwrap();
    let asked = http.requests();
    let warm = bench.get(&request, now, &["one"]).unwrap();
    assert_eq!(warm, cold);
    let after: Vec<String> = http.asked().split_off(asked);
    assert!(after.iter().all(|path| path.ends_with("InRelease")), "{after:?}");
    assert_eq!(after.len(), 3, "{after:?}");

    let asked = http.requests();
    let acquired = acquire::open(&request, &offline).unwrap();
    let wanted = wanted(&acquired, &["one"]).unwrap();
    assert_eq!(acquire::fetch(&wanted, 4, &offline).unwrap().paths, cold);
    assert_eq!(http.requests(), asked);
    assert!(record.has("Packages: 0 to fetch, 1 cached"));

    std::fs::remove_file(&cold[0]).unwrap();
    let error = acquire::fetch(&wanted, 4, &offline).unwrap_err();
    let name = format!("package one 1 {}", wanted[0].name.rsplit(' ').next().unwrap());
    assert_eq!(error.to_string(), format!("{name} is not in the cache, and the network may not be used"));
}

#[test]
fn an_older_release_file_of_the_same_signer_is_refused() {
    let mut archives = trixie(&[("one", "1")]);
    let now = Era::Trixie.date() + 3 * DAY;
    let bench = Bench::new(&archives.keyring());
    let old = Http::start();
    let mirrors = archives.render().serve(&old);
    let mut request = bench.request("trixie", &mirrors);
    archives.release().date += 2 * DAY;
    let new = Http::start();
    let newer = bench.request("trixie", &archives.render().serve(&new));
    bench.open(&newer, now).unwrap();
    let error = bench.open(&request, now).unwrap_err();
    assert!(told(&error).contains("is 2 days older than the newest one seen"), "{}", told(&error));
    assert!(error.hint().unwrap().contains("--allow-downgrade"));
    // Of several signatures one is enough, so that a document may lose the one that was seen.
    archives.release().date -= 2 * DAY;
    archives.release().signers.remove(0);
    let stripped = Http::start();
    let stripped = bench.request("trixie", &archives.render().serve(&stripped));
    let error = bench.open(&stripped, now).unwrap_err();
    assert!(told(&error).contains("is 2 days older than the newest one seen"), "{}", told(&error));
    request.checks.allow_downgrade = true;
    bench.open(&request, now).unwrap();
}

#[test]
fn an_index_that_another_took_the_place_of_is_removed() {
    let indexes = |bench: &Bench| {
        let folder = std::fs::read_dir(bench.folder.path().join("store/cache/indexes")).unwrap();
        folder.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "packages")).count()
    };
    let mut archives = trixie(&[("one", "1")]);
    let now = Era::Trixie.date() + 3 * DAY;
    let bench = Bench::new(&archives.keyring());
    let old = Http::start();
    bench.open(&bench.request("trixie", &archives.render().serve(&old)), now).unwrap();
    let before = indexes(&bench);
    archives.release().date += DAY;
    let release = archives.release().clone();
    *archives.release() = release.package(Deb::new("two", "2").build());
    let new = Http::start();
    let acquired = bench.open(&bench.request("trixie", &archives.render().serve(&new)), now).unwrap();
    assert_eq!(wanted(&acquired, &["one", "two"]).unwrap().len(), 2);
    assert_eq!(indexes(&bench), before);
}

#[test]
fn another_pocket_of_the_same_keys_is_no_replacement() {
    // All of them say `Codename: focal`, and one key signs all.
    let archives = Era::Focal.archives([Deb::new("one", "1").build()]);
    let now = Era::Focal.date() + DAY;
    let bench = Bench::new(&archives.keyring());
    for (from, to) in [("focal-updates", "focal"), ("focal", "focal-security")] {
        let mut rendered = archives.render();
        let release = rendered.site.get(&format!("ubuntu/dists/{from}/InRelease")).to_vec();
        rendered.site.put(&format!("ubuntu/dists/{to}/InRelease"), release);
        let http = Http::start();
        let error = bench.open(&bench.request("focal", &rendered.serve(&http)), now).unwrap_err();
        assert!(matches!(&error, AcquireError::WrongSuite { wanted, .. } if wanted == to), "{}", told(&error));
    }
    // Debian's security archive called its suites as the others up to buster.
    let archives = Era::Buster.archives([Deb::new("one", "1").build()]);
    let bench = Bench::new(&archives.keyring());
    for (from, to) in [
        ("debian-security/dists/buster/updates", "debian/dists/buster"),
        ("debian/dists/buster", "debian-security/dists/buster/updates"),
    ] {
        let mut rendered = archives.render();
        let release = rendered.site.get(&format!("{from}/InRelease")).to_vec();
        rendered.site.put(&format!("{to}/InRelease"), release);
        let http = Http::start();
        let request = bench.request("buster", &rendered.serve(&http));
        let error = bench.open(&request, Era::Buster.date() + DAY).unwrap_err();
        assert!(matches!(error, AcquireError::WrongSuite { .. }), "{}", told(&error));
    }
}

#[test]
fn the_next_mirror_is_asked_where_one_fails() {
    let archives = trixie(&[("one", "1")]);
    let (good, bad) = (Http::start(), Http::start());
    let rendered = archives.render();
    let mut mirrors = vec![bad.url("/debian")];
    mirrors.extend(rendered.serve(&good));
    bad.serve("/debian/dists/trixie/InRelease", bedplate_testkit::Reply::status(503));
    let bench = Bench::new(&archives.keyring());
    let mut request = bench.request("trixie", &mirrors);
    let now = Era::Trixie.date() + DAY;
    let record = Record::default();
    let acquired = acquire::open(&request, &bench.context(now, &record)).unwrap();
    assert!(record.has("asking the next mirror"));
    assert_eq!(acquired.sources[0].mirrors.len(), 2);
    let wanted = wanted(&acquired, &["one"]).unwrap();
    acquire::fetch(&wanted, 4, &bench.context(now, &record)).unwrap();

    // No mirror has it: the archive is wrong, which is the user's matter.
    request.mirrors.truncate(1);
    request.mirrors[0].url = bad.url("/empty");
    request.pockets = Some(vec![bedplate_bootstrap::distribution::Pocket::Release]);
    let error = bench.open(&request, now).unwrap_err();
    assert!(error.to_string().ends_with("/empty has no suite \"trixie\": neither InRelease nor Release"), "{error}");
}

#[test]
fn a_package_of_a_size_that_no_package_has_is_refused() {
    let huge = Listing::new(Deb::new("one", "1").build()).claim("Size", &u64::MAX.to_string());
    let archives = Era::Trixie.archives([huge]);
    let http = Http::start();
    let bench = Bench::new(&archives.keyring());
    let request = bench.request("trixie", &archives.render().serve(&http));
    let acquired = bench.open(&request, Era::Trixie.date() + DAY).unwrap();
    let error = wanted(&acquired, &["one"]).unwrap_err();
    assert!(matches!(error, AcquireError::TooLarge { size: u64::MAX, .. }), "{}", told(&error));
    // Nor can a lock be made of it, which has no number that large.
    let index = PackagesIndex::parse(&acquired.sources[0].indexes[0].bytes).unwrap();
    let locked = LockedPackage::of(&index.packages()[0], &acquired.sources[0], LockedRole::Included);
    assert!(matches!(locked, Err(AcquireError::TooLarge { .. })));
}

#[test]
fn a_mirror_that_fell_silent_is_asked_last() {
    let names = ["one", "two", "three"];
    let archives = trixie(&names.map(|name| (name, "1")));
    let (silent, good) = (Http::start(), Http::start());
    let rendered = archives.render();
    let mut mirrors = rendered.serve(&silent);
    mirrors.push(rendered.serve(&good).remove(0));
    let bench = Bench::new(&archives.keyring());
    let now = Era::Trixie.date() + DAY;
    let acquired = bench.open(&bench.request("trixie", &mirrors), now).unwrap();
    let wanted = wanted(&acquired, &names).unwrap();
    for wanted in &wanted {
        let body = vec![0; usize::try_from(wanted.size).unwrap()];
        silent.serve(&format!("/debian/{}", wanted.path), bedplate_testkit::Reply::ok(body).hanging(0));
    }
    let before = silent.requests();
    let record = Record::default();
    acquire::fetch(&wanted, 1, &bench.context(now, &record)).unwrap();
    // Once, and once more, for the first package alone.
    assert_eq!(silent.requests() - before, 2, "{:?}", silent.asked());
    assert!(record.has("asking the next mirror"));
}

/// Each form of an index would take as long as the first.
#[test]
fn a_silent_mirror_is_not_asked_for_other_forms_of_an_index() {
    let archives = trixie(&[("one", "1")]);
    let (silent, good) = (Http::start(), Http::start());
    let rendered = archives.render();
    let mut mirrors = rendered.serve(&silent);
    let forms: Vec<String> =
        rendered.site.paths().filter(|path| path.contains("trixie/main/")).map(Into::into).collect();
    assert!(forms.len() > 3, "{forms:?}");
    for path in &forms {
        silent.serve(&format!("/{path}"), bedplate_testkit::Reply::silent());
    }
    let asked = || silent.asked().iter().filter(|path| path.contains("trixie/main/")).count();
    let now = Era::Trixie.date() + DAY;
    let bench = Bench::new(&archives.keyring());
    let error = bench.open(&bench.request("trixie", &mirrors), now).unwrap_err();
    assert!(told(&error).contains("waiting for the answer took longer than 0.3 s"), "{}", told(&error));
    assert!(error.hint().unwrap().contains("was not asked for anything else"));
    // Once, and once more.
    assert_eq!(asked(), 2, "{:?}", silent.asked());

    // Nor for packages, where another mirror has served the index.
    mirrors.push(rendered.serve(&good).remove(0));
    let bench = Bench::new(&archives.keyring());
    let before = silent.asked().len();
    assert_eq!(bench.get(&bench.request("trixie", &mirrors), now, &["one"]).unwrap().len(), 1);
    let after = silent.asked().split_off(before);
    assert_eq!(after.iter().filter(|path| path.contains("trixie/main/")).count(), 2, "{after:?}");
    assert!(after.iter().all(|path| !path.ends_with(".deb")), "{after:?}");
}

/// What `by-hash` is for: the archive was pushed between the question for its Release file and that for an index.
#[test]
fn an_index_of_yesterday_is_had_by_its_digest() {
    let mut archives = trixie(&[("one", "1")]);
    let mut site = archives.render();
    let release = site.site.get("debian/dists/trixie/InRelease").to_vec();
    archives.release().date += DAY;
    let later = archives.release().clone();
    *archives.release() = later.package(Deb::new("two", "2").build());
    site.site.mount("", &archives.render().site);
    site.site.put("debian/dists/trixie/InRelease", release);
    let http = Http::start();
    let bench = Bench::new(&archives.keyring());
    let request = bench.request("trixie", &site.serve(&http));
    let acquired =
        bench.open(&request, Era::Trixie.date() + 2 * DAY).unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(wanted(&acquired, &["one", "two"]).unwrap().len(), 1);
}

#[test]
fn folders_and_flat_repositories_are_archives_too() {
    let archives = trixie(&[("one", "1")]);
    let bench = Bench::new(&archives.keyring());
    let folder = tempfile::tempdir().unwrap();
    archives.render().site.write_to(folder.path());
    let flat =
        Suite { flat: true, path: "extra".into(), signature_files: SignatureFiles::Unsigned, ..Suite::new("extra") };
    let flat = Repository::new([flat.package(Deb::new("local", "3").build())]);
    flat.render().write_to(&folder.path().join("flat"));
    let root = folder.path().to_str().unwrap();
    let mirrors = archives.render().mirrors(root);
    let mut request = bench.request("trixie", &mirrors);
    let now = Era::Trixie.date() + DAY;
    request.extra_sources = vec![format!("deb file:{root}/flat extra/")];
    let error = bench.get(&request, now, &["local"]).unwrap_err();
    assert!(told(&error).contains("not signed"), "{}", told(&error));
    request.extra_sources = vec![format!("deb [trusted=yes] file:{root}/flat extra/")];
    let paths = bench.get(&request, now, &["one", "local"]).unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(paths.len(), 2);
}

#[test]
fn an_unsigned_archive_is_taken_where_asked_and_recorded() {
    let mut archives = trixie(&[("one", "1")]);
    for suite in &mut archives.main.suites {
        suite.signature_files = SignatureFiles::Unsigned;
    }
    let http = Http::start();
    let mirrors = archives.render().serve(&http);
    let bench = Bench::new(&archives.security.keyring());
    let mut request = bench.request("trixie", &mirrors);
    let now = Era::Trixie.date() + DAY;
    assert!(told(&bench.open(&request, now).unwrap_err()).contains("not signed"));
    request.checks.unsigned = vec![http.url("/debian")];
    let record = Record::default();
    let acquired = acquire::open(&request, &bench.context(now, &record)).unwrap();
    let signed: Vec<bool> = acquired.sources.iter().map(|source| source.release.signer.is_some()).collect();
    assert_eq!(signed, [false, false, true]);
    assert!(record.has("is not signed: taken without verification, as asked"));
    let lock = Lock::new(&request, &acquired.plan, locked_sources(&acquired), 0, vec![], vec![]);
    assert_eq!(lock.sources[0].signer, None);
}

#[test]
fn a_release_file_may_have_sha_512_alone() {
    for (packings, plain_listed) in [(vec![Packing::Xz], true), (vec![Packing::Gzip], false)] {
        let mut archives = trixie(&[("one", "1")]);
        for suite in archives.main.suites.iter_mut().chain(&mut archives.security.suites) {
            suite.hashes = vec![Hash::Md5, Hash::Sha512];
            (suite.packings, suite.plain_listed) = (packings.clone(), plain_listed);
        }
        let http = Http::start();
        let mut rendered = archives.render();
        let mirrors = rendered.serve(&http);
        let bench = Bench::new(&archives.keyring());
        let now = Era::Trixie.date() + DAY;
        let request = bench.request("trixie", &mirrors);
        bench.get(&request, now, &["one"]).unwrap_or_else(|error| panic!("{}", told(&error)));
        // What was verified is found again.
        let offline = Context { offline: true, ..bench.context(now, &Quiet) };
        acquire::open(&request, &offline).unwrap_or_else(|error| panic!("{}", told(&error)));
        // Other bytes of the same length are refused.
        let changed = rendered.site.change("/binary-", |bytes| bytes.iter().map(|byte| byte ^ 1).collect());
        assert!(changed > 0);
        let other = Http::start();
        let bench = Bench::new(&archives.keyring());
        let error = bench.open(&bench.request("trixie", &rendered.serve(&other)), now).unwrap_err();
        assert!(told(&error).contains("expected sha512:"), "{}", told(&error));
    }
}

#[test]
fn whose_signature_it_is_does_not_matter_where_none_is_asked_for() {
    let archives = trixie(&[("one", "1")]);
    let http = Http::start();
    let mirrors = archives.render().serve(&http);
    let bench = Bench::new(&Era::Jessie.archives([Deb::new("x", "1")]).keyring());
    let mut request = bench.request("trixie", &mirrors);
    let now = Era::Trixie.date() + DAY;
    assert!(told(&bench.open(&request, now).unwrap_err()).contains("signed by no trusted key"));
    request.checks.no_signatures = true;
    let acquired = bench.open(&request, now).unwrap_or_else(|error| panic!("{}", told(&error)));
    assert!(acquired.sources.iter().all(|source| source.release.signer.is_none()));
    assert_eq!(acquired.sources[0].release.codename.as_deref(), Some("trixie"));
}

#[test]
fn all_packages_may_have_an_index_of_their_own() {
    let mut archives = trixie(&[("one", "1")]);
    archives.release().all = AllPackages::Separate;
    let http = Http::start();
    let mirrors = archives.render().serve(&http);
    let bench = Bench::new(&archives.keyring());
    let acquired = bench.open(&bench.request("trixie", &mirrors), Era::Trixie.date() + DAY).unwrap();
    let architectures: Vec<&str> =
        acquired.sources[0].indexes.iter().map(|index| index.architecture.as_str()).collect();
    assert_eq!(architectures, [acquired.plan.architecture.as_str(), "all"]);
    assert_eq!(wanted(&acquired, &["one"]).unwrap().len(), 1);
}

#[test]
fn what_a_suite_lacks_is_named_with_what_it_has() {
    let archives = trixie(&[("one", "1")]);
    let http = Http::start();
    let mirrors = archives.render().serve(&http);
    let bench = Bench::new(&archives.keyring());
    let now = Era::Trixie.date() + DAY;
    let mut request = bench.request("trixie", &mirrors);
    request.components = vec!["main".into(), "contrib".into()];
    assert_eq!(bench.open(&request, now).unwrap_err().to_string(), "trixie has no component \"contrib\": main exist");
    request.components.clear();
    request.architecture = Some("hurd-i386".into());
    let text = bench.open(&request, now).unwrap_err().to_string();
    assert!(text.starts_with("trixie has no architecture \"hurd-i386\": "), "{text}");
    request.architecture = None;
    request.keyrings = vec![PathBuf::from("/nonexistent/keyring.gpg")];
    let error = bench.open(&request, now).unwrap_err();
    assert_eq!(error.to_string(), "keyring \"/nonexistent/keyring.gpg\" does not exist");
    assert_eq!(error.kind(), Kind::User);
}

#[test]
fn an_expired_release_file_is_taken_where_nobody_checks() {
    let launched = Attack::ExpiredRelease.launch(None);
    let bench = Bench::new(&launched.keyring);
    let mut request = bench.request(launched.suite(), &launched.mirrors);
    let error = bench.open(&request, launched.now).unwrap_err();
    assert!(error.to_string().ends_with("expired 53 days ago"), "{error}");
    request.checks.valid_until = Some(false);
    let record = Record::default();
    acquire::open(&request, &bench.context(launched.now, &record)).unwrap();
    let expected = Notice::Expired { suite: "bookworm-security".into(), age: 53 * 86_400 };
    assert!(record.has(&expected.to_string()));
}

#[test]
fn a_lock_needs_neither_index_nor_the_same_mirror() {
    let archives = trixie(&[("one", "1"), ("two", "2")]);
    let now = Era::Trixie.date() + DAY;
    let bench = Bench::new(&archives.keyring());
    let first = Http::start();
    let request = bench.request("trixie", &archives.render().serve(&first));
    let acquired = bench.open(&request, now).unwrap();
    let mut packages = Vec::new();
    for source in &acquired.sources {
        for index in &source.indexes {
            for package in PackagesIndex::parse(&index.bytes).unwrap().packages() {
                packages.push(LockedPackage::of(package, source, LockedRole::Included).unwrap());
            }
        }
    }
    let text = Lock::new(&request, &acquired.plan, locked_sources(&acquired), 5, vec![], packages).to_toml();
    assert!(!text.contains("127.0.0.1"), "{text}");

    let lock = Lock::parse(&text).unwrap();
    let other = Http::start();
    let mut request = lock.request().unwrap();
    request.mirrors = archives.render().serve(&other).iter().map(|text| Mirror::parse(text)).collect();
    let plan = acquire::plan(&request, &bench.host).unwrap();
    let wanted = lock.wanted(&plan).unwrap();
    let fetched = acquire::fetch(&wanted, 1, &bench.context(now, &Quiet)).unwrap();
    assert_eq!(fetched.paths.len(), 2);
    assert!(other.asked().iter().all(|path| path.ends_with(".deb")), "{:?}", other.asked());
    // The image names what the lock recorded, not who served.
    assert_eq!(plan.image_sources[0].uri, "http://ftp.debian.org/debian");
}

#[test]
fn packages_are_handed_out_as_they_come() {
    let archives = trixie(&[("one", "1"), ("two", "2"), ("three", "3")]);
    let now = Era::Trixie.date() + DAY;
    let bench = Bench::new(&archives.keyring());
    let http = Http::start();
    let request = bench.request("trixie", &archives.render().serve(&http));
    let acquired = bench.open(&request, now).unwrap();
    let wanted = wanted(&acquired, &["one", "two", "three"]).unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    let ready = |n: usize, path: &Path| {
        assert!(path.is_file());
        seen.lock().unwrap().push(n);
    };
    for _ in ["cold", "warm"] {
        let record = Record::default();
        let first = FirstFailure::<AcquireError>::default();
        acquire::fetch_each(&wanted, 2, &bench.context(now, &record), &first, &ready).unwrap();
        first.into_result().unwrap();
        let mut numbers = std::mem::take(&mut *seen.lock().unwrap());
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2]);
        assert!(record.has(&format!("{:?}: ", Stage::Packages)));
    }
}

#[test]
fn downloads_that_are_of_no_use_any_more_do_not_begin() {
    let archives = trixie(&[("one", "1"), ("two", "2"), ("three", "3")]);
    let now = Era::Trixie.date() + DAY;
    let bench = Bench::new(&archives.keyring());
    let http = Http::start();
    let request = bench.request("trixie", &archives.render().serve(&http));
    let acquired = bench.open(&request, now).unwrap();
    let wanted = wanted(&acquired, &["one", "two", "three"]).unwrap();
    let before = http.requests();
    let first = FirstFailure::<AcquireError>::default();
    // As a decoder does that finds the first package broken.
    let ready = |n: usize, _: &Path| {
        first.record(n, AcquireError::NoMirror { what: format!("package {n}") });
        first.stop();
    };
    acquire::fetch_each(&wanted, 1, &bench.context(now, &Quiet), &first, &ready).unwrap();
    assert_eq!(http.requests() - before, 1, "{:?}", http.asked());
    assert!(first.into_result().is_err());
}

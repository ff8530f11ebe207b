//! What attackers, broken mirrors and bad packages do to a bootstrap.

use super::archive::{Listing, SignatureFiles, Site, Suite};
use super::deb::{Built, Deb, Item, Kind, Packing};
use super::era::{Archives, Era, Rendered};
use super::hash::Hash;
use super::sign::{KeySpec, Signer, SigningKey};
use super::world::World;
use crate::{Http, Random, Reply};
use std::path::PathBuf;
use std::sync::Arc;

/// The release whose archive is attacked.
const ERA: Era = Era::Bookworm;

/// Seconds of a day.
const DAY: u64 = 86400;

/// Bytes that a bomb expands to: far more than any index or the memory that a reader may take.
const BOMB: usize = 2 << 30;

/// One way to attack; every other part of the archive is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attack {
    /// None: the same archive, unharmed, to show that it is the attack that fails.
    None,
    /// Bytes of the signature are others.
    ForgedSignature,
    /// The text under the signature is another.
    ChangedText,
    /// `InRelease` holds the text only, and there is no `Release.gpg`.
    StrippedSignature,
    /// `Release` only.
    Unsigned,
    /// Signed by a key that nobody trusts.
    UnknownKey,
    /// Signed, in its life, by a key that has expired since.
    ExpiredKey,
    /// The keyring knows that the key was revoked.
    RevokedKey,
    /// A weak digest under the only signature.
    WeakDigest,
    /// The signature lies in the future.
    SignedInFuture,
    /// Text before and after the signed message.
    TextOutside,
    /// `Valid-Until` of the security pocket has passed.
    ExpiredRelease,
    /// `Date` lies in the future.
    FutureRelease,
    /// Another suite's `Release`, signed by a trusted key, in the place of this one's.
    WrongSuite,
    /// An index that nobody signed in the place of this one's.
    OtherIndex,
    /// The signed index of another time in the place of this one's.
    MixedTime,
    /// Another pocket's signed index in the place of this one's.
    MixedSuite,
    /// Another component's signed index in the place of this one's.
    MixedComponent,
    /// Another architecture's signed index in the place of this one's.
    MixedArchitecture,
    /// The server sends an `InRelease` that never ends.
    EndlessRelease,
    /// The server sends an index that never ends.
    EndlessIndex,
    /// A small index that expands to gigabytes, listed truly.
    IndexBomb,
    /// An index said to have more bytes than there are disks.
    HugeIndex,
    /// A stanza without its end, thousands of fields long.
    EndlessStanza,
    /// A package outside the archive's root by `..`.
    FilenameWithDots,
    /// A package at an absolute path or URL.
    FilenameAbsolute,
    /// A package with other bytes of the same number.
    WrongHash,
    /// A package with more bytes than listed.
    WrongSize,
    /// The server closes in the middle of a package, again and again.
    Truncated,
    /// The server sends half a package and then nothing.
    Hanging,
    /// The server takes the question for `InRelease` and says nothing.
    HangingRelease,
    /// The server takes the question for any form of an index and says nothing.
    HangingIndex,
    /// The server answers every package with 503.
    ServerErrors,
    /// The server answers `InRelease` with 500.
    InReleaseErrors,
    /// The server has no `InRelease`, and answers `Release` with 502.
    ReleaseErrors,
    /// The server answers `Release.gpg`, without which `Release` is unsigned, with 504.
    SignatureErrors,
    /// The server answers the security pocket's `InRelease` with 503: no reason to go without it.
    SecurityErrors,
    /// The server answers every form of an index with 503.
    IndexErrors,
    /// The package is not there.
    NotFound,
    /// No `.deb` at all, though hash and size are as listed.
    NoPackage,
    /// The payload's expansion is gigabytes.
    PayloadBomb,
    /// A control archive of gigabytes.
    ControlBomb,
    /// A file at a path with `..`.
    EscapeByDots,
    /// A file at an absolute path with `..`, as another package would never have.
    EscapeByAbsolute,
    /// A symbolic link out of the root, then a file through it.
    EscapeBySymlink,
    /// The same with an absolute target and a chain of links.
    EscapeByChain,
    /// A hard link to a file outside.
    EscapeByHardlink,
    /// The control file has another name than the index.
    OtherName,
    /// The control file has another version than the index.
    OtherVersion,
    /// The control file has another architecture than the index.
    OtherArchitecture,
    /// Two packages with one file, without Replaces.
    Overlap,
    /// A postinst that fails.
    ScriptFails,
    /// A preinst that fails.
    PreinstFails,
    /// A postinst that never ends.
    ScriptHangs,
    /// A postinst that leaves a daemon.
    ScriptForks,
    /// A preinst that reaches for the kernel's settings and the machine's devices; it fails where it gets at one.
    ScriptMeddles,
}

impl Attack {
    /// Those before a package is unpacked: signatures, indexes, downloads.
    pub const ARCHIVE: [Attack; 39] = [
        Attack::ForgedSignature,
        Attack::ChangedText,
        Attack::StrippedSignature,
        Attack::Unsigned,
        Attack::UnknownKey,
        Attack::ExpiredKey,
        Attack::RevokedKey,
        Attack::WeakDigest,
        Attack::SignedInFuture,
        Attack::TextOutside,
        Attack::ExpiredRelease,
        Attack::FutureRelease,
        Attack::WrongSuite,
        Attack::OtherIndex,
        Attack::MixedTime,
        Attack::MixedSuite,
        Attack::MixedComponent,
        Attack::MixedArchitecture,
        Attack::EndlessRelease,
        Attack::EndlessIndex,
        Attack::IndexBomb,
        Attack::HugeIndex,
        Attack::EndlessStanza,
        Attack::FilenameWithDots,
        Attack::FilenameAbsolute,
        Attack::WrongHash,
        Attack::WrongSize,
        Attack::Truncated,
        Attack::Hanging,
        Attack::HangingRelease,
        Attack::HangingIndex,
        Attack::ServerErrors,
        Attack::InReleaseErrors,
        Attack::ReleaseErrors,
        Attack::SignatureErrors,
        Attack::SecurityErrors,
        Attack::IndexErrors,
        Attack::NotFound,
        Attack::NoPackage,
    ];

    /// Those of a package's content.
    pub const PACKAGE: [Attack; 11] = [
        Attack::PayloadBomb,
        Attack::ControlBomb,
        Attack::EscapeByDots,
        Attack::EscapeByAbsolute,
        Attack::EscapeBySymlink,
        Attack::EscapeByChain,
        Attack::EscapeByHardlink,
        Attack::OtherName,
        Attack::OtherVersion,
        Attack::OtherArchitecture,
        Attack::Overlap,
    ];

    /// Those of maintainer scripts; they need a [`World`].
    pub const SCRIPT: [Attack; 5] =
        [Attack::ScriptFails, Attack::PreinstFails, Attack::ScriptHangs, Attack::ScriptForks, Attack::ScriptMeddles];

    /// Serves an attacked archive. Scripts run only beside the packages of a `world`; without one the archive holds the
    /// package `victim` (and what the attack adds), which is unpacked without being configured.
    #[must_use]
    pub fn launch(self, world: Option<&World>) -> Launched {
        let secret = Random::new(u64::from(std::process::id()) ^ (self as u64) << 32).number();
        let outside = std::env::temp_dir().join(format!("bedplate-outside-{secret:016x}"));
        let mut plan = Plan::new(self, world, &outside.to_string_lossy(), secret);
        plan.sign(self);
        let mut rendered = plan.archives.render();
        plan.damage(self, &mut rendered);
        let http = Http::start();
        let mirrors = rendered.serve(&http);
        plan.serve(self, &rendered, &http);
        let arguments = match world {
            Some(_) => ["--variant", "essential", "--include", "victim"],
            None => ["--variant", "extract", "--include", "victim"],
        };
        Launched {
            keyring: plan.keyring.unwrap_or_else(|| plan.archives.keyring()),
            archives: plan.archives,
            http,
            mirrors,
            arguments: arguments.map(str::to_owned).to_vec(),
            now: plan.now,
            outside,
            marker: marker(secret),
        }
    }
}

/// A word that only the attack's processes have in their command line.
fn marker(secret: u64) -> String {
    format!("31536000.{:09}", secret % 1_000_000_000)
}

/// A served archive under attack.
#[derive(Debug)]
pub struct Launched {
    /// The server.
    pub http: Http,
    /// What follows `--mirror`, once for each.
    pub mirrors: Vec<String>,
    /// The keyring of a user who trusts the archive.
    pub keyring: Vec<u8>,
    /// The archive's description.
    pub archives: Archives,
    /// Arguments that make the command meet the attack.
    pub arguments: Vec<String>,
    /// The time at which the command should believe to run, seconds since the epoch.
    pub now: u64,
    /// A path that exists only if the attack got out of the root.
    pub outside: PathBuf,
    /// A word in the command line of every process that the attack leaves.
    pub marker: String,
}

impl Launched {
    /// The suite's word for the command line.
    #[must_use]
    pub fn suite(&self) -> &'static str {
        ERA.codename()
    }

    /// Whether a process of the attack still runs on this machine.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let Ok(processes) = std::fs::read_dir("/proc") else { return false };
        processes.flatten().any(|process| {
            let own = process.file_name() == *std::process::id().to_string();
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            !own && line.windows(self.marker.len()).any(|window| window == self.marker.as_bytes())
        })
    }
}

/// An attack in the making.
struct Plan {
    archives: Archives,
    now: u64,
    /// In place of the archive's own keys.
    keyring: Option<Vec<u8>>,
}

fn victim() -> Deb {
    Deb::new("victim", "1.0").file("/usr/share/victim/file", 0o644, "victim\n").packed(Packing::Gzip, Packing::Gzip)
}

impl Plan {
    fn new(attack: Attack, world: Option<&World>, outside: &str, secret: u64) -> Plan {
        let mut packages: Vec<Listing> = packages(attack, outside, secret);
        packages.extend(world.into_iter().flat_map(|world| world.packages.iter().cloned()).map(Listing::new));
        let now = ERA.date() + DAY;
        Plan { archives: ERA.archives(packages), now, keyring: None }
    }

    fn all_suites(&mut self) -> impl Iterator<Item = &mut Suite> {
        self.archives.main.suites.iter_mut().chain(&mut self.archives.security.suites)
    }

    fn sign_all(&mut self, signer: &Signer) {
        for suite in self.all_suites() {
            suite.signers = vec![signer.clone()];
        }
    }

    /// What changes before the archive is signed.
    fn sign(&mut self, attack: Attack) {
        let date = ERA.date();
        match attack {
            // One good signature is enough: the other must not be there to save the document.
            Attack::ForgedSignature => {
                for suite in self.all_suites() {
                    suite.signers.truncate(1);
                }
            }
            Attack::Unsigned => self.archives.release().signature_files = SignatureFiles::Unsigned,
            Attack::UnknownKey => {
                self.keyring = Some(self.archives.keyring());
                self.sign_all(&Signer::new(&SigningKey::generate(&KeySpec {
                    created: date - DAY,
                    ..KeySpec::default()
                })));
            }
            Attack::ExpiredKey => {
                let spec = KeySpec { created: date - 100 * DAY, lifetime: Some(105 * DAY), ..KeySpec::default() };
                self.sign_all(&Signer::new(&SigningKey::generate(&spec)));
                self.now = date + 30 * DAY;
                // So that nothing but the key is old.
                for suite in self.all_suites() {
                    suite.valid_until = None;
                }
            }
            Attack::RevokedKey => {
                let key = SigningKey::generate(&KeySpec { created: date - DAY, ..KeySpec::default() });
                self.keyring = Some(key.revoked());
                self.sign_all(&Signer::new(&key));
            }
            Attack::WeakDigest => {
                let key = SigningKey::generate(&KeySpec { created: date - DAY, ..KeySpec::default() });
                self.sign_all(&Signer::new(&key).hash(Hash::Sha1));
            }
            Attack::SignedInFuture => {
                let now = self.now;
                for suite in self.all_suites() {
                    for signer in &mut suite.signers {
                        signer.at = Some(now + 30 * DAY);
                    }
                }
            }
            Attack::ExpiredRelease => self.now = date + 60 * DAY,
            Attack::FutureRelease => {
                let now = self.now;
                let release = self.archives.release();
                release.date = now + 30 * DAY;
                for signer in &mut release.signers {
                    signer.at = Some(now);
                }
            }
            Attack::WrongSuite => {
                let release = self.archives.release();
                "oldstable".clone_into(&mut release.suite);
                "bullseye".clone_into(&mut release.codename);
            }
            // Of the same length to the byte, so that only digests tell one index from the other.
            Attack::MixedTime => self.archives.release().packings = vec![Packing::Plain],
            Attack::MixedSuite => {
                let updates = &mut self.archives.main.suites[1];
                updates.packages.push(Listing::new(victim().build()).claim("Version", "9"));
            }
            Attack::MixedComponent => {
                let release = self.archives.release();
                release.components.push("contrib".to_owned());
                release.packages.push(Listing::new(victim().build()).component("contrib").claim("Version", "9"));
            }
            Attack::MixedArchitecture => {
                let release = self.archives.release();
                release.architectures.push(foreign().to_owned());
                release.packages.push(Listing::new(victim().architecture(foreign()).build()).claim("Version", "9"));
            }
            _ => {}
        }
    }

    /// What changes behind the signature's back.
    fn damage(&mut self, attack: Attack, rendered: &mut Rendered) {
        let main = format!("{}/", self.archives.release().folder());
        let main = format!("{}/{}", rendered.main, main.trim_end_matches('/'));
        let site = &mut rendered.site;
        let in_release = format!("{main}/InRelease");
        match attack {
            Attack::ForgedSignature => {
                for name in ["InRelease", "Release.gpg"] {
                    site.change(&format!("{main}/{name}"), forged);
                }
            }
            Attack::ChangedText => {
                site.change(&format!("{main}/"), |bytes| replaced(bytes, b"Label: Debian", b"Label: Forged"));
            }
            Attack::StrippedSignature => {
                let text = site.get(&format!("{main}/Release")).to_vec();
                site.put(&in_release, text).remove(&format!("{main}/Release.gpg"));
            }
            Attack::TextOutside => {
                let document = site.get(&in_release).to_vec();
                let outside = b"Origin: Attacker\nSuite: stable\n\n";
                site.put(&in_release, [&outside[..], &document, outside].concat());
                site.remove(&format!("{main}/Release")).remove(&format!("{main}/Release.gpg"));
            }
            Attack::OtherIndex => {
                let other = ERA.release(&[]).package(Deb::new("victim", "9"));
                let other = super::archive::Repository::new([other]).render();
                for packing in [Packing::Gzip, Packing::Xz] {
                    let name = format!("Packages{}", packing.extension());
                    let index = other.paths().find(|path| path.ends_with(&name)).map(|path| other.get(path).to_vec());
                    let index = index.expect("every archive has an index");
                    site.change(&format!("{main}/main/"), |bytes| {
                        if bytes.starts_with(&index[..2]) { index.clone() } else { bytes.to_vec() }
                    });
                }
            }
            Attack::MixedTime => {
                let mut later = self.archives.main.clone();
                for listing in &mut later.suites[0].packages {
                    listing.claims.push(("Version".to_owned(), "1.1".to_owned()));
                }
                let folder = format!("{}main/{}", self.archives.release().folder(), native_folder());
                mix(site, &format!("{}/{folder}", rendered.main), &later.render(), &folder);
            }
            Attack::MixedSuite | Attack::MixedComponent | Attack::MixedArchitecture => {
                let from = match attack {
                    Attack::MixedSuite => format!("{main}-updates/main/{}", native_folder()),
                    Attack::MixedComponent => format!("{main}/contrib/{}", native_folder()),
                    _ => format!("{main}/main/binary-{}/", foreign()),
                };
                let whole = site.clone();
                mix(site, &format!("{main}/main/{}", native_folder()), &whole, &from);
            }
            Attack::IndexBomb | Attack::HugeIndex | Attack::EndlessStanza => {
                let release = self.archives.release().clone();
                self.relist(attack, &release, rendered);
            }
            _ => {}
        }
    }

    /// Puts another index into a suite, listed and signed as if it were the true one.
    fn relist(&self, attack: Attack, suite: &Suite, rendered: &mut Rendered) {
        let architecture = &suite.architectures[0];
        let path = format!("main/binary-{architecture}/Packages.xz");
        let (bytes, claimed): (Vec<u8>, Option<u64>) = match attack {
            Attack::IndexBomb => (bomb(), None),
            Attack::EndlessStanza => {
                let mut text = "Package: victim\n".to_owned();
                for n in 0..3_000_000 {
                    text.push_str(&format!("F{n}: x\n"));
                }
                (Packing::Xz.pack(text.as_bytes()), None)
            }
            _ => (Packing::Xz.pack(b"Package: victim\n\n"), Some(1 << 60)),
        };
        let bytes: Arc<[u8]> = bytes.into();
        let mut text = suite.release(&[(path.clone(), Arc::clone(&bytes))]);
        if let Some(claimed) = claimed {
            text = text.replace(&format!(" {:>8} {path}", bytes.len()), &format!(" {claimed} {path}"));
        }
        let prefix = format!("{}/", rendered.main);
        let mut signed = Site::default();
        suite.sign(&text, &mut signed);
        signed.put(&format!("{}{path}", suite.folder()), &bytes);
        let gone: Vec<String> = rendered
            .site
            .paths()
            .filter(|name| name.starts_with(&format!("{prefix}{}main/", suite.folder())))
            .map(str::to_owned)
            .collect();
        for name in gone {
            rendered.site.remove(&name);
        }
        for hash in &suite.hashes {
            let folder = format!("{}main/binary-{architecture}", suite.folder());
            signed.put(&format!("{folder}/by-hash/{}/{}", hash.section(), hash.hex(&bytes)), &bytes);
        }
        rendered.site.mount(&prefix, &signed);
    }

    /// How the server fails.
    fn serve(&self, attack: Attack, rendered: &Rendered, http: &Http) {
        let fails = |part: &str, reply: fn(Vec<u8>) -> Reply| (part.to_owned(), reply);
        let release =
            |name: &str, reply: fn(Vec<u8>) -> Reply| fails(&format!("/dists/{}/{name}", ERA.codename()), reply);
        // beginning of names, or end of a path | what is answered in place of the bytes
        let failures = match attack {
            Attack::EndlessRelease => vec![release("InRelease", |bytes| Reply::ok(bytes).endless())],
            Attack::EndlessIndex => vec![release("main/", |bytes| Reply::ok(bytes).endless())],
            Attack::HangingRelease => vec![release("InRelease", |_| Reply::silent())],
            Attack::HangingIndex => vec![release("main/", |_| Reply::silent())],
            Attack::InReleaseErrors => vec![release("InRelease", |_| Reply::status(500))],
            Attack::ReleaseErrors => {
                vec![release("InRelease", |_| Reply::status(404)), release("Release", |_| Reply::status(502))]
            }
            Attack::SignatureErrors => {
                vec![release("InRelease", |_| Reply::status(404)), release("Release.gpg", |_| Reply::status(504))]
            }
            Attack::SecurityErrors => vec![fails("-security/InRelease", |_| Reply::status(503))],
            Attack::IndexErrors => vec![release("main/", |_| Reply::status(503))],
            Attack::Truncated => vec![fails("/victim_", |bytes| Reply::ok(&bytes[..]).cut(bytes.len() / 2))],
            Attack::Hanging => vec![fails("/victim_", |bytes| Reply::ok(&bytes[..]).hanging(bytes.len() / 2))],
            Attack::ServerErrors => vec![fails("/victim_", |_| Reply::status(503))],
            Attack::NotFound => vec![fails("/victim_", |_| Reply::status(404))],
            _ => return,
        };
        for path in rendered.site.paths() {
            let hits = |part: &str| if part.ends_with(['/', '_']) { path.contains(part) } else { path.ends_with(part) };
            if let Some((_, reply)) = failures.iter().find(|(part, _)| hits(part)) {
                http.serve(&format!("/{path}"), reply(rendered.site.get(path).to_vec()));
            }
        }
    }
}

/// Folder of the machine's own architecture below a component.
fn native_folder() -> String {
    format!("binary-{}/", super::archive::host_architecture())
}

/// An architecture that the machine has not.
fn foreign() -> &'static str {
    if super::archive::host_architecture() == "amd64" { "arm64" } else { "amd64" }
}

/// Serves the indexes of one folder in the place of another's, by name and by hash.
fn mix(site: &mut Site, folder: &str, source: &Site, from: &str) {
    for packing in [Packing::Plain, Packing::Gzip, Packing::Xz] {
        let name = format!("Packages{}", packing.extension());
        let path = format!("{folder}{name}");
        if !site.has(&path) {
            continue;
        }
        let (own, other) = (site.get(&path).to_vec(), source.get(&format!("{from}{name}")).to_vec());
        assert_ne!(own, other, "an attack that changes nothing");
        site.change(folder, |bytes| if bytes == own { other.clone() } else { bytes.to_vec() });
    }
}

/// The packages of an attack: `victim` and what goes with it.
fn packages(attack: Attack, outside: &str, secret: u64) -> Vec<Listing> {
    // Deeper than any folder a root may lie in.
    let up = "../".repeat(24);
    let inside = outside.trim_start_matches('/');
    let parent = outside.rsplit_once('/').map_or("/", |(parent, _)| parent);
    let name = outside.rsplit_once('/').map_or(outside, |(_, name)| name);
    let file = || Kind::File(b"outside\n"[..].into());
    let link = |path: &str, target: &str| (path.to_owned(), Kind::Symlink(target.to_owned()));
    let build = |deb: Deb| vec![Listing::new(deb.build())];
    match attack {
        Attack::FilenameWithDots => vec![Listing::new(victim().build()).claim("Filename", "pool/../../../etc/passwd")],
        Attack::FilenameAbsolute => vec![Listing::new(victim().build()).claim("Filename", "/etc/passwd")],
        Attack::WrongHash => {
            let built = victim().build();
            let mut bytes = built.bytes.to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            vec![Listing::new(built).served(bytes)]
        }
        Attack::WrongSize => {
            let built = victim().build();
            let bytes = [&built.bytes, &b"more"[..]].concat();
            vec![Listing::new(built).served(bytes)]
        }
        Attack::NoPackage => {
            let built = Built { bytes: b"<html>not what you want</html>\n"[..].into(), ..victim().build() };
            vec![Listing::new(built)]
        }
        Attack::PayloadBomb => {
            let mut built = victim().build();
            let members = [
                ("debian-binary".to_owned(), b"2.0\n".to_vec()),
                ("control.tar.gz".to_owned(), control_of(&built)),
                ("data.tar.xz".to_owned(), bomb()),
            ];
            built.bytes = super::deb::ar(&members, 0).into();
            vec![Listing::new(built)]
        }
        Attack::ControlBomb => {
            let mut built = victim().build();
            let members = [
                ("debian-binary".to_owned(), b"2.0\n".to_vec()),
                ("control.tar.xz".to_owned(), bomb()),
                ("data.tar".to_owned(), victim().data_tar()),
            ];
            built.bytes = super::deb::ar(&members, 0).into();
            vec![Listing::new(built)]
        }
        Attack::EscapeByDots => build(victim().verbatim(&format!("./{up}{inside}"), file(), 0o644)),
        Attack::EscapeByAbsolute => build(victim().verbatim(&format!("/{up}{inside}"), file(), 0o644)),
        Attack::EscapeBySymlink => {
            let (path, kind) = link("./usr/share/victim/out", &format!("{up}{}", parent.trim_start_matches('/')));
            let through = format!("./usr/share/victim/out/{name}");
            build(victim().verbatim(&path, kind, 0o777).verbatim(&through, file(), 0o644))
        }
        Attack::EscapeByChain => {
            let (first, out) = link("./usr/share/victim/a", parent);
            let (second, again) = link("./usr/share/victim/b", "a");
            let through = format!("./usr/share/victim/b/{name}");
            build(victim().verbatim(&first, out, 0o777).verbatim(&second, again, 0o777).verbatim(&through, file(), 0o644))
        }
        Attack::EscapeByHardlink => {
            let target = Kind::Hardlink(format!("{up}etc/hostname"));
            build(victim().verbatim("./usr/share/victim/hostname", target, 0o644))
        }
        Attack::OtherName => {
            let built = Deb::new("other", "1.0").file("/usr/share/victim/file", 0o644, "other\n").build();
            vec![Listing::new(renamed(built, "victim")).claim("Package", "victim")]
        }
        Attack::OtherVersion => vec![Listing::new(victim().build()).claim("Version", "2.0")],
        Attack::OtherArchitecture => {
            let native = super::archive::host_architecture();
            let mut listing = Listing::new(victim().architecture(foreign()).build()).claim("Architecture", native);
            // So that the index of the machine's architecture takes it.
            native.clone_into(&mut listing.built.architecture);
            vec![listing]
        }
        Attack::Overlap => {
            let rival = Deb::new("rival", "1.0").file("/usr/share/victim/file", 0o644, "rival\n");
            vec![Listing::new(victim().depends("rival").build()), Listing::new(rival.build())]
        }
        Attack::ScriptFails => build(victim().postinst("echo 'the disk is too round' >&2\nexit 7")),
        Attack::PreinstFails => build(victim().preinst("echo 'the disk is too flat' >&2\nexit 8")),
        Attack::ScriptHangs => build(victim().postinst(&format!("exec sleep {}", marker(secret)))),
        Attack::ScriptForks => {
            let marker = marker(secret);
            let daemon = format!(
                "( trap '' HUP TERM; exec sleep {marker} ) </dev/null >/dev/null 2>&1 &\n\
                 setsid sleep {marker} </dev/null >/dev/null 2>&1 &"
            );
            build(victim().postinst(&daemon))
        }
        Attack::ScriptMeddles => build(victim().preinst(
            "for file in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/power/state; do\n\
             \x20 if [ -e $file ] && ( : >> $file ) 2>/dev/null; then echo \"$file can be written\" >&2; exit 1; fi\n\
             done\n\
             if mknod /dev/disk b 8 0 2>/dev/null && ( : < /dev/disk ) 2>/dev/null; then\n\
             \x20 echo 'disks open' >&2; exit 1\n\
             fi\n\
             if mount -t proc proc /mnt 2>/dev/null; then echo 'mount works' >&2; exit 1; fi\n\
             rm -f /dev/disk",
        )),
        Attack::None
        | Attack::ForgedSignature
        | Attack::ChangedText
        | Attack::StrippedSignature
        | Attack::Unsigned
        | Attack::UnknownKey
        | Attack::ExpiredKey
        | Attack::RevokedKey
        | Attack::WeakDigest
        | Attack::SignedInFuture
        | Attack::TextOutside
        | Attack::ExpiredRelease
        | Attack::FutureRelease
        | Attack::WrongSuite
        | Attack::OtherIndex
        | Attack::MixedTime
        | Attack::MixedSuite
        | Attack::MixedComponent
        | Attack::MixedArchitecture
        | Attack::EndlessRelease
        | Attack::EndlessIndex
        | Attack::IndexBomb
        | Attack::HugeIndex
        | Attack::EndlessStanza
        | Attack::Truncated
        | Attack::Hanging
        | Attack::HangingRelease
        | Attack::HangingIndex
        | Attack::ServerErrors
        | Attack::InReleaseErrors
        | Attack::ReleaseErrors
        | Attack::SignatureErrors
        | Attack::SecurityErrors
        | Attack::IndexErrors
        | Attack::NotFound => build(victim().item(Item::new("/usr/share/victim/large", Kind::File(noise().into())))),
    }
}

/// Bytes that no codec makes smaller, so that half a package is something.
fn noise() -> Vec<u8> {
    Random::new(7).bytes(300_000)
}

/// Zeros by the gigabyte: a stream of `.xz` after the other, all the same, so that it costs little to make.
fn bomb() -> Vec<u8> {
    const PIECE: usize = 64 << 20;
    Packing::Xz.pack(&vec![0; PIECE]).repeat(BOMB / PIECE)
}

/// The control member of a package whose control archive is gzipped.
fn control_of(built: &Built) -> Vec<u8> {
    // Behind the magic, `debian-binary` with its header and four bytes.
    let at = 8 + 60 + 4;
    let size = String::from_utf8_lossy(&built.bytes[at + 48..at + 58]).trim().parse::<usize>().expect("own header");
    built.bytes[at + 60..at + 60 + size].to_vec()
}

fn renamed(built: Built, name: &str) -> Built {
    Built { name: name.to_owned(), ..built }
}

/// The document with one letter of its signature changed, the armour's checksum left as it is.
fn forged(document: &[u8]) -> Vec<u8> {
    let mut bytes = document.to_vec();
    // The signature's last number, before the checksum of the armour: what stands earlier may be a hint that no reader
    // needs, as the first bytes of the digest are.
    let checksum = bytes.windows(2).rposition(|window| window == b"\n=").unwrap_or(bytes.len() - 1);
    let at = checksum.saturating_sub(20);
    if let Some(letter) = bytes[at..].iter_mut().find(|byte| byte.is_ascii_alphanumeric()) {
        *letter = if *letter == b'A' { b'B' } else { b'A' };
    }
    bytes
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match bytes.windows(from.len()).position(|window| window == from) {
        Some(at) => [&bytes[..at], to, &bytes[at + from.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attack_is_served() {
        let all = Attack::ARCHIVE.iter().chain(&Attack::PACKAGE).chain(&Attack::SCRIPT);
        for attack in all {
            if matches!(attack, Attack::IndexBomb | Attack::PayloadBomb | Attack::ControlBomb | Attack::EndlessStanza) {
                continue;
            }
            let launched = attack.launch(None);
            assert!(!launched.keyring.is_empty() && launched.mirrors.len() == 2, "{attack:?}");
            assert!(!launched.outside.exists() && !launched.is_running(), "{attack:?}");
        }
    }

    #[test]
    fn changes_hit_what_they_are_meant_for() {
        let in_release = "-----BEGIN PGP SIGNATURE-----\n\nabcdefghijklmnop\n-----END PGP SIGNATURE-----\n";
        assert_ne!(forged(in_release.as_bytes()), in_release.as_bytes());
        assert_eq!(replaced(b"a: b", b"b", b"c"), b"a: c");
    }
}

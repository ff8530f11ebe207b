//! Ages of Debian and Ubuntu: how their archives, packages and signatures looked.

use super::archive::{AllPackages, Listing, Repository, SignatureFiles, Site, Suite};
use super::deb::{Built, Deb, Packing};
use super::hash::Hash;
use super::sign::{KeySpec, Signer, SigningKey};
use super::world::{Extent, Layout, Wanted, World};
use crate::Http;

/// Seconds of a day.
const DAY: u64 = 86400;

/// A release whose archive is imitated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// Ubuntu 14.04: `.gz` and `.bz2` indexes, two signatures of which one is weak, upstart, unmerged.
    Trusty,
    /// Ubuntu 16.04: `.gz` and `.xz` indexes, by-hash, two signatures, unmerged.
    Xenial,
    /// Ubuntu 18.04: one signature, unmerged.
    Bionic,
    /// Ubuntu 20.04: merged.
    Focal,
    /// Ubuntu 22.04: members packed with zstd.
    Jammy,
    /// Ubuntu 24.04: base-files owns the links of the merge; package sources in stanzas.
    Noble,
    /// Debian 8: `Release.gpg` of an expired key, no by-hash, security in `jessie/updates`, unmerged.
    Jessie,
    /// Debian 9: `Release.gpg`, by-hash, unmerged.
    Stretch,
    /// Debian 10: merged, security in `buster/updates`.
    Buster,
    /// Debian 11: security in `bullseye-security`.
    Bullseye,
    /// Debian 12: `usr-is-merged`.
    Bookworm,
    /// Debian 13: base-files owns the links of the merge.
    Trixie,
    /// Debian unstable: `Valid-Until`, no other pocket.
    Sid,
}

impl Era {
    /// All of them.
    pub const ALL: [Era; 13] = [
        Era::Trusty,
        Era::Xenial,
        Era::Bionic,
        Era::Focal,
        Era::Jammy,
        Era::Noble,
        Era::Jessie,
        Era::Stretch,
        Era::Buster,
        Era::Bullseye,
        Era::Bookworm,
        Era::Trixie,
        Era::Sid,
    ];

    /// The codename.
    #[must_use]
    pub fn codename(self) -> &'static str {
        match self {
            Era::Trusty => "trusty",
            Era::Xenial => "xenial",
            Era::Bionic => "bionic",
            Era::Focal => "focal",
            Era::Jammy => "jammy",
            Era::Noble => "noble",
            Era::Jessie => "jessie",
            Era::Stretch => "stretch",
            Era::Buster => "buster",
            Era::Bullseye => "bullseye",
            Era::Bookworm => "bookworm",
            Era::Trixie => "trixie",
            Era::Sid => "sid",
        }
    }

    /// `Version` of its `Release`; empty: none.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Era::Trusty => "14.04",
            Era::Xenial => "16.04",
            Era::Bionic => "18.04",
            Era::Focal => "20.04",
            Era::Jammy => "22.04",
            Era::Noble => "24.04",
            Era::Jessie => "8.11",
            Era::Stretch => "9.13",
            Era::Buster => "10.13",
            Era::Bullseye => "11.9",
            Era::Bookworm => "12.5",
            Era::Trixie => "13.1",
            Era::Sid => "",
        }
    }

    /// Whether it is one of Ubuntu's.
    #[must_use]
    pub fn is_ubuntu(self) -> bool {
        matches!(self, Era::Trusty | Era::Xenial | Era::Bionic | Era::Focal | Era::Jammy | Era::Noble)
    }

    /// A time within its life at which the archive was made, seconds since the epoch.
    #[must_use]
    pub fn date(self) -> u64 {
        match self {
            Era::Trusty => 1_399_500_000,   // 2014-05-07
            Era::Xenial => 1_461_300_000,   // 2016-04-22
            Era::Bionic => 1_524_800_000,   // 2018-04-27
            Era::Focal => 1_587_700_000,    // 2020-04-24
            Era::Jammy => 1_650_600_000,    // 2022-04-22
            Era::Noble => 1_714_100_000,    // 2024-04-26
            Era::Jessie => 1_529_750_000,   // 2018-06-23
            Era::Stretch => 1_595_100_000,  // 2020-07-18
            Era::Buster => 1_662_800_000,   // 2022-09-10
            Era::Bullseye => 1_707_600_000, // 2024-02-10
            Era::Bookworm => 1_707_600_001, // 2024-02-10
            Era::Trixie => 1_757_200_000,   // 2025-09-06
            Era::Sid => super::EPOCH,
        }
    }

    /// Whether files lie in `usr` unless the user says otherwise.
    #[must_use]
    pub fn is_merged(self) -> bool {
        !matches!(self, Era::Trusty | Era::Xenial | Era::Bionic | Era::Jessie | Era::Stretch)
    }

    /// Whether the suite ended before 2024, so that an expired key may have signed it.
    #[must_use]
    pub fn has_expired_keys(self) -> bool {
        matches!(self, Era::Jessie | Era::Stretch)
    }

    /// Compressions of control and data.
    #[must_use]
    pub fn packing(self) -> (Packing, Packing) {
        match self {
            Era::Trusty | Era::Xenial | Era::Jessie => (Packing::Gzip, Packing::Xz),
            Era::Jammy | Era::Noble => (Packing::Zstd, Packing::Zstd),
            _ => (Packing::Xz, Packing::Xz),
        }
    }

    /// Where packages have their files.
    #[must_use]
    pub fn layout(self) -> Layout {
        match self {
            Era::Trixie | Era::Sid | Era::Noble => Layout::Moved,
            era if era.is_merged() => Layout::AsPacked,
            _ => Layout::Unmerged,
        }
    }

    /// The machine's packages in this era's form; with upstart where it had that.
    ///
    /// # Errors
    /// The reason for a skip, as [`World::build`] gives it.
    pub fn world(self, extent: Extent) -> Result<World, String> {
        let wanted = Wanted { layout: self.layout(), packing: self.packing(), ..Wanted::new(extent) };
        let mut world = World::build(&wanted)?;
        if self == Era::Trusty {
            world.packages.push(self.upstart());
        }
        Ok(world)
    }

    /// A required package that starts a job from its postinst, which fails where no guard stands before `initctl`.
    fn upstart(self) -> Built {
        Deb::new("upstart", "1.12.1-0ubuntu4")
            .priority("required")
            .file("/sbin/initctl", 0o755, "#!/bin/sh\necho 'initctl: Unable to connect to Upstart' >&2\nexit 1\n")
            .postinst("initctl start generated-job")
            .packed(self.packing().0, self.packing().1)
            .build()
    }

    /// The keys that sign, in the order of their signatures.
    #[must_use]
    pub fn signers(self) -> Vec<Signer> {
        let created = self.date() - 400 * DAY;
        let key = |name: &str, lifetime: Option<u64>, subkey: bool| {
            let name = format!("{name} <{}@example.org>", self.codename());
            SigningKey::generate(&KeySpec { name, created, lifetime, subkey, ..KeySpec::default() })
        };
        match self {
            Era::Trusty | Era::Xenial => vec![
                Signer::new(&key("Archive Key of 2004", None, false)).hash(Hash::Sha1),
                Signer::new(&key("Archive Key of 2012", None, false)),
            ],
            Era::Bionic => vec![Signer::new(&key("Archive Key of 2012", None, false))],
            Era::Focal | Era::Jammy | Era::Noble => vec![Signer::new(&key("Archive Key of 2018", None, false))],
            era if era.has_expired_keys() => vec![
                Signer::new(&key("Automatic Signing Key", Some(800 * DAY), true)),
                Signer::new(&key("Release Key", Some(800 * DAY), false)),
            ],
            _ => vec![
                Signer::new(&key("Automatic Signing Key", None, true)),
                Signer::new(&key("Stable Release Key", None, false)),
            ],
        }
    }

    /// The release pocket without packages, signed by these.
    #[must_use]
    pub fn release(self, signers: &[Signer]) -> Suite {
        let codename = self.codename();
        let (name, suite) = match self {
            Era::Sid => ("Debian", "unstable"),
            Era::Jessie | Era::Stretch | Era::Buster => ("Debian", "oldoldstable"),
            Era::Bullseye => ("Debian", "oldstable"),
            era if era.is_ubuntu() => ("Ubuntu", codename),
            _ => ("Debian", "stable"),
        };
        let suite = Suite {
            origin: name.to_owned(),
            label: name.to_owned(),
            suite: suite.to_owned(),
            version: self.version().to_owned(),
            date: self.date(),
            signers: signers.to_vec(),
            ..Suite::new(codename)
        };
        match self {
            Era::Trusty => Suite {
                packings: vec![Packing::Gzip, Packing::Bzip2],
                hashes: vec![Hash::Md5, Hash::Sha1, Hash::Sha256],
                stanza_hashes: vec![Hash::Md5, Hash::Sha1, Hash::Sha256],
                by_hash: false,
                all: AllPackages::Undeclared,
                ..suite
            },
            Era::Xenial | Era::Bionic => Suite {
                hashes: vec![Hash::Md5, Hash::Sha1, Hash::Sha256],
                stanza_hashes: vec![Hash::Md5, Hash::Sha1, Hash::Sha256],
                all: AllPackages::Undeclared,
                ..suite
            },
            Era::Jessie => Suite {
                hashes: vec![Hash::Md5, Hash::Sha1, Hash::Sha256],
                stanza_hashes: vec![Hash::Md5, Hash::Sha1, Hash::Sha256],
                by_hash: false,
                all: AllPackages::Undeclared,
                signature_files: SignatureFiles::Detached,
                ..suite
            },
            Era::Stretch => Suite { signature_files: SignatureFiles::Detached, ..suite },
            Era::Sid => Suite { valid_until: Some(self.date() + 7 * DAY), ..suite },
            era if era.is_ubuntu() => Suite { all: AllPackages::Undeclared, ..suite },
            _ => suite,
        }
    }

    /// The updates pocket without packages; `None` where the era had none.
    #[must_use]
    pub fn updates(self, signers: &[Signer]) -> Option<Suite> {
        let release = self.release(signers);
        let path = format!("{}-updates", self.codename());
        let suite = match self {
            Era::Sid => return None,
            era if era.is_ubuntu() => Suite { suite: path.clone(), path, ..release },
            _ => Suite { suite: format!("{}-updates", release.suite), codename: path.clone(), path, ..release },
        };
        Some(Suite { packages: Vec::new(), ..suite })
    }

    /// The security pocket without packages; `None` where the era had none. Debian's is an archive of its own.
    #[must_use]
    pub fn security(self, signers: &[Signer]) -> Option<Suite> {
        let release = self.release(signers);
        let codename = self.codename();
        let suite = match self {
            Era::Sid => return None,
            era if era.is_ubuntu() => {
                let path = format!("{codename}-security");
                Suite { suite: path.clone(), path, ..release }
            }
            Era::Jessie | Era::Stretch | Era::Buster => Suite {
                path: format!("{codename}/updates"),
                label: "Debian-Security".to_owned(),
                component_prefix: "updates/".to_owned(),
                ..release
            },
            _ => Suite {
                path: format!("{codename}-security"),
                suite: format!("{}-security", release.suite),
                codename: format!("{codename}-security"),
                label: "Debian-Security".to_owned(),
                component_prefix: "updates/".to_owned(),
                packings: vec![Packing::Xz],
                hashes: vec![Hash::Sha256],
                valid_until: Some(self.date() + 7 * DAY),
                all: AllPackages::Undeclared,
                ..release
            },
        };
        Some(Suite { packages: Vec::new(), ..suite })
    }

    /// The era's archives with these packages in the release pocket.
    #[must_use]
    pub fn archives(self, packages: impl IntoIterator<Item = impl Into<Listing>>) -> Archives {
        let signers = self.signers();
        let release = self.release(&signers).packages(packages);
        let mut main = Repository::new([release]);
        main.suites.extend(self.updates(&signers));
        let mut security = Repository::default();
        match self.security(&signers) {
            Some(suite) if self.is_ubuntu() => main.suites.push(suite),
            Some(suite) => security.suites.push(suite),
            None => {}
        }
        Archives { era: self, main, security }
    }
}

/// The archives of an era: Debian's security archive stands apart, Ubuntu's pockets share one.
#[derive(Debug, Clone)]
pub struct Archives {
    /// Whose archives they are.
    pub era: Era,
    /// The archive of the release.
    pub main: Repository,
    /// Debian's security archive; without suites where there is none.
    pub security: Repository,
}

impl Archives {
    /// The suite of the release pocket.
    pub fn release(&mut self) -> &mut Suite {
        &mut self.main.suites[0]
    }

    /// A suite by its path, e.g. `bookworm-updates`.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn suite(&mut self, path: &str) -> &mut Suite {
        let suites = self.main.suites.iter_mut().chain(&mut self.security.suites);
        match suites.into_iter().find(|suite| suite.path == path) {
            Some(suite) => suite,
            None => panic!("no suite {path:?}"),
        }
    }

    /// The public keys that signed.
    #[must_use]
    pub fn keyring(&self) -> Vec<u8> {
        self.main.keyring()
    }

    /// The files of both archives: the main one below `debian/` or `ubuntu/`, the other below `debian-security/`.
    #[must_use]
    pub fn render(&self) -> Rendered {
        let name = if self.era.is_ubuntu() { "ubuntu" } else { "debian" };
        let mut site = Site::default();
        site.mount(&format!("{name}/"), &self.main.render());
        let security = (!self.security.suites.is_empty()).then(|| {
            site.mount("debian-security/", &self.security.render());
            "debian-security"
        });
        Rendered { site, main: name, security }
    }
}

/// The files of an era's archives.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// All files, the archives side by side.
    pub site: Site,
    /// Folder of the main archive.
    pub main: &'static str,
    /// Folder of the security archive.
    pub security: Option<&'static str>,
}

impl Rendered {
    /// Serves the files; gives what follows `--mirror` on a command line: the main archive and `security=URL`.
    #[must_use]
    pub fn serve(&self, http: &Http) -> Vec<String> {
        self.site.serve(http, "");
        self.mirrors(&http.url(""))
    }

    /// The mirrors below a root, e.g. `file:///tmp/x`.
    #[must_use]
    pub fn mirrors(&self, root: &str) -> Vec<String> {
        let root = root.trim_end_matches('/');
        let mut mirrors = vec![format!("{root}/{}", self.main)];
        mirrors.extend(self.security.map(|name| format!("security={root}/{name}")));
        mirrors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_era_has_its_traits() {
        for era in Era::ALL {
            let rendered = era.archives([Deb::new("one", "1")]).render();
            let paths: Vec<&str> = rendered.site.paths().collect();
            let has = |part: &str| paths.iter().any(|path| path.contains(part));
            assert!(has("pool/main/o/one/one_1_all.deb"), "{era:?}: {paths:#?}");
            assert_eq!(has("/by-hash/"), !matches!(era, Era::Trusty | Era::Jessie), "{era:?}");
            assert_eq!(has("InRelease"), !matches!(era, Era::Jessie | Era::Stretch), "{era:?}");
            assert_eq!(has("Packages.bz2"), era == Era::Trusty, "{era:?}");
            let security = match era {
                Era::Jessie => "debian-security/dists/jessie/updates/Release",
                Era::Bookworm => "debian-security/dists/bookworm-security/InRelease",
                Era::Focal => "ubuntu/dists/focal-security/InRelease",
                _ => continue,
            };
            assert!(has(security), "{era:?}: {paths:#?}");
        }
    }
}

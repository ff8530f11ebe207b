//! What the host's package sources say of a distribution: read, never obeyed where they mean something else.

use bedplate_packages::deb::aptconf::AptConfig;
use bedplate_packages::deb::sources::{self, SignedBy};

use super::host::{Host, HostFile};
use super::observe::Notice;
use crate::distribution::{ArchiveState, Distribution, Pocket, Suite};

/// The host's package sources.
#[derive(Debug, Default)]
pub(crate) struct HostSources {
    sources: Vec<(String, sources::Source)>,
    valid_until: Option<(bool, String)>,
    /// Files that could not be understood.
    pub(crate) notices: Vec<Notice>,
}

/// A source of the host that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found<'h> {
    /// Its roots, tried in this order.
    pub(crate) uris: &'h [String],
    /// The file that names them.
    pub(crate) file: &'h str,
    /// Keyrings of its own, apart from those of the distribution.
    pub(crate) keyrings: Vec<&'h str>,
    /// A keyring that stands in the source.
    pub(crate) embedded: Option<&'h str>,
    /// Whether `Valid-Until` counts, and the file that says so.
    pub(crate) valid_until: Option<(bool, &'h str)>,
}

impl HostSources {
    /// Understands the files of a host. What apt could not read either is passed over, and said.
    pub(crate) fn read(host: &Host) -> Self {
        let mut found = Self::default();
        for file in &host.sources {
            let parsed = match file.path.ends_with(".sources") {
                true => sources::parse_sources(&file.text),
                false => sources::parse_list(&file.text),
            };
            match parsed {
                Ok(parsed) => found.sources.extend(parsed.into_iter().map(|source| (file.path.clone(), source))),
                Err(error) => found.ignore(file, error.to_string()),
            }
        }
        let mut config = AptConfig::default();
        for file in &host.apt_conf {
            let before = config.check_valid_until();
            let mut includes = |name: &str| host.included.get(name).cloned().unwrap_or_default();
            if let Err(error) = config.add(&String::from_utf8_lossy(&file.text), &mut includes) {
                found.ignore(file, error.to_string());
            }
            let now = config.check_valid_until();
            if now != before {
                // `#clear` takes back what another file said.
                found.valid_until = now.map(|check| (check, file.path.clone()));
            }
        }
        found
    }

    fn ignore(&mut self, file: &HostFile, reason: String) {
        self.notices.push(Notice::HostFile { file: file.path.clone(), reason });
    }

    /// The source that the host has for a pocket of a suite: of the suite itself, else of the same pocket of another
    /// living suite, as one mirror holds them all. Those signed by the distribution's keyrings come first: others
    /// may call their suites by the same names.
    pub(crate) fn find(&self, distribution: &Distribution, suite: &Suite, pocket: Pocket) -> Option<Found<'_>> {
        let mut best: Option<(u8, Found<'_>)> = None;
        for (file, source) in &self.sources {
            if source.pockets().next().is_none()
                || !source.components.iter().any(|component| distribution.components.contains(component))
            {
                continue;
            }
            let meant = source.suites.iter().filter_map(|name| meaning(distribution, name));
            let distance = meant
                .filter(|(_, of)| *of == pocket)
                .filter_map(|(other, _)| match other.codename == suite.codename {
                    true => Some(0),
                    false if is_living(other) && is_living(suite) => Some(1),
                    false => None,
                })
                .min();
            let Some(distance) = distance else { continue };
            let mut keyrings = Vec::new();
            let mut embedded = None;
            match &source.signed_by {
                // A fingerprint chooses among trusted keys; a path is a keyring.
                Some(SignedBy::Keys(keys)) => {
                    keyrings.extend(keys.iter().map(String::as_str).filter(|key| is_foreign(key, distribution)));
                }
                Some(SignedBy::Embedded(text)) => embedded = Some(text.as_str()),
                None => {}
            }
            let foreign = u8::from(!keyrings.is_empty() || embedded.is_some());
            let rank = distance * 2 + foreign;
            if best.as_ref().is_none_or(|(known, _)| rank < *known) {
                let own = source.check_valid_until.map(|check| (check, file.as_str()));
                let global = self.valid_until.as_ref().map(|(check, file)| (*check, file.as_str()));
                let found = Found { uris: &source.uris, file, keyrings, embedded, valid_until: own.or(global) };
                best = Some((rank, found));
            }
        }
        best.map(|(_, found)| found)
    }
}

fn is_living(suite: &Suite) -> bool {
    suite.state == ArchiveState::Living
}

/// Tells whether a path names a keyring that is none of the distribution's own.
fn is_foreign(key: &str, distribution: &Distribution) -> bool {
    let Some((_, file)) = key.rsplit_once('/') else { return false };
    let own = |name: &String| {
        // `debian-archive-keyring.gpg`, but also `debian-archive-trixie-stable.gpg`.
        let family = name.trim_end_matches("-keyring").trim_end_matches("-removed-keys");
        file.starts_with(family)
    };
    !distribution.keyrings.iter().chain(&distribution.ended_keyrings).any(own)
}

/// The suite and pocket that a name below `dists` means, also by a changing word: `trixie-updates`, `stable-security`.
fn meaning<'d>(distribution: &'d Distribution, name: &str) -> Option<(&'d Suite, Pocket)> {
    for suite in &distribution.suites {
        if let Some(pocket) = suite.pocket_named(name) {
            return Some((suite, pocket));
        }
    }
    for (alias, codename) in &distribution.aliases {
        let Some(suite) = distribution.suite(codename) else { continue };
        let Some(rest) = name.strip_prefix(alias.as_str()) else { continue };
        if let Some(pocket) = suite.pocket_named(&format!("{codename}{rest}")) {
            return Some((suite, pocket));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::{builtin, resolve};

    fn host(files: &[(&str, &str)], conf: &[(&str, &str)]) -> HostSources {
        let file = |(path, text): &(&str, &str)| HostFile { path: (*path).into(), text: text.as_bytes().into() };
        HostSources::read(&Host {
            sources: files.iter().map(file).collect(),
            apt_conf: conf.iter().map(file).collect(),
            ..Host::default()
        })
    }

    fn uri<'h>(host: &'h HostSources, suite: &str, pocket: Pocket) -> Option<&'h str> {
        let found = resolve(suite, builtin()).unwrap();
        let source = host.find(found.distribution, found.suite, pocket)?;
        source.uris.first().map(String::as_str)
    }

    const BOOKWORM: &str = "Types: deb\nURIs: http://a.example/debian http://b.example/debian\n\
        Suites: bookworm bookworm-updates\nComponents: main\n\
        Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
        Types: deb\nURIs: http://s.example/debian-security\nSuites: bookworm-security\nComponents: main\n";

    #[test]
    fn the_mirror_of_the_host_serves_other_living_suites() {
        let host = host(&[("/etc/apt/sources.list.d/debian.sources", BOOKWORM)], &[]);
        let cases = [
            ("bookworm", Pocket::Release, Some("http://a.example/debian")),
            ("bookworm", Pocket::Security, Some("http://s.example/debian-security")),
            ("trixie", Pocket::Release, Some("http://a.example/debian")),
            ("trixie", Pocket::Updates, Some("http://a.example/debian")),
            ("trixie", Pocket::Security, Some("http://s.example/debian-security")),
            ("sid", Pocket::Release, Some("http://a.example/debian")),
            ("trixie", Pocket::Backports, None),
            ("jessie", Pocket::Release, None),
            ("noble", Pocket::Release, None),
        ];
        for (suite, pocket, expected) in cases {
            assert_eq!(uri(&host, suite, pocket), expected, "{suite} {pocket}");
        }
    }

    #[test]
    fn others_that_use_the_same_names_come_last() {
        let others = "deb [signed-by=/etc/apt/keyrings/maria.gpg] http://maria.example/repo bookworm main\n\
            deb http://docker.example/linux/debian bookworm stable\n\
            deb-src http://src.example/debian bookworm main\n";
        let only = host(&[("/etc/apt/sources.list", others)], &[]);
        assert_eq!(uri(&only, "bookworm", Pocket::Release), Some("http://maria.example/repo"));
        let both =
            host(&[("/etc/apt/sources.list", others), ("/etc/apt/sources.list.d/debian.sources", BOOKWORM)], &[]);
        assert_eq!(uri(&both, "bookworm", Pocket::Release), Some("http://a.example/debian"));
    }

    #[test]
    fn changing_words_mean_suites() {
        let host = host(&[("/etc/apt/sources.list", "deb http://x.example/debian stable-updates main\n")], &[]);
        assert_eq!(uri(&host, "trixie", Pocket::Updates), Some("http://x.example/debian"));
        assert_eq!(uri(&host, "trixie", Pocket::Release), None);
    }

    #[test]
    fn valid_until_is_what_the_source_says_else_the_configuration() {
        let lists = "deb [check-valid-until=yes] http://x.example/debian bookworm main\n\
            deb http://x.example/debian bookworm-updates main\n";
        let host = host(
            &[("/etc/apt/sources.list", lists)],
            &[
                ("/etc/apt/apt.conf.d/10x", "Acquire::Check-Valid-Until \"false\";"),
                ("/etc/apt/apt.conf.d/20y", "APT {};"),
            ],
        );
        let found = resolve("bookworm", builtin()).unwrap();
        let check = |pocket| host.find(found.distribution, found.suite, pocket).unwrap().valid_until;
        assert_eq!(check(Pocket::Release), Some((true, "/etc/apt/sources.list")));
        assert_eq!(check(Pocket::Updates), Some((false, "/etc/apt/apt.conf.d/10x")));
    }

    #[test]
    fn what_is_included_or_cleared_counts() {
        let conf = |text: &str| Host {
            sources: vec![HostFile {
                path: "/etc/apt/sources.list".into(),
                text: b"deb http://x.example/debian sid main\n".to_vec(),
            }],
            apt_conf: [("/a", "Acquire::Check-Valid-Until \"0\";"), ("/b", text)]
                .map(|(path, text)| HostFile { path: path.into(), text: text.into() })
                .into(),
            included: [("/more".to_owned(), vec!["Acquire::Check-Valid-Until \"1\";".to_owned()])].into(),
            ..Host::default()
        };
        let cases = [
            ("", Some((false, "/a".to_owned()))),
            ("#include /more;", Some((true, "/b".to_owned()))),
            ("#clear Acquire::Check-Valid-Until;", None),
            ("#clear Acquire;", None),
            ("#clear Acquire::http;", Some((false, "/a".to_owned()))),
        ];
        for (text, expected) in cases {
            assert_eq!(HostSources::read(&conf(text)).valid_until, expected, "{text}");
        }
    }

    #[test]
    fn what_apt_cannot_read_is_said() {
        let host = host(&[("/etc/apt/sources.list", "dub http://x bookworm main\n")], &[("/etc/apt/apt.conf", "{{{")]);
        let files: Vec<String> = host.notices.iter().map(ToString::to_string).collect();
        assert_eq!(files.len(), 2, "{files:?}");
        assert!(files[0].contains("/etc/apt/sources.list"), "{files:?}");
    }
}

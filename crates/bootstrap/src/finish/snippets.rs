//! Configuration that images for builds in containers carry, and which of it a root gets.
//!
//! Each part is for a version of dpkg or apt that knows it: an older one is left without.

use std::borrow::Cow;

use bedplate_packages::deb::version::DebVersion;

use super::edit::Editor;
use super::{Facts, FinishError, diversion};

const POLICY_RC_D: &str = include_str!("snippets/policy-rc.d");
const APT_SPEEDUP: &str = include_str!("snippets/docker-apt-speedup");
const AUTOREMOVE_SUGGESTS: &str = include_str!("snippets/docker-autoremove-suggests");
const CLEAN: &str = include_str!("snippets/docker-clean");
const CLEAN_UNLESS_MOUNTED: &str = include_str!("snippets/docker-clean-unless-mounted");
const GZIP_INDEXES: &str = include_str!("snippets/docker-gzip-indexes");
const NO_LANGUAGES: &str = include_str!("snippets/docker-no-languages");

/// What an apt before 1.0.9.2 needs besides: it keeps only those indexes compressed that it fetched as gzip.
const GZIP_ORDER: &str = "
# https://salsa.debian.org/apt-team/apt/commit/b0f4b486e6850c5f98520ccf19da71d0ed748ae4; released in src:apt 1.0.9.2, 2014-10-02
# prior to src:apt 1.0.9.2, \"Acquire::GzipIndexes\" _only_ applied to gzip-compressed list files, so we need to prefer those on older releases
Acquire::CompressionTypes::Order:: \"gz\";
";
const GZIP_ORDER_JESSIE: &str = "# see also https://github.com/debuerreotype/debuerreotype/issues/41 (details of a bug that's apparently specific to Debian Jessie)
";

/// What makes images for builds in containers differ from each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Snippets {
    /// Archives stay where `/var/cache/apt` is a mount.
    pub(super) yields_to_mounts: bool,
    /// `initctl` is diverted whether or not upstart can be installed.
    pub(super) always_diverts_initctl: bool,
    /// Indexes are asked for as gzip whatever the version of apt.
    pub(super) always_orders_gzip: bool,
}

impl Facts {
    /// Compares the version of an installed package; `None` where it is not installed or has no version.
    pub(super) fn at_least(&self, package: &str, version: &str) -> Option<bool> {
        let found = self.packages.iter().find(|installed| installed.name == package)?;
        Some(DebVersion::parse_lax(&found.version).ok()? >= DebVersion::parse_lax(version).ok()?)
    }

    /// As [`Facts::at_least`]; a root without the package counts as a new one.
    fn knows(&self, package: &str, version: &str) -> bool {
        self.at_least(package, version).unwrap_or(true)
    }

    pub(super) fn dpkg_knows_path_rules(&self) -> bool {
        self.knows("dpkg", "1.15.8.6~")
    }
}

/// Writes the snippets that the root's dpkg and apt know.
pub(super) fn write(editor: &mut Editor<'_>, facts: &Facts, snippets: Snippets) -> Result<(), FinishError> {
    editor.write("usr/sbin/policy-rc.d", POLICY_RC_D.as_bytes(), 0o755, "no service starts in a build")?;
    if facts.upstart_installable || snippets.always_diverts_initctl {
        diversion::divert(editor, "/sbin/initctl")?;
        let script = POLICY_RC_D.replace("\nexit 101\n", "\nexit 0\n");
        editor.write("sbin/initctl", script.as_bytes(), 0o755, "upstart starts no service in a build")?;
    }
    if editor.is_directory("etc/dpkg/dpkg.cfg.d") && facts.knows("dpkg", "1.15.8.6~") {
        let reason = "a build that is cut off starts anew: dpkg need not wait for the disk";
        editor.write("etc/dpkg/dpkg.cfg.d/docker-apt-speedup", APT_SPEEDUP.as_bytes(), 0o644, reason)?;
    }
    if !editor.is_directory("etc/apt/apt.conf.d") {
        return Ok(());
    }
    let jessie = facts.distribution == "debian" && facts.suite == "jessie";
    let order = snippets.always_orders_gzip || jessie || !facts.knows("apt", "1.0.9.2~");
    let mut gzip = Cow::Borrowed(GZIP_INDEXES);
    if order {
        gzip.to_mut().push_str(GZIP_ORDER);
    }
    if jessie {
        gzip.to_mut().push_str(GZIP_ORDER_JESSIE);
    }
    let clean = if snippets.yields_to_mounts { CLEAN_UNLESS_MOUNTED } else { CLEAN };
    for (name, text, reason) in [
        ("docker-autoremove-suggests", AUTOREMOVE_SUGGESTS, "what was only suggested goes with what suggested it"),
        ("docker-clean", clean, "layers hold no archives and caches of apt"),
        ("docker-gzip-indexes", &gzip, "indexes stay compressed on the disk"),
        ("docker-no-languages", NO_LANGUAGES, "translations of descriptions are not fetched"),
    ] {
        let text = comments_for(text, facts);
        editor.write(&format!("etc/apt/apt.conf.d/{name}"), text.as_bytes(), 0o644, reason)?;
    }
    Ok(())
}

/// An apt before 0.7.22 knows comments only as `//`.
fn comments_for<'a>(text: &'a str, facts: &Facts) -> Cow<'a, str> {
    if facts.knows("apt", "0.7.22~") {
        return Cow::Borrowed(text);
    }
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(comment) => format!("//{comment}\n"),
        None => format!("{line}\n"),
    });
    Cow::Owned(lines.collect())
}

#[cfg(test)]
mod tests {
    use super::super::edit::tests::{EPOCH, root, shown};
    use super::super::tests::facts;
    use super::*;

    const DOCKER: Snippets =
        Snippets { yields_to_mounts: true, always_diverts_initctl: false, always_orders_gzip: false };

    fn written(facts: &Facts, snippets: Snippets) -> Vec<String> {
        let mut tree =
            root(&["etc/apt/apt.conf.d/", "etc/dpkg/dpkg.cfg.d/", "usr/sbin/", "sbin/initctl=real", "var/lib/dpkg/"]);
        let contents = bedplate_image::ContentSources::new();
        write(&mut Editor::new(&mut tree, &contents, EPOCH), facts, snippets).unwrap();
        shown(&tree)
    }

    fn line<'a>(lines: &'a [String], path: &str) -> &'a str {
        lines.iter().find_map(|line| line.strip_prefix(path)?.strip_prefix('=')).unwrap_or_default()
    }

    #[test]
    fn versions_decide_what_is_written() {
        //   apt        | suite     | order gz | jessie | comment
        let cases = [
            ("3.0.3", "trixie", false, false, "#"),
            ("1.0.9.8.6", "jessie", true, true, "#"),
            ("1.0.1ubuntu2.24", "trusty", true, false, "#"),
            ("0.7.20", "lenny", true, false, "//"),
        ];
        for (apt, suite, order, jessie, comment) in cases {
            let mut facts = facts(&[("apt", apt), ("dpkg", "1.17.0")]);
            facts.suite = suite.into();
            let lines = written(&facts, DOCKER);
            let gzip = line(&lines, "etc/apt/apt.conf.d/docker-gzip-indexes");
            assert_eq!(gzip.contains("CompressionTypes"), order, "{apt}");
            assert_eq!(gzip.contains("issues/41"), jessie, "{apt}");
            assert!(gzip.starts_with(comment), "{apt}");
            assert_eq!(line(&lines, "sbin/initctl"), "real");
        }
    }

    #[test]
    fn an_old_dpkg_gets_no_speedup_and_a_root_without_apt_no_configuration_of_it() {
        let lines = written(&facts(&[("apt", "0.7.20"), ("dpkg", "1.14.31")]), DOCKER);
        assert!(lines.contains(&"etc/dpkg/dpkg.cfg.d/".to_owned()));
        let mut tree = root(&["usr/sbin/"]);
        let contents = bedplate_image::ContentSources::new();
        write(&mut Editor::new(&mut tree, &contents, EPOCH), &facts(&[]), DOCKER).unwrap();
        assert_eq!(shown(&tree), [format!("usr/sbin/policy-rc.d={POLICY_RC_D}")]);
    }

    #[test]
    fn upstart_is_kept_from_starting_services() {
        let mut facts = facts(&[("apt", "1.0.1"), ("dpkg", "1.17.5")]);
        facts.upstart_installable = true;
        let lines = written(&facts, DOCKER);
        assert!(line(&lines, "sbin/initctl").ends_with("\nexit 0\n"));
        assert_eq!(line(&lines, "sbin/initctl.distrib"), "real");
        assert_eq!(line(&lines, "var/lib/dpkg/diversions"), "/sbin/initctl\n/sbin/initctl.distrib\n:\n");
    }

    #[test]
    fn archives_stay_where_the_cache_is_a_mount() {
        let lines = written(&facts(&[("apt", "3.0.3")]), DOCKER);
        let clean = line(&lines, "etc/apt/apt.conf.d/docker-clean");
        assert!(clean.contains("mountinfo || rm -f"));
        let lines = written(&facts(&[("apt", "3.0.3")]), Snippets { yields_to_mounts: false, ..DOCKER });
        assert!(!line(&lines, "etc/apt/apt.conf.d/docker-clean").contains("mountinfo"));
    }
}

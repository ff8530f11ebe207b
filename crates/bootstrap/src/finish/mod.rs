//! What is done to a configured root before it becomes an image: styles, clean-up, reproducibility.
//!
//! ```text
//! tree after all packages are configured --finish--> tree of the image, and a note for each thing done
//!
//!   style docker               what official images hold, with package sources of every pocket asked for
//!   style debuerreotype        the tar of debuerreotype 0.15, byte for byte
//!   style mkimage-debootstrap  what moby's script of that name left behind
//!   style debootstrap          what debootstrap leaves in a directory
//!   style plain                only what reproducibility demands
//! ```
//!
//! Everything here is an edit of a [`Tree`]: no file of the host is touched, no program runs. Bytes are read through
//! [`Contents`], and what is written stands in the tree itself ([`bedplate_tree::Source::Memory`]).

mod apt_states;
pub mod debootstrap;
mod diversion;
mod edit;
mod keys;
pub mod paths;
pub mod reproducible;
pub mod slim;
mod snippets;
pub mod sources;

use std::fmt;
use std::str::FromStr;

use bedplate_image::{Contents, ReadError};
use bedplate_packages::deb::compose::{PathFilter, matches};
use bedplate_tree::{Timestamp, Tree, TreeError, TreePath};
use thiserror::Error;

use edit::Editor;
pub(crate) use edit::own_path;
use snippets::Snippets;

pub use edit::MAX_EDITED;

/// Which kind of image is made of a configured root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Style {
    /// The set-up of official images for builds in containers; archives stay where `/var/cache/apt` is a mount.
    #[default]
    Docker,
    /// Equal to debuerreotype's own tar, bit for bit.
    Debuerreotype,
    /// As moby's `contrib/mkimage/debootstrap` did.
    MkimageDebootstrap,
    /// What debootstrap leaves in a directory, to be entered with chroot(8).
    Debootstrap,
    /// Only what reproducibility demands.
    Plain,
}

impl Style {
    /// Every style, the default first.
    pub const ALL: [Self; 5] =
        [Self::Docker, Self::Debuerreotype, Self::MkimageDebootstrap, Self::Debootstrap, Self::Plain];

    /// The name on the command line and in recipes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Debuerreotype => "debuerreotype",
            Self::MkimageDebootstrap => "mkimage-debootstrap",
            Self::Debootstrap => "debootstrap",
            Self::Plain => "plain",
        }
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A style that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no style \"{name}\": docker, debuerreotype, mkimage-debootstrap, debootstrap and plain exist")]
pub struct UnknownStyle {
    /// What was asked for.
    pub name: String,
}

impl FromStr for Style {
    type Err = UnknownStyle;

    fn from_str(name: &str) -> Result<Self, UnknownStyle> {
        Self::ALL.into_iter().find(|style| style.name() == name).ok_or_else(|| UnknownStyle { name: name.into() })
    }
}

/// A package of the root, as far as finishing asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture: `all` or that of the root.
    pub architecture: String,
}

/// One archive that the image's apt asks: a stanza of `debian.sources`, or one line of `sources.list` for each suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptSource {
    /// The root of the archive, as the image shall name it.
    pub uri: String,
    /// Suites: `trixie`, `trixie-updates`.
    pub suites: Vec<String>,
    /// Components: `main`.
    pub components: Vec<String>,
    /// What signs it: the absolute path of a keyring inside the image, fingerprints, or the text of a keyring.
    pub signed_by: Option<String>,
    /// Takes it without a signature.
    pub trusted: bool,
}

/// What is known of the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `ID` of its distribution: `debian`, `ubuntu`.
    pub distribution: String,
    /// The codename of its suite: `bookworm`.
    pub suite: String,
    /// Its architecture in Debian's words: `amd64`.
    pub architecture: String,
    /// What later times are clamped to.
    pub epoch: Timestamp,
    /// Every package in it.
    pub packages: Vec<InstalledPackage>,
    /// Tells whether a package `upstart` stands in the indexes: then services are also kept from starting through `initctl`.
    pub upstart_installable: bool,
    /// Those of them that the user asked for: apt never removes them by itself.
    pub manual: Vec<String>,
    /// The image's package sources, in their order: release pocket first.
    pub sources: Vec<AptSource>,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The style.
    pub style: Style,
    /// Leaves out documentation, translations and manual pages, as slim images do, and keeps dpkg from bringing them back.
    pub slim: bool,
    /// How package sources are written, where the style has no form of its own.
    pub sources: SourcesForm,
    /// More paths to leave out or to keep, as dpkg's `path-exclude` and `path-include`.
    pub paths: PathFilter,
    /// Writes these rules into the image, for its own dpkg.
    pub keep_path_rules: bool,
    /// What [`furnish`] writes is there, and may have been changed since.
    pub furnished: bool,
}

/// How package sources are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SourcesForm {
    /// `/etc/apt/sources.list`, a line for each suite.
    OneLine,
    /// `/etc/apt/sources.list.d/debian.sources` (or `ubuntu.sources`), a stanza for each archive.
    #[default]
    Deb822,
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where.
    pub path: TreePath,
    /// What, in one word of the past.
    pub done: Done,
    /// Why, in words.
    pub reason: &'static str,
}

/// What was done to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Done {
    /// It is gone, with all below it.
    Removed,
    /// The same with a secret: people should be told, since somebody may miss it.
    Withheld,
    /// A directory is empty now.
    Emptied,
    /// It has new content, or is new.
    Written,
    /// Its attributes are others.
    Adjusted,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "removed",
            Self::Withheld => "withheld",
            Self::Emptied => "emptied",
            Self::Written => "written",
            Self::Adjusted => "adjusted",
        })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.done, self.path, self.reason)
    }
}

/// Why a root cannot be finished.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FinishError {
    /// A path of the root is not what the edit needs.
    #[error("cannot change \"{path}\" of the root")]
    Tree {
        /// Where.
        path: TreePath,
        /// What is wrong.
        #[source]
        source: TreeError,
    },
    /// A file of the root cannot be read, or is larger than one that is edited.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Makes the root of an image of a configured root; returns what was done, in order.
///
/// The result depends on nothing but the arguments. Times later than the epoch are clamped last, so that what is
/// written here never carries another time.
///
/// # Errors
/// [`FinishError`]; the tree is then half finished.
pub fn finish(
    tree: &mut Tree,
    contents: &dyn Contents,
    facts: &Facts,
    options: &Options,
) -> Result<Vec<Note>, FinishError> {
    let mut editor = Editor::new(tree, contents, facts.epoch);
    let editor_ref = &mut editor;
    match options.style {
        Style::Docker => docker(editor_ref, facts, options)?,
        Style::Debuerreotype => debuerreotype(editor_ref, facts, options)?,
        Style::MkimageDebootstrap => mkimage_debootstrap(editor_ref, facts, options)?,
        Style::Debootstrap => debootstrap(editor_ref, facts, options)?,
        Style::Plain => plain(editor_ref, facts, options)?,
    }
    let notes = editor.finish();
    tree.clamp(facts.epoch);
    Ok(notes)
}

/// Writes what people find in an image of the style and may want to change: package sources, set-up of apt and dpkg. It
/// comes before the user's own steps, which then have the last word; [`finish`] is told by [`Options::furnished`].
///
/// # Errors
/// [`FinishError`]; the tree is then half furnished.
pub fn furnish(
    tree: &mut Tree,
    contents: &dyn Contents,
    facts: &Facts,
    options: &Options,
) -> Result<Vec<Note>, FinishError> {
    let mut editor = Editor::new(tree, contents, facts.epoch);
    furniture(&mut editor, facts, options)?;
    Ok(editor.finish())
}

fn furniture(editor: &mut Editor<'_>, facts: &Facts, options: &Options) -> Result<(), FinishError> {
    match options.style {
        Style::Docker => {
            apt_states::write(editor, facts)?;
            sources::write(editor, facts, options.sources)?;
            unconfigured(editor)?;
            // Both are mounted over in every container. That they are there keeps the mount points out of the next layer;
            // that they are empty keeps out what some host is called and asks.
            for path in ["etc/hostname", "etc/resolv.conf"] {
                editor.write(path, b"", 0o644, "the place where a container's own is mounted")?;
            }
            let snippets =
                Snippets { yields_to_mounts: true, always_diverts_initctl: false, always_orders_gzip: false };
            snippets::write(editor, facts, snippets)
        }
        Style::Debuerreotype => {
            sources::write_release_line(editor, facts)?;
            apt_states::write(editor, facts)?;
            editor.write("etc/hostname", b"debuerreotype\n", 0o644, "no host's name")?;
            let resolvers = b"# https://1.1.1.1 (privacy-focused, highly-available DNS service)\nnameserver 1.1.1.1\nnameserver 1.0.0.1\n";
            editor.write("etc/resolv.conf", resolvers, 0o644, "no host's resolvers")?;
            let snippets =
                Snippets { yields_to_mounts: false, always_diverts_initctl: false, always_orders_gzip: false };
            snippets::write(editor, facts, snippets)
        }
        Style::MkimageDebootstrap => {
            sources::write(editor, facts, SourcesForm::OneLine)?;
            unconfigured(editor)?;
            let servers = b"nameserver 8.8.8.8\nnameserver 8.8.4.4\n";
            editor.write("etc/resolv.conf", servers, 0o644, "names resolve without a container")?;
            let snippets = Snippets { yields_to_mounts: false, always_diverts_initctl: true, always_orders_gzip: true };
            snippets::write(editor, facts, snippets)
        }
        Style::Plain => sources::write(editor, facts, options.sources),
        Style::Debootstrap => Ok(()),
    }
}

fn docker(editor: &mut Editor<'_>, facts: &Facts, options: &Options) -> Result<(), FinishError> {
    common(editor, facts)?;
    if !options.furnished {
        furniture(editor, facts, options)?;
    }
    left_out(editor, facts, options, 0o755)
}

fn mkimage_debootstrap(editor: &mut Editor<'_>, facts: &Facts, options: &Options) -> Result<(), FinishError> {
    common(editor, facts)?;
    if editor.is_directory("var/lib/apt/lists") {
        editor.empty("var/lib/apt/lists", &["partial"], "indexes are stale soon");
        editor.directory("var/lib/apt/lists/partial", 0o755, "an old apt wants it")?;
    }
    if !options.furnished {
        furniture(editor, facts, options)?;
    }
    left_out(editor, facts, options, 0o755)
}

fn plain(editor: &mut Editor<'_>, facts: &Facts, options: &Options) -> Result<(), FinishError> {
    common(editor, facts)?;
    if !options.furnished {
        furniture(editor, facts, options)?;
    }
    left_out(editor, facts, options, 0o755)
}

/// What the making left behind and no machine should have twice is gone; all else is debootstrap's: with the host's keys
/// that scripts made, since such a directory becomes one machine.
fn debootstrap(editor: &mut Editor<'_>, facts: &Facts, options: &Options) -> Result<(), FinishError> {
    reproducible::machine_id(editor)?;
    reproducible::without_traces(editor);
    reproducible::shadow_days(editor, facts.epoch.seconds)?;
    left_out(editor, facts, options, 0o755)
}

/// The steps of `debuerreotype-init`, `-minimizing-config`, `-slimify`, `-fixup` and `-tar`, in their order.
fn debuerreotype(editor: &mut Editor<'_>, facts: &Facts, options: &Options) -> Result<(), FinishError> {
    if !options.furnished {
        furniture(editor, facts, options)?;
    }
    root_attributes(editor);
    reproducible::shadow_days(editor, facts.epoch.seconds)?;

    // Its scripts run with umask 0002.
    left_out(editor, facts, options, 0o775)?;

    keys::withhold(editor);
    reproducible::machine_id(editor)?;
    for path in
        ["var/log/dpkg.log", "var/log/bootstrap.log", "var/log/alternatives.log", "var/cache/ldconfig/aux-cache"]
    {
        editor.remove(path, "debuerreotype-fixup removes it");
    }
    editor.remove("run/mount/utab", "debuerreotype-fixup removes it");
    if editor.inode("run/mount").is_some_and(|inode| inode.entry.is_directory() && inode.children().is_empty()) {
        editor.remove("run/mount", "debuerreotype-fixup removes it");
    }

    // What the tar leaves out was there while times were set: its directory does not change.
    for folder in ["dev", "proc", "sys"] {
        leave_out_below(editor, folder, b"*");
    }
    if facts.at_least("apt", "0.8~").unwrap_or(true) {
        for folder in ["var/cache/apt", "var/lib/apt/lists", "var/state/apt/lists"] {
            leave_out_below(editor, folder, b"*");
        }
    }
    leave_out_below(editor, "var/cache/apt", b"*.bin");
    leave_out_below(editor, "var/cache/apt/archives", b"*.deb");
    leave_out_below(editor, "var/cache/apt/archives", b"lock");
    for folder in ["var/lib/apt/lists", "var/state/apt/lists"] {
        for pattern in [&b"*Packages*"[..], b"*Release*", b"lock"] {
            leave_out_below(editor, folder, pattern);
        }
    }
    for (folder, name) in [
        ("", "debuerreotype-epoch"),
        ("etc/apt/apt.conf.d", "01autoremove-kernels"),
        ("var/log/apt", "history.log"),
        ("var/log/apt", "term.log"),
        ("run", "motd.dynamic"),
        ("etc/apt", "trustdb.gpg"),
        ("run/shm", ".run-transition"),
        ("var/lib/systemd/catalog", "database"),
    ] {
        leave_out_below(editor, folder, name.as_bytes());
    }
    Ok(())
}

/// What every style does but debuerreotype's.
fn common(editor: &mut Editor<'_>, facts: &Facts) -> Result<(), FinishError> {
    root_attributes(editor);
    keys::withhold(editor);
    reproducible::machine_id(editor)?;
    reproducible::clean(editor);
    reproducible::empty_databases(editor, facts)?;
    reproducible::shadow_days(editor, facts.epoch.seconds)
}

/// `/` belongs to root and everyone may enter it: the directory that a root was made in says nothing about the image.
fn root_attributes(editor: &mut Editor<'_>) {
    let root = editor.tree.root();
    let metadata = editor.tree.metadata_mut(root);
    if (metadata.mode, metadata.uid, metadata.gid) != (0o755, 0, 0) {
        (metadata.mode, metadata.uid, metadata.gid) = (0o755, 0, 0);
        editor.note(&TreePath::root(), Done::Adjusted, "everyone may enter an image");
    }
}

/// What a root has that nobody configured.
fn unconfigured(editor: &mut Editor<'_>) -> Result<(), FinishError> {
    if editor.is_directory("etc") && editor.inode("etc/fstab").is_none() {
        editor.write("etc/fstab", debootstrap::FSTAB.as_bytes(), 0o644, "mount(8) wants a table")?;
    }
    Ok(())
}

fn left_out(editor: &mut Editor<'_>, facts: &Facts, options: &Options, folder_mode: u32) -> Result<(), FinishError> {
    if options.slim {
        slim::slim(editor, facts, folder_mode)?;
    }
    paths::apply(editor, &options.paths);
    if options.keep_path_rules && facts.dpkg_knows_path_rules() {
        paths::write(editor, &options.paths)?;
    }
    Ok(())
}

/// Leaves out what a directory holds under names that match, and keeps the directory's time.
fn leave_out_below(editor: &mut Editor<'_>, folder: &str, pattern: &[u8]) {
    let Some((path, id)) = editor.tree.lookup(&own_path(folder)).map(|id| (own_path(folder), id)) else { return };
    let inode = editor.tree.inode(id);
    let names = inode.children().keys().filter(|name| matches(pattern, name.as_bytes()));
    let gone: Vec<TreePath> = names.filter_map(|name| path.join(name).ok()).collect();
    for path in gone {
        editor.tree.remove(&path);
        editor.note(&path, Done::Removed, "debuerreotype-tar leaves it out");
    }
}

#[cfg(test)]
mod tests {
    use super::edit::tests::{EPOCH, root, shown};
    use super::*;
    use bedplate_image::ContentSources;

    pub(super) fn facts(packages: &[(&str, &str)]) -> Facts {
        let package = |&(name, version): &(&str, &str)| InstalledPackage {
            name: name.into(),
            version: version.into(),
            architecture: "amd64".into(),
        };
        Facts {
            distribution: "debian".into(),
            suite: "bookworm".into(),
            architecture: "amd64".into(),
            epoch: EPOCH,
            packages: packages.iter().map(package).collect(),
            upstart_installable: false,
            manual: Vec::new(),
            sources: vec![AptSource {
                uri: "http://archive.example/debian".into(),
                suites: vec!["bookworm".into()],
                components: vec!["main".into()],
                signed_by: Some("/usr/share/keyrings/debian-archive-keyring.gpg".into()),
                trusted: false,
            }],
        }
    }

    const ROOT: &[&str] = &[
        "dev/null=",
        "etc/apt/apt.conf.d/",
        "etc/apt/sources.list=old",
        "etc/dpkg/dpkg.cfg.d/",
        "etc/machine-id=1",
        "etc/passwd-=x",
        "etc/shadow=root:*:20000:0:99999:7:::\n",
        "proc/",
        "run/lock/",
        "run/mount/utab=",
        "sys/",
        "tmp/x=1",
        "usr/sbin/",
        "usr/share/doc/a/README=1",
        "usr/share/doc/a/copyright=2",
        "var/cache/apt/archives/a.deb=1",
        "var/cache/apt/pkgcache.bin=1",
        "var/cache/ldconfig/aux-cache=1",
        "var/lib/apt/lists/x_Packages=1",
        "var/lib/dpkg/status-old=1",
        "var/log/dpkg.log=1",
    ];

    fn finished(style: Style, slim: bool) -> (Vec<String>, Vec<Note>, Tree) {
        let mut tree = root(ROOT);
        let facts = facts(&[("apt", "2.6.1"), ("dpkg", "1.21.22")]);
        let options = Options { style, slim, ..Options::default() };
        let notes = finish(&mut tree, &ContentSources::new(), &facts, &options).unwrap();
        (shown(&tree), notes, tree)
    }

    fn paths(lines: &[String]) -> Vec<&str> {
        lines.iter().map(|line| line.split('=').next().unwrap_or_default()).collect()
    }

    #[test]
    fn styles_have_names() {
        for style in Style::ALL {
            assert_eq!(style.name().parse::<Style>(), Ok(style));
        }
        assert!("Docker".parse::<Style>().unwrap_err().to_string().contains("mkimage-debootstrap"));
    }

    #[test]
    fn the_docker_style() {
        let (lines, ..) = finished(Style::Docker, true);
        assert_eq!(
            paths(&lines),
            [
                "dev/",
                "etc/apt/apt.conf.d/docker-autoremove-suggests",
                "etc/apt/apt.conf.d/docker-clean",
                "etc/apt/apt.conf.d/docker-gzip-indexes",
                "etc/apt/apt.conf.d/docker-no-languages",
                "etc/apt/sources.list.d/debian.sources",
                "etc/dpkg/dpkg.cfg.d/docker",
                "etc/dpkg/dpkg.cfg.d/docker-apt-speedup",
                "etc/fstab",
                "etc/hostname",
                "etc/machine-id",
                "etc/resolv.conf",
                "etc/shadow",
                "proc/",
                "run/lock/",
                "sys/",
                "tmp/",
                "usr/sbin/policy-rc.d",
                "usr/share/doc/a/copyright",
                "var/cache/apt/archives/",
                "var/cache/ldconfig/",
                "var/lib/apt/extended_states",
                "var/lib/apt/lists/",
                "var/lib/dpkg/",
                "var/log/",
            ]
        );
        assert!(lines.contains(&"etc/machine-id=".to_owned()));
        assert!(lines.contains(&"etc/shadow=root:*:11:0:99999:7:::\n".to_owned()));
    }

    #[test]
    fn the_debuerreotype_style() {
        let (lines, ..) = finished(Style::Debuerreotype, false);
        assert_eq!(
            paths(&lines),
            [
                "dev/",
                "etc/apt/apt.conf.d/docker-autoremove-suggests",
                "etc/apt/apt.conf.d/docker-clean",
                "etc/apt/apt.conf.d/docker-gzip-indexes",
                "etc/apt/apt.conf.d/docker-no-languages",
                "etc/apt/sources.list",
                "etc/dpkg/dpkg.cfg.d/docker-apt-speedup",
                "etc/hostname",
                "etc/machine-id",
                "etc/passwd-",
                "etc/resolv.conf",
                "etc/shadow",
                "proc/",
                "run/lock/",
                "sys/",
                "tmp/x",
                "usr/sbin/policy-rc.d",
                "usr/share/doc/a/README",
                "usr/share/doc/a/copyright",
                "var/cache/apt/",
                "var/cache/ldconfig/",
                "var/lib/apt/extended_states",
                "var/lib/apt/lists/",
                "var/lib/dpkg/status-old",
                "var/log/",
            ]
        );
        assert!(
            lines.contains(
                &"etc/sources.list="
                    .replace("sources", "apt/sources")
                    .replace('=', "=deb http://archive.example/debian bookworm main\n")
            )
        );
        assert!(lines.contains(&"etc/hostname=debuerreotype\n".to_owned()));
    }

    #[test]
    fn the_mkimage_style() {
        let (lines, ..) = finished(Style::MkimageDebootstrap, false);
        let paths = paths(&lines);
        for path in [
            "var/lib/apt/lists/partial/",
            "usr/sbin/initctl",
            "sbin/initctl",
            "var/lib/dpkg/diversions",
            "etc/apt/sources.list",
        ] {
            assert_eq!(paths.contains(&path), path != "usr/sbin/initctl", "{path}: {paths:?}");
        }
        assert!(lines.contains(&"etc/resolv.conf=nameserver 8.8.8.8\nnameserver 8.8.4.4\n".to_owned()));
    }

    #[test]
    fn the_plain_style_adds_nothing_but_sources() {
        let (lines, ..) = finished(Style::Plain, false);
        assert_eq!(
            paths(&lines),
            [
                "dev/",
                "etc/apt/apt.conf.d/",
                "etc/apt/sources.list.d/debian.sources",
                "etc/dpkg/dpkg.cfg.d/",
                "etc/machine-id",
                "etc/shadow",
                "proc/",
                "run/lock/",
                "sys/",
                "tmp/",
                "usr/sbin/",
                "usr/share/doc/a/README",
                "usr/share/doc/a/copyright",
                "var/cache/apt/archives/",
                "var/cache/ldconfig/",
                "var/lib/apt/lists/",
                "var/lib/dpkg/",
                "var/log/",
            ]
        );
    }

    #[test]
    fn a_finished_root_is_finished() {
        for style in Style::ALL {
            for slim in [false, true] {
                let (_, notes, mut tree) = finished(style, slim);
                assert!(!notes.is_empty());
                let before = tree.clone();
                let facts = facts(&[("apt", "2.6.1"), ("dpkg", "1.21.22")]);
                let options = Options { style, slim, ..Options::default() };
                finish(&mut tree, &ContentSources::new(), &facts, &options).unwrap();
                assert!(tree == before, "{style} {slim}");
                assert!(tree.walk().all(|(_, id)| tree.inode(id).entry.metadata.mtime <= EPOCH));
            }
        }
    }
}

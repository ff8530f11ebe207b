//! The two stages.

use bedplate_image::ContentSources;
use bedplate_packages::deb::compose::{ComposeOptions, Composition};
use bedplate_packages::deb::crude;
use bedplate_packages::deb::payload::Payload;
use bedplate_tree::{Content, Entry, EntryKind, Metadata, Timestamp, Tree, TreePath};

use super::StageError;
use super::stock::Place;
use crate::finish::debootstrap::FSTAB;
use crate::finish::{own_path, sources};
use crate::install::{self, InstallError};
use crate::request::Request;
use crate::workflow::{BootstrapError, Built, Resolved, Settings, Workshop};

/// Devices that debootstrap makes: name, major and minor number.
const DEVICES: [(&str, u32, u32); 8] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
    ("console", 5, 1),
    ("ptmx", 5, 2),
];

/// Links beside the devices.
const DEVICE_LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// What the machine lends to a root that has none: names resolve in it at once.
#[derive(Debug, Clone, Default)]
pub struct HostFiles {
    /// `/etc/resolv.conf`.
    pub resolv_conf: Option<Vec<u8>>,
    /// `/etc/hostname`.
    pub hostname: Option<Vec<u8>>,
}

impl<'a> Workshop<'a> {
    /// Unpacks the required packages upon what `base` holds, and sets up what scripts and users of the root look for. No
    /// program runs.
    ///
    /// # Errors
    /// [`BootstrapError`]; among others where `base` holds what packages bring.
    pub fn first_stage(
        &self,
        resolved: &Resolved,
        request: &Request,
        settings: &Settings<'_>,
        base: &Tree,
        host: &HostFiles,
    ) -> Result<Tree, BootstrapError> {
        let (options, waves) = self.installation(resolved, request, settings)?;
        let first: Vec<&Payload> =
            waves.first().iter().flat_map(|wave| &wave.unpack).filter_map(|at| self.packages().get(*at)).collect();
        let mut composition = Composition::new(ComposeOptions::default());
        *composition.tree_mut() = base.clone();
        install::alias(composition.tree_mut(), self.packages(), &options)?;
        composition.unpack_wave(first).map_err(InstallError::Compose)?;
        let mut tree = composition.into_tree();
        if let Some((path, _)) = base.walk().find(|(path, id)| !stays(&base.inode(*id).entry, tree.entry(path))) {
            return Err(StageError::Occupied { path }.into());
        }
        set_up(&mut tree, resolved, &options, host)?;
        Ok(tree)
    }

    /// Does the rest: unpacks all packages upon the first stage, as dpkg does, and runs their scripts.
    ///
    /// # Errors
    /// [`BootstrapError`].
    pub fn second_stage<'b>(
        &'b self,
        resolved: &Resolved,
        request: &Request,
        settings: &'b Settings<'a>,
        mut first: Tree,
        contents: ContentSources<'b>,
    ) -> Result<Built<'b>, BootstrapError> {
        let epoch = self.epoch(request, settings);
        // Where no package and no script makes one; the time of day is that of Greenwich then.
        put_missing(&mut first, "etc/localtime", symlink("/usr/share/zoneinfo/UTC", epoch))?;
        self.build_on(resolved, request, settings, first, contents)
    }
}

/// Tells whether what was there is there: a directory, whatever is in it now, or the same as before.
fn stays(before: &Entry, after: Option<&Entry>) -> bool {
    match (&before.kind, after.map(|entry| &entry.kind)) {
        (EntryKind::Directory, Some(EntryKind::Directory)) => true,
        (EntryKind::Symlink(before), Some(EntryKind::Symlink(after))) => before == after,
        (_, _) => after == Some(before),
    }
}

fn set_up(
    tree: &mut Tree,
    resolved: &Resolved,
    options: &install::Options,
    host: &HostFiles,
) -> Result<(), BootstrapError> {
    let time = options.epoch;
    let text = |bytes: &[u8]| file(bytes, 0o644, time);
    for folder in ["dev", "dev/pts", "dev/shm", "etc/apt", "var/lib/dpkg"] {
        Place { tree, mtime: time }.directory(&own_path(folder))?;
    }
    for name in ["var/lib/dpkg/available", "var/lib/dpkg/status"] {
        put_missing(tree, name, text(b""))?;
    }
    if let Some(bytes) = &host.resolv_conf {
        put_missing(tree, "etc/resolv.conf", text(bytes))?;
    }
    if let Some(bytes) = &host.hostname {
        put_missing(tree, "etc/hostname", text(bytes))?;
    }
    put_missing(tree, "etc/fstab", text(FSTAB.as_bytes()))?;
    if !options.merged_usr && crude::marks_split_usr(&resolved.plan.suite.codename) {
        install::mark_split_usr(tree, time)?;
    }
    for (name, major, minor) in DEVICES {
        let metadata = Metadata { mode: 0o666, mtime: time, ..Metadata::default() };
        let entry = Entry { kind: EntryKind::CharDevice { major, minor }, metadata };
        put_missing(tree, &format!("dev/{name}"), entry)?;
    }
    for (name, target) in DEVICE_LINKS {
        put_missing(tree, &format!("dev/{name}"), symlink(target, time))?;
    }
    let bare =
        resolved.plan.image_sources.iter().map(|source| crate::finish::AptSource { signed_by: None, ..source.clone() });
    let list = sources::one_line(&bare.collect::<Vec<_>>());
    let path = own_path("etc/apt/sources.list");
    Ok(Place { tree, mtime: time }.put(&path, text(list.as_bytes()))?)
}

fn file(bytes: &[u8], mode: u32, mtime: Timestamp) -> Entry {
    Entry::file(Content::from_bytes(bytes), Metadata { mode, mtime, ..Metadata::default() })
}

fn symlink(target: &str, mtime: Timestamp) -> Entry {
    let metadata = Metadata { mode: 0o777, mtime, ..Metadata::default() };
    Entry { kind: EntryKind::Symlink(target.as_bytes().into()), metadata }
}

/// Puts an entry where nothing is; its directory is there.
fn put_missing(tree: &mut Tree, name: &str, entry: Entry) -> Result<(), StageError> {
    let name = own_path(name);
    // A link that leads nowhere is something, too.
    let (path, found) = tree.resolve(&name, false).map_err(|source| StageError::Put { path: name, source })?;
    if found.is_some() {
        return Ok(());
    }
    let mtime = entry.metadata.mtime;
    Place { tree, mtime }.put(&path, entry)
}

/// The log of a second stage: what the scripts said.
///
/// A line that tells the time of day would make two directories of the same packages differ.
#[must_use]
pub fn log(said: &[String]) -> String {
    const CLOCKS: [&str; 2] = ["Local time is now:", "Universal Time is now:"];
    let lines = said.iter().filter(|line| !CLOCKS.iter().any(|clock| line.contains(clock)));
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// Where the log goes.
#[must_use]
pub fn log_path() -> TreePath {
    own_path("var/log/bootstrap.log")
}

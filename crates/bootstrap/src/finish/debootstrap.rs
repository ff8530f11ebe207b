//! What debootstrap's process leaves behind that configuring all packages at once does not.
//!
//! Found by making both roots of the same packages (bookworm, minbase) and comparing them; all else was equal, byte for
//! byte, and each difference has its rule:
//!
//! | path | rule |
//! |---|---|
//! | `/var/lib/dpkg/available` | the stanzas of the chosen packages as they stand in the index, in its order |
//! | `/var/lib/dpkg/status` | Priority and Section of the required set are those of `available`: dpkg takes them over when it is asked for pre-dependencies |
//! | `/var/lib/dpkg/status-old` | the status before that: Priority and Section of the packages themselves |
//! | `/var/lib/dpkg/cmethopt` | `apt apt`, for dselect |
//! | `/var/lib/dpkg/statoverride` | not made by an installation, nor a copy of the empty one |
//! | `/etc/fstab` | a comment, where no package brings one |
//! | `/etc/apt/sources.list` | one line for the archive: see [`super::sources`] |
//! | times of directories | see [`directory_times`] |
//! | times in `/var/lib/dpkg/info` | dpkg keeps those of the control member; `.list` is new |
//! | owners in `/var/cache/debconf/config.dat` | a `preinst` runs as `/var/lib/dpkg/tmp.ci/preinst`, with `control` beside it: debconf reads the owner's name there, and takes `unknown` otherwise |
//! | days in `/etc/shadow` | scripts run with `SOURCE_DATE_EPOCH`, which useradd obeys |
//!
//! The last three are for whoever unpacks packages and runs scripts; the others are made here.

use std::collections::{BTreeMap, HashMap};

use bedplate_image::Contents;
use bedplate_tree::{Action, Delta, Timestamp, Tree, TreePath};

use super::edit::{Editor, own_path};
use super::{FinishError, Note};

/// The table of file systems of a root that nobody configured.
pub(crate) const FSTAB: &str = "# UNCONFIGURED FSTAB FOR BASE SYSTEM\n";

/// The top-level directories that move into `/usr`, in debootstrap's order.
const MERGED: [&str; 7] = ["bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin"];

/// How a package came into the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is of the required set: tar extracted it before anything ran, dpkg unpacked it over that.
    Required,
    /// It is of the base set: dpkg unpacked it into a working root.
    Base,
}

/// A package as debootstrap unpacked it.
#[derive(Debug, Clone, Copy)]
pub struct Unpacked<'a> {
    /// When.
    pub stage: Stage,
    /// What its archive holds, with the paths as packed.
    pub delta: &'a Delta,
}

/// What debootstrap did.
#[derive(Debug, Clone, Copy)]
pub struct Process<'a> {
    /// The stanzas of the chosen packages, in the order of the index, each without the blank line after it.
    pub stanzas: &'a [&'a [u8]],
    /// The names of the required set; empty where all packages are of it.
    pub required: &'a [String],
    /// The packages in the order in which debootstrap unpacks them: all of the required set first.
    pub packages: &'a [Unpacked<'a>],
    /// What later times will be clamped to.
    pub epoch: Timestamp,
}

/// Gives a configured root what debootstrap's process leaves in it.
///
/// To be called once, before [`super::finish`]; scripts must have run with a clock after the epoch, so that what
/// they touched carries a later time.
///
/// # Errors
/// [`FinishError`]; the tree is then half changed.
pub fn imitate(tree: &mut Tree, contents: &dyn Contents, process: &Process<'_>) -> Result<Vec<Note>, FinishError> {
    let mut editor = Editor::new(tree, contents, process.epoch);
    set_directory_times(&mut editor, process);
    if editor.is_directory("etc") && editor.inode("etc/fstab").is_none() {
        editor.write("etc/fstab", FSTAB.as_bytes(), 0o644, "debootstrap's table of file systems")?;
    }
    if editor.is_directory("var/lib/dpkg") {
        database(&mut editor, process)?;
    }
    Ok(editor.finish())
}

fn database(editor: &mut Editor<'_>, process: &Process<'_>) -> Result<(), FinishError> {
    let mut available = Vec::new();
    for stanza in process.stanzas {
        available.extend_from_slice(stanza.trim_ascii_end());
        available.extend_from_slice(b"\n\n");
    }
    editor.write("var/lib/dpkg/available", &available, 0o644, "debootstrap writes it from the index")?;
    editor.write("var/lib/dpkg/cmethopt", b"apt apt\n", 0o644, "debootstrap tells dselect of apt")?;
    for name in ["var/lib/dpkg/statoverride", "var/lib/dpkg/statoverride-old"] {
        if editor.read(name)?.is_some_and(|text| text.is_empty()) {
            editor.remove(name, "dpkg makes it when it is needed");
        }
    }
    if let Some(status) = editor.read("var/lib/dpkg/status")? {
        let is_required = |stanza: &&&[u8]| {
            let name = field(stanza, b"Package");
            process.required.is_empty() || process.required.iter().any(|known| name == Some(known.as_bytes()))
        };
        let required: Vec<&[u8]> = process.stanzas.iter().filter(is_required).copied().collect();
        let merged = with_classes_of(&status, &required);
        editor.write("var/lib/dpkg/status-old", &status, 0o644, "the status before the index was asked")?;
        editor.write("var/lib/dpkg/status", &merged, 0o644, "the index decides on priorities and sections")?;
    }
    Ok(())
}

/// The first line of a stanza's field, without its name; `None` where the field is absent.
fn field<'a>(stanza: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    stanza.split(|&byte| byte == b'\n').find_map(|line| value(line, name))
}

fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    let rest = rest.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then(|| rest.trim_ascii())
}

/// The status with Priority and Section of the index, which dpkg takes over where the index names them.
fn with_classes_of(status: &[u8], stanzas: &[&[u8]]) -> Vec<u8> {
    let known: HashMap<&[u8], &[u8]> =
        stanzas.iter().filter_map(|stanza| Some((field(stanza, b"Package")?, *stanza))).collect();
    let mut text = Vec::with_capacity(status.len());
    let mut stanza: Option<&[u8]> = None;
    let (mut priority, mut section) = (false, false);
    for line in status.split_inclusive(|&byte| byte == b'\n') {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        if let Some(package) = value(bare, b"Package") {
            stanza = known.get(package).copied();
            (priority, section) = (false, false);
        }
        let class = |name: &[u8]| stanza.and_then(|stanza| field(stanza, name));
        let mut put = |name: &[u8], found: &[u8]| text.extend_from_slice(&[name, b": ", found, b"\n"].concat());
        // dpkg writes Package, Essential, Protected, Status, Priority, Section, and then all else.
        let head = [&b"Package"[..], b"Essential", b"Protected", b"Important", b"Status", b"Priority", b"Section"];
        let in_head = head.iter().any(|name| value(bare, name).is_some());
        if value(bare, b"Priority").is_some() {
            priority = true;
            if let Some(found) = class(b"Priority") {
                put(b"Priority", found);
                continue;
            }
        } else if !priority && (value(bare, b"Section").is_some() || !in_head) {
            priority = true;
            if let Some(found) = class(b"Priority") {
                put(b"Priority", found);
            }
        }
        if value(bare, b"Section").is_some() {
            section = true;
            if let Some(found) = class(b"Section") {
                put(b"Section", found);
                continue;
            }
        } else if !section && !in_head {
            section = true;
            if let Some(found) = class(b"Section") {
                put(b"Section", found);
            }
        }
        text.extend_from_slice(line);
    }
    text
}

/// The time of a directory after unpacking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectoryTime {
    /// That of the package that brought it first: nothing was made in it afterwards.
    Packed(Timestamp),
    /// Something was made in it while packages were unpacked.
    Touched,
}

struct Directory {
    time: DirectoryTime,
    /// The package that made it, by number.
    maker: usize,
}

/// The times that directories have once debootstrap unpacked all packages, by their paths in the root.
///
/// - tar gives a directory its packed time after everything in it is extracted, and leaves one alone that it finds:
///   what a later package makes in it touches it.
/// - Merging `/usr` moves directories with their times and touches where they go.
/// - dpkg renames every file into its place, which touches the directory; directories that exist it leaves alone, and a new
///   one keeps its packed time until something is made in it.
///
/// So a packed time survives in directories that hold nothing but directories of the same package.
#[must_use]
pub fn directory_times(packages: &[Unpacked<'_>], merged_usr: bool) -> BTreeMap<TreePath, DirectoryTime> {
    let mut known: BTreeMap<TreePath, Directory> = BTreeMap::new();
    known.insert(TreePath::root(), Directory { time: DirectoryTime::Touched, maker: usize::MAX });
    let required = packages.iter().enumerate().filter(|(_, package)| package.stage == Stage::Required);
    for (number, package) in required.clone() {
        for change in &package.delta.changes {
            if let Action::Put(entry) = &change.action
                && entry.is_directory()
            {
                make(&mut known, &change.path, entry.metadata.mtime, number, false);
            } else {
                make_parent(&mut known, &change.path, number);
            }
        }
    }
    if merged_usr {
        for name in MERGED {
            merge(&mut known, &own_path(name));
        }
    }
    let canonical = |path: &TreePath| match merged_usr {
        true => merged_path(path),
        false => path.clone(),
    };
    for (_, package) in required {
        for change in &package.delta.changes {
            if !matches!(&change.action, Action::Put(entry) if entry.is_directory()) {
                touch_parent(&mut known, &canonical(&change.path));
            }
        }
    }
    for (number, package) in packages.iter().enumerate().filter(|(_, package)| package.stage == Stage::Base) {
        for change in &package.delta.changes {
            let path = canonical(&change.path);
            if let Action::Put(entry) = &change.action
                && entry.is_directory()
            {
                make(&mut known, &path, entry.metadata.mtime, number, true);
            } else {
                make_parent(&mut known, &path, number);
                touch_parent(&mut known, &path);
            }
        }
    }
    known.into_iter().map(|(path, directory)| (path, directory.time)).collect()
}

/// Makes a directory where none is. `touches`: what is made in a directory touches it even within one package.
fn make(known: &mut BTreeMap<TreePath, Directory>, path: &TreePath, mtime: Timestamp, maker: usize, touches: bool) {
    if known.contains_key(path) {
        return;
    }
    make_parent(known, path, maker);
    if let Some(parent) = path.parent().and_then(|parent| known.get_mut(&parent))
        && (touches || parent.maker != maker)
    {
        parent.time = DirectoryTime::Touched;
    }
    known.insert(path.clone(), Directory { time: DirectoryTime::Packed(mtime), maker });
}

/// Makes the directories above a path that no package brings: they have the time at which they were made.
fn make_parent(known: &mut BTreeMap<TreePath, Directory>, path: &TreePath, maker: usize) {
    if let Some(parent) = path.parent()
        && !known.contains_key(&parent)
    {
        make_parent(known, &parent, maker);
        touch_parent(known, &parent);
        known.insert(parent, Directory { time: DirectoryTime::Touched, maker });
    }
}

fn touch_parent(known: &mut BTreeMap<TreePath, Directory>, path: &TreePath) {
    if let Some(parent) = path.parent().and_then(|parent| known.get_mut(&parent)) {
        parent.time = DirectoryTime::Touched;
    }
}

/// Moves a directory into `/usr`, or what it holds where that has one of the name.
fn merge(known: &mut BTreeMap<TreePath, Directory>, path: &TreePath) {
    if !known.contains_key(path) {
        return;
    }
    let target = merged_path(path);
    let below = |known: &BTreeMap<TreePath, Directory>, base: &TreePath| -> Vec<TreePath> {
        known
            .range(base.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.strip_prefix(base).is_some())
            .cloned()
            .collect()
    };
    if known.contains_key(&target) {
        let children: Vec<TreePath> =
            below(known, path).into_iter().filter(|child| child.parent().as_ref() == Some(path)).collect();
        for child in children {
            merge(known, &child);
        }
        known.remove(path);
        return;
    }
    touch_parent(known, &target);
    for path in below(known, path) {
        if let Some(directory) = known.remove(&path) {
            known.insert(merged_path(&path), directory);
        }
    }
}

fn merged_path(path: &TreePath) -> TreePath {
    let merges = path.components().next().is_some_and(|top| MERGED.iter().any(|name| name.as_bytes() == top));
    match merges {
        true => own_path("usr").append(path).unwrap_or_else(|_| path.clone()),
        false => path.clone(),
    }
}

fn set_directory_times(editor: &mut Editor<'_>, process: &Process<'_>) {
    let merged_usr = !editor.is_directory_itself("bin");
    for (path, time) in directory_times(process.packages, merged_usr) {
        let Some(id) = editor.tree.lookup(&path) else { continue };
        let inode = editor.tree.inode(id);
        // A later time than any package's is that of a script.
        if !inode.entry.is_directory() || inode.entry.metadata.mtime > process.epoch {
            continue;
        }
        editor.tree.metadata_mut(id).mtime = match time {
            DirectoryTime::Packed(mtime) => mtime,
            DirectoryTime::Touched => process.epoch,
        };
    }
    // Devices, the database, downloaded indexes and archives: no package made them. In a container of Docker, where most
    // images are made, debootstrap also makes /proc anew.
    for path in ["dev", "proc", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/apt/lists", "var/cache/apt"] {
        editor.touch(&own_path(path));
    }
}

#[cfg(test)]
mod tests {
    use super::super::edit::tests::{EPOCH, root, shown};
    use super::*;
    use bedplate_tree::{Change, Content, Entry, Metadata};

    fn delta(paths: &[&str], mtime: i64) -> Delta {
        let metadata = Metadata { mtime: Timestamp::from_seconds(mtime), ..Metadata::default() };
        let change = |path: &&str| {
            let entry = match path.strip_suffix('/') {
                Some(_) => Entry::directory(metadata.clone()),
                None => Entry::file(Content::empty(), metadata.clone()),
            };
            Change { path: own_path(path.trim_end_matches('/')), action: Action::Put(entry) }
        };
        Delta { changes: paths.iter().map(change).collect() }
    }

    #[test]
    fn directories_keep_packed_times_where_nothing_was_made_in_them() {
        let a = delta(
            &["usr/", "usr/share/", "usr/share/a/", "usr/share/a/b/", "usr/share/e/", "lib/", "lib/s/", "lib/s/t/"],
            1,
        );
        let b = delta(
            &["usr/", "usr/share/", "usr/share/a/", "usr/share/a/c/", "usr/share/d/", "usr/share/d/file", "usr/lib/"],
            2,
        );
        let c = delta(&["usr/", "usr/new/", "usr/new/x/", "usr/share/e/", "n/o/file", "lib/s/t/"], 3);
        let unpacked = |stage, delta| Unpacked { stage, delta };
        let packages = [unpacked(Stage::Required, &a), unpacked(Stage::Required, &b), unpacked(Stage::Base, &c)];
        let times = directory_times(&packages, true);
        let shown: Vec<String> = times
            .iter()
            .map(|(path, time)| match time {
                DirectoryTime::Touched => format!("{path} touched"),
                DirectoryTime::Packed(time) => format!("{path} {}", time.seconds),
            })
            .collect();
        assert_eq!(
            shown,
            [
                "/ touched",
                "/n touched",
                "/n/o touched",
                "/usr touched",
                "/usr/lib touched",
                "/usr/lib/s 1",
                "/usr/lib/s/t 1",
                "/usr/new touched",
                "/usr/new/x 3",
                "/usr/share touched",
                "/usr/share/a touched",
                "/usr/share/a/b 1",
                "/usr/share/a/c 2",
                "/usr/share/d touched",
                "/usr/share/e 1",
            ]
        );
        assert_eq!(
            directory_times(&packages[..1], false)[&own_path("lib/s")],
            DirectoryTime::Packed(Timestamp::from_seconds(1))
        );
    }

    #[test]
    fn the_index_decides_on_priority_and_section() {
        let index: &[&[u8]] =
            &[b"Package: a\nVersion: 1\nSection: libs\nPriority: optional", b"Package: b\nPriority: required"];
        let cases = [
            (
                "Package: a\nStatus: s\nPriority: extra\nSection: x\nVersion: 1\n\n",
                "Package: a\nStatus: s\nPriority: optional\nSection: libs\nVersion: 1\n\n",
            ),
            (
                "Package: a\nStatus: s\nVersion: 1\n\n",
                "Package: a\nStatus: s\nPriority: optional\nSection: libs\nVersion: 1\n\n",
            ),
            (
                "Package: a\nStatus: s\nSection: x\nV: 1\n",
                "Package: a\nStatus: s\nPriority: optional\nSection: libs\nV: 1\n",
            ),
            ("Package: b\nPriority: x\nSection: x\nV: 1\n", "Package: b\nPriority: required\nSection: x\nV: 1\n"),
            ("Package: c\nPriority: x\nV: 1\n\n", "Package: c\nPriority: x\nV: 1\n\n"),
            (
                "Package: c\nPriority: x\nV: 1\n\nPackage: b\nPriority: x\nV: 2\nDescription: t\n Priority: no\n",
                "Package: c\nPriority: x\nV: 1\n\nPackage: b\nPriority: required\nV: 2\nDescription: t\n Priority: no\n",
            ),
        ];
        for (before, after) in cases {
            assert_eq!(String::from_utf8(with_classes_of(before.as_bytes(), index)).unwrap(), after, "{before}");
        }
    }

    #[test]
    fn the_database_gets_what_debootstrap_writes() {
        let mut tree = root(&[
            "etc/",
            "var/lib/dpkg/status=Package: a\nPriority: x\nV: 1\n\nPackage: b\nPriority: x\n\n",
            "var/lib/dpkg/statoverride=",
        ]);
        let stanzas: &[&[u8]] = &[b"Package: a\nPriority: y\n", b"Package: b\nPriority: y\n"];
        let process = Process { stanzas, required: &["a".to_owned()], packages: &[], epoch: EPOCH };
        imitate(&mut tree, &bedplate_image::ContentSources::new(), &process).unwrap();
        assert_eq!(
            shown(&tree),
            [
                "etc/fstab=# UNCONFIGURED FSTAB FOR BASE SYSTEM\n",
                "var/lib/dpkg/available=Package: a\nPriority: y\n\nPackage: b\nPriority: y\n\n",
                "var/lib/dpkg/cmethopt=apt apt\n",
                "var/lib/dpkg/status=Package: a\nPriority: y\nV: 1\n\nPackage: b\nPriority: x\n\n",
                "var/lib/dpkg/status-old=Package: a\nPriority: x\nV: 1\n\nPackage: b\nPriority: x\n\n",
            ]
        );
    }
}

//! The same work done over an overlay and in a copy gives the same layer.
//!
//! Needs `unshare` and an upper side on a file system that overlayfs takes; what is missing is said.
#![allow(clippy::print_stderr)]

use std::path::Path;
use std::process::Command;

use bedplate_image::{
    ContentSources, Marks, Prepared, UnpackOptions, compare, prepare_upper, read_upper, record, unpack_parted,
    unpack_tree, write_layer,
};
use bedplate_sys::rooted::Root;
use bedplate_tree::{Action, Content, Delta, Difference, Entry, EntryKind, Metadata, Timestamp, Tree, TreePath};

/// Older than all that the work makes, newer than all that the base has.
const EPOCH: Timestamp = Timestamp::from_seconds(1_500_000_000);

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

fn base() -> Tree {
    let (uid, gid) = {
        let dir = tempfile::tempdir().unwrap();
        let stat = Root::open(dir.path()).unwrap().handle().stat_self().unwrap();
        (stat.uid, stat.gid)
    };
    let metadata =
        |mode| Metadata { mode, uid, gid, mtime: Timestamp::from_seconds(1_000_000_000), ..Metadata::default() };
    let mut tree = Tree::new();
    tree.put(&TreePath::root(), Entry::directory(metadata(0o755))).unwrap();
    let directories =
        ["etc", "etc/deep", "etc/deep/er", "gone", "gone/sub", "again", "becomes-file", "moved", "touched"];
    for name in directories {
        tree.put(&path(name), Entry::directory(metadata(0o755))).unwrap();
    }
    let files = [
        "etc/passwd",
        "etc/removed",
        "etc/deep/er/file",
        "gone/a",
        "gone/sub/b",
        "again/old",
        "again/older",
        "becomes-file/x",
        "becomes-directory",
        "moved/a",
        "moved/b",
        "appended",
        "untouched",
        "opened",
        "chmod",
        "linked-a",
        "written-a",
        "joined-a",
        "owned-a",
    ];
    for name in files {
        let bytes = Content::from_bytes(format!("this is {name}").into_bytes());
        tree.put(&path(name), Entry::file(bytes, metadata(0o644))).unwrap();
    }
    tree.link(&path("linked-b"), &path("linked-a")).unwrap();
    for name in ["written", "joined", "owned"] {
        tree.link(&path(&format!("{name}-b")), &path(&format!("{name}-a"))).unwrap();
        tree.link(&path(&format!("{name}-c")), &path(&format!("{name}-a"))).unwrap();
    }
    let symlink = Entry { kind: EntryKind::Symlink(b"untouched"[..].into()), metadata: metadata(0o777) };
    tree.put(&path("symlink"), symlink).unwrap();
    tree
}

/// What the process does in its root. Files of the base with several names are parted where they are changed.
const WORK: &str = r"
echo more >> appended
: >> opened
chmod 0600 chmod
chmod 0644 untouched
rm etc/removed
echo x > etc/new
rm -r gone
rm -r again; mkdir again; echo y > again/young
rm -r becomes-file; echo z > becomes-file
rm becomes-directory; mkdir -p becomes-directory/sub; echo q > becomes-directory/sub/q
mv moved was-moved
echo r > etc/deep/er/file
mkdir empty
mkfifo pipe
ln -s /etc/passwd link-to
rm symlink; ln -s elsewhere symlink
echo two > new-a; ln new-a new-b
echo one > touched/x; rm touched/x
chmod 0711 touched
truncate -s 3M sparse
echo u > 'ünïcode name'
mkdir hosts.d
echo more >> written-a
ln joined-a joined-d
chmod 0700 owned-a owned-b owned-c
";

/// Runs the work, in namespaces of its own; `None` where that cannot be had.
fn run(script: &str, flags: &[&str]) -> Option<()> {
    // Should the script not stop where it must, it works in an empty directory.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    let output = command.args(flags).args(["sh", "-c", script]).current_dir(elsewhere.path()).output().ok()?;
    if !output.status.success() {
        eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr).trim());
        return None;
    }
    Some(())
}

fn over_overlay(base: &Tree, marks: Marks, work: &Path) -> Option<(Difference, ContentSources<'static>)> {
    let at = |name: &str| {
        let path = work.join(name);
        std::fs::create_dir(&path).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (lower, upper, inner, merged) = (at("lower"), at("upper"), at("work"), at("merged"));
    let mut sources = ContentSources::new();
    let lower_root = Root::open(&*lower).unwrap();
    unpack_tree(base, &sources, lower_root.handle(), &UnpackOptions::default()).unwrap();
    let upper_root = Root::open(&*upper).unwrap();
    prepare_upper(upper_root.handle(), base).unwrap();
    let (flags, more): (&[&str], _) = match marks {
        Marks::Trusted => (&["-m"], ""),
        Marks::User => (&["-Urm"], ",userxattr"),
    };
    let options = "redirect_dir=nofollow,metacopy=off,index=off,xino=off";
    let script = format!(
        "set -e; mount -t overlay overlay -o lowerdir={lower},upperdir={upper},workdir={inner},{options}{more} {merged}; \
         cd {merged}; {WORK}"
    );
    run(&script, flags)?;
    let placeholders = [path("hosts.d")];
    let prepared = Prepared { placeholders: &placeholders, ..Prepared::default() };
    let found = read_upper(upper_root, base, &mut sources, marks, &prepared).unwrap();
    Some((found, sources))
}

fn in_copy(base: &Tree, work: &Path) -> Option<(Difference, ContentSources<'static>)> {
    let copy = work.join("copy");
    std::fs::create_dir(&copy).unwrap();
    let mut sources = ContentSources::new();
    let root = Root::open(&*copy).unwrap();
    unpack_parted(base, &sources, root.handle(), &UnpackOptions::default()).unwrap();
    let recorded = record(&root).unwrap();
    run(&format!("set -e; cd {}; {WORK}", copy.to_str().unwrap()), &["-m"])
        .or_else(|| run(&format!("set -e; cd {}; {WORK}", copy.to_str().unwrap()), &["-Urm"]))?;
    let placeholders = [path("hosts.d")];
    let prepared = Prepared { placeholders: &placeholders, parted: true, ..Prepared::default() };
    let found = compare(root, base, &recorded, &mut sources, &prepared).unwrap();
    Some((found, sources))
}

fn shown(delta: &Delta) -> Vec<String> {
    let line = |change: &bedplate_tree::Change| match &change.action {
        Action::Put(Entry { kind: EntryKind::File(content), metadata }) => {
            format!("{} {} bytes {metadata:?}", change.path, content.size())
        }
        action => format!("{} {action:?}", change.path),
    };
    delta.changes.iter().map(line).collect()
}

#[test]
fn overlays_and_copies_tell_the_same() {
    let base = base();
    let work = tempfile::tempdir().unwrap();
    let Some((by_copy, copy_sources)) = in_copy(&base, work.path()) else { return };
    let mut by_copy = by_copy.delta;
    by_copy.clamp(EPOCH);
    let expected = write_layer(&by_copy, &copy_sources, EPOCH, std::io::sink()).unwrap();
    let names: Vec<String> = by_copy.changes.iter().map(|change| change.path.to_string()).collect();
    for absent in [
        "/untouched",
        "/opened",
        "/linked-a",
        "/linked-b",
        "/written-b",
        "/joined-b",
        "/hosts.d",
        "/etc/passwd",
        "/gone/a",
    ] {
        assert!(!names.iter().any(|name| name == absent), "{absent} in {names:?}");
    }
    for present in [
        "/appended",
        "/chmod",
        "/etc/removed",
        "/gone",
        "/was-moved/a",
        "/touched",
        "/new-b",
        "/symlink",
        "/written-a",
        "/joined-d",
    ] {
        assert!(names.iter().any(|name| name == present), "{present} not in {names:?}");
    }
    for marks in [Marks::Trusted, Marks::User] {
        let work = tempfile::tempdir().unwrap();
        let Some((found, sources)) = over_overlay(&base, marks, work.path()) else { continue };
        let mut delta = found.delta;
        delta.clamp(EPOCH);
        assert_eq!(shown(&delta), shown(&by_copy), "{marks:?}");
        let layer = write_layer(&delta, &sources, EPOCH, std::io::sink()).unwrap();
        assert_eq!(layer.diff_id, expected.diff_id, "{marks:?}");
    }
}

//! Trees go to a disk and come back as they were; so do changes, by an overlay's upper side and by comparing.

use std::collections::HashMap;
use std::convert::Infallible;

use bedplate_image::unpack::SkipReason;
use bedplate_image::{
    ContentSources, Contents, Marks, Owners, Prepared, Recorded, ScanOptions, UnpackOptions, compare, prepare_upper,
    read_upper, record, scan, tree_of, unpack_delta, unpack_tree, update_tree, write_tree,
};
use bedplate_sys::rooted::Root;
use bedplate_tree::{
    Content, Delta, Difference, Entry, EntryKind, Extent, Metadata, Source, Timestamp, Tree, TreePath, diff,
};
use proptest::prelude::*;
use tempfile::TempDir;

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

/// Whoever runs the tests, as the owner of everything: other owners need rights.
fn own() -> (u32, u32) {
    let dir = tempfile::tempdir().unwrap();
    let stat = Root::open(dir.path()).unwrap().handle().stat_self().unwrap();
    (stat.uid, stat.gid)
}

/// Root, and not only of a user namespace that knows few IDs.
fn is_root() -> bool {
    let map = std::fs::read("/proc/self/uid_map").unwrap_or_default();
    own() == (0, 0) && bedplate_sys::idmap::IdMap::parse(&map).contains(70_008)
}

fn metadata(mode: u32) -> Metadata {
    let (uid, gid) = own();
    Metadata { mode, uid, gid, mtime: Timestamp { seconds: 1_000_000_000, nanoseconds: 123 }, ..Metadata::default() }
}

fn file(bytes: &[u8], mode: u32) -> Entry {
    Entry::file(Content::from_bytes(bytes), metadata(mode))
}

fn symlink(target: &str) -> Entry {
    Entry { kind: EntryKind::Symlink(target.as_bytes().into()), metadata: metadata(0o777) }
}

fn new_tree() -> Tree {
    let mut tree = Tree::new();
    tree.put(&TreePath::root(), Entry::directory(metadata(0o755))).unwrap();
    tree
}

/// A tree as text, with the bytes of its files.
fn listing(tree: &Tree, contents: &dyn Contents) -> Vec<String> {
    let mut numbers = HashMap::new();
    let line = |(path, id)| {
        let next = numbers.len();
        let number = *numbers.entry(id).or_insert(next);
        let entry = &tree.inode(id).entry;
        let kind = match &entry.kind {
            EntryKind::File(content) => {
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut contents.open(content).unwrap(), &mut bytes).unwrap();
                format!("file {}", String::from_utf8_lossy(&bytes))
            }
            kind => format!("{kind:?}"),
        };
        format!("{path} #{number} {kind} {:?}", entry.metadata)
    };
    tree.walk().map(line).collect()
}

fn scanned(dir: &TempDir) -> (Tree, ContentSources<'static>) {
    let mut sources = ContentSources::new();
    let tree = scan(Root::open(dir.path()).unwrap(), &mut sources, &ScanOptions::default()).unwrap();
    (tree, sources)
}

fn unpacked(tree: &Tree, threads: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let options = UnpackOptions { threads, ..UnpackOptions::default() };
    let report = unpack_tree(tree, &ContentSources::new(), root.handle(), &options).unwrap();
    assert_eq!(report.skipped, []);
    dir
}

#[test]
fn a_tree_goes_to_the_disk_and_comes_back() {
    let mut tree = new_tree();
    let mut setuid = file(b"#!", 0o4755);
    setuid.metadata.xattrs.insert(b"user.note"[..].into(), b"\0x"[..].into());
    tree.put(&path("usr/bin/su"), setuid).unwrap();
    tree.put(&path("usr"), Entry::directory(metadata(0o500))).unwrap();
    tree.put(&path("usr/bin"), Entry::directory(metadata(0o2755))).unwrap();
    tree.put(&path("bin"), symlink("usr/bin")).unwrap();
    tree.put(&path("dangling"), symlink("/no/where")).unwrap();
    tree.put(&path("tmp"), Entry::directory(metadata(0o1777))).unwrap();
    tree.put(&path("secret"), file(b"x", 0o000)).unwrap();
    tree.put(&path("empty"), file(b"", 0o644)).unwrap();
    tree.put(&path("pipe"), Entry { kind: EntryKind::Fifo, metadata: metadata(0o622) }).unwrap();
    tree.link(&path("usr/bin/sudo"), &path("usr/bin/su")).unwrap();
    tree.link(&path("a-first-name"), &path("bin")).unwrap();
    let old = Metadata { mtime: Timestamp { seconds: -5, nanoseconds: 999_999_999 }, ..metadata(0o600) };
    tree.put(&path("older than time"), Entry::file(Content::from_bytes(*b"y"), old)).unwrap();
    for number in 0..300 {
        tree.put(&path(&format!("many/{number:03}")), file(format!("{number}").as_bytes(), 0o644)).unwrap();
    }
    tree.put(&path("many"), Entry::directory(metadata(0o755))).unwrap();
    for threads in [1, 2, 4] {
        let dir = unpacked(&tree, threads);
        // A file that its owner may not read is not read back without root.
        let (mut back, sources) = scanned(&dir);
        let mut expected = tree.clone();
        if !is_root() {
            back.remove(&path("secret"));
            expected.remove(&path("secret"));
        }
        assert_eq!(listing(&back, &sources), listing(&expected, &sources));
    }
}

#[test]
fn holes_stay_holes() {
    let source = Source::Memory([b'x'; 8192].into());
    let extents = vec![
        Extent { logical: 1 << 20, physical: 0, length: 4096 },
        Extent { logical: 3 << 20, physical: 4096, length: 4096 },
    ];
    let content = Content::sparse(source, 8 << 20, extents).unwrap();
    let mut tree = new_tree();
    tree.put(&path("sparse"), Entry::file(content.clone(), metadata(0o644))).unwrap();
    let dir = unpacked(&tree, 1);
    let (back, sources) = scanned(&dir);
    let found = back.entry(&path("sparse")).unwrap().content().unwrap();
    assert!(sources.same(found, &content).unwrap());
    assert_eq!(found.size(), 8 << 20);
    assert!(found.stored_size() < 1 << 20, "{found:?}");
}

#[test]
fn owners_and_devices_as_root() {
    if !is_root() {
        return;
    }
    let mut tree = new_tree();
    let foreign = Metadata { uid: 70_000, gid: 70_008, ..metadata(0o6755) };
    let mut capable = foreign.clone();
    // cap_net_raw+ep, revision 2.
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    capable.xattrs.insert(b"security.capability"[..].into(), capability.into());
    tree.put(&path("setid"), Entry::file(Content::empty(), foreign.clone())).unwrap();
    tree.put(&path("ping"), Entry::file(Content::from_bytes(*b"x"), capable)).unwrap();
    tree.put(&path("link"), Entry { metadata: Metadata { mode: 0o777, ..foreign.clone() }, ..symlink("x") }).unwrap();
    tree.put(&path("d"), Entry::directory(foreign.clone())).unwrap();
    let device = EntryKind::CharDevice { major: 1, minor: 3 };
    tree.put(&path("null"), Entry { kind: device, metadata: metadata(0o666) }).unwrap();
    let dir = unpacked(&tree, 2);
    let (back, sources) = scanned(&dir);
    assert_eq!(listing(&back, &sources), listing(&tree, &sources));
}

#[test]
fn what_an_overlay_would_believe_is_left_out() {
    let mut tree = new_tree();
    let mut liar = metadata(0o755);
    liar.xattrs.insert(b"user.overlay.opaque"[..].into(), b"y"[..].into());
    tree.put(&path("d"), Entry::directory(liar)).unwrap();
    let device = EntryKind::CharDevice { major: 0, minor: 0 };
    tree.put(&path("w"), Entry { kind: device, metadata: metadata(0o600) }).unwrap();
    tree.link(&path("x"), &path("w")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let report = unpack_tree(&tree, &ContentSources::new(), root.handle(), &UnpackOptions::default()).unwrap();
    let skipped: Vec<_> = report.skipped.iter().map(|skipped| (skipped.path.to_string(), &skipped.reason)).collect();
    let name = b"user.overlay.opaque"[..].into();
    let expected = [
        ("/d".to_owned(), &SkipReason::OverlayXattr { name }),
        ("/w".to_owned(), &SkipReason::WhiteoutDevice),
        ("/x".to_owned(), &SkipReason::Device),
    ];
    assert_eq!(skipped, expected);
    assert_eq!(root.handle().entries().unwrap().len(), 1);
}

#[test]
fn an_owner_out_of_reach_is_explained_or_counted() {
    let mut tree = new_tree();
    let foreign = Metadata { uid: own().0, gid: u32::MAX, ..metadata(0o644) };
    tree.put(&path("var/mail"), Entry::file(Content::empty(), foreign)).unwrap();
    let attempt = |owners| {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        unpack_tree(&tree, &ContentSources::new(), root.handle(), &UnpackOptions { owners, threads: 1 })
    };
    let map = |count: u32| bedplate_sys::idmap::IdMap::parse(format!("0 100000 {count}\n").as_bytes());
    let error = attempt(Owners::Mapped { users: map(u32::MAX), groups: map(65_536) }).unwrap_err();
    assert_eq!(error.to_string(), format!("entry \"/var/mail\": cannot set owner {}:4294967295", own().0));
    let hint = "group 4294967295 is outside the 65536 IDs mapped for this user; widen its range in /etc/subgid";
    assert_eq!(error.hint().as_deref(), Some(hint));
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("EINVAL"));
    // The implied directory belongs to 0:0, which is not everybody.
    let skipped = if own() == (0, 0) { 1 } else { 2 };
    assert_eq!(attempt(Owners::One).unwrap().owners_skipped, skipped);
}

#[test]
fn a_scan_takes_what_is_chosen() {
    let mut tree = new_tree();
    for name in ["proc/1/status", "etc/passwd", "src/.git/config", "src/main"] {
        tree.put(&path(name), file(b"x", 0o644)).unwrap();
    }
    let dir = unpacked(&change(tree, &[]), 1);
    let choose = |path: &TreePath, is_directory: bool| match path.as_bytes() {
        b"proc" => bedplate_image::Choice::TakeEmpty,
        _ if path.file_name() == Some(b".git") => bedplate_image::Choice::Leave,
        b"src/main" => {
            assert!(!is_directory);
            bedplate_image::Choice::Take
        }
        _ => bedplate_image::Choice::Take,
    };
    let options = ScanOptions {
        owner: Some((0, 7)),
        mtime: Some(Timestamp::from_seconds(9)),
        choose: Some(&choose),
        ..ScanOptions::default()
    };
    let found = scan(Root::open(dir.path()).unwrap(), &mut ContentSources::new(), &options).unwrap();
    let names: Vec<String> = found.walk().map(|(path, _)| path.to_string()).collect();
    assert_eq!(names, ["/", "/etc", "/etc/passwd", "/proc", "/src", "/src/main"]);
    let uniform = |(_, id)| {
        let metadata = &found.inode(id).entry.metadata;
        (metadata.uid, metadata.gid, metadata.mtime.seconds) == (0, 7, 9)
    };
    assert!(found.walk().all(uniform));
}

#[test]
fn a_file_that_changes_after_the_scan_is_named() {
    let mut tree = new_tree();
    tree.put(&path("a"), file(b"12345", 0o644)).unwrap();
    let dir = unpacked(&tree, 1);
    let (found, sources) = scanned(&dir);
    std::fs::write(dir.path().join("a"), b"54321").unwrap();
    let error = sources.open(found.entry(&path("a")).unwrap().content().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "file \"a\" changed while it was being read");
}

fn changes(base: &Tree, new: &Tree) -> Delta {
    diff(base, new, &mut |_, _| Ok::<_, Infallible>(false)).unwrap().delta
}

/// The changes as text, with the bytes of files.
fn shown(delta: &Delta, contents: &dyn Contents) -> Vec<String> {
    use bedplate_tree::Action;
    let line = |change: &bedplate_tree::Change| match &change.action {
        Action::Put(Entry { kind: EntryKind::File(content), metadata }) => {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut contents.open(content).unwrap(), &mut bytes).unwrap();
            format!("{} {bytes:?} {metadata:?}", change.path)
        }
        action => format!("{} {action:?}", change.path),
    };
    delta.changes.iter().map(line).collect()
}

/// Makes the change on a disk as an overlay would have, and reads it back.
fn by_overlay(base: &Tree, delta: &Delta) -> (Difference, ContentSources<'static>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let mut sources = ContentSources::new();
    prepare_upper(root.handle(), base).unwrap();
    let options = UnpackOptions { threads: 1, ..UnpackOptions::default() };
    unpack_delta(delta, base, &sources, root.handle(), Marks::User, &options).unwrap();
    // Hiding all that is below says nothing of the root itself.
    let puts = |change: &bedplate_tree::Change| matches!(change.action, bedplate_tree::Action::Put(_));
    let describes_root = delta.changes.iter().any(|change| change.path.is_root() && puts(change));
    if !describes_root {
        prepare_upper(root.handle(), base).unwrap();
    }
    let found = read_upper(root, base, &mut sources, Marks::User, &Prepared::default()).unwrap();
    (found, sources, dir)
}

fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![
        4 => Just(EntryKind::Directory),
        4 => "[xy]{0,2}".prop_map(|bytes| EntryKind::File(Content::from_bytes(bytes.into_bytes()))),
        2 => prop_oneof![Just("a"), Just("/b"), Just("../a"), Just("c/b")].prop_map(|target| EntryKind::Symlink(target.as_bytes().into())),
        1 => Just(EntryKind::Fifo),
    ];
    (kind, prop_oneof![Just(0o755), Just(0o4711)], 0..3i64, any::<bool>()).prop_map(|(kind, mode, seconds, xattr)| {
        let is_plain = matches!(kind, EntryKind::Directory | EntryKind::File(_));
        let mode = if matches!(kind, EntryKind::Symlink(_)) { 0o777 } else { mode };
        let mut metadata = metadata(mode);
        metadata.mtime = Timestamp { seconds, nanoseconds: 5 };
        if xattr && is_plain {
            metadata.xattrs.insert(b"user.x"[..].into(), b"1"[..].into());
        }
        Entry { kind, metadata }
    })
}

fn any_path() -> impl Strategy<Value = TreePath> {
    let name = prop_oneof![Just("a"), Just("b"), Just("a-"), Just("c")];
    prop::collection::vec(name, 1..4).prop_map(|names| path(&names.join("/")))
}

#[derive(Debug, Clone)]
enum Step {
    Put(TreePath, Entry),
    Link(TreePath, TreePath),
    Remove(TreePath),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any_path(), entry()).prop_map(|(path, entry)| Step::Put(path, entry)),
        3 => (any_path(), any_path()).prop_map(|(path, target)| Step::Link(path, target)),
        1 => any_path().prop_map(Step::Remove),
    ];
    prop::collection::vec(step, 0..16)
}

fn change(mut tree: Tree, steps: &[Step]) -> Tree {
    for step in steps {
        // A step that has no place in the tree does nothing: the strategy need not know.
        let _ = match step {
            Step::Put(path, entry) => tree.put(path, entry.clone()).err(),
            Step::Link(path, target) => tree.link(path, target).err(),
            Step::Remove(path) => {
                tree.remove(path);
                None
            }
        };
    }
    // Parents that were made for an entry belong to nobody in particular.
    let ids: Vec<_> = tree.walk().map(|(_, id)| id).collect();
    for id in ids {
        (tree.metadata_mut(id).uid, tree.metadata_mut(id).gid) = own();
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trees_survive_the_disk(a in steps(), threads in 1..3usize) {
        let tree = change(new_tree(), &a);
        let dir = unpacked(&tree, threads);
        let (back, sources) = scanned(&dir);
        prop_assert_eq!(listing(&back, &sources), listing(&tree, &sources));
    }

    #[test]
    fn trees_survive_a_layer(a in steps()) {
        let tree = change(new_tree(), &a);
        let file = tempfile::NamedTempFile::new().unwrap();
        let (layer, left_out) = write_tree(&tree, &ContentSources::new(), file.as_file()).unwrap();
        prop_assert_eq!(left_out, []);
        let (back, _) = tree_of(std::slice::from_ref(&layer.index)).unwrap();
        let sources = ContentSources::new().with_streams(|_| Ok(Some(std::fs::File::open(file.path())?)));
        // A layer says nothing of a root that is as every root.
        let mut tree = tree;
        if back.inode(back.root()).entry.metadata.mtime == Timestamp::ZERO {
            tree.put(&TreePath::root(), back.inode(back.root()).entry.clone()).unwrap();
        }
        prop_assert_eq!(listing(&back, &sources), listing(&tree, &sources));
        // The bytes of the layer are those of a reader's index.
        let read = bedplate_archive::Index::read_tar(std::fs::File::open(file.path()).unwrap()).unwrap();
        prop_assert_eq!(read, layer.index);
    }

    #[test]
    fn an_upper_side_says_what_was_changed(a in steps(), b in steps()) {
        let base = change(new_tree(), &a);
        let new = change(base.clone(), &b);
        let delta = changes(&base, &new);
        let (found, sources, _dir) = by_overlay(&base, &delta);
        prop_assert_eq!(shown(&found.delta, &sources), shown(&delta, &sources));
        prop_assert_eq!(found.left_out, []);
    }

    #[test]
    fn a_directory_is_made_to_hold_another_tree(a in steps(), b in steps()) {
        let base = change(new_tree(), &a);
        let new = change(base.clone(), &b);
        let dir = unpacked(&base, 1);
        let root = Root::open(dir.path()).unwrap();
        update_tree(&base, &new, &ContentSources::new(), root.handle(), &UnpackOptions::default()).unwrap();
        let (back, sources) = scanned(&dir);
        prop_assert_eq!(listing(&back, &sources), listing(&new, &sources));
    }

    #[test]
    fn a_copy_says_what_was_changed(a in steps(), b in steps()) {
        let base = change(new_tree(), &a);
        let new = change(base.clone(), &b);
        let dir = unpacked(&new, 1);
        let mut sources = ContentSources::new();
        let root = Root::open(dir.path()).unwrap();
        let found = compare(root, &base, &Recorded::default(), &mut sources, &Prepared::default()).unwrap();
        prop_assert_eq!(shown(&found.delta, &sources), shown(&changes(&base, &new), &sources));
    }
}

/// What a process may do to a root, on a real disk.
fn work(dir: &std::path::Path) {
    std::fs::write(dir.join("etc/new"), b"new").unwrap();
    std::fs::write(dir.join("etc/changed"), b"after").unwrap();
    std::fs::remove_file(dir.join("etc/gone")).unwrap();
    std::fs::hard_link(dir.join("linked-a"), dir.join("linked-c")).unwrap();
    std::fs::create_dir(dir.join("etc/hosts.d")).unwrap();
}

#[test]
fn a_recorded_copy_is_compared_without_reading_what_is_unchanged() {
    let mut base = new_tree();
    for name in ["etc/changed", "etc/gone", "etc/same", "linked-a", "d/x"] {
        base.put(&path(name), file(b"before", 0o644)).unwrap();
    }
    base.link(&path("linked-b"), &path("linked-a")).unwrap();
    let base = change(base, &[]);
    let dir = unpacked(&base, 1);
    // Older than the clock's tick when it is recorded.
    std::thread::sleep(std::time::Duration::from_millis(60));
    std::fs::write(dir.path().join("d/tick"), b"").unwrap();
    std::fs::remove_file(dir.path().join("d/tick")).unwrap();
    let root = Root::open(dir.path()).unwrap();
    let late = dir.path().join("d/late");
    std::fs::write(&late, b"").unwrap();
    let recorded = record(&root).unwrap();
    std::fs::remove_file(&late).unwrap();
    work(dir.path());
    let placeholders = [path("etc/hosts.d")];
    let prepared = Prepared { placeholders: &placeholders, ..Prepared::default() };
    let mut sources = ContentSources::new();
    let found = compare(root, &base, &recorded, &mut sources, &prepared).unwrap();
    let names: Vec<String> = found.delta.changes.iter().map(|change| change.path.to_string()).collect();
    // The root changed, too: a name was made in it. So did d, in which the clock was read; etc is forgiven its time.
    let expected = ["/", "/d", "/etc", "/etc/gone", "/etc/changed", "/etc/new", "/linked-a", "/linked-b", "/linked-c"];
    assert_eq!(names, expected);
}

#[test]
fn one_id_remembers_the_owners_of_the_base() {
    let mut base = new_tree();
    let theirs = Metadata { uid: 5, gid: 42, ..metadata(0o640) };
    base.put(&path("shadow"), Entry::file(Content::from_bytes(*b"1"), theirs.clone())).unwrap();
    base.put(&path("same"), Entry::file(Content::from_bytes(*b"1"), theirs.clone())).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let options = UnpackOptions { owners: Owners::One, threads: 1 };
    let report = unpack_tree(&base, &ContentSources::new(), root.handle(), &options).unwrap();
    assert_eq!(report.owners_skipped, 2);
    std::fs::write(dir.path().join("shadow"), b"2").unwrap();
    std::fs::write(dir.path().join("own"), b"2").unwrap();
    let prepared = Prepared { owners: bedplate_image::DiskOwners::One, ..Prepared::default() };
    let mut sources = ContentSources::new();
    let found = compare(root, &base, &Recorded::default(), &mut sources, &prepared).unwrap();
    let owners: Vec<_> = found
        .delta
        .changes
        .iter()
        .filter_map(|change| match &change.action {
            bedplate_tree::Action::Put(entry) if !entry.is_directory() => {
                Some((change.path.to_string(), entry.metadata.uid, entry.metadata.gid))
            }
            _ => None,
        })
        .collect();
    assert_eq!(owners, [("/own".to_owned(), 0, 0), ("/shadow".to_owned(), 5, 42)]);
}

#[test]
fn owners_go_where_files_go_although_there_is_one_id() {
    let mut base = new_tree();
    let theirs = Metadata { uid: 5, gid: 42, ..metadata(0o640) };
    for name in ["moved", "replaced", "d/in-moved"] {
        base.put(&path(name), Entry::file(Content::from_bytes(*b"1"), theirs.clone())).unwrap();
    }
    base.put(&path("d"), Entry::directory(Metadata { mode: 0o750, ..theirs.clone() })).unwrap();
    let link = |target: &str| Entry { metadata: Metadata { mode: 0o777, ..theirs.clone() }, ..symlink(target) };
    base.put(&path("link"), link("a")).unwrap();
    let mut marked = theirs.clone();
    marked.xattrs.insert(b"user.bedplate.owner"[..].into(), [9; 8].into());
    base.put(&path("liar"), Entry::file(Content::empty(), marked)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let options = UnpackOptions { owners: Owners::One, threads: 1 };
    let report = unpack_tree(&base, &ContentSources::new(), root.handle(), &options).unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::rename(at("moved"), at("was-moved")).unwrap();
    std::fs::rename(at("d"), at("e")).unwrap();
    std::fs::remove_file(at("replaced")).unwrap();
    std::fs::write(at("replaced"), b"1").unwrap();
    std::fs::write(at("liar"), b"1").unwrap();
    std::fs::remove_file(at("link")).unwrap();
    std::os::unix::fs::symlink("b", at("link")).unwrap();
    let prepared =
        Prepared { owners: bedplate_image::DiskOwners::One, skipped: &report.skipped, ..Prepared::default() };
    let found = compare(root, &base, &Recorded::default(), &mut ContentSources::new(), &prepared).unwrap();
    let owners: Vec<_> = found
        .delta
        .changes
        .iter()
        .filter_map(|change| match &change.action {
            bedplate_tree::Action::Put(entry) if !change.path.is_root() => {
                // What an image itself says stays in it and is not believed; our own marks never get into one.
                let has_mark = entry.metadata.xattrs.keys().any(|key| key.starts_with(b"user.bedplate."));
                assert_eq!(has_mark, change.path.as_bytes() == b"liar");
                Some(format!("{} {}:{}", change.path, entry.metadata.uid, entry.metadata.gid))
            }
            _ => None,
        })
        .collect();
    let expected = ["/e 5:42", "/e/in-moved 5:42", "/liar 5:42", "/link 5:42", "/replaced 0:0", "/was-moved 5:42"];
    assert_eq!(owners, expected);
}

#[test]
fn what_could_not_be_unpacked_is_not_removed() {
    let mut base = new_tree();
    let device = EntryKind::CharDevice { major: 0, minor: 0 };
    base.put(&path("dev/odd"), Entry { kind: device, metadata: metadata(0o600) }).unwrap();
    base.link(&path("dev/odder"), &path("dev/odd")).unwrap();
    let base = change(base, &[]);
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let report = unpack_tree(&base, &ContentSources::new(), root.handle(), &UnpackOptions::default()).unwrap();
    assert_eq!(report.skipped.len(), 2);
    let prepared = Prepared { skipped: &report.skipped, ..Prepared::default() };
    let found = compare(root, &base, &Recorded::default(), &mut ContentSources::new(), &prepared).unwrap();
    assert_eq!(found.delta, Delta::default());
}

#[test]
fn a_copy_up_without_a_change_vanishes() {
    let mut base = new_tree();
    base.put(&path("a"), file(b"1", 0o644)).unwrap();
    base.link(&path("b"), &path("a")).unwrap();
    base.put(&path("d/x"), file(b"1", 0o644)).unwrap();
    let base = change(base, &[]);
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let mut touched = Tree::new();
    touched.put(&TreePath::root(), base.inode(base.root()).entry.clone()).unwrap();
    for name in ["a", "d/x"] {
        touched.put(&path(name), base.entry(&path(name)).unwrap().clone()).unwrap();
    }
    touched.put(&path("d"), base.entry(&path("d")).unwrap().clone()).unwrap();
    unpack_tree(&touched, &ContentSources::new(), root.handle(), &UnpackOptions::default()).unwrap();
    let mut sources = ContentSources::new();
    let found = read_upper(root, &base, &mut sources, Marks::User, &Prepared::default()).unwrap();
    assert_eq!(found.delta, Delta::default());
}

/// What is on the disk and in no tree.
#[test]
fn an_update_leaves_alone_what_it_does_not_know() {
    let mut before = new_tree();
    for directory in ["kept", "gone", "becomes-file"] {
        before.put(&path(directory), Entry::directory(metadata(0o755))).unwrap();
    }
    before.put(&path("kept/old"), file(b"old", 0o644)).unwrap();
    before.put(&path("gone/x"), file(b"x", 0o644)).unwrap();
    before.put(&path("becomes-file/y"), file(b"y", 0o644)).unwrap();
    before.put(&path("becomes-directory"), file(b"z", 0o644)).unwrap();
    let dir = unpacked(&before, 1);
    std::fs::write(dir.path().join("kept/unknown"), "unknown").unwrap();
    std::fs::write(dir.path().join("in-the-way"), "unknown").unwrap();
    let (_, contents) = scanned(&dir);
    let mut after = before.clone();
    after.put(&path("kept/old"), file(b"new", 0o600)).unwrap();
    after.link(&path("kept/second"), &path("kept/old")).unwrap();
    after.remove(&path("gone"));
    after.put(&path("becomes-file"), file(b"file", 0o644)).unwrap();
    after.put(&path("becomes-directory"), Entry::directory(metadata(0o755))).unwrap();
    after.put(&path("becomes-directory/w"), symlink("../kept")).unwrap();
    after.put(&path("in-the-way"), file(b"mine", 0o644)).unwrap();
    let root = Root::open(dir.path()).unwrap();
    update_tree(&before, &after, &contents, root.handle(), &UnpackOptions::default()).unwrap();
    assert_eq!(std::fs::read(dir.path().join("kept/unknown")).unwrap(), b"unknown");
    std::fs::remove_file(dir.path().join("kept/unknown")).unwrap();
    let (mut found, sources) = scanned(&dir);
    // Taking it away touched its directory.
    for tree in [&mut found, &mut after] {
        let id = tree.lookup(&path("kept")).unwrap();
        tree.metadata_mut(id).mtime = Timestamp::default();
    }
    assert_eq!(listing(&found, &sources), listing(&after, &sources));
}

/// A directory that stays has the attributes of the new tree, and none besides.
#[test]
fn an_update_takes_extended_attributes_away() {
    let mut before = new_tree();
    let mut directory = Entry::directory(metadata(0o755));
    before.put(&path("c"), directory.clone()).unwrap();
    let mut after = before.clone();
    directory.metadata.xattrs.insert(b"user.x"[..].into(), b"1"[..].into());
    before.put(&path("c"), directory).unwrap();
    after.put(&path("c"), Entry::directory(metadata(0o755))).unwrap();
    let dir = unpacked(&before, 1);
    let root = Root::open(dir.path()).unwrap();
    update_tree(&before, &after, &ContentSources::new(), root.handle(), &UnpackOptions::default()).unwrap();
    let (found, sources) = scanned(&dir);
    assert_eq!(listing(&found, &sources), listing(&after, &sources));
}

/// Files that change places: no byte may be read from where it was overwritten.
#[test]
fn an_update_may_exchange_files() {
    let mut before = new_tree();
    before.put(&path("a"), file(b"one", 0o644)).unwrap();
    before.put(&path("b"), file(b"two", 0o644)).unwrap();
    let dir = unpacked(&before, 1);
    let (before, contents) = scanned(&dir);
    let mut after = before.clone();
    after.put(&path("a"), before.entry(&path("b")).unwrap().clone()).unwrap();
    after.put(&path("b"), before.entry(&path("a")).unwrap().clone()).unwrap();
    let root = Root::open(dir.path()).unwrap();
    update_tree(&before, &after, &contents, root.handle(), &UnpackOptions::default()).unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!((read("a"), read("b")), ("two".to_owned(), "one".to_owned()));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left");
}

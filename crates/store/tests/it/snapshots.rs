//! Unpacked roots.

use std::fs;

use bedplate_image::{Marks, Owners};
use bedplate_store::SnapshotOptions;

use crate::support::{add_under, check, name, store, tar};

/// As any user: nobody else's files.
fn options() -> SnapshotOptions {
    SnapshotOptions { owners: Owners::One, marks: Marks::User, stacked: true, threads: 2 }
}

#[test]
fn a_root_is_unpacked_once_and_shared() {
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let image = add_under(&lease, &[tar(&[("a", b"lower"), ("b", b"b")]), tar(&[("a", b"upper")])], &[name("two")]);
    drop(lease);
    let first = store.snapshot(image.diff_ids(), &options()).unwrap();
    assert!(first.made().is_some());
    assert_eq!(first.lowers().len(), 1);
    let root = &first.lowers()[0];
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "upper");
    assert_eq!(fs::read_to_string(root.join("b")).unwrap(), "b");
    let second = store.snapshot(image.diff_ids(), &options()).unwrap();
    assert!(second.made().is_none());
    assert_eq!(second.lowers(), first.lowers());
    check(&store);

    // In use it survives the image; then it goes.
    store.remove_image("two", false).unwrap();
    assert!(root.join("a").exists());
    let root = root.clone();
    drop((first, second));
    assert_eq!(store.sweep().unwrap().snapshots, 1);
    assert!(!root.exists());
    assert_eq!(fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
}

#[test]
fn snapshots_that_somebody_removed_are_made_again_folder_and_all() {
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let image = add_under(&lease, &[tar(&[("a", b"a")])], &[name("one")]);
    drop(lease);
    drop(store.snapshot(image.diff_ids(), &options()).unwrap());
    fs::remove_dir_all(store.root().join("snapshots")).unwrap();
    let again = store.snapshot(image.diff_ids(), &options()).unwrap();
    assert_eq!(fs::read_to_string(again.lowers()[0].join("a")).unwrap(), "a");
    check(&store);
}

#[test]
fn a_layer_over_an_unpacked_root_is_unpacked_alone() {
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let base = tar(&[("a", b"lower"), ("dir/", b""), ("dir/x", b"x")]);
    let top = tar(&[("a", b"upper"), ("dir/", b""), ("dir/y", b"y")]);
    let below = add_under(&lease, std::slice::from_ref(&base), &[name("base")]);
    let image = add_under(&lease, &[base, top], &[name("app")]);
    drop(lease);
    drop(store.snapshot(below.diff_ids(), &options()).unwrap());
    let guard = store.snapshot(image.diff_ids(), &options()).unwrap();
    assert_eq!(guard.lowers().len(), 2);
    assert_eq!(fs::read_to_string(guard.lowers()[0].join("a")).unwrap(), "upper");
    assert!(!guard.lowers()[0].join("dir/x").exists());
    assert!(guard.lowers()[1].join("dir/x").exists());
    // Whoever cannot stack gets one directory.
    let merged = store.snapshot(image.diff_ids(), &SnapshotOptions { stacked: false, ..options() }).unwrap();
    assert_eq!(merged.lowers().len(), 1);
    assert!(merged.lowers()[0].join("dir/x").exists() && merged.lowers()[0].join("dir/y").exists());
    // The stack holds its base.
    assert_eq!(store.prune_snapshots().unwrap(), 0);
    drop(merged);
    assert_eq!(store.prune_snapshots().unwrap(), 1);
    drop(guard);
    assert_eq!(store.prune_snapshots().unwrap(), 2);
}

#[test]
fn what_was_not_synced_before_a_reboot_is_thrown_away() {
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let image = add_under(&lease, &[tar(&[("a", b"a")])], &[name("app")]);
    drop(lease);
    let guard = store.snapshot(image.diff_ids(), &options()).unwrap();
    let folder = guard.lowers()[0].parent().unwrap().to_owned();
    drop(guard);
    let about = fs::read_to_string(folder.join("about")).unwrap();
    let boot = bedplate_sys::kernel::boot_id();
    for (text, kept) in [
        (about.clone(), true),
        (about.replace(&boot, "another boot"), false),
        (about.replace(&boot, "another boot").replace("\"synced\":false", "\"synced\":true"), true),
        (String::new(), false),
        (about.replacen("\"version\":", "\"version\":9", 1), false),
    ] {
        fs::write(folder.join("root/a"), "marked").unwrap();
        fs::write(folder.join("about"), &text).unwrap();
        let guard = store.snapshot(image.diff_ids(), &options()).unwrap();
        assert_eq!(guard.made().is_none(), kept, "{text}");
        assert_eq!(fs::read_to_string(folder.join("root/a")).unwrap(), if kept { "marked" } else { "a" });
    }
}

#[test]
fn eight_who_ask_at_once_unpack_once() {
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let image = add_under(&lease, &[tar(&[("a", &[1; 100_000]), ("b", b"b")])], &[name("app")]);
    drop(lease);
    let made: usize = std::thread::scope(|scope| {
        let ask = || {
            let guard = store.snapshot(image.diff_ids(), &options()).unwrap();
            assert!(guard.lowers()[0].join("b").exists());
            usize::from(guard.made().is_some())
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(made, 1);
}

#[test]
fn an_image_without_layers_is_an_empty_root() {
    let (_dir, store) = store();
    let guard = store.snapshot(&[], &options()).unwrap();
    assert_eq!(fs::read_dir(&guard.lowers()[0]).unwrap().count(), 0);
}

/// A kept root knows as much of what it lacks as the one just unpacked.
#[test]
fn a_kept_root_tells_what_it_lacks() {
    use bedplate_image::unpack::{SkipReason, Skipped};
    use bedplate_tree::{Entry, EntryKind, Metadata, TreePath};
    let layer = |name: &str| {
        let path = TreePath::parse(name.as_bytes()).unwrap();
        let kind = EntryKind::CharDevice { major: 0, minor: 0 };
        let mut writer = bedplate_archive::Writer::new(Vec::new());
        writer.append(&path, &Entry { kind, metadata: Metadata::default() }, std::io::empty()).unwrap();
        (writer.finish().unwrap().0, Skipped { path, reason: SkipReason::WhiteoutDevice })
    };
    let ((lower, lower_lacks), (upper, upper_lacks)) = (layer("dev/a"), layer("dev/b"));
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let below = add_under(&lease, std::slice::from_ref(&lower), &[name("below")]);
    let image = add_under(&lease, &[lower, upper], &[name("image")]);
    drop(lease);
    assert_eq!(store.snapshot(below.diff_ids(), &options()).unwrap().skipped(), std::slice::from_ref(&lower_lacks));
    for made in [true, false] {
        let guard = store.snapshot(image.diff_ids(), &options()).unwrap();
        assert_eq!(guard.made().is_some(), made);
        assert_eq!(guard.skipped(), [upper_lacks.clone(), lower_lacks.clone()]);
    }
    // A list that is not whole makes the root be unpacked anew, with all that lies upon it.
    let guard = store.snapshot(below.diff_ids(), &options()).unwrap();
    let folder = guard.lowers()[0].parent().unwrap().to_owned();
    drop(guard);
    for damaged in [&b""[..], b"bedplate skipped 1\n\0\0\0\0"] {
        fs::write(folder.join("skipped"), damaged).unwrap();
        let guard = store.snapshot(below.diff_ids(), &options()).unwrap();
        assert!(guard.made().is_some());
        assert_eq!(guard.skipped(), std::slice::from_ref(&lower_lacks));
    }
}

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

//! What damage is called, and what mends it.

use std::fs;
use std::path::PathBuf;

use bedplate_store::{FsckOptions, Image, Store};

use crate::support::{add, check, store};

type Damage = fn(&Store, &Image) -> PathBuf;

fn flip(path: PathBuf) -> PathBuf {
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    path
}

fn index_of(store: &Store, image: &Image) -> PathBuf {
    store.root().join(format!("layers/{}/index", image.diff_ids()[0].0.hex()))
}

#[test]
fn damage_is_named_and_mended() {
    let cases: [(&str, Damage, &str, bool, bool); 11] = [
        // what, how, how it is called, whether --fix mends it, whether the image survives
        ("layer", |s, i| flip(s.blob_path(&i.manifest.layers[0].digest)), "its bytes have the digest", true, false),
        ("config", |s, i| flip(s.blob_path(&i.id().0)), "its bytes have the digest", true, false),
        ("manifest", |s, i| flip(s.blob_path(&i.descriptor.digest)), "its bytes have the digest", true, false),
        (
            "no layer",
            |s, i| {
                let path = s.blob_path(&i.manifest.layers[0].digest);
                fs::remove_file(&path).unwrap();
                path
            },
            "is missing",
            true,
            false,
        ),
        (
            "no manifest",
            |s, i| {
                let path = s.blob_path(&i.descriptor.digest);
                fs::remove_file(&path).unwrap();
                path
            },
            "is missing",
            true,
            false,
        ),
        (
            "short layer",
            |s, i| {
                let path = s.blob_path(&i.manifest.layers[0].digest);
                let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                file.set_len(512).unwrap();
                path
            },
            "expected 2048",
            true,
            false,
        ),
        (
            "wrong index",
            |s, i| {
                let other = add(s, "other", "longer than the first");
                fs::copy(index_of(s, &other), index_of(s, i)).unwrap();
                s.remove_image("other", true).unwrap();
                index_of(s, i)
            },
            "",
            true,
            true,
        ),
        (
            "marker",
            |s, _| {
                fs::remove_file(s.root().join("oci-layout")).unwrap();
                s.root().join("oci-layout")
            },
            "missing or malformed",
            true,
            true,
        ),
        (
            "stray blob",
            |s, _| {
                fs::write(s.root().join("blobs/sha256/notes.txt"), "").unwrap();
                s.root().join("blobs/sha256/notes.txt")
            },
            "does not belong here",
            false,
            true,
        ),
        (
            "stray folder",
            |s, _| {
                fs::create_dir(s.root().join("layers/abc")).unwrap();
                s.root().join("layers/abc")
            },
            "does not belong here",
            false,
            true,
        ),
        (
            "stream",
            |s, _| {
                let path = s.root().join(format!("cache/streams/{}", "0".repeat(64)));
                fs::write(&path, "x").unwrap();
                path
            },
            "cached stream",
            true,
            true,
        ),
    ];
    for (what, damage, called, mended, survives) in cases {
        let (_dir, store) = store();
        let image = add(&store, "app", "one");
        let witness = add(&store, "witness", "two");
        check(&store);
        damage(&store, &image);
        let report = store.fsck(FsckOptions::default()).unwrap();
        let said: Vec<String> = report.findings.iter().map(|finding| finding.problem.to_string()).collect();
        if !called.is_empty() {
            assert!(!report.is_sound(), "{what}");
            assert!(said.iter().any(|text| text.contains(called)), "{what}: {said:?}");
        }
        store.fsck(FsckOptions { fix: true }).unwrap();
        if mended {
            // What lost its digest is gone; what it belonged to is gone in the second round at the latest.
            store.fsck(FsckOptions { fix: true }).unwrap();
            check(&store);
        }
        assert_eq!(store.resolve("app").is_ok(), survives, "{what}");
        assert_eq!(store.resolve("witness").unwrap().id(), witness.id(), "{what}");
        store.sweep().unwrap();
        add(&store, "app", "one");
    }
}

#[test]
fn a_malformed_list_of_images_is_an_error_in_words() {
    let (_dir, store) = store();
    add(&store, "app", "one");
    fs::write(store.root().join("index.json"), "{").unwrap();
    for error in [store.resolve("app").unwrap_err(), store.fsck(FsckOptions::default()).unwrap_err()] {
        assert!(error.to_string().contains("index.json is malformed"), "{error}");
    }
}

//! Sweeps: what is needed stays, whatever else is going on.

use bedplate_store::{BuildEntry, CacheKind, NewImage};

use crate::support::{add, check, config, name, open, store, tar};

#[test]
fn what_a_lease_put_stays_until_the_lease_ends() {
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let blob = lease.put_bytes(b"not referred to yet").unwrap();
    // The second lease finds it there already, and counts on it.
    let second = store.lease().unwrap();
    second.put_bytes(b"not referred to yet").unwrap();
    let (layer, _) = lease.ingest_layer(tar(&[("a", b"a")]).as_slice(), true).unwrap();
    assert_eq!(open(store.root()).sweep().unwrap().blobs, []);
    drop(lease);
    assert_eq!(open(store.root()).sweep().unwrap().blobs, [layer.0]);
    assert!(store.has_blob(&blob.digest).unwrap());
    drop(second);
    assert_eq!(store.sweep().unwrap().blobs, [blob.digest]);
}

#[test]
fn leftovers_of_a_dead_process_are_cleared_by_the_next_writer() {
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let mut writer = lease.blob_writer().unwrap();
    writer.add(&[0; 1_000_000]).unwrap();
    let blob = lease.put_bytes(b"pinned by the dead").unwrap();
    // What a kill leaves: the files, and no lock.
    std::mem::forget(writer);
    let tmp = store.root().join("tmp");
    let dead = std::fs::read_dir(&tmp).unwrap().next().unwrap().unwrap().path();
    let copy = tmp.join("lease-of-the-dead");
    assert!(std::process::Command::new("cp").arg("-r").arg(&dead).arg(&copy).status().unwrap().success());
    std::fs::write(tmp.join("index-half"), "{").unwrap();
    drop(lease);
    let next = store.lease().unwrap();
    assert!(!copy.exists());
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 1);
    drop(next);
    assert_eq!(store.sweep().unwrap().blobs, [blob.digest]);
}

#[test]
fn a_cache_entry_keeps_its_layers() {
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let (layer, _) = lease.ingest_layer(tar(&[("a", b"a")]).as_slice(), true).unwrap();
    let key = bedplate_oci::Digest::of(b"step");
    let entry = BuildEntry { value: serde_json::json!({"env": ["A=b"]}), layers: vec![layer], blobs: vec![] };
    store.build_cache_put(&key, &entry).unwrap();
    drop(lease);
    assert_eq!(store.sweep().unwrap().blobs, []);
    assert_eq!(store.build_cache_get(&key).unwrap(), Some(entry.clone()));
    assert_eq!(store.build_cache_get(&bedplate_oci::Digest::of(b"other")).unwrap(), None);
    // In use: left alone.
    let guard = store.cache(CacheKind::Build).unwrap();
    assert_eq!(store.empty_cache(CacheKind::Build, None).unwrap(), None);
    drop(guard);
    assert!(store.empty_cache(CacheKind::Build, None).unwrap().unwrap() > 0);
    assert_eq!(store.sweep().unwrap().blobs, [layer.0]);
    // An entry whose layer is gone is none.
    store.build_cache_put(&key, &entry).unwrap();
    assert_eq!(store.build_cache_get(&key).unwrap(), None);
    std::fs::write(store.root().join("cache/build").join(key.hex()), "{\"version\":1").unwrap();
    assert_eq!(store.build_cache_get(&key).unwrap(), None);
}

#[test]
fn an_image_put_again_while_it_is_swept_is_whole() {
    let (_dir, store) = store();
    let image = add(&store, "app", "one");
    let lease = store.lease().unwrap();
    let config = lease.put_bytes(&config(image.diff_ids())).unwrap();
    assert_eq!(config.digest, image.id().0);
    store.remove_image("app", false).unwrap();
    // The config is pinned; the layer and the manifest went, and are missed by name.
    let new =
        NewImage { manifest: &image.manifest_bytes, media_type: &image.descriptor.media_type, names: &[name("app")] };
    let error = lease.add_image(&new).unwrap_err();
    assert!(error.to_string().contains(&image.diff_ids()[0].to_string()), "{error}");
    lease.ingest_layer(tar(&[("hello", b"one")]).as_slice(), true).unwrap();
    lease.add_image(&new).unwrap();
    drop(lease);
    store.sweep().unwrap();
    check(&store);
    assert_eq!(store.resolve("app").unwrap().id(), image.id());
}

#[test]
fn usage_counts_each_blob_once() {
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let base = tar(&[("a", &[1; 4096])]);
    crate::support::add_under(&lease, std::slice::from_ref(&base), &[name("base")]);
    crate::support::add_under(&lease, &[base.clone(), tar(&[("b", b"b")])], &[name("upper")]);
    drop(lease);
    let usage = store.usage().unwrap();
    assert_eq!((usage.images.total, usage.images.active), (2, 0));
    assert_eq!(usage.images.reclaimable, usage.images.size);
    let (first, second) = (&usage.image_details[0], &usage.image_details[1]);
    assert_eq!((first.shared, second.shared), (base.len() as u64, base.len() as u64));
    assert_eq!(usage.images.size, base.len() as u64 + first.unique + second.unique);
}

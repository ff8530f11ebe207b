//! Indexes and streams of layers, plain and compressed.

use std::io::Read;

use bedplate_oci::{Descriptor, DiffId, Digest, media_type};
use bedplate_store::{CacheKind, StoreError};

use crate::support::{add, add_under, check, compress, config, gzip, name, store, tar};

#[test]
fn a_compressed_layer_stays_as_it_came_and_is_read_by_offset() {
    let (_dir, store) = store();
    let plain = tar(&[("bin/", b""), ("bin/sh", b"#!"), ("hello", b"hello world")]);
    let diff_id = DiffId(Digest::of(&plain));
    let packed = gzip(&plain);
    let lease = store.lease().unwrap();
    let blob = lease.put_bytes(&packed).unwrap().descriptor(media_type::LAYER_GZIP);
    let image = lease.add_new_image(&config(&[diff_id]), vec![blob.clone()], [], &[name("gz")]).unwrap();
    drop(lease);
    assert_eq!(store.layer_variants(&diff_id).unwrap(), [Descriptor { annotations: Default::default(), ..blob }]);
    assert!(store.has_layer(&diff_id).unwrap());
    assert!(!store.has_blob(&diff_id.0).unwrap());
    assert_eq!(store.layer_index(&diff_id).unwrap().entries().len(), 3);
    let mut stream = Vec::new();
    store.open_layer(&diff_id).unwrap().read_to_end(&mut stream).unwrap();
    assert_eq!(stream, plain);
    assert_eq!(store.unpacked_size(&image).unwrap(), plain.len() as u64);
    check(&store);
    // A cache: emptied and made again.
    assert!(store.empty_cache(CacheKind::Streams, None).unwrap().unwrap() > 0);
    assert_eq!(store.open_layer(&diff_id).unwrap().metadata().unwrap().len(), plain.len() as u64);
    // What another tool put here has no list of variants.
    std::fs::remove_file(store.root().join(format!("layers/{}/variants", diff_id.0.hex()))).unwrap();
    store.empty_cache(CacheKind::Streams, None).unwrap();
    assert!(store.open_layer(&diff_id).is_ok());
}

#[test]
fn a_compressed_layer_that_holds_another_is_refused() {
    let (_dir, store) = store();
    let diff_id = DiffId(Digest::of(b"another"));
    let lease = store.lease().unwrap();
    let blob = lease.put_bytes(&compress(&tar(&[("a", b"a")]), "gzip")).unwrap();
    lease.add_new_image(&config(&[diff_id]), vec![blob.descriptor(media_type::LAYER_GZIP)], [], &[name("x")]).unwrap();
    drop(lease);
    for result in [store.layer_index(&diff_id).map(|_| ()), store.open_layer(&diff_id).map(|_| ())] {
        assert!(matches!(result, Err(StoreError::WrongDigest { .. })), "{result:?}");
    }
    assert_eq!(
        std::fs::read_dir(store.root().join("cache/streams"))
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name() != "lock")
            .count(),
        0
    );
}

#[test]
fn a_missing_or_damaged_index_is_made_anew() {
    let (_dir, store) = store();
    let image = add(&store, "app", "content");
    let diff_id = image.diff_ids()[0];
    let path = store.root().join(format!("layers/{}/index", diff_id.0.hex()));
    let good = std::fs::read(&path).unwrap();
    for damage in [None, Some(b"".to_vec()), Some(b"rubbish".to_vec()), Some(good[..good.len() - 1].to_vec())] {
        match &damage {
            None => std::fs::remove_file(&path).unwrap(),
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
        }
        assert_eq!(store.layer_index(&diff_id).unwrap().entries().len(), 1);
        assert_eq!(std::fs::read(&path).unwrap(), good, "{damage:?}");
    }
}

#[test]
fn contents_of_files_come_from_the_layers() {
    use bedplate_image::Contents;
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let layers = [tar(&[("a", b"lower"), ("b", b"kept")]), tar(&[("a", b"upper"), (".wh.c", b"")])];
    let image = add_under(&lease, &layers, &[name("two")]);
    drop(lease);
    let tree = store.image_tree(&image).unwrap();
    let contents = store.contents();
    let mut files = Vec::new();
    for (path, id) in tree.walk() {
        if let Some(content) = tree.inode(id).entry.content() {
            let mut text = String::new();
            contents.open(content).unwrap().read_to_string(&mut text).unwrap();
            files.push((String::from_utf8(path.as_bytes().to_vec()).unwrap(), text));
        }
    }
    assert_eq!(files, [("a".to_owned(), "upper".to_owned()), ("b".to_owned(), "kept".to_owned())]);
}

#[test]
fn an_archive_that_breaks_leaves_nothing() {
    let (_dir, store) = store();
    let whole = tar(&[("a", &[7; 5000])]);
    let lease = store.lease().unwrap();
    let error = lease.ingest_layer(&whole[..2000], true).unwrap_err();
    assert!(matches!(error, StoreError::Source { .. }), "{error}");
    drop(lease);
    assert_eq!(std::fs::read_dir(store.root().join("blobs/sha256")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
}

#[test]
fn blobs_are_verified_before_they_get_their_name() {
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let promised = Descriptor::of(media_type::LAYER, b"promised");
    for (bytes, expected) in [(&b"promise!"[..], "digest"), (b"promis", "size"), (b"promised and more", "size")] {
        let error = lease.put_blob(&promised, bytes).unwrap_err();
        let found = match error {
            StoreError::WrongDigest { .. } => "digest",
            StoreError::WrongSize { .. } => "size",
            other => panic!("{other}"),
        };
        assert_eq!(found, expected);
    }
    assert!(!store.has_blob(&promised.digest).unwrap());
    lease.put_blob(&promised, &b"promised"[..]).unwrap();
    // There already: the source is not even read.
    lease.put_blob(&promised, &b""[..]).unwrap();
    assert_eq!(store.read_blob(&promised.digest, 8).unwrap(), b"promised");
    assert!(matches!(store.read_blob(&promised.digest, 7), Err(StoreError::TooLarge { .. })));
    std::fs::write(store.blob_path(&promised.digest), "damaged!").unwrap();
    assert!(matches!(store.read_blob(&promised.digest, 8), Err(StoreError::WrongDigest { .. })));
}

//! Images by name, ID and beginning of an ID; names that move; removal.

use bedplate_store::{Origin, StoreError};

use crate::support::{add, add_under, check, name, store, tar};

#[test]
fn what_users_write_to_an_image() {
    let (_dir, store) = store();
    let image = add(&store, "focal", "one");
    let other = add(&store, "registry.example:5000/team/app:1.2", "two");
    let id = image.id().0.hex();
    let manifest = image.descriptor.digest;
    let found = [
        "focal".to_owned(),
        "focal:latest".to_owned(),
        "library/focal".to_owned(),
        "docker.io/library/focal:latest".to_owned(),
        id.clone(),
        id[..12].to_owned(),
        format!("sha256:{id}"),
        format!("sha256:{}", &id[..20]),
        manifest.to_string(),
        manifest.hex()[..12].to_owned(),
        format!("focal@{manifest}"),
        format!("focal@sha256:{id}"),
        format!("docker.io/library/focal:x@{manifest}"),
    ];
    for wanted in found {
        let resolved = store.resolve(&wanted).unwrap_or_else(|e| panic!("{wanted}: {e}"));
        assert_eq!(resolved.id(), image.id(), "{wanted}");
        assert_eq!(resolved.origin, Origin::Own);
        assert_eq!(resolved.names, [name("focal")]);
    }
    let app = store.resolve("registry.example:5000/team/app:1.2").unwrap();
    assert_eq!((app.id(), app.config_bytes), (other.id(), other.config_bytes));
    for (wanted, expected) in [
        ("focla", "no such image: focla; did you mean focal:latest?"),
        ("focal:20.04", "no such image: focal:20.04; did you mean focal:latest?"),
        ("0000", "no such image: 0000"),
        ("Focal", "invalid reference format: repository name (Focal) must be lowercase"),
        ("scratch", "'scratch' is a reserved name"),
        ("focal@sha256:0000000000000000000000000000000000000000000000000000000000000000", "no such image"),
        ("", "invalid reference format: \"\""),
    ] {
        let error = store.resolve(wanted).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{wanted}: {error}");
        assert!(error.is_user_error());
    }
}

#[test]
fn the_beginning_of_two_ids_is_ambiguous() {
    let (_dir, store) = store();
    for number in 0..40 {
        add(&store, &format!("n:{number}"), &format!("{number}"));
    }
    let ids: Vec<String> = store.images().unwrap().into_iter().map(|i| i.unwrap().id().0.hex()).collect();
    let prefix = (0..16).map(|d| format!("{d:x}")).find(|p| ids.iter().filter(|id| id.starts_with(p)).count() > 1);
    let error = store.resolve(&prefix.unwrap()).unwrap_err();
    assert!(matches!(&error, StoreError::AmbiguousImage { matches, .. } if matches.len() > 1), "{error}");
}

#[test]
fn a_name_that_moves_leaves_a_visible_image_behind() {
    let (_dir, store) = store();
    let old = add(&store, "app", "one");
    let new = add(&store, "app", "two");
    assert_eq!(store.resolve("app").unwrap().id(), new.id());
    let orphan = store.resolve(&old.id().to_string()).unwrap();
    assert_eq!(orphan.names, []);
    assert_eq!(store.images().unwrap().len(), 2);
    check(&store);
    store.tag(&old.id().to_string(), &name("app:old")).unwrap();
    assert_eq!(store.resolve("app:old").unwrap().id(), old.id());
    assert_eq!(store.images().unwrap().len(), 2);
    let again = store.tag("app:old", &name("app:old")).unwrap();
    assert_eq!(again.names, [name("app:old")]);
}

#[test]
fn removing_names_and_images() {
    let (_dir, store) = store();
    let image = add(&store, "app", "one");
    store.tag("app", &name("app:2")).unwrap();
    let id = image.id().to_string();
    let several = store.remove_image(&id, false).unwrap_err();
    assert!(matches!(several, StoreError::SeveralNames { .. }), "{several}");
    let removal = store.remove_image("app", false).unwrap();
    assert_eq!((removal.untagged, removal.deleted), (vec![name("app")], vec![]));
    let removal = store.remove_image("app:2", false).unwrap();
    assert_eq!((removal.untagged, removal.deleted), (vec![name("app:2")], vec![image.id()]));
    // Manifest, config and layer.
    assert_eq!(removal.swept.blobs.len(), 3);
    assert_eq!(std::fs::read_dir(store.root().join("blobs/sha256")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(store.root().join("layers")).unwrap().count(), 0);
    assert!(matches!(store.remove_image("app", false), Err(StoreError::NoSuchImage { .. })));

    add(&store, "app", "one");
    store.tag("app", &name("app:2")).unwrap();
    let removal = store.remove_image(&id, true).unwrap();
    assert_eq!(removal.untagged, [name("app:2"), name("app")]);
    check(&store);
}

#[test]
fn a_container_keeps_its_image() {
    let (_dir, store) = store();
    let image = add(&store, "app", "one");
    let new = bedplate_store::NewContainer {
        name: Some("web"),
        image: Some((&image, "app")),
        created: 0,
        remove: false,
        command: &[],
        details: serde_json::Value::Null,
    };
    drop(store.create_container(&new).unwrap());
    let error = store.remove_image("app", false).unwrap_err();
    assert!(matches!(error, StoreError::ImageInUse { .. }), "{error}");
    assert_eq!(store.prune_images(true, |_| false).unwrap().deleted, []);
    // Forced, the name goes; the blobs stay while the container does.
    let removal = store.remove_image("app", true).unwrap();
    assert_eq!(removal.swept.blobs, []);
    store.hold_container("web").unwrap().remove().unwrap();
    assert_eq!(store.sweep().unwrap().blobs.len(), 3);
}

#[test]
fn pruning_takes_images_without_a_name_or_all() {
    let (_dir, store) = store();
    let old = add(&store, "app", "one");
    add(&store, "app", "two");
    add(&store, "kept", "three");
    let removal = store.prune_images(false, |_| false).unwrap();
    assert_eq!(removal.deleted, [old.id()]);
    let removal = store.prune_images(true, |image| image.names == [name("kept")]).unwrap();
    assert_eq!(removal.untagged, [name("app")]);
    assert_eq!(store.images().unwrap().len(), 1);
    check(&store);
}

#[test]
fn an_image_without_layers_or_with_a_shared_one() {
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let empty = add_under(&lease, &[], &[name("empty")]);
    assert_eq!(empty.chain_id(), None);
    let base = tar(&[("a", b"a")]);
    add_under(&lease, std::slice::from_ref(&base), &[name("base")]);
    let upper = add_under(&lease, &[base, tar(&[("b", b"b")])], &[name("upper")]);
    drop(lease);
    let removal = store.remove_image("base", false).unwrap();
    assert_eq!(removal.swept.blobs.len(), 2, "manifest and config; the layer is the other's, too");
    assert_eq!(store.image_tree(&upper).unwrap().walk().count(), 3);
    check(&store);
}

#[test]
fn documents_that_do_not_fit_are_refused_and_name_nothing() {
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let missing = bedplate_oci::Descriptor::of(bedplate_oci::media_type::LAYER, b"not here");
    let error = lease
        .add_new_image(
            &crate::support::config(&[bedplate_oci::DiffId(missing.digest)]),
            vec![missing],
            [],
            &[name("a")],
        )
        .unwrap_err();
    assert!(matches!(error, StoreError::BlobMissing { .. }), "{error}");
    let error = lease
        .add_new_image(&crate::support::config(&[bedplate_oci::DiffId(bedplate_oci::Digest::of(b""))]), vec![], [], &[])
        .unwrap_err();
    assert!(matches!(error, StoreError::LayerCount { layers: 0, diff_ids: 1, .. }), "{error}");
    let error = lease.add_new_image(b"{", vec![], [], &[name("a")]).unwrap_err();
    assert!(matches!(error, StoreError::Json { .. }), "{error}");
    let pinned = format!("app@{}", bedplate_oci::Digest::of(b""));
    let error = lease.add_new_image(&crate::support::config(&[]), vec![], [], &[name(&pinned)]).unwrap_err();
    assert!(matches!(error, StoreError::DigestAsName { .. }), "{error}");
    drop(lease);
    assert_eq!(store.images().unwrap().len(), 0);
    store.sweep().unwrap();
    assert_eq!(std::fs::read_dir(store.root().join("blobs/sha256")).unwrap().count(), 0);
}

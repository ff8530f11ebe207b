//! Saved and loaded again: the same images, the same bytes.

use std::process::Command;

use bedplate_oci::{DiffId, Digest, media_type};
use bedplate_store::transfer::{LoadOptions, Saved, load_archive, load_directory, save};
use bedplate_store::{Image, Store};

use crate::support::{add, add_under, check, compress, config, digest_hex, gzip, name, store, tar};

fn saved(image: &Image) -> Saved {
    Saved { image: image.clone(), names: image.names.clone() }
}

fn save_all(store: &Store, names: &[&str]) -> Vec<u8> {
    let images: Vec<Saved> = names.iter().map(|name| saved(&store.resolve(name).unwrap())).collect();
    save(store, &images, Vec::new()).unwrap()
}

fn load(store: &Store, archive: &[u8]) -> bedplate_store::transfer::Loaded {
    let lease = store.lease().unwrap();
    load_archive(&lease, archive, "test.tar", &LoadOptions::default()).unwrap()
}

#[test]
fn several_images_there_and_back() {
    let (_dir, from) = store();
    let lease = from.lease().unwrap();
    let base = tar(&[("base", b"base")]);
    let first = add_under(&lease, &[base.clone(), tar(&[("a", b"a")])], &[name("first"), name("first:2")]);
    let second = add_under(&lease, std::slice::from_ref(&base), &[name("registry.example/second:x")]);
    let plain = tar(&[("z", b"z")]);
    let blob = lease.put_bytes(&gzip(&plain)).unwrap().descriptor(media_type::LAYER_GZIP);
    let packed =
        lease.add_new_image(&config(&[DiffId(Digest::of(&plain))]), vec![blob], [], &[name("packed")]).unwrap();
    drop(lease);
    let archive = save_all(&from, &["packed", "first", "registry.example/second:x"]);
    // The order of asking changes nothing, nor does asking twice.
    assert_eq!(archive, save_all(&from, &["first:2", "registry.example/second:x", "first", "packed"]));
    for archive in [archive.clone(), gzip(&archive), compress(&archive, "xz"), compress(&archive, "bzip2")] {
        let (_dir, to) = store();
        let loaded = load(&to, &archive);
        assert_eq!(loaded.images.len(), 3);
        for image in [&first, &second, &packed] {
            for name in &image.names {
                let found = to.resolve(&name.to_string()).unwrap();
                assert_eq!(found.id(), image.id());
                assert_eq!(found.manifest_bytes, image.manifest_bytes);
            }
        }
        check(&to);
        assert_eq!(
            save_all(&to, &["first", "registry.example/second:x", "packed"]),
            save_all(&from, &["first", "registry.example/second:x", "packed"])
        );
        to.sweep().unwrap();
        check(&to);
        assert_eq!(to.images().unwrap().len(), 3);
    }
}

#[test]
fn an_image_without_a_name_or_layers_is_saved_too() {
    let (_dir, from) = store();
    let lease = from.lease().unwrap();
    let image = add_under(&lease, &[], &[]);
    drop(lease);
    let archive = save(&from, &[saved(&image)], Vec::new()).unwrap();
    let (_dir, to) = store();
    let loaded = load(&to, &archive);
    assert_eq!((loaded.images.len(), loaded.images[0].1.len()), (1, 0));
    assert_eq!(to.resolve(&image.id().to_string()).unwrap().names, []);
}

/// What Docker before 25 writes: a folder per layer, links for those that images share, the config by its digest.
fn old_docker_archive(image_config: &[u8], lower: &[u8], upper: &[u8], link: bool) -> Vec<u8> {
    let config_name = format!("{}.json", digest_hex(image_config));
    let manifest = format!(
        r#"[{{"Config":"{config_name}","RepoTags":["old:1","old:2"],"Layers":["aaa/layer.tar","bbb/layer.tar","ccc/layer.tar"]}}]"#
    );
    let dir = tempfile::tempdir().unwrap();
    for (folder, bytes) in [("aaa", lower), ("bbb", upper), ("ccc", lower)] {
        let folder = dir.path().join(folder);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("VERSION"), "1.0").unwrap();
        std::fs::write(folder.join("json"), "{}").unwrap();
        match link && folder.ends_with("ccc") {
            true => std::os::unix::fs::symlink("../aaa/layer.tar", folder.join("layer.tar")).unwrap(),
            false => std::fs::write(folder.join("layer.tar"), bytes).unwrap(),
        }
    }
    std::fs::write(dir.path().join(config_name), image_config).unwrap();
    std::fs::write(dir.path().join("manifest.json"), manifest).unwrap();
    std::fs::write(dir.path().join("repositories"), r#"{"old":{"1":"bbb","2":"bbb"}}"#).unwrap();
    let out = Command::new("tar").arg("-C").arg(dir.path()).args(["-c", "."]).output().unwrap();
    assert!(out.status.success());
    out.stdout
}

#[test]
fn archives_of_older_dockers_are_read() {
    let (lower, upper) = (tar(&[("a", b"lower")]), tar(&[("a", b"upper")]));
    let ids = [DiffId(Digest::of(&lower)), DiffId(Digest::of(&upper)), DiffId(Digest::of(&lower))];
    let image_config = config(&ids);
    for (lower, upper, link) in [
        (lower.clone(), upper.clone(), true),
        (lower.clone(), upper.clone(), false),
        (gzip(&lower), upper.clone(), true),
        (compress(&lower, "xz"), gzip(&upper), true),
    ] {
        let (_dir, store) = store();
        let loaded = load(&store, &old_docker_archive(&image_config, &lower, &upper, link));
        assert_eq!(loaded.images.len(), 1);
        assert_eq!(loaded.images[0].1, [name("old:1"), name("old:2")]);
        let image = store.resolve("old:2").unwrap();
        assert_eq!(image.id().0, Digest::of(&image_config));
        assert_eq!(image.config_bytes, image_config);
        let first = image.manifest.layers[0].media_type.as_str();
        let expected = if lower.starts_with(&[0x1f, 0x8b]) { media_type::LAYER_GZIP } else { media_type::LAYER };
        assert_eq!(first, expected);
        check(&store);
        store.sweep().unwrap();
        check(&store);
        store.image_tree(&image).unwrap();
    }
}

#[test]
fn a_store_is_a_layout_that_another_store_loads() {
    let (_dir, from) = store();
    let image = add(&from, "app", "one");
    add(&from, "other", "two");
    let (_dir, to) = store();
    let lease = to.lease().unwrap();
    let loaded = load_directory(&lease, from.root(), "the store", &LoadOptions::default()).unwrap();
    assert_eq!(loaded.images.len(), 2);
    drop(lease);
    assert_eq!(to.resolve("app").unwrap().manifest_bytes, image.manifest_bytes);
    check(&to);
}

#[test]
fn of_several_platforms_one_is_loaded_and_the_others_are_named() {
    use bedplate_oci::{Descriptor, ImageIndex, Platform, to_json};
    let (_dir, from) = store();
    let (one, two) = (add(&from, "one", "1"), add(&from, "two", "2"));
    let entry = |image: &Image, platform: Platform| Descriptor { platform: Some(platform), ..image.descriptor.clone() };
    let attestation = Descriptor {
        platform: Some(Platform::new("unknown", "unknown")),
        ..Descriptor::of(media_type::MANIFEST, b"not here")
    };
    let nested = to_json(&ImageIndex::new(vec![
        entry(&two, Platform::new("linux", "s390x")),
        entry(&one, Platform::host()),
        attestation,
    ]));
    let mut top = Descriptor::of(media_type::INDEX, &nested);
    top.annotations.insert("org.opencontainers.image.ref.name".into(), "both".into());
    let layout = tempfile::tempdir().unwrap();
    let copy = Command::new("cp").args(["-r"]).arg(from.root().join("blobs")).arg(layout.path()).status().unwrap();
    assert!(copy.success());
    std::fs::write(layout.path().join(format!("blobs/sha256/{}", digest_hex(&nested))), &nested).unwrap();
    std::fs::write(layout.path().join("index.json"), to_json(&ImageIndex::new(vec![top]))).unwrap();
    for (platform, expected, left_out) in [
        (None, &one, "linux/s390x".to_owned()),
        (Some(Platform::new("linux", "s390x")), &two, Platform::host().to_string()),
    ] {
        let (_dir, to) = store();
        let lease = to.lease().unwrap();
        let loaded = load_directory(&lease, layout.path(), "x", &LoadOptions { platform, unnamed: false }).unwrap();
        assert_eq!(loaded.left_out, [left_out]);
        assert_eq!(to.resolve("both").unwrap().id(), expected.id());
    }
}

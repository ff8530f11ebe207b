//! Archives that lie: refused by name, and nothing of them stays.

use bedplate_oci::{Descriptor, DiffId, Digest, ImageIndex, Manifest, media_type, to_json};
use bedplate_store::transfer::{LoadOptions, load_archive};

use crate::support::{check, config, digest_hex, gzip, store, tar};

/// A sound docker-archive as a list of files, to be spoilt.
fn docker() -> Vec<(String, Vec<u8>)> {
    let layer = tar(&[("a", b"a")]);
    let config = config(&[DiffId(Digest::of(&layer))]);
    vec![
        ("layer.tar".into(), layer),
        ("config.json".into(), config),
        ("manifest.json".into(), br#"[{"Config":"config.json","RepoTags":["x:1"],"Layers":["layer.tar"]}]"#.to_vec()),
    ]
}

/// A sound OCI archive as a list of files, to be spoilt.
fn oci() -> Vec<(String, Vec<u8>)> {
    let layer = tar(&[("a", b"a")]);
    let config = config(&[DiffId(Digest::of(&layer))]);
    let manifest = to_json(&Manifest::new(
        Descriptor::of(media_type::CONFIG, &config),
        vec![Descriptor::of(media_type::LAYER, &layer)],
    ));
    let index = to_json(&ImageIndex::new(vec![Descriptor::of(media_type::MANIFEST, &manifest)]));
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", digest_hex(bytes));
    vec![
        (blob(&layer), layer.clone()),
        (blob(&config), config.clone()),
        (blob(&manifest), manifest.clone()),
        ("index.json".into(), index),
        ("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
    ]
}

fn pack(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    tar(&files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect::<Vec<_>>())
}

type Files = Vec<(String, Vec<u8>)>;

type Spoil = fn(&mut Files);

#[test]
fn archives_that_lie_are_refused_by_name() {
    let none: Spoil = |_| {};
    let cases: [(&str, Files, Spoil, &str); 26] = [
        ("docker as it should be", docker(), none, ""),
        ("oci as it should be", oci(), none, ""),
        ("no layer", docker(), |f| drop(f.remove(0)), "\"layer.tar\" is missing"),
        ("no config", docker(), |f| drop(f.remove(1)), "\"config.json\" is missing"),
        ("no manifest", docker(), |f| drop(f.remove(2)), "is no saved image"),
        ("another layer", docker(), |f| f[0].1 = tar(&[("a", b"b")]), "expected diff ID"),
        ("another layer, compressed", docker(), |f| f[0].1 = gzip(&tar(&[("a", b"b")])), "expected diff ID"),
        ("a layer that is no tar", docker(), |f| f[0].1 = gzip(&[1; 3000]), "no readable archive"),
        ("half a compressed layer", docker(), |f| f[0].1 = gzip(&f[0].1)[..60].to_vec(), "no readable archive"),
        ("no json", docker(), |f| f[2].1 = b"[{".to_vec(), "malformed"),
        ("no image", docker(), |f| f[2].1 = b"[]".to_vec(), "has no image"),
        ("config is no json", docker(), |f| f[1].1 = b"nothing".to_vec(), "malformed"),
        ("a giant manifest", docker(), |f| f[2].1 = vec![b' '; 5 << 20], "malformed"),
        (
            "a bad name",
            docker(),
            |f| f[2].1 = br#"[{"Config":"config.json","RepoTags":["scratch"],"Layers":["layer.tar"]}]"#.to_vec(),
            "is no name",
        ),
        (
            "too few layers",
            docker(),
            |f| f[2].1 = br#"[{"Config":"config.json","RepoTags":[],"Layers":[]}]"#.to_vec(),
            "0 layers, but 1 diff IDs",
        ),
        (
            "a layer from outside",
            docker(),
            |f| f[2].1 = br#"[{"Config":"config.json","Layers":["../../etc/passwd"]}]"#.to_vec(),
            "leads to no file",
        ),
        (
            "a config from outside",
            docker(),
            |f| f[2].1 = br#"[{"Config":"/etc/passwd","Layers":["layer.tar"]}]"#.to_vec(),
            "is missing",
        ),
        ("oci: wrong layer", oci(), |f| f[0].1[0] ^= 1, "expected sha256:"),
        ("oci: wrong config", oci(), |f| f[1].1.push(b' '), "expected sha256:"),
        ("oci: wrong manifest", oci(), |f| f[2].1.push(b' '), "expected sha256:"),
        ("oci: no layer", oci(), |f| drop(f.remove(0)), "is missing"),
        ("oci: no config", oci(), |f| drop(f.remove(1)), "is missing"),
        ("oci: no manifest", oci(), |f| drop(f.remove(2)), "has no image"),
        ("oci: broken index", oci(), |f| f[3].1 = b"{".to_vec(), "malformed"),
        ("an old one", vec![("repositories".into(), b"{}".to_vec())], none, "before 1.10"),
        ("a root filesystem", vec![("etc/passwd".into(), b"root".to_vec())], none, "import"),
    ];
    for (what, mut files, spoil, expected) in cases {
        spoil(&mut files);
        let (_dir, store) = store();
        let lease = store.lease().unwrap();
        let archive = pack(&files);
        let result = load_archive(&lease, archive.as_slice(), "test.tar", &LoadOptions::default());
        drop(lease);
        match result {
            Ok(loaded) => {
                assert_eq!(expected, "", "{what} was loaded");
                assert_eq!(loaded.images.len(), 1);
            }
            Err(error) => {
                assert!(!expected.is_empty() && error.to_string().contains(expected), "{what}: {error}");
                assert_eq!(store.images().unwrap().len(), 0, "{what}");
                store.sweep().unwrap();
                assert_eq!(std::fs::read_dir(store.root().join("blobs/sha256")).unwrap().count(), 0, "{what}");
            }
        }
        check(&store);
        assert_eq!(std::fs::read_dir(store.root().join("tmp")).unwrap().count(), 0, "{what}");
    }
}

#[test]
fn bytes_that_are_no_archive_or_break_off() {
    let whole = pack(&docker());
    for (what, bytes) in [
        ("empty", vec![]),
        ("text", b"hello, this is a text of some length that is not an archive at all".repeat(20)),
        ("truncated", whole[..whole.len() / 2].to_vec()),
        ("truncated gzip", gzip(&whole)[..100].to_vec()),
    ] {
        let (_dir, store) = store();
        let lease = store.lease().unwrap();
        let error = load_archive(&lease, bytes.as_slice(), "test.tar", &LoadOptions::default()).unwrap_err();
        assert!(error.to_string().contains("test.tar"), "{what}: {error}");
    }
}

#[test]
fn links_in_circles_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in docker() {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    std::fs::remove_file(dir.path().join("layer.tar")).unwrap();
    std::os::unix::fs::symlink("other.tar", dir.path().join("layer.tar")).unwrap();
    std::os::unix::fs::symlink("layer.tar", dir.path().join("other.tar")).unwrap();
    let out = std::process::Command::new("tar").arg("-C").arg(dir.path()).args(["-c", "."]).output().unwrap();
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let error = load_archive(&lease, out.stdout.as_slice(), "test.tar", &LoadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("leads to no file"), "{error}");
}

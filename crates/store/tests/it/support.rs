//! Stores, archives and images to test with.

use std::io::Read;
use std::path::Path;

use bedplate_archive::Writer;
use bedplate_oci::{DiffId, Digest, ImageConfig, Platform, Reference, media_type, to_json};
use bedplate_store::{FsckOptions, Image, Lease, OpenOptions, Store};
use bedplate_tree::{Content, Entry, Metadata, Timestamp, TreePath, Xattrs};
use tempfile::TempDir;

pub(crate) fn name(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

pub(crate) fn open(path: impl AsRef<Path>) -> Store {
    Store::open(&OpenOptions::new(path.as_ref())).unwrap()
}

pub(crate) fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path().join("store"));
    (dir, store)
}

/// A tar of files with their content; a name that ends in `/` is a directory.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, content) in files {
        let metadata = |mode| Metadata { mode, uid: 0, gid: 0, mtime: Timestamp::ZERO, xattrs: Xattrs::new() };
        let path = TreePath::parse(name.as_bytes()).unwrap();
        let entry = match name.ends_with('/') {
            true => Entry::directory(metadata(0o755)),
            false => Entry::file(Content::from_bytes(content.to_vec()), metadata(0o644)),
        };
        writer.append(&path, &entry, *content).unwrap();
    }
    writer.finish().unwrap().0
}

pub(crate) fn config(diff_ids: &[DiffId]) -> Vec<u8> {
    let mut config = ImageConfig::new(Platform::new("linux", "amd64"));
    config.rootfs.diff_ids = diff_ids.to_vec();
    config.config.cmd = Some(vec!["/hello".into()]);
    to_json(&config)
}

/// Adds an image with these layers.
pub(crate) fn add_under(lease: &Lease, layers: &[Vec<u8>], names: &[Reference]) -> Image {
    let mut descriptors = Vec::new();
    let mut diff_ids = Vec::new();
    for layer in layers {
        let (diff_id, scanned) = lease.ingest_layer(layer.as_slice(), true).unwrap();
        descriptors.push(bedplate_oci::Descriptor::new(media_type::LAYER, diff_id.0, scanned.index.stream_size()));
        diff_ids.push(diff_id);
    }
    lease.add_new_image(&config(&diff_ids), descriptors, [], names).unwrap()
}

/// Adds an image of one layer with one file.
pub(crate) fn add(store: &Store, called: &str, content: &str) -> Image {
    let lease = store.lease().unwrap();
    add_under(&lease, &[tar(&[("hello", content.as_bytes())])], &[name(called)])
}

/// Demands a sound store.
#[track_caller]
pub(crate) fn check(store: &Store) {
    let report = store.fsck(FsckOptions::default()).unwrap();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    compress(bytes, "gzip")
}

/// Compresses with a tool of the system; every Debian has gzip, xz and bzip2.
pub(crate) fn compress(bytes: &[u8], tool: &str) -> Vec<u8> {
    let mut child = std::process::Command::new(tool)
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let feeder = std::thread::spawn(move || {
        use std::io::Write;
        input.write_all(&bytes).unwrap();
    });
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    feeder.join().unwrap();
    assert!(child.wait().unwrap().success());
    out
}

pub(crate) fn digest_hex(bytes: &[u8]) -> String {
    Digest::of(bytes).hex()
}

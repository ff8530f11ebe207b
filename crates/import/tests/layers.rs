//! What a stream or a directory becomes: bytes kept, digests, mended roots, images.

use std::io::Write as _;

use bedplate_archive::codec::EncodeOptions;
use bedplate_archive::{Compression, Encoder, Writer};
use bedplate_import::{
    DirectoryOptions, ImportError, Layer, Request, Warning, assemble, store_directory, store_stream,
};
use bedplate_oci::{Digest, Platform, Reference, media_type};
use bedplate_store::{Lease, OpenOptions, Store};
use bedplate_tree::{Content, Entry, Metadata, Timestamp, TreePath};

struct Kit {
    folder: tempfile::TempDir,
    store: Store,
}

impl Kit {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&OpenOptions::new(folder.path().join("store"))).unwrap();
        Self { folder, store }
    }

    fn lease(&self) -> Lease {
        self.store.lease().unwrap()
    }
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

/// A root entry with this mode and owner, then a file of an hour after the epoch.
fn tar(mode: u32, uid: u32) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let root = Entry::directory(Metadata { mode, uid, ..Metadata::default() });
    writer.append(&TreePath::root(), &root, std::io::empty()).unwrap();
    let metadata = Metadata { mode: 0o644, mtime: Timestamp::from_seconds(3600), ..Metadata::default() };
    let file = Entry::file(Content::from_bytes(*b"hello"), metadata);
    writer.append(&path("file"), &file, &b"hello"[..]).unwrap();
    writer.finish().unwrap().0
}

fn packed(bytes: &[u8], compression: Compression) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), compression, EncodeOptions::default()).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn stored(kit: &Kit, bytes: &[u8], mend_root: bool) -> Result<(Layer, Lease), ImportError> {
    let lease = kit.lease();
    store_stream(&lease, bytes, "the input", mend_root).map(|layer| (layer, lease))
}

#[test]
fn the_layer_keeps_the_bytes_it_was_given_where_an_image_may_hold_them() {
    let plain = tar(0o755, 0);
    let cases = [
        (Compression::None, media_type::LAYER, true),
        (Compression::Gzip, media_type::LAYER_GZIP, true),
        (Compression::Zstd, media_type::LAYER_ZSTD, true),
        (Compression::Xz, media_type::LAYER, false),
        (Compression::Bzip2, media_type::LAYER, false),
    ];
    for (compression, media_type, kept) in cases {
        let kit = Kit::new();
        let input = packed(&plain, compression);
        let (layer, lease) = stored(&kit, &input, true).unwrap();
        assert_eq!(layer.diff_id().0, Digest::of(&plain), "{compression:?}");
        assert_eq!(layer.descriptor.media_type, media_type, "{compression:?}");
        let expected = if kept { &input } else { &plain };
        assert_eq!(layer.descriptor.digest, Digest::of(expected), "{compression:?}");
        assert_eq!(&kit.store.read_blob(&layer.descriptor.digest, 1 << 20).unwrap(), expected, "{compression:?}");
        assert_eq!(layer.mended, None);
        drop(lease);
    }
}

#[test]
fn a_root_that_nobody_could_enter_is_mended_in_every_form_alike() {
    let (closed, open) = (tar(0o700, 1000), tar(0o755, 0));
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Xz, Compression::Bzip2] {
        let kit = Kit::new();
        let input = packed(&closed, compression);
        let (layer, _lease) = stored(&kit, &input, true).unwrap();
        assert_eq!(layer.diff_id().0, Digest::of(&open), "{compression:?}");
        assert_eq!(layer.descriptor.media_type, media_type::LAYER, "{compression:?}");
        let before = layer.mended.unwrap();
        assert_eq!((before.mode, before.uid), (0o700, 1000));

        let (layer, _lease) = stored(&kit, &input, false).unwrap();
        assert_eq!(layer.diff_id().0, Digest::of(&closed), "{compression:?}");
        assert_eq!(layer.mended, None);
    }
}

#[test]
fn an_image_of_one_layer_has_one_step_and_the_newest_time() {
    let kit = Kit::new();
    let (layer, lease) = stored(&kit, &tar(0o755, 0), true).unwrap();
    let name = Reference::parse("a").unwrap();
    let request = Request {
        changes: vec!["ENV x=1 y=$z".into(), "CMD [\"a\"]".into()],
        message: "Imported from -".into(),
        names: vec![name.clone()],
        ..Request::default()
    };
    let imported = assemble(&lease, &layer, &request, "the input").unwrap();
    let config = &imported.image.config;
    assert_eq!(config.created.unwrap().seconds(), 3600);
    assert_eq!(config.config.env, ["x=1", "y="]);
    assert_eq!((config.history.len(), config.history[0].comment.as_str()), (1, "Imported from -"));
    assert_eq!(kit.store.resolve("a").unwrap().id(), imported.image.id());
    let warnings = [
        Warning::PlatformAssumed { platform: Platform::host() },
        Warning::Undefined { name: "z".into(), change: "ENV x=1 y=$z".into() },
    ];
    assert_eq!(imported.warnings, warnings);
}

#[test]
fn said_times_and_platforms_win() {
    let kit = Kit::new();
    let (layer, lease) = stored(&kit, &tar(0o755, 0), true).unwrap();
    let request = Request {
        platform: Some(Platform::new("linux", "riscv64")),
        epoch: Some(Timestamp::from_seconds(7)),
        ..Request::default()
    };
    let imported = assemble(&lease, &layer, &request, "the input").unwrap();
    assert_eq!(imported.image.config.created.unwrap().seconds(), 7);
    assert_eq!(imported.image.config.platform.to_string(), "linux/riscv64");
    assert_eq!(imported.warnings, []);
}

#[test]
fn a_change_that_cannot_be_is_told_before_anything_is_read() {
    for line in ["FROM x", "RUN x", "EXPOSE a", "STOPSIGNAL SIGNONE"] {
        let request = Request { changes: vec![line.into()], ..Request::default() };
        assert!(request.check().is_err(), "{line}");
    }
}

#[test]
fn an_input_without_a_byte_is_refused_and_one_of_zero_blocks_is_an_image() {
    let kit = Kit::new();
    assert!(matches!(stored(&kit, b"", true), Err(ImportError::Empty { .. })));
    let (layer, _lease) = stored(&kit, &[0; 1024], true).unwrap();
    assert_eq!(layer.diff_id().to_string(), "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef");
}

#[test]
fn a_damaged_input_leaves_nothing() {
    let plain = tar(0o755, 0);
    let gzip = packed(&plain, Compression::Gzip);
    let inputs = [&plain[..700], &gzip[..gzip.len() - 5], &[0x55; 2000], &[&gzip[..], b"garbage"].concat()];
    for input in inputs {
        let kit = Kit::new();
        let error = stored(&kit, input, true).map(|_| ()).unwrap_err();
        assert!(matches!(error, ImportError::Tar { .. }), "{error:?}");
        let blobs = kit.folder.path().join("store/blobs/sha256");
        assert_eq!(std::fs::read_dir(blobs).unwrap().count(), 0);
    }
}

#[test]
fn a_directory_becomes_a_layer_without_mount_points_and_the_store() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let kit = Kit::new();
    let root = kit.folder.path();
    for (name, text) in [("etc/hostname", "x"), ("proc/version", "x"), ("run/lock", "x"), ("home/run/kept", "x")] {
        std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        std::fs::write(root.join(name), text).unwrap();
    }
    std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o700)).unwrap();
    let me = root.metadata().unwrap();
    let lease = kit.lease();
    let store = root.join("store");
    let options = DirectoryOptions {
        epoch: Some(Timestamp::from_seconds(5)),
        invoker: Some((me.uid(), me.gid())),
        leave: Some(&store),
        ..DirectoryOptions::default()
    };
    let (layer, _) = store_directory(&lease, root, "the directory", &options).unwrap();
    let names: Vec<String> =
        layer.index.entries().iter().map(|entry| String::from_utf8_lossy(entry.path.as_bytes()).into_owned()).collect();
    assert_eq!(names, ["", "etc", "etc/hostname", "home", "home/run", "home/run/kept", "proc", "run"]);
    assert_eq!(layer.index.newest(), Some(Timestamp::from_seconds(5)));
    let mut tree = bedplate_tree::Tree::new();
    tree.apply(&layer.index.delta().unwrap()).unwrap();
    for (path, id) in tree.walk() {
        let metadata = &tree.inode(id).entry.metadata;
        assert_eq!((metadata.uid, metadata.gid), (0, 0), "{path}");
    }
    assert_eq!(tree.inode(tree.root()).entry.metadata.mode, 0o755);
}

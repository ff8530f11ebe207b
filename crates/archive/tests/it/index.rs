//! The index says what is in the stream, survives storage, and sees through damage.

use std::io;

use bedplate_archive::hash::StreamHasher;
use bedplate_archive::index::{IndexBuilder, Indexed, Scanned};
use bedplate_archive::tar::RootAttributes;
use bedplate_archive::{Index, IndexError, TarError, Writer};
use bedplate_testkit::generate::{Spec, items, to_tar};
use bedplate_testkit::{Entry, Random, Style, Tar};
use bedplate_tree::{Action, Source, Timestamp, TreePath};

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hasher = StreamHasher::on_this_thread();
    hasher.update(bytes);
    hasher.finish()
}

#[test]
fn the_hash_runs_to_the_end_of_the_stream() {
    let archives = [
        Vec::new(),
        vec![0; 10_240],
        Tar::new().file("f", 0o644, "x").finish(),
        Tar::new().file("f", 0o644, "x").unfinished(),
        Tar::new().file("f", 0o644, vec![1; 9 << 20]).raw(&[0; 1024]).raw(&[7; 100_000]).unfinished(),
    ];
    for archive in archives {
        let mut copied = Vec::new();
        let Scanned { index, mended } = Index::copy_tar(&archive[..], &mut copied, true).unwrap();
        assert_eq!((index.diff_id(), index.stream_size(), mended), (sha256(&archive), archive.len() as u64, None));
        assert!(copied == archive);
    }
}

#[test]
fn facts() {
    let archive = Tar::new()
        .dir("./", 0o755)
        .entry(&Entry { path: b"a", mtime: 7, data: b"12345", ..Entry::default() })
        .entry(&Entry { path: b"./a", mtime: 5, data: b"6", ..Entry::default() })
        .hardlink("b", "/a")
        .finish();
    let index = Index::read_tar(&archive[..]).unwrap();
    assert_eq!((index.entries().len(), index.duplicates()), (4, 1));
    assert_eq!(index.newest(), Some(Timestamp::from_seconds(7)));
    assert!(index.root().is_some());
    let a = index.find(&path("a")).unwrap();
    assert_eq!((&*a.name, a.header_offset), (&b"./a"[..], 512 + 1024));
    let Indexed::Entry(entry) = &a.indexed else { panic!() };
    let content = entry.content().unwrap();
    assert_eq!((content.size(), content.extents()[0].physical), (1, 512 + 1024 + 512));
    assert_eq!(content.source(), &Source::Stream(index.diff_id()));
    assert_eq!(index.find(&path("b")).unwrap().indexed, Indexed::HardLink(path("a")));
    assert!(index.find(&path("c")).is_none());
    let empty = Index::read_tar(io::empty()).unwrap();
    assert_eq!((empty.newest(), empty.root(), empty.duplicates()), (None, None, 0));
}

#[test]
fn whiteouts_are_understood() {
    let archive = Tar::new()
        .file("d/.wh.gone", 0o644, "")
        .file("d/.wh..wh..opq", 0o644, "")
        .file(".wh..wh.plnk/1.2", 0o644, "")
        .file("kept", 0o644, "")
        .hardlink("link", "kept")
        .finish();
    let delta = Index::read_tar(&archive[..]).unwrap().delta().unwrap();
    let actions: Vec<(TreePath, &str)> = delta
        .changes
        .iter()
        .map(|change| {
            let action = match change.action {
                Action::Put(_) => "put",
                Action::Link { .. } => "link",
                Action::Whiteout => "whiteout",
                Action::Opaque => "opaque",
            };
            (change.path.clone(), action)
        })
        .collect();
    let expected = [("d/gone", "whiteout"), ("d", "opaque"), ("kept", "put"), ("link", "link")];
    assert_eq!(actions, expected.map(|(text, action)| (path(text), action)));

    let archive = Tar::new().file("f", 0o644, "").file("d/.wh.", 0o644, "").finish();
    let error = Index::read_tar(&archive[..]).unwrap().delta().unwrap_err();
    assert_eq!(error.to_string(), r#"entry "d/.wh." at byte 512 is a whiteout of no name"#);
}

#[test]
fn a_file_that_was_packed_twice_is_one_file() {
    let archive = Tar::new().file("f", 0o644, "x").hardlink("f", "f").hardlink("g", "g").finish();
    let delta = Index::read_tar(&archive[..]).unwrap().delta().unwrap();
    let links: Vec<bool> = delta.changes.iter().map(|change| matches!(change.action, Action::Link { .. })).collect();
    assert_eq!(links, [false, true], "the second one has no first time and stays, to be refused");
}

#[test]
fn storage_goes_there_and_back() {
    for seed in 0..30 {
        let archive = to_tar(&items(&Spec::everything(seed)));
        let index = Index::read_tar(&archive[..]).unwrap();
        let encoded = index.encode();
        assert_eq!(Index::decode(&encoded).unwrap(), index);
        assert!(encoded.len() < archive.len() / 8 + 4096, "{} of {}", encoded.len(), archive.len());
    }
}

#[test]
fn damage_is_noticed() {
    let archive = to_tar(&items(&Spec::everything(1)));
    let encoded = Index::read_tar(&archive[..]).unwrap().encode();
    for length in 0..encoded.len() {
        assert!(Index::decode(&encoded[..length]).is_err(), "cut at {length}");
    }
    for at in 0..encoded.len() {
        let mut damaged = encoded.clone();
        damaged[at] ^= 0x10;
        assert!(Index::decode(&damaged).is_err(), "byte {at}");
    }
    assert!(Index::decode(&[&encoded[..], b"x"].concat()).is_err());
    let mut newer = encoded.clone();
    newer[15] = 99;
    assert!(matches!(Index::decode(&newer), Err(IndexError::Version { found: 99 })));
    let mut flipped = encoded;
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    assert!(matches!(Index::decode(&flipped), Err(IndexError::Checksum)));
}

#[test]
fn no_body_of_an_index_panics() {
    let archive = to_tar(&items(&Spec::everything(2)));
    let encoded = Index::read_tar(&archive[..]).unwrap().encode();
    let body = &encoded[24..encoded.len() - 32];
    let mut random = Random::new(3);
    bedplate_archive::fuzz::tar_index_decode(&[]);
    bedplate_archive::fuzz::tar_index_decode(body);
    for _ in 0..5000 {
        let mut bytes = body.to_vec();
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = *random.pick(&[0, 1, 0x7f, 0x80, 0xff, random.clone().number() as u8]);
        }
        bytes.truncate(1 + random.below(bytes.len() as u64) as usize * usize::from(random.one_in(3)).max(1));
        bedplate_archive::fuzz::tar_index_decode(&bytes);
    }
}

#[test]
fn a_count_that_nothing_pays_for_allocates_nothing() {
    // 2^63 entries in an index of a few bytes.
    let mut body = vec![0; 32];
    body.extend_from_slice(&[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    bedplate_archive::fuzz::tar_index_decode(&body);
}

#[test]
fn an_index_made_while_writing_is_the_index_of_what_was_written() {
    let archive = to_tar(&items(&Spec::everything(4)));
    let mut reader = bedplate_archive::Reader::new(&archive[..]);
    let mut writer = Writer::new(Vec::new());
    let mut builder = IndexBuilder::new();
    while let Some(member) = reader.next_entry().unwrap() {
        let copy = member.clone();
        builder.push(writer.append_member(copy, reader.file(&member)).unwrap());
    }
    let (written, size) = writer.finish().unwrap();
    assert_eq!(builder.finish(sha256(&written), size), Index::read_tar(&written[..]).unwrap());
}

#[test]
fn a_root_entry_is_mended() {
    let root = |mode, uid, gid| Entry { path: b"./", kind: b'5', mode, uid, gid, ..Entry::default() };
    let archive = |tar: Tar| tar.file("f", 0o644, "x").finish();
    let old = |mode, uid, gid| Some(RootAttributes { mode, uid, gid });
    let gnu = Entry { style: Style::Gnu, ..root(0o700, 3_000_000, 3_000_000) };
    let records: &[(&str, &[u8])] =
        &[("gid", b"70000000"), ("mtime", b"1.5"), ("uid", b"3000000"), ("uid", b"3000001")];
    let cases = [
        ("nothing to mend", archive(Tar::new().entry(&root(0o755, 0, 0))), None),
        ("more bits are kept", archive(Tar::new().entry(&root(0o1777, 0, 0))), None),
        ("no root entry", archive(Tar::new()), None),
        ("a closed root", archive(Tar::new().entry(&root(0o700, 0, 0))), old(0o700, 0, 0)),
        ("an owned root", archive(Tar::new().entry(&root(0o755, 1000, 1000))), old(0o755, 1000, 1000)),
        ("base-256 numbers", archive(Tar::new().entry(&gnu)), old(0o700, 3_000_000, 3_000_000)),
        ("PAX records", archive(Tar::new().pax(records).entry(&root(0o755, 0, 0))), old(0o755, 3_000_001, 70_000_000)),
        (
            "behind a volume label",
            archive(Tar::new().entry(&Entry { kind: b'V', ..Entry::default() }).entry(&root(0o700, 0, 0))),
            old(0o700, 0, 0),
        ),
        ("not the first entry", archive(Tar::new().file("a", 0o644, "y").entry(&root(0o700, 0, 0))), old(0o700, 0, 0)),
    ];
    for (what, archive, mended) in cases {
        let mut copied = Vec::new();
        let scanned = Index::copy_tar(&archive[..], &mut copied, true).unwrap();
        assert_eq!(scanned.mended, mended, "{what}");
        assert_eq!(copied == archive, mended.is_none(), "{what}");
        assert_eq!(scanned.index.diff_id(), sha256(&copied), "{what}");
        // What was written says the same without being mended, and is as long.
        assert_eq!(Index::read_tar(&copied[..]).unwrap(), scanned.index, "{what}");
        assert_eq!(copied.len(), archive.len(), "{what}");
        if mended.is_some() {
            let Indexed::Entry(root) = &scanned.index.root().unwrap().indexed else { panic!() };
            assert_eq!((root.metadata.mode, root.metadata.uid, root.metadata.gid), (0o755, 0, 0), "{what}");
        }
        // Unless it is asked for, nothing changes.
        copied.clear();
        assert_eq!(Index::copy_tar(&archive[..], &mut copied, false).unwrap().mended, None);
        assert!(copied == archive, "{what}");
    }
    let global = Tar::new().global_pax(&[("uid", b"7")]).entry(&root(0o755, 0, 0)).finish();
    let error = Index::copy_tar(&global[..], io::sink(), true).unwrap_err();
    assert!(matches!(error, TarError::Ambiguous { .. }), "{error}");
}

#[test]
fn a_sink_that_fails_is_named() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("no space"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let archive = Tar::new().file("f", 0o644, "x").finish();
    let error = Index::copy_tar(&archive[..], Full, false).unwrap_err();
    assert!(matches!(error, TarError::Pass { offset: 0, .. }), "{error}");
}

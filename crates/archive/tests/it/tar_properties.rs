//! write ∘ read = id, for any entry.

use std::io::Read;

use bedplate_archive::tar::{Sparseness, WriteError};
use bedplate_archive::{Member, MemberKind, Reader, Writer};
use bedplate_tree::{Content, Entry, EntryKind, Extent, Metadata, Source, Timestamp, TreePath};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// An entry with the bytes of a file, or a hard link.
#[derive(Debug, Clone)]
enum Written {
    Entry(TreePath, Entry, Vec<u8>),
    Link(TreePath, TreePath, Metadata),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("of a name", |&b| b != 0 && b != b'/');
    prop_oneof![
        8 => vec(byte.clone(), 1..20),
        1 => vec(byte, 80..255),
        1 => Just(b"n".repeat(100)),
    ]
}

fn path() -> impl Strategy<Value = TreePath> {
    vec(name(), 1..8)
        .prop_filter_map("a path", |parts| TreePath::parse(&parts.join(&b'/')).ok().filter(|path| !path.is_root()))
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let owner = || prop_oneof![Just(0), 0..70_000u32, 2_097_150..2_097_155u32, Just(u32::MAX - 1)];
    let seconds =
        prop_oneof![Just(0), 0..2_000_000_000i64, -5..5i64, 8_589_934_590..8_589_934_595i64, (i64::MIN + 1)..i64::MAX,];
    let nanoseconds = prop_oneof![3 => Just(0), 1 => 0..1_000_000_000u32];
    let xattr = vec(any::<u8>().prop_filter("of a name", |&b| b != 0), 1..30);
    let xattrs = btree_map(xattr.prop_map(Into::into), vec(any::<u8>(), 0..300).prop_map(Into::into), 0..3);
    (0..=0o7777u32, owner(), owner(), seconds, nanoseconds, xattrs).prop_map(
        |(mode, uid, gid, seconds, nanoseconds, xattrs)| {
            let mtime = Timestamp { seconds, nanoseconds };
            Metadata { mode, uid, gid, mtime, xattrs }
        },
    )
}

/// Bytes and where they are not a hole.
fn file() -> impl Strategy<Value = (EntryKind, Vec<u8>)> {
    let runs = vec((0..5000usize, 1..2000usize), 0..6);
    (runs, 0..3000usize).prop_map(|(runs, tail)| {
        let mut bytes = Vec::new();
        let mut extents: Vec<Extent> = Vec::new();
        for (hole, length) in runs {
            bytes.resize(bytes.len() + hole, 0);
            let logical = bytes.len() as u64;
            bytes.extend((0..length).map(|i| i as u8 | 1));
            match extents.last_mut() {
                Some(last) if last.logical + last.length == logical => last.length += length as u64,
                _ => extents.push(Extent { logical, physical: 0, length: length as u64 }),
            }
        }
        bytes.resize(bytes.len() + tail, 0);
        let content = Content::sparse(Source::Stream([0; 32]), bytes.len() as u64, extents).unwrap();
        (EntryKind::File(content), bytes)
    })
}

fn written() -> impl Strategy<Value = Written> {
    let target = vec(any::<u8>().prop_filter("of a target", |&b| b != 0), 1..300);
    let device = (0..4096u32, 0..1_048_576u32);
    let kind = prop_oneof![
        2 => Just((EntryKind::Directory, Vec::new())),
        4 => file(),
        1 => target.prop_map(|target| (EntryKind::Symlink(target.into()), Vec::new())),
        1 => device.clone().prop_map(|(major, minor)| (EntryKind::CharDevice { major, minor }, Vec::new())),
        1 => device.prop_map(|(major, minor)| (EntryKind::BlockDevice { major, minor }, Vec::new())),
        1 => Just((EntryKind::Fifo, Vec::new())),
    ];
    let entry = (path(), kind, metadata())
        .prop_map(|(path, (kind, bytes), metadata)| Written::Entry(path, Entry { kind, metadata }, bytes));
    let link = (path(), path(), metadata()).prop_filter_map("to itself", |(path, target, metadata)| {
        (path != target).then_some(Written::Link(path, target, metadata))
    });
    prop_oneof![8 => entry, 1 => link]
}

fn write(entries: &[Written], sparseness: Sparseness) -> (Vec<u8>, Vec<Member>) {
    let mut writer = Writer::new(Vec::new()).sparseness(sparseness);
    let mut members = Vec::new();
    for entry in entries {
        let member = match entry {
            Written::Entry(path, entry, bytes) => writer.append(path, entry, &bytes[..]),
            Written::Link(path, target, metadata) => writer.append_link(path, target, metadata),
        };
        members.push(member.unwrap());
    }
    let (archive, length) = writer.finish().unwrap();
    assert_eq!(length, archive.len() as u64);
    (archive, members)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_is_read(entries in vec(written(), 0..8), sparse in any::<bool>()) {
        let sparseness = if sparse { Sparseness::Gnu } else { Sparseness::Dense };
        let (archive, members) = write(&entries, sparseness);
        let mut reader = Reader::new(&archive[..]);
        for (written, expected) in entries.iter().zip(&members) {
            let found = reader.next_entry().unwrap().unwrap();
            prop_assert_eq!(&found, expected, "the writer foresees what is read");
            let mut bytes = Vec::new();
            reader.file(&found).read_to_end(&mut bytes).unwrap();
            match written {
                Written::Entry(path, entry, content) => {
                    prop_assert_eq!(&found.path, path);
                    prop_assert_eq!(&found.metadata, &entry.metadata);
                    prop_assert!(bytes == *content);
                    let same = match (&found.kind, &entry.kind) {
                        (MemberKind::File { extents, .. }, EntryKind::File(content)) if sparse => {
                            let shape = |extents: &[Extent]| -> Vec<(u64, u64)> {
                                extents.iter().map(|extent| (extent.logical, extent.length)).collect()
                            };
                            !content.is_sparse() || shape(extents) == shape(content.extents())
                        }
                        (MemberKind::File { .. }, EntryKind::File(_)) => true,
                        (MemberKind::Symlink(found), EntryKind::Symlink(target)) => found == target,
                        (found, kind) => format!("{found:?}") == format!("{kind:?}"),
                    };
                    prop_assert!(same, "{:?} for {:?}", found.kind, entry.kind);
                }
                Written::Link(path, target, metadata) => {
                    prop_assert_eq!(&found.path, path);
                    prop_assert_eq!(&found.metadata, metadata);
                    prop_assert_eq!(&found.kind, &MemberKind::HardLink(target.clone()));
                }
            }
        }
        prop_assert!(reader.next_entry().unwrap().is_none());
        // And what is read, written again, is the same archive.
        if !sparse {
            let mut again = Writer::new(Vec::new());
            let mut reader = Reader::new(&archive[..]);
            while let Some(member) = reader.next_entry().unwrap() {
                let copy = member.clone();
                again.append_member(copy, reader.file(&member)).unwrap();
            }
            prop_assert!(again.finish().unwrap().0 == archive);
        }
    }
}

#[test]
fn the_bytes_are_the_same_as_ever() {
    let path = |text: &str| TreePath::parse(text.as_bytes()).unwrap();
    let metadata = Metadata { mode: 0o755, mtime: Timestamp { seconds: 5, nanoseconds: 0 }, ..Metadata::default() };
    let mut writer = Writer::new(Vec::new());
    writer.append(&TreePath::root(), &Entry::directory(metadata.clone()), std::io::empty()).unwrap();
    writer.append(&path("d"), &Entry::directory(metadata.clone()), std::io::empty()).unwrap();
    let mut special = metadata.clone();
    special.uid = 3_000_000;
    special.mtime.nanoseconds = 250_000_000;
    special.xattrs.insert(b"user.a"[..].into(), b"b"[..].into());
    let file = Entry::file(Content::from_bytes(*b"hello\n"), special.clone());
    writer.append(&path("d/f"), &file, &b"hello\n"[..]).unwrap();
    writer.append_link(&path("g"), &path("d/f"), &special).unwrap();
    let (archive, length) = writer.finish().unwrap();
    // Header, header, extended header with its records, file with its body, extended header with its records, link, end.
    assert_eq!(length, 512 * (1 + 1 + 2 + 2 + 3 + 2));
    assert_eq!(&archive[1024..1024 + 512][..12], b"PaxHeaders/0");
    assert_eq!(&archive[1536..1536 + 49], *b"25 SCHILY.xattr.user.a=b\n14 mtime=5.25\n15 uid=300");
    // A change of this digest is a change of every layer that is built: a new version of the format.
    let digest: [u8; 32] = {
        let mut hasher = bedplate_archive::hash::StreamHasher::new();
        hasher.update(&archive);
        hasher.finish()
    };
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "20654757b76651aacb02056d57e1ab6af758b728517f02d3f59dc5dc5cb4fe85");
}

#[test]
fn bodies_must_be_as_long_as_they_are_said_to_be() {
    let path = TreePath::parse(b"f").unwrap();
    let file = Entry::file(Content::dense(Source::Stream([0; 32]), 0, 5), Metadata::default());
    for (body, expected) in [("1234", "shorter"), ("12345", ""), ("123456", "longer")] {
        match Writer::new(Vec::new()).append(&path, &file, body.as_bytes()) {
            Ok(_) => assert_eq!(expected, ""),
            Err(WriteError::Size { found, .. }) => assert_eq!(found, expected),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn what_cannot_be_read_back_is_not_written() {
    let path = TreePath::parse(b"f").unwrap();
    let good = Metadata::default();
    let entry = |kind| Entry { kind, metadata: Metadata::default() };
    let xattr = |name: &[u8], length| {
        let mut metadata = Metadata::default();
        metadata.xattrs.insert(name.into(), vec![0; length].into());
        Entry { kind: EntryKind::Fifo, metadata }
    };
    let cases = [
        entry(EntryKind::Socket),
        entry(EntryKind::Symlink(b""[..].into())),
        entry(EntryKind::Symlink(b"a\0"[..].into())),
        entry(EntryKind::Symlink(vec![b't'; 4096].into())),
        entry(EntryKind::CharDevice { major: 4096, minor: 0 }),
        entry(EntryKind::BlockDevice { major: 0, minor: 1 << 20 }),
        xattr(b"", 1),
        xattr(&[b'n'; 256], 1),
        xattr(b"user.a", 65_537),
        Entry { kind: EntryKind::Fifo, metadata: Metadata { uid: u32::MAX, ..good.clone() } },
        Entry { kind: EntryKind::Fifo, metadata: Metadata { gid: u32::MAX, ..good } },
    ];
    for entry in cases {
        let got = Writer::new(Vec::new()).append(&path, &entry, std::io::empty());
        assert!(matches!(got, Err(WriteError::Entry { .. })), "{entry:?}");
    }
    let many = Metadata {
        xattrs: (0..17).map(|n| (format!("user.{n}").into_bytes().into(), vec![0; 65_536].into())).collect(),
        ..Metadata::default()
    };
    let got = Writer::new(Vec::new()).append(&path, &Entry { kind: EntryKind::Fifo, metadata: many }, std::io::empty());
    assert!(matches!(got, Err(WriteError::Entry { .. })));
    let got = Writer::new(Vec::new()).append(&TreePath::root(), &entry(EntryKind::Fifo), std::io::empty());
    assert!(matches!(got, Err(WriteError::Entry { .. })));
    assert!(Writer::new(Vec::new()).append_link(&path, &path, &Metadata::default()).is_err());
}

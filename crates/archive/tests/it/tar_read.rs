//! What well-formed archives mean, a table for each question.

use std::io::Read;

use bedplate_archive::{Member, MemberKind, Reader};
use bedplate_testkit::{Entry, Style, Tar};
use bedplate_tree::{Extent, Timestamp};

pub(crate) fn members(archive: &[u8]) -> Vec<Member> {
    let mut reader = Reader::new(archive);
    let mut members = Vec::new();
    while let Some(member) = reader.next_entry().unwrap() {
        members.push(member);
    }
    members
}

fn only(archive: &[u8]) -> Member {
    let mut members = members(archive);
    assert_eq!(members.len(), 1);
    members.remove(0)
}

fn name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn ends_of_archives() {
    let one = || Tar::new().file("f", 0o644, "x");
    let zeros = |count: usize| vec![0u8; count];
    let cases: [(&str, Vec<u8>, usize); 11] = [
        ("an empty stream", Vec::new(), 0),
        ("one zero block", zeros(512), 0),
        ("two zero blocks", zeros(1024), 0),
        ("GNU tar's empty archive", zeros(10_240), 0),
        ("two zero blocks", one().finish(), 1),
        ("no zero block", one().unfinished(), 1),
        ("one zero block", one().raw(&zeros(512)).unfinished(), 1),
        ("one zero block and a piece of one", one().raw(&zeros(612)).unfinished(), 1),
        ("something after the end", one().raw(&zeros(1024)).raw(b"trailing").unfinished(), 1),
        ("an archive after the end", one().raw(&zeros(1024)).raw(&one().finish()).unfinished(), 1),
        ("a piece of something after one zero block", one().raw(&zeros(512 + 511)).unfinished(), 1),
    ];
    for (what, archive, count) in cases {
        let mut reader = Reader::new(&archive[..]);
        let mut found = 0;
        while reader.next_entry().unwrap_or_else(|error| panic!("{what}: {error}")).is_some() {
            found += 1;
        }
        assert_eq!(found, count, "{what}");
        assert_eq!(reader.finish().unwrap().size, archive.len() as u64, "{what}");
    }
}

#[test]
fn names_become_paths() {
    let cases: [(&[u8], &str); 7] = [
        (b"usr/bin/env", "usr/bin/env"),
        (b"./usr/bin/env", "usr/bin/env"),
        (b"/usr/bin/env", "usr/bin/env"),
        (b"//usr/./bin//env", "usr/bin/env"),
        (b"...", "..."),
        (b" a ", " a "),
        (b"a\nb", "a\nb"),
    ];
    for (raw, path) in cases {
        let archive = Tar::new().entry(&Entry { path: raw, ..Entry::default() }).finish();
        let member = only(&archive);
        assert_eq!((&*member.name, name(member.path.as_bytes())), (raw, path.to_owned()));
    }
    for raw in [&b"./"[..], b"/", b"."] {
        let archive = Tar::new().entry(&Entry { path: raw, kind: b'5', ..Entry::default() }).finish();
        assert!(only(&archive).path.is_root(), "{raw:?}");
    }
}

#[test]
fn the_prefix_counts_in_posix_archives_only() {
    let with_prefix = |style| {
        let mut archive = Tar::new().entry(&Entry { path: b"name", style, ..Entry::default() }).finish();
        archive[345..351].copy_from_slice(b"prefix");
        seal(&mut archive, 0);
        archive
    };
    assert_eq!(name(&only(&with_prefix(Style::Ustar)).name), "prefix/name");
    assert_eq!(name(&only(&with_prefix(Style::Gnu)).name), "name");
    assert_eq!(name(&only(&with_prefix(Style::V7)).name), "name");
}

/// Makes the checksum of the header at `at` right.
pub(crate) fn seal(archive: &mut [u8], at: usize) {
    let block = &mut archive[at..at + 512];
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[test]
fn kinds() {
    let entry = |kind, path: &'static [u8]| Entry { kind, path, link: b"target", device: (8, 1), ..Entry::default() };
    let empty = || MemberKind::File { size: 0, extents: Vec::new() };
    let target = || bedplate_tree::TreePath::parse(b"target").unwrap();
    let cases = [
        (entry(b'0', b"a"), empty()),
        (entry(0, b"a"), empty()),
        (entry(b'7', b"a"), empty()),
        (entry(0, b"a/"), MemberKind::Directory),
        (entry(b'0', b"a/"), MemberKind::Directory),
        (entry(b'1', b"a"), MemberKind::HardLink(target())),
        (entry(b'2', b"a"), MemberKind::Symlink(b"target"[..].into())),
        (entry(b'3', b"a"), MemberKind::CharDevice { major: 8, minor: 1 }),
        (entry(b'4', b"a"), MemberKind::BlockDevice { major: 8, minor: 1 }),
        (entry(b'5', b"a"), MemberKind::Directory),
        (entry(b'6', b"a"), MemberKind::Fifo),
    ];
    for (entry, expected) in cases {
        assert_eq!(only(&Tar::new().entry(&entry).finish()).kind, expected, "{}", entry.kind as char);
    }
}

#[test]
fn targets_of_links() {
    let link = |kind, link: &'static [u8]| Tar::new().entry(&Entry { kind, link, ..Entry::default() }).finish();
    for target in [&b"/etc/passwd"[..], b"../../../outside", b"./a//b/", b".."] {
        assert_eq!(only(&link(b'2', target)).kind, MemberKind::Symlink(target.into()));
    }
    for (target, path) in [(&b"/etc/passwd"[..], &b"etc/passwd"[..]), (b"./a//b", b"a/b")] {
        let expected = MemberKind::HardLink(bedplate_tree::TreePath::parse(path).unwrap());
        assert_eq!(only(&link(b'1', target)).kind, expected);
    }
}

#[test]
fn entries_without_a_body_have_none_whatever_their_size() {
    for kind in [b'1', b'2', b'3', b'4', b'5', b'6'] {
        let odd = Entry { kind, link: b"target", size: Some(512), ..Entry::default() };
        let archive = Tar::new().header_only(&odd).file("next", 0o644, "x").finish();
        let found: Vec<String> = members(&archive).iter().map(|member| name(&member.name)).collect();
        assert_eq!(found, ["file", "next"], "{}", kind as char);
    }
}

#[test]
fn volume_labels_are_skipped() {
    let label = Entry { kind: b'V', path: b"label", style: Style::Gnu, ..Entry::default() };
    let archive = Tar::new().entry(&label).file("f", 0o644, "x").finish();
    let member = only(&archive);
    assert_eq!((name(&member.name), member.header_offset), ("f".into(), 512));
}

#[test]
fn extended_headers_override() {
    let long = "d/".repeat(100) + "f";
    let archive = Tar::new()
        .global_pax(&[("comment", b"of git archive"), ("mtime", b"7"), ("gid", b"7")])
        .pax(&[
            ("path", long.as_bytes()),
            ("uid", b"3000000"),
            ("gid", b""),
            ("mtime", b"-1.25"),
            ("SCHILY.xattr.user.a", b"1\0="),
            ("SCHILY.xattr.user.empty", b""),
            ("LIBARCHIVE.xattr.user.a", b"Mg"),
            ("LIBARCHIVE.xattr.user.b%20c", b"Mg"),
            ("atime", b"nonsense"),
            ("unknown.key", b"\xff"),
        ])
        .entry(&Entry { uid: 5, gid: 6, mtime: 9, ..Entry::default() })
        .entry(&Entry { uid: 5, gid: 6, mtime: 9, ..Entry::default() })
        .finish();
    let members = members(&archive);
    let first = &members[0];
    assert_eq!((name(&first.name), first.header_offset, first.data_offset), (long, 1024, 1024 + 1536));
    let metadata = &first.metadata;
    assert_eq!((metadata.uid, metadata.gid), (3_000_000, 6), "an empty value takes the global one back, too");
    assert_eq!(metadata.mtime, Timestamp { seconds: -2, nanoseconds: 750_000_000 });
    let xattrs: Vec<(&[u8], &[u8])> = metadata.xattrs.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(xattrs, [(&b"user.a"[..], &b"1\0="[..]), (b"user.b c", b"2"), (b"user.empty", b"")]);
    let second = &members[1].metadata;
    assert_eq!((second.uid, second.gid, second.mtime), (5, 7, Timestamp::from_seconds(7)));
}

#[test]
fn names_of_owners_are_those_of_the_entry_returned_last() {
    let entry = |names, style| Entry { names, style, ..Entry::default() };
    let archive = Tar::new()
        .global_pax(&[("gname", b"all")])
        .entry(&entry(("anna", "staff"), Style::Ustar))
        .pax(&[("uname", b"a name of more than thirty-two bytes"), ("gname", b"")])
        .entry(&entry(("anna", "staff"), Style::Gnu))
        .entry(&entry(("", ""), Style::V7))
        .finish();
    let mut reader = Reader::new(&archive[..]);
    assert_eq!(reader.owner_names(), (&b""[..], &b""[..]));
    for (user, group) in [("anna", "all"), ("a name of more than thirty-two bytes", "staff"), ("", "all")] {
        reader.next_entry().unwrap().unwrap();
        assert_eq!(reader.owner_names(), (user.as_bytes(), group.as_bytes()));
    }
}

#[test]
fn gnu_long_names_and_targets() {
    let (path, target) = ("p".repeat(300), "t".repeat(300));
    let entry = Entry { kind: b'2', link: b"cut", style: Style::Gnu, ..Entry::default() };
    let path = format!("{}/{}", &path[..150], &path[150..]);
    let archive = Tar::new().long_name(b'K', &target).long_name(b'L', &path).entry(&entry).finish();
    let member = only(&archive);
    assert_eq!((name(&member.name), member.header_offset), (path, 0));
    assert_eq!(member.kind, MemberKind::Symlink(target.into_bytes().into()));
}

#[test]
fn numbers_of_all_sizes() {
    let gnu = Entry { uid: 4_294_967_294, gid: 2_097_152, mtime: -5, style: Style::Gnu, ..Entry::default() };
    let metadata = only(&Tar::new().entry(&gnu).finish()).metadata;
    assert_eq!((metadata.uid, metadata.gid, metadata.mtime.seconds), (4_294_967_294, 2_097_152, -5));
    let typed = Entry { mode: 0o100_644, ..Entry::default() };
    assert_eq!(only(&Tar::new().entry(&typed).finish()).metadata.mode, 0o644, "the file type falls away");
}

#[test]
fn the_pax_size_wins() {
    let archive = Tar::new()
        .pax(&[("size", b"600")])
        .header_only(&Entry { path: b"f", size: Some(0), ..Entry::default() })
        .raw(&[b'x'; 1024])
        .file("next", 0o644, "y")
        .finish();
    let members = members(&archive);
    let extents = vec![Extent { logical: 0, physical: 1536, length: 600 }];
    assert_eq!(members[0].kind, MemberKind::File { size: 600, extents });
    assert_eq!((name(&members[1].name), members[1].header_offset), ("next".into(), 2560));
}

#[test]
fn bodies_are_read_skipped_or_left_halfway() {
    let archive =
        Tar::new().file("a", 0o644, "12345").file("b", 0o644, vec![7; 700_000]).file("c", 0o644, "x").finish();
    let mut reader = Reader::new(&archive[..]);
    let first = reader.next_entry().unwrap().unwrap();
    let mut half = [0; 3];
    reader.body().read_exact(&mut half).unwrap();
    assert_eq!((&half, first.size()), (b"123", 5));
    let second = reader.next_entry().unwrap().unwrap();
    let mut bytes = Vec::new();
    reader.body().read_to_end(&mut bytes).unwrap();
    assert_eq!((bytes.len() as u64, bytes.iter().all(|&b| b == 7)), (second.size(), true));
    assert_eq!(reader.body().read(&mut [0; 10]).unwrap(), 0);
    assert_eq!(name(&reader.next_entry().unwrap().unwrap().name), "c");
    assert!(reader.next_entry().unwrap().is_none());
    assert!(reader.next_entry().unwrap().is_none());
    // The content of an entry that is past is not read from another one's bytes.
    bytes.clear();
    reader.file(&second).read_to_end(&mut bytes).unwrap();
    assert!(bytes.is_empty());
}

#[test]
fn small_reads_of_the_source_change_nothing() {
    /// Gives one byte at a time.
    struct Trickle<'a>(&'a [u8]);
    impl Read for Trickle<'_> {
        fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
            let count = target.len().min(1);
            self.0.read(&mut target[..count])
        }
    }
    let archive = Tar::new().pax(&[("mtime", b"1.5")]).file("a", 0o644, vec![1; 5000]).dir("d", 0o755).finish();
    let mut reader = Reader::new(Trickle(&archive));
    let mut found = Vec::new();
    while let Some(member) = reader.next_entry().unwrap() {
        found.push(member);
    }
    assert_eq!(found, members(&archive));
}

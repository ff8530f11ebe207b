//! Archives that are cut, damaged, ambiguous or greedy: each is refused with a message that names the entry and the byte.

use std::error::Error;
use std::io::{self, Read};

use bedplate_archive::tar::{Limits, limits};
use bedplate_archive::{Reader, TarError};
use bedplate_testkit::{Entry, Random, Style, Tar};

use crate::tar_read::seal;

/// Reads all entries and their bodies.
fn read(archive: &[u8]) -> Result<(), TarError> {
    read_within(archive, Limits::default())
}

fn read_within(archive: &[u8], limits: Limits) -> Result<(), TarError> {
    let mut reader = Reader::new(archive).limits(limits);
    while reader.next_entry()?.is_some() {
        if let Err(error) = io::copy(&mut reader.body(), &mut io::sink()) {
            return Err(error.into_inner().unwrap().downcast().map(|error| *error).unwrap());
        }
    }
    reader.finish().map(drop)
}

/// The error with its causes, in one line.
fn message(archive: &[u8]) -> String {
    let error = read(archive).expect_err("a refusal");
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn sparse_0_1(map: &[u8], size: &[u8], data: &[u8]) -> Vec<u8> {
    Tar::new()
        .pax(&[("GNU.sparse.map", map), ("GNU.sparse.size", size)])
        .entry(&Entry { data, ..Entry::default() })
        .finish()
}

fn sparse_1_0(map: &[u8], size: &[u8]) -> Vec<u8> {
    let records: [(&str, &[u8]); 3] =
        [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", size)];
    Tar::new().pax(&records).entry(&Entry { data: map, ..Entry::default() }).finish()
}

fn lone(entry: &Entry<'_>) -> Vec<u8> {
    Tar::new().entry(entry).finish()
}

fn extended(records: &[(&str, &[u8])]) -> Vec<u8> {
    Tar::new().pax(records).file("f", 0o644, "").finish()
}

#[test]
fn refusals_and_their_messages() {
    let entry = |path: &'static [u8]| Entry { path, ..Entry::default() };
    let deep = b"d/".repeat(1025);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        // Not an archive, damaged, cut.
        (b"PK\x03\x04".repeat(200), r#"not a tar archive: it begins with bytes 50 4b 03 04 50 4b 03 04"#),
        (b"#!/bin/sh\necho no archive\n".repeat(30), r##"not a tar archive: it begins with "#!/bin/sh\necho n""##),
        (b"short".to_vec(), r#"not a tar archive: it begins with "short", and has only 5 bytes"#),
        (
            Tar::new().file("f", 0o644, "x").raw(b"junk that is no header").raw(&[b'j'; 600]).unfinished(),
            "archive is corrupt: no valid header at byte 1024 (checksum jjjjjjjj, computed 53407)",
        ),
        (
            Tar::new()
                .header_only(&Entry { path: b"f", size: Some(1000), ..Entry::default() })
                .raw(b"abc")
                .unfinished(),
            r#"archive is truncated: it ends at byte 515, inside the content (entry "f" at byte 0)"#,
        ),
        (
            Tar::new().file("f", 0o644, "x").raw(&[0; 512]).raw(&[1; 512]).unfinished(),
            "archive is corrupt: a lone zero block at byte 1024, but more follows",
        ),
        // Names that lead outside, or nowhere.
        (
            lone(&entry(b"../etc/passwd")),
            r#"entry "../etc/passwd" at byte 0: name is refused: path "../etc/passwd" has a ".." component"#,
        ),
        (
            lone(&entry(b"a/../../b")),
            r#"entry "a/../../b" at byte 0: name is refused: path "a/../../b" has a ".." component"#,
        ),
        (
            lone(&Entry { path: b"f", kind: b'1', link: b"../f", ..Entry::default() }),
            r#"entry "f" at byte 0: hard link target is refused: path "../f" has a ".." component"#,
        ),
        (
            lone(&Entry { path: b"f", kind: b'1', ..Entry::default() }),
            r#"entry "f" at byte 0: link target is empty or the root directory"#,
        ),
        (lone(&Entry { path: b"f", kind: b'2', ..Entry::default() }), r#"entry "f" at byte 0: link target is empty"#),
        (
            lone(&Entry { path: b"./", kind: b'2', link: b"/", ..Entry::default() }),
            r#"entry "./" at byte 0: the root directory is a symbolic link"#,
        ),
        (Tar::new().pax(&[("path", &deep)]).file("f", 0o644, "").finish(), "more than 1024 components"),
        (extended(&[("path", &[b'n'; 256])]), "longer than 255"),
        (extended(&[("path", b"a\0b")]), r#"path has the value "a\0b", which is a name with a NUL byte"#),
        // Numbers.
        (
            lone(&Entry { path: b"f", uid: 4_294_967_295, style: Style::Gnu, ..Entry::default() }),
            r#"entry "f" at byte 0: uid 4294967295 is out of range (0 to 4294967294)"#,
        ),
        (extended(&[("uid", b"4294967295")]), "uid has the value \"4294967295\", which is no owner"),
        (
            lone(&Entry { path: b"f", kind: b'3', device: (4096, 0), ..Entry::default() }),
            "major device number 4096 is out of range (0 to 4095)",
        ),
        (with_field(100, b"88888888"), r#"entry "file" at byte 0: mode is not a number: "88888888""#),
        (
            with_field(124, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            r#"entry "file" at byte 0: size -1 is out of range"#,
        ),
        // Types.
        (lone(&Entry { kind: b'D', path: b"d/", style: Style::Gnu, ..Entry::default() }), "GNU incremental"),
        (extended(&[("GNU.dumpdir", b"Yf\0\0")]), "GNU incremental"),
        (lone(&Entry { kind: b'M', style: Style::Gnu, ..Entry::default() }), "multi-volume"),
        (Tar::new().global_pax(&[("GNU.volume.filename", b"f")]).finish(), "multi-volume"),
        (lone(&Entry { kind: b'A', ..Entry::default() }), r#"entry "file" at byte 0: entry type 'A' is not supported"#),
        (lone(&Entry { kind: b'S', ..Entry::default() }), "entry type 'S' is not supported"),
        (
            lone(&Entry { path: b"d/", data: b"content", ..Entry::default() }),
            "the name of a directory on an entry with content",
        ),
        // What two readers would read differently.
        (Tar::new().pax(&[]).pax(&[]).finish(), "byte 512: two PAX extended headers for one entry"),
        (Tar::new().long_name(b'L', "a").long_name(b'L', "b").finish(), "two GNU long names for one entry"),
        (Tar::new().pax(&[("path", b"a")]).finish(), "an extension header without its entry"),
        (Tar::new().pax(&[("path", b"a")]).global_pax(&[]).finish(), "an extension header without its entry"),
        (
            Tar::new().long_name(b'L', "a").unfinished(),
            r#"archive is truncated: it ends at byte 1024, inside the headers (entry "a" at byte 1024)"#,
        ),
        (
            Tar::new().pax(&[("path", b"a")]).long_name(b'L', "b").file("f", 0o644, "").finish(),
            "its PAX and GNU headers give it different names",
        ),
        (
            Tar::new().pax(&[("linkpath", b"a")]).long_name(b'K', "b").symlink("f", "c").finish(),
            "its PAX and GNU headers give it different link targets",
        ),
        (Tar::new().global_pax(&[("path", b"a")]).finish(), "path stands in a global header"),
        (Tar::new().global_pax(&[("size", b"0")]).finish(), "size stands in a global header"),
        // Sizes that desynchronise.
        (extended(&[("size", b"9223372036854775807")]), "bytes in a file: more than the limit of 17592186044416"),
        (extended(&[("size", b"18446744073709551615")]), "bytes in a file: more than the limit"),
        (extended(&[("size", b"100000")]), "archive is truncated"),
        (extended(&[("size", b"1e3")]), "size has the value \"1e3\", which is no size"),
        // Sparse maps.
        (
            sparse_0_1(b"0,4,8,4", b"11", b"12345678"),
            "a run of 4 bytes at 8 overlaps its neighbour or passes the file's size of 11",
        ),
        (sparse_0_1(b"0,4,3,4", b"12", b"12345678"), "a run of 4 bytes at 3 overlaps"),
        (sparse_0_1(b"0,4,8,4", b"12", b"1234567"), "its runs have 8 bytes, but 7 are stored"),
        (sparse_0_1(b"0,4,8,4", b"12", b"123456789"), "its runs have 8 bytes, but 9 are stored"),
        (sparse_0_1(b"18446744073709551615,2", b"12", b"12"), "a run of 2 bytes at 18446744073709551615 overlaps"),
        (sparse_0_1(b"", b"12", b""), "GNU.sparse.map has the value \"\", which is not a list of pairs"),
        (extended(&[("GNU.sparse.map", b"0,0")]), "its map has no real size"),
        (
            extended(&[("GNU.sparse.major", b"2"), ("GNU.sparse.minor", b"0")]),
            "version 2.0 of the GNU sparse format is unknown",
        ),
        (
            extended(&[("GNU.sparse.size", b"1"), ("GNU.sparse.offset", b"0")]),
            "its map ends with an offset without a length",
        ),
        (
            extended(&[("GNU.sparse.size", b"1"), ("GNU.sparse.numblocks", b"3")]),
            "its map does not have the announced number of runs",
        ),
        (sparse_0_1(b"0,0", b"17592186044417", b""), "bytes in a file: more than the limit"),
        (sparse_1_0(b"0\n", b"0"), "its map is longer than the stored bytes"),
        (sparse_1_0(&[b"1\n0\n5\n", &[0; 506][..]].concat(), b"5"), "its runs have 5 bytes, but 0 are stored"),
        (sparse_1_0(&[b"x\n", &[0; 510][..]].concat(), b"5"), "its map has a line that is not a number"),
        (sparse_1_0(&[b"9999999\n", &[0; 504][..]].concat(), b"5"), "it has more than 1048576 runs of data"),
    ];
    for (archive, expected) in cases {
        let found = message(&archive);
        assert!(found.contains(expected), "found    {found}\nexpected {expected}");
    }
}

#[test]
fn the_neighbours_of_refusals_are_read() {
    let accepted = [
        lone(&Entry { path: b"a..b/...", ..Entry::default() }),
        lone(&Entry { path: b"./", kind: b'5', ..Entry::default() }),
        lone(&Entry { path: b"d/", ..Entry::default() }),
        lone(&Entry { uid: 4_294_967_294, style: Style::Gnu, ..Entry::default() }),
        extended(&[("path", &[b'n'; 255])]),
        extended(&[("size", b"0")]),
        extended(&[("GNU.sparse.size", b"1"), ("GNU.sparse.numblocks", b"0")]),
        sparse_0_1(b"0,4,8,4", b"12", b"12345678"),
        sparse_0_1(b"0,4,8,4", b"17592186044416", b"12345678"),
        sparse_1_0(&[b"0\n", &[0; 510][..]].concat(), b"5"),
        Tar::new().pax(&[("path", b"a")]).long_name(b'L', "a").file("f", 0o644, "").finish(),
        Tar::new().global_pax(&[("uid", b"1")]).global_pax(&[("uid", b"")]).finish(),
        Tar::new().file("f", 0o644, "").hardlink("f", "./f").finish(),
    ];
    for (number, archive) in accepted.iter().enumerate() {
        read(archive).unwrap_or_else(|error| panic!("number {number}: {error}"));
    }
}

fn with_field(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut archive = lone(&Entry::default());
    archive[at..at + bytes.len()].copy_from_slice(bytes);
    seal(&mut archive, 0);
    archive
}

#[test]
fn every_cut_is_called_truncated() {
    let archive = Tar::new()
        .pax(&[("mtime", b"1.5"), ("SCHILY.xattr.user.a", &[b'v'; 700])])
        .file("a", 0o644, vec![1; 700])
        .long_name(b'L', &"n".repeat(200))
        .file("b", 0o644, "x")
        .unfinished();
    // After these many bytes an entry is complete.
    let complete = [0, 512 + 1024 + 512 + 1024, archive.len()];
    for cut in 0..=archive.len() {
        match read(&archive[..cut]) {
            Ok(()) => assert!(complete.contains(&cut), "cut at {cut} goes unnoticed"),
            // Less than a block is not called an archive at all.
            Err(TarError::NotTar { .. }) if cut < 512 => {}
            Err(TarError::Truncated { end, .. }) => assert_eq!(end, cut as u64),
            Err(error) => panic!("cut at {cut}: {error}"),
        }
    }
}

#[test]
fn any_flipped_bit_of_a_header_is_noticed_or_harmless() {
    let archive = Tar::new().file("a", 0o644, "x").finish();
    for bit in 0..512 * 8 {
        let mut damaged = archive.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match read(&damaged) {
            Err(TarError::NotTar { .. }) => {}
            other => assert!((148..156).contains(&(bit / 8)), "bit {bit}: {other:?}"),
        }
    }
}

#[test]
fn limits_hold_on_both_sides() {
    let archive =
        |entries: usize| (0..entries).fold(Tar::new(), |tar, n| tar.file(&format!("{n:03}"), 0o644, "x")).finish();
    let default = Limits::default();
    assert!(read_within(&archive(10), Limits { entries: 10, ..default }).is_ok());
    assert!(matches!(
        read_within(&archive(11), Limits { entries: 10, ..default }),
        Err(TarError::Limit { limit: 10, .. })
    ));
    assert!(read_within(&archive(10), Limits { names: 30, ..default }).is_ok());
    assert!(matches!(read_within(&archive(10), Limits { names: 29, ..default }), Err(TarError::Limit { .. })));
    assert!(read_within(&archive(10), Limits { extents: 10, ..default }).is_ok());
    assert!(matches!(read_within(&archive(10), Limits { extents: 9, ..default }), Err(TarError::Limit { .. })));

    let long = |length: u64| {
        let body = b"./".repeat(length as usize / 2);
        let entry = Entry { kind: b'L', style: Style::Gnu, data: &body, ..Entry::default() };
        Tar::new().entry(&entry).dir("d", 0o755).finish()
    };
    assert!(read(&long(limits::MAX_LONG_NAME)).is_ok());
    assert!(matches!(read(&long(limits::MAX_LONG_NAME + 2)), Err(TarError::Limit { .. })));

    let pax = |length: u64| {
        // "1048576 comment=...\n"
        let value = vec![b'c'; length as usize - 7 - 1 - 8 - 1];
        Tar::new().pax(&[("comment", &value)]).file("f", 0o644, "").finish()
    };
    assert!(read(&pax(limits::MAX_PAX_HEADER)).is_ok());
    assert!(matches!(read(&pax(limits::MAX_PAX_HEADER + 1)), Err(TarError::Limit { .. })));

    let target = |length: usize| Tar::new().pax(&[("linkpath", &vec![b't'; length])]).symlink("s", "cut").finish();
    assert!(read(&target(limits::MAX_LINK_TARGET)).is_ok());
    assert!(matches!(read(&target(limits::MAX_LINK_TARGET + 1)), Err(TarError::Target { .. })));

    for (major, minor, accepted) in [(4095, 0, true), (4096, 0, false), (0, 1_048_575, true), (0, 1_048_576, false)] {
        let archive = Tar::new().device("d", b'3', (major, minor)).finish();
        assert_eq!(read(&archive).is_ok(), accepted, "{major}:{minor}");
    }
}

#[test]
fn a_file_that_is_all_hole_costs_no_memory_and_no_time() {
    let archive = sparse_0_1(b"17592186044416,0", b"17592186044416", b"");
    let mut reader = Reader::new(&archive[..]);
    let member = reader.next_entry().unwrap().unwrap();
    assert_eq!(member.size(), limits::MAX_FILE_SIZE);
    let mut first = [1; 100];
    reader.file(&member).read_exact(&mut first).unwrap();
    assert_eq!(first, [0; 100]);
    assert!(reader.next_entry().unwrap().is_none());
}

#[test]
fn a_source_that_fails_is_not_called_corrupt() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let archive = Tar::new().header_only(&Entry { size: Some(2000), ..Entry::default() }).raw(&[1; 500]).unfinished();
    let mut reader = Reader::new((&archive[..]).chain(Failing));
    reader.next_entry().unwrap();
    assert!(matches!(reader.next_entry(), Err(TarError::Read { offset: 1012, .. })));
}

#[test]
fn random_damage_never_panics() {
    let seeds = [
        Tar::new().pax(&[("mtime", b"1.5"), ("size", b"700")]).file("a", 0o644, vec![1; 700]).dir("d/", 0o755).finish(),
        Tar::new().long_name(b'L', &"n".repeat(200)).long_name(b'K', "t").symlink("s", "t").hardlink("h", "s").finish(),
        sparse_0_1(b"0,4,8,4", b"12", b"12345678"),
        sparse_1_0(&[b"2\n0\n1\n9\n1\n", &[0; 501][..], b"ab"].concat(), b"10"),
        Tar::new().global_pax(&[("mtime", b"7")]).device("c", b'3', (1, 3)).file("./", 0o755, "").finish(),
    ];
    let mut random = Random::new(1);
    for round in 0..20_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(4) {
                0 => bytes[at] = random.number() as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => bytes[at] = *random.pick(b"0179xgLKSDMV\0 ,\n="),
                _ => bytes.truncate(at + 1),
            }
        }
        // Half of them with right checksums, to get past the first look.
        if round % 2 == 0 {
            for at in (0..bytes.len() / 512 * 512).step_by(512) {
                if bytes[at..].len() >= 512 && bytes[at + 257..].starts_with(b"ustar") {
                    seal(&mut bytes, at);
                }
            }
        }
        bedplate_archive::fuzz::tar_read(&bytes);
    }
}

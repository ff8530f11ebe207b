//! Against GNU tar and bsdtar: what they write is read as what was packed; what we write they unpack as what it is.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bedplate_archive::tar::Sparseness;
use bedplate_archive::{MemberKind, Reader, Writer};
use bedplate_testkit::generate::{Content, Item, Spec, items, to_folder};
use bedplate_testkit::{oracle, privilege, skip};
use bedplate_tree::{Content as Bytes, Entry, EntryKind, Extent, Metadata, Source, Timestamp, TreePath};

use crate::node::{Nodes, assert_same, of_archive, of_folder, of_items};

/// A way in which a tool packs a folder.
struct Packing {
    tool: &'static str,
    arguments: &'static [&'static str],
    /// Names of any length and bytes.
    names: bool,
    /// Devices and pipes.
    special: bool,
    /// Extended attributes.
    xattrs: bool,
}

const fn packing(tool: &'static str, arguments: &'static [&'static str], able: [bool; 3]) -> Packing {
    Packing { tool, arguments, names: able[0], special: able[1], xattrs: able[2] }
}

const PACKINGS: &[Packing] = &[
    packing("tar", &["--format=v7"], [false, false, false]),
    packing("tar", &["--format=ustar"], [false, true, false]),
    packing("tar", &["--format=oldgnu"], [true, true, false]),
    packing("tar", &["--format=gnu"], [true, true, false]),
    packing("tar", &["--format=gnu", "--sparse"], [true, true, false]),
    packing("tar", &["--format=posix", "--xattrs"], [true, true, true]),
    packing("tar", &["--format=posix", "--xattrs", "--sparse", "--sparse-version=0.0"], [true, true, true]),
    packing("tar", &["--format=posix", "--xattrs", "--sparse", "--sparse-version=0.1"], [true, true, true]),
    packing("tar", &["--format=posix", "--xattrs", "--sparse", "--sparse-version=1.0"], [true, true, true]),
    packing("tar", &["--format=posix", "--pax-option=delete=atime,delete=ctime", "-V", "label"], [true, true, false]),
    packing("tar", &["--format=gnu", "-V", "label"], [true, true, false]),
    packing("bsdtar", &["--format=v7"], [false, false, false]),
    packing("bsdtar", &["--format=ustar"], [false, true, false]),
    packing("bsdtar", &["--format=gnutar"], [true, true, false]),
    packing("bsdtar", &["--format=pax"], [true, true, true]),
];

fn spec(seed: u64) -> Spec {
    if privilege::is_root() { Spec::everything(seed) } else { Spec::plain(seed) }
}

/// The items without what a format cannot hold.
fn suited(seed: u64, packing: &Packing) -> Vec<Item> {
    let spec = Spec { odd_names: packing.names, xattrs: packing.xattrs, ..spec(seed) };
    let mut items = items(&spec);
    if !packing.special {
        items.retain(|item| !matches!(item.content, Content::Device { .. } | Content::Fifo));
    }
    items
}

/// Puts items on disk; `None` and a counted skip where the machine cannot.
fn folder(items: &[Item], test: &str) -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    match to_folder(items, folder.path()) {
        Ok(()) => Some(folder),
        Err(error) => {
            skip::note(test, &format!("a generated tree cannot be put on disk: {error}"));
            None
        }
    }
}

/// A plain user's files belong to that user, whatever the items say.
fn owned(mut nodes: Nodes) -> Nodes {
    if !privilege::is_root() {
        nodes.values_mut().for_each(|node| node.owner = privilege::ids());
    }
    nodes
}

#[test]
fn what_tools_pack_is_read() {
    for packing in PACKINGS {
        let test = format!("archive::what_tools_pack_is_read {} {}", packing.tool, packing.arguments.join(" "));
        if oracle::find(packing.tool).is_none() {
            skip::note(&test, "the tool is not installed");
            continue;
        }
        for seed in 0..6 {
            let items = suited(seed, packing);
            let Some(folder) = folder(&items, &test) else { continue };
            let archive = tempfile::NamedTempFile::new().unwrap();
            let mut command = oracle::command(packing.tool);
            command.args(packing.arguments).arg("-c").arg("-f").arg(archive.path()).arg("-C").arg(folder.path());
            oracle::expect(command.arg("."));
            let archive = std::fs::read(archive.path()).unwrap();
            let found = of_archive(&archive).unwrap_or_else(|error| panic!("{test}, seed {seed}: {error}"));
            assert_same(&found, &owned(of_items(&items)), &format!("{test}, seed {seed}"));
        }
    }
}

#[test]
fn sparse_files_keep_their_holes() {
    let folder = tempfile::tempdir().unwrap();
    let file = File::create(folder.path().join("holes")).unwrap();
    // More runs than four headers of the old format have room for.
    for run in 0..100 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[run + 1; 4096], u64::from(run) * 65_536).unwrap();
    }
    file.set_len(100 * 65_536).unwrap();
    let ways: [(&str, &[&str]); 6] = [
        ("tar", &["--format=gnu", "--sparse"]),
        ("tar", &["--format=oldgnu", "--sparse"]),
        ("tar", &["--format=posix", "--sparse", "--sparse-version=0.0"]),
        ("tar", &["--format=posix", "--sparse", "--sparse-version=0.1"]),
        ("tar", &["--format=posix", "--sparse", "--sparse-version=1.0"]),
        ("bsdtar", &["--format=pax"]),
    ];
    for (tool, arguments) in ways {
        let test = format!("archive::sparse_files_keep_their_holes {tool} {}", arguments.join(" "));
        if oracle::find(tool).is_none() {
            skip::note(&test, "the tool is not installed");
            continue;
        }
        let mut command = oracle::command(tool);
        command.args(arguments).args(["-c", "-f", "-", "holes"]).current_dir(folder.path());
        let archive = oracle::output(&mut command).stdout;
        let nodes = of_archive(&archive).unwrap();
        let expected = of_folder(folder.path());
        assert_eq!(nodes[&b"holes"[..]].kind, expected[&b"holes"[..]].kind, "{test}");
        let member = Reader::new(&archive[..]).next_entry().unwrap().unwrap();
        let MemberKind::File { extents, .. } = member.kind else { panic!("{test}: not a file") };
        if archive.len() < 1_000_000 {
            assert_eq!(extents.len(), 100, "{test}");
        } else {
            skip::note(&test, "the file system has no holes");
        }
    }
}

#[test]
fn large_numbers_and_odd_times_are_read() {
    if !privilege::is_root() {
        return skip::note("archive::large_numbers_and_odd_times_are_read", "owners need root");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    File::create(&path).unwrap();
    let times = [(-1, 0), (-2, 500_000_000), (1, 123_456_789), (8_589_934_592, 1)];
    for (uid, gid) in [(0, 0), (2_097_151, 2_097_152), (4_294_967_294, 70_000)] {
        if std::os::unix::fs::chown(&path, Some(uid), Some(gid)).is_err() {
            skip::note("archive::large_numbers_and_odd_times_are_read", "the namespace has not all owners");
            continue;
        }
        for (seconds, nanoseconds) in times {
            let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
            let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
            rustix::fs::utimensat(rustix::fs::CWD, &path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
            let expected = of_folder(folder.path());
            let ways: [(&str, &[&str], bool); 4] = [
                ("tar", &["--format=gnu"], false),
                ("tar", &["--format=posix"], true),
                ("bsdtar", &["--format=pax"], true),
                ("bsdtar", &["--format=gnutar"], false),
            ];
            for (tool, arguments, fractions) in ways {
                if oracle::find(tool).is_none() {
                    skip::note("archive::large_numbers_and_odd_times_are_read", "a tool is not installed");
                    continue;
                }
                // Known differences: bsdtar cuts times in its GNU format to what octal digits hold, and in PAX puts a
                // fraction behind the negative second, -2.5 for what stat calls -2 + 0.5.
                let cut = !fractions && !(0..1 << 33).contains(&seconds);
                if tool == "bsdtar" && (cut || seconds < 0 && nanoseconds > 0) {
                    continue;
                }
                let mut command = oracle::command(tool);
                command.args(arguments).args(["-c", "-f", "-", "f"]).current_dir(folder.path());
                let archive = oracle::output(&mut command).stdout;
                let mut found = of_archive(&archive).unwrap();
                if !fractions {
                    found.values_mut().for_each(|node| node.mtime.1 = nanoseconds as u32);
                }
                assert_same(&found, &expected, &format!("{tool} {arguments:?} {uid}:{gid} {seconds}.{nanoseconds}"));
            }
        }
    }
}

/// Writes generated items with our writer.
fn written(items: &[Item], sparseness: Sparseness) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).sparseness(sparseness);
    let path = |bytes: &[u8]| TreePath::parse(bytes).unwrap();
    for item in items {
        let metadata = Metadata {
            mode: item.mode,
            uid: item.owner.0,
            gid: item.owner.1,
            mtime: Timestamp { seconds: item.mtime, nanoseconds: 0 },
            xattrs: item.xattrs.iter().map(|(name, value)| (name.as_bytes().into(), value[..].into())).collect(),
        };
        let mut bytes = Vec::new();
        let kind = match &item.content {
            Content::Directory => EntryKind::Directory,
            Content::File { pieces, size } => {
                bytes = bedplate_testkit::generate::file_bytes(pieces, *size);
                let extent =
                    |(at, piece): &(u64, Vec<u8>)| Extent { logical: *at, physical: 0, length: piece.len() as u64 };
                let extents = pieces.iter().map(extent).filter(|extent| extent.length > 0).collect();
                EntryKind::File(Bytes::sparse(Source::Stream([0; 32]), *size, extents).unwrap())
            }
            Content::Symlink { target } => EntryKind::Symlink(target[..].into()),
            Content::Device { number } => EntryKind::CharDevice { major: number.0, minor: number.1 },
            Content::Fifo => EntryKind::Fifo,
            Content::Hardlink { target } => {
                writer.append_link(&path(&item.path), &path(target), &metadata).unwrap();
                continue;
            }
        };
        writer.append(&path(&item.path), &Entry { kind, metadata }, &bytes[..]).unwrap();
    }
    writer.finish().unwrap().0
}

#[test]
fn what_we_write_is_unpacked_by_tools() {
    // GNU tar sets a directory's time when it first leaves it, unless told that entries may come back.
    let ways: [(&str, &[&str]); 2] = [
        ("tar", &["--xattrs", "--xattrs-include=user.*", "--numeric-owner", "--delay-directory-restore"]),
        ("bsdtar", &["--numeric-owner"]),
    ];
    for seed in 0..12 {
        let mut items = items(&spec(seed));
        if !privilege::is_root() {
            // GNU tar writes attributes after the mode, which a plain user's own mode may then forbid.
            items.iter_mut().for_each(|item| item.mode |= 0o200);
        }
        let expected = of_items(&items);
        for sparseness in [Sparseness::Dense, Sparseness::Gnu] {
            let archive = written(&items, sparseness);
            assert_same(&of_archive(&archive).unwrap(), &expected, "our own reader");
            for (tool, arguments) in ways {
                let test = format!("archive::what_we_write_is_unpacked_by_tools {tool} {sparseness:?} seed {seed}");
                if oracle::find(tool).is_none() {
                    skip::note(&test, "the tool is not installed");
                    continue;
                }
                let target = tempfile::tempdir().unwrap();
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(file.path(), &archive).unwrap();
                let mut command = oracle::command(tool);
                command.args(arguments).arg("-x").arg("-p").arg("-f").arg(file.path()).arg("-C").arg(target.path());
                let output = oracle::output(&mut command);
                let message = String::from_utf8_lossy(&output.stderr).into_owned();
                if message.contains("Operation not supported") {
                    skip::note(&test, "the file system has no attributes");
                    continue;
                }
                assert!(output.status.success(), "{test}: {message}");
                let mut found = of_folder(target.path());
                let mut expected = expected.clone();
                if !privilege::is_root() {
                    // A plain user cannot give files away, and tools drop set-id bits where they cannot.
                    found.values_mut().for_each(|node| node.owner = (0, 0));
                    found.values_mut().chain(expected.values_mut()).for_each(|node| node.mode &= !0o6000);
                }
                assert_same(&found, &expected, &test);
                open(target.path());
            }
        }
    }
}

/// Lets a plain user remove what was unpacked.
fn open(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
            open(&path);
        }
    }
}

#[test]
fn listings_of_both_tools_agree() {
    for tool in ["tar", "bsdtar"] {
        if oracle::find(tool).is_none() {
            skip::note("archive::listings_of_both_tools_agree", "a tool is not installed");
            return;
        }
    }
    for seed in 20..24 {
        let items = items(&Spec { odd_names: false, ..Spec::everything(seed) });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), written(&items, Sparseness::Dense)).unwrap();
        let list = |tool| oracle::expect(oracle::command(tool).arg("-tf").arg(file.path()));
        assert_eq!(list("tar"), list("bsdtar"));
        assert_eq!(list("tar").lines().count(), items.len());
    }
}

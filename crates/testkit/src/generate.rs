//! Root filesystems made from a seed: the same everywhere, with everything that trips those who pack them.

use crate::random::Random;
use crate::tar::{Entry, Style, Tar};
use std::collections::BTreeSet;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// What a generated tree may hold.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The tree is a function of this and the other fields.
    pub seed: u64,
    /// Entries, about.
    pub entries: usize,
    /// Bytes of the largest ordinary file.
    pub largest: usize,
    /// Files with holes.
    pub sparse: bool,
    /// Extended attributes of the `user.` kind.
    pub xattrs: bool,
    /// Several names of one file.
    pub hardlinks: bool,
    /// Devices and owners other than root: only root can put them on disk.
    pub privileged: bool,
    /// Names that are long, hold spaces, newlines, bytes that are no UTF-8.
    pub odd_names: bool,
}

impl Spec {
    /// A small tree with everything.
    #[must_use]
    pub fn everything(seed: u64) -> Spec {
        Spec {
            seed,
            entries: 60,
            largest: 20_000,
            sparse: true,
            xattrs: true,
            hardlinks: true,
            privileged: true,
            odd_names: true,
        }
    }

    /// A small tree that a plain user can put on disk.
    #[must_use]
    pub fn plain(seed: u64) -> Spec {
        Spec { privileged: false, ..Spec::everything(seed) }
    }
}

/// What an item is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A directory.
    Directory,
    /// A file: pieces at offsets, and the size, which may lie past the last piece.
    File {
        /// Offset and bytes, in order.
        pieces: Vec<(u64, Vec<u8>)>,
        /// Bytes.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: Vec<u8>,
    },
    /// Another name of an earlier file.
    Hardlink {
        /// The earlier path.
        target: Vec<u8>,
    },
    /// A character device.
    Device {
        /// Major and minor number.
        number: (u32, u32),
    },
    /// A pipe.
    Fifo,
}

/// One path of a generated tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Path below the root, without a leading slash.
    pub path: Vec<u8>,
    /// What it is.
    pub content: Content,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Seconds since the epoch.
    pub mtime: i64,
    /// Names and values.
    pub xattrs: Vec<(String, Vec<u8>)>,
}

/// Makes the items of a tree, parents before children.
#[must_use]
pub fn items(spec: &Spec) -> Vec<Item> {
    let mut random = Random::new(spec.seed);
    let mut folders: Vec<Vec<u8>> = vec![Vec::new()];
    let mut files: Vec<usize> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut items: Vec<Item> = Vec::new();
    while items.len() < spec.entries {
        let mut path = random.pick(&folders).clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend(name(&mut random, spec.odd_names));
        if path.len() > 900 || !seen.insert(path.clone()) {
            continue;
        }
        let content = content(&mut random, spec, &items, &files);
        let mut item = Item {
            mode: match content {
                Content::Directory => *random.pick(&[0o755, 0o700, 0o1777, 0o2755]),
                Content::Symlink { .. } => 0o777,
                _ => *random.pick(&[0o644, 0o600, 0o755, 0o4755, 0o2711, 0o444]),
            },
            owner: if spec.privileged { (random.below(70_000) as u32, random.below(70_000) as u32) } else { (0, 0) },
            mtime: random.below(2_000_000_000) as i64,
            xattrs: Vec::new(),
            path,
            content,
        };
        match &item.content {
            Content::Hardlink { target } => {
                if let Some(first) = items.iter().find(|other| other.path == *target) {
                    (item.mode, item.owner, item.mtime) = (first.mode, first.owner, first.mtime);
                }
            }
            Content::Directory => folders.push(item.path.clone()),
            Content::File { .. } => {
                files.push(items.len());
                if spec.xattrs && random.one_in(4) {
                    let length = random.below(200) as usize;
                    item.xattrs.push((format!("user.n{}", random.below(10)), random.bytes(length)));
                }
            }
            _ => {}
        }
        items.push(item);
    }
    items
}

fn name(random: &mut Random, odd: bool) -> Vec<u8> {
    if odd && random.one_in(5) {
        let number = random.below(1000);
        return match random.below(6) {
            0 => format!("with space {number}").into_bytes(),
            1 => format!("new\nline{number}").into_bytes(),
            2 => [format!("latin1-{number}-").as_bytes(), &[0xe4, 0xff]].concat(),
            3 => format!("{}{number}", "long".repeat(50)).into_bytes(),
            4 => format!("-dash{number}").into_bytes(),
            _ => format!("ünï\u{1f600}{number}").into_bytes(),
        };
    }
    format!("n{}", random.below(100_000)).into_bytes()
}

fn content(random: &mut Random, spec: &Spec, items: &[Item], files: &[usize]) -> Content {
    match random.below(20) {
        0..=4 => Content::Directory,
        5..=6 => Content::Symlink {
            target: random.pick(&[&b"../up"[..], b"/absolute/target", b"beside", b"../../../../outside"]).to_vec(),
        },
        7..=8 if spec.hardlinks && !files.is_empty() => {
            Content::Hardlink { target: items[*random.pick(files)].path.clone() }
        }
        9 if spec.privileged => Content::Device { number: (1, 3 + 2 * random.below(2) as u32) },
        10 => Content::Fifo,
        11 if spec.sparse => {
            let length = 1 + random.below(5000) as usize;
            let bytes = random.bytes(length);
            let at = 4096 * (1 + random.below(50));
            let size = at + length as u64 + random.below(100_000);
            Content::File { pieces: vec![(at, bytes)], size }
        }
        _ => {
            let length = random.below(spec.largest as u64 + 1) as usize;
            let bytes = random.bytes(length);
            Content::File { pieces: vec![(0, bytes)], size: length as u64 }
        }
    }
}

/// The bytes of a file, holes as zeros.
#[must_use]
pub fn file_bytes(pieces: &[(u64, Vec<u8>)], size: u64) -> Vec<u8> {
    let mut bytes = vec![0; size as usize];
    for (at, piece) in pieces {
        bytes[*at as usize..*at as usize + piece.len()].copy_from_slice(piece);
    }
    bytes
}

/// Packs items as a PAX archive; holes become zeros.
#[must_use]
pub fn to_tar(items: &[Item]) -> Vec<u8> {
    let mut tar = Tar::new();
    for item in items {
        let mut records: Vec<(String, Vec<u8>)> = Vec::new();
        if item.path.len() > 100 {
            records.push(("path".into(), item.path.clone()));
        }
        let (kind, link, data, device): (u8, &[u8], Vec<u8>, (u32, u32)) = match &item.content {
            Content::Directory => (b'5', b"", Vec::new(), (0, 0)),
            Content::File { pieces, size } => (b'0', b"", file_bytes(pieces, *size), (0, 0)),
            Content::Symlink { target } => (b'2', target, Vec::new(), (0, 0)),
            Content::Hardlink { target } => (b'1', target, Vec::new(), (0, 0)),
            Content::Device { number } => (b'3', b"", Vec::new(), *number),
            Content::Fifo => (b'6', b"", Vec::new(), (0, 0)),
        };
        if link.len() > 100 {
            records.push(("linkpath".into(), link.to_vec()));
        }
        for (name, value) in &item.xattrs {
            records.push((format!("SCHILY.xattr.{name}"), value.clone()));
        }
        if !records.is_empty() {
            let borrowed: Vec<(&str, &[u8])> =
                records.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
            tar = tar.pax(&borrowed);
        }
        tar = tar.entry(&Entry {
            path: &item.path,
            kind,
            mode: item.mode,
            uid: u64::from(item.owner.0),
            gid: u64::from(item.owner.1),
            mtime: item.mtime,
            link,
            device,
            style: Style::Ustar,
            data: &data,
            ..Entry::default()
        });
    }
    tar.finish()
}

/// Puts items on disk below `root`, which must exist; owners and devices only where the items have them.
///
/// # Errors
/// What the file system refuses, with its own message.
pub fn to_folder(items: &[Item], root: &Path) -> std::io::Result<()> {
    use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
    let at = |path: &[u8]| root.join(std::ffi::OsStr::from_bytes(path));
    for item in items {
        let path = at(&item.path);
        match &item.content {
            Content::Directory => std::fs::create_dir(&path)?,
            Content::File { pieces, size } => {
                let mut file = std::fs::File::create_new(&path)?;
                for (offset, piece) in pieces {
                    file.seek(SeekFrom::Start(*offset))?;
                    file.write_all(piece)?;
                }
                file.set_len(*size)?;
                for (name, value) in &item.xattrs {
                    rustix::fs::setxattr(&path, name.as_str(), value, XattrFlags::empty())?;
                }
            }
            Content::Symlink { target } => symlink(std::ffi::OsStr::from_bytes(target), &path)?,
            Content::Hardlink { target } => std::fs::hard_link(at(target), &path)?,
            Content::Device { number } => {
                let device = rustix::fs::makedev(number.0, number.1);
                rustix::fs::mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(item.mode), device)?;
            }
            Content::Fifo => {
                rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(item.mode), 0)?;
            }
        }
    }
    // Attributes last and children first: a child changes its parent's time, a mode may close a directory, and
    // an owner takes the setuid bit away.
    for item in items.iter().rev() {
        let path = at(&item.path);
        if item.owner != (0, 0) {
            let (uid, gid) = (Uid::from_raw(item.owner.0), Gid::from_raw(item.owner.1));
            rustix::fs::chownat(CWD, &path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if !matches!(item.content, Content::Symlink { .. }) {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(item.mode))?;
        }
        let time = Timespec { tv_sec: item.mtime, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

/// A small root filesystem with Debian's static busybox as its shell, or `None` where that is not installed.
///
/// It holds `/bin/sh` and the other applets as hard links, `/etc/passwd`, `/etc/group`, `/etc/lsb-release` and empty `/proc`, `/sys`, `/dev`, `/tmp`.
#[must_use]
pub fn busybox() -> Option<Vec<u8>> {
    let program = std::fs::read("/bin/busybox").ok()?;
    let mut tar = Tar::new();
    for (folder, mode) in [
        ("./", 0o755),
        ("./bin/", 0o755),
        ("./dev/", 0o755),
        ("./etc/", 0o755),
        ("./proc/", 0o555),
        ("./root/", 0o700),
        ("./sys/", 0o555),
        ("./tmp/", 0o1777),
    ] {
        tar = tar.dir(folder, mode);
    }
    tar = tar.file("./bin/busybox", 0o755, program);
    for applet in APPLETS {
        // Docker gives a file the mode of the last header that names it, so each says the same, as GNU tar has it.
        let path = format!("./bin/{applet}");
        let link = Entry { path: path.as_bytes(), kind: b'1', mode: 0o755, link: b"./bin/busybox", ..Entry::default() };
        tar = tar.entry(&link);
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n";
    let group = "root:x:0:\ndaemon:x:1:\nstaff:x:50:user\nuser:x:1000:\n";
    Some(
        tar.file("./etc/group", 0o644, group)
            .file("./etc/lsb-release", 0o644, "DISTRIB_ID=Bedplate\nDISTRIB_CODENAME=focal\n")
            .file("./etc/passwd", 0o644, passwd)
            .finish(),
    )
}

/// The applets that [`busybox`] links.
const APPLETS: &[&str] = &[
    "sh", "cat", "chmod", "chown", "cp", "echo", "env", "false", "grep", "hostname", "id", "kill", "ln", "ls", "mkdir",
    "mknod", "mount", "mv", "ps", "pwd", "rm", "rmdir", "sleep", "stat", "stty", "test", "touch", "true", "tty",
    "umount", "uname", "wc", "head", "sort", "readlink", "seq", "dd", "ip", "mkfifo", "od", "tar", "find", "sed",
    "cut", "printf",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_tree() {
        assert_eq!(items(&Spec::everything(7)), items(&Spec::everything(7)));
        assert_ne!(items(&Spec::everything(7)), items(&Spec::everything(8)));
    }

    #[test]
    fn a_tree_goes_to_disk_and_to_a_tar() {
        for seed in 0..8 {
            let spec = if crate::privilege::is_root() { Spec::everything(seed) } else { Spec::plain(seed) };
            let items = items(&spec);
            let folder = tempfile::tempdir().unwrap();
            match to_folder(&items, folder.path()) {
                Ok(()) => {}
                // A file system without user attributes, or ids outside the namespace.
                Err(error) => crate::skip::note("testkit::a_tree_goes_to_disk_and_to_a_tar", &error.to_string()),
            }
            assert_eq!(to_tar(&items).len() % 512, 0);
        }
    }
}

//! What an entry is, in a form that an archive, a generated tree and a folder on disk can all be brought into.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use bedplate_archive::{MemberKind, Reader, TarError};
use bedplate_testkit::generate::{Content, Item, file_bytes};

/// An entry with its content, a hard link resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, u32),
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File(Vec<u8>),
    Symlink(Vec<u8>),
    Device(u32, u32),
    Fifo,
}

/// Nodes by path; the root is left out.
pub(crate) type Nodes = BTreeMap<Vec<u8>, Node>;

/// What a generated tree is.
pub(crate) fn of_items(items: &[Item]) -> Nodes {
    let mut nodes = Nodes::new();
    for item in items {
        let kind = match &item.content {
            Content::Directory => Kind::Directory,
            Content::File { pieces, size } => Kind::File(file_bytes(pieces, *size)),
            Content::Symlink { target } => Kind::Symlink(target.clone()),
            Content::Device { number } => Kind::Device(number.0, number.1),
            Content::Fifo => Kind::Fifo,
            Content::Hardlink { target } => {
                let node = nodes[target].clone();
                nodes.insert(item.path.clone(), node);
                continue;
            }
        };
        let xattrs = item.xattrs.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone())).collect();
        let node = Node { kind, mode: item.mode, owner: item.owner, mtime: (item.mtime, 0), xattrs };
        nodes.insert(item.path.clone(), node);
    }
    nodes
}

/// What our reader finds in an archive.
pub(crate) fn of_archive(archive: &[u8]) -> Result<Nodes, TarError> {
    let mut reader = Reader::new(archive);
    let mut nodes = Nodes::new();
    while let Some(member) = reader.next_entry()? {
        let mut bytes = Vec::new();
        reader.file(&member).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, member.size());
        check_extents(archive, &member.kind, &bytes);
        let kind = match &member.kind {
            MemberKind::Directory => Kind::Directory,
            MemberKind::File { .. } => Kind::File(bytes),
            MemberKind::Symlink(target) => Kind::Symlink(target.to_vec()),
            MemberKind::CharDevice { major, minor } | MemberKind::BlockDevice { major, minor } => {
                Kind::Device(*major, *minor)
            }
            MemberKind::Fifo => Kind::Fifo,
            MemberKind::HardLink(target) => {
                let node = nodes[target.as_bytes()].clone();
                nodes.insert(member.path.as_bytes().to_vec(), node);
                continue;
            }
        };
        let metadata = member.metadata;
        let xattrs = metadata.xattrs.into_iter().map(|(name, value)| (name.into_vec(), value.into_vec())).collect();
        let mtime = (metadata.mtime.seconds, metadata.mtime.nanoseconds);
        let node = Node { kind, mode: metadata.mode, owner: (metadata.uid, metadata.gid), mtime, xattrs };
        if !member.path.is_root() {
            nodes.insert(member.path.as_bytes().to_vec(), node);
        }
    }
    assert_eq!(reader.finish()?.size, archive.len() as u64);
    Ok(nodes)
}

/// The extents lead to the same bytes as reading did.
fn check_extents(archive: &[u8], kind: &MemberKind, bytes: &[u8]) {
    let MemberKind::File { size, extents } = kind else { return };
    let mut found = vec![0; *size as usize];
    for extent in extents {
        let (from, to, length) = (extent.physical as usize, extent.logical as usize, extent.length as usize);
        found[to..to + length].copy_from_slice(&archive[from..from + length]);
    }
    assert!(found == bytes);
}

/// What is in a folder, with the attributes of the `user.` kind.
pub(crate) fn of_folder(root: &Path) -> Nodes {
    let mut nodes = Nodes::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let found = path.symlink_metadata().unwrap();
            let kind = match found.file_type() {
                kind if kind.is_dir() => {
                    pending.push(path.clone());
                    Kind::Directory
                }
                kind if kind.is_symlink() => {
                    Kind::Symlink(std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec())
                }
                kind if kind.is_fifo() => Kind::Fifo,
                kind if kind.is_char_device() || kind.is_block_device() => {
                    Kind::Device(rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()))
                }
                _ => Kind::File(std::fs::read(&path).unwrap()),
            };
            let node = Node {
                kind,
                mode: found.mode() & 0o7777,
                owner: (found.uid(), found.gid()),
                mtime: (found.mtime(), found.mtime_nsec() as u32),
                xattrs: xattrs(&path),
            };
            nodes.insert(path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec(), node);
        }
    }
    nodes
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let names = names[..length].split(|&b| b == 0).filter(|name| name.starts_with(b"user."));
    let value = |name: &[u8]| {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        value.truncate(length);
        value
    };
    names.map(|name| (name.to_vec(), value(name))).collect()
}

/// Fails with the first path that differs, not with two whole trees.
#[track_caller]
pub(crate) fn assert_same(found: &Nodes, expected: &Nodes, what: &str) {
    let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    for (path, node) in expected {
        match found.get(path) {
            None => panic!("{what}: {:?} is missing", shown(path)),
            Some(other) if other == node => {}
            Some(other) => {
                let brief = |node: &Node| {
                    let mut node = node.clone();
                    if let Kind::File(bytes) = &mut node.kind {
                        let length = bytes.len();
                        bytes.truncate(16);
                        bytes.extend_from_slice(format!("... {length} bytes").as_bytes());
                    }
                    format!("{node:?}")
                };
                panic!("{what}: {:?}\nfound    {}\nexpected {}", shown(path), brief(other), brief(node));
            }
        }
    }
    for path in found.keys() {
        assert!(expected.contains_key(path), "{what}: {:?} is too much", shown(path));
    }
}

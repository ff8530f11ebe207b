//! Power cuts: every prefix of the recorded changes, as a disk may have kept it, is a sound store.
//!
//! What a disk may have kept of a prefix, after ALICE (Pillai et al., OSDI 2014):
//! - the bytes of a file up to its last fsync; what was written later is lost, or not;
//! - a name that was made, moved or removed, if its directory was synced since; each of the others by itself, in any
//!   order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bedplate_archive::Writer;
use bedplate_oci::{Descriptor, Digest, ImageConfig, Platform, Reference, media_type, to_json};
use bedplate_tree::{Content, Entry, Metadata, Timestamp, TreePath, Xattrs};

use crate::blobs::Lease;
use crate::disk::record::{self, Op};
use crate::fsck::FsckOptions;
use crate::open::{OpenOptions, Store};

/// A file's bytes, and how many of them are surely on the disk.
#[derive(Default)]
struct Inode {
    bytes: Vec<u8>,
    synced: usize,
}

/// A change of names: what each path means after it.
struct Change {
    names: Vec<(PathBuf, Option<usize>)>,
    sure: bool,
}

/// All that happened up to a moment.
#[derive(Default)]
struct Disk {
    inodes: Vec<Inode>,
    dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, usize>,
    changes: Vec<Change>,
    promised: BTreeSet<String>,
}

impl Disk {
    fn change(&mut self, names: Vec<(PathBuf, Option<usize>)>) {
        for (path, inode) in &names {
            match inode {
                Some(inode) => self.names.insert(path.clone(), *inode),
                None => self.names.remove(path),
            };
        }
        self.changes.push(Change { names, sure: false });
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::MakeDir(path) => drop(self.dirs.insert(path.clone())),
            Op::Create(path) => {
                self.inodes.push(Inode::default());
                self.change(vec![(path.clone(), Some(self.inodes.len() - 1))]);
            }
            Op::Append(path, bytes) => self.inodes[self.names[path]].bytes.extend(bytes),
            Op::Sync(path) => {
                let inode = &mut self.inodes[self.names[path]];
                inode.synced = inode.bytes.len();
            }
            Op::Rename(from, to) => {
                let inode = self.names[from];
                self.change(vec![(from.clone(), None), (to.clone(), Some(inode))]);
            }
            Op::Link(from, to) => {
                let inode = self.names[from];
                self.change(vec![(to.clone(), Some(inode))]);
            }
            Op::Remove(path) => {
                let below: Vec<_> = self.names.keys().filter(|name| name.starts_with(path)).cloned().collect();
                self.change(below.into_iter().map(|name| (name, None)).collect());
            }
            Op::SyncDir(dir) => {
                for change in &mut self.changes {
                    change.sure |= change.names.iter().any(|(path, _)| path.parent() == Some(dir));
                }
            }
            Op::Mark(text) => {
                match text.strip_prefix('-') {
                    Some(gone) => self.promised.remove(gone),
                    None => self.promised.insert(text.clone()),
                };
            }
        }
    }

    /// Writes what the disk may have kept below `into`; `kept` decides over changes that are not sure.
    fn write(&self, root: &Path, into: &Path, all_bytes: bool, kept: impl Fn(usize) -> bool) {
        let _ = fs::remove_dir_all(into);
        fs::create_dir_all(into).unwrap();
        let place = |path: &Path| path.strip_prefix(root).map(|path| into.join(path));
        for dir in &self.dirs {
            if let Ok(dir) = place(dir) {
                fs::create_dir_all(dir).unwrap();
            }
        }
        let mut names: BTreeMap<&Path, usize> = BTreeMap::new();
        for (position, change) in self.changes.iter().enumerate() {
            if change.sure || kept(position) {
                for (path, inode) in &change.names {
                    match inode {
                        Some(inode) => names.insert(path, *inode),
                        None => names.remove(path.as_path()),
                    };
                }
            }
        }
        for (path, inode) in names {
            let inode = &self.inodes[inode];
            let bytes = if all_bytes { &inode.bytes } else { &inode.bytes[..inode.synced] };
            let path = place(path).unwrap();
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

fn layer(text: &str) -> Vec<u8> {
    let metadata = Metadata { mode: 0o644, uid: 0, gid: 0, mtime: Timestamp::ZERO, xattrs: Xattrs::new() };
    let mut writer = Writer::new(Vec::new());
    let entry = Entry::file(Content::from_bytes(text.as_bytes().to_vec()), metadata);
    writer.append(&TreePath::parse(b"file").unwrap(), &entry, text.as_bytes()).unwrap();
    writer.finish().unwrap().0
}

fn add(lease: &Lease, called: &str, text: &str) {
    let (diff_id, scanned) = lease.ingest_layer(layer(text).as_slice(), true).unwrap();
    let mut config = ImageConfig::new(Platform::new("linux", "amd64"));
    config.rootfs.diff_ids = vec![diff_id];
    let layers = vec![Descriptor::new(media_type::LAYER, diff_id.0, scanned.index.stream_size())];
    let names = [Reference::parse(called).unwrap()];
    lease.add_new_image(&to_json(&config), layers, [], &names).unwrap();
    record::mark(called);
}

/// What users do, with a mark at each promise.
fn story(root: &Path) {
    let store = Store::open(&OpenOptions::new(root)).unwrap();
    let lease = store.lease().unwrap();
    add(&lease, "first", "one");
    // Put by somebody who has not synced the name, and never will.
    let slow = store.lease().unwrap();
    slow.ingest_layer(layer("shared").as_slice(), true).unwrap();
    add(&lease, "second", "shared");
    drop((slow, lease));
    store.tag("first", &Reference::parse("third").unwrap()).unwrap();
    record::mark("third");
    record::mark("-first");
    let lease = store.lease().unwrap();
    add(&lease, "first", "another");
    drop(lease);
    record::mark("-second");
    store.remove_image("second", false).unwrap();
    record::mark("-third");
    store.prune_images(true, |image| image.names.iter().any(|name| name.familiar() == "first:latest")).unwrap();
    store
        .build_cache_put(&Digest::of(b"x"), &crate::BuildEntry { value: 1.into(), layers: vec![], blobs: vec![] })
        .unwrap();
    let lease = store.lease().unwrap();
    add(&lease, "last", "one");
}

#[track_caller]
fn demand(at: &Path, disk: &Disk, when: &str) {
    if !at.join("format").exists() {
        assert!(disk.promised.is_empty(), "{when}: the store is gone");
        // Begun, and begun again.
        Store::open(&OpenOptions::new(at)).unwrap_or_else(|e| panic!("{when}: {e}"));
        return;
    }
    let store = Store::open(&OpenOptions::new(at)).unwrap_or_else(|e| panic!("{when}: {e}"));
    let report = store.fsck(FsckOptions::default()).unwrap_or_else(|e| panic!("{when}: {e}"));
    assert!(report.findings.is_empty(), "{when}: {:#?}", report.findings);
    for called in &disk.promised {
        let image = store.resolve(called).unwrap_or_else(|e| panic!("{when}: {e}"));
        store.image_tree(&image).unwrap_or_else(|e| panic!("{when}: {called}: {e}"));
    }
    store.build_cache_get(&Digest::of(b"x")).unwrap_or_else(|e| panic!("{when}: {e}"));
}

#[test]
fn a_power_cut_at_any_moment_costs_at_most_what_was_being_done() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let ((), ops) = record::during(|| story(&root));
    assert!(ops.len() > 100, "{}", ops.len());
    // Thousands of small files: in memory where that can be had.
    let memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let replay = memory.path().join("replay");
    let mut disk = Disk::default();
    let mut cases = 0;
    for (moment, op) in ops.iter().enumerate() {
        disk.apply(op);
        let unsure: Vec<usize> = (0..disk.changes.len()).filter(|at| !disk.changes[*at].sure).collect();
        // Bytes on their way into a file that has no lasting name yet say nothing new.
        if matches!(op, Op::Append(..) | Op::Create(_) | Op::MakeDir(_)) {
            continue;
        }
        let mut case = |what: &str, all_bytes: bool, kept: &dyn Fn(usize) -> bool| {
            disk.write(&root, &replay, all_bytes, kept);
            demand(&replay, &disk, &format!("cut after {moment} ({op:?}), {what}, all bytes: {all_bytes}"));
            cases += 1;
        };
        for all_bytes in [false, true] {
            case("all names kept", all_bytes, &|_| true);
            case("unsynced names lost", all_bytes, &|_| false);
        }
        // Older changes were tried by themselves when they were new.
        for one in unsure.iter().rev().take(3) {
            case(&format!("change {one} lost"), false, &|at| at != *one);
            case(&format!("only change {one} kept"), false, &|at| at == *one);
        }
    }
    assert!(cases > 500, "{cases}");
}

//! A root that dpkg unpacks into, and the same packages composed by us, listed alike.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use bedplate_packages::deb::compose::{ComposeError, ComposeOptions, Composition};
use bedplate_packages::deb::dpkg::diversions::Diversions;
use bedplate_packages::deb::dpkg::statoverride::StatOverrides;
use bedplate_packages::deb::dpkg::{DatabaseOptions, Record, State, database, place};
use bedplate_packages::deb::payload::{Md5, Payload};
use bedplate_testkit::debian::deb::ar;
use bedplate_testkit::{Entry as TarEntry, Tar};
use bedplate_tree::{Content, EntryKind, Source, Tree};

/// A folder that is removed at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bedplate-packages-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether this machine has a dpkg, and we may own files for it.
pub(crate) fn dpkg_works() -> bool {
    let uid = fs::metadata("/proc/self").map(|metadata| metadata.uid());
    uid.is_ok_and(|uid| uid == 0) && Command::new("dpkg").arg("--version").output().is_ok()
}

/// A package read, with its uncompressed data member.
pub(crate) struct Read {
    pub(crate) payload: Payload,
    pub(crate) data: Vec<u8>,
}

pub(crate) fn read(deb: &[u8]) -> Read {
    let mut data = Vec::new();
    let payload = Payload::read(deb, &mut data).unwrap();
    assert_eq!(Payload::decode(&payload.encode()).unwrap(), payload);
    Read { payload, data }
}

/// The members of an archive, by an independent reader.
pub(crate) fn members(deb: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut rest = &deb[8..];
    let mut members = Vec::new();
    while rest.len() >= 60 {
        let name = String::from_utf8_lossy(&rest[..16]).trim_end().trim_end_matches('/').to_owned();
        let size: usize = String::from_utf8_lossy(&rest[48..58]).trim().parse().unwrap();
        members.push((name, rest[60..60 + size].to_vec()));
        rest = &rest[(60 + size + size % 2).min(rest.len())..];
    }
    members
}

/// The package without its scripts and triggers, so that dpkg runs nothing.
pub(crate) fn without_scripts(deb: &[u8]) -> Vec<u8> {
    let payload = read(deb).payload;
    let mut tar = Tar::new().file("./control", 0o644, payload.control().text());
    for (name, file) in payload.control_files() {
        if !matches!(&**name, "preinst" | "postinst" | "prerm" | "postrm" | "config" | "triggers") {
            let name = format!("./{name}");
            let mtime = file.metadata.mtime.seconds;
            let mode = file.metadata.mode;
            tar =
                tar.entry(&TarEntry { path: name.as_bytes(), mode, mtime, data: &file.content, ..TarEntry::default() });
        }
    }
    let mut members = members(deb);
    let at = members.iter().position(|(name, _)| name.starts_with("control.tar")).unwrap();
    members[at] = ("control.tar".to_owned(), tar.finish());
    ar(&members, 0)
}

/// A root with an empty database.
pub(crate) fn new_root(path: &Path) {
    for directory in ["", "info", "updates", "triggers", "alternatives", "parts"] {
        fs::create_dir_all(path.join("var/lib/dpkg").join(directory)).unwrap();
    }
    for file in ["status", "available", "diversions", "statoverride"] {
        fs::write(path.join("var/lib/dpkg").join(file), "").unwrap();
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs dpkg on that root; its output where it fails.
pub(crate) fn dpkg(root: &Path, arguments: &[&str], debs: &[PathBuf]) -> Result<String, String> {
    let mut command = Command::new("dpkg");
    command.env("LC_ALL", "C").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.arg(format!("--root={}", root.display())).args(["--force-unsafe-io", "--no-triggers"]);
    let output = command.args(arguments).args(debs).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(text) } else { Err(text) }
}

/// One line for each path: what it is, attributes, target, sum of the content, and the first name of the same file.
pub(crate) type Listing = BTreeMap<String, String>;

pub(crate) fn list_disk(root: &Path) -> Listing {
    let mut listing = Listing::new();
    let mut pending = vec![String::new()];
    let mut paths = Vec::new();
    while let Some(path) = pending.pop() {
        let metadata = fs::symlink_metadata(root.join(&path)).unwrap();
        if metadata.is_dir() {
            for child in fs::read_dir(root.join(&path)).unwrap() {
                let name = child.unwrap().file_name().into_string().unwrap();
                pending.push(if path.is_empty() { name } else { format!("{path}/{name}") });
            }
        }
        paths.push((path, metadata));
    }
    paths.sort_by(|a, b| a.0.cmp(&b.0));
    let mut first: HashMap<u64, String> = HashMap::new();
    for (path, metadata) in paths {
        let at = root.join(&path);
        let mode = metadata.mode() & 0o7777;
        let kind = metadata.file_type();
        let what = if kind.is_dir() {
            format!("d {mode:o}")
        } else if kind.is_symlink() {
            format!("l -> {}", fs::read_link(&at).unwrap().display())
        } else {
            let same = first.entry(metadata.ino()).or_insert_with(|| path.clone());
            let link = if *same == path { String::new() } else { format!(" = {same}") };
            let sum = if kind.is_file() { Md5::of(&fs::read(&at).unwrap()).to_string() } else { String::new() };
            format!("f {mode:o} {} {sum}{link}", metadata.mtime())
        };
        listing.insert(path, format!("{what} {}:{}", metadata.uid(), metadata.gid()));
    }
    listing
}

pub(crate) fn list_tree(tree: &Tree, streams: &HashMap<[u8; 32], &[u8]>) -> Listing {
    let mut listing = Listing::new();
    let mut first = HashMap::new();
    let mut walked: Vec<_> = tree.walk().collect();
    walked.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    for (path, id) in walked {
        let path = String::from_utf8(path.as_bytes().to_vec()).unwrap();
        let entry = &tree.inode(id).entry;
        let metadata = &entry.metadata;
        let what = match &entry.kind {
            EntryKind::Directory => format!("d {:o}", metadata.mode),
            EntryKind::Symlink(target) => format!("l -> {}", String::from_utf8_lossy(target)),
            kind => {
                let same = first.entry(id).or_insert_with(|| path.clone());
                let link = if *same == path { String::new() } else { format!(" = {same}") };
                let sum = match kind {
                    EntryKind::File(content) => Md5::of(&bytes(content, streams)).to_string(),
                    _ => String::new(),
                };
                format!("f {:o} {} {sum}{link}", metadata.mode, metadata.mtime.seconds)
            }
        };
        listing.insert(path, format!("{what} {}:{}", metadata.uid, metadata.gid));
    }
    listing
}

pub(crate) fn bytes(content: &Content, streams: &HashMap<[u8; 32], &[u8]>) -> Vec<u8> {
    let source = match content.source() {
        Source::Stream(digest) => streams[digest],
        Source::Memory(bytes) => bytes,
        Source::File { .. } => panic!("no package has files on the host"),
    };
    let mut out = vec![0; content.size() as usize];
    for extent in content.extents() {
        let from = &source[extent.physical as usize..][..extent.length as usize];
        out[extent.logical as usize..][..extent.length as usize].copy_from_slice(from);
    }
    out
}

/// What we make of packages in that order, each configured before the next: the root with its database.
pub(crate) struct Made {
    pub(crate) tree: Tree,
    pub(crate) listing: Listing,
}

pub(crate) fn compose(
    reads: &[Read],
    options: ComposeOptions,
    statoverrides: &StatOverrides,
    before: impl FnOnce(&mut Tree),
) -> Result<Made, ComposeError> {
    let diversions: Diversions = options.diversions.clone();
    let mut composition = Composition::new(options);
    composition.set_overrides(statoverrides)?;
    before(composition.tree_mut());
    let payloads: Vec<&Payload> = reads.iter().map(|read| &read.payload).collect();
    let mut numbers = Vec::new();
    for payload in &payloads {
        let number = composition.unpack(payload)?;
        composition.set_configured(number);
        numbers.push(number);
    }
    let is_there = |number| composition.disappeared().iter().all(|gone| gone.package != number);
    let records: Vec<Record<'_>> = payloads
        .iter()
        .zip(numbers)
        .filter(|(_, number)| is_there(*number))
        .map(|(payload, number)| Record {
            payload,
            state: State::Installed,
            unlisted: Some(composition.unlisted(number)),
        })
        .collect();
    let statoverrides = statoverrides.clone();
    let options = DatabaseOptions { diversions, statoverrides, ..DatabaseOptions::default() };
    let mut tree = composition.tree().clone();
    place(&mut tree, database(&records, &options).unwrap()).unwrap();
    let streams = streams(reads);
    let listing = list_tree(&tree, &streams);
    Ok(Made { tree, listing })
}

pub(crate) fn streams(reads: &[Read]) -> HashMap<[u8; 32], &[u8]> {
    reads.iter().map(|read| (read.payload.index().diff_id(), &read.data[..])).collect()
}

/// Files of a root that are not compared as entries: dpkg's locks and logs, and texts compared by themselves.
fn is_bookkeeping(path: &str) -> bool {
    let inner = path.strip_prefix("var/lib/dpkg/").unwrap_or_default();
    matches!(inner, "lock" | "lock-frontend" | "triggers/Lock" | "triggers/Unincorp" | "triggers/File" | "status")
        || inner.ends_with("-old")
        || path == "var/log/dpkg.log"
}

/// Times of files that dpkg writes itself.
fn without_time(path: &str, line: &str) -> String {
    let own = path.starts_with("var/lib/dpkg/") && !path.starts_with("var/lib/dpkg/info/")
        || path.ends_with(".list")
        || path == "var/lib/dpkg/info/format"
        || path.ends_with(".md5sums");
    match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["f", mode, _, rest @ ..] if own => format!("f {mode} - {}", rest.join(" ")),
        _ => line.to_owned(),
    }
}

/// Fails with the differences, a few of them.
pub(crate) fn assert_same(ours: &Listing, dpkgs: &Listing) {
    let mut differences = Vec::new();
    let paths: std::collections::BTreeSet<&String> = ours.keys().chain(dpkgs.keys()).collect();
    for path in paths.into_iter().filter(|path| !is_bookkeeping(path)) {
        let get = |listing: &Listing| listing.get(path).map(|line| without_time(path, line));
        let (ours, dpkgs) = (get(ours), get(dpkgs));
        if ours != dpkgs {
            differences.push(format!("{path}\n  ours {ours:?}\n  dpkg {dpkgs:?}"));
        }
    }
    let count = differences.len();
    differences.truncate(30);
    assert!(count == 0, "{count} differences:\n{}", differences.join("\n"));
}

/// The text of a file of the made tree.
pub(crate) fn text(tree: &Tree, path: &str) -> String {
    let path = bedplate_tree::TreePath::parse(path.as_bytes()).unwrap();
    let content = tree.entry(&path).and_then(|entry| entry.content()).unwrap();
    String::from_utf8(bytes(content, &HashMap::new())).unwrap()
}

pub(crate) fn assert_same_text(what: &str, ours: &str, dpkgs: &str) {
    let (mut left, mut right) = (ours.lines(), dpkgs.lines());
    for line in 1.. {
        let (ours, dpkgs) = (left.next(), right.next());
        assert_eq!(ours, dpkgs, "{what}, line {line}");
        if ours.is_none() {
            break;
        }
    }
    assert_eq!(ours, dpkgs, "{what}: the end");
}

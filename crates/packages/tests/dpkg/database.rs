//! The database: what dpkg makes of the one that we wrote, and of packages that we added to its own.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use bedplate_packages::deb::compose::{ComposeOptions, Composition};
use bedplate_packages::deb::dpkg::{DatabaseError, DatabaseOptions, Record, State, add_unpacked, database, place};
use bedplate_testkit::debian::deb::Deb;
use bedplate_testkit::needs;
use bedplate_tree::{EntryKind, Tree};

use crate::kit::{Folder, Read, assert_same_text, bytes, dpkg, dpkg_works, new_root, read, streams};

/// Puts a tree on the disk, over what is there: enough for the packages of this file, of root's.
fn to_disk(tree: &Tree, streams: &HashMap<[u8; 32], &[u8]>, root: &Path) {
    for (path, id) in tree.walk() {
        let at = root.join(String::from_utf8(path.as_bytes().to_vec()).unwrap());
        let entry = &tree.inode(id).entry;
        match &entry.kind {
            EntryKind::Directory => fs::create_dir_all(&at).unwrap(),
            EntryKind::File(content) => fs::write(&at, bytes(content, streams)).unwrap(),
            EntryKind::Symlink(target) => symlink(String::from_utf8(target.to_vec()).unwrap(), &at).unwrap(),
            kind => panic!("no package here has a {}", kind.describe()),
        }
        if !matches!(entry.kind, EntryKind::Symlink(_)) {
            fs::set_permissions(&at, fs::Permissions::from_mode(entry.metadata.mode)).unwrap();
        }
    }
}

fn deb(name: &str) -> Deb {
    Deb::new(name, "1.0-1").mtime(1_000_000_000)
}

/// Packages that are there before, and packages that come.
fn packages() -> (Vec<Deb>, Vec<Deb>) {
    let before = vec![
        deb("man1").trigger("interest-noawait /usr/share/man").trigger("interest update-man").file(
            "usr/bin/man",
            0o755,
            "m",
        ),
        deb("wait1").trigger("interest /opt/wait").trigger("interest-noawait update-man").file(
            "usr/bin/wait",
            0o755,
            "w",
        ),
    ];
    let after = vec![
        deb("a1")
            .conffile("etc/a.conf", "a")
            .file("usr/share/man/man1/a.1", 0o644, "a")
            .trigger("activate-noawait update-man")
            .trigger("interest-await /opt/late"),
        deb("b1").depends("a1").file("opt/wait/b", 0o644, "b").file("opt/late/b", 0o644, "b"),
        deb("libx1")
            .field("Multi-Arch", "same")
            .architecture("amd64")
            .file("usr/lib/libx", 0o644, "x")
            .conffile("etc/x", ""),
    ];
    (before, after)
}

fn write(folder: &Folder, debs: &[Deb]) -> (Vec<PathBuf>, Vec<Read>) {
    let built = debs.iter().map(|deb| {
        let built = deb.build();
        let file = folder.0.join(built.file_name());
        fs::write(&file, &built.bytes).unwrap();
        (file, read(&built.bytes))
    });
    built.unzip()
}

/// The files of a database that say what is pending and who is interested.
fn assert_same_database(ours: &Path, dpkgs: &Path) {
    let texts = ["status", "triggers/File", "triggers/update-man", "triggers/Unincorp", "diversions", "available"];
    for name in texts {
        let path = Path::new("var/lib/dpkg").join(name);
        let text = |root: &Path| fs::read_to_string(root.join(&path)).unwrap_or_default();
        // dpkg sums up when it configures, since only then the file is in its place; ours is there at once.
        let dpkgs = text(dpkgs).replace("/etc/a.conf newconffile", "/etc/a.conf 0cc175b9c0f1b6a831c399e269772661");
        assert_same_text(name, &text(ours), &dpkgs);
    }
    let names = |root: &Path| {
        let folder = fs::read_dir(root.join("var/lib/dpkg/info")).unwrap();
        let mut names: Vec<_> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(ours), names(dpkgs));
}

fn records<'a>(reads: &'a [Read], state: State) -> Vec<Record<'a>> {
    reads.iter().map(|read| Record { payload: &read.payload, state, unlisted: None }).collect()
}

#[test]
fn dpkg_configures_what_we_recorded_as_unpacked() {
    needs!("packages::dpkg_configures_what_we_recorded_as_unpacked", dpkg_works(), "needs root and dpkg");
    let folder = Folder::new("configure");
    let (before, after) = packages();
    let (files, reads) = write(&folder, &[before, after].concat());
    let (ours, dpkgs) = (folder.0.join("ours"), folder.0.join("dpkgs"));
    new_root(&dpkgs);
    dpkg(&dpkgs, &["--unpack"], &files).unwrap();
    let mut composition = Composition::new(ComposeOptions::default());
    composition.unpack_wave(reads.iter().map(|read| &read.payload)).unwrap();
    let mut tree = composition.into_tree();
    place(&mut tree, database(&records(&reads, State::Unpacked), &DatabaseOptions::default()).unwrap()).unwrap();
    to_disk(&tree, &streams(&reads), &ours);
    for root in [&ours, &dpkgs] {
        dpkg(root, &["--configure", "-a"], &[]).unwrap();
        assert_eq!(dpkg(root, &["--verify"], &[]).unwrap(), "");
    }
    let audit = |root| dpkg(root, &["--audit"], &[]).unwrap();
    assert_eq!(audit(&ours), audit(&dpkgs));
    assert_same_database(&ours, &dpkgs);
    assert_eq!(fs::read(ours.join("etc/a.conf")).unwrap(), b"a");
}

#[test]
fn packages_added_to_a_database_activate_the_triggers_that_dpkg_would() {
    needs!("packages::packages_added_to_a_database_activate", dpkg_works(), "needs root and dpkg");
    let folder = Folder::new("waves");
    let (before, after) = packages();
    let (first, _) = write(&folder, &before);
    let (second, reads) = write(&folder, &after);
    let (ours, dpkgs) = (folder.0.join("ours"), folder.0.join("dpkgs"));
    for root in [&ours, &dpkgs] {
        new_root(root);
        dpkg(root, &["--install"], &first).unwrap();
    }
    dpkg(&dpkgs, &["--unpack"], &second).unwrap();
    let mut composition = Composition::new(ComposeOptions::default());
    composition.unpack_wave(reads.iter().map(|read| &read.payload)).unwrap();
    let mut tree = composition.into_tree();
    let mut from_disk = |path: &bedplate_tree::TreePath| {
        Ok::<_, DatabaseError>(fs::read(ours.join(path.to_string().trim_start_matches('/'))).ok())
    };
    let entries = add_unpacked(&mut from_disk, &records(&reads, State::Unpacked), &DatabaseOptions::default()).unwrap();
    place(&mut tree, entries).unwrap();
    to_disk(&tree, &streams(&reads), &ours);
    // The first one only takes in what is pending; the second one handles it.
    for package in ["libx1", "-a"] {
        for root in [&ours, &dpkgs] {
            dpkg(root, &["--configure", package], &[]).unwrap();
        }
        if package == "libx1" {
            let status = fs::read_to_string(ours.join("var/lib/dpkg/status")).unwrap();
            for pending in ["Triggers-Pending: update-man /usr/share/man\n", "Triggers-Pending: update-man /opt/wait\n"]
            {
                assert!(status.contains(pending), "{pending}: {status}");
            }
        }
        assert_same_database(&ours, &dpkgs);
    }
}

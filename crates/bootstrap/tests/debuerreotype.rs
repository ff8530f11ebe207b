//! The hardest oracle: what debuerreotype makes of a root, and what we make of the same root, byte for byte.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use bedplate_archive::Index;
use bedplate_bootstrap::finish::{AptSource, Facts, InstalledPackage, Options, Style, finish};
use bedplate_image::{ContentSources, ScanOptions, scan, write_gnu_tar};
use bedplate_sys::rooted::Root;
use bedplate_testkit::{needs, oracle, privilege};
use bedplate_tree::{Timestamp, TreePath};

const NEEDED: [&str; 3] = ["debuerreotype-init", "debootstrap", "cp"];

/// The archive that this machine's own packages come from.
fn mirror() -> Option<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let folder = std::fs::read_dir("/etc/apt/sources.list.d").ok();
    files.extend(folder.into_iter().flatten().flatten().map(|entry| entry.path()));
    let mut uri = None;
    for text in files.iter().filter_map(|path| std::fs::read_to_string(path).ok()) {
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["URIs:", found, ..] => uri = Some(found.trim_end_matches('/').to_owned()),
                ["Suites:", ref suites @ ..] if suites.contains(&"bookworm") => return uri,
                ["deb", found, "bookworm", ..] => return Some(found.trim_end_matches('/').to_owned()),
                _ => {}
            }
        }
    }
    None
}

fn run(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(arguments[0]);
    let output = command.args(&arguments[1..]).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

fn packages(root: &Path) -> Vec<InstalledPackage> {
    let status = std::fs::read_to_string(root.join("var/lib/dpkg/status")).unwrap();
    let stanza = |text: &str| {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        InstalledPackage {
            name: field("Package: "),
            version: field("Version: "),
            architecture: field("Architecture: "),
        }
    };
    status.split("\n\n").filter(|text| !text.trim().is_empty()).map(stanza).collect()
}

/// The entries of an archive in words, by name.
fn listing(bytes: &[u8]) -> BTreeMap<String, String> {
    let index = Index::read_tar(bytes).unwrap();
    index.entries().iter().map(|entry| (entry.path.to_string(), format!("{:?}", entry.indexed))).collect()
}

/// The same bytes; where they are not, the error names the entries that differ.
fn assert_same(ours: &[u8], theirs: &[u8], what: &str) {
    if ours == theirs {
        return;
    }
    let (mut ours, theirs) = (listing(ours), listing(theirs));
    let mut lines = Vec::new();
    for (path, entry) in &theirs {
        match ours.remove(path) {
            Some(found) if found == *entry => {}
            Some(found) => lines.push(format!("{path}\n  ours   {found}\n  theirs {entry}")),
            None => lines.push(format!("{path}\n  missing {entry}")),
        }
    }
    lines.extend(ours.iter().map(|(path, entry)| format!("{path}\n  too much {entry}")));
    lines.truncate(40);
    panic!("{what}: different archives\n{}", lines.join("\n"));
}

#[test]
fn finish_equals_debuerreotype_on_its_own_root() {
    let test = "debuerreotype::finish_equals_debuerreotype_on_its_own_root";
    needs!(test, privilege::is_root(), "debuerreotype wants root");
    for tool in NEEDED {
        needs!(test, oracle::find(tool).is_some(), "debuerreotype and debootstrap are not installed");
    }
    let mirror = mirror();
    needs!(test, mirror.is_some(), "no archive in this machine's apt sources");
    let mirror = mirror.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keyring = "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg";
    let script = "--debootstrap-script=/usr/share/debootstrap/scripts/sid";
    run(folder.path(), &["debuerreotype-init", "--non-debian", keyring, script, "rootfs", "bookworm", &mirror]);
    let root = folder.path().join("rootfs");
    let epoch: i64 = std::fs::read_to_string(root.join("debuerreotype-epoch")).unwrap().trim().parse().unwrap();

    let mut sources = ContentSources::new();
    let mut scanned = scan(Root::open(&root).unwrap(), &mut sources, &ScanOptions::default()).unwrap();
    // Three files that its first step made: so that ours are seen to be made as well.
    for path in ["etc/hostname", "etc/resolv.conf", "var/lib/apt/extended_states"] {
        assert!(scanned.remove(&TreePath::parse(path.as_bytes()).unwrap()), "{path}");
    }
    let facts = Facts {
        distribution: "debian".into(),
        suite: "bookworm".into(),
        architecture: "amd64".into(),
        epoch: Timestamp::from_seconds(epoch),
        packages: packages(&root),
        upstart_installable: false,
        manual: Vec::new(),
        sources: vec![AptSource {
            uri: mirror,
            suites: vec!["bookworm".into()],
            components: vec!["main".into()],
            signed_by: None,
        }],
    };
    for slim in [false, true] {
        let name = if slim { "slim" } else { "full" };
        run(folder.path(), &["cp", "-a", "rootfs", name]);
        run(folder.path(), &["debuerreotype-minimizing-config", name]);
        if slim {
            run(folder.path(), &["debuerreotype-slimify", name]);
        }
        run(folder.path(), &["debuerreotype-fixup", name]);
        run(folder.path(), &["debuerreotype-tar", name, "ref.tar"]);
        let theirs = std::fs::read(folder.path().join("ref.tar")).unwrap();

        let mut tree = scanned.clone();
        let options = Options { style: Style::Debuerreotype, slim, ..Options::default() };
        finish(&mut tree, &sources, &facts, &options).unwrap();
        let mut ours = Vec::new();
        write_gnu_tar(&tree, &sources, &mut ours).unwrap();
        assert_same(&ours, &theirs, name);
    }
}

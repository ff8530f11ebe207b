//! `bootstrap` beside the programs that it stands for, from the archive of this machine's own packages.
//!
//! debuerreotype: the same tar, bit for bit. mmdebstrap: the same tree but for what one file states.

use crate::kit::sandbox;
use bedplate_archive::Index;
use bedplate_archive::index::Indexed;
use bedplate_testkit::debian::host;
use bedplate_testkit::{Sandbox, needs, oracle, privilege};
use bedplate_tree::{EntryKind, TreePath};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// What both sides may differ in; at most [`MAX_DIFFERENCES`] lines.
const DIFFERENCES: &str = include_str!("../mmdebstrap-differences.txt");

const MAX_DIFFERENCES: usize = 40;

/// The archive that this machine's own packages come from; `None` where it is not Debian 12's.
pub(crate) fn mirror() -> Option<String> {
    host::mirror("bookworm")
}

pub(crate) fn run(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(arguments[0]);
    let output = command.args(&arguments[1..]).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

/// Writes the root of a suite as a tar and returns its bytes.
fn bootstrapped(sandbox: &Sandbox, suite: &str, mirror: &str, epoch: &str, more: &[&str]) -> Vec<u8> {
    let out = sandbox.path("ours.tar");
    let mut words = vec!["bootstrap", suite, "--pockets", "release", "--mirror", mirror];
    words.extend_from_slice(more);
    words.extend(["-o", out.to_str().unwrap()]);
    sandbox.bedplate(words).env("SOURCE_DATE_EPOCH", epoch).ok();
    std::fs::read(out).unwrap()
}

/// The entries of an archive by path, in words: type, mode, owner, target, extended attributes and content; `times`
/// tells whether times count, and which of several links is the first.
fn listing(bytes: &[u8], times: bool) -> BTreeMap<TreePath, String> {
    let index = Index::read_tar(bytes).unwrap();
    let mut listing: BTreeMap<TreePath, String> = BTreeMap::new();
    for entry in index.entries() {
        let text = match &entry.indexed {
            Indexed::HardLink(target) if !times => listing[target].clone(),
            Indexed::HardLink(target) => format!("link to {target}"),
            Indexed::Entry(entry) => {
                let metadata = &entry.metadata;
                let xattrs: BTreeMap<_, _> =
                    metadata.xattrs.iter().map(|(name, value)| (String::from_utf8_lossy(name), value)).collect();
                let kind = match &entry.kind {
                    EntryKind::File(content) => {
                        let parts = content.extents().iter().map(|extent| {
                            let start = usize::try_from(extent.physical).unwrap();
                            &bytes[start..start + usize::try_from(extent.length).unwrap()]
                        });
                        format!("file {} {}", content.size(), crate::kit::sha256(&parts.collect::<Vec<_>>().concat()))
                    }
                    EntryKind::Symlink(target) => format!("link {:?}", String::from_utf8_lossy(target)),
                    other => format!("{other:?}"),
                };
                let mut text = format!("{kind} {:o} {}:{} {xattrs:?}", metadata.mode, metadata.uid, metadata.gid);
                if times {
                    write!(text, " {:?}", metadata.mtime).unwrap();
                }
                text
            }
        };
        listing.insert(entry.path.clone(), text);
    }
    listing
}

/// What differs: who has it, where, and both sides.
pub(crate) fn compare(ours: &[u8], theirs: &[u8], times: bool) -> Vec<(&'static str, String, String)> {
    let (mut ours, theirs) = (listing(ours, times), listing(theirs, times));
    let name = |path: &TreePath| String::from_utf8_lossy(path.as_bytes()).into_owned();
    let mut found = Vec::new();
    for (path, entry) in &theirs {
        match ours.remove(path) {
            Some(mine) if mine == *entry => {}
            Some(mine) => found.push(("both", name(path), format!("ours {mine}; theirs {entry}"))),
            None => found.push(("theirs", name(path), entry.clone())),
        }
    }
    found.extend(ours.iter().map(|(path, entry)| ("ours", name(path), entry.clone())));
    found
}

#[test]
fn the_debuerreotype_style_is_its_tar_bit_for_bit() {
    let test = "it::bootstrap_oracles::the_debuerreotype_style_is_its_tar_bit_for_bit";
    needs!(test, privilege::is_root(), "debuerreotype wants root");
    needs!(test, oracle::find("debuerreotype-init").is_some(), "debuerreotype is not installed");
    needs!(test, oracle::find("debootstrap").is_some(), "debootstrap is not installed");
    let mirror = mirror();
    needs!(test, mirror.is_some(), "this machine's packages are not Debian 12's");
    let mirror = mirror.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keyring = "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg";
    let script = "--debootstrap-script=/usr/share/debootstrap/scripts/sid";
    run(folder.path(), &["debuerreotype-init", "--non-debian", keyring, script, "rootfs", "bookworm", &mirror]);
    let epoch = std::fs::read_to_string(folder.path().join("rootfs/debuerreotype-epoch")).unwrap();
    let sandbox = sandbox();
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
        let more: &[&str] = &["--style", "debuerreotype", "--variant", "minbase", "--slim"];
        let ours = bootstrapped(&sandbox, "bookworm", &mirror, epoch.trim(), &more[..if slim { 5 } else { 4 }]);
        let differences: Vec<String> =
            compare(&ours, &theirs, true).iter().map(|(who, path, what)| format!("{who} {path}: {what}")).collect();
        assert!(differences.is_empty(), "{name}\n{}", differences.join("\n"));
        assert!(ours == theirs, "{name}: the entries are the same, the archives are not");
    }
}

/// Differences as a file states them: who has it, and the pattern.
fn stated(file: &'static str) -> Vec<(&'static str, &'static str)> {
    let lines = file.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let parts = |line: &'static str| {
        let parts: Vec<&str> = line.split('|').map(str::trim).collect();
        assert!(parts.len() == 3 && !parts[2].is_empty(), "{line}: expected who, path and reason");
        (parts[0], parts[1])
    };
    lines.map(parts).collect()
}

/// Tells whether a file states a difference.
pub(crate) fn is_stated(file: &'static str, who: &str, path: &str) -> bool {
    stated(file).iter().any(|(stated, pattern)| {
        *stated == who
            && match pattern.strip_suffix('*') {
                Some(folder) => path.strip_prefix(folder).is_some_and(|name| !name.contains('/')),
                None => *pattern == path,
            }
    })
}

#[test]
fn the_differences_are_few() {
    let lines = stated(DIFFERENCES).len();
    assert!(lines <= MAX_DIFFERENCES, "{lines} lines");
    let is_stated = |who, path| is_stated(DIFFERENCES, who, path);
    assert!(is_stated("theirs", "dev/null") && !is_stated("theirs", "dev/a/b") && !is_stated("ours", "dev/null"));
    assert!(is_stated("both", "etc/shells") && !is_stated("both", "etc/shells2"));
}

/// Makes mmdebstrap choose `usr-is-merged`, as the official images do, where apt by itself takes the first of
/// `usrmerge | usr-is-merged`; the root is then merged from the beginning.
const MERGED: [&str; 2] = [
    "--setup-hook=for name in bin sbin lib $(test $(dpkg --print-architecture) != amd64 || echo lib64); do \
         mkdir -p \"$1/usr/$name\" && ln -s usr/$name \"$1/$name\" || exit; \
     done; \
     mkdir -p \"$1/etc/apt/preferences.d\" && \
     printf 'Package: usrmerge\\nPin: release *\\nPin-Priority: -1\\n' > \"$1/etc/apt/preferences.d/usrmerge\"",
    "--customize-hook=rm \"$1/etc/apt/preferences.d/usrmerge\"",
];

/// Compares roots of a suite: variants, each with packages that it begins with beside (`minbase+curl,jq`).
fn beside_mmdebstrap(test: &str, suite: &str, variants: &[&str], hooks: &[&str]) {
    needs!(test, privilege::is_root(), "mmdebstrap as root keeps owners");
    needs!(test, oracle::find("mmdebstrap").is_some(), "mmdebstrap is not installed");
    let mirror = mirror();
    needs!(test, mirror.is_some(), "this machine's packages are not Debian 12's");
    let mirror = mirror.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sandbox = sandbox();
    // Not after now: useradd takes no later day.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let epoch = now.as_secs().to_string();
    let environment = format!("SOURCE_DATE_EPOCH={epoch}");
    let source = format!("deb {mirror} {suite} main");
    for set in variants {
        let (variant, include) = set.split_once('+').unwrap_or((set, ""));
        let chosen = [format!("--variant={variant}"), format!("--include={include}")];
        // mmdebstrap takes no empty list.
        let chosen: Vec<&str> = chosen.iter().map(String::as_str).filter(|word| !word.ends_with('=')).collect();
        let words = ["env", &environment, "mmdebstrap", "--mode=root"];
        run(folder.path(), &[&words[..], &chosen, hooks, &[suite, "m.tar", &source]].concat());
        let theirs = std::fs::read(folder.path().join("m.tar")).unwrap();
        let ours = bootstrapped(&sandbox, suite, &mirror, &epoch, &[&["--style", "plain"], &chosen[..]].concat());
        let found = compare(&ours, &theirs, false);
        let unstated: BTreeSet<String> = found
            .iter()
            .filter(|(who, path, _)| !is_stated(DIFFERENCES, who, path))
            .map(|(who, path, what)| format!("{who} | {path} | {what}"))
            .collect();
        assert!(unstated.is_empty(), "{suite} {set}:\n{}", unstated.into_iter().collect::<Vec<_>>().join("\n"));
    }
}

#[test]
fn bookworm_is_mmdebstraps() {
    let test = "it::bootstrap_oracles::bookworm_is_mmdebstraps";
    beside_mmdebstrap(test, "bookworm", &["essential", "minbase", "important"], &MERGED);
}

#[test]
fn trixie_is_mmdebstraps() {
    beside_mmdebstrap("it::bootstrap_oracles::trixie_is_mmdebstraps", "trixie", &["essential", "minbase"], &[]);
}

/// debconf and deb-systemd-helper are done by bedplate itself where they are known: nobody can tell.
#[test]
fn programs_that_are_replaced_leave_the_same() {
    let test = "it::bootstrap_oracles::programs_that_are_replaced_leave_the_same";
    let has_users = privilege::current() != privilege::Privilege::OneUid;
    needs!(test, has_users, "packages own files of several users, this user has one uid");
    let mirror = mirror();
    needs!(test, mirror.is_some(), "this machine's packages are not Debian 12's");
    let mirror = mirror.unwrap();
    let sandbox = sandbox();
    for suite in ["bookworm", "trixie"] {
        let made = |scripts| {
            let more = ["--include", "ca-certificates,man-db,locales,cron", "--style", "plain", "--scripts", scripts];
            bootstrapped(&sandbox, suite, &mirror, "1700000000", &more)
        };
        let (native, run) = (made("native"), made("run"));
        assert_eq!(listing(&native, true), listing(&run, true), "{suite}");
        assert!(native == run, "{suite}: the archives differ in what is no entry");
    }
}

/// A file with a capability, and a new system user, as the archive's own packages make them.
#[test]
fn ping_and_sshd_are_mmdebstraps() {
    let test = "it::bootstrap_oracles::ping_and_sshd_are_mmdebstraps";
    beside_mmdebstrap(test, "bookworm", &["minbase+iputils-ping,openssh-server"], &MERGED);
}

/// What openssh-server and ssl-cert make with random numbers is in no image, and people are told.
#[test]
fn keys_that_scripts_make_are_withheld() {
    let test = "it::bootstrap_oracles::keys_that_scripts_make_are_withheld";
    let has_users = privilege::current() != privilege::Privilege::OneUid;
    needs!(test, has_users, "packages own files of several users, this user has one uid");
    let mirror = mirror();
    needs!(test, mirror.is_some(), "this machine's packages are not Debian 12's");
    let mirror = mirror.unwrap();
    let sandbox = sandbox();
    let made = || {
        let words = ["bootstrap", "bookworm", "--include", "openssh-server,ssl-cert", "--pockets", "release"];
        let words = words.into_iter().chain(["--mirror", &mirror, "--no-cache", "-t", "keys"]);
        let outcome = sandbox.bedplate(words).patient().ok();
        outcome.says("ssh_host_ed25519_key").says("ssh-keygen -A").says("make-ssl-cert");
        outcome.stdout
    };
    assert_eq!(made(), made());
    let fresh = "ssh-keygen -A >/dev/null && make-ssl-cert generate-default-snakeoil && sshd -t && \
                 test -s /etc/ssl/private/ssl-cert-snakeoil.key && echo well";
    let line = format!("mkdir -p /run/sshd; ls /etc/ssh/ssh_host_* 2>/dev/null; {fresh}");
    assert_eq!(sandbox.bedplate(["run", "--rm", "keys", "sh", "-c", &line]).ok().text(), "well");
}

/// A command finds the image's own package sources and set-up; a root whose `/usr` is to stay unmerged does.
#[test]
fn commands_find_a_furnished_root_and_an_unmerged_one_stays_so() {
    let test = "it::bootstrap_oracles::commands_find_a_furnished_root_and_an_unmerged_one_stays_so";
    let has_users = privilege::current() != privilege::Privilege::OneUid;
    needs!(test, has_users, "packages own files of several users, this user has one uid");
    let mirror = mirror();
    needs!(test, mirror.is_some(), "this machine's packages are not Debian 12's");
    let mirror = mirror.unwrap();
    let sandbox = sandbox();
    let line = "test -s /etc/apt/sources.list.d/debian.sources && test -e /etc/apt/apt.conf.d/docker-clean && \
                test -d /bin -a ! -L /bin && dpkg -s usr-is-merged >/dev/null && ! dpkg -s usrmerge 2>/dev/null && \
                echo '// mine' > /etc/apt/apt.conf.d/docker-clean";
    let words = ["bootstrap", "bookworm", "--no-merged-usr", "--pockets", "release", "--mirror", &mirror];
    let words = words.into_iter().chain(["--run", line, "-t", "split"]);
    sandbox.bedplate(words).patient().ok();
    let line = "cat /etc/apt/apt.conf.d/docker-clean && dpkg --audit && test ! -L /lib";
    assert_eq!(sandbox.bedplate(["run", "--rm", "split", "sh", "-c", line]).ok().text(), "// mine");
    let merged = ["bootstrap", "trixie", "--no-merged-usr", "--mirror", &mirror];
    sandbox.bedplate(merged).ends(1).says("has a merged /usr only");
}

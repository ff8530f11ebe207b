//! What would make two images of the same packages differ, or has no use in an image: each with its reason.

use super::edit::Editor;
use super::{Facts, FinishError};

/// Files that are removed wherever a style does not say otherwise.
///
/// `find(1)` patterns would hide what is meant: each is one path.
pub const REMOVED: &[(&str, &str)] = &[
    ("var/log/dpkg.log", "a log: it tells when, not what; `dpkg -l` tells what"),
    ("var/log/bootstrap.log", "a log of the making"),
    ("var/log/alternatives.log", "a log: it tells when, not what"),
    ("var/log/apt/history.log", "a log: it tells when, not what"),
    ("var/log/apt/term.log", "a log: it tells when, not what"),
    ("var/log/apt/eipp.log.xz", "a record of the last run of apt's planner"),
    ("var/cache/ldconfig/aux-cache", "ldconfig's memory of inode numbers and change times; it is made anew"),
    ("var/lib/dbus/machine-id", "the identity of one machine; dbus makes it anew"),
    ("var/lib/systemd/random-seed", "a seed that many machines share is none"),
    ("var/lib/systemd/catalog/database", "an index that journalctl makes anew; it depends on the order of files"),
    ("etc/apt/apt.conf.d/01autoremove-kernels", "names the kernel of the machine that made the root"),
    ("var/cache/apt/pkgcache.bin", "a cache: it depends on the version of apt and on times"),
    ("var/cache/apt/srcpkgcache.bin", "a cache: it depends on the version of apt and on times"),
    ("var/cache/man/index.db", "an index with times in it; mandb makes it anew"),
    ("debuerreotype-epoch", "a note of the making"),
];

/// Copies of what a file was before its last change. They depend on which script ran last, and nobody goes back to them.
pub const OLD: &[(&str, &str)] = &[
    ("var/lib/dpkg/status-old", "a copy of a state in the middle of the making"),
    ("var/lib/dpkg/available-old", "a copy of a state in the middle of the making"),
    ("var/lib/dpkg/diversions-old", "a copy of a state in the middle of the making"),
    ("var/lib/dpkg/statoverride-old", "a copy of a state in the middle of the making"),
    ("var/cache/debconf/config.dat-old", "a copy of a state in the middle of the making"),
    ("var/cache/debconf/templates.dat-old", "a copy of a state in the middle of the making"),
    ("var/cache/debconf/passwords.dat-old", "a copy of a state in the middle of the making"),
    ("etc/passwd-", "a copy of a state in the middle of the making"),
    ("etc/group-", "a copy of a state in the middle of the making"),
    ("etc/shadow-", "a copy of a state in the middle of the making"),
    ("etc/gshadow-", "a copy of a state in the middle of the making"),
    ("etc/subuid-", "a copy of a state in the middle of the making"),
    ("etc/subgid-", "a copy of a state in the middle of the making"),
];

/// Directories that are emptied after any making, but for some names.
pub const LEFTOVERS: &[(&str, &[&str], &str)] = &[
    // /var/lock leads to /run/lock. Debian Policy 9.1.4.
    ("run", &["lock"], "the state of a running system"),
    ("run/lock", &[], "the state of a running system"),
    ("tmp", &[], "leftovers of the making"),
    ("var/tmp", &[], "leftovers of the making"),
    ("var/lib/dpkg/updates", &[], "dpkg's journal, taken into its status"),
];

/// Directories that are emptied in images, but for some names.
pub const EMPTIED: &[(&str, &[&str], &str)] = &[
    ("dev", &[], "whoever runs the image mounts its own"),
    ("proc", &[], "whoever runs the image mounts its own"),
    ("sys", &[], "whoever runs the image mounts its own"),
    ("var/lib/apt/lists", &["partial", "auxfiles"], "indexes are stale soon, and `apt-get update` fetches them"),
    ("var/lib/apt/lists/partial", &[], "indexes are stale soon, and `apt-get update` fetches them"),
    ("var/cache/apt/archives", &["partial"], "what is installed needs no archive"),
    ("var/cache/apt/archives/partial", &[], "what is installed needs no archive"),
];

/// Everything of the lists above.
pub(super) fn clean(editor: &mut Editor<'_>) {
    for (path, reason) in OLD {
        editor.remove(path, reason);
    }
    without_traces(editor);
    for (path, keep, reason) in EMPTIED {
        editor.empty(path, keep, reason);
    }
}

/// What tells of the machine and the hour at which a root was made.
pub(super) fn without_traces(editor: &mut Editor<'_>) {
    for (path, reason) in REMOVED {
        editor.remove(path, reason);
    }
    for (path, keep, reason) in LEFTOVERS {
        editor.empty(path, keep, reason);
    }
}

/// Removes databases of dpkg in which nothing stands, where the root's dpkg is new enough to do without.
///
/// An older one (before 1.17.11) wants both files.
pub(super) fn empty_databases(editor: &mut Editor<'_>, facts: &Facts) -> Result<(), FinishError> {
    if !facts.at_least("dpkg", "1.17.11").unwrap_or(true) {
        return Ok(());
    }
    for path in ["var/lib/dpkg/available", "var/lib/dpkg/statoverride"] {
        if editor.read(path)?.is_some_and(|text| text.is_empty()) {
            editor.remove(path, "nothing stands in it");
        }
    }
    Ok(())
}

/// Empties `/etc/machine-id` where it names a machine; where there is none, there stays none.
///
/// Spec: machine-id(5): in an image that many machines use it should be missing or empty.
pub(super) fn machine_id(editor: &mut Editor<'_>) -> Result<(), FinishError> {
    if editor.read("etc/machine-id")?.is_some_and(|id| !id.is_empty()) {
        editor.write("etc/machine-id", b"", 0o644, "the identity of one machine")?;
    }
    Ok(())
}

/// Bounds the day of the last change of every password in `/etc/shadow` and its copy by the day of the epoch.
///
/// Accounts that scripts made with the clock of their time would carry it. Mode and owner stay.
pub(super) fn shadow_days(editor: &mut Editor<'_>, epoch_seconds: i64) -> Result<(), FinishError> {
    let day = epoch_seconds.div_euclid(86_400).max(0);
    for path in ["etc/shadow", "etc/shadow-"] {
        if let Some(text) = editor.read(path)? {
            editor.rewrite(
                path,
                &bounded(&text, day),
                "the day of a password's last change is at most that of the epoch",
            )?;
        }
    }
    Ok(())
}

/// The same with the third field of every line at most `day`; lines without a number there stay as they are.
fn bounded(shadow: &[u8], day: i64) -> Vec<u8> {
    let mut text = Vec::with_capacity(shadow.len());
    for line in shadow.split_inclusive(|&byte| byte == b'\n') {
        let mut fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
        let bound = day.to_string();
        let later = |field: &&mut &[u8]| {
            std::str::from_utf8(field).ok().and_then(|text| text.parse::<i64>().ok()).is_some_and(|found| found > day)
        };
        if let Some(field) = fields.get_mut(2).filter(later) {
            *field = bound.as_bytes();
        }
        text.extend_from_slice(&fields.join(&b':'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::edit::tests::{EPOCH, root, shown};
    use super::*;

    #[test]
    fn shadow_days_are_bounded() {
        let cases = [
            ("root:*:20000:0:99999:7:::\n", "root:*:100:0:99999:7:::\n"),
            ("a:!:100:0\nb:!:101:0", "a:!:100:0\nb:!:100:0"),
            ("a:!::0:99999:7:::\n", "a:!::0:99999:7:::\n"),
            ("a:!:x:0\n\n", "a:!:x:0\n\n"),
            ("+\n", "+\n"),
            ("a:!:20000", "a:!:100"),
            ("", ""),
        ];
        for (before, after) in cases {
            assert_eq!(String::from_utf8(bounded(before.as_bytes(), 100)).unwrap(), after, "{before:?}");
        }
    }

    #[test]
    fn every_path_of_the_lists_goes_and_has_a_reason() {
        let paths: Vec<&str> = REMOVED.iter().chain(OLD).map(|(path, _)| *path).collect();
        let files: Vec<String> = paths.iter().map(|path| format!("{path}=x")).collect();
        let emptied: Vec<&str> = LEFTOVERS.iter().chain(EMPTIED).map(|(path, ..)| *path).collect();
        let inside: Vec<String> = emptied.iter().map(|path| format!("{path}/left=x")).collect();
        let lines: Vec<&str> = files.iter().chain(&inside).map(String::as_str).collect();
        let mut tree = root(&lines);
        let contents = bedplate_image::ContentSources::new();
        let mut editor = Editor::new(&mut tree, &contents, EPOCH);
        clean(&mut editor);
        let notes = editor.finish();
        assert_eq!(notes.len(), paths.len() + emptied.len());
        assert!(notes.iter().all(|note| !note.reason.is_empty()));
        assert!(shown(&tree).iter().all(|line| line.ends_with('/')), "{:?}", shown(&tree));
        assert!(shown(&tree).contains(&"run/lock/".to_owned()));
        assert!(shown(&tree).contains(&"var/cache/apt/archives/partial/".to_owned()));
    }

    #[test]
    fn an_old_dpkg_keeps_its_empty_databases() {
        for (dpkg, left) in [("1.17.5", 2), ("1.21.22", 1)] {
            let mut tree = root(&["var/lib/dpkg/available=", "var/lib/dpkg/statoverride=root root 755 /x\n"]);
            let contents = bedplate_image::ContentSources::new();
            let facts = super::super::tests::facts(&[("dpkg", dpkg)]);
            empty_databases(&mut Editor::new(&mut tree, &contents, EPOCH), &facts).unwrap();
            assert_eq!(shown(&tree).len(), left, "{dpkg}");
        }
    }

    #[test]
    fn an_identity_is_emptied_and_none_is_made() {
        for (before, after) in
            [("etc/machine-id=abc", "etc/machine-id="), ("etc/machine-id=", "etc/machine-id="), ("etc/", "etc/")]
        {
            let mut tree = root(&[before]);
            let contents = bedplate_image::ContentSources::new();
            machine_id(&mut Editor::new(&mut tree, &contents, EPOCH)).unwrap();
            assert_eq!(shown(&tree), [after]);
        }
    }
}

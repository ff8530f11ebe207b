//! Paths that an image leaves out: dpkg's `path-exclude` and `path-include`, as a filter of the whole root.

use bedplate_packages::deb::compose::PathFilter;
use bedplate_tree::{EntryKind, TreePath};

use super::FinishError;
use super::edit::Editor;
use crate::request::PathRule;

/// The filter of these rules; without any it keeps everything.
#[must_use]
pub fn filter(rules: &[PathRule]) -> PathFilter {
    rules.iter().fold(PathFilter::default(), |filter, rule| match rule {
        PathRule::Exclude(pattern) => filter.exclude(pattern),
        PathRule::Include(pattern) => filter.include(pattern),
    })
}

/// The rules as lines of a dpkg configuration. Spec: dpkg.cfg(5), and dpkg(1), "path-exclude".
#[must_use]
pub fn configuration(filter: &PathFilter) -> Vec<u8> {
    let mut text = Vec::new();
    for rule in &filter.rules {
        text.extend_from_slice(if rule.include { b"path-include=" } else { b"path-exclude=" });
        text.extend_from_slice(&rule.pattern);
        text.push(b'\n');
    }
    text
}

/// Removes from the root what the rules leave out; directories only where nothing is left in them.
pub(super) fn apply(editor: &mut Editor<'_>, filter: &PathFilter) {
    if filter.rules.is_empty() {
        return;
    }
    let mut gone = Vec::new();
    let mut directories = Vec::new();
    for (path, id) in editor.tree.walk() {
        if path.is_root() {
            continue;
        }
        let kind = &editor.tree.inode(id).entry.kind;
        let directory = matches!(kind, EntryKind::Directory);
        if filter.skips(&absolute(&path), directory || matches!(kind, EntryKind::Symlink(_))) {
            if directory { &mut directories } else { &mut gone }.push(path);
        }
    }
    for path in &gone {
        editor.remove_at(path, "a path rule leaves it out");
    }
    // A directory comes before what it holds: from behind, the deepest come first.
    for path in directories.iter().rev() {
        if editor.tree.lookup(path).is_some_and(|id| editor.tree.inode(id).children().is_empty()) {
            editor.remove_at(path, "a path rule leaves it out, and nothing in it is kept");
        }
    }
}

/// Writes the rules where the image's own dpkg obeys them.
pub(super) fn write(editor: &mut Editor<'_>, filter: &PathFilter) -> Result<(), FinishError> {
    if filter.rules.is_empty() || !editor.is_directory("etc/dpkg/dpkg.cfg.d") {
        return Ok(());
    }
    let mut text = b"# What this image leaves out is left out by later installations, too.\n".to_vec();
    text.extend_from_slice(&configuration(filter));
    editor.write("etc/dpkg/dpkg.cfg.d/path-rules", &text, 0o644, "path rules hold for later installations")
}

pub(super) fn absolute(path: &TreePath) -> Vec<u8> {
    [b"/", path.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::super::edit::tests::{EPOCH, root, shown};
    use super::*;

    #[test]
    fn rules_are_applied_to_a_root_and_written_for_dpkg() {
        let mut tree = root(&[
            "usr/share/doc/a/README=1",
            "usr/share/doc/a/copyright=2",
            "usr/share/man/man1/a=3",
            "etc/dpkg/dpkg.cfg.d/",
        ]);
        let contents = bedplate_image::ContentSources::new();
        let mut editor = Editor::new(&mut tree, &contents, EPOCH);
        let rules = [
            PathRule::Exclude("/usr/share/doc/*".into()),
            PathRule::Include("/usr/share/doc/*/copyright".into()),
            PathRule::Exclude("/usr/share/man/*".into()),
        ];
        let filter = filter(&rules);
        apply(&mut editor, &filter);
        write(&mut editor, &filter).unwrap();
        assert_eq!(
            shown(&tree),
            [
                "etc/dpkg/dpkg.cfg.d/path-rules=# What this image leaves out is left out by later installations, too.\n\
                 path-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\npath-exclude=/usr/share/man/*\n",
                "usr/share/doc/a/copyright=2",
                "usr/share/man/",
            ]
        );
    }
}

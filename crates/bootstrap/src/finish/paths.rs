//! Paths that an image leaves out: dpkg's `path-exclude` and `path-include`.
//!
//! Rules are `fnmatch` patterns of absolute paths in which a star matches slashes, too; the last rule that matches a
//! path decides. A directory (or a link, which may lead to one) that a rule leaves out stays where a later
//! file may need it: where the fixed beginning of some include pattern begins with it, or it begins with that.
//! Spec: dpkg(1), "path-exclude".

use bedplate_tree::{EntryKind, TreePath};

use super::edit::Editor;
use super::{FinishError, glob};

/// A rule for paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Leaves out what matches.
    Exclude(String),
    /// Keeps what matches after all.
    Include(String),
}

impl Rule {
    fn pattern(&self) -> &str {
        match self {
            Self::Exclude(pattern) | Self::Include(pattern) => pattern,
        }
    }
}

/// Rules in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PathFilter {
    rules: Vec<Rule>,
}

impl PathFilter {
    /// A filter of these rules; without any it keeps everything.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// Tells whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Tells whether dpkg with these rules would not unpack `path`; `may_be_directory` for directories and symbolic links.
    #[must_use]
    pub fn leaves_out(&self, path: &TreePath, may_be_directory: bool) -> bool {
        let absolute = absolute(path);
        let last = self.rules.iter().rev().find(|rule| glob::matches(rule.pattern().as_bytes(), &absolute));
        if !matches!(last, Some(Rule::Exclude(_))) {
            return false;
        }
        !(may_be_directory && self.leads_to_included(&absolute))
    }

    fn leads_to_included(&self, absolute: &[u8]) -> bool {
        self.rules.iter().any(|rule| {
            let Rule::Include(pattern) = rule else { return false };
            let pattern = pattern.as_bytes();
            let mut fixed = &pattern[..glob::literal_length(pattern)];
            while let Some((b'/', rest)) = fixed.split_last() {
                fixed = rest;
            }
            absolute.starts_with(fixed) || fixed.starts_with(absolute)
        })
    }

    /// The rules as lines of a dpkg configuration.
    #[must_use]
    pub fn configuration(&self) -> String {
        let mut text = String::new();
        for rule in &self.rules {
            let word = match rule {
                Rule::Exclude(_) => "path-exclude",
                Rule::Include(_) => "path-include",
            };
            text.push_str(&format!("{word}={}\n", rule.pattern()));
        }
        text
    }

    /// Removes from the root what the rules leave out; directories only where nothing is left in them.
    pub(super) fn apply(&self, editor: &mut Editor<'_>) {
        let mut gone = Vec::new();
        let mut directories = Vec::new();
        for (path, id) in editor.tree.walk() {
            if path.is_root() {
                continue;
            }
            let kind = &editor.tree.inode(id).entry.kind;
            let directory = matches!(kind, EntryKind::Directory);
            if self.leaves_out(&path, directory || matches!(kind, EntryKind::Symlink(_))) {
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
    pub(super) fn write(&self, editor: &mut Editor<'_>) -> Result<(), FinishError> {
        if self.is_empty() || !editor.is_directory("etc/dpkg/dpkg.cfg.d") {
            return Ok(());
        }
        let text =
            format!("# What this image leaves out is left out by later installations, too.\n{}", self.configuration());
        editor.write(
            "etc/dpkg/dpkg.cfg.d/path-rules",
            text.as_bytes(),
            0o644,
            "path rules hold for later installations",
        )
    }
}

pub(super) fn absolute(path: &TreePath) -> Vec<u8> {
    [b"/", path.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::super::edit::own_path;
    use super::super::edit::tests::{EPOCH, root, shown};
    use super::*;

    fn filter(lines: &[&str]) -> PathFilter {
        let rule = |line: &&str| match line.split_at(1) {
            ("-", pattern) => Rule::Exclude(pattern.into()),
            (_, pattern) => Rule::Include(pattern.into()),
        };
        PathFilter::new(lines.iter().map(rule).collect())
    }

    #[test]
    fn the_last_match_wins_and_directories_stay_for_includes() {
        let doc = &["-/usr/share/doc/*", "+/usr/share/doc/*/copyright"];
        let cases: &[(&[&str], &str, bool, bool)] = &[
            (doc, "usr/share/doc/a/README", false, true),
            (doc, "usr/share/doc/a/copyright", false, false),
            (doc, "usr/share/doc/a", true, false),
            (doc, "usr/share/doc", true, false),
            (doc, "usr/share/docs", false, false),
            (&["-/usr/share/man/*"], "usr/share/man/man1", true, true),
            (&["-/usr/share/man/*", "+/usr/share/doc/*"], "usr/share/man/man1", true, true),
            (&["+/a/b", "-/a/*"], "a/b", false, true),
            (&["-/a/*", "+/a/b/c"], "a/b", true, false),
            (&["-/a/*", "+/a/b/c"], "a/b", false, true),
            (&[], "a", false, false),
        ];
        for (rules, path, directory, expected) in cases {
            assert_eq!(filter(rules).leaves_out(&own_path(path), *directory), *expected, "{rules:?} {path}");
        }
    }

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
        let filter = filter(&["-/usr/share/doc/*", "+/usr/share/doc/*/copyright", "-/usr/share/man/*"]);
        filter.apply(&mut editor);
        filter.write(&mut editor).unwrap();
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

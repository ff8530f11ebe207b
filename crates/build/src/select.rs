//! Sources of COPY and ADD found in a tree.

use bedplate_dockerfile::glob::Glob;
use bedplate_tree::{EntryKind, InodeId, PathError, Tree, TreePath};

use crate::error::StepError;

/// A source that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it is, symbolic links followed.
    pub(crate) path: TreePath,
    /// Where it was asked for.
    pub(crate) asked: TreePath,
    /// How many components of `asked` stand before the pivot of `--parents`.
    pub(crate) pivot: usize,
}

/// A source as written, without `.`, `..` and doubled slashes.
///
/// `..` never leads out: it is dropped at the top. Spec: Dockerfile reference, "COPY".
#[derive(Debug, Clone)]
pub(crate) struct SourcePattern {
    parts: Vec<String>,
    pivot: usize,
    /// Whether `*` and the like are just letters.
    literal: bool,
    /// As written.
    pub(crate) text: String,
}

impl SourcePattern {
    /// Takes a source apart. With `parents`, `/./` is the pivot: what stands before it is not made in the destination.
    pub(crate) fn new(text: &str, parents: bool) -> Self {
        let mut parts: Vec<String> = Vec::new();
        let mut pivot = 0;
        let all: Vec<&str> = text.split('/').collect();
        for (index, part) in all.iter().enumerate() {
            match *part {
                "." if parents && index > 0 && index + 1 < all.len() => pivot = parts.len(),
                "" | "." => {}
                ".." => {
                    parts.pop();
                    pivot = pivot.min(parts.len());
                }
                part => parts.push(part.to_owned()),
            }
        }
        Self { parts, pivot, literal: false, text: text.to_owned() }
    }

    /// A path that is no pattern, whatever letters it has.
    pub(crate) fn literal(text: &str) -> Self {
        Self { literal: true, ..Self::new(text, false) }
    }

    /// Says whether the source is a path, not a pattern.
    pub(crate) fn is_plain(&self) -> bool {
        !self.is_wild()
    }

    fn is_wild(&self) -> bool {
        self.parts.iter().any(|part| self.has_wildcard(part))
    }

    fn has_wildcard(&self, part: &str) -> bool {
        !self.literal && Glob::has_wildcard(part)
    }

    /// What the source may need of a tree; `recursive` as for [`SourcePattern::find`].
    pub(crate) fn reach(&self, recursive: bool) -> Reach {
        let mut parts = Vec::new();
        for part in &self.parts {
            if recursive && part.contains("**") {
                break;
            }
            match Glob::wildcard(part) {
                _ if !self.has_wildcard(part) => parts.push(Part::Name(part.clone())),
                Ok(glob) => parts.push(Part::Glob(glob)),
                // Finding it says what is wrong with it.
                Err(_) => break,
            }
        }
        Reach(parts)
    }

    /// The path itself without wildcards, or the part of it before the first.
    fn fixed(&self) -> Result<TreePath, StepError> {
        let fixed: Vec<&str> =
            self.parts.iter().map(String::as_str).take_while(|part| !self.has_wildcard(part)).collect();
        parse(&fixed.join("/"))
    }

    /// Says whether a symbolic link in what a tree has may lead to what it lacks.
    pub(crate) fn may_be_elsewhere(&self, tree: &Tree) -> bool {
        let link = |path: &TreePath| tree.entry(path).is_some_and(|e| matches!(e.kind, EntryKind::Symlink(_)));
        if self.is_wild() {
            return tree.walk().any(|(path, _)| link(&path));
        }
        let Ok(mut path) = self.fixed() else { return false };
        loop {
            if link(&path) {
                return true;
            }
            match path.parent() {
                Some(parent) => path = parent,
                None => return false,
            }
        }
    }

    /// Finds what the source means in a tree, in the order of paths; empty where a pattern matches nothing.
    ///
    /// Symbolic links are followed. `None` where a path without wildcards does not exist.
    pub(crate) fn find(&self, tree: &Tree, recursive: bool) -> Result<Option<Vec<Found>>, StepError> {
        let found = |asked: TreePath| -> Option<Found> {
            let (path, id) = tree.resolve(&asked, true).ok()?;
            id.map(|_| Found { path, asked, pivot: self.pivot })
        };
        if !self.is_wild() {
            let asked = parse(&self.parts.join("/"))?;
            return Ok(found(asked).map(|one| vec![one]));
        }
        let bad = |source| StepError::Pattern { pattern: self.text.clone(), source: Box::new(source) };
        if recursive && self.parts.iter().any(|part| part.contains("**")) {
            let glob = Glob::recursive(&self.parts.join("/")).map_err(bad)?;
            let mut all: Vec<Found> = Vec::new();
            for (path, _) in tree.walk().filter(|(path, _)| !path.is_root() && glob.matches(path.as_bytes())) {
                // What lies in a match comes along with it.
                if all.last().is_none_or(|last| path.strip_prefix(&last.asked).is_none()) {
                    all.extend(found(path));
                }
            }
            return Ok(Some(all));
        }
        let mut here = vec![TreePath::root()];
        for part in &self.parts {
            let glob = Glob::wildcard(part).map_err(bad)?;
            let mut next = Vec::new();
            for path in here {
                let Some(id) = directory(tree, &path) else { continue };
                for name in tree.inode(id).children().keys().filter(|name| glob.matches(name.as_bytes())) {
                    next.push(path.join(name).map_err(|source| failed(&self.text, source))?);
                }
            }
            here = next;
        }
        Ok(Some(here.into_iter().filter_map(found).collect()))
    }
}

/// The part of a tree that a source may need: what leads to its matches, and all below them.
#[derive(Debug)]
pub(crate) struct Reach(Vec<Part>);

#[derive(Debug)]
enum Part {
    Name(String),
    Glob(Glob),
}

impl Reach {
    /// Says whether a path leads to a match, is one, or lies below one.
    pub(crate) fn has(&self, path: &TreePath) -> bool {
        path.components().zip(&self.0).all(|(name, part)| match part {
            Part::Name(wanted) => wanted.as_bytes() == name,
            Part::Glob(glob) => glob.matches(name),
        })
    }
}

fn directory(tree: &Tree, path: &TreePath) -> Option<InodeId> {
    let (_, id) = tree.resolve(path, true).ok()?;
    id.filter(|id| tree.inode(*id).entry.is_directory())
}

fn parse(path: &str) -> Result<TreePath, StepError> {
    TreePath::parse(path.as_bytes()).map_err(|source| failed(path, source))
}

fn failed(path: &str, source: PathError) -> StepError {
    StepError::Path { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use bedplate_tree::{Content, Entry, Metadata};

    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::new();
        for path in ["a/x.c", "a/y.c", "a/z.h", "b/x.c", "b/d/w.c", "[q]", "top"] {
            let path = TreePath::parse(path.as_bytes()).unwrap();
            tree.put(&path, Entry::file(Content::empty(), Metadata::default())).unwrap();
        }
        for (path, target) in [("link", "a"), ("b/up", "../top"), ("gone", "nowhere")] {
            let kind = EntryKind::Symlink(target.as_bytes().into());
            let entry = Entry { kind, metadata: Metadata::default() };
            tree.put(&TreePath::parse(path.as_bytes()).unwrap(), entry).unwrap();
        }
        tree
    }

    #[test]
    fn sources_are_found() {
        // source | recursive | paths that are found
        let table: [(&str, bool, Option<&str>); 20] = [
            ("top", false, Some("/top")),
            ("/top", false, Some("/top")),
            ("./a/../top", false, Some("/top")),
            ("../../top", false, Some("/top")),
            ("a/", false, Some("/a")),
            (".", false, Some("/")),
            ("", false, Some("/")),
            ("nope", false, None),
            ("gone", false, None),
            ("top/x", false, None),
            ("link", false, Some("/a")),
            ("link/x.c", false, Some("/a/x.c")),
            ("b/up", false, Some("/top")),
            ("a/*.c", false, Some("/a/x.c /a/y.c")),
            ("*/x.c", false, Some("/a/x.c /b/x.c /a/x.c")),
            ("n*", false, Some("")),
            ("[[]q]", false, Some("/[q]")),
            ("**/x.c", false, Some("/a/x.c /b/x.c /a/x.c")),
            ("**/*.c", true, Some("/a/x.c /a/y.c /b/d/w.c /b/x.c")),
            ("b/**", true, Some("/b/d /top /b/x.c")),
        ];
        for (text, recursive, expected) in table {
            let found = SourcePattern::new(text, recursive).find(&tree(), recursive).unwrap();
            let found = found.map(|all| all.iter().map(|one| one.path.to_string()).collect::<Vec<_>>().join(" "));
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
        assert!(SourcePattern::new("[", false).find(&tree(), false).is_err());
    }

    #[test]
    fn the_pivot_is_a_lone_dot() {
        let table = [("a/./b/c", 1), ("./a/b", 0), ("a/b", 0), ("a/./b/./c", 2), ("a/.", 0), ("a/./../b", 0)];
        for (text, pivot) in table {
            assert_eq!(SourcePattern::new(text, true).pivot, pivot, "{text}");
        }
        assert_eq!(SourcePattern::new("a/./b", false).pivot, 0);
    }

    #[test]
    fn a_source_reaches_what_leads_to_it_and_lies_below() {
        // source | recursive | path | reached
        let table = [
            ("a/b", false, "a", true),
            ("a/b", false, "a/b", true),
            ("a/b", false, "a/b/c", true),
            ("a/b", false, "a/c", false),
            ("a/b", false, "b", false),
            ("*.c", false, "x.c", true),
            ("*.c", false, "x.h", false),
            ("*/x/*.c", false, "q", true),
            ("*/x/*.c", false, "q/x/y.c", true),
            ("*/x/*.c", false, "q/y", false),
            (".", false, "any/thing", true),
            ("**/x", true, "any/thing", true),
            ("a/**/x", true, "b", false),
            ("[", false, "x", true),
        ];
        for (text, recursive, path, expected) in table {
            let path = TreePath::parse(path.as_bytes()).unwrap();
            assert_eq!(SourcePattern::new(text, recursive).reach(recursive).has(&path), expected, "{text} {path}");
        }
    }
}

//! Merged `/usr`: `/bin`, `/lib` and their like as links into `/usr`, made before the first package or after the last.

use bedplate_tree::{Entry, EntryKind, Metadata, Timestamp, Tree, TreeError, TreePath};
use thiserror::Error;

/// All that any architecture had: what is merged where it is a directory.
pub const ALIASED: &[&str] = &["bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin"];

/// Why directories cannot be merged into `/usr`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MergeError {
    /// There is something at both places, and it is not two directories.
    #[error("cannot move \"{path}\" to \"{target}\": {found} is there already")]
    Occupied {
        /// What should move.
        path: TreePath,
        /// Where it should be.
        target: TreePath,
        /// What is there.
        found: &'static str,
    },
    /// A link whose target is meant from the directory that it is in, and leaves it for the root.
    #[error("cannot move \"{path}\" into \"/usr\": its target {target:?} leads to the root directory and out again")]
    Crossing {
        /// The link.
        path: TreePath,
        /// Where it leads.
        target: String,
    },
    /// Something has no place in the tree.
    #[error("cannot merge \"{path}\" into \"/usr\"")]
    Tree {
        /// What should move.
        path: TreePath,
        /// What is in its way.
        #[source]
        source: TreeError,
    },
}

/// The directories that are links before the first package is unpacked, for an architecture, in the order in which
/// debootstrap made them.
#[must_use]
pub fn aliased_directories(architecture: &str) -> Vec<&'static str> {
    let more: &[&str] = match architecture {
        "amd64" | "x32" => &["lib32", "lib64", "libx32"],
        "i386" => &["lib64", "libx32"],
        "mips" | "mipsel" | "ppc64" | "sparc64" => &["lib32", "lib64"],
        "powerpc" | "ppc64el" | "sparc" => &["lib64"],
        "s390x" => &["lib32"],
        other if other.starts_with("mips64") || other.starts_with("mipsn32") => &["lib32", "lib64", "libo32"],
        other if other.starts_with("loong") => &["lib32", "lib64"],
        _ => &[],
    };
    ["bin", "sbin", "lib"].into_iter().chain(more.iter().copied()).collect()
}

/// Makes `DIR` a link to `usr/DIR`, and `usr/DIR` a directory, for each of `directories`; what is there stays.
///
/// # Errors
/// [`MergeError::Tree`].
pub fn link_usr(tree: &mut Tree, directories: &[&str], mtime: Timestamp) -> Result<(), MergeError> {
    for directory in directories {
        let target = path(&format!("usr/{directory}"));
        let put = |tree: &mut Tree, path: &TreePath, entry| {
            tree.put(path, entry).map_err(|source| MergeError::Tree { path: path.clone(), source })
        };
        if tree.lookup(&target).is_none() {
            put(tree, &target, Entry::directory(Metadata::implied_directory(mtime)))?;
        }
        let link = path(directory);
        if tree.lookup(&link).is_none() {
            put(tree, &link, link_to_usr(directory, mtime))?;
        }
    }
    Ok(())
}

fn link_to_usr(directory: &str, mtime: Timestamp) -> Entry {
    let metadata = Metadata { mode: 0o777, mtime, ..Metadata::default() };
    Entry { kind: EntryKind::Symlink(format!("usr/{directory}").into_bytes().into()), metadata }
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).expect("names in this file are paths")
}

/// Moves what the real directories `/bin`, `/sbin`, `/lib*` hold into `/usr`, and makes links of them: what debootstrap
/// does after it extracted the required packages. Returns which ones it were.
///
/// Where there is a directory at both places that in `/usr` keeps its attributes.
///
/// # Errors
/// [`MergeError`]; the tree is then half changed and of no use.
pub fn merge_usr(tree: &mut Tree, mtime: Timestamp) -> Result<Vec<&'static str>, MergeError> {
    let mut merged = Vec::new();
    for directory in ALIASED {
        let from = path(directory);
        match tree.entry(&from).map(|entry| &entry.kind) {
            None | Some(EntryKind::Symlink(_)) => continue,
            Some(_) => merge_one(tree, &from)?,
        }
        tree.put(&from, link_to_usr(directory, mtime))
            .map_err(|source| MergeError::Tree { path: from.clone(), source })?;
        merged.push(*directory);
    }
    Ok(merged)
}

fn merge_one(tree: &mut Tree, from: &TreePath) -> Result<(), MergeError> {
    let usr = path("usr");
    // Parents come first in a walk, so that a directory is where its children are to go.
    let all: Vec<_> = tree.walk_at(from).collect();
    // Directories that moved as a whole: nothing below them meets anything.
    let mut whole: Option<TreePath> = None;
    for (path, id) in all {
        let tree_error = |source| MergeError::Tree { path: path.clone(), source };
        let target = TreePath::parse(&[usr.as_bytes(), b"/", path.as_bytes()].concat());
        let target = target.map_err(|source| tree_error(TreeError::Path { path: path.clone(), source }))?;
        let inside = whole.as_ref().is_some_and(|dir| path.strip_prefix(dir).is_some());
        let entry = tree.inode(id).entry.clone();
        if let (EntryKind::Symlink(link), false) = (&entry.kind, inside)
            && crosses_root(&path, link)
        {
            let target = String::from_utf8_lossy(link).into_owned();
            return Err(MergeError::Crossing { path, target });
        }
        match tree.entry(&target).map(|there| &there.kind) {
            None if entry.is_directory() => {
                if !inside {
                    whole = Some(path.clone());
                }
                tree.put(&target, entry).map_err(tree_error)?;
            }
            None => {
                tree.link(&target, &path).map_err(tree_error)?;
            }
            Some(EntryKind::Directory) if entry.is_directory() => {}
            Some(kind) => return Err(MergeError::Occupied { found: kind.describe(), path, target }),
        }
    }
    tree.remove(from);
    Ok(())
}

/// Whether a relative target goes up to the root: from one directory further down it would lead elsewhere.
fn crosses_root(path: &TreePath, target: &[u8]) -> bool {
    if target.first() == Some(&b'/') {
        return false;
    }
    let mut depth = path.components().count() - 1;
    for part in target.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if depth <= 1 => return true,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedplate_tree::Content;

    /// `d:a` a directory, `f:a` a file, `s:a=target` a link, `h:a=target` a hard link; `d7:a` a directory of mode 0700.
    fn tree(lines: &[&str]) -> Tree {
        let mut tree = Tree::new();
        for line in lines {
            let (what, rest) = line.split_once(':').unwrap();
            let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
            let metadata = Metadata { mode: if what == "d7" { 0o700 } else { 0o755 }, ..Metadata::default() };
            let kind = match what {
                "d" | "d7" => EntryKind::Directory,
                "f" => EntryKind::File(Content::from_bytes(name.as_bytes())),
                "s" => EntryKind::Symlink(value.as_bytes().into()),
                _ => {
                    tree.link(&path(name), &path(value)).unwrap();
                    continue;
                }
            };
            tree.put(&path(name), Entry { kind, metadata }).unwrap();
        }
        tree
    }

    fn names(tree: &Tree) -> String {
        let shown = tree.walk().skip(1).map(|(path, id)| match &tree.inode(id).entry.kind {
            EntryKind::Symlink(target) => format!("{path}>{}", String::from_utf8_lossy(target)),
            EntryKind::Directory if tree.inode(id).entry.metadata.mode == 0o700 => format!("{path}!"),
            _ if tree.inode(id).links() > 1 => format!("{path}*"),
            _ => path.to_string(),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn directories_move_into_usr_and_become_links() {
        let cases: &[(&[&str], &str)] = &[
            (&["f:etc/x"], "/etc /etc/x"),
            (&["f:bin/sh", "f:usr/bin/x"], "/bin>usr/bin /usr /usr/bin /usr/bin/sh /usr/bin/x"),
            (&["d7:bin", "f:bin/sh", "d:usr/bin"], "/bin>usr/bin /usr /usr/bin /usr/bin/sh"),
            (&["d7:lib64", "f:lib64/ld"], "/lib64>usr/lib64 /usr /usr/lib64! /usr/lib64/ld"),
            (
                &["f:lib/a/x", "f:usr/lib/a/y", "d:usr/lib/b"],
                "/lib>usr/lib /usr /usr/lib /usr/lib/a /usr/lib/a/x /usr/lib/a/y /usr/lib/b",
            ),
            (
                &["f:bin/gzip", "h:bin/gunzip=bin/gzip", "h:usr/bin/z=bin/gzip"],
                "/bin>usr/bin /usr /usr/bin /usr/bin/gunzip* /usr/bin/gzip* /usr/bin/z*",
            ),
            (
                &["s:bin/a=/etc/x", "s:bin/b=c", "s:lib/d/e=../f"],
                "/bin>usr/bin /lib>usr/lib /usr /usr/bin /usr/bin/a>/etc/x /usr/bin/b>c /usr/lib /usr/lib/d /usr/lib/d/e>../f",
            ),
            (&["s:bin=usr/bin", "f:usr/bin/x"], "/bin>usr/bin /usr /usr/bin /usr/bin/x"),
            // A directory that moves as a whole is not looked into.
            (
                &["d:usr/lib", "s:lib/new/d/x=../../../etc"],
                "/lib>usr/lib /usr /usr/lib /usr/lib/new /usr/lib/new/d /usr/lib/new/d/x>../../../etc",
            ),
        ];
        for (lines, expected) in cases {
            let mut tree = tree(lines);
            merge_usr(&mut tree, Timestamp::ZERO).unwrap();
            assert_eq!(names(&tree), *expected, "{lines:?}");
            assert_eq!(
                merge_usr(&mut tree, Timestamp::ZERO).unwrap(),
                Vec::<&str>::new(),
                "a second time does nothing"
            );
        }
    }

    #[test]
    fn what_cannot_move_is_named() {
        let cases: &[(&[&str], &str)] = &[
            (
                &["f:bin/sh", "f:usr/bin/sh"],
                "cannot move \"/bin/sh\" to \"/usr/bin/sh\": regular file is there already",
            ),
            (&["f:bin/sh", "d:usr/bin/sh"], "cannot move \"/bin/sh\" to \"/usr/bin/sh\": directory is there already"),
            (
                &["d:bin/sh", "s:usr/bin/sh=x"],
                "cannot move \"/bin/sh\" to \"/usr/bin/sh\": symbolic link is there already",
            ),
            (
                &["s:bin/sh=../etc/x", "d:usr/bin"],
                "cannot move \"/bin/sh\" into \"/usr\": its target \"../etc/x\" leads to the root directory and out again",
            ),
        ];
        for (lines, expected) in cases {
            let mut tree = tree(lines);
            let error = merge_usr(&mut tree, Timestamp::ZERO).unwrap_err();
            assert_eq!(error.to_string(), *expected, "{lines:?}");
        }
    }

    #[test]
    fn links_are_made_before_the_first_package() {
        let mut tree = tree(&["f:bin/sh"]);
        link_usr(&mut tree, &aliased_directories("arm64"), Timestamp::ZERO).unwrap();
        assert_eq!(names(&tree), "/bin /bin/sh /lib>usr/lib /sbin>usr/sbin /usr /usr/bin /usr/lib /usr/sbin");
        assert_eq!(aliased_directories("amd64"), ["bin", "sbin", "lib", "lib32", "lib64", "libx32"]);
        assert_eq!(aliased_directories("mips64el"), ["bin", "sbin", "lib", "lib32", "lib64", "libo32"]);
    }
}

//! A tree written as GNU tar would have packed it: `tar --numeric-owner --sort=name --transform 's,^./,,' -c .`.
//!
//! That is how debuerreotype and moby's `mkimage.sh` pack roots, and what `--style debuerreotype` promises byte for byte. A layer is
//! written by [`crate::write_tree`]: it keeps what this format loses.

use std::collections::HashMap;
use std::io::{self, Write};

use bedplate_archive::tar::GnuWriter;
use bedplate_tree::{Entry, EntryKind, InodeId, Tree, TreePath};

use crate::contents::Contents;
use crate::layer::LayerError;

/// Writes the whole tree, sockets left out as GNU tar does; returns the length in bytes.
///
/// The target of a symbolic link goes through the same transformation as a name, as GNU tar does it: one that begins with any
/// byte and a slash loses both. (So `a/b` becomes `b`. That is a defect of the original, and part of its bytes.)
///
/// # Errors
/// [`LayerError`]; what was written is then of no use.
pub fn write_gnu_tar(tree: &Tree, contents: &dyn Contents, sink: impl Write) -> Result<u64, LayerError> {
    let mut writer = GnuWriter::new(sink);
    let mut first: HashMap<InodeId, TreePath> = HashMap::new();
    for (path, id) in tree.walk() {
        let inode = tree.inode(id);
        let entry = &inode.entry;
        if let Some(target) = first.get(&id) {
            // What was "./x" to the transformation is "x" here already.
            writer.append_link(&path, target.as_bytes(), &entry.metadata)?;
            continue;
        }
        if inode.links() > 1 {
            first.insert(id, path.clone());
        }
        match &entry.kind {
            EntryKind::File(content) => {
                let body =
                    contents.open(content).map_err(|source| LayerError::Content { path: path.clone(), source })?;
                writer.append(&path, entry, body)?;
            }
            EntryKind::Symlink(target) => {
                let kind = EntryKind::Symlink(transformed(target).into());
                writer.append(&path, &Entry { kind, metadata: entry.metadata.clone() }, io::empty())?;
            }
            EntryKind::Socket => {}
            _ => writer.append(&path, entry, io::empty())?,
        }
    }
    Ok(writer.finish()?.1)
}

/// Applies `s,^./,,`, whose dot is any byte.
fn transformed(target: &[u8]) -> &[u8] {
    match target {
        [first, b'/', rest @ ..] if *first != b'\n' => rest,
        _ => target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContentSources, ScanOptions, scan};
    use bedplate_sys::rooted::Root;

    #[test]
    fn a_folder_is_packed_as_gnu_tar_packs_it() {
        let test = "image::gnu_tar::a_folder_is_packed_as_gnu_tar_packs_it";
        let gnu = bedplate_testkit::oracle::version("tar").is_some_and(|version| version.contains("GNU"));
        bedplate_testkit::needs!(test, gnu, "GNU tar is not installed");
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["b-dir", "b", "b.d", &"n".repeat(99)] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::fs::write(at("b/zz"), "first").unwrap();
        std::fs::hard_link(at("b/zz"), at("a-link")).unwrap();
        for (name, size) in [("b.d/empty", 0), ("b.d/block", 512), ("b.d/more", 700_001)] {
            std::fs::write(at(name), vec![b'x'; size]).unwrap();
        }
        std::fs::write(at(&format!("{}/file", "n".repeat(99))), "long").unwrap();
        for (name, target) in [("l1", "a/b"), ("l2", "../x"), ("l3", "/etc"), ("l4", "./x")] {
            std::os::unix::fs::symlink(target, at(name)).unwrap();
        }
        std::os::unix::fs::symlink("t".repeat(150), at("l5")).unwrap();
        let arguments = ["--numeric-owner", "--transform", "s,^./,,", "--sort=name", "-c", "."];
        let expected = std::process::Command::new("tar").args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(expected.status.success());

        let mut sources = ContentSources::new();
        let tree = scan(Root::open(folder.path()).unwrap(), &mut sources, &ScanOptions::default()).unwrap();
        let mut bytes = Vec::new();
        let size = write_gnu_tar(&tree, &sources, &mut bytes).unwrap();
        assert_eq!(size, bytes.len() as u64);
        assert!(bytes == expected.stdout, "{} and {} bytes", bytes.len(), expected.stdout.len());
    }
}

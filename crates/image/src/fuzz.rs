//! Entry points for fuzzing.

use bedplate_archive::Index;
use bedplate_tree::{Content, Delta, Tree, TreePath, diff};

use crate::elf::{Program, sniff_bytes};

/// Headers of programs: no panic, and a platform only for ELF.
pub fn elf_sniff(data: &[u8]) {
    if let Program::Elf(elf) = sniff_bytes(data) {
        let _ = elf.platform();
        assert!(elf.interpreter.is_none_or(|path| !path.contains(&0) && path.len() <= 4096));
    }
}

/// A layer applied to a root filesystem as distributions have it: what can be applied is a tree that keeps the laws.
pub fn layer_apply(data: &[u8]) {
    let Ok(delta) = Index::read_tar(data).map(|index| index.delta()) else { return };
    let Ok(delta) = delta else { return };
    let base = merged_usr();
    let mut tree = base.clone();
    if tree.apply(&delta).is_err() {
        return;
    }
    let paths: Vec<TreePath> = tree.walk().map(|(path, _)| path).collect();
    assert!(paths.windows(2).all(|pair| pair[0] < pair[1]), "a walk is sorted and names each path once");
    for path in &paths {
        assert!(tree.lookup(path).is_some());
    }
    assert_eq!(changes(&tree, &tree), Delta::default());
    let mut again = base.clone();
    assert!(again.apply(&changes(&base, &tree)).is_ok(), "a canonical delta can be applied");
    let rest = changes(&again, &tree);
    assert!(rest.changes.is_empty(), "{rest:?} remains after {:?}", changes(&base, &tree));
}

fn changes(base: &Tree, new: &Tree) -> Delta {
    let never = &mut |_: &Content, _: &Content| Ok::<_, std::convert::Infallible>(false);
    match diff(base, new, never) {
        Ok(difference) => difference.delta,
        Err(never) => match never {},
    }
}

/// Directories, a file with two names, and links as merged-/usr systems have them.
fn merged_usr() -> Tree {
    use bedplate_tree::{Entry, EntryKind, Metadata};
    let mut tree = Tree::new();
    let path = |text: &str| TreePath::parse(text.as_bytes()).unwrap_or_default();
    let metadata = Metadata { mode: 0o755, ..Metadata::default() };
    let file = Entry::file(Content::from_bytes(*b"x"), metadata.clone());
    let link = |target: &str| Entry { kind: EntryKind::Symlink(target.as_bytes().into()), metadata: metadata.clone() };
    for (name, entry) in [
        ("usr/bin/a", file.clone()),
        ("usr/lib/b", file.clone()),
        ("etc/c", file),
        ("bin", link("usr/bin")),
        ("lib", link("/usr/lib")),
        ("loop", link("loop")),
    ] {
        let _ = tree.put(&path(name), entry);
    }
    let _ = tree.link(&path("usr/bin/d"), &path("usr/bin/a"));
    tree
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedplate_tree::{Entry, EntryKind, Metadata, Timestamp};

    /// Layers of few names, so that whiteouts, links and parents meet; bytes mutated besides.
    #[test]
    fn hostile_layers_keep_the_laws() {
        let names = [
            "bin",
            "bin/a",
            "lib/b",
            "usr",
            "usr/bin",
            "usr/bin/.wh.a",
            "bin/.wh.d",
            "lib/.wh..wh..opq",
            ".wh.usr",
            "etc/c",
            "etc/c/d",
            "loop/x",
            "x/y/z",
            ".wh..wh..opq",
            "usr/bin/d",
            "x",
        ];
        let mut state = 7u64;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % below
        };
        for _ in 0..3000 {
            let mut writer = bedplate_archive::Writer::new(Vec::new());
            for _ in 0..random(8) {
                let path = TreePath::parse(names[random(names.len())].as_bytes()).unwrap();
                let target = TreePath::parse(names[random(names.len())].as_bytes()).unwrap();
                let metadata = Metadata { mode: 0o755, mtime: Timestamp::from_seconds(1), ..Metadata::default() };
                let put = |kind| Entry { kind, metadata: metadata.clone() };
                let written = match random(4) {
                    0 => writer.append(&path, &put(EntryKind::Directory), std::io::empty()),
                    1 => writer.append(&path, &put(EntryKind::File(Content::from_bytes(*b"1"))), &b"1"[..]),
                    2 => writer.append(&path, &put(EntryKind::Symlink(target.as_bytes().into())), std::io::empty()),
                    _ => writer.append_link(&path, &target, &metadata),
                };
                let _ = written;
            }
            let (mut bytes, _) = writer.finish().unwrap();
            layer_apply(&bytes);
            if random(2) == 0 {
                let at = random(bytes.len());
                bytes[at] ^= 1 << random(8);
                layer_apply(&bytes);
            }
        }
    }
}

//! Keys that maintainer scripts make: no two are equal, and whoever has the image has them.
//!
//! An image is run many times and by many people; a key that all of them share protects nobody, and no image with one
//! could be made again. A container, or an image built upon this one, makes its own.

use bedplate_packages::deb::compose::matches;
use bedplate_tree::{Entry, EntryKind, Name, TreePath};

use super::Done;
use super::edit::{Editor, own_path};

/// Keys of one kind.
struct Kind {
    /// Where they lie.
    folder: &'static str,
    /// The names of private keys, a pattern.
    private: &'static [u8],
    /// How a container comes to its own.
    reason: &'static str,
    /// What is of no use without them: a folder and a pattern.
    public: (&'static str, &'static [u8]),
}

const KINDS: [Kind; 3] = [
    Kind {
        folder: "etc/ssh",
        private: b"ssh_host_*_key",
        reason: "a host's private key; `ssh-keygen -A` makes a container its own",
        public: ("etc/ssh", b"ssh_host_*_key.pub"),
    },
    Kind {
        folder: "etc/dropbear",
        private: b"dropbear_*_host_key",
        reason: "a host's private key; `dropbear -R` makes a container its own",
        public: ("etc/dropbear", b"dropbear_*_host_key.pub"),
    },
    Kind {
        folder: "etc/ssl/private",
        private: b"ssl-cert-snakeoil.key",
        reason: "a host's private key; `make-ssl-cert generate-default-snakeoil` makes a container its own",
        public: ("etc/ssl/certs", b"ssl-cert-snakeoil.pem"),
    },
];

/// Removes private keys that scripts made, what was made with them, and the links to it.
pub(super) fn withhold(editor: &mut Editor<'_>) {
    for kind in &KINDS {
        let private = names(editor, kind.folder, kind.private);
        if private.is_empty() {
            continue;
        }
        for path in &private {
            editor.take(path, Done::Withheld, kind.reason);
        }
        let (folder, pattern) = kind.public;
        let public = names(editor, folder, pattern);
        for path in links_to(editor, folder, &public).iter().chain(&public) {
            editor.take(path, Done::Removed, "of no use without its private key");
        }
    }
}

/// What a folder has under names that match.
fn names(editor: &Editor<'_>, folder: &str, pattern: &[u8]) -> Vec<TreePath> {
    let found = editor.list(folder).into_iter().filter(|name| matches(pattern, name));
    let path = |name: Vec<u8>| own_path(folder).join(&Name::new(&name).ok()?).ok();
    found.filter_map(path).collect()
}

/// The symbolic links beside `files` that name one of them, as `c_rehash` makes them.
fn links_to(editor: &Editor<'_>, folder: &str, files: &[TreePath]) -> Vec<TreePath> {
    let leads = |path: &TreePath| match editor.tree.entry(path) {
        Some(Entry { kind: EntryKind::Symlink(target), .. }) => {
            files.iter().any(|file| file.file_name() == Some(target.as_ref()))
        }
        _ => false,
    };
    names(editor, folder, b"*").into_iter().filter(leads).collect()
}

#[cfg(test)]
mod tests {
    use super::super::edit::tests::{EPOCH, root, shown};
    use super::*;

    #[test]
    fn keys_go_with_what_needs_them_and_nothing_else_does() {
        let mut tree = root(&[
            "etc/ssh/ssh_host_rsa_key=secret",
            "etc/ssh/ssh_host_rsa_key.pub=public",
            "etc/ssh/sshd_config=x",
            "etc/ssl/private/ssl-cert-snakeoil.key=secret",
            "etc/ssl/certs/ssl-cert-snakeoil.pem=public",
            "etc/ssl/certs/0a1b2c3d.0->ssl-cert-snakeoil.pem",
            "etc/ssl/certs/other.pem=x",
            "etc/ssl/certs/f00f.0->other.pem",
            "usr/share/doc/ssh_host_rsa_key=an example",
        ]);
        let contents = bedplate_image::ContentSources::new();
        let mut editor = Editor::new(&mut tree, &contents, EPOCH);
        withhold(&mut editor);
        let notes = editor.finish();
        let loud: Vec<String> =
            notes.iter().filter(|note| note.done == Done::Withheld).map(|note| note.path.to_string()).collect();
        assert_eq!(loud, ["/etc/ssh/ssh_host_rsa_key", "/etc/ssl/private/ssl-cert-snakeoil.key"]);
        assert_eq!(notes.len(), 5);
        let left: Vec<String> = shown(&tree).into_iter().filter(|line| !line.ends_with('/')).collect();
        assert_eq!(
            left,
            [
                "etc/ssh/sshd_config=x",
                "etc/ssl/certs/f00f.0->other.pem",
                "etc/ssl/certs/other.pem=x",
                "usr/share/doc/ssh_host_rsa_key=an example"
            ]
        );
    }

    #[test]
    fn a_public_key_that_somebody_brought_stays() {
        let mut tree = root(&["etc/ssh/ssh_host_rsa_key.pub=public"]);
        let contents = bedplate_image::ContentSources::new();
        let mut editor = Editor::new(&mut tree, &contents, EPOCH);
        withhold(&mut editor);
        assert!(editor.finish().is_empty());
    }
}

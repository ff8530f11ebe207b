//! What in a tree should rather not be in an image: secrets and identities of one machine.

use std::fmt;
use std::io::Read;

use bedplate_tree::{EntryKind, Tree, TreePath};

use crate::contents::Contents;

/// The largest file that is looked into: password files and mount tables are far smaller.
const MAX_LOOKED_INTO: u64 = 1 << 20;

/// How many paths of one sort are named; the rest is counted by whoever shows them.
const MAX_NAMED: usize = 20;

/// Something that should rather not be in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hazard {
    /// A private key of an SSH server: every container would pose as the same host.
    HostKey {
        /// The key.
        path: TreePath,
    },
    /// A private key of a user.
    PrivateKey {
        /// The key.
        path: TreePath,
    },
    /// Passwords, hashed.
    Passwords {
        /// The file.
        path: TreePath,
        /// The names of those who have one.
        accounts: Vec<String>,
    },
    /// The identity of one machine.
    MachineId {
        /// The file.
        path: TreePath,
    },
    /// Mounts of one machine.
    Mounts {
        /// The file.
        path: TreePath,
    },
    /// The seed of one machine's random numbers.
    RandomSeed {
        /// The file.
        path: TreePath,
    },
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostKey { path } => write!(f, "{path} is a private host key; whoever has the image has it, too"),
            Self::PrivateKey { path } => write!(f, "{path} is a private key; whoever has the image has it, too"),
            Self::Passwords { path, accounts } => {
                write!(f, "{path} has password hashes of {}", accounts.join(", "))
            }
            Self::MachineId { path } => write!(f, "{path} is the identity of one machine; leave it empty"),
            Self::Mounts { path } => write!(f, "{path} names the mounts of one machine"),
            Self::RandomSeed { path } => write!(f, "{path} is the seed of one machine's random numbers"),
        }
    }
}

/// Finds what should rather not be in an image, in the order of the paths. What cannot be read is not judged.
#[must_use]
pub fn find(tree: &Tree, contents: &dyn Contents) -> Vec<Hazard> {
    let mut found = Vec::new();
    for (path, id) in tree.walk() {
        let EntryKind::File(content) = &tree.inode(id).entry.kind else { continue };
        if content.size() == 0 || found.len() >= MAX_NAMED {
            continue;
        }
        let parts: Vec<&[u8]> = path.components().collect();
        let text = || {
            let mut bytes = Vec::new();
            let reader = contents.open(content).ok()?;
            reader.take(MAX_LOOKED_INTO).read_to_end(&mut bytes).ok()?;
            Some(bytes)
        };
        let hazard = match parts.as_slice() {
            [b"etc", b"ssh", name] if name.starts_with(b"ssh_host_") && name.ends_with(b"_key") => {
                Some(Hazard::HostKey { path })
            }
            [b"root", b".ssh", name] | [b"home", _, b".ssh", name] if is_private_key_name(name) => {
                Some(Hazard::PrivateKey { path })
            }
            [b"etc", b"shadow" | b"gshadow" | b"shadow-" | b"gshadow-" | b"passwd"] => {
                let accounts = text().map(|bytes| accounts_with_passwords(&bytes)).unwrap_or_default();
                (!accounts.is_empty()).then_some(Hazard::Passwords { path, accounts })
            }
            [b"etc", b"machine-id"] | [b"var", b"lib", b"dbus", b"machine-id"] => text()
                .filter(|bytes| bytes.trim_ascii().len() == 32 && bytes.trim_ascii().iter().all(u8::is_ascii_hexdigit))
                .map(|_| Hazard::MachineId { path }),
            [b"etc", b"fstab"] => text().filter(|bytes| has_mounts(bytes)).map(|_| Hazard::Mounts { path }),
            [b"var", b"lib", b"systemd", b"random-seed"] => Some(Hazard::RandomSeed { path }),
            _ => None,
        };
        found.extend(hazard);
    }
    found
}

fn is_private_key_name(name: &[u8]) -> bool {
    name.starts_with(b"id_") && !name.ends_with(b".pub")
}

/// Accounts whose second field is a hash: not empty, not locked (`*`, `!`), not kept elsewhere (`x`).
fn accounts_with_passwords(bytes: &[u8]) -> Vec<String> {
    let account = |line: &[u8]| {
        let mut fields = line.split(|b| *b == b':');
        let (name, hash) = (fields.next()?, fields.next()?);
        // "!" before a hash locks it; the hash is still there.
        let hash = hash.strip_prefix(b"!").unwrap_or(hash);
        let is_hash = hash.len() >= 13 && !hash.starts_with(b"*") && !hash.starts_with(b"!");
        is_hash.then(|| String::from_utf8_lossy(name).into_owned())
    };
    bytes.split(|b| *b == b'\n').filter_map(account).take(MAX_NAMED).collect()
}

fn has_mounts(bytes: &[u8]) -> bool {
    bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).any(|line| !line.is_empty() && !line.starts_with(b"#"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ContentSources;
    use bedplate_tree::{Content, Entry, Metadata};

    #[test]
    fn hazards_are_named() {
        let id = "0123456789abcdef0123456789abcdef\n";
        let cases = [
            (
                "etc/ssh/ssh_host_rsa_key",
                "x",
                "/etc/ssh/ssh_host_rsa_key is a private host key; whoever has the image has it, too",
            ),
            ("etc/ssh/ssh_host_rsa_key.pub", "x", ""),
            ("etc/ssh/ssh_host_rsa_key", "", ""),
            ("root/.ssh/id_ed25519", "x", "/root/.ssh/id_ed25519 is a private key; whoever has the image has it, too"),
            ("home/me/.ssh/id_rsa.pub", "x", ""),
            (
                "etc/shadow",
                "root:$6$abcdefghijkl$xyz:1::\nbin:*:1\nme:!$y$abcdefghijklmnop:1\nyou:!!:1\n",
                "/etc/shadow has password hashes of root, me",
            ),
            ("etc/shadow", "root:*:19000:0:99999:7:::\nx::1\n", ""),
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", ""),
            ("etc/machine-id", id, "/etc/machine-id is the identity of one machine; leave it empty"),
            ("etc/machine-id", "uninitialized\n", ""),
            ("etc/fstab", "# UNCONFIGURED FSTAB\n\n", ""),
            ("etc/fstab", "# x\n/dev/sda1 / ext4 defaults 0 1\n", "/etc/fstab names the mounts of one machine"),
            ("usr/share/etc/fstab", "/dev/sda1 /", ""),
        ];
        for (name, text, expected) in cases {
            let mut tree = Tree::new();
            let entry = Entry::file(Content::from_bytes(text.as_bytes()), Metadata::default());
            tree.put(&TreePath::parse(name.as_bytes()).unwrap(), entry).unwrap();
            let found: Vec<String> = find(&tree, &ContentSources::new()).iter().map(ToString::to_string).collect();
            assert_eq!(found.join("|"), expected, "{name}");
        }
    }
}

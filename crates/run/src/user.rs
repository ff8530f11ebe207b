//! Users and groups of an image, by its own `/etc/passwd` and `/etc/group`.

use bedplate_tree::accounts;
use thiserror::Error;

/// Who a command runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User ID.
    pub uid: u32,
    /// Group ID.
    pub gid: u32,
    /// Supplementary groups, in the file's order.
    pub groups: Vec<u32>,
    /// Home directory; `/` where the user has none.
    pub home: String,
}

/// Why a user cannot be found.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum UserError {
    /// A name that is not in the file.
    #[error("unable to find {kind} {name:?}: no matching entry in the image's {file}")]
    NotFound {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
        /// `/etc/passwd` or `/etc/group`.
        file: &'static str,
    },
    /// A number that is no ID.
    #[error("{kind} ID {found} is out of range; IDs are 0 to 4294967294")]
    Range {
        /// `user` or `group`.
        kind: &'static str,
        /// The number.
        found: String,
    },
}

/// Resolves `user`, `uid`, `user:group` or `uid:gid`; empty is root.
///
/// A number need not be in the file. Where the group is given, it is the only one; else the primary group and those
/// that name the user as a member.
///
/// # Errors
/// [`UserError`]: a name that the image does not have, a number beyond the range.
pub fn resolve(spec: &str, passwd: &[u8], group: &[u8]) -> Result<Identity, UserError> {
    let (user, wanted_group) = match spec.split_once(':') {
        Some((user, group)) => (user, (!group.is_empty()).then_some(group)),
        None => (spec, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let as_number = user.bytes().all(|b| b.is_ascii_digit());
    let by_name = accounts::users(passwd).find(|l| l.name == user.as_bytes());
    let range = |kind, found: &str| UserError::Range { kind, found: found.to_owned() };
    let (line, uid) = match by_name {
        Some(line) => {
            let uid = line.uid;
            (Some(line), uid)
        }
        None if as_number => {
            let uid = accounts::number(user.as_bytes()).ok_or_else(|| range("user", user))?;
            (accounts::users(passwd).find(|l| l.uid == uid), uid)
        }
        None => {
            return Err(UserError::NotFound { kind: "user", name: user.to_owned(), file: "/etc/passwd" });
        }
    };
    let home = line
        .as_ref()
        .map(|l| String::from_utf8_lossy(l.home).into_owned())
        .filter(|h| !h.is_empty())
        .unwrap_or_else(|| "/".into());
    if let Some(name) = wanted_group {
        let gid = match accounts::groups(group).find(|l| l.name == name.as_bytes()) {
            Some(line) => line.gid,
            None if name.bytes().all(|b| b.is_ascii_digit()) => {
                accounts::number(name.as_bytes()).ok_or_else(|| range("group", name))?
            }
            None => {
                return Err(UserError::NotFound { kind: "group", name: name.to_owned(), file: "/etc/group" });
            }
        };
        return Ok(Identity { uid, gid, groups: Vec::new(), home });
    }
    let gid = line.as_ref().map_or(0, |l| l.gid);
    let mut groups = Vec::new();
    if let Some(line) = &line {
        for g in accounts::groups(group) {
            if g.members().any(|member| member == line.name) && g.gid != gid && !groups.contains(&g.gid) {
                groups.push(g.gid);
            }
        }
    }
    Ok(Identity { uid, gid, groups, home })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nbroken line\nanna:x:1000:100:Anna:/home/anna:/bin/sh\n\
        nohome:x:7:8\n1234:x:55:56::/odd:\nbig:x:4294967295:0::/:\n";
    const GROUP: &[u8] = b"root:x:0:\nwheel:x:10:root,anna\nusers:x:100:anna\naudio:x:29:anna\nempty\n77:x:88:\n";

    #[test]
    fn forms_of_a_user() {
        let id = |uid, gid, groups: &[u32], home: &str| {
            Ok(Identity { uid, gid, groups: groups.to_vec(), home: home.into() })
        };
        let missing = |kind, name: &str, file| Err(UserError::NotFound { kind, name: name.into(), file });
        for (spec, expected) in [
            ("", id(0, 0, &[10], "/root")),
            ("root", id(0, 0, &[10], "/root")),
            ("0", id(0, 0, &[10], "/root")),
            ("anna", id(1000, 100, &[10, 29], "/home/anna")),
            ("1000", id(1000, 100, &[10, 29], "/home/anna")),
            ("anna:wheel", id(1000, 10, &[], "/home/anna")),
            ("anna:5", id(1000, 5, &[], "/home/anna")),
            ("anna:", id(1000, 100, &[10, 29], "/home/anna")),
            (":audio", id(0, 29, &[], "/root")),
            ("4711", id(4711, 0, &[], "/")),
            ("4711:4712", id(4711, 4712, &[], "/")),
            ("nohome", id(7, 8, &[], "/")),
            // A name of digits is a name first.
            ("1234", id(55, 56, &[], "/odd")),
            ("0:77", id(0, 88, &[], "/root")),
            ("otto", missing("user", "otto", "/etc/passwd")),
            ("anna:otto", missing("group", "otto", "/etc/group")),
            ("-1", missing("user", "-1", "/etc/passwd")),
            ("4294967295", Err(UserError::Range { kind: "user", found: "4294967295".into() })),
            ("0:99999999999", Err(UserError::Range { kind: "group", found: "99999999999".into() })),
        ] {
            assert_eq!(resolve(spec, PASSWD, GROUP), expected, "{spec}");
        }
    }

    #[test]
    fn an_image_without_passwd_still_has_root() {
        let root = resolve("", b"", b"").unwrap();
        assert_eq!((root.uid, root.gid, root.home.as_str()), (0, 0, "/"));
        assert_eq!(resolve("12", b"", b"").unwrap().home, "/");
        assert!(resolve("root", b"", b"").is_err());
    }
}

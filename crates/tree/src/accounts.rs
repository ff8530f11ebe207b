//! Users and groups of a root filesystem, by the text of its own `/etc/passwd` and `/etc/group`.
//!
//! No name service is asked, neither the root's nor the host's. Spec: passwd(5), group(5).

use std::collections::HashMap;

/// Lines of a file that are looked at: directory services of a hundred thousand users fit.
const MOST_LINES: usize = 1 << 20;

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User<'t> {
    /// The name.
    pub name: &'t [u8],
    /// User ID.
    pub uid: u32,
    /// ID of the primary group.
    pub gid: u32,
    /// Home directory; empty where the line has none.
    pub home: &'t [u8],
}

/// A line of `/etc/group`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group<'t> {
    /// The name.
    pub name: &'t [u8],
    /// Group ID.
    pub gid: u32,
    /// Names of users, with commas between.
    members: &'t [u8],
}

impl<'t> Group<'t> {
    /// The names of its members, in the order of the file.
    pub fn members(&self) -> impl Iterator<Item = &'t [u8]> {
        self.members.split(|b| *b == b',')
    }
}

/// The users of a `passwd` file in its order; lines that are none are passed over.
pub fn users(passwd: &[u8]) -> impl Iterator<Item = User<'_>> {
    passwd.split(|b| *b == b'\n').take(MOST_LINES).filter_map(|line| {
        let mut f = line.trim_ascii().split(|b| *b == b':');
        let (name, _) = (f.next()?, f.next()?);
        let (uid, gid) = (number(f.next()?)?, number(f.next()?)?);
        let home = f.nth(1).unwrap_or_default();
        (!name.is_empty()).then_some(User { name, uid, gid, home })
    })
}

/// The groups of a `group` file in its order; lines that are none are passed over.
pub fn groups(group: &[u8]) -> impl Iterator<Item = Group<'_>> {
    group.split(|b| *b == b'\n').take(MOST_LINES).filter_map(|line| {
        let mut f = line.trim_ascii().split(|b| *b == b':');
        let (name, _) = (f.next()?, f.next()?);
        let gid = number(f.next()?)?;
        let members = f.next().unwrap_or_default();
        (!name.is_empty()).then_some(Group { name, gid, members })
    })
}

/// Reads an ID: digits only, and not the largest number, which means "leave as it is" to chown(2).
#[must_use]
pub fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|n| *n != u32::MAX)
}

/// The IDs of names, for many look-ups. Of several lines with one name the first counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accounts {
    users: HashMap<Box<[u8]>, u32>,
    groups: HashMap<Box<[u8]>, u32>,
}

impl Accounts {
    /// The accounts of two files; an empty text for one that is not there.
    #[must_use]
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let mut accounts = Self::default();
        for user in users(passwd) {
            accounts.users.entry(user.name.into()).or_insert(user.uid);
        }
        for group in groups(group) {
            accounts.groups.entry(group.name.into()).or_insert(group.gid);
        }
        accounts
    }

    /// The ID of a user.
    #[must_use]
    pub fn uid(&self, name: &[u8]) -> Option<u32> {
        self.users.get(name).copied()
    }

    /// The ID of a group.
    #[must_use]
    pub fn gid(&self, name: &[u8]) -> Option<u32> {
        self.groups.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_no_accounts_are_passed_over() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\n\nbroken\n:x:1:1::/:\nneg:x:-1:0::/:\nbig:x:4294967295:0::/:\n\
            short:x:7:8\nroot:x:9:9::/:";
        let names: Vec<_> = users(passwd).map(|user| (user.name, user.uid, user.home)).collect();
        assert_eq!(names, [(&b"root"[..], 0, &b"/root"[..]), (b"short", 7, b""), (b"root", 9, b"/")]);
        let groups: Vec<_> = groups(b"root:x:0:\nwheel:x:10:root,anna\nempty\nx:y:\n").collect();
        assert_eq!(groups.iter().map(|group| group.gid).collect::<Vec<_>>(), [0, 10]);
        assert_eq!(groups[1].members().collect::<Vec<_>>(), [&b"root"[..], b"anna"]);
    }

    #[test]
    fn the_first_line_of_a_name_counts() {
        let accounts = Accounts::parse(b"a:x:1:2::/:\na:x:3:4::/:\n", b"a:x:5:\na:x:6:\n");
        assert_eq!((accounts.uid(b"a"), accounts.gid(b"a"), accounts.uid(b"b")), (Some(1), Some(5), None));
    }
}

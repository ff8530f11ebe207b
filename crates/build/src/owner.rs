//! `--chown`: numbers, or names of the image's own users and groups.

use bedplate_image::{ContentSources, read_content};
use bedplate_tree::accounts::{self, User};
use bedplate_tree::{Tree, TreePath};

use crate::error::StepError;

/// The largest passwd or group file that is read: 16 MiB hold some 200,000 users.
const MAX_ACCOUNTS: u64 = 16 * 1024 * 1024;

/// Resolves the value of `--chown` to numbers. A user alone gives the group of the same number.
///
/// Spec: Dockerfile reference, "COPY --chown".
pub(crate) fn resolve(text: &str, tree: &Tree, contents: &ContentSources<'_>) -> Result<(u32, u32), StepError> {
    let malformed = || StepError::Owner { text: text.to_owned() };
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    if user.is_empty() || group.is_some_and(|group| group.is_empty() || group.contains(':')) {
        return Err(malformed());
    }
    let find = |name: &str, what, file, look_up: fn(&[u8], &str) -> Option<u32>| -> Result<u32, StepError> {
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            return accounts::number(name.as_bytes()).ok_or_else(malformed);
        }
        let lines = read(tree, contents, file)?.unwrap_or_default();
        look_up(&lines, name).ok_or_else(|| StepError::OwnerUnknown {
            text: text.to_owned(),
            what,
            name: name.to_owned(),
            file,
        })
    };
    let uid = find(user, "user", "/etc/passwd", |lines, name| user_named(lines, name).map(|user| user.uid))?;
    let gid = match group {
        Some(group) => find(group, "group", "/etc/group", group_named)?,
        None => uid,
    };
    Ok((uid, gid))
}

/// Resolves the value of USER to the owner of what is made for that user: as `--chown`, but a name alone gives the
/// user's own group.
pub(crate) fn resolve_user(text: &str, tree: &Tree, contents: &ContentSources<'_>) -> Result<(u32, u32), StepError> {
    let (uid, gid) = resolve(text, tree, contents)?;
    if text.contains(':') || text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok((uid, gid));
    }
    let lines = read(tree, contents, "/etc/passwd")?.unwrap_or_default();
    Ok((uid, user_named(&lines, text).map_or(gid, |user| user.gid)))
}

fn user_named<'t>(passwd: &'t [u8], name: &str) -> Option<User<'t>> {
    accounts::users(passwd).find(|user| user.name == name.as_bytes())
}

fn group_named(group: &[u8], name: &str) -> Option<u32> {
    accounts::groups(group).find(|group| group.name == name.as_bytes()).map(|group| group.gid)
}

/// Reads a file of a tree, symbolic links followed; `None` where there is no such file.
pub(crate) fn read(tree: &Tree, contents: &ContentSources<'_>, path: &str) -> Result<Option<Vec<u8>>, StepError> {
    let place = TreePath::parse(path.as_bytes()).map_err(|source| StepError::Path { path: path.to_owned(), source })?;
    // A link in circles is no file.
    let Ok((place, Some(id))) = tree.resolve(&place, true) else { return Ok(None) };
    let Some(content) = tree.inode(id).entry.content() else { return Ok(None) };
    Ok(Some(read_content(contents, &place, content, MAX_ACCOUNTS)?))
}

#[cfg(test)]
mod tests {
    use bedplate_tree::{Content, Entry, EntryKind, Metadata};

    use super::*;

    #[test]
    fn names_are_those_of_the_image() {
        let path = |text: &str| TreePath::parse(text.as_bytes()).unwrap();
        let file = |text: &str| Entry::file(Content::from_bytes(text.as_bytes()), Metadata::default());
        let mut tree = Tree::new();
        tree.put(&path("etc/passwd"), file("root:x:0:0::/:\nwww:x:33:99::/:\nbad\n")).unwrap();
        tree.put(&path("lib/group"), file("root:x:0:\nstaff:x:50:\n")).unwrap();
        let link = Entry { kind: EntryKind::Symlink((*b"../lib/group").into()), metadata: Metadata::default() };
        tree.put(&path("etc/group"), link).unwrap();
        let contents = ContentSources::new();
        let table = [
            ("1", Some((1, 1))),
            ("1:2", Some((1, 2))),
            ("www", Some((33, 33))),
            ("www:staff", Some((33, 50))),
            ("7:staff", Some((7, 50))),
            ("4294967294", Some((u32::MAX - 1, u32::MAX - 1))),
            ("4294967295", None),
            ("", None),
            (":1", None),
            ("1:", None),
            ("1:2:3", None),
            ("4294967296", None),
            ("nobody", None),
            ("www:nogroup", None),
            ("bad", None),
        ];
        for (text, expected) in table {
            assert_eq!(resolve(text, &tree, &contents).ok(), expected, "{text:?}");
        }
        assert_eq!(resolve_user("www", &tree, &contents).ok(), Some((33, 99)));
        assert_eq!(resolve_user("5", &tree, &contents).ok(), Some((5, 5)));
        assert_eq!(resolve_user("www:staff", &tree, &contents).ok(), Some((33, 50)));
        assert!(resolve("root", &Tree::new(), &contents).is_err(), "no passwd file, no names");
    }
}

//! `--chown`: numbers, or names of the image's own users and groups.

use std::io::Read as _;

use bedplate_image::{ContentSources, Contents as _};
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
    let find = |name: &str, what, file| -> Result<u32, StepError> {
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            // The largest number means "leave it as it is" to the kernel.
            return name.parse().ok().filter(|id| *id != u32::MAX).ok_or_else(malformed);
        }
        let accounts = read(tree, contents, file)?.unwrap_or_default();
        number_of(&accounts, name).ok_or_else(|| StepError::OwnerUnknown {
            text: text.to_owned(),
            what,
            name: name.to_owned(),
            file,
        })
    };
    let uid = find(user, "user", "/etc/passwd")?;
    let gid = match group {
        Some(group) => find(group, "group", "/etc/group")?,
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
    let accounts = read(tree, contents, "/etc/passwd")?.unwrap_or_default();
    Ok((uid, field_of(&accounts, text, 3).unwrap_or(gid)))
}

/// The number of the user or group `name`.
fn number_of(accounts: &[u8], name: &str) -> Option<u32> {
    field_of(accounts, name, 2)
}

/// A field, from 0, of the line whose first is `name`.
fn field_of(accounts: &[u8], name: &str, field: usize) -> Option<u32> {
    accounts.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        (fields.next()? == name.as_bytes()).then_some(())?;
        std::str::from_utf8(fields.nth(field - 1)?).ok()?.trim_end().parse().ok()
    })
}

/// Reads a file of a tree, symbolic links followed; `None` where there is no such file.
pub(crate) fn read(tree: &Tree, contents: &ContentSources<'_>, path: &str) -> Result<Option<Vec<u8>>, StepError> {
    let place = TreePath::parse(path.as_bytes()).map_err(|source| StepError::Path { path: path.to_owned(), source })?;
    let Ok((_, Some(id))) = tree.resolve(&place, true) else { return Ok(None) };
    let Some(content) = tree.inode(id).entry.content() else { return Ok(None) };
    let failed = |source| StepError::Content { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let reader = contents.open(content).map_err(failed)?;
    reader
        .take(MAX_ACCOUNTS)
        .read_to_end(&mut bytes)
        .map_err(|source| StepError::Scratch { what: path.to_owned(), source })?;
    Ok(Some(bytes))
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

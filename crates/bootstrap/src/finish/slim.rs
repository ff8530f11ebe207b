//! Slim images: without documentation, translations and manual pages, and with a dpkg that keeps them away.
//!
//! The same patterns as debuerreotype 0.15, in its way: what lies below the folder of a pattern goes unless a pattern of
//! those kept matches; then whatever is empty or leads nowhere, until nothing is. The folders of manual pages stay,
//! since `update-alternatives` fails to link manual pages without them (debuerreotype#10).

use std::collections::BTreeSet;

use bedplate_packages::deb::compose::matches;
use bedplate_tree::{EntryKind, TreePath};

use super::edit::{Editor, own_path};
use super::paths::absolute;
use super::{Done, Facts, FinishError};

/// What goes, in the order of bytes.
pub const EXCLUDES: &[&str] = &[
    "/usr/share/doc/*",
    "/usr/share/doc/kde/HTML/*/*",
    "/usr/share/gnome/help/*/*",
    "/usr/share/info/*",
    "/usr/share/linda/*",
    "/usr/share/lintian/overrides/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/usr/share/omf/*/*-*.emf",
];

/// What stays all the same, in the order of bytes.
pub const INCLUDES: &[&str] = &[
    "/usr/share/doc/*/copyright",
    "/usr/share/doc/kde/HTML/C/*",
    "/usr/share/gnome/help/*/C/*",
    "/usr/share/locale/all_languages",
    "/usr/share/locale/currency/*",
    "/usr/share/locale/l10n/*",
    "/usr/share/locale/languages",
    "/usr/share/locale/locale.alias",
    "/usr/share/omf/*/*-C.emf",
];

/// How wide a comment may be, in bytes.
const WIDTH: usize = 76;

/// Makes the root slim; `folder_mode` is the mode of folders of manual pages that are made again.
pub(super) fn slim(editor: &mut Editor<'_>, facts: &Facts, folder_mode: u32) -> Result<(), FinishError> {
    if !editor.is_directory("etc/dpkg/dpkg.cfg.d") || !facts.dpkg_knows_path_rules() {
        editor.note(&own_path("etc/dpkg/dpkg.cfg.d"), Done::Adjusted, "not slim: its dpkg knows no path rules");
        return Ok(());
    }
    let manuals: Vec<String> = editor
        .list("usr/share/man")
        .iter()
        .filter(|name| matches(b"man[0-9]", name))
        .map(|name| format!("usr/share/man/{}", String::from_utf8_lossy(name)))
        .filter(|path| editor.is_directory(path))
        .collect();
    let owners = Owners::read(editor)?;
    let mut text = String::from(
        "# This is the \"slim\" variant of the Debian base image.\n\
         # Many files which are normally unnecessary in containers are excluded,\n\
         # and this configuration file keeps them that way.\n",
    );
    for pattern in EXCLUDES {
        let comment = owners.comment(pattern);
        text.push_str(&format!("\n# dpkg -S '{pattern}'\n{comment}path-exclude {pattern}\n"));
        if let Some(folder) = pattern.strip_suffix("/*") {
            remove_below(editor, folder);
        }
    }
    text.push('\n');
    for pattern in INCLUDES {
        text.push_str(&format!("path-include {pattern}\n"));
    }
    let reason = "what a slim image leaves out is left out by later installations, too";
    editor.write("etc/dpkg/dpkg.cfg.d/docker", text.as_bytes(), 0o644, reason)?;
    for path in manuals {
        editor.directory(&path, folder_mode, "alternatives of programs link their manual pages here")?;
    }
    Ok(())
}

/// Removes what lies below a folder and is not kept, then what is empty or leads nowhere.
fn remove_below(editor: &mut Editor<'_>, folder: &str) {
    if folder.contains('*') {
        // A folder of this very name: there is none.
        return;
    }
    let Some((folder, id)) = editor.find(folder.trim_start_matches('/')) else { return };
    if !editor.tree.inode(id).entry.is_directory() {
        return;
    }
    let kept = |path: &TreePath| {
        let path = absolute(path);
        INCLUDES.iter().any(|pattern| matches(pattern.as_bytes(), &path))
    };
    let mut gone: Vec<TreePath> = Vec::new();
    for (path, id) in editor.tree.walk_at(&folder) {
        let kind = &editor.tree.inode(id).entry.kind;
        if !matches!(kind, EntryKind::Directory | EntryKind::Symlink(_)) && !kept(&path) {
            gone.push(path);
        }
    }
    let mut count = 0;
    while !gone.is_empty() {
        count += gone.len();
        for path in &gone {
            editor.tree.remove(path);
            if let Some(parent) = path.parent() {
                editor.touch(&parent);
            }
        }
        gone = editor
            .tree
            .walk_at(&folder)
            .filter(|(path, id)| {
                let inode = editor.tree.inode(*id);
                *path != folder
                    && match &inode.entry.kind {
                        EntryKind::Directory => inode.children().is_empty(),
                        EntryKind::File(content) => content.size() == 0,
                        EntryKind::Symlink(_) => !matches!(editor.tree.resolve(path, true), Ok((_, Some(_)))),
                        _ => false,
                    }
            })
            .map(|(path, _)| path)
            .collect();
    }
    if count > 0 {
        editor.note(&folder, Done::Emptied, "documentation and translations are not in a slim image");
    }
}

/// Which packages own which paths, and which paths are diverted: what `dpkg -S` knows.
struct Owners {
    /// Names as dpkg prints them, with the paths of each.
    packages: Vec<(String, Vec<u8>)>,
    /// From, to, and by which package.
    diversions: Vec<(Vec<u8>, Vec<u8>, String)>,
}

impl Owners {
    fn read(editor: &Editor<'_>) -> Result<Self, FinishError> {
        let mut packages = Vec::new();
        for name in editor.list("var/lib/dpkg/info") {
            let Some(package) = name.strip_suffix(b".list") else { continue };
            // dpkg knows no package of such a name: a script may have put the file there.
            let Ok(package) = std::str::from_utf8(package).map(str::to_owned) else { continue };
            let list = editor.read(&format!("var/lib/dpkg/info/{package}.list"))?.unwrap_or_default();
            packages.push((package, list));
        }
        let text = editor.read("var/lib/dpkg/diversions")?.unwrap_or_default();
        let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
        let diversions = lines
            .chunks_exact(3)
            .map(|lines| (lines[0].to_vec(), lines[1].to_vec(), String::from_utf8_lossy(lines[2]).into_owned()))
            .collect();
        Ok(Self { packages, diversions })
    }

    /// What `dpkg -S` says about a pattern, without the paths, as a comment.
    fn comment(&self, pattern: &str) -> String {
        let glob = pattern.as_bytes();
        let mut words = BTreeSet::new();
        for (package, list) in &self.packages {
            // Most lines need no closer look.
            let fixed = &glob[..glob.iter().position(|&byte| byte == b'*').unwrap_or(glob.len())];
            if list.split(|&byte| byte == b'\n').any(|path| path.starts_with(fixed) && matches(glob, path)) {
                words.insert(package.clone());
            }
        }
        for (from, to, by) in &self.diversions {
            if matches(glob, from) || matches(glob, to) {
                let whose = if by == ":" { "local diversion".to_owned() } else { format!("diversion by {by}") };
                words.extend([format!("{whose} from"), format!("{whose} to")]);
            }
        }
        let text = match words.is_empty() {
            true => format!("dpkg-query: no path found matching pattern {pattern}"),
            false => words.into_iter().collect::<Vec<_>>().join(" "),
        };
        folded(&text, WIDTH).iter().map(|line| format!("#  {line}\n")).collect()
    }
}

/// Breaks a line after blanks, as `fold -s` does: the blank stays at the end of its line.
fn folded(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.len() > width {
        let whole = (0..=width).rev().find(|&at| rest.is_char_boundary(at)).unwrap_or(0).max(1);
        let at = rest[..whole].rfind(' ').map_or(whole, |blank| blank + 1);
        let (line, after) = rest.split_at(at);
        lines.push(line.to_owned());
        rest = after;
    }
    lines.push(rest.to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::super::edit::tests::{EPOCH, root, shown};
    use super::super::tests::facts;
    use super::*;

    #[test]
    fn lines_are_folded_after_blanks() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[""]),
            ("ab cd", &["ab cd"]),
            ("ab cde f", &["ab ", "cde f"]),
            ("abcdefgh", &["abcde", "fgh"]),
            ("abcde fg", &["abcde", " fg"]),
            ("abcd efg", &["abcd ", "efg"]),
        ];
        for (text, expected) in cases {
            assert_eq!(folded(text, 5), *expected, "{text:?}");
        }
    }

    #[test]
    fn lists_are_sorted() {
        assert!(EXCLUDES.is_sorted() && INCLUDES.is_sorted());
    }

    #[test]
    fn names_that_no_package_has_are_passed_over() {
        let mut tree = root(&["etc/dpkg/dpkg.cfg.d/", "var/lib/dpkg/info/dpkg.list=/.\n"]);
        // Each of these bytes is three in a text that stands for it, which is then no name of a file any more.
        let odd = [b"var/lib/dpkg/info/".as_slice(), &[0xff; 200], b".list"].concat();
        let empty = bedplate_tree::Entry::file(bedplate_tree::Content::empty(), bedplate_tree::Metadata::default());
        tree.put(&TreePath::parse(&odd).unwrap(), empty).unwrap();
        let contents = bedplate_image::ContentSources::new();
        let owners = Owners::read(&Editor::new(&mut tree, &contents, EPOCH)).unwrap();
        assert_eq!(owners.packages, [("dpkg".to_owned(), b"/.\n".to_vec())]);
    }

    #[test]
    fn a_root_becomes_slim() {
        let mut tree = root(&[
            "etc/dpkg/dpkg.cfg.d/",
            "usr/share/doc/a/copyright=1",
            "usr/share/doc/a/README=2",
            "usr/share/doc/b/README=2",
            "usr/share/doc/c->a",
            "usr/share/doc/d->b",
            "usr/share/doc/e->d",
            "usr/share/doc/f/copyright=",
            "usr/share/locale/de/LC_MESSAGES/a.mo=1",
            "usr/share/locale/locale.alias=1",
            "usr/share/man/man1/a.1=1",
            "usr/share/man/de/man1/a.1=1",
            "usr/share/man/man1x/a.1=1",
            "usr/share/lintian/overrides/a=1",
            "var/lib/dpkg/info/a.list=/.\n/usr/share/doc/a/README\n",
            "var/lib/dpkg/info/lib:amd64.list=/.\n/usr/share/doc/b\n/usr/share/man/man1/a.1\n",
            "var/lib/dpkg/diversions=/usr/share/man/man1/a.1\n/usr/share/man/man1/a.x\ndash\n/x\n/y\n:\n",
        ]);
        let contents = bedplate_image::ContentSources::new();
        slim(&mut Editor::new(&mut tree, &contents, EPOCH), &facts(&[("dpkg", "1.21.22")]), 0o775).unwrap();
        let lines: Vec<String> = shown(&tree).into_iter().filter(|line| !line.starts_with("var")).collect();
        assert_eq!(
            lines[1..],
            [
                "usr/share/doc/a/copyright=1",
                "usr/share/doc/c->a",
                "usr/share/lintian/overrides/",
                "usr/share/locale/locale.alias=1",
                "usr/share/man/man1/",
            ]
        );
        let text = &lines[0];
        assert!(
            text.contains("\n# dpkg -S '/usr/share/doc/*'\n#  a lib:amd64\npath-exclude /usr/share/doc/*\n"),
            "{text}"
        );
        assert!(
            text.contains(
                "'\n#  diversion by dash from diversion by dash to lib:amd64\npath-exclude /usr/share/man/*\n"
            ),
            "{text}"
        );
        assert!(text.contains("#  dpkg-query: no path found matching pattern /usr/share/info/*\n"), "{text}");
        let manual = tree.entry(&own_path("usr/share/man/man1")).unwrap();
        assert_eq!(manual.metadata.mode, 0o775);
    }

    #[test]
    fn an_old_dpkg_is_left_alone() {
        let mut tree = root(&["etc/dpkg/dpkg.cfg.d/", "usr/share/doc/a/README=2"]);
        let contents = bedplate_image::ContentSources::new();
        slim(&mut Editor::new(&mut tree, &contents, EPOCH), &facts(&[("dpkg", "1.14.31")]), 0o755).unwrap();
        assert_eq!(shown(&tree), ["etc/dpkg/dpkg.cfg.d/", "usr/share/doc/a/README=2"]);
    }
}

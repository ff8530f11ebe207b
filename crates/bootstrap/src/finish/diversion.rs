//! Local diversions, as `dpkg-divert --local --rename --add` makes them.

use super::edit::Editor;
use super::{Done, FinishError};

/// Where dpkg keeps diversions: three lines for each, what is diverted, where to, and by whom (`:` for the administrator).
const DIVERSIONS: &str = "var/lib/dpkg/diversions";

/// Diverts `path` (absolute) to `path.distrib` and renames what is there.
///
/// dpkg reads the list back to front and writes the new one first: so the rest is turned around.
pub(super) fn divert(editor: &mut Editor<'_>, path: &str) -> Result<(), FinishError> {
    let old = editor.read(DIVERSIONS)?;
    let known = old.as_deref().unwrap_or_default();
    let lines: Vec<&[u8]> = known.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
    let present: Vec<&[&[u8]]> = lines.chunks_exact(3).collect();
    if present.iter().any(|diversion| diversion[0] == path.as_bytes()) {
        return Ok(());
    }
    let mut text = format!("{path}\n{path}.distrib\n:\n").into_bytes();
    for diversion in present.iter().rev() {
        for line in *diversion {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
    }
    let reason = "dpkg knows that another file stands here";
    if let Some(old) = &old {
        editor.write("var/lib/dpkg/diversions-old", old, 0o644, "dpkg keeps what was before")?;
    }
    editor.write(DIVERSIONS, &text, 0o644, reason)?;
    let relative = path.trim_start_matches('/');
    editor.rename(relative, &format!("{relative}.distrib"), reason)?;
    if let Some((path, _)) = editor.find(relative) {
        editor.note(&path, Done::Adjusted, "a directory cannot be diverted");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::edit::tests::{EPOCH, root, shown};
    use super::*;

    #[test]
    fn the_newest_diversion_comes_first_and_the_others_turn_around() {
        let mut tree =
            root(&["var/lib/dpkg/diversions=/a\n/a.x\np\n/b\n/b.x\nq\n", "sbin->usr/sbin", "usr/sbin/initctl=1"]);
        let contents = bedplate_image::ContentSources::new();
        let mut editor = Editor::new(&mut tree, &contents, EPOCH);
        divert(&mut editor, "/sbin/initctl").unwrap();
        divert(&mut editor, "/sbin/initctl").unwrap();
        assert_eq!(
            shown(&tree),
            [
                "sbin->usr/sbin",
                "usr/sbin/initctl.distrib=1",
                "var/lib/dpkg/diversions=/sbin/initctl\n/sbin/initctl.distrib\n:\n/b\n/b.x\nq\n/a\n/a.x\np\n",
                "var/lib/dpkg/diversions-old=/a\n/a.x\np\n/b\n/b.x\nq\n",
            ]
        );
    }
}

//! `/var/lib/apt/extended_states`: which packages apt may remove once nothing needs them.

use super::edit::Editor;
use super::{Facts, FinishError};

/// The number of buckets of apt's package cache (`APT::Cache-HashTableSize`): it decides the order of the file.
const BUCKETS: u32 = 196_613;

/// Marks every package as installed automatically, but those in `manual`, as `apt-mark auto '.*'` and then
/// `apt-mark manual` do: apt writes packages in the order of its cache, a hash table, and keeps a line for each.
///
/// So `apt-mark showmanual` of the image names what the user asked for and nothing else.
pub(super) fn write(editor: &mut Editor<'_>, facts: &Facts) -> Result<(), FinishError> {
    if facts.packages.is_empty() || !editor.is_directory("var/lib/apt") {
        return Ok(());
    }
    let mut names: Vec<&str> = facts.packages.iter().map(|package| &*package.name).collect();
    names.sort_by_key(|name| (bucket(name), *name));
    names.dedup();
    let mut text = String::new();
    for name in names {
        let automatic = u8::from(!facts.manual.iter().any(|manual| manual == name));
        // apt keeps packages for all architectures under that of the system.
        let architecture = &facts.architecture;
        text.push_str(&format!("Package: {name}\nArchitecture: {architecture}\nAuto-Installed: {automatic}\n\n"));
    }
    let reason = "apt knows what was asked for and what came along";
    editor.write("var/lib/apt/extended_states", text.as_bytes(), 0o644, reason)
}

/// Where apt's cache keeps a package: Bernstein's hash of its name in lower case.
fn bucket(name: &str) -> u32 {
    let add = |hash: u32, byte: u8| hash.wrapping_mul(33).wrapping_add(byte.to_ascii_lowercase().into());
    name.bytes().fold(5381, add) % BUCKETS
}

#[cfg(test)]
mod tests {
    use super::super::edit::tests::{EPOCH, root, shown};
    use super::super::tests::facts;
    use super::*;

    #[test]
    fn packages_stand_in_the_order_of_apts_cache() {
        // The beginning of what apt 2.6.1 wrote.
        let seen = [
            "dpkg",
            "libsmartcols1",
            "libpam-runtime",
            "coreutils",
            "libext2fs2",
            "libffi8",
            "libaudit-common",
            "apt",
            "libnettle8",
            "libacl1",
        ];
        let mut sorted = seen;
        sorted.sort_by_key(|name| bucket(name));
        assert_eq!(sorted, seen);
    }

    #[test]
    fn what_was_asked_for_is_not_automatic() {
        let mut tree = root(&["var/lib/apt/"]);
        let contents = bedplate_image::ContentSources::new();
        let mut facts = facts(&[("apt", "1"), ("curl", "1")]);
        facts.manual = vec!["curl".into()];
        write(&mut Editor::new(&mut tree, &contents, EPOCH), &facts).unwrap();
        let text = shown(&tree).concat();
        assert!(text.contains("Package: apt\nArchitecture: amd64\nAuto-Installed: 1\n\n"), "{text}");
        assert!(text.contains("Package: curl\nArchitecture: amd64\nAuto-Installed: 0\n\n"), "{text}");
    }
}

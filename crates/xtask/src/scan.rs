//! Reads the tree for what lints cannot see: hosts, machine paths, missing `forbid(unsafe_code)`, overlong rooms.

use std::path::{Path, PathBuf};

use crate::process::{Failure, output, root, tool};

/// Hosts of the distribution that may be written here: the built-in archives and pages that docs point to.
///
/// Any other mirror is the user's business and reaches the program as an input. `archive` is no mirror: ended suites are
/// nowhere else. `alioth` stands in a comment of a file that images get byte for byte.
const DEBIAN_HOSTS: &[&str] =
    &["ftp", "security", "archive", "www", "packages", "bugs", "wiki", "manpages", "lists", "salsa", "alioth"];

/// Lines after which a room holds a second noun. Data tables are named in [`LONG`].
const MAX_LINES: usize = 1000;

/// Files that may be longer, each with its reason.
const LONG: &[(&str, &str)] = &[];

/// Goes over every file that git would take and gives the breaks of the house rules.
pub(crate) fn check() -> Result<(), Failure> {
    let mut findings = Vec::new();
    for path in files()? {
        let whole = root().join(&path);
        let Ok(bytes) = std::fs::read(&whole) else { continue }; // deleted but not yet committed
        let Ok(text) = std::str::from_utf8(&bytes) else { continue }; // a fixture
        findings.extend(judge(&path, text, &root().to_string_lossy()));
    }
    if findings.is_empty() { Ok(()) } else { Err(Failure::Findings { what: "house rules do not hold", findings }) }
}

fn files() -> Result<Vec<PathBuf>, Failure> {
    let listing = output(
        "list the files of the tree",
        tool("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root()),
    )?;
    Ok(listing.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect())
}

/// Judges one file; `checkout` is the absolute path that must not be written into it.
fn judge(path: &Path, text: &str, checkout: &str) -> Vec<String> {
    let shown = path.display();
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        // A checkout in a folder like "/src" would match ordinary text.
        if checkout.matches('/').count() > 1 && line.contains(checkout) {
            findings.push(format!("{shown}:{number}: the path of this checkout"));
        }
        for host in debian_hosts(line) {
            if !DEBIAN_HOSTS.contains(&host.as_str()) {
                findings.push(format!("{shown}:{number}: archive host \"{host}.debian.{}\"", "org"));
            }
        }
    }
    let rust = path.extension().is_some_and(|extension| extension == "rs");
    let lines = text.lines().count();
    if rust && lines > MAX_LINES && !LONG.iter().any(|(name, _)| path.ends_with(name)) {
        findings.push(format!("{shown}: {lines} lines; past {MAX_LINES} look for the second noun"));
    }
    let crate_root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
    if rust && crate_root && path.starts_with("crates") && !path.starts_with("crates/sys") {
        let forbids = text.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]");
        if !forbids {
            findings.push(format!("{shown}: no #![forbid(unsafe_code)]"));
        }
    }
    findings
}

/// The labels that stand before the distribution's domain in a line.
fn debian_hosts(line: &str) -> Vec<String> {
    let domain = concat!(".debian", ".org");
    let mut hosts = Vec::new();
    let mut from = 0;
    while let Some(at) = line.get(from..).and_then(|rest| rest.find(domain)) {
        let end = from + at;
        let label: String = line[..end].chars().rev().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        if !label.is_empty() {
            hosts.push(label.chars().rev().collect());
        }
        from = end + domain.len();
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_judged() {
        let mirror = format!("see http://deb.debian.{}/debian", "org");
        let default = format!("see http://ftp.debian.{}/debian", "org");
        // path | text | finding
        let table = [
            ("docs/a.md", mirror.as_str(), Some("docs/a.md:1: archive host")),
            ("docs/a.md", default.as_str(), None),
            ("docs/a.md", "cd /home/me/checkout", Some("docs/a.md:1: the path of this checkout")),
            ("crates/x/src/lib.rs", "//! x", Some("crates/x/src/lib.rs: no #![forbid(unsafe_code)]")),
            ("crates/x/src/lib.rs", "//! x\n#![forbid(unsafe_code)]", None),
            ("crates/sys/src/lib.rs", "//! x", None),
            ("crates/x/src/room.rs", "//! x", None),
        ];
        for (path, text, expected) in table {
            let found = judge(Path::new(path), text, "/home/me/checkout");
            match expected {
                None => assert!(found.is_empty(), "{path}: {found:?}"),
                Some(start) => assert!(found.len() == 1 && found[0].starts_with(start), "{path}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_room_has_a_size() {
        let fits = "//\n".repeat(MAX_LINES);
        assert!(judge(Path::new("crates/x/src/room.rs"), &fits, "/nowhere").is_empty());
        let over = "//\n".repeat(MAX_LINES + 1);
        assert_eq!(judge(Path::new("crates/x/src/room.rs"), &over, "/nowhere").len(), 1);
    }
}

//! What the package manager of the machine that runs the tests is set to.

use std::path::PathBuf;

/// The archive of a suite, without a slash at its end; `None` where the machine's sources do not name the suite.
///
/// Both forms of sources are read, as far as those of the distribution's own machines go.
#[must_use]
pub fn mirror(suite: &str) -> Option<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let folder = std::fs::read_dir("/etc/apt/sources.list.d").ok();
    files.extend(folder.into_iter().flatten().flatten().map(|entry| entry.path()));
    files.iter().filter_map(|path| std::fs::read_to_string(path).ok()).find_map(|text| mirror_in(&text, suite))
}

fn mirror_in(text: &str, suite: &str) -> Option<String> {
    let mut uri = None;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["URIs:", found, ..] => uri = Some(found),
            ["Suites:", ref suites @ ..] if suites.contains(&suite) => return uri.map(trimmed),
            ["deb", found, name, ..] if name == suite => return Some(trimmed(found)),
            _ => {}
        }
    }
    None
}

fn trimmed(uri: &str) -> String {
    uri.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_sources_are_read() {
        let list = "# deb http://one.example/x bookworm main\ndeb http://two.example/y/ bookworm main\n";
        let stanzas = "Types: deb\nURIs: http://one.example/x\nSuites: bookworm-security\n\n\
            URIs: http://two.example/y\nSuites: trixie bookworm\n";
        for text in [list, stanzas] {
            assert_eq!(mirror_in(text, "bookworm").as_deref(), Some("http://two.example/y"));
            assert_eq!(mirror_in(text, "sid"), None);
        }
    }
}

//! The package sources that the image's apt asks.
//!
//! One form is written, the other removed: apt reads both, and would fetch everything twice and warn about it.
//! Spec: sources.list(5), "One-line-style format" and "deb822-style format".

use super::edit::Editor;
use super::{AptSource, Facts, FinishError, SourcesForm};

const LIST: &str = "etc/apt/sources.list";
const REASON: &str = "the image asks its own archives";

/// Writes the sources and removes the other form; nothing happens where there are none or the root has no `/etc/apt`.
pub(super) fn write(editor: &mut Editor<'_>, facts: &Facts, form: SourcesForm) -> Result<(), FinishError> {
    if facts.sources.is_empty() || !editor.is_directory("etc/apt") {
        return Ok(());
    }
    let deb822 = format!("etc/apt/sources.list.d/{}.sources", facts.distribution);
    let (path, text, other) = match form {
        SourcesForm::OneLine => (LIST, one_line(&facts.sources), &*deb822),
        SourcesForm::Deb822 => (&*deb822, stanzas(&facts.sources), LIST),
    };
    editor.directory("etc/apt/sources.list.d", 0o755, REASON)?;
    editor.write(path, text.as_bytes(), 0o644, REASON)?;
    editor.remove(other, "sources stand in one place");
    Ok(())
}

/// Writes `sources.list` as debootstrap does: a line for each archive and suite without any option.
pub(super) fn write_release_line(editor: &mut Editor<'_>, facts: &Facts) -> Result<(), FinishError> {
    let bare = |source: &AptSource| AptSource { signed_by: None, ..source.clone() };
    let sources: Vec<AptSource> = facts.sources.iter().map(bare).collect();
    if sources.is_empty() {
        return Ok(());
    }
    editor.directory("etc/apt", 0o755, REASON)?;
    editor.write(LIST, one_line(&sources).as_bytes(), 0o644, REASON)
}

/// The lines of a `sources.list`. The keyring is named only where it is not one that apt trusts by itself: an apt that
/// reads only this form trusts what lies in `/etc/apt/trusted.gpg.d`.
#[must_use]
pub fn one_line(sources: &[AptSource]) -> String {
    let mut text = String::new();
    for source in sources {
        for suite in &source.suites {
            let mut words = vec!["deb".to_owned()];
            // The text of a keyring has no place in a line: whoever added it puts it into a file.
            let keyring = source.signed_by.as_ref().filter(|keyring| !keyring.contains('\n'));
            let keyring = keyring.map(|keyring| format!("signed-by={}", keyring.replace(' ', ",")));
            let trusted = source.trusted.then(|| "trusted=yes".to_owned());
            let options: Vec<String> = keyring.into_iter().chain(trusted).collect();
            if !options.is_empty() {
                words.push(format!("[{}]", options.join(" ")));
            }
            words.extend([source.uri.clone(), suite.clone()]);
            words.extend(source.components.iter().cloned());
            text.push_str(&words.join(" "));
            text.push('\n');
        }
    }
    text
}

/// The stanzas of a `.sources` file.
#[must_use]
pub fn stanzas(sources: &[AptSource]) -> String {
    let stanza = |source: &AptSource| {
        let mut text = format!("Types: deb\nURIs: {}\nSuites: {}\n", source.uri, source.suites.join(" "));
        // A suite that is a path ends in a slash and has no components.
        if !source.components.is_empty() {
            text.push_str(&format!("Components: {}\n", source.components.join(" ")));
        }
        match source.signed_by.as_deref().map(str::trim_end) {
            Some(key) if key.contains('\n') => {
                text.push_str("Signed-By:\n");
                for line in key.lines() {
                    text.push_str(&format!(" {}\n", if line.trim().is_empty() { "." } else { line }));
                }
            }
            Some(keyring) => text.push_str(&format!("Signed-By: {keyring}\n")),
            None => {}
        }
        if source.trusted {
            text.push_str("Trusted: yes\n");
        }
        text
    };
    sources.iter().map(stanza).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::edit::tests::{EPOCH, root, shown};
    use super::super::tests::facts;
    use super::*;

    fn trixie() -> Vec<AptSource> {
        let source = |uri: &str, suites: &[&str], signed_by: Option<&str>| AptSource {
            uri: uri.into(),
            suites: suites.iter().map(|&suite| suite.into()).collect(),
            components: vec!["main".into()],
            signed_by: signed_by.map(Into::into),
            trusted: false,
        };
        vec![
            source("http://a.example/debian", &["trixie", "trixie-updates"], Some("/usr/share/keyrings/k.pgp")),
            source("http://a.example/security", &["trixie-security"], None),
        ]
    }

    #[test]
    fn both_forms() {
        assert_eq!(
            one_line(&trixie()),
            "deb [signed-by=/usr/share/keyrings/k.pgp] http://a.example/debian trixie main\n\
             deb [signed-by=/usr/share/keyrings/k.pgp] http://a.example/debian trixie-updates main\n\
             deb http://a.example/security trixie-security main\n"
        );
        assert_eq!(
            stanzas(&trixie()),
            "Types: deb\nURIs: http://a.example/debian\nSuites: trixie trixie-updates\nComponents: main\n\
             Signed-By: /usr/share/keyrings/k.pgp\n\n\
             Types: deb\nURIs: http://a.example/security\nSuites: trixie-security\nComponents: main\n"
        );
    }

    #[test]
    fn what_the_user_added_stands_as_it_was_added() {
        let source = |signed_by: &str, trusted| AptSource {
            uri: "http://z.example/repo".into(),
            suites: vec!["./".into()],
            components: vec![],
            signed_by: Some(signed_by.into()).filter(|text: &String| !text.is_empty()),
            trusted,
        };
        let added = [source("/a.gpg /b.gpg", false), source("", true), source("BEGIN\n\nkey\nEND\n", false)];
        assert_eq!(
            one_line(&added),
            "deb [signed-by=/a.gpg,/b.gpg] http://z.example/repo ./\n\
             deb [trusted=yes] http://z.example/repo ./\ndeb http://z.example/repo ./\n"
        );
        let head = "Types: deb\nURIs: http://z.example/repo\nSuites: ./\n";
        assert_eq!(
            stanzas(&added),
            format!(
                "{head}Signed-By: /a.gpg /b.gpg\n\n{head}Trusted: yes\n\n{head}Signed-By:\n BEGIN\n .\n key\n END\n"
            )
        );
    }

    #[test]
    fn one_form_is_written_and_the_other_goes() {
        let cases = [
            (SourcesForm::OneLine, "etc/apt/sources.list="),
            (SourcesForm::Deb822, "etc/apt/sources.list.d/debian.sources="),
        ];
        for (form, expected) in cases {
            let facts = Facts { sources: trixie(), ..facts(&[]) };
            let mut tree = root(&["etc/apt/sources.list=old", "etc/apt/sources.list.d/debian.sources=old"]);
            let contents = bedplate_image::ContentSources::new();
            write(&mut Editor::new(&mut tree, &contents, EPOCH), &facts, form).unwrap();
            let lines: Vec<String> = shown(&tree).into_iter().filter(|line| !line.ends_with('/')).collect();
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].starts_with(expected), "{form:?}: {lines:?}");
        }
    }

    #[test]
    fn a_root_without_apt_gets_no_sources() {
        let mut tree = root(&["etc/"]);
        let contents = bedplate_image::ContentSources::new();
        let facts = Facts { sources: trixie(), ..facts(&[]) };
        write(&mut Editor::new(&mut tree, &contents, EPOCH), &facts, SourcesForm::Deb822).unwrap();
        assert_eq!(shown(&tree), ["etc/"]);
    }
}

//! Indexes as apt keeps them: each in one file whose name is its address.

use bedplate_fetch::Url;

/// The name of the list that came from `path` below a mirror.
pub(super) fn list_name(mirror: &Url, path: &str) -> String {
    let text = mirror.revealed().trim_end_matches('/');
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    format!("{text}_{path}").replace('/', "_")
}

/// Tells whether a list came from `path` below some mirror.
pub(super) fn is_of(name: &str, path: &str) -> bool {
    name.strip_suffix(&path.replace('/', "_")).is_some_and(|mirror| mirror.ends_with('_'))
}

/// Parts a signed document as debootstrap does: the text, without the end of its last line, and the signature.
///
/// Nothing is judged here; `None` for what has not that form.
pub(super) fn part(document: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    const BEGIN: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
    const SIGNATURE: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
    const END: &[u8] = b"-----END PGP SIGNATURE-----";
    let mut lines = document.split(|byte| *byte == b'\n');
    lines.by_ref().find(|line| *line == BEGIN)?;
    lines.by_ref().find(|line| line.is_empty())?;
    let text: Vec<&[u8]> = lines.by_ref().take_while(|line| *line != SIGNATURE).collect();
    let mut signature = [SIGNATURE, b"\n"].concat();
    for line in lines {
        signature.extend_from_slice(line);
        signature.push(b'\n');
        if line == END {
            return Some((text.join(&b'\n'), signature));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_named_by_their_address() {
        let cases = [
            ("http://a.example/debian", "a.example_debian_dists_sid_InRelease"),
            ("http://127.0.0.1:8080/", "127.0.0.1:8080_dists_sid_InRelease"),
            ("file:///srv/debian", "_srv_debian_dists_sid_InRelease"),
        ];
        for (mirror, expected) in cases {
            let name = list_name(&Url::parse(mirror).unwrap(), "dists/sid/InRelease");
            assert_eq!(name, expected);
            assert!(is_of(&name, "dists/sid/InRelease"));
            assert!(!is_of(&name, "dists/id/InRelease") && !is_of(&name, "sid/Release"));
        }
        assert!(!is_of("a_mydists_sid_InRelease", "dists/sid/InRelease"));
    }

    #[test]
    fn documents_are_parted_as_debootstrap_does() {
        let document = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: X\n\nOrigin: a\nSuite: b\n-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n";
        let (text, signature) = part(document).unwrap();
        assert_eq!(text, b"Origin: a\nSuite: b");
        assert_eq!(signature, b"-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n");
        for broken in [&b""[..], b"Origin: a\n", &document[..60], &document[..document.len() - 5]] {
            assert_eq!(part(broken), None);
        }
    }
}

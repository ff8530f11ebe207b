//! The frame of a cleartext message: what is signed, and nothing else.
//!
//! Spec: RFC 9580 section 7. Stricter than it in what no archive writes and attackers like: text in front of or behind the message, a second message, headers other than `Hash`, a line
//! that begins with a dash and is not escaped.

use crate::{
    armour::{self, Lines, SIGNATURE, SIGNED_MESSAGE},
    error::{Malformed, TrustError},
};

/// A cleartext message in its parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cleartext {
    /// The signed text: lines without trailing blanks, each ended by `\n`.
    pub(crate) text: Vec<u8>,
    /// The packets of the signature.
    pub(crate) signature: Vec<u8>,
}

/// The bytes that a signature on a cleartext message covers: `\r\n` between the lines, none behind the last.
pub(crate) fn canonical(text: &[u8]) -> Vec<u8> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    crlf(text)
}

/// Text with `\r\n` for each `\n` that has no `\r`.
pub(crate) fn crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 32);
    let mut last = 0;
    for &byte in text {
        if byte == b'\n' && last != b'\r' {
            out.push(b'\r');
        }
        out.push(byte);
        last = byte;
    }
    out
}

/// Takes a document apart.
pub(crate) fn split(document: &[u8]) -> Result<Cleartext, TrustError> {
    let mut lines = Lines::new(document);
    match lines.next() {
        Some(line) if line == SIGNED_MESSAGE => {}
        Some(_) if armour::has_line(document, SIGNED_MESSAGE) => {
            return Err(malformed(Malformed::TextBefore { line: 1 }));
        }
        _ => return Err(TrustError::NotSigned),
    }
    parts(&mut lines, document.len()).map_err(malformed)
}

fn malformed(problem: Malformed) -> TrustError {
    TrustError::Malformed { problem }
}

fn parts(lines: &mut Lines<'_>, size: usize) -> Result<Cleartext, Malformed> {
    loop {
        let line = lines.next().ok_or(Malformed::Ends { what: "signed text" })?;
        if line.is_empty() {
            break;
        }
        if !line.starts_with(b"Hash: ") {
            return Err(Malformed::Header { line: lines.number(), header: armour::quote(line) });
        }
    }
    let mut text = Vec::with_capacity(size);
    loop {
        let line = lines.next().ok_or(Malformed::Ends { what: "signature" })?;
        let line = match line {
            SIGNATURE => break,
            SIGNED_MESSAGE => return Err(Malformed::SecondMessage { line: lines.number() }),
            // The blank of the escape is gone where the line is nothing but a dash: "- " was trimmed.
            b"-" => b"",
            [b'-', b' ', unescaped @ ..] => unescaped,
            [b'-', ..] => return Err(Malformed::Unescaped { line: lines.number() }),
            other => other,
        };
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    if text == b"\n" {
        // One blank line and no line at all have the same signed bytes, and so the same text.
        text.clear();
    }
    let signature = armour::read_block(lines, b"-----END PGP SIGNATURE-----")?;
    match lines.next_filled() {
        None => Ok(Cleartext { text, signature }),
        Some(line) if line == SIGNED_MESSAGE => Err(Malformed::SecondMessage { line: lines.number() }),
        Some(_) => Err(Malformed::TextBehind { line: lines.number() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: &str = "-----BEGIN PGP SIGNATURE-----\n\nZm9v\n-----END PGP SIGNATURE-----\n";

    fn text(document: &str) -> Result<String, String> {
        match split(document.as_bytes()) {
            Ok(parts) => Ok(String::from_utf8(parts.text).unwrap()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn only_what_is_signed() {
        for (body, expected) in [
            ("", ""),
            ("\n", ""),
            ("\n\n", "\n\n"),
            ("a\n", "a\n"),
            ("a \t \r\n\r\nb\n", "a\n\nb\n"),
            ("- -----BEGIN PGP SIGNATURE-----\n", "-----BEGIN PGP SIGNATURE-----\n"),
            ("- \n- a\n- - b\n", "\na\n- b\n"),
            ("From here\n- From there\n", "From here\nFrom there\n"),
            ("a\rb\n", "a\rb\n"),
        ] {
            let document =
                format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\nHash: SHA512\n\n{body}{END}\n \n");
            assert_eq!(text(&document).as_deref(), Ok(expected), "{body:?}");
            let document = document.replace('\r', "").replace('\n', "\r\n");
            assert_eq!(text(&document), Ok(expected.replace('\r', "")), "{body:?} with CRLF");
        }
    }

    #[test]
    fn nothing_beside_the_message() {
        let begin = "-----BEGIN PGP SIGNED MESSAGE-----";
        for (document, expected) in [
            (String::new(), "not signed: there is no OpenPGP signature in it"),
            ("Suite: sid\n".to_owned(), "not signed: there is no OpenPGP signature in it"),
            (format!("Suite: sid\n{END}"), "not signed: there is no OpenPGP signature in it"),
            (format!(" {begin}\n\na\n{END}"), "not signed: there is no OpenPGP signature in it"),
            (format!("\n{begin}\n\na\n{END}"), "malformed signed document: line 1: text before the signed message"),
            (
                format!("Suite: sid\n{begin}\n\na\n{END}"),
                "malformed signed document: line 1: text before the signed message",
            ),
            (begin.to_owned(), "malformed signed document: the document ends before its signed text"),
            (format!("{begin}\nHash: SHA512\n"), "malformed signed document: the document ends before its signed text"),
            (format!("{begin}\n\nSuite: sid\n"), "malformed signed document: the document ends before its signature"),
            (
                format!("{begin}\nSuite: sid\n\na\n{END}"),
                "malformed signed document: line 2: header \"Suite: sid\" is not allowed here",
            ),
            (
                format!("{begin}\nNotDashEscaped: yes\n\na\n{END}"),
                "malformed signed document: line 2: header \"NotDashEscaped: yes\" is not allowed here",
            ),
            (
                format!("{begin}\n\n-a\n{END}"),
                "malformed signed document: line 3: begins with a dash and is not dash-escaped",
            ),
            (format!("{begin}\n\n{begin}\n\na\n{END}"), "malformed signed document: line 3: a second signed message"),
            (
                format!("{begin}\n\na\n{END}{begin}\n\nb\n{END}"),
                "malformed signed document: line 8: a second signed message",
            ),
            (
                format!("{begin}\n\na\n{END}Suite: sid\n"),
                "malformed signed document: line 8: text behind the end of the signature",
            ),
            (
                format!("{begin}\n\na\n{END}{END}"),
                "malformed signed document: line 8: text behind the end of the signature",
            ),
            (
                format!("{begin}\n\na\n-----BEGIN PGP SIGNATURE-----\n\n"),
                "malformed signed document: the document ends before its line END",
            ),
        ] {
            assert_eq!(text(&document), Err(expected.to_owned()), "{document:?}");
        }
    }

    #[test]
    fn canonical_text_ends_without_a_line_end() {
        for (text, expected) in [("", ""), ("a\n", "a"), ("a\n\n", "a\r\n"), ("a\nb\rc\n", "a\r\nb\rc")] {
            assert_eq!(canonical(text.as_bytes()), expected.as_bytes(), "{text:?}");
        }
        assert_eq!(crlf(b"\na\r\nb\n"), b"\r\na\r\nb\r\n");
    }
}

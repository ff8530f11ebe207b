//! The armour around OpenPGP packets: lines of base64 between two dashed lines.

use crate::error::Malformed;

/// The first line of a cleartext message.
pub(crate) const SIGNED_MESSAGE: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
/// The first line of an armoured signature.
pub(crate) const SIGNATURE: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
/// The first line of armoured certificates.
pub(crate) const PUBLIC_KEYS: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// Characters of a foreign line that an error quotes, at most.
const QUOTED: usize = 60;

/// The lines of a document without their ends, counted from 1.
#[derive(Debug, Clone)]
pub(crate) struct Lines<'a> {
    rest: Option<&'a [u8]>,
    number: usize,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(document: &'a [u8]) -> Lines<'a> {
        Lines { rest: (!document.is_empty()).then_some(document), number: 0 }
    }

    /// The number of the line that was taken last.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// Takes the next line without `\n` and without the blanks before it, which no signature covers.
    pub(crate) fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        self.number += 1;
        let line = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                let (line, tail) = rest.split_at(end);
                self.rest = tail.get(1..).filter(|tail| !tail.is_empty());
                line
            }
            None => {
                self.rest = None;
                rest
            }
        };
        Some(trim_end(line))
    }

    /// Takes the next line that is not blank.
    pub(crate) fn next_filled(&mut self) -> Option<&'a [u8]> {
        loop {
            let line = self.next()?;
            if !line.is_empty() {
                return Some(line);
            }
        }
    }

    pub(crate) fn unexpected(&self, expected: &'static str, line: &[u8]) -> Malformed {
        Malformed::Unexpected { line: self.number, expected, found: quote(line) }
    }
}

/// Cuts blanks at the end: space, tab and carriage return, as GnuPG does before it hashes.
pub(crate) fn trim_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r')).map_or(0, |last| last + 1);
    line.get(..end).unwrap_or_default()
}

/// A foreign line for an error: shortened, without control characters.
pub(crate) fn quote(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.chars().take(QUOTED).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A foreign name for a list: longer than a quoted line, without control characters.
pub(crate) fn quote_long(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    text.chars().take(4 * QUOTED).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Says whether a document has this line anywhere.
pub(crate) fn has_line(document: &[u8], wanted: &[u8]) -> bool {
    let mut lines = Lines::new(document);
    while let Some(line) = lines.next() {
        if line == wanted {
            return true;
        }
    }
    false
}

/// Reads the rest of an armoured block, whose first line was taken, and decodes it; `end` is its last line.
///
/// The checksum is read over: RFC 9580 6.1 forbids to refuse a block for it, and a signature is the better one.
pub(crate) fn read_block(lines: &mut Lines<'_>, end: &'static [u8]) -> Result<Vec<u8>, Malformed> {
    loop {
        let line = lines.next().ok_or(Malformed::Ends { what: "armoured data" })?;
        if line.is_empty() {
            break;
        }
        if !is_header(line) {
            return Err(lines.unexpected("an armour header or a blank line", line));
        }
    }
    let mut decoder = Decoder::default();
    let mut data = Vec::new();
    loop {
        let line = lines.next().ok_or(Malformed::Ends { what: "line END" })?;
        if line == end {
            break;
        }
        if line.starts_with(b"=") {
            let last = lines.next_filled().ok_or(Malformed::Ends { what: "line END" })?;
            if last != end {
                return Err(lines.unexpected("the block's line END", last));
            }
            break;
        }
        if line.starts_with(b"-") {
            return Err(lines.unexpected("the block's line END", line));
        }
        decoder.take(line, &mut data).ok_or(Malformed::Base64 { line: lines.number() })?;
    }
    decoder.finish().ok_or(Malformed::Base64 { line: lines.number() })?;
    Ok(data)
}

/// A header of armour: `Word: anything`.
fn is_header(line: &[u8]) -> bool {
    let colon = line.iter().position(|byte| *byte == b':');
    colon.is_some_and(|at| at > 0 && line.iter().take(at).all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-'))
}

/// Base64 over several lines: four characters at a time, padding at the end only.
#[derive(Debug, Default)]
struct Decoder {
    bits: u32,
    characters: u8,
    padding: u8,
}

impl Decoder {
    fn take(&mut self, line: &[u8], data: &mut Vec<u8>) -> Option<()> {
        for &byte in line {
            if byte == b'=' {
                if self.characters < 2 || self.characters + self.padding >= 4 {
                    return None;
                }
                self.padding += 1;
                continue;
            }
            if self.padding > 0 {
                return None;
            }
            self.bits = self.bits << 6 | value(byte)?;
            self.characters += 1;
            if self.characters == 4 {
                let [_, a, b, c] = self.bits.to_be_bytes();
                data.extend_from_slice(&[a, b, c]);
                self.bits = 0;
                self.characters = 0;
            }
        }
        if self.padding > 0 && self.characters + self.padding == 4 {
            let [_, a, b, _] = (self.bits << (6 * u32::from(self.padding))).to_be_bytes();
            data.push(a);
            if self.characters == 3 {
                data.push(b);
            }
            // Whatever follows now is refused: a character by the padding, more padding by the count.
            self.bits = 0;
            self.characters = 4;
            self.padding = 1;
        }
        Some(())
    }

    fn finish(&self) -> Option<()> {
        matches!((self.characters, self.padding), (0, 0) | (4, 1)).then_some(())
    }
}

fn value(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_their_ends_and_blanks() {
        for (document, expected) in [
            ("", &[][..]),
            ("\n", &[""][..]),
            ("a", &["a"][..]),
            ("a\n", &["a"][..]),
            ("a \t\r\n\r\nb\rc\n\n", &["a", "", "b\rc", ""][..]),
        ] {
            let mut lines = Lines::new(document.as_bytes());
            let mut found = Vec::new();
            while let Some(line) = lines.next() {
                found.push(std::str::from_utf8(line).unwrap());
            }
            assert_eq!(found, expected, "{document:?}");
            assert_eq!(lines.number(), expected.len());
        }
    }

    #[test]
    fn base64_is_strict() {
        for (text, expected) in [
            ("", Some(&b""[..])),
            ("Zm9v", Some(b"foo")),
            ("Zm9v\nYmFy", Some(b"foobar")),
            ("Zm\n9vYg\n==", None), // a line that begins with = is the checksum's
            ("Zm9vYg==", Some(b"foob")),
            ("Zm9vYmE=", Some(b"fooba")),
            ("Zm9vYmE=\n=aaaa", Some(b"fooba")),
            ("Zm9vYmE==", None),
            ("Zm9vYmE=Zm9v", None),
            ("Zm9vYmE=\nZm9v", None),
            ("Zm9vY", None),
            ("Zm9vYm", None),
            ("Zm9v Ym", None),
            ("Zm9*", None),
            ("Z===", None),
            ("Zg===", None),
        ] {
            let document = format!("Version: 1\n\n{text}\n-----END-----\n");
            let found = read_block(&mut Lines::new(document.as_bytes()), b"-----END-----");
            assert_eq!(found.as_deref().ok(), expected, "{text:?} {found:?}");
        }
    }

    #[test]
    fn blocks_are_framed() {
        for (document, expected) in [
            ("", "the document ends before its armoured data"),
            ("Version: x", "the document ends before its armoured data"),
            ("Zm9v\n", "line 1: expected an armour header or a blank line, found \"Zm9v\""),
            ("\nZm9v\n", "the document ends before its line END"),
            ("\nZm9v\n=abcd\nx", "line 4: expected the block's line END, found \"x\""),
            ("\nZm9v\n-----BEGIN", "line 3: expected the block's line END, found \"-----BEGIN\""),
            ("\nZm9\u{7}\n", "line 2: not base64"),
        ] {
            let found = read_block(&mut Lines::new(document.as_bytes()), b"-----END-----").unwrap_err();
            assert_eq!(found.to_string(), expected, "{document:?}");
        }
    }
}

//! PAX extended headers: records of `LENGTH KEY=VALUE\n`.
//!
//! Spec: POSIX.1-2017 pax, "pax Extended Header"; GNU tar manual D.2 for `GNU.sparse.*`; `SCHILY.xattr.*` is star's
//! and `LIBARCHIVE.xattr.*` libarchive's.

use bedplate_tree::{Timestamp, Xattrs};
use thiserror::Error;

use super::error::shown;
use super::limits::{MAX_OWNER, MAX_SPARSE_EXTENTS, MAX_XATTR_NAME, MAX_XATTR_VALUE};
use super::sparse::SparseRecords;

const SCHILY_XATTR: &[u8] = b"SCHILY.xattr.";
const LIBARCHIVE_XATTR: &[u8] = b"LIBARCHIVE.xattr.";

/// Why an extended header is refused. Offsets count from its first record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PaxError {
    /// A record whose length, key or end is wrong.
    #[error("record at byte {offset} {reason}")]
    Malformed {
        /// Where the record begins.
        offset: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A value that its key cannot have.
    #[error("{key} has the value {value:?}, which is {reason}")]
    Value {
        /// The key.
        key: String,
        /// The value, cut.
        value: String,
        /// What it is.
        reason: &'static str,
    },
    /// An extended attribute that Linux could not hold.
    #[error("extended attribute {name:?} has a {part} of {length} bytes, more than the limit of {limit}")]
    Xattr {
        /// The attribute's name, cut.
        name: String,
        /// The name or the value.
        part: &'static str,
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// A key that says something of one entry, in a header for all.
    #[error("{key} stands in a global header, where it would change every entry that follows")]
    Global {
        /// The key.
        key: String,
    },
    /// A sparse map of too many runs.
    #[error("sparse map has more than {limit} runs of data")]
    SparseRuns {
        /// The limit.
        limit: usize,
    },
}

fn refused(key: &[u8], value: &[u8], reason: &'static str) -> PaxError {
    PaxError::Value { key: shown(key), value: shown(value), reason }
}

/// One record and where its value lies.
pub(crate) struct Record<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    /// Where the value begins in the extended header.
    pub(crate) at: usize,
}

/// Takes an extended header apart, strictly: a length that is off by one would let two readers see different entries.
pub(crate) struct Records<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Records<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    fn parse_one(&mut self) -> Result<Record<'a>, &'static str> {
        let rest = &self.bytes[self.offset..];
        let space = rest.iter().take(20).position(|&b| b == b' ').ok_or("has no length")?;
        let length = decimal(&rest[..space]).ok_or("has no length")?;
        let length = usize::try_from(length).map_err(|_| "is longer than its header")?;
        if length > rest.len() {
            return Err("is longer than its header");
        }
        // The shortest record after its length: " k=\n".
        if length < space + 4 {
            return Err("is shorter than its parts");
        }
        let Some((b'\n', body)) = rest[space + 1..length].split_last() else {
            return Err("does not end with a newline");
        };
        let equals = memchr::memchr(b'=', body).ok_or("has no equals sign")?;
        let (key, value) = (&body[..equals], &body[equals + 1..]);
        if key.is_empty() || key.contains(&0) {
            return Err("has an impossible key");
        }
        let at = self.offset + space + 1 + equals + 1;
        self.offset += length;
        Ok(Record { key, value, at })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, PaxError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.bytes.len() {
            return None;
        }
        let offset = self.offset;
        let record = self.parse_one().map_err(|reason| {
            self.offset = self.bytes.len();
            PaxError::Malformed { offset, reason }
        });
        Some(record)
    }
}

/// What extended headers say of the next entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extension {
    pub(crate) path: Option<Box<[u8]>>,
    pub(crate) link_path: Option<Box<[u8]>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) user: Option<Box<[u8]>>,
    pub(crate) group: Option<Box<[u8]>>,
    pub(crate) mtime: Option<Timestamp>,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    pub(crate) xattrs: Xattrs,
    /// Attributes in libarchive's own records; `xattrs` wins.
    pub(crate) more_xattrs: Xattrs,
    pub(crate) sparse: SparseRecords,
    pub(crate) incremental: bool,
    pub(crate) multi_volume: bool,
}

/// Whether a header speaks of one entry or of all that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Entry,
    Global,
}

impl Extension {
    /// Takes over the records of an extended header; the last of equal keys wins, an empty value takes back.
    pub(crate) fn merge(&mut self, bytes: &[u8], scope: Scope) -> Result<(), PaxError> {
        for record in Records::new(bytes) {
            let Record { key, value, .. } = record?;
            let of_one_entry = matches!(key, b"path" | b"linkpath" | b"size")
                || [SCHILY_XATTR, LIBARCHIVE_XATTR, b"GNU.sparse."].iter().any(|prefix| key.starts_with(prefix));
            if scope == Scope::Global && of_one_entry {
                return Err(PaxError::Global { key: shown(key) });
            }
            self.record(key, value)?;
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), PaxError> {
        match key {
            b"path" => self.path = name(key, value)?,
            b"linkpath" => self.link_path = name(key, value)?,
            b"size" => self.size = unless_empty(value, |v| decimal(v).ok_or_else(|| refused(key, v, "no size")))?,
            b"uid" => self.uid = unless_empty(value, |v| owner(key, v))?,
            b"gid" => self.gid = unless_empty(value, |v| owner(key, v))?,
            b"uname" => self.user = unless_empty(value, |v| Ok(v.into()))?,
            b"gname" => self.group = unless_empty(value, |v| Ok(v.into()))?,
            b"mtime" => self.mtime = unless_empty(value, |v| time(v).ok_or_else(|| refused(key, v, "no time")))?,
            b"SCHILY.devmajor" => self.major = unless_empty(value, |v| small(key, v))?,
            b"SCHILY.devminor" => self.minor = unless_empty(value, |v| small(key, v))?,
            b"GNU.dumpdir" => self.incremental = true,
            b"GNU.volume.filename" | b"GNU.volume.size" | b"GNU.volume.offset" => self.multi_volume = true,
            _ => {
                if let Some(xattr) = key.strip_prefix(SCHILY_XATTR) {
                    insert_xattr(&mut self.xattrs, unescape(xattr), value.into())?;
                } else if let Some(xattr) = key.strip_prefix(LIBARCHIVE_XATTR) {
                    let decoded = base64(value).ok_or_else(|| refused(key, value, "not base64"))?;
                    insert_xattr(&mut self.more_xattrs, unescape(xattr), decoded)?;
                } else if let Some(sparse) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse_record(sparse, key, value)?;
                }
                // Everything else says nothing that a root filesystem keeps: atime, ctime, comments, hdrcharset
                // (names are bytes here), ACLs as text, labels.
            }
        }
        Ok(())
    }

    fn sparse_record(&mut self, kind: &[u8], key: &[u8], value: &[u8]) -> Result<(), PaxError> {
        let number = || decimal(value).ok_or_else(|| refused(key, value, "no number"));
        let sparse = &mut self.sparse;
        match kind {
            b"major" => sparse.major = Some(number()?),
            b"minor" => sparse.minor = Some(number()?),
            b"name" => sparse.name = name(key, value)?,
            b"size" | b"realsize" => sparse.real_size = Some(number()?),
            b"numblocks" => sparse.runs = Some(number()?),
            // Version 0.0: pairs of records, in order.
            b"offset" => match sparse.offset.replace(number()?) {
                None => {}
                Some(_) => return Err(refused(key, value, "an offset after an offset")),
            },
            b"numbytes" => {
                let offset = sparse.offset.take().ok_or_else(|| refused(key, value, "a length without an offset"))?;
                sparse.map.get_or_insert_default().push((offset, number()?));
            }
            // Version 0.1: all in one.
            b"map" => {
                let mut map = Vec::new();
                let mut numbers = value.split(|&b| b == b',').map(decimal);
                while let Some(offset) = numbers.next() {
                    let pair = offset.zip(numbers.next().flatten());
                    map.push(pair.ok_or_else(|| refused(key, value, "not a list of pairs"))?);
                }
                sparse.map = Some(map);
            }
            _ => {}
        }
        if sparse.map.as_ref().is_some_and(|map| map.len() > MAX_SPARSE_EXTENTS) {
            return Err(PaxError::SparseRuns { limit: MAX_SPARSE_EXTENTS });
        }
        Ok(())
    }

    /// All extended attributes.
    pub(crate) fn take_xattrs(&mut self) -> Xattrs {
        let mut all = std::mem::take(&mut self.more_xattrs);
        all.append(&mut self.xattrs);
        all
    }
}

fn unless_empty<T>(value: &[u8], parse: impl FnOnce(&[u8]) -> Result<T, PaxError>) -> Result<Option<T>, PaxError> {
    if value.is_empty() { Ok(None) } else { parse(value).map(Some) }
}

fn name(key: &[u8], value: &[u8]) -> Result<Option<Box<[u8]>>, PaxError> {
    unless_empty(value, |value| match value.contains(&0) {
        true => Err(refused(key, value, "a name with a NUL byte")),
        false => Ok(value.into()),
    })
}

fn owner(key: &[u8], value: &[u8]) -> Result<u32, PaxError> {
    let number = small(key, value)?;
    if number > MAX_OWNER { Err(refused(key, value, "no owner: chown would leave it as it is")) } else { Ok(number) }
}

fn small(key: &[u8], value: &[u8]) -> Result<u32, PaxError> {
    let number = decimal(value).ok_or_else(|| refused(key, value, "no number"))?;
    u32::try_from(number).map_err(|_| refused(key, value, "more than 32 bits"))
}

fn insert_xattr(xattrs: &mut Xattrs, name: Box<[u8]>, value: Box<[u8]>) -> Result<(), PaxError> {
    let too_long = |part, length, limit| PaxError::Xattr { name: shown(&name), part, length, limit };
    if name.is_empty() || name.contains(&0) {
        return Err(refused(SCHILY_XATTR, &name, "no name of an attribute"));
    }
    if name.len() > MAX_XATTR_NAME {
        return Err(too_long("name", name.len(), MAX_XATTR_NAME));
    }
    if value.len() > MAX_XATTR_VALUE {
        return Err(too_long("value", value.len(), MAX_XATTR_VALUE));
    }
    xattrs.insert(name, value);
    Ok(())
}

/// Reads digits, and nothing but digits.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|d| *d <= 9)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Reads seconds with an optional sign and fraction. More than nine digits of a fraction are rounded towards the past.
pub(crate) fn time(text: &[u8]) -> Option<Timestamp> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (whole, fraction) = match memchr::memchr(b'.', text) {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &b""[..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    let digits = &fraction[..fraction.len().min(9)];
    let mut nanoseconds = digits.iter().fold(0u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    nanoseconds *= 10u32.pow(9 - digits.len() as u32);
    if !negative {
        return Some(Timestamp { seconds, nanoseconds });
    }
    if fraction[digits.len()..].iter().any(|&digit| digit != b'0') {
        nanoseconds += 1;
    }
    Some(match nanoseconds {
        0 => Timestamp::from_seconds(-seconds),
        ns => Timestamp { seconds: (-seconds).checked_sub(1)?, nanoseconds: 1_000_000_000 - ns },
    })
}

/// Writes a time as [`time`] reads it: no more digits than it needs.
pub(crate) fn time_text(time: Timestamp) -> Vec<u8> {
    let Timestamp { seconds, nanoseconds } = time;
    if nanoseconds == 0 {
        return seconds.to_string().into_bytes();
    }
    let (sign, seconds, nanoseconds) = match seconds {
        // -1.25 is two seconds before the epoch and 0.75 after that.
        ..0 => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds),
        0.. => ("", seconds.unsigned_abs(), nanoseconds),
    };
    let text = format!("{sign}{seconds}.{nanoseconds:09}");
    text.trim_end_matches('0').as_bytes().to_vec()
}

/// `%25` and `%3D` in an attribute's name, as GNU tar writes `%` and `=`, and what else libarchive writes so.
fn unescape(text: &[u8]) -> Box<[u8]> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
        match rest {
            [b'%', high, low, tail @ ..] if digit(*high).is_some() && digit(*low).is_some() => {
                plain.extend(digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low));
                rest = tail;
            }
            _ => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain.into()
}

/// The key of an extended attribute, escaped as GNU tar does.
pub(crate) fn xattr_key(name: &[u8]) -> Vec<u8> {
    let mut key = SCHILY_XATTR.to_vec();
    for &byte in name {
        match byte {
            b'%' => key.extend_from_slice(b"%25"),
            b'=' => key.extend_from_slice(b"%3D"),
            _ => key.push(byte),
        }
    }
    key
}

fn base64(text: &[u8]) -> Option<Box<[u8]>> {
    let text = text.trim_ascii_end();
    let text = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let mut bits = 0u32;
        for &byte in group {
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(digit);
        }
        let length = group.len();
        if length == 1 {
            return None;
        }
        bits <<= 6 * (4 - length);
        bytes.extend_from_slice(&bits.to_be_bytes()[1..length]);
    }
    Some(bytes.into())
}

/// Appends a record, whose length counts itself.
pub(crate) fn put_record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + digits(rest);
    // One digit more may make the number one digit longer.
    length = rest + digits(length);
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// For the fuzzer: all that records can say, of one entry and of all.
pub(crate) fn fuzz(data: &[u8]) {
    for scope in [Scope::Entry, Scope::Global] {
        let mut extension = Extension::default();
        if extension.merge(data, scope).is_ok() {
            let _ = extension.take_xattrs();
            let _ = extension.sparse.place();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Extension, PaxError> {
        let mut extension = Extension::default();
        extension.merge(text.as_bytes(), Scope::Entry).map(|()| extension)
    }

    #[test]
    fn records_are_strict() {
        let good = ["", "6 a=b\n", "5 a=\n", "12 path=a=b\n", "30 mtime=1350244992.023960108\n"];
        for text in good {
            assert!(parse(text).is_ok(), "{text:?}");
        }
        let bad = [
            "6 a=b",
            "7 a=b\n",
            "5 a=b\n",
            " a=b\n",
            "x a=b\n",
            "+6 a=b\n",
            "4 =\n",
            "4 a\n",
            "5 =b\n",
            "0 a=b\n",
            "3 a=b\n",
            "99999999999999999999 a=b\n",
            "18446744073709551615 a=b\n",
            "6 a=b\n\0",
            "8 a\0a=b\n",
            "14 path=ab\0cd\n",
        ];
        for text in bad {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn record_lengths_count_themselves() {
        for length in 0..2000 {
            let mut out = Vec::new();
            put_record(&mut out, b"k", &vec![b'v'; length]);
            let record = Records::new(&out).next().unwrap().unwrap();
            assert_eq!((record.key, record.value.len(), record.at), (&b"k"[..], length, out.len() - length - 1));
            assert!(out.starts_with(format!("{} ", out.len()).as_bytes()));
        }
    }

    #[test]
    fn the_last_record_wins_and_an_empty_one_takes_back() {
        let mut text = Vec::new();
        for (key, value) in [("path", "a"), ("path", "b"), ("uid", "1"), ("uid", ""), ("gid", "4294967294")] {
            put_record(&mut text, key.as_bytes(), value.as_bytes());
        }
        let extension = parse(std::str::from_utf8(&text).unwrap()).unwrap();
        assert_eq!(extension.path.as_deref(), Some(&b"b"[..]));
        assert_eq!((extension.uid, extension.gid), (None, Some(u32::MAX - 1)));
    }

    #[test]
    fn values_are_checked() {
        let cases = [
            ("uid", "0", true),
            ("uid", "4294967295", false),
            ("uid", "-1", false),
            ("uid", "1.5", false),
            ("size", "18446744073709551615", true),
            ("size", "18446744073709551616", false),
            ("size", " 1", false),
            ("mtime", "1e3", false),
            ("mtime", "-", false),
            ("mtime", ".5", false),
            ("GNU.sparse.map", "0,1,2", false),
            ("GNU.sparse.map", "0,1,2,3", true),
            ("GNU.sparse.map", "", false),
            ("GNU.sparse.numbytes", "1", false),
            ("SCHILY.xattr.", "x", false),
            ("SCHILY.xattr.user.a", "", true),
            ("LIBARCHIVE.xattr.user.a", "AQI", true),
            ("LIBARCHIVE.xattr.user.a", "A", false),
            ("LIBARCHIVE.xattr.user.a", "A*==", false),
        ];
        for (key, value, accepted) in cases {
            let mut text = Vec::new();
            put_record(&mut text, key.as_bytes(), value.as_bytes());
            let got = Extension::default().merge(&text, Scope::Entry);
            assert_eq!(got.is_ok(), accepted, "{key}={value}: {got:?}");
        }
    }

    #[test]
    fn attribute_limits_hold_on_both_sides() {
        let merge = |name: usize, value: usize| {
            let mut text = Vec::new();
            put_record(&mut text, &xattr_key(&vec![b'n'; name]), &vec![0; value]);
            Extension::default().merge(&text, Scope::Entry)
        };
        assert!(merge(MAX_XATTR_NAME, MAX_XATTR_VALUE).is_ok());
        assert!(merge(MAX_XATTR_NAME + 1, 0).is_err());
        assert!(merge(1, MAX_XATTR_VALUE + 1).is_err());
    }

    #[test]
    fn sparse_map_limit_holds_on_both_sides() {
        let merge = |pairs: usize| {
            let mut text = Vec::new();
            put_record(&mut text, b"GNU.sparse.map", vec!["1,1"; pairs].join(",").as_bytes());
            Extension::default().merge(&text, Scope::Entry)
        };
        assert!(merge(MAX_SPARSE_EXTENTS).is_ok());
        assert!(merge(MAX_SPARSE_EXTENTS + 1).is_err());
    }

    #[test]
    fn global_headers_may_not_rename() {
        for key in ["path", "linkpath", "size", "GNU.sparse.map", "SCHILY.xattr.user.a", "LIBARCHIVE.xattr.user.a"] {
            let mut text = Vec::new();
            put_record(&mut text, key.as_bytes(), b"1");
            let got = Extension::default().merge(&text, Scope::Global);
            assert!(matches!(got, Err(PaxError::Global { .. })), "{key}: {got:?}");
        }
        assert!(Extension::default().merge(b"12 comment=a\n", Scope::Global).is_err());
        assert!(Extension::default().merge(b"13 comment=a\n", Scope::Global).is_ok());
    }

    #[test]
    fn times() {
        let cases = [
            ("0", 0, 0),
            ("1350244992.023960108", 1_350_244_992, 23_960_108),
            ("1.5", 1, 500_000_000),
            ("1.", 1, 0),
            ("1.0000000009", 1, 0),
            ("-1", -1, 0),
            ("-0.25", -1, 750_000_000),
            ("-1.5", -2, 500_000_000),
            ("-1.0000000001", -2, 999_999_999),
            ("9223372036854775807", i64::MAX, 0),
        ];
        for (text, seconds, nanoseconds) in cases {
            assert_eq!(time(text.as_bytes()), Some(Timestamp { seconds, nanoseconds }), "{text}");
        }
        for text in ["", "a", "1.a", "9223372036854775808", "--1", "1.5.5"] {
            assert_eq!(time(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn attribute_names_go_there_and_back() {
        for name in [&b"user.a"[..], b"user.100%", b"user.a=b", b"user.%3D", b"user.\xff\n"] {
            let mut text = Vec::new();
            put_record(&mut text, &xattr_key(name), b"\0v=\n");
            let mut extension = Extension::default();
            extension.merge(&text, Scope::Entry).unwrap();
            assert_eq!(extension.xattrs.get(name).map(|v| &**v), Some(&b"\0v=\n"[..]), "{name:?}");
        }
    }

    #[test]
    fn base64_decodes() {
        for (text, bytes) in
            [("", &b""[..]), ("AQI", b"\x01\x02"), ("AQI=", b"\x01\x02"), ("AQ==", b"\x01"), ("+/+/", b"\xfb\xff\xbf")]
        {
            assert_eq!(base64(text.as_bytes()).as_deref(), Some(bytes), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn times_go_there_and_back(seconds in proptest::prelude::any::<i64>(), nanoseconds in 0u32..1_000_000_000) {
            let given = Timestamp { seconds, nanoseconds };
            // The most negative number has no absolute value to be written after a sign.
            proptest::prop_assume!(seconds != i64::MIN);
            proptest::prop_assert_eq!(time(&time_text(given)), Some(given));
        }

        #[test]
        fn any_bytes_are_taken_apart_without_a_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = Extension::default().merge(&bytes, Scope::Entry);
        }
    }
}

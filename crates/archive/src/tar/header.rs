//! One header block: where its fields are, and how its numbers are written.

use super::BLOCK;

/// The largest number in an octal field of 12 bytes (size, mtime): 8 GiB - 1.
pub(crate) const MAX_OCTAL_12: u64 = 0o777_7777_7777;

/// The largest number in an octal field of 8 bytes (mode, owners, devices).
pub(crate) const MAX_OCTAL_8: u64 = 0o777_7777;

/// The bytes of an archive's name field; a longer name needs the prefix or an extension.
pub(crate) const NAME_FIELD: usize = 100;

/// The bytes of ustar's prefix field.
pub(crate) const PREFIX_FIELD: usize = 155;

const MAGIC_USTAR: &[u8] = b"ustar\0";
const MAGIC_GNU: &[u8] = b"ustar  \0";

/// Which archiver's rules the fields after the link name follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// 1979: nothing after the link name.
    V7,
    /// POSIX 1988, and PAX since 2001: a prefix for the name.
    Ustar,
    /// Schily's star: a shorter prefix, times behind it.
    Star,
    /// GNU before PAX: no prefix; times and sparse map in its place.
    Gnu,
}

/// A header block of a tar archive.
#[derive(Clone)]
pub(crate) struct Header {
    bytes: [u8; BLOCK],
    pub(crate) dialect: Dialect,
}

/// The sums of a block that does not have the checksum that it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadChecksum {
    pub(crate) stored: String,
    pub(crate) computed: u32,
}

impl Header {
    /// Checks the sum of a block that is not all zeros.
    pub(crate) fn parse(bytes: [u8; BLOCK]) -> Result<Self, BadChecksum> {
        let stored = number(&bytes[148..156]);
        let (unsigned, signed) = sums(&bytes);
        // Some old archivers summed signed bytes.
        if stored != Some(i64::from(unsigned)) && stored != Some(i64::from(signed)) {
            let stored = super::error::shown(trimmed(&bytes[148..156]));
            return Err(BadChecksum { stored, computed: unsigned });
        }
        let dialect = if bytes[257..265] == *MAGIC_GNU {
            Dialect::Gnu
        } else if bytes[257..263] == *MAGIC_USTAR {
            if bytes[508..512] == *b"tar\0" { Dialect::Star } else { Dialect::Ustar }
        } else {
            Dialect::V7
        };
        Ok(Self { bytes, dialect })
    }

    pub(crate) fn flag(&self) -> u8 {
        self.bytes[156]
    }

    /// The name with its prefix, as archived.
    pub(crate) fn name(&self) -> Box<[u8]> {
        let name = text(&self.bytes[..NAME_FIELD]);
        let prefix = match self.dialect {
            Dialect::Ustar => text(&self.bytes[345..345 + PREFIX_FIELD]),
            Dialect::Star => text(&self.bytes[345..345 + 131]),
            Dialect::V7 | Dialect::Gnu => b"",
        };
        match prefix {
            b"" => name.into(),
            prefix => [prefix, b"/", name].concat().into(),
        }
    }

    pub(crate) fn link_name(&self) -> &[u8] {
        text(&self.bytes[157..257])
    }

    pub(crate) fn mode(&self) -> Field<'_> {
        Field { name: "mode", bytes: &self.bytes[100..108] }
    }

    pub(crate) fn uid(&self) -> Field<'_> {
        Field { name: "uid", bytes: &self.bytes[108..116] }
    }

    pub(crate) fn gid(&self) -> Field<'_> {
        Field { name: "gid", bytes: &self.bytes[116..124] }
    }

    pub(crate) fn size(&self) -> Field<'_> {
        Field { name: "size", bytes: &self.bytes[124..136] }
    }

    pub(crate) fn mtime(&self) -> Field<'_> {
        Field { name: "mtime", bytes: &self.bytes[136..148] }
    }

    /// The names of the user and the group; empty where the dialect has none.
    pub(crate) fn owner_names(&self) -> (&[u8], &[u8]) {
        match self.dialect {
            Dialect::V7 => (b"", b""),
            _ => (text(&self.bytes[265..297]), text(&self.bytes[297..329])),
        }
    }

    pub(crate) fn major(&self) -> Field<'_> {
        self.device("major device number", 329)
    }

    pub(crate) fn minor(&self) -> Field<'_> {
        self.device("minor device number", 337)
    }

    fn device(&self, name: &'static str, at: usize) -> Field<'_> {
        match self.dialect {
            Dialect::V7 => Field { name, bytes: b"" },
            _ => Field { name, bytes: &self.bytes[at..at + 8] },
        }
    }

    /// The four pairs of offset and length in a GNU sparse header, the mark that more blocks follow, and the real size.
    pub(crate) fn gnu_sparse(&self) -> (&[u8], bool, Field<'_>) {
        (&self.bytes[386..482], self.bytes[482] != 0, Field { name: "real size", bytes: &self.bytes[483..495] })
    }
}

/// A numeric field with its name for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'a [u8],
}

/// Reads an octal number, or a GNU base-256 one; an empty field is 0. `None` where it is neither, or passes an `i64`.
pub(crate) fn number(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base_256(field),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<i64> {
    let blank = |b: &u8| matches!(b, b' ' | 0);
    let start = field.iter().position(|b| !blank(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    let mut value: i64 = 0;
    for &digit in &digits[..end] {
        if !(b'0'..=b'7').contains(&digit) {
            return None;
        }
        value = value.checked_mul(8)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(value)
}

/// Big-endian two's complement; the first bit is the mark, the second one the sign.
fn base_256(field: &[u8]) -> Option<i64> {
    let negative = field.first()? & 0x40 != 0;
    let invert = if negative { 0xff } else { 0 };
    let mut value: u64 = 0;
    for (index, byte) in field.iter().enumerate() {
        let mut byte = byte ^ invert;
        if index == 0 {
            byte &= 0x7f;
        }
        if value >> 56 != 0 {
            return None;
        }
        value = value << 8 | u64::from(byte);
    }
    let value = i64::try_from(value).ok()?;
    Some(if negative { !value } else { value })
}

/// The bytes before the first NUL.
fn text(field: &[u8]) -> &[u8] {
    &field[..memchr::memchr(0, field).unwrap_or(field.len())]
}

fn trimmed(field: &[u8]) -> &[u8] {
    field.trim_ascii().split(|&b| b == 0).next().unwrap_or(b"")
}

/// The sum of all bytes with the checksum field as spaces: of unsigned and of signed bytes.
fn sums(block: &[u8; BLOCK]) -> (u32, i32) {
    let mut unsigned: u32 = block.iter().map(|&b| u32::from(b)).sum();
    let high = block.iter().filter(|&&b| b >= 0x80).count() as i32;
    let field = &block[148..156];
    unsigned = unsigned - field.iter().map(|&b| u32::from(b)).sum::<u32>() + 8 * u32::from(b' ');
    let high = high - field.iter().filter(|&&b| b >= 0x80).count() as i32;
    (unsigned, unsigned as i32 - 256 * high)
}

/// Writes `value` in octal with leading zeros and a NUL at the end. The value must fit.
pub(crate) fn put_octal(field: &mut [u8], mut value: u64) {
    let Some((last, digits)) = field.split_last_mut() else { return };
    *last = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value & 7) as u8;
        value >>= 3;
    }
    debug_assert_eq!(value, 0, "the caller puts larger numbers into PAX records");
}

/// Writes the checksum of a finished header block, in the form that all archivers use: six digits, NUL, space.
pub(crate) fn put_checksum(block: &mut [u8; BLOCK]) {
    let (sum, _) = sums(block);
    put_octal(&mut block[148..155], u64::from(sum));
    block[155] = b' ';
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_all_notations() {
        let cases: [(&[u8], Option<i64>); 19] = [
            (b"0000644\0", Some(0o644)),
            (b"000644 \0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"00000644", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"", Some(0)),
            (b"644\0junk", Some(0o644)),
            (b"0000648\0", None),
            (b"-000644\0", None),
            (b"0x00644\0", None),
            (b"77777777777\0", Some(MAX_OCTAL_12 as i64)),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\x80\x01\0\0\0\0\0\0\0\0\0\0", None),
            (b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", Some(i64::MIN)),
        ];
        for (field, expected) in cases {
            assert_eq!(number(field), expected, "{field:?}");
        }
    }

    #[test]
    fn octal_goes_there_and_back() {
        for value in [0, 1, 0o644, MAX_OCTAL_8] {
            let mut field = [0xff; 8];
            put_octal(&mut field, value);
            assert_eq!((number(&field), field[7]), (Some(value as i64), 0));
        }
    }

    #[test]
    fn both_checksums_are_taken() {
        let mut block = [0; BLOCK];
        block[..5].copy_from_slice(b"n\xe9\xe8\xe7m");
        put_checksum(&mut block);
        assert!(Header::parse(block).is_ok());
        let (unsigned, signed) = sums(&block);
        assert_eq!(i64::from(unsigned) - i64::from(signed), 3 * 256);
        put_octal(&mut block[148..155], signed as u64);
        assert!(Header::parse(block).is_ok());
        block[0] = b'o';
        assert_eq!(Header::parse(block).err().unwrap().computed, unsigned + 1);
    }
}

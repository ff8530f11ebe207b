//! A tar writer that writes what it is told, right or wrong.

/// Bytes of a header and of what file bodies are padded to.
const BLOCK: usize = 512;

/// Which dialect a header claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Seventh Edition: no magic, no prefix, no devices.
    V7,
    /// POSIX 1003.1-1988.
    Ustar,
    /// GNU's, with numbers in base 256.
    Gnu,
}

/// One header's fields; nothing is checked, cut at the end of a field only.
#[derive(Debug, Clone)]
pub struct Entry<'e> {
    /// Path as it shall stand in the header, at most 100 bytes (others need [`Tar::pax`] or [`Tar::long_name`] before it).
    pub path: &'e [u8],
    /// Type flag: `b'0'` file, `b'1'` hard link, `b'2'` symbolic link, `b'3'`, `b'4'` devices, `b'5'` directory, `b'6'` pipe.
    pub kind: u8,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Seconds since the epoch.
    pub mtime: i64,
    /// Size to claim; `None` claims the length of `data`.
    pub size: Option<u64>,
    /// Target of a link.
    pub link: &'e [u8],
    /// Device number.
    pub device: (u32, u32),
    /// Dialect.
    pub style: Style,
    /// Owner's and group's names.
    pub names: (&'e str, &'e str),
    /// Bytes behind the header, padded to blocks.
    pub data: &'e [u8],
}

impl Default for Entry<'_> {
    fn default() -> Self {
        Entry {
            path: b"file",
            kind: b'0',
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            size: None,
            link: b"",
            device: (0, 0),
            style: Style::Ustar,
            names: ("", ""),
            data: b"",
        }
    }
}

/// An archive in the making.
#[derive(Debug, Clone, Default)]
pub struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    /// An archive without entries.
    #[must_use]
    pub fn new() -> Tar {
        Tar::default()
    }

    /// Adds an entry.
    #[must_use]
    pub fn entry(mut self, entry: &Entry<'_>) -> Tar {
        self.bytes.extend_from_slice(&header(entry));
        self.body(entry.data);
        self
    }

    /// Adds a file of root's.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, data: impl AsRef<[u8]>) -> Tar {
        self.entry(&Entry { path: path.as_bytes(), mode, data: data.as_ref(), ..Entry::default() })
    }

    /// Adds a directory of root's.
    #[must_use]
    pub fn dir(self, path: &str, mode: u32) -> Tar {
        self.entry(&Entry { path: path.as_bytes(), kind: b'5', mode, ..Entry::default() })
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Tar {
        self.entry(&Entry {
            path: path.as_bytes(),
            kind: b'2',
            mode: 0o777,
            link: target.as_bytes(),
            ..Entry::default()
        })
    }

    /// Adds a hard link to an earlier entry.
    #[must_use]
    pub fn hardlink(self, path: &str, target: &str) -> Tar {
        self.entry(&Entry { path: path.as_bytes(), kind: b'1', link: target.as_bytes(), ..Entry::default() })
    }

    /// Adds a device node (`b'3'` characters, `b'4'` blocks).
    #[must_use]
    pub fn device(self, path: &str, kind: u8, device: (u32, u32)) -> Tar {
        self.entry(&Entry { path: path.as_bytes(), kind, device, ..Entry::default() })
    }

    /// Adds PAX records for the next entry.
    #[must_use]
    pub fn pax(self, records: &[(&str, &[u8])]) -> Tar {
        let body = pax_records(records);
        self.entry(&Entry { path: b"PaxHeaders/x", kind: b'x', data: &body, ..Entry::default() })
    }

    /// Adds PAX records for all further entries.
    #[must_use]
    pub fn global_pax(self, records: &[(&str, &[u8])]) -> Tar {
        let body = pax_records(records);
        self.entry(&Entry { path: b"pax_global_header", kind: b'g', data: &body, ..Entry::default() })
    }

    /// Adds GNU's long path (`b'L'`) or long link target (`b'K'`) for the next entry.
    #[must_use]
    pub fn long_name(self, kind: u8, name: &str) -> Tar {
        let body = [name.as_bytes(), b"\0"].concat();
        self.entry(&Entry { path: b"././@LongLink", kind, style: Style::Gnu, data: &body, ..Entry::default() })
    }

    /// Adds any bytes.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Tar {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Adds the header only, its body being someone else's concern.
    #[must_use]
    pub fn header_only(mut self, entry: &Entry<'_>) -> Tar {
        self.bytes.extend_from_slice(&header(entry));
        self
    }

    /// Ends the archive with two blocks of zeros.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 2 * BLOCK]);
        self.bytes
    }

    /// The bytes so far, without an end.
    #[must_use]
    pub fn unfinished(self) -> Vec<u8> {
        self.bytes
    }

    fn body(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
    }
}

/// A field of octal digits, filled with zeros from the left and ended by a NUL.
#[must_use]
pub fn octal(value: u64, width: usize) -> Vec<u8> {
    let digits = width - 1;
    let mut field = format!("{value:0>digits$o}").into_bytes();
    field.truncate(digits);
    field.push(0);
    field
}

/// `length key=value\n`, where the length counts itself.
fn pax_records(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest;
        while length.to_string().len() + rest != length {
            length = length.to_string().len() + rest;
        }
        body.extend(format!("{length} {key}=").into_bytes());
        body.extend_from_slice(value);
        body.push(b'\n');
    }
    body
}

/// A number in a field: octal, or GNU's base 256 where it does not fit.
fn number(value: i128, width: usize, style: Style) -> Vec<u8> {
    let most = 1_i128 << (3 * (width - 1));
    if (0..most).contains(&value) || style != Style::Gnu {
        return octal(u64::try_from(value.max(0)).unwrap_or(u64::MAX), width);
    }
    let mut field = value.to_be_bytes()[16 - width.min(16)..].to_vec();
    field[0] = if value < 0 { 0xff } else { 0x80 };
    field
}

fn header(entry: &Entry<'_>) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, width: usize, bytes: &[u8]| {
        let length = bytes.len().min(width);
        block[at..at + length].copy_from_slice(&bytes[..length]);
    };
    let style = entry.style;
    put(0, 100, entry.path);
    put(100, 8, &octal(u64::from(entry.mode), 8));
    put(108, 8, &number(i128::from(entry.uid), 8, style));
    put(116, 8, &number(i128::from(entry.gid), 8, style));
    put(124, 12, &number(i128::from(entry.size.unwrap_or(entry.data.len() as u64)), 12, style));
    put(136, 12, &number(i128::from(entry.mtime), 12, style));
    put(148, 8, b"        ");
    put(156, 1, &[entry.kind]);
    put(157, 100, entry.link);
    match style {
        Style::V7 => {}
        Style::Ustar => put(257, 8, b"ustar\x0000"),
        Style::Gnu => put(257, 8, b"ustar  \0"),
    }
    if style != Style::V7 {
        put(265, 32, entry.names.0.as_bytes());
        put(297, 32, entry.names.1.as_bytes());
        put(329, 8, &octal(u64::from(entry.device.0), 8));
        put(337, 8, &octal(u64::from(entry.device.1), 8));
    }
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..154].copy_from_slice(&octal(sum, 7)[..6]);
    block[154..156].copy_from_slice(b"\0 ");
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn gnu_tar_reads_what_is_written() {
        let Some(tar) = crate::oracle::find("tar") else {
            crate::skip::note("testkit::gnu_tar_reads_what_is_written", "no tar");
            return;
        };
        let archive = Tar::new()
            .dir("d/", 0o755)
            .file("d/f", 0o600, "text")
            .symlink("d/s", "f")
            .hardlink("d/h", "d/f")
            .device("d/null", b'3', (1, 3))
            .pax(&[("path", "d/ä".as_bytes()), ("mtime", b"1.5")])
            .file("short", 0o644, vec![b'x'; 600])
            .long_name(b'L', &"n".repeat(150))
            .entry(&Entry { path: b"cut", uid: 3_000_000_000, style: Style::Gnu, ..Entry::default() })
            .finish();
        let mut child = Command::new(tar)
            .args(["--numeric-owner", "--quoting-style=literal", "-tvf", "-"])
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&archive).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let listing = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<String> =
            listing.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "drwxr-xr-x 0/0 0 1970-01-01 00:00 d/".to_owned(),
                "-rw------- 0/0 4 1970-01-01 00:00 d/f".to_owned(),
                "lrwxrwxrwx 0/0 0 1970-01-01 00:00 d/s -> f".to_owned(),
                "hrw-r--r-- 0/0 0 1970-01-01 00:00 d/h link to d/f".to_owned(),
                "crw-r--r-- 0/0 1,3 1970-01-01 00:00 d/null".to_owned(),
                "-rw-r--r-- 0/0 600 1970-01-01 00:00 d/ä".to_owned(),
                format!("-rw-r--r-- 3000000000/0 0 1970-01-01 00:00 {}", "n".repeat(150)),
            ]
        );
    }
}

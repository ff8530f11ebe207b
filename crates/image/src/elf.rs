//! What a program file is: by its first bytes, and for ELF by its headers.
//!
//! Spec: System V ABI, "Object Files"; Arm ABI "ELF for the Arm Architecture" and "Addenda" (build attributes).

use bedplate_oci::Platform;
use bedplate_tree::{Content, EntryKind, Tree, TreePath};

use crate::contents::{ContentError, ContentReader, Contents};

/// The bytes at the head of a file that are looked at: a page holds all headers of an ordinary program.
const HEAD: usize = 4096;

/// The longest interpreter path: `PATH_MAX`, as the kernel has it.
const MAX_INTERPRETER: u64 = 4096;

/// The longest first line of a script that the kernel reads, `#!` included. Source: Linux, `BINPRM_BUF_SIZE`.
const MAX_SHEBANG: usize = 256;

/// The most program or section headers that are looked at: real files have some dozens.
const MAX_HEADERS: u16 = 512;

/// The largest build attributes that are looked at; real ones have some dozens of bytes.
const MAX_ATTRIBUTES: u64 = 4096;

/// How many files are opened in search of one that tells the platform.
const MAX_CANDIDATES: usize = 64;

/// What a file is, as far as running it is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A program or library in ELF.
    Elf(Elf),
    /// A script with a `#!` line.
    Script {
        /// The interpreter, as written.
        interpreter: Vec<u8>,
        /// The one argument that the line may hold, as written.
        argument: Option<Vec<u8>>,
    },
    /// A program of macOS.
    MachO,
    /// A program of Windows.
    Pe,
    /// Nothing that is known to run.
    Other,
}

/// What the headers of an ELF file say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// Whether addresses have 64 bits.
    pub is_64_bit: bool,
    /// Whether numbers are big-endian.
    pub is_big_endian: bool,
    /// `e_machine`.
    pub machine: u16,
    /// `EI_OSABI`.
    pub os_abi: u8,
    /// `e_flags`.
    pub flags: u32,
    /// Where the program's loader is, from `PT_INTERP`; `None` for static programs and most libraries.
    pub interpreter: Option<Vec<u8>>,
    /// The version of the Arm architecture, from the build attributes.
    pub arm_version: Option<u8>,
}

impl Elf {
    /// The platform that it runs on; `None` for one without a name in Go's spelling.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        let os = match self.os_abi {
            0 | 3 => "linux",
            2 => "netbsd",
            6 => "solaris",
            9 => "freebsd",
            12 => "openbsd",
            _ => return None,
        };
        let architecture = match (self.machine, self.is_64_bit, self.is_big_endian) {
            (62, true, false) => "amd64",
            (3, false, false) => "386",
            (183, true, false) => "arm64",
            (40, false, false) => "arm",
            (8, false, true) => "mips",
            (8, false, false) => "mipsle",
            (8, true, true) => "mips64",
            (8, true, false) => "mips64le",
            (20, false, true) => "ppc",
            (21, true, true) => "ppc64",
            (21, true, false) => "ppc64le",
            (22, true, true) => "s390x",
            (243, true, false) => "riscv64",
            (258, true, false) => "loong64",
            _ => return None,
        };
        let platform = Platform::new(os, architecture);
        Some(match architecture {
            "arm" => platform.with_variant(self.arm_variant()),
            _ => platform,
        })
    }

    fn arm_variant(&self) -> &'static str {
        // Tag_CPU_arch. Arm "Addenda to, and Errata in, the ABI", 2.5.3.
        match self.arm_version {
            Some(1..=5) => return "v5",
            Some(6..=9 | 11 | 12) => return "v6",
            Some(10 | 13) => return "v7",
            Some(14..) => return "v8",
            Some(0) | None => {}
        }
        // EF_ARM_ABI_FLOAT_SOFT: Debian's armel and its like. Everything else is armhf, whose name is v7.
        const SOFT_FLOAT: u32 = 0x200;
        let soft_loader = self.interpreter.as_deref() == Some(b"/lib/ld-linux.so.3");
        if self.flags & SOFT_FLOAT != 0 || soft_loader { "v6" } else { "v7" }
    }
}

/// Tells what a file is.
///
/// Headers that contradict the file's size end the look at them, not the program: what could be read counts.
///
/// # Errors
/// [`ContentError`] where bytes cannot be read.
pub fn sniff(content: &Content, contents: &dyn Contents) -> Result<Program, ContentError> {
    let mut file = Bytes { reader: contents.open(content)?, size: content.size() };
    let head = file.read(0, HEAD as u64)?;
    sniff_head(&head, &mut file)
}

/// Tells what a file is whose first bytes are these; what lies behind them counts as missing.
#[must_use]
pub fn sniff_bytes(head: &[u8]) -> Program {
    let content = Content::from_bytes(head);
    // Memory is always at hand.
    sniff(&content, &crate::ContentSources::new()).unwrap_or(Program::Other)
}

struct Bytes<'a> {
    reader: ContentReader<'a>,
    size: u64,
}

impl Bytes<'_> {
    /// At most `length` bytes at `offset`; fewer at the end.
    fn read(&mut self, offset: u64, length: u64) -> Result<Vec<u8>, ContentError> {
        let length = length.min(self.size.saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        if !bytes.is_empty() {
            self.reader.seek(offset);
            let count = self.reader.fill(&mut bytes)?;
            bytes.truncate(count);
        }
        Ok(bytes)
    }
}

fn sniff_head(head: &[u8], file: &mut Bytes<'_>) -> Result<Program, ContentError> {
    Ok(match head {
        [0x7f, b'E', b'L', b'F', ..] => match elf(head, file)? {
            Some(elf) => Program::Elf(elf),
            None => Program::Other,
        },
        [b'#', b'!', line @ ..] => script(line),
        // Mach-O of both byte orders and widths; a "fat" one has Java's magic, too, but few architectures.
        [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => Program::MachO,
        [0xca, 0xfe, 0xba, 0xbe | 0xbf, 0, 0, 0, 1..=30, ..] => Program::MachO,
        [b'M', b'Z', ..] => {
            let at = number(head, 0x3c, 4, false).unwrap_or(0);
            match file.read(at, 4)?.as_slice() {
                b"PE\0\0" => Program::Pe,
                _ => Program::Other,
            }
        }
        _ => Program::Other,
    })
}

fn script(line: &[u8]) -> Program {
    let line = &line[..line.len().min(MAX_SHEBANG - 2)];
    let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.trim_ascii();
    let end = line.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(line.len());
    let (interpreter, rest) = line.split_at(end);
    if interpreter.is_empty() {
        return Program::Other;
    }
    let argument = rest.trim_ascii();
    Program::Script { interpreter: interpreter.to_vec(), argument: (!argument.is_empty()).then(|| argument.to_vec()) }
}

/// A number of `width` bytes at `offset`; `None` past the end.
fn number(bytes: &[u8], offset: usize, width: usize, is_big_endian: bool) -> Option<u64> {
    let bytes = bytes.get(offset..offset.checked_add(width)?)?;
    let shift = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    Some(if is_big_endian { bytes.iter().fold(0, shift) } else { bytes.iter().rev().fold(0, shift) })
}

fn elf(head: &[u8], file: &mut Bytes<'_>) -> Result<Option<Elf>, ContentError> {
    let (Some(&class), Some(&order), Some(&os_abi)) = (head.get(4), head.get(5), head.get(7)) else {
        return Ok(None);
    };
    let (is_64_bit, is_big_endian) = match (class, order) {
        (1 | 2, 1 | 2) => (class == 2, order == 2),
        _ => return Ok(None),
    };
    let field = |offset, width| number(head, offset, width, is_big_endian);
    // Where the fields of the two classes are: phoff, shoff, flags, phentsize, phnum, shentsize, shnum.
    let (phoff, shoff, flags, entries) = match is_64_bit {
        true => (field(32, 8), field(40, 8), field(48, 4), 54),
        false => (field(28, 4), field(32, 4), field(36, 4), 42),
    };
    let entry = |at: usize| field(entries + at, 2).and_then(|value| u16::try_from(value).ok());
    let (Some(machine), Some(flags)) = (field(18, 2), flags) else { return Ok(None) };
    let mut found = Elf {
        is_64_bit,
        is_big_endian,
        machine: u16::try_from(machine).unwrap_or(0),
        os_abi,
        flags: u32::try_from(flags).unwrap_or(0),
        interpreter: None,
        arm_version: None,
    };
    if let (Some(offset), Some(size), Some(count)) = (phoff, entry(0), entry(2)) {
        const PT_INTERP: u64 = 3;
        let fields = if is_64_bit { (0, 8, 32, 8) } else { (0, 4, 16, 4) };
        if let Some(bytes) = find_table_entry(file, (offset, size, count), PT_INTERP, fields, MAX_INTERPRETER, &found)?
        {
            let path = bytes.split(|b| *b == 0).next().unwrap_or_default();
            found.interpreter = (!path.is_empty()).then(|| path.to_vec());
        }
    }
    if found.machine == 40
        && let (Some(offset), Some(size), Some(count)) = (shoff, entry(4), entry(6))
    {
        const SHT_ARM_ATTRIBUTES: u64 = 0x7000_0003;
        let fields = if is_64_bit { (4, 24, 32, 8) } else { (4, 16, 20, 4) };
        let table = (offset, size, count);
        if let Some(bytes) = find_table_entry(file, table, SHT_ARM_ATTRIBUTES, fields, MAX_ATTRIBUTES, &found)? {
            found.arm_version = arm_version(&bytes, is_big_endian);
        }
    }
    Ok(Some(found))
}

/// The bytes that the first header of a type points to. `fields` are the places of type, offset and size in a
/// header, and the width of the latter two.
fn find_table_entry(
    file: &mut Bytes<'_>,
    (offset, size, count): (u64, u16, u16),
    wanted: u64,
    fields: (usize, usize, usize, usize),
    most: u64,
    elf: &Elf,
) -> Result<Option<Vec<u8>>, ContentError> {
    let table = file.read(offset, u64::from(size) * u64::from(count.min(MAX_HEADERS)))?;
    for header in table.chunks_exact(usize::from(size.max(1))) {
        let field = |offset, width| number(header, offset, width, elf.is_big_endian);
        let (Some(kind), Some(at), Some(length)) =
            (field(fields.0, 4), field(fields.1, fields.3), field(fields.2, fields.3))
        else {
            return Ok(None);
        };
        if kind == wanted && length <= most {
            return Ok(Some(file.read(at, length)?));
        }
    }
    Ok(None)
}

/// `Tag_CPU_arch` of build attributes.
fn arm_version(bytes: &[u8], is_big_endian: bool) -> Option<u8> {
    const TAG_CPU_ARCH: u64 = 6;
    const TAG_COMPATIBILITY: u64 = 32;
    // 'A', then sections: length, vendor; then subsections: tag, length, attributes.
    let section = bytes.strip_prefix(b"A")?;
    let length = usize::try_from(number(section, 0, 4, is_big_endian)?).ok()?;
    let attributes = section.get(4..length)?.strip_prefix(b"aeabi\0")?;
    let [1, subsection @ ..] = attributes else { return None };
    let length = usize::try_from(number(subsection, 0, 4, is_big_endian)?).ok()?;
    let mut rest = subsection.get(4..length.checked_sub(1)?.min(subsection.len()))?;
    while !rest.is_empty() {
        let tag = uleb(&mut rest)?;
        let is_text = match tag {
            4 | 5 | 67 => true,
            TAG_COMPATIBILITY => {
                uleb(&mut rest)?;
                true
            }
            tag => tag > TAG_COMPATIBILITY && tag % 2 == 1,
        };
        if is_text {
            let end = rest.iter().position(|b| *b == 0)?;
            rest = rest.get(end + 1..)?;
            continue;
        }
        let value = uleb(&mut rest)?;
        if tag == TAG_CPU_ARCH {
            return u8::try_from(value).ok();
        }
    }
    None
}

fn uleb(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The platform of a root filesystem, told by its own shell or C library, else by any program in the usual places.
///
/// Files that cannot be read tell nothing.
#[must_use]
pub fn platform_of(tree: &Tree, contents: &dyn Contents) -> Option<Platform> {
    let mut candidates = 0;
    let mut look = |path: &TreePath| {
        if candidates >= MAX_CANDIDATES {
            return None;
        }
        let (_, id) = tree.resolve(path, true).ok()?;
        let EntryKind::File(content) = &tree.inode(id?).entry.kind else { return None };
        candidates += 1;
        match sniff(content, contents) {
            Ok(Program::Elf(elf)) => elf.platform(),
            _ => None,
        }
    };
    let path = |text: &str| TreePath::parse(text.as_bytes()).ok();
    const SHELLS: [&str; 6] = ["bin/sh", "usr/bin/sh", "bin/bash", "bin/busybox", "usr/bin/busybox", "usr/bin/env"];
    if let Some(platform) = SHELLS.iter().filter_map(|name| path(name)).find_map(|path| look(&path)) {
        return Some(platform);
    }
    // lib/x86_64-linux-gnu/libc.so.6, lib64/libc.so.6, lib/ld-musl-x86_64.so.1
    let is_libc =
        |name: &[u8]| name == b"libc.so.6" || name.starts_with(b"ld-musl-") || name.starts_with(b"libc.musl-");
    const LIBRARIES: [&str; 6] = ["lib", "lib64", "lib32", "usr/lib", "usr/lib64", "usr/lib32"];
    let children = |path: &TreePath| -> Vec<TreePath> {
        let Ok((path, Some(id))) = tree.resolve(path, true) else { return Vec::new() };
        tree.inode(id).children().keys().filter_map(|name| path.join(name).ok()).collect()
    };
    let named_libc = |path: &TreePath| path.file_name().is_some_and(is_libc);
    for directory in LIBRARIES.iter().filter_map(|name| path(name)) {
        for child in children(&directory) {
            let found = match named_libc(&child) {
                true => look(&child),
                false => children(&child).iter().filter(|path| named_libc(path)).find_map(&mut look),
            };
            if found.is_some() {
                return found;
            }
        }
    }
    const PROGRAMS: [&str; 7] = ["bin", "usr/bin", "sbin", "usr/sbin", "usr/local/bin", "app", ""];
    let directories = PROGRAMS.iter().filter_map(|name| path(name));
    directories.flat_map(|directory| children(&directory)).find_map(|path| look(&path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ContentSources;
    use bedplate_tree::{Entry, Metadata};

    fn put(bytes: &mut Vec<u8>, offset: usize, width: usize, value: u64, is_big_endian: bool) {
        bytes.resize(bytes.len().max(offset + width), 0);
        for at in 0..width {
            let shift = if is_big_endian { width - 1 - at } else { at };
            bytes[offset + at] = (value >> (8 * shift)) as u8;
        }
    }

    /// A program of no code: header, one program header, an interpreter, for Arm one section.
    fn program(machine: u16, class: u8, order: u8, flags: u32, interpreter: &str, arm_version: Option<u8>) -> Vec<u8> {
        let wide = class == 2;
        let big = order == 2;
        let mut bytes = vec![0x7f, b'E', b'L', b'F', class, order, 1, 0];
        put(&mut bytes, 18, 2, machine.into(), big);
        let (width, entries) = if wide { (8, 54) } else { (4, 42) };
        put(&mut bytes, if wide { 32 } else { 28 }, width, 100, big);
        put(&mut bytes, if wide { 40 } else { 32 }, width, 200, big);
        put(&mut bytes, if wide { 48 } else { 36 }, 4, flags.into(), big);
        put(&mut bytes, entries, 2, if wide { 56 } else { 32 }, big);
        put(&mut bytes, entries + 2, 2, 1, big);
        put(&mut bytes, entries + 4, 2, if wide { 64 } else { 40 }, big);
        put(&mut bytes, entries + 6, 2, 1, big);
        if !interpreter.is_empty() {
            put(&mut bytes, 100, 4, 3, big);
            put(&mut bytes, 100 + if wide { 8 } else { 4 }, width, 400, big);
            put(&mut bytes, 100 + if wide { 32 } else { 16 }, width, interpreter.len() as u64 + 1, big);
        }
        if let Some(version) = arm_version {
            let attributes = [
                &b"A"[..],
                &[22, 0, 0, 0],
                b"aeabi\0",
                &[1, 12, 0, 0, 0],
                b"\x05A8\0", // Tag_CPU_name
                &[6, version, 0x41],
            ]
            .concat();
            put(&mut bytes, 200 + 4, 4, 0x7000_0003, big);
            put(&mut bytes, 200 + 16, 4, 500, big);
            put(&mut bytes, 200 + 20, 4, attributes.len() as u64, big);
            bytes.resize(500, 0);
            bytes.extend(attributes);
        }
        bytes.resize(bytes.len().max(400 + interpreter.len() + 1), 0);
        bytes[400..400 + interpreter.len()].copy_from_slice(interpreter.as_bytes());
        bytes
    }

    #[test]
    fn programs_tell_their_platform() {
        let cases = [
            (program(62, 2, 1, 0, "", None), "linux/amd64"),
            (program(3, 1, 1, 0, "", None), "linux/386"),
            (program(183, 2, 1, 0, "", None), "linux/arm64"),
            (program(40, 1, 1, 0x0500_0400, "", None), "linux/arm/v7"),
            (program(40, 1, 1, 0x0500_0200, "", None), "linux/arm/v6"),
            (program(40, 1, 1, 0x0500_0000, "/lib/ld-linux.so.3", None), "linux/arm/v6"),
            (program(40, 1, 1, 0x0500_0400, "", Some(10)), "linux/arm/v7"),
            (program(40, 1, 1, 0x0500_0400, "", Some(6)), "linux/arm/v6"),
            (program(40, 1, 1, 0x0500_0200, "", Some(4)), "linux/arm/v5"),
            (program(21, 2, 1, 0, "", None), "linux/ppc64le"),
            (program(21, 2, 2, 0, "", None), "linux/ppc64"),
            (program(22, 2, 2, 0, "", None), "linux/s390x"),
            (program(8, 2, 1, 0, "", None), "linux/mips64le"),
            (program(243, 2, 1, 0, "", None), "linux/riscv64"),
            (program(258, 2, 1, 0, "", None), "linux/loong64"),
        ];
        for (bytes, expected) in cases {
            let Program::Elf(elf) = sniff_bytes(&bytes) else { panic!("{expected}") };
            assert_eq!(elf.platform().unwrap().to_string(), expected);
        }
        let Program::Elf(odd) = sniff_bytes(&program(9999, 2, 1, 0, "", None)) else { panic!() };
        assert_eq!(odd.platform(), None);
    }

    #[test]
    fn files_are_told_apart() {
        let script = |interpreter: &str, argument: Option<&str>| Program::Script {
            interpreter: interpreter.into(),
            argument: argument.map(Into::into),
        };
        let mut pe = b"MZ".to_vec();
        put(&mut pe, 0x3c, 4, 0x80, false);
        pe.resize(0x80, 0);
        pe.extend(b"PE\0\0");
        let cases: Vec<(Vec<u8>, Program)> = vec![
            (b"#!/bin/sh\necho".to_vec(), script("/bin/sh", None)),
            (b"#! /usr/bin/env  python3 -u \n".to_vec(), script("/usr/bin/env", Some("python3 -u"))),
            (b"#!\n".to_vec(), Program::Other),
            (b"#!x".to_vec(), script("x", None)),
            (vec![0xcf, 0xfa, 0xed, 0xfe, 7, 0, 0, 1], Program::MachO),
            (vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2], Program::MachO),
            // A class file of Java: version 52.
            (vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 52], Program::Other),
            (pe, Program::Pe),
            (b"MZ".to_vec(), Program::Other),
            (b"".to_vec(), Program::Other),
            (b"\x7fELF".to_vec(), Program::Other),
            (b"\x7fELF\x09\x01\x01\x00".to_vec(), Program::Other),
        ];
        for (bytes, expected) in cases {
            assert_eq!(sniff_bytes(&bytes), expected, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn the_loader_is_found_wherever_it_lies() {
        let near = program(62, 2, 1, 0, "/lib64/ld-linux-x86-64.so.2", None);
        let mut far = near.clone();
        put(&mut far, 108, 8, 100_000, false);
        far.resize(100_000, 0);
        far.extend(b"/lib64/ld-linux-x86-64.so.2\0");
        let mut beyond = near.clone();
        put(&mut beyond, 108, 8, u64::MAX, false);
        let mut huge = near.clone();
        put(&mut huge, 132, 8, 1 << 40, false);
        for (bytes, expected) in [(near, true), (far, true), (beyond, false), (huge, false)] {
            let Program::Elf(elf) = sniff_bytes(&bytes) else { panic!() };
            assert_eq!(elf.interpreter.as_deref() == Some(b"/lib64/ld-linux-x86-64.so.2"), expected);
        }
    }

    #[test]
    fn a_tree_tells_its_platform() {
        let elf = |machine| program(machine, 2, 1, 0, "", None);
        type Files<'a> = &'a [(&'a str, Vec<u8>)];
        let cases: &[(Files<'_>, Option<&str>)] = &[
            (&[], None),
            (&[("etc/passwd", b"x".to_vec())], None),
            (&[("bin/sh", elf(183)), ("hello", elf(62))], Some("linux/arm64")),
            (&[("usr/bin/dash", elf(62)), ("usr/bin/sh>dash", vec![]), ("bin>usr/bin", vec![])], Some("linux/amd64")),
            (&[("bin/sh", b"#!/x".to_vec()), ("usr/lib/aarch64-linux-gnu/libc.so.6", elf(183))], Some("linux/arm64")),
            (&[("lib/ld-musl-riscv64.so.1", elf(243))], Some("linux/riscv64")),
            (&[("hello", elf(62))], Some("linux/amd64")),
            (&[("bin/sh>/no/where", vec![]), ("sbin/init", elf(62))], Some("linux/amd64")),
        ];
        for (files, expected) in cases {
            let mut tree = Tree::new();
            for (name, bytes) in *files {
                let (name, kind) = match name.split_once('>') {
                    Some((name, target)) => (name, EntryKind::Symlink(target.as_bytes().into())),
                    None => (*name, EntryKind::File(Content::from_bytes(bytes.clone()))),
                };
                let path = TreePath::parse(name.as_bytes()).unwrap();
                tree.put(&path, Entry { kind, metadata: Metadata::default() }).unwrap();
            }
            let found = platform_of(&tree, &ContentSources::new()).map(|platform| platform.to_string());
            assert_eq!(found.as_deref(), *expected, "{:?}", files.iter().map(|file| file.0).collect::<Vec<_>>());
        }
    }

    #[test]
    fn this_very_program_is_read() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let Program::Elf(elf) = sniff_bytes(&own) else { panic!() };
        assert!(elf.platform().unwrap().matches(&Platform::host()));
    }

    #[test]
    fn mutations_do_not_panic() {
        let whole = program(40, 1, 1, 0x0500_0400, "/lib/ld-linux-armhf.so.3", Some(10));
        for length in 0..whole.len() {
            crate::fuzz::elf_sniff(&whole[..length]);
        }
        let mut state = 1u64;
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..4 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let at = (state >> 33) as usize % bytes.len();
                bytes[at] = (state >> 24) as u8;
            }
            crate::fuzz::elf_sniff(&bytes);
        }
    }
}

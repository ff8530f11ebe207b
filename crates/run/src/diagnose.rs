//! Why a command cannot be executed, in words: the kernel's errno says little and misleads often.

use std::fs::File;
use std::io::Read;

use bedplate_sys::Errno;
use bedplate_sys::rooted::{Resolve, Root};

use crate::error::{NOT_EXECUTABLE, NOT_FOUND, Report};

/// Bytes at the start of a program that are looked at: headers and the name of an interpreter.
const LOOKED_AT: usize = 4096;

/// What the first bytes of a file say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A script: interpreter and its argument.
    Script {
        /// The path after `#!`.
        interpreter: String,
        /// The line ends in a carriage return, which becomes part of the name.
        carriage_return: bool,
    },
    /// A Linux program.
    Elf {
        /// What it runs on, in Docker's words where known.
        machine: String,
        /// The dynamic loader it asks for.
        interpreter: Option<String>,
        /// An object file or a core, not a program.
        not_executable: bool,
    },
    /// A program of macOS.
    MachO,
    /// A program of Windows.
    Pe,
    /// Text that no `#!` leads.
    Text,
    /// No bytes at all.
    Empty,
    /// Something else.
    Unknown,
}

/// Reads what the first bytes of a file say. Never fails: damage is [`Program::Unknown`].
pub fn identify(start: &[u8]) -> Program {
    match start {
        [] => Program::Empty,
        [b'#', b'!', rest @ ..] => script(rest),
        [0x7f, b'E', b'L', b'F', ..] => elf(start).unwrap_or(Program::Unknown),
        [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => Program::MachO,
        // A fat binary, as opposed to a Java class, which has a version above 40 in the next field.
        [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, n, ..] if *n < 20 => Program::MachO,
        [b'M', b'Z', ..] => Program::Pe,
        _ if start.iter().all(|b| matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..)) => Program::Text,
        _ => Program::Unknown,
    }
}

fn script(rest: &[u8]) -> Program {
    let line = rest.split(|b| *b == b'\n').next().unwrap_or_default();
    let carriage_return = line.last() == Some(&b'\r');
    let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii();
    let name = line.split(|b| *b == b' ' || *b == b'\t').next().unwrap_or_default();
    Program::Script { interpreter: String::from_utf8_lossy(name).into_owned(), carriage_return }
}

fn elf(b: &[u8]) -> Option<Program> {
    let wide = match b.get(4)? {
        1 => false,
        2 => true,
        _ => return None,
    };
    let little = match b.get(5)? {
        1 => true,
        2 => false,
        _ => return None,
    };
    let number = |at: usize, size: usize| -> Option<u64> {
        let bytes = b.get(at..at.checked_add(size)?)?;
        let fold = |n: u64, b: &u8| n << 8 | u64::from(*b);
        Some(if little { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) })
    };
    let kind = number(16, 2)?;
    let machine = match (number(18, 2)?, little, wide) {
        (62, ..) => "amd64".to_owned(),
        (3, ..) => "386".to_owned(),
        (183, ..) => "arm64".to_owned(),
        (40, ..) => "arm".to_owned(),
        (243, _, true) => "riscv64".to_owned(),
        (21, true, _) => "ppc64le".to_owned(),
        (21, false, _) => "ppc64".to_owned(),
        (22, ..) => "s390x".to_owned(),
        (258, ..) => "loong64".to_owned(),
        (8, true, true) => "mips64le".to_owned(),
        (8, true, false) => "mipsle".to_owned(),
        (n, ..) => format!("ELF machine {n}"),
    };
    let (table, size, count) = if wide {
        (number(32, 8)?, number(54, 2)?, number(56, 2)?)
    } else {
        (number(28, 4)?, number(42, 2)?, number(44, 2)?)
    };
    let mut interpreter = None;
    for i in 0..count {
        let Some(at) = i.checked_mul(size).and_then(|o| o.checked_add(table)) else { break };
        let Ok(at) = usize::try_from(at) else { break };
        const PT_INTERP: u64 = 3;
        if number(at, 4) != Some(PT_INTERP) {
            continue;
        }
        let place = if wide {
            (at.checked_add(8).and_then(|a| number(a, 8)), at.checked_add(32).and_then(|a| number(a, 8)))
        } else {
            (at.checked_add(4).and_then(|a| number(a, 4)), at.checked_add(16).and_then(|a| number(a, 4)))
        };
        if let (Some(offset), Some(length)) = place {
            let name = usize::try_from(offset).ok().zip(usize::try_from(length).ok());
            let name = name.and_then(|(o, l)| b.get(o..o.checked_add(l)?));
            interpreter = name.map(|n| {
                let n = n.split(|b| *b == 0).next().unwrap_or_default();
                String::from_utf8_lossy(n).into_owned()
            });
        }
    }
    const ET_EXEC: u64 = 2;
    const ET_DYN: u64 = 3;
    Some(Program::Elf { machine, interpreter, not_executable: kind != ET_EXEC && kind != ET_DYN })
}

/// Docker's name for the architecture of this machine.
pub fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn runs_here(name: &str) -> bool {
    name == machine() || matches!((machine(), name), ("amd64", "386") | ("arm64", "arm"))
}

/// Explains why `path`, found in the container's root, could not be executed.
///
/// `root` is the root as the process sees it; `path` is absolute or relative to it.
pub(crate) fn explain(root: &Root, path: &str, errno: Errno) -> Report {
    let cause = bedplate_sys::CallError::new(format!("execve({path:?})"), errno);
    let report = |code, text: String| Report::failed(text).because(&cause).code(code);
    let start = match root.open_file(path, Resolve::InRoot) {
        Ok(mut file) => read_start(&mut file),
        Err(e) if e.errno() == Errno::ISDIR => {
            return report(NOT_EXECUTABLE, format!("cannot execute {path:?}: it is a directory"));
        }
        Err(e) if e.is_not_found() => {
            return report(NOT_FOUND, format!("cannot execute {path:?}: no such file in the image"));
        }
        Err(_) => return report(code_of(errno), format!("cannot execute {path:?}")),
    };
    let exists = |p: &str| root.open_path(p, Resolve::InRoot).is_ok();
    match (errno, identify(&start)) {
        (Errno::NOENT, Program::Script { interpreter, carriage_return: true }) => report(
            NOT_FOUND,
            format!("cannot execute {path:?}: its interpreter \"{interpreter}\\r\" is not in the image"),
        )
        .hint("the script has Windows line ends; convert them with sed -i 's/\\r$//'"),
        (Errno::NOENT, Program::Script { interpreter, .. }) => {
            report(NOT_FOUND, format!("cannot execute {path:?}: its interpreter {interpreter:?} is not in the image"))
        }
        (Errno::NOENT, Program::Elf { interpreter: Some(loader), .. }) if !exists(&loader) => report(
            NOT_FOUND,
            format!("cannot execute {path:?}: it is dynamically linked and its loader {loader:?} is not in the image"),
        )
        .hint("link the program statically, or put the loader and its libraries in the image"),
        (_, Program::Elf { machine: found, .. }) if !runs_here(&found) => report(
            NOT_EXECUTABLE,
            format!("cannot execute {path:?}: it is a program for {found}, this machine is {}", machine()),
        ),
        (_, Program::Elf { not_executable: true, .. }) => report(
            NOT_EXECUTABLE,
            format!("cannot execute {path:?}: it is an ELF file but no program (an object file or a core)"),
        ),
        (_, Program::MachO) => report(
            NOT_EXECUTABLE,
            format!("cannot execute {path:?}: it is a program for macOS (Mach-O), a Linux container needs ELF"),
        ),
        (_, Program::Pe) => report(
            NOT_EXECUTABLE,
            format!("cannot execute {path:?}: it is a program for Windows (PE), a Linux container needs ELF"),
        ),
        (Errno::NOEXEC, Program::Text) => {
            report(NOT_EXECUTABLE, format!("cannot execute {path:?}: it is a text file without an interpreter line"))
                .hint("begin it with #!/bin/sh, or run it with sh")
        }
        (Errno::NOEXEC, Program::Empty) => {
            report(NOT_EXECUTABLE, format!("cannot execute {path:?}: the file is empty"))
        }
        (Errno::NOEXEC, _) => {
            report(NOT_EXECUTABLE, format!("cannot execute {path:?}: it is no program that this kernel knows"))
        }
        (Errno::ACCESS | Errno::PERM, _) => {
            report(NOT_EXECUTABLE, format!("cannot execute {path:?}: permission denied"))
                .hint("the file needs an x bit for the container's user (COPY --chmod=0755), on a mount without noexec")
        }
        _ => report(code_of(errno), format!("cannot execute {path:?}")),
    }
}

fn code_of(errno: Errno) -> u8 {
    if matches!(errno, Errno::NOENT | Errno::NOTDIR) { NOT_FOUND } else { NOT_EXECUTABLE }
}

fn read_start(file: &mut File) -> Vec<u8> {
    let mut start = Vec::with_capacity(LOOKED_AT);
    // What cannot be read is not looked at.
    let _ = file.take(LOOKED_AT as u64).read_to_end(&mut start);
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf64(machine: u16, interpreter: Option<&str>) -> Vec<u8> {
        let mut b = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
        b.resize(64, 0);
        b[16] = 2;
        b[18..20].copy_from_slice(&machine.to_le_bytes());
        b[32] = 64;
        b[54] = 56;
        if let Some(name) = interpreter {
            b[56] = 1;
            b.resize(64 + 56, 0);
            b[64] = 3;
            b[64 + 8] = 120;
            b[64 + 32] = name.len() as u8 + 1;
            b.extend(name.bytes());
            b.push(0);
        }
        b
    }

    #[test]
    fn identification() {
        let elf = |machine: &str, interpreter: Option<&str>| Program::Elf {
            machine: machine.into(),
            interpreter: interpreter.map(str::to_owned),
            not_executable: false,
        };
        let script =
            |interpreter: &str, carriage_return| Program::Script { interpreter: interpreter.into(), carriage_return };
        for (bytes, expected) in [
            (b"".to_vec(), Program::Empty),
            (b"#!/bin/sh\nexit".to_vec(), script("/bin/sh", false)),
            (b"#! /usr/bin/env python3\n".to_vec(), script("/usr/bin/env", false)),
            (b"#!/bin/sh\r\n".to_vec(), script("/bin/sh", true)),
            (b"#!".to_vec(), script("", false)),
            (elf64(62, None), elf("amd64", None)),
            (elf64(183, Some("/lib/ld-linux-aarch64.so.1")), elf("arm64", Some("/lib/ld-linux-aarch64.so.1"))),
            (elf64(999, None), elf("ELF machine 999", None)),
            (b"\x7fELF".to_vec(), Program::Unknown),
            (b"\x7fELF\x02\x01".to_vec(), Program::Unknown),
            (b"\xcf\xfa\xed\xfe....".to_vec(), Program::MachO),
            (b"\xca\xfe\xba\xbe\x00\x00\x00\x02".to_vec(), Program::MachO),
            (b"\xca\xfe\xba\xbe\x00\x00\x00\x34".to_vec(), Program::Unknown),
            (b"MZ\x90\x00".to_vec(), Program::Pe),
            (b"echo hello\n".to_vec(), Program::Text),
            (b"\x00\x01\x02".to_vec(), Program::Unknown),
        ] {
            assert_eq!(identify(&bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn damaged_headers_are_harmless() {
        let whole = elf64(62, Some("/lib64/ld-linux-x86-64.so.2"));
        for end in 0..whole.len() {
            identify(&whole[..end]);
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] = 0xff;
            identify(&damaged);
        }
    }
}

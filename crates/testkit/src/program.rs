//! Programs made byte by byte: static ELF files that need no compiler, and files of other systems.

/// An instruction set that programs are assembled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// x86-64, Docker's `amd64`.
    X86_64,
    /// AArch64, Docker's `arm64`.
    Aarch64,
}

impl Machine {
    /// The machine this process runs on.
    ///
    /// # Panics
    /// On any other machine: the project supports two.
    #[must_use]
    pub fn host() -> Machine {
        match std::env::consts::ARCH {
            "x86_64" => Machine::X86_64,
            "aarch64" => Machine::Aarch64,
            other => panic!("no test programs for {other}"),
        }
    }

    /// The other machine, whose programs do not run here.
    #[must_use]
    pub fn foreign() -> Machine {
        match Machine::host() {
            Machine::X86_64 => Machine::Aarch64,
            Machine::Aarch64 => Machine::X86_64,
        }
    }

    /// Docker's name of the architecture.
    #[must_use]
    pub fn docker_name(self) -> &'static str {
        match self {
            Machine::X86_64 => "amd64",
            Machine::Aarch64 => "arm64",
        }
    }

    /// The ELF number of the architecture.
    fn elf_number(self) -> u16 {
        match self {
            Machine::X86_64 => 62,
            Machine::Aarch64 => 183,
        }
    }

    /// Code that writes `message` (which follows the code) to stdout and exits with `status`.
    fn code(self, message: &[u8], status: u8) -> Vec<u8> {
        let length = message.len() as u32;
        let mut code = match self {
            Machine::X86_64 => {
                let mut code = vec![0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0]; // mov eax, 1 (write); mov edi, 1
                code.extend([0x48, 0x8d, 0x35, 19, 0, 0, 0]); // lea rsi, [rip + 19]: the bytes after the code
                code.push(0xba); // mov edx, length
                code.extend(length.to_le_bytes());
                code.extend([0x0f, 0x05]); // syscall
                code.extend([0xb8, 60, 0, 0, 0, 0xbf, status, 0, 0, 0, 0x0f, 0x05]); // exit(status)
                code
            }
            Machine::Aarch64 => {
                let move_wide = |register: u32, value: u32| 0xd280_0000 | (value << 5) | register;
                let words = [
                    move_wide(0, 1),
                    0x1000_0001 | (7 << 5), // adr x1, 28 bytes on: the bytes after the code
                    move_wide(2, length),
                    move_wide(8, 64), // write
                    0xd400_0001,      // svc 0
                    move_wide(0, u32::from(status)),
                    move_wide(8, 93), // exit
                    0xd400_0001,
                ];
                words.iter().flat_map(|word| word.to_le_bytes()).collect()
            }
        };
        code.extend_from_slice(message);
        code
    }
}

/// The text that [`hello`] prints.
pub const GREETING: &str = "Hello from bedplate!\n";

/// A static program that prints [`GREETING`] and exits with 0.
#[must_use]
pub fn hello(machine: Machine) -> Vec<u8> {
    says(machine, GREETING, 0)
}

/// A static program that prints `message` and exits with `status`.
///
/// # Panics
/// If the message is longer than 65,535 bytes.
#[must_use]
pub fn says(machine: Machine, message: &str, status: u8) -> Vec<u8> {
    assert!(message.len() < 65536, "one instruction holds the length");
    elf(machine, &machine.code(message.as_bytes(), status), None)
}

/// A program that asks for a dynamic loader: what a missing interpreter looks like.
#[must_use]
pub fn dynamic(machine: Machine, interpreter: &str) -> Vec<u8> {
    elf(machine, &machine.code(GREETING.as_bytes(), 0), Some(interpreter))
}

/// The beginning of a Mach-O program for 64-bit ARM, as a Mac's compiler makes them.
#[must_use]
pub fn mach_o() -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [0xfeed_facf_u32, 0x0100_000c, 0, 2, 0, 0, 0x0020_0085, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.resize(4096, 0);
    bytes
}

/// The beginning of a PE program for x86-64, as a Windows compiler makes them.
#[must_use]
pub fn pe() -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 0x80;
    bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
    bytes[0x84..0x86].copy_from_slice(&0x8664_u16.to_le_bytes());
    bytes
}

/// An ELF file of one read-and-execute segment, and one for the interpreter's name where there is one.
fn elf(machine: Machine, code: &[u8], interpreter: Option<&str>) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADER: u64 = 64;
    const SEGMENT: u64 = 56;
    let segments: u64 = if interpreter.is_some() { 2 } else { 1 };
    let code_at = HEADER + SEGMENT * segments;
    let name_at = code_at + code.len() as u64;
    let name: Vec<u8> = interpreter.map(|name| [name.as_bytes(), b"\0"].concat()).unwrap_or_default();
    let size = name_at + name.len() as u64;

    let mut bytes = Vec::new();
    bytes.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(2_u16.to_le_bytes()); // ET_EXEC
    bytes.extend(machine.elf_number().to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend((BASE + code_at).to_le_bytes()); // entry
    bytes.extend(HEADER.to_le_bytes()); // program headers
    bytes.extend(0_u64.to_le_bytes()); // no sections
    bytes.extend(0_u32.to_le_bytes());
    for half in [HEADER as u16, SEGMENT as u16, segments as u16, 64, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    let mut segment = |kind: u32, flags: u32, at: u64, length: u64, align: u64| {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        for word in [at, BASE + at, BASE + at, length, length, align] {
            bytes.extend(word.to_le_bytes());
        }
    };
    if interpreter.is_some() {
        segment(3, 4, name_at, name.len() as u64, 1); // PT_INTERP, read
    }
    segment(1, 5, 0, size, 0x1000); // PT_LOAD, read and execute
    bytes.extend_from_slice(code);
    bytes.extend_from_slice(&name);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    fn run(bytes: &[u8]) -> std::io::Result<(Option<i32>, String)> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("program");
        std::fs::write(&path, bytes)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        let output = Command::new(&path).output()?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    #[test]
    fn programs_run_here() {
        assert_eq!(run(&hello(Machine::host())).unwrap(), (Some(0), GREETING.to_owned()));
        assert_eq!(run(&says(Machine::host(), "x", 42)).unwrap(), (Some(42), "x".to_owned()));
    }

    #[test]
    fn a_missing_interpreter_is_enoent() {
        let error = run(&dynamic(Machine::host(), "/lib/absent.so.1")).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }

    #[test]
    fn files_of_other_systems_do_not_run() {
        assert_eq!(run(&pe()).unwrap_err().raw_os_error(), Some(8), "ENOEXEC");
        assert_eq!(run(&mach_o()).unwrap_err().raw_os_error(), Some(8), "ENOEXEC");
    }
}

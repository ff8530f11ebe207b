//! Entry points for fuzzing.

use crate::elf::{Program, sniff_bytes};

/// Headers of programs: no panic, and a platform only for ELF.
pub fn elf_sniff(data: &[u8]) {
    if let Program::Elf(elf) = sniff_bytes(data) {
        let _ = elf.platform();
        assert!(elf.interpreter.is_none_or(|path| !path.contains(&0) && path.len() <= 4096));
    }
}

//! What is measured with: an archive like Debian's minbase, a context of many files, a static program.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use bedplate_testkit::Random;
use bedplate_testkit::program::{self, Machine};

use crate::process::Failure;

/// Entries and bytes of the archive: those of a bookworm minbase.
pub(crate) const ENTRIES: usize = 6_675;
/// See [`ENTRIES`].
pub(crate) const TREE_BYTES: u64 = 121_000_000;

/// One tar block.
const BLOCK: usize = 512;

/// Writes an uncompressed ustar archive of `entries` entries and about `bytes` bytes of files.
///
/// A twentieth are folders and a tenth symbolic links; sizes follow a law of few large and many small files.
/// Contents are half noise and half repeated, so that they compress about as programs do.
/// `program` lies in it as `/hello`, so that something can be run.
pub(crate) fn archive(path: &Path, program: &[u8], entries: usize, bytes: u64) -> Result<(), Failure> {
    let file = File::create(path).map_err(Failure::file("make", path))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    write_archive(&mut out, program, entries, bytes).and_then(|()| out.flush()).map_err(Failure::file("write", path))
}

fn write_archive(out: &mut impl Write, program: &[u8], entries: usize, bytes: u64) -> std::io::Result<()> {
    let mut row = Random::new(7);
    header(out, "./", b'5', 0, "")?;
    let mut padded = program.to_vec();
    padded.resize(program.len().div_ceil(BLOCK) * BLOCK, 0);
    header(out, "./hello", b'0', program.len(), "")?;
    out.write_all(&padded)?;
    let mut folder = String::from("./");
    let mut weights = Vec::with_capacity(entries);
    for _ in 1..entries {
        // 1 / uniform: a heavy tail, cut off so that one file is at most a few megabytes.
        let uniform = (row.below(100_000) + 40) as f64 / 100_000.0;
        weights.push(1.0 / uniform);
    }
    let sum: f64 = weights.iter().enumerate().filter(|(at, _)| is_file(*at)).map(|(_, weight)| weight).sum();
    let mut buffer = Vec::new();
    for (at, weight) in weights.iter().enumerate() {
        if at.is_multiple_of(20) {
            folder = format!("./usr/lib/part-{:04}/", at / 20);
            header(out, &folder, b'5', 0, "")?;
        } else if is_file(at) {
            let size = (weight / sum * bytes as f64) as usize;
            header(out, &format!("{folder}file-{at:05}.bin"), b'0', size, "")?;
            content(&mut row, size, &mut buffer);
            buffer.resize(size.div_ceil(BLOCK) * BLOCK, 0);
            out.write_all(&buffer)?;
        } else {
            header(out, &format!("{folder}link-{at:05}"), b'2', 0, "../../share/target")?;
        }
    }
    out.write_all(&[0; 2 * BLOCK])
}

fn is_file(at: usize) -> bool {
    !at.is_multiple_of(20) && at % 10 != 5
}

fn content(row: &mut Random, size: usize, buffer: &mut Vec<u8>) {
    buffer.clear();
    while buffer.len() < size {
        let word = row.number();
        buffer.extend_from_slice(&word.to_le_bytes());
        buffer.extend_from_slice(b"\x7fELF text");
    }
    buffer.truncate(size);
}

fn header(out: &mut impl Write, name: &str, flag: u8, size: usize, link: &str) -> std::io::Result<()> {
    let mut block = [0u8; BLOCK];
    let mut put = |at: usize, text: &str| {
        if let Some(field) = block.get_mut(at..at + text.len()) {
            field.copy_from_slice(text.as_bytes());
        }
    };
    put(0, name);
    put(100, "0000755\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "14473712400\0");
    put(148, "        ");
    put(157, link);
    put(257, "ustar\x0000");
    block[156] = flag;
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.write_all(&block)
}

/// The program that is run: two system calls, so that nothing is measured but the start.
pub(crate) fn program() -> Vec<u8> {
    program::hello(Machine::host())
}

/// Makes a build context of `files` small files in folders of a hundred, with a Dockerfile that copies them.
pub(crate) fn context(folder: &Path, files: usize) -> Result<(), Failure> {
    let write = |path: &Path, text: &str| std::fs::write(path, text).map_err(Failure::file("write", path));
    for group in 0..files.div_ceil(100) {
        let sub = folder.join(format!("src/module-{group:03}"));
        std::fs::create_dir_all(&sub).map_err(Failure::file("make", &sub))?;
        for at in 0..100.min(files - group * 100) {
            let text = format!("file {at} of module {group}\n").repeat(20 + at);
            write(&sub.join(format!("file-{at:02}.txt")), &text)?;
        }
    }
    write(&folder.join("Dockerfile"), "FROM scratch\nCOPY src /src\n")
}

/// Makes the context of `FROM scratch / ADD hello / CMD`, and a root filesystem with the same program in it.
pub(crate) fn hello(folder: &Path, program: &[u8]) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    let rootfs = folder.join("rootfs");
    std::fs::create_dir_all(&rootfs).map_err(Failure::file("make", &rootfs))?;
    for path in [folder.join("hello"), rootfs.join("hello")] {
        std::fs::write(&path, program).map_err(Failure::file("write", &path))?;
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, executable).map_err(Failure::file("make executable", &path))?;
    }
    let dockerfile = folder.join("Dockerfile");
    let text = "FROM scratch\nADD hello /\nCMD [\"/hello\"]\n";
    std::fs::write(&dockerfile, text).map_err(Failure::file("write", &dockerfile))?;
    let ignored = folder.join(".dockerignore");
    std::fs::write(&ignored, "rootfs\n").map_err(Failure::file("write", &ignored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_of_the_size_that_was_asked_for() {
        let mut made = Vec::new();
        write_archive(&mut made, b"x", 400, 2_000_000).expect("memory can be written");
        assert_eq!(made.len() % BLOCK, 0);
        assert!((1_900_000..2_500_000).contains(&made.len()), "{}", made.len());
        let mut again = Vec::new();
        write_archive(&mut again, b"x", 400, 2_000_000).expect("memory can be written");
        assert_eq!(made, again);
    }
}

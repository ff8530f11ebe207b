//! Files that appear whole under their name or not at all, also over a power cut.
//!
//! ```text
//! tmp/<random>  ── write ── fsync ── rename ──▶  dir/name   ── fsync(dir)
//! ```

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;

use rustix::path::Arg;

use crate::error::{CallError, Errno};
use crate::rooted::Handle;

/// Attempts at a name that nobody else took: 64 random bits collide by a broken source only.
const ATTEMPTS: usize = 8;

/// A file under a name of its own in a temporary directory, removed unless it is persisted.
#[derive(Debug)]
pub struct TempFile {
    dir: Handle,
    name: CString,
    file: File,
    kept: bool,
}

impl TempFile {
    /// Makes an empty file in `dir`, which must be on the file system of its later place.
    ///
    /// The mode is 0644 less the umask.
    ///
    /// # Errors
    /// What `openat(2)` answers.
    pub fn create_in(dir: &Handle) -> Result<Self, CallError> {
        let (name, file) = with_random_name(|name| dir.create_file(name, 0o644))?;
        Ok(Self { dir: dir.clone(), name, file, kept: false })
    }

    /// The open file, for reading and writing.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The open file, for reading and writing.
    pub fn file_mut(&mut self) -> &mut File {
        &mut self.file
    }

    /// The name in the temporary directory.
    pub fn name(&self) -> &std::ffi::CStr {
        &self.name
    }

    /// Waits until the content is on the disk.
    ///
    /// # Errors
    /// What `fsync(2)` answers: write errors that came late.
    pub fn sync(&self) -> Result<(), CallError> {
        rustix::fs::fsync(&self.file).map_err(|e| CallError::new(format!("fsync([{}])", self.file.as_raw_fd()), e))
    }

    /// Syncs the content, gives the file the name `name` in `to` and syncs that directory.
    ///
    /// A file of that name is replaced; at every moment the name leads to the old or the new one.
    ///
    /// # Errors
    /// What `fsync(2)` and `renameat(2)` answer; the temporary file is removed.
    pub fn persist(mut self, to: &Handle, name: impl Arg + Copy) -> Result<(), CallError> {
        self.sync()?;
        self.dir.rename(&*self.name, to, name)?;
        self.kept = true;
        to.sync()
    }

    /// As [`TempFile::persist`], but without waiting for the disk: for caches.
    ///
    /// # Errors
    /// What `renameat(2)` answers.
    pub fn persist_unsynced(mut self, to: &Handle, name: impl Arg + Copy) -> Result<(), CallError> {
        self.dir.rename(&*self.name, to, name)?;
        self.kept = true;
        Ok(())
    }

    /// As [`TempFile::persist`], but leaves an existing file of that name alone.
    ///
    /// # Errors
    /// `EEXIST` where the name is taken; what `fsync(2)` and `renameat2(2)` answer.
    pub fn persist_new(mut self, to: &Handle, name: impl Arg + Copy) -> Result<(), CallError> {
        self.sync()?;
        self.dir.rename_noreplace(&*self.name, to, name)?;
        self.kept = true;
        to.sync()
    }
}

impl Write for TempFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.kept {
            // What is left behind is swept with the temporary directory.
            let _ = self.dir.unlink(&*self.name);
        }
    }
}

/// Writes a small file whole: temporary file in `tmp`, sync, rename into `dir`, sync.
///
/// # Errors
/// What the calls answer; the old file stays as it was then.
pub fn write(tmp: &Handle, dir: &Handle, name: impl Arg + Copy, content: &[u8]) -> Result<(), CallError> {
    let mut temp = TempFile::create_in(tmp)?;
    let shown = format!("write({tmp}, {} bytes)", content.len());
    temp.write_all(content).map_err(|e| CallError::from_io(shown, &e))?;
    temp.persist(dir, name)
}

/// Makes a directory with a random name in `dir` and gives the name and the directory.
///
/// # Errors
/// What `mkdirat(2)` and `openat(2)` answer.
pub fn create_temp_dir(dir: &Handle, mode: u32) -> Result<(CString, Handle), CallError> {
    with_random_name(|name| {
        dir.mkdir(name, mode)?;
        dir.open_dir(name)
    })
}

fn with_random_name<T>(
    mut make: impl FnMut(&std::ffi::CStr) -> Result<T, CallError>,
) -> Result<(CString, T), CallError> {
    let mut attempt = 0;
    loop {
        let name = random_name()?;
        match make(&name) {
            Ok(made) => return Ok((name, made)),
            Err(e) if e.is_exists() && attempt < ATTEMPTS => attempt += 1,
            Err(e) => return Err(e),
        }
    }
}

/// Sixteen hexadecimal digits from the kernel's random source.
fn random_name() -> Result<CString, CallError> {
    let mut bytes = [0_u8; 8];
    random(&mut bytes)?;
    // Digits and letters hold no NUL byte.
    Ok(CString::new(format!("{:016x}", u64::from_le_bytes(bytes))).unwrap_or_default())
}

/// Starts writing a part of a file to the disk without waiting for it, so that a later fsync finds little left to do.
///
/// This promises nothing about the disk. What the file system cannot do is not done.
pub fn start_writeback(file: &File, offset: u64, length: u64) {
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else { return };
    // SAFETY: the call takes an open descriptor and three integers, and touches no memory of ours.
    let _ = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Fills `bytes` from the kernel's random source.
///
/// # Errors
/// What `getrandom(2)` answers.
pub fn random(bytes: &mut [u8]) -> Result<(), CallError> {
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => filled += n,
            Err(Errno::INTR) => {}
            Err(e) => return Err(CallError::new("getrandom()", e)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writeback_is_started_for_whatever_range() {
        let file = tempfile::tempfile().unwrap();
        (&file).write_all(&[1; 8192]).unwrap();
        for (offset, length) in [(0, 8192), (4096, 1), (1 << 40, 1), (u64::MAX, u64::MAX)] {
            start_writeback(&file, offset, length);
        }
        assert_eq!(file.metadata().unwrap().len(), 8192);
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Handle::open(tmp.path()).unwrap();
        dir.mkdir("tmp", 0o700).unwrap();
        let t = dir.open_dir("tmp").unwrap();
        write(&t, &dir, "name", b"one").unwrap();
        write(&t, &dir, "name", b"two").unwrap();
        assert_eq!(std::fs::read(tmp.path().join("name")).unwrap(), b"two");

        let mut dropped = TempFile::create_in(&t).unwrap();
        dropped.write_all(b"half").unwrap();
        assert_eq!(t.entries().unwrap().len(), 1);
        drop(dropped);
        assert_eq!(t.entries().unwrap().len(), 0);

        let taken = TempFile::create_in(&t).unwrap().persist_new(&dir, "name").unwrap_err();
        assert!(taken.is_exists());
        assert_eq!(t.entries().unwrap().len(), 0);
        TempFile::create_in(&t).unwrap().persist_new(&dir, "new").unwrap();
        assert!(dir.stat("new").is_ok());
    }
}

//! Holes in files, and copies that share or skip them. Spec: `lseek(2)`, `copy_file_range(2)`.

use std::fs::File;
use std::os::fd::AsRawFd;

use rustix::fs::SeekFrom;

use crate::error::{CallError, Errno};

/// A run of bytes in a file that holds data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The first byte.
    pub offset: u64,
    /// How many, never 0.
    pub length: u64,
}

/// Lists where a file of `size` bytes holds data; between the extents it reads as zeros.
///
/// A file system that does not tell gives one extent. The file's offset is changed.
///
/// # Errors
/// What `lseek(2)` answers.
pub fn extents(file: &File, size: u64) -> Result<Vec<Extent>, CallError> {
    let fail = |e| CallError::new(format!("lseek([{}], SEEK_DATA)", file.as_raw_fd()), e);
    let mut found = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) if at == 0 => 0,
            Err(e) => return Err(fail(e)),
        };
        if start >= size {
            break;
        }
        let end = match rustix::fs::seek(file, SeekFrom::Hole(start)) {
            Ok(end) => end.min(size),
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NXIO) => size,
            Err(e) => return Err(fail(e)),
        };
        if end <= start {
            break;
        }
        found.push(Extent { offset: start, length: end - start });
        at = end;
    }
    Ok(found)
}

/// Makes `to` share the content of `from` without copying it, where the file system can.
///
/// Gives `false` where it cannot; `to` is unchanged then.
///
/// # Errors
/// What `ioctl(FICLONE)` answers otherwise.
pub fn share(from: &File, to: &File) -> Result<bool, CallError> {
    match rustix::fs::ioctl_ficlone(to, from) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS | Errno::PERM) => Ok(false),
        Err(e) => Err(CallError::new(format!("ioctl([{}], FICLONE, [{}])", to.as_raw_fd(), from.as_raw_fd()), e)),
    }
}

/// Copies `length` bytes at `from_offset` to `to_offset` inside the kernel; neither file's offset moves.
///
/// Gives how many were copied: less at the end of `from`, 0 at once where the kernel cannot copy between
/// these files and the caller must read and write.
///
/// # Errors
/// What `copy_file_range(2)` answers otherwise.
pub fn copy_range(from: &File, from_offset: u64, to: &File, to_offset: u64, length: u64) -> Result<u64, CallError> {
    let mut done = 0;
    while done < length {
        let (mut source, mut target) = (from_offset + done, to_offset + done);
        let step = usize::try_from(length - done).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut source), to, Some(&mut target), step) {
            Ok(0) => break,
            Ok(n) => done += n as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) if done == 0 => {
                break;
            }
            Err(e) => {
                let text = format!("copy_file_range([{}], [{}])", from.as_raw_fd(), to.as_raw_fd());
                return Err(CallError::new(text, e));
            }
        }
    }
    Ok(done)
}

#[cfg(test)]
#[allow(clippy::print_stderr)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    #[test]
    fn extents_skip_holes_and_cover_data() {
        let mut file = tempfile::tempfile().unwrap();
        let size = 4 << 20;
        file.set_len(size).unwrap();
        assert_eq!(extents(&file, 0).unwrap(), []);
        for offset in [0, 1 << 20, 3 << 20] {
            file.seek(std::io::SeekFrom::Start(offset)).unwrap();
            file.write_all(b"data").unwrap();
        }
        let found = extents(&file, size).unwrap();
        let covered = |at| found.iter().any(|e| e.offset <= at && at < e.offset + e.length);
        assert!([0, 1 << 20, 3 << 20].into_iter().all(covered));
        assert!(found.iter().map(|e| e.length).sum::<u64>() <= size);
        assert!(found.windows(2).all(|w| w[0].offset + w[0].length <= w[1].offset));
    }

    #[test]
    fn copies_inside_the_kernel() {
        let mut from = tempfile::tempfile().unwrap();
        from.write_all(&[7; 100_000]).unwrap();
        let to = tempfile::tempfile().unwrap();
        let n = copy_range(&from, 10, &to, 5, 50_000).unwrap();
        if n == 0 {
            eprintln!("skipped: this file system cannot copy in the kernel");
            return;
        }
        assert_eq!((n, to.metadata().unwrap().len()), (50_000, 50_005));
        assert_eq!(copy_range(&from, 99_990, &to, 0, 50).unwrap(), 10);
    }
}

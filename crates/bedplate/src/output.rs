//! Files that a command writes for its user: they appear when they are complete.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use bedplate_sys::durable::TempFile;
use bedplate_sys::rooted::Handle;

use crate::failure::{Failure, Kind};
use crate::interrupt::{HalfMade, guarded};

/// The status of a program that the signal PIPE ended, as shells give it.
const CLOSED_PIPE: u8 = 128 + 13;

/// Bytes written at once.
pub(crate) const BUFFER: usize = 256 * 1024;

/// Tells whether a file can be made at `path`, by a temporary one beside it; a device or a pipe is not looked at.
///
/// # Errors
/// As [`to_file`].
pub(crate) fn check(path: &Path) -> Result<(), Failure> {
    if path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        return Ok(());
    }
    if path.is_dir() {
        return Err(Failure::new(Kind::User, "it is a directory"));
    }
    let (directory, _) = place(path)?;
    Ok(TempFile::create_in(&directory).map(drop)?)
}

/// The directory of a path, and the name in it.
fn place(path: &Path) -> Result<(Handle, &OsStr), Failure> {
    let name = path.file_name().ok_or_else(|| Failure::new(Kind::User, "it names no file"))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((Handle::open(parent)?, name))
}

/// Writes a file by way of a temporary one beside it; a device or a pipe is written as it is.
///
/// # Errors
/// A path that cannot be written, or what `write` says; then there is no file.
pub(crate) fn to_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    if path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        let mut out = BufWriter::with_capacity(BUFFER, File::options().write(true).open(path)?);
        write(&mut out)?;
        return Ok(out.flush()?);
    }
    let (directory, name) = place(path)?;
    let begin = || {
        let file = TempFile::create_in(&directory)?;
        let half_made = path.with_file_name(OsStr::from_bytes(file.name().to_bytes()));
        Ok((HalfMade::File(half_made), file))
    };
    guarded(begin, |mut file| {
        let mut out = BufWriter::with_capacity(BUFFER, file.file_mut());
        write(&mut out)?;
        out.flush()?;
        drop(out);
        Ok(file.persist(&directory, name)?)
    })
}

/// Tells whether a directory is still to be made.
///
/// # Errors
/// One with something in it, or that cannot be read.
pub(crate) fn is_new(path: &Path) -> Result<bool, Failure> {
    match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(false),
        Ok(false) => Err(Failure::new(Kind::User, "it is not empty").hint("name a new directory")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Fills a new or empty directory; where that fails, it is gone or empty again.
///
/// # Errors
/// As [`is_new`], and what `fill` says.
pub(crate) fn filled(path: &Path, fill: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let begin = || {
        let half_made = match is_new(path)? {
            true => HalfMade::Directory(path.to_owned()),
            false => HalfMade::ContentOf(path.to_owned()),
        };
        if matches!(half_made, HalfMade::Directory(_)) {
            fs::create_dir(path)?;
        }
        Ok((half_made.clone(), half_made))
    };
    guarded(begin, |half_made| {
        fill().inspect_err(|_| {
            // What cannot be removed now is named by nobody but the failure that follows.
            let _ = half_made.remove();
        })
    })
}

/// Writes an archive to standard output. A reader that goes away before its end ends the program as the signal would:
/// without a word, and not with success, since half an archive is none.
///
/// # Errors
/// What `write` says.
pub(crate) fn to_stdout(write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
    let written = write(&mut out).and_then(|()| Ok(out.flush()?));
    written.map_err(|failure| match failure.is_broken_pipe() {
        true => Failure::silent(CLOSED_PIPE),
        false => failure,
    })
}

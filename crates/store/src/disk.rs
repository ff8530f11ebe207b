//! Every touch of the disk that the store makes in its own folders.
//!
//! All changes go through here, for three reasons: an error always carries the call and its path; modes
//! never depend on the umask; and a test can record the changes and replay any prefix of them, as a power
//! cut would leave it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bedplate_sys::CallError;

use crate::error::StoreError;

/// Mode of a file that holds no secrets of its own; the folder above decides who gets to it.
pub(crate) const FILE_MODE: u32 = 0o644;

/// Size of the pieces in which bytes are moved; large enough that calls do not show in a profile.
pub(crate) const BUFFER: usize = 256 * 1024;

/// Makes an error of a call on one path.
pub(crate) fn failed(call: &str, path: &Path, error: &io::Error) -> CallError {
    CallError::from_io(format!("{call}({})", show(path)), error)
}

/// Quotes a path for a message.
pub(crate) fn show(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    bedplate_sys::error::quoted(path.as_os_str().as_bytes())
}

/// Makes a directory with exactly this mode; one that exists is left as it is and is no error.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<bool, CallError> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {
            // mkdir(2) subtracts the umask; the store's modes are part of its layout.
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|e| failed("chmod", path, &e))?;
            record::note(|| record::Op::MakeDir(path.to_owned()));
            Ok(true)
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(failed("mkdir", path, &e)),
    }
}

/// Opens a file for reading; `None` where it does not exist.
pub(crate) fn open(path: &Path) -> Result<Option<File>, CallError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if missing(&e) => Ok(None),
        Err(e) => Err(failed("open", path, &e)),
    }
}

/// Tells whether an error says that a name leads nowhere.
pub(crate) fn missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Reads a whole file of at most `limit` bytes; `None` where it does not exist.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(file) = open(path)? else { return Ok(None) };
    let size = file.metadata().map_err(|e| failed("fstat", path, &e))?.len();
    let mut bytes = Vec::with_capacity(size.min(limit) as usize);
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| failed("read", path, &e))?;
    if bytes.len() as u64 > limit {
        return Err(StoreError::TooLarge { what: show(path), limit });
    }
    Ok(Some(bytes))
}

/// Gives the attributes of what a path names, links not followed; `None` where nothing is there.
pub(crate) fn stat(path: &Path) -> Result<Option<fs::Metadata>, CallError> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(e) if missing(&e) => Ok(None),
        Err(e) => Err(failed("lstat", path, &e)),
    }
}

/// Lists the names in a directory, sorted; one that does not exist has none.
///
/// Names that are not UTF-8 are left out: the store makes none, and nothing of it hangs on them.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, CallError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if missing(&e) => return Ok(Vec::new()),
        Err(e) => return Err(failed("opendir", path, &e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| failed("readdir", path, &e))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// A file being written that nobody else knows of yet.
#[derive(Debug)]
pub(crate) struct NewFile {
    file: File,
    path: PathBuf,
}

impl NewFile {
    /// Creates a file that must not exist.
    pub(crate) fn create(path: PathBuf, mode: u32) -> Result<Self, CallError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .map_err(|e| failed("creat", &path, &e))?;
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(|e| failed("fchmod", &path, &e))?;
        record::note(|| record::Op::Create(path.clone()));
        Ok(Self { file, path })
    }

    /// Where the file lies now.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all bytes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        self.file.write_all(bytes).map_err(|e| failed("write", &self.path, &e))?;
        record::note(|| record::Op::Append(self.path.clone(), bytes.to_vec()));
        Ok(())
    }

    /// Waits until the bytes are on the disk.
    pub(crate) fn sync(&self) -> Result<(), CallError> {
        self.file.sync_data().map_err(|e| failed("fdatasync", &self.path, &e))?;
        record::note(|| record::Op::Sync(self.path.clone()));
        Ok(())
    }

    /// The open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

/// Renames a file or directory, replacing what the new name was if it may be replaced.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), CallError> {
    fs::rename(from, to).map_err(|e| CallError::from_io(format!("rename({}, {})", show(from), show(to)), &e))?;
    record::note(|| record::Op::Rename(from.to_owned(), to.to_owned()));
    Ok(())
}

/// Gives a file a second name; `false` where that name exists.
pub(crate) fn link(from: &Path, to: &Path) -> Result<bool, CallError> {
    match fs::hard_link(from, to) {
        Ok(()) => {
            record::note(|| record::Op::Link(from.to_owned(), to.to_owned()));
            Ok(true)
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(CallError::from_io(format!("link({}, {})", show(from), show(to)), &e)),
    }
}

/// Removes a file; `false` where it was gone already.
pub(crate) fn remove_file(path: &Path) -> Result<bool, CallError> {
    match fs::remove_file(path) {
        Ok(()) => {
            record::note(|| record::Op::Remove(path.to_owned()));
            Ok(true)
        }
        Err(e) if missing(&e) => Ok(false),
        Err(e) => Err(failed("unlink", path, &e)),
    }
}

/// Removes a file or a directory with all that is in it, never leaving its file system.
pub(crate) fn remove_all(path: &Path) -> Result<(), CallError> {
    let Some(found) = stat(path)? else { return Ok(()) };
    if !found.is_dir() {
        return remove_file(path).map(|_| ());
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed("rmdir", path, &io::ErrorKind::InvalidInput.into()));
    };
    bedplate_sys::rooted::Handle::open(parent)?.remove_all(name)?;
    record::note(|| record::Op::Remove(path.to_owned()));
    Ok(())
}

/// Waits until the names in a directory are on the disk.
pub(crate) fn sync_dir(path: &Path) -> Result<(), CallError> {
    let dir = File::open(path).map_err(|e| failed("open", path, &e))?;
    dir.sync_all().map_err(|e| failed("fsync", path, &e))?;
    record::note(|| record::Op::SyncDir(path.to_owned()));
    Ok(())
}

/// Replaces a file as a whole: `scratch` is written and synced, then takes the name `path`.
///
/// The name is not synced: call [`sync_dir`] where the change must outlast a power cut.
pub(crate) fn replace(scratch: PathBuf, path: &Path, bytes: &[u8]) -> Result<(), CallError> {
    let mut file = NewFile::create(scratch, FILE_MODE)?;
    file.append(bytes)?;
    file.sync()?;
    rename(file.path(), path)
}

/// Tells whether an open file still is what a path names.
pub(crate) fn is_at(file: &File, path: &Path) -> Result<bool, CallError> {
    let held = file.metadata().map_err(|e| failed("fstat", path, &e))?;
    Ok(stat(path)?.is_some_and(|found| (found.dev(), found.ino()) == (held.dev(), held.ino())))
}

/// Adds up the disk space below a path, in bytes, hard links once; what vanishes meanwhile counts nothing.
pub(crate) fn disk_usage(path: &Path) -> u64 {
    let mut seen = std::collections::HashSet::new();
    let mut pending = vec![path.to_owned()];
    let mut bytes = 0;
    while let Some(path) = pending.pop() {
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.nlink() > 1 && !found.is_dir() && !seen.insert((found.dev(), found.ino())) {
            continue;
        }
        bytes += found.blocks() * 512;
        if found.is_dir()
            && let Ok(entries) = fs::read_dir(&path)
        {
            pending.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    bytes
}

/// The record of changes that power-cut tests replay; nothing outside tests.
pub(crate) mod record {
    use std::path::PathBuf;

    /// One change of the disk.
    #[derive(Debug, Clone)]
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) enum Op {
        MakeDir(PathBuf),
        Create(PathBuf),
        Append(PathBuf, Vec<u8>),
        Sync(PathBuf),
        Rename(PathBuf, PathBuf),
        Link(PathBuf, PathBuf),
        Remove(PathBuf),
        SyncDir(PathBuf),
        /// Not a change: a command that ended here has promised its result.
        Mark(String),
    }

    #[cfg(test)]
    thread_local! {
        static LOG: std::cell::RefCell<Option<Vec<Op>>> = const { std::cell::RefCell::new(None) };
    }

    #[cfg(not(test))]
    #[inline(always)]
    pub(crate) fn note(_: impl FnOnce() -> Op) {}

    #[cfg(test)]
    pub(crate) fn note(op: impl FnOnce() -> Op) {
        LOG.with_borrow_mut(|log| {
            if let Some(log) = log {
                log.push(op());
            }
        });
    }

    /// Notes that something was promised to the user.
    #[cfg(test)]
    pub(crate) fn mark(text: &str) {
        note(|| Op::Mark(text.to_owned()));
    }

    /// Runs `body` and gives the changes that this thread made in it.
    #[cfg(test)]
    pub(crate) fn during<T>(body: impl FnOnce() -> T) -> (T, Vec<Op>) {
        LOG.with_borrow_mut(|log| *log = Some(Vec::new()));
        let value = body();
        let log = LOG.with_borrow_mut(Option::take).unwrap_or_default();
        (value, log)
    }
}

//! The kept inputs of a target: small files under `fuzz/corpus/<target>/`, and crashes once found.

use std::io;
use std::path::{Path, PathBuf};

/// Largest seed that is read; a corpus of small files mutates faster and says more.
pub const MAX_SEED_BYTES: u64 = 1 << 20;

/// The folder of this repository that holds the corpus.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// Reads the seeds of `target` below `fuzz`, sorted by name so that the row of inputs is the same everywhere.
///
/// # Errors
/// When a folder or a seed that is there cannot be read. A missing folder is an empty corpus.
pub fn read(fuzz: &Path, target: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut seeds = Vec::new();
    let folder = fuzz.join("corpus").join(target);
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(seeds),
        other => other?,
    };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        if path.is_file() && path.metadata()?.len() <= MAX_SEED_BYTES {
            seeds.push(std::fs::read(&path)?);
        }
    }
    Ok(seeds)
}

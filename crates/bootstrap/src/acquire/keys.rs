//! Which keyrings judge a source.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bedplate_trust::{Builtin, Keyring, MAX_KEYRING};

use super::Context;
use super::error::AcquireError;
use super::plan::{Plan, PlannedSource};

/// The keyring of a source: its own, else the files that were asked for, else the distribution's.
pub(crate) fn keyring(plan: &Plan, source: &PlannedSource, context: &Context<'_>) -> Result<Keyring, AcquireError> {
    let mut keyring = Keyring::default();
    if let Some(text) = &source.embedded_keyring {
        keyring.merge(parse(Path::new("Signed-By"), text)?);
    }
    let files = if source.keyrings.is_empty() && keyring.is_empty() { &plan.keyrings } else { &source.keyrings };
    for path in files {
        let bytes = read(path)?.ok_or_else(|| AcquireError::NoKeyring { path: path.clone() })?;
        keyring.merge(parse(path, &bytes)?);
    }
    if keyring.is_empty() {
        for name in plan.distribution.keyrings_of(&plan.suite) {
            if let Some(builtin) = Builtin::find(name) {
                keyring.merge(builtin.keyring().map_err(|source| AcquireError::Keyring { source })?);
            }
            // A derivative's keyring may lie anywhere; a newer one of the distribution may be the host's.
            let named = PathBuf::from(name);
            let host = |suffix| context.host.root.join(format!("usr/share/keyrings/{name}.{suffix}"));
            let places = if named.is_absolute() { vec![named] } else { vec![host("gpg"), host("pgp")] };
            for path in places {
                if let Some(bytes) = read(&path)? {
                    keyring.merge(parse(&path, &bytes)?);
                }
            }
        }
    }
    Ok(keyring)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Keyring, AcquireError> {
    Keyring::parse(&path.to_string_lossy(), bytes).map_err(|source| AcquireError::Keyring { source })
}

/// A keyring file; `None` where there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, AcquireError> {
    let failed = |source| AcquireError::ReadKeyring { path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_KEYRING as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

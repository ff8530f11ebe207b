//! New keys, from the distribution's own package, verified with the keys that are known.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bedplate_oci::Digest;
use bedplate_packages::deb::version::DebVersionBuf;
use bedplate_store::StoreError;
use bedplate_trust::{Certificate, MAX_KEYRING};
use thiserror::Error;

use super::{ENDINGS, SHARED, file_name, folder, known, parse};
use crate::acquire::{AcquireError, Context, Kind, open};
use crate::request::Request;
use crate::single::{Single, SingleError, newest};

/// The most that a package of keyrings may unpack to, in bytes: Debian's has 0.5 MB.
const MAX_UNPACKED: usize = MAX_KEYRING;

/// The file beside the updated keyrings that says which package they are of.
const RECORD: &str = "package";

/// What an update did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// The package, with its version: `debian-archive-keyring 2025.1`.
    pub package: String,
    /// The digest of the package.
    pub digest: Digest,
    /// Where the keyrings lie now.
    pub folder: PathBuf,
    /// The names of the keyrings that were taken.
    pub keyrings: Vec<String>,
    /// Certificates that were not known before, by fingerprint.
    pub added: Vec<Certificate>,
    /// Certificates that were thought good before and have been revoked, by fingerprint.
    pub revoked: Vec<Certificate>,
}

/// Keyrings cannot be updated.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The archive cannot be used, or the package not be fetched.
    #[error(transparent)]
    Acquire(#[from] AcquireError),
    /// The package cannot be had.
    #[error(transparent)]
    Package(#[from] SingleError),
    /// The archive has an older package than the one that was taken before.
    #[error("the archive has {package} {found}, which is older than {known}, which was taken before")]
    Older {
        /// The package.
        package: String,
        /// The version in the archive.
        found: String,
        /// The version that was taken before.
        known: String,
    },
    /// The package has none of the keyrings.
    #[error("the package {package} has none of the keyrings {}", names.join(", "))]
    NoKeyrings {
        /// The package, with its version.
        package: String,
        /// The names that were looked for.
        names: Vec<String>,
    },
    /// A file cannot be read or written.
    #[error("cannot {what} {path:?}")]
    File {
        /// What was to be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The store cannot be written.
    #[error("cannot keep the keyrings in the store")]
    Store(#[source] StoreError),
}

impl UpdateError {
    /// Whose matter it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Acquire(source) => source.kind(),
            Self::Package(source) => source.kind(),
            Self::Older { .. } | Self::NoKeyrings { .. } => Kind::Input,
            Self::File { .. } | Self::Store(_) => Kind::Environment,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Acquire(AcquireError::Signature { .. })
            | Self::Package(SingleError::Acquire(AcquireError::Signature { .. })) => Some(
                "the package with the new key is itself signed by a key that is not known: get the keyring from the \
                 distribution by another way and give it with --keyring FILE"
                    .into(),
            ),
            Self::Acquire(source) => source.hint(),
            Self::Package(source) => source.hint(),
            Self::Older { .. } => Some("the mirror lags behind; ask another one with --mirror".into()),
            _ => None,
        }
    }
}

/// Takes the keyrings of a distribution from its signed package into the store, where every later command finds them.
///
/// `request` says the suite, and whatever else decides which archive is asked; what is unsigned gives no keys, whatever
/// it says. Keyrings appear one by one, each as a whole.
///
/// # Errors
/// [`UpdateError`]; then no keyring was changed, but for a failure to write the second of several.
pub fn update(request: &Request, context: &Context<'_>) -> Result<Updated, UpdateError> {
    let acquired = open(request, context)?;
    let distribution = &acquired.plan.distribution;
    let (wanted, version) = newest(&acquired, &distribution.keyring_package)?;
    let package = format!("{} {}", distribution.keyring_package, version.as_str());
    let folder = folder(context.store, distribution);
    refuse_older(&folder, &distribution.keyring_package, &version)?;
    let content = Single::fetch(&wanted, &package, MAX_UNPACKED, context)?;

    let mut names: Vec<String> = Vec::new();
    for name in distribution.keyrings.iter().chain(&distribution.ended_keyrings) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let mut found = Vec::new();
    for name in &names {
        if let Some((path, bytes)) = keyring_file(&content, name) {
            // Read before anything is written: a package without usable keys changes nothing.
            parse(Path::new(&path), bytes)?;
            found.push((name.clone(), bytes));
        }
    }
    if found.is_empty() {
        return Err(UpdateError::NoKeyrings { package, names });
    }
    let before = known(distribution, &names, context.store, &context.host.root).unwrap_or_default();

    let lease = context.store.lease().map_err(UpdateError::Store)?;
    fs::create_dir_all(&folder).map_err(|source| UpdateError::File { what: "make", path: folder.clone(), source })?;
    for (name, bytes) in &found {
        write(&folder.join(file_name(name)), &lease.scratch(), bytes)?;
    }
    let record = format!("{package} {}\n", wanted.sha256.hex());
    write(&folder.join(RECORD), &lease.scratch(), record.as_bytes())?;

    let after = known(distribution, &names, context.store, &context.host.root)?;
    let was = |key: &Certificate| before.keys.iter().find(|known| known.certificate.fingerprint == key.fingerprint);
    let changed = |test: &dyn Fn(&Certificate) -> bool| {
        after.keys.iter().map(|key| key.certificate.clone()).filter(|key| test(key)).collect::<Vec<_>>()
    };
    Ok(Updated {
        added: changed(&|key| was(key).is_none()),
        revoked: changed(&|key| key.revoked && was(key).is_some_and(|known| !known.certificate.revoked)),
        package,
        digest: wanted.sha256,
        folder,
        keyrings: found.into_iter().map(|(name, _)| name).collect(),
    })
}

/// Refuses to go back behind what was taken before: an old state of the archive is signed, too.
fn refuse_older(folder: &Path, package: &str, found: &DebVersionBuf) -> Result<(), UpdateError> {
    let path = folder.join(RECORD);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(UpdateError::File { what: "read", path, source }),
    };
    let mut words = text.split_ascii_whitespace();
    // A record of another package, or a damaged one, says nothing.
    let (Some(name), Some(known)) = (words.next(), words.next()) else { return Ok(()) };
    let Ok(known) = known.parse::<DebVersionBuf>() else { return Ok(()) };
    if name == package && *found < known {
        return Err(UpdateError::Older {
            package: package.to_owned(),
            found: found.as_str().to_owned(),
            known: known.as_str().to_owned(),
        });
    }
    Ok(())
}

/// The keyring of a name in a package: a regular file, whichever its ending, with its path.
fn keyring_file<'a>(package: &'a Single, name: &str) -> Option<(String, &'a [u8])> {
    let paths: Vec<String> = match name.strip_prefix('/') {
        Some(path) => vec![path.to_owned()],
        None => ENDINGS.iter().map(|ending| format!("{SHARED}/{name}.{ending}")).collect(),
    };
    paths.into_iter().find_map(|path| package.file(&path).map(|bytes| (path, bytes)))
}

/// Writes a file beside its place, syncs it, and gives it its name.
fn write(path: &Path, scratch: &Path, bytes: &[u8]) -> Result<(), UpdateError> {
    let failed = |source| UpdateError::File { what: "write", path: path.to_owned(), source };
    let save = || -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).open(scratch)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(scratch, path)
    };
    save().map_err(failed)
}

//! One package out of a signed archive, for the files in it and not for a root.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;

use bedplate_packages::deb::index::{IndexError, PackagesIndex};
use bedplate_packages::deb::payload::{DebError, Payload};
use bedplate_packages::deb::version::DebVersionBuf;
use bedplate_tree::{Source as Bytes, TreePath};
use thiserror::Error;

use crate::acquire::{AcquireError, Acquired, Context, Kind, Source, Wanted, fetch};

/// A package cannot be had, or not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SingleError {
    /// The archive cannot be used, or the package not be fetched.
    #[error(transparent)]
    Acquire(#[from] AcquireError),
    /// An index is malformed.
    #[error("cannot understand the index of {suite}")]
    Index {
        /// The suite.
        suite: String,
        /// Why.
        #[source]
        source: IndexError,
    },
    /// No signed index has the package.
    #[error("no signed source of {suite} has the package {package}")]
    NoPackage {
        /// The suite.
        suite: String,
        /// The package.
        package: String,
    },
    /// The package cannot be opened.
    #[error("cannot open {path:?}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The package cannot be read.
    #[error("cannot read the package {package}")]
    Package {
        /// The package, with its version.
        package: String,
        /// Why.
        #[source]
        source: DebError,
    },
    /// The package lacks the file that it is fetched for.
    #[error("the package {package} has no file {}", paths.join(" or "))]
    NoFile {
        /// The package, with its version.
        package: String,
        /// Where the file was looked for.
        paths: Vec<String>,
    },
}

impl SingleError {
    /// Whose matter it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Acquire(source) => source.kind(),
            Self::NoPackage { .. } => Kind::User,
            Self::Index { .. } | Self::Package { .. } | Self::NoFile { .. } => Kind::Input,
            Self::Open { .. } => Kind::Environment,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Acquire(source) => source.hint(),
            _ => None,
        }
    }
}

/// The newest package of a name in any source that is signed, the distribution's own, and not one for trying things out.
pub(crate) fn newest(acquired: &Acquired, name: &str) -> Result<(Wanted, DebVersionBuf), SingleError> {
    let mut best: Option<(Wanted, DebVersionBuf)> = None;
    for source in acquired.sources.iter().filter(|source| is_trusted(source)) {
        for index in &source.indexes {
            let parsed = PackagesIndex::parse(&index.bytes)
                .map_err(|error| SingleError::Index { suite: source.suite.clone(), source: error })?;
            for package in parsed.packages().iter().filter(|package| package.name == name) {
                if best.as_ref().is_none_or(|(_, version)| package.version > version.borrow()) {
                    best = Some((Wanted::of(package, source)?, package.version.to_owned()));
                }
            }
        }
    }
    best.ok_or_else(|| SingleError::NoPackage { suite: acquired.plan.suite.codename.clone(), package: name.to_owned() })
}

fn is_trusted(source: &Source) -> bool {
    source.release.signer.is_some() && source.pocket.is_some() && !source.release.not_automatic
}

/// A package taken apart.
pub(crate) struct Single {
    payload: Payload,
    stream: Vec<u8>,
}

impl Single {
    /// Fetches a package, or takes it from the cache; it may unpack to so many bytes. `name` is for messages.
    pub(crate) fn fetch(wanted: &Wanted, name: &str, limit: usize, context: &Context<'_>) -> Result<Self, SingleError> {
        let fetched = fetch(std::slice::from_ref(wanted), 1, context)?;
        let path = fetched.paths.first().cloned().unwrap_or_default();
        let file = File::open(&path).map_err(|source| SingleError::Open { path, source })?;
        let mut sink = Bounded { bytes: Vec::new(), limit };
        let payload = Payload::read(BufReader::new(file), &mut sink)
            .map_err(|source| SingleError::Package { package: name.to_owned(), source })?;
        Ok(Self { payload, stream: sink.bytes })
    }

    /// The bytes of a regular file.
    pub(crate) fn file(&self, path: &str) -> Option<&[u8]> {
        let entry = self.payload.index().find(&TreePath::parse(path.as_bytes()).ok()?)?;
        let bedplate_archive::index::Indexed::Entry(entry) = &entry.indexed else { return None };
        let content = entry.content()?;
        let (Bytes::Stream(_), [extent]) = (content.source(), content.extents()) else { return None };
        let begin = usize::try_from(extent.physical).ok()?;
        let length = usize::try_from(extent.length).ok().filter(|length| *length as u64 == content.size())?;
        self.stream.get(begin..)?.get(..length)
    }
}

/// A sink that takes so much and no more.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(io::Error::other(format!("it unpacks to more than {} bytes", self.limit)));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! Why an import cannot be.

use std::io;

use bedplate_archive::TarError;
use bedplate_dockerfile::change::ChangeError;
use bedplate_image::instruction::InstructionError;
use bedplate_store::StoreError;
use thiserror::Error;

use crate::SavedImage;

/// Why a stream or a directory does not become an image. Nothing is left in the store then.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The input cannot be read.
    #[error("cannot read {what}")]
    Read {
        /// What was read.
        what: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The input has no bytes.
    #[error("{what} is empty: not even the end of an archive came")]
    Empty {
        /// What was read.
        what: String,
    },
    /// The input is no tar archive, or a damaged or hostile one; or its bytes do not reach the store.
    #[error("{}", not_taken(what, source))]
    Tar {
        /// What was read.
        what: String,
        /// Where and why.
        #[source]
        source: TarError,
    },
    /// The input is an image that somebody saved, not a root filesystem.
    #[error("{what} is {}, not a root filesystem", form.describe())]
    Saved {
        /// What was read.
        what: String,
        /// In which form.
        form: SavedImage,
    },
    /// The entries of the archive do not make a tree.
    #[error("the entries of {what} do not make a root filesystem")]
    Tree {
        /// What was read.
        what: String,
        /// Which entry, and why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The directory cannot be packed.
    #[error("cannot pack directory {what}")]
    Directory {
        /// The directory.
        what: String,
        /// Which file, and why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A change that is none.
    #[error("{0}")]
    Change(#[from] ChangeError),
    /// A change that cannot be carried out.
    #[error("change {change:?} cannot be made")]
    Instruction {
        /// The line.
        change: String,
        /// Why.
        #[source]
        source: InstructionError,
    },
    /// The store cannot take it.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl ImportError {
    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Saved { .. } => Some("load it with: bedplate load -i FILE".into()),
            Self::Empty { .. } => Some("look at the command that should have written it".into()),
            _ => None,
        }
    }

    pub(crate) fn tar(what: &str, source: TarError) -> Self {
        // What the codec says comes wrapped by the reader between them.
        Self::Tar { what: what.to_owned(), source }
    }

    pub(crate) fn read(what: &str, source: io::Error) -> Self {
        Self::Read { what: what.to_owned(), source }
    }
}

/// A full disk is no fault of the archive, and must not read like one.
fn not_taken(what: &str, source: &TarError) -> String {
    match source {
        TarError::Read { source, .. } | TarError::Pass { source, .. }
            if !matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            format!("cannot import {what}")
        }
        _ => format!("{what} is not an archive that can be imported"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_is_not_the_archives_fault() {
        let pass = |kind: io::ErrorKind| TarError::Pass { offset: 512, source: kind.into() };
        let read = |kind: io::ErrorKind| TarError::Read { offset: 512, source: kind.into() };
        let archive = "\"x.tar\" is not an archive that can be imported";
        let system = "cannot import \"x.tar\"";
        for (source, expected) in [
            (pass(io::ErrorKind::StorageFull), system),
            (read(io::ErrorKind::PermissionDenied), system),
            (read(io::ErrorKind::InvalidData), archive),
            (read(io::ErrorKind::UnexpectedEof), archive),
            (TarError::NotTar { found: "x".into() }, archive),
        ] {
            let said = format!("{source:?}");
            assert_eq!(ImportError::tar("\"x.tar\"", source).to_string(), expected, "{said}");
        }
    }
}

//! Why an import cannot be.

use std::io;

use bedplate_archive::{CodecError, TarError};
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
    /// The input is no tar archive, or a damaged or hostile one.
    #[error("{what} is not an archive that can be imported")]
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
    #[error(transparent)]
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
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ImportError {
    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Saved { .. } => Some("load it with: bedplate load -i FILE".into()),
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

impl From<CodecError> for ImportError {
    fn from(error: CodecError) -> Self {
        Self::Read { what: "compressed input".into(), source: io::Error::new(io::ErrorKind::InvalidData, error) }
    }
}

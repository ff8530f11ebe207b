//! The control file of one package, owned.

use thiserror::Error;

use crate::deb::control::{ControlError, Paragraph};
use crate::deb::relation::Relations;
use crate::deb::version::{DebVersionBuf, VersionError};

/// What a package may be beside packages of its name for other architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MultiArch {
    /// Alone, and only for its own architecture.
    #[default]
    No,
    /// Installed once for each architecture; shared files are the same.
    Same,
    /// Alone, and good for every architecture.
    Foreign,
    /// Alone; who depends on it says which architecture is meant.
    Allowed,
}

/// Why the control file of a package cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ControlFileError {
    /// Not a paragraph of fields, or a needed one is missing.
    #[error("it cannot be read")]
    Paragraph {
        /// What is wrong.
        #[source]
        source: ControlError,
    },
    /// The name of the package.
    #[error("package name {name:?} is not one: lower-case letters, digits, \"+\", \"-\" and \".\", at least two")]
    Name {
        /// The name.
        name: String,
    },
    /// The version.
    #[error("version of package \"{package}\"")]
    Version {
        /// The package.
        package: String,
        /// What is wrong.
        #[source]
        source: VersionError,
    },
    /// The architecture.
    #[error("architecture {architecture:?} of package \"{package}\" is not a name")]
    Architecture {
        /// The package.
        package: String,
        /// The architecture.
        architecture: String,
    },
    /// A word that `Multi-Arch` cannot be.
    #[error("multi-arch {found:?} of package \"{package}\" is not known: expected no, same, foreign or allowed")]
    MultiArch {
        /// The package.
        package: String,
        /// The word.
        found: String,
    },
    /// A word that `Essential` or `Protected` cannot be.
    #[error("field {field:?} of package \"{package}\" is {found:?}: expected yes or no")]
    Boolean {
        /// The package.
        package: String,
        /// The field.
        field: &'static str,
        /// The word.
        found: String,
    },
}

/// The control file of a package: its bytes, and what everybody asks of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    text: Box<[u8]>,
    name: Box<str>,
    version: DebVersionBuf,
    architecture: Box<str>,
    multi_arch: MultiArch,
    essential: bool,
}

impl Control {
    /// Reads a control file.
    ///
    /// # Errors
    /// [`ControlFileError`]: what would become the name of a file of dpkg's database is checked to be one.
    pub fn parse(text: Box<[u8]>) -> Result<Self, ControlFileError> {
        let paragraph = Paragraph::parse(&text).map_err(|source| ControlFileError::Paragraph { source })?;
        let require = |field| paragraph.require(field).map_err(|source| ControlFileError::Paragraph { source });
        let name = require("Package")?;
        if !is_package_name(name) {
            return Err(ControlFileError::Name { name: name.to_owned() });
        }
        let package = || name.to_owned();
        let version = crate::deb::version::DebVersion::parse(require("Version")?);
        let version = version.map_err(|source| ControlFileError::Version { package: package(), source })?.to_owned();
        let architecture = require("Architecture")?;
        if !is_architecture(architecture) {
            let architecture = architecture.to_owned();
            return Err(ControlFileError::Architecture { package: package(), architecture });
        }
        let get = |field| paragraph.get(field).map_err(|source| ControlFileError::Paragraph { source });
        let word = get("Multi-Arch")?.unwrap_or("no");
        let multi_arch = match &*word.to_ascii_lowercase() {
            "no" => MultiArch::No,
            "same" => MultiArch::Same,
            "foreign" => MultiArch::Foreign,
            "allowed" => MultiArch::Allowed,
            _ => return Err(ControlFileError::MultiArch { package: package(), found: word.to_owned() }),
        };
        let boolean = |field| match get(field)? {
            None => Ok(false),
            Some(word) if word.eq_ignore_ascii_case("yes") => Ok(true),
            Some(word) if word.eq_ignore_ascii_case("no") => Ok(false),
            Some(word) => Err(ControlFileError::Boolean { package: package(), field, found: word.to_owned() }),
        };
        let essential = boolean("Essential")?;
        boolean("Protected")?;
        let (name, architecture) = (name.into(), architecture.into());
        Ok(Self { name, version, architecture, multi_arch, essential, text })
    }

    /// The bytes of the file.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The fields.
    ///
    /// # Panics
    /// Never: they were read when this was made.
    #[must_use]
    pub fn paragraph(&self) -> Paragraph<'_> {
        Paragraph::parse(&self.text).expect("it was read when this was made")
    }

    /// The value of a field; `None` where it is missing or no text.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.paragraph().get(name).ok().flatten()
    }

    /// The relations in a field, none where it is missing. They are parsed as they are walked over.
    #[must_use]
    pub fn relations(&self, field: &str) -> Relations<'_> {
        Relations::new(self.field(field).unwrap_or_default())
    }

    /// The package's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &DebVersionBuf {
        &self.version
    }

    /// Its architecture, or `all`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// What it may be beside its like for other architectures.
    #[must_use]
    pub fn multi_arch(&self) -> MultiArch {
        self.multi_arch
    }

    /// Whether it is essential.
    #[must_use]
    pub fn is_essential(&self) -> bool {
        self.essential
    }

    /// The stem of its files in dpkg's database: `name:arch` for `Multi-Arch: same`, else `name`.
    #[must_use]
    pub fn info_name(&self) -> String {
        match self.multi_arch {
            MultiArch::Same => format!("{}:{}", self.name, self.architecture),
            _ => self.name.to_string(),
        }
    }
}

/// The longest name of a package, in bytes.
const MAX_PACKAGE_NAME: usize = 200;

/// The longest name of an architecture, in bytes: the longest that dpkg knows have 21.
const MAX_ARCHITECTURE: usize = 40;

// Every package has files of these names in the database.
const _: () = assert!(MAX_PACKAGE_NAME + ":".len() + MAX_ARCHITECTURE + ".md5sums".len() <= bedplate_tree::MAX_NAME);

/// Policy 5.6.1, with upper case, which dpkg takes and old packages have.
pub(crate) fn is_package_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    (2..=MAX_PACKAGE_NAME).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(b))
}

pub(crate) fn is_architecture(name: &str) -> bool {
    let bytes = name.as_bytes();
    (1..=MAX_ARCHITECTURE).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

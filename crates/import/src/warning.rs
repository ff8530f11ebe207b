//! What an import does that its user may not expect.

use std::fmt;

use bedplate_oci::{DiffId, Platform};

/// Something that the user should know; never an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The root entry was rewritten: the layer is not the input's bytes any more.
    RootMended {
        /// Permission bits that the entry had.
        mode: u32,
        /// Owner that it had.
        uid: u32,
        /// Group that it had.
        gid: u32,
        /// The diff ID of the layer as it is now.
        diff_id: DiffId,
    },
    /// Names that stand in the archive more than once. The last one counts.
    Duplicates {
        /// How many entries are hidden by a later one.
        count: u64,
    },
    /// Nothing in the tree tells what it runs on.
    PlatformAssumed {
        /// What was taken.
        platform: Platform,
    },
    /// The platform that was asked for is not that of the tree's programs.
    PlatformDiffers {
        /// What was asked for, and taken.
        asked: Platform,
        /// What the programs are made for.
        found: Platform,
    },
    /// A variable in a change is not set.
    Undefined {
        /// Its name.
        name: String,
        /// The change.
        change: String,
    },
    /// A file that belongs to one machine or person and hardly into an image.
    Hazard {
        /// The path and what is wrong with it, in words.
        text: String,
    },
    /// Entries that a layer cannot carry were left out.
    LeftOut {
        /// What and why, in words.
        text: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootMended { mode, uid, gid, diff_id } => write!(
                f,
                "the root directory was {mode:04o} {uid}:{gid} and is 0755 0:0 now, or only root could read the image; \
                 the diff ID {diff_id} is not that of the input (--keep-root-mode keeps its bytes)"
            ),
            Self::Duplicates { count } => {
                write!(f, "{count} entries of the archive are hidden by later ones of the same name")
            }
            Self::PlatformAssumed { platform } => {
                write!(f, "nothing in the tree tells its platform; {platform} is assumed (--platform says another)")
            }
            Self::PlatformDiffers { asked, found } => {
                write!(f, "the image is marked {asked}, but its programs are made for {found}")
            }
            Self::Undefined { name, change } => write!(f, "variable {name} is not set in change {change:?}"),
            Self::Hazard { text } | Self::LeftOut { text } => f.write_str(text),
        }
    }
}

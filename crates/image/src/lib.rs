//! Image views and edits: layers read, written, applied, unpacked and compared.
//!
//! ```text
//!                    Tree, Delta                                   (bedplate-tree)
//!      scan, upper, compare ^   | unpack               layer
//!                           |   v                        |
//!                     directories on disk        tar streams + indexes
//! ```
//!
//! | room | what it holds |
//! |---|---|
//! | [`contents`] | where the bytes of files are found |
//! | [`layer`] | a delta written as a layer |
//! | [`unpack`] | a tree made real below an open directory |
//! | [`overlay`] | the marks of an overlay's upper side |
//! | [`scan`](mod@scan) | a directory read as a tree |
//! | [`upper`] | an overlay's upper side read as changes |
//! | [`compare`](mod@compare) | a copy that a process worked in, read as changes |
//! | [`disk`] | what these three share |
//! | [`image`] | an image's documents, history and tree |
//! | [`elf`] | what a program file is, and the platform of a tree |
//! | [`read`] | small files of a root, read whole |
//! | [`command`] | whether an image can run what it says it runs |
//! | [`hazards`] | secrets and identities that should not be in an image |
//! | [`config_edit`] | changes of an image's config |
//! | [`instruction`] | instructions that change the config, variables expanded |
//!
//! Rooms read the files and write the directories that they are given. None knows of a store,
//! the environment or the clock.
#![forbid(unsafe_code)]

pub mod command;
pub mod compare;
pub mod config_edit;
pub mod contents;
pub mod disk;
pub mod elf;
#[doc(hidden)]
pub mod fuzz;
pub mod gnu_tar;
pub mod hazards;
pub mod image;
pub mod instruction;
pub mod layer;
pub mod overlay;
mod owner_mark;
pub mod read;
pub mod scan;
pub mod unpack;
pub mod upper;

pub use compare::{Recorded, compare, record};
pub use config_edit::{Command, ConfigChange, ConfigEditor};
pub use contents::{ContentError, ContentReader, ContentSources, Contents, Place, Stamp, Stamps};
pub use disk::{DiskOwners, Prepared, ScanError};
pub use gnu_tar::write_gnu_tar;
pub use image::{Image, ImageError, tree_of};
pub use layer::{LayerError, WrittenLayer, write_layer, write_tree};
pub use overlay::Marks;
pub use read::{ReadError, read_content, read_file};
pub use scan::{Choice, ScanOptions, scan};
pub use unpack::{
    Owners, UnpackError, UnpackOptions, UnpackReport, unpack_delta, unpack_parted, unpack_tree, update_tree,
};
pub use upper::{prepare_upper, read_upper};

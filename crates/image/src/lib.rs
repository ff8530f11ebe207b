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
//! | [`unpack`] | a tree made real below an open directory |
//! | [`overlay`] | the marks of an overlay's upper side |
//! | [`image`] | an image's documents, history and tree |
//! | [`config_edit`] | changes of an image's config |
//!
//! Rooms read the files and write the directories that they are given. None knows of a store,
//! the environment or the clock.
#![forbid(unsafe_code)]

pub mod config_edit;
pub mod contents;
pub mod image;
pub mod overlay;
pub mod unpack;

pub use config_edit::{Command, ConfigChange, ConfigEditor};
pub use contents::{ContentError, ContentReader, ContentSources, Contents, Place, Stamp, Stamps};
pub use image::{Image, ImageError};
pub use overlay::Marks;
pub use unpack::{Owners, UnpackError, UnpackOptions, UnpackReport, unpack_delta, unpack_tree};

//! Base images from a distribution's signed archive.
//!
//! ```text
//! distribution ─▶ acquire: Release ─▶ indexes ─▶ solve ─▶ packages ─▶ payload trees ─▶ waves
//!                                                                  scripts in a root ─▶ finish ─▶ image
//! ```
#![forbid(unsafe_code)]

pub mod acquire;
mod choose;
pub mod debootstrap;
pub mod distribution;
mod event;
pub mod finish;
#[doc(hidden)]
pub mod fuzz;
mod image;
mod install;
pub mod kept;
pub mod keyring;
mod kind;
pub mod lock;
mod maintainer_scripts;
pub mod native;
mod payloads;
pub mod recipe;
mod regroup;
pub mod request;
mod resolver;
mod root;
mod root_error;
mod sandbox;
mod scripts;
mod single;
mod steps;
pub mod toolbox;
mod waves;
mod workflow;

pub use choose::{Choice, ChooseError, Chosen};
pub use event::{Event, Observer};
pub use image::{About, ImageError, store_image, write_archive};
pub use install::{InstallError, Step};
pub use payloads::PayloadError;
pub use root_error::RootError;
pub use scripts::{PATIENCE, ScriptError};
pub use single::SingleError;
pub use steps::StepError;
pub use workflow::{BootstrapError, Built, Resolved, Settings, Workshop, resolve, resolve_locked};

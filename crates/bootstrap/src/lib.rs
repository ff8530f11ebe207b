//! Base images from a distribution's signed archive.
//!
//! ```text
//! distribution ─▶ acquire: Release ─▶ indexes ─▶ solve ─▶ packages ─▶ payload trees ─▶ waves
//!                                                                  scripts in a root ─▶ finish ─▶ image
//! ```
#![forbid(unsafe_code)]

pub mod acquire;
pub mod distribution;
pub mod finish;
pub mod request;
mod variant;

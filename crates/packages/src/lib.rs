//! Package families: what their archives, packages and databases look like, and which packages a wish needs.
//!
//! One folder per family. Pure: bytes, readers and trees come in; nothing here knows a file, a clock, the
//! environment or a network.
#![forbid(unsafe_code)]

pub mod deb;
#[doc(hidden)]
pub mod fuzz;

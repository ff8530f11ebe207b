//! Debian's family: deb822 files, versions, relations, indexes, `.deb` archives, the dpkg database, and the solver.
//!
//! ```text
//! Release ─▶ PackagesIndex ─▶ select + solve ─▶ packages ─▶ Payload (.deb) ─▶ compose ─▶ Tree
//!                                                                    └──────▶ dpkg database
//! ```

pub mod control;
pub mod date;
pub mod index;
pub mod package;
pub mod payload;
pub mod relation;
pub mod release;
pub mod version;

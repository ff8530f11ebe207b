//! Debian's family: deb822 files, versions, relations, indexes, `.deb` archives, the dpkg database, and the solver.
//!
//! ```text
//! Release ─▶ PackagesIndex ─▶ select + solve ─▶ packages ─▶ Payload (.deb) ─▶ compose ─▶ Tree
//!                                                                    └──────▶ dpkg database
//! ```

pub mod aptconf;
pub mod arch;
pub mod compose;
pub mod control;
pub mod crude;
pub mod date;
pub mod dpkg;
pub mod index;
pub mod package;
pub mod payload;
pub mod relation;
pub mod release;
pub mod select;
pub mod solve;
pub mod sources;
pub mod version;
pub mod wish;

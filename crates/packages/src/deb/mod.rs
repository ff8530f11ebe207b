//! Debian's family: deb822 files, versions, relations, indexes, `.deb` archives, the dpkg database, and the solver.
//!
//! ```text
//! Release ─▶ PackagesIndex ─▶ select + solve ─▶ packages ─▶ Payload (.deb) ─▶ compose ─▶ Tree
//!                                                                    └──────▶ dpkg database
//! ```

//! Generated archives of the Debian family: packages, indexes, signatures, and what attackers do to them.
//!
//! ```text
//! Deb --build--> Built (bytes + stanza) --> Listing --+
//!                                                      +--> Suite --> Repository --render--> Site --serve--> http or file:
//! SigningKey -----------------------------------------+                                       |
//!                                                              attack::* damages one or the other
//! ```
//!
//! Written apart from the product, so that a mistake there finds no twin here: the packages are laid out by the tar
//! writer of this crate, the signatures are made packet by packet, and `apt`, `gpgv` and `dpkg` judge both in tests.

pub mod archive;
pub mod attack;
pub mod corners;
pub mod deb;
pub mod era;
pub mod hash;
pub mod host;
pub mod sign;
pub mod world;

/// The time at which generated archives were made unless they say otherwise: 2023-11-14 22:13:20 UTC.
pub const EPOCH: u64 = 1_700_000_000;

pub use archive::{AllPackages, Listing, Repository, Site, Suite};
pub use attack::{Attack, Launched};
pub use corners::Corner;
pub use deb::{Built, Deb, Packing};
pub use era::{Archives, Era, Rendered};
pub use sign::{Signer, SigningKey};
pub use world::{Extent, Layout, Wanted, World};

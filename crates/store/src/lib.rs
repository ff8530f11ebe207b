//! The store: an OCI image layout with names, locks, snapshots, sweeps and archives.
//!
//! | room | what it holds |
//! |---|---|
//! | `layout` | where things lie, and the version of that |
//! | `open` | opening and making a store, and its read-only fallback |
//! | `blobs` | bytes under their sha256, leases that keep them while nothing refers to them |
//! | `names` | `index.json`: which manifest has which name |
//! | `images` | images by name, ID and prefix; adding and removing them |
//! | `layers` | indexes and uncompressed streams of layers |
//! | `snapshots` | unpacked roots |
//! | `containers` | containers' folders, names and locks |
//! | `cache` | what can be had again |
//! | `gc`, `fsck`, `usage` | sweeping, checking, measuring |
//! | `transfer` | images in archives and layouts of other tools |
//!
//! What is guaranteed: a file appears under its name as a whole and synced, or not at all; a name leads only to
//! blobs that are on the disk; a process that dies at any point leaves nothing but leftovers in `tmp/` and
//! unreferenced blobs, which the next writer or [`Store::sweep`] removes. Readers take no locks.
#![forbid(unsafe_code)]

mod blobs;
mod cache;
mod cache_directories;
mod containers;
mod disk;
mod error;
mod fsck;
#[doc(hidden)]
pub mod fuzz;
mod gc;
mod images;
mod layers;
mod layout;
mod locks;
mod names;
mod open;
#[cfg(test)]
mod power_cut;
mod skipped;
mod snapshots;
pub mod transfer;
mod usage;

pub use blobs::{Blob, BlobWriter, Lease, SealedBlob};
pub use cache::{BuildEntry, CacheGuard, CacheKind};
pub use cache_directories::{CacheDirectory, CacheSharing};
pub use containers::{Container, ContainerState, NewContainer, Status};
pub use error::StoreError;
pub use fsck::{Finding, FsckOptions, FsckReport, Problem};
pub use gc::SweepReport;
pub use images::{Image, NewImage, Origin, Removal, Unreadable};
pub use layout::FORMAT;
pub use locks::{Hold, LockGuard};
pub use open::{OpenOptions, Sharing, Store};
pub use snapshots::{SnapshotGuard, SnapshotOptions};
pub use usage::{ContainerUsage, ImageUsage, Part, Usage};

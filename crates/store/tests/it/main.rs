//! The store as its users see it: one binary, a file for each capability.

mod cache_directories;
mod concurrency;
mod fallback;
mod fsck;
mod images;
mod kill;
mod layers;
mod snapshots;
mod support;
mod sweep;
mod transfer_hostile;
mod transfer_round;

//! Builds without a process, by capability: trees, configs and digests are looked at, nothing is unpacked.
#![forbid(unsafe_code)]

mod add;
mod cache;
mod config;
mod context;
mod copy;
mod errors;
mod kit;
mod run;
mod stages;

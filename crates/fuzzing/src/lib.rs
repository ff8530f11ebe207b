//! The parsers of foreign bytes as fuzz targets, and a deterministic mutation driver for them.
//!
//! A target is a function of a product crate that takes any bytes, runs a parser on them and asserts what must
//! hold of its answer. Two drivers call it: libFuzzer through `fuzz/` (nightly compiler), and [`mutate`] here
//! (stable compiler, in CI), whose input number `n` depends on nothing but the corpus, the seed and `n`.
#![forbid(unsafe_code)]

pub mod corpus;
pub mod mutate;
pub mod targets;

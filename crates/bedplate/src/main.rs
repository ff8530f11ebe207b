//! Container base images from nothing: bootstrap, import, build, run.
#![forbid(unsafe_code)]
fn main() {}

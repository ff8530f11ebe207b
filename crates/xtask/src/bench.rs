//! `cargo xtask bench`: bedplate beside its peers and beside the machine's floor.

use crate::process::Failure;

/// Measures and writes `bench/README.md`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    Err(Failure::Bench { what: args.join(" "), why: "no benchmark yet".to_owned() })
}

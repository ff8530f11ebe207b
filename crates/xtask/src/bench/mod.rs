//! `cargo xtask bench`: bedplate beside its peers and beside the machine's floor.
//!
//! | room | what it holds |
//! |---|---|
//! | [`measure`] | timing of whole processes |
//! | [`input`] | the archive, contexts and programs that are measured with |
//! | [`floor`] | the least a machine must do for the same work |
//! | [`peers`] | docker, podman, umoci, runc, crun, each prepared and taken down |
//! | [`cases`] | what is measured |
//! | [`builds`] | builds of Dockerfiles |
//! | [`bootstrap`] | bootstraps, from a mirror of our own |
//! | [`report`] | the table in `bench/README.md`, and the raw numbers |

mod bootstrap;
mod builds;
mod cases;
mod floor;
mod input;
mod measure;
mod peers;
mod report;

use crate::process::{Failure, cargo, is_root, value_of};
use crate::test::Scratch;
use crate::tools;

/// How often each thing is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounds {
    /// For what takes milliseconds.
    short: usize,
    /// For what takes tenths of a second and more.
    long: usize,
}

/// Measures everything, or the rows whose name contains the word after `--only`, and writes `bench/README.md`.
///
/// With `--only` or `--quick` nothing is written: the table in the repository is of one complete run.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    // What this program calls itself by: a loop of one command, or the floor as a process.
    match args.first().map(String::as_str) {
        Some("--loop") => return measure::looped(&args[1..]),
        Some("--floor-copy") => return floor::copy_command(&args[1..]),
        _ => {}
    }
    let quick = args.iter().any(|arg| arg == "--quick");
    let only = value_of(args, "--only")?;
    if is_root() && !quick {
        tools::install()?;
    }
    let built = crate::test::build("the binary", cargo().args(["build", "--release", "--package", "bedplate"]))?;
    let Some(binary) = built.iter().find(|artifact| artifact.name == "bedplate") else {
        return Err(Failure::Findings { what: "the build gave no binary", findings: Vec::new() });
    };
    let scratch = Scratch::new()?;
    let rounds = if quick { Rounds { short: 7, long: 3 } } else { Rounds { short: 31, long: 5 } };
    let table = cases::run(&binary.path, &scratch.path, rounds, only)?;
    println!("{}", report::markdown(&table));
    if quick || only.is_some() {
        println!("{}", report::raw(&table));
        eprintln!("==> a part or a quick run: bench/README.md stays as it is");
        return Ok(());
    }
    report::write(&table)
}

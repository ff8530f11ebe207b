//! `cargo xtask check`: what must hold before a commit, in the order of its cost.

use crate::process::{Failure, cargo, step};
use crate::{deps, fuzz, scan};

/// A check and its name.
type Check = (&'static str, fn() -> Result<(), Failure>);

/// Runs every check and reports all that fail, so that one run tells the whole work.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if let Some(found) = args.first() {
        return Err(Failure::Usage { found: found.clone() });
    }
    let checks: [Check; 6] = [
        ("direction of dependencies", deps::check),
        ("house rules of the tree", scan::check),
        ("fuzz targets", fuzz::check),
        ("format", format),
        ("clippy", clippy),
        ("docs", docs),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        eprintln!("==> {name}");
        if let Err(failure) = check() {
            eprintln!("error: {failure}");
            failed.push(name.to_owned());
        }
    }
    if failed.is_empty() {
        eprintln!("==> all checks hold");
        Ok(())
    } else {
        Err(Failure::Findings { what: "checks that do not hold", findings: failed })
    }
}

fn format() -> Result<(), Failure> {
    step("cargo fmt --check", cargo().args(["fmt", "--all", "--check"]))
}

/// Lints with the same profile as everything else, so that build scripts are compiled once.
fn clippy() -> Result<(), Failure> {
    let args =
        ["clippy", "--release", "--workspace", "--all-targets", "--no-deps", "--keep-going", "--", "-D", "warnings"];
    step("cargo clippy -D warnings", cargo().args(args))
}

/// Documents with warnings denied, by `RUSTDOCFLAGS` alone: it leaves the flags of the link as they are.
fn docs() -> Result<(), Failure> {
    let args = ["doc", "--release", "--workspace", "--no-deps", "--document-private-items", "--keep-going"];
    step("cargo doc -D warnings", cargo().args(args).env("RUSTDOCFLAGS", "-D warnings"))
}

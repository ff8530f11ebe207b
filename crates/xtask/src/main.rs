//! The project's own commands: check, test, bench, fuzz, docs, golden.
//!
//! ```text
//! cargo xtask check                what must hold before a commit: format, lints, docs, direction of dependencies
//! cargo xtask test                 every test this machine can run, as root and as plain users, skips counted
//! cargo xtask bench [--quick]      bedplate beside its peers and beside the floor; writes bench/README.md
//! cargo xtask fuzz [--seconds N]   the parsers of foreign bytes over corpus and mutations
//! cargo xtask prove --online       every suite that is built in, from its real archive
//! cargo xtask docs                 writes the pages that come from the code
//! cargo xtask golden               rewrites expected outputs; review the diff
//! ```
#![forbid(unsafe_code)]
// A command for people at a terminal: printing is its purpose.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod check;
mod deps;
mod docs;
mod fuzz;
mod process;
mod prove;
mod scan;
mod test;
mod tools;
mod users;

use std::process::ExitCode;

use process::Failure;

const USAGE: &str = "usage: cargo xtask COMMAND

  check               format, clippy, rustdoc, direction of dependencies, house rules of the tree
  test [--quick|--all]
                      all tests; as root on Debian installs the reference tools and repeats as plain users
                      (--quick: neither; --all: the builders build all of the corpus, and not a sample)
  bench [--quick] [--only NAME]
                      benchmarks beside docker, podman, runc, crun, umoci and the floor; writes bench/README.md
  fuzz [--seconds N] [TARGET]...
                      deterministic mutations over the corpus, N seconds for each target (default 20)
  prove --online [SUITE]... [--mirror [DISTRIBUTION:][POCKET=]URL] [--pockets POCKET,...] [--check-valid-until yes|no]
                      bootstraps every suite from its real archive and asks dpkg and apt of each; an archive that
                      cannot be reached is counted as that
  docs                writes docs/reference.md and docs/templates.md
  golden              runs the tests with permission to rewrite their expected outputs";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let done = match args.first().map(String::as_str) {
        Some("check") => check::run(rest),
        Some("test") => test::run(rest),
        Some("bench") => bench::run(rest),
        Some("fuzz") => fuzz::run(rest),
        Some("prove") => prove::run(rest),
        Some("docs") => docs::run(rest),
        Some("golden") => test::golden(rest),
        Some("help" | "--help" | "-h") => {
            println!("{USAGE}");
            Ok(())
        }
        Some(other) => Err(Failure::Usage { found: other.to_owned() }),
        None => Err(Failure::Usage { found: "no command".to_owned() }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            if matches!(failure, Failure::Usage { .. }) {
                eprintln!("{USAGE}");
            }
            ExitCode::FAILURE
        }
    }
}

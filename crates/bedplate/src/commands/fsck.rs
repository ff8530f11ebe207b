//! `bedplate fsck`: whether the store is whole.

use std::fmt::Write as _;

use bedplate_store::{FsckOptions, FsckReport};

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::format;

/// Arguments of `fsck`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every byte of every image is read. The exit status is 0 for a store without a fault, or without one left; 65 else.")]
pub(crate) struct Args {
    /// Remove what is damaged, and images that cannot be whole any more
    #[arg(long)]
    fix: bool,
    /// Print nothing but faults
    #[arg(short, long)]
    quiet: bool,
}

/// Checks, and says what was found.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let store = match args.fix {
        true => crate::commands::rmi::open(context)?,
        false => context.store()?,
    };
    let report = store.fsck(FsckOptions { fix: args.fix })?;
    if args.fix {
        // What lost its image has gone with it.
        store.sweep()?;
    }
    format::print(&told(&report, args.quiet))?;
    if report.is_sound() {
        return Ok(0);
    }
    let left = report.findings.iter().filter(|finding| !finding.fixed).count();
    let failure = Failure::new(Kind::Input, format!("the store {} has {left} faults", store.root().display()));
    Err(if args.fix { failure } else { failure.hint("bedplate fsck --fix removes what is damaged") })
}

fn told(report: &FsckReport, quiet: bool) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let fixed = if finding.fixed { " (fixed)" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}{fixed}", finding.problem);
        let mut cause = std::error::Error::source(&finding.problem);
        while let Some(error) = cause {
            let _ = writeln!(text, "  cause: {error}");
            cause = error.source();
        }
    }
    if !quiet {
        let faults = match report.findings.len() {
            0 => "no fault".to_owned(),
            1 => "1 fault".to_owned(),
            count => format!("{count} faults"),
        };
        let _ = writeln!(
            text,
            "{} images, {} blobs, {} read: {faults}",
            report.images,
            report.blobs,
            format::size(report.bytes)
        );
        if report.unreferenced + report.leftovers > 0 {
            let _ = writeln!(
                text,
                "{} unreferenced blobs and {} leftovers, for the next prune",
                report.unreferenced, report.leftovers
            );
        }
    }
    text
}

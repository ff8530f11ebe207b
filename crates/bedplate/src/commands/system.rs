//! `bedplate system`: the store as a whole, under Docker's heading.

use crate::commands::{df, prune};
use crate::context::Context;
use crate::failure::Failure;

/// Arguments of `system`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show how much space is used for what
    Df(df::Args),
    /// Remove what nothing uses
    Prune(prune::Args),
}

/// Hands on.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    match args.command {
        Command::Df(args) => df::run(args, context),
        Command::Prune(args) => prune::run(args, context),
    }
}

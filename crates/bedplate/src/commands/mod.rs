//! One module a command: its arguments, and what it does.

pub(crate) mod import;

use crate::cli::Command;
use crate::context::Context;
use crate::failure::Failure;

/// Carries out a command. Returns the exit status: 0, or that of the process that `run` ran.
///
/// # Errors
/// What the command says.
pub(crate) fn dispatch(command: Command, context: &Context) -> Result<u8, Failure> {
    match command {
        Command::Import(args) => import::run(args, context),
    }
}

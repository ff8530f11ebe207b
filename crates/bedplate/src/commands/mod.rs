//! One module a command: its arguments, and what it does.

pub(crate) mod bootstrap;
pub(crate) mod build;
pub(crate) mod completion;
pub(crate) mod cp;
pub(crate) mod debootstrap;
pub(crate) mod debug;
pub(crate) mod df;
pub(crate) mod export;
pub(crate) mod filter;
pub(crate) mod fsck;
pub(crate) mod groups;
pub(crate) mod history;
pub(crate) mod images;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod keyring;
pub(crate) mod load;
pub(crate) mod lock;
pub(crate) mod packages;
pub(crate) mod prune;
pub(crate) mod ps;
pub(crate) mod rm;
pub(crate) mod rmi;
pub(crate) mod run;
pub(crate) mod save;
pub(crate) mod system;
pub(crate) mod tag;
pub(crate) mod version;
mod way;

use crate::cli::Command;
use crate::context::Context;
use crate::failure::Failure;

/// Carries out a command. Returns the exit status: 0, or that of the process that `run` ran.
///
/// # Errors
/// What the command says.
pub(crate) fn dispatch(command: Command, context: &Context) -> Result<u8, Failure> {
    match command {
        Command::Bootstrap(args) => bootstrap::run(*args, context),
        Command::Keyring(args) => keyring::run(args, context),
        Command::Debootstrap(args) => debootstrap::run(*args, context),
        Command::Import(args) => import::run(args, context),
        Command::Build(args) => build::run(*args, context),
        Command::Run(args) => run::run(*args, context),
        Command::Inspect(args) => inspect::run(args, context),
        Command::Packages(args) => packages::run(args, context),
        Command::History(args) => history::run(args, context),
        Command::Export(args) => export::run(args, context),
        Command::Cp(args) => cp::run(args, context),
        Command::Debug(args) => debug::run(args, context),
        Command::Images(args) => images::run(args, context),
        Command::Tag(args) => tag::run(args, context),
        Command::Rmi(args) => rmi::run(args, context),
        Command::Save(args) => save::run(args, context),
        Command::Lock(args) => lock::run(args, context),
        Command::Load(args) => load::run(args, context),
        Command::Prune(args) => prune::run(args, context),
        Command::System(args) => system::run(args, context),
        Command::Ps(args) => ps::run(args, context),
        Command::Rm(args) => rm::run(args, context),
        Command::Image(args) => dispatch(args.plain(), context),
        Command::Container(args) => dispatch(args.plain(), context),
        Command::Builder(args) => dispatch(args.plain(), context),
        Command::Fsck(args) => fsck::run(args, context),
        Command::Version(args) => version::run(args, context),
        Command::Info(args) => info::run(args, context),
        Command::Completion(args) => completion::run(args, context),
        Command::Manual(args) => completion::write_manual(args, context),
    }
}

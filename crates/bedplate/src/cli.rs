//! The command line: the one definition that help, man pages and completions come from.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands;

/// Makes container base images from nothing, and works with them: no daemon, no root needed.
#[derive(Debug, Parser)]
#[command(
    name = "bedplate",
    version,
    propagate_version = false,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Run 'bedplate COMMAND --help' for more information on a command."
)]
pub(crate) struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options before or after any command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where images are kept [default: /var/lib/bedplate for root, $XDG_DATA_HOME/bedplate for others] [env: BEDPLATE_ROOT]
    // The variable is read with the rest of the environment: where clap reads it, every usage line shows the option as given.
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) root: Option<PathBuf>,
    /// Say what is done while it is done, on stderr
    #[arg(short = 'D', long, global = true)]
    pub(crate) debug: bool,
}

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a base image from a distribution's signed archive
    Bootstrap(Box<commands::bootstrap::Args>),
    /// Show or update the keys of distributions
    Keyring(commands::keyring::Args),
    /// Fill a directory with a base system, as debootstrap does
    Debootstrap(Box<commands::debootstrap::Args>),
    /// Write down the packages of this machine, to be made an image
    Lock(commands::lock::Args),
    /// Make an image from a tar archive, a directory or a URL
    Import(commands::import::Args),
    /// Build an image from a Dockerfile
    Build(Box<commands::build::Args>),
    /// Open a shell where a build failed
    Debug(commands::debug::Args),
    /// Run a command in a new container
    Run(Box<commands::run::Args>),
    /// List containers
    Ps(commands::ps::Args),
    /// Remove containers
    Rm(commands::rm::Args),
    /// List images
    Images(commands::images::Args),
    /// Show all that is known of images or containers
    Inspect(commands::inspect::Args),
    /// List the packages of an image or container
    Packages(commands::packages::Args),
    /// Show the steps that made an image
    History(commands::history::Args),
    /// Give an image another name
    Tag(commands::tag::Args),
    /// Remove names and images
    Rmi(commands::rmi::Args),
    /// Write images into one archive that docker, podman and OCI tools read
    Save(commands::save::Args),
    /// Take in images that were saved, by us or others
    Load(commands::load::Args),
    /// Write the root filesystem of an image or container as a tar
    Export(commands::export::Args),
    /// Copy files out of an image or container
    Cp(commands::cp::Args),
    /// Remove what nothing uses
    Prune(commands::prune::Args),
    /// Work with images: Docker's second spelling
    Image(commands::groups::ImageArgs),
    /// Work with containers: Docker's second spelling
    Container(commands::groups::ContainerArgs),
    /// Work with the builder: Docker's second spelling
    #[command(alias = "buildx")]
    Builder(commands::groups::BuilderArgs),
    /// Measure or prune the store
    System(commands::system::Args),
    /// Check that the store is whole
    Fsck(commands::fsck::Args),
    /// Show the version
    Version(commands::version::Args),
    /// Show what this machine and the store give
    Info(commands::info::Args),
    /// Print a completion script for a shell
    Completion(commands::completion::Args),
    /// Write the manual pages into a directory
    #[command(hide = true)]
    Manual(commands::completion::ManualArgs),
}

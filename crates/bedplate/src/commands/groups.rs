//! Docker's second spelling of its commands: `image ls`, `container run`, `builder prune`.

use clap::{Args, Subcommand};

use crate::cli::Command;
use crate::commands::{build, cp, export, history, images, import, inspect, load, prune, ps, rm, rmi, run, save, tag};

/// Arguments of `image`.
#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    #[command(subcommand)]
    command: ImageCommand,
}

/// Arguments of `container`.
#[derive(Debug, Args)]
pub(crate) struct ContainerArgs {
    #[command(subcommand)]
    command: ContainerCommand,
}

/// Arguments of `builder` and `buildx`.
#[derive(Debug, Args)]
pub(crate) struct BuilderArgs {
    #[command(subcommand)]
    command: BuilderCommand,
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    /// Build an image from a Dockerfile
    Build(Box<build::Args>),
    /// Show the steps that made an image
    History(history::Args),
    /// Make an image from a tar archive, a directory or a URL
    Import(import::Args),
    /// Show all that is known of images
    Inspect(inspect::Args),
    /// Take in images that were saved, by us or others
    Load(load::Args),
    /// List images
    #[command(alias = "list")]
    Ls(images::Args),
    /// Remove images that have no name
    Prune(prune::OneKind),
    /// Remove names and images
    #[command(alias = "remove")]
    Rm(rmi::Args),
    /// Write images into one archive that docker, podman and OCI tools read
    Save(save::Args),
    /// Give an image another name
    Tag(tag::Args),
}

#[derive(Debug, Subcommand)]
enum ContainerCommand {
    /// Copy files out of an image or container
    Cp(cp::Args),
    /// Write the root filesystem of an image or container as a tar
    Export(export::Args),
    /// Show all that is known of containers
    Inspect(inspect::Args),
    /// List containers
    #[command(aliases = ["list", "ps"])]
    Ls(ps::Args),
    /// Remove containers that do not run
    Prune(prune::OneKind),
    /// Remove containers
    #[command(alias = "remove")]
    Rm(rm::Args),
    /// Run a command in a new container
    Run(Box<run::Args>),
}

#[derive(Debug, Subcommand)]
enum BuilderCommand {
    /// Build an image from a Dockerfile
    Build(Box<build::Args>),
    /// Remove results of build steps
    Prune(prune::OneKind),
}

impl ImageArgs {
    /// The same in the first spelling.
    pub(crate) fn plain(self) -> Command {
        match self.command {
            ImageCommand::Build(args) => Command::Build(args),
            ImageCommand::History(args) => Command::History(args),
            ImageCommand::Import(args) => Command::Import(args),
            ImageCommand::Inspect(args) => Command::Inspect(args.of(inspect::Type::Image)),
            ImageCommand::Load(args) => Command::Load(args),
            ImageCommand::Ls(args) => Command::Images(args),
            ImageCommand::Prune(args) => Command::Prune(args.images()),
            ImageCommand::Rm(args) => Command::Rmi(args),
            ImageCommand::Save(args) => Command::Save(args),
            ImageCommand::Tag(args) => Command::Tag(args),
        }
    }
}

impl ContainerArgs {
    /// The same in the first spelling.
    pub(crate) fn plain(self) -> Command {
        match self.command {
            ContainerCommand::Cp(args) => Command::Cp(args),
            ContainerCommand::Export(args) => Command::Export(args),
            ContainerCommand::Inspect(args) => Command::Inspect(args.of(inspect::Type::Container)),
            ContainerCommand::Ls(args) => Command::Ps(args),
            ContainerCommand::Prune(args) => Command::Prune(args.containers()),
            ContainerCommand::Rm(args) => Command::Rm(args),
            ContainerCommand::Run(args) => Command::Run(args),
        }
    }
}

impl BuilderArgs {
    /// The same in the first spelling.
    pub(crate) fn plain(self) -> Command {
        match self.command {
            BuilderCommand::Build(args) => Command::Build(args),
            BuilderCommand::Prune(args) => Command::Prune(args.build_cache()),
        }
    }
}

//! `bedplate save`: images in one archive, for others.

use std::io::Write;
use std::path::PathBuf;

use bedplate_oci::{Platform, Reference};
use bedplate_store::Store;
use bedplate_store::transfer::{Saved, save};

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output;
use crate::progress::Progress;

/// Arguments of `save`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The archive is a docker-archive and an OCI image layout at once. The same images give the same bytes.

Examples:
  bedplate save hello | docker load
  bedplate save -o both.tar hello debian:trixie
  skopeo inspect oci-archive:both.tar:docker.io/library/hello:latest")]
pub(crate) struct Args {
    /// Write to a file, which appears when it is complete [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Of an image for several platforms save this one
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// The images; one given by its ID is saved without a name
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

/// Writes the archive.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    if args.output.is_none() && context.stdout_is_terminal {
        return Err(Failure::new(Kind::User, "cowardly refusing to save to a terminal")
            .hint("give -o FILE, or redirect standard output"));
    }
    let store = context.store()?;
    let mut images = Vec::new();
    for wanted in &args.images {
        images.push(chosen(&store, wanted, args.platform.as_ref())?);
    }
    let progress = Progress::bytes(context, "saving", None);
    let write = |out: &mut dyn Write| -> Result<(), Failure> {
        save(&store, &images, progress.writer(out))?;
        Ok(())
    };
    match &args.output {
        None => output::to_stdout(write)?,
        Some(path) => output::to_file(path, write)
            .map_err(|failure| failure.context(format!("cannot write {}", path.display())))?,
    }
    Ok(0)
}

fn chosen(store: &Store, wanted: &str, platform: Option<&Platform>) -> Result<Saved, Failure> {
    let image = store.resolve_for(wanted, platform)?;
    let by_name = Reference::parse(wanted).ok().filter(|name| image.names.contains(name));
    Ok(Saved { names: by_name.into_iter().collect(), image })
}

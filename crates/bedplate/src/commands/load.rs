//! `bedplate load`: images that were saved, by us or others.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use bedplate_oci::Platform;
use bedplate_store::transfer::{LoadOptions, Loaded, TransferError, load_archive, load_directory};

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::format;
use crate::progress::Progress;

/// Arguments of `load`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Archives of docker save, podman save, skopeo and buildx are read, compressed or not, and OCI image layouts in a \
directory. Manifests and configs stay as they are; every digest is compared before anything gets a name.

Examples:
  docker save debian | bedplate load
  bedplate load -i image.tar.zst
  bedplate load -i layout/")]
pub(crate) struct Args {
    /// Read an archive or an OCI layout directory [default: standard input]
    #[arg(short, long, value_name = "FILE|DIR")]
    input: Option<PathBuf>,
    /// Of an image for several platforms load this one [default: the host's, else the first]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// Print nothing but errors and what was loaded
    #[arg(short, long)]
    quiet: bool,
}

/// Loads, and says what.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    if args.input.is_none() && io::stdin().is_terminal() {
        return Err(Failure::new(Kind::User, "standard input is a terminal, not an archive")
            .hint("give -i FILE, or pipe an archive into it: docker save IMAGE | bedplate load"));
    }
    let options = LoadOptions { platform: args.platform.clone(), unnamed: false };
    let loaded = match &args.input {
        None => {
            let lease = context.store()?.lease()?;
            let progress = Progress::bytes(context, "loading", None);
            load_archive(&lease, progress.reader(io::stdin().lock()), "standard input", &options)
        }
        Some(path) => {
            let what = path.display().to_string();
            let failed = |error: io::Error| Failure::from(error).context(format!("cannot load {what}"));
            let found = path.metadata().map_err(failed)?;
            if found.is_dir() {
                let lease = context.store()?.lease()?;
                load_directory(&lease, path, &what, &options)
            } else {
                let file = File::open(path).map_err(failed)?;
                let lease = context.store()?.lease()?;
                let progress = Progress::bytes(context, "loading", Some(found.len()));
                load_archive(&lease, progress.reader(file), &what, &options)
            }
        }
    };
    tell(&args, &loaded.map_err(explained)?, context)
}

fn explained(error: TransferError) -> Failure {
    match &error {
        TransferError::NotAnImage { .. } => {
            Failure::from(error).hint("a root filesystem is made an image with: bedplate import FILE NAME")
        }
        _ => error.into(),
    }
}

fn tell(args: &Args, loaded: &Loaded, context: &Context) -> Result<u8, Failure> {
    if !args.quiet && !loaded.left_out.is_empty() {
        context.warn(&format!("left out: {}; choose with --platform", loaded.left_out.join(", ")));
    }
    for (image, names) in &loaded.images {
        match names.as_slice() {
            [] => format::print(&format!("Loaded image ID: {}\n", image.id()))?,
            names => {
                for name in names {
                    format::print(&format!("Loaded image: {}\n", name.familiar()))?;
                }
            }
        }
    }
    Ok(0)
}

//! `bedplate tag`: another name for an image.

use bedplate_oci::Reference;

use crate::context::Context;
use crate::failure::Failure;

/// Arguments of `tag`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image: a name, an ID, or the beginning of an ID
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    source: String,
    /// The name that it gets; without a tag, :latest
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    target: String,
}

/// Gives the name.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let name = Reference::parse(&args.target)?;
    context.store()?.tag(&args.source, &name)?;
    Ok(0)
}

//! `bedplate rmi`: names and images go.

use bedplate_store::{Removal, Store};

use crate::context::Context;
use crate::failure::Failure;
use crate::format;

/// Arguments of `rmi`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An image goes with its last name. By its ID an image is removed that has one name or none, with --force any.")]
pub(crate) struct Args {
    /// Remove an image with all its names, even one that a container was made of
    #[arg(short, long)]
    force: bool,
    /// Accepted for Docker's sake: layers that nothing else needs always go
    #[arg(long)]
    no_prune: bool,
    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

/// Removes; one that cannot be removed does not keep the others.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let store = open(context)?;
    let mut failed = None;
    for wanted in &args.images {
        match store.remove_image(wanted, args.force) {
            Ok(removal) => format::print(&told(&removal))?,
            Err(error) => {
                if let Some(earlier) = failed.replace(Failure::from(error)) {
                    earlier.report();
                }
            }
        }
    }
    failed.map_or(Ok(0), Err)
}

/// The lines that Docker prints.
fn told(removal: &Removal) -> String {
    let untagged = removal.untagged.iter().map(|name| format!("Untagged: {}\n", name.familiar()));
    let deleted = removal.deleted.iter().map(|id| format!("Deleted: {id}\n"));
    untagged.chain(deleted).collect()
}

/// Opens the store to remove things from it: unpacked roots and what containers changed can belong to subordinate IDs,
/// which only root of their user namespace may remove.
pub(crate) fn open(context: &Context) -> Result<Store, Failure> {
    let holds = |folder: &str| {
        let entries = std::fs::read_dir(context.root.join(folder)).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name() != "names").count() > 0
    };
    // The namespace costs some milliseconds: only where there is something for it to do.
    if context.invoker.is_some()
        && (holds("snapshots") || holds("containers") || holds("tmp"))
        && let Err(error) = bedplate_sys::userns::become_root(&bedplate_sys::userns::Sources::default())
    {
        // Images go all the same; what is unpacked of them stays.
        context.warn(&error);
    }
    context.store()
}

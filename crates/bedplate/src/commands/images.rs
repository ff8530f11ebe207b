//! `bedplate images`: what images there are.

use std::collections::BTreeSet;

use bedplate_oci::{Created, Reference};
use bedplate_store::{Image, Origin, Store};
use serde_json::{Value, json};

use crate::commands::filter::ImageFilter;
use crate::context::Context;
use crate::failure::Failure;
use crate::format::{self, Columns};

/// Arguments of `images`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Images of the system's store, which every user may run, are listed behind one's own.

Examples:
  bedplate images debian
  bedplate images --filter dangling=true -q
  bedplate images --format '{{.Repository}}:{{.Tag}} {{.Size}}'")]
pub(crate) struct Args {
    /// Show all images; accepted for Docker's sake, since there are no hidden ones
    #[arg(short, long)]
    all: bool,
    /// Show manifest digests
    #[arg(long)]
    digests: bool,
    /// Show only what fits: before=IMAGE, dangling=BOOL, label=KEY[=VALUE], reference=PATTERN, since=IMAGE, until=TIME
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format the output: "table", "table TEMPLATE", "json", or a Go template for each image
    #[arg(long, value_name = "FORMAT", allow_hyphen_values = true)]
    format: Option<String>,
    /// Do not cut anything short
    #[arg(long)]
    no_trunc: bool,
    /// Print image IDs only
    #[arg(short, long)]
    quiet: bool,
    /// Show only images of this name; a pattern may have * and ?
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("Containers", "CONTAINERS"),
    ("Store", "STORE"),
];

const PLAIN: Columns =
    Columns { headings: HEADINGS, table: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}" };

const WITH_DIGESTS: Columns = Columns {
    headings: HEADINGS,
    table: "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
};

/// Stands where an image has no name.
const NONE: &str = "<none>";

/// Lists.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let columns = if args.digests { WITH_DIGESTS } else { PLAIN };
    let store = context.store()?;
    let time_of = |wanted: &str| -> Result<i64, Failure> {
        Ok(store.resolve(wanted)?.config.created.map_or(0, Created::seconds))
    };
    let mut filter = ImageFilter::parse(&args.filter, context, time_of)?;
    if let Some(name) = &args.name {
        filter = filter.with_reference(name)?;
    }
    let mut lines = Vec::new();
    for (image, names) in listed(&store, context)? {
        if !filter.matches(&image) {
            continue;
        }
        let names: Vec<Option<&Reference>> =
            if names.is_empty() { vec![None] } else { names.iter().map(Some).collect() };
        for name in names.into_iter().filter(|name| filter.matches_name(*name)) {
            let id = match args.no_trunc {
                true => image.id().to_string(),
                false => format::short_id(&image.id().0),
            };
            lines.push((id.clone(), row(&store, &image, name, id, context)?));
        }
    }
    if args.quiet && args.format.is_none() {
        // Of an image with several names Docker prints the ID once for each; a list for programs is better without.
        let mut seen = BTreeSet::new();
        let ids = lines.iter().map(|(id, _)| id).filter(|id| seen.insert((*id).clone()));
        format::print(&ids.map(|id| format!("{id}\n")).collect::<String>())?;
    } else {
        let rows: Vec<Value> = lines.into_iter().map(|(_, row)| row).collect();
        columns.print(args.format.as_deref(), &rows)?;
    }
    Ok(0)
}

/// All images that a look-up can find, the newest first, each with the names that lead to it from here.
fn listed(store: &Store, context: &Context) -> Result<Vec<(Image, Vec<Reference>)>, Failure> {
    let mut listed = Vec::new();
    let mut taken: BTreeSet<Reference> = BTreeSet::new();
    for (place, origin) in std::iter::once((store, Origin::Own)).chain(store.fallback().map(|s| (s, Origin::Fallback)))
    {
        let mut here = Vec::new();
        for image in place.images()? {
            match image {
                Ok(image) => here.push(Image { origin, ..image }),
                Err(unreadable) => {
                    context.warn(&format!("image {} cannot be read: {}", unreadable.digest, unreadable.error));
                }
            }
        }
        for image in here {
            // A name of one's own hides the system's; an image without one of its names left is not hidden.
            let names: Vec<Reference> = image.names.iter().filter(|name| !taken.contains(name)).cloned().collect();
            if origin == Origin::Own || image.names.is_empty() || !names.is_empty() {
                listed.push((image, names));
            }
        }
        taken.extend(listed.iter().flat_map(|(_, names)| names.iter().cloned()));
    }
    let key = |image: &Image, names: &[Reference]| {
        let created = image.config.created.map_or((0, 0), |at| (at.seconds(), at.nanoseconds()));
        (image.origin == Origin::Fallback, std::cmp::Reverse(created), names.first().cloned(), image.id())
    };
    listed.sort_by_cached_key(|(image, names)| key(image, names));
    Ok(listed)
}

fn row(
    store: &Store,
    image: &Image,
    name: Option<&Reference>,
    id: String,
    context: &Context,
) -> Result<Value, Failure> {
    let size = format::size(store.unpacked_size(image)?);
    let place = match image.origin {
        Origin::Own => store.root(),
        Origin::Fallback => store.fallback().map_or(store.root(), Store::root),
    };
    Ok(format::row([
        ("ID", json!(id)),
        ("Repository", json!(name.map_or_else(|| NONE.into(), Reference::familiar_name))),
        ("Tag", json!(name.and_then(Reference::tag).unwrap_or(NONE))),
        ("Digest", json!(image.entry.digest.to_string())),
        ("CreatedSince", json!(format::ago(context.now, image.config.created))),
        ("CreatedAt", json!(format::date_and_time(image.config.created))),
        ("Size", json!(size.clone())),
        ("VirtualSize", json!(size)),
        ("SharedSize", json!("N/A")),
        ("UniqueSize", json!("N/A")),
        ("Containers", json!("N/A")),
        ("Store", json!(place.display().to_string())),
    ]))
}

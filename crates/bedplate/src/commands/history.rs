//! `bedplate history`: the steps that made an image, the newest first.

use bedplate_oci::{Created, History};
use bedplate_store::{Image, Store, StoreError};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::format::{self, Columns};

/// Arguments of `history`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format the output: "table", "table TEMPLATE", "json", or a Go template for each step
    #[arg(long, value_name = "FORMAT", allow_hyphen_values = true)]
    format: Option<String>,
    /// Print sizes and dates for people [default: true]
    #[arg(short = 'H', long, default_value_t = true, default_missing_value = "true", num_args = 0..=1,
          require_equals = true, action = clap::ArgAction::Set, hide_default_value = true, value_name = "BOOL")]
    human: bool,
    /// Do not cut anything short
    #[arg(long)]
    no_trunc: bool,
    /// Print image IDs only
    #[arg(short, long)]
    quiet: bool,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
}

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

const FOR_PEOPLE: Columns =
    Columns { headings: HEADINGS, table: "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}" };

const FOR_PROGRAMS: Columns =
    Columns { headings: HEADINGS, table: "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}" };

/// Characters of a command that a table shows.
const COMMAND_WIDTH: usize = 45;

/// Stands where a step has no image of its own.
const NO_IMAGE: &str = "<missing>";

/// Prints the steps.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let store = context.store()?;
    let image = store.resolve(&args.image)?;
    let mut rows = Vec::new();
    let mut ids = String::new();
    for (position, (step, size)) in steps(&store, &image)?.into_iter().rev().enumerate() {
        let id = match (position, args.no_trunc) {
            (0, true) => image.id().to_string(),
            (0, false) => format::short_id(&image.id().0),
            _ => NO_IMAGE.to_owned(),
        };
        ids.push_str(&format!("{id}\n"));
        rows.push(row(&args, context, id, &step, size));
    }
    if args.quiet && args.format.is_none() {
        format::print(&ids)?;
    } else {
        let columns = if args.human { FOR_PEOPLE } else { FOR_PROGRAMS };
        columns.print(args.format.as_deref(), &rows)?;
    }
    Ok(0)
}

/// The steps, the oldest first, each with the bytes of its layer.
fn steps(store: &Store, image: &Image) -> Result<Vec<(History, u64)>, Failure> {
    let documents = bedplate_image::Image::parse(image.manifest_bytes.clone(), image.config_bytes.clone())?;
    let sizes = image.layers().map(|(diff_id, layer)| match diff_id.0 == layer.digest {
        true => Ok(layer.size),
        false => Ok(store.layer_index(&diff_id)?.stream_size()),
    });
    let sizes = sizes.collect::<Result<Vec<u64>, StoreError>>()?;
    let size = |layer: Option<usize>| layer.and_then(|layer| sizes.get(layer).copied()).unwrap_or(0);
    Ok(documents.history().into_iter().map(|(step, layer)| (step, size(layer))).collect())
}

fn row(args: &Args, context: &Context, id: String, step: &History, size: u64) -> Value {
    let mut command = step.created_by.replace('\t', " ");
    if !args.no_trunc {
        command = format::cut(&command, COMMAND_WIDTH);
    }
    let size = if args.human { format::size(size) } else { size.to_string() };
    let at = step.created.map_or_else(String::new, |at| Created::from_seconds(at.seconds()).to_string());
    format::row([
        ("ID", json!(id)),
        ("CreatedSince", json!(format::ago(context.now, step.created))),
        ("CreatedAt", json!(at)),
        ("CreatedBy", json!(command)),
        ("Size", json!(size)),
        ("Comment", json!(step.comment)),
    ])
}

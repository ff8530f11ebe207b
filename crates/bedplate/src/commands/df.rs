//! `bedplate system df`: how much space is used for what.

use bedplate_store::{Part, Status, Usage};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::format::{self, Columns};

/// Arguments of `system df`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format the output: "table", "table TEMPLATE", "json", or a Go template for each kind
    #[arg(long, value_name = "FORMAT", allow_hyphen_values = true)]
    format: Option<String>,
    /// Show each image and container
    #[arg(short, long)]
    verbose: bool,
}

const SUMMARY: Columns = Columns {
    headings: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
    table: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
};

const IMAGES: Columns = Columns {
    headings: &[
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("ID", "IMAGE ID"),
        ("CreatedSince", "CREATED"),
        ("Size", "SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("Containers", "CONTAINERS"),
    ],
    table: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
};

const CONTAINERS: Columns = Columns {
    headings: &[
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("Size", "SIZE"),
        ("Status", "STATUS"),
        ("Names", "NAMES"),
    ],
    table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.Size}}\t{{.Status}}\t{{.Names}}",
};

/// Measures and prints.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    if args.verbose && args.format.is_some() {
        return Err(Failure::new(Kind::User, "--verbose and --format cannot be given together"));
    }
    let usage = context.store()?.usage()?;
    if args.verbose {
        return verbose(&usage, context);
    }
    let rows = [
        part("Images", usage.images),
        part("Containers", usage.containers),
        part("Build Cache", usage.build_cache),
        part("Snapshots", usage.snapshots),
        part("Downloads", usage.downloads),
    ];
    SUMMARY.print(args.format.as_deref(), &rows)?;
    Ok(0)
}

fn part(kind: &str, part: Part) -> Value {
    let mut reclaimable = format::exact_size(part.reclaimable);
    if part.size > 0 {
        reclaimable.push_str(&format!(" ({}%)", u128::from(part.reclaimable) * 100 / u128::from(part.size)));
    }
    format::row([
        ("Type", json!(kind)),
        ("TotalCount", json!(part.total.to_string())),
        ("Active", json!(part.active.to_string())),
        ("Size", json!(format::exact_size(part.size))),
        ("Reclaimable", json!(reclaimable)),
    ])
}

fn verbose(usage: &Usage, context: &Context) -> Result<u8, Failure> {
    let mut rows = Vec::new();
    for detail in &usage.image_details {
        let (name, tag) = detail.image.names.first().map_or(("<none>".to_owned(), "<none>".to_owned()), |name| {
            (name.familiar_name(), name.tag().unwrap_or("<none>").to_owned())
        });
        rows.push(format::row([
            ("Repository", json!(name)),
            ("Tag", json!(tag)),
            ("ID", json!(format::short_id(&detail.image.id().0))),
            ("CreatedSince", json!(format::ago(context.now, detail.image.config.created))),
            ("Size", json!(format::exact_size(detail.shared + detail.unique))),
            ("SharedSize", json!(format::exact_size(detail.shared))),
            ("UniqueSize", json!(format::exact_size(detail.unique))),
            ("Containers", json!(detail.containers.to_string())),
        ]));
    }
    format::print("Images space usage:\n\n")?;
    IMAGES.print(None, &rows)?;
    let mut rows = Vec::new();
    for detail in &usage.container_details {
        let state = &detail.state;
        let status = match state.status {
            Status::Created => "created",
            Status::Running => "running",
            Status::Exited => "exited",
        };
        rows.push(format::row([
            ("ID", json!(state.id.chars().take(12).collect::<String>())),
            ("Image", json!(state.image_name)),
            ("Command", json!(format::cut(&format!("{:?}", state.command.join(" ")), 20))),
            ("Size", json!(format::exact_size(detail.size))),
            ("Status", json!(status)),
            ("Names", json!(state.name)),
        ]));
    }
    format::print("\nContainers space usage:\n\n")?;
    CONTAINERS.print(None, &rows)?;
    for (what, part) in
        [("Build cache", usage.build_cache), ("Snapshots", usage.snapshots), ("Downloads", usage.downloads)]
    {
        format::print(&format!("\n{what} usage: {}\n", format::exact_size(part.size)))?;
    }
    Ok(0)
}

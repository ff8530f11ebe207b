//! `bedplate ps`: the containers that there are.

use bedplate_oci::Created;
use bedplate_store::{ContainerState, Status};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::format::{self, Columns};

/// Arguments of `ps`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show all containers, not only those that run
    #[arg(short, long)]
    all: bool,
    /// Format the output: "table", "table TEMPLATE", "json", or a Go template for each container
    #[arg(long, value_name = "FORMAT", allow_hyphen_values = true)]
    format: Option<String>,
    /// Show the newest container only, in whatever state
    #[arg(short, long)]
    latest: bool,
    /// Do not cut anything short
    #[arg(long)]
    no_trunc: bool,
    /// Print container IDs only
    #[arg(short, long)]
    quiet: bool,
}

const COLUMNS: Columns = Columns {
    headings: &[
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("State", "STATE"),
        ("Status", "STATUS"),
        ("Ports", "PORTS"),
        ("Names", "NAMES"),
    ],
    table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
};

/// The longest command that is shown whole, in characters: Docker's.
const COMMAND: usize = 20;

/// Lists, the newest first.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let mut states = context.store()?.containers()?;
    states.reverse();
    if args.latest {
        states.truncate(1);
    } else if !args.all {
        states.retain(|state| state.status == Status::Running);
    }
    if args.quiet && args.format.is_none() {
        format::print(&states.iter().map(|state| id(state, &args) + "\n").collect::<String>())?;
        return Ok(0);
    }
    let rows: Vec<Value> = states.iter().map(|state| row(state, &args, context)).collect();
    COLUMNS.print(args.format.as_deref(), &rows)?;
    Ok(0)
}

fn id(state: &ContainerState, args: &Args) -> String {
    match args.no_trunc {
        true => state.id.clone(),
        false => state.id.chars().take(12).collect(),
    }
}

fn row(state: &ContainerState, args: &Args, context: &Context) -> Value {
    let ago = |seconds: i64| format::ago(context.now, Some(Created::from_seconds(seconds)));
    let status = match state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => format!("Up {}", ago(state.started.unwrap_or(state.created)).trim_end_matches(" ago")),
        // One whose process died unseen has neither.
        Status::Exited => match (state.exit_code, state.finished) {
            (Some(code), Some(finished)) => format!("Exited ({code}) {}", ago(finished)),
            _ => "Dead".to_owned(),
        },
    };
    let word = match state.status {
        Status::Created => "created",
        Status::Running => "running",
        Status::Exited => "exited",
    };
    let mut command = state.command.join(" ");
    if !args.no_trunc && command.chars().count() > COMMAND {
        command = command.chars().take(COMMAND - 1).chain(['…']).collect();
    }
    format::row([
        ("ID", json!(id(state, args))),
        ("Image", json!(state.image_name)),
        ("Command", json!(format!("{command:?}"))),
        ("CreatedAt", json!(format::date_and_time(Some(Created::from_seconds(state.created))))),
        ("RunningFor", json!(ago(state.created))),
        ("State", json!(word)),
        ("Status", json!(status)),
        ("Ports", json!("")),
        ("Names", json!(state.name)),
    ])
}

//! `bedplate version`: which program this is.

use bedplate_template::{Shape, Template};
use serde_json::json;

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::format;

/// Arguments of `version`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format the output by a Go template, or "json" for JSON on one line
    #[arg(short, long, value_name = "TEMPLATE", allow_hyphen_values = true)]
    format: Option<String>,
}

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The architecture in Go's spelling, which images and Docker's output use.
pub(crate) const ARCHITECTURE: &str = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => "amd64",
    b"aarch64" => "arm64",
    b"x86" => "386",
    _ => std::env::consts::ARCH,
};

/// Prints the version. There is no daemon: what Docker says of client and server is one program here.
pub(crate) fn run(args: Args, _: &Context) -> Result<u8, Failure> {
    let program = json!({
        "Platform": {"Name": "bedplate"},
        "Version": VERSION,
        "Os": "linux",
        "Arch": ARCHITECTURE,
        "StoreFormat": bedplate_store::FORMAT,
    });
    let all = json!({"Client": program, "Server": program});
    let text = match args.format.as_deref().filter(|format| !format.is_empty()) {
        None => format!(
            "bedplate:\n Version:       {VERSION}\n OS/Arch:       linux/{ARCHITECTURE}\n Store format:  {}\n",
            bedplate_store::FORMAT
        ),
        Some("json") => format!("{all}\n"),
        Some(template) => {
            let rendered = Template::parse(template).and_then(|template| template.render(&all, &Shape::STRICT));
            format!("{}\n", rendered.map_err(|error| Failure::new(Kind::User, error.to_string()))?)
        }
    };
    format::print(&text)?;
    Ok(0)
}

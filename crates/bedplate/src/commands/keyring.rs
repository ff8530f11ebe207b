//! `bedplate keyring`: the keys that may sign a distribution's archive.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bedplate_bootstrap::acquire::{Context as AcquireContext, Event, Host, Observer};
use bedplate_bootstrap::distribution::{self, Distribution, Pocket};
use bedplate_bootstrap::keyring::{self, KnownKey, Origin};
use bedplate_bootstrap::request::{Mirror, Request};
use bedplate_trust::Certificate;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::format::{self, Columns};

/// Arguments of `keyring`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the keys that may sign a distribution's archive, and where they come from
    #[command(alias = "list")]
    Ls(List),
    /// Take new keys from the distribution's own signed package
    Update(Update),
}

/// Arguments of `keyring ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys are built in, were taken by `bedplate keyring update`, or lie in this host's /usr/share/keyrings and \
/etc/apt/trusted.gpg.d under the distribution's name.")]
struct List {
    /// Format the output: "table", "table TEMPLATE", "json", or a Go template for each key
    #[arg(long, value_name = "FORMAT", allow_hyphen_values = true)]
    format: Option<String>,
    /// Read the distribution from this file
    #[arg(long, value_name = "FILE")]
    distribution: Option<PathBuf>,
    /// The distribution [default: all that are built in]
    #[arg(value_name = "DISTRIBUTION", conflicts_with = "distribution")]
    name: Option<String>,
}

/// Arguments of `keyring update`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The package of keys is verified as any other, by the keys that are known. It goes into the store, where every later \
bootstrap finds it; an older one is refused.

Examples:
  bedplate keyring update debian
  bedplate keyring update ubuntu:noble --keyring ubuntu-archive-keyring.gpg")]
struct Update {
    /// Ask this archive; may be given more than once, and for one pocket: security=URL
    #[arg(long, value_name = "[POCKET=]URL")]
    mirror: Vec<String>,
    /// Look for the package in these pockets: release, updates, security, backports [default: all but backports]
    #[arg(long, value_name = "POCKET,...", value_delimiter = ',')]
    pockets: Vec<String>,
    /// Verify the package by this keyring and no other; may be given more than once
    #[arg(long, value_name = "FILE")]
    keyring: Vec<PathBuf>,
    /// Read the distribution from this file
    #[arg(long, value_name = "FILE")]
    distribution: Option<PathBuf>,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
    /// The distribution, or one of its suites
    #[arg(value_name = "DISTRIBUTION")]
    suite: String,
}

/// Hands on.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    match args.command {
        Command::Ls(args) => list(&args, context),
        Command::Update(args) => update(args, context),
    }
}

const COLUMNS: Columns = Columns {
    headings: &[
        ("Distribution", "DISTRIBUTION"),
        ("Fingerprint", "FINGERPRINT"),
        ("User", "USER"),
        ("Created", "CREATED"),
        ("Expires", "EXPIRES"),
        ("Status", "STATUS"),
        ("Origin", "ORIGIN"),
    ],
    table: "{{.Fingerprint}}\t{{.User}}\t{{.Expires}}\t{{.Status}}\t{{.Origin}}",
};

fn list(args: &List, context: &Context) -> Result<u8, Failure> {
    let store = context.store()?;
    let given = args.distribution.as_deref().map(read).transpose()?;
    let known: Vec<&Distribution> = match (&given, &args.name) {
        (Some(given), _) => vec![given],
        (None, Some(name)) => vec![find(name)?],
        (None, None) => distribution::builtin().iter().collect(),
    };
    let mut rows = Vec::new();
    for distribution in known {
        let mut names = distribution.keyrings.clone();
        names.extend(distribution.ended_keyrings.iter().filter(|name| !distribution.keyrings.contains(name)).cloned());
        let known = keyring::known(distribution, &names, &store, Path::new("/"))?;
        for notice in known.notices {
            context.warn(&notice);
        }
        rows.extend(known.keys.iter().map(|key| row(distribution, key, context)));
    }
    COLUMNS.print(args.format.as_deref(), &rows)?;
    Ok(0)
}

fn row(distribution: &Distribution, key: &KnownKey, context: &Context) -> Value {
    let KnownKey { certificate, origin } = key;
    let now = u64::try_from(context.seconds()).unwrap_or_default();
    let status = match certificate.expires {
        _ if certificate.revoked => "revoked",
        Some(expires) if expires.0 <= now => "expired",
        _ => "valid",
    };
    let day = |time: bedplate_trust::UnixSeconds| time.to_string().chars().take(10).collect::<String>();
    let origin = match origin {
        Origin::Updated(_) => "updated".to_owned(),
        other => other.to_string(),
    };
    format::row([
        ("Distribution", json!(distribution.name)),
        ("Fingerprint", json!(certificate.fingerprint.as_str())),
        ("User", json!(user(certificate))),
        ("Created", json!(day(certificate.created))),
        ("Expires", json!(certificate.expires.map_or_else(|| "never".to_owned(), day))),
        ("Status", json!(status)),
        ("Origin", json!(origin)),
    ])
}

fn user(certificate: &Certificate) -> &str {
    certificate.user_ids.first().map_or("", String::as_str)
}

fn update(args: Update, context: &Context) -> Result<u8, Failure> {
    let mut request = Request::new(args.suite);
    request.distribution = args.distribution.as_deref().map(read).transpose()?;
    request.mirrors = args.mirror.iter().map(|text| Mirror::parse(text)).collect();
    request.keyrings = args.keyring;
    if !args.pockets.is_empty() {
        let pockets = args.pockets.iter().map(|name| name.parse()).collect::<Result<Vec<Pocket>, _>>()?;
        request.pockets = Some(pockets);
    }
    let store = context.store()?;
    let fetcher = context.fetcher()?;
    let host = Host::read(Path::new("/"))?;
    let acquiring = AcquireContext {
        store: &store,
        fetcher: &fetcher,
        now: context.seconds(),
        host: &host,
        offline: false,
        observer: &Told { context, quiet: args.quiet },
    };
    let updated = keyring::update(&request, &acquiring)?;
    if args.quiet {
        return Ok(0);
    }
    let mut text = String::new();
    // Writing to a String cannot fail.
    for key in &updated.added {
        let _ = writeln!(text, "added {} {}", key.fingerprint, user(key));
    }
    for key in &updated.revoked {
        let _ = writeln!(text, "revoked {} {}", key.fingerprint, user(key));
    }
    let nothing = if text.is_empty() { ": nothing new" } else { "" };
    let _ = writeln!(text, "{}{nothing}", updated.package);
    format::print(&text)?;
    Ok(0)
}

/// Tells what people should know of the archive, and nothing of the progress of ten seconds.
pub(super) struct Told<'a> {
    pub(super) context: &'a Context,
    pub(super) quiet: bool,
}

impl Observer for Told<'_> {
    fn event(&self, event: Event<'_>) {
        if let (Event::Notice(notice), false) = (event, self.quiet) {
            self.context.notice(notice);
        }
    }
}

fn read(path: &Path) -> Result<Distribution, Failure> {
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::from(error).context(format!("cannot read {path:?}")))?;
    Ok(Distribution::parse(&text)?)
}

fn find(name: &str) -> Result<&'static Distribution, Failure> {
    let known = distribution::builtin();
    known.iter().find(|known| known.name == name).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
        Failure::new(Kind::User, format!("no distribution {name:?} is known"))
            .hint(format!("known: {}", names.join(", ")))
    })
}

//! `bedplate lock`: a lock file without a bootstrap.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bedplate_bootstrap::acquire::{Context as AcquireContext, Host, Quiet, open};
use bedplate_bootstrap::lock::{Lock, LockedSource, from_host};
use bedplate_bootstrap::request::{Mirror, Request, Variant};

use super::bootstrap::yes_or_no;
use crate::context::Context;
use crate::failure::{Failure, Kind};

/// Arguments of `lock`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The packages of this machine are looked for in the archive of its suite; what the archive does not have in exactly that \
version is named, and no lock is written.

Examples:
  bedplate lock --from-host -o host.lock
  bedplate bootstrap --locked host.lock -t like-this-machine")]
pub(crate) struct Args {
    /// Lock the packages of the machine that this runs on
    #[arg(long, required = true)]
    from_host: bool,
    /// Leave out packages that the archive does not have, and say which
    #[arg(long)]
    skip_missing: bool,
    /// Ask this archive; may be given more than once, and for one pocket: security=URL
    #[arg(long, value_name = "[POCKET=]URL")]
    mirror: Vec<String>,
    /// Verify signatures by this keyring and no other; may be given more than once
    #[arg(long, value_name = "FILE")]
    keyring: Vec<PathBuf>,
    /// Refuse indexes past their date, or do not [default: as this host's apt]
    #[arg(long, value_name = "yes|no", value_parser = yes_or_no)]
    check_valid_until: Option<bool>,
    /// Write to a file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The suite [default: the machine's own]
    #[arg(value_name = "SUITE")]
    suite: Option<String>,
}

/// dpkg's list of what is installed.
const STATUS: &str = "/var/lib/dpkg/status";

/// Writes the lock.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let host = Host::read(Path::new("/"))?;
    let suite = match (&args.suite, &host.distribution, &host.codename) {
        (Some(suite), ..) => suite.clone(),
        (None, Some(distribution), Some(codename)) => format!("{distribution}:{codename}"),
        _ => {
            return Err(Failure::new(Kind::User, "this machine does not say which suite it runs")
                .hint("name it: bedplate lock --from-host SUITE"));
        }
    };
    let status = std::fs::read(STATUS).map_err(|error| {
        Failure::from(error).context(format!("cannot read {STATUS}: only machines with dpkg have a list of packages"))
    })?;
    let mut request = Request::new(suite);
    request.variant = Variant::Custom;
    request.mirrors = args.mirror.iter().map(|text| Mirror::parse(text)).collect();
    request.keyrings.clone_from(&args.keyring);
    request.checks.valid_until = args.check_valid_until;
    let store = context.store()?;
    let fetcher = context.fetcher()?;
    let acquiring = AcquireContext {
        store: &store,
        fetcher: &fetcher,
        now: context.seconds(),
        host: &host,
        offline: false,
        observer: &Quiet,
    };
    let acquired = open(&request, &acquiring)?;
    let found = from_host(&status, &acquired)?;
    if !found.missing.is_empty() && !args.skip_missing {
        let shown: Vec<&str> = found.missing.iter().take(5).map(String::as_str).collect();
        return Err(Failure::new(
            Kind::User,
            format!(
                "the archive does not have {} of {} packages, among them {}",
                found.missing.len(),
                found.missing.len() + found.packages.len(),
                shown.join(", ")
            ),
        )
        .hint(
            "upgrade the machine, name an archive that has them with --mirror, or leave them out with --skip-missing",
        ));
    }
    for missing in &found.missing {
        context.warn(&format!("left out: {missing}"));
    }
    // No package is fetched to look for the newest time in it: the archive's own is as good, and stands in the lock.
    let newest = acquired.sources.iter().map(|source| source.release.date).max().unwrap_or_default();
    let epoch = context.source_date_epoch.unwrap_or(newest);
    let sources = acquired.sources.iter().map(LockedSource::of).collect();
    let text = Lock::new(&request, &acquired.plan, sources, epoch, Vec::new(), found.packages).to_toml();
    match &args.output {
        Some(path) => crate::output::to_file(path, |out| Ok(out.write_all(text.as_bytes())?))
            .map_err(|failure| failure.context(format!("cannot write the lock file {path:?}")))?,
        None => io::stdout().write_all(text.as_bytes())?,
    }
    Ok(0)
}

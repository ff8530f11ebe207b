//! `bedplate prune`: what nothing uses goes.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bedplate_store::{CacheKind, Store};

use crate::commands::{filter, rmi};
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::format;

/// Arguments of `prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a choice: stopped containers, images without a name, results of build steps, and unpacked roots. Unpacked \
roots and caches are made again when they are needed.

Examples:
  bedplate prune -f
  bedplate prune --images --all --filter until=24h
  bedplate prune --downloads")]
pub(crate) struct Args {
    #[command(flatten)]
    common: OneKind,
    /// Stopped containers
    #[arg(long, help_heading = "Choice")]
    containers: bool,
    /// Images
    #[arg(long, help_heading = "Choice")]
    images: bool,
    /// Results of build steps
    #[arg(long, help_heading = "Choice")]
    build_cache: bool,
    /// Unpacked roots, and layers in uncompressed form
    #[arg(long, help_heading = "Choice")]
    snapshots: bool,
    /// Packages, indexes and files from the network
    #[arg(long, help_heading = "Choice")]
    downloads: bool,
}

/// What every kind of pruning takes: all that `image prune`, `container prune` and `builder prune` do.
#[derive(Debug, clap::Args)]
pub(crate) struct OneKind {
    /// Remove every image that no container was made of, not only those without a name
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Remove only what fits: until=TIME (a time, or a duration like 24h), label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

impl OneKind {
    fn plain(self) -> Args {
        Args { common: self, containers: false, images: false, build_cache: false, snapshots: false, downloads: false }
    }

    /// Removes images.
    pub(crate) fn images(self) -> Args {
        Args { images: true, ..self.plain() }
    }

    /// Removes containers.
    pub(crate) fn containers(self) -> Args {
        Args { containers: true, ..self.plain() }
    }

    /// Removes results of build steps.
    pub(crate) fn build_cache(self) -> Args {
        Args { build_cache: true, ..self.plain() }
    }
}

impl Args {
    /// Nothing chosen means all but downloads, which cost most to have again.
    fn chosen(&self, what: bool) -> bool {
        what || !(self.containers || self.images || self.build_cache || self.snapshots || self.downloads)
    }

    fn question(&self) -> String {
        let mut lines = vec!["WARNING! This will remove:".to_owned()];
        let images = match self.common.all {
            true => "all images without at least one container associated to them",
            false => "all dangling images",
        };
        for (chosen, line) in [
            (self.chosen(self.containers), "all stopped containers"),
            (self.chosen(self.images), images),
            (self.chosen(self.build_cache), "unused build cache"),
            (self.chosen(self.snapshots), "unpacked roots that are not in use"),
            (self.downloads, "downloaded packages, indexes and files"),
        ] {
            if chosen {
                lines.push(format!("  - {line}"));
            }
        }
        lines.join("\n")
    }
}

/// Removes, and says what.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    if !args.common.force && !agreed(&args, context)? {
        return Ok(0);
    }
    let store = rmi::open(context)?;
    let no_image = |_: &str| Err(Failure::new(Kind::User, "prune has no filters before and since"));
    let conditions = filter::ImageFilter::parse(&args.common.filter, context, no_image)?;
    let until = args.common.filter.iter().filter_map(|text| text.strip_prefix("until=")).next_back();
    let until = until.and_then(|text| filter::until(text, context.now));
    let before = store.usage()?;

    if args.chosen(args.containers) {
        let later = |state: &bedplate_store::ContainerState| until.is_some_and(|until| state.created >= until);
        list("Deleted Containers:", store.prune_containers(later)?)?;
    }
    // Before the images: their list is written anew, for which a full disk has no room until something went.
    caches(&args, &store, until)?;
    let mut images = Vec::new();
    if args.chosen(args.images) {
        let removal = store.prune_images(args.common.all, |image| !conditions.matches(image))?;
        images.extend(removal.untagged.iter().map(|name| format!("untagged: {}", name.familiar())));
        images.extend(removal.deleted.iter().map(|id| format!("deleted: {id}")));
    }
    list("Deleted Images:", images)?;
    let swept = store.sweep()?;
    if swept.snapshots_left > 0 {
        context.warn(&format!("{} unpacked roots belong to other users and stay", swept.snapshots_left));
    }
    let freed = total(&before).saturating_sub(total(&store.usage()?));
    format::print(&format!("Total reclaimed space: {}\n", format::size(freed)))?;
    Ok(0)
}

fn caches(args: &Args, store: &Store, until: Option<i64>) -> Result<(), Failure> {
    let until = until.map(|until| UNIX_EPOCH + Duration::from_secs(u64::try_from(until).unwrap_or(0)));
    let mut kinds: Vec<CacheKind> = Vec::new();
    if args.chosen(args.build_cache) {
        kinds.extend([CacheKind::Build, CacheKind::Context, CacheKind::Mounts]);
    }
    if args.chosen(args.snapshots) {
        kinds.push(CacheKind::Streams);
        // Their time of use is not kept: with a time limit they stay.
        if until.is_none() {
            store.prune_snapshots()?;
        }
    }
    if args.downloads {
        kinds.extend([CacheKind::Packages, CacheKind::Payloads, CacheKind::Indexes, CacheKind::Http]);
    }
    let mut busy = BTreeSet::new();
    for kind in kinds {
        let before: Option<SystemTime> = until;
        if store.empty_cache(kind, before)?.is_none() {
            busy.insert(kind.folder());
        }
    }
    if !busy.is_empty() {
        let busy: Vec<_> = busy.into_iter().collect();
        list("In use, and kept:", busy.into_iter().map(|kind| format!("cache {kind}")).collect())?;
    }
    Ok(())
}

fn list(heading: &str, lines: Vec<String>) -> Result<(), Failure> {
    match lines.is_empty() {
        true => Ok(()),
        false => format::print(&format!("{heading}\n{}\n\n", lines.join("\n"))),
    }
}

fn total(usage: &bedplate_store::Usage) -> u64 {
    [usage.images, usage.containers, usage.build_cache, usage.snapshots, usage.downloads]
        .iter()
        .map(|part| part.size)
        .sum()
}

fn agreed(args: &Args, context: &Context) -> Result<bool, Failure> {
    let mut err = io::stderr().lock();
    writeln!(err, "{}\n", args.question())?;
    if !io::stdin().is_terminal() || !context.stderr_is_terminal {
        return Err(Failure::new(Kind::User, "nobody can be asked whether to remove these").hint("give --force"));
    }
    write!(err, "Are you sure you want to continue? [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

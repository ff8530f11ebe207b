//! `bedplate packages`: the packages of an image or container, read from its own database; nothing in it runs.

use bedplate_image::read_content;
use bedplate_packages::deb::dpkg::status::{self, PackageState, Stanza};
use bedplate_packages::deb::package::Package;
use bedplate_tree::{EntryKind, InodeId, Tree, TreePath};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::format::{self, Columns};
use crate::rootfs::Rootfs;

/// Arguments of `packages`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads dpkg's database: var/lib/dpkg/status, and status.d of images without dpkg. Nothing of the image is run.

Examples:
  bedplate packages debian:trixie
  bedplate packages --format '{{.Name}}={{.Version}}' trixie
  bedplate packages --files base-files trixie")]
pub(crate) struct Args {
    /// Show packages too of which only the configuration is left
    #[arg(short, long)]
    all: bool,
    /// List the files of a package instead, as it was unpacked
    #[arg(long, value_name = "PACKAGE", conflicts_with_all = ["all", "format", "quiet"])]
    files: Option<String>,
    /// Format the output: "table", "table TEMPLATE", "json", or a Go template for each package
    #[arg(long, value_name = "FORMAT", allow_hyphen_values = true)]
    format: Option<String>,
    /// Print names only
    #[arg(short, long)]
    quiet: bool,
    /// The image or container
    #[arg(value_name = "IMAGE|CONTAINER")]
    object: String,
}

const COLUMNS: Columns = Columns {
    headings: &[
        ("Name", "NAME"),
        ("Version", "VERSION"),
        ("Architecture", "ARCHITECTURE"),
        ("Source", "SOURCE"),
        ("SourceVersion", "SOURCE VERSION"),
        ("Section", "SECTION"),
        ("Priority", "PRIORITY"),
        ("Size", "SIZE"),
        ("Status", "STATUS"),
        ("Summary", "SUMMARY"),
    ],
    table: "{{.Name}}\t{{.Version}}\t{{.Architecture}}",
};

/// The most bytes of one file of the database. The status of a desktop with 5,000 packages has 6 MiB.
const MAX_FILE: u64 = 64 << 20;

const STATUS: &str = "var/lib/dpkg/status";
/// Where images without dpkg keep a file for each package.
const STATUS_D: &str = "var/lib/dpkg/status.d";
const INFO: &str = "var/lib/dpkg/info";

/// Lists.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let store = context.store()?;
    let rootfs = Rootfs::find(context, &store, &args.object)?;
    let database = Database { rootfs: &rootfs };
    if let Some(package) = &args.files {
        return files(&database, package, &args.object);
    }
    let files = database.status_files()?;
    if files.is_empty() {
        let message = format!("{:?} has no package database that is known here", args.object);
        return Err(Failure::new(Kind::User, message).hint(format!("looked for {STATUS} and {STATUS_D}")));
    }
    let mut packages = Vec::new();
    for (path, text) in &files {
        packages.extend(parse(path, text)?);
    }
    packages.retain(|package| args.all || is_there(package.state));
    packages.sort_by_key(|package| (package.name, package.architecture));
    if args.quiet && args.format.is_none() {
        format::print(&packages.iter().map(|package| format!("{}\n", package.name)).collect::<String>())?;
    } else {
        let rows: Vec<Value> = packages.iter().map(row).collect();
        COLUMNS.print(args.format.as_deref(), &rows)?;
    }
    Ok(0)
}

fn parse<'a>(path: &TreePath, text: &'a [u8]) -> Result<Vec<Stanza<'a>>, Failure> {
    status::parse(text).map_err(|error| Failure::from(error).context(format!("cannot read {path}")))
}

fn is_there(state: PackageState) -> bool {
    !matches!(state, PackageState::NotInstalled | PackageState::ConfigFiles)
}

fn row(stanza: &Stanza<'_>) -> Value {
    // A package of which only the configuration is left may lack what a whole one has.
    let package = Package::parse(&stanza.paragraph).ok();
    let whole = package.as_ref();
    let text = |name: &str| stanza.paragraph.get(name).ok().flatten().unwrap_or_default();
    let size = whole.and_then(|package| package.installed_size).map(|size| format::size(size.saturating_mul(1024)));
    let summary = text("Description").lines().next().unwrap_or_default();
    format::row([
        ("Name", json!(stanza.name)),
        ("Version", json!(stanza.version)),
        ("Architecture", json!(stanza.architecture)),
        ("Source", json!(whole.map_or(stanza.name, Package::source))),
        ("SourceVersion", json!(whole.map_or(stanza.version, Package::source_version))),
        ("Section", json!(text("Section"))),
        ("Priority", json!(text("Priority"))),
        ("Size", json!(size.unwrap_or_default())),
        ("Status", json!(word(stanza.state))),
        ("Summary", json!(summary)),
    ])
}

/// The state in dpkg's word for it.
fn word(state: PackageState) -> &'static str {
    match state {
        PackageState::NotInstalled => "not-installed",
        PackageState::ConfigFiles => "config-files",
        PackageState::HalfInstalled => "half-installed",
        PackageState::Unpacked => "unpacked",
        PackageState::HalfConfigured => "half-configured",
        PackageState::TriggersAwaited => "triggers-awaited",
        PackageState::TriggersPending => "triggers-pending",
        PackageState::Installed => "installed",
    }
}

/// Prints the files of a package: `.list` of dpkg, or the sums of an image without it.
fn files(database: &Database<'_>, wanted: &str, object: &str) -> Result<u8, Failure> {
    let (name, architecture) = wanted.split_once(':').unwrap_or((wanted, ""));
    let is_list = |file: &str| {
        let package = file.strip_suffix(".list");
        let (own, own_architecture) =
            package.map_or(("", ""), |package| package.split_once(':').unwrap_or((package, "")));
        own == name && (architecture.is_empty() || own_architecture.is_empty() || own_architecture == architecture)
    };
    let mut text = String::new();
    let lists = database.files_in(INFO, is_list)?;
    for (_, list) in &lists {
        text.push_str(&String::from_utf8_lossy(list));
    }
    let sums = database.files_in(STATUS_D, |file| file.strip_suffix(".md5sums") == Some(name))?;
    for (_, sums) in &sums {
        for line in String::from_utf8_lossy(sums).lines() {
            if let Some((_, path)) = line.split_once("  ") {
                text.push_str(&format!("/{path}\n"));
            }
        }
    }
    if lists.is_empty() && sums.is_empty() {
        return Err(Failure::new(Kind::User, format!("{object:?} has no list of the files of package {wanted:?}"))
            .hint(format!("bedplate packages {object} shows what it has")));
    }
    format::print(&text)?;
    Ok(0)
}

/// dpkg's database in a root filesystem.
struct Database<'r> {
    rootfs: &'r Rootfs<'r>,
}

impl Database<'_> {
    /// The files that say which packages there are.
    fn status_files(&self) -> Result<Vec<(TreePath, Vec<u8>)>, Failure> {
        let mut files = Vec::new();
        if let Some((path, id)) = self.find(STATUS)? {
            files.extend(self.read(&path, id)?.map(|bytes| (path, bytes)));
        }
        files.extend(self.files_in(STATUS_D, |name| !name.ends_with(".md5sums"))?);
        Ok(files)
    }

    /// The files of a folder whose names are wanted, in the order of their names.
    fn files_in(&self, folder: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<(TreePath, Vec<u8>)>, Failure> {
        let mut files = Vec::new();
        let Some((path, id)) = self.find(folder)? else { return Ok(files) };
        for (name, child) in self.tree().inode(id).children() {
            if std::str::from_utf8(name.as_bytes()).is_ok_and(&wanted) {
                let path = path.join(name)?;
                files.extend(self.read(&path, *child)?.map(|bytes| (path, bytes)));
            }
        }
        Ok(files)
    }

    fn tree(&self) -> &Tree {
        &self.rootfs.tree
    }

    /// What a path leads to; links are followed inside the root.
    fn find(&self, path: &str) -> Result<Option<(TreePath, InodeId)>, Failure> {
        let (path, id) = self.tree().resolve(&TreePath::parse(path.as_bytes())?, true)?;
        Ok(id.map(|id| (path, id)))
    }

    /// The bytes of a regular file; nothing for anything else.
    fn read(&self, path: &TreePath, id: InodeId) -> Result<Option<Vec<u8>>, Failure> {
        let EntryKind::File(content) = &self.tree().inode(id).entry.kind else { return Ok(None) };
        Ok(Some(read_content(&self.rootfs.contents, path, content, MAX_FILE)?))
    }
}

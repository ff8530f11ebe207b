//! `debootstrap`: the command line of that name, for those who know it.
//!
//! Its resolver, the release pocket only, a directory as the result. Messages go where debootstrap's go: to standard
//! output, with `I:`, `W:` before them.

use std::io::{self, Write as _};
use std::path::PathBuf;

use bedplate_bootstrap::acquire::{self, Stage};
use bedplate_bootstrap::distribution::Pocket;
use bedplate_bootstrap::finish::Style;
use bedplate_bootstrap::native::Scripts;
use bedplate_bootstrap::request::{Mirror, Request, Resolver, Variant};
use bedplate_bootstrap::{Event, Observer, Step};
use bedplate_run::RootKind;

use super::bootstrap::{Display, Goal, Job, Sink};
use crate::context::Context;
use crate::failure::{Failure, Kind};

/// Arguments of `debootstrap`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What debootstrap does, with its rules: the first alternative of a dependency, packages of the release pocket. For what \
more there is, see 'bedplate bootstrap'.

Examples:
  ln -s bedplate debootstrap
  ./debootstrap --variant=minbase trixie DIR")]
pub(crate) struct Args {
    /// Take packages for this architecture [default: the machine's]
    #[arg(long, value_name = "A")]
    arch: Option<String>,
    /// Add packages
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    include: Vec<String>,
    /// Leave packages out
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    exclude: Vec<String>,
    /// Take packages from these components, too
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    components: Vec<String>,
    /// Begin with this set of packages: minbase, buildd, fakechroot, -
    #[arg(long, value_name = "X", default_value = "-", allow_hyphen_values = true)]
    variant: String,
    /// Make /bin, /lib and /sbin links into /usr
    #[arg(long, conflicts_with = "no_merged_usr")]
    merged_usr: bool,
    /// Keep /bin, /lib and /sbin directories of their own
    #[arg(long)]
    no_merged_usr: bool,
    /// Verify signatures by this keyring
    #[arg(long, value_name = "K")]
    keyring: Option<PathBuf>,
    /// Do not verify signatures
    #[arg(long, conflicts_with = "force_check_gpg")]
    no_check_gpg: bool,
    /// Verify signatures, which is done anyway
    #[arg(long)]
    force_check_gpg: bool,
    /// Only print the packages
    #[arg(long)]
    print_debs: bool,
    /// Only fetch the packages
    #[arg(long)]
    download_only: bool,
    /// Accepted for scripts that give it: there is nothing to be kept
    #[arg(long, hide = true)]
    keep_debootstrap_dir: bool,
    /// Accepted for scripts that give it
    #[arg(long, hide = true)]
    verbose: bool,
    /// The suite
    #[arg(value_name = "SUITE")]
    suite: String,
    /// The directory, which must be new or empty
    #[arg(value_name = "TARGET", required_unless_present = "print_debs")]
    target: Option<PathBuf>,
    /// The archive
    #[arg(value_name = "MIRROR")]
    mirror: Option<String>,
    /// debootstrap's script for the suite: the suite itself decides here
    #[arg(value_name = "SCRIPT", hide = true)]
    script: Option<String>,
}

impl Args {
    fn request(&self) -> Result<Request, Failure> {
        let mut request = Request::new(&self.suite);
        request.architecture.clone_from(&self.arch);
        request.variant = match self.variant.as_str() {
            known @ ("minbase" | "buildd" | "-") => known.parse::<Variant>()?,
            other => {
                return Err(Failure::new(Kind::User, format!("unsupported variant {other:?}"))
                    .hint("debootstrap's variants are minbase, buildd and -"));
            }
        };
        request.resolver = Resolver::Debootstrap;
        request.pockets = Some(vec![Pocket::Release]);
        request.style = Style::Plain;
        request.include.clone_from(&self.include);
        request.exclude.clone_from(&self.exclude);
        request.components.clone_from(&self.components);
        request.mirrors = self.mirror.iter().map(|text| Mirror::parse(text)).collect();
        request.keyrings = self.keyring.iter().cloned().collect();
        request.checks.no_signatures = self.no_check_gpg;
        request.merged_usr = match (self.merged_usr, self.no_merged_usr) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        Ok(request)
    }
}

/// Bootstraps into the directory.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    if let Some(script) = &args.script {
        context.warn(&format!("script {script:?} is not used: the suite decides how it is bootstrapped"));
    }
    let goal = match &args.target {
        _ if args.print_debs => Goal::List,
        _ if args.download_only => Goal::Download,
        Some(target) => Goal::Write(Sink::Directory(target.clone())),
        None => Goal::List,
    };
    let quiet = matches!(goal, Goal::List);
    let job = Job {
        request: args.request()?,
        goal,
        lock: None,
        offline: false,
        jobs: None,
        root: RootKind::Auto,
        no_cache: false,
        scripts: Scripts::default(),
        write_lock: None,
    };
    job.carry_out(&Lines { context, quiet }, context)
}

/// debootstrap's messages.
struct Lines<'a> {
    context: &'a Context,
    /// With `--print-debs` standard output is for the list.
    quiet: bool,
}

impl Lines<'_> {
    fn say(&self, text: std::fmt::Arguments<'_>) {
        if !self.quiet {
            // Many throw it away; a closed one is the user's choice.
            let _ = writeln!(io::stdout(), "I: {text}");
        }
    }
}

impl Display for Lines<'_> {
    fn writing(&self) {
        self.say(format_args!("Writing the base system..."));
    }

    fn finish(&self) {
        self.say(format_args!("Base system installed successfully."));
    }
}

impl Observer for Lines<'_> {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Acquire(acquire::Event::Notice(notice)) => self.context.warn(notice),
            Event::Acquire(acquire::Event::Retrying { error, .. }) => self.context.warn(&error),
            Event::Acquire(acquire::Event::Planned { stage: Stage::Releases, .. }) => {
                self.say(format_args!("Retrieving InRelease"));
                self.say(format_args!("Checking Release signature"));
            }
            Event::Acquire(acquire::Event::Planned { stage: Stage::Indexes, .. }) => {
                self.say(format_args!("Retrieving Packages"));
                self.say(format_args!("Validating Packages"));
            }
            Event::Chosen { packages, .. } => self.say(format_args!("Found {packages} packages")),
            Event::Decoded { name, .. } => {
                let mut words = name.split(' ');
                let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                self.say(format_args!("Extracting {name} {version}..."));
            }
            Event::Install(Step::Script(name)) => self.say(format_args!("Configuring {name}...")),
            _ => {}
        }
    }
}

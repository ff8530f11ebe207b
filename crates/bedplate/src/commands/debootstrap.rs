//! `debootstrap`: the command line of that name, for those who know it.
//!
//! Its resolver, the release pocket only, a directory as the result, in one stage or two. Messages go where debootstrap's go: to standard
//! output, with `I:`, `W:` before them.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bedplate_bootstrap::acquire::{self, Stage};
use bedplate_bootstrap::distribution::Pocket;
use bedplate_bootstrap::finish::Style;
use bedplate_bootstrap::lock::LockedRole;
use bedplate_bootstrap::native::Scripts;
use bedplate_bootstrap::request::{Mirror, Request, Resolver, Variant};
use bedplate_bootstrap::{Event, Observer, Resolved, Step};
use bedplate_fetch::ClientFiles;
use bedplate_run::RootKind;

use super::bootstrap::{AtHand, Display, Goal, Job, Part, Place, Site, prepare_root};
use crate::context::{Context, Tls};
use crate::failure::{Failure, Kind};

/// Arguments of `debootstrap`.
#[derive(Debug, clap::Args)]
#[command(
    disable_version_flag = true,
    after_help = "\
What debootstrap does, with its rules: the first alternative of a dependency, packages of the release pocket. The \
directory can be entered with chroot(8); device nodes in it are made for root only. For what more there is, see \
'bedplate bootstrap'.

Examples:
  ln -s bedplate debootstrap
  ./debootstrap --variant=minbase trixie DIR
  ./debootstrap --foreign --arch=arm64 trixie DIR        # then, on such a machine:
  chroot DIR /debootstrap/debootstrap --second-stage"
)]
pub(crate) struct Args {
    /// Take packages for this architecture [default: the machine's]
    #[arg(long, value_name = "A")]
    arch: Option<String>,
    /// Add packages
    #[arg(long, value_name = "A,B,C", value_parser = Words::parse)]
    include: Option<Words>,
    /// Leave packages out
    #[arg(long, value_name = "A,B,C", value_parser = Words::parse)]
    exclude: Option<Words>,
    /// Take packages from these suites of the archive, too
    #[arg(long, value_name = "A,B,C", value_parser = Words::parse)]
    extra_suites: Option<Words>,
    /// Take packages from these components
    #[arg(long, value_name = "A,B,C", value_parser = Words::parse)]
    components: Option<Words>,
    /// Begin with this set of packages: minbase, buildd, - [default: -]; fakechroot to print or fetch it
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    variant: Option<String>,
    /// Take what is named, and nothing that it depends on
    #[arg(long)]
    no_resolve_deps: bool,
    /// Say which packages came in as dependencies
    #[arg(long)]
    log_extra_deps: bool,
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
    #[arg(long, conflicts_with_all = ["download_only", "make_tarball", "unpack_tarball", "foreign", "second_stage"])]
    print_debs: bool,
    /// Only fetch indexes and packages, into the directory
    #[arg(long, conflicts_with_all = ["make_tarball", "unpack_tarball", "foreign", "second_stage"])]
    download_only: bool,
    /// Only fetch indexes and packages, and write them as a tarball
    #[arg(long, value_name = "FILE", conflicts_with_all = ["unpack_tarball", "foreign", "second_stage"])]
    make_tarball: Option<PathBuf>,
    /// Take indexes and packages from such a tarball
    #[arg(long, value_name = "FILE", conflicts_with = "second_stage")]
    unpack_tarball: Option<PathBuf>,
    /// Only do what needs no program of the new system: unpack what the second stage begins with
    #[arg(long, conflicts_with = "second_stage")]
    foreign: bool,
    /// Do the rest
    #[arg(
        long,
        conflicts_with_all = [
            "include", "exclude", "extra_suites", "components", "no_resolve_deps", "merged_usr", "no_merged_usr",
        ]
    )]
    second_stage: bool,
    /// The directory of the first stage [default: /]
    #[arg(long, value_name = "DIR")]
    second_stage_target: Option<PathBuf>,
    /// Leave notes and log in /debootstrap of the directory
    #[arg(long)]
    keep_debootstrap_dir: bool,
    /// Keep packages in this directory, too, and look for them there first
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Show this certificate to servers that ask for one
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The key of the certificate [default: in the same file]
    #[arg(long, value_name = "FILE", requires = "certificate")]
    private_key: Option<PathBuf>,
    /// Believe servers with certificates of these authorities [default: the machine's]
    #[arg(long, value_name = "FILE")]
    ca_certificate: Option<PathBuf>,
    /// Believe every server; indexes and packages are verified by signature all the same
    #[arg(long)]
    no_check_certificate: bool,
    /// Accepted for scripts that give it: packages are taken apart by this program itself
    #[arg(long, value_name = "TYPE", value_parser = ["dpkg-deb", "ar"], hide = true)]
    extractor: Option<String>,
    /// Accepted for scripts that give it: dependencies are followed anyway
    #[arg(long, hide = true)]
    resolve_deps: bool,
    /// Accepted for scripts that give it
    #[arg(long, hide = true)]
    verbose: bool,
    /// Of the installer, whose protocol is not spoken here
    #[arg(long, hide = true)]
    debian_installer: bool,
    /// Not known here
    #[arg(long, value_name = "PATH", hide = true)]
    inrelease_path: Option<String>,
    /// Show the version
    #[arg(long)]
    version: bool,
    /// The suite
    #[arg(value_name = "SUITE", required_unless_present_any = ["second_stage", "version"], conflicts_with = "second_stage")]
    suite: Option<String>,
    /// The directory
    #[arg(value_name = "TARGET", required_unless_present_any = ["print_debs", "make_tarball", "second_stage", "version"])]
    target: Option<PathBuf>,
    /// The archive
    #[arg(value_name = "MIRROR")]
    mirror: Option<String>,
    /// debootstrap's script for the suite: the suite itself decides here
    #[arg(value_name = "SCRIPT", hide = true)]
    script: Option<String>,
}

/// Words with commas between them; blanks do as well. Where they are given twice the last ones count.
#[derive(Debug, Clone)]
struct Words(Vec<String>);

impl Words {
    fn parse(text: &str) -> Result<Self, Infallible> {
        let words = text.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty());
        Ok(Self(words.map(str::to_owned).collect()))
    }

    fn list(words: Option<&Self>) -> Vec<String> {
        words.map(|words| words.0.clone()).unwrap_or_default()
    }
}

impl Args {
    fn variant(&self) -> Result<Option<Variant>, Failure> {
        match self.variant.as_deref() {
            None => Ok(None),
            Some(known @ ("minbase" | "buildd" | "fakechroot" | "-")) => Ok(Some(known.parse::<Variant>()?)),
            Some(other) => Err(Failure::new(Kind::User, format!("unsupported variant {other:?}"))
                .hint("debootstrap's variants are minbase, buildd, fakechroot and -")),
        }
    }

    fn request(&self) -> Result<Request, Failure> {
        let mut request = Request::new(self.suite.clone().unwrap_or_default());
        request.architecture.clone_from(&self.arch);
        request.variant = self.variant()?.unwrap_or(Variant::Important);
        request.resolver = Resolver::Debootstrap;
        request.no_dependencies = self.no_resolve_deps;
        request.printing = self.print_debs;
        request.pockets = Some(vec![Pocket::Release]);
        request.extra_suites = Words::list(self.extra_suites.as_ref());
        request.style = Style::Debootstrap;
        request.include = Words::list(self.include.as_ref());
        request.exclude = Words::list(self.exclude.as_ref());
        request.components = Words::list(self.components.as_ref());
        request.mirrors = self.mirror.iter().map(|text| Mirror::parse(text)).collect();
        // The directory's own apt asks whom this command asked, also where only this machine can.
        request.image_mirrors =
            request.mirrors.iter().filter(|mirror| mirror.url.starts_with("http")).cloned().collect();
        request.keyrings = self.keyring.iter().cloned().collect();
        request.checks.no_signatures = self.no_check_gpg;
        request.merged_usr = match (self.merged_usr, self.no_merged_usr) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        Ok(request)
    }

    /// What is refused, by name and with what to do.
    fn check(&self) -> Result<(), Failure> {
        let refused = |what: String, hint: &str| Err(Failure::new(Kind::User, what).hint(hint));
        if let Some(script) = &self.script {
            return refused(
                format!("no script is run, not {script:?} either: the suite decides how it is bootstrapped"),
                "leave it out; a suite that is not known is described in a file: see 'bedplate bootstrap --distribution'",
            );
        }
        if self.debian_installer {
            return refused(
                "--debian-installer speaks the installer's protocol, which this program does not".into(),
                "leave it out; 'bedplate bootstrap --progress json' is for programs",
            );
        }
        if self.inrelease_path.is_some() {
            return refused(
                "--inrelease-path: an InRelease file is looked for at its place only".into(),
                "ask an archive that has it there",
            );
        }
        if self.second_stage_target.is_some() && !self.second_stage {
            return refused(
                "--second-stage-target names no directory of a first stage".into(),
                "it goes with --second-stage; the directory of other stages stands after the suite",
            );
        }
        if self.keep_debootstrap_dir && (self.print_debs || self.make_tarball.is_some()) {
            return refused(
                "--keep-debootstrap-dir has nothing to keep: no directory is made for a list or a tarball".into(),
                "leave it out; --download-only puts indexes, packages and notes into the directory",
            );
        }
        match &self.cache_dir {
            Some(path) if !path.is_absolute() => {
                refused(format!("--cache-dir {path:?} is no absolute path"), "name it from the root")
            }
            Some(path) if !path.is_dir() => refused(format!("--cache-dir {path:?} is no directory"), "make it first"),
            _ => Ok(()),
        }
    }

    fn tls(&self) -> Tls {
        let client =
            self.certificate.clone().map(|certificate| ClientFiles { certificate, key: self.private_key.clone() });
        Tls { authorities: self.ca_certificate.clone(), client, any_server: self.no_check_certificate }
    }

    fn site(&self, directory: &Path, part: Part) -> Goal {
        Goal::Site(Site { directory: directory.to_owned(), part, keep_notes: self.keep_debootstrap_dir })
    }

    fn goal(&self) -> Goal {
        match &self.target {
            _ if self.print_debs => Goal::List,
            _ if self.second_stage => {
                self.site(self.second_stage_target.as_deref().unwrap_or(Path::new("/")), Part::Second)
            }
            _ if self.make_tarball.is_some() => Goal::Tarball(self.make_tarball.clone().unwrap_or_default()),
            Some(target) if self.download_only => self.site(target, Part::Stock),
            Some(target) if self.foreign => self.site(target, Part::First),
            Some(target) => self.site(target, Part::Both),
            None => Goal::List,
        }
    }
}

/// Bootstraps into the directory.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    if args.version {
        writeln!(io::stdout(), "debootstrap (bedplate {})", env!("CARGO_PKG_VERSION"))?;
        return Ok(0);
    }
    args.check()?;
    let goal = args.goal();
    let quiet = matches!(goal, Goal::List);
    let at_hand = match &goal {
        Goal::Site(Site { part: Part::Second, directory, .. }) => Some(Place::Directory(directory.clone())),
        _ => args.unpack_tarball.clone().map(Place::Tarball),
    };
    // The root itself: this program was left in it, and nothing of its store shall stay.
    let own = match &at_hand {
        Some(Place::Directory(directory)) if directory == Path::new("/") => Some(prepare_root(context)?),
        _ => None,
    };
    let variant = args.variant()?;
    let at_hand = at_hand.map(|place| AtHand { place, variant });
    let context = own.as_ref().unwrap_or(context);
    let job = Job {
        request: args.request()?,
        goal,
        lock: None,
        at_hand,
        tls: args.tls(),
        debs: args.cache_dir.clone(),
        offline: false,
        jobs: None,
        root: RootKind::Auto,
        no_cache: false,
        scripts: Scripts::default(),
        write_lock: None,
    };
    job.carry_out(&Lines { context, quiet, log_extra_deps: args.log_extra_deps }, context)?.say()
}

/// debootstrap's messages.
struct Lines<'a> {
    context: &'a Context,
    /// With `--print-debs` standard output is for the list.
    quiet: bool,
    log_extra_deps: bool,
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
    fn resolved(&self, resolved: &Resolved) {
        if !self.log_extra_deps {
            return;
        }
        let names = &resolved.debootstrap;
        for (set, names) in [("required", &names.required), ("base", &names.base)] {
            let more = resolved
                .packages
                .iter()
                .filter(|chosen| chosen.role == LockedRole::Dependency && names.binary_search(&chosen.name).is_ok());
            let more: Vec<&str> = more.map(|chosen| chosen.name.as_str()).collect();
            if !more.is_empty() {
                self.say(format_args!("Found additional {set} dependencies: {}", more.join(" ")));
            }
        }
    }

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
            Event::Acquire(acquire::Event::Notice(notice)) => self.context.notice(notice),
            Event::Remark(text) => self.context.warn(&text),
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

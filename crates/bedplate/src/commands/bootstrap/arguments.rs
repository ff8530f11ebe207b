//! The flags of `bootstrap`.

use std::path::PathBuf;

use bedplate_bootstrap::distribution::{Distribution, Pocket};
use bedplate_bootstrap::finish::Style;
use bedplate_bootstrap::lock::Lock;
use bedplate_bootstrap::native::Scripts;
use bedplate_bootstrap::recipe::Recipe;
use bedplate_bootstrap::request::{Mirror, PathRule, Request, Resolver, Step, Variant};

use super::{AtHand, Place};
use crate::commands::way::Way;
use crate::failure::{Failure, Kind};

/// Arguments of `bootstrap`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A suite is named as people do: trixie, debian:13, ubuntu:focal, ubuntu:20.04, stable. Everything is verified against \
the archive's signature before it is used. The same packages give the same image: on any machine, at any time, for \
any user.

Examples:
  bedplate bootstrap debian:trixie -t trixie
  bedplate bootstrap bookworm --slim --include ca-certificates,curl -t base
  bedplate bootstrap trixie -o rootfs.tar.xz")]
pub(crate) struct Args {
    /// Name the image; may be given more than once
    #[arg(short, long, value_name = "NAME[:TAG]")]
    pub(super) tag: Vec<String>,
    /// Write the root here and not as an image into the store: DIR/, FILE.tar, FILE.tar.gz, FILE.tar.xz, FILE.tar.zst,
    /// - for a tar on standard output
    #[arg(short, long, value_name = "PLACE")]
    pub(super) output: Option<String>,
    /// With -o FILE.tar...: write a Dockerfile beside it that makes an image of it
    #[arg(long, requires = "output")]
    pub(super) dockerfile: bool,
    /// Begin with this set of packages: extract, custom, essential, apt, required (minbase), buildd, important
    /// (debootstrap, -), standard
    #[arg(long, value_name = "SET", default_value = "required")]
    pub(super) variant: String,
    /// Add packages: names, name=version, name/suite, apt patterns
    #[arg(long, value_name = "PACKAGE,...", value_delimiter = ',')]
    pub(super) include: Vec<String>,
    /// Leave packages out
    #[arg(long, value_name = "PACKAGE,...", value_delimiter = ',')]
    pub(super) exclude: Vec<String>,
    /// Follow Recommends, too
    #[arg(long)]
    pub(super) recommends: bool,
    /// Take packages from these components [default: the distribution's]
    #[arg(long, value_name = "COMPONENT,...", value_delimiter = ',')]
    pub(super) components: Vec<String>,
    /// Take packages from these pockets: release, updates, security, backports [default: all but backports]
    #[arg(long, value_name = "POCKET,...", value_delimiter = ',')]
    pub(super) pockets: Vec<String>,
    /// Take packages for this architecture, in Debian's words [default: the machine's]
    #[arg(long, value_name = "ARCH")]
    pub(super) arch: Option<String>,
    /// Ask this archive; may be given more than once, and for one pocket: security=URL [default: as this host's apt,
    /// where it is the same distribution, else the distribution's own]
    #[arg(long, value_name = "[POCKET=]URL")]
    pub(super) mirror: Vec<String>,
    /// Let the image's own package sources name this archive [default: the one that was asked]
    #[arg(long, value_name = "[POCKET=]URL")]
    pub(super) image_mirror: Vec<String>,
    /// Add a package source, as a line of sources.list
    #[arg(long, value_name = "LINE")]
    pub(super) source: Vec<String>,
    /// Verify signatures by this keyring and no other; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(super) keyring: Vec<PathBuf>,
    /// Take this archive without a signature
    #[arg(long, value_name = "URL")]
    pub(super) allow_unsigned: Vec<String>,
    /// Take every archive without a signature
    #[arg(long)]
    pub(super) no_check_gpg: bool,
    /// Verify signatures, which is done anyway
    #[arg(long, conflicts_with = "no_check_gpg")]
    pub(super) force_check_gpg: bool,
    /// Refuse indexes past their date, or do not [default: as this host's apt]
    #[arg(long, value_name = "yes|no", value_parser = yes_or_no)]
    pub(super) check_valid_until: Option<bool>,
    /// Take indexes that are older than those seen before
    #[arg(long)]
    pub(super) allow_downgrade: bool,
    /// Choose packages by the rules of apt or debootstrap [default: apt; debootstrap for what is
    /// debootstrap's: --style debuerreotype and debootstrap, stages, tarballs]
    #[arg(long, value_name = "apt|debootstrap")]
    pub(super) resolver: Option<String>,
    /// Make this kind of image: docker, debuerreotype, mkimage-debootstrap, debootstrap, plain
    #[arg(long, value_name = "STYLE", default_value = "docker")]
    pub(super) style: String,
    /// Leave out documentation, translations and manual pages
    #[arg(long)]
    pub(super) slim: bool,
    /// Leave out files that match, as dpkg's option of that name
    #[arg(long, value_name = "PATTERN")]
    pub(super) path_exclude: Vec<String>,
    /// Keep files that match after all
    #[arg(long, value_name = "PATTERN")]
    pub(super) path_include: Vec<String>,
    /// Make /bin, /lib and /sbin links into /usr [default: as the suite has it]
    #[arg(long, conflicts_with = "no_merged_usr")]
    pub(super) merged_usr: bool,
    /// Keep /bin, /lib and /sbin directories of their own
    #[arg(long)]
    pub(super) no_merged_usr: bool,
    /// Copy a file or directory of this machine into the root
    #[arg(long, value_name = "SOURCE:DESTINATION")]
    pub(super) copy_in: Vec<String>,
    /// Run a shell command in the root when all packages are configured, without a network
    #[arg(long, value_name = "COMMAND")]
    pub(super) run: Vec<String>,
    /// Let the commands of --run use the network
    #[arg(long)]
    pub(super) run_network: bool,
    /// Read the distribution's archives, suites and defaults from this file
    #[arg(long, value_name = "FILE")]
    pub(super) distribution: Option<PathBuf>,
    /// Take everything from what was fetched before
    #[arg(long)]
    pub(super) offline: bool,
    /// Take everything that these flags could say from a recipe (see docs/recipe.md); -t, -o and what changes no image
    /// may still be given
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "variant", "include", "exclude", "recommends", "components", "pockets", "arch", "image_mirror", "source",
            "resolver", "style", "slim", "path_exclude", "path_include", "merged_usr", "no_merged_usr", "copy_in", "run",
            "distribution", "locked", "suite",
        ]
    )]
    pub(super) recipe: Option<PathBuf>,
    /// Write down which packages and options made the root
    #[arg(long, value_name = "FILE", conflicts_with = "locked")]
    pub(super) lock: Option<PathBuf>,
    /// Use exactly the packages and options of a lock file
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "variant", "include", "exclude", "recommends", "components", "pockets", "arch", "image_mirror", "resolver",
            "style", "slim", "path_exclude", "path_include", "merged_usr", "no_merged_usr",
        ]
    )]
    pub(super) locked: Option<PathBuf>,
    /// Make the image anew, though the same packages and options made it before
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Only print the names of the packages
    #[arg(long, conflicts_with_all = ["download_only", "make_tarball", "foreign", "second_stage", "lock"])]
    pub(super) print_debs: bool,
    /// Only fetch and decode the packages, into the store's cache
    #[arg(long, conflicts_with_all = ["make_tarball", "foreign", "second_stage", "lock", "output", "tag"])]
    pub(super) download_only: bool,
    /// Only fetch indexes and packages, and write them as a tarball of debootstrap's
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "foreign", "second_stage", "unpack_tarball", "output", "tag", "recommends", "source", "style", "slim",
            "path_exclude", "path_include", "copy_in", "run", "recipe", "lock", "locked",
        ]
    )]
    pub(super) make_tarball: Option<PathBuf>,
    /// Take indexes and packages from such a tarball: those that are in it, and nothing else
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["second_stage", "variant", "include", "exclude", "recommends", "pockets", "recipe", "locked"]
    )]
    pub(super) unpack_tarball: Option<PathBuf>,
    /// With -o DIR/: only do what needs no program of the new system, as debootstrap's first stage
    #[arg(
        long,
        requires = "output",
        conflicts_with_all = [
            "second_stage", "recommends", "source", "style", "slim", "path_exclude", "path_include", "copy_in", "run",
            "recipe", "lock", "locked", "tag", "dockerfile",
        ]
    )]
    pub(super) foreign: bool,
    /// With -o DIR/: do the rest in a directory that has the first stage
    #[arg(
        long,
        requires = "output",
        conflicts_with_all = [
            "variant", "include", "exclude", "recommends", "components", "pockets", "mirror", "image_mirror", "source",
            "keyring", "style", "slim", "path_exclude", "path_include", "merged_usr", "no_merged_usr", "copy_in", "run",
            "recipe", "lock", "locked", "tag", "dockerfile",
        ]
    )]
    pub(super) second_stage: bool,
    /// Downloads at once from one host [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub(super) downloads: Option<usize>,
    /// Threads that decode packages [default: one for each processor]
    #[arg(short, long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub(super) jobs: Option<usize>,
    /// Programs that maintainer scripts call: native does what is known of debconf and deb-systemd-helper itself, run
    /// runs all of them; the image is the same
    #[arg(long, value_name = "HOW", default_value = "native")]
    pub(super) scripts: How,
    /// Show progress: auto, plain, json
    #[arg(long, value_name = "FORM", default_value = "auto")]
    pub(super) progress: Form,
    /// Print nothing but errors and the image ID
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Make the root for scripts in this way
    #[arg(long, value_name = "WAY", default_value = "auto", hide = true)]
    pub(super) root_kind: Way,
    /// The suite
    #[arg(value_name = "SUITE", required_unless_present_any = ["locked", "recipe", "second_stage", "unpack_tarball"])]
    pub(super) suite: Option<String>,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// Bars on a terminal, lines elsewhere.
    Auto,
    /// Lines.
    Plain,
    /// A JSON object a line.
    Json,
}

/// What is done about programs that scripts call.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum How {
    Native,
    Run,
}

impl From<How> for Scripts {
    fn from(how: How) -> Self {
        match how {
            How::Native => Scripts::Native,
            How::Run => Scripts::Run,
        }
    }
}

pub(crate) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err("expected yes or no".to_owned()),
    }
}

impl Args {
    /// What a lock asks for, with what changes no image as these flags say.
    pub(super) fn locked_request(&self, lock: &Lock) -> Result<Request, Failure> {
        let mut request = lock.request()?;
        let own = self.request()?;
        if self.suite.is_some() {
            let differs = |what: &str| {
                Failure::new(Kind::User, format!("{what} is given, and the lock has its own"))
                    .hint("leave it out, or make another lock with --lock")
            };
            if own.suite != lock.suite && !lock.suite.ends_with(&format!(":{}", own.suite)) {
                return Err(differs(&format!("suite {:?}", own.suite)));
            }
        }
        request.distribution = own.distribution;
        request.extra_sources.extend(own.extra_sources);
        self.add_ways(&mut request);
        request.steps = if own.steps.is_empty() { lock.run_steps() } else { own.steps };
        Ok(request)
    }

    /// What a recipe asks for, with what changes no image as these flags say.
    pub(super) fn recipe_request(&self, recipe: &Recipe) -> Request {
        let mut request = recipe.request.clone();
        self.add_ways(&mut request);
        request
    }

    /// Sets what decides where packages come from and how they are verified, where a flag says so.
    fn add_ways(&self, request: &mut Request) {
        if !self.mirror.is_empty() {
            request.mirrors = self.mirror.iter().map(|text| Mirror::parse(text)).collect();
        }
        if !self.keyring.is_empty() {
            request.keyrings.clone_from(&self.keyring);
        }
        request.checks.unsigned.extend(self.allow_unsigned.iter().cloned());
        request.checks.no_signatures |= self.no_check_gpg;
        request.checks.valid_until = self.check_valid_until.or(request.checks.valid_until);
        request.checks.allow_downgrade |= self.allow_downgrade;
        if let Some(downloads) = self.downloads {
            request.downloads = downloads.max(1);
        }
    }

    /// What is at hand in place of an archive.
    pub(super) fn at_hand(&self) -> Result<Option<AtHand>, Failure> {
        let place = match (&self.unpack_tarball, &self.output) {
            (Some(tarball), _) => Place::Tarball(tarball.clone()),
            (None, Some(output)) if self.second_stage => Place::Directory(super::directory(output)?),
            _ => return Ok(None),
        };
        Ok(Some(AtHand { place, variant: None }))
    }

    /// What is asked for.
    pub(super) fn request(&self) -> Result<Request, Failure> {
        let mut request = Request::new(self.suite.clone().unwrap_or_default());
        if let Some(path) = &self.distribution {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::from(error).context(format!("cannot read {path:?}")))?;
            request.distribution = Some(Distribution::parse(&text)?);
        }
        request.architecture.clone_from(&self.arch);
        request.variant = self.variant.parse::<Variant>()?;
        request.style = match self.foreign || self.second_stage || self.make_tarball.is_some() {
            true => Style::Debootstrap,
            false => self.style.parse::<Style>()?,
        };
        let staged = self.foreign || self.second_stage || self.make_tarball.is_some() || self.unpack_tarball.is_some();
        // What these begin with: debootstrap, which knows one pocket.
        let debootstraps = staged || matches!(request.style, Style::Debuerreotype | Style::Debootstrap);
        request.resolver = match &self.resolver {
            Some(name) => name.parse::<Resolver>()?,
            None if debootstraps => Resolver::Debootstrap,
            None => Resolver::default(),
        };
        if staged && request.resolver != Resolver::Debootstrap {
            return Err(Failure::new(
                Kind::User,
                format!("--resolver {} makes no stages and no tarballs", request.resolver),
            )
            .hint("leave it out: they hold the two lists of debootstrap's rules"));
        }
        request.include.clone_from(&self.include);
        request.exclude.clone_from(&self.exclude);
        request.recommends = self.recommends;
        request.printing = self.print_debs;
        request.components.clone_from(&self.components);
        if !self.pockets.is_empty() {
            request.pockets =
                Some(self.pockets.iter().map(|name| name.parse::<Pocket>()).collect::<Result<Vec<_>, _>>()?);
        } else if debootstraps {
            request.pockets = Some(vec![Pocket::Release]);
        }
        self.add_ways(&mut request);
        request.image_mirrors = self.image_mirror.iter().map(|text| Mirror::parse(text)).collect();
        request.extra_sources.clone_from(&self.source);
        request.slim = self.slim;
        request.paths = (self.path_exclude.iter().cloned().map(PathRule::Exclude))
            .chain(self.path_include.iter().cloned().map(PathRule::Include))
            .collect();
        request.merged_usr = match (self.merged_usr, self.no_merged_usr) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        for text in &self.copy_in {
            let Some((source, destination)) = text.rsplit_once(':').filter(|(_, to)| to.starts_with('/')) else {
                return Err(Failure::new(Kind::User, format!("--copy-in {text:?}: expected SOURCE:/DESTINATION")));
            };
            request.steps.push(Step::CopyIn { source: source.into(), destination: destination.to_owned() });
        }
        let network = self.run_network;
        request.steps.extend(self.run.iter().map(|command| Step::Run { command: command.clone(), network }));
        Ok(request)
    }
}

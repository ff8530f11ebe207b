//! The flags of `build`.

use std::path::PathBuf;

use bedplate_build::Surroundings;
use bedplate_oci::Platform;
use bedplate_run::options;

use super::check::Call;
use super::given;
use super::view::Progress;
use crate::commands::way::Way;
use crate::failure::{Failure, Kind};

/// Arguments of `build`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The context is a directory, or a tar archive (compressed or not) or a lone Dockerfile on standard input. The result
depends on names, modes and bytes of the context's files, never on their times or owners.

A place of --build-context is a directory, a tar archive, the URL of a git repository or an archive, or one of
  docker-image:NAME                an image of the store
  oci-layout:DIR[:TAG|@DIGEST]     an image of an OCI layout
  docker-archive:FILE[:NAME]       an image of docker save; oci-archive:FILE is the same
  bootstrap:NAME?FLAG=VALUE&...    what bedplate bootstrap NAME --FLAG VALUE makes; lock=FILE keeps and uses a lock
FROM and --from take the last four as they are: FROM bootstrap:debian:bookworm?include=curl.

Examples:
  bedplate build --tag hello .
  bedplate build -t app -f docker/Dockerfile --build-arg VERSION=1.2 --target release .
  tar -c . | bedplate build -t app -
  bedplate build -t app --build-context base=oci-layout:./layout --build-context src=../src .
  printf 'FROM debian\\nENV A=b\\n' | bedplate build -")]
pub(crate) struct Args {
    /// Set the Dockerfile [default: CONTEXT/Dockerfile]; - reads it from standard input
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Name the image; may be given several times
    #[arg(short, long, value_name = "NAME[:TAG]")]
    pub(super) tag: Vec<String>,
    /// Set a build argument; without a value, that of the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(super) build_arg: Vec<String>,
    /// Stop at this stage
    #[arg(long, value_name = "STAGE")]
    pub(super) target: Option<String>,
    /// Set a label of the image
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) label: Vec<String>,
    /// Show a file or a variable to RUN --mount=type=secret, and keep it out of the image
    #[arg(long, value_name = "id=ID[,src=FILE|env=NAME]")]
    pub(super) secret: Vec<String>,
    /// Show an SSH agent to RUN --mount=type=ssh [default socket: $SSH_AUTH_SOCK]
    #[arg(long, value_name = "ID[=SOCKET]")]
    pub(super) ssh: Vec<String>,
    /// Make this of the image, and not an image of the store; may be given several times: type=image, type=docker,
    /// type=oci, type=tar or type=local, with dest=FILE|DIR; a DIRECTORY alone is type=local, - a tar on standard output
    #[arg(short, long, value_name = "type=TYPE[,dest=PLACE]")]
    pub(super) output: Vec<String>,
    /// Put the image into the store, as without --output
    #[arg(long)]
    pub(super) load: bool,
    /// Make one layer of all that is above the base
    #[arg(long)]
    pub(super) squash: bool,
    /// Set an annotation of the image's manifest
    #[arg(long, value_name = "[manifest:]NAME=VALUE")]
    pub(super) annotation: Vec<String>,
    /// Take steps that were done elsewhere: type=local,src=DIR, or an image that was built with --cache-to inline
    #[arg(long, value_name = "type=local,src=DIR|IMAGE")]
    pub(super) cache_from: Vec<String>,
    /// Give the steps to others: type=local,dest=DIR[,mode=min|max], or inline in the image
    #[arg(long, value_name = "type=local,dest=DIR|inline")]
    pub(super) cache_to: Vec<String>,
    /// Write digests and names of the result into a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) metadata_file: Option<PathBuf>,
    /// Write the image ID into a file
    #[arg(long, value_name = "FILE")]
    pub(super) iidfile: Option<PathBuf>,
    /// Set the platform of the image [default: that of this machine]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(super) platform: Option<Platform>,
    /// Do every step anew
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Do every step of a stage anew; may be given several times, or with several stages
    #[arg(long, value_name = "STAGE[,STAGE...]", value_delimiter = ',')]
    pub(super) no_cache_filter: Vec<String>,
    /// Let FROM, COPY --from and mounts take a name from elsewhere; see below
    #[arg(long, value_name = "NAME=PLACE")]
    pub(super) build_context: Vec<String>,
    /// Build up to so many stages at a time [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub(super) jobs: Option<usize>,
    /// Judge the Dockerfile by the build checks instead of building it; the same as --call=check
    #[arg(long)]
    pub(super) check: bool,
    /// Answer this instead of building: check, outline (what a target takes) or targets
    #[arg(long, value_name = "METHOD[,format=json]", default_value = "build")]
    pub(super) call: Call,
    /// Show the build in this way [default: $BUILDKIT_PROGRESS, else auto]
    #[arg(long, value_name = "WAY")]
    pub(super) progress: Option<Progress>,
    /// Print nothing but errors and the image ID; the same as --progress=quiet
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Let RUN use the host's network, or none; a step's own --network goes before
    #[arg(long, value_name = "default|host|none", default_value = "default")]
    pub(super) network: StepNetwork,
    /// Let steps know a host by this name
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub(super) add_host: Vec<String>,
    /// The size of /dev/shm for steps
    #[arg(long, value_name = "BYTES")]
    pub(super) shm_size: Option<String>,
    /// Limit a resource of steps
    #[arg(long, value_name = "NAME=SOFT[:HARD]", allow_hyphen_values = true)]
    pub(super) ulimit: Vec<String>,
    /// Take names of images anew from their registries, which is not supported yet
    #[arg(long)]
    pub(super) pull: bool,
    /// Send the image to its registry, which is not supported yet
    #[arg(long)]
    pub(super) push: bool,
    /// Only false is supported: no provenance is written
    #[arg(long, value_name = "BOOL|OPTIONS", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) provenance: Option<String>,
    /// Only false is supported: no bill of materials is written
    #[arg(long, value_name = "BOOL|OPTIONS", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) sbom: Option<String>,
    /// Remove what steps leave, which is done anyway
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) rm: Option<bool>,
    /// Remove what failed steps leave, which is done anyway
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) force_rm: Option<bool>,
    /// Make the roots of steps in this way
    #[arg(long, value_name = "WAY", default_value = "auto", hide = true)]
    pub(super) root_kind: Way,
    /// A directory, - for standard input, or the URL of a git repository or an archive
    #[arg(value_name = "CONTEXT")]
    pub(super) context: String,
}

/// The network of steps that do not say it themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum StepNetwork {
    /// The host's.
    Default,
    /// The host's.
    Host,
    /// Only a loopback device.
    None,
}

impl Args {
    /// What processes of steps have beside what the Dockerfile says.
    pub(super) fn surroundings(&self) -> Result<Surroundings, Failure> {
        let shm_size = match &self.shm_size {
            None => None,
            Some(size) => Some(options::bytes(size).filter(|bytes| *bytes > 0).ok_or_else(|| {
                Failure::new(Kind::User, format!("invalid value {size:?} for --shm-size: expected a size as 64m"))
            })?),
        };
        Ok(Surroundings {
            network: self.network != StepNetwork::None,
            hosts: self.add_host.iter().map(|text| given::host(text)).collect::<Result<_, _>>()?,
            limits: self.ulimit.iter().map(|value| options::ulimit(value)).collect::<Result<_, _>>()?,
            shm_size,
        })
    }

    /// Holds that nothing is asked for that is not done.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let registries = |flag: &str| Failure::new(Kind::User, format!("{flag}: registries are not supported yet"));
        if self.pull {
            return Err(registries("--pull")
                .hint("load the base first: skopeo copy docker://IMAGE docker-archive:FILE, bedplate load -i FILE"));
        }
        if self.push {
            return Err(registries("--push")
                .hint("write a layout with -o type=oci,tar=false,dest=DIR and push it with skopeo copy oci:DIR"));
        }
        for (flag, value) in [("--provenance", &self.provenance), ("--sbom", &self.sbom)] {
            if value.as_deref().is_some_and(|value| value != "false") {
                return Err(Failure::new(Kind::User, format!("{flag}: no attestations are written yet"))
                    .hint(format!("leave it out, or write {flag}=false")));
            }
        }
        Ok(())
    }
}

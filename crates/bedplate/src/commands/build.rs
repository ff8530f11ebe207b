//! `bedplate build`: a Dockerfile and its context become an image.

mod caches;
mod check;
mod contexts;
mod given;
mod input;
mod outputs;
mod view;

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use bedplate_build::{BuildError, Event, Runtime, build};
use bedplate_dockerfile::{Dockerfile, ParseError, excerpt, excerpt_of_lines};
use bedplate_oci::{Platform, Reference};
use bedplate_store::Image;
use bedplate_sys::kernel::processors;
use bedplate_sys::userns::Sources;

use self::caches::Targets;
use self::check::{Call, Judge, Method};
use self::contexts::Contexts;
use self::input::{Asked, Input};
use self::outputs::{Output, Outputs};
use self::view::{Progress, View};
use super::way::Way;
use crate::context::Context;
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
    file: Option<PathBuf>,
    /// Name the image; may be given several times
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Vec<String>,
    /// Set a build argument; without a value, that of the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// Stop at this stage
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Set a label of the image
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Show a file or a variable to RUN --mount=type=secret, and keep it out of the image
    #[arg(long, value_name = "id=ID[,src=FILE|env=NAME]")]
    secret: Vec<String>,
    /// Show an SSH agent to RUN --mount=type=ssh [default socket: $SSH_AUTH_SOCK]
    #[arg(long, value_name = "ID[=SOCKET]")]
    ssh: Vec<String>,
    /// Make this of the image, and not an image of the store; may be given several times: type=image, type=docker,
    /// type=oci, type=tar or type=local, with dest=FILE|DIR; a DIRECTORY alone is type=local, - a tar on standard output
    #[arg(short, long, value_name = "type=TYPE[,dest=PLACE]")]
    output: Vec<String>,
    /// Put the image into the store, as without --output
    #[arg(long)]
    load: bool,
    /// Make one layer of all that is above the base
    #[arg(long)]
    squash: bool,
    /// Set an annotation of the image's manifest
    #[arg(long, value_name = "[manifest:]NAME=VALUE")]
    annotation: Vec<String>,
    /// Take steps that were done elsewhere: type=local,src=DIR, or an image that was built with --cache-to inline
    #[arg(long, value_name = "type=local,src=DIR|IMAGE")]
    cache_from: Vec<String>,
    /// Give the steps to others: type=local,dest=DIR[,mode=min|max], or inline in the image
    #[arg(long, value_name = "type=local,dest=DIR|inline")]
    cache_to: Vec<String>,
    /// Write digests and names of the result into a file, as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// Write the image ID into a file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Set the platform of the image [default: that of this machine]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// Do every step anew
    #[arg(long)]
    no_cache: bool,
    /// Do every step of a stage anew; may be given several times, or with several stages
    #[arg(long, value_name = "STAGE[,STAGE...]", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Let FROM, COPY --from and mounts take a name from elsewhere; see below
    #[arg(long, value_name = "NAME=PLACE")]
    build_context: Vec<String>,
    /// Build up to so many stages at a time [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    jobs: Option<usize>,
    /// Judge the Dockerfile by the build checks instead of building it; the same as --call=check
    #[arg(long)]
    check: bool,
    /// Answer this instead of building: check, outline (what a target takes) or targets
    #[arg(long, value_name = "METHOD[,format=json]", default_value = "build")]
    call: Call,
    /// Show the build in this way [default: $BUILDKIT_PROGRESS, else auto]
    #[arg(long, value_name = "WAY")]
    progress: Option<Progress>,
    /// Print nothing but errors and the image ID; the same as --progress=quiet
    #[arg(short, long)]
    quiet: bool,
    /// Make the roots of steps in this way
    #[arg(long, value_name = "WAY", default_value = "auto", hide = true)]
    root_kind: Way,
    /// A directory, - for standard input, or the URL of a git repository or an archive
    #[arg(value_name = "CONTEXT")]
    context: String,
}

/// Builds, prints the image ID.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let names = args.tag.iter().map(|name| Reference::parse(name)).collect::<Result<Vec<_>, _>>()?;
    if let Some(name) = names.iter().find(|name| name.digest().is_some()) {
        return Err(Failure::new(
            Kind::User,
            format!("cannot name an image {name}: a name with a digest is given by what it names"),
        ));
    }
    let mut outputs = Outputs::parse(&args.output, context)?;
    if args.load && !outputs.listed() {
        outputs.all.push(Output::Store);
    }
    let names = [names, std::mem::take(&mut outputs.names)].concat();
    let targets = Targets::parse(&args.cache_to)?;
    let annotations = annotations(&args.annotation)?;
    let build_args = pairs("--build-arg", &args.build_arg, true)?;
    let labels = pairs("--label", &args.label, false)?;
    let secrets = args.secret.iter().map(|text| given::secret(text)).collect::<Result<Vec<_>, _>>()?;
    let agents = args.ssh.iter().map(|text| given::agent(text)).collect::<Result<Vec<_>, _>>()?;
    let progress = Progress::resolve(args.progress, args.quiet, context)?;
    let quiet = progress == Progress::Quiet;
    let store = context.store()?;
    let lease = store.lease()?;
    let fetcher = context.fetcher()?;
    let asked = Asked { context: &args.context, file: args.file.as_deref(), lease: &lease, fetcher: &fetcher };
    let input = asked.read()?;
    let imports = caches::sources(&args.cache_from, &lease, context)?;
    let contexts = Contexts::new(&args.build_context, asked.folder(), &lease, &fetcher, context, quiet)?;
    let call = if args.check { Call::CHECK } else { args.call };
    let file = match Dockerfile::parse(&input.dockerfile) {
        Ok(file) => file,
        Err(error) if call.tells_faults() => return check::unparsed_json(&error, &input),
        Err(error) => return Err(unparsed(error, &input.name, &input.dockerfile)),
    };
    let host = Platform::host();
    let judge = Judge {
        file: &file,
        input: &input,
        store: &store,
        contexts: &contexts,
        build_args: &build_args,
        target: args.target.as_deref(),
        platforms: (args.platform.as_ref(), &host),
    };
    if call.method != Method::Build {
        return judge.answer(call, context);
    }
    let findings = judge.findings(context)?;
    findings.refuse().inspect_err(|_| findings.say())?;
    let build_args = check::without_options(&build_args);
    let request = bedplate_build::Request {
        dockerfile: &file,
        target: args.target.as_deref(),
        build_args: &build_args,
        labels: &labels,
        names: &names,
        listed: outputs.listed(),
        squash: args.squash,
        annotations: &annotations,
        imports: &imports,
        inline_cache: targets.inline,
        platform: args.platform.clone(),
        host,
        epoch: context.epoch(),
        no_cache: args.no_cache,
        no_cache_filter: &args.no_cache_filter,
        jobs: args.jobs.unwrap_or_else(processors),
        contexts: Some(&contexts),
        secrets: &secrets,
        agents: &agents,
        fetcher: Some(&fetcher),
    };
    // A machine without this file has no name servers to tell of.
    let resolv_conf = fs::read_to_string("/etc/resolv.conf").ok();
    let runtime = Runtime::new(&lease, Sources::default(), args.root_kind.into(), resolv_conf);
    let mut view = View::new(progress, context);
    let built = {
        let mut observer = |event: Event<'_>| view.show(&event);
        build(&lease, &input.context, &request, Some(&runtime), &mut observer)
    };
    let built = built.map_err(|error| {
        view.failed();
        failed(error, &input, &file)
    })?;
    let id = built.image.id();
    outputs.write(&built.image, &names, &lease, context)?;
    targets.write(&built, &lease)?;
    if let Some(path) = &args.iidfile {
        fs::write(path, id.to_string())
            .map_err(|error| Failure::from(error).context(format!("cannot write the image ID to {path:?}")))?;
    }
    view.succeeded(&findings, &input);
    if let Some(path) = &args.metadata_file {
        fs::write(path, metadata(&built.image, &names)?)
            .map_err(|error| Failure::from(error).context(format!("cannot write the metadata to {path:?}")))?;
    }
    if !outputs.take_stdout() {
        writeln!(io::stdout(), "{id}")?;
    }
    Ok(0)
}

/// What `--metadata-file` says, in the words of buildx.
fn metadata(image: &Image, names: &[Reference]) -> Result<Vec<u8>, Failure> {
    let mut descriptor = image.descriptor.clone();
    descriptor.platform = Some(image.config.platform.clone());
    let mut all = serde_json::json!({
        "containerimage.config.digest": image.id(),
        "containerimage.descriptor": descriptor,
        "containerimage.digest": image.descriptor.digest,
    });
    if !names.is_empty() {
        let names: Vec<String> = names.iter().map(Reference::to_string).collect();
        all["image.name"] = names.join(",").into();
    }
    let mut text = serde_json::to_vec_pretty(&all)?;
    text.push(b'\n');
    Ok(text)
}

/// The values of `--annotation`: there is a manifest and no index, so that only those of manifests can be kept.
fn annotations(texts: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let mut found = Vec::new();
    for text in texts {
        let wrong = |why: &str| Failure::new(Kind::User, format!("--annotation {text:?}: {why}"));
        let (key, value) =
            text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| wrong("expected NAME=VALUE"))?;
        let place = key.split_once(':').map(|(place, name)| (place.split('[').next().unwrap_or_default(), name));
        match place {
            Some(("manifest", name)) => found.push((name.to_owned(), value.to_owned())),
            Some(("index" | "manifest-descriptor" | "index-descriptor", _)) => {
                return Err(wrong("an image for one platform has a manifest and no index"));
            }
            _ => found.push((key.to_owned(), value.to_owned())),
        }
    }
    Ok(found)
}

/// `NAME=VALUE` pairs; a name alone is looked up in the environment, where that is allowed.
fn pairs(flag: &str, texts: &[String], environment: bool) -> Result<Vec<(String, String)>, Failure> {
    let mut pairs = Vec::new();
    for text in texts {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None if environment => (text.as_str(), std::env::var(text).ok()),
            None => (text.as_str(), Some(String::new())),
        };
        if name.is_empty() {
            return Err(Failure::new(Kind::User, format!("{flag} {text:?} has no name")));
        }
        // A variable that is not set gives no argument, as with Docker.
        pairs.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(pairs)
}

/// What was attempted, with the lines at fault below it.
fn attempted(what: &str, name: &str, shown: Option<String>) -> String {
    format!("cannot {what} {name:?}{}", shown.map_or_else(String::new, |shown| format!("\n{shown}")))
}

fn unparsed(error: ParseError, name: &str, source: &[u8]) -> Failure {
    let attempted = attempted("parse", name, excerpt(source, error.position));
    Failure::from(error).context(attempted)
}

fn failed(error: BuildError, input: &Input, file: &Dockerfile) -> Failure {
    let hint = error.hint();
    let shown = match &error {
        BuildError::Step { step, .. } => excerpt_of_lines(&input.dockerfile, file.span_at(step.position)),
        _ => None,
    };
    // Docker's build ends with 1, whatever the status of the command that failed.
    let failure = Failure::from(error).context(attempted("build", &input.name, shown));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

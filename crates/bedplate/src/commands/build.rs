//! `bedplate build`: a Dockerfile and its context become an image.

mod arguments;
mod caches;
mod check;
mod contexts;
mod given;
mod input;
mod outputs;
mod view;

use std::fs;
use std::io::{self, Write as _};

use bedplate_build::{BuildError, Event, FailedStep, Runtime, build};
use bedplate_dockerfile::{Dockerfile, ParseError, excerpt, excerpt_of_lines};
use bedplate_oci::{Platform, Reference};
use bedplate_store::Image;
use bedplate_sys::kernel::processors;
use bedplate_sys::userns::Sources;

pub(crate) use self::arguments::Args;
use self::caches::Targets;
use self::check::{Call, Judge, Method};
use self::contexts::Contexts;
use self::input::{Asked, Input};
use self::outputs::{Output, Outputs};
use self::view::{Progress, View};
use crate::context::Context;
use crate::failure::{Failure, Kind};

/// Builds, prints the image ID.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let names = args.tag.iter().map(|name| Reference::parse(name)).collect::<Result<Vec<_>, _>>()?;
    if let Some(name) = names.iter().find(|name| name.digest().is_some()) {
        return Err(Failure::new(
            Kind::User,
            format!("cannot name an image {name}: a name with a digest is given by what it names"),
        ));
    }
    args.check()?;
    let surroundings = args.surroundings()?;
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
        surroundings: &surroundings,
        secrets: &secrets,
        agents: &agents,
        fetcher: Some(&fetcher),
    };
    // A machine without this file has no name servers to tell of.
    let resolv_conf = fs::read_to_string("/etc/resolv.conf").ok();
    // The name of its failed steps: one that comes through a pipe has no path.
    let path = fs::canonicalize(&input.name);
    let dockerfile = path.map_or_else(|_| input.name.clone(), |path| path.to_string_lossy().into_owned());
    let runtime = Runtime::new(&lease, Sources::default(), args.root_kind.into(), resolv_conf)
        .keeping_failures(dockerfile.clone());
    let mut view = View::new(progress, context);
    let built = {
        let mut observer = |event: Event<'_>| view.show(&event);
        build(&lease, &input.context, &request, Some(&runtime), &mut observer)
    };
    let built = built.map_err(|error| {
        view.failed();
        failed(error, &input, &file, runtime.kept())
    })?;
    if let Err(error) = FailedStep::forget(&lease, &dockerfile, &file) {
        context.warn(&error);
    }
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

fn failed(error: BuildError, input: &Input, file: &Dockerfile, kept: Option<String>) -> Failure {
    if let Some(signal) = error.signal() {
        let status = u8::try_from(128 + signal).unwrap_or(u8::MAX);
        return Failure::new(Kind::User, "the build was interrupted").status(status);
    }
    let debug = |id| format!("bedplate debug {id} opens a shell in what the command left");
    let hint = error.hint().or_else(|| kept.map(debug));
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

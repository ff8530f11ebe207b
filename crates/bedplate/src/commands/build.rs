//! `bedplate build`: a Dockerfile and its context become an image.

mod given;

use std::fs::{self, File};
use std::io::{self, BufReader, IsTerminal as _, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use bedplate_archive::{Compression, Decoder, Reader};
use bedplate_build::{BuildContext, BuildError, Event, GitError, GitSource, Runtime, build};
use bedplate_dockerfile::ignore::Ignore;
use bedplate_dockerfile::{Dockerfile, ParseError, Position, excerpt};
use bedplate_fetch::{Expected, Fetcher, Url};
use bedplate_oci::{Platform, Reference};
use bedplate_store::Lease;
use bedplate_sys::userns::Sources;

use super::way::Way;
use crate::context::Context;
use crate::failure::{Failure, Kind};

/// The Dockerfile's name where none is given.
const DOCKERFILE: &str = "Dockerfile";

/// The name of the ignore file.
const IGNORE: &str = ".dockerignore";

/// The most bytes of a Dockerfile on standard input: what the parser takes, and one more so that it can say so.
const MAX_DOCKERFILE: u64 = bedplate_dockerfile::MAX_DOCKERFILE_BYTES as u64 + 1;

/// The largest archive of a URL that is a context, in bytes.
const MAX_CONTEXT: u64 = 64 << 30;

/// Arguments of `build`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The context is a directory, or a tar archive (compressed or not) or a lone Dockerfile on standard input. The result
depends on names, modes and bytes of the context's files, never on their times or owners.

Examples:
  bedplate build --tag hello .
  bedplate build -t app -f docker/Dockerfile --build-arg VERSION=1.2 --target release .
  tar -c . | bedplate build -t app -
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
    /// Write the image ID into a file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Set the platform of the image [default: that of this machine]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// Do every step anew
    #[arg(long)]
    no_cache: bool,
    /// Print nothing but errors and the image ID
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
    let build_args = pairs("--build-arg", &args.build_arg, true)?;
    let labels = pairs("--label", &args.label, false)?;
    let secrets = args.secret.iter().map(|text| given::secret(text)).collect::<Result<Vec<_>, _>>()?;
    let agents = args.ssh.iter().map(|text| given::agent(text)).collect::<Result<Vec<_>, _>>()?;
    let store = context.store()?;
    let lease = store.lease()?;
    let fetcher = context.fetcher()?;
    let input = read_input(&args, &lease, &fetcher)?;
    let file = Dockerfile::parse(&input.dockerfile).map_err(|error| unparsed(error, &input.name, &input.dockerfile))?;
    let request = bedplate_build::Request {
        dockerfile: &file,
        target: args.target.as_deref(),
        build_args: &build_args,
        labels: &labels,
        names: &names,
        platform: args.platform.clone(),
        host: Platform::host(),
        epoch: context.epoch(),
        no_cache: args.no_cache,
        secrets: &secrets,
        agents: &agents,
        fetcher: Some(&fetcher),
    };
    // A machine without this file has no name servers to tell of.
    let resolv_conf = fs::read_to_string("/etc/resolv.conf").ok();
    let mut runtime = Runtime::new(&lease, Sources::default(), args.root_kind.into(), resolv_conf);
    let mut kept = Vec::new();
    let built = {
        let mut observer = |event: Event<'_>| show(context, args.quiet, &mut kept, &event);
        build(&lease, &input.context, &request, Some(&mut runtime), &mut observer)
    };
    let built = built.map_err(|error| {
        // Of a quiet build, what the command that failed said is wanted after all.
        let _ = io::stderr().write_all(&kept);
        failed(error, &input.name, &input.dockerfile)
    })?;
    let id = built.image.id();
    if let Some(path) = &args.iidfile {
        fs::write(path, id.to_string())
            .map_err(|error| Failure::from(error).context(format!("cannot write the image ID to {path:?}")))?;
    }
    writeln!(io::stdout(), "{id}")?;
    Ok(0)
}

/// The most that is kept of a quiet step's output, in bytes.
const MAX_KEPT: usize = 64 * 1024;

fn show(context: &Context, quiet: bool, kept: &mut Vec<u8>, event: &Event<'_>) {
    // A closed stderr is the user's choice.
    let mut stderr = io::stderr();
    match event {
        Event::Step { stage, number, count, text } => {
            kept.clear();
            if !quiet {
                let _ = writeln!(stderr, "[{stage} {number}/{count}] {text}");
            }
        }
        Event::Cached if !quiet => {
            let _ = writeln!(stderr, "  cached");
        }
        Event::Output(bytes) if !quiet => {
            let _ = stderr.write_all(bytes);
        }
        Event::Output(bytes) => {
            kept.extend_from_slice(bytes);
            if kept.len() > MAX_KEPT {
                kept.drain(..kept.len() - MAX_KEPT);
            }
        }
        Event::Remark(remark) if !quiet => context.warn(remark),
        _ => {}
    }
}

/// What a build reads.
struct Input {
    dockerfile: Vec<u8>,
    /// The Dockerfile's name in messages.
    name: String,
    context: BuildContext,
}

fn read_input(args: &Args, lease: &Lease, fetcher: &Fetcher) -> Result<Input, Failure> {
    let from_stdin = args.file.as_deref() == Some(Path::new("-"));
    if args.context == "-" {
        if from_stdin {
            return Err(Failure::new(
                Kind::User,
                "both the context and the Dockerfile are to come from standard input",
            ));
        }
        return stdin_input(args, lease);
    }
    if !from_stdin && let Some(source) = GitSource::parse(&args.context) {
        return git_input(args, lease, &source);
    }
    let lower = args.context.to_ascii_lowercase();
    if ["http://", "https://"].iter().any(|scheme| lower.starts_with(scheme)) {
        if from_stdin {
            return Err(Failure::new(Kind::User, "a Dockerfile on standard input needs a directory as its context"));
        }
        let mut file = BufReader::with_capacity(256 * 1024, downloaded(args, lease, fetcher)?);
        return stream_input(args, lease, &mut file, &args.context);
    }
    let directory = Path::new(&args.context);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: io::Error| Failure::from(error).context(format!("cannot read {path:?}"))
    };
    let mut context = BuildContext::directory(directory)?;
    let (dockerfile, name) = match &args.file {
        Some(_) if from_stdin => (read_limited(io::stdin().lock()).map_err(failed(Path::new("-")))?, "-".to_owned()),
        Some(path) => (File::open(path).and_then(read_limited).map_err(failed(path))?, path.display().to_string()),
        None => {
            let path = directory.join(DOCKERFILE);
            let Some(bytes) = context.read_file(DOCKERFILE)? else {
                return Err(Failure::new(Kind::User, format!("there is no {path:?}")).hint("name another with --file"));
            };
            (bytes, path.display().to_string())
        }
    };
    // The Dockerfile's own ignore file goes before that of the context. Spec: Dockerfile reference, ".dockerignore".
    let beside = args.file.as_ref().filter(|_| !from_stdin).map(|path| {
        let mut name = path.clone().into_os_string();
        name.push(IGNORE);
        PathBuf::from(name)
    });
    match beside.map(|path| (File::open(&path), path)) {
        Some((Ok(file), path)) => {
            let bytes = read_limited(file).map_err(failed(&path))?;
            context.set_ignore(ignore(&bytes, &path.display().to_string())?);
        }
        _ => {
            let own = args.file.is_none().then(|| format!("{DOCKERFILE}{IGNORE}"));
            set_ignore(&mut context, own.as_deref())?;
        }
    }
    Ok(Input { dockerfile, name, context })
}

fn set_ignore(context: &mut BuildContext, own: Option<&str>) -> Result<(), Failure> {
    for name in own.into_iter().chain([IGNORE]) {
        if let Some(bytes) = context.read_file(name)? {
            context.set_ignore(ignore(&bytes, name)?);
            break;
        }
    }
    Ok(())
}

fn ignore(bytes: &[u8], name: &str) -> Result<Ignore, Failure> {
    Ignore::parse(bytes).map_err(|error| Failure::from(error).context(format!("cannot read {name:?}")))
}

/// A context, or a lone Dockerfile: which of the two, the first bytes tell.
fn stdin_input(args: &Args, lease: &Lease) -> Result<Input, Failure> {
    if io::stdin().is_terminal() {
        return Err(Failure::new(Kind::User, "standard input is a terminal, not a context")
            .hint("pipe a Dockerfile or a tar into it, or name a directory: bedplate build ."));
    }
    let mut source = BufReader::with_capacity(256 * 1024, io::stdin().lock());
    stream_input(args, lease, &mut source, "standard input")
}

/// The same from anywhere; `what` names it in messages.
fn stream_input(args: &Args, lease: &Lease, mut source: impl Read, what: &str) -> Result<Input, Failure> {
    let failed = |error: io::Error| Failure::from(error).context(format!("cannot read {what}"));
    let mut head = Vec::new();
    source.by_ref().take(512).read_to_end(&mut head).map_err(failed)?;
    let all = io::Cursor::new(head.clone()).chain(source);
    if is_archive(&head) {
        let mut context = BuildContext::archive(lease, all)?;
        let name = match &args.file {
            Some(path) => path.display().to_string(),
            None => DOCKERFILE.to_owned(),
        };
        let Some(dockerfile) = context.read_file(&name)? else {
            return Err(Failure::new(Kind::User, format!("there is no {name:?} in the archive of {what}"))
                .hint("name another with --file"));
        };
        set_ignore(&mut context, Some(&format!("{name}{IGNORE}")))?;
        return Ok(Input { dockerfile, name, context });
    }
    let dockerfile = read_limited(all).map_err(failed)?;
    Ok(Input { dockerfile, name: "-".to_owned(), context: BuildContext::empty() })
}

/// A commit of a repository as the context; the Dockerfile lies in it.
fn git_input(args: &Args, lease: &Lease, source: &GitSource) -> Result<Input, Failure> {
    let failed = |error: GitError| {
        let missing = matches!(error, GitError::Missing);
        let failure = Failure::from(error).context(format!("cannot take {:?} as the context", source.shown()));
        if missing { failure.hint("install git, or fetch the files first and name their directory") } else { failure }
    };
    let folder = lease.scratch();
    fs::create_dir(&folder)?;
    let commit = source.commit().map_err(failed)?;
    source.check_out(&commit, &folder, false).map_err(failed)?;
    let mut context = BuildContext::directory(&folder.join(&source.directory))?;
    let name = args.file.as_ref().map_or_else(|| DOCKERFILE.to_owned(), |path| path.display().to_string());
    let Some(dockerfile) = context.read_file(&name)? else {
        return Err(Failure::new(
            Kind::User,
            format!("there is no {name:?} in {:?} at commit {commit}", source.shown()),
        )
        .hint("name another with --file"));
    };
    set_ignore(&mut context, Some(&format!("{name}{IGNORE}")))?;
    Ok(Input { dockerfile, name, context })
}

/// The file of a URL, in the lease's folder.
fn downloaded(args: &Args, lease: &Lease, fetcher: &Fetcher) -> Result<File, Failure> {
    let attempt = || format!("cannot fetch the context {:?}", args.context);
    let url = Url::parse(&args.context).map_err(|error| Failure::from(error).context(attempt()))?;
    let mut file = File::options().read(true).write(true).create_new(true).open(lease.scratch())?;
    let expected = Expected { digest: None, size: None, max_size: MAX_CONTEXT };
    fetcher.get(&url, expected, &mut file).map_err(|error| Failure::from(error).context(attempt()))?;
    file.rewind()?;
    Ok(file)
}

/// Whether bytes begin an archive; of a compressed one the compression is enough.
fn is_archive(head: &[u8]) -> bool {
    if Compression::detect(head) != Compression::None {
        return true;
    }
    let first = || -> Option<bool> {
        let mut reader = Reader::new(Decoder::new(head).ok()?);
        reader.next_entry().ok().map(|entry| entry.is_some())
    };
    // 512 zeros are an archive without entries.
    first().unwrap_or(false) || (head.len() == 512 && head.iter().all(|byte| *byte == 0))
}

fn read_limited(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_DOCKERFILE).read_to_end(&mut bytes)?;
    Ok(bytes)
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

/// The line at fault, below what was attempted.
fn attempted(what: &str, name: &str, source: &[u8], position: Option<Position>) -> String {
    let shown = position.and_then(|position| excerpt(source, position));
    format!("cannot {what} {name:?}{}", shown.map_or_else(String::new, |shown| format!("\n{shown}")))
}

fn unparsed(error: ParseError, name: &str, source: &[u8]) -> Failure {
    let attempted = attempted("parse", name, source, Some(error.position));
    Failure::from(error).context(attempted)
}

fn failed(error: BuildError, name: &str, source: &[u8]) -> Failure {
    let hint = error.hint();
    let position = match &error {
        BuildError::Step { step, .. } => Some(step.position),
        _ => None,
    };
    // Docker's build ends with 1, whatever the status of the command that failed.
    let failure = Failure::from(error).context(attempted("build", name, source, position));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

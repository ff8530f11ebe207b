//! `bedplate debug`: a shell where a build failed.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bedplate_bootstrap::acquire::{Context as AcquireContext, Host};
use bedplate_bootstrap::distribution::Pocket;
use bedplate_bootstrap::request::{Mirror, Request};
use bedplate_bootstrap::toolbox;
use bedplate_build::{FailedStep, FailedStepError, Runtime, RuntimeError, Visit};
use bedplate_store::{Lease, Store};
use bedplate_sys::userns::Sources;

use super::keyring::Told;
use super::way::Way;
use crate::context::Context;
use crate::failure::Failure;

/// The program that is the toolbox.
const BUSYBOX: &str = "busybox";

/// Arguments of `debug`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The shell has the environment, the user and the directory of the command that failed, and the files as the command
left them; what --mount showed and secrets are not there. What the shell changes is forgotten (it stays where the
machine has no overlays). Of each stage of a Dockerfile the last failure is kept, until the stage is built or
bedplate builder prune removes it.

An image without a shell is looked into with a static busybox, from the signed package of the distribution.

Examples:
  bedplate debug
  bedplate debug --before -c 'ls -l /src'
  bedplate debug 2b8f0d35c1aa")]
pub(crate) struct Args {
    /// Show the files as they were before the command
    #[arg(long)]
    before: bool,
    /// Do this, and open no shell
    #[arg(short, long, value_name = "COMMAND")]
    command: Option<String>,
    /// Use this static busybox as the shell, whatever the image has
    #[arg(long, value_name = "FILE")]
    toolbox: Option<PathBuf>,
    /// Take the toolbox from this suite
    #[arg(long, value_name = "SUITE", default_value = "trixie")]
    toolbox_suite: String,
    /// Ask this archive for the toolbox; may be given several times
    #[arg(long, value_name = "URL")]
    mirror: Vec<String>,
    /// Believe the keys of this file, and no others, for the toolbox; may be given several times
    #[arg(long, value_name = "FILE")]
    keyring: Vec<PathBuf>,
    /// Make the root in this way
    #[arg(long, value_name = "WAY", default_value = "auto", hide = true)]
    root_kind: Way,
    /// The failed step [default: the last one]
    #[arg(value_name = "ID")]
    id: Option<String>,
}

/// Opens the shell, and ends with its status.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let store = context.store()?;
    let lease = store.lease()?;
    let step = FailedStep::find(&store, args.id.as_deref()).map_err(not_found)?;
    // A machine without this file has no name servers to tell of.
    let resolv_conf = fs::read_to_string("/etc/resolv.conf").ok();
    let runtime = Runtime::new(&lease, Sources::default(), args.root_kind.into(), resolv_conf);
    let terminal = context.stdin_is_terminal && context.stdout_is_terminal && args.command.is_none();
    if terminal {
        let when = if args.before { "before" } else { "after" };
        let FailedStep { stage, text, status, .. } = &step;
        // A whole copy is what the shell works in: another one for each look would cost more than it is worth.
        let kept = if step.copied && !args.before { "changes stay" } else { "changes are forgotten" };
        context.say(&format!("[{stage}] {when} {text} (status {status}); {kept}"));
    }
    let mut visit = Visit { before: args.before, command: args.command.as_deref(), terminal, toolbox: None };
    let mut folder = match &args.toolbox {
        Some(file) => Some(toolbox_of(&fs::read(file).map_err(|error| unreadable(file, error))?, &lease)?),
        None => None,
    };
    if folder.is_none() {
        match runtime.visit(&step, &visit) {
            Err(RuntimeError::Run(error)) if error.exit_code() == bedplate_run::NOT_FOUND => {
                context
                    .say(&format!("the image has no {}: a toolbox is used", step.shell.first().map_or("shell", |s| s)));
                folder = Some(toolbox_of(&fetched(&args, &store, context)?, &lease)?);
            }
            other => return other.map_err(Failure::from),
        }
    }
    visit.toolbox = folder.as_deref();
    Ok(runtime.visit(&step, &visit)?)
}

fn not_found(error: FailedStepError) -> Failure {
    let nothing = matches!(error, FailedStepError::None | FailedStepError::Unknown { .. });
    let failure = Failure::from(error);
    match nothing {
        true => failure.hint("a step is kept when the command of a RUN fails; bedplate build says its name"),
        false => failure,
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Failure {
    Failure::from(error).context(format!("cannot read {path:?}"))
}

/// Gets busybox: from what was fetched before, else from the archive.
fn fetched(args: &Args, store: &Store, context: &Context) -> Result<Vec<u8>, Failure> {
    let mut request = Request::new(args.toolbox_suite.clone());
    request.mirrors = args.mirror.iter().map(|text| Mirror::parse(text)).collect();
    request.keyrings.clone_from(&args.keyring);
    // The program is in the release itself; what was updated since is not worth more archives.
    request.pockets = Some(vec![Pocket::Release]);
    let fetcher = context.fetcher()?;
    let host = Host::read(Path::new("/"))?;
    let from = |offline| {
        // Of the first try, which is no more than a look into the cache, nothing is told.
        let observer = Told { context, quiet: offline };
        let acquiring = AcquireContext {
            store,
            fetcher: &fetcher,
            now: context.seconds(),
            host: &host,
            offline,
            observer: &observer,
        };
        toolbox::busybox(&request, &acquiring)
    };
    from(true).or_else(|_| from(false)).map_err(|error| {
        let hint = error.hint().unwrap_or_else(|| "give a static busybox with --toolbox FILE".to_owned());
        Failure::from(error).context("cannot get a shell for an image without one").hint(hint)
    })
}

/// A directory with busybox, and a link for each of its tools.
fn toolbox_of(busybox: &[u8], lease: &Lease) -> Result<PathBuf, Failure> {
    let folder = lease.scratch();
    fs::create_dir(&folder)?;
    // A user of the image is to read it, whoever that is.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    let program = folder.join(BUSYBOX);
    fs::write(&program, busybox)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let listed = Command::new(&program).arg("--list").stdin(Stdio::null()).output();
    // Without links its shell still finds them, as `busybox NAME`.
    let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let is_name = |name: &&str| !name.is_empty() && *name != BUSYBOX && !name.contains('/') && !name.starts_with('.');
    for name in listed.lines().filter(is_name) {
        symlink(BUSYBOX, folder.join(name))?;
    }
    Ok(folder)
}

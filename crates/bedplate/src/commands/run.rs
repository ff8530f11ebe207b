//! `bedplate run`: an image becomes a process.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bedplate_image::{UnpackOptions, unpack_tree};
use bedplate_oci::Platform;
use bedplate_run::options::{self, SecurityOption};
use bedplate_run::resolve::{Host, Request, resolve, words};
use bedplate_run::seccomp::{LARGEST_PROFILE, Profile};
use bedplate_run::{
    FAILED, Mount, Network, OnSignal, Outcome, OverlayVia, Root, RunError, RuntimeConfig, Seccomp, Streams,
};
use bedplate_store::{Container, Image, NewContainer, SnapshotOptions, Status, Store};
use bedplate_sys::rooted::Handle;
use bedplate_sys::userns::{Privilege, Sources, become_root};
use serde_json::json;

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::rootfs::{COPY, ONE_ID, ROOTLESS};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    after_help = "\
The exit status is the command's own; 125 when the container could not be made, 126 when the command cannot be \
executed, 127 when it was not found, 128 + n when signal n ended it.

Examples:
  bedplate run focal cat /etc/lsb-release
  bedplate run --rm -it debian:trixie
  bedplate run --rm -v \"$PWD:/src:ro\" -w /src --network none gcc make -n"
)]
pub(crate) struct Args {
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// Remove the container when it ends
    #[arg(long)]
    rm: bool,
    /// Name the container
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Write the container's ID to a file that does not exist yet
    #[arg(long, value_name = "FILE")]
    cidfile: Option<PathBuf>,
    /// Set a variable, as NAME=VALUE, or NAME for the value it has here
    #[arg(short, long, value_name = "NAME[=VALUE]", allow_hyphen_values = true)]
    env: Vec<String>,
    /// Set the variables of a file, one a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Start in this directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Run as this user of the image
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Show a file or directory of the host in the container
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]")]
    volume: Vec<String>,
    /// Mount a directory of the host or a tmpfs, as type=bind,source=...,target=...[,readonly]
    #[arg(long, value_name = "KEY=VALUE,...")]
    mount: Vec<String>,
    /// Mount a tmpfs
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Take this program for the image's ENTRYPOINT; an empty one takes it away
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Set the host name
    #[arg(short = 'h', long, value_name = "NAME")]
    hostname: Option<String>,
    /// Make the root filesystem read-only
    #[arg(long)]
    read_only: bool,
    /// The network: the host's own, or none but a loopback device
    #[arg(long, visible_alias = "net", value_name = "host|none", default_value = "host", value_parser = network)]
    network: Network,
    /// Put a small process in front that hands on signals and reaps orphans
    #[arg(long)]
    init: bool,
    /// Give the container all rights and devices that this process has
    #[arg(long)]
    privileged: bool,
    /// Add a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// Take a capability away, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
    /// Change the hardening: no-new-privileges, seccomp=unconfined|builtin|FILE, systempaths=unconfined
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Limit a resource
    #[arg(long, value_name = "NAME=SOFT[:HARD]", allow_hyphen_values = true)]
    ulimit: Vec<String>,
    /// The size of /dev/shm
    #[arg(long, value_name = "BYTES")]
    shm_size: Option<String>,
    /// Hand signals on to the command
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    sig_proxy: bool,
    /// Which platform's image, as linux/arm64, where there are several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn network(text: &str) -> Result<Network, String> {
    match text {
        "host" => Ok(Network::Host),
        "none" => Ok(Network::None),
        _ => Err("known are host and none; a container has no network of its own yet".to_owned()),
    }
}

/// Runs the container and gives the command's status.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let rm = args.rm;
    // Whatever fails up to the command is ours, as Docker has it.
    run_image(args, context, rm).map_err(|failure| match failure.exit_status() {
        126 | 127 => failure,
        _ => failure.status(FAILED),
    })
}

fn run_image(args: Args, context: &Context, rm: bool) -> Result<u8, Failure> {
    let request = request(&args)?;
    if args.tty && args.interactive && !std::io::stdin().is_terminal() {
        return Err(Failure::new(Kind::User, "the input device is not a terminal")
            .hint("leave out --tty where standard input is a pipe or a file"));
    }
    // While there is one thread, and before any file of the store is opened: what is unpacked belongs to other users.
    let privilege = become_root(&Sources::default())?;
    let store = context.store()?;
    let image = store.resolve_for(&args.image, args.platform.as_ref())?;
    warn_of_platform(&image, context);

    let command = words(&image.config.config, &request);
    let mut container = store.create_container(&NewContainer {
        name: args.name.as_deref(),
        image: Some((&image, &args.image)),
        created: now(),
        remove: rm,
        command: &command,
        details: json!({ROOTLESS: privilege.is_rootless(), ONE_ID: matches!(privilege, Privilege::One { .. })}),
    })?;
    if let Some(file) = &args.cidfile
        && let Err(failure) = write_id(file, container.id())
    {
        // It never ran, and whoever wanted to know its ID does not.
        container.remove()?;
        return Err(failure);
    }
    let finished = in_container(&args, context, &request, &privilege, &store, &image, &mut container);
    if rm {
        container.remove()?;
    } else {
        let code = match &finished {
            Ok(code) => *code,
            Err(failure) => failure.exit_status(),
        };
        container.update(|state| {
            state.status = Status::Exited;
            state.finished = Some(now());
            state.pid = None;
            state.exit_code = Some(code.into());
        })?;
    }
    finished
}

fn in_container(
    args: &Args,
    context: &Context,
    request: &Request,
    privilege: &Privilege,
    store: &Store,
    image: &Image,
    container: &mut Container,
) -> Result<u8, Failure> {
    let variable = |name: &str| std::env::var(name).ok();
    let config = resolve(&image.config.config, request, &Host::look(), container.id(), &variable)?;
    let options = SnapshotOptions::of(privilege);
    let snapshot = store.snapshot(image.diff_ids(), &options)?;
    let root = Root::Overlay {
        lowers: snapshot.lowers().to_vec(),
        upper: container.upper(),
        work: container.work(),
        via: OverlayVia::Auto,
    };
    root.prepare()?;
    container.update(|state| {
        state.status = Status::Running;
        state.started = Some(now());
        state.pid = Some(std::process::id());
    })?;
    let signals = if args.sig_proxy { OnSignal::HandOn } else { OnSignal::Leave };
    let streams = || Streams { input: args.interactive, capture: None, signals };
    let outcome = match bedplate_run::run(&root, &config, privilege, streams()) {
        Err(error) if error.root_refused() => {
            tracing::debug!(causes = ?error.causes(), "no overlay here: the image is copied");
            copy(store, image, &options, &container.upper())?;
            container.update(|state| state.details[COPY] = json!(true))?;
            let root = Root::Directory { path: container.upper() };
            bedplate_run::run(&root, &config, privilege, streams())
        }
        other => other,
    };
    let Outcome { status, warnings, .. } = outcome.map_err(|error| failure(error, &config))?;
    for warning in warnings {
        context.warn(&warning);
    }
    Ok(status.code())
}

/// Unpacks the image where a plain directory has to serve as the container's root.
fn copy(store: &Store, image: &Image, options: &SnapshotOptions, into: &Path) -> Result<(), Failure> {
    let tree = store.image_tree(image)?;
    let options = UnpackOptions { owners: options.owners.clone(), threads: options.threads };
    unpack_tree(&tree, &store.contents(), &Handle::open(into)?, &options)?;
    Ok(())
}

fn failure(error: RunError, config: &RuntimeConfig) -> Failure {
    let (code, hint) = (error.exit_code(), error.hint().map(str::to_owned));
    let (message, causes) = (error.to_string(), error.causes().to_vec());
    let kind = if code == FAILED { Kind::Environment } else { Kind::User };
    let mut failure = match causes.is_empty() {
        true => Failure::from(error),
        false => {
            // Innermost first: each further one goes in front.
            let mut all = causes.into_iter().rev();
            let innermost = all.next().unwrap_or_default();
            let failure = all.fold(Failure::new(kind, innermost), Failure::context);
            failure.context(message)
        }
    };
    if let Some(hint) = hint {
        failure = failure.hint(hint);
    } else if code == bedplate_run::NOT_FOUND && config.args.first().is_some_and(|a| a.starts_with('-')) {
        failure = failure.hint("options of run go before the image's name");
    }
    failure.status(code)
}

fn request(args: &Args) -> Result<Request, Failure> {
    let here = std::env::current_dir()?;
    let mut mounts: Vec<Mount> = Vec::new();
    for value in &args.volume {
        mounts.push(options::volume(value, &here)?);
    }
    for value in &args.mount {
        mounts.push(options::mount(value, &here)?);
    }
    for value in &args.tmpfs {
        mounts.push(options::tmpfs(value)?);
    }
    let parts = |mount: &Mount| -> Vec<String> {
        mount.target().split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
    };
    // What lies deeper is mounted later, or it would be hidden.
    mounts.sort_by_key(|m| parts(m).len());
    let mut targets = BTreeSet::new();
    if let Some(twice) = mounts.iter().find(|m| !targets.insert(parts(m))) {
        return Err(Failure::new(Kind::User, format!("duplicate mount point: {}", twice.target())));
    }
    let mut env = Vec::new();
    for file in &args.env_file {
        let text = std::fs::read(file)
            .map_err(|error| Failure::from(error).context(format!("cannot read variables from {}", file.display())))?;
        env.extend(options::env_file(&text)?);
    }
    env.extend(args.env.iter().cloned());
    let mut request = Request {
        command: args.command.clone(),
        entrypoint: args.entrypoint.clone(),
        env,
        workdir: args.workdir.clone(),
        user: args.user.clone(),
        hostname: args.hostname.as_deref().map(options::hostname).transpose()?,
        terminal: args.tty,
        init: args.init,
        read_only: args.read_only,
        network: args.network,
        privileged: args.privileged,
        capabilities: options::capabilities(&args.cap_add, &args.cap_drop)?,
        no_new_privileges: false,
        seccomp: Seccomp::Default,
        unmasked: false,
        mounts,
        limits: args.ulimit.iter().map(|value| options::ulimit(value)).collect::<Result<_, _>>()?,
        shm_size: None,
    };
    if let Some(size) = &args.shm_size {
        let bytes = options::bytes(size).filter(|bytes| *bytes > 0);
        let wrong =
            || Failure::new(Kind::User, format!("invalid value {size:?} for --shm-size: expected a size as 64m"));
        request.shm_size = Some(bytes.ok_or_else(wrong)?);
    }
    for value in &args.security_opt {
        match options::security(value)? {
            SecurityOption::NoNewPrivileges(on) => request.no_new_privileges = on,
            SecurityOption::SeccompUnconfined => request.seccomp = Seccomp::Unconfined,
            SecurityOption::SeccompDefault => request.seccomp = Seccomp::Default,
            SecurityOption::SeccompFile(file) => request.seccomp = Seccomp::Profile(Box::new(profile(&file)?)),
            SecurityOption::SystemPathsUnconfined => request.unmasked = true,
            SecurityOption::Nothing => {}
        }
    }
    Ok(request)
}

fn profile(file: &Path) -> Result<Profile, Failure> {
    use std::io::Read as _;
    let mut text = Vec::new();
    let shown = file.display();
    std::fs::File::open(file)
        // One byte more than is taken, so that a longer file is told apart.
        .and_then(|file| file.take(LARGEST_PROFILE as u64 + 1).read_to_end(&mut text))
        .map_err(|error| Failure::from(error).context(format!("cannot read the seccomp profile {shown}")))?;
    Profile::parse(&text).map_err(|error| Failure::from(error).context(format!("cannot use {shown}")))
}

fn write_id(file: &Path, id: &str) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .open(file)
        .and_then(|mut file| std::io::Write::write_all(&mut file, id.as_bytes()))
        .map_err(|error| Failure::from(error).context(format!("cannot write the container's ID to {}", file.display())))
}

fn warn_of_platform(image: &Image, context: &Context) {
    let (found, host) = (&image.config.platform, Platform::host());
    let runs = |found: &str, host: &str| {
        found == host || found.is_empty() || matches!((found, host), ("386", "amd64") | ("arm", "arm64"))
    };
    if !runs(&found.architecture, &host.architecture) {
        context.warn(&format!("the image is for {found}, this machine is {host}"));
    }
}

/// For the container's own record; the clock enters no image.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

//! The container's side: from a copy of this program to the command.
//!
//! ```text
//! own namespaces ─▶ root mounted ─▶ furnished ─▶ pivot_root ─▶ masks ─▶ user, terminal, limits
//!   ─▶ capabilities and filter ─▶ (--init: fork, process 1 stays behind) ─▶ execve
//! ```
//! What goes wrong is sent over the socket as a [`Report`]; the end of the socket without a word means that the command
//! runs.

use std::ffi::CString;
use std::io::Read;
use std::os::fd::OwnedFd;

use bedplate_sys::caps::{self, CapSet};
use bedplate_sys::mount::{self, Attributes};
use bedplate_sys::process::{self, Vector};
use bedplate_sys::rooted::{Resolve, Root as Rooted};
use bedplate_sys::seccomp::Instruction;
use bedplate_sys::signals::Signals;
use bedplate_sys::terminal::{self, Winsize};
use bedplate_sys::{CallError, Errno, channel, network, seccomp};
use serde::{Deserialize, Serialize};

use crate::config::{DEFAULT_PATH, Network, RuntimeConfig};
use crate::diagnose;
use crate::error::{ExitStatus, NOT_EXECUTABLE, NOT_FOUND, Report};
use crate::init;
use crate::mounts::{self, Surroundings};
use crate::root::{Furnishing, MountPoint, Root};
use crate::user::{self, Identity};

/// Largest `/etc/passwd` or `/etc/group` of an image that is read, in bytes.
const LARGEST_USER_FILE: u64 = 64 << 20;

/// What the container's process says to its parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// Mount points were made in the root.
    Made(Vec<MountPoint>),
    /// Something is lacking that the command may do without.
    Warning(String),
    /// The controlling side of the command's terminal comes with this message.
    Terminal,
    /// A session's process 1 waits for commands; the directory of its root comes with this message.
    Serving,
    /// A command of a session ended.
    Ended {
        /// Its number.
        number: u32,
        /// How.
        status: ExitStatus,
    },
    /// Names of processes that run in a session besides its commands.
    Left(Vec<String>),
    /// It ends here.
    Failed(Report),
}

/// All that the child needs, made by the parent beforehand.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) config: &'a RuntimeConfig,
    pub(crate) root: &'a Root,
    pub(crate) around: Surroundings,
    /// The compiled filter; empty for none.
    pub(crate) filter: Vec<Instruction>,
    pub(crate) capabilities: CapSet,
    /// Standard input, output and error, where they are not the terminal.
    pub(crate) standard: [Option<OwnedFd>; 3],
    /// Size of the user's terminal.
    pub(crate) size: Option<Winsize>,
    /// Why other users' IDs do not exist, for messages.
    pub(crate) one_id: Option<String>,
    pub(crate) signals: &'a Signals,
    /// Readable once the parent has ended.
    pub(crate) parent: OwnedFd,
}

/// Becomes the command. Returns the exit status where that fails, or where this is the end of process 1.
pub(crate) fn become_command(plan: &Plan<'_>, socket: OwnedFd) -> i32 {
    match prepare(plan, &socket) {
        Ok((inside, ready)) => start(plan, inside, ready, socket),
        Err(report) => fail(&socket, report),
    }
}

pub(crate) fn send(socket: &OwnedFd, message: &Message, descriptor: Option<&OwnedFd>) {
    // These types have no maps and no numbers that JSON lacks, and the parent may be gone.
    if let Ok(text) = serde_json::to_vec(message) {
        let _ = channel::send(socket, &text, descriptor);
    }
}

pub(crate) fn fail(socket: &OwnedFd, report: Report) -> i32 {
    let code = report.code;
    send(socket, &Message::Failed(report), None);
    i32::from(code)
}

pub(crate) fn step(what: &str) -> impl Fn(CallError) -> Report + '_ {
    move |e| Report::failed(format!("cannot {what}")).because(e)
}

/// A process inside of the container's root, still with all its rights.
pub(crate) struct Inside {
    pub(crate) identity: Identity,
    pub(crate) root: Rooted,
}

/// A command that only has to be executed.
pub(crate) struct Ready {
    arguments: Vector,
    environment: Vector,
    /// Where the command may lie, in the order to be tried.
    candidates: Vec<String>,
    bare_name: bool,
    cwd: String,
}

fn prepare(plan: &Plan<'_>, socket: &OwnedFd) -> Result<(Inside, Ready), Report> {
    let inside = enter(plan, socket)?;
    let ready = ready(&plan.config.args, &plan.config.env, &plan.config.cwd, &inside.identity)?;
    Ok((inside, ready))
}

/// Makes the root and goes into it.
pub(crate) fn enter(plan: &Plan<'_>, socket: &OwnedFd) -> Result<Inside, Report> {
    let config = plan.config;
    plan.signals.restore_in_child().map_err(step("restore signals"))?;
    process::die_with_parent().map_err(step("follow the parent"))?;
    if channel::wait_for(&[(&plan.parent, channel::Interest::Read)], Some(0)).is_ok_and(|ready| ready == [true]) {
        // It ended before the request above.
        return Err(Report::failed("the parent process is gone"));
    }
    process::new_session().map_err(step("start a session"))?;
    process::set_umask(0);
    mount::make_all_private().map_err(|e| {
        let chrooted = e.errno() == Errno::INVAL;
        let report = step("make mounts private")(e);
        if chrooted {
            report.hint("the root directory is no mount point, as in a chroot: bind-mount it upon itself first")
        } else {
            report
        }
    })?;
    let attributes = Attributes { no_dev: !config.privileged, ..Attributes::default() };
    let root = plan.root.mount(plan.around.rootless, attributes).map_err(|e| {
        let unsupported = matches!(
            e.errno(),
            Errno::INVAL | Errno::PERM | Errno::NODEV | Errno::OPNOTSUPP | Errno::NOSYS | Errno::STALE
        );
        let mut report = Report::failed("cannot mount the container's root").because(e);
        report.root_refused = unsupported && matches!(plan.root, Root::Overlay { .. });
        report
    })?;
    if !config.hostname.is_empty() {
        process::set_host_name(&config.hostname).map_err(step("set the host name"))?;
    }
    if config.network == Network::None {
        network::loopback_up().map_err(step("switch the loopback device on"))?;
    }
    let mut furnishing = Furnishing::new(root);
    let furnished = mounts::furnish(&mut furnishing, config, &plan.around, &mut |warning| {
        send(socket, &Message::Warning(warning), None);
    });
    // Also after a failure: what was made is to be removed.
    if !furnishing.made.is_empty() {
        send(socket, &Message::Made(std::mem::take(&mut furnishing.made)), None);
    }
    let devices = furnished?;
    let console =
        if config.terminal { Some(make_terminal(&mut furnishing, &devices.pts, plan, socket)?) } else { None };
    mount::change_root(furnishing.rooted.handle()).map_err(step("change the root"))?;
    mounts::mask(config, &devices)?;
    drop(devices);
    let root = Rooted::open(c"/").map_err(step("open the root"))?;
    let identity = identity(plan, &root)?;
    make_cwd(config, &root)?;
    if config.read_only {
        mount::remount(c"/", Attributes::READ_ONLY).map_err(step("make the root read-only"))?;
    }
    for limit in &config.limits {
        if let Some(resource) = limit.resource() {
            process::set_limit(resource, limit.soft, limit.hard).map_err(|e| {
                let report = Report::failed(format!("cannot set the limit {:?}", limit.name));
                let denied = e.is_denied();
                let report = report.because(e);
                if denied { report.hint("only root may raise a hard limit above its own") } else { report }
            })?;
        }
    }
    streams(plan, console, &identity)?;
    process::set_umask(config.umask);
    Ok(Inside { identity, root })
}

/// Finds out all that can be known of a command before it is executed.
pub(crate) fn ready(args: &[String], env: &[String], cwd: &str, identity: &Identity) -> Result<Ready, Report> {
    let mut environment = last_of_each(env);
    if !environment.iter().any(|v| v.starts_with("HOME=")) {
        environment.push(format!("HOME={}", identity.home));
    }
    let path = environment.iter().find_map(|v| v.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let command = args.first().map(String::as_str).unwrap_or_default();
    if command.is_empty() {
        return Err(Report::failed("no command: the image has none and none was given"));
    }
    let bare_name = !command.contains('/');
    let candidates = if bare_name {
        path.split(':')
            .map(|dir| if dir.is_empty() { format!("./{command}") } else { format!("{dir}/{command}") })
            .collect()
    } else {
        vec![command.to_owned()]
    };
    let arguments = Vector::new(args).map_err(step("pass the arguments"))?;
    let environment = Vector::new(&environment).map_err(step("pass the environment"))?;
    Ok(Ready { arguments, environment, candidates, bare_name, cwd: cwd.to_owned() })
}

/// Of variables with one name the last value counts, in the place of the first.
fn last_of_each(env: &[String]) -> Vec<String> {
    let name = |v: &str| v.split('=').next().unwrap_or_default().to_owned();
    let mut kept: Vec<String> = Vec::with_capacity(env.len() + 1);
    for variable in env {
        match kept.iter_mut().find(|k| name(k) == name(variable)) {
            Some(k) => k.clone_from(variable),
            None => kept.push(variable.clone()),
        }
    }
    kept
}

fn make_terminal(
    furnishing: &mut Furnishing,
    devpts: &bedplate_sys::rooted::Handle,
    plan: &Plan<'_>,
    socket: &OwnedFd,
) -> Result<OwnedFd, Report> {
    let (controller, terminal) = terminal::pair_in(devpts).map_err(step("make a terminal"))?;
    if let Some(size) = plan.size {
        terminal::set_size(&controller, size).map_err(step("set the terminal's size"))?;
    }
    // In the container's /dev, which is no disk: not among what is removed.
    let console = furnishing.target("/dev/console", crate::root::Wanted::File)?;
    furnishing.made.clear();
    mount::bind(&terminal, &console, false).map_err(step("show the terminal as /dev/console"))?;
    send(socket, &Message::Terminal, Some(&controller));
    Ok(terminal)
}

fn identity(plan: &Plan<'_>, root: &Rooted) -> Result<Identity, Report> {
    let read = |path: &str| -> Vec<u8> {
        let mut text = Vec::new();
        // An image without the file has no names; one with something odd in its place has none either.
        if let Ok(file) = root.open_file(path, Resolve::InRoot) {
            let _ = file.take(LARGEST_USER_FILE).read_to_end(&mut text);
        }
        text
    };
    user::resolve(&plan.config.user, &read("etc/passwd"), &read("etc/group")).map_err(|e| Report::failed(e.to_string()))
}

fn make_cwd(config: &RuntimeConfig, root: &Rooted) -> Result<(), Report> {
    let cwd = if config.cwd.is_empty() { "/" } else { config.cwd.as_str() };
    if !cwd.starts_with('/') {
        return Err(Report::failed(format!("the working directory {cwd:?} is not an absolute path")));
    }
    root.create_dir_all(cwd, 0o755, Resolve::InRoot, |_| {})
        .map(drop)
        .map_err(|e| Report::failed(format!("cannot make the working directory {cwd:?}")).because(e))
}

/// Puts the streams in their places.
fn streams(plan: &Plan<'_>, console: Option<OwnedFd>, identity: &Identity) -> Result<(), Report> {
    if let Some(terminal) = console {
        terminal::make_controlling(&terminal).map_err(step("take the terminal"))?;
        // An ID that the namespace lacks cannot own it; the group may still use it then.
        let _ = bedplate_sys::file::chown(&terminal, identity.uid, tty_group(plan));
        for number in 0..3 {
            process::set_standard(&terminal, number).map_err(step("set the standard streams"))?;
        }
        return Ok(());
    }
    for (number, stream) in (0..).zip(&plan.standard) {
        if let Some(stream) = stream {
            if identity.uid != 0 {
                give_pipe(stream, identity);
            }
            process::set_standard(stream, number).map_err(step("set the standard streams"))?;
        }
    }
    Ok(())
}

fn tty_group(plan: &Plan<'_>) -> u32 {
    if plan.around.has_tty_group { 5 } else { 0 }
}

/// Lets the command's user reopen a pipe by `/dev/stdout`, as images of servers do for their logs.
fn give_pipe(stream: &OwnedFd, identity: &Identity) {
    if bedplate_sys::file::stat(stream).is_ok_and(|s| s.kind == bedplate_sys::file::Kind::Fifo && s.nlink == 1) {
        // Only convenience: without it the stream itself still works.
        let _ = bedplate_sys::file::chown(stream, identity.uid, identity.gid);
    }
}

fn start(plan: &Plan<'_>, inside: Inside, ready: Ready, socket: OwnedFd) -> i32 {
    if let Err(report) = drop_privileges(plan, &inside.identity) {
        return fail(&socket, report);
    }
    if plan.config.init {
        match init::fork_from_process_one() {
            Ok(init::Side::One(child)) => {
                drop(socket);
                return init::serve(child);
            }
            Ok(init::Side::Command) => {}
            Err(e) => return fail(&socket, step("start process 1")(e)),
        }
    }
    fail(&socket, execute(&inside.root, &ready))
}

/// Gives up what the container's processes may not do, and enters the working directory.
pub(crate) fn drop_privileges(plan: &Plan<'_>, identity: &Identity) -> Result<(), Report> {
    let Identity { uid, gid, groups, .. } = identity;
    let config = plan.config;
    // The socket is the only one needed from here on, and only until exec.
    process::close_on_exec_from(3).map_err(step("close files"))?;
    caps::limit_bounding(plan.capabilities).map_err(step("limit capabilities"))?;
    if config.no_new_privileges {
        process::set_no_new_privileges().map_err(step("forbid new privileges"))?;
    } else if !plan.filter.is_empty() {
        // While the capability that this needs is still there.
        seccomp::load(&plan.filter).map_err(step("load the seccomp filter"))?;
    }
    if *uid != 0 {
        caps::keep_over_user_change(true).map_err(step("keep capabilities"))?;
    }
    // The primary group, too, as Docker since CVE-2022-36109: a program that changes its group must not get rid of
    // the old one where a file denies that group what it grants to others.
    let groups: Vec<u32> = std::iter::once(*gid).chain(groups.iter().copied()).collect();
    // One ID only: the kernel denies setgroups, and there is no group to be set.
    let groups = if plan.one_id.is_some() { None } else { Some(groups.as_slice()) };
    process::become_user(*uid, *gid, groups).map_err(|e| {
        let unknown = e.errno() == Errno::INVAL;
        let report = Report::failed(format!("cannot become user {uid}:{gid}")).because(e);
        match &plan.one_id {
            Some(reason) if unknown => report.because(format!("only one ID is mapped: {reason}")),
            _ if unknown => report.hint("the ID is outside of the range in /etc/subuid and /etc/subgid"),
            _ => report,
        }
    })?;
    if *uid == 0 {
        caps::set(plan.capabilities, plan.capabilities, CapSet::EMPTY).map_err(step("set capabilities"))?;
    } else {
        // As Docker: another user than root has none in effect, and gets those of the bounding set by file only.
        caps::set(CapSet::EMPTY, CapSet::EMPTY, CapSet::EMPTY).map_err(step("set capabilities"))?;
    }
    caps::clear_ambient().map_err(step("clear ambient capabilities"))?;
    if config.no_new_privileges && !plan.filter.is_empty() {
        seccomp::load(&plan.filter).map_err(step("load the seccomp filter"))?;
    }
    // Forgotten by the kernel when the user changed.
    process::die_with_parent().map_err(step("follow the parent"))?;
    // As the command's own user, who may have rights here that root of a user namespace lacks.
    let cwd = if config.cwd.is_empty() { "/" } else { config.cwd.as_str() };
    process::change_dir(cwd)
        .map_err(|e| Report::failed(format!("cannot enter the working directory {cwd:?}")).because(e))
}

/// Becomes the command; comes back only where that fails.
pub(crate) fn execute(root: &Rooted, ready: &Ready) -> Report {
    let mut denied: Option<String> = None;
    for candidate in &ready.candidates {
        let Ok(path) = CString::new(candidate.as_str()) else { continue };
        let errno = process::execute(&path, &ready.arguments, &ready.environment);
        let absent = matches!(errno, Errno::NOENT | Errno::NOTDIR);
        if !ready.bare_name {
            return diagnose::explain(root, &absolute(candidate, &ready.cwd), errno);
        }
        // Found in PATH with a missing interpreter is found.
        let whole = absolute(candidate, &ready.cwd);
        match errno {
            _ if absent && root.open_path(whole.as_str(), Resolve::InRoot).is_err() => {}
            Errno::ACCESS => {
                denied.get_or_insert(whole);
            }
            _ => return diagnose::explain(root, &whole, errno),
        }
    }
    let name = ready.arguments.strings().first().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    match denied {
        Some(path) => diagnose::explain(root, &path, Errno::ACCESS).code(NOT_EXECUTABLE),
        None => Report::failed(format!("executable file {name:?} not found in the container's PATH")).code(NOT_FOUND),
    }
}

fn absolute(path: &str, cwd: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{cwd}/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_variable_counts_in_the_place_of_the_first() {
        let env = ["A=1", "B=2", "A=3", "C", "B="].map(str::to_owned);
        assert_eq!(last_of_each(&env), ["A=3", "B=", "C"]);
    }
}

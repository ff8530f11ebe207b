//! The host's side: makes the container's process, carries bytes and signals, waits, clears up.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bedplate_sys::caps::{self, LinuxCapability};
use bedplate_sys::channel::{self, Interest};
use bedplate_sys::process::{Child, Namespaces, fork, spawn};
use bedplate_sys::signals::Signals;
use bedplate_sys::terminal;
use bedplate_sys::userns::{Privilege, thread_count};
use bedplate_sys::{CallError, kernel};
use serde::{Deserialize, Serialize};

use crate::child::{Message, Plan, become_command};
use crate::config::{Network, RuntimeConfig, Seccomp};
use crate::error::{ExitStatus, Report, RunError};
use crate::mounts::Surroundings;
use crate::relay::{Lines, Relay};
use crate::root::{MountPoint, Root, remove_mount_points};
use crate::seccomp::{Arch, compile, default_profile};

/// Which of a command's outputs bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Takes what a command writes, as it comes. Of a command that is silent it is given no bytes now and then, as a sign of
/// life: who shows time has no other clock.
pub type Sink<'a> = &'a mut dyn FnMut(Stream, &[u8]);

/// Where a command's standard streams lead.
pub struct Streams<'a> {
    /// Whether the command reads what this process's standard input gives; else it reads nothing.
    pub input: bool,
    /// Takes what the command writes; `None` leaves it this process's own outputs.
    pub capture: Option<Sink<'a>>,
    /// What signals to this process mean.
    pub signals: OnSignal,
}

/// What signals to this process mean while a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSignal {
    /// They are handed on to the command; three interrupts in a row end it.
    HandOn,
    /// HUP, INT and TERM end the container: [`RunError::Interrupted`].
    End,
    /// What they mean to any process.
    Leave,
}

impl OnSignal {
    fn taken(self) -> Vec<i32> {
        match self {
            Self::HandOn => (1..=64).filter(|signal| handed_on(*signal)).collect(),
            Self::End => vec![HUP, INT, TERM, WINCH],
            Self::Leave => vec![WINCH],
        }
    }
}

impl std::fmt::Debug for Streams<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams")
            .field("input", &self.input)
            .field("capture", &self.capture.is_some())
            .field("signals", &self.signals)
            .finish()
    }
}

impl Streams<'_> {
    /// Outputs go where this process's go, signals are handed on, and input is given where asked for.
    pub fn inherit(input: bool) -> Self {
        Self { input, capture: None, signals: OnSignal::HandOn }
    }
}

/// What came of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How the command ended.
    pub status: ExitStatus,
    /// What was made in the root to mount upon, and removed again where the command left nothing in it.
    pub mount_points: Vec<MountPoint>,
    /// What the container had to do without, in words.
    pub warnings: Vec<String>,
}

/// Signals that are not handed on: those that concern this process itself, or are for its faults.
fn handed_on(signal: i32) -> bool {
    // ILL TRAP ABRT BUS FPE KILL SEGV PIPE CHLD STOP TSTP TTIN TTOU URG SYS, and 32, 33 of the C library
    !matches!(signal, 4..=9 | 11 | 13 | 17 | 19..=23 | 31..=33)
}

const HUP: i32 = 1;
const INT: i32 = 2;
const KILL: i32 = 9;
const TERM: i32 = 15;
const WINCH: i32 = 28;
/// So many interrupts in a row end a container whose command does not listen.
const PATIENCE: u32 = 3;

/// After so many milliseconds of silence a command's sink is told that it lives.
const SIGN_OF_LIFE: u64 = 200;

/// Runs a command in a container and waits for its end.
///
/// The process must be root, or root of a user namespace ([`bedplate_sys::userns::become_root`]), and have one thread; where
/// it has more and the outputs are captured, a helper process is interposed. The container does not outlive this process.
/// Mount points that were made in the root are removed at the end.
///
/// # Errors
/// [`RunError`], whose exit code is 125, 126 or 127. The command's own failure is no error.
pub fn run(
    root: &Root,
    config: &RuntimeConfig,
    privilege: &Privilege,
    streams: Streams<'_>,
) -> Result<Outcome, RunError> {
    if !alone() {
        return run_beside_threads(root, config, privilege, streams, None);
    }
    let mut made = Vec::new();
    let result = run_here(root, config, privilege, streams, &mut made);
    let removed = remove_mount_points(root.changed(), &made);
    let mut outcome = result?;
    removed.map_err(|source| RunError::Step { step: "remove the mount points of the container", source })?;
    outcome.mount_points = made;
    Ok(outcome)
}

/// Whether no other thread runs.
pub(crate) fn alone() -> bool {
    thread_count() <= 1
}

pub(crate) fn step(step: &'static str) -> impl Fn(CallError) -> RunError {
    move |source| RunError::Step { step, source }
}

/// The capabilities and the filter for a configuration.
pub(crate) fn confinement(
    config: &RuntimeConfig,
) -> Result<(caps::CapSet, Vec<bedplate_sys::seccomp::Instruction>), RunError> {
    for name in &config.capabilities {
        if LinuxCapability::by_name(name).is_none() {
            return Err(RunError::Config { message: format!("unknown capability {name:?}") });
        }
    }
    // More than this process has it cannot give.
    let permitted = caps::permitted().map_err(step("read the capabilities of this process"))?;
    let wanted = if config.privileged { caps::CapSet::ALL } else { config.capability_set() };
    let capabilities = wanted.and(permitted);
    let filter = match &config.seccomp {
        _ if config.privileged && config.seccomp == Seccomp::Default => Vec::new(),
        Seccomp::Unconfined => Vec::new(),
        Seccomp::Default => compile(&default_profile(), capabilities, Arch::of_machine())
            .map_err(|source| RunError::Seccomp { source })?,
        Seccomp::Profile(profile) => {
            compile(profile, capabilities, Arch::of_machine()).map_err(|source| RunError::Seccomp { source })?
        }
    };
    Ok((capabilities, filter))
}

pub(crate) fn surroundings(privilege: &Privilege) -> Surroundings {
    Surroundings {
        rootless: privilege.is_rootless(),
        has_tty_group: privilege.can_own(0, 5),
        cgroups: kernel::cgroups(),
    }
}

/// Why other users' IDs do not exist, where that is so.
pub(crate) fn one_id(privilege: &Privilege) -> Option<String> {
    match privilege {
        Privilege::One { reason, .. } => Some(reason.to_string()),
        _ => None,
    }
}

/// The namespaces of a container with this configuration.
pub(crate) fn namespaces(config: &RuntimeConfig) -> Namespaces {
    Namespaces {
        mount: true,
        pid: true,
        uts: true,
        ipc: true,
        net: config.network == Network::None,
        cgroup: true,
        user: false,
    }
}

fn run_here(
    root: &Root,
    config: &RuntimeConfig,
    privilege: &Privilege,
    mut streams: Streams<'_>,
    made: &mut Vec<MountPoint>,
) -> Result<Outcome, RunError> {
    for limit in &config.limits {
        if limit.resource().is_none() {
            return Err(RunError::Config { message: format!("unknown limit {:?}", limit.name) });
        }
    }
    root.check()?;
    let (capabilities, filter) = confinement(config)?;
    let signals = Signals::take(&streams.signals.taken()).map_err(step("take signals"))?;

    let stdin = std::io::stdin();
    let host_terminal = terminal::is_terminal(&stdin);
    let mut relay = Relay::new();
    let standard = if config.terminal {
        [None, None, None]
    } else {
        standard_streams(&streams, &mut relay).map_err(step("connect the command's streams"))?
    };
    let plan = Plan {
        config,
        root,
        around: surroundings(privilege),
        filter,
        capabilities,
        standard,
        size: config.terminal.then(|| terminal::size(&stdin).or_else(|| terminal::size(std::io::stdout()))).flatten(),
        one_id: one_id(privilege),
        signals: &signals,
        parent: bedplate_sys::process::own_descriptor().map_err(step("open this process"))?,
    };
    let (ours, theirs) = channel::sockets().map_err(step("make a socket pair"))?;
    let mut theirs = Some(theirs);
    let child = spawn(namespaces(config), || match theirs.take() {
        // The parent's ends are closed by exec, and by process 1 of --init, which closes all it has.
        Some(socket) => become_command(&plan, socket),
        None => 0,
    })
    .map_err(step("make the container's namespaces"))?;
    drop(theirs);
    let Plan { standard, .. } = plan;
    drop(standard);

    let mut report = None;
    let mut warnings = Vec::new();
    let mut controller = None;
    listen(&ours, &mut |message, descriptor| match message {
        Message::Made(points) => made.extend(points),
        Message::Warning(text) => warnings.push(text),
        Message::Terminal => controller = descriptor,
        Message::Failed(found) => report = Some(found),
        Message::Serving | Message::Ended { .. } | Message::Left(_) => {}
    })
    .map_err(step("hear of the container's process"))?;
    if let Some(report) = report {
        // Its exit status is the report's; nothing else is to be learned from it.
        let _ = child.wait();
        return Err(RunError::Container(report));
    }
    let raw = match (&controller, streams.input && host_terminal) {
        (Some(_), true) => Some(terminal::Raw::enter(stdin.as_fd()).map_err(step("put the terminal in raw mode"))?),
        _ => None,
    };
    if let Some(controller) = &controller {
        relay.terminal(controller, streams.input, streams.capture.is_some()).map_err(step("connect the terminal"))?;
    }
    let served = serve(&child, &signals, &mut relay, controller.as_ref(), &mut streams, None);
    drop(raw);
    served?;
    let status = ExitStatus::from(child.wait().map_err(step("wait for the container"))?);
    Ok(Outcome { status, mount_points: Vec::new(), warnings })
}

/// Decides for each stream: nothing, this process's own, or a pipe with this process in between.
fn standard_streams(streams: &Streams<'_>, relay: &mut Relay) -> Result<[Option<OwnedFd>; 3], CallError> {
    let own = |fd: BorrowedFd<'_>, what: &str| {
        fd.try_clone_to_owned().map(Some).map_err(|e| CallError::from_io(format!("dup({what})"), &e))
    };
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    // A terminal of the host is never handed to a container: it could be asked for its size, its state and, with the
    // right call, to type for the user.
    let input = if !streams.input {
        let null = std::fs::File::open("/dev/null").map_err(|e| CallError::from_io("open(\"/dev/null\")", &e))?;
        Some(OwnedFd::from(null))
    } else if terminal::is_terminal(&stdin) {
        Some(relay.input()?)
    } else {
        own(stdin.as_fd(), "stdin")?
    };
    let output = if streams.capture.is_some() || terminal::is_terminal(&stdout) {
        Some(relay.output(Stream::Output)?)
    } else {
        own(stdout.as_fd(), "stdout")?
    };
    let error = if streams.capture.is_some() || terminal::is_terminal(&stderr) {
        Some(relay.output(Stream::Error)?)
    } else {
        own(stderr.as_fd(), "stderr")?
    };
    Ok([input, output, error])
}

/// Hears messages until the other end closes.
fn listen(socket: &OwnedFd, hear: &mut dyn FnMut(Message, Option<OwnedFd>)) -> Result<(), CallError> {
    // The longest messages are lists of mount points: as many as there are mounts, which are tens.
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let (n, descriptor) = channel::receive(socket, &mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        match serde_json::from_slice(&buffer[..n]) {
            Ok(message) => hear(message, descriptor),
            Err(e) => {
                let report = Report::failed("the container's process said what cannot be understood").because(e);
                hear(Message::Failed(report), None);
            }
        }
    }
}

/// Carries bytes and signals until the command has ended and all that it wrote has arrived.
fn serve(
    child: &Child,
    signals: &Signals,
    relay: &mut Relay,
    controller: Option<&OwnedFd>,
    streams: &mut Streams<'_>,
    cancel: Option<&OwnedFd>,
) -> Result<(), RunError> {
    let mut interrupts = 0;
    let mut ended = false;
    loop {
        let lines: Lines = relay.lines();
        if ended && !relay.has_output() {
            return Ok(());
        }
        let mut waits: Vec<(&dyn AsFd, Interest)> = vec![(signals, Interest::Read)];
        if !ended {
            waits.push((child, Interest::Read));
        }
        let cancel = cancel.filter(|_| !ended);
        waits.extend(cancel.iter().map(|fd| (fd as &dyn AsFd, Interest::Read)));
        let base = waits.len();
        waits.extend(lines.iter().map(|(_, fd, interest)| (fd as &dyn AsFd, *interest)));
        // When the command has ended, processes that it left are dead too, and pipes end; a terminal that keeps silent
        // has nothing more.
        let timeout = if ended { Some(100) } else { streams.capture.is_some().then_some(SIGN_OF_LIFE) };
        let ready = channel::wait_for(&waits, timeout).map_err(step("wait for the container"))?;
        drop(waits);
        let nothing = !ready.iter().any(|r| *r);
        let of_lines = lines.iter().zip(ready.iter().skip(base));
        let ready_lines: Vec<usize> = of_lines.filter(|(_, r)| **r).map(|(l, _)| l.0).collect();
        if ended && nothing {
            return Ok(());
        }
        if nothing && let Some(capture) = &mut streams.capture {
            capture(Stream::Output, &[]);
        }
        drop(lines);
        relay.carry(&ready_lines, &mut streams.capture);
        if !ended && ready.get(1) == Some(&true) {
            ended = true;
            relay.stop_input();
        } else if cancel.is_some() && ready.get(2) == Some(&true) {
            child.signal(KILL).map_err(step("end the container"))?;
            // What it wrote is of no interest, and its end follows.
            return Ok(());
        }
        while let Some(signal) = signals.next().map_err(step("read signals"))? {
            if signal == WINCH
                && let Some(controller) = controller
            {
                if let Some(size) = terminal::size(std::io::stdin()) {
                    // The terminal may be closed already.
                    let _ = terminal::set_size(controller, size);
                }
                continue;
            }
            if streams.signals == OnSignal::End {
                child.signal(KILL).map_err(step("end the container"))?;
                return Err(RunError::Interrupted { signal });
            }
            if signal == INT || signal == TERM {
                interrupts += 1;
            }
            let signal = if interrupts >= PATIENCE { KILL } else { signal };
            child.signal(signal).map_err(step("signal the container"))?;
        }
    }
}

/// Does what [`run`] does in a process made for it, which has one thread: for callers that have more. Once something can be
/// read from `cancel`, or its other end is closed, the container is killed.
///
/// # Errors
/// Those of [`run`]; of a container that was killed [`RunError::Vanished`].
pub fn run_beside_threads(
    root: &Root,
    config: &RuntimeConfig,
    privilege: &Privilege,
    mut streams: Streams<'_>,
    cancel: Option<&OwnedFd>,
) -> Result<Outcome, RunError> {
    #[derive(Serialize, Deserialize)]
    enum Reply {
        Done(Outcome),
        Failed(Report),
    }
    let (ours, theirs) = channel::sockets().map_err(step("make a socket pair"))?;
    let mut relay = Relay::new();
    let outputs = if streams.capture.is_some() {
        let output = relay.output(Stream::Output).map_err(step("make a pipe"))?;
        let error = relay.output(Stream::Error).map_err(step("make a pipe"))?;
        Some((output, error))
    } else {
        None
    };
    let input = streams.input;
    let helper = fork(|| {
        let prepared = bedplate_sys::process::die_with_parent().and_then(|()| {
            if let Some((output, error)) = &outputs {
                bedplate_sys::process::set_standard(output, 1)?;
                bedplate_sys::process::set_standard(error, 2)?;
            }
            // Pipes of other threads' containers would have no end while this one runs.
            bedplate_sys::process::close_all_but(&[theirs.as_fd()])
        });
        let reply = match prepared {
            Err(e) => Reply::Failed(Report::failed("cannot prepare a process for the container").because(e)),
            Ok(()) => {
                let streams = Streams { input, capture: None, signals: OnSignal::Leave };
                match run(root, config, privilege, streams) {
                    Ok(outcome) => Reply::Done(outcome),
                    Err(RunError::Container(report)) => Reply::Failed(report),
                    Err(e) => {
                        let mut report = Report::failed(e.to_string()).code(e.exit_code());
                        let mut source = std::error::Error::source(&e);
                        while let Some(cause) = source {
                            report = report.because(cause);
                            source = cause.source();
                        }
                        Reply::Failed(report)
                    }
                }
            }
        };
        let text = serde_json::to_vec(&reply).unwrap_or_default();
        i32::from(channel::send(&theirs, &text, None).is_err())
    })
    .map_err(step("make a process for the container"))?;
    drop(outputs);
    drop(theirs);
    let taken = if streams.signals == OnSignal::End { streams.signals.taken() } else { Vec::new() };
    let signals = Signals::take(&taken).map_err(step("take signals"))?;
    serve(&helper, &signals, &mut relay, None, &mut streams, cancel)?;
    let mut buffer = vec![0; 256 * 1024];
    let (n, _) = channel::receive(&ours, &mut buffer).map_err(step("hear of the container"))?;
    let ended = helper.wait().map_err(step("wait for the container"))?;
    match serde_json::from_slice(&buffer[..n]) {
        Ok(Reply::Done(outcome)) => Ok(outcome),
        Ok(Reply::Failed(report)) => Err(RunError::Container(report)),
        Err(_) => Err(RunError::Vanished { how: ExitStatus::from(ended).to_string() }),
    }
}

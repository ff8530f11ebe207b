//! A container that runs many commands, one after another or side by side.
//!
//! ```text
//! caller ──Request──▶ process 1 ──fork──▶ command      its outputs go to a file that came with the request
//!        ◀──Message──     └─ reaps, and tells how each command ended
//! ```
//!
//! Process 1 is a copy of this program that never executes anything: a command costs a fork and not a container.
//! All processes end with the session, and the session with its caller.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bedplate_sys::channel::{self, Interest};
use bedplate_sys::process::{self, Child, Pid};
use bedplate_sys::rooted::{Handle, Root as Rooted};
use bedplate_sys::signals::Signals;
use bedplate_sys::userns::Privilege;
use serde::{Deserialize, Serialize};

use crate::child::{self, Inside, Message, Plan, send};
use crate::config::RuntimeConfig;
use crate::error::{ExitStatus, Report, RunError};
use crate::parent::{alone, confinement, namespaces, one_id, step, surroundings};
use crate::root::{MountPoint, Root, remove_mount_points};

/// The longest message between the two sides, in bytes: a command with its environment.
const LONGEST: usize = 1 << 20;

/// The child signal, by which process 1 hears that a command ended.
const CHLD: i32 = 17;

/// What is to be executed in a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The program and its arguments; one without `/` is looked for in the command's `PATH`.
    pub args: Vec<String>,
    /// Variables as `NAME=value`; nothing of the session's configuration is added.
    pub env: Vec<String>,
    /// Where it starts.
    pub cwd: String,
}

/// What the caller asks of process 1.
#[derive(Debug, Serialize, Deserialize)]
enum Request {
    /// Start a command; the file for its outputs comes with the message.
    Start(u32, Command),
    /// Tell which processes are there besides the commands.
    Left,
}

/// A container that waits for commands.
///
/// Dropping it ends all that runs in it; [`Session::finish`] also clears up and tells what it had to make.
#[derive(Debug)]
pub struct Session {
    child: Child,
    socket: OwnedFd,
    /// The root as the commands see it.
    inside: Option<Rooted>,
    changed: PathBuf,
    made: Vec<MountPoint>,
    warnings: Vec<String>,
    next: u32,
    ended: Vec<(u32, ExitStatus)>,
    buffer: Vec<u8>,
    over: bool,
}

impl Session {
    /// Makes the container; `config.args` are ignored, and so is a terminal.
    ///
    /// The process must be root, or root of a user namespace, and have one thread.
    ///
    /// # Errors
    /// [`RunError`]; nothing is left.
    pub fn start(root: &Root, config: &RuntimeConfig, privilege: &Privilege) -> Result<Self, RunError> {
        if !alone() {
            return Err(RunError::Config { message: "a session can only be made by a process with one thread".into() });
        }
        root.check()?;
        let (capabilities, filter) = confinement(config)?;
        // None is taken: what ends this process ends the session.
        let signals = Signals::take(&[]).map_err(step("take signals"))?;
        let null = || -> Result<Option<OwnedFd>, RunError> {
            let file = std::fs::File::options().read(true).write(true).open("/dev/null");
            file.map(|file| Some(file.into())).map_err(|e| RunError::Step {
                step: "open /dev/null",
                source: bedplate_sys::CallError::from_io("open(\"/dev/null\")", &e),
            })
        };
        let plan = Plan {
            config,
            root,
            around: surroundings(privilege),
            filter,
            capabilities,
            standard: [null()?, null()?, null()?],
            size: None,
            one_id: one_id(privilege),
            signals: &signals,
            parent: process::own_descriptor().map_err(step("open this process"))?,
        };
        let (ours, theirs) = channel::sockets().map_err(step("make a socket pair"))?;
        let mut theirs = Some(theirs);
        let child = process::spawn(namespaces(config), || match theirs.take() {
            Some(socket) => become_process_one(&plan, socket),
            None => 0,
        })
        .map_err(step("make the container's namespaces"))?;
        drop(theirs);
        let mut session = Self {
            child,
            socket: ours,
            inside: None,
            changed: root.changed().to_owned(),
            made: Vec::new(),
            warnings: Vec::new(),
            next: 0,
            ended: Vec::new(),
            buffer: vec![0; LONGEST],
            over: false,
        };
        let started = session.hear_until(None, |message| matches!(message, Message::Serving));
        if let Err(error) = started {
            session.clear_up()?;
            return Err(error);
        }
        Ok(session)
    }

    /// What the container has to do without, in words.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The root as the commands see it, to be read and written between them.
    ///
    /// Whatever ran may have put links and files of any kind anywhere.
    ///
    /// # Errors
    /// [`RunError::Vanished`] where the container ended.
    pub fn root(&self) -> Result<&Rooted, RunError> {
        self.inside.as_ref().ok_or_else(|| RunError::Vanished { how: "and its root with it".into() })
    }

    /// Starts a command whose outputs both go to `output`, and gives its number.
    ///
    /// # Errors
    /// [`RunError::Vanished`] where the container ended.
    pub fn spawn(&mut self, command: &Command, output: &OwnedFd) -> Result<u32, RunError> {
        let number = self.next;
        self.next += 1;
        self.ask(&Request::Start(number, command.clone()), Some(output))?;
        Ok(number)
    }

    /// Waits for the end of any command, at most so long; `None` when the time is over.
    ///
    /// # Errors
    /// [`RunError::Vanished`] where the container ended.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<(u32, ExitStatus)>, RunError> {
        if self.ended.is_empty() {
            self.hear_until(timeout, |message| matches!(message, Message::Ended { .. }))?;
        }
        Ok(if self.ended.is_empty() { None } else { Some(self.ended.remove(0)) })
    }

    /// Runs a command to its end, at most so long; `None` when the time is over: it still runs then.
    ///
    /// # Errors
    /// As [`Session::spawn`] and [`Session::wait`].
    pub fn run(
        &mut self,
        command: &Command,
        output: &OwnedFd,
        timeout: Option<Duration>,
    ) -> Result<Option<ExitStatus>, RunError> {
        let number = self.spawn(command, output)?;
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match self.wait(left)? {
                Some((ended, status)) if ended == number => return Ok(Some(status)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Names of processes that commands left behind.
    ///
    /// # Errors
    /// [`RunError::Vanished`] where the container ended.
    pub fn left(&mut self) -> Result<Vec<String>, RunError> {
        self.ask(&Request::Left, None)?;
        let mut names = Vec::new();
        self.hear_until(None, |message| match message {
            Message::Left(found) => {
                names.clone_from(found);
                true
            }
            _ => false,
        })?;
        Ok(names)
    }

    /// Ends all processes and removes what was made to mount upon; gives what that was.
    ///
    /// # Errors
    /// What clearing up answers.
    pub fn finish(mut self) -> Result<Vec<MountPoint>, RunError> {
        self.clear_up()?;
        Ok(std::mem::take(&mut self.made))
    }

    fn clear_up(&mut self) -> Result<(), RunError> {
        if std::mem::replace(&mut self.over, true) {
            return Ok(());
        }
        self.inside = None;
        self.child.signal(9).map_err(step("end the container"))?;
        self.child.wait().map_err(step("wait for the container"))?;
        remove_mount_points(Path::new(&self.changed), &self.made)
            .map_err(step("remove the mount points of the container"))
    }

    fn ask(&self, request: &Request, descriptor: Option<&OwnedFd>) -> Result<(), RunError> {
        let text = serde_json::to_vec(request).unwrap_or_default();
        if text.len() > LONGEST {
            return Err(RunError::Config { message: format!("a command of {} bytes is too long", text.len()) });
        }
        channel::send(&self.socket, &text, descriptor)
            .map_err(|e| RunError::Vanished { how: format!("it takes no commands any more ({e})") })
    }

    /// Hears messages until one is the wanted one; returns also when the time is over.
    fn hear_until(
        &mut self,
        timeout: Option<Duration>,
        mut wanted: impl FnMut(&Message) -> bool,
    ) -> Result<(), RunError> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_millis() as u64);
            let ready =
                channel::wait_for(&[(&self.socket, Interest::Read)], left).map_err(step("wait for the container"))?;
            if ready != [true] {
                if left == Some(0) {
                    return Ok(());
                }
                continue;
            }
            let (n, descriptor) =
                channel::receive(&self.socket, &mut self.buffer).map_err(step("hear of the container"))?;
            if n == 0 {
                return Err(RunError::Vanished { how: "without a word".into() });
            }
            let message: Message = serde_json::from_slice(self.buffer.get(..n).unwrap_or_default())
                .map_err(|e| RunError::Vanished { how: format!("it said what cannot be understood: {e}") })?;
            let found = wanted(&message);
            match message {
                Message::Made(points) => self.made.extend(points),
                Message::Warning(text) => self.warnings.push(text),
                Message::Ended { number, status } => self.ended.push((number, status)),
                Message::Failed(report) => return Err(RunError::Container(report)),
                Message::Serving => {
                    self.inside = descriptor.map(|root| Rooted::from_handle(Handle::from_fd(root, "/")));
                }
                Message::Left(_) | Message::Terminal => {}
            }
            if found {
                return Ok(());
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Whoever wants to hear of a failure calls `finish`.
        let _ = self.clear_up();
    }
}

/// Serves as process 1 until the caller closes its end.
fn become_process_one(plan: &Plan<'_>, socket: OwnedFd) -> i32 {
    let inside = match child::enter(plan, &socket) {
        Ok(inside) => inside,
        Err(report) => return child::fail(&socket, report),
    };
    let prepared = child::drop_privileges(plan, &inside.identity).and_then(|()| {
        let signals = Signals::take(&[CHLD]).map_err(child::step("take signals"))?;
        // Nobody in the container may look into, or trace, this copy of a program of the host.
        process::set_dumpable(false).map_err(child::step("hide process 1"))?;
        Ok(signals)
    });
    let signals = match prepared {
        Ok(signals) => signals,
        Err(report) => return child::fail(&socket, report),
    };
    match inside.root.handle().try_clone_fd() {
        Ok(root) => send(&socket, &Message::Serving, Some(&root)),
        Err(e) => return child::fail(&socket, child::step("hand out the root")(e)),
    }
    let mut buffer = vec![0; LONGEST];
    let mut commands: HashMap<Pid, u32> = HashMap::new();
    loop {
        let waits: [(&dyn std::os::fd::AsFd, Interest); 2] = [(&socket, Interest::Read), (&signals, Interest::Read)];
        let Ok(ready) = channel::wait_for(&waits, None) else { return 1 };
        if ready.first() == Some(&true) {
            let (n, output) = match channel::receive(&socket, &mut buffer) {
                Ok((0, _)) | Err(_) => return 0,
                Ok(received) => received,
            };
            match serde_json::from_slice(buffer.get(..n).unwrap_or_default()) {
                Ok(Request::Start(number, command)) => match start(&inside, &signals, &command, output) {
                    Ok(pid) => {
                        commands.insert(pid, number);
                    }
                    Err(report) => return child::fail(&socket, report),
                },
                Ok(Request::Left) => send(&socket, &Message::Left(others(&commands)), None),
                Err(_) => return 1,
            }
        }
        while let Ok(Some(_)) = signals.next() {}
        while let Ok(Some((pid, ended))) = process::reap_any() {
            if let Some(number) = commands.remove(&pid) {
                send(&socket, &Message::Ended { number, status: ended.into() }, None);
            }
        }
    }
}

/// Forks; the child becomes the command.
fn start(inside: &Inside, signals: &Signals, command: &Command, output: Option<OwnedFd>) -> Result<Pid, Report> {
    match process::fork_here() {
        Ok(Some(child)) => Ok(child.pid()),
        Ok(None) => {
            let report = match prepare(inside, signals, command, output) {
                Ok(ready) => child::execute(&inside.root, &ready),
                Err(report) => report,
            };
            let mut text = report.message;
            for cause in report.causes {
                text.push_str(": ");
                text.push_str(&cause);
            }
            text.push('\n');
            // Standard error is the command's output, or nowhere.
            let _ = channel::write(std::io::stderr(), text.as_bytes());
            process::exit_now(i32::from(report.code));
        }
        Err(e) => Err(child::step("make a process for a command")(e)),
    }
}

fn prepare(
    inside: &Inside,
    signals: &Signals,
    command: &Command,
    output: Option<OwnedFd>,
) -> Result<child::Ready, Report> {
    if let Some(output) = &output {
        process::set_standard(output, 1)
            .and_then(|()| process::set_standard(output, 2))
            .map_err(child::step("set the outputs"))?;
    }
    signals.restore_in_child().map_err(child::step("restore signals"))?;
    process::new_session().map_err(child::step("start a session"))?;
    process::close_on_exec_from(3).map_err(child::step("close files"))?;
    let cwd = if command.cwd.is_empty() { "/" } else { command.cwd.as_str() };
    process::change_dir(cwd)
        .map_err(|e| Report::failed(format!("cannot enter the working directory {cwd:?}")).because(e))?;
    child::ready(&command.args, &command.env, &command.cwd, &inside.identity)
}

/// Names of processes in this namespace that are neither process 1 nor a command.
fn others(commands: &HashMap<Pid, u32>) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(pid) = pid.filter(|pid| *pid != 1).and_then(Pid::from_raw) else { continue };
        if commands.contains_key(&pid) {
            continue;
        }
        let path = entry.path();
        // A process that ended a moment ago is none; one without memory of its own is a zombie.
        let Ok(status) = std::fs::read_to_string(path.join("status")) else { continue };
        if status.lines().any(|line| line.starts_with("State:\tZ") || line.starts_with("State:\tX")) {
            continue;
        }
        let name = status.lines().find_map(|line| line.strip_prefix("Name:\t")).unwrap_or("?");
        names.push(name.to_owned());
    }
    names.sort();
    names
}

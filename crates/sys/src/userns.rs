//! Becoming root in a user namespace, early in a process that has one thread.
//!
//! ```text
//! process (uid 1000) ─┬─ child: waits, then execs newuidmap <pid> 0 1000 1  1 100000 65536
//!                     ├─ child: waits, then execs newgidmap <pid> …           (both in the old namespace)
//!                     └─ unshare(CLONE_NEWUSER); lets them go; reaps them ──▶ uid 0 with all capabilities
//! ```
//!
//! Without a subordinate range, or where the helpers fail, one ID is mapped: the process is root
//! and nobody else exists. Spec: `user_namespaces(7)`, `newuidmap(1)`.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, WaitStatus};
use rustix::thread::{CapabilitySet, UnshareFlags};
use thiserror::Error;

use crate::error::{CallError, Errno};
use crate::idmap::{IdMap, SubRange, name_of, ranges_of};

/// Where the files and programs lie that give a user more IDs than one.
#[derive(Clone, Debug)]
pub struct Sources {
    /// `/etc/passwd`, for the user's name.
    pub passwd: PathBuf,
    /// `/etc/subuid`.
    pub subuid: PathBuf,
    /// `/etc/subgid`.
    pub subgid: PathBuf,
    /// Directories that `newuidmap` and `newgidmap` are looked for in.
    pub programs: Vec<PathBuf>,
    /// Map one ID even where there is a range.
    pub only_one: bool,
}

impl Default for Sources {
    /// The usual places of a Linux system.
    fn default() -> Self {
        Self {
            passwd: "/etc/passwd".into(),
            subuid: "/etc/subuid".into(),
            subgid: "/etc/subgid".into(),
            programs: ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"].map(PathBuf::from).to_vec(),
            only_one: false,
        }
    }
}

/// What the process is after [`become_root`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// It was root with capabilities already; nothing was changed.
    Root,
    /// Root of a user namespace with a range of IDs.
    Range {
        /// The map of user IDs.
        uids: IdMap,
        /// The map of group IDs.
        gids: IdMap,
    },
    /// Root of a user namespace in which no other ID exists; `setgroups` is denied.
    One {
        /// The user outside.
        uid: u32,
        /// The group outside.
        gid: u32,
        /// Why there is no range, in words with a remedy.
        reason: NoRange,
    },
}

impl Privilege {
    /// Whether this process works in a user namespace of its own.
    pub fn is_rootless(&self) -> bool {
        !matches!(self, Privilege::Root)
    }

    /// Whether a file can be given to `uid`:`gid`.
    pub fn can_own(&self, uid: u32, gid: u32) -> bool {
        match self {
            Privilege::Root => true,
            Privilege::Range { uids, gids } => uids.contains(uid) && gids.contains(gid),
            Privilege::One { .. } => uid == 0 && gid == 0,
        }
    }
}

/// Why a user namespace has one ID only.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoRange {
    /// The caller asked for it.
    #[error("one ID was asked for")]
    AskedFor,
    /// No line for the user.
    #[error(
        "no range of subordinate IDs for user {user} in \"{file}\"; add one with usermod --add-subuids 100000-165535 --add-subgids 100000-165535"
    )]
    NoLine {
        /// The user's name, or number where it has none.
        user: String,
        /// The file without a line.
        file: String,
    },
    /// The helper is not installed.
    #[error("{program} is not installed; it comes with the package uidmap (Debian) or shadow-utils (Fedora)")]
    NoProgram {
        /// `newuidmap` or `newgidmap`.
        program: &'static str,
    },
    /// The helper failed.
    #[error("{program} failed: {said}")]
    Failed {
        /// `newuidmap` or `newgidmap`.
        program: &'static str,
        /// Its last words, or its exit status.
        said: String,
    },
}

/// Why the process could not become root.
#[derive(Debug, Error)]
pub enum UsernsError {
    /// More than one thread runs.
    #[error("cannot enter a user namespace: the process has {threads} threads already")]
    Threads {
        /// How many.
        threads: usize,
    },
    /// The kernel refuses the namespace.
    #[error("cannot make a user namespace{hint}")]
    Refused {
        /// The likely cause and its remedy, with its separator, or nothing.
        hint: &'static str,
        /// The call.
        #[source]
        source: CallError,
    },
    /// A step failed.
    #[error("cannot map IDs in a user namespace")]
    Map {
        /// The call.
        #[source]
        source: CallError,
    },
}

/// Makes the process root: as it is, or in a user namespace of its own.
///
/// To be called before any thread is started. Afterwards file ownership, mounts (in a mount
/// namespace of its own) and namespaces are the process's to use within the mapped IDs.
/// The environment and open files stay as they are. A second call gives what the first gave.
///
/// # Errors
/// [`UsernsError`]: threads run already; the kernel or a security module refuses.
pub fn become_root(sources: &Sources) -> Result<Privilege, UsernsError> {
    /// What the process has become: root of a user namespace looks like the machine's from inside.
    static BECOME: OnceLock<Privilege> = OnceLock::new();
    if let Some(privilege) = BECOME.get() {
        return Ok(privilege.clone());
    }
    let privilege = enter(sources)?;
    Ok(BECOME.get_or_init(|| privilege).clone())
}

fn enter(sources: &Sources) -> Result<Privilege, UsernsError> {
    if is_root() {
        return Ok(Privilege::Root);
    }
    let threads = thread_count();
    if threads != 1 {
        return Err(UsernsError::Threads { threads });
    }
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let pid = rustix::process::getpid();
    let plan = plan(sources, uid, gid, pid);
    let map_error = |source| UsernsError::Map { source };

    let reason = match plan {
        Err(reason) => {
            unshare_user()?;
            reason
        }
        Ok(plan) => {
            let mut helpers = Vec::new();
            for (program, argv) in &plan.commands {
                helpers.push((*program, Helper::start(argv).map_err(map_error)?));
            }
            unshare_user()?;
            // Both at once: each takes a few milliseconds, most of it its own start.
            for (_, helper) in &mut helpers {
                helper.let_go();
            }
            let mut failed = None;
            for (program, helper) in helpers {
                if let Err(said) = helper.finish() {
                    failed.get_or_insert(NoRange::Failed { program, said });
                }
            }
            match failed {
                None => return Ok(Privilege::Range { uids: plan.uids, gids: plan.gids }),
                // One of the two maps may have been written: what is left is made to fit below.
                Some(reason) => reason,
            }
        }
    };
    write_one("/proc/self/uid_map", uid).map_err(map_error)?;
    // Without capabilities over the parent a group map needs this first; see user_namespaces(7).
    match write_file(Path::new("/proc/self/setgroups"), b"deny") {
        Err(e) if e.is_not_found() || e.is_denied() => {}
        other => other.map_err(map_error)?,
    }
    write_one("/proc/self/gid_map", gid).map_err(map_error)?;
    Ok(Privilege::One { uid, gid, reason })
}

/// The effective user and group of the process.
#[must_use]
pub fn effective_ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// Whether the process is root with the capability that namespaces and mounts need.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
        && rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// How many threads the process has; 0 where `/proc` does not say.
///
/// A thread that was waited for may still be seen by the kernel for a moment, and a scope of threads ends before its
/// threads do. So where there are several, this looks again for a while; a process with threads at work costs that long.
pub fn thread_count() -> usize {
    /// Far longer than the end of a thread takes on a busy machine: half a second was not, one time in six, where four
    /// times as many programs ran as there were processors.
    const WHILE: Duration = Duration::from_secs(5);
    let count = || std::fs::read_dir("/proc/self/task").map_or(0, |tasks| tasks.count());
    let begin = Instant::now();
    let mut pause = Duration::from_micros(50);
    loop {
        let threads = count();
        if threads <= 1 || begin.elapsed() > WHILE {
            return threads;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}

struct Plan {
    uids: IdMap,
    gids: IdMap,
    commands: [(&'static str, Vec<CString>); 2],
}

fn plan(sources: &Sources, uid: u32, gid: u32, pid: Pid) -> Result<Plan, NoRange> {
    if sources.only_one {
        return Err(NoRange::AskedFor);
    }
    // A missing file is the same as one without a line.
    let passwd = std::fs::read(&sources.passwd).unwrap_or_default();
    let name = name_of(&passwd, uid);
    let ranges = |file: &Path| -> Result<Vec<SubRange>, NoRange> {
        let text = std::fs::read(file).unwrap_or_default();
        let found = ranges_of(&text, name, uid);
        if found.is_empty() {
            let user = name.map_or(uid.to_string(), |n| String::from_utf8_lossy(n).into_owned());
            return Err(NoRange::NoLine { user, file: file.display().to_string() });
        }
        Ok(found)
    };
    let uids = IdMap::root_and(uid, &ranges(&sources.subuid)?);
    let gids = IdMap::root_and(gid, &ranges(&sources.subgid)?);
    let command = |program: &'static str, map: &IdMap| -> Result<_, NoRange> {
        let path = sources
            .programs
            .iter()
            .map(|dir| dir.join(program))
            .find(|path| path.is_file())
            .ok_or(NoRange::NoProgram { program })?;
        let mut argv = vec![cstring(path.as_os_str()), cstring(OsStr::new(&pid.as_raw_nonzero().to_string()))];
        for r in map.ranges() {
            for number in [r.inside, r.outside, r.count] {
                argv.push(cstring(OsStr::new(&number.to_string())));
            }
        }
        Ok((program, argv))
    };
    let commands = [command("newuidmap", &uids)?, command("newgidmap", &gids)?];
    Ok(Plan { uids, gids, commands })
}

/// Paths of configuration and numbers hold no NUL byte; one that did would name no file.
fn cstring(text: &OsStr) -> CString {
    CString::new(text.as_bytes()).unwrap_or_default()
}

fn unshare_user() -> Result<(), UsernsError> {
    unshare(UnshareFlags::NEWUSER).map_err(|errno| {
        let hint = match errno {
            Errno::PERM | Errno::ACCESS => {
                "; the kernel or its security module forbids them: see sysctl \
                 kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, user.max_user_namespaces"
            }
            // The limit on namespaces, not disk space.
            Errno::NOSPC | Errno::USERS => "; the limit is reached: see sysctl user.max_user_namespaces",
            Errno::NOSYS | Errno::INVAL => "; this kernel is built without them (CONFIG_USER_NS)",
            _ => "",
        };
        UsernsError::Refused { hint, source: CallError::new("unshare(CLONE_NEWUSER)", errno) }
    })
}

fn write_one(path: &str, outside: u32) -> Result<(), CallError> {
    // A map that a helper wrote already stands; a map is written once.
    if std::fs::read(path).is_ok_and(|text| !IdMap::parse(&text).is_empty()) {
        return Ok(());
    }
    write_file(Path::new(path), format!("0 {outside} 1\n").as_bytes())
}

fn write_file(path: &Path, content: &[u8]) -> Result<(), CallError> {
    let shown = || format!("write({path:?}, {:?})", String::from_utf8_lossy(content));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(|e| CallError::from_io(format!("open({path:?}, O_WRONLY)"), &e))?;
    file.write_all(content).map_err(|e| CallError::from_io(shown(), &e))
}

/// A child that waits for a byte and then executes a program, its output in a pipe.
struct Helper {
    pid: Pid,
    go: Option<OwnedFd>,
    said: File,
}

impl Helper {
    fn start(argv: &[CString]) -> Result<Self, CallError> {
        let pipe = || {
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| CallError::new("pipe2(O_CLOEXEC)", e))
        };
        let (wait, go) = pipe()?;
        let (said, say) = pipe()?;
        let mut pointers: Vec<*const libc::c_char> = argv.iter().map(|a| a.as_ptr()).collect();
        pointers.push(std::ptr::null());
        let environment: [*const libc::c_char; 2] = [c"PATH=/usr/sbin:/usr/bin:/sbin:/bin".as_ptr(), std::ptr::null()];
        // SAFETY: the process has one thread (become_root checked), so no lock can be held over
        // the fork; the child calls async-signal-safe functions only and never returns.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            let mut byte = [0_u8; 1];
            // SAFETY: plain system calls on descriptors this child owns; the argument vectors
            // were made before the fork, are NUL-terminated and end in a null pointer.
            unsafe {
                libc::close(go.as_raw_fd());
                if libc::read(wait.as_raw_fd(), byte.as_mut_ptr().cast(), 1) == 1 && byte[0] == b'1' {
                    libc::dup2(say.as_raw_fd(), 1);
                    libc::dup2(say.as_raw_fd(), 2);
                    libc::execve(pointers[0], pointers.as_ptr(), environment.as_ptr());
                }
                libc::_exit(127);
            }
        }
        let Some(pid) = Pid::from_raw(forked) else {
            return Err(CallError::from_io("fork()", &std::io::Error::last_os_error()));
        };
        Ok(Self { pid, go: Some(go), said: File::from(said) })
    }

    fn let_go(&mut self) {
        if let Some(go) = self.go.take() {
            // A child that died cannot read; its status tells.
            let _ = rustix::io::write(&go, b"1");
        }
    }

    fn finish(mut self) -> Result<(), String> {
        self.let_go();
        let mut said = Vec::new();
        // Words beyond this are no message.
        const LONGEST: u64 = 4096;
        let _ = (&mut self.said).take(LONGEST).read_to_end(&mut said);
        let status = wait(self.pid);
        if status.as_ref().is_some_and(|s| s.exit_status() == Some(0)) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said).trim().replace('\n', "; ");
        Err(match (said.is_empty(), status) {
            (false, _) => said,
            (true, Some(s)) => match (s.exit_status(), s.terminating_signal()) {
                (Some(code), _) => format!("exit status {code}"),
                (_, Some(signal)) => format!("killed by signal {signal}"),
                _ => "unknown status".to_owned(),
            },
            (true, None) => "its status was lost".to_owned(),
        })
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if let Some(go) = self.go.take() {
            // Closing the pipe would not do: the other helper inherited this end of it.
            let _ = rustix::io::write(&go, b"0");
            wait(self.pid);
        }
    }
}

fn wait(pid: Pid) -> Option<WaitStatus> {
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
            Err(Errno::INTR) => {}
            Ok(found) => return found.map(|(_, status)| status),
            Err(_) => return None,
        }
    }
}

/// Leaves namespaces of the parent for new ones.
pub(crate) fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: rustix marks the call unsafe for CLONE_FILES, which can close other code's
    // descriptors; only namespace flags are passed here.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

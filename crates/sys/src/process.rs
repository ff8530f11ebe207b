//! Children in new namespaces, and what a process does to itself before it becomes another program.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::{PidfdFlags, WaitIdOptions};

use crate::error::{CallError, Errno, quoted};

pub use rustix::process::{Pid, Signal};

/// Namespaces that a child gets of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Namespaces {
    /// Mounts.
    pub mount: bool,
    /// Process IDs: the child is 1.
    pub pid: bool,
    /// Host and domain name.
    pub uts: bool,
    /// System V IPC and POSIX message queues.
    pub ipc: bool,
    /// Network devices, addresses, sockets.
    pub net: bool,
    /// The view of the cgroup tree.
    pub cgroup: bool,
    /// User and group IDs.
    pub user: bool,
}

impl Namespaces {
    fn flags(self) -> libc::c_int {
        [
            (self.mount, libc::CLONE_NEWNS),
            (self.pid, libc::CLONE_NEWPID),
            (self.uts, libc::CLONE_NEWUTS),
            (self.ipc, libc::CLONE_NEWIPC),
            (self.net, libc::CLONE_NEWNET),
            (self.cgroup, libc::CLONE_NEWCGROUP),
            (self.user, libc::CLONE_NEWUSER),
        ]
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .fold(0, |flags, (_, flag)| flags | flag)
    }
}

impl std::fmt::Display for Namespaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = [
            (self.mount, "CLONE_NEWNS"),
            (self.pid, "CLONE_NEWPID"),
            (self.uts, "CLONE_NEWUTS"),
            (self.ipc, "CLONE_NEWIPC"),
            (self.net, "CLONE_NEWNET"),
            (self.cgroup, "CLONE_NEWCGROUP"),
            (self.user, "CLONE_NEWUSER"),
        ];
        let wanted: Vec<_> = names.into_iter().filter(|(w, _)| *w).map(|(_, n)| n).collect();
        f.write_str(&wanted.join("|"))
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// It exited with this status.
    Exited(u8),
    /// This signal ended it.
    Signalled(i32),
}

/// A child process, known by a descriptor that cannot be mistaken for a later process's.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
}

/// Kills a process (`SIGKILL`); one that has ended already is no error.
///
/// # Errors
/// What `kill(2)` answers but `ESRCH`: the process belongs to somebody else.
pub fn kill(pid: u32) -> Result<(), CallError> {
    let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    match rustix::process::kill_process(target, rustix::process::Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(CallError::new(format!("kill({pid}, SIGKILL)"), errno)),
    }
}

impl AsFd for Child {
    /// Readable once the child has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Child {
    /// The process ID, in the caller's namespace.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal; a child that has ended is no error.
    ///
    /// # Errors
    /// What `pidfd_send_signal(2)` answers but `ESRCH`.
    pub fn signal(&self, signal: i32) -> Result<(), CallError> {
        // Any number may be asked for, real-time ones too, which rustix does not name.
        // SAFETY: no memory is passed but a null pointer, which the call allows.
        let done = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if done == 0 {
            return Ok(());
        }
        match last_errno() {
            Errno::SRCH => Ok(()),
            e => Err(CallError::new(format!("pidfd_send_signal({}, {signal})", self.pid), e)),
        }
    }

    /// Waits for the end and reaps the child.
    ///
    /// # Errors
    /// What `waitid(2)` answers: `ECHILD` where it was reaped already.
    pub fn wait(&self) -> Result<Ended, CallError> {
        loop {
            let id = rustix::process::WaitId::PidFd(self.pidfd.as_fd());
            match rustix::process::waitid(id, WaitIdOptions::EXITED) {
                Err(Errno::INTR) => {}
                Ok(Some(status)) => {
                    return Ok(match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => Ended::Exited(code as u8),
                        (None, Some(signal)) => Ended::Signalled(signal),
                        // WEXITED reports nothing else.
                        (None, None) => Ended::Exited(255),
                    });
                }
                Ok(None) => {}
                Err(e) => return Err(CallError::new(format!("waitid({})", self.pid), e)),
            }
        }
    }
}

/// Reaps any child that has ended; `None` where none has.
///
/// # Errors
/// What `waitpid(2)` answers: `ECHILD` where there is no child at all.
pub fn reap_any() -> Result<Option<(Pid, Ended)>, CallError> {
    match rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
        Ok(None) => Ok(None),
        Ok(Some((pid, status))) => {
            let ended = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Ended::Exited(code as u8),
                (None, Some(signal)) => Ended::Signalled(signal),
                (None, None) => Ended::Exited(255),
            };
            Ok(Some((pid, ended)))
        }
        Err(e) => Err(CallError::new("waitpid(-1, WNOHANG)", e)),
    }
}

/// Exit status of a child whose code panicked.
pub const PANICKED: i32 = 70;

/// Makes a child in new namespaces that runs `work` and exits with what it returns.
///
/// The child is a copy of this process: memory, descriptors, signal mask. The process must have one
/// thread, else a lock held by another would stay locked in the copy.
///
/// # Errors
/// What `clone(2)` answers; `EDEADLK` where more than one thread runs.
pub fn spawn(namespaces: Namespaces, work: impl FnOnce() -> i32) -> Result<Child, CallError> {
    let failed = |e| CallError::new(format!("clone({namespaces})"), e);
    if crate::userns::thread_count() > 1 {
        return Err(failed(Errno::DEADLK));
    }
    let flags = (namespaces.flags() | libc::CLONE_PIDFD | libc::SIGCHLD) as libc::c_long;
    let mut pidfd: libc::c_int = -1;
    // SAFETY: without CLONE_VM the child gets a copy of memory and may use it as fork's would;
    // one thread runs, so no lock is held by anyone else. The kernel writes the descriptor to
    // `pidfd`, which lives. The third argument is the parent_tid pointer on all architectures;
    // the last two are unused and null.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, &raw mut pidfd, 0_usize, 0_usize) };
    if pid == 0 {
        run_and_exit(work);
    }
    let Some(pid) = Pid::from_raw(pid as i32).filter(|_| pid > 0) else {
        return Err(failed(last_errno()));
    };
    // SAFETY: the kernel has just made this descriptor for us.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid, pidfd })
}

/// Makes a child by `fork(3)`, also where other threads run; `work` must not touch their locks.
///
/// The C library makes its allocator usable in the child. Other locks may be held for ever:
/// `work` must use no standard streams, loggers or thread pools.
///
/// # Errors
/// What `fork(2)` and `pidfd_open(2)` answer.
pub fn fork(work: impl FnOnce() -> i32) -> Result<Child, CallError> {
    // SAFETY: the child runs `work`, which keeps to what is documented above, and exits.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        run_and_exit(work);
    }
    let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 0) else {
        return Err(CallError::new("fork()", last_errno()));
    };
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())
        .map_err(|e| CallError::new(format!("pidfd_open({pid})"), e))?;
    Ok(Child { pid, pidfd })
}

/// Forks where it stands: `None` in the child, the child in the parent. The process must have one thread.
///
/// # Errors
/// What `fork(2)` and `pidfd_open(2)` answer.
pub fn fork_here() -> Result<Option<Child>, CallError> {
    // SAFETY: both sides are copies of one thread; the C library keeps its own state right over fork. Other code's
    // locks can only be held by this very thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        return Ok(None);
    }
    let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 0) else {
        return Err(CallError::new("fork()", last_errno()));
    };
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())
        .map_err(|e| CallError::new(format!("pidfd_open({pid})"), e))?;
    Ok(Some(Child { pid, pidfd }))
}

fn run_and_exit(work: impl FnOnce() -> i32) -> ! {
    let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(PANICKED);
    exit_now(code)
}

/// Ends the process at once: no destructors, no flushing of what the parent buffered.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(code) }
}

pub(crate) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Argument and environment vectors, made before the moment they are needed.
#[derive(Debug)]
pub struct Vector {
    // Owns what the pointers of `execute` lead to.
    strings: Vec<CString>,
}

impl Vector {
    /// Makes a vector of strings without NUL bytes.
    ///
    /// # Errors
    /// The first string that holds one.
    pub fn new<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> Result<Self, CallError> {
        let strings = strings
            .into_iter()
            .map(|s| {
                CString::new(s.as_ref())
                    .map_err(|_| CallError::new(format!("execve(…, {})", quoted(s.as_ref())), Errno::INVAL))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { strings })
    }

    /// The strings.
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }
}

/// Becomes the program `path`; returns only if that fails.
pub fn execute(path: &CStr, arguments: &Vector, environment: &Vector) -> Errno {
    let pointers = |v: &Vector| {
        let mut p: Vec<*const libc::c_char> = v.strings.iter().map(|s| s.as_ptr()).collect();
        p.push(std::ptr::null());
        p
    };
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays end in a null pointer and lead to NUL-terminated strings that live
    // until the call returns, which it does on failure only.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    last_errno()
}

/// Marks all descriptors from `first` on to be closed when another program is executed.
///
/// # Errors
/// What `close_range(2)` answers, on kernels without it what setting the flag one by one does.
pub fn close_on_exec_from(first: u32) -> Result<(), CallError> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: numbers only; with this flag nothing is closed now.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return Ok(());
    }
    let entries = std::fs::read_dir("/proc/self/fd").map_err(|e| CallError::from_io("open(\"/proc/self/fd\")", &e))?;
    for entry in entries.flatten() {
        let number = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok());
        if let Some(fd) = number.filter(|fd| *fd >= first as i32) {
            // SAFETY: changes a flag of a descriptor; one that was closed meanwhile is EBADF.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Closes all descriptors from 3 on but those in `keep`, for a process that will use no other again.
///
/// # Errors
/// What `close_range(2)` answers.
pub fn close_all_but(keep: &[BorrowedFd<'_>]) -> Result<(), CallError> {
    let mut numbers: Vec<libc::c_uint> =
        keep.iter().filter_map(|fd| libc::c_uint::try_from(fd.as_raw_fd()).ok()).collect();
    numbers.sort_unstable();
    let mut first: libc::c_uint = 3;
    for number in numbers.into_iter().chain([libc::c_uint::MAX]) {
        if number > first {
            // SAFETY: the caller gives up what is closed; values that own these descriptors are leaked or
            // end with the process, whose later closing of a free number is harmless.
            if unsafe { libc::syscall(libc::SYS_close_range, first, number - 1, 0) } != 0 {
                return Err(CallError::new(format!("close_range({first}, {})", number - 1), last_errno()));
            }
        }
        first = first.max(number.saturating_add(1));
    }
    Ok(())
}

/// Moves this process to a process group of its own, in the foreground of the terminal on standard input if there is one.
///
/// # Errors
/// What `setpgid(2)` answers.
pub fn own_group() -> Result<(), CallError> {
    rustix::process::setpgid(None, None).map_err(|e| CallError::new("setpgid(0, 0)", e))?;
    let stdin = rustix::stdio::stdin();
    if rustix::termios::isatty(stdin) {
        // SIGTTOU would stop a process of the background that does this; it is blocked or ignored here.
        let _ = rustix::termios::tcsetpgrp(stdin, rustix::process::getpgrp());
    }
    Ok(())
}

/// Makes `fd` standard input, output or error (0, 1, 2), inherited over exec.
///
/// # Errors
/// What `dup2(2)` answers.
pub fn set_standard(fd: impl AsFd, number: i32) -> Result<(), CallError> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: replaces a standard stream, which is what the caller asks for; when the numbers
    // are equal dup2 does nothing, so the flag is cleared by hand.
    let done = unsafe { if fd == number { libc::fcntl(fd, libc::F_SETFD, 0) } else { libc::dup2(fd, number) } };
    if done >= 0 { Ok(()) } else { Err(CallError::new(format!("dup2([{fd}], {number})"), last_errno())) }
}

/// A descriptor of this very process, readable once it has ended.
///
/// # Errors
/// What `pidfd_open(2)` answers.
pub fn own_descriptor() -> Result<OwnedFd, CallError> {
    rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .map_err(|e| CallError::new("pidfd_open(self)", e))
}

/// Asks for a signal when the parent ends; it is forgotten when IDs or capabilities change.
///
/// # Errors
/// What `prctl(2)` answers.
pub fn die_with_parent() -> Result<(), CallError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| CallError::new("prctl(PR_SET_PDEATHSIG, SIGKILL)", e))
}

/// Hides this process's memory and `/proc` links from others with the same IDs, or shows them.
///
/// # Errors
/// What `prctl(2)` answers.
pub fn set_dumpable(dumpable: bool) -> Result<(), CallError> {
    use rustix::process::DumpableBehavior as D;
    rustix::process::set_dumpable_behavior(if dumpable { D::Dumpable } else { D::NotDumpable })
        .map_err(|e| CallError::new(format!("prctl(PR_SET_DUMPABLE, {})", u8::from(dumpable)), e))
}

/// Forbids that this process and its children gain privileges by executing programs.
///
/// # Errors
/// What `prctl(2)` answers.
pub fn set_no_new_privileges() -> Result<(), CallError> {
    rustix::thread::set_no_new_privs(true).map_err(|e| CallError::new("prctl(PR_SET_NO_NEW_PRIVS, 1)", e))
}

/// Starts a new session without a controlling terminal.
///
/// # Errors
/// What `setsid(2)` answers.
pub fn new_session() -> Result<(), CallError> {
    rustix::process::setsid().map(drop).map_err(|e| CallError::new("setsid()", e))
}

/// Sets the mask of permission bits that new files do not get; gives the old one.
pub fn set_umask(mask: u32) -> u32 {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask & 0o777)).bits()
}

/// Sets the host name of the UTS namespace.
///
/// # Errors
/// What `sethostname(2)` answers: `EINVAL` beyond 64 bytes.
pub fn set_host_name(name: &str) -> Result<(), CallError> {
    rustix::system::sethostname(name.as_bytes()).map_err(|e| CallError::new(format!("sethostname({name:?})"), e))
}

/// The host name of the UTS namespace.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Changes the working directory.
///
/// # Errors
/// What `chdir(2)` answers.
pub fn change_dir(path: impl rustix::path::Arg + Copy) -> Result<(), CallError> {
    rustix::process::chdir(path)
        .map_err(|e| CallError::new(format!("chdir({})", quoted(path.to_string_lossy().as_bytes())), e))
}

/// Changes the working directory to an open one.
///
/// # Errors
/// What `fchdir(2)` answers.
pub fn change_dir_to(dir: impl AsFd) -> Result<(), CallError> {
    let dir = dir.as_fd();
    rustix::process::fchdir(dir).map_err(|e| CallError::new(format!("fchdir([{}])", dir.as_raw_fd()), e))
}

/// Becomes another user: supplementary groups (`None` leaves them), group, user, in that order.
///
/// The process must have one thread; capabilities stay only as `keep_capabilities` was set.
///
/// # Errors
/// What `setgroups(2)`, `setresgid(2)` and `setresuid(2)` answer: `EINVAL` for an ID that the user
/// namespace does not map.
pub fn become_user(uid: u32, gid: u32, groups: Option<&[u32]>) -> Result<(), CallError> {
    use rustix::process::{Gid, Uid};
    if uid == u32::MAX || gid == u32::MAX {
        return Err(CallError::new(format!("setresuid({uid}), setresgid({gid})"), Errno::INVAL));
    }
    if let Some(groups) = groups {
        let ids: Vec<Gid> = groups.iter().filter(|g| **g != u32::MAX).map(|g| Gid::from_raw(*g)).collect();
        rustix::thread::set_thread_groups(&ids).map_err(|e| CallError::new(format!("setgroups({groups:?})"), e))?;
    }
    let g = Gid::from_raw(gid);
    rustix::thread::set_thread_res_gid(g, g, g).map_err(|e| CallError::new(format!("setresgid({gid})"), e))?;
    let u = Uid::from_raw(uid);
    rustix::thread::set_thread_res_uid(u, u, u).map_err(|e| CallError::new(format!("setresuid({uid})"), e))
}

/// A limit on a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Size of the address space, bytes.
    As,
    /// Size of a core dump, bytes.
    Core,
    /// Processor time, seconds.
    Cpu,
    /// Size of the data segment, bytes.
    Data,
    /// Size of a file, bytes.
    Fsize,
    /// Number of locks.
    Locks,
    /// Locked memory, bytes.
    Memlock,
    /// Message queues, bytes.
    Msgqueue,
    /// Nice value, as 20 less the value.
    Nice,
    /// Number of descriptors.
    Nofile,
    /// Number of processes of the user.
    Nproc,
    /// Resident memory, bytes; without effect.
    Rss,
    /// Real-time priority.
    Rtprio,
    /// Real-time processor time, microseconds.
    Rttime,
    /// Pending signals.
    Sigpending,
    /// Size of the stack, bytes.
    Stack,
}

impl Resource {
    /// All of them with their names in Docker's spelling.
    pub const NAMES: [(&'static str, Resource); 16] = [
        ("as", Resource::As),
        ("core", Resource::Core),
        ("cpu", Resource::Cpu),
        ("data", Resource::Data),
        ("fsize", Resource::Fsize),
        ("locks", Resource::Locks),
        ("memlock", Resource::Memlock),
        ("msgqueue", Resource::Msgqueue),
        ("nice", Resource::Nice),
        ("nofile", Resource::Nofile),
        ("nproc", Resource::Nproc),
        ("rss", Resource::Rss),
        ("rtprio", Resource::Rtprio),
        ("rttime", Resource::Rttime),
        ("sigpending", Resource::Sigpending),
        ("stack", Resource::Stack),
    ];

    /// Finds a resource by its name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, r)| *r)
    }

    /// The name in Docker's spelling.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, r)| *r == self).map_or("", |(n, _)| n)
    }

    fn raw(self) -> u32 {
        // The numbers are the same on all architectures this runs on.
        match self {
            Resource::Cpu => 0,
            Resource::Fsize => 1,
            Resource::Data => 2,
            Resource::Stack => 3,
            Resource::Core => 4,
            Resource::Rss => 5,
            Resource::Nproc => 6,
            Resource::Nofile => 7,
            Resource::Memlock => 8,
            Resource::As => 9,
            Resource::Locks => 10,
            Resource::Sigpending => 11,
            Resource::Msgqueue => 12,
            Resource::Nice => 13,
            Resource::Rtprio => 14,
            Resource::Rttime => 15,
        }
    }
}

/// Sets the soft and hard limit of a resource; `None` is no limit.
///
/// # Errors
/// What `setrlimit(2)` answers: `EPERM` where the hard limit is raised without `CAP_SYS_RESOURCE`.
pub fn set_limit(resource: Resource, soft: Option<u64>, hard: Option<u64>) -> Result<(), CallError> {
    let limit =
        libc::rlimit { rlim_cur: soft.unwrap_or(libc::RLIM_INFINITY), rlim_max: hard.unwrap_or(libc::RLIM_INFINITY) };
    // SAFETY: the structure lives over the call and is only read.
    let done = unsafe { libc::setrlimit(resource.raw() as _, &raw const limit) };
    if done == 0 {
        return Ok(());
    }
    let shown = |l: Option<u64>| l.map_or("unlimited".to_owned(), |l| l.to_string());
    let text = format!("setrlimit({}, {}:{})", resource.name(), shown(soft), shown(hard));
    Err(CallError::new(text, last_errno()))
}

/// The soft and hard limit of a resource; `None` is no limit.
pub fn limit(resource: Resource) -> (Option<u64>, Option<u64>) {
    let mut found = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure lives over the call, which fills it.
    unsafe { libc::getrlimit(resource.raw() as _, &raw mut found) };
    let of = |l| (l != libc::RLIM_INFINITY).then_some(l);
    (of(found.rlim_cur), of(found.rlim_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forked_child_ends_with_its_status() {
        for (code, ended) in [(0, Ended::Exited(0)), (42, Ended::Exited(42)), (255, Ended::Exited(255))] {
            assert_eq!(fork(move || code).unwrap().wait().unwrap(), ended);
        }
        let child = fork(|| {
            loop {
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
        })
        .unwrap();
        child.signal(libc::SIGKILL).unwrap();
        assert_eq!(child.wait().unwrap(), Ended::Signalled(libc::SIGKILL));
        child.signal(libc::SIGKILL).unwrap();
        assert!(child.wait().is_err());
    }

    #[test]
    fn spawn_refuses_a_process_with_threads() {
        // The test harness runs tests in threads.
        let e = spawn(Namespaces::default(), || 0).unwrap_err();
        assert_eq!(e.errno(), Errno::DEADLK);
    }

    #[test]
    fn resources_have_names_both_ways() {
        for (name, resource) in Resource::NAMES {
            assert_eq!(Resource::by_name(name), Some(resource));
            assert_eq!(resource.name(), name);
        }
        assert_eq!(Resource::by_name("NOFILE"), None);
    }

    #[test]
    fn a_vector_takes_no_nul() {
        assert!(Vector::new(["a\0b"]).is_err());
        assert_eq!(Vector::new(["a", "b"]).unwrap().strings().len(), 2);
    }
}

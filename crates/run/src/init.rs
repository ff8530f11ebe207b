//! Process 1 of a container with `--init`: hands on signals, reaps orphans, ends as the command does.

use std::os::fd::AsFd;

use bedplate_sys::CallError;
use bedplate_sys::channel::{Interest, wait_for};
use bedplate_sys::process::{self, Child};
use bedplate_sys::signals::Signals;

use crate::error::ExitStatus;

/// The child signal, which process 1 acts upon itself.
const CHLD: i32 = 17;

/// Which of the two a process is after the fork.
#[derive(Debug)]
pub(crate) enum Side {
    /// Process 1, with the command's process.
    One(Running),
    /// The process that becomes the command.
    Command,
}

/// The command's process, and the signals that are meant for it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    signals: Signals,
}

/// Forks: the caller stays process 1, the child goes on.
pub(crate) fn fork_from_process_one() -> Result<Side, CallError> {
    // Blocked before the fork, so that none is lost between it and the first look.
    let all: Vec<i32> = (1..=64).filter(|s| !is_of_fault(*s)).collect();
    let signals = Signals::take(&all)?;
    match process::fork_here()? {
        Some(child) => {
            // Nobody in the container may look into, or trace, this copy of a program of the host.
            process::set_dumpable(false)?;
            Ok(Side::One(Running { child, signals }))
        }
        None => {
            // While SIGTTOU is still blocked.
            process::own_group()?;
            signals.restore_in_child()?;
            Ok(Side::Command)
        }
    }
}

/// Signals that a process gets for its own faults, and those that cannot be caught.
fn is_of_fault(signal: i32) -> bool {
    matches!(signal, 4 | 5 | 7 | 8 | 9 | 11 | 19 | 31)
}

/// Serves as process 1 until the command ends; gives its status.
pub(crate) fn serve(running: Running) -> i32 {
    let Running { child, signals } = running;
    // Directories of the host are among them.
    let _ = process::close_all_but(&[child.as_fd(), signals.as_fd()]);
    loop {
        // A failure to wait leaves nothing else to do than to look again; the kernel has no other for these arguments.
        let _ = wait_for(&[(&signals, Interest::Read)], None);
        while let Ok(Some(signal)) = signals.next() {
            if signal != CHLD {
                let _ = child.signal(signal);
            }
        }
        while let Ok(Some((pid, ended))) = process::reap_any() {
            if pid == child.pid() {
                return i32::from(ExitStatus::from(ended).code());
            }
        }
    }
}

//! What can go wrong with a container, and the exit status that says so.

use bedplate_sys::CallError;
use bedplate_sys::signals;
use bedplate_tree::PathError;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::seccomp::ProfileError;

/// Exit status where the program itself failed, not the command.
pub const FAILED: u8 = 125;
/// Exit status where the command was found but cannot be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// Exit status where the command was not found.
pub const NOT_FOUND: u8 = 127;

/// Why a container could not be run.
#[derive(Debug, Error)]
pub enum RunError {
    /// The container's process reported why it could not become the command.
    #[error("{}", .0.message)]
    Container(Report),
    /// The container's process ended before it became the command, without a word.
    #[error("the container's first process ended before the command was started: {how}")]
    Vanished {
        /// Exit status or signal.
        how: String,
    },
    /// A signal to this process ended the container.
    #[error("interrupted by signal {signal}")]
    Interrupted {
        /// The signal.
        signal: i32,
    },
    /// A step outside of the container failed.
    #[error("cannot {step}")]
    Step {
        /// What was to be done.
        step: &'static str,
        /// The call.
        #[source]
        source: CallError,
    },
    /// The root is described in a way that cannot be mounted.
    #[error("an overlay of {found} lower directories cannot be mounted; it takes 1 to {limit}")]
    Lowers {
        /// How many.
        found: usize,
        /// How many at most.
        limit: usize,
    },
    /// The seccomp profile cannot be used.
    #[error("cannot use the seccomp profile")]
    Seccomp {
        /// Why.
        #[source]
        source: ProfileError,
    },
    /// A mount point has a path that cannot be.
    #[error("mount point {path:?}")]
    MountPoint {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: PathError,
    },
    /// The configuration asks for what there is not.
    #[error("{message}")]
    Config {
        /// What and why.
        message: String,
    },
}

impl RunError {
    /// The exit status in Docker's terms.
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::Container(report) => report.code,
            RunError::Interrupted { signal } => u8::try_from(128 + signal).unwrap_or(FAILED),
            _ => FAILED,
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            RunError::Container(report) => report.hint.as_deref(),
            _ => None,
        }
    }

    /// Whether the kernel refused the overlay, so that a copy of the image in a [`Root::Directory`](crate::Root::Directory)
    /// is worth trying. Nothing was run then.
    pub fn root_refused(&self) -> bool {
        matches!(self, RunError::Container(report) if report.root_refused)
    }

    /// Causes that are no error values any more, outermost first: those that the container's process sent.
    pub fn causes(&self) -> &[String] {
        match self {
            RunError::Container(report) => &report.causes,
            _ => &[],
        }
    }
}

/// What the container's process says when it cannot go on; it travels over a socket to the parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The exit status that follows.
    pub code: u8,
    /// What failed, on which object.
    pub message: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
    /// The kernel takes no overlay on these directories: a plain directory may do.
    #[serde(default)]
    pub root_refused: bool,
}

impl Report {
    /// A failure of a step, with status [`FAILED`].
    pub fn failed(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: message.into(), causes: Vec::new(), hint: None, root_refused: false }
    }

    /// Adds a cause.
    #[must_use]
    pub fn because(mut self, cause: impl ToString) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With another exit status.
    #[must_use]
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExitStatus {
    /// By itself, with this status.
    Exited(u8),
    /// By this signal.
    Signalled(i32),
}

impl ExitStatus {
    /// The status in a shell's terms: 128 + n for signal n.
    pub fn code(self) -> u8 {
        match self {
            ExitStatus::Exited(code) => code,
            ExitStatus::Signalled(signal) => 128_u8.saturating_add(u8::try_from(signal).unwrap_or(127)),
        }
    }

    /// Whether the command ended well.
    pub fn is_success(self) -> bool {
        self == ExitStatus::Exited(0)
    }
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExitStatus::Exited(code) => write!(f, "exit status {code}"),
            ExitStatus::Signalled(signal) => write!(f, "killed by {}", signals::name(*signal)),
        }
    }
}

impl From<bedplate_sys::process::Ended> for ExitStatus {
    fn from(ended: bedplate_sys::process::Ended) -> Self {
        match ended {
            bedplate_sys::process::Ended::Exited(code) => ExitStatus::Exited(code),
            bedplate_sys::process::Ended::Signalled(signal) => ExitStatus::Signalled(signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes() {
        for (status, code) in [
            (ExitStatus::Exited(0), 0),
            (ExitStatus::Exited(255), 255),
            (ExitStatus::Signalled(9), 137),
            (ExitStatus::Signalled(64), 192),
        ] {
            assert_eq!(status.code(), code);
        }
    }
}

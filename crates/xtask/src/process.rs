//! Running the tools that the commands drive, and the ways in which that fails.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a command of xtask did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line names nothing that xtask knows.
    #[error("cannot use these arguments: {found}")]
    Usage {
        /// What was found.
        found: String,
    },
    /// A tool could not be started.
    #[error("cannot start {tool}: {source}")]
    Start {
        /// The program.
        tool: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// A tool ran and said no.
    #[error("{what} failed ({status})")]
    Status {
        /// The step in words.
        what: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// A file of ours could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// `read`, `write`, `copy`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// Cargo's metadata could not be read.
    #[error("cannot read cargo metadata: {source}")]
    Metadata {
        /// Why.
        source: cargo_metadata::Error,
    },
    /// Rules of the house that do not hold; each is already one line.
    #[error("{what}:\n{}", .findings.join("\n"))]
    Findings {
        /// The rule.
        what: &'static str,
        /// One line for each break.
        findings: Vec<String>,
    },
    /// Tests that failed.
    #[error("{failed} failed")]
    Tests {
        /// How many.
        failed: u64,
    },
    /// A benchmark could not be prepared or measured.
    #[error("cannot measure {what}: {why}")]
    Bench {
        /// The benchmark.
        what: String,
        /// Why.
        why: String,
    },
}

impl Failure {
    /// Makes the closure that turns an I/O error on `path` into a failure.
    pub(crate) fn file<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Failure + 'a {
        move |source| Failure::File { action, path: path.to_owned(), source }
    }
}

/// The root of the workspace this xtask was built in.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// A cargo command in the root of the workspace, without what would change the static link.
///
/// `RUSTFLAGS` replaces the flags of `.cargo/config.toml` and so links dynamically without a word: it is taken away.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").stdin(Stdio::null());
    // What `cargo run` sets for this process belongs to xtask, not to what it starts.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(name);
    }
    command
}

/// Says what is done, does it with output going through, and fails when it fails.
pub(crate) fn step(what: &str, command: &mut Command) -> Result<(), Failure> {
    eprintln!("==> {what}");
    let status = command.status().map_err(|source| start_failure(command, source))?;
    if status.success() { Ok(()) } else { Err(Failure::Status { what: what.to_owned(), status }) }
}

/// Runs a command and gives its standard output; its standard error goes through.
pub(crate) fn output(what: &str, command: &mut Command) -> Result<String, Failure> {
    let out = command.stderr(Stdio::inherit()).output().map_err(|source| start_failure(command, source))?;
    if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    } else {
        Err(Failure::Status { what: what.to_owned(), status: out.status })
    }
}

fn start_failure(command: &Command, source: std::io::Error) -> Failure {
    Failure::Start { tool: command.get_program().to_string_lossy().into_owned(), source }
}

/// Finds a program in `PATH` and in the administrator's folders that a plain `PATH` leaves out.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/bin", "/usr/sbin", "/sbin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|dir| dir.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether this process is the superuser, by the owner of its own `/proc` entry.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    Path::new("/proc/self").metadata().is_ok_and(|meta| meta.uid() == 0)
}

/// The value after `flag` in `args`.
pub(crate) fn value_of<'a>(args: &'a [String], flag: &str) -> Result<Option<&'a str>, Failure> {
    match args.iter().position(|arg| arg == flag) {
        None => Ok(None),
        Some(at) => match args.get(at + 1) {
            Some(value) => Ok(Some(value)),
            None => Err(Failure::Usage { found: format!("{flag} without a value") }),
        },
    }
}

/// A command with arguments, for the many one-line calls.
pub(crate) fn tool<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("Cargo.toml").is_file());
        assert!(root().join("crates/xtask").is_dir());
    }

    #[test]
    fn a_flag_needs_its_value() {
        let args = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(value_of(&args(&["--seconds", "3"]), "--seconds").ok().flatten(), Some("3"));
        assert_eq!(value_of(&args(&["x"]), "--seconds").ok().flatten(), None);
        assert!(value_of(&args(&["--seconds"]), "--seconds").is_err());
    }

    #[test]
    fn a_failing_tool_is_named() {
        let failure = step("the false step", &mut tool("false", [""; 0]));
        assert!(matches!(failure, Err(Failure::Status { what, .. }) if what == "the false step"));
        let failure = step("x", &mut tool("no-such-program-here", [""; 0]));
        assert!(matches!(failure, Err(Failure::Start { tool, .. }) if tool == "no-such-program-here"));
    }
}

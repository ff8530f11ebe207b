//! Reference tools: where they are, and how they are started without a machine-wide daemon.

use crate::sandbox::remove_tree;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where Debian's packages put their programs; looked at before `PATH`, so that the packaged version is the oracle.
const FOLDERS: &[&str] = &["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// The path of a program, or `None` where it is not installed.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    FOLDERS
        .iter()
        .map(PathBuf::from)
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// A command of a program that [`find`] found.
///
/// # Panics
/// If it is not installed.
#[must_use]
pub fn command(name: &str) -> Command {
    let path = find(name).unwrap_or_else(|| panic!("{name} is not installed"));
    let mut command = Command::new(path);
    command.stdin(Stdio::null()).env("LC_ALL", "C.UTF-8");
    command
}

/// Runs a command that must succeed and returns its stdout.
///
/// # Panics
/// If it fails, with all it printed.
pub fn expect(command: &mut Command) -> String {
    let output = output(command);
    assert!(
        output.status.success(),
        "{command:?} failed with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command and returns what it printed and how it ended.
///
/// # Panics
/// If it cannot be started.
pub fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
}

/// The first line of `NAME --version`, for messages.
#[must_use]
pub fn version(name: &str) -> Option<String> {
    let output = Command::new(find(name)?).arg("--version").stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
}

/// A Docker daemon of the test's own: own socket, own storage, no bridge; ended with the value.
#[derive(Debug)]
pub struct Docker {
    folder: TempDir,
    daemon: Child,
}

impl Docker {
    /// Seconds after which a daemon that does not answer is given up.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Starts a daemon, or says why there is none.
    ///
    /// # Errors
    /// The reason for a skip: not root, not installed, does not start here.
    pub fn start() -> Result<Docker, String> {
        if !crate::privilege::is_root() {
            return Err("dockerd needs root".into());
        }
        let (Some(dockerd), Some(_)) = (find("dockerd"), find("docker")) else {
            return Err("docker.io is not installed".into());
        };
        // A socket's path has 108 bytes at most, so not below TMPDIR.
        let folder =
            tempfile::Builder::new().prefix("bp-docker-").tempdir_in("/tmp").map_err(|error| error.to_string())?;
        let log = std::fs::File::create(folder.path().join("log")).map_err(|error| error.to_string())?;
        let other = log.try_clone().map_err(|error| error.to_string())?;
        let option = |name: &str, file: &str| format!("--{name}={}", folder.path().join(file).display());
        let daemon = Command::new(dockerd)
            .arg(format!("--host=unix://{}", folder.path().join("sock").display()))
            .args([option("data-root", "data"), option("exec-root", "exec"), option("pidfile", "pid")])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(other)
            .spawn()
            .map_err(|error| format!("cannot start dockerd: {error}"))?;
        let mut docker = Docker { folder, daemon };
        let begin = Instant::now();
        while begin.elapsed() < Docker::PATIENCE {
            if output(docker.command().arg("version")).status.success() {
                return Ok(docker);
            }
            if !matches!(docker.daemon.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(docker.folder.path().join("log")).unwrap_or_default();
        let last = log.lines().last().unwrap_or("no log").to_owned();
        Err(format!("dockerd does not start: {last}"))
    }

    /// A `docker` command that talks to this daemon.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = command("docker");
        command
            .env("DOCKER_HOST", format!("unix://{}", self.folder.path().join("sock").display()))
            .env("DOCKER_CONFIG", self.folder.path())
            .env("DOCKER_BUILDKIT", "0");
        command
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.daemon.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let begin = Instant::now();
        while matches!(self.daemon.try_wait(), Ok(None)) && begin.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        remove_tree(self.folder.path());
    }
}

/// Podman with storage of the test's own.
#[derive(Debug)]
pub struct Podman {
    folder: TempDir,
}

impl Podman {
    /// Prepares the storage, or says why there is no podman.
    ///
    /// # Errors
    /// The reason for a skip.
    pub fn new() -> Result<Podman, String> {
        if !crate::privilege::is_root() {
            return Err("the podman cases run as root".into());
        }
        if find("podman").is_none() || find("runc").is_none() {
            return Err("podman or runc is not installed".into());
        }
        let folder =
            tempfile::Builder::new().prefix("bp-podman-").tempdir_in("/tmp").map_err(|error| error.to_string())?;
        Ok(Podman { folder })
    }

    /// A `podman` command on this storage, with the runtime that works on hybrid cgroups.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = command("podman");
        for (option, name) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(self.folder.path().join(name));
        }
        command.args(["--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
        command
    }

    /// What `podman run` needs beside on such machines.
    pub const RUN: &[&str] =
        &["run", "--rm", "--network", "none", "--ulimit", "nofile=1024:20000", "--ulimit", "nproc=1024:2048"];
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = output(self.command().args(["rmi", "--all", "--force"]));
        remove_tree(self.folder.path());
    }
}

/// True if the path is on a file system of this kind, e.g. `overlay`, `tmpfs`.
#[must_use]
pub fn is_on(path: &Path, kind: &str) -> bool {
    find("stat").is_some_and(|stat| {
        Command::new(stat)
            .args(["-f", "-c", "%T"])
            .arg(path)
            .output()
            .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().starts_with(kind))
    })
}

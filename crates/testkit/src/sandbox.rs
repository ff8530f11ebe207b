//! The binary, run with a store of the test's own.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Environment variable from which the binary takes the time instead of the machine's clock: seconds since the epoch.
pub const CLOCK: &str = "BEDPLATE_TEST_CLOCK";

/// Environment variable with the seconds for which the binary lets servers be silent and scripts run.
const PATIENCE_OF_BINARY: &str = "BEDPLATE_TEST_PATIENCE";

/// How long one command may take before the test fails, so that a hanging command names itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// The same for commands that wait for a network, or for many programs.
const LONG_PATIENCE: Duration = Duration::from_secs(900);

/// The binary under test: `BEDPLATE_TEST_BINARY` where set (the runs as plain users use a copy), else what Cargo built.
#[must_use]
pub fn binary(built: &str) -> PathBuf {
    std::env::var_os("BEDPLATE_TEST_BINARY").map_or_else(|| PathBuf::from(built), PathBuf::from)
}

/// A folder with a store, a home, a folder for temporary files and a place for files, and the binary that works on it.
#[derive(Debug)]
pub struct Sandbox {
    folder: TempDir,
    binary: PathBuf,
}

impl Sandbox {
    /// Makes an empty one; `built` is `env!("CARGO_BIN_EXE_bedplate")`.
    ///
    /// # Panics
    /// If the temporary folder cannot be made.
    #[must_use]
    pub fn new(built: &str) -> Sandbox {
        let folder = tempfile::Builder::new().prefix("bp-").tempdir().expect("a temporary folder");
        for name in ["home", "tmp", "work"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder in a new folder");
        }
        // A folder of another user's test run must be reachable for the id maps of that user.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("own folder");
        Sandbox { folder, binary: binary(built) }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// The current directory of commands.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// The path of a file in the current directory of commands.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.work().join(name)
    }

    /// What commands left outside of the store and of their current directory.
    #[must_use]
    pub fn outside(&self) -> Vec<PathBuf> {
        let folders = ["home", "tmp"].map(|name| std::fs::read_dir(self.folder.path().join(name)));
        folders.into_iter().flatten().flatten().flatten().map(|entry| entry.path()).collect()
    }

    /// Writes a file into the current directory of commands, with its parents.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, data: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("own folder");
        }
        std::fs::write(&path, data).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        path
    }

    /// Writes an executable file.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_program(&self, name: &str, data: impl AsRef<[u8]>) -> PathBuf {
        let path = self.write(name, data);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("own file");
        path
    }

    /// Begins a command: `sandbox.bedplate(["import", "-", "x"])`.
    pub fn bedplate<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Invocation {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        Invocation {
            binary: self.binary.clone(),
            arguments,
            stdin: None,
            stdin_file: None,
            folder: self.work(),
            environment: vec![
                ("BEDPLATE_ROOT".into(), self.store().into()),
                ("HOME".into(), self.folder.path().join("home").into()),
                ("PATH".into(), std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into())),
                ("TMPDIR".into(), self.folder.path().join("tmp").into()),
            ],
            umask: None,
            wrapper: Vec::new(),
            patience: PATIENCE,
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        remove_tree(self.folder.path());
    }
}

/// Removes a tree that may hold files of subordinate ids and folders without rights.
pub fn remove_tree(path: &Path) {
    if std::fs::remove_dir_all(path).is_ok() || !path.exists() {
        return;
    }
    // Owned by a subordinate id: only root of a user namespace with the same map may remove it.
    if let Some(unshare) = crate::oracle::find("unshare") {
        let _ = Command::new(unshare)
            .args(["--user", "--map-auto", "--map-root-user", "--", "rm", "-rf", "--"])
            .arg(path)
            .stderr(Stdio::null())
            .status();
    }
    let _ = std::fs::remove_dir_all(path);
}

/// A command of the binary in the making.
#[derive(Debug, Clone)]
pub struct Invocation {
    binary: PathBuf,
    arguments: Vec<OsString>,
    stdin: Option<Vec<u8>>,
    stdin_file: Option<PathBuf>,
    folder: PathBuf,
    environment: Vec<(OsString, OsString)>,
    umask: Option<u32>,
    wrapper: Vec<OsString>,
    patience: Duration,
}

impl Invocation {
    /// Gives bytes on stdin; without it stdin is empty.
    #[must_use]
    pub fn stdin(mut self, data: impl Into<Vec<u8>>) -> Invocation {
        self.stdin = Some(data.into());
        self
    }

    /// Gives a file on stdin.
    #[must_use]
    pub fn stdin_file(mut self, path: impl Into<PathBuf>) -> Invocation {
        self.stdin_file = Some(path.into());
        self
    }

    /// Runs in another directory.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Invocation {
        self.folder = folder.into();
        self
    }

    /// Sets a variable; the environment is otherwise empty but for `BEDPLATE_ROOT`, `HOME`, `PATH` and `TMPDIR`.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Invocation {
        let name = name.into();
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.into()));
        self
    }

    /// Removes a variable.
    #[must_use]
    pub fn env_remove(mut self, name: &str) -> Invocation {
        self.environment.retain(|(known, _)| known != name);
        self
    }

    /// Sets the binary's clock, in seconds since the epoch.
    #[must_use]
    pub fn clock(self, seconds: u64) -> Invocation {
        self.env(CLOCK, seconds.to_string())
    }

    /// Sets how long the binary waits for a silent server or a script, in seconds.
    #[must_use]
    pub fn waiting(self, seconds: u64) -> Invocation {
        self.env(PATIENCE_OF_BINARY, seconds.to_string())
    }

    /// Sets the umask, e.g. `0o077`.
    #[must_use]
    pub fn umask(mut self, mask: u32) -> Invocation {
        self.umask = Some(mask);
        self
    }

    /// Runs another copy of the binary: the checkout may be closed to other users.
    #[must_use]
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Invocation {
        self.binary = path.into();
        self
    }

    /// Waits longer than usual for the command's end: it asks a real archive, or installs a compiler.
    #[must_use]
    pub fn patient(mut self) -> Invocation {
        self.patience = LONG_PATIENCE;
        self
    }

    /// Moves what must not matter: time zone, locale, umask, time, a terminal's size.
    #[must_use]
    pub fn shifted(self) -> Invocation {
        self.env("TZ", "Pacific/Kiritimati")
            .env("LC_ALL", "tr_TR.UTF-8")
            .env("LANG", "tr_TR.UTF-8")
            .env("COLUMNS", "40")
            .env("USER", "someone-else")
            .umask(0o077)
            .clock(2_000_000_000)
    }

    /// Runs under another program: `wrap(["setpriv", "--reuid=1000"])` makes `setpriv --reuid=1000 bedplate ...`.
    #[must_use]
    pub fn wrap<A: Into<OsString>>(mut self, words: impl IntoIterator<Item = A>) -> Invocation {
        let mut wrapper: Vec<OsString> = words.into_iter().map(Into::into).collect();
        wrapper.append(&mut self.wrapper);
        self.wrapper = wrapper;
        self
    }

    /// The command as the system will start it, without stdin and outputs.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut words: Vec<OsString> = self.wrapper.clone();
        if let Some(mask) = self.umask {
            words.extend(["sh".into(), "-c".into(), format!("umask {mask:o} && exec \"$@\"").into(), "sh".into()]);
        }
        words.push(self.binary.clone().into());
        words.extend(self.arguments.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().current_dir(&self.folder);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the command with its outputs piped; the caller waits for it.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(&self) -> Child {
        let mut command = self.command();
        let stdin = match &self.stdin_file {
            Some(path) => {
                Stdio::from(std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
            }
            None if self.stdin.is_some() => Stdio::piped(),
            None => Stdio::null(),
        };
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        if let (Some(data), Some(mut pipe)) = (self.stdin.clone(), child.stdin.take()) {
            // On a thread of its own, so that neither side waits for the other; a closed pipe is the command's right.
            std::thread::spawn(move || {
                let _ = pipe.write_all(&data);
            });
        }
        child
    }

    /// Runs the command to its end.
    ///
    /// # Panics
    /// If it cannot be started or hangs.
    #[must_use]
    pub fn run(&self) -> Outcome {
        let mut child = self.start();
        let begin = Instant::now();
        let stdout = drain(child.stdout.take());
        let stderr = drain(child.stderr.take());
        let mut hung = false;
        let mut pause = Duration::from_micros(200);
        let status = loop {
            match child.try_wait().expect("a child of our own") {
                Some(status) => break status,
                None if begin.elapsed() > self.patience => {
                    hung = true;
                    let _ = child.kill();
                    break child.wait().expect("a child of our own");
                }
                None => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(5));
                }
            }
        };
        let outcome = Outcome {
            words: self.arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
            status: status.code(),
            signal: status.signal(),
            stdout: stdout.join().unwrap_or_default(),
            stderr: String::from_utf8_lossy(&stderr.join().unwrap_or_default()).into_owned(),
        };
        assert!(!hung, "{outcome} did not end within {} s", self.patience.as_secs());
        outcome
    }

    /// Runs the command, which must succeed.
    ///
    /// # Panics
    /// If it fails.
    pub fn ok(&self) -> Outcome {
        let outcome = self.run();
        assert_eq!(outcome.status, Some(0), "{outcome}");
        outcome
    }

    /// Runs the command, which must end with this status.
    ///
    /// # Panics
    /// If it ends otherwise.
    pub fn ends(&self, status: i32) -> Outcome {
        let outcome = self.run();
        assert_eq!(outcome.status, Some(status), "{outcome}");
        outcome
    }

    /// Runs the command, which must fail with a message: status neither 0 nor a signal, an `error:` line, no panic.
    ///
    /// # Panics
    /// If it succeeds or fails otherwise.
    pub fn fails(&self) -> Outcome {
        let outcome = self.run();
        assert!(outcome.status.is_some_and(|status| status != 0), "{outcome}");
        assert!(!outcome.stderr.contains("panicked at"), "{outcome}");
        // Docker's own words begin with a capital where scripts look for them.
        let explained = outcome.stderr.contains("error:") || outcome.stderr.contains("Error:");
        assert!(explained, "a failure without a message: {outcome}");
        outcome
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its arguments.
    pub words: Vec<String>,
    /// Exit status, `None` after a signal.
    pub status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Outcome {
    /// Stdout as text without the last newline.
    #[must_use]
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.stdout);
        text.strip_suffix('\n').unwrap_or(&text).to_owned()
    }

    /// Asserts that stderr holds a text.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Outcome {
        assert!(self.stderr.contains(text), "stderr lacks {text:?}: {self}");
        self
    }

    /// Asserts that stderr is empty.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn is_silent(&self) -> &Outcome {
        assert!(self.stderr.is_empty(), "{self}");
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stdout = String::from_utf8_lossy(&self.stdout[..self.stdout.len().min(4000)]);
        write!(
            out,
            "`bedplate {}` ended with {:?} (signal {:?})\n--- stdout\n{stdout}\n--- stderr\n{}",
            self.words.join(" "),
            self.status,
            self.signal,
            self.stderr
        )
    }
}

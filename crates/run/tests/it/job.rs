//! One container in a process of its own: a root of directories, a configuration, and what came of it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bedplate_run::{Outcome, OverlayVia, Root, RuntimeConfig};
use serde_json::{Value, json};

/// A temporary place with a lower directory that holds the probe, and an upper and a work directory.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
}

/// What came of a container.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) outcome: Option<Outcome>,
}

impl Ran {
    /// The values of the probe's lines that begin with these words.
    pub(crate) fn all(&self, key: &str) -> Vec<&str> {
        let start = format!("{key} ");
        self.stdout.lines().filter_map(|l| l.strip_prefix(start.as_str())).collect()
    }

    /// The value of the probe's one line that begins with these words.
    pub(crate) fn one(&self, key: &str) -> &str {
        match self.all(key).as_slice() {
            [one] => one,
            other => panic!("{key}: {other:?} in {self:?}"),
        }
    }

    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// The program that runs a job: an example of this crate, built with its tests.
pub(crate) fn runner() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let dir = exe.ancestors().nth(2).unwrap();
    let runner = dir.join("examples/container");
    assert!(runner.is_file(), "{} is missing: cargo build -p bedplate-run --examples", runner.display());
    runner
}

/// Whether the caller is mapped as one ID only, or is root itself.
pub(crate) fn privilege() -> bedplate_testkit::privilege::Privilege {
    bedplate_testkit::privilege::current()
}

pub(crate) fn is_root() -> bool {
    privilege() == bedplate_testkit::privilege::Privilege::Root
}

pub(crate) fn is_one() -> bool {
    privilege() == bedplate_testkit::privilege::Privilege::OneUid
}

/// Skips a test where this machine gives no user namespaces, or no compiler for the probe.
pub(crate) fn able(test: &str) -> bool {
    if !is_root() && !bedplate_testkit::privilege::has_user_namespaces() {
        bedplate_testkit::skip::note(test, "no user namespaces");
        return false;
    }
    match bedplate_testkit::probe::build() {
        Ok(_) => true,
        Err(reason) => {
            bedplate_testkit::skip::note(test, &reason);
            false
        }
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("bedplate-run").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["lower/bin", "upper", "work"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let place = Self { dir };
        let probe = std::fs::read(bedplate_testkit::probe::build().unwrap()).unwrap();
        place.program("bin/probe", &probe);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a file in the lower directory.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path("lower").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Puts an executable file in the lower directory.
    pub(crate) fn program(&self, name: &str, content: &[u8]) {
        let path = self.file(name, content);
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    pub(crate) fn overlay(&self, via: OverlayVia) -> Root {
        Root::Overlay { lowers: vec![self.path("lower")], upper: self.path("upper"), work: self.path("work"), via }
    }

    /// All names beneath a directory, sorted.
    pub(crate) fn names(&self, under: &str) -> Vec<String> {
        fn walk(dir: &Path, base: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                found.push(path.strip_prefix(base).unwrap().to_string_lossy().into_owned());
                if path.is_dir() && !path.is_symlink() {
                    walk(&path, base, found);
                }
            }
        }
        let base = self.path(under);
        let mut found = Vec::new();
        walk(&base, &base, &mut found);
        found.sort();
        found
    }

    /// A configuration whose command is the probe with these words.
    pub(crate) fn probe(&self, words: &[&str]) -> RuntimeConfig {
        let args = ["/bin/probe"].iter().chain(words).map(|w| (*w).to_owned()).collect();
        RuntimeConfig { args, hostname: "box".into(), ..RuntimeConfig::default() }
    }

    pub(crate) fn job(&self, root: &Root, config: &RuntimeConfig, more: Value) -> PathBuf {
        let mut job = json!({"root": root, "config": config, "outcome": self.path("outcome")});
        if let (Some(job), Value::Object(more)) = (job.as_object_mut(), more) {
            job.extend(more);
        }
        let file = self.path("job.json");
        std::fs::write(&file, serde_json::to_vec(&job).unwrap()).unwrap();
        file
    }

    pub(crate) fn command(&self, root: &Root, config: &RuntimeConfig, more: Value) -> Command {
        let mut command = Command::new(runner());
        command.arg(self.job(root, config, more)).stdin(Stdio::null());
        command
    }

    pub(crate) fn run_with(&self, root: &Root, config: &RuntimeConfig, more: Value, input: &[u8]) -> Ran {
        use std::io::Write;
        let _ = std::fs::remove_file(self.path("outcome"));
        let mut child = self
            .command(root, config, more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
        // Beside the reading, or both would wait for ever. A command that does not read is no failure.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            outcome: std::fs::read(self.path("outcome")).ok().map(|t| serde_json::from_slice(&t).unwrap()),
        }
    }

    pub(crate) fn run(&self, config: &RuntimeConfig) -> Ran {
        self.run_with(&self.overlay(OverlayVia::Auto), config, json!({}), b"")
    }
}

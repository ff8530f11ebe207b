//! Commands in the root, one after another, with what they say kept for the case that they fail.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use bedplate_run::{Command, ExitStatus, RunError, Session};
use bedplate_sys::CallError;
use bedplate_sys::rooted::Root;
use thiserror::Error;

use crate::root_error::RootError;

/// How long one script may take. The slowest known take some seconds; one that waits for an answer waits for ever.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// How often the log of a running command is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How much of a failed command's output an error quotes, in bytes: the end of it.
const QUOTED: u64 = 4096;

/// A script, or a program of the root that runs scripts, did not do what it should.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// It failed.
    #[error("{what} failed with {status}{}", quoted(.output))]
    Failed {
        /// Which script.
        what: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        output: String,
    },
    /// It does not come to an end.
    #[error("{what} still runs after {} seconds{}", .after.as_secs(), quoted(.output))]
    Hung {
        /// Which script.
        what: String,
        /// How long it was waited for.
        after: Duration,
        /// The end of what it said.
        output: String,
    },
    /// It left processes behind.
    #[error("{what} left processes running: {}; a script of a base image must start no service", .names.join(", "))]
    Left {
        /// What ran before they were found.
        what: String,
        /// The names of the processes.
        names: Vec<String>,
    },
    /// The container failed.
    #[error("cannot run {what}")]
    Run {
        /// Which script.
        what: String,
        /// Why.
        #[source]
        source: RunError,
    },
    /// What the scripts say cannot be kept.
    #[error("cannot keep what {what} says")]
    Log {
        /// Which script.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// dpkg's database between two scripts.
    #[error("cannot {what}")]
    Database {
        /// What was to be done.
        what: &'static str,
        /// Why.
        #[source]
        source: CallError,
    },
    /// The root cannot be made or read.
    #[error(transparent)]
    Root(#[from] RootError),
}

fn quoted(output: &str) -> String {
    match output.trim_end() {
        "" => String::new(),
        text => {
            format!("; it said:\n{}", text.lines().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n"))
        }
    }
}

/// Runs commands in a session.
pub(crate) struct Runner<'s> {
    session: &'s mut Session,
    environment: Vec<String>,
    log: File,
    patience: Duration,
}

impl<'s> Runner<'s> {
    /// A runner whose commands see these variables and may each take so long; what they say goes to `log`.
    pub(crate) fn new(session: &'s mut Session, environment: Vec<String>, log: File, patience: Duration) -> Self {
        Self { session, environment, log, patience }
    }

    /// The root as the commands see it.
    pub(crate) fn root(&self) -> Result<&Root, ScriptError> {
        self.session.root().map_err(|source| ScriptError::Run { what: "scripts".to_owned(), source })
    }

    /// Runs a command to its end; `hear` gets what it says, line by line.
    pub(crate) fn run(
        &mut self,
        what: &str,
        args: &[&str],
        variables: &[(&str, &str)],
        hear: &mut dyn FnMut(&str),
    ) -> Result<(), ScriptError> {
        let mut env = self.environment.clone();
        env.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));
        let command = Command { args: args.iter().map(|arg| (*arg).to_owned()).collect(), env, cwd: "/".to_owned() };
        let log_failed = |source| ScriptError::Log { what: what.to_owned(), source };
        let run_failed = |source| ScriptError::Run { what: what.to_owned(), source };
        let start = self.log.seek(SeekFrom::End(0)).map_err(log_failed)?;
        let output: OwnedFd = self.log.try_clone().map_err(log_failed)?.into();
        let number = self.session.spawn(&command, &output).map_err(run_failed)?;
        let began = Instant::now();
        let mut heard = Heard { at: start, rest: Vec::new() };
        let status = loop {
            let ended = self.session.wait(Some(LOOK)).map_err(run_failed)?;
            heard.listen(&self.log, hear).map_err(log_failed)?;
            match ended {
                Some((ended, status)) if ended == number => break status,
                Some(_) => {}
                None if began.elapsed() > self.patience => {
                    let output = self.tail(start).map_err(log_failed)?;
                    return Err(ScriptError::Hung { what: what.to_owned(), after: self.patience, output });
                }
                None => {}
            }
        };
        if !status.is_success() {
            let output = self.tail(start).map_err(log_failed)?;
            return Err(ScriptError::Failed { what: what.to_owned(), status, output });
        }
        Ok(())
    }

    /// Fails where something still runs.
    pub(crate) fn nothing_left(&mut self, what: &str) -> Result<(), ScriptError> {
        let run_failed = |source| ScriptError::Run { what: what.to_owned(), source };
        // What a script started last may be about to end.
        const LOOKS: u32 = 20;
        let mut names = Vec::new();
        for _ in 0..LOOKS {
            names = self.session.left().map_err(run_failed)?;
            if names.is_empty() {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        Err(ScriptError::Left { what: what.to_owned(), names })
    }

    /// The end of what was said since `start`.
    fn tail(&self, start: u64) -> io::Result<String> {
        let mut log = &self.log;
        let end = log.seek(SeekFrom::End(0))?;
        let from = start.max(end.saturating_sub(QUOTED));
        log.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        log.take(QUOTED).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        // Half a line at the beginning says nothing, and control characters are not for the user's terminal.
        let text = if from > start { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
        Ok(text.chars().filter(|c| !c.is_control() || *c == '\n').collect())
    }
}

/// Follows a log.
struct Heard {
    at: u64,
    rest: Vec<u8>,
}

impl Heard {
    fn listen(&mut self, log: &File, hear: &mut dyn FnMut(&str)) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            // By position: the command writes at the end of the same open file.
            let count = log.read_at(&mut buffer, self.at)?;
            if count == 0 {
                return Ok(());
            }
            self.at += count as u64;
            self.rest.extend_from_slice(&buffer[..count]);
            // A line without end is heard in pieces.
            if self.rest.len() > QUOTED as usize && !self.rest.contains(&b'\n') {
                hear(&String::from_utf8_lossy(&self.rest));
                self.rest.clear();
            }
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                hear(&String::from_utf8_lossy(&self.rest[..end]));
                self.rest.drain(..=end);
            }
        }
    }
}

//! Runs one container described by a JSON file: `container JOB.json`. For tests and experiments.
//!
//! The outcome is written to the file that the job names; the exit status is the command's.
#![allow(clippy::print_stderr)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bedplate_run::seccomp::{Action, Arch, Profile, Rule, compile};
use bedplate_run::{Command, Outcome, Root, RunError, RuntimeConfig, Session, Streams, run};
use bedplate_sys::caps::CapSet;
use bedplate_sys::userns::{Privilege, Sources, become_root};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Job {
    root: Root,
    config: RuntimeConfig,
    #[serde(default)]
    input: bool,
    #[serde(default)]
    only_one: bool,
    #[serde(default)]
    capture: bool,
    #[serde(default)]
    threads: bool,
    /// System calls that are to be missing, as on an older kernel.
    #[serde(default)]
    missing: Vec<String>,
    #[serde(default)]
    outcome: Option<PathBuf>,
    /// Commands for a session in place of the one command.
    #[serde(default)]
    session: Vec<Command>,
}

fn main() -> ExitCode {
    let Some(job) = std::env::args().nth(1) else {
        eprintln!("usage: container JOB.json");
        return ExitCode::from(2);
    };
    let job: Job = match std::fs::read(&job)
        .map_err(|e| e.to_string())
        .and_then(|text| serde_json::from_slice(&text).map_err(|e| e.to_string()))
    {
        Ok(job) => job,
        Err(e) => {
            eprintln!("error: {job}: {e}");
            return ExitCode::from(2);
        }
    };
    let sources = Sources { only_one: job.only_one, ..Sources::default() };
    let privilege = match become_root(&sources) {
        Ok(privilege) => privilege,
        Err(e) => {
            eprintln!("error: {e}: {:?}", std::error::Error::source(&e).map(ToString::to_string));
            return ExitCode::from(125);
        }
    };
    if !job.missing.is_empty() {
        const ENOSYS: u16 = 38;
        let rules = vec![Rule::new(job.missing.clone(), Action::Errno(ENOSYS))];
        let profile = Profile { default: Action::Allow, rules };
        let loaded = compile(&profile, CapSet::ALL, Arch::of_machine()).map(|f| bedplate_sys::seccomp::load(&f));
        if !matches!(loaded, Ok(Ok(()))) {
            eprintln!("error: the filter cannot be loaded: {loaded:?}");
            return ExitCode::from(2);
        }
    }
    if job.threads {
        std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(60)));
    }
    if !job.session.is_empty() {
        return match session(&job, &privilege) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => report(&e),
        };
    }
    let mut captured = Vec::new();
    let mut sink = |stream, bytes: &[u8]| captured.push((format!("{stream:?}"), bytes.to_vec()));
    let streams = Streams {
        input: job.input,
        capture: if job.capture { Some(&mut sink) } else { None },
        signals: bedplate_run::OnSignal::HandOn,
    };
    let result = run(&job.root, &job.config, &privilege, streams);
    for (stream, bytes) in captured {
        let _ = match stream.as_str() {
            "Output" => std::io::Write::write_all(&mut std::io::stdout(), &bytes),
            _ => std::io::Write::write_all(&mut std::io::stderr(), &bytes),
        };
    }
    match result {
        Ok(outcome) => {
            let Outcome { status, .. } = &outcome;
            let code = status.code();
            if let Some(path) = job.outcome {
                let _ = std::fs::write(path, serde_json::to_vec(&outcome).unwrap_or_default());
            }
            ExitCode::from(code)
        }
        Err(e) => report(&e),
    }
}

/// Runs the commands of a session in turn: what each says, how it ended, what is left at the end.
fn session(job: &Job, privilege: &Privilege) -> Result<(), RunError> {
    let output = std::fs::File::options().append(true).create(true).open("/dev/stdout");
    let output: std::os::fd::OwnedFd = match output {
        Ok(file) => file.into(),
        Err(e) => return Err(RunError::Config { message: e.to_string() }),
    };
    let mut session = Session::start(&job.root, &job.config, privilege)?;
    for (number, command) in job.session.iter().enumerate() {
        let ended = session.run(command, &output, Some(Duration::from_secs(2)))?;
        let ended = ended.map_or("still runs".to_owned(), |status| status.to_string());
        say(&format!("command {number}: {ended}\n"));
    }
    say(&format!("left {:?}\n", session.left()?));
    let made: Vec<String> = session.finish()?.into_iter().map(|point| point.path).collect();
    say(&format!("made {made:?}\n"));
    Ok(())
}

fn say(text: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
}

fn report(e: &RunError) -> ExitCode {
    eprintln!("error: {e}");
    let mut source = std::error::Error::source(&e);
    while let Some(cause) = source {
        eprintln!("  cause: {cause}");
        source = cause.source();
    }
    for cause in e.causes() {
        eprintln!("  cause: {cause}");
    }
    if let Some(hint) = e.hint() {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(e.exit_code())
}

//! Runs one container described by a JSON file: `container JOB.json`. For tests and experiments.
//!
//! The outcome is written to the file that the job names; the exit status is the command's.
#![allow(clippy::print_stderr)]

use std::path::PathBuf;
use std::process::ExitCode;

use bedplate_run::seccomp::{Action, Arch, Profile, Rule, compile};
use bedplate_run::{Outcome, Root, RuntimeConfig, Streams, run};
use bedplate_sys::caps::CapSet;
use bedplate_sys::userns::{Sources, become_root};
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
        let rules = vec![Rule::new(job.missing, Action::Errno(ENOSYS))];
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
    let mut captured = Vec::new();
    let mut sink = |stream, bytes: &[u8]| captured.push((format!("{stream:?}"), bytes.to_vec()));
    let streams =
        Streams { input: job.input, capture: if job.capture { Some(&mut sink) } else { None }, proxy_signals: true };
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
        Err(e) => {
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
    }
}

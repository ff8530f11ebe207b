//! Runs targets over corpus and mutations for some seconds each, and keeps the input that breaks one.
//!
//! ```text
//! bedplate-mutate --fuzz-dir fuzz --seconds 20 [TARGET]...    a child process for each target
//! bedplate-mutate --fuzz-dir fuzz --replay FILE TARGET        one input, in this process
//! ```
//!
//! A child that dies (overflow of the stack, out of memory, too slow) cannot say on which input. The parent runs
//! it again from the last number it noted, and this time each input is written down before it is tried.
#![forbid(unsafe_code)]
// A command for people at a terminal: printing is its purpose.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bedplate_fuzzing::targets::{TARGETS, Target, find};
use bedplate_fuzzing::{corpus, mutate};

/// Start of every row of inputs. Another value is another row; this one makes runs comparable.
const SEED: u64 = 0x6265_6470_6c61_7465;

/// Seconds that one input may take. Inputs are at most 256 KiB: what takes longer is no parser's honest work.
const SLOWEST: Duration = Duration::from_secs(10);

/// Inputs between two notes of how far a child came.
const NOTE_EVERY: u64 = 500;

#[derive(Debug, Default)]
struct Options {
    fuzz: PathBuf,
    seconds: u64,
    from: u64,
    child: bool,
    careful: bool,
    replay: Option<PathBuf>,
    names: Vec<String>,
}

fn main() -> ExitCode {
    match options().and_then(|options| go(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options { fuzz: corpus::folder(), seconds: 20, ..Options::default() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("\"{text}\" is no number"));
        match arg.as_str() {
            "--fuzz-dir" => options.fuzz = value()?.into(),
            "--seconds" => options.seconds = number(value()?)?,
            "--from" => options.from = number(value()?)?,
            "--replay" => options.replay = Some(value()?.into()),
            "--child" => options.child = true,
            "--careful" => options.careful = true,
            flag if flag.starts_with('-') => return Err(format!("unknown flag {flag}")),
            name => options.names.push(name.to_owned()),
        }
    }
    Ok(options)
}

fn go(options: &Options) -> Result<bool, String> {
    let mut targets = Vec::new();
    for name in &options.names {
        targets.push(find(name).ok_or_else(|| format!("no target \"{name}\"; there are {}", names()))?);
    }
    if targets.is_empty() {
        targets.extend(TARGETS);
    }
    if let Some(file) = &options.replay {
        let data = std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        targets.iter().for_each(|target| (target.run)(&data));
        return Ok(true);
    }
    if options.child {
        let target = targets.first().ok_or("a child needs a target")?;
        return child(target, options);
    }
    let mut well = true;
    for target in targets {
        well &= parent(target, options)?;
    }
    Ok(well)
}

fn names() -> String {
    TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ")
}

/// Runs one target in a child; on its death, again with every input written down first.
fn parent(target: &Target, options: &Options) -> Result<bool, String> {
    let artifacts = options.fuzz.join("artifacts").join(target.name);
    let started = Instant::now();
    if run_child(target, options, 0, false)? {
        println!("ok   {} ({} inputs in {:.1?})", target.name, noted(&artifacts), started.elapsed());
        tidy(&artifacts);
        return Ok(true);
    }
    let from = noted(&artifacts);
    let current = artifacts.join("current");
    if !current.exists() && run_child(target, options, from, true)? {
        println!("FAIL {}: died once after input {from}, not again", target.name);
        return Ok(false);
    }
    println!("FAIL {}: cargo xtask fuzz found {}", target.name, current.display());
    println!("     again: bedplate-mutate --replay {} {}", current.display(), target.name);
    Ok(false)
}

fn run_child(target: &Target, options: &Options, from: u64, careful: bool) -> Result<bool, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut command = Command::new(program);
    command.arg("--child").arg("--fuzz-dir").arg(&options.fuzz).stdin(Stdio::null());
    command.args(["--seconds", &options.seconds.to_string(), "--from", &from.to_string()]);
    if careful {
        command.arg("--careful");
    }
    let status = command.arg(target.name).status().map_err(|error| format!("cannot start the child: {error}"))?;
    Ok(status.success())
}

fn noted(artifacts: &Path) -> u64 {
    let text = std::fs::read_to_string(artifacts.join("number")).unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}

/// Removes the notes of a run that found nothing; nobody misses them if that fails.
fn tidy(artifacts: &Path) {
    let _ = std::fs::remove_file(artifacts.join("number"));
    let _ = std::fs::remove_file(artifacts.join("current"));
    let _ = std::fs::remove_dir(artifacts);
}

fn child(target: &'static Target, options: &Options) -> Result<bool, String> {
    let artifacts = options.fuzz.join("artifacts").join(target.name);
    let said = |what: &'static str| move |error: std::io::Error| format!("cannot {what}: {error}");
    std::fs::create_dir_all(&artifacts).map_err(said("make the folder for artifacts"))?;
    let current = artifacts.join("current");
    let _ = std::fs::remove_file(&current); // of an earlier run; usually there is none
    let seeds = corpus::read(&options.fuzz, target.name).map_err(said("read the corpus"))?;
    let begun = Instant::now();
    let running = Arc::new(AtomicU64::new(u64::MAX));
    watch(Arc::clone(&running), begun);

    let mut number = options.from;
    while begun.elapsed().as_secs() < options.seconds || number < seeds.len() as u64 {
        if number.is_multiple_of(NOTE_EVERY) {
            std::fs::write(artifacts.join("number"), number.to_string()).map_err(said("note the number"))?;
        }
        let data = mutate::input(&seeds, target.shape, SEED, number);
        if options.careful {
            std::fs::write(&current, &data).map_err(said("write down the input"))?;
        }
        running.store(begun.elapsed().as_millis() as u64, Ordering::Relaxed);
        if std::panic::catch_unwind(|| (target.run)(&data)).is_err() {
            std::fs::write(&current, &data).map_err(said("write down the input"))?;
            return Ok(false);
        }
        running.store(u64::MAX, Ordering::Relaxed);
        number += 1;
    }
    std::fs::write(artifacts.join("number"), number.to_string()).map_err(said("note the number"))?;
    Ok(true)
}

/// Ends the process when one input runs too long.
fn watch(running: Arc<AtomicU64>, begun: Instant) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(250));
            let since = running.load(Ordering::Relaxed);
            let now = begun.elapsed().as_millis() as u64;
            if since != u64::MAX && now.saturating_sub(since) > SLOWEST.as_millis() as u64 {
                eprintln!("error: one input runs longer than {SLOWEST:?}");
                std::process::abort();
            }
        }
    });
}

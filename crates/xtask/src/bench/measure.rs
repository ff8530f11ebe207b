//! Timing of whole processes: from before the start to after the end, output thrown away.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::{Failure, output, tool};

/// The times of one thing, in the order they were taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    /// Wall-clock times.
    pub(crate) times: Vec<Duration>,
}

impl Samples {
    /// The middle one: what an ordinary run takes. Zero when there is none.
    pub(crate) fn median(&self) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// The shortest: what it takes when nobody disturbs.
    pub(crate) fn least(&self) -> Duration {
        self.times.iter().min().copied().unwrap_or_default()
    }
}

/// Measures `rounds` runs of what `prepare` gives, after one that is not counted.
///
/// `prepare` runs before each and is not timed. A run that fails ends the measurement: its time would be worth nothing.
pub(crate) fn samples(
    what: &str,
    rounds: usize,
    mut prepare: impl FnMut(usize) -> Result<Command, Failure>,
) -> Result<Samples, Failure> {
    let mut samples = Samples::default();
    for round in 0..=rounds {
        let mut command = prepare(round)?;
        let took = once(what, &mut command)?;
        if round > 0 {
            samples.times.push(took);
        }
    }
    Ok(samples)
}

/// Runs a command once; its standard input is what the caller set, or nothing.
fn once(what: &str, command: &mut Command) -> Result<Duration, Failure> {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let start = Instant::now();
    let child = command.spawn().map_err(|source| bench(what, &source.to_string()))?;
    let out = child.wait_with_output().map_err(|source| bench(what, &source.to_string()))?;
    let took = start.elapsed();
    if out.status.success() {
        Ok(took)
    } else {
        let said = String::from_utf8_lossy(&out.stderr);
        Err(bench(what, &format!("{}: {}", out.status, said.trim())))
    }
}

/// The failure of one benchmark.
pub(crate) fn bench(what: &str, why: &str) -> Failure {
    Failure::Bench { what: what.to_owned(), why: why.to_owned() }
}

/// Measures a command inside a shell's surroundings: `setup` runs first, then the loop, in the same process.
///
/// `me` is a copy of this program. Used where a peer needs a mount namespace of its own that must not be paid for in each round.
pub(crate) fn samples_inside(
    what: &str,
    me: &Path,
    wrapper: &[&str],
    setup: &str,
    rounds: usize,
    command: &[&str],
) -> Result<Samples, Failure> {
    let script = format!("{setup}; exec \"$0\" \"$@\"");
    let Some((first, rest)) = wrapper.split_first() else { return Err(bench(what, "no wrapper")) };
    let mut outer = tool(first, rest);
    outer.args(["sh", "-c", &script]).arg(me).args(["bench", "--loop", &rounds.to_string()]).args(command);
    let text = output(what, &mut outer)?;
    let times = text.lines().filter_map(|line| line.parse().ok()).map(Duration::from_nanos).collect();
    Ok(Samples { times })
}

/// `bench --loop N COMMAND...`: prints the nanoseconds of each round. `{}` in an argument becomes the round's number.
pub(crate) fn looped(args: &[String]) -> Result<(), Failure> {
    let usage = || Failure::Usage { found: args.join(" ") };
    let rounds = args.first().and_then(|count| count.parse().ok()).ok_or_else(usage)?;
    let (program, rest) = args.get(1..).and_then(<[String]>::split_first).ok_or_else(usage)?;
    let samples = samples(program, rounds, |round| {
        Ok(tool(program, rest.iter().map(|arg| arg.replace("{}", &round.to_string()))))
    })?;
    for time in samples.times {
        println!("{}", time.as_nanos());
    }
    Ok(())
}

/// Runs a command and gives the most memory it had resident, in KiB, as the kernel's own high-water mark told last.
pub(crate) fn peak_kib(what: &str, command: &mut Command) -> Result<u64, Failure> {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|source| bench(what, &source.to_string()))?;
    let file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let status = std::fs::read_to_string(&file).unwrap_or_default();
        let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(kib) = mark.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse().ok()) {
            peak = kib;
        }
        match child.try_wait().map_err(|source| bench(what, &source.to_string()))? {
            Some(status) if status.success() => return Ok(peak),
            Some(status) => return Err(bench(what, &status.to_string())),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_least() {
        let samples = Samples { times: [5, 1, 9, 3, 7].map(Duration::from_millis).to_vec() };
        assert_eq!(samples.median(), Duration::from_millis(5));
        assert_eq!(samples.least(), Duration::from_millis(1));
        assert_eq!(Samples::default().median(), Duration::ZERO);
    }

    #[test]
    fn a_failing_round_ends_the_measurement() {
        let failed = samples("false", 3, |_| Ok(tool("false", [""; 0])));
        assert!(matches!(failed, Err(Failure::Bench { what, .. }) if what == "false"));
        let counted = samples("true", 3, |_| Ok(tool("true", [""; 0]))).expect("true is true");
        assert_eq!(counted.times.len(), 3);
    }
}

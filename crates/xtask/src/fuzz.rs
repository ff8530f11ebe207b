//! `cargo xtask fuzz`: the parsers of foreign bytes over their corpus and mutations of it.
//!
//! The driver is a program of `crates/fuzzing` for the stable compiler and repeats itself bit for bit from its seed.
//! With a nightly compiler and cargo-fuzz, `cargo +nightly fuzz run TARGET` in `fuzz/` runs the same functions under libFuzzer.

use std::collections::BTreeSet;
use std::path::Path;

use crate::process::{Failure, cargo, root, step, tool, value_of};

/// Seconds for each target when nobody says.
const SECONDS: &str = "20";

/// Address space of the driver in KiB: far more than inputs of kilobytes can ask for.
const ADDRESS_SPACE_KIB: u64 = 6 * 1024 * 1024;

/// Runs the driver for the targets named in `args`, or all.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let seconds = value_of(args, "--seconds")?.unwrap_or(SECONDS);
    let mut names = Vec::new();
    let mut skip = false;
    for arg in args {
        match arg.as_str() {
            _ if skip => skip = false,
            "--seconds" => skip = true,
            flag if flag.starts_with('-') => return Err(Failure::Usage { found: flag.to_owned() }),
            name => names.push(name),
        }
    }
    if let Err(failure) = check() {
        eprintln!("warning: {failure}"); // `cargo xtask check` fails on it
    }
    mutate(&cargo_build()?, seconds, &names)
}

/// Runs the driver with its address space limited: a parser that wants more breaks here and not on a user's machine.
pub(crate) fn mutate(driver: &Path, seconds: &str, names: &[&str]) -> Result<(), Failure> {
    let limited = format!("ulimit -v {ADDRESS_SPACE_KIB}; exec \"$0\" \"$@\"");
    let mut command = tool("sh", ["-c", &limited]);
    command.arg(driver).args(["--seconds", seconds]).arg("--fuzz-dir").arg(root().join("fuzz")).args(names);
    step(&format!("mutations, {seconds} s each"), &mut command)
}

fn cargo_build() -> Result<std::path::PathBuf, Failure> {
    let built = crate::test::build(
        "the mutation driver",
        cargo().args(["build", "--release", "-p", "bedplate-fuzzing", "--bin", "bedplate-mutate"]),
    )?;
    built
        .into_iter()
        .find(|artifact| artifact.name == "bedplate-mutate")
        .map(|artifact| artifact.path)
        .ok_or(Failure::Findings { what: "the build gave no mutation driver", findings: Vec::new() })
}

/// Demands that the functions of the crates, the driver's table and the cargo-fuzz targets name the same things.
pub(crate) fn check() -> Result<(), Failure> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(Failure::file("read", path));
    let mut functions = BTreeSet::new();
    let crates = root().join("crates");
    for entry in std::fs::read_dir(&crates).map_err(Failure::file("read", &crates))?.flatten() {
        for room in ["src/fuzz.rs", "src/fuzz/mod.rs"] {
            let path = entry.path().join(room);
            if path.is_file() {
                let name = entry.file_name().to_string_lossy().into_owned();
                functions.extend(entry_points(&read(&path)?).into_iter().map(|function| (name.clone(), function)));
            }
        }
    }
    let table = read(&crates.join("fuzzing/src/targets.rs"))?;
    let manifest = read(&root().join("fuzz/Cargo.toml"))?;
    let mut findings = Vec::new();
    for (name, function) in &functions {
        let target = format!("{name}_{function}");
        if !table.contains(&format!("bedplate_{name}::fuzz::{function}")) {
            findings.push(format!("crates/fuzzing/src/targets.rs lacks bedplate_{name}::fuzz::{function}"));
        }
        let file = root().join(format!("fuzz/fuzz_targets/{target}.rs"));
        let calls = std::fs::read_to_string(&file).unwrap_or_default();
        if !calls.contains(&format!("bedplate_{name}::fuzz::{function}(")) {
            findings.push(format!("fuzz/fuzz_targets/{target}.rs does not call bedplate_{name}::fuzz::{function}"));
        }
        if !manifest.contains(&format!("name = \"{target}\"")) {
            findings.push(format!("fuzz/Cargo.toml has no [[bin]] {target}"));
        }
        let corpus = root().join(format!("fuzz/corpus/{target}"));
        if !corpus.read_dir().is_ok_and(|mut seeds| seeds.next().is_some()) {
            findings.push(format!("fuzz/corpus/{target} holds no seed"));
        }
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Failure::Findings { what: "fuzz targets are not complete", findings })
    }
}

/// The public functions over bytes in a `fuzz` module, and those it takes from elsewhere by another name.
fn entry_points(source: &str) -> Vec<String> {
    let name = |line: &str| {
        if let Some((_, name)) = line.trim().strip_prefix("pub use ").and_then(|rest| rest.split_once(" as ")) {
            return name.strip_suffix(';').map(str::to_owned);
        }
        let rest = line.trim().strip_prefix("pub fn ")?;
        let (name, arguments) = rest.split_once('(')?;
        arguments.contains(": &[u8])").then(|| name.to_owned())
    };
    source.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_points_are_found() {
        let source = "//! x\npub fn tar(data: &[u8]) {\nfn helper(data: &[u8]) {}\npub fn other(text: &str) {}\npub use crate::x as y;\n";
        assert_eq!(entry_points(source), ["tar", "y"]);
    }
}

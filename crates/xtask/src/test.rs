//! `cargo xtask test`: every test this machine can run, and a count of those it cannot.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{Failure, cargo, is_root, step, tool, which};
use crate::users::{PLAIN, Plain, give};
use crate::{docs, fuzz, tools};

/// Packages whose tests are repeated as plain users: what they prove depends on who runs them.
const AS_USERS: &[&str] =
    &["bedplate-sys", "bedplate-image", "bedplate-store", "bedplate-run", "bedplate-build", "bedplate"];

/// Seconds of mutations for each parser in the ordinary run; longer runs are `cargo xtask fuzz`.
const FUZZ_SECONDS: &str = "3";

/// What the runs so far came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Count {
    fn add(&mut self, other: Count) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// Runs the tests; the last line is `N passed, N failed, N skipped`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let (quick, all) = match args {
        [] => (false, false),
        [flag] if flag == "--quick" => (true, false),
        [flag] if flag == "--all" => (false, true),
        _ => return Err(Failure::Usage { found: args.join(" ") }),
    };
    if !quick {
        tools::install()?;
    }
    if !quick && is_root() {
        // Tests of root become these users, too.
        for user in &PLAIN {
            user.ensure()?;
        }
    }
    let scratch = Scratch::new()?;
    let skips = scratch.path.join("skips");
    std::fs::write(&skips, "").map_err(Failure::file("write", &skips))?;
    open_to_all(&skips)?;

    let artifacts = build("the binary and the tests", cargo().args(["test", "--release", "--workspace", "--no-run"]))?;
    let mut total = Count::default();
    let kind = if is_root() { "root" } else { "plain" };
    let mut command = if which("cargo-nextest").is_some() {
        let mut command = cargo();
        command.args(["nextest", "run", "--release", "--workspace", "--no-fail-fast", "--color", "never"]);
        command
    } else {
        let mut command = cargo();
        command.args(["test", "--release", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"]);
        command
    };
    command.env("BEDPLATE_TEST_SKIPS", &skips);
    if all {
        command.env("BEDPLATE_TEST_ALL", "1");
    }
    if is_root() {
        command.env("BEDPLATE_TEST_USER", "root");
    }
    total.add(counted(&format!("all tests, {kind}"), &mut command)?);
    let mut doc = cargo();
    total.add(counted("examples in the docs", doc.args(["test", "--release", "--workspace", "--doc"]))?);

    if !quick && is_root() {
        total.add(as_users(&artifacts, &scratch.path, &skips)?);
    } else {
        note_skip(&skips, "xtask::as_users: needs root to make plain users (and no --quick)")?;
    }
    let built = |name: &str| artifacts.iter().find(|artifact| artifact.name == name && !artifact.test);
    if let Some(driver) = built("bedplate-mutate") {
        total.add(judged(fuzz::mutate(&driver.path, FUZZ_SECONDS, &[])));
    }
    if let Some(binary) = built("bedplate") {
        total.add(judged(docs::check(&binary.path)));
    }
    let skipped = print_skips(&skips)? + total.ignored;
    println!("{} passed, {} failed, {skipped} skipped", total.passed, total.failed);
    if total.failed == 0 { Ok(()) } else { Err(Failure::Tests { failed: total.failed }) }
}

/// One step that holds or fails, in the count.
fn judged(outcome: Result<(), Failure>) -> Count {
    match outcome {
        Ok(()) => Count { passed: 1, ..Count::default() },
        Err(failure) => {
            eprintln!("error: {failure}");
            Count { failed: 1, ..Count::default() }
        }
    }
}

/// Runs the tests with leave to rewrite what they expect.
pub(crate) fn golden(args: &[String]) -> Result<(), Failure> {
    if let Some(found) = args.first() {
        return Err(Failure::Usage { found: found.clone() });
    }
    let mut command = cargo();
    command.args(["test", "--release", "--workspace", "--no-fail-fast"]);
    step("rewrite expected outputs", command.env("INSTA_UPDATE", "always").env("BEDPLATE_GOLDEN", "1"))?;
    step("what changed", tool("git", ["status", "--short"]).current_dir(crate::process::root()))
}

/// Repeats the tests that depend on the user, from copies that the user can read.
fn as_users(artifacts: &[Artifact], scratch: &Path, skips: &Path) -> Result<Count, Failure> {
    let mut total = Count::default();
    let programs = scratch.join("programs");
    std::fs::create_dir(&programs).map_err(Failure::file("make", &programs))?;
    let mut tests = Vec::new();
    // Beside each other as Cargo lays them: a test finds its examples by that.
    let examples = scratch.join("examples");
    std::fs::create_dir(&examples).map_err(Failure::file("make", &examples))?;
    for artifact in artifacts {
        let ours = AS_USERS.contains(&artifact.package.as_str());
        if !ours || !(artifact.test || artifact.example || artifact.name == "bedplate") {
            continue;
        }
        let file = artifact.path.file_name().unwrap_or(artifact.name.as_ref());
        let copy = if artifact.example { examples.join(&artifact.name) } else { programs.join(file) };
        std::fs::copy(&artifact.path, &copy).map_err(Failure::file("copy", &artifact.path))?;
        if artifact.test {
            tests.push((artifact.package.clone(), artifact.name.clone(), copy));
        }
    }
    for user in &PLAIN {
        for (package, name, program) in &tests {
            let mut command = prepared(user, program, scratch)?;
            command.args(["--test-threads", "2", "--color", "never"]);
            command.env("BEDPLATE_TEST_SKIPS", skips).env("BEDPLATE_TEST_USER", user.kind);
            command.env("BEDPLATE_TEST_BINARY", programs.join("bedplate"));
            let count = counted(&format!("{package} {name}, {}", user.kind), &mut command)?;
            total.add(count);
        }
    }
    Ok(total)
}

/// A command as `user` with a fresh folder for its temporary files.
fn prepared(user: &Plain, program: &Path, scratch: &Path) -> Result<Command, Failure> {
    let home = user.ensure()?;
    let own = scratch.join(user.kind);
    if !own.exists() {
        std::fs::create_dir(&own).map_err(Failure::file("make", &own))?;
        give(&own, user)?;
    }
    let mut command = user.command(program, &home);
    command.env("TMPDIR", &own).current_dir(&own);
    Ok(command)
}

/// Runs a test command, lets its output through, and adds up the summaries in it.
///
/// A run that fails without telling of one failed test (it did not start, or it died) counts as one failure.
fn counted(what: &str, command: &mut Command) -> Result<Count, Failure> {
    eprintln!("==> {what}");
    let program = command.get_program().to_string_lossy().into_owned();
    // Both streams into one pipe, so that they keep their order and no reader waits for the other.
    let (reader, writer) = std::io::pipe().map_err(|source| Failure::Start { tool: program.clone(), source })?;
    let copy = writer.try_clone().map_err(|source| Failure::Start { tool: program.clone(), source })?;
    command.stdout(Stdio::from(writer)).stderr(Stdio::from(copy));
    let child = command.spawn();
    // The parent's ends of the pipe must close, or the reader never sees its end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.map_err(|source| Failure::Start { tool: program, source })?;
    let mut count = Count::default();
    for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        if !is_noise(&line) {
            eprintln!("{line}");
        }
        if let Some(found) = summary(&line) {
            count.add(found);
        }
    }
    let status = child.wait().map_err(|source| Failure::Start { tool: what.to_owned(), source })?;
    if !status.success() && count.failed == 0 {
        eprintln!("error: {what} ended with {status}");
        count.failed = 1;
    }
    Ok(count)
}

/// Lines that say only that something passed: a log of thousands hides the one that matters.
fn is_noise(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("PASS [") || (line.starts_with("test ") && line.ends_with(" ... ok")) || line.is_empty()
}

/// Reads a summary line of nextest or of libtest.
///
/// nextest repeats, indented, what a failed test printed: a libtest summary in there was counted already.
fn summary(line: &str) -> Option<Count> {
    let counts = if let Some(rest) = line.strip_prefix("test result: ") {
        rest.split_once(". ")?.1
    } else if line.trim_start().starts_with("Summary [") {
        line.split_once(" run: ")?.1
    } else {
        return None;
    };
    let mut count = Count::default();
    for part in counts.split([',', ';']) {
        let mut words = part.split_whitespace();
        let (Some(number), Some(word)) = (words.next(), words.next()) else { continue };
        let Ok(number) = number.parse::<u64>() else { continue };
        match word {
            "passed" => count.passed += number,
            "failed" | "timed" | "exec" => count.failed += number,
            "ignored" | "skipped" => count.ignored += number,
            _ => {}
        }
    }
    Some(count)
}

fn note_skip(skips: &Path, line: &str) -> Result<(), Failure> {
    let mut file = std::fs::OpenOptions::new().append(true).open(skips).map_err(Failure::file("open", skips))?;
    file.write_all(format!("{line}\n").as_bytes()).map_err(Failure::file("write", skips))
}

/// Prints every reason once with its count; gives the sum.
fn print_skips(skips: &Path) -> Result<u64, Failure> {
    let text = std::fs::read_to_string(skips).map_err(Failure::file("read", skips))?;
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        *reasons.entry(line).or_default() += 1;
    }
    for (reason, times) in &reasons {
        println!("skipped {times}x {reason}");
    }
    for reference in tools::missing() {
        println!("missing {} ({}): {}", reference.program, reference.package, reference.used_for);
    }
    Ok(reasons.values().sum())
}

/// One program that Cargo built.
#[derive(Debug, Clone)]
pub(crate) struct Artifact {
    pub(crate) package: String,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) test: bool,
    pub(crate) example: bool,
}

/// Runs a cargo command that builds and gives the programs it made.
pub(crate) fn build(what: &str, command: &mut Command) -> Result<Vec<Artifact>, Failure> {
    use cargo_metadata::Message;
    eprintln!("==> build {what}");
    command.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|source| Failure::Start { tool: program.clone(), source })?;
    let mut artifacts = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for message in Message::parse_stream(BufReader::new(stdout)).map_while(Result::ok) {
            let Message::CompilerArtifact(artifact) = message else { continue };
            let Some(path) = artifact.executable else { continue };
            let manifest = artifact.manifest_path.into_std_path_buf();
            artifacts.push(Artifact {
                package: package_name(&manifest),
                name: artifact.target.name.clone(),
                path: path.into_std_path_buf(),
                test: artifact.profile.test,
                example: artifact.target.is_example(),
            });
        }
    }
    let status = child.wait().map_err(|source| Failure::Start { tool: program, source })?;
    if status.success() { Ok(artifacts) } else { Err(Failure::Status { what: format!("build {what}"), status }) }
}

/// The package of a manifest of this workspace: `crates/<name>` is `bedplate-<name>`, but for the binary and xtask.
fn package_name(manifest: &Path) -> String {
    let folder = manifest.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    match folder.as_str() {
        "bedplate" | "xtask" => folder,
        other => format!("bedplate-{other}"),
    }
}

/// A folder under the temporary folder that goes away with its owner.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) path: PathBuf,
}

impl Scratch {
    pub(crate) fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("bedplate-xtask-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(Failure::file("make", &path))?;
        open_to_all(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What tests of other users leave may need root; a leftover under /tmp is no failure of the tests.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Lets other users read, and append to files: the plain users of the tests write their skips there.
fn open_to_all(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    let mode = if path.is_dir() { 0o755 } else { 0o666 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(Failure::file("open to all", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_read() {
        let count = |passed, failed, ignored| Some(Count { passed, failed, ignored });
        // line | count
        let table = [
            (
                "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.1s",
                count(5, 0, 1),
            ),
            ("test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out", count(4, 2, 0)),
            ("     Summary [   0.010s] 10 tests run: 9 passed, 1 failed, 2 skipped", count(9, 1, 2)),
            (
                "     Summary [   0.010s] 10 tests run: 8 passed (1 slow), 1 failed, 1 timed out, 0 skipped",
                count(8, 2, 0),
            ),
            ("     Summary [   0.010s] 3/10 tests run: 3 passed, 0 skipped", count(3, 0, 0)),
            ("    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 39 filtered out", None),
            ("running 3 tests", None),
            ("test x ... ok", None),
        ];
        for (line, expected) in table {
            assert_eq!(summary(line), expected, "{line}");
        }
    }

    #[test]
    fn a_run_that_dies_counts_as_a_failure() {
        let died = counted("dies", &mut tool("sh", ["-c", "kill -9 $$"])).expect("sh starts");
        assert_eq!(died, Count { failed: 1, ..Count::default() });
        let well = counted("well", &mut tool("sh", ["-c", "echo 'test result: ok. 2 passed; 0 failed'"]));
        assert_eq!(well.expect("sh starts"), Count { passed: 2, ..Count::default() });
    }

    #[test]
    fn packages_have_the_name_of_their_folder() {
        // manifest | package
        let table = [
            ("/x/crates/bedplate/Cargo.toml", "bedplate"),
            ("/x/crates/store/Cargo.toml", "bedplate-store"),
            ("/x/crates/xtask/Cargo.toml", "xtask"),
        ];
        for (manifest, package) in table {
            assert_eq!(package_name(Path::new(manifest)), package);
        }
    }
}

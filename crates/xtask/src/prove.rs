//! `cargo xtask prove --online`: every suite that is built in, bootstrapped from its real archive.
//!
//! What generated archives cannot show: whether the archives of the world are as we think. An archive that cannot be
//! reached is counted as that, and never as passed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{Failure, cargo, root, tool};

/// Where the data files of the distributions lie.
const DATA: &str = "crates/bootstrap/src/distribution";

/// Their names.
const DISTRIBUTIONS: [&str; 2] = ["debian", "ubuntu"];

/// How it ended with a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Passed,
    /// What was wrong.
    Failed(String),
    /// Nobody answered, or the archive that did has no such suite.
    Unreachable(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed(why) => write!(f, "FAILED: {why}"),
            Self::Unreachable(why) => write!(f, "unreachable: {why}"),
        }
    }
}

/// What is asked in an image, and what the answer must be.
const QUESTIONS: [(&str, Answer); 4] = [
    ("cat /etc/os-release", Answer::Identity),
    ("dpkg --audit", Answer::Nothing),
    ("dpkg -V", Answer::Nothing),
    ("apt-get -qq check", Answer::Nothing),
];

/// What an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The distribution says its name.
    Identity,
    Nothing,
}

impl Answer {
    fn is_given(self, said: &str, suite: &Suite) -> bool {
        match self {
            Self::Identity => said.lines().any(|line| line == format!("ID={}", suite.distribution)),
            Self::Nothing => said.is_empty(),
        }
    }
}

/// A flag of `bedplate bootstrap` that says where packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Way {
    /// Whose suites it is for; `None` for all.
    distribution: Option<&'static str>,
    flag: String,
    value: String,
}

impl Way {
    /// Reads a flag whose value may begin with a distribution's name, as in `ubuntu:URL` or `debian:security=URL`: one
    /// mirror seldom has the suites of both.
    fn parse(flag: &str, value: &str) -> Self {
        let parts = value.split_once(':').and_then(|(word, rest)| {
            let name = DISTRIBUTIONS.into_iter().find(|name| *name == word)?;
            Some((Some(name), rest))
        });
        let (distribution, value) = parts.unwrap_or((None, value));
        Self { distribution, flag: flag.to_owned(), value: value.to_owned() }
    }

    fn is_for(&self, suite: &Suite) -> bool {
        self.distribution.is_none_or(|name| name == suite.distribution)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Suite {
    distribution: String,
    codename: String,
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.distribution, self.codename)
    }
}

/// Proves, and prints a table.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let mut online = false;
    let mut wanted: Vec<&str> = Vec::new();
    let mut ways: Vec<Way> = Vec::new();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--online" => online = true,
            flag @ ("--mirror" | "--pockets" | "--check-valid-until") => {
                let value = words.next().ok_or_else(|| Failure::Usage { found: format!("{flag} without a value") })?;
                ways.push(Way::parse(flag, value));
            }
            other if other.starts_with('-') => return Err(Failure::Usage { found: other.to_owned() }),
            suite => wanted.push(suite),
        }
    }
    if !online {
        return Err(Failure::Usage { found: "prove without --online: it asks archives on the network".to_owned() });
    }
    let mut suites = suites()?;
    if let Some(unknown) = wanted.iter().find(|name| !suites.iter().any(|suite| suite.is_called(name))) {
        return Err(Failure::Usage { found: format!("{unknown}, which is no suite") });
    }
    suites.retain(|suite| wanted.is_empty() || wanted.iter().any(|name| suite.is_called(name)));
    let built = crate::test::build("the binary", cargo().args(["build", "--release", "--package", "bedplate"]))?;
    let Some(binary) = built.into_iter().find(|artifact| artifact.name == "bedplate") else {
        return Err(Failure::Findings { what: "the build gave no binary", findings: Vec::new() });
    };
    let prover = Prover { bedplate: binary.path, store: root().join("target/prove"), ways };
    let mut rows = Vec::new();
    for suite in &suites {
        let begun = Instant::now();
        let verdict = prover.prove(suite)?;
        eprintln!("{suite}: {verdict}");
        rows.push((suite, verdict, begun.elapsed()));
    }
    print(&rows);
    let failed = rows.iter().filter(|(_, verdict, _)| matches!(verdict, Verdict::Failed(_))).count();
    if failed > 0 { Err(Failure::Tests { failed: failed as u64 }) } else { Ok(()) }
}

fn print(rows: &[(&Suite, Verdict, Duration)]) {
    println!("| suite | seconds | result |\n|---|---|---|");
    for (suite, verdict, took) in rows {
        println!("| {suite} | {:.1} | {verdict} |", took.as_secs_f64());
    }
    let count = |is: fn(&Verdict) -> bool| rows.iter().filter(|(_, verdict, _)| is(verdict)).count();
    println!(
        "{} passed, {} failed, {} unreachable",
        count(|verdict| *verdict == Verdict::Passed),
        count(|verdict| matches!(verdict, Verdict::Failed(_))),
        count(|verdict| matches!(verdict, Verdict::Unreachable(_)))
    );
}

impl Suite {
    fn is_called(&self, name: &str) -> bool {
        self.codename == name || self.to_string() == name
    }
}

/// The suites of the data files, in their order.
fn suites() -> Result<Vec<Suite>, Failure> {
    let mut suites = Vec::new();
    for distribution in DISTRIBUTIONS {
        let path = root().join(DATA).join(format!("{distribution}.toml"));
        let text = std::fs::read_to_string(&path).map_err(Failure::file("read", &path))?;
        suites.extend(
            codenames(&text)
                .map(|codename| Suite { distribution: distribution.to_owned(), codename: codename.to_owned() }),
        );
    }
    Ok(suites)
}

fn codenames(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("codename = \"")?.strip_suffix('"'))
}

struct Prover {
    bedplate: PathBuf,
    /// A store of its own: indexes and packages stay in its caches for the next time.
    store: PathBuf,
    ways: Vec<Way>,
}

impl Prover {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = tool::<&Path>(&self.bedplate, []);
        command.arg("--root").arg(&self.store).args(words);
        command
    }

    /// Runs a command; gives whether it succeeded, its standard output and its standard error.
    fn ask(&self, mut command: Command) -> Result<(bool, String, String), Failure> {
        let out = command.output().map_err(|source| Failure::Start { tool: "bedplate".to_owned(), source })?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((out.status.success(), text(&out.stdout), text(&out.stderr)))
    }

    fn prove(&self, suite: &Suite) -> Result<Verdict, Failure> {
        let name = format!("prove-{}", suite.codename);
        let mut bootstrap = self.command(&["bootstrap", &suite.to_string(), "--progress", "plain", "-t", &name]);
        for way in self.ways.iter().filter(|way| way.is_for(suite)) {
            bootstrap.args([&way.flag, &way.value]);
        }
        let (good, _, said) = self.ask(bootstrap)?;
        if !good {
            return Ok(explain(&said));
        }
        let mut verdict = Verdict::Passed;
        for (command, answer) in QUESTIONS {
            let words = ["run", "--rm", "--network", "none", &name, "sh", "-c", &format!("{command} 2>&1")];
            let (good, said, wrong) = self.ask(self.command(&words))?;
            if !good || !answer.is_given(&said, suite) {
                let lines: Vec<&str> = said.lines().chain(wrong.lines()).take(3).collect();
                verdict = Verdict::Failed(format!("{command}: {}", lines.join("; ")));
                break;
            }
        }
        self.ask(self.command(&["rmi", &name]))?;
        Ok(verdict)
    }
}

/// Whether a bootstrap failed, or could not begin.
fn explain(said: &str) -> Verdict {
    let start = said.find("error: ").unwrap_or(0);
    let told: Vec<&str> = said[start..].lines().take(2).map(str::trim).collect();
    let told = told.join("; ");
    let is_unreachable = said.contains("error: cannot fetch ") || said.contains(" has no suite ");
    if is_unreachable { Verdict::Unreachable(told) } else { Verdict::Failed(told) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_is_known() {
        let names: Vec<String> = suites().unwrap().iter().map(Suite::to_string).collect();
        for expected in ["debian:jessie", "debian:sid", "ubuntu:trusty", "ubuntu:noble"] {
            assert!(names.iter().any(|name| name == expected), "{expected}: {names:?}");
        }
    }

    #[test]
    fn a_mirror_may_be_of_one_distribution() {
        let (debian, ubuntu) = ("debian", "ubuntu");
        // value | whose | what bootstrap gets
        for (value, distribution, expected) in [
            ("http://a/debian", None, "http://a/debian"),
            ("security=http://a/x", None, "security=http://a/x"),
            ("debian:http://a/debian", Some(debian), "http://a/debian"),
            ("debian:security=http://a/x", Some(debian), "security=http://a/x"),
            ("ubuntu:file:///srv/ubuntu", Some(ubuntu), "file:///srv/ubuntu"),
        ] {
            let way = Way::parse("--mirror", value);
            assert_eq!((way.distribution, way.value.as_str()), (distribution, expected), "{value}");
            let suite = |name: &str| Suite { distribution: name.to_owned(), codename: "x".to_owned() };
            let asked = [debian, ubuntu].map(|name| way.is_for(&suite(name)));
            assert_eq!(asked, [distribution != Some(ubuntu), distribution != Some(debian)], "{value}");
        }
    }

    #[test]
    fn an_archive_that_nobody_reaches_is_neither_passed_nor_failed() {
        let cases = [
            ("warning: x\nerror: cannot fetch the Release file of sid\n  cause: GET x: timeout\n", true),
            ("error: http://x has no suite \"jessie\": neither InRelease nor Release\n", true),
            ("error: cannot trust the Release file of sid at http://x\n  cause: not signed\n", false),
            ("error: the postinst script of x failed with status 1\n", false),
        ];
        for (said, unreachable) in cases {
            assert_eq!(matches!(explain(said), Verdict::Unreachable(_)), unreachable, "{said}");
        }
    }
}

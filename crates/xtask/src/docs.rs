//! `cargo xtask docs`: the pages that come from the one definition in the code.
//!
//! The tests demand that the pages in the repository are those that would be written.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;

use crate::process::{Failure, cargo, output, root, tool};

/// Columns of the help in the reference: as clap does for a terminal of this width.
const COLUMNS: &str = "100";

/// Commands below commands, at most: `bedplate system df`.
const MAX_DEPTH: usize = 3;

/// Writes the pages.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if let Some(found) = args.first() {
        return Err(Failure::Usage { found: found.clone() });
    }
    let built = crate::test::build("the binary", cargo().args(["build", "--release", "--package", "bedplate"]))?;
    let Some(binary) = built.iter().find(|artifact| artifact.name == "bedplate") else {
        return Err(Failure::Findings { what: "the build gave no binary", findings: Vec::new() });
    };
    for (path, text) in pages(&binary.path)? {
        let path = root().join(path);
        std::fs::write(&path, text).map_err(Failure::file("write", &path))?;
    }
    Ok(())
}

/// Demands that every page is fresh.
pub(crate) fn check(binary: &Path) -> Result<(), Failure> {
    let mut findings = Vec::new();
    for (path, text) in pages(binary)? {
        let found = std::fs::read_to_string(root().join(path)).unwrap_or_default();
        if found != text {
            findings.push(format!("{path} is not what `cargo xtask docs` writes"));
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(Failure::Findings { what: "pages are not fresh", findings }) }
}

fn pages(binary: &Path) -> Result<[(&'static str, String); 2], Failure> {
    Ok([("docs/templates.md", templates()), ("docs/reference.md", reference(binary)?)])
}

fn templates() -> String {
    let mut page = String::from(
        "# Templates of `--format`\n\nGo's `text/template` over the same JSON that `--format json` prints, as Docker's command line has it. \
         `table TEMPLATE` prints headers and aligned columns; `\\t` and `\\n` are escapes.\n\nSupported are fields (`.A.B`), \
         variables, pipelines, parentheses, comments, trim markers, `if` `else if` `else` `end`, `with`, `range` (with `else`, \
         `$index, $value`, `break`, `continue`, integers), all constants but complex numbers, and the functions below. Another \
         function, `define`, `block`, `template` and `call` are errors that name line and column; so is a field that is not there.\n\n\
         | function | arguments and meaning |\n|---|---|\n",
    );
    for (name, meaning) in bedplate_template::FUNCTIONS {
        let (arguments, meaning) = meaning.split_once(": ").unwrap_or(("", meaning));
        let _ = writeln!(page, "| `{name}` | `{arguments}`: {meaning} |");
    }
    page
}

fn reference(binary: &Path) -> Result<String, Failure> {
    let mut page = String::from(
        "# Command line\n\nWhat `--help` prints; written by `cargo xtask docs`. Exit status: 0 done, 1 what was asked for cannot be, 65 \
         malformed or unverified input, 69 the machine does not give what is needed, 70 a fault of bedplate, 125 a wrong command line. `run` passes \
         the container's own status through, 125 where no process could be started, 126 where the program cannot be executed, 127 where \
         it is not found, 128+n after signal n.\n",
    );
    describe(binary, &mut Vec::new(), &mut page)?;
    Ok(page)
}

fn describe(binary: &Path, words: &mut Vec<String>, page: &mut String) -> Result<(), Failure> {
    let mut command = tool(binary, words.iter());
    command.arg("--help").env("COLUMNS", COLUMNS).env_remove("BEDPLATE_ROOT").stderr(Stdio::null());
    let help = output("print the help", &mut command)?;
    let name = format!("bedplate {}", words.join(" "));
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(page, "\n## {}\n\n```text\n{}\n```\n", name.trim_end(), help.join("\n").trim_end());
    if words.len() < MAX_DEPTH {
        for sub in subcommands(&help) {
            words.push(sub);
            describe(binary, words, page)?;
            words.pop();
        }
    }
    Ok(())
}

/// The names under "Commands:" of a help text, without `help` itself.
fn subcommands(help: &[&str]) -> Vec<String> {
    let listed = help.iter().skip_while(|line| **line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Names stand two blanks in; what is further in goes on with a description.
    let name = |line: &&str| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')).map(str::to_owned);
    let words = listed.filter_map(name).filter_map(|line| line.split_whitespace().next().map(str::to_owned));
    words.filter(|word| word != "help").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_in_a_help_text() {
        let help = [
            "Usage: x",
            "",
            "Commands:",
            "  import  Make an image",
            "          of anything",
            "  help    Print",
            "",
            "  not",
        ];
        assert_eq!(subcommands(&help), ["import"]);
    }

    #[test]
    fn every_function_is_in_the_table() {
        let page = templates();
        assert!(page.contains("| `index` | `X KEY...`: "), "{page}");
        assert_eq!(page.lines().filter(|line| line.starts_with("| `")).count(), bedplate_template::FUNCTIONS.len());
    }
}

//! `bedplate completion` and `bedplate manual`: what is made from the definition of the command line.

use std::io::Write as _;
use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::context::Context;
use crate::failure::Failure;
use crate::format;

/// Arguments of `completion`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bedplate completion bash > /etc/bash_completion.d/bedplate
  bedplate completion zsh > \"${fpath[1]}/_bedplate\"
  bedplate completion fish > ~/.config/fish/completions/bedplate.fish")]
pub(crate) struct Args {
    /// The shell
    #[arg(value_name = "bash|zsh|fish", hide_possible_values = true)]
    shell: Choice,
}

/// The shells that there is a script for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Choice {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script.
pub(crate) fn run(args: Args, _: &Context) -> Result<u8, Failure> {
    let shell = match args.shell {
        Choice::Bash => Shell::Bash,
        Choice::Zsh => Shell::Zsh,
        Choice::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bedplate", &mut script);
    format::print(&String::from_utf8_lossy(&script))?;
    Ok(0)
}

/// Arguments of `manual`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManualArgs {
    /// The directory, such as share/man/man1
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Writes a page for the program and one for each command, and prints their paths.
pub(crate) fn write_manual(args: ManualArgs, _: &Context) -> Result<u8, Failure> {
    let mut program = Cli::command();
    program.build();
    let mut written = String::new();
    let mut pages = vec![("bedplate".to_owned(), program)];
    while let Some((name, command)) = pages.pop() {
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
            pages.push((format!("{name}-{}", inner.get_name()), inner.clone()));
        }
        let path = args.directory.join(format!("{name}.1"));
        let unwritable = |error: std::io::Error| Failure::from(error).context(format!("cannot write {path:?}"));
        let mut page = Vec::new();
        clap_mangen::Man::new(command.name(name.clone())).render(&mut page)?;
        std::fs::File::create(&path).and_then(|mut file| file.write_all(&page)).map_err(unwritable)?;
        written.push_str(&format!("{}\n", path.display()));
    }
    format::print(&written)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn each_shell_gets_a_script_that_knows_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "bedplate", &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("import") && script.contains("keep-root-mode"), "{shell}");
        }
    }
}

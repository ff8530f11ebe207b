//! Whether an image can run what it says it runs.

use bedplate_oci::{ImageConfig, Platform};
use bedplate_tree::{EntryKind, Tree, TreePath};
use thiserror::Error;

use crate::config_edit::DEFAULT_PATH;
use crate::contents::Contents;
use crate::elf::{Program, sniff};

/// How many `#!` lines are followed: as Linux.
const MAX_SCRIPTS: usize = 5;

/// Why an image will not run its command. What a volume or the user brings at run time may mend it: a warning, no error.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandProblem {
    /// Nothing is there.
    #[error("{command:?} is not in the image")]
    NotFound {
        /// The command's first word.
        command: String,
    },
    /// A directory, a device, a file without an execute bit.
    #[error("{path} cannot be executed: {reason}")]
    NotExecutable {
        /// The file.
        path: TreePath,
        /// Why.
        reason: &'static str,
    },
    /// A program of another operating system.
    #[error("{path} is a program of {system}, not of Linux")]
    OtherSystem {
        /// The file.
        path: TreePath,
        /// The system.
        system: &'static str,
    },
    /// A program of another architecture.
    #[error("{path} is a program for {found}, the image is for {image}")]
    OtherPlatform {
        /// The file.
        path: TreePath,
        /// What the program is for.
        found: Box<Platform>,
        /// What the image says.
        image: Box<Platform>,
    },
    /// The loader of a dynamic program or the interpreter of a script is missing.
    #[error("{path} needs {interpreter:?}, which is not in the image")]
    MissingInterpreter {
        /// The file.
        path: TreePath,
        /// What it needs.
        interpreter: String,
    },
}

/// Looks whether the first word of ENTRYPOINT, or of CMD without one, is a program that an image with this root and
/// this config can run. `None` where it is, where the image has no command, and where nobody can tell.
#[must_use]
pub fn check_command(tree: &Tree, contents: &dyn Contents, config: &ImageConfig) -> Option<CommandProblem> {
    let container = &config.config;
    let words = [&container.entrypoint, &container.cmd].into_iter().flatten().find(|words| !words.is_empty())?;
    let command = words.first()?;
    let Some(mut path) = find(tree, command, container.env_var("PATH"), &container.working_dir) else {
        return Some(CommandProblem::NotFound { command: command.clone() });
    };
    for _ in 0..MAX_SCRIPTS {
        let entry = tree.entry(&path)?;
        let refused = |reason| Some(CommandProblem::NotExecutable { path: path.clone(), reason });
        let content = match &entry.kind {
            EntryKind::File(content) => content,
            EntryKind::Directory => return refused("it is a directory"),
            _ => return refused("it is no regular file"),
        };
        if entry.metadata.mode & 0o111 == 0 {
            return refused("it has no execute bit");
        }
        // What cannot be read is not judged.
        let interpreter = match sniff(content, contents).ok()? {
            Program::MachO => return Some(CommandProblem::OtherSystem { path, system: "macOS (Mach-O)" }),
            Program::Pe => return Some(CommandProblem::OtherSystem { path, system: "Windows (PE)" }),
            Program::Other => return None,
            Program::Script { interpreter, .. } => interpreter,
            Program::Elf(elf) => {
                if let Some(found) = elf.platform()
                    && !runs_on(&found, &config.platform)
                {
                    return Some(CommandProblem::OtherPlatform {
                        path,
                        found: Box::new(found),
                        image: Box::new(config.platform.clone()),
                    });
                }
                let interpreter = elf.interpreter?;
                let is_there = resolve(tree, &interpreter).is_some();
                return (!is_there).then(|| missing(path, &interpreter));
            }
        };
        match resolve(tree, &interpreter) {
            Some(next) => path = next,
            None => return Some(missing(path, &interpreter)),
        }
    }
    None
}

fn missing(path: TreePath, interpreter: &[u8]) -> CommandProblem {
    CommandProblem::MissingInterpreter { path, interpreter: String::from_utf8_lossy(interpreter).into_owned() }
}

/// Whether a program for `found` runs where `image` does: variants of one architecture are left to the kernel, and 64-bit
/// x86 runs 32-bit programs.
fn runs_on(found: &Platform, image: &Platform) -> bool {
    let (found, image) = (found.normalized(), image.normalized());
    found.os == image.os
        && (found.architecture == image.architecture
            || (found.architecture == "386" && image.architecture == "amd64")
            || (found.architecture == "arm" && image.architecture == "arm64"))
}

fn find(tree: &Tree, command: &str, path: Option<&str>, working_dir: &str) -> Option<TreePath> {
    if command.contains('/') {
        let whole = if command.starts_with('/') { command.to_owned() } else { format!("{working_dir}/{command}") };
        return resolve(tree, whole.as_bytes());
    }
    let directories = path.unwrap_or(DEFAULT_PATH).split(':').filter(|directory| !directory.is_empty());
    directories
        .filter_map(|directory| resolve(tree, format!("{directory}/{command}").as_bytes()))
        .find(|path| tree.entry(path).is_some_and(|entry| !entry.is_directory() && entry.metadata.mode & 0o111 != 0))
}

/// Where a path of a process leads, if something is there.
fn resolve(tree: &Tree, path: &[u8]) -> Option<TreePath> {
    // A `..` is taken by the letter; a link before it is rare in a command.
    let path = crate::config_edit::join_workdir("/", std::str::from_utf8(path).ok()?);
    let path = TreePath::parse(path.as_bytes()).ok()?;
    let (path, id) = tree.resolve(&path, true).ok()?;
    id.map(|_| path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Command, ConfigChange, ConfigEditor, ContentSources};
    use bedplate_tree::{Content, Entry, Metadata};

    /// The head of a program for a machine, with a loader if one is given.
    fn elf(machine: u8, interpreter: &str) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\x00");
        (bytes[18], bytes[32], bytes[54], bytes[56]) = (machine, 64, 56, 1);
        if !interpreter.is_empty() {
            (bytes[64], bytes[72], bytes[96]) = (3, 120, interpreter.len() as u8 + 1);
            bytes.extend(interpreter.as_bytes());
            bytes.push(0);
        }
        bytes
    }

    #[test]
    fn commands_are_judged() {
        let mut tree = Tree::new();
        let mut put = |name: &str, bytes: &[u8], mode| {
            let entry = Entry::file(Content::from_bytes(bytes), Metadata { mode, ..Metadata::default() });
            tree.put(&TreePath::parse(name.as_bytes()).unwrap(), entry).unwrap();
        };
        put("hello", &elf(62, ""), 0o755);
        put("usr/bin/dynamic", &elf(62, "/lib64/ld.so"), 0o755);
        put("app/linked", &elf(62, "/lib/ld.so"), 0o755);
        put("lib/ld.so", &elf(62, ""), 0o755);
        put("arm", &elf(183, ""), 0o755);
        put("32bit", &elf(62, ""), 0o644);
        put("mac", &[0xcf, 0xfa, 0xed, 0xfe], 0o755);
        put("script", b"#!/hello x\n", 0o755);
        put("orphan", b"#!/usr/bin/python3\n", 0o755);
        put("twice", b"#!/orphan\n", 0o755);
        put("loop", b"#!/loop\n", 0o755);
        put("data", b"?", 0o755);
        let cases = [
            ("/hello", ""),
            ("hello", "\"hello\" is not in the image"),
            ("dynamic", "/usr/bin/dynamic needs \"/lib64/ld.so\", which is not in the image"),
            ("./linked", ""),
            ("../app/linked", ""),
            ("/arm", "/arm is a program for linux/arm64, the image is for linux/amd64"),
            ("/32bit", "/32bit cannot be executed: it has no execute bit"),
            ("/app", "/app cannot be executed: it is a directory"),
            ("/mac", "/mac is a program of macOS (Mach-O), not of Linux"),
            ("/script", ""),
            ("/orphan", "/orphan needs \"/usr/bin/python3\", which is not in the image"),
            ("/twice", "/orphan needs \"/usr/bin/python3\", which is not in the image"),
            ("/loop", ""),
            ("/data", ""),
        ];
        for (command, expected) in cases {
            let mut editor = ConfigEditor::new(ImageConfig::new(Platform::new("linux", "amd64")));
            editor.apply(ConfigChange::Workdir("/app".into()));
            editor.apply(ConfigChange::Cmd(Command::Exec(vec![command.into()])));
            let found = check_command(&tree, &ContentSources::new(), &editor.finish());
            assert_eq!(found.map(|problem| problem.to_string()).unwrap_or_default(), expected, "{command}");
        }
        // The shell form without a shell.
        let mut editor = ConfigEditor::new(ImageConfig::new(Platform::new("linux", "amd64")));
        editor.apply(ConfigChange::Cmd(Command::Shell("hello".into())));
        let found = check_command(&tree, &ContentSources::new(), editor.config());
        assert_eq!(found, Some(CommandProblem::NotFound { command: "/bin/sh".into() }));
    }
}

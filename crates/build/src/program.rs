//! Whether what CMD and ENTRYPOINT name can run in the image.

use bedplate_image::ContentSources;
use bedplate_image::elf::{self, Program};
use bedplate_oci::ImageConfig;
use bedplate_tree::{InodeId, Tree, TreePath};

/// How many interpreters of interpreters are followed; the kernel follows four.
const MAX_INTERPRETERS: usize = 4;

/// Finds out why the image's command cannot run; `None` where nothing tells. The first text is the command.
///
/// A program that is not in the image may come from a volume, and is no fault; an interpreter that is not there is one.
pub(crate) fn fault(config: &ImageConfig, tree: &Tree, contents: &ContentSources<'_>) -> Option<(String, String)> {
    let container = &config.config;
    let entrypoint = container.entrypoint.as_ref().filter(|words| !words.is_empty());
    let words = entrypoint.or(container.cmd.as_ref())?;
    let name = words.first()?;
    let command = format!("{name:?}");
    let (_, found) = find(tree, name, container.env_var("PATH"), &container.working_dir)?;
    let Some(id) = found else {
        // Nobody mounts a shell into an image: a shell form without a shell is a mistake.
        let shell = bedplate_image::config_edit::shell_of(container);
        let is_shell = words.len() > shell.len() && words.starts_with(&shell);
        return is_shell.then(|| {
            (command, format!("the image has no such shell; write the words as a list, [\"program\", \"argument\"]"))
        });
    };
    let mut id = id;
    let mut what = "it".to_owned();
    for _ in 0..=MAX_INTERPRETERS {
        let content = tree.inode(id).entry.content()?;
        let fault = match elf::sniff(content, contents).ok()? {
            Program::MachO => format!("{what} is a program of macOS (Mach-O)"),
            Program::Pe => format!("{what} is a program of Windows (PE)"),
            Program::Other => return None,
            Program::Elf(elf) => match elf.platform() {
                Some(platform) if !runs_on(&platform.architecture, &config.platform.architecture) => {
                    format!("{what} is made for {platform}, the image is for {}", config.platform)
                }
                _ => match elf.interpreter {
                    Some(interpreter) if !exists(tree, &interpreter) => {
                        format!("{what} needs the loader {:?}, which the image lacks", lossy(&interpreter))
                    }
                    _ => return None,
                },
            },
            Program::Script { interpreter, .. } => {
                let name = lossy(&interpreter);
                match TreePath::parse(&interpreter).ok().and_then(|path| tree.resolve(&path, true).ok()?.1) {
                    Some(next) => {
                        id = next;
                        what = format!("its interpreter {name:?}");
                        continue;
                    }
                    None => format!("{what} needs the interpreter {name:?}, which the image lacks"),
                }
            }
        };
        return Some((command, fault));
    }
    None
}

/// Says whether a processor of the second kind runs programs of the first.
fn runs_on(program: &str, machine: &str) -> bool {
    program == machine || matches!((program, machine), ("386", "amd64") | ("arm", "arm64"))
}

/// Where a command's name leads: a path, or the first in PATH. `None` where the name can be no path.
fn find(tree: &Tree, name: &str, path: Option<&str>, cwd: &str) -> Option<(TreePath, Option<InodeId>)> {
    let look = |text: &str| -> Option<(TreePath, Option<InodeId>)> {
        let place = TreePath::parse(text.as_bytes()).ok()?;
        match tree.resolve(&place, true) {
            Ok((at, id)) => Some((at, id)),
            Err(_) => Some((place, None)),
        }
    };
    if name.contains('/') {
        return look(&bedplate_image::config_edit::join_workdir(cwd, name));
    }
    let mut last = None;
    for directory in path.unwrap_or_default().split(':').filter(|directory| !directory.is_empty()) {
        last = look(&format!("{directory}/{name}"));
        if last.as_ref().is_some_and(|(_, id)| id.is_some()) {
            return last;
        }
    }
    last
}

fn exists(tree: &Tree, path: &[u8]) -> bool {
    let resolved = TreePath::parse(path).ok().and_then(|path| tree.resolve(&path, true).ok());
    resolved.is_some_and(|(_, id)| id.is_some())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use bedplate_oci::Platform;
    use bedplate_tree::{Content, Entry, Metadata};

    use super::*;

    #[test]
    fn faults_are_found() {
        // files | entry point | command | words of the fault
        type Case<'a> = (&'a [(&'a str, &'a [u8])], Option<&'a [&'a str]>, &'a [&'a str], Option<&'a str>);
        const MACH_O: &[u8] = b"\xcf\xfa\xed\xfe\x07\x00\x00\x01\x03\x00\x00\x00\x02\x00\x00\x00";
        let table: [Case<'_>; 9] = [
            (&[("x", MACH_O)], None, &["/x"], Some("macOS")),
            (&[("x", MACH_O)], Some(&["/x"]), &["/y"], Some("macOS")),
            (&[("bin/x", MACH_O)], None, &["x"], Some("macOS")),
            (&[("x", b"#!/bin/sh\n")], None, &["/x"], Some("interpreter \"/bin/sh\"")),
            (&[("x", b"#!/y\n"), ("y", MACH_O)], None, &["/x"], Some("its interpreter \"/y\" is a program of macOS")),
            (&[("x", b"#!/x\n")], None, &["/x"], None),
            (&[], None, &["/nothing"], None),
            (&[], None, &["/bin/sh", "-c", "x"], Some("no such shell")),
            (&[("x", b"text")], None, &["/x"], None),
        ];
        for (files, entrypoint, cmd, expected) in table {
            let mut tree = Tree::new();
            for (path, bytes) in files {
                let entry = Entry::file(Content::from_bytes(*bytes), Metadata::default());
                tree.put(&TreePath::parse(path.as_bytes()).unwrap(), entry).unwrap();
            }
            let mut config = ImageConfig::new(Platform::new("linux", "amd64"));
            let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
            config.config.env = vec!["PATH=/sbin:/bin".to_owned()];
            config.config.entrypoint = entrypoint.map(words);
            config.config.cmd = Some(words(cmd));
            let found = fault(&config, &tree, &ContentSources::new()).map(|(_, reason)| reason);
            match expected {
                None => assert_eq!(found, None, "{cmd:?}"),
                Some(part) => assert!(found.as_ref().is_some_and(|text| text.contains(part)), "{cmd:?}: {found:?}"),
            }
        }
    }
}

//! The plain users that the tests run as: one with a range of subordinate ids, one without.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Failure, output, step, tool, which};

/// A plain user made for tests.
#[derive(Debug, Clone)]
pub(crate) struct Plain {
    /// Its login name.
    pub(crate) name: &'static str,
    /// The word in `BEDPLATE_TEST_USER`.
    pub(crate) kind: &'static str,
    /// Whether `/etc/subuid` gives it a range.
    range: bool,
}

/// Both users.
pub(crate) const PLAIN: [Plain; 2] = [
    Plain { name: "bedplate-subuid", kind: "subuid", range: true },
    Plain { name: "bedplate-one-uid", kind: "one-uid", range: false },
];

impl Plain {
    /// Makes the account where it is missing, with or without its range; gives its home.
    pub(crate) fn ensure(&self) -> Result<PathBuf, Failure> {
        if self.passwd()?.is_none() {
            let mut command = tool("useradd", ["--create-home", "--shell", "/bin/sh"]);
            if !self.range {
                command.args(["-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0"]);
            }
            step(&format!("useradd {}", self.name), command.arg(self.name))?;
        }
        for file in ["/etc/subuid", "/etc/subgid"] {
            let path = Path::new(file);
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let has = text.lines().any(|line| line.split(':').next() == Some(self.name));
            if has == self.range {
                continue;
            }
            let changed = if self.range { with_range(&text, self.name) } else { without(&text, self.name) };
            std::fs::write(path, changed).map_err(Failure::file("write", path))?;
        }
        let line = self.passwd()?.unwrap_or_default();
        let field = |at: usize| line.split(':').nth(at).unwrap_or_default();
        let home = PathBuf::from(field(5));
        // A home that was there already may be that of an account with the same name and another number.
        std::os::unix::fs::chown(&home, field(2).parse().ok(), field(3).parse().ok())
            .map_err(Failure::file("give its owner", &home))?;
        Ok(home)
    }

    fn passwd(&self) -> Result<Option<String>, Failure> {
        let path = Path::new("/etc/passwd");
        let text = std::fs::read_to_string(path).map_err(Failure::file("read", path))?;
        Ok(text.lines().find(|line| line.split(':').next() == Some(self.name)).map(str::to_owned))
    }

    /// A command that runs `program` as this user: own groups, an environment of its own, no controlling terminal.
    pub(crate) fn command(&self, program: &Path, home: &Path) -> Command {
        let setpriv = which("setpriv").unwrap_or_else(|| "setpriv".into());
        let mut command = tool(setpriv, ["--reuid", self.name, "--regid", self.name, "--init-groups", "--"]);
        command.arg(program).env_clear().current_dir(home);
        command.env("HOME", home).env("USER", self.name).env("LOGNAME", self.name).env("LANG", "C.UTF-8");
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command
    }
}

/// Adds a range of 65536 ids above every range that is there.
fn with_range(text: &str, name: &str) -> String {
    let end = |line: &str| -> Option<u64> {
        let mut fields = line.split(':').skip(1);
        Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.trim().parse::<u64>().ok()?)
    };
    let start = text.lines().filter_map(end).max().unwrap_or(0).max(100_000);
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{gap}{name}:{start}:65536\n")
}

fn without(text: &str, name: &str) -> String {
    text.lines().filter(|line| line.split(':').next() != Some(name)).map(|line| format!("{line}\n")).collect()
}

/// Gives `path` and all below it to `user`.
pub(crate) fn give(path: &Path, user: &Plain) -> Result<(), Failure> {
    let owner = format!("{0}:{0}", user.name);
    output("give a folder to the user", tool("chown", ["-R", &owner]).arg(path)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_do_not_overlap() {
        assert_eq!(with_range("", "a"), "a:100000:65536\n");
        assert_eq!(with_range("b:100000:65536", "a"), "b:100000:65536\na:165536:65536\n");
        assert_eq!(with_range("odd line\n", "a"), "odd line\na:100000:65536\n");
        assert_eq!(without("a:1:1\nab:2:2\n", "a"), "ab:2:2\n");
    }
}

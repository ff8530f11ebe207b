//! A shell in the tree of a step that failed.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bedplate_run::{Mount, Network, OnSignal, Root, RuntimeConfig, Streams, run};
use bedplate_store::SnapshotOptions;

use crate::failed::FailedStep;
use crate::runtime::{HOSTNAME, HOSTS, Runtime, RuntimeError};

/// Where the toolbox is seen: no image has this.
pub const TOOLBOX: &str = "/.bedplate";

/// How to look into a step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Visit<'a> {
    /// Whether to see the tree as it was before the command.
    pub before: bool,
    /// A command for the shell; without one it is interactive.
    pub command: Option<&'a str>,
    /// Whether the shell gets a terminal.
    pub terminal: bool,
    /// A directory with a static busybox, which is the shell then.
    pub toolbox: Option<&'a Path>,
}

impl Runtime<'_> {
    /// Opens a shell with the environment, the user and the directory of the command; gives its status. What it changes is
    /// forgotten, but where the machine has no overlays.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn visit(&self, step: &FailedStep, visit: &Visit<'_>) -> Result<u8, RuntimeError> {
        let privilege = self.privilege()?;
        let (tree, _kept) = step.tree(self.lease()).map_err(RuntimeError::Failed)?;
        let options = SnapshotOptions { stacked: false, ..SnapshotOptions::of(privilege) };
        let snapshot;
        let root = if step.copied && !visit.before {
            Root::Directory { path: tree }
        } else {
            let via = self.via(privilege)?.ok_or(RuntimeError::NoOverlay)?;
            snapshot = self.lease().store().snapshot(&step.layers, &options).map_err(RuntimeError::Snapshot)?;
            let mut lowers: Vec<PathBuf> = snapshot.lowers().to_vec();
            if !visit.before {
                lowers.insert(0, tree);
            }
            let (upper, work) = (self.directory()?, self.directory()?);
            if let Some(below) = lowers.first() {
                same_owner(below, &upper)?;
            }
            Root::Overlay { lowers, upper, work, via }
        };
        let config = self.shell(step, visit);
        let streams = Streams { input: true, capture: None, signals: OnSignal::HandOn };
        let outcome = run(&root, &config, privilege, streams).map_err(RuntimeError::Run)?;
        Ok(outcome.status.code())
    }

    fn shell(&self, step: &FailedStep, visit: &Visit<'_>) -> RuntimeConfig {
        let mut args: Vec<String> = match visit.toolbox {
            Some(_) => vec![format!("{TOOLBOX}/busybox"), "sh".to_owned(), "-c".to_owned()],
            None => step.shell.clone(),
        };
        match visit.command {
            Some(command) => args.push(command.to_owned()),
            // Of `/bin/sh -c` the shell without its flag is interactive.
            None => drop(args.pop_if(|last| last == "-c")),
        }
        let mut env = step.env.clone();
        if visit.terminal && !env.iter().any(|line| line.starts_with("TERM=")) {
            env.push("TERM=xterm".to_owned());
        }
        let mut mounts = Vec::new();
        if let Some(toolbox) = visit.toolbox {
            let (source, target) = (toolbox.to_owned(), TOOLBOX.to_owned());
            mounts.push(Mount::Bind { source, target, read_only: true, recursive: false });
            match env.iter_mut().rev().find(|line| line.starts_with("PATH=")) {
                Some(path) => path.push_str(&format!(":{TOOLBOX}")),
                None => env.push(format!("PATH={TOOLBOX}")),
            }
        }
        RuntimeConfig {
            args,
            env,
            cwd: if step.workdir.is_empty() { "/".to_owned() } else { step.workdir.clone() },
            user: step.user.clone(),
            hostname: HOSTNAME.to_owned(),
            terminal: visit.terminal,
            network: if step.network { Network::Host } else { Network::None },
            mounts,
            hosts: Some(HOSTS.to_owned()),
            hostname_file: Some(format!("{HOSTNAME}\n")),
            resolv_conf: Some(self.resolv_conf().filter(|_| step.network).unwrap_or_default()),
            ..RuntimeConfig::default()
        }
    }
}

/// The root of an overlay is that of its upper side: it gets owner and mode of what lies below.
fn same_owner(below: &Path, upper: &Path) -> Result<(), RuntimeError> {
    let failed = |source| RuntimeError::Make { path: upper.to_owned(), source };
    let metadata = fs::metadata(below).map_err(failed)?;
    // With one ID only it stays as it is.
    let _ = std::os::unix::fs::chown(upper, Some(metadata.uid()), Some(metadata.gid()));
    fs::set_permissions(upper, fs::Permissions::from_mode(metadata.mode() & 0o7777)).map_err(failed)
}

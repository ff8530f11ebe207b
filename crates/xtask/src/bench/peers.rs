//! What the peers need beside the testkit's docker and podman.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::measure::bench;
use crate::process::{Failure, output, tool, which};

/// podman in a plain user's own store; the root's one is the testkit's.
#[derive(Debug, Clone)]
pub(crate) struct UserPodman {
    program: PathBuf,
    own: PathBuf,
}

impl UserPodman {
    /// Uses it where it is installed; `own` is a folder of the user that may be filled.
    pub(crate) fn new(own: PathBuf) -> Option<Self> {
        which("podman").map(|program| Self { program, own })
    }

    /// podman with its store. runc, because Debian 12's crun refuses hybrid cgroups.
    pub(crate) fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = tool(&self.program, ["--runtime", "runc", "--cgroup-manager", "cgroupfs"]);
        command.args(["--events-backend", "none"]).arg("--root").arg(self.own.join("root"));
        command.arg("--runroot").arg(self.own.join("run")).arg("--tmpdir").arg(self.own.join("tmp")).args(args);
        command
    }
}

/// Makes an OCI bundle of `rootfs` that runs `/hello` without a terminal: the runtime's own default, else unchanged.
pub(crate) fn bundle(runtime: &str, folder: &Path, rootfs: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(Failure::file("make", folder))?;
    output("write a bundle", tool(runtime, ["spec"]).current_dir(folder))?;
    let file = folder.join("config.json");
    let text = std::fs::read_to_string(&file).map_err(Failure::file("read", &file))?;
    let mut config: serde_json::Value =
        serde_json::from_str(&text).map_err(|source| bench(runtime, &source.to_string()))?;
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = vec!["/hello"].into();
    config["root"]["path"] = rootfs.to_string_lossy().into_owned().into();
    std::fs::write(&file, config.to_string()).map_err(Failure::file("write", &file))
}

//! The builders of today as references: BuildKit and buildah, in a Debian 13 root made for them.
//!
//! Debian 12 has neither a BuildKit nor a buildah that knows heredocs. The root is made once and kept outside of the
//! checkout; what runs in it has mounts and processes of its own, and all of that ends with one process.

use crate::oracle;
use crate::sandbox::remove_tree;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the builders may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the root's programs are.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What the root holds beside apt's own set.
const PACKAGES: &str = "docker.io,docker-cli,docker-buildx,buildah,netavark,runc,xz-utils,ca-certificates";

/// Where roots are kept: this, else below `XDG_CACHE_HOME`, else below `~/.cache`.
const FOLDER: &str = "BEDPLATE_ORACLES";

/// A builder to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    /// The one in dockerd.
    BuildKit,
    /// With a layer for each step.
    Buildah,
}

impl Builder {
    /// All of them.
    pub const ALL: [Builder; 2] = [Builder::BuildKit, Builder::Buildah];

    /// The name as files have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Builder::BuildKit => "buildkit",
            Builder::Buildah => "buildah",
        }
    }

    /// Builds all that lies in `cases/` of a folder.
    fn script(self) -> &'static str {
        match self {
            Builder::BuildKit => include_str!("builders/buildkit.sh"),
            Builder::Buildah => include_str!("builders/buildah.sh"),
        }
    }

    /// The packages whose versions are the builder's.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Builder::BuildKit => &["docker.io", "docker-buildx"],
            Builder::Buildah => &["buildah"],
        }
    }
}

/// A root with the builders.
#[derive(Debug)]
pub struct Builders {
    root: PathBuf,
}

impl Builders {
    /// The root that is kept, or a new one from `mirror` (half a minute); says why there is none.
    ///
    /// # Errors
    /// The reason for a skip.
    pub fn open(mirror: Option<&str>) -> Result<Builders, String> {
        if !crate::privilege::is_root() {
            return Err("the builders' root needs root".into());
        }
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let folder = variable(FOLDER)
            .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("bedplate-oracles")))
            .or_else(|| Some(variable("HOME")?.join(".cache/bedplate-oracles")))
            .ok_or("no folder to keep the builders' root in")?;
        let root = folder.join(format!("trixie-{}", PACKAGES.replace([',', '.'], "-")));
        if root.is_dir() {
            return Ok(Builders { root });
        }
        let mirror = mirror.ok_or("this machine's packages are not Debian's")?;
        oracle::find("mmdebstrap").ok_or("mmdebstrap is not installed")?;
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let scratch = tempfile::tempdir_in(&folder).map_err(|error| error.to_string())?;
        let made = scratch.path().join("root");
        let made_it = oracle::output(
            oracle::command("mmdebstrap")
                .args(["--mode=root", "--variant=apt", "--quiet", &format!("--include={PACKAGES}"), "trixie"])
                .arg(&made)
                .arg(format!("deb {mirror} trixie main")),
        );
        if !made_it.status.success() {
            remove_tree(scratch.path());
            let said = String::from_utf8_lossy(&made_it.stderr);
            return Err(format!("mmdebstrap: {}", said.lines().last().unwrap_or("failed without a word")));
        }
        // Whoever comes second keeps the first one's.
        if std::fs::rename(&made, &root).is_err() {
            remove_tree(scratch.path());
        }
        if root.is_dir() { Ok(Builders { root }) } else { Err(format!("cannot keep {}", root.display())) }
    }

    /// The builder's name and the versions of its packages.
    ///
    /// # Panics
    /// If dpkg does not know them.
    #[must_use]
    pub fn versions(&self, builder: Builder) -> String {
        let mut query = oracle::command("chroot");
        query.arg(&self.root).args(["dpkg-query", "-W", "-f=${Package} ${Version}\\n"]).args(builder.packages());
        oracle::expect(&mut query).lines().collect::<Vec<_>>().join(", ")
    }

    /// The archive of a case that was built; of one that was not, says why (seen with `--nocapture`).
    ///
    /// # Panics
    /// If the case was not among those to be built.
    #[must_use]
    pub fn outcome(work: &Path, name: &str) -> Option<PathBuf> {
        let out = work.join("out").join(name);
        let status = std::fs::read_to_string(out.join("status")).expect("a case that was built");
        if status.trim() == "0" {
            return Some(out.join("image.tar"));
        }
        let log = std::fs::read_to_string(out.join("log")).unwrap_or_default();
        let last = log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        eprintln!("{name} ends with {}: {last}", status.trim());
        None
    }

    /// Builds `cases/NAME/context` (flags, a line each, in `cases/NAME/flags`) of a folder, all on the image
    /// `base.tar`; leaves `out/NAME/{status,log}` and, of those that succeeded, `out/NAME/image.tar`.
    ///
    /// # Panics
    /// If the builder does not start.
    pub fn build(&self, builder: Builder, work: &Path) {
        oracle::expect(&mut self.inside(work, builder.script()));
    }

    /// A script that runs in the root, with `work` as its `/mnt`.
    fn inside(&self, work: &Path, script: &str) -> Command {
        let files = [
            ("enter.sh", include_str!("builders/enter.sh")),
            ("dockerd.sh", include_str!("builders/dockerd.sh")),
            ("script.sh", script),
        ];
        for (name, text) in files {
            std::fs::write(work.join(name), text).expect("own folder");
        }
        // No network, and process 1 of the namespace takes all others with it.
        let mut command = oracle::command("unshare");
        command.args(["--mount", "--pid", "--net", "--fork", "--kill-child", "sh"]).arg(work.join("enter.sh"));
        command.arg(&self.root).arg(work).arg("script.sh");
        command.env("PATH", PATH).env("HOME", "/root");
        command
    }

    /// Makes both ready for commands, which find `work` at `/mnt`.
    ///
    /// # Errors
    /// The reason why they do not start.
    pub fn serve(&self, work: &Path) -> Result<Serving, String> {
        let ready = work.join("ready");
        let _ = std::fs::remove_file(&ready);
        let mut command = self.inside(work, include_str!("builders/serve.sh"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut outer = command.spawn().map_err(|error| format!("cannot run unshare: {error}"))?;
        let begin = Instant::now();
        while !ready.exists() {
            if begin.elapsed() > PATIENCE || !matches!(outer.try_wait(), Ok(None)) {
                let _ = outer.kill();
                let _ = outer.wait();
                return Err("the builders do not start".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let children = format!("/proc/{0}/task/{0}/children", outer.id());
        let text = std::fs::read_to_string(children).map_err(|error| error.to_string())?;
        let inner = text.split_whitespace().next().map(str::to_owned).ok_or("unshare has no child")?;
        Ok(Serving { outer, inner })
    }
}

/// Builders that wait for commands, until it is dropped.
#[derive(Debug)]
pub struct Serving {
    outer: Child,
    /// Process 1 of their namespace, by its number outside.
    inner: String,
}

impl Serving {
    /// A command line of the builder, to be gone on with; paths are those inside. It costs `nsenter` on top.
    #[must_use]
    pub fn command(&self, builder: Builder) -> Command {
        let mut command = oracle::command("nsenter");
        command.args(["--target", &self.inner, "--mount", "--pid", "--root", "--wd=/mnt"]);
        command.env("PATH", PATH).env("HOME", "/root");
        match builder {
            Builder::BuildKit => {
                command.env("DOCKER_HOST", "unix:///run/docker.sock").env("DOCKER_CONFIG", "/run/docker-config");
                command.arg("docker");
            }
            Builder::Buildah => {
                command.env("CONTAINERS_REGISTRIES_CONF", "/run/registries.conf").env("STORAGE_DRIVER", "overlay");
                command.args(["buildah", "--root", "/mnt/buildah", "--runroot", "/run/buildah"]);
            }
        }
        command
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // With `--kill-child` all of the namespace goes along.
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}

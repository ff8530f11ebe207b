//! The builders of today as references: BuildKit and buildah, in a Debian 13 root made for them.
//!
//! Debian 12 has neither a BuildKit nor a buildah that knows heredocs. The root is made once and kept outside of the
//! checkout; what runs in it has mounts and processes of its own, and all of that ends with one process.

use crate::oracle;
use crate::sandbox::remove_tree;
use std::path::{Path, PathBuf};

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
        std::fs::write(work.join("enter.sh"), include_str!("builders/enter.sh")).expect("own folder");
        std::fs::write(work.join("build.sh"), builder.script()).expect("own folder");
        // Process 1 of the namespace takes all others with it.
        let mut command = oracle::command("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh"]).arg(work.join("enter.sh"));
        command.arg(&self.root).arg(work).arg("build.sh");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
        oracle::expect(&mut command);
    }
}

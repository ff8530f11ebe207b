//! The container's root: three ways to make one, and the names made in it to mount upon.
//!
//! | way | what it takes | kernel |
//! |---|---|---|
//! | [`OverlayVia::NewApi`] | overlay by `fsopen`, `lowerdir+` | 6.5 |
//! | [`OverlayVia::Classic`] | overlay by `mount(2)`, names of at most four bytes | 5.11 without root |
//! | [`Root::Directory`] | a directory as it is: a copy, or what nobody will use again | any |

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use bedplate_sys::file::Kind;
use bedplate_sys::mount::{self, Attributes, MOST_LOWERS, Overlay};
use bedplate_sys::process::{Namespaces, spawn};
use bedplate_sys::rooted::{Handle, Resolve, Root as Rooted};
use bedplate_sys::{CallError, Errno};
use bedplate_tree::TreePath;
use serde::{Deserialize, Serialize};

use crate::error::{Report, RunError};

/// Which calls mount an overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum OverlayVia {
    /// The new mount API, and `mount(2)` where that fails for want of it.
    #[default]
    Auto,
    /// The new mount API only.
    NewApi,
    /// `mount(2)` only.
    Classic,
}

/// How a root for a process is made, where somebody may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RootKind {
    /// An overlay, or a copy where the machine gives none.
    #[default]
    Auto,
    /// An overlay by the new mount calls.
    OverlayNewApi,
    /// An overlay by `mount(2)`.
    OverlayClassic,
    /// A copy.
    Copy,
}

impl RootKind {
    /// Which overlay is to be mounted; `None` for a copy. With [`RootKind::Auto`] `dir` is tried out as
    /// [`probe_overlay`] does it.
    ///
    /// # Errors
    /// As [`probe_overlay`].
    pub fn via(self, dir: &Path, rootless: bool) -> Result<Option<OverlayVia>, RunError> {
        match self {
            Self::OverlayNewApi => Ok(Some(OverlayVia::NewApi)),
            Self::OverlayClassic => Ok(Some(OverlayVia::Classic)),
            Self::Copy => Ok(None),
            Self::Auto => {
                let refused = probe_overlay(dir, rootless, OverlayVia::Auto)?;
                if let Some(reason) = &refused {
                    tracing::debug!(reason, "no overlay can be had here; processes run in a copy");
                }
                Ok(refused.is_none().then_some(OverlayVia::Auto))
            }
        }
    }
}

/// What a container's root is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Root {
    /// Directories stacked by the kernel; changes go to `upper`.
    Overlay {
        /// Lower directories, uppermost first: 1 to [`MOST_LOWERS`].
        lowers: Vec<PathBuf>,
        /// Takes the changes.
        upper: PathBuf,
        /// An empty directory on the same file system as `upper`.
        work: PathBuf,
        /// By which calls.
        via: OverlayVia,
    },
    /// A directory as it is; changes go into it.
    Directory {
        /// Its path.
        path: PathBuf,
    },
}

impl Root {
    /// The directory that changes go to.
    pub fn changed(&self) -> &Path {
        match self {
            Root::Overlay { upper, .. } => upper,
            Root::Directory { path } => path,
        }
    }
}

impl Root {
    /// Gives a fresh upper directory owner, mode and times of the uppermost lower one, which it will stand for.
    ///
    /// To be called once for an upper directory, before its first use. A plain directory is left as it is.
    ///
    /// # Errors
    /// What opening and changing the directories answer.
    pub fn prepare(&self) -> Result<(), RunError> {
        let Root::Overlay { lowers, upper, .. } = self else { return Ok(()) };
        let Some(first) = lowers.first() else { return Ok(()) };
        let same = || -> Result<(), CallError> {
            let stat = Handle::open(first.as_path())?.stat_self()?;
            let upper = Handle::open(upper.as_path())?;
            let now = upper.stat_self()?;
            if (now.uid, now.gid) != (stat.uid, stat.gid) {
                upper.chown(".", stat.uid, stat.gid)?;
            }
            if now.mode != stat.mode {
                upper.chmod(".", stat.mode)?;
            }
            upper.set_times(".", stat.atime, stat.mtime)
        };
        same().map_err(|source| RunError::Step { step: "prepare the upper directory of the container", source })
    }

    pub(crate) fn check(&self) -> Result<(), RunError> {
        match self {
            Root::Overlay { lowers, .. } if lowers.is_empty() || lowers.len() > MOST_LOWERS => {
                Err(RunError::Lowers { found: lowers.len(), limit: MOST_LOWERS })
            }
            _ => Ok(()),
        }
    }

    /// Mounts the root in this mount namespace and opens it.
    ///
    /// Directories are opened here and not by the parent: a descriptor from another mount namespace is no part of an
    /// overlay for the kernel.
    pub(crate) fn mount(&self, rootless: bool, attributes: Attributes) -> Result<Handle, CallError> {
        let fd = match self {
            Root::Overlay { lowers, upper: upper_path, work, via } => {
                let open = |path: &PathBuf| mount::reference(path.as_path());
                let lowers = lowers.iter().map(open).collect::<Result<Vec<_>, _>>()?;
                // An overlay that does not wait for the disk leaves a mark here that forbids its use again, in case the
                // machine lost power meanwhile. Whether it did is the store's to know, by the boot.
                Handle::open(work.as_path())?.remove_all("work")?;
                let (upper, work) = (open(upper_path)?, open(work)?);
                let overlay = Overlay {
                    lowers: &lowers,
                    upper: Some((&upper, &work)),
                    user_xattr: rootless,
                    durable: false,
                    attributes,
                };
                mount_overlay(&overlay, *via, &upper, upper_path)?
            }
            Root::Directory { path } => {
                match mount::detached_copy(path.as_path(), true) {
                    Ok(fd) => mount::attach(&fd, mount::reference(path.as_path())?)?,
                    Err(e) if e.errno() == Errno::NOSYS || e.errno() == Errno::PERM => {
                        mount::bind_path(path.as_path(), path.as_path(), true)?;
                    }
                    Err(e) => return Err(e),
                }
                let fd = mount::reference(path.as_path())?;
                mount::restrict(&fd, attributes, true)?;
                fd
            }
        };
        Handle::from_fd(fd, "/").open_dir(".")
    }
}

fn mount_overlay(
    overlay: &Overlay<'_>,
    via: OverlayVia,
    upper: &OwnedFd,
    upper_path: &Path,
) -> Result<OwnedFd, CallError> {
    if via != OverlayVia::Classic {
        match overlay.mount_detached() {
            Ok(fd) => {
                // It hides the upper directory's name in this namespace; the overlay itself has its own hold on it.
                mount::attach(&fd, upper)?;
                return Ok(fd);
            }
            // EINVAL: an overlayfs that knows no lowerdir+. If it was something else, mount(2) says so too.
            Err(e) if via == OverlayVia::Auto && matches!(e.errno(), Errno::NOSYS | Errno::INVAL | Errno::PERM) => {}
            Err(e) => return Err(e),
        }
    }
    overlay.mount_classic(upper)?;
    mount::reference(upper_path)
}

/// What makes an overlay impossible on the directories where a store lies.
///
/// Mounts one for a moment in a child's own mount namespace: nothing is left. `dir` must be empty and on the file
/// system in question; the process must be root or in a user namespace of its own, and have one thread.
///
/// # Errors
/// Why the question could not be asked.
pub fn probe_overlay(dir: &Path, rootless: bool, via: OverlayVia) -> Result<Option<String>, RunError> {
    let step = |step| move |source| RunError::Step { step, source };
    let base = Handle::open(dir).map_err(step("open the directory to probe"))?;
    for name in ["lower", "upper", "work"] {
        match base.mkdir(name, 0o755) {
            Err(e) if !e.is_exists() => return Err(step("make a directory to probe")(e)),
            _ => {}
        }
    }
    let root = Root::Overlay { lowers: vec![dir.join("lower")], upper: dir.join("upper"), work: dir.join("work"), via };
    let (read, write) = bedplate_sys::channel::pipe().map_err(step("make a pipe"))?;
    let namespaces = Namespaces { mount: true, ..Namespaces::default() };
    let child = spawn(namespaces, || {
        let tried = mount::make_all_private().and_then(|()| {
            let root = root.mount(rootless, Attributes::default())?;
            // Some stacks mount and then refuse the first write.
            root.create_file("probe", 0o600)?;
            root.unlink("probe")
        });
        if let Err(e) = tried {
            let _ = bedplate_sys::channel::write(&write, e.to_string().as_bytes());
        }
        0
    })
    .map_err(step("make a process to probe the overlay"))?;
    drop(write);
    let mut said = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(n @ 1..) = bedplate_sys::channel::read(&read, &mut buffer) {
        said.extend_from_slice(&buffer[..n]);
    }
    let ended = child.wait().map_err(step("wait for the probe"))?;
    for name in ["lower", "upper", "work"] {
        base.remove_all(name).map_err(step("remove what was probed"))?;
    }
    if ended != bedplate_sys::process::Ended::Exited(0) {
        return Ok(Some(format!("the probe ended with {}", crate::ExitStatus::from(ended))));
    }
    Ok((!said.is_empty()).then(|| String::from_utf8_lossy(&said).into_owned()))
}

/// A name that was made in the root to mount upon; it is no change of the command's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// Path from the root, without a leading slash.
    pub path: String,
    /// Whether it is a directory.
    pub directory: bool,
}

/// The paths of mount points in the root.
///
/// # Errors
/// [`RunError::MountPoint`]: one has a path that cannot be.
pub fn paths_of(mount_points: &[MountPoint]) -> Result<Vec<TreePath>, RunError> {
    let parse = |MountPoint { path, .. }: &MountPoint| {
        TreePath::parse(path.as_bytes()).map_err(|source| RunError::MountPoint { path: path.clone(), source })
    };
    mount_points.iter().map(parse).collect()
}

/// The root while it is being furnished.
#[derive(Debug)]
pub(crate) struct Furnishing {
    pub(crate) rooted: Rooted,
    pub(crate) made: Vec<MountPoint>,
}

/// What a mount point is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Directory,
    File,
}

/// Symbolic links followed for one mount point.
const MOST_LINKS: usize = 40;

impl Furnishing {
    pub(crate) fn new(root: Handle) -> Self {
        Self { rooted: Rooted::from_handle(root), made: Vec::new() }
    }

    /// Opens the place `path` leads to in the root, making what is missing, and notes what was made.
    ///
    /// Links in the last place are followed too, inside of the root: many images have `/etc/resolv.conf` as a link to a
    /// file that a daemon would make.
    pub(crate) fn target(&mut self, path: &str, wanted: Wanted) -> Result<OwnedFd, Report> {
        let fail = |e: CallError| Report::failed(format!("cannot make the mount point {path:?}")).because(e);
        let mut at: Vec<u8> = path.trim_matches('/').as_bytes().to_vec();
        if at.is_empty() {
            return Err(Report::failed("cannot mount upon \"/\" of a container"));
        }
        for _ in 0..MOST_LINKS {
            match self.rooted.open_path(at.as_slice(), Resolve::InRoot) {
                Ok(fd) => return self.checked(fd, path, wanted),
                Err(e) if e.is_not_found() => {}
                Err(e) => return Err(fail(e)),
            }
            let (dir, name) = match at.iter().rposition(|b| *b == b'/') {
                Some(i) => (at[..i].to_vec(), at[i + 1..].to_vec()),
                None => (Vec::new(), at.clone()),
            };
            if matches!(name.as_slice(), b"." | b"..") {
                return Err(fail(CallError::new(format!("open({path:?})"), Errno::NOENT)));
            }
            let parent = self.directory(&dir).map_err(fail)?;
            if parent.try_stat(name.as_slice()).map_err(fail)?.is_some_and(|s| s.kind == Kind::Symlink) {
                let target = parent.read_link(name.as_slice()).map_err(fail)?;
                at = if target.first() == Some(&b'/') { target } else { [dir, target].join(&b'/') };
                while at.last() == Some(&b'/') {
                    at.pop();
                }
                continue;
            }
            let before = parent.stat_self().map_err(fail)?;
            match wanted {
                Wanted::Directory => parent.mkdir(name.as_slice(), 0o755).map_err(fail)?,
                Wanted::File => drop(parent.create_file(name.as_slice(), 0o644).map_err(fail)?),
            }
            // The directory looks untouched: what was made here is no change of the command's.
            parent.set_times(".", before.atime, before.mtime).map_err(fail)?;
            self.note(&at, wanted == Wanted::Directory);
            let fd = self.rooted.open_path(at.as_slice(), Resolve::InRoot).map_err(fail)?;
            return self.checked(fd, path, wanted);
        }
        Err(fail(CallError::new(format!("open({path:?})"), Errno::LOOP)))
    }

    fn note(&mut self, path: &[u8], directory: bool) {
        let path = String::from_utf8_lossy(path).trim_matches('/').to_owned();
        self.made.push(MountPoint { path, directory });
    }

    /// Opens a directory, making it and its parents; links stay inside of the root.
    pub(crate) fn directory(&mut self, path: &[u8]) -> Result<Handle, CallError> {
        let first = self.rooted.open_dir(path, Resolve::InRoot);
        match first {
            Err(e) if e.is_not_found() => {}
            other => return other,
        }
        let mut at = self.rooted.handle().clone();
        let mut walked: Vec<u8> = Vec::new();
        for part in path.split(|b| *b == b'/').filter(|p| !p.is_empty()) {
            walked.extend_from_slice(b"/");
            walked.extend_from_slice(part);
            match self.rooted.open_dir(walked.as_slice(), Resolve::InRoot) {
                Ok(next) => at = next,
                Err(e) if e.is_not_found() => {
                    let before = at.stat_self()?;
                    at.mkdir(part, 0o755)?;
                    at.set_times(".", before.atime, before.mtime)?;
                    self.note(&walked, true);
                    at = at.open_dir(part)?;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(at)
    }

    fn checked(&self, fd: OwnedFd, path: &str, wanted: Wanted) -> Result<OwnedFd, Report> {
        let stat = bedplate_sys::file::stat(&fd)
            .map_err(|e| Report::failed(format!("cannot look at the mount point {path:?}")).because(e))?;
        match (wanted, stat.kind) {
            (Wanted::Directory, Kind::Directory) => Ok(fd),
            (Wanted::File, kind) if kind != Kind::Directory => Ok(fd),
            (Wanted::Directory, _) => {
                Err(Report::failed(format!("cannot mount a directory upon {path:?}: the image has a file there")))
            }
            (Wanted::File, _) => {
                Err(Report::failed(format!("cannot mount a file upon {path:?}: the image has a directory there")))
            }
        }
    }
}

/// Removes mount points that were made, from the directory that took the changes, newest first.
///
/// A directory in which the command left something stays, and so do its parents. Parents keep their times.
pub(crate) fn remove_mount_points(changed: &Path, made: &[MountPoint]) -> Result<(), CallError> {
    if made.is_empty() {
        return Ok(());
    }
    let root = Rooted::open(changed)?;
    for point in made.iter().rev() {
        let (dir, name): (Handle, CString) = match root.parent(point.path.as_str(), Resolve::InRoot) {
            Ok(found) => found,
            // The command removed the directory it lay in.
            Err(e) if matches!(e.errno(), Errno::NOENT | Errno::NOTDIR) => continue,
            Err(e) => return Err(e),
        };
        let Some(stat) = dir.try_stat(&*name)? else { continue };
        let before = dir.stat_self()?;
        let removed = match (point.directory, stat.kind) {
            (true, Kind::Directory) => dir.rmdir(&*name),
            // What was written to it went to what was mounted upon it.
            (false, Kind::Regular) if stat.size == 0 => dir.unlink(&*name),
            _ => continue,
        };
        match removed {
            Ok(()) => dir.set_times(".", before.atime, before.mtime)?,
            Err(e) if e.errno() == Errno::NOTEMPTY => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

//! What is mounted in a container, in Docker's manner.
//!
//! ```text
//! /proc  /dev (tmpfs: null zero full random urandom tty, pts/, shm/, mqueue/)  /sys (ro)  /sys/fs/cgroup (ro)
//! /etc/{hosts,hostname,resolv.conf}: files of a tmpfs that has no other name; then what the user asked for
//! ```

use std::os::fd::OwnedFd;
use std::path::Path;

use bedplate_sys::file::{self, Kind};
use bedplate_sys::kernel::Cgroups;
use bedplate_sys::mount::{self, Attributes, MountFlags};
use bedplate_sys::rooted::{Handle, Resolve, Root as Rooted};
use bedplate_sys::{CallError, Errno};

use crate::config::{Mount, RuntimeConfig};
use crate::error::Report;
use crate::root::{Furnishing, Wanted};

const HARD: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Devices every program may count on.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Links in `/dev`.
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("core", "/proc/kcore"),
];

/// The group `tty`, which devpts gives terminals to.
const TTY_GROUP: u32 = 5;

/// What the mounts depend on besides the configuration.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// In a user namespace.
    pub(crate) rootless: bool,
    /// Whether group 5 exists in it.
    pub(crate) has_tty_group: bool,
    /// How the host arranges cgroups.
    pub(crate) cgroups: Cgroups,
}

fn failed(what: &str, e: CallError) -> Report {
    let hint = match e.errno() {
        // The kernel's word for the limit on mounts, which has nothing to do with disks.
        Errno::NOSPC => Some("the limit on mounts is reached: see sysctl fs.mount-max"),
        Errno::PERM => Some(
            "a security module or an outer container forbids mounts in user namespaces; there, run as root or with \
             --security-opt systempaths=unconfined of the outer container",
        ),
        _ => None,
    };
    let report = Report::failed(format!("cannot mount {what} in the container")).because(e);
    match hint {
        Some(hint) => report.hint(hint),
        None => report,
    }
}

/// What of the container's `/dev` is needed later, whatever the user mounts upon it.
#[derive(Debug)]
pub(crate) struct Devices {
    /// `/dev/pts`.
    pub(crate) pts: Handle,
    /// `/dev/null`, which masks files.
    null: OwnedFd,
    /// The files in memory, in the order of the mounts.
    files: Vec<OwnedFd>,
}

/// Mounts everything but the masks.
pub(crate) fn furnish(
    root: &mut Furnishing,
    config: &RuntimeConfig,
    around: &Surroundings,
    warn: &mut dyn FnMut(String),
) -> Result<Devices, Report> {
    proc(root, around, warn)?;
    let mut devices = dev(root, config, around)?;
    sys(root, config, around)?;
    cgroup(root, config, around, warn)?;
    let mut files = std::mem::take(&mut devices.files).into_iter();
    for m in &config.mounts {
        user_mount(root, m, &mut files)?;
    }
    Ok(devices)
}

fn proc(root: &mut Furnishing, around: &Surroundings, warn: &mut dyn FnMut(String)) -> Result<(), Report> {
    let target = root.target("/proc", Wanted::Directory)?;
    match mount::filesystem("proc", "proc", &target, HARD, "") {
        Ok(()) => Ok(()),
        Err(e) if around.rootless && e.errno() == Errno::PERM => {
            // Inside of another container whose /proc is masked, the kernel gives a user namespace no fuller one.
            let host = mount::reference("/proc").map_err(|e| failed("/proc", e))?;
            mount::bind(&host, &target, true).map_err(|_| failed("/proc", e))?;
            warn("the host's /proc is masked, so the container sees the outer one, with the outer process IDs".into());
            Ok(())
        }
        Err(e) => Err(failed("/proc", e)),
    }
}

fn dev(root: &mut Furnishing, config: &RuntimeConfig, around: &Surroundings) -> Result<Devices, Report> {
    let fail = |e| failed("/dev", e);
    let target = root.target("/dev", Wanted::Directory)?;
    // No nodes can be opened but those bound below: what a command with CAP_MKNOD makes is of no use to it.
    let mut flags = MountFlags::NOSUID | MountFlags::STRICTATIME;
    if !config.privileged {
        flags |= MountFlags::NODEV;
    }
    mount::filesystem("tmpfs", "tmpfs", &target, flags, "mode=755,size=65536k").map_err(fail)?;
    let dev = root.rooted.open_dir("dev", Resolve::InRoot).map_err(fail)?;
    for name in DEVICES {
        bind_device(&dev, name)?;
    }
    if config.privileged {
        host_devices(&dev)?;
    }
    for (name, target) in LINKS {
        dev.symlink(target, name).map_err(fail)?;
    }
    for name in ["pts", "shm", "mqueue"] {
        dev.mkdir(name, 0o755).map_err(fail)?;
    }
    let inside = Rooted::from_handle(dev.clone());
    let place = |name: &str| -> Result<OwnedFd, Report> { inside.open_path(name, Resolve::NoSymlinks).map_err(fail) };
    let group = if around.has_tty_group { format!(",gid={TTY_GROUP}") } else { String::new() };
    let options = format!("newinstance,ptmxmode=0666,mode=0620{group}");
    mount::filesystem("devpts", "devpts", place("pts")?, MountFlags::NOSUID | MountFlags::NOEXEC, &options)
        .map_err(|e| failed("/dev/pts", e))?;
    // Before it is hidden, the place of /dev/shm is home to files that are to have no name of their own.
    let hidden = dev.open_dir("shm").map_err(fail)?;
    files_of_etc(root, config, &hidden)?;
    let files = files_in_memory(config, &hidden)?;
    let options = format!("mode=1777,size={}", config.shm_size);
    mount::filesystem("tmpfs", "shm", place("shm")?, HARD, &options).map_err(|e| failed("/dev/shm", e))?;
    match mount::filesystem("mqueue", "mqueue", place("mqueue")?, HARD, "") {
        // A kernel without POSIX queues has nothing to show.
        Err(e) if e.errno() == Errno::NODEV => {}
        other => other.map_err(|e| failed("/dev/mqueue", e))?,
    }
    let null = place("null")?;
    root.rooted
        .open_dir("dev/pts", Resolve::InRoot)
        .map(|pts| Devices { pts, null, files })
        .map_err(|e| failed("/dev/pts", e))
}

/// Shows a device of the host in `/dev`. A device that the host lacks is left out.
fn bind_device(dev: &Handle, name: &str) -> Result<(), Report> {
    let fail = |e| failed(&format!("/dev/{name}"), e);
    let source = match mount::reference(format!("/dev/{name}").as_str()) {
        Ok(fd) => fd,
        Err(e) if e.is_not_found() => return Ok(()),
        Err(e) => return Err(fail(e)),
    };
    drop(dev.create_file(name, 0o666).map_err(fail)?);
    let rooted = Rooted::from_handle(dev.clone());
    let target = rooted.open_path(name, Resolve::NoSymlinks).map_err(fail)?;
    mount::bind(&source, &target, false).map_err(fail)
}

/// Shows all devices of the host that are not there yet.
fn host_devices(dev: &Handle) -> Result<(), Report> {
    let host = Handle::open("/dev").map_err(|e| failed("the host's devices", e))?;
    for entry in host.entries().map_err(|e| failed("the host's devices", e))? {
        let device = matches!(entry.kind, Kind::CharDevice | Kind::BlockDevice);
        let taken = dev.try_stat(&*entry.name).map_err(|e| failed("the host's devices", e))?.is_some();
        if device && !taken && entry.name_bytes() != b"console" && entry.name_bytes() != b"ptmx" {
            bind_device(dev, &entry.name.to_string_lossy())?;
        }
    }
    Ok(())
}

fn sys(root: &mut Furnishing, config: &RuntimeConfig, around: &Surroundings) -> Result<(), Report> {
    let target = root.target("/sys", Wanted::Directory)?;
    let mut flags = HARD;
    if !config.privileged {
        flags |= MountFlags::RDONLY;
    }
    match mount::filesystem("sysfs", "sysfs", &target, flags, "") {
        Ok(()) => Ok(()),
        Err(e) if around.rootless && e.errno() == Errno::PERM => {
            // The network namespace belongs to the host, and sysfs with it.
            let host = mount::reference("/sys").map_err(|e| failed("/sys", e))?;
            mount::bind(&host, &target, true).map_err(|e| failed("/sys", e))?;
            let shown = root.target("/sys", Wanted::Directory)?;
            let hard = Attributes { read_only: true, no_suid: true, no_dev: true, no_exec: true };
            mount::restrict(&shown, hard, true).map_err(|e| failed("/sys", e))
        }
        Err(e) => Err(failed("/sys", e)),
    }
}

/// Shows the cgroup tree from this container's own place; a container that sees none still runs.
fn cgroup(
    root: &mut Furnishing,
    config: &RuntimeConfig,
    around: &Surroundings,
    warn: &mut dyn FnMut(String),
) -> Result<(), Report> {
    let mut flags = HARD;
    if !config.privileged {
        flags |= MountFlags::RDONLY;
    }
    let place =
        |root: &Furnishing, dir: &str| root.rooted.open_path(format!("sys/fs/cgroup/{dir}").as_str(), Resolve::InRoot);
    match &around.cgroups {
        Cgroups::None => Ok(()),
        Cgroups::Unified => {
            let done = place(root, "").and_then(|target| mount::filesystem("cgroup2", "cgroup", target, flags, ""));
            if let Err(e) = done {
                warn(format!("the container sees no cgroups: {e}"));
            }
            Ok(())
        }
        Cgroups::Split(trees) => {
            let base = place(root, "").and_then(|target| {
                mount::filesystem("tmpfs", "cgroup", target, HARD, "mode=755,size=64k")?;
                root.rooted.forget();
                root.rooted.open_dir("sys/fs/cgroup", Resolve::InRoot)
            });
            let base = match base {
                Ok(base) => base,
                Err(e) => {
                    warn(format!("the container sees no cgroups: {e}"));
                    return Ok(());
                }
            };
            let inside = Rooted::from_handle(base.clone());
            for tree in trees {
                let done = base.mkdir(tree.dir.as_str(), 0o755).and_then(|()| {
                    let how = Resolve::NoSymlinks;
                    let target = inside.open_path(tree.dir.as_str(), how)?;
                    match &tree.options {
                        Some(options) => mount::filesystem("cgroup", "cgroup", target, flags, options),
                        None => mount::filesystem("cgroup2", "cgroup", target, flags, ""),
                    }
                });
                if let Err(e) = done {
                    warn(format!("the container does not see the cgroup tree {:?}: {e}", tree.dir));
                }
            }
            // A controller that shares its tree with others is known by its own name too.
            for tree in trees.iter().filter(|t| t.dir.contains(',')) {
                for name in tree.dir.split(',') {
                    // A name that is taken is the tree itself.
                    let _ = base.symlink(tree.dir.as_str(), name);
                }
            }
            if !config.privileged {
                let shown = place(root, "").and_then(|t| mount::restrict(t, Attributes::READ_ONLY, false));
                if let Err(e) = shown {
                    warn(format!("the container may write to its own view of cgroups: {e}"));
                }
            }
            Ok(())
        }
    }
}

/// Paths and contents of the files that are made for the container.
fn etc_files(config: &RuntimeConfig) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
    [
        ("hosts", "/etc/hosts", &config.hosts),
        ("hostname", "/etc/hostname", &config.hostname_file),
        ("resolv.conf", "/etc/resolv.conf", &config.resolv_conf),
    ]
    .into_iter()
    .filter_map(|(name, path, content)| Some((name, path, content.as_deref()?)))
    // The user's own file wins.
    .filter(|(_, path, _)| config.mounts.iter().all(|m| m.target() != *path))
}

/// Puts the files of `/etc` in `place`, a directory that will be mounted upon, and mounts each where it belongs.
///
/// They lie in the tmpfs of `/dev` then, with no name there that anybody could reach: nothing is written to a disk, and
/// nothing is left when the container ends.
fn files_of_etc(root: &mut Furnishing, config: &RuntimeConfig, place: &Handle) -> Result<(), Report> {
    let fail = |e| failed("the files of /etc", e);
    let inside = Rooted::from_handle(place.clone());
    for (name, path, content) in etc_files(config) {
        let mut file = place.create_file(name, 0o644).map_err(fail)?;
        std::io::Write::write_all(&mut file, content.as_bytes())
            .map_err(|e| fail(CallError::from_io(format!("write({path:?})"), &e)))?;
        let source = inside.open_path(name, Resolve::NoSymlinks).map_err(fail)?;
        let target = root.target(path, Wanted::File)?;
        mount::bind(&source, &target, false).map_err(fail)?;
    }
    Ok(())
}

/// Makes the files of [`Mount::File`] in `place`, a directory that will be mounted upon.
fn files_in_memory(config: &RuntimeConfig, place: &Handle) -> Result<Vec<OwnedFd>, Report> {
    let inside = Rooted::from_handle(place.clone());
    let mut files = Vec::new();
    for m in &config.mounts {
        let Mount::File { target, content, mode, uid, gid } = m else { continue };
        let fail = |e| failed(&format!("a file in memory at {target:?}"), e);
        let name = format!("file-{}", files.len());
        let mut file = place.create_file(name.as_str(), 0o600).map_err(fail)?;
        std::io::Write::write_all(&mut file, &content.0)
            .map_err(|e| fail(CallError::from_io(format!("write({target:?})"), &e)))?;
        match file::chown(&file, *uid, *gid) {
            // An ID that the user namespace lacks: there is one only.
            Err(e) if e.errno() == Errno::INVAL => {}
            other => other.map_err(fail)?,
        }
        file::chmod(&file, *mode).map_err(fail)?;
        files.push(inside.open_path(name.as_str(), Resolve::NoSymlinks).map_err(fail)?);
    }
    Ok(files)
}

fn user_mount(root: &mut Furnishing, m: &Mount, files: &mut impl Iterator<Item = OwnedFd>) -> Result<(), Report> {
    match m {
        Mount::File { target, .. } => {
            let Some(file) = files.next() else { return Ok(()) };
            let fail = |e| failed(&format!("a file in memory at {target:?}"), e);
            let place = root.target(target, Wanted::File)?;
            mount::bind(&file, &place, false).map_err(fail)?;
            root.rooted.forget();
            let top = root.target(target, Wanted::File)?;
            mount::restrict(&top, Attributes::READ_ONLY, false).map_err(fail)
        }
        Mount::Bind { source, target, read_only, recursive } => {
            bind_mount(root, source, target, *read_only, *recursive)
        }
        Mount::Tmpfs { target, read_only, exec, suid, dev, options } => {
            let place = root.target(target, Wanted::Directory)?;
            let flags = Attributes { read_only: *read_only, no_suid: !suid, no_dev: !dev, no_exec: !exec };
            mount::filesystem("tmpfs", "tmpfs", &place, flags.flags(), options)
                .map_err(|e| failed(&format!("a tmpfs at {target:?}"), e))
        }
    }
}

fn bind_mount(
    root: &mut Furnishing,
    source: &Path,
    target: &str,
    read_only: bool,
    recursive: bool,
) -> Result<(), Report> {
    let shown = source.display();
    let fail = |e| failed(&format!("{shown} at {target:?}"), e);
    let from = mount::reference(source).map_err(|e| {
        Report::failed(format!("cannot mount \"{shown}\" at {target:?}: it cannot be opened")).because(e)
    })?;
    let is_dir = file::stat(&from).map_err(fail)?.kind == Kind::Directory;
    let wanted = if is_dir { Wanted::Directory } else { Wanted::File };
    let place = root.target(target, wanted)?;
    mount::bind(&from, &place, recursive).map_err(fail)?;
    root.rooted.forget();
    if read_only {
        let top = root.target(target, wanted)?;
        mount::restrict(&top, Attributes::READ_ONLY, recursive).map_err(fail)?;
    }
    Ok(())
}

/// Hides paths and makes others read-only; to be called inside of the new root.
///
/// The paths lie in `/proc` and `/sys`, which the kernel fills, so they cannot be led elsewhere. A path that this kernel
/// does not have needs no hiding.
pub(crate) fn mask(config: &RuntimeConfig, devices: &Devices) -> Result<(), Report> {
    let absent = |e: &CallError| matches!(e.errno(), Errno::NOENT);
    for path in &config.read_only_paths {
        match mount::bind_path(path.as_str(), path.as_str(), true) {
            Err(e) if absent(&e) => continue,
            Err(e) => return Err(failed(&format!("{path:?} read-only"), e)),
            Ok(()) => {}
        }
        let hard = Attributes { read_only: true, no_suid: true, no_dev: true, no_exec: true };
        mount::remount(path.as_str(), hard).map_err(|e| failed(&format!("{path:?} read-only"), e))?;
    }
    // One empty directory serves all.
    let mut empty: Option<&str> = None;
    for path in &config.masked_paths {
        let fail = |e| failed(&format!("a mask at {path:?}"), e);
        let target = match mount::reference(path.as_str()) {
            Err(e) if absent(&e) => continue,
            other => other.map_err(fail)?,
        };
        if file::stat(&target).map_err(fail)?.kind != Kind::Directory {
            mount::bind(&devices.null, &target, false).map_err(fail)?;
            continue;
        }
        match empty {
            Some(first) => mount::bind_path(first, path.as_str(), false).map_err(fail)?,
            None => {
                mount::filesystem("tmpfs", "tmpfs", &target, HARD | MountFlags::RDONLY, "size=4k,nr_inodes=2,mode=755")
                    .map_err(fail)?;
                empty = Some(path);
            }
        }
    }
    Ok(())
}

//! Mounts: of file systems, of parts of the tree, of overlays; the change of root.
//!
//! Targets are open descriptors, so that a path is resolved once, beneath the right directory, and
//! not again by the mount call. Spec: `mount(2)`, `fsopen(2)`, `mount_setattr(2)`,
//! kernel `Documentation/filesystems/overlayfs.rst`.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};
use rustix::path::Arg;
use rustix::process::PidfdFlags;
use rustix::thread::{ThreadNameSpaceType, UnshareFlags};

pub use rustix::mount::MountFlags;

use crate::error::{CallError, Errno, quoted};
use crate::process::last_errno;
use crate::rooted::proc_path;

/// A path that is open as a mere reference, to be mounted upon or from.
///
/// # Errors
/// What `open(2)` answers.
pub fn reference(path: impl Arg + Copy) -> Result<OwnedFd, CallError> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| CallError::new(format!("open({}, O_PATH)", shown(path)), e))
}

fn shown(path: impl Arg) -> String {
    quoted(path.to_string_lossy().as_bytes())
}

/// Mounts a file system upon an open target.
///
/// `source` is what `/proc/mounts` shows; `data` are the file system's own options.
///
/// # Errors
/// What `mount(2)` answers.
pub fn filesystem(kind: &str, source: &str, target: impl AsFd, flags: MountFlags, data: &str) -> Result<(), CallError> {
    let target = target.as_fd();
    let fail = |e| CallError::new(format!("mount({source:?}, [{}], {kind:?}, {data:?})", target.as_raw_fd()), e);
    let text = CString::new(data).map_err(|_| fail(Errno::INVAL))?;
    let data = (!data.is_empty()).then_some(text.as_c_str());
    rustix::mount::mount(source, proc_path(target, None).as_c_str(), kind, flags, data).map_err(fail)
}

/// Shows an open file or directory at an open target too, with its mounts where `recursive`.
///
/// # Errors
/// What `mount(2)` answers: `EINVAL` where a user namespace would uncover what mounts hide.
pub fn bind(source: impl AsFd, target: impl AsFd, recursive: bool) -> Result<(), CallError> {
    let (source, target) = (source.as_fd(), target.as_fd());
    let (from, to) = (proc_path(source, None), proc_path(target, None));
    let mut flags = MountFlags::BIND;
    if recursive {
        flags |= MountFlags::REC;
    }
    rustix::mount::mount(from.as_c_str(), to.as_c_str(), c"", flags, None).map_err(|e| {
        let rec = if recursive { "|MS_REC" } else { "" };
        let text = format!("mount([{}], [{}], MS_BIND{rec})", source.as_raw_fd(), target.as_raw_fd());
        CallError::new(text, e)
    })
}

/// Shows a path at another one too. For trees whose links nobody else can change.
///
/// # Errors
/// What `mount(2)` answers.
pub fn bind_path(source: impl Arg + Copy, target: impl Arg + Copy, recursive: bool) -> Result<(), CallError> {
    let mut flags = MountFlags::BIND;
    if recursive {
        flags |= MountFlags::REC;
    }
    rustix::mount::mount(source, target, c"", flags, None).map_err(|e| {
        let rec = if recursive { "|MS_REC" } else { "" };
        CallError::new(format!("mount({}, {}, MS_BIND{rec})", shown(source), shown(target)), e)
    })
}

/// Attributes of one mount, as opposed to those of the file system behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// Nothing can be changed through it.
    pub read_only: bool,
    /// Programs get no other IDs or capabilities by executing.
    pub no_suid: bool,
    /// Device nodes cannot be opened.
    pub no_dev: bool,
    /// Nothing can be executed.
    pub no_exec: bool,
}

impl Attributes {
    /// Read-only, nothing else.
    pub const READ_ONLY: Self = Self { read_only: true, no_suid: false, no_dev: false, no_exec: false };

    /// As flags of `mount(2)`.
    pub fn flags(self) -> MountFlags {
        [
            (self.read_only, MountFlags::RDONLY),
            (self.no_suid, MountFlags::NOSUID),
            (self.no_dev, MountFlags::NODEV),
            (self.no_exec, MountFlags::NOEXEC),
        ]
        .into_iter()
        .filter(|(on, _)| *on)
        .fold(MountFlags::empty(), |all, (_, flag)| all | flag)
    }

    fn attr_bits(self) -> u64 {
        u64::from(self.read_only)
            | u64::from(self.no_suid) << 1
            | u64::from(self.no_dev) << 2
            | u64::from(self.no_exec) << 3
    }
}

/// Adds attributes to the mount that `target` lies in, which it must be the root of.
///
/// What is set stays set: a user namespace may not take it away. With `recursive` the mounts
/// beneath get them too, which needs `mount_setattr(2)` (Linux 5.12); without that call the top one is
/// changed by a remount and the others are left.
///
/// # Errors
/// What `mount_setattr(2)` or `mount(2)` answers.
pub fn restrict(target: impl AsFd, attributes: Attributes, recursive: bool) -> Result<(), CallError> {
    let target = target.as_fd();
    let bits = attributes.attr_bits();
    match set_attributes(target, bits, 0, recursive) {
        Err(Errno::NOSYS | Errno::PERM) => remount(&proc_path(target, None), attributes),
        other => other.map_err(|e| {
            let rec = if recursive { "|AT_RECURSIVE" } else { "" };
            CallError::new(format!("mount_setattr([{}], AT_EMPTY_PATH{rec}, {bits:#x})", target.as_raw_fd()), e)
        }),
    }
}

/// Adds attributes to the mount at a path by a remount, keeping those it has.
///
/// # Errors
/// What `statvfs(2)` and `mount(2)` answer.
pub fn remount(target: impl Arg + Copy, attributes: Attributes) -> Result<(), CallError> {
    use rustix::fs::StatVfsMountFlags as S;
    let fail = |e| CallError::new(format!("mount({}, MS_REMOUNT|MS_BIND, {attributes:?})", shown(target)), e);
    let now = rustix::fs::statvfs(target).map_err(fail)?.f_flag;
    let kept = [
        (S::RDONLY, MountFlags::RDONLY),
        (S::NOSUID, MountFlags::NOSUID),
        (S::NODEV, MountFlags::NODEV),
        (S::NOEXEC, MountFlags::NOEXEC),
        (S::NOATIME, MountFlags::NOATIME),
        (S::NODIRATIME, MountFlags::NODIRATIME),
        (S::RELATIME, MountFlags::RELATIME),
    ]
    .into_iter()
    .filter(|(s, _)| now.contains(*s))
    .fold(MountFlags::empty(), |all, (_, flag)| all | flag);
    let flags = MountFlags::BIND | kept | attributes.flags();
    rustix::mount::mount_remount(target, flags, c"").map_err(fail)
}

/// `mount_setattr(2)`: `set`, `clear` are `MOUNT_ATTR_*`.
fn set_attributes(fd: BorrowedFd<'_>, set: u64, propagation: u64, recursive: bool) -> Result<(), Errno> {
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        userns_fd: u64,
    }
    const SYS_MOUNT_SETATTR: libc::c_long = 442;
    const AT_RECURSIVE: libc::c_int = 0x8000;
    let attr = MountAttr { set, clear: 0, propagation, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty NUL-terminated string and the structure lives over the call,
    // which reads as many bytes of it as the last argument says.
    let done = unsafe {
        libc::syscall(SYS_MOUNT_SETATTR, fd.as_raw_fd(), c"".as_ptr(), flags, &raw const attr, size_of::<MountAttr>())
    };
    if done == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Makes all mounts of this namespace private: nothing done to them is seen elsewhere.
///
/// # Errors
/// What `mount(2)` answers.
pub fn make_all_private() -> Result<(), CallError> {
    rustix::mount::mount_change(c"/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .map_err(|e| CallError::new("mount(\"/\", MS_REC|MS_PRIVATE)", e))
}

/// Gives the process a mount namespace of its own, in which its root directory is the root of a mount: after chroot(2)
/// it is none, and neither can it be made private then nor another root take its place.
///
/// The process must have one thread; the working directory is the root afterwards.
///
/// # Errors
/// What `unshare(2)`, `setns(2)` (kernel 5.8), `open_tree(2)`, `move_mount(2)` and `chroot(2)` answer.
pub fn isolate_root() -> Result<(), CallError> {
    crate::userns::unshare(UnshareFlags::NEWNS).map_err(|e| CallError::new("unshare(CLONE_NEWNS)", e))?;
    let root = crate::rooted::Handle::open(c"/")?;
    // Entering a namespace leads to its own root, outside of what was changed to before.
    let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .map_err(|e| CallError::new("pidfd_open(2)", e))?;
    rustix::thread::move_into_thread_name_spaces(own.as_fd(), ThreadNameSpaceType::MOUNT)
        .map_err(|e| CallError::new("setns(CLONE_NEWNS)", e))?;
    make_all_private()?;
    crate::process::change_dir_to(&root)?;
    let copy = detached_copy(c".", true)?;
    attach(&copy, &root)?;
    crate::process::change_dir_to(&copy)?;
    rustix::process::chroot(c".").map_err(|e| CallError::new("chroot(\".\")", e))?;
    crate::process::change_dir(c"/")
}

/// Mounts the processes of this namespace at `/proc`, where descriptors cannot name anything yet.
///
/// # Errors
/// What `mount(2)` answers.
pub fn proc_of_root() -> Result<(), CallError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount(c"proc", c"/proc", c"proc", flags, None)
        .map_err(|e| CallError::new("mount(\"proc\", \"/proc\", \"proc\")", e))
}

/// A part of the tree as a mount that is attached nowhere yet.
///
/// # Errors
/// What `open_tree(2)` answers; `ENOSYS` on kernels before 5.2.
pub fn detached_copy(path: impl Arg + Copy, recursive: bool) -> Result<OwnedFd, CallError> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(rustix::fs::CWD, path, flags)
        .map_err(|e| CallError::new(format!("open_tree({}, OPEN_TREE_CLONE)", shown(path)), e))
}

/// Attaches a detached mount to an open target.
///
/// # Errors
/// What `move_mount(2)` answers.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> Result<(), CallError> {
    let (mount, target) = (mount.as_fd(), target.as_fd());
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", target, "", flags)
        .map_err(|e| CallError::new(format!("move_mount([{}], [{}])", mount.as_raw_fd(), target.as_raw_fd()), e))
}

/// Makes a tmpfs that is attached nowhere yet, with options `key=value`.
///
/// # Errors
/// What `fsopen(2)`, `fsconfig(2)` and `fsmount(2)` answer.
pub fn detached_tmpfs(options: &[(&str, &str)], attributes: Attributes) -> Result<OwnedFd, CallError> {
    let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|e| CallError::new("fsopen(\"tmpfs\")", e))?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(&fs, *key, *value)
            .map_err(|e| CallError::new(format!("fsconfig(tmpfs, {key:?}, {value:?})"), e))?;
    }
    create_and_mount(fs.as_fd(), "tmpfs", attributes)
}

fn create_and_mount(fs: BorrowedFd<'_>, kind: &str, attributes: Attributes) -> Result<OwnedFd, CallError> {
    rustix::mount::fsconfig_create(fs).map_err(|e| {
        // What the file system has to say lies in the descriptor's log.
        let mut said = [0_u8; 512];
        let said = match rustix::io::read(fs, &mut said) {
            Ok(n) => format!(" says {}", quoted(said[..n].trim_ascii())),
            Err(_) => String::new(),
        };
        CallError::new(format!("fsconfig({kind}, FSCONFIG_CMD_CREATE){said}"), e)
    })?;
    let attr = MountAttrFlags::from_bits_retain(attributes.attr_bits() as u32);
    rustix::mount::fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, attr)
        .map_err(|e| CallError::new(format!("fsmount({kind})"), e))
}

/// An overlay to be mounted. All directories are open, so that no path length, comma or colon in
/// their names matters.
#[derive(Debug)]
pub struct Overlay<'a> {
    /// The lower directories, uppermost first; at least one, at most [`MOST_LOWERS`].
    pub lowers: &'a [OwnedFd],
    /// The directories that take changes: upper and work, on one file system.
    pub upper: Option<(&'a OwnedFd, &'a OwnedFd)>,
    /// Keep marks in `user.overlay.*`: for those who may not write `trusted.*`.
    pub user_xattr: bool,
    /// Wait for the disk at the end (off: the upper directory is lost with the machine's power).
    pub durable: bool,
    /// Attributes of the mount.
    pub attributes: Attributes,
}

/// Lower directories the kernel takes in one overlay.
pub const MOST_LOWERS: usize = 500;

/// Features that would leave marks in the upper directory which only this kernel understands. Redirects are not even
/// followed: a mark in a layer could lead anywhere ("off" follows them on kernels with `REDIRECT_ALWAYS_FOLLOW`).
const OVERLAY_OFF: [(&str, &str); 4] =
    [("index", "off"), ("xino", "off"), ("redirect_dir", "nofollow"), ("metacopy", "off")];

impl Overlay<'_> {
    /// Mounts by the new mount API, attached nowhere yet; needs `lowerdir+` (Linux 6.5).
    ///
    /// # Errors
    /// What the calls answer: `ENOSYS` or `EINVAL` where the kernel lacks them, `EINVAL` with the file
    /// system's words where it refuses a directory.
    pub fn mount_detached(&self) -> Result<OwnedFd, CallError> {
        let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
            .map_err(|e| CallError::new("fsopen(\"overlay\")", e))?;
        let set = |key: &str, value: &str| {
            rustix::mount::fsconfig_set_string(&fs, key, value)
                .map_err(|e| CallError::new(format!("fsconfig(overlay, {key:?}, {value:?})"), e))
        };
        set("source", "overlay")?;
        // Strings are limited to 256 bytes, whole paths are not.
        let path = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
        for lower in self.lowers {
            set("lowerdir+", &path(lower))?;
        }
        if let Some((upper, work)) = self.upper {
            set("upperdir", &path(upper))?;
            set("workdir", &path(work))?;
        }
        for (name, value) in self.options() {
            set(name, value)?;
        }
        for (flag, wanted) in self.flags() {
            if wanted {
                rustix::mount::fsconfig_set_flag(&fs, flag)
                    .map_err(|e| CallError::new(format!("fsconfig(overlay, {flag:?})"), e))?;
            }
        }
        create_and_mount(fs.as_fd(), "overlay", self.attributes)
    }

    /// Mounts by `mount(2)` upon `target`.
    ///
    /// The working directory is changed to `/proc/self/fd` meanwhile, so that a directory's name is
    /// its number: one page of options (4 KiB) then holds [`MOST_LOWERS`] of them.
    ///
    /// # Errors
    /// What `mount(2)` answers.
    pub fn mount_classic(&self, target: impl AsFd) -> Result<(), CallError> {
        let target = target.as_fd();
        let here = reference(".")?;
        let numbers: Vec<String> = self.lowers.iter().map(|l| l.as_raw_fd().to_string()).collect();
        let mut data = format!("lowerdir={}", numbers.join(":"));
        if let Some((upper, work)) = self.upper {
            data += &format!(",upperdir={},workdir={}", upper.as_raw_fd(), work.as_raw_fd());
        }
        for (name, value) in self.options() {
            data += &format!(",{name}={value}");
        }
        for (flag, wanted) in self.flags() {
            if wanted {
                data += &format!(",{flag}");
            }
        }
        crate::process::change_dir("/proc/self/fd")?;
        let mounted = filesystem("overlay", "overlay", target, self.attributes.flags(), &data);
        crate::process::change_dir_to(&here)?;
        mounted
    }

    fn options(&self) -> &'static [(&'static str, &'static str)] {
        // With userxattr the kernel switches the last two off itself, and refuses to be told.
        if self.user_xattr { &OVERLAY_OFF[..2] } else { &OVERLAY_OFF }
    }

    fn flags(&self) -> [(&'static str, bool); 2] {
        [("userxattr", self.user_xattr), ("volatile", self.upper.is_some() && !self.durable)]
    }
}

/// Makes the mount `root` the root of this namespace and lets go of the old one.
///
/// `root` must be the root of a mount that is attached in this namespace. The working directory is
/// the new root afterwards.
///
/// # Errors
/// What `fchdir(2)`, `pivot_root(2)`, `umount2(2)` and `chdir(2)` answer.
pub fn change_root(root: impl AsFd) -> Result<(), CallError> {
    crate::process::change_dir_to(root.as_fd())?;
    // Both on the same directory: the old root is stacked upon the new one, and taken off it.
    rustix::process::pivot_root(c".", c".").map_err(|e| CallError::new("pivot_root(\".\", \".\")", e))?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH).map_err(|e| CallError::new("umount2(\".\", MNT_DETACH)", e))?;
    crate::process::change_dir(c"/")
}

/// Takes away the mount that `root` is the root of; who uses it keeps it.
///
/// # Errors
/// What `umount2(2)` answers: `EINVAL` where it is not the root of a mount.
pub fn detach(root: impl AsFd) -> Result<(), CallError> {
    let root = root.as_fd();
    rustix::mount::unmount(proc_path(root, None).as_c_str(), UnmountFlags::DETACH)
        .map_err(|e| CallError::new(format!("umount2([{}], MNT_DETACH)", root.as_raw_fd()), e))
}

/// Which device file system a path lies on, by its magic number (`statfs(2)`).
///
/// # Errors
/// What `statfs(2)` answers.
pub fn filesystem_magic(path: &Path) -> Result<u64, CallError> {
    rustix::fs::statfs(path).map(|s| s.f_type as u64).map_err(|e| CallError::new(format!("statfs({})", shown(path)), e))
}

/// Magic number of overlayfs, on which no overlay's upper directory may lie.
pub const OVERLAYFS_MAGIC: u64 = 0x794c_7630;
/// Magic number of NFS.
pub const NFS_MAGIC: u64 = 0x6969;

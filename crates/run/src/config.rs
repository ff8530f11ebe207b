//! What a container is to be: the command and all that surrounds it.
//!
//! Close to the OCI runtime specification's `config.json` in its terms, smaller in what it can say.

use std::path::PathBuf;

use bedplate_sys::caps::{CapSet, LinuxCapability};
use bedplate_sys::process::Resource;
use serde::{Deserialize, Serialize};

use crate::seccomp::Profile;

/// The 14 capabilities that Docker gives a container.
pub const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// Where programs are looked for when nothing says otherwise.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Size of `/dev/shm` in bytes, as Docker has it.
pub const DEFAULT_SHM_SIZE: u64 = 64 << 20;

/// Paths that say too much about the host, or reach its hardware: nothing is seen there.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Paths that change the host when written.
pub const READ_ONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The network of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The host's own.
    #[default]
    Host,
    /// A loopback device and nothing else.
    None,
}

/// Which system calls a container may make.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Seccomp {
    /// The built-in list.
    #[default]
    Default,
    /// All.
    Unconfined,
    /// A list of the user's.
    Profile(Box<Profile>),
}

/// Something mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mount {
    /// A file or directory of the host.
    Bind {
        /// Where it is on the host.
        source: PathBuf,
        /// Where it is shown.
        target: String,
        /// Nothing can be changed through it.
        read_only: bool,
        /// With what is mounted beneath it.
        recursive: bool,
    },
    /// A file system in memory.
    Tmpfs {
        /// Where it is shown.
        target: String,
        /// Nothing can be changed in it.
        read_only: bool,
        /// Programs in it can be executed.
        exec: bool,
        /// Programs in it can change the user.
        suid: bool,
        /// Device nodes in it can be opened.
        dev: bool,
        /// Options of the file system: `size=64m,mode=1777`.
        options: String,
    },
    /// A file that is in memory only, has no other name and cannot be written: a secret, a script.
    File {
        /// Where it is shown.
        target: String,
        /// What is in it.
        content: Bytes,
        /// Its mode.
        mode: u32,
        /// Its user. With one ID it is root, whatever is asked for.
        uid: u32,
        /// Its group. With one ID it is root's.
        gid: u32,
    },
}

/// Bytes that no message shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Mount {
    /// Where it is shown.
    pub fn target(&self) -> &str {
        match self {
            Mount::Bind { target, .. } | Mount::Tmpfs { target, .. } | Mount::File { target, .. } => target,
        }
    }
}

/// A limit on a resource, in the resource's own units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Name in Docker's spelling: `nofile`.
    pub name: String,
    /// What is enforced; `None` is no limit.
    pub soft: Option<u64>,
    /// What the process may raise it to; `None` is no limit.
    pub hard: Option<u64>,
}

impl Limit {
    pub(crate) fn resource(&self) -> Option<Resource> {
        Resource::by_name(&self.name)
    }
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeConfig {
    /// The command and its arguments; a command without `/` is looked for in the container's `PATH`.
    pub args: Vec<String>,
    /// Variables as `NAME=value`, a later one of a name first in effect. `HOME` is added where missing.
    pub env: Vec<String>,
    /// Where the command starts; made where missing.
    pub cwd: String,
    /// `user`, `uid`, `user:group` or `uid:gid`; names are those of the image. Empty is root.
    pub user: String,
    /// The host name inside.
    pub hostname: String,
    /// Whether the command gets a terminal.
    pub terminal: bool,
    /// Whether a small process 1 reaps orphans and hands on signals.
    pub init: bool,
    /// Whether the root can only be read.
    pub read_only: bool,
    /// Its network.
    pub network: Network,
    /// Whether it gets the host's devices and nothing of the hardening.
    pub privileged: bool,
    /// Names of capabilities without `CAP_`.
    pub capabilities: Vec<String>,
    /// Whether programs that would change the user do not.
    pub no_new_privileges: bool,
    /// Which system calls it may make.
    pub seccomp: Seccomp,
    /// What else is mounted, in this order.
    pub mounts: Vec<Mount>,
    /// Paths where nothing is seen.
    pub masked_paths: Vec<String>,
    /// Paths that can only be read.
    pub read_only_paths: Vec<String>,
    /// Limits on resources; others are the caller's own.
    pub limits: Vec<Limit>,
    /// Permission bits that new files do not get.
    pub umask: u32,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: u64,
    /// Content of `/etc/hosts`; `None` leaves the image's.
    pub hosts: Option<String>,
    /// Content of `/etc/hostname`; `None` leaves the image's.
    pub hostname_file: Option<String>,
    /// Content of `/etc/resolv.conf`; `None` leaves the image's.
    pub resolv_conf: Option<String>,
}

impl Default for RuntimeConfig {
    /// Root in `/` with Docker's hardening and no command.
    fn default() -> Self {
        let strings = |s: &[&str]| s.iter().map(|s| (*s).to_owned()).collect();
        Self {
            args: Vec::new(),
            env: Vec::new(),
            cwd: "/".to_owned(),
            user: String::new(),
            hostname: String::new(),
            terminal: false,
            init: false,
            read_only: false,
            network: Network::Host,
            privileged: false,
            capabilities: strings(&DEFAULT_CAPABILITIES),
            no_new_privileges: false,
            seccomp: Seccomp::Default,
            mounts: Vec::new(),
            masked_paths: strings(&MASKED_PATHS),
            read_only_paths: strings(&READ_ONLY_PATHS),
            limits: Vec::new(),
            umask: 0o022,
            shm_size: DEFAULT_SHM_SIZE,
            hosts: None,
            hostname_file: None,
            resolv_conf: None,
        }
    }
}

impl RuntimeConfig {
    /// The capabilities as a set; names that are unknown count for nothing.
    pub fn capability_set(&self) -> CapSet {
        self.capabilities.iter().filter_map(|name| LinuxCapability::by_name(name)).collect()
    }
}

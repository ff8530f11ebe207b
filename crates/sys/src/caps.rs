//! Linux capabilities. Spec: `capabilities(7)`.

use std::fmt;

use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::error::{CallError, Errno};

/// Names by number, without `CAP_`.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// One capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinuxCapability(u8);

impl LinuxCapability {
    /// Finds a capability by name, with or without `CAP_`, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        NAMES.iter().position(|n| *n == bare).map(|i| Self(i as u8))
    }

    /// The name without `CAP_`.
    pub fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or("")
    }

    /// All that this program knows.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..NAMES.len() as u8).map(Self)
    }
}

impl fmt::Display for LinuxCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CAP_{}", self.name())
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct CapSet(u64);

impl CapSet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);
    /// All that this program knows.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// The set of the kernel's bits.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The kernel's bits.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Whether the set holds a capability.
    pub fn contains(self, cap: LinuxCapability) -> bool {
        self.0 & (1 << cap.0) != 0
    }

    /// The set with a capability.
    #[must_use]
    pub fn with(self, cap: LinuxCapability) -> Self {
        Self(self.0 | 1 << cap.0)
    }

    /// The set without a capability.
    #[must_use]
    pub fn without(self, cap: LinuxCapability) -> Self {
        Self(self.0 & !(1 << cap.0))
    }

    /// What both sets hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The capabilities in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = LinuxCapability> {
        LinuxCapability::all().filter(move |c| self.contains(*c))
    }
}

impl FromIterator<LinuxCapability> for CapSet {
    fn from_iter<I: IntoIterator<Item = LinuxCapability>>(caps: I) -> Self {
        caps.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// The capabilities this process may use, hand on by exec, and could raise.
///
/// # Errors
/// What `capget(2)` answers.
pub fn permitted() -> Result<CapSet, CallError> {
    rustix::thread::capabilities(None)
        .map(|sets| CapSet(sets.permitted.bits()))
        .map_err(|e| CallError::new("capget()", e))
}

/// Removes all but `keep` from the bounding set, which limits what exec can give.
///
/// # Errors
/// What `prctl(2)` answers.
pub fn limit_bounding(keep: CapSet) -> Result<(), CallError> {
    // Up to the last that the kernel knows, which may be beyond our table.
    for number in 0..64 {
        if keep.0 & (1 << number) != 0 {
            continue;
        }
        let cap = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::remove_capability_from_bounding_set(cap) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            Err(e) => {
                return Err(CallError::new(format!("prctl(PR_CAPBSET_DROP, {number})"), e));
            }
        }
    }
    Ok(())
}

/// The capabilities in the bounding set.
pub fn bounding() -> CapSet {
    CapSet(
        (0..64_u64)
            .filter(|n| {
                let cap = CapabilitySet::from_bits_retain(1 << n);
                rustix::thread::capability_is_in_bounding_set(cap).unwrap_or(false)
            })
            .fold(0, |bits, n| bits | 1 << n),
    )
}

/// Keeps permitted capabilities over a change from root to another user, until exec.
///
/// # Errors
/// What `prctl(2)` answers.
pub fn keep_over_user_change(keep: bool) -> Result<(), CallError> {
    rustix::thread::set_keep_capabilities(keep)
        .map_err(|e| CallError::new(format!("prctl(PR_SET_KEEPCAPS, {})", u8::from(keep)), e))
}

/// Sets effective, permitted and inheritable capabilities; the ambient set is what of the old
/// stays permitted and inheritable.
///
/// # Errors
/// What `capset(2)` answers.
pub fn set(effective: CapSet, permitted: CapSet, inheritable: CapSet) -> Result<(), CallError> {
    let sets = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(effective.0),
        permitted: CapabilitySet::from_bits_retain(permitted.0),
        inheritable: CapabilitySet::from_bits_retain(inheritable.0),
    };
    rustix::thread::set_capabilities(None, sets).map_err(|e| {
        let text = format!("capset({:#x}, {:#x}, {:#x})", effective.0, permitted.0, inheritable.0);
        CallError::new(text, e)
    })
}

/// Empties the ambient set, which exec hands on without any file's say.
///
/// # Errors
/// What `prctl(2)` answers.
pub fn clear_ambient() -> Result<(), CallError> {
    rustix::thread::clear_ambient_capability_set()
        .map_err(|e| CallError::new("prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sets() {
        for (name, number) in [
            ("CHOWN", Some(0)),
            ("cap_chown", Some(0)),
            ("CAP_CHECKPOINT_RESTORE", Some(40)),
            ("ALL", None),
            ("", None),
            ("CAP_", None),
        ] {
            assert_eq!(LinuxCapability::by_name(name).map(|c| c.0), number, "{name}");
        }
        let chown = LinuxCapability(0);
        let set = CapSet::EMPTY.with(chown);
        assert!(set.contains(chown) && !set.without(chown).contains(chown));
        assert_eq!(CapSet::ALL.iter().count(), 41);
        assert_eq!(CapSet::ALL.and(set), set);
        assert_eq!(chown.to_string(), "CAP_CHOWN");
    }
}

//! Who runs the tests: root, a user with a range of subordinate ids, or one without.

use rustix::process::{getegid, geteuid};

/// What the running user may do about other users' ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// Uid 0 of the machine (or of the namespace the tests run in).
    Root,
    /// A plain user with a range in `/etc/subuid` and `/etc/subgid`, and `newuidmap` to use it.
    SubuidRange,
    /// A plain user with the own uid only.
    OneUid,
}

/// Finds out who runs the tests; `BEDPLATE_TEST_USER` (`root`, `subuid`, `one-uid`), where set, must agree.
///
/// # Panics
/// If the variable claims what is not so: a suite that believes to run without privileges must do so.
#[must_use]
pub fn current() -> Privilege {
    let found = detect();
    let claimed = std::env::var("BEDPLATE_TEST_USER").ok();
    let agrees = match claimed.as_deref() {
        Some("root") => found == Privilege::Root,
        Some("subuid") => found == Privilege::SubuidRange,
        Some("one-uid") => found == Privilege::OneUid,
        _ => true,
    };
    assert!(agrees, "BEDPLATE_TEST_USER says {claimed:?}, but the tests run as {found:?}");
    found
}

/// True for uid 0.
#[must_use]
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// The effective uid and gid.
#[must_use]
pub fn ids() -> (u32, u32) {
    (geteuid().as_raw(), getegid().as_raw())
}

fn detect() -> Privilege {
    if is_root() {
        return Privilege::Root;
    }
    let uid = geteuid().as_raw();
    let name = passwd_name(uid);
    let has_range = |path: &str| {
        std::fs::read_to_string(path).is_ok_and(|text| {
            text.lines()
                .filter_map(|line| line.split(':').next())
                .any(|owner| owner == uid.to_string() || Some(owner) == name.as_deref())
        })
    };
    if has_range("/etc/subuid") && has_range("/etc/subgid") && crate::oracle::find("newuidmap").is_some() {
        Privilege::SubuidRange
    } else {
        Privilege::OneUid
    }
}

fn passwd_name(uid: u32) -> Option<String> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    })
}

/// True if an unprivileged process may make user namespaces here.
#[must_use]
pub fn has_user_namespaces() -> bool {
    crate::oracle::find("unshare").is_some_and(|unshare| {
        std::process::Command::new(unshare)
            .args(["--user", "--map-root-user", "true"])
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

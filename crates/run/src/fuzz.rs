//! Entry points for fuzzers: bytes of images and of users in, invariants asserted.

use std::path::Path;

use bedplate_sys::caps::CapSet;

use crate::seccomp::{Arch, Profile, compile};
use crate::{diagnose, options, user};

/// Instructions that the kernel takes in one filter. Spec: `BPF_MAXINSNS`, bpf_common.h.
const MOST_INSTRUCTIONS: usize = 4096;

/// A user as typed, `/etc/passwd` and `/etc/group` of an image, with NUL bytes between.
pub fn users(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let spec = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (passwd, group) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match user::resolve(&spec, passwd, group) {
        // The last number means "no change" to chown(2) and setuid(2).
        Ok(found) => assert!(found.uid != u32::MAX && found.gid != u32::MAX && !found.home.is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A seccomp profile: what compiles is a filter that the kernel can take.
pub fn seccomp(data: &[u8]) {
    let Ok(profile) = Profile::parse(data) else { return };
    if let Ok(filter) = compile(&profile, CapSet::EMPTY, Arch::of_machine()) {
        assert!(!filter.is_empty() && filter.len() <= MOST_INSTRUCTIONS);
    }
}

/// Values of flags, and files of variables.
pub fn words(data: &[u8]) {
    if let Ok(variables) = options::env_file(data) {
        assert!(variables.iter().all(|variable| !variable.contains('\n')));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let here = Path::new("/here");
    let _ = (options::volume(text, here), options::mount(text, here), options::tmpfs(text));
    let _ = (options::ulimit(text), options::security(text), options::hostname(text), options::bytes(text));
}

/// The first bytes of what cannot be executed.
pub fn program(data: &[u8]) {
    let _ = diagnose::identify(data);
}

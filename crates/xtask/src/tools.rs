//! The reference tools that the tests compare with, and their installation on Debian.

use std::path::Path;

use crate::process::{Failure, is_root, step, tool, which};

/// A Debian package, one program that shows it is there, and what is compared with it.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) package: &'static str,
    pub(crate) program: &'static str,
    pub(crate) used_for: &'static str,
}

const fn reference(package: &'static str, program: &'static str, used_for: &'static str) -> Reference {
    Reference { package, program, used_for }
}

/// Every tool that a test may ask for.
pub(crate) const REFERENCES: &[Reference] = &[
    reference("libarchive-tools", "bsdtar", "archives: a second reader and writer"),
    reference("skopeo", "skopeo", "save: inspect and copy what we write"),
    reference("umoci", "umoci", "save: unpack what we write"),
    reference("podman", "podman", "save: podman load, and its run as a peer"),
    reference("docker.io", "dockerd", "save and load against a private daemon"),
    reference("runc", "runc", "run: a reference runtime"),
    reference("crun", "crun", "run: a reference runtime"),
    reference("uidmap", "newuidmap", "rootless runs with a range of ids"),
    reference("busybox-static", "busybox", "a real root filesystem of one file"),
    reference("jq", "jq", "a second reader of our JSON"),
    reference("xz-utils", "xz", "codecs"),
    reference("zstd", "zstd", "codecs"),
    reference("bzip2", "bzip2", "codecs"),
    reference("gpgv", "gpgv", "signatures: GnuPG's verdicts"),
    reference("sqv", "sqv", "signatures: Sequoia's verdicts"),
    reference("debootstrap", "debootstrap", "bootstrap: what debuerreotype begins with"),
    reference("debuerreotype", "debuerreotype-init", "bootstrap: the same tar, bit for bit"),
    reference("mmdebstrap", "mmdebstrap", "bootstrap: the same tree"),
    reference("disorderfs", "disorderfs", "bootstrap: directories in another order"),
    reference("attr", "setfattr", "trees with extended attributes"),
    reference("acl", "setfacl", "trees with access control lists"),
];

/// Those whose program is not there.
pub(crate) fn missing() -> Vec<&'static Reference> {
    REFERENCES.iter().filter(|reference| which(reference.program).is_none()).collect()
}

/// Installs what is missing where that is ours to do: as root, on a Debian system.
///
/// Failing to install is no failure of the tests; it is said, and the tests that need the tool are counted as skipped.
pub(crate) fn install() -> Result<(), Failure> {
    let absent = missing();
    if absent.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = absent.iter().map(|reference| reference.package).collect();
    if !is_root() || which("apt-get").is_none() || !Path::new("/etc/debian_version").exists() {
        eprintln!("==> not installed, and not mine to install here (root on Debian): {}", names.join(" "));
        return Ok(());
    }
    let apt = |args: &[&str]| {
        let mut command = tool("apt-get", ["-q", "-o", "DPkg::Lock::Timeout=300"]);
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let updated = step("apt-get update", &mut apt(&["-q", "update"]));
    let mut install = apt(&["install", "-y", "--no-install-recommends"]);
    let installed = step(&format!("apt-get install {}", names.join(" ")), install.args(&names));
    for outcome in [updated, installed] {
        if let Err(failure) = outcome {
            eprintln!("warning: {failure}; the tests that need a missing tool are skipped and counted");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_says_its_use_once() {
        for (index, reference) in REFERENCES.iter().enumerate() {
            assert!(!reference.used_for.is_empty(), "{}", reference.package);
            let again = REFERENCES.iter().skip(index + 1).any(|other| other.program == reference.program);
            assert!(!again, "{} stands twice", reference.program);
        }
    }
}

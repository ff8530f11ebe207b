//! The surroundings of maintainer scripts: no network, no services, a fixed environment, a clock nobody asks.
//!
//! Nothing that keeps services from starting is written into the root: each guard is mounted over the file it stands
//! for, and gone with the container.
//!
//! | guard | why |
//! |---|---|
//! | `/usr/sbin/policy-rc.d` exits with 101 | `invoke-rc.d` starts nothing (Debian's policy-rc.d interface) |
//! | `start-stop-daemon` does nothing | scripts of older packages call it directly |
//! | `initctl` does nothing, but tells its version | the same for upstart |
//! | `ischroot` succeeds | else libc6 tells a process 1 that is not there to start again, and waits a second |

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use bedplate_run::{Limit, Mount, Network, RuntimeConfig};
use bedplate_store::Lease;
use bedplate_tree::{Tree, TreePath};

use crate::root_error::RootError;

/// The host name that scripts see, the same on every machine.
const HOSTNAME: &str = "localhost";

/// Where programs are looked for: debootstrap's order.
const PATH: &str = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";

/// Open files at most. The `startpar` of jessie closes every possible one, one by one.
const OPEN_FILES: u64 = 1024;

const POLICY: &str = "#!/bin/sh\nexit 101\n";
const NOTHING: &str = "#!/bin/sh\nexit 0\n";
const START_STOP_DAEMON: &str =
    "#!/bin/sh\necho \"Warning: start-stop-daemon called in a sandbox, doing nothing\"\nexit 0\n";
const INITCTL: &str = "#!/bin/sh\nif [ \"$1\" = version ]; then echo 'initctl (upstart 1.12.1)'; fi\nexit 0\n";

/// Files that are guarded where the root has them: possible names, and what stands in their place.
const GUARDED: [(&[&str], &str); 3] = [
    (&["usr/sbin/start-stop-daemon", "sbin/start-stop-daemon"], START_STOP_DAEMON),
    (&["usr/sbin/initctl", "sbin/initctl"], INITCTL),
    (&["usr/bin/ischroot", "bin/ischroot"], NOTHING),
];

/// What makes devices; its package's script does so, which only the machine's root can, and `/dev` is no part of an image.
const MAKEDEV: &str = "sbin/MAKEDEV";

/// A device that keeps it from that: somebody else manages `/dev`.
const DEVFS: &str = "/dev/.devfsd";

/// The container for scripts over a root that holds `tree`; `network` gives it the host's.
pub(crate) fn config(
    lease: &Lease,
    tree: &Tree,
    mut mounts: Vec<Mount>,
    network: Option<String>,
) -> Result<RuntimeConfig, RootError> {
    let present = |name: &&&str| {
        let path = TreePath::parse(name.as_bytes()).ok();
        path.is_some_and(|path| matches!(tree.resolve(&path, true), Ok((_, Some(_)))))
    };
    mounts.push(guard(lease, "/usr/sbin/policy-rc.d", POLICY)?);
    for (names, text) in GUARDED {
        if let Some(name) = names.iter().find(present) {
            mounts.push(guard(lease, &format!("/{name}"), text)?);
        }
    }
    if present(&&MAKEDEV) {
        mounts.push(bind("/dev/null".into(), DEVFS));
    }
    Ok(RuntimeConfig {
        hostname: HOSTNAME.to_owned(),
        network: if network.is_some() { Network::Host } else { Network::None },
        resolv_conf: network,
        mounts,
        limits: vec![Limit { name: "nofile".to_owned(), soft: Some(OPEN_FILES), hard: Some(OPEN_FILES) }],
        ..RuntimeConfig::default()
    })
}

fn guard(lease: &Lease, target: &str, text: &str) -> Result<Mount, RootError> {
    let path = lease.scratch();
    fs::write(&path, text)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
        .map_err(|source| RootError::Make { path: path.clone(), source })?;
    Ok(bind(path, target))
}

/// Shows a file or directory of the host, to be read only.
pub(crate) fn bind(source: PathBuf, target: &str) -> Mount {
    Mount::Bind { source, target: target.to_owned(), read_only: true, recursive: false }
}

/// The variables that every script sees.
pub(crate) fn environment(epoch: i64) -> Vec<String> {
    [
        PATH,
        "HOME=/root",
        "LC_ALL=C",
        "LANG=C",
        "TZ=UTC",
        "TERM=dumb",
        "SHELL=/bin/sh",
        "DEBIAN_FRONTEND=noninteractive",
        "DEBCONF_NONINTERACTIVE_SEEN=true",
        "DEBCONF_NOWARNINGS=yes",
        "SYSTEMD_OFFLINE=1",
        // Scripts that ask for it leave the same bytes on every day.
        &format!("SOURCE_DATE_EPOCH={epoch}"),
    ]
    .map(str::to_owned)
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedplate_store::{OpenOptions, Store};
    use bedplate_tree::{Entry, Metadata};

    #[test]
    fn what_makes_devices_is_kept_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&OpenOptions::new(folder.path().join("store"))).unwrap();
        let lease = store.lease().unwrap();
        for (path, expected) in [("sbin/MAKEDEV", true), ("sbin/other", false)] {
            let mut tree = Tree::new();
            tree.put(&TreePath::parse(b"sbin").unwrap(), Entry::directory(Metadata::default())).unwrap();
            let file = Entry::file(bedplate_tree::Content::empty(), Metadata::default());
            tree.put(&TreePath::parse(path.as_bytes()).unwrap(), file).unwrap();
            let config = config(&lease, &tree, Vec::new(), None).unwrap();
            assert_eq!(config.mounts.iter().any(|mount| mount.target() == DEVFS), expected, "{path}");
        }
    }
}

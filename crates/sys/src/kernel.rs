//! Facts about the running kernel.

use std::path::Path;

/// The identity of this boot, as the kernel writes it; empty where `/proc` does not say.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|s| s.trim().to_owned()).unwrap_or_default()
}

/// Release and machine name, for messages and for keys of what was probed.
pub fn release() -> String {
    let name = rustix::system::uname();
    format!("{} {}", name.release().to_string_lossy(), name.machine().to_string_lossy())
}

/// How many processors this process may use, at least 1.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How the host arranges its cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cgroups {
    /// None are mounted.
    None,
    /// One tree, version 2, at `/sys/fs/cgroup`.
    Unified,
    /// Trees of version 1, and maybe the unified one beside them (hybrid).
    Split(Vec<CgroupTree>),
}

/// One tree of a split arrangement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupTree {
    /// The directory in `/sys/fs/cgroup`.
    pub dir: String,
    /// Mount options that name the tree: `cpu,cpuacct`, `name=systemd`; `None` for version 2.
    pub options: Option<String>,
}

/// Reads the arrangement out of the text of `/proc/self/mountinfo`.
pub fn cgroups_of(mountinfo: &str) -> Cgroups {
    const BASE: &str = "/sys/fs/cgroup";
    let mut trees: Vec<CgroupTree> = Vec::new();
    let mut unified = false;
    for line in mountinfo.lines() {
        // Spec: proc(5): …, root, mount point, options, optional fields, "-", type, source, super options.
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(at) = left.split(' ').nth(4) else { continue };
        let mut right = right.split(' ');
        let (Some(kind), _, Some(options)) = (right.next(), right.next(), right.next()) else { continue };
        let dir = match at.strip_prefix(BASE) {
            Some("") => "",
            Some(rest) => match rest.strip_prefix('/') {
                Some(dir) if !dir.contains('/') && !dir.contains('\\') => dir,
                _ => continue,
            },
            None => continue,
        };
        match (kind, dir) {
            ("cgroup2", "") => unified = true,
            ("cgroup2", dir) => trees.push(CgroupTree { dir: dir.to_owned(), options: None }),
            ("cgroup", dir) if !dir.is_empty() => {
                let keep = |o: &&str| {
                    !matches!(*o, "rw" | "ro" | "xattr" | "clone_children") && !o.starts_with("release_agent=")
                };
                let options: Vec<&str> = options.split(',').filter(keep).collect();
                trees.push(CgroupTree { dir: dir.to_owned(), options: Some(options.join(",")) });
            }
            _ => {}
        }
    }
    trees.sort_by(|a, b| a.dir.cmp(&b.dir));
    trees.dedup();
    match (unified, trees.is_empty()) {
        (true, _) => Cgroups::Unified,
        (false, true) => Cgroups::None,
        (false, false) => Cgroups::Split(trees),
    }
}

/// The arrangement of the running host.
pub fn cgroups() -> Cgroups {
    // The usual host is answered by one call.
    const CGROUP2_MAGIC: u64 = 0x6367_7270;
    if crate::mount::filesystem_magic(Path::new("/sys/fs/cgroup")).is_ok_and(|m| m == CGROUP2_MAGIC) {
        return Cgroups::Unified;
    }
    cgroups_of(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrangements_of_cgroups() {
        let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(cgroups_of(unified), Cgroups::Unified);
        assert_eq!(cgroups_of("22 1 8:1 / / rw - ext4 /dev/sda1 rw\nbroken\n"), Cgroups::None);
        let hybrid = "\
            31 23 0:27 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n\
            32 31 0:28 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n\
            33 31 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
            34 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            35 31 0:30 /x /sys/fs/cgroup/deep/er rw - cgroup cgroup rw,pids\n";
        let tree =
            |dir: &str, options: Option<&str>| CgroupTree { dir: dir.into(), options: options.map(str::to_owned) };
        assert_eq!(
            cgroups_of(hybrid),
            Cgroups::Split(vec![
                tree("cpu,cpuacct", Some("cpu,cpuacct")),
                tree("systemd", Some("name=systemd")),
                tree("unified", None),
            ])
        );
    }

    #[test]
    fn this_kernel_answers() {
        assert_eq!(boot_id().len(), 36);
        assert!(!release().is_empty() && processors() >= 1);
    }
}

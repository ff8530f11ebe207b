//! `bedplate info`: what this machine and the store give.

use std::fmt::Write as _;

use bedplate_store::Status;
use bedplate_sys::kernel::{self, Cgroups};
use bedplate_sys::{idmap, userns};
use bedplate_template::{Shape, Template};
use serde_json::{Value, json};

use crate::commands::version::{ARCHITECTURE, VERSION};
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::format;

/// Arguments of `info`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format the output by a Go template, or "json" for JSON on one line
    #[arg(short, long, value_name = "TEMPLATE", allow_hyphen_values = true)]
    format: Option<String>,
}

/// Prints what is there.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let info = gather(context)?;
    let text = match args.format.as_deref().filter(|format| !format.is_empty()) {
        None => for_people(&info),
        Some("json") => format!("{info}\n"),
        Some(template) => {
            let rendered = Template::parse(template).and_then(|template| template.render(&info, &Shape::STRICT));
            format!("{}\n", rendered.map_err(|error| Failure::new(Kind::User, error.to_string()))?)
        }
    };
    format::print(&text)?;
    Ok(0)
}

fn gather(context: &Context) -> Result<Value, Failure> {
    let store = context.store()?;
    let containers = store.containers()?;
    let count = |status| containers.iter().filter(|state| state.status == status).count();
    let (running, stopped) = (count(Status::Running), containers.len() - count(Status::Running));
    let images = store.images()?.len();
    let os = read("/etc/os-release").or_else(|| read("/usr/lib/os-release")).unwrap_or_default();
    let (uid, _) = userns::effective_ids();
    let cgroups = match kernel::cgroups() {
        Cgroups::None => "",
        Cgroups::Unified => "2",
        Cgroups::Split(_) => "1",
    };
    let kernel_release = kernel::release();
    Ok(json!({
        "Containers": containers.len(),
        "ContainersRunning": running,
        "ContainersPaused": 0,
        "ContainersStopped": stopped,
        "Images": images,
        "Driver": "bedplate",
        "StoreFormat": bedplate_store::FORMAT,
        "CgroupVersion": cgroups,
        "KernelVersion": kernel_release.split_whitespace().next().unwrap_or_default(),
        "OperatingSystem": pretty_name(&os),
        "OSType": "linux",
        "Architecture": std::env::consts::ARCH,
        "Platform": format!("linux/{ARCHITECTURE}"),
        "NCPU": kernel::processors(),
        "MemTotal": read("/proc/meminfo").and_then(|text| memory(&text)).unwrap_or(0),
        "Name": read("/proc/sys/kernel/hostname").unwrap_or_default().trim(),
        "DockerRootDir": context.root.display().to_string(),
        "FallbackRootDir": context.fallback.as_ref().map(|root| root.display().to_string()).unwrap_or_default(),
        "Rootless": !userns::is_root(),
        "SubordinateIDs": subordinate_ids(uid),
        "ServerVersion": VERSION,
    }))
}

/// How many user IDs a user namespace of this user may have besides its own.
fn subordinate_ids(uid: u32) -> u64 {
    let (Ok(subuid), Ok(passwd)) = (std::fs::read("/etc/subuid"), std::fs::read("/etc/passwd")) else { return 0 };
    let ranges = idmap::ranges_of(&subuid, idmap::name_of(&passwd, uid), uid);
    ranges.iter().map(|range| u64::from(range.count)).sum()
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// `PRETTY_NAME` of os-release(5).
fn pretty_name(text: &str) -> &str {
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.unwrap_or("Linux").trim_matches(['"', '\''])
}

/// `MemTotal` of `/proc/meminfo` in bytes.
fn memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn for_people(info: &Value) -> String {
    let mut text = String::new();
    let lines = [
        ("Containers", "Containers"),
        (" Running", "ContainersRunning"),
        (" Stopped", "ContainersStopped"),
        ("Images", "Images"),
        ("Version", "ServerVersion"),
        ("Store", "DockerRootDir"),
        ("Store format", "StoreFormat"),
        ("System store", "FallbackRootDir"),
        ("Rootless", "Rootless"),
        ("Subordinate IDs", "SubordinateIDs"),
        ("Cgroup Version", "CgroupVersion"),
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("Platform", "Platform"),
        ("CPUs", "NCPU"),
        ("Total Memory", "MemTotal"),
        ("Name", "Name"),
    ];
    for (label, field) in lines {
        let shown = match (field, &info[field]) {
            ("MemTotal", value) => format::size(value.as_u64().unwrap_or(0)),
            (_, Value::String(value)) if value.is_empty() => continue,
            (_, Value::String(value)) => value.clone(),
            (_, value) => value.to_string(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{label}: {shown}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_system_are_understood() {
        assert_eq!(pretty_name("ID=x\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n"), "Debian GNU/Linux 13 (trixie)");
        assert_eq!(pretty_name(""), "Linux");
        assert_eq!(memory("MemFree: 1 kB\nMemTotal:       16384 kB\n"), Some(16_777_216));
        for text in ["", "MemTotal: x kB", "MemTotal: 1", "MemTotal: 99999999999999999999 kB"] {
            assert_eq!(memory(text), None, "{text}");
        }
    }

    #[test]
    fn people_see_lines() {
        let text = for_people(&json!({"Images": 2, "MemTotal": 16_000_000_000_u64, "Name": "", "Rootless": true}));
        assert!(text.contains("Images: 2\n") && text.contains("Total Memory: 16GB\n"), "{text}");
        assert!(!text.contains("Name:"), "{text}");
    }
}

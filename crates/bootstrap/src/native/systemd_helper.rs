//! `deb-systemd-helper` where no systemd is installed: links of units that a package enables, and what it remembers.
//! Spec: deb-systemd-helper(1p).

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const UNITS: [&str; 3] = ["etc/systemd/system", "lib/systemd/system", "usr/lib/systemd/system"];
const ENABLED: &str = "var/lib/systemd/deb-systemd-helper-enabled";
const MASKED: [&str; 2] =
    ["var/lib/systemd/deb-systemd-helper-masked", "var/lib/systemd/deb-systemd-user-helper-masked"];

/// Does what `arguments` ask for; the status to end with. `None` where the program itself has to: nothing was done then.
pub(super) fn run(arguments: &[String]) -> Option<i32> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !is_set("DPKG_MAINTSCRIPT_PACKAGE") || is_set("DPKG_ROOT") || is_set("_DEB_SYSTEMD_HELPER_DEBUG") {
        return None;
    }
    let root = Path::new("/");
    if ["bin/systemctl", "usr/bin/systemctl"].iter().any(|name| root.join(name).exists()) {
        return None;
    }
    act(root, arguments)
}

fn act(root: &Path, arguments: &[String]) -> Option<i32> {
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let is_quiet = words.contains(&"--quiet");
    words.retain(|word| *word != "--quiet");
    let [action, units @ ..] = words.as_slice() else { return None };
    let is_plain = |name: &&str| !name.is_empty() && !name.starts_with('-') && !name.contains('/');
    if !units.iter().all(is_plain) {
        return None;
    }
    match *action {
        "was-enabled" | "debian-installed" => {
            let mut status = 1;
            for unit in units {
                let state = root.join(state_path(unit));
                let found = match *action {
                    "was-enabled" => was_enabled(root, &state)?,
                    _ => state.is_file(),
                };
                if *action == "was-enabled" && !is_quiet {
                    super::say(if found { "enabled" } else { "disabled" });
                }
                if found {
                    status = 0;
                }
            }
            Some(status)
        }
        "unmask" => {
            if units.iter().any(|unit| root.join(UNITS[0]).join(unit).symlink_metadata().is_ok()) {
                return None;
            }
            for folder in MASKED {
                remove_empty(&root.join(folder));
            }
            Some(0)
        }
        "enable" => {
            let plans = units.iter().map(|unit| Some((*unit, links(root, unit)?))).collect::<Option<Vec<_>>>()?;
            let done = plans.iter().try_for_each(|(unit, links)| enable(root, unit, links));
            Some(match done {
                Ok(()) => 0,
                Err(error) => {
                    super::say(&format!("deb-systemd-helper: error: {error}"));
                    1
                }
            })
        }
        _ => None,
    }
}

fn state_path(unit: &str) -> String {
    format!("{ENABLED}/{unit}.dsh-also")
}

/// Whether all links are there that the unit was enabled with.
fn was_enabled(root: &Path, state: &Path) -> Option<bool> {
    match fs::read_to_string(state) {
        Ok(text) => Some(text.lines().all(|link| root.join(link.trim_start_matches('/')).is_symlink())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(true),
        Err(_) => None,
    }
}

/// A link as it is to be written down, and where it leads.
type Link = (String, String);

/// The links that enable a unit; `None` where its file says more than by whom it is wanted.
fn links(root: &Path, unit: &str) -> Option<Vec<Link>> {
    let folder = UNITS.iter().find(|folder| root.join(folder).join(unit).is_file())?;
    let text = fs::read_to_string(root.join(folder).join(unit)).ok()?;
    let mut links = Vec::new();
    for line in text.lines().map(str::trim_start) {
        let Some((key, value)) = line.split_once('=') else { continue };
        match key.to_ascii_lowercase().as_str() {
            "also" | "alias" | "defaultinstance" => return None,
            "wantedby" | "requiredby" if value.is_empty() => {}
            "wantedby" | "requiredby" => {
                let suffix = match key {
                    "WantedBy" => "wants",
                    "RequiredBy" => "requires",
                    _ => return None,
                };
                let is_odd = |c: char| !(c.is_ascii_alphanumeric() || "@.:_-\\ ".contains(c));
                if value.contains(is_odd) || value.starts_with(' ') {
                    return None;
                }
                for target in value.split_ascii_whitespace() {
                    links.push((format!("/{}/{target}.{suffix}/{unit}", UNITS[0]), format!("/{folder}/{unit}")));
                }
            }
            _ => {}
        }
    }
    Some(links)
}

fn enable(root: &Path, unit: &str, links: &[Link]) -> io::Result<()> {
    let state = root.join(state_path(unit));
    for (link, target) in links {
        record(&state, link)?;
        let at = root.join(link.trim_start_matches('/'));
        let Ok(below) = at.strip_prefix(root.join(UNITS[0])) else { continue };
        let mark = root.join(ENABLED).join(below);
        if mark.exists() {
            continue;
        }
        if !at.is_symlink() {
            make_parent(&at)?;
            symlink(target, &at)?;
        }
        make_parent(&mark)?;
        File::options().append(true).create(true).open(&mark)?;
    }
    Ok(())
}

/// Adds a line to a file, unless it is there; the file is a new one each time.
fn record(state: &Path, link: &str) -> io::Result<()> {
    make_parent(state)?;
    let mut text = match fs::read_to_string(state) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    if !text.lines().any(|line| line == link) {
        text.push_str(link);
        text.push('\n');
    }
    let new = PathBuf::from(format!("{}.tmp", state.display()));
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&new, state)
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Removes directories that hold nothing but such directories.
fn remove_empty(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !is_hidden && entry.path().is_dir() {
            remove_empty(&entry.path());
        }
    }
    // One that holds more stays.
    let _ = fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_unit_is_enabled_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let units = root.join("usr/lib/systemd/system");
        fs::create_dir_all(&units).unwrap();
        fs::write(units.join("a.timer"), "[Install]\nWantedBy=timers.target other.target\n").unwrap();
        assert_eq!(act(root, &words("unmask a.timer")), Some(0));
        assert_eq!(act(root, &words("debian-installed a.timer")), Some(1));
        assert_eq!(act(root, &words("--quiet was-enabled a.timer")), Some(0));
        assert_eq!(act(root, &words("enable a.timer")), Some(0));
        assert_eq!(act(root, &words("debian-installed a.timer")), Some(0));
        let link = root.join("etc/systemd/system/timers.target.wants/a.timer");
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("/usr/lib/systemd/system/a.timer"));
        let state = root.join(ENABLED);
        assert_eq!(
            fs::read_to_string(state.join("a.timer.dsh-also")).unwrap(),
            "/etc/systemd/system/timers.target.wants/a.timer\n/etc/systemd/system/other.target.wants/a.timer\n"
        );
        assert_eq!(fs::read(state.join("timers.target.wants/a.timer")).unwrap(), b"");
        // Who takes a link away is not overruled.
        fs::remove_file(&link).unwrap();
        assert_eq!(act(root, &words("--quiet was-enabled a.timer")), Some(1));
        assert_eq!(act(root, &words("enable a.timer")), Some(0));
        assert!(!link.is_symlink());
    }

    #[test]
    fn the_rest_is_left_to_the_program_itself() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let units = root.join("lib/systemd/system");
        fs::create_dir_all(&units).unwrap();
        for (name, text) in
            [("a.service", "Also=b.service"), ("b.service", "WantedBy=\"x\""), ("c.service", "wantedby=x")]
        {
            fs::write(units.join(name), format!("[Install]\n{text}\n")).unwrap();
            assert_eq!(act(root, &words(&format!("enable {name}"))), None, "{text}");
        }
        for call in
            ["enable none.service", "--user enable a.service", "purge a.service", "enable ../a", "mask a.service"]
        {
            assert_eq!(act(root, &words(call)), None, "{call}");
        }
        assert!(!root.join("var").exists() && !root.join("etc").exists());
        fs::create_dir_all(root.join(UNITS[0])).unwrap();
        symlink("/dev/null", root.join(UNITS[0]).join("a.service")).unwrap();
        assert_eq!(act(root, &words("unmask a.service")), None);
    }
}

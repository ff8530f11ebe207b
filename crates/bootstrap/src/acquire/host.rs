//! What the host's own package manager is set to.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bedplate_packages::deb::aptconf::AptConfig;
use thiserror::Error;

/// The largest configuration file that is read, in bytes.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Files of a host that say which archive its package manager asks; read once, judged later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// `ID` of its os-release: `debian`.
    pub distribution: Option<String>,
    /// `VERSION_CODENAME` of its os-release: `bookworm`.
    pub codename: Option<String>,
    /// `etc/apt/sources.list` and `etc/apt/sources.list.d/*`, in the order in which apt reads them.
    pub sources: Vec<HostFile>,
    /// `etc/apt/apt.conf.d/*` and `etc/apt/apt.conf`, in the order in which apt reads them.
    pub apt_conf: Vec<HostFile>,
    /// What their `#include` lines name, with the texts that are there.
    pub included: BTreeMap<String, Vec<String>>,
    /// The folder that all of it was read from.
    pub root: PathBuf,
}

/// A configuration file of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFile {
    /// Its path on the host: `/etc/apt/sources.list`.
    pub path: String,
    /// Its text.
    pub text: Vec<u8>,
}

/// A file of the host that cannot be read.
#[derive(Debug, Error)]
#[error("cannot read the host's {path:?}")]
pub struct HostError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Host {
    /// Reads the host whose root is `root`: `/`. What does not exist, or may not be read by this user, is not there.
    ///
    /// # Errors
    /// [`HostError`] where a file that exists cannot be read.
    pub fn read(root: &Path) -> Result<Self, HostError> {
        let mut host = Self { root: root.to_owned(), ..Self::default() };
        for path in ["/etc/os-release", "/usr/lib/os-release"] {
            let Some(text) = read(root, path)? else { continue };
            let text = String::from_utf8_lossy(&text);
            host.distribution = value(&text, "ID");
            host.codename = value(&text, "VERSION_CODENAME");
            break;
        }
        // apt.conf.d comes first, then apt.conf; spec: apt.conf(5).
        host.sources =
            files(root, &["/etc/apt/sources.list"], "/etc/apt/sources.list.d", &[".list", ".sources"], true)?;
        host.apt_conf = files(root, &["/etc/apt/apt.conf"], "/etc/apt/apt.conf.d", &["", ".conf"], false)?;
        host.read_included()?;
        Ok(host)
    }

    /// Reads what the files of apt's configuration include.
    fn read_included(&mut self) -> Result<(), HostError> {
        let mut config = AptConfig::default();
        let mut failed = None;
        for file in &self.apt_conf {
            let mut includes = |name: &str| {
                let texts = included(&self.root, name).unwrap_or_else(|error| {
                    failed.get_or_insert(error);
                    Vec::new()
                });
                self.included.insert(name.to_owned(), texts.clone());
                texts
            };
            // Whoever judges the file says what is wrong with it.
            let _ = config.add(&String::from_utf8_lossy(&file.text), &mut includes);
        }
        failed.map_or(Ok(()), Err)
    }
}

/// The texts of a file, or of the files of a folder whose name ends in a slash.
fn included(root: &Path, name: &str) -> Result<Vec<String>, HostError> {
    let texts: Vec<Vec<u8>> = match name.strip_suffix('/') {
        Some(folder) => files(root, &[], folder, &["", ".conf"], false)?.into_iter().map(|file| file.text).collect(),
        None => read(root, name)?.into_iter().collect(),
    };
    Ok(texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect())
}

/// The files that apt reads, in its order: names of letters, digits, `-`, `_` and `.` with one of the suffixes.
fn files(
    root: &Path,
    single: &[&str],
    folder: &str,
    suffixes: &[&str],
    single_first: bool,
) -> Result<Vec<HostFile>, HostError> {
    let mut paths = Vec::new();
    let place = root.join(folder.trim_start_matches('/'));
    let entries = match fs::read_dir(&place) {
        Ok(entries) => Some(entries),
        Err(error) if absent(&error) => None,
        Err(source) => return Err(HostError { path: place, source }),
    };
    for entry in entries.into_iter().flatten() {
        let entry = entry.map_err(|source| HostError { path: place.clone(), source })?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let fits = suffixes.iter().any(|suffix| {
            name.strip_suffix(suffix).is_some_and(|stem| !(stem.is_empty() || suffix.is_empty() && stem.contains('.')))
        });
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if fits && plain && !name.starts_with('.') {
            paths.push(format!("{folder}/{name}"));
        }
    }
    paths.sort();
    let at = if single_first { 0 } else { paths.len() };
    paths.splice(at..at, single.iter().map(|path| (*path).to_owned()));
    let mut found = Vec::new();
    for path in paths {
        if let Some(text) = read(root, &path)? {
            found.push(HostFile { path, text });
        }
    }
    Ok(found)
}

fn read(root: &Path, path: &str) -> Result<Option<Vec<u8>>, HostError> {
    let place = root.join(path.trim_start_matches('/'));
    let failed = |source| HostError { path: place.clone(), source };
    let file = match fs::File::open(&place) {
        Ok(file) => file,
        Err(error) if absent(&error) => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, MAX_FILE + 1), &mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, format!("larger than {MAX_FILE} bytes"))));
    }
    Ok(Some(text))
}

fn absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::IsADirectory
    )
}

/// A value of an os-release file. Spec: os-release(5).
fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    let line = line.trim();
    let bare = line.strip_prefix(['"', '\'']).and_then(|rest| rest.strip_suffix(['"', '\'']));
    Some(bare.unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_reads_is_read_in_its_order() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("etc/os-release", "NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_CODENAME=\"bookworm\"\n");
        put("etc/apt/sources.list", "1");
        put("etc/apt/sources.list.d/b.sources", "3");
        put("etc/apt/sources.list.d/a.list", "2");
        put("etc/apt/sources.list.d/a.list.save", "-");
        put("etc/apt/sources.list.d/.hidden.list", "-");
        put("etc/apt/apt.conf", "A \"9\"; #include \"/etc/apt/more.d/\";");
        put("etc/apt/more.d/1", "#include \"/etc/apt/one\";");
        put("etc/apt/more.d/2~", "-");
        put("etc/apt/one", "B \"1\";");
        put("etc/apt/apt.conf.d/10x", "7");
        put("etc/apt/apt.conf.d/20y.conf", "8");
        put("etc/apt/apt.conf.d/30z.dpkg-old", "-");
        let host = Host::read(root.path()).unwrap();
        assert_eq!(host.distribution.as_deref(), Some("debian"));
        assert_eq!(host.codename.as_deref(), Some("bookworm"));
        let texts = |files: &[HostFile]| {
            files.iter().map(|file| String::from_utf8(file.text.clone()).unwrap()).collect::<String>()
        };
        assert_eq!(texts(&host.sources), "123");
        assert_eq!(texts(&host.apt_conf), "78A \"9\"; #include \"/etc/apt/more.d/\";");
        let names: Vec<&str> = host.included.keys().map(String::as_str).collect();
        assert_eq!(names, ["/etc/apt/more.d/", "/etc/apt/one"]);
        assert_eq!(host.included["/etc/apt/one"], ["B \"1\";"]);
    }

    #[test]
    fn a_host_without_apt_has_no_sources() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Host::read(root.path()).unwrap(), Host { root: root.path().into(), ..Host::default() });
    }
}

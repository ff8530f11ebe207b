//! debconf's noninteractive frontend: questions get their defaults, and all is written down as debconf does.
//!
//! ```text
//! postinst ─▶ confmodule ─▶ frontend: templates of the package ─▶ config ─▶ postinst once more, which talks
//! ```
//! Spec: debconf-devel(7); debconf specification, "The configuration management protocol".

mod conversation;
mod database;
mod questions;
mod templates;

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use conversation::converse;
use questions::Questions;

const FOLDER: &str = "/var/cache/debconf";

/// What debconf heeds besides its arguments, and this frontend does not.
const UNKNOWN: [&str; 10] = [
    "DEBCONF_SYSTEMRC",
    "DEBCONF_DB_REPLACE",
    "DEBCONF_DB_OVERRIDE",
    "DEBCONF_DB_FALLBACK",
    "DEBCONF_PACKAGE",
    "DEBCONF_DEBUG",
    "DEBCONF_C_VALUES",
    "DEBCONF_USE_CDEBCONF",
    "DPKG_ROOT",
    "LANGUAGE",
];

/// Serves the script that `arguments` name, and what they say to it; the status to end with. `None` where debconf itself
/// has to: nothing was done then.
pub(super) fn run(arguments: &[String]) -> Option<i32> {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let unknown = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !is("DEBIAN_FRONTEND", "noninteractive") || !is("LC_ALL", "C") || UNKNOWN.iter().any(unknown) {
        return None;
    }
    if Path::new("/root/.debconfrc").exists() || sends_mail() || converts_text() {
        return None;
    }
    let [script, call @ ..] = arguments else { return None };
    let (stem, kind) = stem(script)?;
    let package = package(stem, kind)?;
    let templates = match fs::read(format!("{stem}templates")) {
        Ok(text) => templates::parse(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(_) => return None,
    };
    let mut questions = Questions::open(Path::new(FOLDER), &package).ok()?;
    for fields in &templates {
        questions.load(fields);
    }
    Some(serve(&mut questions, script, call, stem, kind).unwrap_or_else(|error| {
        super::say(&format!("debconf: {script}: {error}"));
        1
    }))
}

fn serve(questions: &mut Questions, script: &str, call: &[String], stem: &str, kind: &str) -> io::Result<i32> {
    let config = format!("{stem}config");
    if matches!(kind, "preinst" | "postinst") && Path::new(&config).exists() {
        let version = call.get(1).map_or("", String::as_str);
        let status = converse(questions, &config, &["configure".to_owned(), version.to_owned()])?;
        if status > 0 {
            return Ok(status);
        }
    }
    let status = converse(questions, script, call)?;
    questions.save()?;
    Ok(status)
}

/// What comes before the kind of a script: `/var/lib/dpkg/info/PACKAGE.`, or the folder of a preinst.
fn stem(script: &str) -> Option<(&str, &str)> {
    ["preinst", "postinst", "prerm", "postrm"].into_iter().find_map(|kind| {
        let stem = script.strip_suffix(kind)?;
        stem.ends_with(['.', '/']).then_some((stem, kind))
    })
}

/// Whose questions they are.
fn package(stem: &str, kind: &str) -> Option<Vec<u8>> {
    if kind != "preinst" {
        let name = stem.strip_suffix('.')?.rsplit('/').next()?;
        return Some(name.as_bytes().to_vec());
    }
    let control = fs::read("/var/lib/dpkg/tmp.ci/control").ok()?;
    control.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Package: ")).map(<[u8]>::to_vec)
}

/// An error that nobody saw is sent to root where there is a program for that.
fn sends_mail() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    path.as_bytes().split(|byte| *byte == b':').any(|folder| {
        use std::ffi::OsStr;
        Path::new(OsStr::from_bytes(folder)).join("mail").exists()
    })
}

/// With this module debconf looks for texts in other encodings.
fn converts_text() -> bool {
    let below = |folder: &Path| -> Vec<std::path::PathBuf> {
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let perls = below(Path::new("/usr/lib")).into_iter().flat_map(|triplet| below(&triplet));
    let perls = perls.filter(|path| path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"perl5")));
    perls.flat_map(|perl| below(&perl)).any(|version| version.join("Text/Iconv.pm").exists())
}

pub(super) fn fuzz(data: &[u8]) {
    database::fuzz(data);
    for fields in templates::parse(data).unwrap_or_default() {
        assert!(fields.contains_key(b"template".as_slice()) && fields.contains_key(b"type".as_slice()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_tell_whose_they_are() {
        let cases = [
            ("/var/lib/dpkg/info/libx:amd64.postinst", Some(("/var/lib/dpkg/info/libx:amd64.", "postinst"))),
            ("/var/lib/dpkg/tmp.ci/preinst", Some(("/var/lib/dpkg/tmp.ci/", "preinst"))),
            ("/usr/bin/apostinst", None),
            ("/usr/bin/tool", None),
        ];
        for (script, expected) in cases {
            assert_eq!(stem(script), expected, "{script}");
        }
        assert_eq!(package("/var/lib/dpkg/info/libx:amd64.", "postinst").unwrap(), b"libx:amd64");
    }
}

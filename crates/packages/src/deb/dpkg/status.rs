//! `status`: every package with its state. The order of fields is dpkg's own; for the states see dpkg(1).
//!
//! A stanza holds the control file's fields in dpkg's order, relations printed anew, `Status` and `Conffiles` between
//! them, and at the end, as they came, fields that dpkg does not know.

use std::fmt::Write as _;

use thiserror::Error;

use super::State;
use crate::deb::control::{ControlError, Paragraph, Paragraphs};
use crate::deb::payload::{Conffile, Control};
use crate::deb::relation::{RelationError, Relations};

/// What somebody wants of a package: the first word of `Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Nobody said.
    Unknown,
    /// It should be there.
    Install,
    /// It should stay as it is.
    Hold,
    /// It should go, its configuration may stay.
    Deinstall,
    /// All of it should go.
    Purge,
}

/// How far a package is: the last word of `Status`, in dpkg's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageState {
    /// Not there.
    NotInstalled,
    /// Only its configuration is.
    ConfigFiles,
    /// Unpacking or removing it failed.
    HalfInstalled,
    /// Its files are there.
    Unpacked,
    /// Configuring it failed.
    HalfConfigured,
    /// It waits for others to handle triggers.
    TriggersAwaited,
    /// It has triggers to handle.
    TriggersPending,
    /// All is done.
    Installed,
}

/// The words of `Status`.
const STATES: [(&str, PackageState); 8] = [
    ("not-installed", PackageState::NotInstalled),
    ("config-files", PackageState::ConfigFiles),
    ("half-installed", PackageState::HalfInstalled),
    ("unpacked", PackageState::Unpacked),
    ("half-configured", PackageState::HalfConfigured),
    ("triggers-awaited", PackageState::TriggersAwaited),
    ("triggers-pending", PackageState::TriggersPending),
    ("installed", PackageState::Installed),
];

impl PackageState {
    /// Its word in `Status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        STATES.iter().find(|(_, state)| *state == self).map_or("", |(word, _)| word)
    }
}

/// One package of the database.
#[derive(Debug, Clone)]
pub struct Stanza<'a> {
    /// Its fields.
    pub paragraph: Paragraph<'a>,
    /// Its name.
    pub name: &'a str,
    /// Its version; empty where it is not there.
    pub version: &'a str,
    /// Its architecture; empty in databases that were begun by hand.
    pub architecture: &'a str,
    /// What somebody wants of it.
    pub want: Want,
    /// Whether it must be installed anew before anything else.
    pub reinstall: bool,
    /// How far it is.
    pub state: PackageState,
}

/// Why a `status` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StatusError {
    /// Not paragraphs of fields, or a needed one is missing.
    #[error("a stanza cannot be read")]
    Paragraph {
        /// What is wrong.
        #[source]
        source: ControlError,
    },
    /// A `Status` that is none.
    #[error("line {line}: status {text:?} of package \"{package}\" is not known")]
    Status {
        /// Where the stanza begins, counted from 1.
        line: usize,
        /// The package.
        package: String,
        /// The field.
        text: String,
    },
}

/// Why a stanza cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StanzaError {
    /// A field that is no text.
    #[error("a field cannot be read")]
    Field {
        /// What is wrong.
        #[source]
        source: ControlError,
    },
    /// Relations that dpkg could not read either.
    #[error("field {field}")]
    Relations {
        /// The field.
        field: &'static str,
        /// What is wrong.
        #[source]
        source: RelationError,
    },
}

/// Reads a `status`, or a file of `status.d`.
///
/// # Errors
/// [`StatusError`].
pub fn parse(text: &[u8]) -> Result<Vec<Stanza<'_>>, StatusError> {
    let mut stanzas = Vec::new();
    for paragraph in Paragraphs::new(text) {
        let paragraph = paragraph.map_err(|source| StatusError::Paragraph { source })?;
        stanzas.push(stanza_of(paragraph)?);
    }
    Ok(stanzas)
}

fn stanza_of(paragraph: Paragraph<'_>) -> Result<Stanza<'_>, StatusError> {
    let field = |name| paragraph.get(name).map_err(|source| StatusError::Paragraph { source });
    let name = paragraph.require("Package").map_err(|source| StatusError::Paragraph { source })?;
    let version = field("Version")?.unwrap_or_default();
    let architecture = field("Architecture")?.unwrap_or_default();
    // Images without dpkg list packages without a state: they are there.
    let text = field("Status")?.unwrap_or("install ok installed");
    let bad = || StatusError::Status { line: paragraph.line(), package: name.to_owned(), text: text.to_owned() };
    let mut words = text.split_ascii_whitespace();
    let want = match words.next() {
        Some("unknown") => Want::Unknown,
        Some("install") => Want::Install,
        Some("hold") => Want::Hold,
        Some("deinstall") => Want::Deinstall,
        Some("purge") => Want::Purge,
        _ => return Err(bad()),
    };
    let reinstall = match words.next() {
        Some("ok") => false,
        Some("reinstreq") => true,
        _ => return Err(bad()),
    };
    let word = words.next().ok_or_else(bad)?;
    let (_, state) = *STATES.iter().find(|(name, _)| *name == word).ok_or_else(bad)?;
    if words.next().is_some() {
        return Err(bad());
    }
    Ok(Stanza { name, version, architecture, want, reinstall, state, paragraph })
}

enum Form {
    /// As it is.
    Text,
    /// Only `yes` is written.
    Flag,
    Lower,
    /// All but `no`.
    MultiArch,
    Relations,
    Version,
    Status,
    Conffiles,
    /// Said of the archive's file, or of another life of the package: not kept.
    Dropped,
}

/// The fields that dpkg knows, in its order.
const FIELDS: &[(&str, Form)] = &[
    ("Package", Form::Text),
    ("Essential", Form::Flag),
    ("Protected", Form::Flag),
    ("Status", Form::Status),
    ("Priority", Form::Lower),
    ("Section", Form::Text),
    ("Installed-Size", Form::Text),
    ("Origin", Form::Text),
    ("Maintainer", Form::Text),
    ("Bugs", Form::Text),
    ("Architecture", Form::Text),
    ("Multi-Arch", Form::MultiArch),
    ("Source", Form::Text),
    ("Version", Form::Version),
    ("Config-Version", Form::Dropped),
    ("Replaces", Form::Relations),
    ("Provides", Form::Relations),
    ("Depends", Form::Relations),
    ("Pre-Depends", Form::Relations),
    ("Recommends", Form::Relations),
    ("Suggests", Form::Relations),
    ("Breaks", Form::Relations),
    ("Conflicts", Form::Relations),
    ("Enhances", Form::Relations),
    ("Conffiles", Form::Conffiles),
    ("Filename", Form::Dropped),
    ("Size", Form::Dropped),
    ("MD5sum", Form::Dropped),
    ("MSDOS-Filename", Form::Dropped),
    ("Description", Form::Text),
    ("Triggers-Pending", Form::Dropped),
    ("Triggers-Awaited", Form::Dropped),
];

/// The stanza of a package, with the line end of its last field.
///
/// # Errors
/// [`StanzaError`].
pub fn stanza(control: &Control, state: State, conffiles: &[Conffile]) -> Result<String, StanzaError> {
    let paragraph = control.paragraph();
    let mut out = String::with_capacity(control.text().len() + 128);
    let field = |name| paragraph.get(name).map_err(|source| StanzaError::Field { source });
    for (name, form) in FIELDS {
        match form {
            Form::Dropped => continue,
            Form::Status => {
                let state = match state {
                    State::Unpacked => "unpacked",
                    State::Installed => "installed",
                };
                let _ = writeln!(out, "Status: install ok {state}");
                continue;
            }
            Form::Conffiles => {
                put_conffiles(&mut out, conffiles);
                continue;
            }
            _ => {}
        }
        let Some(value) = field(name)?.filter(|value| !value.is_empty()) else { continue };
        match form {
            Form::Flag if !value.eq_ignore_ascii_case("yes") => {}
            Form::Flag => drop(writeln!(out, "{name}: yes")),
            Form::MultiArch if value.eq_ignore_ascii_case("no") => {}
            Form::Lower | Form::MultiArch => drop(writeln!(out, "{name}: {}", value.to_ascii_lowercase())),
            Form::Relations => {
                // Printed anew: on one line, one blank between the parts.
                let relations = relations(value).map_err(|source| StanzaError::Relations { field: name, source })?;
                let _ = writeln!(out, "{name}: {relations}");
            }
            Form::Version => drop(writeln!(out, "{name}: {}", shortest(value))),
            _ => drop(writeln!(out, "{name}: {value}")),
        }
    }
    for field in paragraph.fields() {
        let known = FIELDS.iter().any(|(name, _)| name.eq_ignore_ascii_case(field.name()));
        let value = field.text().map_err(|source| StanzaError::Field { source })?;
        if !known && !value.is_empty() {
            let _ = writeln!(out, "{}: {value}", field.name());
        }
    }
    Ok(out)
}

fn put_conffiles(out: &mut String, conffiles: &[Conffile]) {
    if conffiles.is_empty() {
        return;
    }
    out.push_str("Conffiles:\n");
    for Conffile { path, remove_on_upgrade, md5 } in conffiles {
        let _ = write!(out, " /{}", String::from_utf8_lossy(path.as_bytes()));
        match md5 {
            Some(md5) => drop(write!(out, " {md5}")),
            None => out.push_str(" newconffile"),
        }
        out.push_str(if *remove_on_upgrade { " remove-on-upgrade\n" } else { "\n" });
    }
}

/// Relations as dpkg prints them: on one line, one blank between the parts, versions without a needless epoch.
fn relations(value: &str) -> Result<String, RelationError> {
    let mut out = String::with_capacity(value.len());
    for group in Relations::new(value).groups() {
        if !out.is_empty() {
            out.push_str(", ");
        }
        for (number, relation) in group?.alternatives().enumerate() {
            let relation = relation?;
            if number > 0 {
                out.push_str(" | ");
            }
            out.push_str(relation.name);
            if let Some(qualifier) = relation.qualifier {
                let _ = write!(out, ":{qualifier}");
            }
            if let Some((operator, version)) = relation.version {
                let _ = write!(out, " ({} {})", operator.as_str(), shortest(version.as_str()));
            }
        }
    }
    Ok(out)
}

/// A version without an epoch of 0, where it means the same.
fn shortest(version: &str) -> &str {
    match version.split_once(':') {
        Some((epoch, rest)) if !rest.contains(':') && !epoch.is_empty() && epoch.bytes().all(|b| b == b'0') => rest,
        _ => version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(text: &str) -> Control {
        Control::parse(text.as_bytes().into()).unwrap()
    }

    #[test]
    fn a_stanza_has_dpkgs_order_and_forms() {
        let control = control(
            "Package: a1\nX-Other: kept\nVersion: 0:1-1\nDepends: b(>=1),\n c:any|d [amd64]\nDescription: short\n long\n .\n more\n\
             Architecture: all\nMulti-Arch: No\nEssential: yes\nProtected: no\nFilename: pool/a.deb\nPriority: Required\n",
        );
        let path = bedplate_tree::TreePath::parse(b"etc/a").unwrap();
        let md5 = Some(crate::deb::payload::Md5::of(b"a"));
        let conffiles = [Conffile { path, remove_on_upgrade: false, md5 }];
        assert_eq!(
            stanza(&control, State::Unpacked, &conffiles).unwrap(),
            "Package: a1\nEssential: yes\nStatus: install ok unpacked\nPriority: required\nArchitecture: all\nVersion: 1-1\n\
             Depends: b (>= 1), c:any | d\nConffiles:\n /etc/a 0cc175b9c0f1b6a831c399e269772661\n\
             Description: short\n long\n .\n more\nX-Other: kept\n"
        );
    }

    #[test]
    fn states_are_read() {
        let text = "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n\
                    Package: b\nStatus: deinstall reinstreq half-installed\n\nPackage: c\nVersion: 2\n";
        let stanzas = parse(text.as_bytes()).unwrap();
        let shown: Vec<_> = stanzas.iter().map(|s| (s.name, s.version, s.want, s.reinstall, s.state)).collect();
        assert_eq!(
            shown,
            [
                ("a", "1", Want::Install, false, PackageState::Installed),
                ("b", "", Want::Deinstall, true, PackageState::HalfInstalled),
                ("c", "2", Want::Install, false, PackageState::Installed),
            ]
        );
        let cases =
            ["install ok", "install ok installed now", "want ok installed", "install bad installed", "install ok x"];
        for status in cases {
            let text = format!("Package: a\nStatus: {status}\n");
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert_eq!(error, format!("line 1: status {status:?} of package \"a\" is not known"));
        }
    }
}

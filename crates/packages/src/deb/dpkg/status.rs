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

/// How far a package is: the last word of `Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    let state = match words.next() {
        Some("not-installed") => PackageState::NotInstalled,
        Some("config-files") => PackageState::ConfigFiles,
        Some("half-installed") => PackageState::HalfInstalled,
        Some("unpacked") => PackageState::Unpacked,
        Some("half-configured") => PackageState::HalfConfigured,
        Some("triggers-awaited") => PackageState::TriggersAwaited,
        Some("triggers-pending") => PackageState::TriggersPending,
        Some("installed") => PackageState::Installed,
        _ => return Err(bad()),
    };
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
    ("Version", Form::Text),
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
                let relations = Relations::new(value);
                relations.check().map_err(|source| StanzaError::Relations { field: name, source })?;
                let _ = writeln!(out, "{name}: {relations}");
            }
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

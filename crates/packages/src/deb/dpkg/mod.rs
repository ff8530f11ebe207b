//! dpkg's database, as its own files: read, and written so that the dpkg of an image takes it for its own work.
//!
//! ```text
//! var/lib/dpkg/status             every package: its control fields, its state, sums of its configuration files
//!              info/PKG.list      the names of its files; info/PKG.{preinst,md5sums,triggers,...} as packed
//!              info/format        "1"
//!              triggers/File      who is interested in paths; triggers/NAME: who is interested in that name
//!              diversions, statoverride, alternatives/NAME, available, lock, ...
//! ```
//! Configuration files are in their place with their sums in `status`, so that configuring leaves them alone.

pub mod alternatives;
pub mod configure;
pub mod diversions;
mod info;
pub mod statoverride;
pub mod status;
pub mod triggers;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bedplate_tree::{Content, Entry, Metadata, Timestamp, Tree, TreeError, TreePath};
use thiserror::Error;

use super::payload::{MultiArch, Payload};
use diversions::Diversions;
use statoverride::StatOverrides;
use triggers::{Directive, Interest, TriggerName};

/// How far a package is in a database that we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its files are in place; its `postinst` is still to be run.
    Unpacked,
    /// All is done.
    Installed,
}

/// A package to be recorded.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The package.
    pub payload: &'a Payload,
    /// How far it is.
    pub state: State,
    /// Its names that are not to be listed: see [`Composition::unlisted`](super::compose::Composition::unlisted).
    pub unlisted: Option<&'a HashSet<TreePath>>,
}

/// Gives the bytes of a file of a root, `None` where there is none.
pub type ReadFile<'a, E> = dyn FnMut(&TreePath) -> Result<Option<Vec<u8>>, E> + 'a;

/// What a database has besides packages.
#[derive(Debug, Clone, Default)]
pub struct DatabaseOptions {
    /// The time of the files that are written; those of control members keep their own.
    pub mtime: Timestamp,
    /// The native architecture; needed only where there are foreign ones.
    pub native: String,
    /// Architectures besides the native one; with some there is a file `arch`, the native one first.
    pub foreign: Vec<String>,
    /// Diversions.
    pub diversions: Diversions,
    /// Overridden attributes.
    pub statoverrides: StatOverrides,
    /// Names and architectures of packages that were there and disappeared; [`forget`] takes their files.
    pub gone: Vec<(String, String)>,
}

/// Why a database cannot be written or added to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The `status` that is there.
    #[error("dpkg's database: var/lib/dpkg/status")]
    Status {
        /// What is wrong with it.
        #[source]
        source: status::StatusError,
    },
    /// The `triggers` of a package.
    #[error("triggers of package \"{package}\"")]
    Triggers {
        /// The package.
        package: String,
        /// What is wrong with them.
        #[source]
        source: triggers::TriggersError,
    },
    /// `triggers/File` as it is there.
    #[error("dpkg's database: var/lib/dpkg/triggers/File")]
    FileTriggers {
        /// What is wrong with it.
        #[source]
        source: triggers::TriggersError,
    },
    /// The relations of a package.
    #[error("control fields of package \"{package}\"")]
    Control {
        /// The package.
        package: String,
        /// What is wrong with them.
        #[source]
        source: status::StanzaError,
    },
}

/// A database of those packages, for a root that has none: directories and files below `var/lib/dpkg`, in the order
/// of their paths. Put them with [`place`].
///
/// # Errors
/// [`DatabaseError`].
pub fn database(records: &[Record<'_>], options: &DatabaseOptions) -> Result<Vec<(TreePath, Entry)>, DatabaseError> {
    let mut files = Files::new(options.mtime);
    for directory in ["", "alternatives", "info", "parts", "triggers", "updates"] {
        files.directory(directory);
    }
    files.file("available", Vec::new(), 0o644);
    files.file("diversions", options.diversions.print(), 0o644);
    files.file("statoverride", options.statoverrides.print(), 0o644);
    files.file("info/format", b"1\n".to_vec(), 0o644);
    files.file("lock", Vec::new(), 0o640);
    files.file("lock-frontend", Vec::new(), 0o640);
    files.file("triggers/Lock", Vec::new(), 0o600);
    files.file("triggers/Unincorp", Vec::new(), 0o644);
    if !options.foreign.is_empty() {
        let names = std::iter::once(&options.native).chain(&options.foreign);
        files.file("arch", names.map(|name| format!("{name}\n")).collect::<String>().into_bytes(), 0o644);
    }
    add::<DatabaseError>(&mut files, &mut |_| Ok(None), records, &options.gone)?;
    Ok(files.finish())
}

/// Adds packages to the database that a running dpkg left: the files that change, in the order of their paths.
///
/// `read` gives the bytes of a file of that root, `None` where there is none; it is asked for `status` and `triggers/*`
/// below `var/lib/dpkg`. A package that is in `status` already is replaced there.
/// What was unpacked activates the file triggers of packages that are already there: `triggers/Unincorp` says so.
///
/// # Errors
/// [`DatabaseError`]; the error of `read`.
pub fn add_unpacked<E: From<DatabaseError>>(
    read: &mut ReadFile<'_, E>,
    records: &[Record<'_>],
    options: &DatabaseOptions,
) -> Result<Vec<(TreePath, Entry)>, E> {
    let mut files = Files::new(options.mtime);
    add(&mut files, read, records, &options.gone)?;
    Ok(files.finish())
}

/// The path of a file of the database.
#[must_use]
pub fn admin_path(name: &str) -> TreePath {
    let path = TreePath::parse(format!("var/lib/dpkg/{name}").as_bytes());
    path.expect("names that become files of the database were checked when they were read")
}

/// What is to be written.
struct Files {
    entries: BTreeMap<TreePath, Entry>,
    mtime: Timestamp,
}

impl Files {
    fn new(mtime: Timestamp) -> Self {
        Self { entries: BTreeMap::new(), mtime }
    }

    fn directory(&mut self, name: &str) {
        self.entries.insert(admin_path(name), Entry::directory(Metadata::implied_directory(self.mtime)));
    }

    fn file(&mut self, name: &str, content: impl Into<Arc<[u8]>>, mode: u32) {
        let metadata = Metadata { mode, mtime: self.mtime, ..Metadata::default() };
        self.entries.insert(admin_path(name), Entry::file(Content::from_bytes(content), metadata));
    }

    /// A file with attributes of its own.
    fn packed(&mut self, name: &str, content: &[u8], metadata: Metadata) {
        self.entries.insert(admin_path(name), Entry::file(Content::from_bytes(content), metadata));
    }

    fn finish(self) -> Vec<(TreePath, Entry)> {
        self.entries.into_iter().collect()
    }
}

fn add<E: From<DatabaseError>>(
    files: &mut Files,
    read: &mut ReadFile<'_, E>,
    records: &[Record<'_>],
    gone: &[(String, String)],
) -> Result<(), E> {
    let status = read(&admin_path("status"))?.unwrap_or_default();
    files.file("status", merged_status(&status, records, gone)?, 0o644);
    for record in records {
        info::add(files, record);
    }
    add_triggers(files, read, records, status.is_empty())
}

/// The stanzas of `existing` without those that are gone, and of the packages, in dpkg's order: by name, then
/// architecture.
fn merged_status(existing: &[u8], records: &[Record<'_>], gone: &[(String, String)]) -> Result<Vec<u8>, DatabaseError> {
    let existing = status::parse(existing).map_err(|source| DatabaseError::Status { source })?;
    let mut stanzas: BTreeMap<(String, String), Vec<u8>> = BTreeMap::new();
    for stanza in existing {
        let mut text = stanza.paragraph.raw().to_vec();
        while text.last().is_some_and(|&b| b == b'\n') {
            text.pop();
        }
        text.push(b'\n');
        stanzas.insert((stanza.name.to_owned(), stanza.architecture.to_owned()), text);
    }
    stanzas.retain(|package, _| !gone.contains(package));
    for Record { payload, state, .. } in records {
        let control = payload.control();
        let package = || control.name().to_owned();
        let text = status::stanza(control, *state, payload.conffiles())
            .map_err(|source| DatabaseError::Control { package: package(), source })?;
        if control.multi_arch() != MultiArch::Same {
            // The same package of another architecture gave way.
            stanzas.retain(|(name, _), _| name != control.name());
        }
        stanzas.insert((package(), control.architecture().to_owned()), text.into_bytes());
    }
    // An empty line ends every stanza, the last one, too.
    Ok(stanzas.into_values().flat_map(|text| text.into_iter().chain([b'\n'])).collect())
}

/// The list of a package's names, which is another one once some of them went to others.
#[must_use]
pub fn list_of(record: &Record<'_>, options: &DatabaseOptions) -> (TreePath, Entry) {
    let mut files = Files::new(options.mtime);
    info::add_list(&mut files, record);
    files.entries.pop_first().expect("it was added a line above")
}

/// Takes the files of a package that disappeared out of the database.
pub fn forget(tree: &mut Tree, payload: &Payload) {
    let name = payload.control().info_name();
    let packed = payload.control_files().keys().map(|file| &**file);
    for file in packed.chain(["list", "md5sums"]) {
        tree.remove(&admin_path(&format!("info/{name}.{file}")));
    }
}

/// Puts what [`database`] or [`add_unpacked`] returned; directories that are there keep their attributes.
///
/// # Errors
/// Where something else is in the place of a directory.
pub fn place(tree: &mut Tree, entries: Vec<(TreePath, Entry)>) -> Result<(), TreeError> {
    for (path, entry) in entries {
        let there = tree.entry(&path).is_some_and(Entry::is_directory);
        if !(there && entry.is_directory()) {
            tree.put(&path, entry)?;
        }
    }
    Ok(())
}

/// Who is interested in what: the packages' own interests added to those that are there; and, where there were
/// packages before, what the new ones activate.
fn add_triggers<E: From<DatabaseError>>(
    files: &mut Files,
    read: &mut ReadFile<'_, E>,
    records: &[Record<'_>],
    first: bool,
) -> Result<(), E> {
    let existing = read(&admin_path("triggers/File"))?.unwrap_or_default();
    let before = triggers::parse_file_interests(&existing);
    let before = before.map_err(|source| DatabaseError::FileTriggers { source })?;
    let mut by_path = before.clone();
    let mut named: BTreeMap<Box<str>, Vec<Interest>> = BTreeMap::new();
    let mut activated = Activations::new();
    for record in records {
        let control = record.payload.control();
        let package = control.info_name();
        let text = record.payload.control_file("triggers").unwrap_or_default();
        let directives = triggers::parse_directives(text)
            .map_err(|source| DatabaseError::Triggers { package: package.clone(), source })?;
        activate_files(&mut activated, &before, record);
        for Directive { interest, awaits, name } in directives {
            let wants = Interest { package: package.as_str().into(), awaits };
            match (interest, name) {
                (true, TriggerName::File(path)) => {
                    by_path.retain(|(there, old)| *there != path || old.package != wants.package);
                    by_path.push((path, wants));
                }
                (true, TriggerName::Explicit(name)) => {
                    let interests = match named.get_mut(&name) {
                        Some(interests) => interests,
                        None => {
                            let there = read_interests(read, &name)?;
                            named.entry(name).or_insert(there)
                        }
                    };
                    interests.retain(|old| old.package != wants.package);
                    interests.push(wants);
                }
                (false, TriggerName::File(path)) => {
                    let interests = before.iter().filter(|(there, _)| *there == path);
                    interests.for_each(|(_, who)| activate(&mut activated, &path, awaits && who.awaits, &package));
                }
                (false, TriggerName::Explicit(name)) => {
                    for who in read_interests(read, &name)? {
                        activate_named(&mut activated, &name, awaits && who.awaits, &package);
                    }
                }
            }
        }
    }
    if !first {
        let mut text = read(&admin_path("triggers/Unincorp"))?.unwrap_or_default();
        for (trigger, who) in activated {
            text.extend_from_slice(&trigger);
            text.extend_from_slice(format!(" {}\n", who.join(" ")).as_bytes());
        }
        files.file("triggers/Unincorp", text, 0o644);
    }
    files.file("triggers/File", triggers::print_file_interests(&by_path), 0o644);
    for (name, interests) in named {
        files.file(&format!("triggers/{name}"), triggers::print_interests(&interests), 0o644);
    }
    Ok(())
}

fn read_interests<E>(read: &mut ReadFile<'_, E>, trigger: &str) -> Result<Vec<Interest>, E> {
    let text = read(&admin_path(&format!("triggers/{trigger}")))?.unwrap_or_default();
    // What cannot be read, dpkg cannot read either; where it is written it is written anew.
    Ok(triggers::parse_interests(&text).unwrap_or_default())
}

/// Triggers with who waits for them, `-` for nobody: the lines of `triggers/Unincorp`, paths before names.
type Activations = BTreeMap<Vec<u8>, Vec<String>>;

fn activate(activated: &mut Activations, path: &TreePath, awaits: bool, package: &str) {
    activate_line(activated, [b"/", path.as_bytes()].concat(), awaits, package);
}

fn activate_named(activated: &mut Activations, name: &str, awaits: bool, package: &str) {
    activate_line(activated, name.as_bytes().to_vec(), awaits, package);
}

fn activate_line(activated: &mut Activations, trigger: Vec<u8>, awaits: bool, package: &str) {
    let who = if awaits { package } else { "-" };
    let all = activated.entry(trigger).or_default();
    if !all.iter().any(|there| there == who) {
        all.push(who.to_owned());
    }
}

/// Activates the triggers that the package's files are at or below of.
fn activate_files(activated: &mut Activations, interests: &[(TreePath, Interest)], record: &Record<'_>) {
    if interests.is_empty() {
        return;
    }
    let mut awaited: HashMap<&TreePath, bool> = HashMap::new();
    for (path, interest) in interests {
        *awaited.entry(path).or_default() |= interest.awaits;
    }
    let package = record.payload.control().info_name();
    for path in record.payload.list() {
        let mut at = Some(path.clone());
        while let Some(path) = at.filter(|path| !path.is_root()) {
            if let Some(&awaits) = awaited.get(&path) {
                activate(activated, &path, awaits, &package);
            }
            at = path.parent();
        }
    }
}

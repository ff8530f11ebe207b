//! Containers: a folder each, with a state, an upper side and a lock that whoever runs it holds.
//!
//! ```text
//! containers/<id>/lock      held by the process that runs it; a free lock and "running" means: it died
//!                 state     JSON, replaced as a whole; a folder without it is a leftover
//!                 upper/    what the container changed
//!                 work/     the overlay's
//! containers/names/<name>   a symbolic link to the ID
//! ```

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bedplate_oci::{Descriptor, DiffId, ImageId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::disk::{self, NewFile};
use crate::error::StoreError;
use crate::images::Image;
use crate::locks::{Hold, LockGuard};
use crate::open::{Store, random_hex};

mod words;

/// The largest state of a container, in bytes.
const MAX_STATE: u64 = 4 * 1024 * 1024;

/// The longest name of a container: a file name.
const MAX_NAME: usize = 200;

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, never started.
    Created,
    /// Its process runs; or ran when the process that watched over it died.
    Running,
    /// Its process ended.
    Exited,
}

/// What is known of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerState {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image's name as it was asked for.
    pub image_name: String,
    /// The image's ID; `None` for a container made of nothing.
    pub image: Option<ImageId>,
    /// The image's manifest, which keeps the image while the container lives.
    pub manifest: Option<Descriptor>,
    /// The layers of its root, the lowest first.
    pub layers: Vec<DiffId>,
    /// When it was made, in seconds since the epoch.
    pub created: i64,
    /// When it was started last, in seconds since the epoch.
    pub started: Option<i64>,
    /// When it ended last, in seconds since the epoch.
    pub finished: Option<i64>,
    /// Whether it goes when its process ends.
    pub remove: bool,
    /// Where it is in its life.
    pub status: Status,
    /// The process, in the PID namespace of whoever started it.
    pub pid: Option<u32>,
    /// How the process ended: 0 to 255.
    pub exit_code: Option<i32>,
    /// The command, for people to read.
    pub command: Vec<String>,
    /// What the runtime wants to find again.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
}

/// A container to be made.
#[derive(Debug, Clone)]
pub struct NewContainer<'a> {
    /// Its name; one is made up where there is none.
    pub name: Option<&'a str>,
    /// Its image, and the name that the user gave for it.
    pub image: Option<(&'a Image, &'a str)>,
    /// When, in seconds since the epoch.
    pub created: i64,
    /// Whether it goes when its process ends.
    pub remove: bool,
    /// The command, for people to read.
    pub command: &'a [String],
    /// What the runtime wants to find again.
    pub details: Value,
}

/// A container held by this process: nobody else runs or removes it.
#[derive(Debug)]
pub struct Container {
    store: Store,
    folder: PathBuf,
    lock: LockGuard,
    state: ContainerState,
}

impl Container {
    /// What is known of it.
    #[must_use]
    pub fn state(&self) -> &ContainerState {
        &self.state
    }

    /// Its ID: 64 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.state.id
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The directory for what it changes.
    #[must_use]
    pub fn upper(&self) -> PathBuf {
        self.folder.join("upper")
    }

    /// The overlay's own directory, beside the upper one.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// The lock, to be inherited by a process that outlives this one.
    #[must_use]
    pub fn lock(&self) -> &LockGuard {
        &self.lock
    }

    /// Changes the state, as a whole; not synced, since no process survives what would lose it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn update(&mut self, change: impl FnOnce(&mut ContainerState)) -> Result<(), StoreError> {
        let mut state = self.state.clone();
        change(&mut state);
        write_state(&self.folder, &state)?;
        self.state = state;
        Ok(())
    }

    /// Removes it with all that it changed.
    ///
    /// To be called by a process that may remove the files of all owners that the container could make.
    ///
    /// # Errors
    /// Where a file cannot be removed; the container is no longer listed then, and a sweep goes on.
    pub fn remove(self) -> Result<(), StoreError> {
        // From here on it is a leftover.
        disk::remove_file(&self.folder.join("state"))?;
        let name = self.store.container_name(&self.state.name);
        if std::fs::read_link(&name).is_ok_and(|id| id == Path::new(&self.state.id)) {
            disk::remove_file(&name)?;
        }
        disk::remove_all(&self.folder)?;
        Ok(())
    }
}

impl Store {
    fn container_folder(&self, id: &str) -> PathBuf {
        self.layout().containers().join(id)
    }

    fn container_name(&self, name: &str) -> PathBuf {
        self.layout().containers().join("names").join(name)
    }

    /// Makes a container, held by this process.
    ///
    /// # Errors
    /// [`StoreError::ContainerName`], [`StoreError::ContainerNameTaken`]; or where its folder cannot be made.
    pub fn create_container(&self, new: &NewContainer<'_>) -> Result<Container, StoreError> {
        self.writable()?;
        if let Some(name) = new.name {
            check_name(name)?;
        }
        let id = random_hex::<32>()?;
        let folder = self.container_folder(&id);
        let _moment = self.share_sweep()?;
        disk::make_dir(&folder, 0o700)?;
        let lock = LockGuard::acquire(&folder.join("lock"), Hold::Exclusive)?;
        let named = match self.name_container(&id, new.name) {
            Ok(name) => name,
            Err(error) => {
                disk::remove_all(&folder)?;
                return Err(error);
            }
        };
        match describe(&folder, id, named.clone(), new) {
            Ok(state) => Ok(Container { store: self.clone(), folder, lock, state }),
            Err(error) => {
                // Nobody would see it, and it would keep the name. What is the matter is the first error, not these.
                let _ = disk::remove_all(&folder);
                let _ = disk::remove_file(&self.container_name(&named));
                Err(error)
            }
        }
    }

    fn name_container(&self, id: &str, wanted: Option<&str>) -> Result<String, StoreError> {
        const TRIES: usize = 64;
        for attempt in 0..TRIES {
            let name = match wanted {
                Some(name) => name.to_owned(),
                None => words::name(random_hex::<4>()?.as_bytes(), attempt),
            };
            let path = self.container_name(&name);
            match symlink(id, &path) {
                Ok(()) => return Ok(name),
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(disk::failed("symlink", &path, &e).into());
                }
                Err(_) => {}
            }
            let Ok(owner) = std::fs::read_link(&path) else { continue };
            let owner = owner.to_string_lossy().into_owned();
            // A name whose container is gone: whoever removed it was killed in between.
            if disk::stat(&self.container_folder(&owner))?.is_none() {
                disk::remove_file(&path)?;
                continue;
            }
            if wanted.is_some() {
                return Err(StoreError::ContainerNameTaken { name, id: owner.chars().take(12).collect() });
            }
        }
        Err(StoreError::ContainerNameTaken { name: wanted.unwrap_or("(any)").to_owned(), id: String::new() })
    }

    /// All containers with what is known of each, in the order in which they were made.
    ///
    /// One whose process died unseen is listed as exited.
    ///
    /// # Errors
    /// Where the folder cannot be read, or [`StoreError::ContainerState`].
    pub fn containers(&self) -> Result<Vec<ContainerState>, StoreError> {
        let mut states = Vec::new();
        for id in self.container_ids()? {
            if let Some(state) = self.container_state(&id)? {
                states.push(state);
            }
        }
        states.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(states)
    }

    pub(crate) fn container_ids(&self) -> Result<Vec<String>, StoreError> {
        let mut ids = disk::names(&self.layout().containers())?;
        ids.retain(|id| is_id(id));
        Ok(ids)
    }

    pub(crate) fn container_state(&self, id: &str) -> Result<Option<ContainerState>, StoreError> {
        let folder = self.container_folder(id);
        let Some(mut state) = read_state(&folder, id)? else { return Ok(None) };
        if state.status == Status::Running && LockGuard::try_existing(&folder.join("lock"), Hold::Shared)?.is_some() {
            state.status = Status::Exited;
            state.pid = None;
        }
        Ok(Some(state))
    }

    /// Finds a container by its name, its ID or the beginning of its ID.
    ///
    /// # Errors
    /// [`StoreError::NoSuchContainer`], [`StoreError::AmbiguousContainer`].
    pub fn find_container(&self, wanted: &str) -> Result<ContainerState, StoreError> {
        let none = || StoreError::NoSuchContainer { wanted: wanted.chars().take(MAX_NAME).collect() };
        if check_name(wanted).is_ok()
            && let Ok(id) = std::fs::read_link(self.container_name(wanted))
            && let Some(id) = id.to_str().filter(|id| is_id(id))
            && let Some(state) = self.container_state(id)?
        {
            return Ok(state);
        }
        let mut matches = self.container_ids()?;
        matches.retain(|id| !wanted.is_empty() && id.starts_with(wanted));
        match matches.as_slice() {
            [] => Err(none()),
            [id] => self.container_state(id)?.ok_or_else(none),
            _ => {
                let matches = matches.iter().map(|id| id.chars().take(12).collect()).collect();
                Err(StoreError::AmbiguousContainer { prefix: wanted.to_owned(), matches })
            }
        }
    }

    /// Takes hold of a container that nobody runs.
    ///
    /// # Errors
    /// As [`Store::find_container`]; [`StoreError::ContainerRunning`].
    pub fn hold_container(&self, wanted: &str) -> Result<Container, StoreError> {
        self.writable()?;
        let found = self.find_container(wanted)?;
        let folder = self.container_folder(&found.id);
        let running = || StoreError::ContainerRunning { id: found.id.chars().take(12).collect() };
        let lock = LockGuard::try_existing(&folder.join("lock"), Hold::Exclusive)?.ok_or_else(running)?;
        // Read again: its holder may have changed it until now.
        let state =
            read_state(&folder, &found.id)?.ok_or_else(|| StoreError::NoSuchContainer { wanted: wanted.to_owned() })?;
        Ok(Container { store: self.clone(), folder, lock, state })
    }

    /// Removes containers that were to go with their process but outlived it, and leftovers of removals.
    ///
    /// Gives the IDs of those removed; one that cannot be removed is left for a process with more rights.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn sweep_containers(&self) -> Result<Vec<String>, StoreError> {
        self.remove_free_containers(|state| state.is_none_or(|state| state.remove))
    }

    /// Removes every container that nobody runs.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn prune_containers(&self, mut keep: impl FnMut(&ContainerState) -> bool) -> Result<Vec<String>, StoreError> {
        self.remove_free_containers(|state| !state.is_some_and(&mut keep))
    }

    fn remove_free_containers(
        &self,
        mut doomed: impl FnMut(Option<&ContainerState>) -> bool,
    ) -> Result<Vec<String>, StoreError> {
        self.writable()?;
        let mut removed = Vec::new();
        for id in self.container_ids()? {
            let folder = self.container_folder(&id);
            // Whoever makes a container keeps sweeps away until he holds it.
            let lock = {
                let _alone = LockGuard::acquire(&self.layout().sweep_lock(), Hold::Exclusive)?;
                match LockGuard::try_existing(&folder.join("lock"), Hold::Exclusive)? {
                    Some(lock) => Some(lock),
                    None if disk::stat(&folder.join("lock"))?.is_some() => continue,
                    None => None,
                }
            };
            let state = read_state(&folder, &id).unwrap_or_default();
            if !doomed(state.as_ref()) {
                continue;
            }
            let result = match (lock, state) {
                (Some(lock), Some(state)) => {
                    Container { store: self.clone(), folder: folder.clone(), lock, state }.remove()
                }
                (_, _) => disk::remove_all(&folder).map_err(StoreError::from),
            };
            match result {
                Ok(()) => removed.push(id),
                Err(error) => tracing::warn!(%error, id, "a container cannot be removed"),
            }
        }
        for name in disk::names(&self.layout().containers().join("names"))? {
            let path = self.container_name(&name);
            let _alone = LockGuard::acquire(&self.layout().sweep_lock(), Hold::Exclusive)?;
            if let Ok(id) = std::fs::read_link(&path)
                && disk::stat(&self.layout().containers().join(id))?.is_none()
            {
                disk::remove_file(&path)?;
            }
        }
        Ok(removed)
    }

    /// A container that was made of an image: its short ID.
    pub(crate) fn container_of_image(&self, image: &Image) -> Result<Option<String>, StoreError> {
        for id in self.container_ids()? {
            // A state that cannot be read keeps nothing; fsck names it.
            let Ok(Some(state)) = self.container_state(&id) else { continue };
            if state.image == Some(image.id()) {
                return Ok(Some(id.chars().take(12).collect()));
            }
        }
        Ok(None)
    }
}

/// Makes the directories of a new container and writes what is known of it.
fn describe(folder: &Path, id: String, name: String, new: &NewContainer<'_>) -> Result<ContainerState, StoreError> {
    disk::make_dir(&folder.join("upper"), 0o755)?;
    disk::make_dir(&folder.join("work"), 0o700)?;
    let image = new.image.map(|(image, _)| image);
    let state = ContainerState {
        id,
        name,
        image_name: new.image.map(|(_, name)| name.to_owned()).unwrap_or_default(),
        image: image.map(Image::id),
        manifest: image.map(|image| image.entry.clone()),
        layers: image.map(|image| image.diff_ids().to_vec()).unwrap_or_default(),
        created: new.created,
        started: None,
        finished: None,
        remove: new.remove,
        status: Status::Created,
        pid: None,
        exit_code: None,
        command: new.command.to_vec(),
        details: new.details.clone(),
    };
    write_state(folder, &state)?;
    Ok(state)
}

fn write_state(folder: &Path, state: &ContainerState) -> Result<(), StoreError> {
    let scratch = folder.join("state.new");
    // A leftover of a process that was killed while it held this container.
    disk::remove_file(&scratch)?;
    let bytes = bedplate_oci::to_json(state);
    // What could not be read again would stop every list of containers.
    if bytes.len() as u64 > MAX_STATE {
        return Err(StoreError::TooLarge { what: disk::show(&folder.join("state")), limit: MAX_STATE });
    }
    let mut file = NewFile::create(scratch, disk::FILE_MODE)?;
    file.append(&bytes)?;
    disk::rename(file.path(), &folder.join("state"))?;
    Ok(())
}

fn read_state(folder: &Path, id: &str) -> Result<Option<ContainerState>, StoreError> {
    let Some(bytes) = disk::read(&folder.join("state"), MAX_STATE)? else { return Ok(None) };
    match serde_json::from_slice(&bytes) {
        Ok(state) => Ok(Some(state)),
        // Not synced when written: after a power cut an empty file is a leftover.
        Err(_) if bytes.is_empty() => Ok(None),
        Err(source) => Err(StoreError::ContainerState { id: id.chars().take(12).collect(), source }),
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Docker's rule for names, so that they are plain file names too.
fn check_name(name: &str) -> Result<(), StoreError> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    match first && rest && name.len() > 1 && name.len() <= MAX_NAME {
        true => Ok(()),
        false => Err(StoreError::ContainerName { name: name.chars().take(MAX_NAME).collect() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::OpenOptions;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&OpenOptions::new(dir.path().join("store"))).unwrap();
        (dir, store)
    }

    fn new(name: Option<&str>, remove: bool) -> NewContainer<'_> {
        NewContainer { name, image: None, created: 7, remove, command: &[], details: Value::Null }
    }

    #[test]
    fn names_of_containers() {
        for (name, expected) in [
            ("web", true),
            ("a1", true),
            ("A_b.c-d", true),
            ("a", false),
            ("", false),
            ("-web", false),
            (".hidden", false),
            ("a/b", false),
            ("..", false),
            ("grün", false),
        ] {
            assert_eq!(check_name(name).is_ok(), expected, "{name:?}");
        }
    }

    #[test]
    fn a_container_that_cannot_be_described_leaves_nothing() {
        let (_dir, store) = store();
        let overhead = {
            let made = store.create_container(&new(Some("web"), false)).unwrap();
            let size = std::fs::metadata(made.folder().join("state")).unwrap().len();
            made.remove().unwrap();
            // The quotes around the word.
            size + 2
        };
        for (length, expected) in [(MAX_STATE - overhead, true), (MAX_STATE - overhead + 1, false)] {
            let command = ["x".repeat(length as usize)];
            let made = store.create_container(&NewContainer { command: &command, ..new(Some("web"), false) });
            assert_eq!(made.is_ok(), expected, "{:?}", made.err());
            let listed = store.containers().unwrap().len();
            assert_eq!(listed, usize::from(expected));
            if let Ok(made) = made {
                made.remove().unwrap();
            }
        }
        let left: Vec<_> = std::fs::read_dir(store.root().join("containers"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != "names")
            .collect();
        assert!(left.is_empty(), "{left:?}");
        store.create_container(&new(Some("web"), false)).unwrap();
    }

    #[test]
    fn a_container_lives_and_goes() {
        let (_dir, store) = store();
        let mut container = store.create_container(&new(Some("web"), false)).unwrap();
        let id = container.id().to_owned();
        assert!(container.upper().is_dir() && container.work().is_dir());
        let taken = store.create_container(&new(Some("web"), false)).unwrap_err();
        assert!(matches!(taken, StoreError::ContainerNameTaken { .. }), "{taken}");
        assert_eq!(store.containers().unwrap().len(), 1);
        container.update(|state| state.status = Status::Running).unwrap();
        assert_eq!(store.find_container(&id[..10]).unwrap().status, Status::Running);
        assert!(matches!(store.hold_container("web"), Err(StoreError::ContainerRunning { .. })));
        assert_eq!(store.prune_containers(|_| false).unwrap(), Vec::<String>::new());
        drop(container);
        assert_eq!(store.find_container("web").unwrap().status, Status::Exited);
        store.hold_container("web").unwrap().remove().unwrap();
        assert!(matches!(store.find_container("web"), Err(StoreError::NoSuchContainer { .. })));
        store.create_container(&new(Some("web"), false)).unwrap();
    }

    #[test]
    fn a_sweep_takes_the_dead_that_were_to_go_and_leftovers() {
        let (_dir, store) = store();
        let kept = store.create_container(&new(None, false)).unwrap().id().to_owned();
        let dead = store.create_container(&new(None, true)).unwrap().id().to_owned();
        let running = store.create_container(&new(None, true)).unwrap();
        let leftover = store.create_container(&new(None, false)).unwrap();
        let half = leftover.id().to_owned();
        std::fs::remove_file(leftover.folder().join("state")).unwrap();
        drop(leftover);
        let mut removed = store.sweep_containers().unwrap();
        removed.sort();
        let mut expected = [dead, half];
        expected.sort();
        assert_eq!(removed, expected);
        assert_eq!(store.container_ids().unwrap().len(), 2);
        assert!(store.find_container(&kept).is_ok());
        let names = std::fs::read_dir(store.root().join("containers/names")).unwrap().count();
        assert_eq!(names, 2);
        drop(running);
    }
}

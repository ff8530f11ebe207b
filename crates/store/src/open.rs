//! Opening a store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bedplate_oci::{ImageIndex, to_json};

use crate::disk::{self, NewFile};
use crate::error::StoreError;
use crate::layout::{FORMAT, FORMAT_WORD, Layout, OCI_LAYOUT, parse_format};
use crate::locks::{Hold, LockGuard};

/// Who else may read a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// Its owner only: mode 0700 at the top.
    #[default]
    Private,
    /// Every user of the machine may read images, and nothing else.
    World,
}

/// How to open a store.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// The store's directory.
    pub root: PathBuf,
    /// Who else may read a store that is made now; one that exists keeps its modes.
    pub sharing: Sharing,
    /// A store to look into, read-only, for what is not in this one: the system's.
    pub fallback: Option<PathBuf>,
    /// Never change anything, not even make what is missing.
    pub read_only: bool,
}

impl OpenOptions {
    /// A private store without fallback.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), ..Self::default() }
    }

    /// Looks into this store, read-only, for what is not in the other.
    #[must_use]
    pub fn fallback(mut self, root: impl Into<PathBuf>) -> Self {
        self.fallback = Some(root.into());
        self
    }

    /// Says who may read a store that is made now.
    #[must_use]
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Opens for reading only.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
}

/// An open store. Clones are cheap and speak of the same store; threads may share one.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
    writable: bool,
    fallback: Option<Store>,
}

impl Store {
    /// Opens a store, and makes it where the directory is missing or empty.
    ///
    /// Only the last component of the path, and `bedplate`'s own parents below an existing directory, are made:
    /// `$XDG_DATA_HOME/bedplate` works in a fresh home.
    ///
    /// # Errors
    /// Where the directory holds something else, was made by a newer program, or cannot be made.
    pub fn open(options: &OpenOptions) -> Result<Self, StoreError> {
        let layout = Layout::new(&options.root);
        match read_format(&layout)? {
            Some(found) => check_format(&layout, found)?,
            None if options.read_only => return Err(StoreError::NoStore { path: options.root.clone() }),
            None => create(&layout, options.sharing)?,
        }
        let fallback = match &options.fallback {
            Some(path) if *path != options.root => open_fallback(path),
            _ => None,
        };
        Ok(Self { inner: Arc::new(Inner { layout, writable: !options.read_only, fallback }) })
    }

    /// The store's directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.inner.layout.root()
    }

    /// Tells whether the store may be changed.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.inner.writable
    }

    /// The store that is looked into for what this one lacks.
    #[must_use]
    pub fn fallback(&self) -> Option<&Store> {
        self.inner.fallback.as_ref()
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    pub(crate) fn writable(&self) -> Result<(), StoreError> {
        match self.inner.writable {
            true => Ok(()),
            false => Err(StoreError::ReadOnly { path: self.root().to_owned() }),
        }
    }

    /// A path below `tmp/` that nobody else uses.
    ///
    /// A file there lives while its maker shares the sweep lock; what lives longer goes into a lease.
    pub(crate) fn scratch(&self, what: &str) -> Result<PathBuf, StoreError> {
        Ok(self.layout().tmp().join(format!("{what}-{}", random_hex::<8>()?)))
    }

    /// Keeps sweeps away for a moment: while something is added that nothing refers to yet.
    pub(crate) fn share_sweep(&self) -> Result<LockGuard, StoreError> {
        Ok(LockGuard::acquire(&self.layout().sweep_lock(), Hold::Shared)?)
    }
}

/// Random bytes in hexadecimal.
pub(crate) fn random_hex<const N: usize>() -> Result<String, StoreError> {
    let mut bytes = [0; N];
    bedplate_sys::durable::random(&mut bytes)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// A fallback that cannot be used is as good as none: the user's own store must work without it.
fn open_fallback(path: &Path) -> Option<Store> {
    match Store::open(&OpenOptions::new(path).read_only()) {
        Ok(store) => Some(store),
        Err(StoreError::NoStore { .. }) => None,
        Err(error) => {
            tracing::warn!(%error, "the system's store is not looked into");
            None
        }
    }
}

fn read_format(layout: &Layout) -> Result<Option<u32>, StoreError> {
    const MAX: u64 = 4096;
    let Some(bytes) = disk::read(&layout.format(), MAX)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    match parse_format(&text) {
        Some(found) => Ok(Some(found)),
        None => {
            Err(StoreError::MalformedFormat { path: layout.root().to_owned(), text: text.chars().take(80).collect() })
        }
    }
}

fn check_format(layout: &Layout, found: u32) -> Result<(), StoreError> {
    // A format older than ours would be migrated here; there is none yet.
    match found > FORMAT {
        true => Err(StoreError::NewerFormat { path: layout.root().to_owned(), found, known: FORMAT }),
        false => Ok(()),
    }
}

/// Makes a store. Several processes may do so at once; the file `format` comes last and makes it valid.
fn create(layout: &Layout, sharing: Sharing) -> Result<(), StoreError> {
    let root = layout.root();
    let top = match sharing {
        Sharing::Private => 0o700,
        Sharing::World => 0o755,
    };
    make_parents(root)?;
    if !disk::make_dir(root, top)? {
        // An empty directory that somebody prepared becomes a store with the mode that its maker gave it.
        // What another process is making just now has our names in it.
        let ours = |name: &str| {
            Layout::folders().iter().any(|(folder, _)| *folder == name)
                || ["format", "oci-layout", "index.json", "lost+found"].contains(&name)
        };
        if !disk::names(root)?.iter().all(|name| ours(name)) {
            return Err(StoreError::NotAStore { path: root.to_owned() });
        }
    }
    make_folders(root, |_| true)?;
    let index = to_json(&ImageIndex::new(Vec::new()));
    let format = format!("{FORMAT_WORD} {FORMAT}\n");
    for (path, bytes) in
        [(layout.oci_layout(), OCI_LAYOUT), (layout.index(), &index), (layout.format(), format.as_bytes())]
    {
        let scratch = layout.tmp().join(format!("new-{}", random_hex::<8>()?));
        let mut file = NewFile::create(scratch, disk::FILE_MODE)?;
        file.append(bytes)?;
        file.sync()?;
        // A link, since renaming would replace what another process made and already filled.
        disk::link(file.path(), &path)?;
        disk::remove_file(file.path())?;
        disk::sync_dir(root)?;
    }
    Ok(())
}

/// Makes those folders of the layout that are wanted and missing.
pub(crate) fn make_folders(root: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), StoreError> {
    for (folder, open) in Layout::folders() {
        if wanted(folder) {
            disk::make_dir(&root.join(folder), if open { 0o755 } else { 0o700 })?;
        }
    }
    Ok(())
}

/// Makes the directories above a store: those of a fresh home are private, as the XDG specification asks.
fn make_parents(root: &Path) -> Result<(), StoreError> {
    let mut missing = Vec::new();
    let mut at = root;
    while let Some(parent) = at.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        if disk::stat(parent)?.is_some() {
            break;
        }
        missing.push(parent.to_owned());
        at = parent;
    }
    for path in missing.iter().rev() {
        disk::make_dir(path, 0o755)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: impl AsRef<Path>) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_store_is_made_once_and_is_an_oci_layout() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("share/bedplate");
        Store::open(&OpenOptions::new(&root)).unwrap();
        assert_eq!(fs::read_to_string(root.join("format")).unwrap(), "bedplate-store 1\n");
        assert_eq!(fs::read_to_string(root.join("oci-layout")).unwrap(), r#"{"imageLayoutVersion":"1.0.0"}"#);
        assert!(fs::read_to_string(root.join("index.json")).unwrap().contains(r#""manifests":[]"#));
        assert_eq!(mode(&root), 0o700);
        assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
        fs::write(root.join("index.json"), "kept").unwrap();
        Store::open(&OpenOptions::new(&root)).unwrap();
        assert_eq!(fs::read_to_string(root.join("index.json")).unwrap(), "kept");
    }

    #[test]
    fn others_see_images_of_a_shared_store_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        Store::open(&OpenOptions::new(&root).sharing(Sharing::World)).unwrap();
        for (path, expected) in
            [("", 0o755), ("blobs/sha256", 0o755), ("layers", 0o755), ("snapshots", 0o700), ("locks", 0o700)]
        {
            assert_eq!(mode(root.join(path)), expected, "{path}");
        }
        assert_eq!(mode(root.join("index.json")), 0o644);
    }

    #[test]
    fn what_is_no_store_is_refused_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str| Store::open(&OpenOptions::new(dir.path().join(name))).map(|_| ());
        fs::create_dir(dir.path().join("home")).unwrap();
        fs::write(dir.path().join("home/letter"), "").unwrap();
        assert!(matches!(open("home"), Err(StoreError::NotAStore { .. })));
        for (text, newer) in [("bedplate-store 2\n", true), ("something", false)] {
            let root = dir.path().join(text.trim());
            fs::create_dir(&root).unwrap();
            fs::write(root.join("format"), text).unwrap();
            let error = open(text.trim()).unwrap_err();
            assert_eq!(matches!(error, StoreError::NewerFormat { found: 2, known: 1, .. }), newer, "{error}");
            assert_eq!(matches!(error, StoreError::MalformedFormat { .. }), !newer, "{error}");
        }
        let none = OpenOptions::new(dir.path().join("none")).read_only();
        assert!(matches!(Store::open(&none), Err(StoreError::NoStore { .. })));
        assert!(!dir.path().join("none").exists());
    }

    #[test]
    fn a_fallback_that_cannot_be_used_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let system = dir.path().join("system");
        let own = |name: &str| OpenOptions::new(dir.path().join(name)).fallback(&system);
        assert!(Store::open(&own("a")).unwrap().fallback().is_none());
        Store::open(&OpenOptions::new(&system)).unwrap();
        assert!(Store::open(&own("a")).unwrap().fallback().is_some());
        fs::write(system.join("format"), "bedplate-store 9\n").unwrap();
        assert!(Store::open(&own("a")).unwrap().fallback().is_none());
    }

    #[test]
    fn eight_processes_may_make_it_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| Store::open(&OpenOptions::new(&root)).unwrap());
            }
        });
        assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
    }
}

//! The build context: a directory, an archive, or nothing.
//!
//! Of a directory only what a step names is looked at: `ADD hello /` does not walk a project of 20,000 files. What an
//! ignore file excludes is not there. Owners, times, attributes and hard links of the context's files are no input of a
//! build: a copy of the directory without them gives the same image.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bedplate_archive::index::Indexed;
use bedplate_archive::{Decoder, Index, TarError};
use bedplate_dockerfile::ignore::{Ignore, IgnoreState};
use bedplate_image::disk::ScanError;
use bedplate_image::scan::{Choice, ScanOptions, scan};
use bedplate_image::{ContentSources, Contents as _};
use bedplate_oci::Digest;
use bedplate_store::Lease;
use bedplate_sys::CallError;
use bedplate_sys::rooted::{Handle, Resolve, Root};
use bedplate_tree::{Action, ApplyError, Change, Delta, Tree, TreePath};
use thiserror::Error;

use crate::select::Reach;

/// The largest Dockerfile or ignore file that is read from a context, in bytes: what their parsers take at most.
pub const MAX_CONTEXT_FILE: u64 = 16 * 1024 * 1024;

/// What messages call the context of a build.
const PLACE: &str = "the build context";

/// A context cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContextError {
    /// The directory cannot be opened.
    #[error("cannot open the context {path:?}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: CallError,
    },
    /// A file of the context cannot be read.
    #[error("cannot read {path:?} of the context")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is larger than [`MAX_CONTEXT_FILE`].
    #[error("{path:?} of the context has more than {MAX_CONTEXT_FILE} bytes")]
    TooLarge {
        /// The file.
        path: String,
    },
    /// A directory cannot be read.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The archive is none, or damaged.
    #[error("the context is not a tar archive, or a damaged one")]
    Archive(#[source] TarError),
    /// The archive cannot be decompressed.
    #[error("the context cannot be decompressed")]
    Decompress(#[source] io::Error),
    /// The archive cannot be kept.
    #[error("cannot keep the context in {path:?}")]
    Keep {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The entries of the archive make no tree.
    #[error("the entries of the context make no tree")]
    Apply(#[source] ApplyError),
}

/// Uncompressed streams that are in no store: a context on standard input, an archive to be unpacked, a download.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<Digest, File>>>);

impl Streams {
    pub(crate) fn insert(&self, digest: Digest, file: File) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, file);
    }

    pub(crate) fn open(&self, digest: &Digest) -> io::Result<Option<File>> {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(digest).map(File::try_clone).transpose()
    }
}

/// What COPY and ADD take their files from.
#[derive(Debug)]
pub struct BuildContext {
    kind: Kind,
    ignore: Option<Ignore>,
    place: String,
}

#[derive(Debug)]
enum Kind {
    Empty,
    Directory { handle: Handle },
    Archive { tree: Tree, digest: Digest, file: File },
}

/// A part of a context as a tree.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) tree: Tree,
    /// Whether the tree has all of the context.
    pub(crate) complete: bool,
}

impl BuildContext {
    /// A context without files.
    #[must_use]
    pub fn empty() -> Self {
        Self { kind: Kind::Empty, ignore: None, place: PLACE.to_owned() }
    }

    /// The files below a directory.
    ///
    /// # Errors
    /// [`ContextError::Open`].
    pub fn directory(path: &Path) -> Result<Self, ContextError> {
        let root = Root::open(path).map_err(|source| ContextError::Open { path: path.to_owned(), source })?;
        let fd = root.handle().try_clone_fd().map_err(|source| ContextError::Open { path: path.to_owned(), source })?;
        let label = String::from_utf8_lossy(path.as_os_str().as_bytes());
        Ok(Self {
            kind: Kind::Directory { handle: Handle::from_fd(fd, &label) },
            ignore: None,
            place: PLACE.to_owned(),
        })
    }

    /// The files in a tar archive, compressed or not, which is read to its end.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn archive(lease: &Lease, source: impl Read) -> Result<Self, ContextError> {
        let path = lease.scratch();
        let keep = |source| ContextError::Keep { path: path.clone(), source };
        let file = File::options().read(true).write(true).create_new(true).open(&path).map_err(keep)?;
        let decoder = Decoder::new(source).map_err(ContextError::Decompress)?;
        let scanned = Index::copy_tar(decoder, &file, false).map_err(ContextError::Archive)?;
        let tree = tree_of(&scanned.index, &TreePath::root())?;
        let digest = Digest::from_bytes(scanned.index.diff_id());
        Ok(Self { kind: Kind::Archive { tree, digest, file }, ignore: None, place: PLACE.to_owned() })
    }

    /// Calls it by a name: it is not the context of the build.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.place = format!("the context {name:?}");
        self
    }

    /// What messages call it.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Leaves out what an ignore file excludes.
    pub fn set_ignore(&mut self, ignore: Ignore) {
        self.ignore = (!ignore.is_empty()).then_some(ignore);
    }

    /// The ignore file, where there is one that says something.
    #[must_use]
    pub fn ignore(&self) -> Option<&Ignore> {
        self.ignore.as_ref()
    }

    /// Whether something may be left out.
    pub(crate) fn has_ignore(&self) -> bool {
        self.ignore.is_some()
    }

    /// What identifies the directory on this machine.
    pub(crate) fn identity(&self) -> Option<String> {
        let Kind::Directory { handle } = &self.kind else { return None };
        let stat = handle.stat_self().ok()?;
        Some(format!("{}:{}", stat.dev, stat.ino))
    }

    /// Reads a small file of the context: the Dockerfile, an ignore file. Symbolic links are followed inside the
    /// context; what is excluded can be read all the same. `None` where there is no such file.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn read_file(&self, path: &str) -> Result<Option<Vec<u8>>, ContextError> {
        let failed = |source| ContextError::File { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let count = match &self.kind {
            Kind::Empty => return Ok(None),
            Kind::Directory { .. } => {
                let root = self.root()?;
                let file = match root.open_file(path.as_bytes(), Resolve::InRoot) {
                    Ok(file) => file,
                    Err(error) if error.is_not_found() => return Ok(None),
                    Err(error) => return Err(failed(io::Error::new(error.kind(), error))),
                };
                file.take(MAX_CONTEXT_FILE + 1).read_to_end(&mut bytes).map_err(failed)?
            }
            Kind::Archive { tree, digest, file } => {
                let Ok(place) = TreePath::parse(path.as_bytes()) else { return Ok(None) };
                let Ok((_, Some(id))) = tree.resolve(&place, true) else { return Ok(None) };
                let Some(content) = tree.inode(id).entry.content() else { return Ok(None) };
                let streams = Streams::default();
                streams.insert(*digest, file.try_clone().map_err(failed)?);
                let contents = ContentSources::new().with_streams(move |digest| Ok(streams.open(digest)?));
                let reader = contents.open(content).map_err(|error| failed(error.into()))?;
                reader.take(MAX_CONTEXT_FILE + 1).read_to_end(&mut bytes).map_err(failed)?
            }
        };
        if count as u64 > MAX_CONTEXT_FILE {
            return Err(ContextError::TooLarge { path: path.to_owned() });
        }
        Ok(Some(bytes))
    }

    fn root(&self) -> Result<Root, ContextError> {
        let Kind::Directory { handle } = &self.kind else {
            return Root::open(Path::new("/")).map_err(|source| ContextError::Open { path: "/".into(), source });
        };
        let fd = handle.try_clone_fd().map_err(|source| ContextError::Open { path: handle.label().into(), source })?;
        Ok(Root::from_handle(Handle::from_fd(fd, handle.label())))
    }

    /// The parts of the context that are `wanted`, or all of it; their bytes can be opened through `contents`.
    pub(crate) fn view(
        &self,
        wanted: Option<&[Reach]>,
        contents: &mut ContentSources<'_>,
        streams: &Streams,
    ) -> Result<View, ContextError> {
        let filter = Filter { ignore: self.ignore.as_ref(), wanted, ..Filter::default() };
        let (mut tree, complete) = match &self.kind {
            Kind::Empty => (Tree::new(), true),
            Kind::Directory { .. } => {
                let choose = |path: &TreePath, is_directory: bool| filter.choose(path, is_directory);
                let options = ScanOptions {
                    without_xattrs: true,
                    owner: Some((0, 0)),
                    choose: Some(&choose),
                    ..ScanOptions::default()
                };
                (scan(self.root()?, contents, &options)?, wanted.is_none())
            }
            Kind::Archive { tree, digest, file } => {
                let copy = file.try_clone().map_err(|source| ContextError::Keep { path: "tmp".into(), source })?;
                streams.insert(*digest, copy);
                let mut tree = tree.clone();
                if self.ignore.is_some() {
                    let filter = Filter { ignore: self.ignore.as_ref(), ..Filter::default() };
                    tree.retain(|path, entry| filter.choose(path, entry.is_directory()) != Choice::Leave);
                    filter.drop_empty(&mut tree);
                }
                (tree, true)
            }
        };
        filter.drop_empty(&mut tree);
        Ok(View { tree, complete })
    }
}

/// Decides what of a context is seen.
#[derive(Default)]
struct Filter<'a> {
    ignore: Option<&'a Ignore>,
    wanted: Option<&'a [Reach]>,
    states: RefCell<HashMap<TreePath, IgnoreState>>,
    /// Directories that are excluded themselves, but in which something may come back.
    passed: RefCell<Vec<TreePath>>,
}

impl Filter<'_> {
    fn choose(&self, path: &TreePath, is_directory: bool) -> Choice {
        if self.wanted.is_some_and(|wanted| !wanted.iter().any(|reach| reach.has(path))) {
            return Choice::Leave;
        }
        let Some(ignore) = self.ignore else { return Choice::Take };
        let mut states = self.states.borrow_mut();
        let parent = path.parent().and_then(|parent| states.get(&parent).cloned()).unwrap_or_default();
        let visit = ignore.visit(&parent, path.as_bytes());
        if visit.ignored && (!is_directory || visit.skip) {
            return Choice::Leave;
        }
        if is_directory {
            if visit.ignored {
                self.passed.borrow_mut().push(path.clone());
            }
            states.insert(path.clone(), visit.state);
        }
        Choice::Take
    }

    /// Removes the excluded directories in which nothing came back.
    fn drop_empty(&self, tree: &mut Tree) {
        let mut passed = self.passed.borrow_mut();
        passed.sort();
        while let Some(path) = passed.pop() {
            if tree.lookup(&path).is_some_and(|id| tree.inode(id).children().is_empty()) {
                tree.remove(&path);
            }
        }
    }
}

/// The entries of an archive as a tree, put below `at`. Names that would be whiteouts in a layer are just names.
pub(crate) fn delta_of(index: &Index, at: &TreePath) -> Result<Delta, ContextError> {
    let mut changes = Vec::with_capacity(index.entries().len());
    let place = |path: &TreePath| at.append(path);
    for entry in index.entries() {
        // The root's attributes are those of the place that it is unpacked to.
        if entry.path.is_root() {
            continue;
        }
        let failed = |source: bedplate_tree::PathError| ContextError::File {
            path: entry.path.to_string(),
            source: io::Error::new(io::ErrorKind::InvalidData, source),
        };
        let path = place(&entry.path).map_err(failed)?;
        let action = match &entry.indexed {
            Indexed::Entry(entry) => Action::Put(entry.clone()),
            Indexed::HardLink(target) => Action::Link { target: place(target).map_err(failed)? },
        };
        changes.push(Change { path, action });
    }
    Ok(Delta { changes })
}

fn tree_of(index: &Index, at: &TreePath) -> Result<Tree, ContextError> {
    let mut tree = Tree::new();
    tree.apply(&delta_of(index, at)?).map_err(ContextError::Apply)?;
    Ok(tree)
}

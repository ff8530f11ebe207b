//! A tarball or directory of debootstrap as a source of packages.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use bedplate_archive::tar::TarError;
use bedplate_archive::{Decoder, Index};
use bedplate_image::scan::{Choice, ScanOptions, scan};
use bedplate_image::{ContentError, ContentSources, Contents as _, ImageError, ReadError, read_file, tree_of};
use bedplate_oci::Digest;
use bedplate_store::Lease;
use bedplate_sys::rooted::Root;
use bedplate_tree::{Tree, TreePath};
use thiserror::Error;

use super::notes::{MAX_NOTE, variant_name};
use super::{ARCHIVES, FOLDER, LISTS, Notes, NotesError, StageError, lists};
use crate::acquire::{self, AcquireError, Context, MAX_INDEX};
use crate::choose::{Choice as Chosen, choose};
use crate::event::{Acquiring, Observer};
use crate::finish::own_path;
use crate::request::{Request, Variant, VariantError};
use crate::workflow::{BootstrapError, Resolved, tell};

/// Bytes read or written at once.
const BUFFER: usize = 256 * 1024;

/// A tarball or directory of debootstrap cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KitError {
    /// A file cannot be opened, read, or kept.
    #[error("cannot {what} {path:?}")]
    File {
        /// What was to be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The tarball is none.
    #[error("cannot read the tarball {path:?}")]
    Tar {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: TarError,
    },
    /// The tarball holds what no tree can.
    #[error("cannot read the tarball {path:?}")]
    Tree {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ImageError,
    },
    /// A note.
    #[error(transparent)]
    Notes(#[from] NotesError),
    /// A file of it cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The bytes of a package cannot be had.
    #[error("cannot read \"{path}\"")]
    Content {
        /// The package's path.
        path: String,
        /// Why.
        #[source]
        source: ContentError,
    },
    /// It is of something else than was asked for.
    #[error("asked for {what} {wanted}, and this is of {found}")]
    Other {
        /// What differs.
        what: &'static str,
        /// What was asked for.
        wanted: String,
        /// What is noted.
        found: String,
    },
    /// The noted variant is none.
    #[error("debootstrap/variant")]
    Variant(#[from] VariantError),
    /// A package is not there.
    #[error("the package {package} is not among the files at hand")]
    NoPackage {
        /// The package.
        package: String,
    },
}

/// Indexes, packages and notes that lie at hand.
#[derive(Debug)]
pub struct Kit<'a> {
    tree: Tree,
    contents: ContentSources<'a>,
    /// What is noted.
    pub notes: Notes,
}

impl<'a> Kit<'a> {
    /// That of a tarball, compressed or not.
    ///
    /// # Errors
    /// [`KitError`].
    pub fn of_tarball(path: &Path, lease: &'a Lease) -> Result<Self, KitError> {
        let failed = |what: &'static str| {
            let path = path.to_owned();
            move |source| KitError::File { what, path, source }
        };
        let file = File::open(path).map_err(failed("open"))?;
        let decoder = Decoder::new(BufReader::with_capacity(BUFFER, file)).map_err(failed("read"))?;
        let stream = lease.scratch();
        let sink = File::create(&stream).map_err(failed("keep"))?;
        let mut sink = BufWriter::with_capacity(BUFFER, sink);
        let scanned = Index::copy_tar(decoder, &mut sink, false)
            .map_err(|source| KitError::Tar { path: path.to_owned(), source })?;
        sink.flush().map_err(failed("keep"))?;
        let digest = Digest::from_bytes(scanned.index.diff_id());
        let contents = ContentSources::new().with_streams(move |wanted: &Digest| {
            let found = (*wanted == digest).then(|| File::open(&stream)).transpose();
            found.map_err(|error| Box::new(error) as Box<dyn std::error::Error + Send + Sync>)
        });
        let (tree, _) = tree_of(&[scanned.index]).map_err(|source| KitError::Tree { path: path.to_owned(), source })?;
        Self::new(tree, contents)
    }

    /// That of a directory between its stages.
    ///
    /// # Errors
    /// [`StageError`].
    pub fn of_directory(directory: Root) -> Result<Self, StageError> {
        let kept = [ARCHIVES, LISTS, FOLDER].map(own_path);
        let choose = |path: &TreePath, _: bool| {
            let on_the_way = kept.iter().any(|kept| kept.strip_prefix(path).is_some());
            let below = kept.iter().any(|kept| path.strip_prefix(kept).is_some());
            if on_the_way || below { Choice::Take } else { Choice::Leave }
        };
        let mut contents = ContentSources::new();
        let tree = scan(directory, &mut contents, &ScanOptions { choose: Some(&choose), ..ScanOptions::default() })?;
        Ok(Self::new(tree, contents)?)
    }

    fn new(tree: Tree, contents: ContentSources<'a>) -> Result<Self, KitError> {
        let folder = own_path(FOLDER);
        let notes = Notes::read(|name| {
            let path = folder.append(&own_path(name));
            let path = path.map_err(|_| NotesError::Missing { name })?;
            Ok::<_, KitError>(read_file(&tree, &contents, &path, MAX_NOTE)?)
        })?;
        Ok(Self { tree, contents, notes })
    }

    /// A request for what lies at hand: what `asked` leaves open is as it is noted; `variant` is one that
    /// somebody asked for by name.
    ///
    /// # Errors
    /// [`KitError`] where something else is asked for.
    pub fn request(&self, asked: &Request, variant: Option<Variant>) -> Result<Request, KitError> {
        let notes = &self.notes;
        let other =
            |what, wanted: &str, found: &str| KitError::Other { what, wanted: wanted.into(), found: found.into() };
        let mut request = asked.clone();
        if request.suite.is_empty() {
            request.suite.clone_from(&notes.suite);
        } else if request.suite.rsplit(':').next() != Some(&notes.suite) {
            return Err(other("suite", &request.suite, &notes.suite));
        }
        match &request.architecture {
            Some(wanted) if *wanted != notes.architecture => {
                return Err(other("architecture", wanted, &notes.architecture));
            }
            _ => request.architecture = Some(notes.architecture.clone()),
        }
        request.variant = notes.variant.as_deref().unwrap_or("-").parse()?;
        if let Some(wanted) = variant.filter(|wanted| *wanted != request.variant) {
            let name = |variant| variant_name(variant).unwrap_or("-");
            return Err(other("variant", name(wanted), name(request.variant)));
        }
        request.extra_suites.clone_from(&notes.extra_suites);
        if request.components.is_empty() {
            request.components = self.components();
        }
        Ok(request)
    }

    /// The components whose indexes lie at hand.
    fn components(&self) -> Vec<String> {
        let (begin, end) = (
            format!("_dists_{}_", self.notes.suite.replace('/', "_")),
            format!("_binary-{}_Packages", self.notes.architecture),
        );
        let names = self.tree.lookup(&own_path(LISTS)).map(|id| self.tree.inode(id).children().keys());
        let names = names.into_iter().flatten().filter_map(|name| std::str::from_utf8(name.as_bytes()).ok());
        let component = |name: &str| Some(name.split_once(&begin)?.1.strip_suffix(&end)?.replace('_', "/"));
        names.filter_map(component).collect()
    }

    /// The list that came from a path below its archive's root.
    fn list(&self, path: &str) -> Result<Option<Vec<u8>>, KitError> {
        let folder = own_path(LISTS);
        let Some(id) = self.tree.lookup(&folder) else { return Ok(None) };
        let names = self.tree.inode(id).children().keys();
        for name in names.filter(|name| std::str::from_utf8(name.as_bytes()).is_ok_and(|name| lists::is_of(name, path)))
        {
            if let Ok(path) = folder.join(name)
                && let Some(bytes) = read_file(&self.tree, &self.contents, &path, MAX_INDEX)?
            {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// Resolves a request by what lies at hand: its packages are those that are noted, in the store's cache from now on.
    ///
    /// Signatures and digests are judged as if all of it were fetched; see [`Checks`](crate::request::Checks).
    ///
    /// # Errors
    /// [`BootstrapError`].
    pub fn resolve(
        &self,
        request: &Request,
        context: &Context<'_>,
        observer: &dyn Observer,
    ) -> Result<Resolved, BootstrapError> {
        let acquiring = Acquiring(observer);
        let context = Context { observer: &acquiring, ..*context };
        let plan = acquire::plan(request, context.host)?;
        let failure = std::cell::RefCell::new(None);
        let read = |path: &str| match self.list(path) {
            Ok(found) => Ok(found),
            Err(error) => {
                // Nothing of the network is wrong: the caller gets the error as it is.
                failure.replace(Some(error));
                Err(AcquireError::NotAtHand { what: path.to_owned() })
            }
        };
        let acquired = acquire::open_local(plan, &read, &context);
        if let Some(error) = failure.into_inner() {
            return Err(StageError::Kit(error).into());
        }
        let acquired = acquired?;
        let names = bedplate_packages::deb::crude::Names {
            required: self.notes.required.clone(),
            base: self.notes.base.clone(),
        };
        let Chosen { packages, debootstrap, stanzas } = choose(request, &acquired, Some(names))?;
        for chosen in &packages {
            let missing = || KitError::NoPackage { package: chosen.wanted.name.clone() };
            let path = self.notes.file_of(&chosen.name).ok_or_else(missing).map_err(StageError::Kit)?;
            let entry = TreePath::parse(path.as_bytes()).ok().and_then(|path| self.tree.entry(&path));
            let content = entry.and_then(|entry| entry.content()).ok_or_else(missing).map_err(StageError::Kit)?;
            let mut reader = self
                .contents
                .open(content)
                .map_err(|source| StageError::Kit(KitError::Content { path: path.to_owned(), source }))?;
            acquire::adopt(&chosen.wanted, &mut reader, &context)?;
        }
        tell(&packages, observer);
        Ok(Resolved::new(acquired, Chosen { packages, debootstrap, stanzas }, request))
    }
}

/// Takes the packages of a bootstrap that a directory holds by apt's names into the store's cache; what is another one
/// there, or cannot be read, is left to be fetched.
///
/// # Errors
/// The cache cannot take one.
pub fn adopt_packages(
    resolved: &Resolved,
    folder: &Path,
    context: &Context<'_>,
    observer: &dyn Observer,
) -> Result<(), BootstrapError> {
    let acquiring = Acquiring(observer);
    let context = Context { observer: &acquiring, ..*context };
    for chosen in &resolved.packages {
        let name = super::deb_name(&chosen.name, &chosen.version, &chosen.architecture);
        let Ok(mut file) = File::open(folder.join(&name)) else { continue };
        match acquire::adopt(&chosen.wanted, &mut file, &context) {
            Ok(()) => {}
            Err(error @ AcquireError::Digest { .. }) => {
                observer.event(crate::event::Event::Remark(&format!("{name} is not used: {error}")));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

//! What was downloaded, where apt and debootstrap look for it.

use std::path::Path;

use bedplate_fetch::Url;
use bedplate_image::ContentSources;
use bedplate_sys::rooted::{Handle, Root};
use bedplate_tree::{Content, Entry, Metadata, Source, Timestamp, Tree, TreePath};

use super::notes::variant_name;
use super::{ARCHIVES, FOLDER, LISTS, Notes, StageError, deb_name, lists};
use crate::acquire::{self, Acquired, Context, Fetched};
use crate::event::{Acquiring, Observer};
use crate::finish::own_path;
use crate::request::Request;
use crate::workflow::{BootstrapError, Resolved};

/// The directories of lists and packages.
const FOLDERS: [&str; 4] = [LISTS, "var/lib/apt/lists/partial", ARCHIVES, "var/cache/apt/archives/partial"];

/// Indexes and packages of a request, verified.
#[derive(Debug)]
pub struct Stock<'a> {
    resolved: &'a Resolved,
    acquired: &'a Acquired,
    fetched: Fetched,
    variant: Option<&'static str>,
}

impl<'a> Stock<'a> {
    /// Fetches the packages that are not in the cache.
    ///
    /// # Errors
    /// [`BootstrapError`].
    pub fn fetch(
        resolved: &'a Resolved,
        request: &Request,
        context: &Context<'_>,
        observer: &dyn Observer,
    ) -> Result<Self, BootstrapError> {
        let acquired = resolved.acquired.as_ref().ok_or(StageError::Locked)?;
        let acquiring = Acquiring(observer);
        let context = Context { observer: &acquiring, ..*context };
        let wanted: Vec<_> = resolved.packages.iter().map(|chosen| chosen.wanted.clone()).collect();
        let fetched = acquire::fetch(&wanted, request.downloads, &context)?;
        Ok(Self { resolved, acquired, fetched, variant: variant_name(request.variant) })
    }

    /// Each package with its file in the cache, and what apt calls that file.
    pub fn files(&self) -> impl Iterator<Item = (&Path, String)> {
        self.resolved
            .packages
            .iter()
            .zip(&self.fetched.paths)
            .map(|(chosen, path)| (path.as_path(), deb_name(&chosen.name, &chosen.version, &chosen.architecture)))
    }

    /// What debootstrap notes of it.
    #[must_use]
    pub fn notes(&self) -> Notes {
        let plan = &self.resolved.plan;
        let names = &self.resolved.debootstrap;
        let packages = &self.resolved.packages;
        let address = |mirror: &Url, path: &str| format!("{}/{path}", mirror.revealed().trim_end_matches('/'));
        Notes {
            suite: plan.sources.first().map_or_else(|| plan.suite.codename.clone(), |source| source.suite.clone()),
            extra_suites: plan.sources.iter().skip(1).map(|source| source.suite.clone()).collect(),
            architecture: plan.architecture.clone(),
            variant: self.variant.map(str::to_owned),
            mirror: None,
            required: names.required.clone(),
            base: names.base.clone(),
            files: packages
                .iter()
                .map(|chosen| {
                    let file = deb_name(&chosen.name, &chosen.version, &chosen.architecture);
                    (chosen.name.clone(), format!("{ARCHIVES}/{file}"))
                })
                .collect(),
            addresses: packages
                .iter()
                .filter_map(|chosen| {
                    let mirror = chosen.wanted.mirrors.first()?;
                    Some((chosen.name.clone(), chosen.version.clone(), address(mirror, &chosen.wanted.path)))
                })
                .collect(),
        }
    }

    /// Gives the directories of lists and packages the time at which they were laid.
    pub fn touch(&self, tree: &mut Tree, mtime: Timestamp) {
        for folder in FOLDERS {
            if let Some(id) = tree.lookup(&own_path(folder)) {
                tree.metadata_mut(id).mtime = mtime;
            }
        }
    }

    /// Puts lists and packages where apt keeps them.
    ///
    /// # Errors
    /// [`StageError`].
    pub fn lay(&self, tree: &mut Tree, contents: &mut ContentSources<'_>, mtime: Timestamp) -> Result<(), StageError> {
        let mut place = Place { tree, mtime };
        for folder in FOLDERS {
            place.directory(&own_path(folder))?;
        }
        for source in &self.acquired.sources {
            let Some(mirror) = source.mirrors.first() else { continue };
            let folder = format!("dists/{}/", source.suite);
            let mut list = |path: &str, bytes: Vec<u8>| {
                place.file(LISTS, &lists::list_name(mirror, &format!("{folder}{path}")), Content::from_bytes(bytes))
            };
            match (&source.document.signature, lists::part(&source.document.text)) {
                (None, Some((text, signature))) => {
                    list("InRelease", source.document.text.clone())?;
                    list("Release", text)?;
                    list("Release.gpg", signature)?;
                }
                (None, None) => list("InRelease", source.document.text.clone())?,
                (Some(signature), _) => {
                    list("Release", source.document.text.clone())?;
                    list("Release.gpg", signature.clone())?;
                }
            }
            for index in &source.indexes {
                let path = format!("{}/binary-{}/Packages", index.component, index.architecture);
                list(&path, index.bytes.clone())?;
            }
        }
        let Some(cache) = self.fetched.paths.first().and_then(|path| path.parent()) else { return Ok(()) };
        let cache = Root::from_handle(Handle::open(cache).map_err(StageError::Open)?);
        // By what they are called: the digest of each was compared when it was fetched.
        let number = contents.add_directory(cache, bedplate_image::Stamps::new());
        for ((path, name), chosen) in self.files().zip(&self.resolved.packages) {
            let Some(file) = path.file_name() else { continue };
            let path = file.as_encoded_bytes().into();
            let content = Content::dense(Source::File { root: number, path }, 0, chosen.wanted.size);
            place.file(ARCHIVES, &name, content)?;
        }
        Ok(())
    }
}

impl Notes {
    /// Puts notes where the second stage finds them.
    ///
    /// # Errors
    /// [`StageError`].
    pub fn lay(&self, tree: &mut Tree, mtime: Timestamp) -> Result<(), StageError> {
        let mut place = Place { tree, mtime };
        place.directory(&own_path(FOLDER))?;
        for (name, text) in self.print() {
            place.file(FOLDER, name, Content::from_bytes(text.into_bytes()))?;
        }
        Ok(())
    }
}

/// Puts files of root's that everybody may read.
pub(super) struct Place<'t> {
    pub(super) tree: &'t mut Tree,
    pub(super) mtime: Timestamp,
}

impl Place<'_> {
    pub(super) fn directory(&mut self, path: &TreePath) -> Result<(), StageError> {
        if let Some(parent) = path.parent()
            && self.tree.lookup(&parent).is_none()
        {
            self.directory(&parent)?;
        }
        match self.tree.lookup(path) {
            // Something is about to be made in it.
            Some(id) => self.tree.metadata_mut(id).mtime = self.mtime,
            None => self.put(path, Entry::directory(Metadata::implied_directory(self.mtime)))?,
        }
        Ok(())
    }

    pub(super) fn file(&mut self, folder: &str, name: &str, content: Content) -> Result<(), StageError> {
        let path = TreePath::parse(format!("{folder}/{name}").as_bytes())
            .map_err(|source| StageError::Name { name: name.to_owned(), source })?;
        let metadata = Metadata { mode: 0o644, mtime: self.mtime, ..Metadata::default() };
        self.put(&path, Entry::file(content, metadata))
    }

    pub(super) fn put(&mut self, path: &TreePath, entry: Entry) -> Result<(), StageError> {
        self.tree.put(path, entry).map(drop).map_err(|source| StageError::Put { path: path.clone(), source })
    }
}

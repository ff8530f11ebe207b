//! COPY and ADD carried out: sources found, keys taken, trees changed.

use std::sync::Arc;

use bedplate_dockerfile::ignore::Ignore;
use bedplate_dockerfile::{Add, Copy, Heredoc, Position, Source, Word, expand};
use bedplate_image::config_edit::join_workdir;
use bedplate_oci::{DiffId, Digest, Reference};
use bedplate_store::Image;
use bedplate_tree::{Content, Delta, Entry, Metadata, Tree, TreePath};

use crate::build::At;
use crate::cache::KeyBuilder;
use crate::context::{BuildContext, View};
use crate::copy::{Destination, Item, Rules, Times, copy, make_directories};
use crate::error::StepError;
use crate::executor::Executor;
use crate::git::{GitError, GitSource};
use crate::mode::ModeChange;
use crate::named::Named;
use crate::request::Remark;
use crate::select::{Found, Reach, SourcePattern};
use crate::stage::StageState;
use crate::{add, history, owner, plan};

/// A source of COPY or ADD, its variables expanded.
enum Wanted {
    Path(SourcePattern),
    Bytes(String, Vec<u8>),
    /// A URL, and whether it is to be unpacked.
    Url(String, bool),
    /// The same with the digest that it must have.
    Pinned(String, bool, Digest),
    /// A repository, and whether its `.git` comes along.
    Git(GitSource, bool),
}

impl Wanted {
    fn pattern(&self) -> Option<&SourcePattern> {
        match self {
            Self::Path(pattern) => Some(pattern),
            _ => None,
        }
    }
}

/// Where COPY and mounts take their files from.
pub(crate) enum Origin {
    /// The build context, or a named one.
    Context(Option<Arc<BuildContext>>),
    Stage(usize),
    Image(Arc<Image>),
}

/// The flags of COPY and ADD with their variables expanded.
struct Flags {
    chown: Option<String>,
    chmod: Option<String>,
    mode: Option<ModeChange>,
    exclude: Vec<String>,
    ignore: Ignore,
    link: bool,
    parents: bool,
}

/// A source as it goes into a tree.
enum Part {
    /// Something found in a tree, by the number of the tree.
    Found { tree: usize, found: Found, archive: bool },
    /// A commit of a repository, to be fetched.
    Git { source: GitSource, commit: String, keep: bool },
    /// A file made of bytes at hand or downloaded: alone in a tree of its own.
    File { tree: usize, name: Vec<u8>, archive: Option<Content> },
}

/// The name of a file in a tree of its own.
const ALONE: &[u8] = b"file";

impl Executor<'_, '_> {
    fn flags(
        &mut self,
        state: &StageState,
        at: &At,
        chown: Option<&Word>,
        chmod: Option<&Word>,
        exclude: &[Word],
    ) -> Result<Flags, StepError> {
        let scope = state.clone_scope();
        let text = |word: Option<&Word>| -> Result<Option<String>, StepError> {
            let text = word.map(|word| self.word(word, at.escape, &scope)).transpose()?;
            Ok(text.filter(|text| !text.is_empty()))
        };
        let (chown, chmod) = (text(chown)?, text(chmod)?);
        let mode = chmod.as_deref().map(ModeChange::parse).transpose()?;
        let exclude = exclude.iter().map(|word| self.word(word, at.escape, &scope)).collect::<Result<Vec<_>, _>>()?;
        let ignore = Ignore::from_patterns(exclude.iter().map(String::as_str))
            .map_err(|source| StepError::Pattern { pattern: exclude.join(" "), source: Box::new(source) })?;
        Ok(Flags { chown, chmod, mode, exclude, ignore, link: false, parents: false })
    }

    fn destination(&mut self, state: &StageState, word: &Word, at: &At) -> Result<(Destination, String), StepError> {
        let text = self.word(word, at.escape, &state.clone_scope())?;
        let directory =
            matches!(text.as_str(), "" | "." | "..") || ["/", "/.", "/.."].iter().any(|end| text.ends_with(end));
        let path = join_workdir(&state.editor.config().config.working_dir, &text);
        Ok((Destination { path, directory }, text))
    }

    fn heredoc(&mut self, state: &StageState, heredoc: &Heredoc) -> Result<Vec<u8>, StepError> {
        let content = heredoc.content();
        if !heredoc.expand {
            return Ok(content.into_owned().into_bytes());
        }
        let found = expand::expand_heredoc(&content, &state.clone_scope()).map_err(|source| StepError::Expand {
            position: heredoc.position,
            word: format!("<<{}", heredoc.name),
            source,
        })?;
        Ok(found.text.into_bytes())
    }

    pub(crate) fn copy(&mut self, state: &mut StageState, index: usize, copy: &Copy, at: &At) -> Result<(), StepError> {
        let mut flags = self.flags(state, at, copy.chown.as_ref(), copy.chmod.as_ref(), &copy.exclude)?;
        (flags.link, flags.parents) = (copy.link, copy.parents);
        let origin = match &copy.from {
            None => Origin::Context(None),
            Some(word) => self.origin(index, word.as_str())?,
        };
        let (destination, shown) = self.destination(state, &copy.destination, at)?;
        let mut words = Vec::new();
        let mut sources = Vec::new();
        for source in &copy.sources {
            match source {
                Source::Path(word) => {
                    let text = self.word(word, at.escape, &state.clone_scope())?;
                    words.push(text.clone());
                    sources.push(Wanted::Path(SourcePattern::new(&text, copy.parents)));
                }
                Source::Heredoc(heredoc) => {
                    words.push(format!("<<{}", heredoc.name));
                    sources.push(Wanted::Bytes(heredoc.name.clone(), self.heredoc(state, heredoc)?));
                }
            }
        }
        let shown_flags = [
            ("--parents", copy.parents.then_some("")),
            ("--chown=", flags.chown.as_deref()),
            ("--chmod=", flags.chmod.as_deref()),
        ];
        let text = history::of_files("COPY", &shown_flags, &words, &shown);
        self.files(state, &origin, &sources, &destination, &flags, text, at, false)
    }

    pub(crate) fn add(&mut self, state: &mut StageState, add: &Add, at: &At) -> Result<(), StepError> {
        let mut flags = self.flags(state, at, add.chown.as_ref(), add.chmod.as_ref(), &add.exclude)?;
        flags.link = add.link;
        let (destination, shown) = self.destination(state, &add.destination, at)?;
        let checksum = match &add.checksum {
            None => None,
            Some(word) => Some(self.word(word, at.escape, &state.clone_scope())?).filter(|text| !text.is_empty()),
        };
        let mut words = Vec::new();
        let mut sources = Vec::new();
        for source in &add.sources {
            match source {
                Source::Path(word) => {
                    let text = self.word(word, at.escape, &state.clone_scope())?;
                    words.push(text.clone());
                    sources.push(match add::kind_of(&text) {
                        add::Kind::Path => Wanted::Path(SourcePattern::new(&text, false)),
                        add::Kind::Url => Wanted::Url(text, add.unpack.unwrap_or(false)),
                        add::Kind::Git(source) => Wanted::Git(source, add.keep_git_dir),
                    });
                }
                Source::Heredoc(heredoc) => {
                    words.push(format!("<<{}", heredoc.name));
                    sources.push(Wanted::Bytes(heredoc.name.clone(), self.heredoc(state, heredoc)?));
                }
            }
        }
        if let Some(text) = &checksum {
            match sources.as_mut_slice() {
                [Wanted::Git(source, _)] => source.expected = Some(text.clone()),
                [Wanted::Url(url, unpack)] => {
                    sources = vec![Wanted::Pinned(url.clone(), *unpack, add::checksum(text)?)];
                }
                _ => return Err(StepError::ChecksumSource),
            }
        }
        let shown_flags = [("--chown=", flags.chown.as_deref()), ("--chmod=", flags.chmod.as_deref())];
        let text = history::of_files("ADD", &shown_flags, &words, &shown);
        let unpack = add.unpack.unwrap_or(true);
        self.files(state, &Origin::Context(None), &sources, &destination, &flags, text, at, unpack)
    }

    pub(crate) fn origin(&mut self, index: usize, name: &str) -> Result<Origin, StepError> {
        if name.contains('$') {
            return Err(StepError::FromVariable { word: name.to_owned() });
        }
        let build = self.build;
        let file = build.request.dockerfile;
        if let Some(other) = file.find_stage(name, index) {
            self.needs(other)?;
            return Ok(Origin::Stage(other));
        }
        if file.find_stage(name, file.stages.len()).is_some() {
            return Err(StepError::FromLater { name: name.to_owned() });
        }
        let platform = build.request.platform.as_ref();
        let image = match build.named(name, platform)? {
            Some(Named::Files(context)) => return Ok(Origin::Context(Some(context))),
            Some(Named::Image(image)) => image,
            None => Arc::new(build.image(name, platform, index)?),
        };
        for diff_id in image.diff_ids() {
            build.lease.pin_layer(diff_id)?;
        }
        Ok(Origin::Image(image))
    }

    /// The files of a stage or an image, and the layers that they are made of; nothing of a context.
    pub(crate) fn tree_of_origin(&mut self, origin: &Origin) -> Result<(Tree, Vec<DiffId>), StepError> {
        let store = self.build.store;
        match origin {
            Origin::Context(_) => Ok((Tree::new(), Vec::new())),
            Origin::Stage(other) => {
                self.build.stages.done(*other, |state| Ok((state.tree(store)?.clone(), state.diff_ids())))
            }
            Origin::Image(image) => Ok((store.image_tree(image)?, image.diff_ids().to_vec())),
        }
    }

    /// What messages call the place.
    pub(crate) fn place_of(&self, origin: &Origin) -> String {
        match origin {
            Origin::Context(named) => named.as_deref().unwrap_or(self.build.context).place().to_owned(),
            Origin::Stage(other) => {
                format!("stage {:?}", plan::label(*other, &self.build.request.dockerfile.stages[*other]))
            }
            Origin::Image(image) => {
                format!("image {}", image.names.first().map_or_else(|| image.id().to_string(), Reference::familiar))
            }
        }
    }

    fn context_of<'s>(&'s self, origin: &'s Origin) -> Option<&'s BuildContext> {
        match origin {
            Origin::Context(named) => Some(named.as_deref().unwrap_or(self.build.context)),
            Origin::Stage(_) | Origin::Image(_) => None,
        }
    }

    /// Whether what is missing may have been left out.
    pub(crate) fn may_be_ignored(&self, origin: &Origin) -> bool {
        self.context_of(origin).is_some_and(BuildContext::has_ignore)
    }

    /// A context, the build's own or a named one, as far as the sources need it.
    pub(crate) fn view(
        &mut self,
        named: Option<&BuildContext>,
        patterns: &[&SourcePattern],
        recursive: bool,
    ) -> Result<View, StepError> {
        let context = named.unwrap_or(self.build.context);
        let streams = &self.build.streams;
        let wanted: Vec<Reach> = patterns.iter().map(|pattern| pattern.reach(recursive)).collect();
        let view = context.view(Some(&wanted), &mut self.contents, streams)?;
        if view.complete {
            return Ok(view);
        }
        for pattern in patterns {
            let missing = pattern.find(&view.tree, recursive)?.is_none_or(|found| found.is_empty());
            if (missing || !pattern.is_plain()) && pattern.may_be_elsewhere(&view.tree) {
                return Ok(context.view(None, &mut self.contents, streams)?);
            }
        }
        Ok(view)
    }

    /// Carries out COPY and ADD: finds the sources, takes their key, puts them.
    #[expect(clippy::too_many_arguments, reason = "all of it is one instruction's")]
    fn files(
        &mut self,
        state: &mut StageState,
        origin: &Origin,
        wanted: &[Wanted],
        destination: &Destination,
        flags: &Flags,
        text: String,
        at: &At,
        unpack: bool,
    ) -> Result<(), StepError> {
        let mut trees: Vec<Tree> = Vec::new();
        let mut parts: Vec<Part> = Vec::new();
        let patterns: Vec<&SourcePattern> = wanted.iter().filter_map(Wanted::pattern).collect();
        let mut key = KeyBuilder::new(if unpack { "add" } else { "copy" }, &state.layers, state.epoch);
        key.text(&destination.path).number(destination.directory.into());
        key.option(flags.chown.as_deref()).option(flags.chmod.as_deref());
        key.texts(flags.exclude.iter().map(String::as_str));
        key.number(flags.link.into()).number(flags.parents.into());
        match origin {
            Origin::Context(named) => {
                if !patterns.is_empty() {
                    trees.push(self.view(named.as_deref(), &patterns, flags.parents)?.tree);
                }
            }
            Origin::Stage(_) | Origin::Image(_) => {
                let (tree, layers) = self.tree_of_origin(origin)?;
                key.layers(&layers);
                trees.push(tree);
            }
        }
        let from_context = matches!(origin, Origin::Context(_));
        for one in wanted {
            match one {
                Wanted::Path(pattern) => {
                    let found = pattern.find(&trees[0], flags.parents)?.ok_or_else(|| StepError::NotFound {
                        path: pattern.text.clone(),
                        place: self.place_of(origin),
                        ignored: self.may_be_ignored(origin),
                    })?;
                    for found in found {
                        let file = trees[0].lookup(&found.path).and_then(|id| trees[0].inode(id).entry.content());
                        let archive = unpack && file.is_some_and(|content| add::is_archive(content, &self.contents));
                        parts.push(Part::Found { tree: 0, found, archive });
                    }
                }
                Wanted::Bytes(name, bytes) => {
                    key.text("bytes").text(name).bytes(bytes);
                    trees.push(alone(Content::from_bytes(bytes.clone()), 0o644)?);
                    parts.push(Part::File { tree: trees.len() - 1, name: name.clone().into_bytes(), archive: None });
                }
                Wanted::Url(url, unpack) => {
                    let download =
                        add::fetch(url, None, self.build.request.fetcher, self.build.lease, &self.build.streams)?;
                    key.text("url").digest(&download.digest).number((*unpack).into());
                    let name = self.url_name(url, destination)?;
                    key.bytes(&name);
                    let archive = unpack.then(|| download.content.clone());
                    trees.push(alone(download.content, 0o600)?);
                    parts.push(Part::File { tree: trees.len() - 1, name, archive });
                }
                Wanted::Git(source, keep) => {
                    let commit = source.commit().map_err(|error| git_failed(source, error))?;
                    key.text("git").text(&commit).text(&source.directory).number((*keep).into());
                    if *keep {
                        // It is written down there.
                        key.text(&source.shown());
                    }
                    parts.push(Part::Git { source: source.clone(), commit, keep: *keep });
                }
                Wanted::Pinned(url, unpack, digest) => {
                    // With a checksum the bytes are known before they are here: a hit needs no download.
                    key.text("url").digest(digest).number((*unpack).into());
                    let name = self.url_name(url, destination)?;
                    key.bytes(&name);
                }
            }
        }
        if from_context {
            self.key_of_parts(&mut key, &trees, &parts, flags)?;
        } else {
            for part in &parts {
                if let Part::Found { found, .. } = part {
                    key.text("found")
                        .bytes(found.asked.as_bytes())
                        .bytes(found.path.as_bytes())
                        .number(found.pivot as u64);
                }
            }
        }
        let key = key.finish();
        let position = at.position;
        self.layer(state, key, text, move |this, state| {
            if let [Wanted::Pinned(url, unpack, digest)] = wanted {
                let download =
                    add::fetch(url, Some(*digest), this.build.request.fetcher, this.build.lease, &this.build.streams)?;
                let name = this.url_name(url, destination)?;
                let archive = unpack.then(|| download.content.clone());
                trees.push(alone(download.content, 0o600)?);
                parts.push(Part::File { tree: trees.len() - 1, name, archive });
            }
            for part in &mut parts {
                if let Part::Git { source, commit, keep } = part {
                    trees.push(this.check_out(source, commit, *keep)?);
                    let path = TreePath::parse(source.directory.as_bytes())
                        .map_err(|error| StepError::Path { path: source.directory.clone(), source: error })?;
                    let found = Found { asked: path.clone(), path, pivot: 0 };
                    *part = Part::Found { tree: trees.len() - 1, found, archive: false };
                }
            }
            this.put(state, &trees, &parts, from_context, destination, flags, position)
        })
    }

    /// The files of a commit.
    fn check_out(&mut self, source: &GitSource, commit: &str, keep: bool) -> Result<Tree, StepError> {
        let folder = self.build.lease.scratch();
        std::fs::create_dir(&folder).map_err(|error| StepError::Scratch { what: source.shown(), source: error })?;
        source.check_out(commit, &folder, keep).map_err(|error| git_failed(source, error))?;
        Ok(BuildContext::directory(&folder)?.view(None, &mut self.contents, &self.build.streams)?.tree)
    }

    /// The name of a URL's file in a directory; none is needed where the destination names it.
    fn url_name(&self, url: &str, destination: &Destination) -> Result<Vec<u8>, StepError> {
        match add::url_name(url) {
            Err(StepError::UrlWithoutName { .. }) if !destination.directory => Ok(b"download".to_vec()),
            other => other,
        }
    }

    /// Adds what counts of a context's files to a key: names, kinds, modes, bytes.
    fn key_of_parts(
        &mut self,
        key: &mut KeyBuilder,
        trees: &[Tree],
        parts: &[Part],
        flags: &Flags,
    ) -> Result<(), StepError> {
        for part in parts {
            let Part::Found { tree, found, archive } = part else { continue };
            let tree = &trees[*tree];
            key.text("found").bytes(found.asked.file_name().unwrap_or_default()).number((*archive).into());
            if flags.parents {
                key.bytes(found.path.as_bytes()).number(found.pivot as u64);
                // The directories that lead here give their modes.
                let mut above = found.path.parent();
                while let Some(path) = above {
                    if let Some(entry) = tree.entry(&path) {
                        key.context_entry(entry, None);
                    }
                    above = path.parent();
                }
            }
            self.key_of_tree(key, tree, &found.path, &flags.ignore)?;
        }
        Ok(())
    }

    /// Adds what counts of a part of a context to a key.
    pub(crate) fn key_of_tree(
        &mut self,
        key: &mut KeyBuilder,
        tree: &Tree,
        part: &TreePath,
        ignore: &Ignore,
    ) -> Result<(), StepError> {
        for (path, id) in tree.walk_at(part) {
            let relative = path.strip_prefix(part).unwrap_or_default();
            if !relative.is_root() && !ignore.is_empty() && ignore.ignored(relative.as_bytes()) {
                continue;
            }
            let entry = &tree.inode(id).entry;
            key.bytes(relative.as_bytes());
            let digest = match entry.content() {
                Some(content) => Some(
                    self.build
                        .hashes
                        .digest(content, &self.contents, self.build.lease)
                        .map_err(|source| StepError::Content { path: path.to_string(), source })?,
                ),
                None => None,
            };
            key.context_entry(entry, digest.as_ref());
        }
        Ok(())
    }

    /// Puts the sources into the stage's tree and gives the changes.
    #[expect(clippy::too_many_arguments, reason = "all of it is one instruction's")]
    fn put(
        &mut self,
        state: &mut StageState,
        trees: &[Tree],
        parts: &[Part],
        from_context: bool,
        destination: &Destination,
        flags: &Flags,
        position: Position,
    ) -> Result<Delta, StepError> {
        let epoch = state.epoch;
        let base = state.tree(self.build.store)?.clone();
        let owner = match &flags.chown {
            Some(text) => Some(owner::resolve(text, &base, &self.contents)?),
            None => None,
        };
        let rules = Rules {
            owner: owner.or(from_context.then_some((0, 0))),
            mode: flags.mode.as_ref(),
            times: if from_context { Times::Set } else { Times::Clamp },
            epoch,
            links: !from_context,
            exclude: &flags.ignore,
            follow: !flags.link,
        };
        let old = if flags.link { Tree::new() } else { base };
        let mut new = old.clone();
        let several = parts.len() > 1;
        for part in parts {
            let (item, archive) = match part {
                Part::Found { tree, found, archive } => {
                    let tree = &trees[*tree];
                    let below = flags.parents.then(|| below_pivot(found)).transpose()?;
                    let name = found.asked.file_name().unwrap_or_default().to_vec();
                    let content = archive.then(|| tree.entry(&found.path).and_then(Entry::content).cloned()).flatten();
                    (Item { tree, path: found.path.clone(), name, below }, content)
                }
                // Fetched by now.
                Part::Git { .. } => continue,
                Part::File { tree, name, archive } => {
                    let path = TreePath::parse(ALONE).unwrap_or_default();
                    let content = archive.clone().filter(|content| add::is_archive(content, &self.contents));
                    (Item { tree: &trees[*tree], path, name: name.clone(), below: None }, content)
                }
            };
            let Some(content) = archive else {
                copy(&mut new, destination, &[item], several, &rules)?;
                continue;
            };
            let what = String::from_utf8_lossy(&item.name).into_owned();
            let place = TreePath::parse(destination.path.as_bytes())
                .map_err(|source| StepError::Path { path: destination.path.clone(), source })?;
            let (place, _) = new.resolve(&place, true)?;
            let index = add::index_of(&content, &what, &self.contents, self.build.lease, &self.build.streams)?;
            let (uid, gid) = owner.unwrap_or((0, 0));
            make_directories(&mut new, &place, &Metadata { uid, gid, ..Metadata::implied_directory(epoch) })?;
            let left_out = add::unpack(&mut new, &place, &index, &what, owner, flags.mode.as_ref(), epoch)?;
            for path in left_out {
                let what = format!("{:?} is left out: in a layer the name would hide another file", path.to_string());
                self.remark(Remark::LeftOut { position, what });
            }
        }
        Ok(self.changes(&old, &new, position))
    }
}

fn git_failed(source: &GitSource, error: GitError) -> StepError {
    StepError::Git { url: source.shown(), source: error }
}

/// A tree with nothing but one file.
fn alone(content: Content, mode: u32) -> Result<Tree, StepError> {
    let mut tree = Tree::new();
    let path = TreePath::parse(ALONE).unwrap_or_default();
    tree.put(&path, Entry::file(content, Metadata { mode, ..Metadata::default() }))?;
    Ok(tree)
}

/// The path of a source behind the pivot of `--parents`.
fn below_pivot(found: &Found) -> Result<TreePath, StepError> {
    let parts: Vec<&[u8]> = found.path.components().skip(found.pivot).collect();
    let path = parts.join(&b'/');
    TreePath::parse(&path)
        .map_err(|source| StepError::Path { path: String::from_utf8_lossy(&path).into_owned(), source })
}

//! One package into the tree, entry after entry.

use std::collections::HashMap;

use bedplate_archive::index::{IndexEntry, Indexed};
use bedplate_tree::{Entry, EntryKind, InodeId, MAX_INODES, Name, Tree, TreeError, TreePath};

use super::{ComposeError, Composition, Overridden, Overwritten, PackageNumber, Reason, Unpacked};
use crate::deb::payload::{Md5, MultiArch, OwnerNames, Payload};

/// What became of a file of the package that is being unpacked: hard links to it follow.
enum Placed {
    /// It is there, under that name, or what was kept instead.
    At(TreePath),
    /// It was left out: the first link to it that is not becomes the file.
    Filtered(Entry),
}

/// What to do about another package that has the same name.
#[derive(Clone, Copy)]
enum Verdict {
    Overwrite,
    Keep,
}

/// The state of one unpacking.
struct Unpacking<'a> {
    number: PackageNumber,
    placed: HashMap<&'a TreePath, Placed>,
    conffiles: std::collections::HashSet<&'a TreePath>,
    /// Sums of the package's files, where they are needed.
    sums: HashMap<&'a [u8], Md5>,
    /// The directory of the last entry, and where links lead it.
    parent: Option<(TreePath, TreePath)>,
}

impl Composition {
    /// Unpacks a package over what is there.
    ///
    /// # Errors
    /// [`ComposeError`]; the composition is then of no more use.
    pub fn unpack(&mut self, payload: &Payload) -> Result<PackageNumber, ComposeError> {
        let control = payload.control();
        let number = PackageNumber(u32::try_from(self.packages.len()).expect("packages are bounded by entries"));
        let field = |name| control.field(name).unwrap_or_default().into();
        self.packages.push(Unpacked {
            name: control.name().into(),
            version: control.version().clone(),
            architecture: control.architecture().into(),
            multi_arch: control.multi_arch(),
            replaces: field("Replaces"),
            needs: ["Depends", "Pre-Depends", "Recommends"].map(field),
            provides: field("Provides"),
            unlisted: std::collections::HashSet::new(),
            has_names: false,
            sole_names: 0,
            configured: false,
            gone: false,
        });
        let sums = match control.multi_arch() {
            MultiArch::Same => sums_of(payload),
            _ => HashMap::new(),
        };
        let conffiles = payload.conffiles().iter().map(|conffile| &conffile.path).collect();
        let mut unpacking = Unpacking { number, placed: HashMap::new(), conffiles, sums, parent: None };
        for entry in payload.entries() {
            let attributed = self.attributed(entry, payload.owner_names(entry));
            self.unpack_entry(&mut unpacking, &entry.path, attributed.as_ref().unwrap_or(&entry.indexed))?;
            if self.tree.inode_count() > MAX_INODES {
                let package = self.shown(number);
                return Err(ComposeError::TooMany { package, path: entry.path.clone(), limit: MAX_INODES });
            }
        }
        for (path, sum) in unpacking.sums {
            if let Ok(path) = TreePath::parse(path) {
                self.sums.insert(path, sum);
            }
        }
        self.let_disappear(number);
        Ok(number)
    }

    fn shown(&self, number: PackageNumber) -> String {
        self.packages[number.index()].shown()
    }

    /// The entry with the attributes that the root gives it; `None` where they are its own.
    fn attributed(&self, entry: &IndexEntry, names: Option<&OwnerNames>) -> Option<Indexed> {
        let overridden = self.overrides.get(&entry.path);
        let Indexed::Entry(found) = &entry.indexed else { return None };
        if overridden.is_none() && names.is_none() {
            return None;
        }
        let mut entry = found.clone();
        let metadata = &mut entry.metadata;
        if let Some(&Overridden { uid, gid, mode }) = overridden {
            (metadata.uid, metadata.gid) = (uid, gid);
            if !matches!(entry.kind, EntryKind::Symlink(_)) {
                metadata.mode = mode;
            }
        } else if let Some(names) = names {
            let accounts = &self.options.accounts;
            metadata.uid = accounts.uid(&names.user).unwrap_or(metadata.uid);
            metadata.gid = accounts.gid(&names.group).unwrap_or(metadata.gid);
        }
        Some(Indexed::Entry(entry))
    }

    fn unpack_entry<'a>(
        &mut self,
        unpacking: &mut Unpacking<'a>,
        path: &'a TreePath,
        indexed: &Indexed,
    ) -> Result<(), ComposeError> {
        let number = unpacking.number;
        if path.is_root() {
            // The root is there, and a directory that is there keeps its attributes.
            return Ok(());
        }
        let failed = |this: &Self, source| {
            let package = this.shown(number);
            ComposeError::Put { package, path: path.clone(), source }
        };
        let diverted = self.options.diversions.divert(path, &self.packages[number.index()].name).cloned();
        let name = diverted.as_ref().unwrap_or(path);
        let location = self.locate(unpacking, name).map_err(|source| failed(self, source))?;
        let existing = self.tree.lookup(&location);
        let is_directory = matches!(indexed, Indexed::Entry(entry) if entry.is_directory());
        let existing_directory = self.is_existing_directory(&location, existing, indexed);

        if !existing_directory && self.judge(unpacking, path, existing, indexed)? {
            unpacking.placed.insert(path, Placed::At(location));
            return Ok(());
        }
        self.own(path, number);
        let may_hold =
            matches!(indexed, Indexed::Entry(Entry { kind: EntryKind::Directory | EntryKind::Symlink(_), .. }));
        if !self.options.filter.rules.is_empty() {
            let absolute = [b"/", path.as_bytes()].concat();
            if self.options.filter.skips(&absolute, may_hold) {
                if let Some(entry) = entry_of(unpacking, indexed) {
                    unpacking.placed.insert(path, Placed::Filtered(entry));
                }
                return Ok(());
            }
        }
        if existing_directory {
            unpacking.placed.insert(path, Placed::At(location));
            return Ok(());
        }
        let is_file = existing.is_some_and(|id| matches!(self.tree.inode(id).entry.kind, EntryKind::File(_)));
        if is_file && unpacking.conffiles.contains(path) && self.owners(path) == [number] {
            // Nobody's: somebody made it before, and what a person or a script wrote is kept.
            unpacking.placed.insert(path, Placed::At(location));
            return Ok(());
        }
        if !is_directory && existing.is_some() {
            self.note_alias(number, path, &location);
        }
        match indexed {
            Indexed::Entry(entry) => {
                self.tree.put(&location, entry.clone()).map_err(|source| failed(self, source))?;
            }
            Indexed::HardLink(target) => {
                // A file that was packed twice says nothing anew.
                if target != path {
                    self.link(unpacking, path, &location, target)?;
                }
                if let (Some(found), Some(id)) = (self.overrides.get(path), self.tree.lookup(&location)) {
                    let metadata = self.tree.metadata_mut(id);
                    (metadata.uid, metadata.gid, metadata.mode) = (found.uid, found.gid, found.mode);
                }
            }
        }
        if existing.is_some() || matches!(indexed, Indexed::Entry(Entry { kind: EntryKind::Symlink(_), .. })) {
            // A link on the way may lead elsewhere now.
            unpacking.parent = None;
        }
        if location != *path && !is_directory {
            self.aliases.insert(location.clone(), (number, path.clone()));
        }
        if !is_directory {
            unpacking.placed.insert(path, Placed::At(location));
        }
        Ok(())
    }

    /// Where an entry goes: its directory with links followed, and its name in it.
    fn locate(&self, unpacking: &mut Unpacking<'_>, name: &TreePath) -> Result<TreePath, TreeError> {
        let (Some(parent), Some(last)) = (name.parent(), name.file_name()) else { return Ok(TreePath::root()) };
        let path_error = |source| TreeError::Path { path: name.clone(), source };
        let last = Name::new(last).map_err(path_error)?;
        let resolved = match &unpacking.parent {
            Some((known, resolved)) if *known == parent => resolved,
            _ => {
                let (resolved, there) = self.tree.resolve(&parent, true)?;
                if there.is_none() && resolved != parent {
                    // A link that leads nowhere: dpkg makes no directory of it.
                    return Err(TreeError::NotFound { path: resolved });
                }
                &unpacking.parent.insert((parent, resolved)).1
            }
        };
        resolved.join(&last).map_err(path_error)
    }

    /// Whether there is a directory already, where the package has one, or a link that may not replace it.
    fn is_existing_directory(&self, location: &TreePath, existing: Option<InodeId>, indexed: &Indexed) -> bool {
        let (Some(id), Indexed::Entry(entry)) = (existing, indexed) else { return false };
        let there = &self.tree.inode(id).entry.kind;
        match (&entry.kind, there) {
            (EntryKind::Directory | EntryKind::Symlink(_), EntryKind::Directory) => true,
            (EntryKind::Directory, EntryKind::Symlink(_)) => directory_at(&self.tree, location).is_some(),
            (EntryKind::Symlink(new), EntryKind::Symlink(_)) => {
                let dir = location.parent().unwrap_or_default();
                let old = directory_at(&self.tree, location);
                old.is_some() && old == target_directory(&self.tree, dir, new)
            }
            _ => false,
        }
    }

    /// Looks at who else has the name: true where what is there stays.
    fn judge(
        &mut self,
        unpacking: &Unpacking<'_>,
        path: &TreePath,
        existing: Option<InodeId>,
        indexed: &Indexed,
    ) -> Result<bool, ComposeError> {
        let number = unpacking.number;
        let Some(others) = self.owners.get(path) else { return Ok(false) };
        let mut keep = false;
        let mut losers = Vec::new();
        for &other in others.iter().filter(|&&other| other != number) {
            let (new, old) = (&self.packages[number.index()], &self.packages[other.index()]);
            if new.name == old.name && new.multi_arch == MultiArch::Same && old.multi_arch == MultiArch::Same {
                let Some(id) = existing else { continue };
                if !self.is_shared(unpacking, path, id, indexed) {
                    let (first, second) = (old.shown(), new.shown());
                    return Err(ComposeError::Shared { path: path.clone(), first, second });
                }
                keep = true;
                continue;
            }
            if self.options.diversions.diverter(path).is_some_and(|by| by == &*new.name || by == &*old.name) {
                continue;
            }
            let is_directory = matches!(indexed, Indexed::Entry(entry) if entry.is_directory());
            if existing.is_none() && is_directory {
                continue;
            }
            let verdict = if new.replaces(old) {
                Verdict::Overwrite
            } else if old.replaces(new) {
                Verdict::Keep
            } else {
                let (path, first, second) = (path.clone(), old.shown(), new.shown());
                return Err(match existing.is_some_and(|id| self.tree.inode(id).entry.is_directory()) {
                    true => ComposeError::Directory { path, first, second, found: describe(indexed) },
                    false => ComposeError::Overlap { path, first, second },
                });
            };
            losers.push((other, verdict));
        }
        let kept = losers.iter().any(|(_, verdict)| matches!(verdict, Verdict::Keep));
        for (other, verdict) in losers {
            let (winner, loser, reason) = match verdict {
                Verdict::Keep => (other, number, Reason::Replaced),
                Verdict::Overwrite if kept => continue,
                Verdict::Overwrite => (number, other, Reason::Replaces),
            };
            self.packages[loser.index()].unlisted.insert(path.clone());
            if reason == Reason::Replaces {
                // Who comes later has nothing to do with it any more.
                self.disown(path, loser);
            }
            self.overwritten.push(Overwritten { path: path.clone(), winner, loser, reason });
        }
        if keep && !kept {
            // Shared by two architectures: both have it.
            self.own(path, number);
        }
        Ok(keep || kept)
    }

    /// Whether a file is the same as the one that another architecture of the package put.
    fn is_shared(&self, unpacking: &Unpacking<'_>, path: &TreePath, id: InodeId, indexed: &Indexed) -> bool {
        let there = &self.tree.inode(id).entry;
        let sum = |path: &TreePath| unpacking.sums.get(path.as_bytes()).copied();
        match indexed {
            // What it links to was looked at before.
            Indexed::HardLink(_) => matches!(there.kind, EntryKind::File(_)),
            Indexed::Entry(entry) => match (&entry.kind, &there.kind) {
                (EntryKind::File(new), EntryKind::File(old)) => new.same_as(old).unwrap_or_else(|| {
                    let (new, old) = (sum(path), self.sums.get(path));
                    new.is_some() && new.as_ref() == old
                }),
                (new, old) => new == old,
            },
        }
    }

    fn link(
        &mut self,
        unpacking: &mut Unpacking<'_>,
        path: &TreePath,
        location: &TreePath,
        target: &TreePath,
    ) -> Result<(), ComposeError> {
        let number = unpacking.number;
        let unknown = |this: &Self| {
            let package = this.shown(number);
            ComposeError::HardLink { package, path: path.clone(), target: target.clone() }
        };
        let failed = |this: &Self, source| {
            let package = this.shown(number);
            ComposeError::Put { package, path: path.clone(), source }
        };
        match unpacking.placed.get_mut(target) {
            None => Err(unknown(self)),
            Some(Placed::At(at)) => match self.tree.link(location, at) {
                Ok(_) => Ok(()),
                Err(TreeError::NotFound { .. } | TreeError::LinkToDirectory { .. }) => Err(unknown(self)),
                Err(source) => Err(failed(self, source)),
            },
            Some(filtered @ Placed::Filtered(_)) => {
                let Placed::Filtered(entry) = std::mem::replace(filtered, Placed::At(location.clone())) else {
                    return Err(unknown(self));
                };
                self.tree.put(location, entry).map_err(|source| failed(self, source))?;
                Ok(())
            }
        }
    }

    /// Remembers where a file goes over another package's under another name.
    fn note_alias(&mut self, number: PackageNumber, path: &TreePath, location: &TreePath) {
        let other = match self.aliases.get(location) {
            Some((other, name)) if *other != number && name != path => Some((*other, name.clone())),
            _ if location != path => {
                let other = self.owners(location).last().copied().filter(|&other| other != number);
                other.map(|other| (other, location.clone()))
            }
            _ => None,
        };
        if let Some((loser, path)) = other {
            self.overwritten.push(Overwritten { path, winner: number, loser, reason: Reason::Alias });
        }
    }
}

/// The entry itself, or, of a link to a file that was left out, that file.
fn entry_of(unpacking: &Unpacking<'_>, indexed: &Indexed) -> Option<Entry> {
    match indexed {
        Indexed::Entry(entry) if !entry.is_directory() => Some(entry.clone()),
        Indexed::Entry(_) => None,
        Indexed::HardLink(target) => match unpacking.placed.get(target) {
            Some(Placed::Filtered(entry)) => Some(entry.clone()),
            _ => None,
        },
    }
}

fn describe(indexed: &Indexed) -> &'static str {
    match indexed {
        Indexed::Entry(entry) => entry.kind.describe(),
        Indexed::HardLink(_) => "hard link",
    }
}

fn directory_at(tree: &Tree, path: &TreePath) -> Option<InodeId> {
    let (_, id) = tree.resolve(path, true).ok()?;
    id.filter(|&id| tree.inode(id).entry.is_directory())
}

/// The directory that a link in `dir` would lead to.
fn target_directory(tree: &Tree, dir: TreePath, target: &[u8]) -> Option<InodeId> {
    let mut at = if target.first() == Some(&b'/') { TreePath::root() } else { dir };
    for part in target.split(|&b| b == b'/') {
        at = match part {
            b"" | b"." => continue,
            b".." => at.parent().unwrap_or_default(),
            name => tree.resolve(&at.join(&Name::new(name).ok()?).ok()?, true).ok()?.0,
        };
    }
    directory_at(tree, &at)
}

/// The sums of a package's files by their paths.
fn sums_of(payload: &Payload) -> HashMap<&[u8], Md5> {
    let mut sums = HashMap::new();
    for line in payload.md5sums().split(|&b| b == b'\n') {
        if let Some((sum, rest)) = line.split_at_checked(32)
            && let (Some(sum), Some(path)) = (Md5::from_hex(sum), rest.strip_prefix(b"  "))
        {
            sums.insert(path.strip_prefix(b"./").unwrap_or(path), sum);
        }
    }
    let conffiles = payload.conffiles().iter();
    sums.extend(conffiles.filter_map(|conffile| Some((conffile.path.as_bytes(), conffile.md5?))));
    sums
}

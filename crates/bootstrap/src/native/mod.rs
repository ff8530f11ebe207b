//! Programs of the root that maintainer scripts call, and that this program does in their place: the same, without
//! starting perl, which is half of the processor time of a warm bootstrap.
//!
//! A program is replaced only where its bytes, and those of all that it loads, are known: the digest in the table. This
//! program is then mounted over it, and the program itself below `/dev`, to be executed for whatever it was not
//! replaced for. Scripts stay as they are. What is replaced leaves the same bytes; `--scripts run` replaces nothing.

mod debconf;
mod systemd_helper;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use bedplate_image::{Contents, read_content};
use bedplate_run::Mount;
use bedplate_store::Lease;
use bedplate_tree::{Content, Tree, TreePath};
use sha2::{Digest as _, Sha256};

use crate::root_error::RootError;

/// Where the replaced programs are found by who replaces them.
/// It is no directory of the image.
const ORIGINALS: &str = "/dev/bedplate";

/// Which programs of a root are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scripts {
    /// Those that are known.
    #[default]
    Native,
    /// None: everything runs as the packages brought it.
    Run,
}

/// A program that can be replaced.
struct Program {
    /// Its path in the root.
    path: &'static str,
    /// What else decides on what it does: files and directories.
    with: &'static [&'static str],
    /// Digests of all that, in hexadecimal: see [`fingerprint`].
    known: &'static [&'static str],
    run: fn(&[String]) -> Option<i32>,
}

const PROGRAMS: [Program; 2] = [
    Program {
        path: "usr/share/debconf/frontend",
        with: &["etc/debconf.conf", "usr/share/debconf/confmodule", "usr/share/perl5/Debconf"],
        known: DEBCONF,
        run: debconf::run,
    },
    Program { path: "usr/bin/deb-systemd-helper", with: &[], known: SYSTEMD_HELPER, run: systemd_helper::run },
];

const DEBCONF: &[&str] = &[
    // 1.5.79ubuntu1: jammy.
    "eb4bd63a15ce1986181e13cbcb30d4e8cb5d598bcf99db7c7b5249bab5cf1d85",
    // 1.5.82: bookworm.
    "0268732a0be9c2affc74664c9ca8f847301318fc72bd25f594fbea721d48ff43",
    // 1.5.86ubuntu1: noble.
    "a55e607ed07e73ef89a1321c98b1ce6da05f7449ee930cbc0b63b136178f7871",
    // 1.5.91, 1.5.92: trixie, forky, sid, resolute.
    "1bd9bbf33dc429cd6d982e326a64d423bf3206b779371f290703ab16e12296e1",
];

const SYSTEMD_HELPER: &[&str] = &[
    // 1.65.2 and later: bookworm, trixie, forky, sid, noble, resolute. That of jammy makes other links of templates.
    "a895d5f077651960b6ca4ed9c53f8b36eae422ae170f61c972d0c6579e9f8732",
];

/// Does the work of a replaced program where this process was started in its place, by the first of the arguments; the
/// status to end with.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = String>) -> Option<i32> {
    let mut arguments = arguments.into_iter();
    let called = arguments.next()?;
    let name = Path::new(&called).file_name()?;
    let program = PROGRAMS.iter().find(|program| Path::new(program.path).file_name() == Some(name))?;
    let original = Path::new(ORIGINALS).join(name);
    if !original.is_file() {
        return None;
    }
    let arguments: Vec<String> = arguments.collect();
    if let Some(status) = (program.run)(&arguments) {
        return Some(status);
    }
    let error = std::process::Command::new(&original).args(&arguments).exec();
    say(&format!("{}: {error}", original.display()));
    Some(126)
}

/// A line on standard error, where the replaced programs have theirs, too.
fn say(line: &str) {
    // Who started this may have closed it.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Reads what debconf keeps and what packages bring: what is read is written as the same ever after.
pub(crate) fn fuzz_debconf(data: &[u8]) {
    debconf::fuzz(data);
}

/// A file of a root: its path, and where its bytes are.
type FileOf = (TreePath, Content);

/// The programs of a root that were looked at. Scripts run once for each wave, and what they call seldom changes between
/// two: the same files are not read again.
#[derive(Default)]
pub(crate) struct Replacements {
    /// The files that decide on a program, and its copy where they are known.
    looked: BTreeMap<&'static str, (Vec<FileOf>, Option<PathBuf>)>,
}

impl Replacements {
    /// What is mounted over the programs of this root that are known.
    pub(crate) fn mounts(
        &mut self,
        lease: &Lease,
        tree: &Tree,
        contents: &dyn Contents,
    ) -> Result<Vec<Mount>, RootError> {
        let mut mounts = Vec::new();
        // Its file may have been replaced since it began.
        let Some(own) = std::env::current_exe().ok().filter(|own| fs::File::open(own).is_ok()) else {
            return Ok(mounts);
        };
        for program in PROGRAMS {
            let (Some(files), Some(name)) = (files(&program, tree), Path::new(program.path).file_name()) else {
                continue;
            };
            let original = match self.looked.get(program.path) {
                Some((same, original)) if *same == files => original.clone(),
                _ => {
                    let original = copy_if_known(&program, &files, lease, contents)?;
                    self.looked.insert(program.path, (files, original.clone()));
                    original
                }
            };
            let Some(original) = original else { continue };
            let target = Path::new(ORIGINALS).join(name);
            mounts.push(crate::sandbox::bind(original, &target.to_string_lossy()));
            mounts.push(crate::sandbox::bind(own.clone(), &format!("/{}", program.path)));
        }
        Ok(mounts)
    }
}

/// The files that decide on what a program does, itself first; `None` where it is not there, or some are no files.
fn files(program: &Program, tree: &Tree) -> Option<Vec<FileOf>> {
    let path = TreePath::parse(program.path.as_bytes()).ok()?;
    let mut files = vec![(path.clone(), tree.entry(&path)?.content()?.clone())];
    let mut pending: Vec<TreePath> = Vec::new();
    for with in program.with.iter().rev() {
        pending.push(TreePath::parse(with.as_bytes()).ok()?);
    }
    while let Some(path) = pending.pop() {
        let Some(id) = tree.lookup(&path) else { continue };
        let inode = tree.inode(id);
        if inode.entry.is_directory() {
            // The last one first: the next to be taken is the end of the list.
            let names = inode.children().keys().rev().map(|name| path.join(name));
            pending.extend(names.collect::<Result<Vec<_>, _>>().ok()?);
            continue;
        }
        let content = inode.entry.content()?.clone();
        files.push((path, content));
    }
    Some(files)
}

/// Copies a program, whose files these are, to where it can be mounted from; `None` where it is not known.
fn copy_if_known(
    program: &Program,
    files: &[FileOf],
    lease: &Lease,
    contents: &dyn Contents,
) -> Result<Option<PathBuf>, RootError> {
    let Some((digest, original)) = fingerprint(files, contents) else { return Ok(None) };
    tracing::debug!(program = program.path, digest, "a program that may be known");
    if !program.known.contains(&digest.as_str()) {
        return Ok(None);
    }
    let path = lease.scratch();
    fs::write(&path, original)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
        .map_err(|source| RootError::Make { path: path.clone(), source })?;
    Ok(Some(path))
}

/// The digest of a program with all that decides on what it does, and its bytes; `None` where something cannot be read.
fn fingerprint(files: &[FileOf], contents: &dyn Contents) -> Option<(String, Vec<u8>)> {
    let read = |(path, content): &FileOf| read_content(contents, path, content, LARGEST).ok();
    let (program, others) = files.split_first()?;
    let original = read(program)?;
    let mut hash = Sha256::new();
    hash.update(&original);
    for file in others {
        hash.update(file.0.as_bytes());
        hash.update([0]);
        hash.update(Sha256::digest(read(file)?));
    }
    let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Some((digest, original))
}

/// The largest file that is looked at, in bytes.
const LARGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bedplate_image::{ContentError, ContentSources, Place};
    use bedplate_store::{OpenOptions, Store};
    use bedplate_tree::{Entry, Metadata, Source};

    use super::*;

    /// Bytes at hand, and how often they were asked for.
    struct Counting(ContentSources<'static>, AtomicUsize);

    impl Contents for Counting {
        fn locate(&self, source: &Source) -> Result<Place, ContentError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.locate(source)
        }
    }

    #[test]
    fn the_same_files_are_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&OpenOptions::new(folder.path().join("store"))).unwrap();
        let lease = store.lease().unwrap();
        let mut tree = Tree::new();
        let put = |tree: &mut Tree, path: &str, text: &str| {
            let content = Content::from_bytes(text.as_bytes().to_vec());
            let entry = Entry::file(content, Metadata::default());
            tree.put(&TreePath::parse(path.as_bytes()).unwrap(), entry).unwrap();
        };
        put(&mut tree, "usr/share/debconf/frontend", "1");
        put(&mut tree, "usr/share/perl5/Debconf/A.pm", "2");
        let (mut replacements, contents) = (Replacements::default(), Counting(ContentSources::new(), 0.into()));
        let mut look = |tree: &Tree| {
            // Nobody knows this debconf.
            assert!(replacements.mounts(&lease, tree, &contents).unwrap().is_empty());
            contents.1.swap(0, Ordering::Relaxed)
        };
        assert_eq!([look(&tree), look(&tree)], [2, 0]);
        put(&mut tree, "usr/share/perl5/Debconf/A.pm", "3");
        assert_eq!([look(&tree), look(&tree)], [2, 0]);
        put(&mut tree, "usr/share/perl5/Debconf/B.pm", "4");
        assert_eq!([look(&tree), look(&tree)], [3, 0]);
    }
}

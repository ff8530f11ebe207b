//! What a user does to the root after all packages are configured: files copied in, commands run.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use bedplate_image::disk::ScanError;
use bedplate_image::layer::LayerError;
use bedplate_image::scan::{Choice, ScanOptions, scan};
use bedplate_image::{ContentSources, write_tree};
use bedplate_oci::Digest;
use bedplate_store::Lease;
use bedplate_sys::CallError;
use bedplate_sys::rooted::Root;
use bedplate_tree::{PathError, Timestamp, Tree, TreeError, TreePath};
use thiserror::Error;

use crate::install::Step as Happened;
use crate::lock::LockedStep;
use crate::request::{Request, Step};
use crate::root::Ground;
use crate::root_error::RootError;
use crate::sandbox;
use crate::scripts::{PATIENCE, Runner, ScriptError};

/// A step of customisation failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StepError {
    /// The source cannot be opened.
    #[error("cannot copy in {path:?}")]
    Open {
        /// The path on the host.
        path: PathBuf,
        /// Why.
        #[source]
        source: CallError,
    },
    /// The source cannot be read.
    #[error("cannot copy in {path:?}")]
    Scan {
        /// The path on the host.
        path: PathBuf,
        /// Why.
        #[source]
        source: ScanError,
    },
    /// The source is not there.
    #[error("cannot copy in {path:?}: there is no such file or directory")]
    Missing {
        /// The path on the host.
        path: PathBuf,
    },
    /// The source cannot be hashed.
    #[error("cannot copy in {path:?}")]
    Hash {
        /// The path on the host.
        path: PathBuf,
        /// Why.
        #[source]
        source: LayerError,
    },
    /// The destination is no path.
    #[error("cannot copy to {path:?}")]
    Destination {
        /// The path in the root.
        path: String,
        /// Why.
        #[source]
        source: PathError,
    },
    /// The destination cannot take it.
    #[error("cannot copy to {path:?}")]
    Put {
        /// The path in the root.
        path: String,
        /// Why.
        #[source]
        source: TreeError,
    },
    /// A command in a root whose packages are not configured.
    #[error("cannot run {command:?}: packages that are only extracted run nothing")]
    Extracted {
        /// The command.
        command: String,
    },
    /// A file for what a command says.
    #[error("cannot keep what {command:?} says")]
    Log {
        /// The command.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A command failed.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The root cannot be made or read.
    #[error(transparent)]
    Root(#[from] RootError),
}

/// The steps of a request, and what of them is done.
pub(crate) struct Steps<'a> {
    pub(crate) request: &'a Request,
    pub(crate) lease: &'a Lease,
    pub(crate) epoch: Timestamp,
    pub(crate) done: Vec<LockedStep>,
}

impl Steps<'_> {
    /// Carries out steps that need no process.
    pub(crate) fn copy_only(&mut self, tree: &mut Tree, contents: &mut ContentSources<'_>) -> Result<(), StepError> {
        for step in &self.request.steps {
            match step {
                Step::CopyIn { source, destination } => {
                    self.done.push(copy_in(source, destination, tree, contents, self.epoch)?);
                }
                Step::Run { command, .. } => return Err(StepError::Extracted { command: command.clone() }),
            }
        }
        Ok(())
    }

    /// Carries out all steps in their order.
    pub(crate) fn carry_out(
        &mut self,
        ground: &mut Ground<'_>,
        contents: &mut ContentSources<'_>,
        resolv_conf: Option<&str>,
        observe: &mut dyn FnMut(Happened<'_>),
    ) -> Result<(), StepError> {
        for step in &self.request.steps {
            match step {
                Step::CopyIn { source, destination } => {
                    let mut tree = ground.tree().clone();
                    self.done.push(copy_in(source, destination, &mut tree, contents, self.epoch)?);
                    ground.lay(tree);
                }
                Step::Run { command, network } => {
                    let servers = network.then(|| resolv_conf.unwrap_or_default().to_owned());
                    self.run(command, servers, ground, contents, observe)?;
                    self.done.push(LockedStep::Run { command: command.clone(), network: *network });
                }
            }
        }
        Ok(())
    }

    fn run(
        &self,
        command: &str,
        network: Option<String>,
        ground: &mut Ground<'_>,
        contents: &mut ContentSources<'_>,
        observe: &mut dyn FnMut(Happened<'_>),
    ) -> Result<(), StepError> {
        let log = self.lease.scratch();
        let log = File::options()
            .read(true)
            .append(true)
            .create_new(true)
            .open(&log)
            .map_err(|source| StepError::Log { command: command.to_owned(), source })?;
        let config = sandbox::config(self.lease, ground.tree(), Vec::new(), network)?;
        ground.work(&config, contents, |session| -> Result<(), StepError> {
            let mut runner = Runner::new(session, sandbox::environment(self.epoch.seconds), log, PATIENCE);
            let what = format!("command {command:?}");
            runner.run(&what, &["/bin/sh", "-c", command], &[], &mut |line| observe(Happened::Said(line)))?;
            runner.nothing_left(&what)?;
            Ok(())
        })
    }
}

/// A file or directory of the host as it is copied in.
struct Source {
    tree: Tree,
    /// The name of a file; `None` for a directory.
    name: Option<Vec<u8>>,
    digest: Digest,
}

/// The digest of a file or directory of the host, as it would be copied in with times of `epoch`.
pub(crate) fn digest_of(source: &Path, epoch: Timestamp) -> Result<Digest, StepError> {
    Ok(read(source, &mut ContentSources::new(), epoch)?.digest)
}

/// Reads a file or directory of the host: owner root, times of the epoch, modes as they are.
fn read(source: &Path, contents: &mut ContentSources<'_>, epoch: Timestamp) -> Result<Source, StepError> {
    use std::os::unix::ffi::OsStrExt as _;
    let real = source.canonicalize().map_err(|_| StepError::Missing { path: source.to_owned() })?;
    let is_directory = real.is_dir();
    let (top, name) = match (is_directory, real.parent(), real.file_name()) {
        (false, Some(parent), Some(name)) => (parent.to_owned(), Some(name.as_bytes().to_owned())),
        _ => (real.clone(), None),
    };
    let root = Root::open(top.as_path()).map_err(|error| StepError::Open { path: source.to_owned(), source: error })?;
    let choose = |path: &TreePath, _: bool| match &name {
        Some(name) if path.as_bytes() != name.as_slice() => Choice::Leave,
        _ => Choice::Take,
    };
    let options =
        ScanOptions { owner: Some((0, 0)), mtime: Some(epoch), choose: Some(&choose), ..ScanOptions::default() };
    let from =
        scan(root, contents, &options).map_err(|error| StepError::Scan { path: source.to_owned(), source: error })?;
    let (hashed, _) = write_tree(&from, &*contents, io::sink())
        .map_err(|error| StepError::Hash { path: source.to_owned(), source: error })?;
    Ok(Source { tree: from, name, digest: hashed.diff_id.0 })
}

/// Copies a file or directory of the host into the tree.
///
/// A directory's content goes into the destination, as `COPY` of a Dockerfile does it; a destination that ends in `/`
/// takes a file under its own name.
fn copy_in(
    source: &Path,
    destination: &str,
    tree: &mut Tree,
    contents: &mut ContentSources<'_>,
    epoch: Timestamp,
) -> Result<LockedStep, StepError> {
    let Source { tree: from, name, digest } = read(source, contents, epoch)?;
    let is_directory = name.is_none();
    let bad = |error| StepError::Destination { path: destination.to_owned(), source: error };
    let put = |error| StepError::Put { path: destination.to_owned(), source: error };
    let mut wanted = destination.as_bytes().to_owned();
    let start = match &name {
        Some(name) => {
            if wanted.ends_with(b"/") {
                wanted.extend_from_slice(name);
            }
            TreePath::parse(name).map_err(bad)?
        }
        None => TreePath::root(),
    };
    let wanted = TreePath::parse(&wanted).map_err(bad)?;
    // Links in the root lead on inside of it: /bin is /usr/bin.
    let (at, found) = tree.resolve(&wanted, is_directory).map_err(put)?;
    if is_directory && found.is_some() {
        // What is there keeps its attributes.
        for (child, id) in from.inode(from.root()).children() {
            let _ = id;
            let below = TreePath::root().join(child).map_err(bad)?;
            let place = at.join(child).map_err(bad)?;
            tree.graft(&place, &from, &below, |_, _| true).map_err(put)?;
        }
    } else {
        tree.graft(&at, &from, &start, |_, _| true).map_err(put)?;
    }
    Ok(LockedStep::CopyIn { destination: destination.to_owned(), digest })
}

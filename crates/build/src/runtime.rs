//! RUN steps done with `bedplate-run`.
//!
//! ```text
//! layers --snapshot--> lowers + upper --process--> upper --read--> changes       an overlay
//! tree   --unpack----> a copy ---------process--> the copy --compare--> changes  where no overlay can be had
//! ```
//!
//! Both ways give the same layer, and so do root, a user with a range of IDs, and a user with one. What the kernel
//! shows to the process differs in a few places, and what it makes of them then differs, too:
//!
//! | the process | what differs |
//! |---|---|
//! | copies several names of one file of the layers below | a copy has them apart, so copies of them are apart |
//! | renames a directory of the layers below | fails on an overlay; `mv` copies then |
//! | writes to a set-user-ID file | loses the bit where root is not the machine's |
//! | removes a device of the layers below, replaces a file with `trusted.*` attributes | unseen without root |
//! | gives a file of another user to root, copies one, moves such a symbolic link | with one ID unseen; said once |
//!
//! Making devices without root, `chown` and `USER` with one ID fail, and the failure says why.
//! What is made for a step lies in the lease's folder and goes with it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use bedplate_image::disk::{DiskOwners, Prepared, ScanError};
use bedplate_image::{
    ContentSources, Owners, UnpackError, UnpackOptions, compare, prepare_upper, read_upper, record, unpack_parted,
    unpack_tree,
};
use bedplate_run::{
    Mount, MountPoint, NOT_EXECUTABLE, NOT_FOUND, Network, OnSignal, OverlayVia, Root as RunRoot, RootKind, RunError,
    RuntimeConfig, Stream, Streams, paths_of, run, run_beside_threads,
};
use bedplate_store::{CacheDirectory, Lease, SnapshotGuard, SnapshotOptions, StoreError};
use bedplate_sys::CallError;
use bedplate_sys::rooted::{Handle, Root};
use bedplate_sys::userns::{Privilege, Sources, UsernsError, become_root};
use bedplate_tree::{Difference, Tree, TreePath};
use thiserror::Error;

use crate::agent::AgentProxy;
use crate::failed::{FailedStep, FailedStepError};
use crate::step_run::{CommandFailure, Files, RunMount, RunOutcome, RunStep, Runner};

/// What a plain user is told whose layers hold files of others.
const OWNERS_UNSEEN: &str = "the layers below hold files of other users than root, and there is one user ID: that a \
     command gives such a file to root is not seen, and a copy of one by cp or mv is root's";

/// The host name that a step sees: the same on every machine.
pub(crate) const HOSTNAME: &str = "build";

/// The hosts file that a step sees.
pub(crate) const HOSTS: &str = "127.0.0.1\tlocalhost build\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// A step could not be run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The process has no right to make namespaces.
    #[error("RUN needs the rights of root, or a user namespace")]
    Privilege(#[source] UsernsError),
    /// The layers cannot be unpacked.
    #[error("cannot unpack the layers below")]
    Snapshot(#[source] StoreError),
    /// The directory of a cache cannot be had.
    #[error("cannot open the directory of a cache")]
    Cache(#[from] StoreError),
    /// The socket of an agent cannot be handed on.
    #[error("cannot hand on the SSH agent at {socket:?}")]
    Agent {
        /// The agent's socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A copy of the root cannot be made.
    #[error("cannot make a copy of the root")]
    Unpack(#[source] UnpackError),
    /// A directory or file for the step cannot be made.
    #[error("cannot make {path:?} for the step")]
    Make {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory cannot be opened.
    #[error("cannot open {path:?}")]
    Open {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: CallError,
    },
    /// What the process changed cannot be read.
    #[error("cannot read what the process changed")]
    Changes(#[source] ScanError),
    /// The container cannot be run.
    #[error("cannot run the container")]
    Run(#[source] RunError),
    /// What a failed step left cannot be kept or found.
    #[error(transparent)]
    Failed(FailedStepError),
    /// The tree before the command was not kept, and cannot be shown without an overlay.
    #[error("there are no overlays here, and without one only the tree after the command can be shown")]
    NoOverlay,
}

/// Runs steps in containers. The rights for that are taken at the first step that needs them.
#[derive(Debug)]
pub struct Runtime<'a> {
    lease: &'a Lease,
    sources: Sources,
    kind: RootKind,
    resolv_conf: Option<String>,
    privilege: OnceLock<Privilege>,
    /// Which overlay is used, `None` for a copy, once that was asked.
    via: OnceLock<Option<OverlayVia>>,
    /// Whether the user was told what becomes of owners.
    warned: AtomicBool,
    /// The Dockerfile whose failed steps are kept.
    dockerfile: Option<String>,
    /// The step that was kept.
    kept: Mutex<Option<String>>,
}

impl<'a> Runtime<'a> {
    /// A runtime whose directories lie in the lease's folder; `resolv_conf` is what steps with a network see.
    #[must_use]
    pub fn new(lease: &'a Lease, sources: Sources, kind: RootKind, resolv_conf: Option<String>) -> Self {
        Self {
            lease,
            sources,
            kind,
            resolv_conf,
            privilege: OnceLock::new(),
            via: OnceLock::new(),
            warned: AtomicBool::new(false),
            dockerfile: None,
            kept: Mutex::new(None),
        }
    }

    /// Keeps what a step leaves that fails, as one of this Dockerfile; see [`FailedStep`].
    #[must_use]
    pub fn keeping_failures(self, dockerfile: String) -> Self {
        Self { dockerfile: Some(dockerfile), ..self }
    }

    /// The name of the step that failed and was kept.
    pub fn kept(&self) -> Option<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, step: &RunStep<'_>, status: u8, tree: &Path, copied: bool) {
        let Some(dockerfile) = &self.dockerfile else { return };
        match FailedStep::keep(self.lease, dockerfile, step, status, tree, copied) {
            Ok(id) => *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(id),
            // The command's failure is what counts; a full disk may be its very reason.
            Err(error) => tracing::debug!(%error, "the failed step is not kept"),
        }
    }

    /// The same where the command could not even be started: often there is no shell then, and a look is worth most.
    fn keep_unstarted(&self, step: &RunStep<'_>, error: &RuntimeError, tree: &Path, copied: bool) {
        if let RuntimeError::Run(error) = error
            && matches!(error.exit_code(), NOT_EXECUTABLE | NOT_FOUND)
        {
            self.keep(step, error.exit_code(), tree, copied);
        }
    }

    pub(crate) fn lease(&self) -> &Lease {
        self.lease
    }

    pub(crate) fn resolv_conf(&self) -> Option<String> {
        self.resolv_conf.clone()
    }

    pub(crate) fn privilege(&self) -> Result<&Privilege, RuntimeError> {
        if let Some(privilege) = self.privilege.get() {
            return Ok(privilege);
        }
        let privilege = become_root(&self.sources).map_err(RuntimeError::Privilege)?;
        Ok(self.privilege.get_or_init(|| privilege))
    }

    /// Which overlay is to be used; `None` for a copy.
    pub(crate) fn via(&self, privilege: &Privilege) -> Result<Option<OverlayVia>, RuntimeError> {
        if let Some(via) = self.via.get() {
            return Ok(*via);
        }
        let via = self.kind.via(&self.directory()?, privilege.is_rootless()).map_err(RuntimeError::Run)?;
        Ok(*self.via.get_or_init(|| via))
    }

    pub(crate) fn directory(&self) -> Result<PathBuf, RuntimeError> {
        let path = self.lease.scratch();
        fs::create_dir(&path).map_err(|source| RuntimeError::Make { path: path.clone(), source })?;
        Ok(path)
    }

    /// The configuration of the process, and what must live as long as it does.
    fn config(
        &self,
        step: &RunStep<'_>,
        contents: &ContentSources<'_>,
        options: &SnapshotOptions,
    ) -> Result<(RuntimeConfig, Held), RuntimeError> {
        let mut held = Held::default();
        let mut mounts = Vec::new();
        for mount in step.mounts {
            mounts.push(self.mount(mount, contents, options, &mut held)?);
        }
        let cwd = &step.config.working_dir;
        let config = RuntimeConfig {
            args: step.words.to_vec(),
            env: step.env.iter().chain(step.secrets).cloned().collect(),
            cwd: if cwd.is_empty() { "/".to_owned() } else { cwd.clone() },
            user: step.config.user.clone(),
            hostname: HOSTNAME.to_owned(),
            network: if step.network { Network::Host } else { Network::None },
            mounts,
            hosts: Some(step.surroundings.hosts.iter().fold(HOSTS.to_owned(), |text, line| text + line + "\n")),
            limits: step.surroundings.limits.clone(),
            hostname_file: Some(format!("{HOSTNAME}\n")),
            resolv_conf: Some(self.resolv_conf.clone().filter(|_| step.network).unwrap_or_default()),
            ..RuntimeConfig::default()
        };
        let config = match step.surroundings.shm_size {
            Some(shm_size) => RuntimeConfig { shm_size, ..config },
            None => config,
        };
        Ok((config, held))
    }

    fn mount(
        &self,
        mount: &RunMount,
        contents: &ContentSources<'_>,
        options: &SnapshotOptions,
        held: &mut Held,
    ) -> Result<Mount, RuntimeError> {
        let bind = |source, target: &str, read_only| Mount::Bind {
            source,
            target: target.to_owned(),
            read_only,
            recursive: false,
        };
        Ok(match mount {
            RunMount::Ready(mount) => mount.clone(),
            RunMount::Agent { target, socket, mode, uid, gid } => {
                let folder = self.directory()?;
                let proxy = AgentProxy::start(socket, &folder, *mode, *uid, *gid)
                    .map_err(|source| RuntimeError::Agent { socket: socket.clone(), source })?;
                let mount = bind(proxy.path().to_owned(), target, false);
                held.agents.push(proxy);
                mount
            }
            // What was unpacked for all is shown as it is to those who cannot change it.
            RunMount::Files { target, files: Files { path, layers: Some(layers), .. }, writable: false } => {
                let merged = SnapshotOptions { stacked: false, ..options.clone() };
                let snapshot = self.lease.store().snapshot(layers, &merged).map_err(RuntimeError::Snapshot)?;
                let source = snapshot.lowers().first().map(|root| below(root, path)).unwrap_or_default();
                held.snapshots.push(snapshot);
                bind(source, target, true)
            }
            RunMount::Files { target, files, writable } => {
                let folder = self.directory()?;
                unpack_part(files, contents, &folder, options)?;
                bind(below(&folder, &files.path), target, !writable)
            }
            RunMount::Cache { target, id, sharing, seed, mode, uid, gid, read_only } => {
                let fill = |folder: &Path| {
                    if let Some(files) = seed {
                        unpack_part(files, contents, folder, options)?;
                    }
                    let top = seed.as_ref().map_or_else(|| folder.to_owned(), |files| below(folder, &files.path));
                    let failed = |source| RuntimeError::Make { path: top.clone(), source };
                    match std::os::unix::fs::chown(&top, Some(*uid), Some(*gid)) {
                        // An ID that the user namespace lacks: there is one only.
                        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                        other => other.map_err(failed)?,
                    }
                    fs::set_permissions(&top, fs::Permissions::from_mode(*mode)).map_err(failed)
                };
                let cache = self.lease.cache_directory(id, *sharing, fill)?;
                let top =
                    seed.as_ref().map_or_else(|| cache.path().to_owned(), |files| below(cache.path(), &files.path));
                held.caches.push(cache);
                bind(top, target, *read_only)
            }
        })
    }

    fn step(
        &self,
        step: &RunStep<'_>,
        contents: &mut ContentSources<'_>,
        output: Output<'_>,
    ) -> Result<Result<RunOutcome, u8>, RuntimeError> {
        let privilege = self.privilege()?;
        let options = SnapshotOptions::of(privilege);
        let (config, _held) = self.config(step, contents, &options)?;
        let owners = if matches!(options.owners, Owners::One) { DiskOwners::One } else { DiskOwners::AsIs };
        let via = self.via(privilege)?;
        let Some(via) = via else { return self.in_copy(step, contents, output, privilege, &config, owners) };
        let snapshot = self.lease.store().snapshot(step.layers, &options).map_err(RuntimeError::Snapshot)?;
        let (upper, work) = (self.directory()?, self.directory()?);
        let handle = open(&upper)?;
        prepare_upper(&handle, step.tree).map_err(RuntimeError::Changes)?;
        let root = RunRoot::Overlay { lowers: snapshot.lowers().to_vec(), upper: upper.clone(), work, via };
        let (status, mount_points, mut warnings) = carry_out(&root, &config, privilege, step, output)
            .inspect_err(|error| self.keep_unstarted(step, error, &upper, false))?;
        warnings.extend(self.unseen_owners(step.tree, privilege));
        if status != 0 {
            self.keep(step, status, &upper, false);
            return Ok(Err(status));
        }
        let placeholders = paths_of(&mount_points).map_err(RuntimeError::Run)?;
        let prepared = Prepared { owners, placeholders: &placeholders, skipped: snapshot.skipped(), parted: false };
        let upper = Root::from_handle(open(&upper)?);
        let found = read_upper(upper, step.tree, contents, options.marks, &prepared).map_err(RuntimeError::Changes)?;
        Ok(Ok(outcome(found, warnings)))
    }

    /// Says once what owners may become where there is one ID.
    fn unseen_owners(&self, tree: &Tree, privilege: &Privilege) -> Option<String> {
        let Privilege::One { reason, .. } = privilege else { return None };
        let foreign = |(_, id)| {
            let metadata = &tree.inode(id).entry.metadata;
            (metadata.uid, metadata.gid) != (0, 0)
        };
        if self.warned.load(Ordering::Relaxed) || !tree.walk().any(foreign) || self.warned.swap(true, Ordering::Relaxed)
        {
            return None;
        }
        Some(format!("{OWNERS_UNSEEN} ({reason})"))
    }

    fn in_copy(
        &self,
        step: &RunStep<'_>,
        contents: &mut ContentSources<'_>,
        output: Output<'_>,
        privilege: &Privilege,
        config: &RuntimeConfig,
        owners: DiskOwners,
    ) -> Result<Result<RunOutcome, u8>, RuntimeError> {
        let path = self.directory()?;
        let handle = open(&path)?;
        let options = UnpackOptions { owners: SnapshotOptions::of(privilege).owners, ..UnpackOptions::default() };
        let report = unpack_parted(step.tree, &*contents, &handle, &options).map_err(RuntimeError::Unpack)?;
        let root = Root::from_handle(open(&path)?);
        let recorded = record(&root).map_err(RuntimeError::Changes)?;
        let root = RunRoot::Directory { path: path.clone() };
        let (status, mount_points, mut warnings) = carry_out(&root, config, privilege, step, output)
            .inspect_err(|error| self.keep_unstarted(step, error, &path, true))?;
        warnings.extend(self.unseen_owners(step.tree, privilege));
        if status != 0 {
            self.keep(step, status, &path, true);
            return Ok(Err(status));
        }
        let placeholders = paths_of(&mount_points).map_err(RuntimeError::Run)?;
        let prepared = Prepared { owners, placeholders: &placeholders, skipped: &report.skipped, parted: true };
        let root = Root::from_handle(open(&path)?);
        let found = compare(root, step.tree, &recorded, contents, &prepared).map_err(RuntimeError::Changes)?;
        Ok(Ok(outcome(found, warnings)))
    }
}

/// Takes what a process writes.
type Output<'a> = &'a mut dyn FnMut(&[u8]);

/// What a process uses while it runs.
#[derive(Debug, Default)]
struct Held {
    snapshots: Vec<SnapshotGuard>,
    caches: Vec<CacheDirectory>,
    agents: Vec<AgentProxy>,
}

fn below(folder: &Path, path: &TreePath) -> PathBuf {
    folder.join(OsStr::from_bytes(path.as_bytes()))
}

/// Unpacks a part of a tree, with the directories that lead to it.
fn unpack_part(
    files: &Files,
    contents: &ContentSources<'_>,
    folder: &Path,
    options: &SnapshotOptions,
) -> Result<(), RuntimeError> {
    let mut part = files.tree.clone();
    part.retain(|path, _| path.strip_prefix(&files.path).is_some() || files.path.strip_prefix(path).is_some());
    let options = UnpackOptions { owners: options.owners.clone(), ..UnpackOptions::default() };
    unpack_tree(&part, contents, &open(folder)?, &options).map_err(RuntimeError::Unpack)?;
    Ok(())
}

fn open(path: &Path) -> Result<Handle, RuntimeError> {
    Handle::open(path).map_err(|source| RuntimeError::Open { path: path.to_owned(), source })
}

fn carry_out(
    root: &RunRoot,
    config: &RuntimeConfig,
    privilege: &Privilege,
    step: &RunStep<'_>,
    output: Output<'_>,
) -> Result<(u8, Vec<MountPoint>, Vec<String>), RuntimeError> {
    let mut sink = |_: Stream, bytes: &[u8]| output(bytes);
    let streams = Streams { input: false, capture: Some(&mut sink), signals: OnSignal::End };
    let outcome = match step.beside_threads {
        None => run(root, config, privilege, streams),
        cancel => run_beside_threads(root, config, privilege, streams, cancel),
    };
    let outcome = outcome.map_err(RuntimeError::Run)?;
    Ok((outcome.status.code(), outcome.mount_points, outcome.warnings))
}

fn outcome(found: Difference, warnings: Vec<String>) -> RunOutcome {
    let left_out = found.left_out.iter().map(|left| {
        format!(
            "{:?} is left out: a layer cannot hold {}",
            left.path.to_string(),
            crate::executor::unholdable(left.reason)
        )
    });
    RunOutcome { delta: found.delta, left_out: left_out.collect(), warnings }
}

impl Runner for Runtime<'_> {
    fn prepare(&self) -> Result<(), CommandFailure> {
        let failed = |error| CommandFailure::Runtime(Box::new(error));
        self.privilege().and_then(|privilege| self.via(privilege)).map(drop).map_err(failed)
    }

    fn run(
        &self,
        step: &RunStep<'_>,
        contents: &mut ContentSources<'_>,
        output: &mut dyn FnMut(&[u8]),
    ) -> Result<RunOutcome, CommandFailure> {
        match self.step(step, contents, output) {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(status)) => Err(match self.privilege.get() {
                Some(Privilege::One { reason, .. }) => {
                    CommandFailure::StatusWithOneId { status, reason: reason.clone() }
                }
                _ => CommandFailure::Status { status },
            }),
            Err(RuntimeError::Run(RunError::Interrupted { signal })) => Err(CommandFailure::Interrupted { signal }),
            Err(error) => Err(CommandFailure::Runtime(Box::new(error))),
        }
    }
}

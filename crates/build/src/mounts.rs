//! `RUN --mount`: what its options mean for a step, and what of them is in its key.
//!
//! | type | what the process sees | in the key |
//! |---|---|---|
//! | bind | files of the context, a stage or an image; what is written to them is forgotten | names, modes and bytes, or the layers |
//! | cache | a directory that lives from build to build | what names it, not what is in it |
//! | tmpfs | an empty file system in memory | its size |
//! | secret | a file in memory, or a variable | what names it, not what is in it |
//! | ssh | the socket of an agent | what names it |

use std::path::PathBuf;

use bedplate_dockerfile::ignore::Ignore;
use bedplate_dockerfile::mount::{Mount, MountType, Sharing};
use bedplate_dockerfile::{Run, expand};
use bedplate_image::config_edit::join_workdir;
use bedplate_oci::{DiffId, Digest};
use bedplate_run::Bytes;
use bedplate_store::CacheSharing;
use bedplate_tree::{Timestamp, Tree, TreePath};

use crate::base::at_epoch;
use crate::build::At;
use crate::cache::KeyBuilder;
use crate::error::StepError;
use crate::executor::Executor;
use crate::files::Origin;
use crate::select::SourcePattern;
use crate::stage::StageState;
use crate::step_run::{Files, RunMount};

/// Where secrets are shown that name no place.
const SECRETS: &str = "/run/secrets";

/// Where agents' sockets are shown that name no place; their number follows.
const AGENTS: &str = "/run/buildkit/ssh_agent.";

/// The variable that names an agent's socket.
const AGENT_VARIABLE: &str = "SSH_AUTH_SOCK";

/// The id of an agent that has none. Spec: Dockerfile reference, "RUN --mount=type=ssh".
const DEFAULT_AGENT: &str = "default";

/// A secret that steps may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// What steps call it.
    pub id: String,
    /// What it is.
    pub content: Bytes,
}

/// An SSH agent that steps may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// What steps call it.
    pub id: String,
    /// Its socket.
    pub socket: PathBuf,
}

/// A mount of a step, its variables replaced and its files found.
pub(crate) struct Planned {
    mount: Mount,
    /// An absolute path; empty for a secret that is a variable only.
    target: String,
    files: Option<Files>,
}

impl Planned {
    /// What names it: for a secret or an agent what was given to the build, for a cache what is shared.
    fn id(&self) -> &str {
        let mount = &self.mount;
        let named = mount.id.as_deref().filter(|id| !id.is_empty());
        match mount.kind {
            MountType::Secret => mount.source.as_deref().or(named).unwrap_or_else(|| last_of(&self.target)),
            MountType::Ssh => named.unwrap_or(DEFAULT_AGENT),
            _ => named.unwrap_or(&self.target),
        }
    }

    fn owner(&self) -> (u32, u32) {
        (self.mount.uid.unwrap_or(0), self.mount.gid.unwrap_or(0))
    }
}

/// The last component of a path.
fn last_of(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// What a runtime is given for the mounts of a step.
pub(crate) struct Given {
    pub(crate) mounts: Vec<RunMount>,
    /// Variables that count where nothing else sets them.
    pub(crate) defaults: Vec<String>,
    /// Variables that count before all others.
    pub(crate) secrets: Vec<String>,
}

impl Executor<'_, '_> {
    /// Resolves the mounts of a step and adds to its key what its result depends on.
    pub(crate) fn plan_mounts(
        &mut self,
        state: &StageState,
        index: usize,
        run: &Run,
        at: &At,
        key: &mut KeyBuilder,
    ) -> Result<Vec<Planned>, StepError> {
        let mut planned = Vec::new();
        let mut agents = 0;
        for spec in &run.mounts {
            let text = || spec.word().as_str().to_owned();
            let scope = state.clone_scope();
            let mount = spec
                .resolve(|value| Ok(expand::expand(value, at.escape, &scope)?.text))
                .map_err(|source| StepError::Mount { text: text(), source: Box::new(source) })?;
            let target = match (&mount.target, mount.kind) {
                (Some(target), _) if !target.is_empty() => {
                    join_workdir(&state.editor.config().config.working_dir, target)
                }
                (_, MountType::Secret) if mount.env.is_some() => String::new(),
                (_, MountType::Secret) => {
                    let name = mount.source.as_deref().or(mount.id.as_deref()).unwrap_or_default();
                    format!("{SECRETS}/{}", last_of(name))
                }
                (_, MountType::Ssh) => format!("{AGENTS}{agents}"),
                _ => return Err(StepError::MountTarget { text: text() }),
            };
            if target == "/" {
                return Err(StepError::MountTarget { text: text() });
            }
            agents += usize::from(mount.kind == MountType::Ssh);
            key.text("mount").text(mount.kind.as_str()).text(&target).number(mount.read_only.into());
            let wants_files = mount.kind == MountType::Bind
                || mount.kind == MountType::Cache && (mount.from.is_some() || mount.source.is_some());
            let files = match wants_files {
                true => Some(self.files_of_mount(state, index, &mount, key)?),
                false => None,
            };
            let planned_one = Planned { mount, target, files };
            let (uid, gid) = planned_one.owner();
            key.text(planned_one.id()).option(planned_one.mount.env.as_deref());
            key.number(planned_one.mount.size.unwrap_or(0)).number(planned_one.mount.mode.map_or(u64::MAX, u64::from));
            key.number(uid.into()).number(gid.into());
            planned.push(planned_one);
        }
        Ok(planned)
    }

    /// Finds what a mount shows.
    fn files_of_mount(
        &mut self,
        state: &StageState,
        index: usize,
        mount: &Mount,
        key: &mut KeyBuilder,
    ) -> Result<Files, StepError> {
        let pattern = SourcePattern::literal(mount.source.as_deref().unwrap_or("/"));
        let origin = match &mount.from {
            None => Origin::Context(None),
            Some(name) => self.origin(index, name)?,
        };
        let place = self.place_of(&origin);
        let (tree, layers): (Tree, Option<Vec<DiffId>>) = match &origin {
            Origin::Context(named) => (self.view(named.as_deref(), &[&pattern], false)?.tree, None),
            Origin::Stage(_) | Origin::Image(_) => {
                let (tree, layers) = self.tree_of_origin(&origin)?;
                (tree, Some(layers))
            }
        };
        let found = pattern.find(&tree, false)?.and_then(|found| found.into_iter().next());
        let ignored = self.may_be_ignored(&origin);
        let path = found.ok_or_else(|| StepError::NotFound { path: pattern.text.clone(), place, ignored })?.path;
        match &layers {
            None => self.key_of_tree(key, &tree, &path, &Ignore::default())?,
            Some(layers) => {
                key.bytes(path.as_bytes()).layers(layers);
            }
        }
        let tree = match &layers {
            Some(_) => tree,
            None => {
                let mut tree = tree;
                at_epoch(&mut tree, state.epoch);
                tree
            }
        };
        Ok(Files { tree, path, layers })
    }

    /// Looks up what was given to the build for the mounts of a step.
    /// `command` is what the step runs, as text.
    pub(crate) fn given(&self, planned: &[Planned], tree: &Tree, command: &str) -> Result<Given, StepError> {
        let (mut mounts, mut defaults, mut secrets) = (Vec::new(), Vec::new(), Vec::new());
        for one in planned {
            let Planned { mount, target, files } = one;
            let (target, (uid, gid)) = (target.clone(), one.owner());
            match mount.kind {
                MountType::Bind => {
                    let Some(files) = files.clone() else { continue };
                    mounts.push(RunMount::Files { target, files, writable: !mount.read_only });
                }
                MountType::Cache => mounts.push(RunMount::Cache {
                    id: cache_id(one.id(), files.as_ref()),
                    target,
                    sharing: match mount.sharing.unwrap_or_default() {
                        Sharing::Shared => CacheSharing::Shared,
                        Sharing::Private => CacheSharing::Private,
                        Sharing::Locked => CacheSharing::Locked,
                    },
                    seed: files.clone(),
                    mode: mount.mode.unwrap_or(0o755),
                    uid,
                    gid,
                    read_only: mount.read_only,
                }),
                MountType::Tmpfs => mounts.push(RunMount::Ready(bedplate_run::Mount::Tmpfs {
                    target,
                    read_only: false,
                    exec: true,
                    suid: false,
                    dev: false,
                    options: mount.size.map_or_else(String::new, |size| format!("size={size}")),
                })),
                MountType::Secret => {
                    let id = one.id();
                    let Some(secret) = self.build.request.secrets.iter().find(|secret| secret.id == id) else {
                        if mount.required {
                            return Err(StepError::SecretMissing { id: id.to_owned() });
                        }
                        continue;
                    };
                    if let Some(name) = &mount.env {
                        let value = String::from_utf8(secret.content.0.clone()).ok();
                        let value = value.filter(|value| !value.contains('\0'));
                        let value = value.ok_or_else(|| StepError::SecretNoText { id: id.to_owned() })?;
                        secrets.push(format!("{name}={value}"));
                    }
                    if !target.is_empty() {
                        let (content, mode) = (secret.content.clone(), mount.mode.unwrap_or(0o400));
                        mounts.push(RunMount::Ready(bedplate_run::Mount::File { target, content, mode, uid, gid }));
                    }
                }
                MountType::Ssh => {
                    let id = one.id();
                    let Some(agent) = self.build.request.agents.iter().find(|agent| agent.id == id) else {
                        if mount.required {
                            return Err(StepError::AgentMissing { id: id.to_owned() });
                        }
                        continue;
                    };
                    if defaults.is_empty() {
                        defaults.push(format!("{AGENT_VARIABLE}={target}"));
                    }
                    let (socket, mode) = (agent.socket.clone(), mount.mode.unwrap_or(0o600));
                    mounts.push(RunMount::Agent { target, socket, mode, uid, gid });
                }
            }
        }
        mounts.extend(keeping_archives(&mounts, tree, command));
        Ok(Given { mounts, defaults, secrets })
    }
}

/// Where Docker's images keep the set-up that removes what apt fetched at the end of each of its runs.
const DOCKER_CLEAN: &str = "/etc/apt/apt.conf.d/docker-clean";

/// Where apt keeps what it fetched.
const ARCHIVES: &str = "/var/cache/apt/archives";

/// With a cache where apt keeps archives, nothing is to be removed from it: the set-up of Docker's images that does so is
/// covered while the step runs. A step that sees to it itself is left alone, since what is covered cannot be removed.
fn keeping_archives(mounts: &[RunMount], tree: &Tree, command: &str) -> Option<RunMount> {
    if !command.contains("apt") || command.contains("docker-clean") || command.contains("apt.conf.d") {
        return None;
    }
    let holds =
        |target: &str| ARCHIVES.strip_prefix(target).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let cached = mounts.iter().any(|mount| matches!(mount, RunMount::Cache { target, .. } if holds(target)));
    let there = TreePath::parse(DOCKER_CLEAN.as_bytes())
        .is_ok_and(|path| tree.entry(&path).is_some_and(|entry| entry.content().is_some()));
    if !(cached && there) {
        return None;
    }
    let content = Bytes(b"Binary::apt::APT::Keep-Downloaded-Packages \"true\";\n".to_vec());
    let target = DOCKER_CLEAN.to_owned();
    Some(RunMount::Ready(bedplate_run::Mount::File { target, content, mode: 0o644, uid: 0, gid: 0 }))
}

/// What names the directory of a cache: its id, and what it was filled with at first.
fn cache_id(id: &str, seed: Option<&Files>) -> Digest {
    let mut key = KeyBuilder::new("cache mount", &[], Timestamp::ZERO);
    key.text(id);
    if let Some(seed) = seed {
        key.bytes(seed.path.as_bytes());
        key.layers(seed.layers.as_deref().unwrap_or_default());
    }
    key.finish()
}

//! The Dockerfile executor: plan, cache, tree arithmetic and process steps.
//!
//! ```text
//! Dockerfile + arguments --plan--> stages that the target needs
//!                                     |
//!      for each instruction           v
//!        config only ----------------------------------> config, history
//!        COPY, ADD, WORKDIR --key--> cache hit ---------> layer
//!                               +--> tree arithmetic ---> layer      (nothing is unpacked)
//!        RUN -----------------key--> cache hit ---------> layer
//!                               +--> process, diff -----> layer
//! ```
//!
//! | room | what it holds |
//! |---|---|
//! | `request` | what a build is asked to do, and what it says while it does it |
//! | `plan` | what the target is, and what stages name |
//! | `scope` | build arguments and variables |
//! | `context` | the build context: a directory, an archive or nothing |
//! | `hashes` | digests of a context's files, remembered by their stamps |
//! | `select` | sources of COPY and ADD found in a tree |
//! | `files` | COPY and ADD carried out |
//! | `copy` | files put into a tree |
//! | `add` | archives and downloads |
//! | `git` | repositories, through the host's git |
//! | `mode`, `owner` | `--chmod` and `--chown` |
//! | `cache` | keys of steps |
//! | `exchange` | steps taken from elsewhere and given elsewhere |
//! | `history` | the words of an instruction in an image's history |
//! | `stage` | a stage being built |
//! | `stages` | the graph of stages: who builds which, who waits for whom |
//! | `build` | a whole build: plan, threads, the image at the end |
//! | `base`, `named` | what stages begin with; what names stand for |
//! | `executor` | the instructions of a stage |
//! | `mounts`, `agent` | `RUN --mount`: what its options mean; an agent's socket handed on |
//! | `step_run` | what a RUN step asks of a runtime |
//! | `runtime` | the same done with `bedplate-run` |
//!
//! The result is a function of the Dockerfile, the arguments, the context's names, modes and bytes, the base images
//! and the epoch. No clock, no environment, no user, no time of a context's file enters it, and the cache cannot be
//! told from the result.
#![forbid(unsafe_code)]

mod add;
mod agent;
mod base;
mod build;
mod cache;
mod context;
mod copy;
mod error;
mod exchange;
mod executor;
mod failed;
mod files;
mod git;
mod hashes;
mod history;
mod mode;
mod mounts;
mod named;
mod owner;
mod plan;
mod request;
mod runtime;
mod scope;
mod select;
mod stage;
mod stages;
mod step_run;
mod visit;

pub use build::{Built, build};
pub use context::{BuildContext, ContextError, MAX_CONTEXT_FILE};
pub use error::{BuildError, Step, StepError, in_words};
pub use exchange::{CacheImport, CacheRecord, ExchangeError, export};
pub use failed::{FailedStep, FailedStepError};
pub use git::{GitError, GitSource};
pub use mounts::{Agent, Secret};
pub use named::{Named, NamedContexts, NamedError};
pub use request::{Event, Observer, Remark, Request, StepId, Surroundings};
pub use runtime::{Runtime, RuntimeError};
pub use scope::{predefined_arguments, target_stage};
pub use step_run::{CommandFailure, Files, RunMount, RunOutcome, RunStep, Runner};
pub use visit::{TOOLBOX, Visit};

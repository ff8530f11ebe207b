//! `bedplate rm`: containers go.

use std::time::{Duration, Instant};

use bedplate_store::{Container, Store, StoreError};

use crate::commands::rmi;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::format;

/// Arguments of `rm`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kill a container that runs
    #[arg(short, long)]
    force: bool,
    /// Accepted for Docker's sake: anonymous volumes always go with their container
    #[arg(short, long)]
    volumes: bool,
    /// The containers, by name, ID or the beginning of an ID
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// How long a killed container may take to let go of its lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// Removes; one that cannot be removed does not keep the others.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let store = rmi::open(context)?;
    let mut failed = None;
    for wanted in &args.containers {
        match hold(&store, wanted, args.force).and_then(|container| Ok(container.remove()?)) {
            Ok(()) => format::print(&format!("{wanted}\n"))?,
            Err(error) => {
                if let Some(earlier) = failed.replace(error) {
                    earlier.report();
                }
            }
        }
    }
    failed.map_or(Ok(0), Err)
}

fn hold(store: &Store, wanted: &str, force: bool) -> Result<Container, Failure> {
    let running = match store.hold_container(wanted) {
        Err(running @ StoreError::ContainerRunning { .. }) => running,
        other => return Ok(other?),
    };
    let state = store.find_container(wanted)?;
    let Some(pid) = state.pid.filter(|_| force) else {
        return Err(Failure::from(running).hint("end it first, or give --force"));
    };
    // Whoever holds the lock is alive, and his children end with him.
    bedplate_sys::process::kill(pid)?;
    let start = Instant::now();
    loop {
        match store.hold_container(wanted) {
            Err(StoreError::ContainerRunning { id }) if start.elapsed() > PATIENCE => {
                return Err(Failure::new(Kind::Environment, format!("container {id} does not end")));
            }
            Err(StoreError::ContainerRunning { .. }) => std::thread::sleep(Duration::from_millis(5)),
            other => return Ok(other?),
        }
    }
}

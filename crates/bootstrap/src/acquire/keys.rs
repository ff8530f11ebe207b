//! Which keyrings judge a source.

use std::path::Path;

use bedplate_trust::Keyring;

use super::Context;
use super::error::AcquireError;
use super::observe::Event;
use super::plan::{Plan, PlannedSource};
use crate::keyring::{known, parse, read};

/// The keyring of a plan's distribution, read once for all of its sources; empty where no source is judged by it.
pub(crate) fn common(plan: &Plan, context: &Context<'_>) -> Result<Keyring, AcquireError> {
    let own = |source: &PlannedSource| !source.keyrings.is_empty() || source.embedded_keyring.is_some();
    if !plan.keyrings.is_empty() || plan.sources.iter().all(own) {
        return Ok(Keyring::default());
    }
    let names = plan.distribution.keyrings_of(&plan.suite);
    let known = known(&plan.distribution, names, context.store, &context.host.root)?;
    for notice in &known.notices {
        context.observer.event(Event::Notice(notice));
    }
    Ok(known.keyring)
}

/// The keyring of a source: its own, else the files that were asked for, else the distribution's.
pub(crate) fn keyring(plan: &Plan, source: &PlannedSource, common: &Keyring) -> Result<Keyring, AcquireError> {
    let mut keyring = Keyring::default();
    if let Some(text) = &source.embedded_keyring {
        keyring.merge(parse(Path::new("Signed-By"), text)?);
    }
    let files = if source.keyrings.is_empty() && keyring.is_empty() { &plan.keyrings } else { &source.keyrings };
    for path in files {
        let bytes = read(path)?.ok_or_else(|| AcquireError::NoKeyring { path: path.clone() })?;
        keyring.merge(parse(path, &bytes)?);
    }
    Ok(if keyring.is_empty() { common.clone() } else { keyring })
}

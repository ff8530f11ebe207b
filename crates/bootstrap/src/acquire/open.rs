//! From a plan to verified indexes.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use bedplate_fetch::Url;
use bedplate_packages::deb::release::Release;
use bedplate_store::{CacheKind, Lease};

use super::error::AcquireError;
use super::indexes::WantedIndex;
use super::mirrors::FailedMirrors;
use super::observe::{Event, Notice, Stage};
use super::plan::{Plan, PlannedSource, plan};
use super::signed;
use super::{Acquired, Context, Index, ReleaseFacts, Source, keys};
use crate::distribution::Pocket;
use crate::request::Request;

/// Seconds by which a Release file may be dated after this machine's time.
const MAX_FUTURE: i64 = bedplate_trust::SKEW as i64;

/// A source whose Release file was verified and checked.
struct Opened {
    /// Which source of the plan it is.
    position: usize,
    document: signed::Document,
    release: Release,
    facts: ReleaseFacts,
    /// The mirror that served the Release file first, then the others.
    mirrors: Vec<Url>,
    /// The Release file that this one takes the place of.
    before: Option<Release>,
}

/// Opens every source of a request: Release files, their signatures, and indexes.
///
/// # Errors
/// [`AcquireError`]: what is unsigned, expired, older than seen before, not what was asked for, or cannot be fetched.
pub fn open(request: &Request, context: &Context<'_>) -> Result<Acquired, AcquireError> {
    open_plan(plan(request, context.host)?, context)
}

/// Opens every source of a plan.
///
/// # Errors
/// As [`open`].
pub fn open_plan(plan: Plan, context: &Context<'_>) -> Result<Acquired, AcquireError> {
    for notice in &plan.notices_at(context.now) {
        context.observer.event(Event::Notice(notice));
    }
    let keep = |source| AcquireError::Store { what: "indexes".into(), source };
    let cache = context.store.cache(CacheKind::Indexes).map_err(keep)?;
    let lease = context.store.lease().map_err(keep)?;

    let common = keys::common(&plan, context)?;
    let stage = Stage::Releases;
    context.observer.event(Event::Planned { stage, items: plan.sources.len(), bytes: 0, cached: 0 });
    let opened = at_once(plan.sources.iter().enumerate(), |(position, source)| {
        let opened = open_source(position, source, &plan, &common, cache.folder(), &lease, context)?;
        context.observer.event(Event::Done { stage, name: &source.suite });
        Ok(opened)
    })?;
    let opened: Vec<Opened> = opened.into_iter().flatten().collect();

    let mut wanted = Vec::new();
    for (n, source) in opened.iter().enumerate() {
        let Some(planned) = plan.sources.get(source.position) else { continue };
        for index in indexes_of(&source.release, planned, &plan.architecture)? {
            wanted.push((n, index));
        }
    }
    let mut found: Vec<Option<Index>> = Vec::with_capacity(wanted.len());
    for (_, index) in &wanted {
        found.push(index.recall(cache.folder())?);
    }
    let missing: Vec<usize> = (0..wanted.len()).filter(|n| matches!(found.get(*n), Some(None))).collect();
    let sizes = missing.iter().filter_map(|n| wanted.get(*n)).map(|(_, index)| index.size());
    context.observer.event(Event::Planned {
        stage: Stage::Indexes,
        items: missing.len(),
        bytes: sizes.sum(),
        cached: wanted.len() - missing.len(),
    });
    if let Some((_, first)) = missing.first().and_then(|n| wanted.get(*n))
        && context.offline
    {
        return Err(AcquireError::Offline { what: format!("index {}", first.name), others: missing.len() - 1 });
    }
    let failed = FailedMirrors::default();
    let fetched = at_once(missing.iter(), |n| {
        let Some((of, index)) = wanted.get(*n) else { return Ok(None) };
        let Some((source, planned)) =
            opened.get(*of).and_then(|source| Some((source, plan.sources.get(source.position)?)))
        else {
            return Ok(None);
        };
        index.fetch(&source.mirrors, &signed::folder(planned), cache.folder(), &lease, &failed, context).map(Some)
    })?;
    for (n, index) in missing.iter().zip(fetched) {
        if let Some(place) = found.get_mut(*n) {
            *place = index;
        }
    }

    if !context.offline {
        remove_replaced(&opened, &wanted, &plan, cache.folder());
    }
    let owners: Vec<usize> = wanted.iter().map(|(n, _)| *n).collect();
    drop(wanted);
    let mut sources: Vec<Source> = opened
        .into_iter()
        .filter_map(|opened| {
            let planned = plan.sources.get(opened.position)?;
            Some(Source {
                pocket: planned.pocket,
                name: planned.name(),
                suite: planned.suite.clone(),
                // Packages are asked for first where indexes were had.
                mirrors: failed.order(&opened.mirrors).into_iter().cloned().collect(),
                document: opened.document,
                release: opened.facts,
                indexes: Vec::new(),
            })
        })
        .collect();
    for (owner, index) in owners.into_iter().zip(found) {
        if let (Some(source), Some(index)) = (sources.get_mut(owner), index) {
            source.indexes.push(index);
        }
    }
    Ok(Acquired { plan, sources })
}

/// Does something with each item on a thread of its own; the first error by order wins.
fn at_once<T: Send, R: Send>(
    items: impl Iterator<Item = T>,
    work: impl Fn(T) -> Result<R, AcquireError> + Sync,
) -> Result<Vec<R>, AcquireError> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items.map(|item| scope.spawn(move || work(item))).collect();
        let results = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        // All threads are joined before the first error is given.
        results.collect::<Vec<_>>().into_iter().collect()
    })
}

/// The indexes of a source: each component for the architecture, then for `all` where it is apart.
pub(super) fn indexes_of<'r>(
    release: &'r Release,
    planned: &PlannedSource,
    architecture: &str,
) -> Result<Vec<WantedIndex<'r>>, AcquireError> {
    if planned.flat {
        return Ok(vec![WantedIndex::find(release, "", architecture, &planned.suite)?]);
    }
    if !release.has_architecture(architecture) {
        return Err(AcquireError::NoArchitecture {
            suite: planned.suite.clone(),
            architecture: architecture.into(),
            known: release.architectures.clone(),
        });
    }
    let mut found = Vec::new();
    for component in &planned.components {
        if !release.has_component(component) {
            return Err(AcquireError::NoComponent {
                suite: planned.suite.clone(),
                component: component.clone(),
                known: release.components.clone(),
            });
        }
        found.push(WantedIndex::find(release, component, architecture, &planned.suite)?);
        if release.needs_all(component) && architecture != "all" {
            found.push(WantedIndex::find(release, component, "all", &planned.suite)?);
        }
    }
    Ok(found)
}

fn open_source(
    position: usize,
    source: &PlannedSource,
    plan: &Plan,
    common: &bedplate_trust::Keyring,
    cache: &Path,
    lease: &Lease,
    context: &Context<'_>,
) -> Result<Option<Opened>, AcquireError> {
    let keyring = keys::keyring(plan, source, common)?;
    let memory = signed::memory(cache, plan, source);
    let first = || source.mirrors.first().cloned().ok_or_else(|| AcquireError::NoMirror { what: source.suite.clone() });
    let remembered = signed::recall(&memory)?;
    let (mirror, document) = match (context.offline, remembered.clone()) {
        (true, Some(document)) => (first()?, document),
        (true, None) if source.optional => return Ok(None),
        (true, None) => {
            return Err(AcquireError::Offline { what: format!("the Release file of {}", source.suite), others: 0 });
        }
        (false, _) => match signed::fetch(plan, source, context)? {
            Some(found) => found,
            None => {
                let url = first()?.to_string();
                return match source.pocket {
                    Some(pocket) if source.optional => {
                        let notice = Notice::Missing { suite: source.suite.clone(), pocket, url };
                        context.observer.event(Event::Notice(&notice));
                        Ok(None)
                    }
                    _ => Err(AcquireError::NoRelease { suite: source.suite.clone(), url }),
                };
            }
        },
    };
    let verified = signed::verify(&document, &mirror, plan, source, &keyring, context)?;
    let malformed = |source_error| AcquireError::Release {
        suite: source.suite.clone(),
        url: mirror.to_string(),
        source: Box::new(source_error),
    };
    let release = Release::parse(&verified.text).map_err(malformed)?;
    check_suite(&release, source, plan, &mirror)?;
    let date = check_dates(&release, source, &mirror, context)?;
    let before = match &remembered {
        Some(remembered) if !context.offline && *remembered != document => {
            // What cannot be verified any more, after a change of keys, says nothing about what is new.
            let before = signed::verify(remembered, &mirror, plan, source, &keyring, context).ok();
            before.and_then(|before| Some((Release::parse(&before.text).ok()?, before)))
        }
        _ => None,
    };
    if let Some((newest, before)) = &before
        && verified.has_signer_of(before)
        && !plan.allow_downgrade
    {
        refuse_older(date, newest, source, &mirror)?;
    }
    if !context.offline && remembered.as_ref() != Some(&document) {
        signed::remember(&memory, &document, lease)?;
    }
    let mut mirrors = vec![mirror.clone()];
    mirrors.extend(source.mirrors.iter().filter(|other| **other != mirror).cloned());
    let facts = ReleaseFacts::of(&release, &verified, date);
    Ok(Some(Opened { position, release, facts, mirrors, document, before: before.map(|(release, _)| release) }))
}

/// Refuses the Release file of another suite, or of another pocket of the same one: all of them are signed by the same keys.
pub(super) fn check_suite(
    release: &Release,
    source: &PlannedSource,
    plan: &Plan,
    mirror: &Url,
) -> Result<(), AcquireError> {
    if source.flat {
        return Ok(());
    }
    let wanted = source.suite.as_str();
    let other_pocket = release.suite.as_deref().and_then(|name| plan.suite.pocket_named(name));
    let is_other = source.pocket.is_some() && other_pocket.is_some_and(|pocket| Some(pocket) != source.pocket);
    // `buster/updates` calls itself `buster`; only its components tell that it is the security archive.
    let is_security =
        !release.components.is_empty() && release.components.iter().all(|component| component.starts_with("updates/"));
    let is_confused = match source.pocket {
        Some(Pocket::Security) => wanted.ends_with("/updates") && !is_security,
        Some(_) => is_security,
        None => false,
    };
    if release.is_suite(wanted) && !is_other && !is_confused {
        return Ok(());
    }
    Err(AcquireError::WrongSuite {
        wanted: wanted.into(),
        url: mirror.to_string(),
        suite: release.suite.clone().unwrap_or_default(),
        codename: release.codename.clone().unwrap_or_default(),
    })
}

/// Refuses a Release file without a date, from the future, or that expired; gives its date.
pub(super) fn check_dates(
    release: &Release,
    source: &PlannedSource,
    mirror: &Url,
    context: &Context<'_>,
) -> Result<i64, AcquireError> {
    let (suite, url) = (source.suite.clone(), mirror.to_string());
    let Some(date) = release.date else { return Err(AcquireError::NoDate { suite, url }) };
    if date > context.now.saturating_add(MAX_FUTURE) {
        return Err(AcquireError::Future { suite, url, ahead: date.saturating_sub(context.now) });
    }
    if let Some(until) = release.valid_until
        && context.now > until
    {
        let age = context.now.saturating_sub(until);
        if source.valid_until {
            return Err(AcquireError::Expired { suite, url, age });
        }
        context.observer.event(Event::Notice(&Notice::Expired { suite, age }));
    }
    Ok(date)
}

/// Refuses a Release file that is older than the newest one seen of the same signers.
fn refuse_older(date: i64, newest: &Release, source: &PlannedSource, mirror: &Url) -> Result<(), AcquireError> {
    match newest.date {
        Some(newest) if date < newest => Err(AcquireError::Downgrade {
            suite: source.suite.clone(),
            url: mirror.to_string(),
            older: newest.saturating_sub(date),
        }),
        _ => Ok(()),
    }
}

/// Removes indexes that new ones took the place of: each push of an archive would leave 50 MB behind.
fn remove_replaced(opened: &[Opened], wanted: &[(usize, WantedIndex<'_>)], plan: &Plan, cache: &Path) {
    let kept: Vec<PathBuf> = wanted.iter().filter_map(|(_, index)| Some(index.cached(cache)?.0)).collect();
    for source in opened {
        let (Some(before), Some(planned)) = (&source.before, plan.sources.get(source.position)) else { continue };
        for index in indexes_of(before, planned, &plan.architecture).unwrap_or_default() {
            if let Some((path, _)) = index.cached(cache)
                && !kept.contains(&path)
            {
                // It may be gone already; what cannot be removed is only space.
                let _ = fs::remove_file(path);
            }
        }
    }
}

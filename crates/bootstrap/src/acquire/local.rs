//! Indexes and packages that lie at hand, as a tarball of debootstrap holds them: judged as if they were fetched.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write as _};

use bedplate_oci::Hasher;
use bedplate_packages::deb::release::Release;
use bedplate_store::CacheKind;

use super::error::AcquireError;
use super::observe::{Event, Notice, Stage};
use super::open::{check_dates, check_suite, indexes_of};
use super::packages::{BUFFER, MAX_PACKAGE};
use super::plan::Plan;
use super::signed::{self, Document};
use super::{Acquired, Context, ReleaseFacts, Source, Wanted, keys};

/// Gives the bytes of a file by its path below the root of an archive; `None` where it is not at hand.
pub(crate) type AtHand<'a> = dyn Fn(&str) -> Result<Option<Vec<u8>>, AcquireError> + 'a;

/// Opens every source of a plan from files at hand; the network is not asked, and nothing is remembered of them.
///
/// # Errors
/// As [`open_plan`](super::open_plan), and where a file is missing.
pub(crate) fn open_local(plan: Plan, read: &AtHand<'_>, context: &Context<'_>) -> Result<Acquired, AcquireError> {
    for notice in plan.notices_at(context.now).iter().filter(|notice| !matches!(notice, Notice::HostSources { .. })) {
        context.observer.event(Event::Notice(notice));
    }
    let common = keys::common(&plan, context)?;
    let stage = Stage::Releases;
    context.observer.event(Event::Planned { stage, items: plan.sources.len(), bytes: 0, cached: plan.sources.len() });
    let mut sources = Vec::with_capacity(plan.sources.len());
    for planned in &plan.sources {
        let mirror = planned.mirrors.first();
        let mirror = mirror.ok_or_else(|| AcquireError::NoMirror { what: planned.suite.clone() })?;
        let folder = signed::folder(planned);
        let document = match read(&format!("{folder}InRelease"))? {
            Some(text) => Document { text, signature: None },
            None => {
                let missing = || AcquireError::NotAtHand { what: format!("the Release file of {}", planned.suite) };
                let text = read(&format!("{folder}Release"))?.ok_or_else(missing)?;
                Document { text, signature: Some(read(&format!("{folder}Release.gpg"))?.unwrap_or_default()) }
            }
        };
        let keyring = keys::keyring(&plan, planned, &common)?;
        let verified = signed::verify(&document, mirror, &plan, planned, &keyring, context)?;
        let malformed = |source| AcquireError::Release {
            suite: planned.suite.clone(),
            url: mirror.to_string(),
            source: Box::new(source),
        };
        let release = Release::parse(&verified.text).map_err(malformed)?;
        check_suite(&release, planned, &plan, mirror)?;
        let date = check_dates(&release, planned, mirror, context)?;
        let mut indexes = Vec::new();
        for wanted in indexes_of(&release, planned, &plan.architecture)? {
            let path = format!("{folder}{}/binary-{}/Packages", wanted.component, wanted.architecture);
            let missing = || AcquireError::NotAtHand { what: format!("index {}", wanted.name) };
            indexes.push(wanted.take(read(&path)?.ok_or_else(missing)?, planned.unsigned)?);
        }
        let facts = ReleaseFacts::of(&release, &verified, date);
        sources.push(Source {
            pocket: planned.pocket,
            name: planned.name(),
            suite: planned.suite.clone(),
            mirrors: planned.mirrors.clone(),
            document,
            release: facts,
            indexes,
        });
    }
    Ok(Acquired { plan, sources })
}

/// Takes a package that lies at hand into the cache, if it is the one that is wanted.
///
/// # Errors
/// It is another one, or cannot be kept.
pub(crate) fn adopt(wanted: &Wanted, package: &mut dyn Read, context: &Context<'_>) -> Result<(), AcquireError> {
    let keep = |source| AcquireError::Store { what: "packages".into(), source };
    if wanted.size > MAX_PACKAGE {
        return Err(AcquireError::TooLarge { what: wanted.name.clone(), size: wanted.size, limit: MAX_PACKAGE });
    }
    let guard = context.store.cache(CacheKind::Packages).map_err(keep)?;
    let path = guard.folder().join(format!("{}.deb", wanted.sha256.hex()));
    if super::packages::is_cached(&path, wanted.size)? {
        return Ok(());
    }
    let lease = context.store.lease().map_err(keep)?;
    let scratch = lease.scratch();
    let mut hasher = Hasher::new();
    let mut copy = || -> io::Result<()> {
        let file = File::options().write(true).create_new(true).open(&scratch)?;
        let mut sink = BufWriter::with_capacity(BUFFER, &file);
        let mut buffer = vec![0; BUFFER];
        // One byte more than promised is enough to tell that it is another one.
        let mut package = package.take(wanted.size.saturating_add(1));
        loop {
            match package.read(&mut buffer)? {
                0 => break,
                count => {
                    hasher.update(&buffer[..count]);
                    sink.write_all(&buffer[..count])?;
                }
            }
        }
        sink.flush()?;
        drop(sink);
        // A file of the right size under the name of its digest has to be whole, also after a power cut.
        file.sync_data()
    };
    copy().map_err(|source| AcquireError::Cache { path: scratch.clone(), source })?;
    let found = hasher.digest();
    if found != wanted.sha256 {
        // It is swept with the lease, too.
        let _ = fs::remove_file(&scratch);
        let (expected, found) = (wanted.sha256.to_string(), found.to_string());
        return Err(AcquireError::Digest { what: format!("package {}", wanted.name), expected, found });
    }
    fs::rename(&scratch, &path).map_err(|source| AcquireError::Cache { path, source })
}

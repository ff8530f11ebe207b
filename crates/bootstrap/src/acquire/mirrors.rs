//! Which mirror is asked, and which one next.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bedplate_fetch::{FetchError, Url};

use super::Context;
use super::error::AcquireError;
use super::observe::{Event, Notice};
use super::signed::is_missing;

/// The address of a path below a mirror's root; what has a meaning of its own in addresses is escaped, as apt does.
pub(super) fn address(mirror: &Url, path: &str) -> Result<Url, AcquireError> {
    let path = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23").replace(' ', "%20");
    let text = format!("{}/{path}", mirror.revealed().trim_end_matches('/'));
    Url::parse(&text).map_err(|source| AcquireError::Url { source })
}

/// Mirrors whose network or server failed: they are asked after all others, so that one that hangs is not waited for
/// again with each file.
#[derive(Debug, Default)]
pub(super) struct FailedMirrors(Mutex<Vec<Url>>);

impl FailedMirrors {
    fn known(&self) -> MutexGuard<'_, Vec<Url>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mirrors, those that failed last.
    pub(super) fn order<'m>(&self, mirrors: &'m [Url]) -> Vec<&'m Url> {
        let failed = self.known();
        let mut order: Vec<&Url> = mirrors.iter().collect();
        order.sort_by_key(|mirror| failed.contains(mirror));
        order
    }
}

/// Asks each mirror in turn until one serves; what no other mirror can mend ends the search.
pub(super) fn from_mirrors<T>(
    mirrors: &[Url],
    what: &dyn Fn() -> String,
    failed: &FailedMirrors,
    context: &Context<'_>,
    mut get: impl FnMut(&Url) -> Result<T, AcquireError>,
) -> Result<T, AcquireError> {
    let mut reason = Reason::default();
    for (n, mirror) in failed.order(mirrors).into_iter().enumerate() {
        match get(mirror) {
            Ok(value) => return Ok(value),
            Err(AcquireError::Fetch { what, source }) if !matches!(source, FetchError::Sink { .. }) => {
                if source.is_network_error() {
                    failed.known().push(mirror.clone());
                }
                if n + 1 < mirrors.len() {
                    let notice = Notice::NextMirror { url: mirror.to_string(), reason: source.to_string() };
                    context.observer.event(Event::Notice(&notice));
                }
                reason.add(what, source);
            }
            Err(other) => return Err(other),
        }
    }
    Err(reason.error().unwrap_or_else(|| AcquireError::NoMirror { what: what() }))
}

/// Which of several failed downloads is told: the last one, but a missing file explains less than any other reason.
#[derive(Debug, Default)]
pub(super) struct Reason(Option<(String, FetchError)>);

impl Reason {
    pub(super) fn add(&mut self, what: String, error: FetchError) {
        if self.0.is_none() || !is_missing(&error) {
            self.0 = Some((what, error));
        }
    }

    pub(super) fn error(self) -> Option<AcquireError> {
        self.0.map(|(what, source)| AcquireError::Fetch { what, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_escape_what_has_a_meaning() {
        let cases = [
            ("http://example.org/debian", "pool/a_1%3a2+b~1.deb", "http://example.org/debian/pool/a_1%253a2+b~1.deb"),
            ("http://example.org/debian/", "a?b#c d", "http://example.org/debian/a%3Fb%23c%20d"),
            ("file:///srv/mirror", "pool/x.deb", "file:///srv/mirror/pool/x.deb"),
        ];
        for (mirror, path, expected) in cases {
            let mirror = Url::parse(mirror).unwrap();
            assert_eq!(address(&mirror, path).unwrap().revealed(), expected);
        }
    }
}

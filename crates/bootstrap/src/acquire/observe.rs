//! What happens while archives are asked, for whoever shows it.

use std::fmt;
use std::time::Duration;

use crate::distribution::Pocket;

/// Is told what happens; may be called from several threads at once.
pub trait Observer: Sync {
    /// Something happened.
    fn event(&self, event: Event<'_>);
}

/// An observer that tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Observer for Quiet {
    fn event(&self, _: Event<'_>) {}
}

/// A phase of acquiring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Release files and their signatures.
    Releases,
    /// Indexes of packages.
    Indexes,
    /// Packages.
    Packages,
}

/// What happens.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// Something that people should be told once.
    Notice(&'a Notice),
    /// A phase begins: so many items are not in the cache, of so many bytes where that is known.
    Planned {
        /// The phase.
        stage: Stage,
        /// Items to fetch.
        items: usize,
        /// Their bytes.
        bytes: u64,
        /// Items that the cache has.
        cached: usize,
    },
    /// Bytes of an item came.
    Received {
        /// The phase.
        stage: Stage,
        /// How many.
        bytes: u64,
    },
    /// An item is whole and verified.
    Done {
        /// The phase.
        stage: Stage,
        /// What people call it: `trixie-security`, `curl`.
        name: &'a str,
    },
    /// A download failed, and there will be another attempt.
    Retrying {
        /// The phase.
        stage: Stage,
        /// What failed.
        error: &'a bedplate_fetch::FetchError,
        /// How long the pause is.
        pause: Duration,
    },
}

/// What people should be told, though nothing failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The host's package sources decided which archive is asked.
    HostSources {
        /// The archive.
        url: String,
        /// The file that names it.
        file: String,
    },
    /// A configuration file of the host's apt was passed over.
    HostFile {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// The host's apt is set to ignore `Valid-Until`.
    HostIgnoresValidUntil {
        /// The file that says so.
        file: String,
    },
    /// A Release file is past its `Valid-Until`, which was not checked.
    Expired {
        /// The suite.
        suite: String,
        /// How long it is past, in seconds.
        age: i64,
    },
    /// The archive of an ended suite lacks a pocket.
    Missing {
        /// The suite.
        suite: String,
        /// The pocket.
        pocket: Pocket,
        /// The archive.
        url: String,
    },
    /// A suite ended: it gets no security updates, and its signature was judged at the time it was made.
    Ended {
        /// The suite.
        suite: String,
    },
    /// A key that only the host knows may sign the archive.
    HostKey {
        /// The host's file that has it.
        file: String,
        /// The fingerprint of the key.
        fingerprint: String,
        /// Whose key it says it is.
        user: String,
    },
    /// A keyring of the host cannot be read and is left out.
    HostKeyring {
        /// Which, and why.
        reason: String,
    },
    /// An archive was taken without a signature, as asked.
    Unsigned {
        /// The archive and suite.
        what: String,
    },
    /// A mirror failed, and the next one was asked.
    NextMirror {
        /// The mirror that failed.
        url: String,
        /// Why.
        reason: String,
    },
}

impl Notice {
    /// Whether it only tells how things are done here, and warns of nothing.
    #[must_use]
    pub fn is_note(&self) -> bool {
        matches!(self, Self::HostSources { .. } | Self::HostIgnoresValidUntil { .. })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostSources { url, file } => write!(f, "using {url}, as this host's {file} does"),
            Self::HostFile { file, reason } => write!(f, "ignoring this host's {file}: {reason}"),
            Self::HostIgnoresValidUntil { file } => {
                write!(f, "not checking Valid-Until, as this host's {file} says")
            }
            Self::Expired { suite, age } => {
                write!(f, "Release file of {suite} expired {} ago", Span(*age))
            }
            Self::Missing { suite, pocket, url } => {
                write!(f, "{url} has no {suite}: going on without the pocket {pocket}")
            }
            Self::Ended { suite } => {
                write!(f, "{suite} has ended: it gets no security updates any more")
            }
            Self::HostKey { file, fingerprint, user } => {
                write!(f, "trusting key {fingerprint} ({user}) of this host's {file}")
            }
            Self::HostKeyring { reason } => write!(f, "leaving out a keyring of this host: {reason}"),
            Self::Unsigned { what } => write!(f, "{what} is not signed: taken without verification, as asked"),
            Self::NextMirror { url, reason } => write!(f, "{url} failed, asking the next mirror: {reason}"),
        }
    }
}

/// A length of time in the largest unit that fits, for people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span(pub(crate) i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.max(0);
        let (n, unit) = match seconds {
            0..120 => (seconds, "second"),
            120..7_200 => (seconds / 60, "minute"),
            7_200..172_800 => (seconds / 3_600, "hour"),
            _ => (seconds / 86_400, "day"),
        };
        write!(f, "{n} {unit}{}", if n == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_words() {
        let cases = [
            (-5, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7_200, "2 hours"),
            (86_400 * 3, "3 days"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(Span(seconds).to_string(), expected);
        }
    }
}

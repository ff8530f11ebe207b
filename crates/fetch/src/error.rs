//! What can go wrong with a download.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bedplate_oci::Digest;
use thiserror::Error;

use crate::names::ResolveError;
use crate::url::{Url, UrlError};

/// Why a download failed; no message holds a user, password or secret query parameter.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The server answered with a status that is no success.
    #[error("GET {url}: status {status}{}", reason_phrase(*.status))]
    Status {
        /// What was asked, after redirects.
        url: Url,
        /// The HTTP status.
        status: u16,
        /// How long the server asks to wait (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// The host's name leads to no address.
    #[error("GET {url}: cannot resolve host {:?}", .host)]
    Resolve {
        /// What was asked.
        url: Url,
        /// The name that was looked up: the URL's host, or the proxy.
        host: String,
        /// Why.
        #[source]
        source: ResolveError,
    },
    /// Something took longer than its limit.
    #[error("GET {url}: {phase} took longer than {} s", .limit.as_secs_f64())]
    Timeout {
        /// What was asked.
        url: Url,
        /// What was waited for.
        phase: Phase,
        /// The limit that passed.
        limit: Duration,
    },
    /// The connection could not be made or broke.
    #[error("GET {url}: connection failed")]
    Connection {
        /// What was asked.
        url: Url,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server's certificate or the TLS handshake was refused.
    #[error("GET {url}: TLS failed: {reason}")]
    Tls {
        /// What was asked.
        url: Url,
        /// What the TLS library said.
        reason: String,
    },
    /// The answer is no valid HTTP.
    #[error("GET {url}: malformed response: {reason}")]
    Protocol {
        /// What was asked.
        url: Url,
        /// What is wrong with it.
        reason: String,
    },
    /// The proxy refused the connection, or its address cannot be used.
    #[error("GET {url}: proxy {proxy}: {reason}")]
    Proxy {
        /// What was asked.
        url: Url,
        /// The proxy's address, without its password.
        proxy: String,
        /// What it answered.
        reason: String,
    },
    /// More redirects than allowed, as in a loop.
    #[error("GET {start}: more than {limit} redirects, the last to {last}")]
    TooManyRedirects {
        /// What was asked first.
        start: Url,
        /// Where the last redirect led.
        last: Box<Url>,
        /// How many are followed.
        limit: u32,
    },
    /// A redirect that cannot be followed.
    #[error("GET {url}: cannot follow the redirect (status {status})")]
    Redirect {
        /// What was asked.
        url: Url,
        /// The HTTP status.
        status: u16,
        /// What is wrong with `Location`; `None` when there is none.
        #[source]
        source: Option<UrlError>,
    },
    /// A redirect from https to a weaker scheme.
    #[error("GET {url}: redirect to {to} refused: https is not left")]
    Downgrade {
        /// What was asked.
        url: Url,
        /// Where the redirect leads.
        to: Box<Url>,
    },
    /// The connection ended before all announced bytes came.
    #[error("GET {url}: transfer ended after {received} of {expected} bytes")]
    Truncated {
        /// What was asked.
        url: Url,
        /// Bytes that came.
        received: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// The content changed on the server while it was fetched, so that a broken transfer cannot go on.
    #[error("GET {url}: content changed on the server after {received} bytes were received")]
    Changed {
        /// What was asked.
        url: Url,
        /// Bytes of the older content.
        received: u64,
    },
    /// The content is not as long as expected.
    #[error("GET {url}: expected {expected} bytes, found {found}")]
    Size {
        /// What was asked.
        url: Url,
        /// The size demanded by the caller.
        expected: u64,
        /// The size announced or received.
        found: u64,
    },
    /// The content is longer than the caller takes.
    #[error("GET {url}: content is larger than the limit of {limit} bytes")]
    TooLarge {
        /// What was asked.
        url: Url,
        /// The caller's limit in bytes.
        limit: u64,
    },
    /// The content does not have the expected digest: nothing of it may be used.
    #[error("GET {url}: digest mismatch: expected {expected}, found {found}")]
    Digest {
        /// What was asked.
        url: Url,
        /// What the caller demands.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The caller's sink refused bytes.
    #[error("GET {url}: cannot write what was received")]
    Sink {
        /// What was asked.
        url: Url,
        /// What the sink said.
        #[source]
        source: io::Error,
    },
    /// A file: address cannot be read.
    #[error("GET {url}: cannot read the file")]
    File {
        /// What was asked.
        url: Url,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The certificate that servers are to be shown cannot be used.
    #[error("client certificate {path:?} cannot be used: {reason}")]
    ClientCertificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The certificate bundle that the caller names cannot be used.
    #[error("certificate bundle {path:?} cannot be used: {reason}")]
    CaBundle {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl FetchError {
    /// Whether asking again may help: timeouts, broken connections and statuses that mean "later".
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            Self::Timeout { .. } | Self::Connection { .. } | Self::Truncated { .. } => true,
            Self::Resolve { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// Whether what came is not what was expected: malformed, of another size, or with another digest.
    #[must_use]
    pub fn is_input_error(&self) -> bool {
        matches!(
            self,
            Self::Digest { .. }
                | Self::Size { .. }
                | Self::TooLarge { .. }
                | Self::Changed { .. }
                | Self::Protocol { .. }
        )
    }

    /// Whether the host could not be reached or fell silent: with another file of it, it would be the same.
    #[must_use]
    pub fn is_host_error(&self) -> bool {
        matches!(
            self,
            Self::Timeout { .. }
                | Self::Connection { .. }
                | Self::Resolve { .. }
                | Self::Tls { .. }
                | Self::Proxy { .. }
        )
    }

    /// Whether the network, a server or a proxy failed, rather than that the address was wrong.
    #[must_use]
    pub fn is_network_error(&self) -> bool {
        match self {
            Self::Tls { .. } | Self::Proxy { .. } => true,
            // A name that does not exist is more likely misspelt.
            Self::Resolve { source, .. } => source.is_transient(),
            other => other.is_transient(),
        }
    }
}

/// What a [`FetchError::Timeout`] was waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The look-up of the host's name.
    Resolving,
    /// TCP, proxy and TLS.
    Connecting,
    /// The head of the answer.
    Waiting,
    /// The next bytes of the body.
    Receiving,
    /// The request.
    Sending,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Resolving => "resolving the host",
            Self::Connecting => "connecting",
            Self::Waiting => "waiting for the answer",
            Self::Receiving => "waiting for more bytes",
            Self::Sending => "sending the request",
        })
    }
}

fn reason_phrase(status: u16) -> String {
    ureq::http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .map(|reason| format!(" {reason}"))
        .unwrap_or_default()
}

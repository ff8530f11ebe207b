//! The fetcher: what it is told, and the loop of attempts around a transfer.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bedplate_oci::Digest;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, RustlsConnector, TcpConnector};

use crate::error::FetchError;
use crate::forward::{ForwardConnector, Lookup};
use crate::names::{NameFiles, Names};
use crate::proxy::Proxies;
use crate::transfer::Transfer;
use crate::trust;
use crate::url::{Scheme, Url};

/// How far a fetcher goes before it gives up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Redirects that are followed in one attempt.
    pub redirects: u32,
    /// Attempts after the first that bring no new byte.
    pub retries: u32,
    /// Attempts among those that may end in silence: a server that says nothing now will hardly do so the next time,
    /// and each takes the whole of a time below.
    pub silences: u32,
    /// Attempts after the first in all, those that bring new bytes included.
    pub resumes: u32,
    /// Time for the look-up of a name.
    pub resolve: Duration,
    /// Time for TCP, proxy and TLS together.
    pub connect: Duration,
    /// Time between the request and the end of the answer's head, if it comes in pieces.
    pub answer: Duration,
    /// Longest time without a single byte, of the head or the body.
    pub stall: Duration,
    /// Pause before the second attempt; it doubles with each further one.
    pub backoff: Duration,
    /// Longest pause, also when the server asks for a longer one.
    pub max_backoff: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            redirects: 10,
            retries: 3,
            silences: 1,
            resumes: 32,
            resolve: Duration::from_secs(15),
            connect: Duration::from_secs(15),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            backoff: Duration::from_millis(250),
            max_backoff: Duration::from_secs(20),
        }
    }
}

/// What a fetcher is told by its caller.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The `User-Agent` header; empty for `bedplate`.
    pub user_agent: String,
    /// The proxies.
    pub proxies: Proxies,
    /// A bundle of root certificates in PEM form (`SSL_CERT_FILE`) in place of the machine's.
    pub ca_bundle: Option<PathBuf>,
    /// What this side shows to servers that ask for it.
    pub client: Option<ClientFiles>,
    /// Believes whoever answers: for content that is verified by its own digest or signature.
    pub any_server: bool,
    /// The files names are looked up in.
    pub names: NameFiles,
    /// When to give up.
    pub limits: Limits,
}

/// A certificate with its key, in PEM form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// The certificate, and those that it hangs on.
    pub certificate: PathBuf,
    /// The key; `None` where it stands beside the certificate.
    pub key: Option<PathBuf>,
}

/// What the caller knows of the content beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Its digest; without one the content is only as trustworthy as the connection.
    pub digest: Option<Digest>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// The most bytes that are taken.
    pub max_size: u64,
}

/// What is known after all bytes came and were verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Where the bytes came from, after redirects.
    pub url: Url,
    /// The server's tag for this content.
    pub etag: Option<String>,
    /// `Last-Modified` in seconds since 1970.
    pub last_modified: Option<i64>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// Bytes given to the sink.
    pub size: u64,
    /// Their digest.
    pub digest: Digest,
}

/// What happens during a download, for a progress display.
#[derive(Debug)]
pub enum Event<'a> {
    /// Content begins to come.
    Started {
        /// Its size in bytes, when the server told.
        total: Option<u64>,
        /// Bytes of it that came in earlier attempts.
        received: u64,
    },
    /// An attempt failed, and there will be another.
    Retrying {
        /// Why it failed.
        error: &'a FetchError,
        /// How long the pause is.
        pause: Duration,
    },
}

/// The way to a server; each has connections of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    /// Straight to the host, with or without TLS.
    Direct { tls: bool },
    /// Plain HTTP through a proxy.
    Forward { proxy: Url },
    /// TLS through a proxy's tunnel.
    Tunnel { proxy: Url },
}

/// Fetches content by URL; may be shared between threads.
#[derive(Debug)]
pub struct Fetcher {
    options: Options,
    names: Arc<Names>,
    agents: Mutex<Vec<(Route, Agent)>>,
}

impl Fetcher {
    /// A fetcher; nothing is read or opened before the first download needs it.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let names = Arc::new(Names::new(options.names.clone()));
        Self { options, names, agents: Mutex::default() }
    }

    /// Fetches `url` into `sink` and verifies it.
    ///
    /// Transient failures are tried again; a broken transfer goes on where it ended. Bytes reach the sink before they
    /// are verified: they may be used only after this returned without an error.
    ///
    /// # Errors
    /// [`FetchError`]; the sink then holds a part of the content, or content that is not the expected one.
    pub fn get(&self, url: &Url, expected: Expected, sink: &mut dyn Write) -> Result<Response, FetchError> {
        self.get_observed(url, expected, sink, &mut |_| {})
    }

    /// As [`Fetcher::get`], and tells what happens.
    ///
    /// # Errors
    /// As [`Fetcher::get`].
    pub fn get_observed(
        &self,
        url: &Url,
        expected: Expected,
        sink: &mut dyn Write,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<Response, FetchError> {
        let limits = &self.options.limits;
        let mut transfer = Transfer::new(url, expected, sink, observe);
        let (mut idle, mut silent, mut total) = (0, 0, 0);
        loop {
            let before = transfer.received();
            let error = match transfer.attempt(self) {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if transfer.received() > before {
                (idle, silent) = (0, 0);
            }
            let was_silent = matches!(error, FetchError::Timeout { .. });
            let tired = idle >= limits.retries || total >= limits.resumes || was_silent && silent >= limits.silences;
            if tired || !error.is_transient() {
                return Err(error);
            }
            silent += u32::from(was_silent);
            let asked = match &error {
                FetchError::Status { retry_after, .. } => *retry_after,
                _ => None,
            };
            let pause = limits.backoff.saturating_mul(1 << idle.min(16));
            let pause = pause.max(asked.unwrap_or_default()).min(limits.max_backoff);
            tracing::debug!(%url, %error, ?pause, "trying again");
            transfer.observe(Event::Retrying { error: &error, pause });
            std::thread::sleep(pause);
            idle += 1;
            total += 1;
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.options.limits
    }

    /// The proxy that serves `url`.
    pub(crate) fn proxy(&self, url: &Url) -> Option<&Url> {
        self.options.proxies.serving(url)
    }

    /// The agent whose connections lead to `url`.
    pub(crate) fn agent(&self, url: &Url) -> Result<Agent, FetchError> {
        let route = match (self.proxy(url).cloned(), url.scheme()) {
            (Some(proxy), Scheme::Https) => Route::Tunnel { proxy },
            (Some(proxy), _) => Route::Forward { proxy },
            (None, scheme) => Route::Direct { tls: scheme == Scheme::Https },
        };
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, agent)) = agents.iter().find(|(known, _)| *known == route) {
            return Ok(agent.clone());
        }
        let agent = self.new_agent(url, &route)?;
        agents.push((route, agent.clone()));
        Ok(agent)
    }

    fn new_agent(&self, url: &Url, route: &Route) -> Result<Agent, FetchError> {
        let limits = &self.options.limits;
        let tls = match route {
            Route::Direct { tls } => *tls,
            Route::Forward { proxy } => proxy.scheme() == Scheme::Https,
            Route::Tunnel { .. } => true,
        };
        // 140 certificates are parsed only where TLS is spoken.
        let roots = if tls { trust::roots(self.options.ca_bundle.as_deref())? } else { RootCerts::from(Vec::new()) };
        let client = if tls { self.options.client.as_ref().map(trust::client).transpose()? } else { None };
        let unusable =
            |proxy: &Url, reason: String| FetchError::Proxy { url: url.clone(), proxy: proxy.to_string(), reason };
        let tunnel = match route {
            Route::Tunnel { proxy } => {
                Some(ureq::Proxy::new(proxy.revealed()).map_err(|error| unusable(proxy, error.to_string()))?)
            }
            _ => None,
        };
        let forward: Option<Uri> = match route {
            Route::Forward { proxy } => Some(
                proxy
                    .target()
                    .parse()
                    .map_err(|error: ureq::http::uri::InvalidUri| unusable(proxy, error.to_string()))?,
            ),
            _ => None,
        };
        let user_agent = match self.options.user_agent.as_str() {
            "" => "bedplate",
            user_agent => user_agent,
        };
        let config = Config::builder()
            .http_status_as_error(false)
            // Redirects are followed by `Transfer`, which knows what must not go along.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // The default would read the environment.
            .proxy(tunnel)
            .user_agent(user_agent)
            .accept_encoding("identity")
            .timeout_resolve(Some(limits.resolve))
            .timeout_connect(Some(limits.connect))
            .timeout_send_request(Some(limits.answer))
            .timeout_recv_response(Some(limits.answer))
            .timeout_per_read(Some(limits.stall))
            .input_buffer_size(BUFFER)
            .tls_config(
                TlsConfig::builder()
                    .root_certs(roots)
                    .client_cert(client)
                    .disable_verification(self.options.any_server)
                    .build(),
            )
            .build();
        let connector =
            ().chain(ForwardConnector { proxy: forward.clone() })
                .chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(RustlsConnector::default());
        let lookup = match forward {
            Some(proxy) => Lookup::of_proxy(Arc::clone(&self.names), proxy),
            None => Lookup::new(Arc::clone(&self.names)),
        };
        Ok(Agent::with_parts(config, connector, lookup))
    }
}

/// Bytes moved at once.
pub(crate) const BUFFER: usize = 256 * 1024;

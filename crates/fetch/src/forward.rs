//! Plain HTTP through a proxy: the request names the whole URL instead of its path.
//!
//! ureq tunnels everything through `CONNECT`, which many proxies allow for port 443 only, while package archives
//! are served over plain http. So for these addresses a connection to the proxy takes the place of the one to the
//! host, and the first line of each request is rewritten on its way. Spec: RFC 9112, 3.2.2 "absolute-form".

use std::sync::Arc;

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport};

use crate::names::Names;

/// The resolver of every agent: [`Names`], never the system's.
#[derive(Debug, Clone)]
pub(crate) struct Lookup {
    names: Arc<Names>,
    /// Only this host is looked up: other names are the proxy's business.
    only: Option<Uri>,
}

impl Lookup {
    pub(crate) fn new(names: Arc<Names>) -> Self {
        Self { names, only: None }
    }

    pub(crate) fn of_proxy(names: Arc<Names>, proxy: Uri) -> Self {
        Self { names, only: Some(proxy) }
    }
}

impl Resolver for Lookup {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut found = self.empty();
        if self.only.as_ref().is_some_and(|only| only.authority() != uri.authority()) {
            return Ok(found);
        }
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let addresses = self
            .names
            .addresses(host, *timeout.after)
            .map_err(|source| Error::Other(Box::new(Unresolved { host: host.to_owned(), source })))?;
        // ArrayVec panics beyond its capacity.
        for address in addresses.into_iter().take(8) {
            found.push((address, port).into());
        }
        Ok(found)
    }
}

/// A failed look-up on its way through ureq's error type.
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve host {host:?}")]
pub(crate) struct Unresolved {
    pub(crate) host: String,
    pub(crate) source: crate::names::ResolveError,
}

/// Connects to a proxy instead of the host, if there is one for plain http.
#[derive(Debug)]
pub(crate) struct ForwardConnector {
    pub(crate) proxy: Option<Uri>,
}

impl<In: Transport> Connector<In> for ForwardConnector {
    type Out = Either<In, ForwardTransport>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let Some(proxy) = &self.proxy else {
            return Ok(None);
        };
        // The way to the proxy itself, which comes through this chain again.
        if details.uri == proxy || details.needs_tls() {
            return Ok(None);
        }
        let (Some(scheme), Some(authority)) = (details.uri.scheme_str(), details.uri.authority()) else {
            return Ok(None);
        };
        let to_proxy = ConnectionDetails {
            uri: proxy,
            addrs: details.resolver.resolve(proxy, details.config, details.timeout)?,
            config: details.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let inner = (details.run_connector)(&to_proxy)?;
        Ok(Some(Either::B(ForwardTransport { inner, prefix: format!("{scheme}://{authority}") })))
    }
}

/// A connection to a proxy that turns `GET /path` into `GET http://host/path`.
#[derive(Debug)]
pub(crate) struct ForwardTransport {
    inner: Box<dyn Transport>,
    prefix: String,
}

impl Transport for ForwardTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let prefix = self.prefix.as_bytes();
        let output = self.inner.buffers().output();
        let total = insert_prefix(output, amount, prefix)
            .ok_or_else(|| Error::ConnectProxyFailed("the request is too long".to_owned()))?;
        self.inner.transmit_output(total, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

/// Puts `prefix` before the path of a `GET` that begins the first `amount` bytes of `output`; the new amount, or
/// `None` when there is no room. Requests here have no body, so every other piece is the rest of a request's head.
fn insert_prefix(output: &mut [u8], amount: usize, prefix: &[u8]) -> Option<usize> {
    const METHOD: &[u8] = b"GET ";
    if !output.get(..amount)?.starts_with(b"GET /") {
        return Some(amount);
    }
    let total = amount.checked_add(prefix.len()).filter(|total| *total <= output.len())?;
    output.copy_within(METHOD.len()..amount, METHOD.len() + prefix.len());
    output.get_mut(METHOD.len()..METHOD.len() + prefix.len())?.copy_from_slice(prefix);
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewrites_the_first_line() {
        let cases = [
            // input              | room | output
            ("GET /a HTTP/1.1\r\n", 30, Some("GET http://h/a HTTP/1.1\r\n")),
            ("GET /a HTTP/1.1\r\n", 24, Some("GET http://h/a HTTP/1.1\r\n")),
            ("GET /a HTTP/1.1\r\n", 23, None),
            ("Host: h\r\n\r\n", 11, Some("Host: h\r\n\r\n")),
        ];
        for (input, room, expected) in cases {
            let mut output = vec![0; room.max(input.len() + usize::from(expected.is_some()) * 8)];
            output[..input.len()].copy_from_slice(input.as_bytes());
            let room = if expected.is_some() { output.len() } else { room };
            let total = insert_prefix(&mut output[..room], input.len(), b"http://h");
            let found = total.map(|total| String::from_utf8(output[..total].to_vec()).unwrap());
            assert_eq!(found.as_deref(), expected, "{input:?}");
        }
    }
}

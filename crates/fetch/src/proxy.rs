//! Which proxy serves an address.

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use crate::url::{Scheme, Url, UrlError, hide_in_text};

/// Why a proxy's address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProxyError {
    /// It is no URL.
    #[error("proxy address")]
    Url {
        /// What is wrong.
        #[source]
        source: UrlError,
    },
    /// It is of a kind that is not supported, such as socks5.
    #[error("proxy {text:?}: only http:// and https:// proxies are supported")]
    Kind {
        /// The address, without its password.
        text: String,
    },
}

/// Proxies by scheme, as `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` give them.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    exceptions: Vec<Exception>,
}

impl Proxies {
    /// Proxies from the values of the usual variables; an empty value is none.
    ///
    /// `all` serves the schemes that have no proxy of their own. A value without a scheme is an http proxy. `none`
    /// is a list as in `NO_PROXY`: `*`, a domain with its subdomains (`example.com`), subdomains only
    /// (`.example.com`, `*.example.com`), an address or a network (`10.0.0.0/8`), each with `:port` if wanted. This
    /// machine (localhost, loopback addresses) is never asked through a proxy.
    ///
    /// # Errors
    /// [`ProxyError`] for an address that cannot be used.
    pub fn new(
        http: Option<&str>,
        https: Option<&str>,
        all: Option<&str>,
        none: Option<&str>,
    ) -> Result<Self, ProxyError> {
        let filled = |value: Option<&str>| value.map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned);
        let chosen = |own: Option<&str>| filled(own).or_else(|| filled(all)).map(|text| parse(&text)).transpose();
        Ok(Self {
            http: chosen(http)?,
            https: chosen(https)?,
            exceptions: none.unwrap_or_default().split(',').filter_map(Exception::parse).collect(),
        })
    }

    /// The proxy that serves `url`, or `None` for a direct connection.
    #[must_use]
    pub fn serving(&self, url: &Url) -> Option<&Url> {
        let proxy = match url.scheme() {
            Scheme::Http => self.http.as_ref(),
            Scheme::Https => self.https.as_ref(),
            Scheme::File => None,
        }?;
        let address: Option<IpAddr> = url.host().parse().ok();
        let host = url.host().trim_end_matches('.');
        let here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        let excepted = here || self.exceptions.iter().any(|exception| exception.covers(host, address, url.port()));
        (!excepted).then_some(proxy)
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies").field("http", &self.http).field("https", &self.https).finish_non_exhaustive()
    }
}

fn parse(text: &str) -> Result<Url, ProxyError> {
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    match Url::parse(&full) {
        Ok(url) if url.scheme() == Scheme::File => Err(ProxyError::Kind { text: hide_in_text(text) }),
        Ok(url) => Ok(url),
        Err(UrlError::Scheme { .. }) => Err(ProxyError::Kind { text: hide_in_text(text) }),
        Err(source) => Err(ProxyError::Url { source }),
    }
}

/// One entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Exception {
    what: Pattern,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Everything,
    /// A domain in lower case without a leading dot; `itself`: the domain, too, not only its subdomains.
    Domain {
        name: String,
        itself: bool,
    },
    /// The first `bits` bits of an address.
    Network {
        address: IpAddr,
        bits: u32,
    },
}

impl Exception {
    /// Entries that mean nothing are dropped, as every other program drops them.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let bits = bits.parse().ok().filter(|bits| *bits <= width(address))?;
            return Some(Self { what: Pattern::Network { address, bits }, port: None });
        }
        if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Some(Self { what: Pattern::Network { address, bits: width(address) }, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port.parse().ok()?)),
            None => (text, None),
        };
        let host = host.trim_end_matches('.');
        let what = match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) => Pattern::Network { address, bits: width(address) },
            Err(_) if host == "*" => Pattern::Everything,
            Err(_) => {
                let name = host.trim_start_matches('*').trim_start_matches('.');
                Pattern::Domain { name: name.to_owned(), itself: name.len() == host.len() }
            }
        };
        let empty = matches!(&what, Pattern::Domain { name, .. } if name.is_empty());
        (!empty).then_some(Self { what, port })
    }

    fn covers(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        self.port.is_none_or(|wanted| wanted == port)
            && match &self.what {
                Pattern::Everything => true,
                Pattern::Domain { name, itself } => match host.strip_suffix(name.as_str()) {
                    Some("") => *itself,
                    Some(rest) => rest.ends_with('.'),
                    None => false,
                },
                Pattern::Network { address: network, bits } => {
                    address.is_some_and(|address| same_network(*network, address, *bits))
                }
            }
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn same_network(a: IpAddr, b: IpAddr, bits: u32) -> bool {
    let differing = match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(a.to_bits() ^ b.to_bits()) << 96,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
        _ => return false,
    };
    differing.leading_zeros() >= bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions() {
        let cases = [
            // NO_PROXY                  | URL                          | through the proxy
            ("", "http://example.com/", true),
            ("*", "http://example.com/", false),
            ("example.com", "http://example.com/", false),
            ("EXAMPLE.com.", "http://a.example.COM/", false),
            ("example.com", "http://badexample.com/", true),
            (".example.com", "http://example.com/", true),
            (".example.com", "http://a.example.com/", false),
            ("*.example.com", "http://a.b.example.com/", false),
            ("x, example.com:8080", "http://example.com/", true),
            ("x, example.com:8080", "http://example.com:8080/", false),
            ("10.0.0.0/8", "http://10.1.2.3/", false),
            ("10.0.0.0/8", "http://11.1.2.3/", true),
            ("0.0.0.0/0", "http://11.1.2.3/", false),
            ("0.0.0.0/0", "http://[2001:db8::1]/", true),
            ("2001:db8::/32", "http://[2001:db8::1]/", false),
            ("[2001:db8::1]:81", "http://[2001:db8::1]/", true),
            ("[2001:db8::1]:80", "http://[2001:db8::1]/", false),
            ("10.1.2.3", "http://10.1.2.3:99/", false),
            ("", "http://localhost:99/", false),
            ("", "http://127.9.9.9/", false),
            ("", "http://[::1]/", false),
            ("10.0.0.0/33,:,/,.,a:b", "http://10.1.2.3/", true),
        ];
        for (none, url, proxied) in cases {
            let proxies = Proxies::new(Some("proxy:3128"), None, None, Some(none)).unwrap();
            assert_eq!(proxies.serving(&Url::parse(url).unwrap()).is_some(), proxied, "{none} | {url}");
        }
    }

    #[test]
    fn schemes() {
        let shown = |proxies: &Proxies, url: &str| proxies.serving(&Url::parse(url).unwrap()).map(ToString::to_string);
        let proxies = Proxies::new(Some("http://a"), Some(""), Some("https://u:p@b:1"), None).unwrap();
        assert_eq!(shown(&proxies, "http://h/"), Some("http://a/".to_owned()));
        assert_eq!(shown(&proxies, "https://h/"), Some("https://***@b:1/".to_owned()));
        assert_eq!(shown(&proxies, "file:///etc/hosts"), None);
        assert_eq!(shown(&Proxies::default(), "http://h/"), None);
        let error = Proxies::new(None, Some("socks5://u:secret@h"), None, None).unwrap_err();
        assert!(error.to_string().contains("only http") && !error.to_string().contains("secret"), "{error}");
    }
}

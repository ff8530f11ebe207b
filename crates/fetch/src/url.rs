//! Addresses whose secrets do not show.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// What stands in place of a secret wherever an address is shown.
const HIDDEN: &str = "***";

/// Parts of a query parameter's name that make its value a secret: signed addresses of object stores and tokens of
/// registries carry such ones, and a redirect may put them into an error message.
const SECRET_PARAMETERS: [&str; 8] = ["token", "sign", "sig", "password", "passwd", "secret", "credential", "key"];

/// Longest address that is accepted, in bytes: longer ones serve no archive, and an error message quotes them.
pub const MAX_URL: usize = 16 * 1024;

/// Why text is no address that can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UrlError {
    /// It is no absolute URL.
    #[error("URL {text:?}: {reason}")]
    Malformed {
        /// The text, with its secrets hidden and capped.
        text: String,
        /// What the parser missed.
        reason: String,
    },
    /// Its scheme is none of http, https and file.
    #[error("URL {text:?}: scheme {scheme:?} is not supported (http, https and file are)")]
    Scheme {
        /// The text, with its secrets hidden and capped.
        text: String,
        /// The scheme.
        scheme: String,
    },
    /// It is longer than [`MAX_URL`].
    #[error("URL of {length} bytes: longer than {MAX_URL}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
}

/// How an address is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP in TLS.
    Https,
    /// A file of this machine.
    File,
}

/// An absolute http, https or file address; `Display` and `Debug` hide user, password and secret query parameters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url(Box<url::Url>);

impl Url {
    /// Parses an absolute address.
    ///
    /// # Errors
    /// [`UrlError`]; its message holds no secret.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL {
            return Err(UrlError::TooLong { length: text.len() });
        }
        let parsed = url::Url::parse(text)
            .map_err(|error| UrlError::Malformed { text: hide_in_text(text), reason: error.to_string() })?;
        Self::accept(parsed)
    }

    fn accept(parsed: url::Url) -> Result<Self, UrlError> {
        let url = Self(Box::new(parsed));
        let malformed = |reason: &str| UrlError::Malformed { text: url.to_string(), reason: reason.to_owned() };
        match url.0.scheme() {
            "http" | "https" => match url.0.host_str() {
                Some(host) if !host.is_empty() => Ok(url),
                _ => Err(malformed("no host")),
            },
            "file" => match url.0.host_str() {
                None | Some("" | "localhost") => Ok(url),
                Some(_) => Err(malformed("a file: URL cannot name another host")),
            },
            scheme => Err(UrlError::Scheme { text: url.to_string(), scheme: scheme.to_owned() }),
        }
    }

    /// Resolves a reference, such as a redirect's `Location`, against this address.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        if reference.len() > MAX_URL {
            return Err(UrlError::TooLong { length: reference.len() });
        }
        let joined = self
            .0
            .join(reference)
            .map_err(|error| UrlError::Malformed { text: hide_in_text(reference), reason: error.to_string() })?;
        Self::accept(joined)
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match self.0.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => Scheme::File,
        }
    }

    /// The host as it is looked up: ASCII, lower case, an IPv6 address without brackets; empty in a file address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, written or implied.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(0)
    }

    /// The last part of the path, decoded: what `ADD URL DIR/` names its file; `None` when the path ends in `/`.
    ///
    /// Spec: Dockerfile reference, "ADD": the name comes from the path, not from a redirect or a header.
    #[must_use]
    pub fn file_name(&self) -> Option<String> {
        let last = self.0.path_segments()?.next_back()?;
        let name = percent_decode(last);
        match name.as_str() {
            "" | "." | ".." => None,
            name if name.contains(['/', '\0']) => None,
            _ => Some(name),
        }
    }

    /// The whole address with its secrets, for a request or a cache key; never for a message.
    #[must_use]
    pub fn revealed(&self) -> &str {
        self.0.as_str()
    }

    /// Whether both lead to the same scheme, host and port: only then may credentials go along.
    #[must_use]
    pub fn same_origin(&self, other: &Self) -> bool {
        self.0.scheme() == other.0.scheme() && self.host() == other.host() && self.port() == other.port()
    }

    /// Tells whether a user or password stands in it.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        self.credentials().is_some()
    }

    /// User and password, decoded, when there are any.
    pub(crate) fn credentials(&self) -> Option<(String, String)> {
        (!self.0.username().is_empty() || self.0.password().is_some())
            .then(|| (percent_decode(self.0.username()), percent_decode(self.0.password().unwrap_or_default())))
    }

    /// The address as a request names it: without user, password and fragment.
    pub(crate) fn target(&self) -> String {
        let mut bare = self.0.clone();
        bare.set_fragment(None);
        // Both can only fail for addresses without a host; those have no credentials either.
        let _ = bare.set_username("");
        let _ = bare.set_password(None);
        // The URL standard leaves these alone in a path, RFC 3986 does not allow them there.
        bare.as_str().replace('|', "%7C").replace('^', "%5E").replace('\\', "%5C").replace('`', "%60")
    }

    /// The path of a file address on this machine.
    pub(crate) fn file_path(&self) -> Option<std::path::PathBuf> {
        self.0.to_file_path().ok()
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        if self.credentials().is_some() {
            let _ = shown.set_username(HIDDEN);
            let _ = shown.set_password(None);
        }
        if let Some(query) = self.0.query() {
            let hidden: Vec<String> = query.split('&').map(hide_parameter).collect();
            shown.set_query(Some(&hidden.join("&")));
        }
        f.write_str(shown.as_str())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

fn hide_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={HIDDEN}"),
        _ => parameter.to_owned(),
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_PARAMETERS.iter().any(|part| name.contains(part))
}

/// Hides what may be a password in text that did not parse, and caps it.
pub(crate) fn hide_in_text(text: &str) -> String {
    let shown: String = match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => format!("{}{HIDDEN}{}", &text[..scheme + 3], &text[at..]),
        (None, Some(at)) => format!("{HIDDEN}{}", &text[at..]),
        _ => text.to_owned(),
    };
    let shown = match shown.split_once('?') {
        Some((path, query)) => {
            let hidden: Vec<String> = query.split('&').map(hide_parameter).collect();
            format!("{path}?{}", hidden.join("&"))
        }
        None => shown,
    };
    shown.chars().take(200).collect()
}

/// Decodes `%XX`; what is no such triple stays, and bytes that are no UTF-8 become the replacement character.
fn percent_decode(text: &str) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_secrets() {
        let cases = [
            // input                                        | shown
            ("http://example.com/a b", "http://example.com/a%20b"),
            ("https://me:hunter2@example.com/x", "https://***@example.com/x"),
            ("https://me@example.com/x", "https://***@example.com/x"),
            ("https://:pw@example.com/x", "https://***@example.com/x"),
            ("https://example.com/x?a=1&X-Amz-Signature=abc", "https://example.com/x?a=1&X-Amz-Signature=***"),
            ("https://example.com/x?access_token=abc#f", "https://example.com/x?access_token=***#f"),
            ("file:///etc/hosts", "file:///etc/hosts"),
        ];
        for (input, shown) in cases {
            let url = Url::parse(input).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("Url({shown})"));
        }
    }

    #[test]
    fn refuses_what_it_cannot_fetch() {
        let cases = [
            // input                              | part of the message
            ("example.com/x", "relative URL without a base"),
            ("ftp://me:hunter2@example.com/", "scheme \"ftp\" is not supported"),
            ("http://", "empty host"),
            ("file://elsewhere/etc/hosts", "cannot name another host"),
            ("http://me:hunter2@exa mple/", "URL \"http://***@exa mple/\""),
        ];
        for (input, message) in cases {
            let error = Url::parse(input).unwrap_err().to_string();
            assert!(error.contains(message), "{input}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(Url::parse(&format!("http://h/{}", "a".repeat(MAX_URL - 9))).is_ok());
        assert!(matches!(Url::parse(&format!("http://h/{}", "a".repeat(MAX_URL - 8))), Err(UrlError::TooLong { .. })));
    }

    #[test]
    fn names_the_file() {
        let cases = [
            // input                               | file name
            ("http://h/a/b.tar.gz?x=/y", Some("b.tar.gz")),
            ("http://h/a%20b", Some("a b")),
            ("http://h/a%2Fb", None),
            ("http://h/", None),
            ("http://h/dir/", None),
            ("http://h", None),
        ];
        for (input, name) in cases {
            assert_eq!(Url::parse(input).unwrap().file_name().as_deref(), name, "{input}");
        }
    }

    #[test]
    fn a_target_has_no_credentials() {
        let url = Url::parse("http://me:p%40ss@h:81/a|b?c^d#e").unwrap();
        assert_eq!(url.target(), "http://h:81/a%7Cb?c%5Ed");
        assert_eq!(url.credentials(), Some(("me".to_owned(), "p@ss".to_owned())));
    }

    #[test]
    fn origins() {
        let cases = [
            ("http://h/a", "http://h:80/b", true),
            ("https://h/a", "https://H:443/b", true),
            ("http://h/a", "https://h/a", false),
            ("http://h/a", "http://h:81/a", false),
            ("http://h/a", "http://h.example/a", false),
        ];
        for (a, b, same) in cases {
            assert_eq!(Url::parse(a).unwrap().same_origin(&Url::parse(b).unwrap()), same, "{a} {b}");
        }
    }
}

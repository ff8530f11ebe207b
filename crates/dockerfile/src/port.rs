//! Ports of EXPOSE: `80`, `53/udp`, `8000-8010/tcp`.

use std::fmt;
use std::net::IpAddr;

/// The protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, the default.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// One port with its protocol, as the image config writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The number.
    pub number: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        };
        write!(f, "{}/{protocol}", self.number)
    }
}

/// A text is no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// The number is none, or not in 0..=65535.
    #[error("invalid port {text:?}: a port is a number up to 65535, or a range of two such as 8000-8010")]
    Number {
        /// The text.
        text: String,
    },
    /// The end of a range lies before its start.
    #[error("invalid port range {text:?}: the end lies before the start")]
    Backward {
        /// The text.
        text: String,
    },
    /// There is no such protocol.
    #[error("invalid protocol of port {text:?}: it must be tcp, udp or sctp")]
    Protocol {
        /// The text.
        text: String,
    },
    /// What stands before the port is neither a port of the host nor an address with one.
    #[error(
        "invalid port {text:?}: before the container's port there may be ADDRESS:PORT: or PORT: of the host, though \
         EXPOSE does nothing with them"
    )]
    Host {
        /// The text.
        text: String,
    },
}

/// Parses one word of EXPOSE into its ports, in rising order.
///
/// An address and a port of the host before them are checked and dropped, as other builders do: they are a finding of
/// the rule `ExposeInvalidFormat`.
///
/// # Errors
/// [`PortError`].
pub fn parse(text: &str) -> Result<Vec<Port>, PortError> {
    let container = match text.rsplit_once(':') {
        None => text,
        Some((host, container)) if is_host(host) => container,
        Some(_) => return Err(PortError::Host { text: text.to_owned() }),
    };
    let (range, protocol) = container.split_once('/').unwrap_or((container, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" | "" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Err(PortError::Protocol { text: text.to_owned() }),
    };
    let (first, last) = numbers(range).ok_or_else(|| PortError::Number { text: text.to_owned() })?;
    if last < first {
        return Err(PortError::Backward { text: text.to_owned() });
    }
    Ok((first..=last).map(|number| Port { number, protocol }).collect())
}

/// A port, or a range of them.
fn numbers(range: &str) -> Option<(u16, u16)> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |part: &str| part.parse::<u16>().ok().filter(|_| !part.starts_with('+'));
    Some((number(first)?, number(last)?))
}

/// `PORT`, `ADDRESS:PORT` or `[ADDRESS]:PORT`; each part may be empty.
fn is_host(host: &str) -> bool {
    let (address, port) = host.rsplit_once(':').unwrap_or(("", host));
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    (bare.is_empty() || bare.parse::<IpAddr>().is_ok()) && (port.is_empty() || numbers(port).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_default_to_tcp_and_take_ranges() {
        let table = [
            ("80", "80/tcp"),
            ("80/tcp", "80/tcp"),
            ("80/", "80/tcp"),
            ("53/UDP", "53/udp"),
            ("7/sctp", "7/sctp"),
            ("8000-8002", "8000/tcp 8001/tcp 8002/tcp"),
            ("8000-8001/udp", "8000/udp 8001/udp"),
            ("65535", "65535/tcp"),
            ("8080:80", "80/tcp"),
            ("127.0.0.1:8080:80/udp", "80/udp"),
            ("127.0.0.1::80", "80/tcp"),
            ("[::1]:1-2:80-81", "80/tcp 81/tcp"),
        ];
        for (text, expected) in table {
            let found: Vec<String> = parse(text).unwrap().iter().map(Port::to_string).collect();
            assert_eq!(found.join(" "), expected, "{text}");
        }
        let rejects = [
            ("65536", "number up to"),
            ("", "number up to"),
            ("+80", "number up to"),
            ("80-", "number up to"),
            ("1-2-3", "number up to"),
            ("http", "number up to"),
            ("90-80", "before the start"),
            ("80/icmp", "protocol"),
            ("http:80", "of the host"),
            ("1.2.3:8080:80/tcp", "of the host"),
            ("8080:", "number up to"),
        ];
        for (text, part) in rejects {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

//! Ports of EXPOSE: `80`, `53/udp`, `8000-8010/tcp`.

use std::fmt;

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
    /// The text maps a port of the host.
    #[error(
        "invalid port {text:?}: EXPOSE names ports of the container only; ports of the host are chosen when it runs"
    )]
    HostMapping {
        /// The text.
        text: String,
    },
}

/// Parses one word of EXPOSE into its ports, in rising order.
///
/// # Errors
/// [`PortError`].
pub fn parse(text: &str) -> Result<Vec<Port>, PortError> {
    if text.contains(':') {
        return Err(PortError::HostMapping { text: text.to_owned() });
    }
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" | "" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Err(PortError::Protocol { text: text.to_owned() }),
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |part: &str| {
        part.parse::<u16>()
            .ok()
            .filter(|_| !part.starts_with('+'))
            .ok_or_else(|| PortError::Number { text: text.to_owned() })
    };
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(PortError::Backward { text: text.to_owned() });
    }
    Ok((first..=last).map(|number| Port { number, protocol }).collect())
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
            ("8080:80", "of the host"),
            ("127.0.0.1:8080:80/tcp", "of the host"),
        ];
        for (text, part) in rejects {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

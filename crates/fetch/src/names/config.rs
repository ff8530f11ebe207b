//! `/etc/resolv.conf`. Spec: resolv.conf(5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// Name servers that are used at most (glibc's `MAXNS`).
const MAX_SERVERS: usize = 3;
/// Search domains that are used at most: each costs a query for a name that does not exist.
const MAX_SEARCH: usize = 16;
/// Largest `ndots`, `timeout` and `attempts`, glibc's own caps.
const MAX_NDOTS: u64 = 15;
const MAX_TIMEOUT: u64 = 30;
const MAX_ATTEMPTS: u64 = 5;

/// Who is asked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolverConfig {
    /// Name servers in the order they are asked; at least one.
    pub(crate) servers: Vec<SocketAddr>,
    /// Domains that are added to names with few dots.
    pub(crate) search: Vec<String>,
    /// Names with at least so many dots are first asked as they are.
    pub(crate) ndots: usize,
    /// How long one server may take for one answer.
    pub(crate) timeout: Duration,
    /// How often the list of servers is gone through.
    pub(crate) attempts: usize,
    /// Only TCP is used.
    pub(crate) tcp: bool,
}

impl ResolverConfig {
    /// Reads what is understood and skips the rest, as the C library does; no name server means this machine.
    pub(crate) fn parse(text: &str) -> Self {
        let mut config = Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            tcp: false,
        };
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => config.servers.extend(words.next().and_then(server)),
                Some("domain") => config.search = words.next().map(str::to_owned).into_iter().collect(),
                Some("search") => config.search = words.take(MAX_SEARCH).map(str::to_owned).collect(),
                Some("options") => words.for_each(|option| config.set(option)),
                _ => {}
            }
        }
        config.servers.truncate(MAX_SERVERS);
        if config.servers.is_empty() {
            config.servers = vec![(Ipv4Addr::LOCALHOST, 53).into(), (Ipv6Addr::LOCALHOST, 53).into()];
        }
        config
    }

    fn set(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        let value = |most: u64| crate::header::number(value).map(|number| number.min(most));
        match name {
            "ndots" => self.ndots = value(MAX_NDOTS).map_or(self.ndots, |number| number as usize),
            "timeout" => self.timeout = value(MAX_TIMEOUT).map_or(self.timeout, |n| Duration::from_secs(n.max(1))),
            "attempts" => self.attempts = value(MAX_ATTEMPTS).map_or(self.attempts, |n| n.max(1) as usize),
            "use-vc" => self.tcp = true,
            _ => {}
        }
    }
}

/// An address as a name server line has it; `%` names the interface of a link-local one.
fn server(text: &str) -> Option<SocketAddr> {
    let Some((address, zone)) = text.split_once('%') else {
        return text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 53));
    };
    let index = zone.parse().ok().or_else(|| interface_index(zone))?;
    Some(SocketAddrV6::new(address.parse().ok()?, 53, 0, index).into())
}

fn interface_index(name: &str) -> Option<u32> {
    let plain = !name.contains('/') && name != "." && name != "..";
    plain.then(|| std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?.trim().parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let config = ResolverConfig::parse(
            "# generated\n;nameserver 9.9.9.9\nnameserver 10.0.0.2\nnameserver 2001:db8::1 # x\n nameserver fe80::1%7\n\
             nameserver 10.0.0.3\nnameserver nonsense\ndomain a.example\nsearch b.example c.example\n\
             options ndots:5 timeout:99 attempts:0 rotate use-vc ndots:x\n",
        );
        let servers: Vec<String> = config.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.2:53", "[2001:db8::1]:53", "[fe80::1%7]:53"]);
        assert_eq!(config.search, ["b.example", "c.example"]);
        assert_eq!((config.ndots, config.timeout, config.attempts, config.tcp), (5, Duration::from_secs(30), 1, true));
    }

    #[test]
    fn nothing_said_means_this_machine() {
        let config = ResolverConfig::parse("\0nameserver\nnameserver\n");
        assert_eq!(config.servers[0].to_string(), "127.0.0.1:53");
        assert_eq!((config.ndots, config.attempts, config.tcp), (1, 2, false));
    }
}

//! Host names to addresses, without the C library.
//!
//! A static binary must not call `getaddrinfo`: glibc's loads the host's NSS modules at run time. So the two files
//! every machine has are read here, `/etc/hosts` and `/etc/resolv.conf`, and the name servers are asked directly.
//! What only NSS modules know (mDNS, LDAP, containers of systemd-machined) is not found.

mod config;
pub(crate) mod dns;
mod hosts;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use thiserror::Error;

pub(crate) use config::ResolverConfig;
pub(crate) use hosts::Hosts;

/// Longest `/etc/hosts` or `/etc/resolv.conf` that is read, in bytes; block lists of 10 MB exist as hosts files.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// Why a host name leads to no address.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The name servers know the name not, or without an address.
    #[error("no such host, says {server}")]
    NotFound {
        /// Who said it.
        server: SocketAddr,
    },
    /// No name server gave an answer that can be used.
    #[error("no answer from {}: {reason}", shown(.servers))]
    NoAnswer {
        /// Who was asked.
        servers: Vec<SocketAddr>,
        /// What the last one did.
        reason: String,
    },
    /// The name cannot be asked for.
    #[error("malformed host name: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// A file that says who is asked cannot be read.
    #[error("cannot read {path:?}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl ResolveError {
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::NoAnswer { .. })
    }
}

fn shown(servers: &[SocketAddr]) -> String {
    servers.iter().map(|server| server.ip().to_string()).collect::<Vec<_>>().join(", ")
}

/// The files that say how names are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameFiles {
    /// Names with fixed addresses; usually `/etc/hosts`.
    pub hosts: PathBuf,
    /// The name servers; usually `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
}

impl Default for NameFiles {
    fn default() -> Self {
        Self { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into() }
    }
}

/// Looks names up, and remembers the answers as long as it lives: a command, not a daemon.
#[derive(Debug)]
pub(crate) struct Names {
    files: NameFiles,
    loaded: OnceLock<(Hosts, ResolverConfig)>,
    known: Mutex<HashMap<String, Vec<IpAddr>>>,
}

impl Names {
    pub(crate) fn new(files: NameFiles) -> Self {
        Self { files, loaded: OnceLock::new(), known: Mutex::default() }
    }

    #[cfg(test)]
    fn with(hosts: Hosts, config: ResolverConfig) -> Self {
        let names = Self::new(NameFiles::default());
        names.loaded.set((hosts, config)).unwrap();
        names
    }

    /// The addresses of `host`, at least one, in the order they should be tried.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub(crate) fn addresses(&self, host: &str, limit: Duration) -> Result<Vec<IpAddr>, ResolveError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Ok(vec![address]);
        }
        let name = bare.trim_end_matches('.').to_ascii_lowercase();
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(bare) {
            return Ok(known.clone());
        }
        let (hosts, config) = self.loaded()?;
        let found = match hosts.get(&name) {
            Some(addresses) => addresses.to_vec(),
            // RFC 6761, 6.3: a name server must never be asked for these.
            None if name == "localhost" || name.ends_with(".localhost") => {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            None => dns::look_up(config, bare, limit)?,
        };
        let ordered = order(found, has_route);
        tracing::debug!(host = bare, addresses = ?ordered, "resolved");
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(bare.to_owned(), ordered.clone());
        Ok(ordered)
    }

    fn loaded(&self) -> Result<&(Hosts, ResolverConfig), ResolveError> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let hosts = Hosts::parse(&read(&self.files.hosts)?);
        let config = ResolverConfig::parse(&read(&self.files.resolv_conf)?);
        Ok(self.loaded.get_or_init(|| (hosts, config)))
    }
}

/// A missing file is an empty one: both files may be absent in a container or a chroot.
fn read(path: &Path) -> Result<String, ResolveError> {
    let failed = |source| ResolveError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    match std::fs::File::open(path) {
        Ok(file) => io::Read::read_to_end(&mut io::Read::take(file, MAX_FILE), &mut bytes).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(failed(error)),
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether the kernel has a way to `address`: connecting a datagram socket sends nothing, but looks the route up.
fn has_route(address: IpAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, 9))).is_ok()
}

/// Addresses with a route first, the two families in turn with IPv6 first: the part of RFC 6724 and RFC 8305 that a
/// client which tries one address after another needs.
fn order(addresses: Vec<IpAddr>, has_route: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
    let mut seen = std::collections::HashSet::new();
    let unique: Vec<IpAddr> = addresses.into_iter().filter(|address| seen.insert(*address)).collect();
    let (routed, rest): (Vec<IpAddr>, Vec<IpAddr>) = unique.into_iter().partition(|address| has_route(*address));
    let (six, four): (Vec<IpAddr>, Vec<IpAddr>) = routed.into_iter().partition(IpAddr::is_ipv6);
    let mut ordered = Vec::with_capacity(six.len() + four.len() + rest.len());
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    loop {
        match (six.next(), four.next()) {
            (None, None) => break,
            (a, b) => ordered.extend(a.into_iter().chain(b)),
        }
    }
    ordered.extend(rest);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(text: &str) -> Vec<IpAddr> {
        text.split_whitespace().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn ordering() {
        let cases = [
            // found                         | without a route | tried
            ("1.1.1.1 1.1.1.2 ::1 ::2", "", "::1 1.1.1.1 ::2 1.1.1.2"),
            ("1.1.1.1 ::1 ::2", "::1 ::2", "1.1.1.1 ::1 ::2"),
            ("1.1.1.1 1.1.1.1", "1.1.1.1", "1.1.1.1"),
        ];
        for (found, dead, tried) in cases {
            assert_eq!(order(ips(found), |ip| !ips(dead).contains(&ip)), ips(tried), "{found}");
        }
    }

    #[test]
    fn literals_hosts_and_localhost_need_no_server() {
        let config = ResolverConfig { servers: vec!["127.0.0.1:1".parse().unwrap()], ..ResolverConfig::parse("") };
        let names = Names::with(Hosts::parse("10.0.0.1 box box.example\n"), config);
        let cases = [
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("Box", "10.0.0.1"),
            ("box.example.", "10.0.0.1"),
        ];
        for (host, expected) in cases {
            assert_eq!(names.addresses(host, Duration::from_secs(1)).unwrap(), ips(expected), "{host}");
        }
        for host in ["localhost", "a.localhost"] {
            let found = names.addresses(host, Duration::from_secs(1)).unwrap();
            assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty(), "{host}");
        }
    }

    #[test]
    fn missing_files_are_empty() {
        let files = NameFiles { hosts: "/nonexistent/hosts".into(), resolv_conf: "/nonexistent/resolv.conf".into() };
        let names = Names::new(files);
        assert_eq!(names.loaded().unwrap().1, ResolverConfig::parse(""));
        let names = Names::new(NameFiles { hosts: "/".into(), ..NameFiles::default() });
        assert!(matches!(names.loaded(), Err(ResolveError::File { .. })));
    }
}

//! `/etc/hosts`. Spec: hosts(5).

use std::collections::HashMap;
use std::net::IpAddr;

/// Names with fixed addresses, in the file's order.
#[derive(Debug, Default)]
pub(crate) struct Hosts(HashMap<String, Vec<IpAddr>>);

impl Hosts {
    /// Reads every line that has an address and a name; others are skipped, as the C library skips them.
    pub(crate) fn parse(text: &str) -> Self {
        let mut names: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(address) = words.next().and_then(|word| word.split('%').next()?.parse().ok()) else {
                continue;
            };
            for name in words {
                names.entry(name.trim_end_matches('.').to_ascii_lowercase()).or_default().push(address);
            }
        }
        Self(names)
    }

    /// The addresses of a name in lower case.
    pub(crate) fn get(&self, name: &str) -> Option<&[IpAddr]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let hosts = Hosts::parse(
            "127.0.0.1\tlocalhost\n::1 localhost ip6-localhost # comment name\n#1.2.3.4 off\nnonsense x\n1.2.3.4\n\
             fe80::1%eth0 link\n1.2.3.4 A.Example. b\r\n",
        );
        let cases = [
            // name        | addresses
            ("localhost", "127.0.0.1 ::1"),
            ("ip6-localhost", "::1"),
            ("a.example", "1.2.3.4"),
            ("b", "1.2.3.4"),
            ("link", "fe80::1"),
            ("off", ""),
            ("x", ""),
            ("name", ""),
        ];
        for (name, expected) in cases {
            let found: Vec<String> = hosts.get(name).unwrap_or_default().iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), expected, "{name}");
        }
    }
}

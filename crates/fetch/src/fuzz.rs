//! Entry points for the fuzzer: bytes in, invariants asserted.

use crate::names::{Hosts, ResolverConfig, dns};
use crate::{Proxies, Url, header};

/// Addresses: what parses shows no password, and joins and requests without a panic.
pub fn url(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(url) = Url::parse(&text) else {
        return;
    };
    if let Some((_, password)) = url.credentials().filter(|(_, password)| password.len() > 8) {
        let authority = url.to_string();
        let authority = authority.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next());
        assert!(!authority.unwrap_or_default().split('@').next().unwrap_or_default().contains(&password));
    }
    let _ = (url.file_name(), url.target(), url.host(), url.join(&text));
}

/// Answers of name servers.
pub fn dns_reply(data: &[u8]) {
    dns::fuzz(data);
}

/// The files and header values that are read as text.
pub fn texts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = Hosts::parse(&text);
    assert!(!ResolverConfig::parse(&text).servers.is_empty());
    let _ = header::http_date(&text);
    if let Some(range) = header::content_range(&text) {
        assert!(range.total.is_none_or(|total| range.start < total));
    }
    if let Ok(proxies) = Proxies::new(Some("h:1"), None, None, Some(&text)) {
        let _ = Url::parse("http://10.1.2.3/").map(|url| proxies.serving(&url).is_some());
    }
}

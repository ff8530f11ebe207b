//! Entry points for fuzzers: bytes in, invariants asserted.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Created, Digest, ImageConfig, ImageIndex, Manifest, Platform, Reference, chain_ids, from_json, to_json};

/// Documents: what reads, writes; and what was written reads as the same again.
pub fn documents(data: &[u8]) {
    settled::<Manifest>(data);
    settled::<ImageIndex>(data);
    if let Some(config) = settled::<ImageConfig>(data) {
        assert_eq!(chain_ids(&config.rootfs.diff_ids).len(), config.rootfs.diff_ids.len());
        assert!(config.layers_in_history() <= config.history.len());
    }
}

fn settled<T: DeserializeOwned + Serialize>(data: &[u8]) -> Option<T> {
    let document: T = from_json("the document", data).map_err(|error| assert!(!error.to_string().is_empty())).ok()?;
    let written = to_json(&document);
    let again: T = from_json("the document", &written).expect("what we write, we read");
    assert_eq!(to_json(&again), written, "a digest would move");
    Some(document)
}

/// Names, digests, platforms and times: what parses, prints as something that parses as the same.
pub fn words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(reference) = Reference::parse(&text) {
        for spelling in [reference.to_string(), reference.familiar()] {
            assert_eq!(Reference::parse(&spelling).as_ref(), Ok(&reference), "{spelling:?}");
        }
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(platform.to_string().parse().as_ref(), Ok(&platform));
        assert!(platform.matches(&platform.normalized()));
    }
    if let Ok(created) = text.parse::<Created>() {
        assert_eq!(created.to_string().parse(), Ok(created));
        assert_eq!(Created::new(created.seconds(), created.nanoseconds()), created);
    }
}

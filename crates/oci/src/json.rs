//! JSON in and out, bounded.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The largest JSON document that is read, in bytes: what registries accept for a manifest (4 MiB), and
/// more than any config that anybody has shown. A larger one is an attack or a mistake.
pub const MAX_JSON: usize = 4 * 1024 * 1024;

/// Why bytes are not the document that they should be.
#[derive(Debug, Error)]
pub enum JsonError {
    /// More bytes than [`MAX_JSON`].
    #[error("{what} of {size} bytes is larger than {MAX_JSON}")]
    TooLarge {
        /// The document: "manifest", "image config".
        what: &'static str,
        /// Its size in bytes.
        size: usize,
    },
    /// No JSON, or another shape.
    #[error("{what} is malformed at line {}, column {}: {source}", source.line(), source.column())]
    Malformed {
        /// The document.
        what: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
}

/// Reads a document from bytes of foreign origin; `what` names it in errors.
///
/// # Errors
/// [`JsonError`].
pub fn from_json<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, JsonError> {
    if bytes.len() > MAX_JSON {
        return Err(JsonError::TooLarge { what, size: bytes.len() });
    }
    serde_json::from_slice(bytes).map_err(|source| JsonError::Malformed { what, source })
}

/// Writes a document that we make, in the one form that its digest is taken of: compact, fields in the order of their types.
///
/// # Panics
/// Never for the types of this crate: they have string keys and no failing serialiser.
#[must_use]
pub fn to_json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("OCI types have string keys and infallible serialisers")
}

/// Fields that Docker writes as `null` where they are empty.
pub(crate) fn null_as_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + serde::Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    <Option<T> as serde::Deserialize>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Sets that JSON spells as an object with empty objects for values: `{"80/tcp": {}}`.
pub(crate) mod set {
    use std::collections::{BTreeMap, BTreeSet};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Empty {}

    pub(crate) fn serialize<S: Serializer>(set: &BTreeSet<String>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(set.iter().map(|key| (key, Empty {})))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
        let map = Option::<BTreeMap<String, serde::de::IgnoredAny>>::deserialize(deserializer)?;
        Ok(map.unwrap_or_default().into_keys().collect())
    }
}

/// A list of words that old Docker versions wrote as one string: `"Cmd": "/bin/sh"`.
pub(crate) fn words<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Words {
        List(Vec<String>),
        One(String),
    }
    Ok(<Option<Words> as serde::Deserialize>::deserialize(deserializer)?.map(|words| match words {
        Words::List(list) => list,
        Words::One(word) => vec![word],
    }))
}

//! Names of keys.

use std::{fmt, str::FromStr};

use sequoia_openpgp::{Fingerprint as Raw, KeyHandle};

/// The fingerprint of a key: 40 upper-case hexadecimal digits (version 4), or 64 (version 6).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn of(raw: &Raw) -> Fingerprint {
        Fingerprint(raw.to_hex())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says that a word is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is no fingerprint: expected 40 or 64 hexadecimal digits")]
pub struct FingerprintError {
    /// What was given.
    pub word: String,
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Reads 40 or 64 hexadecimal digits of either case; blanks between them, as `gpg` prints them, are skipped.
    fn from_str(word: &str) -> Result<Fingerprint, FingerprintError> {
        let digits: String = word.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_uppercase()).collect();
        if matches!(digits.len(), 40 | 64) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Fingerprint(digits))
        } else {
            Err(FingerprintError { word: word.chars().take(80).collect() })
        }
    }
}

/// What a signature says about its maker: a fingerprint, the 16 digits of a key ID, or nothing.
///
/// It is a hint by which the key is looked up; only [`Fingerprint`]s of verified signatures mean something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Issuer(Option<String>);

impl Issuer {
    /// The digits, if the signature names its maker.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The most telling of several handles: a fingerprint before a key ID.
    pub(crate) fn of(handles: &[KeyHandle]) -> Issuer {
        let fingerprint = handles.iter().find(|handle| matches!(handle, KeyHandle::Fingerprint(_)));
        Issuer(fingerprint.or(handles.first()).map(KeyHandle::to_hex))
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str().unwrap_or("a key that the signature does not name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_digits() {
        let spaced = "F6EC B376 2474 EDA9 D21B  7022 8719 20D1 991B C93C";
        for (word, expected) in [
            ("f6ecb3762474eda9d21b7022871920d1991bc93c", Some("F6ECB3762474EDA9D21B7022871920D1991BC93C")),
            (spaced, Some("F6ECB3762474EDA9D21B7022871920D1991BC93C")),
            ("871920D1991BC93C", None),
            ("", None),
            ("g6ecb3762474eda9d21b7022871920d1991bc93c", None),
            ("é6ecb3762474eda9d21b7022871920d1991bc93", None),
        ] {
            let found = word.parse::<Fingerprint>();
            assert_eq!(found.as_ref().ok().map(Fingerprint::as_str), expected, "{word}");
        }
    }
}

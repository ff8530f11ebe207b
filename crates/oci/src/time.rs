//! Moments as image configs spell them: RFC 3339.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why text is not a moment.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not a time of RFC 3339, section 5.6")]
pub struct CreatedError {
    text: String,
}

/// A moment: `2024-01-02T03:04:05.5Z`. Between the years -9999 and 9999; shown in UTC without trailing zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Created(Timestamp);

impl Created {
    /// A whole second since 1970-01-01 00:00 UTC, brought to the nearest one that RFC 3339 can say.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        Self::new(seconds, 0)
    }

    /// A second and nanoseconds after it, brought to the nearest moment that RFC 3339 can say.
    #[must_use]
    pub fn new(seconds: i64, nanoseconds: u32) -> Self {
        let bounded = seconds.clamp(Timestamp::MIN.as_second() + 1, Timestamp::MAX.as_second());
        let nanoseconds = i32::try_from(nanoseconds.min(999_999_999)).unwrap_or_default();
        Self(Timestamp::new(bounded, nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub fn seconds(self) -> i64 {
        // jiff's subsecond part has the sign of the whole.
        self.0.as_second() - i64::from(self.0.subsec_nanosecond() < 0)
    }

    /// Nanoseconds after [`Created::seconds`].
    #[must_use]
    pub fn nanoseconds(self) -> u32 {
        let nanoseconds = self.0.subsec_nanosecond();
        u32::try_from(if nanoseconds < 0 { nanoseconds + 1_000_000_000 } else { nanoseconds }).unwrap_or_default()
    }
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Created {
    type Err = CreatedError;

    fn from_str(text: &str) -> Result<Self, CreatedError> {
        text.parse().map(Self).map_err(|_| CreatedError { text: text.chars().take(64).collect() })
    }
}

impl Serialize for Created {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Created {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_go_there_and_back() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0, 0, "1970-01-01T00:00:00Z"),
            ("0001-01-01T00:00:00Z", -62_135_596_800, 0, "0001-01-01T00:00:00Z"),
            ("2024-01-02T03:04:05.500Z", 1_704_164_645, 500_000_000, "2024-01-02T03:04:05.5Z"),
            ("2024-01-02T05:04:05.123456789+02:00", 1_704_164_645, 123_456_789, "2024-01-02T03:04:05.123456789Z"),
            ("1969-12-31T23:59:59.25Z", -1, 250_000_000, "1969-12-31T23:59:59.25Z"),
        ];
        for (text, seconds, nanoseconds, shown) in cases {
            let created: Created = text.parse().unwrap();
            assert_eq!((created.seconds(), created.nanoseconds()), (seconds, nanoseconds), "{text}");
            assert_eq!(created.to_string(), shown);
            assert_eq!(Created::new(seconds, nanoseconds), created);
        }
        assert!("yesterday".parse::<Created>().is_err());
        let _ = Created::new(i64::MAX, u32::MAX).to_string();
        let _ = Created::new(i64::MIN, 0).to_string();
    }
}

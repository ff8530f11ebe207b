//! Durations as Go writes them: `1h30m`, `1.5s`, `300ms`.

use std::time::Duration;

/// A text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// The text is malformed.
    #[error("invalid duration {text:?}; write a number with a unit, such as 30s or 1m30s")]
    Malformed {
        /// The text.
        text: String,
    },
    /// A number has no unit.
    #[error("missing unit in duration {text:?}; write for instance {text}s")]
    NoUnit {
        /// The text.
        text: String,
    },
    /// There is no such unit.
    #[error("unknown unit {unit:?} in duration {text:?}; the units are ns, us, ms, s, m and h")]
    Unit {
        /// The text.
        text: String,
        /// The unit.
        unit: String,
    },
    /// The duration does not fit into 63 bits of nanoseconds (292 years).
    #[error("duration {text:?} is too long")]
    Overflow {
        /// The text.
        text: String,
    },
    /// The duration is negative, or shorter than a millisecond.
    #[error("duration {text:?} is shorter than 1ms")]
    TooShort {
        /// The text.
        text: String,
    },
}

/// Parses a duration that is not negative.
///
/// Spec: Go, `time.ParseDuration`.
///
/// # Errors
/// [`DurationError`]; a negative duration is [`DurationError::TooShort`].
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let malformed = || DurationError::Malformed { text: text.to_owned() };
    let overflow = || DurationError::Overflow { text: text.to_owned() };
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(malformed());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(malformed());
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let scale: u128 = match unit {
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => return Err(DurationError::NoUnit { text: text.to_owned() }),
            _ => return Err(DurationError::Unit { text: text.to_owned(), unit: unit.to_owned() }),
        };
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().map_err(|_| overflow())?.into() };
        // More than 18 digits of a fraction are below a nanosecond even of an hour.
        let kept = &fraction[..fraction.len().min(18)];
        let part: u128 = if kept.is_empty() {
            0
        } else {
            u128::from(kept.parse::<u64>().map_err(|_| overflow())?) * scale / 10_u128.pow(kept.len() as u32)
        };
        total += whole * scale + part;
        if total > i64::MAX as u128 {
            return Err(overflow());
        }
        rest = next;
    }
    if negative && total > 0 {
        return Err(DurationError::TooShort { text: text.to_owned() });
    }
    let nanos = u64::try_from(total).map_err(|_| overflow())?;
    Ok(Duration::from_nanos(nanos))
}

/// Parses an interval of HEALTHCHECK: zero means "the default", else at least a millisecond.
///
/// # Errors
/// [`DurationError`].
pub fn parse_interval(text: &str) -> Result<Option<Duration>, DurationError> {
    let duration = parse(text)?;
    if duration.is_zero() {
        return Ok(None);
    }
    if duration < Duration::from_millis(1) {
        return Err(DurationError::TooShort { text: text.to_owned() });
    }
    Ok(Some(duration))
}

/// Writes a duration so that [`parse`] reads the same one.
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    for (unit, scale) in
        [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)]
    {
        if nanos > 0 && nanos.is_multiple_of(scale) {
            return format!("{}{unit}", nanos / scale);
        }
    }
    format!("{nanos}ns")
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        let table = [
            ("0", Ok(0)),
            ("+0", Ok(0)),
            ("-0", Ok(0)),
            ("0s", Ok(0)),
            ("30s", Ok(30_000_000_000)),
            ("1m30s", Ok(90_000_000_000)),
            ("1h", Ok(3_600_000_000_000)),
            ("1.5s", Ok(1_500_000_000)),
            (".5s", Ok(500_000_000)),
            ("5.s", Ok(5_000_000_000)),
            ("300ms", Ok(300_000_000)),
            ("10us", Ok(10_000)),
            ("10\u{b5}s", Ok(10_000)),
            ("1ns", Ok(1)),
            ("9223372036854775807ns", Ok(i64::MAX as u64)),
            ("9223372036854775808ns", Err("too long")),
            ("99999999999999999999s", Err("too long")),
            ("", Err("invalid")),
            ("-", Err("invalid")),
            (".s", Err("invalid")),
            ("s", Err("invalid")),
            ("3", Err("missing unit")),
            ("3d", Err("unknown unit")),
            ("3 s", Err("unknown unit")),
            ("-1s", Err("shorter")),
        ];
        for (text, expected) in table {
            match (parse(text), expected) {
                (Ok(found), Ok(nanos)) => assert_eq!(found.as_nanos(), u128::from(nanos), "{text}"),
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{text}: {error}");
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn intervals_have_a_floor_of_one_millisecond() {
        assert_eq!(parse_interval("0s"), Ok(None));
        assert_eq!(parse_interval("1ms"), Ok(Some(Duration::from_millis(1))));
        assert!(parse_interval("999us").is_err());
    }

    proptest::proptest! {
        #[test]
        fn format_parses_back(nanos in 0..=i64::MAX as u64) {
            let duration = Duration::from_nanos(nanos);
            proptest::prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}

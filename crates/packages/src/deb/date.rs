//! Dates as `Release` files have them: `Sat, 10 Jun 2023 08:58:46 UTC`.

use thiserror::Error;

/// The months as they are written.
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
/// Years of four digits, from the epoch on.
const YEARS: std::ops::RangeInclusive<i64> = 1970..=9999;

/// Why text is not a date.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("date {text:?}: expected a form such as \"Sat, 10 Jun 2023 08:58:46 UTC\"")]
pub struct DateError {
    text: String,
}

/// Reads a date and gives seconds since 1970. The day of the week may be missing; it is not compared with the date.
///
/// The zone is `UTC`, `GMT`, `Z` or an offset such as `+0200`.
///
/// Spec: RFC 5322 3.3, without its obsolete forms.
///
/// # Errors
/// Another form, a day that does not exist, a year before 1970.
pub fn parse(text: &str) -> Result<i64, DateError> {
    read(text).ok_or_else(|| DateError { text: text.chars().take(60).collect() })
}

fn read(text: &str) -> Option<i64> {
    let mut words = text.split_ascii_whitespace().peekable();
    if let Some(day) = words.peek().and_then(|word| word.strip_suffix(',')) {
        WEEKDAYS.iter().find(|known| known.eq_ignore_ascii_case(day))?;
        words.next();
    }
    let day = number(words.next()?, 1..=2)?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|known| known.eq_ignore_ascii_case(month))?;
    let year = number(words.next()?, 4..=4)?;
    let mut clock = words.next()?.split(':').map(|part| number(part, 1..=2));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let offset = zone(words.next()?)?;
    if words.next().is_some() || clock.next().is_some() || !YEARS.contains(&year) {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        1 if leap => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    if !(1..=longest).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days(year, month as i64 + 1, day) * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<i64> {
    (digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn zone(text: &str) -> Option<i64> {
    if matches!(text, "UTC" | "GMT" | "Z" | "UT") {
        return Some(0);
    }
    let (sign, digits) = text.split_at_checked(1)?;
    let digits = number(digits, 4..=4)?;
    let (hours, minutes) = (digits / 100, digits % 100);
    let seconds = (hours <= 14 && minutes < 60).then_some(hours * 3600 + minutes * 60)?;
    match sign {
        "+" => Some(seconds),
        "-" => Some(-seconds),
        _ => None,
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar; a year begins in March, so that the leap day ends one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// Prints seconds since 1970 in the form that `Release` files have, in UTC; outside the years 1970 to 9999 the nearest
/// such date.
#[must_use]
pub fn print(seconds: i64) -> String {
    let seconds = seconds.clamp(0, days(9999, 12, 31) * 86_400 + 86_399);
    let (day, clock) = (seconds / 86_400, seconds % 86_400);
    // The year that holds the day: the estimate is never too small, and at most one too large.
    let mut year = day / 365 + 1970;
    while days(year, 1, 1) > day {
        year -= 1;
    }
    let month = (1..=12).rev().find(|&month| days(year, month, 1) <= day).unwrap_or(1);
    format!(
        "{}, {:02} {} {year:04} {:02}:{:02}:{:02} UTC",
        WEEKDAYS.get((day % 7) as usize).copied().unwrap_or_default(),
        day - days(year, month, 1) + 1,
        MONTHS.get(month as usize - 1).copied().unwrap_or_default(),
        clock / 3600,
        clock / 60 % 60,
        clock % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates() {
        let cases = [
            ("Thu, 01 Jan 1970 00:00:00 UTC", 0),
            ("Sat, 10 Jun 2023 08:58:46 UTC", 1_686_387_526),
            ("Sat, 10 Jun 2023 08:58:46 GMT", 1_686_387_526),
            ("Sat,  3 Jun 2023  8:08:46 UTC", 1_685_779_726),
            ("10 Jun 2023 10:58:46 +0200", 1_686_387_526),
            ("10 jun 2023 05:28:46 -0330", 1_686_387_526),
            ("Thu, 29 Feb 2024 23:59:60 Z", 1_709_251_200),
            ("Fri, 31 Dec 9999 23:59:59 UTC", 253_402_300_799),
        ];
        for (text, seconds) in cases {
            assert_eq!(parse(text), Ok(seconds), "{text}");
        }
        let bad = [
            "",
            "Sat, 10 Jun 2023",
            "Sat, 31 Jun 2023 08:58:46 UTC",
            "Wed, 29 Feb 2023 08:58:46 UTC",
            "Sat, 10 Jun 23 08:58:46 UTC",
            "Sat, 10 Jun 1969 08:58:46 UTC",
            "Sat, 10 Jun 2023 24:00:00 UTC",
            "Sat, 10 Jun 2023 08:58:46 CEST",
            "Sat, 10 Jun 2023 08:58:46",
            "Sat, 10 Jun 2023 08:58:46 UTC x",
            "Sat, 10 Jun 2023 08:58:46:1 UTC",
            "Foo, 10 Jun 2023 08:58:46 UTC",
            "2023-06-10T08:58:46Z",
            "Sat, 10 Jun 2023 08:58:46 +\u{e9}00",
        ];
        for text in bad {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_as_the_same(seconds in 0i64..=253_402_300_799) {
            prop_assert_eq!(parse(&print(seconds)), Ok(seconds));
        }
    }
}

//! Names and numbers of signals, as STOPSIGNAL takes them.

/// A text is no signal of Linux.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid signal {text:?}{}", .suggestion.as_ref().map_or_else(String::new, |near| format!(" (did you mean {near:?}?)")))]
pub struct SignalError {
    /// The text.
    pub text: String,
    /// A near name.
    pub suggestion: Option<String>,
}

/// The signals by number, from 1, as x86-64 and arm64 number them.
///
/// Source: signal(7), "Signal numbering for standard signals".
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// Second names of signals.
const ALIASES: [(&str, u8); 4] = [("IOT", 6), ("CLD", 17), ("POLL", 29), ("UNUSED", 31)];

/// The first real-time signal of the C libraries and the last of the kernel.
const REAL_TIME: (u8, u8) = (34, 64);

/// Parses a signal: a number from 1 to 64, or a name with or without `SIG`, in any case.
///
/// # Errors
/// [`SignalError`] where there is no such signal.
pub fn parse(text: &str) -> Result<u8, SignalError> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse::<u8>() {
            Ok(number @ 1..=64) => Ok(number),
            _ => Err(SignalError { text: text.to_owned(), suggestion: None }),
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(index) = NAMES.iter().position(|known| *known == name) {
        return Ok(index as u8 + 1);
    }
    if let Some((_, number)) = ALIASES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    real_time(name).ok_or_else(|| SignalError {
        text: text.to_owned(),
        suggestion: crate::suggest::nearest(name, NAMES).map(|near| format!("SIG{near}")),
    })
}

/// Reads `RTMIN`, `RTMIN+n`, `RTMAX` and `RTMAX-n`.
fn real_time(name: &str) -> Option<u8> {
    let (first, last) = REAL_TIME;
    let number = |text: &str| text.parse::<u8>().ok().filter(|_| !text.starts_with('+'));
    let signal = if let Some(rest) = name.strip_prefix("RTMIN") {
        match rest.strip_prefix('+') {
            Some(offset) => first.checked_add(number(offset)?)?,
            None if rest.is_empty() => first,
            None => return None,
        }
    } else {
        let rest = name.strip_prefix("RTMAX")?;
        match rest.strip_prefix('-') {
            Some(offset) => last.checked_sub(number(offset)?)?,
            None if rest.is_empty() => last,
            None => return None,
        }
    };
    (first..=last).contains(&signal).then_some(signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_numbers_and_names() {
        let table = [
            ("9", Some(9)),
            ("SIGKILL", Some(9)),
            ("kill", Some(9)),
            ("SigTerm", Some(15)),
            ("SIGIOT", Some(6)),
            ("SIGSYS", Some(31)),
            ("SIGWINCH", Some(28)),
            ("RTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("SIGRTMAX-30", Some(34)),
            ("SIGRTMAX-31", None),
            ("SIGRTMIN+31", None),
            ("SIGRTMIN++1", None),
            ("64", Some(64)),
            ("65", None),
            ("0", None),
            ("-9", None),
            ("", None),
            ("SIG", None),
            ("SIGFOO", None),
            ("999999999999", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text).ok(), expected, "{text:?}");
        }
        assert_eq!(parse("SIGTREM").unwrap_err().suggestion.as_deref(), Some("SIGTERM"));
    }
}

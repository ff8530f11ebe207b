//! `--chmod`: octal modes, and changes such as `u+x,go=rX`.

use crate::error::StepError;

/// A parsed `--chmod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModeChange {
    /// The mode itself.
    Set(u32),
    /// Changes, applied in order.
    Symbolic(Vec<Clause>),
}

/// One `[ugoa...][+-=][rwxXst...]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    user: bool,
    group: bool,
    other: bool,
    operator: char,
    letters: String,
}

impl ModeChange {
    /// Parses the value of the flag.
    ///
    /// Spec: Dockerfile reference, "COPY --chmod": octal up to 07777, or symbolic.
    pub(crate) fn parse(text: &str) -> Result<Self, StepError> {
        let fault = || StepError::Mode { text: text.to_owned() };
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).map_err(|_| fault())?;
            return if mode <= 0o7777 { Ok(Self::Set(mode)) } else { Err(fault()) };
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            let end = part.find(['+', '-', '=']).ok_or_else(fault)?;
            let (who, mut rest) = part.split_at(end);
            let whom = |letter| who.is_empty() || who.contains('a') || who.contains(letter);
            if !who.chars().all(|c| "ugoa".contains(c)) {
                return Err(fault());
            }
            // `u+r-w` has two operators for the same people.
            while let Some(operator) = rest.chars().next() {
                let tail = &rest[1..];
                let end = tail.find(['+', '-', '=']).unwrap_or(tail.len());
                let letters = &tail[..end];
                if !letters.chars().all(|c| "rwxXst".contains(c)) {
                    return Err(fault());
                }
                clauses.push(Clause {
                    user: whom('u'),
                    group: whom('g'),
                    other: whom('o'),
                    operator,
                    letters: letters.to_owned(),
                });
                rest = &tail[end..];
            }
        }
        Ok(Self::Symbolic(clauses))
    }

    /// The mode of an entry that had `mode`.
    pub(crate) fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let clauses = match self {
            Self::Set(mode) => return *mode,
            Self::Symbolic(clauses) => clauses,
        };
        clauses.iter().fold(mode, |mode, clause| clause.apply(mode, is_directory))
    }
}

impl Clause {
    fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let mut bits = 0;
        for letter in self.letters.chars() {
            let triple = match letter {
                'r' => 0o4,
                'w' => 0o2,
                'x' => 0o1,
                // Only where it makes sense: directories, and files that someone may execute already.
                'X' if is_directory || mode & 0o111 != 0 => 0o1,
                _ => 0,
            };
            for (chosen, shift) in [(self.user, 6), (self.group, 3), (self.other, 0)] {
                bits |= if chosen { triple << shift } else { 0 };
            }
            match letter {
                's' => bits |= if self.user { 0o4000 } else { 0 } | if self.group { 0o2000 } else { 0 },
                't' => bits |= 0o1000,
                _ => {}
            }
        }
        let mut all = 0;
        for (chosen, mask) in [(self.user, 0o4700), (self.group, 0o2070), (self.other, 0o1007)] {
            all |= if chosen { mask } else { 0 };
        }
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => (mode & !all) | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_or_symbolic() {
        // text | before | directory | after
        let table = [
            ("755", 0o644, false, 0o755),
            ("0000", 0o644, false, 0),
            ("07777", 0o644, true, 0o7777),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("a=rX", 0o600, false, 0o444),
            ("a=rX", 0o700, true, 0o555),
            ("u=rwX,go=rX", 0o777, false, 0o755),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("go-w", 0o666, false, 0o644),
            ("u+s,g+s", 0o755, false, 0o6755),
            ("+t", 0o777, true, 0o1777),
            ("g=", 0o777, false, 0o707),
            ("u+r-w", 0o200, false, 0o400),
            ("u=r", 0o4755, false, 0o455),
        ];
        for (text, before, directory, after) in table {
            let found = ModeChange::parse(text).unwrap().apply(before, directory);
            assert_eq!(found, after, "{text} on {before:o}: {found:o}");
        }
        for text in ["", "8", "10000", "77777", "x", "u", "u+q", "z+x", "u+x,", "0o7", "-1x,", "u x"] {
            assert!(ModeChange::parse(text).is_err(), "{text:?}");
        }
    }
}

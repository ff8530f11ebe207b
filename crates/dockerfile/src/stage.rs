//! Names of build stages.

use std::fmt;

/// The name of a build stage, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageName(String);

/// A text is not a name of a stage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid stage name {name:?}: it must begin with a letter and consist of letters, digits, \"-\", \"_\" and \".\""
)]
pub struct StageNameError {
    /// The text.
    pub name: String,
}

impl StageName {
    /// Parses a name; upper case becomes lower case.
    ///
    /// Spec: `^[a-z][a-z0-9-_.]*$` after lower-casing.
    ///
    /// # Errors
    /// [`StageNameError`] where the text does not fit.
    pub fn parse(text: &str) -> Result<StageName, StageNameError> {
        let name = text.to_lowercase();
        let mut chars = name.chars();
        let fits = chars.next().is_some_and(|c| c.is_ascii_lowercase())
            && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c));
        if fits { Ok(StageName(name)) } else { Err(StageNameError { name: text.to_owned() }) }
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether the name is one that is never looked up as a stage.
    pub fn is_reserved(&self) -> bool {
        matches!(self.0.as_str(), "scratch" | "context")
    }
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_cased_and_checked() {
        let table = [
            ("Build", Some("build")),
            ("a-b_c.d9", Some("a-b_c.d9")),
            ("1a", None),
            ("", None),
            ("a/b", None),
            ("-a", None),
            ("ä", None),
        ];
        for (text, expected) in table {
            assert_eq!(StageName::parse(text).ok().as_ref().map(StageName::as_str), expected, "{text}");
        }
    }
}

//! `# check=`: which rules are skipped, which experimental ones are asked for, and whether findings fail the build.

use std::collections::BTreeSet;

use crate::rule::Rule;
use crate::suggest;
use crate::warning::Warning;

/// What a file, or the build argument in its place, says about checks.
///
/// Spec: Dockerfile reference, "check": `skip=A,B|all`, `error=true`, `experimental=A|all`, parted by semicolons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    skip: Names,
    experimental: Names,
    /// Whether findings fail the build.
    pub error: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    Some(BTreeSet<String>),
    All,
}

impl Default for Names {
    fn default() -> Names {
        Names::Some(BTreeSet::new())
    }
}

impl Names {
    fn parse(value: &str) -> Names {
        match value.trim() {
            "all" => Names::All,
            list => Names::Some(list.split(',').map(|name| name.trim().to_owned()).collect()),
        }
    }

    fn has(&self, rule: Rule) -> bool {
        match self {
            Names::All => true,
            Names::Some(names) => names.contains(rule.name()),
        }
    }

    fn unknown(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Names::All => None,
            Names::Some(names) => Some(names.iter().map(String::as_str)),
        };
        names.into_iter().flatten().filter(|name| !name.is_empty() && Rule::from_name(name).is_none())
    }
}

/// Options of checks cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckOptionsError {
    /// There is no such option.
    #[error("invalid check option {option:?}: there are skip, error and experimental{}", near(.suggestion))]
    Option {
        /// The option.
        option: String,
        /// A near one.
        suggestion: Option<&'static str>,
    },
    /// `error` is neither true nor false.
    #[error("invalid check option \"error={value}\": expected true or false")]
    Error {
        /// The value.
        value: String,
    },
}

fn near(suggestion: &Option<&'static str>) -> String {
    suggestion.map_or_else(String::new, |near| format!(" (did you mean {near:?}?)"))
}

impl CheckOptions {
    /// Reads the value of the directive.
    ///
    /// # Errors
    /// [`CheckOptionsError`].
    pub fn parse(text: &str) -> Result<CheckOptions, CheckOptionsError> {
        let mut options = CheckOptions::default();
        if text.trim().is_empty() {
            return Ok(options);
        }
        for part in text.splitn(3, ';') {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key.trim() {
                "skip" if part.contains('=') => options.skip = Names::parse(value),
                "experimental" if part.contains('=') => options.experimental = Names::parse(value),
                "error" if part.contains('=') => {
                    options.error = match value.trim() {
                        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
                        "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
                        value => return Err(CheckOptionsError::Error { value: value.to_owned() }),
                    };
                }
                option => {
                    return Err(CheckOptionsError::Option {
                        option: option.to_owned(),
                        suggestion: suggest::nearest(option, ["skip", "error", "experimental"]),
                    });
                }
            }
        }
        Ok(options)
    }

    /// Names that are no rules, each with a near one. They are not errors: a newer tool may know them.
    pub fn unknown(&self) -> Vec<(&str, Option<&'static str>)> {
        let names = self.skip.unknown().chain(self.experimental.unknown());
        names.map(|name| (name, suggest::nearest(name, Rule::ALL.map(Rule::name)))).collect()
    }

    /// Whether a finding is wanted.
    pub(crate) fn wants(&self, warning: &Warning) -> bool {
        let rule = warning.rule();
        // `skip=all` does not skip what was asked for by name.
        if rule.is_experimental() { self.experimental.has(rule) } else { !self.skip.has(rule) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Position, Span, WarningKind};

    #[test]
    fn options_are_read_as_the_directive_has_them() {
        let span = Span { start: Position::START, end: Position::START };
        let plain = Warning { span, kind: WarningKind::MaintainerDeprecated };
        let experimental =
            Warning { span, kind: WarningKind::Description { instruction: "ARG", name: "A".to_owned() } };
        let table = [
            ("", true, false, false),
            ("skip=all", false, false, false),
            ("skip=StageNameCasing, MaintainerDeprecated", false, false, false),
            ("skip=StageNameCasing", true, false, false),
            ("error=true", true, false, true),
            ("skip=all;error=true", false, false, true),
            ("skip=all;experimental=InvalidDefinitionDescription;error=0", false, true, false),
            ("experimental=all", true, true, false),
            ("skip=InvalidDefinitionDescription;experimental=all", true, true, false),
        ];
        for (text, first, second, error) in table {
            let options = CheckOptions::parse(text).unwrap();
            let found = (options.wants(&plain), options.wants(&experimental), options.error);
            assert_eq!(found, (first, second, error), "{text}");
        }
        for (text, part) in [
            ("skp=all", "did you mean \"skip\""),
            ("skip", "did you mean \"skip\""),
            ("error=maybe", "true or false"),
            ("a=b", "\"a\""),
        ] {
            let error = CheckOptions::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let options = CheckOptions::parse("skip=StageNameCassing").unwrap();
        assert_eq!(options.unknown(), [("StageNameCassing", Some("StageNameCasing"))]);
    }
}

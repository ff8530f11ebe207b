//! The `--change` lines of `import` and `commit`.

use crate::error::{ParseError, ParseErrorKind};
use crate::instruction::Instruction;
use crate::parse::{keyword_of, parse_one};
use crate::suggest;

/// The instructions that a change may be. SHELL is ours; Docker has the others.
const KEYWORDS: [&str; 12] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// A change cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The instruction is not one that a change may be.
    #[error("{name} is not a valid change command{}", .suggestion.map_or_else(String::new, |near| format!(" (did you mean {near}?)")))]
    NotAllowed {
        /// The word as written.
        name: String,
        /// A near instruction.
        suggestion: Option<&'static str>,
    },
    /// The line is empty.
    #[error("a change is empty; write for instance CMD [\"sh\"]")]
    Empty,
    /// The line does not parse.
    #[error("change {text:?}")]
    Parse {
        /// The line.
        text: String,
        /// Why.
        #[source]
        source: ParseError,
    },
}

/// Parses one change.
///
/// # Errors
/// [`ChangeError`].
pub fn parse(text: &str) -> Result<Instruction, ChangeError> {
    let name = keyword_of(text);
    if name.is_empty() {
        return Err(ChangeError::Empty);
    }
    if !KEYWORDS.iter().any(|known| name.eq_ignore_ascii_case(known)) {
        // A right instruction at the wrong place needs no other one.
        let suggestion = match parse_one(text) {
            Err(ParseError { kind: ParseErrorKind::UnknownInstruction { .. }, .. }) => suggest::nearest(name, KEYWORDS),
            _ => None,
        };
        return Err(ChangeError::NotAllowed { name: name.to_owned(), suggestion });
    }
    match parse_one(text) {
        Ok(node) => Ok(node.instruction),
        Err(source) => Err(ChangeError::Parse { text: text.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instruction::CommandLine;

    #[test]
    fn changes_are_instructions() {
        let table = [
            ("CMD [\"bash\"]", "CMD"),
            ("cmd bash", "CMD"),
            ("ENTRYPOINT [\"/x\"]", "ENTRYPOINT"),
            ("ENV A=b C=d", "ENV"),
            ("ENV DEBUG true", "ENV"),
            ("EXPOSE 80", "EXPOSE"),
            ("HEALTHCHECK NONE", "HEALTHCHECK"),
            ("LABEL a=b", "LABEL"),
            ("ONBUILD RUN x", "ONBUILD"),
            ("STOPSIGNAL 9", "STOPSIGNAL"),
            ("USER nobody", "USER"),
            ("VOLUME /v", "VOLUME"),
            ("WORKDIR /w", "WORKDIR"),
            ("SHELL [\"/bin/bash\", \"-c\"]", "SHELL"),
        ];
        for (text, keyword) in table {
            assert_eq!(parse(text).map(|i| i.keyword()), Ok(keyword), "{text}");
        }
        let exec = Instruction::Cmd(CommandLine::Exec(vec!["bash".into()]));
        assert_eq!(parse("CMD [\"bash\"]"), Ok(exec));
    }

    #[test]
    fn anything_else_is_refused() {
        let table = [
            ("RUN x", "RUN is not a valid change command"),
            ("from scratch", "from is not a valid change command"),
            ("FROM", "FROM is not a valid change command"),
            ("COPY a b", "COPY is not a valid change command"),
            ("ENTRPOINT x", "ENTRPOINT is not a valid change command (did you mean ENTRYPOINT?)"),
            ("", "a change is empty"),
            ("CMD [1]", "change \"CMD [1]\""),
            ("USER", "change \"USER\""),
            ("ENV A=b\nENV C=d", "change \"ENV A=b\\nENV C=d\""),
            ("# comment", "# is not a valid change command"),
        ];
        for (text, part) in table {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(part), "{text}: {error}");
        }
    }
}

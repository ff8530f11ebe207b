//! The `--flag=value` words in front of an instruction's arguments.

use crate::error::{ParseError, ParseErrorKind};
use crate::instruction::Word;
use crate::position::Position;
use crate::source::Slice;
use crate::suggest;

/// A flag as found: quotes and escapes are already resolved.
#[derive(Clone, Debug)]
struct Flag {
    name: String,
    value: Option<String>,
    position: Position,
}

/// The flags of one instruction; each reader takes out what it knows.
#[derive(Debug)]
pub(crate) struct Flags {
    instruction: &'static str,
    flags: Vec<Flag>,
}

impl Flags {
    /// Splits the flags off the front; the rest are the arguments.
    pub(crate) fn split<'a>(instruction: &'static str, args: Slice<'a>) -> (Flags, Slice<'a>) {
        let mut flags = Vec::new();
        let mut rest = args.text.char_indices().peekable();
        loop {
            while rest.next_if(|(_, c)| c.is_whitespace()).is_some() {}
            let Some(&(start, _)) = rest.peek() else { break };
            if !args.text[start..].starts_with("--") {
                return (Flags { instruction, flags }, args.from(start).trim());
            }
            let mut word = String::new();
            let mut quote = None;
            while let Some(&(_, c)) = rest.peek() {
                match quote {
                    None if c.is_whitespace() => break,
                    None if c == '\'' || c == '"' => quote = Some(c),
                    Some(open) if open == c => quote = None,
                    _ if c == '\\' => {
                        rest.next();
                        word.extend(rest.peek().map(|(_, c)| *c));
                    }
                    _ => word.push(c),
                }
                rest.next();
            }
            if word == "--" {
                let end = rest.peek().map_or(args.text.len(), |(index, _)| *index);
                return (Flags { instruction, flags }, args.from(end).trim());
            }
            let position = args.part(start, start).position();
            let body = word.strip_prefix("--").unwrap_or(&word);
            let flag = match body.split_once('=') {
                Some((name, value)) => Flag { name: name.to_owned(), value: Some(value.to_owned()), position },
                None => Flag { name: body.to_owned(), value: None, position },
            };
            flags.push(flag);
        }
        (Flags { instruction, flags }, args.from(args.text.len()))
    }

    /// Checks that all flags are known and that only those of the second list come twice.
    pub(crate) fn check(&self, once: &[&'static str], repeated: &[&'static str]) -> Result<(), ParseError> {
        let instruction = self.instruction;
        for (index, flag) in self.flags.iter().enumerate() {
            let error = |kind| Err(ParseError { position: flag.position, kind });
            let known = || once.iter().chain(repeated).copied();
            if !known().any(|name| name == flag.name) {
                return error(ParseErrorKind::UnknownFlag {
                    instruction,
                    flag: flag.name.clone(),
                    suggestion: suggest::nearest(&flag.name, known()).map(|near| format!("--{near}")),
                });
            }
            let before = self.flags.iter().take(index);
            if once.contains(&flag.name.as_str()) && before.into_iter().any(|f| f.name == flag.name) {
                return error(ParseErrorKind::FlagTwice { instruction, flag: flag.name.clone() });
            }
        }
        Ok(())
    }

    /// The values of a flag that needs one, in order.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<Word>, ParseError> {
        let flags = self.flags.iter().filter(|flag| flag.name == name);
        flags
            .map(|flag| match &flag.value {
                Some(value) => Ok(Word::new(value.clone(), flag.position)),
                None => Err(ParseError {
                    position: flag.position,
                    kind: ParseErrorKind::FlagWithoutValue { instruction: self.instruction, flag: flag.name.clone() },
                }),
            })
            .collect()
    }

    /// The value of a flag that may be given once.
    pub(crate) fn text(&self, name: &str) -> Result<Option<Word>, ParseError> {
        Ok(self.texts(name)?.into_iter().next())
    }

    /// The value of a flag that is true when it stands alone.
    pub(crate) fn switch(&self, name: &str) -> Result<Option<bool>, ParseError> {
        let Some(flag) = self.flags.iter().find(|flag| flag.name == name) else {
            return Ok(None);
        };
        match flag.value.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(ParseError {
                position: flag.position,
                kind: ParseErrorKind::FlagValue {
                    instruction: self.instruction,
                    flag: flag.name.clone(),
                    value: flag.value.clone().unwrap_or_default(),
                    expected: "true or false",
                },
            }),
        }
    }
}

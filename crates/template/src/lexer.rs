//! Tokens: the text between the actions, and what stands inside `{{` and `}}`.

use crate::error::SyntaxProblem;

/// What a token is; the text it was made of is kept beside it in [`Token`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Open,
    Close,
    Field,
    Variable,
    Dot,
    Word,
    Number,
    Quoted,
    Raw,
    Character,
    Pipe,
    LeftParen,
    RightParen,
    Comma,
    Assign,
    Declare,
    Space,
    End,
}

/// A piece of the template with its offset in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'t> {
    pub(crate) kind: Kind,
    pub(crate) text: &'t str,
    pub(crate) at: usize,
}

/// A problem and the offset where it was found.
pub(crate) type Found = (usize, SyntaxProblem);

const OPEN: &str = "{{";
const CLOSE: &str = "}}";
const COMMENT: &str = "/*";
const COMMENT_END: &str = "*/";

/// Splits a template into tokens; texts are trimmed as the trim markers beside them say.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token<'_>>, Found> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new() };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Token<'t>>,
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn push(&mut self, kind: Kind, length: usize) {
        let text = &self.text[self.at..self.at + length];
        self.tokens.push(Token { kind, text, at: self.at });
        self.at += length;
    }

    fn run(&mut self) -> Result<(), Found> {
        let mut trim_left = false;
        loop {
            let rest = self.rest();
            let open = rest.find(OPEN);
            let mut text = &rest[..open.unwrap_or(rest.len())];
            let begin = self.at;
            let next = open.map(|offset| begin + offset);
            let after = next.map_or("", |at| &self.text[at + OPEN.len()..]);
            let trims = after.starts_with('-') && after[1..].starts_with(is_space);
            if trim_left {
                text = text.trim_start_matches(is_space);
            }
            let shift = rest[..open.unwrap_or(rest.len())].len() - text.len();
            if trims {
                text = text.trim_end_matches(is_space);
            }
            if !text.is_empty() {
                self.tokens.push(Token { kind: Kind::Text, text, at: begin + shift });
            }
            let Some(next) = next else {
                self.at = self.text.len();
                self.push(Kind::End, 0);
                return Ok(());
            };
            self.at = next;
            let marker = if trims { 2 } else { 0 };
            if self.text[next + OPEN.len() + marker..].starts_with(COMMENT) {
                trim_left = self.comment(next + OPEN.len() + marker)?;
            } else {
                self.push(Kind::Open, OPEN.len());
                self.at += marker;
                trim_left = self.action(next)?;
            }
        }
    }

    /// Skips a comment that begins at `at`; true if it ends in a trim marker.
    fn comment(&mut self, at: usize) -> Result<bool, Found> {
        let Some(end) = self.text[at..].find(COMMENT_END) else {
            return Err((at, SyntaxProblem::UnclosedComment));
        };
        let after = at + end + COMMENT_END.len();
        let tail = &self.text[after..];
        if tail.starts_with(CLOSE) {
            self.at = after + CLOSE.len();
            return Ok(false);
        }
        let mut characters = tail.chars();
        if characters.next().is_some_and(is_space)
            && characters.as_str().starts_with('-')
            && characters.as_str()[1..].starts_with(CLOSE)
        {
            self.at = self.text.len() - characters.as_str().len() + 1 + CLOSE.len();
            return Ok(true);
        }
        Err((after, SyntaxProblem::CommentTail))
    }

    /// Reads one action to its `}}`; true if it ends in a trim marker.
    fn action(&mut self, begin: usize) -> Result<bool, Found> {
        loop {
            let rest = self.rest();
            if rest.starts_with(CLOSE) {
                self.push(Kind::Close, CLOSE.len());
                return Ok(false);
            }
            let mut characters = rest.chars();
            let Some(character) = characters.next() else {
                return Err((begin, SyntaxProblem::UnclosedAction));
            };
            if is_space(character) {
                let after = rest.trim_start_matches(is_space);
                if after.starts_with("-}}") {
                    self.at = self.text.len() - after.len() + 1;
                    self.push(Kind::Close, CLOSE.len());
                    return Ok(true);
                }
                self.push(Kind::Space, rest.len() - after.len());
                continue;
            }
            let follows = characters.clone().next();
            match character {
                '|' => self.push(Kind::Pipe, 1),
                '(' => self.push(Kind::LeftParen, 1),
                ')' => self.push(Kind::RightParen, 1),
                ',' => self.push(Kind::Comma, 1),
                '=' => self.push(Kind::Assign, 1),
                ':' if follows == Some('=') => self.push(Kind::Declare, 2),
                '"' => self.quoted('"', Kind::Quoted, "quoted string")?,
                '\'' => self.quoted('\'', Kind::Character, "character constant")?,
                '`' => {
                    let Some(end) = rest[1..].find('`') else {
                        return Err((self.at, SyntaxProblem::Unterminated { kind: "raw quoted string" }));
                    };
                    self.push(Kind::Raw, end + 2);
                }
                '.' if !follows.is_some_and(|next| next.is_ascii_digit()) => {
                    let length = word(&rest[1..]);
                    let kind = if length == 0 { Kind::Dot } else { Kind::Field };
                    self.push(kind, 1 + length);
                    self.terminated()?;
                }
                '$' => {
                    let length = word(&rest[1..]);
                    self.push(Kind::Variable, 1 + length);
                    self.terminated()?;
                }
                '+' | '-' | '.' | '0'..='9' => {
                    let length = number(rest);
                    self.push(Kind::Number, length);
                }
                _ if is_word(character) => {
                    let length = word(rest);
                    self.push(Kind::Word, length);
                    self.terminated()?;
                }
                _ => {
                    return Err((self.at, SyntaxProblem::BadCharacter { character, context: "action" }));
                }
            }
        }
    }

    /// Refuses a name that runs into something else, as `.A"b"`.
    fn terminated(&self) -> Result<(), Found> {
        let rest = self.rest();
        match rest.chars().next() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(' | '=') => Ok(()),
            Some(character) if is_space(character) || rest.starts_with(CLOSE) => Ok(()),
            Some(character) => Err((self.at, SyntaxProblem::BadCharacter { character, context: "name" })),
        }
    }

    fn quoted(&mut self, quote: char, kind: Kind, name: &'static str) -> Result<(), Found> {
        let mut escaped = false;
        for (offset, character) in self.rest().char_indices().skip(1) {
            match character {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if character == quote => {
                    self.push(kind, offset + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err((self.at, SyntaxProblem::Unterminated { kind: name }))
    }
}

/// Length in bytes of the name at the beginning of `text`.
fn word(text: &str) -> usize {
    text.find(|character| !is_word(character)).unwrap_or(text.len())
}

/// Length in bytes of what looks like a number; the parser judges it.
fn number(text: &str) -> usize {
    let mut previous = '\0';
    for (offset, character) in text.char_indices() {
        let sign = matches!(character, '+' | '-')
            && (offset == 0 || matches!(previous, 'e' | 'E' | 'p' | 'P') && !text.starts_with("0x"));
        if !(sign || character == '.' || is_word(character)) {
            return offset;
        }
        previous = character;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(text: &str) -> Result<String, SyntaxProblem> {
        tokens(text)
            .map(|tokens| {
                tokens
                    .iter()
                    .filter(|token| token.kind != Kind::End)
                    .map(|token| format!("{:?}({})", token.kind, token.text))
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .map_err(|(_, problem)| problem)
    }

    #[test]
    fn tokens_of_actions() {
        let table = [
            ("a", "Text(a)"),
            ("{{.}}", "Open({{) Dot(.) Close(}})"),
            ("{{.A.B}}", "Open({{) Field(.A) Field(.B) Close(}})"),
            ("a {{- .A -}} b", "Text(a) Open({{) Field(.A) Close(}}) Text(b)"),
            ("a {{-3}}", "Text(a ) Open({{) Number(-3) Close(}})"),
            ("a {{- /* c */ -}} b", "Text(a) Text(b)"),
            ("a {{/* c */}} b", "Text(a ) Text( b)"),
            (r#"{{"}}"}}"#, r#"Open({{) Quoted("}}") Close(}})"#),
            ("{{1.5e+3|x}}", "Open({{) Number(1.5e+3) Pipe(|) Word(x) Close(}})"),
            ("{{$x := 'a'}}", "Open({{) Variable($x) Space( ) Declare(:=) Space( ) Character('a') Close(}})"),
        ];
        for (text, expected) in table {
            assert_eq!(spelled(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn texts_that_are_no_tokens() {
        let table = [
            ("{{", "unclosed action"),
            ("{{.A", "unclosed action"),
            ("{{/* a", "unclosed comment"),
            ("{{/* a */ .A}}", "comment ends before closing delimiter"),
            ("{{\"a}}", "unterminated quoted string"),
            ("{{`a}}", "unterminated raw quoted string"),
            ("{{.A\"b\"}}", "unexpected bad character '\"' in name"),
            ("{{#}}", "unexpected bad character '#' in action"),
        ];
        for (text, expected) in table {
            assert_eq!(spelled(text).map_err(|problem| problem.to_string()), Err(expected.into()), "{text}");
        }
    }
}

//! From tokens to the syntax tree.

use crate::error::SyntaxProblem;
use crate::functions;
use crate::lexer::{Found, Kind, Token, tokens};
use crate::node::{Branch, Command, List, Node, Operand, OperandKind, Pipeline};
use crate::{MAX_DEPTH, MAX_TEXT};
use serde_json::Number;

/// Parses a template text.
pub(crate) fn parse(text: &str) -> Result<List, Found> {
    if text.len() > MAX_TEXT {
        return Err((0, SyntaxProblem::TooLong { size: text.len(), limit: MAX_TEXT }));
    }
    let mut parser = Parser { tokens: tokens(text)?, next: 0, variables: vec!["$".to_owned()], loops: 0, depth: 0 };
    let (list, stop) = parser.list()?;
    match stop {
        Stop::Text => Ok(list),
        Stop::End(at) => Err((at, SyntaxProblem::Stray { keyword: "end".into() })),
        Stop::Else(at) => Err((at, SyntaxProblem::Stray { keyword: "else".into() })),
    }
}

struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    next: usize,
    variables: Vec<String>,
    loops: usize,
    depth: usize,
}

/// What ended a list; offsets are those of the keyword.
enum Stop {
    Text,
    End(usize),
    Else(usize),
}

const END: Token<'static> = Token { kind: Kind::End, text: "", at: 0 };

impl<'t> Parser<'t> {
    fn peek(&self) -> Token<'t> {
        self.tokens.get(self.next).copied().unwrap_or(END)
    }

    fn take(&mut self) -> Token<'t> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
    }

    fn unexpected<T>(token: Token<'_>, context: &'static str) -> Result<T, Found> {
        let problem = match token.kind {
            Kind::Word if is_keyword(token.text) => {
                SyntaxProblem::Unexpected { token: format!("<{}>", token.text), context }
            }
            Kind::End => SyntaxProblem::UnclosedAction,
            _ => SyntaxProblem::Unexpected { token: format!("{:?}", token.text), context },
        };
        Err((token.at, problem))
    }

    fn deeper(&mut self, at: usize) -> Result<(), Found> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err((at, SyntaxProblem::TooDeep { limit: MAX_DEPTH }));
        }
        Ok(())
    }

    fn list(&mut self) -> Result<(List, Stop), Found> {
        let mut list = List::new();
        loop {
            let token = self.take();
            match token.kind {
                Kind::Text => list.push(Node::Text(token.text.to_owned())),
                Kind::Open => {
                    self.skip_space();
                    let word = self.peek();
                    if word.kind == Kind::Word {
                        match word.text {
                            "end" => {
                                self.next += 1;
                                self.close("end")?;
                                return Ok((list, Stop::End(word.at)));
                            }
                            "else" => {
                                self.next += 1;
                                return Ok((list, Stop::Else(word.at)));
                            }
                            _ => {}
                        }
                    }
                    list.push(self.action()?);
                }
                _ => return Ok((list, Stop::Text)),
            }
        }
    }

    fn close(&mut self, context: &'static str) -> Result<(), Found> {
        self.skip_space();
        let token = self.take();
        if token.kind != Kind::Close {
            return Self::unexpected(token, context);
        }
        Ok(())
    }

    fn action(&mut self) -> Result<Node, Found> {
        let token = self.peek();
        if token.kind == Kind::Word {
            match token.text {
                "if" => {
                    self.next += 1;
                    return Ok(Node::If(self.branch("if", token.at)?));
                }
                "with" => {
                    self.next += 1;
                    return Ok(Node::With(self.branch("with", token.at)?));
                }
                "range" => {
                    self.next += 1;
                    return Ok(Node::Range(self.branch("range", token.at)?));
                }
                "break" | "continue" => {
                    self.next += 1;
                    if self.loops == 0 {
                        return Err((token.at, SyntaxProblem::Stray { keyword: token.text.to_owned() }));
                    }
                    if token.text == "break" {
                        self.close("break")?;
                        return Ok(Node::Break);
                    }
                    self.close("continue")?;
                    return Ok(Node::Continue);
                }
                "define" | "block" | "template" => {
                    return Err((token.at, SyntaxProblem::Unsupported { keyword: token.text.to_owned() }));
                }
                _ => {}
            }
        }
        Ok(Node::Action(self.pipeline("command", Kind::Close)?))
    }

    /// Reads the rest of `if`, `with` or `range`, to its `{{end}}`.
    fn branch(&mut self, keyword: &'static str, at: usize) -> Result<Branch, Found> {
        self.deeper(at)?;
        let outer = self.variables.len();
        let pipeline = self.pipeline(keyword, Kind::Close)?;
        let declared = self.variables.len();
        if keyword == "range" {
            self.loops += 1;
        }
        let (then, stop) = self.list()?;
        if keyword == "range" {
            self.loops -= 1;
        }
        self.variables.truncate(declared);
        let otherwise = match stop {
            Stop::End(_) => None,
            Stop::Text => {
                return Err((at, SyntaxProblem::MissingEnd { keyword }));
            }
            Stop::Else(else_at) => Some(self.otherwise(keyword, at, else_at)?),
        };
        self.variables.truncate(outer);
        self.depth -= 1;
        Ok(Branch { pipeline, then, otherwise })
    }

    fn otherwise(&mut self, keyword: &'static str, at: usize, else_at: usize) -> Result<List, Found> {
        self.skip_space();
        let token = self.peek();
        // `else if` is an `if` inside the `else` that shares its `end`; so is `else with`.
        if token.kind == Kind::Word && token.text == keyword && keyword != "range" {
            self.next += 1;
            let inner = self.branch(keyword, token.at)?;
            return Ok(vec![if keyword == "if" { Node::If(inner) } else { Node::With(inner) }]);
        }
        self.close("else")?;
        match self.list()? {
            (list, Stop::End(_)) => Ok(list),
            (_, Stop::Text) => Err((at, SyntaxProblem::MissingEnd { keyword })),
            (_, Stop::Else(second)) => Err((second.max(else_at), SyntaxProblem::Stray { keyword: "else".into() })),
        }
    }

    /// Reads a pipeline and the token that ends it.
    fn pipeline(&mut self, context: &'static str, end: Kind) -> Result<Pipeline, Found> {
        self.skip_space();
        let begin = self.peek().at;
        let (variables, assigns) = self.declarations(context)?;
        let mut commands = Vec::new();
        loop {
            self.skip_space();
            let token = self.peek();
            if token.kind == end {
                self.next += 1;
                break;
            }
            if matches!(
                token.kind,
                Kind::Pipe | Kind::Comma | Kind::Assign | Kind::Declare | Kind::Close | Kind::RightParen | Kind::End
            ) {
                return Self::unexpected(token, context);
            }
            let (command, more) = self.command()?;
            commands.push(command);
            if more && {
                self.skip_space();
                self.peek().kind == end
            } {
                return Err((self.peek().at, SyntaxProblem::MissingValue { context }));
            }
        }
        if commands.is_empty() {
            return Err((begin, SyntaxProblem::MissingValue { context }));
        }
        for (index, command) in commands.iter().enumerate().skip(1) {
            let first = command.words.first();
            let constant = first.is_none_or(|word| {
                matches!(
                    word.kind,
                    OperandKind::Bool(_)
                        | OperandKind::Dot
                        | OperandKind::Nil
                        | OperandKind::Number { .. }
                        | OperandKind::Text { .. }
                )
            });
            if constant {
                return Err((command.at, SyntaxProblem::NotExecutable { stage: index + 1 }));
            }
        }
        if !assigns {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipeline { variables, assigns, commands })
    }

    /// Reads `$x :=`, `$x =` and, in a range, `$i, $x :=`.
    fn declarations(&mut self, context: &'static str) -> Result<(Vec<String>, bool), Found> {
        let start = self.next;
        let mut names: Vec<Token<'t>> = Vec::new();
        loop {
            self.skip_space();
            let name = self.peek();
            if name.kind != Kind::Variable || name.text == "$" && names.is_empty() {
                break;
            }
            self.next += 1;
            self.skip_space();
            names.push(name);
            let token = self.peek();
            match token.kind {
                Kind::Comma if context == "range" && names.len() < 2 => self.next += 1,
                Kind::Assign | Kind::Declare => {
                    self.next += 1;
                    let assigns = token.kind == Kind::Assign;
                    if assigns {
                        for name in &names {
                            self.known(*name)?;
                        }
                    }
                    return Ok((names.iter().map(|name| name.text.to_owned()).collect(), assigns));
                }
                Kind::Comma => return Self::unexpected(token, context),
                _ => break,
            }
        }
        if names.len() > 1 {
            return Self::unexpected(self.peek(), context);
        }
        self.next = start;
        Ok((Vec::new(), false))
    }

    fn known(&self, name: Token<'t>) -> Result<(), Found> {
        if self.variables.iter().any(|known| known == name.text) {
            return Ok(());
        }
        Err((name.at, SyntaxProblem::UnknownVariable { name: name.text.to_owned() }))
    }

    /// Reads a command; true if a `|` follows, which is taken.
    fn command(&mut self) -> Result<(Command, bool), Found> {
        let at = self.peek().at;
        let mut words = Vec::new();
        loop {
            self.skip_space();
            let token = self.peek();
            match token.kind {
                Kind::Close | Kind::RightParen => return Ok((Command { at, words }, false)),
                Kind::Pipe => {
                    self.next += 1;
                    return Ok((Command { at, words }, true));
                }
                _ => {}
            }
            words.push(self.operand()?);
            let token = self.peek();
            if !matches!(token.kind, Kind::Space | Kind::Close | Kind::RightParen | Kind::Pipe) {
                return Self::unexpected(token, "operand");
            }
        }
    }

    fn fields(&mut self) -> Vec<String> {
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(self.take().text[1..].to_owned());
        }
        fields
    }

    fn operand(&mut self) -> Result<Operand, Found> {
        let token = self.take();
        let mut at = token.at;
        // Go's messages name the place of the second field in `.A.B`; scripts that match on them exist.
        let chained = self.peek();
        if chained.kind == Kind::Field {
            at = chained.at;
        }
        let kind = match token.kind {
            Kind::Dot => OperandKind::Dot,
            Kind::Field => {
                let mut fields = vec![token.text[1..].to_owned()];
                fields.append(&mut self.fields());
                OperandKind::Field(fields)
            }
            Kind::Variable => {
                self.known(token)?;
                OperandKind::Variable { name: token.text.to_owned(), fields: self.fields() }
            }
            Kind::LeftParen => {
                self.deeper(token.at)?;
                let pipeline = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.depth -= 1;
                let field = self.peek();
                at = if field.kind == Kind::Field { field.at } else { token.at };
                OperandKind::Group { pipeline, fields: self.fields() }
            }
            Kind::Word => word(token)?,
            Kind::Number => OperandKind::Number {
                value: number(token.text)
                    .ok_or_else(|| (token.at, SyntaxProblem::BadNumber { text: token.text.to_owned() }))?,
                spelled: token.text.to_owned(),
            },
            Kind::Quoted | Kind::Raw | Kind::Character => constant(token)?,
            _ => return Self::unexpected(token, "operand"),
        };
        Ok(Operand { at, kind })
    }
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "if" | "else" | "end" | "with" | "range" | "break" | "continue" | "define" | "block" | "template")
}

fn word(token: Token<'_>) -> Result<OperandKind, Found> {
    match token.text {
        "true" => Ok(OperandKind::Bool(true)),
        "false" => Ok(OperandKind::Bool(false)),
        "nil" => Ok(OperandKind::Nil),
        keyword if is_keyword(keyword) => Parser::unexpected(token, "command"),
        name => match functions::find(name) {
            Some(function) => Ok(OperandKind::Function(function)),
            None => Err((
                token.at,
                SyntaxProblem::UnknownFunction { name: name.to_owned(), hint: functions::nearest(name) },
            )),
        },
    }
}

fn constant(token: Token<'_>) -> Result<OperandKind, Found> {
    let inner = &token.text[1..token.text.len() - 1];
    let bad = || (token.at, SyntaxProblem::BadQuote { text: token.text.to_owned() });
    if token.kind == Kind::Raw {
        return Ok(OperandKind::Text { value: inner.to_owned(), spelled: token.text.to_owned() });
    }
    let value = unquote(inner).ok_or_else(bad)?;
    if token.kind == Kind::Quoted {
        return Ok(OperandKind::Text { value, spelled: token.text.to_owned() });
    }
    let mut characters = value.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) => {
            Ok(OperandKind::Number { value: Number::from(u32::from(character)), spelled: token.text.to_owned() })
        }
        _ => Err(bad()),
    }
}

/// Takes Go's escapes out of a constant. Spec: The Go Programming Language Specification, "Rune literals".
/// Escapes that make bytes which are no UTF-8 are refused: our values are JSON.
fn unquote(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..position]);
        rest = &rest[position + 1..];
        let escape = rest.chars().next()?;
        let mut taken = escape.len_utf8();
        match escape {
            'a' => bytes.push(7),
            'b' => bytes.push(8),
            'f' => bytes.push(12),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(11),
            '\\' | '\'' | '"' => bytes.push(escape as u8),
            'x' => {
                bytes.push(u8::from_str_radix(digits(rest, 1, 2, 16)?, 16).ok()?);
                taken = 3;
            }
            'u' | 'U' => {
                let count = if escape == 'u' { 4 } else { 8 };
                let code = u32::from_str_radix(digits(rest, 1, count, 16)?, 16).ok()?;
                let character = char::from_u32(code)?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                taken = 1 + count;
            }
            '0'..='7' => {
                bytes.push(u8::from_str_radix(digits(rest, 0, 3, 8)?, 8).ok()?);
                taken = 3;
            }
            _ => return None,
        }
        rest = &rest[taken..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

fn digits(text: &str, from: usize, count: usize, radix: u32) -> Option<&str> {
    let digits = text.get(from..from + count)?;
    digits.chars().all(|digit| digit.is_digit(radix)).then_some(digits)
}

/// Reads a number as Go writes them: decimal, 0x, 0o, 0b, leading 0 for octal, `_` between digits, floats.
fn number(text: &str) -> Option<Number> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if unsigned.starts_with('_') || unsigned.ends_with('_') || unsigned.contains("__") {
        return None;
    }
    let plain = unsigned.replace('_', "");
    let lower = plain.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') && lower.bytes().all(|byte| byte.is_ascii_digit()) => {
            (8, &lower[1..])
        }
        _ => (10, lower.as_str()),
    };
    if !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix)) {
        let value = u64::from_str_radix(digits, radix).ok()?;
        if !negative {
            return Some(Number::from(value));
        }
        let value = 0i64.checked_sub_unsigned(value)?;
        return Some(Number::from(value));
    }
    if radix != 10 || !lower.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if !lower.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'+' | b'-')) {
        return None;
    }
    let value: f64 = lower.parse().ok()?;
    Number::from_f64(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_go_writes_them() {
        let table = [
            ("0", Some("0")),
            ("42", Some("42")),
            ("-42", Some("-42")),
            ("+7", Some("7")),
            ("0x1F", Some("31")),
            ("0b101", Some("5")),
            ("0o17", Some("15")),
            ("017", Some("15")),
            ("1_000", Some("1000")),
            ("1.5", Some("1.5")),
            ("1e3", Some("1000.0")),
            (".5", Some("0.5")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("-9223372036854775808", Some("-9223372036854775808")),
            ("18446744073709551616", None),
            ("-9223372036854775809", None),
            ("1x", None),
            ("08", None),
            ("1__0", None),
            ("1i", None),
            ("+", None),
            (".", None),
            ("1e999", None),
        ];
        for (text, expected) in table {
            assert_eq!(number(text).map(|value| value.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn escapes_of_constants() {
        let table = [
            (r"a\tb\n", Some("a\tb\n")),
            (r"\x41\101\u00e4\U0001F600", Some("AA\u{e4}\u{1f600}")),
            (r#"\"\\"#, Some("\"\\")),
            (r"\xc3\xa4", Some("\u{e4}")),
            (r"\xff", None),
            (r"\q", None),
            (r"\x4", None),
            (r"\x+1", None),
            (r"\ud800", None),
            (r"\777", None),
            (r"\é", None),
        ];
        for (text, expected) in table {
            assert_eq!(unquote(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn pipelines_are_spelled_as_they_are_parsed() {
        for pipeline in [
            ".",
            ".A.B",
            "$.A",
            "index .A \"b\" | json",
            "(index .A 0).B.C",
            "$x := .A",
            "printf \"%d\" 3 | print nil true 'a' `b`",
        ] {
            let list = parse(&format!("{{{{{pipeline}}}}}")).unwrap();
            assert!(matches!(&list[..], [Node::Action(node)] if node.to_string() == pipeline), "{list:?}");
        }
    }
}

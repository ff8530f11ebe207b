//! What can be wrong with a template, said the way Go's `text/template` says it.

use thiserror::Error;

/// Where in the template text something is: line from 1, column in bytes from 0, as Go counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line, the first is 1.
    pub line: usize,
    /// Bytes since the beginning of the line, the first is 0.
    pub column: usize,
}

impl Position {
    /// Finds the position of a byte offset in `text`; an offset past the end means the end.
    pub(crate) fn of(text: &str, offset: usize) -> Position {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        Position { line, column: before.len() - start }
    }
}

/// A template that cannot be parsed or cannot be applied to a value.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum TemplateError {
    /// The text is no template.
    #[error("template: :{}:{}: {problem}", .position.line, .position.column)]
    Syntax {
        /// Where the parser stopped.
        position: Position,
        /// What it found there.
        #[source]
        problem: SyntaxProblem,
    },
    /// The template does not fit the value it is applied to.
    #[error("template: :{}:{}: executing \"\" at <{node}>: {problem}", .position.line, .position.column)]
    Execution {
        /// Where the failing node stands.
        position: Position,
        /// The failing node in canonical spelling.
        node: String,
        /// What failed.
        #[source]
        problem: EvalProblem,
    },
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SyntaxProblem {
    /// `{{` without `}}`.
    #[error("unclosed action")]
    UnclosedAction,
    /// `{{/*` without `*/`.
    #[error("unclosed comment")]
    UnclosedComment,
    /// `{{/* */ x}}`.
    #[error("comment ends before closing delimiter")]
    CommentTail,
    /// A quoted string that never ends.
    #[error("unterminated {kind}")]
    Unterminated {
        /// What was begun: a quoted string, a raw quoted string, a character constant.
        kind: &'static str,
    },
    /// A character that begins no token.
    #[error("unexpected bad character {character:?} in {context}")]
    BadCharacter {
        /// The character.
        character: char,
        /// What was being read.
        context: &'static str,
    },
    /// A token that has no place where it stands.
    #[error("unexpected {token} in {context}")]
    Unexpected {
        /// The token as written.
        token: String,
        /// What was being read.
        context: &'static str,
    },
    /// `{{end}}`, `{{else}}`, `{{break}}` where nothing is open.
    #[error("unexpected {{{{{keyword}}}}}")]
    Stray {
        /// The keyword.
        keyword: String,
    },
    /// A block that is never closed.
    #[error("unexpected EOF: {{{{{keyword}}}}} has no {{{{end}}}}")]
    MissingEnd {
        /// What was opened.
        keyword: &'static str,
    },
    /// `{{if}}` without a condition.
    #[error("missing value for {context}")]
    MissingValue {
        /// What lacks it.
        context: &'static str,
    },
    /// A constant where a function must stand.
    #[error("non executable command in pipeline stage {stage}")]
    NotExecutable {
        /// Stage, the first is 1.
        stage: usize,
    },
    /// A bad number constant.
    #[error("bad number syntax: {text:?}")]
    BadNumber {
        /// As written.
        text: String,
    },
    /// A bad escape in a string or character constant.
    #[error("invalid syntax in constant {text}")]
    BadQuote {
        /// As written.
        text: String,
    },
    /// A function that does not exist here.
    #[error("function {name:?} not defined{}", near(.hint))]
    UnknownFunction {
        /// As written.
        name: String,
        /// The nearest name that exists.
        hint: Option<&'static str>,
    },
    /// A variable that was never declared.
    #[error("undefined variable {name:?}")]
    UnknownVariable {
        /// As written, with its `$`.
        name: String,
    },
    /// A keyword of Go templates that Docker's formats have no use for.
    #[error("{{{{{keyword}}}}} is not supported")]
    Unsupported {
        /// The keyword.
        keyword: String,
    },
    /// More nesting than [`crate::MAX_DEPTH`].
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// A longer text than [`crate::MAX_TEXT`].
    #[error("template of {size} bytes is longer than {limit} bytes")]
    TooLong {
        /// Length in bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
}

/// Why a template does not fit a value.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum EvalProblem {
    /// The object has no such field.
    #[error("map has no entry for key {key:?}")]
    NoEntry {
        /// The field's name.
        key: String,
    },
    /// A field of something that has no fields.
    #[error("can't evaluate field {field} in type {kind}")]
    NoFields {
        /// The field's name.
        field: String,
        /// Go's name of the type.
        kind: &'static str,
    },
    /// A field of null.
    #[error("nil pointer evaluating field {field}")]
    NilField {
        /// The field's name.
        field: String,
    },
    /// Arguments after something that is no function.
    #[error("can't give argument to non-function {node}")]
    NotAFunction {
        /// The node in canonical spelling.
        node: String,
    },
    /// Arguments after a field: the fields here are no methods.
    #[error("{field} is not a method but has arguments")]
    NotAMethod {
        /// The field's name.
        field: String,
    },
    /// `range` over a value without elements.
    #[error("range can't iterate over {value}")]
    NotIterable {
        /// The value as printed.
        value: String,
    },
    /// `nil` as a command.
    #[error("nil is not a command")]
    NilCommand,
    /// Wrong number of arguments.
    #[error("wrong number of args for {function}: want {want} got {got}")]
    ArgumentCount {
        /// The function.
        function: &'static str,
        /// How many it takes, in words.
        want: String,
        /// How many there were.
        got: usize,
    },
    /// An argument of a wrong type.
    #[error("wrong type for value; expected {expected}; got {found}")]
    ArgumentType {
        /// Go's name of the type wanted.
        expected: &'static str,
        /// Go's name of the type given.
        found: &'static str,
    },
    /// A function that refuses its arguments.
    #[error("error calling {function}: {problem}")]
    Call {
        /// The function.
        function: &'static str,
        /// Why.
        #[source]
        problem: CallProblem,
    },
    /// More output than [`crate::MAX_OUTPUT`].
    #[error("output is longer than {limit} bytes")]
    OutputTooLong {
        /// The limit.
        limit: usize,
    },
    /// More steps than [`crate::MAX_STEPS`].
    #[error("template takes more than {limit} steps")]
    TooManySteps {
        /// The limit.
        limit: usize,
    },
}

/// Why a function refuses its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallProblem {
    /// Values of two types are compared.
    #[error("incompatible types for comparison")]
    Incompatible,
    /// Values that have no order or equality are compared.
    #[error("invalid type for comparison")]
    NotComparable,
    /// `len` of something without a length.
    #[error("len of type {kind}")]
    NoLength {
        /// Go's name of the type.
        kind: &'static str,
    },
    /// `index` or `slice` of something without elements.
    #[error("can't {action} item of type {kind}")]
    NoElements {
        /// `index` or `slice`.
        action: &'static str,
        /// Go's name of the type.
        kind: &'static str,
    },
    /// An index of a wrong type.
    #[error("cannot index {container} with type {kind}")]
    BadIndexType {
        /// `slice/array` or `map`.
        container: &'static str,
        /// Go's name of the index's type.
        kind: &'static str,
    },
    /// An index past the end.
    #[error("index out of range: {index}")]
    OutOfRange {
        /// The index.
        index: i64,
    },
    /// A slice that ends before it begins.
    #[error("invalid slice index: {from} > {to}")]
    Backwards {
        /// Begin.
        from: i64,
        /// End.
        to: i64,
    },
    /// A map has no such key.
    #[error("map has no entry for key {key:?}")]
    NoEntry {
        /// The key.
        key: String,
    },
    /// A number of spaces, a length or a count that no output needs.
    #[error("{what} {value} is out of range 0..={limit}")]
    Unreasonable {
        /// What it is.
        what: &'static str,
        /// The value.
        value: i64,
        /// The limit.
        limit: usize,
    },
    /// Null where a value is needed.
    #[error("{action} of untyped nil")]
    Nil {
        /// The function.
        action: &'static str,
    },
}

fn near(hint: &Option<&'static str>) -> String {
    hint.map_or_else(String::new, |name| format!(", did you mean {name:?}?"))
}

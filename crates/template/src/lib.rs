//! Go templates as Docker's `--format` uses them, over JSON values.
//!
//! Spec: Go's `text/template`, and the functions that Docker's command line adds. What is supported: fields (`.A.B`), variables, pipelines, parentheses, comments, trim
//! markers, `if`/`else if`/`else`/`end`, `with`, `range` (with `else`, `$index, $value`, `break`, `continue`, integers), all constants but complex numbers, and [`FUNCTIONS`].
//! `define`, `block`, `template` and `call` are refused by name. Values print as Go prints them: `map[a:b]` with sorted keys, `[a b]`, `<no value>`.
//!
//! ```
//! use bedplate_template::{Shape, Template};
//! let image = serde_json::json!({"Config": {"Cmd": ["bash"], "Labels": {"a": "b"}}});
//! let template = Template::parse("{{index .Config.Cmd 0}} {{json .Config.Labels}}").unwrap();
//! assert_eq!(template.render(&image, &Shape::DOCKER).unwrap(), "bash {\"a\":\"b\"}");
//! ```
#![forbid(unsafe_code)]

mod error;
mod eval;
mod functions;
#[doc(hidden)]
pub mod fuzz;
mod lexer;
mod node;
mod parser;
mod print;
mod table;
mod value;

pub use error::{CallProblem, EvalProblem, Position, SyntaxProblem, TemplateError};
pub use functions::FUNCTIONS;
pub use table::{Format, align};
pub use value::Shape;

use serde_json::Value;

/// Bytes of a template, at most: a command line holds no more.
pub const MAX_TEXT: usize = 128 * 1024;
/// Nesting of blocks and parentheses, at most: the parser and the evaluator recurse.
pub const MAX_DEPTH: usize = 100;
/// Bytes of one rendering, at most: a loop in a loop can ask for any number.
pub const MAX_OUTPUT: usize = 64 * 1024 * 1024;
/// Nodes evaluated in one rendering, at most: `range` over a number can ask for any number.
pub const MAX_STEPS: usize = 10_000_000;

/// A parsed template.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    text: String,
    list: node::List,
}

impl Template {
    /// Parses a template text; function names and variables are checked here.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`] with line and column.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        match parser::parse(text) {
            Ok(list) => Ok(Template { text: text.to_owned(), list }),
            Err((at, problem)) => Err(TemplateError::Syntax { position: Position::of(text, at), problem }),
        }
    }

    /// Applies the template to a value; `shape` names the fields whose Go type JSON has lost.
    ///
    /// # Errors
    /// [`TemplateError::Execution`] with line, column and the failing node.
    pub fn render(&self, data: &Value, shape: &Shape) -> Result<String, TemplateError> {
        self.run(data, shape, false)
    }

    /// Applies the template to the headings of a table: `json`, `lower`, `upper`, `title` and `truncate` return their argument unchanged.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn render_header(&self, headings: &Value, shape: &Shape) -> Result<String, TemplateError> {
        self.run(headings, shape, true)
    }

    /// The text that was parsed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn run(&self, data: &Value, shape: &Shape, headers: bool) -> Result<String, TemplateError> {
        eval::run(&self.list, data, shape, headers).map_err(|failure| TemplateError::Execution {
            position: Position::of(&self.text, failure.at),
            node: failure.node,
            problem: failure.problem,
        })
    }
}

//! The syntax tree, and its canonical spelling that error messages quote.

use serde_json::Number;
use std::fmt;

/// A list of what is written one after the other.
pub(crate) type List = Vec<Node>;

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Text(String),
    Action(Pipeline),
    If(Branch),
    With(Branch),
    Range(Branch),
    Break,
    Continue,
}

/// The condition and the two ways of `if`, `with` and `range`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Branch {
    pub(crate) pipeline: Pipeline,
    pub(crate) then: List,
    pub(crate) otherwise: Option<List>,
}

/// Commands, each the last argument of the next, and the variables that take the result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pipeline {
    pub(crate) variables: Vec<String>,
    /// `=` instead of `:=`.
    pub(crate) assigns: bool,
    pub(crate) commands: Vec<Command>,
}

/// An operand or a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Command {
    pub(crate) at: usize,
    pub(crate) words: Vec<Operand>,
}

/// A value with the offset where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Operand {
    pub(crate) at: usize,
    pub(crate) kind: OperandKind,
}

/// What a value may be made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Number { value: Number, spelled: String },
    Text { value: String, spelled: String },
    Function(&'static str),
    Field(Vec<String>),
    Variable { name: String, fields: Vec<String> },
    Group { pipeline: Pipeline, fields: Vec<String> },
}

impl fmt::Display for Pipeline {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            let sign = if self.assigns { "=" } else { ":=" };
            write!(out, "{} {sign} ", self.variables.join(", "))?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            if index > 0 {
                out.write_str(" | ")?;
            }
            write!(out, "{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words.iter().enumerate() {
            if index > 0 {
                out.write_str(" ")?;
            }
            write!(out, "{word}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Dot => out.write_str("."),
            OperandKind::Nil => out.write_str("nil"),
            OperandKind::Bool(value) => write!(out, "{value}"),
            OperandKind::Number { spelled, .. } | OperandKind::Text { spelled, .. } => out.write_str(spelled),
            OperandKind::Function(name) => out.write_str(name),
            OperandKind::Field(fields) => spell_fields(out, fields),
            OperandKind::Variable { name, fields } => {
                out.write_str(name)?;
                spell_fields(out, fields)
            }
            OperandKind::Group { pipeline, fields } => {
                write!(out, "({pipeline})")?;
                spell_fields(out, fields)
            }
        }
    }
}

fn spell_fields(out: &mut fmt::Formatter<'_>, fields: &[String]) -> fmt::Result {
    fields.iter().try_for_each(|field| write!(out, ".{field}"))
}

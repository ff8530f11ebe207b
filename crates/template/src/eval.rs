//! A template applied to a value.

use crate::error::EvalProblem;
use crate::functions;
use crate::node::{Branch, Command, Node, Operand, OperandKind, Pipeline};
use crate::print;
use crate::value::{Form, Shape, Val, sorted_keys};
use crate::{MAX_OUTPUT, MAX_STEPS};
use serde_json::Value;
use std::borrow::Cow;

/// A problem, the offset and the spelling of the node where it arose.
pub(crate) struct Failure {
    pub(crate) at: usize,
    pub(crate) node: String,
    pub(crate) problem: EvalProblem,
}

/// Applies a tree to `data`.
pub(crate) fn run(list: &[Node], data: &Value, shape: &Shape, headers: bool) -> Result<String, Failure> {
    let dot = Val::borrowed(data);
    let mut machine = Machine {
        out: String::new(),
        variables: vec![("$".to_owned(), dot.clone())],
        steps: 0,
        shape: *shape,
        headers,
    };
    machine.list(list, &dot)?;
    Ok(machine.out)
}

struct Machine<'d> {
    out: String,
    variables: Vec<(String, Val<'d>)>,
    steps: usize,
    shape: Shape,
    headers: bool,
}

/// How a list was left.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl<'d> Machine<'d> {
    fn step(&mut self, at: usize) -> Result<(), Failure> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(Failure { at, node: String::new(), problem: EvalProblem::TooManySteps { limit: MAX_STEPS } });
        }
        Ok(())
    }

    fn write(&mut self, text: &str, at: usize) -> Result<(), Failure> {
        if self.out.len().saturating_add(text.len()) > MAX_OUTPUT {
            return Err(Failure { at, node: String::new(), problem: EvalProblem::OutputTooLong { limit: MAX_OUTPUT } });
        }
        self.out.push_str(text);
        Ok(())
    }

    fn list(&mut self, list: &[Node], dot: &Val<'d>) -> Result<Flow, Failure> {
        for node in list {
            self.step(0)?;
            match node {
                Node::Text(text) => self.write(text, 0)?,
                Node::Action(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        let at = pipeline.commands.first().map_or(0, |command| command.at);
                        self.write(&print::action(&value), at)?;
                    }
                }
                Node::If(branch) | Node::With(branch) => {
                    let outer = self.variables.len();
                    let value = self.pipeline(&branch.pipeline, dot)?;
                    let inner = if matches!(node, Node::With(_)) { &value } else { dot };
                    let flow = if value.is_true() {
                        self.list(&branch.then, inner)?
                    } else {
                        self.list(branch.otherwise.as_deref().unwrap_or_default(), dot)?
                    };
                    self.variables.truncate(outer);
                    if flow != Flow::On {
                        return Ok(flow);
                    }
                }
                Node::Range(branch) => {
                    let outer = self.variables.len();
                    let flow = self.range(branch, dot)?;
                    self.variables.truncate(outer);
                    if flow != Flow::On {
                        return Ok(flow);
                    }
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::On)
    }

    fn range(&mut self, branch: &Branch, dot: &Val<'d>) -> Result<Flow, Failure> {
        let value = self.commands(&branch.pipeline, dot)?;
        let mut walked = false;
        let mark = self.variables.len();
        let at = branch.pipeline.commands.first().map_or(0, |command| command.at);
        let mut each = |machine: &mut Self, key: Val<'d>, item: Val<'d>| -> Result<bool, Failure> {
            walked = true;
            machine.step(at)?;
            match &branch.pipeline.variables[..] {
                [] => {}
                [only] => machine.set(only, item.clone(), branch.pipeline.assigns),
                [first, second, ..] => {
                    machine.set(first, key, branch.pipeline.assigns);
                    machine.set(second, item.clone(), branch.pipeline.assigns);
                }
            }
            let flow = machine.list(&branch.then, &item)?;
            machine.variables.truncate(mark);
            Ok(flow != Flow::Break)
        };
        match value.json() {
            Value::Array(items) => {
                for position in 0..items.len() {
                    let Some(item) = value.item(position) else { break };
                    if !each(self, Val::int(position as u64), item)? {
                        break;
                    }
                }
            }
            Value::Object(fields) => {
                for key in sorted_keys(fields) {
                    let Some(item) = value.entry(key, &self.shape.clone()) else {
                        break;
                    };
                    if !each(self, Val::text(key.as_str()), item)? {
                        break;
                    }
                }
            }
            Value::Number(number) if number.as_i64().is_some() => {
                for position in 0..number.as_i64().unwrap_or(0) {
                    if !each(self, Val::int(position), Val::int(position))? {
                        break;
                    }
                }
            }
            Value::Null => {}
            _ => {
                return Err(Failure {
                    at,
                    node: branch.pipeline.to_string(),
                    problem: EvalProblem::NotIterable { value: print::argument(&value) },
                });
            }
        }
        if !walked && let Some(otherwise) = &branch.otherwise {
            return self.list(otherwise, dot);
        }
        Ok(Flow::On)
    }

    fn set(&mut self, name: &str, value: Val<'d>, assigns: bool) {
        if assigns && let Some((_, slot)) = self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            *slot = value;
            return;
        }
        self.variables.push((name.to_owned(), value));
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Val<'d>) -> Result<Val<'d>, Failure> {
        let value = self.commands(pipeline, dot)?;
        for name in &pipeline.variables {
            self.set(name, value.clone(), pipeline.assigns);
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Val<'d>) -> Result<Val<'d>, Failure> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, dot, value)?);
        }
        Ok(value.unwrap_or(Val::Missing))
    }

    fn command(&mut self, command: &Command, dot: &Val<'d>, last: Option<Val<'d>>) -> Result<Val<'d>, Failure> {
        self.step(command.at)?;
        let Some((first, rest)) = command.words.split_first() else {
            return Ok(Val::Missing);
        };
        let OperandKind::Function(name) = &first.kind else {
            if matches!(first.kind, OperandKind::Nil) {
                return Err(failure(first, EvalProblem::NilCommand));
            }
            if !rest.is_empty() || last.is_some() {
                let problem = match &first.kind {
                    OperandKind::Field(fields) if last.is_none() => {
                        EvalProblem::NotAMethod { field: fields.last().cloned().unwrap_or_default() }
                    }
                    _ => EvalProblem::NotAFunction { node: first.to_string() },
                };
                return Err(failure(first, problem));
            }
            return self.operand(first, dot);
        };
        let fail = |problem| match problem {
            EvalProblem::Call { .. } => Failure { at: first.at, node: command.to_string(), problem },
            _ => failure(first, problem),
        };
        functions::check_count(name, rest.len() + usize::from(last.is_some())).map_err(fail)?;
        let mut values = Vec::with_capacity(rest.len() + 1);
        for word in rest {
            let value = self.operand(word, dot)?;
            // `and` and `or` leave what follows the deciding argument alone.
            let decided = match *name {
                "and" => !value.is_true(),
                "or" => value.is_true(),
                _ => false,
            };
            if decided {
                return Ok(value);
            }
            values.push(value);
        }
        values.extend(last);
        functions::call(name, &values, &self.shape, self.headers).map_err(fail)
    }

    fn operand(&mut self, operand: &Operand, dot: &Val<'d>) -> Result<Val<'d>, Failure> {
        match &operand.kind {
            OperandKind::Dot => Ok(dot.clone()),
            OperandKind::Nil => Ok(Val::Json(Cow::Owned(Value::Null), Form::Plain)),
            OperandKind::Bool(value) => Ok(Val::bool(*value)),
            OperandKind::Number { value, .. } => Ok(Val::int(value.clone())),
            OperandKind::Text { value, .. } => Ok(Val::text(value.as_str())),
            OperandKind::Function(name) => {
                functions::call(name, &[], &self.shape, self.headers).map_err(|problem| failure(operand, problem))
            }
            OperandKind::Field(fields) => self.fields(operand, dot.clone(), fields),
            OperandKind::Variable { name, fields } => {
                let value = self
                    .variables
                    .iter()
                    .rev()
                    .find(|(known, _)| known == name)
                    .map_or(Val::Missing, |(_, value)| value.clone());
                self.fields(operand, value, fields)
            }
            OperandKind::Group { pipeline, fields } => {
                let value = self.pipeline(pipeline, dot)?;
                self.fields(operand, value, fields)
            }
        }
    }

    fn fields(&mut self, operand: &Operand, value: Val<'d>, fields: &[String]) -> Result<Val<'d>, Failure> {
        let mut value = value;
        for field in fields {
            self.step(operand.at)?;
            let next = value.entry(field, &self.shape);
            value = match (next, value.json(), value.form()) {
                (Some(next), _, _) => next,
                (None, Value::Object(_) | Value::Null, Form::Map | Form::Set) => Val::Missing,
                (None, Value::Object(_), _) => {
                    return Err(failure(operand, EvalProblem::NoEntry { key: field.clone() }));
                }
                (None, Value::Null, _) => {
                    return Err(failure(operand, EvalProblem::NilField { field: field.clone() }));
                }
                _ => {
                    return Err(failure(operand, EvalProblem::NoFields { field: field.clone(), kind: value.kind() }));
                }
            };
        }
        Ok(value)
    }
}

fn failure(operand: &Operand, problem: EvalProblem) -> Failure {
    Failure { at: operand.at, node: operand.to_string(), problem }
}

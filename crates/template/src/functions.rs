//! The functions a template may call.

use crate::error::{CallProblem, EvalProblem};
use crate::print;
use crate::value::{Form, Shape, Val, compare_numbers};
use serde_json::Value;
use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};

/// Every function, with its arguments and what it does; an unknown one is an error when the template is parsed.
///
/// The first block is Go's `text/template` (without `call`, since no value here is a function), the second Docker's.
pub const FUNCTIONS: &[(&str, &str)] = &[
    ("and", "X Y...: the first empty argument, or the last; those behind are not evaluated"),
    ("eq", "X Y...: X equals one of Y"),
    ("ge", "X Y: X is greater than Y or equal"),
    ("gt", "X Y: X is greater than Y"),
    ("html", "X...: printed and escaped for HTML"),
    ("index", "X KEY...: the element of a map or list, of its element and so on"),
    ("js", "X...: printed and escaped for JavaScript"),
    ("le", "X Y: X is less than Y or equal"),
    ("len", "X: bytes of a string, elements of a list or map"),
    ("lt", "X Y: X is less than Y"),
    ("ne", "X Y: X does not equal Y"),
    ("not", "X: true if X is empty"),
    ("or", "X Y...: the first argument that is not empty, or the last"),
    ("print", "X...: printed, spaces only between operands that are no strings"),
    ("printf", "FORMAT X...: printed by Go's verbs"),
    ("println", "X...: printed with spaces between and a newline"),
    ("slice", "X FROM TO: the part of a string or list"),
    ("urlquery", "X...: printed and escaped for a URL's query"),
    ("join", "LIST SEPARATOR: the strings of a list as one"),
    ("json", "X: as JSON"),
    ("lower", "STRING: in lower case"),
    ("pad", "STRING BEFORE AFTER: with spaces around, unless it is empty"),
    ("split", "STRING SEPARATOR: the list of its parts"),
    ("title", "STRING: every word's first letter in upper case"),
    ("truncate", "STRING LENGTH: at most so many characters"),
    ("upper", "STRING: in upper case"),
];

/// Spaces that `pad` adds on one side, at most: more than any line of a table has.
pub(crate) const MAX_PAD: usize = 4096;

/// The function's name in [`FUNCTIONS`].
pub(crate) fn find(name: &str) -> Option<&'static str> {
    FUNCTIONS.iter().map(|(known, _)| *known).find(|known| *known == name)
}

/// The function whose name is nearest to a misspelt one, if any is near.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    FUNCTIONS
        .iter()
        .map(|(known, _)| (distance(known, name), *known))
        .filter(|(distance, known)| *distance <= known.len() / 2)
        // Of two that are as near, the longer: a letter is forgotten more often than added.
        .min_by_key(|(distance, known)| (*distance, Reverse(known.len())))
        .map(|(_, known)| known)
}

/// Edits between two words, of which the second may be anything: only its first bytes count.
fn distance(known: &str, name: &str) -> usize {
    let name = &name.as_bytes()[..name.len().min(32)];
    let mut row: Vec<usize> = (0..=name.len()).collect();
    for (index, left) in known.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, right) in name.iter().enumerate() {
            let above = row[column + 1];
            row[column + 1] = (diagonal + usize::from(left != *right)).min(above + 1).min(row[column] + 1);
            diagonal = above;
        }
    }
    row[name.len()]
}

/// Number of arguments of a function: least and most.
fn arity(function: &str) -> (usize, usize) {
    match function {
        "len" | "not" | "json" | "lower" | "title" | "upper" => (1, 1),
        "ne" | "lt" | "le" | "gt" | "ge" | "join" | "split" | "truncate" => (2, 2),
        "pad" => (3, 3),
        "slice" => (1, 4),
        "print" | "println" | "html" | "js" | "urlquery" => (0, usize::MAX),
        _ => (1, usize::MAX),
    }
}

/// Refuses a wrong number of arguments.
pub(crate) fn check_count(function: &'static str, got: usize) -> Result<(), EvalProblem> {
    let (least, most) = arity(function);
    if (least..=most).contains(&got) {
        return Ok(());
    }
    Err(EvalProblem::ArgumentCount {
        function,
        want: if least == most { least.to_string() } else { format!("at least {least}") },
        got,
    })
}

/// Calls a function; `headers` makes Docker's formatting functions pass their first argument through, as in the heading of a table.
pub(crate) fn call<'d>(
    function: &'static str,
    values: &[Val<'d>],
    shape: &Shape,
    headers: bool,
) -> Result<Val<'d>, EvalProblem> {
    check_count(function, values.len())?;
    if headers && matches!(function, "json" | "title" | "lower" | "upper" | "truncate") {
        return values.first().cloned().ok_or(EvalProblem::NilCommand);
    }
    let refused = |problem| EvalProblem::Call { function, problem };
    match (function, values) {
        ("and", _) => Ok(choose(values, false)),
        ("or", _) => Ok(choose(values, true)),
        ("not", [value]) => Ok(Val::bool(!value.is_true())),
        ("eq", [first, rest @ ..]) => equals_any(first, rest).map(Val::bool).map_err(refused),
        ("ne", [left, right]) => equal(left, right).map(|same| Val::bool(!same)).map_err(refused),
        ("lt", [left, right]) => order(left, right).map(|order| Val::bool(order.is_lt())).map_err(refused),
        ("le", [left, right]) => order(left, right).map(|order| Val::bool(order.is_le())).map_err(refused),
        ("gt", [left, right]) => order(left, right).map(|order| Val::bool(order.is_gt())).map_err(refused),
        ("ge", [left, right]) => order(left, right).map(|order| Val::bool(order.is_ge())).map_err(refused),
        ("len", [value]) => length(value).map(|length| Val::int(length as u64)).map_err(refused),
        ("index", [value, keys @ ..]) => {
            keys.iter().try_fold(value.clone(), |value, key| index(&value, key, shape)).map_err(refused)
        }
        ("slice", [value, bounds @ ..]) => slice(value, bounds).map_err(refused),
        ("print", _) => Ok(Val::text(print::print(values))),
        ("println", _) => Ok(Val::text(print::println(values))),
        ("printf", [format, rest @ ..]) => Ok(Val::text(print::printf(text(format)?, rest))),
        ("html", _) => Ok(Val::text(html(&printed(values)))),
        ("js", _) => Ok(Val::text(js(&printed(values)))),
        ("urlquery", _) => Ok(Val::text(url_query(&printed(values)))),
        ("json", [value]) => Ok(Val::text(print::json(value.json()))),
        ("lower", [value]) => Ok(Val::text(text(value)?.to_lowercase())),
        ("upper", [value]) => Ok(Val::text(text(value)?.to_uppercase())),
        ("title", [value]) => Ok(Val::text(title(text(value)?))),
        ("join", [list, separator]) => join(list, text(separator)?).map(Val::text),
        ("split", [value, separator]) => Ok(Val::owned(split(text(value)?, text(separator)?))),
        ("truncate", [value, length]) => {
            let length = int(length)?;
            let length = usize::try_from(length)
                .map_err(|_| refused(CallProblem::Unreasonable { what: "length", value: length, limit: usize::MAX }))?;
            Ok(Val::text(text(value)?.chars().take(length).collect::<String>()))
        }
        ("pad", [value, before, after]) => {
            let spaces = |value: i64| {
                usize::try_from(value)
                    .ok()
                    .filter(|count| *count <= MAX_PAD)
                    .ok_or_else(|| refused(CallProblem::Unreasonable { what: "padding", value, limit: MAX_PAD }))
            };
            let source = text(value)?;
            let (before, after) = (spaces(int(before)?)?, spaces(int(after)?)?);
            Ok(Val::text(if source.is_empty() {
                String::new()
            } else {
                format!("{}{source}{}", " ".repeat(before), " ".repeat(after))
            }))
        }
        // `find` and `check_count` let nothing else through.
        _ => Err(EvalProblem::NilCommand),
    }
}

fn text<'v>(value: &'v Val<'_>) -> Result<&'v str, EvalProblem> {
    value.json().as_str().ok_or(EvalProblem::ArgumentType { expected: "string", found: value.kind() })
}

fn int(value: &Val<'_>) -> Result<i64, EvalProblem> {
    value.json().as_i64().ok_or(EvalProblem::ArgumentType { expected: "int", found: value.kind() })
}

fn choose<'d>(values: &[Val<'d>], wanted: bool) -> Val<'d> {
    values.iter().find(|value| value.is_true() == wanted).or(values.last()).cloned().unwrap_or(Val::Missing)
}

fn equals_any(first: &Val<'_>, rest: &[Val<'_>]) -> Result<bool, CallProblem> {
    if rest.is_empty() {
        return Err(CallProblem::NotComparable);
    }
    for value in rest {
        if equal(first, value)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(left: &Val<'_>, right: &Val<'_>) -> Result<bool, CallProblem> {
    match (left.json(), right.json()) {
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::String(left), Value::String(right)) => Ok(left == right),
        (Value::Number(left), Value::Number(right)) => {
            compare_numbers(left, right).map(Ordering::is_eq).ok_or(CallProblem::Incompatible)
        }
        (Value::Null, Value::Null) => Ok(true),
        (Value::Null, _) | (_, Value::Null) => Ok(false),
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            Err(CallProblem::NotComparable)
        }
        _ => Err(CallProblem::Incompatible),
    }
}

fn order(left: &Val<'_>, right: &Val<'_>) -> Result<Ordering, CallProblem> {
    match (left.json(), right.json()) {
        (Value::String(left), Value::String(right)) => Ok(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right).ok_or(CallProblem::Incompatible),
        (Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_), _) => Err(CallProblem::NotComparable),
        _ => Err(CallProblem::Incompatible),
    }
}

fn length(value: &Val<'_>) -> Result<usize, CallProblem> {
    match (value.json(), value.form()) {
        (Value::String(text), _) => Ok(text.len()),
        (Value::Array(items), _) => Ok(items.len()),
        (Value::Object(fields), _) => Ok(fields.len()),
        (Value::Null, Form::Map | Form::Set | Form::List) => Ok(0),
        (Value::Null, _) => Err(CallProblem::Nil { action: "len" }),
        _ => Err(CallProblem::NoLength { kind: value.kind() }),
    }
}

fn index<'d>(value: &Val<'d>, key: &Val<'d>, shape: &Shape) -> Result<Val<'d>, CallProblem> {
    match (value.json(), value.form()) {
        (Value::Null, Form::Plain | Form::Pointer | Form::Empty) => Err(CallProblem::Nil { action: "index" }),
        (Value::String(text), _) => {
            let Some(position) = key.json().as_i64() else {
                return Err(CallProblem::BadIndexType { container: "slice/array", kind: key.kind() });
            };
            let byte = usize::try_from(position).ok().and_then(|position| text.as_bytes().get(position));
            byte.map(|byte| Val::int(*byte)).ok_or(CallProblem::OutOfRange { index: position })
        }
        (Value::Array(_), _) | (Value::Null, Form::List) => {
            let Some(position) = key.json().as_i64() else {
                return Err(CallProblem::BadIndexType { container: "slice/array", kind: key.kind() });
            };
            usize::try_from(position)
                .ok()
                .and_then(|position| value.item(position))
                .ok_or(CallProblem::OutOfRange { index: position })
        }
        (Value::Object(_), form) | (Value::Null, form @ (Form::Map | Form::Set)) => {
            let Some(name) = key.json().as_str() else {
                return Err(CallProblem::BadIndexType { container: "map", kind: key.kind() });
            };
            match value.entry(name, shape) {
                Some(entry) => Ok(entry),
                // The zero value of map[string]string, which is what scripts that ask for a label rely on.
                None if form == Form::Map => Ok(Val::text("")),
                None if form == Form::Set => Ok(Val::Json(Cow::Owned(Value::Null), Form::Empty)),
                None => Err(CallProblem::NoEntry { key: name.to_owned() }),
            }
        }
        _ => Err(CallProblem::NoElements { action: "index", kind: value.kind() }),
    }
}

fn slice<'d>(value: &Val<'d>, bounds: &[Val<'d>]) -> Result<Val<'d>, CallProblem> {
    let size = match value.json() {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Null if value.form() != Form::List => return Err(CallProblem::Nil { action: "slice" }),
        Value::Null => 0,
        _ => {
            return Err(CallProblem::NoElements { action: "slice", kind: value.kind() });
        }
    };
    let mut range = [0, size, size];
    for (slot, bound) in range.iter_mut().zip(bounds) {
        let Some(position) = bound.json().as_i64() else {
            return Err(CallProblem::BadIndexType { container: "slice/array", kind: bound.kind() });
        };
        *slot = usize::try_from(position)
            .ok()
            .filter(|position| *position <= size)
            .ok_or(CallProblem::OutOfRange { index: position })?;
    }
    let [from, to, _] = range;
    if from > to {
        return Err(CallProblem::Backwards { from: from as i64, to: to as i64 });
    }
    match value.json() {
        // A cut inside a character leaves bytes that are no text; Go prints them, JSON cannot hold them.
        Value::String(text) => Ok(Val::text(String::from_utf8_lossy(&text.as_bytes()[from..to]))),
        Value::Array(items) => Ok(Val::Json(Cow::Owned(Value::Array(items[from..to].to_vec())), Form::List)),
        _ => Ok(value.clone()),
    }
}

fn join(list: &Val<'_>, separator: &str) -> Result<String, EvalProblem> {
    let wrong = |found| EvalProblem::ArgumentType { expected: "[]string", found };
    match list.json() {
        Value::Null => Ok(String::new()),
        Value::Array(items) => {
            let mut out = String::new();
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push_str(separator);
                }
                out.push_str(item.as_str().ok_or_else(|| wrong(crate::value::kind(item)))?);
            }
            Ok(out)
        }
        _ => Err(wrong(list.kind())),
    }
}

fn split(text: &str, separator: &str) -> Value {
    let part = |part: &str| Value::String(part.to_owned());
    if separator.is_empty() {
        return text.chars().map(|character| Value::String(character.to_string())).collect();
    }
    text.split(separator).map(part).collect()
}

/// Go's `strings.Title`: upper case after what is neither a letter, a digit nor `_`.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut begins = true;
    for character in text.chars() {
        if begins {
            out.extend(character.to_uppercase());
        } else {
            out.push(character);
        }
        begins = if character.is_ascii() {
            !(character.is_ascii_alphanumeric() || character == '_')
        } else {
            character.is_whitespace()
        };
    }
    out
}

fn printed(values: &[Val<'_>]) -> String {
    match values {
        [value] if value.json().is_string() => print::argument(value),
        _ => print::print(values),
    }
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\0' => out.push(char::REPLACEMENT_CHARACTER),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            _ => out.push(character),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", character as u32)),
            _ if (character as u32) < 0x20 => out.push_str(&format!("\\u{:04X}", character as u32)),
            _ => out.push(character),
        }
    }
    out
}

fn url_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names() {
        let table = [
            ("jsn", Some("json")),
            ("jsonn", Some("json")),
            ("uper", Some("upper")),
            ("trunc", Some("truncate")),
            ("xyzzy", None),
            ("", None),
        ];
        for (name, expected) in table {
            assert_eq!(nearest(name), expected, "{name}");
        }
    }

    #[test]
    fn every_listed_function_is_callable() {
        for (name, _) in FUNCTIONS {
            let (least, _) = arity(name);
            let values = vec![Val::text("a"); least.max(1)];
            let outcome = call(name, &values, &Shape::STRICT, false);
            assert!(!matches!(outcome, Err(EvalProblem::NilCommand)), "{name}");
        }
    }
}

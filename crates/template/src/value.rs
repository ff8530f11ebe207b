//! Values while a template runs: JSON with what JSON forgot of Go's types.

use serde_json::{Number, Value};
use std::borrow::Cow;
use std::cmp::Ordering;

/// The names of fields whose Go type matters where JSON has lost it.
///
/// Docker's objects are Go structs, in which a misspelt field is an error; but a label that is not there is not. JSON writes both as objects, and writes an empty list
/// as `null` or not at all. The names are looked up at any depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Fields that hold maps of strings: an absent key is no error, `null` prints as `map[]`.
    pub maps: &'static [&'static str],
    /// Fields that hold maps of empty structs, Go's sets: as [`Shape::maps`], and a value prints as `{}`.
    pub sets: &'static [&'static str],
    /// Fields that hold lists: `null` prints as `[]`.
    pub lists: &'static [&'static str],
    /// Fields that hold pointers to structs: `null` prints as `<nil>`.
    pub pointers: &'static [&'static str],
    /// Fields that may be left out of the JSON of an object: absent means `null`, or the empty string where no other list has the name.
    pub optional: &'static [&'static str],
}

impl Shape {
    /// Every object is strict: a field that is absent is an error.
    pub const STRICT: Shape = Shape { maps: &[], sets: &[], lists: &[], pointers: &[], optional: &[] };

    /// The fields of Docker's `inspect` of images and containers.
    pub const DOCKER: Shape = Shape {
        maps: &["Labels", "Annotations", "Sysctls", "Tmpfs", "Ports", "Networks"],
        sets: &["ExposedPorts", "Volumes"],
        lists: &[
            "Cmd",
            "Entrypoint",
            "Env",
            "OnBuild",
            "Shell",
            "RepoTags",
            "RepoDigests",
            "Layers",
            "Mounts",
            "Args",
            "CapAdd",
            "CapDrop",
            "Binds",
            "Ulimits",
            "Test",
        ],
        pointers: &["Healthcheck"],
        optional: &[
            "ExposedPorts",
            "Volumes",
            "Labels",
            "OnBuild",
            "Shell",
            "StopSignal",
            "Healthcheck",
            "Annotations",
            "Variant",
            "Author",
            "Comment",
        ],
    };
}

/// What Go would know of a JSON value's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Map,
    Set,
    List,
    Pointer,
    /// Go's `struct{}`: the values of a set.
    Empty,
}

/// A value of a running template.
#[derive(Debug, Clone)]
pub(crate) enum Val<'d> {
    /// Go's invalid value, printed `<no value>`: an absent key of a map.
    Missing,
    Json(Cow<'d, Value>, Form),
}

impl<'d> Val<'d> {
    pub(crate) fn borrowed(value: &'d Value) -> Val<'d> {
        Val::Json(Cow::Borrowed(value), Form::Plain)
    }

    pub(crate) fn owned(value: Value) -> Val<'d> {
        Val::Json(Cow::Owned(value), Form::Plain)
    }

    pub(crate) fn text(text: impl Into<String>) -> Val<'d> {
        Val::owned(Value::String(text.into()))
    }

    pub(crate) fn int(value: impl Into<Number>) -> Val<'d> {
        Val::owned(Value::Number(value.into()))
    }

    pub(crate) fn bool(value: bool) -> Val<'d> {
        Val::owned(Value::Bool(value))
    }

    /// The JSON of the value; a missing one is null.
    pub(crate) fn json(&self) -> &Value {
        match self {
            Val::Missing => &Value::Null,
            Val::Json(value, _) => value,
        }
    }

    pub(crate) fn form(&self) -> Form {
        match self {
            Val::Missing => Form::Plain,
            Val::Json(_, form) => *form,
        }
    }

    /// Go's name of the value's type.
    pub(crate) fn kind(&self) -> &'static str {
        match self.json() {
            Value::Null => match self.form() {
                Form::Plain | Form::Pointer => "<nil>",
                Form::Map | Form::Set => "map[string]interface {}",
                Form::List => "[]interface {}",
                Form::Empty => "struct {}",
            },
            other => kind(other),
        }
    }

    /// Spec: text/template, "if": false, 0, nil, and an empty array, map or string are false.
    pub(crate) fn is_true(&self) -> bool {
        match self.json() {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Number(number) => number.as_f64().is_none_or(|number| number != 0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
        }
    }

    /// The element at `index` of an array.
    pub(crate) fn item(&self, index: usize) -> Option<Val<'d>> {
        match self {
            Val::Json(Cow::Borrowed(Value::Array(items)), _) => items.get(index).map(Val::borrowed),
            Val::Json(Cow::Owned(Value::Array(items)), _) => items.get(index).cloned().map(Val::owned),
            _ => None,
        }
    }

    /// The entry of an object, with the form its name gives it.
    pub(crate) fn entry(&self, key: &str, shape: &Shape) -> Option<Val<'d>> {
        let form = match self.form() {
            Form::Map => Form::Plain,
            Form::Set => Form::Empty,
            _ if shape.maps.contains(&key) => Form::Map,
            _ if shape.sets.contains(&key) => Form::Set,
            _ if shape.lists.contains(&key) => Form::List,
            _ if shape.pointers.contains(&key) => Form::Pointer,
            _ => Form::Plain,
        };
        match self {
            Val::Json(Cow::Borrowed(Value::Object(fields)), own) => match fields.get(key) {
                Some(value) => Some(Val::Json(Cow::Borrowed(value), form)),
                None => absent(*own, key, form, shape),
            },
            Val::Json(Cow::Owned(Value::Object(fields)), own) => match fields.get(key) {
                Some(value) => Some(Val::Json(Cow::Owned(value.clone()), form)),
                None => absent(*own, key, form, shape),
            },
            _ => None,
        }
    }
}

fn absent<'d>(own: Form, key: &str, form: Form, shape: &Shape) -> Option<Val<'d>> {
    if matches!(own, Form::Map | Form::Set) || !shape.optional.contains(&key) {
        return None;
    }
    let zero = if form == Form::Plain { Value::String(String::new()) } else { Value::Null };
    Some(Val::Json(Cow::Owned(zero), form))
}

/// Go's name of the type of a JSON value.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// The order of two numbers of one kind; `None` for an integer beside a float, which Go refuses to compare.
pub(crate) fn compare_numbers(left: &Number, right: &Number) -> Option<Ordering> {
    if left.is_f64() != right.is_f64() {
        return None;
    }
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// Keys of an object in the order in which Go walks and prints maps.
pub(crate) fn sorted_keys(fields: &serde_json::Map<String, Value>) -> Vec<&String> {
    let mut keys: Vec<&String> = fields.keys().collect();
    keys.sort_unstable();
    keys
}

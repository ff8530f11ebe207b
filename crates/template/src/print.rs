//! Go's printing of values: `fmt.Sprint`, `fmt.Sprintf`, `json.Marshal` as Docker calls it.

use crate::value::{Form, Val, kind, sorted_keys};
use serde_json::{Number, Value};
use std::fmt::Write;

/// Widths and precisions above this are refused, as Go's `fmt` refuses them.
const MAX_WIDTH: i64 = 1_000_000;

/// A value as an action prints it: null and missing ones are `<no value>`.
pub(crate) fn action(value: &Val<'_>) -> String {
    match (value.json(), value.form()) {
        (Value::Null, Form::Plain) => "<no value>".into(),
        _ => argument(value),
    }
}

/// A value as `%v` prints it.
pub(crate) fn argument(value: &Val<'_>) -> String {
    match (value.json(), value.form()) {
        (Value::Null, Form::Map | Form::Set) => "map[]".into(),
        (Value::Null, Form::List) => "[]".into(),
        (_, Form::Empty) => "{}".into(),
        (Value::Object(fields), Form::Set) => {
            let keys: Vec<String> = sorted_keys(fields).into_iter().map(|key| format!("{key}:{{}}")).collect();
            format!("map[{}]", keys.join(" "))
        }
        (other, _) => plain(other),
    }
}

fn plain(value: &Value) -> String {
    let mut out = String::new();
    write_plain(value, &mut out);
    out
}

fn write_plain(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&decimal(number)),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                write_plain(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push_str("map[");
            for (index, key) in sorted_keys(fields).into_iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                out.push_str(key);
                out.push(':');
                if let Some(value) = fields.get(key) {
                    write_plain(value, out);
                }
            }
            out.push(']');
        }
    }
}

fn decimal(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => general(float),
        _ => number.to_string(),
    }
}

/// `%v` of a float: shortest digits, an exponent below 1e-4 and from 1e6.
fn general(float: f64) -> String {
    if float == 0.0 {
        return if float.is_sign_negative() { "-0" } else { "0" }.into();
    }
    let magnitude = float.abs();
    if (1e-4..1e6).contains(&magnitude) {
        return format!("{float}");
    }
    exponent(&format!("{float:e}"))
}

/// Gives Rust's `1e5` Go's two digits and sign: `1e+05`.
fn exponent(text: &str) -> String {
    let Some((digits, power)) = text.split_once('e') else {
        return text.to_owned();
    };
    let (sign, power) = match power.strip_prefix('-') {
        Some(power) => ('-', power),
        None => ('+', power),
    };
    format!("{digits}e{sign}{power:0>2}")
}

/// `print`: a space only between two operands neither of which is a string.
pub(crate) fn print(values: &[Val<'_>]) -> String {
    let mut out = String::new();
    let mut previous_text = true;
    for (index, value) in values.iter().enumerate() {
        let text = value.json().is_string();
        if index > 0 && !text && !previous_text {
            out.push(' ');
        }
        previous_text = text;
        out.push_str(&argument(value));
    }
    out
}

/// `println`: spaces between all operands and a newline.
pub(crate) fn println(values: &[Val<'_>]) -> String {
    let mut out = values.iter().map(argument).collect::<Vec<_>>().join(" ");
    out.push('\n');
    out
}

/// `json`: compact, `<` `>` `&` not escaped, U+2028 and U+2029 escaped, as Docker's encoder writes them.
pub(crate) fn json(value: &Value) -> String {
    let text = value.to_string();
    if !text.contains(['\u{2028}', '\u{2029}']) {
        return text;
    }
    text.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// The flags of one verb.
#[derive(Default)]
struct Verb {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

impl Verb {
    fn pad(&self, text: &str, zeros: bool) -> String {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        if missing == 0 {
            return text.to_owned();
        }
        if self.minus {
            return format!("{text}{}", " ".repeat(missing));
        }
        if self.zero && zeros {
            let signs = usize::from(text.starts_with(['+', '-', ' ']));
            return format!("{}{}{}", &text[..signs], "0".repeat(missing), &text[signs..]);
        }
        format!("{}{text}", " ".repeat(missing))
    }

    fn sign(&self, negative: bool) -> &'static str {
        match (negative, self.plus, self.space) {
            (true, _, _) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        }
    }
}

/// `printf`: Go's verbs over JSON values, mistakes printed into the text as Go prints them.
pub(crate) fn printf(format: &str, values: &[Val<'_>]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    let mut characters = format.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = characters.peek() {
            match flag {
                '-' => verb.minus = true,
                '+' => verb.plus = true,
                '#' => verb.sharp = true,
                ' ' => verb.space = true,
                '0' => verb.zero = true,
                _ => break,
            }
            characters.next();
        }
        let mut take_number = |characters: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            if characters.peek() == Some(&'*') {
                characters.next();
                let number = values.next().and_then(|value| value.json().as_i64());
                return Some(number.filter(|number| number.abs() <= MAX_WIDTH));
            }
            let mut number: Option<i64> = None;
            while let Some(digit) = characters.peek().and_then(|digit| digit.to_digit(10)) {
                characters.next();
                number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(i64::from(digit)));
            }
            number.map(|number| (number <= MAX_WIDTH).then_some(number))
        };
        match take_number(&mut characters) {
            Some(None) => out.push_str("%!(BADWIDTH)"),
            Some(Some(width)) => {
                verb.minus |= width < 0;
                verb.width = usize::try_from(width.abs()).ok();
            }
            None => {}
        }
        if characters.peek() == Some(&'.') {
            characters.next();
            match take_number(&mut characters) {
                Some(Some(precision)) if precision >= 0 => verb.precision = usize::try_from(precision).ok(),
                Some(_) => out.push_str("%!(BADPREC)"),
                None => verb.precision = Some(0),
            }
        }
        match characters.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(letter) => match values.next() {
                None => {
                    let _ = write!(out, "%!{letter}(MISSING)");
                }
                Some(value) => write_verb(letter, &verb, value, &mut out),
            },
        }
    }
    let extra: Vec<String> = values.map(typed).collect();
    if !extra.is_empty() {
        let _ = write!(out, "%!(EXTRA {})", extra.join(", "));
    }
    out
}

/// `type=value`, as Go names an argument that fits no verb.
fn typed(value: &Val<'_>) -> String {
    if value.json().is_null() && value.form() == Form::Plain {
        return "<nil>".into();
    }
    format!("{}={}", value.kind(), argument(value))
}

fn write_verb(letter: char, verb: &Verb, value: &Val<'_>, out: &mut String) {
    match (letter, value.json()) {
        ('T', _) => out.push_str(&verb.pad(value.kind(), false)),
        // %v of a list or map applies the flags to each element; so does every other verb.
        (_, Value::Array(items)) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                write_verb(letter, verb, &Val::borrowed(item), out);
            }
            out.push(']');
        }
        (_, Value::Object(fields)) => {
            out.push_str("map[");
            for (index, key) in sorted_keys(fields).into_iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                write_verb(letter, verb, &Val::text(key.as_str()), out);
                out.push(':');
                if let Some(value) = fields.get(key) {
                    write_verb(letter, verb, &Val::borrowed(value), out);
                }
            }
            out.push(']');
        }
        ('v', Value::Null) => out.push_str(&verb.pad(&argument(value), false)),
        (_, Value::Null) => {
            let _ = write!(out, "%!{letter}({})", typed(value));
        }
        (_, scalar) => match write_scalar(letter, verb, scalar) {
            Some(text) => out.push_str(&text),
            None => {
                let _ = write!(out, "%!{letter}({}={})", kind(scalar), plain(scalar));
            }
        },
    }
}

/// One scalar under one verb; `None` where Go says that they do not fit.
fn write_scalar(letter: char, verb: &Verb, scalar: &Value) -> Option<String> {
    match scalar {
        Value::Bool(value) => {
            matches!(letter, 'v' | 't').then(|| verb.pad(if *value { "true" } else { "false" }, false))
        }
        Value::String(text) => {
            let cut: String = match verb.precision {
                Some(precision) => text.chars().take(precision).collect(),
                None => text.clone(),
            };
            match letter {
                'v' if verb.sharp => Some(verb.pad(&quote(text), false)),
                'v' | 's' => Some(verb.pad(&cut, true)),
                'q' if verb.sharp && !text.contains('`') => Some(verb.pad(&format!("`{cut}`"), false)),
                'q' => Some(verb.pad(&quote(&cut), true)),
                'x' => Some(verb.pad(&hex(&cut, false), true)),
                'X' => Some(verb.pad(&hex(&cut, true), true)),
                _ => None,
            }
        }
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64()?;
            let magnitude = float.abs();
            let digits = match letter {
                'v' => general(magnitude),
                'f' | 'F' => format!("{magnitude:.*}", verb.precision.unwrap_or(6)),
                'e' => exponent(&format!("{magnitude:.*e}", verb.precision.unwrap_or(6))),
                'E' => exponent(&format!("{magnitude:.*e}", verb.precision.unwrap_or(6))).to_uppercase(),
                'g' | 'G' => {
                    let text = match verb.precision {
                        None => general(magnitude),
                        Some(precision) => significant(magnitude, precision.clamp(1, 17)),
                    };
                    if letter == 'G' { text.to_uppercase() } else { text }
                }
                _ => return None,
            };
            Some(verb.pad(&format!("{}{digits}", verb.sign(float.is_sign_negative())), true))
        }
        Value::Number(number) => {
            let value = number.as_i128()?;
            let magnitude = value.unsigned_abs();
            let sharp = |prefix: &'static str| if verb.sharp { prefix } else { "" };
            let (prefix, digits) = match letter {
                'v' | 'd' => ("", magnitude.to_string()),
                'x' => (sharp("0x"), format!("{magnitude:x}")),
                'X' => (sharp("0X"), format!("{magnitude:X}")),
                'o' => (sharp("0"), format!("{magnitude:o}")),
                'O' => ("0o", format!("{magnitude:o}")),
                'b' => (sharp("0b"), format!("{magnitude:b}")),
                'c' | 'q' | 'U' => {
                    let code = u32::try_from(value).ok().and_then(char::from_u32);
                    let character = code.unwrap_or(char::REPLACEMENT_CHARACTER);
                    return Some(match letter {
                        'c' => verb.pad(&character.to_string(), false),
                        'q' => verb.pad(&format!("'{}'", quoted_character(character, '\'')), false),
                        _ => verb.pad(&format!("U+{magnitude:04X}"), false),
                    });
                }
                _ => return None,
            };
            let digits = match verb.precision {
                Some(precision) if precision > digits.len() => format!("{digits:0>precision$}"),
                _ => digits,
            };
            let text = format!("{}{prefix}{digits}", verb.sign(value < 0));
            Some(verb.pad(&text, verb.precision.is_none()))
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// `%.Ng`: N significant digits, trailing zeros dropped, an exponent below 1e-4 or past the precision.
fn significant(magnitude: f64, precision: usize) -> String {
    if magnitude == 0.0 {
        return "0".into();
    }
    let scientific = format!("{magnitude:.*e}", precision - 1);
    let power: i64 = scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
    };
    let limit = i64::try_from(precision).unwrap_or(i64::MAX);
    if power < -4 || power >= limit {
        let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        return exponent(&format!("{}e{power}", trim(digits)));
    }
    let decimals = usize::try_from(limit - 1 - power).unwrap_or(0);
    trim(&format!("{magnitude:.decimals$}"))
}

fn hex(text: &str, upper: bool) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        let _ = if upper { write!(out, "{byte:02X}") } else { write!(out, "{byte:02x}") };
    }
    out
}

/// Go's `strconv.Quote`.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        out.push_str(&quoted_character(character, '"'));
    }
    out.push('"');
    out
}

fn quoted_character(character: char, quote: char) -> String {
    match character {
        '\x07' => "\\a".into(),
        '\x08' => "\\b".into(),
        '\x0c' => "\\f".into(),
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\t' => "\\t".into(),
        '\x0b' => "\\v".into(),
        '\\' => "\\\\".into(),
        _ if character == quote => format!("\\{quote}"),
        _ if (character as u32) < 0x20 || character == '\x7f' => format!("\\x{:02x}", character as u32),
        _ if character.is_control() || matches!(character, '\u{feff}' | '\u{2028}' | '\u{2029}') => {
            format!("\\u{:04x}", character as u32)
        }
        _ => character.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_as_go_prints_them() {
        let table = [
            (json!(null), "<no value>"),
            (json!(true), "true"),
            (json!(77829120), "77829120"),
            (json!(-1), "-1"),
            (json!(1.5), "1.5"),
            (json!(100000.0), "100000"),
            (json!(999999.5), "999999.5"),
            (json!(1000000.0), "1e+06"),
            (json!(123456789.0), "1.23456789e+08"),
            (json!(1e21), "1e+21"),
            (json!(0.00001), "1e-05"),
            (json!(-0.0), "-0"),
            (json!("a b"), "a b"),
            (json!(["a", "b"]), "[a b]"),
            (json!([]), "[]"),
            (json!([null, 1]), "[<nil> 1]"),
            (json!({"b": 1, "a": "x"}), "map[a:x b:1]"),
            (json!({}), "map[]"),
        ];
        for (value, expected) in table {
            assert_eq!(action(&Val::borrowed(&value)), expected, "{value}");
        }
    }

    #[test]
    fn verbs_of_printf() {
        let table = [
            ("%d", json!([42]), "42"),
            ("%5d|%-5d|%05d|%+d", json!([42, 42, 42, 42]), "   42|42   |00042|+42"),
            ("%05d", json!([-42]), "-0042"),
            ("%x %X %#x %o %b %c %U", json!([255, 255, 255, 8, 5, 65, 65]), "ff FF 0xff 10 101 A U+0041"),
            ("%s|%10s|%-10s|%.2s", json!(["abc", "abc", "abc", "abc"]), "abc|       abc|abc       |ab"),
            ("%q", json!(["a\"b\n"]), "\"a\\\"b\\n\""),
            ("%x", json!(["hi"]), "6869"),
            ("%v %v %v", json!([1, "a", true]), "1 a true"),
            ("%f %.2f %e %g", json!([1.5, 1.5, 1234.5, 1e30]), "1.500000 1.50 1.234500e+03 1e+30"),
            ("%.3g %.3g", json!([1234567.0, 0.5]), "1.23e+06 0.5"),
            ("%t", json!([true]), "true"),
            ("%v", json!([["a", 1]]), "[a 1]"),
            ("%s", json!([{"a": "b"}]), "map[a:b]"),
            ("%T %T %T", json!([1, "a", 1.5]), "int string float64"),
            ("100%%", json!([]), "100%"),
            ("%d", json!(["a"]), "%!d(string=a)"),
            ("%d", json!([]), "%!d(MISSING)"),
            ("a", json!([1]), "a%!(EXTRA int=1)"),
            ("%s", json!([null]), "%!s(<nil>)"),
            ("%", json!([]), "%!(NOVERB)"),
            ("%*d", json!([5, 42]), "   42"),
            ("%1000001d", json!([1]), "%!(BADWIDTH)1"),
            ("%1000000d", json!([1]), &format!("{}1", " ".repeat(999_999))),
        ];
        for (format, arguments, expected) in table {
            let values: Vec<Val<'_>> = arguments.as_array().unwrap().iter().map(Val::borrowed).collect();
            assert_eq!(printf(format, &values), expected, "{format}");
        }
    }

    #[test]
    fn json_is_not_escaped_for_html() {
        assert_eq!(json(&json!({"a": "<&>\u{2028}"})), "{\"a\":\"<&>\\u2028\"}");
    }
}

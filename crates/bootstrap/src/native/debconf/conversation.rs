//! What a script says, and the answers.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use super::database::{Text, is_space, replaced};
use super::questions::Questions;
use super::templates;

/// Priorities, the least first.
const PRIORITIES: [&[u8]; 4] = [b"low", b"medium", b"high", b"critical"];

/// Runs a script that talks; its exit status, 0 where a signal ended it, as in debconf.
pub(super) fn converse(questions: &mut Questions, script: &str, arguments: &[String]) -> io::Result<i32> {
    let mut child = Command::new(script)
        .args(arguments)
        .env("DEBIAN_HAS_FRONTEND", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) else { return Ok(0) };
    let mut talk = Conversation { questions, escapes: false, asked: Vec::new(), seen: Vec::new() };
    let (mut from, mut line, mut is_cut) = (BufReader::new(from), Vec::new(), false);
    loop {
        line.clear();
        if from.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let said = line.strip_suffix(b"\n").unwrap_or(&line);
        let Some(mut answer) = talk.answer(said) else { break };
        // One line is one answer.
        answer.truncate(answer.iter().position(|byte| *byte == b'\n').unwrap_or(answer.len()));
        answer.push(b'\n');
        if to.write_all(&answer).is_err() {
            is_cut = true;
        }
    }
    let status = child.wait()?.code().unwrap_or(0);
    talk.end();
    // SIGPIPE, as debconf reports it.
    Ok(if is_cut { 128 } else { status })
}

struct Conversation<'q> {
    questions: &'q mut Questions,
    /// Whether both sides escape line ends.
    escapes: bool,
    /// What waits for `GO`, and whether it will have been seen then.
    asked: Vec<(Text, bool)>,
    seen: Vec<Text>,
}

fn reply(code: u8, text: impl AsRef<[u8]>) -> Text {
    [code.to_string().as_bytes(), b" ", text.as_ref()].concat()
}

fn success() -> Text {
    b"0".to_vec()
}

fn count() -> Text {
    reply(20, "Incorrect number of arguments")
}

fn missing(name: &[u8]) -> Text {
    reply(10, [name, b" doesn't exist"].concat())
}

fn missing_quoted(name: &[u8]) -> Text {
    reply(10, [b"\"", name, b"\" doesn't exist"].concat())
}

impl Conversation<'_> {
    /// The answer to a line; `None` where nothing more will be said.
    fn answer(&mut self, line: &[u8]) -> Option<Text> {
        let words = if self.escapes { unescaped(line) } else { plain(line) };
        let Some((command, words)) = words.split_first() else {
            return Some(reply(20, [b"Bad line \"", line, b"\" received from confmodule."].concat()));
        };
        let command = command.to_ascii_lowercase();
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let answer = match (command.as_slice(), words.as_slice()) {
            (b"stop", _) => return None,
            (b"version", []) => reply(0, "2.0"),
            (b"version", [version]) => self.version(version),
            (b"capb", words) => {
                self.escapes = words.contains(&b"escape".as_slice());
                reply(0, "multiselect escape ")
            }
            (b"title" | b"beginblock" | b"endblock", _) | (b"info", []) => success(),
            (b"info", [name]) if !self.questions.exists(name) => missing_quoted(name),
            (b"settitle", [name]) if !self.questions.exists(name) => missing_quoted(name),
            (b"info" | b"settitle", [_]) => success(),
            (b"clear", []) => {
                self.asked.clear();
                success()
            }
            (b"input", [priority, name]) => self.input(priority, name),
            (b"go", []) => self.go(),
            (b"register", [template, name]) => match self.questions.exists(template) {
                true => {
                    self.questions.register(template, name);
                    success()
                }
                false => reply(10, [b"No such template, \"", *template, b"\""].concat()),
            },
            (b"purge", []) => {
                for name in self.questions.names() {
                    self.questions.remove_owner(&name);
                }
                success()
            }
            (b"data", [template, item, value @ ..]) if !value.is_empty() => self.data(template, item, value),
            (b"exist", [name]) => reply(0, if self.questions.exists(name) { "true" } else { "false" }),
            (b"progress", words) => self.progress(words),
            (b"x_loadtemplatefile", [file]) => self.load(file, None),
            (b"x_loadtemplatefile", [file, owner]) => self.load(file, Some(owner)),
            (b"get" | b"reset" | b"unregister", [name]) | (b"metaget" | b"fget" | b"visible", [name, _])
                if !self.questions.exists(name) =>
            {
                missing(name)
            }
            (b"set", [name, ..]) | (b"subst", [name, _, ..]) | (b"fset", [name, _, _, ..])
                if !self.questions.exists(name) =>
            {
                missing(name)
            }
            (b"get", [name]) => {
                let value = self.questions.value(name).unwrap_or_default();
                self.told(&value)
            }
            (b"set", [name, value @ ..]) => {
                self.questions.set_field(name, b"value", &value.join(&b' '));
                reply(0, "value set")
            }
            (b"reset", [name]) => {
                let default = self.questions.field(name, b"default").unwrap_or_default();
                self.questions.set_field(name, b"value", &default);
                self.questions.set_flag(name, b"seen", b"false");
                success()
            }
            (b"subst", [name, variable, value @ ..]) => {
                self.questions.set_variable(name, variable, &value.join(&b' '));
                success()
            }
            (b"unregister", [name]) => {
                if self.asked.iter().any(|(asked, _)| asked == name) {
                    reply(10, [name, b" is busy, cannot unregister right now".as_slice()].concat())
                } else {
                    self.questions.remove_owner(name);
                    success()
                }
            }
            (b"metaget", [name, field]) => self.metaget(name, field),
            (b"fget", [name, flag]) => reply(0, self.flag(name, flag)),
            (b"fset", [name, flag, value @ ..]) => self.set_flag(name, flag, &value.join(&b' ')),
            (b"visible", _) => reply(0, "true"),
            (known, _) if COMMANDS.contains(&known) => count(),
            _ => {
                let command = [b"Unsupported command \"", command.as_slice(), b"\" (full line was \"", line].concat();
                reply(20, [&command, b"\") received from confmodule.".as_slice()].concat())
            }
        };
        Some(answer)
    }

    /// A value, escaped where that was agreed upon.
    fn told(&self, value: &[u8]) -> Text {
        match self.escapes {
            true => reply(1, replaced(&replaced(value, b"\\", b"\\\\"), b"\n", b"\\n")),
            false => reply(0, value),
        }
    }

    fn version(&self, version: &[u8]) -> Text {
        let digits = version.iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0u64, |number, digit| number.saturating_mul(10) + u64::from(digit - b'0'));
        match number {
            0 | 1 => reply(30, [b"Version too low (", version, b")"].concat()),
            2 => reply(0, "2.0"),
            _ => reply(30, [b"Version too high (", version, b")"].concat()),
        }
    }

    fn input(&mut self, priority: &[u8], name: &[u8]) -> Text {
        if !self.questions.exists(name) {
            return missing_quoted(name);
        }
        let Some(rank) = PRIORITIES.iter().position(|known| *known == priority) else {
            return reply(20, [b"\"", priority, b"\" is not a valid priority"].concat());
        };
        let least = match std::env::var("DEBIAN_PRIORITY") {
            Ok(priority) => Some(priority.into_bytes()),
            Err(_) => {
                self.questions.exists(b"debconf/priority").then(|| self.questions.value(b"debconf/priority")).flatten()
            }
        };
        let least = least.filter(|least| !least.is_empty()).unwrap_or_else(|| b"high".to_vec());
        let least = PRIORITIES.iter().position(|known| *known == least).unwrap_or_default();
        let is_error = self.questions.field(name, b"type").is_some_and(|kind| kind == b"error");
        let would_show = is_error || rank >= least && self.questions.flag(name, b"seen") != b"true";
        let counts = std::env::var("DEBCONF_NONINTERACTIVE_SEEN").is_ok_and(|seen| seen == "true");
        if !self.asked.iter().any(|(asked, _)| asked == name) {
            self.asked.push((name.to_vec(), would_show && counts));
        }
        reply(30, "question skipped")
    }

    fn go(&mut self) -> Text {
        for (name, is_seen) in std::mem::take(&mut self.asked) {
            let value = self.questions.value(&name).unwrap_or_default();
            let value = match self.questions.field(&name, b"type").as_deref() {
                Some(b"error" | b"text") => Text::new(),
                Some(b"select") => {
                    let choices = self.questions.plain_choices(&name);
                    match choices.contains(&value) {
                        true => value,
                        false => choices.into_iter().next().unwrap_or_default(),
                    }
                }
                _ => value,
            };
            self.questions.set_field(&name, b"value", &value);
            if is_seen {
                self.seen.push(name);
            }
        }
        reply(0, "ok")
    }

    fn metaget(&self, name: &[u8], field: &[u8]) -> Text {
        let lower = field.to_ascii_lowercase();
        let expands = [b"description".as_slice(), b"extended_description", b"choices"];
        let base = lower.split(|byte| *byte == b'-').next().unwrap_or_default();
        let found = match lower.as_slice() {
            b"name" => Some(name.to_vec()),
            b"value" => self.questions.value(name),
            b"owners" => Some(self.questions.owners(name)),
            plain if expands.contains(&plain) => self.questions.template_field(name, plain),
            other => self.questions.field(name, other),
        };
        match found {
            Some(value) if expands.contains(&base) => self.told(&self.questions.expanded(name, &value)),
            Some(value) => self.told(&value),
            None => reply(10, [field, b" does not exist"].concat()),
        }
    }

    fn flag(&self, name: &[u8], flag: &[u8]) -> Text {
        match flag {
            b"isdefault" => opposite(&self.questions.flag(name, b"seen")),
            flag => self.questions.flag(name, flag),
        }
    }

    fn set_flag(&mut self, name: &[u8], flag: &[u8], value: &[u8]) -> Text {
        if flag == b"isdefault" {
            self.questions.set_flag(name, b"seen", &opposite(value));
            return reply(0, self.flag(name, flag));
        }
        if flag == b"seen" {
            self.seen.retain(|seen| seen != name);
        }
        self.questions.set_flag(name, flag, value);
        reply(0, value)
    }

    fn data(&mut self, template: &[u8], item: &[u8], value: &[&[u8]]) -> Text {
        match (self.questions.template_exists(template), item) {
            (false, b"type") => {
                self.questions.make_template(template, &value.join(&b' '));
                success()
            }
            (false, _) => {
                reply(10, [b"Template data field '", item, b"' received before type field".as_slice()].concat())
            }
            (true, b"type") => reply(10, "Template type already set"),
            // Without a converter of texts debconf drops the value.
            (true, _) => success(),
        }
    }

    fn progress(&self, words: &[&[u8]]) -> Text {
        let number =
            |word: &[u8]| std::str::from_utf8(word).ok().and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
        let Some((command, words)) = words.split_first() else { return count() };
        match (command.to_ascii_lowercase().as_slice(), words) {
            (b"start", [least, most, _]) if number(least) > number(most) => {
                reply(20, [b"min (", *least, b") > max (", most, b")"].concat())
            }
            (b"start", [_, _, name]) | (b"info", [name]) if !self.questions.exists(name) => missing(name),
            (b"start", [_, _, _]) | (b"info" | b"set" | b"step", [_]) | (b"stop", []) => reply(0, "OK"),
            (b"start" | b"info" | b"set" | b"step" | b"stop", _) => count(),
            _ => reply(20, "Unknown subcommand"),
        }
    }

    fn load(&mut self, file: &[u8], owner: Option<&[u8]>) -> Text {
        use std::os::unix::ffi::OsStrExt as _;
        let path = Path::new(std::ffi::OsStr::from_bytes(file));
        let Ok(text) = std::fs::read(path) else {
            return reply(10, [b"failed to open ", file, b": No such file or directory"].concat());
        };
        let Some(templates) = templates::parse(&text) else {
            return reply(100, [b"Template parse error in ", file].concat());
        };
        let own = self.questions.owner.clone();
        if let Some(owner) = owner {
            self.questions.owner = owner.to_vec();
        }
        for fields in &templates {
            self.questions.load(fields);
        }
        self.questions.owner = own;
        success()
    }

    /// The script has ended: what it asked was seen.
    fn end(&mut self) {
        for name in std::mem::take(&mut self.seen) {
            self.questions.set_flag(&name, b"seen", b"true");
        }
    }
}

/// Commands that want a certain number of words.
const COMMANDS: [&[u8]; 20] = [
    b"version",
    b"info",
    b"settitle",
    b"clear",
    b"input",
    b"go",
    b"register",
    b"purge",
    b"data",
    b"exist",
    b"x_loadtemplatefile",
    b"get",
    b"set",
    b"reset",
    b"subst",
    b"unregister",
    b"metaget",
    b"fget",
    b"fset",
    b"visible",
];

fn opposite(value: &[u8]) -> Text {
    if value == b"true" { b"false".to_vec() } else { b"true".to_vec() }
}

fn plain(line: &[u8]) -> Vec<Text> {
    line.split(|byte| is_space(*byte)).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Words between blanks, with `\n` for a line end and `\` before any other byte.
fn unescaped(line: &[u8]) -> Vec<Text> {
    let (mut words, mut word, mut at) = (Vec::new(), Text::new(), 0);
    while at < line.len() {
        match &line[at..] {
            [b'\\', b'n', ..] => word.push(b'\n'),
            [b'\\', byte, ..] => word.push(*byte),
            [byte, rest @ ..] => {
                if is_space(*byte) {
                    words.push(std::mem::take(&mut word));
                    at += rest.iter().take_while(|byte| is_space(**byte)).count();
                } else {
                    word.push(*byte);
                }
                at += 1;
                continue;
            }
            [] => break,
        }
        at += 2;
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_answered() {
        let folder = tempfile::tempdir().unwrap();
        let mut questions = Questions::open(folder.path(), b"p").unwrap();
        let fields =
            templates::parse(b"Template: p/s\nType: select\nChoices: a, b\nDefault: c\nDescription: Of ${x}\n")
                .unwrap();
        questions.load(&fields[0]);
        let mut talk = Conversation { questions: &mut questions, escapes: false, asked: Vec::new(), seen: Vec::new() };
        let cases = [
            ("VERSION 2.0", "0 2.0"),
            ("VERSION 1", "30 Version too low (1)"),
            ("version 3.1 x", "20 Incorrect number of arguments"),
            ("GET p/s", "0 c"),
            ("GET p/none", "10 p/none doesn't exist"),
            ("INPUT high p/s", "30 question skipped"),
            ("INPUT loud p/s", "20 \"loud\" is not a valid priority"),
            ("UNREGISTER p/s", "10 p/s is busy, cannot unregister right now"),
            ("GO", "0 ok"),
            ("GET p/s", "0 a"),
            ("SET p/s  two  words ", "0 value set"),
            ("GET p/s", "0 two words"),
            ("SUBST p/s x y z", "0"),
            ("METAGET p/s description", "0 Of y z"),
            ("METAGET p/s none", "0 "),
            ("FGET p/s seen", "0 false"),
            ("FSET p/s seen true", "0 true"),
            ("FGET p/s isdefault", "0 false"),
            ("RESET p/s", "0"),
            ("GET p/s", "0 c"),
            ("CAPB escape", "0 multiselect escape "),
            ("SET p/s a\\nb\\ c", "0 value set"),
            ("GET p/s", "1 a\\nb c"),
            ("PROGRESS START 0 1 p/s", "0 OK"),
            ("EXIST p/none", "0 false"),
            ("BOGUS x", "20 Unsupported command \"bogus\" (full line was \"BOGUS x\") received from confmodule."),
        ];
        for (line, expected) in cases {
            let answer = String::from_utf8(talk.answer(line.as_bytes()).unwrap()).unwrap();
            assert_eq!(answer, expected, "{line}");
        }
        assert_eq!(talk.answer(b"STOP"), None);
    }
}

//! debconf's databases: `config.dat`, `passwords.dat` and `templates.dat`, each a file of stanzas, written in the order
//! of their names. Spec: debconf.conf(5), drivers `File` and `Stack`, format `822`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Bytes: debconf does not ask for an encoding.
pub(super) type Text = Vec<u8>;

/// A question or a template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) fields: BTreeMap<Text, Text>,
    pub(super) owners: BTreeSet<Text>,
    pub(super) flags: BTreeMap<Text, Text>,
    pub(super) variables: BTreeMap<Text, Text>,
}

/// One file.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    mode: u32,
    keep_old: bool,
    /// Locked while this value lives.
    _file: File,
    items: BTreeMap<Text, Item>,
    dirty: bool,
}

impl Database {
    /// Reads a file, and makes it where it is missing.
    pub(super) fn open(path: &Path, mode: u32, keep_old: bool) -> io::Result<Self> {
        let is_new = !path.exists();
        let file = File::options().read(true).write(true).create(true).truncate(false).mode(mode).open(path)?;
        file.try_lock()?;
        let items = parse(&fs::read(path)?);
        Ok(Self { path: path.to_owned(), mode, keep_old: keep_old && !is_new, _file: file, items, dirty: false })
    }

    /// Writes the file anew where anything was set.
    pub(super) fn save(&self) -> io::Result<()> {
        if !self.dirty {
            return Ok(());
        }
        let beside = |suffix: &str| {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        let new = beside("-new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(self.mode).open(&new)?;
        file.write_all(&print(&self.items))?;
        if self.keep_old && self.path.exists() {
            fs::rename(&self.path, beside("-old"))?;
        }
        fs::rename(&new, &self.path)
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Item> {
        self.items.get(name)
    }

    /// An item to be changed; it counts as changed.
    pub(super) fn change(&mut self, name: &[u8]) -> Option<&mut Item> {
        let item = self.items.get_mut(name)?;
        self.dirty = true;
        Some(item)
    }

    /// Gives an item, which is made where it is missing, one more owner.
    pub(super) fn add_owner(&mut self, name: &[u8], owner: &[u8]) {
        let item = self.items.entry(name.to_vec()).or_default();
        self.dirty |= item.owners.insert(owner.to_vec());
    }

    /// Takes an owner away; an item without any is gone, and that is said.
    pub(super) fn remove_owner(&mut self, name: &[u8], owner: &[u8]) -> bool {
        let Some(item) = self.items.get_mut(name) else { return false };
        self.dirty |= item.owners.remove(owner);
        if !item.owners.is_empty() {
            return false;
        }
        self.dirty = true;
        self.items.remove(name);
        true
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Text> {
        self.items.keys()
    }
}

/// Blanks of Perl's `\s` in bytes.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn parse(text: &[u8]) -> BTreeMap<Text, Item> {
    let mut items = BTreeMap::new();
    let mut lines = text.split(|byte| *byte == b'\n').peekable();
    while lines.peek().is_some() {
        let (mut name, mut item, mut in_variables) = (None, Item::default(), false);
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            if in_variables && is_space(line[0]) {
                let (name, value) = variable(line.trim_ascii_start());
                item.variables.insert(name, unfolded(value));
                continue;
            }
            in_variables = false;
            let (key, value) = field(line);
            match key.to_ascii_lowercase().as_slice() {
                b"owners" => item.owners.extend(words(value)),
                b"flags" => item.flags.extend(words(value).map(|flag| (flag, b"true".to_vec()))),
                b"variables" => in_variables = true,
                b"name" => name = Some(value.to_vec()),
                b"" => {}
                key => drop(item.fields.insert(key.to_vec(), unfolded(value))),
            }
        }
        if let Some(name) = name {
            items.insert(name, item);
        }
    }
    items
}

/// `KEY: VALUE`, with at most one blank.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return (line, b"") };
    let value = &line[colon + 1..];
    (&line[..colon], value.strip_prefix(b" ").or_else(|| value.strip_prefix(b"\t")).unwrap_or(value))
}

/// `NAME = VALUE`.
fn variable(line: &[u8]) -> (Text, &[u8]) {
    let Some(sign) = line.iter().position(|byte| *byte == b'=') else { return (line.to_vec(), b"") };
    let value = &line[sign + 1..];
    (line[..sign].trim_ascii_end().to_vec(), value.strip_prefix(b" ").unwrap_or(value))
}

/// Words with a comma and blanks between them.
fn words(value: &[u8]) -> impl Iterator<Item = Text> + '_ {
    let mut rest = Some(value).filter(|value| !value.is_empty());
    std::iter::from_fn(move || {
        let text = rest?;
        let comma = (0..text.len()).find(|at| text[*at] == b',' && text.get(at + 1).is_some_and(|b| is_space(*b)));
        let word = match comma {
            Some(at) => {
                rest = Some(text[at + 1..].trim_ascii_start());
                &text[..at]
            }
            None => {
                rest = None;
                text
            }
        };
        Some(word.to_vec())
    })
}

fn unfolded(value: &[u8]) -> Text {
    replaced(value, b"\\n", b"\n")
}

pub(super) fn replaced(text: &[u8], what: &[u8], with: &[u8]) -> Text {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with(what) {
            out.extend_from_slice(with);
            at += what.len();
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
    out
}

fn print(items: &BTreeMap<Text, Item>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, item) in items {
        let mut line = |parts: &[&[u8]]| {
            out.extend(parts.iter().flat_map(|part| part.iter().copied()));
            out.push(b'\n');
        };
        line(&[b"Name: ", name]);
        for (key, value) in &item.fields {
            let mut key = key.clone();
            if let Some(first) = key.first_mut() {
                first.make_ascii_uppercase();
            }
            line(&[&key, b": ", &replaced(value, b"\n", b"\\n")]);
        }
        if !item.owners.is_empty() {
            let owners: Vec<&[u8]> = item.owners.iter().map(Vec::as_slice).collect();
            line(&[b"Owners: ", &owners.join(&b", "[..])]);
        }
        let flags: Vec<&[u8]> =
            item.flags.iter().filter(|(_, value)| *value == b"true").map(|(flag, _)| flag.as_slice()).collect();
        if !flags.is_empty() {
            line(&[b"Flags: ", &flags.join(&b", "[..])]);
        }
        if !item.variables.is_empty() {
            line(&[b"Variables:"]);
            for (name, value) in &item.variables {
                line(&[b" ", name, b" = ", &replaced(value, b"\n", b"\\n")]);
            }
        }
        line(&[]);
    }
    out
}

pub(super) fn fuzz(data: &[u8]) {
    // A variable without a value may end in blanks, until it is written.
    let written = parse(&print(&parse(data)));
    assert_eq!(parse(&print(&written)), written);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Name: a/b\nDefault: x\\ny\nTemplate: a/b\nOwners: libx, libx:amd64\nFlags: seen\nVariables:\n \
        names = a, b\n none = \n\nName: c\nValue: \nOwners: d\n\n";

    #[test]
    fn what_is_read_is_written_the_same() {
        assert_eq!(String::from_utf8(print(&parse(TEXT.as_bytes()))).unwrap(), TEXT);
        let items = parse(TEXT.as_bytes());
        let item = &items[b"a/b".as_slice()];
        assert_eq!(item.fields[b"default".as_slice()], b"x\ny");
        assert_eq!(item.variables[b"names".as_slice()], b"a, b");
        assert_eq!(item.owners.len(), 2);
        assert!(parse(b"no name\n\n\n: x\n").is_empty());
    }

    #[test]
    fn a_file_is_written_where_something_was_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.dat");
        let mut database = Database::open(&path, 0o600, true).unwrap();
        assert!(Database::open(&path, 0o600, true).is_err(), "it is locked");
        database.save().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        database.add_owner(b"q", b"o");
        database.save().unwrap();
        drop(database);
        assert_eq!(fs::read(&path).unwrap(), b"Name: q\nOwners: o\n\n");
        assert!(!folder.path().join("config.dat-old").exists(), "there was none before");
        let mut database = Database::open(&path, 0o600, true).unwrap();
        assert!(!database.remove_owner(b"q", b"x"));
        assert!(database.remove_owner(b"q", b"o"));
        database.save().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert_eq!(fs::read(folder.path().join("config.dat-old")).unwrap(), b"Name: q\nOwners: o\n\n");
    }
}

//! Questions and their templates.

use std::io;
use std::path::Path;

use super::database::{Database, Item, Text};
use super::templates::Fields;

/// The databases with one package as the owner of what is added.
#[derive(Debug)]
pub(super) struct Questions {
    config: Database,
    passwords: Database,
    templates: Database,
    pub(super) owner: Text,
}

impl Questions {
    /// Opens the databases in a folder.
    pub(super) fn open(folder: &Path, owner: &[u8]) -> io::Result<Self> {
        Ok(Self {
            config: Database::open(&folder.join("config.dat"), 0o644, true)?,
            passwords: Database::open(&folder.join("passwords.dat"), 0o600, false)?,
            templates: Database::open(&folder.join("templates.dat"), 0o644, true)?,
            owner: owner.to_vec(),
        })
    }

    pub(super) fn save(&self) -> io::Result<()> {
        self.config.save()?;
        self.passwords.save()?;
        self.templates.save()
    }

    /// Takes over a template of the package.
    pub(super) fn load(&mut self, fields: &Fields) {
        let get = |name: &[u8]| fields.get(name).map(Vec::as_slice).unwrap_or_default();
        let (name, kind) = (get(b"template"), get(b"type"));
        self.make_template(name, kind);
        if let Some(item) = self.templates.change(name) {
            item.fields = fields.iter().filter(|(key, _)| *key != b"template").map(own).collect();
        }
    }

    /// A template, and the question of its name.
    pub(super) fn make_template(&mut self, name: &[u8], kind: &[u8]) {
        let owners: Vec<Text> =
            self.templates.get(name).map(|item| item.owners.iter().cloned().collect()).unwrap_or_default();
        let owner = self.owner.clone();
        if self.exists(name) {
            self.add_owner(name, &owner, kind);
        } else {
            self.make(name, &owner, name, kind);
        }
        for question in owners {
            if !self.exists(&question) {
                self.make(&question, &owner, name, kind);
            }
        }
        if self.templates.get(name).is_none_or(|item| !item.fields.contains_key(b"type".as_slice())) {
            self.templates.add_owner(name, name);
            if let Some(item) = self.templates.change(name) {
                item.fields.insert(b"type".to_vec(), kind.to_vec());
            }
        }
    }

    fn make(&mut self, name: &[u8], owner: &[u8], template: &[u8], kind: &[u8]) {
        self.add_owner(name, owner, kind);
        self.set_flag(name, b"seen", b"false");
        self.set_template(name, template);
    }

    /// Makes a question of a template, or gives it this owner and template.
    pub(super) fn register(&mut self, template: &[u8], name: &[u8]) {
        let kind = self.field(template, b"type").unwrap_or_default();
        let owner = self.owner.clone();
        if !self.exists(name) {
            self.add_owner(name, &owner, &kind);
            self.set_flag(name, b"seen", b"false");
        }
        self.add_owner(name, &owner, &kind);
        self.set_template(name, template);
    }

    fn set_template(&mut self, name: &[u8], template: &[u8]) {
        let old = self.own_field(name, b"template");
        if old.as_deref() == Some(template) {
            return;
        }
        if let Some(old) = old.filter(|old| !old.is_empty()) {
            self.templates.remove_owner(&old, name);
        }
        self.set_field(name, b"template", template);
        self.templates.add_owner(template, name);
    }

    pub(super) fn exists(&self, name: &[u8]) -> bool {
        self.item(name).is_some()
    }

    pub(super) fn template_exists(&self, name: &[u8]) -> bool {
        self.templates.get(name).is_some()
    }

    fn item(&self, name: &[u8]) -> Option<&Item> {
        self.config.get(name).or_else(|| self.passwords.get(name))
    }

    /// The database that holds a question.
    fn holder(&mut self, name: &[u8]) -> &mut Database {
        match self.config.get(name).is_none() && self.passwords.get(name).is_some() {
            true => &mut self.passwords,
            false => &mut self.config,
        }
    }

    fn add_owner(&mut self, name: &[u8], owner: &[u8], kind: &[u8]) {
        let is_secret = kind.to_ascii_lowercase().windows(8).any(|word| word == b"password");
        match self.exists(name) || !is_secret {
            true => self.holder(name).add_owner(name, owner),
            false => self.passwords.add_owner(name, owner),
        }
    }

    /// Takes this package from the owners of a question; one without any is gone.
    pub(super) fn remove_owner(&mut self, name: &[u8]) {
        let template = self.own_field(name, b"template");
        let owner = self.owner.clone();
        let is_gone = self.holder(name).remove_owner(name, &owner);
        if let Some(template) = template.filter(|template| is_gone && !template.is_empty()) {
            self.templates.remove_owner(&template, name);
        }
    }

    pub(super) fn names(&self) -> Vec<Text> {
        self.config.names().chain(self.passwords.names()).cloned().collect()
    }

    pub(super) fn owners(&self, name: &[u8]) -> Text {
        let owners: Vec<&[u8]> =
            self.item(name).iter().flat_map(|item| item.owners.iter().map(Vec::as_slice)).collect();
        owners.join(&b", "[..])
    }

    fn own_field(&self, name: &[u8], field: &[u8]) -> Option<Text> {
        self.item(name)?.fields.get(field).cloned()
    }

    pub(super) fn set_field(&mut self, name: &[u8], field: &[u8], value: &[u8]) {
        if let Some(item) = self.holder(name).change(name) {
            item.fields.insert(field.to_vec(), value.to_vec());
        }
    }

    /// A field of the question, else of its template: empty where that has none, `None` without a template.
    pub(super) fn field(&self, name: &[u8], field: &[u8]) -> Option<Text> {
        self.own_field(name, field).or_else(|| self.template_field(name, field))
    }

    /// A field of a question's template, in English.
    pub(super) fn template_field(&self, name: &[u8], field: &[u8]) -> Option<Text> {
        let item = self.templates.get(&self.own_field(name, b"template")?)?;
        let english = item.fields.get([field, b"-en"].concat().as_slice());
        let plain = || field.iter().position(|byte| *byte == b'-').and_then(|at| item.fields.get(&field[..at]));
        Some(english.or_else(|| item.fields.get(field)).or_else(plain).cloned().unwrap_or_default())
    }

    /// The choices by which values are known, whatever the language.
    pub(super) fn plain_choices(&self, name: &[u8]) -> Vec<Text> {
        let found = || {
            let fields = &self.templates.get(&self.own_field(name, b"template")?)?.fields;
            fields.get(b"choices-c".as_slice()).or_else(|| fields.get(b"choices".as_slice())).cloned()
        };
        split(&self.expanded(name, &found().unwrap_or_default()))
    }

    pub(super) fn value(&self, name: &[u8]) -> Option<Text> {
        self.own_field(name, b"value").or_else(|| self.template_field(name, b"default"))
    }

    pub(super) fn flag(&self, name: &[u8], flag: &[u8]) -> Text {
        self.item(name).and_then(|item| item.flags.get(flag).cloned()).unwrap_or_else(|| b"false".to_vec())
    }

    pub(super) fn set_flag(&mut self, name: &[u8], flag: &[u8], value: &[u8]) {
        if let Some(item) = self.holder(name).change(name) {
            item.flags.insert(flag.to_vec(), value.to_vec());
        }
    }

    pub(super) fn set_variable(&mut self, name: &[u8], variable: &[u8], value: &[u8]) {
        if let Some(item) = self.holder(name).change(name) {
            item.variables.insert(variable.to_vec(), value.to_vec());
        }
    }

    /// A text with `${NAME}` replaced by the question's variables; `\${NAME}` stays, without the backslash.
    pub(super) fn expanded(&self, name: &[u8], text: &[u8]) -> Text {
        let none = std::collections::BTreeMap::new();
        let variables = self.item(name).map_or(&none, |item| &item.variables);
        let mut out = Text::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            let (escaped, start) = match &text[at..] {
                [b'\\', b'$', b'{', ..] => (true, at + 3),
                [b'$', b'{', ..] => (false, at + 2),
                _ => {
                    out.push(text[at]);
                    at += 1;
                    continue;
                }
            };
            let length = text[start..].iter().position(|byte| matches!(byte, b'{' | b'}')).unwrap_or_default();
            if length == 0 || text[start + length] != b'}' {
                out.push(text[at]);
                at += 1;
                continue;
            }
            let variable = &text[start..start + length];
            match escaped {
                true => out.extend_from_slice(&[b"${", variable, b"}"].concat()),
                false => out.extend_from_slice(variables.get(variable).map(Vec::as_slice).unwrap_or_default()),
            }
            at = start + length + 1;
        }
        out
    }
}

fn own((name, value): (&Text, &Text)) -> (Text, Text) {
    (name.clone(), value.clone())
}

/// Words with a comma and blanks between them, where `\,` and `\ ` are a comma and a blank.
fn split(text: &[u8]) -> Vec<Text> {
    let (mut words, mut word, mut at) = (Vec::new(), Text::new(), 0);
    while at < text.len() {
        match &text[at..] {
            [b'\\', escaped @ (b',' | b' '), ..] => {
                word.push(*escaped);
                at += 2;
            }
            [b',', blank, ..] if super::database::is_space(*blank) => {
                words.push(std::mem::take(&mut word));
                at += 1;
                while text.get(at).is_some_and(|byte| super::database::is_space(*byte)) {
                    at += 1;
                }
            }
            [byte, ..] => {
                word.push(*byte);
                at += 1;
            }
            [] => break,
        }
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
    fn texts_are_expanded_and_split() {
        let folder = tempfile::tempdir().unwrap();
        let mut questions = Questions::open(folder.path(), b"p").unwrap();
        questions.make_template(b"p/q", b"string");
        questions.set_variable(b"p/q", b"a", b"x, y");
        let cases: [(&[u8], &[u8]); 4] =
            [(b"<${a}>${b}", b"<x, y>"), (b"\\${a}", b"${a}"), (b"${", b"${"), (b"${a{}", b"${a{}")];
        for (text, expected) in cases {
            assert_eq!(questions.expanded(b"p/q", text), expected);
        }
        assert_eq!(split(b"a, b\\, c,d,  e\\ "), [b"a".to_vec(), b"b, c,d".to_vec(), b"e ".to_vec()]);
    }

    #[test]
    fn a_secret_lies_apart_and_what_nobody_owns_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut questions = Questions::open(folder.path(), b"p").unwrap();
        questions.make_template(b"p/secret", b"password");
        questions.make_template(b"p/open", b"string");
        questions.register(b"p/open", b"p/other");
        questions.remove_owner(b"p/open");
        questions.save().unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("passwords.dat"), "Name: p/secret\nTemplate: p/secret\nOwners: p\n\n");
        assert_eq!(read("config.dat"), "Name: p/other\nTemplate: p/open\nOwners: p\n\n");
        let templates =
            "Name: p/open\nType: string\nOwners: p/other\n\nName: p/secret\nType: password\nOwners: p/secret\n\n";
        assert_eq!(read("templates.dat"), templates);
    }
}

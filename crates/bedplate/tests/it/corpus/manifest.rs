//! An image in lines: what is compared of it, in an order that no tool decides.
//!
//! ```text
//! Env A=b                              the config, a line for each value
//! history RUN rm /a # buildkit         an entry with a layer; `history - ENV A=b` is one without
//! /bin/x f 755 0:0 12 0f3c…            the tree where it is not the base's: type, mode, owner, size, digest
//! /bin/y f 755 0:0 12 0f3c… = /bin/x   another name of it
//! gone /etc/passwd                     what the base has and the image has not
//! layer 2 hides /a                     a whiteout
//! ```

use bedplate_archive::Index;
use bedplate_archive::index::Indexed;
use bedplate_tree::EntryKind;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Hexadecimal digits of a digest that a line shows.
const DIGITS: usize = 12;

/// An image as it lies in an archive or a store.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    config: Value,
    layers: Vec<Vec<u8>>,
}

impl Saved {
    /// Reads an image of uncompressed layers out of bedplate's store.
    pub(crate) fn in_store(store: &Path, id: &str) -> Saved {
        let blob = |digest: &str| {
            let path = store.join("blobs").join(digest.replace(':', "/"));
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let config: Value = serde_json::from_slice(&blob(id)).expect("a config");
        let layers = strings(&config["rootfs"]["diff_ids"]).iter().map(|diff_id| blob(diff_id)).collect();
        Saved { config, layers }
    }

    /// Reads the folder into which an archive of `docker save`'s form was unpacked.
    pub(crate) fn in_archive(folder: &Path) -> Saved {
        let file = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let manifest: Value = serde_json::from_slice(&file("manifest.json")).expect("a manifest");
        let image = &manifest[0];
        let config = serde_json::from_slice(&file(image["Config"].as_str().expect("a name"))).expect("a config");
        Saved { config, layers: strings(&image["Layers"]).iter().map(|name| file(name)).collect() }
    }

    /// The lines in which it is compared; `base` is what it may begin with.
    pub(crate) fn manifest(&self, base: Option<&Saved>) -> Manifest {
        let mut lines = config_lines(&self.config["config"]);
        let known = base.map(|base| base.history()).unwrap_or_default();
        lines.extend(self.history().into_iter().skip(known.len()));
        let under = base.map(|base| Tree::of(&base.layers, 0).0).unwrap_or_default();
        let (tree, hidden) = Tree::of(&self.layers, base.map_or(0, |base| base.layers.len()));
        let (under, tree) = (under.lines(), tree.lines());
        lines.extend(tree.difference(&under).cloned());
        let path = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        let left: BTreeSet<String> = tree.iter().map(|line| path(line)).collect();
        lines.extend(
            under.iter().map(|line| path(line)).filter(|path| !left.contains(path)).map(|path| format!("gone {path}")),
        );
        lines.extend(hidden);
        Manifest { lines }
    }

    fn history(&self) -> Vec<String> {
        let entries = self.config["history"].as_array().cloned().unwrap_or_default();
        let line = |entry: &Value| {
            let empty = if entry["empty_layer"] == true { "- " } else { "" };
            one_line(&format!("history {empty}{}", entry["created_by"].as_str().unwrap_or_default()))
        };
        entries.iter().map(line).collect()
    }
}

/// What is compared of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) lines: Vec<String>,
}

impl Manifest {
    /// The first of the expectations that does not hold: the beginning of a line, or `no ` and a beginning.
    pub(crate) fn missed<'e>(&self, expected: &'e [String]) -> Option<&'e str> {
        let begins =
            |words: &str| self.lines.iter().any(|line| line == words || line.starts_with(&format!("{words} ")));
        let missed = |words: &&String| match words.strip_prefix("no ") {
            Some(words) => begins(words),
            None => !begins(words),
        };
        expected.iter().find(missed).map(String::as_str)
    }

    /// The lines that only one side has: `ours` and `theirs`.
    pub(crate) fn differences<'m>(&'m self, theirs: &'m Manifest) -> Vec<(&'static str, &'m str)> {
        let only = |who, these: &'m Manifest, those: &'m Manifest| {
            let mut rest: Vec<&String> = those.lines.iter().collect();
            let mut found = Vec::new();
            for line in &these.lines {
                match rest.iter().position(|other| *other == line) {
                    Some(at) => drop(rest.remove(at)),
                    None => found.push((who, line.as_str())),
                }
            }
            found
        };
        [only("ours", self, theirs), only("theirs", theirs, self)].concat()
    }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A text of several lines in one.
fn one_line(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r")
}

/// One line for each value; what is empty is the same as absent. A host name is that of somebody's build container.
fn config_lines(config: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, value) in config.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("Hostname", _) | (_, Value::Null | Value::Bool(false)) => {}
            (_, Value::Array(items)) if items.is_empty() => {}
            ("Env" | "OnBuild", Value::Array(items)) => {
                lines.extend(items.iter().map(|item| format!("{key} {}", item.as_str().unwrap_or_default())));
            }
            (_, Value::Object(map)) if key != "Healthcheck" => {
                for (name, value) in map {
                    lines.push(format!("{key} {name} {}", value.as_str().unwrap_or_default()).trim_end().to_owned());
                }
            }
            (_, Value::String(text)) if text.is_empty() => {}
            (_, Value::String(text)) => lines.push(format!("{key} {text}")),
            (_, other) => lines.push(format!("{key} {other}")),
        }
    }
    lines.iter().map(|line| one_line(line)).collect()
}

/// Layers applied by the rules of the image specification, in the simplest way there is: the tests' own.
#[derive(Debug, Default)]
struct Tree {
    /// Path (the root is empty) to what stands there; names of one file share the number.
    entries: BTreeMap<String, (usize, String)>,
}

impl Tree {
    /// The tree of all layers, and the whiteouts of those from `first` on.
    fn of(layers: &[Vec<u8>], first: usize) -> (Tree, Vec<String>) {
        let mut tree = Tree::default();
        let mut hidden = Vec::new();
        for (number, layer) in layers.iter().enumerate() {
            let found = tree.apply(layer);
            if number >= first {
                hidden.extend(found.into_iter().map(|words| format!("layer {} hides {words}", number + 1 - first)));
            }
        }
        (tree, hidden)
    }

    fn apply(&mut self, layer: &[u8]) -> BTreeSet<String> {
        let index = Index::read_tar(layer).unwrap_or_else(|error| panic!("a layer that is no tar: {error}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut hidden = BTreeSet::new();
        // Whiteouts are of what lies below, wherever in the layer they stand.
        for entry in index.entries() {
            let path = text(entry.path.as_bytes());
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            if name == ".wh..wh..opq" {
                self.clear(folder);
                hidden.insert(format!("all in /{folder}"));
            } else if let Some(name) = name.strip_prefix(".wh.") {
                let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                self.clear(&path);
                self.entries.remove(&path);
                hidden.insert(format!("/{path}"));
            }
        }
        for entry in index.entries() {
            let path = text(entry.path.as_bytes());
            if path.rsplit('/').next().is_some_and(|name| name.starts_with(".wh.")) {
                continue;
            }
            let described = match &entry.indexed {
                Indexed::HardLink(target) => self.entries[&text(target.as_bytes())].clone(),
                Indexed::Entry(found) => (self.next_number(), describe(found, layer)),
            };
            if !described.1.starts_with("d ") {
                self.clear(&path);
            }
            self.entries.insert(path, described);
        }
        hidden
    }

    fn next_number(&self) -> usize {
        self.entries.values().map(|(number, _)| number + 1).max().unwrap_or(0)
    }

    /// Removes all below a path.
    fn clear(&mut self, folder: &str) {
        let below = format!("{folder}/");
        self.entries.retain(|path, _| !(path.starts_with(&below) || (folder.is_empty() && !path.is_empty())));
    }

    fn lines(&self) -> BTreeSet<String> {
        let mut first: BTreeMap<usize, &str> = BTreeMap::new();
        let mut lines = BTreeSet::new();
        // The root's own entry is no file of the image: some builders write it, some do not.
        for (path, (number, what)) in self.entries.iter().filter(|(path, _)| !path.is_empty()) {
            let link = match first.get(number) {
                Some(other) => format!(" = /{other}"),
                None => String::new(),
            };
            first.entry(*number).or_insert(path);
            lines.insert(one_line(&format!("/{path} {what}{link}")));
        }
        lines
    }
}

fn describe(entry: &bedplate_tree::Entry, layer: &[u8]) -> String {
    let metadata = &entry.metadata;
    let (kind, rest) = match &entry.kind {
        EntryKind::Directory => ("d", String::new()),
        EntryKind::Symlink(target) => ("l", format!(" -> {}", String::from_utf8_lossy(target))),
        EntryKind::File(content) => {
            let part = |extent: &bedplate_tree::Extent| {
                let start = usize::try_from(extent.physical).expect("a test's file");
                &layer[start..start + usize::try_from(extent.length).expect("a test's file")]
            };
            let bytes: Vec<u8> = content.extents().iter().flat_map(|extent| part(extent).to_vec()).collect();
            let digest = crate::kit::sha256(&bytes);
            ("f", format!(" {} {}", content.size(), &digest["sha256:".len()..][..DIGITS]))
        }
        other => ("x", format!(" {other:?}")),
    };
    let mut line = format!("{kind} {:o} {}:{}{rest}", metadata.mode, metadata.uid, metadata.gid);
    for (name, value) in metadata.xattrs.iter() {
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        write!(line, " {}={hex}", String::from_utf8_lossy(name)).expect("memory takes it");
    }
    line
}

//! Builds as text: a Dockerfile, its context and what must come of it, many cases in one file.
//!
//! ```text
//! === NAME: what the case shows
//! semantics 22 23                  the lines of SEMANTICS that it stands for
//! flags --build-arg A=1            of the build, the same for all builders
//! expect /x/a f 644                the manifest has a line that begins so
//! expect no /x/b                   and none that begins so
//! fails not in the build context   the build must fail, in bedplate's case with these words
//! without buildah REASON           that builder is not asked
//! needs ids                        its processes are, or give files to, somebody else than root
//! -- Dockerfile --
//! FROM scratch
//! COPY d /x
//! -- d/a --                        a file, 0644
//! text
//! -- d/run 755 --                  a file with a mode
//! -- d/e escaped --                a file whose text has \n, \r, \t, \\, \xNN, and no newline of its own
//! -- d/empty/ 700 --               a directory
//! -- d/l -> a --                   a symbolic link
//! -- d/h = d/a --                  a hard link
//! -- in.tar.gz tar --              an archive, compressed as its name says; its lines are entries in the same words,
//! d/ 755 1:2                       with owners
//! d/f 644 1:2 text
//! ```

use crate::tar::{Entry, Tar};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

/// The time of all in an archive, in seconds since the epoch.
const MTIME: i64 = 1_000_000_000;

/// One build and what must come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Unique in the corpus, and a tag in images' names.
    pub name: String,
    /// What it shows, in one sentence.
    pub about: String,
    /// The lines of SEMANTICS that it stands for.
    pub semantics: Vec<u32>,
    /// Flags of the build.
    pub flags: Vec<String>,
    /// How lines of the manifest begin; after `no `, how none does.
    pub expect: Vec<String>,
    /// The words of the failure, where it must fail.
    pub fails: Option<String>,
    /// Builders that are not asked, with the reason.
    pub without: Vec<(String, String)>,
    /// Whether its processes need more than one user id.
    pub needs_ids: bool,
    /// What lies in the context, the Dockerfile too.
    pub files: Vec<Item>,
    /// All of it as written, for digests.
    pub text: String,
}

/// One thing in a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Path below the context.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What it is.
    pub content: Content,
}

/// What a thing in a context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A directory.
    Directory,
    /// A file.
    File(Vec<u8>),
    /// A symbolic link.
    Symlink(String),
    /// Another name of the file at this path of the context.
    Hardlink(String),
}

/// Reads a file of cases.
///
/// # Panics
/// Where the text is not in the form, with its line.
#[must_use]
pub fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut section: Option<(&str, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let bad = |why: &str| -> ! { panic!("line {}: {why}: {line}", number + 1) };
        if let Some(title) = line.strip_prefix("=== ") {
            if let (Some(section), Some(case)) = (section.take(), cases.last_mut()) {
                case.end(section);
            }
            let Some((name, about)) = title.split_once(": ") else { bad("expected NAME: SENTENCE") };
            cases.push(Case::new(name, about));
            continue;
        }
        let Some(case) = cases.last_mut() else {
            if !line.is_empty() && !line.starts_with('#') {
                bad("expected a comment or a case");
            }
            continue;
        };
        case.text += line;
        case.text += "\n";
        if let Some(header) = line.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --")) {
            if let Some(section) = section.take() {
                case.end(section);
            }
            section = Some((header, String::new()));
        } else if let Some((_, body)) = &mut section {
            *body += line;
            *body += "\n";
        } else if !line.is_empty() && !case.setting(line) {
            bad("no such setting");
        }
    }
    if let (Some(section), Some(case)) = (section, cases.last_mut()) {
        case.end(section);
    }
    cases
}

impl Case {
    fn new(name: &str, about: &str) -> Case {
        Case {
            name: name.to_owned(),
            about: about.to_owned(),
            semantics: Vec::new(),
            flags: Vec::new(),
            expect: Vec::new(),
            fails: None,
            without: Vec::new(),
            needs_ids: false,
            files: Vec::new(),
            text: String::new(),
        }
    }

    fn setting(&mut self, line: &str) -> bool {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "semantics" => {
                let numbers = rest.split(' ').map(|number| number.parse::<u32>().expect("a number"));
                self.semantics.extend(numbers);
            }
            "flags" => self.flags.extend(rest.split(' ').map(str::to_owned)),
            "expect" => self.expect.push(rest.to_owned()),
            "needs" => self.needs_ids = rest == "ids",
            "fails" => self.fails = Some(rest.to_owned()),
            "without" => {
                let (builder, reason) = rest.split_once(' ').expect("a builder and a reason");
                self.without.push((builder.to_owned(), reason.to_owned()));
            }
            _ => return false,
        }
        true
    }

    /// Takes a section; the blank lines before the next case are none of its file.
    fn end(&mut self, (header, body): (&str, String)) {
        let body = format!("{}\n", body.trim_end_matches('\n'));
        let body = if body == "\n" { "" } else { &body };
        self.files.push(item(header, body));
    }

    /// The Dockerfile's text, where it has that name.
    #[must_use]
    pub fn dockerfile(&self) -> String {
        let file = self.files.iter().find(|item| item.path == "Dockerfile");
        match file.map(|item| &item.content) {
            Some(Content::File(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        }
    }

    /// Writes the context into a folder, which is made; no umask counts.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn lay(&self, folder: &Path) {
        let failed = |path: &Path| panic!("{}: cannot write {}", self.name, path.display());
        std::fs::create_dir_all(folder).unwrap_or_else(|_| failed(folder));
        for item in &self.files {
            let path = folder.join(&item.path);
            std::fs::create_dir_all(path.parent().unwrap_or(folder)).unwrap_or_else(|_| failed(&path));
            let done = match &item.content {
                Content::Directory if path.is_dir() => Ok(()),
                Content::Directory => std::fs::create_dir(&path),
                Content::File(bytes) => std::fs::write(&path, bytes),
                Content::Symlink(target) => symlink(target, &path),
                Content::Hardlink(target) => std::fs::hard_link(folder.join(target), &path),
            };
            done.unwrap_or_else(|_| failed(&path));
        }
        self.set_modes(folder);
    }

    /// Gives a context that was laid out its modes, again if need be: a change of owner takes bits away.
    ///
    /// # Panics
    /// If it cannot be done.
    pub fn set_modes(&self, folder: &Path) {
        set_mode(folder, 0o755);
        for item in &self.files {
            for parent in Path::new(&item.path).ancestors().skip(1) {
                set_mode(&folder.join(parent), 0o755);
            }
        }
        // A directory without rights closes itself to what comes below it, so the last one first.
        for item in self.files.iter().rev() {
            if matches!(item.content, Content::File(_) | Content::Directory) {
                set_mode(&folder.join(&item.path), item.mode);
            }
        }
    }
}

fn set_mode(path: &Path, mode: u32) {
    let set = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    set.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn octal_mode(word: &str) -> Option<u32> {
    let is_mode = (3..=4).contains(&word.len()) && word.bytes().all(|byte| (b'0'..b'8').contains(&byte));
    is_mode.then(|| u32::from_str_radix(word, 8).expect("octal digits"))
}

/// A section of a case: `PATH [MODE] [escaped|tar]`, `PATH -> TARGET` or `PATH = OTHER`.
fn item(header: &str, body: &str) -> Item {
    if let Some((path, target)) = header.split_once(" -> ") {
        return Item { path: path.to_owned(), mode: 0o777, content: Content::Symlink(target.to_owned()) };
    }
    if let Some((path, other)) = header.split_once(" = ") {
        return Item { path: path.to_owned(), mode: 0o644, content: Content::Hardlink(other.to_owned()) };
    }
    let (header, kind) = match header.rsplit_once(' ') {
        Some((rest, kind @ ("escaped" | "tar"))) => (rest, kind),
        _ => (header, ""),
    };
    let (path, mode) = match header.rsplit_once(' ').map(|(path, word)| (path, octal_mode(word))) {
        Some((path, Some(mode))) => (path, Some(mode)),
        _ => (header, None),
    };
    if let Some(path) = path.strip_suffix('/') {
        return Item { path: path.to_owned(), mode: mode.unwrap_or(0o755), content: Content::Directory };
    }
    let bytes = match kind {
        "escaped" => unescaped(body.trim_end_matches('\n')),
        "tar" => compressed(path, archive(body)),
        _ => body.as_bytes().to_vec(),
    };
    Item { path: path.to_owned(), mode: mode.unwrap_or(0o644), content: Content::File(bytes) }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let escaped = if byte == b'\\' { rest.next() } else { None };
        bytes.push(match escaped {
            None => byte,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'x') => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                u8::from_str_radix(&String::from_utf8_lossy(&digits), 16).expect("two hexadecimal digits")
            }
            Some(other) => other,
        });
    }
    bytes
}

/// An archive of lines `PATH/ MODE OWNER`, `PATH MODE OWNER TEXT`, `PATH -> TARGET`, `PATH = OTHER`,
/// `xattr NAME VALUE` (for the entry that follows).
fn archive(lines: &str) -> Vec<u8> {
    let mut tar = Tar::new();
    let mut attributes = BTreeMap::new();
    for line in lines.lines() {
        if let Some((name, value)) = line.strip_prefix("xattr ").and_then(|rest| rest.split_once(' ')) {
            tar = tar.pax(&[(&format!("SCHILY.xattr.{name}"), &unescaped(value))]);
        } else if let Some((path, target)) = line.split_once(" -> ") {
            tar = tar.symlink(path, target);
        } else if let Some((path, other)) = line.split_once(" = ") {
            // Docker gives a file the attributes of the last header that names it, so each says the same.
            let (mode, uid, gid) = attributes[other];
            let (path, link) = (path.as_bytes(), other.as_bytes());
            tar = tar.entry(&Entry { path, kind: b'1', mode, uid, gid, mtime: MTIME, link, ..Entry::default() });
        } else {
            let mut words = line.splitn(4, ' ');
            let path = words.next().unwrap_or_default();
            let mode = words.next().and_then(octal_mode).unwrap_or_else(|| panic!("no mode in {line}"));
            let owner = words.next().and_then(|owner| owner.split_once(':'));
            let (uid, gid) = owner.unwrap_or_else(|| panic!("no owner in {line}"));
            let (uid, gid) = (uid.parse().expect("a number"), gid.parse().expect("a number"));
            attributes.insert(path, (mode, uid, gid));
            let data = words.next().map(unescaped).unwrap_or_default();
            let kind = if path.ends_with('/') { b'5' } else { b'0' };
            let path = path.as_bytes();
            tar = tar.entry(&Entry { path, kind, mode, uid, gid, mtime: MTIME, data: &data, ..Entry::default() });
        }
    }
    tar.finish()
}

/// Compresses by the ending of a name.
fn compressed(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    let ending = name.rsplit('.').next().unwrap_or_default();
    let written = match ending {
        "gz" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&bytes).and_then(|()| encoder.finish())
        }
        "bz2" => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
            encoder.write_all(&bytes).and_then(|()| encoder.finish())
        }
        "xz" => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
            encoder.write_all(&bytes).and_then(|()| encoder.finish())
        }
        "zst" => zstd::encode_all(bytes.as_slice(), 3),
        _ => Ok(bytes),
    };
    written.expect("memory takes it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read() {
        let text = "# about the file\n\n=== one: it shows\nsemantics 3 4\nflags --target x\nexpect no /b\n\
            without buildah it cannot\n-- Dockerfile --\nFROM scratch\n\n-- a b 755 --\ntext\n-- e escaped --\n\\x41\\n\n\
            -- d/ 700 --\n-- l -> a b --\n\n=== two: fails\nfails words of it\n-- Dockerfile --\nFROM\n";
        let cases = parse(text);
        let [one, two] = cases.as_slice() else { panic!("{cases:?}") };
        assert_eq!((one.name.as_str(), one.about.as_str(), &one.semantics[..]), ("one", "it shows", &[3, 4][..]));
        assert_eq!(one.flags, ["--target", "x"]);
        assert_eq!(one.expect, ["no /b"]);
        assert_eq!(one.without, [("buildah".to_owned(), "it cannot".to_owned())]);
        assert_eq!(one.dockerfile(), "FROM scratch\n");
        let file = |text: &str| Content::File(text.as_bytes().to_vec());
        let found: Vec<_> = one.files.iter().map(|item| (item.path.as_str(), item.mode, &item.content)).collect();
        assert_eq!(found[1], ("a b", 0o755, &file("text\n")));
        assert_eq!(found[2], ("e", 0o644, &file("A\n")));
        assert_eq!(found[3], ("d", 0o700, &Content::Directory));
        assert_eq!(found[4].2, &Content::Symlink("a b".into()));
        assert_eq!((two.fails.as_deref(), two.dockerfile().as_str()), (Some("words of it"), "FROM\n"));
    }

    #[test]
    fn archives_are_made_of_lines() {
        let lines = "d/ 711 1:2\nd/f 600 3:4 text\\n\nd/l -> f\nd/h = d/f\n";
        for name in ["a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.tar.zst"] {
            let Content::File(bytes) = item(&format!("{name} tar"), lines).content else { panic!() };
            assert_eq!(bytes.len() % 512 == 0, name == "a.tar", "{name}");
        }
    }

    #[test]
    fn contexts_are_laid_out() {
        let cases = parse("=== x: y\n-- d/e/ 500 --\n-- d/f 4711 --\nx\n-- l -> d --\n-- d/h = d/f --\n");
        let folder = tempfile::tempdir().unwrap();
        let context = folder.path().join("context");
        cases[0].lay(&context);
        let mode = |name: &str| std::fs::metadata(context.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("d"), mode("d/e"), mode("d/f"), mode("d/h")), (0o755, 0o500, 0o4711, 0o4711));
        assert_eq!(std::fs::read_link(context.join("l")).unwrap(), Path::new("d"));
    }
}

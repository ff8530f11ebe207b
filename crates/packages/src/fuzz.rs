//! Entry points for fuzzers: bytes in, invariants asserted.

use crate::deb::aptconf::AptConfig;
use crate::deb::control::{Paragraph, Paragraphs, blank_comments, print_field};
use crate::deb::date;
use crate::deb::index::PackagesIndex;
use crate::deb::package::Package;
use crate::deb::relation::Relations;
use crate::deb::release::{Release, is_below};
use crate::deb::sources::{Source, parse_list, parse_sources, print_list, print_sources};
use crate::deb::version::DebVersion;

/// deb822: each paragraph reads as itself again, and what is printed of its fields has their values.
pub fn deb_control(data: &[u8]) {
    assert_eq!(blank_comments(data).len(), data.len());
    let mut line = 0;
    for paragraph in Paragraphs::new(data) {
        let Ok(paragraph) = paragraph.map_err(|error| assert!(!error.to_string().is_empty())) else { return };
        assert!(paragraph.line() > line, "paragraphs go forward");
        let again = Paragraph::parse(paragraph.raw()).expect("a paragraph is a document");
        assert_eq!(again.raw(), paragraph.raw());
        let mut printed = String::new();
        let mut values = Vec::new();
        for field in paragraph.fields() {
            line = field.line();
            if let Ok(text) = field.text() {
                print_field(&mut printed, field.name(), text);
                values.push((field.name(), field.lines().collect::<Vec<&[u8]>>()));
            }
        }
        let again = Paragraph::parse(printed.as_bytes()).expect("what we print, we read");
        for (name, lines) in values {
            // A line without text is printed as ` .`.
            let field = again.field(name).expect("the field was printed");
            assert!(field.lines().filter(|line| *line != b".").eq(lines.into_iter().filter(|line| *line != b".")));
        }
    }
}

/// Versions, one on each line: the order is total, and equal ones are equal to the same.
pub fn deb_version(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let versions: Vec<DebVersion<'_>> = text.lines().take(12).flat_map(DebVersion::parse_lax).collect();
    for a in &versions {
        assert_eq!(DebVersion::parse_lax(a.as_str()).as_ref(), Ok(a));
        assert_eq!(a.to_owned().borrow(), *a);
        for b in &versions {
            assert_eq!(a.cmp(b), b.cmp(a).reverse());
            for c in &versions {
                assert!(!(a <= b && b <= c) || a <= c, "{a} {b} {c}");
            }
        }
    }
}

/// Relations: what parses, prints as something that parses as the same.
pub fn deb_relation(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let relations = Relations::new(&text);
    match relations.check() {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(()) => {
            let printed = relations.to_string();
            let again = Relations::new(&printed);
            assert_eq!(again.check(), Ok(()), "{printed:?}");
            assert_eq!(again.to_string(), printed);
            assert_eq!(again.flat().count(), relations.flat().count());
        }
    }
}

/// Indexes: every paragraph is a package or is counted, and a package's paragraph reads as the package.
pub fn deb_index(data: &[u8]) {
    let Ok(index) = PackagesIndex::parse(data).map_err(|error| assert!(!error.to_string().is_empty())) else { return };
    let paragraphs = Paragraphs::new(data).collect::<Result<Vec<_>, _>>();
    if let Ok(paragraphs) = paragraphs {
        assert_eq!(paragraphs.len(), index.packages().len() + index.skipped_count());
    }
    for package in index.packages() {
        let paragraph = package.paragraph();
        let again = Package::parse(&paragraph).expect("a package's paragraph is a package");
        assert_eq!((again.name, again.version, again.line), (package.name, package.version, package.line));
        assert!(package.sha256().is_ok() || package.sha256().is_err());
        assert!(!package.source().contains('('));
    }
}

/// `Release` files: every path stays below the suite's folder.
pub fn deb_release(data: &[u8]) {
    let Ok(release) = Release::parse(data).map_err(|error| assert!(!error.to_string().is_empty())) else { return };
    for (path, file) in release.files() {
        assert!(is_below(path));
        assert_eq!(release.file(path), Some(file));
    }
    for component in &release.components {
        for candidate in release.candidates(component, "amd64", "Packages") {
            assert!(candidate.by_hash().is_none_or(|path| is_below(&path) || path.len() > candidate.path.len()));
        }
    }
    for seconds in [release.date, release.valid_until].into_iter().flatten() {
        assert_eq!(date::parse(&date::print(seconds)), Ok(seconds.clamp(0, 253_402_300_799)));
    }
}

/// Lists of sources in both forms: what is read prints as something that reads as the same.
pub fn deb_sources(data: &[u8]) {
    let bare = |sources: Vec<Source>| -> Vec<Source> {
        sources.into_iter().map(|source| Source { line: 0, ..source }).collect()
    };
    if let Ok(sources) = parse_list(data).map(bare) {
        let printed = print_list(&sources).expect("a line holds no key");
        assert_eq!(parse_list(printed.as_bytes()).map(bare), Ok(sources), "{printed}");
    }
    if let Ok(sources) = parse_sources(data).map(bare) {
        let printed = print_sources(&sources);
        assert_eq!(parse_sources(printed.as_bytes()).map(bare), Ok(sources), "{printed}");
    }
}

/// apt's configuration: a file read twice has the same values as read once, but for its lists.
pub fn deb_aptconf(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut config = AptConfig::default();
    if config.add(&text).map_err(|error| assert!(!error.to_string().is_empty())).is_err() {
        return;
    }
    let names = ["Acquire::Check-Valid-Until", "Acquire::http::Proxy", "a", "a::b"];
    let values = |config: &AptConfig| names.map(|name| config.get(name).map(str::to_owned));
    let once = values(&config);
    if config.add(&text).is_ok() {
        assert_eq!(values(&config), once);
    }
}

//! Entry points for fuzzers: bytes in, invariants asserted.

use bedplate_tree::accounts::Accounts;
use bedplate_tree::{Content, Entry, Metadata, Source as Place, TreePath};

use crate::deb::aptconf::AptConfig;
use crate::deb::compose::{ComposeOptions, Composition, PathFilter};
use crate::deb::control::{Paragraph, Paragraphs, blank_comments, print_field};
use crate::deb::crude::{Rules, Script};
use crate::deb::date;
use crate::deb::dpkg::alternatives::Alternatives;
use crate::deb::dpkg::diversions::Diversions;
use crate::deb::dpkg::statoverride::StatOverrides;
use crate::deb::dpkg::{
    DatabaseError, DatabaseOptions, Record, State, add_unpacked, admin_path, database, status, triggers,
};
use crate::deb::index::PackagesIndex;
use crate::deb::package::Package;
use crate::deb::payload::Payload;
use crate::deb::relation::Relations;
use crate::deb::release::{Release, is_below};
use crate::deb::select::{Request, Resolver, Variant, select};
use crate::deb::solve::order::plan;
use crate::deb::solve::{Source as PackagesSource, Universe, broken};
use crate::deb::sources::{Source, parse_list, parse_sources, print_list, print_sources};
use crate::deb::version::DebVersion;
use crate::deb::wish::Wish;

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
    if config.add(&text, &mut |_| Vec::new()).map_err(|error| assert!(!error.to_string().is_empty())).is_err() {
        return;
    }
    let names = ["Acquire::Check-Valid-Until", "Acquire::http::Proxy", "a", "a::b"];
    let values = |config: &AptConfig| names.map(|name| config.get(name).map(str::to_owned));
    let once = values(&config);
    if config.add(&text, &mut |_| Vec::new()).is_ok() {
        assert_eq!(values(&config), once);
    }
}

/// A `.deb`: whatever is read can be kept, opened again, composed over itself, and recorded.
pub fn deb_archive(data: &[u8]) {
    let mut tar = Vec::new();
    let Ok(payload) = Payload::read(data, &mut tar) else { return };
    assert_eq!(payload.index().stream_size(), tar.len() as u64);
    assert_eq!(Payload::decode(&payload.encode()).expect("a payload opens as it was kept"), payload);
    compose_and_record(&payload);
}

/// A payload as it is kept.
pub fn deb_payload(data: &[u8]) {
    if let Ok(payload) = Payload::decode(data) {
        let again = Payload::decode(&payload.encode()).expect("a payload opens as it was kept");
        assert_eq!(again, payload);
    }
}

/// A data member in a package that is whole otherwise.
pub fn deb_data(data: &[u8]) {
    const CONTROL: &[u8] = b"Package: fuzz\nVersion: 1\nArchitecture: all\nReplaces: fuzz\n";
    let mut deb = b"!<arch>\n".to_vec();
    let mut member = |name: &str, content: &[u8]| {
        deb.extend_from_slice(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 0, content.len()).as_bytes(),
        );
        deb.extend_from_slice(content);
        deb.extend_from_slice(&b"\n"[..content.len() % 2]);
    };
    let mut control = bedplate_archive::Writer::new(Vec::new());
    let files: [(&str, &[u8]); 3] =
        [("control", CONTROL), ("conffiles", b"/etc/x\n/a\n"), ("triggers", b"interest /usr\nactivate x\n")];
    for (name, content) in files {
        let path = TreePath::parse(name.as_bytes()).expect("a name is a path");
        let entry = Entry::file(Content::from_bytes(content), Metadata::default());
        control.append(&path, &entry, content).expect("a vector takes everything");
    }
    member("debian-binary", b"2.0\n");
    member("control.tar", &control.finish().expect("a vector takes everything").0);
    member("data.tar", data);
    deb_archive(&deb);
}

fn compose_and_record(payload: &Payload) {
    let mut composition = Composition::new(ComposeOptions {
        filter: PathFilter::default().exclude("/usr/share/doc/*").include("*/copyright"),
        diversions: Diversions::parse(b"/a\n/b\n:\n").expect("whole triplets"),
        accounts: Accounts::parse(b"daemon:x:1:1::/:\n", b"mail:x:8:\n"),
    });
    let Ok(number) = composition.unpack(payload) else { return };
    // A wave says what it changes: applied to what was there before, it gives what is there now.
    let before = composition.tree().clone();
    if let Ok((delta, _)) = composition.unpack_wave([payload]) {
        let hidden = composition.tree().walk().any(|(path, _)| bedplate_tree::whiteout::is_reserved(&path));
        let mut again = before;
        if !hidden {
            again.apply(&delta).expect("a difference can be applied");
            assert!(again.walk().map(|(path, _)| path).eq(composition.tree().walk().map(|(path, _)| path)));
        }
    }
    let record = Record { payload, state: State::Unpacked, unlisted: Some(composition.unlisted(number)) };
    let Ok(entries) = database(&[record], &DatabaseOptions::default()) else { return };
    let read = |path: &TreePath| {
        let entry = entries.iter().find(|(name, _)| name == path).map(|(_, entry)| entry);
        match entry.and_then(Entry::content).map(Content::source) {
            Some(Place::Memory(bytes)) => Some(bytes.to_vec()),
            _ => None,
        }
    };
    let status = read(&admin_path("status")).expect("every database has a status");
    assert_eq!(status::parse(&status).expect("what we print, we read").len(), 1);
    let again = add_unpacked::<DatabaseError>(&mut |path| Ok(read(path)), &[record], &DatabaseOptions::default());
    let again = again.expect("what we print, we read");
    let same = again.into_iter().find(|(path, _)| *path == admin_path("status")).map(|(_, entry)| entry);
    assert_eq!(same.as_ref().and_then(Entry::content), Some(&Content::from_bytes(status)));
}

/// The texts of dpkg's database: what is read is printed, and read again the same.
pub fn dpkg_texts(data: &[u8]) {
    if let Ok(stanzas) = status::parse(data) {
        assert!(stanzas.iter().all(|stanza| !stanza.name.is_empty()));
    }
    if let Ok(diversions) = Diversions::parse(data) {
        assert_eq!(Diversions::parse(&diversions.print()).expect("what we print, we read"), diversions);
    }
    if let Ok(overrides) = StatOverrides::parse(data) {
        assert_eq!(StatOverrides::parse(&overrides.print()).expect("what we print, we read"), overrides);
    }
    if let Ok(group) = Alternatives::parse(data) {
        assert_eq!(Alternatives::parse(&group.print()).expect("what we print, we read"), group);
    }
    if let Ok(interests) = triggers::parse_file_interests(data) {
        let printed = triggers::print_file_interests(&interests);
        assert_eq!(triggers::parse_file_interests(&printed).expect("what we print, we read"), interests);
    }
    if let Ok(interests) = triggers::parse_interests(data) {
        let printed = triggers::print_interests(&interests);
        assert_eq!(triggers::parse_interests(&printed).expect("what we print, we read"), interests);
    }
    let _ = triggers::parse_directives(data);
}

/// The solver: one line with a variant and wishes, then an index. What is selected holds; the waves take every package once;
/// what cannot be selected is explained; and debootstrap's rules end.
pub fn deb_solve(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (line, rest) = data.split_at(end);
    let Ok(index) = PackagesIndex::parse(rest) else { return };
    let line = String::from_utf8_lossy(line);
    let (variant, wishes) = line.split_once(' ').unwrap_or((&line, ""));
    let Ok(include) = Wish::list(wishes).map_err(|error| assert!(!error.to_string().is_empty())) else { return };
    let variant = variant.parse().unwrap_or(Variant::Custom);
    let source = PackagesSource::new(&index, "stable", "tiny", "main");
    let universe = Universe::new("amd64", &["i386"], &[source]);
    let mut request = Request { variant, include, recommends: line.contains('+'), ..Request::default() };
    match select(&universe, &request) {
        Ok(selection) => {
            assert_eq!(broken(&universe, &selection), None);
            let plan = plan(&universe, &selection, |number| number % 3 == 0);
            let mut unpacked: Vec<usize> = plan.waves.iter().flat_map(|wave| wave.unpack.iter().copied()).collect();
            let mut configured: Vec<usize> = plan.configure_order().collect();
            unpacked.sort_unstable();
            configured.sort_unstable();
            assert!(unpacked.iter().copied().eq(0..selection.packages.len()));
            assert!(configured.iter().copied().eq(0..selection.packages.len()));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    request.resolver = Resolver::Debootstrap(Rules::new(Script::Debian, "bookworm"));
    match select(&universe, &request) {
        Ok(selection) => assert!(selection.debootstrap.iter().count() >= selection.packages.len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

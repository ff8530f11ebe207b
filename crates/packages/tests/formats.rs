//! The formats against the tools that define them: dpkg's order of versions, and the indexes of the machine's own apt.

use std::cmp::Ordering;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bedplate_packages::deb::aptconf::AptConfig;
use bedplate_packages::deb::index::PackagesIndex;
use bedplate_packages::deb::release::Release;
use bedplate_packages::deb::sources::{Source, parse_list, parse_sources, print_sources};
use bedplate_packages::deb::version::DebVersion;
use bedplate_testkit::{Random, needs, skip};

/// How many pairs are compared: dpkg is started once or twice for each.
const PAIRS: usize = 700;

fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

fn dpkg_says(a: &str, operator: &str, b: &str) -> bool {
    let mut dpkg = Command::new("dpkg");
    dpkg.args(["--compare-versions", a, operator, b]).stderr(Stdio::null());
    dpkg.status().expect("dpkg was found before").success()
}

/// A version of few characters, so that long common beginnings and equal ones are frequent.
fn version(random: &mut Random) -> String {
    let mut text = match random.below(6) {
        0 => format!("{}:", random.below(3)),
        _ => String::new(),
    };
    text.push_str(random.pick::<&str>(&["0", "1", "01", "10"]));
    for _ in 0..random.below(7) {
        text.push_str(random.pick::<&str>(&["0", "1", "9", "00", ".", "+", "~", "~~", "-", "a", "Z", "z", "b", ".0"]));
    }
    text
}

#[test]
fn versions_are_ordered_as_dpkg_orders_them() {
    needs!("formats::versions_are_ordered_as_dpkg_orders_them", installed("dpkg"), "dpkg is not installed");
    let mut random = Random::new(5);
    let mut compared = 0;
    for _ in 0..PAIRS {
        let (a, mut b) = (version(&mut random), version(&mut random));
        if random.one_in(3) {
            b = format!("{a}{}", random.pick(&["", ".", "0", "-0", "~", "a", "+", ".0"]));
        }
        let (Ok(left), Ok(right)) = (DebVersion::parse_lax(&a), DebVersion::parse_lax(&b)) else { continue };
        let order = left.cmp(&right);
        let operator = match order {
            Ordering::Less => "lt",
            Ordering::Equal => "eq",
            Ordering::Greater => "gt",
        };
        compared += 1;
        assert!(dpkg_says(&a, operator, &b), "we say {a:?} {operator} {b:?}, dpkg does not");
    }
    assert!(compared > PAIRS / 2, "most of the generated versions are versions");
}

#[test]
fn versions_are_refused_where_dpkg_refuses_them() {
    let name = "formats::versions_are_refused_where_dpkg_refuses_them";
    needs!(name, installed("dpkg"), "dpkg is not installed");
    // dpkg takes what it only warns of; a version that it refuses compares with nothing.
    let cases = [
        "1",
        "1:1",
        "1-1",
        "a",
        "1_1",
        "1-1_1",
        "~1",
        "1:2:3",
        "2147483647:1",
        "1:",
        ":1",
        "a:1",
        "2147483648:1",
        "1-",
        "1 1",
        "-1",
        "1:-1",
        "-1:1",
    ];
    for text in cases {
        // A refused version is taken for an error and not for "less than".
        let refused = !dpkg_says(text, "eq", text);
        assert_eq!(DebVersion::parse_lax(text).is_err(), refused, "{text:?}: dpkg refuses it: {refused}");
    }
}

/// The text of each `Packages` index that the machine's apt holds.
fn indexes_of_this_machine() -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir("/var/lib/apt/lists") else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let paths = paths.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("_Packages")));
    paths
        .filter_map(|path| {
            let output = Command::new("/usr/lib/apt/apt-helper").arg("cat-file").arg(&path).output().ok()?;
            output.status.success().then_some((path, output.stdout))
        })
        .collect()
}

#[test]
fn real_indexes_read_as_another_reader_reads_them() {
    let test = "formats::real_indexes_read_as_another_reader_reads_them";
    let indexes = indexes_of_this_machine();
    needs!(test, !indexes.is_empty(), "the machine's apt holds no index");
    for (path, data) in indexes {
        let index = PackagesIndex::parse(&data).expect("a real index");
        assert_eq!(index.skipped(), [], "{}", path.display());
        let Ok(text) = std::str::from_utf8(&data) else {
            skip::note(test, "an index is not UTF-8");
            continue;
        };
        // An independent and slow reader: split at empty lines, then at line ends.
        let expected: Vec<_> = text
            .split("\n\n")
            .filter(|stanza| !stanza.trim().is_empty())
            .map(|stanza| {
                let field = |name: &str| {
                    let line = stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    line.unwrap_or_default().to_owned()
                };
                ["Package", "Version", "Architecture", "Filename", "SHA256", "Depends", "Provides"].map(field)
            })
            .collect();
        assert_eq!(index.packages().len(), expected.len(), "{}", path.display());
        for (package, expected) in index.packages().iter().zip(&expected) {
            let digest = package.sha256().expect("a digest").expect("one is there").hex();
            let found = [
                package.name,
                package.version.as_str(),
                package.architecture,
                package.filename.unwrap_or_default(),
                &digest,
                package.depends.as_str(),
                package.provides.as_str(),
            ];
            assert_eq!(found, expected.each_ref().map(String::as_str), "{} line {}", path.display(), package.line);
            let relations = [
                package.depends,
                package.pre_depends,
                package.provides,
                package.conflicts,
                package.breaks,
                package.replaces,
                package.recommends,
                package.suggests,
                package.enhances,
            ];
            for relations in relations {
                assert_eq!(relations.check(), Ok(()), "{} {}", package.name, relations.as_str());
            }
        }
    }
}

/// The files of a folder whose names end so, by name.
fn files_of(folder: &str, suffix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.to_string_lossy().ends_with(suffix)).collect();
    paths.sort_unstable();
    paths
}

#[test]
fn real_releases_list_what_the_archive_has() {
    let test = "formats::real_releases_list_what_the_archive_has";
    let paths = files_of("/var/lib/apt/lists", "_InRelease");
    needs!(test, !paths.is_empty(), "the machine's apt holds no InRelease");
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("an InRelease is text");
        let (_, body) = text.split_once("\n\n").expect("a header of armour");
        let (body, _) = body.split_once("-----BEGIN PGP SIGNATURE-----").expect("a signature");
        let release = Release::parse(body.as_bytes()).expect("a real Release");
        assert!(release.date.is_some() && release.codename.is_some(), "{}", path.display());
        let codename = release.codename.as_deref().unwrap_or_default();
        assert!(release.is_suite(codename));
        // A line of the section of SHA-256 is a file, and no file has no such line.
        let section = body.split_once("\nSHA256:\n").map(|(_, rest)| rest).unwrap_or_default();
        let listed = section.lines().take_while(|line| line.starts_with(' ')).count();
        assert_eq!(release.files().filter(|(_, file)| file.sha256.is_some()).count(), listed, "{}", path.display());
        assert!(listed > 0 && release.files().all(|(_, file)| file.only_weak().is_none()), "{}", path.display());
        for component in &release.components {
            for architecture in release.architectures.iter().filter(|architecture| *architecture != "all") {
                let candidates = release.candidates(component, architecture, "Packages");
                assert!(!candidates.is_empty(), "{}: {component} {architecture}", path.display());
            }
        }
    }
}

#[test]
fn the_sources_of_this_machine_are_read_and_printed() {
    let (lists, sources) = (files_of("/etc/apt", "sources.list"), files_of("/etc/apt/sources.list.d", ".sources"));
    let test = "formats::the_sources_of_this_machine_are_read_and_printed";
    needs!(test, !lists.is_empty() || !sources.is_empty(), "the machine has no sources of apt");
    let read = |paths: &[PathBuf], parse: fn(&[u8]) -> Result<Vec<Source>, _>| -> Vec<Source> {
        let texts = paths.iter().map(|path| std::fs::read(path).expect("a file of apt's can be read"));
        texts
            .flat_map(|text| parse(&text).expect("what apt reads"))
            .map(|source| Source { line: 0, ..source })
            .collect()
    };
    let mut all = read(&lists, parse_list);
    all.extend(read(&sources, parse_sources));
    let again = parse_sources(print_sources(&all).as_bytes()).expect("what we print");
    assert_eq!(again.into_iter().map(|source| Source { line: 0, ..source }).collect::<Vec<_>>(), all);
}

#[test]
fn the_configuration_of_this_machine_is_what_apt_config_dumps() {
    let test = "formats::the_configuration_of_this_machine_is_what_apt_config_dumps";
    let dump = Command::new("apt-config").arg("dump").env_remove("APT_CONFIG").output();
    needs!(test, dump.as_ref().is_ok_and(|dump| dump.status.success()), "apt-config is not installed");
    let dump = String::from_utf8_lossy(&dump.expect("it ran").stdout).to_lowercase();
    let mut config = AptConfig::default();
    for path in files_of("/etc/apt/apt.conf.d", "").into_iter().chain(files_of("/etc/apt", "/apt.conf")) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // As run-parts has it: other names are backups and the like.
        let taken = name == "apt.conf"
            || name
                .strip_suffix(".conf")
                .unwrap_or(&name)
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if taken {
            config
                .add(&std::fs::read_to_string(&path).expect("a file of apt's"), &mut |_| Vec::new())
                .expect("what apt reads");
        }
    }
    let dumped: std::collections::BTreeSet<&str> = dump.lines().collect();
    let missing: Vec<String> = config
        .values()
        // apt turns this one value into a list of its own once it has read all files.
        .filter(|(name, _)| *name != "acquire::languages")
        .map(|(name, value)| format!("{name} \"{}\";", value.to_lowercase()))
        .filter(|line| !dumped.contains(line.as_str()))
        .collect();
    assert_eq!(missing, Vec::<String>::new(), "set by the files, but not in the dump");
}

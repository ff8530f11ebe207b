//! The solver on tiny archives.

use proptest::prelude::*;

use super::super::index::PackagesIndex;
use super::super::select::{Request, Role, Selection, Variant, Why, select};
use super::super::wish::Wish;
use super::order::plan;
use super::relations::Book;
use super::{Need, SolveError, Source, Universe};

const CASES: &str = include_str!("../../../tests/cases/solve.txt");

/// The stanza of a line of the cases: `NAME VERSION [ARCHITECTURE] [MULTI-ARCH]; FIELD: VALUE; ...`.
fn stanza(line: &str) -> String {
    let mut parts = line.split(';').map(str::trim);
    let mut words = parts.next().unwrap().split_whitespace();
    let (name, version) = (words.next().unwrap(), words.next().unwrap());
    let mut text = format!("Package: {name}\nVersion: {version}\nArchitecture: {}\n", words.next().unwrap_or("amd64"));
    text += &words.next().map(|word| format!("Multi-Arch: {word}\n")).unwrap_or_default();
    let fields: Vec<&str> = parts.collect();
    if !fields.iter().any(|field| field.starts_with("Priority:")) {
        text += "Priority: optional\n";
    }
    for field in fields {
        text += &format!("{field}\n");
    }
    text + "\n"
}

/// Solves over sources of such lines, and hands the selection on.
fn solve<T>(
    sources: &[(i16, Vec<&str>)],
    foreign: &[&str],
    request: &Request,
    take: impl FnOnce(Result<Selection<'_>, SolveError>, &Universe<'_>) -> T,
) -> T {
    let texts: Vec<String> = sources.iter().map(|(_, lines)| lines.iter().map(|line| stanza(line)).collect()).collect();
    let indexes: Vec<PackagesIndex<'_>> =
        texts.iter().map(|text| PackagesIndex::parse(text.as_bytes()).unwrap()).collect();
    let sources: Vec<Source<'_>> = indexes
        .iter()
        .zip(sources)
        .map(|(index, (pin, _))| Source { pin: *pin, ..Source::new(index, "stable", "tiny", "main") })
        .collect();
    let universe = Universe::new("amd64", foreign, &sources);
    take(select(&universe, request), &universe)
}

/// `a=1 b:i386=2`.
fn print(selection: &Selection<'_>) -> String {
    let one = |package: &super::super::package::Package<'_>| {
        let architecture = match package.architecture {
            "amd64" | "all" => String::new(),
            other => format!(":{other}"),
        };
        format!("{}{architecture}={}", package.name, package.version.as_str())
    };
    selection.packages.iter().map(|it| one(it.package)).collect::<Vec<_>>().join(" ")
}

fn custom(wishes: &str) -> Request {
    Request { variant: Variant::Custom, include: Wish::list(wishes).unwrap_or_default(), ..Request::default() }
}

#[test]
fn cases() {
    let mut bad = Vec::new();
    let mut count = 0;
    for case in CASES.split("\n[").skip(1) {
        let (name, body) = case.split_once("]\n").unwrap();
        let mut sources = vec![(500, Vec::new())];
        let (mut foreign, mut recommends): (&[&str], bool) = (&[], false);
        for line in body.lines().filter(|line| !line.is_empty()) {
            if let Some(flags) = line.strip_prefix("flags ") {
                foreign = if flags.contains("foreign") { &["i386"] } else { &[] };
                recommends = flags.contains("recommends");
            } else if let Some(pin) = line.strip_prefix("---") {
                sources.push((pin.strip_prefix("pin ").map_or(500, |pin| pin.parse().unwrap()), Vec::new()));
            } else if let Some(want) = line.strip_prefix("want ") {
                count += 1;
                let (wishes, expected) = want.split_once(" = ").map_or_else(
                    || want.split_once(" ! ").map(|(wishes, reason)| (wishes, Err(reason))).unwrap(),
                    |(wishes, packages)| (wishes, Ok(packages)),
                );
                let found = Wish::list(wishes).and_then(|include| {
                    let request = Request { include, recommends, ..custom("") };
                    solve(&sources, foreign, &request, |result, universe| {
                        result.map(|selection| {
                            check(universe, &selection);
                            print(&selection)
                        })
                    })
                });
                match (found, expected) {
                    (Ok(found), Ok(expected)) if found == expected => {}
                    (Err(error), Err(reasons))
                        if reasons.split(" | ").all(|reason| error.to_string().contains(reason)) => {}
                    (found, expected) => {
                        bad.push(format!("{name}: want {wishes}: found {found:?}, expected {expected:?}"))
                    }
                }
            } else {
                sources.last_mut().unwrap().1.push(line);
            }
        }
    }
    assert!(count > 60, "only {count} wishes were read");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Every relation of what was selected holds, in the archive's own terms.
fn check(universe: &Universe<'_>, selection: &Selection<'_>) {
    assert_eq!(super::broken(universe, selection), None, "{}", print(selection));
    for (number, it) in selection.packages.iter().enumerate() {
        if let Why::Package(other, _) = it.why {
            assert!(other != number && other < selection.packages.len());
            assert_eq!(it.role, Role::Dependency);
        }
    }
    let all = plan(universe, selection, |number| number % 2 == 0);
    let mut book = Book::new(universe, false);
    let mut ready: Vec<u32> = Vec::new();
    for (number, wave) in all.waves.iter().enumerate() {
        let first = number == 0 && selection.packages.iter().any(|it| it.package.essential);
        for it in wave.unpack.iter().filter(|_| !wave.forced && !first).map(|number| &selection.packages[*number]) {
            let needs = book.of(it.id.0);
            let mut before = needs.groups.iter().filter(|group| group.need == Need::PreDepends);
            assert!(
                before.all(|group| group.all().any(|other| ready.contains(&other))),
                "{} {}",
                it.package.name,
                print(selection)
            );
        }
        ready.extend(wave.configure.iter().map(|number| selection.packages[*number].id.0));
    }
    let mut unpacked: Vec<usize> = all.waves.iter().flat_map(|wave| wave.unpack.iter().copied()).collect();
    let mut configured: Vec<usize> = all.configure_order().collect();
    unpacked.sort_unstable();
    configured.sort_unstable();
    let every: Vec<usize> = (0..selection.packages.len()).collect();
    assert_eq!((&unpacked, &configured), (&every, &every));
}

#[test]
fn every_candidate_is_explained() {
    let packages = vec![
        "web 1; Depends: server | proxy, lib (>= 2)",
        "server 1; Depends: core (= 1)",
        "core 1; Conflicts: old",
        "core 2",
        "proxy 1; Depends: libprxy",
        "libproxy 1",
        "lib 2; Breaks: proxy",
        "old 1",
    ];
    let text = solve(&[(500, packages)], &[], &custom("web,old"), |result, _| result.unwrap_err().to_string());
    assert_eq!(
        text,
        r#"the wanted packages cannot be installed together
  web 1 (tiny/main) is wanted
    web 1 depends on "server | proxy"
      server 1 (tiny/main) would do, but
        server 1 depends on "core (= 1)"
          core 1 (tiny/main) is not the candidate, core 2 is
      proxy 1 (tiny/main) would do, but
        proxy 1 depends on "libprxy"
          no package is named "libprxy"; near: libproxy"#
    );
}

#[test]
fn a_conflict_is_explained_from_both_sides() {
    let packages = vec!["a 1; Depends: c", "b 1; Depends: d", "c 1; Conflicts: d (<< 2)", "d 1"];
    let text = solve(&[(500, packages)], &[], &custom("a,b"), |result, _| result.unwrap_err().to_string());
    assert_eq!(
        text,
        r#"the wanted packages cannot be installed together
  a 1 (tiny/main) is wanted
    a 1 depends on "c"
      c 1 (tiny/main) would do, but
        it conflicts with "d (<< 2)": d 1 (tiny/main)
  b 1 (tiny/main) is wanted
    b 1 depends on "d"
      d 1 (tiny/main) would do, but
        c 1 (tiny/main) conflicts with "d (<< 2)""#
    );
}

const SMALL: &[&str] = &[
    "base-files 1; Essential: yes; Priority: required; Pre-Depends: awk",
    "dash 1; Essential: yes; Priority: required; Pre-Depends: libc6",
    "libc6 1",
    "mawk 1; Priority: required; Provides: awk",
    "gawk 1; Provides: awk",
    "passwd 1; Priority: required; Depends: libc6",
    "apt 1; Priority: important; Depends: libapt, gpgv | sqv",
    "libapt 1; Depends: libc6",
    "gpgv 1",
    "sqv 1",
    "build-essential 1; Depends: gcc",
    "gcc 1",
    "vim 1; Priority: important",
    "mail 1; Priority: standard",
    "binutils 1",
];

#[test]
fn variants() {
    let names = |variant: &str, request: Request| {
        let request = Request { variant: variant.parse().unwrap(), ..request };
        solve(&[(500, SMALL.to_vec())], &[], &request, |result, universe| {
            let selection = result.unwrap();
            check(universe, &selection);
            selection.packages.iter().map(|it| it.package.name).collect::<Vec<_>>().join(" ")
        })
    };
    for (variant, expected) in [
        ("extract", ""),
        ("custom", ""),
        ("essential", "base-files dash libc6 mawk"),
        ("apt", "apt base-files dash gpgv libapt libc6 mawk"),
        ("required", "apt base-files dash gpgv libapt libc6 mawk passwd"),
        ("minbase", "apt base-files dash gpgv libapt libc6 mawk passwd"),
        ("buildd", "apt base-files build-essential dash gcc gpgv libapt libc6 mawk passwd"),
        ("important", "apt base-files dash gpgv libapt libc6 mawk passwd vim"),
        ("debootstrap", "apt base-files dash gpgv libapt libc6 mawk passwd vim"),
        ("-", "apt base-files dash gpgv libapt libc6 mawk passwd vim"),
        ("fakechroot", "apt base-files binutils dash gpgv libapt libc6 mawk passwd vim"),
        ("standard", "apt base-files dash gpgv libapt libc6 mail mawk passwd vim"),
    ] {
        assert_eq!(names(variant, Request::default()), expected, "{variant}");
    }
    let sqv = Request { include: Wish::list("sqv").unwrap(), ..Request::default() };
    assert_eq!(names("minbase", sqv), "apt base-files dash libapt libc6 mawk passwd sqv");
    let without = Request { exclude: vec!["apt".into(), "passwd".into(), "gpgv".into()], ..Request::default() };
    assert_eq!(names("minbase", without), "base-files dash libc6 mawk");
    let without = Request { exclude: vec!["gpgv".into()], ..Request::default() };
    assert_eq!(names("minbase", without), "apt base-files dash libapt libc6 mawk passwd sqv");
    assert_eq!("frob".parse::<Variant>().unwrap_err().name, "frob");
}

#[test]
fn roles_and_who_asked() {
    let request = Request { variant: Variant::Required, include: Wish::list("gcc").unwrap(), ..Request::default() };
    solve(&[(500, SMALL.to_vec())], &[], &request, |result, _| {
        let selection = result.unwrap();
        let place = |name: &str| selection.packages.iter().position(|it| it.package.name == name).unwrap();
        let of = |name: &str| (selection.packages[place(name)].role, selection.packages[place(name)].why);
        assert_eq!(of("dash"), (Role::Essential, Why::Variant));
        assert_eq!(of("mawk"), (Role::Required, Why::Variant));
        assert_eq!(of("apt"), (Role::Base, Why::Variant));
        assert_eq!(of("gcc"), (Role::Included, Why::Wish(0)));
        assert_eq!(of("gpgv"), (Role::Dependency, Why::Package(place("apt"), Need::Depends)));
        assert_eq!(of("libc6"), (Role::Dependency, Why::Package(place("dash"), Need::PreDepends)));
    });
}

#[test]
fn an_excluded_package_that_is_needed() {
    let request = Request { variant: Variant::Required, exclude: vec!["libapt".into()], ..Request::default() };
    let text = solve(&[(500, SMALL.to_vec())], &[], &request, |result, _| result.unwrap_err().to_string());
    assert!(text.contains("apt 1 depends on \"libapt\"\n      libapt 1 (tiny/main) is excluded"), "{text}");
    let request = Request { include: Wish::list("gcc").unwrap(), exclude: vec!["gcc".into()], ..Request::default() };
    let text = solve(&[(500, SMALL.to_vec())], &[], &request, |result, _| result.unwrap_err().to_string());
    assert_eq!(text, "package \"gcc\" is wanted, but it is excluded, too");
}

#[test]
fn another_suite_brings_what_it_needs() {
    let texts = [("stable", "a 1; Depends: b\nb 1\nc 1"), ("backports", "a 2; Depends: b (>= 2), c\nb 2\nc 2")];
    let texts: Vec<(&str, String)> =
        texts.iter().map(|(suite, lines)| (*suite, lines.lines().map(stanza).collect())).collect();
    let indexes: Vec<PackagesIndex<'_>> =
        texts.iter().map(|(_, text)| PackagesIndex::parse(text.as_bytes()).unwrap()).collect();
    let source = |number: usize| Source::new(&indexes[number], texts[number].0, "tiny", "main");
    let universe = Universe::new("amd64", &[], &[source(0), source(1).automatic(true, true)]);
    let run = |wishes: &str| {
        select(&universe, &custom(wishes)).map(|selection| print(&selection)).map_err(|error| error.to_string())
    };
    assert_eq!(run("a").unwrap(), "a=1 b=1");
    assert_eq!(run("a/backports").unwrap(), "a=2 b=2 c=1");
    assert_eq!(run("a/other").unwrap_err(), "package \"a\" is not in suite \"other\"; it is in: backports, stable");
}

#[test]
fn a_source_that_is_forbidden() {
    let text = solve(&[(0, vec!["a 1"])], &[], &custom("a"), |result, _| result.unwrap_err().to_string());
    assert_eq!(text, "package \"a\" is wanted, but no source that has it has a priority by which it may be taken");
}

#[test]
fn a_long_chain_needs_no_deep_stack() {
    let lines: Vec<String> = (0..20_000).map(|number| format!("p{number} 1; Depends: p{}", number + 1)).collect();
    let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    lines.push("p20000 1");
    solve(&[(500, lines)], &[], &custom("p0"), |result, universe| {
        let selection = result.unwrap();
        assert_eq!(selection.packages.len(), 20_001);
        assert_eq!(plan(universe, &selection, |_| true).waves.len(), 1);
    });
}

#[test]
fn an_index_where_everything_provides_what_everything_needs() {
    let lines = |count: usize| -> Vec<String> {
        (0..count)
            .map(|number| {
                format!(
                    "p{number} 1; Provides: v (= {number}); Depends: p{}, v (>= {number}), v (<< {number})",
                    number + 1
                )
            })
            .collect()
    };
    // What is refused for its size takes seconds at most; what is below the limit is solved, or explained.
    for (count, hard) in [(1_000, false), (10_000, true)] {
        let lines = lines(count);
        let lines = lines.iter().map(String::as_str).collect();
        let error = solve(&[(500, lines)], &[], &custom("p0"), |result, _| result.unwrap_err());
        assert_eq!(matches!(error, SolveError::TooHard), hard, "{count}: {error}");
    }
}

/// Waves as text: unpacked, then configured, by name.
fn waves(lines: &[&str], wishes: &str, without_postinst: &[&str]) -> String {
    solve(&[(500, lines.to_vec())], &[], &custom(wishes), |result, universe| {
        let selection = result.unwrap();
        let name = |number: usize| selection.packages[number].package.name;
        let plan = plan(universe, &selection, |number| !without_postinst.contains(&name(number)));
        let list = |numbers: &[usize]| numbers.iter().map(|number| name(*number)).collect::<Vec<_>>().join(" ");
        let wave = |wave: &super::order::Wave| {
            format!("{} > {}{}", list(&wave.unpack), list(&wave.configure), if wave.forced { " (forced)" } else { "" })
        };
        plan.waves.iter().map(wave).collect::<Vec<_>>().join("; ")
    })
}

#[test]
fn waves_and_order() {
    let cases: &[(&[&str], &str, &[&str], &str)] = &[
        (&["a 1; Depends: b", "b 1; Depends: c", "c 1"], "a", &[], "a b c > c b a"),
        (&["a 1; Pre-Depends: b", "b 1; Pre-Depends: c", "c 1"], "a", &[], "c > c; b > b; a > a"),
        (&["a 1; Pre-Depends: b", "b 1; Depends: c", "c 1", "d 1"], "a,d", &[], "b c d > d c b; a > a"),
        // What is needed for configuration waits for a later wave.
        (&["a 1; Depends: b", "b 1; Pre-Depends: c", "c 1"], "a", &[], "a c > c; b > b a"),
        // What pre-depends on a package that waits, waits with it.
        (
            &["a 1; Depends: b", "b 1; Pre-Depends: c", "c 1", "d 1; Pre-Depends: a"],
            "d",
            &[],
            "a c > c; b > b a; d > d",
        ),
        // The essential ones and what they need come at once, whatever their Pre-Depends.
        (
            &["a 1; Essential: yes; Pre-Depends: b", "b 1; Pre-Depends: c", "c 1", "d 1"],
            "a,d",
            &[],
            "a b c > c b a; d > d",
        ),
        // A cycle is broken at the package without postinst, else at the first by name.
        (&["a 1; Depends: b", "b 1; Depends: a", "c 1; Depends: a"], "c", &[], "a b c > a c b"),
        (&["a 1; Depends: b", "b 1; Depends: a", "c 1; Depends: a"], "c", &["b"], "a b c > b a c"),
        (&["z 1; Depends: a", "a 1; Depends: m", "m 1; Depends: a"], "z", &["z"], "a m z > a z m"),
        // Two packages that pre-depend on each other.
        (&["a 1; Pre-Depends: b", "b 1; Pre-Depends: a"], "a", &[], "a b > a b (forced)"),
        // The core goes first, in debootstrap's order.
        (
            &["base-files 1; Depends: zed", "base-passwd 1; Depends: libc6", "libc6 1", "zed 1", "dpkg 1", "awk 1"],
            "awk,base-files,base-passwd,dpkg",
            &[],
            "awk base-files base-passwd dpkg libc6 zed > base-passwd base-files dpkg libc6 zed awk",
        ),
    ];
    for (lines, wishes, without_postinst, expected) in cases {
        assert_eq!(waves(lines, wishes, without_postinst), *expected, "{lines:?}");
    }
}

#[test]
fn waves_without_an_index() {
    let lines = [
        "a 1; Depends: b",
        "b 1; Pre-Depends: v",
        "c 1; Provides: v",
        "d 1 i386",
        "e 1; Essential: yes; Depends: nowhere",
    ];
    let text: String = lines.iter().map(|line| stanza(line)).collect();
    let packages = PackagesIndex::parse(text.as_bytes()).unwrap().into_packages();
    let plan = |first: Option<&[usize]>| {
        let plan = super::order::plan_packages("amd64", &packages, first, |_| true);
        plan.waves.into_iter().map(|wave| (wave.unpack, wave.configure)).collect::<Vec<_>>()
    };
    assert_eq!(plan(None), [(vec![4], vec![4]), (vec![0, 2, 3], vec![3, 2]), (vec![1], vec![1, 0])]);
    assert_eq!(plan(Some(&[1, 99])), [(vec![1, 2], vec![2, 1]), (vec![0, 3, 4], vec![4, 3, 0])]);
}

/// `a` excludes what provides `v`: `b`, which was chosen for it, and `j`, which is needed.
#[test]
fn what_is_pushed_out_first_does_not_hang_on_the_order_of_stanzas() {
    let lines = [
        "a 1; Conflicts: v",
        "b 1; Provides: v, w",
        "c 1",
        "d 1",
        "f 1; Depends: h",
        "h 1; Pre-Depends: v; Depends: j (<< 2)",
        "j 1; Depends: a | c; Provides: v, w",
    ];
    let mut found = Vec::new();
    for turn in 0..lines.len() {
        let mut turned = lines.to_vec();
        turned.rotate_left(turn);
        for wish in ["d,f", "f,d"] {
            let result = solve(&[(500, turned.clone())], &[], &custom(wish), |result, _| {
                result.map(|selection| print(&selection))
            });
            found.push(result.unwrap());
        }
    }
    found.dedup();
    assert_eq!(found.len(), 1, "{found:?}");
}

/// A small archive: packages `a` to `l` with relations to each other and to two virtual names.
fn archive() -> impl Strategy<Value = Vec<String>> {
    let name = || prop_oneof![6 => (0u8..12).prop_map(|n| char::from(b'a' + n).to_string()), 1 => Just("v".to_owned()), 1 => Just("w".to_owned())];
    let version = || prop_oneof![4 => Just(""), 1 => Just(" (>= 2)"), 1 => Just(" (<< 2)"), 1 => Just(" (= 1)")];
    let relation = move || (name(), version()).prop_map(|(name, version)| format!("{name}{version}"));
    let group = move || proptest::collection::vec(relation(), 1..3).prop_map(|group| group.join(" | "));
    let field = move |title: &'static str, most: usize| {
        proptest::collection::vec(group(), 0..=most).prop_map(move |groups| match groups.is_empty() {
            true => String::new(),
            false => format!("; {title}: {}", groups.join(", ")),
        })
    };
    let negative = (prop_oneof![Just("Conflicts"), Just("Breaks")], proptest::collection::vec(relation(), 0..2))
        .prop_map(
            |(title, list)| {
                if list.is_empty() { String::new() } else { format!("; {title}: {}", list.join(", ")) }
            },
        );
    let provides = prop_oneof![6 => Just(""), 1 => Just("; Provides: v"), 1 => Just("; Provides: w (= 1)"), 1 => Just("; Provides: v, w")];
    let priority = prop_oneof![4 => Just("optional"), 1 => Just("required"), 1 => Just("important")];
    let package = (1u8..3, field("Depends", 2), field("Pre-Depends", 1), negative, provides, priority);
    proptest::collection::vec(package, 12).prop_map(|packages| {
        let one = |(number, (version, depends, pre_depends, negative, provides, priority)): (
            u8,
            (u8, String, String, String, &str, &str),
        )| {
            let name = char::from(b'a' + number);
            format!("{name} {version}{depends}{pre_depends}{negative}{provides}; Priority: {priority}")
        };
        (0u8..).zip(packages).map(one).collect()
    })
}

/// Tries all sets of packages.
fn exists(universe: &Universe<'_>, wanted: &[&str]) -> bool {
    let count = universe.entries.len();
    let mut book = Book::new(universe, false);
    let needs: Vec<_> = (0..count as u32).map(|entry| book.of(entry)).collect();
    let mask = |entries: &mut dyn Iterator<Item = u32>| entries.fold(0u32, |mask, entry| mask | 1 << entry);
    let groups: Vec<Vec<u32>> =
        needs.iter().map(|needs| needs.groups.iter().map(|group| mask(&mut group.all())).collect()).collect();
    let against: Vec<u32> = needs
        .iter()
        .map(|needs| mask(&mut needs.conflicts.iter().flat_map(|conflict| conflict.entries.iter().copied())))
        .collect();
    let roots = mask(&mut wanted.iter().map(|name| universe.candidate(name).unwrap().0));
    (0..1u32 << count).filter(|set| set & roots == roots).any(|set| {
        (0..count)
            .filter(|at| set >> at & 1 == 1)
            .all(|at| groups[at].iter().all(|group| group & set != 0) && against[at] & set == 0)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// A selection holds; there is one wherever there can be one; and the order of stanzas and wishes does not matter.
    #[test]
    fn solutions(lines in archive(), first in 0u8..12, second in 0u8..12, turn in 0usize..12) {
        let names = [char::from(b'a' + first).to_string(), char::from(b'a' + second).to_string()];
        let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let result = solve(&[(500, lines.clone())], &[], &custom(&wanted.join(",")), |result, universe| {
            match &result {
                Ok(selection) => check(universe, selection),
                Err(SolveError::Unsolvable { explanation }) => {
                    assert!(!exists(universe, &wanted), "{lines:?} {wanted:?}\n{explanation}");
                    assert!(explanation.lines.len() > 1 && explanation.lines[0].depth == 0, "{explanation}");
                }
                Err(error) => panic!("{error}"),
            }
            result.map(|selection| print(&selection))
        });
        let mut turned = lines.clone();
        turned.rotate_left(turn);
        turned.swap(0, 7);
        let again = solve(&[(500, turned)], &[], &custom(&format!("{},{}", wanted[1], wanted[0])), |result, _| {
            result.map(|selection| print(&selection))
        });
        match (&result, &again) {
            (Ok(first), Ok(second)) => prop_assert_eq!(first, second),
            (first, second) => prop_assert_eq!(first.is_ok(), second.is_ok()),
        }
    }
}

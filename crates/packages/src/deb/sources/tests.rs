//! Both forms, read and printed.

use proptest::prelude::*;

use super::*;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn lines() {
    let cases = [
        // line | in canonical form
        ("deb http://h/debian bookworm main contrib", "deb http://h/debian bookworm main contrib\n"),
        ("  deb\thttp://h/debian/   bookworm\tmain # and a comment", "deb http://h/debian/ bookworm main\n"),
        ("deb-src http://h/d sid main", "deb-src http://h/d sid main\n"),
        (
            "deb [arch=amd64,i386 signed-by=/k.gpg] http://h/d sid main",
            "deb [arch=amd64,i386 signed-by=/k.gpg] http://h/d sid main\n",
        ),
        ("deb [ trusted=yes by-hash=force ] http://h/d ./", "deb [trusted=yes by-hash=force] http://h/d ./\n"),
        (
            "deb [check-valid-until=false lang=none] http://h/d sid main",
            "deb [check-valid-until=no lang=none] http://h/d sid main\n",
        ),
        ("deb [pdiffs=no arch+=armhf] http://h/d sid main", "deb [arch+=armhf pdiffs=no] http://h/d sid main\n"),
        ("deb [xyz=1] http://h/d sid main", "deb http://h/d sid main\n"),
        ("deb cdrom:[Debian GNU/Linux 12 # x]/ bookworm main", "deb cdrom:[Debian GNU/Linux 12 # x]/ bookworm main\n"),
        ("deb file:/srv/mirror buster/updates main", "deb file:/srv/mirror buster/updates main\n"),
        ("deb http://h/d /", "deb http://h/d /\n"),
        ("# deb http://h/d sid main", ""),
        ("\r", ""),
    ];
    for (line, canonical) in cases {
        let sources = parse_list(line.as_bytes()).unwrap();
        assert_eq!(print_list(&sources).unwrap(), canonical, "{line}");
    }
}

#[test]
fn lines_rejected() {
    let cases = [
        ("rpm http://h/d sid main", "line 1: type \"rpm\": expected deb or deb-src"),
        ("deb", "line 1: URI \"\": expected a scheme, as in http://HOST/PATH"),
        ("\ndeb /srv/mirror sid main", "line 2: URI \"/srv/mirror\": expected a scheme, as in http://HOST/PATH"),
        ("deb http://h/d", "line 1: the source has no suite"),
        (
            "deb http://h/d sid",
            "line 1: suite \"sid\" has no component; only a flat repository, whose suite ends in \"/\", has none",
        ),
        (
            "deb http://h/d ./ main",
            "line 1: suite \"./\" ends in \"/\", so it is a flat repository and has no components",
        ),
        (
            "deb [arch=amd64 http://h/d sid main",
            "line 1: options: expected [ NAME=VALUE ... ], found \"[arch=amd64 http://h/d sid main\"",
        ),
        ("deb [trusted] http://h/d sid main", "line 1: options: expected [ NAME=VALUE ... ], found \"trusted\""),
        ("deb [trusted=maybe] http://h/d sid main", "line 1: Trusted is \"maybe\", expected yes or no"),
        ("deb [by-hash=so] http://h/d sid main", "line 1: By-Hash is \"so\", expected yes, no or force"),
        (
            "deb [signed-by=k.gpg] http://h/d sid main",
            "line 1: Signed-By is \"k.gpg\", expected paths of keyrings or fingerprints",
        ),
        ("deb http://h/d # sid main", "line 1: the source has no suite"),
    ];
    for (line, message) in cases {
        assert_eq!(parse_list(line.as_bytes()).unwrap_err().to_string(), message, "{line}");
    }
    assert_eq!(parse_list(b"\n\xff").unwrap_err(), SourcesError::NotUtf8 { line: 2 });
}

const DEBIAN: &str = "\
# the release
Types: deb deb-src
URIs: http://h/debian
Suites: trixie trixie-updates
# backports are off
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp

Enabled: no
Types: deb
URIs: http://h/debian-security
Suites: trixie-security
Components: main
Architectures: amd64 arm64
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 Comment: x
 .
 mQGN
 =abcd
 -----END PGP PUBLIC KEY BLOCK-----
Check-Valid-Until: off
Languages: none
X-Repolib-Name: Ours
";

#[test]
fn paragraphs() {
    let sources = parse_sources(DEBIAN.as_bytes()).unwrap();
    let [release, security] = &sources[..] else { panic!("two sources") };
    assert_eq!(release.types, [SourceType::Deb, SourceType::DebSrc]);
    assert_eq!(release.suites, ["trixie", "trixie-updates"]);
    let keyring = "/usr/share/keyrings/debian-archive-keyring.pgp";
    assert_eq!(release.signed_by, Some(SignedBy::Keys(words(&[keyring]))));
    assert!(release.enabled && !security.enabled);
    assert_eq!((security.check_valid_until, security.line), (Some(false), 9));
    assert_eq!(security.options, [("Languages", words(&["none"]))]);
    let key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\nmQGN\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n";
    assert_eq!(security.signed_by, Some(SignedBy::Embedded(key.into())));
    let folders: Vec<_> = sources.iter().flat_map(Source::pockets).map(|pocket| pocket.folder()).collect();
    assert_eq!(folders, ["dists/trixie", "dists/trixie-updates"], "what is not enabled is not used");

    let printed = print_sources(&sources);
    let expected = DEBIAN
        .replace("# the release\n", "")
        .replace("# backports are off\n", "")
        .replace("X-Repolib-Name: Ours\n", "")
        .replace(": off\n", ": no\n");
    assert_eq!(printed, expected);
    let error = print_list(&sources).unwrap_err().to_string();
    assert!(error.contains("http://h/debian-security") && error.contains("deb822"), "{error}");
    assert_eq!(print_list(&sources[..1]).unwrap().lines().count(), 4);
}

#[test]
fn empty_lines_behind_a_key_are_not_part_of_it() {
    let text = "Types: deb\nURIs: http://h\nSuites: ./\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n .\n";
    let sources = parse_sources(text.as_bytes()).unwrap();
    assert_eq!(print_sources(&sources), text.replace(" .\n", ""));
}

#[test]
fn paragraphs_rejected() {
    let cases = [
        ("URIs: http://h\nSuites: ./\n", "line 1: type \"\": expected deb or deb-src"),
        ("Types: deb rpm\n", "line 1: type \"rpm\": expected deb or deb-src"),
        ("Types: deb\nSuites: ./\n", "line 1: URI \"\": expected a scheme, as in http://HOST/PATH"),
        ("Types: deb\nURIs: http://h\n", "line 1: the source has no suite"),
        (
            "Types: deb\nURIs: http://h\nSuites: sid\n",
            "line 1: suite \"sid\" has no component; only a flat repository, whose suite ends in \"/\", has none",
        ),
        ("Types: deb\nEnabled: maybe\n", "line 2: Enabled is \"maybe\", expected yes or no"),
        ("Types: deb\nTypes: deb\n", "line 2: field \"Types\" stands twice in one paragraph"),
    ];
    for (text, message) in cases {
        assert_eq!(parse_sources(text.as_bytes()).unwrap_err().to_string(), message, "{text}");
    }
}

#[test]
fn folders() {
    let cases = [
        ("bookworm", false, "dists/bookworm"),
        ("buster/updates", false, "dists/buster/updates"),
        ("./", true, ""),
        ("/", true, ""),
        ("a/b/", true, "a/b"),
        ("./amd64/", true, "amd64"),
    ];
    for (suite, flat, folder) in cases {
        let source = Source { uris: words(&["http://h"]), suites: words(&[suite]), ..Source::default() };
        let pocket = source.pockets().next().unwrap();
        assert_eq!((pocket.is_flat(), pocket.folder().as_str()), (flat, folder), "{suite}");
    }
}

#[test]
fn an_option_stands_once_in_the_order_of_the_table() {
    let text = "deb [snapshot=1 lang=de lang=en arch=amd64 arch-=i386] http://h ./\n";
    let sources = parse_list(text.as_bytes()).unwrap();
    let printed = print_list(&sources).unwrap();
    assert_eq!(printed, "deb [arch=amd64 arch-=i386 lang=en snapshot=1] http://h ./\n");
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9.+-]{0,6}"
}

fn some_words(least: usize) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(word(), least..4)
}

prop_compose! {
    fn source()(
        types in prop::sample::select(vec![
            vec![SourceType::Deb], vec![SourceType::DebSrc], vec![SourceType::Deb, SourceType::DebSrc]]),
        hosts in some_words(1),
        suites in some_words(1),
        flat in any::<bool>(),
        components in some_words(1),
        enabled in any::<bool>(),
        architectures in some_words(0),
        keys in prop::option::of(prop::collection::vec("/[a-z.]{1,8}|[0-9A-F]{40}!?", 1..4)),
        embedded in prop::option::of("[A-Za-z0-9+/]{1,64}"),
        (trusted, check_valid_until) in any::<(Option<bool>, Option<bool>)>(),
        by_hash in prop::option::of(prop::sample::select(vec![ByHash::Yes, ByHash::No, ByHash::Force])),
        options in prop::collection::btree_map(0..OPTIONS.len(), some_words(1), 0..4),
    ) -> Source {
        let armour = |line: String| {
            let begin = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
            SignedBy::Embedded(format!("{begin}\n\n{line}\n-----END PGP PUBLIC KEY BLOCK-----\n"))
        };
        Source {
            types,
            uris: hosts.into_iter().map(|host| format!("http://{host}/debian")).collect(),
            suites: suites.into_iter().map(|suite| if flat { format!("{suite}/") } else { suite }).collect(),
            components: if flat { Vec::new() } else { components },
            enabled,
            architectures,
            signed_by: keys.map(SignedBy::Keys).or(embedded.map(armour)),
            trusted,
            check_valid_until,
            by_hash,
            options: options.into_iter().map(|(at, words)| (OPTIONS[at].0, words)).collect(),
            line: 0,
        }
    }
}

fn without_lines(sources: Vec<Source>) -> Vec<Source> {
    sources.into_iter().map(|source| Source { line: 0, ..source }).collect()
}

proptest! {
    #[test]
    fn what_is_printed_reads_as_the_same(sources in prop::collection::vec(source(), 0..4)) {
        let printed = print_sources(&sources);
        let read = parse_sources(printed.as_bytes());
        prop_assert_eq!(read.map(without_lines), Ok(sources.clone()));
        let Ok(list) = print_list(&sources) else { return Ok(()) };
        let read = parse_list(list.as_bytes()).unwrap();
        let used = |sources: &[Source]| -> Vec<String> {
            let pockets = sources.iter().flat_map(Source::pockets);
            pockets.map(|p| format!("{} {} {:?} {:?}", p.uri, p.suite, p.components, p.source.signed_by)).collect()
        };
        prop_assert_eq!(used(&read), used(&sources));
    }
}

#[test]
fn a_line_of_a_dot_and_a_vertical_tab_is_an_empty_line_of_a_key() {
    let text = "Types: deb\nURIs: http://h/d\nSuites: sid\nComponents: main\nSigned-By:\n \
                -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\u{b} \n x\n .\u{b} ";
    let sources = parse_sources(text.as_bytes()).unwrap();
    let key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx\n";
    assert_eq!(sources[0].signed_by, Some(SignedBy::Embedded(key.into())));
    let again = parse_sources(print_sources(&sources).as_bytes()).unwrap();
    assert_eq!(again[0].signed_by, sources[0].signed_by);
}

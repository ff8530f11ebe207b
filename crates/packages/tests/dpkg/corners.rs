//! The corners of unpacking: what we make of packages is what dpkg makes of them, error for error.

use std::fs;

use bedplate_packages::deb::compose::{ComposeOptions, PathFilter};
use bedplate_packages::deb::dpkg::diversions::Diversions;
use bedplate_packages::deb::dpkg::statoverride::StatOverrides;
use bedplate_testkit::debian::deb::{Deb, Item, Kind, Packing};
use bedplate_testkit::{Style, needs};
use bedplate_tree::accounts::Accounts;

use crate::kit::{
    Folder, Made, assert_same, assert_same_text, compose, dpkg, dpkg_works, list_disk, new_root, read, text,
};

/// One situation: packages in the order of unpacking, and lines of the result, or part of the error.
struct Case {
    name: &'static str,
    debs: Vec<Deb>,
    diversions: &'static str,
    overrides: &'static str,
    filter: PathFilter,
    /// Whether dpkg can show it: with `--root` alone it follows absolute links out of the root, and needs a chroot.
    comparable: bool,
    expected: Result<&'static [&'static str], &'static str>,
}

fn case(name: &'static str, debs: Vec<Deb>, expected: Result<&'static [&'static str], &'static str>) -> Case {
    Case { name, debs, diversions: "", overrides: "", filter: PathFilter::default(), comparable: true, expected }
}

fn deb(name: &str) -> Deb {
    Deb::new(name, "1.0-1").mtime(1_000_000_000)
}

fn owned(path: &str, kind: Kind, mode: u32, uid: u64, gid: u64) -> Item {
    Item::new(path, kind).mode(mode).owner(uid, gid, "", "")
}

/// Accounts that every Debian has by these numbers, so that dpkg, which looks at the machine's own, finds the same.
const PASSWD: &[u8] = b"root:x:0:0::/root:\ndaemon:x:1:1::/usr/sbin:\nman:x:6:12::/var/cache/man:\n";
const GROUP: &[u8] = b"root:x:0:\ndaemon:x:1:\nmail:x:8:\nman:x:12:\n";

fn cases() -> Vec<Case> {
    let long = "a".repeat(90);
    let many =
        (0..5000).fold(deb("many"), |deb, n| deb.file(&format!("opt/many/{}/{n}", n % 50), 0o644, n.to_string()));
    vec![
        case(
            "the first one's attributes of a shared directory",
            vec![deb("a1").dir("opt/d", 0o700).file("opt/d/a", 0o644, "a"), deb("b1").dir("opt/d", 0o1777)],
            Ok(&["opt/d d 700 0:0"]),
        ),
        case(
            "the later one replaces",
            vec![
                deb("a1").file("opt/x", 0o644, "a").file("opt/y", 0o644, "a"),
                deb("b1").field("Replaces", "a1 (<< 2)").file("opt/x", 0o600, "b"),
            ],
            Ok(&["opt/x f 600 1000000000 92eb5ffee6ae2fec3ad71c777531578f 0:0"]),
        ),
        case(
            "the earlier one replaces",
            vec![
                deb("a1").field("Replaces", "b1").file("opt/x", 0o644, "a"),
                deb("b1").file("opt/x", 0o600, "b").file("opt/y", 0o644, "b"),
            ],
            Ok(&["opt/x f 644 1000000000 0cc175b9c0f1b6a831c399e269772661 0:0"]),
        ),
        case(
            "a version that is not replaced",
            vec![
                deb("a1").file("opt/x", 0o644, "a"),
                deb("b1").field("Replaces", "a1 (<< 1)").file("opt/x", 0o600, "b"),
            ],
            Err("package \"b1\" would overwrite \"/opt/x\", which is also in package \"a1\""),
        ),
        case(
            "an overlap, though with the same content",
            vec![deb("a1").file("opt/x", 0o644, "a"), deb("b1").file("opt/x", 0o644, "a")],
            Err("package \"b1\" would overwrite \"/opt/x\", which is also in package \"a1\""),
        ),
        case(
            "a link to a directory, then the directory",
            vec![
                deb("a1").dir("opt/real", 0o755).symlink("opt/l", "real"),
                deb("b1").dir("opt/l", 0o700).file("opt/l/x", 0o644, "b"),
            ],
            Ok(&[
                "opt/l l -> real 0:0",
                "opt/real d 755 0:0",
                "opt/real/x f 644 1000000000 92eb5ffee6ae2fec3ad71c777531578f 0:0",
            ]),
        ),
        Case {
            comparable: false,
            ..case(
                "an absolute link to a directory, then a file through it",
                vec![deb("a1").dir("run", 0o755).symlink("var/run", "/run"), deb("b1").dir("var/run/b", 0o750)],
                Ok(&["run/b d 750 0:0", "var/run l -> /run 0:0"]),
            )
        },
        Case {
            comparable: false,
            ..case(
                "links out of the root, then files through them",
                vec![
                    deb("a1").dir("etc", 0o755).symlink("opt/up", "../../../../..").symlink("opt/etc", "/../etc"),
                    deb("b1").file("opt/up/x", 0o644, "b").verbatim("./opt/etc/y", Kind::File((*b"b").into()), 0o644),
                ],
                Ok(&[
                    "x f 644 1000000000 92eb5ffee6ae2fec3ad71c777531578f 0:0",
                    "etc/y f 644 1000000000 92eb5ffee6ae2fec3ad71c777531578f 0:0",
                ]),
            )
        },
        Case {
            comparable: false,
            ..case(
                "links in a circle",
                vec![
                    deb("a1").symlink("opt/l", "l"),
                    deb("b1").verbatim("./opt/l/x", Kind::File((*b"b").into()), 0o644),
                ],
                Err("cannot put \"/opt/l/x\" of package \"b1\": /opt/l: too many levels of symbolic links"),
            )
        },
        Case {
            comparable: false,
            ..case(
                "a hard link to another package's file",
                vec![deb("a1").file("etc/shadow", 0o640, "a"), deb("b1").hardlink("opt/x", "etc/shadow")],
                Err(
                    "\"/opt/x\" of package \"b1\" is a hard link to \"/etc/shadow\", which is no file that the package put before",
                ),
            )
        },
        case(
            "a directory, then a link in its place",
            vec![deb("a1").file("opt/d/x", 0o644, "a"), deb("b1").dir("opt/e", 0o755).symlink("opt/d", "e")],
            Ok(&["opt/d d 755 0:0", "opt/e d 755 0:0"]),
        ),
        case(
            "two links to the same directory, said differently",
            vec![
                deb("a1").dir("opt/real", 0o755).symlink("opt/l", "real"),
                deb("b1").dir("opt", 0o755).symlink("opt/l", "../opt/./real"),
            ],
            Ok(&["opt/l l -> real 0:0"]),
        ),
        case(
            "two links to different directories",
            vec![
                deb("a1").dir("opt/real", 0o755).symlink("opt/l", "real"),
                deb("b1").dir("opt/other", 0o755).symlink("opt/l", "other"),
            ],
            Err("package \"b1\" would overwrite \"/opt/l\", which is also in package \"a1\""),
        ),
        case(
            "a file in the place of a directory",
            vec![deb("a1").dir("opt/x", 0o755), deb("b1").file("opt/x", 0o644, "b")],
            Err("would overwrite directory \"/opt/x\" of package \"a1\" with a regular file"),
        ),
        case(
            "a directory in the place of a file",
            vec![deb("a1").file("opt/x", 0o644, "a"), deb("b1").dir("opt/x", 0o755)],
            Err("package \"b1\" would overwrite \"/opt/x\", which is also in package \"a1\""),
        ),
        case(
            "a directory in the place of a replaced file",
            vec![
                deb("a1").file("opt/x", 0o644, "a").file("opt/y", 0o644, ""),
                deb("b1").field("Replaces", "a1").dir("opt/x", 0o755),
            ],
            Ok(&["opt/x d 755 0:0"]),
        ),
        case(
            "hard links",
            vec![
                deb("a1")
                    .file("usr/bin/perl", 0o755, "p")
                    .item(owned("usr/bin/perl5.36", Kind::Hardlink("usr/bin/perl".into()), 0o755, 0, 0))
                    .item(owned("opt/p", Kind::Hardlink("usr/bin/perl5.36".into()), 0o755, 0, 0)),
                deb("b1").field("Replaces", "a1").file("usr/bin/perl", 0o755, "q"),
            ],
            Ok(&["usr/bin/perl5.36 f 755 1000000000 83878c91171338902e0fe0fb97a8c47a = opt/p 0:0"]),
        ),
        Case {
            diversions: "/opt/x\n/opt/x.a\nb1\n",
            ..case(
                "a diverted file, the diverting package last",
                vec![deb("a1").file("opt/x", 0o644, "a"), deb("b1").file("opt/x", 0o644, "b")],
                Ok(&[
                    "opt/x f 644 1000000000 92eb5ffee6ae2fec3ad71c777531578f 0:0",
                    "opt/x.a f 644 1000000000 0cc175b9c0f1b6a831c399e269772661 0:0",
                ]),
            )
        },
        Case {
            diversions: "/opt/x\n/opt/x.a\nb1\n",
            ..case(
                "a diverted file, the diverting package first, with a hard link to it",
                vec![
                    deb("b1").file("opt/x", 0o644, "b"),
                    deb("a1").file("opt/x", 0o644, "a").hardlink("opt/z", "opt/x"),
                ],
                Ok(&["opt/x.a f 644 1000000000 0cc175b9c0f1b6a831c399e269772661 0:0"]),
            )
        },
        Case {
            diversions: "/sbin/initctl\n/sbin/initctl.distrib\n:\n",
            ..case(
                "a local diversion",
                vec![deb("a1").file("sbin/initctl", 0o755, "a")],
                Ok(&["sbin/initctl.distrib f 755 1000000000 0cc175b9c0f1b6a831c399e269772661 0:0"]),
            )
        },
        Case {
            filter: PathFilter::default().exclude("/usr/share/doc/*").include("/usr/share/doc/*/copyright"),
            ..case(
                "paths left out",
                vec![
                    deb("a1")
                        .file("usr/share/doc/a1/copyright", 0o644, "a")
                        .file("usr/share/doc/a1/changelog.gz", 0o644, "a")
                        .symlink("usr/share/doc/b1", "a1")
                        .file("opt/x", 0o644, ""),
                ],
                Ok(&[
                    "usr/share/doc/a1/copyright f 644 1000000000 0cc175b9c0f1b6a831c399e269772661 0:0",
                    "usr/share/doc/b1 l -> a1 0:0",
                ]),
            )
        },
        case(
            "one library for two architectures",
            vec![
                deb("libx1")
                    .field("Multi-Arch", "same")
                    .architecture("amd64")
                    .file("usr/share/doc/libx1/copyright", 0o644, "c")
                    .file("usr/lib/x86_64-linux-gnu/libx", 0o644, "64")
                    .conffile("etc/libx.conf", "conf"),
                deb("libx1")
                    .field("Multi-Arch", "same")
                    .architecture("i386")
                    .file("usr/share/doc/libx1/copyright", 0o644, "c")
                    .file("usr/lib/i386-linux-gnu/libx", 0o644, "32")
                    .conffile("etc/libx.conf", "conf"),
            ],
            Ok(&["usr/lib/i386-linux-gnu/libx f 644 1000000000 6364d3f0f495b6ab9dcf8d3b5c6e0b01 0:0"]),
        ),
        case(
            "one library for two architectures, with a file that differs",
            vec![
                deb("libx1").field("Multi-Arch", "same").architecture("amd64").file(
                    "usr/share/doc/libx1/copyright",
                    0o644,
                    "c",
                ),
                deb("libx1").field("Multi-Arch", "same").architecture("i386").file(
                    "usr/share/doc/libx1/copyright",
                    0o644,
                    "d",
                ),
            ],
            Err(
                "shared \"/usr/share/doc/libx1/copyright\" of package \"libx1:i386\" is different from that of \"libx1:amd64\"",
            ),
        ),
        case(
            "configuration files",
            vec![
                deb("a1")
                    .conffile("etc/a.conf", "a")
                    .conffile("etc/b c", "")
                    .conffiles_line("remove-on-upgrade /etc/old"),
            ],
            Ok(&["etc/a.conf f 644 1000000000 0cc175b9c0f1b6a831c399e269772661 0:0"]),
        ),
        case(
            "fields in any order and case, folded, unknown, empty",
            vec![
                Deb::new("a1", "2:1.0+b~rc1-1")
                    .field("x-unknown", "some\n thing")
                    .field("depends", "b (>=1),\n  c|d:any( <<2 ) ")
                    .field("Homepage", "https://example.org/")
                    .field("SECTION", "Misc")
                    .field("Priority", "Optional")
                    .field("Essential", "no")
                    .field("Provides", "e (= 1),f")
                    .field("Built-Using", "g (= 1)")
                    .field("Bugs", "x")
                    .field("Origin", "o")
                    .field("Original-Maintainer", "m")
                    .field("Multi-Arch", "foreign")
                    .field("Breaks", "zz (<= 0:3)")
                    .field("Installed-Size", "5"),
            ],
            Ok(&[]),
        ),
        case(
            "kinds, owners and modes",
            vec![
                deb("a1")
                    .item(owned("opt/fifo", Kind::Fifo, 0o620, 5, 6))
                    .item(owned("opt/null", Kind::Characters(1, 3), 0o666, 0, 0))
                    .item(owned("opt/loop", Kind::Blocks(7, 0), 0o660, 0, 6))
                    .item(owned("opt/setgid", Kind::Directory, 0o2775, 0, 50))
                    .item(owned("opt/suid", Kind::File((*b"s").into()), 0o4711, 1234, 5678))
                    .item(owned("opt/link", Kind::Symlink("nowhere".into()), 0o777, 7, 8)),
            ],
            Ok(&["opt/setgid d 2775 0:50", "opt/suid f 4711 1000000000 03c7c0ace395d80182db07ae2c30f034 1234:5678"]),
        ),
        case(
            "no sums of its own",
            vec![
                deb("a1")
                    .file("opt/x", 0o644, "a")
                    .file("opt/y", 0o644, "")
                    .conffile("etc/a", "a")
                    .hardlink("opt/z", "opt/x")
                    .without_md5sums(),
            ],
            Ok(&[]),
        ),
        case("no files", vec![deb("a1")], Ok(&[])),
        case(
            "long names of GNU tar",
            vec![
                deb("a1")
                    .style(Style::Gnu)
                    .file(&format!("opt/{long}/{long}/{long}"), 0o644, "a")
                    .symlink("opt/l", &format!("{long}/{long}")),
            ],
            Ok(&[]),
        ),
        // dpkg reads no PAX before 1.22.
        Case {
            comparable: false,
            ..case(
                "long names of PAX",
                vec![{
                    let name = format!("opt/{long}/{long}/{long}");
                    let mut item = Item::new(&name, Kind::File((*b"a").into()));
                    item.pax.push(("path".to_owned(), format!("./{name}").into_bytes()));
                    deb("a1").dir(&format!("opt/{long}"), 0o755).item(item)
                }],
                Ok(&[]),
            )
        },
        case(
            "owners by name where the root knows it, by number where not",
            vec![
                deb("a1")
                    .item(Item::new("opt/a", Kind::File((*b"a").into())).owner(4000, 5000, "daemon", "mail"))
                    .item(Item::new("opt/d", Kind::Directory).mode(0o2750).owner(4000, 5000, "man", "nobody-knows"))
                    .item(Item::new("opt/l", Kind::Symlink("a".into())).owner(4000, 5000, "nobody-knows", "man"))
                    .item(Item::new("opt/p", Kind::Fifo).mode(0o600).owner(0, 8, "daemon", "root"))
                    .item(Item::new("opt/r", Kind::File((*b"a").into())).owner(4000, 0, "root", "")),
            ],
            Ok(&[
                "opt/a f 644 1000000000 0cc175b9c0f1b6a831c399e269772661 1:8",
                "opt/d d 2750 6:5000",
                "opt/l l -> a 4000:12",
                "opt/p f 600 1000000000  1:0",
                "opt/r f 644 1000000000 0cc175b9c0f1b6a831c399e269772661 0:0",
            ]),
        ),
        Case {
            overrides: "daemon mail 4750 /opt/a\n#7 #9 1711 /opt/d\nman man 700 /opt/there\nman man 600 /opt/l\n\
                daemon daemon 640 /opt/h\nman mail 600 /etc/a\nman mail 604 /opt/moved\n",
            diversions: "/opt/moved\n/opt/away\n:\n",
            ..case(
                "overridden attributes",
                vec![
                    deb("a1").dir("opt/there", 0o755).file("opt/there/x", 0o644, "a"),
                    deb("b1")
                        .item(Item::new("opt/a", Kind::File((*b"a").into())).owner(
                            4000,
                            5000,
                            "daemon",
                            "nobody-knows",
                        ))
                        .dir("opt/d", 0o755)
                        .dir("opt/there", 0o700)
                        .symlink("opt/l", "a")
                        .file("opt/one", 0o644, "a")
                        .hardlink("opt/h", "opt/one")
                        .file("opt/moved", 0o644, "a")
                        .conffile("etc/a", "a"),
                ],
                Ok(&[
                    "opt/a f 4750 1000000000 0cc175b9c0f1b6a831c399e269772661 1:8",
                    "opt/away f 604 1000000000 0cc175b9c0f1b6a831c399e269772661 6:8",
                    "opt/d d 1711 7:9",
                    "opt/h f 640 1000000000 0cc175b9c0f1b6a831c399e269772661 1:1",
                    "opt/l l -> a 6:12",
                    "opt/one f 640 1000000000 0cc175b9c0f1b6a831c399e269772661 = opt/h 1:1",
                ]),
            )
        },
        Case {
            overrides: "nobody-knows root 644 /opt/a\n",
            ..case(
                "an override in favour of nobody",
                vec![deb("a1").file("opt/a", 0o644, "a")],
                Err("statoverride of \"/opt/a\" names the user \"nobody-knows\", which the root does not know"),
            )
        },
        case("thousands of entries", vec![many], Ok(&[])),
        case(
            "members with another compression each",
            vec![
                deb("a1").packed(Packing::Plain, Packing::Plain).file("opt/a", 0o644, "a"),
                deb("b1").packed(Packing::Gzip, Packing::Bzip2).file("opt/b", 0o644, "b"),
                deb("c1").packed(Packing::Xz, Packing::Zstd).file("opt/c", 0o644, "c"),
                deb("d1")
                    .packed(Packing::Zstd, Packing::Lzma)
                    .file("opt/d", 0o644, "d")
                    .extra_member("_gpgorigin", b"odd"),
                deb("e1").packed(Packing::Gzip, Packing::Xz).file("opt/e", 0o644, "e"),
            ],
            Ok(&[]),
        ),
    ]
}

fn made(case: &Case) -> Result<Made, String> {
    let debs: Vec<_> = case.debs.iter().map(|deb| read(&deb.build().bytes)).collect();
    let diversions = Diversions::parse(case.diversions.as_bytes()).unwrap();
    let options = ComposeOptions { diversions, filter: case.filter.clone(), accounts: Accounts::parse(PASSWD, GROUP) };
    let overrides = StatOverrides::parse(case.overrides.as_bytes()).unwrap();
    compose(&debs, options, &overrides, |_| ()).map_err(|error| {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text
    })
}

#[test]
fn packages_come_together_by_the_rules() {
    for case in cases() {
        match (made(&case), case.expected) {
            (Ok(made), Ok(lines)) => {
                for line in lines {
                    let (path, rest) = line.split_once(' ').unwrap();
                    assert_eq!(made.listing.get(path).map(String::as_str), Some(rest), "{}: {path}", case.name);
                }
            }
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{}: {error}", case.name),
            (Ok(_), Err(expected)) => panic!("{}: no error, expected {expected}", case.name),
            (Err(error), Ok(_)) => panic!("{}: {error}", case.name),
        }
    }
}

#[test]
fn dpkg_makes_the_same_of_them() {
    needs!("packages::dpkg_makes_the_same_of_them", dpkg_works(), "needs root and dpkg");
    let folder = Folder::new("corners");
    let mut failed = Vec::new();
    for (number, case) in cases().into_iter().enumerate().filter(|(_, case)| case.comparable) {
        // All of them are looked at, whatever one says.
        let compared = std::panic::catch_unwind(|| compare(&folder, number, &case));
        if compared.is_err() {
            failed.push(case.name);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

fn compare(folder: &Folder, number: usize, case: &Case) {
    let root = folder.0.join(format!("root{number}"));
    new_root(&root);
    fs::write(root.join("var/lib/dpkg/arch"), "amd64\ni386\n").unwrap();
    fs::write(root.join("var/lib/dpkg/diversions"), case.diversions).unwrap();
    fs::write(root.join("var/lib/dpkg/statoverride"), case.overrides).unwrap();
    let mut arguments = vec!["--force-depends".to_owned(), "--force-confold".to_owned()];
    for rule in &case.filter.rules {
        let option = if rule.include { "include" } else { "exclude" };
        arguments.push(format!("--path-{option}={}", String::from_utf8_lossy(&rule.pattern)));
    }
    arguments.push("--install".to_owned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut outcome = Ok(String::new());
    for (place, deb) in case.debs.iter().enumerate() {
        let file = folder.0.join(format!("{number}-{place}.deb"));
        fs::write(&file, &deb.build().bytes).unwrap();
        if outcome.is_ok() {
            outcome = dpkg(&root, &arguments, &[file]);
        }
    }
    match (made(case), outcome) {
        (Err(_), Err(_)) => {}
        (Ok(made), Ok(_)) => {
            fs::remove_file(root.join("var/lib/dpkg/arch")).unwrap();
            for file in ["var/lib/dpkg/status", "var/lib/dpkg/available", "var/lib/dpkg/diversions"] {
                let dpkgs = fs::read_to_string(root.join(file)).unwrap();
                assert_same_text(&format!("{}: {file}", case.name), &text(&made.tree, file), &dpkgs);
            }
            for entry in fs::read_dir(root.join("var/lib/dpkg/info")).unwrap() {
                let file = format!("var/lib/dpkg/info/{}", entry.unwrap().file_name().to_str().unwrap());
                let dpkgs = fs::read_to_string(root.join(&file)).unwrap();
                assert_same_text(&format!("{}: {file}", case.name), &text(&made.tree, &file), &dpkgs);
            }
            assert_same(&made.listing, &list_disk(&root));
        }
        (Ok(_), Err(theirs)) => panic!("{}: dpkg fails: {theirs}", case.name),
        (Err(ours), Ok(_)) => panic!("{}: only we fail: {ours}", case.name),
    }
}

//! Packages whole and damaged: what is read, and what an error says.

use bedplate_packages::deb::dpkg::{DatabaseOptions, Record, State, database};
use bedplate_packages::deb::payload::{DebError, MAX_CONTROL_FILES, MAX_CONTROL_NAME, Payload};
use bedplate_testkit::debian::deb::{Deb, Kind, Packing, ar};
use bedplate_testkit::{Entry as TarEntry, Tar};

use crate::kit::{members, read};

fn deb() -> Deb {
    Deb::new("a1", "1.0-1").mtime(1_000_000_000)
}

fn message(error: &DebError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn fails(deb: &[u8]) -> String {
    message(&Payload::read(deb, std::io::sink()).unwrap_err())
}

#[test]
fn a_package_is_read_with_every_compression() {
    for control in Packing::ALL {
        for data in Packing::ALL {
            let deb = deb().packed(control, data).file("opt/x", 0o644, "a").conffile("etc/a", "a").postinst("exit 0");
            let built = deb.build();
            let read = read(&built.bytes);
            assert_eq!(read.data, deb.data_tar(), "{control:?} {data:?}");
            assert_eq!(read.payload.control().name(), "a1");
            assert_eq!(read.payload.conffiles()[0].md5.unwrap().to_string(), "0cc175b9c0f1b6a831c399e269772661");
            assert_eq!(read.payload.control_file("postinst").unwrap(), b"#!/bin/sh\nset -e\nexit 0\n");
            let list: Vec<String> = read.payload.list().iter().map(|path| path.to_string()).collect();
            assert_eq!(list, ["/", "/opt", "/opt/x", "/etc", "/etc/a"]);
        }
    }
}

/// A package of those members.
fn of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let members: Vec<(String, Vec<u8>)> =
        members.iter().map(|(name, data)| ((*name).to_owned(), data.to_vec())).collect();
    ar(&members, 0)
}

#[test]
fn what_is_no_package_is_named() {
    let whole = deb().packed(Packing::Plain, Packing::Plain).build();
    let [_, (_, control), (_, data)] = <[_; 3]>::try_from(members(&whole.bytes)).unwrap();
    let format: (&str, &[u8]) = ("debian-binary", b"2.0\n");
    let control: (&str, &[u8]) = ("control.tar", &control);
    let data: (&str, &[u8]) = ("data.tar", &data);
    let text = |text: &str| Tar::new().file("./control", 0o644, text).finish();
    let no_version = text("Package: a1\nArchitecture: all\n");
    let no_name = text("Package: ../x\nVersion: 1\nArchitecture: all\n");
    let no_architecture = text("Package: a1\nVersion: 1\nArchitecture: ../x\n");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "not a Debian package: it begins with \"\""),
        (b"PK\x03\x04 and more".to_vec(), "not a Debian package"),
        (of(&[]), "found the end at byte 8, expected member debian-binary"),
        (of(&[control, data]), "found member \"control.tar\" at byte 8, expected member debian-binary"),
        (of(&[("debian-binary", b"3.0\n"), control, data]), "package format \"3.0\" is not supported"),
        (of(&[("debian-binary", b"2.\n"), control, data]), "package format \"2.\" is not supported"),
        (of(&[format]), "found the end at byte 72, expected member control.tar"),
        (of(&[format, data, control]), "found member \"data.tar\" at byte 72, expected member control.tar"),
        (of(&[format, control]), "expected member data.tar"),
        (
            of(&[format, ("_extra", b"12345678")])[..136].to_vec(),
            "package is truncated: it ends at byte 136, inside member \"_extra\"",
        ),
        (of(&[format, control, ("data.tar.Z", b"")]), "found member \"data.tar.Z\" at byte"),
        (
            of(&[format, ("control.tar", b"no tar at all, but text"), data]),
            "member \"control.tar\" at byte 132 of the package: not a tar archive",
        ),
        (
            of(&[format, ("control.tar.xz", b"\xfd7zXZ\0garbage"), data]),
            "member \"control.tar.xz\" at byte 132 of the package: cannot read",
        ),
        (
            of(&[format, ("control.tar.lzma", b"garbage"), data]),
            "member \"control.tar.lzma\" at byte 132 of the package: ",
        ),
        (
            of(&[format, ("control.tar", &Tar::new().finish()), data]),
            "member \"control.tar\" holds no file \"control\"",
        ),
        (of(&[format, ("control.tar", &no_version), data]), "control file of the package: it cannot be read: "),
        (
            of(&[format, ("control.tar", &no_name), data]),
            "control file of the package: package name \"../x\" is not one",
        ),
        (
            of(&[format, ("control.tar", &no_architecture), data]),
            "architecture \"../x\" of package \"a1\" is not a name",
        ),
        (
            of(&[format, ("control.tar", &Tar::new().dir("./sub", 0o755).finish()), data]),
            "entry \"./sub\" of member \"control.tar\" is not a regular file",
        ),
        (
            of(&[format, ("control.tar", &Tar::new().file("./sub/x", 0o644, "").finish()), data]),
            "entry \"./sub/x\" of member \"control.tar\" has a name that no file of the database can have",
        ),
        (
            of(&[format, ("control.tar", &Tar::new().symlink("./preinst", "/etc/passwd").finish()), data]),
            "entry \"./preinst\" of member \"control.tar\" is not a regular file",
        ),
        (
            of(&[format, control, ("data.tar", &Tar::new().file("./../x", 0o644, "").finish())]),
            "path \"./../x\" has a \"..\" component",
        ),
        (
            of(&[format, control, ("data.tar", &Tar::new().hardlink("./x", "../../etc/passwd").finish())]),
            "path \"../../etc/passwd\" has a \"..\" component",
        ),
    ];
    for (deb, expected) in cases {
        let found = fails(&deb);
        assert!(found.contains(expected), "{found}\nexpected {expected}");
    }
}

#[test]
fn a_file_of_holes_is_not_summed_up() {
    // Found by fuzzing: terabytes of zeros in a few bytes kept the sum of a configuration file busy for days.
    let size = 1_u64 << 40;
    let records = [("GNU.sparse.map", &b"0,1"[..]), ("GNU.sparse.size", &size.to_string().into_bytes())];
    let data = Tar::new().pax(&records).file("./etc/a", 0o644, "a").finish();
    let control = Tar::new().file("./control", 0o644, "Package: a1\nVersion: 1\nArchitecture: all\n");
    let control = control.file("./conffiles", 0o644, "/etc/a\n").finish();
    let deb = of(&[("debian-binary", b"2.0\n"), ("control.tar", &control), ("data.tar", &data)]);
    assert_eq!(fails(&deb), "file \"/etc/a\" of member \"data.tar\" has holes: a package holds all of its bytes");
}

#[test]
fn a_package_cut_anywhere_is_an_error_and_one_byte_of_padding_is_not() {
    for packing in [Packing::Plain, Packing::Gzip, Packing::Xz] {
        let whole = deb().packed(packing, packing).file("opt/x", 0o644, "abc").build().bytes.to_vec();
        let payload = read(&whole).payload;
        for length in 0..whole.len() {
            match Payload::read(&whole[..length], std::io::sink()) {
                // The padding after the last member may be missing.
                Ok(read) => assert!(length + 1 == whole.len() && read == payload, "{packing:?} {length}"),
                Err(error) => drop(message(&error)),
            }
        }
        let mut more = whole.clone();
        more.extend_from_slice(b"trailing bytes of any kind");
        assert_eq!(read(&more).payload, payload);
    }
}

#[test]
fn sizes_are_those_of_the_members_headers() {
    let whole = deb().packed(Packing::Gzip, Packing::Gzip).file("opt/x", 0o644, "abc").build().bytes;
    let header = |bytes: &[u8]| {
        let at = bytes.windows(11).position(|name| name == b"data.tar.gz").unwrap();
        let size: u64 = String::from_utf8_lossy(&bytes[at + 48..at + 58]).trim().parse().unwrap();
        (at, size)
    };
    let (at, size) = header(&whole);
    let with = |text: &str| {
        let mut bytes = whole.to_vec();
        bytes[at + 48..at + 58].copy_from_slice(format!("{text:<10}").as_bytes());
        bytes
    };
    let cases = [
        (with(&(size - 1).to_string()), "gzip stream is truncated"),
        (with(&(size + 100).to_string()), "package is truncated: it ends at byte"),
        (with("9999999999"), "package is truncated: it ends at byte"),
        (with("-1"), "its size is not a number"),
        (with(""), "its size is not a number"),
        (with("0x10"), "its size is not a number"),
    ];
    for (deb, expected) in cases {
        let found = fails(&deb);
        assert!(found.contains(expected), "{found}\nexpected {expected}");
    }
}

#[test]
fn limits_of_the_control_member_hold_on_both_sides() {
    let whole = deb().packed(Packing::Plain, Packing::Plain).build();
    let parts = members(&whole.bytes);
    let with = |count: usize, name: &str| {
        let mut tar = Tar::new().file("./control", 0o644, "Package: a1\nVersion: 1\nArchitecture: all\n");
        for number in 1..count {
            tar = tar.file(&format!("./f{number}"), 0o644, "");
        }
        tar = tar.entry(&TarEntry { path: name.as_bytes(), ..TarEntry::default() });
        of(&[("debian-binary", b"2.0\n"), ("control.tar", &tar.finish()), ("data.tar", &parts[2].1)])
    };
    let longest = "n".repeat(MAX_CONTROL_NAME);
    // `with` adds one.
    assert!(Payload::read(&with(MAX_CONTROL_FILES - 1, "x")[..], std::io::sink()).is_ok());
    assert!(
        fails(&with(MAX_CONTROL_FILES, "x")).contains("entries: more than the limit of 256"),
        "{}",
        fails(&with(MAX_CONTROL_FILES, "x"))
    );
    assert!(Payload::read(&with(2, &longest[..])[..], std::io::sink()).is_ok());
    let named = |package: &str, architecture: &str, file: &str| {
        let control = format!("Package: {package}\nVersion: 1\nArchitecture: {architecture}\nMulti-Arch: same\n");
        let tar = Tar::new().file("./control", 0o644, control).file(&format!("./{file}"), 0o644, "").finish();
        of(&[("debian-binary", b"2.0\n"), ("control.tar", &tar), ("data.tar", &parts[2].1)])
    };
    // `package:arch.name` is the name of one file, of 255 bytes at most.
    let (package, architecture) = ("p".repeat(200), "a".repeat(40));
    let payload = Payload::read(&named(&package, &architecture, &"n".repeat(13))[..], std::io::sink()).unwrap();
    let record = Record { payload: &payload, state: State::Unpacked, unlisted: None };
    let options = DatabaseOptions { native: architecture.clone(), ..DatabaseOptions::default() };
    assert!(database(&[record], &options).is_ok());
    let found = fails(&named(&package, &architecture, &"n".repeat(14)));
    assert!(found.contains("nn\" of member \"control.tar\" is too long beside the name of its package"), "{found}");
    let found = fails(&named(&package, &"a".repeat(41), "x"));
    assert!(found.contains("is not a name"), "{found}");
    let bomb = Tar::new().file("./control", 0o644, vec![0; 65 << 20]).finish();
    let bomb = of(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &Packing::Gzip.pack(&bomb)), ("data.tar", b"")]);
    assert!(fails(&bomb).contains("expands to more than 67108864 bytes"), "{}", fails(&bomb));
}

#[test]
fn the_sink_and_the_source_fail_by_name() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("no space"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    struct Broken<'a>(&'a [u8]);
    impl std::io::Read for Broken<'_> {
        fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(target)? {
                0 => Err(std::io::Error::other("connection lost")),
                count => Ok(count),
            }
        }
    }
    let whole = deb().file("opt/x", 0o644, "abc").build().bytes;
    let found = message(&Payload::read(&whole[..], Full).unwrap_err());
    assert!(found.contains("cannot pass on") && found.ends_with("no space"), "{found}");
    for length in [0, 4, 30, 100, whole.len() / 2] {
        let found = message(&Payload::read(Broken(&whole[..length]), std::io::sink()).unwrap_err());
        assert!(found.starts_with("cannot read the package at byte") && found.ends_with("connection lost"), "{found}");
    }
}

#[test]
fn kept_payloads_are_of_one_version_and_whole() {
    let payload = read(&deb().file("opt/x", 0o644, "abc").conffile("etc/a", "a").build().bytes).payload;
    let kept = payload.encode();
    for length in 0..kept.len() {
        assert!(Payload::decode(&kept[..length]).is_err(), "{length}");
    }
    for at in 0..kept.len() {
        let mut damaged = kept.clone();
        damaged[at] ^= 0x20;
        assert!(Payload::decode(&damaged).is_err(), "{at}");
    }
    let mut other = kept.clone();
    let version = b"bedplate payload\n".len();
    other[version] += 1;
    assert_eq!(Payload::decode(&other).unwrap_err().to_string(), "payload has version 3, not 2");
}

#[test]
fn a_delta_has_the_entries_in_the_order_of_the_package() {
    let deb = deb().file("opt/x", 0o644, "abc").hardlink("opt/y", "opt/x").verbatim("./opt/.wh.z", Kind::Fifo, 0o644);
    let delta = read(&deb.build().bytes).payload.delta();
    let paths: Vec<String> = delta.changes.iter().map(|change| change.path.to_string()).collect();
    assert_eq!(paths, ["/", "/opt", "/opt/x", "/opt/y", "/opt/.wh.z"]);
}

/// Writes the seeds of the fuzz target for kept payloads, which no other tool makes.
#[test]
#[ignore = "rewrites fuzz/corpus/packages_deb_payload"]
fn seeds_of_kept_payloads() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let seed = std::fs::read(folder.join("packages_deb_archive/xz.deb")).unwrap();
    std::fs::create_dir_all(folder.join("packages_deb_payload")).unwrap();
    std::fs::write(folder.join("packages_deb_payload/a1"), read(&seed).payload.encode()).unwrap();
}

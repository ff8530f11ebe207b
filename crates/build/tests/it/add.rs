//! ADD: archives and downloads.

use std::fs;

use bedplate_archive::{Compression, Encoder, Writer};
use bedplate_fetch::Fetcher;
use bedplate_oci::Digest;
use bedplate_testkit::{Http, Reply};
use bedplate_tree::{Content, Entry, EntryKind, Metadata, Timestamp, TreePath};

use crate::kit::*;

fn archive(entries: &[(&str, u32, Option<&str>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    for (path, mode, text) in entries {
        let metadata =
            Metadata { mode: *mode, uid: 3, gid: 4, mtime: Timestamp::from_seconds(50), ..Metadata::default() };
        let path = TreePath::parse(path.as_bytes()).unwrap();
        match text {
            Some(text) => {
                let entry = Entry::file(Content::from_bytes(text.as_bytes()), metadata);
                writer.append(&path, &entry, text.as_bytes()).unwrap();
            }
            None => {
                writer.append(&path, &Entry::directory(metadata), std::io::empty()).unwrap();
            }
        }
    }
    writer.finish().unwrap();
    bytes
}

fn compressed(bytes: &[u8], compression: Compression) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = Encoder::new(Vec::new(), compression, Default::default()).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn archives_are_known_by_their_content() {
    let kit = Kit::new();
    let plain = archive(&[("", 0o700, None), ("d", 0o710, None), ("d/f", 0o4755, Some("F"))]);
    let all = [Compression::None, Compression::Gzip, Compression::Bzip2, Compression::Xz, Compression::Zstd];
    for compression in all {
        kit.write("looks-like.txt", compressed(&plain, compression));
        let tree = kit.tree("FROM scratch\nADD looks-like.txt /to\n");
        let expected = ["755 0:0 /to/", "710 3:4 /to/d/", "4755 3:4 /to/d/f F"];
        assert_eq!(tree, expected, "{compression:?}");
    }
    kit.write("no.tar", "text");
    kit.write("empty.tar", [0; 10240]);
    kit.link("link.tar", "looks-like.txt");
    let names = |dockerfile: &str| -> Vec<String> {
        kit.tree(dockerfile).iter().map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect()
    };
    assert_eq!(names("FROM scratch\nADD no.tar empty.tar /to/\n"), ["/to/", "/to/empty.tar", "/to/no.tar"]);
    assert_eq!(names("FROM scratch\nADD link.tar /to/\n"), ["/to/", "/to/d/", "/to/d/f"], "what a link leads to");
    assert_eq!(kit.tree("FROM scratch\nADD --unpack=false looks-like.txt /\n").len(), 1);
    assert_eq!(kit.tree("FROM scratch\nCOPY looks-like.txt /\n").len(), 1);
}

#[test]
fn entries_keep_their_times_up_to_the_epoch() {
    let kit = Kit::new();
    kit.write("a.tar", archive(&[("f", 0o644, Some("F"))]));
    let dockerfile = "FROM scratch\nADD a.tar /\n";
    for (epoch, expected) in [(None, "644 3:4 /f F"), (Some(40), "644 3:4 /f F @40"), (Some(60), "644 3:4 /f F @50")] {
        let outcome = kit.build(dockerfile, &Options { epoch, ..Options::default() });
        assert_eq!(kit.listing(&outcome.image), [expected], "{epoch:?}");
    }
}

#[test]
fn owner_and_mode_flags_count_for_every_entry() {
    let kit = Kit::new();
    kit.write("a.tar", archive(&[("d", 0o755, None), ("d/f", 0o600, Some("F"))]));
    assert_eq!(
        kit.tree("FROM scratch\nADD --chown=8:9 a.tar /x/\n"),
        ["755 8:9 /x/", "755 8:9 /x/d/", "600 8:9 /x/d/f F"]
    );
    assert_eq!(kit.tree("FROM scratch\nADD --chmod=go+r a.tar /\n"), ["755 3:4 /d/", "644 3:4 /d/f F"]);
}

#[test]
fn archives_go_through_the_links_of_the_image_and_not_out_of_it() {
    let kit = Kit::new();
    kit.link("image/lib", "usr/lib");
    kit.write("image/usr/lib/old", "O");
    kit.write("a.tar", archive(&[("lib/new", 0o644, Some("N"))]));
    let tree = kit.tree("FROM scratch\nCOPY image /\nADD a.tar /\n");
    assert!(tree.contains(&"644 3:4 /usr/lib/new N".to_owned()), "{tree:?}");
    kit.link("out/up", "../../../..");
    kit.write("b.tar", archive(&[("up/etc/x", 0o644, Some("X"))]));
    let tree = kit.tree("FROM scratch\nCOPY out /o\nADD b.tar /o\n");
    assert!(tree.contains(&"644 3:4 /etc/x X".to_owned()), "the top of the image, no further: {tree:?}");
}

#[test]
fn damaged_archives_are_an_error() {
    let kit = Kit::new();
    let mut bytes = archive(&[("a", 0o644, Some("A")), ("b", 0o644, Some(&"B".repeat(2000)))]);
    bytes.truncate(2048);
    kit.write("cut.tar", &bytes);
    let fault = kit.fault("FROM scratch\nADD cut.tar /\n");
    assert!(fault.contains("cannot unpack archive \"cut.tar\""), "{fault}");
}

#[test]
fn names_that_hide_others_are_left_out() {
    let kit = Kit::new();
    kit.write("a.tar", archive(&[("a", 0o644, Some("A")), (".wh.b", 0o644, Some(""))]));
    kit.write(".wh.c", "");
    kit.write("b", "B");
    let outcome = kit.build("FROM scratch\nCOPY b /\nADD a.tar /\nCOPY .wh.c /c/\n", &Options::default());
    assert_eq!(kit.listing(&outcome.image), ["644 3:4 /a A", "644 0:0 /b B", "755 0:0 /c/"]);
    assert_eq!(outcome.remarks.len(), 2, "{:?}", outcome.remarks);
}

#[test]
fn urls_are_fetched_and_verified() {
    let kit = Kit::new();
    let fetcher = Fetcher::new(Default::default());
    let server = Http::start();
    let tar = archive(&[("f", 0o644, Some("F"))]);
    server.serve("/file.txt", Reply::ok("hello")).serve("/", Reply::ok("root")).serve("/a.tar", Reply::ok(tar));
    let options = Options { fetcher: Some(&fetcher), ..Options::default() };
    let tree = |lines: &str| kit.listing(&kit.build(&format!("FROM scratch\n{lines}\n"), &options).image);
    let (file, root, tar) = (server.url("/file.txt"), server.url("/"), server.url("/a.tar"));
    assert_eq!(tree(&format!("ADD {file} /")), ["600 0:0 /file.txt hello"]);
    assert_eq!(tree(&format!("ADD {file} /x/")), ["755 0:0 /x/", "600 0:0 /x/file.txt hello"]);
    assert_eq!(tree(&format!("ADD --chmod=644 --chown=5 {file} /y")), ["644 5:5 /y hello"]);
    assert_eq!(tree(&format!("ADD {root} /z")), ["600 0:0 /z root"]);
    assert_eq!(tree(&format!("ADD {tar} /a")).len(), 1, "not unpacked");
    assert_eq!(tree(&format!("ADD --unpack {tar} /")), ["644 3:4 /f F"]);
    let good = Digest::of(b"hello");
    let before = server.requests();
    assert_eq!(tree(&format!("ADD --checksum={good} {file} /pinned")), ["600 0:0 /pinned hello"]);
    assert_eq!(server.requests(), before + 1);
    assert_eq!(tree(&format!("ADD --checksum={good} {file} /pinned")), ["600 0:0 /pinned hello"]);
    assert_eq!(server.requests(), before + 1, "with a checksum the cache needs no download");
    let faults = [
        (format!("ADD --checksum={} {file} /x", Digest::of(b"other")), "cannot download"),
        (format!("ADD {} /x", server.url("/missing")), "404"),
        (format!("ADD {root} /dir/"), "has no file name"),
        ("ADD --checksum=md5:0 http://localhost/ /x".to_owned(), "expected sha256:"),
        (format!("ADD --checksum={good} a /x"), "exactly one source"),
        (format!("ADD --checksum={good} {file} {file} /x/"), "exactly one source"),
        ("ADD http://127.0.0.1:1/x.git /x".to_owned(), "cannot take the repository"),
    ];
    kit.write("a", "A");
    for (line, part) in faults {
        let error = kit.try_build(&format!("FROM scratch\n{line}\n"), &options).err().unwrap();
        assert!(chain(&error).contains(part), "{line}: {}", chain(&error));
    }
    let fault = kit.fault(&format!("FROM scratch\nADD {file} /\n"));
    assert!(fault.contains("no access to the network"), "{fault}");
}

#[test]
fn hard_links_of_an_archive_stay_links_and_those_of_a_context_do_not() {
    let kit = Kit::new();
    kit.write("one", "1");
    fs::hard_link(kit.context().join("one"), kit.context().join("two")).unwrap();
    assert_eq!(kit.tree("FROM scratch\nCOPY . /\n"), ["644 0:0 /one 1", "644 0:0 /two 1"]);
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    let (a, b) = (TreePath::parse(b"a").unwrap(), TreePath::parse(b"b").unwrap());
    let entry = Entry::file(Content::from_bytes(*b"A"), Metadata { mode: 0o644, ..Metadata::default() });
    writer.append(&a, &entry, &b"A"[..]).unwrap();
    writer.append_link(&b, &a, &entry.metadata).unwrap();
    let link = Entry { kind: EntryKind::Symlink((*b"a").into()), metadata: Metadata::default() };
    writer.append(&TreePath::parse(b"s").unwrap(), &link, std::io::empty()).unwrap();
    writer.finish().unwrap();
    kit.write("l.tar", &bytes);
    let tree = kit.tree("FROM scratch AS x\nADD l.tar /\nFROM scratch\nCOPY --from=x / /\n");
    assert_eq!(tree, ["644 0:0 /a A", "644 0:0 /b == /a", "link 0:0 /s -> a"]);
}

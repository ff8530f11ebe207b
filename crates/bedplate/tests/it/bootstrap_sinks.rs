//! `bootstrap -o`: every form of output holds the same root, and none is ever half there.

use crate::bad_input::private_mounts;
use crate::bootstrap::{DAY, command};
use crate::kit::sandbox;
use bedplate_testkit::debian::deb::{Item, Kind};
use bedplate_testkit::debian::{Archives, Deb, Era};
use bedplate_testkit::privilege::{self, Privilege};
use bedplate_testkit::{Http, Invocation, Random, Sandbox, oracle};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

/// An archive with a package of root's, and one with a file of somebody else's.
struct Shelf {
    archives: Archives,
    mirrors: Vec<String>,
    http: Http,
}

impl Shelf {
    fn new() -> Self {
        let large = Deb::new("large", "1").file("/opt/large", 0o644, Random::new(7).bytes(1 << 20));
        let owned = Item::new("/opt/owned", Kind::File(b"owned\n"[..].into())).owner(6, 12, "man", "man");
        let mut archives = Era::Bookworm.archives([large]);
        archives.release().packages.push(Deb::new("owned", "1").item(owned).into());
        let http = Http::start();
        let mirrors = archives.render().serve(&http);
        Self { archives, mirrors, http }
    }

    /// Extracts a package: no script, no rights.
    fn extract(&self, sandbox: &Sandbox, package: &str, more: &[&str]) -> Invocation {
        let more = [&["--variant", "extract", "--include", package, "--style", "plain"], more].concat();
        let keyring = self.archives.keyring();
        command(sandbox, "bookworm", &self.mirrors, &keyring, &more).clock(Era::Bookworm.date() + DAY)
    }
}

fn names(sandbox: &Sandbox, archive: &str) -> Vec<String> {
    let listing = oracle::expect(oracle::command("tar").arg("-tf").arg(sandbox.path(archive)));
    listing.lines().map(|line| line.trim_end_matches('/').to_owned()).collect()
}

#[test]
fn every_form_holds_the_same_root() {
    let shelf = Shelf::new();
    let sandbox = sandbox();
    let plain = shelf.extract(&sandbox, "large,owned", &["-o", "-"]).ok().stdout;
    std::fs::write(sandbox.path("stdout.tar"), &plain).unwrap();
    assert!(names(&sandbox, "stdout.tar").iter().any(|name| name.ends_with("opt/large")));
    let layer = |archive: &str| {
        let id = sandbox.bedplate(["import", archive]).ok().text();
        sandbox.bedplate(["inspect", "--format", "{{json .RootFS.Layers}}", &id]).ok().text()
    };
    let expected = layer("stdout.tar");
    for name in ["a.tar", "a.tar.gz", "a.tgz", "a.tar.xz", "a.tar.zst", "a.tar.bz2"] {
        shelf.extract(&sandbox, "large,owned", &["-o", name]).ok();
        assert_eq!(layer(name), expected, "{name}");
    }
    shelf.extract(&sandbox, "large,owned", &["-o", "oci:layout"]).ok();
    sandbox.bedplate(["load", "-i", "layout"]).ok();
    let loaded = sandbox.bedplate(["inspect", "--format", "{{json .RootFS.Layers}}", "debian:bookworm"]).ok().text();
    assert_eq!(loaded, expected, "oci:layout");
}

#[test]
fn a_dockerfile_adds_the_archive_beside_it() {
    let shelf = Shelf::new();
    let sandbox = sandbox();
    shelf.extract(&sandbox, "large", &["-o", "root.tar.gz", "--dockerfile"]).ok();
    let text = std::fs::read_to_string(sandbox.path("Dockerfile")).unwrap();
    assert_eq!(text, "FROM scratch\nADD root.tar.gz /\n");
    sandbox.bedplate(["build", "-q", "-t", "added", "."]).ok();
    shelf.extract(&sandbox, "large", &["-o", "dir/", "--dockerfile"]).fails().says("an archive that it can ADD");
}

#[test]
fn a_directory_has_owners_as_far_as_its_user_can_give_them() {
    let shelf = Shelf::new();
    let sandbox = sandbox();
    let run = shelf.extract(&sandbox, "owned", &["-o", "root/"]);
    let owner = || {
        let metadata = std::fs::metadata(sandbox.path("root/opt/owned")).unwrap();
        (metadata.uid(), metadata.gid())
    };
    match privilege::current() {
        Privilege::Root => {
            run.ok();
            assert_eq!(owner(), (6, 12));
        }
        Privilege::SubuidRange => {
            assert!(run.ok().stderr.contains("belong to IDs of your range"));
            let (uid, gid) = owner();
            assert!(uid > 65_535 && gid > 65_535, "{uid}:{gid}");
        }
        Privilege::OneUid => {
            run.fails().says("cannot set owner 6:12");
            assert!(!sandbox.path("root").exists());
        }
    }
    let one = shelf.extract(&sandbox, "large", &["-o", "ours"]).fails();
    assert!(one.stderr.contains("end a directory with /"), "{one}");
    shelf.extract(&sandbox, "large", &["-o", "ours/"]).ok();
    let metadata = std::fs::metadata(sandbox.path("ours/opt/large")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), privilege::ids());
}

/// A place where nothing can be written is told of before anything is asked of an archive.
#[test]
fn an_impossible_place_is_refused_at_once() {
    let shelf = Shelf::new();
    let sandbox = sandbox();
    sandbox.write("full/file", "mine");
    sandbox.write("file", "mine");
    // output | part of the error
    for (output, message) in [
        ("full/", "it is not empty"),
        ("full", "it is not empty"),
        ("oci:full", "it is not empty"),
        ("oci:file", "cannot write the image layout \"file\""),
        ("file/", "cannot fill \"file/\""),
        ("absent/root.tar", "cannot write \"absent/root.tar\""),
        ("absent/root/", "cannot fill \"absent/root/\""),
        ("oci:absent/layout", "cannot write the image layout \"absent/layout\""),
        ("/proc/root.tar", "cannot write \"/proc/root.tar\""),
        ("root.zip", "cannot tell what \"root.zip\" is to be"),
    ] {
        shelf.extract(&sandbox, "large", &["-o", output]).fails().says(message);
    }
    assert!(shelf.http.asked().is_empty(), "{:?}", shelf.http.asked());
    assert_eq!(std::fs::read(sandbox.path("full/file")).unwrap(), b"mine");
    assert_eq!(std::fs::read(sandbox.path("file")).unwrap(), b"mine");
}

#[test]
fn what_is_there_is_replaced_by_the_whole_only() {
    let shelf = Shelf::new();
    let sandbox = sandbox();
    let old = |name: &str| std::fs::read(sandbox.write(name, "old")).unwrap();
    assert_eq!(old("root.tar"), b"old");
    shelf.extract(&sandbox, "absent", &["-o", "root.tar"]).fails();
    assert_eq!(std::fs::read(sandbox.path("root.tar")).unwrap(), b"old");
    shelf.extract(&sandbox, "large", &["-o", "root.tar"]).ok();
    assert!(names(&sandbox, "root.tar").iter().any(|name| name.ends_with("opt/large")));
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    shelf.extract(&sandbox, "large", &["-o", "empty"]).ok();
    assert!(sandbox.path("empty/opt/large").is_file());
    assert!(Path::new(&sandbox.path("root.tar")).is_file());
}

#[test]
fn a_full_disk_leaves_nothing_half_made() {
    let Some(wrapper) = private_mounts("bootstrap_sinks::a_full_disk_leaves_nothing_half_made") else { return };
    let shelf = Shelf::new();
    let sandbox = sandbox();
    let disk = sandbox.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let line = format!(
        "mount -t tmpfs -o size=512k none {disk} && mkdir {disk}/there && echo old > {disk}/root.tar || exit 99
         \"$@\"; status=$?
         (cd {disk} && find . | LC_ALL=C sort && cat root.tar) > {disk}.left
         exit $status",
        disk = disk.display()
    );
    let at = |name: &str| disk.join(name).display().to_string();
    let layouts = [format!("oci:{}", at("new")), format!("oci:{}", at("there"))];
    for output in [at("root.tar"), at("other.tar.gz"), at("new/"), at("there/")].iter().chain(&layouts) {
        let words = [&wrapper[..], &["sh".into(), "-c".into(), line.clone(), "sh".into()]].concat();
        let outcome = shelf.extract(&sandbox, "large", &["-o", output]).wrap(words).fails();
        assert!(outcome.stderr.contains("space left"), "{output}: {outcome}");
        let left = std::fs::read_to_string(sandbox.path("disk.left")).unwrap();
        assert_eq!(left, ".\n./root.tar\n./there\nold\n", "{output}");
    }
}

#[test]
fn an_interrupt_leaves_nothing_half_made() {
    // What cannot be compressed keeps xz busy for seconds.
    const LARGE: usize = 8 << 20;
    let large = Deb::new("large", "1").file("/opt/large", 0o644, Random::new(9).bytes(LARGE));
    let archives = Era::Bookworm.archives([large]);
    let http = Http::start();
    let (mirrors, keyring) = (archives.render().serve(&http), archives.keyring());
    let sandbox = sandbox();
    let extract = |output: &str| {
        let more = ["--variant", "extract", "--include", "large", "--style", "plain", "-o", output];
        command(&sandbox, "bookworm", &mirrors, &keyring, &more).clock(Era::Bookworm.date() + DAY)
    };
    extract("whole.tar").ok();
    std::fs::create_dir(sandbox.path("there")).unwrap();
    let seen = || oracle::expect(oracle::command("find").arg(sandbox.work()));
    let before = seen();
    for (output, signal) in
        [("x.tar.xz", "INT"), ("x.tar.xz", "TERM"), ("new/", "TERM"), ("there/", "HUP"), ("oci:o", "TERM")]
    {
        let mut child = extract(output).start();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        said.by_ref().find(|line| line.starts_with("writing")).unwrap();
        // Into the middle of it: xz takes seconds, a directory is there at once.
        std::thread::sleep(Duration::from_millis(if output.ends_with(".xz") { 200 } else { 0 }));
        oracle::command("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        let status = child.wait().unwrap();
        // What is written last; a signal may also come when all is done.
        let last = match output {
            "new/" | "there/" => format!("{output}opt/large"),
            "oci:o" => "o/index.json".to_owned(),
            file => file.to_owned(),
        };
        let whole =
            sandbox.path(&last).metadata().is_ok_and(|found| found.len() == LARGE as u64 || last.ends_with(".json"));
        if status.success() || whole {
            assert!(!output.ends_with(".xz"), "xz of such noise takes longer");
            let _ = std::fs::remove_dir_all(sandbox.path(output.trim_start_matches("oci:")));
            std::fs::create_dir_all(sandbox.path("there")).unwrap();
            continue;
        }
        assert_eq!(seen(), before, "{output} {signal}: {status}, {:?}", said.collect::<Vec<_>>());
    }
}

#[test]
fn half_an_archive_on_a_pipe_is_no_success() {
    let shelf = Shelf::new();
    let sandbox = sandbox();
    let mut child = shelf.extract(&sandbox, "large", &["-o", "-"]).start();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    // As if the signal of a closed pipe had ended it: nothing is said, and a shell with pipefail sees it.
    assert_eq!(output.status.code(), Some(141));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("error"), "{said}");
}

#[test]
fn somebodys_dockerfile_is_kept_and_a_name_without_an_image_is_refused() {
    let shelf = Shelf::new();
    let sandbox = sandbox();
    sandbox.write("Dockerfile", "FROM mine\n");
    let refused = shelf.extract(&sandbox, "large", &["-o", "x.tar", "--dockerfile"]);
    refused.ends(1).says("Dockerfile").says("is there, and says something else");
    assert_eq!(std::fs::read_to_string(sandbox.path("Dockerfile")).unwrap(), "FROM mine\n");
    std::fs::remove_file(sandbox.path("Dockerfile")).unwrap();
    for _ in 0..2 {
        shelf.extract(&sandbox, "large", &["-o", "x.tar", "--dockerfile"]).ok();
    }
    shelf.extract(&sandbox, "large", &["-o", "y.tar", "-t", "name"]).ends(1).says("--tag").says("oci:DIR");
    shelf.extract(&sandbox, "large", &["-o", "oci:layout", "-t", "name:1"]).ok();
    let index = std::fs::read_to_string(sandbox.path("layout/index.json")).unwrap();
    assert!(index.contains("\"org.opencontainers.image.ref.name\":\"name:1\""), "{index}");
    std::fs::create_dir(sandbox.path("folder")).unwrap();
    let asked = shelf.http.requests();
    shelf.extract(&sandbox, "large", &["-o", "z.tar", "--lock", "folder"]).ends(1).says("it is a directory");
    assert_eq!(shelf.http.requests(), asked, "nothing was asked for");
}

#[test]
fn what_the_user_copies_in_is_the_last_word() {
    let archives = Era::Bookworm.archives([Deb::new("apt", "2.6").file("/etc/apt/apt.conf.d/x", 0o644, "")]);
    let http = Http::start();
    let (mirrors, keyring) = (archives.render().serve(&http), archives.keyring());
    let sandbox = sandbox();
    sandbox.write("mine", "mine\n");
    let places = ["etc/apt/apt.conf.d/docker-clean", "etc/apt/sources.list.d/debian.sources", "etc/hostname"];
    let mut more = vec!["--variant", "extract", "--include", "apt", "-o", "x.tar"];
    let copies = places.map(|place| format!("mine:/{place}"));
    copies.iter().for_each(|copy| more.extend(["--copy-in", copy]));
    command(&sandbox, "bookworm", &mirrors, &keyring, &more).clock(Era::Bookworm.date() + DAY).ok();
    for place in places {
        let text = oracle::expect(oracle::command("tar").arg("-xOf").arg(sandbox.path("x.tar")).arg(place));
        assert_eq!(text, "mine\n", "{place}");
    }
}

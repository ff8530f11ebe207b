//! The same bootstrap again: the image that is there is taken, and the digest never tells.

use std::path::PathBuf;

use bedplate_testkit::debian::{Deb, Era};
use bedplate_testkit::{Http, Outcome, Sandbox};

use crate::kit::{fsck, image_id, sandbox};

const DAY: u64 = 86400;

/// A store, and an archive whose packages need no scripts.
struct Bench {
    sandbox: Sandbox,
    http: Http,
    arguments: Vec<String>,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        let packages = [Deb::new("one", "1").file("usr/one", 0o644, "1"), Deb::new("two", "1").file("two", 0o600, "2")];
        let archives = Era::Trixie.archives(packages.map(|deb| deb.build()));
        let (sandbox, http) = (sandbox(), Http::start());
        let keyring = sandbox.write("keyring.gpg", archives.keyring());
        let mut arguments = vec!["--check-valid-until=yes".to_owned(), "--keyring".to_owned()];
        arguments.push(keyring.to_string_lossy().into_owned());
        for mirror in archives.render().serve(&http) {
            arguments.extend(["--mirror".to_owned(), mirror]);
        }
        Self { sandbox, http, arguments, now: Era::Trixie.date() + DAY }
    }

    /// Bootstraps; tells whether the packages were decoded for it.
    fn run(&self, more: &[&str]) -> (String, bool) {
        let words = ["bootstrap", "trixie", "--variant", "extract", "--include", "one,two"];
        self.outcome(&[&words[..], more].concat())
    }

    fn outcome(&self, words: &[&str]) -> (String, bool) {
        // A cache may be deleted when nobody uses it.
        let _ = std::fs::remove_dir_all(self.sandbox.store().join("cache/payloads"));
        let all = words.iter().map(|word| (*word).to_owned()).chain(self.arguments.iter().cloned());
        let outcome: Outcome = self.sandbox.bedplate(all).clock(self.now).ok();
        (image_id(&self.sandbox, &outcome), !self.payloads().is_empty())
    }

    fn payloads(&self) -> Vec<PathBuf> {
        let folder = self.sandbox.store().join("cache/payloads");
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        files.filter(|path| path.extension().is_some()).collect()
    }

    /// The blobs of the image, the largest first: layer, manifest or config.
    fn blobs(&self) -> Vec<PathBuf> {
        let folder = self.sandbox.store().join("blobs/sha256");
        let mut blobs: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        blobs.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().len()));
        blobs
    }
}

#[test]
fn the_same_bootstrap_again_is_answered_from_the_store() {
    let bench = Bench::new();
    let (first, worked) = bench.run(&["-t", "first", "--lock", "first.lock"]);
    assert!(worked);
    assert_eq!(bench.run(&["-t", "second", "--lock", "second.lock"]), (first.clone(), false));
    let read = |name: &str| std::fs::read_to_string(bench.sandbox.path(name)).unwrap();
    assert_eq!(read("first.lock"), read("second.lock"));
    let names = bench.sandbox.bedplate(["images", "--format", "{{.Repository}}"]).ok().text();
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["first", "second"]);
    // The lock leads to the same image, and asks nobody.
    let asked = bench.http.requests();
    assert_eq!(bench.outcome(&["bootstrap", "--locked", "first.lock"]), (first.clone(), false));
    assert_eq!(bench.http.requests(), asked);
    // Work that is asked for is done, with the same end.
    assert_eq!(bench.run(&["--no-cache"]), (first, true));
    fsck(&bench.sandbox);
}

#[test]
fn what_an_image_hangs_on_is_no_kept_image() {
    let bench = Bench::new();
    let (first, _) = bench.run(&[]);
    bench.sandbox.write("motd", "hello");
    let mut seen = vec![first];
    let copied = format!("{}:/etc/motd", bench.sandbox.path("motd").display());
    let image = ["--image-mirror", "http://archive.example.org/debian"];
    let cases: [&[&str]; 4] = [&["--path-exclude", "/two"], &["--copy-in", &copied], &["--style", "plain"], &image];
    for words in cases {
        let (id, worked) = bench.run(words);
        assert!(worked, "{words:?}");
        assert_eq!(bench.run(words), (id.clone(), false), "{words:?}");
        seen.push(id);
    }
    // The same command line, other bytes.
    bench.sandbox.write("motd", "goodbye");
    let (id, worked) = bench.run(&["--copy-in", &copied]);
    assert!(worked && !seen.contains(&id));
    let (id, worked) = {
        let words = ["bootstrap", "trixie", "--variant", "extract", "--include", "one"];
        bench.outcome(&words)
    };
    assert!(worked && !seen.contains(&id));
}

#[test]
fn an_image_that_is_gone_or_damaged_is_made_again() {
    let bench = Bench::new();
    let (first, _) = bench.run(&["-t", "image"]);
    for blob in 0..bench.blobs().len() {
        for damage in ["removed", "cut", "changed"] {
            let path = bench.blobs().swap_remove(blob);
            let bytes = std::fs::read(&path).unwrap();
            // Of a layer the size alone is looked at: its digest would take as long as the work.
            if damage == "changed" && blob == 0 {
                continue;
            }
            match damage {
                "removed" => std::fs::remove_file(&path).unwrap(),
                "cut" => std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
                _ => std::fs::write(&path, bytes.iter().map(|byte| byte ^ 1).collect::<Vec<_>>()).unwrap(),
            }
            assert_eq!(bench.run(&["-t", "image"]), (first.clone(), true), "blob {blob} {damage}");
            fsck(&bench.sandbox);
            assert_eq!(bench.run(&["-t", "image"]), (first.clone(), false), "blob {blob} {damage}");
        }
    }
    // The cache keeps no image that the user removes.
    bench.sandbox.bedplate(["rmi", "image"]).ok();
    assert!(bench.blobs().is_empty(), "{:?}", bench.blobs());
    assert_eq!(bench.run(&[]), (first, true));
}

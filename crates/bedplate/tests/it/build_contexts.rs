//! Named contexts: FROM, COPY --from and mounts take names from elsewhere.

use bedplate_testkit::debian::{Deb, Era};
use bedplate_testkit::{Http, Reply, Sandbox, Tar};

use crate::build::{build, file, listing};
use crate::kit::{busybox_image, can_run, fsck, sandbox};

/// Builds with `--build-context` flags and gives the names of the image's files.
fn names(sandbox: &Sandbox, dockerfile: &str, contexts: &[&str]) -> Vec<String> {
    let flags: Vec<&str> = contexts.iter().flat_map(|context| ["--build-context", context]).collect();
    build(sandbox, dockerfile, &[&["-t", "x"], &flags[..]].concat());
    listing(sandbox, "x").into_keys().collect()
}

#[test]
fn directories_and_archives_are_contexts() {
    let sandbox = sandbox();
    sandbox.write("../other/a", "A");
    sandbox.write("../other/left/out", "");
    sandbox.write("../other/.dockerignore", "left\n.dockerignore\n");
    let tar = Tar::new().file("t", 0o644, "T").finish();
    std::fs::write(sandbox.path("other.tar"), &tar).unwrap();
    let http = Http::start();
    http.serve("/other.tar", Reply::ok(tar));
    let url = format!("n={}", http.url("/other.tar"));
    for (place, expected) in [("n=../other", "a"), ("n=other.tar", "t"), (url.as_str(), "t")] {
        assert_eq!(names(&sandbox, "FROM scratch\nCOPY --from=n . /\n", &[place]), [expected], "{place}");
        assert_eq!(names(&sandbox, "FROM n\n", &[place]), [expected], "{place}");
        // In place of a stage, and under another spelling of its name.
        assert_eq!(names(&sandbox, "FROM nowhere AS n\nFROM n\n", &[place]), [expected], "{place}");
        let spelt = place.replacen("n=", "docker.io/library/n:latest=", 1);
        assert_eq!(names(&sandbox, "FROM n\n", &[&spelt]), [expected], "{spelt}");
    }
    let refused = |contexts: &[&str]| {
        sandbox.write("Dockerfile", "FROM n\n");
        let words = contexts.iter().flat_map(|context| ["--build-context", context]);
        sandbox.bedplate(["build", "."].into_iter().chain(words)).ends(1)
    };
    refused(&["n"]).says("expected NAME=PLACE");
    refused(&["n=missing"]).says("cannot read \"missing\"");
    refused(&["scratch=../other"]).says("image \"n\" is not in the store");
    fsck(&sandbox);
}

#[test]
fn images_of_layouts_and_archives_are_contexts_and_get_no_names() {
    let sandbox = sandbox();
    sandbox.write("file", "F");
    build(&sandbox, "FROM scratch\nENV WHICH=one\nCOPY file /one\n", &["-t", "base:one"]);
    build(&sandbox, "FROM scratch\nENV WHICH=two\nCOPY file /two\n", &["-t", "base:two"]);
    sandbox.bedplate(["save", "-o", "both.tar", "base:one", "base:two"]).ok();
    sandbox.bedplate(["save", "-o", "one.tar", "base:one"]).ok();
    std::fs::create_dir(sandbox.path("layout")).unwrap();
    bedplate_testkit::oracle::expect(
        bedplate_testkit::oracle::command("tar").args(["-xf", "both.tar", "-C", "layout"]).current_dir(sandbox.work()),
    );
    assert_eq!(names(&sandbox, "FROM n\n", &["n=docker-image://base:two"]), ["two"]);
    sandbox.bedplate(["rmi", "x", "base:one", "base:two"]).ok();
    for (place, expected) in [
        ("docker-archive:one.tar", "one"),
        ("docker-archive:both.tar:base:two", "two"),
        ("oci-archive:both.tar:one", "one"),
        ("oci-layout:layout:two", "two"),
        ("oci-layout://layout:base:one", "one"),
    ] {
        assert_eq!(names(&sandbox, "FROM n\n", &[&format!("n={place}")]), [expected], "{place}");
        assert_eq!(names(&sandbox, &format!("FROM {place}\n"), &[]), [expected], "{place}");
        let from = format!("FROM scratch\nCOPY --from={place} / /in\n");
        assert_eq!(names(&sandbox, &from, &[]), ["in".to_owned(), format!("in/{expected}")], "{place}");
    }
    let images = sandbox.bedplate(["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok().text();
    assert!(!images.contains("base"), "{images}");
    sandbox.write("Dockerfile", "FROM oci-layout:layout\n");
    sandbox.bedplate(["build", "."]).ends(1).says("holds several images").says("base:one, base:two");
    sandbox.write("Dockerfile", "FROM docker-archive:both.tar:three\n");
    sandbox.bedplate(["build", "."]).ends(1).says("holds no image \"three\"");
    fsck(&sandbox);
}

#[test]
fn a_bootstrap_is_a_base_with_its_lock() {
    let sandbox = sandbox();
    let archives = Era::Bookworm
        .archives([Deb::new("first", "1").file("/one", 0o644, "1"), Deb::new("second", "1").file("/two", 0o644, "2")]);
    let http = Http::start();
    let mirrors = archives.render().serve(&http);
    std::fs::write(sandbox.path("keyring.gpg"), archives.keyring()).unwrap();
    let ways: String = mirrors.iter().map(|mirror| format!("&mirror={mirror}")).collect();
    let from = |flags: &str| {
        format!(
            "FROM bootstrap:debian:bookworm?variant=extract&style=plain&keyring=keyring.gpg&{flags}{ways}\nENV A=b\n"
        )
    };
    let clock = Era::Bookworm.date() + 86_400;
    let built = |flags: &str| {
        sandbox.write("Dockerfile", from(flags));
        sandbox.bedplate(["build", "-t", "x", "."]).clock(clock)
    };
    built("include=first").ok();
    assert_eq!(file(&sandbox, "x", "one"), "1");
    let first = built("include=first&lock=base.lock").ok().text();
    let lock = std::fs::read_to_string(sandbox.path("base.lock")).unwrap();
    assert!(lock.contains("first"), "{lock}");
    // The lock is what counts from now on, also without the archive's indexes.
    sandbox.bedplate(["rmi", "x"]).ok();
    assert_eq!(built("include=first&lock=base.lock").ok().text(), first);
    assert_eq!(std::fs::read_to_string(sandbox.path("base.lock")).unwrap(), lock);
    built("include=second&lock=base.lock").ends(1).says("was made with another include").says("remove it");
    built("include=first&output=x.tar").ends(1).says("\"output\" has no meaning for a base");
    built("including=first").ends(1).says("--including");
    // As a name of a context, and where files are taken from.
    let place = from("include=second").lines().next().unwrap().replacen("FROM ", "n=", 1);
    sandbox.write("Dockerfile", "FROM scratch\nCOPY --from=n /two /copied\n");
    sandbox.bedplate(["build", "-t", "x", "--build-context", &place, "."]).clock(clock).ok();
    assert_eq!(file(&sandbox, "x", "copied"), "2");
    fsck(&sandbox);
}

#[test]
fn processes_of_several_stages_run_side_by_side() {
    if !can_run("build_contexts::side_by_side") {
        return;
    }
    let sandbox = sandbox();
    if busybox_image(&sandbox, "build_contexts::side_by_side").is_none() {
        return;
    }
    // Each waits for the other, for a minute at most.
    let step = |own: &str, other: &str| {
        format!(
            "FROM box AS {own}\nRUN --mount=type=cache,target=/meet : > /meet/{own}; \
             for i in $(seq 600); do [ -e /meet/{other} ] && break; sleep 0.1; done; [ -e /meet/{other} ] && echo {own} > /{own}\n"
        )
    };
    let end = "FROM scratch\nCOPY --from=one /one /\nCOPY --from=two /two /\n";
    let dockerfile = format!("{}{}{end}", step("one", "two"), step("two", "one"));
    let id = build(&sandbox, &dockerfile, &["-t", "x", "--jobs", "2"]);
    assert_eq!(listing(&sandbox, "x").into_keys().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(build(&sandbox, &dockerfile, &["-t", "x", "--jobs", "1", "--no-cache"]), id, "they are both there now");
    // One that fails ends the other.
    let dockerfile = "FROM box AS one\nRUN sleep 1000 && : > /one\nFROM box AS two\nRUN sleep 0.2; exit 7\n\
        FROM scratch\nCOPY --from=one /one /\nCOPY --from=two /two /\n";
    sandbox.write("Dockerfile", dockerfile);
    sandbox.bedplate(["build", "--jobs", "2", "."]).ends(1).says("status 7").says("exit 7");
    fsck(&sandbox);
}

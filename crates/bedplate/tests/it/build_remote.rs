//! Builds from elsewhere: repositories as sources and contexts, archives behind URLs.

use std::path::Path;
use std::process::Command;

use bedplate_testkit::{Http, Reply, Sandbox, Tar};

use crate::build::{build, file, listing};
use crate::kit::{fsck, sandbox};

/// A repository behind HTTP, as plain files: `main` has one commit more than the tag `v1`.
struct Repository {
    http: Http,
    first: String,
    second: String,
}

fn git(folder: &Path, words: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]);
    command.current_dir(folder).args(words).env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Repository {
    /// `None` (and a counted skip) where there is no git.
    fn new(test: &str, sandbox: &Sandbox) -> Option<Self> {
        if Command::new("git").arg("--version").output().is_err() {
            bedplate_testkit::skip::note(test, "no git");
            return None;
        }
        let folder = sandbox.path("../repository");
        std::fs::create_dir(&folder).unwrap();
        git(&folder, &["init", "--quiet"]);
        let commit = |text: &str| {
            std::fs::create_dir_all(folder.join("docs")).unwrap();
            std::fs::write(folder.join("readme"), text).unwrap();
            std::fs::write(folder.join("docs/page"), format!("page of {text}")).unwrap();
            std::fs::write(folder.join("Dockerfile"), "FROM scratch\nCOPY readme /\n").unwrap();
            git(&folder, &["add", "-A"]);
            git(&folder, &["commit", "--quiet", "-m", text]);
            git(&folder, &["rev-parse", "HEAD"])
        };
        let first = commit("first");
        git(&folder, &["tag", "-a", "-m", "one", "v1"]);
        let second = commit("second");
        git(&folder, &["update-server-info"]);
        let http = Http::start();
        http.serve_folder("/x.git", &folder.join(".git"));
        Some(Self { http, first, second })
    }

    fn url(&self, rest: &str) -> String {
        self.http.url(&format!("/x.git{rest}"))
    }
}

#[test]
fn a_repository_is_a_source() {
    let test = "build_remote::a_repository_is_a_source";
    let sandbox = sandbox();
    let Some(repository) = Repository::new(test, &sandbox) else { return };
    let short = &repository.first[..10];
    for (rest, flags, path, text) in [
        ("", "", "d/readme", "second"),
        ("#main", "", "d/readme", "second"),
        ("#v1", "", "d/readme", "first"),
        ("#refs/tags/v1", "", "d/readme", "first"),
        (&format!("#{}", repository.first), "", "d/readme", "first"),
        ("#v1:docs", "", "d/page", "page of first"),
        ("?tag=v1&subdir=docs", "", "d/page", "page of first"),
        ("#v1", &format!("--checksum={short}"), "d/readme", "first"),
    ] {
        let url = repository.url(rest);
        build(&sandbox, &format!("FROM scratch\nADD {flags} {url} /d/\n"), &["-t", "x"]);
        assert_eq!(file(&sandbox, "x", path), text, "{rest}");
        let tree = listing(&sandbox, "x");
        assert!(!tree.keys().any(|path| path.contains(".git")), "{rest}: {tree:?}");
        assert_eq!(tree[path].split(' ').next(), Some("-rw-r--r--"), "{rest}");
    }
    for (rest, flags, says) in [
        ("#gone", "", "no branch, tag or commit \"gone\""),
        ("#v1:gone", "", "no directory \"gone\""),
        ("#v1", "--checksum=0123456789", "not 0123456789"),
    ] {
        let url = repository.url(rest);
        sandbox.write("Dockerfile", format!("FROM scratch\nADD {flags} {url} /d/\n"));
        sandbox.bedplate(["build", "."]).ends(1).says(says);
    }
    fsck(&sandbox);
}

#[test]
fn a_commit_is_fetched_once_and_is_the_same_for_everyone() {
    let test = "build_remote::a_commit_is_fetched_once";
    let sandbox = sandbox();
    let Some(repository) = Repository::new(test, &sandbox) else { return };
    let dockerfile = format!("FROM scratch\nADD --keep-git-dir=true {} /d\n", repository.url("#v1"));
    let first = build(&sandbox, &dockerfile, &["-t", "x"]);
    assert!(listing(&sandbox, "x").contains_key("d/.git/HEAD"));
    sandbox.write("Dockerfile", &dockerfile);
    let outcome = sandbox.bedplate(["build", "."]).ok();
    outcome.says("CACHED");
    assert_eq!(outcome.text(), first);
    // Another umask, another hour, another configuration of the user.
    sandbox.write("home/.gitconfig", "[core]\n\tautocrlf = true\n\thooksPath = /nonexistent\n");
    let home = sandbox.path("home");
    let anew = sandbox.bedplate(["build", "--no-cache", "."]).umask(0o077).clock(2_000_000_000).env("HOME", &home);
    assert_eq!(anew.ok().text(), first);
    // A full commit needs no question, and what the cache has no repository.
    let pinned = format!("FROM scratch\nADD {}#{} /d\n", repository.url(""), repository.second);
    let known = build(&sandbox, &pinned, &[]);
    drop(repository);
    assert_eq!(build(&sandbox, &pinned, &[]), known);
}

#[test]
fn a_repository_is_a_context() {
    let test = "build_remote::a_repository_is_a_context";
    let sandbox = sandbox();
    let Some(repository) = Repository::new(test, &sandbox) else { return };
    sandbox.bedplate(["build", "-t", "x", &repository.url("")]).ok();
    assert_eq!(file(&sandbox, "x", "readme"), "second");
    sandbox.bedplate(["build", "-t", "x", &repository.url("#v1")]).ok();
    assert_eq!(file(&sandbox, "x", "readme"), "first");
    sandbox
        .bedplate(["build", &repository.url("#v1:docs")])
        .ends(1)
        .says("there is no \"Dockerfile\"")
        .says(&repository.first);
    // A machine without git says so.
    let alone = sandbox.bedplate(["build", &repository.url("")]).env("PATH", sandbox.path("no-programs"));
    alone.fails().says("there is no program git").says("install git");
}

#[test]
fn an_archive_or_a_dockerfile_behind_a_url_is_a_context() {
    let sandbox = sandbox();
    let http = Http::start();
    let tar = Tar::new().file("Dockerfile", 0o644, b"FROM scratch\nCOPY a /\n").file("a", 0o644, b"of a tar").finish();
    http.serve("/context.tar", Reply::ok(tar)).serve("/Dockerfile", Reply::ok(b"FROM scratch\nLABEL a=b\n".to_vec()));
    sandbox.bedplate(["build", "-t", "x", &http.url("/context.tar")]).ok();
    assert_eq!(file(&sandbox, "x", "a"), "of a tar");
    sandbox.bedplate(["build", "-t", "y", &http.url("/Dockerfile")]).ok();
    let label = sandbox.bedplate(["inspect", "--format", "{{.Config.Labels.a}}", "y"]).ok();
    assert_eq!(label.text(), "b");
    sandbox.bedplate(["build", &http.url("/gone.tar")]).fails().says("cannot fetch the context");
    sandbox.bedplate(["build", "-f", "other", &http.url("/context.tar")]).ends(1).says("there is no \"other\"");
}

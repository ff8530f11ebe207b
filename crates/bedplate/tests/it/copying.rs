//! `cp` by Docker's rules. Every case was run on docker 20.10 with the same image and the same folder: the statuses
//! and the trees below are what it left there.

use std::path::Path;

use bedplate_testkit::{Sandbox, Tar};

use crate::kit::*;

/// The image that is copied from.
fn image(sandbox: &Sandbox) {
    let tar = Tar::new()
        .dir("d/", 0o755)
        .file("d/f", 0o640, "text")
        .hardlink("d/hard", "d/f")
        .symlink("d/l", "f")
        .dir("d/sub/", 0o755)
        .file("d/sub/g", 0o644, "g")
        .symlink("abs", "/d/f")
        .dir("ro/", 0o555)
        .file("ro/z", 0o644, "z")
        .finish();
    import(sandbox, &tar, &["-", "x"]);
}

/// The folder that is copied to.
fn folder(path: &Path) {
    std::fs::create_dir_all(path.join("dir")).unwrap();
    std::fs::create_dir_all(path.join("conflict/f")).unwrap();
    std::fs::write(path.join("file"), "old\n").unwrap();
    std::os::unix::fs::symlink("file", path.join("link")).unwrap();
    std::os::unix::fs::symlink("dir", path.join("dlink")).unwrap();
}

/// What is below a folder: paths, with the targets of links and the text of files.
fn tree(path: &Path, below: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}{}", entry.file_name().into_string().unwrap());
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            found.push(format!("{name}>{}", std::fs::read_link(entry.path()).unwrap().display()));
        } else if kind.is_dir() {
            found.push(format!("{name}/"));
            tree(&entry.path(), &format!("{name}/"), found);
        } else {
            found.push(format!("{name}={}", std::fs::read_to_string(entry.path()).unwrap().trim()));
        }
    }
}

fn listed(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    tree(path, "", &mut found);
    found.sort();
    found
}

#[test]
fn each_case_ends_as_with_docker() {
    const D: &str = "f=text hard=text l>f sub/ sub/g=g";
    let within = |parent: &str| {
        let inner: Vec<String> = D.split(' ').map(|name| format!("{parent}/{name}")).collect();
        format!("{parent}/ {}", inner.join(" "))
    };
    let sandbox = sandbox();
    image(&sandbox);
    let cases: Vec<(&str, &str, Option<String>)> = vec![
        // source | destination | what is new or changed there; `None` where docker refuses
        ("/d/f", "new", Some("new=text".into())),
        ("/d/f", "file", Some("file=text".into())),
        ("/d/f", "link", Some("file=text".into())),
        ("/d/f", "dir", Some("dir/f=text".into())),
        ("/d/f", "dir/", Some("dir/f=text".into())),
        ("/d/f", "dlink", Some("dir/f=text".into())),
        ("/d/f", "absent/", None),
        ("/d/f", "absent/x", None),
        ("/d/f/", "x", None),
        ("/d/f/.", "x", None),
        ("d/f", "x", Some("x=text".into())),
        ("../d/../../d/f", "x", Some("x=text".into())),
        ("/d", "new", Some(within("new"))),
        ("/d", "new/", Some(within("new"))),
        ("/d/", "new", Some(within("new"))),
        ("/d", "dir", Some(within("dir/d"))),
        ("/d", "dlink", Some(within("dir/d"))),
        ("/d/.", "new", Some(within("new"))),
        ("/d/sub/..", "new", Some(within("new"))),
        ("/d/.", "dir", Some(within("dir").replacen("dir/ ", "", 1))),
        ("/d/.", "conflict", None),
        ("/d", "file", None),
        ("/abs", "x", Some("x>/d/f".into())),
        ("/abs", "dir", Some("dir/abs>/d/f".into())),
        ("/abs/", "x", None),
        ("/d/l", "x", Some("x>f".into())),
        ("/ro", "dir", Some("dir/ro/ dir/ro/z=z".into())),
        ("/ro/.", "dir", Some("dir/z=z".into())),
        ("/absent", "x", None),
    ];
    for (number, (source, destination, expected)) in cases.into_iter().enumerate() {
        let place = sandbox.path(&format!("case{number}"));
        folder(&place);
        let before = listed(&place);
        // The trailing slash counts: the path is joined as text.
        let destination_path = format!("{}/{destination}", place.display());
        let outcome = sandbox.bedplate(["cp", &format!("x:{source}"), &destination_path]);
        let new = || -> Vec<String> { listed(&place).into_iter().filter(|line| !before.contains(line)).collect() };
        match expected {
            Some(expected) => {
                outcome.ok().says("Successfully copied");
                let mut expected: Vec<&str> = expected.split(' ').collect();
                expected.sort_unstable();
                assert_eq!(new(), expected, "{source} {destination}");
            }
            None => {
                outcome.fails();
                assert_eq!(listed(&place), before, "{source} {destination}: something was left");
            }
        }
    }
}

#[test]
fn hard_links_modes_and_times_come_along() {
    use std::os::unix::fs::MetadataExt as _;
    let sandbox = sandbox();
    image(&sandbox);
    std::fs::create_dir(sandbox.path("there")).unwrap();
    for (source, place) in [("x:/d", "new"), ("x:/d/.", "there")] {
        sandbox.bedplate(["cp", "-q", source, sandbox.path(place).to_str().unwrap()]).ok().is_silent();
        let about = |name: &str| std::fs::metadata(sandbox.path(place).join(name)).unwrap();
        assert_eq!(about("f").ino(), about("hard").ino(), "{source}");
        assert_eq!(about("f").mode() & 0o7777, 0o640);
    }
    sandbox.bedplate(["cp", "-L", "x:/abs", sandbox.path("followed").to_str().unwrap()]).ok();
    assert_eq!(std::fs::read_to_string(sandbox.path("followed")).unwrap(), "text");
}

#[test]
fn what_is_no_copy_is_refused() {
    let sandbox = sandbox();
    image(&sandbox);
    let table = [
        (["a", "b"], "one side"),
        (["x:/d", "x:/e"], "between containers"),
        (["Dockerfile", "x:/e"], "into a container"),
        (["absent:/d", "b"], "absent"),
    ];
    for (words, text) in table {
        sandbox.bedplate(["cp", words[0], words[1]]).fails().says(text);
    }
    sandbox.bedplate(["cp", "absent:/a", "-"]).fails().says("no such image or container: absent");
    sandbox.bedplate(["export", "absent"]).fails().says("no such image or container: absent");
}

#[test]
fn a_container_shows_what_its_command_did() {
    let name = "copying::a_container_shows_what_its_command_did";
    let sandbox = sandbox();
    if !can_run(name) || busybox_image(&sandbox, name).is_none() {
        return;
    }
    let script = "echo hi > /new; mkdir /made; rm /bin/true; exit 3";
    sandbox.bedplate(["run", "--name", "work", "box", "sh", "-c", script]).ends(3);
    let tar = sandbox.path("work.tar");
    sandbox.bedplate(["export", "-o", tar.to_str().unwrap(), "work"]).ok().is_silent();
    let text = bedplate_testkit::oracle::expect(bedplate_testkit::oracle::command("tar").arg("-tf").arg(&tar));
    let paths: Vec<&str> = text.lines().map(|line| line.trim_start_matches("./").trim_end_matches('/')).collect();
    for (path, there) in [("new", true), ("made", true), ("bin/sh", true), ("bin/true", false)] {
        assert_eq!(paths.contains(&path), there, "{path} in {paths:?}");
    }
    sandbox.bedplate(["cp", "work:/new", sandbox.path("new").to_str().unwrap()]).ok();
    assert_eq!(std::fs::read_to_string(sandbox.path("new")).unwrap(), "hi\n");
    sandbox.bedplate(["cp", "work:/bin/true", sandbox.path("true").to_str().unwrap()]).fails().says("/bin/true");
    let seen = inspect(&sandbox, "work");
    assert_eq!((&seen["Name"], &seen["Path"]), (&"/work".into(), &"sh".into()));
    assert_eq!((&seen["State"]["Status"], &seen["State"]["ExitCode"]), (&"exited".into(), &3.into()));
    assert_eq!(inspect_format(&sandbox, "work", "{{.State.Running}} {{.Config.Image}}"), "false box");
    sandbox.bedplate(["inspect", "--type", "image", "work"]).ends(1).says("Error: No such image: work");
    sandbox.bedplate(["inspect", "--type", "container", "box"]).ends(1).says("Error: No such container: box");
}

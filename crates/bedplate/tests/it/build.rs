//! `build` without processes, and its simplest `RUN`.

use crate::kit::*;
use bedplate_testkit::{Entry, Http, Reply, Sandbox, Tar, oracle, program};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Builds `Dockerfile` in the sandbox's folder and returns the image ID.
#[track_caller]
pub(crate) fn build(sandbox: &Sandbox, dockerfile: &str, arguments: &[&str]) -> String {
    sandbox.write("Dockerfile", dockerfile);
    let mut words = vec!["build", "-q"];
    words.extend_from_slice(arguments);
    words.push(".");
    let outcome = sandbox.bedplate(words).ok();
    fsck(sandbox);
    image_id(sandbox, &outcome)
}

/// The merged tree of an image: path to the line of GNU tar's verbose listing, without the time.
#[track_caller]
pub(crate) fn listing(sandbox: &Sandbox, name: &str) -> BTreeMap<String, String> {
    let scratch = sandbox.write(&format!("../export-{}.tar", name.replace([':', '/'], "-")), "");
    sandbox.bedplate(["export", "-o", scratch.to_str().unwrap(), name]).ok();
    let text = oracle::expect(
        oracle::command("tar").args(["--numeric-owner", "--full-time", "-tvf"]).arg(&scratch).env("TZ", "UTC"),
    );
    let mut lines = BTreeMap::new();
    for line in text.lines() {
        // Mode, owner, size, date, time, path, and for links ` -> target` or ` link to target`.
        let words: Vec<&str> = line.split_whitespace().collect();
        let path = words[5].trim_start_matches("./").trim_end_matches('/').to_owned();
        lines.insert(path, format!("{} {} {}", words[0], words[1], words[2]));
    }
    lines
}

/// The text of one file of an image.
#[track_caller]
pub(crate) fn file(sandbox: &Sandbox, image: &str, path: &str) -> String {
    let scratch = sandbox.write("../file.tar", "");
    sandbox.bedplate(["export", "-o", scratch.to_str().unwrap(), image]).ok();
    for name in [path.to_owned(), format!("./{path}")] {
        let output = oracle::output(oracle::command("tar").arg("-xOf").arg(&scratch).arg(&name));
        if output.status.success() {
            return String::from_utf8_lossy(&output.stdout).into_owned();
        }
    }
    panic!("no {path} in {image}")
}

#[test]
fn the_pages_hello() {
    let sandbox = sandbox();
    hello_context(&sandbox);
    let outcome = sandbox.bedplate(["build", "--tag", "hello", "."]).ok();
    fsck(&sandbox);
    assert!(outcome.text().is_empty() || outcome.text().contains("sha256:"), "{outcome}");
    let image = inspect(&sandbox, "hello");
    assert_eq!(image["Config"]["Cmd"], json!(["/hello"]));
    assert_eq!(image["Config"]["Env"], json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]));
    assert_eq!(image["Config"]["WorkingDir"], "/");
    assert_eq!(diff_ids(&sandbox, "hello").len(), 1);
    assert_eq!(listing(&sandbox, "hello")["hello"].split(' ').next(), Some("-rwxr-xr-x"));
}

#[test]
fn history_has_an_entry_per_instruction() {
    let sandbox = sandbox();
    hello_context(&sandbox);
    let id = build(&sandbox, "FROM scratch\nADD hello /\nENV A=b\nCMD [\"/hello\"]\n", &[]);
    let config: Value = serde_json::from_slice(&std::fs::read(blob(&sandbox, &id)).unwrap()).unwrap();
    let history = config["history"].as_array().unwrap();
    assert_eq!(history.len(), 3, "{config}");
    let empty: Vec<bool> = history.iter().map(|entry| entry["empty_layer"] == json!(true)).collect();
    assert_eq!(empty, [false, true, true]);
    assert!(history.iter().all(|entry| entry["comment"] == "buildkit.dockerfile.v0"), "{config}");
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 1);
}

#[test]
fn metadata_instructions() {
    let sandbox = sandbox();
    let dockerfile = r#"FROM scratch
ARG V=1.0
ENV A=b B=${A:-none} C="x $V"
ENV D=$A
LABEL one=1 two="2 $V"
EXPOSE 80 443/tcp
VOLUME /data
USER 1000
WORKDIR /srv
WORKDIR app
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s CMD ["/check"]
SHELL ["/bin/ash", "-c"]
ENTRYPOINT exec /entry
CMD ["a", "b"]
ONBUILD ADD . /src
MAINTAINER someone@example.org
"#;
    build(&sandbox, dockerfile, &["-t", "x", "--build-arg", "V=2", "--label", "three=3"]);
    let image = inspect(&sandbox, "x");
    let config = &image["Config"];
    let table = [
        (
            "Env",
            json!([
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "A=b",
                "B=none",
                "C=x 2",
                "D=b"
            ]),
        ),
        ("Labels", json!({"one": "1", "three": "3", "two": "2 2"})),
        ("ExposedPorts", json!({"443/tcp": {}, "80/tcp": {}})),
        ("Volumes", json!({"/data": {}})),
        ("User", json!("1000")),
        ("WorkingDir", json!("/srv/app")),
        ("StopSignal", json!("SIGTERM")),
        ("Shell", json!(["/bin/ash", "-c"])),
        ("Entrypoint", json!(["/bin/ash", "-c", "exec /entry"])),
        ("Cmd", json!(["a", "b"])),
        ("OnBuild", json!(["ADD . /src"])),
    ];
    for (field, expected) in table {
        assert_eq!(config[field], expected, "{field}");
    }
    assert_eq!(config["Healthcheck"]["Test"], json!(["CMD", "/check"]));
    assert_eq!(image["Author"], "someone@example.org");
    let tree = listing(&sandbox, "x");
    // Made for the user of the stage; the group of a number is that number, as with --chown in BuildKit.
    assert_eq!(tree["srv/app"], "drwxr-xr-x 1000/1000 0");
}

#[test]
fn copy_and_add_local_files() {
    let sandbox = sandbox();
    sandbox.write("a.txt", "a");
    sandbox.write("b.txt", "b");
    sandbox.write("dir/in", "in");
    sandbox.write("dir/sub/deep", "deep");
    sandbox.write("skip/x.log", "log");
    sandbox.write("skip/x.txt", "txt");
    build(
        &sandbox,
        r"FROM scratch
COPY a.txt /one
COPY a.txt b.txt /many/
COPY *.txt /glob/
COPY dir /tree
COPY dir/ /tree2/
COPY --chown=12:34 --chmod=4711 a.txt /owned
COPY --chown=7 a.txt /sameGroup
COPY --exclude=*.log skip /excluded
COPY --parents dir/sub/deep /parents/
WORKDIR /w
COPY a.txt rel
COPY a.txt ./under/
",
        &["-t", "x"],
    );
    let tree = listing(&sandbox, "x");
    let expected = [
        ("one", "-rw-r--r-- 0/0 1"),
        ("many", "drwxr-xr-x 0/0 0"),
        ("many/a.txt", "-rw-r--r-- 0/0 1"),
        ("many/b.txt", "-rw-r--r-- 0/0 1"),
        ("glob/a.txt", "-rw-r--r-- 0/0 1"),
        ("tree/in", "-rw-r--r-- 0/0 2"),
        ("tree/sub/deep", "-rw-r--r-- 0/0 4"),
        ("tree2/in", "-rw-r--r-- 0/0 2"),
        ("owned", "-rws--x--x 12/34 1"),
        ("sameGroup", "-rw-r--r-- 7/7 1"),
        ("excluded/x.txt", "-rw-r--r-- 0/0 3"),
        ("parents/dir/sub/deep", "-rw-r--r-- 0/0 4"),
        ("w/rel", "-rw-r--r-- 0/0 1"),
        ("w/under/a.txt", "-rw-r--r-- 0/0 1"),
    ];
    for (path, line) in expected {
        assert_eq!(tree.get(path).map(String::as_str), Some(line), "{path} in {tree:#?}");
    }
    for path in ["excluded/x.log", "tree/dir", "parents/deep"] {
        assert!(!tree.contains_key(path), "{path}");
    }
}

#[test]
fn heredocs() {
    let sandbox = sandbox();
    build(
        &sandbox,
        "FROM scratch\nARG N=world\nCOPY <<a <<\"b\" /d/\nhello $N\na\nraw $N\nb\nCOPY <<-EOF /f\n\ttab\nEOF\n",
        &["-t", "x"],
    );
    assert_eq!(file(&sandbox, "x", "d/a"), "hello world\n");
    assert_eq!(file(&sandbox, "x", "d/b"), "raw $N\n");
    assert_eq!(file(&sandbox, "x", "f"), "tab\n");
    assert_eq!(listing(&sandbox, "x")["d/a"], "-rw-r--r-- 0/0 12");
}

#[test]
fn add_unpacks_archives_by_content() {
    let test = "build::add_unpacks";
    let sandbox = sandbox();
    let tar = Tar::new()
        .dir("d/", 0o700)
        .entry(&Entry { path: b"d/f", mode: 0o600, uid: 5, gid: 6, mtime: 7, data: b"text", ..Entry::default() })
        .symlink("l", "d/f")
        .finish();
    sandbox.write("plain", &tar);
    for tool in ["gzip", "xz", "bzip2", "zstd"] {
        sandbox.write(tool, compressed(test, tool, &tar).unwrap_or_else(|| tar.clone()));
    }
    sandbox.write("not.tar", "no archive");
    build(
        &sandbox,
        "FROM scratch\nADD plain /plain\nADD gzip /gzip/\nADD xz /xz\nADD bzip2 /bzip2\nADD zstd /zstd\nADD not.tar /not\nCOPY plain /copied\n",
        &["-t", "x"],
    );
    let tree = listing(&sandbox, "x");
    for folder in ["plain", "gzip", "xz", "bzip2", "zstd"] {
        assert_eq!(tree[&format!("{folder}/d")], "drwx------ 0/0 0", "{folder}");
        assert_eq!(tree[&format!("{folder}/d/f")], "-rw------- 5/6 4", "{folder}");
        assert!(tree.contains_key(&format!("{folder}/l")), "{folder}");
        assert_eq!(tree[folder], "drwxr-xr-x 0/0 0", "{folder}");
    }
    assert_eq!(tree["not"], "-rw-r--r-- 0/0 10");
    assert_eq!(tree["copied"], format!("-rw-r--r-- 0/0 {}", tar.len()));
}

#[test]
fn add_of_a_url() {
    let sandbox = sandbox();
    let http = Http::start();
    http.serve("/file.bin", Reply::ok("bytes").header("Last-Modified", "Fri, 14 Jul 2017 02:40:00 GMT"));
    let url = http.url("/file.bin");
    build(&sandbox, &format!("FROM scratch\nADD {url} /to/\nADD {url} /name\n"), &["-t", "x"]);
    let tree = listing(&sandbox, "x");
    assert_eq!(tree["to/file.bin"], "-rw------- 0/0 5");
    assert_eq!(tree["name"], "-rw------- 0/0 5");
    let right = sha256(b"bytes");
    build(&sandbox, &format!("FROM scratch\nADD --checksum={right} {url} /name\n"), &[]);
    let wrong = sha256(b"other");
    let before = images(&sandbox);
    sandbox.write("Dockerfile", format!("FROM scratch\nADD --checksum={wrong} {url} /name\n"));
    sandbox.bedplate(["build", "."]).fails().says(&wrong[..19]).says(&right[..19]);
    assert_eq!(images(&sandbox), before);
    fsck(&sandbox);
}

#[test]
fn stages() {
    let sandbox = sandbox();
    sandbox.write("a", "from a");
    sandbox.write("b", "from b");
    let dockerfile = "ARG NAME=one\nFROM scratch AS one\nCOPY a /f\nLABEL only=one\nFROM scratch AS two\nCOPY b /f\n\
                      FROM ${NAME}\nCOPY --from=two /f /g\nCOPY --from=0 /f /h\n";
    build(&sandbox, dockerfile, &["-t", "x"]);
    for (path, text) in [("f", "from a"), ("g", "from b"), ("h", "from a")] {
        assert_eq!(file(&sandbox, "x", path), text, "{path}");
    }
    assert_eq!(inspect(&sandbox, "x")["Config"]["Labels"], json!({"only": "one"}));
    build(&sandbox, dockerfile, &["-t", "y", "--target", "two"]);
    assert_eq!(file(&sandbox, "y", "f"), "from b");
    build(&sandbox, dockerfile, &["-t", "z", "--build-arg", "NAME=two"]);
    assert_eq!(file(&sandbox, "z", "f"), "from b");
    // A stage that the target does not need is not built: this one could not be.
    build(&sandbox, "FROM absent:1 AS never\nFROM scratch\nCOPY a /f\n", &[]);
}

#[test]
fn from_a_local_image() {
    let sandbox = sandbox();
    let base = hello_image(&sandbox);
    let base_layers = diff_ids(&sandbox, "hello");
    sandbox.write("a", "a");
    build(&sandbox, "FROM hello\nCOPY a /a\nCOPY --from=hello /hello /again\n", &["-t", "x"]);
    let layers = diff_ids(&sandbox, "x");
    assert_eq!(layers[..1], base_layers[..], "layers of the base are never rewritten");
    assert_eq!(inspect(&sandbox, "x")["Config"]["Cmd"], json!(["/hello"]));
    assert!(listing(&sandbox, "x").contains_key("again"));
    let read = |id: &str| -> Value { serde_json::from_slice(&std::fs::read(blob(&sandbox, id)).unwrap()).unwrap() };
    let id = inspect(&sandbox, "x")["Id"].as_str().unwrap().to_owned();
    assert_eq!(read(&id)["history"][0], read(&base)["history"][0], "nor is its history");
    // A base that is not here is named.
    sandbox.write("Dockerfile", "FROM absent:1\nCOPY a /a\n");
    sandbox.bedplate(["build", "."]).fails().says("absent:1");
}

#[test]
fn base_annotations_by_default() {
    let sandbox = sandbox();
    hello_image(&sandbox);
    sandbox.write("a", "a");
    build(&sandbox, "FROM hello\nCOPY a /a\n", &["-t", "x"]);
    let manifests: Vec<Value> = list(&sandbox.store().join("blobs/sha256"))
        .iter()
        .filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok())
        .filter(|value: &Value| value["annotations"]["org.opencontainers.image.base.name"].is_string())
        .collect();
    assert_eq!(manifests.len(), 1, "{manifests:?}");
    let annotations = &manifests[0]["annotations"];
    assert!(annotations["org.opencontainers.image.base.name"].as_str().unwrap().ends_with("hello:latest"));
    assert!(annotations["org.opencontainers.image.base.digest"].as_str().unwrap().starts_with("sha256:"));
}

#[test]
fn onbuild_triggers_run_in_the_child() {
    let sandbox = sandbox();
    sandbox.write("a", "a");
    build(&sandbox, "FROM scratch\nONBUILD COPY a /triggered\nONBUILD ENV T=1\n", &["-t", "base"]);
    build(&sandbox, "FROM base\nCOPY a /own\n", &["-t", "x"]);
    let tree = listing(&sandbox, "x");
    assert!(tree.contains_key("triggered") && tree.contains_key("own"));
    let config = inspect(&sandbox, "x")["Config"].clone();
    assert!(config["OnBuild"].as_array().is_none_or(Vec::is_empty), "{config}");
    assert!(config["Env"].as_array().unwrap().contains(&json!("T=1")));
}

#[test]
fn dockerignore() {
    let sandbox = sandbox();
    for name in ["keep", "drop.log", "dir/drop.log", "dir/keep.log", "node_modules/x", "sub/node_modules/y"] {
        sandbox.write(name, name);
    }
    sandbox.write(".dockerignore", "# comment\n**/*.log\n!dir/keep.log\nnode_modules\nDockerfile\n");
    build(&sandbox, "FROM scratch\nCOPY . /\n", &["-t", "x"]);
    let files: Vec<String> =
        listing(&sandbox, "x").into_iter().filter(|(_, line)| line.starts_with('-')).map(|(path, _)| path).collect();
    assert_eq!(files, [".dockerignore", "dir/keep.log", "keep", "sub/node_modules/y"]);
}

#[test]
fn contexts_from_stdin() {
    let sandbox = sandbox();
    let dockerfile = "FROM scratch\nCOPY <<f /f\ntext\nf\n";
    let outcome = sandbox.bedplate(["build", "-q", "-"]).stdin(dockerfile).ok();
    let first = image_id(&sandbox, &outcome);
    let tar = Tar::new().file("Dockerfile", 0o644, "FROM scratch\nCOPY a /a\n").file("a", 0o644, "a").finish();
    let second = image_id(&sandbox, &sandbox.bedplate(["build", "-q", "-"]).stdin(tar.clone()).ok());
    assert_ne!(first, second);
    if let Some(packed) = compressed("build::contexts_from_stdin", "gzip", &tar) {
        assert_eq!(image_id(&sandbox, &sandbox.bedplate(["build", "-q", "-"]).stdin(packed).ok()), second);
    }
    // A Dockerfile on stdin beside a folder.
    sandbox.write("a", "a");
    let third =
        image_id(&sandbox, &sandbox.bedplate(["build", "-q", "-f", "-", "."]).stdin("FROM scratch\nCOPY a /a\n").ok());
    assert_eq!(third, second);
    // Another name.
    sandbox.write("other.Dockerfile", "FROM scratch\nCOPY a /a\n");
    let fourth = image_id(&sandbox, &sandbox.bedplate(["build", "-q", "-f", "other.Dockerfile", "."]).ok());
    assert_eq!(fourth, second);
    fsck(&sandbox);
}

#[test]
fn several_names_and_an_id_file() {
    let sandbox = sandbox();
    hello_context(&sandbox);
    let id = build(&sandbox, "FROM scratch\nADD hello /\n", &["-t", "a", "-t", "b:1", "--iidfile", "id"]);
    assert_eq!(std::fs::read_to_string(sandbox.path("id")).unwrap(), id);
    let mut tags: Vec<String> = inspect(&sandbox, "a")["RepoTags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag.as_str().unwrap().to_owned())
        .collect();
    tags.sort();
    assert_eq!(tags, ["a:latest", "b:1"]);
    sandbox.bedplate(["build", "-t", "scratch", "."]).fails().says("'scratch' is a reserved name");
}

#[test]
fn steps_are_cached_by_content() {
    let sandbox = sandbox();
    hello_context(&sandbox);
    let first = sandbox.bedplate(["build", "."]).ok();
    let second = sandbox.bedplate(["build", "."]).ok();
    assert!(
        !first.stderr.to_lowercase().contains("cached") && second.stderr.to_lowercase().contains("cached"),
        "{first}\n{second}"
    );
    // A changed file of the same length and time is seen.
    sandbox.write("hello", vec![b'x'; program::hello(program::Machine::host()).len()]);
    let third = sandbox.bedplate(["build", "."]).ok();
    assert_ne!(images(&sandbox).len(), 1, "{third}");
    let again = sandbox.bedplate(["build", "--no-cache", "."]).ok();
    assert!(!again.stderr.to_lowercase().contains("cached"), "{again}");
    fsck(&sandbox);
}

#[test]
fn scratch_is_no_name_of_an_image() {
    let sandbox = sandbox();
    hello_context(&sandbox);
    let id = build(&sandbox, "FROM scratch\nADD hello /\n", &[]);
    sandbox.bedplate(["tag", &id, "scratch"]).fails().says("reserved");
    sandbox.bedplate(["run", "scratch"]).ends(125).says("reserved");
}

#[test]
fn programs_that_cannot_run_here_get_a_warning() {
    use program::{Machine, dynamic, hello, mach_o, pe};
    let table = [
        (mach_o(), "macOS"),
        (pe(), "Windows"),
        (hello(Machine::foreign()), Machine::foreign().docker_name()),
        (dynamic(Machine::host(), "/lib/absent-loader.so.1"), "/lib/absent-loader.so.1"),
        (b"#!/bin/absent-shell\n".to_vec(), "/bin/absent-shell"),
    ];
    for (bytes, word) in table {
        for line in ["CMD [\"/hello\"]", "ENTRYPOINT [\"/hello\"]"] {
            let sandbox = sandbox();
            sandbox.write_program("hello", &bytes);
            sandbox.write("Dockerfile", format!("FROM scratch\nADD hello /\n{line}\n"));
            let outcome = sandbox.bedplate(["build", "."]).ok();
            assert!(outcome.stderr.contains("warning:") && outcome.stderr.contains(word), "{word}: {outcome}");
        }
    }
    let sandbox = sandbox();
    hello_context(&sandbox);
    let outcome = sandbox.bedplate(["build", "."]).ok();
    assert!(!outcome.stderr.contains("warning"), "{outcome}");
}

#[test]
fn run_steps_change_the_image() {
    let test = "build::run_steps";
    if !can_run(test) {
        return;
    }
    let sandbox = sandbox();
    if busybox_image(&sandbox, test).is_none() {
        return;
    }
    let before = diff_ids(&sandbox, "box");
    build(
        &sandbox,
        "FROM box\nRUN echo one > /one && rm /etc/lsb-release && mkdir -m 700 /d\nRUN [\"touch\", \"/two\"]\nRUN <<EOF\necho $((1+2)) > /three\nEOF\n",
        &["-t", "x"],
    );
    let layers = diff_ids(&sandbox, "x");
    assert_eq!(layers.len(), before.len() + 3);
    assert_eq!(layers[..before.len()], before[..]);
    let tree = listing(&sandbox, "x");
    assert_eq!(file(&sandbox, "x", "one"), "one\n");
    assert_eq!(file(&sandbox, "x", "three"), "3\n");
    assert_eq!(tree["two"], "-rw-r--r-- 0/0 0");
    assert_eq!(tree["d"], "drwx------ 0/0 0");
    for path in ["etc/lsb-release", "etc/hosts", "etc/hostname", "etc/resolv.conf", "dev/null", "proc/1"] {
        assert!(!tree.contains_key(path), "{path} is in the image");
    }
    // The status of a failing step, and nothing half made.
    let images_before = images(&sandbox);
    sandbox.write("Dockerfile", "FROM box\nRUN exit 7\n");
    sandbox.bedplate(["build", "."]).fails().says("exit 7").says("7");
    assert_eq!(images(&sandbox), images_before);
    fsck(&sandbox);
}

#[test]
fn run_steps_see_the_stages_environment() {
    let test = "build::run_environment";
    if !can_run(test) {
        return;
    }
    let sandbox = sandbox();
    if busybox_image(&sandbox, test).is_none() {
        return;
    }
    let dockerfile = "FROM box\nARG V=arg\nENV E=env\nWORKDIR /w\nUSER 0\nRUN echo \"$V $E $PWD $(id -u)\" > /out\n";
    build(&sandbox, dockerfile, &["-t", "x"]);
    assert_eq!(file(&sandbox, "x", "out"), "arg env /w 0\n");
    let history = sandbox.bedplate(["history", "--no-trunc", "--format", "{{.CreatedBy}}", "x"]).ok().text();
    assert!(history.contains("|1 V=arg /bin/sh -c echo"), "{history}");
}

#[test]
fn trees_are_those_of_docker() {
    let test = "build::trees_are_those_of_docker";
    let docker = match oracle::Docker::start() {
        Ok(docker) => docker,
        Err(reason) => return bedplate_testkit::skip::note(test, &reason),
    };
    let sandbox = sandbox();
    for (name, text) in [
        ("a.txt", "a"),
        ("b.txt", "bb"),
        ("c.log", "ccc"),
        ("d/one", "1"),
        ("d/sub/two", "22"),
        ("e f/g", "x"),
        ("[x]", "br"),
        (".hidden", "h"),
    ] {
        sandbox.write(&format!("ctx/{name}"), text);
    }
    sandbox.write_program("ctx/program", program::hello(program::Machine::host()));
    std::os::unix::fs::symlink("a.txt", sandbox.path("ctx/link")).unwrap();
    std::os::unix::fs::symlink("d", sandbox.path("ctx/dirlink")).unwrap();
    let tar = Tar::new()
        .dir("t/", 0o710)
        .entry(&Entry { path: b"t/f", mode: 0o4755, uid: 3, gid: 4, mtime: 5, data: b"text", ..Entry::default() })
        .symlink("t/l", "../outside")
        // Docker gives a file the attributes of the last header that names it, GNU tar and we those of the first.
        .entry(&Entry {
            path: b"t/h",
            kind: b'1',
            link: b"t/f",
            mode: 0o4755,
            uid: 3,
            gid: 4,
            mtime: 5,
            ..Entry::default()
        })
        .finish();
    sandbox.write("ctx/in.tar", &tar);
    sandbox.write("ctx/.dockerignore", "*.log\n");
    // What the classic builder and BuildKit do alike; where they differ, the cases above follow BuildKit.
    let cases = [
        "COPY a.txt /\n",
        "COPY a.txt /x\nCOPY b.txt /x\n",
        "COPY a.txt b.txt /dir/\nCOPY d /dir/\n",
        "COPY d /d\nCOPY d/ /e/\nCOPY d/. /f\nCOPY d /\n",
        "COPY *.txt /t/\nCOPY [abx].txt /u/\nCOPY [[]x] /w/\n",
        "COPY [\"e f/g\", \"/with space/\"]\nCOPY [\"e f\", \"/dir\"]\n",
        "COPY . /all\n",
        "COPY program /bin/\nCOPY --chown=5:6 program /owned\nCOPY --chown=7 d /tree\n",
        "WORKDIR /w\nCOPY a.txt .\nCOPY a.txt sub/\nWORKDIR deep/er\nCOPY d x\n",
        "ADD in.tar /\n",
        "ADD in.tar /to/\nADD in.tar /to2\nADD a.txt in.tar /to3/\n",
        "COPY in.tar /\nCOPY .hidden /\n",
        "COPY dirlink /through\n",
        "COPY a.txt /x/y/z/\nCOPY b.txt /x/y/w\n",
        "COPY a.txt /f\nADD in.tar /f2\nCOPY d/one /f2/t/\n",
    ];
    for (number, case) in cases.iter().enumerate() {
        sandbox.write("ctx/Dockerfile", format!("FROM scratch\n{case}"));
        let name = format!("case:{number}");
        let theirs = oracle::output(
            docker.command().args(["build", "-q", "-t", &format!("docker{number}")]).arg(sandbox.path("ctx")),
        );
        let ours = sandbox.bedplate(["build", "-q", "-t", &name, "ctx"]).run();
        assert_eq!(
            ours.status == Some(0),
            theirs.status.success(),
            "{case}: {ours}{}",
            String::from_utf8_lossy(&theirs.stderr)
        );
        let file = sandbox.path("theirs.tar");
        oracle::expect(docker.command().args(["save", "-o"]).arg(&file).arg(format!("docker{number}")));
        sandbox.bedplate(["load", "-i", file.to_str().unwrap()]).ok();
        let (mut ours, theirs) = (listing(&sandbox, &name), listing(&sandbox, &format!("docker{number}")));
        // BuildKit makes the destination of an unpacked archive; the classic builder leaves it to the archive.
        if !theirs.contains_key("") {
            ours.remove("");
        }
        assert_eq!(ours, theirs, "{case}");
    }
}

//! `images`, `inspect`, `history`, `tag`, `rmi`, `version`, `info`, completion, help.

use crate::kit::*;
use bedplate_testkit::{Tar, program};
use serde_json::{Value, json};

#[test]
fn the_table_of_images() {
    let sandbox = sandbox();
    let id = hello_image(&sandbox);
    import(&sandbox, &Tar::new().file("a", 0o644, "a").finish(), &["-", "registry.example/b:2"]);
    let table = sandbox.bedplate(["images"]).clock(1_000_000).ok();
    table.is_silent();
    let text = table.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    let head: Vec<&str> = lines[0].split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(head, ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
    let hello = lines.iter().find(|line| line.starts_with("hello ")).unwrap();
    assert!(hello.contains(" latest ") && hello.contains(&id[7..19]), "{table}");
    // For programs.
    assert_eq!(sandbox.bedplate(["images", "-q"]).ok().text().lines().count(), 2);
    assert_eq!(sandbox.bedplate(["images", "-q", "--no-trunc", "hello"]).ok().text(), id);
    assert_eq!(
        sandbox.bedplate(["images", "--format", "{{.Repository}}:{{.Tag}}", "hello"]).ok().text(),
        "hello:latest"
    );
    let json: Value =
        serde_json::from_str(&sandbox.bedplate(["images", "--format", "json", "hello"]).ok().text()).unwrap();
    assert_eq!((&json["Repository"], &json["Tag"]), (&json!("hello"), &json!("latest")));
    let table = sandbox.bedplate(["images", "--format", "table {{.Tag}}\\t{{.Repository}}", "hello"]).ok();
    assert_eq!(table.text(), "TAG       REPOSITORY\nlatest    hello");
    sandbox.bedplate(["images", "--format", "{{.Absent}}"]).fails().says("Absent");
    sandbox.bedplate(["images", "--format", "{{"]).fails().says("template");
}

#[test]
fn an_empty_store_has_an_empty_table() {
    let sandbox = sandbox();
    assert_eq!(sandbox.bedplate(["images"]).ok().text().lines().count(), 1);
    assert_eq!(sandbox.bedplate(["images", "-q"]).ok().text(), "");
}

#[test]
fn inspect_has_dockers_shape() {
    let sandbox = sandbox();
    let id = hello_image(&sandbox);
    let image = inspect(&sandbox, "hello");
    assert_eq!(image["Id"], id);
    assert_eq!(image["RepoTags"], json!(["hello:latest"]));
    assert_eq!(image["Os"], "linux");
    assert_eq!(image["Architecture"], program::Machine::host().docker_name());
    assert_eq!(image["RootFS"], json!({"Type": "layers", "Layers": [sha256(&hello_tar())]}));
    assert_eq!(image["Config"]["Cmd"], json!(["/hello"]));
    assert!(image["Size"].as_u64().is_some_and(|size| size > 0), "{image}");
    assert!(image["Created"].is_string());
    for key in ["RepoDigests", "Comment", "Author"] {
        assert!(image.get(key).is_some(), "{key}");
    }
    let table = [
        ("{{.Id}}", id.as_str()),
        ("{{json .Config.Cmd}}", "[\"/hello\"]"),
        ("{{index .RepoTags 0}}", "hello:latest"),
        ("{{range .RootFS.Layers}}{{println .}}{{end}}", &format!("{}\n", sha256(&hello_tar()))),
        ("{{.Config.Labels}}", "map[]"),
        ("{{index .Config.Labels \"absent\"}}", ""),
        ("{{len .Config.Env}}", "0"),
        (
            "{{.Os}}/{{upper .Architecture}}",
            &format!("linux/{}", program::Machine::host().docker_name().to_uppercase()),
        ),
    ];
    for (format, expected) in table {
        assert_eq!(inspect_format(&sandbox, "hello", format), expected, "{format}");
    }
    let outcome = sandbox.bedplate(["inspect", "--format", "{{.Absent}}", "hello"]).fails();
    outcome.says("template: :1:2: executing \"\" at <.Absent>: map has no entry for key \"Absent\"");
    sandbox.bedplate(["inspect", "--format", "{{absent .}}", "hello"]).fails().says("function \"absent\" not defined");
}

#[test]
fn what_is_absent_is_named_and_the_rest_is_shown() {
    let sandbox = sandbox();
    hello_image(&sandbox);
    let outcome = sandbox.bedplate(["inspect", "hello", "absent"]).fails();
    outcome.says("absent");
    let value: Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(value.as_array().map(Vec::len), Some(1));
    let outcome = sandbox.bedplate(["inspect", "absent"]).fails();
    assert_eq!(outcome.text(), "[]", "as docker prints it");
}

#[test]
fn images_are_found_by_name_id_and_digest() {
    let sandbox = sandbox();
    let id = hello_image(&sandbox);
    for name in [
        "hello",
        "hello:latest",
        "docker.io/library/hello",
        "docker.io/library/hello:latest",
        &id,
        &id[7..],
        &id[7..19],
        &id[..20],
    ] {
        assert_eq!(inspect_format(&sandbox, name, "{{.Id}}"), id, "{name}");
    }
    for name in ["hello:absent", "hell", "ffffffffffff0", "HELLO"] {
        sandbox.bedplate(["inspect", name]).fails().says(name);
    }
}

#[test]
fn history_is_told_from_the_newest() {
    let sandbox = sandbox();
    hello_context(&sandbox);
    sandbox.bedplate(["build", "-t", "x", "."]).ok();
    let outcome = sandbox.bedplate(["history", "--no-trunc", "--format", "{{.CreatedBy}}", "x"]).ok();
    let lines: Vec<String> = outcome.text().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{outcome}");
    assert!(lines[0].contains("CMD [\"/hello\"]") && lines[1].contains("ADD hello /"), "{outcome}");
    let table = sandbox.bedplate(["history", "x"]).ok();
    let head: Vec<String> = table
        .text()
        .lines()
        .next()
        .unwrap()
        .split("  ")
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect();
    assert_eq!(head, ["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"]);
    assert_eq!(sandbox.bedplate(["history", "-q", "x"]).ok().text().lines().count(), 2);
    let sizes = sandbox.bedplate(["history", "--human=false", "--format", "{{.Size}}", "x"]).ok().text();
    assert_eq!(sizes.lines().next(), Some("0"), "{sizes}");
}

#[test]
fn names_are_given_and_taken_away() {
    let sandbox = sandbox();
    let id = hello_image(&sandbox);
    sandbox.bedplate(["tag", "hello", "registry.example/a/b:3"]).ok().is_silent();
    fsck(&sandbox);
    assert_eq!(inspect_format(&sandbox, "registry.example/a/b:3", "{{.Id}}"), id);
    let outcome = sandbox.bedplate(["rmi", "hello"]).ok();
    fsck(&sandbox);
    assert_eq!(outcome.text(), "Untagged: hello:latest");
    sandbox.bedplate(["inspect", "hello"]).fails();
    let outcome = sandbox.bedplate(["rmi", "registry.example/a/b:3"]).ok();
    fsck(&sandbox);
    let text = outcome.text();
    assert!(text.contains("Untagged: registry.example/a/b:3") && text.contains(&format!("Deleted: {id}")), "{outcome}");
    assert!(images(&sandbox).is_empty());
    assert!(!blob(&sandbox, &id).exists(), "the blobs go with the last name");
    assert!(!blob(&sandbox, &sha256(&hello_tar())).exists());
    sandbox.bedplate(["rmi", "absent"]).fails().says("absent");
    sandbox.bedplate(["tag", "absent", "x"]).fails().says("absent");
}

#[test]
fn an_image_with_several_names_is_not_removed_by_its_id() {
    let sandbox = sandbox();
    let id = hello_image(&sandbox);
    sandbox.bedplate(["tag", "hello", "other"]).ok();
    sandbox.bedplate(["rmi", &id]).fails().says("hello");
    assert_eq!(images(&sandbox).len(), 1);
    sandbox.bedplate(["rmi", "-f", &id]).ok();
    fsck(&sandbox);
    assert!(images(&sandbox).is_empty());
}

#[test]
fn a_shared_layer_stays_while_one_image_needs_it() {
    let sandbox = sandbox();
    import(&sandbox, &hello_tar(), &["-c", "CMD a", "-", "a"]);
    import(&sandbox, &hello_tar(), &["-c", "CMD b", "-", "b"]);
    sandbox.bedplate(["rmi", "a"]).ok();
    fsck(&sandbox);
    assert!(blob(&sandbox, &sha256(&hello_tar())).exists());
    sandbox.bedplate(["save", "-o", sandbox.path("b.tar").to_str().unwrap(), "b"]).ok();
}

#[test]
fn version_and_info() {
    let sandbox = sandbox();
    assert!(sandbox.bedplate(["--version"]).ok().text().starts_with("bedplate "));
    assert!(sandbox.bedplate(["version"]).ok().text().contains(env!("CARGO_PKG_VERSION")));
    let version: Value = serde_json::from_str(&sandbox.bedplate(["version", "--format", "json"]).ok().text()).unwrap();
    assert!(version.to_string().contains(env!("CARGO_PKG_VERSION")), "{version}");
    let info = sandbox.bedplate(["info"]).ok();
    assert!(info.text().contains(sandbox.store().to_str().unwrap()), "{info}");
    let info: Value = serde_json::from_str(&sandbox.bedplate(["info", "--format", "json"]).ok().text()).unwrap();
    assert!(info.is_object());
}

#[test]
fn completions() {
    let sandbox = sandbox();
    for shell in ["bash", "zsh", "fish"] {
        let outcome = sandbox.bedplate(["completion", shell]).ok();
        assert!(outcome.text().contains("bedplate") && outcome.text().contains("import"), "{shell}");
    }
    sandbox.bedplate(["completion", "absent"]).fails();
    assert!(!sandbox.store().exists(), "completion makes no store");
}

#[test]
fn help_and_mistakes_on_the_command_line() {
    let sandbox = sandbox();
    for command in [
        "import", "run", "build", "images", "inspect", "history", "tag", "rmi", "save", "load", "export", "cp",
        "prune", "fsck", "version", "info",
    ] {
        let outcome = sandbox.bedplate([command, "--help"]).ok();
        assert!(outcome.text().contains("Usage:"), "{outcome}");
    }
    let table: &[(&[&str], i32, &str)] = &[
        (&["--absent"], 125, "--absent"),
        (&["import", "--absent", "-"], 125, "--absent"),
        (&["import", "--platfrom", "x", "-"], 125, "--platform"),
        (&["build", "--absent", "."], 125, "--absent"),
        (&["images", "--absent"], 125, "--absent"),
        (&["imprt"], 1, "import"),
    ];
    for (words, status, text) in table {
        sandbox.bedplate(*words).ends(*status).says(text);
    }
    assert!(!sandbox.store().exists(), "a mistake makes no store");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let sandbox = sandbox();
    import(&sandbox, &Tar::new().file("big", 0o644, vec![7; 3_000_000]).finish(), &["-", "big"]);
    let mut child = sandbox.bedplate(["save", "big"]).start();
    drop(child.stdout.take());
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut stderr).unwrap();
    let status = child.wait().unwrap();
    // Half an archive is no success either: a shell with pipefail sees it.
    assert_eq!(status.code(), Some(141), "{stderr}");
    assert!(stderr.is_empty(), "{stderr}");
}

#[test]
fn disk_use_and_pruning() {
    let sandbox = sandbox();
    let kept = hello_image(&sandbox);
    let dangling = import(&sandbox, &Tar::new().file("a", 0o644, "a").finish(), &["-"]);
    let table = sandbox.bedplate(["system", "df"]).ok().text();
    assert!(table.lines().next().unwrap().starts_with("TYPE") && table.contains("Images"), "{table}");
    let outcome = sandbox.bedplate(["prune", "-f"]).ok();
    fsck(&sandbox);
    assert!(outcome.text().contains(&dangling), "{outcome}");
    assert_eq!(images(&sandbox), [kept].into());
    assert!(outcome.text().contains("Total reclaimed space:"), "{outcome}");
}

/// Templates that must print the same on the same image.
const FORMATS: &[&str] = &[
    "{{json .Config.Cmd}} {{json .Config.Entrypoint}} {{json .Config.Env}}",
    "{{json .Config.Labels}} {{json .Config.ExposedPorts}} {{json .Config.Volumes}}",
    "{{json .Config.Healthcheck}} {{json .Config.OnBuild}}",
    "{{.Config.User}}|{{.Config.WorkingDir}}|{{.Config.StopSignal}}",
    "{{.Os}}/{{.Architecture}} {{.Comment}} {{.Author}}",
    // Not RepoDigests: the graph driver store of this docker has none until a push.
    "{{json .RepoTags}}",
    "{{json .RootFS}}",
    "{{.Config.Labels}} {{.Config.ExposedPorts}} {{.Config.Cmd}}",
    "{{index .Config.Labels \"a\"}}|{{index .Config.Labels \"absent\"}}|{{.Config.Labels.absent}}",
    "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}",
    "{{range .Config.Env}}{{println .}}{{end}}",
    "{{if .Config.Healthcheck}}yes{{else}}no{{end}}",
    "{{with .Config}}{{len .Env}}{{end}}",
    "{{printf \"%s %v %q\" .Os .Config.Cmd .Architecture}}",
    "{{join .Config.Cmd \" \"}} {{upper .Os}} {{title .Os}} {{split .Os \"n\"}}",
    "{{(index .RepoTags 0) | printf \"%.3s\"}} {{slice .Id 0 10}}",
    "{{eq .Os \"linux\"}} {{and .Os .Author}} {{not .Author}}",
];

#[test]
fn changes_and_formats_are_those_of_docker() {
    let test = "looking::changes_and_formats";
    let docker = match bedplate_testkit::oracle::Docker::start() {
        Ok(docker) => docker,
        Err(reason) => return bedplate_testkit::skip::note(test, &reason),
    };
    let sets: &[&[&str]] = &[
        &[
            "CMD [\"/bin/sh\", \"-c\", \"echo hi\"]",
            "ENV A=b PATH=/x",
            "LABEL a=1 b=\"2 3\"",
            "EXPOSE 80 443/tcp 53/udp",
        ],
        &["CMD echo hi", "ENTRYPOINT /entry $A", "ENV A=b", "ENV A=c B=$A", "LABEL a=$A"],
        &[
            "CMD [\"x\"]",
            "HEALTHCHECK --interval=5s --timeout=1m --retries=3 CMD curl -f x",
            "USER 1000:50",
            "WORKDIR /a",
            "WORKDIR b/../c",
        ],
        &["CMD ['x']", "HEALTHCHECK NONE", "VOLUME /a /b", "VOLUME [\"/c d\"]"],
        &["CMD []", "ONBUILD RUN x && y", "ONBUILD COPY a /b", "EXPOSE 8000-8003"],
        &["CMD [\"a\"]", "ENTRYPOINT [\"b\"]", "ENV one two three", "LABEL \"a\"=\"x y\" 'b'=z"],
        &["cmd [\"a\"]", "env  X=\"1 2\"  Y='3 4' Z=5\\ 6", "user nobody", "workdir /"],
    ];
    let sandbox = sandbox();
    let file = sandbox.write("x.tar", hello_tar());
    let mut differences = Vec::new();
    for (number, set) in sets.iter().enumerate() {
        let name = format!("x:{number}");
        let mut theirs = docker.command();
        let mut words = vec!["import"];
        theirs.arg("import");
        for change in *set {
            theirs.args(["--change", change]);
            words.extend(["--change", change]);
        }
        bedplate_testkit::oracle::expect(theirs.arg(&file).arg(&name));
        words.extend([file.to_str().unwrap(), &name]);
        sandbox.bedplate(words).ok();
        for format in FORMATS {
            let theirs = bedplate_testkit::oracle::output(
                docker.command().args(["image", "inspect", "--format", format, &name]),
            );
            let ours = sandbox.bedplate(["inspect", "--format", format, &name]).run();
            assert_eq!(ours.status == Some(0), theirs.status.success(), "{format} on {set:?}: {ours}");
            // Whoever makes an image has an ID of an own; what the tag says is the test's.
            if ours.status == Some(0) && ours.stdout != theirs.stdout && !format.contains(".Id") {
                let theirs = String::from_utf8_lossy(&theirs.stdout).into_owned();
                differences.push(format!("{set:?}\n  {format}\n    docker: {theirs}    ours:   {}", ours.text()));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

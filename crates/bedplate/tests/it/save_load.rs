//! `save` and `load`, among ourselves and with the reference tools.

use crate::kit::*;
use bedplate_testkit::oracle::{self, Docker, Podman};
use bedplate_testkit::{Entry, Sandbox, Tar, generate, privilege, program, skip};
use serde_json::{Value, json};
use std::process::Stdio;

/// Saves images to a file and returns its path.
#[track_caller]
fn save(sandbox: &Sandbox, names: &[&str], file: &str) -> std::path::PathBuf {
    let path = sandbox.path(file);
    let mut words = vec!["save", "-o", path.to_str().unwrap()];
    words.extend_from_slice(names);
    sandbox.bedplate(words).ok();
    path
}

#[test]
fn what_is_saved_can_be_loaded() {
    let sandbox = sandbox();
    let hello = hello_image(&sandbox);
    let other = import(&sandbox, &Tar::new().file("a", 0o644, "a").finish(), &["-", "registry.example/other:2"]);
    let file = save(&sandbox, &["hello", "registry.example/other:2"], "both.tar");
    let second = crate::kit::sandbox();
    let outcome = second.bedplate(["load", "-i", file.to_str().unwrap()]).ok();
    fsck(&second);
    let text = outcome.text();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["Loaded image: hello:latest", "Loaded image: registry.example/other:2"]);
    assert_eq!(images(&second), [hello.clone(), other].into());
    assert_eq!(inspect_format(&second, "hello", "{{.Id}}"), hello);
    // Twice is as once.
    second.bedplate(["load", "-i", file.to_str().unwrap()]).ok();
    fsck(&second);
    assert_eq!(images(&second).len(), 2);
}

#[test]
fn saved_bytes_depend_on_the_images_alone() {
    let first = sandbox();
    let second = sandbox();
    hello_image(&first);
    import(&second, &Tar::new().file("unrelated", 0o644, "x").finish(), &["-", "unrelated"]);
    import(&second, &hello_tar(), &["--change", "CMD [\"/hello\"]", "-", "hello"]);
    let one = first.bedplate(["save", "hello"]).ok().stdout;
    let two = second.bedplate(["save", "hello"]).shifted().ok().stdout;
    assert!(one == two, "{} and {} bytes", one.len(), two.len());
    let by_file = std::fs::read(save(&first, &["hello"], "hello.tar")).unwrap();
    assert!(one == by_file);
    // Loaded and saved again, it is the same.
    let third = sandbox();
    third.bedplate(["load"]).stdin(one.clone()).ok();
    assert!(third.bedplate(["save", "hello"]).ok().stdout == one);
}

#[test]
fn by_id_an_image_is_saved_without_a_name() {
    let sandbox = sandbox();
    let id = hello_image(&sandbox);
    let file = save(&sandbox, &[&id], "id.tar");
    let second = crate::kit::sandbox();
    let outcome = second.bedplate(["load", "-i", file.to_str().unwrap()]).ok();
    assert_eq!(outcome.text(), format!("Loaded image ID: {id}"));
    assert_eq!(inspect(&second, &id)["RepoTags"], json!([]));
}

#[test]
fn the_archive_serves_both_kinds_of_readers() {
    let sandbox = sandbox();
    let id = hello_image(&sandbox);
    let file = save(&sandbox, &["hello"], "x.tar");
    let read = |name: &str| -> Value {
        let text = oracle::expect(oracle::command("tar").arg("-xOf").arg(&file).arg(name));
        serde_json::from_str(&text).unwrap()
    };
    let manifest = read("manifest.json");
    assert_eq!(manifest[0]["RepoTags"], json!(["hello:latest"]));
    assert_eq!(manifest[0]["Config"], format!("blobs/sha256/{}", &id[7..]));
    let index = read("index.json");
    assert_eq!(index["schemaVersion"], 2);
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(1));
    assert_eq!(read("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}));
    let listing = oracle::expect(oracle::command("tar").args(["--numeric-owner", "-tvf"]).arg(&file).env("TZ", "UTC"));
    for line in listing.lines() {
        assert!(line.contains(" 0/0 ") && line.contains("1970-01-01 00:00"), "{line}");
    }
}

#[test]
fn nothing_to_save_or_load() {
    let sandbox = sandbox();
    sandbox.bedplate(["save", "absent"]).fails().says("absent");
    sandbox.bedplate(["load", "-i", "absent.tar"]).fails().says("absent.tar");
    sandbox.bedplate(["load"]).stdin("no archive").fails();
    sandbox.bedplate(["load"]).stdin(hello_tar()).fails().says("bedplate import");
    assert!(images(&sandbox).is_empty());
    fsck(&sandbox);
}

#[test]
fn a_failed_save_leaves_no_file() {
    let sandbox = sandbox();
    hello_image(&sandbox);
    sandbox.bedplate(["save", "-o", sandbox.path("x.tar").to_str().unwrap(), "hello", "absent"]).fails();
    assert!(!sandbox.path("x.tar").exists());
    sandbox.bedplate(["save", "-o", "/proc/absent/x.tar", "hello"]).fails().says("/proc/absent");
    let leftover = list(&sandbox.work());
    assert!(leftover.is_empty(), "{leftover:?}");
}

#[test]
fn archives_of_old_dockers() {
    let sandbox = sandbox();
    let layer = hello_tar();
    let config = json!({
        "architecture": program::Machine::host().docker_name(), "os": "linux", "config": {"Cmd": ["/hello"]},
        "rootfs": {"type": "layers", "diff_ids": [sha256(&layer), sha256(&layer)]}, "history": [{"created": "1970-01-01T00:00:00Z"}, {"created": "1970-01-01T00:00:00Z"}],
    })
    .to_string();
    let id = sha256(config.as_bytes());
    let name = format!("{}.json", &id[7..]);
    let manifest =
        json!([{"Config": name, "RepoTags": ["old:1", "old:2"], "Layers": ["aa/layer.tar", "bb/layer.tar"]}])
            .to_string();
    let archive = Tar::new()
        .dir("aa/", 0o755)
        .file("aa/VERSION", 0o644, "1.0")
        .file("aa/json", 0o644, "{}")
        .file("aa/layer.tar", 0o644, &layer)
        .dir("bb/", 0o755)
        .symlink("bb/layer.tar", "../aa/layer.tar")
        .file(&name[..90.min(name.len())], 0o644, &config)
        .file("manifest.json", 0o644, manifest)
        .file("repositories", 0o644, "{\"old\":{\"1\":\"bb\"}}")
        .finish();
    let outcome = sandbox.bedplate(["load"]).stdin(archive.clone()).ok();
    fsck(&sandbox);
    assert_eq!(outcome.text(), "Loaded image: old:1\nLoaded image: old:2");
    assert_eq!(inspect_format(&sandbox, "old:2", "{{.Id}}"), id);
    assert_eq!(std::fs::read(blob(&sandbox, &id)).unwrap(), config.as_bytes(), "the config's bytes stay");
    if let Some(packed) = compressed("save_load::old", "gzip", &archive) {
        let other = crate::kit::sandbox();
        other.bedplate(["load"]).stdin(packed).ok();
        assert_eq!(inspect_format(&other, "old:1", "{{.Id}}"), id);
    }
}

#[test]
fn docker_loads_what_we_save_and_we_load_what_docker_saves() {
    let test = "save_load::docker";
    let docker = match Docker::start() {
        Ok(docker) => docker,
        Err(reason) => return skip::note(test, &reason),
    };
    let sandbox = sandbox();
    let id = hello_image(&sandbox);
    // The literal line of the page: a pipe from one to the other.
    let mut saving = sandbox.bedplate(["save", "hello"]).start();
    let loaded = oracle::expect(docker.command().arg("load").stdin(Stdio::from(saving.stdout.take().unwrap())));
    assert!(saving.wait().unwrap().success());
    assert!(loaded.contains("Loaded image: hello:latest"), "{loaded}");
    assert_eq!(oracle::expect(docker.command().args(["image", "inspect", "-f", "{{.Id}}", "hello"])).trim(), id);
    let said = oracle::expect(docker.command().args(["run", "--rm", "--network", "none", "hello"]));
    assert_eq!(said, program::GREETING);

    // A tree with everything, several layers, compressed ones too.
    let tar = generate::to_tar(&generate::items(&generate::Spec { sparse: false, ..generate::Spec::everything(3) }));
    let big = import(&sandbox, &tar, &["-", "big"]);
    let mut names = vec!["big"];
    for (tool, name) in [("gzip", "gz"), ("zstd", "zst")] {
        if let Some(packed) = compressed(test, tool, &tar) {
            import(&sandbox, &packed, &["-", name]);
            names.push(name);
        }
    }
    sandbox.write("a", "a");
    sandbox.write("Dockerfile", "FROM hello\nCOPY a /a\nCOPY a /b\nENV X=y\n");
    sandbox.bedplate(["build", "-t", "built", "."]).ok();
    names.push("built");
    let file = save(&sandbox, &names, "all.tar");
    oracle::expect(docker.command().arg("load").arg("-i").arg(&file));
    for name in &names {
        let theirs = oracle::expect(docker.command().args(["image", "inspect", "-f", "{{.Id}}", name]));
        assert_eq!(theirs.trim(), inspect_format(&sandbox, name, "{{.Id}}"), "{name}");
    }

    // And back.
    let second = crate::kit::sandbox();
    let file = second.path("docker.tar");
    let mut command = docker.command();
    oracle::expect(command.arg("save").arg("-o").arg(&file).args(&names).arg("hello"));
    second.bedplate(["load", "-i", file.to_str().unwrap()]).ok();
    fsck(&second);
    for name in &names {
        assert_eq!(inspect_format(&second, name, "{{.Id}}"), inspect_format(&sandbox, name, "{{.Id}}"), "{name}");
    }
    assert_eq!(inspect_format(&second, "big", "{{.Id}}"), big);
    if can_run(test) {
        assert_eq!(second.bedplate(["run", "--rm", "hello"]).ok().text(), program::GREETING.trim_end());
    }

    // What docker imports of the same tar is the same layer.
    let tar_file = sandbox.write("big.tar", &tar);
    oracle::expect(docker.command().arg("import").arg(&tar_file).arg("theirs"));
    let layers = oracle::expect(docker.command().args(["image", "inspect", "-f", "{{json .RootFS.Layers}}", "theirs"]));
    assert_eq!(serde_json::from_str::<Vec<String>>(&layers).unwrap(), diff_ids(&sandbox, "big"));
}

#[test]
fn podman_loads_what_we_save() {
    let podman = match Podman::new() {
        Ok(podman) => podman,
        Err(reason) => return skip::note("save_load::podman", &reason),
    };
    let sandbox = sandbox();
    let id = hello_image(&sandbox);
    let mut saving = sandbox.bedplate(["save", "hello"]).start();
    oracle::expect(podman.command().arg("load").stdin(Stdio::from(saving.stdout.take().unwrap())));
    assert!(saving.wait().unwrap().success());
    let theirs = oracle::expect(podman.command().args(["image", "inspect", "--format", "{{.Id}}", "hello"]));
    assert_eq!(format!("sha256:{}", theirs.trim()), id);
    let said = oracle::expect(podman.command().args(Podman::RUN).arg("hello"));
    assert_eq!(said, program::GREETING);
    for format in ["docker-archive", "oci-archive"] {
        let file = sandbox.path(format);
        oracle::expect(podman.command().args(["save", "--format", format, "-o"]).arg(&file).arg("hello"));
        let second = crate::kit::sandbox();
        second.bedplate(["load", "-i", file.to_str().unwrap()]).ok();
        fsck(&second);
        assert_eq!(images(&second), [id.clone()].into(), "{format}");
    }
}

#[test]
fn skopeo_reads_the_store_and_the_archive() {
    let test = "save_load::skopeo";
    if oracle::find("skopeo").is_none() {
        return skip::note(test, "skopeo is not installed");
    }
    let sandbox = sandbox();
    let id = hello_image(&sandbox);
    let file = save(&sandbox, &["hello"], "x.tar");
    let file = file.display();
    for source in [format!("docker-archive:{file}"), format!("oci-archive:{file}")] {
        let text = oracle::expect(oracle::command("skopeo").args(["inspect", "--config", "--raw", &source]));
        assert_eq!(sha256(text.as_bytes()), id, "{source}");
        let inspected: Value =
            serde_json::from_str(&oracle::expect(oracle::command("skopeo").args(["inspect", &source]))).unwrap();
        assert_eq!(inspected["Layers"].as_array().map(Vec::len), Some(1), "{source}");
    }
    // The store is an image layout as it stands.
    let manifest = oracle::expect(oracle::command("skopeo").args([
        "inspect",
        "--raw",
        &format!("oci:{}", sandbox.store().display()),
    ]));
    assert!(manifest.contains(&id), "{manifest}");
    let copy = sandbox.path("copy");
    let target = format!("oci:{}:hello", copy.display());
    oracle::expect(oracle::command("skopeo").args([
        "copy",
        "--insecure-policy",
        &format!("oci-archive:{file}"),
        &target,
    ]));
    // And what skopeo writes is read: a folder, and both archives.
    let docker = format!("docker-archive:{}:hello:skopeo", sandbox.path("docker.tar").display());
    oracle::expect(oracle::command("skopeo").args([
        "copy",
        "--insecure-policy",
        &format!("oci-archive:{file}"),
        &docker,
    ]));
    for source in ["copy", "docker.tar"] {
        let second = crate::kit::sandbox();
        second.bedplate(["load", "-i", sandbox.path(source).to_str().unwrap()]).ok();
        fsck(&second);
        assert_eq!(images(&second), [id.clone()].into(), "{source}");
    }
}

#[test]
fn umoci_unpacks_what_we_save() {
    let test = "save_load::umoci";
    if oracle::find("umoci").is_none() {
        return skip::note(test, "umoci is not installed");
    }
    let sandbox = sandbox();
    let tar = Tar::new()
        .file("hello", 0o755, program::hello(program::Machine::host()))
        .dir("d/", 0o711)
        .symlink("d/l", "../hello")
        .finish();
    import(&sandbox, &tar, &["-", "x"]);
    let layout = sandbox.path("layout");
    std::fs::create_dir(&layout).unwrap();
    let file = save(&sandbox, &["x"], "x.tar");
    oracle::expect(oracle::command("tar").arg("-xf").arg(&file).arg("-C").arg(&layout));
    // umoci takes the tag from the annotation, which may hold the full name.
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let name = index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap().to_owned();
    let mut command = oracle::command("umoci");
    command.arg("unpack");
    if !privilege::is_root() {
        command.arg("--rootless");
    }
    let bundle = sandbox.path("bundle");
    oracle::expect(command.arg("--image").arg(format!("{}:{name}", layout.display())).arg(&bundle));
    assert_eq!(std::fs::read(bundle.join("rootfs/hello")).unwrap(), program::hello(program::Machine::host()));
    assert_eq!(std::fs::read_link(bundle.join("rootfs/d/l")).unwrap().to_str(), Some("../hello"));
}

#[test]
fn compressed_layers_of_others_stay_as_they_came() {
    let test = "save_load::compressed";
    let layer = hello_tar();
    for (tool, media_type) in [
        ("gzip", "application/vnd.oci.image.layer.v1.tar+gzip"),
        ("zstd", "application/vnd.oci.image.layer.v1.tar+zstd"),
    ] {
        let Some(packed) = compressed(test, tool, &layer) else { continue };
        let config = json!({
            "architecture": program::Machine::host().docker_name(), "os": "linux", "config": {"Cmd": ["/hello"], "Unknown": {"kept": true}},
            "rootfs": {"type": "layers", "diff_ids": [sha256(&layer)]},
        })
        .to_string();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(config.as_bytes()), "size": config.len()},
            "layers": [{"mediaType": media_type, "digest": sha256(&packed), "size": packed.len()}],
        })
        .to_string();
        let sandbox = sandbox();
        let archive = oci_archive(&[config.as_bytes(), manifest.as_bytes(), &packed], &manifest, "x:1");
        sandbox.bedplate(["load"]).stdin(archive).ok();
        fsck(&sandbox);
        let id = sha256(config.as_bytes());
        assert_eq!(inspect_format(&sandbox, "x:1", "{{.Id}}"), id, "{tool}");
        assert_eq!(inspect_format(&sandbox, &sha256(manifest.as_bytes()), "{{.Id}}"), id, "by manifest digest");
        for bytes in [config.as_bytes(), manifest.as_bytes(), &packed] {
            assert_eq!(std::fs::read(blob(&sandbox, &sha256(bytes))).unwrap(), bytes, "{tool}");
        }
        if can_run(test) {
            assert_eq!(sandbox.bedplate(["run", "--rm", "x:1"]).ok().text(), program::GREETING.trim_end(), "{tool}");
            fsck(&sandbox);
        }
    }
}

/// An OCI archive of blobs with one manifest.
pub(crate) fn oci_archive(blobs: &[&[u8]], manifest: &str, name: &str) -> Vec<u8> {
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": sha256(manifest.as_bytes()), "size": manifest.len(),
            "annotations": {"org.opencontainers.image.ref.name": name},
        }],
    })
    .to_string();
    let mut tar = Tar::new();
    for bytes in blobs {
        let path = format!("blobs/sha256/{}", &sha256(bytes)[7..]);
        tar = tar.entry(&Entry { path: path.as_bytes(), data: bytes, ..Entry::default() });
    }
    tar.file("index.json", 0o644, index).file("oci-layout", 0o644, "{\"imageLayoutVersion\":\"1.0.0\"}").finish()
}

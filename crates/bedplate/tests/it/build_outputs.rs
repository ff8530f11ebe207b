//! What becomes of a built image: outputs, metadata, annotations, squashing; caches that travel.

use std::collections::BTreeMap;
use std::path::Path;

use bedplate_testkit::{Sandbox, oracle};

use crate::build::{file, listing};
use crate::kit::{busybox_image, can_run, fsck, inspect, sandbox};

const DOCKERFILE: &str = "FROM scratch AS low\nCOPY a /low\nFROM low\nCOPY --chmod=640 a /d/a\nCOPY --chown=7:8 a /d/b\n\
     COPY a /d/gone\nENV X=y\n";

fn prepared() -> Sandbox {
    let sandbox = sandbox();
    sandbox.write("a", "A");
    sandbox.write("Dockerfile", DOCKERFILE);
    sandbox
}

/// Every file below a folder: `mode content`.
fn on_disk(folder: &Path) -> BTreeMap<String, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let listed = oracle::expect(oracle::command("find").args([".", "-type", "f"]).current_dir(folder));
    let read = |name: &str| {
        let path = folder.join(name);
        let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
        format!("{mode:o} {}", std::fs::read_to_string(path).unwrap())
    };
    listed.lines().map(|name| (name.trim_start_matches("./").to_owned(), read(name))).collect()
}

#[test]
fn an_image_becomes_what_is_asked_for() {
    let sandbox = prepared();
    let id = sandbox.bedplate(["build", "."]).ok().text();
    let names = ["d/a", "d/b", "d/gone", "low"];
    let none = || sandbox.bedplate(["images", "-q"]).ok().text();
    sandbox.bedplate(["rmi", id.trim()]).ok();
    // The root as a tar, to a file and to standard output, which then has nothing else.
    let tar = sandbox.bedplate(["build", "-o", "type=tar,dest=root.tar", "."]).ok();
    assert_eq!(tar.text(), id);
    let told = sandbox.bedplate(["build", "-o", "-", "."]).ok();
    assert_eq!(told.stdout, std::fs::read(sandbox.path("root.tar")).unwrap());
    let listed = oracle::expect(oracle::command("tar").args(["-tf", "root.tar"]).current_dir(sandbox.work()));
    assert!(names.iter().all(|name| listed.lines().any(|line| line == *name)), "{listed}");
    // A directory, new and then with something in it.
    let expected = |more: &[(&str, &str)]| -> BTreeMap<String, String> {
        let own = [("d/a", "640 A"), ("d/b", "644 A"), ("d/gone", "644 A"), ("low", "644 A")];
        own.iter().chain(more).map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    };
    sandbox.bedplate(["build", "-o", "out", "."]).umask(0o022).ok();
    assert_eq!(on_disk(&sandbox.path("out")), expected(&[]));
    std::fs::remove_dir_all(sandbox.path("out/d")).unwrap();
    std::fs::write(sandbox.path("out/d"), "in the way").unwrap();
    std::fs::write(sandbox.path("out/low"), "old").unwrap();
    sandbox.write("out/other", "kept");
    sandbox.bedplate(["build", "-o", "type=local,dest=out", "."]).ok();
    let kept = on_disk(&sandbox.path("out"));
    assert_eq!(kept.keys().cloned().collect::<Vec<_>>(), ["d/a", "d/b", "d/gone", "low", "other"]);
    assert_eq!(kept["low"], "644 A");
    // Nothing of all that is an image of the store.
    assert_eq!(none(), "");
    // Archives and layouts, which come back with the same ID.
    for (output, load) in [
        ("type=docker,dest=d.tar", "d.tar"),
        ("type=oci,dest=o.tar", "o.tar"),
        ("type=oci,dest=layout,tar=false", "layout"),
    ] {
        assert_eq!(sandbox.bedplate(["build", "-t", "named:1", "-o", output, "."]).ok().text(), id, "{output}");
        assert_eq!(none(), "", "{output}");
        sandbox.bedplate(["load", "-i", load]).ok();
        assert_eq!(inspect(&sandbox, "named:1")["Id"], id.trim(), "{output}");
        sandbox.bedplate(["rmi", "named:1"]).ok();
    }
    // Several at once, the store among them.
    sandbox.bedplate(["build", "-t", "named:1", "-o", "type=image,name=other", "-o", "type=tar,dest=x.tar", "."]).ok();
    assert_eq!(inspect(&sandbox, "other")["Id"], inspect(&sandbox, "named:1")["Id"]);
    assert!(sandbox.path("x.tar").is_file());
    sandbox.bedplate(["rmi", "named:1", "other"]).ok();
    sandbox.bedplate(["build", "-t", "named:1", "--load", "-o", "two", "."]).ok();
    assert_eq!(inspect(&sandbox, "named:1")["Id"], id.trim());
    fsck(&sandbox);
}

#[test]
fn outputs_are_checked_before_the_work() {
    let sandbox = prepared();
    sandbox.write("full/x", "");
    for (output, words) in [
        ("type=zip", "\"zip\" is no type"),
        ("type=oci,tar=false,dest=full", "not empty"),
        ("type=tar,dest=none/x.tar", "cannot write"),
        ("type=image,push=true", "cannot be pushed yet"),
        ("type=oci,compression=gzip,dest=x", "compression is not supported"),
        ("dest=x", "it has no type"),
        ("type=registry", "cannot be pushed yet"),
    ] {
        let outcome = sandbox.bedplate(["build", "-o", output, "."]).ends(1);
        outcome.says(words);
        assert!(!outcome.stderr.contains("COPY"), "{output}: it began: {outcome}");
    }
    sandbox.bedplate(["build", "-o", "-", "-o", "type=tar", "."]).ends(1).says("only one output");
    assert!(!sandbox.path("x").exists());
}

#[test]
fn what_a_build_tells_of_its_result() {
    let sandbox = prepared();
    let words = [
        "build",
        "-t",
        "x",
        "--annotation",
        "a=b",
        "--annotation",
        "manifest:c=d",
        "--metadata-file",
        "meta.json",
        ".",
    ];
    let id = sandbox.bedplate(words).ok().text();
    let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(sandbox.path("meta.json")).unwrap()).unwrap();
    assert_eq!(meta["containerimage.config.digest"], id.trim());
    assert_eq!(meta["image.name"], "docker.io/library/x:latest");
    assert_eq!(meta["containerimage.descriptor"]["digest"], meta["containerimage.digest"]);
    sandbox.bedplate(["build", "-t", "x", "--annotation", "a=b", "-o", "type=oci,dest=l,tar=false", "."]).ok();
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(sandbox.path("l/index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let manifest = std::fs::read(sandbox.path(&format!("l/blobs/sha256/{digest}"))).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["annotations"]["a"], "b");
    sandbox.bedplate(["build", "--annotation", "index:a=b", "."]).ends(1).says("no index");
    sandbox.bedplate(["build", "--annotation", "a", "."]).ends(1).says("expected NAME=VALUE");
}

#[test]
fn squashing_makes_one_layer_of_all_above_the_base() {
    let sandbox = prepared();
    sandbox.bedplate(["build", "-t", "base", "--target", "low", "."]).ok();
    sandbox.write("Dockerfile", DOCKERFILE.replace("FROM scratch AS low\nCOPY a /low\nFROM low", "FROM base"));
    sandbox.bedplate(["build", "-t", "layers", "."]).ok();
    let id = sandbox.bedplate(["build", "-t", "one", "--squash", "."]).ok().text();
    assert_eq!(listing(&sandbox, "one"), listing(&sandbox, "layers"));
    let layers = |name: &str| inspect(&sandbox, name)["RootFS"]["Layers"].as_array().unwrap().clone();
    assert_eq!((layers("base").len(), layers("layers").len(), layers("one").len()), (1, 4, 2));
    assert_eq!(layers("one")[0], layers("base")[0]);
    let history =
        sandbox.bedplate(["history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "one"]).ok().text();
    assert!(history.contains("3 layers squashed") && history.contains("ENV X=y"), "{history}");
    assert_eq!(sandbox.bedplate(["build", "-t", "one", "--squash", "--no-cache", "."]).ok().text(), id);
    fsck(&sandbox);
}

#[test]
fn caches_travel_in_directories_and_images() {
    let sandbox = prepared();
    let id = sandbox.bedplate(["build", "--cache-to", "type=local,dest=cache", "."]).ok().text();
    let other = || {
        let other = prepared();
        // Another machine: other times of the same files.
        oracle::expect(oracle::command("touch").args(["-d", "2001-01-01", "a"]).current_dir(other.work()));
        other
    };
    let from = format!("type=local,src={}", sandbox.path("cache").display());
    let fresh = other();
    let outcome = fresh.bedplate(["build", "-t", "x", "--cache-from", &from, "."]).ok();
    assert_eq!(outcome.text(), id);
    assert_eq!(outcome.stderr.matches("CACHED").count(), 4, "{outcome}");
    assert_eq!(file(&fresh, "x", "d/a"), "A");
    fsck(&fresh);
    // The same directory again, with more steps: those that it has stay.
    sandbox.write("Dockerfile", "FROM scratch\nCOPY a /more\n");
    sandbox.bedplate(["build", "--cache-to", "type=local,dest=cache", "."]).ok();
    let fresh = other();
    assert_eq!(fresh.bedplate(["build", "--cache-from", &from, "."]).ok().stderr.matches("CACHED").count(), 4);
    // Only what the image holds, or all that was done.
    sandbox.write("Dockerfile", "FROM scratch AS one\nCOPY a /one\nFROM scratch\nCOPY --from=one /one /two\n");
    for (mode, steps) in [("min", 1), ("max", 2)] {
        let to = format!("type=local,dest=cache-{mode},mode={mode}");
        sandbox.bedplate(["build", "--cache-to", &to, "."]).ok();
        let fresh = other();
        fresh.write("Dockerfile", std::fs::read(sandbox.path("Dockerfile")).unwrap());
        let from = format!("type=local,src={}", sandbox.path(&format!("cache-{mode}")).display());
        let outcome = fresh.bedplate(["build", "--cache-from", &from, "."]).ok();
        assert_eq!(outcome.stderr.matches("CACHED").count(), steps, "{mode}: {outcome}");
    }
    // In an image.
    sandbox.write("Dockerfile", DOCKERFILE);
    sandbox.bedplate(["build", "-t", "told", "--cache-to", "inline", "."]).ok();
    sandbox.bedplate(["save", "-o", "told.tar", "told"]).ok();
    let fresh = other();
    fresh.bedplate(["load", "-i", &sandbox.path("told.tar").display().to_string()]).ok();
    let outcome = fresh.bedplate(["build", "--cache-from", "told", "."]).ok();
    assert_eq!(outcome.stderr.matches("CACHED").count(), 4, "{outcome}");
    assert_eq!(outcome.text(), id, "the config is the same; the manifest says more");
    // What is not there is told and passed over.
    fresh.bedplate(["build", "--cache-from", "type=local,src=none", "."]).ok().says("no cache in \"none\" yet");
    fresh.bedplate(["build", "--cache-from", "nobody", "."]).ok().says("not in the store");
    fresh.bedplate(["build", "--cache-to", "type=gha", "."]).ends(1).says("gha").says("type=local");
}

#[test]
fn a_damaged_cache_costs_time_and_nothing_else() {
    let sandbox = prepared();
    let id = sandbox.bedplate(["build", "--cache-to", "type=local,dest=cache", "."]).ok().text();
    let blobs = sandbox.path("cache/blobs/sha256");
    // All layers say something else; the lists stay.
    for entry in std::fs::read_dir(&blobs).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if !bytes.starts_with(b"{") && !bytes.starts_with(b"[") {
            std::fs::write(&path, String::from_utf8_lossy(&bytes).replace('A', "B")).unwrap();
        }
    }
    let fresh = prepared();
    let from = format!("type=local,src={}", sandbox.path("cache").display());
    let outcome = fresh.bedplate(["build", "--cache-from", &from, "."]).ok();
    outcome.says("the step is done here");
    assert_eq!(outcome.text(), id);
    fsck(&fresh);
    sandbox.write("cache/index.json", "{");
    fresh.bedplate(["build", "--cache-from", &from, "."]).fails().says("index.json").says("malformed");
}

#[test]
fn steps_with_processes_travel_too() {
    if !can_run("build_outputs::processes") {
        return;
    }
    let (sandbox, fresh) = (sandbox(), sandbox());
    for one in [&sandbox, &fresh] {
        if busybox_image(one, "build_outputs::processes").is_none() {
            return;
        }
        one.write("Dockerfile", "FROM box\nRUN cat /proc/sys/kernel/random/uuid > /uuid\n");
    }
    let id = sandbox.bedplate(["build", "-t", "x", "--cache-to", "type=local,dest=cache", "."]).ok().text();
    let from = format!("type=local,src={}", sandbox.path("cache").display());
    assert_eq!(fresh.bedplate(["build", "-t", "x", "--cache-from", &from, "."]).ok().text(), id);
    assert_eq!(file(&fresh, "x", "uuid"), file(&sandbox, "x", "uuid"));
}

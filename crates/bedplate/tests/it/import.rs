//! `import`: bytes in, image out.

use crate::kit::*;
use bedplate_testkit::{Entry, Http, Reply, Tar, program};
use serde_json::{Value, json};

#[test]
fn the_layer_keeps_the_bytes_it_was_given() {
    let sandbox = sandbox();
    let tar = hello_tar();
    let id = import(&sandbox, &tar, &["-", "focal"]);
    assert_eq!(diff_ids(&sandbox, "focal"), [sha256(&tar)]);
    assert_eq!(std::fs::read(blob(&sandbox, &sha256(&tar))).unwrap(), tar);
    assert_eq!(inspect_format(&sandbox, "focal", "{{.Id}}"), id);
    assert_eq!(inspect(&sandbox, "focal")["RepoTags"], json!(["focal:latest"]));
}

#[test]
fn an_empty_archive_is_an_image_with_one_empty_layer() {
    let sandbox = sandbox();
    // What `tar c --files-from /dev/null` writes: one record of zeros.
    let empty = vec![0; 10240];
    import(&sandbox, &empty, &["-", "nothing"]);
    assert_eq!(diff_ids(&sandbox, "nothing"), [sha256(&empty)]);
}

#[test]
fn the_config_is_empty_but_for_what_is_known() {
    let sandbox = sandbox();
    let id = import(&sandbox, &hello_tar(), &["-", "x"]);
    let config: Value = serde_json::from_slice(&std::fs::read(blob(&sandbox, &id)).unwrap()).unwrap();
    assert_eq!(config["os"], "linux");
    assert_eq!(config["architecture"], program::Machine::host().docker_name());
    assert_eq!(config["rootfs"], json!({"type": "layers", "diff_ids": [sha256(&hello_tar())]}));
    assert_eq!(config["history"].as_array().map(Vec::len), Some(1), "{config}");
    let inner = config.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
    for (field, value) in &inner {
        let empty = value.is_null() || *value == json!("") || *value == json!([]) || *value == json!({});
        assert!(empty, "config.{field} is {value}");
    }
}

#[test]
fn compressed_archives_by_content() {
    let test = "import::compressed_archives_by_content";
    let tar = hello_tar();
    // Whether the blob stays as it came, or becomes the uncompressed layer.
    for (tool, stays) in [("gzip", true), ("zstd", true), ("xz", false), ("bzip2", false)] {
        let Some(packed) = compressed(test, tool, &tar) else { continue };
        let sandbox = sandbox();
        import(&sandbox, &packed, &["-", "x"]);
        assert_eq!(diff_ids(&sandbox, "x"), [sha256(&tar)], "{tool}");
        let kept = if stays { &packed } else { &tar };
        assert_eq!(&std::fs::read(blob(&sandbox, &sha256(kept))).unwrap(), kept, "{tool}");
    }
}

#[test]
fn a_file_is_imported_by_its_name() {
    let sandbox = sandbox();
    sandbox.write("rootfs.tar", hello_tar());
    let id = image_id(&sandbox, &sandbox.bedplate(["import", "rootfs.tar", "debian:jessie"]).ok());
    fsck(&sandbox);
    let config: Value = serde_json::from_slice(&std::fs::read(blob(&sandbox, &id)).unwrap()).unwrap();
    // As Docker's: its client streams the file, whose name is no input.
    assert_eq!(config["history"][0]["comment"], "Imported from -");
    assert_eq!(inspect(&sandbox, "debian:jessie")["RepoTags"], json!(["debian:jessie"]));
}

#[test]
fn a_message_is_the_comment() {
    let sandbox = sandbox();
    import(&sandbox, &hello_tar(), &["-m", "made by hand", "-", "x"]);
    assert_eq!(inspect_format(&sandbox, "x", "{{.Comment}}"), "made by hand");
    let history = sandbox.bedplate(["history", "--format", "{{.Comment}}", "x"]).ok();
    assert_eq!(history.text(), "made by hand");
}

#[test]
fn every_change_instruction() {
    let sandbox = sandbox();
    let changes = [
        "CMD [\"bash\"]",
        "ENTRYPOINT [\"/entry\", \"-x\"]",
        "ENV A=b C=\"d e\"",
        "ENV F g h",
        "EXPOSE 80 443/tcp 53/udp",
        "HEALTHCHECK --interval=5s --retries=2 CMD /check",
        "LABEL one=1 two=\"2 3\"",
        "ONBUILD RUN echo hi",
        "STOPSIGNAL SIGUSR1",
        "USER 1000:50",
        "VOLUME /data",
        "VOLUME [\"/a b\"]",
        "WORKDIR /work",
        "SHELL [\"/bin/bash\", \"-c\"]",
    ];
    let mut words = Vec::new();
    for change in &changes {
        words.extend(["--change", change]);
    }
    words.extend(["-", "x"]);
    import(&sandbox, &hello_tar(), &words);
    let config = inspect(&sandbox, "x")["Config"].clone();
    let expected = [
        ("Cmd", json!(["bash"])),
        ("Entrypoint", json!(["/entry", "-x"])),
        ("Env", json!(["A=b", "C=d e", "F=g h"])),
        ("ExposedPorts", json!({"443/tcp": {}, "53/udp": {}, "80/tcp": {}})),
        ("Labels", json!({"one": "1", "two": "2 3"})),
        ("OnBuild", json!(["RUN echo hi"])),
        ("StopSignal", json!("SIGUSR1")),
        ("User", json!("1000:50")),
        ("Volumes", json!({"/a b": {}, "/data": {}})),
        ("WorkingDir", json!("/work")),
        ("Shell", json!(["/bin/bash", "-c"])),
    ];
    for (field, value) in expected {
        assert_eq!(config[field], value, "{field}");
    }
    assert_eq!(config["Healthcheck"]["Interval"], json!(5_000_000_000_u64));
    assert_eq!(config["Healthcheck"]["Retries"], json!(2));
}

#[test]
fn other_instructions_are_no_changes() {
    let table = [
        ("RUN true", "RUN is not a valid change command"),
        ("COPY a b", "COPY is not a valid change command"),
        ("FROM x", "FROM is not a valid change command"),
        ("ADD a b", "ADD is not a valid change command"),
        ("ARG a", "ARG is not a valid change command"),
        ("FOO", "FOO"),
        ("", ""),
        ("STOPSIGNAL SIGNONE", "SIGNONE"),
    ];
    for (change, message) in table {
        let sandbox = sandbox();
        sandbox.bedplate(["import", "-c", change, "-", "x"]).stdin(hello_tar()).fails().says(message);
        assert!(images(&sandbox).is_empty(), "{change}");
        fsck(&sandbox);
    }
}

#[test]
fn the_platform_is_the_trees_own() {
    use program::{Machine, dynamic, hello};
    let foreign = Machine::foreign();
    let table = [
        ("shell", Tar::new().dir("bin/", 0o755).file("bin/sh", 0o755, hello(foreign)).finish(), foreign),
        (
            "busybox behind links",
            Tar::new()
                .symlink("bin", "usr/bin")
                .dir("usr/", 0o755)
                .dir("usr/bin/", 0o755)
                .file("usr/bin/busybox", 0o755, hello(foreign))
                .symlink("usr/bin/sh", "busybox")
                .finish(),
            foreign,
        ),
        (
            "dynamic shell",
            Tar::new().dir("bin/", 0o755).file("bin/sh", 0o755, dynamic(foreign, "/lib/ld.so.1")).finish(),
            foreign,
        ),
    ];
    for (name, tar, machine) in table {
        let sandbox = sandbox();
        import(&sandbox, &tar, &["-", "x"]);
        assert_eq!(
            inspect_format(&sandbox, "x", "{{.Os}}/{{.Architecture}}"),
            format!("linux/{}", machine.docker_name()),
            "{name}"
        );
    }
}

#[test]
fn a_tree_without_programs_gets_the_hosts_platform_and_a_word() {
    let sandbox = sandbox();
    let outcome = sandbox.bedplate(["import", "-", "x"]).stdin(Tar::new().file("a", 0o644, "text").finish()).ok();
    outcome.says("platform").says(program::Machine::host().docker_name());
    assert_eq!(inspect_format(&sandbox, "x", "{{.Architecture}}"), program::Machine::host().docker_name());
}

#[test]
fn a_given_platform_is_taken() {
    let sandbox = sandbox();
    import(&sandbox, &hello_tar(), &["--platform", "linux/arm/v7", "-", "x"]);
    assert_eq!(inspect_format(&sandbox, "x", "{{.Os}} {{.Architecture}} {{.Variant}}"), "linux arm v7");
    sandbox.bedplate(["import", "--platform", "a/b/c/d", "-", "y"]).stdin(hello_tar()).fails().says("a/b/c/d");
}

#[test]
fn a_root_entry_with_other_rights_is_rewritten_with_a_warning() {
    let table = [
        ("./", 0o700, 0, true),
        (".", 0o711, 0, true),
        ("./", 0o755, 1000, true),
        ("./", 0o755, 0, false),
        // More rights than 0755 are kept: only lacking ones shut people out.
        ("./", 0o1777, 0, false),
    ];
    for (path, mode, uid, rewritten) in table {
        let root = Entry { path: path.as_bytes(), kind: b'5', mode, uid, gid: uid, ..Entry::default() };
        let tar = Tar::new().entry(&root).file("./hello", 0o755, program::hello(program::Machine::host())).finish();
        let sandbox = sandbox();
        let outcome = sandbox.bedplate(["import", "-", "x"]).stdin(tar.clone()).ok();
        fsck(&sandbox);
        let layer = diff_ids(&sandbox, "x").remove(0);
        assert_eq!(layer != sha256(&tar), rewritten, "{path} {mode:o} {uid}: {outcome}");
        assert_eq!(outcome.stderr.contains("warning:"), rewritten, "{outcome}");
        if rewritten {
            outcome.says("diff ID");
            let bytes = std::fs::read(blob(&sandbox, &layer)).unwrap();
            assert_eq!(bytes.len(), tar.len());
            assert_eq!(&bytes[100..107], b"0000755", "{path}");
            assert_eq!(&bytes[108..115], b"0000000", "{path}");
            let kept = sandbox.bedplate(["import", "--keep-root-mode", "-", "y"]).stdin(tar.clone()).ok();
            assert!(!kept.stderr.contains("warning:"), "{kept}");
            assert_eq!(diff_ids(&sandbox, "y"), [sha256(&tar)]);
        }
    }
}

#[test]
fn a_compressed_input_with_a_rewritten_root_becomes_an_uncompressed_layer() {
    let root = Entry { path: b"./", kind: b'5', mode: 0o700, ..Entry::default() };
    let tar = Tar::new().entry(&root).file("./a", 0o644, "text").finish();
    let Some(packed) = compressed("import::rewritten_root", "gzip", &tar) else { return };
    let sandbox = sandbox();
    sandbox.bedplate(["import", "-", "x"]).stdin(packed.clone()).ok().says("diff ID");
    let layer = diff_ids(&sandbox, "x").remove(0);
    assert!(blob(&sandbox, &layer).is_file());
    assert!(!blob(&sandbox, &sha256(&packed)).exists());
    fsck(&sandbox);
}

#[test]
fn of_duplicate_names_the_last_wins_and_the_bytes_stay() {
    let sandbox = sandbox();
    let tar = Tar::new()
        .file("a", 0o644, "first")
        .file("b", 0o644, "b")
        .file("./a", 0o644, "second")
        .file("b", 0o644, "c")
        .finish();
    let outcome = sandbox.bedplate(["import", "-", "x"]).stdin(tar.clone()).ok();
    assert_eq!(outcome.stderr.matches("same name").count(), 1, "{outcome}");
    assert_eq!(diff_ids(&sandbox, "x"), [sha256(&tar)]);
    fsck(&sandbox);
}

#[test]
fn a_saved_image_is_no_root_filesystem() {
    let sandbox = sandbox();
    hello_image(&sandbox);
    let saved = sandbox.bedplate(["save", "hello"]).ok().stdout;
    let other = crate::kit::sandbox();
    let outcome = other.bedplate(["import", "-", "x"]).stdin(saved.clone()).fails();
    outcome.says("bedplate load");
    assert!(images(&other).is_empty());
    // `docker save` of old, and an OCI archive of other tools.
    let docker = Tar::new().file("manifest.json", 0o644, "[]").file("repositories", 0o644, "{}").finish();
    other.bedplate(["import", "-", "x"]).stdin(docker).fails().says("bedplate load");
    let oci = Tar::new()
        .dir("blobs/", 0o755)
        .file("index.json", 0o644, "{\"schemaVersion\":2,\"manifests\":[]}")
        .file("oci-layout", 0o644, "{\"imageLayoutVersion\":\"1.0.0\"}")
        .finish();
    other.bedplate(["import", "-", "x"]).stdin(oci).fails().says("bedplate load");
    fsck(&other);
}

#[test]
fn names() {
    let sandbox = sandbox();
    let table = [
        ("focal", "focal:latest"),
        ("debian:jessie", "debian:jessie"),
        ("registry.example:5000/a/b:1", "registry.example:5000/a/b:1"),
        ("docker.io/library/focal:2", "focal:2"),
    ];
    for (name, shown) in table {
        import(&sandbox, &hello_tar(), &["-", name]);
        let tags = inspect(&sandbox, name)["RepoTags"].clone();
        assert!(tags.as_array().unwrap().contains(&json!(shown)), "{name}: {tags}");
    }
    for (name, message) in [
        ("scratch", "'scratch' is a reserved name"),
        ("scratch:1", "'scratch' is a reserved name"),
        ("Upper", "Upper"),
        ("a:", "a:"),
        ("a//b", "a//b"),
        ("a@sha256:0123", "a@sha256:0123"),
        (&"f".repeat(64), "64"),
    ] {
        let before = images(&sandbox);
        sandbox.bedplate(["import", "-", name]).stdin(hello_tar()).fails().says(message);
        assert_eq!(images(&sandbox), before, "{name}");
    }
    fsck(&sandbox);
}

#[test]
fn without_a_name_the_image_is_dangling() {
    let sandbox = sandbox();
    let id = import(&sandbox, &hello_tar(), &["-"]);
    assert_eq!(images(&sandbox), [id.clone()].into());
    assert_eq!(inspect(&sandbox, &id)["RepoTags"], json!([]));
    assert_eq!(inspect_format(&sandbox, &id[7..19], "{{.Id}}"), id);
}

#[test]
fn the_name_moves_to_the_new_image() {
    let sandbox = sandbox();
    let first = import(&sandbox, &hello_tar(), &["-", "x"]);
    let second = import(&sandbox, &Tar::new().file("a", 0o644, "a").finish(), &["-", "x"]);
    assert_ne!(first, second);
    assert_eq!(inspect_format(&sandbox, "x", "{{.Id}}"), second);
    assert_eq!(inspect(&sandbox, &first)["RepoTags"], json!([]));
}

#[test]
fn created_is_the_newest_entry_unless_an_epoch_is_given() {
    let sandbox = sandbox();
    let old = Entry { path: b"a", mtime: 1_000_000_000, data: b"a", ..Entry::default() };
    let new = Entry { path: b"b", mtime: 1_500_000_000, data: b"b", ..Entry::default() };
    let tar = Tar::new().entry(&new).entry(&old).finish();
    import(&sandbox, &tar, &["-", "x"]);
    assert!(inspect_format(&sandbox, "x", "{{.Created}}").starts_with("2017-07-14T02:40:00"));
    sandbox.bedplate(["import", "-", "y"]).stdin(tar).env("SOURCE_DATE_EPOCH", "1234567890").ok();
    assert!(inspect_format(&sandbox, "y", "{{.Created}}").starts_with("2009-02-13T23:31:30"));
}

#[test]
fn a_url_is_fetched() {
    let sandbox = sandbox();
    let http = Http::start();
    http.serve("/rootfs.tar", Reply::ok(hello_tar()));
    http.serve("/moved", Reply::redirect("/rootfs.tar"));
    for path in ["/rootfs.tar", "/moved"] {
        let outcome = sandbox.bedplate(["import", &http.url(path), "x"]).ok();
        image_id(&sandbox, &outcome);
        assert_eq!(diff_ids(&sandbox, "x"), [sha256(&hello_tar())]);
    }
    fsck(&sandbox);
}

#[test]
fn a_url_that_fails_leaves_nothing() {
    let sandbox = sandbox();
    let http = Http::start();
    http.serve("/short", Reply::ok(hello_tar()).claiming(1_000_000));
    http.serve("/loop", Reply::redirect("/loop"));
    for (path, message) in [("/absent", "404"), ("/short", "/short"), ("/loop", "redirect")] {
        let url = http.url(path);
        sandbox.bedplate(["import", &url, "x"]).fails().says(message).says(&url);
        assert!(images(&sandbox).is_empty(), "{path}");
        fsck(&sandbox);
    }
}

#[test]
fn a_folder_is_packed() {
    let sandbox = sandbox();
    sandbox.write_program("tree/hello", program::hello(program::Machine::host()));
    sandbox.write("tree/etc/motd", "hi");
    std::os::unix::fs::symlink("hello", sandbox.path("tree/link")).unwrap();
    let first = image_id(&sandbox, &sandbox.bedplate(["import", "tree", "x"]).ok());
    fsck(&sandbox);
    let second = image_id(&sandbox, &sandbox.bedplate(["import", "tree/", "y"]).ok());
    assert_eq!(first, second);
    let listing = sandbox.bedplate(["export", "x"]).run();
    if listing.status == Some(0) {
        let text = String::from_utf8_lossy(&listing.stdout).into_owned();
        assert!(text.contains("etc/motd") && text.contains("link"));
    }
}

#[test]
fn packing_a_machine_leaves_its_secrets_a_warning_and_its_mounts_out() {
    let sandbox = sandbox();
    sandbox.write("machine/etc/ssh/ssh_host_rsa_key", "secret");
    sandbox.write("machine/etc/shadow", "root:$6$abcdefghijklmnop$0123456789abcdef:1::::::\n");
    sandbox.write("machine/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    sandbox.write("machine/etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n");
    let outcome = sandbox.bedplate(["import", "machine", "x"]).ok();
    for word in ["ssh_host_rsa_key", "shadow", "machine-id", "fstab"] {
        outcome.says(word);
    }
    fsck(&sandbox);
}

#[test]
fn a_folder_that_holds_the_store_is_packed_without_it() {
    let sandbox = sandbox();
    sandbox.write("tree/a", "a");
    let store = sandbox.path("tree/store");
    sandbox.bedplate(["import", "-", "x"]).stdin(hello_tar()).env("BEDPLATE_ROOT", &store).ok();
    let outcome = sandbox.bedplate(["import", "tree", "y"]).env("BEDPLATE_ROOT", &store).ok();
    let id = outcome.text();
    let hex = id.strip_prefix("sha256:").unwrap();
    let config: Value = serde_json::from_slice(&std::fs::read(store.join("blobs/sha256").join(hex)).unwrap()).unwrap();
    let layer = config["rootfs"]["diff_ids"][0].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    let bytes = std::fs::read(store.join("blobs/sha256").join(layer)).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(!text.contains("store/blobs"), "the store is in the image");
}

#[test]
fn a_running_machine_packs_itself() {
    let test = "import::a_running_machine";
    if !bedplate_testkit::privilege::is_root() {
        return bedplate_testkit::skip::note(test, "needs root to mount what a machine has");
    }
    let Ok(busybox) = std::fs::read("/bin/busybox") else {
        return bedplate_testkit::skip::note(test, "no /bin/busybox (package busybox-static)");
    };
    let sandbox = sandbox();
    sandbox.write_program("m/bin/busybox", busybox);
    sandbox.write_program(
        "m/bin/bedplate",
        std::fs::read(bedplate_testkit::binary(env!("CARGO_BIN_EXE_bedplate"))).unwrap(),
    );
    sandbox.write("m/etc/hostname", "machine\n");
    sandbox.write("m/run/left-behind", "x");
    // Not our own root: a small one, with the mounts of a machine. Its store is at the default place, inside.
    let script = "cd m && mkdir -p proc sys dev mnt && mount -t proc none proc && mount -t sysfs none sys && mount -t tmpfs none mnt \
                  && echo data > mnt/data && mount -t tmpfs none dev && mknod dev/null c 1 3 && echo log > dev/log \
                  && chroot . /bin/bedplate import / self && chroot . /bin/bedplate import / self \
                  && chroot . /bin/bedplate fsck >&2 && chroot . /bin/bedplate export self | tar -t > ../listing";
    sandbox
        .bedplate([] as [&str; 0])
        .env_remove("BEDPLATE_ROOT")
        .wrap(["unshare", "--mount", "sh", "-ec", script])
        .ok();
    let listing = std::fs::read_to_string(sandbox.path("listing")).unwrap();
    let mut paths: Vec<&str> = listing.lines().map(|line| line.trim_start_matches("./").trim_matches('/')).collect();
    paths.retain(|path| !path.is_empty());
    paths.sort_unstable();
    let expected = ["bin", "bin/bedplate", "bin/busybox", "dev", "etc", "etc/hostname", "mnt", "proc", "run", "sys"];
    assert_eq!(paths.iter().filter(|path| !path.starts_with("var")).copied().collect::<Vec<_>>(), expected);
    assert!(!paths.iter().any(|path| path.starts_with("var/lib/bedplate/")), "{paths:?}");
}

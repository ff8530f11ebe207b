//! Bad input: a clear error with the object in it, a non-zero status, nothing half made, nothing outside the store.

use crate::kit::*;
use crate::save_load::oci_archive;
use bedplate_testkit::{Entry, Outcome, Sandbox, Style, Tar, octal, oracle, privilege, program, skip};
use serde_json::json;

/// An import that must fail, after which the store is as before; the sandbox already holds one image.
#[track_caller]
fn refused(sandbox: &Sandbox, archive: impl Into<Vec<u8>>) -> Outcome {
    let before = images(sandbox);
    let outcome = sandbox.bedplate(["import", "-", "bad"]).stdin(archive).fails();
    assert_eq!(images(sandbox), before, "{outcome}");
    fsck(sandbox);
    outcome
}

/// A load that must fail, after which the store is as before.
#[track_caller]
fn not_loaded(sandbox: &Sandbox, archive: impl Into<Vec<u8>>) -> Outcome {
    let before = images(sandbox);
    let outcome = sandbox.bedplate(["load"]).stdin(archive).fails();
    assert_eq!(images(sandbox), before, "{outcome}");
    fsck(sandbox);
    outcome
}

fn with_hello() -> Sandbox {
    let sandbox = sandbox();
    hello_image(&sandbox);
    sandbox
}

#[test]
fn truncated_archives() {
    let sandbox = with_hello();
    let whole = Tar::new().file("first", 0o644, "1").file("big", 0o644, vec![b'x'; 5000]).finish();
    // Inside the second body, at its end before the padding, inside a header, inside the name of a header.
    for length in [512 + 512 + 512 + 100, 512 * 3 + 4999, 512 * 2 + 200, 512 * 2 + 50] {
        refused(&sandbox, &whole[..length]);
    }
    let outcome = refused(&sandbox, &whole[..512 * 3 + 100]);
    outcome.says("big");
    let test = "bad_input::truncated_archives";
    let noise = Tar::new().file("noise", 0o644, bedplate_testkit::Random::new(1).bytes(200_000)).finish();
    for tool in ["gzip", "xz", "bzip2", "zstd"] {
        let Some(packed) = compressed(test, tool, &noise) else { continue };
        for length in [packed.len() / 2, packed.len() - 5, 20] {
            refused(&sandbox, &packed[..length]);
        }
    }
}

#[test]
fn corrupt_archives() {
    let sandbox = with_hello();
    let whole = Tar::new().file("first", 0o644, "1").file("second", 0o644, "2").finish();
    let mut checksum = whole.clone();
    checksum[1024 + 3] ^= 1;
    refused(&sandbox, checksum);
    refused(&sandbox, vec![b'x'; 4096]);
    refused(&sandbox, "this is no archive");
    refused(&sandbox, program::hello(program::Machine::host()));
    let test = "bad_input::corrupt_archives";
    let noise = Tar::new().file("noise", 0o644, bedplate_testkit::Random::new(2).bytes(200_000)).finish();
    for tool in ["gzip", "xz", "bzip2", "zstd"] {
        let Some(mut packed) = compressed(test, tool, &noise) else { continue };
        let middle = packed.len() / 2;
        packed[middle] ^= 0x40;
        // zstd from a pipe has a checksum only if asked for; the tool writes one by default.
        refused(&sandbox, packed);
    }
    // Fields that are no numbers.
    for at in [100, 108, 124, 136] {
        let mut broken = whole.clone();
        broken[at..at + 7].copy_from_slice(b"zzzzzzz");
        let sum: u64 = broken[..148].iter().chain(&broken[156..512]).map(|byte| u64::from(*byte)).sum::<u64>() + 8 * 32;
        broken[148..154].copy_from_slice(&octal(sum, 7)[..6]);
        refused(&sandbox, broken).says("first");
    }
}

#[test]
fn names_that_lead_outside() {
    let sandbox = with_hello();
    let victim = sandbox.write("victim", "untouched");
    for name in ["../evil", "a/../../evil", "..", "a/..", "./../x"] {
        refused(&sandbox, Tar::new().file(name, 0o644, "x").finish()).says("..");
    }
    let long = format!("{}../evil", "a/".repeat(80));
    refused(&sandbox, Tar::new().pax(&[("path", long.as_bytes())]).file("x", 0o644, "x").finish()).says("..");
    refused(&sandbox, Tar::new().long_name(b'L', "../evil").file("x", 0o644, "x").finish()).says("..");
    // Links whose target is outside, and files through them: whatever the answer, nothing outside changes.
    let through = victim.parent().unwrap().to_str().unwrap();
    let archives = [
        Tar::new().symlink("out", through).file("out/victim", 0o644, "overwritten").finish(),
        Tar::new()
            .symlink("out", "../../../../../../..")
            .file(&format!("out{through}/victim"), 0o644, "overwritten")
            .finish(),
        Tar::new().symlink("victim", victim.to_str().unwrap()).file("victim", 0o644, "overwritten").finish(),
        Tar::new().hardlink("link", victim.to_str().unwrap()).finish(),
        Tar::new().hardlink("link", "../../../../../../../../etc/passwd").finish(),
    ];
    for archive in archives {
        let outcome = sandbox.bedplate(["import", "-", "bad"]).stdin(archive).run();
        assert!(outcome.status.is_some(), "{outcome}");
        if outcome.status == Some(0) && can_run("bad_input::names_that_lead_outside") {
            // Unpacking is where it would happen.
            let _ = sandbox.bedplate(["run", "--rm", "bad", "/absent"]).run();
            let _ = sandbox.bedplate(["cp", "bad:/out/.", sandbox.path("copied").to_str().unwrap()]).run();
        }
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
        fsck(&sandbox);
    }
}

#[test]
fn absolute_names_stay_inside() {
    let sandbox = with_hello();
    let victim = sandbox.write("victim", "untouched");
    let archive = Tar::new().file(victim.to_str().unwrap(), 0o644, "overwritten").finish();
    let outcome = sandbox.bedplate(["import", "-", "bad"]).stdin(archive).run();
    if outcome.status == Some(0) {
        let file = sandbox.path("out.tar");
        sandbox.bedplate(["export", "-o", file.to_str().unwrap(), "bad"]).ok();
        let text = oracle::expect(oracle::command("tar").args(["-P", "-tf"]).arg(file));
        assert!(text.lines().all(|line| !line.starts_with('/')), "{text}");
    } else {
        outcome.says(victim.to_str().unwrap());
    }
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
    fsck(&sandbox);
}

#[test]
fn links_without_a_target() {
    let sandbox = with_hello();
    refused(&sandbox, Tar::new().hardlink("link", "absent").finish()).says("link");
    refused(&sandbox, Tar::new().file("a", 0o644, "a").hardlink("b", "").finish()).says("b");
    refused(&sandbox, Tar::new().dir("d/", 0o755).hardlink("b", "d").finish()).says("b");
}

#[test]
fn device_nodes_without_rights() {
    let test = "bad_input::device_nodes";
    let sandbox = sandbox();
    let tar = Tar::new()
        .dir("dev/", 0o755)
        .device("dev/sda", b'4', (8, 0))
        .device("dev/null", b'3', (1, 3))
        .file("hello", 0o755, program::hello(program::Machine::host()))
        .finish();
    import(&sandbox, &tar, &["-c", "CMD [\"/hello\"]", "-", "x"]);
    assert_eq!(diff_ids(&sandbox, "x"), [sha256(&tar)], "as data they need no rights");
    if can_run(test) {
        assert_eq!(sandbox.bedplate(["run", "--rm", "x"]).ok().text(), program::GREETING.trim_end());
    }
    let to = sandbox.path("sda");
    if privilege::is_root() {
        let _ = sandbox.bedplate(["cp", "x:/dev/sda", to.to_str().unwrap()]).run();
    } else {
        let outcome = sandbox.bedplate(["cp", "x:/dev/sda", to.to_str().unwrap()]).fails();
        outcome.says("sda");
    }
    fsck(&sandbox);
}

#[test]
fn extended_headers_that_lie() {
    let sandbox = with_hello();
    let header =
        |body: &[u8]| Tar::new().entry(&Entry { path: b"PaxHeaders/x", kind: b'x', data: body, ..Entry::default() });
    for body in [
        &b"5 a=b\n"[..],
        b"999999999999999999999999 a=b\n",
        b"0 a=b\n",
        b"-6 a=b\n",
        b"7 a=bb",
        b"a=b\n",
        b"30 path=short\n",
        b"8 =novl\n",
    ] {
        refused(&sandbox, header(body).file("f", 0o644, "text").finish());
    }
    // A size that is not the body's: what follows is read at another place, or is missing.
    for size in [&b"100000"[..], b"-1", b"99999999999999999999999", b"x", b"18446744073709551615"] {
        refused(&sandbox, Tar::new().pax(&[("size", size)]).file("f", 0o644, "text").finish());
    }
    // A PAX size that hides an entry from readers which trust the header: both sizes must not be mixed.
    let hidden = Tar::new().file("hidden", 0o644, "x").unfinished();
    let tar = Tar::new()
        .pax(&[("size", format!("{}", hidden.len()).as_bytes())])
        .header_only(&Entry { path: b"cover", size: Some(0), ..Entry::default() })
        .raw(&hidden)
        .finish();
    let outcome = sandbox.bedplate(["import", "-", "desync"]).stdin(tar).run();
    if outcome.status == Some(0) {
        let file = sandbox.path("out.tar");
        sandbox.bedplate(["export", "-o", file.to_str().unwrap(), "desync"]).ok();
        let text = oracle::expect(oracle::command("tar").arg("-tf").arg(file));
        assert!(!text.contains("hidden"), "{text}");
    }
    fsck(&sandbox);
    // Headers without an entry, and without an end.
    refused(&sandbox, Tar::new().pax(&[("path", b"x")]).finish());
    refused(&sandbox, Tar::new().long_name(b'L', "x").finish());
    refused(
        &sandbox,
        Tar::new().entry(&Entry { path: b"f", kind: b'x', size: Some(1 << 40), ..Entry::default() }).finish(),
    );
    refused(
        &sandbox,
        Tar::new().entry(&Entry { path: b"neg", style: Style::Gnu, size: Some(u64::MAX), ..Entry::default() }).finish(),
    );
}

#[test]
fn bombs() {
    let test = "bad_input::bombs";
    let sandbox = with_hello();
    // Depth: a path of more folders than any file system takes.
    let deep = "d/".repeat(20_000);
    refused(&sandbox, Tar::new().pax(&[("path", deep.as_bytes())]).dir("d", 0o755).finish());
    // A single name longer than file systems take.
    let long = "n".repeat(5000);
    let outcome = sandbox
        .bedplate(["import", "-", "bad"])
        .stdin(Tar::new().pax(&[("path", long.as_bytes())]).file("n", 0o644, "").finish())
        .run();
    assert!(outcome.status.is_some(), "{outcome}");
    fsck(&sandbox);
    // An extended header that would fill the memory.
    let giant = vec![b'x'; 64 << 20];
    refused(&sandbox, Tar::new().pax(&[("path", &giant)]).file("n", 0o644, "").finish());
    // A file that claims more than there is.
    refused(
        &sandbox,
        Tar::new().entry(&Entry { path: b"huge", style: Style::Gnu, size: Some(1 << 60), ..Entry::default() }).finish(),
    )
    .says("huge");
    // A sparse file that claims a petabyte in a few bytes of map.
    let tar = Tar::new()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"s"),
            ("GNU.sparse.realsize", b"1125899906842624"),
        ])
        .file("GNUSparseFile.0/s", 0o644, [b"1\n0\n1\n".as_slice(), &[0; 506], b"x"].concat())
        .finish();
    let outcome = sandbox.bedplate(["import", "-", "sparse"]).stdin(tar).run();
    assert!(outcome.status.is_some(), "{outcome}");
    fsck(&sandbox);
    // Expansion: what is small on the wire and large on disk stops at a limit that is named.
    let Some(zstd) = oracle::find("zstd") else { return skip::note(test, "no zstd") };
    let bomb = sandbox.path("bomb.zst");
    let line = format!("head -c 3G /dev/zero | {} -q -c > {}", zstd.display(), bomb.display());
    oracle::expect(oracle::command("sh").args(["-c", &line]));
    let outcome = sandbox.bedplate(["import", bomb.to_str().unwrap(), "bad"]).fails();
    outcome.says("bomb");
    assert!(outcome.stderr.len() < 10_000, "{outcome}");
    fsck(&sandbox);
}

#[test]
fn broken_json() {
    let sandbox = with_hello();
    let layer = hello_tar();
    let archive =
        |manifest: &str| Tar::new().file("manifest.json", 0o644, manifest).file("layer.tar", 0o644, &layer).finish();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for manifest in [
        "",
        "{",
        "null",
        "[]",
        "{}",
        "[{}]",
        "[{\"Config\":5}]",
        "[{\"Config\":\"absent.json\",\"RepoTags\":null,\"Layers\":[\"layer.tar\"]}]",
        "[{\"Config\":\"../../etc/passwd\",\"RepoTags\":[],\"Layers\":[]}]",
        "[{\"Config\":\"layer.tar\",\"RepoTags\":[],\"Layers\":[\"layer.tar\"]}]",
        "\u{feff}[]",
        &deep,
    ] {
        let outcome = not_loaded(&sandbox, archive(manifest));
        assert!(outcome.stderr.len() < 5000, "{} bytes of message", outcome.stderr.len());
    }
    // A config that is no config; layers that are not those of the config.
    for (config, layers) in [
        ("{", 1),
        ("{}", 1),
        ("{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}", 1),
        ("{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:00\"]}}", 1),
        (
            "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"md5:d41d8cd98f00b204e9800998ecf8427e\"]}}",
            1,
        ),
    ] {
        let manifest =
            json!([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": vec!["layer.tar"; layers]}]).to_string();
        let tar = Tar::new()
            .file("c.json", 0o644, config)
            .file("layer.tar", 0o644, &layer)
            .file("manifest.json", 0o644, manifest)
            .finish();
        not_loaded(&sandbox, tar);
    }
    // A name that is none, and one that is reserved.
    for name in ["UPPER:x", "scratch:latest", "a:b:c", "../../x", ""] {
        let config =
            json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [sha256(&layer)]}})
                .to_string();
        let manifest = json!([{"Config": "c.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).to_string();
        let tar = Tar::new()
            .file("c.json", 0o644, config)
            .file("layer.tar", 0o644, &layer)
            .file("manifest.json", 0o644, manifest)
            .finish();
        not_loaded(&sandbox, tar);
    }
}

#[test]
fn wrong_digests() {
    let sandbox = with_hello();
    let layer = hello_tar();
    let other = Tar::new().file("other", 0o644, "x").finish();
    let config =
        json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [sha256(&layer)]}})
            .to_string();
    let manifest_of = |layer: &[u8], size: usize| {
        json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(config.as_bytes()), "size": config.len()},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": sha256(layer), "size": size}],
        })
        .to_string()
    };
    let put = |tar: Tar, name: &[u8], bytes: &[u8]| {
        let path = format!("blobs/sha256/{}", &sha256(name)[7..]);
        tar.file(&path, 0o644, bytes)
    };
    let manifest = manifest_of(&layer, layer.len());
    let good = oci_archive(&[config.as_bytes(), manifest.as_bytes(), &layer], &manifest, "x:1");
    // The same archive with other bytes under the layer's, the config's or the manifest's name.
    let index_and_layout = |tar: Tar| {
        let index = json!({"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": sha256(manifest.as_bytes()), "size": manifest.len()}]});
        tar.file("index.json", 0o644, index.to_string())
            .file("oci-layout", 0o644, "{\"imageLayoutVersion\":\"1.0.0\"}")
            .finish()
    };
    let mut changed = layer.clone();
    changed[600] ^= 1;
    let cases: [(&str, [&[u8]; 3]); 3] = [
        ("layer", [config.as_bytes(), manifest.as_bytes(), &changed]),
        ("config", [b"{}", manifest.as_bytes(), &layer]),
        ("manifest", [config.as_bytes(), b"{}", &layer]),
    ];
    for (what, bytes) in cases {
        let mut tar = Tar::new();
        for (name, bytes) in [config.as_bytes(), manifest.as_bytes(), &layer].into_iter().zip(bytes) {
            tar = put(tar, name, bytes);
        }
        let outcome = not_loaded(&sandbox, index_and_layout(tar));
        assert!(outcome.stderr.contains("sha256:"), "{what}: {outcome}");
    }
    // A layer that is whole, but not the one the config names.
    let manifest = manifest_of(&other, other.len());
    not_loaded(&sandbox, oci_archive(&[config.as_bytes(), manifest.as_bytes(), &other], &manifest, "x:1"))
        .says(&sha256(&layer)[7..19]);
    // A wrong size, a missing blob.
    let manifest = manifest_of(&layer, layer.len() + 1);
    not_loaded(&sandbox, oci_archive(&[config.as_bytes(), manifest.as_bytes(), &layer], &manifest, "x:1"));
    let manifest = manifest_of(&layer, layer.len());
    not_loaded(&sandbox, oci_archive(&[config.as_bytes(), manifest.as_bytes()], &manifest, "x:1"))
        .says(&sha256(&layer)[7..19]);
    sandbox.bedplate(["load"]).stdin(good).ok();
    fsck(&sandbox);
}

#[test]
fn saved_archives_with_strange_entries() {
    let sandbox = with_hello();
    let saved = sandbox.bedplate(["save", "hello"]).ok().stdout;
    let victim = sandbox.write("victim", "untouched");
    for extra in [
        Tar::new().file("../../victim", 0o644, "overwritten"),
        Tar::new().file(victim.to_str().unwrap(), 0o644, "overwritten"),
        Tar::new().symlink("blobs", sandbox.work().to_str().unwrap()).file("blobs/victim", 0o644, "overwritten"),
        Tar::new().device("dev", b'4', (8, 0)),
    ] {
        let archive = [extra.unfinished(), saved.clone()].concat();
        let outcome = sandbox.bedplate(["load"]).stdin(archive).run();
        assert!(outcome.status.is_some() && !outcome.stderr.contains("panicked"), "{outcome}");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
        fsck(&sandbox);
    }
    for length in [100, 600, saved.len() / 2] {
        not_loaded(&sandbox, &saved[..length]);
    }
}

#[test]
fn a_store_that_cannot_be_written() {
    let sandbox = sandbox();
    let file = sandbox.write("file", "x");
    let import =
        |root: &std::path::Path| sandbox.bedplate(["import", "-", "x"]).stdin(hello_tar()).env("BEDPLATE_ROOT", root);
    import(&file).fails().says(file.to_str().unwrap());
    import(&file.join("below")).fails().says(file.to_str().unwrap());
    import(std::path::Path::new("/proc/absent/store")).fails().says("/proc/absent");
    if !privilege::is_root() {
        import(std::path::Path::new("/root-owned-store")).fails().says("cannot open the store /root-owned-store");
    }
    // A file system that is mounted read-only, with an image in it.
    hello_image(&sandbox);
    let before = list(&sandbox.store());
    let test = "bad_input::a_store_that_cannot_be_written";
    let Some(wrapper) = private_mounts(test) else { return };
    let line =
        format!("mount --bind {0} {0} && mount -o remount,bind,ro {0} && exec \"$@\"", sandbox.store().display());
    let read_only = |words: &[&str]| {
        let mut wrap = wrapper.clone();
        wrap.extend(["sh".into(), "-c".into(), line.clone(), "sh".into()]);
        sandbox.bedplate(words).wrap(wrap)
    };
    read_only(&["import", "-", "y"])
        .stdin(Tar::new().file("a", 0o644, "a").finish())
        .fails()
        .says(sandbox.store().to_str().unwrap());
    read_only(&["tag", "hello", "y"]).fails();
    assert_eq!(read_only(&["images", "-q"]).ok().text().lines().count(), 1, "reading goes on");
    assert_eq!(list(&sandbox.store()), before);
    fsck(&sandbox);
}

/// Words that start a program with mounts of its own; `None` (and a counted skip) where that is not allowed.
pub(crate) fn private_mounts(test: &str) -> Option<Vec<String>> {
    let words: &[&str] = if privilege::is_root() {
        &["unshare", "--mount"]
    } else {
        &["unshare", "--user", "--map-root-user", "--mount"]
    };
    let mut command = oracle::command(words[0]);
    let works = oracle::output(command.args(&words[1..]).arg("true")).status.success();
    if !works {
        skip::note(test, "no private mounts");
    }
    works.then(|| words.iter().map(|word| (*word).to_owned()).collect())
}

#[test]
fn a_full_disk() {
    let Some(wrapper) = private_mounts("bad_input::a_full_disk") else { return };
    let sandbox = sandbox();
    let disk = sandbox.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let big = sandbox
        .write("big.tar", Tar::new().file("big", 0o644, bedplate_testkit::Random::new(3).bytes(4 << 20)).finish());
    let small = sandbox.write("small.tar", hello_tar());
    let elsewhere = crate::kit::sandbox();
    elsewhere.bedplate(["import", big.to_str().unwrap(), "big"]).ok();
    let saved = sandbox.path("saved.tar");
    elsewhere.bedplate(["save", "-o", saved.to_str().unwrap(), "big"]).ok();
    sandbox.write("ctx/big", bedplate_testkit::Random::new(4).bytes(4 << 20));
    sandbox.write("ctx/Dockerfile", "FROM scratch\nCOPY big /big\n");
    let program = bedplate_testkit::binary(env!("CARGO_BIN_EXE_bedplate"));
    let line = format!(
        "mount -t tmpfs -o size=2m none {disk} || exit 99
         export BEDPLATE_ROOT={disk}/store; B={program}
         $B import {small} small >/dev/null || exit 98
         $B import {big} big 2>{disk}-err; status=$?
         [ $status != 0 ] || exit 97
         $B fsck || exit 96
         [ \"$(find {disk}/store/tmp -type f | wc -l)\" = 0 ] || exit 95
         [ \"$($B images -q | wc -l)\" = 1 ] || exit 94
         $B import {small} again >/dev/null || exit 93
         $B load -i {saved} 2>>{disk}-err && exit 92
         (cd {work}/ctx && $B build -q . 2>>{disk}-err) && exit 91
         $B save -o {disk}/out.tar again && rm {disk}/out.tar || exit 90
         head -c 4m /dev/zero >{disk}/fill 2>/dev/null
         $B save -o {disk}/out.tar again 2>>{disk}-err && exit 89
         $B run --rm --name held small true 2>>{disk}-err; $B run --rm --name held small true 2>{disk}-twice
         grep -q 'in use' {disk}-twice && exit 83
         [ ! -e {disk}/out.tar ] || exit 88
         $B images -q >/dev/null || exit 87
         rm {disk}/fill
         $B fsck || exit 86
         [ \"$(find {disk}/store/tmp -type f | wc -l)\" = 0 ] || exit 85
         [ \"$($B images -q | wc -l)\" = 1 ] || exit 84
         exit 0",
        disk = disk.display(),
        small = small.display(),
        saved = saved.display(),
        work = sandbox.work().display(),
        big = big.display(),
        program = program.display()
    );
    let mut wrap = wrapper;
    wrap.extend(["sh".into(), "-c".into(), line]);
    let outcome = sandbox.bedplate([] as [&str; 0]).wrap(wrap).ends(0);
    let message = std::fs::read_to_string(sandbox.path("disk-err")).unwrap();
    assert!(message.contains("error:") && message.contains("space"), "{message}{outcome}");
}

#[test]
fn dockerfiles_with_errors() {
    let sandbox = with_hello();
    let table = [
        ("", "Dockerfile"),
        ("FROM\n", "line 1"),
        ("FROM scratch\nFORM x\n", "line 2, column 1"),
        ("FROM scratch\nCOPI a /\n", "COPY"),
        ("FROM scratch\nCOPY --form=x a /\n", "--from"),
        ("FROM scratch\nCOPY a\n", "line 2"),
        ("FROM scratch\nCOPY absent /\n", "absent"),
        ("FROM scratch\nENV\n", "line 2"),
        ("FROM scratch\nENV =b\n", "line 2"),
        ("FROM scratch\nEXPOSE 99999999\n", "99999999"),
        ("FROM scratch\nSTOPSIGNAL SIGNONE\n", "SIGNONE"),
        ("FROM scratch\nVOLUME \"\"\n", "line 2"),
        ("FROM scratch\nONBUILD ONBUILD RUN x\n", "ONBUILD"),
        ("FROM scratch\nCOPY --from=absent /a /b\n", "absent"),
        ("FROM scratch\nCOPY --chmod=99999 Dockerfile /\n", "99999"),
        ("FROM scratch\nCOPY --chown=nobody-here Dockerfile /\n", "nobody-here"),
        ("FROM scratch\nCOPY <<EOF /a\nno end\n", "EOF"),
        ("FROM scratch AS 9x\n", "9x"),
        ("COPY a /\n", "FROM"),
        ("FROM ${UNSET}\n", "FROM"),
        ("FROM scratch\nADD --checksum=md5:x http://127.0.0.1:1/x /\n", "md5"),
        ("FROM scratch\nRUN true\n", "/bin/sh"),
        ("# syntax=x\n# syntax=y\nFROM scratch\n", "syntax"),
    ];
    for (text, word) in table {
        if text.contains("RUN") && !text.contains("ONBUILD") && !can_run("bad_input::dockerfiles_with_errors") {
            continue;
        }
        sandbox.write("Dockerfile", text);
        let before = images(&sandbox);
        let outcome = sandbox.bedplate(["build", "-t", "bad", "."]).fails();
        assert!(outcome.stderr.contains(word), "{text:?} lacks {word:?}: {outcome}");
        assert_eq!(images(&sandbox), before, "{text:?}");
        fsck(&sandbox);
    }
    sandbox.bedplate(["build", "-f", "absent.Dockerfile", "."]).fails().says("absent.Dockerfile");
    sandbox.bedplate(["build", "absent-folder"]).fails().says("absent-folder");
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    sandbox.bedplate(["build", "--target", "absent", "."]).fails().says("absent");
}

#[test]
fn contexts_do_not_lead_outside() {
    let sandbox = sandbox();
    sandbox.write("secret", "outside");
    sandbox.write("ctx/inside", "x");
    std::os::unix::fs::symlink("../secret", sandbox.path("ctx/link")).unwrap();
    std::os::unix::fs::symlink("..", sandbox.path("ctx/up")).unwrap();
    // `../` in a source is dropped: it names a file of the context, which is not there.
    sandbox.write("ctx/Dockerfile", "FROM scratch\nCOPY ../secret /\n");
    sandbox.bedplate(["build", "ctx"]).fails().says("secret");
    sandbox.write("ctx/Dockerfile", "FROM scratch\nCOPY up/secret /\n");
    let outcome = sandbox.bedplate(["build", "-t", "x", "ctx"]).run();
    if outcome.status == Some(0) {
        let exported = sandbox.bedplate(["export", "x"]).ok().stdout;
        assert!(!String::from_utf8_lossy(&exported).contains("outside"), "{outcome}");
    }
    // A tar context with hostile names.
    let tar = Tar::new().file("Dockerfile", 0o644, "FROM scratch\nCOPY . /\n").file("../evil", 0o644, "x").finish();
    let outcome = sandbox.bedplate(["build", "-"]).stdin(tar).run();
    assert!(outcome.status.is_some() && !outcome.stderr.contains("panicked"), "{outcome}");
    assert!(!sandbox.path("evil").exists() && !sandbox.work().parent().unwrap().join("evil").exists());
    fsck(&sandbox);
}

#[test]
fn a_store_of_a_newer_format_is_refused_in_words() {
    let sandbox = with_hello();
    std::fs::write(sandbox.store().join("format"), "999\n").unwrap();
    for words in [&["images"][..], &["import", "-", "x"], &["fsck"]] {
        sandbox.bedplate(words).stdin(hello_tar()).fails().says("999");
    }
}

#[test]
fn fsck_finds_what_is_broken() {
    type Breakage = (&'static str, fn(&Sandbox));
    let breakages: &[Breakage] = &[
        ("a changed blob", |sandbox| {
            let path = blob(sandbox, &sha256(&hello_tar()));
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[600] ^= 1;
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, bytes).unwrap();
        }),
        ("a missing blob", |sandbox| std::fs::remove_file(blob(sandbox, &sha256(&hello_tar()))).unwrap()),
        ("a cut index", |sandbox| std::fs::write(sandbox.store().join("index.json"), "{").unwrap()),
    ];
    for (what, breakage) in breakages {
        let sandbox = with_hello();
        fsck(&sandbox);
        breakage(&sandbox);
        let outcome = sandbox.bedplate(["fsck"]).run();
        assert!(outcome.status.is_some_and(|status| status != 0), "{what} was not found: {outcome}");
        assert!(!outcome.stderr.contains("panicked"), "{what}: {outcome}");
    }
}

#[test]
fn what_cannot_be_bootstrapped_is_answered_with_what_can() {
    let sandbox = sandbox();
    let bootstrap = |words: &[&str]| sandbox.bedplate([&["bootstrap"], words].concat());
    bootstrap(&["base.toml"]).ends(1).says("is no suite").says("--recipe base.toml");
    bootstrap(&["fedora:41"]).ends(1).says("no distribution \"fedora\"; there are suites of debian, ubuntu");
    bootstrap(&["nonesuch"]).ends(1).says("there are suites of debian, ubuntu");
    bootstrap(&["trixi"]).ends(1).says("near: trixie");
    bootstrap(&["trixie", "--jobs", "0"]).ends(125).says("--jobs");
}

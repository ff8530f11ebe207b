//! `export` and `cp`.

use crate::kit::*;
use bedplate_testkit::{Sandbox, Tar, generate, oracle};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Lists a tar by GNU tar: mode, owner, size, time and path of each entry, sorted.
fn listed(file: &Path) -> Vec<String> {
    let mut command = oracle::command("tar");
    command.args(["--numeric-owner", "--full-time", "--quoting-style=escape", "-tvf"]).arg(file).env("TZ", "UTC");
    let text = oracle::expect(&mut command);
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| {
            line.split_whitespace().collect::<Vec<_>>().join(" ").replace(" ./", " ").trim_end_matches('/').to_owned()
        })
        .collect();
    lines.sort();
    lines
}

#[track_caller]
fn export(sandbox: &Sandbox, name: &str) -> std::path::PathBuf {
    let path = sandbox.path(&format!("{name}.export.tar"));
    sandbox.bedplate(["export", "-o", path.to_str().unwrap(), name]).ok();
    path
}

#[test]
fn an_export_holds_the_tree() {
    let sandbox = sandbox();
    let items = generate::items(&generate::Spec { sparse: false, ..generate::Spec::everything(11) });
    let tar = generate::to_tar(&items);
    import(&sandbox, &tar, &["-", "x"]);
    let ours = listed(&export(&sandbox, "x"));
    let theirs = listed(&sandbox.write("in.tar", &tar));
    let missing: Vec<_> = theirs.iter().filter(|line| !line.contains(" link to ") && !ours.contains(line)).collect();
    // Of two names of one file either may be the one that carries the bytes.
    let without_links: Vec<_> = missing.iter().filter(|line| !line.starts_with('-')).collect();
    assert!(without_links.is_empty(), "{without_links:#?}");
    assert!(ours.len() >= theirs.len(), "{} of {}", ours.len(), theirs.len());
}

#[test]
fn an_export_is_deterministic_and_imports_as_the_same_tree() {
    let sandbox = sandbox();
    let tar = generate::to_tar(&generate::items(&generate::Spec::everything(12)));
    import(&sandbox, &tar, &["-", "x"]);
    let first = std::fs::read(export(&sandbox, "x")).unwrap();
    let second = sandbox.bedplate(["export", "x"]).shifted().ok().stdout;
    assert!(first == second);
    import(&sandbox, &first, &["-", "y"]);
    let third = std::fs::read(export(&sandbox, "y")).unwrap();
    assert!(first == third, "an export of an export is the same");
}

#[test]
fn whiteouts_are_gone_from_an_export() {
    let sandbox = sandbox();
    let base = Tar::new().dir("d/", 0o755).file("d/a", 0o644, "a").file("d/b", 0o644, "b").finish();
    let top = Tar::new().file("d/.wh.a", 0o644, "").file("d/c", 0o644, "c").finish();
    let config = serde_json::json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [sha256(&base), sha256(&top)]}}).to_string();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(config.as_bytes()), "size": config.len()},
        "layers": [
            {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": sha256(&base), "size": base.len()},
            {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": sha256(&top), "size": top.len()},
        ],
    })
    .to_string();
    let archive = crate::save_load::oci_archive(&[config.as_bytes(), manifest.as_bytes(), &base, &top], &manifest, "x");
    sandbox.bedplate(["load"]).stdin(archive).ok();
    fsck(&sandbox);
    let file = export(&sandbox, "x");
    let text = oracle::expect(oracle::command("tar").arg("-tf").arg(file));
    let mut paths: Vec<&str> = text
        .lines()
        .map(|line| line.trim_start_matches("./").trim_end_matches('/'))
        .filter(|line| !line.is_empty())
        .collect();
    paths.sort_unstable();
    assert_eq!(paths, ["d", "d/b", "d/c"]);
}

#[test]
fn files_are_copied_out_of_an_image() {
    let sandbox = sandbox();
    let tar = Tar::new()
        .dir("d/", 0o755)
        .file("d/f", 0o640, "text")
        .symlink("d/l", "f")
        .symlink("abs", "/d/f")
        .dir("d/sub/", 0o700)
        .file("d/sub/g", 0o755, "g")
        .finish();
    import(&sandbox, &tar, &["-", "x"]);
    let at = |name: &str| sandbox.path(name).to_str().unwrap().to_owned();
    sandbox.bedplate(["cp", "x:/d/f", &at("out")]).ok();
    assert_eq!(std::fs::read_to_string(sandbox.path("out")).unwrap(), "text");
    assert_eq!(std::fs::metadata(sandbox.path("out")).unwrap().permissions().mode() & 0o777, 0o640);
    sandbox.bedplate(["cp", "x:d", &at("tree")]).ok();
    assert_eq!(std::fs::read_to_string(sandbox.path("tree/sub/g")).unwrap(), "g");
    assert_eq!(std::fs::read_link(sandbox.path("tree/l")).unwrap().to_str(), Some("f"));
    // Into a folder that exists.
    std::fs::create_dir(sandbox.path("there")).unwrap();
    sandbox.bedplate(["cp", "x:/d", &at("there")]).ok();
    assert!(sandbox.path("there/d/f").is_file());
    sandbox.bedplate(["cp", "x:/d/.", &at("there")]).ok();
    assert!(sandbox.path("there/f").is_file());
    // As a tar.
    let outcome = sandbox.bedplate(["cp", "x:/d/f", "-"]).ok();
    let file = sandbox.write("cp.tar", outcome.stdout);
    assert_eq!(oracle::expect(oracle::command("tar").arg("-xOf").arg(file).arg("f")), "text");
    sandbox.bedplate(["cp", "x:/absent", &at("no")]).fails().says("/absent");
    assert!(!sandbox.path("no").exists());
    sandbox.bedplate(["cp", "absent:/d", &at("no")]).fails().says("absent");
}

#[test]
fn extended_attributes_and_capabilities_are_kept() {
    let sandbox = sandbox();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let tar = Tar::new()
        .pax(&[("SCHILY.xattr.security.capability", &capability), ("SCHILY.xattr.user.note", b"with \0 and \n")])
        .file("ping", 0o755, "x")
        .finish();
    import(&sandbox, &tar, &["-", "x"]);
    let holds = |bytes: &[u8]| {
        let key = [b"SCHILY.xattr.security.capability=".as_slice(), &capability].concat();
        bytes.windows(key.len()).any(|window| window == key)
            && bytes.windows(35).any(|window| window.starts_with(b"SCHILY.xattr.user.note=with \0 and \n"))
    };
    assert!(holds(&sandbox.bedplate(["export", "x"]).ok().stdout), "in an export");
    sandbox.write("Dockerfile", "FROM scratch\nCOPY --from=x /ping /bin/ping\n");
    sandbox.bedplate(["build", "-t", "y", "."]).ok();
    assert!(holds(&sandbox.bedplate(["export", "y"]).ok().stdout), "through COPY --from");
}

//! The three ways to make a root: the same container on each, and nothing left that the command did not make.

use std::os::unix::fs::{MetadataExt, symlink};

use bedplate_run::{Bytes, Mount, OverlayVia, Root, RuntimeConfig};
use serde_json::json;

use crate::job::{Place, able};

/// The directory that takes the changes, with the root that leads there. The plain directory is a copy of the lower one.
fn ways(place: &Place) -> Vec<(&'static str, &'static str, Root)> {
    std::fs::create_dir_all(place.path("copy")).unwrap();
    let status = std::process::Command::new("cp")
        .args(["-a", "--"])
        .args([place.path("lower/."), place.path("copy")])
        .status()
        .unwrap();
    assert!(status.success());
    vec![
        ("new API", "upper", place.overlay(OverlayVia::NewApi)),
        ("classic", "upper", place.overlay(OverlayVia::Classic)),
        ("directory", "copy", Root::Directory { path: place.path("copy") }),
    ]
}

#[test]
fn changes_land_in_the_same_place_by_all_ways() {
    if !able("changes_land_in_the_same_place_by_all_ways") {
        return;
    }
    for way in 0..3 {
        let place = Place::new();
        place.file("etc/issue", b"old");
        place.file("data/keep", b"kept");
        let (name, changed, root) = ways(&place).swap_remove(way);
        root.prepare().unwrap();
        let before = place.names(changed);
        let mut config = place.probe(&["write", "/data/new", "content"]);
        config.hosts = Some("127.0.0.1 localhost\n".into());
        config.hostname_file = Some("box\n".into());
        config.resolv_conf = Some("nameserver 192.0.2.1\n".into());
        let times = |p: &str| place.path(p).metadata().map(|m| (m.mtime(), m.mtime_nsec())).unwrap();
        let (root_time, etc_time) = (times(changed), times("lower/etc"));
        let ran = place.run_with(&root, &config, json!({}), b"").ok();
        let mut after = place.names(changed);
        after.retain(|n| !before.contains(n));
        // A directory may be copied up for a mount point that is gone again; its content and times tell nothing.
        after.retain(|n| n != "etc");
        let expected = if changed == "upper" { vec!["data", "data/new"] } else { vec!["data/new"] };
        assert_eq!(after, expected, "{name}");
        assert_eq!(std::fs::read(place.path(changed).join("data/new")).unwrap(), b"content");
        assert_eq!(times(changed), root_time, "{name}: the root's time");
        if place.path(changed).join("etc").exists() {
            assert_eq!(times(&format!("{changed}/etc")), etc_time, "{name}: the time of /etc");
        }
        let made: Vec<String> = ran.outcome.unwrap().mount_points.into_iter().map(|p| p.path).collect();
        assert_eq!(made, ["proc", "dev", "etc/hosts", "etc/hostname", "etc/resolv.conf", "sys"], "{name}");

        // Once more on the same root: what is left of the first run is no hindrance.
        let mut config = place.probe(&["cat", "/data/new"]);
        config.read_only = true;
        let ran = place.run_with(&root, &config, json!({}), b"").ok();
        assert_eq!(ran.stdout, "content");
        config.args = ["/bin/probe", "write", "/data/new", "x"].map(str::to_owned).to_vec();
        let ran = place.run_with(&root, &config, json!({}), b"");
        assert!(ran.code == 1 && ran.stderr.contains("Read-only file system"), "{name}: {ran:?}");
    }
}

#[test]
fn five_hundred_lowers_can_be_stacked_and_no_more() {
    if !able("five_hundred_lowers_can_be_stacked_and_no_more") {
        return;
    }
    let place = Place::new();
    let mut lowers: Vec<_> = (0..499).map(|i| place.path(&format!("many/{i}"))).collect();
    for (i, lower) in lowers.iter().enumerate() {
        std::fs::create_dir_all(lower).unwrap();
        std::fs::write(lower.join("top"), i.to_string()).unwrap();
    }
    lowers.push(place.path("lower"));
    for via in [OverlayVia::NewApi, OverlayVia::Classic] {
        let root = |lowers: &[std::path::PathBuf]| Root::Overlay {
            lowers: lowers.to_vec(),
            upper: place.path("upper"),
            work: place.path("work"),
            via,
        };
        let ran = place.run_with(&root(&lowers), &place.probe(&["cat", "/top"]), json!({}), b"").ok();
        assert_eq!(ran.stdout, "0");
        let more: Vec<_> = lowers.iter().cloned().chain([place.path("lower")]).collect();
        let ran = place.run_with(&root(&more), &place.probe(&[]), json!({}), b"");
        assert_eq!(ran.code, 125);
        assert!(
            ran.stderr.contains("an overlay of 501 lower directories cannot be mounted; it takes 1 to 500"),
            "{ran:?}"
        );
    }
}

#[test]
fn an_older_kernel_gives_the_same() {
    if !able("an_older_kernel_gives_the_same") {
        return;
    }
    const NEW_MOUNT: [&str; 5] = ["fsopen", "fsconfig", "fsmount", "move_mount", "open_tree"];
    const OTHERS: [&str; 4] = ["openat2", "mount_setattr", "fchmodat2", "close_range"];
    for missing in
        [&["openat2"][..], &NEW_MOUNT, &["mount_setattr"], &["close_range"], &[&NEW_MOUNT[..], &OTHERS].concat()]
    {
        for way in [1, 2] {
            let place = Place::new();
            place.file("etc/passwd", b"root:x:0:0::/root:/bin/sh\n");
            symlink("../run/resolv.conf", place.path("lower/etc/resolv.conf")).unwrap();
            std::fs::create_dir(place.path("host")).unwrap();
            let (_, _, root) = ways(&place).swap_remove(way);
            let root = if way == 1 { place.overlay(OverlayVia::Auto) } else { root };
            let mut config = place.probe(&["report"]);
            config.resolv_conf = Some("resolv\n".into());
            config.read_only = true;
            config.mounts = vec![Mount::Bind {
                source: place.path("host"),
                target: "/host".into(),
                read_only: true,
                recursive: true,
            }];
            let ran = place.run_with(&root, &config, json!({"missing": missing}), b"").ok();
            assert_eq!(ran.all("fd"), Vec::<&str>::new(), "{missing:?}");
            assert_eq!(ran.one("env"), "HOME=/root");
            for path in ["/", "/host", "/sys", "/proc/sys"] {
                let line = ran.all("mount").into_iter().find(|l| l.split(' ').nth(4) == Some(path)).unwrap().to_owned();
                assert!(line.split(' ').nth(5).is_some_and(|o| o.starts_with("ro")), "{missing:?} {line}");
            }
            config.args = ["/bin/probe", "cat", "/etc/resolv.conf"].map(str::to_owned).to_vec();
            assert_eq!(place.run_with(&root, &config, json!({"missing": missing}), b"").ok().stdout, "resolv\n");
        }
    }
}

#[test]
fn links_in_the_image_lead_no_mount_outside() {
    if !able("links_in_the_image_lead_no_mount_outside") {
        return;
    }
    let place = Place::new();
    let outside = place.path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("victim"), "unharmed").unwrap();
    let lower = place.path("lower");
    std::fs::create_dir(lower.join("etc")).unwrap();
    // As images with systemd-resolved have it, dangling; an absolute way out; one by steps upwards.
    symlink("../run/systemd/resolve/stub-resolv.conf", lower.join("etc/resolv.conf")).unwrap();
    symlink(outside.join("victim"), lower.join("etc/hosts")).unwrap();
    symlink("../../../../../../../../../../etc/passwd-not", lower.join("etc/hostname")).unwrap();
    let mut config = place.probe(&["cat", "/etc/resolv.conf"]);
    config.hosts = Some("hosts\n".into());
    config.hostname_file = Some("box\n".into());
    config.resolv_conf = Some("resolv\n".into());
    let ran = place.run(&config).ok();
    assert_eq!(ran.stdout, "resolv\n");
    assert_eq!(std::fs::read(outside.join("victim")).unwrap(), b"unharmed");
    assert!(place.names("upper").iter().all(|n| n == "etc"), "{:?}", place.names("upper"));
    config.args = ["/bin/probe", "cat", "/etc/hosts"].map(str::to_owned).to_vec();
    assert_eq!(place.run(&config).ok().stdout, "hosts\n");

    // A loop is an error with the path in it.
    std::fs::remove_file(lower.join("etc/hosts")).unwrap();
    symlink("hosts", lower.join("etc/hosts")).unwrap();
    let ran = place.run(&config);
    assert_eq!(ran.code, 125);
    assert!(ran.stderr.contains("\"/etc/hosts\"") && ran.stderr.contains("ELOOP"), "{ran:?}");
}

#[test]
fn mounts_of_the_user() {
    if !able("mounts_of_the_user") {
        return;
    }
    let place = Place::new();
    let host = place.path("host");
    std::fs::create_dir_all(host.join("sub")).unwrap();
    std::fs::write(host.join("file"), "of the host").unwrap();
    let bind = |source: &str, target: &str, read_only| Mount::Bind {
        source: host.join(source),
        target: target.into(),
        read_only,
        recursive: true,
    };
    let tmpfs = Mount::Tmpfs {
        target: "/tmp/memory".into(),
        read_only: false,
        exec: false,
        suid: false,
        dev: false,
        options: "size=64k,mode=700".into(),
    };
    let file = |mode| Mount::File {
        target: "/run/secrets/key".into(),
        content: Bytes(b"of nobody".to_vec()),
        mode,
        uid: 0,
        gid: 0,
    };
    let with = |mounts: Vec<Mount>, words: &[&str]| RuntimeConfig { mounts, ..place.probe(words) };
    for (mounts, words, code, text) in [
        (vec![bind("file", "/a/b/file", false)], &["cat", "/a/b/file"][..], 0, "of the host"),
        (vec![bind(".", "/dir", false)], &["write", "/dir/new", "x"], 0, ""),
        (vec![bind(".", "/dir", true)], &["write", "/dir/never", "x"], 1, "Read-only file system"),
        (vec![bind("file", "/etc/hosts", false)], &["cat", "/etc/hosts"], 0, "of the host"),
        (vec![tmpfs], &["write", "/tmp/memory/x", "x"], 0, ""),
        (vec![bind(".", "/dir", false), file(0o400)], &["cat", "/run/secrets/key"], 0, "of nobody"),
        (vec![file(0o600)], &["write", "/run/secrets/key", "x"], 1, "Read-only file system"),
        (vec![bind("missing", "/x", false)], &[], 125, "it cannot be opened"),
        (
            vec![bind("file", "/bin", false)],
            &[],
            125,
            "cannot mount a file upon \"/bin\": the image has a directory there",
        ),
        (vec![bind(".", "/bin/probe", false)], &[], 125, "the image has a file there"),
    ] {
        let mut config = with(mounts, words);
        config.hosts = Some("own\n".into());
        let ran = place.run(&config);
        assert_eq!(ran.code, code, "{words:?} {ran:?}");
        assert!(ran.stdout.contains(text) || ran.stderr.contains(text), "{words:?} {ran:?}");
    }
    assert!(host.join("new").exists() && !host.join("never").exists());
    assert_eq!(place.names("upper"), Vec::<String>::new());
}

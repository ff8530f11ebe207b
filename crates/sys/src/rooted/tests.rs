#![allow(clippy::print_stderr)]
use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

/// ```text
/// outside/secret
/// root/a/b/file    root/up -> ..    root/abs -> /a    root/rel -> a/b    root/loop -> loop
/// root/out -> ../outside    root/a/back -> ../rel/file    root/dangling -> nowhere
/// ```
fn tree() -> (tempfile::TempDir, Handle) {
    let tmp = tempfile::tempdir().unwrap();
    let p = |s: &str| tmp.path().join(s);
    std::fs::create_dir_all(p("root/a/b")).unwrap();
    std::fs::create_dir(p("outside")).unwrap();
    std::fs::write(p("outside/secret"), "secret").unwrap();
    std::fs::write(p("root/a/b/file"), "content").unwrap();
    for (name, target) in [
        ("up", ".."),
        ("abs", "/a"),
        ("rel", "a/b"),
        ("loop", "loop"),
        ("out", "../outside"),
        ("a/back", "../rel/file"),
        ("dangling", "nowhere"),
    ] {
        symlink(target, p("root").join(name)).unwrap();
    }
    let handle = Handle::open(&p("root")).unwrap();
    (tmp, handle)
}

#[test]
fn resolution_is_the_same_by_kernel_and_by_walk() {
    let (_tmp, handle) = tree();
    // path | NoSymlinks | Beneath | InRoot: the file's content, or the errno
    let ok = Ok("content");
    let cases: &[(&str, [Result<&str, Errno>; 3])] = &[
        ("a/b/file", [ok, ok, ok]),
        ("/a/b/file", [ok, ok, ok]),
        ("a/./b//file", [ok, ok, ok]),
        ("a/../a/b/file", [ok, ok, ok]),
        ("rel/file", [Err(Errno::LOOP), ok, ok]),
        ("a/back", [Err(Errno::LOOP), ok, ok]),
        ("abs/b/file", [Err(Errno::LOOP), Err(Errno::XDEV), ok]),
        ("up/a/b/file", [Err(Errno::LOOP), Err(Errno::XDEV), ok]),
        ("../root/a/b/file", [Err(Errno::XDEV), Err(Errno::XDEV), Err(Errno::NOENT)]),
        ("../a/b/file", [Err(Errno::XDEV), Err(Errno::XDEV), ok]),
        ("out/secret", [Err(Errno::LOOP), Err(Errno::XDEV), Err(Errno::NOENT)]),
        ("loop", [Err(Errno::LOOP); 3]),
        ("dangling", [Err(Errno::LOOP), Err(Errno::NOENT), Err(Errno::NOENT)]),
        ("a/b/file/x", [Err(Errno::NOTDIR); 3]),
        ("missing", [Err(Errno::NOENT); 3]),
        ("a", [Err(Errno::ISDIR); 3]),
    ];
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        let root = Root::with_resolver(handle.clone(), resolver);
        for (path, expected) in cases {
            let modes = [Resolve::NoSymlinks, Resolve::Beneath, Resolve::InRoot];
            for (resolve, expected) in modes.into_iter().zip(expected) {
                let found = root.open_file(*path, resolve);
                let found = match found {
                    Ok(mut f) => {
                        let mut text = String::new();
                        std::io::Read::read_to_string(&mut f, &mut text).unwrap();
                        Ok(text)
                    }
                    Err(e) => Err(e.errno()),
                };
                assert_eq!(found.as_deref().map_err(|e| *e), *expected, "{path} {resolve:?} {resolver:?}");
            }
        }
    }
}

#[test]
fn parent_gives_directory_and_name() {
    let (_tmp, handle) = tree();
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        let root = Root::with_resolver(handle.clone(), resolver);
        for (path, name) in [("x", "x"), ("a/b/x", "x"), ("/a/b/x/", "x"), ("rel/file", "file")] {
            let (dir, n) = root.parent(path, Resolve::InRoot).unwrap();
            assert_eq!(n.to_str().unwrap(), name);
            assert_eq!(dir.try_stat(&*n).unwrap().is_some(), name == "file");
        }
        for path in ["/", ".", "..", "a/..", "", "a/."] {
            let e = root.parent(path, Resolve::InRoot).unwrap_err();
            assert_eq!(e.errno(), Errno::INVAL, "{path}");
        }
    }
}

#[test]
fn the_kept_parent_does_not_outlive_its_removal() {
    let (_tmp, handle) = tree();
    let root = Root::from_handle(handle);
    let (dir, _) = root.parent("a/b/x", Resolve::NoSymlinks).unwrap();
    root.remove_all("a", Resolve::NoSymlinks).unwrap();
    assert!(root.parent("a/b/x", Resolve::NoSymlinks).unwrap_err().is_not_found());
    assert!(dir.create_file("x", 0o644).unwrap_err().is_not_found());
}

#[test]
fn create_dir_all_makes_what_is_missing_and_follows_as_told() {
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        let (tmp, handle) = tree();
        let root = Root::with_resolver(handle.clone(), resolver);
        let mut made = Vec::new();
        root.create_dir_all("rel/c/d", 0o755, Resolve::InRoot, |p| {
            made.push(String::from_utf8_lossy(p).into_owned());
        })
        .unwrap();
        assert_eq!(made, ["rel/c", "rel/c/d"]);
        assert!(tmp.path().join("root/a/b/c/d").is_dir());
        let e = root.create_dir_all("rel/e", 0o755, Resolve::NoSymlinks, |_| {}).unwrap_err();
        assert_eq!(e.errno(), Errno::LOOP);
        let e = root.create_dir_all("a/b/file/x", 0o755, Resolve::InRoot, |_| {}).unwrap_err();
        assert_eq!(e.errno(), Errno::NOTDIR);
        let e = root.create_dir_all("dangling/x", 0o755, Resolve::InRoot, |_| {}).unwrap_err();
        assert_eq!(e.errno(), Errno::NOENT);
        let e = root.create_dir_all("out/x", 0o755, Resolve::Beneath, |_| {}).unwrap_err();
        assert_eq!(e.errno(), Errno::XDEV);
        assert!(!tmp.path().join("outside/x").exists());
        root.create_dir_all("/", 0o755, Resolve::InRoot, |_| panic!("the root exists")).unwrap();
    }
}

#[test]
fn names_of_more_than_one_component_are_refused() {
    let (tmp, handle) = tree();
    for name in ["..", "", "a/b", "/", "/etc", "../outside/secret", "a/"] {
        assert_eq!(handle.stat(name).unwrap_err().errno(), Errno::INVAL, "{name}");
        assert_eq!(handle.unlink(name).unwrap_err().errno(), Errno::INVAL, "{name}");
        assert_eq!(handle.chown(name, 0, 0).unwrap_err().errno(), Errno::INVAL, "{name}");
        assert_eq!(handle.chmod(name, 0).unwrap_err().errno(), Errno::INVAL, "{name}");
        assert_eq!(handle.rename("a", &handle, name).unwrap_err().errno(), Errno::INVAL, "{name}");
        assert!(handle.remove_all(name).is_err(), "{name}");
    }
    assert!(tmp.path().join("outside/secret").exists());
    assert_eq!(handle.stat(&b"nul\0byte"[..]).unwrap_err().errno(), Errno::INVAL);
}

#[test]
fn operations_on_a_link_leave_its_target_alone() {
    let (tmp, handle) = tree();
    let target = tmp.path().join("outside");
    let before = std::fs::metadata(&target).unwrap();
    let times = Time { sec: 1, nsec: 2 };
    handle.set_times("out", times, times).unwrap();
    assert_eq!(handle.stat("out").unwrap().mtime, times);
    assert_eq!(handle.chmod("out", 0o777).unwrap_err().errno(), Errno::OPNOTSUPP);
    assert!(handle.open_file("out").is_err());
    assert!(handle.open_dir("out").is_err());
    assert!(handle.create_file("dangling", 0o644).unwrap_err().is_exists());
    handle.remove_all("out").unwrap();
    let after = std::fs::metadata(&target).unwrap();
    assert_eq!((before.mtime(), before.mode()), (after.mtime(), after.mode()));
    assert!(target.join("secret").exists());
}

use crate::file::Time;

#[test]
fn all_kinds_can_be_made_read_and_removed() {
    let (_tmp, handle) = tree();
    handle.mkdir("d", 0o700).unwrap();
    handle.mknod("fifo", Kind::Fifo, 0o600, (0, 0)).unwrap();
    handle.mknod("sock", Kind::Socket, 0o600, (0, 0)).unwrap();
    handle.symlink("x".repeat(300).as_str(), "long").unwrap();
    handle.create_file("f", 0o600).unwrap();
    handle.link("f", &handle, "g").unwrap();
    assert_eq!(handle.stat("g").unwrap().nlink, 2);
    assert_eq!(handle.read_link("long").unwrap().len(), 300);
    assert_eq!(handle.stat("fifo").unwrap().kind, Kind::Fifo);
    assert_eq!(handle.open_file("fifo").unwrap_err().errno(), Errno::INVAL);
    handle.chmod("f", 0o4755).unwrap();
    assert_eq!(handle.stat("f").unwrap().mode, 0o4755);
    assert_eq!(handle.mknod("q", Kind::Directory, 0, (0, 0)).unwrap_err().errno(), Errno::INVAL);
    let mut names: Vec<_> = handle.entries().unwrap().into_iter().map(|e| e.name.into_string().unwrap()).collect();
    names.sort();
    let all = "a abs d dangling f fifo g long loop out rel sock up";
    assert_eq!(names.join(" "), all);
    for name in all.split(' ') {
        handle.remove_all(name).unwrap();
    }
    assert_eq!(handle.entries().unwrap(), []);
    handle.remove_all("never was").unwrap();
}

#[test]
fn extended_attributes_come_back_sorted() {
    let (_tmp, handle) = tree();
    handle.create_file("f", 0o600).unwrap();
    let big = vec![7_u8; 2000];
    match handle.set_xattr("f", b"user.b", &big) {
        Err(e) if e.errno() == Errno::OPNOTSUPP => {
            eprintln!("skipped: no user attributes on this file system");
            return;
        }
        other => other.unwrap(),
    }
    handle.set_xattr("f", b"user.a", b"").unwrap();
    let expected = vec![(b"user.a".to_vec(), vec![]), (b"user.b".to_vec(), big.clone())];
    assert_eq!(handle.xattrs("f").unwrap(), expected);
    assert_eq!(handle.xattr("f", b"user.b").unwrap(), Some(big));
    handle.remove_xattr("f", b"user.b").unwrap();
    assert_eq!(handle.xattr("f", b"user.b").unwrap(), None);
}

#[test]
fn remove_all_goes_deep_wide_and_through_locked_directories() {
    let (tmp, handle) = tree();
    // Deeper than descriptors allow and than a path may be long.
    let mut at = handle.open_dir("a").unwrap();
    for _ in 0..1500 {
        at.mkdir("deeper", 0o755).unwrap();
        at.create_file("file", 0o644).unwrap();
        at = at.open_dir("deeper").unwrap();
    }
    drop(at);
    for i in 0..3000 {
        std::fs::write(tmp.path().join(format!("root/a/b/{i}")), "").unwrap();
    }
    std::fs::create_dir_all(tmp.path().join("root/a/locked/inner")).unwrap();
    std::fs::write(tmp.path().join("root/a/locked/inner/f"), "").unwrap();
    for name in ["root/a/locked/inner", "root/a/locked"] {
        std::fs::set_permissions(tmp.path().join(name), PermissionsExt::from_mode(0o000)).unwrap();
    }
    handle.remove_all("a").unwrap();
    assert!(handle.try_stat("a").unwrap().is_none());
}

#[test]
fn a_message_names_the_object() {
    let (_tmp, handle) = tree();
    let text = handle.chown("missing", 0, 70008).unwrap_err().to_string();
    assert!(text.starts_with("fchownat(["), "{text}");
    assert!(text.ends_with("root\", \"missing\", 0, 70008): no such file or directory (ENOENT)"));
}

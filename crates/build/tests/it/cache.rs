//! The cache, and that nothing can tell whether it hit.

use std::fs;

use crate::kit::*;

const DOCKERFILE: &str = "FROM scratch\nENV A=b\nCOPY a /a\nWORKDIR /w\nCOPY dir .\nADD x.tar /x\nCOPY <<E /e\n$A\nE\n";

fn kit() -> Kit {
    let kit = Kit::new();
    kit.write("a", "A");
    kit.write("dir/b", "B");
    kit.write("x.tar", [0; 1024]);
    kit
}

#[test]
fn equal_steps_are_done_once() {
    let kit = kit();
    let first = kit.build(DOCKERFILE, &Options::default());
    assert_eq!(first.cached, 0);
    let second = kit.build(DOCKERFILE, &Options::default());
    assert_eq!((second.cached, second.image.id()), (5, first.image.id()));
    let third = kit.build(DOCKERFILE, &Options { no_cache: true, ..Options::default() });
    assert_eq!((third.cached, third.image.id()), (0, first.image.id()));
    assert_eq!(second.image.descriptor, first.image.descriptor);
}

#[test]
fn what_is_no_input_changes_nothing() {
    let kit = kit();
    let first = kit.build(DOCKERFILE, &Options::default());
    for name in ["a", "dir/b"] {
        touch(&kit.context().join(name));
    }
    // A file replaced by its copy has another inode and other times.
    fs::copy(kit.context().join("a"), kit.context().join("copy")).unwrap();
    fs::rename(kit.context().join("copy"), kit.context().join("a")).unwrap();
    kit.write("unused", "U");
    let touched = kit.build(DOCKERFILE, &Options::default());
    assert_eq!((touched.cached, touched.image.id()), (5, first.image.id()));
    let other = self::kit();
    assert_eq!(other.build(DOCKERFILE, &Options::default()).image.id(), first.image.id(), "another store and place");
}

#[test]
fn what_is_an_input_changes_the_step_and_those_above() {
    let kit = kit();
    let first = kit.build(DOCKERFILE, &Options::default());
    let changed = |kit: &Kit, expected: usize, what: &str| {
        let found = kit.build(DOCKERFILE, &Options::default());
        assert_eq!(found.cached, expected, "{what}");
        assert_ne!(found.image.id(), first.image.id(), "{what}");
        let anew = kit.build(DOCKERFILE, &Options { no_cache: true, ..Options::default() });
        assert_eq!(found.image.id(), anew.image.id(), "{what}: with and without cache");
    };
    kit.write("dir/b", "C");
    changed(&kit, 2, "bytes of the same length");
    kit.write("dir/b", "B");
    kit.write_mode("a", "A", 0o755);
    changed(&kit, 0, "a mode");
    kit.write("a", "A");
    kit.write("dir/new", "");
    changed(&kit, 2, "a new file");
    fs::remove_file(kit.context().join("dir/new")).unwrap();
    assert_eq!(kit.build(DOCKERFILE, &Options::default()).image.id(), first.image.id(), "and back");
}

#[test]
fn metadata_does_not_spoil_the_layers_above() {
    let kit = kit();
    kit.build("FROM scratch\nENV A=b\nCOPY a /\n", &Options::default());
    let found = kit.build("FROM scratch\nENV A=c\nLABEL x=y\nCOPY a /\n", &Options::default());
    assert_eq!(found.cached, 1, "the layers below are the same");
}

#[test]
fn the_epoch_is_part_of_the_key() {
    let kit = kit();
    let at = |epoch| kit.build(DOCKERFILE, &Options { epoch: Some(epoch), ..Options::default() });
    let (one, two) = (at(1), at(2));
    assert_eq!(two.cached, 0);
    assert_ne!(one.image.id(), two.image.id());
    assert_eq!((at(1).cached, at(1).image.id()), (5, one.image.id()));
}

#[test]
fn a_swept_cache_is_filled_again() {
    let kit = kit();
    let first = kit.build(DOCKERFILE, &Options::default());
    fs::remove_dir_all(kit.store.root().join("cache/build")).unwrap();
    fs::create_dir(kit.store.root().join("cache/build")).unwrap();
    kit.store.remove_image(&first.image.id().to_string(), true).unwrap();
    kit.store.sweep().unwrap();
    let again = kit.build(DOCKERFILE, &Options::default());
    assert_eq!((again.cached, again.image.id()), (0, first.image.id()));
}

#[test]
fn digests_of_many_files_are_remembered_and_never_wrong() {
    let kit = Kit::new();
    for number in 0..200 {
        kit.write(&format!("many/{number}"), format!("{number:0300}"));
    }
    // Only what has lain still for a while is remembered.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let dockerfile = "FROM scratch\nCOPY many /m\n";
    let first = kit.build(dockerfile, &Options::default());
    let cache = kit.store.root().join("cache/context");
    let kept = || fs::read_dir(&cache).unwrap().filter(|e| e.as_ref().unwrap().file_name() != "lock").count();
    assert_eq!(kept(), 1);
    assert_eq!(kit.build(dockerfile, &Options::default()).image.id(), first.image.id());
    // The same length, the same modification time: the inode's own time tells.
    let path = kit.context().join("many/150");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, format!("{:0300}", 9)).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let changed = kit.build(dockerfile, &Options::default());
    assert_eq!(changed.cached, 0);
    assert_ne!(changed.image.id(), first.image.id());
}

//! A user's store over the system's.

use bedplate_store::{OpenOptions, Origin, Sharing, Store, StoreError};

use crate::support::{add, check, name};

#[test]
fn images_of_the_system_are_found_read_and_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let system = Store::open(&OpenOptions::new(dir.path().join("system")).sharing(Sharing::World)).unwrap();
    let image = add(&system, "focal", "system's");
    let own = Store::open(&OpenOptions::new(dir.path().join("own")).fallback(system.root())).unwrap();
    let found = own.resolve("focal").unwrap();
    assert_eq!((found.origin, found.id()), (Origin::Fallback, image.id()));
    assert_eq!(own.resolve(&image.id().0.hex()[..12]).unwrap().origin, Origin::Fallback);
    let diff_id = image.diff_ids()[0];
    assert!(own.open_layer(&diff_id).is_ok());
    assert_eq!(own.layer_index(&diff_id).unwrap().entries().len(), 1);
    assert_eq!(own.images().unwrap().len(), 0);

    let error = own.remove_image("focal", false).unwrap_err();
    assert!(matches!(error, StoreError::ElsewhereOnly { .. }), "{error}");
    assert!(error.to_string().contains("system"), "{error}");

    // A name of one's own makes the image one's own, whole in itself.
    let tagged = own.tag("focal", &name("mine")).unwrap();
    assert_eq!((tagged.id(), tagged.descriptor.digest), (image.id(), image.descriptor.digest));
    system.remove_image("focal", false).unwrap();
    assert_eq!(own.resolve("mine").unwrap().origin, Origin::Own);
    assert!(own.open_layer(&diff_id).is_ok());
    check(&own);
    assert!(matches!(own.resolve("focal"), Err(StoreError::NoSuchImage { .. })));
}

#[test]
fn ones_own_image_hides_the_systems() {
    let dir = tempfile::tempdir().unwrap();
    let system = Store::open(&OpenOptions::new(dir.path().join("system"))).unwrap();
    add(&system, "focal", "system's");
    let own = Store::open(&OpenOptions::new(dir.path().join("own")).fallback(system.root())).unwrap();
    let mine = add(&own, "focal", "mine");
    assert_eq!(own.resolve("focal").unwrap().id(), mine.id());
}

#[test]
fn a_store_open_for_reading_is_never_changed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let image = add(&Store::open(&OpenOptions::new(&root)).unwrap(), "focal", "x");
    let store = Store::open(&OpenOptions::new(&root).read_only()).unwrap();
    std::fs::remove_file(root.join(format!("layers/{}/index", image.diff_ids()[0].0.hex()))).unwrap();
    assert_eq!(store.layer_index(&image.diff_ids()[0]).unwrap().entries().len(), 1);
    assert!(store.fsck(Default::default()).unwrap().is_sound());
    let results = [
        store.lease().map(|_| ()),
        store.tag("focal", &name("y")).map(|_| ()),
        store.remove_image("focal", true).map(|_| ()),
        store.sweep().map(|_| ()),
        store.prune_images(true, |_| false).map(|_| ()),
        store.fsck(bedplate_store::FsckOptions { fix: true }).map(|_| ()),
    ];
    for result in results {
        assert!(matches!(result, Err(StoreError::ReadOnly { .. })), "{result:?}");
    }
}

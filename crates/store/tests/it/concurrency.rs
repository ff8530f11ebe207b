//! Eight writers and readers at once.

use std::sync::atomic::{AtomicBool, Ordering};

use bedplate_store::StoreError;

use crate::support::{add_under, check, name, open, store, tar};

#[test]
fn eight_writers_and_readers_at_once() {
    let (_dir, store) = store();
    let root = store.root();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                scope.spawn(move || {
                    // A store of one's own, as another process has it.
                    let store = open(root);
                    for round in 0..15 {
                        let lease = store.lease().unwrap();
                        let shared = tar(&[("shared", format!("{}", round % 3).as_bytes())]);
                        let own = tar(&[("own", format!("{writer} {round}").as_bytes())]);
                        let names = [name(&format!("w{writer}:{round}")), name("everybodys")];
                        add_under(&lease, &[shared, own], &names);
                        drop(lease);
                        if round % 3 == 2 {
                            store.remove_image(&format!("w{writer}:{}", round - 1), false).unwrap();
                        }
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                let store = open(root);
                while !stop.load(Ordering::Relaxed) {
                    for image in store.images().unwrap() {
                        // Removed between the look at the list and at the image; nothing else may be wrong.
                        let Ok(image) = image else { continue };
                        for diff_id in image.diff_ids() {
                            match store.layer_index(diff_id) {
                                Ok(index) => assert_eq!(index.entries().len(), 1),
                                Err(StoreError::LayerMissing { .. }) => {}
                                Err(other) => panic!("{other}"),
                            }
                        }
                    }
                    match store.resolve("everybodys") {
                        Ok(_) | Err(StoreError::NoSuchImage { .. } | StoreError::BlobMissing { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
        scope.spawn(|| {
            let store = open(root);
            while !stop.load(Ordering::Relaxed) {
                store.sweep().unwrap();
            }
        });
        scope.spawn(|| {
            let store = open(root);
            while !stop.load(Ordering::Relaxed) {
                check(&store);
                store.usage().unwrap();
            }
        });
        let results: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok));
    });
    check(&store);
    for writer in 0..4 {
        for round in 0..15 {
            let wanted = format!("w{writer}:{round}");
            assert_eq!(store.resolve(&wanted).is_ok(), round % 3 != 1, "{wanted}");
        }
    }
    assert_eq!(std::fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
}

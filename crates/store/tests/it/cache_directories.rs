//! Directories that live from build to build.

use std::fs;

use bedplate_oci::Digest;
use bedplate_store::{CacheKind, CacheSharing, StoreError};

use crate::support::{check, store};

fn nothing(_: &std::path::Path) -> Result<(), StoreError> {
    Ok(())
}

#[test]
fn a_directory_is_filled_once_and_kept_until_the_cache_is_emptied() {
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let id = Digest::of(b"apt");
    let open = |text: &'static str| {
        let fill = |path: &std::path::Path| -> Result<(), StoreError> {
            fs::write(path.join("seed"), text).unwrap();
            Ok(())
        };
        lease.cache_directory(&id, CacheSharing::Shared, fill).unwrap()
    };
    let first = open("first");
    fs::write(first.path().join("more"), "x").unwrap();
    // Two at once have the same.
    let second = open("second");
    assert_eq!(first.path(), second.path());
    assert_eq!(fs::read_to_string(second.path().join("seed")).unwrap(), "first");
    assert!(second.path().join("more").exists());
    assert_eq!(store.empty_cache(CacheKind::Mounts, None).unwrap(), None, "it is in use");
    drop((first, second));
    store.sweep().unwrap();
    assert!(open("third").path().join("more").exists(), "a sweep is no reason to go");
    assert!(store.empty_cache(CacheKind::Mounts, None).unwrap().unwrap() > 0);
    assert_eq!(fs::read_to_string(open("fourth").path().join("seed")).unwrap(), "fourth");
    check(&store);
}

#[test]
fn what_fails_to_be_filled_is_not_there() {
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let id = Digest::of(b"apt");
    let error = lease.cache_directory(&id, CacheSharing::Locked, |path| {
        fs::write(path.join("half"), "x").unwrap();
        Err(StoreError::NotAStore { path: "x".into() })
    });
    assert!(matches!(error, Err(StoreError::NotAStore { .. })));
    let made = lease.cache_directory(&id, CacheSharing::Locked, nothing).unwrap();
    assert_eq!(fs::read_dir(made.path()).unwrap().count(), 0);
}

#[test]
fn who_wants_one_alone_gets_another_while_the_first_is_used() {
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let id = Digest::of(b"apt");
    let first = lease.cache_directory(&id, CacheSharing::Private, nothing).unwrap();
    let second = lease.cache_directory(&id, CacheSharing::Private, nothing).unwrap();
    assert_ne!(first.path(), second.path());
    let path = first.path().to_owned();
    drop(first);
    assert_eq!(lease.cache_directory(&id, CacheSharing::Private, nothing).unwrap().path(), path);
}

#[test]
fn one_waits_for_another() {
    let (_dir, store) = store();
    let lease = store.lease().unwrap();
    let id = Digest::of(b"apt");
    let first = lease.cache_directory(&id, CacheSharing::Locked, nothing).unwrap();
    let file = first.path().join("order");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let second = lease.cache_directory(&id, CacheSharing::Locked, nothing).unwrap();
            fs::read_to_string(second.path().join("order")).unwrap()
        });
        // Whatever time the other takes to come here, it reads what was written before the first let go.
        fs::write(&file, "first").unwrap();
        drop(first);
        assert_eq!(waiting.join().unwrap(), "first");
    });
}

//! file: addresses.

use bedplate_fetch::{Expected, FetchError};
use bedplate_oci::Digest;

use crate::{ANYTHING, get, message};

#[test]
fn are_read_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a b");
    std::fs::write(&path, "content").unwrap();
    let url = format!("file://{}", path.display());
    let (result, sink) = get(&url, Expected { digest: Some(Digest::of(b"content")), size: Some(7), max_size: 7 });
    assert_eq!(result.unwrap().size, 7);
    assert_eq!(sink, b"content");
    let cases = [
        // digest                 | size   | limit | part of the message
        (Some(Digest::of(b"")), None, 7, "digest mismatch"),
        (None, Some(8), 9, "expected 8 bytes, found 7"),
        (None, None, 6, "larger than the limit of 6 bytes"),
    ];
    for (digest, size, max_size, expected) in cases {
        let error = get(&url, Expected { digest, size, max_size }).0.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn only_regular_files() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        // url                                            | part of the message
        (format!("file://{}", folder.path().display()), "no regular file"),
        (format!("file://{}/missing", folder.path().display()), "No such file"),
        ("file:///dev/zero".to_owned(), "no regular file"),
    ];
    for (url, expected) in cases {
        let error = get(&url, ANYTHING).0.unwrap_err();
        assert!(matches!(error, FetchError::File { .. }), "{error:?}");
        assert!(message(&error).contains(expected), "{}", message(&error));
    }
}

//! Redirects, and what must not go along.

use bedplate_fetch::FetchError;

use crate::server::{Reply, Server};
use crate::{ANYTHING, get, message};

#[test]
fn are_followed_and_reported() {
    for status in [301, 302, 303, 307, 308] {
        let server = Server::start(move |asked| match asked.target.as_str() {
            "/a/start" => Reply::redirect(status, "../b/end?x=1"),
            "/b/end?x=1" => Reply::new(200, b"here"),
            other => Reply::new(404, other.as_bytes()),
        });
        let (result, sink) = get(&server.url("/a/start"), ANYTHING);
        assert_eq!(result.unwrap().url.to_string(), server.url("/b/end?x=1"));
        assert_eq!(sink, b"here");
    }
}

#[test]
fn a_loop_ends() {
    let server = Server::start(|_| Reply::redirect(302, "/again"));
    let error = get(&server.url("/"), ANYTHING).0.unwrap_err();
    assert!(matches!(error, FetchError::TooManyRedirects { limit: 10, .. }), "{error}");
    assert!(error.to_string().contains("more than 10 redirects, the last to http://"), "{error}");
    assert_eq!(server.asked().len(), 11);
}

#[test]
fn that_lead_nowhere() {
    let cases = [
        // Location                | part of the message
        (None, "cannot follow the redirect (status 302)"),
        (Some("ftp://me:hunter2@h/"), "scheme \"ftp\" is not supported"),
        (Some("http://"), "empty host"),
        (Some("file:///etc/passwd"), "refused"),
    ];
    for (location, expected) in cases {
        let server = Server::start(move |_| match location {
            Some(location) => Reply::redirect(302, location),
            None => Reply::new(302, b""),
        });
        let (result, sink) = get(&server.url("/"), ANYTHING);
        let text = message(&result.unwrap_err());
        assert!(text.contains(expected) && !text.contains("hunter2"), "{text}");
        assert!(sink.is_empty());
    }
}

#[test]
fn credentials_stay_with_their_host() {
    let other = Server::start(|_| Reply::new(200, b"other"));
    let port = other.address.port();
    let server = Server::start(move |asked| match asked.target.as_str() {
        "/here" => Reply::redirect(302, "/there"),
        "/there" => Reply::redirect(302, format!("http://b.example:{port}/")),
        _ => Reply::new(404, b""),
    });
    let url = format!("http://me:hunter2@a.example:{}/here", server.address.port());
    let response = get(&url, ANYTHING).0.unwrap();
    assert_eq!(response.url.to_string(), format!("http://b.example:{port}/"));
    let basic = Some("Basic bWU6aHVudGVyMg==");
    let seen: Vec<_> = server.asked().iter().map(|asked| asked.header("authorization").map(str::to_owned)).collect();
    assert_eq!(seen, [basic.map(str::to_owned), basic.map(str::to_owned)]);
    assert!(server.asked().iter().all(|asked| !asked.target.contains("hunter2")));
    assert_eq!(other.asked()[0].header("authorization"), None);
    // The port counts, too: another server of the same machine is not the one they are for.
    assert_eq!(server.asked()[0].header("host"), Some(format!("a.example:{}", server.address.port()).as_str()));
}

#[test]
fn credentials_do_not_show_in_errors() {
    let server = Server::start(|asked| match asked.target.as_str() {
        "/redirect" => Reply::redirect(302, "/gone?X-Amz-Signature=hunter2"),
        "/loop" => Reply::redirect(302, "/loop"),
        "/ftp" => Reply::redirect(302, "ftp://u:hunter2@h/"),
        _ => Reply::new(404, b""),
    });
    for path in ["/gone", "/redirect", "/loop", "/ftp", "/x?token=hunter2"] {
        let url = format!("http://me:hunter2@{}{path}", server.address);
        let error = get(&url, ANYTHING).0.unwrap_err();
        let text = format!("{} {error:?}", message(&error));
        assert!(!text.contains("hunter2"), "{path}: {text}");
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [format!("http://me:hunter2@{closed}/"), "http://me:hunter2@missing.example/".to_owned()] {
        let error = get(&url, ANYTHING).0.unwrap_err();
        let text = format!("{} {error:?}", message(&error));
        assert!(!text.contains("hunter2"), "{text}");
    }
}

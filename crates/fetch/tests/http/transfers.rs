//! One URL, one server: sizes, digests, interruptions.

use std::time::{Duration, Instant};

use bedplate_fetch::{Event, Expected, FetchError, Fetcher, Phase, Url};
use bedplate_oci::Digest;

use crate::server::{Reply, Server};
use crate::{ANYTHING, content, get, get_with, message, options};

#[test]
fn brings_bytes_and_what_is_known_of_them() {
    let body = content(600_000);
    let served = body.clone();
    let server = Server::start(move |_| {
        Reply::new(200, &served)
            .with("ETag", "\"tag\"")
            .with("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")
            .with("Content-Type", "application/x-tar")
    });
    let expected = Expected { digest: Some(Digest::of(&body)), size: Some(600_000), max_size: 600_000 };
    let (result, sink) = get(&server.url("/a/b.tar?c=d"), expected);
    let response = result.unwrap();
    assert!(sink == body);
    assert_eq!(response.etag.as_deref(), Some("\"tag\""));
    assert_eq!(response.last_modified, Some(784_111_777));
    assert_eq!(response.content_type.as_deref(), Some("application/x-tar"));
    assert_eq!((response.size, response.digest), (600_000, Digest::of(&body)));
    let asked = &server.asked()[0];
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/a/b.tar?c=d"));
    assert_eq!(asked.header("user-agent"), Some("bedplate"));
    assert_eq!(asked.header("accept-encoding"), Some("identity"));
    assert_eq!((asked.header("range"), asked.header("authorization")), (None, None));
}

#[test]
fn reuses_its_connection() {
    let server = Server::start(|asked| Reply::new(200, asked.target.as_bytes()));
    let fetcher = Fetcher::new(options());
    for path in ["/one", "/two", "/three"] {
        let mut sink = Vec::new();
        fetcher.get(&Url::parse(&server.url(path)).unwrap(), ANYTHING, &mut sink).unwrap();
        assert_eq!(sink, path.as_bytes());
    }
}

#[test]
fn bodies_in_chunks_and_bodies_without_a_length() {
    let server = Server::start(|asked| match asked.target.as_str() {
        "/open" => Reply { unannounced: true, ..Reply::new(200, b"until the end") },
        _ => Reply { unannounced: true, ..Reply::new(200, b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n") }
            .with("Transfer-Encoding", "chunked"),
    });
    assert_eq!(get(&server.url("/open"), ANYTHING).1, b"until the end");
    assert_eq!(get(&server.url("/chunks"), ANYTHING).1, b"hello world");
}

#[test]
fn refuses_what_is_not_expected() {
    let body = content(1000);
    let right = Digest::of(&body);
    let wrong = Digest::of(b"");
    let server = Server::start(move |asked| Reply { unannounced: asked.target == "/open", ..Reply::new(200, &body) });
    let cases = [
        // path   | digest     | size       | limit | part of the message, empty for success
        ("/fixed", Some(right), Some(1000), 1000, ""),
        ("/open", Some(right), Some(1000), 1000, ""),
        ("/fixed", Some(wrong), None, 1000, "digest mismatch: expected sha256:e3b0c442"),
        ("/open", Some(wrong), None, 1000, "digest mismatch"),
        ("/fixed", None, Some(999), 2000, "expected 999 bytes, found 1000"),
        ("/fixed", None, Some(1001), 2000, "expected 1001 bytes, found 1000"),
        ("/open", None, Some(999), 2000, "expected 999 bytes, found 1000"),
        ("/open", None, Some(1001), 2000, "transfer ended after 1000 of 1001 bytes"),
        ("/fixed", None, None, 999, "larger than the limit of 999 bytes"),
        ("/open", None, None, 999, "larger than the limit of 999 bytes"),
    ];
    for (path, digest, size, max_size, expected) in cases {
        let (result, sink) = get(&server.url(path), Expected { digest, size, max_size });
        match result {
            Ok(_) => assert!(expected.is_empty(), "{path} {digest:?} {size:?} {max_size}"),
            Err(error) => {
                let text = message(&error);
                assert!(!expected.is_empty() && text.contains(expected), "{path} {size:?} {max_size}: {text}");
                assert!(text.starts_with(&format!("GET {}", server.url(path))), "{text}");
                // What came short may come whole the next time.
                assert_eq!(error.is_input_error(), !error.is_transient(), "{text}");
            }
        }
        assert!(sink.len() as u64 <= max_size);
    }
}

#[test]
fn a_status_names_itself_and_is_not_tried_again() {
    for status in [204, 304, 400, 401, 403, 404, 410, 501] {
        let server = Server::start(move |_| Reply::new(status, b""));
        let error = get(&server.url("/x"), ANYTHING).0.unwrap_err();
        assert!(matches!(error, FetchError::Status { status: found, .. } if found == status), "{error}");
        assert!(error.to_string().contains(&format!("/x: status {status} ")), "{error}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[test]
fn a_busy_server_is_asked_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let server = Server::start(move |asked| match asked.number {
            0 | 1 => Reply::new(status, b"later").with("Retry-After", "3600"),
            _ => Reply::new(200, b"now"),
        });
        let (result, sink) = get(&server.url("/"), ANYTHING);
        assert_eq!((result.unwrap().size, sink.as_slice()), (3, &b"now"[..]), "{status}");
        assert_eq!(server.asked().len(), 3);
    }
    let server = Server::start(|_| Reply::new(503, b""));
    let error = get(&server.url("/"), ANYTHING).0.unwrap_err();
    assert!(error.to_string().ends_with("status 503 Service Unavailable"), "{error}");
    assert_eq!(server.asked().len(), 4, "one attempt and three more");
}

#[test]
fn a_broken_transfer_goes_on_where_it_ended() {
    let body = content(1_000_000);
    let served = body.clone();
    let server = Server::start(move |asked| {
        let reply = match asked.range_start() {
            Some(start) => Reply::partial(&served, start),
            None => Reply::new(200, &served),
        };
        let cut = (asked.number < 2).then_some(400_000.min(reply.body.len()));
        Reply { cut, ..reply }.with("ETag", "\"one\"")
    });
    let mut events = Vec::new();
    let mut sink = Vec::new();
    let expected = Expected { digest: Some(Digest::of(&body)), ..ANYTHING };
    let url = Url::parse(&server.url("/")).unwrap();
    let response = Fetcher::new(options())
        .get_observed(&url, expected, &mut sink, &mut |event| {
            events.push(match event {
                Event::Started { total, received } => format!("{received} of {total:?}"),
                Event::Retrying { error, .. } => error.to_string(),
            });
        })
        .unwrap();
    assert_eq!(response.size, 1_000_000);
    assert!(sink == body);
    let asked = server.asked();
    let ranges: Vec<_> = asked.iter().map(|asked| (asked.header("range"), asked.header("if-range"))).collect();
    assert_eq!(
        ranges,
        [(None, None), (Some("bytes=400000-"), Some("\"one\"")), (Some("bytes=800000-"), Some("\"one\"")),]
    );
    assert_eq!(events[0], "0 of Some(1000000)");
    assert!(events[1].ends_with("transfer ended after 400000 of 1000000 bytes"), "{}", events[1]);
    assert_eq!(events[2], "400000 of Some(1000000)");
}

#[test]
fn a_server_without_ranges_serves_the_start_again() {
    let body = content(500_000);
    let served = body.clone();
    let server =
        Server::start(move |asked| Reply { cut: (asked.number == 0).then_some(300_000), ..Reply::new(200, &served) });
    let (result, sink) = get(&server.url("/"), ANYTHING);
    assert_eq!(result.unwrap().digest, Digest::of(&body));
    assert!(sink == body);
    // Neither tag nor date nor digest: a range could be of something else.
    assert_eq!(server.asked()[1].header("range"), None);
}

#[test]
fn content_that_changes_in_between_is_no_content() {
    let (old, new) = (content(500_000), vec![7; 500_000]);
    let server = Server::start(move |asked| match asked.number {
        0 => Reply { cut: Some(300_000), ..Reply::new(200, &old) }.with("ETag", "\"old\""),
        _ => Reply::new(200, &new).with("ETag", "\"new\""),
    });
    let error = get(&server.url("/"), ANYTHING).0.unwrap_err();
    assert!(matches!(error, FetchError::Changed { received: 300_000, .. }), "{error}");
    assert_eq!(server.asked()[1].header("if-range"), Some("\"old\""));

    let body = content(1000);
    let server = Server::start(move |asked| match asked.number {
        0 => Reply { cut: Some(300), ..Reply::new(200, &body) }.with("ETag", "\"x\""),
        _ => Reply::new(206, &body[300..900]).with("Content-Range", "bytes 300-899/900"),
    });
    let error = get(&server.url("/"), ANYTHING).0.unwrap_err();
    assert!(matches!(error, FetchError::Changed { received: 300, .. }), "{error}");
}

#[test]
fn lying_ranges_are_refused() {
    let cases = [
        // Content-Range of the second answer | part of the message
        (Some("bytes 0-999/1000"), "another range"),
        (Some("bytes 301-999/1000"), "another range"),
        (Some("nonsense"), "without a usable Content-Range"),
        (None, "without a usable Content-Range"),
    ];
    for (range, expected) in cases {
        let body = content(1000);
        let server = Server::start(move |asked| match (asked.number, range) {
            (0, _) => Reply { cut: Some(300), ..Reply::new(200, &body) }.with("ETag", "\"x\""),
            (_, Some(range)) => Reply::new(206, &body[300..]).with("Content-Range", range),
            (_, None) => Reply::new(206, &body[300..]),
        });
        let error = get(&server.url("/"), ANYTHING).0.unwrap_err();
        assert!(error.to_string().contains(expected), "{range:?}: {error}");
    }
    let server = Server::start(|_| Reply::partial(b"unasked", 0));
    let error = get(&server.url("/"), ANYTHING).0.unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 206, .. }), "{error}");
}

#[test]
fn a_range_that_does_not_exist_is_not_asked_for_twice() {
    let body = content(1000);
    let served = body.clone();
    let server = Server::start(move |asked| match (asked.number, asked.range_start()) {
        (0, _) => Reply { cut: Some(300), ..Reply::new(200, &served) }.with("ETag", "\"x\""),
        (_, Some(_)) => Reply::new(416, b""),
        (_, None) => Reply::new(200, &served),
    });
    let (result, sink) = get(&server.url("/"), ANYTHING);
    assert_eq!(result.unwrap().size, 1000);
    assert!(sink == body);
}

#[test]
fn a_transfer_that_never_gets_on_ends() {
    let server = Server::start(|_| Reply { cut: Some(0), ..Reply::new(200, b"never") });
    let error = get(&server.url("/"), ANYTHING).0.unwrap_err();
    assert!(matches!(error, FetchError::Truncated { received: 0, expected: 5, .. }), "{error}");
    assert_eq!(server.asked().len(), 4);
    // One byte a time: the bound on all attempts holds.
    let mut options = options();
    options.limits.resumes = 5;
    let body = content(100);
    let server = Server::start(move |asked| {
        let reply = match asked.range_start() {
            Some(start) => Reply::partial(&body, start),
            None => Reply::new(200, &body),
        };
        Reply { cut: Some(1), ..reply }.with("ETag", "\"x\"")
    });
    let error = get_with(options, &server.url("/"), ANYTHING).0.unwrap_err();
    assert!(matches!(error, FetchError::Truncated { received: 6, expected: 100, .. }), "{error}");
}

#[test]
fn silence_ends() {
    let long = Duration::from_secs(3);
    let server = Server::start(move |asked| match asked.target.as_str() {
        "/head" => {
            std::thread::sleep(long);
            Reply::new(200, b"")
        }
        _ => Reply { hang: Some((2, long)), ..Reply::new(200, b"body") },
    });
    let mut options = options();
    options.limits.retries = 0;
    let cases = [("/head", Phase::Waiting), ("/body", Phase::Receiving)];
    for (path, expected) in cases {
        let begun = Instant::now();
        let error = get_with(options.clone(), &server.url(path), ANYTHING).0.unwrap_err();
        assert!(matches!(error, FetchError::Timeout { phase, .. } if phase == expected), "{path}: {error}");
        assert!(begun.elapsed() < long, "{path}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_silent_server_is_asked_once_more() {
    let server = Server::start(|_| Reply { hang: Some((0, Duration::from_secs(3))), ..Reply::new(200, b"body") });
    let error = get(&server.url("/"), ANYTHING).0.unwrap_err();
    assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_hanging_transfer_goes_on_elsewhere() {
    let body = content(1000);
    let served = body.clone();
    let server = Server::start(move |asked| match asked.range_start() {
        None => Reply { hang: Some((400, Duration::from_secs(3))), ..Reply::new(200, &served) }.with("ETag", "\"x\""),
        Some(start) => Reply::partial(&served, start).with("ETag", "\"x\""),
    });
    let (result, sink) = get(&server.url("/"), ANYTHING);
    assert_eq!(result.unwrap().size, 1000);
    assert!(sink == body);
}

#[test]
fn nonsense_is_an_error() {
    let server = Server::start_on(
        |_| Reply::default(),
        |mut stream, _| {
            use std::io::Write;
            crate::server::read_request(&mut stream);
            stream.write_all(b"220 smtp.example ESMTP\r\n\r\n").unwrap();
        },
    );
    let mut options = options();
    options.limits.retries = 0;
    let error = get_with(options, &server.url("/"), ANYTHING).0.unwrap_err();
    assert!(message(&error).starts_with("GET http://127.0.0.1:"), "{}", message(&error));
}

#[test]
fn nobody_there() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = get(&format!("http://{closed}/"), ANYTHING).0.unwrap_err();
    assert!(matches!(error, FetchError::Connection { .. }), "{error:?}");
    assert!(message(&error).to_lowercase().contains("refused"), "{}", message(&error));
}

#[test]
fn a_failing_sink_ends_the_transfer() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let server = Server::start(|_| Reply::new(200, b"bytes"));
    let url = Url::parse(&server.url("/")).unwrap();
    let error = Fetcher::new(options()).get(&url, ANYTHING, &mut Full).unwrap_err();
    assert!(matches!(error, FetchError::Sink { .. }), "{error}");
    assert_eq!(server.asked().len(), 1);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]

    /// However often and wherever a transfer breaks, with or without ranges: the same bytes, once.
    #[test]
    fn breaks_anywhere(cuts in proptest::collection::vec((0_usize..3000, proptest::bool::ANY), 0..6)) {
        let body = content(5000);
        let served = body.clone();
        let server = Server::start(move |asked| {
            let (cut, ranges) = match cuts.get(asked.number) {
                Some((cut, ranges)) => (Some(*cut), *ranges),
                None => (None, true),
            };
            let reply = match asked.range_start() {
                Some(start) if ranges => Reply::partial(&served, start),
                _ => Reply::new(200, &served),
            };
            let cut = cut.map(|cut| cut.min(reply.body.len()));
            Reply { cut, ..reply }.with("ETag", "\"x\"")
        });
        let mut options = options();
        options.limits.retries = 10;
        let (result, sink) = get_with(options, &server.url("/"), ANYTHING);
        proptest::prop_assert_eq!(result.unwrap().digest, Digest::of(&body));
        proptest::prop_assert!(sink == body);
    }
}

//! Plain http through a proxy, and hosts that are reached without it.

use bedplate_fetch::{FetchError, Options, Proxies};

use crate::server::{Reply, Server};
use crate::{ANYTHING, get_with, message, options};

fn through(http: &str, none: Option<&str>) -> Options {
    Options { proxies: Proxies::new(Some(http), None, None, none).unwrap(), ..options() }
}

#[test]
fn a_proxy_is_asked_for_the_whole_url() {
    let proxy = Server::start(|asked| match asked.target.as_str() {
        "http://unknown.invalid/a?b" => Reply::redirect(302, "http://other.invalid:81/c"),
        "http://other.invalid:81/c" => Reply::new(200, b"through"),
        _ => Reply::new(404, b""),
    });
    let options = through(&format!("http://u:p%40ss@proxy.example:{}", proxy.address.port()), None);
    let (result, sink) = get_with(options, "http://me:pw@unknown.invalid/a?b", ANYTHING);
    assert_eq!(result.unwrap().url.to_string(), "http://other.invalid:81/c");
    assert_eq!(sink, b"through");
    let asked = proxy.asked();
    let header = |at: usize, name: &str| asked[at].header(name).map(str::to_owned);
    assert_eq!(header(0, "host").as_deref(), Some("unknown.invalid"));
    assert_eq!(header(0, "authorization").as_deref(), Some("Basic bWU6cHc="));
    assert_eq!(header(1, "authorization"), None);
    for at in 0..2 {
        assert_eq!(header(at, "proxy-authorization").as_deref(), Some("Basic dTpwQHNz"));
    }
}

#[test]
fn several_requests_on_one_connection_are_all_rewritten() {
    let proxy = Server::start(|asked| Reply::new(200, asked.target.as_bytes()));
    let fetcher = bedplate_fetch::Fetcher::new(through(&format!("http://{}", proxy.address), None));
    for path in ["/one", "/two"] {
        let mut sink = Vec::new();
        let url = format!("http://host.invalid{path}");
        fetcher.get(&url.parse().unwrap(), ANYTHING, &mut sink).unwrap();
        assert_eq!(String::from_utf8(sink).unwrap(), url);
    }
}

#[test]
fn exceptions_are_reached_directly() {
    let proxy = Server::start(|_| Reply::new(200, b"proxy"));
    let server = Server::start(|_| Reply::new(200, b"direct"));
    let url = format!("http://a.example:{}/", server.address.port());
    let proxy = format!("http://{}", proxy.address);
    assert_eq!(get_with(through(&proxy, None), &url, ANYTHING).1, b"proxy");
    assert_eq!(get_with(through(&proxy, Some("x.test,example")), &url, ANYTHING).1, b"direct");
    assert_eq!(get_with(through(&proxy, None), &server.url("/"), ANYTHING).1, b"direct", "loopback");
}

#[test]
fn a_proxy_that_is_not_there() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = through(&format!("http://u:hunter2@{closed}"), None);
    let error = get_with(options, "http://host.invalid/", ANYTHING).0.unwrap_err();
    assert!(matches!(error, FetchError::Connection { .. }), "{error:?}");
    assert!(!format!("{} {error:?}", message(&error)).contains("hunter2"));
    let error = get_with(through("http://nobody.invalid", None), "http://host.invalid/", ANYTHING).0.unwrap_err();
    assert!(error.to_string().contains("cannot resolve host \"nobody.invalid\""), "{error}");
}

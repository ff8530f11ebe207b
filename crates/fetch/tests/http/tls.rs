//! HTTPS with a root of our own, alone and through a tunnel.

use std::path::PathBuf;
use std::sync::Arc;

use bedplate_fetch::{ClientFiles, FetchError, Options, Proxies};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::server::{Asked, Reply, Server, TunnelProxy};
use crate::{ANYTHING, get_with, message, options};

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/http/certs", name].iter().collect()
}

/// A server that speaks TLS as `localhost` and `secure.example`.
fn secure(handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
    secure_for(handler, rustls::server::WebPkiClientVerifier::no_client_auth())
}

/// The same, which asks for the client's certificate.
fn secure_for(
    handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    clients: Arc<dyn rustls::server::danger::ClientCertVerifier>,
) -> Server {
    let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    Server::start_on(handler, move |stream, serve| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        serve(&mut rustls::StreamOwned::new(connection, stream));
    })
}

fn trusting() -> Options {
    Options { ca_bundle: Some(file("ca.pem")), ..options() }
}

#[test]
fn believes_the_given_root_only() {
    let server = secure(|_| Reply::new(200, b"secret"));
    let port = server.address.port();
    assert_eq!(get_with(trusting(), &format!("https://secure.example:{port}/"), ANYTHING).1, b"secret");
    let cases = [
        // options  | host             | why it is refused
        (options(), "secure.example", "UnknownIssuer"),
        (trusting(), "a.example", "not valid for name"),
    ];
    for (options, host, reason) in cases {
        let error = get_with(options, &format!("https://{host}:{port}/"), ANYTHING).0.unwrap_err();
        assert!(matches!(error, FetchError::Tls { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    assert_eq!(server.asked().len(), 1, "a refused certificate is not tried again");
}

#[test]
fn any_server_is_believed_where_that_is_asked_for() {
    let server = secure(|_| Reply::new(200, b"secret"));
    let url = format!("https://a.example:{}/", server.address.port());
    assert_eq!(get_with(Options { any_server: true, ..options() }, &url, ANYTHING).1, b"secret");
}

#[test]
fn servers_may_ask_who_is_asking() {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("client.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let server = secure_for(|_| Reply::new(200, b"secret"), verifier.build().unwrap());
    let url = format!("https://secure.example:{}/", server.address.port());
    let with = |certificate: &str, key: Option<&str>| {
        let client = ClientFiles { certificate: file(certificate), key: key.map(file) };
        get_with(Options { client: Some(client), ..trusting() }, &url, ANYTHING)
    };
    assert_eq!(with("client.pem", None).1, b"secret");
    assert!(with("server.pem", Some("server.key")).0.is_err(), "a stranger");
    assert!(get_with(trusting(), &url, ANYTHING).0.is_err(), "nobody");
    let error = with("server.key", None).0.unwrap_err().to_string();
    assert!(error.contains("holds no certificate"), "{error}");
    let error = with("server.pem", None).0.unwrap_err().to_string();
    assert!(error.contains("server.pem\" cannot be used"), "{error}");
}

#[test]
fn https_is_not_left() {
    let plain = Server::start(|_| Reply::new(200, b"plain"));
    let port = plain.address.port();
    let server = secure(move |_| Reply::redirect(302, format!("http://a.example:{port}/")));
    let url = format!("https://secure.example:{}/", server.address.port());
    let error = get_with(trusting(), &url, ANYTHING).0.unwrap_err();
    assert!(matches!(error, FetchError::Downgrade { .. }), "{error}");
    assert!(error.to_string().contains(&format!("redirect to http://a.example:{port}/ refused")), "{error}");
    assert!(plain.asked().is_empty());
}

#[test]
fn http_may_become_https() {
    let server = secure(|_| Reply::new(200, b"secret"));
    let port = server.address.port();
    let plain = Server::start(move |_| Reply::redirect(301, format!("https://secure.example:{port}/")));
    assert_eq!(get_with(trusting(), &plain.url("/"), ANYTHING).1, b"secret");
}

#[test]
fn through_a_tunnel() {
    let server = secure(|asked| Reply::new(200, asked.target.as_bytes()));
    let proxy = TunnelProxy::start(server.address, 200);
    let address = format!("http://u:p%40ss@proxy.example:{}", proxy.address.port());
    let proxies = Proxies::new(None, Some(&address), None, None).unwrap();
    let url = "https://secure.example:4433/path";
    let (result, sink) = get_with(Options { proxies, ..trusting() }, url, ANYTHING);
    result.unwrap();
    assert_eq!(sink, b"/path");
    let asked = &proxy.asked()[0];
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("CONNECT", "secure.example:4433"));
    assert_eq!(asked.header("proxy-authorization"), Some("Basic dTpwQHNz"));
    assert_eq!(server.asked()[0].header("proxy-authorization"), None);
}

#[test]
fn a_tunnel_that_is_refused() {
    let proxy = TunnelProxy::start("127.0.0.1:1".parse().unwrap(), 403);
    let address = format!("http://u:hunter2@{}", proxy.address);
    let proxies = Proxies::new(None, Some(&address), None, None).unwrap();
    let error = get_with(Options { proxies, ..trusting() }, "https://secure.example/", ANYTHING).0.unwrap_err();
    let text = format!("{} {error:?}", message(&error));
    assert!(text.contains("403") && text.contains("proxy http://***@127.0.0.1:"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_bundle_that_is_missing_is_named() {
    let options = Options { ca_bundle: Some("/nonexistent/bundle.pem".into()), ..options() };
    let error = get_with(options, "https://secure.example/", ANYTHING).0.unwrap_err();
    assert!(error.to_string().contains("\"/nonexistent/bundle.pem\""), "{error}");
}

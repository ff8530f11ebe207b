//! An HTTP server that does what a test tells it, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    /// How many requests came before.
    pub(crate) number: usize,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The start of the range asked for.
    pub(crate) fn range_start(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What the server does with a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Announce no length.
    pub(crate) unannounced: bool,
    /// Send so many bytes of the body, then close the connection.
    pub(crate) cut: Option<usize>,
    /// Send so many bytes of the body, then say nothing more for this long.
    pub(crate) hang: Option<(usize, Duration)>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: &[u8]) -> Self {
        Self { status, body: body.to_vec(), ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn redirect(status: u16, to: impl Into<String>) -> Self {
        Self::new(status, b"elsewhere").with("Location", to)
    }

    /// The rest of `body` from `start` on as a partial answer.
    pub(crate) fn partial(body: &[u8], start: usize) -> Self {
        let range = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
        Self::new(206, &body[start..]).with("Content-Range", range)
    }
}

/// A running server; it ends with the test process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub(crate) fn start(handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_on(handler, |stream, serve| serve(&mut { stream }))
    }

    /// As [`Server::start`], with each connection wrapped, as in TLS.
    pub(crate) fn start_on(
        handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
        wrap: impl Fn(TcpStream, &dyn Fn(&mut dyn Connection)) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, shared) = (Arc::clone(&asked), Arc::new((handler, wrap)));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, shared) = (Arc::clone(&log), Arc::clone(&shared));
                std::thread::spawn(move || {
                    let (handler, wrap) = &*shared;
                    wrap(stream.unwrap(), &|connection| serve(connection, handler, &log));
                });
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// What carries requests and replies.
pub(crate) trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

fn serve(connection: &mut dyn Connection, handler: &dyn Fn(&Asked) -> Reply, log: &Mutex<Vec<Asked>>) {
    while let Some(mut asked) = read_request(connection) {
        asked.number = log.lock().unwrap().len();
        log.lock().unwrap().push(asked.clone());
        if write_reply(connection, &handler(&asked)).is_none() {
            return;
        }
    }
}

/// Reads one head, byte by byte: nothing after it may be swallowed.
pub(crate) fn read_request(connection: &mut dyn Connection) -> Option<Asked> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).unwrap();
    let mut lines = text.lines();
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let (method, target) = (first.next()?, first.next()?);
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Some(Asked { method, target, headers, number: 0 })
}

/// Writes a reply; `None` when the connection must end.
fn write_reply(connection: &mut dyn Connection, reply: &Reply) -> Option<()> {
    let mut head = format!("HTTP/1.1 {} Status\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if reply.unannounced {
        head.push_str("Connection: close\r\n");
    } else {
        head.push_str(&format!("Content-Length: {}\r\n", reply.body.len()));
    }
    connection.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    let sent = reply.cut.or(reply.hang.map(|(sent, _)| sent)).unwrap_or(reply.body.len());
    connection.write_all(&reply.body[..sent]).ok()?;
    connection.flush().ok()?;
    if let Some((_, pause)) = reply.hang {
        std::thread::sleep(pause);
    }
    (!reply.unannounced && reply.cut.is_none() && reply.hang.is_none()).then_some(())
}

/// A proxy that knows `CONNECT`, and leads every tunnel to one address.
pub(crate) struct TunnelProxy {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl TunnelProxy {
    pub(crate) fn start(backend: SocketAddr, status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut client = stream.unwrap();
                let Some(request) = read_request(&mut client) else {
                    continue;
                };
                log.lock().unwrap().push(request);
                client.write_all(format!("HTTP/1.1 {status} Status\r\n\r\n").as_bytes()).unwrap();
                if status == 200 {
                    let server = TcpStream::connect(backend).unwrap();
                    splice(client.try_clone().unwrap(), server.try_clone().unwrap());
                    splice(server, client);
                }
            }
        });
        Self { address, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn splice(from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        loop {
            let count = match from.fill_buf() {
                Ok(bytes) if !bytes.is_empty() && to.write_all(bytes).is_ok() => bytes.len(),
                _ => break,
            };
            from.consume(count);
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

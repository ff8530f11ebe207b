//! An HTTP server inside the test process.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What the server answers for one path.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Header lines beside `Content-Length` and `Connection`.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// Length to claim, where it shall differ from the body's.
    pub claimed: Option<usize>,
}

impl Reply {
    /// A body with status 200.
    #[must_use]
    pub fn ok(body: impl Into<Vec<u8>>) -> Reply {
        Reply { status: 200, headers: Vec::new(), body: body.into(), claimed: None }
    }

    /// An empty answer with a status.
    #[must_use]
    pub fn status(status: u16) -> Reply {
        Reply { status, ..Reply::ok("") }
    }

    /// A redirect.
    #[must_use]
    pub fn redirect(target: &str) -> Reply {
        Reply { status: 302, ..Reply::ok("") }.header("Location", target)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Claims another length than the body has: the connection closes early.
    #[must_use]
    pub fn claiming(mut self, length: usize) -> Reply {
        self.claimed = Some(length);
        self
    }
}

#[derive(Debug, Default)]
struct Shared {
    replies: Mutex<BTreeMap<String, Reply>>,
    requests: AtomicUsize,
}

/// A server on a free port of the loopback device; its thread ends with the process.
#[derive(Debug)]
pub struct Http {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Http {
    /// Starts a server that knows no path.
    ///
    /// # Panics
    /// If no port can be had.
    #[must_use]
    pub fn start() -> Http {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of the loopback device");
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared::default());
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                std::thread::spawn(move || {
                    // A client that goes away is its own business.
                    let _ = answer(stream, &served);
                });
            }
        });
        Http { address, shared }
    }

    /// Sets the answer for a path, e.g. `/a.tar`.
    ///
    /// # Panics
    /// If a serving thread panicked.
    pub fn serve(&self, path: &str, reply: Reply) -> &Http {
        self.shared.replies.lock().expect("no thread panics").insert(path.to_owned(), reply);
        self
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Requests so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

fn answer(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let head = words.next() == Some("HEAD");
    let path = words.next().unwrap_or("/").to_owned();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
    }
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let reply = shared
        .replies
        .lock()
        .ok()
        .and_then(|replies| replies.get(&path).cloned())
        .unwrap_or_else(|| Reply::status(404));
    let mut stream = stream;
    let length = reply.claimed.unwrap_or(reply.body.len());
    write!(stream, "HTTP/1.1 {} X\r\nContent-Length: {length}\r\nConnection: close\r\n", reply.status)?;
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    if !head {
        stream.write_all(&reply.body)?;
    }
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn answers_what_it_was_given() {
        let http = Http::start();
        http.serve("/a", Reply::ok("body").header("Last-Modified", "x"));
        let ask = |path: &str| {
            let mut stream = TcpStream::connect(http.address).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        };
        assert!(ask("/a").ends_with("Last-Modified: x\r\n\r\nbody"));
        assert!(ask("/b").starts_with("HTTP/1.1 404 "));
        assert_eq!(http.requests(), 2);
    }
}

//! An HTTP server inside the test process.

use crate::Random;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a hanging answer waits at most, so that no thread outlives the tests by much.
const HANG: Duration = Duration::from_secs(600);

/// Bytes after which an endless answer ends all the same: more than any limit on what it stands for.
const ENDLESS: usize = 64 << 30;

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
    /// Bytes of the body after which nothing more comes, though the connection stays.
    pub hang_after: Option<usize>,
    /// Whether nothing comes at all, though the connection stays.
    pub silent: bool,
    /// Bytes of the body after which the connection closes.
    pub cut_after: Option<usize>,
    /// Whether the body is repeated without an end, its length not announced.
    pub endless: bool,
    /// Whether a part of the body may be asked for, as resumed downloads do.
    pub ranges: bool,
}

impl Reply {
    /// A body with status 200.
    #[must_use]
    pub fn ok(body: impl Into<Vec<u8>>) -> Reply {
        Reply {
            status: 200,
            headers: Vec::new(),
            body: body.into(),
            claimed: None,
            hang_after: None,
            silent: false,
            cut_after: None,
            endless: false,
            ranges: false,
        }
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

    /// Sends so many bytes of the body and then nothing, without closing.
    #[must_use]
    pub fn hanging(mut self, after: usize) -> Reply {
        self.hang_after = Some(after);
        self
    }

    /// Sends nothing, without closing.
    #[must_use]
    pub fn silent() -> Reply {
        Reply { silent: true, ..Reply::ok("") }
    }

    /// Sends so many bytes of the body and closes, though its whole length was announced.
    #[must_use]
    pub fn cut(mut self, after: usize) -> Reply {
        self.cut_after = Some(after);
        self
    }

    /// Repeats the body without an end.
    #[must_use]
    pub fn endless(mut self) -> Reply {
        self.endless = true;
        self
    }

    /// Answers `Range: bytes=N-` with the rest of the body.
    #[must_use]
    pub fn ranges(mut self) -> Reply {
        self.ranges = true;
        self
    }
}

#[derive(Debug, Default)]
struct Shared {
    replies: Mutex<BTreeMap<String, VecDeque<Arc<Reply>>>>,
    folders: Mutex<Vec<(String, PathBuf)>>,
    requests: AtomicUsize,
    asked: Mutex<Vec<String>>,
    delays: Mutex<Option<(Random, Duration)>>,
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
        self.serve_row(path, [reply])
    }

    /// Sets the answers for a path: one for each request in turn, the last of them for all further ones.
    ///
    /// # Panics
    /// If a serving thread panicked.
    pub fn serve_row(&self, path: &str, replies: impl IntoIterator<Item = Reply>) -> &Http {
        let row = replies.into_iter().map(Arc::new).collect();
        self.shared.replies.lock().expect("no thread panics").insert(path.to_owned(), row);
        self
    }

    /// Serves the files of a folder below `prefix`, e.g. `/debian`; answers for single paths go before.
    ///
    /// # Panics
    /// If a serving thread panicked.
    pub fn serve_folder(&self, prefix: &str, folder: &Path) -> &Http {
        self.shared.folders.lock().expect("no thread panics").push((format!("{prefix}/"), folder.to_owned()));
        self
    }

    /// Lets every answer wait before its head and before the second half of its body, each time up to `longest`: answers
    /// to requests made at once come in an order that only `seed` knows.
    ///
    /// # Panics
    /// If a serving thread panicked.
    pub fn delay(&self, seed: u64, longest: Duration) -> &Http {
        *self.shared.delays.lock().expect("no thread panics") = Some((Random::new(seed), longest));
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

    /// The paths asked for so far, in order of their arrival.
    ///
    /// # Panics
    /// If a serving thread panicked.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("no thread panics").clone()
    }
}

impl Shared {
    fn wait(&self) {
        let pause = self.delays.lock().ok().and_then(|mut delays| {
            let (random, longest) = delays.as_mut()?;
            Some(longest.mul_f64(random.below(1000) as f64 / 1000.0))
        });
        std::thread::sleep(pause.unwrap_or_default());
    }

    fn reply(&self, path: &str) -> Arc<Reply> {
        if let Ok(mut replies) = self.replies.lock() {
            let plain = decoded(path);
            let name = if replies.contains_key(path) { path } else { plain.as_str() };
            let row = replies.get_mut(name);
            let first = row.and_then(|row| if row.len() > 1 { row.pop_front() } else { row.front().cloned() });
            if let Some(reply) = first {
                return reply;
            }
        }
        let folders = self.folders.lock().map(|folders| folders.clone()).unwrap_or_default();
        let body = folders.iter().find_map(|(prefix, folder)| {
            // A query is nothing to a file.
            let name = path.split('?').next()?.strip_prefix(prefix.as_str())?;
            let safe = !name.split('/').any(|part| part == "..");
            if safe { std::fs::read(folder.join(decoded(name))).ok() } else { None }
        });
        Arc::new(body.map_or_else(|| Reply::status(404), |body| Reply::ok(body).ranges()))
    }
}

/// A path without its percent-encoding; `+`, `~` and `:` are what names of packages hold.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn answer(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let head = words.next() == Some("HEAD");
    // apt asks for flat repositories by `/./`.
    let path = words.next().unwrap_or("/").replace("/./", "/");
    let mut from = None;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("range")
        {
            from = value.trim().strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')?.parse().ok());
        }
    }
    shared.requests.fetch_add(1, Ordering::SeqCst);
    if let Ok(mut asked) = shared.asked.lock() {
        asked.push(path.clone());
    }
    shared.wait();
    let reply = shared.reply(&path);
    let from = from.filter(|from| reply.ranges && *from < reply.body.len());
    let mut stream = stream;
    if reply.silent {
        return wait_for_end(&stream, &mut reader);
    }
    let body = &reply.body[from.unwrap_or(0)..];
    let status = if from.is_some() { 206 } else { reply.status };
    write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\n")?;
    if !reply.endless {
        write!(stream, "Content-Length: {}\r\n", reply.claimed.unwrap_or(body.len()))?;
    }
    if let Some(from) = from {
        let whole = reply.body.len();
        write!(stream, "Content-Range: bytes {from}-{}/{whole}\r\n", whole - 1)?;
    }
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    if head {
        return stream.flush();
    }
    let until = reply.hang_after.or(reply.cut_after).unwrap_or(body.len()).min(body.len());
    stream.write_all(&body[..until / 2])?;
    stream.flush()?;
    shared.wait();
    stream.write_all(&body[until / 2..until])?;
    stream.flush()?;
    if reply.hang_after.is_some() {
        wait_for_end(&stream, &mut reader)?;
    }
    let mut sent = until;
    while reply.endless && !body.is_empty() && sent < ENDLESS {
        stream.write_all(body)?;
        sent += body.len();
    }
    stream.flush()
}

/// Waits until the client goes away.
fn wait_for_end(stream: &TcpStream, reader: &mut impl Read) -> std::io::Result<()> {
    stream.set_read_timeout(Some(HANG))?;
    reader.read(&mut [0; 1]).map(|_| ())
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
        assert_eq!(http.asked(), ["/a", "/b"]);
    }

    #[test]
    fn fails_in_every_way() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("c++"), "file").unwrap();
        let http = Http::start();
        http.serve_row("/row", [Reply::status(503), Reply::ok("good")])
            .serve("/cut", Reply::ok("12345").cut(2))
            .serve("/part", Reply::ok("12345").ranges())
            .serve("/hang", Reply::ok("12345").hanging(1))
            .serve("/silent", Reply::silent())
            .serve("/endless", Reply::ok("0123456789").endless())
            .serve_folder("/files", folder.path());
        let open = |path: &str| {
            let mut stream = TcpStream::connect(http.address).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nRange: bytes=3-\r\n\r\n").unwrap();
            stream
        };
        // path | beginning of the answer | its end
        for (path, begin, end) in [
            ("/row", "HTTP/1.1 503 ", "\r\n\r\n"),
            ("/row", "HTTP/1.1 200 ", "good"),
            ("/row", "HTTP/1.1 200 ", "good"),
            ("/cut", "HTTP/1.1 200 ", "Content-Length: 5\r\n\r\n12"),
            ("/part", "HTTP/1.1 206 ", "Content-Range: bytes 3-4/5\r\n\r\n45"),
            ("/files/c%2B+", "HTTP/1.1 206 ", "\r\n\r\ne"),
            ("/files/../x", "HTTP/1.1 404 ", "\r\n\r\n"),
        ] {
            let mut text = String::new();
            open(path).read_to_string(&mut text).unwrap();
            assert!(text.starts_with(begin) && text.ends_with(end), "{path}: {text}");
        }
        let mut hanging = open("/hang");
        hanging.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(hanging.read_to_end(&mut Vec::new()).is_err(), "no end comes");
        let mut silent = open("/silent");
        silent.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(silent.read(&mut [0; 1]).is_err(), "something comes");
        let mut endless = vec![0; 5_000_000];
        open("/endless").read_exact(&mut endless).unwrap();
    }
}

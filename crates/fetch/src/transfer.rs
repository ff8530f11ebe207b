//! One download over as many attempts as it takes.

use std::io::{self, Read, Write};
use std::time::Duration;

use bedplate_oci::{Digest, Hasher};
use ureq::http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_RANGE, LAST_MODIFIED,
    LOCATION, PROXY_AUTHORIZATION, RANGE, RETRY_AFTER,
};
use ureq::http::{Request, Response as HttpResponse};
use ureq::{Body, Timeout};

use crate::error::{FetchError, Phase};
use crate::fetcher::{BUFFER, Event, Expected, Fetcher, Response};
use crate::forward::Unresolved;
use crate::header;
use crate::url::{Scheme, Url};

/// The state of a download between its attempts.
pub(crate) struct Transfer<'a> {
    url: &'a Url,
    expected: Expected,
    sink: &'a mut dyn Write,
    observe: &'a mut dyn FnMut(Event<'_>),
    /// All bytes the sink took.
    hasher: Hasher,
    /// What the first answer said of the content.
    content: Option<Content>,
    /// The server misunderstood a range: the content is asked for from its start.
    whole: bool,
}

/// What an answer says of the whole content.
#[derive(Debug, Clone, Default)]
struct Content {
    etag: Option<String>,
    last_modified: Option<String>,
    content_type: Option<String>,
    total: Option<u64>,
}

impl Content {
    /// What `If-Range` may name: a strong tag or a date. Spec: RFC 9110, 13.1.5.
    fn validator(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|tag| !tag.starts_with("W/"));
        strong.or(self.last_modified.as_deref())
    }
}

impl<'a> Transfer<'a> {
    pub(crate) fn new(
        url: &'a Url,
        expected: Expected,
        sink: &'a mut dyn Write,
        observe: &'a mut dyn FnMut(Event<'_>),
    ) -> Self {
        Self { url, expected, sink, observe, hasher: Hasher::new(), content: None, whole: false }
    }

    /// Bytes the sink took so far.
    pub(crate) fn received(&self) -> u64 {
        self.hasher.length()
    }

    pub(crate) fn observe(&mut self, event: Event<'_>) {
        (self.observe)(event);
    }

    /// Asks once, redirects included, and moves as many bytes as come.
    pub(crate) fn attempt(&mut self, fetcher: &Fetcher) -> Result<Response, FetchError> {
        if self.url.scheme() == Scheme::File {
            return self.read_file();
        }
        let (url, answer) = self.ask(fetcher)?;
        let status = answer.status().as_u16();
        let headers = answer.headers();
        let received = self.received();
        let mut content = describe(headers);
        let skip = match status {
            200 => received,
            206 if received > 0 => {
                let range = text(headers, CONTENT_RANGE).and_then(|text| header::content_range(&text));
                let malformed = |reason: &str| FetchError::Protocol { url: url.clone(), reason: reason.to_owned() };
                let range = range.ok_or_else(|| malformed("status 206 without a usable Content-Range"))?;
                if range.start != received {
                    return Err(malformed("status 206 with another range than asked for"));
                }
                let known = self.content.as_ref().and_then(|content| content.total);
                if known.is_some() && range.total.is_some() && known != range.total {
                    return Err(FetchError::Changed { url, received });
                }
                content.total = range.total.or(known);
                0
            }
            416 if received > 0 && !self.whole => {
                // The range lies outside: the content became shorter, or the server cannot count. From the start.
                self.whole = true;
                return self.attempt(fetcher);
            }
            status => {
                let retry_after = text(headers, RETRY_AFTER).and_then(|text| header::number(text.trim()));
                return Err(FetchError::Status { url, status, retry_after: retry_after.map(Duration::from_secs) });
            }
        };
        self.admit(&url, content.total)?;
        let total = content.total;
        self.content = Some(content);
        self.observe(Event::Started { total, received });
        self.receive(fetcher, &url, answer, skip)?;
        self.finish(url)
    }

    /// Sends the request and follows redirects.
    fn ask(&self, fetcher: &Fetcher) -> Result<(Url, HttpResponse<Body>), FetchError> {
        let limit = fetcher.limits().redirects;
        let mut url = self.url.clone();
        let mut credentials = url.credentials();
        for _ in 0..=limit {
            let answer = self.ask_once(fetcher, &url, credentials.as_ref())?;
            let status = answer.status().as_u16();
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                return Ok((url, answer));
            }
            let broken = |source| FetchError::Redirect { url: url.clone(), status, source };
            let location = text(answer.headers(), LOCATION).ok_or_else(|| broken(None))?;
            let next = url.join(&location).map_err(|error| broken(Some(error)))?;
            let weaker = match next.scheme() {
                Scheme::Https => false,
                Scheme::Http => url.scheme() == Scheme::Https,
                // A server must not make us read files of this machine.
                Scheme::File => true,
            };
            if weaker {
                return Err(FetchError::Downgrade { url, to: Box::new(next) });
            }
            credentials = next.credentials().or_else(|| credentials.filter(|_| next.same_origin(&url)));
            tracing::debug!(from = %url, to = %next, status, "redirect");
            url = next;
        }
        Err(FetchError::TooManyRedirects { start: self.url.clone(), last: Box::new(url), limit })
    }

    fn ask_once(
        &self,
        fetcher: &Fetcher,
        url: &Url,
        credentials: Option<&(String, String)>,
    ) -> Result<HttpResponse<Body>, FetchError> {
        let proxy = fetcher.proxy(url);
        let mut request = Request::get(url.target());
        if let Some((user, password)) = credentials {
            request = request.header(AUTHORIZATION, header::basic(user, password));
        }
        if let (Scheme::Http, Some((user, password))) = (url.scheme(), proxy.and_then(Url::credentials)) {
            request = request.header(PROXY_AUTHORIZATION, header::basic(&user, &password));
        }
        // Without a validator only a digest tells that the rest belongs to the part we have.
        let validator = self.content.as_ref().and_then(Content::validator);
        if self.received() > 0 && !self.whole && (validator.is_some() || self.expected.digest.is_some()) {
            request = request.header(RANGE, format!("bytes={}-", self.received()));
            if let Some(validator) = validator {
                request = request.header(IF_RANGE, validator);
            }
        }
        let malformed = |error: ureq::http::Error| FetchError::Protocol { url: url.clone(), reason: error.to_string() };
        let request = request.body(()).map_err(malformed)?;
        fetcher.agent(url)?.run(request).map_err(|error| explain(fetcher, url, Phase::Waiting, error))
    }

    /// Refuses content by its announced size, before its first byte is taken.
    fn admit(&self, url: &Url, total: Option<u64>) -> Result<(), FetchError> {
        let Some(total) = total else {
            return Ok(());
        };
        if let Some(size) = self.expected.size
            && size != total
        {
            return Err(FetchError::Size { url: url.clone(), expected: size, found: total });
        }
        if total > self.expected.max_size {
            return Err(FetchError::TooLarge { url: url.clone(), limit: self.expected.max_size });
        }
        Ok(())
    }

    /// Moves the body into the sink. The first `skip` bytes are there already, and must be the same ones.
    fn receive(
        &mut self,
        fetcher: &Fetcher,
        url: &Url,
        answer: HttpResponse<Body>,
        skip: u64,
    ) -> Result<(), FetchError> {
        let mut body = answer.into_body().into_reader();
        let mut buffer = vec![0; BUFFER];
        let mut again = Hasher::new();
        while again.length() < skip {
            let most = usize::try_from(skip - again.length()).unwrap_or(usize::MAX).min(buffer.len());
            let count = read(&mut body, &mut buffer[..most]).map_err(|error| broken(fetcher, url, error))?;
            if count == 0 {
                return Err(FetchError::Changed { url: url.clone(), received: skip });
            }
            again.update(&buffer[..count]);
        }
        if skip > 0 && again.digest() != self.hasher.digest() {
            return Err(FetchError::Changed { url: url.clone(), received: skip });
        }
        loop {
            let count = match read(&mut body, &mut buffer) {
                Ok(count) => count,
                Err(error) => return Err(self.cut(fetcher, url, error)),
            };
            if count == 0 {
                break;
            }
            self.take(url, &buffer[..count])?;
        }
        match self.content.as_ref().and_then(|content| content.total).or(self.expected.size) {
            Some(total) if self.received() < total => {
                Err(FetchError::Truncated { url: url.clone(), received: self.received(), expected: total })
            }
            _ => Ok(()),
        }
    }

    /// A connection that ended early is named with what came and what is missing.
    fn cut(&self, fetcher: &Fetcher, url: &Url, error: io::Error) -> FetchError {
        let total = self.content.as_ref().and_then(|content| content.total).or(self.expected.size);
        match total {
            Some(expected) if error.kind() == io::ErrorKind::UnexpectedEof && self.received() < expected => {
                FetchError::Truncated { url: url.clone(), received: self.received(), expected }
            }
            _ => broken(fetcher, url, error),
        }
    }

    fn take(&mut self, url: &Url, bytes: &[u8]) -> Result<(), FetchError> {
        let after = self.received() + bytes.len() as u64;
        if let Some(size) = self.expected.size
            && after > size
        {
            return Err(FetchError::Size { url: url.clone(), expected: size, found: after });
        }
        if after > self.expected.max_size {
            return Err(FetchError::TooLarge { url: url.clone(), limit: self.expected.max_size });
        }
        self.sink.write_all(bytes).map_err(|source| FetchError::Sink { url: url.clone(), source })?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Compares what came with what was expected.
    fn finish(&mut self, url: Url) -> Result<Response, FetchError> {
        let (size, digest): (u64, Digest) = (self.received(), self.hasher.digest());
        if let Some(expected) = self.expected.size
            && expected != size
        {
            return Err(FetchError::Size { url, expected, found: size });
        }
        if let Some(expected) = self.expected.digest
            && expected != digest
        {
            return Err(FetchError::Digest { url, expected, found: digest });
        }
        self.sink.flush().map_err(|source| FetchError::Sink { url: url.clone(), source })?;
        let Content { etag, last_modified, content_type, .. } = self.content.take().unwrap_or_default();
        let last_modified = last_modified.and_then(|date| header::http_date(&date));
        Ok(Response { url, etag, last_modified, content_type, size, digest })
    }

    fn read_file(&mut self) -> Result<Response, FetchError> {
        let url = self.url;
        let failed = |source| FetchError::File { url: url.clone(), source };
        let path = url.file_path().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        // Looked at before it is opened: opening a pipe would wait for its writer.
        let about = std::fs::metadata(&path).map_err(failed)?;
        if !about.is_file() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")));
        }
        let mut file = std::fs::File::open(&path).map_err(failed)?;
        let total = file.metadata().map_err(failed)?.len();
        self.admit(url, Some(total))?;
        self.observe(Event::Started { total: Some(total), received: 0 });
        let mut buffer = vec![0; BUFFER];
        loop {
            match read(&mut file, &mut buffer).map_err(failed)? {
                0 => return self.finish(url.clone()),
                count => self.take(url, &buffer[..count])?,
            }
        }
    }
}

fn describe(headers: &HeaderMap) -> Content {
    let total = text(headers, CONTENT_LENGTH).and_then(|text| header::number(text.trim()));
    Content {
        etag: text(headers, ETAG),
        last_modified: text(headers, LAST_MODIFIED),
        content_type: text(headers, CONTENT_TYPE),
        total,
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn read(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A failure while the body came: ureq's own errors hide inside the I/O error.
fn broken(fetcher: &Fetcher, url: &Url, error: io::Error) -> FetchError {
    if error.get_ref().is_some_and(|inner| inner.is::<ureq::Error>()) {
        return explain(fetcher, url, Phase::Receiving, error.into());
    }
    FetchError::Connection { url: url.clone(), source: error }
}

/// Says in our words what ureq says in its own, which may hold an address with its password; `reading` is what a
/// silent connection was read for.
fn explain(fetcher: &Fetcher, url: &Url, reading: Phase, error: ureq::Error) -> FetchError {
    let url = url.clone();
    let limits = fetcher.limits();
    let protocol = |reason: String| FetchError::Protocol { url: url.clone(), reason };
    match error {
        ureq::Error::Timeout(what) => {
            let (phase, limit) = match what {
                Timeout::Resolve => (Phase::Resolving, limits.resolve),
                Timeout::Connect => (Phase::Connecting, limits.connect),
                Timeout::SendRequest | Timeout::SendBody | Timeout::PerWrite => (Phase::Sending, limits.answer),
                Timeout::RecvResponse => (Phase::Waiting, limits.answer),
                _ => (reading, limits.stall),
            };
            FetchError::Timeout { url, phase, limit }
        }
        ureq::Error::Other(source) => match source.downcast::<Unresolved>() {
            Ok(unresolved) => FetchError::Resolve { url, host: unresolved.host, source: unresolved.source },
            Err(other) => protocol(other.to_string()),
        },
        ureq::Error::Rustls(error) => FetchError::Tls { url, reason: error.to_string() },
        ureq::Error::Tls(reason) => FetchError::Tls { url, reason: reason.to_owned() },
        // rustls puts a refused certificate into an I/O error of this kind.
        ureq::Error::Io(source) if source.kind() == io::ErrorKind::InvalidData => {
            FetchError::Tls { url, reason: source.to_string() }
        }
        ureq::Error::Io(source) => FetchError::Connection { url, source },
        ureq::Error::ConnectionFailed => {
            FetchError::Connection { url, source: io::ErrorKind::ConnectionRefused.into() }
        }
        ureq::Error::ConnectProxyFailed(reason) => {
            let proxy = fetcher.proxy(&url).map(ToString::to_string).unwrap_or_default();
            FetchError::Proxy { url, proxy, reason }
        }
        // The only message that could quote the request's address.
        ureq::Error::BadUri(_) => protocol("the address is not accepted".to_owned()),
        other => protocol(other.to_string()),
    }
}

//! Questions to name servers: a stub resolver over UDP and TCP; messages are hickory's. Spec: RFC 1035, RFC 7766.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use super::{ResolveError, ResolverConfig};

/// Longest chain of aliases (CNAME) that is followed inside one answer.
const MAX_ALIASES: usize = 16;
/// Most addresses that are kept of one answer: a client tries them one after another.
const MAX_ADDRESSES: usize = 16;
/// Datagrams that are no answer to our question and are ignored before a server counts as silent.
const MAX_STRAYS: usize = 16;

/// What one server said about one name.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// Its addresses; none if the name exists without any.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoName,
}

/// Asks for the addresses of `host`, with the search list, server after server.
///
/// # Errors
/// [`ResolveError`].
pub(super) fn look_up(config: &ResolverConfig, host: &str, limit: Duration) -> Result<Vec<IpAddr>, ResolveError> {
    let deadline = Instant::now() + limit;
    let mut denied = None;
    for name in candidates(config, host) {
        let name = Name::from_ascii(&name).map_err(|error| ResolveError::Malformed { reason: error.to_string() })?;
        let (answer, server) = ask_all(config, &name, deadline)?;
        match answer {
            Answer::Addresses(addresses) if !addresses.is_empty() => return Ok(addresses),
            Answer::Addresses(_) | Answer::NoName => denied = Some(ResolveError::NotFound { server }),
        }
    }
    Err(denied.unwrap_or_else(|| ResolveError::Malformed { reason: "it is empty".to_owned() }))
}

/// The absolute names to ask for, in order. Spec: resolv.conf(5), `search` and `ndots`.
fn candidates(config: &ResolverConfig, host: &str) -> Vec<String> {
    let bare = host.trim_end_matches('.');
    if bare.is_empty() {
        return Vec::new();
    }
    let itself = format!("{bare}.");
    if host.ends_with('.') {
        return vec![itself];
    }
    let searched = config.search.iter().map(|domain| match domain.trim_matches('.') {
        "" => itself.clone(),
        domain => format!("{bare}.{domain}."),
    });
    let mut names: Vec<String> = searched.collect();
    let first = bare.matches('.').count() >= config.ndots;
    names.retain(|name| *name != itself);
    names.insert(if first { 0 } else { names.len() }, itself.clone());
    names
}

fn ask_all(config: &ResolverConfig, name: &Name, deadline: Instant) -> Result<(Answer, SocketAddr), ResolveError> {
    let mut reason = "the time for it is over".to_owned();
    for _ in 0..config.attempts {
        for &server in &config.servers {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match ask(server, name, config.timeout.min(left), config.tcp) {
                Ok(answer) => return Ok((answer, server)),
                Err(error) => reason = error.to_string(),
            }
        }
    }
    Err(ResolveError::NoAnswer { servers: config.servers.clone(), reason })
}

/// One question in flight.
struct Exchange {
    socket: Option<UdpSocket>,
    message: Message,
    bytes: Vec<u8>,
}

/// Asks one server for both kinds of addresses; the two questions travel at the same time.
fn ask(server: SocketAddr, name: &Name, timeout: Duration, tcp: bool) -> io::Result<Answer> {
    let deadline = Instant::now() + timeout;
    let open = |kind| open(server, name, kind, tcp);
    let exchanges = [open(RecordType::A), open(RecordType::AAAA)];
    let mut addresses = Vec::new();
    let mut failure = None;
    let mut missing = 0;
    for exchange in exchanges {
        match exchange.and_then(|exchange| finish(server, exchange, deadline)) {
            Ok(Answer::Addresses(found)) => addresses.extend(found),
            Ok(Answer::NoName) => missing += 1,
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        // Half an answer is enough: some servers stay silent when asked for IPv6 addresses.
        Some(error) if addresses.is_empty() => Err(error),
        None if missing == 2 => Ok(Answer::NoName),
        _ => Ok(Answer::Addresses(addresses)),
    }
}

fn open(server: SocketAddr, name: &Name, kind: RecordType, tcp: bool) -> io::Result<Exchange> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    let bytes = message.to_vec().map_err(io::Error::other)?;
    let socket = if tcp {
        None
    } else {
        // A socket of its own for each question: its random port is half of the defence against forged answers.
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(server)?;
        socket.send(&bytes)?;
        Some(socket)
    };
    Ok(Exchange { socket, message, bytes })
}

fn finish(server: SocketAddr, exchange: Exchange, deadline: Instant) -> io::Result<Answer> {
    if let Some(socket) = &exchange.socket {
        let mut buffer = vec![0; 4096];
        for _ in 0..MAX_STRAYS {
            socket.set_read_timeout(Some(left(deadline)?))?;
            let count = socket.recv(&mut buffer)?;
            let Some(reply) = matching(&exchange.message, &buffer[..count]) else {
                continue;
            };
            if !reply.metadata.truncation {
                return answer(&exchange.message, &reply);
            }
            break;
        }
    }
    over_tcp(server, &exchange, deadline)
}

fn over_tcp(server: SocketAddr, exchange: &Exchange, deadline: Instant) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, left(deadline)?)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    let length = u16::try_from(exchange.bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], &exchange.bytes].concat())?;
    stream.set_read_timeout(Some(left(deadline)?))?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.set_read_timeout(Some(left(deadline)?))?;
    stream.read_exact(&mut bytes)?;
    match matching(&exchange.message, &bytes) {
        Some(reply) => answer(&exchange.message, &reply),
        None => Err(io::Error::other("it answered another question")),
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// The reply in `bytes`, if it is one to this question.
fn matching(question: &Message, bytes: &[u8]) -> Option<Message> {
    let reply = Message::from_vec(bytes).ok()?;
    let asked = question.queries.first()?;
    let same = reply.queries.first().is_some_and(|echoed| {
        echoed.query_type() == asked.query_type()
            && echoed.query_class() == asked.query_class()
            && echoed.name().eq_ignore_root(asked.name())
    });
    let ours = reply.metadata.id == question.metadata.id && reply.metadata.message_type == MessageType::Response;
    (ours && same).then_some(reply)
}

/// What a reply says, aliases followed.
fn answer(question: &Message, reply: &Message) -> io::Result<Answer> {
    match reply.metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain => return Ok(Answer::NoName),
        code => return Err(io::Error::other(format!("it said {code}"))),
    }
    let mut names: Vec<Name> = question.queries.first().map(|query| query.name().clone()).into_iter().collect();
    for _ in 0..MAX_ALIASES {
        let known = names.len();
        for record in &reply.answers {
            if let RData::CNAME(target) = &record.data
                && names.contains(&record.name)
                && !names.contains(&target.0)
                && names.len() <= MAX_ALIASES
            {
                names.push(target.0.clone());
            }
        }
        if names.len() == known {
            break;
        }
    }
    let addresses = reply.answers.iter().filter(|record| names.contains(&record.name));
    let addresses = addresses.filter_map(|record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    });
    Ok(Answer::Addresses(addresses.take(MAX_ADDRESSES).collect()))
}

/// Reads `bytes` as the reply to a fixed question, for the fuzzer.
pub(crate) fn fuzz(bytes: &[u8]) {
    let mut question = Message::query();
    if let (Ok(name), Some(reply)) = (Name::from_ascii("a.example."), Message::from_vec(bytes).ok()) {
        question.metadata.id = reply.metadata.id;
        question.add_query(Query::query(name, RecordType::A));
        let _ = matching(&question, bytes);
        if let Ok(Answer::Addresses(addresses)) = answer(&question, &reply) {
            assert!(addresses.len() <= MAX_ADDRESSES);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::{A, AAAA, CNAME};

    use super::*;

    #[test]
    fn search_lists() {
        let config = |search: &str, ndots| ResolverConfig {
            search: search.split_whitespace().map(str::to_owned).collect(),
            ndots,
            ..ResolverConfig::parse("")
        };
        let cases = [
            // host | search       | ndots | asked
            ("a", "x.example y", 1, "a.x.example. a.y. a."),
            ("a.b", "x.example", 1, "a.b. a.b.x.example."),
            ("a.b", "x.example", 2, "a.b.x.example. a.b."),
            ("a.", "x.example", 1, "a."),
            ("a", ".", 1, "a."),
            ("a", "", 1, "a."),
            (".", "x", 1, ""),
        ];
        for (host, search, ndots, asked) in cases {
            assert_eq!(candidates(&config(search, ndots), host).join(" "), asked, "{host} {search}");
        }
    }

    /// A name server of this process: UDP and TCP on one port of the loopback interface.
    fn serve(reply: impl Fn(&Message, bool) -> Option<Message> + Send + Sync + 'static) -> SocketAddr {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let reply = Arc::new(reply);
        let by_udp = Arc::clone(&reply);
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((count, peer)) = udp.recv_from(&mut buffer) {
                if let Some(reply) = by_udp(&Message::from_vec(&buffer[..count]).unwrap(), false) {
                    udp.send_to(&reply.to_vec().unwrap(), peer).unwrap();
                }
            }
        });
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                let mut stream = stream.unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut bytes).unwrap();
                if let Some(reply) = reply(&Message::from_vec(&bytes).unwrap(), true) {
                    let bytes = reply.to_vec().unwrap();
                    stream.write_all(&(bytes.len() as u16).to_be_bytes()).unwrap();
                    stream.write_all(&bytes).unwrap();
                }
            }
        });
        address
    }

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn reply_to(question: &Message) -> Message {
        let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
        reply.add_query(question.queries[0].clone());
        reply
    }

    /// Knows `a.example` by both families behind an alias, and `four.example` by one.
    fn example(question: &Message) -> Message {
        let mut reply = reply_to(question);
        let asked = &question.queries[0];
        let (six, text) = (asked.query_type() == RecordType::AAAA, asked.name().to_string());
        let address = |owner: &str| match six {
            true => Record::from_rdata(name(owner), 60, RData::AAAA(AAAA("2001:db8::5".parse().unwrap()))),
            false => Record::from_rdata(name(owner), 60, RData::A(A("192.0.2.5".parse().unwrap()))),
        };
        match text.as_str() {
            "a.example." => {
                reply.add_answer(address("elsewhere.example."));
                reply.add_answer(address("b.example."));
                reply.add_answer(Record::from_rdata(name("A.example."), 60, RData::CNAME(CNAME(name("b.example.")))));
            }
            "four.example." if !six => {
                reply.add_answer(address("four.example."));
            }
            "four.example." | "nothing.example." => {}
            "broken.example." => reply.metadata.response_code = ResponseCode::ServFail,
            _ => reply.metadata.response_code = ResponseCode::NXDomain,
        }
        reply
    }

    fn config(servers: &[SocketAddr]) -> ResolverConfig {
        ResolverConfig {
            servers: servers.to_vec(),
            timeout: Duration::from_millis(300),
            search: vec!["example".to_owned()],
            ..ResolverConfig::parse("")
        }
    }

    fn ask_for(config: &ResolverConfig, host: &str) -> String {
        match look_up(config, host, Duration::from_secs(20)) {
            Ok(addresses) => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn asks_a_server() {
        let server = serve(|question, _| Some(example(question)));
        let cases = [
            // host           | answer
            ("a.example", "192.0.2.5 2001:db8::5".to_owned()),
            ("a", "192.0.2.5 2001:db8::5".to_owned()),
            ("four.example", "192.0.2.5".to_owned()),
            ("nothing.example", format!("no such host, says {server}")),
            ("missing.example.", format!("no such host, says {server}")),
            ("broken.example", "no answer from 127.0.0.1: it said Server Failure".to_owned()),
            ("..", "malformed host name: it is empty".to_owned()),
        ];
        for (host, expected) in cases {
            assert_eq!(ask_for(&config(&[server]), host), expected, "{host}");
        }
    }

    #[test]
    fn a_silent_server_is_left_for_the_next() {
        let silent = serve(|_, _| None);
        let server = serve(|question, _| Some(example(question)));
        assert_eq!(ask_for(&config(&[silent, server]), "a.example"), "192.0.2.5 2001:db8::5");
        let failed = ask_for(&ResolverConfig { attempts: 1, ..config(&[silent]) }, "a.example");
        assert!(failed.starts_with("no answer from 127.0.0.1: "), "{failed}");
    }

    #[test]
    fn half_an_answer_is_enough() {
        let server =
            serve(|question, _| (question.queries[0].query_type() == RecordType::A).then(|| example(question)));
        assert_eq!(ask_for(&config(&[server]), "a.example"), "192.0.2.5");
    }

    #[test]
    fn a_truncated_answer_is_asked_again_over_tcp() {
        let server = serve(|question, tcp| {
            let mut reply = if tcp { example(question) } else { reply_to(question) };
            reply.metadata.truncation = !tcp;
            Some(reply)
        });
        assert_eq!(ask_for(&config(&[server]), "a.example"), "192.0.2.5 2001:db8::5");
        let tcp_only = ResolverConfig { tcp: true, ..config(&[server]) };
        assert_eq!(ask_for(&tcp_only, "a.example"), "192.0.2.5 2001:db8::5");
    }

    #[test]
    fn forged_answers_are_ignored() {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let server = serve(move |question, _| {
            counter.fetch_add(1, Ordering::Relaxed);
            let mut reply = example(question);
            reply.metadata.id = reply.metadata.id.wrapping_add(1);
            Some(reply)
        });
        let failed = ask_for(&ResolverConfig { attempts: 1, ..config(&[server]) }, "a.example");
        assert!(failed.starts_with("no answer"), "{failed}");
        assert!(count.load(Ordering::Relaxed) >= 2);
    }

    #[test]
    fn alias_loops_end() {
        let server = serve(|question, _| {
            let mut reply = reply_to(question);
            for (from, to) in [("a.example.", "b.example."), ("b.example.", "a.example.")] {
                reply.add_answer(Record::from_rdata(name(from), 60, RData::CNAME(CNAME(name(to)))));
            }
            Some(reply)
        });
        assert!(ask_for(&config(&[server]), "a.example.").starts_with("no such host"));
    }
}

//! The socket of an SSH agent as a step sees it: one of its own, with the owner and mode that the step asks for.
//!
//! The agent sees the builder's user, whoever the step's process is; it would refuse others.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use bedplate_sys::channel::{self, Interest, wait_for};
use bedplate_sys::process::{Child, close_all_but, die_with_parent, fork};

/// The most connections at a time.
const MAX_CONNECTIONS: usize = 64;

const KILL: i32 = 9;

/// A process that hands on what is said at a socket; it ends with this value.
#[derive(Debug)]
pub(crate) struct AgentProxy {
    process: Child,
    path: PathBuf,
}

impl AgentProxy {
    /// Listens in the empty directory `folder` and hands on to `agent`.
    pub(crate) fn start(agent: &Path, folder: &Path, mode: u32, uid: u32, gid: u32) -> io::Result<Self> {
        let path = folder.join("agent");
        // The path of a socket may have 107 bytes, and a store may lie deeper.
        let directory = fs::File::open(folder)?;
        let short = format!("/proc/self/fd/{}/agent", directory.as_raw_fd());
        let listener = UnixListener::bind(short)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        match std::os::unix::fs::chown(&path, Some(uid), Some(gid)) {
            // An ID that the user namespace lacks: no process of the step can have it either.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            other => other?,
        }
        let process = fork(|| {
            let prepared = die_with_parent().and_then(|()| close_all_but(&[listener.as_fd()]));
            i32::from(prepared.is_err() || serve(&listener, agent).is_err())
        })?;
        Ok(Self { process, path })
    }

    /// Where it listens.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AgentProxy {
    fn drop(&mut self) {
        // It has nothing to say any more.
        let _ = self.process.signal(KILL);
        let _ = self.process.wait();
    }
}

/// Hands on until the process is ended.
fn serve(listener: &UnixListener, agent: &Path) -> io::Result<()> {
    let mut connections: Vec<[UnixStream; 2]> = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let mut waits: Vec<(&dyn AsFd, Interest)> = Vec::new();
        for [inner, outer] in &connections {
            waits.extend([(inner as &dyn AsFd, Interest::Read), (outer, Interest::Read)]);
        }
        if connections.len() < MAX_CONNECTIONS {
            waits.push((listener, Interest::Read));
        }
        let ready = wait_for(&waits, None)?;
        drop(waits);
        let comes = ready.get(2 * connections.len()) == Some(&true);
        let mut number = 0;
        connections.retain(|pair| {
            let goes_on = hand_on(pair, ready[2 * number], ready[2 * number + 1], &mut buffer);
            number += 1;
            goes_on
        });
        if comes {
            let (inner, _) = listener.accept()?;
            // An agent that is gone is one that closes at once.
            if let Ok(outer) = UnixStream::connect(agent) {
                connections.push([inner, outer]);
            }
        }
    }
}

/// Carries what is there in both directions; says whether the connection goes on.
fn hand_on([inner, outer]: &[UnixStream; 2], from_inner: bool, from_outer: bool, buffer: &mut [u8]) -> bool {
    let mut carry = |from: &UnixStream, mut to: &UnixStream| match channel::read(from, buffer) {
        Ok(0) | Err(_) => false,
        Ok(count) => io::Write::write_all(&mut to, &buffer[..count]).is_ok(),
    };
    (!from_inner || carry(inner, outer)) && (!from_outer || carry(outer, inner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn what_is_said_goes_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        // Deeper than the path of a socket may be.
        let deep = folder.path().join("d".repeat(150));
        fs::create_dir(&deep).unwrap();
        let agent = folder.path().join("real");
        let listener = UnixListener::bind(&agent).unwrap();
        let answering = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                std::thread::spawn(move || {
                    let mut asked = [0; 4];
                    while stream.read_exact(&mut asked).is_ok() {
                        stream.write_all(&[b"re:", &asked[..]].concat()).unwrap();
                    }
                });
            }
        });
        let own = fs::metadata(&deep).unwrap();
        let (uid, gid) = (std::os::unix::fs::MetadataExt::uid(&own), std::os::unix::fs::MetadataExt::gid(&own));
        let proxy = AgentProxy::start(&agent, &deep, 0o640, uid, gid).unwrap();
        assert_eq!(proxy.path().metadata().unwrap().permissions().mode() & 0o777, 0o640);
        let directory = fs::File::open(&deep).unwrap();
        let connect = || UnixStream::connect(format!("/proc/self/fd/{}/agent", directory.as_raw_fd())).unwrap();
        let (mut one, two) = (connect(), connect());
        for (mut stream, word) in [(&two, b"twos"), (&one, b"ones"), (&two, b"more")] {
            stream.write_all(word).unwrap();
            let mut answer = [0; 7];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer[3..], word[..]);
        }
        answering.join().unwrap();
        drop(proxy);
        assert_eq!(one.read(&mut [0]).unwrap_or(0), 0, "it is gone");
    }
}

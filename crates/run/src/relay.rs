//! Bytes between a command's streams and this process's own, or a caller's.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use bedplate_sys::channel::{self, Interest, pipe};
use bedplate_sys::{CallError, Errno};

use crate::parent::{Sink, Stream};

/// Bytes moved at once.
const BUFFER: usize = 64 * 1024;

/// Descriptors to wait for, each with the way it belongs to.
pub(crate) type Lines = Vec<(usize, Rc<OwnedFd>, Interest)>;

/// One way that bytes take.
#[derive(Debug)]
struct Way {
    /// Where they are read; `None` once that has ended.
    from: Option<Rc<OwnedFd>>,
    to: To,
    /// Read and not yet written.
    pending: Vec<u8>,
}

#[derive(Debug)]
enum To {
    /// To the command: it may be slow to read, so this is never waited for.
    Command(Option<Rc<OwnedFd>>),
    /// From the command.
    Host(Stream),
}

/// All ways of one container.
#[derive(Debug)]
pub(crate) struct Relay {
    ways: Vec<Way>,
    buffer: Vec<u8>,
}

impl Relay {
    pub(crate) fn new() -> Self {
        Self { ways: Vec::new(), buffer: Vec::new() }
    }

    /// Carries this process's standard input to the pipe whose other end is given.
    pub(crate) fn input(&mut self) -> Result<OwnedFd, CallError> {
        let (theirs, ours) = pipe()?;
        channel::set_nonblocking(&ours, true)?;
        self.ways.push(Way {
            from: Some(Rc::new(stdin()?)),
            to: To::Command(Some(Rc::new(ours))),
            pending: Vec::new(),
        });
        Ok(theirs)
    }

    /// Carries what is written to the given end of a pipe.
    pub(crate) fn output(&mut self, stream: Stream) -> Result<OwnedFd, CallError> {
        let (ours, theirs) = pipe()?;
        self.ways.push(Way { from: Some(Rc::new(ours)), to: To::Host(stream), pending: Vec::new() });
        Ok(theirs)
    }

    /// Carries both directions of a terminal.
    pub(crate) fn terminal(&mut self, controller: &OwnedFd, input: bool, _captured: bool) -> Result<(), CallError> {
        let dup = || controller.try_clone().map_err(|e| CallError::from_io("dup(terminal)", &e));
        channel::set_nonblocking(controller, true)?;
        if input {
            self.ways.push(Way {
                from: Some(Rc::new(stdin()?)),
                to: To::Command(Some(Rc::new(dup()?))),
                pending: Vec::new(),
            });
        }
        self.ways.push(Way { from: Some(Rc::new(dup()?)), to: To::Host(Stream::Output), pending: Vec::new() });
        Ok(())
    }

    /// Whether output of the command may still come.
    pub(crate) fn has_output(&self) -> bool {
        self.ways.iter().any(|w| matches!(w.to, To::Host(_)) && w.from.is_some())
    }

    /// Forgets what was to go to the command.
    pub(crate) fn stop_input(&mut self) {
        self.ways.retain(|w| matches!(w.to, To::Host(_)));
    }

    /// What is to be waited for.
    pub(crate) fn lines(&self) -> Lines {
        self.ways.iter().enumerate().filter_map(|(i, w)| w.line().map(|(fd, on)| (i, fd, on))).collect()
    }

    /// Moves bytes on the ways that are ready.
    pub(crate) fn carry(&mut self, ready: &[usize], capture: &mut Option<Sink<'_>>) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(BUFFER, 0);
        for (i, way) in self.ways.iter_mut().enumerate() {
            if ready.contains(&i) {
                way.carry(&mut buffer, capture);
            }
        }
        self.buffer = buffer;
    }
}

fn stdin() -> Result<OwnedFd, CallError> {
    let stdin = std::io::stdin();
    stdin.as_fd().try_clone_to_owned().map_err(|e| CallError::from_io("dup(stdin)", &e))
}

impl Way {
    fn line(&self) -> Option<(Rc<OwnedFd>, Interest)> {
        match &self.to {
            To::Command(Some(to)) if !self.pending.is_empty() => Some((to.clone(), Interest::Write)),
            _ => Some((self.from.clone()?, Interest::Read)),
        }
    }

    fn carry(&mut self, buffer: &mut [u8], capture: &mut Option<Sink<'_>>) {
        if self.pending.is_empty() {
            let Some(from) = &self.from else { return };
            match channel::read(from, buffer) {
                Ok(n @ 1..) => match &self.to {
                    To::Command(_) => self.pending.extend_from_slice(&buffer[..n]),
                    To::Host(stream) => {
                        if !deliver(*stream, &buffer[..n], capture) {
                            // Nobody reads any more: the command shall notice, as it would without us.
                            self.from = None;
                        }
                        return;
                    }
                },
                Err(Errno::AGAIN) => return,
                // EIO: a terminal that nobody holds open any more.
                Ok(0) | Err(_) => {
                    self.from = None;
                    if let To::Command(to) = &mut self.to {
                        *to = None;
                    }
                    return;
                }
            }
        }
        if let To::Command(Some(to)) = &self.to {
            match channel::write(to, &self.pending) {
                Ok(n) => drop(self.pending.drain(..n)),
                Err(Errno::AGAIN) => {}
                // The command closed its input.
                Err(_) => {
                    self.pending.clear();
                    self.from = None;
                    self.to = To::Command(None);
                }
            }
        }
    }
}

/// Gives bytes to the caller or to this process's own output; `false` where nobody takes them.
fn deliver(stream: Stream, mut bytes: &[u8], capture: &mut Option<Sink<'_>>) -> bool {
    if let Some(capture) = capture {
        capture(stream, bytes);
        return true;
    }
    while !bytes.is_empty() {
        let written = match stream {
            Stream::Output => channel::write(std::io::stdout(), bytes),
            Stream::Error => channel::write(std::io::stderr(), bytes),
        };
        match written {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(Errno::AGAIN) => {
                // Someone set our output to return at once; wait for room.
                let _ = channel::wait_for(&[(&std::io::stdout(), Interest::Write)], Some(1000));
            }
            Err(_) => return false,
        }
    }
    true
}

//! Channels between parent and child: pipes, pairs of sockets that carry descriptors, waiting.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use rustix::pipe::PipeFlags;

use crate::error::{CallError, Errno};

/// Makes a pipe: the end to read and the end to write; neither is inherited over exec.
///
/// # Errors
/// What `pipe2(2)` answers.
pub fn pipe() -> Result<(OwnedFd, OwnedFd), CallError> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| CallError::new("pipe2(O_CLOEXEC)", e))
}

/// Makes a pair of connected sockets that keep message borders; neither is inherited over exec.
///
/// # Errors
/// What `socketpair(2)` answers.
pub fn sockets() -> Result<(OwnedFd, OwnedFd), CallError> {
    let flags = SocketFlags::CLOEXEC;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(|e| CallError::new("socketpair(AF_UNIX, SOCK_SEQPACKET)", e))
}

/// Sends one message, with a descriptor if given.
///
/// # Errors
/// What `sendmsg(2)` answers: `EPIPE` where the other end is gone.
pub fn send(socket: impl AsFd, message: &[u8], descriptor: Option<&OwnedFd>) -> Result<(), CallError> {
    let socket = socket.as_fd();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = descriptor.map(|d| [d.as_fd()]);
    if let Some(fds) = &fds {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL)
        .map(drop)
        .map_err(|e| CallError::new(format!("sendmsg([{}])", socket.as_raw_fd()), e))
}

/// Receives one message into `buffer`, and a descriptor if it carries one; 0 bytes at the end.
///
/// # Errors
/// What `recvmsg(2)` answers.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<(usize, Option<OwnedFd>), CallError> {
    let socket = socket.as_fd();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let bytes = loop {
        let parts = &mut [IoSliceMut::new(buffer)];
        match rustix::net::recvmsg(socket, parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(m) => break m.bytes,
            Err(Errno::INTR) => {}
            // The other end closed without reading all that was sent.
            Err(Errno::CONNRESET) => break 0,
            Err(e) => return Err(CallError::new(format!("recvmsg([{}])", socket.as_raw_fd()), e)),
        }
    };
    let descriptor = control.drain().find_map(|m| match m {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok((bytes, descriptor))
}

/// What a descriptor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Something to read, or the end.
    Read,
    /// Room to write, or a reader that is gone.
    Write,
}

/// Waits until one of the descriptors is ready and tells which are.
///
/// `timeout` is in milliseconds, `None` waits as long as it takes. A signal gives "none".
///
/// # Errors
/// What `poll(2)` answers.
pub fn wait_for(descriptors: &[(&dyn AsFd, Interest)], timeout: Option<u64>) -> Result<Vec<bool>, CallError> {
    let mut fds: Vec<PollFd<'_>> = descriptors
        .iter()
        .map(|(fd, interest)| {
            let flags = match interest {
                Interest::Read => PollFlags::IN,
                Interest::Write => PollFlags::OUT,
            };
            PollFd::from_borrowed_fd(fd.as_fd(), flags)
        })
        .collect();
    let timeout = timeout.map(|ms| Timespec { tv_sec: (ms / 1000) as i64, tv_nsec: ((ms % 1000) * 1_000_000) as _ });
    match rustix::event::poll(&mut fds, timeout.as_ref()) {
        Ok(_) => Ok(fds.iter().map(|fd| !fd.revents().is_empty()).collect()),
        Err(Errno::INTR) => Ok(vec![false; descriptors.len()]),
        Err(e) => Err(CallError::new(format!("poll({} descriptors)", descriptors.len()), e)),
    }
}

/// Reads what is there, at most `buffer`; 0 at the end.
///
/// # Errors
/// What `read(2)` answers.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match rustix::io::read(&fd, &mut *buffer) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Writes what fits at once; gives how much that was.
///
/// # Errors
/// What `write(2)` answers.
pub fn write(fd: impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
    loop {
        match rustix::io::write(&fd, bytes) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Lets reads and writes of this descriptor return at once instead of waiting.
///
/// # Errors
/// What `fcntl(2)` answers.
pub fn set_nonblocking(fd: impl AsFd, on: bool) -> Result<(), CallError> {
    let fd = fd.as_fd();
    let fail = |e| CallError::new(format!("fcntl([{}], F_SETFL)", fd.as_raw_fd()), e);
    let mut flags = rustix::fs::fcntl_getfl(fd).map_err(fail)?;
    flags.set(rustix::fs::OFlags::NONBLOCK, on);
    rustix::fs::fcntl_setfl(fd, flags).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_descriptor_travels() {
        let (a, b) = sockets().unwrap();
        let (read, write) = pipe().unwrap();
        send(&a, b"hello", Some(&write)).unwrap();
        send(&a, b"again", None).unwrap();
        drop(write);
        let mut buffer = [0; 64];
        let (n, fd) = receive(&b, &mut buffer).unwrap();
        assert_eq!(&buffer[..n], b"hello");
        std::fs::File::from(fd.unwrap()).write_all(b"x").unwrap();
        let mut text = String::new();
        std::fs::File::from(read).read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        let (n, fd) = receive(&b, &mut buffer).unwrap();
        assert_eq!((&buffer[..n], fd.is_none()), (&b"again"[..], true));
        drop(a);
        assert_eq!(receive(&b, &mut buffer).unwrap().0, 0);
        assert_eq!(wait_for(&[(&b, Interest::Read)], Some(0)).unwrap(), [true]);
    }
}

//! The little of the network that a container needs before it has one: the loopback device.

use std::os::fd::AsRawFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::error::CallError;
use crate::process::last_errno;

/// Switches the loopback device of this network namespace on; the kernel gives it its addresses.
///
/// # Errors
/// What `socket(2)` and `ioctl(SIOCSIFFLAGS)` answer.
pub fn loopback_up() -> Result<(), CallError> {
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .map_err(|e| CallError::new("socket(AF_INET, SOCK_DGRAM)", e))?;
    // SAFETY: ifreq is a plain structure for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request lives over the call and names a device with a NUL at its end.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    if done == 0 { Ok(()) } else { Err(CallError::new("ioctl(SIOCSIFFLAGS, \"lo\", IFF_UP)", last_errno())) }
}

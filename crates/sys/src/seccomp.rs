//! Loading of system call filters. Spec: `seccomp(2)`.

use crate::error::CallError;
use crate::process::last_errno;

/// One instruction of a classic BPF program (`struct sock_filter`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip where a comparison holds.
    pub jt: u8,
    /// Instructions to skip where it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// Instructions the kernel takes in one filter.
pub const MOST_INSTRUCTIONS: usize = 4096;

/// Puts a filter on this thread and all it will make or become.
///
/// Needs `CAP_SYS_ADMIN` in the user namespace, or that no new privileges can be gained.
///
/// # Errors
/// What `seccomp(2)` answers: `EACCES` without either, `EINVAL` for a malformed program.
pub fn load(program: &[Instruction]) -> Result<(), CallError> {
    #[repr(C)]
    struct Program {
        len: libc::c_ushort,
        filter: *const Instruction,
    }
    const SET_MODE_FILTER: libc::c_uint = 1;
    let text = || format!("seccomp(SECCOMP_SET_MODE_FILTER, {} instructions)", program.len());
    if program.len() > MOST_INSTRUCTIONS {
        return Err(CallError::new(text(), crate::Errno::INVAL));
    }
    let loaded = Program { len: program.len() as libc::c_ushort, filter: program.as_ptr() };
    // SAFETY: the structure and the instructions live over the call, which copies them; the
    // length was checked and Instruction has the layout of sock_filter.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, 0, &raw const loaded) };
    if done == 0 { Ok(()) } else { Err(CallError::new(text(), last_errno())) }
}

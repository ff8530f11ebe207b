//! Processes in images: namespaces, mounts, capabilities, seccomp, terminals.
#![forbid(unsafe_code)]

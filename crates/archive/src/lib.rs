//! Tar streams, their index, and compression by content.
#![forbid(unsafe_code)]

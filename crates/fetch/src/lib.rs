//! Verified downloads over HTTP and HTTPS.
#![forbid(unsafe_code)]

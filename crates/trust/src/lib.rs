//! Signatures of package archives: keyrings, cleartext and detached signatures, and the time at which they are judged.
//!
//! Pure: bytes and times come in, verified text and fingerprints go out.
#![forbid(unsafe_code)]

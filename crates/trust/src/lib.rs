//! Signatures of package archives: keyrings, cleartext and detached signatures, and the time at which they are judged.
//!
//! Pure: bytes and times come in, verified text and fingerprints go out. The arithmetic of OpenPGP is `sequoia-openpgp`'s; what is ours is the frame around it (which bytes are signed, and
//! nothing else is handed out) and the judgement (which key may speak for an archive, and when).
//!
//! ```text
//! InRelease             --verify_cleartext--+
//!                                           +--> Signed { text, signer, signed_at }
//! Release + Release.gpg --verify_detached---+
//!                             ^        ^
//!                         Keyring   Judgement: now, or at the signature's time within an ended suite's life
//! ```
//!
//! One valid signature of a trusted key is enough; what else stands in the document is noted in [`Signed::others`]. SHA-1 and MD5 are refused at any time.
//!
//! Spec: RFC 9580 (OpenPGP), sections 6 (armour), 7 (cleartext), 5.2 (signatures).
#![forbid(unsafe_code)]

mod armour;
mod builtin;
mod cleartext;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod judgement;
mod key_name;
mod keyring;
mod time;
mod verify;

pub use builtin::Builtin;
pub use error::{Finding, KeyringError, Malformed, Rejection, TrustError};
pub use judgement::{Judgement, SKEW};
pub use key_name::{Fingerprint, FingerprintError, Issuer};
pub use keyring::{Certificate, Keyring};
pub use time::UnixSeconds;
pub use verify::{Signed, unverified_cleartext, verify_cleartext, verify_detached};

/// Bytes of a signed document, at most: the largest `InRelease` of a living archive has 0.3 MB, a `Release` of every architecture under 2 MB.
pub const MAX_DOCUMENT: usize = 32 * 1024 * 1024;
/// Bytes of all signatures on one document, at most: `Release.gpg` files have 1 to 3 KB.
pub const MAX_SIGNATURE_BYTES: usize = 256 * 1024;
/// Signatures on one document, at most: archives in a change of keys had three. Each costs a public-key operation.
pub const MAX_SIGNATURES: usize = 64;
/// Bytes of one keyring, at most: Debian's own has 60 KB, a keyring of all developers about 25 MB.
pub const MAX_KEYRING: usize = 64 * 1024 * 1024;
/// Certificates in one keyring, at most; see [`MAX_KEYRING`].
pub const MAX_CERTIFICATES: usize = 8192;

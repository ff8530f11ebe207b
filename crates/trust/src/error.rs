//! What can be wrong with a keyring or a signed document.

use std::fmt;

use crate::{
    key_name::{Fingerprint, Issuer},
    time::UnixSeconds,
};

/// A failure to read a keyring.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file is a GnuPG keybox.
    #[error(
        "keyring {name:?} is a GnuPG keybox, a private format of GnuPG; export its keys: gpg --no-default-keyring --keyring FILE.kbx --export > FILE.gpg"
    )]
    Keybox {
        /// The keyring as the caller named it.
        name: String,
    },
    /// There is no certificate in the file.
    #[error("keyring {name:?} holds no OpenPGP certificate")]
    Empty {
        /// The keyring as the caller named it.
        name: String,
    },
    /// The file holds a private key.
    #[error(
        "keyring {name:?} holds the private key of {fingerprint}, which no keyring needs; export the public one: gpg --export {fingerprint}"
    )]
    Private {
        /// The keyring as the caller named it.
        name: String,
        /// Whose key.
        fingerprint: Fingerprint,
    },
    /// The file is more than is read.
    #[error("keyring {name:?} has {found} {what}, more than {limit}")]
    TooLarge {
        /// The keyring as the caller named it.
        name: String,
        /// `bytes` or `certificates`.
        what: &'static str,
        /// At most.
        limit: usize,
        /// So many.
        found: usize,
    },
    /// The armour around the certificates is broken.
    #[error("keyring {name:?}: {problem}")]
    Armour {
        /// The keyring as the caller named it.
        name: String,
        /// What is wrong, and where.
        problem: Malformed,
    },
    /// A certificate cannot be read.
    #[error("keyring {name:?}: certificate {position} cannot be read: {reason}")]
    Certificate {
        /// The keyring as the caller named it.
        name: String,
        /// Counted from 1.
        position: usize,
        /// What the OpenPGP library says.
        reason: String,
    },
}

/// What is wrong with the frame of a document, with the line, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// There is text that no signature covers in front of the message.
    #[error("line {line}: text before the signed message")]
    TextBefore {
        /// Counted from 1.
        line: usize,
    },
    /// There is something behind the end of the message.
    #[error("line {line}: text behind the end of the signature")]
    TextBehind {
        /// Counted from 1.
        line: usize,
    },
    /// There is a second signed message.
    #[error("line {line}: a second signed message")]
    SecondMessage {
        /// Counted from 1.
        line: usize,
    },
    /// A header that does not belong where it is.
    #[error("line {line}: header {header:?} is not allowed here")]
    Header {
        /// Counted from 1.
        line: usize,
        /// The line, shortened.
        header: String,
    },
    /// A line of signed text begins with a dash and has no escape.
    #[error("line {line}: begins with a dash and is not dash-escaped")]
    Unescaped {
        /// Counted from 1.
        line: usize,
    },
    /// The document ends before this.
    #[error("the document ends before its {what}")]
    Ends {
        /// What is missing.
        what: &'static str,
    },
    /// An armoured block has this line where only another may stand.
    #[error("line {line}: expected {expected}, found {found:?}")]
    Unexpected {
        /// Counted from 1.
        line: usize,
        /// What may stand there.
        expected: &'static str,
        /// The line, shortened.
        found: String,
    },
    /// Armoured data is no base64.
    #[error("line {line}: not base64")]
    Base64 {
        /// Counted from 1.
        line: usize,
    },
    /// The packets of a signature cannot be read.
    #[error("signature packets: {reason}")]
    Packets {
        /// What the OpenPGP library says.
        reason: String,
    },
    /// There is a packet that is no signature.
    #[error("signature packets: a {found} packet where only signatures may stand")]
    NotASignature {
        /// The kind of packet.
        found: String,
    },
}

/// Why one signature does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The signature is not over these bytes, or not by this key.
    BadSignature,
    /// The key was revoked.
    KeyRevoked {
        /// When, as the revocation says; nothing for one that has no time.
        at: Option<UnixSeconds>,
        /// The owner's words.
        reason: String,
    },
    /// The signature lies outside of the life of the suite.
    OutsideLife {
        /// When it was made.
        signed_at: UnixSeconds,
        /// When the suite's life began.
        from: UnixSeconds,
        /// When it ended.
        until: UnixSeconds,
    },
    /// The signature was made after the time of judgement.
    FromTheFuture {
        /// When it was made.
        signed_at: UnixSeconds,
        /// The time of judgement.
        now: UnixSeconds,
    },
    /// The key had expired at the time of judgement.
    KeyExpired {
        /// When it expired.
        on: UnixSeconds,
        /// The time of judgement.
        judged_at: UnixSeconds,
    },
    /// The signature itself has expired.
    SignatureExpired {
        /// When it expired.
        on: UnixSeconds,
    },
    /// The key is not meant to sign data.
    NotForSigning,
    /// The signature's hash can be forged.
    WeakHash {
        /// For instance `SHA1`.
        algorithm: String,
    },
    /// The key cannot be relied on at the time of judgement: too short, bound by a weak hash, or not yet bound.
    WeakKey {
        /// What the policy says.
        reason: String,
    },
    /// The signature is of a kind that does not sign documents here.
    WrongKind {
        /// For instance `Binary` in a cleartext message.
        kind: String,
    },
    /// An algorithm or a version that is not known here.
    Unsupported {
        /// Which.
        what: String,
    },
    /// No keyring has the key.
    UnknownKey,
}

impl Rejection {
    /// Says which of several rejections explains a document best: the lower, the better.
    pub(crate) fn weight(&self) -> u8 {
        match self {
            Rejection::BadSignature => 0,
            Rejection::KeyRevoked { .. } => 1,
            Rejection::OutsideLife { .. } => 2,
            Rejection::FromTheFuture { .. } => 3,
            Rejection::KeyExpired { .. } => 4,
            Rejection::SignatureExpired { .. } => 5,
            Rejection::NotForSigning => 6,
            Rejection::WeakHash { .. } => 7,
            Rejection::WeakKey { .. } => 8,
            Rejection::WrongKind { .. } => 9,
            Rejection::Unsupported { .. } => 10,
            Rejection::UnknownKey => 11,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejection::BadSignature => f.write_str("bad signature: the bytes are not those that were signed"),
            Rejection::KeyRevoked { at, reason } => {
                f.write_str("the key was revoked")?;
                if let Some(at) = at {
                    write!(f, " on {at}")?;
                }
                if reason.is_empty() { Ok(()) } else { write!(f, " ({reason})") }
            }
            Rejection::OutsideLife { signed_at, from, until } => {
                write!(
                    f,
                    "the signature was made on {signed_at}, outside of the suite's life from {from} until {until}"
                )
            }
            Rejection::FromTheFuture { signed_at, now } => {
                write!(f, "the signature was made on {signed_at}, in the future of this machine's clock ({now})")
            }
            Rejection::KeyExpired { on, judged_at } => write!(f, "the key expired on {on}, judged at {judged_at}"),
            Rejection::SignatureExpired { on } => write!(f, "the signature expired on {on}"),
            Rejection::NotForSigning => f.write_str("the key is not for signing data"),
            Rejection::WeakHash { algorithm } => write!(f, "the signature's hash {algorithm} is too weak"),
            Rejection::WeakKey { reason } => write!(f, "the key cannot be relied on: {reason}"),
            Rejection::WrongKind { kind } => write!(f, "a signature of kind {kind} signs no document of this form"),
            Rejection::Unsupported { what } => write!(f, "{what} is not supported"),
            Rejection::UnknownKey => f.write_str("the key is in no keyring"),
        }
    }
}

/// One signature that does not count, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Who made the signature, as it says itself.
    pub issuer: Issuer,
    /// The certificate that the signature was judged by, where a keyring has one.
    pub certificate: Option<Fingerprint>,
    /// Why it does not count.
    pub rejection: Rejection,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.certificate {
            Some(certificate) => write!(f, "signature by {certificate}: {}", self.rejection),
            None => write!(f, "signature by {}: {}", self.issuer, self.rejection),
        }
    }
}

/// A failure to verify a signed document; nothing of the document may be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The document or its signatures are more than is read.
    #[error("the {what} too large: {found} bytes, at most {limit} allowed")]
    TooLarge {
        /// `document is` or `signatures are`.
        what: &'static str,
        /// Bytes, at most.
        limit: usize,
        /// So many.
        found: usize,
    },
    /// There are more signatures than are judged.
    #[error("there are too many signatures: {found}, at most {limit} allowed")]
    TooMany {
        /// At most.
        limit: usize,
        /// So many, if not more.
        found: usize,
    },
    /// There is no signature at all.
    #[error("not signed: there is no OpenPGP signature in it")]
    NotSigned,
    /// The frame is broken, or something stands outside of what is signed.
    #[error("malformed signed document: {problem}")]
    Malformed {
        /// What, and where.
        #[source]
        problem: Malformed,
    },
    /// Nobody who signed is in a keyring.
    #[error("signed by no trusted key: {}", list(issuers))]
    NoTrustedKey {
        /// Who signed, as the signatures say, sorted.
        issuers: Vec<Issuer>,
    },
    /// A trusted key signed, and yet the signature does not count.
    #[error("{finding}")]
    Rejected {
        /// The signature that explains it best.
        finding: Finding,
        /// All other signatures.
        others: Vec<Finding>,
    },
}

impl TrustError {
    /// What a person can do about it, in one sentence; where nothing can be done but to ask another mirror, that.
    ///
    /// `distribution` is the word by which its keyrings are updated.
    #[must_use]
    pub fn remedy(&self, distribution: &str) -> String {
        let remedy = match self {
            TrustError::NoTrustedKey { .. } => {
                "if this is a new key of the distribution, run `bedplate keyring update DISTRIBUTION`; else give the keyring with --keyring FILE"
            }
            TrustError::Rejected { finding, .. } => match finding.rejection {
                Rejection::FromTheFuture { .. } => "set this machine's clock",
                Rejection::KeyExpired { .. } | Rejection::WeakKey { .. } => {
                    "if the distribution prolonged its key, run `bedplate keyring update DISTRIBUTION`; else give a newer keyring with --keyring FILE"
                }
                Rejection::OutsideLife { .. } => "ask the archive that holds the ended suite as it was",
                _ => "ask another mirror; if it says the same, the archive is not what its distribution signed",
            },
            TrustError::NotSigned => "archives that are not signed are used with --allow-unsigned only",
            TrustError::Malformed { .. } | TrustError::TooLarge { .. } | TrustError::TooMany { .. } => {
                "ask another mirror; a proxy or a login page may have answered in its place"
            }
        };
        remedy.replace("DISTRIBUTION", distribution)
    }
}

fn list(issuers: &[Issuer]) -> String {
    issuers.iter().map(Issuer::to_string).collect::<Vec<_>>().join(", ")
}

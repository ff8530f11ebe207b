//! Signed documents: the text that a trusted key signed, or why there is none.

use sequoia_openpgp::{
    Cert, Packet,
    cert::{
        ValidCert,
        amalgamation::{ValidAmalgamation as _, key::ValidErasedKeyAmalgamation},
    },
    packet::{Signature, key::PublicParts},
    parse::{Dearmor, PacketParserBuilder, PacketParserResult, Parse as _},
    policy::{HashAlgoSecurity, Policy as _},
    types::{HashAlgorithm, RevocationStatus, SignatureType},
};

use crate::{
    MAX_DOCUMENT, MAX_SIGNATURE_BYTES, MAX_SIGNATURES,
    armour::{self, Lines, SIGNATURE},
    cleartext,
    error::{Finding, Malformed, Rejection, TrustError},
    judgement::{Judgement, SKEW},
    key_name::{Fingerprint, Issuer},
    keyring::Keyring,
    time::UnixSeconds,
};

/// What a trusted key signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Exactly the signed text. Of a cleartext message: without dash-escapes and without blanks at line ends (no signature covers them), each line ended by `\n`; of a detached
    /// signature: the bytes as they were given.
    pub text: Vec<u8>,
    /// The fingerprint of the primary key of who signed.
    pub signer: Fingerprint,
    /// Those of all whose signatures count, the signer first: a document may lose any of them but one and be as valid.
    pub signers: Vec<Fingerprint>,
    /// The fingerprint of the key that signed, which may be a subkey.
    pub signing_key: Fingerprint,
    /// When, as the signature says.
    pub signed_at: UnixSeconds,
    /// The signatures beside that do not count, and why.
    pub others: Vec<Finding>,
}

/// Verifies a cleartext message (`InRelease`) and gives the text that was signed.
///
/// One valid signature of a key in `keyring` is enough; of several, the first counts.
///
/// # Errors
/// [`TrustError`]; then nothing of the document may be used.
pub fn verify_cleartext(document: &[u8], keyring: &Keyring, judgement: &Judgement) -> Result<Signed, TrustError> {
    limit("document is", document.len(), MAX_DOCUMENT)?;
    let parts = cleartext::split(document)?;
    let canonical = cleartext::canonical(&parts.text);
    let signatures = packets(&parts.signature)?;
    let verdict = judge_all(&signatures, &Content { form: Form::Cleartext, bytes: &canonical }, keyring, judgement)?;
    Ok(verdict.signed(parts.text))
}

/// The text of a document that carries its signatures (`InRelease`), which nobody judged.
///
/// # Errors
/// [`TrustError`] where it has not the form of a signed document.
pub fn unverified_cleartext(document: &[u8]) -> Result<Vec<u8>, TrustError> {
    limit("document is", document.len(), MAX_DOCUMENT)?;
    Ok(cleartext::split(document)?.text)
}

/// Verifies a document (`Release`) by signatures beside it (`Release.gpg`): packets, or any number of armoured blocks.
///
/// One valid signature of a key in `keyring` is enough; of several, the first counts.
///
/// # Errors
/// [`TrustError`]; then nothing of the document may be used.
pub fn verify_detached(
    document: &[u8],
    signatures: &[u8],
    keyring: &Keyring,
    judgement: &Judgement,
) -> Result<Signed, TrustError> {
    limit("document is", document.len(), MAX_DOCUMENT)?;
    limit("signatures are", signatures.len(), MAX_SIGNATURE_BYTES)?;
    let signatures = packets(&unarmoured(signatures)?)?;
    let verdict = judge_all(&signatures, &Content { form: Form::Detached, bytes: document }, keyring, judgement)?;
    Ok(verdict.signed(document.to_vec()))
}

fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), TrustError> {
    if found > limit { Err(TrustError::TooLarge { what, limit, found }) } else { Ok(()) }
}

/// The packets of a file of signatures, whichever its form.
fn unarmoured(signatures: &[u8]) -> Result<Vec<u8>, TrustError> {
    if signatures.first().is_some_and(|first| first & 0x80 != 0) {
        return Ok(signatures.to_vec());
    }
    if !armour::has_line(signatures, SIGNATURE) {
        return Err(TrustError::NotSigned);
    }
    let mut packets = Vec::new();
    let mut lines = Lines::new(signatures);
    while let Some(line) = lines.next_filled() {
        if line != SIGNATURE {
            let problem = lines.unexpected("an armoured signature", line);
            return Err(TrustError::Malformed { problem });
        }
        let block = armour::read_block(&mut lines, b"-----END PGP SIGNATURE-----");
        packets.extend_from_slice(&block.map_err(|problem| TrustError::Malformed { problem })?);
    }
    Ok(packets)
}

/// A signature as its packet says, or why the packet is none that can be judged.
#[derive(Debug)]
enum Parsed {
    Signature(Box<Signature>),
    Unsupported(String),
}

/// Reads packets, of which each must be a signature.
fn packets(bytes: &[u8]) -> Result<Vec<Parsed>, TrustError> {
    limit("signatures are", bytes.len(), MAX_SIGNATURE_BYTES)?;
    let broken = |reason: &dyn std::fmt::Display| TrustError::Malformed {
        problem: Malformed::Packets { reason: reason.to_string() },
    };
    let mut signatures = Vec::new();
    if bytes.is_empty() {
        return Err(TrustError::NotSigned);
    }
    let parser = PacketParserBuilder::from_bytes(bytes).and_then(|builder| builder.dearmor(Dearmor::Disabled).build());
    let mut next = parser.map_err(|error| broken(&error))?;
    while let PacketParserResult::Some(parser) = next {
        // Next, not recurse: a container is refused by its kind, and what is in it is never looked at.
        let (packet, rest) = parser.next().map_err(|error| broken(&error))?;
        match packet {
            Packet::Signature(signature) => signatures.push(Parsed::Signature(Box::new(signature))),
            Packet::Unknown(unknown) if unknown.tag() == sequoia_openpgp::packet::Tag::Signature => {
                signatures.push(Parsed::Unsupported(unknown.error().to_string()));
            }
            other => {
                return Err(TrustError::Malformed {
                    problem: Malformed::NotASignature { found: other.tag().to_string() },
                });
            }
        }
        if signatures.len() > MAX_SIGNATURES {
            return Err(TrustError::TooMany { limit: MAX_SIGNATURES, found: signatures.len() });
        }
        next = rest;
    }
    if signatures.is_empty() { Err(TrustError::NotSigned) } else { Ok(signatures) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Cleartext,
    Detached,
}

/// What the signatures are over.
#[derive(Debug)]
struct Content<'a> {
    form: Form,
    /// Of a cleartext message in canonical form.
    bytes: &'a [u8],
}

/// A signature that counts.
#[derive(Debug)]
struct Verdict {
    signer: Fingerprint,
    signers: Vec<Fingerprint>,
    signing_key: Fingerprint,
    signed_at: UnixSeconds,
    others: Vec<Finding>,
}

impl Verdict {
    fn signed(self, text: Vec<u8>) -> Signed {
        Signed {
            text,
            signer: self.signer,
            signers: self.signers,
            signing_key: self.signing_key,
            signed_at: self.signed_at,
            others: self.others,
        }
    }
}

fn judge_all(
    signatures: &[Parsed],
    content: &Content<'_>,
    keyring: &Keyring,
    judgement: &Judgement,
) -> Result<Verdict, TrustError> {
    let mut good: Option<Verdict> = None;
    let mut signers = Vec::new();
    let mut findings = Vec::new();
    for signature in signatures {
        match signature {
            Parsed::Signature(signature) => match judge(signature, content, keyring, judgement) {
                Ok(verdict) => {
                    signers.push(verdict.signer.clone());
                    good = good.or(Some(verdict));
                }
                Err(finding) => findings.push(finding),
            },
            Parsed::Unsupported(what) => findings.push(Finding {
                issuer: Issuer::of(&[]),
                certificate: None,
                rejection: Rejection::Unsupported { what: format!("a signature ({what})") },
            }),
        }
    }
    if let Some(mut verdict) = good {
        (verdict.signers, verdict.others) = (signers, findings);
        return Ok(verdict);
    }
    findings.sort_by_key(|finding| finding.rejection.weight());
    if findings.iter().all(|finding| finding.certificate.is_none()) {
        let mut issuers: Vec<Issuer> = findings.into_iter().map(|finding| finding.issuer).collect();
        issuers.sort();
        issuers.dedup();
        return Err(TrustError::NoTrustedKey { issuers });
    }
    let finding = findings.remove(0);
    Err(TrustError::Rejected { finding, others: findings })
}

/// Judges one signature by every certificate that it may be of.
fn judge(
    signature: &Signature,
    content: &Content<'_>,
    keyring: &Keyring,
    judgement: &Judgement,
) -> Result<Verdict, Finding> {
    let handles = signature.get_issuers();
    let issuer = Issuer::of(&handles);
    let mut best: Option<Finding> = None;
    for cert in keyring.find(&handles) {
        let fingerprint = Fingerprint::of(&cert.fingerprint());
        match judge_by(signature, content, cert, judgement) {
            Ok((signing_key, signed_at)) => {
                let (signers, others) = (Vec::new(), Vec::new());
                return Ok(Verdict { signer: fingerprint, signers, signing_key, signed_at, others });
            }
            Err(rejection) => {
                let finding = Finding { issuer: issuer.clone(), certificate: Some(fingerprint), rejection };
                // A handle may be a key ID of 64 bits, which two certificates can share: the one that comes further explains more.
                if best.as_ref().is_none_or(|best| finding.rejection.weight() > best.rejection.weight()) {
                    best = Some(finding);
                }
            }
        }
    }
    Err(best.unwrap_or(Finding { issuer, certificate: None, rejection: Rejection::UnknownKey }))
}

fn judge_by(
    signature: &Signature,
    content: &Content<'_>,
    cert: &Cert,
    judgement: &Judgement,
) -> Result<(Fingerprint, UnixSeconds), Rejection> {
    let kind_is_right = match content.form {
        Form::Cleartext => signature.typ() == SignatureType::Text,
        Form::Detached => matches!(signature.typ(), SignatureType::Binary | SignatureType::Text),
    };
    if !kind_is_right {
        return Err(Rejection::WrongKind { kind: format!("{:?}", signature.typ()) });
    }
    if is_weak(signature.hash_algo()) {
        return Err(Rejection::WeakHash { algorithm: signature.hash_algo().to_string() });
    }
    let key = signing_key(signature, content, cert)?;
    let signed_at = signature.signature_creation_time().map(UnixSeconds::from_system).ok_or(Rejection::BadSignature)?;
    let judged_at = judgement.time(signed_at);
    let policy = judgement.policy(signed_at);
    policy
        .signature(signature, HashAlgoSecurity::CollisionResistance)
        .map_err(|reason| Rejection::WeakHash { algorithm: format!("{} ({reason})", signature.hash_algo()) })?;
    match judgement {
        Judgement::Now(now) if signed_at > now.plus(SKEW) => {
            return Err(Rejection::FromTheFuture { signed_at, now: *now });
        }
        Judgement::AtSignature { from, until } if signed_at < *from || signed_at > *until => {
            return Err(Rejection::OutsideLife { signed_at, from: *from, until: *until });
        }
        _ => {}
    }
    if let Some(on) = signature.signature_expiration_time().map(UnixSeconds::from_system)
        && on <= judged_at
    {
        return Err(Rejection::SignatureExpired { on });
    }
    let weak = |reason: &dyn std::fmt::Display| Rejection::WeakKey { reason: reason.to_string() };
    let valid = cert.with_policy(&policy, judged_at.to_system()).map_err(|error| weak(&chain(&error)))?;
    check_certificate(&valid, judged_at)?;
    let found = valid.keys().find(|candidate| candidate.key().fingerprint() == key);
    let found = found.ok_or_else(|| weak(&"the signing key is not bound to the certificate"))?;
    check_key(&found, judged_at)?;
    Ok((Fingerprint::of(&key), signed_at))
}

/// MD5, SHA-1 and RIPEMD-160: collisions can be computed, and a signature on one document is a signature on another.
fn is_weak(hash: HashAlgorithm) -> bool {
    matches!(hash, HashAlgorithm::MD5 | HashAlgorithm::SHA1 | HashAlgorithm::RipeMD)
}

/// The key of the certificate that made the signature over the content.
fn signing_key(
    signature: &Signature,
    content: &Content<'_>,
    cert: &Cert,
) -> Result<sequoia_openpgp::Fingerprint, Rejection> {
    let unsupported = |_| Rejection::Unsupported { what: format!("hash {}", signature.hash_algo()) };
    let mut hash = signature.hash_algo().context().map_err(unsupported)?.for_signature(signature.version());
    if let Some(salt) = signature.salt() {
        hash.update(salt);
    }
    match (content.form, signature.typ()) {
        (Form::Detached, SignatureType::Text) => hash.update(&cleartext::crlf(content.bytes)),
        _ => hash.update(content.bytes),
    }
    let handles = signature.get_issuers();
    for candidate in cert.keys() {
        let key = candidate.key();
        if handles.iter().any(|handle| handle.aliases(key.key_handle()))
            && signature.verify_hash(key, hash.clone()).is_ok()
        {
            return Ok(key.fingerprint());
        }
    }
    Err(Rejection::BadSignature)
}

fn check_certificate(valid: &ValidCert<'_>, judged_at: UnixSeconds) -> Result<(), Rejection> {
    check_revocation(&valid.revocation_status())?;
    check_expiry(valid.primary_key().key_expiration_time(), judged_at)?;
    valid.alive().map_err(|error| Rejection::WeakKey { reason: chain(&error) })
}

fn check_key(key: &ValidErasedKeyAmalgamation<'_, PublicParts>, judged_at: UnixSeconds) -> Result<(), Rejection> {
    check_revocation(&key.revocation_status())?;
    check_expiry(key.key_expiration_time(), judged_at)?;
    key.alive().map_err(|error| Rejection::WeakKey { reason: chain(&error) })?;
    if key.for_signing() { Ok(()) } else { Err(Rejection::NotForSigning) }
}

fn check_expiry(expires: Option<std::time::SystemTime>, judged_at: UnixSeconds) -> Result<(), Rejection> {
    match expires.map(UnixSeconds::from_system) {
        Some(on) if on <= judged_at => Err(Rejection::KeyExpired { on, judged_at }),
        _ => Ok(()),
    }
}

/// Refuses what its owner revoked. A revocation by a designated revoker whose key is not at hand cannot be checked and does not count, as with `gpgv` and `sqv`.
fn check_revocation(status: &RevocationStatus<'_>) -> Result<(), Rejection> {
    let RevocationStatus::Revoked(signatures) = status else {
        return Ok(());
    };
    let first = signatures.first();
    let reason = first.and_then(|signature| signature.reason_for_revocation()).map(|(code, text)| match text {
        [] => code.to_string(),
        text => format!("{code}: {}", armour::quote(text)),
    });
    let at = first.and_then(|signature| signature.signature_creation_time()).map(UnixSeconds::from_system);
    Err(Rejection::KeyRevoked { at, reason: reason.unwrap_or_default() })
}

/// An error of the library with its causes, in one line.
fn chain(error: &sequoia_openpgp::anyhow::Error) -> String {
    format!("{error:#}")
}

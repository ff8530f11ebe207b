//! Keys and signatures with chosen times and hashes: what the holder of an archive's key does, and what an attacker does.

use sequoia_openpgp::{
    Cert, Profile,
    cert::{CertBuilder, CertRevocationBuilder, CipherSuite},
    crypto::KeyPair,
    packet::{Packet, Signature, signature::SignatureBuilder},
    serialize::{Serialize as _, SerializeInto as _},
    types::{HashAlgorithm, KeyFlags, ReasonForRevocation, SignatureType},
};

use bedplate_trust::{Fingerprint, UnixSeconds};

/// Which key is made.
#[derive(Debug, Clone)]
pub(crate) struct KeySpec {
    /// For instance `Archive <archive@example.org>`.
    pub(crate) user_id: String,
    /// When it was made.
    pub(crate) created: UnixSeconds,
    /// When it expires, if it does.
    pub(crate) expires: Option<UnixSeconds>,
    /// Whether a subkey signs, as with Debian's automatic keys.
    pub(crate) subkey: bool,
    /// RSA of 2048 bits (slow to make) rather than Ed25519, for readers of trusty's age.
    pub(crate) rsa: bool,
}

impl KeySpec {
    /// A key that does not expire and signs itself.
    pub(crate) fn new(user_id: &str, created: UnixSeconds) -> KeySpec {
        KeySpec { user_id: user_id.to_owned(), created, expires: None, subkey: false, rsa: false }
    }
}

/// The hash of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    /// Broken; only to be refused.
    Md5,
    /// Broken; only to be refused.
    Sha1,
    /// The oldest that is accepted.
    Sha256,
    /// What archives use.
    Sha512,
}

impl Hash {
    fn algorithm(self) -> HashAlgorithm {
        match self {
            Hash::Md5 => HashAlgorithm::MD5,
            Hash::Sha1 => HashAlgorithm::SHA1,
            Hash::Sha256 => HashAlgorithm::SHA256,
            Hash::Sha512 => HashAlgorithm::SHA512,
        }
    }
}

/// How a signature is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignSpec {
    /// The time that the signature says.
    pub(crate) at: UnixSeconds,
    /// Its hash.
    pub(crate) hash: Hash,
    /// Seconds after which the signature itself expires, if it does.
    pub(crate) expires_after: Option<u64>,
}

impl SignSpec {
    /// A signature of this time with SHA-512.
    pub(crate) fn at(at: UnixSeconds) -> SignSpec {
        SignSpec { at, hash: Hash::Sha512, expires_after: None }
    }

    /// The same with another hash.
    pub(crate) fn with_hash(self, hash: Hash) -> SignSpec {
        SignSpec { hash, ..self }
    }
}

/// Why a key is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// Hard: every signature falls, whatever its time.
    Compromised,
    /// Soft: signatures from before stand.
    Retired,
}

/// A key with its private half.
#[derive(Debug, Clone)]
pub(crate) struct SigningKey {
    cert: Cert,
    subkey: bool,
}

const INVARIANT: &str = "a generated key can do what it was generated for";

impl SigningKey {
    /// Makes a key. Its numbers are random, its times are those of `spec`.
    ///
    /// # Panics
    /// For times before 1970-01-02 or after 2106.
    pub(crate) fn generate(spec: &KeySpec) -> SigningKey {
        let suite = if spec.rsa { CipherSuite::RSA2k } else { CipherSuite::Cv25519 };
        let validity =
            spec.expires.map(|expires| std::time::Duration::from_secs(expires.0.saturating_sub(spec.created.0)));
        // The profile of RFC 4880 gives version 4, which gpgv and apt of every age read.
        let mut builder = CertBuilder::new().set_profile(Profile::RFC4880).expect(INVARIANT);
        builder = builder
            .set_cipher_suite(suite)
            .add_userid(spec.user_id.as_str())
            .set_creation_time(spec.created.system())
            .set_validity_period(validity);
        builder = if spec.subkey {
            builder.set_primary_key_flags(KeyFlags::empty().set_certification()).add_signing_subkey()
        } else {
            builder.set_primary_key_flags(KeyFlags::empty().set_certification().set_signing())
        };
        let (cert, _) = builder.generate().expect(INVARIANT);
        SigningKey { cert, subkey: spec.subkey }
    }

    /// The fingerprint of the primary key.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.cert.fingerprint())
    }

    /// The fingerprint of the key that signs.
    pub(crate) fn signing_fingerprint(&self) -> Fingerprint {
        fingerprint(&self.pair().public().fingerprint())
    }

    /// The certificate in binary form: a keyring of one, and keyrings may be concatenated.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.cert.clone().strip_secret_key_material().to_vec().expect(INVARIANT)
    }

    /// The certificate with armour.
    pub(crate) fn certificate_armoured(&self) -> Vec<u8> {
        armoured("PUBLIC KEY BLOCK", &self.certificate())
    }

    /// The private key in binary form, which no keyring may hold.
    pub(crate) fn private(&self) -> Vec<u8> {
        self.cert.as_tsk().to_vec().expect(INVARIANT)
    }

    /// The same key, revoked at a time.
    pub(crate) fn revoked(&self, at: UnixSeconds, why: Revocation) -> SigningKey {
        let reason = match why {
            Revocation::Compromised => ReasonForRevocation::KeyCompromised,
            Revocation::Retired => ReasonForRevocation::KeyRetired,
        };
        let primary = self.cert.primary_key().key().clone().parts_into_secret().expect(INVARIANT);
        let mut pair = primary.into_keypair().expect(INVARIANT);
        let revocation = CertRevocationBuilder::new()
            .set_signature_creation_time(at.system())
            .and_then(|builder| builder.set_reason_for_revocation(reason, b"test"))
            .and_then(|builder| builder.build(&mut pair, &self.cert, None))
            .expect(INVARIANT);
        let (cert, _) = self.cert.clone().insert_packets([revocation]).expect(INVARIANT);
        SigningKey { cert, subkey: self.subkey }
    }

    /// Signs `text` as `InRelease` is signed.
    pub(crate) fn sign_cleartext(&self, text: &[u8], spec: &SignSpec) -> Vec<u8> {
        sign_cleartext(text, &[(self, *spec)])
    }

    /// Signs `document` as `Release.gpg` does, armoured.
    pub(crate) fn sign_detached(&self, document: &[u8], spec: &SignSpec) -> Vec<u8> {
        sign_detached(document, &[(self, *spec)])
    }

    /// Signs `document` in binary form, without armour.
    pub(crate) fn sign_detached_binary(&self, document: &[u8], spec: &SignSpec) -> Vec<u8> {
        packet(self.sign(SignatureType::Binary, document, spec))
    }

    /// A text signature beside a document, without armour: rare, and line ends do not matter to it.
    pub(crate) fn sign_detached_text(&self, document: &[u8], spec: &SignSpec) -> Vec<u8> {
        packet(self.sign(SignatureType::Text, &crlf(document), spec))
    }

    /// A cleartext message whose signature says that it is over binary data: no archive makes it.
    pub(crate) fn sign_cleartext_as_binary(&self, text: &[u8], spec: &SignSpec) -> Vec<u8> {
        let clean = clean(text);
        frame(&clean, &packet(self.sign(SignatureType::Binary, &canonical(&clean), spec)), &[*spec])
    }

    /// The same key whose primary key signs though it should not.
    pub(crate) fn with_primary_signing(&self) -> SigningKey {
        SigningKey { cert: self.cert.clone(), subkey: false }
    }

    fn pair(&self) -> KeyPair {
        if self.subkey {
            let key = self.cert.keys().subkeys().secret().next().expect(INVARIANT);
            key.key().clone().into_keypair().expect(INVARIANT)
        } else {
            let key = self.cert.primary_key().key().clone().parts_into_secret().expect(INVARIANT);
            key.into_keypair().expect(INVARIANT)
        }
    }

    fn sign(&self, kind: SignatureType, bytes: &[u8], spec: &SignSpec) -> Signature {
        let mut builder = SignatureBuilder::new(kind)
            .set_hash_algo(spec.hash.algorithm())
            .set_signature_creation_time(spec.at.system())
            .expect(INVARIANT);
        if let Some(seconds) = spec.expires_after {
            builder = builder.set_signature_validity_period(std::time::Duration::from_secs(seconds)).expect(INVARIANT);
        }
        builder.sign_message(&mut self.pair(), bytes).expect(INVARIANT)
    }
}

/// Signs `text` as `InRelease` is signed, with any number of signatures in one block.
pub(crate) fn sign_cleartext(text: &[u8], signers: &[(&SigningKey, SignSpec)]) -> Vec<u8> {
    let clean = clean(text);
    let canonical = canonical(&clean);
    let mut packets = Vec::new();
    for (key, spec) in signers {
        packets.extend(packet(key.sign(SignatureType::Text, &canonical, spec)));
    }
    let specs: Vec<SignSpec> = signers.iter().map(|(_, spec)| *spec).collect();
    frame(&clean, &packets, &specs)
}

/// Signs `document` as `Release.gpg` does: one armoured block with a packet of each signer.
pub(crate) fn sign_detached(document: &[u8], signers: &[(&SigningKey, SignSpec)]) -> Vec<u8> {
    let mut packets = Vec::new();
    for (key, spec) in signers {
        packets.extend(packet(key.sign(SignatureType::Binary, document, spec)));
    }
    armoured("SIGNATURE", &packets)
}

/// Puts packets into armour; `label` is what stands behind `PGP`.
pub(crate) fn armoured(label: &str, packets: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN PGP {label}-----\n\n");
    for row in packets.chunks(48) {
        for chunk in row.chunks(3) {
            let mut three = [0; 3];
            three[..chunk.len()].copy_from_slice(chunk);
            let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
            for index in 0..4 {
                let sextet = (bits >> (18 - 6 * index) & 63) as usize;
                text.push(if index <= chunk.len() { ALPHABET[sextet] as char } else { '=' });
            }
        }
        text.push('\n');
    }
    text.push_str(&format!("-----END PGP {label}-----\n"));
    text.into_bytes()
}

/// Text as a cleartext message can hold it: no blanks at line ends, a line end behind the last line.
fn clean(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 1);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        out.extend_from_slice(line.trim_ascii_end());
        out.push(b'\n');
    }
    out
}

fn frame(text: &[u8], packets: &[u8], specs: &[SignSpec]) -> Vec<u8> {
    let mut out = b"-----BEGIN PGP SIGNED MESSAGE-----\n".to_vec();
    let mut hashes: Vec<String> = specs.iter().map(|spec| spec.hash.algorithm().to_string()).collect();
    hashes.dedup();
    out.extend_from_slice(format!("Hash: {}\n\n", hashes.join(",")).as_bytes());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"-") {
            out.extend_from_slice(b"- ");
        }
        out.extend_from_slice(line);
    }
    out.extend_from_slice(&armoured("SIGNATURE", packets));
    out
}

fn packet(signature: Signature) -> Vec<u8> {
    let mut bytes = Vec::new();
    Packet::from(signature).serialize(&mut bytes).expect(INVARIANT);
    bytes
}

/// What a text signature covers of a document: `\r\n` at the end of each line.
fn crlf(text: &[u8]) -> Vec<u8> {
    String::from_utf8(text.to_vec()).expect("tests sign text").replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()
}

/// What a cleartext signature covers: the same without the last line end.
fn canonical(text: &[u8]) -> Vec<u8> {
    crlf(text.strip_suffix(b"\n").unwrap_or(text))
}

fn fingerprint(raw: &sequoia_openpgp::Fingerprint) -> Fingerprint {
    raw.to_hex().parse().expect(INVARIANT)
}

trait System {
    fn system(self) -> std::time::SystemTime;
}

impl System for UnixSeconds {
    fn system(self) -> std::time::SystemTime {
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(self.0)
    }
}

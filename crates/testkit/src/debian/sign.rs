//! Signing keys of generated archives, and signatures made with any time and digest.

use super::hash::Hash;
use sequoia_openpgp::Cert;
use sequoia_openpgp::Packet;
use sequoia_openpgp::cert::{CertBuilder, CipherSuite};
use sequoia_openpgp::crypto::KeyPair;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::{Serialize, SerializeInto};
use sequoia_openpgp::types::{KeyFlags, SignatureType};
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Mathematics of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyKind {
    /// EdDSA over Curve25519, as Debian's stable release keys; made at once.
    #[default]
    Ed25519,
    /// RSA of 2048 bits; takes about a second to make.
    Rsa2048,
}

/// How a key is made.
#[derive(Debug, Clone)]
pub struct KeySpec {
    /// User ID.
    pub name: String,
    /// Creation in seconds since the epoch.
    pub created: u64,
    /// Seconds after creation at which it expires; `None`: never.
    pub lifetime: Option<u64>,
    /// Whether a subkey signs, as the automatic keys of Debian do.
    pub subkey: bool,
    /// Mathematics.
    pub kind: KeyKind,
}

impl Default for KeySpec {
    fn default() -> Self {
        KeySpec {
            name: "Generated Archive Signing Key <archive@example.org>".to_owned(),
            created: super::EPOCH - 365 * 86400,
            lifetime: None,
            subkey: false,
            kind: KeyKind::default(),
        }
    }
}

/// A key pair of a generated archive.
#[derive(Debug, Clone)]
pub struct SigningKey {
    cert: Cert,
    revocation: Signature,
    subkey: bool,
}

impl SigningKey {
    /// Makes a key; another one at each call.
    ///
    /// # Panics
    /// If the time does not fit OpenPGP's 32 bits.
    #[must_use]
    pub fn generate(spec: &KeySpec) -> SigningKey {
        let suite = match spec.kind {
            KeyKind::Ed25519 => CipherSuite::Cv25519,
            KeyKind::Rsa2048 => CipherSuite::RSA2k,
        };
        let mut builder = CertBuilder::new()
            .add_userid(spec.name.as_str())
            .set_cipher_suite(suite)
            .set_creation_time(time(spec.created));
        if let Some(seconds) = spec.lifetime {
            builder = builder.set_validity_period(Duration::from_secs(seconds));
        }
        if spec.subkey {
            builder = builder.add_signing_subkey();
        } else {
            builder = builder.set_primary_key_flags(KeyFlags::empty().set_certification().set_signing());
        }
        let (cert, revocation) = builder.generate().expect("a key of a supported kind");
        SigningKey { cert, revocation, subkey: spec.subkey }
    }

    /// A key with the usual properties.
    #[must_use]
    pub fn new() -> SigningKey {
        SigningKey::generate(&KeySpec::default())
    }

    /// The primary key's fingerprint in upper-case hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.cert.fingerprint().to_hex()
    }

    /// The public certificate, binary: what a keyring file holds (several are concatenated).
    ///
    /// # Panics
    /// Never: memory takes it.
    #[must_use]
    pub fn public(&self) -> Vec<u8> {
        self.cert.to_vec().expect("a certificate of our own")
    }

    /// The public certificate, armoured.
    ///
    /// # Panics
    /// Never: memory takes it.
    #[must_use]
    pub fn armoured(&self) -> String {
        let bytes = self.cert.armored().to_vec().expect("a certificate of our own");
        String::from_utf8(bytes).expect("armour is ASCII")
    }

    /// The same certificate after it was revoked, binary.
    ///
    /// # Panics
    /// Never: the revocation is of this key.
    #[must_use]
    pub fn revoked(&self) -> Vec<u8> {
        let packets = vec![Packet::from(self.revocation.clone())];
        let (cert, _) = self.cert.clone().insert_packets(packets).expect("own revocation");
        cert.to_vec().expect("a certificate of our own")
    }

    /// Secret and public parts, to be read by [`SigningKey::from_secret`].
    ///
    /// # Panics
    /// Never: memory takes it.
    #[must_use]
    pub fn secret(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.subkey)];
        bytes.extend((self.revocation_bytes().len() as u32).to_be_bytes());
        bytes.extend(self.revocation_bytes());
        self.cert.as_tsk().serialize(&mut bytes).expect("memory takes it");
        bytes
    }

    /// Reads what [`SigningKey::secret`] wrote.
    #[must_use]
    pub fn from_secret(bytes: &[u8]) -> Option<SigningKey> {
        let (&subkey, rest) = bytes.split_first()?;
        let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let revocation = match Packet::from_bytes(rest.get(4..4 + length)?).ok()? {
            Packet::Signature(signature) => signature,
            _ => return None,
        };
        let cert = Cert::from_bytes(rest.get(4 + length..)?).ok()?;
        Some(SigningKey { cert, revocation, subkey: subkey != 0 })
    }

    fn revocation_bytes(&self) -> Vec<u8> {
        Packet::from(self.revocation.clone()).to_vec().expect("a signature of our own")
    }

    fn pair(&self) -> KeyPair {
        let keys: Vec<_> = self.cert.keys().secret().map(|key| key.key().clone()).collect();
        let key = if self.subkey { keys.into_iter().nth(1) } else { keys.into_iter().next() };
        key.and_then(|key| key.into_keypair().ok()).expect("a generated key has its secret part")
    }
}

impl Default for SigningKey {
    fn default() -> Self {
        SigningKey::new()
    }
}

/// A key, and how it signs.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The key.
    pub key: SigningKey,
    /// Time in the signature, seconds since the epoch; `None`: the date of what is signed.
    pub at: Option<u64>,
    /// Digest of the signature.
    pub hash: Hash,
}

impl Signer {
    /// A signature of the usual kind.
    #[must_use]
    pub fn new(key: &SigningKey) -> Signer {
        Signer { key: key.clone(), at: None, hash: Hash::Sha512 }
    }

    /// Signs at another time.
    #[must_use]
    pub fn at(mut self, seconds: u64) -> Signer {
        self.at = Some(seconds);
        self
    }

    /// Signs over another digest.
    #[must_use]
    pub fn hash(mut self, hash: Hash) -> Signer {
        self.hash = hash;
        self
    }

    fn sign(&self, kind: SignatureType, data: &[u8], date: u64) -> Vec<u8> {
        let mut hash = self.hash.algorithm().context().expect("a built-in digest").for_signature(4);
        hash.update(data);
        let signature = SignatureBuilder::new(kind)
            .set_signature_creation_time(time(self.at.unwrap_or(date)))
            .and_then(|builder| builder.sign_hash(&mut self.key.pair(), hash))
            .expect("a key of our own signs");
        Packet::from(signature).to_vec().expect("memory takes it")
    }
}

/// One armoured block with a detached signature of each signer over `data`: `Release.gpg`.
#[must_use]
pub fn detached(data: &[u8], signers: &[Signer], date: u64) -> String {
    armour(&signers.iter().map(|signer| signer.sign(SignatureType::Binary, data, date)).collect::<Vec<_>>().concat())
}

/// The text with a cleartext signature of each signer: `InRelease`.
#[must_use]
pub fn cleartext(text: &str, signers: &[Signer], date: u64) -> String {
    let mut hashes: Vec<&str> = signers
        .iter()
        .map(|signer| match signer.hash {
            Hash::Md5 => "MD5",
            other => other.section(),
        })
        .collect();
    hashes.dedup();
    let mut document = "-----BEGIN PGP SIGNED MESSAGE-----\n".to_owned();
    for hash in hashes {
        document.push_str(&format!("Hash: {hash}\n"));
    }
    document.push('\n');
    for line in text.lines() {
        if line.starts_with('-') {
            document.push_str("- ");
        }
        document.push_str(line);
        document.push('\n');
    }
    // What is hashed: no blanks at the ends of lines, CRLF between them, none behind the last.
    let canonical = text.lines().map(|line| line.trim_end_matches([' ', '\t', '\r'])).collect::<Vec<_>>().join("\r\n");
    let packets: Vec<Vec<u8>> =
        signers.iter().map(|signer| signer.sign(SignatureType::Text, canonical.as_bytes(), date)).collect();
    document.push_str(&armour(&packets.concat()));
    document
}

fn armour(packets: &[u8]) -> String {
    let mut writer = sequoia_openpgp::armor::Writer::new(Vec::new(), sequoia_openpgp::armor::Kind::Signature)
        .expect("memory takes it");
    writer.write_all(packets).expect("memory takes it");
    String::from_utf8(writer.finalize().expect("memory takes it")).expect("armour is ASCII")
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debian::EPOCH;
    use crate::oracle;

    /// What gpgv says about a document: whether it accepts, and its status lines.
    fn gpgv(keyring: &[u8], document: &[u8], detached: Option<&str>) -> Option<(bool, String)> {
        oracle::find("gpgv")?;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("keyring.gpg"), keyring).unwrap();
        std::fs::write(path("document"), document).unwrap();
        let mut command = oracle::command("gpgv");
        command.args(["--status-fd", "1", "--homedir"]).arg(folder.path()).arg("--keyring").arg(path("keyring.gpg"));
        if let Some(signature) = detached {
            std::fs::write(path("signature"), signature).unwrap();
            command.arg(path("signature"));
        }
        let output = oracle::output(command.arg(path("document")));
        Some((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    #[test]
    fn gpgv_accepts_the_signatures() {
        crate::needs!("testkit::gpgv_accepts_the_signatures", oracle::find("gpgv").is_some(), "no gpgv");
        let text = "Origin: x  \n- dash\n-----\n\nlast\n";
        for (subkey, kind) in [(false, KeyKind::Ed25519), (true, KeyKind::Ed25519)] {
            let key = SigningKey::generate(&KeySpec { subkey, kind, ..KeySpec::default() });
            let key = SigningKey::from_secret(&key.secret()).unwrap();
            let signer = Signer::new(&key);
            let document = cleartext(text, std::slice::from_ref(&signer), EPOCH);
            let (good, said) = gpgv(&key.public(), document.as_bytes(), None).unwrap();
            assert!(good, "{said}");
            assert!(said.contains(&key.fingerprint()), "{said}");
            let signature = detached(text.as_bytes(), &[signer], EPOCH);
            let (good, said) = gpgv(&key.public(), text.as_bytes(), Some(&signature)).unwrap();
            assert!(good, "{said}");
            let (good, _) = gpgv(&key.public(), b"Origin: y\n", Some(&signature)).unwrap();
            assert!(!good, "a signature of another text");
        }
    }

    #[test]
    fn keys_expire_and_are_revoked() {
        crate::needs!("testkit::keys_expire_and_are_revoked", oracle::find("gpgv").is_some(), "no gpgv");
        let spec = KeySpec { lifetime: Some(400 * 86400), ..KeySpec::default() };
        let key = SigningKey::generate(&spec);
        let document = cleartext("a\n", &[Signer::new(&key)], EPOCH);
        let (_, said) = gpgv(&key.public(), document.as_bytes(), None).unwrap();
        assert!(said.contains("EXPKEYSIG"), "{said}");
        let key = SigningKey::new();
        let document = cleartext("a\n", &[Signer::new(&key)], EPOCH);
        let (_, said) = gpgv(&key.revoked(), document.as_bytes(), None).unwrap();
        assert!(said.contains("REVKEYSIG"), "{said}");
    }
}

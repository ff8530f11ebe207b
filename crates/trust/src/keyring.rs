//! Keyrings: the certificates whose signatures count.

use std::collections::BTreeMap;

use sequoia_openpgp::{
    Cert, KeyHandle,
    cert::CertParser,
    parse::{Dearmor, PacketParserBuilder, Parse as _},
    policy::StandardPolicy,
    types::RevocationStatus,
};

use crate::{
    MAX_CERTIFICATES, MAX_KEYRING,
    armour::{self, Lines, PUBLIC_KEYS},
    error::KeyringError,
    key_name::Fingerprint,
    time::UnixSeconds,
};

/// A set of certificates; to be in it is to be trusted with an archive.
///
/// The same certificate in several keyrings is one, with the revocations and prolongations of all of them.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    certificates: BTreeMap<Fingerprint, Cert>,
    names: Vec<String>,
    skipped: Vec<String>,
}

/// What a certificate says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The fingerprint of the primary key.
    pub fingerprint: Fingerprint,
    /// The fingerprints of its subkeys, in the file's order.
    pub subkeys: Vec<Fingerprint>,
    /// Names and addresses, foreign text made printable.
    pub user_ids: Vec<String>,
    /// When the key was made.
    pub created: UnixSeconds,
    /// When the key expires by its newest self-signature; nothing for a key that does not.
    pub expires: Option<UnixSeconds>,
    /// Whether the owner revoked it.
    pub revoked: bool,
}

impl Keyring {
    /// Reads a keyring: certificates in binary form, or in any number of armoured blocks with text around them.
    ///
    /// `name` stands in errors, and in [`Keyring::names`]. Certificates of a kind that is not known here are skipped, as `gpgv` does, as long as one can be read.
    ///
    /// # Errors
    /// [`KeyringError`]: no certificate, broken armour, a keybox, a private key, too large.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Keyring, KeyringError> {
        if bytes.len() > MAX_KEYRING {
            return Err(KeyringError::TooLarge {
                name: name.to_owned(),
                what: "bytes",
                limit: MAX_KEYRING,
                found: bytes.len(),
            });
        }
        if bytes.get(8..12) == Some(b"KBXf") {
            return Err(KeyringError::Keybox { name: name.to_owned() });
        }
        let mut keyring = Keyring { names: vec![name.to_owned()], ..Keyring::default() };
        match bytes.first() {
            // The first byte of a packet has its highest bit set, and no text does in its first line of armour.
            Some(first) if first & 0x80 != 0 => keyring.read(name, bytes)?,
            _ => {
                let mut lines = Lines::new(bytes);
                while let Some(line) = lines.next() {
                    if line == PUBLIC_KEYS {
                        let block = armour::read_block(&mut lines, b"-----END PGP PUBLIC KEY BLOCK-----")
                            .map_err(|problem| KeyringError::Armour { name: name.to_owned(), problem })?;
                        keyring.read(name, &block)?;
                    }
                }
            }
        }
        if keyring.certificates.is_empty() {
            return Err(match keyring.skipped.pop() {
                Some(reason) => KeyringError::Certificate { name: name.to_owned(), position: 1, reason },
                None => KeyringError::Empty { name: name.to_owned() },
            });
        }
        Ok(keyring)
    }

    /// Adds the certificates of another keyring.
    pub fn merge(&mut self, other: Keyring) {
        for (_, certificate) in other.certificates {
            self.add(certificate);
        }
        self.names.extend(other.names);
        self.skipped.extend(other.skipped);
    }

    /// The certificates, by fingerprint.
    pub fn certificates(&self) -> impl Iterator<Item = Certificate> + '_ {
        self.certificates.iter().map(|(fingerprint, cert)| describe(fingerprint, cert))
    }

    /// Says whether there is a certificate with this primary fingerprint.
    #[must_use]
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.certificates.contains_key(fingerprint)
    }

    /// The number of certificates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.certificates.len()
    }

    /// Says whether there is no certificate, so that nothing can be verified.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// The names of the keyrings that were merged into this one, in order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// One line for each certificate that could not be read and was skipped.
    #[must_use]
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// The certificates with a key of one of these handles.
    pub(crate) fn find<'a>(&'a self, handles: &'a [KeyHandle]) -> impl Iterator<Item = &'a Cert> + 'a {
        self.certificates
            .values()
            .filter(|cert| cert.keys().any(|key| handles.iter().any(|handle| handle.aliases(key.key().key_handle()))))
    }

    fn read(&mut self, name: &str, packets: &[u8]) -> Result<(), KeyringError> {
        let parser =
            PacketParserBuilder::from_bytes(packets).and_then(|builder| builder.dearmor(Dearmor::Disabled).build());
        let parser = match parser {
            Ok(parser) => parser,
            Err(reason) => {
                self.skipped.push(reason.to_string());
                return Ok(());
            }
        };
        for (index, cert) in CertParser::from(parser).enumerate() {
            if index >= MAX_CERTIFICATES {
                return Err(KeyringError::TooLarge {
                    name: name.to_owned(),
                    what: "certificates",
                    limit: MAX_CERTIFICATES,
                    found: index + 1,
                });
            }
            match cert {
                Ok(cert) if cert.is_tsk() => {
                    return Err(KeyringError::Private {
                        name: name.to_owned(),
                        fingerprint: Fingerprint::of(&cert.fingerprint()),
                    });
                }
                Ok(cert) => self.add(cert),
                Err(reason) => self.skipped.push(format!("keyring {name:?}: certificate {}: {reason}", index + 1)),
            }
        }
        Ok(())
    }

    fn add(&mut self, cert: Cert) {
        let fingerprint = Fingerprint::of(&cert.fingerprint());
        let merged = match self.certificates.remove(&fingerprint) {
            // Certificates of one fingerprint merge; what the library says if they should not is no reason to lose the one that we have.
            Some(known) => known.clone().merge_public(cert).unwrap_or(known),
            None => cert,
        };
        self.certificates.insert(fingerprint, merged);
    }
}

fn describe(fingerprint: &Fingerprint, cert: &Cert) -> Certificate {
    // A description, no judgement: at a time when every algorithm was good, and by the newest self-signature.
    let policy = StandardPolicy::at(std::time::UNIX_EPOCH);
    let newest = UnixSeconds(u64::from(u32::MAX)).to_system();
    let expires = cert.with_policy(&policy, newest).ok().and_then(|valid| valid.primary_key().key_expiration_time());
    Certificate {
        fingerprint: fingerprint.clone(),
        subkeys: cert.keys().subkeys().map(|key| Fingerprint::of(&key.key().fingerprint())).collect(),
        user_ids: cert.userids().map(|user| armour::quote_long(user.userid().value())).collect(),
        created: UnixSeconds::from_system(cert.primary_key().key().creation_time()),
        expires: expires.map(UnixSeconds::from_system),
        revoked: matches!(cert.revocation_status(&policy, newest), RevocationStatus::Revoked(_)),
    }
}

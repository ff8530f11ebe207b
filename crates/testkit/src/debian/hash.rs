//! Digests as archives write them.

use sequoia_openpgp::types::HashAlgorithm;

/// A digest that indexes and `Release` files name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hash {
    /// MD5, of old suites and of `md5sums`.
    Md5,
    /// SHA-1, of old suites.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// The digest of `data` in lower-case hexadecimal digits.
    ///
    /// # Panics
    /// Never: all four are built in.
    #[must_use]
    pub fn hex(self, data: &[u8]) -> String {
        let mut context = self.algorithm().context().expect("a built-in digest").for_digest();
        context.update(data);
        let digest = context.into_digest().expect("a finished digest");
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The section of a `Release` file.
    #[must_use]
    pub fn section(self) -> &'static str {
        match self {
            Hash::Md5 => "MD5Sum",
            Hash::Sha1 => "SHA1",
            Hash::Sha256 => "SHA256",
            Hash::Sha512 => "SHA512",
        }
    }

    /// The field of a package's stanza.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Hash::Md5 => "MD5sum",
            other => other.section(),
        }
    }

    pub(crate) fn algorithm(self) -> HashAlgorithm {
        match self {
            Hash::Md5 => HashAlgorithm::MD5,
            Hash::Sha1 => HashAlgorithm::SHA1,
            Hash::Sha256 => HashAlgorithm::SHA256,
            Hash::Sha512 => HashAlgorithm::SHA512,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_nothing() {
        assert_eq!(Hash::Md5.hex(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(Hash::Sha1.hex(b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(Hash::Sha256.hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(Hash::Sha512.hex(b"").starts_with("cf83e1357eefb8bd"));
    }
}

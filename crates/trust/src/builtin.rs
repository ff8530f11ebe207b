//! The keyrings that are built in; `keyrings/README.md` beside them says where they come from and how they are refreshed.

use crate::{error::KeyringError, keyring::Keyring};

/// A keyring that is part of bedplate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Builtin {
    /// The keys of Debian's archive from bullseye on.
    Debian,
    /// Keys that Debian has retired: those of buster and before. For ended suites only.
    DebianRemoved,
    /// The keys of Ubuntu's archive of 2012 and 2018, which sign trusty and later.
    Ubuntu,
}

impl Builtin {
    /// Every built-in keyring.
    pub const ALL: [Builtin; 3] = [Builtin::Debian, Builtin::DebianRemoved, Builtin::Ubuntu];

    /// The name by which data files ask for it: the file's name without its ending.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Builtin::Debian => "debian-archive-keyring",
            Builtin::DebianRemoved => "debian-archive-removed-keys",
            Builtin::Ubuntu => "ubuntu-archive-keyring",
        }
    }

    /// Finds a built-in keyring by its [`Builtin::name`].
    #[must_use]
    pub fn find(name: &str) -> Option<Builtin> {
        Builtin::ALL.into_iter().find(|builtin| builtin.name() == name)
    }

    /// The file as the distribution's package holds it: certificates in binary form.
    #[must_use]
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Builtin::Debian => include_bytes!("../keyrings/debian-archive-keyring.pgp"),
            Builtin::DebianRemoved => include_bytes!("../keyrings/debian-archive-removed-keys.pgp"),
            Builtin::Ubuntu => include_bytes!("../keyrings/ubuntu-archive-keyring.gpg"),
        }
    }

    /// The file's certificates.
    ///
    /// # Errors
    /// None that a test has not excluded; the kind is [`Keyring::parse`]'s.
    pub fn keyring(self) -> Result<Keyring, KeyringError> {
        Keyring::parse(self.name(), self.bytes())
    }
}

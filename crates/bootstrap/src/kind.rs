//! Whose matter a failed bootstrap is, and what to do about it.

use bedplate_image::ReadError;

use crate::acquire::{BAD_INDEX, Kind};
use crate::choose::ChooseError;
use crate::debootstrap::{KitError, StageError};
use crate::finish::FinishError;
use crate::install::InstallError;
use crate::lock::LockError;
use crate::payloads::PayloadError;
use crate::scripts::ScriptError;
use crate::workflow::BootstrapError;

impl BootstrapError {
    /// Whose matter it is, unless a cause of it says otherwise: a full disk is the machine's, whoever met it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Acquire(error) | Self::Choose(ChooseError::Acquire(error)) => error.kind(),
            Self::Choose(ChooseError::Index { .. }) | Self::Mismatch { .. } | Self::Control(_) => Kind::Input,
            Self::Choose(ChooseError::Solve(_)) | Self::Step(_) | Self::LockedStyle => Kind::User,
            Self::Payload(PayloadError::Package { .. }) => Kind::Input,
            Self::Payload(_) | Self::Root(_) | Self::Privilege => Kind::Environment,
            Self::Install(error) => of_install(error),
            Self::Finish(FinishError::Tree { .. } | FinishError::Read(ReadError::TooLarge { .. })) => Kind::Input,
            Self::Finish(_) => Kind::Environment,
            Self::Lock(error) => error.kind(),
            Self::Stage(StageError::Open(_) | StageError::Scan(_)) => Kind::Environment,
            Self::Stage(StageError::Kit(KitError::Other { .. }) | StageError::Occupied { .. } | StageError::Locked) => {
                Kind::User
            }
            Self::Stage(_) => Kind::Input,
        }
    }
}

impl BootstrapError {
    /// What to do about it, where it is the fault of a package or of who signed it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Choose(ChooseError::Index { .. }) => Some(BAD_INDEX),
            Self::Payload(PayloadError::Package { .. })
            | Self::Mismatch { .. }
            | Self::Control(_)
            | Self::Install(InstallError::Compose(_)) => Some(
                "the archive signed a package that is broken or hostile: leave it out with --exclude, or tell the archive's owner",
            ),
            Self::Install(InstallError::Script(
                ScriptError::Failed { .. } | ScriptError::Hung { .. } | ScriptError::Left { .. },
            )) => Some("leave the package out with --exclude, or tell its maintainer"),
            _ => None,
        }
    }
}

impl LockError {
    /// Whose matter it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Differs { .. } | Self::NoSource { .. } => Kind::User,
            Self::Package { source } => source.kind(),
            _ => Kind::Input,
        }
    }
}

fn of_install(error: &InstallError) -> Kind {
    match error {
        InstallError::NoDpkg => Kind::User,
        InstallError::Path { .. } => Kind::Internal,
        InstallError::Make { .. } | InstallError::Root(_) => Kind::Environment,
        InstallError::Script(ScriptError::Run { .. } | ScriptError::Log { .. } | ScriptError::Root(_)) => {
            Kind::Environment
        }
        // What packages hold does not fit together, or their scripts fail.
        _ => Kind::Input,
    }
}

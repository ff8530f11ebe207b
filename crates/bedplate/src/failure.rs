//! Errors as people see them, and what they mean for the exit status.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use bedplate_bootstrap::acquire::{self, AcquireError};
use bedplate_bootstrap::keyring::UpdateError;
use bedplate_bootstrap::lock::LockError;
use bedplate_bootstrap::{BootstrapError, ChooseError, SingleError};
use bedplate_fetch::FetchError;
use bedplate_image::ReadError;
use bedplate_store::StoreError;
use bedplate_store::transfer::TransferError;
use bedplate_sys::CallError;
use clap::error::ErrorKind;

/// Whose matter an error is; decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What the user asked for cannot be: a missing image, a name that is none. Status 1, as Docker's.
    User,
    /// What was read is malformed, or is not what its digest or signature says. Status 65 (`EX_DATAERR`).
    Input,
    /// The machine does not give what is needed: rights, a kernel feature, disk space, the network. Status 69 (`EX_UNAVAILABLE`).
    Environment,
    /// A broken invariant of ours. Status 70 (`EX_SOFTWARE`).
    Internal,
}

impl Kind {
    fn status(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Input => 65,
            Self::Environment => 69,
            Self::Internal => 70,
        }
    }
}

impl From<Kind> for ExitCode {
    fn from(kind: Kind) -> Self {
        Self::from(kind.status())
    }
}

/// Words a panic as what it is: our mistake, with the place, for a report.
pub(crate) fn explain_panics() {
    std::panic::set_hook(Box::new(|panic| {
        // Nothing is left to tell when stderr is closed, too.
        let _ =
            writeln!(io::stderr(), "error: internal error: {panic}\nhint: please report this with the command line");
    }));
}

/// The status of a wrong command line, and of `run` where no process could be started: Docker's.
pub(crate) const STATUS_TOOL: u8 = 125;

/// An error on its way to the user.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    hint: Option<String>,
    kind: Kind,
    status: Option<u8>,
    silent: bool,
}

impl Failure {
    /// A failure in one sentence: what, on which object, why. Lower case, no full stop.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None, hint: None, kind, status: None, silent: false }
    }

    /// Puts what was attempted in front: `cannot import "x.tar"`.
    pub(crate) fn context(self, message: impl Into<String>) -> Self {
        let Self { message: cause, source, hint, kind, status, silent } = self;
        let source = Box::new(Cause { message: cause, source, judged: None });
        Self { message: message.into(), source: Some(source), hint, kind, status, silent }
    }

    /// Hands the failure through a library that knows errors only; what comes out again is of the same kind, with the same
    /// hint.
    pub(crate) fn into_error(self) -> Box<dyn Error + Send + Sync> {
        Box::new(Cause { message: self.message, source: self.source, judged: Some((self.kind, self.hint)) })
    }

    /// Says what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Overrides the exit status: `run` answers 125, 126 and 127.
    pub(crate) fn status(mut self, status: u8) -> Self {
        self.status = Some(status);
        self
    }

    /// The exit status that it leads to.
    pub(crate) fn exit_status(&self) -> u8 {
        self.status.unwrap_or(self.kind.status())
    }

    /// Ends without another word: what there was to say was said.
    pub(crate) fn silent(status: u8) -> Self {
        Self { silent: true, ..Self::new(Kind::User, "").status(status) }
    }

    /// Writes the failure to stderr and gives the exit status. A closed stdout is the reader's choice, not an error.
    pub(crate) fn report(self) -> ExitCode {
        if self.is_broken_pipe() {
            return ExitCode::SUCCESS;
        }
        if !self.silent {
            // Nothing is left to tell when stderr is closed, too.
            let _ = io::stderr().write_all(self.render().as_bytes());
        }
        ExitCode::from(self.exit_status())
    }

    fn render(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        let mut said = self.message.clone();
        let mut cause = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = cause {
            let message = error.to_string();
            // Many libraries repeat their source in their own text.
            if !said.contains(&message) {
                let _ = writeln!(text, "  cause: {message}");
                said = message;
            }
            cause = error.source();
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }

    /// Whether nobody reads what is written.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        let mut cause = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return error.kind() == io::ErrorKind::BrokenPipe;
            }
            cause = error.source();
        }
        false
    }
}

#[derive(Debug)]
struct Cause {
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    /// The kind and the hint of a failure that went through a library.
    judged: Option<(Kind, Option<String>)>,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let kind = classify(&error);
        let hint = hint_for(&error);
        Self { message: error.to_string(), source: Some(Box::new(error)), hint, kind, status: None, silent: false }
    }
}

/// Whose matter an error of a library is. The deepest cause that is known decides.
fn classify(error: &(dyn Error + 'static)) -> Kind {
    let mut kind = Kind::User;
    if let Some(error) = error.downcast_ref::<UpdateError>() {
        return of_archive(error.kind());
    }
    if let Some(error) = error.downcast_ref::<SingleError>() {
        return of_archive(error.kind());
    }
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(Cause { judged: Some((kind, _)), .. }) = error.downcast_ref() {
            return *kind;
        }
        if let Some(error) = of_acquiring(error) {
            return of_archive(error.kind());
        }
        if let Some(error) = error.downcast_ref::<BootstrapError>() {
            kind = of_archive(error.kind());
        }
        if let Some(error) = error.downcast_ref::<LockError>() {
            kind = of_archive(error.kind());
        }
        let answer = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if let Some(answer) = answer.or_else(|| error.downcast_ref::<CallError>().map(CallError::kind)) {
            kind = match answer {
                io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => Kind::User,
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Kind::Input,
                _ => Kind::Environment,
            };
        } else if error.downcast_ref::<StoreError>().is_some_and(StoreError::is_input_error)
            || error.downcast_ref::<TransferError>().is_some_and(TransferError::is_input_error)
            || error.downcast_ref::<FetchError>().is_some_and(FetchError::is_input_error)
            || matches!(error.downcast_ref(), Some(ReadError::TooLarge { .. }))
            || error.is::<bedplate_oci::JsonError>()
            || error.is::<bedplate_archive::tar::TarError>()
            || error.is::<bedplate_packages::deb::dpkg::status::StatusError>()
        {
            kind = Kind::Input;
        } else if error.downcast_ref::<FetchError>().is_some_and(FetchError::is_network_error) {
            kind = Kind::Environment;
        }
        cause = error.source();
    }
    kind
}

fn of_archive(kind: acquire::Kind) -> Kind {
    match kind {
        acquire::Kind::User => Kind::User,
        acquire::Kind::Input => Kind::Input,
        acquire::Kind::Environment => Kind::Environment,
        acquire::Kind::Internal => Kind::Internal,
    }
}

/// The error of an archive, also where another stands for it and gives its text as its own.
fn of_acquiring<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e AcquireError> {
    if let Some(BootstrapError::Acquire(error) | BootstrapError::Choose(ChooseError::Acquire(error))) =
        error.downcast_ref::<BootstrapError>()
    {
        return Some(error);
    }
    error.downcast_ref::<AcquireError>()
}

/// What to do about an error that a library knows only the cause of.
fn hint_for(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(hint) = error.downcast_ref::<UpdateError>().and_then(UpdateError::hint) {
        return Some(hint);
    }
    // A full disk has a better remedy than what it stopped.
    let mut last = None;
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(Cause { judged: Some((_, hint)), .. }) = error.downcast_ref() {
            return hint.clone();
        }
        last = last.or(error.downcast_ref::<BootstrapError>().and_then(BootstrapError::hint));
        if let Some(hint) = of_acquiring(error).and_then(AcquireError::hint) {
            return Some(hint);
        }
        if let Some(hint) =
            error.downcast_ref::<bedplate_image::UnpackError>().and_then(bedplate_image::UnpackError::hint)
        {
            return Some(hint);
        }
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if let Some(kind) = kind.or_else(|| error.downcast_ref::<CallError>().map(CallError::kind)) {
            return match kind {
                io::ErrorKind::StorageFull => Some("free some space, or name another place with --root".into()),
                io::ErrorKind::ReadOnlyFilesystem => Some("name a place that can be written with --root".into()),
                _ => last.map(Into::into),
            };
        }
        cause = error.source();
    }
    last.map(Into::into)
}

/// Reports a command line that could not be understood, or prints the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Help goes to stdout, mistakes to stderr: clap knows which it is.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        ErrorKind::InvalidSubcommand => ExitCode::from(Kind::User.status()),
        _ => ExitCode::from(STATUS_TOOL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_what_why_and_what_to_do() {
        let cause = io::Error::new(io::ErrorKind::StorageFull, "write: no space left on device (ENOSPC)");
        let failure = Failure::from(cause).context("cannot import \"x.tar\"");
        assert_eq!(
            failure.render(),
            "error: cannot import \"x.tar\"\n  cause: write: no space left on device (ENOSPC)\n\
             hint: free some space, or name another place with --root\n"
        );
        assert_eq!(failure.exit_status(), 69);
    }

    #[test]
    fn a_failure_comes_out_of_a_library_as_it_went_in() {
        let failure = Failure::new(Kind::Environment, "no network").hint("plug it in").context("cannot fetch x");
        let source = failure.into_error();
        let failure = Failure::from(bedplate_build::StepError::Named { name: "x".into(), source });
        assert_eq!((failure.exit_status(), failure.hint.as_deref()), (69, Some("plug it in")));
        let text = "error: cannot have \"x\"\n  cause: cannot fetch x\n  cause: no network\nhint: plug it in\n";
        assert_eq!(failure.render(), text);
    }

    #[test]
    fn whose_matter_an_error_of_the_store_is() {
        use bedplate_sys::Errno;
        let call = |errno| StoreError::Call(CallError::new("write(\"x\")", errno));
        let digest = bedplate_oci::Digest::of(b"");
        let cases = [
            (Failure::from(call(Errno::NOSPC)), 69, true),
            (Failure::from(TransferError::Store(call(Errno::ROFS))), 69, true),
            (Failure::from(call(Errno::IO)), 69, false),
            (Failure::from(StoreError::WrongDigest { what: "x".into(), expected: digest, found: digest }), 65, false),
            (Failure::from(TransferError::NotAnImage { what: "x".into() }), 65, false),
            (Failure::from(StoreError::NoSuchImage { wanted: "x".into(), near: vec![] }), 1, false),
            (Failure::from(TransferError::NothingToSave), 1, false),
        ];
        for (failure, status, hinted) in cases {
            assert_eq!((failure.exit_status(), failure.hint.is_some()), (status, hinted), "{}", failure.render());
        }
    }

    #[test]
    fn whose_matter_a_failed_bootstrap_is() {
        use bedplate_bootstrap::finish::FinishError;
        use bedplate_bootstrap::{InstallError, PayloadError, RootError};
        use bedplate_packages::deb::payload::DebError;
        let package = |source| PayloadError::Package { name: "x".into(), source };
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let at = bedplate_tree::TreePath::root;
        let cases: [(BootstrapError, u8); 13] = [
            (package(DebError::Format { found: "3.0".into() }).into(), 65),
            (package(DebError::Codec { member: "x".into(), source: full() }).into(), 69),
            (package(DebError::Read { offset: 1, source: io::ErrorKind::UnexpectedEof.into() }).into(), 65),
            (BootstrapError::Mismatch { wanted: "a".into(), found: "b".into() }, 65),
            (InstallError::NoDpkg.into(), 1),
            (InstallError::Make { path: "x".into(), source: io::ErrorKind::PermissionDenied.into() }.into(), 69),
            (RootError::Make { path: "x".into(), source: full() }.into(), 69),
            (FinishError::from(ReadError::TooLarge { path: at(), size: 2, limit: 1 }).into(), 65),
            (FinishError::from(ReadError::Bytes { path: at(), source: io::Error::other("EIO") }).into(), 69),
            (AcquireError::TooLarge { what: "x".into(), size: 1, limit: 0 }.into(), 65),
            (BootstrapError::LockedStyle, 1),
            (BootstrapError::Privilege, 69),
            (LockError::TooLarge.into(), 65),
        ];
        for (error, status) in cases {
            let shown = format!("{error:?}");
            assert_eq!(Failure::from(error).exit_status(), status, "{shown}");
        }
        assert_eq!(Failure::from(LockError::Differs { differences: Vec::new() }).exit_status(), 1);
        assert_eq!(Failure::from(LockError::Version { found: 9 }).exit_status(), 65);
    }

    #[test]
    fn an_archive_that_cannot_be_trusted_is_bad_input_with_a_remedy() {
        let unsigned = || AcquireError::Signature {
            distribution: "debian".into(),
            suite: "sid".into(),
            url: "http://example.org/debian".into(),
            source: Box::new(bedplate_trust::TrustError::NoTrustedKey { issuers: Vec::new() }),
        };
        for failure in [
            Failure::from(unsigned()),
            Failure::from(BootstrapError::from(unsigned())),
            Failure::from(BootstrapError::from(ChooseError::from(unsigned()))),
        ] {
            let told = failure.render();
            assert!(
                told.starts_with("error: cannot trust the Release file of sid at http://example.org/debian\n"),
                "{told}"
            );
            assert!(told.contains("  cause: signed by no trusted key"), "{told}");
            assert!(told.contains("run `bedplate keyring update debian`"), "{told}");
            assert_eq!(failure.exit_status(), 65);
        }
        let failure = Failure::from(UpdateError::from(unsigned()));
        assert!(failure.render().contains("--keyring FILE"), "{}", failure.render());
        assert_eq!(failure.exit_status(), 65);
    }

    #[test]
    fn a_closed_stdout_is_no_error() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("cannot print");
        assert!(failure.is_broken_pipe());
    }

    #[test]
    fn a_failed_download_tells_whose_matter_it_is() {
        let url: bedplate_fetch::Url = "http://example.com/x".parse().unwrap();
        let digest = bedplate_oci::Digest::of(b"");
        let limit = std::time::Duration::from_secs(1);
        let cases = [
            (FetchError::Digest { url: url.clone(), expected: digest, found: digest }, 65),
            (FetchError::Timeout { url: url.clone(), phase: bedplate_fetch::Phase::Waiting, limit }, 69),
            (FetchError::Connection { url: url.clone(), source: io::ErrorKind::ConnectionRefused.into() }, 69),
            (FetchError::Status { url: url.clone(), status: 503, retry_after: None }, 69),
            (FetchError::Status { url: url.clone(), status: 404, retry_after: None }, 1),
            (FetchError::File { url, source: io::ErrorKind::NotFound.into() }, 1),
        ];
        for (error, status) in cases {
            let shown = error.to_string();
            assert_eq!(Failure::from(error).exit_status(), status, "{shown}");
        }
    }
}

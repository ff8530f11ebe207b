//! What the process was given: environment, clock, terminal. Read once, here; libraries get values.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bedplate_bootstrap::acquire::Notice;
use bedplate_fetch::{Fetcher, Limits, Proxies};
use bedplate_store::{OpenOptions, Sharing, Store, StoreError};
use bedplate_tree::Timestamp;

use crate::cli::Global;
use crate::failure::{Failure, Kind};

/// The environment variable by which tests say what time it is, in seconds since 1970.
///
/// It stands for the wall clock in messages and tables ("3 weeks ago") and nowhere else: the clock enters no image.
const TEST_CLOCK: &str = "BEDPLATE_TEST_CLOCK";

/// The environment variable by which tests say how long servers may be silent and scripts may run, in seconds.
const TEST_PATIENCE: &str = "BEDPLATE_TEST_PATIENCE";

/// Where root's images are, and what every user may read.
const SYSTEM_ROOT: &str = "/var/lib/bedplate";

/// Whom a command believes over TLS, and as whom it comes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls {
    /// A bundle of root certificates.
    pub(crate) authorities: Option<PathBuf>,
    /// What servers are shown that ask.
    pub(crate) client: Option<bedplate_fetch::ClientFiles>,
    /// Believes whoever answers.
    pub(crate) any_server: bool,
}

/// What a command may know of its surroundings.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Where this user's images are kept.
    pub(crate) root: PathBuf,
    /// Where look-ups go on, read-only, when this user has no such image.
    pub(crate) fallback: Option<PathBuf>,
    /// The moment the process started: for words like "3 weeks ago", never for an image.
    pub(crate) now: SystemTime,
    /// `SOURCE_DATE_EPOCH`, in seconds since 1970: no time in a new image is later.
    pub(crate) source_date_epoch: Option<i64>,
    /// How long servers may be silent and scripts may run, where a test says it.
    pub(crate) patience: Option<Duration>,
    /// The user and group of an ordinary user; `None` for root.
    pub(crate) invoker: Option<(u32, u32)>,
    /// Whether stderr is a terminal: progress bars are shown there only.
    pub(crate) stderr_is_terminal: bool,
    /// Whether stdin is a terminal.
    pub(crate) stdin_is_terminal: bool,
    /// Whether stdout is a terminal.
    pub(crate) stdout_is_terminal: bool,
}

impl Context {
    /// Reads the environment and the clock.
    ///
    /// # Errors
    /// A variable that is not what it must be, or no home directory to keep images in.
    pub(crate) fn from_environment(global: &Global) -> Result<Self, Failure> {
        if global.debug {
            tracing_subscriber::fmt()
                .with_writer(std::io::stderr)
                .with_max_level(tracing::Level::DEBUG)
                .without_time()
                .with_ansi(std::io::stderr().is_terminal())
                .init();
        }
        // By its number, not its rights: in a container without any, root's images are still root's.
        let invoker = Some(bedplate_sys::userns::effective_ids()).filter(|(uid, _)| *uid != 0);
        let variable = || std::env::var_os("BEDPLATE_ROOT").filter(|value| !value.is_empty()).map(PathBuf::from);
        let named = global.root.clone().or_else(variable);
        // A store that was named is the whole world: nothing else is looked into.
        let fallback = (named.is_none() && invoker.is_some()).then(|| PathBuf::from(SYSTEM_ROOT));
        let root = match named {
            Some(root) => root,
            None if invoker.is_none() => SYSTEM_ROOT.into(),
            None => user_root()?,
        };
        let now = match seconds_variable(TEST_CLOCK)? {
            Some(seconds) => UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
            None => SystemTime::now(),
        };
        Ok(Self {
            root,
            fallback,
            now,
            source_date_epoch: seconds_variable("SOURCE_DATE_EPOCH")?,
            patience: seconds_variable(TEST_PATIENCE)?.map(|seconds| Duration::from_secs(seconds.unsigned_abs())),
            invoker,
            stderr_is_terminal: std::io::stderr().is_terminal(),
            stdin_is_terminal: std::io::stdin().is_terminal(),
            stdout_is_terminal: std::io::stdout().is_terminal(),
        })
    }

    /// Opens the store, and makes it where there is none yet.
    ///
    /// # Errors
    /// A store of a newer format, or one that cannot be written.
    pub(crate) fn store(&self) -> Result<Store, Failure> {
        let mut options = OpenOptions::new(&self.root);
        options.fallback.clone_from(&self.fallback);
        // What root imports, every user may run: as with a daemon's images.
        if self.root == Path::new(SYSTEM_ROOT) {
            options = options.sharing(Sharing::World);
        }
        Store::open(&options).map_err(|error| {
            let denied =
                matches!(&error, StoreError::Call(call) if call.kind() == std::io::ErrorKind::PermissionDenied);
            let failure = Failure::from(error);
            if !denied {
                return failure;
            }
            failure
                .context(format!("cannot open the store {}", self.root.display()))
                .hint("name a place that you can write with --root or BEDPLATE_ROOT")
        })
    }

    /// What downloads go through, with the proxies and certificates of the environment.
    ///
    /// # Errors
    /// A proxy variable that is no address.
    pub(crate) fn fetcher(&self) -> Result<Fetcher, Failure> {
        self.fetcher_with(&Tls::default())
    }

    /// The same, with what a command line says of certificates.
    ///
    /// # Errors
    /// A proxy variable that is no address.
    pub(crate) fn fetcher_with(&self, tls: &Tls) -> Result<Fetcher, Failure> {
        // Lower case first, as curl and apt have it; HTTP_PROXY in upper case counts, too, as with Docker.
        let variable = |name: &str| {
            let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            value(name).or_else(|| value(&name.to_ascii_uppercase()))
        };
        let [http, https, all, none] = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"].map(variable);
        let proxies = Proxies::new(http.as_deref(), https.as_deref(), all.as_deref(), none.as_deref())?;
        let bundle = || std::env::var_os("SSL_CERT_FILE").filter(|value| !value.is_empty()).map(PathBuf::from);
        let Tls { authorities, client, any_server } = tls.clone();
        let ca_bundle = authorities.or_else(bundle);
        let mut limits = Limits::default();
        if let Some(patience) = self.patience {
            (limits.answer, limits.stall) = (patience, patience);
        }
        let options = bedplate_fetch::Options { proxies, ca_bundle, client, any_server, limits, ..Default::default() };
        Ok(Fetcher::new(options))
    }

    /// Says something that the user should know, on stderr.
    pub(crate) fn warn(&self, warning: &dyn std::fmt::Display) {
        // A closed stderr is the user's choice.
        let _ = writeln!(std::io::stderr(), "warning: {warning}");
    }

    /// Says what is going on, on stderr.
    pub(crate) fn say(&self, what: &str) {
        // A closed stderr is the user's choice.
        let _ = writeln!(std::io::stderr(), "{what}");
    }

    /// Says what a bootstrap's archives gave rise to, on stderr: a warning, or how something is done here.
    pub(crate) fn notice(&self, notice: &Notice) {
        let kind = if notice.is_note() { "note" } else { "warning" };
        let _ = writeln!(std::io::stderr(), "{kind}: {notice}");
    }

    /// The wall clock in seconds since 1970: what signatures and indexes are judged by, and nothing in an image.
    pub(crate) fn seconds(&self) -> i64 {
        let since = self.now.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    /// `SOURCE_DATE_EPOCH` as the bound of times in a new image.
    pub(crate) fn epoch(&self) -> Option<Timestamp> {
        self.source_date_epoch.map(Timestamp::from_seconds)
    }
}

fn user_root() -> Result<PathBuf, Failure> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(data) = absolute("XDG_DATA_HOME") {
        return Ok(data.join("bedplate"));
    }
    match absolute("HOME") {
        Some(home) => Ok(home.join(".local/share/bedplate")),
        None => {
            Err(Failure::new(Kind::User, "there is no place to keep images: neither XDG_DATA_HOME nor HOME is set")
                .hint("set BEDPLATE_ROOT, or give --root DIR"))
        }
    }
}

fn seconds_variable(name: &str) -> Result<Option<i64>, Failure> {
    let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    match value.to_str().and_then(|text| text.parse().ok()) {
        Some(seconds) => Ok(Some(seconds)),
        None => Err(Failure::new(Kind::User, format!("{name} is {value:?}: expected whole seconds since 1970"))),
    }
}

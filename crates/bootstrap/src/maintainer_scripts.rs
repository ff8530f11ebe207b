//! Maintainer scripts of packages, run as dpkg runs them: its order, its arguments, its environment, its database.
//!
//! dpkg itself is not asked. A script sees the database that dpkg would show it, with the states of all packages as they
//! are at that moment, and its own calls of `dpkg-trigger`, `dpkg-divert` and `update-alternatives` find it unlocked.
//! The order is the plan's, and so the same on every machine. Spec: dpkg(1), "Maintainer script environment"; Debian
//! Policy 6.5 to 6.7.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use bedplate_image::{ContentSources, read_file};
use bedplate_packages::deb::dpkg::configure::{Configuring, Triggered};
use bedplate_packages::deb::payload::Payload;
use bedplate_packages::deb::version::DebVersionBuf;
use bedplate_run::Session;
use bedplate_store::Lease;
use bedplate_sys::CallError;
use bedplate_sys::rooted::{Handle, Resolve};

use crate::install::{InstallError, LARGEST, Options, Step, path};
use crate::native::{Replacements, Scripts};
use crate::root::Ground;
use crate::sandbox;
use crate::scripts::{Runner, ScriptError};

/// Where dpkg keeps the control files of a package whose preinst runs.
const CONTROL_DIR: &str = "/var/lib/dpkg/tmp.ci";

/// A package that disappeared: all that it had is in others.
pub(crate) struct Gone<'a> {
    /// The package.
    pub(crate) payload: &'a Payload,
    /// The one after whose unpacking it went.
    pub(crate) favoured: &'a Payload,
}

/// What happens after a wave was laid down.
pub(crate) struct Turn<'a> {
    /// Whether it is the first wave.
    pub(crate) is_first: bool,
    /// The packages of the wave, in the order of unpacking.
    pub(crate) unpacked: &'a [&'a Payload],
    /// Packages that disappeared as it was unpacked.
    pub(crate) gone: &'a [Gone<'a>],
    /// All packages that are there by now, in the order of unpacking.
    pub(crate) there: &'a [&'a Payload],
    /// The packages to configure, in this order.
    pub(crate) configure: &'a [&'a Payload],
    /// What the next wave unpacks.
    pub(crate) next: &'a [&'a Payload],
}

/// Runs the scripts of waves.
pub(crate) struct MaintainerScripts<'a> {
    lease: &'a Lease,
    options: &'a Options,
    /// The upstream version of the root's dpkg.
    version: String,
    environment: Vec<String>,
    replacements: Replacements,
}

type Observe<'a> = dyn FnMut(Step<'_>) + 'a;

impl<'a> MaintainerScripts<'a> {
    /// Scripts for a root whose dpkg has this version.
    pub(crate) fn new(lease: &'a Lease, options: &'a Options, dpkg: &DebVersionBuf) -> Self {
        let version = dpkg.to_string();
        let version = version.rsplit_once('-').map_or(version.as_str(), |(upstream, _)| upstream).to_owned();
        Self {
            lease,
            options,
            version,
            environment: sandbox::environment(options.epoch.seconds),
            replacements: Replacements::default(),
        }
    }

    /// Configures what can be, lets it handle triggers, and runs the preinsts of the next wave.
    pub(crate) fn run(
        &mut self,
        ground: &mut Ground<'_>,
        contents: &mut ContentSources<'_>,
        turn: &Turn<'_>,
        observe: &mut Observe<'_>,
    ) -> Result<(), InstallError> {
        let control = self.directory()?;
        let log = self.lease.scratch();
        let made = |source| InstallError::Make { path: log.clone(), source };
        let log = File::options().read(true).append(true).create_new(true).open(&log).map_err(made)?;
        let mut mounts = Vec::new();
        let of_first: &[&Payload] = if turn.is_first { turn.unpacked } else { &[] };
        let has = |payload: &Payload, script| payload.control_file(script).is_some();
        if of_first.iter().chain(turn.next).any(|payload| has(payload, "preinst"))
            || turn.gone.iter().any(|gone| has(gone.payload, "postrm"))
        {
            mounts.push(sandbox::bind(control.clone(), CONTROL_DIR));
        }
        if self.options.scripts == Scripts::Native {
            mounts.extend(self.replacements.mounts(self.lease, ground.tree(), &*contents)?);
        }
        let config = sandbox::config(self.lease, ground.tree(), mounts, None)?;
        let has_awk = ground.tree().lookup(&path("usr/bin/awk")?).is_some();
        let status = read_file(ground.tree(), contents, &path("var/lib/dpkg/status")?, LARGEST)?.unwrap_or_default();
        let mut account = Configuring::new(&status, turn.there.iter().copied())?;
        ground.work(&config, contents, |session: &mut Session| -> Result<(), InstallError> {
            let mut runner = Runner::new(session, self.environment.clone(), log, self.options.patience);
            if turn.is_first {
                self.first_preinsts(&mut runner, &control, turn.unpacked, has_awk, observe)?;
            }
            for gone in turn.gone {
                self.disappearance(&mut runner, &control, gone, observe)?;
            }
            self.configure(&mut runner, &mut account, turn, observe)?;
            for payload in turn.next {
                self.preinst(&mut runner, &control, payload, observe)?;
            }
            runner.nothing_left("configuring packages")?;
            Ok(())
        })
    }

    fn first_preinsts(
        &self,
        runner: &mut Runner<'_>,
        control: &Path,
        packages: &[&Payload],
        has_awk: bool,
        observe: &mut Observe<'_>,
    ) -> Result<(), InstallError> {
        let mut hear = |line: &str| observe(Step::Said(line));
        runner.run("ldconfig", &["/sbin/ldconfig"], &[], &mut hear)?;
        // Scripts of base-files and others use awk before mawk's postinst made the alternative.
        let mawk = !has_awk && packages.iter().any(|payload| payload.control().name() == "mawk");
        if mawk {
            runner.run("ln", &["ln", "-s", "mawk", "/usr/bin/awk"], &[], &mut hear)?;
        }
        for payload in packages {
            self.preinst(runner, control, payload, observe)?;
        }
        if mawk {
            runner.run("rm", &["rm", "-f", "/usr/bin/awk"], &[], &mut |line| observe(Step::Said(line)))?;
        }
        Ok(())
    }

    fn preinst(
        &self,
        runner: &mut Runner<'_>,
        directory: &Path,
        payload: &Payload,
        observe: &mut Observe<'_>,
    ) -> Result<(), InstallError> {
        if payload.control_file("preinst").is_none() {
            return Ok(());
        }
        self.fill(directory, payload)?;
        self.script(runner, payload, "preinst", &format!("{CONTROL_DIR}/preinst"), &["install"], observe)
    }

    /// A package has nothing of its own any more: it is told so, and no more of its scripts run.
    fn disappearance(
        &self,
        runner: &mut Runner<'_>,
        directory: &Path,
        gone: &Gone<'_>,
        observe: &mut Observe<'_>,
    ) -> Result<(), InstallError> {
        let Gone { payload, favoured } = gone;
        if payload.control_file("postrm").is_none() {
            return Ok(());
        }
        self.fill(directory, payload)?;
        let favoured = favoured.control();
        let arguments = ["disappear", favoured.name(), &favoured.version().to_string()];
        self.script(runner, payload, "postrm", &format!("{CONTROL_DIR}/postrm"), &arguments, observe)
    }

    /// Configures packages in their order; then whoever has triggers to handle, as long as somebody has.
    fn configure(
        &self,
        runner: &mut Runner<'_>,
        account: &mut Configuring,
        turn: &Turn<'_>,
        observe: &mut Observe<'_>,
    ) -> Result<(), InstallError> {
        let database = Database::open(runner)?;
        account.incorporate(&database.take_unincorporated()?);
        for payload in turn.configure {
            let package = payload.control().info_name();
            account.begin(&package);
            // No version was configured before.
            self.postinst(runner, &database, account, payload, &["configure", ""], observe)?;
            account.end(&package, &database.take_unincorporated()?);
            observe(Step::Configured(payload.control().name()));
        }
        while let Some(Triggered { package, triggers }) = account.triggered()? {
            let payload = turn.there.iter().find(|payload| payload.control().info_name() == package);
            if let Some(payload) = payload {
                self.postinst(runner, &database, account, payload, &["triggered", &triggers], observe)?;
            }
            account.end(&package, &database.take_unincorporated()?);
        }
        database.write_status(&account.status())?;
        database.touch_journal()?;
        Ok(())
    }

    fn postinst(
        &self,
        runner: &mut Runner<'_>,
        database: &Database,
        account: &Configuring,
        payload: &Payload,
        arguments: &[&str],
        observe: &mut Observe<'_>,
    ) -> Result<(), InstallError> {
        if payload.control_file("postinst").is_none() {
            return Ok(());
        }
        let file = format!("{}.postinst", payload.control().info_name());
        database.write_status(&account.status())?;
        database.make_executable(&file)?;
        self.script(runner, payload, "postinst", &format!("/var/lib/dpkg/info/{file}"), arguments, observe)
    }

    fn script(
        &self,
        runner: &mut Runner<'_>,
        payload: &Payload,
        name: &str,
        file: &str,
        arguments: &[&str],
        observe: &mut Observe<'_>,
    ) -> Result<(), InstallError> {
        let control = payload.control();
        observe(Step::Script(control.name()));
        let variables = [
            ("DPKG_MAINTSCRIPT_NAME", name),
            ("DPKG_MAINTSCRIPT_PACKAGE", control.name()),
            ("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1"),
            ("DPKG_MAINTSCRIPT_ARCH", control.architecture()),
            ("DPKG_MAINTSCRIPT_DEBUG", "0"),
            ("DPKG_FORCE", "security-mac,downgrade"),
            ("DPKG_ROOT", ""),
            ("DPKG_ADMINDIR", "/var/lib/dpkg"),
            ("DPKG_RUNNING_VERSION", &self.version),
        ];
        let what = format!("the {name} script of {}", control.name());
        let words: Vec<&str> = [file].into_iter().chain(arguments.iter().copied()).collect();
        runner.run(&what, &words, &variables, &mut |line| observe(Step::Said(line)))?;
        Ok(())
    }

    /// Puts the control files of a package where its preinst finds them.
    fn fill(&self, control: &Path, payload: &Payload) -> Result<(), InstallError> {
        use std::os::unix::fs::PermissionsExt as _;
        let made = |path: &Path| {
            let path = path.to_owned();
            move |source| InstallError::Make { path, source }
        };
        for entry in fs::read_dir(control).map_err(made(control))? {
            let entry = entry.map_err(made(control))?;
            fs::remove_file(entry.path()).map_err(made(&entry.path()))?;
        }
        // debconf reads the owner of templates there.
        let path = control.join("control");
        fs::write(&path, payload.control().text()).map_err(made(&path))?;
        for (name, file) in payload.control_files() {
            // One plain name: what a package may call its control files was checked when it was read.
            let path = control.join(&**name);
            fs::write(&path, &file.content)
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(file.metadata.mode & 0o777)))
                .map_err(made(&path))?;
        }
        Ok(())
    }

    fn directory(&self) -> Result<PathBuf, InstallError> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.lease.scratch();
        fs::create_dir(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .map_err(|source| InstallError::Make { path: path.clone(), source })?;
        Ok(path)
    }
}

/// dpkg's database as the scripts see it.
struct Database {
    directory: Handle,
}

impl Database {
    fn open(runner: &Runner<'_>) -> Result<Self, ScriptError> {
        let directory = runner.root()?.open_dir("var/lib/dpkg", Resolve::InRoot);
        Ok(Self { directory: directory.map_err(failed("open dpkg's database"))? })
    }

    /// Puts a new `status` in the place of the old one.
    fn write_status(&self, status: &[u8]) -> Result<(), ScriptError> {
        const NEW: &str = "status-new";
        let failed = failed("write the status of packages");
        let write = || -> Result<(), CallError> {
            if self.directory.try_stat(NEW)?.is_some() {
                self.directory.unlink(NEW)?;
            }
            let mut file = self.directory.create_file(NEW, 0o644)?;
            file.write_all(status).map_err(|e| CallError::from_io("write(status-new)", &e))?;
            self.directory.chmod(NEW, 0o644)?;
            self.directory.rename(NEW, &self.directory, "status")
        };
        write().map_err(failed)
    }

    /// dpkg writes down each change in `updates` first: the time of that directory tells that it worked here.
    fn touch_journal(&self) -> Result<(), ScriptError> {
        let touch = || -> Result<(), CallError> {
            let updates = self.directory.open_dir("updates")?;
            updates.create_file("tmp.i", 0o600)?;
            updates.unlink("tmp.i")
        };
        touch().map_err(failed("touch dpkg's journal"))
    }

    /// What `dpkg-trigger` wrote down and nobody took yet.
    fn take_unincorporated(&self) -> Result<Vec<u8>, ScriptError> {
        let take = || -> Result<Vec<u8>, CallError> {
            let triggers = self.directory.open_dir("triggers")?;
            if triggers.try_stat("Unincorp")?.is_none_or(|found| found.size == 0) {
                return Ok(Vec::new());
            }
            let io = |e| CallError::from_io("read(triggers/Unincorp)", &e);
            let file = triggers.open_file_rw("Unincorp")?;
            let mut lines = Vec::new();
            (&file).take(LARGEST).read_to_end(&mut lines).map_err(io)?;
            file.set_len(0).map_err(io)?;
            Ok(lines)
        };
        take().map_err(failed("read which triggers wait"))
    }

    /// A script may be packed without the right to be executed; dpkg gives it.
    fn make_executable(&self, name: &str) -> Result<(), ScriptError> {
        let make = || -> Result<(), CallError> {
            let info = self.directory.open_dir("info")?;
            match info.stat(name)?.mode & 0o555 {
                0o555 => Ok(()),
                _ => info.chmod(name, 0o755),
            }
        };
        make().map_err(failed("let a script be executed"))
    }
}

fn failed(what: &'static str) -> impl FnOnce(CallError) -> ScriptError {
    move |source| ScriptError::Database { what, source }
}

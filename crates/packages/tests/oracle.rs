//! The solver beside apt and debootstrap, on the archive that this machine is configured for.
//!
//! Apt runs in a root of its own, below the folder for temporary files; its lists are fetched once and kept there. Where a tool
//! or the archive is missing the case is skipped, and says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bedplate_packages::deb::crude::{Rules, Script, names};
use bedplate_packages::deb::index::PackagesIndex;
use bedplate_packages::deb::select::{Request, Resolver, Variant, select};
use bedplate_packages::deb::solve::{Source, Universe};
use bedplate_packages::deb::wish::Wish;
use bedplate_testkit::{oracle, skip};

const ARCHITECTURE: &str = "amd64";
/// Old lists are as good as new ones, but the machine may be set to another archive by now.
const KEPT: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// An apt of our own with the lists of one suite and its pockets.
struct Apt {
    folder: PathBuf,
    suite: &'static str,
    mirror: String,
    pockets: Vec<Pocket>,
    /// One test at a time works in the folder, of whatever process.
    _lock: fs::File,
}

struct Pocket {
    suite: String,
    codename: String,
    text: Vec<u8>,
}

/// The URIs of the machine's Debian archive and of its security archive.
fn mirrors() -> Option<(String, String)> {
    let folder = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let texts: Vec<String> = std::iter::once(PathBuf::from("/etc/apt/sources.list"))
        .chain(folder)
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    let words = || {
        texts.iter().flat_map(|text| text.lines()).filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace)
    };
    let uris = || words().filter(|word| word.contains("://")).map(|uri| uri.trim_end_matches('/').to_owned());
    let main = uris().find(|uri| uri.ends_with("/debian"))?;
    let security = uris().find(|uri| uri.ends_with("debian-security"))?;
    Some((main, security))
}

impl Apt {
    fn open(suite: &'static str) -> Result<Apt, String> {
        if oracle::find("apt-get").is_none() {
            return Err("apt-get is not installed".into());
        }
        let (main, security) = mirrors().ok_or("no Debian archive is configured")?;
        let folder = std::env::temp_dir().join(format!("bedplate-oracle-apt-{suite}"));
        let lists = folder.join("state/lists");
        for sub in [
            "etc/preferences.d",
            "etc/apt.conf.d",
            "etc/sources.list.d",
            "state/lists/partial",
            "cache/archives/partial",
            "log",
        ] {
            fs::create_dir_all(folder.join(sub)).map_err(|error| error.to_string())?;
        }
        let lock = fs::File::create(folder.join("lock")).map_err(|error| error.to_string())?;
        lock.lock().map_err(|error| error.to_string())?;
        let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
        let mut sources = String::new();
        for (uri, pocket) in [(&main, ""), (&main, "-updates"), (&security, "-security")] {
            writeln!(sources, "deb [signed-by={keyring} arch={ARCHITECTURE}] {uri} {suite}{pocket} main").unwrap();
        }
        fs::write(folder.join("etc/sources.list"), sources).map_err(|error| error.to_string())?;
        let stamp = folder.join("fetched");
        let fresh = fs::metadata(&stamp)
            .and_then(|it| it.modified())
            .is_ok_and(|time| time.elapsed().is_ok_and(|age| age < KEPT));
        let mut apt = Apt { folder, suite, mirror: main, pockets: Vec::new(), _lock: lock };
        if !fresh {
            let output = oracle::output(apt.get(None).args(["update", "--error-on=any"]));
            if !output.status.success() {
                return Err(format!("the archive of {suite} cannot be fetched"));
            }
            fs::write(&stamp, "").map_err(|error| error.to_string())?;
        }
        for pocket in ["", "-updates", "-security"] {
            let ends = |end: &str| {
                fs::read_dir(&lists).unwrap().flatten().map(|entry| entry.path()).find(|path| {
                    path.file_name().unwrap().to_string_lossy().ends_with(&format!("_dists_{suite}{pocket}_{end}"))
                })
            };
            let release =
                fs::read_to_string(ends("InRelease").ok_or("no InRelease")?).map_err(|error| error.to_string())?;
            let field = |name: &str| {
                release.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
            };
            let text = fs::read(ends(&format!("main_binary-{ARCHITECTURE}_Packages")).ok_or("no Packages")?);
            apt.pockets.push(Pocket {
                suite: field("Suite:"),
                codename: field("Codename:"),
                text: text.map_err(|error| error.to_string())?,
            });
        }
        Ok(apt)
    }

    /// `apt-get` on this root; `status` is dpkg's.
    fn get(&self, status: Option<&Path>) -> Command {
        let folder = &self.folder;
        let mut command = oracle::command("apt-get");
        let empty = folder.join("status");
        if !empty.exists() {
            fs::write(&empty, "").unwrap();
        }
        let conf = folder.join("apt.conf");
        let mut text = String::new();
        for (key, path) in [("Etc", "etc"), ("State", "state"), ("Cache", "cache"), ("Log", "log")] {
            writeln!(text, "Dir::{key} \"{}\";", folder.join(path).display()).unwrap();
        }
        writeln!(text, "Dir::State::status \"{}\";", status.unwrap_or(&empty).display()).unwrap();
        writeln!(text, "Debug::NoLocking \"1\";").unwrap();
        writeln!(text, "APT::Architecture \"{ARCHITECTURE}\"; APT::Architectures {{ \"{ARCHITECTURE}\"; }};").unwrap();
        writeln!(
            text,
            "Acquire::GzipIndexes \"false\"; Acquire::Languages \"none\"; APT::Install-Recommends \"false\";"
        )
        .unwrap();
        writeln!(text, "APT::Sandbox::User \"root\"; Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";")
            .unwrap();
        let conf = status.map_or(conf, |status| status.with_extension("conf"));
        fs::write(&conf, text).unwrap();
        command.env("APT_CONFIG", conf);
        command
    }

    /// The packages and versions that `apt-get -s` would install.
    fn simulate(&self, status: Option<&Path>, arguments: &[&str]) -> Result<Vec<(String, String)>, String> {
        let output = oracle::output(self.get(status).args(["-s", "-y"]).args(arguments));
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut found = Vec::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("Inst ")) {
            let (name, rest) = line.split_once(' ').unwrap();
            // `[old]` only stands there when something is upgraded.
            let version = rest.split_once('(').unwrap().1.split(' ').next().unwrap();
            found.push((name.to_owned(), version.to_owned()));
        }
        found.sort();
        Ok(found)
    }
}

/// Calls `run` with the universe of a suite.
fn with_universe(apt: &Apt, run: impl FnOnce(&Universe<'_>)) {
    let indexes: Vec<PackagesIndex<'_>> =
        apt.pockets.iter().map(|pocket| PackagesIndex::parse(&pocket.text).unwrap()).collect();
    let sources: Vec<Source<'_>> = apt
        .pockets
        .iter()
        .zip(&indexes)
        .map(|(pocket, index)| Source::new(index, &pocket.suite, &pocket.codename, "main"))
        .collect();
    run(&Universe::new(ARCHITECTURE, &[], &sources));
}

fn ours(universe: &Universe<'_>, request: &Request) -> Result<Vec<(String, String)>, String> {
    let selection = select(universe, request).map_err(|error| error.to_string())?;
    Ok(selection
        .packages
        .iter()
        .map(|it| (it.package.name.to_owned(), it.package.version.as_str().to_owned()))
        .collect())
}

fn difference(ours: &[(String, String)], theirs: &[(String, String)]) -> String {
    let (ours, theirs): (BTreeSet<_>, BTreeSet<_>) = (ours.iter().collect(), theirs.iter().collect());
    let list = |left: &BTreeSet<&(String, String)>, right: &BTreeSet<&(String, String)>| {
        left.difference(right).map(|(name, version)| format!("{name}={version}")).collect::<Vec<_>>().join(" ")
    };
    format!("only here: [{}], only there: [{}]", list(&ours, &theirs), list(&theirs, &ours))
}

/// Includes by themselves: `apt-get install` into nothing.
const WISHES: &[&str] = &[
    "curl",
    "hello",
    "nginx",
    "python3",
    "openjdk-17-jre-headless",
    "openjdk-21-jre-headless",
    "postgresql",
    "gnome-core",
    "build-essential",
    "systemd-sysv",
    "default-mta",
    "mutt",
    "cron",
    "mailutils",
    "apt,nginx,python3",
    "git",
    "openssh-server",
    "iputils-ping",
    "debhelper",
    "texlive-latex-base",
    "libreoffice-writer",
    "xorg",
    "task-desktop",
    "kde-plasma-desktop",
    "docker.io",
    "podman",
    "apache2",
    "php",
    "mariadb-server",
    "exim4",
    "postfix",
    "emacs",
    "vim",
    "firefox-esr",
    "chromium",
    "wine",
    "qemu-system-x86",
    "linux-image-amd64",
    "grub-pc",
    "network-manager",
    "rsyslog",
    "ruby",
    "nodejs",
    "npm",
    "golang",
    "rustc,cargo",
    "ghc",
    "r-base",
    "octave",
    "gimp",
    "inkscape",
    "blender",
    "vlc",
    "samba",
    "bind9",
    "dovecot-imapd",
    "spamassassin",
    "nagios4",
    "munin",
    "zabbix-agent",
    "puppet",
    "ansible",
    "salt-minion",
    "tomcat10",
    "maven",
    "ant",
    "gradle",
    "eclipse-titan",
    "libguestfs-tools",
    "live-build",
    "lxc",
    "sysvinit-core",
    "xfce4",
    "lxde",
    "mate-desktop-environment",
    "cinnamon",
    "sddm",
    "lightdm",
    "gdm3",
    "plasma-desktop",
    "pulseaudio",
    "pipewire",
    "default-jdk",
    "perl,libwww-perl",
    "python3-django",
    "python3-scipy",
    "ca-certificates",
    "man-db",
    "dbus-x11",
    "aspell",
    "gnupg",
    "mailman3",
    "roundcube",
    "nextcloud-desktop",
    "asterisk",
    "kodi",
    "steam-devices",
    "games-finest",
    "science-statistics",
];

fn compare_includes(suite: &'static str) {
    let test = format!("packages::oracle::includes {suite}");
    let apt = match Apt::open(suite) {
        Ok(apt) => apt,
        Err(reason) => return skip::note(&test, &reason),
    };
    with_universe(&apt, |universe| {
        let mut bad = Vec::new();
        let mut both_fail = 0;
        for wish in WISHES {
            let request =
                Request { variant: Variant::Custom, include: Wish::list(wish).unwrap(), ..Request::default() };
            let ours = ours(universe, &request);
            let mut arguments = vec!["install"];
            arguments.extend(wish.split(','));
            match (ours, apt.simulate(None, &arguments)) {
                (Ok(ours), Ok(theirs)) if ours == theirs => {}
                (Ok(ours), Ok(theirs)) => bad.push(format!("{wish}: {}", difference(&ours, &theirs))),
                (Err(_), Err(_)) => both_fail += 1,
                (Ok(_), Err(error)) => bad.push(format!("{wish}: apt fails: {error}")),
                (Err(error), Ok(_)) => bad.push(format!("{wish}: we fail: {error}")),
            }
        }
        eprintln!("{suite}: {} wishes, {both_fail} of them impossible for both, {} different", WISHES.len(), bad.len());
        assert!(bad.is_empty(), "{}", bad.join("\n"));
    });
}

#[test]
fn includes_of_bookworm() {
    compare_includes("bookworm");
}

#[test]
fn includes_of_trixie() {
    compare_includes("trixie");
}

/// What mmdebstrap asks apt for: first the essential packages, then, with those on the disk, all the rest.
fn like_mmdebstrap(
    apt: &Apt,
    universe: &Universe<'_>,
    variant: Variant,
    include: &[&str],
) -> Result<Vec<(String, String)>, String> {
    let narrow = |what: &str| {
        format!("?narrow(?or(?archive(^{0}$),?codename(^{0}$)),?architecture({ARCHITECTURE}),{what})", apt.suite)
    };
    let first = match variant {
        Variant::Apt => apt.simulate(None, &["dist-upgrade"])?,
        _ => apt.simulate(None, &["install", &narrow("?essential")])?,
    };
    let status = apt.folder.join(format!("status-{variant}-{}", include.join("-")));
    let mut text = String::new();
    for (name, version) in &first {
        let id =
            universe.versions(name).find(|id| universe.package(*id).version.as_str() == version).expect("apt chose it");
        let stanza = String::from_utf8_lossy(universe.package(id).stanza).into_owned();
        for line in stanza.lines() {
            writeln!(text, "{line}").unwrap();
            if line.starts_with("Package:") {
                writeln!(text, "Status: install ok installed").unwrap();
            }
        }
        writeln!(text).unwrap();
    }
    fs::write(&status, text).unwrap();
    let required = "?and(?priority(required),?not(?essential))";
    let important = "?and(?or(?priority(required),?priority(important)),?not(?essential))";
    let standard = "?and(?or(~prequired,~pimportant,~pstandard),?not(?essential))";
    let pattern = match variant {
        Variant::Required | Variant::Buildd => Some(narrow(required)),
        Variant::Important => Some(narrow(important)),
        Variant::Standard => Some(narrow(standard)),
        _ => None,
    };
    let mut arguments = vec!["install"];
    arguments.extend(include);
    if variant == Variant::Buildd {
        arguments.push("build-essential");
    }
    arguments.extend(pattern.as_deref());
    let mut all = first;
    if arguments.len() > 1 {
        let second = apt.simulate(Some(&status), &arguments)?;
        all.retain(|(name, _)| !second.iter().any(|(other, _)| other == name));
        all.extend(second);
    }
    all.sort();
    Ok(all)
}

fn compare_variants(suite: &'static str) {
    let test = format!("packages::oracle::variants {suite}");
    let apt = match Apt::open(suite) {
        Ok(apt) => apt,
        Err(reason) => return skip::note(&test, &reason),
    };
    with_universe(&apt, |universe| {
        let mut bad = Vec::new();
        let includes: &[&[&str]] = &[
            &[],
            &["nginx", "python3"],
            &["systemd-sysv", "openssh-server", "iproute2"],
            &["default-jre-headless", "postgresql"],
        ];
        for variant in [
            Variant::Essential,
            Variant::Apt,
            Variant::Required,
            Variant::Buildd,
            Variant::Important,
            Variant::Standard,
        ] {
            for include in includes {
                let wishes = include.iter().map(|wish| wish.parse().unwrap()).collect();
                let request = Request { variant, include: wishes, suite: suite.to_owned(), ..Request::default() };
                match (ours(universe, &request), like_mmdebstrap(&apt, universe, variant, include)) {
                    (Ok(ours), Ok(theirs)) if ours == theirs => {
                        eprintln!("{suite} {variant} {include:?}: {} packages", ours.len())
                    }
                    (Ok(ours), Ok(theirs)) => {
                        bad.push(format!("{variant} {include:?}: {}", difference(&ours, &theirs)))
                    }
                    (ours, theirs) => {
                        bad.push(format!("{variant} {include:?}: here {:?}, there {:?}", ours.err(), theirs.err()))
                    }
                }
            }
        }
        assert!(bad.is_empty(), "{}", bad.join("\n"));
    });
}

#[test]
fn variants_of_bookworm() {
    compare_variants("bookworm");
}

#[test]
fn variants_of_trixie() {
    compare_variants("trixie");
}

fn compare_debootstrap(suite: &'static str) {
    let test = format!("packages::oracle::debootstrap {suite}");
    let apt = match Apt::open(suite) {
        Ok(apt) => apt,
        Err(reason) => return skip::note(&test, &reason),
    };
    if oracle::find("debootstrap").is_none() || !bedplate_testkit::privilege::is_root() {
        return skip::note(&test, "debootstrap is not installed, or this is not root");
    }
    let release = &apt.pockets[0];
    let index = PackagesIndex::parse(&release.text).unwrap();
    let source = Source::new(&index, &release.suite, &release.codename, "main");
    let universe = Universe::new(ARCHITECTURE, &[], &[source]);
    let mut bad = Vec::new();
    for (variant, flags) in [
        (Variant::Important, ""),
        (Variant::Required, "--variant=minbase"),
        (Variant::Buildd, "--variant=buildd"),
        (Variant::Required, "--variant=minbase --include=nginx,python3,ca-certificates --exclude=tzdata,mawk"),
        (Variant::Important, "--include=default-mta,no-such-package --exclude=usr-is-merged,vim-tiny"),
        (Variant::Required, "--variant=minbase --no-resolve-deps --include=nginx"),
    ] {
        let value = |name: &str| flags.split(' ').find_map(|flag| flag.strip_prefix(name)).unwrap_or_default();
        let rules = Rules {
            https: apt.mirror.starts_with("https:"),
            resolve: !flags.contains("--no-resolve"),
            printing: true,
            ..Rules::new(Script::Debian, suite)
        };
        let request = Request {
            variant,
            include: Wish::list(value("--include=")).unwrap(),
            exclude: value("--exclude=").split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            resolver: Resolver::Debootstrap(rules.clone()),
            ..Request::default()
        };
        let ours = names(&universe, &request, &rules).unwrap();
        let folder = apt.folder.join("debootstrap");
        let _ = fs::remove_dir_all(&folder);
        let mut command = oracle::command("debootstrap");
        command
            .args(flags.split(' ').filter(|flag| !flag.is_empty()))
            .arg("--print-debs")
            .arg(suite)
            .arg(&folder)
            .arg(&apt.mirror);
        let theirs = oracle::expect(&mut command);
        let (ours, theirs): (Vec<&str>, Vec<&str>) = (ours.iter().collect(), theirs.split_whitespace().collect());
        eprintln!("{suite} {flags}: {} names", theirs.len());
        if ours != theirs {
            bad.push(format!("{flags}\n here {ours:?}\nthere {theirs:?}"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn debootstrap_of_bookworm() {
    compare_debootstrap("bookworm");
}

#[test]
fn debootstrap_of_trixie() {
    compare_debootstrap("trixie");
}

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
use bedplate_testkit::{Random, oracle, skip};

const ARCHITECTURE: &str = "amd64";
/// Old lists are as good as new ones, but the machine may be set to another archive by now.
const KEPT: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// What apt wants to be there.
const FOLDERS: &[&str] = &[
    "etc/preferences.d",
    "etc/apt.conf.d",
    "etc/sources.list.d",
    "state/lists/partial",
    "cache/archives/partial",
    "cache-plain/archives/partial",
    "log",
];

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
    /// An apt whose archive is a folder for each source: its packages and their priority.
    fn tiny(name: &str, sources: &[(i16, String)]) -> Result<Apt, String> {
        if oracle::find("apt-get").is_none() {
            return Err("apt-get is not installed".into());
        }
        let folder = std::env::temp_dir().join(format!("bedplate-oracle-tiny-{}-{name}", std::process::id()));
        for sub in FOLDERS {
            fs::create_dir_all(folder.join(sub)).unwrap();
        }
        let lock = fs::File::create(folder.join("lock")).unwrap();
        let mut list = String::new();
        for (number, (pin, text)) in sources.iter().enumerate() {
            let source = folder.join(format!("source-{number}"));
            fs::create_dir_all(&source).unwrap();
            fs::write(source.join("Packages"), text).unwrap();
            let automatic = match pin {
                1 => "NotAutomatic: yes\n",
                100 => "NotAutomatic: yes\nButAutomaticUpgrades: yes\n",
                _ => "",
            };
            let digest = oracle::expect(oracle::command("sha256sum").arg(source.join("Packages")));
            let digest = digest.split(' ').next().unwrap().to_owned();
            let release = format!("Suite: s{number}\n{automatic}SHA256:\n {digest} {} Packages\n", text.len());
            fs::write(source.join("Release"), release).unwrap();
            writeln!(list, "deb [trusted=yes allow-insecure=yes] file:{} ./", source.display()).unwrap();
        }
        fs::write(folder.join("etc/sources.list"), list).unwrap();
        let apt = Apt { folder, suite: "", mirror: String::new(), pockets: Vec::new(), _lock: lock };
        let output = oracle::output(apt.get(None).arg("update"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(apt)
    }

    fn open(suite: &'static str) -> Result<Apt, String> {
        if oracle::find("apt-get").is_none() {
            return Err("apt-get is not installed".into());
        }
        let (main, security) = mirrors().ok_or("no Debian archive is configured")?;
        let folder = std::env::temp_dir().join(format!("bedplate-oracle-apt-{suite}"));
        let lists = folder.join("state/lists");
        for sub in FOLDERS {
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
        let output = oracle::output(self.get(status).args(["-s", "-y", "-V"]).args(arguments));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // The solver's list stands there also where no order of unpacking is found afterwards.
        let list = text.split_once("The following NEW packages will be installed:\n").map(|(_, list)| list);
        if list.is_none() && !output.status.success() || text.contains("unmet dependencies") {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned() + &text);
        }
        let lines = list.unwrap_or_default().lines().map_while(|line| line.strip_prefix("   "));
        let mut found: Vec<(String, String)> = lines
            .map(|line| {
                let (name, version) = line.split_once(" (").unwrap();
                (name.to_owned(), version.trim_end_matches(')').to_owned())
            })
            .collect();
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

/// Includes by themselves: `apt-get install` into nothing. The sample that every run takes; apt needs a second for each.
const SAMPLE: &[&str] = &[
    "nginx",
    "python3",
    "openjdk-17-jre-headless",
    "openjdk-21-jre-headless",
    "postgresql",
    "gnome-core",
    "build-essential",
    "systemd-sysv",
    "sysvinit-core",
    "default-mta",
    "mutt",
    "mailutils",
    "apt,nginx,python3",
    "task-desktop",
    "wine",
    "php",
];

/// All of them.
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

fn compare_includes(suite: &'static str, wishes: &[&str]) {
    let test = format!("packages::oracle::includes {suite}");
    let apt = match Apt::open(suite) {
        Ok(apt) => apt,
        Err(reason) => return skip::note(&test, &reason),
    };
    with_universe(&apt, |universe| {
        let mut bad = Vec::new();
        let mut both_fail = 0;
        for wish in wishes {
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
        eprintln!("{suite}: {} wishes, {both_fail} of them impossible for both, {} different", wishes.len(), bad.len());
        assert!(bad.is_empty(), "{}", bad.join("\n"));
    });
}

#[test]
fn includes_of_bookworm() {
    compare_includes("bookworm", SAMPLE);
}

#[test]
fn includes_of_trixie() {
    compare_includes("trixie", SAMPLE);
}

#[test]
#[ignore = "takes two minutes"]
fn all_includes_of_bookworm() {
    compare_includes("bookworm", WISHES);
}

#[test]
#[ignore = "takes two minutes"]
fn all_includes_of_trixie() {
    compare_includes("trixie", WISHES);
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
    // Apt takes itself for essential unless it is told not to; its cache of packages remembers that.
    let cache = format!("Dir::Cache={}", apt.folder.join("cache-plain").display());
    let plain = ["-o", "pkgCacheGen::ForceEssential=,", "-o", &cache];
    let first = match variant {
        Variant::Apt => apt.simulate(None, &["dist-upgrade"])?,
        _ => apt.simulate(None, &[plain.as_slice(), &["install", &narrow("?essential")]].concat())?,
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
        if variant != Variant::Apt {
            arguments.splice(0..0, plain);
        }
        let second = apt.simulate(Some(&status), &arguments)?;
        all.retain(|(name, _)| !second.iter().any(|(other, _)| other == name));
        all.extend(second);
    }
    all.sort();
    Ok(all)
}

fn compare_variants(suite: &'static str, variants: &[Variant], includes: &[&[&str]]) {
    let test = format!("packages::oracle::variants {suite}");
    let apt = match Apt::open(suite) {
        Ok(apt) => apt,
        Err(reason) => return skip::note(&test, &reason),
    };
    with_universe(&apt, |universe| {
        let mut bad = Vec::new();
        for variant in variants.iter().copied() {
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

const VARIANTS: &[Variant] =
    &[Variant::Essential, Variant::Apt, Variant::Required, Variant::Buildd, Variant::Important, Variant::Standard];
const INCLUDES: &[&[&str]] = &[
    &[],
    &["nginx", "python3"],
    &["systemd-sysv", "openssh-server", "iproute2"],
    &["default-jre-headless", "postgresql"],
];

#[test]
fn variants_of_bookworm() {
    compare_variants("bookworm", &[Variant::Apt, Variant::Required], &INCLUDES[1..2]);
}

#[test]
fn variants_of_trixie() {
    compare_variants("trixie", &[Variant::Essential, Variant::Important], &INCLUDES[1..2]);
}

#[test]
#[ignore = "takes a minute"]
fn all_variants_of_bookworm() {
    compare_variants("bookworm", VARIANTS, INCLUDES);
}

#[test]
#[ignore = "takes a minute"]
fn all_variants_of_trixie() {
    compare_variants("trixie", VARIANTS, INCLUDES);
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
        (Variant::Fakechroot, "--variant=fakechroot"),
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
            // A list needs no library; it is asked for by this variant all the same.
            .env("FAKECHROOT", "true")
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

/// The stanza of a line of `cases/solve.txt`.
fn stanza(line: &str) -> String {
    let mut parts = line.split(';').map(str::trim);
    let mut words = parts.next().unwrap().split_whitespace();
    let (name, version) = (words.next().unwrap(), words.next().unwrap());
    let mut text = format!("Package: {name}\nVersion: {version}\nArchitecture: {}\n", words.next().unwrap_or("amd64"));
    text += &words.next().map(|word| format!("Multi-Arch: {word}\n")).unwrap_or_default();
    let fields: Vec<&str> = parts.collect();
    if !fields.iter().any(|field| field.starts_with("Priority:")) {
        text += "Priority: optional\n";
    }
    for field in fields {
        text += &format!("{field}\n");
    }
    text + &format!("Filename: ./{name}.deb\nSize: 1\nSHA256: {:064}\n\n", 0)
}

/// What both say of a wish over the same sources; only a wish whose solution was searched for may differ.
fn compare_tiny(
    apt: &Apt,
    sources: &[(i16, String)],
    foreign: &[&str],
    recommends: bool,
    wishes: &str,
) -> Result<bool, String> {
    let indexes: Vec<PackagesIndex<'_>> =
        sources.iter().map(|(_, text)| PackagesIndex::parse(text.as_bytes()).unwrap()).collect();
    let all: Vec<Source<'_>> = indexes
        .iter()
        .zip(sources)
        .map(|(index, (pin, _))| Source { pin: *pin, ..Source::new(index, "s", "", "") })
        .collect();
    let universe = Universe::new(ARCHITECTURE, foreign, &all);
    let include = Wish::list(wishes).unwrap();
    let selection = select(&universe, &Request { variant: Variant::Custom, include, recommends, ..Request::default() });
    let searched = selection.as_ref().is_ok_and(|selection| selection.searched);
    let ours = selection.map_err(|error| error.to_string()).map(|selection| {
        let name = |it: &bedplate_packages::deb::package::Package<'_>| match it.architecture {
            "i386" => format!("{}:i386", it.name),
            _ => it.name.to_owned(),
        };
        let mut list: Vec<_> =
            selection.packages.iter().map(|it| (name(it.package), it.package.version.as_str().to_owned())).collect();
        list.sort();
        list
    });
    let recommends = format!("APT::Install-Recommends={recommends}");
    let mut arguments = vec!["-o", recommends.as_str()];
    if !foreign.is_empty() {
        arguments.extend(["-o", "APT::Architectures::=i386"]);
    }
    arguments.push("install");
    // A pattern may hold commas and blanks.
    let wishes = Wish::list(wishes).unwrap();
    arguments.extend(wishes.iter().map(Wish::as_str));
    match (ours, apt.simulate(None, &arguments)) {
        (Ok(ours), Ok(theirs)) if ours == theirs => Ok(searched),
        (Err(_), Err(_)) => Ok(searched),
        (Ok(_), _) if searched => Ok(true),
        (ours, theirs) => Err(format!("here {ours:?}, there {theirs:?}")),
    }
}

#[test]
fn cases_beside_apt() {
    if oracle::find("apt-get").is_none() {
        return skip::note("packages::oracle::cases_beside_apt", "apt-get is not installed");
    }
    let mut bad = Vec::new();
    let mut count = 0;
    for (number, case) in include_str!("cases/solve.txt").split("\n[").skip(1).enumerate() {
        let (name, body) = case.split_once("]\n").unwrap();
        let flags = body.lines().find_map(|line| line.strip_prefix("flags ")).unwrap_or_default();
        if flags.contains("search") {
            continue;
        }
        let mut sources = vec![(500, String::new())];
        for line in
            body.lines().filter(|line| !line.is_empty() && !line.starts_with("flags ") && !line.starts_with("want "))
        {
            match line.strip_prefix("---") {
                Some(pin) => {
                    sources.push((pin.strip_prefix("pin ").map_or(500, |pin| pin.parse().unwrap()), String::new()))
                }
                None => sources.last_mut().unwrap().1 += &stanza(line),
            }
        }
        let apt = Apt::tiny(&number.to_string(), &sources).unwrap();
        for want in body.lines().filter_map(|line| line.strip_prefix("want ")) {
            let wishes = want.split_once(" = ").or_else(|| want.split_once(" ! ")).unwrap().0;
            if wishes.contains("frob") {
                continue;
            }
            count += 1;
            let foreign: &[&str] = if flags.contains("foreign") { &["i386"] } else { &[] };
            if let Err(difference) = compare_tiny(&apt, &sources, foreign, flags.contains("recommends"), wishes) {
                bad.push(format!("{name}: want {wishes}: {difference}"));
            }
        }
        fs::remove_dir_all(&apt.folder).unwrap();
    }
    assert!(count > 50, "only {count} wishes were compared");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// One archive made of many small ones that know nothing of each other.
fn random_archive(random: &mut Random, worlds: u64) -> String {
    let mut text = String::new();
    for world in 0..worlds {
        let name = |random: &mut Random| match random.below(14) {
            12 => format!("w{world}-virtual"),
            13 => format!("w{world}-other"),
            number => format!("w{world}-p{number}"),
        };
        let relation = |random: &mut Random| {
            let version = *random.pick(&["", "", "", "", "", " (>= 2)", " (<< 2)", " (= 1)"]);
            name(random) + version
        };
        for number in 0..12usize {
            write!(text, "Package: w{world}-p{number}\nVersion: {}\nArchitecture: amd64\n", 1 + random.below(2))
                .unwrap();
            // Of equal providers apt takes the one that its cache met last; we take the first by name.
            let priority =
                ["required", "important", "standard", "optional", "extra"].get(number).unwrap_or(&"optional");
            writeln!(text, "Priority: {priority}").unwrap();
            for (field, most) in [("Depends", 3), ("Pre-Depends", 2)] {
                let groups = (0..random.below(most))
                    .map(|_| (0..1 + random.below(2)).map(|_| relation(random)).collect::<Vec<_>>().join(" | "));
                let groups = groups.collect::<Vec<_>>().join(", ");
                if !groups.is_empty() {
                    writeln!(text, "{field}: {groups}").unwrap();
                }
            }
            if random.one_in(3) {
                writeln!(text, "{}: {}", random.pick(&["Conflicts", "Breaks"]), relation(random)).unwrap();
            }
            if number < 5 && random.one_in(2) {
                writeln!(
                    text,
                    "Provides: {}",
                    random.pick(&[format!("w{world}-virtual"), format!("w{world}-other (= 1)")])
                )
                .unwrap();
            }
            writeln!(text, "Filename: ./x.deb\nSize: 1\nSHA256: {:064}\n", 0).unwrap();
        }
    }
    text
}

#[test]
fn random_archives_beside_apt() {
    const WORLDS: u64 = 150;
    let mut random = Random::new(0x5017e);
    let sources = vec![(500, random_archive(&mut random, WORLDS))];
    let apt = match Apt::tiny("random", &sources) {
        Ok(apt) => apt,
        Err(reason) => return skip::note("packages::oracle::random_archives_beside_apt", &reason),
    };
    let mut bad = Vec::new();
    let (mut count, mut searched) = (0, 0);
    for world in 0..WORLDS {
        for number in [0, 1] {
            let wishes = match number {
                0 => format!("w{world}-p0"),
                _ => format!("w{world}-p1,w{world}-p{}", 2 + random.below(10)),
            };
            match compare_tiny(&apt, &sources, &[], false, &wishes) {
                Ok(found) => searched += u64::from(found),
                Err(difference) => {
                    let start = sources[0].1.find(&format!("Package: w{world}-p0\n")).unwrap();
                    let end = sources[0].1.find(&format!("Package: w{}-p0\n", world + 1)).unwrap_or(sources[0].1.len());
                    let world = sources[0].1[start..end]
                        .lines()
                        .filter(|line| !line.starts_with(['F', 'S', 'A']))
                        .collect::<Vec<_>>()
                        .join("; ");
                    bad.push(format!("{wishes}: {difference}\n  {world}"));
                }
            }
            count += 1;
        }
    }
    fs::remove_dir_all(&apt.folder).unwrap();
    eprintln!("{count} wishes, {searched} of them searched, {} different", bad.len());
    assert!(searched < count / 10, "too few are compared");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

//! `debootstrap`: its directory, its two stages, its tarballs; beside the program of that name, and alone.

use crate::bootstrap_oracles::{compare, is_stated, mirror, run};
use crate::kit::{can_run, fsck, sandbox};
use bedplate_testkit::debian::{Archives, Deb, Era, Extent};
use bedplate_testkit::privilege::{self, Privilege};
use bedplate_testkit::{Http, Invocation, Sandbox, needs, oracle, program, skip};
use std::path::{Path, PathBuf};

/// What both sides may differ in.
const DIFFERENCES: &str = include_str!("../debootstrap-differences.txt");

/// What else they may differ in with packages of priority important.
const IMPORTANT_DIFFERENCES: &str = include_str!("../debootstrap-important-differences.txt");

/// Seconds of a day.
const DAY: u64 = 86400;

/// A generated archive, served.
struct Archive {
    era: Era,
    http: Http,
    mirror: String,
    keyring: Vec<u8>,
}

impl Archive {
    fn of(archives: &Archives) -> Self {
        let http = Http::start();
        let mirror = archives.render().serve(&http).remove(0);
        Self { era: archives.era, http, mirror, keyring: archives.keyring() }
    }

    /// The machine's own packages, enough for minbase.
    fn minbase(test: &str, era: Era) -> Option<Self> {
        if privilege::current() == Privilege::OneUid {
            skip::note(test, "packages own files of several users, this user has one uid");
            return None;
        }
        match era.world(Extent::Minbase) {
            Ok(world) => Some(Self::of(&era.archives(world.packages))),
            Err(reason) => {
                skip::note(test, &reason);
                None
            }
        }
    }

    /// The command with this archive's keyring: `words`, the suite, the target and the mirror.
    fn command(&self, sandbox: &Sandbox, words: &[&str], target: &Path) -> Invocation {
        let keyring = sandbox.write("keyring.gpg", &self.keyring);
        let mut all = vec!["debootstrap".to_owned(), format!("--keyring={}", keyring.display())];
        all.extend(words.iter().map(|word| (*word).to_owned()));
        all.extend([self.era.codename().to_owned(), target.display().to_string(), self.mirror.clone()]);
        sandbox.bedplate(all).clock(self.era.date() + DAY)
    }

    /// `bootstrap` of this archive: `words` after the suite.
    fn bootstrap(&self, sandbox: &Sandbox, words: &[&str]) -> Invocation {
        let keyring = sandbox.write("keyring.gpg", &self.keyring).display().to_string();
        let archive = ["--mirror", &self.mirror, "--keyring", &keyring];
        let words = [&["bootstrap", self.era.codename()][..], words, &archive].concat();
        sandbox.bedplate(words).clock(self.era.date() + DAY)
    }

    /// The same for the other program.
    fn oracle(&self, sandbox: &Sandbox, words: &[&str], target: &Path) {
        let keyring = format!("--keyring={}", sandbox.write("keyring.gpg", &self.keyring).display());
        let mut all = vec!["debootstrap", &keyring];
        all.extend_from_slice(words);
        let target = target.display().to_string();
        all.extend([self.era.codename(), &target, &self.mirror]);
        run(&sandbox.work(), &all);
    }
}

/// A directory as an archive; read by whom its files belong to.
fn packed(sandbox: &Sandbox, directory: &Path) -> Vec<u8> {
    let out = sandbox.path("packed.tar");
    let words = ["--numeric-owner", "--xattrs", "--sort=name", "-C", directory.to_str().unwrap(), "-cf"];
    let mut command = oracle::command("tar");
    let mut inside = oracle::command("unshare");
    let command = match privilege::is_root() {
        true => command.args(words),
        false => inside.args(["--map-auto", "--map-root-user", "tar"]).args(words),
    };
    oracle::expect(command.arg(&out).arg("."));
    std::fs::read(out).unwrap()
}

/// Holds that two directories are the same, times and links with them.
#[track_caller]
fn same(sandbox: &Sandbox, one: &Path, other: &Path) {
    let (ours, theirs) = (packed(sandbox, one), packed(sandbox, other));
    let found: Vec<String> = (compare(&ours, &theirs, true).into_iter())
        .filter(|(_, path, _)| !path.is_empty())
        .map(|(who, path, what)| format!("{who} {path}: {what}"))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn beside_debootstrap(test: &str, suite: &str, variant: &str) {
    needs!(test, privilege::is_root(), "debootstrap wants root");
    needs!(test, oracle::find("debootstrap").is_some(), "debootstrap is not installed");
    let mirror = mirror();
    needs!(test, mirror.is_some(), "this machine's packages are not Debian 12's");
    let mirror = mirror.unwrap();
    let sandbox = sandbox();
    let words =
        |target| ["debootstrap".to_owned(), format!("--variant={variant}"), suite.into(), target, mirror.clone()];
    let theirs = words("theirs".to_owned());
    run(&sandbox.work(), &theirs.each_ref().map(String::as_str));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string();
    sandbox.bedplate(words("ours".to_owned())).env("SOURCE_DATE_EPOCH", now).ok();
    let (ours, theirs) = (packed(&sandbox, &sandbox.path("ours")), packed(&sandbox, &sandbox.path("theirs")));
    let unstated: Vec<String> = (compare(&ours, &theirs, false).into_iter())
        .filter(|(who, path, _)| !is_stated(DIFFERENCES, who, path))
        .filter(|(who, path, _)| variant == "minbase" || !is_stated(IMPORTANT_DIFFERENCES, who, path))
        .map(|(who, path, what)| format!("{who} | {path} | {what}"))
        .collect();
    assert!(unstated.is_empty(), "{suite} {variant}:\n{}", unstated.join("\n"));
    let files: Vec<&str> =
        ["etc/hostname", "etc/resolv.conf"].into_iter().filter(|name| Path::new("/").join(name).exists()).collect();
    for name in files {
        let read = |side: &str| std::fs::read(sandbox.path(side).join(name)).unwrap();
        assert_eq!(read("ours"), read("theirs"), "{name}");
    }
}

#[test]
fn bookworm_is_debootstraps() {
    beside_debootstrap("it::debootstrap::bookworm_is_debootstraps", "bookworm", "minbase");
}

#[test]
fn trixie_is_debootstraps() {
    beside_debootstrap("it::debootstrap::trixie_is_debootstraps", "trixie", "minbase");
}

/// The variant without a name: packages of priority important, in two sets. Their `dpkg` unpacks the second one with
/// what the first one configured.
#[test]
fn bookworm_with_important_packages_is_debootstraps() {
    beside_debootstrap("it::debootstrap::bookworm_with_important_packages_is_debootstraps", "bookworm", "-");
}

#[test]
fn two_stages_make_what_one_makes() {
    let test = "it::debootstrap::two_stages_make_what_one_makes";
    for era in [Era::Bookworm, Era::Trixie, Era::Stretch] {
        let Some(archive) = Archive::minbase(test, era) else { return };
        let sandbox = sandbox();
        let (one, two) = (sandbox.path("one"), sandbox.path("two"));
        let said = archive.command(&sandbox, &["--variant=minbase"], &one).ok().text();
        assert!(said.ends_with("I: Base system installed successfully."), "{said}");
        archive.command(&sandbox, &["--variant=minbase", "--foreign"], &two).ok();
        assert!(two.join("debootstrap/required").exists() && two.join("etc/apt/sources.list").exists());
        assert!(!two.join("var/lib/dpkg/info/dpkg.list").exists(), "the first stage has no packages installed");
        let second = format!("--second-stage-target={}", two.display());
        sandbox.bedplate(["debootstrap", "--second-stage", &second]).clock(era.date() + DAY).ok();
        assert!(!two.join("debootstrap").exists());
        same(&sandbox, &one, &two);
        fsck(&sandbox);
    }
}

#[test]
fn the_second_stage_works_inside_the_root() {
    let test = "it::debootstrap::the_second_stage_works_inside_the_root";
    needs!(test, privilege::is_root(), "chroot(2) is for root");
    let Some(archive) = Archive::minbase(test, Era::Bookworm) else { return };
    let sandbox = sandbox();
    let (one, two) = (sandbox.path("one"), sandbox.path("two"));
    archive.command(&sandbox, &["--variant=minbase"], &one).ok();
    archive.command(&sandbox, &["--variant=minbase", "--foreign"], &two).ok();
    // Nothing is mounted in it, and nothing is after it.
    run(
        &sandbox.work(),
        &["env", "-i", "/usr/sbin/chroot", two.to_str().unwrap(), "/debootstrap/debootstrap", "--second-stage"],
    );
    assert!(!two.join("debootstrap").exists() && !two.join("var/lib/bedplate").exists());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(two.to_str().unwrap()), "{mounts}");
    // Hidden by a mount while the stage runs: it keeps the time of the first one.
    oracle::expect(oracle::command("touch").arg("-r").args([one.join("proc"), two.join("proc")]));
    same(&sandbox, &one, &two);
}

#[test]
fn what_stands_in_the_directory_stays() {
    let test = "it::debootstrap::what_stands_in_the_directory_stays";
    let Some(archive) = Archive::minbase(test, Era::Bookworm) else { return };
    let sandbox = sandbox();
    let target = sandbox.path("target");
    std::fs::create_dir_all(target.join("lost+found")).unwrap();
    sandbox.write("target/etc/fstab", "# mine\n");
    sandbox.write("target/home/me/letter", "mine\n");
    archive.command(&sandbox, &["--variant=minbase", "--foreign"], &target).ok();
    sandbox.write("target/etc/added", "between the stages\n");
    let second = format!("--second-stage-target={}", target.display());
    let words = ["debootstrap", "--second-stage", "--keep-debootstrap-dir", &second];
    sandbox.bedplate(words).clock(archive.era.date() + DAY).ok();
    let read = |name: &str| std::fs::read_to_string(target.join(name)).unwrap();
    assert_eq!(read("etc/fstab"), "# mine\n");
    assert_eq!(read("home/me/letter"), "mine\n");
    assert_eq!(read("etc/added"), "between the stages\n");
    assert!(target.join("lost+found").is_dir() && target.join("debootstrap/suite").exists());
    assert!(read("var/log/bootstrap.log").contains("Configuring dpkg"));
    // What packages bring is not overwritten: the directory may be a system.
    let outcome = archive.command(&sandbox, &["--variant=minbase"], &target).fails();
    outcome.says("which packages bring");
    assert_eq!(read("etc/added"), "between the stages\n");
}

#[test]
fn tarballs_go_both_ways() {
    let test = "it::debootstrap::tarballs_go_both_ways";
    needs!(test, privilege::is_root(), "debootstrap wants root");
    needs!(test, oracle::find("debootstrap").is_some(), "debootstrap is not installed");
    let Some(archive) = Archive::minbase(test, Era::Bookworm) else { return };
    let sandbox = sandbox();
    let path = |name: &str| sandbox.path(name);
    archive.command(&sandbox, &["--variant=minbase"], &path("straight")).ok();
    let tarball = |name: &str| format!("{}", path(name).display());
    let (ours, theirs) = (tarball("ours.tgz"), tarball("theirs.tgz"));
    archive.command(&sandbox, &["--variant=minbase", &format!("--make-tarball={ours}")], &path("none")).ok();
    assert!(!path("none").exists(), "a tarball needs no directory");
    archive.oracle(&sandbox, &["--variant=minbase", &format!("--make-tarball={theirs}")], &path("gone"));
    let asked = archive.http.requests();
    for (tarball, target) in [(&ours, "a"), (&theirs, "b")] {
        // In another store, which has seen no archive.
        let other = crate::kit::sandbox();
        let words = ["--variant=minbase", &format!("--unpack-tarball={tarball}")];
        archive.command(&other, &words, &path(target)).ok();
        same(&sandbox, &path("straight"), &path(target));
    }
    assert_eq!(archive.http.requests(), asked, "all was at hand");
    archive.oracle(&sandbox, &["--variant=minbase", "--foreign", &format!("--unpack-tarball={ours}")], &path("c"));
    archive.oracle(&sandbox, &["--variant=minbase", "--foreign", &format!("--unpack-tarball={theirs}")], &path("d"));
    let names = |target: &str| {
        let text = oracle::expect(oracle::command("find").current_dir(path(target)).args([
            ".",
            "-not",
            "-path",
            "./debootstrap/*",
        ]));
        let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names("c"), names("d"), "debootstrap makes the same of both");
    // And its first stage is a first stage to us.
    let second = format!("--second-stage-target={}", path("c").display());
    sandbox.bedplate(["debootstrap", "--second-stage", &second]).ok();
    assert_eq!(
        std::fs::read(path("c").join("var/lib/dpkg/status")).unwrap(),
        std::fs::read(path("straight").join("var/lib/dpkg/status")).unwrap()
    );
}

/// An archive of one package.
fn small(era: Era, architecture: &str) -> Archive {
    let deb = |name: &str| Deb::new(name, "1:2-3").architecture(architecture).priority("required");
    let mut archives = era.archives([
        deb("apt").file("/usr/bin/apt", 0o755, "apt\n"),
        deb("dpkg").file("/usr/bin/dpkg", 0o755, "dpkg\n"),
    ]);
    archives.release().architectures = vec![architecture.to_owned()];
    Archive::of(&archives)
}

#[test]
fn tarballs_are_judged_as_archives_are() {
    if privilege::current() == Privilege::OneUid {
        return skip::note("it::debootstrap::tarballs_are_judged_as_archives_are", "one uid");
    }
    let archive = small(Era::Trixie, "arm64");
    let sandbox = sandbox();
    let words = ["--variant=minbase", "--arch=arm64", "--make-tarball=good.tar"];
    archive.command(&sandbox, &words, Path::new("unused")).ok();
    let unpack = |tarball: &str, more: &[&str]| {
        let given = format!("--unpack-tarball={tarball}");
        let words = [&["--variant=minbase", "--foreign", &given][..], more].concat();
        let target = sandbox.path(&format!("of-{tarball}"));
        // In another store, which has seen no archive.
        let other = crate::kit::sandbox();
        archive.command(&other, &words, &target).folder(sandbox.work()).run()
    };
    let refused = |tarball: &str, more: &[&str], message: &str| {
        let outcome = unpack(tarball, more);
        assert_ne!(outcome.status, Some(0), "{outcome}");
        outcome.says(message);
    };
    assert_eq!(unpack("good.tar", &[]).status, Some(0));
    refused("good.tar", &["--arch=amd64"], "asked for architecture amd64, and this is of arm64");
    let of_buildd = ["--variant=buildd", "--foreign", "--unpack-tarball=good.tar"];
    let outcome = archive.command(&sandbox, &of_buildd, &sandbox.path("buildd")).folder(sandbox.work()).fails();
    outcome.says("asked for variant buildd, and this is of minbase");
    let good = std::fs::read(sandbox.path("good.tar")).unwrap();
    let change = |name: &str, from: &[u8], to: &[u8]| {
        assert_eq!(from.len(), to.len());
        let mut bytes = good.clone();
        let mut changed = 0;
        for at in 0..bytes.len() - from.len() {
            if &bytes[at..at + from.len()] == from {
                bytes[at..at + to.len()].copy_from_slice(to);
                changed += 1;
            }
        }
        assert!(changed > 0, "{name}");
        sandbox.write(name, bytes);
    };
    change("index.tar", b"Package: dpkg\n", b"Package: dpkX\n");
    refused("index.tar", &[], "index trixie/main arm64: expected sha256:");
    change("release.tar", b"\nSuite: ", b"\nSuitE: ");
    refused("release.tar", &[], "cannot trust the Release file");
    change("deb.tar", b"!<arch>\n", b"!<arcX>\n");
    refused("deb.tar", &[], "package apt 1:2-3 arm64: expected sha256:");
    change("words.tar", b"trixie\n\0", b"t ixie\n\0");
    refused("words.tar", &[], "debootstrap/suite holds \"t ixie\": expected one word");
    change("path.tar", b"apt /var/cache/apt/archives/apt_", b"apt /../../../../../archive/apt_");
    refused("path.tar", &[], "debootstrap/debpaths:");
}

#[test]
fn another_architecture_is_unpacked_and_runs_nothing() {
    if privilege::current() == Privilege::OneUid {
        return skip::note("it::debootstrap::another_architecture_is_unpacked_and_runs_nothing", "one uid");
    }
    let other = if program::Machine::host() == program::Machine::X86_64 { "arm64" } else { "amd64" };
    let archive = small(Era::Trixie, other);
    let sandbox = sandbox();
    let target = sandbox.path("target");
    let arch = format!("--arch={other}");
    archive.command(&sandbox, &["--variant=minbase", "--foreign", &arch], &target).ok();
    let read = |name: &str| std::fs::read_to_string(target.join(name)).unwrap();
    assert_eq!(read("usr/bin/apt"), "apt\n");
    assert_eq!(read("debootstrap/arch"), format!("{other}\n"));
    assert_eq!(read("debootstrap/required"), "apt\ndpkg\n");
    assert_eq!(read("debootstrap/mirror"), format!("{}\n", archive.mirror));
    assert_eq!(read("etc/apt/sources.list"), format!("deb {} trixie main\n", archive.mirror));
    assert!(target.join(format!("var/cache/apt/archives/apt_1%3a2-3_{other}.deb")).exists());
    assert!(!target.join("debootstrap/debootstrap").exists(), "this program does not run there");
    // Without scripts it is arithmetic.
    let keyring = sandbox.path("keyring.gpg");
    let words =
        ["bootstrap", "trixie", "--arch", other, "--variant", "extract", "--include", "dpkg", "--pockets", "release"];
    let more = ["--mirror", &archive.mirror, "--keyring", keyring.to_str().unwrap(), "-o", "root.tar"];
    sandbox.bedplate(words.into_iter().chain(more)).clock(archive.era.date() + DAY).ok();
    let listing = oracle::expect(oracle::command("tar").arg("-tf").arg(sandbox.path("root.tar")));
    assert!(listing.lines().any(|line| line.ends_with("usr/bin/dpkg")), "{listing}");
}

#[test]
fn a_second_stage_of_another_architecture_says_what_is_missing() {
    let test = "it::debootstrap::a_second_stage_of_another_architecture_says_what_is_missing";
    if !can_run(test) || privilege::current() == Privilege::OneUid {
        return;
    }
    let other = if program::Machine::host() == program::Machine::X86_64 { "arm64" } else { "amd64" };
    let machine = if other == "arm64" { program::Machine::Aarch64 } else { program::Machine::X86_64 };
    let deb = |name: &str| Deb::new(name, "1").architecture(other).priority("required").essential();
    let program = program::hello(machine);
    let mut archives = Era::Trixie.archives([
        deb("apt"),
        deb("dpkg").file("/usr/bin/dpkg", 0o755, &program).file("/sbin/ldconfig", 0o755, &program),
    ]);
    archives.release().architectures = vec![other.to_owned()];
    let archive = Archive::of(&archives);
    let sandbox = sandbox();
    let outcome =
        archive.command(&sandbox, &["--variant=minbase", &format!("--arch={other}")], &sandbox.path("target")).fails();
    outcome.says(&format!("it is a program for {other}"));
    outcome.says("--foreign");
}

#[test]
fn packages_are_kept_and_found_where_asked() {
    if privilege::current() == Privilege::OneUid {
        return skip::note("it::debootstrap::packages_are_kept_and_found_where_asked", "one uid");
    }
    let archive = small(Era::Trixie, "arm64");
    let sandbox = sandbox();
    let debs = sandbox.path("debs");
    std::fs::create_dir(&debs).unwrap();
    let given = format!("--cache-dir={}", debs.display());
    let words = ["--variant=minbase", "--arch=arm64", "--download-only", &given];
    archive.command(&sandbox, &words, &sandbox.path("one")).ok();
    let files = |folder: PathBuf| {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(files(debs.clone()), ["apt_1%3a2-3_arm64.deb", "dpkg_1%3a2-3_arm64.deb"]);
    assert_eq!(
        files(sandbox.path("one/var/cache/apt/archives")),
        ["apt_1%3a2-3_arm64.deb", "dpkg_1%3a2-3_arm64.deb", "partial"]
    );
    let lists = files(sandbox.path("one/var/lib/apt/lists"));
    assert!(lists.iter().any(|name| name.ends_with("_dists_trixie_InRelease")), "{lists:?}");
    let loaded = || archive.http.asked().iter().filter(|path| path.ends_with(".deb")).count();
    assert_eq!(loaded(), 2);
    // Another store fetches nothing of it but what was spoilt.
    std::fs::write(debs.join("apt_1%3a2-3_arm64.deb"), "spoilt").unwrap();
    let other = crate::kit::sandbox();
    archive.command(&other, &words, &sandbox.path("two")).ok().says("is not used");
    assert_eq!(loaded(), 3);
}

#[test]
fn extra_suites_are_asked_too() {
    if privilege::current() == Privilege::OneUid {
        return skip::note("it::debootstrap::extra_suites_are_asked_too", "one uid");
    }
    let mut archives =
        Era::Trixie.archives([Deb::new("apt", "1").depends("more"), Deb::new("dpkg", "1").priority("required")]);
    archives.suite("trixie-updates").packages.push(Deb::new("more", "1").file("/srv/more", 0o644, "more\n").into());
    let archive = Archive::of(&archives);
    let sandbox = sandbox();
    let names = |more: &[&str]| {
        let words = [&["--variant=minbase", "--print-debs"][..], more].concat();
        archive.command(&sandbox, &words, Path::new("unused")).ok().text()
    };
    assert_eq!(names(&[]), "dpkg apt");
    assert_eq!(names(&["--extra-suites=trixie-updates"]), "dpkg apt more");
    assert_eq!(names(&["--extra-suites=trixie-updates", "--no-resolve-deps"]), "dpkg apt");
    assert_eq!(names(&["--include=more dpkg", "--exclude=apt", "--extra-suites=trixie-updates"]), "dpkg more");
    let words = ["--variant=minbase", "--foreign", "--extra-suites=trixie-updates", "--log-extra-deps"];
    let said = archive.command(&sandbox, &words, &sandbox.path("target")).ok().text();
    assert!(said.contains("I: Found additional base dependencies: more\n"), "{said}");
    let read = |name: &str| std::fs::read_to_string(sandbox.path("target").join(name)).unwrap();
    assert_eq!(read("debootstrap/extra-suites"), "trixie-updates\n");
    let list = format!("deb {0} trixie main\ndeb {0} trixie-updates main\n", archive.mirror);
    assert_eq!(read("etc/apt/sources.list"), list);
}

#[test]
fn what_is_not_done_is_refused_by_name() {
    let sandbox = sandbox();
    let cases: [(&[&str], &str); 17] = [
        (&["trixie", "x", "http://m.example", "sid"], "no script is run"),
        (&["--debian-installer", "trixie", "x"], "--debian-installer"),
        (&["--inrelease-path=x", "trixie", "x"], "--inrelease-path"),
        (&["--variant=other", "trixie", "x"], "unsupported variant \"other\""),
        (&["--cache-dir=x", "trixie", "x"], "is no absolute path"),
        (&["--cache-dir=/nowhere/at/all", "trixie", "x"], "is no directory"),
        (&["--foreign", "--second-stage"], "cannot be used with"),
        (&["--print-debs", "--download-only", "trixie", "x"], "cannot be used with"),
        (&["--no-check-gpg", "--force-check-gpg", "trixie", "x"], "cannot be used with"),
        (&["--second-stage-target=x", "trixie", "x"], "it goes with --second-stage"),
        (&["--unpack-tarball=nothing.tgz", "trixie", "x"], "No such file"),
        (&["--extractor=rpm", "trixie", "x"], "possible values: dpkg-deb, ar"),
        (&["--variant=fakechroot", "trixie", "x"], "--variant=- --include=binutils"),
        (&["--variant=fakechroot", "--foreign", "trixie", "x"], "linked statically"),
        (&["--print-debs", "--keep-debootstrap-dir", "trixie", "x"], "--download-only"),
        (&["--second-stage", "--include=vim"], "cannot be used with"),
        (&["trixie", "x", "ssh://m.example/debian"], "ssh"),
    ];
    for (words, message) in cases {
        let words = ["debootstrap"].iter().chain(words);
        sandbox.bedplate(words).fails().says(message);
    }
    assert!(!sandbox.path("x").exists());
    let version = sandbox.bedplate(["debootstrap", "--version"]).ok().text();
    assert!(version.starts_with("debootstrap (bedplate "), "{version}");
}

/// Stages and tarballs by the flags of `bootstrap`: the same directory, and images besides.
#[test]
fn bootstrap_knows_the_ways_of_debootstrap() {
    let test = "it::debootstrap::bootstrap_knows_the_ways_of_debootstrap";
    let Some(archive) = Archive::minbase(test, Era::Trixie) else { return };
    let sandbox = sandbox();
    let (one, two) = (sandbox.path("one"), sandbox.path("two"));
    archive.command(&sandbox, &["--variant=minbase"], &one).ok();
    let foreign = ["--foreign", "-o", "two/", "--image-mirror", &archive.mirror];
    archive.bootstrap(&sandbox, &foreign).ok();
    assert!(two.join("debootstrap/required").exists());
    // Who begins with the first stage again finds it there.
    archive.bootstrap(&sandbox, &foreign).fails().says("which packages bring").says("--second-stage");
    let second = || sandbox.bedplate(["bootstrap", "--second-stage", "-o", "two/"]).clock(archive.era.date() + DAY);
    second().ok();
    same(&sandbox, &one, &two);
    second().fails().says("this is no tarball or first stage").says("--foreign");

    let names =
        archive.bootstrap(&sandbox, &["--print-debs", "--resolver", "debootstrap", "--pockets", "release"]).ok().text();
    archive.bootstrap(&sandbox, &["--make-tarball", "kit.tar"]).ok();
    let asked = archive.http.requests();
    let kit = |words: &[&str]| {
        let keyring = sandbox.path("keyring.gpg").display().to_string();
        let words = [&["bootstrap", "--unpack-tarball", "kit.tar", "--keyring", &keyring][..], words].concat();
        // In another store, which has seen no archive.
        let other = crate::kit::sandbox();
        let invocation = other.bedplate(words).folder(sandbox.work()).clock(archive.era.date() + DAY);
        (invocation, other)
    };
    let listed = kit(&["--print-debs"]).0.ok().text();
    let sorted = |text: &str| text.split_whitespace().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(&listed), sorted(&names));
    let image = ["--style", "plain", "--image-mirror", "http://m.example/debian", "-t", "made"];
    let (make, store) = kit(&image);
    let id = make.ok().text();
    assert_eq!(archive.http.requests(), asked, "all was at hand");
    fsck(&store);
    // The same packages by the same rules, straight from the archive.
    let straight = [&["--resolver", "debootstrap", "--pockets", "release"][..], &image].concat();
    assert_eq!(archive.bootstrap(&sandbox, &straight).ok().text(), id);
    // What was only downloaded is there without a network.
    let third = crate::kit::sandbox();
    archive.bootstrap(&third, &["--download-only", "--pockets", "release"]).ok();
    let asked = archive.http.requests();
    archive.bootstrap(&third, &["--offline", "--pockets", "release", "-o", "root.tar"]).ok();
    assert_eq!(archive.http.requests(), asked);
}

#[test]
fn a_wrong_use_of_stages_and_tarballs_is_named() {
    let sandbox = sandbox();
    sandbox.write("text.tgz", "no tarball\n");
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    let of_another = oracle::expect(
        oracle::command("tar")
            .args(["-C", "/", "-cf"])
            .args([sandbox.path("another.tar").to_str().unwrap(), "etc/hostname"]),
    );
    assert_eq!(of_another, "");
    let cases: [(&[&str], &[&str]); 15] = [
        (&["trixie", "--foreign"], &["--output"]),
        (&["trixie", "--foreign", "-o", "x.tar"], &["stages are done in a directory", "-o DIR/"]),
        (&["trixie", "--foreign", "-o", "x/", "--variant", "fakechroot"], &["linked statically", "/etc/subuid"]),
        (&["trixie", "--foreign", "-o", "x/", "--resolver", "apt"], &["makes no stages"]),
        (&["trixie", "--foreign", "-o", "x/", "--recommends"], &["cannot be used with"]),
        (&["--second-stage"], &["--output"]),
        (&["--second-stage", "-o", "x/"], &["cannot do the second stage in \"x/\"", "--foreign"]),
        (&["--second-stage", "-o", "empty/"], &["this is no tarball or first stage", "--foreign"]),
        (&["--second-stage", "-o", "empty/", "--include", "vim"], &["cannot be used with"]),
        (&["--unpack-tarball", "none.tgz", "-t", "x"], &["cannot use the tarball \"none.tgz\"", "--make-tarball"]),
        (&["--unpack-tarball", "text.tgz", "-t", "x"], &["cannot use the tarball", "--make-tarball"]),
        (&["--unpack-tarball", "another.tar", "-t", "x"], &["this is no tarball or first stage", "--make-tarball"]),
        (&["trixie", "--make-tarball", "x.tgz", "--style", "docker"], &["cannot be used with"]),
        (&["trixie", "--make-tarball", "nowhere/x.tgz"], &["cannot write the tarball"]),
        (&["trixie", "--download-only", "--lock", "x.lock"], &["cannot be used with"]),
    ];
    for (words, messages) in cases {
        let words = ["bootstrap"].iter().chain(words);
        let outcome = sandbox.bedplate(words).fails();
        for message in messages {
            outcome.says(message);
        }
    }
    for left in ["x", "x.tar", "x.tgz", "x.lock"] {
        assert!(!sandbox.path(left).exists(), "{left}");
    }
}

/// What people do with the directory.
#[test]
fn the_directory_becomes_an_image() {
    let test = "it::debootstrap::the_directory_becomes_an_image";
    if !can_run(test) {
        return;
    }
    let Some(archive) = Archive::minbase(test, Era::Bookworm) else { return };
    let sandbox = sandbox();
    let target = sandbox.path("target");
    archive.command(&sandbox, &["--variant=minbase"], &target).ok();
    let tar = packed(&sandbox, &target);
    sandbox.bedplate(["import", "-", "made"]).stdin(tar).ok();
    let release = sandbox.bedplate(["run", "--rm", "--network", "none", "made", "cat", "/etc/os-release"]).ok().text();
    assert!(release.contains("ID=debian"), "{release}");
    let audit = sandbox.bedplate(["run", "--rm", "--network", "none", "made", "dpkg", "--audit"]).ok();
    assert_eq!(audit.text(), "");
    fsck(&sandbox);
}

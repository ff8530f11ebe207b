//! Generated archives before their judges: apt, debootstrap and mmdebstrap.
#![forbid(unsafe_code)]

use bedplate_testkit::debian::corners::{self, Corner};
use bedplate_testkit::debian::{Deb, EPOCH, Extent, Listing, Repository, Signer, SigningKey, Suite, World};
use bedplate_testkit::{Http, needs, oracle, privilege, skip};
use std::path::Path;
use std::process::Command;

/// An apt with a root, lists and keys of its own.
struct Apt {
    folder: tempfile::TempDir,
}

impl Apt {
    fn new(sources: &str, keyring: &[u8]) -> Apt {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["etc/apt/apt.conf.d", "etc/apt/preferences.d", "lists/partial", "cache/archives/partial", "dpkg"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::write(root.join("keyring.gpg"), keyring).unwrap();
        for name in ["dpkg/status", "apt.conf"] {
            std::fs::write(root.join(name), "").unwrap();
        }
        let keyring = root.join("keyring.gpg");
        std::fs::write(root.join("sources.list"), sources.replace("KEYRING", keyring.to_str().unwrap())).unwrap();
        Apt { folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let root = self.folder.path();
        let mut command = oracle::command("apt-get");
        let at = |name: &str| root.join(name).display().to_string();
        for (option, value) in [
            ("Dir::Etc", at("etc/apt")),
            ("Dir::Etc::sourcelist", at("sources.list")),
            ("Dir::Etc::sourceparts", at("none")),
            ("Dir::Etc::trustedparts", at("none")),
            ("Dir::State", at("")),
            ("Dir::State::lists", at("lists")),
            ("Dir::State::status", at("dpkg/status")),
            ("Dir::Cache", at("cache")),
            ("APT::Sandbox::User", String::new()),
            ("Acquire::Languages", "none".to_owned()),
            ("Acquire::Check-Valid-Until", "false".to_owned()),
            ("APT::Update::Post-Invoke::", String::new()),
        ] {
            command.arg("-o").arg(format!("{option}={value}"));
        }
        // The machine's own configuration would bring its sources and proxies.
        command.env("APT_CONFIG", root.join("apt.conf")).args(arguments);
        command
    }
}

fn run(mut command: Command) -> (bool, String) {
    let output = oracle::output(&mut command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

fn suite(key: &SigningKey) -> Suite {
    Suite::new("bookworm")
        .signed(Signer::new(key))
        .package(Deb::new("one", "1").depends("two (>= 2)"))
        .package(Deb::new("two", "2.1").architecture(bedplate_testkit::debian::archive::host_architecture()))
}

#[test]
fn apt_accepts_a_suite_and_resolves_in_it() {
    needs!("testkit::apt_accepts_a_suite", oracle::find("apt-get").is_some(), "no apt-get");
    let key = SigningKey::new();
    let http = Http::start();
    let url = Repository::new([suite(&key)]).render().serve(&http, "/debian");
    let apt = Apt::new(&format!("deb [signed-by=KEYRING] {url} bookworm main\n"), &key.public());
    let (good, said) = run(apt.command(&["update"]));
    assert!(good && !said.contains("W:"), "{said}");
    assert!(http.asked().iter().any(|path| path.contains("/by-hash/")), "{:?}", http.asked());
    let (good, said) = run(apt.command(&["-s", "install", "one"]));
    assert!(good && said.contains("Inst two (2.1"), "{said}");
    let (good, said) = run(apt.command(&["-y", "-d", "install", "one"]));
    assert!(good, "{said}");
}

#[test]
fn apt_accepts_a_flat_repository() {
    needs!("testkit::apt_accepts_a_flat_repository", oracle::find("apt-get").is_some(), "no apt-get");
    let key = SigningKey::new();
    let http = Http::start();
    let flat = Suite { flat: true, path: "./".to_owned(), ..suite(&key) };
    let url = Repository::new([flat]).render().serve(&http, "/flat");
    let apt = Apt::new(&format!("deb [signed-by=KEYRING] {url} ./\n"), &key.public());
    let (good, said) = run(apt.command(&["update"]));
    assert!(good && !said.contains("W:"), "{said}");
    let (good, said) = run(apt.command(&["-y", "-d", "install", "one"]));
    assert!(good, "{said}");
}

#[test]
fn apt_refuses_an_unknown_key() {
    needs!("testkit::apt_refuses_an_unknown_key", oracle::find("apt-get").is_some(), "no apt-get");
    let http = Http::start();
    let url = Repository::new([suite(&SigningKey::new())]).render().serve(&http, "/debian");
    let apt = Apt::new(&format!("deb [signed-by=KEYRING] {url} bookworm main\n"), &SigningKey::new().public());
    let (good, said) = run(apt.command(&["update"]));
    assert!(!good || said.contains("NO_PUBKEY"), "{said}");
}

/// The machine's packages as an archive of the suite that these tools know how to bootstrap.
fn bootable(test: &str, extent: Extent) -> Option<(SigningKey, Repository)> {
    match World::of_host(extent) {
        Ok(world) => {
            let key = SigningKey::new();
            let suite = Suite::new("bookworm").signed(Signer::new(&key));
            let listings = world.packages.into_iter().map(Listing::new);
            Some((key, Repository::new([suite.packages(listings)])))
        }
        Err(reason) => {
            skip::note(test, &reason);
            None
        }
    }
}

fn check_root(root: &Path) {
    let status = std::fs::read_to_string(root.join("var/lib/dpkg/status")).unwrap();
    for line in status.lines().filter(|line| line.starts_with("Status: ")) {
        assert_eq!(line, "Status: install ok installed");
    }
    let (good, said) = run({
        let mut command = oracle::command("chroot");
        command.arg(root).args(["dpkg", "--audit"]);
        command
    });
    assert!(good && said.is_empty(), "{said}");
}

#[test]
fn mmdebstrap_bootstraps_the_world() {
    const TEST: &str = "testkit::mmdebstrap_bootstraps_the_world";
    needs!(TEST, privilege::is_root() && oracle::find("mmdebstrap").is_some(), "no root or no mmdebstrap");
    let Some((key, repository)) = bootable(TEST, Extent::Essential) else { return };
    let http = Http::start();
    let url = repository.render().serve(&http, "/debian");
    let folder = tempfile::tempdir().unwrap();
    let keyring = folder.path().join("keyring.gpg");
    std::fs::write(&keyring, key.public()).unwrap();
    let root = folder.path().join("root");
    let mut command = oracle::command("mmdebstrap");
    // The machine is merged, so its packages ask for usr-is-merged; without it apt would take usrmerge.
    command
        .args(["--mode=root", "--variant=essential", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "bookworm"])
        .arg(&root);
    command.arg(format!("deb [signed-by={}] {url} bookworm main", keyring.display()));
    command.env("SOURCE_DATE_EPOCH", EPOCH.to_string());
    let (good, said) = run(command);
    assert!(good, "{said}");
    check_root(&root);
}

#[test]
fn debootstrap_bootstraps_the_world() {
    const TEST: &str = "testkit::debootstrap_bootstraps_the_world";
    needs!(TEST, privilege::is_root() && oracle::find("debootstrap").is_some(), "no root or no debootstrap");
    let Some((key, repository)) = bootable(TEST, Extent::Minbase) else { return };
    let http = Http::start();
    let url = repository.render().serve(&http, "/debian");
    let folder = tempfile::tempdir().unwrap();
    let keyring = folder.path().join("keyring.gpg");
    std::fs::write(&keyring, key.public()).unwrap();
    let root = folder.path().join("root");
    let mut command = oracle::command("debootstrap");
    command
        .arg("--variant=minbase")
        .arg(format!("--keyring={}", keyring.display()))
        .arg("bookworm")
        .arg(&root)
        .arg(&url);
    let (good, said) = run(command);
    assert!(good, "{said}");
    check_root(&root);
}

#[test]
fn dpkg_makes_of_the_corners_what_they_expect() {
    const TEST: &str = "testkit::dpkg_makes_of_the_corners_what_they_expect";
    needs!(TEST, privilege::is_root() && oracle::find("mmdebstrap").is_some(), "no root or no mmdebstrap");
    let Some((key, mut repository)) = bootable(TEST, Extent::Essential) else { return };
    let corners = corners::all();
    let names: Vec<&str> = corners.iter().flat_map(Corner::names).collect();
    let packages = corners.iter().flat_map(|corner| &corner.packages).map(Listing::from);
    repository.suites[0].packages.extend(packages);
    let http = Http::start();
    let url = repository.render().serve(&http, "/debian");
    let folder = tempfile::tempdir().unwrap();
    let keyring = folder.path().join("keyring.gpg");
    std::fs::write(&keyring, key.public()).unwrap();
    let archive = folder.path().join("root.tar");
    let mut command = oracle::command("mmdebstrap");
    command.args(["--mode=root", "--variant=essential", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"]);
    command.arg(format!("--include={}", names.join(","))).arg("bookworm").arg(&archive);
    command.arg(format!("deb [signed-by={}] {url} bookworm main", keyring.display()));
    let (good, said) = run(command);
    assert!(good, "{said}");
    let mut differences: Vec<String> = corners.iter().flat_map(|corner| corners::judge(corner, &archive)).collect();
    // mmdebstrap guards services by policy-rc.d alone; debootstrap and bedplate put a start-stop-daemon aside, too.
    differences.retain(|line| line != "no service starts: srv/daemon-ran is there");
    assert!(differences.is_empty(), "{}\n{said}", differences.join("\n"));
}

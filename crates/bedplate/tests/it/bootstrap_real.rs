//! Images from the archive that this machine's own packages come from: what holds inside them, and the examples.

use crate::bootstrap::NEXT_DAY;
use crate::bootstrap_oracles::mirror;
use crate::kit::*;
use bedplate_testkit::debian::{Deb, Era, Extent};
use bedplate_testkit::privilege::{self, Privilege};
use bedplate_testkit::{Http, Outcome, Sandbox, skip};
use std::path::Path;

/// True where images can be made from the real archive; counts a skip else.
pub(crate) fn has_archive(test: &str) -> bool {
    if privilege::current() == Privilege::OneUid {
        skip::note(test, "packages own files of several users, this user has one uid");
    } else if mirror().is_none() {
        skip::note(test, "no archive of Debian 12 among the sources of apt");
    } else {
        return true;
    }
    false
}

/// Runs a line of shell in an image, with the network.
#[track_caller]
fn inside(sandbox: &Sandbox, image: &str, line: &str) -> Outcome {
    sandbox.bedplate(["run", "--rm", image, "sh", "-ec", line]).patient().ok()
}

/// What holds inside an image: its package manager finds nothing wrong but files `left_out`, and the loader's cache is
/// complete.
#[track_caller]
fn sound(sandbox: &Sandbox, image: &str, left_out: &[String]) {
    let outcome = sandbox.bedplate(["run", "--rm", image, "sh", "-c", "dpkg --audit; dpkg --verify"]).run();
    let text = outcome.text();
    let is_stated = |line: &str| left_out.iter().any(|folder| line.starts_with(&format!("missing     {folder}")));
    let wrong: Vec<&str> = text.lines().filter(|line| !is_stated(line)).collect();
    assert!(wrong.is_empty() && outcome.stderr.is_empty(), "{image}: {wrong:#?}\n{}", outcome.stderr);
    let outcome = inside(sandbox, image, "apt-get check -qq");
    assert_eq!(outcome.text(), "", "{image}: {outcome}");
    let line = "ldconfig -p > /tmp/kept; ldconfig; ldconfig -p > /tmp/anew; cat /tmp/anew; diff /tmp/kept /tmp/anew";
    let outcome = inside(sandbox, image, line);
    assert!(outcome.text().contains("libc.so.6"), "{image}: {outcome}");
}

#[test]
fn bookworm_is_sound() {
    let test = "it::bookworm_is_sound";
    if !has_archive(test) {
        return;
    }
    let sandbox = sandbox();
    let words = ["bootstrap", "bookworm", "--slim", "--include", "ca-certificates,curl", "-t", "base"];
    let outcome = sandbox.bedplate(words).patient().ok();
    image_id(&sandbox, &outcome);
    sound(&sandbox, "base", &["doc", "info", "lintian", "locale", "man"].map(|name| format!("/usr/share/{name}")));
    let outcome =
        inside(&sandbox, "base", "apt-get -q update && apt-get -q install -y hello && hello && curl --version");
    assert!(outcome.text().contains("\nHello, world!\ncurl 7."), "{outcome}");
    let outcome = inside(&sandbox, "base", "find /usr/share/man /usr/share/doc/curl ! -type d");
    assert_eq!(outcome.text(), "/usr/share/doc/curl/copyright", "{outcome}");
    fsck(&sandbox);
}

#[test]
fn trixie_is_sound() {
    let test = "it::trixie_is_sound";
    if !has_archive(test) {
        return;
    }
    let sandbox = sandbox();
    let outcome = sandbox.bedplate(["bootstrap", "debian:trixie", "-t", "trixie"]).patient().ok();
    image_id(&sandbox, &outcome);
    let outcome = sandbox.bedplate(["run", "--rm", "trixie", "cat", "/etc/os-release"]).ok();
    assert!(outcome.text().contains("VERSION_CODENAME=trixie"), "{outcome}");
    sound(&sandbox, "trixie", &[]);
    fsck(&sandbox);
}

/// Every recipe of `examples/` makes the image that it tells of.
#[test]
fn examples_are_built() {
    let test = "it::examples_are_built";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let Ok(files) = std::fs::read_dir(&folder) else {
        // The runs as plain users have a copy of this program and no checkout.
        return skip::note(test, "the checkout cannot be read");
    };
    let recipes = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut recipes: Vec<String> = recipes.filter(|name| name.ends_with(".toml")).collect();
    recipes.sort();
    // recipe | name of the image | what shows that it is what it tells of, or a file for one without a shell
    let table = [
        ("debian-buildd.toml", "debian:build", "echo 'int main(void) { return 0; }' > a.c && make a && ./a"),
        ("debian-derivative.toml", "example:stable", "test -s /etc/ssl/certs/ca-certificates.crt"),
        ("debian-extract.toml", "debian:files", "/usr/share/zoneinfo/Europe/Berlin"),
        ("debian-minimal.toml", "debian:trixie", "apt-get check"),
        ("debian-slim.toml", "base:slim", "curl --version && grep en_US /etc/default/locale.example"),
        ("ubuntu.toml", "ubuntu:24.04", "grep -q 'main universe' /etc/apt/sources.list.d/ubuntu.sources"),
    ];
    assert_eq!(recipes, table.map(|(recipe, ..)| recipe), "each example has a line here");
    if !has_archive(test) {
        return;
    }
    let Some(mirror) = mirror() else { return };
    let security = format!("security={mirror}-security");
    let sandbox = sandbox();
    for (recipe, image, shown) in table {
        let recipe = folder.join(recipe);
        let recipe = recipe.to_str().unwrap();
        if image.starts_with("ubuntu") {
            ubuntu(test, &sandbox, recipe);
        } else {
            let mut words = vec!["bootstrap", "--recipe", recipe];
            if image.starts_with("example") {
                // The host's apt is set to bookworm, which the derivative does not have.
                words.extend(["--mirror", &mirror, "--mirror", &security]);
            }
            sandbox.bedplate(words).patient().ok();
        }
        if !images_named(&sandbox).contains(&image.to_owned()) {
            skip::note(test, &format!("{image} was not made"));
        } else if image == "debian:files" {
            sandbox.bedplate(["cp", &format!("{image}:{shown}"), "shown"]).ok();
            assert!(sandbox.path("shown").exists(), "{image}: no {shown}");
        } else {
            inside(&sandbox, image, shown);
        }
    }
    fsck(&sandbox);
}

fn images_named(sandbox: &Sandbox) -> Vec<String> {
    let outcome = sandbox.bedplate(["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok();
    outcome.text().lines().map(str::to_owned).collect()
}

/// Ubuntu's real archive may not be reached from here: a generated one of the same form stands for it.
fn ubuntu(test: &str, sandbox: &Sandbox, recipe: &str) {
    let world = match Era::Noble.world(Extent::Minbase) {
        Ok(world) => world,
        Err(reason) => return skip::note(test, &reason),
    };
    let mut archives = Era::Noble.archives(world.packages);
    for suite in &mut archives.main.suites {
        suite.components.push("universe".to_owned());
    }
    let http = Http::start();
    let mirrors = archives.render().serve(&http);
    let keyring = sandbox.write("ubuntu.gpg", archives.keyring());
    let words = ["bootstrap", "--recipe", recipe, "--mirror", &mirrors[0], "--keyring", keyring.to_str().unwrap()];
    sandbox.bedplate(words).clock(Era::Noble.date() + 86400).patient().ok();
}

/// The packages of this machine, as far as an archive has them, become a lock, and the lock an image.
#[test]
fn the_hosts_packages_can_be_locked() {
    let test = "it::the_hosts_packages_can_be_locked";
    let Some(world) = crate::bootstrap::world(test, Extent::Minbase) else { return };
    let names: Vec<String> = world.packages.iter().map(|built| format!("{} {}", built.name, built.version)).collect();
    let mut archives = Era::Bookworm.archives(world.packages);
    archives.release().packages.push(Deb::new("not-of-this-machine", "1").into());
    let http = Http::start();
    let mirrors = archives.render().serve(&http);
    let sandbox = sandbox();
    let keyring = sandbox.write("keyring.gpg", archives.keyring());
    let mut words = vec!["lock", "--from-host", "debian:bookworm", "-o", "host.lock", "--check-valid-until=yes"];
    words.extend(["--keyring", keyring.to_str().unwrap()]);
    words.extend(mirrors.iter().flat_map(|mirror| ["--mirror", mirror]));
    // Whoever runs the tests has more than a minimal system.
    let outcome = sandbox.bedplate(&words).clock(NEXT_DAY).fails();
    outcome.says("the archive does not have").says("--skip-missing");
    assert!(!sandbox.path("host.lock").exists(), "a lock was written all the same");
    words.push("--skip-missing");
    sandbox.bedplate(&words).clock(NEXT_DAY).ok().says("left out: ");
    let mut words = vec!["bootstrap", "--locked", "host.lock", "-t", "host"];
    words.extend(mirrors.iter().flat_map(|mirror| ["--mirror", mirror]));
    sandbox.bedplate(&words).ok();
    let listed = sandbox.bedplate(["packages", "--format", "{{.Name}} {{.Version}}", "host"]).ok().text();
    assert_eq!(listed.lines().collect::<Vec<_>>(), names);
    let outcome = sandbox.bedplate(["run", "--rm", "--network", "none", "host", "dpkg", "--audit"]).ok();
    assert_eq!(outcome.text(), "", "{outcome}");
    fsck(&sandbox);
}

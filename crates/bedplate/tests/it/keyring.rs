//! `keyring`: which keys may sign an archive, and new ones from its signed package.

use crate::kit::sandbox;
use bedplate_testkit::Sandbox;
use bedplate_testkit::debian::{Deb, EPOCH, Repository, Signer, SigningKey, Suite};

/// The command that updates Debian's keys from an archive that `signer` signs and whose package holds `keyring`.
fn update(sandbox: &Sandbox, signer: &SigningKey, known: &SigningKey, version: &str, keyring: &[u8]) -> Vec<String> {
    let package = Deb::new("debian-archive-keyring", version)
        .architecture("all")
        .file("/usr/share/keyrings/debian-archive-keyring.pgp", 0o644, keyring)
        .build();
    let place = sandbox.path(&format!("archive-{version}"));
    Repository::new([Suite::new("bookworm").signed(Signer::new(signer)).package(package)]).render().write_to(&place);
    let trusted = sandbox.write("known.gpg", known.public());
    let words = ["keyring", "update", "debian:bookworm", "--pockets", "release", "--mirror"];
    let mut words: Vec<String> = words.map(str::to_owned).to_vec();
    words.extend([place, "--keyring".into(), trusted].map(|path| path.to_string_lossy().into_owned()));
    words
}

#[test]
fn keys_that_are_built_in_are_listed() {
    let sandbox = sandbox();
    let format = "{{.Distribution}} {{.Fingerprint}} {{.Expires}} {{.Status}} {{.User}}";
    let listed = sandbox.bedplate(["keyring", "ls", "--format", format]).clock(EPOCH).ok().text();
    for line in [
        "debian B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8 2031-01-19 valid Debian Archive Automatic Signing Key (12/bookworm) <ftpmaster@debian.org>",
        "debian 126C0D24BD8A2942CC7DF8AC7638D0442B90D010 2022-11-19 expired Debian Archive Automatic Signing Key (8/jessie) <ftpmaster@debian.org>",
        "ubuntu F6ECB3762474EDA9D21B7022871920D1991BC93C never valid Ubuntu Archive Automatic Signing Key (2018) <ftpmaster@ubuntu.com>",
    ] {
        assert!(listed.lines().any(|found| found == line), "{line} is not in\n{listed}");
    }
    let ubuntu = sandbox.bedplate(["keyring", "ls", "ubuntu", "--format", "{{.Distribution}}"]).ok().text();
    assert!(ubuntu.lines().all(|line| line == "ubuntu"), "{ubuntu}");
    sandbox.bedplate(["keyring", "ls", "unbuntu"]).fails().says("no distribution \"unbuntu\" is known").says("debian");
}

#[test]
fn a_new_key_comes_with_the_signed_package() {
    let sandbox = sandbox();
    let (old, new) = (SigningKey::new(), SigningKey::new());
    let keyring = [old.public(), new.public()].concat();
    let words = update(&sandbox, &old, &old, "2025.1", &keyring);
    let told = sandbox.bedplate(&words).clock(EPOCH + 60).ok().text();
    for key in [&old, &new] {
        let line = format!("added {} Generated Archive Signing Key <archive@example.org>", key.fingerprint());
        assert!(told.lines().any(|found| found == line), "{line} is not in\n{told}");
    }
    assert!(told.ends_with("\ndebian-archive-keyring 2025.1"), "{told}");
    let again = sandbox.bedplate(&words).clock(EPOCH + 60).ok().text();
    assert_eq!(again, "debian-archive-keyring 2025.1: nothing new");
    let format = "{{.Fingerprint}} {{.Origin}}";
    let listed = sandbox.bedplate(["keyring", "ls", "debian", "--format", format]).ok().text();
    assert!(listed.contains(&format!("{} updated", new.fingerprint())), "{listed}");
}

#[test]
fn a_package_that_nobody_trusted_signed_brings_nothing() {
    let sandbox = sandbox();
    let (known, stranger) = (SigningKey::new(), SigningKey::new());
    let words = update(&sandbox, &stranger, &known, "9", &stranger.public());
    let outcome = sandbox.bedplate(&words).clock(EPOCH + 60).ends(65);
    outcome.says("cannot trust the Release file of bookworm").says(&stranger.fingerprint()).says("--keyring FILE");
    let listed = sandbox.bedplate(["keyring", "ls", "debian"]).ok().text();
    assert!(!listed.contains(&stranger.fingerprint()), "{listed}");
    assert!(!sandbox.store().join("keyrings").exists());
}

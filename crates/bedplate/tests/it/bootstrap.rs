//! `bootstrap` from generated archives: ages, and the corners of dpkg.

use crate::kit::{fsck, image_id, inspect, sandbox};
use bedplate_testkit::debian::corners::{self, Corner};
use bedplate_testkit::debian::{Deb, Era, Extent, Listing, World};
use bedplate_testkit::privilege::{self, Privilege};
use bedplate_testkit::{Http, Invocation, Sandbox, oracle, skip};
use serde_json::json;

/// A time at which the keys of the ages that ended have expired.
const LATE: u64 = 1_710_000_000;

/// A day after the archives of bookworm were made.
pub(crate) const NEXT_DAY: u64 = 1_707_600_001 + DAY;

/// Seconds of a day.
pub(crate) const DAY: u64 = 86400;

/// The command for an archive, its keyring in a file.
pub(crate) fn command(sandbox: &Sandbox, suite: &str, mirrors: &[String], keyring: &[u8], more: &[&str]) -> Invocation {
    let keyring = sandbox.write("keyring.gpg", keyring);
    // What the machine's own apt is set to must neither save nor fail a case.
    let mut words = vec!["bootstrap".to_owned(), suite.to_owned(), "--check-valid-until=yes".to_owned()];
    // An image that was kept would say nothing of how another is made.
    words.push("--no-cache".to_owned());
    words.extend(["--keyring".to_owned(), keyring.to_string_lossy().into_owned()]);
    for mirror in mirrors {
        words.extend(["--mirror".to_owned(), mirror.clone()]);
    }
    words.extend(more.iter().map(|word| (*word).to_owned()));
    sandbox.bedplate(words)
}

/// The machine's packages, and the right to run their scripts with more than one owner of files.
pub(crate) fn world(test: &str, extent: Extent) -> Option<World> {
    if privilege::current() == Privilege::OneUid {
        skip::note(test, "packages own files of several users, this user has one uid");
        return None;
    }
    match World::of_host(extent) {
        Ok(world) => Some(world),
        Err(reason) => {
            skip::note(test, &reason);
            None
        }
    }
}

/// Bootstraps an age's archive; gives a sandbox with the image `made`.
fn aged(era: Era) -> Result<Sandbox, String> {
    let world = era.world(Extent::Essential)?;
    let archives = era.archives(world.packages);
    let sandbox = sandbox();
    let http = Http::start();
    let mirrors = archives.render().serve(&http);
    let now = if era.has_expired_keys() { LATE } else { era.date() + DAY };
    let more = ["--variant", "essential", "-t", "made"];
    let outcome = command(&sandbox, era.codename(), &mirrors, &archives.keyring(), &more).clock(now).ok();
    image_id(&sandbox, &outcome);
    fsck(&sandbox);
    Ok(sandbox)
}

/// What holds inside an image of any age.
#[track_caller]
fn whole(sandbox: &Sandbox, era: Era) {
    let run = |words: &[&str]| {
        let all = [&["run", "--rm", "--network", "none", "made"][..], words].concat();
        sandbox.bedplate(all).run()
    };
    let audit = run(&["dpkg", "--audit"]);
    assert!(audit.status == Some(0) && audit.text().is_empty(), "{era:?}: {audit}");
    let verify = run(&["dpkg", "--verify"]);
    assert!(verify.status == Some(0) && verify.text().is_empty(), "{era:?}: {verify}");
    let bin = run(&["sh", "-c", "test -L /bin && echo merged || echo apart"]);
    assert_eq!(bin.text() == "merged", era.is_merged(), "{era:?}: {bin}");
    let shadow = run(&["sh", "-c", "dpkg-query -W -f '${Package} ${db:Status-Abbrev}\\n' | grep -v ' ii *$'"]);
    assert!(shadow.text().is_empty(), "{era:?}: {shadow}");
}

fn ages(test: &str, eras: &[Era]) {
    if privilege::current() == Privilege::OneUid {
        return skip::note(test, "packages own files of several users, this user has one uid");
    }
    for era in eras {
        match aged(*era) {
            Ok(sandbox) => whole(&sandbox, *era),
            Err(reason) => skip::note(test, &reason),
        }
    }
}

#[test]
fn ubuntu_of_old_age() {
    ages("it::ubuntu_of_old_age", &[Era::Trusty, Era::Xenial, Era::Bionic]);
}

#[test]
fn ubuntu_of_today() {
    ages("it::ubuntu_of_today", &[Era::Focal, Era::Jammy, Era::Noble]);
}

#[test]
fn debian_of_old_age() {
    ages("it::debian_of_old_age", &[Era::Jessie, Era::Stretch, Era::Buster]);
}

#[test]
fn debian_of_today() {
    ages("it::debian_of_today", &[Era::Bullseye, Era::Bookworm, Era::Trixie, Era::Sid]);
}

/// Package sources of an image are what official images of its age have: in one line or in stanzas, on the host that holds
/// the suite, the security pocket by the name that it had then.
#[test]
fn sources_are_those_of_the_age() {
    // age | form, or the keyring of stanzas | archive | the security pocket's archive and suite
    let old = "http://archive.debian.org";
    let debian = ["http://ftp.debian.org", "http://security.debian.org"];
    let ubuntu = ["http://archive.ubuntu.com", "http://security.ubuntu.com"];
    let table = [
        (Era::Trusty, None, ubuntu, "trusty-security"),
        (Era::Xenial, None, ubuntu, "xenial-security"),
        (Era::Bionic, None, ubuntu, "bionic-security"),
        (Era::Focal, None, ubuntu, "focal-security"),
        (Era::Jammy, None, ubuntu, "jammy-security"),
        (Era::Noble, Some("ubuntu-archive-keyring.gpg"), ubuntu, "noble-security"),
        (Era::Jessie, None, [old; 2], "jessie/updates"),
        (Era::Stretch, None, [old; 2], "stretch/updates"),
        (Era::Buster, None, [old; 2], "buster/updates"),
        (Era::Bullseye, None, debian, "bullseye-security"),
        (Era::Bookworm, Some("debian-archive-keyring.gpg"), debian, "bookworm-security"),
        (Era::Trixie, Some("debian-archive-keyring.pgp"), debian, "trixie-security"),
        (Era::Sid, Some("debian-archive-keyring.pgp"), debian, ""),
    ];
    assert_eq!(table.map(|(era, ..)| era), Era::ALL, "each age has a line here");
    for (era, stanzas, [archive, security_archive], security) in table {
        let mut archives = era.archives([Deb::new("apt", "1").file("/etc/apt/apt.conf.d/x", 0o644, "")]);
        let (name, components, security_name) = match era.is_ubuntu() {
            true => ("ubuntu", "main universe", "ubuntu"),
            false => ("debian", "main", "debian-security"),
        };
        for suite in archives.main.suites.iter_mut().filter(|_| era.is_ubuntu()) {
            suite.components.push("universe".to_owned());
        }
        let codename = era.codename();
        let pockets = if era == Era::Sid {
            vec![codename.to_owned()]
        } else {
            vec![codename.to_owned(), format!("{codename}-updates")]
        };
        let mut sources = vec![(format!("{archive}/{name}"), pockets)];
        if !security.is_empty() {
            sources.push((format!("{security_archive}/{security_name}"), vec![security.to_owned()]));
        }
        let text: Vec<String> = (sources.iter())
            .map(|(archive, suites)| match stanzas {
                None => suites.iter().map(|suite| format!("deb {archive} {suite} {components}\n")).collect(),
                Some(keyring) => format!(
                    "Types: deb\nURIs: {archive}\nSuites: {}\nComponents: {components}\n\
                     Signed-By: /usr/share/keyrings/{keyring}\n",
                    suites.join(" ")
                ),
            })
            .collect();
        let (file, expected) = match stanzas {
            None => ("etc/apt/sources.list".to_owned(), text.concat()),
            Some(_) => (format!("etc/apt/sources.list.d/{name}.sources"), text.join("\n")),
        };

        let (sandbox, http) = (sandbox(), Http::start());
        let mirrors = archives.render().serve(&http);
        let components = components.replace(' ', ",");
        let more = ["--variant", "extract", "--include", "apt", "--components", &components, "-o", "root.tar"];
        let now = if era.has_expired_keys() { LATE } else { era.date() + DAY };
        command(&sandbox, codename, &mirrors, &archives.keyring(), &more).clock(now).ok();
        let tar = |flag: &str, more: &[&str]| {
            oracle::expect(oracle::command("tar").arg(flag).arg(sandbox.path("root.tar")).args(more))
        };
        let listing = tar("-tf", &[]);
        let files: Vec<&str> =
            listing.lines().filter(|line| line.contains("sources") && !line.ends_with('/')).collect();
        assert_eq!(files, [&file], "{era:?}");
        assert_eq!(tar("-xOf", &[&file]), expected, "{era:?}");
    }
}

/// A suite that has not ended is not judged at the time of its signature.
#[test]
fn an_expired_key_signs_no_living_suite() {
    let era = Era::Bullseye;
    let mut archives = era.archives([Deb::new("victim", "1")]);
    let signers = Era::Jessie.signers();
    for suite in archives.main.suites.iter_mut().chain(&mut archives.security.suites) {
        suite.signers = signers.clone();
        for signer in &mut suite.signers {
            // Within the key's life, long before the suite's.
            signer.at = Some(Era::Jessie.date());
        }
    }
    let sandbox = sandbox();
    let http = Http::start();
    let mirrors = archives.render().serve(&http);
    let more = ["--variant", "extract", "--include", "victim"];
    let outcome = command(&sandbox, era.codename(), &mirrors, &archives.keyring(), &more).clock(LATE).fails();
    assert!(outcome.stderr.contains("expired"), "{outcome}");
}

/// apt takes the first of two alternatives; where `/usr` is merged from the beginning, nothing has to convert it.
#[test]
fn bookworm_takes_usr_is_merged_as_the_official_images_do() {
    let packages = || {
        let helpers = Deb::new("helpers", "1").essential().depends("usrmerge | usr-is-merged");
        [helpers, Deb::new("usrmerge", "1").depends("perl"), Deb::new("usr-is-merged", "1"), Deb::new("perl", "1")]
    };
    let cases: [(Era, &[&str], &str); 4] = [
        (Era::Bookworm, &[], "helpers usr-is-merged"),
        (Era::Bookworm, &["--include", "usrmerge"], "helpers perl usrmerge"),
        (Era::Bookworm, &["--no-merged-usr"], "helpers usr-is-merged"),
        (Era::Trixie, &[], "helpers perl usrmerge"),
    ];
    for (era, words, expected) in cases {
        let archives = era.archives(packages());
        let sandbox = sandbox();
        let http = Http::start();
        let mirrors = archives.render().serve(&http);
        let more = [&["--variant", "essential", "--print-debs"], words].concat();
        let outcome =
            command(&sandbox, era.codename(), &mirrors, &archives.keyring(), &more).clock(era.date() + DAY).ok();
        let text = outcome.text();
        let mut found: Vec<&str> = text.split_whitespace().collect();
        found.sort_unstable();
        assert_eq!(found.join(" "), expected, "{era:?} {words:?}");
    }
}

/// The archive with the packages of all corners.
pub(crate) fn cornered(world: World) -> (Vec<Corner>, bedplate_testkit::debian::Archives, String) {
    let corners = corners::all();
    let mut archives = Era::Bookworm.archives(world.packages);
    let packages = corners.iter().flat_map(|corner| &corner.packages).map(Listing::from);
    archives.release().packages.extend(packages);
    let names: Vec<&str> = corners.iter().flat_map(Corner::names).collect();
    let names = names.join(",");
    (corners, archives, names)
}

/// What draws on a terminal must leave the process alone when containers are cloned off it.
#[test]
fn scripts_run_after_progress_was_shown_on_a_terminal() {
    let test = "it::scripts_run_after_progress_was_shown_on_a_terminal";
    if oracle::find("script").is_none() {
        return skip::note(test, "script is not installed");
    }
    let Some(world) = world(test, Extent::Essential) else { return };
    let archives = Era::Bookworm.archives(world.packages);
    let http = Http::start();
    let mirrors = archives.render().serve(&http);
    let sandbox = sandbox();
    let more = ["--variant", "essential", "-t", "made"];
    let outcome = command(&sandbox, "bookworm", &mirrors, &archives.keyring(), &more)
        .wrap(["sh", "-c", "exec script -qec \"$*\" /dev/null", "sh"])
        .env("TERM", "xterm")
        .clock(NEXT_DAY)
        .ok();
    assert!(outcome.text().contains("configuring"), "{outcome}");
    assert_eq!(sandbox.bedplate(["images", "--format", "{{.Repository}}"]).ok().text(), "made");
}

#[test]
fn corners_of_dpkg() {
    let Some(world) = world("it::corners_of_dpkg", Extent::Essential) else { return };
    let (corners, archives, names) = cornered(world);
    let sandbox = sandbox();
    let http = Http::start();
    let mirrors = archives.render().serve(&http);
    let more = ["--variant", "essential", "--include", &names, "--style", "plain", "-o", "root.tar"];
    let now = NEXT_DAY;
    command(&sandbox, "bookworm", &mirrors, &archives.keyring(), &more).clock(now).ok();
    let archive = sandbox.path("root.tar");
    let differences: Vec<String> = corners.iter().flat_map(|corner| corners::judge(corner, &archive)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What anybody may read in an image says what it is, and nothing of who made it, when, where or how.
#[test]
fn an_image_says_what_it_is_and_nothing_of_its_making() {
    let shell = Deb::new("bash", "1").file("/bin/bash", 0o755, "#!/bin/sh\n").file("/etc/os-release", 0o644, "ID=x\n");
    let archives = Era::Bookworm.archives([shell]);
    let sandbox = sandbox();
    let http = Http::start();
    let mirrors = archives.render().serve(&http);
    let more = ["--variant", "extract", "--include", "bash", "--jobs", "2", "-t", "made"];
    command(&sandbox, "bookworm", &mirrors, &archives.keyring(), &more).clock(NEXT_DAY).ok();
    let image = inspect(&sandbox, "made");
    let config = &image["Config"];
    assert_eq!(image["Base"], true);
    assert_eq!(config["Env"], json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]));
    assert_eq!(config["Cmd"], json!(["bash"]));
    let labels = json!({"org.opencontainers.image.title": "debian bookworm", "org.opencontainers.image.version": "12"});
    assert_eq!(config["Labels"], labels);
    let mut annotations = labels;
    annotations["org.opencontainers.image.created"] = image["Created"].clone();
    assert_eq!(image["Annotations"], annotations);
    let history = sandbox.bedplate(["history", "--no-trunc", "--format", "{{.CreatedBy}}{{.Comment}}", "made"]).ok();
    assert_eq!(history.text(), "bootstrap debian bookworm (extract)");
    assert_eq!(sandbox.bedplate(["packages", "--format", "{{.Name}} {{.Version}}", "made"]).ok().text(), "bash 1");
    // The config and the manifest, and every file of the root.
    let export = sandbox.path("made.tar");
    sandbox.bedplate(["save", "-o", export.to_str().unwrap(), "made"]).ok();
    let bytes = std::fs::read(&export).unwrap();
    let secrets = [http.url("").trim_start_matches("http://").to_owned(), sandbox.work().display().to_string()];
    for secret in secrets.iter().map(String::as_str).chain(["--variant", concat!("bedplate ", "bootstrap")]) {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{secret:?} is in the image");
    }
}

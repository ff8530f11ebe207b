//! `bootstrap` from generated archives: attacks, ages, and the corners of dpkg.

use crate::kit::{fsck, image_id, inspect, list, sandbox};
use bedplate_testkit::debian::corners::{self, Corner};
use bedplate_testkit::debian::{Attack, Deb, Era, Extent, Launched, Listing, Rendered, World};
use bedplate_testkit::privilege::{self, Privilege};
use bedplate_testkit::{Http, Invocation, Sandbox, oracle, skip};
use serde_json::json;
use std::time::{Duration, Instant};

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

/// The command that meets an attack.
fn attacked(sandbox: &Sandbox, launched: &Launched) -> Invocation {
    let mut more: Vec<&str> = launched.arguments.iter().map(String::as_str).collect();
    more.extend(["-t", "made"]);
    command(sandbox, launched.suite(), &launched.mirrors, &launched.keyring, &more).clock(launched.now)
}

/// Holds that nothing came of a command: no image, no half image, nothing outside of the store, no process.
#[track_caller]
fn nothing_came(sandbox: &Sandbox, launched: &Launched) {
    assert_eq!(sandbox.bedplate(["images", "-q"]).ok().text(), "", "an image was made");
    let left = sandbox.outside();
    assert!(left.is_empty(), "left outside of the store: {left:?}");
    let files = list(&sandbox.work());
    assert_eq!(files, [sandbox.path("keyring.gpg")], "left in the current directory");
    nothing_outside(launched);
    fsck(sandbox);
}

#[track_caller]
fn nothing_outside(launched: &Launched) {
    assert!(!launched.outside.exists(), "{} was written", launched.outside.display());
    assert!(!launched.is_running(), "a process of the attack runs");
}

/// Runs each attack in a store of its own: it must fail with this part of a message, and nothing may come of it.
#[track_caller]
fn refused(world: Option<&World>, table: &[(Attack, &str)]) {
    for (attack, message) in table {
        let sandbox = sandbox();
        let launched = attack.launch(world);
        let outcome = attacked(&sandbox, &launched).fails();
        assert!(outcome.stderr.contains(message), "{attack:?}: no {message:?} in {outcome}");
        nothing_came(&sandbox, &launched);
    }
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

#[test]
fn the_unharmed_archive_is_taken() {
    let sandbox = sandbox();
    let launched = Attack::None.launch(None);
    let outcome = attacked(&sandbox, &launched).ok();
    image_id(&sandbox, &outcome);
    fsck(&sandbox);
    // Attacks are told from what is right by one thing only.
    nothing_outside(&launched);
}

#[test]
fn forged_archives_are_refused() {
    refused(
        None,
        &[
            (Attack::ForgedSignature, "bad signature"),
            (Attack::ChangedText, "bad signature: the bytes are not those that were signed"),
            (Attack::StrippedSignature, "not signed"),
            (Attack::Unsigned, "not signed"),
            (Attack::UnknownKey, "signed by no trusted key"),
            (Attack::ExpiredKey, "the key expired on 2024-02-15"),
            (Attack::RevokedKey, "the key was revoked"),
            (Attack::WeakDigest, "hash SHA1 is too weak"),
            (Attack::SignedInFuture, "in the future of this machine's clock"),
            (Attack::TextOutside, "text before the signed message"),
            (Attack::WrongSuite, "asked for suite \"bookworm\""),
            (Attack::FutureRelease, "30 days in the future"),
            (Attack::ExpiredRelease, "expired 53 days ago"),
        ],
    );
}

#[test]
fn false_indexes_are_refused() {
    refused(
        None,
        &[
            (Attack::OtherIndex, "expected 363 bytes, found"),
            (Attack::EndlessIndex, "expected 363 bytes, found"),
            (Attack::HugeIndex, "more than the limit"),
            (Attack::EndlessStanza, "a paragraph of more than"),
            (Attack::FilenameWithDots, "leads out of the archive"),
            (Attack::FilenameAbsolute, "leads out of the archive"),
        ],
    );
}

#[test]
fn bombs_are_defused() {
    refused(
        None,
        &[
            (Attack::IndexBomb, "decompress"),
            (Attack::PayloadBomb, "decompression bomb"),
            (Attack::ControlBomb, "expands to more than"),
        ],
    );
}

#[test]
fn broken_downloads_are_refused() {
    refused(
        None,
        &[
            (Attack::WrongHash, "digest mismatch: expected sha256:"),
            (Attack::WrongSize, "found "),
            (Attack::Truncated, "transfer ended after 158"),
            (Attack::ServerErrors, "status 503"),
            (Attack::NotFound, "status 404"),
            (Attack::NoPackage, "not a Debian package"),
        ],
    );
}

#[test]
fn packages_that_lie_are_refused() {
    refused(
        None,
        &[
            (Attack::EscapeByDots, "has a \"..\" component"),
            (Attack::EscapeByAbsolute, "has a \"..\" component"),
            (Attack::EscapeByHardlink, "hard link target is refused"),
            (Attack::OtherName, "other 1.0 all"),
            (Attack::OtherVersion, "victim 2.0 all"),
            (Attack::OtherArchitecture, "victim 1.0"),
            (Attack::Overlap, "which is also in package \"rival\""),
        ],
    );
}

/// Packages do write through links to directories, so these are no errors; but the links lead nowhere outside.
#[test]
fn links_lead_nowhere_outside() {
    for attack in [Attack::EscapeBySymlink, Attack::EscapeByChain] {
        let sandbox = sandbox();
        let launched = attack.launch(None);
        let mut more: Vec<&str> = launched.arguments.iter().map(String::as_str).collect();
        more.extend(["-o", "root.tar"]);
        command(&sandbox, launched.suite(), &launched.mirrors, &launched.keyring, &more).clock(launched.now).ok();
        nothing_outside(&launched);
        let listing = oracle::expect(oracle::command("tar").arg("-tf").arg(sandbox.path("root.tar")));
        let name = launched.outside.file_name().unwrap().to_string_lossy().into_owned();
        assert!(listing.lines().any(|line| line.ends_with(&name)), "{attack:?}: {listing}");
        assert!(listing.lines().all(|line| !line.starts_with('/') && !line.contains("..")), "{attack:?}: {listing}");
    }
}

#[test]
fn a_hanging_mirror_can_be_interrupted() {
    let sandbox = sandbox();
    let launched = Attack::Hanging.launch(None);
    let asked = || launched.http.asked().iter().any(|path| path.contains("/victim_"));
    interrupted(attacked(&sandbox, &launched).start(), &launched, asked);
    nothing_came(&sandbox, &launched);
}

#[test]
fn scripts_that_fail_are_named() {
    let Some(world) = world("it::scripts_that_fail_are_named", Extent::Essential) else { return };
    refused(
        Some(&world),
        &[
            (Attack::ScriptFails, "the disk is too round"),
            (Attack::PreinstFails, "the disk is too flat"),
            (Attack::ScriptForks, "left processes running: sleep"),
        ],
    );
}

#[test]
fn scripts_get_at_nothing() {
    let Some(world) = world("it::scripts_get_at_nothing", Extent::Essential) else { return };
    let sandbox = sandbox();
    let launched = Attack::ScriptMeddles.launch(Some(&world));
    attacked(&sandbox, &launched).ok();
    nothing_outside(&launched);
    fsck(&sandbox);
}

#[test]
fn a_hanging_script_can_be_interrupted() {
    let Some(world) = world("it::a_hanging_script_can_be_interrupted", Extent::Essential) else { return };
    let sandbox = sandbox();
    let launched = Attack::ScriptHangs.launch(Some(&world));
    interrupted(attacked(&sandbox, &launched).start(), &launched, || launched.is_running());
    nothing_came(&sandbox, &launched);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let store = sandbox.store().display().to_string();
    assert!(!mounts.contains(&store), "a mount is left: {mounts}");
}

/// Waits until the command has come to a point, interrupts it as a terminal does, and holds that it ends soon, with all
/// that it started.
#[track_caller]
fn interrupted(mut child: std::process::Child, launched: &Launched, reached: impl Fn() -> bool) {
    let begin = Instant::now();
    while !reached() {
        assert!(begin.elapsed() < Duration::from_secs(60), "the command does not come so far");
        assert!(child.try_wait().unwrap().is_none(), "the command ended before");
        std::thread::sleep(Duration::from_millis(20));
    }
    oracle::expect(oracle::command("kill").args(["-INT", &child.id().to_string()]));
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > Duration::from_secs(10) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the command does not end when interrupted");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(!status.success(), "{status}");
    // The kernel ends a container's processes behind the back of whoever waits for the first of them.
    while launched.is_running() {
        assert!(begin.elapsed() < Duration::from_secs(10), "a process of the attack runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A mirror that shows an older state than was seen before is refused, unless the user wants it.
#[test]
fn an_older_archive_is_refused() {
    let sandbox = sandbox();
    let era = Era::Bookworm;
    let mut archives = era.archives([Deb::new("victim", "2").file("/srv/file", 0o644, "2\n")]);
    let arguments = ["--variant", "extract", "--include", "victim", "--pockets", "release", "-t", "made"];
    let run = |rendered: &Rendered, keyring: &[u8], http: &Http, more: &[&str]| {
        let mirrors = rendered.serve(http);
        let words = [&arguments[..], more].concat();
        command(&sandbox, era.codename(), &mirrors, keyring, &words).clock(era.date() + 10 * DAY)
    };
    let http = Http::start();
    let keyring = archives.keyring();
    archives.release().date = era.date() + 5 * DAY;
    run(&archives.render(), &keyring, &http, &[]).ok();
    archives.release().date = era.date();
    let old = archives.render();
    let outcome = run(&old, &keyring, &http, &[]).fails();
    assert!(outcome.stderr.contains("older"), "{outcome}");
    run(&old, &keyring, &http, &["--allow-downgrade"]).ok();
    fsck(&sandbox);
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
    ages("it::ubuntu_of_old_age", &[Era::Trusty, Era::Xenial]);
}

#[test]
fn ubuntu_of_today() {
    ages("it::ubuntu_of_today", &[Era::Focal, Era::Noble]);
}

#[test]
fn debian_of_old_age() {
    ages("it::debian_of_old_age", &[Era::Jessie, Era::Stretch, Era::Buster]);
}

#[test]
fn debian_of_today() {
    ages("it::debian_of_today", &[Era::Bullseye, Era::Bookworm, Era::Trixie, Era::Sid]);
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
        (Era::Bookworm, &["--no-merged-usr"], "helpers perl usrmerge"),
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

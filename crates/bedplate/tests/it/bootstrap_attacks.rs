//! `bootstrap` under attack: each row names what must be refused, and with which words. Nothing may come of it.
//!
//! | attack | where |
//! |---|---|
//! | forged, stripped signature | `forged_archives_are_refused` |
//! | expired `Release` | `forged_archives_are_refused` (`ExpiredRelease`), `a_frozen_archive_is_refused_when_its_time_is_over` |
//! | downgraded | `an_older_archive_is_refused` |
//! | frozen | `a_frozen_archive_is_refused_when_its_time_is_over` |
//! | mixed index | `mixed_archives_are_refused`; another suite's or pocket's `Release`: `WrongSuite` |
//! | endless index | `false_indexes_are_refused`; compressed: `bombs_are_defused`; what it takes: `what_never_ends_takes_no_memory` |
//! | wrong hash or size | `broken_downloads_are_refused` |
//! | escape by `..`, symlink, hardlink | `packages_that_lie_are_refused`, `links_lead_nowhere_outside` |
//! | truncated downloads | `broken_downloads_are_refused` |
//! | hanging mirror | `silent_mirrors_are_left`, `a_hanging_mirror_can_be_interrupted` |
//! | 5xx mirror | `failing_mirrors_are_left` |
//! | script that fails, hangs, forks a daemon | `scripts_that_fail_are_named`, `a_hanging_script_can_be_interrupted` |

use crate::bootstrap::{DAY, command, world};
use crate::kit::{fsck, image_id, list, sandbox};
use bedplate_testkit::debian::{Attack, Deb, Era, Extent, Launched, Rendered, World};
use bedplate_testkit::{Http, Invocation, Sandbox, oracle};
use std::time::{Duration, Instant};

/// An attack, and how the command ends: the exit status, what failed on which object, why, and what to do.
type Row = (Attack, i32, &'static str, &'static str, &'static str);

/// Status of what is malformed, or not what its signature or digest says.
const INPUT: i32 = 65;

/// Status of a network or server that fails.
const ENVIRONMENT: i32 = 69;

/// Ends of hints that many rows share.
const OTHER_MIRROR: &str = "ask another one with --mirror";
const OTHER_PACKAGE: &str = "leave it out with --exclude";

/// The command that meets an attack.
fn attacked(sandbox: &Sandbox, launched: &Launched) -> Invocation {
    let mut more: Vec<&str> = launched.arguments.iter().map(String::as_str).collect();
    more.extend(["-t", "made"]);
    command(sandbox, launched.suite(), &launched.mirrors, &launched.keyring, &more).clock(launched.now)
}

/// Holds that nothing came of a command: no image, no half image, nothing outside of the store, no process, no mount.
#[track_caller]
fn nothing_came(sandbox: &Sandbox, launched: &Launched) {
    assert_eq!(sandbox.bedplate(["images", "-q"]).ok().text(), "", "an image was made");
    let left = sandbox.outside();
    assert!(left.is_empty(), "left outside of the store: {left:?}");
    let files = list(&sandbox.work());
    assert_eq!(files, [sandbox.path("keyring.gpg")], "left in the current directory");
    nothing_outside(sandbox, launched);
    fsck(sandbox);
}

#[track_caller]
fn nothing_outside(sandbox: &Sandbox, launched: &Launched) {
    assert!(!launched.outside.exists(), "{} was written", launched.outside.display());
    assert!(!launched.is_running(), "a process of the attack runs");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let store = sandbox.store().display().to_string();
    assert!(!mounts.contains(&store), "a mount is left: {mounts}");
}

/// Runs each attack in a store of its own: it must fail as its row says, and nothing may come of it.
#[track_caller]
fn refused(world: Option<&World>, table: &[Row]) {
    refused_in_time(world, table, None);
}

/// The same, where servers and scripts are waited for so many seconds.
#[track_caller]
fn refused_in_time(world: Option<&World>, table: &[Row], patience: Option<u64>) {
    for (attack, status, what, why, remedy) in table {
        let sandbox = sandbox();
        let launched = attack.launch(world);
        let mut invocation = attacked(&sandbox, &launched);
        if let Some(seconds) = patience {
            invocation = invocation.waiting(seconds);
        }
        let outcome = invocation.fails();
        assert_eq!(outcome.status, Some(*status), "{attack:?}: {outcome}");
        let line = |begin: &str| outcome.stderr.lines().find(|line| line.starts_with(begin)).unwrap_or_default();
        assert!(line("error: ").contains(what), "{attack:?}: no {what:?} in the error: {outcome}");
        assert!(outcome.stderr.contains(why), "{attack:?}: no {why:?} in {outcome}");
        assert!(!remedy.is_empty() && line("hint: ").contains(remedy), "{attack:?}: no hint {remedy:?} in {outcome}");
        nothing_came(&sandbox, &launched);
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
    nothing_outside(&sandbox, &launched);
}

#[test]
fn forged_archives_are_refused() {
    const WHAT: &str = "cannot trust the Release file of bookworm at http://";
    refused(
        None,
        &[
            (Attack::ForgedSignature, INPUT, WHAT, "bad signature", "another mirror"),
            (
                Attack::ChangedText,
                INPUT,
                WHAT,
                "bad signature: the bytes are not those that were signed",
                "another mirror",
            ),
            (Attack::StrippedSignature, INPUT, WHAT, "not signed", "--allow-unsigned"),
            (Attack::Unsigned, INPUT, WHAT, "not signed", "--allow-unsigned"),
            (Attack::UnknownKey, INPUT, WHAT, "signed by no trusted key", "--keyring FILE"),
            (Attack::ExpiredKey, INPUT, WHAT, "the key expired on 2024-02-15", "--keyring FILE"),
            (Attack::RevokedKey, INPUT, WHAT, "the key was revoked", "another mirror"),
            (Attack::WeakDigest, INPUT, WHAT, "hash SHA1 is too weak", "another mirror"),
            (Attack::SignedInFuture, INPUT, WHAT, "in the future of this machine's clock", "clock"),
            (Attack::TextOutside, INPUT, WHAT, "text before the signed message", "another mirror"),
            (
                Attack::WrongSuite,
                INPUT,
                "asked for suite \"bookworm\"",
                "the Release file is of suite \"oldstable\", codename \"bullseye\"",
                "ask another archive with --mirror",
            ),
            (
                Attack::FutureRelease,
                ENVIRONMENT,
                "Release file of bookworm at http://",
                "30 days in the future",
                "set this machine's clock",
            ),
            (
                Attack::ExpiredRelease,
                INPUT,
                "Release file of bookworm-security at http://",
                "expired 53 days ago",
                OTHER_MIRROR,
            ),
        ],
    );
}

/// A signature holds for each file that a Release file lists, and for no other: not for one that was signed, too, at
/// another time or for another place.
#[test]
fn mixed_archives_are_refused() {
    const WHAT: &str = "cannot fetch index bookworm/main";
    refused(
        None,
        &[
            // Of the same size: the digest alone tells.
            (Attack::MixedTime, INPUT, WHAT, "digest mismatch: expected sha256:", OTHER_MIRROR),
            (Attack::MixedSuite, INPUT, WHAT, ", found ", OTHER_MIRROR),
            (Attack::MixedComponent, INPUT, WHAT, ", found ", OTHER_MIRROR),
            (Attack::MixedArchitecture, INPUT, WHAT, ", found ", OTHER_MIRROR),
        ],
    );
}

#[test]
fn false_indexes_are_refused() {
    const WHAT: &str = "cannot fetch index bookworm/main";
    refused(
        None,
        &[
            (Attack::OtherIndex, INPUT, WHAT, "expected 363 bytes, found", OTHER_MIRROR),
            (
                Attack::EndlessRelease,
                INPUT,
                "cannot fetch the Release file of bookworm",
                "content is larger than the limit of 33554432 bytes",
                OTHER_MIRROR,
            ),
            (Attack::EndlessIndex, INPUT, WHAT, "expected 363 bytes, found", OTHER_MIRROR),
            (Attack::HugeIndex, INPUT, "bookworm/main", "more than the limit", OTHER_MIRROR),
            (Attack::EndlessStanza, INPUT, "the index of bookworm main", "a paragraph of more than", "--mirror"),
            (Attack::FilenameWithDots, INPUT, "package victim", "leads out of the archive", "--mirror"),
            (Attack::FilenameAbsolute, INPUT, "package victim", "leads out of the archive", "--mirror"),
        ],
    );
}

#[test]
fn bombs_are_defused() {
    refused(
        None,
        &[
            (Attack::IndexBomb, INPUT, "index bookworm/main", "decompression bomb", OTHER_MIRROR),
            (Attack::PayloadBomb, INPUT, "package \"victim", "decompression bomb", OTHER_PACKAGE),
            (Attack::ControlBomb, INPUT, "package \"victim", "expands to more than", OTHER_PACKAGE),
        ],
    );
}

#[test]
fn broken_downloads_are_refused() {
    const WHAT: &str = "cannot fetch package victim 1.0 all";
    refused(
        None,
        &[
            (Attack::WrongHash, INPUT, WHAT, "digest mismatch: expected sha256:", OTHER_MIRROR),
            (Attack::WrongSize, INPUT, WHAT, " bytes, found ", OTHER_MIRROR),
            (Attack::Truncated, ENVIRONMENT, WHAT, "transfer ended after 158", "ask another mirror with --mirror"),
            (Attack::NotFound, 1, WHAT, "status 404", OTHER_MIRROR),
            (Attack::NoPackage, INPUT, "package \"victim", "not a Debian package", OTHER_PACKAGE),
        ],
    );
}

#[test]
fn failing_mirrors_are_left() {
    const REMEDY: &str = "try again later, or ask another mirror with --mirror";
    refused(
        None,
        &[
            (Attack::InReleaseErrors, ENVIRONMENT, "the Release file of bookworm", "/InRelease: status 500", REMEDY),
            (Attack::ReleaseErrors, ENVIRONMENT, "the Release file of bookworm", "/Release: status 502", REMEDY),
            (Attack::SignatureErrors, ENVIRONMENT, "the Release file of bookworm", "/Release.gpg: status 504", REMEDY),
            (Attack::SecurityErrors, ENVIRONMENT, "the Release file of bookworm-security", "status 503", REMEDY),
            (Attack::IndexErrors, ENVIRONMENT, "cannot fetch index bookworm/main", "status 503", REMEDY),
            (Attack::ServerErrors, ENVIRONMENT, "cannot fetch package victim 1.0 all", "status 503", REMEDY),
        ],
    );
}

#[test]
fn silent_mirrors_are_left() {
    const REMEDY: &str = "the server fell silent, and was not asked for anything else";
    const NO_ANSWER: &str = "waiting for the answer took longer than 1 s";
    refused_in_time(
        None,
        &[
            (Attack::HangingRelease, ENVIRONMENT, "the Release file of bookworm", NO_ANSWER, REMEDY),
            (Attack::HangingIndex, ENVIRONMENT, "cannot fetch index bookworm/main", NO_ANSWER, REMEDY),
            (
                Attack::Hanging,
                ENVIRONMENT,
                "cannot fetch package victim 1.0 all",
                "waiting for more bytes took longer than 1 s",
                REMEDY,
            ),
        ],
        Some(1),
    );
}

#[test]
fn packages_that_lie_are_refused() {
    refused(
        None,
        &[
            (Attack::EscapeByDots, INPUT, "package \"victim", "has a \"..\" component", OTHER_PACKAGE),
            (Attack::EscapeByAbsolute, INPUT, "package \"victim", "has a \"..\" component", OTHER_PACKAGE),
            (Attack::EscapeByHardlink, INPUT, "package \"victim", "hard link target is refused", OTHER_PACKAGE),
            (Attack::OtherName, INPUT, "victim 1.0 all", "other 1.0 all", OTHER_PACKAGE),
            (Attack::OtherVersion, INPUT, "victim 2.0 all", "victim 1.0 all", OTHER_PACKAGE),
            (Attack::OtherArchitecture, INPUT, "victim 1.0", "the package itself says", OTHER_PACKAGE),
            (Attack::Overlap, INPUT, "cannot unpack the packages", "which is also in package \"rival\"", OTHER_PACKAGE),
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
        nothing_outside(&sandbox, &launched);
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
    const REMEDY: &str = "leave the package out with --exclude, or tell its maintainer";
    refused(
        Some(&world),
        &[
            (Attack::ScriptFails, INPUT, "postinst", "the disk is too round", REMEDY),
            (Attack::PreinstFails, INPUT, "preinst", "the disk is too flat", REMEDY),
            (Attack::ScriptForks, INPUT, "configuring packages", "left processes running: sleep", REMEDY),
        ],
    );
    // Long enough for every other script of a loaded machine.
    let hangs = (Attack::ScriptHangs, INPUT, "postinst", "still runs after 10 seconds", REMEDY);
    refused_in_time(Some(&world), &[hangs], Some(10));
}

#[test]
fn scripts_get_at_nothing() {
    let Some(world) = world("it::scripts_get_at_nothing", Extent::Essential) else { return };
    let sandbox = sandbox();
    let launched = Attack::ScriptMeddles.launch(Some(&world));
    attacked(&sandbox, &launched).ok();
    nothing_outside(&sandbox, &launched);
    fsck(&sandbox);
}

#[test]
fn a_hanging_script_can_be_interrupted() {
    let Some(world) = world("it::a_hanging_script_can_be_interrupted", Extent::Essential) else { return };
    let sandbox = sandbox();
    let launched = Attack::ScriptHangs.launch(Some(&world));
    interrupted(attacked(&sandbox, &launched).start(), &launched, || launched.is_running());
    nothing_came(&sandbox, &launched);
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
    // Of several signatures one is enough: what was signed by all of them may come with the last of them alone.
    archives.release().signers.remove(0);
    for old in [&old, &archives.render()] {
        let outcome = run(old, &keyring, &http, &[]).ends(INPUT);
        outcome.says("error: Release file of bookworm at http://").says("is 5 days older than the newest one seen");
        outcome.says("hint: ").says("take it with --allow-downgrade");
    }
    run(&old, &keyring, &http, &["--allow-downgrade"]).ok();
    fsck(&sandbox);
}

/// An archive that stands still looks like one where nothing happens, until the time is over that it was signed for: the
/// pocket for security updates says such a time, and is asked for unless the user does without it.
#[test]
fn a_frozen_archive_is_refused_when_its_time_is_over() {
    let sandbox = sandbox();
    let launched = Attack::None.launch(None);
    let after = |days: u64| attacked(&sandbox, &launched).clock(Era::Bookworm.date() + days * DAY);
    let image = image_id(&sandbox, &after(6).ok());
    let outcome = after(9).ends(INPUT);
    outcome.says("error: Release file of bookworm-security at http://").says("expired 2 days ago");
    outcome.says("hint: the mirror lags behind or is frozen; ask another one with --mirror");
    // What was made before stays, and its name.
    assert_eq!(sandbox.bedplate(["images", "-q", "--no-trunc"]).ok().text(), image);
    nothing_outside(&sandbox, &launched);
    fsck(&sandbox);
}

/// Whatever a stream expands to, and however long it goes on, what is held of it is bound.
#[test]
fn what_never_ends_takes_no_memory() {
    /// In KiB: honest indexes are held in memory, and need as much.
    const MOST: u64 = 300 << 10;
    for attack in [
        Attack::EndlessRelease,
        Attack::EndlessIndex,
        Attack::IndexBomb,
        Attack::HugeIndex,
        Attack::PayloadBomb,
        Attack::ControlBomb,
    ] {
        let sandbox = sandbox();
        let launched = attack.launch(None);
        let mut child = attacked(&sandbox, &launched).start();
        let mut highest = 0;
        let status = loop {
            highest = highest.max(peak(child.id()).unwrap_or(0));
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(status.code(), Some(INPUT), "{attack:?}");
        assert!((1..MOST).contains(&highest), "{attack:?} took {highest} KiB");
        nothing_came(&sandbox, &launched);
    }
}

/// The most memory that a process had so far, in KiB.
fn peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
}

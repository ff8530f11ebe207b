//! Every case gives one digest: cold and warm, from touched and copied files, at another time, elsewhere, by others.

use super::{Builds, cases, words};
use crate::kit::{OtherUser, fsck};
use bedplate_testkit::corpus::Case;
use bedplate_testkit::{Invocation, oracle};

/// How a case that needs several ids fails where the user has one.
const ONE_ID: [&str; 2] = ["cannot become user 1000:1000", "It ran with one user ID"];

/// The cases that give an image.
fn good() -> Vec<Case> {
    cases().into_iter().filter(|case| case.fails.is_none()).collect()
}

/// Runs builds that must all print one digest; what is wrong else.
fn one_digest(case: &Case, builds: Vec<(&str, Invocation)>) -> Option<String> {
    let mut first = None;
    for (way, build) in builds {
        let outcome = build.run();
        let digest = outcome.text();
        if outcome.status != Some(0) || *first.get_or_insert_with(|| digest.clone()) != digest {
            return Some(format!("{}: {way}: {outcome}", case.name));
        }
    }
    None
}

#[track_caller]
fn hold(faults: Vec<(Case, Option<String>)>) {
    let faults: Vec<String> = faults.into_iter().filter_map(|(_, fault)| fault).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn cold_warm_touched_and_elsewhere() {
    let builds = Builds::new("corpus::same::cold_warm_touched_and_elsewhere");
    let another = Builds::new("corpus::same::cold_warm_touched_and_elsewhere");
    hold(builds.each(good(), |case| {
        builds.lay(case);
        let first = one_digest(case, vec![("cold", builds.command(case)), ("warm", builds.command(case))]);
        if first.is_some() {
            return first;
        }
        let folder = builds.sandbox.path(&case.name);
        oracle::expect(oracle::command("find").arg(&folder).args(["-exec", "touch", "-hd", "2001-02-03", "{}", "+"]));
        // The other store has never seen it, and its files are of now.
        another.lay(case);
        let ways = vec![
            ("warm", builds.command(case)),
            ("touched", builds.command(case).shifted()),
            ("elsewhere", another.command(case).shifted()),
        ];
        one_digest(case, ways)
    }));
    fsck(&builds.sandbox);
    fsck(&another.sandbox);
}

#[test]
fn by_every_user() {
    let test = "corpus::same::by_every_user";
    let builds = Builds::new(test);
    let archive = builds.sandbox.path("base.tar");
    for uid in crate::rootless::users() {
        let Some(user) = OtherUser::new(test, &builds.sandbox, uid) else { return };
        if builds.has_base() {
            std::fs::write(&archive, super::base_archive(&builds)).expect("own folder");
            oracle::expect(oracle::command("chmod").arg("644").arg(&archive));
            user.bedplate(["load", "-q", "-i"].map(str::to_owned).into_iter().chain([archive.display().to_string()]))
                .ok();
        }
        hold(builds.each(good(), |case| {
            let folder = builds.sandbox.path(&format!("{}-{uid}", case.name));
            case.lay(&folder.join("context"));
            let ours = builds.sandbox.bedplate(words(case)).folder(&folder);
            let fault = one_digest(case, vec![("root", ours.clone())]);
            if fault.is_some() {
                return fault;
            }
            oracle::expect(oracle::command("chown").args(["-hR", &uid.to_string()]).arg(&folder));
            case.set_modes(&folder.join("context"));
            let theirs = user.bedplate(words(case)).folder(&folder);
            let fault = one_digest(case, vec![("root", ours), ("user", theirs)]);
            fault.filter(|said| !(case.needs_ids && ONE_ID.iter().any(|words| said.contains(words))))
        }));
        user.bedplate(["fsck"]).ok();
    }
}

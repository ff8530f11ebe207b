//! `bootstrap:debian:bookworm?include=curl`: a bootstrap as the base of a build.

use std::path::Path;

use bedplate_bootstrap::lock::Lock;
use bedplate_bootstrap::request::Request;
use bedplate_oci::Platform;
use bedplate_packages::deb::arch::from_platform;
use bedplate_store::Image;
use clap::FromArgMatches as _;

use super::arguments::Form;
use super::show::Shown;
use super::{Args, Goal, Made, read_lock};
use crate::context::Context;
use crate::failure::{Failure, Kind};

/// Flags that mean nothing where the image becomes a base.
const FOREIGN: [&str; 11] = [
    "tag",
    "output",
    "dockerfile",
    "print-debs",
    "download-only",
    "make-tarball",
    "unpack-tarball",
    "foreign",
    "second-stage",
    "locked",
    "quiet",
];

/// Bootstraps what the text behind `bootstrap:` says, as `bedplate bootstrap` with these flags would.
///
/// `lock=FILE` names a lock beside `folder`: where it is there, its packages are taken; else it is written.
///
/// # Errors
/// Those of `bedplate bootstrap`, and flags that mean nothing here.
pub(crate) fn image_of(
    text: &str,
    platform: Option<&Platform>,
    folder: &Path,
    context: &Context,
    quiet: bool,
) -> Result<Image, Failure> {
    let failed = |failure: Failure| failure.context(format!("cannot bootstrap {text:?}"));
    let (name, flags) = text.split_once('?').unwrap_or((text, ""));
    let mut words = vec!["bootstrap".to_owned()];
    let mut lock = None;
    for flag in flags.split('&').filter(|flag| !flag.is_empty()) {
        let (key, value) = flag.split_once('=').map_or((flag, None), |(key, value)| (key, Some(value)));
        if FOREIGN.contains(&key) || key.starts_with('-') {
            return Err(failed(Failure::new(Kind::User, format!("{key:?} has no meaning for a base"))));
        }
        match (key, value) {
            ("lock", Some(file)) => lock = Some(folder.join(file)),
            (key, Some(value)) => words.push(format!("--{key}={value}")),
            (key, None) => words.push(format!("--{key}")),
        }
    }
    if let Some(platform) = platform.filter(|_| !words.iter().any(|word| word.starts_with("--arch="))) {
        words.push(format!("--arch={}", from_platform(platform).map_err(|error| failed(error.into()))?));
    }
    words.push(name.to_owned());
    let command = <Args as clap::Args>::augment_args(clap::Command::new("bootstrap"));
    let parsed = command.try_get_matches_from(words).and_then(|matches| Args::from_arg_matches(&matches));
    let args = parsed.map_err(|error| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        failed(Failure::new(Kind::User, line))
    })?;
    let asked = args.request().map_err(failed)?;
    let locked = lock.as_deref().filter(|path| path.exists());
    let mut job = match locked {
        None => args.job(asked, Goal::Image(Vec::new()), None),
        Some(path) => read_lock(path).and_then(|lock| {
            holds(&lock, &asked, path)?;
            args.job(args.locked_request(&lock)?, Goal::Image(Vec::new()), Some(lock))
        }),
    }
    .map_err(failed)?;
    job.write_lock = lock.clone().filter(|_| locked.is_none());
    let shown = Shown::new(context, Form::Auto, quiet);
    match job.carry_out(&shown, context).map_err(failed)? {
        Made::Image(image) => Ok(*image),
        Made::List(_) | Made::Files => Err(failed(Failure::new(Kind::User, "it makes no image"))),
    }
}

/// Holds that a lock was made of what is asked for: flags that it does not follow would be a lie in the Dockerfile.
fn holds(lock: &Lock, asked: &Request, path: &Path) -> Result<(), Failure> {
    let kept = lock.request()?;
    let given = |asked: &[String], kept: &[String]| asked.is_empty() || asked == kept;
    let differs = [
        ("variant", asked.variant == kept.variant),
        ("include", asked.include == kept.include),
        ("exclude", asked.exclude == kept.exclude),
        ("recommends", asked.recommends == kept.recommends),
        ("components", given(&asked.components, &kept.components)),
        ("pockets", asked.pockets.is_none() || asked.pockets == kept.pockets),
        ("arch", asked.architecture.is_none() || asked.architecture == kept.architecture),
        ("style", asked.style == kept.style),
        ("slim", asked.slim == kept.slim),
        ("path-exclude, path-include", asked.paths == kept.paths),
        ("merged-usr", asked.merged_usr.is_none() || asked.merged_usr == kept.merged_usr),
    ];
    match differs.iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((flag, _)) => {
            Err(Failure::new(Kind::User, format!("the lock file {path:?} was made with another {flag}"))
                .hint("remove it, and the next build writes a new one"))
        }
    }
}

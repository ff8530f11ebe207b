//! The schema of a distribution's data file, and what is checked when one is read.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

use super::Pocket;

/// The largest data file, in bytes: the built-in ones are below 8 KiB.
pub(crate) const MAX_FILE: usize = 1024 * 1024;

/// What stands for the codename in a pattern of a suite's name.
const CODENAME: &str = "{codename}";

/// A distribution: what its data file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// `ID` of its os-release: `debian`.
    pub name: String,
    /// What people call it: `Debian GNU/Linux`.
    pub title: String,
    /// The codename that the bare name of the distribution means.
    pub default: String,
    /// Words that mean a codename for a while: `stable`, `latest`.
    pub aliases: BTreeMap<String, String>,
    /// Components that are taken when none is asked for.
    pub components: Vec<String>,
    /// Pockets that are taken when none is asked for.
    pub pockets: Vec<Pocket>,
    /// Names of keyrings that judge living suites: `debian-archive-keyring`.
    pub keyrings: Vec<String>,
    /// Names of keyrings that judge ended suites.
    pub ended_keyrings: Vec<String>,
    /// The package of the distribution that holds its keyrings.
    pub keyring_package: String,
    /// The keyring inside of an image that its package sources name, unless the suite has another one: an absolute path.
    pub image_keyring: String,
    /// `ID` of hosts whose package sources name the distribution's archives; its own name when the file says nothing.
    pub hosts: Vec<String>,
    /// Pockets that an ordinary mirror of the main archive holds, too.
    pub mirrored: Vec<Pocket>,
    /// Archives by name: `current`, `ended`, `ports`.
    pub archives: BTreeMap<String, Archive>,
    /// The suites, oldest first.
    pub suites: Vec<Suite>,
}

/// An archive: the hosts of one state of suites.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Archive {
    /// Its root: `dists` and `pool` lie there.
    pub url: String,
    /// The root of the security archive where that is another one.
    pub security: Option<String>,
    /// The architectures that it holds; empty for every one.
    #[serde(default)]
    pub architectures: Vec<String>,
    /// The name of the archive that holds the other architectures.
    pub others: Option<String>,
}

/// Whether a suite lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveState {
    /// It gets updates: its signature has to be made by a key that is valid now.
    Living,
    /// It ended: its signature may be judged at the time it was made, when that lies within the suite's life.
    Ended,
}

/// Whether `/bin`, `/sbin` and `/lib*` lead to `/usr` when the user does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MergedUsr {
    /// They are directories.
    No,
    /// They are symbolic links, but for the variant `buildd`.
    ExceptBuildd,
    /// They are symbolic links.
    Yes,
}

impl MergedUsr {
    /// The default of a variant.
    #[must_use]
    pub fn applies(self, buildd: bool) -> bool {
        match self {
            Self::No => false,
            Self::ExceptBuildd => !buildd,
            Self::Yes => true,
        }
    }
}

/// A trait of a suite that the steps of a bootstrap must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quirk {
    /// base-passwd, base-files and dpkg are installed before all others, as Pre-Depends need them.
    BaseFirst,
    /// dpkg is older than 1.17.11: it needs empty files `available` and `diversions`, and `cmethopt`.
    OldDpkg,
    /// Scripts close every descriptor up to the limit: a large limit makes them slow (1024 is enough).
    FewDescriptors,
    /// Services are started by upstart: `initctl` is kept from it.
    Upstart,
    /// `usr-is-merged` belongs to the required set, and `usrmerge` is taken by no dependency.
    UsrIsMerged,
}

/// One suite of a distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// Its codename: `trixie`.
    pub codename: String,
    /// Its version: `13`, `24.04`; none where it never gets one.
    pub version: Option<String>,
    /// The first second of its life, since 1970.
    pub from: i64,
    /// The last second of its life, since 1970; none where that is not known yet.
    pub until: Option<i64>,
    /// Tells whether it ended.
    pub state: ArchiveState,
    /// The name of its archive.
    pub archive: String,
    /// Tells whether packages come and go without point releases: testing and unstable.
    pub rolling: bool,
    /// Whether `/usr` is merged when the user does not say.
    pub merged_usr: MergedUsr,
    /// Tells whether package sources of its images are written in deb822 form.
    pub deb822_sources: bool,
    /// The keyring inside of an image that its package sources name: an absolute path.
    pub image_keyring: String,
    /// What the steps of a bootstrap must know.
    pub quirks: Vec<Quirk>,
    /// Pockets that are taken when none is asked for.
    pub pockets: Vec<Pocket>,
    /// Those of them that the archive may lack.
    pub optional: Vec<Pocket>,
    /// The name of each pocket below `dists`; a pocket that the suite does not have is missing.
    pub names: BTreeMap<Pocket, String>,
}

impl Suite {
    /// The name of a pocket below `dists`: `trixie-security`.
    #[must_use]
    pub fn name_of(&self, pocket: Pocket) -> Option<&str> {
        self.names.get(&pocket).map(String::as_str)
    }

    /// The pocket that a name below `dists` means.
    #[must_use]
    pub fn pocket_named(&self, name: &str) -> Option<Pocket> {
        self.names.iter().find(|(_, known)| *known == name).map(|(pocket, _)| *pocket)
    }

    /// Tells whether it has a trait.
    #[must_use]
    pub fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }
}

/// Why a data file is refused.
#[derive(Debug, Error)]
pub enum DistributionError {
    /// It is no TOML, or does not follow the schema; the source names line and column.
    #[error("distribution file cannot be read")]
    Syntax {
        /// What the parser says.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// It is larger than any sensible one.
    #[error("distribution file is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A value means nothing.
    #[error("distribution file: {object}: {reason}")]
    Value {
        /// Which part of it.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Names of pockets below `dists`, with `{codename}`; empty for a pocket that does not exist.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Names {
    release: Option<String>,
    updates: Option<String>,
    security: Option<String>,
    backports: Option<String>,
    proposed: Option<String>,
}

impl Names {
    fn get(&self, pocket: Pocket) -> Option<&String> {
        match pocket {
            Pocket::Release => self.release.as_ref(),
            Pocket::Updates => self.updates.as_ref(),
            Pocket::Security => self.security.as_ref(),
            Pocket::Backports => self.backports.as_ref(),
            Pocket::Proposed => self.proposed.as_ref(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    name: String,
    title: String,
    default: String,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    components: Vec<String>,
    pockets: Vec<Pocket>,
    keyrings: Vec<String>,
    #[serde(default)]
    ended_keyrings: Vec<String>,
    keyring_package: String,
    image_keyring: String,
    hosts: Option<Vec<String>>,
    #[serde(default)]
    mirrored: Vec<Pocket>,
    #[serde(default)]
    suites: Names,
    archives: BTreeMap<String, Archive>,
    suite: Vec<FileSuite>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Sources {
    OneLine,
    Deb822,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileSuite {
    codename: String,
    version: Option<String>,
    from: toml::value::Datetime,
    until: Option<toml::value::Datetime>,
    #[serde(default = "current")]
    archive: String,
    #[serde(default)]
    rolling: bool,
    merged_usr: MergedUsr,
    sources: Sources,
    image_keyring: Option<String>,
    #[serde(default)]
    quirks: Vec<Quirk>,
    pockets: Option<Vec<Pocket>>,
    #[serde(default)]
    optional: Vec<Pocket>,
    #[serde(default)]
    suites: Names,
}

fn current() -> String {
    "current".into()
}

/// The archive whose suites ended.
const ENDED: &str = "ended";

impl Distribution {
    /// Reads a data file.
    ///
    /// # Errors
    /// [`DistributionError`] where it does not follow the schema, or names what does not exist.
    pub fn parse(text: &str) -> Result<Self, DistributionError> {
        if text.len() > MAX_FILE {
            return Err(DistributionError::TooLarge { limit: MAX_FILE });
        }
        let file: File = toml::from_str(text).map_err(|error| DistributionError::Syntax { source: Box::new(error) })?;
        let mut suites = Vec::with_capacity(file.suite.len());
        for suite in &file.suite {
            suites.push(suite.read(&file)?);
        }
        let distribution = Self {
            ended_keyrings: match file.ended_keyrings.is_empty() {
                true => file.keyrings.clone(),
                false => file.ended_keyrings,
            },
            hosts: file.hosts.unwrap_or_else(|| vec![file.name.clone()]),
            name: file.name,
            title: file.title,
            default: file.default,
            aliases: file.aliases,
            components: file.components,
            pockets: file.pockets,
            keyrings: file.keyrings,
            keyring_package: file.keyring_package,
            image_keyring: file.image_keyring,
            mirrored: file.mirrored,
            archives: file.archives,
            suites,
        };
        distribution.check()?;
        Ok(distribution)
    }

    fn check(&self) -> Result<(), DistributionError> {
        let bad = |object: String, reason: &str| Err(DistributionError::Value { object, reason: reason.into() });
        for (object, word) in [("name", &self.name), ("default", &self.default)] {
            if !is_word(word) {
                return bad(format!("{object} {word:?}"), "is no word of up to 64 letters, digits, `.`, `+` and `-`");
            }
        }
        if self.suite(&self.default).is_none() {
            return bad(format!("default {:?}", self.default), "no suite has this codename");
        }
        for (alias, codename) in &self.aliases {
            if self.suite(codename).is_none() {
                return bad(format!("alias {alias:?}"), "no suite has the codename that it means");
            }
        }
        if self.components.is_empty() {
            return bad("components".into(), "there is none");
        }
        for (name, archive) in &self.archives {
            for url in [Some(&archive.url), archive.security.as_ref()].into_iter().flatten() {
                if let Err(error) = bedplate_fetch::Url::parse(url) {
                    return bad(format!("archive {name:?}: {url:?}"), &error.to_string());
                }
            }
            if archive.others.as_ref().is_some_and(|other| other == name || !self.archives.contains_key(other)) {
                return bad(format!("archive {name:?}"), "`others` names no other archive");
            }
        }
        for (n, suite) in self.suites.iter().enumerate() {
            if self.suites.iter().take(n).any(|other| other.codename == suite.codename) {
                return bad(format!("suite {:?}", suite.codename), "its codename stands twice");
            }
            if suite.until.is_some_and(|until| until <= suite.from) {
                return bad(format!("suite {:?}", suite.codename), "its life ends before it began");
            }
            if !self.archives.contains_key(&suite.archive) {
                return bad(
                    format!("suite {:?}: archive {:?}", suite.codename, suite.archive),
                    "there is no such archive",
                );
            }
        }
        Ok(())
    }

    /// The suite of a codename.
    #[must_use]
    pub fn suite(&self, codename: &str) -> Option<&Suite> {
        self.suites.iter().find(|suite| suite.codename == codename)
    }

    /// The root of the archive that holds a pocket of a suite for an architecture: the distribution's own public host.
    #[must_use]
    pub fn archive_url(&self, suite: &Suite, pocket: Pocket, architecture: &str) -> Option<&str> {
        let mut archive = self.archives.get(&suite.archive)?;
        if !archive.architectures.is_empty() && !archive.architectures.iter().any(|known| known == architecture) {
            archive = self.archives.get(archive.others.as_ref()?)?;
        }
        match (pocket, &archive.security) {
            (Pocket::Security, Some(security)) => Some(security),
            _ => Some(&archive.url),
        }
    }

    /// The names of the keyrings that judge a suite.
    #[must_use]
    pub fn keyrings_of(&self, suite: &Suite) -> &[String] {
        match suite.state {
            ArchiveState::Living => &self.keyrings,
            ArchiveState::Ended => &self.ended_keyrings,
        }
    }
}

impl FileSuite {
    fn read(&self, file: &File) -> Result<Suite, DistributionError> {
        let object = || format!("suite {:?}", self.codename);
        let bad = |reason: &str| DistributionError::Value { object: object(), reason: reason.into() };
        if !is_word(&self.codename) {
            return Err(bad("its codename is no word of up to 64 letters, digits, `.`, `+` and `-`"));
        }
        let from = seconds(&self.from).ok_or_else(|| bad("`from` is no day"))?;
        let until = match &self.until {
            // The whole last day.
            Some(day) => Some(seconds(day).ok_or_else(|| bad("`until` is no day"))? + DAY - 1),
            None => None,
        };
        let state = if self.archive == ENDED { ArchiveState::Ended } else { ArchiveState::Living };
        if state == ArchiveState::Ended && until.is_none() {
            return Err(bad("it ended, but has no `until`"));
        }
        let mut names = BTreeMap::new();
        for pocket in Pocket::ALL {
            let pattern = self.suites.get(pocket).or(file.suites.get(pocket));
            let pattern = pattern.map_or(if pocket == Pocket::Release { CODENAME } else { "" }, String::as_str);
            if !pattern.is_empty() {
                names.insert(pocket, pattern.replace(CODENAME, &self.codename));
            }
        }
        let pockets: Vec<Pocket> = match &self.pockets {
            Some(pockets) => pockets.clone(),
            None => file.pockets.iter().copied().filter(|pocket| names.contains_key(pocket)).collect(),
        };
        if let Some(pocket) = pockets.iter().find(|pocket| !names.contains_key(pocket)) {
            return Err(bad(&format!("it has no pocket {pocket}")));
        }
        Ok(Suite {
            codename: self.codename.clone(),
            version: self.version.clone(),
            from,
            until,
            state,
            archive: self.archive.clone(),
            rolling: self.rolling,
            merged_usr: self.merged_usr,
            deb822_sources: matches!(self.sources, Sources::Deb822),
            image_keyring: self.image_keyring.as_ref().unwrap_or(&file.image_keyring).clone(),
            quirks: self.quirks.clone(),
            pockets,
            optional: self.optional.clone(),
            names,
        })
    }
}

/// The longest name of a distribution or suite, in bytes: files are named after them.
const MAX_WORD: usize = 64;

/// Tells whether a text can be a name or a codename: it becomes a part of URLs and paths.
pub(crate) fn is_word(text: &str) -> bool {
    text.len() <= MAX_WORD
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_'))
}

/// Seconds of a day.
const DAY: i64 = 86_400;

/// The first second of a day, since 1970; `None` where a time of day or an offset is given, too.
fn seconds(day: &toml::value::Datetime) -> Option<i64> {
    match (&day.date, &day.time, &day.offset) {
        (Some(date), None, None) => {
            Some(days_since_1970(i64::from(date.year), i64::from(date.month), i64::from(date.day)) * DAY)
        }
        _ => None,
    }
}

/// Days between 1970-01-01 and a day of the Gregorian calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the day that comes and goes is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let century = year.div_euclid(400);
    let of_century = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    century * 146_097 + of_century * 365 + of_century / 4 - of_century / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_can_be_names_of_files() {
        let (longest, longer) = ("a".repeat(MAX_WORD), "a".repeat(MAX_WORD + 1));
        for (text, expected) in [("trixie", true), ("a.b+c-d_2", true), (&longest, true), (&longer, false)] {
            assert_eq!(is_word(text), expected, "{text:?}");
        }
        for text in ["", ".", "..", "a/b", "a b", "\u{e4}"] {
            assert!(!is_word(text), "{text:?}");
        }
    }

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        let cases = [
            ((1970, 1, 1), 0),
            ((1969, 12, 31), -1),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2026, 11, 21), 20_778),
        ];
        for ((year, month, day), expected) in cases {
            assert_eq!(days_since_1970(year, month, day), expected, "{year}-{month}-{day}");
        }
    }
}

//! Git repositories as sources, through the host's `git`.
//!
//! ```text
//! https://host/x.git#REF:DIRECTORY  --ls-remote--> commit (a step's key)  --fetch, checkout--> a folder
//! ```
//!
//! A commit says all of the files, so a step whose commit is known fetches nothing. No configuration of the machine or
//! the user has a say in what is checked out, no hook runs, and nobody is asked for a password. Spec: Dockerfile
//! reference, "ADD", "Adding Git repositories".

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

/// Variables that keep what surrounds the build out of it.
const VARIABLES: [(&str, &str); 7] = [
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", "true"),
    ("GIT_ALLOW_PROTOCOL", "http:https:git:ssh"),
    ("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
    ("LC_ALL", "C.UTF-8"),
];

/// Variables of the caller that would lead git to another repository.
const FOREIGN: [&str; 7] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_CONFIG_PARAMETERS",
];

/// Settings of every command.
const SETTINGS: [&str; 5] = [
    "core.hooksPath=/dev/null",
    "core.autocrlf=false",
    "core.fsmonitor=false",
    "advice.detachedHead=false",
    "init.defaultBranch=main",
];

/// The most that is shown of what git said, in bytes.
const MAX_SAID: usize = 2000;

/// A git source cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GitError {
    /// The host has no git.
    #[error("there is no program git on this machine")]
    Missing,
    /// It cannot be started.
    #[error("cannot start git")]
    Start(#[source] io::Error),
    /// Something of a checkout that is not to be kept cannot be removed.
    #[error("cannot remove {path:?} of the checkout")]
    Remove {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A command of git failed.
    #[error("git {command} failed: {said}")]
    Failed {
        /// Its first word.
        command: String,
        /// What it said.
        said: String,
    },
    /// The repository has no such branch or tag.
    #[error("{remote} has no branch, tag or commit {reference:?}")]
    NoReference {
        /// The repository, without passwords.
        remote: String,
        /// What was asked for.
        reference: String,
    },
    /// It is at another commit than the one asked for.
    #[error("{remote} is at commit {found}, not {expected}")]
    OtherCommit {
        /// The repository, without passwords.
        remote: String,
        /// The commit that it is at.
        found: String,
        /// The commit asked for.
        expected: String,
    },
    /// The directory is not in the repository.
    #[error("{remote} has no directory {directory:?} at commit {commit}")]
    NoDirectory {
        /// The repository, without passwords.
        remote: String,
        /// The directory.
        directory: String,
        /// The commit.
        commit: String,
    },
}

/// A repository, what of it, and at which place: `https://host/x.git#v1:docs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSource {
    /// The repository's URL.
    pub remote: String,
    /// A branch, a tag or a commit; `None` for the default branch.
    pub reference: Option<String>,
    /// A directory in it, without slashes around; empty for all.
    pub directory: String,
    /// The commit that it must be at, or the beginning of one.
    pub expected: Option<String>,
}

impl GitSource {
    /// Reads a URL that is a repository by its look: `git@`, `git:`, `ssh:`, or HTTP with a path that ends in `.git`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (remote, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (path, query) = remote.split_once('?').unwrap_or((remote, ""));
        let lower = path.to_ascii_lowercase();
        let is_git = ["git@", "git://", "ssh://"].iter().any(|start| lower.starts_with(start));
        let is_web = lower.starts_with("http://") || lower.starts_with("https://");
        if !(is_git || is_web && lower.ends_with(".git")) {
            return None;
        }
        let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
        let mut source = Self {
            remote: path.to_owned(),
            reference: Some(reference.to_owned()),
            directory: directory.to_owned(),
            expected: None,
        };
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "ref" => source.reference = Some(value.to_owned()),
                "tag" => source.reference = Some(format!("refs/tags/{value}")),
                "branch" => source.reference = Some(format!("refs/heads/{value}")),
                "subdir" => source.directory = value.to_owned(),
                "commit" | "checksum" => source.expected = Some(value.to_owned()),
                // Somebody else's: it is the server's to understand.
                _ => source.remote = remote.to_owned(),
            }
        }
        source.reference = source.reference.filter(|reference| !reference.is_empty());
        let parts: Vec<&str> = source.directory.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        // No way out of the repository.
        source.directory = parts.into_iter().filter(|part| *part != "..").collect::<Vec<_>>().join("/");
        Some(source)
    }

    /// The repository's URL without the password that may stand in it.
    #[must_use]
    pub fn shown(&self) -> String {
        let Some((scheme, rest)) = self.remote.split_once("://") else { return self.remote.clone() };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        format!("{scheme}://{host}{path}")
    }

    /// Asks which commit is meant, and compares it with the one that it must be. One that is written in full is not
    /// asked for.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn commit(&self) -> Result<String, GitError> {
        let reference = self.reference.as_deref().unwrap_or("HEAD");
        let found = match is_commit(reference) {
            true => reference.to_ascii_lowercase(),
            false => find(&git(None, ["ls-remote", "--", &self.remote])?, reference)
                .ok_or_else(|| GitError::NoReference { remote: self.shown(), reference: reference.to_owned() })?,
        };
        match &self.expected {
            Some(expected) if !is_commit_of(&found, expected) => {
                Err(GitError::OtherCommit { remote: self.shown(), found, expected: expected.clone() })
            }
            _ => Ok(found),
        }
    }

    /// Checks a commit out into `folder`, which is empty, with its submodules. `.git` stays only if it is to be kept; it
    /// then holds nothing of this machine or hour.
    ///
    /// # Errors
    /// [`GitError`].
    pub fn check_out(&self, commit: &str, folder: &Path, keep: bool) -> Result<(), GitError> {
        let at = Some(folder);
        git(at, ["init", "--quiet"])?;
        git(at, ["remote", "add", "--", "origin", &self.remote])?;
        // Not every server gives one commit alone; then all is fetched.
        let alone = ["fetch", "--quiet", "--depth=1", "--no-tags", "origin", commit];
        if git(at, alone).is_err() {
            git(at, ["fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*"])?;
        }
        git(at, ["checkout", "--quiet", "--force", "--detach", commit]).map_err(|error| match error {
            GitError::Failed { said, .. } if said.contains("unable to read tree") || said.contains("not a tree") => {
                GitError::NoReference { remote: self.shown(), reference: commit.to_owned() }
            }
            error => error,
        })?;
        git(at, ["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"])?;
        if !self.directory.is_empty() && !folder.join(&self.directory).is_dir() {
            let (remote, directory) = (self.shown(), self.directory.clone());
            return Err(GitError::NoDirectory { remote, directory, commit: commit.to_owned() });
        }
        if keep {
            git(at, ["remote", "set-url", "origin", &self.shown()])?;
            // An index with the times and inodes of this checkout would be another one each time.
            git(at, ["read-tree", "HEAD"])?;
            for name in ["FETCH_HEAD", "ORIG_HEAD", "logs", "hooks", "description"] {
                remove(&folder.join(".git").join(name))?;
            }
            return Ok(());
        }
        remove(&folder.join(".git"))
    }
}

/// Compares a commit with one that was asked for, or the beginning of one.
fn is_commit_of(found: &str, expected: &str) -> bool {
    const SHORTEST: usize = 7;
    expected.len() >= SHORTEST && found.starts_with(&expected.to_ascii_lowercase())
}

fn remove(path: &Path) -> Result<(), GitError> {
    let removed = match path.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(GitError::Remove { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The commit of a reference in the list of `git ls-remote`: the name itself, a tag, a branch. Of an annotated tag the
/// commit that it stands for. Spec: gitrevisions(7).
fn find(listed: &str, reference: &str) -> Option<String> {
    let named = |name: &str| {
        let mut lines = listed.lines().filter_map(|line| line.split_once('\t'));
        lines.find(|(_, found)| *found == name).map(|(commit, _)| commit.to_owned())
    };
    let names = ["", "refs/", "refs/tags/", "refs/heads/"].map(|start| format!("{start}{reference}"));
    let found = names.iter().find_map(|name| named(&format!("{name}^{{}}")).or_else(|| named(name)))?;
    is_commit(&found).then_some(found)
}

/// Runs git, in a folder or nowhere; gives what it prints.
fn git<const N: usize>(folder: Option<&Path>, words: [&str; N]) -> Result<String, GitError> {
    // A umask of the user would be seen in the modes of what is checked out.
    let mut command = Command::new("sh");
    command.args(["-c", "umask 022; exec git \"$@\"", "git"]);
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    if let Some(folder) = folder {
        command.args([OsStr::new("-C"), folder.as_os_str()]);
    }
    command.args(words).envs(VARIABLES).stdin(Stdio::null());
    for name in FOREIGN {
        command.env_remove(name);
    }
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => GitError::Missing,
        _ => GitError::Start(error),
    })?;
    // What a shell says of a program that is not there.
    if output.status.code() == Some(127) {
        return Err(GitError::Missing);
    }
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.trim().chars().take(MAX_SAID).collect();
        return Err(GitError::Failed { command: words.first().copied().unwrap_or_default().to_owned(), said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_taken_apart() {
        // text | remote | reference | directory
        let table = [
            ("https://h/x.git", Some(("https://h/x.git", None, ""))),
            ("https://h/x.git#v1", Some(("https://h/x.git", Some("v1"), ""))),
            ("https://h/x.git#v1:a/./b/", Some(("https://h/x.git", Some("v1"), "a/b"))),
            ("https://h/x.git?tag=v1&subdir=/a/../b", Some(("https://h/x.git", Some("refs/tags/v1"), "a/b"))),
            ("https://h/x.git?token=1", Some(("https://h/x.git?token=1", None, ""))),
            ("https://h/x.git#:docs", Some(("https://h/x.git", None, "docs"))),
            ("git@h:a/x.git#v1", Some(("git@h:a/x.git", Some("v1"), ""))),
            ("git://h/x", Some(("git://h/x", None, ""))),
            ("SSH://h/x", Some(("SSH://h/x", None, ""))),
            ("https://h/x.tar", None),
            ("https://h/x#y.git", None),
            ("x.git", None),
        ];
        for (text, expected) in table {
            let found = GitSource::parse(text);
            let found = found.as_ref().map(|s| (s.remote.as_str(), s.reference.as_deref(), s.directory.as_str()));
            assert_eq!(found, expected, "{text}");
        }
        let shown = |text| GitSource::parse(text).unwrap().shown();
        assert_eq!(shown("https://me:secret@h/x.git"), "https://h/x.git");
        assert_eq!(shown("git@h:x.git"), "git@h:x.git");
    }

    #[test]
    fn references_are_found_as_git_finds_them() {
        let commit = |letter: char| letter.to_string().repeat(40);
        let names = ["HEAD", "refs/heads/main", "refs/heads/v1", "refs/tags/v1", "refs/tags/v1^{}", "refs/pull/1/head"];
        let listed: String =
            names.iter().zip('a'..).map(|(name, letter)| format!("{}\t{name}\n", commit(letter))).collect();
        for (reference, letter) in [
            ("HEAD", Some('a')),
            ("main", Some('b')),
            ("v1", Some('e')),
            ("heads/v1", Some('c')),
            ("refs/heads/v1", Some('c')),
            ("pull/1/head", Some('f')),
            ("gone", None),
        ] {
            assert_eq!(find(&listed, reference), letter.map(commit), "{reference}");
        }
    }

    #[test]
    fn a_commit_may_be_named_by_its_beginning() {
        let found = "0123456789".repeat(4);
        assert!(is_commit_of(&found, "0123456"));
        assert!(is_commit_of(&found, &found.to_uppercase()));
        assert!(!is_commit_of(&found, "012"));
        assert!(!is_commit_of(&found, "1123456"));
    }
}

//! Build arguments and variables: who sees which.
//!
//! ```text
//! FROM lines       global ARGs, platform arguments
//! in a stage       ENV of the image and the stage, then ARGs declared in the stage or in the one it is built on
//! RUN              the same in its environment, and the proxy arguments without being declared
//! ```
//!
//! Spec: Dockerfile reference, "ARG", "Scope", "Predefined ARGs".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bedplate_dockerfile::{Dockerfile, Scope};
use bedplate_oci::Platform;

/// Build arguments that RUN sees without an ARG, and that stay out of history and cache.
const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The value of `TARGETSTAGE`: what was asked for, else the name of the last stage, else `default`.
#[must_use]
pub fn target_stage<'a>(file: &'a Dockerfile, target: Option<&'a str>) -> &'a str {
    let last = || file.stages.last().and_then(|stage| stage.name()).map(|name| name.as_str());
    target.filter(|target| !target.is_empty()).or_else(last).unwrap_or("default")
}

/// The arguments that FROM lines see without an ARG: platforms, and the stage that is built.
///
/// Spec: Dockerfile reference, "Automatic platform ARGs in the global scope".
#[must_use]
pub fn predefined_arguments(target: &Platform, host: &Platform, stage: &str) -> BTreeMap<String, String> {
    let mut predefined = BTreeMap::new();
    for (prefix, value) in [("TARGET", target), ("BUILD", host)] {
        let mut set = |name: &str, text: &str| predefined.insert(format!("{prefix}{name}"), text.to_owned());
        set("PLATFORM", &value.to_string());
        set("OS", &value.os);
        set("OSVERSION", "");
        set("ARCH", &value.architecture);
        set("VARIANT", value.variant.as_deref().unwrap_or_default());
    }
    predefined.insert("TARGETSTAGE".to_owned(), stage.to_owned());
    predefined
}

/// The arguments given to a build, and those before the first FROM.
#[derive(Debug)]
pub(crate) struct Globals {
    given: BTreeMap<String, String>,
    platform: BTreeMap<String, String>,
    declared: BTreeMap<String, String>,
    used: Mutex<BTreeSet<String>>,
}

impl Globals {
    pub(crate) fn new(given: &[(String, String)], target: &Platform, host: &Platform, stage: &str) -> Self {
        let platform = predefined_arguments(target, host, stage);
        Self { given: given.iter().cloned().collect(), platform, declared: BTreeMap::new(), used: Mutex::default() }
    }

    /// The value that a user gave to an argument.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        let value = self.given.get(name)?;
        self.used().insert(name.to_owned());
        Some(value)
    }

    fn used(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an ARG before the first FROM; `default` is already expanded.
    pub(crate) fn declare(&mut self, name: &str, default: Option<String>) {
        let value = self.given(name).map(str::to_owned).or(default);
        if let Some(value) = value {
            self.declared.insert(name.to_owned(), value);
        }
    }

    /// The value of an argument that a stage declares without a default.
    pub(crate) fn inherited(&self, name: &str) -> Option<&str> {
        self.value(name)
    }

    /// Given arguments that nothing asked for.
    pub(crate) fn unused(&self) -> Vec<String> {
        let used = self.used();
        let known = |name: &&String| !used.contains(*name) && !PROXIES.contains(&name.as_str());
        self.given.keys().filter(known).cloned().collect()
    }

    /// The proxies among the given arguments.
    pub(crate) fn proxies(&self) -> impl Iterator<Item = (&str, &str)> {
        let proxies = PROXIES.iter().filter_map(|name| self.given.get_key_value(*name));
        proxies.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// What FROM lines see.
impl Scope for Globals {
    fn value(&self, name: &str) -> Option<&str> {
        self.declared.get(name).or_else(|| self.platform.get(name)).map(String::as_str)
    }
}

/// The ARGs declared in a stage so far, in order; `None` for one without a value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments(Vec<(String, Option<String>)>);

impl Arguments {
    pub(crate) fn set(&mut self, name: &str, value: Option<String>) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value));
    }

    /// All of them, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// Those with a value, in order.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all().filter_map(|(name, value)| Some((name, value?)))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name)?.1.as_deref()
    }
}

/// What instructions of a stage see: ENV goes before ARG.
pub(crate) struct StageScope<'a> {
    pub(crate) env: &'a [String],
    pub(crate) arguments: &'a Arguments,
}

impl Scope for StageScope<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        let set = |line: &'_ String| -> Option<usize> {
            let rest = line.strip_prefix(name)?;
            rest.starts_with('=').then_some(name.len() + 1)
        };
        let env = self.env.iter().rev().find_map(|line| set(line).and_then(|at| line.get(at..)));
        env.or_else(|| self.arguments.get(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_stage_has_a_name_always() {
        let named = Dockerfile::parse(b"FROM a AS one\nFROM b AS two\n").unwrap();
        let unnamed = Dockerfile::parse(b"FROM a AS one\nFROM b\n").unwrap();
        let stages = [(&named, None), (&named, Some("")), (&named, Some("one")), (&unnamed, None)];
        let found = stages.map(|(file, target)| target_stage(file, target));
        assert_eq!(found, ["two", "two", "one", "default"]);
    }

    #[test]
    fn environment_goes_before_arguments() {
        let mut arguments = Arguments::default();
        arguments.set("A", Some("arg".into()));
        arguments.set("B", Some("arg".into()));
        arguments.set("C", None);
        let env = ["A=env".to_owned(), "AB=x".to_owned()];
        let scope = StageScope { env: &env, arguments: &arguments };
        let table = [("A", Some("env")), ("B", Some("arg")), ("C", None), ("AB", Some("x")), ("D", None)];
        for (name, expected) in table {
            assert_eq!(scope.value(name), expected, "{name}");
        }
    }

    #[test]
    fn given_arguments_go_before_defaults_and_unused_ones_are_known() {
        let given = [("A", "1"), ("B", "2"), ("http_proxy", "p")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let host = Platform::new("linux", "amd64");
        let mut globals = Globals::new(&given, &Platform::new("linux", "arm64"), &host, "x");
        globals.declare("A", Some("default".into()));
        globals.declare("C", Some("default".into()));
        globals.declare("D", None);
        assert_eq!(globals.value("A"), Some("1"));
        assert_eq!(globals.value("C"), Some("default"));
        assert_eq!(globals.value("D"), None);
        assert_eq!(globals.value("B"), None, "not declared");
        assert_eq!(globals.value("TARGETARCH"), Some("arm64"));
        assert_eq!(globals.value("BUILDPLATFORM"), Some("linux/amd64"));
        assert_eq!(globals.unused(), ["B"], "proxies are known without an ARG");
        assert_eq!(globals.proxies().collect::<Vec<_>>(), [("http_proxy", "p")]);
    }
}

//! Image configs, with Docker's extensions.
//!
//! Own types rather than those of the `oci-spec` crate: these keep Docker's fields (`Healthcheck`, `OnBuild`, `Shell`)
//! and every field that nobody here knows, because a build hands them on from base to image.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json::{null_as_default, set, words};
use crate::{Created, DiffId, Platform};

/// An image's config. Its bytes' digest is the image ID. Spec: OCI image-spec v1.1, config.md.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Created>,
    /// Who made it.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// What it runs on.
    #[serde(flatten)]
    pub platform: Platform,
    /// How its containers run.
    #[serde(default, deserialize_with = "null_as_default")]
    pub config: ContainerConfig,
    /// Its layers.
    pub rootfs: RootFs,
    /// How each layer, and each change of the config, came about; the oldest first.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// Fields that this program does not know, kept for images built on this one.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl ImageConfig {
    /// The config of an image without layers for `platform`.
    #[must_use]
    pub fn new(platform: Platform) -> Self {
        Self {
            created: None,
            author: String::new(),
            platform,
            config: ContainerConfig::default(),
            rootfs: RootFs::default(),
            history: Vec::new(),
            other: Map::new(),
        }
    }

    /// The number of layers that the history accounts for. Where there is a history it must equal the number of diff IDs.
    #[must_use]
    pub fn layers_in_history(&self) -> usize {
        self.history.iter().filter(|entry| !entry.empty_layer).count()
    }
}

/// What a container of the image runs with, where the user says nothing else.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// `user`, `uid`, `user:group` or `uid:gid`; empty for root.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports as `80/tcp`.
    #[serde(default, with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// Variables as `NAME=value`, in order.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The words put before the command.
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The command, or the arguments of the entry point.
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Paths of volumes.
    #[serde(default, with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// Where the process starts; empty for `/`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels, in the order of their keys.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the process to end: a name or a number.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// How to tell whether a container is well. Docker's extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Instructions for builds on this image. Docker's extension.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// The shell of shell forms. Docker's extension.
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// Fields that this program does not know, kept for images built on this one.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl ContainerConfig {
    /// The value of a variable: that of its last assignment.
    #[must_use]
    pub fn env_var(&self, name: &str) -> Option<&str> {
        self.env
            .iter()
            .rev()
            .find_map(|line| line.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, value)| value)
    }

    /// Sets a variable: in place where it is there, else at the end.
    pub fn set_env(&mut self, name: &str, value: &str) {
        let line = format!("{name}={value}");
        match self.env.iter_mut().find(|old| old.split_once('=').map_or(old.as_str(), |(key, _)| key) == name) {
            Some(old) => *old = line,
            None => self.env.push(line),
        }
    }
}

/// How to tell whether a container is well. Times are in nanoseconds; 0 inherits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", words...]` or `["CMD-SHELL", command]`; empty inherits.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Time between two checks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// Time after which a check has failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// Time in which failures do not count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Time between two checks in that time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make a container unhealthy.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: i64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// The layers of an image, by diff ID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The diff IDs, the lowest layer first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub diff_ids: Vec<DiffId>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".into(), diff_ids: Vec::new() }
    }
}

/// How one layer, or one change of the config, came about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Created>,
    /// The command that made it.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// Who.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// A remark.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether it changed the config only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{from_json, to_json};

    #[test]
    fn a_config_of_docker_is_read_with_all_its_nulls_and_extensions() {
        let text = r#"{"architecture":"arm","variant":"v7","config":{"Hostname":"","User":"","Env":null,"Cmd":null,
            "Entrypoint":"/one","ExposedPorts":{"80/tcp":{}},"Volumes":null,"WorkingDir":"","Labels":null,"OnBuild":["RUN x"],
            "Healthcheck":{"Test":["CMD","x"],"Interval":30000000000},"Shell":["/bin/ash","-c"],"ArgsEscaped":true},
            "container_config":{},"created":"2024-01-02T03:04:05.123456789Z","docker_version":"20.10",
            "history":[{"created":"2024-01-02T03:04:05Z","created_by":"x","empty_layer":true}],"os":"linux",
            "rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#;
        let config: ImageConfig = from_json("image config", text.as_bytes()).unwrap();
        assert_eq!(config.platform.to_string(), "linux/arm/v7");
        assert_eq!(config.config.entrypoint.as_deref(), Some(&["/one".to_owned()][..]));
        assert_eq!(config.config.on_build, ["RUN x"]);
        assert_eq!(config.config.other["ArgsEscaped"], true);
        assert_eq!(config.other["docker_version"], "20.10");
        let again: ImageConfig = from_json("image config", &to_json(&config)).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn the_form_of_a_new_config_is_fixed() {
        let mut config = ImageConfig::new(Platform::new("linux", "amd64"));
        config.created = Some(Created::from_seconds(0));
        config.config.cmd = Some(vec!["/hello".into()]);
        config.history.push(History { created: config.created, comment: "x".into(), ..History::default() });
        let expected = r#"{"created":"1970-01-01T00:00:00Z","architecture":"amd64","os":"linux","config":{"Cmd":["/hello"]},"rootfs":{"type":"layers","diff_ids":[]},"history":[{"created":"1970-01-01T00:00:00Z","comment":"x"}]}"#;
        assert_eq!(String::from_utf8(to_json(&config)).unwrap(), expected);
    }

    #[test]
    fn variables_are_replaced_in_place() {
        let mut config = ContainerConfig { env: vec!["A=1".into(), "B=2".into()], ..ContainerConfig::default() };
        config.set_env("A", "3");
        config.set_env("C", "");
        assert_eq!(config.env, ["A=3", "B=2", "C="]);
        assert_eq!(config.env_var("C"), Some(""));
        assert_eq!(config.env_var("D"), None);
    }
}

//! Changes of an image's config: what `--change` and the instructions of a Dockerfile without files do.

use bedplate_oci::{ContainerConfig, DiffId, Healthcheck, History, ImageConfig};

/// The variable that a build gives to every image without it. Source: moby daemon/pkg/oci/defaults.go.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The words before a shell form where no SHELL was set.
pub const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// A command in one of the two forms in which a Dockerfile writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Words, run as they are.
    Exec(Vec<String>),
    /// A line for the shell.
    Shell(String),
}

/// One change of a config.
#[derive(Debug, Clone, PartialEq)]
pub enum ConfigChange {
    /// CMD.
    Cmd(Command),
    /// ENTRYPOINT; forgets an inherited CMD.
    Entrypoint(Command),
    /// ENV: set in place, else added.
    Env(Vec<(String, String)>),
    /// EXPOSE: `80/tcp`, one port each.
    Expose(Vec<String>),
    /// HEALTHCHECK; `HEALTHCHECK NONE` has the test `["NONE"]`.
    Healthcheck(Healthcheck),
    /// LABEL.
    Label(Vec<(String, String)>),
    /// MAINTAINER.
    Author(String),
    /// ONBUILD: the instruction, verbatim.
    OnBuild(String),
    /// SHELL.
    Shell(Vec<String>),
    /// STOPSIGNAL.
    StopSignal(String),
    /// USER.
    User(String),
    /// VOLUME.
    Volume(Vec<String>),
    /// WORKDIR: relative to the one before.
    Workdir(String),
}

/// A config being changed.
#[derive(Debug, Clone)]
pub struct ConfigEditor {
    config: ImageConfig,
    cmd_set: bool,
}

impl ConfigEditor {
    /// Begins with a config: that of the base, or an empty one. Its history and layers stay as they are.
    #[must_use]
    pub fn new(config: ImageConfig) -> Self {
        Self { config, cmd_set: false }
    }

    /// The config as it is now.
    #[must_use]
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// The config as it is now, to be changed by hand.
    pub fn config_mut(&mut self) -> &mut ImageConfig {
        &mut self.config
    }

    /// The config when all is done.
    #[must_use]
    pub fn finish(self) -> ImageConfig {
        self.config
    }

    /// Changes the config. No history is added: see [`ConfigEditor::add_empty`].
    pub fn apply(&mut self, change: ConfigChange) {
        let shell = shell_of(&self.config.config);
        let container = &mut self.config.config;
        match change {
            ConfigChange::Cmd(command) => {
                container.cmd = Some(words(command, &shell));
                self.cmd_set = true;
            }
            ConfigChange::Entrypoint(command) => {
                container.entrypoint = Some(words(command, &shell));
                // A CMD of the base was meant for another entry point; one of this stage was not, wherever it stands.
                if !self.cmd_set {
                    container.cmd = None;
                }
            }
            ConfigChange::Env(pairs) => {
                for (name, value) in pairs {
                    container.set_env(&name, &value);
                }
            }
            ConfigChange::Expose(ports) => container.exposed_ports.extend(ports),
            ConfigChange::Healthcheck(check) => container.healthcheck = Some(check),
            ConfigChange::Label(pairs) => container.labels.extend(pairs),
            ConfigChange::Author(author) => self.config.author = author,
            ConfigChange::OnBuild(instruction) => container.on_build.push(instruction),
            ConfigChange::Shell(shell) => container.shell = Some(shell),
            ConfigChange::StopSignal(signal) => container.stop_signal = signal,
            ConfigChange::User(user) => container.user = user,
            ConfigChange::Volume(paths) => container.volumes.extend(paths),
            ConfigChange::Workdir(path) => {
                container.working_dir = join_workdir(&container.working_dir, &path);
            }
        }
    }

    /// Gives the config the default PATH where it has none.
    pub fn ensure_path(&mut self) {
        let container = &mut self.config.config;
        if container.env_var("PATH").is_none() {
            container.set_env("PATH", DEFAULT_PATH);
        }
    }

    /// Takes the instructions that the base keeps for builds on it, which run now and are not handed on.
    pub fn take_on_build(&mut self) -> Vec<String> {
        std::mem::take(&mut self.config.config.on_build)
    }

    /// Adds a layer on top, with the step that made it.
    pub fn add_layer(&mut self, diff_id: DiffId, history: History) {
        // Layers that no step accounts for would make the new step be taken for theirs.
        let silent = self.config.rootfs.diff_ids.len().saturating_sub(self.config.layers_in_history());
        self.config.history.extend((0..silent).map(|_| History::default()));
        self.config.rootfs.diff_ids.push(diff_id);
        self.config.history.push(History { empty_layer: false, ..history });
    }

    /// Takes the layers above the lowest `kept` away; the steps that made them stay as steps without a layer.
    pub fn drop_layers_above(&mut self, kept: usize) {
        let silent = self.config.rootfs.diff_ids.len().saturating_sub(self.config.layers_in_history());
        self.config.rootfs.diff_ids.truncate(kept);
        let made = self.config.history.iter_mut().filter(|step| !step.empty_layer);
        made.skip(kept.saturating_sub(silent)).for_each(|step| step.empty_layer = true);
    }

    /// Adds a step that changed the config only.
    pub fn add_empty(&mut self, history: History) {
        self.config.history.push(History { empty_layer: true, ..history });
    }
}

/// The words before a shell form: the config's SHELL, else [`DEFAULT_SHELL`].
#[must_use]
pub fn shell_of(config: &ContainerConfig) -> Vec<String> {
    match &config.shell {
        Some(shell) if !shell.is_empty() => shell.clone(),
        _ => DEFAULT_SHELL.map(str::to_owned).to_vec(),
    }
}

fn words(command: Command, shell: &[String]) -> Vec<String> {
    match command {
        Command::Exec(words) => words,
        Command::Shell(line) => shell.iter().cloned().chain([line]).collect(),
    }
}

/// Where WORKDIR `path` leads from `current`: absolute, without `.`, `..`, doubled or trailing slashes.
#[must_use]
pub fn join_workdir(current: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let from = if path.starts_with('/') { "" } else { current };
    for part in from.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedplate_oci::{Digest, Platform};

    fn editor() -> ConfigEditor {
        ConfigEditor::new(ImageConfig::new(Platform::new("linux", "amd64")))
    }

    fn list(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn exec(words: &[&str]) -> Command {
        Command::Exec(list(words))
    }

    #[test]
    fn an_entry_point_forgets_only_an_inherited_command() {
        let mut base = editor();
        base.apply(ConfigChange::Cmd(exec(&["inherited"])));
        let base = base.finish();
        let cases: &[(&[ConfigChange], Option<&[&str]>)] = &[
            (&[ConfigChange::Entrypoint(exec(&["e"]))], None),
            (&[ConfigChange::Cmd(exec(&["own"])), ConfigChange::Entrypoint(exec(&["e"]))], Some(&["own"])),
            (&[ConfigChange::Entrypoint(exec(&["e"])), ConfigChange::Cmd(exec(&["own"]))], Some(&["own"])),
            (&[], Some(&["inherited"])),
        ];
        for (changes, expected) in cases {
            let mut editor = ConfigEditor::new(base.clone());
            for change in *changes {
                editor.apply(change.clone());
            }
            assert_eq!(editor.config().config.cmd, expected.map(list), "{changes:?}");
        }
    }

    #[test]
    fn shell_forms_take_the_shell_of_their_time() {
        let mut editor = editor();
        editor.apply(ConfigChange::Cmd(Command::Shell("a b".into())));
        assert_eq!(editor.config().config.cmd, Some(list(&["/bin/sh", "-c", "a b"])));
        editor.apply(ConfigChange::Shell(list(&["/bin/bash", "-ec"])));
        editor.apply(ConfigChange::Entrypoint(Command::Shell("c".into())));
        assert_eq!(editor.config().config.entrypoint, Some(list(&["/bin/bash", "-ec", "c"])));
        assert_eq!(editor.config().config.cmd, Some(list(&["/bin/sh", "-c", "a b"])));
    }

    #[test]
    fn working_directories_are_joined() {
        for (current, path, expected) in [
            ("", "a", "/a"),
            ("/a", "b", "/a/b"),
            ("/a", "/b", "/b"),
            ("/a", "../../c/", "/c"),
            ("/a", "./x//y/.", "/a/x/y"),
            ("/a", "/", "/"),
        ] {
            assert_eq!(join_workdir(current, path), expected, "{current} {path}");
        }
    }

    #[test]
    fn each_change_has_its_field() {
        let mut editor = editor();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        for change in [
            ConfigChange::Env(vec![pair("A", "1"), pair("B", "2")]),
            ConfigChange::Env(vec![pair("A", "3")]),
            ConfigChange::Expose(list(&["80/tcp", "53/udp"])),
            ConfigChange::Label(vec![pair("b", "1"), pair("a", "2")]),
            ConfigChange::Author("me".into()),
            ConfigChange::OnBuild("RUN x".into()),
            ConfigChange::StopSignal("SIGINT".into()),
            ConfigChange::User("1:2".into()),
            ConfigChange::Volume(list(&["/v"])),
            ConfigChange::Workdir("/w".into()),
            ConfigChange::Healthcheck(Healthcheck { test: list(&["NONE"]), ..Healthcheck::default() }),
        ] {
            editor.apply(change);
        }
        editor.ensure_path();
        let json = String::from_utf8(bedplate_oci::to_json(&editor.config().config)).unwrap();
        let expected = concat!(
            r#"{"User":"1:2","ExposedPorts":{"53/udp":{},"80/tcp":{}},"#,
            r#""Env":["A=3","B=2","PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"#,
            r#""Volumes":{"/v":{}},"WorkingDir":"/w","Labels":{"a":"2","b":"1"},"StopSignal":"SIGINT","#,
            r#""Healthcheck":{"Test":["NONE"]},"OnBuild":["RUN x"]}"#
        );
        assert_eq!(json, expected);
        assert_eq!(editor.take_on_build(), ["RUN x"]);
        assert!(editor.config().config.on_build.is_empty());
    }

    #[test]
    fn history_accounts_for_every_layer() {
        let id = |byte| DiffId(Digest::from_bytes([byte; 32]));
        let step = |comment: &str| History { comment: comment.into(), ..History::default() };
        let mut config = ImageConfig::new(Platform::new("linux", "amd64"));
        // A base of a tool that writes no history.
        config.rootfs.diff_ids = vec![id(1), id(2)];
        let mut editor = ConfigEditor::new(config);
        editor.add_empty(step("env"));
        editor.add_layer(id(3), step("copy"));
        let config = editor.finish();
        assert_eq!(config.layers_in_history(), config.rootfs.diff_ids.len());
        assert_eq!(config.history.last().unwrap().comment, "copy");
        let mut editor = ConfigEditor::new(config);
        editor.drop_layers_above(2);
        editor.add_layer(id(4), step("all"));
        let config = editor.finish();
        assert_eq!(config.rootfs.diff_ids, [id(1), id(2), id(4)]);
        assert_eq!(config.layers_in_history(), 3);
        let comments: Vec<&str> = config.history.iter().map(|step| step.comment.as_str()).collect();
        assert_eq!(comments[comments.len() - 2..], ["copy", "all"]);
    }
}

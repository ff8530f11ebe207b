//! Instructions of a Dockerfile that change nothing but the config, with their variables expanded.
//!
//! `import --change`, `commit --change` and `build` all come through here, so that a line means the same everywhere.

use std::time::Duration;

use bedplate_dockerfile::expand::expand_words;
use bedplate_dockerfile::port::{self, PortError};
use bedplate_dockerfile::signal::{self, SignalError};
use bedplate_dockerfile::{
    CommandLine, Escape, ExpandError, HealthCommand, Healthcheck as HealthInstruction, Instruction, Pairs, Scope, Word,
};
use bedplate_oci::Healthcheck;
use thiserror::Error;

use crate::{Command, ConfigChange};

/// Why an instruction cannot be carried out.
#[derive(Debug, Error)]
pub enum InstructionError {
    /// A variable with a malformed modifier, or one that must be set and is not.
    #[error("cannot expand {word:?}")]
    Expand {
        /// The word as written.
        word: String,
        /// Why.
        #[source]
        source: ExpandError,
    },
    /// EXPOSE of something that is no port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// STOPSIGNAL of something that is no signal.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// A word that is empty once its variables are replaced.
    #[error("{keyword} needs a value: {word:?} is empty once its variables are replaced")]
    Empty {
        /// The instruction.
        keyword: &'static str,
        /// The word as written.
        word: String,
    },
}

/// A change of the config, and the variables that it asked for in vain.
#[derive(Debug, Clone, PartialEq)]
pub struct Translated {
    /// The change.
    pub change: ConfigChange,
    /// Names of variables that are not set, each once.
    pub undefined: Vec<String>,
}

struct Expander<'a> {
    keyword: &'static str,
    escape: Escape,
    scope: &'a dyn Scope,
    undefined: Vec<String>,
}

impl Expander<'_> {
    fn word(&mut self, word: &Word) -> Result<String, InstructionError> {
        let expansion = word
            .expand(self.escape, self.scope)
            .map_err(|source| InstructionError::Expand { word: word.as_str().to_owned(), source })?;
        self.miss(expansion.undefined);
        Ok(expansion.text)
    }

    fn nonempty(&mut self, word: &Word) -> Result<String, InstructionError> {
        match self.word(word)? {
            text if text.is_empty() => {
                Err(InstructionError::Empty { keyword: self.keyword, word: word.as_str().to_owned() })
            }
            text => Ok(text),
        }
    }

    /// All pairs see the variables as they were before the instruction: `ENV abc=bye def=$abc` takes the old `abc`.
    fn pairs(&mut self, pairs: &Pairs) -> Result<Vec<(String, String)>, InstructionError> {
        pairs.pairs.iter().map(|pair| Ok((self.nonempty(&pair.name)?, self.word(&pair.value)?))).collect()
    }

    fn ports(&mut self, words: &[Word]) -> Result<Vec<String>, InstructionError> {
        let mut ports = Vec::new();
        for word in words {
            // One word may hold several ports: `EXPOSE $PORTS`.
            let (expanded, undefined) = expand_words(word.as_str(), self.escape, self.scope)
                .map_err(|source| InstructionError::Expand { word: word.as_str().to_owned(), source })?;
            self.miss(undefined);
            for text in expanded {
                ports.extend(port::parse(&text)?.iter().map(ToString::to_string));
            }
        }
        Ok(ports)
    }

    fn miss(&mut self, undefined: Vec<String>) {
        for name in undefined {
            if !self.undefined.contains(&name) {
                self.undefined.push(name);
            }
        }
    }
}

/// What an instruction does to the config; `None` where it does more than that (ADD, COPY, RUN) or nothing (ARG).
///
/// WORKDIR changes the config here; that a build also makes the directory is the builder's matter.
///
/// # Errors
/// [`InstructionError`].
pub fn config_change(
    instruction: &Instruction,
    escape: Escape,
    scope: &dyn Scope,
) -> Result<Option<Translated>, InstructionError> {
    let mut expander = Expander { keyword: instruction.keyword(), escape, scope, undefined: Vec::new() };
    let change = match instruction {
        Instruction::Cmd(line) => ConfigChange::Cmd(command(line)),
        Instruction::Entrypoint(line) => ConfigChange::Entrypoint(command(line)),
        Instruction::Env(pairs) => ConfigChange::Env(expander.pairs(pairs)?),
        Instruction::Label(pairs) => ConfigChange::Label(expander.pairs(pairs)?),
        Instruction::Expose(words) => ConfigChange::Expose(expander.ports(words)?),
        Instruction::Healthcheck(check) => ConfigChange::Healthcheck(healthcheck(check)),
        Instruction::Maintainer(author) => ConfigChange::Author(author.clone()),
        Instruction::Onbuild(trigger) => ConfigChange::OnBuild(trigger.expression.clone()),
        Instruction::Shell(shell) => ConfigChange::Shell(shell.words.clone()),
        Instruction::StopSignal(word) => {
            let text = expander.nonempty(word)?;
            signal::parse(&text)?;
            ConfigChange::StopSignal(text)
        }
        // Nothing is root, as with BuildKit; that a variable is not set, the build checks say.
        Instruction::User(word) => ConfigChange::User(expander.word(word)?),
        Instruction::Volume(words) => {
            ConfigChange::Volume(words.iter().map(|word| expander.nonempty(word)).collect::<Result<_, _>>()?)
        }
        Instruction::Workdir(word) => ConfigChange::Workdir(expander.nonempty(word)?),
        Instruction::Add(_) | Instruction::Arg(_) | Instruction::Copy(_) | Instruction::Run(_) => return Ok(None),
    };
    Ok(Some(Translated { change, undefined: expander.undefined }))
}

fn command(line: &CommandLine) -> Command {
    match line {
        CommandLine::Exec(words) => Command::Exec(words.clone()),
        CommandLine::Shell(text) => Command::Shell(text.clone()),
    }
}

fn healthcheck(check: &HealthInstruction) -> Healthcheck {
    let HealthInstruction::Command(HealthCommand { command, interval, timeout, start_period, start_interval, retries }) =
        check
    else {
        return Healthcheck { test: vec!["NONE".into()], ..Healthcheck::default() };
    };
    let test = match command {
        CommandLine::Exec(words) => std::iter::once("CMD".to_owned()).chain(words.iter().cloned()).collect(),
        CommandLine::Shell(text) => vec!["CMD-SHELL".into(), text.clone()],
    };
    let nanoseconds =
        |time: &Option<Duration>| time.map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX));
    Healthcheck {
        test,
        interval: nanoseconds(interval),
        timeout: nanoseconds(timeout),
        start_period: nanoseconds(start_period),
        start_interval: nanoseconds(start_interval),
        retries: i64::from(*retries),
    }
}

#[cfg(test)]
mod tests {
    use bedplate_dockerfile::change;
    use bedplate_oci::{ImageConfig, Platform, to_json};

    use super::*;
    use crate::ConfigEditor;

    fn changed(lines: &[&str]) -> Result<String, InstructionError> {
        let mut editor = ConfigEditor::new(ImageConfig::new(Platform::new("linux", "amd64")));
        for line in lines {
            let instruction = change::parse(line).unwrap();
            let scope: Vec<(String, String)> = (editor.config().config.env.iter())
                .filter_map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
                .collect();
            let translated = config_change(&instruction, Escape::Backslash, &scope)?.unwrap();
            editor.apply(translated.change);
        }
        Ok(String::from_utf8(to_json(&editor.finish().config)).unwrap())
    }

    #[test]
    fn lines_become_config() {
        let cases: [(&[&str], &str); 12] = [
            (&["CMD [\"bash\"]"], r#"{"Cmd":["bash"]}"#),
            (&["CMD echo $HOME"], r#"{"Cmd":["/bin/sh","-c","echo $HOME"]}"#),
            (
                &["SHELL [\"/bin/ash\",\"-ec\"]", "ENTRYPOINT x"],
                r#"{"Entrypoint":["/bin/ash","-ec","x"],"Shell":["/bin/ash","-ec"]}"#,
            ),
            (
                &["ENV abc=hello", "ENV abc=bye def=$abc", "ENV ghi=$abc"],
                r#"{"Env":["abc=bye","def=hello","ghi=bye"]}"#,
            ),
            (
                &["EXPOSE 80 443/tcp 53/UDP 7000-7001"],
                r#"{"ExposedPorts":{"443/tcp":{},"53/udp":{},"7000/tcp":{},"7001/tcp":{},"80/tcp":{}}}"#,
            ),
            (&["ENV P='1 2/udp'", "EXPOSE $P"], r#"{"ExposedPorts":{"1/tcp":{},"2/udp":{}},"Env":["P=1 2/udp"]}"#),
            (&["LABEL a=\"b c\" d=e"], r#"{"Labels":{"a":"b c","d":"e"}}"#),
            (&["HEALTHCHECK NONE"], r#"{"Healthcheck":{"Test":["NONE"]}}"#),
            (
                &["HEALTHCHECK --interval=5s --retries=2 CMD true"],
                r#"{"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000,"Retries":2}}"#,
            ),
            (&["WORKDIR /a", "WORKDIR b/../c"], r#"{"WorkingDir":"/a/c"}"#),
            (
                &["VOLUME [\"/v\"]", "VOLUME /w /x", "USER nobody:nogroup", "STOPSIGNAL sigterm"],
                r#"{"User":"nobody:nogroup","Volumes":{"/v":{},"/w":{},"/x":{}},"StopSignal":"sigterm"}"#,
            ),
            (&["ONBUILD RUN echo $x"], r#"{"OnBuild":["RUN echo $x"]}"#),
        ];
        for (lines, expected) in cases {
            assert_eq!(changed(lines).unwrap(), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for line in ["EXPOSE 0x50", "EXPOSE a:b", "STOPSIGNAL SIGNONE", "WORKDIR $nowhere", "ENV a=${b:?c}"] {
            assert!(changed(&[line]).is_err(), "{line}");
        }
    }
}

//! The words of an instruction in an image's history: those of BuildKit, so that tools that read them understand.

use bedplate_dockerfile::{Healthcheck, Instruction};
use bedplate_image::ConfigChange;
use bedplate_oci::{ContainerConfig, Created, History};
use bedplate_tree::Timestamp;

/// The comment of a step; it tells which builder's words these are.
pub(crate) const COMMENT: &str = "buildkit.dockerfile.v0";

/// An entry of the history.
pub(crate) fn entry(created: Timestamp, created_by: String, author: &str) -> History {
    History {
        created: Some(Created::new(created.seconds, created.nanoseconds)),
        created_by,
        author: author.to_owned(),
        comment: COMMENT.to_owned(),
        ..History::default()
    }
}

/// The words of an instruction that changes the config only; `config` is the one after the change.
pub(crate) fn of_change(instruction: &Instruction, change: &ConfigChange, config: &ContainerConfig) -> String {
    let pairs = |pairs: &[(String, String)]| {
        let words: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        words.join(" ")
    };
    match change {
        ConfigChange::Cmd(_) => format!("CMD {}", quoted(config.cmd.as_deref().unwrap_or_default())),
        ConfigChange::Entrypoint(_) => {
            format!("ENTRYPOINT {}", quoted(config.entrypoint.as_deref().unwrap_or_default()))
        }
        ConfigChange::Env(all) => format!("ENV {}", pairs(all)),
        ConfigChange::Label(all) => format!("LABEL {}", pairs(all)),
        ConfigChange::Expose(ports) => format!("EXPOSE [{}]", ports.join(" ")),
        ConfigChange::Healthcheck(_) => match instruction {
            Instruction::Healthcheck(Healthcheck::None) => "HEALTHCHECK NONE".to_owned(),
            _ => {
                let test = config.healthcheck.as_ref().map(|check| check.test.clone()).unwrap_or_default();
                format!("HEALTHCHECK {}", quoted(&test))
            }
        },
        ConfigChange::Author(author) => format!("MAINTAINER {author}"),
        ConfigChange::OnBuild(text) => format!("ONBUILD {text}"),
        ConfigChange::Shell(words) => format!("SHELL [{}]", words.join(" ")),
        ConfigChange::StopSignal(signal) => format!("STOPSIGNAL {signal}"),
        ConfigChange::User(user) => format!("USER {user}"),
        ConfigChange::Volume(paths) => format!("VOLUME [{}]", paths.join(" ")),
        ConfigChange::Workdir(_) => format!("WORKDIR {}", config.working_dir),
    }
}

/// The words of COPY and ADD; as BuildKit shows them, the name of a stage is not among them.
pub(crate) fn of_files(keyword: &str, flags: &[(&str, Option<&str>)], sources: &[String], destination: &str) -> String {
    let mut text = keyword.to_owned();
    for (flag, value) in flags {
        if let Some(value) = value {
            text.push_str(&format!(" {flag}{value}"));
        }
    }
    for source in sources {
        text.push(' ');
        text.push_str(source);
    }
    format!("{text} {destination} # buildkit")
}

/// The words of RUN: the build arguments that it sees, counted, and its command.
pub(crate) fn of_run<'a>(arguments: impl Iterator<Item = (&'a str, &'a str)>, words: &[String]) -> String {
    let arguments: Vec<String> = arguments.map(|(name, value)| format!("{name}={value}")).collect();
    let command = words.join(" ");
    match arguments.len() {
        0 => format!("RUN {command} # buildkit"),
        count => format!("RUN |{count} {} {command} # buildkit", arguments.join(" ")),
    }
}

/// Words as Go prints a list of quoted strings.
fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_buildkits() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(quoted(&words(&["nginx", "-g", "daemon off;"])), r#"["nginx" "-g" "daemon off;"]"#);
        assert_eq!(
            of_run([("A", "1"), ("B", "x y")].into_iter(), &words(&["/bin/sh", "-c", "make"])),
            "RUN |2 A=1 B=x y /bin/sh -c make # buildkit"
        );
        assert_eq!(of_run(std::iter::empty(), &words(&["/x"])), "RUN /x # buildkit");
        assert_eq!(
            of_files(
                "COPY",
                &[("--parents", Some("")), ("--chown=", Some("1")), ("--chmod=", None)],
                &words(&["a", "b"]),
                "/c/"
            ),
            "COPY --parents --chown=1 a b /c/ # buildkit"
        );
    }
}

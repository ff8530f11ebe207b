//! What can be given to a build: its targets, and the arguments, secrets and agents of one.
//!
//! Spec: `docker build --call=outline` and `--call=targets`.

use std::collections::BTreeSet;

use super::bases::{Bases, Origin};
use super::{Base, Judge, Subject, Surroundings};
use crate::mount::MountType;
use crate::position::Span;
use crate::{Dockerfile, Instruction, Scope as _};

/// A stage that can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    /// Its name, where it has one.
    pub name: Option<&'a str>,
    /// What the comment above it says of it.
    pub description: &'a str,
    /// Whether it is built where no target is named.
    pub is_default: bool,
    /// The base as written.
    pub base: &'a str,
    /// `--platform` as written.
    pub platform: &'a str,
    /// Its FROM.
    pub span: Span,
}

/// What a target takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// The target's name, where it has one.
    pub name: Option<String>,
    /// What the comment above it says of it.
    pub description: String,
    /// Build arguments, by line.
    pub arguments: Vec<OutlineArgument>,
    /// Secrets, by line.
    pub secrets: Vec<OutlineMount>,
    /// SSH agents, by line.
    pub agents: Vec<OutlineMount>,
}

/// A build argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlineArgument {
    /// Its name.
    pub name: String,
    /// Its value: the one given, or the default.
    pub value: String,
    /// What the comment above it says of it.
    pub description: String,
    /// Its ARG.
    pub span: Span,
}

/// A secret or an SSH agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlineMount {
    /// Its ID.
    pub id: String,
    /// Whether the build fails without it.
    pub required: bool,
    /// Its RUN.
    pub span: Span,
}

/// Lists the stages in order.
pub fn targets(file: &Dockerfile) -> Vec<Target<'_>> {
    let last = file.stages.len().saturating_sub(1);
    let target = |index: usize| {
        let stage = &file.stages[index];
        let name = stage.name().map(|name| name.as_str());
        Target {
            name,
            description: description(&stage.node.comments, name.unwrap_or_default()),
            is_default: index == last,
            base: stage.from.image.as_str(),
            platform: stage.from.platform.as_ref().map_or("", |word| word.as_str()),
            span: stage.node.span,
        }
    };
    (0..file.stages.len()).map(target).collect()
}

/// Tells what the subject's target takes, with all that it is built from.
pub fn outline(subject: &Subject<'_>) -> Outline {
    let file = subject.file;
    let target = subject.target.unwrap_or(file.stages.len().saturating_sub(1));
    let subject = Subject { target: Some(target), ..*subject };
    let mut judge = Judge { subject, found: Vec::new() };
    let bases = judge.bases(&Nothing);
    let states = judge.stages(&bases, &mut Nothing);
    let stage = &file.stages[target];
    let name = stage.name().map(|name| name.as_str().to_owned());
    let mut found = Outline {
        description: description(&stage.node.comments, name.as_deref().unwrap_or_default()).to_owned(),
        name,
        ..Outline::default()
    };
    let mut collector = Collector { judge: &judge, bases: &bases, found: &mut found, seen: BTreeSet::new() };
    // The nearest stage has the last word on an argument that several declare.
    for index in nearest_first(file, &bases, target) {
        collector.stage(index, |name| states[index].as_ref().and_then(|scope| scope.value(name)).map(str::to_owned));
    }
    found.arguments.sort_by_key(|argument| argument.span.start);
    found.secrets.sort_by_key(|mount| mount.span.start);
    found.agents.sort_by_key(|mount| mount.span.start);
    found
}

/// The target, what it is built on, and what it copies from.
fn nearest_first(file: &Dockerfile, bases: &Bases, target: usize) -> Vec<usize> {
    let mut order = Vec::new();
    let mut open = vec![target];
    while let Some(index) = open.pop() {
        if order.contains(&index) {
            continue;
        }
        order.push(index);
        open.extend(file.named_in(index).into_iter().rev());
        if let Origin::Stage(other) = bases.origins[index] {
            open.push(other);
        }
    }
    order
}

struct Collector<'a> {
    judge: &'a Judge<'a>,
    bases: &'a Bases,
    found: &'a mut Outline,
    seen: BTreeSet<String>,
}

impl Collector<'_> {
    fn stage(&mut self, index: usize, value: impl Fn(&str) -> Option<String>) {
        let file = self.judge.subject.file;
        for node in &file.stages[index].instructions {
            match &node.instruction {
                Instruction::Arg(arguments) => {
                    for argument in &arguments.arguments {
                        let name = argument.name.as_str();
                        let given = self.judge.subject.build_args.value(name).is_some();
                        // Without a value of its own, it is the one before the first FROM.
                        if argument.default.is_none() && !given && self.bases.values.contains_key(name) {
                            self.global(name);
                        } else {
                            self.argument(name, value(name).unwrap_or_default(), &node.comments, node.span);
                        }
                    }
                }
                Instruction::Run(run) => {
                    for mount in &run.mounts {
                        // A mount that cannot be resolved is the build's to refuse.
                        let Ok(mount) = mount.resolve(|text| Ok(text.to_owned())) else { continue };
                        let list = match mount.kind {
                            MountType::Secret => &mut self.found.secrets,
                            MountType::Ssh => &mut self.found.agents,
                            _ => continue,
                        };
                        let target = mount.target.as_deref().and_then(|target| target.rsplit('/').next());
                        let id = mount.id.as_deref().or(mount.source.as_deref()).or(target).unwrap_or("default");
                        if list.iter().all(|known| known.id != id) {
                            let span = node.span;
                            list.push(OutlineMount { id: id.to_owned(), required: mount.required, span });
                        }
                    }
                }
                _ => {}
            }
        }
        for name in self.bases.used[index].clone() {
            self.global(&name);
        }
    }

    /// An argument that stands before the first FROM, and those in its default.
    fn global(&mut self, name: &str) {
        let file = self.judge.subject.file;
        for node in &file.global {
            let Instruction::Arg(arguments) = &node.instruction else { continue };
            for argument in arguments.arguments.iter().filter(|argument| argument.name.as_str() == name) {
                let value = self.bases.values.get(name).cloned().unwrap_or_default();
                if self.seen.contains(name) {
                    return;
                }
                self.argument(name, value, &node.comments, node.span);
                let used = argument.default.as_ref().map(|word| self.judge.used(word, &self.bases.values));
                used.into_iter().flatten().for_each(|name| self.global(&name));
            }
        }
    }

    fn argument(&mut self, name: &str, value: String, comments: &[String], span: Span) {
        if self.seen.insert(name.to_owned()) {
            let description = description(comments, name).to_owned();
            self.found.arguments.push(OutlineArgument { name: name.to_owned(), value, description, span });
        }
    }
}

/// What the comment that begins with a name says behind it.
fn description<'c>(comments: &'c [String], name: &str) -> &'c str {
    let behind = |comment: &'c String| comment.strip_prefix(name)?.strip_prefix(' ').map(str::trim);
    if name.is_empty() { "" } else { comments.iter().find_map(behind).unwrap_or_default() }
}

/// Base images do not matter for what a file takes.
struct Nothing;

impl Surroundings for Nothing {
    fn base(&mut self, _name: &str, _platform: Option<&str>) -> Option<Base> {
        None
    }

    fn is_image_name(&self, _text: &str) -> bool {
        true
    }

    fn platform(&self, _text: &str) -> Option<(String, String)> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const FILE: &str = "# GO sets the version\nARG GO=1.22\nARG BASE=golang:$GO\nARG UNUSED\n\
        FROM $BASE AS base\n# JOBS is how many\nARG JOBS=2 GO\n\
        RUN --mount=type=secret,id=token,required --mount=type=ssh make\n\
        FROM scratch AS other\nARG OTHER\n\
        # release is the result\nFROM scratch AS release\nARG LEVEL\nCOPY --from=base /a /a\n";

    #[test]
    fn an_outline_holds_what_the_target_needs() {
        let file = Dockerfile::parse(FILE.as_bytes()).unwrap();
        let predefined = BTreeMap::new();
        let given = [("LEVEL".to_owned(), "9".to_owned())];
        let subject = Subject { file: &file, build_args: &given, predefined: &predefined, ignore: None, target: None };
        let found = outline(&subject);
        assert_eq!((found.name.as_deref(), found.description.as_str()), (Some("release"), "is the result"));
        let arguments: Vec<_> = found
            .arguments
            .iter()
            .map(|a| (a.name.as_str(), a.value.as_str(), a.description.as_str(), a.span.start.line))
            .collect();
        assert_eq!(
            arguments,
            [
                ("GO", "1.22", "sets the version", 2),
                ("BASE", "golang:1.22", "", 3),
                ("JOBS", "2", "is how many", 7),
                ("LEVEL", "9", "", 13)
            ]
        );
        let mounts = |mounts: &[OutlineMount]| -> Vec<_> {
            mounts.iter().map(|mount| (mount.id.clone(), mount.required)).collect()
        };
        assert_eq!(mounts(&found.secrets), [("token".to_owned(), true)]);
        assert_eq!(mounts(&found.agents), [("default".to_owned(), false)]);
        let other = outline(&Subject { target: Some(1), ..subject });
        assert_eq!(other.arguments.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["OTHER"]);
        let names: Vec<_> = targets(&file).iter().map(|t| (t.name, t.is_default, t.base)).collect();
        let expected = [("base", false, "$BASE"), ("other", false, "scratch"), ("release", true, "scratch")];
        assert_eq!(names, expected.map(|(name, last, base)| (Some(name), last, base)));
    }
}

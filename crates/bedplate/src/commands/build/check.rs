//! What a build can be asked instead of an image: its checks, its targets, its arguments.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use bedplate_build::{predefined_arguments, target_stage};
use bedplate_dockerfile::check::{
    Base, CheckOptions, Outline, OutlineMount, Subject, Surroundings, Target, check, outline, targets,
};
use bedplate_dockerfile::{Dockerfile, ParseError, Span, Warning, excerpt_of_lines};
use bedplate_fetch::base64;
use bedplate_oci::{Platform, Reference, SCRATCH};
use bedplate_store::Store;
use serde_json::{Value, json};

use super::contexts::Contexts;
use super::input::Input;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::format;

/// The build argument that goes before `# check=`.
const OPTIONS_ARGUMENT: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// What a build is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Build,
    Check,
    Outline,
    Targets,
}

/// `--call=METHOD[,format=json][,ignorestatus=true]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) method: Method,
    json: bool,
    ignore_status: bool,
}

impl std::str::FromStr for Call {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut call = Self { method: Method::Build, json: false, ignore_status: false };
        for (index, field) in text.split(',').enumerate() {
            match (field.split_once('='), index) {
                (Some(("format", "json")), _) => call.json = true,
                (Some(("format", "text")), _) => call.json = false,
                (Some(("ignorestatus", value)), _) => {
                    call.ignore_status = value.parse().map_err(|_| format!("{field:?} is neither true nor false"))?;
                }
                (None, 0) => {
                    call.method = match field {
                        "build" => Method::Build,
                        // The second is the name that BuildKit has for it.
                        "check" | "lint" => Method::Check,
                        "outline" => Method::Outline,
                        "targets" => Method::Targets,
                        _ => return Err("expected build, check, outline or targets".to_owned()),
                    };
                }
                _ => return Err(format!("{field:?}: expected format=text|json or ignorestatus=true|false")),
            }
        }
        Ok(call)
    }
}

impl Call {
    /// The call of `--check`.
    pub(super) const CHECK: Self = Self { method: Method::Check, json: false, ignore_status: false };
}

/// A file with all that its judgement depends on.
pub(super) struct Judge<'a> {
    pub(super) file: &'a Dockerfile,
    pub(super) input: &'a Input,
    pub(super) store: &'a Store,
    pub(super) contexts: &'a Contexts<'a>,
    pub(super) build_args: &'a [(String, String)],
    pub(super) target: Option<&'a str>,
    /// The platform asked for, and that of this machine.
    pub(super) platforms: (Option<&'a Platform>, &'a Platform),
}

/// What the checks found, and whether that is an error.
pub(super) struct Findings {
    warnings: Vec<Warning>,
    fatal: bool,
}

impl Judge<'_> {
    /// Judges the file: the target and what it needs, or all stages.
    ///
    /// # Errors
    /// Options of `# check=` that cannot be read.
    pub(super) fn findings(&self, context: &Context) -> Result<Findings, Failure> {
        let given = self.build_args.iter().rev().find(|(name, _)| name == OPTIONS_ARGUMENT);
        let text = given.map(|(_, value)| value.as_str()).or(self.file.directives.check.as_deref());
        let options = CheckOptions::parse(text.unwrap_or_default())
            .map_err(|error| Failure::from(error).context("cannot read the options of the build checks"))?;
        for (name, near) in options.unknown() {
            let near = near.map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
            context.warn(&format_args!("there is no build check {name:?}{near}"));
        }
        let predefined = self.predefined();
        let (asked, host) = self.platforms;
        let mut at_hand = AtHand { store: self.store, contexts: self.contexts, asked, host };
        let warnings = check(&self.subject(&predefined), &options, &mut at_hand);
        Ok(Findings { fatal: options.error && !warnings.is_empty(), warnings })
    }

    /// Answers `--call`; the result is the exit status.
    ///
    /// # Errors
    /// As [`Judge::findings`]; a closed stdout; findings that the file calls errors.
    pub(super) fn answer(&self, call: Call, context: &Context) -> Result<u8, Failure> {
        match call.method {
            Method::Targets if call.json => print_json(&targets_json(&targets(self.file), self.input)),
            Method::Targets => format::print(&targets_text(&targets(self.file))),
            Method::Build | Method::Outline => {
                let predefined = self.predefined();
                let found = outline(&self.subject(&predefined));
                match call.json {
                    true => print_json(&outline_json(&found, self.input)),
                    false => format::print(&outline_text(&found)),
                }
            }
            Method::Check => return self.check(call, context),
        }
        .map(|()| 0)
    }

    fn check(&self, call: Call, context: &Context) -> Result<u8, Failure> {
        let findings = self.findings(context)?;
        if call.json {
            let error = findings.fatal.then(|| json!({"message": findings.violation(), "location": {}}));
            print_json(&findings_json(&findings.warnings, self.input, error))?;
        } else {
            format::print(&findings_text(&findings.warnings, self.input))?;
        }
        if findings.fatal && !call.json {
            return Err(findings.failure());
        }
        Ok(u8::from(!findings.warnings.is_empty() && !call.ignore_status))
    }

    fn predefined(&self) -> BTreeMap<String, String> {
        let (asked, host) = self.platforms;
        predefined_arguments(asked.unwrap_or(host), host, target_stage(self.file, self.target))
    }

    fn subject<'s>(&'s self, predefined: &'s BTreeMap<String, String>) -> Subject<'s> {
        // A target that there is none of is the build's to refuse.
        let target = self.target.and_then(|name| self.file.find_stage(name, self.file.stages.len()));
        let ignore = self.input.context.ignore();
        Subject { file: self.file, build_args: self.build_args, predefined, ignore, target }
    }
}

/// Build arguments that are for the build and not for the checks.
pub(super) fn without_options(build_args: &[(String, String)]) -> Vec<(String, String)> {
    build_args.iter().filter(|(name, _)| name != OPTIONS_ARGUMENT).cloned().collect()
}

/// Answers `--call=check,format=json` for a file that cannot be parsed.
pub(super) fn unparsed_json(error: &ParseError, input: &Input) -> Result<u8, Failure> {
    let span = Span { start: error.position, end: error.position };
    let error = json!({"message": error.to_string(), "location": location(span)});
    print_json(&findings_json(&[], input, Some(error)))?;
    Ok(1)
}

impl Call {
    /// Whether the answer is read by a program even where the file is malformed.
    pub(super) fn tells_faults(self) -> bool {
        self.method == Method::Check && self.json
    }
}

impl Findings {
    /// What was found.
    pub(super) fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Says them at the end of a build, as BuildKit does.
    pub(super) fn say(&self) {
        if self.warnings.is_empty() {
            return;
        }
        let found = match self.warnings.len() {
            1 => "1 warning found".to_owned(),
            count => format!("{count} warnings found"),
        };
        let mut text = format!("\n {found} (use --check to expand):\n");
        for warning in &self.warnings {
            let _ = writeln!(text, " - {warning}");
        }
        // A closed stderr is the user's choice.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Refuses the build where the file calls findings errors.
    ///
    /// # Errors
    /// The rules that found something.
    pub(super) fn refuse(&self) -> Result<(), Failure> {
        if self.fatal { Err(self.failure()) } else { Ok(()) }
    }

    fn failure(&self) -> Failure {
        Failure::new(Kind::User, self.violation())
            .hint("mend them, or name them in \"# check=skip=\" of the Dockerfile")
    }

    fn violation(&self) -> String {
        let mut names: Vec<&str> = self.warnings.iter().map(|warning| warning.rule().name()).collect();
        names.sort_unstable();
        names.dedup();
        format!("lint violation found for rules: {}", names.join(", "))
    }
}

/// What the store and this machine know.
struct AtHand<'a> {
    store: &'a Store,
    contexts: &'a Contexts<'a>,
    asked: Option<&'a Platform>,
    host: &'a Platform,
}

impl Surroundings for AtHand<'_> {
    fn base(&mut self, name: &str, platform: Option<&str>) -> Option<Base> {
        if self.contexts.know(name) {
            return None;
        }
        let named: Option<Platform> = platform.and_then(|text| text.parse().ok());
        let wanted = named.as_ref().or(self.asked);
        // What is not there, the build will miss; here it only means that less can be judged.
        let image = self.store.resolve_for(name, wanted).ok()?;
        let config = &image.config.config;
        let env = config.env.iter().filter_map(|line| line.split_once('='));
        let (expected, found) = (wanted.unwrap_or(self.host), &image.config.platform);
        let differ = expected.os != found.os || expected.architecture != found.architecture;
        Some(Base {
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            has_shell: config.shell.as_ref().is_some_and(|shell| !shell.is_empty()),
            triggers: config.on_build.clone(),
            platforms: differ.then(|| (expected.to_string(), found.to_string())),
        })
    }

    fn is_image_name(&self, text: &str) -> bool {
        text == SCRATCH
            || Reference::parse(text).is_ok()
            || self.contexts.know(text)
            || (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }

    fn platform(&self, text: &str) -> Option<(String, String)> {
        let platform: Platform = text.parse().ok()?;
        Some((platform.os, platform.architecture))
    }
}

fn findings_text(warnings: &[Warning], input: &Input) -> String {
    let mut text = match warnings.len() {
        0 => return "Check complete, no warnings found.\n".to_owned(),
        1 => "Check complete, 1 warning has been found!\n".to_owned(),
        count => format!("Check complete, {count} warnings have been found!\n"),
    };
    for warning in warnings {
        let rule = warning.rule();
        let url = rule.url().map_or_else(String::new, |url| format!(" - {url}"));
        let _ = write!(text, "\nWARNING: {rule}{url}\n{}\nhint: {}\n", warning.kind, rule.mend());
        if let Some(excerpt) = excerpt_of_lines(&input.dockerfile, warning.span) {
            let rule = "-".repeat(20);
            let _ = writeln!(text, "{}:{}\n{rule}\n{excerpt}\n{rule}", input.name, warning.span.start.line);
        }
    }
    text
}

fn findings_json(warnings: &[Warning], input: &Input, error: Option<Value>) -> Value {
    let warning = |warning: &Warning| {
        let rule = warning.rule();
        let mut value = json!({"ruleName": rule.name(), "description": rule.description()});
        if let Some(url) = rule.url() {
            value["url"] = url.into();
        }
        value["detail"] = warning.kind.to_string().into();
        value["location"] = location(warning.span);
        value
    };
    let mut value = json!({
        "warnings": warnings.iter().map(warning).collect::<Vec<_>>(),
        "sources": [{"filename": input.name, "language": "Dockerfile", "data": base64(&input.dockerfile)}],
    });
    if let Some(error) = error {
        value["buildError"] = error;
    }
    value
}

/// Lines only: so they are in BuildKit's answers, too.
pub(super) fn location(span: Span) -> Value {
    json!({"ranges": [{"start": {"line": span.start.line}, "end": {"line": span.end.line.max(span.start.line)}}]})
}

fn targets_text(targets: &[Target<'_>]) -> String {
    let mut rows = vec![vec!["TARGET".to_owned(), "DESCRIPTION".to_owned()]];
    rows.extend(targets.iter().map(|target| {
        let name = match (target.name, target.is_default) {
            (Some(name), true) => format!("{name} (default)"),
            (None, true) => "(default)".to_owned(),
            (name, false) => name.unwrap_or_default().to_owned(),
        };
        vec![name, target.description.to_owned()]
    }));
    columns(&rows)
}

fn targets_json(targets: &[Target<'_>], input: &Input) -> Value {
    let target = |target: &Target<'_>| {
        let mut value = json!({});
        put(&mut value, "name", target.name.unwrap_or_default());
        put(&mut value, "description", target.description);
        if target.is_default {
            value["default"] = true.into();
        }
        put(&mut value, "base", target.base);
        put(&mut value, "platform", target.platform);
        value["location"] = location(target.span);
        value
    };
    json!({"targets": targets.iter().map(target).collect::<Vec<_>>(), "sources": [base64(&input.dockerfile)]})
}

fn outline_text(outline: &Outline) -> String {
    let mut text = String::new();
    if outline.name.is_some() || !outline.description.is_empty() {
        let _ = writeln!(text, "TARGET:      {}", outline.name.as_deref().unwrap_or("(default)"));
        if !outline.description.is_empty() {
            let _ = writeln!(text, "DESCRIPTION: {}", outline.description);
        }
        text.push('\n');
    }
    let heading = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    if !outline.arguments.is_empty() {
        let mut rows = vec![heading(&["BUILD ARG", "VALUE", "DESCRIPTION"])];
        let row = |a: &bedplate_dockerfile::check::OutlineArgument| {
            vec![a.name.clone(), a.value.clone(), a.description.clone()]
        };
        rows.extend(outline.arguments.iter().map(row));
        text += &columns(&rows);
        text.push('\n');
    }
    for (title, mounts) in [("SECRET", &outline.secrets), ("SSH", &outline.agents)] {
        if !mounts.is_empty() {
            let mut rows = vec![heading(&[title, "REQUIRED"])];
            let required = |mount: &OutlineMount| if mount.required { "true" } else { "" }.to_owned();
            rows.extend(mounts.iter().map(|mount| vec![mount.id.clone(), required(mount)]));
            text += &columns(&rows);
            text.push('\n');
        }
    }
    text
}

fn outline_json(outline: &Outline, input: &Input) -> Value {
    let mut value = json!({});
    put(&mut value, "name", outline.name.as_deref().unwrap_or_default());
    put(&mut value, "description", &outline.description);
    let arguments = outline.arguments.iter().map(|argument| {
        let mut value = json!({"name": argument.name});
        put(&mut value, "description", &argument.description);
        put(&mut value, "value", &argument.value);
        value["location"] = location(argument.span);
        value
    });
    let mount = |mount: &OutlineMount| {
        let mut value = json!({"name": mount.id});
        if mount.required {
            value["required"] = true.into();
        }
        value["location"] = location(mount.span);
        value
    };
    let lists = [
        ("args", arguments.collect::<Vec<_>>()),
        ("secrets", outline.secrets.iter().map(mount).collect()),
        ("ssh", outline.agents.iter().map(mount).collect()),
    ];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        value[name] = list.into();
    }
    value["sources"] = json!([base64(&input.dockerfile)]);
    value
}

/// A field that is left out where it is empty.
fn put(value: &mut Value, name: &str, text: &str) {
    if !text.is_empty() {
        value[name] = text.into();
    }
}

/// Columns three blanks apart.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0) + 3).collect();
    let mut text = String::new();
    for row in rows {
        let line: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn print_json(value: &Value) -> Result<(), Failure> {
    format::print(&format!("{value:#}\n"))
}

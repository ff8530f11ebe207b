//! `bedplate inspect`: all that is known of images and containers, in the JSON that Docker shows.

use std::io::{self, Write as _};

use bedplate_oci::{Created, annotation};
use bedplate_store::{ContainerState, Image, Status, Store, StoreError};
use bedplate_template::{Shape, Template};
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::format;

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub(crate) struct Args {
    /// Format the output by a Go template, or "json" for JSON on one line
    #[arg(short, long, value_name = "TEMPLATE", allow_hyphen_values = true)]
    format: Option<String>,
    /// Show the sizes of containers
    #[arg(short, long)]
    size: bool,
    /// Look for objects of this type only
    #[arg(long, value_name = "TYPE")]
    r#type: Option<Type>,
    /// Names or IDs of images or containers, or beginnings of IDs
    #[arg(required = true, value_name = "NAME|ID")]
    objects: Vec<String>,
}

impl Args {
    /// The same, for objects of one type: `image inspect`.
    pub(crate) fn of(self, only: Type) -> Self {
        Self { r#type: Some(only), ..self }
    }
}

/// What follows the options in the help; the functions come from where they are made.
fn examples() -> String {
    let functions: Vec<&str> = bedplate_template::FUNCTIONS.iter().map(|(name, _)| *name).collect();
    format!(
        "The JSON is Docker's, with \"Base\" added: true for an image that was not built on another one, as far as its \
         manifest tells. Templates are Go's, with these functions: {}.\n\n\
         Examples:\n  \
         bedplate inspect --format '{{{{json .Config.Env}}}}' hello\n  \
         bedplate inspect --type image --format '{{{{.Id}}}} {{{{.Architecture}}}}' debian:trixie hello",
        functions.join(", ")
    )
}

/// The types of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Type {
    Image,
    Container,
}

/// Prints what is found, and then says what is not.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let template = match args.format.as_deref() {
        None | Some("" | "json") => None,
        Some(text) => Some(Template::parse(text).map_err(|error| Failure::new(Kind::User, error.to_string()))?),
    };
    let store = context.store()?;
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for object in &args.objects {
        match look_up(&store, object, args.r#type)? {
            Some(Found::Image(image)) => found.push(describe_image(&store, &image)?),
            Some(Found::Container(state)) => found.push(describe_container(&store, &state, args.size)?),
            None => missing.push(not_found(object, args.r#type)),
        }
    }
    format::print(&match (&template, args.format.as_deref()) {
        (Some(template), _) => by_template(template, &found)?,
        (None, Some("json")) => format!("{}\n", Value::Array(found)),
        (None, _) => indented(&Value::Array(found)),
    })?;
    if missing.is_empty() {
        return Ok(0);
    }
    let mut stderr = io::stderr().lock();
    for line in missing {
        // Docker's words, which scripts look for.
        writeln!(stderr, "{line}")?;
    }
    Err(Failure::silent(1))
}

enum Found {
    Image(Box<Image>),
    Container(Box<ContainerState>),
}

/// Containers come first, as with Docker.
fn look_up(store: &Store, object: &str, only: Option<Type>) -> Result<Option<Found>, Failure> {
    if only != Some(Type::Image) {
        match store.find_container(object) {
            Ok(state) => return Ok(Some(Found::Container(Box::new(state)))),
            Err(StoreError::NoSuchContainer { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if only != Some(Type::Container) {
        match store.resolve(object) {
            Ok(image) => return Ok(Some(Found::Image(Box::new(image)))),
            Err(StoreError::NoSuchImage { .. } | StoreError::Reference(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn not_found(object: &str, only: Option<Type>) -> String {
    let what = match only {
        None => "object",
        Some(Type::Image) => "image",
        Some(Type::Container) => "container",
    };
    format!("Error: No such {what}: {object}")
}

fn by_template(template: &Template, found: &[Value]) -> Result<String, Failure> {
    let mut text = String::new();
    for value in found {
        let rendered = template.render(value, &Shape::DOCKER);
        text.push_str(&rendered.map_err(|error| Failure::new(Kind::User, error.to_string()))?);
        text.push('\n');
    }
    if found.is_empty() {
        text.push('\n');
    }
    Ok(text)
}

/// Docker indents by four spaces.
fn indented(value: &Value) -> String {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    match serde::Serialize::serialize(value, &mut serializer) {
        Ok(()) => format!("{}\n", String::from_utf8_lossy(&bytes)),
        // A JSON value always can be written to memory.
        Err(_) => format!("{value}\n"),
    }
}

/// An image as `docker image inspect` shows it.
///
/// # Errors
/// Where the store cannot be read.
pub(crate) fn describe_image(store: &Store, image: &Image) -> Result<Value, Failure> {
    let config = &image.config;
    let names: Vec<String> = image.names.iter().map(bedplate_oci::Reference::familiar).collect();
    let annotations = &image.manifest.annotations;
    let parent = annotations.get(annotation::BASE_DIGEST);
    let base = parent.is_none() && !annotations.contains_key(annotation::BASE_NAME);
    let last = config.history.last();
    let mut fields = Fields::default();
    fields.set("Id", image.id().to_string());
    fields.set("RepoTags", names);
    fields.set("RepoDigests", image.repo_digests());
    fields.set("Parent", parent.cloned().unwrap_or_default());
    fields.set("Comment", last.map(|step| step.comment.clone()).unwrap_or_default());
    fields.set("Created", time(config.created));
    fields.set("DockerVersion", text_of(config.other.get("docker_version")));
    fields.set("Author", config.author.clone());
    fields.set("Config", container_config(image, ""));
    fields.set("Architecture", config.platform.architecture.clone());
    if let Some(variant) = config.platform.variant.as_deref().filter(|variant| !variant.is_empty()) {
        fields.set("Variant", variant);
    }
    fields.set("Os", config.platform.os.clone());
    fields.set("Size", store.unpacked_size(image)?);
    fields.set("GraphDriver", json!({"Data": null, "Name": "bedplate"}));
    let layers: Vec<String> = image.diff_ids().iter().map(ToString::to_string).collect();
    fields.set("RootFS", json!({"Type": "layers", "Layers": layers}));
    fields.set("Metadata", json!({"LastTagTime": ZERO_TIME}));
    fields.set(
        "Descriptor",
        json!({
            "mediaType": image.descriptor.media_type,
            "digest": image.descriptor.digest,
            "size": image.descriptor.size,
        }),
    );
    if !annotations.is_empty() {
        fields.set("Annotations", json!(annotations));
    }
    fields.set("Base", base);
    Ok(fields.value())
}

/// A container as `docker container inspect` shows it, as far as there is something to show.
fn describe_container(store: &Store, state: &ContainerState, size: bool) -> Result<Value, Failure> {
    let image = match &state.image {
        Some(id) => store.resolve(&id.to_string()).ok(),
        None => None,
    };
    let (path, words) = match state.command.split_first() {
        Some((path, words)) => (path.as_str(), words),
        None => ("", &[][..]),
    };
    let running = state.status == Status::Running;
    let mut fields = Fields::default();
    fields.set("Id", state.id.clone());
    fields.set("Created", Created::from_seconds(state.created).to_string());
    fields.set("Path", path);
    fields.set("Args", words.to_vec());
    fields.set(
        "State",
        json!({
            "Status": status_word(state.status),
            "Running": running,
            "Paused": false,
            "Restarting": false,
            "OOMKilled": false,
            "Dead": false,
            "Pid": if running { state.pid.unwrap_or(0) } else { 0 },
            "ExitCode": state.exit_code.unwrap_or(0),
            "Error": "",
            "StartedAt": time(state.started.map(Created::from_seconds)),
            "FinishedAt": time(state.finished.map(Created::from_seconds)),
        }),
    );
    fields.set("Image", state.image.map(|id| id.to_string()).unwrap_or_default());
    fields.set("Name", format!("/{}", state.name));
    fields.set("RestartCount", 0);
    fields.set("Driver", "bedplate");
    fields.set("Platform", "linux");
    if size {
        let root = image.as_ref().map(|image| store.unpacked_size(image)).transpose()?.unwrap_or(0);
        fields.set("SizeRootFs", root);
    }
    fields.set("HostConfig", json!({"AutoRemove": state.remove}));
    fields.set("Mounts", Vec::<String>::new());
    let config = match &image {
        Some(image) => container_config(image, &state.image_name),
        None => json!({"Image": state.image_name}),
    };
    fields.set("Config", config);
    fields.set("NetworkSettings", json!({"Ports": {}, "Networks": {}}));
    Ok(fields.value())
}

fn status_word(status: Status) -> &'static str {
    match status {
        Status::Created => "created",
        Status::Running => "running",
        Status::Exited => "exited",
    }
}

/// Docker's `Config`, with the fields of a container that an image leaves empty, in the order of its Go type.
fn container_config(image: &Image, name: &str) -> Value {
    let config = &image.config.config;
    let list = |words: &[String]| if words.is_empty() { Value::Null } else { json!(words) };
    let words = |words: &Option<Vec<String>>| words.as_ref().map_or(Value::Null, |words| json!(words));
    let set = |names: &std::collections::BTreeSet<String>| -> Value {
        names.iter().map(|name| (name.clone(), json!({}))).collect::<Map<_, _>>().into()
    };
    let mut fields = Fields::default();
    // What Docker's older builder left of its containers in an image is shown, as Docker shows it.
    let left = |field: &str, default: Value| config.other.get(field).cloned().unwrap_or(default);
    fields.set("Hostname", left("Hostname", json!("")));
    fields.set("Domainname", left("Domainname", json!("")));
    fields.set("User", config.user.clone());
    for stream in ["AttachStdin", "AttachStdout", "AttachStderr"] {
        fields.set(stream, left(stream, json!(false)));
    }
    if !config.exposed_ports.is_empty() {
        fields.set("ExposedPorts", set(&config.exposed_ports));
    }
    for option in ["Tty", "OpenStdin", "StdinOnce"] {
        fields.set(option, left(option, json!(false)));
    }
    fields.set("Env", list(&config.env));
    fields.set("Cmd", words(&config.cmd));
    if let Some(check) = &config.healthcheck {
        fields.set("Healthcheck", json!(check));
    }
    fields.set("Image", if name.is_empty() { left("Image", json!("")) } else { json!(name) });
    fields.set("Volumes", if config.volumes.is_empty() { Value::Null } else { set(&config.volumes) });
    fields.set("WorkingDir", config.working_dir.clone());
    fields.set("Entrypoint", words(&config.entrypoint));
    fields.set("OnBuild", list(&config.on_build));
    fields.set("Labels", if config.labels.is_empty() { Value::Null } else { json!(config.labels) });
    if !config.stop_signal.is_empty() {
        fields.set("StopSignal", config.stop_signal.clone());
    }
    if let Some(shell) = &config.shell {
        fields.set("Shell", json!(shell));
    }
    // What this program does not know is shown as it is, but never in place of what it does.
    for (field, value) in &config.other {
        fields.0.entry(field.clone()).or_insert_with(|| value.clone());
    }
    fields.value()
}

/// Go's zero time, which Docker shows for what never happened.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

fn time(time: Option<Created>) -> String {
    time.map_or_else(|| ZERO_TIME.to_owned(), |time| time.to_string())
}

fn text_of(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The fields of an object, in the order in which they are set.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    fn value(self) -> Value {
        Value::Object(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_as_docker_does() {
        assert_eq!(indented(&json!([])), "[]\n");
        assert_eq!(
            indented(&json!([{"a": {}, "b": [1]}])),
            "[\n    {\n        \"a\": {},\n        \"b\": [\n            1\n        ]\n    }\n]\n"
        );
    }

    #[test]
    fn a_template_prints_a_line_for_each_object_and_one_for_none() {
        let template = Template::parse("{{.Id}}").unwrap();
        let found = [json!({"Id": "a"}), json!({"Id": "b"})];
        assert_eq!(by_template(&template, &found).unwrap(), "a\nb\n");
        assert_eq!(by_template(&template, &[]).unwrap(), "\n");
        assert_eq!(by_template(&template, &[json!({})]).unwrap_err().exit_status(), 1);
    }

    #[test]
    fn what_is_missing_is_said_in_dockers_words() {
        let cases = [
            (None, "Error: No such object: x"),
            (Some(Type::Image), "Error: No such image: x"),
            (Some(Type::Container), "Error: No such container: x"),
        ];
        for (only, expected) in cases {
            assert_eq!(not_found("x", only), expected);
        }
    }
}

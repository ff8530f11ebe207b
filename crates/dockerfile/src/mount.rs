//! The options of `RUN --mount`.
//!
//! They may have variables, so a [`MountSpec`] keeps them as written and [`MountSpec::resolve`]
//! makes a typed [`Mount`] of them once the values are known.

use crate::expand::ExpandError;
use crate::instruction::Word;
use crate::suggest;

/// The kind of a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountType {
    /// Files of the context, a stage or an image; the default.
    #[default]
    Bind,
    /// A directory that lives from build to build.
    Cache,
    /// An empty file system in memory.
    Tmpfs,
    /// A file or variable that never enters the image.
    Secret,
    /// The socket of an SSH agent.
    Ssh,
}

/// How builds at the same time use a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// All at once; the default.
    #[default]
    Shared,
    /// Each has its own.
    Private,
    /// One after another.
    Locked,
}

/// A mount of a RUN step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// `type`.
    pub kind: MountType,
    /// `from`: a stage or an image.
    pub from: Option<String>,
    /// `source`: a path in `from` or the context.
    pub source: Option<String>,
    /// `target`: the path in the container.
    pub target: Option<String>,
    /// Whether writing is refused. Default: yes for bind, secret and ssh, no for cache and tmpfs.
    pub read_only: bool,
    /// `id` of a cache, secret or agent.
    pub id: Option<String>,
    /// `sharing` of a cache, where given.
    pub sharing: Option<Sharing>,
    /// `required`: a secret or agent that is missing fails the step.
    pub required: bool,
    /// `size` of a tmpfs in bytes.
    pub size: Option<u64>,
    /// `mode`, octal.
    pub mode: Option<u32>,
    /// `uid`.
    pub uid: Option<u32>,
    /// `gid`.
    pub gid: Option<u32>,
    /// `env`: the variable that a secret becomes.
    pub env: Option<String>,
}

/// The options of a mount are malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// The comma-separated list has an open quote or a quote inside a field.
    #[error("malformed list {text:?}: a quote is open or stands inside of a field")]
    List {
        /// The list.
        text: String,
    },
    /// There is no such option.
    #[error("unknown option {key:?}{}", near(.suggestion))]
    UnknownKey {
        /// The option.
        key: String,
        /// A near one.
        suggestion: Option<&'static str>,
    },
    /// An option that needs a value has none.
    #[error("option {key:?} needs a value")]
    NoValue {
        /// The option.
        key: String,
    },
    /// A value does not fit its option.
    #[error("option {key:?}: {value:?} is not {expected}{}", near(.suggestion))]
    Value {
        /// The option.
        key: String,
        /// The value.
        value: String,
        /// What would be right.
        expected: &'static str,
        /// A near value.
        suggestion: Option<&'static str>,
    },
    /// An option does not belong to the type of mount.
    #[error("option {key:?} does not apply to mounts of type {kind}")]
    NotForType {
        /// The option.
        key: &'static str,
        /// The type.
        kind: &'static str,
    },
    /// A secret has neither id, source nor target.
    #[error("a secret needs id, source or target")]
    SecretUnnamed,
    /// A secret has both id and source.
    #[error("a secret cannot have both id and source")]
    SecretNamedTwice,
    /// `from` has a variable.
    #[error("option \"from\" has no variables; define a stage with FROM {value} AS NAME and use its name")]
    FromVariable {
        /// The value.
        value: String,
    },
    /// A variable cannot be expanded.
    #[error("option {key:?}")]
    Expand {
        /// The option.
        key: String,
        /// Why.
        #[source]
        source: ExpandError,
    },
}

fn near(suggestion: &Option<&'static str>) -> String {
    suggestion.map_or_else(String::new, |near| format!(" (did you mean {near:?}?)"))
}

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
];
const TYPES: [(&str, MountType); 5] = [
    ("bind", MountType::Bind),
    ("cache", MountType::Cache),
    ("tmpfs", MountType::Tmpfs),
    ("secret", MountType::Secret),
    ("ssh", MountType::Ssh),
];
const SHARINGS: [(&str, Sharing); 3] =
    [("shared", Sharing::Shared), ("private", Sharing::Private), ("locked", Sharing::Locked)];

impl MountType {
    /// The name in a Dockerfile.
    pub fn as_str(self) -> &'static str {
        match self {
            MountType::Bind => "bind",
            MountType::Cache => "cache",
            MountType::Tmpfs => "tmpfs",
            MountType::Secret => "secret",
            MountType::Ssh => "ssh",
        }
    }
}

/// The value of a `--mount` flag, its fields split but not yet expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSpec {
    word: Word,
    fields: Vec<(String, Option<String>)>,
}

impl MountSpec {
    /// Splits a value and checks all that does not depend on variables.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn parse(word: Word) -> Result<MountSpec, MountError> {
        let text = word.as_str();
        let list = split_csv(text).ok_or_else(|| MountError::List { text: text.to_owned() })?;
        let fields = list
            .into_iter()
            .map(|field| match field.split_once('=') {
                Some((key, value)) => (key.to_ascii_lowercase(), Some(value.to_owned())),
                None => (field.to_ascii_lowercase(), None),
            })
            .collect();
        let spec = MountSpec { word, fields };
        for (key, value) in &spec.fields {
            if key == "from"
                && let Some(value) = value.as_ref().filter(|value| has_variable(value))
            {
                return Err(MountError::FromVariable { value: value.clone() });
            }
        }
        if spec.fields.iter().all(|(_, value)| !value.as_ref().is_some_and(|v| v.contains('$'))) {
            spec.resolve(|value| Ok(value.to_owned()))?;
        }
        Ok(spec)
    }

    /// The value as written.
    pub fn word(&self) -> &Word {
        &self.word
    }

    /// The value of `from`, which has no variables.
    pub fn from(&self) -> Option<&str> {
        let (_, value) = self.fields.iter().rev().find(|(key, _)| key == "from")?;
        value.as_deref()
    }

    /// Makes the typed mount; `expand` replaces the variables of a value.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn resolve(&self, mut expand: impl FnMut(&str) -> Result<String, ExpandError>) -> Result<Mount, MountError> {
        let mut mount = Mount::default();
        let mut read_only = None;
        let mut keys: Vec<&'static str> = Vec::new();
        for (key, value) in &self.fields {
            let value = match value {
                Some(value) => Some(expand(value).map_err(|source| MountError::Expand { key: key.clone(), source })?),
                None => None,
            };
            let wrong = |expected, suggestion| MountError::Value {
                key: key.clone(),
                value: value.clone().unwrap_or_default(),
                expected,
                suggestion,
            };
            let flag = || match value.as_deref() {
                None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
                Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
                Some(_) => Err(wrong("true or false", None)),
            };
            let text = || value.clone().ok_or_else(|| MountError::NoValue { key: key.clone() });
            let number = |radix, expected| {
                let text = text()?;
                if text.starts_with('+') {
                    return Err(wrong(expected, None));
                }
                u32::from_str_radix(&text, radix).map_err(|_| wrong(expected, None))
            };
            match key.as_str() {
                "type" => {
                    let name = text()?.to_ascii_lowercase();
                    let names = TYPES.map(|(name, _)| name);
                    mount.kind = find(&TYPES, &name)
                        .ok_or_else(|| wrong("bind, cache, tmpfs, secret or ssh", suggest::nearest(&name, names)))?;
                }
                "from" => {
                    keys.push("from");
                    mount.from = Some(text()?);
                }
                "source" | "src" => mount.source = Some(text()?),
                "target" | "dst" | "destination" => mount.target = Some(text()?),
                "readonly" | "ro" => read_only = Some(flag()?),
                "readwrite" | "rw" => read_only = Some(!flag()?),
                "required" => {
                    keys.push("required");
                    mount.required = flag()?;
                }
                "size" => {
                    keys.push("size");
                    let size = parse_size(&text()?);
                    mount.size = Some(size.ok_or_else(|| wrong("a size such as 64m", None))?);
                }
                "id" => mount.id = Some(text()?),
                "env" => {
                    keys.push("env");
                    mount.env = Some(text()?);
                }
                "sharing" => {
                    keys.push("sharing");
                    let name = text()?.to_ascii_lowercase();
                    let names = SHARINGS.map(|(name, _)| name);
                    mount.sharing = Some(
                        find(&SHARINGS, &name)
                            .ok_or_else(|| wrong("shared, private or locked", suggest::nearest(&name, names)))?,
                    );
                }
                "mode" => {
                    keys.push("mode");
                    mount.mode = Some(number(8, "an octal mode")?);
                }
                "uid" => {
                    keys.push("uid");
                    mount.uid = Some(number(10, "a user id")?);
                }
                "gid" => {
                    keys.push("gid");
                    mount.gid = Some(number(10, "a group id")?);
                }
                _ => {
                    return Err(MountError::UnknownKey { key: key.clone(), suggestion: suggest::nearest(key, KEYS) });
                }
            }
        }
        for key in keys {
            let fits = match key {
                "required" => matches!(mount.kind, MountType::Secret | MountType::Ssh),
                "size" => mount.kind == MountType::Tmpfs,
                "sharing" => mount.kind == MountType::Cache,
                "env" => mount.kind == MountType::Secret,
                "from" => !matches!(mount.kind, MountType::Secret),
                _ => {
                    matches!(mount.kind, MountType::Secret | MountType::Ssh | MountType::Cache)
                }
            };
            if !fits {
                return Err(MountError::NotForType { key, kind: mount.kind.as_str() });
            }
        }
        if mount.kind == MountType::Secret {
            if mount.source.is_none() && mount.target.is_none() && mount.id.is_none() {
                return Err(MountError::SecretUnnamed);
            }
            if mount.source.is_some() && mount.id.is_some() {
                return Err(MountError::SecretNamedTwice);
            }
        }
        mount.read_only = read_only.unwrap_or(!matches!(mount.kind, MountType::Cache | MountType::Tmpfs));
        Ok(mount)
    }
}

fn find<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// A `$` with something behind it.
fn has_variable(text: &str) -> bool {
    text.find('$').is_some_and(|index| index + 1 < text.len())
}

/// Splits one record of CSV; a field in quotes may have commas, and `""` for a quote.
fn split_csv(text: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut field = String::new();
            let mut tail = quoted;
            loop {
                let (head, after) = tail.split_once('"')?;
                field.push_str(head);
                match after.strip_prefix('"') {
                    Some(more) => {
                        field.push('"');
                        tail = more;
                    }
                    None => {
                        tail = after;
                        break;
                    }
                }
            }
            fields.push(field);
            if tail.is_empty() {
                return Some(fields);
            }
            rest = tail.strip_prefix(',')?;
        } else {
            let (field, after) = match rest.split_once(',') {
                Some((field, after)) => (field, Some(after)),
                None => (rest, None),
            };
            if field.contains('"') {
                return None;
            }
            fields.push(field.to_owned());
            match after {
                Some(after) => rest = after,
                None => return Some(fields),
            }
        }
    }
}

/// Parses a size with an optional unit of 1024: `64m`, `1GiB`, `100`.
fn parse_size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Position;

    fn parse(text: &str) -> Result<Mount, MountError> {
        MountSpec::parse(Word::new(text, Position::START))?.resolve(|value| Ok(value.to_owned()))
    }

    #[test]
    fn options_become_types() {
        let base = Mount::default;
        let text = |text: &str| Some(text.to_owned());
        let table = [
            ("target=/x", Mount { target: text("/x"), read_only: true, ..base() }),
            ("dst=/x,rw", Mount { target: text("/x"), ..base() }),
            ("target=/x,ro=false", Mount { target: text("/x"), ..base() }),
            (
                "type=cache,target=/c,id=a,sharing=LOCKED,mode=0755,uid=1,gid=2",
                Mount {
                    kind: MountType::Cache,
                    target: text("/c"),
                    id: text("a"),
                    sharing: Some(Sharing::Locked),
                    mode: Some(0o755),
                    uid: Some(1),
                    gid: Some(2),
                    ..base()
                },
            ),
            (
                "type=tmpfs,target=/t,size=1g",
                Mount { kind: MountType::Tmpfs, target: text("/t"), size: Some(1 << 30), ..base() },
            ),
            (
                "type=secret,id=k,required,env=KEY",
                Mount {
                    kind: MountType::Secret,
                    id: text("k"),
                    required: true,
                    env: text("KEY"),
                    read_only: true,
                    ..base()
                },
            ),
            ("type=ssh", Mount { kind: MountType::Ssh, read_only: true, ..base() }),
            (
                "from=build,\"source=/a,b\",target=/x",
                Mount { from: text("build"), source: text("/a,b"), target: text("/x"), read_only: true, ..base() },
            ),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn faults_are_named() {
        let table = [
            ("type=bnd", "did you mean \"bind\""),
            ("typ=bind", "did you mean \"type\""),
            ("target", "needs a value"),
            ("", "unknown option \"\""),
            ("target=/x,ro=maybe", "not true or false"),
            ("type=cache,sharing=lock", "did you mean \"locked\""),
            ("sharing=locked", "does not apply to mounts of type bind"),
            ("size=1m", "does not apply"),
            ("type=tmpfs,size=much", "not a size"),
            ("mode=0755", "does not apply"),
            ("type=cache,mode=9", "octal"),
            ("type=cache,uid=-1", "user id"),
            ("required", "does not apply"),
            ("type=secret", "needs id"),
            ("type=secret,id=a,source=b", "both id and source"),
            ("type=secret,id=a,from=b", "does not apply"),
            ("from=$x,target=/x", "has no variables"),
            ("\"target=/x", "malformed list"),
            ("target=\"/x\"", "malformed list"),
        ];
        for (text, part) in table {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn variables_wait_for_their_values() {
        let spec = MountSpec::parse(Word::new("type=$t,target=/x", Position::START)).unwrap();
        let mount = spec.resolve(|value| Ok(value.replace("$t", "cache"))).unwrap();
        assert_eq!(mount.kind, MountType::Cache);
        assert!(spec.resolve(|value| Ok(value.replace("$t", "x"))).is_err());
    }
}

//! Names of images: registry, repository, tag, digest.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::{Digest, ImageId};

/// The registry of names that have none.
pub const DEFAULT_REGISTRY: &str = "docker.io";

/// The tag of names that have neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";

/// The name that no image can have: `FROM scratch` means "no layers".
pub const SCRATCH: &str = "scratch";

/// The longest name without tag and digest, as the distribution specification has it.
const MAX_NAME: usize = 255;

/// Why text is not the name of an image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// Upper-case letters in the repository: the most frequent mistake.
    #[error("invalid reference format: repository name ({name}) must be lowercase")]
    Uppercase {
        /// The repository.
        name: String,
    },
    /// 64 hexadecimal digits: an image ID, not a name.
    #[error("invalid repository name ({name}), cannot specify 64-byte hexadecimal strings")]
    Identifier {
        /// The text.
        name: String,
    },
    /// Reserved for the image without layers.
    #[error("'scratch' is a reserved name")]
    Scratch,
    /// A name longer than registries accept.
    #[error("repository name must not be more than {MAX_NAME} characters: {name:?}...")]
    TooLong {
        /// Its beginning.
        name: String,
    },
    /// Anything else.
    #[error("invalid reference format: {text:?}")]
    Malformed {
        /// The text, capped.
        text: String,
    },
}

/// The full, normalised name of an image: `docker.io/library/debian:trixie`.
///
/// A reference has a tag or a digest; of a name with both only the digest is kept.
/// Source: distribution/reference, normalize.go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads a name as users type it, and normalises it.
    ///
    /// # Errors
    /// [`ReferenceError`]; `scratch` in any spelling is one.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let malformed = || ReferenceError::Malformed { text: text.chars().take(300).collect() };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|_| malformed())?)),
            None => (text, None),
        };
        if rest.len() == 64 && ImageId::from_str(&format!("sha256:{rest}")).is_ok() {
            return Err(ReferenceError::Identifier { name: rest.into() });
        }
        let (name, tag) = match rest.rsplit_once(':') {
            // A colon before a slash is that of a port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(malformed());
        }
        let (registry, repository) = match name.split_once('/') {
            Some((first, repository)) if is_host(first) => (first, repository),
            _ => (DEFAULT_REGISTRY, name),
        };
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
        let repository = match registry == DEFAULT_REGISTRY && !repository.contains('/') {
            true => format!("library/{repository}"),
            false => repository.to_owned(),
        };
        if registry.len() + 1 + repository.len() > MAX_NAME {
            return Err(ReferenceError::TooLong { name: name.chars().take(64).collect() });
        }
        if !is_registry(registry) {
            return Err(malformed());
        }
        if !repository.split('/').all(is_component) {
            let lower = repository.to_ascii_lowercase();
            return Err(match lower != repository && lower.split('/').all(is_component) {
                true => ReferenceError::Uppercase { name: name.to_owned() },
                false => malformed(),
            });
        }
        if registry == DEFAULT_REGISTRY && repository == format!("library/{SCRATCH}") {
            return Err(ReferenceError::Scratch);
        }
        let tag = match digest {
            Some(_) => None,
            None => Some(tag.unwrap_or(DEFAULT_TAG).to_owned()),
        };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }

    /// The registry's host, with its port where it has one: `docker.io`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in that registry: `library/debian`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `None` where a digest says which image is meant.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of a manifest.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The name without tag and digest, as users like to read it: `debian`, `user/app`, `registry.example/app`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        match (self.registry.as_str(), self.repository.strip_prefix("library/")) {
            (DEFAULT_REGISTRY, Some(name)) if !name.contains('/') => name.to_owned(),
            // Without its registry, `docker.io/mirror.example/x` would read as a name at mirror.example.
            (DEFAULT_REGISTRY, _) if !self.repository.split('/').next().is_some_and(is_host) => self.repository.clone(),
            (registry, _) => format!("{registry}/{}", self.repository),
        }
    }

    /// The whole name as users like to read it: `debian:trixie`.
    #[must_use]
    pub fn familiar(&self) -> String {
        let name = self.familiar_name();
        match (&self.tag, &self.digest) {
            (_, Some(digest)) => format!("{name}@{digest}"),
            (Some(tag), None) => format!("{name}:{tag}"),
            (None, None) => name,
        }
    }
}

/// The full, normalised name: `docker.io/library/debian:trixie`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match (&self.tag, &self.digest) {
            (_, Some(digest)) => write!(f, "@{digest}"),
            (Some(tag), None) => write!(f, ":{tag}"),
            (None, None) => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

/// The first component of a name is a host if it looks like one; else it belongs to the repository.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, rest)) if !address.is_empty() => {
                if !address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') {
                    return false;
                }
                (None, rest.strip_prefix(':').or((!rest.is_empty()).then_some("")))
            }
            _ => return false,
        },
        None => match registry.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(registry), None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.is_none_or(|host| host.split('.').all(label))
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// `[a-z0-9]+` parts joined by `.`, `_`, `__` or any number of `-`.
fn is_component(component: &str) -> bool {
    let bytes = component.as_bytes();
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let edges = [bytes.first(), bytes.last()];
    if !edges.iter().all(|edge| edge.is_some_and(|&b| alphanumeric(b))) {
        return false;
    }
    bytes
        .split(|&b| alphanumeric(b))
        .all(|separator| matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|&b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128 && tag.bytes().next().is_some_and(word) && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_are_normalised() {
        let pinned = format!("debian:12@{DIGEST}");
        let cases = [
            ("debian", "docker.io/library/debian:latest", "debian:latest"),
            ("debian:trixie", "docker.io/library/debian:trixie", "debian:trixie"),
            ("user/app", "docker.io/user/app:latest", "user/app:latest"),
            ("docker.io/debian", "docker.io/library/debian:latest", "debian:latest"),
            ("index.docker.io/library/debian", "docker.io/library/debian:latest", "debian:latest"),
            ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
            ("localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"),
            ("r.example/a/b/c:V1", "r.example/a/b/c:V1", "r.example/a/b/c:V1"),
            ("HOST/app", "HOST/app:latest", "HOST/app:latest"),
            ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
            ("a__b/c---d.e_f", "docker.io/a__b/c---d.e_f:latest", "a__b/c---d.e_f:latest"),
            // Found by fuzzing: the short form must not name another registry.
            ("index.docker.io/r.example/a", "docker.io/r.example/a:latest", "docker.io/r.example/a:latest"),
            (&pinned, &format!("docker.io/library/debian@{DIGEST}"), &format!("debian@{DIGEST}")),
        ];
        for (text, full, familiar) in cases {
            let reference = Reference::parse(text).unwrap();
            assert_eq!((reference.to_string().as_str(), reference.familiar().as_str()), (full, familiar), "{text}");
            assert_eq!(Reference::parse(full).unwrap(), reference);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(300);
        let tag = format!("a:{}", "b".repeat(129));
        let cases = [
            "",
            ":x",
            "a:",
            "a b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a//b",
            "/a",
            "a/",
            "a@sha256:00",
            "a:b:c",
            "a.b:x/c",
            &long,
            &tag,
        ];
        for text in cases {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
        assert!(matches!(Reference::parse("Debian"), Err(ReferenceError::Uppercase { .. })));
        assert!(matches!(Reference::parse(&DIGEST[7..]), Err(ReferenceError::Identifier { .. })));
        for text in ["scratch", "scratch:x", "docker.io/library/scratch"] {
            assert_eq!(Reference::parse(text), Err(ReferenceError::Scratch), "{text}");
        }
        assert!(Reference::parse("user/scratch").is_ok());
    }
}

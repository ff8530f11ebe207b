//! Platforms: operating system, architecture, variant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::json::null_as_default;

/// Why text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("platform {text:?}: expected OS/ARCH[/VARIANT], such as linux/amd64 or linux/arm/v7")]
pub struct PlatformError {
    text: String,
}

/// What an image runs on, as stored. Compare with [`Platform::matches`]: spellings differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// The architecture in Go's spelling: `amd64`, `arm64`, `386`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub architecture: String,
    /// The operating system: `linux`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub os: String,
    /// The operating system's version; Windows only.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features of the operating system; Windows only.
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// The variant of the architecture: `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// A platform without a variant.
    #[must_use]
    pub fn new(os: &str, architecture: &str) -> Self {
        Self {
            architecture: architecture.into(),
            os: os.into(),
            os_version: None,
            os_features: Vec::new(),
            variant: None,
        }
    }

    /// The same with a variant.
    #[must_use]
    pub fn with_variant(mut self, variant: &str) -> Self {
        self.variant = Some(variant.into());
        self
    }

    /// The platform that this program was built for.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86" => "386",
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "powerpc64" => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        Self::new("linux", architecture)
    }

    /// The canonical spelling, for comparison: `x86_64` is `amd64`, `arm` is `arm/v7`, `arm64/v8` and `amd64/v1` have no variant.
    ///
    /// Source: containerd/platforms database.go.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let mut platform = self.clone();
        platform.os.make_ascii_lowercase();
        if platform.os == "macos" {
            platform.os = "darwin".into();
        }
        platform.architecture.make_ascii_lowercase();
        let variant = platform.variant.take().map(|v| v.to_ascii_lowercase()).filter(|v| !v.is_empty());
        let (architecture, variant) = match (platform.architecture.as_str(), variant.as_deref()) {
            ("i386", _) => ("386", None),
            ("x86_64" | "x86-64" | "amd64", Some("v1") | None) => ("amd64", None),
            ("x86_64" | "x86-64", v) => ("amd64", v),
            ("aarch64" | "arm64", Some("8" | "v8") | None) => ("arm64", None),
            ("aarch64", v) => ("arm64", v),
            ("armhf", _) => ("arm", Some("v7")),
            ("armel", _) => ("arm", Some("v6")),
            ("arm", Some("7" | "v7") | None) => ("arm", Some("v7")),
            ("arm", Some("5")) => ("arm", Some("v5")),
            ("arm", Some("6")) => ("arm", Some("v6")),
            ("arm", Some("8")) => ("arm", Some("v8")),
            (architecture, v) => (architecture, v),
        };
        let (architecture, variant) = (architecture.to_owned(), variant.map(str::to_owned));
        Self { architecture, variant, ..platform }
    }

    /// Tells whether two platforms are the same whatever their spelling.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        let (a, b) = (self.normalized(), other.normalized());
        (a.os, a.architecture, a.variant) == (b.os, b.architecture, b.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    /// Reads `OS/ARCH[/VARIANT]`, or one of both alone: `linux`, `arm64`. The result is normalised.
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let error = || PlatformError { text: text.chars().take(64).collect() };
        let word = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(|part| word(part)) {
            return Err(error());
        }
        let host = Self::host();
        let platform = match parts[..] {
            [one]
                if matches!(
                    one.to_ascii_lowercase().as_str(),
                    "linux" | "windows" | "darwin" | "macos" | "freebsd"
                ) =>
            {
                Self::new(one, &host.architecture)
            }
            [one] if KNOWN.contains(&Self::new("linux", one).normalized().architecture.as_str()) => {
                Self::new("linux", one)
            }
            [os, architecture] => Self::new(os, architecture),
            [os, architecture, variant] => Self::new(os, architecture).with_variant(variant),
            _ => return Err(error()),
        };
        Ok(platform.normalized())
    }
}

/// The architectures that may be given without an operating system.
const KNOWN: [&str; 12] =
    ["386", "amd64", "arm", "arm64", "loong64", "mips", "mips64le", "mipsle", "ppc64le", "riscv64", "s390x", "wasm"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let cases = [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v2", "linux/amd64/v2"),
            ("aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("armhf", "linux/arm/v7"),
            ("armel", "linux/arm/v6"),
            ("linux/arm/v5", "linux/arm/v5"),
            ("i386", "linux/386"),
            ("Linux/AMD64", "linux/amd64"),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), expected, "{text}");
        }
        for bad in ["", "/", "linux/", "a/b/c/d", "toaster", "linux/a b"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn stored_spellings_are_kept_but_compare_equal() {
        let debian = Platform::new("linux", "arm64").with_variant("v8");
        assert_eq!(debian.to_string(), "linux/arm64/v8");
        assert!(debian.matches(&Platform::new("linux", "aarch64")));
        assert!(!debian.matches(&Platform::new("linux", "arm")));
    }
}

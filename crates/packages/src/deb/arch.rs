//! Debian's names of architectures and those of OCI platforms.

use bedplate_oci::Platform;
use thiserror::Error;

/// Why a name has no counterpart.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArchError {
    /// Debian has no such architecture, or OCI has no name for it.
    #[error("architecture {name:?} has no OCI platform; known: {}", known_architectures())]
    Architecture {
        /// The name, capped.
        name: String,
    },
    /// Debian has no such architecture.
    #[error("platform {platform} has no architecture of Debian; known: {}", known_platforms())]
    Platform {
        /// The platform, capped.
        platform: String,
    },
}

/// Debian's name, OCI's, and the variant that an image of it carries.
///
/// The variants are those that Debian's own images carry. Source: the manifest lists of debian and ubuntu, and GOARM:
/// armel is ARMv5TE, armhf ARMv7.
const TABLE: &[(&str, &str, Option<&str>)] = &[
    ("amd64", "amd64", None),
    ("arm64", "arm64", Some("v8")),
    ("armel", "arm", Some("v5")),
    ("armhf", "arm", Some("v7")),
    ("i386", "386", None),
    ("loong64", "loong64", None),
    ("mips64el", "mips64le", None),
    ("mipsel", "mipsle", None),
    ("ppc64el", "ppc64le", None),
    ("riscv64", "riscv64", None),
    ("s390x", "s390x", None),
];

fn known_architectures() -> String {
    TABLE.iter().map(|(name, ..)| *name).collect::<Vec<&str>>().join(", ")
}

fn known_platforms() -> String {
    TABLE.iter().map(|row| platform(row).to_string()).collect::<Vec<String>>().join(", ")
}

fn platform((_, architecture, variant): &(&str, &str, Option<&str>)) -> Platform {
    let platform = Platform::new("linux", architecture);
    variant.map_or(platform.clone(), |variant| platform.with_variant(variant))
}

/// The platform of an image whose packages are of an architecture of Debian.
///
/// # Errors
/// A name that is not in the table.
pub fn to_platform(architecture: &str) -> Result<Platform, ArchError> {
    let row = TABLE.iter().find(|(name, ..)| *name == architecture);
    row.map(platform).ok_or_else(|| ArchError::Architecture { name: architecture.chars().take(60).collect() })
}

/// Debian's name for a platform. A variant above the architecture's baseline counts as the baseline: what is built for
/// armhf runs on `linux/arm/v8`, and amd64 on `linux/amd64/v3`.
///
/// # Errors
/// Not Linux, an architecture that is not in the table, or `linux/arm/v6`: Debian's armhf needs ARMv7.
pub fn from_platform(wanted: &Platform) -> Result<&'static str, ArchError> {
    let normalized = wanted.normalized();
    let variant = normalized.variant.as_deref();
    let found = TABLE.iter().find(|(_, architecture, own)| {
        normalized.os == "linux"
            && *architecture == normalized.architecture
            && match (*architecture, variant) {
                ("arm", Some("v8")) => *own == Some("v7"),
                ("arm", variant) => *own == variant,
                _ => true,
            }
    });
    found
        .map(|(name, ..)| *name)
        .ok_or_else(|| ArchError::Platform { platform: wanted.to_string().chars().take(60).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_there_and_back() {
        let cases = [
            ("amd64", "linux/amd64"),
            ("arm64", "linux/arm64/v8"),
            ("armel", "linux/arm/v5"),
            ("armhf", "linux/arm/v7"),
            ("i386", "linux/386"),
            ("loong64", "linux/loong64"),
            ("mips64el", "linux/mips64le"),
            ("ppc64el", "linux/ppc64le"),
            ("riscv64", "linux/riscv64"),
            ("s390x", "linux/s390x"),
        ];
        for (architecture, text) in cases {
            let platform = to_platform(architecture).unwrap();
            assert_eq!(platform.to_string(), text);
            assert_eq!(from_platform(&platform), Ok(architecture));
        }
        for (name, ..) in TABLE {
            assert_eq!(from_platform(&to_platform(name).unwrap()), Ok(*name));
        }
    }

    #[test]
    fn spellings_of_platforms() {
        let cases = [
            ("linux/x86_64", Some("amd64")),
            ("linux/amd64/v3", Some("amd64")),
            ("aarch64", Some("arm64")),
            ("linux/arm", Some("armhf")),
            ("linux/arm/v8", Some("armhf")),
            ("linux/arm/v6", None),
            ("windows/amd64", None),
            ("linux/wasm", None),
        ];
        for (text, expected) in cases {
            assert_eq!(from_platform(&text.parse().unwrap()).ok(), expected, "{text}");
        }
    }

    #[test]
    fn an_unknown_one_is_named_with_those_that_are_known() {
        let error = to_platform("hurd-i386").unwrap_err().to_string();
        assert!(error.starts_with("architecture \"hurd-i386\" has no OCI platform; known: amd64, arm64,"), "{error}");
        let error = from_platform(&Platform::new("linux", "wasm")).unwrap_err().to_string();
        assert!(error.starts_with("platform linux/wasm has no architecture of Debian; known: linux/amd64,"), "{error}");
        assert!(to_platform("all").is_err());
    }
}

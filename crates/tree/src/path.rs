//! Paths inside a root filesystem: relative, normalised, bounded.

use std::fmt;

use thiserror::Error;

/// The longest path that an image may hold, in bytes: Linux's `PATH_MAX` without its NUL.
/// A longer one could be unpacked by nobody.
pub const MAX_PATH: usize = 4095;

/// The longest component of a path, in bytes: `NAME_MAX` of every common file system.
pub const MAX_NAME: usize = 255;

/// The deepest path, in components. `MAX_PATH` allows 2048; code that walks a tree
/// by recursion relies on this smaller bound.
pub const MAX_DEPTH: usize = 1024;

/// Why bytes are not a path inside a root filesystem.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// A `..` component: it could lead outside.
    #[error("path {path:?} has a \"..\" component")]
    Parent {
        /// The path as given, lossily decoded.
        path: String,
    },
    /// A NUL byte.
    #[error("path {path:?} has a NUL byte")]
    Nul {
        /// The path as given, lossily decoded.
        path: String,
    },
    /// More bytes than [`MAX_PATH`].
    #[error("path of {length} bytes is longer than {MAX_PATH}: {path:?}...")]
    TooLong {
        /// The first 64 bytes, lossily decoded.
        path: String,
        /// Its length in bytes.
        length: usize,
    },
    /// A component of more bytes than [`MAX_NAME`].
    #[error("path component of {length} bytes is longer than {MAX_NAME}: {name:?}...")]
    NameTooLong {
        /// The first 64 bytes, lossily decoded.
        name: String,
        /// Its length in bytes.
        length: usize,
    },
    /// More components than [`MAX_DEPTH`].
    #[error("path {path:?}... has more than {MAX_DEPTH} components")]
    TooDeep {
        /// The first 64 bytes, lossily decoded.
        path: String,
    },
    /// A name that is empty, `.`, `..` or holds a slash.
    #[error("{name:?} is not a file name")]
    NotAName {
        /// The name as given, lossily decoded.
        name: String,
    },
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(64)]).into_owned()
}

/// One component of a path: not empty, not `.` or `..`, no slash, no NUL, at most [`MAX_NAME`] bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Checks that `bytes` are one component.
    ///
    /// # Errors
    /// [`PathError::NotAName`], [`PathError::Nul`] or [`PathError::NameTooLong`].
    pub fn new(bytes: &[u8]) -> Result<Self, PathError> {
        if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
            return Err(PathError::NotAName { name: shown(bytes) });
        }
        if bytes.contains(&0) {
            return Err(PathError::Nul { path: shown(bytes) });
        }
        if bytes.len() > MAX_NAME {
            return Err(PathError::NameTooLong { name: shown(bytes), length: bytes.len() });
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::borrow::Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// A path inside a root filesystem, relative to its root and normalised: `usr/bin/env`.
///
/// No leading, trailing or doubled slash, no `.` or `..` component, no NUL. The root itself is the
/// empty path. The order is by components, so that a directory sorts directly before what it holds.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Box<[u8]>);

impl TreePath {
    /// The root directory.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Normalises the name of an archive entry or a path that a user typed.
    ///
    /// Leading slashes, `.` components and doubled or trailing slashes fall away, as tar and cp treat them.
    ///
    /// # Errors
    /// A `..` component, a NUL byte, or a path beyond [`MAX_PATH`], [`MAX_NAME`] or [`MAX_DEPTH`].
    pub fn parse(raw: &[u8]) -> Result<Self, PathError> {
        if raw.contains(&0) {
            return Err(PathError::Nul { path: shown(raw) });
        }
        let mut path = Vec::with_capacity(raw.len());
        let mut depth = 0;
        for part in raw.split(|&b| b == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return Err(PathError::Parent { path: shown(raw) }),
                _ => {}
            }
            if part.len() > MAX_NAME {
                return Err(PathError::NameTooLong { name: shown(part), length: part.len() });
            }
            depth += 1;
            if depth > MAX_DEPTH {
                return Err(PathError::TooDeep { path: shown(raw) });
            }
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(part);
        }
        if path.len() > MAX_PATH {
            return Err(PathError::TooLong { path: shown(raw), length: path.len() });
        }
        Ok(Self(path.into()))
    }

    /// The path's bytes, without a leading slash; empty for the root.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Tells whether this is the root directory.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components from the top down; none for the root.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|part| !part.is_empty())
    }

    /// The directory that holds this path; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|&b| b == b'/').unwrap_or(0);
        Some(Self(self.0[..end].into()))
    }

    /// The last component; `None` for the root.
    #[must_use]
    pub fn file_name(&self) -> Option<&[u8]> {
        if self.is_root() {
            return None;
        }
        let start = self.0.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
        Some(&self.0[start..])
    }

    /// The path of `name` in this directory.
    ///
    /// # Errors
    /// [`PathError::TooLong`] where the result would pass [`MAX_PATH`], [`PathError::TooDeep`] past [`MAX_DEPTH`].
    pub fn join(&self, name: &Name) -> Result<Self, PathError> {
        let path = self.child(name);
        if path.0.len() > MAX_PATH {
            return Err(PathError::TooLong { path: shown(&path.0), length: path.0.len() });
        }
        if path.components().count() > MAX_DEPTH {
            return Err(PathError::TooDeep { path: shown(&path.0) });
        }
        Ok(path)
    }

    /// The same without the bounds, for a walk over a tree whose paths were checked when they were made.
    pub(crate) fn child(&self, name: &Name) -> Self {
        let mut path = Vec::with_capacity(self.0.len() + 1 + name.0.len());
        path.extend_from_slice(&self.0);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&name.0);
        Self(path.into())
    }

    /// This path seen from `base`; `None` where it does not lie in or at `base`.
    #[must_use]
    pub fn strip_prefix(&self, base: &Self) -> Option<Self> {
        if base.is_root() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(&*base.0)?;
        match rest {
            [] => Some(Self::root()),
            [b'/', rest @ ..] => Some(Self(rest.into())),
            _ => None,
        }
    }

    /// `other` below this path.
    ///
    /// # Errors
    /// As [`TreePath::parse`], when the two together pass a bound.
    pub fn append(&self, other: &Self) -> Result<Self, PathError> {
        Self::parse(&[self.as_bytes(), b"/", other.as_bytes()].concat())
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Not the order of the bytes: "a-b" is less than "a/b" there, which would part a directory from its children.
        self.components().cmp(other.components())
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// Shows the path as a user would type it, with a leading slash.
impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_or_refused() {
        let cases: [(&[u8], Option<&str>); 12] = [
            (b"", Some("")),
            (b"./", Some("")),
            (b"/", Some("")),
            (b"./usr/bin/", Some("usr/bin")),
            (b"/etc//passwd", Some("etc/passwd")),
            (b"a/./b", Some("a/b")),
            (b"..", None),
            (b"a/../b", None),
            (b"a/..", None),
            (b"...", Some("...")),
            (b"a\0b", None),
            (b"a..b", Some("a..b")),
        ];
        for (raw, expected) in cases {
            let got = TreePath::parse(raw).ok().map(|p| String::from_utf8_lossy(p.as_bytes()).into_owned());
            assert_eq!(got.as_deref(), expected, "{raw:?}");
        }
    }

    #[test]
    fn bounds_hold_on_both_sides() {
        assert!(TreePath::parse(&[b'a'; MAX_NAME]).is_ok());
        assert!(TreePath::parse(&[b'a'; MAX_NAME + 1]).is_err());
        assert!(TreePath::parse(&b"a/".repeat(MAX_DEPTH)).is_ok());
        assert!(TreePath::parse(&b"a/".repeat(MAX_DEPTH + 1)).is_err());
        let long: Vec<u8> = [&[b'a'; MAX_NAME][..], b"/"].concat().repeat(16);
        assert_eq!(long.len(), MAX_PATH + 1);
        assert!(TreePath::parse(&long).is_ok(), "the trailing slash falls away");
        assert!(TreePath::parse(&[&long[..], b"b"].concat()).is_err());
    }

    #[test]
    fn a_directory_sorts_right_before_its_children() {
        let path = |s: &str| TreePath::parse(s.as_bytes()).unwrap();
        let mut paths = vec![path("a-b"), path("a/b"), path("a"), path("")];
        paths.sort();
        assert_eq!(paths, vec![path(""), path("a"), path("a/b"), path("a-b")]);
    }

    #[test]
    fn parts() {
        let path = TreePath::parse(b"usr/bin/env").unwrap();
        assert_eq!(path.parent().unwrap().as_bytes(), b"usr/bin");
        assert_eq!(path.file_name().unwrap(), b"env");
        assert_eq!(TreePath::parse(b"usr").unwrap().parent(), Some(TreePath::root()));
        assert_eq!(TreePath::root().parent(), None);
        assert_eq!(TreePath::root().file_name(), None);
        let usr = TreePath::parse(b"usr").unwrap();
        assert_eq!(path.strip_prefix(&usr).unwrap().as_bytes(), b"bin/env");
        assert_eq!(TreePath::parse(b"usrlocal").unwrap().strip_prefix(&usr), None);
    }
}

//! The marks that overlayfs keeps on an upper side.
//!
//! Source: Linux, Documentation/filesystems/overlayfs.rst.

/// Which namespace of extended attributes an overlay keeps its marks in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// `trusted.overlay.*`: an overlay mounted by root.
    Trusted,
    /// `user.overlay.*`: an overlay mounted with `userxattr`, in a user namespace.
    User,
}

impl Marks {
    /// The attribute of an opaque directory; its value is `y`.
    #[must_use]
    pub fn opaque(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.opaque",
            Self::User => b"user.overlay.opaque",
        }
    }

    /// The attribute that makes an empty regular file a whiteout, below a directory whose
    /// opaque attribute is `x` (Linux 6.7).
    #[must_use]
    pub fn whiteout(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.whiteout",
            Self::User => b"user.overlay.whiteout",
        }
    }
}

/// Tells whether an extended attribute belongs to an overlay: no layer may bring one, since it could make a directory
/// opaque or redirect it, and none of an upper side goes into a layer.
#[must_use]
pub fn is_overlay_xattr(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

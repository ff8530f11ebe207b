//! Where the bytes of a regular file are.

use std::sync::Arc;

/// What holds the bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// An uncompressed layer stream, named by the sha256 of the whole stream: its diff ID.
    Stream([u8; 32]),
    /// A regular file on the host below a directory that whoever opens contents knows by number.
    ///
    /// The path is relative to that directory and is resolved beneath it, never joined to a string.
    File {
        /// Which directory: a number that the opener of contents handed out.
        root: u32,
        /// The path below it.
        path: Arc<[u8]>,
    },
    /// Bytes at hand: a heredoc, a generated database, a test.
    Memory(Arc<[u8]>),
}

/// A run of bytes that are not a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Where the run begins in the file, in bytes.
    pub logical: u64,
    /// Where the run begins in the source, in bytes.
    pub physical: u64,
    /// How long it is, in bytes; never 0.
    pub length: u64,
}

/// The bytes of a regular file: a size, a source, and which parts of it are not holes.
///
/// Extents are in order and do not overlap; what no extent covers reads as zeros.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Content {
    size: u64,
    source: Source,
    extents: Box<[Extent]>,
}

impl Content {
    /// A file without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::from_bytes(Vec::new())
    }

    /// A file whose bytes are at hand.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self::dense(Source::Memory(bytes.clone()), 0, bytes.len() as u64)
    }

    /// A file that lies in `source` in one piece of `size` bytes from `offset` on.
    #[must_use]
    pub fn dense(source: Source, offset: u64, size: u64) -> Self {
        let extents: Box<[Extent]> = match size {
            0 => Box::new([]),
            _ => Box::new([Extent { logical: 0, physical: offset, length: size }]),
        };
        Self { size, source, extents }
    }

    /// A file with holes.
    ///
    /// Returns `None` where extents are empty, out of order, overlap, or pass `size`.
    #[must_use]
    pub fn sparse(source: Source, size: u64, extents: Vec<Extent>) -> Option<Self> {
        let mut end = 0;
        for extent in &extents {
            if extent.length == 0 || extent.logical < end {
                return None;
            }
            end = extent.logical.checked_add(extent.length)?;
            extent.physical.checked_add(extent.length)?;
        }
        (end <= size).then(|| Self { size, source, extents: extents.into() })
    }

    /// The file's size in bytes, holes included.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What holds the bytes.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The runs that are not holes, in order.
    #[must_use]
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The number of bytes that are not holes.
    #[must_use]
    pub fn stored_size(&self) -> u64 {
        self.extents.iter().map(|extent| extent.length).sum()
    }

    /// Tells whether the file has holes.
    #[must_use]
    pub fn is_sparse(&self) -> bool {
        self.stored_size() < self.size
    }

    /// Compares without reading: `Some` where places or sizes already decide, `None` where only the bytes can.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> Option<bool> {
        if self.size != other.size {
            return Some(false);
        }
        if self == other || self.size == 0 {
            return Some(true);
        }
        match (&self.source, &other.source) {
            (Source::Memory(a), Source::Memory(b)) if !self.is_sparse() && !other.is_sparse() => {
                Some(self.slice_of(a) == other.slice_of(b))
            }
            _ => None,
        }
    }

    fn slice_of<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let extent = self.extents.first()?;
        let start = usize::try_from(extent.physical).ok()?;
        bytes.get(start..start.checked_add(usize::try_from(extent.length).ok()?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_are_checked() {
        let extent = |logical, length| Extent { logical, physical: 0, length };
        let cases = [
            (10, vec![], true),
            (10, vec![extent(0, 10)], true),
            (10, vec![extent(0, 11)], false),
            (10, vec![extent(4, 2), extent(6, 1)], true),
            (10, vec![extent(4, 3), extent(6, 1)], false),
            (10, vec![extent(6, 1), extent(4, 1)], false),
            (10, vec![extent(3, 0)], false),
            (u64::MAX, vec![extent(u64::MAX, 1)], false),
        ];
        for (size, extents, accepted) in cases {
            let content = Content::sparse(Source::Stream([0; 32]), size, extents.clone());
            assert_eq!(content.is_some(), accepted, "{size} {extents:?}");
        }
    }

    #[test]
    fn sameness_is_decided_without_reading_where_it_can_be() {
        let a = Content::from_bytes(*b"abc");
        assert_eq!(a.same_as(&Content::from_bytes(*b"abc")), Some(true));
        assert_eq!(a.same_as(&Content::from_bytes(*b"abd")), Some(false));
        assert_eq!(a.same_as(&Content::from_bytes(*b"ab")), Some(false));
        let stored = Content::dense(Source::Stream([1; 32]), 512, 3);
        assert_eq!(stored.same_as(&stored.clone()), Some(true));
        assert_eq!(stored.same_as(&a), None);
    }
}

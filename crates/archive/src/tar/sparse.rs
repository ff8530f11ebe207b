//! Sparse files: where the data of a file with holes lies in the archive.
//!
//! Spec: GNU tar manual D.2 "Storing Sparse Files"; old GNU headers as in its `tar.h`.

use bedplate_tree::Extent;
use thiserror::Error;

use super::header::number;
use super::limits::{MAX_FILE_SIZE, MAX_SPARSE_EXTENTS};
use super::pax::decimal;

/// Why the map of a sparse file is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SparseError {
    /// A version of GNU's sparse formats that does not exist.
    #[error("version {major}.{minor} of the GNU sparse format is unknown")]
    Version {
        /// The first part.
        major: u64,
        /// The second part.
        minor: u64,
    },
    /// A map that is not there, or is no map.
    #[error("its map {reason}")]
    Map {
        /// What is wrong.
        reason: &'static str,
    },
    /// A run of data before the end of the one before it, or after the end of the file.
    #[error("a run of {length} bytes at {logical} overlaps its neighbour or passes the file's size of {size}")]
    Run {
        /// Where the run begins in the file.
        logical: u64,
        /// Its length.
        length: u64,
        /// The file's size.
        size: u64,
    },
    /// The runs and the stored bytes are not equally many.
    #[error("its runs have {mapped} bytes, but {stored} are stored")]
    Stored {
        /// The runs' bytes.
        mapped: u64,
        /// The bytes in the archive.
        stored: u64,
    },
    /// More runs than a limit allows.
    #[error("it has more than {limit} runs of data")]
    Runs {
        /// The limit.
        limit: usize,
    },
}

/// What PAX records say of a sparse file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SparseRecords {
    pub(crate) major: Option<u64>,
    pub(crate) minor: Option<u64>,
    pub(crate) name: Option<Box<[u8]>>,
    pub(crate) real_size: Option<u64>,
    pub(crate) runs: Option<u64>,
    pub(crate) map: Option<Vec<(u64, u64)>>,
    pub(crate) offset: Option<u64>,
}

/// Where the map of a sparse file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the PAX records: versions 0.0 and 0.1.
    Records(Vec<(u64, u64)>),
    /// Before the data: version 1.0.
    Body,
}

impl SparseRecords {
    /// Tells where the map is and the real size; `None` for a file that is not sparse.
    pub(crate) fn place(self) -> Result<Option<(Place, u64)>, SparseError> {
        let place = match (self.major, self.minor, self.map) {
            (None, None, None) if self.real_size.is_none() && self.runs.is_none() => return Ok(None),
            (Some(1), Some(0), None) => Place::Body,
            (None, None, map) | (Some(0), Some(0 | 1), map) => {
                if self.offset.is_some() {
                    return Err(SparseError::Map { reason: "ends with an offset without a length" });
                }
                let map = map.unwrap_or_default();
                if self.runs.is_some_and(|runs| runs != map.len() as u64) {
                    return Err(SparseError::Map { reason: "does not have the announced number of runs" });
                }
                Place::Records(map)
            }
            (Some(1), Some(0), Some(_)) => return Err(SparseError::Map { reason: "is given twice" }),
            (major, minor, _) => {
                return Err(SparseError::Version { major: major.unwrap_or(0), minor: minor.unwrap_or(0) });
            }
        };
        let size = self.real_size.ok_or(SparseError::Map { reason: "has no real size" })?;
        Ok(Some((place, size)))
    }
}

/// Appends the runs of one block of an old GNU map; false after the last one.
pub(crate) fn old_gnu_runs(pairs: &[u8], map: &mut Vec<(u64, u64)>) -> Result<bool, SparseError> {
    let field = |bytes| {
        let value = number(bytes).and_then(|value| u64::try_from(value).ok());
        value.ok_or(SparseError::Map { reason: "has a field that is not a number" })
    };
    for pair in pairs.chunks_exact(24) {
        let (offset, length) = pair.split_at(12);
        if length.first() == Some(&0) {
            return Ok(false);
        }
        if map.len() >= MAX_SPARSE_EXTENTS {
            return Err(SparseError::Runs { limit: MAX_SPARSE_EXTENTS });
        }
        map.push((field(offset)?, field(length)?));
    }
    Ok(true)
}

/// Reads the map before the data of version 1.0: a count, then offset and length, a line each.
#[derive(Debug, Default)]
pub(crate) struct MapReader {
    line: Vec<u8>,
    count: Option<usize>,
    offset: Option<u64>,
    pub(crate) map: Vec<(u64, u64)>,
}

impl MapReader {
    /// Takes one block; true when the map is complete.
    pub(crate) fn block(&mut self, block: &[u8]) -> Result<bool, SparseError> {
        for &byte in block {
            if byte != b'\n' {
                if self.line.len() >= 20 {
                    return Err(SparseError::Map { reason: "has a line that is not a number" });
                }
                self.line.push(byte);
                continue;
            }
            let number = decimal(&self.line).ok_or(SparseError::Map { reason: "has a line that is not a number" })?;
            self.line.clear();
            match (self.count, self.offset.take()) {
                (None, _) => {
                    let count = usize::try_from(number).unwrap_or(usize::MAX);
                    if count > MAX_SPARSE_EXTENTS {
                        return Err(SparseError::Runs { limit: MAX_SPARSE_EXTENTS });
                    }
                    self.count = Some(count);
                }
                (Some(_), None) => self.offset = Some(number),
                (Some(_), Some(offset)) => self.map.push((offset, number)),
            }
            if self.count == Some(self.map.len()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Checks a map and makes extents of it: `stored` bytes lie at `physical` in the stream.
pub(crate) fn extents(map: Vec<(u64, u64)>, size: u64, physical: u64, stored: u64) -> Result<Vec<Extent>, SparseError> {
    let size = size.min(MAX_FILE_SIZE);
    let mut extents: Vec<Extent> = Vec::with_capacity(map.len());
    let mut end = 0;
    let mut mapped: u64 = 0;
    for (logical, length) in map {
        let after = logical.checked_add(length).filter(|&after| after <= size && logical >= end);
        end = after.ok_or(SparseError::Run { logical, length, size })?;
        if length == 0 {
            // GNU tar marks the end of a file with a hole at its end so.
            continue;
        }
        match extents.last_mut() {
            Some(last) if last.logical + last.length == logical => last.length += length,
            _ => extents.push(Extent { logical, physical: physical + mapped, length }),
        }
        mapped += length;
        if mapped > stored {
            return Err(SparseError::Stored { mapped, stored });
        }
    }
    if mapped != stored {
        return Err(SparseError::Stored { mapped, stored });
    }
    extents.shrink_to_fit();
    Ok(extents)
}

/// The map of version 1.0 as it is written: padded to whole blocks.
pub(crate) fn map_text(extents: &[Extent], size: u64) -> Vec<u8> {
    let tail = extents.last().is_none_or(|last| last.logical + last.length < size);
    let mut text = format!("{}\n", extents.len() + usize::from(tail)).into_bytes();
    for extent in extents {
        text.extend_from_slice(format!("{}\n{}\n", extent.logical, extent.length).as_bytes());
    }
    if tail {
        text.extend_from_slice(format!("{size}\n0\n").as_bytes());
    }
    text.resize(text.len().next_multiple_of(super::BLOCK), 0);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_checked() {
        type Case = (&'static [(u64, u64)], u64, u64, bool);
        let cases: [Case; 11] = [
            (&[], 0, 0, true),
            (&[], 10, 0, true),
            (&[(10, 0)], 10, 0, true),
            (&[(0, 4), (8, 2)], 10, 6, true),
            (&[(0, 4), (8, 2), (10, 0)], 10, 6, true),
            (&[(0, 4), (8, 2)], 10, 5, false),
            (&[(0, 4), (8, 2)], 10, 7, false),
            (&[(0, 4), (8, 3)], 10, 7, false),
            (&[(0, 4), (3, 3)], 10, 7, false),
            (&[(8, 2), (0, 4)], 10, 6, false),
            (&[(u64::MAX, 2)], 10, 2, false),
        ];
        for (map, size, stored, accepted) in cases {
            assert_eq!(extents(map.to_vec(), size, 512, stored).is_ok(), accepted, "{map:?} {size} {stored}");
        }
    }

    #[test]
    fn neighbours_are_joined() {
        let joined = extents(vec![(0, 4), (4, 2), (8, 1)], 9, 512, 7).unwrap();
        let extent = |logical, physical, length| Extent { logical, physical, length };
        assert_eq!(joined, [extent(0, 512, 6), extent(8, 518, 1)]);
    }

    #[test]
    fn map_text_goes_there_and_back() {
        let extent = |logical, length| Extent { logical, physical: 0, length };
        let many: Vec<Extent> = (0..400).map(|i| extent(i * 100_000, 50)).collect();
        for (given, size) in [(&many[..], 50_000_000), (&[], 7), (&[], 0), (&many[..1], 50)] {
            let text = map_text(given, size);
            let mut reader = MapReader::default();
            let blocks = text.len() / 512;
            for (index, block) in text.chunks(512).enumerate() {
                assert_eq!(reader.block(block).unwrap(), index + 1 == blocks);
            }
            let pairs: Vec<(u64, u64)> = given.iter().map(|e| (e.logical, e.length)).collect();
            assert!(reader.map.starts_with(&pairs));
        }
    }

    #[test]
    fn malformed_maps_are_refused() {
        for text in [&b"x\n"[..], b"1\n0\nx\n", b"-1\n", b"1048577\n", b"999999999999999999999\n", b"\n"] {
            assert!(MapReader::default().block(text).is_err(), "{text:?}");
        }
        assert_eq!(MapReader::default().block(b"1048576\n"), Ok(false));
        assert_eq!(MapReader::default().block(b"0\n"), Ok(true));
    }
}

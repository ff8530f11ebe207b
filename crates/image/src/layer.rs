//! A delta written as a layer: one pass gives the tar, its diff ID and its index.
//!
//! ```text
//! Delta --Writer--> tar bytes --+--> sink
//!   |                           +--> sha256 (on a thread of its own when long)
//!   +--> Index, with the offsets that the writer just used
//! ```
//!
//! The bytes are a function of the delta and of the epoch alone. Entries come in the order of the delta; a
//! [`bedplate_tree::diff`] is in canonical order. Whiteouts are empty regular files with mode 0, owner 0:0
//! and the epoch as their time, as containerd writes them.

use std::collections::HashMap;
use std::io::{self, Write};

use bedplate_archive::hash::Hashing;
use bedplate_archive::index::IndexBuilder;
use bedplate_archive::{Index, WriteError, Writer};
use bedplate_oci::{DiffId, Digest};
use bedplate_tree::{
    Action, Content, Delta, Difference, Entry, LeftOut, Metadata, PathError, Timestamp, Tree, TreePath, diff, whiteout,
};
use thiserror::Error;

use crate::contents::{ContentError, Contents};

/// How many bytes of holes one layer may hold as zeros. Layers are written without holes, as the specification asks; a
/// sparse file of a terabyte takes some bytes of an archive and would fill every disk (`lastlog` of a large user ID is
/// the innocent case).
pub const MAX_HOLES: u64 = 16 << 30;

/// Why a delta cannot be written as a layer.
#[derive(Debug, Error)]
pub enum LayerError {
    /// An entry cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The bytes of a file cannot be had.
    #[error("entry \"{path}\": cannot read its bytes")]
    Content {
        /// The entry.
        path: TreePath,
        /// Why.
        #[source]
        source: ContentError,
    },
    /// A path is put twice: readers disagree about what that means.
    #[error("entry \"{path}\" is put twice")]
    Duplicate {
        /// The entry.
        path: TreePath,
    },
    /// A file whose name would make it a whiteout.
    #[error("entry \"{path}\": a name that begins with \".wh.\" would hide another file")]
    WhiteoutName {
        /// The entry.
        path: TreePath,
    },
    /// A whiteout whose name no file system could hold.
    #[error("entry \"{path}\" cannot be hidden by name")]
    Whiteout {
        /// What it would hide.
        path: TreePath,
        /// What is wrong.
        #[source]
        source: PathError,
    },
    /// More bytes of holes than [`MAX_HOLES`].
    #[error("entry \"{path}\" has {size} bytes with holes: a layer holds them as zeros, {limit} bytes of them at most")]
    Holes {
        /// The entry.
        path: TreePath,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A hard link to what the same layer has not put before: extractors that unpack layers one by one refuse it.
    #[error("entry \"{path}\" is a hard link to \"{target}\", which its layer does not hold before it")]
    LinkTarget {
        /// The new name.
        path: TreePath,
        /// The name that it should share an inode with.
        target: TreePath,
    },
}

/// A layer that was written.
#[derive(Debug, Clone)]
pub struct WrittenLayer {
    /// The sha256 of the tar.
    pub diff_id: DiffId,
    /// Its length in bytes.
    pub size: u64,
    /// What is where in it.
    pub index: Index,
}

/// Writes `delta` as an uncompressed layer to `sink`; `epoch` is the time of whiteouts. Other times are the entries' own:
/// see [`Delta::clamp`].
///
/// # Errors
/// [`LayerError`]; what was written is then of no use.
pub fn write_layer(
    delta: &Delta,
    contents: &dyn Contents,
    epoch: Timestamp,
    sink: impl Write,
) -> Result<WrittenLayer, LayerError> {
    write_within(delta, contents, epoch, sink, MAX_HOLES)
}

fn write_within(
    delta: &Delta,
    contents: &dyn Contents,
    epoch: Timestamp,
    sink: impl Write,
    max_holes: u64,
) -> Result<WrittenLayer, LayerError> {
    let mut holes: u64 = 0;
    let mut writer = Writer::new(Hashing::new(sink));
    let mut index = IndexBuilder::new();
    let mut put: HashMap<&TreePath, &Metadata> = HashMap::with_capacity(delta.changes.len());
    for change in &delta.changes {
        let path = &change.path;
        let unnameable = |source| LayerError::Whiteout { path: path.clone(), source };
        let member = match &change.action {
            Action::Put(entry) => {
                check_name(path)?;
                if put.insert(path, &entry.metadata).is_some() {
                    return Err(LayerError::Duplicate { path: path.clone() });
                }
                match entry.content() {
                    Some(content) => {
                        holes = holes.saturating_add(content.size() - content.stored_size());
                        if holes > max_holes {
                            let (path, size) = (path.clone(), content.size());
                            return Err(LayerError::Holes { path, size, limit: max_holes });
                        }
                        let body = contents
                            .open(content)
                            .map_err(|source| LayerError::Content { path: path.clone(), source })?;
                        writer.append(path, entry, body)?
                    }
                    None => writer.append(path, entry, io::empty())?,
                }
            }
            Action::Link { target } => {
                check_name(path)?;
                let Some(&metadata) = put.get(target) else {
                    return Err(LayerError::LinkTarget { path: path.clone(), target: target.clone() });
                };
                if put.insert(path, metadata).is_some() {
                    return Err(LayerError::Duplicate { path: path.clone() });
                }
                writer.append_link(path, target, metadata)?
            }
            Action::Whiteout => {
                writer.append(&whiteout::name_of_whiteout(path).map_err(unnameable)?, &mark(epoch), io::empty())?
            }
            Action::Opaque => {
                writer.append(&whiteout::name_of_opaque(path).map_err(unnameable)?, &mark(epoch), io::empty())?
            }
        };
        index.push(member);
    }
    let (hashing, size) = writer.finish()?;
    let (_, sum, _) = hashing.finish();
    Ok(WrittenLayer { diff_id: DiffId(Digest::from_bytes(sum)), size, index: index.finish(sum, size) })
}

/// Writes a whole tree as one layer: an export, a squashed image. Also returns what no layer can hold.
///
/// # Errors
/// As [`write_layer`].
pub fn write_tree(
    tree: &Tree,
    contents: &dyn Contents,
    sink: impl Write,
) -> Result<(WrittenLayer, Vec<LeftOut>), LayerError> {
    let never = &mut |_: &Content, _: &Content| Ok::<_, std::convert::Infallible>(false);
    let Difference { delta, left_out } = match diff(&Tree::new(), tree, never) {
        Ok(difference) => difference,
        Err(never) => match never {},
    };
    Ok((write_layer(&delta, contents, Timestamp::ZERO, sink)?, left_out))
}

fn mark(epoch: Timestamp) -> Entry {
    Entry::file(Content::empty(), Metadata { mtime: epoch, ..Metadata::default() })
}

fn check_name(path: &TreePath) -> Result<(), LayerError> {
    match whiteout::meaning(path) {
        whiteout::Meaning::Entry => Ok(()),
        _ => Err(LayerError::WhiteoutName { path: path.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contents::ContentSources;
    use bedplate_tree::{Change, EntryKind};

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    fn put(name: &str, entry: Entry) -> Change {
        Change { path: path(name), action: Action::Put(entry) }
    }

    fn change(name: &str, action: Action) -> Change {
        Change { path: path(name), action }
    }

    fn file(bytes: &[u8]) -> Entry {
        Entry::file(Content::from_bytes(bytes), Metadata { mode: 0o644, ..Metadata::default() })
    }

    fn written(changes: Vec<Change>) -> Result<(WrittenLayer, Vec<u8>), LayerError> {
        let mut bytes = Vec::new();
        let epoch = Timestamp::from_seconds(77);
        let layer = write_layer(&Delta { changes }, &ContentSources::new(), epoch, &mut bytes)?;
        Ok((layer, bytes))
    }

    #[test]
    fn an_empty_delta_is_the_empty_layer_of_everyone() {
        let (layer, bytes) = written(vec![]).unwrap();
        assert_eq!(bytes, [0; 1024]);
        let known = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
        assert_eq!(layer.diff_id.to_string(), known);
    }

    #[test]
    fn the_index_written_is_the_index_read() {
        let long = "n".repeat(200);
        let (layer, bytes) = written(vec![
            put("", Entry::directory(Metadata { mode: 0o755, ..Metadata::default() })),
            change("", Action::Opaque),
            change("gone", Action::Whiteout),
            put(&long, file(&[b'x'; 700])),
            put("a", file(b"1")),
            change("b", Action::Link { target: path("a") }),
            put("l", Entry { kind: EntryKind::Symlink(b"a"[..].into()), metadata: Metadata::default() }),
        ])
        .unwrap();
        assert_eq!(layer.size, bytes.len() as u64);
        assert_eq!(layer.diff_id, DiffId(Digest::of(&bytes)));
        assert_eq!(layer.index, Index::read_tar(&bytes[..]).unwrap());
        let mark = layer.index.find(&path(".wh.gone")).unwrap();
        assert!(matches!(&mark.indexed, bedplate_archive::index::Indexed::Entry(entry)
            if entry.metadata.mtime.seconds == 77 && entry.metadata.mode == 0));
    }

    #[test]
    fn what_no_layer_may_hold_is_refused() {
        let cases = [
            (vec![put("a", file(b"")), put("a", file(b""))], "\"/a\" is put twice"),
            (vec![put("a", file(b"")), change("a", Action::Link { target: path("a") })], "put twice"),
            (vec![put(".wh.a", file(b""))], "would hide another file"),
            (vec![put("d/.wh..wh..opq", file(b""))], "would hide another file"),
            (vec![change("b", Action::Link { target: path("a") })], "does not hold before it"),
            (vec![change(&"n".repeat(253), Action::Whiteout)], "cannot be hidden by name"),
            (vec![put("s", Entry { kind: EntryKind::Socket, metadata: Metadata::default() })], "socket"),
        ];
        for (changes, expected) in cases {
            let error = written(changes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn holes_are_bounded() {
        let sparse = |size| Content::sparse(bedplate_tree::Source::Memory([b'x'; 4].into()), size, vec![]).unwrap();
        let with = |size| Delta {
            changes: vec![
                put("a", Entry::file(sparse(600), Metadata::default())),
                put("b", Entry::file(sparse(size), Metadata::default())),
            ],
        };
        let write = |size| {
            write_within(&with(size), &ContentSources::new(), Timestamp::ZERO, io::sink(), 1000).map(|layer| layer.size)
        };
        assert_eq!(write(400).unwrap(), 2 * 512 + 1024 + 512 + 1024);
        assert!(matches!(write(401), Err(LayerError::Holes { size: 401, limit: 1000, .. })));
        assert!(matches!(write(u64::MAX), Err(LayerError::Holes { .. })));
    }

    #[test]
    fn a_tree_is_written_without_what_is_no_file() {
        let mut tree = Tree::new();
        tree.put(&path("d/a"), file(b"1")).unwrap();
        tree.put(&path("s"), Entry { kind: EntryKind::Socket, metadata: Metadata::default() }).unwrap();
        let mut bytes = Vec::new();
        let (layer, left_out) = write_tree(&tree, &ContentSources::new(), &mut bytes).unwrap();
        assert_eq!(left_out.len(), 1);
        tree.remove(&path("s"));
        let mut back = Tree::new();
        back.apply(&layer.index.delta().unwrap()).unwrap();
        let names = |tree: &Tree| tree.walk().map(|(path, _)| path.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&back), names(&tree));
    }
}

//! A directory on a disk becomes a layer: a root filesystem somebody unpacked, or the machine itself.

use std::path::Path;

use bedplate_image::contents::ContentSources;
use bedplate_image::hazards;
use bedplate_image::layer::write_tree;
use bedplate_image::scan::{Choice, ScanOptions, scan};
use bedplate_oci::media_type;
use bedplate_store::Lease;
use bedplate_sys::rooted::Root;
use bedplate_tree::{Timestamp, Tree, TreePath};

use crate::{ImportError, Layer, Warning};

/// Mount points of a running machine: taken empty, whatever is mounted or left there.
const MOUNT_POINTS: [&[u8]; 4] = [b"dev", b"proc", b"run", b"sys"];

/// How to pack a directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct DirectoryOptions<'a> {
    /// Whether the root directory's owner and mode are kept as they are.
    pub keep_root_mode: bool,
    /// No entry's time is later than this.
    pub epoch: Option<Timestamp>,
    /// An ordinary user who packs what he unpacked: his own files belong to root in the image, as they would have
    /// where root unpacked them.
    pub invoker: Option<(u32, u32)>,
    /// A directory that is left out wherever it lies: the store that is written to.
    pub leave: Option<&'a Path>,
}

/// Packs a directory as a layer: one file system, without what is mounted on a running machine. `what` names it in errors.
///
/// # Errors
/// [`ImportError`]: a file that cannot be read or that changes meanwhile; nothing stays in the store.
pub fn store_directory(
    lease: &Lease,
    path: &Path,
    what: &str,
    options: &DirectoryOptions<'_>,
) -> Result<(Layer, Vec<Warning>), ImportError> {
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| ImportError::Directory { what: what.to_owned(), source };
    let root = Root::open(path).map_err(|error| failed(Box::new(error)))?;
    let leave = options.leave.and_then(|leave| below(path, leave));
    let choose = |entry: &TreePath, is_directory: bool| match () {
        () if leave.as_ref() == Some(entry) => Choice::Leave,
        () if is_directory && MOUNT_POINTS.contains(&entry.as_bytes()) => Choice::TakeEmpty,
        () => Choice::Take,
    };
    let scan_options = ScanOptions { one_file_system: true, choose: Some(&choose), ..ScanOptions::default() };
    let mut sources = ContentSources::new();
    let mut tree = scan(root, &mut sources, &scan_options).map_err(|error| failed(Box::new(error)))?;
    if let Some(invoker) = options.invoker {
        own(&mut tree, invoker);
    }
    if !options.keep_root_mode {
        let root = tree.root();
        let metadata = tree.metadata_mut(root);
        (metadata.uid, metadata.gid, metadata.mode) = (0, 0, metadata.mode | 0o755);
    }
    if let Some(epoch) = options.epoch {
        tree.clamp(epoch);
    }
    let mut warnings: Vec<Warning> =
        hazards::find(&tree, &sources).into_iter().map(|hazard| Warning::Hazard { text: hazard.to_string() }).collect();

    let mut writer = lease.unhashed_writer()?;
    let (written, left_out) = write_tree(&tree, &sources, &mut writer).map_err(|error| failed(Box::new(error)))?;
    warnings.extend(left_out.iter().map(|left| Warning::LeftOut { text: left.to_string() }));
    let blob = writer.finish_as(written.diff_id.0, lease)?;
    Ok((Layer { descriptor: blob.descriptor(media_type::LAYER), index: written.index, mended: None }, warnings))
}

/// `inner` as a path below `outer`, where it is one.
fn below(outer: &Path, inner: &Path) -> Option<TreePath> {
    use std::os::unix::ffi::OsStrExt as _;
    // Both by their real names: the store may be reached through a symbolic link.
    let (outer, inner) = (outer.canonicalize().ok()?, inner.canonicalize().ok()?);
    let rest = inner.strip_prefix(outer).ok()?;
    TreePath::parse(rest.as_os_str().as_bytes()).ok().filter(|path| !path.is_root())
}

fn own(tree: &mut Tree, (uid, gid): (u32, u32)) {
    let inodes: Vec<_> = tree.walk().map(|(_, id)| id).collect();
    for id in inodes {
        let metadata = tree.metadata_mut(id);
        if metadata.uid == uid {
            metadata.uid = 0;
        }
        if metadata.gid == gid {
            metadata.gid = 0;
        }
    }
}

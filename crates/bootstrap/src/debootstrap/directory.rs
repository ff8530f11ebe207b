//! The directory that a system is made in, with what stands in it before.

use bedplate_image::ContentSources;
use bedplate_image::scan::{Choice, ScanOptions, scan};
use bedplate_sys::rooted::Root;
use bedplate_tree::{Tree, TreePath};

use super::{ARCHIVES, FOLDER, LISTS, StageError};
use crate::finish::own_path;

/// What a running system mounts, or people keep: no package and no script looks into it.
const FOREIGN: [&str; 9] = ["dev", "proc", "sys", "run", "tmp", "home", "srv", "media", "mnt"];

/// Reads what stands in the directory of a system and may matter to packages and scripts.
///
/// # Errors
/// [`StageError`].
pub fn scan_directory(directory: Root, contents: &mut ContentSources<'_>) -> Result<Tree, StageError> {
    let empty: Vec<TreePath> = FOREIGN.into_iter().chain([ARCHIVES, LISTS]).map(own_path).collect();
    // Of a file system that was made a moment ago.
    let left = [own_path(FOLDER), own_path("lost+found")];
    let choose = |path: &TreePath, is_directory: bool| match path {
        path if left.contains(path) => Choice::Leave,
        path if is_directory && empty.contains(path) => Choice::TakeEmpty,
        _ => Choice::Take,
    };
    Ok(scan(directory, contents, &ScanOptions { choose: Some(&choose), ..ScanOptions::default() })?)
}

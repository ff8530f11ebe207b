//! `info/`: what packages brought with them, under their names.

use bedplate_tree::TreePath;

use super::{Files, Record};

/// Adds the files of one package.
pub(super) fn add(files: &mut Files, record: &Record<'_>) {
    let payload = record.payload;
    let name = payload.control().info_name();
    add_list(files, record);
    for (file, packed) in payload.control_files() {
        // The link count and attributes of the file system, if somebody packed any, mean nothing here.
        let metadata = bedplate_tree::Metadata { xattrs: Default::default(), ..packed.metadata.clone() };
        files.packed(&format!("info/{name}.{file}"), &packed.content, metadata);
    }
    // dpkg sums up itself where the package did not.
    if !payload.control_files().contains_key("md5sums") {
        files.file(&format!("info/{name}.md5sums"), payload.md5sums(), 0o644);
    }
}

/// Adds the list of its names.
pub(super) fn add_list(files: &mut Files, record: &Record<'_>) {
    files.file(&format!("info/{}.list", record.payload.control().info_name()), list(record), 0o644);
}

/// `/.`, `/usr`, `/usr/bin/x`: the names of the archive, but for those that went to another package.
fn list(record: &Record<'_>) -> Vec<u8> {
    let listed = |path: &&TreePath| record.unlisted.is_none_or(|unlisted| !unlisted.contains(*path));
    let mut out = Vec::new();
    for path in record.payload.list().into_iter().filter(listed) {
        out.push(b'/');
        out.extend_from_slice(if path.is_root() { b"." } else { path.as_bytes() });
        out.push(b'\n');
    }
    out
}

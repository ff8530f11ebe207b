//! Entry points for fuzzing: foreign bytes in, invariants held.

use bedplate_oci::ImageIndex;
use bedplate_tree::TreePath;

use crate::containers::ContainerState;
use crate::layout::parse_format;
use crate::names::{Names, name_of};
pub use crate::transfer::fuzz_manifest as docker_manifest;

/// `index.json`, whoever wrote it: names read from it survive being set again.
pub fn index_json(data: &[u8]) {
    let Ok(index) = serde_json::from_slice::<ImageIndex>(data) else { return };
    let mut names = Names::of(index);
    for entry in names.entries().to_vec() {
        if let Some(name) = name_of(&entry).filter(|name| name.tag().is_some()) {
            names.set(&name, &entry);
            assert_eq!(names.get(&name).map(|found| found.digest), Some(entry.digest));
        }
    }
}

/// A container's state.
pub fn container_state(data: &[u8]) {
    if let Ok(state) = serde_json::from_slice::<ContainerState>(data) {
        let again: ContainerState =
            serde_json::from_slice(&bedplate_oci::to_json(&state)).expect("what was written is read");
        assert_eq!(again, state);
    }
}

/// The file `format`.
pub fn format(data: &[u8]) {
    if let Some(version) = parse_format(&String::from_utf8_lossy(data)) {
        assert!(version > 0);
    }
}

/// A symbolic link in a saved image: the place that it leads to is in the archive.
pub fn archive_link(data: &[u8]) {
    let (link, target) = data.split_at(data.len() / 2);
    if let Ok(link) = TreePath::parse(link)
        && let Some(place) = crate::transfer::link_target(&link, target)
    {
        assert!(!place.as_bytes().split(|b| *b == b'/').any(|part| part == b".."));
    }
}

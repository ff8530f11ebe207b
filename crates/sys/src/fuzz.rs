//! Entry points for fuzzing: foreign bytes in, invariants held.

use crate::idmap::{IdMap, MOST_RANGES, name_of, ranges_of};
use crate::kernel::cgroups_of;

/// `/etc/subuid`, `/etc/passwd` and `/proc/self/uid_map`: maps that the kernel would take.
pub fn id_files(data: &[u8]) {
    let name = name_of(data, 1000);
    let ranges = ranges_of(data, name, 1000);
    let map = IdMap::root_and(1000, &ranges);
    assert!(map.ranges().len() <= MOST_RANGES);
    assert_eq!(map.outside(0), Some(1000));
    assert_eq!(IdMap::parse(map.to_string().as_bytes()), map);
    for (i, a) in map.ranges().iter().enumerate() {
        for b in &map.ranges()[..i] {
            let apart = |a: (u32, u32), b: (u32, u32)| {
                u64::from(a.0) + u64::from(a.1) <= u64::from(b.0) || u64::from(b.0) + u64::from(b.1) <= u64::from(a.0)
            };
            assert!(
                apart((a.inside, a.count), (b.inside, b.count)) && apart((a.outside, a.count), (b.outside, b.count))
            );
        }
    }
    let _ = IdMap::parse(data).outside(7);
}

/// `/proc/self/mountinfo`, which shows names that users chose.
pub fn mountinfo(data: &[u8]) {
    let _ = cgroups_of(&String::from_utf8_lossy(data));
}

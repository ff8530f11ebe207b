//! Ranges of subordinate IDs (`/etc/subuid`, `/etc/subgid`) and the maps made of them.
//!
//! The files are read here, never through NSS: a static program that loads the host's modules
//! can crash. Spec: `subuid(5)`, `user_namespaces(7)`.

use std::fmt;

/// Lines of a file that are looked at; a directory service may write many.
const MOST_LINES: usize = 1 << 20;
/// Ranges in one map: Linux takes 340 lines in 4.15 and later.
pub const MOST_RANGES: usize = 340;

/// A run of IDs that a user may use in namespaces: `first..first + count`, as the host sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubRange {
    /// The lowest ID.
    pub first: u32,
    /// How many, never 0; `first + count` is at most `u32::MAX`.
    pub count: u32,
}

/// Finds the ranges of a user in the text of `/etc/subuid` or `/etc/subgid`.
///
/// A line is `name:first:count`, where the name may be the user's number. Lines that are not so, or
/// whose range does not fit, are passed over, as the host's own tools do. Order is kept.
pub fn ranges_of(text: &[u8], name: Option<&[u8]>, uid: u32) -> Vec<SubRange> {
    let number = uid.to_string();
    text.split(|b| *b == b'\n')
        .take(MOST_LINES)
        .filter_map(|line| {
            let mut fields = line.split(|b| *b == b':');
            let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
            if fields.next().is_some() || owner.is_empty() {
                return None;
            }
            if Some(owner) != name && owner != number.as_bytes() {
                return None;
            }
            let (first, count) = (decimal(first)?, decimal(count)?);
            (count > 0 && first.checked_add(count).is_some()).then_some(SubRange { first, count })
        })
        .collect()
}

fn decimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Finds a user's name in the text of `/etc/passwd`; the first line with that number counts.
pub fn name_of(passwd: &[u8], uid: u32) -> Option<&[u8]> {
    passwd.split(|b| *b == b'\n').find_map(|line| {
        let mut fields = line.split(|b| *b == b':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        (decimal(number)? == uid && !name.is_empty()).then_some(name)
    })
}

/// One line of a map: `count` IDs from `inside` in the namespace are those from `outside`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapRange {
    /// The lowest ID in the namespace.
    pub inside: u32,
    /// The lowest ID outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// A map of IDs between a user namespace and its parent.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct IdMap {
    ranges: Vec<MapRange>,
}

impl IdMap {
    /// The map in which root inside is `own` outside, followed by the subordinate ranges from 1.
    ///
    /// Ranges that overlap `own` or an earlier one are cut off at the first that does, since the
    /// kernel refuses such maps.
    pub fn root_and(own: u32, subordinate: &[SubRange]) -> Self {
        let mut ranges = vec![MapRange { inside: 0, outside: own, count: 1 }];
        let mut next: u32 = 1;
        for sub in subordinate.iter().take(MOST_RANGES - 1) {
            let overlaps = ranges.iter().any(|r| {
                u64::from(sub.first) < u64::from(r.outside) + u64::from(r.count)
                    && u64::from(r.outside) < u64::from(sub.first) + u64::from(sub.count)
            });
            let count = sub.count.min(u32::MAX - next);
            if overlaps || count == 0 {
                break;
            }
            ranges.push(MapRange { inside: next, outside: sub.first, count });
            next += count;
        }
        Self { ranges }
    }

    /// Parses what `/proc/<pid>/uid_map` says.
    pub fn parse(text: &[u8]) -> Self {
        let ranges = text
            .split(|b| *b == b'\n')
            .filter_map(|line| {
                let mut f = line.split(u8::is_ascii_whitespace).filter(|f| !f.is_empty());
                let mut number = || decimal(f.next()?);
                Some(MapRange { inside: number()?, outside: number()?, count: number()? })
            })
            .collect();
        Self { ranges }
    }

    /// The lines of the map.
    pub fn ranges(&self) -> &[MapRange] {
        &self.ranges
    }

    /// How many IDs the map has.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|r| u64::from(r.count)).sum()
    }

    /// Whether the map has no ID at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ID outside that `inside` stands for.
    pub fn outside(&self, inside: u32) -> Option<u32> {
        self.ranges.iter().find_map(|r| {
            let offset = inside.checked_sub(r.inside)?;
            (offset < r.count).then(|| r.outside.checked_add(offset)).flatten()
        })
    }

    /// Whether `inside` exists in the namespace, so that a file can be given to it.
    pub fn contains(&self, inside: u32) -> bool {
        self.outside(inside).is_some()
    }
}

impl fmt::Display for IdMap {
    /// Writes the form of `/proc/<pid>/uid_map`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for r in &self.ranges {
            writeln!(f, "{} {} {}", r.inside, r.outside, r.count)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_by_name_and_by_number() {
        let text = b"anna:100000:65536\n1000:300000:10\nbert:1:1\nanna:200000:5\n\
            anna:x:5\nanna:5\nanna:5:0\nanna:4294967295:1\nanna:4294967290:6\nanna:1:2:3\n:1:1\n#anna:1:1\n";
        let r = |first, count| SubRange { first, count };
        for (name, uid, expected) in [
            (Some(&b"anna"[..]), 7, vec![r(100_000, 65536), r(200_000, 5)]),
            (Some(b"anna"), 1000, vec![r(100_000, 65536), r(300_000, 10), r(200_000, 5)]),
            (None, 1000, vec![r(300_000, 10)]),
            (Some(b""), 7, vec![]),
            (Some(b"carl"), 8, vec![]),
        ] {
            let found = ranges_of(text, name, uid);
            // 4294967295+1 does not fit; 4294967290+6 = 2^32 does not either.
            assert_eq!(found, expected, "{name:?} {uid}");
        }
    }

    #[test]
    fn names_in_passwd() {
        let text = b"root:x:0:0::/root:/bin/sh\nbroken\n:x:5:\nanna:x:1000:1000:::\nalso:x:1000:1:::\n";
        for (uid, expected) in [(0, Some(&b"root"[..])), (1000, Some(b"anna")), (5, None), (1, None)] {
            assert_eq!(name_of(text, uid), expected);
        }
    }

    #[test]
    fn maps() {
        let subs = [SubRange { first: 100_000, count: 65536 }, SubRange { first: 300_000, count: 10 }];
        let map = IdMap::root_and(1000, &subs);
        assert_eq!(map.to_string(), "0 1000 1\n1 100000 65536\n65537 300000 10\n");
        assert_eq!(IdMap::parse(map.to_string().as_bytes()), map);
        for (inside, outside) in [
            (0, Some(1000)),
            (1, Some(100_000)),
            (65536, Some(165_535)),
            (65537, Some(300_000)),
            (65546, Some(300_009)),
            (65547, None),
            (u32::MAX, None),
        ] {
            assert_eq!(map.outside(inside), outside, "{inside}");
        }
        assert_eq!(map.len(), 65547);
        assert_eq!(IdMap::root_and(0, &[]).len(), 1);
        // A range that holds the own ID cannot be mapped a second time.
        assert_eq!(IdMap::root_and(100_005, &subs).len(), 1);
        let whole = IdMap::parse(b"         0          0 4294967295\n");
        assert!(whole.contains(70_008));
        assert!(!whole.contains(u32::MAX));
    }
}

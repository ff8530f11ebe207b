//! The laws that trees and deltas keep, over random trees.

use std::collections::HashMap;
use std::convert::Infallible;

use bedplate_tree::{
    Action, Change, Content, Delta, Entry, EntryKind, Metadata, Timestamp, Tree, TreePath, diff, flatten,
};
use proptest::prelude::*;

/// One step of making a tree.
#[derive(Debug, Clone)]
enum Step {
    Put(TreePath, Entry),
    Link(TreePath, TreePath),
    Remove(TreePath),
}

fn path() -> impl Strategy<Value = TreePath> {
    // Few names, so that paths meet; one that sorts between "a" and "a/b" as bytes.
    let name = prop_oneof![Just("a"), Just("b"), Just("a-"), Just("c")];
    prop::collection::vec(name, 1..4).prop_map(|names| TreePath::parse(names.join("/").as_bytes()).unwrap())
}

fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![
        4 => Just(EntryKind::Directory),
        4 => "[xy]{0,2}".prop_map(|bytes| EntryKind::File(Content::from_bytes(bytes.into_bytes()))),
        2 => prop_oneof![Just("a"), Just("/b"), Just("../a"), Just("c/b")].prop_map(|target| EntryKind::Symlink(target.as_bytes().into())),
        1 => Just(EntryKind::Fifo),
        1 => (0..2u32).prop_map(|minor| EntryKind::CharDevice { major: 1, minor }),
        1 => Just(EntryKind::BlockDevice { major: 7, minor: 0 }),
    ];
    let xattrs = prop_oneof![3 => Just(None), 1 => "[pq]".prop_map(Some)];
    (kind, prop_oneof![Just(0o755), Just(0o4711)], 0..2u32, 0..3i64, 0..2u32, xattrs).prop_map(
        |(kind, mode, uid, seconds, nanoseconds, xattr)| {
            let mode = if matches!(kind, EntryKind::Symlink(_)) { 0o777 } else { mode };
            let xattrs =
                xattr.map(|value| (b"user.x".as_slice().into(), value.as_bytes().into())).into_iter().collect();
            let mtime = Timestamp { seconds, nanoseconds };
            Entry { kind, metadata: Metadata { mode, uid, gid: uid, mtime, xattrs } }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (path(), entry()).prop_map(|(path, entry)| Step::Put(path, entry)),
        3 => (path(), path()).prop_map(|(path, target)| Step::Link(path, target)),
        1 => path().prop_map(Step::Remove),
    ]
}

fn change(tree: &mut Tree, steps: &[Step]) {
    for step in steps {
        // A step that has no place in the tree does nothing: the strategy need not know.
        let _ = match step {
            Step::Put(path, entry) => tree.put(path, entry.clone()).err(),
            Step::Link(path, target) => tree.link(path, target).err(),
            Step::Remove(path) => {
                tree.remove(path);
                None
            }
        };
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..24)
}

fn made(steps: &[Step]) -> Tree {
    let mut tree = Tree::new();
    change(&mut tree, steps);
    tree
}

fn changes(base: &Tree, new: &Tree) -> Delta {
    diff(base, new, &mut |_, _| Ok::<_, Infallible>(false)).unwrap().delta
}

fn listing(tree: &Tree) -> Vec<String> {
    let mut numbers = HashMap::new();
    let line = |(path, id)| {
        let next = numbers.len();
        let number = *numbers.entry(id).or_insert(next);
        format!("{path} #{number} {:?}", tree.inode(id).entry)
    };
    tree.walk().map(line).collect()
}

fn check_order(delta: &Delta) -> Result<(), TestCaseError> {
    // In every directory: itself, its opaque mark, its whiteouts, its entries; all in the order of paths.
    let key = |change: &Change| {
        let rank = match change.action {
            Action::Whiteout => 1,
            _ => 2,
        };
        let own = change.path.components().map(|part| (2, part.to_vec()));
        let mut key: Vec<(u8, Vec<u8>)> = own.collect();
        match change.action {
            Action::Opaque => key.push((0, Vec::new())),
            _ => {
                if let Some(last) = key.last_mut() {
                    last.0 = rank;
                }
            }
        }
        key
    };
    for pair in delta.changes.windows(2) {
        prop_assert!(key(&pair[0]) < key(&pair[1]), "{:?} before {:?}", pair[0], pair[1]);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn applying_a_difference_gives_the_other(a in steps(), b in steps(), related in any::<bool>()) {
        let base = made(&a);
        let mut new = if related { base.clone() } else { Tree::new() };
        change(&mut new, &b);
        let delta = changes(&base, &new);
        check_order(&delta)?;
        let mut applied = base.clone();
        applied.apply(&delta).unwrap();
        prop_assert_eq!(listing(&applied), listing(&new));
        prop_assert!(applied == new);
    }

    #[test]
    fn a_tree_differs_from_itself_in_nothing(a in steps()) {
        let tree = made(&a);
        prop_assert_eq!(changes(&tree, &tree.clone()), Delta::default());
        prop_assert_eq!(changes(&tree, &made(&a)), Delta::default());
    }

    #[test]
    fn equality_is_that_of_listings(a in steps(), b in steps()) {
        let (a, b) = (made(&a), made(&b));
        prop_assert_eq!(a == b, listing(&a) == listing(&b));
    }

    #[test]
    fn flattening_is_applying_in_order(states in prop::collection::vec(steps(), 1..4)) {
        let mut deltas = Vec::new();
        let mut last = Tree::new();
        for steps in &states {
            let mut next = last.clone();
            change(&mut next, steps);
            deltas.push(changes(&last, &next));
            last = next;
        }
        let (flat, _) = flatten(&deltas).unwrap();
        prop_assert_eq!(listing(&flat), listing(&last));
        // One layer that says the same as all of them.
        let squashed = changes(&Tree::new(), &flat);
        prop_assert_eq!(listing(&flatten([&squashed]).unwrap().0), listing(&last));
    }

    #[test]
    fn marks_work_wherever_they_stand(a in steps(), b in steps(), seed in any::<u64>()) {
        let (base, new) = (made(&a), made(&b));
        let delta = changes(&base, &new);
        // Marks drawn out and put in again at other places, the rest in its order.
        let is_mark = |change: &Change| matches!(change.action, Action::Whiteout | Action::Opaque);
        let (marks, mut shuffled): (Vec<Change>, Vec<Change>) = delta.changes.into_iter().partition(is_mark);
        let mut state = seed;
        for mark in marks {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = (state >> 33) as usize % (shuffled.len() + 1);
            shuffled.insert(at, mark);
        }
        let mut applied = base;
        applied.apply(&Delta { changes: shuffled }).unwrap();
        prop_assert_eq!(listing(&applied), listing(&new));
    }
}
